"""Boxes of whole chunks, in which an array is read that is stored in chunks, or that several machines read.

A chunk is decoded as a whole, so a box that cut one would have it decoded again and again. A box takes as many
chunks as are worth a task of its own: first along the reduced axes, so that it holds whole slices where it can.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from softargmax_cli.errors import OptionError, parameter
from softargmax_cli.reduction import blocks
from softargmax_cli.reduction.blocks import Order, Plan

SHARE = 8
"""A box of small chunks takes this fraction of the memory."""
HELD = 2
"""How many times the bytes of a chunk are there while it is read: encoded, and decoded."""
FAN_IN = 16
"""States that are merged at a time: those of n boxes take log n levels of them, in threads or on a cluster."""
STATES = 12
"""How many states of a slice there are while its parts are merged: of blocks that wait, and of both sides moved."""


@dataclass(frozen=True, slots=True)
class Boxes:
    """The boxes of one array, and what reading them costs."""

    plan: Plan
    nbytes: int
    """Bytes of the largest box."""
    again: int
    """How many times each chunk is decoded."""
    together: bool = False
    """True where a box is put together of several chunks, and so takes memory beside these."""

    def threads(self, most: int, memory: int, of_results: int = 0) -> int:
        """Return how many boxes may be read at a time.

        of_results: how many times as much is made of each.
        """
        return max(1, min(most, memory // ((HELD + self.together + of_results) * self.nbytes)))

    def note(self, memory: int) -> str | None:
        """Return a note where chunks are decoded several times."""
        if self.again > 1:
            what = f"chunks hold so many slices side by side that each is decoded {self.again} times"
            return f"{what}; a larger {parameter('memory')}, or chunks longer along the axis, mends it"
        return None


def boxes_of(
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    order: Order,
    itemsize: int,
    memory: int,
    chunks: Sequence[int] | None,
    state: int,
) -> Boxes:
    """Cut an array into boxes of whole chunks; where it has none, into boxes of about the same size.

    Slices that boxes leave unfinished, of which a state takes `state` bytes, fit into half of the memory (bytes),
    though chunks must be cut for that. Raises OptionError where it does not hold one chunk, encoded and decoded.
    """
    room = max(1, memory // SHARE // itemsize)
    if chunks is None:
        plan = blocks.plan(shape, axes, order, room, contiguous=False)
        return Boxes(plan, math.prod(plan.extent) * itemsize, 1)
    most = memory // (HELD * itemsize)
    chunk = _within(shape, chunks)
    if math.prod(chunks) > most:  # what of it lies beyond the array is decoded, too
        size = math.prod(chunks) * itemsize
        what = (
            f"{parameter('memory')}: one chunk of the input, {' × '.join(map(str, chunks))}, takes {size / 1e6:,.0f} MB"
        )
        enough = f"{-(-HELD * size // 2**20)}MiB"
        remedy = f"use {parameter('memory', enough)}, or store the array in smaller chunks"
        raise OptionError(f"{what}, and as much again while it is decoded", remedy)
    extent = _widened(shape, axes, chunk, room)
    together = extent != chunk
    again = _narrowed(shape, axes, extent, memory // 2, state)
    plan = Plan(shape, axes, "C", tuple(extent))
    return Boxes(
        plan, max(math.prod(extent), math.prod(chunk), math.prod(chunks)) * itemsize, again, together or again > 1
    )


def _within(shape: Sequence[int], lengths: Sequence[int]) -> list[int]:
    """Cut the lengths of a box to those of the array."""
    return [max(1, min(size, n)) for size, n in zip(lengths, shape, strict=True)]


def levels(parts: int) -> int:
    """Return how many states of a slice wait at a time while those of so many boxes are merged."""
    count = 1
    while parts > FAN_IN:
        parts, count = -(-parts // FAN_IN), count + 1
    return count


def held_bytes(state: int, parts: int) -> int:
    """Return the bytes that a slice takes while `parts` states of `state` bytes each are merged."""
    return state * (STATES + levels(parts) - 1)


def _widened(shape: tuple[int, ...], axes: tuple[int, ...], chunk: Sequence[int], room: int) -> list[int]:
    """Widen a box to as many chunks as find room, along the reduced axes first, each from the last."""
    extent = list(chunk)
    kept = [k for k in range(len(shape)) if k not in axes]
    for axis in [*sorted(axes, reverse=True), *reversed(kept)]:
        count = -(-shape[axis] // chunk[axis])
        fitting = max(1, room // math.prod(extent))
        if count:
            pieces = -(-count // fitting)
            extent[axis] = min(shape[axis], -(-count // pieces) * chunk[axis])  # alike, so that most boxes are
        if extent[axis] < shape[axis]:
            break
    return extent


def _narrowed(shape: tuple[int, ...], axes: tuple[int, ...], extent: list[int], memory: int, state: int) -> int:
    """Cut a box along the axes that stay until its unfinished slices fit; return how many boxes then share a chunk."""
    parts = math.prod(-(-shape[axis] // extent[axis]) for axis in axes)
    if parts == 1:
        return 1
    again, kept = 1, [k for k in range(len(shape)) if k not in axes]
    for axis in kept:
        unfinished = math.prod(extent[k] for k in kept) * held_bytes(state, parts)
        pieces = max(1, min(extent[axis], -(-unfinished // memory)))
        whole, extent[axis] = extent[axis], extent[axis] // pieces
        again *= -(-whole // extent[axis])
    return again
