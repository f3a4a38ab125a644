"""Reduce a box, which may be many times larger than the cache, block by block."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from functools import partial, reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction import blocks
from softargmax_cli.reduction.blocks import Block, Order, Plan
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.reducer import BlockReducer, Found
from softargmax_cli.reduction.state import State, added, merge

Array = npt.NDArray[Any]
SlopeColumns = dict[str, Array]
"""Columns about the gradients of slices over a part of them, by the names in `MERGES`, (s,) or (a, s)."""
MERGES = {"squares": np.add, "least": np.minimum, "largest": np.maximum, "by_beta": np.add}
Derived = tuple[SlopeColumns, Array | None]
"""The columns of the slices of a block, and an array of the block's shape."""
Derive = Callable[[Array, Sequence[int], State, bool], Derived]
"""Derive these from a block's values, its start, the state of its whole slices, and a flag to compile."""


class BoxReducer:
    """Reduce boxes of one problem by the methods of a `BlockReducer`; called from several threads at once.

    elements: the number in a block of the box. Slices come in `order`, the memory order of the box; in it, the slices
    of one column of blocks follow those of the column before.
    """

    def __init__(self, reducer: BlockReducer, problem: Problem, order: Order, elements: int) -> None:
        self._blocks, self._problem, self._order, self._elements = reducer, problem, order, elements

    def whole(self, values: Array, problems: Sequence[Problem], *, compiled: bool) -> Found:
        problem, start = self._problem, [0] * values.ndim
        if not self._plan(values.shape).splits:
            whole = partial(self._blocks.whole, problems=problems, compiled=compiled)
            return self._found(values, start, lambda place, piece: whole(piece))
        (state,), misfits, _ = self.part(values, start, compiled=compiled)
        for _ in range(problem.reviews):
            sums = self.about(values, Block((0,) * values.ndim, values.shape), state, compiled=compiled)
            state = state.completed(sums, problem.window)
        return Found([state], misfits)

    def part(self, values: Array, start: Sequence[int], *, compiled: bool) -> Found:
        return self._found(values, start, lambda place, piece: self._blocks.part(piece, place, compiled=compiled))

    def about(self, values: Array, block: Block, known: State, *, compiled: bool) -> State:
        outer, found = self._problem.read_again(block).start, []
        for column, slices in self._columns(block.shape):
            states = []
            for inner in column:
                place = inner.moved(block.start)
                piece = self._piece(values, self._problem.read_again(place).moved([-a for a in outer]))
                states.append(self._blocks.about(piece, place, known.some(slices), compiled=compiled))
            found.append(reduce(added, states))
        return side_by_side(found)

    def derived(self, derive: Derive, values: Array, start: Sequence[int], known: State, compiled: bool) -> Derived:
        """Derive columns and array of a box whose slices' state is known, block by block."""
        found, array = list[SlopeColumns](), None
        for column, slices in self._columns(values.shape):
            parts = list[SlopeColumns]()
            for block in column:
                place = block.moved(start).start
                beside, part = derive(self._piece(values, block), place, known.some(slices), compiled)
                parts.append(beside)
                if part is not None:
                    if array is None:
                        array = np.empty((*values.shape, *part.shape[values.ndim :]), part.dtype, order=self._order)
                    array[tuple(map(slice, block.start, block.stop))] = part
            found.append(reduce(joined, parts))
        return {name: np.concatenate([each[name] for each in found], axis=-1) for name in found[0]}, array

    def _found(self, values: Array, start: Sequence[int], found: Callable[[Sequence[int], Array], Found]) -> Found:
        """Merge the states of all blocks into that of the box, which begins at `start`.

        found: reduces a block, given its start in the array and its values.
        """
        states, misfits, reduced = [], [], self._problem.ascending
        both = partial(merge, problem=self._problem)
        for column, _ in self._columns(values.shape):
            parts = []
            for block in column:
                place = block.moved(start).start
                (state,), odd, _ = found(place, self._piece(values, block))
                parts.append(state.shifted([place[axis] for axis in reduced]))  # merging compares places in the array
                misfits += [misfit.moved(block.start) for misfit in odd]
            states.append(reduce(both, parts))
        return Found([side_by_side(states).shifted([-start[axis] for axis in reduced])], misfits)

    def _plan(self, shape: tuple[int, ...]) -> Plan:
        return blocks.plan(shape, self._problem.axes, self._order, self._elements, contiguous=False)

    def _columns(self, shape: tuple[int, ...]) -> Iterator[tuple[list[Block], slice]]:
        """Yield the blocks of each column of slices, and the range of these among the slices of the box."""
        start = 0
        for column in self._plan(shape).boxes():
            stop = start + math.prod(column[0].shape[k] for k in self._problem.kept)
            yield column, slice(start, stop)
            start = stop

    def _piece(self, values: Array, block: Block) -> Array:
        piece = values
        for axis, (start, stop) in enumerate(zip(block.start, block.stop, strict=True)):
            if start < 0 or stop > values.shape[axis]:  # across the ends of a circular axis
                piece = piece.take(range(start, stop), axis, mode="wrap")
            else:
                piece = piece[(slice(None),) * axis + (slice(start, stop),)]
        # A view loses the memory order of the box, which is the order of its slices.
        return piece if self._order == "C" else np.asfortranarray(piece)


def side_by_side(states: Sequence[State]) -> State:
    """Join the states of slices that follow each other."""
    if len(states) == 1:
        return states[0]
    columns = dict[str, Any]()
    for field in fields(State):
        column = [getattr(state, field.name) for state in states]
        columns[field.name] = None if column[0] is None else np.concatenate(column, axis=-1)
    return State(**columns)


def joined(a: SlopeColumns, b: SlopeColumns) -> SlopeColumns:
    """Join the columns of two parts of the same slices."""
    return {name: MERGES[name](a[name], column) if name in a else column for name, column in b.items()}
