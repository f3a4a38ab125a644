"""softargmax: where is the maximum, where is the soft maximum, and how far to trust the difference."""

__version__ = "0.1.0"
