"""Results stored earlier, to compare with: .npy, or a CSV of one row a slice."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

from softargmax_cli.arrays.npy import MAGIC, read_header
from softargmax_cli.errors import InputError, InputMissingError

Float = npt.NDArray[np.float64]


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
        if len(self._rest) or next(self._rows, None) is not None:
            raise InputError(f"{self._name}: holds more slices than the input, which has {self._count:,}")


@contextmanager
def expected(path: str, kept: tuple[int | None, ...], axes: int) -> Iterator[Expected]:
    """Open a stored result of slices shaped `kept`, with a number for each of so many axes.

    An .npy has shape `kept`, with one more last dimension where axes are several. A CSV has a header with `soft`
    (`soft_0`, `soft_1`, … where axes are several), as `softargmax run -o` writes it, or nothing but these numbers.
    """
    try:
        with open(path, "rb") as stream:
            binary = stream.read(len(MAGIC)) == MAGIC
            stream.seek(0)
            if binary:
                yield Expected(path, axes, _npy_rows(stream, path, kept, axes))
                return
        with open(path, encoding="utf-8-sig", newline="") as text:
            yield Expected(path, axes, _csv_rows(text, path, axes))
    except FileNotFoundError:
        raise InputMissingError(f"{path}: no such file", "make it with: softargmax run INPUT -o FILE") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: neither .npy nor CSV", "make it with: softargmax run INPUT -o FILE") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


BATCH = 1 << 16
"""Slices read at a time."""


def _npy_rows(stream: Any, name: str, kept: tuple[int | None, ...], axes: int) -> Iterator[Float]:
    header = read_header(stream, name)
    wanted = kept if axes == 1 else (*kept, axes)
    if len(header.shape) != len(wanted) or any(n not in (None, m) for n, m in zip(wanted, header.shape, strict=True)):
        what = f"{name}: shape {header.shape} is not that of the result, {str(wanted).replace('None', '?')}"
        raise InputError(what, "is --axis the same as then?")
    if header.order == "F" and len(header.shape) > 1:
        raise InputError(f"{name}: in Fortran order", "write it again in C order, as softargmax does")
    left = math.prod(header.shape[: len(kept)])
    while left:
        count = min(left, BATCH)
        raw = stream.read(count * axes * header.dtype.itemsize)
        if len(raw) < count * axes * header.dtype.itemsize:
            raise InputError(f"{name}: truncated", "make it again with: softargmax run INPUT -o FILE")
        yield np.frombuffer(raw, header.dtype).astype(np.float64).reshape(count, axes)
        left -= count


def _csv_rows(text: TextIO, name: str, axes: int) -> Iterator[Float]:
    rows = csv.reader(text)
    first = next(rows, None)
    if first is None:
        raise InputError(f"{name}: empty")
    names = ["soft"] if axes == 1 else [f"soft_{k}" for k in range(axes)]
    line = 1
    if set(names) <= set(first):
        places = [first.index(column) for column in names]
    elif len(first) == axes and all(map(_is_number, first)):
        places = list(range(axes))
        yield _numbers([first], places, name, line)
        line += 1
    else:
        raise InputError(f"{name}: no column {' or '.join(names)}", "make it with: softargmax run INPUT -o FILE")
    while batch := list(islice(rows, BATCH)):
        yield _numbers(batch, places, name, line + 1)
        line += len(batch)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbers(batch: list[list[str]], places: list[int], name: str, line: int) -> Float:
    for number, row in enumerate(batch):
        if not all(place < len(row) and _is_number(row[place]) for place in places):
            raise InputError(f"{name}: line {line + number}: {','.join(row)[:60]!r} holds no number for soft")
    return np.array([[float(row[place]) for place in places] for row in batch])
