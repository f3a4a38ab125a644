"""Judge slices: count those that are off, and choose the worst, or those to show."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.coordinates import Geometry
from softargmax_cli.reduction.result import Slices

Float = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Distance = Callable[[Slices], tuple[Float, Mask]]
"""Return the distance of each slice, (m,), NaN if it is unknown, and a mask of those that fail."""
Condition = Literal["disagree", "multimodal", "tied", "undefined"]


def within(slices: Slices, tolerance: float) -> tuple[Float, Mask]:
    """Fail slices whose soft lies further than `tolerance` from hard along any axis, and those without an answer."""
    furthest: Float = np.abs(slices.offset).max(axis=0)
    return furthest, ~(furthest <= tolerance)


def close_to(slices: Slices, atol: float, rtol: float) -> tuple[Float, Mask]:
    """Fail slices unless |soft − expected| ≤ atol + rtol · |expected| along every axis, or both are NaN.

    slices: as `with_expected` returns them.
    """
    apart = np.abs(slices.difference)
    with np.errstate(invalid="ignore"):
        bound = np.where(np.isinf(slices.expected), 0.0, atol + rtol * np.abs(slices.expected))
        failing = ~((apart <= bound) | (apart == 0))
    return apart.max(axis=0), failing.any(axis=0)


def with_expected(slices: Slices, expected: Float, shapes: Sequence[Geometry]) -> Slices:
    """Put `expected`, shape (a, m), and soft − expected beside slices; 0 if both are NaN, or the same infinity.

    shapes: the geometry of each axis.
    """
    with np.errstate(invalid="ignore"):
        apart = np.array([shape.shorter(row) for shape, row in zip(shapes, slices.soft - expected, strict=True)])
        same = (np.isnan(slices.soft) & np.isnan(expected)) | (slices.soft == expected)
        difference = np.where(same, 0.0, apart)
    return replace(slices, columns={**slices.columns, "expected": expected, "difference": difference})


@dataclass(frozen=True, slots=True)
class Allowance:
    """The slices that may fail: a number, or a percentage of all."""

    number: float
    percent: bool = False

    def of(self, slices: int) -> int:
        return math.floor(slices * self.number / 100 + 1e-9) if self.percent else int(self.number)


class Worst:
    """Keep the `rows` slices that are furthest off, 0 for all; NaN is the worst."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._kept: list[tuple[Slices, Float]] = []

    def add(self, slices: Slices, distances: Float, which: npt.NDArray[np.intp]) -> None:
        """Take some of the next slices, by their indices `which`; distances: those of all the next slices, (m,)."""
        if len(which):
            which = which[_worst_first(distances[which], self._rows)]
            self._kept.append((slices.take(which), distances[which]))
            if self._rows:
                self.found()

    def found(self) -> Slices | None:
        """Return the kept slices, the worst first."""
        if not self._kept:
            return None
        parts, distances = zip(*self._kept, strict=True)
        distance = np.concatenate(distances)
        order = _worst_first(distance, self._rows)
        self._kept = [(Slices.joined(parts).take(order), distance[order])]
        return self._kept[0][0]


class Check:
    """Judge slices block by block, and keep the `rows` worst of those that fail, 0 for all.

    total: the number of slices, if it is known.
    """

    def __init__(self, distance: Distance, allowance: Allowance, rows: int, total: int | None = None) -> None:
        self._distance, self._allowance, self._worst, self.total = distance, allowance, Worst(rows), total
        self.slices = self.failed = 0
        self.furthest = math.nan
        """The largest distance; NaN if there is none."""
        self.stopped = False
        """True if it was settled before the end of the input."""

    def add(self, slices: Slices) -> None:
        self.slices += len(slices)
        distance, failing = self._distance(slices)
        with np.errstate(invalid="ignore"):
            self.furthest = float(np.fmax(self.furthest, np.fmax.reduce(distance, initial=math.nan)))
        which = np.flatnonzero(failing)
        self.failed += len(which)
        self._worst.add(slices, distance, which)

    def join(self, other: Check) -> None:
        """Take into account the slices of another input."""
        self.slices, self.failed = self.slices + other.slices, self.failed + other.failed
        self.furthest = float(np.fmax(self.furthest, other.furthest))

    @property
    def allowed(self) -> int:
        return self._allowance.of(self.slices if self.total is None else self.total)

    @property
    def passed(self) -> bool:
        return self.failed <= self.allowed

    @property
    def settled(self) -> bool:
        """True if it has failed, whatever slices follow."""
        return not self.passed and not (self._allowance.percent and self.total is None)

    @property
    def worst(self) -> Slices | None:
        """The slices that failed, the worst first, at most `rows`."""
        return self._worst.found()


def _worst_first(distances: Float, rows: int) -> npt.NDArray[np.intp]:
    """Return the indices of the `rows` largest distances, 0 for all, in order; NaN is the worst, ties go by index."""
    order = np.where(np.isnan(distances), np.inf, distances)
    which = np.arange(len(order))
    if 0 < rows < len(order):  # sorting all would take as long as reducing
        which = np.flatnonzero(order >= np.partition(order, -rows)[-rows])
    return which[np.argsort(-order[which], kind="stable")][: rows or None]


def _undefined(slices: Slices) -> Mask:
    return np.asarray(np.isnan(slices.soft).any(axis=0))


CONDITIONS: dict[Condition, tuple[str, Callable[[Slices], Mask]]] = {
    "disagree": ("agree", lambda slices: ~slices.agree & ~_undefined(slices)),
    "multimodal": ("multimodal", lambda slices: slices.column("multimodal").astype(bool)),
    "tied": ("ties", lambda slices: slices.column("ties") > 1),
    "undefined": ("soft", _undefined),
}
"""The field that each state is read from, beside soft and offset, and the mask of the slices in it."""


def chosen(runs: Iterable[Slices], condition: Condition | None, worst: int | None) -> Iterator[Slices]:
    """Choose slices of an input: those of a condition, None for any, in their order.

    worst: the number to yield at the end, in descending order of |offset|; None for all.
    """
    kept = Worst(worst or 0)
    for slices in runs:
        which = np.arange(len(slices)) if condition is None else np.flatnonzero(CONDITIONS[condition][1](slices))
        if worst is not None:
            distances = np.abs(slices.offset).max(axis=0)
            kept.add(slices, distances, which[~np.isnan(distances[which])])
        elif condition is None:
            yield slices
        elif len(which):
            yield slices.take(which)
    if (last := kept.found()) is not None:
        yield last
