"""The merge: associative, commutative and true to the whole, whatever is merged."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import FIELDS, answer_to, assert_answers

from softargmax_cli.reduction.finish import finish
from softargmax_cli.reduction.problem import Problem, Spec
from softargmax_cli.reduction.result import Slices
from softargmax_cli.reduction.state import State, merge

PLACES = np.array([3.0, -50.0, 7.5, 7.5, 0.0, 90.0, -1.0, 12.0, 60.0])
WAYS = {
    "index": Spec(),
    "values": Spec(values=(PLACES,)),
    "circle": Spec(coords="circular"),
    "angles": Spec(coords="circular", values=(PLACES,), period=(360.0,)),
}
"""Coordinates whose states have other moments."""


def problem_of(way: str, x: npt.NDArray[Any], beta: float | None) -> Problem:
    """Ask for all fields of slices (s, n) but second modes, which need another pass."""
    spec = WAYS[way]
    values = None if spec.values is None else (PLACES[: x.shape[1]],)
    spec = replace(spec, kind="probs" if beta is None else "scores", beta=beta or 1.0, values=values)
    return spec.resolve(x.shape, x.dtype, frozenset(FIELDS) - {"second", "multimodal"})


def state_of(x: npt.NDArray[Any], start: int, problem: Problem) -> State:
    """The state of slices (s, n) over positions from `start`, as a block leaves it; NaN spoils its slice."""
    nan = np.isnan(x) if x.dtype.kind == "f" else np.zeros(x.shape, bool)
    if x.dtype.kind == "f":
        x = np.where(nan, -np.inf if problem.beta is not None else 0.0, x)
    top, hard = x.max(-1, keepdims=True), x.argmax(-1)
    weight, log_weight = _weights(x, top, problem.beta)
    moments = []
    for moment in problem.moments:
        at = moment.along.at(start + np.arange(x.shape[1]))
        away = at - at[hard][:, None]
        terms = (away, away**2)
        if moment.geometry.both:
            angle = 2 * np.pi * away / moment.geometry.period  # type: ignore[attr-defined]
            terms = (np.sin(angle), 2 * np.sin(angle / 2) ** 2)
        moments.append([(weight * term).sum(-1) for term in (terms[0], moment.squared * terms[1])])
    first, second = np.moveaxis(np.array(moments), 1, 0)
    return State(
        top[:, 0],
        hard[None] + start,
        np.where(nan.any(-1), np.nan, weight.sum(-1)),
        first,
        second,
        (weight * np.where(weight > 0, log_weight, 0.0)).sum(-1),
        (x == top).sum(-1).astype(float),
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


def answers(state: State, x: npt.NDArray[Any], problem: Problem) -> Slices:
    """The results of a state of all of x, (s, n)."""
    return finish(state, problem, [x.shape[1]], 0)


def parts_of(x: npt.NDArray[Any], cuts: Sequence[int], problem: Problem) -> list[State]:
    """States of the stretches of (s, n) between the cuts."""
    edges = sorted({0, *cuts, x.shape[1]})
    return [state_of(x[:, a:b], a, problem) for a, b in itertools.pairwise(edges)]


def whole_of(parts: Sequence[State], problem: Problem) -> State:
    """All parts merged from the left."""
    whole, *rest = parts
    for part in rest:
        whole = merge(whole, part, problem)
    return whole


def assert_same(a: State, b: State) -> None:
    """Equal up to rounding; where a slice is undefined, undefined in both."""
    undefined = ~(a.mass > 0)
    np.testing.assert_array_equal(undefined, ~(b.mass > 0))
    np.testing.assert_array_equal(np.isnan(a.mass), np.isnan(b.mass))
    np.testing.assert_array_equal(a.maximum, b.maximum)
    for name in ("hard", "ties"):
        np.testing.assert_array_equal(getattr(a, name)[..., ~undefined], getattr(b, name)[..., ~undefined])
    span = 150.0
    for name, scale in {"mass": 1, "moment": span, "second_moment": span**2, "log_moment": 1}.items():
        p, q = (getattr(state, name)[..., ~undefined] for state in (a, b))
        size = scale * float(np.max(a.mass[~undefined], initial=1))
        np.testing.assert_allclose(p, q, rtol=1e-11, atol=1e-12 * size)


SPECIAL = (0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 3e38, -3e38, 1.7e308, -1.7e308, 1e-310)
FLOATS = st.one_of(st.sampled_from(SPECIAL), st.integers(-3, 3).map(float), st.floats(-100, 100))
WEIGHTS = st.one_of(
    st.sampled_from([0.0, 0.0, 1.0, math.inf, math.nan, 3e38, 1.7e308, 1e-300]),
    st.integers(0, 3).map(float),
    st.floats(0, 100, allow_subnormal=False),
)
BETAS = st.sampled_from([1e-300, 1e-3, 1.0, 100.0, 1e6, 1e300, 1.7e308])
CUTS = st.lists(st.integers(1, 9), max_size=4)


def slices_of(numbers: st.SearchStrategy[float]) -> st.SearchStrategy[npt.NDArray[np.float64]]:
    rows = st.integers(1, 9).flatmap(lambda n: st.lists(st.lists(numbers, min_size=n, max_size=n), min_size=1))
    return rows.map(lambda some: np.array(some[:3], np.float64))


@st.composite
def integer_slices(draw: st.DrawFn) -> npt.NDArray[Any]:
    dtype = draw(st.sampled_from((np.int64, np.uint64)))
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    number = st.one_of(st.integers(low, high), st.sampled_from([low, low + 1, high - 1, high, 1 << 60, (1 << 60) + 1]))
    columns = draw(st.integers(3, 9))
    return np.array([draw(st.lists(number, min_size=columns, max_size=columns))], dtype)


def check(x: npt.NDArray[Any], cuts: Sequence[int], beta: float | None, way: str, shuffle: Any) -> None:
    """Parts merge to one state in any order, and to the answers of the whole."""
    problem = problem_of(way, x, beta)
    parts = parts_of(x, [min(cut, x.shape[1]) for cut in cuts], problem)
    whole = whole_of(parts, problem)
    half = len(parts) // 2
    if half:
        assert_same(whole, merge(whole_of(parts[:half], problem), whole_of(parts[half:], problem), problem))
    assert_same(whole, state_of(x, 0, problem))
    shuffle.shuffle(parts)
    turned = whole_of(parts, problem)
    assert_same(whole, turned)
    assert turned.maximum.dtype == x.dtype
    spec = replace(WAYS[way], kind=problem.kind, beta=beta or 1.0)
    spec = replace(spec, values=None if spec.values is None else (PLACES[: x.shape[1]],))
    want = answer_to(x, spec)
    if not ((want.resultant > 1e-12) & (want.resultant < 1e-9)).any():  # where little decides between a mean and none
        assert_answers(answers(turned, x, problem), want, single=False, scale=10)


@pytest.mark.parametrize("way", WAYS)
class TestParts:
    @settings(max_examples=12)
    @given(slices_of(FLOATS), CUTS, BETAS, st.randoms(use_true_random=False))
    def test_floats(self, way: str, x: npt.NDArray[np.float64], cuts: list[int], beta: float, shuffle: Any) -> None:
        check(x, cuts, beta, way, shuffle)

    @settings(max_examples=12)
    @given(slices_of(WEIGHTS), CUTS, st.randoms(use_true_random=False))
    def test_weights(self, way: str, x: npt.NDArray[np.float64], cuts: list[int], shuffle: Any) -> None:
        """Which have no β: relative to the largest they are quotients."""
        check(x, cuts, None, way, shuffle)

    @settings(max_examples=12)
    @given(integer_slices(), CUTS, st.sampled_from([1e-19, 1e-3, 1.0, 1e6]), st.randoms(use_true_random=False))
    def test_integers(self, way: str, x: npt.NDArray[Any], cuts: list[int], beta: float, shuffle: Any) -> None:
        """No score is rounded."""
        check(x, cuts, beta, way, shuffle)


@pytest.mark.parametrize(("x", "beta"), [([0.0, 2.0], 1.7e308), ([-1.7e308, 0.0], 100.0)])
def test_a_weight_of_zero_is_no_warning(x: list[float], beta: float) -> None:
    scores = np.array([x])
    problem = problem_of("index", scores, beta)
    assert answers(whole_of(parts_of(scores, [1], problem), problem), scores, problem).soft.tolist() == [[1.0]]
