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

TILE = 512
"""A float32 sum over this many terms, each rounded, keeps the accuracy bound; longer ones continue in float64."""
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
    Returns, s slices and a reduced axes: maximum (s,); hard (a, s) int64, counted within the block; mass (s,);
    moment (a, s); then, as far as the layout wants them, second_moment (a, s), log_moment (s,), ties (s,);
    and for a careful one the number of NaNs (s,), which otherwise count as absent. Without `careful` the mass
    of a slice that would have needed it is NaN.
    """
    block = _Block(ops, layout)
    x = block.comparable(x)
    if layout.careful:
        nan = ops.IsNan(x=x)
        x = ops.SelectV2(condition=nan, t=block.full(-math.inf, x), e=x)
    top = ops.Max(input=x, axis=block.axes, keep_dims=True)
    hit = ops.Equal(x=x, y=top)
    hard = block.first(hit)

    if layout.careful:
        infinite = ops.Equal(x=top, y=block.full(math.inf, top))
        finite = ops.SelectV2(condition=ops.IsFinite(x=top), t=top, e=ops.ZerosLike(x=top))
        log_weight = ops.Mul(x=block.gap(x, finite), y=beta)
        log_weight = ops.SelectV2(condition=infinite, t=ops.Log(x=block.number(hit)), e=log_weight)
    else:
        log_weight = ops.Mul(x=block.gap(x, top), y=beta)
    weight = ops.Exp(x=log_weight)

    moments, second_moments = [], []
    for axis, position in zip(layout.axes, hard, strict=True):
        distance = ops.Sub(x=block.positions(axis), y=position)
        product = ops.Mul(x=weight, y=distance)
        moments.append(block.sum(product))
        if layout.second_moment:
            second_moments.append(block.sum(ops.Mul(x=product, y=distance)))
    results = [
        block.flat(top),
        block.stack([block.flat(ops.Cast(x=position, DstT=I8)) for position in hard]),
        block.sum(weight),
        block.stack(moments),
    ]
    if layout.second_moment:
        results.append(block.stack(second_moments))
    if layout.log_moment:
        # A weight of 0 has a logarithm of −inf; any finite stand-in gives the right product, 0.
        lowest = np.asarray(np.finfo(layout.precision).min, layout.precision)
        results.append(block.sum(ops.Mul(x=weight, y=ops.Maximum(x=log_weight, y=lowest))))
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

    def positions(self, axis: int) -> Any:
        """0, 1, 2 … along `axis`, broadcastable."""
        shape = [n if k == axis else 1 for k, n in enumerate(self.layout.shape)]
        return np.arange(self.layout.shape[axis]).astype(self.layout.precision).reshape(shape)

    def sum(self, terms: Tensor) -> Tensor:
        """(s,) float64: the sum over the reduced axes, in tiles of the last of them."""
        ops, shape, axes = self.ops, list(self.layout.shape), list(self.layout.axes)
        if self.layout.precision == F4 and math.prod(self.lengths) > TILE:
            axis, width = axes[-1], min(TILE, shape[axes[-1]])
            tiles = -(-shape[axis] // width)
            if spare := tiles * width - shape[axis]:
                padding = np.array([[0, spare if k == axis else 0] for k in range(len(shape))], I4)
                terms = ops.Pad(input=terms, paddings=padding)
            tiled = [*shape[:axis], tiles, width, *shape[axis + 1 :]]
            terms = ops.Reshape(tensor=terms, shape=np.array(tiled, I4))
            terms = ops.Sum(input=terms, axis=np.array([axis + 1], I4), keep_dims=False)
        terms = ops.Sum(input=ops.Cast(x=terms, DstT=F8), axis=self.axes, keep_dims=False)
        return ops.Reshape(tensor=terms, shape=np.array([self.slices], I4))

    def flat(self, kept: Tensor) -> Tensor:
        """(s,): a tensor with reduced axes of length 1."""
        return self.ops.Reshape(tensor=kept, shape=np.array([self.slices], I4))

    def stack(self, rows: Sequence[Tensor]) -> Tensor:
        """(a, s)."""
        return self.ops.Pack(values=list(rows), axis=0)

    def number(self, condition: Tensor) -> Tensor:
        """1 where it holds, 0 elsewhere, in the precision of the weights."""
        return self.ops.Cast(x=condition, DstT=self.layout.precision)

    def full(self, value: float, like: Tensor) -> Any:
        """A constant to compare with or select beside `like`."""
        return np.asarray(value, self.exact)
