"""The merge: associative, commutative, with an identity, whatever is merged."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import assert_answers, softargmax

from softargmax_cli.reduction.finish import finish
from softargmax_cli.reduction.state import State, merge


def state_of(x: npt.NDArray[Any], start: int, beta: float) -> State:
    """The state of slices (s, n) over positions from `start`, as a block leaves it; NaN spoils its slice."""
    s, n = x.shape
    if n == 0:
        return State.identity(s, 1, second_moment=True, log_moment=True, ties=True)
    floating = x.dtype.kind == "f"
    nan = np.isnan(x) if floating else np.zeros(x.shape, bool)
    if floating:
        x = np.where(nan, -np.inf, x)
    top = x.max(-1, keepdims=True)
    hard = x.argmax(-1)
    with np.errstate(all="ignore"):
        wide = x.astype(object) - top.astype(object) if not floating else x - top
        log_weight = np.where(x == top, 0.0, beta * wide.astype(float))
    weight = np.exp(log_weight)
    if floating:
        weight = np.where(x == -np.inf, 0.0, weight)
    away = np.arange(n) - hard[:, None]
    mass = np.where(nan.any(-1), np.nan, weight.sum(-1))
    terms = weight * np.where(weight > 0, log_weight, 0.0)
    return State(
        top[:, 0].astype(float) if floating else top[:, 0],
        hard[None] + start,
        mass,
        (weight * away).sum(-1)[None],
        (weight * away**2).sum(-1)[None],
        terms.sum(-1),
        (x == top).sum(-1).astype(float),
    )


def parts_of(x: npt.NDArray[Any], cuts: Sequence[int], beta: float) -> list[State]:
    """States of the stretches of (s, n) between the cuts."""
    edges = [0, *sorted(cuts), x.shape[1]]
    return [state_of(x[:, a:b], a, beta) for a, b in itertools.pairwise(edges)]


def assert_same(a: State, b: State) -> None:
    """Equal up to rounding; where a slice is undefined, undefined in both."""
    undefined = ~(a.mass > 0)
    np.testing.assert_array_equal(undefined, ~(b.mass > 0))
    np.testing.assert_array_equal(np.isnan(a.mass), np.isnan(b.mass))
    np.testing.assert_array_equal(a.maximum, b.maximum)
    defined = ~undefined
    np.testing.assert_array_equal(a.hard[:, defined], b.hard[:, defined])
    np.testing.assert_array_equal(a.ties[defined], b.ties[defined])
    span = 100.0
    for name, scale in (("mass", 1), ("moment", span), ("second_moment", span**2), ("log_moment", 1)):
        p, q = getattr(a, name)[..., defined], getattr(b, name)[..., defined]
        np.testing.assert_allclose(p, q, rtol=1e-11, atol=1e-12 * scale * float(np.max(a.mass[defined], initial=1)))


FLOATS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 3e38, -3e38, 1.7e308, -1.7e308, 1e-310]),
    st.integers(-3, 3).map(float),
    st.floats(-100, 100),
)
BETAS = st.sampled_from([1e-300, 1e-3, 1.0, 100.0, 1e6, 1e300, 1.7e308])


@st.composite
def float_slices(draw: st.DrawFn) -> npt.NDArray[np.float64]:
    rows, columns = draw(st.integers(1, 3)), draw(st.integers(0, 9))
    numbers = draw(st.lists(FLOATS, min_size=rows * columns, max_size=rows * columns))
    return np.array(numbers, np.float64).reshape(rows, columns)


@st.composite
def integer_slices(draw: st.DrawFn) -> npt.NDArray[Any]:
    dtype = draw(st.sampled_from((np.int64, np.uint64)))
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    number = st.one_of(st.integers(low, high), st.sampled_from([low, low + 1, high - 1, high, 1 << 60, (1 << 60) + 1]))
    columns = draw(st.integers(3, 9))
    return np.array([draw(st.lists(number, min_size=columns, max_size=columns))], dtype)


def inner_cuts(columns: int) -> st.SearchStrategy[list[int]]:
    """Two cuts that leave no part empty."""
    return st.lists(st.integers(1, columns - 1), min_size=2, max_size=2, unique=True)


@pytest.mark.parametrize(("x", "beta"), [([0.0, 2.0], 1.7e308), ([-1.7e308, 0.0], 100.0)])
def test_a_weight_of_zero_is_no_warning(x: list[float], beta: float) -> None:
    a, b = parts_of(np.array([x]), [1], beta)
    assert finish(merge(a, b, beta), 0).soft.tolist() == [1.0]


class TestFloats:
    @given(float_slices(), st.lists(st.integers(0, 9), min_size=2, max_size=2), BETAS)
    def test_associative(self, x: npt.NDArray[np.float64], cuts: list[int], beta: float) -> None:
        a, b, c = parts_of(x, [min(cut, x.shape[1]) for cut in cuts], beta)
        assert_same(merge(merge(a, b, beta), c, beta), merge(a, merge(b, c, beta), beta))
        assert_same(merge(merge(a, b, beta), c, beta), merge(b, merge(a, c, beta), beta))

    @given(float_slices(), st.integers(0, 9), BETAS)
    def test_commutative(self, x: npt.NDArray[np.float64], cut: int, beta: float) -> None:
        a, b = parts_of(x, [min(cut, x.shape[1])], beta)
        assert_same(merge(a, b, beta), merge(b, a, beta))

    @given(float_slices(), BETAS)
    def test_identity(self, x: npt.NDArray[np.float64], beta: float) -> None:
        state = state_of(x, 5, beta)
        nothing = State.identity(len(x), 1, second_moment=True, log_moment=True, ties=True)
        assert_same(merge(state, nothing, beta), state)
        assert_same(merge(nothing, state, beta), state)
        assert_same(merge(nothing, nothing, beta), nothing)

    @given(float_slices(), st.lists(st.integers(0, 9), max_size=4), BETAS, st.randoms(use_true_random=False))
    def test_parts_in_any_order_make_the_whole(
        self, x: npt.NDArray[np.float64], cuts: list[int], beta: float, shuffle: Any
    ) -> None:
        parts = parts_of(x, [min(cut, x.shape[1]) for cut in cuts], beta)
        shuffle.shuffle(parts)
        merged = parts[0]
        for part in parts[1:]:
            merged = merge(merged, part, beta)
        if x.shape[1]:
            assert_answers(finish(merged, 0), softargmax(x, 1, beta), single=False)

    def test_equal_maxima_keep_the_lowest_index(self) -> None:
        x = np.array([[1.0, 7.0, 7.0, 3.0, 7.0, 7.0]])
        for cut in range(1, 6):
            a, b = parts_of(x, [cut], 2.0)
            for merged in (merge(a, b, 2.0), merge(b, a, 2.0)):
                assert merged.hard.tolist() == [[1]]
                assert merged.ties.tolist() == [4.0]

    @pytest.mark.parametrize("cut", [1, 2, 3])
    def test_spoilt_stays_spoilt(self, cut: int) -> None:
        for row in ([math.nan, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, math.nan], [1.0, math.nan, math.inf, 2.0]):
            a, b = parts_of(np.array([row]), [cut], 1.0)
            for merged in (merge(a, b, 1.0), merge(b, a, 1.0)):
                assert math.isnan(merged.mass[0])
                assert finish(merged, 0).hard.tolist() == [-1]

    def test_infinite_scores_share_all_weight(self) -> None:
        x = np.array([[5.0, math.inf, 2.0, math.inf, -math.inf, 9.0]])
        for cuts in ([1], [2], [2, 3], [3, 5]):
            merged = parts_of(x, cuts, 1.0)
            state = merged[0]
            for part in merged[1:]:
                state = merge(state, part, 1.0)
            done = finish(state, 0)
            assert done.soft.tolist() == [2.0]
            assert done.peak.tolist() == [0.5]
            assert done.ties.tolist() == [2]

    def test_what_nobody_asked_for_stays_away(self) -> None:
        whole = state_of(np.array([[1.0, 2.0]]), 0, 1.0)
        bare = State(whole.maximum, whole.hard, whole.mass, whole.moment)
        merged = merge(bare, bare.shifted([2]), 1.0)
        assert (merged.second_moment, merged.log_moment, merged.ties) == (None, None, None)
        nothing = State.identity(1, 1, second_moment=False, log_moment=False, ties=False)
        assert merge(nothing, bare, 1.0).second_moment is None


class TestIntegers:
    @given(integer_slices(), st.data(), st.sampled_from([1e-19, 1e-3, 1.0, 1e6]))
    def test_no_score_is_rounded(self, x: npt.NDArray[Any], data: Any, beta: float) -> None:
        a, b, c = parts_of(x, data.draw(inner_cuts(x.shape[1])), beta)
        merged = merge(merge(a, b, beta), c, beta)
        assert merged.maximum.dtype == x.dtype
        assert merged.maximum[0] == x.max()
        assert merged.hard[0, 0] == x[0].argmax()
        assert_same(merged, merge(a, merge(c, b, beta), beta))
        assert_answers(finish(merged, 0), softargmax(x, 1, beta), single=False)

    @pytest.mark.parametrize("dtype", [np.int64, np.uint64])
    def test_neighbours_that_a_float64_confuses(self, dtype: type) -> None:
        x = np.array([[1 << 60, (1 << 60) + 1, 1 << 60, (1 << 60) + 1]], dtype)
        for cut in (1, 2, 3):
            a, b = parts_of(x, [cut], 1.0)
            for merged in (merge(a, b, 1.0), merge(b, a, 1.0)):
                assert merged.hard.tolist() == [[1]]
                assert merged.ties.tolist() == [2.0]

    def test_extremes_lie_a_whole_range_apart(self) -> None:
        low, high = np.iinfo(np.int64).min, np.iinfo(np.int64).max
        a, b = parts_of(np.array([[low, high]]), [1], 2.0**-64)
        merged = finish(merge(a, b, 2.0**-64), 0)
        assert merged.hard.tolist() == [1]
        assert merged.soft[0] == pytest.approx(1 / (1 + math.exp(-1)), abs=1e-12)

    @given(integer_slices())
    def test_identity(self, x: npt.NDArray[Any]) -> None:
        state = state_of(x, 5, 1.0)
        nothing = State.identity(1, 1, x.dtype, second_moment=True, log_moment=True, ties=True)
        for merged in (merge(state, nothing, 1.0), merge(nothing, state, 1.0)):
            assert merged.maximum.dtype == x.dtype
            assert_same(merged, state)


class TestSeveralAxes:
    @given(
        st.lists(st.integers(-2, 2).map(float), min_size=24, max_size=24),
        st.integers(1, 3),
        st.integers(1, 5),
    )
    def test_quarters_make_the_whole(self, numbers: list[float], row: int, column: int) -> None:
        x = np.array(numbers).reshape(4, 6)
        boxes = [(slice(0, row), slice(0, column)), (slice(0, row), slice(column, 6))]
        boxes += [(slice(row, 4), box[1]) for box in boxes]
        for order in itertools.permutations([self.state_of(x[box], box) for box in boxes]):
            merged = order[0]
            for part in order[1:]:
                merged = merge(merged, part, 1.0)
            first = np.unravel_index(x.argmax(), x.shape)
            assert merged.hard[:, 0].tolist() == [int(i) for i in first]
            weight = np.exp(x - x.max())
            assert merged.mass[0] == pytest.approx(weight.sum())
            for k, index in enumerate(np.indices(x.shape)):
                away = index - first[k]
                assert merged.moment[k, 0] == pytest.approx((weight * away).sum(), abs=1e-10)
                assert merged.second_moment[k, 0] == pytest.approx((weight * away**2).sum(), abs=1e-9)

    @staticmethod
    def state_of(x: npt.NDArray[np.float64], box: tuple[slice, slice]) -> State:
        first = np.unravel_index(x.argmax(), x.shape)
        weight = np.exp(x - x.max())
        away = [index - first[k] for k, index in enumerate(np.indices(x.shape))]
        moments = np.array([[(weight * d).sum()] for d in away])
        second = np.array([[(weight * d**2).sum()] for d in away])
        hard = np.array([[first[0]], [first[1]]], np.int64)
        state = State(np.array([x.max()]), hard, np.array([weight.sum()]), moments, second)
        return state.shifted([box[0].start, box[1].start])


class TestParts:
    def test_shifted_moves_positions_only(self) -> None:
        state = state_of(np.array([[1.0, 3.0, 2.0]]), 0, 1.0)
        moved = state.shifted([7])
        assert moved.hard.tolist() == [[8]]
        assert moved.moment is state.moment
        assert state.shifted([0]) is state

    def test_the_first_slices(self) -> None:
        state = state_of(np.arange(12.0).reshape(4, 3), 0, 1.0)
        two = state.first(2)
        for field in fields(State):
            whole = getattr(state, field.name)
            np.testing.assert_array_equal(getattr(two, field.name), whole[..., :2])
