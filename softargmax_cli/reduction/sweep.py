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
    return replace(REDUCTION, states=len(_measured(betas, full)))


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
    measured = _measured(betas, full)
    fields = frozenset({"offset", "spread"} if full else {"offset"})
    problems = [replace(problem, beta=beta, fields=fields) for beta in measured]
    tallies = {beta: _Tally() for beta in betas}
    for answers in reduce_several(source, problems, runtime, memory=memory, advance=advance, note=note, ordered=False):
        at = dict(zip(measured, answers, strict=True))
        for beta, tally in tallies.items():
            tally.summary.add(at[beta])
            if tolerance is not None:
                tally.outside += int(np.count_nonzero(within(tolerance)(at[beta])[1]))
            if full:
                tally.spread += float(np.nansum(at[beta].spread))
                tally.gradient_norm += float(np.nansum(gradient_norm(beta, at[beta], at[2 * beta])))
    total = next(iter(tallies.values())).summary
    defined = (total.slices - total.undefined) if full else 0
    yield Swept(
        [
            AtBeta(
                beta,
                (tally := tallies[beta]).summary.max_abs_offset,
                tally.summary.mean_abs_offset,
                tally.summary.agreement,
                tally.spread / (defined * len(problem.axes)) if defined else math.nan,
                tally.gradient_norm / defined if defined else math.nan,
            )
            for beta in betas
        ],
        total.slices,
        total.undefined,
        [] if tolerance is None else [tallies[beta].outside for beta in betas],
    )


def _measured(betas: Sequence[float], full: bool) -> list[float]:
    """Return all β at which slices are reduced: the gradient at one also needs those at twice it."""
    return sorted({*betas, *(2 * beta for beta in betas if full)})


def gradient_norm(beta: float, slices: Slices, squared: Slices) -> Float:
    """Find ‖∂soft/∂x‖ of each slice, (m,), from its results at β and at 2β.

    ∂soft/∂xᵢ = β pᵢ (cᵢ − soft). The weights at 2β are the squares of those at β, relative to the maximum, whose sums
    are 1/peak; so Σ pᵢ² (cᵢ − soft)² is peak² times the mean of (cᵢ − soft)² at 2β, over the peak there.
    """
    apart = squared.offset - slices.offset
    norm: Float = beta * slices.peak * np.sqrt((squared.spread**2 + apart**2).sum(axis=0) / squared.peak)
    return norm
