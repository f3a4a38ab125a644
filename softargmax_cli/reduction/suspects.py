"""Slices that may lie too far off under a β between those that were tried, kept lest the file be read once more.

With weights w relative to that of the maximum, and distances d from it, soft − hard lies between the sums of w d to the
left and to the right of the maximum, which come nearer to 0 as β grows. The larger of them is (Σ w |d| + |Σ w d|) / 2,
and Σ w |d| ≤ √(Σ w · Σ w d²), all without the maximum itself. A slice that is near enough by this bound stays so.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.mapping import Array, collapse

Float = npt.NDArray[np.float64]

NEAR = 0.999
"""As a part of the tolerance: what lies nearer is near enough, whatever is rounded."""
LOST = 1e-6
"""What sums of weights in single precision may lack."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Some of a block's slices."""

    slices: Array
    """(m, …): their scores, along the reduced axes in the order of the array."""
    reach: npt.NDArray[np.intp]
    """(m,): under how many β, from the lowest on, each may be too far off."""


class Suspects:
    """Gathers them while all blocks pass, as long as there is room; `betas` are those that are tried, ascending."""

    def __init__(self, tolerance: float, betas: Sequence[float], room: int) -> None:
        self._limit, self._betas, self._room = NEAR * tolerance, betas, room
        self._held: list[Kept] = []
        self._nbytes = 0
        self._first = 0
        """Number of the β from which on all of them are held."""

    def reach(self, mass: Float, offset: Float, second: Float, scale: Float) -> npt.NDArray[np.intp]:
        """(s,): under how many β each slice may be too far off; 0 where it is not, under those for which all are held.

        mass (b, s): Σ w; offset, second (a, b, s): |Σ w d| / Σ w and Σ w d², d in positions; scale (a, 1): coordinate
        units in one.
        """
        found = np.zeros(mass.shape[1], np.intp)
        for k in range(self._first, len(self._betas)):
            bound = np.sqrt(np.maximum((mass[k] - (1 - LOST)) * second[:, k], 0)) + offset[:, k] * mass[k]
            far = (bound * scale > 2 * self._limit).any(axis=0)
            if not far.any():  # nor is any under a larger β
                break
            found[far] = k + 1
        return found

    def among(self, values: Array, axes: Sequence[int], reach: npt.NDArray[np.intp]) -> Kept:
        """Those of a block of whole slices, which come in its memory order; the scores are copied."""
        x, places = collapse(values, axes)
        moved = np.moveaxis(x, places, range(x.ndim - len(places), x.ndim))
        which = np.flatnonzero(reach > self._first)
        index = np.unravel_index(which, moved.shape[: x.ndim - len(places)]) if x.ndim > len(places) else None
        return Kept(moved[None] if index is None else moved[index], reach[which])

    def add(self, kept: Kept | None) -> None:
        """Take in what `among` found; None where a block held no whole slices, so that all is in vain."""
        if kept is None:
            self._first = len(self._betas)
            self._held.clear()
            return
        self._held.append(kept)
        self._nbytes += kept.slices.nbytes
        while self._nbytes > self._room:
            self._first += 1
            self._held = [_beyond(some, self._first) for some in self._held]
            self._nbytes = sum(some.slices.nbytes for some in self._held)

    def above(self, beta: float) -> npt.NDArray[Any] | None:
        """(m, …): the scores of all slices that may be too far off under this β or a larger one; None if not all are
        held, or none is."""
        number = bisect.bisect_right(self._betas, beta) - 1
        if not self._first <= number < len(self._betas):
            return None
        some = [_beyond(kept, number).slices for kept in self._held]
        return np.concatenate(some) if any(map(len, some)) else None


def _beyond(kept: Kept, first: int) -> Kept:
    which = kept.reach > first
    return kept if which.all() else Kept(kept.slices[which], kept.reach[which])
