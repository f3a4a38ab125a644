"""Conclude what each β does to a file: how far soft lies from hard, and how much gradient is left."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.blocks import Block, Plan
from softargmax_cli.reduction.budget import REDUCTION, Needs
from softargmax_cli.reduction.finish import finish, finish_block
from softargmax_cli.reduction.multi_beta import MultiBetaReducer
from softargmax_cli.reduction.order import logical
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.readable import Readable
from softargmax_cli.reduction.result import Slices, Summary
from softargmax_cli.reduction.state import State
from softargmax_cli.reduction.stream import Stream
from softargmax_cli.reduction.undefined import lacking

if TYPE_CHECKING:
    from softargmax_cli.tensorflow.base import Runtime

Float = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AtBeta:
    """One β, and what it does to all slices; NaN where no slice has an answer, and where nobody asked.

    Offset and spread are in coordinate units, over all axes; the gradient is that of soft by the scores of its slice.
    """

    beta: float
    max_abs_offset: float
    mean_abs_offset: float
    agreement: float
    mean_spread: float
    mean_gradient_norm: float
    """Mean of ‖∂soft/∂x‖; with several axes that is the Frobenius norm of the Jacobian."""


@dataclass(frozen=True, slots=True)
class Swept:
    """The results of several β over a file."""

    betas: Sequence[AtBeta]
    slices: int
    undefined: int
    """Slices without an answer, which count in nothing else."""


@dataclass(slots=True)
class Tally:
    """Sums over slices for each of b β."""

    summaries: list[Summary]
    spreads: Float
    """(b,): over all axes."""
    gradients: Float
    """(b,): of ‖∂soft/∂x‖ / β."""
    first: int = 0
    """Row-major number of the first slice without an answer, if any."""

    @property
    def undefined(self) -> int:
        """How many slices have no answer."""
        return self.summaries[0].undefined

    def add(self, other: Tally) -> None:
        """Take the sums of other slices into account."""
        if other.undefined:
            self.first = min(self.first, other.first) if self.undefined else other.first
        for mine, others in zip(self.summaries, other.summaries, strict=True):
            mine.join(others)
        self.spreads = self.spreads + other.spreads
        self.gradients = self.gradients + other.gradients


def needs_of(betas: Sequence[float]) -> Needs:
    """Tell what a `sweep` over so many β asks of memory and of its input."""
    return replace(REDUCTION, states=2 * len(set(betas)))  # the sums of weights, and those of their squares


def sweep(
    source: Readable,
    problem: Problem,
    runtime: Runtime,
    *,
    betas: Sequence[float],
    full: bool,
    memory: int,
    advance: Callable[[int], None] = lambda nbytes: None,
    note: Callable[[str], None] = lambda text: None,
) -> Iterator[Swept]:
    """Yield once what every β, in the order of `betas`, does to all slices, found in one pass.

    full: whether spread and gradient are wanted beside the offset. Else as `engine.reduce`, with `needs_of`.
    """
    ascending = sorted(set(betas))
    reducer = MultiBetaReducer(problem, ascending, runtime, full=full)
    stream = _SweepStream(source, problem, reducer, memory, advance, note)
    zeros = np.zeros(len(ascending))
    total = Tally([Summary() for _ in ascending], zeros, zeros)
    for tally in stream.answers():
        total.add(tally)
    stream.undefined.note_slices(total.undefined, total.first)
    stream.undefined.check()
    found = {}
    for beta, summary, spread, gradient in zip(
        ascending, total.summaries, total.spreads.tolist(), total.gradients.tolist(), strict=True
    ):
        defined = summary.slices - summary.undefined if full else 0
        found[beta] = AtBeta(
            beta,
            summary.max_abs_offset,
            summary.mean_abs_offset,
            summary.agreement,
            spread / (defined * len(problem.axes)) if defined else math.nan,
            beta * gradient / defined if defined else math.nan,
        )
    yield Swept([found[beta] for beta in betas], total.summaries[0].slices, total.undefined)


class _SweepStream(Stream[Tally]):
    """Tallies the states of a `MultiBetaReducer`."""

    def __init__(
        self,
        source: Readable,
        problem: Problem,
        reducer: MultiBetaReducer,
        memory: int,
        advance: Callable[[int], None],
        note: Callable[[str], None],
    ) -> None:
        self.count = len(reducer.betas) // (2 if reducer.full else 1)
        self.needs = needs_of(range(self.count))
        super().__init__(source, problem, reducer, memory, advance, note)

    def _answers(self, state: State, block: Block, rows: Sequence[str] | None = None) -> Tally:
        tally = self._tally(state, lambda of_beta: finish_block(of_beta, self.problem, block))
        if tally.undefined:
            slices = finish_block(_at(state, 0), self.problem, block)
            turned = logical(slices, [block.shape[k] for k in self.problem.kept], self.source.order)
            tally.first = lacking(turned, block, self.problem)[1]
        return tally

    def _of_table(self, state: State, shape: tuple[int, int], rows: Sequence[str] | None = None) -> Tally:
        lengths = [shape[axis] for axis in self.problem.axes]
        tally = self._tally(state, lambda of_beta: finish(of_beta, self.problem, lengths, 0), lengths)
        tally.first = int(np.argmin(state.mass[0] > 0))
        return tally

    def _numbered(self, answers: Tally, start: int) -> Tally:
        answers.first += start
        return answers

    def _ordered(self, plan: Plan, finished: Iterator[tuple[Block, Tally]]) -> Iterator[Tally]:
        return (tally for _, tally in finished)  # sums have no order

    def _tally(self, state: State, finished: Callable[[State], Slices], lengths: Sequence[int] | None = None) -> Tally:
        """Sum up slices; lengths: of the reduced axes, in the order of the coordinates."""
        lengths = lengths or [self.problem.shape[axis] or 0 for axis in self.problem.axes]
        tally = Tally([], np.zeros(self.count), np.zeros(self.count))
        for k in range(self.count):
            of_beta, summary = _at(state, k), Summary()
            slices = finished(of_beta)
            summary.add(slices)
            tally.summaries.append(summary)
            if slices.spread is not None:
                tally.spreads[k] = np.nansum(slices.spread)
                tally.gradients[k] = np.nansum(self._gradient_norm(of_beta, _at(state, self.count + k), lengths))
        return tally

    def _gradient_norm(self, at: State, squared: State, lengths: Sequence[int]) -> Float:
        """Find ‖∂soft/∂x‖ / β of each slice, (s,), from its state at β and at 2β.

        ∂soft/∂xᵢ = β pᵢ (cᵢ − soft), and the weights at 2β are the squares of those at β.
        """
        scale = np.ones((len(lengths), 1))
        if at.value_moment is None:
            pairs = zip(self.problem.coordinates, lengths, strict=True)
            scale = np.array([[along.step(n)] for along, n in pairs])[np.argsort(self.problem.order)]
        first, of_squares = at.value_moment, squared.value_moment
        if first is None or of_squares is None:
            first, of_squares = at.moment, squared.moment
        assert squared.second_moment is not None
        with np.errstate(invalid="ignore", divide="ignore"):
            mass = np.where(at.mass > 0, at.mass, np.nan)
            offset = first / mass
            about_soft = squared.second_moment - offset * (2 * of_squares - offset * squared.mass)
            norm: Float = np.sqrt((scale**2 * np.maximum(about_soft, 0)).sum(axis=0)) / mass
        return norm


def _at(state: State, k: int) -> State:
    """Take the state at the β of number k."""

    def one(sums: Float | None) -> Float | None:
        return None if sums is None else sums[:, k]

    return State(
        state.maximum[0],
        state.hard[:, 0],
        state.mass[k],
        state.moment[:, k],
        second_moment=one(state.second_moment),
        place=None if state.place is None else state.place[:, 0],
        value_moment=one(state.value_moment),
    )
