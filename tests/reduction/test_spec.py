"""A request, resolved against an array."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from softargmax_cli.errors import SoftArgmaxError, as_typed
from softargmax_cli.reduction.coordinates import LONGEST_CIRCLE
from softargmax_cli.reduction.fields import FREE
from softargmax_cli.reduction.problem import Problem, Spec

ROWS, COLUMNS = np.array([5.0, -5.0, 0.0]), np.array([1.0, 10.0, 100.0, 1000.0])
WIDEST = (1 << 23) - 1


def resolved(shape: tuple[int | None, ...], dtype: str = "f4", **asked: Any) -> Problem:
    return Spec(**asked).resolve(shape, np.dtype(dtype), FREE)


@pytest.mark.parametrize(("axis", "found"), [(0, 0), (1, 1), (2, 2), (-1, 2), (-2, 1), (-3, 0)])
def test_axes_count_from_either_end(axis: int, found: int) -> None:
    problem = resolved((4, 5, 6), axes=(axis,))
    assert (problem.axes, problem.kept) == ((found,), tuple(k for k in range(3) if k != found))
    assert (problem.shape, problem.fields) == ((4, 5, 6), FREE)


def test_arrays_without_slices_and_tables_of_unknown_length() -> None:
    assert resolved((4, 0), axes=(0,)).kept == (1,)
    assert [resolved((None, 4), axes=(axis,)).axes for axis in (0, -1)] == [(0,), (1,)]
    for values in (ROWS, COLUMNS):  # there may be any number
        resolved((None, 7), axes=(0,), values=(values,))


@pytest.mark.parametrize(
    ("dtype", "auto"),
    [
        *((name, "f4") for name in ("?", "i1", "u1", "i2", "u2", "f2", "f4")),
        *((name, "f8") for name in ("i4", "u4", "i8", "u8", "f8")),
    ],
)
def test_precision_follows_the_dtype_unless_told(dtype: str, auto: str) -> None:
    for precision, wanted in (("auto", auto), ("single", "f4"), ("double", "f8")):
        assert resolved((3,), dtype, precision=precision).precision == np.dtype(wanted)


@pytest.mark.parametrize("beta", [1e-300, 1e-40, 1e31, 1e300])
def test_a_beta_beyond_single_precision_computes_in_double(beta: float) -> None:
    assert resolved((3,), beta=beta).precision == np.dtype("f8")
    for precision, wanted in (("auto", "f4"), ("single", "f4"), ("double", "f8")):  # weights have none
        problem = resolved((3,), kind="probs", beta=beta, precision=precision)
        assert (problem.beta, problem.precision) == (None, np.dtype(wanted))


def test_windows() -> None:
    assert resolved((3,)).radius == 1  # where a second mode begins
    for window, length in ((WIDEST, 1 << 40), (1 << 40, WIDEST), (1 << 70, 3), (0, 3)):
        problem = resolved((3, length), window=window)
        assert problem.window == problem.radius == window


def test_moments_are_in_the_order_of_the_array() -> None:
    problem = resolved((3, 2, 4), axes=(-1, 0), values=(COLUMNS, ROWS))
    named = [(moment.axis, moment.along.name, moment.along.length) for moment in problem.moments]
    assert named == [(0, "values", 3), (1, "values", 4), (0, "index", 3), (1, "index", 4)]
    assert problem.moments[0].along.at(np.arange(3)).tolist() == ROWS.tolist()


@pytest.mark.parametrize(
    ("shape", "asked", "words"),
    [
        *(((3,), {"beta": beta}, "finite number above 0") for beta in (0.0, -1.0, math.inf, -math.inf, math.nan)),
        *(((3,), {"beta": beta, "precision": "single"}, "does not hold β") for beta in (1e-300, 1e300)),
        ((4, 0), {}, "axis 1 has length 0"),
        ((4, 0), {"axes": (0, 1)}, "axis 1 has length 0"),
        ((), {}, "no axis"),
        ((None, 4), {"axes": (2,)}, "(?, 4)"),
        ((3,), {"window": -1}, "--window -1:"),
        (
            (3, 10**9),
            {"window": WIDEST + 1},
            "--window 8388608: 8,388,607 indices are the widest on an axis of 1,000,000,000",
        ),
        ((LONGEST_CIRCLE + 1, 6), {"axes": (0,), "coords": "circular"}, "axis 0 has 8,388,609 indices"),
        *(
            ((4,), {"values": (np.array([0.0, 1.0, odd, odd]),)}, f"the coordinate of index 2 is {odd}")
            for odd in (math.nan, math.inf, -math.inf)
        ),
        ((3,), {"values": (np.array([0, -1e151, 1e100]),)}, "--values: the coordinate of index 1 is -1e+151"),
        *(
            ((3,), {"coords": name, "values": (ROWS,)}, f"--values and --coords {name}")
            for name in ("corners", "centers")
        ),
    ],
)
def test_what_makes_no_sense(shape: tuple[int | None, ...], asked: dict[str, Any], words: str) -> None:
    with pytest.raises(SoftArgmaxError) as caught:
        resolved(shape, **asked)
    assert isinstance(caught.value, ValueError)
    assert words in as_typed(caught.value.what)
