"""What each β does to a file: how far soft lies from hard, and how much gradient is left."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.blocks import Block, Plan
from softargmax_cli.reduction.fitting import REDUCTION, Needs
from softargmax_cli.reduction.layout import F8
from softargmax_cli.reduction.mapping import Array
from softargmax_cli.reduction.readable import Readable
from softargmax_cli.reduction.result import AtBeta, Traded
from softargmax_cli.reduction.spec import Problem
from softargmax_cli.reduction.state import State
from softargmax_cli.reduction.stream import Part, Stream, Task
from softargmax_cli.reduction.suspects import Kept, Suspects
from softargmax_cli.reduction.weighing import BetaReducer

if TYPE_CHECKING:
    from softargmax_cli.tensorflow.base import Runtime

Float = npt.NDArray[np.float64]

FULL, OFFSETS = 4, 0.25
"""`Stream.work`: of a sweep, and of a search, in which few slices and few scores of each have any weight."""


@dataclass(slots=True)
class Trade:
    """What is said of all slices together at each of `b` β; arrays are (b,), offset and spread in coordinate units."""

    slices: int
    undefined: int
    first: int
    """Row-major number of the first slice without an answer."""
    largest: Float
    """The largest |offset|, over all axes; −inf where no slice has an answer."""
    offsets: Float
    """Sum of |offset|, over all axes."""
    agreeing: Float
    """How many slices agree."""
    spreads: Float
    """Sum over all axes."""
    gradients: Float
    """Sum of ‖∂soft/∂x‖, the Frobenius norm where there are several axes."""
    reach: npt.NDArray[np.intp] | None = None
    """Of each slice: see `suspects.Suspects`."""
    kept: Kept | None = None

    def add(self, other: Trade) -> None:
        """Take other slices into account."""
        if other.undefined:
            self.first = min(self.first, other.first) if self.undefined else other.first
        self.slices += other.slices
        self.undefined += other.undefined
        self.largest = np.maximum(self.largest, other.largest)
        self.offsets = self.offsets + other.offsets
        self.agreeing = self.agreeing + other.agreeing
        self.spreads = self.spreads + other.spreads
        self.gradients = self.gradients + other.gradients


def trading(betas: Sequence[float]) -> Needs:
    """What `trade` of so many β asks of memory and of its input."""
    return replace(REDUCTION, states=2 * len(set(betas)))  # the sums of weights, and those of their squares


def trade(
    source: Readable,
    problem: Problem,
    runtime: Runtime,
    *,
    betas: Sequence[float],
    full: bool,
    memory: int,
    finest: float = math.inf,
    suspects: Suspects | None = None,
    advance: Callable[[int], None] = lambda nbytes: None,
    note: Callable[[str], None] = lambda text: None,
) -> Iterator[Traded]:
    """What every β does to all slices, in one pass; in the order of `betas`. Yields once.

    full: whether spread and gradient are wanted beside the offset; finest: the smallest offset, in coordinate units,
    that must be told from none; suspects: gathers these, where all is wanted. Else as `engine.reduce`, with what
    `trading` needs.
    """
    ascending = sorted(set(betas))
    reducer = BetaReducer(problem, ascending, runtime, full=full, finest=finest)
    some, work = (suspects, FULL) if full else (None, OFFSETS)
    stream = _TradeStream(source, problem, reducer, memory, advance, note, suspects=some, work=work)
    zeros = np.zeros(len(ascending))
    total = Trade(0, 0, 0, np.full(len(ascending), -np.inf), zeros, zeros, zeros, zeros)
    for part in stream.answers():
        total.add(part)
        if some is not None:
            some.add(part.kept)
    stream.undefined.note_slices(total.undefined, total.first)
    stream.undefined.check()
    found = dict(zip(ascending, _means(total, ascending, len(problem.axes), full), strict=True))
    yield Traded([found[beta] for beta in betas], total.slices, total.undefined)


def _means(total: Trade, betas: Sequence[float], axes: int, full: bool) -> Iterator[AtBeta]:
    defined = total.slices - total.undefined
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = [
            np.where(defined > 0, total.largest, np.nan),
            total.offsets / np.float64(defined * axes),
            total.agreeing / np.float64(defined),
            total.spreads / np.float64(defined * axes if full else np.nan),
            total.gradients / np.float64(defined if full else np.nan),
        ]
    for beta, *numbers in zip(betas, *(column.tolist() for column in columns), strict=True):
        yield AtBeta(beta, *numbers)


class _TradeStream(Stream[Trade]):
    """Makes a `Trade` of the states of a `BetaReducer`."""

    def __init__(
        self,
        source: Readable,
        problem: Problem,
        reducer: BetaReducer,
        *streaming: Any,
        suspects: Suspects | None,
        work: float,
    ) -> None:
        self.needs, self.work = trading(reducer.swept.tolist()), work
        super().__init__(source, problem, reducer, *streaming)
        self.betas, self.suspects = reducer.swept[:, None], suspects

    def _answered(
        self, part: Part[Trade], task: Task, values: Array, state: State, ids: Sequence[str] | None
    ) -> Part[Trade]:
        part = super()._answered(part, task, values, state, ids)
        made = part.answers
        if self.suspects is not None and made is not None and made.reach is not None:
            made.kept = self.suspects.among(values[: part.rows], self.problem.axes, made.reach)
            made.reach = None
        return part

    def _answers(self, state: State, block: Block, rows: Sequence[str] | None = None) -> Trade:
        shape, kept = [n or 0 for n in self.problem.shape], self.problem.kept
        made = self._trade(state, [shape[axis] for axis in self.problem.axes])
        if made.undefined and kept:
            inner = [block.shape[k] for k in kept]
            places = np.unravel_index(np.flatnonzero(~(state.mass[0] > 0)), inner, order=self.source.order)
            starts = [along + block.start[k] for along, k in zip(places, kept, strict=True)]
            made.first = int(np.ravel_multi_index(starts, [shape[k] for k in kept]).min())
        return made

    def _of_table(self, state: State, shape: tuple[int, int], rows: Sequence[str] | None = None) -> Trade:
        return self._trade(state, [shape[axis] for axis in self.problem.axes])

    def _numbered(self, answers: Trade, start: int) -> Trade:
        answers.first += start
        return answers

    def _ordered(self, plan: Plan, finished: Iterator[tuple[Block, Trade]]) -> Iterator[Trade]:
        return (made for _, made in finished)  # sums have no order

    def _trade(self, state: State, lengths: Sequence[int]) -> Trade:
        """Of the slices of a state, numbered from 0; lengths: of the reduced axes, in the order of the coordinates."""
        order, b = self.problem.order, len(self.betas)
        turn = slice(None) if order == sorted(order) else order
        slices = state.mass.shape[1]
        defined = state.mass[0] > 0
        which: slice | npt.NDArray[np.bool_] = slice(None) if (sound := bool(defined.all())) else defined
        undefined = 0 if sound else int(np.count_nonzero(~defined))

        def per_axis(sums: Float) -> Float:
            return sums[turn][..., which]

        mass = state.mass[:, which]
        share = 1 / mass[:b]
        steps = [along.step(n) for along, n in zip(self.problem.coordinates, lengths, strict=True)]
        first, scale = per_axis(state.moment), np.array(steps)[:, None]
        about = first[:, :b] * share
        offset = indices = np.abs(about)
        if state.value_moment is not None:
            first, scale = per_axis(state.value_moment), np.ones((len(order), 1))
            about = first[:, :b] * share
            offset = np.abs(about)
        spreads, gradients, reach = np.zeros(b), np.zeros(b), None
        if state.second_moment is not None:
            second = per_axis(state.second_moment)
            if self.suspects is not None:
                reach = np.zeros(slices, np.intp)
                reach[which] = self.suspects.reach(mass[:b], offset, second[:, :b], scale)
            spread = second[:, :b] * share
            spread -= about**2
            np.sqrt(np.maximum(spread, 0, out=spread), out=spread)
            squares = second[:, b:]
            if len(mass) > b:  # about hard: Σ w² (d − o)² = Σ w² d² − o (2 Σ w² d − o Σ w²)
                squares = squares - about * (2 * first[:, b:] - about * mass[b:])
            # ∂soft/∂xᵢ = β pᵢ (cᵢ − soft)
            norm = np.tensordot((scale[:, 0] ** 2).astype(squares.dtype), squares, 1)
            np.sqrt(np.maximum(norm, 0, out=norm), out=norm)
            norm *= share
            spreads, gradients = (
                (spread.sum(axis=2, dtype=F8) * scale).sum(axis=0),
                norm.sum(axis=1, dtype=F8) * self.betas[:, 0],
            )
        return Trade(
            slices,
            undefined,
            int(np.argmin(defined)) if undefined else 0,
            (offset.max(axis=2, initial=-np.inf) * scale).max(axis=0),
            (offset.sum(axis=2, dtype=F8) * scale).sum(axis=0),
            np.count_nonzero((indices < 0.5).all(axis=0), axis=1).astype(np.float64),
            spreads,
            gradients,
            reach,
        )
