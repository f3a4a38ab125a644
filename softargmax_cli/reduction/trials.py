"""Conclude which β, and which window, brings soft closest to the truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from softargmax_cli.reduction.budget import REDUCTION, Needs
from softargmax_cli.reduction.engine import reduce_several
from softargmax_cli.reduction.order import Scratch
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.readable import Readable
from softargmax_cli.reduction.result import Summary
from softargmax_cli.reduction.truth import Float, compared_with_truth

if TYPE_CHECKING:
    from softargmax_cli.tensorflow.base import Runtime


@dataclass(frozen=True, slots=True)
class Trial:
    """One β and window, and what they do to all slices; NaN where no slice has an answer and a truth."""

    beta: float
    window: int | None
    mean_error: float
    max_abs_offset: float
    mean_abs_offset: float
    agreement: float


@dataclass(frozen=True, slots=True)
class Trials:
    """The results of several β and windows over a file."""

    trials: Sequence[Trial]
    hard_error: float
    """The mean error of hard."""
    slices: int
    missing: int
    undefined: int

    @property
    def best(self) -> Trial | None:
        """The trial whose mean error is least, the first of those alike; None where no slice can be compared."""
        known = [trial for trial in self.trials if not math.isnan(trial.mean_error)]
        return min(known, key=lambda trial: trial.mean_error, default=None)


def needs_of(betas: Sequence[float], windows: Sequence[int | None]) -> Needs:
    """Tell what trials of so many β and windows ask of memory and of their input."""
    return replace(REDUCTION, states=len(betas) * len(windows))


def compare(
    source: Readable,
    problem: Problem,
    runtime: Runtime,
    *,
    betas: Sequence[float],
    windows: Sequence[int | None],
    truth: Callable[[int, Sequence[str] | None], Float],
    rows: Callable[[], int],
    memory: int,
    advance: Callable[[int], None] = lambda nbytes: None,
    note: Callable[[str], None] = lambda text: None,
    scratch: Scratch | None = None,
) -> Iterator[Trials]:
    """Yield once how far soft lies from the truth at every β within every window, found in one pass.

    truth: reads that of the next slices, with these ids, (a, m); rows: tells the length of a table's first axis at its
    end. Else as `engine.reduce`, with `needs_of`; the window of `problem` is one of those tried.
    """
    tried = [(beta, window) for window in windows for beta in betas]
    problems = [replace(problem, beta=beta, window=window) for beta, window in tried]
    summaries, errors = [Summary() for _ in tried], [_Mean() for _ in tried]
    hard, missing = _Mean(), 0
    given: dict[str, Any] = {"memory": memory, "advance": advance, "note": note, "scratch": scratch}
    for answers in reduce_several(source, problems, runtime, **given):
        true = truth(len(answers[0]), answers[0].ids)
        missing += int(np.count_nonzero(np.isnan(true).any(axis=0)))
        hard.add(compared_with_truth(answers[0], true, problem, rows()).hard_error)
        for slices, summary, error in zip(answers, summaries, errors, strict=True):
            summary.add(slices)
            error.add(compared_with_truth(slices, true, problem, rows()).soft_error)
    trials = [
        Trial(beta, window, error.mean, summary.max_abs_offset, summary.mean_abs_offset, summary.agreement)
        for (beta, window), summary, error in zip(tried, summaries, errors, strict=True)
    ]
    yield Trials(trials, hard.mean, summaries[0].slices, missing, summaries[0].undefined)


class _Mean:
    """The mean of numbers, NaN left out."""

    def __init__(self) -> None:
        self._count, self._sum = 0, 0.0

    def add(self, numbers: Float) -> None:
        numbers = numbers[~np.isnan(numbers)]
        self._count += numbers.size
        self._sum += float(numbers.sum())

    @property
    def mean(self) -> float:
        return self._sum / self._count if self._count else math.nan
