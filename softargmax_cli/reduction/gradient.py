"""Differentiate the soft argmax block by block, from the weights of the kernel.

The sums of a whole slice are found first; then each entry of a block has its derivative:

    line      ∂soft/∂xⱼ = β pⱼ (cⱼ − soft)
    circle    ∂soft/∂xⱼ = β pⱼ sin(θⱼ − soft) / R, in radians, with the resultant R
    weights   ∂soft/∂xⱼ = (cⱼ − soft) / Σ x

Soft depends only on β x, so that ∂soft/∂β = Σ (xⱼ − max x) ∂soft/∂xⱼ / β. All of them take the window as constant; they
are 0 if the maximum is infinite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from softargmax_cli.reduction.arrays import ArrayStream, Write
from softargmax_cli.reduction.box_reducer import Derived, SlopeColumns
from softargmax_cli.reduction.budget import Needs
from softargmax_cli.reduction.fields import FREE
from softargmax_cli.reduction.formulas import Formulas, Tensor
from softargmax_cli.reduction.kernel import block_sums
from softargmax_cli.reduction.layout import F8, I4, Layout
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.readable import Readable
from softargmax_cli.reduction.reducer import Array, BlockReducer, unfold
from softargmax_cli.reduction.result import Slices, Summary
from softargmax_cli.reduction.state import State

if TYPE_CHECKING:
    from softargmax_cli.tensorflow.base import Runtime

By = Literal["x", "beta"]
"""The variable that soft is differentiated by: each score, or β."""

VANISHED = 1e-6
"""The norm below which a gradient is said to have vanished, in the unit of soft for 1 in the scores, or in β.

To first order, a step of length 1 then moves soft by less than the error of a result in single precision, so that
training the scores has no visible effect.
"""
BY_SCORES = ("hard", "soft", "norm", "min", "max", "vanished")
BY_BETA = ("hard", "soft", "gradient", "vanished")
"""The fields of slices with gradients by the scores, and by β."""


def differentiate(
    source: Readable,
    problem: Problem,
    runtime: Runtime,
    *,
    by: By,
    vanished: float,
    write: Write | None,
    **given: Any,
) -> Iterator[Slices]:
    """Yield all slices with the norms and extremes of their gradients, in row-major order; `write` gets those by x.

    The caller's thread writes boxes in the order of the file, as arrays of their shape, with one more last axis if
    there are several coordinates. `vanished`: the norm below which a gradient has vanished. The rest, and the errors,
    are those of `engine.reduce`. The source must not be `sequential` if `GRADIENT` says `must_seek`.
    """
    reducer = BlockDifferentiator(problem, runtime)

    def derive(values: Array, start: Sequence[int], known: State, compiled: bool) -> Derived:
        return reducer.slope(values, start, known, by, keep=write is not None, compiled=compiled)

    finish = partial(_with, vanished=vanished)
    stream = ArrayStream(source, problem, reducer, derive, write, finish, needs=GRADIENT, **given)
    for (slices,) in stream.slices():
        yield slices


def _with(slope: SlopeColumns, slices: Slices, vanished: float) -> Slices:
    """Add to slices, in the order of the file, the norms and extremes of their gradients."""
    columns = {name: slices.columns[name] for name in FREE}
    if (by_beta := slope.get("by_beta")) is None:
        least, largest = slope["least"], slope["largest"]
        norm = np.maximum(np.sqrt(slope["squares"]), np.maximum(-least, largest))  # their squares may underflow
    else:
        norm = np.sqrt((by_beta**2).sum(axis=0))
        least, largest = by_beta.min(axis=0), by_beta.max(axis=0)
        columns["gradient"] = by_beta
    return replace(slices, columns=columns | {"norm": norm, "min": least, "max": largest, "vanished": norm < vanished})


def saturation(summary: Summary, problem: Problem) -> str:
    """Return a note if all gradients by the scores have vanished because soft equals hard; else an empty text."""
    defined = summary.slices - summary.undefined
    alone = all(problem.shape[axis] == 1 for axis in problem.axes)
    far = summary.max_abs_offset >= 0.5  # a small β makes gradients vanish, too
    if problem.kind == "probs" or alone or not defined or far or not summary.max_norm < VANISHED:
        return ""
    return (
        f"the gradient has vanished in all {defined:,} slices (largest norm {summary.max_norm:.2g}): "
        f"β {problem.beta:g} is large for these scores; a smaller one lets it through, and softargmax sweep shows what "
        "that costs"
    )


GRADIENT = Needs(arrays=lambda problem: len(problem.axes), in_pieces=False)
"""The memory and passes that `differentiate` needs."""


class BlockDifferentiator(BlockReducer):
    """Reduce blocks, and differentiate them when mass and offset of their slices are known.

    These are found in double precision, whatever that of the gradient: if weight lies in far tails, entries are as
    small as the error of the distances from soft in single precision.
    """

    def __init__(self, problem: Problem, runtime: Runtime) -> None:
        super().__init__(replace(problem, precision=F8), runtime)
        self._sloped = problem

    def slope(
        self, values: Array, start: Sequence[int], known: State, by: By, *, keep: bool, compiled: bool
    ) -> Derived:
        """Return columns about the gradient over a block, and with `keep` the gradient by its scores.

        values: in any memory order; start: that of the block in the array; known: the state of its whole slices, with
        `hard` counted in the whole array. The gradient has the shape and memory order of `values`, one more last axis
        if there are several coordinates, and the precision of the weights; it is NaN in slices without an answer.
        """
        problem, count = self._sloped, len(self._sloped.axes)
        x, layout, maximum_and_hard = self._prepared(["weight"], values, start, values.shape, known, problem.precision)
        layout = replace(layout, rows=self._rows[:count])
        inputs = [x, self._beta.astype(problem.precision), *maximum_and_hard, *self._pulls(layout, start, known, by)]

        def body(ops: Any, x: Tensor, beta: Tensor, *more: Tensor) -> list[Tensor]:
            return block_slopes(ops, x, beta, layout, more[: 1 + count], more[1 + count :], by, keep)

        described = [(array.shape, array.dtype) for array in inputs]
        results = self._runtime.function(body, described, compiled=compiled, key=(layout, by, keep))(*inputs)
        turn = problem.order
        if by == "beta":
            return {"by_beta": results[0][turn]}, None
        *gradients, squares, least, largest = results
        nothing = np.where(np.isnan(squares).any(axis=0), np.nan, 0.0)
        over_axes = {"squares": squares.sum(axis=0), "least": least.min(axis=0), "largest": largest.max(axis=0)}
        slope = {name: nothing + column for name, column in over_axes.items()}
        if not keep:
            return slope, None
        boxes = [unfold(gradients[k], values, problem.axes) for k in turn]
        return slope, boxes[0] if count == 1 else np.stack(boxes, axis=-1)

    def _pulls(self, layout: Layout, start: Sequence[int], known: State, by: By) -> list[Array]:
        """Return the inputs of `block_slopes` for each coordinate: those of the indices, of hard, means, scales."""
        problem, pulls = self._sloped, list[Array]()
        for k, moment in enumerate(problem.moments[: len(problem.axes)]):
            first, second = known.moment[k], None if known.second_moment is None else known.second_moment[k]
            begin = start[problem.ascending[k]]
            indices = np.arange(begin, begin + layout.shape[layout.axes[k]])
            with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                mean = moment.geometry.mean(first, second, known.mass, problem.epsilon)
                scale = moment.along.unit / (known.mass * moment.geometry.resultant(first, second, known.mass))
                if problem.beta is None:
                    scale = scale / known.maximum
                elif by == "x":
                    scale = scale * (-problem.beta if problem.kind == "cost" else problem.beta)
            if known.maximum.dtype.kind == "f":
                scale = np.where(np.isinf(known.maximum), 0.0, scale)
            scale = np.where((known.mass > 0) & ~np.isnan(mean), scale, np.nan)
            if moment.along.placed:
                pulls += [moment.along.at(indices), moment.along.at(known.hard[k]), mean, scale]
            else:
                pulls += [indices - begin + 0.0, known.hard[k] - begin + 0.0, mean, scale]
        return pulls


def block_slopes(
    ops: Any,
    x: Tensor,
    beta: Tensor,
    layout: Layout,
    known: Sequence[Tensor],
    pulls: Sequence[Tensor],
    by: By,
    keep: bool,
) -> list[Tensor]:
    """Return the derivatives of soft over a block, for s slices and a coordinates.

    x, beta, known: as for `block_sums` of a layout of `weight`; pulls: for each coordinate, float64, those of the
    block's indices, (n,), that of hard, the distance of soft from it, and the factor of p (c − soft), (s,) each.

    By "x": for each coordinate the gradient, shaped as x, in the precision of the weights (only with `keep`), then
    (a, s) each, float64: the sums of its squares over the slice, its least, its largest. By "beta": (a, s), float64.
    """
    block, precision = Formulas(ops, layout), layout.precision
    (weight,) = block_sums(ops, x, [beta], layout, (), known)
    top, *hard = (block.unflat(row) for row in known)
    if layout.kind == "probs":  # its weights are x itself, so that all count alike
        weight = ops.OnesLike(x=weight)
        if layout.window is not None:
            weight = ops.SelectV2(condition=block.beyond(hard, layout.window), t=np.zeros((), precision), e=weight)
        if layout.careful:
            weight = ops.SelectV2(condition=ops.IsNan(x=block.comparable(x)), t=np.zeros((), precision), e=weight)

    def over_slices(reduced: Callable[..., Tensor], parts: Sequence[Tensor]) -> Tensor:
        return block.stack([block.flat(reduced(input=part, axis=block.axes, keep_dims=True)) for part in parts])

    gradients = []
    for row, coordinates, *rest in zip(layout.rows, pulls[::4], pulls[1::4], pulls[2::4], pulls[3::4], strict=True):
        center, mean, scale = (block.unflat(each) for each in rest)
        shape = np.array([-1 if k == layout.axes[row.axis] else 1 for k in range(len(layout.shape))], I4)
        distance = ops.Sub(x=ops.Sub(x=ops.Reshape(tensor=coordinates, shape=shape), y=center), y=mean)
        share = ops.Mul(x=weight, y=ops.Cast(x=scale, DstT=precision))
        gradients.append(ops.Mul(x=share, y=ops.Cast(x=row.geometry.pull(ops, distance), DstT=precision)))
    wide = [ops.Cast(x=slope, DstT=F8) for slope in gradients]  # float64 holds the square of every float32
    if by == "beta":
        # Beside infinite scores and NaN a gap is infinite or NaN, and the gradient 0.
        gap = ops.Cast(x=block.gap(block.comparable(x), top), DstT=F8)
        return [over_slices(ops.Sum, [ops.MulNoNan(x=gap, y=slope) for slope in wide])]
    # As in Formulas.product: XLA sums plain products slowly.
    squares = [ops.Maximum(x=ops.Mul(x=slope, y=slope), y=np.zeros(())) for slope in wide]
    extremes = [ops.Cast(x=over_slices(extreme, gradients), DstT=F8) for extreme in (ops.Min, ops.Max)]
    return [*(gradients if keep else []), over_slices(ops.Sum, squares), *extremes]
