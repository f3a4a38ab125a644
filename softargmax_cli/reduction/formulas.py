"""The formulas of the reduction for one layout, in the vocabulary of `tf.raw_ops`."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from softargmax_cli.reduction.layout import F4, F8, I4, I8, U8, Layout, Moment, exact_dtype

Tensor = Any

TILE = 128
"""Positions whose weights and moments are summed in float32, about the nearest of them to the maximum: few enough
for the accuracy bound, wherever the weight lies. Tiles are added up in float64."""
RAISED = 2.0**30
"""The factor by which slopes are raised while they are squared: float32 then holds the squares of small ones, and of
the largest, whose pull is an index."""
FLOAT_INDEX = 1 << 24
"""Positions below this are exact in float32: no block may be longer along its reduced axes."""


class Formulas:
    """The formulas for one layout, which hide its shapes and dtypes from the functions built on them."""

    def __init__(self, ops: Any, layout: Layout) -> None:
        self.ops, self.layout = ops, layout
        self.axes = np.array(layout.axes, I4)
        self.lengths = [layout.shape[axis] for axis in layout.axes]
        self.slices = math.prod(layout.kept)
        self.axis = max(layout.axes)
        """The axis that is cut into tiles, if any: the one whose entries lie closest together in memory."""
        self.tiled = layout.precision == F4 and math.prod(self.lengths) > TILE
        self.width = min(TILE, layout.shape[self.axis])
        self.tiles = -(-layout.shape[self.axis] // self.width)
        self.exact = exact_dtype(layout.dtype, layout.precision)
        self.lowest = np.asarray(np.finfo(layout.precision).min, layout.precision)
        if math.prod(self.lengths) >= FLOAT_INDEX:
            raise ValueError(f"a block of {math.prod(self.lengths)} positions is too long for exact indices")

    def comparable(self, x: Tensor) -> Tensor:
        """Return x in the dtype `exact`, with the sign that makes the best score the largest."""
        ops = self.ops
        x = x if self.exact == self.layout.dtype else ops.Cast(x=x, DstT=self.exact)
        if self.layout.kind != "cost":
            return x
        # −x has no place for the lowest of the signed, nor for the unsigned; −x − 1 has, and the same differences.
        return ops.Neg(x=x) if self.exact.kind == "f" else ops.Invert(x=x)

    def weights(self, x: Tensor, top: Tensor, hit: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
        """Return weights relative to that of the maximum, and their logarithms, or None for "probs"."""
        ops, precision = self.ops, self.layout.precision
        infinite = ops.Equal(x=top, y=self.full(math.inf)) if self.layout.careful else None
        if self.layout.kind == "probs":
            if self.exact.kind == "f":  # divided first: rounding might take weights out of the range
                share = self.rounded(ops.DivNoNan(x=x, y=top))
            else:
                share = ops.DivNoNan(x=self.rounded(x), y=self.rounded(top))
            if infinite is not None:
                share = ops.SelectV2(condition=infinite, t=self.number(hit), e=share)
            sound = ops.GreaterEqual(x=x, y=self.full(0))  # false for NaN, which division by 0 would hide
            return ops.SelectV2(condition=sound, t=share, e=np.asarray(math.nan, precision)), None
        if infinite is None:
            log_weight = ops.Mul(x=self.gap(x, top), y=beta)
        else:
            finite = ops.SelectV2(condition=ops.IsFinite(x=top), t=top, e=ops.ZerosLike(x=top))
            log_weight = ops.Mul(x=ops.Minimum(x=self.gap(x, finite), y=np.zeros((), precision)), y=beta)
            log_weight = ops.SelectV2(condition=infinite, t=ops.Log(x=self.number(hit)), e=log_weight)
            absent = ops.Equal(x=x, y=self.full(-math.inf))
            log_weight = ops.SelectV2(condition=absent, t=np.asarray(-math.inf, precision), e=log_weight)
        return ops.Exp(x=log_weight), log_weight

    def beyond(self, position: Sequence[Tensor], radius: int) -> Tensor:
        """Tell which entries lie further from `position` than `radius`, along any axis; broadcastable."""
        ops, precision = self.ops, self.layout.precision
        limit, far = np.asarray(min(radius, FLOAT_INDEX), precision), []
        for axis, at in zip(self.layout.axes, position, strict=True):
            distance = ops.Abs(x=ops.Sub(x=self._along(axis, self.layout.shape[axis]), y=at))
            if length := self.layout.round(axis):
                distance = ops.Minimum(x=distance, y=ops.Sub(x=np.asarray(length, precision), y=distance))
            far.append(ops.Greater(x=distance, y=limit))
        return functools.reduce(lambda a, b: ops.LogicalOr(x=a, y=b), far)

    def inside(self, x: Tensor) -> Tensor:
        """Return x without its border."""
        for axis, (before, after) in zip(self.layout.axes, self.layout.border, strict=False):
            if before or after:
                x = self._stretch(x, axis, before)
        return x

    def modes(self, x: Tensor, bordered: Tensor, position: Sequence[Tensor]) -> Tensor:
        """Tell which entries are as large as all neighbours, and larger than the one on the way to `position`.

        bordered: x with its border. Entries beyond the array count as the lowest number. Both the largest
        neighbour and the one on the way are found axis by axis.
        """
        ops, layout = self.ops, self.layout
        around = nearer = self._surrounded(bordered)
        for number, (axis, at) in enumerate(zip(layout.axes, position, strict=True)):
            index = self._along(axis, layout.shape[axis])
            before, here, after = (self._stretch(nearer, axis, start) for start in range(3))
            sides = (before, here, after) if number == 0 else (self._stretch(around, axis, k) for k in range(3))
            ahead = ops.Less(x=index, y=at)
            if length := layout.round(axis):  # hard is ahead if it is no more than half a turn away
                away = ops.FloorMod(x=ops.Sub(x=at, y=index), y=np.asarray(length, layout.precision))
                ahead = ops.LessEqual(x=away, y=np.asarray(length / 2, layout.precision))
            nearer = ops.SelectV2(condition=ahead, t=after, e=before)
            if len(layout.axes) > 1:
                nearer = ops.SelectV2(condition=ops.Equal(x=index, y=at), t=here, e=nearer)
            around = functools.reduce(lambda a, b: ops.Maximum(x=a, y=b), sides)
        highest, above = ops.GreaterEqual(x=x, y=around), ops.Greater(x=x, y=nearer)
        return ops.LogicalAnd(x=highest, y=above)

    def _surrounded(self, x: Tensor) -> Tensor:
        """Return x with its border, extended by one entry on each side without a border."""
        ops, layout = self.ops, self.layout
        borders = layout.border or ((0, 0),) * len(layout.axes)
        padding = np.zeros((len(layout.shape), 2), I4)
        for axis, border in zip(layout.axes, borders, strict=True):
            if layout.round(axis) == layout.shape[axis]:  # the whole of it: its ends are neighbours
                last, first = (self._stretch(x, axis, at, 1) for at in (layout.shape[axis] - 1, 0))
                x = ops.ConcatV2(values=[last, x, first], axis=np.int32(axis))
            else:
                padding[axis] = 1 - np.array(border, I4)
        lowest = self.full(-math.inf) if self.exact.kind == "f" else np.asarray(np.iinfo(self.exact).min, self.exact)
        return ops.PadV2(input=x, paddings=padding, constant_values=lowest)

    def _stretch(self, x: Tensor, axis: int, start: int, length: int | None = None) -> Tensor:
        """Return a part of x along `axis`, from `start` on; by default as long as the block."""
        begin, size = np.zeros(len(self.layout.shape), I4), np.full(len(self.layout.shape), -1, I4)
        begin[axis], size[axis] = start, self.layout.shape[axis] if length is None else length
        return self.ops.Slice(input=x, begin=begin, size=size)

    def largest(self, weight: Tensor, where: Tensor) -> Tensor:
        """Return the largest weight for which `where` holds, (s,); 0 if there is none."""
        some = self.ops.SelectV2(condition=where, t=weight, e=np.zeros((), self.layout.precision))
        return self.flat(self.ops.Max(input=some, axis=self.axes, keep_dims=True))

    def rounded(self, x: Tensor) -> Tensor:
        """Return x in the precision of the weights."""
        return x if self.exact == self.layout.precision else self.ops.Cast(x=x, DstT=self.layout.precision)

    def gap(self, x: Tensor, top: Tensor) -> Tensor:
        """Return x − top, subtracted before it is rounded to the precision of the weights."""
        ops, layout = self.ops, self.layout
        if layout.dtype in (I8, U8):  # the difference always fits into unsigned integers
            below = ops.Sub(x=ops.Cast(x=top, DstT=U8), y=ops.Cast(x=x, DstT=U8))
            return ops.Neg(x=ops.Cast(x=below, DstT=layout.precision))
        difference = ops.Sub(x=x, y=top)
        return difference if self.exact == layout.precision else ops.Cast(x=difference, DstT=layout.precision)

    def first(self, hit: Tensor) -> list[Tensor]:
        """Return the position of the first hit along each reduced axis, broadcastable, in the precision."""
        ops, precision = self.ops, self.layout.precision
        count = math.prod(self.lengths)
        strides = [math.prod(self.lengths[k + 1 :]) for k in range(len(self.lengths))]
        pairs = zip(self.layout.axes, strides, strict=True)
        # Large Python numbers would make doubles of these before NumPy 2.
        strided = (self._along(axis, self.layout.shape[axis]) * np.asarray(n, precision) for axis, n in pairs)
        left = np.asarray(count, precision) - sum(strided)
        # XLA's ArgMax is slow on CPUs; the largest position, counted from the end, is not.
        best = ops.Max(
            input=ops.SelectV2(condition=hit, t=left, e=np.zeros((), precision)), axis=self.axes, keep_dims=True
        )
        first = ops.Sub(x=np.asarray(count, precision), y=best)
        if len(self.lengths) == 1:
            return [first]
        rest, positions = ops.Cast(x=first, DstT=I4), []
        for stride in np.array(strides, I4):
            positions.append(ops.Cast(x=ops.FloorDiv(x=rest, y=stride), DstT=precision))
            rest = ops.FloorMod(x=rest, y=stride)
        return positions

    def cut(self, terms: Tensor) -> Tensor:
        """Cut the tiled axis of `terms` into two, tiles and positions within them; zeros fill the last tile."""
        if not self.tiled:
            return terms
        shape, axis = self.layout.shape, self.axis
        if spare := self.tiles * self.width - shape[axis]:
            padding = [[0, spare if k == axis else 0] for k in range(len(shape))]
            terms = self.ops.Pad(input=terms, paddings=np.array(padding, I4))
        return self.ops.Reshape(tensor=terms, shape=np.array(self._tiled(shape, self.width), I4))

    def within(self, terms: Tensor) -> Tensor:
        """Sum over each tile, in float64; without tiles, over the reduced axes."""
        if not self.tiled:
            return self.ops.Sum(input=terms, axis=self.axes, keep_dims=True)
        sums = self.ops.Sum(input=terms, axis=np.array([self.axis + 1], I4), keep_dims=False)
        return self.ops.Cast(x=sums, DstT=F8)

    def product(self, x: Tensor, y: Tensor) -> Tensor:
        """Return x times y, to be summed."""
        # XLA sums plain products on CPUs slowly; the maximum, which has no effect, avoids that.
        return self.ops.Maximum(x=self.ops.Mul(x=x, y=y), y=self.lowest)

    def across(self, sums: Tensor) -> Tensor:
        """Add up the sums of tiles, (s,)."""
        return self.flat(self.ops.Sum(input=sums, axis=self.axes, keep_dims=False) if self.tiled else sums)

    def sum(self, terms: Tensor) -> Tensor:
        """Sum over the reduced axes, (s,)."""
        return self.across(self.within(self.cut(terms)))

    def moments(
        self, weight: Tensor, mass: Tensor, axis: int, position: Tensor, squares: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Return Σ w (i − position) along `axis`, (s,), and with `squares` Σ w (i − position)², (s,).

        weight: as `cut` returns it; mass: its sums `within` tiles. Each tile is summed about its index nearest to
        `position`, so that no distance is large beside what it contributes; its sums are then moved to `position`, in
        float64.
        """
        ops, precision = self.ops, self.layout.precision
        first = second = shift = None
        if not self.tiled:
            distance = ops.Sub(x=self._along(axis, self.layout.shape[axis]), y=position)
        elif axis == self.axis:
            low = self._along(axis, self.tiles) * self.width
            nearest = ops.Minimum(x=ops.Maximum(x=position, y=low), y=low + np.asarray(self.width - 1, precision))
            shape = [1 if k in self.layout.axes else n for k, n in enumerate(self.layout.shape)]
            indices = self._along(axis, self.tiles * self.width).reshape(self._tiled([1] * len(shape), self.width))
            distance = ops.Sub(x=indices, y=ops.Reshape(tensor=nearest, shape=np.array(self._tiled(shape, 1), I4)))
            shift = ops.Cast(x=ops.Sub(x=nearest, y=position), DstT=F8)
        else:  # a tile lies at one position along this axis
            distance = None
            shift = ops.Cast(x=ops.Sub(x=self._along(axis, self.layout.shape[axis]), y=position), DstT=F8)

        if distance is not None:
            product = self.product(weight, distance)
            first = self.within(product)
            second = self.within(self.product(product, distance)) if squares else None
        if shift is not None:
            moved = ops.Mul(x=shift, y=mass)
            whole = moved if first is None else ops.AddV2(x=first, y=moved)
            if squares:  # Σ w (d + s)² = Σ w d² + s (Σ w d + Σ w (d + s))
                twice = whole if first is None else ops.AddV2(x=first, y=whole)
                moved = ops.Mul(x=shift, y=twice)
                second = moved if second is None else ops.AddV2(x=second, y=moved)
            first = whole
        return self.across(first), self.across(second) if squares else None

    def placed_moments(
        self, weight: Tensor, row: Moment, coordinates: Tensor, center: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return the moments of coordinates, (n,), about `center`, (s,) each, the second if the row wants it.

        They are summed in float64: coordinates may lie so far apart that float32 would not keep the error bound.
        """
        ops, axis = self.ops, self.layout.axes[row.axis]
        shape = [-1 if k == axis else 1 for k in range(len(self.layout.shape))]
        distance = ops.Sub(x=ops.Reshape(tensor=coordinates, shape=np.array(shape, I4)), y=center)
        weight = weight if self.layout.precision == F8 else ops.Cast(x=weight, DstT=F8)
        first, second = (
            self.flat(ops.Sum(input=ops.Mul(x=weight, y=term), axis=self.axes, keep_dims=True)) if wanted else None
            for term, wanted in zip(row.geometry.terms(ops, distance), (True, row.squared), strict=True)
        )
        return first, second

    def means(self, mass: Tensor, moments: Any, hard: Sequence[Tensor], centers: Sequence[Tensor]) -> list[Tensor]:
        """Return for each reduced axis the coordinate of hard and the mean, counted from it, (s,) each in float64.

        In a row that is not placed, the coordinate is the index in the block.
        """
        ops, given, means = self.ops, iter(centers), list[Tensor]()
        mass = ops.Cast(x=mass, DstT=F8)
        for row, pair in zip(self.layout.rows[: len(hard)], moments, strict=False):
            first, second = (None if each is None else ops.Cast(x=each, DstT=F8) for each in pair)
            at = next(given) if row.placed else hard[row.axis]
            means += [self.flat(ops.Cast(x=at, DstT=F8)), row.geometry.center(ops, first, second, mass)]
        return means

    def slopes(self, weight: Tensor, coordinates: Sequence[Tensor], means: Sequence[Tensor]) -> list[Tensor]:
        """Return Σ (w t)² for each reduced axis, (s,), with the pull t of coordinates about a mean; see `means`."""
        ops, layout, given, found = self.ops, self.layout, iter(coordinates), []
        for row, at, mean in zip(layout.rows, means[::2], means[1::2], strict=False):
            axis = layout.axes[row.axis]
            exact = F8 if row.placed or layout.known else layout.precision
            shape = [-1 if k == axis else 1 for k in range(len(layout.shape))]
            indices = self._along(axis, layout.shape[axis]).astype(exact)
            along = ops.Reshape(tensor=next(given), shape=np.array(shape, I4)) if row.placed else indices
            at, mean = (ops.Cast(x=self.unflat(each), DstT=exact) for each in (at, mean))
            pull = row.geometry.pull(ops, ops.Sub(x=ops.Sub(x=along, y=at), y=mean))
            term = ops.Mul(x=ops.Cast(x=weight, DstT=exact), y=ops.Mul(x=pull, y=np.asarray(RAISED, exact)))
            squares = self.sum(ops.Maximum(x=ops.Mul(x=term, y=term), y=np.zeros((), exact)))  # as in `product`
            found.append(ops.Mul(x=ops.Cast(x=squares, DstT=F8), y=np.float64(RAISED**-2)))
        return found

    def gather(self, coordinates: Sequence[Tensor], position: Sequence[Tensor]) -> list[Tensor]:
        """Return the coordinates at a position, for each row that is placed."""
        ops, centers = self.ops, []
        for values, row in zip(coordinates, [row for row in self.layout.rows if row.placed], strict=True):
            last = np.asarray(self.lengths[row.axis] - 1, I4)
            at = ops.Minimum(x=ops.Cast(x=position[row.axis], DstT=I4), y=last)  # a slice with NaN has no maximum
            centers.append(ops.GatherV2(params=values, indices=at, axis=np.zeros((), I4)))
        return centers

    def _along(self, axis: int, length: int) -> Any:
        """Return 0, 1, 2 … along `axis`, broadcastable, in the precision of the weights."""
        shape = [length if k == axis else 1 for k in range(len(self.layout.shape))]
        return np.arange(length).astype(self.layout.precision).reshape(shape)

    def _tiled(self, shape: Sequence[int], width: int) -> list[int]:
        """Return `shape` with the tiled axis replaced by tiles and their width."""
        return [*shape[: self.axis], self.tiles, width, *shape[self.axis + 1 :]]

    def flat(self, kept: Tensor) -> Tensor:
        """Return a tensor whose reduced axes have length 1 as (s,)."""
        return self.ops.Reshape(tensor=kept, shape=np.array([self.slices], I4))

    def unflat(self, row: Tensor) -> Tensor:
        """Return (s,) as a tensor whose reduced axes have length 1."""
        shape = [1 if k in self.layout.axes else n for k, n in enumerate(self.layout.shape)]
        return self.ops.Reshape(tensor=row, shape=np.array(shape, I4))

    def stack(self, rows: Sequence[Tensor]) -> Tensor:
        """Stack rows to (a, s) or (r, s), in float64 if any row of the layout is placed."""
        if any(row.placed for row in self.layout.rows):
            rows = [self.ops.Cast(x=row, DstT=F8) for row in rows]
        return self.ops.Pack(values=list(rows), axis=0)

    def number(self, condition: Tensor) -> Tensor:
        """Return 1 where a condition holds, 0 elsewhere, in the precision of the weights."""
        return self.ops.Cast(x=condition, DstT=self.layout.precision)

    def full(self, value: float) -> Any:
        """Return a constant in the dtype of `comparable`."""
        return np.asarray(value, self.exact)
