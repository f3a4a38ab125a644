"""Delimited text: cut at record borders, its dialect found, its cells read as numbers."""
