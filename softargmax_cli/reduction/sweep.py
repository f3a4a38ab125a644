"""Try several β and windows: measure the distance of soft from hard, or from the truth, and the gradient."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.budget import REDUCTION, Needs
from softargmax_cli.reduction.check import within
from softargmax_cli.reduction.coordinates import Circular, Coordinates
from softargmax_cli.reduction.engine import reduce_several
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.readable import Readable
from softargmax_cli.reduction.result import Slices, Summary
from softargmax_cli.reduction.truth import compared_with_truth

if TYPE_CHECKING:
    from softargmax_cli.tensorflow.base import Runtime

Float = npt.NDArray[np.float64]
Truth = Callable[[int, Sequence[str] | None], Float]
"""Read the truth of the next slices, with these ids, (a, m)."""

CLOSE = 1.05
"""The largest ratio of the answer of a search to a β that is not good enough."""
BETWEEN = 5
"""The number of β that a search tries at a time between two."""
LEAST = 1e-6
"""No search goes below this β."""
DIGITS = 3
"""The significant digits of the β that a search tries."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The results of one β and window over all slices; NaN if no slice has an answer, and for what was not asked.

    Offset, spread and error are in coordinate units; offset and spread are over all axes.
    """

    beta: float
    window: int | None
    outside: int
    """The number of slices whose soft lies further from hard than the tolerance, or that have no answer."""
    max_abs_offset: float
    mean_abs_offset: float
    agreement: float
    mean_spread: float
    mean_gradient_norm: float
    """The mean of ‖∂soft/∂x‖; with several axes that is the Frobenius norm of the Jacobian."""
    mean_error: float
    """The mean distance of soft from the truth."""


@dataclass(frozen=True, slots=True)
class Trials:
    """The results of several β and windows over a file."""

    trials: Sequence[Trial]
    slices: int
    undefined: int
    """The number of slices without an answer, which count in nothing else."""
    hard_error: float
    """The mean distance of hard from the truth."""
    missing: int
    """The number of slices without a truth."""

    @property
    def best(self) -> Trial | None:
        """The first trial with the least mean error; None if no slice can be compared."""
        known = [trial for trial in self.trials if not math.isnan(trial.mean_error)]
        return min(known, key=lambda trial: trial.mean_error, default=None)


def needs_of(count: int, *, full: bool = False) -> Needs:
    """Return the needs of `count` trials; full: as for `sweep`."""
    return replace(REDUCTION, states=count * (2 if full else 1))


def sweep(
    source: Readable,
    problem: Problem,
    runtime: Runtime,
    *,
    betas: Sequence[float],
    windows: Sequence[int | None] | None = None,
    full: bool = False,
    tolerance: float = math.inf,
    truth: Truth | None = None,
    rows: Callable[[], int] = lambda: 0,
    **given: Any,
) -> Iterator[Trials]:
    """Yield once the results of every β within every window, found in one pass.

    windows: by default that of `problem`, else it is one of them; full: True if spread and gradient are wanted;
    tolerance: the distance beyond which slices count as outside; truth: the reference of soft; rows: returns the
    length of a table's first axis at its end; given: as for `engine.reduce`, with `needs_of`.
    """
    fields = frozenset({"offset", "spread"} if full else {"offset"})
    tried = [(beta, window) for window in windows or [problem.window] for beta in betas]
    problems = [replace(problem, beta=beta, window=window, fields=fields) for beta, window in tried]
    if full:
        doubled, pairs = _doubled(problem), [*zip(problems, tried, strict=True)]
        problems += [replace(one, beta=2 * beta, coordinates=doubled) for one, (beta, _) in pairs]
    summaries, outside, missing = [Summary() for _ in tried], [0] * len(tried), 0
    spread, norm, hard, soft = ([_Mean() for _ in tried] for _ in range(4))
    for answers in reduce_several(source, problems, runtime, ordered=truth is not None, **given):
        true = None if truth is None else truth(len(answers[0]), answers[0].ids)
        missing += 0 if true is None else int(np.count_nonzero(np.isnan(true).any(axis=0)))
        for k, slices in enumerate(answers[: len(tried)]):
            summaries[k].add(slices)
            outside[k] += int(np.count_nonzero(within(slices, tolerance)[1]))
            if full:
                spread[k].add(slices.spread.mean(axis=0))
                norm[k].add(_gradient_norm(problem, tried[k][0], slices, answers[len(tried) + k]))
            if true is not None:
                compared = compared_with_truth(slices, true, problem, rows())
                hard[k].add(compared.hard_error)
                soft[k].add(compared.soft_error)
    trials = [
        Trial(
            *tried[k],
            outside[k],
            summary.max_abs_offset,
            summary.mean_abs_offset,
            summary.agreement,
            *(mean[k].value for mean in (spread, norm, soft)),
        )
        for k, summary in enumerate(summaries)
    ]
    yield Trials(trials, summaries[0].slices, summaries[0].undefined, hard[0].value, missing)


class _Mean:
    """The mean of numbers without NaN; NaN if there is none."""

    def __init__(self) -> None:
        self._total, self._count = 0.0, 0

    def add(self, numbers: Float) -> None:
        self._total += float(np.nansum(numbers))
        self._count += int(np.count_nonzero(~np.isnan(numbers)))

    @property
    def value(self) -> float:
        return self._total / self._count if self._count else math.nan


def _doubled(problem: Problem) -> tuple[Coordinates, ...]:
    """Return the coordinates to reduce at 2β for the gradients at β: circles have half the period."""
    return tuple(
        Circular(c.length, c.at(np.arange(c.length)), period / 2) if period else c
        for c, period in zip(problem.coordinates, problem.periods, strict=True)
    )


def _gradient_norm(problem: Problem, beta: float, slices: Slices, twice: Slices) -> Float:
    """Find ‖∂soft/∂x‖ of each slice, (m,), from its results at β and from those of `_doubled` coordinates at 2β.

    ∂soft/∂xᵢ = β pᵢ (cᵢ − soft). The weights at 2β are the squares of those at β, relative to the maximum, whose sums
    are 1/peak; so Σ pᵢ² (cᵢ − soft)² is peak² times the mean of (cᵢ − soft)² at 2β, over the peak there.
    """
    rows = zip(problem.periods, slices.offset, slices.spread, twice.offset, twice.spread, strict=True)
    norm: Float = beta * slices.peak * np.sqrt(sum(_mean_square(*row) for row in rows) / twice.peak)
    return norm


def _mean_square(period: float | None, mean: Float, spread: Float, of_twice: Float, spread_of_twice: Float) -> Float:
    """Return the mean square of the distance from `mean`, (m,), or on a circle, of (sin θ) period / 2πR.

    There `of_twice` is the mean of 2θ; the mean of sin² θ is half of 1 − the mean of cos 2θ.
    """
    if period is None:
        return spread_of_twice**2 + (of_twice - mean) ** 2
    radian = period / (2 * math.pi)
    lost, angle = (2 * spread_of_twice / radian) ** 2 / 2, 2 * (of_twice - mean) / radian
    sines: Float = (-np.expm1(-lost) + np.exp(-lost) * 2 * np.sin(angle / 2) ** 2) / 2
    sines = np.where(np.isnan(of_twice) & ~np.isnan(mean), 0.5, sines)
    return sines * radian**2 * np.exp((spread / radian) ** 2)


class Search:
    """Search for the smallest β that is good enough: it learns which β are, and chooses the next to try.

    below: True if the answer may lie below the first β. A larger β need not be better: the answer is good enough, and
    no more than `CLOSE` times a β that is not.
    """

    def __init__(self, good: Mapping[float, bool], *, below: bool) -> None:
        self._good, self._below, self._lowest = dict(good), below, min(good)

    def learn(self, good: Mapping[float, bool]) -> None:
        """Take more β into account."""
        self._good.update(good)

    @property
    def answer(self) -> float | None:
        """The smallest β known to be good enough; the lowest of the first, if none below is known not to be."""
        high = min((beta for beta, is_good in self._good.items() if is_good), default=None)
        return self._lowest if high is not None and self.unbounded else high

    @property
    def unbounded(self) -> bool:
        """True if the smallest β tried is good enough, so that smaller ones may be, too."""
        return self._good[min(self._good)]

    def wanted(self) -> list[float]:
        """Choose the β to try next, ascending; none if the answer is known."""
        high = min((beta for beta, is_good in self._good.items() if is_good), default=None)
        if high is None:
            return []
        if self.unbounded:
            return [beta for k in (3, 2, 1) if self._below and (beta := _rounded(high / 10**k, DIGITS)) >= LEAST]
        low = max(beta for beta in self._good if beta < high)
        return [] if high / low <= CLOSE else spaced(low, high, BETWEEN + 2)[1:-1]


def spaced(low: float, high: float, count: int) -> list[float]:
    """Space `count` β, 2 or more, from `low` to `high` in equal ratios but for their rounding to few digits."""
    exact = [low * (high / low) ** (k / (count - 1)) for k in range(count)]
    for digits in range(DIGITS, 17):
        few = [low, *(_rounded(beta, digits) for beta in exact[1:-1]), high]
        if all(a < b for a, b in itertools.pairwise(few)):
            return few
    return exact


def _rounded(beta: float, digits: int) -> float:
    """Round β to few digits, as people write it."""
    return float(f"{beta:.{digits - 1}e}")
