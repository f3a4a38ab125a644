"""The geometry of blocks: literals, and what holds for every plan."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from softargmax_cli.reduction.blocks import WIDER, Block, Order, Plan, plan, rows


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
        assert made.block_shapes() == {(3, 4)}

    def test_whole_rows_where_the_last_axis_is_reduced(self) -> None:
        made = plan((6, 4), (1,), "C", 8, contiguous=False)
        assert boxes(made) == [((0, 0), (2, 4)), ((2, 0), (4, 4)), ((4, 0), (6, 4))]

    def test_the_last_block_is_shorter(self) -> None:
        made = plan((5, 4), (1,), "C", 8, contiguous=False)
        assert boxes(made) == [((0, 0), (2, 4)), ((2, 0), (4, 4)), ((4, 0), (5, 4))]
        assert made.block_shapes() == {(2, 4), (1, 4)}
        assert made.elements_in((2, 4)) == 16
        assert made.elements_in((1, 4)) == 4

    def test_a_long_slice_is_cut_in_parts_that_are_alike(self) -> None:
        made = plan((2, 10), (1,), "C", 4, contiguous=False)
        assert [block.shape for block in made] == [(1, 4), (1, 4), (1, 2)] * 2
        assert [block.start for block in made] == [(0, 0), (0, 4), (0, 8), (1, 0), (1, 4), (1, 8)]
        assert {block.shape for block in plan((1, 9), (1,), "C", 5, contiguous=False)} == {(1, 5), (1, 4)}

    def test_slices_side_by_side_finish_one_stretch_after_the_other(self) -> None:
        made = plan((4, 9000), (0,), "C", 5000, contiguous=False)
        assert made.extent == (2, 4500)  # 4,096 elements of a row at least
        starts = [block.start for block in made]
        assert starts == sorted(starts, key=lambda start: start[::-1])

    def test_a_fortran_file_is_a_c_file_seen_from_behind(self) -> None:
        made = plan((4, 6), (0,), "F", 8, contiguous=False)
        assert boxes(made) == [((0, 0), (4, 2)), ((0, 2), (4, 4)), ((0, 4), (4, 6))]

    def test_one_axis(self) -> None:
        assert boxes(plan((5,), (0,), "C", 2, contiguous=True)) == [((0,), (2,)), ((2,), (4,)), ((4,), (5,))]

    def test_in_order(self) -> None:
        assert plan((4, 5, 6), (1,), "C", 7, contiguous=False).in_order
        assert not plan((4, 5, 6), (1,), "F", 7, contiguous=False).in_order
        assert plan((4, 5, 1), (1,), "F", 7, contiguous=False).in_order
        assert plan((4, 5), (1,), "F", 7, contiguous=False).in_order

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

    def test_the_parts_of_one_stretch_of_slices_make_a_box(self) -> None:
        made = plan((2, 10), (1,), "C", 4, contiguous=False)
        starts = [[block.start for block in box] for box in made.boxes()]
        assert starts == [[(0, 0), (0, 4), (0, 8)], [(1, 0), (1, 4), (1, 8)]]
        assert made.splits

    @pytest.mark.parametrize(
        ("shape", "axes", "elements", "splits"),
        [
            ((6, 4), (1,), 4, False),
            ((6, 4), (1,), 3, True),
            ((6, 4), (0, 1), 24, False),
            ((6, 4), (1, 0), 23, True),
            ((4, 3, 9000), (0, 1), 5000, True),
            ((4, 3, 9000), (0, 1), 4096 * 12, False),
        ],
    )
    def test_whether_slices_are_split(
        self, shape: tuple[int, ...], axes: tuple[int, ...], elements: int, splits: bool
    ) -> None:
        assert plan(shape, axes, "C", elements, contiguous=False).splits == splits

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
    @given(cases(), st.booleans())
    def test_blocks_tile_the_array(self, case: Any, contiguous: bool) -> None:
        shape, axes, order, elements = case
        seen = np.zeros(shape, int)
        places = range(min(axes) + 1, len(shape)) if order == "C" else range(max(axes))
        side_by_side = any(k not in axes for k in places)
        row = math.prod(shape[k] for k in places) if side_by_side else 1  # what a pipe's block must hold, at least
        for block in plan(*case, contiguous=contiguous):
            assert 0 < math.prod(block.shape) <= (max(elements, row) if contiguous else WIDER * elements)
            seen[slices(block)] += 1
        assert (seen == 1).all()

    @given(cases(), st.booleans())
    def test_a_slice_is_finished_before_the_next_is_begun(self, case: Any, contiguous: bool) -> None:
        shape, axes, _, _ = case
        kept = [k for k in range(len(shape)) if k not in axes]

        def stretch(block: Block) -> tuple[tuple[int, int], ...]:
            return tuple((block.start[k], block.stop[k]) for k in kept)

        begun = set()
        for key, group in itertools.groupby(plan(*case, contiguous=contiguous), key=stretch):
            assert key not in begun
            begun.add(key)
            *parts, last = group
            assert all(last.stop[axis] == shape[axis] for axis in axes)
            assert not any(all(part.stop[axis] == shape[axis] for axis in axes) for part in parts)

    @given(cases(), st.booleans())
    def test_boxes_are_the_blocks_of_the_same_slices(self, case: Any, contiguous: bool) -> None:
        shape, axes, _, _ = case
        kept = [k for k in range(len(shape)) if k not in axes]
        made = plan(*case, contiguous=contiguous)
        found = list(made.boxes())
        assert [block for box in found for block in box] == list(made)
        assert made.splits == any(len(box) > 1 for box in found)
        for box in found:
            assert len({tuple((block.start[k], block.stop[k]) for k in kept) for block in box}) == 1
            assert [made.completes(block) for block in box] == [False] * (len(box) - 1) + [True]
            covered = sum(math.prod(block.shape[axis] for axis in axes) for block in box)
            assert covered == math.prod(shape[axis] for axis in axes)

    @given(cases(), st.booleans())
    def test_slices_come_in_row_major_order(self, case: Any, contiguous: bool) -> None:
        shape, axes, order, _ = case
        made = plan(*case, contiguous=contiguous)
        assert made.in_order or order == "F"
        kept = [k for k in range(len(shape)) if k not in axes]
        number = np.arange(math.prod(shape[k] for k in kept)).reshape([shape[k] for k in kept])
        found = [
            number[tuple(slice(block.start[k], block.stop[k]) for k in kept)].ravel()
            for block in made
            if all(block.stop[axis] == shape[axis] for axis in axes)
        ]
        order_found = np.concatenate(found)
        if made.in_order:
            np.testing.assert_array_equal(order_found, number.ravel())
        else:
            np.testing.assert_array_equal(np.sort(order_found), number.ravel())

    @given(cases())
    def test_contiguous_blocks_are_the_file_in_its_order(self, case: Any) -> None:
        shape, _, order, _ = case
        place = np.arange(math.prod(shape)).reshape(shape, order=order)
        found = [place[slices(block)].ravel(order) for block in plan(*case, contiguous=True)]
        np.testing.assert_array_equal(np.concatenate(found), np.arange(place.size))

    @given(cases(), st.booleans())
    def test_the_shapes_that_occur(self, case: Any, contiguous: bool) -> None:
        made = plan(*case, contiguous=contiguous)
        counted: dict[tuple[int, ...], int] = {}
        for block in made:
            counted[block.shape] = counted.get(block.shape, 0) + math.prod(block.shape)
        assert made.block_shapes() == set(counted)
        assert {shape: made.elements_in(shape) for shape in counted} == counted

    @given(cases(), st.booleans())
    def test_orders_mirror_each_other(self, case: Any, contiguous: bool) -> None:
        shape, axes, order, elements = case
        turned = tuple(len(shape) - 1 - axis for axis in axes)
        other: Order = "F" if order == "C" else "C"
        mirrored = plan(shape[::-1], turned, other, elements, contiguous=contiguous)
        assert mirrored.extent[::-1] == plan(*case, contiguous=contiguous).extent

    @given(cases(shortest=0), st.booleans())
    def test_lengths_of_zero_break_nothing(self, case: Any, contiguous: bool) -> None:
        shape, axes, _, _ = case
        assume(all(shape[axis] for axis in axes))  # `Spec.resolve` refuses those
        made = plan(*case, contiguous=contiguous)
        assert (len(list(made)) == 0) == (0 in shape)
        if 0 in shape:
            assert all(made.elements_in(block) == 0 for block in made.block_shapes())

    @given(st.integers(1 << 63, 1 << 80), st.integers(1 << 63, 1 << 80), st.integers(1, 1 << 10), st.booleans())
    def test_any_shape_a_header_can_claim(self, count: int, columns: int, elements: int, contiguous: bool) -> None:
        for axis in (0, 1):
            first = next(iter(plan((count, columns), (axis,), "C", elements, contiguous=contiguous)))
            assert first.start == (0, 0)


class TestTables:
    def test_whole_rows_without_end(self) -> None:
        made = list(itertools.islice(rows(4, 10), 3))
        assert made == [Block((0, 0), (2, 4)), Block((2, 0), (4, 4)), Block((4, 0), (6, 4))]

    def test_a_row_wider_than_the_bound(self) -> None:
        assert next(iter(rows(100, 10))) == Block((0, 0), (1, 100))
