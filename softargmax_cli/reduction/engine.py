"""The stream: blocks in, finished slices out, with reading, computing and writing overlapped.

The caller's thread fetches blocks in order, merges their states in order and yields finished slices;
others decode and reduce blocks meanwhile. The order of merging is that of the plan, so that a result
does not depend on which thread was faster.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from softargmax_cli.errors import InputError, OptionError
from softargmax_cli.reduction import blocks
from softargmax_cli.reduction.blocks import Block, Plan
from softargmax_cli.reduction.buffer import Buffer
from softargmax_cli.reduction.finish import Finisher, SliceFinisher
from softargmax_cli.reduction.lookalike import look_like_weights
from softargmax_cli.reduction.mapping import BlockReducer, Misfit, Reducer, padded
from softargmax_cli.reduction.parallel import cores, in_order
from softargmax_cli.reduction.readable import Pending, Readable
from softargmax_cli.reduction.result import Slices
from softargmax_cli.reduction.spec import FURTHEST, Problem
from softargmax_cli.reduction.state import State, added, merge
from softargmax_cli.reduction.undefined import Undefined

if TYPE_CHECKING:
    from softargmax_cli.runtime.base import Runtime

Answers = TypeVar("Answers")

MIB = 1 << 20
BLOCK = 2 * MIB
"""Bytes of a block: it and what is computed of it stay in the cache between the passes over it."""
BATCH = 8
"""Blocks that a thread does at a time, where there are many."""
WORTH_COMPILING = 32 * MIB
"""Bytes in blocks of one shape from which on XLA's program for them saves more time than it takes to make."""
FIRST_COMPILED = 4
"""Number of a table's block from which on the same holds, where the length is not known."""
STATE_BYTES = 100
"""What one unfinished slice takes, merging included."""


def reduce(
    source: Readable,
    problem: Problem,
    runtime: Runtime,
    *,
    memory: int,
    advance: Callable[[int], None] = lambda nbytes: None,
    note: Callable[[str], None] = lambda text: None,
) -> Iterator[Slices]:
    """Yield all slices in row-major order; `advance` is told how many bytes of the input are done.

    `memory` (bytes) bounds blocks and unfinished slices; `note` is told what the user may want to know. Raises
    UndefinedError, after the last byte, where there are negative weights, or where the NaN policy is "error" and there
    is NaN or a slice without any weight; InputError where the file is not what it seemed; OptionError where `memory`
    cannot hold what the input's order demands. A source that `returns` must not be `sequential`.
    """
    if source.sequential and returns(source, problem, memory):
        raise ValueError("a source that is read twice must not be sequential")
    finisher = SliceFinisher(problem, source)
    stream = Stream(source, problem, memory, advance, note, BlockReducer(problem, runtime), finisher)
    return stream.undefined.watched(stream.answers())


def returns(source: Readable, problem: Problem, memory: int) -> bool:
    """Whether the reduction must come back to what it has read.

    So it is where a slice is longer than a block, and what is asked of a place depends on where the maximum is; or,
    in a table, on how many rows precede it.
    """
    again = problem.window is not None or ("second" in problem.fields and len(problem.axes) > 1)
    if problem.shape[0] is None:
        return 0 in problem.axes and (again or problem.values is not None)
    return again and _planned(source, problem, _workers_and_elements(source, problem, memory)[1]).splits


def _planned(source: Readable, problem: Problem, elements: int) -> Plan:
    shape = tuple(n for n in problem.shape if n is not None)
    return blocks.plan(shape, problem.axes, source.order, elements, contiguous=source.sequential)


def _bytes_per_element(source: Readable, problem: Problem) -> int:
    """What an element takes while its block is reduced."""
    # Beside the block itself XLA keeps up to three arrays of its shape in the precision of the weights.
    arrays = 3 + (problem.window is not None) + ("second" in problem.fields)
    return source.dtype.itemsize + arrays * problem.precision.itemsize + (0 if problem.values is None else 16)


def _workers_and_elements(source: Readable, problem: Problem, memory: int) -> tuple[int, int]:
    """How many threads reduce, and how many elements a block has."""
    largest, each = BLOCK // source.dtype.itemsize, _bytes_per_element(source, problem)
    workers = max(1, min(cores(), memory // (2 * largest * each)))
    return workers, max(1, min(largest, memory // (2 * workers * each)))


@dataclass(frozen=True, slots=True)
class _Task:
    """A block to be reduced."""

    block: Block
    pending: Pending
    compiled: bool
    first: bool = False
    known: State | None = None
    """The maximum of its slices and where that is, when it is read for the second time."""


@dataclass(frozen=True, slots=True)
class Part(Generic[Answers]):
    """A block after its reduction."""

    block: Block
    nbytes: int
    rows: int
    """Along the first axis, of which only the file may know how many there are."""
    misfit: Misfit | None = None
    state: State | None = None
    """Where other blocks hold the rest of the slices."""
    answers: Answers | None = None
    """Where the block holds whole slices."""
    lookalike: bool = False
    """Whether the scores look like ready-made weights."""


class Stream(Generic[Answers]):
    """Blocks on their way to answers; `work` says how many times more there is to compute than usual."""

    def __init__(
        self,
        source: Readable,
        problem: Problem,
        memory: int,
        advance: Callable[[int], None],
        note: Callable[[str], None],
        reducer: Reducer,
        finisher: Finisher[Answers],
        work: int = 1,
    ) -> None:
        self.source, self.problem, self.memory, self.advance, self.note = source, problem, memory, advance, note
        self.reducer, self.finisher, self.undefined = reducer, finisher, Undefined(problem)
        self.worth_compiling = WORTH_COMPILING // work
        self.per_element = _bytes_per_element(source, problem)
        self.workers, self.elements = _workers_and_elements(source, problem, memory)
        self.buffers = threading.local()

    def answers(self) -> Iterator[Answers]:
        """All of them."""
        return self._table() if self.problem.shape[0] is None else self._array()

    def _array(self) -> Iterator[Answers]:
        """The answers of an array of known shape."""
        plan = _planned(self.source, self.problem, self.elements)
        if self.source.sequential:
            self._fit(plan)
        if returns(self.source, self.problem, self.memory):
            finished = self._finished_twice(plan)
        else:
            finished = self._finished(plan)
        return self.finisher.ordered(plan, finished, self.memory // 4)

    def _fit(self, plan: Plan) -> None:
        """See to it that blocks, which the order of a pipe may make large, fit into the memory."""
        block = 2 * math.prod(plan.extent) * self.per_element
        unfinished = math.prod(plan.extent[k] for k in self.problem.kept) * STATE_BYTES if plan.splits else 0
        if block + unfinished > max(self.memory, 2 * self.elements * self.per_element):
            what = f"the pipe brings many slices side by side, and one pass takes {(block + unfinished) / 1e6:,.0f} MB"
            raise OptionError(f"--memory: {what}", "raise --memory, or give a file instead of a pipe")
        self.workers = max(1, min(self.workers, (self.memory - unfinished) // block))

    def _finished(self, plan: Plan) -> Iterator[tuple[Block, Answers]]:
        """Complete slices, and the block that completed them."""
        # A pipe's blocks wait in memory; and all threads should have something to do.
        few = sum(1 for _ in islice(plan, 4 * self.workers * BATCH)) // (4 * self.workers)
        batch = 1 if self.source.sequential else max(1, few)
        state: State | None = None
        worth = self._worth_compiling(plan)
        for part in self._parts(((block, worth[block.shape]) for block in plan), batch):
            answers = part.answers
            if answers is None:
                state = self._merged(state, part, part.block.start)
                if plan.completes(part.block):
                    answers, state = self.finisher.finished(state, part.block), None
            if answers is not None:
                yield part.block, answers

    def _finished_twice(self, plan: Plan) -> Iterator[tuple[Block, Answers]]:
        """Complete slices where their blocks are read once to find the maximum and once more for the rest."""
        worth = self._worth_compiling(plan)
        for box in plan.boxes():
            found: State | None = None
            for part in self._parts(((block, worth[block.shape]) for block in box), 1):
                found = self._merged(found, part, part.block.start)
            assert found is not None
            if self.problem.window is not None and self.problem.values is not None:
                found = found.placed(self.problem.places)
            near = [block for block in box if self._concerns(block, found)] or box[-1:]  # beside NaN, hard is nowhere
            self.advance(sum(_nbytes(self.source, block) for block in set(box).difference(near)))
            sums: State | None = None
            for part in self._parts(((block, worth[block.shape]) for block in near), 1, known=found):
                assert part.state is not None
                sums = part.state if sums is None else added(sums, part.state)
            assert sums is not None
            yield box[-1], self.finisher.finished(found.completed(sums, self.problem.window is not None), box[-1])

    def _concerns(self, block: Block, found: State) -> bool:
        """Whether a block has anything to say of slices whose maximum has been found."""
        if "second" in self.problem.fields or self.problem.window is None:
            return True
        axes, window = self.problem.ascending, min(self.problem.window, FURTHEST)
        start, stop = (np.array([place[axis] for axis in axes])[:, None] for place in (block.start, block.stop))
        hard = found.hard.reshape(len(axes), -1)
        return bool(((hard + window >= start) & (hard - window < stop)).all(axis=0).any())

    def _worth_compiling(self, plan: Plan) -> dict[tuple[int, ...], bool]:
        """Whether the blocks of each shape are worth compiling for."""
        nbytes = {shape: plan.elements_in(shape) * self.source.dtype.itemsize for shape in plan.block_shapes()}
        return {shape: size >= self.worth_compiling for shape, size in nbytes.items()}

    def _table(self) -> Iterator[Answers]:
        """The answers of a table, (rows, columns), whose number of rows only its end tells."""
        columns = self.problem.shape[1]
        assert columns is not None
        numbered = enumerate(blocks.rows(columns, self.elements))
        row, state = 0, None
        for part in self._parts(((block, k >= FIRST_COMPILED) for k, block in numbered), 1, table=True):
            if part.misfit is not None:
                self.undefined.note(part.misfit, (row, 0))
            if part.answers is not None:
                yield self.finisher.renumbered(part.answers, row)
            elif part.state is not None:
                state = self._merged(state, part, (row, 0))
            row += part.rows
        if 0 in self.problem.axes:
            if state is None:
                raise InputError("the table has no rows, so there is no maximum along axis 0")
            yield self.finisher.finished_rows(state, (row, columns), None)

    def _merged(self, state: State | None, part: Part[Answers], start: Sequence[int]) -> State:
        """`state` with a part that begins at `start`."""
        assert part.state is not None
        moved = part.state.shifted([start[axis] for axis in self.problem.ascending])
        return moved if state is None else merge(state, moved, self.reducer.betas)

    def _parts(
        self, plan: Iterable[tuple[Block, bool]], batch: int, *, known: State | None = None, table: bool = False
    ) -> Iterator[Part[Answers]]:
        """Reduce the blocks of the plan in worker threads; yield them in its order."""
        for part in in_order(self._reduce, self._tasks(plan, known), threads=self.workers, batch=batch):
            self.advance(part.nbytes)
            if part.misfit is not None and not table:
                self.undefined.note(part.misfit, part.block.start)
            if part.lookalike:
                self.note("slices sum to 1 and look like probabilities; --input probs takes them as weights")
            yield part

    def _tasks(self, plan: Iterable[tuple[Block, bool]], known: State | None) -> Iterator[_Task]:
        for block, compiled in plan:
            pending = self.source.fetch(block)
            if pending is None:
                return
            first = not any(block.start) and known is None
            yield _Task(block, pending, compiled, first, known)

    def _reduce(self, task: _Task) -> Part[Answers]:
        """A worker's share: decode a block and reduce it, to answers where it holds whole slices."""
        if not hasattr(self.buffers, "buffer"):
            self.buffers.buffer = Buffer()
        loaded = task.pending.load(self.buffers.buffer)
        values, rows = loaded.values, len(loaded.values)
        part: Part[Answers] = Part(task.block, task.pending.nbytes, rows)
        if task.known is not None:
            known, careful = task.known, self.reducer.careful
            state = self.reducer.about(values, task.block.start, known, careful=careful, compiled=task.compiled)
            return replace(part, state=state)
        problem, table = self.problem, self.problem.shape[0] is None
        if table and not rows:
            return part
        whole = all(values.shape[axis] == problem.shape[axis] for axis in problem.axes)
        lookalike = task.first and whole and problem.kind == "scores" and look_like_weights(values, problem.axes)
        part = replace(part, lookalike=lookalike)
        if table and task.compiled:
            values = padded(values, problem)
        if not whole:
            state, misfit = self.reducer.part(values, task.block.start, compiled=task.compiled)
            return replace(part, misfit=misfit, state=state)
        state, misfit = self.reducer.whole(values, compiled=task.compiled)
        if table:
            answers = self.finisher.finished_rows(state.first(rows), (rows, values.shape[1]), loaded.ids)
            return replace(part, misfit=misfit, answers=answers)
        return replace(part, misfit=misfit, answers=self.finisher.finished(state, task.block))


def _nbytes(source: Readable, block: Block) -> int:
    return math.prod(block.shape) * source.dtype.itemsize
