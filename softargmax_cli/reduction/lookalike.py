"""Recognise probabilities that are read as scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

SAMPLE = 256
"""Slices of a block that are looked at, or fewer where they are long."""
ELEMENTS = 1 << 16
"""Entries of a block that are looked at, and one slice at least."""
ROUNDED = 5e-4
"""How far each probability may be off: those in text files have few digits."""
FURTHEST = 0.02
"""How far from 1 their sum may be in the end."""


def tolerance(count: int) -> float:
    """How far from 1 the sum of so many probabilities may be."""
    return min(ROUNDED * count, FURTHEST) + 1e-6


class Lookalike:
    """Tell scores from probabilities, which are not negative, with sum 1, in every block that is looked at.

    Where all of them are zeros and a one, they are labels, and it makes no difference. Any thread may look at any
    block: what is found does not depend on the order. After the first block of others, looking costs nothing.
    """

    def __init__(self) -> None:
        self._refuted = self._fractions = False

    @property
    def found(self) -> bool:
        """True where all that was seen could be probabilities, and some are no labels."""
        return self._fractions and not self._refuted

    def join(self, other: Lookalike) -> None:
        """Take into account all that another has looked at."""
        self._refuted |= other._refuted
        self._fractions |= other._fractions

    def look(self, values: npt.NDArray[Any], axes: Sequence[int]) -> None:
        """Look at the first slices of a block, reduced over `axes`."""
        if self._refuted:
            return
        count = math.prod(values.shape[axis] for axis in axes)
        if values.dtype.kind != "f" or count < 2:
            self._refuted = True
            return
        kept = values.ndim - len(axes)
        slices = np.moveaxis(values, axes, range(kept, values.ndim))
        room = min(SAMPLE, max(1, ELEMENTS // count))
        for k in reversed(range(kept)):
            slices = slices[(slice(None),) * k + (slice(room),)]
            room = max(1, room // max(1, slices.shape[k]))
        slices = slices.reshape(-1, *slices.shape[kept:])
        with np.errstate(invalid="ignore", over="ignore"):  # a file's NaN may be a signalling one
            slices = slices.astype(np.float64)
            sums = slices.sum(axis=tuple(range(1, slices.ndim)))
            if not ((slices >= 0).all() and (abs(sums - 1) <= tolerance(count)).all()):
                self._refuted = True
            elif ((slices > 0) & (slices < 1)).any():
                self._fractions = True
