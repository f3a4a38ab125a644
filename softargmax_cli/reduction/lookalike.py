"""Scores that look like something else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

SAMPLE = 256
"""Slices that are looked at."""
ROUNDED = 5e-4
"""How far each probability may be off: those in text files have few digits."""
FURTHEST = 0.02
"""How far from 1 their sum may be in the end."""


def tolerance(count: int) -> float:
    """How far from 1 the sum of so many probabilities may be."""
    return min(ROUNDED * count, FURTHEST) + 1e-6


def look_like_weights(values: npt.NDArray[Any], axes: Sequence[int]) -> bool:
    """Whether the first slices of a block, reduced over `axes`, could be probabilities: not negative, with sum 1.

    Where all of them are zeros and a one, they are labels, and it makes no difference.
    """
    count = math.prod(values.shape[axis] for axis in axes)
    if values.dtype.kind != "f" or count < 2:
        return False
    last = range(values.ndim - len(axes), values.ndim)
    slices = np.moveaxis(values, axes, last)
    slices = slices.reshape(-1, *slices.shape[-len(axes) :])[:SAMPLE]
    with np.errstate(invalid="ignore", over="ignore"):  # a file's NaN may be a signalling one
        slices = slices.astype(np.float64)
        sums = slices.sum(axis=tuple(range(1, slices.ndim)))
        sound = (slices >= 0).all() and (abs(sums - 1) <= tolerance(count)).all()
        return bool(sound and ((slices > 0) & (slices < 1)).any())
