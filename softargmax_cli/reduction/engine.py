"""The stream: blocks in, finished slices out, with reading, computing and writing overlapped.

The caller's thread fetches blocks in order, merges their states in order and yields finished slices;
others decode and reduce blocks meanwhile. The order of merging is that of the plan, so that a result
does not depend on which thread was faster.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from softargmax_cli.errors import InputError, OptionError
from softargmax_cli.reduction import blocks
from softargmax_cli.reduction.blocks import Block, Plan
from softargmax_cli.reduction.boxes import FAN_IN, STATE_BYTES, Boxes, boxes
from softargmax_cli.reduction.boxing import BoxReducer, located
from softargmax_cli.reduction.buffer import Buffer
from softargmax_cli.reduction.finish import finish, finish_block
from softargmax_cli.reduction.folding import Fold
from softargmax_cli.reduction.lookalike import look_like_weights
from softargmax_cli.reduction.mapping import BlockReducer, padded
from softargmax_cli.reduction.ordering import in_row_major_order
from softargmax_cli.reduction.parallel import cores, in_order
from softargmax_cli.reduction.readable import Readable
from softargmax_cli.reduction.result import Slices
from softargmax_cli.reduction.spec import FURTHEST, Problem
from softargmax_cli.reduction.state import State, added, merge
from softargmax_cli.reduction.tasks import Part, Task
from softargmax_cli.reduction.undefined import Undefined

if TYPE_CHECKING:
    from softargmax_cli.runtime.base import Runtime

MIB = 1 << 20
BLOCK = 2 * MIB
"""Bytes of a block: it and what is computed of it stay in the cache between the passes over it."""
BATCH = 8
"""Blocks that a thread does at a time, where there are many."""
WORTH_COMPILING = 32 * MIB
"""Bytes in blocks of one shape from which on XLA's program for them saves more time than it takes to make."""
FIRST_COMPILED = 4
"""Number of a table's block from which on the same holds, where the length is not known."""


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
    stream = _Stream(source, problem, runtime, memory, advance, note, boxes=source.chunks is not None)
    slices = stream.table() if problem.shape[0] is None else stream.array()
    return stream.undefined.watched(slices)


def reduce_boxes(
    source: Readable,
    problem: Problem,
    runtime: Runtime,
    *,
    memory: int,
    done: Callable[[Block], bool] = lambda block: False,
    advance: Callable[[int], None] = lambda nbytes: None,
    note: Callable[[str], None] = lambda text: None,
) -> Iterator[tuple[Block, Slices]]:
    """The same box by box, in the order of the file: the last block of the slices, and these, in row-major order.

    The source must be of known shape, and not sequential. Boxes whose slices are `done` are left out.
    """
    stream = _Stream(source, problem, runtime, memory, advance, note, boxes=True)
    return stream.undefined.watched_boxes(stream.finished(done))


def returns(source: Readable, problem: Problem, memory: int) -> bool:
    """Whether the reduction must come back to what it has read.

    So it is where a slice is longer than a block, and what is asked of a place depends on where the maximum is; or,
    in a table, on how many rows precede it.
    """
    if problem.shape[0] is None:
        return 0 in problem.axes and (problem.looks_back or problem.values is not None)
    return problem.looks_back and _planned(source, problem, memory).splits


def _planned(source: Readable, problem: Problem, memory: int) -> Plan:
    if source.chunks is not None:
        return boxed(source, problem, memory).plan
    shape, (_, elements) = tuple(n or 0 for n in problem.shape), _workers_and_elements(source, problem, memory)
    return blocks.plan(shape, problem.axes, source.order, elements, contiguous=source.sequential)


def boxed(source: Readable, problem: Problem, memory: int) -> Boxes:
    """The boxes in which an array is read that is stored in chunks, or reduced by boxes. Raises OptionError."""
    shape = tuple(n or 0 for n in problem.shape)
    return boxes(shape, problem.axes, source.order, source.dtype.itemsize, memory, source.chunks)


def box_reducer(source: Readable, problem: Problem, runtime: Runtime, memory: int) -> BoxReducer:
    """Reduces those boxes; the same ones to the same bits, wherever it is."""
    elements = min(BLOCK // source.dtype.itemsize, memory // (2 * _bytes_per_element(source, problem)))
    return BoxReducer(problem, runtime, source.order, max(1, elements))


def worth_compiling(plan: Plan, itemsize: int) -> dict[tuple[int, ...], bool]:
    """Whether the blocks of each shape are worth compiling for."""
    nbytes = {shape: plan.elements_in(shape) * itemsize for shape in plan.block_shapes()}
    return {shape: size >= WORTH_COMPILING for shape, size in nbytes.items()}


def concerns(block: Block, found: State, problem: Problem) -> bool:
    """Whether a block has anything to say of slices whose maximum has been found."""
    if "second" in problem.fields or problem.window is None:
        return True
    axes, window = problem.ascending, min(problem.window, FURTHEST)
    start, stop = (np.array([place[axis] for axis in axes])[:, None] for place in (block.start, block.stop))
    return bool(((found.hard + window >= start) & (found.hard - window < stop)).all(axis=0).any())


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


class _Stream:
    def __init__(
        self,
        source: Readable,
        problem: Problem,
        runtime: Runtime,
        memory: int,
        advance: Callable[[int], None],
        note: Callable[[str], None],
        *,
        boxes: bool,
    ) -> None:
        self.source, self.problem, self.memory, self.advance, self.note = source, problem, memory, advance, note
        self.undefined = Undefined(problem)
        self.reducer: BlockReducer | BoxReducer = BlockReducer(problem, runtime)
        self.per_element = _bytes_per_element(source, problem)
        self.workers, self.elements = _workers_and_elements(source, problem, memory)
        self.boxes = boxed(source, problem, memory) if boxes else None
        if self.boxes is not None:
            self.reducer = box_reducer(source, problem, runtime, memory)
            self.workers = self.boxes.threads(cores(), memory)
            if remark := self.boxes.note(memory):
                note(remark)
        self.buffers = threading.local()
        self.names = source.labels if problem.kept == (len(problem.shape) - 1,) else None
        """Of the slices, where the last axis is the one that stays."""

    def array(self) -> Iterator[Slices]:
        """The slices of an array of known shape."""
        plan = self._plan()
        finished = self.finished()
        if plan.in_order:
            return (slices for _, slices in finished)
        kept = self.problem.kept
        return in_row_major_order(finished, kept, [plan.shape[k] for k in kept], self.memory // 4)

    def finished(self, done: Callable[[Block], bool] = lambda block: False) -> Iterator[tuple[Block, Slices]]:
        """Complete slices in the order of the file, and the block that completed them; but those that are `done`."""
        plan = self._plan()
        if self.source.sequential:
            self._fit(plan)
        twice = self.problem.looks_back and plan.splits
        return self._finished_twice(plan, done) if twice else self._finished(plan, done)

    def _plan(self) -> Plan:
        return _planned(self.source, self.problem, self.memory) if self.boxes is None else self.boxes.plan

    def _fold(self, merged: Callable[[State, State], State]) -> Fold:
        """Merges what blocks of the same slices left behind; boxes as a cluster does it, to the same bits."""
        return Fold(merged, None if self.boxes is None else FAN_IN)

    def _fit(self, plan: Plan) -> None:
        """See to it that blocks, which the order of a pipe may make large, fit into the memory."""
        block = 2 * math.prod(plan.extent) * self.per_element
        unfinished = math.prod(plan.extent[k] for k in self.problem.kept) * STATE_BYTES if plan.splits else 0
        if block + unfinished > max(self.memory, 2 * self.elements * self.per_element):
            what = f"the pipe brings many slices side by side, and one pass takes {(block + unfinished) / 1e6:,.0f} MB"
            raise OptionError(f"--memory: {what}", "raise --memory, or give a file instead of a pipe")
        self.workers = max(1, min(self.workers, (self.memory - unfinished) // block))

    def _finished(self, plan: Plan, done: Callable[[Block], bool]) -> Iterator[tuple[Block, Slices]]:
        # A pipe's blocks wait in memory; and all threads should have something to do.
        few = sum(1 for _ in islice(plan, 4 * self.workers * BATCH)) // (4 * self.workers)
        batch = 1 if self.source.sequential or self.boxes else max(1, few)
        fold = self._fold(self._both)
        worth = worth_compiling(plan, self.source.dtype.itemsize)
        for part in self._parts(((block, worth[block.shape]) for block in plan if not done(block)), batch):
            slices = part.slices
            if slices is None:
                fold.add(self._moved(part, part.block.start))
                if plan.completes(part.block):
                    slices, fold = self._answers(fold.whole(), part.block), self._fold(self._both)
            if slices is not None:
                yield part.block, slices

    def _finished_twice(self, plan: Plan, done: Callable[[Block], bool]) -> Iterator[tuple[Block, Slices]]:
        """The same where blocks are read once to find the maximum and once more for the rest."""
        problem, worth = self.problem, worth_compiling(plan, self.source.dtype.itemsize)
        for box in plan.boxes():
            if done(box[0]):
                continue
            self.reducer.careful = False  # NaN elsewhere says nothing of these slices
            fold = self._fold(self._both)
            for part in self._parts(((block, worth[block.shape]) for block in box), 1):
                fold.add(self._moved(part, part.block.start))
            found = located(fold.whole(), problem)
            near = [block for block in box if concerns(block, found, problem)] or box[
                -1:
            ]  # beside NaN, hard is nowhere
            self.advance(sum(_nbytes(self.source, block) for block in set(box).difference(near)))
            parts, sums = (
                self._parts(((block, worth[block.shape]) for block in near), 1, known=found),
                self._fold(added),
            )
            for block in box:
                sums.add(next(parts).state if block in near else None)
            yield box[-1], self._answers(found.completed(sums.whole(), problem.window is not None), box[-1])

    def _answers(self, state: State, block: Block) -> Slices:
        """The results of the slices that end with a block, in row-major order."""
        return finish_block(state, self.problem, block, self.source.order, self.names)

    def table(self) -> Iterator[Slices]:
        """The slices of a table, (rows, columns), whose number of rows only its end tells."""
        columns = self.problem.shape[1]
        assert columns is not None
        numbered = enumerate(blocks.rows(columns, self.elements))
        row, fold = 0, self._fold(self._both)
        for part in self._parts(((block, k >= FIRST_COMPILED) for k, block in numbered), 1, table=True):
            if part.misfit is not None:
                self.undefined.note(part.misfit, (row, 0))
            if part.slices is not None:
                yield replace(part.slices, start=row)
            elif part.state is not None:
                fold.add(self._moved(part, (row, 0)))
            row += part.rows
        if 0 in self.problem.axes:
            if not row:
                raise InputError("the table has no rows, so there is no maximum along axis 0")
            lengths = [(row, columns)[axis] for axis in self.problem.axes]
            yield finish(fold.whole(), self.problem, lengths, 0, self.names)

    def _both(self, a: State, b: State) -> State:
        return merge(a, b, self.problem.beta)

    def _moved(self, part: Part, start: Sequence[int]) -> State:
        """The state of a part that begins at `start`, with positions in the whole array."""
        assert part.state is not None
        return part.state.shifted([start[axis] for axis in self.problem.ascending])

    def _parts(
        self, plan: Iterable[tuple[Block, bool]], batch: int, *, known: State | None = None, table: bool = False
    ) -> Iterator[Part]:
        """Reduce the blocks of the plan in worker threads; yield them in its order."""
        for part in in_order(self._reduce, self._tasks(plan, known), threads=self.workers, batch=batch):
            self.advance(part.nbytes)
            if part.misfit is not None and not table:
                self.undefined.note(part.misfit, part.block.start)
            if part.lookalike:
                self.note("slices sum to 1 and look like probabilities; --input probs takes them as weights")
            yield part

    def _tasks(self, plan: Iterable[tuple[Block, bool]], known: State | None) -> Iterator[Task]:
        for block, compiled in plan:
            pending = self.source.fetch(block)
            if pending is None:
                return
            first = not any(block.start) and known is None
            yield Task(block, pending, compiled, first, known)

    def _reduce(self, task: Task) -> Part:
        """A worker's share: decode a block and reduce it, to answers where it holds whole slices."""
        if not hasattr(self.buffers, "buffer"):
            self.buffers.buffer = Buffer()
        loaded = task.pending.load(self.buffers.buffer)
        values, rows = loaded.values, len(loaded.values)
        part = Part(task.block, task.pending.nbytes, rows)
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
            columns = [values.shape[1]]
            return replace(part, misfit=misfit, slices=finish(state.first(rows), problem, columns, 0, loaded.ids))
        return replace(part, misfit=misfit, slices=self._answers(state, task.block))


def _nbytes(source: Readable, block: Block) -> int:
    return math.prod(block.shape) * source.dtype.itemsize
