"""Memory for the block in hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

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
