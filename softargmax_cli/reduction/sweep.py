"""Try several β and windows: measure the distance of soft from hard, or from the truth, and the gradient."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.check import within
from softargmax_cli.reduction.engine import reduce_several
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.readable import Readable
from softargmax_cli.reduction.result import Summary
from softargmax_cli.reduction.truth import with_truth

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


def sweep(
    source: Readable,
    problem: Problem,
    runtime: Runtime,
    *,
    betas: Sequence[float],
    windows: Sequence[int | None] | None = None,
    tolerance: float = math.inf,
    truth: Truth | None = None,
    rows: Callable[[], int] = lambda: 0,
    **given: Any,
) -> Iterator[Trials]:
    """Yield once the results of every β within every window, found in one pass.

    problem: with the fields "spread" and "norm" if they are wanted; windows: by default its own, else it is one of
    them; tolerance: the distance beyond which slices count as outside; truth: the reference of soft; rows: returns
    the length of a table's first axis at its end; given: as for `engine.reduce`, with as many `states`.
    """
    tried = [(beta, window) for window in windows or [problem.window] for beta in betas]
    problems = [replace(problem, beta=beta, window=window) for beta, window in tried]
    summaries, outside, missing = [Summary() for _ in tried], [0] * len(tried), 0
    spread, norm, hard, soft = ([_Mean() for _ in tried] for _ in range(4))
    for answers in reduce_several(source, problems, runtime, ordered=truth is not None, **given):
        true = None if truth is None else truth(len(answers[0]), answers[0].ids)
        missing += 0 if true is None else int(np.count_nonzero(np.isnan(true).any(axis=0)))
        for k, slices in enumerate(answers):
            summaries[k].add(slices)
            outside[k] += int(np.count_nonzero(within(slices, tolerance)[1]))
            if slices.spread is not None:
                spread[k].add(slices.spread.mean(axis=0))
            if slices.norm is not None:
                norm[k].add(slices.norm)
            if true is not None:
                compared = with_truth(slices, true, problem, rows())
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
