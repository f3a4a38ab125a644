"""Hostile files: how each is made, and what is to be said of it."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import zipfile
from typing import Any

import numpy as np
from command import TUTORIAL

SCORES = np.array(TUTORIAL, "f4")


class Bomb:
    """Makes a directory where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("boom",)


def saved(array: Any) -> bytes:
    """An .npy file as NumPy writes it, with pickles in it where the array holds objects."""
    held = io.BytesIO()
    np.save(held, array, allow_pickle=True)
    return held.getvalue()


def described(shape: str = "(3, 4)", descr: str = "'<f4'", order: str = "False", data: bytes = bytes(48)) -> bytes:
    """An .npy file that says so."""
    return headed(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}", data)


def headed(text: str, data: bytes = b"") -> bytes:
    """An .npy file with a header of one's own."""
    head = text.encode("latin-1") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data


def archive(members: dict[str, bytes], **says: int) -> bytes:
    """A packed archive, of whose first member it may say the `crc` and the `size` that it has not."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name, content in members.items():
            file.writestr(name, content)
    altered = bytearray(held.getvalue())
    directory = altered.index(b"PK\x01\x02")
    for field, value in says.items():
        local, central = {"crc": (14, 16), "size": (22, 24)}[field]
        for place in (local, directory + central):
            struct.pack_into("<I", altered, place, value)
    return bytes(altered)


UNPICKLED = "never unpickled"
NO_HEADER = "damaged, or no .npy file"

FILES: dict[str, tuple[bytes, str]] = {
    "truncated.npy": (saved(SCORES)[:-1], "truncated: shape (3, 4) of float32 takes 48 bytes, the file has 47"),
    "cut_header.npy": (saved(SCORES)[:40], "the file ends within its header"),
    "negative.npy": (described("(-1, 4)"), "an impossible shape, (-1, 4)"),
    "digits.npy": (described(f"({'9' * 4000}, 4)"), "an impossible shape, (999"),
    "product.npy": (described(f"({2**62}, {2**62})"), "truncated: shape (4611686018427387904, 4611"),
    "call.npy": (headed("__import__('os').mkdir('boom')"), NO_HEADER),
    "deep.npy": (headed("(" * 30_000), NO_HEADER),
    "escape.npy": (headed(r"{'\d': 1}"), NO_HEADER),
    "control.npy": (headed("{'\x1b[31m\x07': 1}"), NO_HEADER),
    "objects.npy": (saved(np.array([Bomb()], object)), UNPICKLED),
    "structured.npy": (saved(np.zeros(2, [("a", "f4")])), "dtype structured holds no real numbers"),
    "dates.npy": (saved(np.zeros(2, "M8[s]")), "dtype datetime64[s] holds no real numbers"),
    "csv.npy": (b"1,2\n3,4\n", "not an .npy file, whatever its name says"),
    "static.npy": (bytes([7, 9, 200, 255] * 9), "not an .npy file, whatever its name says"),
    "empty.csv": (b"", "empty"),
    "line_ends.csv": (b"\r\n\n\n", "the file is empty"),
    "ragged.csv": (b"1,2,3\n4,5,6\n7,8\n", "line 3 has 2 cells, expected 3 as in line 1"),
    "words.csv": (b"a,b\n1,2\n3,five\n4,5\n", "line 3, column 2 ('b'): 'five' is not a number"),
    "late_word.tsv": (b"1\t2\n" * 9_000 + b"3\tx\n", "line 9001, column 2: 'x' is not a number"),
    "escape.csv": (b"a,b\n1,2\n3,\x1b]0;title\x07\n", r"line 3, column 2 ('b'): '\x1b]0;title\x07' is not a number"),
    "unterminated.csv": (b'a,b\n1,2\n3,"4\n5,6\n', "line 3: a quote is never closed"),
    "late_latin1.csv": (b"1,2\n" * 9_000 + b"1,\xe9\n", "line 9001: byte 0xe9 is not UTF-8"),
    "nul.csv": (b"1,2\n3,\0\n", "line 2: a NUL byte"),
    "utf32.csv": ("1,2\n".encode("utf-32"), "line 1: a NUL byte, so the file is not UTF-8 text"),
    "damaged.csv.gz": (gzip.compress(b"1,2\n" * 10_000)[:-20], "damaged, or no text file"),
    "pickle_0.pkl": (pickle.dumps(Bomb(), 0), UNPICKLED),
    "pickle_2.csv": (pickle.dumps(Bomb(), 2), UNPICKLED),
    "pickle_4.npy": (pickle.dumps(Bomb(), 4), UNPICKLED),
    "page.csv": (b"<!DOCTYPE html>\n<html>Not found</html>\n", "a web page"),
    "noise.csv": (bytes(range(256)), "no text, and bytes of no known format"),
    "checksum.npz": (archive({"scores.npy": saved(SCORES)}, crc=5), "damaged, or no .npz file: Bad CRC-32"),
    "held_objects.npz": (archive({"scores.npy": saved(np.array([Bomb()], object))}), UNPICKLED),
    "held_pickle.npz": (archive({"scores.npy": pickle.dumps(Bomb(), 4)}), "not an .npy file"),
}
"""Files that nothing can be read of, and words of the error."""

SEEN: dict[str, tuple[bytes, str]] = {
    "scalar.npy": (saved(np.float32(1)), "the array has no axis (shape ())"),
    "no_length.npy": (saved(np.zeros((3, 0))), "axis 1 has length 0 (shape (3, 0))"),
    "nan.npy": (saved(np.array([[1, 2], [np.nan, np.nan]])), "2 NaNs, the first at index (1, 0)"),
    "infinite.npy": (saved(np.array([[1, 2], [-np.inf, -np.inf]])), "1 slice holds nothing but -inf"),
    "nan.csv": (b"1,2\n3,\n", "1 NaN, in line 2, column 2"),
    "outside.npz": (
        archive({"../../a.npy": saved(SCORES), "/etc/b.npy": saved(SCORES)}),
        "2 arrays in it: ../../a, /etc/b",
    ),
}
"""Files that only a reduction minds, so that `inspect` shows them."""

HUGE: dict[str, tuple[bytes, str]] = {
    "declared.npy": (described(f"({2**32}, 2)", data=b"")[:80], "truncated: shape (4294967296, 2) of float32 takes"),
    "header.npy": (
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(40),
        "the file ends within its header, or that is longer than any array's",
    ),
    "bomb.npz": (
        archive({"scores.npy": described(f"({2**20}, {2**20})", data=bytes(10**8))}),
        "its head says 4,398,046,511,",
    ),
    "hidden.npz": (
        archive({"scores.npy": saved(SCORES) + bytes(10**8)}, size=len(saved(SCORES))),
        "damaged, or no .npz file: Bad CRC-32",
    ),
    "nothing.csv.gz": (gzip.compress(bytes(10**8), 1), "no text, and bytes of no known format"),
    "digits.csv.gz": (gzip.compress(b"1" * 10**8, 1), "a record from line 1 on is longer than 32"),
    "cell.csv": (b"1,2\n3," + b"9" * 10**7 + b"\n4,5\n", "field larger than field limit"),
    "long_line.csv": (b"1,2\n" + b"1.5," * 10**7 + b"1\n4,5\n", "a record from line 1 on is longer than 32"),
}
"""Files that would take much memory."""
