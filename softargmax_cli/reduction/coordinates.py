"""The coordinate of each index along a reduced axis: one class for each kind.

To add a kind, write a class here, add it to `KINDS`, and its name to `problem.Coords` and `api/arguments.py`. What a
state sums of coordinates, how sums merge and what becomes of them follows from the `Geometry` that a kind names
(`reduction/moments.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.moments import Circle, Geometry, Line

Float = npt.NDArray[np.float64]


class Coordinates(ABC):
    """Coordinates along an axis of n indices."""

    name: ClassVar[str]
    round: ClassVar[bool] = False
    """True where the last index is a neighbour of the first."""
    placed: ClassVar[bool] = False
    """True where moments are summed of the coordinates themselves; else of indices, which are `step` apart."""

    @abstractmethod
    def at(self, index: npt.NDArray[Any], length: int) -> Float:
        """Return the coordinates of indices, (…,) → (…,), along an axis of `length`."""

    @abstractmethod
    def step(self, length: int) -> float:
        """Return the largest distance from one coordinate to the next along an axis of `length`; 0 where n is 1."""

    def geometry(self, length: int) -> Geometry:
        """Return what the coordinates of an axis of `length` lie on."""
        return Line()

    def unit(self, length: int) -> float:
        """Return the coordinates for one unit of the moments."""
        return 1.0 if self.placed else self.step(length)

    def distance(self, index: npt.NDArray[np.int64], origin: npt.NDArray[np.int64], length: int) -> Float:
        """Return how far indices lie beyond others, (…,) each, in the unit of the moments."""
        if self.placed:
            return self.at(index, length) - self.at(origin, length)
        return (index - origin).astype(np.float64)

    def doubled(self, length: int) -> Coordinates:
        """Return coordinates of half the period, where there is one: those of twice the angle."""
        return self

    @property
    def indices(self) -> Coordinates:
        """The coordinates by which hard and soft agree: those of indices, on a line or a circle as these are."""
        return self


class Index(Coordinates):
    """The index itself, 0 to n − 1."""

    name = "index"

    def at(self, index: npt.NDArray[Any], length: int) -> Float:
        return index.astype(np.float64)

    def step(self, length: int) -> float:
        return 1.0


class Corners(Coordinates):
    """−1 + 2i / (n − 1): the ends of the axis lie at −1 and 1, as `align_corners=True` elsewhere. 0 where n = 1."""

    name = "corners"

    def at(self, index: npt.NDArray[Any], length: int) -> Float:
        return np.zeros(index.shape) if length == 1 else (2.0 * index - (length - 1)) / (length - 1)

    def step(self, length: int) -> float:
        return 0.0 if length == 1 else 2 / (length - 1)


class Centers(Coordinates):
    """(2i + 1) / n − 1: the edges of the outer cells lie at −1 and 1, as `align_corners=False` elsewhere."""

    name = "centers"

    def at(self, index: npt.NDArray[Any], length: int) -> Float:
        return np.zeros(index.shape) if length == 1 else (2.0 * index + (1 - length)) / length

    def step(self, length: int) -> float:
        return 0.0 if length == 1 else 2 / length


@dataclass(frozen=True, slots=True, eq=False)
class Values(Coordinates):
    """A coordinate given for each index, (n,), at whatever distances."""

    name = "values"
    placed = True

    values: Float

    def at(self, index: npt.NDArray[Any], length: int) -> Float:
        if index.dtype.kind in "iu":
            return self.values.take(index, mode="clip")
        placed: Float = np.interp(index, np.arange(length), self.values)
        return placed

    def step(self, length: int) -> float:
        return float(np.abs(np.diff(self.values)).max(initial=0.0))

    @property
    def indices(self) -> Coordinates:
        return Index()


@dataclass(frozen=True, slots=True, eq=False)
class Circular(Coordinates):
    """Angles that go round: the index, whose period is n, or values given for each index, (n,), within one period."""

    name = "circular"
    round = True
    placed = True

    values: Float | None = None
    period: float | None = None

    def at(self, index: npt.NDArray[Any], length: int) -> Float:
        return index.astype(np.float64) if self.values is None else Values(self.values).at(index, length)

    def step(self, length: int) -> float:
        if self.values is None or self.period is None:
            return 1.0
        apart = np.abs(np.diff(self.values, append=self.values[:1]))
        return float(np.minimum(apart, self.period - apart).max())

    def geometry(self, length: int) -> Geometry:
        return Circle(length if self.period is None else self.period)

    def doubled(self, length: int) -> Coordinates:
        return Circular(self.values, (self.period or length) / 2)

    @property
    def indices(self) -> Coordinates:
        return self if self.values is None else Circular()


KINDS: dict[str, Coordinates] = {kind.name: kind for kind in (Index(), Corners(), Centers(), Circular())}
"""The kinds that may be asked for by name."""


def coordinates_of(name: str, values: Float | None, period: float | None) -> Coordinates:
    """Return the coordinates of an axis: one of `KINDS`; with values "index", or "circular" and a period."""
    if values is None:
        return KINDS[name]
    return Values(values) if name == Index.name else Circular(values, period)
