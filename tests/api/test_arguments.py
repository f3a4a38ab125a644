"""Arguments as people write them, and parameters as errors name them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from softargmax_cli.api.arguments import size_of, spec_of
from softargmax_cli.errors import InputError, OptionError, as_called, as_typed, naming, parameter


@pytest.mark.parametrize(
    ("reference", "typed", "called"),
    [
        (parameter("axis"), "--axis", "axis"),
        (parameter("axis", 5), "--axis 5", "axis=5"),
        (parameter("axis", (-2, -1)), "--axis -2,-1", "axis=(-2, -1)"),
        (parameter("nan", "omit"), "--nan omit", 'nan="omit"'),
        (parameter("id_column", "the id"), "--id-column 'the id'", 'id_column="the id"'),
        (parameter("header", True), "--header", "header=True"),
        (parameter("header", False), "--no-header", "header=False"),
    ],
)
def test_a_parameter_is_spelled_where_its_error_leaves(reference: str, typed: str, called: str) -> None:
    text = f"give {reference}, not --nan omit"
    assert as_typed(text) == f"give {typed}, not --nan omit"
    assert as_called(text) == f"give {called}, not --nan omit"
    assert str(OptionError("wrong", text)) == f"wrong\ngive {called}, not --nan omit"


def test_an_error_names_its_file_once() -> None:
    with pytest.raises(InputError) as caught, naming("y.npy"), naming("x.npy"):
        raise InputError("no numbers")
    assert str(caught.value) == "x.npy: no numbers"


@pytest.mark.parametrize(
    ("axis", "axes"),
    [(-1, (-1,)), (np.int64(2), (2,)), ([0, 1], (0, 1)), (np.array([1, 0]), (1, 0)), (range(2), (0, 1))],
)
def test_ways_to_name_axes(axis: Any, axes: tuple[int, ...]) -> None:
    spec = spec_of(axis, 1.0, "scores", "index", None, None, np.uint8(3))
    assert (spec.axes, spec.window) == (axes, 3)
    assert all(type(each) is int for each in spec.axes)


@pytest.mark.parametrize("wrong", ["-1", 1.0, (0, "1")])
def test_what_is_no_integer(wrong: Any) -> None:
    for axis, window in ((wrong, None), (-1, wrong)):
        with pytest.raises(OptionError, match="not an integer"):
            spec_of(axis, 1.0, "scores", "index", None, None, window)


def test_sizes() -> None:
    assert [size_of(size) for size in ("16MiB", "1.5 gb", 1 << 30)] == [1 << 24, 1_500_000_000, 1 << 30]
    for size in ("", "12XB", "-5MB", "1MiB", 0, -1):
        with pytest.raises(OptionError, match=r"no size|too little"):
            size_of(size)
