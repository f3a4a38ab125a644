"""Reduce a box, which may be many times larger than the cache, block by block."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction import blocks
from softargmax_cli.reduction.blocks import Block, Order, Plan
from softargmax_cli.reduction.gradient import Slope, joined
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.reducer import Misfit, Reducer
from softargmax_cli.reduction.state import State, added, merge

Array = npt.NDArray[Any]
Said = TypeVar("Said", bound=State | Slope)
Derived = tuple[Slope | None, Array | None]
"""What is known of the slices of a block beside their state, and an array of the block's shape."""
Derive = Callable[[Array, Sequence[int], State, bool], Derived]
"""Makes this of a block's values, where it begins, the state of its whole slices, and whether it is worth compiling."""


class BoxReducer:
    """Reduces boxes with a reducer of blocks, by the same methods; called from several threads at once.

    elements: how many of them a block of the box has. Slices come in the memory order of the box, which is `order`.
    """

    def __init__(self, reducer: Reducer, problem: Problem, order: Order, elements: int) -> None:
        self._blocks, self._problem, self._order, self._elements = reducer, problem, order, elements

    def whole(self, values: Array, *, compiled: bool) -> tuple[State, Misfit | None]:
        """Return the state of a box that holds whole slices; see `BlockReducer.whole`."""
        problem, plan, start = self._problem, self._plan(values.shape), [0] * values.ndim
        if not plan.splits:
            return self._found(values, plan, start, lambda place, piece: self._blocks.whole(piece, compiled=compiled))
        state, misfit = self.part(values, start, compiled=compiled)
        if problem.looks_back:
            sums = self.about(values, Block((0,) * values.ndim, values.shape), state, compiled=compiled)
            state = state.completed(sums, problem.window is not None)
        return state, misfit

    def part(self, values: Array, start: Sequence[int], *, compiled: bool) -> tuple[State, Misfit | None]:
        """Return the state of a box that holds parts of slices, `hard` counted within it; see `BlockReducer.part`."""
        plan = self._plan(values.shape)
        return self._found(values, plan, start, lambda place, piece: self._blocks.part(piece, place, compiled=compiled))

    def about(self, values: Array, block: Block, known: State, *, compiled: bool) -> State:
        """Return the sums over a box about a maximum and its place that are known; see `BlockReducer.about`."""
        plan, outer = self._plan(block.shape), self._problem.read_again(block).start
        whole = SlicesOfBox(self._problem, plan, State)
        for box in plan.boxes():
            of_box, sums = whole.part(known, box[0]), None
            for inner in box:
                place = inner.moved(block.start)
                piece = self._piece(values, self._problem.read_again(place).moved([-a for a in outer]))
                state = self._blocks.about(piece, place, of_box, compiled=compiled)
                sums = state if sums is None else added(sums, state)
            assert sums is not None
            whole.put(sums, box[0])
        return whole.all()

    def derived(self, derive: Derive, values: Array, start: Sequence[int], known: State, compiled: bool) -> Derived:
        """Make something of a box whose slices' state is known: of each of its blocks, put together."""
        plan = self._plan(values.shape)
        whole, slope, array = SlicesOfBox(self._problem, plan, Slope), None, None
        for box in plan.boxes():
            of_box, slope = whole.part(known, box[0]), None
            for block in box:
                place = [a + b for a, b in zip(start, block.start, strict=True)]
                one, part = derive(self._piece(values, block), place, of_box, compiled)
                slope = joined(slope, one)
                if part is not None:
                    if array is None:
                        array = np.empty((*values.shape, *part.shape[values.ndim :]), part.dtype, order=self._order)
                    array[tuple(map(slice, block.start, block.stop))] = part
            if slope is not None:
                whole.put(slope, box[0])
        return None if slope is None else whole.all(), array

    def _found(
        self,
        values: Array,
        plan: Plan,
        start: Sequence[int],
        found: Callable[[Sequence[int], Array], tuple[State, Misfit | None]],
    ) -> tuple[State, Misfit | None]:
        """Merge the states of all blocks into that of the box; return it with the misfits in the box.

        start: of the box; found: makes the state of a block that begins at a place of the array.
        """
        whole, misfits, reduced = SlicesOfBox(self._problem, plan, State), _Misfits(), self._problem.ascending
        for box in plan.boxes():
            sums: State | None = None
            for block in box:
                place = block.moved(start).start
                state, misfit = found(place, self._piece(values, block))
                misfits.note(misfit, block.start)
                moved = state.shifted([place[axis] for axis in reduced])  # states merge by their place in the array
                sums = moved if sums is None else merge(sums, moved, self._problem)
            assert sums is not None
            whole.put(sums, box[0])
        return whole.all().shifted([-start[axis] for axis in reduced]), misfits.all()

    def _plan(self, shape: tuple[int, ...]) -> Plan:
        return blocks.plan(shape, self._problem.axes, self._order, self._elements, contiguous=False)

    def _piece(self, values: Array, block: Block) -> Array:
        piece = values
        for axis, (start, stop) in enumerate(zip(block.start, block.stop, strict=True)):
            if start < 0 or stop > values.shape[axis]:  # across the ends of an axis that goes round
                piece = piece.take(range(start, stop), axis, mode="wrap")
            else:
                piece = piece[(slice(None),) * axis + (slice(start, stop),)]
        # A view says nothing of the order that the box has, and by which slices are listed.
        return piece if self._order == "C" else np.asfortranarray(piece)


class _Misfits:
    """Merges the misfits of several blocks; only the first kind is reported."""

    def __init__(self) -> None:
        self._found: Misfit | None = None

    def note(self, misfit: Misfit | None, start: Sequence[int]) -> None:
        if misfit is None or (self._found is not None and self._found.name != misfit.name):
            return
        first = tuple(a + b for a, b in zip(start, misfit.first, strict=True))
        before = self._found
        count = misfit.count + (before.count if before else 0)
        self._found = Misfit(misfit.name, count, min(first, before.first) if before else first)

    def all(self) -> Misfit | None:
        return self._found


class SlicesOfBox(Generic[Said]):
    """Puts the states of the blocks of a box, or their slopes, together as those of all its slices.

    Their arrays end in the slices, in the memory order of the box.
    """

    def __init__(self, problem: Problem, plan: Plan, kind: type[Said]) -> None:
        self._kind = kind
        turn = slice(None, None, 1 if plan.order == "C" else -1)
        self._kept = problem.kept[turn]
        self._lengths = [plan.shape[k] for k in self._kept]
        self._whole: dict[str, Array] = {}
        self._only: Said | None = None
        self._alone = plan.columns == 1

    def put(self, said: Said, block: Block) -> None:
        """Put the slices of a block."""
        if self._alone:
            self._only = said
            return
        region, inner = self._region(block)
        for field in fields(said):
            part = getattr(said, field.name)
            if part is None:
                continue
            if field.name not in self._whole:
                self._whole[field.name] = np.empty((*part.shape[:-1], *self._lengths), part.dtype)
            self._whole[field.name][region] = part.reshape(*part.shape[:-1], *inner)

    def part(self, state: State, block: Block) -> State:
        """Return the slices of a block from a state of all slices."""
        if self._alone:
            return state
        region, inner = self._region(block)
        parts = {}
        for field in fields(state):
            values = getattr(state, field.name)
            if values is not None:
                before = values.shape[:-1]
                chosen = np.ascontiguousarray(values.reshape(*before, *self._lengths)[region])
                parts[field.name] = chosen.reshape(*before, math.prod(inner))
        return State(**parts)

    def all(self) -> Said:
        """Return all slices."""
        if self._only is not None:
            return self._only
        slices = math.prod(self._lengths)
        return self._kind(
            **{name: part.reshape(*part.shape[: -len(self._lengths)], slices) for name, part in self._whole.items()}
        )

    def _region(self, block: Block) -> tuple[tuple[Any, ...], list[int]]:
        region = (..., *(slice(block.start[k], block.stop[k]) for k in self._kept))
        return region, [block.stop[k] - block.start[k] for k in self._kept]
