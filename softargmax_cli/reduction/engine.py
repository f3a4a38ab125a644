"""The stream: blocks in, finished slices out, with reading, computing and writing overlapped.

The caller's thread fetches blocks in order, merges their states in order and yields finished slices;
others decode and reduce blocks meanwhile. The order of merging is that of the plan, so that a result
does not depend on which thread was faster.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from softargmax_cli.errors import InputError, OptionError
from softargmax_cli.reduction import blocks
from softargmax_cli.reduction.blocks import Block, Plan
from softargmax_cli.reduction.buffer import Buffer
from softargmax_cli.reduction.finish import finish
from softargmax_cli.reduction.mapping import BlockReducer, NansFound, padded
from softargmax_cli.reduction.ordering import in_row_major_order, logical
from softargmax_cli.reduction.parallel import in_order
from softargmax_cli.reduction.readable import Pending, Readable
from softargmax_cli.reduction.result import Slices
from softargmax_cli.reduction.spec import Problem
from softargmax_cli.reduction.state import State, merge
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
STATE_BYTES = 100
"""What one unfinished slice takes, merging included."""


def reduce(
    source: Readable,
    problem: Problem,
    runtime: Runtime,
    *,
    memory: int,
    advance: Callable[[int], None] = lambda nbytes: None,
) -> Iterator[Slices]:
    """Yield all slices in row-major order; `advance` is told how many bytes of the input are done.

    `memory` (bytes) bounds blocks and unfinished slices. Raises UndefinedError, after the last byte,
    where the NaN policy is "error" and there is NaN or a slice of nothing but −inf; InputError where the
    file is not what it seemed; OptionError where `memory` cannot hold what the input's order demands.
    """
    stream = _Stream(source, problem, runtime, memory, advance)
    slices = stream.table() if problem.shape[0] is None else stream.array()
    return stream.undefined.watched(slices) if problem.nan == "error" else slices


@dataclass(frozen=True, slots=True)
class _Task:
    """A block to be reduced."""

    block: Block
    pending: Pending
    compiled: bool


@dataclass(frozen=True, slots=True)
class _Part:
    """A block after its reduction."""

    block: Block
    nbytes: int
    rows: int
    """Along the first axis, of which only the file may know how many there are."""
    nans: NansFound | None
    state: State | None
    """Where other blocks hold the rest of the slices."""
    slices: Slices | None
    """Where the block holds whole slices."""


class _Stream:
    def __init__(
        self, source: Readable, problem: Problem, runtime: Runtime, memory: int, advance: Callable[[int], None]
    ) -> None:
        self.source, self.problem, self.memory, self.advance = source, problem, memory, advance
        self.reducer, self.undefined = BlockReducer(problem, runtime), Undefined(problem)
        # Beside the block itself XLA keeps up to three arrays of its shape in the precision of the weights.
        self.per_element = source.dtype.itemsize + 3 * problem.precision.itemsize
        largest = BLOCK // source.dtype.itemsize
        self.workers = max(1, min(_cores(), memory // (2 * largest * self.per_element)))
        self.elements = max(1, min(largest, memory // (2 * self.workers * self.per_element)))
        self.buffers = threading.local()

    def array(self) -> Iterator[Slices]:
        """The slices of an array of known shape."""
        shape = tuple(n for n in self.problem.shape if n is not None)
        kept, axes, sequential = self.problem.kept, self.problem.axes, self.source.sequential
        plan = blocks.plan(shape, axes, self.source.order, self.elements, contiguous=sequential)
        if sequential:
            self._fit(plan)
        finished = self._finished(plan)
        if plan.in_order:
            return (slices for _, slices in finished)
        return in_row_major_order(finished, kept, [shape[k] for k in kept], self.memory // 4)

    def _fit(self, plan: Plan) -> None:
        """See to it that blocks, which the order of a pipe may make large, fit into the memory."""
        block = 2 * math.prod(plan.extent) * self.per_element
        unfinished = math.prod(plan.extent[k] for k in self.problem.kept) * STATE_BYTES
        if block + unfinished > max(self.memory, 2 * self.elements * self.per_element):
            what = f"the pipe brings many slices side by side, and one pass takes {(block + unfinished) / 1e6:,.0f} MB"
            raise OptionError(f"--memory: {what}", "raise --memory, or give a file instead of a pipe")
        self.workers = max(1, min(self.workers, (self.memory - unfinished) // block))

    def _finished(self, plan: Plan) -> Iterator[tuple[Block, Slices]]:
        """Complete slices, and the block that completed them."""
        worth = {shape: plan.elements_in(shape) * self.source.dtype.itemsize for shape in plan.block_shapes()}
        # A pipe's blocks wait in memory; and all threads should have something to do.
        few = sum(1 for _ in islice(plan, 4 * self.workers * BATCH)) // (4 * self.workers)
        batch = 1 if self.source.sequential else max(1, few)
        state: State | None = None
        for part in self._parts(((block, worth[block.shape] >= WORTH_COMPILING) for block in plan), batch):
            slices = part.slices
            if slices is None:
                state = self._merged(state, part, part.block.start)
                if plan.completes(part.block):
                    slices, state = self._answers(state, part.block), None
            elif part.nans is not None:
                self.undefined.note(part.nans, part.block.start)
            if slices is not None:
                yield part.block, slices

    def _answers(self, state: State, block: Block) -> Slices:
        """The results of the slices that end with a block, in row-major order."""
        first = 0
        for k in self.problem.kept:
            first = first * (self.problem.shape[k] or 0) + block.start[k]
        return logical(finish(state, first), [block.shape[k] for k in self.problem.kept], self.source.order)

    def table(self) -> Iterator[Slices]:
        """The slices of a table, (rows, columns), whose number of rows only its end tells."""
        columns = self.problem.shape[1]
        assert columns is not None
        numbered = enumerate(blocks.rows(columns, self.elements))
        row, state = 0, None
        for part in self._parts(((block, k >= FIRST_COMPILED) for k, block in numbered), 1):
            if part.slices is not None:
                if part.nans is not None:
                    self.undefined.note(part.nans, (row, 0))
                yield replace(part.slices, start=row)
            elif part.state is not None:
                state = self._merged(state, part, (row, 0))
            row += part.rows
        if self.problem.axes == (0,):
            if state is None:
                raise InputError("the table has no rows, so there is no maximum along axis 0")
            yield finish(state, 0, self.source.labels)

    def _merged(self, state: State | None, part: _Part, start: Sequence[int]) -> State:
        """`state` with a part that begins at `start`."""
        assert part.state is not None
        if part.nans is not None:
            self.undefined.note(part.nans, start)
        moved = part.state.shifted([start[axis] for axis in self.problem.axes])
        return moved if state is None else merge(state, moved, self.problem.beta)

    def _parts(self, plan: Iterable[tuple[Block, bool]], batch: int) -> Iterator[_Part]:
        """Reduce the blocks of the plan in worker threads; yield them in its order."""
        for part in in_order(self._reduce, self._tasks(plan), threads=self.workers, batch=batch):
            self.advance(part.nbytes)
            yield part

    def _tasks(self, plan: Iterable[tuple[Block, bool]]) -> Iterator[_Task]:
        for block, compiled in plan:
            pending = self.source.fetch(block)
            if pending is None:
                return
            yield _Task(block, pending, compiled)

    def _reduce(self, task: _Task) -> _Part:
        """A worker's share: decode a block and reduce it, to answers where it holds whole slices."""
        if not hasattr(self.buffers, "buffer"):
            self.buffers.buffer = Buffer()
        block, nbytes = task.block, task.pending.nbytes
        loaded = task.pending.load(self.buffers.buffer)
        values, rows = loaded.values, len(loaded.values)
        table = self.problem.shape[0] is None
        if table and not rows:
            return _Part(block, nbytes, 0, None, None, None)
        if table and task.compiled:
            values = padded(values, self.problem.axes)
        state, nans = self.reducer(values, compiled=task.compiled)
        if table and self.problem.axes == (1,):
            return _Part(block, nbytes, rows, nans, None, finish(state.first(rows), 0, loaded.ids))
        if all(block.shape[axis] == self.problem.shape[axis] for axis in self.problem.axes):
            return _Part(block, nbytes, rows, nans, None, self._answers(state, block))
        return _Part(block, nbytes, rows, nans, state, None)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
