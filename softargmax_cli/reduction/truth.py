"""Conclude how far hard and soft lie from the truth."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.moments import Geometry
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.result import Slices, Summary

Float = npt.NDArray[np.float64]

ESTIMATES = ("hard", "soft")
PERCENTILES = (50, 95)
NUMBERS = ("mean_error", "median_error", "rmse", "p95_error", "max_error")
"""The numbers of `Errors`."""


@dataclass(frozen=True, slots=True)
class Errors:
    """How far one estimate lies from the truth, in coordinate units; NaN where no slice has both."""

    name: str
    mean_error: float
    median_error: float
    rmse: float
    p95_error: float
    max_error: float
    within: Mapping[float, float]
    """For some distances, the share of all slices with a truth whose error is no larger."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How far every estimate lies from the truth."""

    slices: int
    missing: int
    """Slices whose truth is not known; they count in nothing else."""
    undefined: int
    """Slices with a truth and no answer; they are within no distance, and count in no mean."""
    estimates: Sequence[Errors]


def compared_with_truth(slices: Slices, truth: Float, problem: Problem, rows: int) -> Slices:
    """Put `truth`, (a, m), and the errors of hard and soft, (m,), beside slices; NaN where either is not known.

    rows: the length of a table's first axis, which only its end tells.
    """
    lengths = [rows if (n := problem.shape[axis]) is None else n for axis in problem.axes]
    along = [*zip(problem.coordinates, slices.hard, lengths, strict=True)]
    hard = np.array([np.where(at < 0, np.nan, coords.at(at, n)) for coords, at, n in along])
    shapes = [coords.geometry(n) for coords, _, n in along]
    errors = {"hard_error": distance(hard, truth, shapes), "soft_error": distance(slices.soft, truth, shapes)}
    return replace(slices, columns={**slices.columns, "truth": truth, **errors})


def distance(estimate: Float, truth: Float, shapes: Sequence[Geometry]) -> Float:
    """Return the Euclidean distance of points, (a, m) each, (m,), on circles by the shorter way."""
    with np.errstate(invalid="ignore", over="ignore"):
        apart = [np.abs(shape.shorter(row)) for shape, row in zip(shapes, estimate - truth, strict=True)]
        return apart[0] if len(apart) == 1 else np.sqrt(np.square(apart).sum(axis=0))


class Evaluator(Summary):
    """Sum up slices that were `compared_with_truth`, block by block.

    within: distances whose share is wanted; scratch: a file for each of `ESTIMATES`, in which errors wait for their
    percentiles.
    """

    def __init__(self, within: Sequence[float], scratch: Sequence[IO[bytes]]) -> None:
        super().__init__()
        self._missing = 0
        self._tallies = [_Tally(name, within, file) for name, file in zip(ESTIMATES, scratch, strict=True)]

    def add(self, slices: Slices) -> None:
        """Take the next slices into account."""
        known = ~np.isnan(slices.truth).any(axis=0)
        self.slices += len(slices)
        self._missing += int(np.count_nonzero(~known))
        self.undefined += int(np.count_nonzero(np.isnan(slices.soft_error) & known))
        for tally in self._tallies:
            tally.add(slices.column(f"{tally.name}_error"))

    def join(self, other: Summary) -> None:
        """Take into account the slices of another input."""
        assert isinstance(other, Evaluator)
        self.slices += other.slices
        self.undefined += other.undefined
        self._missing += other._missing
        for mine, others in zip(self._tallies, other._tallies, strict=True):
            mine.join(others)

    def evaluation(self) -> Evaluation:
        """Conclude from all that was added."""
        known = self.slices - self._missing
        errors = [tally.errors(known) for tally in self._tallies]
        return Evaluation(self.slices, self._missing, self.undefined, errors)

    def as_dict(self) -> dict[str, float | int | None]:
        """Return the counts under their public names."""
        return {"slices": self.slices, "missing": self._missing, "undefined": self.undefined}


class _Tally:
    """The errors of one estimate."""

    def __init__(self, name: str, within: Sequence[float], scratch: IO[bytes]) -> None:
        self.name, self._scratch = name, scratch
        self._within = dict.fromkeys(within, 0)
        self._count, self._sum, self._squares, self._largest = 0, 0.0, 0.0, math.nan

    def add(self, errors: Float) -> None:
        errors = errors[~np.isnan(errors)]
        if not errors.size:
            return
        self._scratch.write(np.ascontiguousarray(errors).data)
        self._count += errors.size
        with np.errstate(over="ignore"):
            self._sum += float(errors.sum())
            self._squares += float(np.dot(errors, errors))
        self._largest = float(np.fmax(self._largest, errors.max()))
        for limit in self._within:
            self._within[limit] += int(np.count_nonzero(errors <= limit))

    def join(self, other: _Tally) -> None:
        other._scratch.seek(0)
        shutil.copyfileobj(other._scratch, self._scratch)
        self._count += other._count
        self._sum += other._sum
        self._squares += other._squares
        self._largest = float(np.fmax(self._largest, other._largest))
        for limit, count in other._within.items():
            self._within[limit] += count

    def errors(self, known: int) -> Errors:
        count, percentiles = self._count, [math.nan, math.nan]
        if count:
            self._scratch.flush()
            waiting = np.memmap(self._scratch, np.float64, "r+", shape=(count,))
            with np.errstate(invalid="ignore"):
                percentiles = np.percentile(waiting, PERCENTILES, overwrite_input=True).tolist()
        shares = {limit: n / known if known else math.nan for limit, n in self._within.items()}
        mean, square = (self._sum / count, self._squares / count) if count else (math.nan, math.nan)
        return Errors(self.name, mean, percentiles[0], math.sqrt(square), percentiles[1], self._largest, shares)
