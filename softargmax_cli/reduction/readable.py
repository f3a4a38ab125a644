"""An input as the reduction sees it, and the memory for the block in hand."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.blocks import Block, Order
from softargmax_cli.reduction.layout import ALIGNMENT


class Buffer(threading.local):
    """Memory that each thread reuses for every block: aligned, grown on demand, never shrunk."""

    def __init__(self) -> None:
        self._bytes = np.empty(0, np.uint8)

    def array(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return an uninitialised C-ordered array over the buffer; it invalidates the one returned before."""
        dtype = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if size + ALIGNMENT > self._bytes.size:
            self._bytes = np.empty(0, np.uint8)  # let go of the old memory first
            self._bytes = np.empty(size + ALIGNMENT, np.uint8)
        skip = -self._bytes.ctypes.data % ALIGNMENT
        return self._bytes[skip : skip + size].view(dtype).reshape(shape)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A block's values, shaped as the block along every axis, in any memory order, native byte order.

    A table of unknown length may return fewer or more rows than the block asked for.
    """

    values: npt.NDArray[Any]
    ids: Sequence[str] | None = None
    """The name of each row, if the file has a column of names."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A block that has been fetched and not yet decoded."""

    nbytes: int
    """Bytes by which it advances the reader through the file, for the progress bar."""
    load: Callable[[Buffer], Loaded]
    """Decode the values, which may lie in the buffer. Called once, by any thread."""


class Readable(Protocol):
    """See `files.source.Source`."""

    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]
    order: Order
    sequential: bool
    labels: Sequence[str] | None
    chunks: tuple[int, ...] | None

    def fetch(self, block: Block) -> Pending | None: ...

    def missing(self) -> Sequence[str]: ...


def fetch(source: Readable, block: Block) -> Pending | None:
    """Fetch a block, which may lie across the ends of circular axes (see `Block.bordered`)."""
    pairs = zip(block.start, block.stop, source.shape, strict=True)
    if all(start >= 0 and (n is None or stop <= n) for start, stop, n in pairs):
        return source.fetch(block)
    pieces = [_turns(start, stop, n or 0) for start, stop, n in zip(block.start, block.stop, source.shape, strict=True)]
    parts = []
    for piece in itertools.product(*pieces):
        pending = source.fetch(Block(tuple(a for a, _, _ in piece), tuple(b for _, b, _ in piece)))
        assert pending is not None
        parts.append((pending, tuple(slice(at, at + b - a) for a, b, at in piece)))

    def load(buffer: Buffer) -> Loaded:
        values: npt.NDArray[Any] = np.empty(block.shape, source.dtype, order=source.order)
        for pending, place in parts:
            values[place] = pending.load(buffer).values
        return Loaded(values)

    return Pending(sum(pending.nbytes for pending, _ in parts), load)


def _turns(start: int, stop: int, length: int) -> list[tuple[int, int, int]]:
    """Cut a stretch of a circular axis at its ends; return start, stop and place in the stretch of each piece."""
    cuts = [start, *(cut for cut in (0, length) if start < cut < stop), stop]
    return [(a % length, a % length + b - a, a - start) for a, b in itertools.pairwise(cuts)]
