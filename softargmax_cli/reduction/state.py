"""The state of a block, and the merge of two states: the online softmax with moments.

Weights are relative to the state's own maximum, moments centred on its own hard argmax, so that
nothing large is ever subtracted. Merging rescales by exp(β(m_part − m)) (Milakov & Gimelshein 2018,
arXiv:1805.02867) and re-centres, as for the moments of a variance (Chan, Golub & LeVeque 1979).
The merge is associative and commutative up to rounding.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from softargmax_cli.reduction.problem import Problem

Float = npt.NDArray[np.float64]
SUMS = ("mass", "moment", "second_moment", "log_moment", "ties", "slope")
"""The parts of a state that add up."""


@dataclass(frozen=True, slots=True)
class State:
    """The sums of `s` slices over a part of `a` reduced axes. Parts that were not asked for are None."""

    maximum: npt.NDArray[Any]
    """(s,) in a dtype that holds every score: the largest, −inf if there is none."""
    hard: npt.NDArray[np.int64]
    """(a, s): its first position in the whole array; axes in the order of the array."""
    mass: Float
    """(s,): Σ w, w = exp(β(x − maximum)), or x / maximum for "probs"; 0 if no score has any weight, NaN if the
    slice is spoilt."""
    moment: Float
    """(r, s): the first moments about `hard` of each of `Problem.moments` (see `coordinates.Geometry`); none if a
    second pass will find them."""
    second_moment: Float | None = None
    """(r, s): the second moments, 0 for rows without one."""
    log_moment: Float | None = None
    """(s,): Σ w ln w."""
    ties: Float | None = None
    """(s,): the number of scores that equal the maximum."""
    second: Float | None = None
    """(s,): the weight of a second mode. It needs the `hard` of the whole slice: parts have it after a second pass."""
    slope: Float | None = None
    """(a, s): Σ (w t)², t being the pull of `coordinates.Geometry` on the mean of the whole slice: parts have it after
    another pass."""

    def completed(self, sums: State, window: int | None) -> State:
        """Combine the state of earlier passes over slices with the sums of another pass, see `BlockReducer.about`.

        The first with a window sums the weights within it anew; others find a second mode and slopes.
        """
        if window is None or len(self.moment):
            return replace(self, second=self.second if sums.second is None else sums.second, slope=sums.slope)
        mass = np.where(np.isnan(self.mass), np.nan, sums.mass)
        return replace(sums, maximum=self.maximum, hard=self.hard, mass=mass, ties=self.ties)

    def shifted(self, start: Sequence[int]) -> State:
        """Add `start` to positions, along each reduced axis."""
        return replace(self, hard=self.hard + np.array(start, np.int64)[:, None]) if any(start) else self

    def some(self, slices: slice) -> State:
        """Return the state of a range of the slices."""
        columns: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: part[..., slices] for name, part in columns.items() if part is not None})


def merge(a: State, b: State, problem: Problem) -> State:
    """Merge two states of the same slices, over disjoint parts of the reduced axes, without `second`."""
    a_leads = (a.maximum > b.maximum) | ((a.maximum == b.maximum) & _precedes(a.hard, b.hard))
    maximum = np.where(a_leads, a.maximum, b.maximum)
    hard = np.where(a_leads, a.hard, b.hard)
    left, right = (_move(part, maximum, hard, problem) for part in (a, b))
    return added(left, right)


def added(a: State, b: State) -> State:
    """Add two states of disjoint parts of the reduced axes that are about one maximum and one place."""
    sums: dict[str, Any] = {name: _sum(getattr(a, name), getattr(b, name)) for name in SUMS}
    second = None if a.second is None or b.second is None else np.maximum(a.second, b.second)
    return replace(a, **sums, second=second)


def _precedes(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Tell for each slice whether position a comes before b, compared axis by axis."""
    before: npt.NDArray[np.bool_] = a[-1] < b[-1]
    for p, q in zip(a[-2::-1], b[-2::-1], strict=True):
        before = np.where(p == q, before, p < q)
    return before


def _move(part: State, maximum: npt.NDArray[Any], hard: npt.NDArray[np.int64], problem: Problem) -> State:
    """Weigh a state relative to `maximum`, and centre it on `hard`."""
    log_scale = _log_scale(part.maximum, maximum, problem.beta)
    scale = np.exp(log_scale)
    moment, seconds = np.empty_like(part.moment), part.second_moment
    second_moment = None if seconds is None else np.zeros_like(seconds)
    for k, row in enumerate(problem.moments[: len(moment)]):
        by = row.along.distance(part.hard[row.axis], hard[row.axis])
        second = seconds[k] if row.squared and seconds is not None else None
        moment[k], second = row.geometry.moved(part.moment[k], second, part.mass, by)
        if second is not None and second_moment is not None:
            second_moment[k] = second * scale
    log_moment = None
    if part.log_moment is not None:
        log_moment = scale * part.log_moment + np.where(scale == 0, 0.0, log_scale) * (part.mass * scale)
    ties = None if part.ties is None else np.where(part.maximum == maximum, part.ties, 0.0)
    return State(maximum, hard, part.mass * scale, moment * scale, second_moment, log_moment, ties)


def _log_scale(part: npt.NDArray[Any], maximum: npt.NDArray[Any], beta: float | None) -> Float:
    """Return ln of the weight of a score `part` relative to that of `maximum`, which is no less."""
    same = part == maximum  # also if both are infinite, and have no difference
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if beta is None:
            share = np.where(maximum > 0, np.maximum(part, 0) / maximum.astype(np.float64), 0.0)
            return np.asarray(np.log(np.where(same, 1.0, share)))
        if maximum.dtype.kind in "iu":  # wraps around to the right answer
            gap = (maximum.astype(np.uint64) - part.astype(np.uint64)).astype(np.float64)
        else:
            gap = np.subtract(maximum, part, dtype=np.float64)
        return np.asarray(-beta * np.where(same, 0.0, gap))


def _sum(a: Float | None, b: Float | None) -> Float | None:
    return None if a is None or b is None else a + b


Merge = Callable[[State, State], State]


class Fold:
    """Merge states as they come, each group of `width` from the left, then the groups likewise.

    `cluster.reduction` builds the same tree, so that one machine and many give the same bits. No more than one state
    waits on each level.
    """

    def __init__(self, merge: Merge, width: int) -> None:
        self._merge, self._width = merge, width
        self._levels: list[tuple[State | None, int]] = []
        """For each level the state of the growing group, and the number of states in it."""

    def add(self, state: State | None) -> None:
        """Take the next state; None takes a place in its group, and adds nothing."""
        for level in itertools.count():
            if level == len(self._levels):
                self._levels.append((None, 0))
            group, count = self._levels[level]
            state = self._both(group, state)
            if count + 1 < self._width:
                self._levels[level] = (state, count + 1)
                return
            self._levels[level] = (None, 0)

    def whole(self) -> State:
        """Return all states merged into one; there must be at least one."""
        result: State | None = None
        for group, _ in self._levels:  # the lowest holds what came last
            result = self._both(group, result)
        assert result is not None
        return result

    def _both(self, a: State | None, b: State | None) -> State | None:
        return a or b if a is None or b is None else self._merge(a, b)
