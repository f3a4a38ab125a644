"""The merge: associative, commutative, with an identity, whatever is merged."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import assert_answers, softargmax

from softargmax_cli.reduction.finish import finish
from softargmax_cli.reduction.problem import Spec
from softargmax_cli.reduction.result import Slices
from softargmax_cli.reduction.state import State, added, merge

WANTED = ("second_moment", "log_moment", "ties")
SUMS = ("mass", "moment", "second_moment", "log_moment", "value_moment")


def state_of(
    x: npt.NDArray[Any],
    start: int,
    beta: float | None,
    *,
    places: npt.NDArray[np.float64] | None = None,
) -> State:
    """The state of slices (s, n) over positions from `start`, as a block leaves it; NaN spoils its slice.

    places: the values of all positions, from 0.
    """
    s, n = x.shape
    if n == 0:
        more = ["place", "value_moment"] if places is not None else []
        return State.identity(s, 1, x.dtype, wanted=[*WANTED, *more])
    floating = x.dtype.kind == "f"
    nan = np.isnan(x) if floating else np.zeros(x.shape, bool)
    if floating:
        x = np.where(nan, -np.inf if beta is not None else 0.0, x)
    top = x.max(-1, keepdims=True)
    hard = x.argmax(-1)
    weight, log_weight = _weights(x, top, beta)
    away = np.arange(n) - hard[:, None]
    mass = np.where(nan.any(-1), np.nan, weight.sum(-1))
    terms = weight * np.where(weight > 0, log_weight, 0.0)
    about, optional = away, {}
    if places is not None:
        there = places[start : start + n]
        about = there - there[hard][:, None]
        optional |= {"place": there[hard][None], "value_moment": (weight * about).sum(-1)[None]}
    return State(
        top[:, 0].astype(float) if floating else top[:, 0],
        hard[None] + start,
        mass,
        (weight * away).sum(-1)[None],
        (weight * about**2).sum(-1)[None],
        terms.sum(-1),
        (x == top).sum(-1).astype(float),
        **optional,
    )


def _weights(x: npt.NDArray[Any], top: npt.NDArray[Any], beta: float | None) -> tuple[Any, Any]:
    """Weights relative to the largest, and their logarithms."""
    with np.errstate(all="ignore"):
        if beta is None:
            share = np.where(x == top, 1.0, x / top.astype(float)) * (top > 0)
            return share, np.log(share)
        wide = x.astype(object) - top.astype(object) if x.dtype.kind != "f" else x - top
        log_weight = np.where(x == top, 0.0, beta * wide.astype(float))
        return np.where(x == -np.inf, 0.0, np.exp(log_weight)) if x.dtype.kind == "f" else np.exp(
            log_weight
        ), log_weight


def answers(state: State, x: npt.NDArray[Any], beta: float | None) -> Slices:
    """The results of a state of all of x, (s, n)."""
    spec = Spec(kind="probs" if beta is None else "scores", beta=beta or 1.0)
    return finish(state, spec.resolve(x.shape, x.dtype, frozenset()), [x.shape[1]], 0)


def parts_of(x: npt.NDArray[Any], cuts: Sequence[int], beta: float | None, **more: Any) -> list[State]:
    """States of the stretches of (s, n) between the cuts."""
    edges = [0, *sorted(cuts), x.shape[1]]
    return [state_of(x[:, a:b], a, beta, **more) for a, b in itertools.pairwise(edges)]


def assert_same(a: State, b: State) -> None:
    """Equal up to rounding; where a slice is undefined, undefined in both."""
    undefined = ~(a.mass > 0)
    np.testing.assert_array_equal(undefined, ~(b.mass > 0))
    np.testing.assert_array_equal(np.isnan(a.mass), np.isnan(b.mass))
    np.testing.assert_array_equal(a.maximum, b.maximum)
    defined = ~undefined
    np.testing.assert_array_equal(a.hard[:, defined], b.hard[:, defined])
    assert a.ties is not None
    assert b.ties is not None
    np.testing.assert_array_equal(a.ties[defined], b.ties[defined])
    span = 100.0
    scales = {"moment": span, "second_moment": span**2, "value_moment": span}
    for name in (*SUMS, "place"):
        whole, other = getattr(a, name), getattr(b, name)
        assert (whole is None) == (other is None)
        if whole is not None:
            p, q = whole[..., defined], other[..., defined]
            size = scales.get(name, 1) * float(np.max(a.mass[defined], initial=1))
            np.testing.assert_allclose(p, q, rtol=1e-11, atol=1e-12 * size)


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
    scores = np.array([x])
    a, b = parts_of(scores, [1], beta)
    assert answers(merge(a, b, beta), scores, beta).soft.tolist() == [[1.0]]


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
        nothing = State.identity(len(x), 1, wanted=WANTED)
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
            assert_answers(answers(merged, x, beta), softargmax(x, 1, beta), single=False)

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
            x = np.array([row])
            a, b = parts_of(x, [cut], 1.0)
            for merged in (merge(a, b, 1.0), merge(b, a, 1.0)):
                assert math.isnan(merged.mass[0])
                assert answers(merged, x, 1.0).hard.tolist() == [[-1]]

    def test_infinite_scores_share_all_weight(self) -> None:
        x = np.array([[5.0, math.inf, 2.0, math.inf, -math.inf, 9.0]])
        for cuts in ([1], [2], [2, 3], [3, 5]):
            merged = parts_of(x, cuts, 1.0)
            state = merged[0]
            for part in merged[1:]:
                state = merge(state, part, 1.0)
            done = answers(state, x, 1.0)
            assert done.ties is not None
            assert done.soft.tolist() == [[2.0]]
            assert done.peak.tolist() == [0.5]
            assert done.ties.tolist() == [2]

    def test_what_nobody_asked_for_stays_away(self) -> None:
        whole = state_of(np.array([[1.0, 2.0]]), 0, 1.0)
        bare = State(whole.maximum, whole.hard, whole.mass, whole.moment)
        merged = merge(bare, bare.shifted([2]), 1.0)
        optional = [field.name for field in fields(State)][4:]
        assert "second_moment" in optional
        assert [getattr(merged, name) for name in optional] == [None] * len(optional)
        nothing = State.identity(1, 1, wanted=())
        assert merge(nothing, bare, 1.0).second_moment is None
        assert [getattr(added(bare, bare), name) for name in optional] == [None] * len(optional)


class TestIntegers:
    @given(integer_slices(), st.data(), st.sampled_from([1e-19, 1e-3, 1.0, 1e6]))
    def test_no_score_is_rounded(self, x: npt.NDArray[Any], data: Any, beta: float) -> None:
        a, b, c = parts_of(x, data.draw(inner_cuts(x.shape[1])), beta)
        merged = merge(merge(a, b, beta), c, beta)
        assert merged.maximum.dtype == x.dtype
        assert merged.maximum[0] == x.max()
        assert merged.hard[0, 0] == x[0].argmax()
        assert_same(merged, merge(a, merge(c, b, beta), beta))
        assert_answers(answers(merged, x, beta), softargmax(x, 1, beta), single=False)

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
        x = np.array([[low, high]])
        a, b = parts_of(x, [1], 2.0**-64)
        merged = answers(merge(a, b, 2.0**-64), x, 2.0**-64)
        assert merged.hard.tolist() == [[1]]
        assert merged.soft[0, 0] == pytest.approx(1 / (1 + math.exp(-1)), abs=1e-12)

    @given(integer_slices())
    def test_identity(self, x: npt.NDArray[Any]) -> None:
        state = state_of(x, 5, 1.0)
        nothing = State.identity(1, 1, x.dtype, wanted=WANTED)
        for merged in (merge(state, nothing, 1.0), merge(nothing, state, 1.0)):
            assert merged.maximum.dtype == x.dtype
            assert_same(merged, state)


WEIGHTS = st.one_of(
    st.sampled_from([0.0, 0.0, 1.0, math.inf, math.nan, 3e38, 1.7e308, 1e-300]),
    st.integers(0, 3).map(float),
    st.floats(0, 100, allow_subnormal=False),
)


@st.composite
def weight_slices(draw: st.DrawFn) -> npt.NDArray[np.float64]:
    rows, columns = draw(st.integers(1, 3)), draw(st.integers(0, 9))
    numbers = draw(st.lists(WEIGHTS, min_size=rows * columns, max_size=rows * columns))
    return np.array(numbers, np.float64).reshape(rows, columns)


class TestWeights:
    """Which have no β: relative to the largest they are quotients."""

    @given(weight_slices(), st.lists(st.integers(0, 9), min_size=2, max_size=2))
    def test_associative_and_commutative(self, x: npt.NDArray[np.float64], cuts: list[int]) -> None:
        a, b, c = parts_of(x, [min(cut, x.shape[1]) for cut in cuts], None)
        whole = merge(merge(a, b, None), c, None)
        assert_same(whole, merge(a, merge(b, c, None), None))
        assert_same(whole, merge(b, merge(a, c, None), None))
        assert_same(merge(a, b, None), merge(b, a, None))

    @given(weight_slices())
    def test_identity(self, x: npt.NDArray[np.float64]) -> None:
        state = state_of(x, 5, None)
        nothing = State.identity(len(x), 1, wanted=WANTED)
        assert_same(merge(state, nothing, None), state)
        assert_same(merge(nothing, state, None), state)
        assert_same(merge(nothing, nothing, None), nothing)

    @given(weight_slices(), st.lists(st.integers(0, 9), max_size=4), st.randoms(use_true_random=False))
    def test_parts_in_any_order_make_the_whole(self, x: npt.NDArray[np.float64], cuts: list[int], shuffle: Any) -> None:
        parts = parts_of(x, [min(cut, x.shape[1]) for cut in cuts], None)
        shuffle.shuffle(parts)
        merged = parts[0]
        for part in parts[1:]:
            merged = merge(merged, part, None)
        if x.shape[1]:
            assert_answers(answers(merged, x, None), softargmax(x, 1, kind="probs"), single=False)

    @pytest.mark.parametrize("dtype", [np.int64, np.uint64])
    def test_integers(self, dtype: type) -> None:
        x = np.array([[0, 0, 5, 1 << 62, 0, (1 << 62) + 1], [0, 0, 0, 0, 0, 0]], dtype)
        for cut in range(1, 6):
            a, b = parts_of(x, [cut], None)
            merged = merge(a, b, None)
            assert_same(merged, merge(b, a, None))
            assert_answers(answers(merged, x, None), softargmax(x, 1, kind="probs"), single=False)


class TestValues:
    """Coordinates that are values, in any order: sums about the value at the maximum."""

    PLACES = np.array([3.0, -50.0, 7.5, 7.5, 0.0, 90.0, -1.0, 12.0, 60.0])

    @given(float_slices(), st.lists(st.integers(0, 9), min_size=2, max_size=2), st.sampled_from([1e-3, 1.0, 100.0]))
    def test_associative_and_commutative(self, x: npt.NDArray[np.float64], cuts: list[int], beta: float) -> None:
        a, b, c = parts_of(x, [min(cut, x.shape[1]) for cut in cuts], beta, places=self.PLACES)
        whole = merge(merge(a, b, beta), c, beta)
        assert_same(whole, merge(a, merge(b, c, beta), beta))
        assert_same(whole, merge(b, merge(a, c, beta), beta))
        assert_same(merge(a, b, beta), merge(b, a, beta))
        if x.shape[1]:
            assert_same(whole, state_of(x, 0, beta, places=self.PLACES))

    @given(float_slices())
    def test_identity(self, x: npt.NDArray[np.float64]) -> None:
        state = state_of(x, 0, 1.0, places=self.PLACES)
        nothing = State.identity(len(x), 1, wanted=(*WANTED, "place", "value_moment"))
        assert_same(merge(state, nothing, 1.0), state)
        assert_same(merge(nothing, state, 1.0), state)

    def test_answers(self) -> None:
        x = np.random.default_rng(2).normal(size=(4, 9))
        problem = Spec(values=(self.PLACES,), beta=2.0).resolve(x.shape, x.dtype, frozenset())
        for cut in range(1, 9):
            a, b = parts_of(x, [cut], 2.0, places=self.PLACES)
            got = finish(merge(b, a, 2.0), problem, [9], 0)
            assert_answers(got, softargmax(x, 1, 2.0, values_of=[self.PLACES]), single=False)


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
        state = state_of(np.arange(12.0).reshape(4, 3), 0, 1.0, places=np.arange(3.0))
        state = replace(state, second=np.arange(4.0))
        two = state.first(2)
        for field in fields(State):
            whole = getattr(state, field.name)
            assert whole is not None
            np.testing.assert_array_equal(getattr(two, field.name), whole[..., :2])

    def test_the_values_where_the_maximum_is(self) -> None:
        state = State(np.zeros(3), np.array([[0, 2, 1], [1, 1, 0]]), np.ones(3), np.zeros((2, 3)))
        placed = state.placed([np.array([5.0, 6.0, 7.0]), np.array([-1.0, -2.0])])
        assert placed.place is not None
        assert placed.place.tolist() == [[5, 7, 6], [-2, -2, -1]]
        assert placed.hard is state.hard
        assert state.place is None

    def test_the_values_where_there_is_no_maximum(self) -> None:
        """Beside NaN it is behind the end."""
        state = State(np.zeros(1), np.array([[3]]), np.array([math.nan]), np.zeros((1, 1)))
        placed = state.placed([np.array([5.0, 6.0, 7.0])])
        assert placed.place is not None
        assert placed.place.tolist() == [[7]]

    def test_sums_about_one_place_add_up(self) -> None:
        known = state_of(np.array([[1.0, 3.0, 2.0], [0.0, 0.0, 5.0]]), 7, 1.0)
        rng = np.random.default_rng(0)

        def sums() -> State:
            return replace(
                known,
                mass=rng.random(2),
                moment=rng.random((1, 2)),
                second_moment=rng.random((1, 2)),
                log_moment=rng.random(2),
                value_moment=rng.random((1, 2)),
                second=rng.random(2),
            )

        a, b = sums(), sums()
        both = added(a, b)
        for name in SUMS:
            np.testing.assert_array_equal(getattr(both, name), getattr(a, name) + getattr(b, name))
        assert both.second is not None
        assert a.second is not None
        assert b.second is not None
        np.testing.assert_array_equal(both.second, np.maximum(a.second, b.second))
        for name in ("maximum", "hard"):
            assert getattr(both, name) is getattr(known, name)
        assert added(replace(a, second=None), b).second is None

    def test_what_a_second_pass_completes(self) -> None:
        x = np.array([[1.0, 3.0, 2.0], [math.nan, 0.0, 5.0]])
        found = state_of(x, 7, 1.0).placed([np.arange(10.0) ** 2])
        one = np.array([[0.25, 0.5]])
        sums = State(
            found.maximum, found.hard, np.array([2.0, 4.0]), one, 2 * one, one[0], value_moment=3 * one, second=one[0]
        )
        windowed = found.completed(sums, True)
        assert windowed.mass.tolist() == [2, pytest.approx(math.nan, nan_ok=True)]
        for name in ("moment", "second_moment", "log_moment", "value_moment", "second"):
            assert getattr(windowed, name) is getattr(sums, name)
        for name in ("maximum", "hard", "ties", "place"):
            assert getattr(windowed, name) is getattr(found, name)
        whole = found.completed(sums, False)
        assert whole.second is sums.second
        for name in ("maximum", "hard", "mass", "moment", "second_moment", "log_moment", "ties", "place"):
            assert getattr(whole, name) is getattr(found, name)

    @pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "u8"])
    def test_the_state_of_nothing(self, dtype: str) -> None:
        optional = [field.name for field in fields(State)][4:]
        nothing = State.identity(3, 2, dtype, wanted=optional)
        assert nothing.maximum.dtype == np.dtype(dtype)
        for name in ("moment", "second_moment", "place", "value_moment"):
            assert getattr(nothing, name).shape == (2, 3)
        for name in ("mass", "log_moment", "ties", "second"):
            assert getattr(nothing, name).shape == (3,)
        bare = State.identity(3, 2, dtype, wanted=())
        assert [getattr(bare, name) for name in optional] == [None] * len(optional)
