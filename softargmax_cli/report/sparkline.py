"""Sparklines: the shape of a slice's scores in a few characters of a table's row."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

WIDEST = 16
"""Characters of a sparkline, of one for each index where there are fewer."""
MOST = 1 << 18
"""Scores that are looked at in all: more would be felt in the time that a run takes."""
UNKNOWN = 2048
"""Stands for a length that is not known yet."""

Float = npt.NDArray[np.float64]


def sparkling(shape: Sequence[int | None], axes: Sequence[int], rows: int) -> int:
    """Count the slices that have sparklines in a table of `rows`, 0 for all: all shown ones, or none."""
    if len(axes) > 1:
        return 0
    length = shape[axes[0]] or UNKNOWN
    slices = math.prod(UNKNOWN if n is None else n for k, n in enumerate(shape) if k not in axes)
    shown = min(rows, slices) if rows else slices
    return shown if shown * length <= MOST else 0


def sparklines(best: Float, kind: str, levels: str) -> list[str]:
    """Draw each slice as a line of characters, from the first of `levels`, its lowest score, to the last, its highest.

    best: shape (slices, cells), of each cell what weighs most: the largest score, the least cost. Cells that share a
    character show the best of them. Weights begin at 0. A blank stands for NaN.
    """
    cells = best.shape[1]
    starts = np.arange(min(WIDEST, cells)) * cells // min(WIDEST, cells)
    choose: Callable[..., Float] = (np.fmin if kind == "cost" else np.fmax).reduceat
    return [_line(row, kind, levels) for row in choose(best, starts, axis=1)]


def _line(row: Float, kind: str, levels: str) -> str:
    finite = row[np.isfinite(row)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
    if kind == "probs":
        low = min(low, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        heights = np.clip(row / 2, low / 2, high / 2) - low / 2 if high > low else np.where(row > high, 1.0, 0.0)
        top = (high / 2 - low / 2) if high > low else 1.0
        heights = np.where(np.isinf(row), row > 0, heights / top)
    heights[np.isnan(row)] = np.nan
    return "".join(
        " " if math.isnan(height) else levels[min(int(height * len(levels)), len(levels) - 1)]
        for height in heights.tolist()
    )
