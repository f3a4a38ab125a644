"""Statistics of blocks against NumPy's own in extended precision."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from softargmax_cli.reduction.statistics import Statistics, block_statistics

DTYPES = ["bool", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"]


def merged(parts: list[npt.NDArray[Any]]) -> Statistics:
    whole = Statistics()
    for part in parts:
        whole.merge(block_statistics(part))
    return whole


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_like_numpy(dtype: str, order: Any) -> None:
    values = (np.random.default_rng(1).random((37, 11, 5)) * 100).astype(dtype, order=order)
    found = merged(np.array_split(values, 7))
    assert (found.minimum, found.maximum, found.count) == (values.min(), values.max(), values.size)
    assert found.mean == pytest.approx(float(values.mean(dtype=np.longdouble)), rel=1e-15)
    assert (found.nan, found.inf, found.negative_inf) == (0, 0, 0)


def test_what_is_not_finite_is_counted_and_left_out() -> None:
    values = np.array([[1.0, np.nan, np.inf], [-np.inf, 3.0, np.inf]])
    found = merged([values, np.full(4, np.nan)])
    assert (found.nan, found.inf, found.negative_inf, found.count) == (5, 2, 1, 2)
    assert (found.minimum, found.maximum, found.mean) == (1.0, 3.0, 2.0)


@pytest.mark.parametrize("values", [np.zeros((0, 4)), np.full(3, np.nan), np.full(3, -np.inf)], ids=["0", "nan", "inf"])
def test_nothing_finite(values: npt.NDArray[Any]) -> None:
    found = merged([values])
    assert (found.count, found.minimum, found.maximum, found.mean) == (0, None, None, None)


def test_a_sum_beyond_a_float64_has_no_mean() -> None:
    assert merged([np.full(10, 1.5e308)]).mean is None


def test_whole_numbers_are_exact() -> None:
    found = block_statistics(np.array([2**63 - 1, -(2**63)], "i8"))
    assert (found.minimum, found.maximum) == (-(2**63), 2**63 - 1)
    assert math.isfinite(found.mean or 0)
