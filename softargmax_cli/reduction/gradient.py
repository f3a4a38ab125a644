"""Differentiate the soft argmax over a block, or a box of blocks, by automatic differentiation of the kernel.

The soft argmax of a slice is place + moment / mass, sums of the kernel about a maximum and a place that are constants
to the gradient. So

    d soft = (d moment − offset · d mass) / mass

and each block of a slice has its share of it, once mass and offset of the whole slice are known: the derivatives of the
block's own sums, with the seeds 1/mass and −offset/mass. Written out: ∂soft/∂xⱼ = β pⱼ (cⱼ − soft).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.formulas import F8, I4, Formulas, Layout, Tensor, exact_dtype
from softargmax_cli.reduction.kernel import block_sums
from softargmax_cli.reduction.problem import FURTHEST, Problem
from softargmax_cli.reduction.reducer import Array, BlockReducer, collapse, needs_care, unfold
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
    seeds: tuple[Tensor, Tensor],
    by: By,
    keep: bool,
) -> list[Tensor]:
    """Return the derivatives of soft by what a block holds, for s slices and a coordinates.

    x, places, known: as for `block_sums` of a layout where maximum and hard are known; beta: scalar, float64 where it
    is what soft is differentiated by; seeds, (a, s) each, float64: of `mass` and of the moments.

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
        (slope,) = ops.gradients(sums, [source], [of_mass, ops.Mul(x=seeds[1], y=row)])
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

    def first(self, count: int) -> Slope:
        """Return those of the first `count` slices."""
        by_beta = None if self.by_beta is None else self.by_beta[:, :count]
        return Slope(self.squares[:count], self.least[:count], self.largest[:count], by_beta)


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
        lengths = np.array([values.shape[axis] for axis in problem.ascending])[:, None]
        hard = known.hard - np.array([start[axis] for axis in problem.ascending])[:, None]
        # What counts lies within the window about hard; without one, moments may be about any place of the block.
        margin = 0 if problem.window is None else min(problem.window, FURTHEST) + 1
        about = np.clip(hard, -margin, lengths - 1 + margin)
        seeds, defined = self._seeds(known, hard - about)
        moment = "moment" if problem.values is None else "value_moment"
        layout = replace(
            self._layout(x, axes, ("mass", moment), problem.window),
            precision=problem.precision,
            known=True,
            careful=by == "beta" or needs_care(values, known),
        )
        places = () if problem.values is None else self._places(values.shape, start)
        centers = [*known.place] if places and known.place is not None else []
        beta = np.asarray(problem.beta or 0, F8) if by == "beta" else np.asarray(problem.beta or 0, problem.precision)
        maximum = known.maximum.astype(exact_dtype(layout.dtype, layout.precision), copy=False)
        inputs = [x, beta, *places, maximum, *about.astype(problem.precision), *centers, *seeds]
        results = self._derive(layout, by, keep, len(places), inputs, compiled)
        turn = problem.order
        if by == "beta":
            by_beta = np.where(defined, results[0], np.nan)[turn]
            nothing = np.zeros(len(defined))
            return Slope(nothing, nothing, nothing, by_beta), None
        *gradients, squares, least, largest = results
        slope = Slope(
            np.where(defined, squares.sum(axis=0), np.nan),
            np.where(defined, least.min(axis=0), np.nan),
            np.where(defined, largest.max(axis=0), np.nan),
        )
        return slope, self._boxed([gradients[k] for k in turn], values, axes, defined) if keep else None

    def _boxed(
        self, gradients: Sequence[Array], values: Array, axes: tuple[int, ...], defined: npt.NDArray[np.bool_]
    ) -> Array:
        """Return gradients, shaped as `collapse` shapes values, in the shape of these values."""
        if not defined.all():
            kept = [1 if k in axes else n for k, n in enumerate(gradients[0].shape)]
            gradients = [np.where(defined.reshape(kept), part, part.dtype.type(math.nan)) for part in gradients]
        boxes = [unfold(part, values, self._sloped.axes) for part in gradients]
        return boxes[0] if len(boxes) == 1 else np.stack(boxes, axis=-1)

    def _seeds(self, known: State, shift: npt.NDArray[np.int64]) -> tuple[tuple[Float, Float], npt.NDArray[np.bool_]]:
        """Return the seeds of mass and moments, (a, s) each, and which slices have an answer.

        shift: how far hard is from the place that moments are about.
        """
        problem = self._problem
        defined = known.mass > 0
        mass = np.where(defined, known.mass, np.inf)
        scale = np.ones((len(problem.axes), 1))
        if known.value_moment is not None:
            offset = known.value_moment / mass
        else:
            scale = np.array([[problem.along(axis).step(problem.shape[axis] or 1)] for axis in problem.ascending])
            offset = known.moment / mass + np.where(defined, shift, 0)
        with np.errstate(invalid="ignore"):
            return (np.where(defined, -offset * scale / mass, 0.0), np.where(defined, scale / mass, 0.0)), defined

    def _derive(
        self, layout: Layout, by: By, keep: bool, places: int, inputs: Sequence[Array], compiled: bool
    ) -> list[Array]:
        def body(ops: Any, x: Tensor, beta: Tensor, *more: Tensor) -> list[Tensor]:
            known, seeds = more[places:-2], (more[-2], more[-1])
            return block_slopes(ops, x, beta, layout, more[:places], known, seeds, by, keep)

        described = [(array.shape, array.dtype) for array in inputs]
        return self._runtime.function(body, described, compiled=compiled, key=(layout, by, keep))(*inputs)
