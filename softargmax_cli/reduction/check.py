"""Whether results are good enough: how many slices are off, and which are the worst."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.result import Slices

Float = npt.NDArray[np.float64]
Distance = Callable[[Slices], tuple[Float, npt.NDArray[np.bool_]]]
"""How far each slice is off, (m,), NaN where that cannot be said, and which of them fail."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many slices may fail: a number, or a percentage of all."""

    number: float = 0
    percent: bool = False

    def of(self, slices: int) -> int:
        """How many of so many."""
        return math.floor(slices * self.number / 100 + 1e-9) if self.percent else int(self.number)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found."""

    slices: int
    """How many were looked at."""
    failed: int
    allowed: int
    furthest: float
    """The largest distance; NaN where there is none."""
    worst: Slices | None
    """Those that failed, the worst first, as many as were asked for."""
    distances: Float
    """Of the worst."""
    stopped: bool
    """Whether it was settled before the end of the input."""

    @property
    def passed(self) -> bool:
        """Whether no more failed than may."""
        return self.failed <= self.allowed


class Check:
    """Takes slices run by run and keeps the `rows` worst of those that fail, 0 for all."""

    def __init__(self, distance: Distance, allowance: Allowance, rows: int) -> None:
        self._distance, self._allowance, self._rows = distance, allowance, rows
        self._slices = self._failed = 0
        self._furthest = math.nan
        self._worst: list[Slices] = []
        self._distances: list[Float] = []
        self._least = -math.inf
        """What a slice must exceed to be among the worst."""

    def add(self, slices: Slices) -> None:
        """The next slices."""
        self._slices += len(slices)
        distance, failing = self._distance(slices)
        with np.errstate(invalid="ignore"):
            self._furthest = float(np.fmax(self._furthest, np.fmax.reduce(distance, initial=math.nan)))
        which = np.flatnonzero(failing)
        if not len(which):
            return
        self._failed += len(which)
        if self._rows:
            which = which[_order(distance[which]) > self._least]
            which = which[_worst_first(distance[which], self._rows)]
        if len(which):
            self._worst.append(slices.take(which))
            self._distances.append(distance[which])
            if self._rows:
                self._select()

    def _select(self) -> None:
        """Of the slices kept, leave the worst, in their order."""
        if not self._worst:
            return
        distances = np.concatenate(self._distances)
        order = _worst_first(distances, self._rows)
        self._worst, self._distances = [Slices.joined(self._worst).take(order)], [distances[order]]
        if len(order) == self._rows:
            self._least = float(_order(distances[order[-1:]])[0])

    def settled(self, slices: int | None) -> bool:
        """Whether it has failed, whatever is to come; `slices` is how many there are in all, where that is known."""
        if self._allowance.percent and slices is None:
            return False
        return self._failed > self._allowance.of(slices or 0)

    def verdict(self, slices: int | None = None, *, stopped: bool = False) -> Verdict:
        """What has been found; `slices` in all, where that is known and not all were looked at."""
        self._select()
        allowed = self._allowance.of(self._slices if slices is None else slices)
        worst, distances = (self._worst[0], self._distances[0]) if self._worst else (None, np.zeros(0))
        stopped = stopped and self._slices != slices
        return Verdict(self._slices, self._failed, allowed, self._furthest, worst, distances, stopped)


def within(tolerance: float) -> Distance:
    """Slices whose soft argmax lies no further than that from the hard one, along every axis; those undefined fail."""

    def distance(slices: Slices) -> tuple[Float, npt.NDArray[np.bool_]]:
        furthest: Float = np.abs(slices.offset).max(axis=0)
        return furthest, ~(furthest <= tolerance)

    return distance


def close_to(expected: Callable[[int], Float], atol: float, rtol: float) -> Distance:
    """Slices whose soft argmax is the one expected: |soft − expected| ≤ atol + rtol · |expected|, or both NaN.

    expected: called with a number of slices, gives those of the next (a, m).
    """

    def distance(slices: Slices) -> tuple[Float, npt.NDArray[np.bool_]]:
        want = expected(len(slices))
        with np.errstate(invalid="ignore"):
            apart = np.abs(slices.soft - want)
            bound = np.where(np.isinf(want), 0.0, atol + rtol * np.abs(want))
        same = (np.isnan(slices.soft) & np.isnan(want)) | (slices.soft == want)
        failing = ~(same | (apart <= bound))
        return np.where(same, 0.0, apart).max(axis=0), failing.any(axis=0)

    return distance


def _order(distances: Float) -> Float:
    """What slices are ordered by: NaN is as bad as can be."""
    order: Float = np.where(np.isnan(distances), np.inf, distances)
    return order


def _worst_first(distances: Float, rows: int) -> npt.NDArray[np.intp]:
    """The places of the `rows` largest, 0 for all, in the order of distance; those alike in their own order."""
    order = _order(distances)
    places = np.arange(len(order))
    if 0 < rows < len(order):  # sorting all of them would take as long as reducing them
        places = np.flatnonzero(order >= np.partition(order, -rows)[-rows])
    return places[np.argsort(-order[places], kind="stable")][: rows or None]
