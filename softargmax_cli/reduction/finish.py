"""From sums to answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

import numpy as np

from softargmax_cli.reduction.blocks import Block, Plan
from softargmax_cli.reduction.coordinates import coordinate, step
from softargmax_cli.reduction.ordering import in_row_major_order, logical
from softargmax_cli.reduction.readable import Readable
from softargmax_cli.reduction.result import Slices
from softargmax_cli.reduction.spec import Problem
from softargmax_cli.reduction.state import State

Answers = TypeVar("Answers")


class Finisher(Protocol[Answers]):
    """What the engine makes of states that are complete: see `SliceFinisher`."""

    def finished(self, state: State, block: Block) -> Answers: ...
    def finished_rows(self, state: State, shape: tuple[int, int], ids: Sequence[str] | None) -> Answers: ...
    def renumbered(self, answers: Answers, start: int) -> Answers: ...
    def ordered(self, plan: Plan, parts: Iterator[tuple[Block, Answers]], memory: int) -> Iterator[Answers]: ...


class SliceFinisher:
    """Makes the results of slices, in row-major order."""

    def __init__(self, problem: Problem, source: Readable) -> None:
        self._problem, self._order = problem, source.order
        self._names = source.labels if problem.kept == (len(problem.shape) - 1,) else None
        """Of the slices, where the last axis is the one that stays."""

    def finished(self, state: State, block: Block) -> Slices:
        """The results of the slices of an array that end with a block."""
        first, shape = 0, [n or 0 for n in self._problem.shape]
        for k in self._problem.kept:
            first = first * shape[k] + block.start[k]
        ids = None if self._names is None else self._names[block.start[-1] : block.stop[-1]]
        slices = finish(state, self._problem, [shape[axis] for axis in self._problem.axes], first, ids)
        return logical(slices, [block.shape[k] for k in self._problem.kept], self._order)

    def finished_rows(self, state: State, shape: tuple[int, int], ids: Sequence[str] | None) -> Slices:
        """The results of a table's rows, which have `ids`, or of slices along all of them."""
        ids = self._names if ids is None else ids
        return finish(state, self._problem, [shape[axis] for axis in self._problem.axes], 0, ids)

    def renumbered(self, slices: Slices, start: int) -> Slices:
        """The same, where they are those from number `start` on."""
        return replace(slices, start=start)

    def ordered(self, plan: Plan, parts: Iterator[tuple[Block, Slices]], memory: int) -> Iterator[Slices]:
        """The slices of all blocks of an array in row-major order; what takes more `memory` waits in files."""
        if plan.in_order:
            return (slices for _, slices in parts)
        kept = self._problem.kept
        return in_row_major_order(parts, kept, [plan.shape[k] for k in kept], memory)


def finish(
    state: State, problem: Problem, lengths: Sequence[int], start: int, ids: Sequence[str] | None = None
) -> Slices:
    """The result of slices over complete axes; `start` is the row-major number of the first.

    lengths: of the reduced axes, in the order of the coordinates. A slice without weight, or a spoilt one, has no
    answer (see `result.Slices`).
    """
    order = problem.order
    turn = slice(None) if order == sorted(order) else order
    with np.errstate(divide="ignore", invalid="ignore"):
        mass, hard = state.mass, state.hard[turn]
        defined = mass > 0
        if not defined.all():
            mass, hard = np.where(defined, mass, np.nan), np.where(defined, hard, -1)
        distance = state.moment[turn] / mass
        second = spread = entropy = ties = None
        about, scale = distance, np.ones((len(order), 1))
        if state.value_moment is not None and state.place is not None:
            offset = about = state.value_moment[turn] / mass
            soft = state.place[turn] + offset
        elif problem.coords == "index":
            offset, soft = distance, hard + distance
        else:
            scale = np.array([[step(problem.coords, n)] for n in lengths])
            centers = [coordinate(problem.coords, n, at) for n, at in zip(lengths, hard, strict=True)]
            offset = distance * scale
            soft = np.array(centers) + offset
        if state.second is not None:
            second = state.second / mass
        if state.second_moment is not None:
            spread = np.sqrt(np.maximum(state.second_moment[turn] / mass - about**2, 0.0)) * scale
        if state.log_moment is not None:
            entropy = np.maximum(np.log(mass) - state.log_moment / mass, 0.0)
        if state.ties is not None:
            ties = np.where(defined, state.ties, 0).astype(np.int64)
        return Slices(
            start=start,
            hard=hard,
            soft=soft,
            offset=offset,
            peak=1 / mass,
            agree=np.all(np.abs(distance) < 0.5, axis=0, keepdims=True)[0],
            second=second,
            spread=spread,
            entropy=entropy,
            ties=ties,
            ids=ids,
        )
