"""Hostile files: how each is made, and what is to be said of it."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np

TUTORIAL = np.array([[5, 2, 1, 2], [3.9, 4, 1, 2], [2, 5.9, 6, 2]], "f4")


@dataclass(frozen=True)
class Case:
    """A file that `run` refuses."""

    content: bytes
    what: str
    """Words of the error's first line, after the file's name."""
    remedy: str
    """Words of what follows."""
    inspected: bool = False
    """Whether `inspect` shows it all the same."""


class Bomb:
    """Makes a directory where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("boom",)


def saved(array: Any) -> bytes:
    """An .npy file as NumPy writes it, with pickles in it where the array holds objects."""
    held = io.BytesIO()
    np.save(held, array, allow_pickle=True)
    return held.getvalue()


def headed(text: str, data: bytes = b"", version: int = 1) -> bytes:
    """An .npy file with a header of one's own."""
    head = text.encode("latin-1") + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(head)) + head + data


def described(shape: str = "(3, 4)", descr: str = "'<f4'", order: str = "False", data: bytes = bytes(48)) -> bytes:
    """An .npy file that says so."""
    return headed(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}", data)


def archive(members: dict[str, bytes], *, packed: bool = False, **says: int) -> bytes:
    """A zip archive, of whose first member it may say the `crc` and the `size` that it has not."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED, compresslevel=1) as file:
        for name, content in members.items():
            file.writestr(name, content)
    altered = bytearray(held.getvalue())
    directory = altered.index(b"PK\x01\x02")
    for field, value in says.items():
        local, central = {"crc": (14, 16), "size": (22, 24)}[field]
        for place in (local, directory + central):
            struct.pack_into("<I", altered, place, value)
    return bytes(altered)


AGAIN = "numpy.save"
REAL = "save real numbers"

NPY = {
    "truncated.npy": Case(
        saved(TUTORIAL)[:-1], "truncated: shape (3, 4) of float32 takes 48 bytes, the file has 47", "copy"
    ),
    "cut_header.npy": Case(saved(TUTORIAL)[:40], "the file ends within its header", AGAIN),
    "cut_size.npy": Case(b"\x93NUMPY\x01\x00\x50", "the file ends within its header", AGAIN),
    "cut_magic.npy": Case(b"\x93NUMPY", "not an .npy file", AGAIN),
    "negative.npy": Case(described("(-1, 4)"), "an impossible shape, (-1, 4)", AGAIN),
    "bool.npy": Case(described("(True, 4)"), "an impossible shape, (True, 4)", AGAIN),
    "float.npy": Case(described("(3.0, 4)"), "an impossible shape, (3.0, 4)", AGAIN),
    "list.npy": Case(described("[3, 4]"), "an impossible shape, [3, 4]", AGAIN),
    "overflowing.npy": Case(described(f"({2**63}, 4)"), "an impossible shape, (9223372036854775808, 4)", AGAIN),
    "digits.npy": Case(described(f"({'9' * 4000}, 4)"), "an impossible shape, (999", AGAIN),
    "product.npy": Case(described(f"({2**62}, {2**62})"), "truncated: shape (4611686018427387904, 4611", "copy"),
    "nothing.npy": Case(described(f"({2**62}, {2**62}, 0)", data=b""), "an impossible shape, (46116860", AGAIN),
    "axes.npy": Case(described("(" + "1, " * 65 + ")"), "65 axes", AGAIN),
    "order.npy": Case(described(order="'no'"), "an impossible order, no", AGAIN),
    "unknown.npy": Case(b"\x93NUMPY\x09\x00" + bytes(100), "version 9.0 is not known (1.0 to 3.0 are)", AGAIN),
    "no_header.npy": Case(headed("0"), "the .npy header cannot be parsed", AGAIN),
    "call.npy": Case(headed("__import__('os').mkdir('boom')"), "the .npy header cannot be parsed", AGAIN),
    "deep.npy": Case(headed("(" * 30_000), "the .npy header cannot be parsed", AGAIN),
    "escape.npy": Case(headed(r"{'\d': 1}"), "the .npy header cannot be parsed", AGAIN),
    "objects.npy": Case(
        saved(np.array([Bomb()], object)), "dtype object holds objects, which are never unpickled", REAL
    ),
    "structured.npy": Case(saved(np.zeros(2, [("a", "f4")])), "dtype structured holds no real numbers", REAL),
    "strings.npy": Case(saved(np.array(["a", "b"])), "dtype <U1 holds no real numbers", REAL),
    "bytes.npy": Case(saved(np.array([b"a"])), "dtype |S1 holds no real numbers", REAL),
    "complex.npy": Case(saved(np.zeros(2, "c8")), "dtype complex64 holds no real numbers", REAL),
    "dates.npy": Case(saved(np.zeros(2, "M8[s]")), "dtype datetime64[s] holds no real numbers", REAL),
    "void.npy": Case(described(descr="'|V4'"), "holds no real numbers", REAL),
    "scalar.npy": Case(saved(np.float32(1)), "the array has no axis (shape ())", "give", inspected=True),
    "no_length.npy": Case(saved(np.zeros((3, 0))), "axis 1 has length 0 (shape (3, 0))", "--axis", inspected=True),
    "nan.npy": Case(
        saved(np.array([[1, 2], [np.nan, np.nan]])), "2 NaNs, the first at index (1, 0)", "--nan omit", inspected=True
    ),
    "infinite.npy": Case(
        saved(np.array([[1, np.inf], [-np.inf, -np.inf]])),
        "1 slice holds nothing but -inf; the first is slice 1",
        "--nan omit",
        inspected=True,
    ),
}
"""Whose names end in .npy, whatever they are."""

UTF8 = "iconv -f LATIN1"
NUMBERS, POINTS = "write 1234.5", "--decimal ,"

TEXT = {
    "empty.csv": Case(b"", "empty", "still to write it"),
    "line_ends.csv": Case(b"\r\n\n\n", "the file is empty", ""),
    "ragged.csv": Case(
        b"1,2,3\n4,5,6\n7,8\n", "line 3 has 2 cells, expected 3 as in line 1", "NaN where a value is missing"
    ),
    "words.csv": Case(b"a,b\n1,2\n3,five\n4,5\n", "line 3, column 2 ('b'): 'five' is not a number", "write a number"),
    "late_word.tsv": Case(
        b"1\t2\n" * 40_000 + b"3\tx\n", "line 40001, column 2: 'x' is not a number", "write a number"
    ),
    "thousands.csv": Case(b'1,2\n"1,234",5\n', "line 2, column 1: '1,234' is not a number", POINTS),
    "apostrophes.csv": Case(b"1,2\n1'234,5\n", 'line 2, column 1: "1\'234" is not a number', NUMBERS),
    "underscores.csv": Case(b"1,2\n1_234,5\n", "line 2, column 1: '1_234' is not a number", NUMBERS),
    "decimals.csv": Case(b"1,5;2,5\n3,5;4,5\n", "line 1, column 1: '1,5' is not a number", POINTS),
    "unterminated.csv": Case(b'a,b\n1,2\n3,"4\n5,6\n', "line 3: a quote opens here and is never closed", "close it"),
    "lone.csv": Case(b'1,2\n3"4,5\n6,7\n', "line 2, column 1: '3\"4' is not a number", "write a number"),
    "header.csv": Case(b"a,b\n", "line 1 is a header, and no rows follow it", "write the rows"),
    "latin1.csv": Case(b"1,2\n3,4\n\xff,3\n", "line 3, byte 8: 0xff is not UTF-8", UTF8),
    "late_latin1.csv": Case(b"1,2\n" * 90_000 + b"1,\xe9\n", "line 90001, byte 360002: 0xe9 is not UTF-8", UTF8),
    "overlong.csv": Case(b"1,2\n\xc0\xb1,3\n", "line 2, byte 4: 0xc0 is not UTF-8", UTF8),
    "nul.csv": Case(b"1,2\n3,\0\n", "line 2, byte 6: a NUL byte", "text"),
    "utf16_bare.csv": Case("1,2\n3,4\n".encode("utf-16-le"), "line 1, byte 1: a NUL byte", "iconv -f UTF-16"),
    "utf32.csv": Case("1,2\n".encode("utf-32"), "byte 0: the file is UTF-32, not UTF-8", "iconv -f UTF-32"),
    "carriage.csv": Case(b"1,2\r3,4\r", "line 1: a carriage return without a line feed", "tr"),
    "nan.csv": Case(b"1,2\n3,\n", "1 NaN, in line 2, column 2", "--nan omit", inspected=True),
    "damaged.csv.gz": Case(gzip.compress(b"1,2\n" * 10_000)[:-20], "the gzip data is damaged", "gzip -t"),
    "packed_npy.csv.gz": Case(gzip.compress(saved(TUTORIAL)), "an .npy file, gzipped", "gunzip"),
}
"""Which is read as text."""

UNPICKLED = "a Python pickle, which is never unpickled"

OTHERS = {
    "pickle_0.pkl": Case(pickle.dumps(Bomb(), 0), UNPICKLED, AGAIN),
    "pickle_1.npy": Case(pickle.dumps(Bomb(), 1), UNPICKLED, AGAIN),
    "pickle_2.csv": Case(pickle.dumps(Bomb(), 2), UNPICKLED, AGAIN),
    "pickle_4.npy": Case(pickle.dumps(Bomb(), 4), UNPICKLED, AGAIN),
    "pickled_list.csv": Case(pickle.dumps([Bomb()], 0), UNPICKLED, AGAIN),
    "csv.npy": Case(b"1,2\n3,4\n", "not an .npy file, whatever its name says, but text", "rename it"),
    "static.npy": Case(bytes([7, 9, 200, 255] * 9), "not an .npy file, whatever its name says", "rename it"),
    "picture.npy": Case(b"\x89PNG\r\n\x1a\n" + bytes(100), "a PNG image", AGAIN),
    "page.csv": Case(b"<!DOCTYPE html>\n<html>Not found</html>\n", "a web page", "downloaded"),
    "document.csv": Case(b'{"a": [1, 2]}\n', "JSON", "CSV"),
    "pointer.npy": Case(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS", "git lfs pull"
    ),
    "packed.csv.xz": Case(b"\xfd7zXZ\x00" + bytes(40), "packed with xz", "unpack"),
    "noise.csv": Case(bytes(range(256)), "no text, and bytes of no known format", AGAIN),
}
"""Something else than its name says, or than can be read."""


DAMAGED = "copy the file again, or write it again"
HELD = {"scores.npy": saved(TUTORIAL)}
SPACE = bytes(10**8)

ARCHIVES = {
    "several.npz": Case(
        archive(dict.fromkeys(("a.npy", "b.npy"), saved(TUTORIAL))), "2 arrays in it: a, b", "--key a", True
    ),
    "outside.npz": Case(
        archive({"../../a.npy": saved(TUTORIAL), "/etc/b.npy": saved(TUTORIAL)}),
        "2 arrays in it: ../../a, /etc/b",
        "--key",
        True,
    ),
    "empty.npz": Case(b"PK\x05\x06" + bytes(18), "a zip archive without arrays: nothing in it", "numpy.savez"),
    "notes.npz": Case(archive({"notes.txt": b"1,2\n"}), "without arrays: nothing in it is called *.npy", "numpy.savez"),
    "checksum.npz": Case(archive(HELD, crc=5), "damaged, or no .npz file: Bad CRC-32", DAMAGED),
    "packed_checksum.npz": Case(archive(HELD, packed=True, crc=5), "damaged, or no .npz file: Bad CRC-32", DAMAGED),
    "cut.npz": Case(archive(HELD)[:-30], "damaged, or no .npz file: File is not a zip file", DAMAGED),
    "hidden_bomb.npz": Case(
        archive({"scores.npy": saved(TUTORIAL) + SPACE}, packed=True, size=len(saved(TUTORIAL))),
        "damaged, or no .npz file: Bad CRC-32",
        DAMAGED,
    ),
    "declared_bomb.npz": Case(
        archive({"scores.npy": described(f"({2**29}, 2)", data=SPACE)}, packed=True, size=2**32 - 2),
        "damaged: 4,294,967,294 bytes from",
        "numpy.savez",
    ),
    "vast_bomb.npz": Case(
        archive({"scores.npy": described(f"({2**20}, {2**20})", data=SPACE)}, packed=True),
        "its head says 4,398,046,511,",
        "numpy.savez",
    ),
    "held_objects.npz": Case(
        archive({"scores.npy": saved(np.array([Bomb()], object))}),
        "dtype object holds objects, which are never unpickled",
        REAL,
    ),
    "held_pickle.npz": Case(archive({"scores.npy": pickle.dumps(Bomb(), 4)}), "not an .npy file", "numpy.save"),
}
"""Zip archives, of whose one array the name is "scores"."""

HUGE = {
    "declared.npy": Case(
        described(f"({2**32}, 2)", data=b"")[:80],
        "truncated: shape (4294967296, 2) of float32 takes 34,359,738,368 bytes",
        "copy",
    ),
    "header.npy": Case(
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(40),
        "a header of 4,294,967,295 bytes, longer than any array's",
        AGAIN,
    ),
    "cell.csv": Case(
        b"1,2\n3," + b"9" * 10**7 + b"\n4,5\n", "line 2, byte 6: a cell of more than 131,072 bytes", "delimiter"
    ),
    "name.csv": Case(
        b"a,b\n" + b"x" * 10**7 + b",2\n3,4\n", "line 2, byte 4: a cell of more than 131,072 bytes", "delimiter"
    ),
    "title.csv": Case(
        b'a,"' + b"x" * 10**7 + b'"\n1,2\n', "line 1, byte 2: a cell of more than 131,072 bytes", "delimiter"
    ),
    "late_cell.csv": Case(
        b"1,2\n" * 10**5 + b"9" * 10**7 + b",3\n",
        "line 100001, byte 400000: a cell of more than 131,072 bytes",
        "quote",
    ),
    "line.csv": Case(b"1" * 10**7, "line 1, byte 0: a cell of more than 131,072 bytes", "line ends"),
    "long_line.csv": Case(
        b"1,2\n" + b"1.5," * 10**7 + b"1\n4,5\n", "the record that begins at line 2 is longer than 32 MiB", "line ends"
    ),
    "bomb.csv.gz": Case(gzip.compress(bytes(10**8), 1), "no text, and bytes of no known format", AGAIN),
    "bomb_of_digits.csv.gz": Case(
        gzip.compress(b"1" * 10**8, 1), "line 1, byte 0: a cell of more than 131,072 bytes", "line ends"
    ),
}
"""What would take much memory, each to be measured by itself."""
