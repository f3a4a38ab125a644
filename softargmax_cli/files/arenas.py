"""How many heaps glibc keeps. Each of zarr's threads would else have one, and keep there what a chunk took."""

from __future__ import annotations

import contextlib
import ctypes
import sys

FEW = 2
"""Heaps: with one for each thread, chunks of 6 MB took 960 MB at the peak, with two 700 MB, and no more time."""
M_ARENA_MAX = -8
"""Of mallopt(3)."""


def few_arenas() -> None:
    """Let threads to come share heaps, where the C library is glibc and has so many."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # another C library
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, FEW)
