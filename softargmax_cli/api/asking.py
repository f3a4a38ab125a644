"""From the arguments that the function, the layer and `reduce` share to what is asked of a reduction."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from softargmax_cli.api.arguments import axes_of, one_of, window_of
from softargmax_cli.errors import InputError, OptionError
from softargmax_cli.reduction.formulas import Kind
from softargmax_cli.reduction.problem import Arrays, Coords, NanPolicy, Precision, Problem, Spec, shape_text

Axis = int | tuple[int, ...] | list[int]


def spec_of(
    axis: Any,
    beta: float,
    kind: Any,
    coords: Any,
    values: Any,
    window: Any,
    nan: Any = "propagate",
    precision: Any = "auto",
) -> Spec:
    """What is asked, of any array. Raises OptionError for an argument that has no meaning."""
    axes = axes_of(axis)
    return Spec(
        axes,
        one_of("kind", kind, get_args(Kind)),
        beta,
        one_of("coords", coords, get_args(Coords)),
        _values(values, len(axes)),
        window_of(window),
        one_of("nan", nan, get_args(NanPolicy)),
        one_of("precision", precision, get_args(Precision)),
    )


def resolved(spec: Spec, shape: tuple[int | None, ...], dtype: npt.DTypeLike) -> Problem:
    """What is asked of one tensor, of which the reduced axes must have known lengths.

    Raises OptionError for an axis that it has not, or for values that are not as many as its indices; InputError for
    a length that is 0 or not known.
    """
    problem = spec.resolve(shape, np.dtype(dtype), frozenset())
    for axis in problem.axes:
        if shape[axis] is None:
            raise InputError(
                f"the length of axis {axis} is not known (shape {shape_text(shape)})",
                "only axes that stay may have any length; set that of the others with tf.ensure_shape",
            )
    return problem


def _values(values: Any, axes: int) -> Arrays | None:
    """The coordinate of each index, one array for each axis."""
    if values is None:
        return None
    several = [values] if axes == 1 else list(values)
    if len(several) != axes:
        raise OptionError(f"values: {len(several)} for {axes} axes", "give a sequence with one array for each axis")
    arrays = []
    for each in several:
        try:
            array = np.array(each, np.float64)
        except (TypeError, ValueError) as error:
            raise OptionError(f"values: not a number for each index: {error}") from None
        if array.ndim != 1 or not array.size:
            many = "" if axes == 1 else ", and there is one such array for each axis"
            raise OptionError(f"values: shape {array.shape}: an axis has one coordinate for each index, (n,){many}")
        arrays.append(array)
    return tuple(arrays)
