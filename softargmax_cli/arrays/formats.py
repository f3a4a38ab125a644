"""The names of output formats; apart from the sinks, so that a wrong suffix is told before NumPy is imported."""

from __future__ import annotations

import os

from softargmax_cli.errors import OptionError

FORMATS = ("npy", "npz", "csv", "tsv", "json", "jsonl")
"""Formats that a sink writes; a file's suffix names its format."""


def format_of(path: str) -> str:
    """The format that a path's suffix names. OptionError when it names none."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix[1:] not in FORMATS:
        known = " ".join(f".{name}" for name in FORMATS)
        what = f"the suffix {suffix} names no output format" if suffix else "no suffix names the output format"
        raise OptionError(f"{path}: {what}", f"end the name in one of {known}, or choose with --format")
    return suffix[1:]
