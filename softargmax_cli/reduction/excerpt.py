"""Read the scores of some slices once more, thinned out for a picture or a sparkline.

Neighbours share a cell, which holds the least and the largest of them, so that long slices take no more memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction import blocks
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.readable import Buffer, Readable

CELLS = {1: 1024, 2: 192}
"""The most cells along each axis, by the number of axes: about what a picture can show."""
ROOM = 1 << 22
"""The most scores that are read at a time, and the most in all of a file that can only be read in order."""

Array = npt.NDArray[Any]
Float = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The scores of m slices along their a reduced axes, each of which is cut into cells."""

    low: Float
    """The least of each cell, shape (m, cells along each reduced axis in the order of the array)."""
    high: Float
    """The largest. Equal to `low` if a cell is one index; NaN if it holds nothing but NaN."""
    edges: tuple[npt.NDArray[np.int64], ...]
    """For each axis the first index of each cell, and at the end the length of the axis."""

    def best(self, kind: str) -> Float:
        """Return the best score of each cell: the largest, or the least cost."""
        return self.low if kind == "cost" else self.high


Read = Callable[[Sequence[int]], Excerpt | None]
"""Read the scores of slices again, by their row-major numbers; None if that would take too much reading."""


def weights(best: Float, peak: float, kind: str, beta: float | None) -> Float:
    """Return the weight of each cell's best index from that of the hard argmax: p = peak · exp(β (x − max)).

    best: of one slice, see `Excerpt.best`; any shape. NaN counts as absent, with weight 0.
    """
    if kind == "cost":
        best = -best
    largest = np.fmax.reduce(best, axis=None)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):  # for infinities
        shares = best / largest if kind == "probs" else np.exp((beta or 0.0) * (best - largest))
    return peak * np.where(best == largest, 1.0, np.nan_to_num(shares, nan=0.0))


def read_excerpt(source: Readable, problem: Problem, numbers: Sequence[int]) -> Excerpt | None:
    """Read slices of a source from which nothing has been read, or that can be read at any place.

    numbers: row-major numbers of the slices. None if too much precedes the last one in a file that can only be read in
    order.
    """
    head = _head(source, problem, max(numbers, default=0) + 1) if source.sequential else None
    if source.sequential and head is None:
        return None
    shape = [n or 0 for n in (problem.shape if head is None else head.shape)]
    kept, axes = problem.kept, problem.ascending
    widths = [max(1, -(-shape[axis] // CELLS[len(axes)])) for axis in axes]
    edges = [np.append(np.arange(0, shape[axis], width), shape[axis]) for axis, width in zip(axes, widths, strict=True)]

    def cells(start: Sequence[int], stop: Sequence[int]) -> tuple[Float, Float]:
        """Read a box of slices piece by piece along the first of their axes; return the extremes of its cells."""
        place = {**dict(zip(kept, zip(start, stop, strict=True), strict=True)), **{k: (0, shape[k]) for k in axes}}
        size = math.prod(b - a for k, (a, b) in place.items() if k != axes[0])
        step = max(1, ROOM // max(1, size) // widths[0]) * widths[0]
        parts = []
        for first in range(0, shape[axes[0]], step):
            place[axes[0]] = (first, min(first + step, shape[axes[0]]))
            block = Block(*(tuple(place[k][end] for k in range(len(shape))) for end in (0, 1)))
            values = _read(source, block) if head is None else head[tuple(map(slice, block.start, block.stop))]
            parts.append(_thinned(values.transpose(*kept, *axes), len(kept), widths))
        low, high = (np.concatenate(side, axis=len(kept)) for side in zip(*parts, strict=True))
        return low, high

    if not len(numbers):
        nothing = np.zeros((0, *(len(each) - 1 for each in edges)))
        return Excerpt(nothing, nothing, tuple(edges))
    positions = np.array(np.unravel_index(numbers, [shape[k] for k in kept])) if kept else np.zeros((0, 1), np.int64)
    together = math.prod(np.ptp(positions, axis=1) + 1) * math.prod(shape[k] for k in axes) <= ROOM
    found = []
    for group in [positions] if together else np.split(positions, len(numbers), axis=1):
        first = group.min(axis=1)
        boxes = cells(first, group.max(axis=1) + 1)
        found.append([box[tuple(group - first[:, None])] if kept else box[None] for box in boxes])
    low, high = (np.concatenate(side) for side in zip(*found, strict=True))
    return Excerpt(low, high, tuple(edges))


def _head(source: Readable, problem: Problem, count: int) -> Array | None:
    """Read the beginning of a source that can only be read in order; None if that is too much."""
    shape, rows = problem.shape, problem.shape[0]
    if 0 not in problem.axes and (source.order == "C" or len(shape) == 1):
        needed = -(-count // max(1, math.prod(shape[k] or 0 for k in problem.kept[1:])))
        rows = needed if rows is None else min(rows, needed)
    beside = max(1, math.prod(n or 0 for n in shape[1:]))
    if rows is not None and rows * beside > ROOM:
        return None
    if shape[0] is not None:
        return _read(source, Block((0,) * len(shape), (rows or 0, *(n or 0 for n in shape[1:]))))
    parts, read = [np.empty((0, beside))], 0
    for block in blocks.rows(beside, ROOM if rows is None else rows * beside):
        pending = None if rows is not None and read >= rows else source.fetch(block)
        if pending is None:
            break
        parts.append(np.array(pending.load(Buffer()).values))
        read += len(parts[-1])
        if read * beside > 2 * ROOM:
            return None
    return np.concatenate(parts)


def _read(source: Readable, block: Block) -> Array:
    if 0 in block.shape:
        return np.empty(block.shape, source.dtype)
    pending = source.fetch(block)
    assert pending is not None
    return pending.load(Buffer()).values


def _thinned(scores: Array, first: int, widths: Sequence[int]) -> tuple[Float, Float]:
    """Return the least and the largest score of each cell; the axes from `first` on are cut into cells."""
    low = high = scores.astype(np.float64)
    for axis, width in enumerate(widths, first):
        if width > 1:
            starts = np.arange(0, low.shape[axis], width)
            low, high = np.fmin.reduceat(low, starts, axis=axis), np.fmax.reduceat(high, starts, axis=axis)
    return low, high
