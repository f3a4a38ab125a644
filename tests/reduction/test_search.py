"""The search for the smallest β: its promise holds for any function of β, and few passes do for the usual ones."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softargmax_cli.reduction.search import STEP, Search, spaced

GRID = spaced(0.1, 1e5, 13)


def searched(offset: Callable[[float], float], tolerance: float, *, below: bool = True) -> tuple[Search, int]:
    """A search that has ended, and after how many passes."""
    search, passes = Search({beta: offset(beta) for beta in GRID}, tolerance, below=below), 0
    while wanted := search.wanted():
        assert wanted == sorted(set(wanted))
        search.learn({beta: offset(beta) for beta in wanted})
        passes += 1
        assert passes < 200
    return search, passes


def assert_found(search: Search, offset: Callable[[float], float], tolerance: float) -> None:
    beta = search.answer
    if beta is None:
        assert all(offset(beta) > tolerance for beta in GRID)
        return
    assert offset(beta) <= tolerance
    assert search.unbounded or offset(STEP * beta) > tolerance * (1 - 1e-5)


@given(st.lists(st.tuples(st.floats(0.6, 300), st.floats(1e-4, 30)), min_size=1, max_size=6), st.floats(1e-4, 0.5))
def test_slices_with_two_good_scores(slices: list[tuple[float, float]], tolerance: float) -> None:
    def offset(beta: float) -> float:
        return max(distance / (1 + math.exp(min(700.0, beta * gap))) for distance, gap in slices)

    search, passes = searched(offset, tolerance)
    assert_found(search, offset, tolerance)
    assert passes <= 8


@given(st.lists(st.floats(0, 1), min_size=40, max_size=40), st.floats(0, 1))
def test_any_function(steps: list[float], tolerance: float) -> None:
    """Constant between any powers of 1.5, and as wild as can be from one to the next."""

    def offset(beta: float) -> float:
        return steps[round(math.log(beta, 1.5)) % 40]

    assert_found(searched(offset, tolerance)[0], offset, tolerance)


def test_none_and_all() -> None:
    assert searched(lambda beta: 0.5, 0.1)[0].answer is None
    assert searched(lambda beta: math.nan, 0.1)[0].answer is None
    always = searched(lambda beta: 0.0, 0.0)[0]
    assert (always.answer, always.unbounded) == (0.1, True)
    lowest, passes = searched(lambda beta: 1 / (1 + beta), 0.95, below=False)
    assert (lowest.answer, passes) == (0.1, 0)


@pytest.mark.parametrize(("low", "high", "count"), [(1, 1000, 4), (1, 1.001, 50), (1e-30, 1e30, 1000), (0.1, 1e5, 2)])
def test_spaced_rises_from_end_to_end(low: float, high: float, count: int) -> None:
    betas = spaced(low, high, count)
    assert (len(betas), betas[0], betas[-1]) == (count, low, high)
    assert betas == sorted(set(betas))
    steps = [math.log(b / a) for a, b in itertools.pairwise(betas)]
    assert max(steps) - min(steps) <= max(0.01, 0.9 * max(steps))
