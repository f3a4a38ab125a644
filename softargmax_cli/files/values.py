"""The coordinates of an axis, one for each index, from a small file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import InputError, OptionError, SoftArgmaxError
from softargmax_cli.files.registry import open_source
from softargmax_cli.files.source import Source
from softargmax_cli.reduction import blocks
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.buffer import Buffer

LARGEST = 512 << 20
"""Bytes of a file of coordinates, and of the coordinates themselves, which are held in memory."""
PIECE = 1 << 18
"""Numbers of a table read at a time."""
REMEDY = "write a finite number for each index, all on one line or each on its own, or a 1-D .npy"


def read_values(path: str, option: str = "--values") -> npt.NDArray[np.float64]:
    """The coordinate of each index along an axis, shape (n,), n ≥ 1, C-contiguous, finite, in the file's order.

    The file is a 1-D .npy, or an .npy or a CSV of one row or of one column; a CSV may have a header. `option` is what
    errors call the file by. Raises OptionError for "-", InputError where the file is none of these, takes more than
    `LARGEST`, or holds NaN or an infinity.
    """
    if path == "-":
        raise OptionError(f"{option} -: standard input is for the scores, not for coordinates", "name a file")
    with _naming(option), closing(open_source(path)) as source:
        if source.nbytes is not None and source.nbytes > LARGEST:
            raise _too_large(source)
        stored = _table(source) if None in source.shape else _array(source)
        with np.errstate(invalid="ignore"):  # of a signalling NaN
            values = np.array(stored.reshape(-1), np.float64)
        finite = np.isfinite(values)
        if not finite.all():
            first = int(np.argmin(finite))
            raise InputError(f"{source.name}: the coordinate of index {first} is {values[first]}", REMEDY)
        return values


def _array(source: Source) -> npt.NDArray[Any]:
    """The values of an .npy of one row or column."""
    shape = tuple(n for n in source.shape if n is not None)
    _check_shape(source, shape)
    if 8 * math.prod(shape) > LARGEST:
        raise _too_large(source)
    pending = source.fetch(Block((0,) * len(shape), shape))
    assert pending is not None  # as at the end of a table
    return pending.load(Buffer()).values


def _table(source: Source) -> npt.NDArray[Any]:
    """The values of a CSV of one row or column."""
    columns = source.shape[1] or 0
    parts: list[npt.NDArray[Any]] = [np.empty((0, columns))]
    nbytes = 0
    for block in blocks.rows(columns, PIECE):
        pending = source.fetch(block)
        if pending is None:
            break
        parts.append(pending.load(Buffer()).values)
        nbytes += parts[-1].nbytes
        if nbytes > LARGEST:  # of a pipe, or packed
            raise _too_large(source)
    values = np.concatenate(parts)
    _check_shape(source, values.shape)
    return values


def _check_shape(source: Source, shape: tuple[int, ...]) -> None:
    """Refuse what is neither one row nor one column of something."""
    if len(shape) not in (1, 2) or min(shape) > 1 < len(shape):
        raise InputError(f"{source.name}: shape {shape}: coordinates are one row or one column", REMEDY)
    if 0 in shape:
        raise InputError(f"{source.name}: no numbers in it", REMEDY)


def _too_large(source: Source) -> InputError:
    what = f"more than {LARGEST >> 20} MiB, as a file or as float64: too much for coordinates"
    return InputError(f"{source.name}: {what}", REMEDY)


@contextmanager
def _naming(option: str) -> Iterator[None]:
    """Put the option before errors, and take from them what is meant for the file that is reduced."""
    try:
        yield
    except SoftArgmaxError as error:
        error.what, error.file = f"{option} {error.message}", None
        if "--" in error.remedy or "NaN" in error.remedy or "softargmax" in error.remedy:
            error.remedy = REMEDY
        raise
