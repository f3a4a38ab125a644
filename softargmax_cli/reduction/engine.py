"""The stream: blocks in, finished slices out, with reading, computing and writing overlapped.

The caller's thread fetches blocks in order, merges their states in order and yields finished slices;
others decode and reduce blocks meanwhile. The order of merging is that of the plan, so that a result
does not depend on which thread was faster.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from softargmax_cli.errors import InputError
from softargmax_cli.reduction import blocks
from softargmax_cli.reduction.blocks import Block, Plan
from softargmax_cli.reduction.buffer import Buffer
from softargmax_cli.reduction.finish import finish
from softargmax_cli.reduction.fitting import REDUCTION
from softargmax_cli.reduction.lookalike import Lookalike
from softargmax_cli.reduction.mapping import Array, BlockReducer, Misfit, padded
from softargmax_cli.reduction.ordering import in_row_major_order, logical
from softargmax_cli.reduction.parallel import in_order
from softargmax_cli.reduction.readable import Loaded, Pending, Readable
from softargmax_cli.reduction.result import Slices, Some
from softargmax_cli.reduction.spec import FURTHEST, Problem
from softargmax_cli.reduction.state import State, added, merge
from softargmax_cli.reduction.undefined import Undefined

if TYPE_CHECKING:
    from softargmax_cli.runtime.base import Runtime

BATCH = 8
"""Blocks that a thread does at a time, where there are many."""
WORTH_COMPILING = 32 << 20
"""Bytes in blocks of one shape from which on XLA's program for them saves more time than it takes to make."""
FIRST_COMPILED = 4
"""Number of a table's block from which on the same holds, where the length is not known."""
Worth = Mapping[tuple[int, ...], bool]
"""Whether the blocks of each shape are worth compiling for."""


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
    is NaN or a slice without any weight; InputError where the file is not what it seemed. The source must not be
    `sequential` where the reduction `must_seek` (see `fitting.REDUCTION`).
    """
    return Stream(source, problem, runtime, memory, advance, note).slices()


@dataclass(frozen=True, slots=True)
class Task:
    """A block to be reduced."""

    block: Block
    pending: Pending
    compiled: bool
    known: State | None = None
    """The maximum of its slices and where that is, when it is read for the second time."""


@dataclass(frozen=True, slots=True)
class Part:
    """A block after its reduction."""

    block: Block
    nbytes: int
    rows: int
    """Along the first axis, of which only the file may know how many there are."""
    misfit: Misfit | None = None
    state: State | None = None
    """Where other blocks hold the rest of the slices."""
    slices: Slices | None = None
    """Where the block holds whole slices."""


class Stream:
    """A reduction on its way through one input."""

    needs = REDUCTION
    batch = BATCH

    def __init__(
        self,
        source: Readable,
        problem: Problem,
        runtime: Runtime,
        memory: int,
        advance: Callable[[int], None],
        note: Callable[[str], None],
    ) -> None:
        if source.sequential and self.needs.must_seek(source, problem, memory):
            raise ValueError("a source that can only be read in order must be copied first")
        self.source, self.problem, self.memory, self.advance, self.note = source, problem, memory, advance, note
        self.reducer, self.undefined = BlockReducer(problem, runtime), Undefined(problem)
        self.workers, self.elements = self.needs.fit(source, problem, memory)
        self.buffers, self.lookalike = threading.local(), Lookalike()
        self.names = source.labels if problem.kept == (len(problem.shape) - 1,) else None
        """Of the slices, where the last axis is the one that stays."""

    def slices(self) -> Iterator[Slices]:
        """All slices; what is noted of them comes at the end."""
        yield from self.undefined.watched(self.table() if self.problem.shape[0] is None else self.array())
        if self.lookalike.found:
            self.note("slices sum to 1 and look like probabilities; --input probs takes them as weights")

    def array(self) -> Iterator[Slices]:
        """The slices of an array of known shape."""
        plan = self.needs.plan(self.source, self.problem, self.memory)
        if self.source.sequential:  # whose order may make blocks large
            block, unfinished = self.needs.held(self.source, self.problem, plan)
            self.workers = max(1, min(self.workers, (self.memory - unfinished) // block))
        if self.needs.passes(self.source, self.problem, self.memory) > 1:
            finished = self._finished_twice(plan)
        else:
            finished = self._finished(plan)
        if plan.in_order:
            return (slices for _, slices in finished)
        kept = self.problem.kept
        return in_row_major_order(finished, kept, [plan.shape[k] for k in kept], self.memory // 4)

    def _finished(self, plan: Plan) -> Iterator[tuple[Block, Slices]]:
        """Complete slices, and the block that completed them."""
        # A pipe's blocks wait in memory; and all threads should have something to do.
        few = sum(1 for _ in islice(plan, 4 * self.workers * self.batch)) // (4 * self.workers)
        batch = 1 if self.source.sequential else max(1, few)
        state: State | None = None
        worth = self._worth_compiling(plan)
        for part in self._parts(((block, worth[block.shape]) for block in plan), batch):
            slices = part.slices
            if slices is None:
                state = self._merged(state, part, part.block.start)
                if plan.completes(part.block):
                    slices, state = self._answers(state, part.block), None
            if slices is not None:
                yield part.block, slices

    def _finished_twice(self, plan: Plan) -> Iterator[tuple[Block, Slices]]:
        """Complete slices where their blocks are read once to find the maximum and once more for the rest."""
        worth = self._worth_compiling(plan)
        for box in plan.boxes():
            yield box[-1], self._answers(self._completed(box, worth, self._found(box, worth)), box[-1])

    def _found(self, box: Sequence[Block], worth: Worth) -> State:
        """The state of all blocks of some slices."""
        found: State | None = None
        for part in self._parts(((block, worth[block.shape]) for block in box), 1):
            found = self._merged(found, part, part.block.start)
        assert found is not None
        if self.problem.window is not None and self.problem.values is not None:
            found = found.placed(self.problem.places)
        return found

    def _completed(self, box: Sequence[Block], worth: Worth, found: State) -> State:
        """That with what only a second pass can tell."""
        near = [block for block in box if self._concerns(block, found)] or box[-1:]  # beside NaN, hard is nowhere
        self.advance(sum(_nbytes(self.source, block) for block in set(box).difference(near)))
        sums: State | None = None
        for part in self._parts(((block, worth[block.shape]) for block in near), 1, known=found):
            assert part.state is not None
            sums = part.state if sums is None else added(sums, part.state)
        assert sums is not None
        return found.completed(sums, self.problem.window is not None)

    def _concerns(self, block: Block, found: State) -> bool:
        """Whether a block has anything to say of slices whose maximum has been found."""
        if "second" in self.problem.fields or self.problem.window is None:
            return True
        axes, window = self.problem.ascending, min(self.problem.window, FURTHEST)
        start, stop = (np.array([place[axis] for axis in axes])[:, None] for place in (block.start, block.stop))
        return bool(((found.hard + window >= start) & (found.hard - window < stop)).all(axis=0).any())

    def _worth_compiling(self, plan: Plan) -> Worth:
        """Whether the blocks of each shape are worth compiling for."""
        nbytes = {shape: plan.elements_in(shape) * self.source.dtype.itemsize for shape in plan.block_shapes()}
        return {shape: size >= WORTH_COMPILING for shape, size in nbytes.items()}

    def _answers(self, state: State, block: Block, rows: Sequence[str] | None = None) -> Slices:
        """The results of the slices that end with a block, in row-major order; `rows` are names that came with it."""
        return self._turned(self._results(state, block, rows), block)

    def _turned(self, slices: Some, block: Block) -> Some:
        """In row-major order what comes in that of the file."""
        return logical(slices, [block.shape[k] for k in self.problem.kept], self.source.order)

    def _results(self, state: State, block: Block, rows: Sequence[str] | None = None) -> Slices:
        """The results of the slices that end with a block, in the order of the file."""
        first, shape = 0, [n or 0 for n in self.problem.shape]
        for k in self.problem.kept:
            first = first * shape[k] + block.start[k]
        ids = rows if self.problem.kept == (0,) else None
        if self.names is not None:
            ids = self.names[block.start[-1] : block.stop[-1]]
        return finish(state, self.problem, [shape[axis] for axis in self.problem.axes], first, ids)

    def table(self) -> Iterator[Slices]:
        """The slices of a table, (rows, columns), whose number of rows only its end tells."""
        columns = self.problem.shape[1]
        assert columns is not None
        numbered = enumerate(blocks.rows(columns, self.elements))
        row, state = 0, None
        for part in self._parts(((block, k >= FIRST_COMPILED) for k, block in numbered), 1, table=True):
            if part.misfit is not None:
                self.undefined.note(part.misfit, (row, 0))
            if part.slices is not None:
                yield replace(part.slices, start=row)
            elif part.state is not None:
                state = self._merged(state, part, (row, 0))
            row += part.rows
        if 0 in self.problem.axes:
            if state is None:
                raise InputError("the table has no rows, so there is no maximum along axis 0")
            lengths = [(row, columns)[axis] for axis in self.problem.axes]
            yield finish(state, self.problem, lengths, 0, self.names)

    def _merged(self, state: State | None, part: Part, start: Sequence[int]) -> State:
        """`state` with a part that begins at `start`."""
        assert part.state is not None
        moved = part.state.shifted([start[axis] for axis in self.problem.ascending])
        return moved if state is None else merge(state, moved, self.problem.beta)

    def _parts(
        self,
        plan: Iterable[tuple[Block, bool]],
        batch: int,
        *,
        known: State | None = None,
        table: bool = False,
        work: Callable[[Task], Part] | None = None,
    ) -> Iterator[Part]:
        """Reduce the blocks of the plan in worker threads, or do `work` on them; yield them in its order."""
        for part in in_order(work or self._reduce, self._tasks(plan, known), threads=self.workers, batch=batch):
            self.advance(part.nbytes)
            if part.misfit is not None and not table:
                self.undefined.note(part.misfit, part.block.start)
            yield part

    def _tasks(self, plan: Iterable[tuple[Block, bool]], known: State | None) -> Iterator[Task]:
        for block, compiled in plan:
            pending = self.source.fetch(block)
            if pending is None:
                return
            yield Task(block, pending, compiled, known)

    def _reduce(self, task: Task) -> Part:
        """A worker's share: decode a block and reduce it, to answers where it holds whole slices."""
        loaded = self._loaded(task)
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
        if whole and problem.kind == "scores":
            self.lookalike.look(values, problem.axes)
        if table and task.compiled:
            values = padded(values, problem)
        if not whole:
            state, misfit = self.reducer.part(values, task.block.start, compiled=task.compiled)
            return replace(part, misfit=misfit, state=state)
        state, misfit = self.reducer.whole(values, compiled=task.compiled)
        return self._answered(replace(part, misfit=misfit), task, values, state, loaded.ids)

    def _loaded(self, task: Task) -> Loaded:
        """The values of a block, in memory that the thread's next block takes."""
        if not hasattr(self.buffers, "buffer"):
            self.buffers.buffer = Buffer()
        return task.pending.load(self.buffers.buffer)

    def _answered(self, part: Part, task: Task, values: Array, state: State, ids: Sequence[str] | None) -> Part:
        """A block of whole slices with its answers; `values` and `state` may have rows that are not the file's."""
        if self.problem.shape[0] is None:
            return replace(part, slices=self._rows(state, part, values, ids))
        return replace(part, slices=self._answers(state, task.block, ids))

    def _rows(self, state: State, part: Part, values: Array, ids: Sequence[str] | None) -> Slices:
        """The results of a table's rows."""
        return finish(state.first(part.rows), self.problem, [values.shape[1]], 0, ids)


def _nbytes(source: Readable, block: Block) -> int:
    return math.prod(block.shape) * source.dtype.itemsize
