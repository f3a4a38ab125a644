"""What is asked, resolved against an array."""

from __future__ import annotations

import math

import numpy as np
import pytest

from softargmax_cli.errors import InputError, OptionError
from softargmax_cli.reduction.result import ALWAYS
from softargmax_cli.reduction.spec import Spec, shape_text


@pytest.mark.parametrize("beta", [0.0, -1.0, math.inf, -math.inf, math.nan])
def test_beta_must_be_finite_and_positive(beta: float) -> None:
    with pytest.raises(OptionError, match="finite number above 0") as caught:
        Spec(beta=beta)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("beta", [5e-324, 1e-300, 1.0, 1e300, 1.7e308])
def test_any_finite_positive_beta_will_do(beta: float) -> None:
    assert Spec(beta=beta).resolve((3,), np.dtype("f4"), ALWAYS).beta == beta


@pytest.mark.parametrize(("axis", "resolved"), [(0, 0), (1, 1), (2, 2), (-1, 2), (-2, 1), (-3, 0)])
def test_axes_count_from_either_end(axis: int, resolved: int) -> None:
    problem = Spec(axis=axis).resolve((4, 5, 6), np.dtype("f4"), ALWAYS)
    assert problem.axes == (resolved,)
    assert problem.kept == tuple(k for k in range(3) if k != resolved)
    assert problem.shape == (4, 5, 6)
    assert problem.fields == ALWAYS


@pytest.mark.parametrize("axis", [3, -4, 100])
def test_an_axis_that_is_not_there(axis: int) -> None:
    with pytest.raises(OptionError) as caught:
        Spec(axis=axis).resolve((4, 5, 6), np.dtype("f4"), ALWAYS)
    assert f"--axis {axis}" in caught.value.what
    assert "(4, 5, 6)" in caught.value.what
    assert "-3 to 2" in caught.value.remedy


def test_nothing_along_the_axis_is_an_error_and_no_slices_are_not() -> None:
    with pytest.raises(InputError, match="axis 1 has length 0"):
        Spec(axis=-1).resolve((4, 0), np.dtype("f4"), ALWAYS)
    assert Spec(axis=0).resolve((4, 0), np.dtype("f4"), ALWAYS).kept == (1,)


def test_a_number_has_no_axis() -> None:
    with pytest.raises(InputError, match="no axis"):
        Spec().resolve((), np.dtype("f4"), ALWAYS)


def test_a_table_of_unknown_length() -> None:
    assert Spec(axis=0).resolve((None, 4), np.dtype("f8"), ALWAYS).axes == (0,)
    assert Spec(axis=-1).resolve((None, 4), np.dtype("f8"), ALWAYS).axes == (1,)
    with pytest.raises(OptionError, match=r"\(\?, 4\)"):
        Spec(axis=2).resolve((None, 4), np.dtype("f8"), ALWAYS)


@pytest.mark.parametrize(
    ("dtype", "auto"),
    [
        *((name, "f4") for name in ("?", "i1", "u1", "i2", "u2", "f2", "f4")),
        *((name, "f8") for name in ("i4", "u4", "i8", "u8", "f8")),
    ],
)
def test_precision_follows_the_dtype_unless_told(dtype: str, auto: str) -> None:
    for precision, wanted in (("auto", auto), ("single", "f4"), ("double", "f8")):
        problem = Spec(precision=precision).resolve((3,), np.dtype(dtype), ALWAYS)
        assert problem.precision == np.dtype(wanted)


@pytest.mark.parametrize("beta", [1e-300, 1e-40, 1e31, 1e300])
def test_a_beta_beyond_single_precision_computes_in_double(beta: float) -> None:
    assert Spec(beta=beta).resolve((3,), np.dtype("f4"), ALWAYS).precision == np.dtype("f8")


@pytest.mark.parametrize("beta", [1e-300, 1e300])
def test_a_beta_that_single_precision_cannot_hold(beta: float) -> None:
    with pytest.raises(OptionError, match="--precision single does not hold"):
        Spec(beta=beta, precision="single").resolve((3,), np.dtype("f4"), ALWAYS)


def test_shapes_in_words() -> None:
    assert shape_text((3,)) == "(3,)"
    assert shape_text((None, 7)) == "(?, 7)"
