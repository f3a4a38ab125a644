"""A reduction as the user asks for it, and as it is resolved for one array."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import InputError, OptionError, parameter
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.coordinates import KINDS, Coordinates, Values
from softargmax_cli.reduction.fields import needed_sums
from softargmax_cli.reduction.formulas import Kind

NanPolicy = Literal["error", "omit", "propagate"]
Precision = Literal["auto", "single", "double"]
Coords = Literal["index", "corners", "centers"]
Arrays = tuple[npt.NDArray[np.float64], ...]

SINGLE = frozenset(map(np.dtype, ("bool", "int8", "uint8", "int16", "uint16", "float16", "float32")))
"""Dtypes that compute in single precision: a float32 holds each of their values exactly."""
MODERATE_BETA = (1e-30, 1e30)
"""The bounds of β within which a float32 holds β times a difference of scores."""
NEIGHBOURHOOD = 1
"""The distance from hard, in indices, beyond which a second mode begins where there is no window."""
WIDEST = (1 << 23) - 1
"""The widest window on a longer axis: distances from a place up to that far outside of a block are exact in float32."""
MOST_AXES = 7
"""The most axes of one reduction: TensorFlow has no more than 8 in all its operations."""
LARGEST_VALUE = 1e150
"""The largest coordinate, of either sign."""
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
    """The inverse temperature; not used where `kind` is "probs"."""
    coords: Coords = "index"
    values: Arrays | None = None
    """The coordinate of each index, one array for each of `axes`; instead of `coords`."""
    window: int | None = None
    nan: NanPolicy = "error"
    precision: Precision = "auto"
    files: tuple[str, ...] = ()
    """The files of the values, for errors."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.beta) and self.beta > 0):
            what = f"β = {self.beta:g}: the inverse temperature must be a finite number above 0"
            raise OptionError(what, f"give {parameter('beta')} a number such as 100")
        if self.window is not None and self.window < 0:
            raise OptionError(
                f"{parameter('window', self.window)}: a distance from the hard argmax is 0 or more indices"
            )
        if self.values is not None and self.coords != "index":
            raise OptionError(
                f"{parameter('values')} and {parameter('coords', self.coords)} both give coordinates",
                "give one of them",
            )

    def resolve(self, shape: tuple[int | None, ...], dtype: np.dtype[Any], fields: frozenset[str]) -> Problem:
        """Resolve for an array of `shape` and `dtype`, of whose slices `fields` are wanted.

        Raises OptionError for an axis that the array has not, InputError for an array with nothing along it.
        """
        axes = self._axes(shape)
        if self.values is not None:
            check_values(self.values, axes, shape, self.files)
        longest = max(shape[axis] or 0 for axis in axes)
        if self.window is not None and min(self.window, longest) > WIDEST:
            what = f"{parameter('window', self.window)}: {WIDEST:,} indices are the widest on an axis of {longest:,}"
            raise OptionError(what, "leave it out to count all of them")
        moderate = self.kind == "probs" or MODERATE_BETA[0] <= self.beta <= MODERATE_BETA[1]
        single = dtype in SINGLE and moderate
        if self.precision == "double":
            single = False
        elif self.precision == "single":
            if not moderate:
                raise OptionError(
                    f"{parameter('precision', 'single')} does not hold β = {self.beta:g}",
                    f"use {parameter('precision', 'double')}",
                )
            single = True
        return Problem(
            shape,
            axes,
            self.kind,
            None if self.kind == "probs" else self.beta,
            self._coordinates(len(axes)),
            self.window,
            self.nan,
            np.dtype("float32" if single else "float64"),
            fields,
        )

    def _coordinates(self, axes: int) -> tuple[Coordinates, ...]:
        """Return the coordinates along each axis, in the order asked for."""
        return (KINDS[self.coords],) * axes if self.values is None else tuple(map(Values, self.values))

    def _axes(self, shape: tuple[int | None, ...]) -> tuple[int, ...]:
        """Return the axes counted from 0, in the order asked for."""
        if not shape:
            raise InputError(
                "the array has no axis (shape ()), so there is nothing to reduce", "give one of several numbers"
            )
        asked = parameter("axis", self.axes if len(self.axes) > 1 else self.axes[0] if self.axes else None)
        if not self.axes:
            raise OptionError(f"{asked}: name at least one axis")
        for axis in self.axes:
            if not -len(shape) <= axis < len(shape):
                raise OptionError(
                    f"{asked}: the array has {len(shape)} axes (shape {shape_text(shape)})",
                    f"use an axis from {-len(shape)} to {len(shape) - 1}",
                )
        if len(self.axes) > MOST_AXES:
            raise OptionError(
                f"{asked}: {len(self.axes)} axes; {MOST_AXES} can be reduced together",
                "make neighbouring axes one: array.reshape",
            )
        axes = tuple(axis % len(shape) for axis in self.axes)
        if len(set(axes)) < len(axes):
            raise OptionError(f"{asked}: names one axis twice (shape {shape_text(shape)})", "name each axis once")
        for axis in axes:
            if shape[axis] == 0:
                raise InputError(
                    f"axis {axis} has length 0 (shape {shape_text(shape)}), so there is no maximum along it",
                    f"choose another axis with {parameter('axis')}, or leave such files out",
                )
        return axes


@dataclass(frozen=True, slots=True)
class Problem:
    """A reduction of one array, resolved: nothing is left to decide."""

    shape: tuple[int | None, ...]
    axes: tuple[int, ...]
    """The reduced axes, counted from 0, in the order of the coordinates."""
    kind: Kind
    beta: float | None
    """The inverse temperature; None for weights, which have none."""
    coordinates: tuple[Coordinates, ...]
    """The coordinates along each of `axes`."""
    window: int | None
    nan: NanPolicy
    precision: np.dtype[Any]
    """The dtype of weights and of their sums over a stretch of the axis: float32 or float64."""
    fields: frozenset[str]
    """The names of the fields that are wanted."""

    @property
    def kept(self) -> tuple[int, ...]:
        """The axes that stay."""
        return tuple(k for k in range(len(self.shape)) if k not in self.axes)

    @property
    def keeps_rows(self) -> bool:
        """True where each slice is a position along the first axis, so that names of rows are names of slices."""
        return self.kept == (0,)

    @property
    def keeps_columns(self) -> bool:
        """True where each slice is a column, a position along the last axis."""
        return self.kept == (len(self.shape) - 1,)

    @property
    def ascending(self) -> tuple[int, ...]:
        """The reduced axes in the order of the array, which is that of positions in blocks and states."""
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
        """The name of the kind of coordinates."""
        return self.coordinates[0].name

    @property
    def values(self) -> Arrays | None:
        """The coordinates of each axis as arrays, where they are given so."""
        arrays = tuple(along.values for along in self.coordinates if isinstance(along, Values))
        return arrays or None

    @property
    def places(self) -> Arrays:
        """The values of each of the `ascending` axes, where there are any."""
        return () if self.values is None else tuple(self.values[self.axes.index(axis)] for axis in self.ascending)

    @property
    def looks_back(self) -> bool:
        """True where a weight counts or not by its distance from the maximum, which must be found first."""
        return self.window is not None or self.modes

    @property
    def modes(self) -> bool:
        """True where second modes are wanted."""
        return "second" in needed_sums(self.fields)

    def read_again(self, block: Block) -> Block:
        """Return what a second pass reads for a block: where modes are wanted, also the entries next to it."""
        return block.bordered(self.axes, self.shape) if self.modes else block

    @property
    def radius(self) -> int:
        """The distance from hard, in indices, beyond which a second mode may lie."""
        return NEIGHBOURHOOD if self.window is None else self.window


def check_values(values: Arrays, axes: Sequence[int], shape: tuple[int | None, ...], names: Sequence[str] = ()) -> None:
    """Raise OptionError, naming the file, where there is not one finite value for each index of each axis."""
    if len(values) != len(axes):
        files = "1 file" if len(values) == 1 else f"{len(values)} files"
        raise OptionError(
            f"{parameter('values')}: {files} for {len(axes)} axes", "give one for each axis, comma separated"
        )
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


def shape_text(shape: tuple[int | None, ...]) -> str:
    """Return a shape as a person reads it; "?" stands for a length that is not known yet."""
    return str(tuple(shape)).replace("None", "?")
