"""The memory budget of a reduction: the size of its blocks or boxes, its threads, and the passes over its input.

An array that is stored in chunks is read in boxes of whole chunks: a chunk that is cut would be decoded several times.
A box takes as many chunks as are worth a task of its own, first along the reduced axes, so that it holds whole slices
if possible.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from softargmax_cli.errors import OptionError, parameter
from softargmax_cli.reduction import blocks
from softargmax_cli.reduction.blocks import Order, Plan
from softargmax_cli.reduction.fields import needed_sums
from softargmax_cli.reduction.formulas import FLOAT_INDEX
from softargmax_cli.reduction.layout import PIECE
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.readable import Readable

BLOCK = 2 << 20
"""Bytes of a block: with all that is computed from it, it stays in the cache between the passes of the kernel."""
LARGER = 12
"""The factor by which a block is larger if the kernel takes it in pieces along a kept slowest axis; 2 if it is read in
order, since its first results must not wait for long."""
MOST_SLICES = 1 << 16
"""The most slices of a block: the states of short slices are larger than the slices."""
MOST_STATES = 4 * MOST_SLICES
"""The most states of a block, if a slice has several: each is small beside the weights that it sums."""
SHARE = 8
"""A box of small chunks takes 1 / `SHARE` of the memory."""
HELD = 2
"""The copies of a chunk while it is read: encoded, and decoded."""
FAN_IN = 16
"""The states that are merged at a time: n boxes take log n levels, in threads or on a cluster."""
STATES = 12
"""The states of a slice in memory while its parts are merged: of waiting blocks, and of both sides moved."""


@dataclass(frozen=True, slots=True)
class Needs:
    """The memory and the passes that one kind of reduction needs."""

    arrays: Callable[[Problem], int] = lambda problem: 0
    """The number of arrays of the input's shape that are computed."""
    states: int = 1
    """The number of states of a slice."""
    in_pieces: bool = True
    """True if the kernel takes pieces of a block, which then may be larger than the cache."""
    in_boxes: bool = False
    """True if arrays without chunks, too, are read in boxes, which are larger than blocks."""


REDUCTION = Needs()
"""The needs of `engine.reduce`."""
BOXES = Needs(in_boxes=True)
"""The needs of `engine.reduce_boxes`."""


class Budget:
    """The blocks or boxes in which one input is read, and its threads and passes, within `memory` (bytes).

    Raises OptionError if the memory does not hold one chunk, encoded and decoded.
    """

    def __init__(self, needs: Needs, source: Readable, problem: Problem, memory: int) -> None:
        self._needs, self._source, self._problem, self._memory = needs, source, problem, memory
        size, made = source.dtype.itemsize, needs.arrays(problem) * problem.precision.itemsize
        # Beside the block itself XLA keeps up to three arrays of its shape in the precision of the weights.
        arrays = 3 + (problem.window is not None) + 2 * problem.modes
        reduced = size + arrays * problem.precision.itemsize + 16 * problem.placed
        # Bytes that an entry takes in the piece in hand, and bytes of waiting results for each byte of the input:
        # computed arrays exist twice, and wait to be written.
        self._each, self._results = (2 * reduced + 4 * made, -(-2 * made // size)) if made else (reduced, 0)
        self._state = needs.states * state_bytes(problem)
        table, shape = problem.shape[0] is None, tuple(n for n in problem.shape if n is not None)
        self.boxed = not (source.sequential or table) and (needs.in_boxes or source.chunks is not None)
        """True if an array is read in boxes, each of which is reduced block by block."""
        self.decodings = 1
        """The number of times that each chunk is decoded."""
        length = math.prod(problem.shape[axis] or BLOCK for axis in problem.axes)
        most = max(1, min(MOST_SLICES, MOST_STATES // needs.states)) * length
        largest, order = min(BLOCK // size, most), source.order
        if self.boxed:
            self.plan, self.decodings = boxes_of(shape, problem.axes, order, size, memory, source.chunks, self._state)
            nbytes = size * max(math.prod(self.plan.extent), math.prod(source.chunks or ()))
            # Beside the chunks there is the box that they fill.
            self.workers = max(1, min(cores(), memory // ((HELD + 1 + self._results) * nbytes)))
            self.elements = max(1, min(largest, memory // (2 * self._each)))
            return
        self.workers = cores() + source.sequential
        slowest = 0 if order == "C" else len(problem.shape) - 1
        in_pieces = needs.in_pieces and slowest not in problem.axes and length * size <= PIECE
        larger = 2 if source.sequential else LARGER
        room = memory // (2 * self.workers) - PIECE // size * self._each  # beside the piece in hand
        self.elements = min(larger * BLOCK // size, most, room // (size * (1 + self._results)))
        if not in_pieces or self.elements < largest:
            self.workers = max(1, min(self.workers, memory // (2 * largest * self._each)))
            self.elements = max(1, min(largest, memory // (2 * self.workers * self._each)))
        if table:
            self.plan = blocks.rows(shape[0], self.elements, problem.axes)
            return
        self.plan = blocks.plan(shape, problem.axes, order, self.elements, contiguous=source.sequential)
        if source.sequential:  # its order may make blocks large
            block, unfinished = self._held
            self.workers = max(1, min(self.workers, (memory - unfinished) // block))

    def _block_bytes(self, elements: int) -> int:
        """Return the bytes of two blocks of `elements`, the current and the next one of a thread."""
        if not self._needs.in_pieces:
            return 2 * elements * self._each
        size = self._source.dtype.itemsize
        return 2 * (elements * size * (1 + self._results) + min(elements, PIECE // size) * self._each)

    @property
    def _held(self) -> tuple[int, int]:
        """The bytes of blocks in one thread, and those of slices that later blocks complete."""
        slices = math.prod(self.plan.extent[k] for k in self._problem.kept)
        return self._block_bytes(math.prod(self.plan.extent)), STATES * slices * self._state * self.plan.splits

    @property
    def passes(self) -> int:
        """The number of passes over the input: several if sums depend on earlier ones, or on row numbers."""
        problem = self._problem
        if not self.plan.splits:
            return 1
        if self._needs.arrays(problem):
            return 2 if problem.window is None else 3
        return 1 + (problem.reviews or (problem.shape[0] is None and problem.placed))

    @property
    def must_seek(self) -> bool:
        """True if the order of a pipe cannot be followed, so that it must be copied first.

        The reasons are several passes, and more slices side by side in the pipe than can be held.
        """
        if self._needs.in_boxes or self.passes > 1:
            return True
        too_long = math.prod(self.plan.extent[axis] for axis in self._problem.axes) >= FLOAT_INDEX
        too_much = sum(self._held) > max(self._memory, self._block_bytes(self.elements))
        return self._problem.shape[0] is not None and (too_long or too_much)

    @property
    def note(self) -> str:
        """A note if chunks are decoded several times, else nothing."""
        if self.decodings == 1:
            return ""
        what = f"each chunk is decoded {self.decodings} times, for want of memory"
        return f"{what}; raise {parameter('memory')}, or store chunks that are longer along the axis"


def boxes_of(
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    order: Order,
    itemsize: int,
    memory: int,
    chunks: Sequence[int] | None,
    state: int,
) -> tuple[Plan, int]:
    """Cut an array into boxes of whole chunks; one without chunks, into boxes of about the same size.

    Slices that boxes leave unfinished, with states of `state` bytes, fit into half of the memory (bytes), even if
    chunks must be cut for that. Return the plan, and the number of times that it decodes each chunk.
    """
    room = max(1, memory // SHARE // itemsize)
    if chunks is None:
        return blocks.plan(shape, axes, order, room, contiguous=False), 1
    size = math.prod(chunks) * itemsize  # the part of a chunk beyond the array is decoded, too
    if HELD * size > memory:
        what = f"one chunk of the input, {' × '.join(map(str, chunks))}, takes {size / 1e6:,.0f} MB"
        enough = f"{-(-HELD * size // 2**20)}MiB"
        remedy = f"use {parameter('memory', enough)}, or store the array in smaller chunks"
        raise OptionError(f"{parameter('memory')}: {what}, and as much again while it is decoded", remedy)
    extent, decodings = [max(1, min(size, n)) for size, n in zip(chunks, shape, strict=True)], 1
    kept = [k for k in range(len(shape)) if k not in axes]
    for axis in [*sorted(axes, reverse=True), *reversed(kept)]:
        if count := -(-shape[axis] // extent[axis]):
            several = blocks.fitting(count, room // math.prod(extent))
            extent[axis] = min(shape[axis], several * extent[axis])
        if extent[axis] < shape[axis]:
            break
    if any(extent[axis] < shape[axis] for axis in axes):
        for axis in kept:
            unfinished = math.prod(extent[k] for k in kept) * STATES * state
            pieces = min(extent[axis], max(1, -(-unfinished // (memory // 2))))
            whole, extent[axis] = extent[axis], extent[axis] // pieces
            decodings *= -(-whole // extent[axis])
    return Plan(shape, axes, "C", tuple(extent)), decodings


def state_bytes(problem: Problem) -> int:
    """Return the bytes of the state of one slice."""
    needed, moments = needed_sums(problem.fields), problem.moments
    sums = len(problem.axes) + len(needed - {"second_moment"})
    return 8 * (2 + sums + len(moments) * (1 + any(each.squared for each in moments)))


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
