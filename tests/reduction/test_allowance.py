"""How many slices are off, and which are the worst, against all of them sorted at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from results import made

from softargmax_cli.reduction.check import Allowance, Check, close_to, with_expected, within
from softargmax_cli.reduction.coordinates import Geometry
from softargmax_cli.reduction.result import Slices

pytestmark = pytest.mark.slow

Numbers = npt.NDArray[Any]


def slices_of(offset: Any, start: int = 0, *, ids: bool = False) -> Slices:
    """Slices with these offsets, (m,) or (a, m)."""
    offset = np.array(offset, np.float64)
    a, m = np.atleast_2d(offset).shape
    hard = np.arange(start, start + m, dtype=np.int64) + np.zeros((a, 1), np.int64)
    peak = np.arange(start, start + m) / 1024
    offset = np.atleast_2d(offset)
    names = [f"n{k}" for k in range(start, start + m)] if ids else None
    return made(start, hard, hard + offset, offset, peak, np.abs(offset).max(0) < 0.5, ids=names)


def checked(offset: Numbers, tolerance: float, rows: int, sizes: Sequence[int]) -> Check:
    check = Check(partial(within, tolerance=tolerance), Allowance(0), rows)
    start, turn = 0, 0
    while start < offset.shape[-1]:
        size = sizes[turn % len(sizes)]
        check.add(slices_of(offset[..., start : start + size], start, ids=True))
        start, turn = start + size, turn + 1
    return check


def worst_of(offset: Numbers, tolerance: float, rows: int) -> tuple[list[int], int]:
    """The numbers of the slices that fail, worst first, and how many do."""
    distance = np.abs(np.atleast_2d(offset)).max(axis=0).tolist()
    failing = [k for k, d in enumerate(distance) if math.isnan(d) or d > tolerance]
    failing.sort(key=lambda k: (-(math.inf if math.isnan(distance[k]) else distance[k]), k))
    return failing[: rows or None], len(failing)


@settings(max_examples=40)
@given(
    st.lists(st.sampled_from([0.0, 0.1, -0.1, 0.2, -0.3, 0.5, -7.0, math.nan]), min_size=1, max_size=60),
    st.sampled_from([0.0, 0.1, 0.4, 10.0]),
    st.sampled_from([0, 1, 2, 3, 20]),
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
)
def test_the_worst_in_any_blocks(offsets: list[float], tolerance: float, rows: int, sizes: list[int]) -> None:
    offset = np.array(offsets)
    verdict = checked(offset, tolerance, rows, sizes)
    want, failed = worst_of(offset, tolerance, rows)
    assert (verdict.slices, verdict.failed, verdict.passed) == (len(offsets), failed, failed == 0)
    defined = offset[~np.isnan(offset)]
    np.testing.assert_equal(verdict.furthest, np.abs(defined).max() if len(defined) else math.nan)
    if not want:
        assert verdict.worst is None
        return
    worst = verdict.worst
    assert worst is not None
    assert worst.numbers is not None
    assert worst.numbers.tolist() == worst.hard[0].tolist() == want
    assert worst.ids == [f"n{k}" for k in want]
    np.testing.assert_array_equal(worst.offset[0], offset[want])


@pytest.mark.parametrize(
    ("offset", "fails"), [(0.25, False), (-0.25, False), (np.nextafter(0.25, 1), True), (0, False)]
)
def test_the_tolerance_itself_passes(offset: float, fails: bool) -> None:
    distance, failing = within(slices_of([offset]), 0.25)
    assert (distance.tolist(), failing.tolist()) == ([abs(offset)], [fails])


@pytest.mark.parametrize(
    ("number", "percent", "slices", "want"),
    [
        (0, False, 100, 0),
        (7, False, 3, 7),
        (0, True, 100, 0),
        (100, True, 17, 17),
        (50, True, 3, 1),
        (1, True, 99, 0),
        (1, True, 100, 1),
        (1, True, 199, 1),
        (29, True, 100, 29),  # 28.999999999999996 in floats
        (0.7, True, 1000, 7),
        (0.29, True, 10_000, 29),
        (33.3, True, 1000, 333),
        (0.1, True, 10**12, 10**9),
        (50, True, 0, 0),
    ],
)
def test_allowances(number: float, percent: bool, slices: int, want: int) -> None:
    assert Allowance(number, percent).of(slices) == want


@pytest.mark.parametrize(
    ("allowance", "total", "after"),
    [
        (Allowance(0), None, 2),  # the first that fails is in the second block
        (Allowance(2), None, 4),
        (Allowance(3), 8, None),
        (Allowance(25, True), 8, 4),
        (Allowance(12.5, True), 8, 3),
        (Allowance(0, True), None, None),  # never early: of an unknown number
        (Allowance(0, True), 8, 2),
    ],
)
def test_when_it_is_settled(allowance: Allowance, total: int | None, after: int | None) -> None:
    check = Check(partial(within, tolerance=0.5), allowance, 5, total)
    settled = []
    for k in range(4):
        assert not check.settled or settled
        check.add(slices_of([0.0, 1.0 if k else 0.0], 2 * k))
        if check.settled:
            settled.append(k + 1)
    assert (settled[0] if settled else None) == after


@pytest.mark.parametrize(
    ("soft", "want", "atol", "rtol", "distance", "fails"),
    [
        (1.0, 1.0, 0, 0, 0, False),
        (1.0, 1.25, 0.25, 0, 0.25, False),
        (1.0, 1.25, 0.125, 0, 0.25, True),
        (10.0, 8.0, 0, 0.25, 2, False),
        (10.0, 8.0, 1, 0.125, 2, False),
        (8.0, 10.0, 0, 0.125, 2, True),
        (-10.0, -8.0, 0, 0.25, 2, False),
        (math.nan, math.nan, 0, 0, 0, False),
        (math.nan, 1.0, 9, 9, math.nan, True),
        (1.0, math.nan, 9, 9, math.nan, True),
        (1.0, math.inf, 9, 9, math.inf, True),
        (1.0, -math.inf, 9, 0, math.inf, True),
    ],
)
def test_close_to(soft: float, want: float, atol: float, rtol: float, distance: float, fails: bool) -> None:
    got, failing = close_to(with_expected(slices_of([soft]), np.array([[want]]), [Geometry()]), atol, rtol)
    np.testing.assert_array_equal(got, [distance])
    assert failing.tolist() == [fails]


def test_close_to_on_every_axis() -> None:
    soft = np.array([[0.0, 0, 0, math.nan], [0, 1, 0, math.nan]])
    slices = slices_of(soft)
    want = slices.soft + np.array([[0.0, 0, 0.5, 0], [0, 0.25, 0, 0]])
    distance, failing = close_to(with_expected(slices, want, [Geometry()] * 2), 0.3, 0)
    assert distance.tolist() == [0, 0.25, 0.5, 0]
    assert failing.tolist() == [False, False, True, False]
    want[0, 0] = math.nan  # where one axis alone is undefined
    distance, failing = close_to(with_expected(slices, want, [Geometry()] * 2), 0.3, 0)
    assert math.isnan(distance[0])
    assert failing[0]
