"""The stream: blocks in, answers out, with reading, computing and writing overlapped.

The caller's thread fetches blocks in order, merges their states in order and yields what is finished; others decode and
reduce blocks meanwhile. The order of merging is that of the plan, so that a result does not depend on which thread was
faster. What is made of the state of complete slices is the business of what derives from it.
"""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Generic, TypeVar

import numpy as np

from softargmax_cli.errors import InputError
from softargmax_cli.reduction import blocks
from softargmax_cli.reduction.blocks import Block, Plan
from softargmax_cli.reduction.budget import FAN_IN, REDUCTION
from softargmax_cli.reduction.hints import LOOK_LIKE_WEIGHTS, Lookalike
from softargmax_cli.reduction.order import Scratch
from softargmax_cli.reduction.problem import FURTHEST, Problem
from softargmax_cli.reduction.readable import Buffer, Loaded, Pending, Readable
from softargmax_cli.reduction.reducer import Array, Misfit, Reducer, located, padded
from softargmax_cli.reduction.state import Fold, Merge, State, added, merge
from softargmax_cli.reduction.undefined import Undefined

Answers = TypeVar("Answers")
Item = TypeVar("Item")
Result = TypeVar("Result")

BATCH = 8
"""Blocks that a thread does at a time, where there are many: handing over costs as much as a small block."""
WORTH_COMPILING = 32 << 20
"""Bytes in blocks of one shape from which on XLA's program for them saves more time than it takes to make."""
FIRST_COMPILED = 4
"""The block of a table or a pipe from which on programs are compiled, since its length is not known or only claimed."""
Worth = Mapping[tuple[int, ...], bool]
"""For each shape of blocks, whether there are enough to compile a program for it."""


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
    """Length along the first axis, which only the file may know."""
    misfit: Misfit | None = None
    state: State | None = None
    """The state, where other blocks hold the rest of the slices."""
    answers: Answers | None = None
    """The results, where the block holds whole slices."""
    ids: Sequence[str] | None = None
    """The names of the rows that the block holds parts of."""


class Stream(ABC, Generic[Answers]):
    """An input on its way through a reducer. A derived class turns complete states into answers."""

    needs = REDUCTION
    batch = BATCH
    work: float = 1
    """Computation for each element, in units of what `engine.reduce` does with one."""

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
            from softargmax_cli.reduction.box_reducer import BoxReducer

            self.reducer = BoxReducer(reducer, problem, source.order, self.elements)
            if remark := self.boxes.note(memory):
                note(remark)
        self.buffers, self.lookalike = threading.local(), Lookalike()

    @abstractmethod
    def _answers(self, state: State, block: Block, rows: Sequence[str] | None = None) -> Answers:
        """Make the answers of the slices that end with a block; `rows` are the names that came with it."""

    @abstractmethod
    def _of_table(self, state: State, shape: tuple[int, int], rows: Sequence[str] | None = None) -> Answers:
        """Make the answers of rows of a table, numbered from 0, or of slices along all rows; shape: of these rows."""

    @abstractmethod
    def _numbered(self, answers: Answers, start: int) -> Answers:
        """Number the slices of these answers from `start` on."""

    @abstractmethod
    def _ordered(self, plan: Plan, finished: Iterator[tuple[Block, Answers]]) -> Iterator[Answers]:
        """Put answers, each with the block that completed it, into the order that the caller wants."""

    def answers(self) -> Iterator[Answers]:
        """Yield all answers; notes on all slices together come at the end."""
        yield from self._table() if self.problem.shape[0] is None else self._array()
        self._remark()

    def _remark(self) -> None:
        """Note that all slices together look like weights, if they do."""
        if self.lookalike.found:
            self.note(LOOK_LIKE_WEIGHTS)

    def _array(self) -> Iterator[Answers]:
        """Yield the answers of an array of known shape."""
        plan = self.needs.plan(self.source, self.problem, self.memory)
        return self._ordered(plan, self._in_blocks(plan))

    def _in_blocks(self, plan: Plan) -> Iterator[tuple[Block, Answers]]:
        """Yield answers as they are found, each with the block that completed it."""
        if self.source.sequential:  # whose order may make blocks large
            block, unfinished = self.needs.held(self.source, self.problem, plan)
            self.workers = max(1, min(self.workers, (self.memory - unfinished) // block))
        if self.needs.passes(self.source, self.problem, self.memory) > 1:
            return self._finished_twice(plan)
        return self._finished(plan)

    def _finished(self, plan: Plan) -> Iterator[tuple[Block, Answers]]:
        """Yield the answers of slices that are read once, each with the block that completed it."""
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
        """Yield the answers of slices whose blocks are read once for the maximum and once more for the rest."""
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
        """Add to the state of some slices the sums that need their maximum, in a second pass."""
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
        """Yield the answers of a table, (rows, columns), whose number of rows only its end tells."""
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
        """Return a fold of the states of the same slices; boxes merge as on a cluster, to the same bits."""
        return Fold(both or partial(merge, beta=self.reducer.betas), None if self.boxes is None else FAN_IN)

    def _moved(self, part: Part[Answers], start: Sequence[int]) -> State:
        """Return the state of a part that begins at `start`, with positions in the whole array."""
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
            pending = self.source.fetch(block if known is None else self.problem.read_again(block))
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
        """Decode and reduce a block in a worker thread, to answers where it holds whole slices."""
        loaded = self._loaded(task)
        values, rows = loaded.values, len(loaded.values)
        part: Part[Answers] = Part(task.block, task.pending.nbytes, rows)
        if task.known is not None:
            state = self.reducer.about(values, task.block, task.known, compiled=task.compiled)
            return replace(part, nbytes=_nbytes(self.source, task.block), state=state)
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
        """Load the values of a block, into memory that the thread's next block takes."""
        if not hasattr(self.buffers, "buffer"):
            self.buffers.buffer = Buffer()
        return task.pending.load(self.buffers.buffer)

    def _answered(
        self, part: Part[Answers], task: Task, values: Array, state: State, ids: Sequence[str] | None
    ) -> Part[Answers]:
        """Add the answers to a block of whole slices; `values` and `state` may have rows that the file has not."""
        if self.problem.shape[0] is None:
            return replace(part, answers=self._of_table(state.first(part.rows), (part.rows, values.shape[1]), ids))
        return replace(part, answers=self._answers(state, task.block, ids))


def concerns(block: Block, found: State, problem: Problem) -> bool:
    """Tell whether a block can add to slices whose maximum has been found."""
    if problem.modes or problem.window is None:
        return True
    axes, window = problem.ascending, min(problem.window, FURTHEST)
    start, stop = (np.array([place[axis] for axis in axes])[:, None] for place in (block.start, block.stop))
    hard = found.hard.reshape(len(axes), -1)  # (a, s)
    return bool(((hard + window >= start) & (hard - window < stop)).all(axis=0).any())


def worth_compiling(plan: Plan, itemsize: int, work: float = 1) -> Worth:
    """Tell for each shape of blocks whether there are enough to compile a program for it."""
    nbytes = {shape: plan.elements_in(shape) * itemsize for shape in plan.block_shapes()}
    return {shape: work * size >= WORTH_COMPILING for shape, size in nbytes.items()}


def _nbytes(source: Readable, block: Block) -> int:
    return math.prod(block.shape) * source.dtype.itemsize


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int, batch: int = 1
) -> Iterator[Result]:
    """Yield work(item) for every item, in order; `items` is advanced by the caller's thread.

    At most `threads` + 1 batches are begun and not yet handed on. A thread does a whole batch: handing over
    costs as much as a small item. An error ends it all, and no thread is left when it is raised.
    """
    waiting: deque[Future[list[Result]]] = deque()
    items = iter(items)
    with ThreadPoolExecutor(threads, thread_name_prefix="reduce") as pool:
        try:
            while some := list(islice(items, batch)):
                waiting.append(pool.submit(lambda some: [work(item) for item in some], some))
                if len(waiting) > threads:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
