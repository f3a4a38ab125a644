"""The soft argmax of whole slices in memory, in the vocabulary of `keras.ops`.

All is computed in the dtype of the scores, so that converters to ONNX and TFLite can follow. Two steps keep
single precision accurate: the maximum is subtracted before β multiplies, and moments are summed about an estimate of
their own mean, so that nothing large cancels:

    soft = m + Σ wᵢ (cᵢ − m) / Σ wᵢ,   m ≈ Σ wᵢ cᵢ / Σ wᵢ, constant to gradients.

On a circle m is the angle of Σ wᵢ exp(i cᵢ), and

    soft = m + Σ wᵢ sin(cᵢ − m) / Σ wᵢ cos(cᵢ − m),

which equals the arctangent to the third order in the error of m, and so does its gradient.

Automatic differentiation must meet neither 0 · ∞ nor 0 · NaN, so weights are finite everywhere, also in slices
without an answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
from keras import ops

from softargmax_cli.reduction.problem import Problem

Tensor = Any

LONGEST_SUM = 128
"""The most terms that are added one after another; longer sums are sums of sums, which limits rounding errors."""


def soft_argmax(x: Tensor, beta: float | Tensor, problem: Problem) -> Tensor:
    """Return the coordinates of all slices, in the dtype of x: (…, n, …) → (…), with several axes (…, a).

    x: float32 or float64, of the problem's shape; beta: a number, or a scalar tensor of the same dtype.
    """
    if keras.backend.backend() != "tensorflow":
        return _solve(x, beta, problem)[0]
    import tensorflow as tf

    tensors = [x] if isinstance(beta, float) else [x, beta]
    return tf.custom_gradient(lambda x, beta=beta: _solve(x, beta, problem))(*tensors)


def _solve(x: Tensor, beta: float | Tensor, problem: Problem) -> tuple[Tensor, Callable[[Tensor], Any]]:
    """Return the coordinates, and a function from their gradient to that of x, and of β if it is a tensor.

    The function computes ∂s/∂xⱼ = β pⱼ (cⱼ − s), in half the time of automatic differentiation.
    """
    axes, rank = problem.axes, len(problem.shape)
    sign = -1.0 if problem.kind == "cost" else 1.0
    x = x if sign > 0 else ops.negative(x)
    top = ops.stop_gradient(ops.max(x, axis=axes, keepdims=True, initial=-math.inf))
    weigh = _shares if problem.kind == "probs" else _weights
    weight, gap, level, defined = weigh(x, top, beta, axes)
    near = None if problem.window is None else _near(ops.cast(x >= level, weight.dtype), problem)
    weight = weight if near is None else weight * near

    marginals = [_summed(weight, [other for other in axes if other != axis]) for axis in axes]
    mass = ops.where(defined, _summed(marginals[0], axes[:1]), 1.0)
    soft, slopes = [], []
    for k, (axis, marginal) in enumerate(zip(axes, marginals, strict=True)):
        length = problem.shape[axis] or 0
        places = problem.coordinates[k].at(np.arange(length))
        place, rest = _rounded(_along(axis, rank, places), ops.dtype(x))
        if (period := problem.periods[k]) is None:
            mean, slope = _on_line(marginal, mass, place, rest, axis)
        else:
            mean, slope = _on_circle(marginal, mass, place, rest, axis, period, problem.epsilon)
        soft.append(ops.squeeze(ops.where(defined, mean, math.nan), axis=axes))
        slopes.append(slope)

    def gradient(upstream: Tensor) -> Any:
        certain = ops.logical_and(defined, top < math.inf)
        pulls = [upstream] if len(axes) == 1 else ops.unstack(upstream, axis=-1)
        unit = mass * level if problem.kind == "probs" else mass / (sign * beta)
        pulled = sum(
            ops.where(certain, ops.expand_dims(pull, sorted(axes)), 0.0) / unit * slope()
            for pull, slope in zip(pulls, slopes, strict=True)
        )
        if problem.kind == "probs":
            return pulled if near is None else pulled * near
        by_x = pulled * weight
        return by_x if isinstance(beta, float) else (by_x, ops.sum(by_x * gap) * sign / beta)

    return soft[0] if len(soft) == 1 else ops.stack(soft, axis=-1), gradient


def _on_line(
    weight: Tensor, mass: Tensor, place: Tensor, rest: Tensor | None, axis: int
) -> tuple[Tensor, Callable[[], Tensor]]:
    """Return the mean of `place + rest`, where `rest` is what the dtype cannot hold, and its slope in the weights.

    The slope is the gradient times the mass: the distance of each place from the mean.
    """

    def distance(mean: Tensor) -> Tensor:
        return place - mean if rest is None else (place - mean) + rest

    quick = axis == len(weight.shape) - 1  # an estimate: a GPU's products may be rounded to ten bits
    moment = ops.matmul(weight, ops.reshape(place, (-1, 1))) if quick else _summed(weight * place, [axis])
    mean = ops.stop_gradient(moment / mass)
    mean = mean + _summed(weight * distance(mean), [axis]) / mass
    return mean, lambda: distance(mean)


def _on_circle(
    weight: Tensor, mass: Tensor, place: Tensor, rest: Tensor | None, axis: int, period: float, epsilon: float
) -> tuple[Tensor, Callable[[], Tensor]]:
    """Return the circular mean, in [0, period), and its slope, as `_on_line` does; NaN if the resultant < epsilon."""
    radians = 2 * math.pi / period

    def angle(mean: Tensor) -> Tensor:
        distance = (place - mean) if rest is None else (place - mean) + rest
        return (distance - period * ops.round(distance / period)) * radians

    def resultant(mean: Tensor) -> tuple[Tensor, Tensor]:
        turn = angle(mean)
        return _summed(weight * ops.sin(turn), [axis]), _summed(weight * ops.cos(turn), [axis])

    mean = ops.stop_gradient(ops.arctan2(*resultant(ops.zeros_like(mass))) / radians)
    across, along = resultant(mean)
    certain = along >= epsilon * mass
    along = ops.where(certain, along, 1.0)
    turned = mean + ops.where(certain, across, 0.0) / (along * radians)
    turned = ops.where(turned < 0, turned + period, turned)
    turned = ops.where(turned < period, turned, turned - period)
    slope = ops.where(certain, mass / (along * radians), 0.0)
    return ops.where(certain, turned, math.nan), lambda: slope * ops.sin(angle(turned))


def _weights(
    x: Tensor, top: Tensor, beta: float | Tensor, axes: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return exp(β (x − top)), x − top, top made finite, and a mask of the slices that have an answer.

    The weight of +∞ is 1, as are all weights of a slice with NaN, which has no answer.
    """
    largest = float(np.finfo(ops.dtype(x)).max)
    level = ops.minimum(ops.maximum(top, -largest), largest)
    gap = x - level
    complete = ops.logical_not(ops.any(ops.isnan(gap), axis=axes, keepdims=True))
    gap = ops.divide_no_nan(gap, ops.cast(gap <= 0.0, x.dtype))  # 0 for NaN and +∞, quicker than `where`
    if not isinstance(beta, float):
        gap = ops.maximum(gap, -largest)  # β has a gradient, in which −∞ would give 0 · ∞
    return ops.exp(beta * gap), gap, level, ops.logical_and(complete, top > -math.inf)


def _shares(x: Tensor, top: Tensor, beta: float | Tensor, axes: Sequence[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return x / top, x, top made finite, and a mask of the slices that have an answer; β is not used."""
    level = ops.where(top > 0, ops.minimum(top, float(np.finfo(ops.dtype(x)).max)), 1.0)
    usual, endless = ops.logical_and(x >= 0, x <= level), x > level
    weight = ops.divide_no_nan(x, level * ops.cast(usual, x.dtype)) + ops.cast(endless, x.dtype)
    complete = ops.all(ops.logical_or(usual, endless), axis=axes, keepdims=True)
    return weight, x, level, ops.logical_and(complete, top > 0)


def _near(hits: Tensor, problem: Problem) -> Tensor:
    """Return 1 within the window around the first hit of each slice and 0 elsewhere; hits: 1 or 0."""
    axes, rank, dtype = problem.ascending, len(problem.shape), ops.dtype(hits)
    lengths = [problem.shape[axis] or 0 for axis in axes]
    strides = [math.prod(lengths[k + 1 :]) for k in range(len(axes))]
    indices = [_along(axis, rank, np.arange(float(length))) for axis, length in zip(axes, lengths, strict=True)]
    # Positions are below 2²⁴, so that float32 holds them exactly.
    position = np.arange(float(math.prod(lengths))).reshape(
        [lengths[axes.index(k)] if k in axes else 1 for k in range(rank)]
    )
    none = float(math.prod(lengths))
    first = ops.min(_constant(position, dtype) + (1.0 - hits) * none, axis=axes, keepdims=True, initial=none)
    near = 1.0
    for index, stride, length in zip(indices, strides, problem.rounds, strict=True):
        hard = ops.floor(first / float(stride))
        first = first - hard * float(stride)
        distance = ops.absolute(_constant(index, dtype) - hard)
        if length is not None:
            distance = ops.minimum(distance, float(length) - distance)
        near = near * ops.cast(distance <= float(problem.window or 0), dtype)
    return near


def _summed(terms: Tensor, axes: Sequence[int]) -> Tensor:
    """Return the sums over `axes`, which keep length 1."""
    for axis in sorted(axes, reverse=True):
        while (length := terms.shape[axis]) > LONGEST_SUM:
            width = _width(length)
            if length % width:
                padding = [(0, -length % width if k == axis else 0) for k in range(len(terms.shape))]
                terms = ops.pad(terms, padding)
            shape = list(ops.shape(terms))
            split = [*shape[:axis], -(-length // width), width, *shape[axis + 1 :]]
            unknown = [k for k, n in enumerate(split) if not isinstance(n, int)]
            if len(unknown) == 1:
                split[unknown[0]] = -1
            terms = ops.sum(ops.reshape(terms, split), axis=axis + 1)
        terms = ops.sum(terms, axis=axis, keepdims=True)
    return terms


def _width(length: int) -> int:
    """Choose the length of partial sums: near the root of `length`, and a divisor of it if there is one."""
    good = min(LONGEST_SUM, math.isqrt(length))
    return next((n for n in range(LONGEST_SUM, good // 2, -1) if length % n == 0), good)


def _along(axis: int, rank: int, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Shape the numbers of the indices of one axis, to be broadcast along the others."""
    return numbers.reshape([-1 if k == axis else 1 for k in range(rank)])


def _rounded(numbers: npt.NDArray[np.float64], dtype: str) -> tuple[Tensor, Tensor | None]:
    """Return numbers as a tensor, and their rounding errors as another, if there are any."""
    held = numbers.astype(dtype).astype(np.float64)
    return _constant(held, dtype), None if (held == numbers).all() else _constant(numbers - held, dtype)


def _constant(numbers: npt.NDArray[np.float64], dtype: str) -> Tensor:
    return ops.convert_to_tensor(numbers.astype(dtype))
