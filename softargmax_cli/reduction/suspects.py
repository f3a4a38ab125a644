"""Slices that may lie too far off under a β between those that were tried, kept lest the file be read once more.

With weights w relative to that of the maximum, and distances d from it, soft − hard lies between the sums of w d to the
left and to the right of the maximum, which come nearer to 0 as β grows. The larger of them is (Σ w |d| + |Σ w d|) / 2,
and Σ w |d| ≤ √(Σ w · Σ w d²), all without the maximum itself. A slice that is near enough by this bound stays so.
"""

from __future__ import annotations

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
        self._first = 0
        """Number of the β from which on all of them are held."""

    def reach(self, mass: Float, first: Float, second: Float) -> npt.NDArray[np.intp]:
        """(s,): under how many β each slice may be too far off.

        mass (b, s): Σ w; first, second (a, b, s): |Σ w d| and Σ w d² in coordinate units.
        """
        bound = (mass - (1 - LOST)) * second
        np.sqrt(np.maximum(bound, 0, out=bound), out=bound)
        bound += first
        far: npt.NDArray[np.bool_] = np.any(bound > 2 * self._limit, axis=0)
        last: npt.NDArray[np.intp] = len(far) - np.argmax(far[::-1], axis=0)
        return np.where(far.any(axis=0), last, 0)

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
        while sum(some.slices.nbytes for some in self._held) > self._room:
            self._first += 1
            self._held = [_beyond(some, self._first) for some in self._held]

    def cover(self, beta: float) -> bool:
        """Whether there are any, and no other slice can be too far off under this β, or a larger one."""
        held = any(len(some.reach) for some in self._held)
        return held and self._first < len(self._betas) and self._betas[self._first] <= beta

    @property
    def slices(self) -> npt.NDArray[Any]:
        """(m, …): the scores of all that are held. There must be one."""
        return np.concatenate([some.slices for some in self._held])


def _beyond(kept: Kept, first: int) -> Kept:
    which = kept.reach > first
    return kept if which.all() else Kept(kept.slices[which], kept.reach[which])
