"""The state of a block, and the merge of two states: the online softmax with moments.

Weights are relative to the state's own maximum, moments centred on its own hard argmax, so that
nothing large is ever subtracted. Merging rescales by exp(β(m_part − m)) (Milakov & Gimelshein 2018,
arXiv:1805.02867) and re-centres, as for the moments of a variance (Chan, Golub & LeVeque 1979).
The merge is associative and commutative up to rounding, with `identity` as its neutral element.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

NOWHERE = np.iinfo(np.int64).max
"""The position of no score: behind all others."""

PER_AXIS = ("second_moment", "place", "value_moment")
"""Optional parts of a state with a number for each reduced axis."""

Float = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class State:
    """The sums of `s` slices over a part of `a` reduced axes. Parts that nobody asked for are None."""

    maximum: npt.NDArray[Any]
    """(s,) in a dtype that holds every score: the largest, −inf where there is none."""
    hard: npt.NDArray[np.int64]
    """(a, s): where it first occurs, in the whole array; axes in the order of the array."""
    mass: Float
    """(s,): Σ w, w = exp(β(x − maximum)), or x / maximum of weights. 0 where no score has any weight, NaN where the
    slice is spoilt."""
    moment: Float
    """(a, s): Σ w (i − hard)."""
    second_moment: Float | None = None
    """(a, s): Σ w (i − hard)², or of values where there are any."""
    log_moment: Float | None = None
    """(s,): Σ w ln w."""
    ties: Float | None = None
    """(s,): how many scores equal the maximum."""
    place: Float | None = None
    """(a, s): the value at `hard`, where coordinates are values."""
    value_moment: Float | None = None
    """(a, s): Σ w (v − place)."""
    second: Float | None = None
    """(s,): the weight of a second mode. It needs the `hard` of the whole slice: parts have it after a second pass."""

    @classmethod
    def identity(cls, slices: int, axes: int, dtype: npt.DTypeLike = np.float64, *, wanted: Collection[str]) -> State:
        """Return the state of no scores at all, of `dtype`, with the optional parts that are `wanted`."""
        zeros, per_axis = np.zeros(slices), np.zeros((axes, slices))
        dtype = np.dtype(dtype)
        lowest = np.full(slices, -np.inf if dtype.kind == "f" else np.iinfo(dtype).min, dtype)
        parts = {name: per_axis if name in PER_AXIS else zeros for name in wanted}
        return cls(lowest, np.full((axes, slices), NOWHERE), zeros, per_axis, **parts)

    def placed(self, values: Sequence[Float]) -> State:
        """Add the value at `hard`, given (n,) values along each reduced axis."""
        pairs = zip(values, self.hard, strict=True)
        return replace(self, place=np.array([places[np.minimum(at, len(places) - 1)] for places, at in pairs]))

    def completed(self, sums: State, windowed: bool) -> State:
        """Add the sums of a second pass to what a first pass over the slices found.

        windowed: whether these are of other weights than those of the first; else only `second` is new.
        """
        if not windowed:
            return replace(self, second=sums.second)
        mass = np.where(np.isnan(self.mass), np.nan, sums.mass)
        return replace(
            sums,
            maximum=self.maximum,
            hard=self.hard,
            mass=mass,
            ties=self.ties,
            place=self.place,
        )

    def shifted(self, start: Sequence[int]) -> State:
        """Count positions from `start` further to the left, along each reduced axis."""
        shift = np.array(start, np.int64).reshape(-1, *[1] * (self.hard.ndim - 1))
        return replace(self, hard=self.hard + shift) if any(start) else self

    def first(self, count: int) -> State:
        """Return the state of the first `count` slices."""
        parts: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: part[..., :count] for name, part in parts.items() if part is not None})


def merge(a: State, b: State, beta: float | Float | None) -> State:
    """Merge two states of the same slices, over disjoint parts of the reduced axes, without `second`.

    beta: None where the scores are weights; (b, 1) where the states have several (see `multi_beta`).
    """
    a_leads = (a.maximum > b.maximum) | ((a.maximum == b.maximum) & _precedes(a.hard, b.hard))
    maximum = np.where(a_leads, a.maximum, b.maximum)
    hard = np.where(a_leads, a.hard, b.hard)
    place = None if a.place is None or b.place is None else np.where(a_leads, a.place, b.place)
    left, right = (_move(part, maximum, hard, place, _log_scale(part.maximum, maximum, beta)) for part in (a, b))
    return State(
        maximum,
        hard,
        left.mass + right.mass,
        left.moment + right.moment,
        _sum(left.second_moment, right.second_moment),
        _sum(left.log_moment, right.log_moment),
        _sum(left.ties, right.ties),
        place,
        _sum(left.value_moment, right.value_moment),
    )


def added(a: State, b: State) -> State:
    """Add two states of disjoint parts of the reduced axes that are about one maximum and one place."""
    return replace(
        a,
        mass=a.mass + b.mass,
        moment=a.moment + b.moment,
        second_moment=_sum(a.second_moment, b.second_moment),
        log_moment=_sum(a.log_moment, b.log_moment),
        value_moment=_sum(a.value_moment, b.value_moment),
        second=None if a.second is None or b.second is None else np.maximum(a.second, b.second),
    )


def _precedes(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Tell where the position a comes before b, compared axis by axis."""
    before: npt.NDArray[np.bool_] = a[-1] < b[-1]
    for p, q in zip(a[-2::-1], b[-2::-1], strict=True):
        before = np.where(p == q, before, p < q)
    return before


def _move(
    part: State, maximum: npt.NDArray[Any], hard: npt.NDArray[np.int64], place: Float | None, log_scale: Float
) -> State:
    """Weigh a state relative to `maximum`, and centre it on `hard` and on the values there."""
    scale = np.exp(log_scale)
    shift = (part.hard - hard).astype(np.float64)
    about, first = shift, part.moment
    if part.place is not None and part.value_moment is not None and place is not None:
        about, first = part.place - place, part.value_moment
    second = log = None
    if part.second_moment is not None:
        second = (part.second_moment + about * (2 * first + about * part.mass)) * scale
    if part.log_moment is not None:
        log = scale * part.log_moment + np.where(scale == 0, 0.0, log_scale) * (part.mass * scale)
    return State(
        maximum,
        hard,
        part.mass * scale,
        (part.moment + shift * part.mass) * scale,
        second,
        log,
        None if part.ties is None else np.where(part.maximum == maximum, part.ties, 0.0),
        place,
        None if part.value_moment is None else (first + about * part.mass) * scale,
    )


def _log_scale(part: npt.NDArray[Any], maximum: npt.NDArray[Any], beta: float | Float | None) -> Float:
    """Return ln of the weight of a score `part` relative to that of `maximum`, which is no less."""
    same = part == maximum  # also where both are infinite, and a difference has no meaning
    if beta is None:
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(maximum > 0, np.maximum(part, 0) / maximum.astype(np.float64), 0.0)
            log: Float = np.log(np.where(same, 1.0, share))
            return log
    with np.errstate(over="ignore"):
        scale: Float = -beta * np.where(same, 0.0, _gap(maximum, part))
        return scale


def _gap(high: npt.NDArray[Any], low: npt.NDArray[Any]) -> Float:
    """Return high − low ≥ 0. Integers wrap around to the right answer as unsigned ones; floats may be infinite."""
    if high.dtype.kind in "iu":
        return (high.astype(np.uint64) - low.astype(np.uint64)).astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        gap: Float = np.subtract(high, low, dtype=np.float64)
        return gap


def _sum(a: Float | None, b: Float | None) -> Float | None:
    return None if a is None or b is None else a + b


Merge = Callable[[State, State], State]


class Fold:
    """Merge states as they come, each group of `width` from the left, then the groups likewise.

    It is the tree that dask.array.reduction builds with `split_every`, so that one machine and many give the same bits;
    no more than one state a level waits. Without `width` there is one group. A place without a state counts, and says
    nothing.
    """

    def __init__(self, merge: Merge, width: int | None = None) -> None:
        self._merge, self._width = merge, width
        self._states: list[State | None] = []
        self._counts: list[int] = []

    def add(self, state: State | None) -> None:
        """Take the next state; None counts, and adds nothing."""
        level = 0
        while True:
            if level == len(self._counts):
                self._states.append(None)
                self._counts.append(0)
            self._states[level] = self._both(self._states[level], state)
            self._counts[level] += 1
            if self._counts[level] != self._width:
                return
            state = self._states[level]
            self._states[level], self._counts[level] = None, 0
            level += 1

    def result(self) -> State | None:
        """Return all states merged into one; None where there was none."""
        whole: State | None = None
        for state in self._states:  # the lowest level holds what came last
            whole = self._both(state, whole)
        return whole

    def whole(self) -> State:
        """Return all states merged into one; LookupError where there was none."""
        result = self.result()
        if result is None:
            raise LookupError("nothing was folded")
        return result

    def _both(self, a: State | None, b: State | None) -> State | None:
        return b if a is None else a if b is None else self._merge(a, b)


def folded(states: Iterable[State | None], merge: Merge) -> State | None:
    """Merge a group of states from the left; None where there is none."""
    fold = Fold(merge)
    for state in states:
        fold.add(state)
    return fold.result()
