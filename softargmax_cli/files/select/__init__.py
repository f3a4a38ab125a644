"""A part of an array, read without the rest of it."""
