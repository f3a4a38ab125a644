"""A part of an array, read without the rest of it: boxes of the part are read as boxes of the array."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import naming
from softargmax_cli.files.reading import Selection
from softargmax_cli.files.source import BoxSource, Source
from softargmax_cli.files.tempcopy import Copy, copied
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer, Loaded

MEMORY = 32 << 20
"""Bytes that copying may take, if the array can only be read in order."""
NEAR = 2 << 10
"""The most unwanted bytes of a line that are read, to join the reads of several lines."""
SPARSE = 64 << 10
"""The most bytes read at a time, if more than half of them are unwanted."""


def selected(source: Source, selection: Selection) -> Source:
    """Return the part of `source` that `selection` takes; a source that can only be read in order is copied first.

    Closing the part closes `source`; so does an error: OptionError for an index out of range, OutputError if there is
    no room for the copy.
    """
    with naming(source.name):
        try:
            selection.taken(source.shape)  # refuses a wrong index before anything is copied
            source = copied(source, MEMORY)
            return SelectedSource(source, selection.taken(source.shape))
        except BaseException:
            source.close()
            raise


class SelectedSource(BoxSource):
    """The positions `taken` along each axis of `source`; a single position removes its axis."""

    def __init__(self, source: Source, taken: Sequence[range | int]) -> None:
        self.appear_as(source)
        self.closes = (source,)
        self._source, self._kept = source, [isinstance(each, range) for each in taken]
        self._taken = [each if isinstance(each, range) else range(each, each + 1) for each in taken]
        self.shape = tuple(len(each) for each in taken if isinstance(each, range))
        self.nbytes = math.prod(map(len, self._taken)) * self.dtype.itemsize
        if source.chunks is not None:  # the wanted part of a chunk
            pairs = zip(source.chunks, taken, strict=True)
            self.chunks = tuple(-(-n // abs(each.step)) for n, each in pairs if isinstance(each, range))
        labels = source.labels if self._kept and self._kept[-1] else None
        self.labels = None if labels is None else [labels[i] for i in self._taken[-1]]
        self._names = source.names if isinstance(source, Copy) and all(self._kept) else None
        self.has_ids = self._names is not None
        self._slowest_first = [*range(len(taken))][:: -1 if self.order == "F" else 1]

    def read(self, block: Block, buffer: Buffer) -> Loaded:
        """Read the values of a box of the part, and the names of its rows."""
        spans = iter(zip(block.start, block.stop, strict=True))
        wanted = [r[slice(*next(spans))] if stays else r for r, stays in zip(self._taken, self._kept, strict=True)]
        view = (*(slice(None) if stays else 0 for stays in self._kept), ...)  # "..." for a view where no axis stays
        ids = None if self._names is None else self._names.read(wanted[0])
        upwards = [r if r.step > 0 else r[::-1] for r in wanted]
        box = self._span(upwards)
        if box == wanted:
            return Loaded(self._box(box, buffer)[view], ids)
        values = np.empty(tuple(map(len, wanted)), self.dtype, self.order)
        self._read_into(values[tuple(slice(None, None, 1 if r.step > 0 else -1) for r in wanted)], upwards)
        return Loaded(values[view], ids)

    def _read_into(self, values: npt.NDArray[Any], wanted: list[range]) -> None:
        """Read the wanted positions, in halves if too much else lies between them."""
        box = self._span(wanted)
        size = math.prod(map(len, box))
        several = [axis for axis in self._slowest_first if len(wanted[axis]) > 1]
        # A chunk is decoded as a whole, however little of it is asked for at a time.
        room = max(SPARSE // self.dtype.itemsize, 2 * values.size, math.prod(self._source.chunks or ()))
        if several and size > room:
            axis, half = several[0], len(wanted[several[0]]) // 2
            for part in (slice(half), slice(half, None)):
                place = (*[slice(None)] * axis, part)
                self._read_into(values[place], [*wanted[:axis], wanted[axis][part], *wanted[axis + 1 :]])
        else:
            pairs = zip(wanted, box, strict=True)
            within = tuple(slice(r.start - span.start, r.stop - span.start, r.step) for r, span in pairs)
            values[...] = self._box(box, Buffer())[within]

    def _span(self, wanted: list[range]) -> list[range]:
        """Return the range of the positions along each axis; short lines are read whole if there are several."""
        spans = [range(r[0], r[-1] + 1) if r else range(0) for r in wanted]
        if self._slowest_first and math.prod(map(len, wanted)) > len(wanted[self._slowest_first[-1]]):
            axis = self._slowest_first[-1]
            length = self._source.shape[axis] or 0
            if (length - len(spans[axis])) * self.dtype.itemsize < NEAR:
                spans[axis] = range(length)
        return spans

    def _box(self, box: Sequence[range], buffer: Buffer) -> npt.NDArray[Any]:
        pending = self._source.fetch(Block(tuple(r.start for r in box), tuple(r.stop for r in box)))
        assert pending is not None  # None comes only at the end of a table
        return pending.load(buffer).values
