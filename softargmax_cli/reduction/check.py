"""Judge results: how many slices are off, and which are the worst."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.moments import Geometry, Line
from softargmax_cli.reduction.result import Slices

Float = npt.NDArray[np.float64]
Distance = Callable[[Slices], tuple[Float, npt.NDArray[np.bool_]]]
"""How far each slice is off, (m,), NaN where that cannot be said, and which of them fail."""


def compared(slices: Slices, expected: Float, shapes: Sequence[Geometry] | None = None) -> Slices:
    """Put `expected`, shape (a, m), and soft − expected beside slices; 0 where both are NaN, or the same infinity.

    shapes: what the coordinates of each axis lie on; a line if not told.
    """
    with np.errstate(invalid="ignore"):
        pairs = zip(shapes or [Line()] * len(expected), slices.soft - expected, strict=True)
        apart = np.array([shape.shorter(row) for shape, row in pairs])
        same = (np.isnan(slices.soft) & np.isnan(expected)) | (slices.soft == expected)
        difference = np.where(same, 0.0, apart)
    return replace(slices, columns={**slices.columns, "expected": expected, "difference": difference})


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many slices may fail: a number, or a percentage of all."""

    number: float = 0
    percent: bool = False

    def of(self, slices: int) -> int:
        """Count those that may fail among `slices`."""
        return math.floor(slices * self.number / 100 + 1e-9) if self.percent else int(self.number)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a check."""

    slices: int
    """How many were looked at."""
    failed: int
    allowed: int
    furthest: float
    """The largest distance; NaN where there is none."""
    worst: Slices | None
    """Slices that failed, the worst first, as many as were asked for."""
    distances: Float
    """How far each of the worst is off."""
    stopped: bool
    """True where it was settled before the end of the input."""

    @property
    def passed(self) -> bool:
        """True where no more failed than may."""
        return self.failed <= self.allowed


class Worst:
    """Keep the slices that are furthest off, `rows` of them, 0 for all; NaN is as bad as can be."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._slices: list[Slices] = []
        self._distances: list[Float] = []

    def add(self, slices: Slices, distances: Float, which: npt.NDArray[np.intp]) -> None:
        """Take those of the next slices that `which` names; distances: of all of them, (m,)."""
        if len(which):
            which = which[_worst_first(distances[which], self._rows)]
            self._slices.append(slices.take(which))
            self._distances.append(distances[which])
            if self._rows:
                self.found()

    def found(self) -> tuple[Slices | None, Float]:
        """Return what is kept, the worst first, and how far each is off, (m,)."""
        if not self._slices:
            return None, np.zeros(0)
        distances = np.concatenate(self._distances)
        order = _worst_first(distances, self._rows)
        self._slices = [Slices.joined(self._slices).take(order)]
        self._distances = [distances[order]]
        return self._slices[0], self._distances[0]


class Check:
    """Take slices block by block and keep the `rows` worst of those that fail, 0 for all."""

    def __init__(self, distance: Distance, allowance: Allowance, rows: int) -> None:
        self._distance, self._allowance, self._worst = distance, allowance, Worst(rows)
        self._slices = self._failed = 0
        self._furthest = math.nan

    def add(self, slices: Slices) -> None:
        """Judge the next slices."""
        self._slices += len(slices)
        distance, failing = self._distance(slices)
        with np.errstate(invalid="ignore"):
            self._furthest = float(np.fmax(self._furthest, np.fmax.reduce(distance, initial=math.nan)))
        which = np.flatnonzero(failing)
        self._failed += len(which)
        self._worst.add(slices, distance, which)

    def settled(self, slices: int | None) -> bool:
        """True where it has failed, whatever is to come; `slices` is how many there are in all, where that is known."""
        if self._allowance.percent and slices is None:
            return False
        return self._failed > self._allowance.of(slices or 0)

    def verdict(self, slices: int | None = None, *, stopped: bool = False) -> Verdict:
        """Conclude from all that was added; `slices` in all, where that is known and not all were looked at."""
        allowed = self._allowance.of(self._slices if slices is None else slices)
        worst, distances = self._worst.found()
        stopped = stopped and self._slices != slices
        return Verdict(self._slices, self._failed, allowed, self._furthest, worst, distances, stopped)


def within(tolerance: float) -> Distance:
    """Fail slices whose soft lies further than that from hard along any axis, and those without an answer."""

    def distance(slices: Slices) -> tuple[Float, npt.NDArray[np.bool_]]:
        furthest: Float = np.abs(slices.offset).max(axis=0)
        return furthest, ~(furthest <= tolerance)

    return distance


def close_to(atol: float, rtol: float) -> Distance:
    """Fail `compared` slices unless |soft − expected| ≤ atol + rtol · |expected| along every axis, or both are NaN."""

    def distance(slices: Slices) -> tuple[Float, npt.NDArray[np.bool_]]:
        apart = np.abs(slices.difference)
        with np.errstate(invalid="ignore"):
            bound = np.where(np.isinf(slices.expected), 0.0, atol + rtol * np.abs(slices.expected))
            failing = ~((apart <= bound) | (apart == 0))
        return apart.max(axis=0), failing.any(axis=0)

    return distance


def _worst_first(distances: Float, rows: int) -> npt.NDArray[np.intp]:
    """Order the `rows` largest, 0 for all, by distance, those alike by place; NaN is as bad as can be."""
    order = np.where(np.isnan(distances), np.inf, distances)
    places = np.arange(len(order))
    if 0 < rows < len(order):  # sorting all of them would take as long as reducing them
        places = np.flatnonzero(order >= np.partition(order, -rows)[-rows])
    return places[np.argsort(-order[places], kind="stable")][: rows or None]
