"""Soft argmax of tensors, with gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import keras  # type: ignore[import-untyped]
import numpy as np
from keras import ops

from softargmax_cli.api.arguments import Axis, Coords, beta_of, spec_of
from softargmax_cli.api.formula import soft_argmax
from softargmax_cli.errors import InputError, OptionError, naming
from softargmax_cli.reduction.problem import Problem, Spec, shape_text

Function = TypeVar("Function", bound=Callable[..., Any])

FLOATS = ("float16", "bfloat16", "float32", "float64")
"""Dtypes of tensors; the first two compute in float32."""


def as_written(function: Function) -> Function:
    """Keep AutoGraph from rewriting a function that has no tensor in its conditions."""
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    unchanged: Function = tf.autograph.experimental.do_not_convert(function)
    return unchanged


@as_written
def softargmax(
    x: Any,
    beta: Any = None,
    axis: Axis = -1,
    *,
    temperature: Any = None,
    kind: Literal["scores", "probs", "cost"] = "scores",
    coords: Coords = "index",
    values: Any = None,
    window: int | None = None,
    period: float | Sequence[float] | None = None,
) -> Any:
    """Return the mean coordinate along one axis, or several as one, with weights p = softmax(β·x): Σ cᵢ pᵢ.

    (…, n, …) → (…): a tensor of x's dtype, shaped as x without the axis. With several axes, one more last dimension
    holds the coordinate along each, in the order given.

    x: a tensor of float16, bfloat16 (both compute in float32), float32 or float64, or what converts to one: of
        TensorFlow, or of the Keras backend that KERAS_BACKEND names. The lengths of the reduced axes are static, and
        their product is below 2²⁴; other lengths may be unknown.
    beta: inverse temperature, > 0: a number, a scalar tensor or a variable; 100 by default. The sign of a tensor is
        not checked. Not used if `kind` is "probs".
    axis: an integer, or a tuple of them for one softmax over several axes.
    temperature: 1/β, instead of `beta`.
    kind: "scores"; "cost", for the soft argmin, p = softmax(−β·x); or "probs", p = x / Σx, x ≥ 0.
    coords: unit of the result: "index"; "corners", −1 + 2i/(n − 1); "centers", (2i + 1)/n − 1; "circular", indices on
        a circle, with a circular mean in [0, n). Or a tuple, one for each axis.
    values: the coordinate of each index, (n,); for several axes a sequence of such arrays. With coords="index" they lie
        on a line, with "circular" on a circle of a `period`: a number, or one for each circular axis.
    window: only weights within this many indices of the hard argmax, along each axis, count; they sum to 1.

    float32 is within 1e-6 + 1e-6·spread of the exact answer, and half a unit in its last place, for slices of up to
    4,096 scores; float64 within 1e-11·(1 + spread). A slice with NaN or a negative weight, and one without any weight
    (nothing but −inf, zeros for "probs"), gives NaN. Infinite scores share all the weight. A circular mean whose
    resultant R is below 1e-6 (float64: 1e-11) is NaN; else the bound is divided by R.

    Gradients, for c the coordinates and s the result: ∂s/∂xⱼ = β pⱼ (cⱼ − s), negated for "cost", and
    (cⱼ − s)/Σx for "probs"; ∂s/∂β = Σ pⱼ xⱼ (cⱼ − s), negated for "cost". They follow from ∂pᵢ/∂xⱼ = β pᵢ (δᵢⱼ − pⱼ).
    On a circle sin(2π (cⱼ − s)/period)·period/(2πR) takes the place of cⱼ − s. The position of the window is
    taken as constant. They are 0 for slices that give NaN, for scores of −inf and beside +inf.

    Raises OptionError and InputError, which are ValueErrors, for arguments without meaning and shapes that cannot
    be reduced; TypeError for tensors of other dtypes.
    """
    with naming("softargmax"):
        beta = beta_of(beta, temperature)
        known = isinstance(beta, int | float | np.number) or (isinstance(beta, np.ndarray) and beta.ndim == 0)
        spec = spec_of(axis, float(beta) if known else 100.0, kind, coords, values, period, window)
    return soft_of(x, spec, spec.beta if known or kind == "probs" else beta)


@as_written
def soft_of(x: Any, spec: Spec, beta: Any) -> Any:
    """Compute `softargmax` for arguments parsed as a `spec`, with a number or a tensor for β."""
    x = _tensor(x)
    kept = _dtype(x)
    precision = "float64" if kept == "float64" else "float32"
    with naming("softargmax"):
        problem = resolved(spec, _shape(x), precision)
    if isinstance(beta, float):
        held = np.finfo(precision)
        beta = min(max(beta, float(held.tiny)), float(held.max))
    else:
        beta = _scalar(beta, precision)
    soft = ops.cast(soft_argmax(ops.cast(x, precision), beta, problem), kept)
    if kept == precision or not any(problem.periods):
        return soft
    periods = [math.inf if period is None else period for period in problem.periods]
    turned = ops.cast(soft, precision) >= np.array(periods if len(periods) > 1 else periods[0], precision)
    return ops.where(turned, ops.zeros_like(soft), soft)  # half precision may round up to a whole turn


def resolved(spec: Spec, shape: tuple[int | None, ...], dtype: str) -> Problem:
    """Resolve a spec against the shape of a tensor.

    Raises OptionError for an axis that does not exist, or values that do not match its length; InputError for a
    reduced length that is 0 or unknown, and for slices with more positions than float32 can count.
    """
    problem = spec.resolve(shape, np.dtype(dtype), frozenset())
    for axis in problem.axes:
        if shape[axis] is None:
            what = f"the length of axis {axis} is not known (shape {shape_text(shape)})"
            raise InputError(what, "set it: only axes that stay may have any length")
    positions = math.prod(shape[axis] or 1 for axis in problem.axes)
    if positions >= 1 << 24:
        raise InputError(f"a slice of {positions:,} scores is too long for a tensor", "pass the array to reduce")
    return problem


def _tensor(x: Any) -> Any:
    """Return `x` as a tensor of one of `FLOATS`, of Keras's backend."""
    backend, library = keras.backend.backend(), type(x).__module__.partition(".")[0].replace("jaxlib", "jax")
    if library in ("tensorflow", "jax", "torch") and library != backend:
        raise OptionError(
            f"softargmax: x is a tensor of {library}, and Keras computes with {backend}",
            f"set the environment variable KERAS_BACKEND={library} before Keras is imported",
        )
    x = ops.convert_to_tensor(x)
    if _dtype(x) not in FLOATS:
        raise TypeError(
            f"softargmax: x is {_dtype(x)}, not one of {', '.join(FLOATS)}; try keras.ops.cast(x, 'float32')"
        )
    return x


def _dtype(tensor: Any) -> str:
    return str(getattr(tensor.dtype, "name", tensor.dtype)).removeprefix("torch.")


def _scalar(beta: Any, precision: str) -> Any:
    beta = ops.convert_to_tensor(beta)
    if not any(word in _dtype(beta) for word in ("float", "int")):
        raise TypeError(f"softargmax: beta is {_dtype(beta)}, not a number")
    if len(beta.shape) > 0:
        raise ValueError(f"softargmax: beta has shape {beta.shape}: it is one number for all slices")
    return ops.cast(beta, precision)


def _shape(x: Any) -> tuple[int | None, ...]:
    """Return the static shape, as far as it is known."""
    try:
        return tuple(x.shape)
    except ValueError:  # TensorFlow's, for a shape without rank
        raise ValueError("softargmax: the number of x's axes is not known; set it with tf.ensure_shape") from None
