"""The coordinate of each index along a reduced axis: one class for each kind, and the line or circle they lie on.

To add a kind, write a class here, add it to `KINDS`, and its name to `KindOfCoords` in `api/arguments.py`. The
sums of a state, their merge and their results follow from the `Geometry` of a kind. There are two sums of each
coordinate about that of hard, so that nothing large is ever subtracted:

    line    Σ w d        and Σ w d²
    circle  Σ w sin θ    and Σ w (1 − cos θ), as 2 sin²(θ/2);  θ = 2π d / period
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import OptionError, counted, parameter

Float = npt.NDArray[np.float64]
Tensor = Any

LARGEST_VALUE = 1e150
"""The largest coordinate, of either sign: its square is finite."""
LONGEST_CIRCLE = 1 << 23
"""The most indices of a circular axis: distances along it are exact in float32."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """The line that coordinates lie on, whose mean is Σ c p. Equal geometries share compiled programs.

    The kernel sums the `terms`; the rest is NumPy. First and second moments, mass and results are arrays (s,).
    """

    both: ClassVar[bool] = False
    """True if the mean needs the second moment, too; else that is None unless it is asked for."""

    def terms(self, ops: Any, distance: Tensor) -> tuple[Tensor, Tensor]:
        """Return the terms of the two moments, from distances from hard, float64."""
        return distance, ops.Mul(x=distance, y=distance)

    def moved(self, first: Float, second: Any, mass: Float, by: Float) -> tuple[Float, Any]:
        """Move the moments to a place that lies `by` before their own."""
        moved = first + by * mass
        return moved, None if second is None else second + by * (first + moved)

    def mean(self, first: Float, second: Any, mass: Float, least: float) -> Float:
        """Return the distance of the mean from hard; NaN if the resultant is below `least`."""
        return first / mass

    def center(self, ops: Any, first: Tensor, second: Tensor, mass: Tensor) -> Tensor:
        """Return the distance of the mean from hard in the kernel; it has no meaning if the resultant is 0."""
        return ops.RealDiv(x=first, y=mass)

    def spread(self, first: Float, second: Float, mass: Float, least: float) -> Float:
        """Return the standard deviation; NaN if the mean is."""
        return np.sqrt(np.maximum(second / mass - (first / mass) ** 2, 0.0))

    def pull(self, ops: Any, distance: Tensor) -> Tensor:
        """Return the derivative of the mean by a share of weight at a distance from it, times the resultant."""
        return distance

    def resultant(self, first: Float, second: Any, mass: Float) -> Float:
        """Return the length of the resultant of weights with sum 1: 1 on a line."""
        return np.ones_like(mass)

    def wrapped(self, coordinate: Float) -> Float:
        """Return coordinates within one turn, as they are reported."""
        return coordinate

    def shorter(self, difference: Float) -> Float:
        """Return the difference of coordinates by the shorter way round."""
        return difference


@dataclass(frozen=True, slots=True)
class Circle(Geometry):
    """A circle: the mean is the angle of the resultant Σ p exp(iθ), of length R.

    Its spread is that of `scipy.stats.circstd`, sqrt(−2 ln R). See Mardia & Jupp, Directional Statistics, 2.2 and 2.3.
    """

    both = True
    period: float

    def terms(self, ops: Any, distance: Tensor) -> tuple[Tensor, Tensor]:
        period = np.float64(self.period)
        turns = ops.Rint(x=ops.Div(x=distance, y=period))
        half = ops.Mul(x=ops.Sub(x=distance, y=ops.Mul(x=turns, y=period)), y=np.float64(math.pi / self.period))
        sine = ops.Sin(x=half)
        twice = ops.Mul(x=sine, y=np.float64(2))
        return ops.Mul(x=twice, y=ops.Cos(x=half)), ops.Mul(x=twice, y=sine)

    def moved(self, first: Float, second: Any, mass: Float, by: Float) -> tuple[Float, Any]:
        half = self.shorter(by) * (math.pi / self.period)
        sine, versine = np.sin(2 * half), 2 * np.sin(half) ** 2
        along = mass - second  # Σ w cos θ
        return first + along * sine - first * versine, second + along * versine + first * sine

    def mean(self, first: Float, second: Any, mass: Float, least: float) -> Float:
        angle: Float = np.where(self.resultant(first, second, mass) < least, np.nan, np.arctan2(first, mass - second))
        return angle * self._radian

    def center(self, ops: Any, first: Tensor, second: Tensor, mass: Tensor) -> Tensor:
        angle = ops.Atan2(y=first, x=ops.Sub(x=mass, y=second))
        return ops.Mul(x=angle, y=np.float64(self._radian))

    def spread(self, first: Float, second: Float, mass: Float, least: float) -> Float:
        sine, versine, resultant = first / mass, second / mass, self.resultant(first, second, mass)
        near = -np.log1p(-np.clip(2 * versine - versine**2 - sine**2, 0.0, 0.9))  # −ln R², exact if R is close to 1
        spread: Float = np.sqrt(np.where(resultant > 0.5, near, -2 * np.log(resultant))) * self._radian
        return np.where(resultant < least, np.nan, spread)

    def pull(self, ops: Any, distance: Tensor) -> Tensor:
        sine = ops.Sin(x=ops.Mul(x=distance, y=np.float64(1 / self._radian)))
        return ops.Mul(x=sine, y=np.float64(self._radian))

    def resultant(self, first: Float, second: Any, mass: Float) -> Float:
        resultant: Float = np.hypot(first, mass - second) / mass
        return resultant

    def wrapped(self, coordinate: Float) -> Float:
        inside: Float = np.mod(coordinate, self.period)
        return np.where(inside >= self.period, 0.0, inside)  # the remainder of a number just below 0 may be the period

    def shorter(self, difference: Float) -> Float:
        return difference - self.period * np.rint(difference / self.period)

    @property
    def _radian(self) -> float:
        return self.period / (2 * math.pi)


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Coordinates along an axis: here the index itself, 0 to n − 1."""

    length: int
    """The number of indices, n; 0 while it is unknown."""

    name: ClassVar[str] = "index"
    round: ClassVar[bool] = False
    """True if the last index is a neighbour of the first."""
    placed: ClassVar[bool] = False
    """True if moments sum the coordinates themselves; else indices, which are `step` apart."""

    def at(self, index: npt.NDArray[Any]) -> Float:
        """Return the coordinates of indices, (…,) → (…,)."""
        return index.astype(np.float64)

    @property
    def step(self) -> float:
        """The largest distance from one coordinate to the next; 0 for a single one at 0, and while n is unknown."""
        return 1.0

    @property
    def geometry(self) -> Geometry:
        """The line or circle that the coordinates lie on."""
        return Geometry()

    @property
    def unit(self) -> float:
        """The coordinates for one unit of the moments."""
        return 1.0 if self.placed else self.step

    def distance(self, index: npt.NDArray[np.int64], origin: npt.NDArray[np.int64]) -> Float:
        """Return the distances of indices from others, (…,) each, in the unit of the moments."""
        return self.at(index) - self.at(origin) if self.placed else (index - origin).astype(np.float64)

    @property
    def indices(self) -> Coordinates:
        """The coordinates of indices, on the same line or circle; hard and soft agree by these."""
        return self

    def of(self, length: int) -> Coordinates:
        """Return such coordinates along an axis of `length`."""
        return replace(self, length=length)


class Centers(Coordinates):
    """(2i + 1) / n − 1: the edges of the outer cells lie at −1 and 1, as `align_corners=False` elsewhere."""

    name = "centers"

    def at(self, index: npt.NDArray[Any]) -> Float:
        return (2.0 * index - (self.length - 1)) / max(1, self._steps)

    @property
    def step(self) -> float:
        return 2 / self._steps if self.length > 1 else 0.0

    @property
    def _steps(self) -> int:
        """The number of steps from −1 to 1."""
        return self.length


class Corners(Centers):
    """−1 + 2i / (n − 1): the ends of the axis lie at −1 and 1, as `align_corners=True` elsewhere. 0 if n = 1."""

    name = "corners"

    @property
    def _steps(self) -> int:
        return self.length - 1


@dataclass(frozen=True, eq=False)
class Values(Coordinates):
    """Coordinates given for each index, (n,), at any distances."""

    name = "values"
    placed = True

    values: Float

    def at(self, index: npt.NDArray[Any]) -> Float:
        if index.dtype.kind in "iu":
            return self.values.take(index, mode="clip")
        placed: Float = np.interp(index, np.arange(len(self.values)), self.values)
        return placed

    @property
    def step(self) -> float:
        return float(np.abs(np.diff(self.values)).max(initial=0.0))

    @property
    def indices(self) -> Coordinates:
        return Coordinates(self.length)


@dataclass(frozen=True, eq=False)
class Circular(Coordinates):
    """Coordinates on a circle: indices, with n as the period, or values within one period."""

    name = "circular"
    round = True
    placed = True

    values: Float | None = None
    period: float | None = None

    def at(self, index: npt.NDArray[Any]) -> Float:
        return super().at(index) if self.values is None else Values(self.length, self.values).at(index)

    @property
    def step(self) -> float:
        if self.values is None or self.period is None:
            return 1.0
        apart = np.abs(np.diff(self.values, append=self.values[:1]))
        return float(np.minimum(apart, self.period - apart).max())

    @property
    def geometry(self) -> Geometry:
        return Circle(self.length if self.period is None else self.period)

    @property
    def indices(self) -> Coordinates:
        return self if self.values is None else Circular(self.length)


KINDS: dict[str, type[Coordinates]] = {kind.name: kind for kind in (Coordinates, Corners, Centers, Circular)}
"""The kinds that have public names."""


def check_kinds(
    kinds: Sequence[str], axes: int, values: Sequence[Float] | None, periods: Sequence[float] | None
) -> None:
    """Raise OptionError if the kinds of coordinates, the number of axes, values and periods do not fit together."""
    coords = parameter("coords", kinds[0] if len({*kinds}) == 1 else kinds)
    circles = kinds.count(Circular.name)
    if len(kinds) != axes:
        what = f"{parameter('coords', kinds)}: {len(kinds)} kinds for {counted(axes, 'axis')}"
        raise OptionError(what, "give one for each axis, or one for all")
    if values is not None and not {*kinds} <= {Coordinates.name, Circular.name}:
        raise OptionError(f"{parameter('values')} and {coords} both give coordinates", "give one of them")
    if periods is None:
        if circles and values is not None:
            what = f"{parameter('values')} with {coords}: the values of one turn are not known"
            raise OptionError(what, f"give the period as well: {parameter('period', 360)} for degrees")
        return
    period = parameter("period", tuple(periods) if len(periods) != 1 else periods[0])
    if not circles or values is None:
        what = f"{period}: only circular values have a period"
        given = f"{parameter('coords', Circular.name)} and {parameter('values')}"
        raise OptionError(what, f"give {given} as well, or leave it out: softargmax guide coordinates")
    if not all(math.isfinite(each) and each > 0 for each in periods):
        raise OptionError(f"{period}: a period is a finite number above 0", "give a number such as 360 for degrees")
    if len(periods) not in (1, circles):
        what = f"{period}: {len(periods)} periods for {counted(circles, 'circular axis')}"
        raise OptionError(what, "give one for each, or one for all")


def coordinates_of(
    kinds: Sequence[str],
    values: Sequence[Float] | None,
    periods: Sequence[float] | None,
    axes: Sequence[int],
    shape: Sequence[int | None],
    files: Sequence[str] = (),
) -> tuple[Coordinates, ...]:
    """Return the coordinates along each of `axes` of an array, for arguments that `check_kinds` accepts.

    files: those of the values, for errors. Raises OptionError for a circular axis that is too long, and for values
    that do not match the number of indices, are not finite, or not within one period.
    """
    if values is not None and len(values) != len(axes):
        what = f"{parameter('values')}: {counted(len(values), 'file')} for {counted(len(axes), 'axis')}"
        raise OptionError(what, "give one for each axis, comma separated")
    turns, made = list(periods or ()), list[Coordinates]()
    for number, (kind, axis) in enumerate(zip(kinds, axes, strict=True)):
        length = shape[axis] or 0
        if kind == Circular.name and length > LONGEST_CIRCLE:
            what = f"{parameter('coords', kind)}: axis {axis} has {length:,} indices"
            raise OptionError(what, f"an axis that goes round has up to {LONGEST_CIRCLE:,}")
        if values is None:
            made.append(KINDS[kind](length))
            continue
        points, given = values[number], parameter("values", files[number] if files else None)
        if not (fit := np.abs(points) <= LARGEST_VALUE).all():
            what = f"{given}: the coordinate of index {np.argmin(fit)} is {points[np.argmin(fit)]:g}"
            raise OptionError(what, f"give a finite number for each index, none beyond {LARGEST_VALUE:g}")
        if shape[axis] not in (None, len(points)):
            what = f"{given}: {len(points):,} values for the {length:,} indices of axis {axis}"
            raise OptionError(what, "give one coordinate for each index, or reduce another axis")
        if kind != Circular.name:
            made.append(Values(length, points))
            continue
        period = turns.pop(0) if len(turns) > 1 else turns[0]
        if points.max() - points.min() >= period:
            what = f"{given}: {points.min():.10g} to {points.max():.10g} are not within one period of {period:.10g}"
            longer = f"give a longer {parameter('period')}"
            raise OptionError(what, f"{longer}, or leave out the last, which is the first again")
        made.append(Circular(length, points, period))
    return tuple(made)
