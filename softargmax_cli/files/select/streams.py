"""A part of an array that is read in order: what lies between is read and dropped, what follows is not read."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.files.source import Loaded, Source
from softargmax_cli.files.spooled import in_file_order
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.buffer import Buffer

READ = 2 << 20
"""Bytes of the array read at a time."""


class SelectedStream(Source):
    """The positions `ranges` along each axis of a sequential `source`; those axes stay that are `kept`.

    Ranges go upwards. Blocks are fetched in the order of the file, each a stretch of what is selected of it.
    """

    sequential = True

    def __init__(self, source: Source, ranges: Sequence[range], kept: Sequence[bool]) -> None:
        self.appear_as(source)
        self._source = source
        self.shape = tuple(len(r) for r, stays in zip(ranges, kept, strict=True) if stays)
        self.nbytes = math.prod(map(len, ranges)) * self.dtype.itemsize
        self.labels = [source.labels[i] for i in ranges[-1]] if source.labels is not None and kept[-1] else None
        self.has_ids = source.has_ids and kept[0]
        self._ranges = tuple(source.narrowed(ranges))
        self._parts = self._selected()
        self._held: deque[npt.NDArray[Any]] = deque()
        self._elements = 0
        self._ids: list[str] = []
        self._first = 0
        """Row of the first of the ids held."""

    def fetch(self, block: Block) -> StretchPending:
        self.check_open()
        wanted = math.prod(block.shape)
        while self._elements < wanted:
            self._held.append(next(self._parts))
            self._elements += self._held[-1].size
        self._elements -= wanted
        values = np.empty(wanted, self.dtype)
        filled = 0
        while filled < wanted:
            part = self._held.popleft()
            taken = min(part.size, wanted - filled)
            values[filled : filled + taken] = part[:taken]
            filled += taken
            if taken < part.size:
                self._held.appendleft(part[taken:])
        ids = None
        if self.has_ids:
            start, stop = block.start[0] - self._first, block.stop[0] - self._first
            ids = self._ids[start:stop]
            del self._ids[: stop - 1]  # the next block may begin within the last row
            self._first += stop - 1
        return StretchPending(values.reshape(block.shape, order=self.order), ids)

    def _selected(self) -> Iterator[npt.NDArray[Any]]:
        """What is selected, stretch by stretch; the last one ends it, and nothing more is read."""
        left, buffer = math.prod(map(len, self._ranges)), Buffer()
        seen = 0
        for box in in_file_order(self._source, max(1, READ // self.dtype.itemsize)):
            if not left:
                return
            pending = self._source.fetch(box)
            inside = [_inside(r, a, b) for r, a, b in zip(self._ranges, box.start, box.stop, strict=True)]
            if pending is None or not all(map(len, inside)):
                continue
            loaded = pending.load(buffer)
            place = tuple(slice(r.start - a, r.stop - a, r.step) for r, a in zip(inside, box.start, strict=True))
            part = loaded.values[place].ravel(self.order)
            if loaded.ids is not None and inside[0].start >= seen:
                self._ids += loaded.ids[place[0]]
                seen = inside[0].stop
            left -= part.size
            yield part.copy() if part.base is not None else part

    def close(self) -> None:
        super().close()
        self._source.close()


@dataclass(frozen=True, slots=True)
class StretchPending:
    """A block that had to be read at once."""

    values: npt.NDArray[Any]
    ids: Sequence[str] | None

    @property
    def nbytes(self) -> int:
        return self.values.nbytes

    def load(self, buffer: Buffer) -> Loaded:
        return Loaded(self.values, self.ids)


def _inside(positions: range, start: int, stop: int) -> range:
    """Those of ascending positions that lie in start <= i < stop."""
    step = positions.step
    first = positions.start if positions.start >= start else positions.start - (positions.start - start) // step * step
    return range(first, min(stop, positions.stop), step)
