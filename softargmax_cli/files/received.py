"""Where zarr puts what it decodes. Loads zarr, so what reads a store imports it when it does."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from zarr.buffer.cpu import NDBuffer

from softargmax_cli.reduction.buffer import Buffer


class Received(NDBuffer):
    """The values of a box, in C order: the chunk itself where it is one, without a copy, else put together in `buffer`.

    A copy would take as much memory again as the chunk, which is large where it is alone in its box.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], buffer: Buffer) -> None:
        none: Any = np.broadcast_to(np.zeros((), dtype), shape)  # of no size, until it is needed
        super().__init__(none)
        self._buffer, self._empty = buffer, True

    def __setitem__(self, key: Any, value: Any) -> None:
        given: Any = value.as_numpy_array() if isinstance(value, NDBuffer) else value
        if isinstance(given, np.ndarray) and given.shape == self.shape and given.flags.c_contiguous:
            taken: Any = given
            self._data = taken
            return
        if self._empty:
            whole: Any = self._buffer.array(self.shape, self.dtype)
            self._empty, self._data = False, whole
        self._data[key] = given

    @property
    def values(self) -> npt.NDArray[Any]:
        """All of them, once zarr has done."""
        return self.as_numpy_array()
