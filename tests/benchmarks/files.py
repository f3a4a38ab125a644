"""The input files: what is in them, and how they are made."""

from __future__ import annotations

import io
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

SEED = 20_180_805
CELL = 12
"""Characters of a CSV's cell: `0.`, nine digits, a comma or the end of the line."""
SPARE = 1_000_000_000
"""Bytes of the disk that no file may take."""
PIECE = 8_000_000
"""Values drawn at a time."""
TRIPLES = np.array([list(f"{number:03}".encode()) for number in range(1000)], np.uint8)


@dataclass(frozen=True)
class File:
    """Uniform random scores in [0, 1), in row-major order of `shape`; the same for every layout and run."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    layout: str = "rows"
    """rows; fortran: the same array stored by columns; transposed: that, as an array of the reversed shape; csv;
    folder: a file for each index of the first axis."""

    @property
    def name(self) -> str:
        """A name that says all that is in it."""
        shape = "x".join(map(str, self.shape))
        if self.layout == "folder":
            return f"{self.dtype}-{shape}"
        return f"{shape}.csv" if self.layout == "csv" else f"{self.dtype}-{self.layout}-{shape}.npy"

    @property
    def size(self) -> int:
        """Bytes of the scores, without an .npy header."""
        return math.prod(self.shape) * (CELL if self.layout == "csv" else np.dtype(self.dtype).itemsize)


def provide(file: File, folder: Path) -> Path:
    """Make a file where it is missing, and have it in the cache. Raises OSError where the disk is too small."""
    path = folder / file.name
    if file.layout == "folder":
        path.mkdir(exist_ok=True)
        for start, piece in pieces(file):
            for number, array in enumerate(piece, start):
                np.save(path / f"{number:04}.npy", array)
        return path
    if not path.exists():
        if shutil.disk_usage(folder).free < file.size + SPARE:
            raise OSError(f"not enough room for {file.size / 1e9:.1f} GB; choose another --folder, or --sizes quick")
        unfinished = path.with_suffix(".making")
        with unfinished.open("wb", buffering=0) as stream:
            (write_text if file.layout == "csv" else write_array)(file, stream)
        unfinished.replace(path)
    with path.open("rb", buffering=0) as opened:
        buffer = bytearray(PIECE)
        while opened.readinto(buffer):
            pass
    return path


def pieces(file: File) -> Iterator[tuple[int, npt.NDArray[np.floating]]]:
    """The array in order: where along the first axis a piece begins, and the piece."""
    random = np.random.default_rng(SEED)
    drawn = np.float64 if file.dtype == "float64" else np.float32
    step = PIECE // math.prod(file.shape[1:])
    for start in range(0, file.shape[0], step):
        shape = (min(step, file.shape[0] - start), *file.shape[1:])
        yield start, random.random(shape, drawn).astype(file.dtype, copy=False)


def write_array(file: File, stream: io.FileIO) -> None:
    """Write an .npy file, by rows or by columns."""
    head = io.BytesIO()
    shape = file.shape[::-1] if file.layout == "transposed" else file.shape
    described = {"descr": np.dtype(file.dtype).str, "fortran_order": file.layout == "fortran", "shape": shape}
    np.lib.format.write_array_header_1_0(head, described)
    begin = stream.write(head.getvalue())
    for start, piece in pieces(file):
        if file.layout == "rows":
            write(stream, piece)
            continue
        for column, values in enumerate(np.ascontiguousarray(piece.T)):
            stream.seek(begin + (column * file.shape[0] + start) * piece.itemsize)
            write(stream, values)


def write_text(file: File, stream: io.FileIO) -> None:
    """Write a CSV without a header; every number has nine significant digits."""
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
    """Write all bytes of an array."""
    rest = memoryview(values).cast("B")
    while rest:
        rest = rest[stream.write(rest) :]
