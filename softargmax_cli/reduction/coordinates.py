"""The coordinate of each index along a reduced axis: one class for each kind.

To add a kind, write a class here, add it to `KINDS`, and its name to `problem.Coords` and `api/arguments.py`. What a
state sums of coordinates, how sums merge and what becomes of them follows from the `Geometry` that a kind names
(`reduction/moments.py`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import OptionError, parameter
from softargmax_cli.reduction.moments import Circle, Geometry, Line

Float = npt.NDArray[np.float64]

LARGEST_VALUE = 1e150
"""The largest coordinate, of either sign."""
LONGEST_CIRCLE = 1 << 23
"""The most indices of an axis that goes round: distances along it are exact in float32."""


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


def check_kinds(
    coords: str | Sequence[str], axes: int, values: Sequence[Float] | None, periods: Sequence[float] | None
) -> tuple[str, ...]:
    """Return the kind of coordinates along each of so many axes.

    Raises OptionError where kinds, values and periods do not belong together.
    """
    kinds, asked = (coords,) * axes if isinstance(coords, str) else tuple(coords), parameter("coords", coords)
    circles = sum(kind == Circular.name for kind in kinds)
    if len(kinds) != axes:
        what = f"{asked}: {len(kinds)} kinds for {_axes(axes)}"
        raise OptionError(what, "give one for each axis, or one for all")
    if values is not None and not {*kinds} <= {"index", Circular.name}:
        raise OptionError(f"{parameter('values')} and {asked} both give coordinates", "give one of them")
    if periods is None:
        if circles and values is not None:
            what = f"{parameter('values')} with {asked}: the values of one turn are not known"
            raise OptionError(what, f"give the period as well: {parameter('period', 360)} for degrees")
        return kinds
    shown = tuple(int(each) if each.is_integer() else each for each in periods)
    period = parameter("period", shown if len(shown) != 1 else shown[0])
    if not circles:
        raise OptionError(
            f"{period}: no axis goes round", f"add {parameter('coords', Circular.name)}: softargmax guide coordinates"
        )
    if values is None:
        what = f"{period}: the period of circular indices is their number"
        raise OptionError(what, f"leave it out, or give {parameter('values')} as well")
    if not all(math.isfinite(each) and each > 0 for each in periods):
        raise OptionError(f"{period}: a period is a finite number above 0")
    if len(periods) not in (1, circles):
        what = f"{period}: {len(periods)} periods for {_axes(circles, 'circular ')}"
        raise OptionError(what, "give one for each circular axis, or one for all")
    return kinds


def coordinates_of(
    kinds: Sequence[str],
    values: Sequence[Float] | None,
    periods: Sequence[float] | None,
    axes: Sequence[int],
    shape: Sequence[int | None],
    files: Sequence[str] = (),
) -> tuple[Coordinates, ...]:
    """Return the coordinates along each of some axes of an array, from what `check_kinds` accepts.

    files: those of the values, for errors. Raises OptionError for an axis that is too long to go round, and for values
    that are not as many as its indices, not finite, or not within one period.
    """
    if values is not None:
        check_values(values, axes, shape, files)
    turns, made = list(periods or ()), []
    for number, (kind, axis) in enumerate(zip(kinds, axes, strict=True)):
        places, period = None if values is None else values[number], None
        if kind == Circular.name:
            if (shape[axis] or 0) > LONGEST_CIRCLE:
                what = f"{parameter('coords', kind)}: axis {axis} has {shape[axis]:,} indices"
                raise OptionError(what, f"an axis that goes round has up to {LONGEST_CIRCLE:,}")
            if places is not None:
                period = turns.pop(0) if len(turns) > 1 else turns[0]
                _check_turn(places, period, files[number] if files else None)
        made.append(
            KINDS[kind] if places is None else Circular(places, period) if kind == Circular.name else Values(places)
        )
    return tuple(made)


def _check_turn(values: Float, period: float, file: str | None) -> None:
    """Raise OptionError where values are not within one period."""
    least, largest = float(values.min()), float(values.max())
    if largest - least >= period:
        given = parameter("values", file)
        what = f"{given}: {least:.10g} to {largest:.10g} are not within one period of {period:.10g}"
        longer = f"give a longer {parameter('period')}, or values from 0 up to it"
        again = "leave out the last, which is the first again"
        raise OptionError(what, again if largest - least == period else longer)


def check_values(
    values: Sequence[Float], axes: Sequence[int], shape: Sequence[int | None], names: Sequence[str] = ()
) -> None:
    """Raise OptionError, naming the file, where there is not one finite value for each index of each axis."""
    if len(values) != len(axes):
        files = "1 file" if len(values) == 1 else f"{len(values)} files"
        what = f"{parameter('values')}: {files} for {_axes(len(axes))}"
        raise OptionError(what, "give one for each axis, comma separated")
    for number, (places, axis) in enumerate(zip(values, axes, strict=True)):
        given = parameter("values", names[number] if names else None)
        if not np.isfinite(places).all():
            what = f"{given}: the coordinate of index {int(np.argmin(np.isfinite(places)))} is not finite"
            raise OptionError(what, "give a number for each index")
        if np.abs(places).max(initial=0) > LARGEST_VALUE:
            largest = places[np.argmax(np.abs(places))]
            what = f"{given}: {largest:g} is too large to be squared for the spread"
            raise OptionError(what, f"choose a larger unit, in which none is beyond {LARGEST_VALUE:g}")
        if shape[axis] not in (None, len(places)):
            what = f"{given}: {len(places):,} values for the {shape[axis]:,} indices of axis {axis}"
            raise OptionError(what, "give one coordinate for each index, or reduce another axis")


def _axes(count: int, kind: str = "") -> str:
    return f"{count} {kind}{'axis' if count == 1 else 'axes'}"
