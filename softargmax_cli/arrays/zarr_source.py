"""Zarr arrays of format 2 and 3, read in boxes of whole chunks."""

from __future__ import annotations

import math

import numpy as np

from softargmax_cli.arrays.npy import native_dtype
from softargmax_cli.arrays.reading import Reading
from softargmax_cli.arrays.source import BoxPending, Loaded, Source
from softargmax_cli.arrays.stores import blaming, open_array
from softargmax_cli.errors import InputError
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.buffer import Buffer


class ZarrSource(Source):
    """An array of a Zarr store, which may lie anywhere that fsspec reaches; chunks that are absent hold the fill value.

    Raises InputError where there is no such array, or one of no real numbers, OptionError where nothing tells which is
    meant, and MissingDependencyError.
    """

    format = "zarr"

    def __init__(self, place: str, reading: Reading) -> None:
        self.name, array, self.members = open_array(place, reading.key, all_members=reading.inspected)
        self._array, self._held = array, np.dtype(array.dtype)
        if self._held.kind not in "biuf" or self._held.isbuiltin == 2:
            what = f"dtype {self._held} holds no real numbers"
            raise InputError(f"{self.name}: {what}", "store real numbers: astype('float32')")
        self.version = str(array.metadata.zarr_format)
        self.shape, self.chunks = tuple(array.shape), tuple(array.chunks)
        self.dtype, self.stored = native_dtype(self._held), str(self._held)
        self.nbytes = math.prod(array.shape) * self.dtype.itemsize

    def fetch(self, block: Block) -> BoxPending:
        return BoxPending(self, block)

    def read(self, block: Block, buffer: Buffer) -> Loaded:
        """A box, in C order and native byte order."""
        from zarr.buffer.cpu import NDBuffer

        values = buffer.array(block.shape, self._held)
        place = tuple(map(slice, block.start, block.stop))
        with blaming(f"{self.name}: {_text(block)}", "read"):
            self._array.get_basic_selection(place, out=NDBuffer.from_numpy_array(values))
        if not values.dtype.isnative:
            values = values.byteswap(inplace=True).view(values.dtype.newbyteorder("="))
        with np.errstate(over="ignore"):  # of extended floats
            return Loaded(values.astype(self.dtype, copy=False))

    def close(self) -> None:
        """Nothing to do: zarr holds no file open."""


def _text(block: Block) -> str:
    """A box as a person reads it: [0:4, 6:9]."""
    return f"[{', '.join(f'{start}:{stop}' for start, stop in zip(block.start, block.stop, strict=True))}]"
