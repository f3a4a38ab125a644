"""Compute the range, mean and missing numbers of an array, and tell whether its slices sum to 1.

Blocks are reduced in threads and merged in the order of the plan, so that results do not depend on timing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.budget import REDUCTION, Budget
from softargmax_cli.reduction.hints import tolerance
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.readable import Buffer, Pending, Readable
from softargmax_cli.reduction.threads import in_threads


@dataclass(slots=True)
class Statistics:
    """Statistics of numbers. NaN and infinities are counted, and left out of everything else."""

    count: int = 0
    """The number of finite numbers."""
    nan: int = 0
    inf: int = 0
    negative_inf: int = 0
    minimum: float | int | None = None
    maximum: float | int | None = None
    fractions: bool = False
    """True if numbers strictly between 0 and 1 were found among non-negative ones."""
    checked: int = 0
    """The number of slices whose sums were checked: those without NaN."""
    not_one: int = 0
    """The number of slices whose sum is not 1."""
    total: float = 0.0

    @property
    def mean(self) -> float | None:
        """The mean in float64; None without numbers, and if the sum is beyond a float64."""
        return self.total / self.count if self.count and math.isfinite(self.total) else None

    @property
    def sums_to_one(self) -> bool | None:
        """True if all slices sum to 1; None if that was not checked."""
        return not self.not_one if self.checked and not (self.inf or self.negative_inf) else None

    def merge(self, other: Statistics) -> None:
        """Take into account the numbers of other statistics."""
        for name in ("count", "nan", "inf", "negative_inf", "checked", "not_one", "total"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.minimum = min((n for n in (self.minimum, other.minimum) if n is not None), default=None)
        self.maximum = max((n for n in (self.maximum, other.maximum) if n is not None), default=None)
        self.fractions |= other.fractions

    def check_sums(self, sums: npt.NDArray[np.float64], length: int) -> None:
        """Count the checked slices of a length, and those whose sum is not 1; NaN does not count."""
        known = sums[~np.isnan(sums)]
        self.checked += known.size
        self.not_one += int(np.count_nonzero(~(abs(known - 1) <= tolerance(length))))


def block_statistics(values: npt.NDArray[Any]) -> Statistics:
    """Reduce one block of real numbers, of any shape and memory order; sums are NumPy's, pairwise."""
    flat, found, floats = np.ravel(values, "K"), Statistics(), values.dtype.kind == "f"
    with np.errstate(invalid="ignore", over="ignore"):
        if floats and not (finite := np.isfinite(flat)).all():
            found.nan = int(np.count_nonzero(np.isnan(flat)))
            found.inf = int(np.count_nonzero(flat == np.inf))
            found.negative_inf = int(np.count_nonzero(flat == -np.inf))
            flat = flat[finite]
        if flat.size:
            number = float if floats else int
            found.count, found.minimum, found.maximum = flat.size, number(flat.min()), number(flat.max())
            found.fractions = floats and found.minimum >= 0 and bool(((flat > 0) & (flat < 1)).any())
            found.total = float(flat.sum(dtype=np.float64))
    return found


def statistics_of(source: Readable, problem: Problem, *, memory: int, advance: Callable[[int], None]) -> Statistics:
    """Read an array once, and return its statistics; `advance` is told the bytes of the input that are done.

    Slices are not checked if a pipe holds too many side by side.
    """
    axes, shape, buffer = problem.axes, problem.shape, Buffer()
    if source.sequential and Budget(REDUCTION, source, problem, memory).must_seek:
        axes, problem = (), replace(problem, axes=(0,) if source.order == "F" else (len(shape) - 1,))
    budget = Budget(REDUCTION, source, problem, memory)
    fetched = ((block, source.fetch(block)) for block in budget.plan)

    def work(task: tuple[Block, Pending | None]) -> tuple[Block, int, int, Statistics, npt.NDArray[np.float64]]:
        block, pending = task
        assert pending is not None
        values = pending.load(buffer).values
        with np.errstate(invalid="ignore", over="ignore"):
            sums = np.asarray(values.sum(axis=axes, dtype=np.float64)) if axes else np.zeros(0)
        return block, pending.nbytes, len(values), block_statistics(values), sums

    whole, rows, unfinished = Statistics(), 0, np.zeros(())
    length = math.prod(shape[axis] or 1 for axis in axes)
    tasks = itertools.takewhile(lambda task: task[1] is not None, fetched)
    for block, nbytes, count, found, sums in in_threads(work, tasks, threads=budget.workers):
        whole.merge(found)
        advance(nbytes)
        rows += count
        unfinished = unfinished + sums
        if budget.plan.completes(block):
            whole.check_sums(unfinished, length)
            unfinished = np.zeros(())
    if shape[0] is None and 0 in axes and rows:
        whole.check_sums(unfinished, length * rows)
    return whole
