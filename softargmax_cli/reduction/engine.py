"""The stream: blocks in, finished slices out, with reading, computing and merging overlapped.

One thread (the caller's) fetches blocks in order, merges their states in order and yields finished
slices; others decode and reduce blocks meanwhile. The order of merging is that of the plan, so that
a result does not depend on which thread was faster.
"""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import InputError, OptionError
from softargmax_cli.reduction import blocks
from softargmax_cli.reduction.blocks import Block, Order, Plan
from softargmax_cli.reduction.buffer import Buffer
from softargmax_cli.reduction.finish import finish
from softargmax_cli.reduction.mapping import BlockReducer, NansFound, padded
from softargmax_cli.reduction.ordering import in_row_major_order, logical
from softargmax_cli.reduction.result import Slices
from softargmax_cli.reduction.spec import Problem
from softargmax_cli.reduction.state import State, merge
from softargmax_cli.reduction.undefined import Undefined

if TYPE_CHECKING:
    from softargmax_cli.runtime.base import Runtime

MIB = 1 << 20
BLOCK = 4 * MIB
"""Bytes of a block: it stays in the cache between the passes over it."""
WORTH_COMPILING = 32 * MIB
"""Bytes in blocks of one shape from which on XLA's program for them saves more time than it takes to make."""
FIRST_COMPILED = 4
"""Number of a table's block from which on the same holds, where the length is not known."""
STATE_BYTES = 100
"""What one unfinished slice takes, merging included."""


class Loaded(Protocol):
    """See `arrays.source.Loaded`."""

    @property
    def values(self) -> npt.NDArray[Any]: ...
    @property
    def ids(self) -> Sequence[str] | None: ...


class Pending(Protocol):
    """See `arrays.source.Pending`."""

    @property
    def nbytes(self) -> int: ...
    def load(self, buffer: Buffer) -> Loaded: ...


class Readable(Protocol):
    """What the reduction needs of an input; `arrays.source.Source` has it."""

    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]
    order: Order
    sequential: bool
    labels: Sequence[str] | None

    def fetch(self, block: Block) -> Pending | None: ...


@dataclass(frozen=True, slots=True)
class _Part:
    """A block after its reduction; `rows` along the first axis, of which only the file knew how many."""

    state: State
    rows: int
    ids: Sequence[str] | None
    nans: NansFound | None


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
        kept = self.problem.kept
        plan = blocks.plan(
            shape, self.problem.axes, self.source.order, self.elements, contiguous=self.source.sequential
        )
        if self.source.sequential:
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
        kept = self.problem.kept
        worth = {shape: plan.elements_in(shape) * self.source.dtype.itemsize for shape in plan.block_shapes()}
        state: State | None = None
        for block, part in self._parts((block, worth[block.shape] >= WORTH_COMPILING) for block in plan):
            state = self._merged(state, part, block.start)
            if all(block.stop[axis] == plan.shape[axis] for axis in plan.axes):
                first = 0
                for k in kept:
                    first = first * plan.shape[k] + block.start[k]
                yield block, logical(finish(state, first), [block.shape[k] for k in kept], plan.order)
                state = None

    def table(self) -> Iterator[Slices]:
        """The slices of a table, (rows, columns), whose number of rows only its end tells."""
        columns = self.problem.shape[1]
        assert columns is not None
        numbered = enumerate(blocks.rows(columns, self.elements))
        row, state = 0, None
        for _, part in self._parts((block, k >= FIRST_COMPILED) for k, block in numbered):
            if not part.rows:
                continue
            state = self._merged(state, part, (row, 0))
            if self.problem.axes == (1,):
                yield finish(state, row, part.ids)
                state = None
            row += part.rows
        if self.problem.axes == (0,):
            if state is None:
                raise InputError("the table has no rows, so there is no maximum along axis 0")
            yield finish(state, 0, self.source.labels)

    def _merged(self, state: State | None, part: _Part, start: Sequence[int]) -> State:
        """`state` with a part that begins at `start`."""
        if part.nans is not None:
            self.undefined.note(part.nans, start)
        moved = part.state.shifted([start[axis] for axis in self.problem.axes])
        return moved if state is None else merge(state, moved, self.problem.beta)

    def _parts(self, plan: Iterator[tuple[Block, bool]]) -> Iterator[tuple[Block, _Part]]:
        """Reduce the blocks of the plan in worker threads; yield them in its order."""
        waiting: deque[tuple[Block, Pending, Future[_Part]]] = deque()

        def taken() -> tuple[Block, _Part]:
            block, pending, future = waiting.popleft()
            part = future.result()
            self.advance(pending.nbytes)
            return block, part

        with ThreadPoolExecutor(self.workers, thread_name_prefix="reduce") as pool:
            try:
                for block, compiled in plan:
                    pending = self.source.fetch(block)
                    if pending is None:
                        break
                    waiting.append((block, pending, pool.submit(self._reduce, pending, compiled)))
                    if len(waiting) > self.workers:
                        yield taken()
                while waiting:
                    yield taken()
            finally:
                for _, _, future in waiting:
                    future.cancel()

    def _reduce(self, pending: Pending, compiled: bool) -> _Part:
        if not hasattr(self.buffers, "buffer"):
            self.buffers.buffer = Buffer()
        loaded = pending.load(self.buffers.buffer)
        values, rows = loaded.values, len(loaded.values)
        if self.problem.shape[0] is None:
            if not rows:
                return _NOTHING
            if compiled:
                values = padded(values, self.problem.axes)
        state, nans = self.reducer(values, compiled=compiled)
        if self.problem.axes == (1,) and len(values) != rows:
            state = state.first(rows)
        return _Part(state, rows, loaded.ids, nans)


_NOTHING = _Part(State.identity(0, 1, second_moment=False, log_moment=False, ties=False), 0, None, None)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
