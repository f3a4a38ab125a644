"""The stream from blocks to results, with reading, computing and writing overlapped.

The caller's thread fetches blocks in order, merges their states in order and yields finished slices; other threads
decode and reduce blocks meanwhile. `engine` explains map, merge and finish.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby

import numpy as np

from softargmax_cli.errors import InputError
from softargmax_cli.reduction.blocks import Block, Plan
from softargmax_cli.reduction.box_reducer import BoxReducer, SlopeColumns
from softargmax_cli.reduction.budget import FAN_IN, REDUCTION, Budget, Needs
from softargmax_cli.reduction.finish import finish_block, in_row_major_order
from softargmax_cli.reduction.hints import Lookalike
from softargmax_cli.reduction.layout import PIECE
from softargmax_cli.reduction.problem import FURTHEST, Problem
from softargmax_cli.reduction.readable import Buffer, Pending, Readable, fetch
from softargmax_cli.reduction.reducer import Array, BlockReducer, Misfit
from softargmax_cli.reduction.result import Slices
from softargmax_cli.reduction.state import Fold, State, added, merge
from softargmax_cli.reduction.threads import in_threads
from softargmax_cli.reduction.undefined import Undefined

States = Sequence[State]
"""A state for each problem."""
Reducer = BlockReducer | BoxReducer
Answers = Sequence[Slices]
"""The results of the same slices for each problem."""

WORTH_COMPILING = 32 << 20
"""Bytes in blocks of one shape above which a program of XLA saves more time than it takes to compile."""
TOGETHER = 6
"""The most problems that one program solves: with more, it takes long to compile."""
FIRST_COMPILED = 4
"""From this block on, programs are compiled for a table or a pipe; a shorter one is not worth it."""


@dataclass(frozen=True, slots=True)
class Task:
    """A block to be reduced."""

    block: Block
    pending: Pending
    compiled: bool
    known: States | None = None
    """The states of its slices, with maximum and hard, when it is read again."""


@dataclass(frozen=True, slots=True)
class Part:
    """A block after its reduction."""

    block: Block
    nbytes: int
    ids: Sequence[str] | None = None
    """The names of the rows of which the block holds parts."""
    misfits: Sequence[Misfit] = ()
    states: States = ()
    """The states, if other blocks hold the rest of the slices."""
    answers: Answers | None = None
    """The results, if the block holds whole slices."""
    beside: SlopeColumns = field(default_factory=dict)
    """Columns of the slices that were derived from the block, if other blocks hold the rest of these."""
    array: Array | None = None
    """The array that was computed of the block, if any."""


class Stream:
    """The way of an input through map, merge and finish, for one problem, or several that differ in β and window."""

    def __init__(
        self,
        source: Readable,
        problems: Sequence[Problem],
        reducers: Sequence[BlockReducer],
        *,
        memory: int,
        advance: Callable[[int], None] = lambda nbytes: None,
        note: Callable[[str], None] = lambda text: None,
        lookalike: Lookalike | None = None,
        needs: Needs = REDUCTION,
    ) -> None:
        """memory: bytes that blocks, unfinished slices and waiting results may take; advance: is told the bytes of the
        input that are done; note: takes notes for the user; lookalike: examines the scores of whole slices; needs:
        those of the kind of reduction.
        """
        self.source, self.problems, self.memory, self.advance = source, problems, memory, advance
        self.problem = problem = next((one for one in problems if one.reviews), problems[0])
        """The problem that decides on blocks and passes: one that reads cut slices again, if there is any."""
        self.budget = budget = Budget(replace(needs, states=len(problems)), source, problem, memory)
        if source.sequential and budget.must_seek:
            raise ValueError("a source that can only be read in order must be copied first")
        self.undefined = Undefined(problem)
        self.reducers: Sequence[Reducer] = reducers
        self.table = problem.shape[0] is None
        """True for a table, whose number of rows is known only at its end."""
        self.workers, self.whole_blocks = budget.workers, not needs.in_pieces
        """The number of threads; True if a program takes a whole block, not pieces of one length."""
        if budget.boxed:
            pairs = zip(reducers, problems, strict=True)
            self.reducers = [BoxReducer(of_blocks, one, source.order, budget.elements) for of_blocks, one in pairs]
            if budget.note:
                note(budget.note)
        self.groups = [*alike(self.reducers, problems, 1 if budget.boxed else TOGETHER)]
        self.buffer, self.lookalike = Buffer(), lookalike or Lookalike()
        self.worth: Mapping[tuple[int, ...], bool] = {}
        """True for each shape of which there are enough blocks to compile a program."""

    def slices(self, *, ordered: bool = True) -> Iterator[Answers]:
        """Yield all slices, up to the first without an answer if that is an error.

        They come in row-major order, or as they are found, with `numbers` if these are not consecutive.
        """
        plan = self.budget.plan
        runs: Iterator[Answers] = (answers for _, answers in self._finished(plan))
        if ordered and not plan.in_order:
            count = math.prod(plan.shape[k] for k in self.problem.kept)
            runs = in_row_major_order(runs, count, self.memory // 4)
        for answers in runs:
            if self.undefined.passes(answers[0]):
                yield answers
        self.undefined.check(self.source)

    def columns(self) -> Iterator[tuple[Block, Answers]]:
        """Yield the slices of each column of boxes, with the box that completed them."""
        for block, answers in self._finished(self.budget.plan):
            if self.undefined.passes(answers[0]):
                yield block, answers
        self.undefined.check(self.source)

    def _finished(self, plan: Plan) -> Iterator[tuple[Block, Answers]]:
        """Yield answers as they are found, with the block that completed them."""
        self.worth = worth_compiling(plan, self.source.dtype.itemsize)
        if self.budget.passes > 1:
            yield from self._several_passes(plan)
            return
        folds, rows = self._folds(), 0
        for part in self._parts(self._map, plan):
            answers, rows = part.answers, part.block.stop[0]
            if part.states:
                self._add(folds, part)
                if plan.completes(part.block):
                    answers, folds = self._finish([fold.whole() for fold in folds], part.block, part.ids), self._folds()
            if answers is not None:
                yield part.block, answers
        if self.table and 0 in self.problem.axes:
            if not rows:
                raise InputError("the table has no rows, so there is no maximum along axis 0")
            block = Block((0, 0), (rows, plan.shape[1]))
            yield block, self._finish([fold.whole() for fold in folds], block, None)

    def _several_passes(self, plan: Plan) -> Iterator[tuple[Block, Answers]]:
        """Yield the answers of slices whose blocks are read once for the maximum, and again for the rest."""
        for column in plan.boxes():
            found, ids = self._found(column)
            for _ in range(self.budget.passes - 1):
                found = self._completed(column, found)
            yield column[-1], self._finish(found, column[-1], ids)

    def _found(self, column: Sequence[Block]) -> tuple[States, Sequence[str] | None]:
        """Merge the states of a column of blocks; return them with the names of their rows."""
        folds, ids = self._folds(), None
        for part in self._parts(self._map, column):
            self._add(folds, part)
            ids = part.ids
        return [fold.whole() for fold in folds], ids

    def _completed(self, column: Sequence[Block], found: States) -> States:
        """Add to the states of a column the sums that depend on what earlier passes found, in another pass."""
        pairs = [*zip(found, self.problems, strict=True)]
        near = {block for block in column if any(concerns(block, state, one) for state, one in pairs)}
        near = near or {column[-1]}  # NaN has left hard nowhere
        self.advance(sum(_nbytes(self.source, block) for block in column if block not in near))
        folds = [Fold(added, FAN_IN) for _ in found]
        parts = self._parts(self._sum_again, [block for block in column if block in near], found)
        for block in column:
            sums = next(parts).states if block in near else [None] * len(folds)
            for fold, state in zip(folds, sums, strict=True):
                fold.add(state)
        return [
            state.completed(fold.whole(), one.window) if one.reviews else state
            for fold, (state, one) in zip(folds, pairs, strict=True)
        ]

    def _folds(self) -> list[Fold]:
        """Return a fold for each problem, which merges states as a cluster does, to the same bits."""
        return [Fold(partial(merge, problem=problem), FAN_IN) for problem in self.problems]

    def _add(self, folds: Sequence[Fold], part: Part) -> None:
        begin = [part.block.start[axis] for axis in self.problem.ascending]
        for fold, state in zip(folds, part.states, strict=True):
            fold.add(state.shifted(begin))

    def _parts(
        self, work: Callable[[Task], Part], blocks: Iterable[Block], known: States | None = None
    ) -> Iterator[Part]:
        """Do `work` on blocks in worker threads; yield the parts in order, and number the rows of a table."""
        row = 0
        for part in in_threads(work, self._tasks(blocks, known), threads=self.workers):
            self.advance(part.nbytes)
            if self.table:
                part = replace(part, block=part.block.moved((row, 0)))
                if part.answers is not None:
                    part = replace(part, answers=[replace(slices, start=row) for slices in part.answers])
                row = part.block.stop[0]
            for misfit in part.misfits:
                self.undefined.note(misfit.moved(part.block.start))
            yield part

    def _tasks(self, blocks: Iterable[Block], known: States | None) -> Iterator[Task]:
        late = FIRST_COMPILED if self.source.sequential else 0
        for number, block in enumerate(blocks):
            pending = fetch(self.source, block if known is None else self.problem.read_again(block))
            if pending is None:
                return
            yield Task(block, pending, number >= late and self.worth.get(block.shape, True), known)

    def _map(self, task: Task) -> Part:
        """Load and reduce a block in a worker thread, to answers if it holds whole slices."""
        loaded, problem, block, compiled = task.pending.load(self.buffer), self.problem, task.block, task.compiled
        values = loaded.values
        if self.table:
            block = Block((0, 0), values.shape)
            # Blocks of any length share the program of a piece if their rows are contiguous.
            values = np.ascontiguousarray(values)
            compiled = compiled and 0 not in problem.axes and values.nbytes >= PIECE
        part = Part(block, task.pending.nbytes, loaded.ids)
        if not len(values):
            return part
        whole = all(block.shape[axis] == problem.shape[axis] for axis in problem.axes)
        if whole and problem.kind == "scores":
            self.lookalike.look(values, problem.axes)
        if whole:
            found = [reducer.whole(values, problems, compiled=compiled) for reducer, problems in self.groups]
        else:
            found = [reducer.part(values, block.start, compiled=compiled) for reducer in self.reducers]
        part = replace(part, misfits=found[0].misfits, states=[state for each in found for state in each.states])
        return self._answered(part, values, found[0].share, compiled) if whole else part

    def _answered(self, part: Part, values: Array, share: Array | None, compiled: bool) -> Part:
        """Finish a block of whole slices. share: their weights, if the kernel found them."""
        return replace(part, states=(), answers=self._finish(part.states, part.block, part.ids))

    def _sum_again(self, task: Task) -> Part:
        """Load a block once more, and sum about the known maximum or mean."""
        values, nbytes = task.pending.load(self.buffer).values, _nbytes(self.source, task.block)
        states = [
            reducer.about(values, task.block, known, compiled=task.compiled) if problem.reviews else known
            for reducer, problem, known in zip(self.reducers, self.problems, task.known or (), strict=True)
        ]
        return Part(task.block, nbytes, states=states)

    def _finish(
        self,
        states: States,
        block: Block,
        ids: Sequence[str] | None,
        more: Callable[[Slices], Slices] = lambda slices: slices,
    ) -> Answers:
        """Finish the slices that end with a block; `ids` are the names of its rows.

        more: a function applied to the slices in the order of the file.
        """
        ids = ids if self.problem.keeps_rows else None
        if self.problem.keeps_columns and self.source.labels is not None:
            ids = self.source.labels[block.start[-1] : block.stop[-1]]
        order, pairs = self.source.order, zip(states, self.problems, strict=True)
        return [finish_block(state, problem, block, order, ids, more) for state, problem in pairs]


def alike(
    reducers: Sequence[Reducer], problems: Sequence[Problem], most: int
) -> Iterator[tuple[Reducer, Sequence[Problem]]]:
    """Yield groups of consecutive problems that differ only in β, with the reducer of the first of each."""
    both = zip(reducers, problems, strict=True)
    for _, group in groupby(both, key=lambda pair: pair[1].window):
        pairs = list(group)
        size = -(-len(pairs) // -(-len(pairs) // most))
        for k in range(0, len(pairs), size):
            yield pairs[k][0], [problem for _, problem in pairs[k : k + size]]


def concerns(block: Block, found: State, problem: Problem) -> bool:
    """Tell whether a block can add to slices whose maximum has been found."""
    if not problem.reviews:
        return False
    if problem.modes or problem.window is None:
        return True
    axes, window = problem.ascending, min(problem.window, FURTHEST)
    near = np.ones(found.hard.shape[1:], bool)
    for axis, hard, length in zip(axes, found.hard, problem.rounds, strict=True):
        start, stop = block.start[axis], block.stop[axis]
        turns = [0] if length is None else [-length, 0, length]
        near &= np.any([(hard + n + window >= start) & (hard + n - window < stop) for n in turns], axis=0)
    return bool(near.any())


def worth_compiling(plan: Plan, itemsize: int) -> Mapping[tuple[int, ...], bool]:
    """Tell for each shape of blocks whether there are enough to compile a program for it."""
    slowest = 0 if plan.order == "C" else len(plan.shape) - 1
    counts = plan.elements_by_shape()
    for shape in counts:
        if slowest not in plan.axes and math.prod(shape) * itemsize >= PIECE:  # the kernel takes equal pieces of them
            counts[shape] = math.prod(plan.shape)
    return {shape: count * itemsize >= WORTH_COMPILING for shape, count in counts.items()}


def _nbytes(source: Readable, block: Block) -> int:
    return math.prod(block.shape) * source.dtype.itemsize
