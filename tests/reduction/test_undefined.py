"""Values that must not be there, and slices without an answer: counted, and the first of them named."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from reductions import MEMORY, Array, File, Table, reduced

from softargmax_cli.errors import UndefinedError
from softargmax_cli.reduction.engine import reduce, reduce_boxes
from softargmax_cli.reduction.fields import FREE
from softargmax_cli.reduction.problem import Spec
from softargmax_cli.tensorflow.base import Runtime

PLACES = ([4, 1, 3, 1], [0, 5, 2, 2], [0, 0, 3, 6])


def complaint(source: Any, runtime: Runtime, spec: Spec) -> UndefinedError:
    with pytest.raises(UndefinedError) as caught:
        reduced(source, runtime, spec, FREE)
    return caught.value


@pytest.mark.parametrize(
    ("axes", "order", "window"), [((0,), "C", 1), ((1,), "F", None), ((2, 0), "C", None), ((0, 1, 2), "F", 1)]
)
def test_every_nan_and_negative_weight_is_counted_once(
    axes: tuple[int, ...], order: Any, window: int | None, native_runtime: Runtime, blocks_of: Callable[[int], None]
) -> None:
    blocks_of(60)
    values = np.ones((5, 6, 7), "f4", order)
    values[PLACES] = np.nan
    error = complaint(File(values), native_runtime, Spec(axes, window=window))
    assert error.what == "4 NaNs, the first at index (1, 2, 6)"
    assert "--nan omit" in error.remedy
    values[0, 0, 0], values[4, 5, 6] = np.nan, np.nan
    values[PLACES] = -1
    error = complaint(File(values), native_runtime, Spec(axes, "probs", window=window, nan="propagate"))
    assert error.what == "4 negative weights, the first at index (1, 2, 6)"
    assert "--kind scores" in error.remedy


@pytest.mark.parametrize(
    ("kind", "nothing", "said"),
    [
        ("scores", -math.inf, "hold nothing but -inf"),
        ("cost", math.inf, "hold nothing but inf"),
        ("probs", 0, "sum to 0, so there is nothing to normalise by"),
    ],
)
def test_slices_of_nothing(
    kind: Any, nothing: float, said: str, native_runtime: Runtime, blocks_of: Callable[[int], None]
) -> None:
    blocks_of(60)
    values = np.ones((5, 6, 7), "f4", "F" if kind == "cost" else "C")
    values[[4, 1, 3], :, [0, 6, 2]] = nothing
    error = complaint(File(values), native_runtime, Spec((1,), kind))
    assert error.what == f"3 slices {said}; the first is slice (1, 6)"
    values[..., 3] = nothing
    one = said.replace("hold", "holds").replace("sum", "sums")
    error = complaint(File(values), native_runtime, Spec((1, 0), kind))
    assert error.what == f"1 slice {one}; the first is slice 3"
    assert complaint(File(np.full(4, nothing, "f4")), native_runtime, Spec(kind=kind)).what == f"1 slice {one}"


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_in_a_table(axes: tuple[int, ...], native_runtime: Runtime) -> None:
    def table(values: Array) -> Table:
        return Table(values, (7, 1, 30, 2, 60))

    values = np.ones((100, 6))
    values[[41, 8, 99], [1, 4, 0]] = np.nan
    assert complaint(table(values), native_runtime, Spec(axes)).what == "3 NaNs, the first at index (8, 4)"
    values[9, 2] = -1e-300
    error = complaint(table(values), native_runtime, Spec(axes, "probs", nan="omit"))
    assert error.what == "1 negative weight, at index (9, 2)"
    values[:] = 1
    values[[41, 99]] = -np.inf
    if axes == (1,):
        error = complaint(table(values), native_runtime, Spec(axes))
        assert error.what == "2 slices hold nothing but -inf; the first is slice 41"


def test_slices_before_the_first_are_handed_out(native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
    blocks_of(4 * 3)
    values = np.zeros((10, 3), "f4")
    values[6, 1] = np.nan
    problem = Spec().resolve(values.shape, values.dtype, FREE)
    slices = reduce(File(values), problem, native_runtime, memory=MEMORY)
    assert [next(slices).start for _ in range(6)] == list(range(6))
    with pytest.raises(UndefinedError):
        next(slices)


def test_in_boxes(native_runtime: Runtime) -> None:
    values = np.zeros((6, 5, 6))
    values[4, :, 1] = values[2, :, 5] = -np.inf
    source = File(values, (3, 5, 3))
    problem = Spec((1,)).resolve(values.shape, values.dtype, FREE)
    with pytest.raises(UndefinedError, match=r"^2 slices hold nothing but -inf; the first is slice \(2, 5\)"):
        list(reduce_boxes(source, problem, native_runtime, memory=MEMORY))


@pytest.mark.parametrize("window", [0, 100])
def test_a_negative_weight_beside_nan(window: int, native_runtime: Runtime, blocks_of: Callable[[int], None]) -> None:
    """Where a maximum is nowhere to be found, there still is an error to be told."""
    blocks_of(40)
    rng = np.random.default_rng(window)
    for _ in range(10):
        values = rng.choice([0.0, 1.0, 2.0, math.nan, -1.0], 10)
        values[5:][rng.permutation(5)[:2]] = math.nan, -1
        error = complaint(File(values), native_runtime, Spec(kind="probs", window=window))
        assert error.what.startswith(f"{np.count_nonzero(values < 0)} negative weight")
        assert error.what.endswith(f"at index {np.argmax(values < 0)}")
