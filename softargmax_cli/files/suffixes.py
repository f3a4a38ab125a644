"""Names of formats and delimiters, apart from what uses them: a wrong one is told before NumPy is imported."""

from __future__ import annotations

import os

from softargmax_cli.errors import OptionError

FORMATS = ("npy", "npz", "csv", "tsv", "json", "jsonl")
"""Formats that a sink writes; a file's suffix names its format."""
STORE = "zarr"
"""The format of a store, which is no file and takes its results in any order."""
PICTURES = ("png", "svg", "pdf")
"""Formats of pictures, by the same rule."""
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


def array_format_of(path: str) -> str:
    """The format of a file that holds arrays alone; npy for "-". OptionError where its suffix names no such format."""
    format = "npy" if path == "-" else format_of(path)
    if format not in ("npy", "npz"):
        raise OptionError(f"{path}: what is written there is an array", "end the name in .npy or .npz")
    return format


def picture_format_of(path: str) -> str:
    """The format of a picture that a path's suffix names. OptionError when it names none."""
    if path == "-":
        raise OptionError("--plot -: a picture goes to a file", "name one: --plot FILE.png")
    suffix = os.path.splitext(path)[1].lower()
    if suffix[1:] not in PICTURES:
        known = " ".join(f".{name}" for name in PICTURES)
        raise OptionError(f"--plot {path}: the suffix names no format of pictures", f"end the name in one of {known}")
    return suffix[1:]
