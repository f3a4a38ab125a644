"""Slices in row-major order, whatever order the file has them in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.blocks import Block, Order
from softargmax_cli.reduction.result import Slices

RUN = 1 << 16
"""Slices handed on at a time."""
Scratch = Callable[[int], IO[bytes]]
"""Opens a file for so many bytes that are not wanted for long, all of which have a place on the disk."""


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


def in_row_major_order(
    parts: Iterator[tuple[Block, Slices]],
    kept: Sequence[int],
    lengths: Sequence[int],
    memory: int,
    scratch: Scratch | None = None,
) -> Iterator[Slices]:
    """Collect the slices of blocks in any order, then yield all in row-major order.

    kept: the axes that stay, of `lengths`. What takes more than `memory` bytes is kept in files, where there are any.
    """
    whole: dict[str, npt.NDArray[Any]] = {}
    for block, slices in parts:
        for name, part in slices.columns.items():
            if name not in whole:
                whole[name] = _space([*part.shape[:-1], *lengths], part.dtype, memory // len(slices.columns), scratch)
            box: tuple[Any, ...] = (..., *(slice(block.start[k], block.stop[k]) for k in kept))
            inner = [block.stop[k] - block.start[k] for k in kept]
            whole[name][box] = part.reshape(*part.shape[:-1], *inner)
    flat = {name: array.reshape(*array.shape[: array.ndim - len(kept)], -1) for name, array in whole.items()}
    for start in range(0, math.prod(lengths) if whole else 0, RUN):
        yield Slices(start, {name: np.array(array[..., start : start + RUN]) for name, array in flat.items()})


def _space(shape: Sequence[int], dtype: np.dtype[Any], memory: int, scratch: Scratch | None) -> npt.NDArray[Any]:
    nbytes = math.prod(shape) * dtype.itemsize
    if scratch is None or nbytes <= memory:
        return np.empty(shape, dtype)
    with scratch(nbytes) as file:  # the mapping outlives the descriptor
        return np.memmap(file, dtype, "r+", shape=tuple(shape))
