"""Datasets of HDF5 whose filters are undone here, so that no number is read that is not there.

The library finds a chunk and reads what is stored of it; it is undone by several threads at a time.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np

from softargmax_cli.arrays.containers.hdf5.dataset import REMEDY, Dataset, damage
from softargmax_cli.arrays.containers.hdf5.filters import Bytes, Filters, UnsoundError
from softargmax_cli.arrays.gridded import Array, GriddedSource, as_text, within
from softargmax_cli.errors import InputError
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.buffer import Buffer

KEPT = 32 << 20
"""Bytes of chunks that are kept unpacked where blocks cut them; of larger chunks one."""


class PackedSource(GriddedSource):
    """A dataset in filtered chunks; those that are not stored hold the fill value."""

    format = "hdf5"
    may_cut = True

    def __init__(self, stream: BinaryIO, file: Any, dataset: Dataset, filters: Filters) -> None:
        self._stream, self._file, self._dataset, self._filters = stream, file, dataset, filters
        self.name, self.shape, self.stored, self.dtype = dataset.name, dataset.shape, dataset.stored, dataset.dtype
        self.nbytes, self.chunks, self.codecs = dataset.nbytes, dataset.chunks, dataset.codecs
        self._lay_out(dataset.shape, dataset.chunks or (), dataset.held.itemsize, KEPT)
        self._any = dataset.holds_chunks()

    def _decoded(self, block: Block, buffer: Buffer) -> Array:
        if block.shape == self._cells:
            return self._chunk(block)
        values = buffer.array(block.shape, self._dataset.held)
        for chunk in self._chunks(block):
            values[within(block, chunk.start, chunk.stop)] = self._chunk(chunk)
        return values

    def _chunk(self, chunk: Block) -> Array:
        """The values of a chunk, as far as they are the array's."""
        space = np.empty(self._filters.most, np.uint8)
        try:
            if not self._any:
                return self._asked(chunk)
            mask, stored = self._dataset.stored_chunk(chunk.start, space)
        except ValueError:
            raise self._unsound(chunk, f"more than {len(space):,} bytes are stored of it") from None
        except (OSError, RuntimeError):  # it is not stored; or what is wrong is told
            return self._asked(chunk)
        # The library may leave chunks as they are that reach beyond the array, and only it knows.
        whole = len(stored) == self._filters.nbytes and chunk.shape != self._cells
        if whole and not self._filters.noticing(mask):
            return self._asked(chunk)
        try:
            return self._values(self._filters.undo(stored, mask), chunk)
        except UnsoundError as error:
            if whole and not error.misfit:  # the library sees that, too
                with suppress(InputError):
                    return self._asked(chunk)
            raise self._unsound(chunk, str(error)) from None

    def _values(self, content: Bytes, chunk: Block) -> Array:
        values = self._dataset.converted(content).reshape(self._cells)
        return values[tuple(map(slice, chunk.shape))]

    def _asked(self, chunk: Block) -> Array:
        """A chunk as the library reads it, where it does so safely."""
        values = np.empty(chunk.shape, self._dataset.held)
        with damage(self.name):
            self._dataset.read(chunk, values)
        return values

    def _unsound(self, chunk: Block, what: str) -> InputError:
        return InputError(f"{self.name}: the chunk {as_text(chunk)} is damaged: {what}", REMEDY)

    def close(self) -> None:
        self._file.close()
        self._stream.close()
