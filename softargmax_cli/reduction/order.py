"""Slices in row-major order, whatever order the file has them in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.blocks import Block, Order
from softargmax_cli.reduction.result import Slices

RUN = 1 << 16
"""Slices handed on at a time."""
Scratch = Callable[[int], AbstractContextManager[IO[bytes]]]
"""Lends a file for so many bytes that are not wanted for long, all of which have a place on the disk."""


def logical(slices: Slices, shape: Sequence[int], order: Order) -> Slices:
    """Put the slices of one block into row-major order of its kept axes (of lengths `shape`), from memory order."""
    if order == "C" or len(shape) <= 1:
        return slices
    return replace(slices, columns={name: _turned(part, shape) for name, part in slices.columns.items()})


def _turned(part: npt.NDArray[Any], shape: Sequence[int]) -> npt.NDArray[Any]:
    """Turn (…, m) into row-major order of `shape` from column-major."""
    before = part.shape[:-1]
    box = part.reshape(*before, *shape[::-1])
    last = range(len(before), box.ndim)
    turned: npt.NDArray[Any] = box.transpose(*range(len(before)), *reversed(last)).reshape(part.shape)
    return turned


def numbered(slices: Slices, block: Block, kept: Sequence[int], shape: Sequence[int | None]) -> Slices:
    """Number the slices of a block of an array of `shape`, where they do not follow each other in row-major order."""
    wide = [place for place, k in enumerate(kept) if block.shape[k] > 1]
    if not wide or all(block.shape[k] == shape[k] for k in kept[wide[0] + 1 :]):
        return slices
    numbers = np.zeros((), np.int64)
    for k in kept:
        numbers = np.add.outer(numbers * (shape[k] or 0), np.arange(block.start[k], block.stop[k]))
    return replace(slices, numbers=numbers.ravel())


def in_row_major_order(
    parts: Iterator[tuple[Block, Sequence[Slices]]],
    kept: Sequence[int],
    lengths: Sequence[int],
    memory: int,
    scratch: Scratch | None = None,
) -> Iterator[list[Slices]]:
    """Collect the slices of blocks in any order, then yield all in row-major order.

    parts: a block and its slices, or those of several problems. kept: the axes that stay, of `lengths`. What takes more
    than `memory` bytes is kept in files, where there are any.
    """
    whole: list[dict[str, npt.NDArray[Any]]] = []
    for block, answers in parts:
        whole = whole or [{} for _ in answers]
        box: tuple[Any, ...] = (..., *(slice(block.start[k], block.stop[k]) for k in kept))
        inner = [block.stop[k] - block.start[k] for k in kept]
        for columns, slices in zip(whole, answers, strict=True):
            share = memory // (len(answers) * len(slices.columns))
            for name, part in slices.columns.items():
                if name not in columns:
                    columns[name] = _space([*part.shape[:-1], *lengths], part.dtype, share, scratch)
                columns[name][box] = part.reshape(*part.shape[:-1], *inner)
    flat = [
        {name: array.reshape(*array.shape[: array.ndim - len(kept)], -1) for name, array in columns.items()}
        for columns in whole
    ]
    for start in range(0, math.prod(lengths) if whole else 0, RUN):
        yield [
            Slices(start, {name: np.array(array[..., start : start + RUN]) for name, array in columns.items()})
            for columns in flat
        ]


def _space(shape: Sequence[int], dtype: np.dtype[Any], memory: int, scratch: Scratch | None) -> npt.NDArray[Any]:
    nbytes = math.prod(shape) * dtype.itemsize
    if scratch is None or nbytes <= memory:
        return np.empty(shape, dtype)
    with scratch(nbytes) as file:  # the mapping outlives the descriptor
        return np.memmap(file, dtype, "r+", shape=tuple(shape))
