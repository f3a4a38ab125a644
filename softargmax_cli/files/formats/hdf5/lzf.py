"""LZF, which h5py packs chunks with: unfolded into a given number of bytes, or refused.

The format: a byte below 32 says how many bytes, less one, follow as they are; any other is a reference to what has been
unfolded: three bits of its length less two (7: one more byte adds to it), thirteen of its distance less one.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

LITERAL, LONG = 32, 7
"""The first byte of a reference; the length that another byte adds to."""


def unfolded(packed: memoryview, most: int) -> npt.NDArray[np.uint8] | None:
    """What `packed` unfolds to; None where that is nothing sound, or more than `most` bytes."""
    out = np.empty(most, np.uint8)
    native = _native()
    size = _python(packed, out) if native is None else native(packed, out)
    return out[:size] if size else None


@cache
def _native() -> Callable[[memoryview, npt.NDArray[np.uint8]], int] | None:
    """The decoder that h5py is built with, which looks where it reads and writes; None where it is not exported."""
    import h5py

    try:
        decompress = ctypes.CDLL(h5py.h5z.__file__).lzf_decompress
    except (OSError, AttributeError):
        return None
    decompress.restype, decompress.argtypes = ctypes.c_uint, [ctypes.c_void_p, ctypes.c_uint] * 2

    def unfold(packed: memoryview, out: npt.NDArray[np.uint8]) -> int:
        held: Any = np.frombuffer(packed, np.uint8)
        size: int = decompress(held.ctypes.data, held.size, out.ctypes.data, out.size)
        return size

    return unfold


def _python(packed: memoryview, out: npt.NDArray[np.uint8]) -> int:
    """The same, many times slower; 0 for what is not sound."""
    data, space, at, size = bytes(packed), out.data, 0, 0
    try:
        while at < len(data):
            head = data[at]
            if head < LITERAL:
                count, at = head + 1, at + 1
                run: bytes | memoryview = data[at : at + count]
                at += count
            else:
                count, far = head >> 5, (head & 31) << 8
                if count == LONG:
                    at += 1
                    count += data[at]
                count, far, at = count + 2, far + data[at + 1] + 1, at + 2
                if far > size:
                    return 0
                run = bytes(space[size - far : size])
                run = (run * -(-count // far))[:count]
            if len(run) < count or size + count > len(space):
                return 0
            space[size : size + count] = run
            size += count
    except IndexError:
        return 0
    return size
