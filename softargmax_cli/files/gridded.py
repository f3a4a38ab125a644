"""Arrays that are stored in a regular grid of chunks, each decoded as a whole; blocks that cut chunks share them."""

from __future__ import annotations

import itertools
import math
import threading
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import InputError
from softargmax_cli.files.kept import Kept
from softargmax_cli.files.source import BoxSource, Loaded
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.buffer import Buffer

Array = npt.NDArray[Any]

LARGEST_CUT = 256 << 20
"""Bytes of a chunk that is read in part."""


class GriddedSource(BoxSource):
    """An array in chunks; what derives from it decodes boxes of whole ones. `_lay_out` before a block is fetched."""

    def _lay_out(self, lengths: tuple[int, ...], cells: tuple[int, ...], itemsize: int, kept: int) -> None:
        """Lengths of the array and of its chunks, bytes of an element as it is decoded, of chunks kept so."""
        self._lengths, self._cells, self._itemsize = lengths, cells, itemsize
        size = math.prod(cells) * itemsize
        self._kept, self._abreast = Kept(kept), threading.BoundedSemaphore(max(1, kept // size))

    def read(self, block: Block, buffer: Buffer) -> Loaded:
        """A box, in C order and native byte order; one that cuts chunks is cut from what is kept of them."""
        if self._is_whole(block):
            return Loaded(self._computed(self._decoded(block, buffer)))
        if math.prod(self._cells) * self._itemsize > LARGEST_CUT:
            what = f"chunks of shape {self._cells} do not fit into {LARGEST_CUT >> 20} MiB, so none is cut"
            raise InputError(f"{self.name}: {what}", "leave out --select, or store the array in smaller chunks")
        values = buffer.array(block.shape, self.dtype)
        for chunk in self._chunks(block):
            nbytes = math.prod(chunk.shape) * self._itemsize
            low = tuple(map(max, block.start, chunk.start))
            high = tuple(map(min, block.stop, chunk.stop))
            with self._abreast:  # however many threads there are, only so many chunks are in hand
                whole = self._kept.chunk(chunk.start, nbytes, partial(self._decoded, chunk, Buffer()))
                values[within(block, low, high)] = self._computed(whole[within(chunk, low, high)])
                del whole
        return Loaded(values)

    def _is_whole(self, block: Block) -> bool:
        """Whether no chunk is cut."""
        ends = zip(block.start, block.stop, self._cells, self._lengths, strict=True)
        return all(a % size == 0 and (b % size == 0 or b == n) for a, b, size, n in ends)

    def _chunks(self, block: Block) -> Iterator[Block]:
        """Those that a block has part in."""
        spans = zip(block.start, block.stop, self._cells, strict=True)
        for start in itertools.product(*(range(a - a % size, b, size) for a, b, size in spans)):
            ends = zip(start, self._cells, self._lengths, strict=True)
            yield Block(start, tuple(min(a + size, n) for a, size, n in ends))

    @abstractmethod
    def _decoded(self, block: Block, buffer: Buffer) -> Array:
        """A box of whole chunks, as it is stored; any thread may ask. It may lie in `buffer`."""

    def _computed(self, values: Array) -> Array:
        """What is stored, as the reduction takes it."""
        with np.errstate(over="ignore", invalid="ignore"):  # of extended floats, of signalling NaN
            return values.astype(self.dtype, copy=False)


def within(block: Block, low: Sequence[int], high: Sequence[int]) -> tuple[slice, ...]:
    """A box from `low` to `high` of the whole array, as a part of a block that holds it."""
    return tuple(slice(a - start, b - start) for a, b, start in zip(low, high, block.start, strict=True))


def as_text(block: Block) -> str:
    """A box as a person reads it: [0:4, 6:9]."""
    return f"[{', '.join(f'{start}:{stop}' for start, stop in zip(block.start, block.stop, strict=True))}]"
