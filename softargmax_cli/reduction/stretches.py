"""The scores of a block made ready to be weighed: in stretches that sums can hold, or picked out where few count."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.formulas import TILE
from softargmax_cli.reduction.layout import F4

Array = npt.NDArray[Any]
Float = npt.NDArray[np.float64]

STRETCH = 4096
"""Positions that are weighed together in double precision, whose sums need no shorter ones."""


@dataclass(frozen=True, slots=True)
class Stretches:
    """Stretches of `n` scores: `s` slices of `t` each, side by side, reduced over `a` axes."""

    gap: Array
    """(n, s · t)"""
    inner: Sequence[Array | None]
    """For each axis, (n, 1) or (n, s · t): positions within a stretch; None where all of it lies at one."""
    center: Array
    """(a, s · t): the point of a stretch nearest to `hard`, about which is summed, counted as `inner` is."""
    shift: Float
    """(a, s, t): how far that is from `hard`."""
    values: Sequence[Array]
    """For each axis, (n, s · t): distances of values from that at `hard`, where coordinates are values."""


def longest_of(precision: np.dtype[Any]) -> int:
    """Scores of a slice that are summed at once."""
    return TILE if precision == F4 else STRETCH


def stretches(gap: Array, hard: Array, places: Sequence[Float], place: Float | None) -> Stretches:
    """All scores of (…, s), in stretches along the last axis where they are too many to be summed at once."""
    *lengths, s = gap.shape
    a, longest = len(lengths), longest_of(gap.dtype)
    if (n := math.prod(lengths)) <= longest:
        low: Array = np.zeros((a, 1), np.int64)
        inner: list[Array | None] = [along[:, None] for along in np.indices(lengths).reshape(a, n)]
        extent = lengths
    else:
        n = min(longest, lengths[-1])
        tiles = -(-lengths[-1] // n)
        if spare := tiles * n - lengths[-1]:
            gap = np.pad(gap, [(0, 0)] * (a - 1) + [(0, spare), (0, 0)], constant_values=-np.inf)
        gap = np.moveaxis(gap.reshape(-1, n, s), 1, 0).swapaxes(1, 2)
        low = np.indices([*lengths[:-1], tiles]).reshape(a, -1)
        low[-1] *= n
        inner = [None] * (a - 1) + [np.arange(n)[:, None]]
        extent = [1] * (a - 1) + [n]
    t = low.shape[1]
    nearest = np.clip(hard[:, :, None], low[:, None], low[:, None] + np.reshape(extent, (-1, 1, 1)) - 1)
    values = []
    if place is not None:
        for along, first, known, there in zip(inner, low, places, place, strict=True):
            at = np.minimum(first + (0 if along is None else along), len(known) - 1)  # (n or 1, t)
            distance = known[at][:, None] - there[:, None]
            values.append(np.ascontiguousarray(np.broadcast_to(distance, (n, s, t))).reshape(n, s * t))
    center = (nearest - low[:, None]).reshape(a, s * t)
    shift = (nearest - hard[:, :, None]).astype(np.float64)
    return Stretches(gap.reshape(n, s * t), inner, center, shift, values)


def picked(
    gap: Array, heavy: Array, counts: Array, hard: Array, places: Sequence[Float], place: Float | None
) -> Stretches:
    """Those scores of (…, s) that are `heavy`, (n, s), `counts` of each slice, below each other."""
    s = heavy.shape[1]
    n = -(-int(counts.max(initial=1)) // 8) * 8  # few shapes: each is compiled
    column = np.repeat(np.arange(s), counts)
    row = np.flatnonzero(np.ascontiguousarray(heavy.T)) - column * len(heavy)
    to = (np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)) * s + column
    some, position = np.full((n, s), -np.inf, gap.dtype), np.zeros((n, s), np.int32)
    some.reshape(-1)[to] = gap.reshape(-1)[row * s + column]
    position.reshape(-1)[to] = row
    inner: list[Array] = [position]
    if gap.ndim > 2:
        inner = [*np.unravel_index(position, gap.shape[:-1])]
    values = []
    if place is not None:
        values = [known[at] - there for known, at, there in zip(places, inner, place, strict=True)]
    return Stretches(some, inner, hard, np.zeros((len(hard), s, 1)), values)
