"""Zarr arrays of format 2 and 3, read in boxes of whole chunks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from softargmax_cli.arrays.npy import native_dtype
from softargmax_cli.arrays.source import Loaded, Source
from softargmax_cli.arrays.stores import blaming, open_array
from softargmax_cli.errors import InputError
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.buffer import Buffer


class ZarrSource(Source):
    """An array of a Zarr store, which may lie anywhere that fsspec reaches; chunks that are absent hold the fill value.

    Raises InputError where there is no such array, or one of no real numbers, and MissingDependencyError.
    """

    format = "zarr"

    def __init__(self, name: str) -> None:
        self.name = name
        self.array, self.notes = open_array(name)
        self.held = dtype = np.dtype(self.array.dtype)
        if dtype.kind not in "biuf" or dtype.isbuiltin == 2:
            raise InputError(f"{name}: dtype {dtype} holds no real numbers", "store real numbers: astype('float32')")
        self.version = str(self.array.metadata.zarr_format)
        self.shape = tuple(self.array.shape)
        self.chunks = tuple(self.array.chunks)
        self.dtype, self.stored = native_dtype(dtype), str(dtype)
        self.nbytes = math.prod(self.array.shape) * dtype.itemsize

    def fetch(self, block: Block) -> ZarrPending:
        return ZarrPending(self, block)

    def close(self) -> None:
        """Nothing to do: zarr holds no file open."""


@dataclass(frozen=True, slots=True)
class ZarrPending:
    """A box of the array, still in its store."""

    source: ZarrSource
    block: Block

    @property
    def nbytes(self) -> int:
        return int(math.prod(self.block.shape) * self.source.held.itemsize)

    def load(self, buffer: Buffer) -> Loaded:
        from zarr.buffer.cpu import NDBuffer

        source, block = self.source, self.block
        values = buffer.array(block.shape, source.held)
        place = tuple(map(slice, block.start, block.stop))
        with blaming(f"{source.name}: {_text(block)}", "read"):
            source.array.get_basic_selection(place, out=NDBuffer.from_numpy_array(values))
        if not values.dtype.isnative:
            values = values.byteswap(inplace=True).view(values.dtype.newbyteorder("="))
        with np.errstate(over="ignore"):  # of extended floats
            return Loaded(values.astype(source.dtype, copy=False))


def _text(block: Block) -> str:
    """A box as a person reads it: [0:4, 6:9]."""
    return f"[{', '.join(f'{start}:{stop}' for start, stop in zip(block.start, block.stop, strict=True))}]"
