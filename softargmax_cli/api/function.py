"""Soft argmax of TensorFlow tensors: the command line's kernel, differentiable."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar, cast

import numpy as np
import tensorflow as tf

from softargmax_cli.api.asking import Axis, resolved, spec_of
from softargmax_cli.errors import naming
from softargmax_cli.reduction.formulas import Layout
from softargmax_cli.reduction.kernel import block_sums
from softargmax_cli.reduction.problem import Problem

Function = TypeVar("Function", bound=Callable[..., Any])

FLOATS = ("float16", "bfloat16", "float32", "float64")
"""Dtypes of tensors; the first two compute in float32."""

as_written = cast(Callable[[Function], Function], tf.autograph.experimental.do_not_convert)
"""For AutoGraph, which would read and rewrite what has no tensor in its conditions."""


@as_written
def softargmax(
    x: Any,
    beta: Any = 100.0,
    axis: Axis = -1,
    *,
    kind: Literal["scores", "probs", "cost"] = "scores",
    coords: Literal["index", "corners", "centers"] = "index",
    values: Any = None,
    window: int | None = None,
) -> Any:
    """The mean coordinate along one axis, or several as one, with weights p = softmax(β·x): Σ cᵢ pᵢ.

    (…, n, …) → (…): a tensor of x's dtype, shaped as x without the axis; with several axes, one more last dimension
    of their number, in the order given.

    x: a tensor of float16, bfloat16 (both compute in float32), float32 or float64, or what becomes one. Lengths of the
        reduced axes are static, and their product is below 2²⁴; others need not be known.
    beta: inverse temperature, > 0: a number, a scalar tensor or a variable. A tensor's sign is not looked at. Not used
        where `kind` is "probs".
    axis: an integer, or a tuple of them for one softmax over several axes.
    kind: "scores"; "cost", for the soft argmin, p = softmax(−β·x); or "probs", p = x / Σx, x ≥ 0.
    coords: unit of the result: "index"; "corners", −1 + 2i/(n − 1); "centers", (2i + 1)/n − 1.
    values: instead of `coords` the coordinate of each index, (n,); for several axes a sequence of such arrays.
    window: only weights within so many indices of the hard argmax, along each axis, count, and sum to 1.

    A slice with NaN or a negative weight, and one without any weight (nothing but −inf, zeros for "probs"), gives NaN.
    Infinite scores share all the weight.

    Gradients, for c the coordinates and s the result: ∂s/∂xⱼ = β pⱼ (cⱼ − s), negated for "cost", and
    (cⱼ − s)/Σx for "probs"; ∂s/∂β = Σ pⱼ xⱼ (cⱼ − s), negated for "cost". They follow from ∂pᵢ/∂xⱼ = β pᵢ (δᵢⱼ − pⱼ).
    Where the window lies is constant to them. They are 0 for slices that give NaN, for scores of −inf and beside +inf.

    Raises OptionError and InputError, which are ValueErrors, for arguments that have no meaning and shapes that cannot
    be reduced; TypeError for tensors of other dtypes.
    """
    with tf.name_scope("softargmax"):
        x = _tensor(x)
        number = _number(beta)
        shape = _shape(x)
        with naming("softargmax"):
            spec = spec_of(axis, 100.0 if number is None else number, kind, coords, values, window)
            problem = resolved(spec, shape, "float64" if x.dtype == tf.float64 else "float32")
        if problem.kind == "probs":
            beta = np.zeros((), problem.precision)
        elif number is None:
            beta = _scalar(beta, problem.precision)
        else:
            beta = np.asarray(number, problem.precision)
        soft = _finished(_sums(x, beta, problem), problem)
        return tf.cast(_restored(soft, x, problem), x.dtype)


def _tensor(x: Any) -> Any:
    """`x` as a tensor of one of `FLOATS`."""
    x = tf.convert_to_tensor(x)
    if x.dtype.name not in FLOATS:
        raise TypeError(f"softargmax: x is {x.dtype.name}, not one of {', '.join(FLOATS)}; try tf.cast(x, tf.float32)")
    return x


def _number(beta: Any) -> float | None:
    """β where it is known by now; None for a tensor or a variable."""
    if isinstance(beta, int | float | np.number) or (isinstance(beta, np.ndarray) and beta.ndim == 0):
        return float(beta)
    return None


def _scalar(beta: Any, precision: np.dtype[Any]) -> Any:
    """A tensor β in the precision of the weights."""
    beta = tf.convert_to_tensor(beta)
    if not (beta.dtype.is_floating or beta.dtype.is_integer):
        raise TypeError(f"softargmax: beta is {beta.dtype.name}, not a number")
    if not beta.shape.is_compatible_with(()):
        raise ValueError(f"softargmax: beta has shape {beta.shape}: it is one number for all slices")
    return tf.cast(tf.reshape(beta, ()), precision)


def _shape(x: Any) -> tuple[int | None, ...]:
    """The static shape, as far as it is known."""
    if x.shape.rank is None:
        raise ValueError("softargmax: the number of x's axes is not known; set it with tf.ensure_shape")
    return tuple(x.shape)


def _sums(x: Any, beta: Any, problem: Problem) -> dict[str, Any]:
    """The kernel's sums in float64, (s,) and (a, s), reduced axes in the order of the array."""
    lengths = _lengths(problem, problem.ascending)
    order = [*problem.kept, *problem.ascending]
    if order != sorted(order):
        x = tf.transpose(x, order)
    x = tf.reshape(x, [-1, *lengths])
    x = tf.cast(x, tf.float64 if x.dtype == tf.float64 else tf.float32)
    outputs = ["hard", "mass", "moment" if problem.values is None else "value_moment", "nans"]
    if problem.window is not None:
        outputs.append("total")
    layout = Layout(
        shape=(-1, *lengths),
        axes=tuple(range(1, len(lengths) + 1)),
        dtype=np.dtype(x.dtype.as_numpy_dtype),
        precision=problem.precision,
        outputs=tuple(outputs),
        kind=problem.kind,
        window=problem.window,
        careful=True,
    )
    sums = block_sums(tf.raw_ops, x, beta, layout, problem.places)
    return {name: tf.cast(part, tf.float64) for name, part in zip(outputs, sums, strict=True)}


def _finished(sums: dict[str, Any], problem: Problem) -> list[Any]:
    """For each coordinate, in the order given, the soft argmax of each slice, (s,), float64."""
    mass, total = sums["mass"], sums.get("total", sums["mass"])
    defined = (sums["nans"] == 0) & (mass > 0) & (total > 0)
    # Both branches of a choice are differentiated: neither may divide by nothing.
    mass = tf.where(defined, mass, 1.0)
    moment = tf.where(defined, sums["moment" if problem.values is None else "value_moment"], 0.0)
    lengths = _lengths(problem, problem.axes)
    soft = []
    for k, place in enumerate(problem.order):
        offset, hard = moment[place] / mass, sums["hard"][place]
        if problem.values is not None:
            center = tf.gather(problem.values[k], tf.cast(hard, tf.int32))
        elif problem.coords == "index":
            center = hard
        else:
            table = problem.coordinates[k].at(np.arange(lengths[k]), lengths[k])
            center = tf.gather(table, tf.cast(hard, tf.int32))
            offset *= problem.coordinates[k].step(lengths[k])
        soft.append(tf.where(defined, center + offset, math.nan))
    return soft


def _restored(soft: Sequence[Any], x: Any, problem: Problem) -> Any:
    """The coordinates of all slices, (s,) each, in the shape of the axes that stay, and one for the coordinates."""
    flat = soft[0] if len(soft) == 1 else tf.stack(soft, axis=-1)
    kept: list[int | None] = [problem.shape[k] for k in problem.kept]
    several = [] if len(soft) == 1 else [len(soft)]
    if None in kept:
        dynamic = tf.shape(x)
        lengths = [dynamic[k] if n is None else n for k, n in zip(problem.kept, kept, strict=True)]
        return tf.ensure_shape(tf.reshape(flat, [*lengths, *several]), [*kept, *several])
    return tf.reshape(flat, [*kept, *several])


def _lengths(problem: Problem, axes: Sequence[int]) -> list[int]:
    """Those of reduced axes."""
    return [n for n in (problem.shape[axis] for axis in axes) if n is not None]
