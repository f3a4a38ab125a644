"""Conclude what each β does to a file: how far soft lies from hard, and how much gradient is left."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.budget import REDUCTION, Needs
from softargmax_cli.reduction.check import within
from softargmax_cli.reduction.engine import reduce_several
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.readable import Readable
from softargmax_cli.reduction.result import Slices, Summary

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
    outside: Sequence[int] = ()
    """For each β, how many slices fail a `check`; where nobody asked there are none."""


@dataclass(slots=True)
class _Tally:
    """Sums over slices at one β."""

    summary: Summary = field(default_factory=Summary)
    spread: float = 0.0
    """Over all axes."""
    gradient_norm: float = 0.0
    outside: int = 0


def needs_of(betas: Sequence[float], *, full: bool) -> Needs:
    """Tell what a `sweep` over these β asks of memory and of its input."""
    return replace(REDUCTION, states=len(betas) * (2 if full else 1))


def sweep(
    source: Readable,
    problem: Problem,
    runtime: Runtime,
    *,
    betas: Sequence[float],
    full: bool,
    tolerance: float | None = None,
    memory: int,
    advance: Callable[[int], None] = lambda nbytes: None,
    note: Callable[[str], None] = lambda text: None,
) -> Iterator[Swept]:
    """Yield once what every β, in the order of `betas`, does to all slices, found in one pass.

    full: whether spread and gradient are wanted beside the offset; tolerance: of a check whose failures are counted.
    Else as `engine.reduce`, with `needs_of`.
    """
    fields = frozenset({"offset", "spread"} if full else {"offset"})
    problems = [replace(problem, beta=beta, fields=fields) for beta in betas]
    if full:
        problems += [replace(squared(problem), beta=2 * beta, fields=fields) for beta in betas]
    tallies = [_Tally() for _ in betas]
    for answers in reduce_several(source, problems, runtime, memory=memory, advance=advance, note=note, ordered=False):
        for k, (beta, tally) in enumerate(zip(betas, tallies, strict=True)):
            tally.summary.add(answers[k])
            if tolerance is not None:
                tally.outside += int(np.count_nonzero(within(tolerance)(answers[k])[1]))
            if full:
                tally.spread += float(np.nansum(answers[k].spread))
                norm = gradient_norm(problem, beta, answers[k], answers[len(betas) + k])
                tally.gradient_norm += float(np.nansum(norm))
    found = []
    for beta, tally in zip(betas, tallies, strict=True):
        summary = tally.summary
        defined = summary.slices - summary.undefined if full else 0
        found.append(
            AtBeta(
                beta,
                summary.max_abs_offset,
                summary.mean_abs_offset,
                summary.agreement,
                tally.spread / (defined * len(problem.axes)) if defined else math.nan,
                tally.gradient_norm / defined if defined else math.nan,
            )
        )
    total = tallies[0].summary
    outside = [] if tolerance is None else [tally.outside for tally in tallies]
    yield Swept(found, total.slices, total.undefined, outside)


def squared(problem: Problem) -> Problem:
    """Return what is to be reduced at 2β for the gradients at β: on a circle the second moments of the sine."""
    pairs = zip(problem.coordinates, problem.axes, strict=True)
    return replace(problem, coordinates=tuple(along.doubled(problem.shape[axis] or 0) for along, axis in pairs))


def gradient_norm(problem: Problem, beta: float, slices: Slices, twice: Slices) -> Float:
    """Find ‖∂soft/∂x‖ of each slice, (m,), from its results at β and those of the `squared` problem at 2β.

    ∂soft/∂xᵢ = β pᵢ (cᵢ − soft). The weights at 2β are the squares of those at β, relative to the maximum, whose sums
    are 1/peak; so Σ pᵢ² (cᵢ − soft)² is peak² times the mean of (cᵢ − soft)² at 2β, over the peak there.
    """
    rows = zip(problem.periods, slices.offset, slices.spread, twice.offset, twice.spread, strict=True)
    squares = sum(_mean_square(*row) for row in rows)
    norm: Float = beta * slices.peak * np.sqrt(squares / twice.peak)
    return norm


def _mean_square(period: float | None, mean: Float, spread: Float, of_twice: Float, spread_of_twice: Float) -> Float:
    """Return the mean square of the distance from `mean`, (m,), or on a circle of (sin θ) period / 2πR.

    There `of_twice` are those of 2θ, and mean sin² θ is half of 1 − the mean of cos 2θ.
    """
    if period is None:
        return spread_of_twice**2 + (of_twice - mean) ** 2
    radian = period / (2 * math.pi)
    lost, angle = (2 * spread_of_twice / radian) ** 2 / 2, 2 * (of_twice - mean) / radian
    sines: Float = (-np.expm1(-lost) + np.exp(-lost) * 2 * np.sin(angle / 2) ** 2) / 2
    sines = np.where(np.isnan(of_twice) & ~np.isnan(mean), 0.5, sines)
    return sines * radian**2 * np.exp((spread / radian) ** 2)
