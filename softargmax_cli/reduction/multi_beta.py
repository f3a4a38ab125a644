"""Reduce blocks for several β at once.

The maximum, its place and the distance of each score below it do not depend on β and are found once. The weights of
each β are then summed by a matrix product with powers of the distance from the middle of a tile, which costs a fraction
of the sums about each slice's own maximum, and moved there afterwards in float64. The maximum's own weight, 1 at
distance 0, is left out of the product: what is rounded is only as large as the weights beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.formulas import F8, I4, Formulas, Layout, Tensor, exact_dtype
from softargmax_cli.reduction.problem import FURTHEST, Problem
from softargmax_cli.reduction.reducer import Array, Misfit, collapse, judged, needs_care
from softargmax_cli.reduction.state import State

if TYPE_CHECKING:
    from softargmax_cli.tensorflow.base import Runtime

Float = npt.NDArray[np.float64]

TILE = 32
"""Scores whose weighted squares of distances float32 sums well enough, wherever in a tile the weight lies."""


def block_gaps(ops: Any, x: Tensor, layout: Layout, known: Sequence[Tensor] = ()) -> list[Tensor]:
    """Measure how far each score of a block lies below the maximum of its slice.

    x, known and layout as for `kernel.block_sums`, known without coordinates. Returns `layout.outputs`:
        maximum (s,) and hard (a, s) as there; gap (m, w), in the precision of the weights: m tiles of w scores, slices
        outermost; times β the logarithm of a weight, −inf at `hard` and beyond the window; doubt (s,): NaN where there
        is NaN, +inf or nothing but −inf, unless the layout is careful; nans (s,), where it is, as there.
    """
    block = Formulas(ops, layout)
    none = np.asarray(-math.inf, layout.precision)
    x = block.comparable(x)
    results: dict[str, Tensor] = {}
    if layout.careful:
        nan = ops.IsNan(x=x)
        x = ops.SelectV2(condition=nan, t=block.full(-math.inf), e=x)
        results["nans"] = block.sum(block.number(nan)) if "nans" in layout.outputs else None
    if layout.known:
        top, *hard = [block.unflat(row) for row in known]
        hit = ops.Equal(x=x, y=top)
    else:
        top = ops.Max(input=x, axis=block.axes, keep_dims=True)
        hit = ops.Equal(x=x, y=top)
        hard = block.first(hit)
        results["maximum"] = block.flat(top)
        results["hard"] = block.stack([block.flat(position) for position in hard])
    gap = block.relative(x, top, hit)
    if "doubt" in layout.outputs:
        results["doubt"] = block.flat(ops.Sum(input=gap, axis=block.axes, keep_dims=True))
    gap = ops.SelectV2(condition=block.beyond(hard, 0), t=gap, e=none)
    if layout.window is not None:
        gap = ops.SelectV2(condition=block.beyond(hard, layout.window), t=none, e=gap)
    kept = [k for k in range(len(layout.shape)) if k not in layout.axes]
    gap = ops.Transpose(x=gap, perm=np.array([*kept, *layout.axes], I4))
    inner, low = tiles(block.lengths, layout.precision)
    width, tiled = inner.shape[1], low[-1].max() > 0
    if tiled and (spare := -block.lengths[-1] % width):
        gap = ops.Reshape(tensor=gap, shape=np.array([-1, block.lengths[-1]], I4))
        gap = ops.PadV2(input=gap, paddings=np.array([[0, 0], [0, spare]], I4), constant_values=none)
    results["gap"] = ops.Reshape(tensor=gap, shape=np.array([-1, width], I4))
    return [results[name] for name in layout.outputs]


def tile_sums(ops: Any, gap: Tensor, beta: Tensor, columns: Tensor, squares: bool) -> list[Tensor]:
    """Sum the weights of tiles, each times every column, and with `squares` the squared weights likewise.

    gap (m, w), as of `block_gaps`; beta: scalar; columns (w, c); all of one precision. Returns (m, c) each.
    """
    weight = ops.Exp(x=ops.Mul(x=gap, y=beta))
    sums = [ops.MatMul(a=weight, b=columns)]
    return [*sums, ops.MatMul(a=ops.Mul(x=weight, y=weight), b=columns)] if squares else sums


def tiles(lengths: Sequence[int], precision: np.dtype[Any]) -> tuple[Array, Array]:
    """Cut a slice of these lengths into tiles whose sums the precision holds.

    Returns (a, w), the positions within a tile along each axis, and (a, t), where each of its t tiles begins.
    """
    a, n = len(lengths), math.prod(lengths)
    if precision == F8 or n <= TILE:
        return np.indices(lengths).reshape(a, n), np.zeros((a, 1), np.int64)
    width = min(TILE, lengths[-1])
    low = np.indices([*lengths[:-1], -(-lengths[-1] // width)]).reshape(a, -1)
    low[-1] *= width
    return np.array([*np.zeros((a - 1, width), np.int64), np.arange(width)]), low


class MultiBetaReducer:
    """Reduces blocks of one problem of scores or costs for several β. Called from several threads at once.

    Its states have a β more for each slice: maximum (1, s), hard (a, 1, s), mass (b, s), moments (a, b, s), and merge
    with `betas` (b, 1). With `full` there are second moments, and a second half of the b, at 2β: the squared weights.
    """

    def __init__(self, problem: Problem, betas: Sequence[float], runtime: Runtime, *, full: bool) -> None:
        self._problem, self._runtime, self.full = problem, runtime, full
        self._swept = np.array(betas, np.float64)
        self.betas: Float = np.concatenate([self._swept, 2 * self._swept] if full else [self._swept])[:, None]
        # Values may lie however far apart, so that no narrower sum would hold the bound.
        self._precision = problem.precision if problem.values is None else F8

    def whole(self, values: Array, *, compiled: bool) -> tuple[State, Misfit | None]:
        """Reduce a block that holds whole slices, which come in the memory order of `values`."""
        return self._found(values, [0] * values.ndim, self._problem.window, compiled, summed=True)

    def part(self, values: Array, start: Sequence[int], *, compiled: bool) -> tuple[State, Misfit | None]:
        """Reduce a block that holds parts of slices, `hard` counted within it.

        start: of the block, along each of the array's axes. There are no sums where a second pass must make them.
        """
        return self._found(values, start, None, compiled, summed=self._problem.window is None)

    def about(self, values: Array, block: Block, known: State, *, compiled: bool) -> State:
        """Sum over a block about a maximum and its place that are known, for all of the block's slices.

        known: `hard` counted in the whole array.
        """
        problem, start = self._problem, block.start
        x, axes = collapse(values, problem.axes)
        hard = known.hard[:, 0] - np.array([start[axis] for axis in problem.ascending])[:, None]
        margin = min(problem.radius, FURTHEST) + 1  # further away, all is as far
        lengths = np.array([values.shape[axis] for axis in problem.ascending])[:, None]
        near = np.clip(hard, -margin, lengths - 1 + margin).astype(self._precision)
        layout = replace(self._layout(x, axes, ("gap",), problem.window), known=True, careful=needs_care(values, known))
        exact = exact_dtype(layout.dtype, layout.precision)
        (gap,) = self._gaps(layout, x, [known.maximum[0].astype(exact, copy=False), *near], compiled)
        place = None if known.place is None else known.place[:, 0]
        sums = self._sums(layout, gap, known.maximum[0], hard, start, place)
        return State(known.maximum, known.hard, **sums, place=known.place)

    def _found(
        self, values: Array, start: Sequence[int], window: int | None, compiled: bool, *, summed: bool
    ) -> tuple[State, Misfit | None]:
        """Search a block for its maxima, and sum about them."""
        x, axes = collapse(values, self._problem.axes)
        gaps = ["gap"] if summed else []
        layout = self._layout(x, axes, ("maximum", "hard", "doubt", *gaps), window)
        maximum, hard, doubt, *gap = self._gaps(layout, x, (), compiled)
        spoilt, misfit = None, None
        if math.isnan(doubt.sum()):
            layout = replace(layout, outputs=("maximum", "hard", "nans", *gaps), careful=True)
            maximum, hard, nans, *gap = self._gaps(layout, x, (), compiled)
            spoilt, misfit = judged(nans > 0, values, self._problem.nan)
        hard = hard.astype(np.int64)
        state = State(maximum[None], hard[:, None], np.zeros((1, len(maximum))), np.zeros((len(hard), 1, len(maximum))))
        if summed:
            place = self._place(hard, start)
            sums = self._sums(layout, gap[0], maximum, hard, start, place)
            state = State(maximum[None], hard[:, None], **sums, place=None if place is None else place[:, None])
        if spoilt is not None:
            state = replace(state, mass=np.where(spoilt, np.nan, state.mass))
        return state, misfit

    def _place(self, hard: Array, start: Sequence[int]) -> Float | None:
        """Look up the value at `hard`, (a, s), where coordinates are values."""
        if self._problem.values is None:
            return None
        pairs = zip(self._problem.places, self._problem.ascending, hard, strict=True)
        return np.array([places[np.minimum(at + start[axis], len(places) - 1)] for places, axis, at in pairs])

    def _layout(self, x: Array, axes: tuple[int, ...], outputs: tuple[str, ...], window: int | None) -> Layout:
        problem = self._problem
        return Layout(x.shape, axes, x.dtype, self._precision, outputs, problem.kind, window, problem.radius)

    def _gaps(self, layout: Layout, x: Array, known: Sequence[Array], compiled: bool) -> list[Array]:
        inputs = [(layout.shape, layout.dtype), *((row.shape, row.dtype) for row in known)]
        return self._runtime.function(
            lambda ops, x, *known: block_gaps(ops, x, layout, known), inputs, compiled=compiled, key=(layout, "gaps")
        )(x, *known)

    def _sums(
        self, layout: Layout, gap: Array, maximum: Array, hard: Array, start: Sequence[int], place: Float | None
    ) -> dict[str, Float]:
        """Sum the weights of each β about `hard`, (a, s), which is counted within the block.

        maximum (s,); place (a, s): the value at `hard`, if coordinates are values. Returns parts of a state.
        """
        lengths = [layout.shape[axis] for axis in layout.axes]
        inner, low = tiles(lengths, layout.precision)
        middle = (inner.max(axis=1, keepdims=True) + inner.min(axis=1, keepdims=True)) / 2
        distance = inner - middle
        shift = (low + middle)[:, None] - hard[:, :, None]  # (a, s, t)
        columns, unit_shift = [np.ones((1, inner.shape[1])), distance, distance**2], shift
        if place is not None:
            pairs = zip(self._problem.places, self._problem.ascending, inner, strict=True)
            values = np.array([places[at + start[axis]] for places, axis, at in pairs])
            center = (values.max(axis=1, keepdims=True) + values.min(axis=1, keepdims=True)) / 2
            columns = [columns[0], values - center, (values - center) ** 2, distance]
            unit_shift = (center - place)[:, :, None]
        weighing = self._weighing(gap, np.concatenate(columns).T.astype(layout.precision, order="C"))
        inside = ((hard >= 0) & (hard < np.array(lengths)[:, None])).all(axis=0)
        own = inside & (maximum > -np.inf if maximum.dtype.kind == "f" else True)
        a, found = len(hard), []
        for table in weighing:
            sums = np.moveaxis(table.reshape(len(own), -1, table.shape[1]).astype(np.float64), 2, 0)  # (c, s, t)
            weight, first, second = sums[0], sums[1 : 1 + a], sums[1 + a : 1 + 2 * a]
            by = unit_shift * weight
            moved = {"mass": weight.sum(axis=-1) + own}
            moved["moment" if place is None else "value_moment"] = (first + by).sum(axis=-1)
            if self.full:
                moved["second_moment"] = (second + unit_shift * (2 * first + by)).sum(axis=-1)
            if place is not None:
                moved["moment"] = (sums[1 + 2 * a :] + shift * weight).sum(axis=-1)
            found.append(moved)
        return {name: np.stack([sums[name] for sums in found], axis=-2) for name in found[0]}

    def _weighing(self, gap: Array, columns: Array) -> list[Array]:
        """Make the `tile_sums` of each β, then, where all is wanted, those of squared weights."""
        dtype, full = gap.dtype, self.full
        function = self._runtime.function(
            lambda ops, gap, beta, columns: tile_sums(ops, gap, beta, columns, full),
            [(gap.shape, dtype), ((), dtype), (columns.shape, dtype)],
            compiled=False,  # XLA's program is no quicker
            key=(gap.shape, columns.shape, dtype, full, "tiles"),
        )
        sums = [function(gap, np.asarray(beta, dtype), columns) for beta in self._swept]
        return [table for half in zip(*sums, strict=True) for table in half]
