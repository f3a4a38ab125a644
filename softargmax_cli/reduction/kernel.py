"""The reduction of one block, once, in the vocabulary of `tf.raw_ops`.

`ops` is `tf.raw_ops` or anything that takes the same names and keywords. Shapes are static. NumPy values
become constants; inputs are passed in the order of the operation's definition.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Tensor = Any
F4, F8, I4, I8, U8 = map(np.dtype, ("float32", "float64", "int32", "int64", "uint64"))

TILE = 128
"""Positions whose weights and moments are summed in float32, about the nearest of them to the maximum: few enough
for the accuracy bound, wherever the weight lies. Tiles are added up in float64."""
FLOAT_INDEX = 1 << 24
"""Positions below this are exact in float32: no block may be longer along its reduced axes."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A block as the kernel sees it, and what is wanted of it. Equal layouts share one compiled program."""

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    """The reduced axes of `shape`, ascending: the order of positions, and of the coordinates returned."""
    dtype: np.dtype[Any]
    precision: np.dtype[Any]
    """float32 or float64, of the weights."""
    second_moment: bool = False
    log_moment: bool = False
    ties: bool = False
    careful: bool = False
    """Whether scores may be NaN or +inf, and slices −inf throughout. It costs time: blocks are first tried without."""


def block_sums(ops: Any, x: Tensor, beta: Tensor, layout: Layout) -> list[Tensor]:
    """What `state.State` holds of one block, slices in the order of the axes that stay.

    x: `layout.shape` of `layout.dtype`; beta: scalar of `layout.precision`, times x is a logarithm of weight.
    Returns, s slices and a reduced axes: maximum (s,); hard (a, s), counted within the block; mass (s,);
    moment (a, s); then, as far as the layout wants them, second_moment (a, s), log_moment (s,), ties (s,);
    and for a careful one the number of NaNs (s,), which otherwise count as absent. All are floats but the maximum
    of integers. Without `careful` the mass of a slice that would have needed it is NaN.
    """
    block = _Block(ops, layout)
    x = block.comparable(x)
    if layout.careful:
        nan = ops.IsNan(x=x)
        x = ops.SelectV2(condition=nan, t=block.full(-math.inf), e=x)
    top = ops.Max(input=x, axis=block.axes, keep_dims=True)
    hit = ops.Equal(x=x, y=top)
    hard = block.first(hit)

    if layout.careful:
        infinite = ops.Equal(x=top, y=block.full(math.inf))
        finite = ops.SelectV2(condition=ops.IsFinite(x=top), t=top, e=ops.ZerosLike(x=top))
        log_weight = ops.Mul(x=block.gap(x, finite), y=beta)
        log_weight = ops.SelectV2(condition=infinite, t=ops.Log(x=block.number(hit)), e=log_weight)
    else:
        log_weight = ops.Mul(x=block.gap(x, top), y=beta)
    weight = ops.Exp(x=log_weight)

    tiles = block.cut(weight)
    mass = block.within(tiles)
    moments = [block.moments(tiles, mass, axis, position) for axis, position in zip(layout.axes, hard, strict=True)]
    results = [
        block.flat(top),
        block.stack([block.flat(position) for position in hard]),
        block.across(mass),
        block.stack([first for first, _ in moments]),
    ]
    if layout.second_moment:
        results.append(block.stack([second for _, second in moments]))
    if layout.log_moment:
        # A weight of 0 has a logarithm of −inf; any finite stand-in gives the right product, 0.
        lowest = np.asarray(np.finfo(layout.precision).min, layout.precision)
        results.append(block.sum(block.product(weight, ops.Maximum(x=log_weight, y=lowest))))
    if layout.ties:
        results.append(block.sum(block.number(hit)))
    if layout.careful:
        results.append(block.sum(block.number(nan)))
    return results


class _Block:
    """Shapes and dtypes of one layout, so that the formulas above need not speak of them."""

    def __init__(self, ops: Any, layout: Layout) -> None:
        self.ops, self.layout = ops, layout
        self.axes = np.array(layout.axes, I4)
        self.lengths = [layout.shape[axis] for axis in layout.axes]
        self.slices = math.prod(layout.shape) // math.prod(self.lengths)
        self.axis = layout.axes[-1]
        """The one that is cut into tiles, where one is."""
        self.tiled = layout.precision == F4 and math.prod(self.lengths) > TILE
        self.width = min(TILE, layout.shape[self.axis])
        self.tiles = -(-layout.shape[self.axis] // self.width)
        if math.prod(self.lengths) >= FLOAT_INDEX:
            raise ValueError(f"a block of {math.prod(self.lengths)} positions is too long for exact indices")

    @property
    def exact(self) -> np.dtype[Any]:
        """The narrowest dtype not below the precision in which scores are as distinct as in the file."""
        dtype, precision = self.layout.dtype, self.layout.precision
        if dtype in (I8, U8):  # a float64 does not hold all of these
            return dtype
        if dtype.kind in "iu" and dtype.itemsize > 2:
            return F8
        return np.promote_types(dtype, precision) if dtype.kind == "f" else precision

    def comparable(self, x: Tensor) -> Tensor:
        """x in the dtype `exact`."""
        return x if self.exact == self.layout.dtype else self.ops.Cast(x=x, DstT=self.exact)

    def gap(self, x: Tensor, top: Tensor) -> Tensor:
        """x − top, subtracted before it is rounded to the precision of the weights."""
        ops, layout = self.ops, self.layout
        if layout.dtype in (I8, U8):  # may leave the range of the signed, but never that of the unsigned
            below = ops.Sub(x=ops.Cast(x=top, DstT=U8), y=ops.Cast(x=x, DstT=U8))
            return ops.Neg(x=ops.Cast(x=below, DstT=layout.precision))
        difference = ops.Sub(x=x, y=top)
        return difference if self.exact == layout.precision else ops.Cast(x=difference, DstT=layout.precision)

    def first(self, hit: Tensor) -> list[Tensor]:
        """For each reduced axis the position of the first hit, broadcastable, as floats of the precision."""
        ops, precision = self.ops, self.layout.precision
        count = math.prod(self.lengths)
        shape = [n if k in self.layout.axes else 1 for k, n in enumerate(self.layout.shape)]
        # ArgMax would do, but XLA's is slow on CPUs; the largest of the positions counted from the end is not.
        left = np.arange(count, 0, -1).astype(precision).reshape(shape)
        best = ops.Max(
            input=ops.SelectV2(condition=hit, t=left, e=np.zeros((), precision)), axis=self.axes, keep_dims=True
        )
        first = ops.Sub(x=np.asarray(count, precision), y=best)
        if len(self.lengths) == 1:
            return [first]
        rest, positions = ops.Cast(x=first, DstT=I4), []
        for k in range(len(self.lengths)):
            stride = np.asarray(math.prod(self.lengths[k + 1 :]), I4)
            positions.append(ops.Cast(x=ops.FloorDiv(x=rest, y=stride), DstT=precision))
            rest = ops.FloorMod(x=rest, y=stride)
        return positions

    def cut(self, terms: Tensor) -> Tensor:
        """`terms` with the last reduced axis as two, tiles and positions within them; zeros fill the last tile."""
        if not self.tiled:
            return terms
        shape, axis = self.layout.shape, self.axis
        if spare := self.tiles * self.width - shape[axis]:
            padding = [[0, spare if k == axis else 0] for k in range(len(shape))]
            terms = self.ops.Pad(input=terms, paddings=np.array(padding, I4))
        return self.ops.Reshape(tensor=terms, shape=np.array(self._tiled(shape, self.width), I4))

    def within(self, terms: Tensor) -> Tensor:
        """Sums over each tile, in float64; over the reduced axes altogether where there are no tiles."""
        if not self.tiled:
            return self.ops.Sum(input=terms, axis=self.axes, keep_dims=True)
        sums = self.ops.Sum(input=terms, axis=np.array([self.axis + 1], I4), keep_dims=False)
        return self.ops.Cast(x=sums, DstT=F8)

    def product(self, x: Tensor, y: Tensor) -> Tensor:
        """x times y, to be summed."""
        # XLA's rule for sums of plain products on CPUs is a slow one; the maximum, of no effect, keeps it from that.
        lowest = np.asarray(np.finfo(self.layout.precision).min, self.layout.precision)
        return self.ops.Maximum(x=self.ops.Mul(x=x, y=y), y=lowest)

    def across(self, sums: Tensor) -> Tensor:
        """(s,): the sums of tiles added up."""
        return self.flat(self.ops.Sum(input=sums, axis=self.axes, keep_dims=False) if self.tiled else sums)

    def sum(self, terms: Tensor) -> Tensor:
        """(s,): the sum over the reduced axes."""
        return self.across(self.within(self.cut(terms)))

    def moments(self, weight: Tensor, mass: Tensor, axis: int, position: Tensor) -> tuple[Tensor, Tensor]:
        """(s,), (s,): Σ w (i − position) along `axis`, and of the squares if they are wanted.

        weight: as cut; mass: its sums within tiles. A tile is summed about the point of it nearest to `position`,
        so that no distance is large beside what it contributes, and moved from there in float64.
        """
        ops, precision = self.ops, self.layout.precision
        squares = self.layout.second_moment
        first = second = shift = None
        if not self.tiled:
            distance = ops.Sub(x=self._along(axis, self.layout.shape[axis]), y=position)
        elif axis == self.axis:
            low = self._along(axis, self.tiles) * self.width
            nearest = ops.Minimum(x=ops.Maximum(x=position, y=low), y=low + np.asarray(self.width - 1, precision))
            shape = [1 if k in self.layout.axes else n for k, n in enumerate(self.layout.shape)]
            places = self._along(axis, self.tiles * self.width).reshape(self._tiled([1] * len(shape), self.width))
            distance = ops.Sub(x=places, y=ops.Reshape(tensor=nearest, shape=np.array(self._tiled(shape, 1), I4)))
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

    def _along(self, axis: int, length: int) -> Any:
        """0, 1, 2 … along `axis`, broadcastable, in the precision of the weights."""
        shape = [length if k == axis else 1 for k in range(len(self.layout.shape))]
        return np.arange(length).astype(self.layout.precision).reshape(shape)

    def _tiled(self, shape: Sequence[int], width: int) -> list[int]:
        """`shape` with tiles of that width in the place of the axis that is cut."""
        return [*shape[: self.axis], self.tiles, width, *shape[self.axis + 1 :]]

    def flat(self, kept: Tensor) -> Tensor:
        """(s,): a tensor with reduced axes of length 1."""
        return self.ops.Reshape(tensor=kept, shape=np.array([self.slices], I4))

    def stack(self, rows: Sequence[Tensor]) -> Tensor:
        """(a, s)."""
        return self.ops.Pack(values=list(rows), axis=0)

    def number(self, condition: Tensor) -> Tensor:
        """1 where it holds, 0 elsewhere, in the precision of the weights."""
        return self.ops.Cast(x=condition, DstT=self.layout.precision)

    def full(self, value: float) -> Any:
        """A constant to compare with what is `comparable`, or to select beside it."""
        return np.asarray(value, self.exact)
