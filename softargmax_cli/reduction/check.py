"""Judge results: how many slices are off, and which are the worst."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.result import Slices

Float = npt.NDArray[np.float64]
Distance = Callable[[Slices], tuple[Float, npt.NDArray[np.bool_]]]
"""How far each slice is off, (m,), NaN where that cannot be said, and which of them fail."""


def compared(slices: Slices, expected: Float) -> Slices:
    """Put `expected`, shape (a, m), and soft − expected beside slices; 0 where both are NaN, or the same infinity."""
    with np.errstate(invalid="ignore"):
        same = (np.isnan(slices.soft) & np.isnan(expected)) | (slices.soft == expected)
        difference = np.where(same, 0.0, slices.soft - expected)
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


class Check:
    """Take slices block by block and keep the `rows` worst of those that fail, 0 for all."""

    def __init__(self, distance: Distance, allowance: Allowance, rows: int) -> None:
        self._distance, self._allowance, self._rows = distance, allowance, rows
        self._slices = self._failed = 0
        self._furthest = math.nan
        self._worst: list[Slices] = []
        self._distances: list[Float] = []

    def add(self, slices: Slices) -> None:
        """Judge the next slices."""
        self._slices += len(slices)
        distance, failing = self._distance(slices)
        with np.errstate(invalid="ignore"):
            self._furthest = float(np.fmax(self._furthest, np.fmax.reduce(distance, initial=math.nan)))
        which = np.flatnonzero(failing)
        if not len(which):
            return
        self._failed += len(which)
        which = which[_worst_first(distance[which], self._rows)]
        self._worst.append(slices.take(which))
        self._distances.append(distance[which])
        if self._rows:
            self._keep_worst()

    def _keep_worst(self) -> None:
        """Join what is kept, the worst first, and drop all beyond `rows`."""
        if self._worst:
            distances = np.concatenate(self._distances)
            order = _worst_first(distances, self._rows)
            self._worst = [Slices.joined(self._worst).take(order)]
            self._distances = [distances[order]]

    def settled(self, slices: int | None) -> bool:
        """True where it has failed, whatever is to come; `slices` is how many there are in all, where that is known."""
        if self._allowance.percent and slices is None:
            return False
        return self._failed > self._allowance.of(slices or 0)

    def verdict(self, slices: int | None = None, *, stopped: bool = False) -> Verdict:
        """Conclude from all that was added; `slices` in all, where that is known and not all were looked at."""
        self._keep_worst()
        allowed = self._allowance.of(self._slices if slices is None else slices)
        worst, distances = (self._worst[0], self._distances[0]) if self._worst else (None, np.zeros(0))
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
