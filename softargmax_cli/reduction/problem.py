"""A reduction as the user asks for it, and resolved for one array."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import InputError, OptionError, counted, parameter
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.coordinates import Circle, Coordinates, Geometry, check_kinds, coordinates_of
from softargmax_cli.reduction.fields import needed_sums
from softargmax_cli.reduction.layout import Kind, Moment

NanPolicy = Literal["error", "omit", "propagate"]
Precision = Literal["auto", "single", "double"]
Arrays = tuple[npt.NDArray[np.float64], ...]

SINGLE = frozenset(map(np.dtype, ("bool", "int8", "uint8", "int16", "uint16", "float16", "float32")))
"""Dtypes that compute in single precision: a float32 holds each of their values exactly."""
MODERATE_BETA = (1e-30, 1e30)
"""The bounds of β within which a float32 holds β times a difference of scores."""
NEIGHBOURHOOD = 1
"""The distance from hard, in indices, beyond which a second mode begins without a window."""
WIDEST = (1 << 23) - 1
"""The widest window on an axis longer than it: float32 holds such distances exactly."""
FURTHEST = 1 << 62
"""A window beyond all indices, to which int64 can still add one."""


@dataclass(frozen=True, slots=True)
class Spec:
    """The reduction as the user asks for it.

    Raises OptionError for a β that is not finite and positive, a negative window, and values beside coords.
    """

    axes: tuple[int, ...] = (-1,)
    kind: Kind = "scores"
    beta: float = 100.0
    """The inverse temperature; not used if `kind` is "probs"."""
    coords: str | tuple[str, ...] = "index"
    """The kind of coordinates along each of `axes`, or one for all of them."""
    values: Arrays | None = None
    """The coordinate of each index, one array for each of `axes`, on a line or, by `coords`, a circle."""
    window: int | None = None
    nan: NanPolicy = "error"
    precision: Precision = "auto"
    files: tuple[str, ...] = ()
    """The files of the values, for errors."""
    period: tuple[float, ...] | None = None
    """The period of each circular axis with values, or one for all of them."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.beta) and self.beta > 0):
            what = f"β = {self.beta:g}: the inverse temperature must be a finite number above 0"
            raise OptionError(what, f"give {parameter('beta')} a number such as 100")
        if self.window is not None and self.window < 0:
            what = f"{parameter('window', self.window)}: a distance from the hard argmax is 0 or more indices"
            raise OptionError(what)
        if not self.axes:
            raise OptionError(f"{parameter('axis')}: name at least one axis")
        check_kinds(self._kinds, len(self.axes), self.values, self.period)

    @property
    def _kinds(self) -> tuple[str, ...]:
        return (self.coords,) * len(self.axes) if isinstance(self.coords, str) else tuple(self.coords)

    def resolve(self, shape: tuple[int | None, ...], dtype: np.dtype[Any], fields: frozenset[str]) -> Problem:
        """Resolve for an array of `shape` and `dtype`; `fields` are wanted of its slices.

        Raises OptionError for an axis that does not exist, InputError for an array with nothing along it.
        """
        axes = self._axes(shape)
        coordinates = coordinates_of(self._kinds, self.values, self.period, axes, shape, self.files)
        longest = max(shape[axis] or 0 for axis in axes)
        if self.window is not None and min(self.window, longest) > WIDEST:
            what = f"{parameter('window', self.window)}: {WIDEST:,} indices are the widest on an axis of {longest:,}"
            raise OptionError(what, "leave it out to count all of them")
        moderate = self.kind == "probs" or MODERATE_BETA[0] <= self.beta <= MODERATE_BETA[1]
        if self.precision == "single" and not moderate:
            what = f"{parameter('precision', 'single')} does not hold β = {self.beta:g}"
            raise OptionError(what, f"use {parameter('precision', 'double')}")
        single = self.precision == "single" or (self.precision == "auto" and moderate and dtype in SINGLE)
        beta, precision = None if self.kind == "probs" else self.beta, np.dtype("float32" if single else "float64")
        return Problem(shape, axes, self.kind, beta, coordinates, self.window, self.nan, precision, fields)

    def _axes(self, shape: tuple[int | None, ...]) -> tuple[int, ...]:
        """Return the axes counted from 0, in the order asked for."""
        if not shape:
            what = "the array has no axis (shape ()), so there is nothing to reduce"
            raise InputError(what, "give one of several numbers")
        asked = parameter("axis", self.axes if len(self.axes) > 1 else self.axes[0])
        if not all(-len(shape) <= axis < len(shape) for axis in self.axes):
            what = f"{asked}: the array has {counted(len(shape), 'axis')} (shape {shape_text(shape)})"
            raise OptionError(what, f"use an axis from {-len(shape)} to {len(shape) - 1}")
        axes = tuple(axis % len(shape) for axis in self.axes)
        if len(set(axes)) < len(axes):
            raise OptionError(f"{asked}: names one axis twice (shape {shape_text(shape)})", "name each axis once")
        for axis in axes:
            if shape[axis] == 0:
                what = f"axis {axis} has length 0 (shape {shape_text(shape)}), so there is no maximum along it"
                raise InputError(what, f"choose another axis with {parameter('axis')}, or leave such files out")
        return axes


@dataclass(frozen=True, slots=True)
class Problem:
    """A reduction of one array, resolved: nothing is left to decide."""

    shape: tuple[int | None, ...]
    axes: tuple[int, ...]
    """The reduced axes, counted from 0, in the order of the coordinates."""
    kind: Kind
    beta: float | None
    """The inverse temperature; None for "probs"."""
    coordinates: tuple[Coordinates, ...]
    """The coordinates along each of `axes`."""
    window: int | None
    nan: NanPolicy
    precision: np.dtype[Any]
    """The dtype of weights and of their sums over a tile: float32 or float64."""
    fields: frozenset[str]
    """The names of the fields that are wanted."""

    @property
    def kept(self) -> tuple[int, ...]:
        """The axes that are not reduced."""
        return tuple(k for k in range(len(self.shape)) if k not in self.axes)

    @property
    def keeps_rows(self) -> bool:
        """True if each slice is a position along the first axis, so that names of rows are names of slices."""
        return self.kept == (0,)

    @property
    def keeps_columns(self) -> bool:
        """True if each slice is a column, a position along the last axis."""
        return self.kept == (len(self.shape) - 1,)

    @property
    def ascending(self) -> tuple[int, ...]:
        """The reduced axes in the order of the array, as in blocks and states."""
        return tuple(sorted(self.axes))

    @property
    def order(self) -> list[int]:
        """The place of each coordinate in `ascending`."""
        return [self.ascending.index(axis) for axis in self.axes]

    def along(self, axis: int) -> Coordinates:
        """Return the coordinates along one of `axes`."""
        return self.coordinates[self.axes.index(axis)]

    @property
    def coords(self) -> str:
        """The kinds of coordinates: one name, or one for each of `axes` if they differ."""
        names = [along.name for along in self.coordinates]
        return names[0] if len(set(names)) == 1 else ",".join(names)

    @property
    def geometries(self) -> tuple[Geometry, ...]:
        """The line or circle that the coordinates along each of `axes` lie on."""
        return tuple(along.geometry for along in self.coordinates)

    @property
    def periods(self) -> tuple[float | None, ...]:
        """The period of each of `axes` that is circular; None for others."""
        return tuple(each.period if isinstance(each, Circle) else None for each in self.geometries)

    @property
    def rounds(self) -> tuple[int | None, ...]:
        """The length of each of the `ascending` axes that is circular; None for others."""
        return tuple(self.shape[axis] if self.along(axis).round else None for axis in self.ascending)

    @property
    def placed(self) -> bool:
        """True if the kernel needs the position of a block in the array: see `Coordinates.placed`."""
        return any(along.placed for along in self.coordinates)

    @property
    def moments(self) -> tuple[Moment, ...]:
        """The moments that are summed: of the coordinates of the `ascending` axes, then of indices if needed."""
        squared = "second_moment" in needed_sums(self.fields)
        alongs = [*enumerate(map(self.along, self.ascending))]
        indices = [(k, along.indices) for k, along in alongs if along.indices is not along]
        found = [(k, along, squared or along.geometry.both) for k, along in alongs]
        found += [(k, along, along.geometry.both) for k, along in indices]
        return tuple(Moment(k, along.geometry, along.placed, both, along) for k, along, both in found)

    @property
    def epsilon(self) -> float:
        """The error bound of soft relative to a step and to the spread, and the least resultant on a circle."""
        return 1e-6 if self.precision.itemsize == 4 else 1e-11

    @property
    def reviews(self) -> int:
        """The number of times that cut slices are read again.

        A window and modes depend on the maximum, slopes on the mean of the weights within the window.
        """
        slopes = "slope" in needed_sums(self.fields)
        return slopes + 1 if self.window is not None else int(slopes or self.modes)

    @property
    def modes(self) -> bool:
        """True if second modes are wanted."""
        return "second" in needed_sums(self.fields)

    def read_again(self, block: Block) -> Block:
        """Return the block that a second pass reads: if modes are wanted, with the entries next to it."""
        round = [axis for axis in self.axes if self.along(axis).round]
        return block.bordered(self.axes, self.shape, round) if self.modes else block

    @property
    def radius(self) -> int:
        """The distance from hard, in indices, beyond which a second mode may lie."""
        return NEIGHBOURHOOD if self.window is None else self.window


def shape_text(shape: tuple[int | None, ...]) -> str:
    """Return a shape as a person reads it; "?" stands for a length that is not known yet."""
    return str(tuple(shape)).replace("None", "?")
