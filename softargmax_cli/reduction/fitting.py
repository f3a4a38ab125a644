"""Fit a reduction into memory: the size of its blocks, the passes over its input, whether a pipe must be copied."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from softargmax_cli.reduction import blocks
from softargmax_cli.reduction.blocks import Plan
from softargmax_cli.reduction.boxes import STATES, Boxes, boxes_of
from softargmax_cli.reduction.fields import needed_sums
from softargmax_cli.reduction.formulas import FLOAT_INDEX
from softargmax_cli.reduction.parallel import cores
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.readable import Readable

MIB = 1 << 20
BLOCK = 2 * MIB
"""Bytes of a block: it stays in the cache, with everything computed of it, between the passes of the kernel."""
RESULT_BYTES = 100
"""Bytes of the result of one slice that waits for those before it."""
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
    in_boxes: bool = False
    """True where arrays without chunks, too, are read in boxes (see `boxes.py`), which are larger than blocks."""
    of_results: Callable[[Readable, Problem], int] = lambda source, problem: 0
    """Size of the results of a box, in units of the box."""

    def fit(self, source: Readable, problem: Problem, memory: int) -> tuple[int, int]:
        """Return the number of threads, and the number of elements of a block."""
        each = self.bytes_per_element(source, problem)
        length = math.prod(problem.shape[axis] or BLOCK for axis in problem.axes)
        largest = min(BLOCK // source.dtype.itemsize, max(1, min(MOST_SLICES, MOST_STATES // self.states)) * length)
        if boxes := self.boxes(source, problem, memory):  # whose blocks are the same, however many threads there are
            threads = boxes.threads(cores(), memory, self.of_results(source, problem))
            return threads, max(1, min(largest, memory // (2 * each)))
        workers = max(1, min(cores() + source.sequential, memory // (2 * largest * each)))
        return workers, max(1, min(largest, memory // (2 * workers * each)))

    def waiting(self, plan: Plan, workers: int, memory: int) -> int:
        """Return how many blocks a thread may do at a time, so that their results may wait in memory."""
        slices = math.prod(n for k, n in enumerate(plan.extent) if k not in plan.axes)
        return max(1, memory // (4 * (workers + 1) * slices * RESULT_BYTES))

    def boxes(self, source: Readable, problem: Problem, memory: int) -> Boxes | None:
        """Return the boxes in which an array is read; None where it is read in blocks. Raises as `boxes_of`."""
        wanted = self.in_boxes or source.chunks is not None
        shape = tuple(n for n in problem.shape if n is not None)
        if not wanted or source.sequential or len(shape) < len(problem.shape):
            return None
        state = self.states * state_bytes(problem)
        layout = source.order, source.dtype.itemsize, memory, source.chunks, state
        return boxes_of(shape, problem.axes, *layout)

    def plan(self, source: Readable, problem: Problem, memory: int) -> Plan:
        """Cut an array of known shape into blocks, or into boxes."""
        if boxes := self.boxes(source, problem, memory):
            return boxes.plan
        shape, elements = tuple(n for n in problem.shape if n is not None), self.fit(source, problem, memory)[1]
        return blocks.plan(shape, problem.axes, source.order, elements, contiguous=source.sequential)

    def passes(self, source: Readable, problem: Problem, memory: int) -> int:
        """Return how often the input is read."""
        again = self.passes_over(problem)
        if problem.shape[0] is None:
            return again if 0 in problem.axes else 1
        return again if again > 1 and self.plan(source, problem, memory).splits else 1

    def must_seek(self, source: Readable, problem: Problem, memory: int) -> bool:
        """Tell whether the order of a pipe cannot be followed, so that it must be copied first.

        So it is where there are several passes, and where slices lie side by side in the pipe that are too many to be
        held.
        """
        if self.in_boxes or self.passes(source, problem, memory) > 1:
            return True
        if problem.shape[0] is None:
            return False
        plan = self.plan(source, problem, memory)
        too_long = math.prod(plan.extent[axis] for axis in problem.axes) >= FLOAT_INDEX
        usual = 2 * self.fit(source, problem, memory)[1] * self.bytes_per_element(source, problem)
        return too_long or sum(self.held(source, problem, plan)) > max(memory, usual)

    def held(self, source: Readable, problem: Problem, plan: Plan) -> tuple[int, int]:
        """Return the bytes of one block in a thread, and those of slices that later blocks complete."""
        slices = math.prod(plan.extent[k] for k in problem.kept)
        unfinished = STATES * self.states * slices * state_bytes(problem) if plan.splits else 0
        return 2 * math.prod(plan.extent) * self.bytes_per_element(source, problem), unfinished


def state_bytes(problem: Problem) -> int:
    """Return the bytes of the state of one slice."""
    axes, needed = len(problem.axes), needed_sums(problem.fields)
    numbers = 2 + 2 * axes + len(needed - {"second_moment"})
    numbers += axes * (("second_moment" in needed) + 2 * (problem.values is not None))
    return 8 * numbers


def bytes_reduced(source: Readable, problem: Problem) -> int:
    """Return the bytes that an element takes while its block is reduced."""
    # Beside the block itself XLA keeps up to three arrays of its shape in the precision of the weights.
    arrays = 3 + (problem.window is not None) + 2 * problem.modes
    return source.dtype.itemsize + arrays * problem.precision.itemsize + (0 if problem.values is None else 16)


def _passes_reduced(problem: Problem) -> int:
    """Return 2 where a weight counts or not by its distance from the maximum, or by its row's number."""
    return 2 if problem.looks_back or (problem.shape[0] is None and problem.values is not None) else 1


REDUCTION = Needs(bytes_reduced, _passes_reduced)
"""The needs of `engine.reduce`."""
BOXES = replace(REDUCTION, in_boxes=True)
"""The needs of `engine.reduce_boxes`."""
