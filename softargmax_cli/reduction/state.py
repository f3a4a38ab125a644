"""What a block leaves behind, and how two of them become one: the online softmax with moments.

Weights are relative to the state's own maximum, moments centred on its own hard argmax, so that
nothing large is ever subtracted. Merging rescales by exp(β(m_part − m)) (Milakov & Gimelshein 2018,
arXiv:1805.02867) and re-centres, as for the moments of a variance (Chan, Golub & LeVeque 1979).
The merge is associative and commutative up to rounding, with `identity` as its neutral element.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

NOWHERE = np.iinfo(np.int64).max
"""The position of no score: behind all others."""

Float = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class State:
    """`s` slices, reduced over a part of `a` axes. What nobody asked for is None."""

    maximum: npt.NDArray[Any]
    """(s,) in a dtype that holds every score: the largest, −inf where there is none."""
    hard: npt.NDArray[np.int64]
    """(a, s): where it first occurs, in the whole array."""
    mass: Float
    """(s,): Σ w, w = exp(β(x − maximum)). 0 where no score has any weight, NaN where the slice is spoilt."""
    moment: Float
    """(a, s): Σ w (i − hard)."""
    second_moment: Float | None = None
    """(a, s): Σ w (i − hard)²."""
    log_moment: Float | None = None
    """(s,): Σ w ln w."""
    ties: Float | None = None
    """(s,): how many scores equal the maximum."""

    @classmethod
    def identity(
        cls,
        slices: int,
        axes: int,
        dtype: npt.DTypeLike = np.float64,
        *,
        second_moment: bool,
        log_moment: bool,
        ties: bool,
    ) -> State:
        """The state of no scores at all, which would be of `dtype`."""
        zeros, per_axis = np.zeros(slices), np.zeros((axes, slices))
        dtype = np.dtype(dtype)
        return cls(
            np.full(slices, -np.inf if dtype.kind == "f" else np.iinfo(dtype).min, dtype),
            np.full((axes, slices), NOWHERE),
            zeros,
            per_axis,
            per_axis if second_moment else None,
            zeros if log_moment else None,
            zeros if ties else None,
        )

    def shifted(self, start: Sequence[int]) -> State:
        """The same, with positions counted from `start` further to the left, along each reduced axis."""
        return replace(self, hard=self.hard + np.array(start, np.int64)[:, None]) if any(start) else self

    def first(self, count: int) -> State:
        """The state of the first `count` slices."""
        parts: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: part[..., :count] for name, part in parts.items() if part is not None})


def merge(a: State, b: State, beta: float) -> State:
    """The state of the scores of both: the same slices, over disjoint parts of the reduced axes."""
    a_leads = (a.maximum > b.maximum) | ((a.maximum == b.maximum) & _precedes(a.hard, b.hard))
    maximum = np.where(a_leads, a.maximum, b.maximum)
    hard = np.where(a_leads, a.hard, b.hard)
    left, right = _move(a, maximum, hard, beta), _move(b, maximum, hard, beta)
    return State(
        maximum,
        hard,
        left.mass + right.mass,
        left.moment + right.moment,
        _sum(left.second_moment, right.second_moment),
        _sum(left.log_moment, right.log_moment),
        _sum(left.ties, right.ties),
    )


def _precedes(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Where the position a comes before b, compared axis by axis."""
    before: npt.NDArray[np.bool_] = a[-1] < b[-1]
    for p, q in zip(a[-2::-1], b[-2::-1], strict=True):
        before = np.where(p == q, before, p < q)
    return before


def _move(part: State, maximum: npt.NDArray[Any], hard: npt.NDArray[np.int64], beta: float) -> State:
    """The same scores, weighed relative to `maximum` and centred on `hard`."""
    same = part.maximum == maximum  # also where both are infinite, and a difference has no meaning
    with np.errstate(over="ignore"):
        log_scale = -beta * np.where(same, 0.0, _gap(maximum, part.maximum))
    scale = np.exp(log_scale)
    shift = (part.hard - hard).astype(np.float64)
    mass = part.mass * scale
    second = log = None
    if part.second_moment is not None:
        second = (part.second_moment + shift * (2 * part.moment + shift * part.mass)) * scale
    if part.log_moment is not None:
        log = scale * part.log_moment + np.where(scale == 0, 0.0, log_scale) * mass
    ties = None if part.ties is None else np.where(same, part.ties, 0.0)
    return State(maximum, hard, mass, (part.moment + shift * part.mass) * scale, second, log, ties)


def _gap(high: npt.NDArray[Any], low: npt.NDArray[Any]) -> Float:
    """high − low ≥ 0. Integers wrap around to the right answer as unsigned ones; floats may be infinite."""
    if high.dtype.kind in "iu":
        return (high.astype(np.uint64) - low.astype(np.uint64)).astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        gap: Float = np.subtract(high, low, dtype=np.float64)
        return gap


def _sum(a: Float | None, b: Float | None) -> Float | None:
    return None if a is None or b is None else a + b
