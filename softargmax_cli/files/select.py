"""A part of an array, read without the rest of it: boxes of the part are read as boxes of the array."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import numpy.typing as npt

from softargmax_cli.errors import naming
from softargmax_cli.files.selection import Selection
from softargmax_cli.files.source import BoxSource, Loaded, Source
from softargmax_cli.files.tempcopy import Copy, copied
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer

MEMORY = 32 << 20
"""Bytes that copying may take, where the array can only be read in order."""
APART = 64 << 10
"""Bytes between two positions from which on they are read apart; of what is nearer, all between is read with them."""
NEAR = 2 << 10
"""Bytes of a line that are read for nothing, rather than have one more read of each line."""
READ = 4 << 20
"""Bytes of the array read at a time, where more is read than is wanted."""

_Cut = tuple[slice, range, slice]
"""Positions of a block along one axis, what is read of the array for them, and which of that goes there."""


def selected(source: Source, selection: Selection) -> Source:
    """Return the part of `source` that `selection` takes; one that can only be read in order is copied first.

    Closing it closes `source`, which otherwise stays the caller's, where this raises, too. Raises OptionError for an
    index that the array has not, OutputError where the copy finds no room.
    """
    with naming(source.name):
        selection.ranges(source.shape)  # refuses what can be refused, before anything is copied
        source = copied(source, MEMORY)
        try:
            return SelectedSource(source, selection.ranges(source.shape), selection.kept(len(source.shape)))
        except BaseException:
            source.close()
            raise


class SelectedSource(BoxSource):
    """The positions `ranges` along each axis of `source`, of which those axes stay that are `kept`.

    Any thread may read any block.
    """

    def __init__(self, source: Source, ranges: Sequence[range], kept: Sequence[bool]) -> None:
        self.appear_as(source)
        self._source, self.ranges, self.kept = source, tuple(ranges), tuple(kept)
        self.shape = tuple(len(r) for r, stays in zip(ranges, kept, strict=True) if stays)
        self.nbytes = math.prod(map(len, ranges)) * self.dtype.itemsize
        self.chunks = self._taken(source.chunks)
        self.labels = None
        if source.labels is not None and kept[-1]:
            self.labels = [source.labels[i] for i in ranges[-1]]
        self._names = source.names if isinstance(source, Copy) and all(kept) else None
        self.has_ids = self._names is not None
        self._lengths = tuple(n or 0 for n in source.shape)
        self._spaces = threading.local()

    def _taken(self, lengths: Sequence[int] | None) -> tuple[int, ...] | None:
        """Return how much of a chunk of these lengths is wanted, where it begins with the part."""
        if lengths is None:
            return None
        taken = zip(lengths, self.ranges, self.kept, strict=True)
        return tuple(-(-length // abs(positions.step)) for length, positions, stays in taken if stays)

    def read(self, block: Block, buffer: Buffer) -> Loaded:
        """Read the values of a box of the part, and the names of its rows."""
        wanted = self.wanted(block)
        left = (*(slice(None) if stays else 0 for stays in self.kept), ...)  # "..." for a view where no axis stays
        ids = None if self._names is None else self._names.read(wanted[0])
        spans = self._spans(wanted)
        if all(positions == span for positions, span in zip(wanted, spans, strict=True)):
            return Loaded(self._load(spans, buffer)[left], ids)
        lengths = tuple(map(len, wanted))
        turned = self.order == "F"
        values = buffer.array(lengths[::-1] if turned else lengths, self.dtype)
        values = values.T if turned else values
        if not hasattr(self._spaces, "buffer"):
            self._spaces.buffer = Buffer()
        for pieces in itertools.product(*self._cuts(wanted, spans)):
            target, box, taken = zip(*pieces, strict=True) if pieces else ((), (), ())
            values[target] = self._load(box, self._spaces.buffer)[taken]
        return Loaded(values[left], ids)

    def wanted(self, block: Block) -> tuple[range, ...]:
        """Return the positions in the array that a box of the part takes along each axis."""
        spans = iter(zip(block.start, block.stop, strict=True))
        return tuple(r[slice(*next(spans))] if stays else r for r, stays in zip(self.ranges, self.kept, strict=True))

    def _load(self, box: Sequence[range], buffer: Buffer) -> npt.NDArray[Any]:
        pending = self._source.fetch(Block(tuple(r.start for r in box), tuple(r.stop for r in box)))
        assert pending is not None  # as at the end of a table
        return pending.load(buffer).values

    def _fastest_first(self) -> Iterable[int]:
        return range(len(self._lengths)) if self.order == "F" else reversed(range(len(self._lengths)))

    def _spans(self, wanted: Sequence[range]) -> list[range]:
        """Return what is read along each axis: from the first wanted to the last, or all of it where that is near."""
        spans, lines, size = [*wanted], math.prod(map(len, wanted)), self.dtype.itemsize
        for axis in self._fastest_first():
            positions, n = wanted[axis], self._lengths[axis]
            lines //= len(positions)
            low, high = min(positions[0], positions[-1]), max(positions[0], positions[-1]) + 1
            spans[axis] = range(n) if lines > 1 and (n - high + low) * size < NEAR else range(low, high)
            size *= n
        return spans

    def _cuts(self, wanted: Sequence[range], spans: Sequence[range]) -> list[list[_Cut]]:
        """Cut the spans into pieces of a bounded size; positions that lie far apart are pieces of their own."""
        cuts: list[list[_Cut]] = [[] for _ in wanted]
        size = self.dtype.itemsize
        # A chunk is decoded as a whole, however little of it is asked for at a time.
        room = max(1, READ // size, math.prod(self._source.chunks or ()))
        for axis in self._fastest_first():
            positions, apart = wanted[axis], abs(wanted[axis].step)
            count = len(positions)
            if (apart - 1) * size >= APART:
                count = 1
            elif len(spans[axis]) > room:
                count = (room - 1) // apart + 1
            for at in range(0, len(positions), count):
                part = positions[at : at + count]
                low, high = min(part[0], part[-1]), max(part[0], part[-1]) + 1
                box = spans[axis] if len(part) == len(positions) else range(low, high)
                end = part[-1] - box.start + (1 if part.step > 0 else -1)
                taken = slice(part[0] - box.start, end if end >= 0 else None, part.step)
                cuts[axis].append((slice(at, at + len(part)), box, taken))
            room = max(1, room // len(cuts[axis][0][1]))
            size *= self._lengths[axis]
        return cuts

    def close(self) -> None:
        super().close()
        self._source.close()
