"""Datasets of HDF5 whose filters are undone here, so that no number is read that is not there.

The library finds a chunk and reads what is stored of it; it is undone by several threads at a time.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, BinaryIO

import numpy as np

from softargmax_cli.errors import InputError
from softargmax_cli.files.formats.hdf5.dataset import REMEDY, Dataset
from softargmax_cli.files.formats.hdf5.filters import Bytes, Filters, UnsoundError
from softargmax_cli.files.gridded import Array, GriddedSource, as_text
from softargmax_cli.files.source import Facts
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.buffer import Buffer

KEPT = 32 << 20
"""Bytes of chunks that are kept unpacked where blocks cut them; of larger chunks one."""
NOT_STORED = ("(chunk storage is not allocated)", "(storage is not initialized)")
"""What the library says of a chunk that is not there; whatever else it says, it is asked for the numbers."""
SMALL = 64 << 10
"""Bytes of a chunk below which threads would spend their time waiting for each other, not unpacking."""


class PackedSource(GriddedSource):
    """A dataset in filtered chunks; those that are not stored hold the fill value."""

    def __init__(self, stream: BinaryIO, file: Any, dataset: Dataset, filters: Filters) -> None:
        self._stream, self._file, self._dataset, self._filters = stream, file, dataset, filters
        self.name, self.shape, self.stored, self.dtype = dataset.name, dataset.shape, dataset.stored, dataset.dtype
        self.nbytes, self.chunks, self.facts = dataset.nbytes, dataset.chunks, Facts("hdf5", codecs=dataset.codecs)
        self._lay_out(dataset.shape, dataset.chunks or (), dataset.held.itemsize, KEPT)
        alone: AbstractContextManager[Any] = threading.Lock()
        self._turn = alone if filters.nbytes < SMALL else nullcontext()
        self._missing: Array | None = None

    def _decoded(self, block: Block, buffer: Buffer) -> Array:
        if all(n <= size for n, size in zip(block.shape, self._cells, strict=True)):
            return np.ascontiguousarray(self._dataset.native(self._chunk(block.start, block.shape)))
        values, space = buffer.array(block.shape, self._dataset.held), np.empty(self._filters.most, np.uint8)
        with self._turn:
            for start, place in self._places(block):
                part = values[place]
                part[...] = self._chunk(start, part.shape, space)
        return self._dataset.native(values)

    def _places(self, block: Block) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
        """Where each chunk of a box of whole ones begins, and its place in the box."""
        spans = [range(a, b, size) for a, b, size in zip(block.start, block.stop, self._cells, strict=True)]
        places = [[slice(k - span.start, k - span.start + span.step) for k in span] for span in spans]
        return zip(itertools.product(*spans), itertools.product(*places), strict=True)

    def _chunk(self, start: tuple[int, ...], shape: tuple[int, ...], space: Bytes | None = None) -> Array:
        """The values of a chunk, as far as they are the array's, in the file's byte order.

        `space` takes what is stored of one chunk after the other, and may be what the values lie in.
        """
        most = self._filters.most
        try:
            mask, stored = self._dataset.stored_chunk(start, np.empty(most, np.uint8) if space is None else space)
        except ValueError:
            if not self._dataset.holds_chunks():  # of which the library says no length
                return self._absent(start, shape)
            raise self._unsound(start, shape, f"more than {most:,} bytes are stored of it") from None
        except (OSError, RuntimeError) as error:
            return self._absent(start, shape) if str(error).endswith(NOT_STORED) else self._asked(start, shape)
        # The library may have left chunks as they are that reach beyond the array, and only it knows.
        whole = len(stored) == self._filters.nbytes and shape != self._cells
        if whole and not self._filters.noticing(mask):
            return self._asked(start, shape)
        held = [stored]
        del stored  # which goes once the first filter is undone
        try:
            values = self._dataset.converted(self._filters.undo(held, mask)).reshape(self._cells)
        except UnsoundError as error:
            if whole and not error.misfit:  # the library sees that, too
                with suppress(InputError):
                    return self._asked(start, shape)
            raise self._unsound(start, shape, str(error)) from None
        return values if shape == self._cells else values[tuple(map(slice, shape))]

    def _absent(self, start: tuple[int, ...], shape: tuple[int, ...]) -> Array:
        """A chunk that is not stored."""
        if self._missing is None:
            self._missing = self._asked(start, shape).reshape(-1)[:1].copy()
        return np.broadcast_to(self._missing, shape)

    def _asked(self, start: tuple[int, ...], shape: tuple[int, ...]) -> Array:
        """A chunk as the library reads it, where it does so safely."""
        values = np.empty(shape, self._dataset.held)
        self._dataset.read(_box(start, shape), values)
        return values

    def _unsound(self, start: tuple[int, ...], shape: tuple[int, ...], what: str) -> InputError:
        return InputError(f"{self.name}: the chunk {as_text(_box(start, shape))} is damaged: {what}", REMEDY)

    def close(self) -> None:
        super().close()
        self._file.close()
        self._stream.close()


def _box(start: tuple[int, ...], shape: tuple[int, ...]) -> Block:
    return Block(start, tuple(a + n for a, n in zip(start, shape, strict=True)))
