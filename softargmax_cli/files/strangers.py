"""Files that are not text, told by their first bytes, and what to do with them."""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST_START = 64
"""Bytes of a file that are enough to know it."""

SAVE = "save the array that you want with numpy.save"
UNPACK = "unpack it first"


@dataclass(frozen=True, slots=True)
class Stranger:
    """A format that is not read."""

    kind: str
    remedy: str


PICKLE = Stranger("a Python pickle, which is never unpickled", "save the array with numpy.save")
_STARTS = {
    b"\x93NUMPY": Stranger("an .npy file", ""),
    b"PK\x03\x04": Stranger("a zip archive (.npz?)", SAVE),
    b"PARE": Stranger("an encrypted Parquet file", "write it again without encryption"),
    b"PAR1": Stranger("a Parquet file", "save its columns as CSV or .npy"),
    b"\x89HDF": Stranger("an HDF5 file", SAVE),
    b"MATLAB 5.0": Stranger("a MATLAB file", "save the array with numpy.save: scipy.io.loadmat reads it"),
    b"ARROW1": Stranger("an Arrow file", "save its columns as CSV or .npy"),
    b"SIMPLE  =": Stranger("a FITS file", SAVE),
    b"\xd0\xcf\x11\xe0": Stranger("an old Office document", "save the sheet as CSV"),
    b"SQLite format 3": Stranger("an SQLite database", "save the table as CSV"),
    b"\xfd7zXZ": Stranger("packed with xz", UNPACK),
    b"\x28\xb5\x2f\xfd": Stranger("packed with zstd", UNPACK),
    b"\x89PNG": Stranger("a PNG image", SAVE),
    b"\xff\xd8\xff": Stranger("a JPEG image", SAVE),
    b"%PDF": Stranger("a PDF document", "save its table as CSV"),
    b"\x7fELF": Stranger("a program", "give a file of numbers"),
    b"version https://git-lfs": Stranger("a pointer of Git LFS, not the file itself", "fetch it with: git lfs pull"),
}
_PATTERNS = {
    rb"\x80[\x02-\x05]": PICKLE,
    rb"BZh\d1AY": Stranger("packed with bzip2", UNPACK),
    # Older protocols have no mark. They begin with a container or a name, and remember it under number 0.
    rb"(?:c[\w.]+\n\w+\n|\(?[ld\]}])(?:p0\n|q\x00)": PICKLE,
    rb"\s*<(?:!doctype|html|\?xml)": Stranger("a web page or XML", "was it downloaded from the right address?"),
    rb'\s*(?:\{\s*"|\[\s*[\[{])': Stranger("JSON", "save the numbers as CSV or .npy"),
}
_KNOWN = [(re.compile(pattern, re.IGNORECASE), stranger) for pattern, stranger in _PATTERNS.items()]


def other_format(start: bytes) -> Stranger | None:
    """What a file that begins so is, where that is known and no table in text."""
    for magic, stranger in _STARTS.items():
        if start.startswith(magic):
            return stranger
    return next((stranger for pattern, stranger in _KNOWN if pattern.match(start)), None)
