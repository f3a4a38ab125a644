"""Coordinates of positions, against fractions."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softargmax_cli.api.arguments import KindOfCoords
from softargmax_cli.reduction.coordinates import KINDS

COORDS: list[Any] = ["index", "corners", "centers"]
LENGTHS = st.one_of(st.integers(1, 20), st.integers(1, 1 << 40))


def exact(coords: str, length: int, index: int) -> Fraction:
    """By the definitions, in fractions."""
    if coords == "index":
        return Fraction(index)
    if length == 1:
        return Fraction(0)
    if coords == "corners":
        return -1 + Fraction(2 * index, length - 1)
    return Fraction(2 * index + 1, length) - 1


@pytest.mark.parametrize(
    ("coords", "length", "places"),
    [
        ("index", 4, [0, 1, 2, 3]),
        ("corners", 2, [-1, 1]),
        ("corners", 5, [-1, -0.5, 0, 0.5, 1]),
        ("centers", 2, [-0.5, 0.5]),
        ("centers", 4, [-0.75, -0.25, 0.25, 0.75]),
        ("index", 1, [0]),
        ("corners", 1, [0]),
        ("centers", 1, [0]),
    ],
)
def test_literals(coords: Any, length: int, places: list[float]) -> None:
    got = KINDS[coords](length).at(np.arange(length))
    assert got.dtype == np.float64
    assert got.tolist() == places
    assert KINDS[coords](length).step == (places[1] - places[0] if length > 1 else float(coords == "index"))


@settings(max_examples=40)
@given(st.sampled_from(COORDS), LENGTHS, st.data())
def test_the_nearest_floats(coords: Any, length: int, data: Any) -> None:
    index = data.draw(st.integers(0, length - 1))
    got = KINDS[coords](length).at(np.array([index]))[0]
    want = exact(coords, length, index)
    assert abs(Fraction(got) - want) <= Fraction(np.spacing(abs(float(want)))) / 2
    if length > 1:
        apart = exact(coords, length, 1) - exact(coords, length, 0)
        assert KINDS[coords](length).step == float(apart)


def test_names_are_the_same_everywhere() -> None:
    assert get_args(KindOfCoords) == tuple(KINDS)
