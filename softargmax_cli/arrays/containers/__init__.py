"""Files that hold arrays by name."""
