"""The search for the smallest β: its promise holds for any function of β, and few passes do for the usual ones."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softargmax_cli.reduction.sweep import CLOSE, Search, spaced

GRID = spaced(0.1, 1e5, 13)


def searched(offset: Callable[[float], float], tolerance: float, *, below: bool = True) -> tuple[Search, set[float]]:
    """A search that has ended, and the β that it tried."""
    search, tried = Search({beta: offset(beta) <= tolerance for beta in GRID}, below=below), set(GRID)
    while wanted := search.wanted():
        assert wanted == sorted(set(wanted) - tried)
        search.learn({beta: offset(beta) <= tolerance for beta in wanted})
        tried.update(wanted)
        assert len(tried) < 40
    return search, tried


def assert_found(search: Search, tried: set[float], offset: Callable[[float], float], tolerance: float) -> None:
    beta = search.answer
    if beta is None:
        assert all(offset(beta) > tolerance for beta in GRID)
        return
    assert offset(beta) <= tolerance
    below = [other for other in tried if other < beta]
    assert search.unbounded or offset(max(below)) > tolerance
    assert search.unbounded or beta / max(below) <= CLOSE


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=40, max_size=40), st.floats(0, 1))
def test_any_function(steps: list[float], tolerance: float) -> None:
    """Constant between any powers of 1.5, and as wild as can be from one to the next."""

    def offset(beta: float) -> float:
        return steps[round(math.log(beta, 1.5)) % 40]

    assert_found(*searched(offset, tolerance), offset, tolerance)


def test_none_and_all() -> None:
    assert searched(lambda beta: 0.5, 0.1)[0].answer is None
    assert searched(lambda beta: math.nan, 0.1)[0].answer is None
    always = searched(lambda beta: 0.0, 0.0)[0]
    assert (always.answer, always.unbounded) == (0.1, True)
    lowest, tried = searched(lambda beta: 1 / (1 + beta), 0.95, below=False)
    assert (lowest.answer, tried) == (0.1, set(GRID))


def test_what_fails_in_the_end_is_not_the_answer() -> None:
    search = Search({1.0: False, 1.04: True, 2.0: True}, below=False)
    assert (search.answer, search.wanted()) == (1.04, [])
    search.learn({1.04: False})
    assert search.answer == 2
    assert search.wanted()


@pytest.mark.parametrize(("low", "high", "count"), [(1, 1000, 4), (1, 1.001, 50), (1e-30, 1e30, 1000), (0.1, 1e5, 2)])
def test_spaced_rises_from_end_to_end(low: float, high: float, count: int) -> None:
    betas = spaced(low, high, count)
    assert (len(betas), betas[0], betas[-1]) == (count, low, high)
    assert betas == sorted(set(betas))
    steps = [math.log(b / a) for a, b in itertools.pairwise(betas)]
    assert max(steps) - min(steps) <= max(0.01, 0.9 * max(steps))
