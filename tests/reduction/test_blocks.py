"""The geometry of blocks: literals, and what holds for every plan."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softargmax_cli.errors import OptionError, as_typed
from softargmax_cli.reduction.blocks import WIDER, Block, Order, Plan, plan
from softargmax_cli.reduction.budget import HELD, STATES, boxes_of


def boxes(made: Plan) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    return [(block.start, block.stop) for block in made]


def slices(block: Block) -> tuple[slice, ...]:
    return tuple(map(slice, block.start, block.stop))


@st.composite
def cases(draw: st.DrawFn, shortest: int = 1) -> tuple[tuple[int, ...], tuple[int, ...], Order, int]:
    """A shape, reduced axes in any order, the order of the file, and a bound on elements."""
    shape = tuple(draw(st.lists(st.integers(shortest, 7), min_size=1, max_size=5)))
    axes = draw(st.lists(st.sampled_from(range(len(shape))), min_size=1, max_size=len(shape), unique=True))
    order: Order = draw(st.sampled_from(("C", "F")))
    return shape, tuple(axes), order, draw(st.integers(1, math.prod(n + 1 for n in shape)))


class TestLiterals:
    def test_an_array_that_fits_is_one_block(self) -> None:
        made = plan((3, 4), (1,), "C", 100, contiguous=False)
        assert boxes(made) == [((0, 0), (3, 4))]
        assert made.elements_by_shape() == {(3, 4): 12}

    def test_the_last_block_is_shorter(self) -> None:
        made = plan((5, 4), (1,), "C", 8, contiguous=False)
        assert boxes(made) == [((0, 0), (2, 4)), ((2, 0), (4, 4)), ((4, 0), (5, 4))]
        assert made.elements_by_shape() == {(2, 4): 16, (1, 4): 4}

    def test_a_long_slice_is_cut_in_parts_that_are_alike(self) -> None:
        made = plan((2, 10), (1,), "C", 4, contiguous=False)
        assert [block.shape for block in made] == [(1, 4), (1, 4), (1, 2)] * 2
        assert [block.start for block in made] == [(0, 0), (0, 4), (0, 8), (1, 0), (1, 4), (1, 8)]
        assert {block.shape for block in plan((1, 9), (1,), "C", 5, contiguous=False)} == {(1, 5), (1, 4)}

    @pytest.mark.parametrize("shape", [(0, 5), (0, 5, 3), (4, 5, 0), (0, 5, 0)])
    @pytest.mark.parametrize("contiguous", [False, True])
    def test_no_slices_need_no_blocks(self, shape: tuple[int, ...], contiguous: bool) -> None:
        for order in ("C", "F"):
            assert boxes(plan(shape, (1,), order, 8, contiguous=contiguous)) == []

    @pytest.mark.parametrize(
        ("shape", "axes", "extent"),
        [
            ((2, 1 << 20), (0, 1), (1, 1024)),
            ((2, 3, 1 << 20), (2, 0, 1), (1, 1, 1024)),
            ((5, 2, 64, 32), (3, 1, 2), (1, 1, 32, 32)),
            ((5, 16, 4), (1, 2), (5, 16, 4)),
            ((2, 512, 32), (0, 2), (1, 512, 32)),  # the slices lie side by side
        ],
    )
    def test_a_pipe_of_large_slices(
        self, shape: tuple[int, ...], axes: tuple[int, ...], extent: tuple[int, ...]
    ) -> None:
        """Is cut wherever one slice is finished before the next one begins."""
        assert plan(shape, axes, "C", 1024, contiguous=True).extent == extent
        turned = tuple(len(shape) - 1 - axis for axis in axes)
        assert plan(shape[::-1], turned, "F", 1024, contiguous=True).extent == extent[::-1]

    @pytest.mark.parametrize(
        ("shape", "axes", "extent"),
        [
            ((2, 1 << 24, 2), (0, 2), (2, 1 << 18, 2)),
            ((64, 1 << 20, 48), (0, 2), (64, 341, 48)),
            ((1 << 20, 1 << 20, 4), (1, 2), (1, 1 << 17, 4)),  # the axis that stays lies outside
            ((1 << 20, 1 << 20, 8), (0, 2), (128, 1024, 8)),  # a stretch of 8192
        ],
    )
    def test_whole_slices_of_which_parts_lie_side_by_side(
        self, shape: tuple[int, ...], axes: tuple[int, ...], extent: tuple[int, ...]
    ) -> None:
        assert plan(shape, axes, "C", 1 << 19, contiguous=False).extent == extent
        turned = tuple(len(shape) - 1 - axis for axis in axes)
        assert plan(shape[::-1], turned, "F", 1 << 19, contiguous=False).extent == extent[::-1]

    def test_a_shape_beyond_64_bits(self) -> None:
        """As a stream's header may claim; blocks are not listed before they are read."""
        made = plan((1 << 70, 3), (1,), "C", 3 << 10, contiguous=False)
        assert next(iter(made)).shape == (1 << 10, 3)


class TestEveryPlan:
    @settings(max_examples=60)
    @given(cases(), st.booleans())
    def test_blocks_tile_the_array_and_finish_slices_in_order(self, case: Any, contiguous: bool) -> None:
        shape, axes, order, elements = case
        made = plan(*case, contiguous=contiguous)
        kept = [k for k in range(len(shape)) if k not in axes]
        places = range(min(axes) + 1, len(shape)) if order == "C" else range(max(axes))
        side_by_side = any(k not in axes for k in places)
        row = math.prod(shape[k] for k in places) if side_by_side else 1  # what a pipe's block must hold, at least
        seen, listed = np.zeros(shape, int), []
        number = np.arange(math.prod(shape[k] for k in kept)).reshape([shape[k] for k in kept])
        counted: dict[tuple[int, ...], int] = {}
        for box in made.boxes():
            assert len({tuple((block.start[k], block.stop[k]) for k in kept) for block in box}) == 1
            assert [made.completes(block) for block in box] == [False] * (len(box) - 1) + [True]
            listed.append(number[tuple(slice(box[0].start[k], box[0].stop[k]) for k in kept)].ravel())
            for block in box:
                assert 0 < math.prod(block.shape) <= (max(elements, row) if contiguous else WIDER * elements)
                seen[slices(block)] += 1
                counted[block.shape] = counted.get(block.shape, 0) + math.prod(block.shape)
        assert (seen == 1).all()
        assert made.splits == any(len(box) > 1 for box in made.boxes())
        found = np.concatenate(listed)
        np.testing.assert_array_equal(found if made.in_order else np.sort(found), number.ravel())
        assert made.in_order or order == "F"
        assert made.elements_by_shape() == counted
        assert len(list(made)) == made.columns * made.parts


class TestBoxes:
    """Boxes of whole chunks."""

    @settings(max_examples=60)
    @given(cases(), st.lists(st.integers(1, 12), min_size=5, max_size=5), st.integers(0, 20_000))
    def test_hold_whole_chunks_and_fit_into_the_memory(self, case: Any, lengths: list[int], more: int) -> None:
        shape, axes, _, _ = case
        chunks, state = lengths[: len(shape)], 48
        memory = HELD * 8 * math.prod(chunks) + more
        plan, again = boxes_of(shape, axes, "C", 8, memory, chunks, state)
        kept = [k for k in range(len(shape)) if k not in axes]
        assert all(8 * math.prod(block.shape) <= memory for block in plan)
        for k, size in enumerate(plan.extent):
            assert again > 1 or size % min(chunks[k], max(1, shape[k])) == 0 or size >= shape[k]
        unfinished = math.prod(plan.extent[k] for k in kept) * STATES * state
        assert plan.parts <= 1 or unfinished <= memory // 2 or all(plan.extent[k] == 1 for k in kept)

    def test_a_chunk_that_does_not_fit(self) -> None:
        with pytest.raises(OptionError) as caught:
            boxes_of((100_000, 100), (1,), "C", 8, 120 << 20, (80_000, 100), 48)
        assert as_typed(caught.value.what) == (
            "--memory: one chunk of the input, 80000 × 100, takes 64 MB, and as much again while it is decoded"
        )
        assert as_typed(caught.value.remedy) == "use --memory 123MiB, or store the array in smaller chunks"
        boxes_of((100_000, 100), (1,), "C", 8, 123 << 20, (80_000, 100), 48)
