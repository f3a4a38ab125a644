"""The blocks of an array and the order in which they are read: pure geometry.

A block is a box. Blocks come in the order of the axes that stay, and for each of those boxes along the
reduced axes, so that a slice is finished as early as possible. They are contiguous in the file unless
slices would have too many parts: where many slices lie side by side (reducing the first axis of a
C-ordered file), a block takes a stretch of each row, wide enough to be read at full speed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Order = Literal["C", "F"]

NARROWEST = 4096
"""The least elements of a row that a block takes, unless it takes whole rows."""
ENDLESS = 1 << 62
"""Stands for an unknown length."""
WIDER = 2
"""The factor by which a block of parts of rows is larger, as many short stretches are slow to read."""


@dataclass(frozen=True, slots=True)
class Block:
    """A box of an array: positions `start[k] <= i < stop[k]` along each axis k."""

    start: tuple[int, ...]
    stop: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The length along each axis."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))

    def moved(self, by: Sequence[int]) -> Block:
        """Return the block, moved to the right along each axis."""
        return Block(
            tuple(a + b for a, b in zip(self.start, by, strict=True)),
            tuple(a + b for a, b in zip(self.stop, by, strict=True)),
        )

    def bordered(self, axes: Sequence[int], shape: Sequence[int | None], round: Sequence[int] = ()) -> Block:
        """Widen the block by one entry to either side along `axes`, within an array of `shape`.

        round: axes whose ends are neighbours. Along these it may lie across the ends, unless it covers the whole axis.
        """
        start, stop = list(self.start), list(self.stop)
        for axis in axes:
            a, b, n = start[axis], stop[axis], shape[axis] or 0
            if axis not in round:
                start[axis], stop[axis] = max(0, a - 1), min(n, b + 1)
            elif b - a < n:
                start[axis], stop[axis] = a - 1, b + 1
        return Block(tuple(start), tuple(stop))


@dataclass(frozen=True, slots=True)
class Plan:
    """All blocks of an array: `extent` along each axis, less at the ends."""

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    order: Order
    extent: tuple[int, ...]

    def __iter__(self) -> Iterator[Block]:
        """Yield the blocks, reduced axes innermost, otherwise in the order of the file."""
        return map(self.block, range(self.columns * self.parts))

    def block(self, number: int) -> Block:
        """Return a block by its number in the order of the plan: `parts` of them hold a column of slices."""
        start = [0] * len(self.shape)
        fastest_first = range(len(self.shape))[:: -1 if self.order == "C" else 1]
        for axis in sorted(fastest_first, key=lambda axis: axis not in self.axes):
            number, place = divmod(number, self._count(axis))
            start[axis] = place * self.extent[axis]
        ends = zip(start, self.extent, self.shape, strict=True)
        return Block(tuple(start), tuple(min(a + size, n) for a, size, n in ends))

    @property
    def columns(self) -> int:
        """The number of boxes into which the kept axes are cut."""
        return math.prod(self._count(k) for k in range(len(self.shape)) if k not in self.axes)

    @property
    def parts(self) -> int:
        """The number of blocks that hold the same slices."""
        return math.prod(self._count(k) for k in self.axes)

    def _count(self, axis: int) -> int:
        return -(-self.shape[axis] // self.extent[axis])

    def boxes(self) -> Iterator[list[Block]]:
        """Yield the list of blocks for each column of slices."""
        for first in range(0, self.columns * self.parts, self.parts):
            yield [self.block(number) for number in range(first, first + self.parts)]

    @property
    def splits(self) -> bool:
        """True if blocks hold parts of slices."""
        return any(self.extent[axis] < self.shape[axis] for axis in self.axes)

    @property
    def in_order(self) -> bool:
        """True if slices come in row-major order of the kept axes."""
        kept = [k for k in range(len(self.shape)) if k not in self.axes and self.shape[k] > 1]
        wide = next((place for place, k in enumerate(kept) if self.extent[k] > 1), len(kept))
        whole = all(self.extent[k] >= self.shape[k] for k in kept[wide + 1 :])
        return len(kept) <= 1 or (self.order == "C" and whole)

    def completes(self, block: Block) -> bool:
        """Tell whether the block is the last of its slices."""
        return all(block.stop[axis] == self.shape[axis] for axis in self.axes)

    def elements_by_shape(self) -> dict[tuple[int, ...], int]:
        """Return the number of the array's elements that lie in blocks of each shape."""
        sizes = zip(self.extent, self.shape, strict=True)
        lengths = ({size: n - n % size} | ({n % size: n % size} if n % size else {}) for size, n in sizes)
        blocks = itertools.product(*(each.items() for each in lengths))
        return {tuple(n for n, _ in each): math.prod(count for _, count in each) for each in blocks}


def plan(shape: tuple[int, ...], axes: tuple[int, ...], order: Order, elements: int, *, contiguous: bool) -> Plan:
    """Plan blocks of about `elements` elements, or `WIDER` times that.

    `contiguous`: each is one stretch of the file, in file order, even if that needs more elements.
    """
    turn = slice(None, None, 1 if order == "C" else -1)  # the rest sees the axes from the slowest to the fastest
    lengths, reduced = shape[turn], [axis in axes for axis in range(len(shape))][turn]
    extent = _contiguous(lengths, reduced, elements) if contiguous else _wide(lengths, reduced, elements)
    return Plan(shape, axes, order, tuple(extent[turn]))


def rows(columns: int, elements: int, axes: tuple[int, ...] = (1,)) -> Plan:
    """Plan an endless sequence of blocks of whole rows, for a table of unknown length."""
    return Plan((ENDLESS, columns), axes, "C", (max(1, elements // max(1, columns)), columns))


def stretches(start: Sequence[int], shape: Sequence[int], lengths: Sequence[int]) -> tuple[list[int], int]:
    """Find the start of each stretch of a box, and their length, in elements of an array of `lengths` in C order.

    The box begins at `start`; its stretches come in its own order.
    """
    # From this axis on, the box is one stretch of the file for each position along the axes before.
    split = len(shape)
    while split > 0 and tuple(shape[split:]) == tuple(lengths[split:]):
        split -= 1
    strides = [math.prod(lengths[k + 1 :]) for k in range(len(lengths))]
    starts = np.array(sum(i * step for i, step in zip(start, strides, strict=True)), np.int64)
    for count, step in zip(shape[:split], strides[:split], strict=True):
        starts = np.add.outer(starts, np.arange(count) * step)
    return starts.ravel().tolist(), math.prod(shape[split:])


def fitting(length: int, room: int) -> int:
    """Cut a length into nearly equal pieces of at most `room`, so that most blocks have one shape."""
    pieces = max(1, -(-length // max(1, room)))
    return max(1, -(-length // pieces))


def _contiguous(lengths: Sequence[int], reduced: Sequence[bool], elements: int) -> list[int]:
    """Take a stretch of the file. A slice is finished only when the file has passed all of it, so none is cut."""
    begin = reduced.index(True) + 1
    if all(reduced[begin:]):  # no slices lie side by side
        begin = len(lengths)
    extent = [max(1, n) for n in lengths]
    room = elements // math.prod(extent[begin:])
    for axis in reversed(range(begin)):
        extent[axis] = fitting(lengths[axis], room)
        room = room // extent[axis] if extent[axis] >= lengths[axis] else 0
    return extent


def _wide(lengths: Sequence[int], reduced: Sequence[bool], elements: int) -> list[int]:
    """Take whole slices or long parts of these, from the last axis outwards.

    If slices lie side by side, as along a kept axis with reduced axes outside of it, a block takes only as many of them
    as leave room for the reduced axes, but no less than a stretch of the file that is worth reading.
    """
    outside = math.prod(n for n, one in zip(lengths, reduced, strict=True) if one)
    extent, size, whole, wider = [1] * len(lengths), 1, True, False
    for axis in reversed(range(len(lengths))):
        room = elements
        if reduced[axis]:
            outside //= max(1, lengths[axis])
        elif not whole:
            continue
        elif any(reduced[:axis]):
            room = min(elements, max(NARROWEST, elements // max(1, outside)))
            if not wider and size * lengths[axis] > room:
                elements, room, wider = WIDER * elements, min(elements, WIDER * room), True
        extent[axis] = fitting(lengths[axis], room // size)
        whole = whole and extent[axis] >= lengths[axis]
        size *= extent[axis]
    return extent
