"""The memory budget of a reduction: the size of its blocks or boxes, its threads, and the passes over its input.

An array that is stored in chunks is read in boxes of whole chunks, since a chunk is decoded as a whole, and a box that
cut one would have it decoded again and again. A box takes as many chunks as are worth a task of its own: first along
the reduced axes, so that it holds whole slices where it can.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from softargmax_cli.errors import OptionError, parameter
from softargmax_cli.reduction import blocks
from softargmax_cli.reduction.blocks import Order, Plan
from softargmax_cli.reduction.fields import needed_sums
from softargmax_cli.reduction.formulas import FLOAT_INDEX
from softargmax_cli.reduction.layout import PIECE
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.readable import Readable

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


MIB = 1 << 20
BLOCK = 2 * MIB
"""Bytes of a block: it stays in the cache, with everything computed of it, between the passes of the kernel."""
LARGER = 4
"""How much larger a block is that the kernel takes in pieces, since the axis that is slowest in memory stays."""
MOST_SLICES = 1 << 16
"""Slices of a block at most: where slices are short, their states are larger than they are."""
MOST_STATES = 4 * MOST_SLICES
"""States of a block at most, where a slice has several: each is small beside the weights that it sums."""


@dataclass(frozen=True, slots=True)
class Needs:
    """The memory and the passes that one kind of reduction needs."""

    bytes_per_element: Callable[[Readable, Problem], int]
    """Bytes for each element while its block is worked on."""
    passes_over: Callable[[Problem], int]
    """Passes over a slice that is longer than a block, or that is a column of a table of unknown length."""
    states: int = 1
    """States of a slice."""
    in_pieces: bool = False
    """True where the kernel takes pieces of a block, which so may be larger than the cache."""
    in_boxes: bool = False
    """True where arrays without chunks, too, are read in boxes, which are larger than blocks."""
    of_results: Callable[[Readable, Problem], int] = lambda source, problem: 0
    """Size of the results of a box, in units of the box."""


class Budget:
    """The blocks or boxes in which one input is read, and its threads and passes, within so many bytes of memory.

    Making one raises as `boxes_of`.
    """

    def __init__(self, needs: Needs, source: Readable, problem: Problem, memory: int) -> None:
        self._needs, self._source, self._problem, self._memory = needs, source, problem, memory
        self._known = tuple(n for n in problem.shape if n is not None)
        self._each = needs.bytes_per_element(source, problem)
        self._results = needs.of_results(source, problem)
        self.boxes = self._boxes()
        """The boxes in which an array is read; None where it is read in blocks."""
        self.workers, self.elements = self._fit()
        """The number of threads, and the number of elements of a block."""

    @property
    def _table(self) -> bool:
        """True for a table, whose number of rows only its end tells."""
        return self._problem.shape[0] is None

    def _boxes(self) -> Boxes | None:
        source, wanted = self._source, self._needs.in_boxes or self._source.chunks is not None
        if not wanted or source.sequential or self._table:
            return None
        state = self._needs.states * state_bytes(self._problem)
        layout = source.order, source.dtype.itemsize, self._memory, source.chunks, state
        return boxes_of(self._known, self._problem.axes, *layout)

    def _fit(self) -> tuple[int, int]:
        source, problem, memory, size = self._source, self._problem, self._memory, self._source.dtype.itemsize
        length = math.prod(problem.shape[axis] or BLOCK for axis in problem.axes)
        most = max(1, min(MOST_SLICES, MOST_STATES // self._needs.states)) * length
        largest = min(BLOCK // size, most)
        if self.boxes:  # whose blocks are the same, however many threads there are
            threads = self.boxes.threads(cores(), memory, self._results)
            return threads, max(1, min(largest, memory // (2 * self._each)))
        workers, first = cores() + source.sequential, 0 if source.order == "C" else len(problem.shape) - 1
        if self._needs.in_pieces and not self._table and first not in problem.axes and length * size <= PIECE:
            elements = min(LARGER * BLOCK // size, most)
            if workers * self._block_bytes(elements) <= memory:
                return workers, elements
        workers = max(1, min(workers, memory // (2 * largest * self._each)))
        return workers, max(1, min(largest, memory // (2 * workers * self._each)))

    def _block_bytes(self, elements: int) -> int:
        """Return the bytes that blocks of so many elements take in one thread, of which it has one and the next."""
        if not self._needs.in_pieces:
            return 2 * elements * self._each
        size = self._source.dtype.itemsize
        return 2 * (elements * size * (1 + self._results) + min(elements, PIECE // size) * self._each)

    @functools.cached_property
    def plan(self) -> Plan:
        """The blocks or boxes of an array of known shape."""
        if self.boxes:
            return self.boxes.plan
        source = self._source
        return blocks.plan(self._known, self._problem.axes, source.order, self.elements, contiguous=source.sequential)

    @property
    def passes(self) -> int:
        """How often the input is read."""
        again = self._needs.passes_over(self._problem)
        if self._table:
            return again if 0 in self._problem.axes else 1
        return again if again > 1 and self.plan.splits else 1

    @property
    def must_seek(self) -> bool:
        """True where the order of a pipe cannot be followed, so that it must be copied first.

        So it is where there are several passes, and where slices lie side by side in the pipe that are too many to be
        held.
        """
        if self._needs.in_boxes or self.passes > 1:
            return True
        if self._table:
            return False
        too_long = math.prod(self.plan.extent[axis] for axis in self._problem.axes) >= FLOAT_INDEX
        return too_long or sum(self._held) > max(self._memory, self._block_bytes(self.elements))

    @property
    def workers_in_order(self) -> int:
        """The number of threads for a pipe, whose order may make blocks large."""
        block, unfinished = self._held
        return max(1, min(self.workers, (self._memory - unfinished) // block))

    @property
    def _held(self) -> tuple[int, int]:
        """The bytes of one block in a thread, and those of slices that later blocks complete."""
        slices = math.prod(self.plan.extent[k] for k in self._problem.kept)
        unfinished = STATES * self._needs.states * slices * state_bytes(self._problem) if self.plan.splits else 0
        return self._block_bytes(math.prod(self.plan.extent)), unfinished


def state_bytes(problem: Problem) -> int:
    """Return the bytes of the state of one slice."""
    axes, needed = len(problem.axes), needed_sums(problem.fields)
    moments = problem.moments
    numbers = 2 + axes + len(needed - {"second_moment"}) + len(moments) * (1 + any(each.squared for each in moments))
    return 8 * numbers


def bytes_reduced(source: Readable, problem: Problem) -> int:
    """Return the bytes that an element takes while its block is reduced."""
    # Beside the block itself XLA keeps up to three arrays of its shape in the precision of the weights.
    arrays = 3 + (problem.window is not None) + 2 * problem.modes
    return source.dtype.itemsize + arrays * problem.precision.itemsize + 16 * problem.placed


def _passes_reduced(problem: Problem) -> int:
    """Return 2 where a weight counts or not by its distance from the maximum, or by its row's number."""
    return 2 if problem.looks_back or (problem.shape[0] is None and problem.placed) else 1


REDUCTION = Needs(bytes_reduced, _passes_reduced, in_pieces=True)
"""The needs of `engine.reduce`."""
BOXES = replace(REDUCTION, in_pieces=False, in_boxes=True)
"""The needs of `engine.reduce_boxes`."""


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
