"""An input as the reduction sees it, and the memory for the block in hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.blocks import Block, Order

ALIGNMENT = 64
"""Bytes; TensorFlow takes memory so aligned without copying it."""


class Buffer:
    """Memory that one thread uses again for every block: aligned, grown on demand, never shrunk."""

    def __init__(self) -> None:
        self._bytes = np.empty(0, np.uint8)

    def array(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """An uninitialised C-ordered array over the buffer; it invalidates the one returned before."""
        dtype = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if size + ALIGNMENT > self._bytes.size:
            self._bytes = np.empty(0, np.uint8)  # let go of the old memory first
            self._bytes = np.empty(size + ALIGNMENT, np.uint8)
        skip = -self._bytes.ctypes.data % ALIGNMENT
        return self._bytes[skip : skip + size].view(dtype).reshape(shape)


class Loaded(Protocol):
    """See `files.source.Loaded`."""

    @property
    def values(self) -> npt.NDArray[Any]: ...
    @property
    def ids(self) -> Sequence[str] | None: ...


class Pending(Protocol):
    """See `files.source.Pending`."""

    @property
    def nbytes(self) -> int: ...
    def load(self, buffer: Buffer) -> Loaded: ...


class Readable(Protocol):
    """See `files.source.Source`."""

    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]
    order: Order
    sequential: bool
    labels: Sequence[str] | None
    chunks: tuple[int, ...] | None

    def fetch(self, block: Block) -> Pending | None: ...
