"""Names of formats and delimiters, apart from what uses them: a wrong one is told before NumPy is imported."""

from __future__ import annotations

import os

from softargmax_cli.errors import OptionError

PICTURES = ("png", "svg", "pdf")
"""Formats of pictures, by the same rule."""
NAMED_DELIMITERS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "pipe": "|"}
"""Delimiters of text that may be called by name."""


def picture_format_of(path: str) -> str:
    """The format of a picture that a path's suffix names. OptionError when it names none."""
    if path == "-":
        raise OptionError("--plot -: a picture goes to a file", "name one: --plot FILE.png")
    suffix = os.path.splitext(path)[1].lower()
    if suffix[1:] not in PICTURES:
        known = " ".join(f".{name}" for name in PICTURES)
        raise OptionError(f"--plot {path}: the suffix names no format of pictures", f"end the name in one of {known}")
    return suffix[1:]
