"""First and second moments of the distances from hard, on a line and on a circle.

A state holds two sums of each coordinate, about that of hard, so that nothing large is ever subtracted:

    line    Σ w d        and Σ w d²
    circle  Σ w sin θ    and Σ w (1 − cos θ), as 2 sin²(θ/2);  θ = 2π d / period

`terms` are what the kernel sums; the rest is NumPy. Each first and second is an array (s,), as are mass and what is
returned.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]
Tensor = Any


class Geometry(ABC):
    """The line or the circle that coordinates lie on. Equal ones share compiled programs."""

    both: bool
    """True where the mean takes the second moment as well as the first."""

    @abstractmethod
    def terms(self, ops: Any, distance: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is summed for the two moments, of distances from hard, float64."""

    @abstractmethod
    def moved(self, first: Float, second: Float | None, mass: Float, by: Float) -> tuple[Float, Float | None]:
        """Return the moments about a place that lies `by` before the one they are about."""

    @abstractmethod
    def mean(self, first: Float, second: Float | None, mass: Float, least: float) -> Float:
        """Return how far the mean lies from hard; NaN where the resultant is below `least`."""

    @abstractmethod
    def spread(self, first: Float, second: Float, mass: Float, least: float) -> Float:
        """Return the standard deviation; NaN where the mean is."""

    @abstractmethod
    def slopes(self, first: Float, second: Float | None, mass: Float) -> tuple[Float, Float, Float]:
        """Differentiate the mean by mass, first and second moment."""

    @abstractmethod
    def wrapped(self, coordinate: Float) -> Float:
        """Return coordinates as they are written."""

    @abstractmethod
    def shorter(self, difference: Float) -> Float:
        """Return the difference of coordinates by the shorter way, from that of their numbers."""


@dataclass(frozen=True, slots=True)
class Line(Geometry):
    """A line: the mean of coordinates is Σ c p."""

    both = False

    def terms(self, ops: Any, distance: Tensor) -> tuple[Tensor, Tensor]:
        return distance, ops.Mul(x=distance, y=distance)

    def moved(self, first: Float, second: Float | None, mass: Float, by: Float) -> tuple[Float, Float | None]:
        moved = first + by * mass
        return moved, None if second is None else second + by * (first + moved)

    def mean(self, first: Float, second: Float | None, mass: Float, least: float) -> Float:
        return first / mass

    def spread(self, first: Float, second: Float, mass: Float, least: float) -> Float:
        return np.sqrt(np.maximum(second / mass - (first / mass) ** 2, 0.0))

    def slopes(self, first: Float, second: Float | None, mass: Float) -> tuple[Float, Float, Float]:
        return -first / mass**2, 1 / mass, np.zeros_like(mass)

    def wrapped(self, coordinate: Float) -> Float:
        return coordinate

    def shorter(self, difference: Float) -> Float:
        return difference


@dataclass(frozen=True, slots=True)
class Circle(Geometry):
    """A circle: the mean is the angle of the resultant Σ p exp(iθ), whose length R tells how much there is of one.

    Its spread is that of `scipy.stats.circstd`, sqrt(−2 ln R). See Mardia & Jupp, Directional Statistics, 2.2 and 2.3.
    """

    period: float
    both = True

    def terms(self, ops: Any, distance: Tensor) -> tuple[Tensor, Tensor]:
        period = np.float64(self.period)
        turns = ops.Rint(x=ops.Div(x=distance, y=period))
        half = ops.Mul(x=ops.Sub(x=distance, y=ops.Mul(x=turns, y=period)), y=np.float64(math.pi / self.period))
        sine = ops.Sin(x=half)
        twice = ops.Mul(x=sine, y=np.float64(2))
        return ops.Mul(x=twice, y=ops.Cos(x=half)), ops.Mul(x=twice, y=sine)

    def moved(self, first: Float, second: Float | None, mass: Float, by: Float) -> tuple[Float, Float | None]:
        assert second is not None
        half = self.shorter(by) * (math.pi / self.period)
        sine, versine = np.sin(2 * half), 2 * np.sin(half) ** 2
        along = mass - second  # Σ w cos θ
        return first + along * sine - first * versine, second + along * versine + first * sine

    def mean(self, first: Float, second: Float | None, mass: Float, least: float) -> Float:
        assert second is not None
        along = mass - second
        mean: Float = np.where(np.hypot(first, along) < least * mass, np.nan, np.arctan2(first, along)) * self._radian
        return mean

    def spread(self, first: Float, second: Float, mass: Float, least: float) -> Float:
        sine, versine = first / mass, second / mass
        resultant = np.hypot(sine, 1 - versine)
        near = -np.log1p(-np.clip(2 * versine - versine**2 - sine**2, 0.0, 0.9))  # −ln R², exact where R is close to 1
        spread: Float = np.sqrt(np.where(resultant > 0.5, near, -2 * np.log(resultant))) * self._radian
        return np.where(resultant < least, np.nan, spread)

    def slopes(self, first: Float, second: Float | None, mass: Float) -> tuple[Float, Float, Float]:
        assert second is not None
        along = mass - second
        scale = self._radian / (first**2 + along**2)
        return -first * scale, along * scale, first * scale

    def wrapped(self, coordinate: Float) -> Float:
        inside: Float = np.mod(coordinate, self.period)
        return np.where(inside >= self.period, 0.0, inside)  # the remainder of what is just below 0 may be the period

    def shorter(self, difference: Float) -> Float:
        return difference - self.period * np.rint(difference / self.period)

    @property
    def _radian(self) -> float:
        """The length of one radian."""
        return self.period / (2 * math.pi)
