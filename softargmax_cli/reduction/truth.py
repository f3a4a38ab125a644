"""Measure the errors of hard and soft against the truth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import IO

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.coordinates import Geometry
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.result import Slices

Float = npt.NDArray[np.float64]

ESTIMATES = ("hard", "soft")
NUMBERS = ("mean_error", "median_error", "rmse", "p95_error", "max_error")
"""The numbers of `Errors`."""
AT_A_TIME = 1 << 16
"""The number of stored errors of another input that are read at a time."""


def with_truth(slices: Slices, truth: Float, problem: Problem, rows: int) -> Slices:
    """Put `truth`, (a, m), and the errors of hard and soft, (m,), beside slices; NaN if either is unknown.

    rows: the length of a table's first axis, known only at its end.
    """
    along = [c if c.length else c.of(rows) for c in problem.coordinates]
    hard = np.array([np.where(at < 0, np.nan, c.at(at)) for c, at in zip(along, slices.hard, strict=True)])
    shapes = [c.geometry for c in along]
    errors = {"hard_error": _distance(hard, truth, shapes), "soft_error": _distance(slices.soft, truth, shapes)}
    return replace(slices, columns={**slices.columns, "truth": truth, **errors})


def _distance(estimate: Float, truth: Float, shapes: Sequence[Geometry]) -> Float:
    """Return the Euclidean distance of points, (a, m) each, (m,), on circles by the shorter way."""
    with np.errstate(invalid="ignore", over="ignore"):
        apart = [np.abs(shape.shorter(row)) for shape, row in zip(shapes, estimate - truth, strict=True)]
        return apart[0] if len(apart) == 1 else np.sqrt(np.square(apart).sum(axis=0))


class Errors:
    """The distances of one estimate from the truth, in coordinate units; NaN if no slice has both.

    limits: distances within which slices are counted; scratch: a file in which errors wait.
    """

    def __init__(self, name: str, limits: Sequence[float], scratch: IO[bytes]) -> None:
        self.name, self._scratch = name, scratch
        self._known = self._count = 0
        self._counts = dict.fromkeys(limits, 0)

    def add(self, errors: Float, known: int) -> None:
        """Take into account the errors of more slices, of which `known` have a truth."""
        errors = errors[~np.isnan(errors)]
        self._known += known
        self._count += errors.size
        for limit in self._counts:
            self._counts[limit] += int(np.count_nonzero(errors <= limit))
        self._scratch.write(np.ascontiguousarray(errors).data)

    def join(self, other: Errors) -> None:
        """Take into account the errors of another input."""
        self._known += other._known
        for part in np.array_split(other._stored(), 1 + other._count // AT_A_TIME):
            self.add(part, 0)

    @property
    def within(self) -> dict[float, float]:
        """For each limit, the share of the slices with a truth whose error is no larger."""
        return {limit: n / self._known if self._known else math.nan for limit, n in self._counts.items()}

    def numbers(self) -> dict[str, float]:
        """Return mean, median, root mean square, 95th percentile and maximum under their public names."""
        errors = self._stored()
        if not self._count:
            return dict.fromkeys(NUMBERS, math.nan)
        mean, rmse = errors.mean(), math.sqrt(np.dot(errors, errors) / self._count)
        with np.errstate(invalid="ignore"):
            median, p95 = np.percentile(errors, (50, 95), overwrite_input=True)
        found = map(float, (mean, median, rmse, p95, errors.max()))
        return dict(zip(NUMBERS, found, strict=True))

    def _stored(self) -> Float:
        self._scratch.flush()
        return np.memmap(self._scratch, np.float64, "r+", shape=(self._count,)) if self._count else np.zeros(0)


class Evaluation:
    """The errors of every estimate, for slices that have come `with_truth`, block by block.

    limits: as for `Errors`; scratch: a file for each of `ESTIMATES`.
    """

    def __init__(self, limits: Sequence[float], scratch: Sequence[IO[bytes]]) -> None:
        self.slices = 0
        self.missing = 0
        """The number of slices without a truth; they count in nothing else."""
        self.undefined = 0
        """The number of slices with a truth, but without an answer."""
        self.estimates = [Errors(name, limits, file) for name, file in zip(ESTIMATES, scratch, strict=True)]

    def add(self, slices: Slices) -> None:
        """Take into account the next slices."""
        known = ~np.isnan(slices.truth).any(axis=0)
        self.slices += len(slices)
        self.missing += int(np.count_nonzero(~known))
        self.undefined += int(np.count_nonzero(np.isnan(slices.soft_error) & known))
        for errors in self.estimates:
            errors.add(slices.column(f"{errors.name}_error"), int(np.count_nonzero(known)))

    def numbers(self) -> list[dict[str, float]]:
        """Return the numbers of each estimate."""
        return [errors.numbers() for errors in self.estimates]

    def join(self, other: Evaluation) -> None:
        """Take into account the slices of another input."""
        self.slices += other.slices
        self.undefined += other.undefined
        self.missing += other.missing
        for mine, others in zip(self.estimates, other.estimates, strict=True):
            mine.join(others)

    def as_dict(self) -> Mapping[str, int]:
        """Return the counts under their public names."""
        return {"slices": self.slices, "missing": self.missing, "undefined": self.undefined}
