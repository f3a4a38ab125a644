"""Results stored earlier, to compare with: .npy, `soft` of an .npz, or a CSV of one row a slice."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any, BinaryIO, TextIO, cast

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import InputError, InputMissingError, SoftArgmaxError
from softargmax_cli.files.formats.npy import MAGIC, Header, read_header
from softargmax_cli.files.formats.npz import Archive
from softargmax_cli.files.members import few

Float = npt.NDArray[np.float64]

BATCH = 1 << 16
"""Slices read at a time."""
LARGEST = 512 << 20
"""Bytes of a result, as float64, that is held in memory as a whole."""
AGAIN = "make it with: softargmax run INPUT -o FILE"


class Expected:
    """A stored result, read in the order of the slices, a few at a time. Raises InputError where it does not fit."""

    def __init__(self, name: str, axes: int, rows: Iterator[Float]) -> None:
        self._name, self._axes, self._rows = name, axes, rows
        self._rest: Float = np.zeros((0, axes))
        self._count = 0

    def __call__(self, slices: int) -> Float:
        """What is expected of the next slices, (axes, slices)."""
        parts = [self._rest]
        while sum(map(len, parts)) < slices:
            part = next(self._rows, None)
            if part is None:
                held = self._count + sum(map(len, parts))
                raise InputError(f"{self._name}: holds {held:,} slices, the input has more")
            parts.append(part)
        rows: Float = np.concatenate(parts)
        self._rest, self._count = rows[slices:], self._count + slices
        taken: Float = rows[:slices].T
        return taken

    def end(self) -> None:
        """Make sure that nothing is left."""
        if len(self._rest) or any(map(len, self._rows)):
            raise InputError(f"{self._name}: holds more slices than the input, which has {self._count:,}")


@contextmanager
def expected(path: str, kept: tuple[int | None, ...], axes: int) -> Iterator[Expected]:
    """Open a stored result of slices shaped `kept`, with a number for each of so many axes.

    An .npy, or `soft` or the only array of an .npz, has shape `kept`, with one more last dimension where axes are
    several. A CSV has a header with `soft` (`soft_0`, `soft_1`, … where axes are several), as `softargmax run -o`
    writes it, or nothing but these numbers.
    """
    with ExitStack() as files:
        with _blaming(path):  # not what is done meanwhile
            stream = files.enter_context(open(path, "rb"))
            first = stream.read(len(MAGIC))
            stream.seek(0)
        if first == MAGIC:
            rows = _npy_rows(stream, path, kept, axes)
        elif first.startswith(b"PK"):
            archive = Archive(stream, path)
            if len(archive.names) > 1 and "soft" not in archive.names:
                what = f"{path}: {len(archive.names):,} arrays in it, none of them named soft: {few(archive.names)}"
                raise InputError(what, AGAIN)
            key = archive.chosen("soft" if "soft" in archive.names else None)
            member = files.enter_context(io.BufferedReader(archive.opened(key)))
            rows = _npy_rows(cast(BinaryIO, member), f"{path}[{key}]", kept, axes)
        else:
            # As `run` writes it: bytes of an id that are no UTF-8 are as they were in its input.
            text = io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline="")
            rows = _csv_rows(files.enter_context(text), path, axes)
        yield Expected(path, axes, _blamed(rows, path))


@contextmanager
def _blaming(name: str) -> Iterator[None]:
    """Turn what the system and the parser refuse into InputErrors that name the file."""
    try:
        yield
    except SoftArgmaxError:
        raise
    except FileNotFoundError:
        raise InputMissingError(f"{name}: no such file", AGAIN) from None
    except csv.Error as error:
        raise InputError(f"{name}: no CSV: {error}", AGAIN) from None
    except OSError as error:
        if os.path.isdir(name):
            what = f"{name}: a directory, and what is compared with is an .npy, .npz or CSV file"
            raise InputError(what, f"{AGAIN}.npy") from None
        raise InputError(f"{name}: cannot be read: {error.strerror or error}") from None


def _blamed(rows: Iterator[Float], name: str) -> Iterator[Float]:
    """The same rows, read under `_blaming`."""
    while True:
        with _blaming(name):
            batch = next(rows, None)
        if batch is None:
            return
        yield batch


def _npy_rows(stream: BinaryIO, name: str, kept: tuple[int | None, ...], axes: int) -> Iterator[Float]:
    header = read_header(stream, name)
    wanted = kept if axes == 1 else (*kept, axes)
    if len(header.shape) != len(wanted) or any(n not in (None, m) for n, m in zip(wanted, header.shape, strict=True)):
        what = f"{name}: shape {header.shape} is not that of the result, {str(wanted).replace('None', '?')}"
        raise InputError(what, "is --axis the same as then?")
    if header.order == "F" and len(header.shape) > 1:
        yield from _fortran_rows(stream, name, header, axes)
        return
    left = math.prod(header.shape[: len(kept)])
    while left:
        count = min(left, BATCH)
        yield _floats(stream, name, header.dtype, count * axes).reshape(count, axes)
        left -= count


def _fortran_rows(stream: BinaryIO, name: str, header: Header, axes: int) -> Iterator[Float]:
    """The rows of an array whose first one is spread over all of the file, which is therefore read whole."""
    count = math.prod(header.shape)
    if 8 * count > LARGEST:
        what = f"{name}: in Fortran order, and more than {LARGEST >> 20} MiB as float64"
        raise InputError(what, "write it again in C order, as softargmax does")
    yield _floats(stream, name, header.dtype, count).reshape(header.shape, order="F").reshape(-1, axes)


def _floats(stream: BinaryIO, name: str, dtype: np.dtype[Any], count: int) -> Float:
    """The next numbers of an .npy."""
    raw = stream.read(count * dtype.itemsize)
    if len(raw) < count * dtype.itemsize:
        raise InputError(f"{name}: truncated", AGAIN)
    with np.errstate(over="ignore", invalid="ignore"):  # of extended floats, of signalling NaN
        return np.frombuffer(raw, dtype).astype(np.float64)


def _csv_rows(text: TextIO, name: str, axes: int) -> Iterator[Float]:
    rows = csv.reader(text)
    first = next(rows, None)
    if first is None:
        raise InputError(f"{name}: empty", AGAIN)
    names = ["soft"] if axes == 1 else [f"soft_{k}" for k in range(axes)]
    if set(names) <= set(first):
        places = [first.index(column) for column in names]
    elif len(first) == axes and all(map(_is_number, first)):
        places = list(range(axes))
        yield _numbers([first], places, name, 1)
    else:
        raise InputError(f"{name}: no column {' or '.join(names)}", AGAIN)
    line = 2
    while batch := list(islice(rows, BATCH)):
        yield _numbers(batch, places, name, line)
        line += len(batch)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbers(batch: list[list[str]], places: list[int], name: str, row: int) -> Float:
    """The numbers of soft in rows of a table, the first of which has number `row`; empty lines are none."""
    for number, cells in enumerate(batch, row):
        if cells and not all(place < len(cells) and _is_number(cells[place]) for place in places):
            raise InputError(f"{name}: row {number}: {','.join(cells)[:60]!r} holds no number for soft")
    numbers = [[float(cells[place]) for place in places] for cells in batch if cells]
    return np.array(numbers, np.float64).reshape(-1, len(places))
