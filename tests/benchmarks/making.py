"""Writes one input file, in pieces: python -m tests.benchmarks.making PATH LAYOUT DTYPE LENGTH...

Does nothing where the file is there and right. It appears under its name only when it is whole and on the disk, so
that nothing is still being written while something else is measured.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.benchmarks.files import CELL, MAKING, File

SEED = 20_180_805
PIECE = 8_000_000
"""Values drawn at a time."""
TRIPLES = np.array([list(f"{number:03}".encode()) for number in range(1000)], np.uint8)


def pieces(file: File) -> Iterator[tuple[int, npt.NDArray[np.floating]]]:
    """The array in order: where along the first axis a piece begins, and the piece."""
    random = np.random.default_rng(SEED)
    drawn = np.float64 if file.dtype == "float64" else np.float32
    width = int(np.prod(file.shape[1:]))
    step = PIECE // width
    for start in range(0, file.shape[0], step):
        shape = (min(step, file.shape[0] - start), *file.shape[1:])
        values = random.random(shape, drawn)
        yield start, values.astype(file.dtype, copy=False)


def header(file: File) -> bytes:
    """What stands before the data of an .npy file."""
    stream = io.BytesIO()
    stored = file.shape[::-1] if file.layout == "transposed" else file.shape
    described = np.lib.format.dtype_to_descr(np.dtype(file.dtype))
    np.lib.format.write_array_header_1_0(
        stream, {"descr": described, "fortran_order": file.layout == "fortran", "shape": stored}
    )
    return stream.getvalue()


def write_array(file: File, stream: io.FileIO) -> None:
    """An .npy file, by rows or by columns."""
    begin = stream.write(header(file))
    for start, piece in pieces(file):
        if file.layout == "rows":
            write(stream, piece)
            continue
        for column, values in enumerate(np.ascontiguousarray(piece.T)):
            stream.seek(begin + (column * file.shape[0] + start) * piece.itemsize)
            write(stream, values)


def write_text(file: File, stream: io.FileIO) -> None:
    """A CSV without a header; every number has nine significant digits."""
    random = np.random.default_rng(SEED)
    rows, columns = file.shape
    step = PIECE // 4 // columns
    for start in range(0, rows, step):
        digits = random.integers(10**8, 10**9, (min(step, rows - start), columns), np.uint32)
        cells = np.empty((*digits.shape, CELL), np.uint8)
        cells[..., :2] = list(b"0.")
        cells[..., 2:5] = TRIPLES[digits // 10**6]
        cells[..., 5:8] = TRIPLES[digits // 10**3 % 10**3]
        cells[..., 8:11] = TRIPLES[digits % 10**3]
        cells[..., 11] = ord(",")
        cells[:, -1, 11] = ord("\n")
        write(stream, cells)


def write(stream: io.FileIO, values: npt.NDArray[np.generic]) -> None:
    """All bytes of an array."""
    rest = memoryview(values).cast("B")
    while rest:
        rest = rest[stream.write(rest) :]


def is_right(path: Path, file: File) -> bool:
    """Whether a file of that name has the size and the header that it should have."""
    if not path.is_file():
        return False
    begin = b"" if file.layout == "csv" else header(file)
    with path.open("rb") as stream:
        return path.stat().st_size == len(begin) + file.size and stream.read(len(begin)) == begin


def make(path: Path, file: File) -> None:
    """Write a file beside its name, flush it to the disk, then rename it."""
    unfinished = path.with_name(path.name + MAKING)
    try:
        with unfinished.open("wb", buffering=0) as stream:
            (write_text if file.layout == "csv" else write_array)(file, stream)
            os.fsync(stream.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


if __name__ == "__main__":
    wanted = File(tuple(map(int, sys.argv[4:])), sys.argv[3], sys.argv[2])
    if not is_right(Path(sys.argv[1]), wanted):
        make(Path(sys.argv[1]), wanted)
