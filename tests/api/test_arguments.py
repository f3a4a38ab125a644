"""Arguments as people write them, and the command line's words put into Python's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from softargmax_cli.api.arguments import axes_of, delimiter_of, device_of, in_python, said_in_python, size_of, window_of
from softargmax_cli.errors import InputError, OptionError


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("--axis 5: the array has 2 axes", "axis=5: the array has 2 axes"),
        ("--axis -2,-1: names one axis twice", "axis=(-2, -1): names one axis twice"),
        ("--nan omit to leave them out, or --nan propagate", 'nan="omit" to leave them out, or nan="propagate"'),
        ("--device gpu:1: sees no GPU; use --device cpu, or", 'device="gpu:1": sees no GPU; use device="cpu", or'),
        ("--kind probs takes them", 'kind="probs" takes them'),
        ("--values and --coords corners both", 'values and coords="corners" both'),
        ("pass --header if line 1 names", "pass header if line 1 names"),
        ("--id-column 3 if column 3", "id_column=3 if column 3"),
        ("--delimiter, --header and --id-column say", "delimiter, header and id_column say"),
        ("--memory: one pass takes", "memory: one pass takes"),
        ("--precision single does not", 'precision="single" does not'),
        ("a -- b, 3 --> 4, my--axis.npy, '--nan omit'", "a -- b, 3 --> 4, my--axis.npy, '--nan omit'"),
    ],
)
def test_options_become_arguments(said: str, meant: str) -> None:
    assert in_python(said) == meant
    assert in_python(meant) == meant


def test_errors_are_said_once_in_python() -> None:
    with pytest.raises(InputError) as caught, said_in_python("x.npy"), said_in_python("x.npy"):
        raise InputError("--axis 3: no", "use --nan omit")
    assert str(caught.value) == 'x.npy: axis=3: no\nuse nan="omit"'
    assert caught.value.args == ("x.npy: axis=3: no", 'use nan="omit"')


@pytest.mark.parametrize(
    ("axis", "axes"),
    [(-1, (-1,)), (np.int64(2), (2,)), ([0, 1], (0, 1)), (np.array([1, 0]), (1, 0)), (range(2), (0, 1))],
)
def test_ways_to_name_axes(axis: Any, axes: tuple[int, ...]) -> None:
    assert axes_of(axis) == axes
    assert all(type(each) is int for each in axes_of(axis))


@pytest.mark.parametrize("axis", ["-1", 1.0, None, (0, "1")])
def test_what_names_no_axis(axis: Any) -> None:
    with pytest.raises(OptionError, match="an axis is an integer"):
        axes_of(axis)


def test_windows() -> None:
    assert window_of(None) is None
    assert window_of(np.uint8(3)) == 3
    with pytest.raises(OptionError, match=r"window='3'"):
        window_of("3")


@pytest.mark.parametrize(
    ("size", "nbytes"),
    [("16MiB", 1 << 24), ("200MB", 200_000_000), ("1.5 gb", 1_500_000_000), ("1T", 10**12), (1 << 30, 1 << 30)],
)
def test_sizes(size: Any, nbytes: int) -> None:
    assert size_of(size) == nbytes


@pytest.mark.parametrize("size", ["", "12XB", "-5MB", "1MiB", 0, -1])
def test_sizes_that_will_not_do(size: Any) -> None:
    with pytest.raises(OptionError, match=r"no size|too little"):
        size_of(size)


def test_devices_and_delimiters() -> None:
    assert [device_of(name) for name in ("auto", "CPU", "gpu:12")] == ["auto", "cpu", "gpu:12"]
    assert [delimiter_of(name) for name in (None, "tab", ";")] == [None, "\t", ";"]
    for wrong in ("gpu:", "", "cuda"):
        with pytest.raises(OptionError, match="is no device"):
            device_of(wrong)
    for wrong in ("ab", '"', "\n", "…"):
        with pytest.raises(OptionError, match="is no delimiter"):
            delimiter_of(wrong)
