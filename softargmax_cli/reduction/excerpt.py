"""The scores of the first slices, kept as they pass by on their way through the reduction, and thinned out.

So a picture of a slice costs no second reading, works for pipes, and takes the same memory for a slice of 10⁹ scores:
neighbours share a cell, which remembers the least and the largest of them.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer, Loaded, Pending, Readable

CELLS = {1: 1024, 2: 192}
"""Along each axis, by their number: about what a picture of a page can show."""

Array = npt.NDArray[Any]
Float = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The first m slices, reduced along a axes of which each has so many cells."""

    low: Float
    """The least of each cell, shape (m, cells along each reduced axis in the order of the array)."""
    high: Float
    """The largest. Equal to `low` where a cell is one index; NaN where it holds nothing but NaN."""
    edges: tuple[npt.NDArray[np.int64], ...]
    """For each axis the index where each cell begins, and at the end the axis's length."""

    def best(self, kind: str) -> Float:
        """Of each cell what weighs most: the largest score, the least cost."""
        return self.low if kind == "cost" else self.high

    @property
    def thinned(self) -> bool:
        """Whether any cell is more than one index."""
        return any(len(edges) <= edges[-1] for edges in self.edges)


def weights(best: Float, peak: float, kind: str, beta: float | None) -> Float:
    """The weight of each cell's best index, from the weight `peak` at the hard argmax: p = peak · exp(β (x − max)).

    best: of one slice, see `Excerpt.best`; any shape. NaN counts as absent, with weight 0.
    """
    if kind == "cost":
        best = -best
    largest = np.fmax.reduce(best, axis=None)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):  # of infinities
        shares = best / largest if kind == "probs" else np.exp((beta or 0.0) * (best - largest))
    return peak * np.where(best == largest, 1.0, np.nan_to_num(shares, nan=0.0))


class Excerpting:
    """A source that is read as `source` is, and keeps the first `count` slices of what passes.

    `cells`: at most twice as many are kept along each of the reduced `axes`, counted from 0. It may be read twice.
    """

    def __init__(self, source: Readable, axes: Sequence[int], count: int, cells: int) -> None:
        self.shape, self.dtype, self.order = source.shape, source.dtype, source.order
        self.sequential, self.labels = source.sequential, source.labels
        self.chunks = source.chunks
        self._source = source
        self._kept = [k for k in range(len(self.shape)) if k not in axes]
        self._axes = sorted(axes)
        self._boxes = [
            _Box(start, stop, [_Cells(self.shape[axis], cells) for axis in self._axes])
            for start, stop in first_boxes([self.shape[k] for k in self._kept], count)
        ]
        self._lock = threading.Lock()
        self._fetched = self._next = self._rows = 0
        self._waiting: dict[int, tuple[Array, int]] = {}

    def fetch(self, block: Block) -> Pending | None:
        pending = self._source.fetch(block)
        if pending is None:
            return None
        self._fetched += 1
        return _Watched(pending, self, self._fetched - 1, block)

    def excerpt(self) -> Excerpt:
        """What has passed, once all of it has."""
        length = self._rows if self.shape[0] is None else self.shape[0]
        lengths = [length if axis == 0 else self.shape[axis] or 0 for axis in self._axes]
        ends = [cells.edges(n) for cells, n in zip(self._boxes[0].cells, lengths, strict=True)]
        shape = [len(edges) - 1 for edges in ends]
        used: tuple[Any, ...] = (..., *map(slice, shape))
        parts = [(box.low[used].reshape(-1, *shape), box.high[used].reshape(-1, *shape)) for box in self._boxes]
        low, high = map(np.concatenate, zip(*parts, strict=True))
        if self.shape[0] is None and 0 in self._kept:
            low, high = low[: self._rows], high[: self._rows]
        return Excerpt(low, high, tuple(ends))

    def passed(self, number: int, block: Block, values: Array) -> None:
        """Take what is wanted of a block that has been loaded, by any thread; `number` counts those fetched."""
        if self.shape[0] is not None:
            for box in self._boxes:
                self._take(box, block.start, values)
            return
        (box,) = self._boxes
        wanted = values[: box.stop[0]] if 0 in self._kept else values[:, : box.stop[0]] if self._kept else values
        with self._lock:  # where a piece of a table begins is known when all before it have been loaded
            self._waiting[number] = (wanted if number == self._next else np.array(wanted), len(values))
            while self._next in self._waiting:
                part, rows = self._waiting.pop(self._next)
                self._take(box, (self._rows, 0), part)
                self._next += 1
                self._rows += rows

    def _take(self, box: _Box, start: Sequence[int], values: Array) -> None:
        """What a box wants of `values`, which begin at `start`."""
        inside: list[slice] = [slice(None)] * values.ndim
        target: list[slice] = []
        for k, first, last in zip(self._kept, box.start, box.stop, strict=True):
            begin, end = max(first, start[k]), min(last, start[k] + values.shape[k])
            if begin >= end:
                return
            inside[k] = slice(begin - start[k], end - start[k])
            target.append(slice(begin - first, end - first))
        part = values[tuple(inside)].transpose(*self._kept, *self._axes)
        box.add(part, target, [start[axis] for axis in self._axes])


@dataclass(frozen=True, slots=True)
class _Watched:
    """A block that is looked at when it is loaded."""

    pending: Pending
    keeper: Excerpting
    number: int
    block: Block

    @property
    def nbytes(self) -> int:
        return self.pending.nbytes

    def load(self, buffer: Buffer) -> Loaded:
        loaded = self.pending.load(buffer)
        self.keeper.passed(self.number, self.block, loaded.values)
        return loaded


class _Cells:
    """How one axis is cut: cells of `width` indices each, wider while an axis of unknown length grows."""

    def __init__(self, length: int | None, most: int) -> None:
        self.width = 1 if length is None else max(1, -(-length // most))
        self.room = 2 * most if length is None else -(-length // self.width)

    def edges(self, length: int) -> npt.NDArray[np.int64]:
        """Where the cells of an axis of `length` begin, and its end."""
        return np.append(np.arange(0, length, self.width), length)


class _Box:
    """Slices side by side, `start` to `stop` along the axes that stay, and the cells of each."""

    def __init__(self, start: Sequence[int], stop: Sequence[int], cells: list[_Cells]) -> None:
        self.start, self.stop, self.cells = start, stop, cells
        shape = [b - a for a, b in zip(start, stop, strict=True)] + [axis.room for axis in cells]
        self.low, self.high = np.full(shape, np.nan), np.full(shape, np.nan)
        self._lock = threading.Lock()

    def add(self, part: Array, target: Sequence[slice], start: Sequence[int]) -> None:
        """Take scores, shape (kept…, reduced…), that begin at `start` along the reduced axes."""
        if not part.size:
            return
        # NumPy has no quick arithmetic of halves.
        low = high = part.astype(np.float32) if part.dtype == np.float16 else part
        places, kept = list(target), part.ndim - len(start)
        while start[0] + part.shape[kept] > self.cells[0].room * self.cells[0].width:
            self._halve(kept)
        for axis, (cells, begin) in enumerate(zip(self.cells, start, strict=True), kept):
            first, last = begin // cells.width, -(-(begin + part.shape[axis]) // cells.width)
            places.append(slice(first, last))
            if cells.width > 1:
                starts = np.maximum(np.arange(first, last) * cells.width - begin, 0)
                low, high = np.fmin.reduceat(low, starts, axis=axis), np.fmax.reduceat(high, starts, axis=axis)
        at = tuple(places)
        with self._lock:
            self.low[at], self.high[at] = np.fmin(self.low[at], low), np.fmax(self.high[at], high)

    def _halve(self, axis: int) -> None:
        """Make two cells of the first reduced axis, whose length is not known, one."""
        starts = np.arange(0, self.cells[0].room, 2)
        halves = np.fmin.reduceat(self.low, starts, axis=axis), np.fmax.reduceat(self.high, starts, axis=axis)
        at = (slice(None),) * axis + (slice(len(starts)),)
        for values, half in zip((self.low, self.high), halves, strict=True):
            values.fill(np.nan)
            values[at] = half
        self.cells[0].width *= 2


def first_boxes(lengths: Sequence[int | None], count: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The first `count` positions of axes of `lengths`, in row-major order, as boxes (start, stop); at least one box.

    The first length may be unknown. Where there is no axis, there is one position.
    """
    if not lengths:
        yield (), ()
        return
    rest_of_shape = [length or 0 for length in lengths[1:]]
    whole, rest = divmod(count, max(1, math.prod(rest_of_shape)))
    if lengths[0] is not None and whole >= lengths[0]:
        whole, rest = lengths[0], 0
    if whole or not rest:
        yield (0,) * len(lengths), (whole, *rest_of_shape)
    if rest:
        for start, stop in first_boxes(lengths[1:], rest):
            yield (whole, *start), (whole + 1, *stop)
