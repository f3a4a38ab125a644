"""The gradient over a box, which may be many times larger than the cache: block by block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from softargmax_cli.reduction.blocks import Order
from softargmax_cli.reduction.box_reducer import BoxReducer, SlicesOfBox
from softargmax_cli.reduction.gradient import BlockDifferentiator, By, Slope, joined
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.reducer import Array
from softargmax_cli.reduction.state import State


class BoxDifferentiator(BoxReducer):
    """What a differentiator of blocks says of a block, said of a box."""

    def __init__(self, blocks: BlockDifferentiator, problem: Problem, order: Order, elements: int) -> None:
        super().__init__(blocks, problem, order, elements)
        self._slopes = blocks

    def slope(
        self, values: Array, start: Sequence[int], known: State, by: By, *, keep: bool, compiled: bool
    ) -> tuple[Slope, Array | None]:
        """What the gradient over a box is like, and with `keep` the gradient; see `BlockDifferentiator.slope`."""
        plan, gradient = self._plan(values), None
        whole = SlicesOfBox(self._problem, plan, Slope)
        for box in plan.boxes():
            of_box, slope = whole.part(known, box[0]), None
            for block, piece in self._pieces(values, box):
                place = [a + b for a, b in zip(start, block.start, strict=True)]
                one, part = self._slopes.slope(piece, place, of_box, by, keep=keep, compiled=compiled)
                slope = joined(slope, one)
                if part is not None:
                    if gradient is None:
                        gradient = np.empty((*values.shape, *part.shape[values.ndim :]), part.dtype, order=self._order)
                    gradient[tuple(map(slice, block.start, block.stop))] = part
            assert slope is not None
            whole.put(slope, box[0])
        return whole.all(), gradient
