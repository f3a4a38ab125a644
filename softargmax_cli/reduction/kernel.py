"""The reduction of one block in the vocabulary of `tf.raw_ops`.

`ops` is `tf.raw_ops` or anything that takes the same names and keywords. Shapes are static. NumPy values
become constants; inputs are passed in the order of the operation's definition.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from softargmax_cli.reduction.formulas import Formulas, Tensor
from softargmax_cli.reduction.layout import SHARED, Layout


def block_sums(
    ops: Any,
    x: Tensor,
    betas: Sequence[Tensor],
    layout: Layout,
    coordinates: Sequence[Tensor] = (),
    known: Sequence[Tensor] = (),
) -> list[Tensor]:
    """Sum one block: the parts of a `state.State`, slices in the order of the axes that stay.

    x: `layout.bordered` of `layout.dtype`; betas: scalars of `layout.precision`; β x is the logarithm of a weight;
    coordinates: for each placed row of the layout those of the block's indices, (n,), float64.
    known: if `layout.known`, in this order, (s,) each:
        the maximum, in the dtype of `exact_dtype`;
        for each reduced axis hard, in the precision, counted from the start of the block and perhaps outside of it;
        for each placed row the coordinate of hard, float64;
        for the share alone: the mass, in the precision;
        for slopes: for each reduced axis the coordinate of hard and the mean, float64, as from `Formulas.means`.

    Returns `layout.outputs` for s slices, a reduced axes and r rows, and for each further β the outputs that depend on
    it. All but "total" and "second" count only weights within the window. Weights are relative to that of the maximum.
        maximum: (s,), of −x for a cost;
        hard: (a, s), counted within the block;
        mass: (s,), Σ w within the window; total: (s,), Σ w of all weights;
        moment, second_moment: (r, s) each, the sums of w times the `terms` of a row's geometry about hard, the second 0
        if the row has none;
        slope: (a, s), Σ (w t)² with the pull t of a row's geometry about the mean;
        log_moment: (s,), Σ w ln w;
        ties: (s,), the number of entries equal to the maximum;
        second: (s,), the largest weight of the local maxima beyond the radius (see `Formulas.modes`), 0 without one;
        nans: (s,), the number of NaNs, if the layout is careful;
        weight: alone, w, shaped as the block; share: w / mass, likewise.
    All are floats but the maximum of integers. NaNs count as absent if the layout is careful; else the total of their
    slice, or the mass if there is no window, is NaN, as it is for negative "probs".
    """
    block = Formulas(ops, layout)
    x = block.comparable(x)
    absent = 0.0 if layout.kind == "probs" else -math.inf
    results: dict[str, Tensor] = {}
    if layout.careful:
        nan = ops.IsNan(x=x)
        x = ops.SelectV2(condition=nan, t=block.full(absent), e=x)
        results["nans"] = block.sum(block.number(block.inside(nan))) if "nans" in layout.outputs else None
    bordered, x = x, block.inside(x)
    if layout.known:
        rest = 1 + len(layout.axes)  # where the inputs after hard begin
        top, *hard = [block.unflat(row) for row in known[:rest]]
        centers = [block.unflat(row) for row in known[rest : rest + len(coordinates)]]
        last = known[rest + len(coordinates) :]
        hit = ops.Equal(x=x, y=top)
    else:
        top = ops.Max(input=x, axis=block.axes, keep_dims=True)
        hit = ops.Equal(x=x, y=top)
        hard = block.first(hit)
        centers = block.gather(coordinates, hard) if coordinates else []
        results["maximum"] = block.flat(top)
        results["hard"] = block.stack([block.flat(position) for position in hard])
    if "ties" in layout.outputs:
        results["ties"] = block.sum(block.number(hit))

    def sums_of(beta: Tensor) -> dict[str, Tensor]:
        weight, log_weight = block.weights(x, top, hit, beta)
        sums: dict[str, Tensor] = {}
        if "second" in layout.outputs:
            far = block.beyond(hard, layout.radius)
            sums["second"] = block.largest(weight, ops.LogicalAnd(x=far, y=block.modes(x, bordered, hard)))
        if layout.window is not None:
            if "total" in layout.outputs:
                sums["total"] = block.sum(weight)
            weight = ops.SelectV2(
                condition=block.beyond(hard, layout.window), t=np.zeros((), layout.precision), e=weight
            )
        if layout.outputs == ("weight",):
            return {"weight": weight}
        if layout.outputs == ("share",):
            (mass,) = last
            return {"share": ops.RealDiv(x=weight, y=block.unflat(mass))}
        tiles = block.cut(weight)
        mass = block.within(tiles)
        sums["mass"] = block.across(mass)
        if "share" in layout.outputs:
            whole = block.unflat(ops.Cast(x=sums["mass"], DstT=layout.precision))
            sums["share"] = ops.RealDiv(x=weight, y=whole)
        if "moment" in layout.outputs:
            placed, pairs = iter(zip(coordinates, centers, strict=True)), []
            for row in layout.rows:
                if row.placed:
                    pairs.append(block.placed_moments(weight, row, *next(placed)))
                else:
                    pairs.append(block.moments(tiles, mass, layout.axes[row.axis], hard[row.axis], row.squared))
            sums["moment"] = block.stack([first for first, _ in pairs])
            if "second_moment" in layout.outputs:
                seconds = [ops.ZerosLike(x=first) if second is None else second for first, second in pairs]
                sums["second_moment"] = block.stack(seconds)
        if "slope" in layout.outputs:
            means = last if layout.known else block.means(sums["mass"], pairs, hard, centers)
            sums["slope"] = block.stack(block.slopes(weight, coordinates, means))
        if "log_moment" in layout.outputs:
            log_weight = ops.Log(x=weight) if log_weight is None else log_weight
            # A weight of 0 has a logarithm of −inf; any finite stand-in gives the right product, 0.
            sums["log_moment"] = block.sum(block.product(weight, ops.Maximum(x=log_weight, y=block.lowest)))
        return sums

    outputs = []
    for number, beta in enumerate(betas):
        results.update(sums_of(beta))
        outputs += [results[name] for name in layout.outputs if number == 0 or name not in SHARED]
    return outputs
