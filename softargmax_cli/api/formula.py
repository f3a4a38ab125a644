"""The soft argmax of whole slices in memory, in the vocabulary of `keras.ops`.

It computes in the dtype of the scores alone, which is what converters to ONNX and TFLite can follow. Two steps keep
single precision exact: the maximum is subtracted before β multiplies, and moments are summed about an estimate of their
own mean, so that nothing large cancels:

    soft = m + Σ wᵢ (cᵢ − m) / Σ wᵢ,   m ≈ Σ wᵢ cᵢ / Σ wᵢ, constant to gradients.

On a circle m is the angle of Σ wᵢ exp(i cᵢ), and

    soft = m + Σ wᵢ sin(cᵢ − m) / Σ wᵢ cos(cᵢ − m),

which is the arctangent to the third order in the little that m is off, and so its gradient.

Automatic differentiation must meet neither 0 · ∞ nor 0 · NaN on its way back, so that weights are finite everywhere,
also in slices without an answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops  # type: ignore[import-untyped]

from softargmax_cli.reduction.problem import Problem

Tensor = Any

LONGEST = 128
"""Terms that are added up one after another; longer sums are made of sums, as rounding errors add up, too."""


def soft_argmax(x: Tensor, beta: float | Tensor, problem: Problem) -> Tensor:
    """Return the coordinates of all slices, in the dtype of x: (…, n, …) → (…), of several axes (…, a).

    x: float32 or float64, of the problem's shape; beta: a number, or a scalar tensor of the same dtype.
    """
    axes, rank = problem.axes, len(problem.shape)
    if problem.kind == "cost":
        x = ops.negative(x)
    top = ops.stop_gradient(ops.max(x, axis=axes, keepdims=True, initial=-math.inf))
    weigh = _shares if problem.kind == "probs" else _weights
    weight, level, defined = weigh(x, top, beta, axes)
    if problem.window is not None:
        weight = weight * _near(ops.cast(x >= level, weight.dtype), problem)

    marginals = [_summed(weight, [other for other in axes if other != axis]) for axis in axes]
    mass = ops.where(defined, _summed(marginals[0], axes[:1]), 1.0)
    soft = []
    for k, (axis, marginal) in enumerate(zip(axes, marginals, strict=True)):
        length = problem.shape[axis] or 0
        places = problem.coordinates[k].at(np.arange(length))
        place, rest = _parts(_along(axis, rank, places), ops.dtype(x))
        if (period := problem.periods[k]) is not None:
            one = _on_circle(marginal, place, rest, axis, period, problem.epsilon * mass)
        else:
            mean = ops.stop_gradient(_summed(marginal * place, [axis]) / mass)
            distance = place - mean if rest is None else (place - mean) + rest
            one = mean + _summed(marginal * distance, [axis]) / mass
        soft.append(ops.squeeze(ops.where(defined, one, math.nan), axis=axes))
    return soft[0] if len(soft) == 1 else ops.stack(soft, axis=-1)


def _on_circle(weight: Tensor, place: Tensor, rest: Tensor | None, axis: int, period: float, least: Tensor) -> Tensor:
    """Return the circular mean of places, of which `rest` is what the dtype does not hold, in [0, period).

    NaN where the resultant is shorter than `least`.
    """
    radians = 2 * math.pi / period

    def resultant(distance: Tensor) -> tuple[Tensor, Tensor]:
        angle = (distance - period * ops.round(distance / period)) * radians
        return _summed(weight * ops.sin(angle), [axis]), _summed(weight * ops.cos(angle), [axis])

    mean = ops.stop_gradient(ops.arctan2(*resultant(place)) / radians)
    across, along = resultant(place - mean if rest is None else (place - mean) + rest)
    certain = along >= least
    turned = mean + ops.where(certain, across, 0.0) / (ops.where(certain, along, 1.0) * radians)
    turned = ops.where(turned < 0, turned + period, turned)
    return ops.where(certain, ops.where(turned < period, turned, turned - period), math.nan)


def _weights(x: Tensor, top: Tensor, beta: float | Tensor, axes: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return exp(β (x − top)), the finite number that stands for top, and which slices have an answer.

    Where x is +∞ the weight is 1, as it is beside NaN, where there is no answer.
    """
    largest = float(np.finfo(ops.dtype(x)).max)
    level = ops.minimum(ops.maximum(top, -largest), largest)
    usual = x <= level  # neither NaN nor +∞
    gap = ops.divide_no_nan(x - level, ops.cast(usual, x.dtype))  # quicker than a choice, which TensorFlow broadcasts
    if not isinstance(beta, float):
        gap = ops.maximum(gap, -largest)  # β has a gradient: that of −∞ would be 0 · ∞
    complete = ops.all(x <= top, axis=axes, keepdims=True)  # no NaN: not every maximum is NaN where there is one
    return ops.exp(beta * gap), level, ops.logical_and(complete, top > -math.inf)


def _shares(x: Tensor, top: Tensor, beta: float | Tensor, axes: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return x / top, the finite number that stands for top, and which slices have an answer. Weights have no β."""
    level = ops.where(top > 0, ops.minimum(top, float(np.finfo(ops.dtype(x)).max)), 1.0)
    usual, endless = ops.logical_and(x >= 0, x <= level), x > level
    weight = ops.divide_no_nan(x, level * ops.cast(usual, x.dtype)) + ops.cast(endless, x.dtype)
    complete = ops.all(ops.logical_or(usual, endless), axis=axes, keepdims=True)
    return weight, level, ops.logical_and(complete, top > 0)


def _near(hits: Tensor, problem: Problem) -> Tensor:
    """Return 1 within the window about the first hit of each slice and 0 elsewhere; hits: 1 or 0."""
    axes, rank, dtype = problem.ascending, len(problem.shape), ops.dtype(hits)
    lengths = [problem.shape[axis] or 0 for axis in axes]
    strides = [math.prod(lengths[k + 1 :]) for k in range(len(axes))]
    indices = [_along(axis, rank, np.arange(float(length))) for axis, length in zip(axes, lengths, strict=True)]
    # Positions are below 2²⁴, whole numbers in float32, too.
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
    """Return the sums over some axes, which stay with length 1."""
    for axis in sorted(axes, reverse=True):
        while (length := terms.shape[axis]) > LONGEST:
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
    """Return into stretches of which length such a sum is cut: a divisor where there is one near to a good one."""
    good = min(LONGEST, math.isqrt(length))
    return next((n for n in range(LONGEST, good // 2, -1) if length % n == 0), good)


def _along(axis: int, rank: int, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return numbers for the indices of one axis, to be broadcast along the others."""
    return numbers.reshape([-1 if k == axis else 1 for k in range(rank)])


def _parts(numbers: npt.NDArray[np.float64], dtype: str) -> tuple[Tensor, Tensor | None]:
    """Return numbers as a tensor, and what the dtype does not hold of them as another, if anything."""
    held = numbers.astype(dtype).astype(np.float64)
    return _constant(held, dtype), None if (held == numbers).all() else _constant(numbers - held, dtype)


def _constant(numbers: npt.NDArray[np.float64], dtype: str) -> Tensor:
    return ops.convert_to_tensor(numbers.astype(dtype))
