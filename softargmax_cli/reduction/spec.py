"""What is asked of a reduction, and what that means for one array."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from softargmax_cli.errors import InputError, OptionError

NanPolicy = Literal["error", "omit", "propagate"]
Precision = Literal["auto", "single", "double"]

SINGLE = frozenset(map(np.dtype, ("bool", "int8", "uint8", "int16", "uint16", "float16", "float32")))
"""Dtypes that compute in single precision: a float32 holds each of their values exactly."""
MODERATE_BETA = (1e-30, 1e30)
"""Outside of these a float32 cannot hold β times a difference of scores."""


@dataclass(frozen=True, slots=True)
class Spec:
    """The reduction as the user asks for it. Raises OptionError for a β that is not finite and positive."""

    axis: int = -1
    beta: float = 100.0
    nan: NanPolicy = "error"
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.beta) and self.beta > 0):
            raise OptionError(f"β = {self.beta:g}: the inverse temperature must be a finite number above 0")

    def resolve(self, shape: tuple[int | None, ...], dtype: np.dtype[Any], fields: frozenset[str]) -> Problem:
        """Apply to an array of `shape` and `dtype`, for the sake of `fields`.

        Raises OptionError for an axis that the array has not, InputError for an array with nothing along it.
        """
        if not shape:
            raise InputError("the array has no axis (shape ()), so there is nothing to reduce")
        if not -len(shape) <= self.axis < len(shape):
            raise OptionError(
                f"--axis {self.axis}: the array has {len(shape)} axes (shape {shape_text(shape)})",
                f"use an axis from {-len(shape)} to {len(shape) - 1}",
            )
        axis = self.axis % len(shape)
        if shape[axis] == 0:
            raise InputError(f"axis {axis} has length 0 (shape {shape_text(shape)}), so there is no maximum along it")
        moderate = MODERATE_BETA[0] <= self.beta <= MODERATE_BETA[1]
        single = dtype in SINGLE and moderate
        if self.precision == "double":
            single = False
        elif self.precision == "single":
            if not moderate:
                raise OptionError(f"--precision single does not hold β = {self.beta:g}", "use --precision double")
            single = True
        return Problem(shape, (axis,), self.beta, self.nan, np.dtype("float32" if single else "float64"), fields)


@dataclass(frozen=True, slots=True)
class Problem:
    """A reduction of one array, with nothing left to decide."""

    shape: tuple[int | None, ...]
    axes: tuple[int, ...]
    """The reduced axes, counted from 0, in the order of the coordinates."""
    beta: float
    nan: NanPolicy
    precision: np.dtype[Any]
    """float32 or float64: how weights and their sums over a stretch of the axis are computed."""
    fields: frozenset[str]
    """Which of `result.FIELDS` are wanted."""

    @property
    def kept(self) -> tuple[int, ...]:
        """The axes that stay."""
        return tuple(k for k in range(len(self.shape)) if k not in self.axes)


def shape_text(shape: tuple[int | None, ...]) -> str:
    """A shape as a person reads it; "?" for a length that is not known yet."""
    return str(tuple(shape)).replace("None", "?")
