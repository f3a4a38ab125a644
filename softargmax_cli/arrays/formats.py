"""Names of formats and delimiters, apart from what uses them: a wrong one is told before NumPy is imported."""

from __future__ import annotations

import os

from softargmax_cli.errors import OptionError

FORMATS = ("npy", "npz", "csv", "tsv", "json", "jsonl")
"""Formats that a sink writes; a file's suffix names its format."""
STORE = "zarr"
"""The format of a store, which is no file and takes its results in any order."""
NAMED_DELIMITERS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "pipe": "|"}
"""Delimiters of text that may be called by name."""


def format_of(path: str) -> str:
    """The format that a path's suffix names. OptionError when it names none."""
    suffix = os.path.splitext(path.rstrip("/"))[1].lower()
    if suffix[1:] not in (*FORMATS, STORE):
        known = " ".join(f".{name}" for name in (*FORMATS, STORE))
        what = f"the suffix {suffix} names no output format" if suffix else "no suffix names the output format"
        raise OptionError(f"{path}: {what}", f"end the name in one of {known}, or choose with --format")
    return suffix[1:]
