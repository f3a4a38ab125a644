"""Recognise likely mistakes: probabilities read as scores, and a β that does not fit the scores.

A hint is a note with the figure it rests on. None depends on the order in which threads work.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import parameter

if TYPE_CHECKING:
    from softargmax_cli.reduction.problem import Problem
    from softargmax_cli.reduction.result import Slices

UNIFORM = 2
"""The largest ratio of the peak to the mean weight of nearly uniform weights."""
CONSTANT = 1e-5
"""The relative error allowed in the peak of constant scores."""
SHORTEST = 8
"""The least length of a slice whose weights may count as nearly uniform."""
ENOUGH = 1 << 16
"""The entries of a block that are examined, or one position along the first kept axis if that has more."""


def tolerance(count: int) -> float:
    """Return the error allowed in the sum of `count` probabilities: those in text files have few digits."""
    return min(5e-4 * count, 0.02) + 1e-6


class Lookalike:
    """Tell scores from probabilities, which are not negative and sum to 1 in every block that is examined.

    Slices of zeros and a one are labels, for which it makes no difference. Any thread may examine any block: the
    result does not depend on the order. After the first block of other scores, examining costs nothing.
    """

    def __init__(self) -> None:
        self._refuted = self._fractions = False
        self._furthest = 0.0
        """The largest distance of a sum from 1."""

    def hint(self) -> str:
        """Return the note, empty unless all examined slices could be probabilities, and some are no labels."""
        if self._refuted or not self._fractions:
            return ""
        what = f"slices sum to 1 (within {max(self._furthest, 1e-6):.1g}) and look like probabilities"
        return f"{what}; {parameter('kind', 'probs')} takes them as weights"

    def join(self, other: Lookalike) -> None:
        """Take into account the blocks that another one has examined."""
        self._refuted |= other._refuted
        self._fractions |= other._fractions
        self._furthest = max(self._furthest, other._furthest)

    def look(self, values: npt.NDArray[Any], axes: Sequence[int]) -> None:
        """Examine the first slices of a block, reduced over `axes`."""
        if self._refuted:
            return
        count = math.prod(values.shape[axis] for axis in axes)
        if (first := next((k for k in range(values.ndim) if k not in axes), None)) is not None:
            each = max(1, values.size // max(1, values.shape[first]))
            values = values[(slice(None),) * first + (slice(max(1, ENOUGH // each)),)]
        with np.errstate(invalid="ignore", over="ignore"):  # a file's NaN may be a signalling one
            if values.dtype.kind != "f" or count < 2 or not values.min(initial=0) >= 0:
                self._refuted = True
                return
            furthest = float(abs(values.sum(axis=tuple(axes), dtype=np.float64) - 1).max(initial=0.0))
            if not furthest <= tolerance(count):
                self._refuted = True
                return
            self._furthest = max(self._furthest, furthest)
            if not self._fractions and ((values > 0) & (values < 1)).any():
                self._fractions = True


class Uniformity:
    """Count the slices whose weights are nearly uniform though their scores are not constant."""

    def __init__(self, problem: Problem) -> None:
        lengths = [problem.shape[axis] or 0 for axis in problem.axes]  # 0 for a table of unknown length
        self._length, self._beta = math.prod(lengths), problem.beta
        self._fit = problem.kind != "probs" and problem.window is None and self._length >= SHORTEST
        self._slices = self._uniform = 0

    def add(self, slices: Slices) -> None:
        """Take a run of slices into account."""
        if self._fit:
            ratio = slices.peak * self._length
            self._slices += len(slices)
            self._uniform += int(np.count_nonzero((ratio > 1 + CONSTANT) & (ratio < UNIFORM)))

    def hint(self) -> str:
        """Return the note, empty if most slices have a peak."""
        if 2 * self._uniform <= self._slices:
            return ""
        return (
            f"the weights of {self._uniform:,} of {self._slices:,} slices are nearly uniform (peak below "
            f"{UNIFORM}/{self._length}): β {self._beta:g} is small for these scores, and soft is pulled to the middle; "
            "softargmax sweep shows which β fits"
        )
