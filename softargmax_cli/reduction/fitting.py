"""How a reduction fits into memory: how large its blocks are, how often it reads, whether a pipe's order will do."""

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
"""Bytes of a block: it and what is computed of it stay in the cache between the passes over it."""
RESULT_BYTES = 100
"""What is said of one slice that waits for those before it."""
MOST_SLICES = 1 << 16
"""Of a block: where slices are short, what is known of them takes more than they do."""
MOST_STATES = 4 * MOST_SLICES
"""Of a block, where a slice has many: each is small beside the weights that it sums."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What one kind of reduction asks of memory and of its input."""

    bytes_per_element: Callable[[Readable, Problem], int]
    """What an element takes while its block is worked on."""
    passes_over: Callable[[Problem], int]
    """How often a slice is read that is longer than a block, or that is a column of a table of unknown length."""
    states: int = 1
    """How many states a slice has."""
    in_boxes: bool = False
    """Whether arrays without chunks are read in boxes (see `boxes.py`), too, which are larger than blocks."""
    of_results: Callable[[Readable, Problem], int] = lambda source, problem: 0
    """How many times the bytes of a box its results take."""

    def fit(self, source: Readable, problem: Problem, memory: int) -> tuple[int, int]:
        """How many threads work, and how many elements a block has."""
        each = self.bytes_per_element(source, problem)
        length = math.prod(problem.shape[axis] or BLOCK for axis in problem.axes)
        largest = min(BLOCK // source.dtype.itemsize, max(1, min(MOST_SLICES, MOST_STATES // self.states)) * length)
        if boxes := self.boxes(source, problem, memory):  # whose blocks are the same, however many threads there are
            threads = boxes.threads(cores(), memory, self.of_results(source, problem))
            return threads, max(1, min(largest, memory // (2 * each)))
        workers = max(1, min(cores() + source.sequential, memory // (2 * largest * each)))
        return workers, max(1, min(largest, memory // (2 * workers * each)))

    def waiting(self, plan: Plan, workers: int, memory: int) -> int:
        """How many blocks a thread may do at a time, so that what is said of their slices may wait in memory."""
        slices = math.prod(n for k, n in enumerate(plan.extent) if k not in plan.axes)
        return max(1, memory // (4 * (workers + 1) * slices * RESULT_BYTES))

    def boxes(self, source: Readable, problem: Problem, memory: int) -> Boxes | None:
        """The boxes in which an array is read; None where it is read in blocks at once. OptionError as `boxes_of`."""
        wanted = self.in_boxes or source.chunks is not None
        shape = tuple(n for n in problem.shape if n is not None)
        if not wanted or source.sequential or len(shape) < len(problem.shape):
            return None
        state = self.states * state_bytes(problem)
        layout = source.order, source.dtype.itemsize, memory, source.chunks, state
        return boxes_of(shape, problem.axes, *layout)

    def plan(self, source: Readable, problem: Problem, memory: int) -> Plan:
        """The blocks of an array of known shape, or its boxes."""
        if boxes := self.boxes(source, problem, memory):
            return boxes.plan
        shape, elements = tuple(n for n in problem.shape if n is not None), self.fit(source, problem, memory)[1]
        return blocks.plan(shape, problem.axes, source.order, elements, contiguous=source.sequential)

    def passes(self, source: Readable, problem: Problem, memory: int) -> int:
        """How often the input is read."""
        again = self.passes_over(problem)
        if problem.shape[0] is None:
            return again if 0 in problem.axes else 1
        return again if again > 1 and self.plan(source, problem, memory).splits else 1

    def must_seek(self, source: Readable, problem: Problem, memory: int) -> bool:
        """Whether the order of a pipe cannot be followed, so that it must be copied first.

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
        """Bytes of one block on its way through a thread, and of slices whose rest comes in later blocks."""
        slices = math.prod(plan.extent[k] for k in problem.kept)
        unfinished = STATES * self.states * slices * state_bytes(problem) if plan.splits else 0
        return 2 * math.prod(plan.extent) * self.bytes_per_element(source, problem), unfinished


def state_bytes(problem: Problem) -> int:
    """What the state of one slice takes."""
    axes, needed = len(problem.axes), needed_sums(problem.fields)
    numbers = 2 + 2 * axes + len(needed - {"second_moment"}) + ("second" in needed)
    numbers += axes * (("second_moment" in needed) + 2 * (problem.values is not None))
    return 8 * numbers


def bytes_reduced(source: Readable, problem: Problem) -> int:
    """What an element takes while its block is reduced."""
    # Beside the block itself XLA keeps up to three arrays of its shape in the precision of the weights.
    arrays = 3 + (problem.window is not None) + ("second" in problem.fields)
    return source.dtype.itemsize + arrays * problem.precision.itemsize + (0 if problem.values is None else 16)


def _passes_reduced(problem: Problem) -> int:
    """Two where what is asked of a place depends on where the maximum is, or in a table on how many rows precede it."""
    return 2 if problem.looks_back or (problem.shape[0] is None and problem.values is not None) else 1


REDUCTION = Needs(bytes_reduced, _passes_reduced)
"""Of `engine.reduce`."""
BOXES = replace(REDUCTION, in_boxes=True)
"""Of `engine.reduce_boxes`."""
