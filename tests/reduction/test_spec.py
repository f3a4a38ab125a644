"""A request, resolved against an array."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from softargmax_cli.errors import InputError, OptionError, as_typed
from softargmax_cli.reduction.fields import FREE
from softargmax_cli.reduction.problem import SINGLE, Spec, shape_text


@pytest.mark.parametrize("beta", [0.0, -1.0, math.inf, -math.inf, math.nan])
def test_beta_must_be_finite_and_positive(beta: float) -> None:
    with pytest.raises(OptionError, match="finite number above 0") as caught:
        Spec(beta=beta)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("beta", [5e-324, 1e-300, 1.0, 1e300, 1.7e308])
def test_any_finite_positive_beta_will_do(beta: float) -> None:
    assert Spec(beta=beta).resolve((3,), np.dtype("f4"), FREE).beta == beta


@pytest.mark.parametrize(("axis", "resolved"), [(0, 0), (1, 1), (2, 2), (-1, 2), (-2, 1), (-3, 0)])
def test_axes_count_from_either_end(axis: int, resolved: int) -> None:
    problem = Spec(axes=(axis,)).resolve((4, 5, 6), np.dtype("f4"), FREE)
    assert problem.axes == (resolved,)
    assert problem.kept == tuple(k for k in range(3) if k != resolved)
    assert problem.shape == (4, 5, 6)
    assert problem.fields == FREE


@pytest.mark.parametrize("axis", [3, -4, 100])
def test_an_axis_that_is_not_there(axis: int) -> None:
    with pytest.raises(OptionError) as caught:
        Spec(axes=(axis,)).resolve((4, 5, 6), np.dtype("f4"), FREE)
    assert f"--axis {axis}" in as_typed(caught.value.message)
    assert "(4, 5, 6)" in as_typed(caught.value.message)
    assert "-3 to 2" in as_typed(caught.value.remedy)


@pytest.mark.parametrize(
    ("axes", "resolved", "kept", "order"),
    [
        ((0, 1), (0, 1), (2, 3), [0, 1]),
        ((1, 0), (1, 0), (2, 3), [1, 0]),
        ((-1, -2), (3, 2), (0, 1), [1, 0]),
        ((3, 0, -2), (3, 0, 2), (1,), [2, 0, 1]),
        ((2, 3, 0, 1), (2, 3, 0, 1), (), [2, 3, 0, 1]),
    ],
)
def test_several_axes_keep_the_order_asked_for(
    axes: tuple[int, ...], resolved: tuple[int, ...], kept: tuple[int, ...], order: list[int]
) -> None:
    problem = Spec(axes).resolve((4, 5, 6, 7), np.dtype("f4"), FREE)
    assert (problem.axes, problem.kept, problem.order) == (resolved, kept, order)
    assert problem.ascending == tuple(sorted(resolved))
    assert [problem.ascending[place] for place in problem.order] == list(problem.axes)


@pytest.mark.parametrize(
    ("axes", "asked", "wrong"),
    [
        ((), "--axis:", "at least one"),
        ((1, 3), "--axis 1,3:", "3 axes"),
        ((0, -4), "--axis 0,-4:", "3 axes"),
        ((1, 1), "--axis 1,1:", "twice"),
        ((-1, 0, 2), "--axis -1,0,2:", "twice"),
    ],
)
def test_axes_that_make_no_sense(axes: tuple[int, ...], asked: str, wrong: str) -> None:
    with pytest.raises(OptionError) as caught:
        Spec(axes).resolve((4, 5, 6), np.dtype("f4"), FREE)
    assert as_typed(caught.value.message).startswith(asked)
    assert wrong in str(caught.value)


def test_nothing_along_the_axis_is_an_error_and_no_slices_are_not() -> None:
    with pytest.raises(InputError, match="axis 1 has length 0"):
        Spec(axes=(-1,)).resolve((4, 0), np.dtype("f4"), FREE)
    with pytest.raises(InputError, match="axis 1 has length 0"):
        Spec(axes=(0, 1)).resolve((4, 0), np.dtype("f4"), FREE)
    assert Spec(axes=(0,)).resolve((4, 0), np.dtype("f4"), FREE).kept == (1,)


def test_a_number_has_no_axis() -> None:
    with pytest.raises(InputError, match="no axis"):
        Spec().resolve((), np.dtype("f4"), FREE)


def test_a_table_of_unknown_length() -> None:
    assert Spec(axes=(0,)).resolve((None, 4), np.dtype("f8"), FREE).axes == (0,)
    assert Spec(axes=(-1,)).resolve((None, 4), np.dtype("f8"), FREE).axes == (1,)
    with pytest.raises(OptionError, match=r"\(\?, 4\)"):
        Spec(axes=(2,)).resolve((None, 4), np.dtype("f8"), FREE)


@pytest.mark.parametrize(
    ("dtype", "auto"),
    [
        *((name, "f4") for name in ("?", "i1", "u1", "i2", "u2", "f2", "f4")),
        *((name, "f8") for name in ("i4", "u4", "i8", "u8", "f8")),
    ],
)
def test_precision_follows_the_dtype_unless_told(dtype: str, auto: str) -> None:
    for precision, wanted in (("auto", auto), ("single", "f4"), ("double", "f8")):
        problem = Spec(precision=precision).resolve((3,), np.dtype(dtype), FREE)
        assert problem.precision == np.dtype(wanted)


@pytest.mark.parametrize("beta", [1e-300, 1e-40, 1e31, 1e300])
def test_a_beta_beyond_single_precision_computes_in_double(beta: float) -> None:
    assert Spec(beta=beta).resolve((3,), np.dtype("f4"), FREE).precision == np.dtype("f8")


@pytest.mark.parametrize("beta", [1e-300, 1e300])
def test_a_beta_that_single_precision_cannot_hold(beta: float) -> None:
    with pytest.raises(OptionError, match="does not hold β"):
        Spec(beta=beta, precision="single").resolve((3,), np.dtype("f4"), FREE)


@pytest.mark.parametrize("beta", [1e-300, 1e-40, 1e31, 1e300])
def test_weights_have_no_beta(beta: float) -> None:
    for precision, wanted in (("auto", "f4"), ("single", "f4"), ("double", "f8")):
        problem = Spec(kind="probs", beta=beta, precision=precision).resolve((3,), np.dtype("f4"), FREE)
        assert problem.beta is None
        assert problem.precision == np.dtype(wanted)


def test_single_precision_holds_what_computes_in_it() -> None:
    for dtype in SINGLE:
        lowest, highest = (0, 1) if dtype.kind == "b" else _limits(dtype)
        for value in (lowest, lowest + 1, highest - 1, highest):
            assert np.float32(value) == value


def _limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    info: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return float(info.min), float(info.max)


class TestWindows:
    @pytest.mark.parametrize("window", [0, 1, 5, 1 << 70])
    def test_any_distance_will_do(self, window: int) -> None:
        problem = Spec(window=window).resolve((3,), np.dtype("f4"), FREE)
        assert problem.window == problem.radius == window

    def test_a_second_mode_begins_beyond_the_neighbours_where_there_is_none(self) -> None:
        assert Spec().resolve((3,), np.dtype("f4"), FREE).radius == 1

    def test_none_wider_than_float32_can_tell(self) -> None:
        widest = (1 << 23) - 1
        for window, length in ((widest, 1 << 40), (1 << 40, widest)):
            assert Spec(window=window).resolve((3, length), np.dtype("f4"), FREE).window == window
        with pytest.raises(OptionError, match=r"window=8388608: 8,388,607 indices are the widest .* 1,000,000,000"):
            Spec(window=widest + 1).resolve((3, 10**9), np.dtype("f4"), FREE)

    @pytest.mark.parametrize("window", [-1, -100])
    def test_no_negative_one(self, window: int) -> None:
        with pytest.raises(OptionError, match=f"window={window}:"):
            Spec(window=window)


class TestValues:
    ROWS, COLUMNS = np.array([5.0, -5.0, 0.0]), np.array([1.0, 10.0, 100.0, 1000.0])

    def test_moments_are_in_the_order_of_the_array(self) -> None:
        problem = Spec(axes=(-1, 0), values=(self.COLUMNS, self.ROWS)).resolve((3, 2, 4), np.dtype("f4"), FREE)
        named = [(moment.axis, moment.along.name, moment.along.length) for moment in problem.moments]
        assert named == [(0, "values", 3), (1, "values", 4), (0, "index", 3), (1, "index", 4)]
        assert problem.moments[0].along.at(np.arange(3)).tolist() == self.ROWS.tolist()

    def test_one_for_each_index(self) -> None:
        with pytest.raises(OptionError, match="values: 3 values for the 4 indices of axis 2"):
            Spec(axes=(-1, 0), values=(self.ROWS, self.COLUMNS)).resolve((3, 2, 4), np.dtype("f4"), FREE)
        with pytest.raises(OptionError, match="values: 4 values for the 1,000 indices of axis 0"):
            Spec(values=(self.COLUMNS,)).resolve((1000,), np.dtype("f4"), FREE)

    def test_of_an_axis_whose_length_is_not_known_there_may_be_any_number(self) -> None:
        for values in (self.ROWS, self.COLUMNS):
            Spec((0,), values=(values,)).resolve((None, 7), np.dtype("f4"), FREE)

    @pytest.mark.parametrize(("count", "files"), [(1, "1 file for 2 axes"), (3, "3 files for 2 axes")])
    def test_one_file_for_each_axis(self, count: int, files: str) -> None:
        with pytest.raises(OptionError, match=files):
            Spec(axes=(0, 1), values=(self.ROWS,) * count).resolve((3, 3), np.dtype("f4"), FREE)

    @pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
    def test_finite_ones(self, odd: float) -> None:
        values = np.array([0.0, 1.0, odd, odd])
        with pytest.raises(OptionError, match=f"the coordinate of index 2 is {odd}"):
            Spec(values=(values,)).resolve((4,), np.dtype("f4"), FREE)

    def test_none_whose_square_is_infinite(self) -> None:
        spec = Spec(values=(np.array([0, -1e151, 1e100]),))
        with pytest.raises(OptionError, match=r"values: the coordinate of index 1 is -1e\+151") as caught:
            spec.resolve((3,), np.dtype("f4"), FREE)
        assert as_typed(caught.value.remedy) == "give a finite number for each index, none beyond 1e+150"

    @pytest.mark.parametrize("coords", ["corners", "centers"])
    def test_they_are_coordinates_themselves(self, coords: Any) -> None:
        with pytest.raises(OptionError, match=f'values and coords="{coords}"'):
            Spec(coords=coords, values=(self.ROWS,))


def test_shapes_in_words() -> None:
    assert shape_text((3,)) == "(3,)"
    assert shape_text((None, 7)) == "(?, 7)"
