"""Differentiate the soft argmax over a block, or a box of blocks, by automatic differentiation of the kernel.

The soft argmax of a slice is a place plus a function of mass and moments, which are sums of the kernel about a maximum
and a place that are constants to the gradient. On a line

    soft = place + moment / mass,    d soft = (d moment − offset · d mass) / mass

or, written out, ∂soft/∂xⱼ = β pⱼ (cⱼ − soft). Each block of a slice has its share of that, once the sums of the whole
slice are known: the derivatives of the block's own sums, with those of the function as seeds (`Geometry.slopes`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.formulas import Formulas, Tensor
from softargmax_cli.reduction.kernel import block_sums
from softargmax_cli.reduction.layout import F8, I4, Layout, exact_dtype
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.reducer import Array, BlockReducer, collapse, near, needs_care, unfold
from softargmax_cli.reduction.state import State

if TYPE_CHECKING:
    from softargmax_cli.tensorflow.base import Runtime

By = Literal["x", "beta"]
"""The variable that soft is differentiated by: each score, or β."""
Float = npt.NDArray[np.float64]


def block_slopes(
    ops: Any,
    x: Tensor,
    beta: Tensor,
    layout: Layout,
    places: Sequence[Tensor],
    known: Sequence[Tensor],
    seeds: Sequence[Tensor],
    by: By,
    keep: bool,
) -> list[Tensor]:
    """Return the derivatives of soft by what a block holds, for s slices and a coordinates.

    x, places, known: as for `block_sums` of a layout where maximum and hard are known; beta: scalar, float64 where it
    is what soft is differentiated by; seeds, (a, s) each, float64: of the outputs of the layout, which are `mass` and
    one or both moments of a row an axis.

    By "x": for each coordinate the gradient, shaped as x, in the precision of the weights (only with `keep`), then
    (a, s) each, float64: the sums of its squares over the slice, its least, its largest. By "beta": (a, s), float64.
    """
    x, top, layout, sign = _real(ops, x, known[0], layout)
    block = Formulas(ops, layout)
    source = x
    if by == "beta":  # each slice has a β of its own; widened in float64, in which the slice is summed on the way back
        kept = [1 if k in layout.axes else n for k, n in enumerate(layout.shape)]
        source = ops.BroadcastTo(input=beta, shape=np.array(kept, I4))
        wide = ops.BroadcastTo(input=source, shape=np.array(layout.shape, I4))
        beta = wide if layout.precision == F8 else ops.Cast(x=wide, DstT=layout.precision)
    sums = block_sums(ops, x, beta, layout, places, [top, *known[1:]])
    sums = [ops.Cast(x=part, DstT=F8) for part in sums]

    gradients = []
    for k in range(len(layout.axes)):
        row = np.eye(len(layout.axes))[:, k : k + 1]
        of_mass = ops.GatherV2(params=seeds[0], indices=np.int32(k), axis=np.int32(0))
        (slope,) = ops.gradients(sums, [source], [of_mass, *(ops.Mul(x=seed, y=row) for seed in seeds[1:])])
        gradients.append(ops.Neg(x=slope) if sign < 0 and by == "x" else slope)
    if by == "beta":
        return [block.stack([block.flat(slope) for slope in gradients])]
    gradients = [ops.Cast(x=slope, DstT=layout.precision) for slope in gradients]
    least, largest = (
        block.stack([block.flat(extreme(input=slope, axis=block.axes, keep_dims=True)) for slope in gradients])
        for extreme in (ops.Min, ops.Max)
    )
    return [
        *(gradients if keep else []),
        block.stack([block.flat(_sum_of_squares(ops, slope, block.axes)) for slope in gradients]),
        ops.Cast(x=least, DstT=F8),
        ops.Cast(x=largest, DstT=F8),
    ]


def _sum_of_squares(ops: Any, x: Tensor, axes: Array) -> Tensor:
    """Return Σ x² in float64, in which the square of no float32 is lost."""
    x = ops.Cast(x=x, DstT=F8)
    # As in Formulas.product: the maximum, of no effect, keeps XLA from its slow rule for sums of products.
    return ops.Sum(input=ops.Maximum(x=ops.Mul(x=x, y=x), y=np.zeros(())), axis=axes, keep_dims=True)


def _real(ops: Any, x: Tensor, top: Tensor, layout: Layout) -> tuple[Tensor, Tensor, Layout, int]:
    """Return scores, maximum and layout in floats, which alone have derivatives, and the sign of soft's by these.

    No float holds all 64-bit integers: of these it is the distances from the maximum.
    """
    exact = exact_dtype(layout.dtype, layout.precision)
    if exact.kind == "f":
        x = x if exact == layout.dtype else ops.Cast(x=x, DstT=exact)
        return x, top, replace(layout, dtype=exact), 1
    real = replace(layout, dtype=layout.precision)
    if layout.kind == "probs":
        return ops.Cast(x=x, DstT=layout.precision), ops.Cast(x=top, DstT=layout.precision), real, 1
    block = Formulas(ops, layout)
    x = block.gap(block.comparable(x), block.unflat(top))
    none = ops.ZerosLike(x=ops.Cast(x=top, DstT=layout.precision))
    return x, none, replace(real, kind="scores"), -1 if layout.kind == "cost" else 1


@dataclass(frozen=True, slots=True)
class Slope:
    """Norms and extremes of the gradients of `s` slices over a part of them; coordinates in the order asked for."""

    squares: Float
    """(s,): the sum of the squares of all entries."""
    least: Float
    largest: Float
    """(s,): over all entries."""
    by_beta: Float | None = None
    """(a, s): ∂soft/∂β, of which the others say nothing."""


def joined(a: Slope | None, b: Slope | None) -> Slope | None:
    """Join what is known of both parts of the same slices."""
    if a is None or b is None:
        return a or b
    by_beta = None if a.by_beta is None or b.by_beta is None else a.by_beta + b.by_beta
    return Slope(a.squares + b.squares, np.minimum(a.least, b.least), np.maximum(a.largest, b.largest), by_beta)


class BlockDifferentiator(BlockReducer):
    """Reduce blocks, and differentiate them when mass and offset of their slices are known.

    These are found in double precision, whatever that of the gradient: where weight lies in tails far to either side,
    entries are as small as what single precision leaves of the distances from soft.
    """

    def __init__(self, problem: Problem, runtime: Runtime) -> None:
        super().__init__(replace(problem, precision=F8), runtime)
        self._sloped = problem

    def slope(
        self, values: Array, start: Sequence[int], known: State, by: By, *, keep: bool, compiled: bool
    ) -> tuple[Slope, Array | None]:
        """Return what the gradient over a block is like, and with `keep` the gradient by its scores.

        values: in any memory order; start: of the block, along each of the array's axes; known: of its whole slices,
        `hard` counted in the whole array. The gradient has the shape of `values`, one more last axis where there are
        several coordinates, the memory order of `values`, and the precision of the weights; it is NaN in slices that
        have no answer.
        """
        problem = self._sloped
        x, axes = collapse(values, problem.axes)
        # What counts lies within the window about hard; without one, moments may be about any place of the block.
        place = [start[axis] for axis in problem.ascending]
        about = near(known.hard, start, values.shape, -1 if problem.window is None else problem.window, problem)
        seeds, defined = self._seeds(known, about + np.array(place)[:, None])
        layout = self._layout(x, axes, ["mass", "moment", "second_moment"][: len(seeds)], problem.window)
        layout = replace(
            layout,
            rows=tuple(replace(row, squared=row.geometry.both) for row in layout.rows[: len(axes)]),
            precision=problem.precision,
            known=True,
            careful=by == "beta" or needs_care(values, known),
        )
        places, centers = self.places(layout, start), self.centers(layout, known)
        beta = np.asarray(problem.beta or 0, F8) if by == "beta" else np.asarray(problem.beta or 0, problem.precision)
        maximum = known.maximum.astype(exact_dtype(layout.dtype, layout.precision), copy=False)
        inputs = [x, beta, *places, maximum, *about.astype(problem.precision), *centers, *seeds]
        results = self._derive(layout, by, keep, len(places), inputs, compiled)
        turn = problem.order
        if by == "beta":
            by_beta = np.where(defined, results[0], np.nan)[turn]
            nothing = np.zeros(defined.shape[1])
            return Slope(nothing, nothing, nothing, by_beta), None
        *gradients, squares, least, largest = results
        whole = defined.all(axis=0)
        slope = Slope(
            np.where(whole, squares.sum(axis=0), np.nan),
            np.where(whole, least.min(axis=0), np.nan),
            np.where(whole, largest.max(axis=0), np.nan),
        )
        return slope, self._boxed([gradients[k] for k in turn], values, axes, defined[turn]) if keep else None

    def _boxed(
        self, gradients: Sequence[Array], values: Array, axes: tuple[int, ...], defined: npt.NDArray[np.bool_]
    ) -> Array:
        """Return gradients, shaped as `collapse` shapes values, in the shape of these values."""
        if not defined.all():
            kept = [1 if k in axes else n for k, n in enumerate(gradients[0].shape)]
            pairs = zip(gradients, defined, strict=True)
            gradients = [np.where(known.reshape(kept), part, part.dtype.type(math.nan)) for part, known in pairs]
        boxes = [unfold(part, values, self._sloped.axes) for part in gradients]
        return boxes[0] if len(boxes) == 1 else np.stack(boxes, axis=-1)

    def _seeds(self, known: State, about: npt.NDArray[np.int64]) -> tuple[list[Float], npt.NDArray[np.bool_]]:
        """Return the seeds of mass and of the moments, (a, s) each, and which coordinates have an answer, (a, s).

        about: the place that moments of indices are about.
        """
        problem = self._sloped
        rows = problem.moments[: len(problem.axes)]
        seeds, defined = np.zeros((3, *known.hard.shape)), np.zeros(known.hard.shape, bool)
        with np.errstate(invalid="ignore", divide="ignore"):
            for k, moment in enumerate(rows):
                first, second = known.moment[k], None if known.second_moment is None else known.second_moment[k]
                mean = moment.geometry.mean(first, second, known.mass, problem.epsilon)
                defined[k] = (known.mass > 0) & ~np.isnan(mean)
                if not moment.row.placed:
                    by = (known.hard[k] - about[k]).astype(np.float64)
                    first, second = moment.geometry.moved(first, second, known.mass, by)
                slopes = moment.geometry.slopes(first, second, known.mass)
                seeds[:, k] = np.where(defined[k], slopes, 0.0) * moment.along.unit(moment.length)
        return [*seeds[: 3 if any(row.geometry.both for row in rows) else 2]], defined

    def _derive(
        self, layout: Layout, by: By, keep: bool, places: int, inputs: Sequence[Array], compiled: bool
    ) -> list[Array]:
        def body(ops: Any, x: Tensor, beta: Tensor, *more: Tensor) -> list[Tensor]:
            end = len(more) - len(layout.outputs)
            return block_slopes(ops, x, beta, layout, more[:places], more[places:end], more[end:], by, keep)

        described = [(array.shape, array.dtype) for array in inputs]
        return self._runtime.function(body, described, compiled=compiled, key=(layout, by, keep))(*inputs)
