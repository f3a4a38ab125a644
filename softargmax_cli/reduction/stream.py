"""The stream: blocks in, answers out, with reading, computing and writing overlapped.

The caller's thread fetches blocks in order, merges their states in order and yields what is finished; others decode and
reduce blocks meanwhile. The order of merging is that of the plan, so that a result does not depend on which thread was
faster. What is made of the state of complete slices is the business of what derives from it.
"""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Generic, TypeVar

import numpy as np

from softargmax_cli.errors import InputError, parameter
from softargmax_cli.reduction import blocks
from softargmax_cli.reduction.blocks import Block, Plan
from softargmax_cli.reduction.box_reducer import BoxReducer, located
from softargmax_cli.reduction.boxes import FAN_IN
from softargmax_cli.reduction.fitting import REDUCTION
from softargmax_cli.reduction.lookalike import Lookalike
from softargmax_cli.reduction.ordering import Scratch
from softargmax_cli.reduction.parallel import in_order
from softargmax_cli.reduction.problem import FURTHEST, Problem
from softargmax_cli.reduction.readable import Buffer, Loaded, Pending, Readable
from softargmax_cli.reduction.reducer import Array, Misfit, Reducer, padded
from softargmax_cli.reduction.state import Fold, Merge, State, added, merge
from softargmax_cli.reduction.undefined import Undefined

Answers = TypeVar("Answers")

BATCH = 8
"""Blocks that a thread does at a time, where there are many."""
WORTH_COMPILING = 32 << 20
"""Bytes in blocks of one shape from which on XLA's program for them saves more time than it takes to make."""
FIRST_COMPILED = 4
"""Number of a table's or a pipe's block from which on the same holds, where the length is not known, or only said."""
LOOK_LIKE_WEIGHTS = f"slices sum to 1 and look like probabilities; {parameter('kind', 'probs')} takes them as weights"
Worth = Mapping[tuple[int, ...], bool]
"""Whether the blocks of each shape are worth compiling for."""


@dataclass(frozen=True, slots=True)
class Task:
    """A block to be reduced."""

    block: Block
    pending: Pending
    compiled: bool
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
    ids: Sequence[str] | None = None
    """The names of its rows, where it holds parts of them."""


class Stream(ABC, Generic[Answers]):
    """An input on its way through a reducer; what derives from it makes answers of complete states."""

    needs = REDUCTION
    batch = BATCH
    work: float = 1
    """How much there is to compute for an element, in units of what a reduction does with it."""

    def __init__(
        self,
        source: Readable,
        problem: Problem,
        reducer: Reducer,
        memory: int,
        advance: Callable[[int], None],
        note: Callable[[str], None],
        scratch: Scratch | None = None,
    ) -> None:
        if source.sequential and self.needs.must_seek(source, problem, memory):
            raise ValueError("a source that can only be read in order must be copied first")
        self.source, self.problem, self.memory, self.advance, self.note = source, problem, memory, advance, note
        self.scratch, self.reducer, self.undefined = scratch, reducer, Undefined(problem)
        self.workers, self.elements = self.needs.fit(source, problem, memory)
        self.boxes = self.needs.boxes(source, problem, memory)
        if self.boxes is not None:
            self.reducer = BoxReducer(reducer, problem, source.order, self.elements)
            if remark := self.boxes.note(memory):
                note(remark)
        self.buffers, self.lookalike = threading.local(), Lookalike()

    @abstractmethod
    def _answers(self, state: State, block: Block, rows: Sequence[str] | None = None) -> Answers:
        """Those of the slices that end with a block; `rows` are names that came with it."""

    @abstractmethod
    def _of_table(self, state: State, shape: tuple[int, int], rows: Sequence[str] | None = None) -> Answers:
        """Those of the rows of a table, numbered from 0, or of slices along all of its rows; shape: of these rows."""

    @abstractmethod
    def _numbered(self, answers: Answers, start: int) -> Answers:
        """The same, of slices from number `start` on."""

    @abstractmethod
    def _ordered(self, plan: Plan, finished: Iterator[tuple[Block, Answers]]) -> Iterator[Answers]:
        """Answers of an array, each with the block that completed it, in the order that the caller wants."""

    def answers(self) -> Iterator[Answers]:
        """All of them; what is noted of slices comes at the end."""
        yield from self._table() if self.problem.shape[0] is None else self._array()
        self._remark()

    def _remark(self) -> None:
        """Note what all slices together look like."""
        if self.lookalike.found:
            self.note(LOOK_LIKE_WEIGHTS)

    def _array(self) -> Iterator[Answers]:
        """The answers of an array of known shape."""
        plan = self.needs.plan(self.source, self.problem, self.memory)
        return self._ordered(plan, self._in_blocks(plan))

    def _in_blocks(self, plan: Plan) -> Iterator[tuple[Block, Answers]]:
        """Those of an array as they are found, each with the block that completed them."""
        if self.source.sequential:  # whose order may make blocks large
            block, unfinished = self.needs.held(self.source, self.problem, plan)
            self.workers = max(1, min(self.workers, (self.memory - unfinished) // block))
        if self.needs.passes(self.source, self.problem, self.memory) > 1:
            return self._finished_twice(plan)
        return self._finished(plan)

    def _finished(self, plan: Plan) -> Iterator[tuple[Block, Answers]]:
        """Complete slices, and the block that completed them."""
        # A pipe's blocks wait in memory, boxes are large; and all threads should have something to do.
        few = sum(1 for _ in islice(plan, 4 * self.workers * self.batch)) // (4 * self.workers)
        room = self.needs.waiting(plan, self.workers, self.memory)
        batch = 1 if self.source.sequential or self.boxes else max(1, min(few, room))
        fold = self._fold()
        worth = self._worth_compiling(plan)
        late = FIRST_COMPILED if self.source.sequential else 0  # a pipe may end long before it says
        planned = ((block, k >= late and worth[block.shape]) for k, block in enumerate(plan))
        for part in self._parts(planned, batch):
            answers = part.answers
            if answers is None:
                fold.add(self._moved(part, part.block.start))
                if plan.completes(part.block):
                    answers, fold = self._answers(fold.whole(), part.block, part.ids), self._fold()
            if answers is not None:
                yield part.block, answers

    def _finished_twice(self, plan: Plan) -> Iterator[tuple[Block, Answers]]:
        """Complete slices where their blocks are read once to find the maximum and once more for the rest."""
        worth = self._worth_compiling(plan)
        for box in plan.boxes():
            found, ids = self._found(box, worth)
            yield box[-1], self._answers(self._completed(box, worth, found), box[-1], ids)

    def _found(self, box: Sequence[Block], worth: Worth) -> tuple[State, Sequence[str] | None]:
        """Merge the states of all blocks of some slices; the names of rows that came with them."""
        fold, ids = self._fold(), None
        for part in self._parts(((block, worth[block.shape]) for block in box), 1):
            fold.add(self._moved(part, part.block.start))
            ids = part.ids
        return located(fold.whole(), self.problem), ids

    def _completed(self, box: Sequence[Block], worth: Worth, found: State) -> State:
        """That with what only a second pass can tell."""
        near = {block for block in box if concerns(block, found, self.problem)}
        near = near or {box[-1]}  # beside NaN, hard is nowhere
        self.advance(sum(_nbytes(self.source, block) for block in box if block not in near))
        fold = self._fold(added)
        parts = self._parts(((block, worth[block.shape]) for block in box if block in near), 1, known=found)
        for block in box:
            fold.add(next(parts).state if block in near else None)
        return found.completed(fold.whole(), self.problem.window is not None)

    def _worth_compiling(self, plan: Plan) -> Worth:
        return worth_compiling(plan, self.source.dtype.itemsize, self.work)

    def _table(self) -> Iterator[Answers]:
        """The answers of a table, (rows, columns), whose number of rows only its end tells."""
        columns = self.problem.shape[1]
        assert columns is not None
        numbered = enumerate(blocks.rows(columns, self.elements))
        row, fold = 0, self._fold()
        for part in self._parts(((block, k >= FIRST_COMPILED) for k, block in numbered), 1, table=True):
            if part.misfit is not None:
                self.undefined.note(part.misfit, (row, 0))
            if part.answers is not None:
                yield self._numbered(part.answers, row)
            elif part.state is not None:
                fold.add(self._moved(part, (row, 0)))
            row += part.rows
        if 0 in self.problem.axes:
            if not row:
                raise InputError("the table has no rows, so there is no maximum along axis 0")
            yield self._of_table(fold.whole(), (row, columns))

    def _fold(self, both: Merge | None = None) -> Fold:
        """Merges what blocks of the same slices left behind; boxes as a cluster does it, to the same bits."""
        return Fold(both or partial(merge, beta=self.reducer.betas), None if self.boxes is None else FAN_IN)

    def _moved(self, part: Part[Answers], start: Sequence[int]) -> State:
        """The state of a part that begins at `start`, with positions in the whole array."""
        assert part.state is not None
        return part.state.shifted([start[axis] for axis in self.problem.ascending])

    def _parts(
        self,
        plan: Iterable[tuple[Block, bool]],
        batch: int,
        *,
        known: State | None = None,
        table: bool = False,
        work: Callable[[Task], Part[Answers]] | None = None,
    ) -> Iterator[Part[Answers]]:
        """Reduce the blocks of the plan in worker threads, or do `work` on them; yield them in its order."""
        for part in in_order(work or self._reduce, self._tasks(plan, known), threads=self.workers, batch=batch):
            self.advance(part.nbytes)
            if part.misfit is not None and not table:
                self.undefined.note(part.misfit, part.block.start)
            yield part

    def _tasks(self, plan: Iterable[tuple[Block, bool]], known: State | None) -> Iterator[Task]:
        waiting: Task | None = None
        for block, compiled in plan:
            pending = self.source.fetch(block)
            if waiting is not None:
                # Of a table's last block, whose shape comes but once, no program is worth making.
                yield waiting if pending is not None else replace(waiting, compiled=False)
                waiting = None
            if pending is None:
                return
            task = Task(block, pending, compiled, known)
            if compiled and self.problem.shape[0] is None:
                waiting = task
            else:
                yield task

    def _reduce(self, task: Task) -> Part[Answers]:
        """A worker's share: decode a block and reduce it, to answers where it holds whole slices."""
        loaded = self._loaded(task)
        values, rows = loaded.values, len(loaded.values)
        part: Part[Answers] = Part(task.block, task.pending.nbytes, rows)
        if task.known is not None:
            state = self.reducer.about(values, task.block.start, task.known, compiled=task.compiled)
            return replace(part, state=state)
        problem, table = self.problem, self.problem.shape[0] is None
        if table and not rows:
            return part
        whole = all(values.shape[axis] == problem.shape[axis] for axis in problem.axes)
        if whole and problem.kind == "scores":
            self.lookalike.look(values, problem.axes)
        compiled = task.compiled
        if table and compiled:
            values = padded(values, problem)
        if not whole:
            state, misfit = self.reducer.part(values, task.block.start, compiled=compiled)
            return replace(part, misfit=misfit, state=state, ids=loaded.ids)
        state, misfit = self.reducer.whole(values, compiled=compiled)
        return self._answered(replace(part, misfit=misfit), task, values, state, loaded.ids)

    def _loaded(self, task: Task) -> Loaded:
        """The values of a block, in memory that the thread's next block takes."""
        if not hasattr(self.buffers, "buffer"):
            self.buffers.buffer = Buffer()
        return task.pending.load(self.buffers.buffer)

    def _answered(
        self, part: Part[Answers], task: Task, values: Array, state: State, ids: Sequence[str] | None
    ) -> Part[Answers]:
        """A block of whole slices with its answers; `values` and `state` may have rows that are not the file's."""
        if self.problem.shape[0] is None:
            return replace(part, answers=self._of_table(state.first(part.rows), (part.rows, values.shape[1]), ids))
        return replace(part, answers=self._answers(state, task.block, ids))


def concerns(block: Block, found: State, problem: Problem) -> bool:
    """Whether a block has anything to say of slices whose maximum has been found."""
    if "second" in problem.fields or problem.window is None:
        return True
    axes, window = problem.ascending, min(problem.window, FURTHEST)
    start, stop = (np.array([place[axis] for axis in axes])[:, None] for place in (block.start, block.stop))
    hard = found.hard.reshape(len(axes), -1)  # (a, s)
    return bool(((hard + window >= start) & (hard - window < stop)).all(axis=0).any())


def worth_compiling(plan: Plan, itemsize: int, work: float = 1) -> Worth:
    """Whether the blocks of each shape are worth compiling for."""
    nbytes = {shape: plan.elements_in(shape) * itemsize for shape in plan.block_shapes()}
    return {shape: work * size >= WORTH_COMPILING for shape, size in nbytes.items()}


def _nbytes(source: Readable, block: Block) -> int:
    return math.prod(block.shape) * source.dtype.itemsize
