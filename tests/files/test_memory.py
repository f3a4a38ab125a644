"""Arrays in memory as sources: any box is NumPy's slice of them, and they stay as they were."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from files import Array
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from softargmax_cli.errors import InputError
from softargmax_cli.files.formats.npy import ArraySource
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer


def whole(array: Array) -> Block:
    return Block((0,) * array.ndim, array.shape)


def loaded(source: ArraySource, block: Block, buffer: Buffer | None = None) -> Array:
    return source.fetch(block).load(buffer or Buffer()).values


def test_what_it_says_of_an_array() -> None:
    source = ArraySource(np.zeros((2, 3), ">i2"))
    assert (source.name, source.shape, source.stored, source.nbytes) == ("<array>", (2, 3), ">i2", 12)
    assert (source.dtype, source.order, source.sequential) == (np.dtype("i2"), "C", False)
    assert ArraySource(np.zeros(3), "scores").name == "scores"
    for array, order in (
        (np.zeros((3, 4), order="F"), "F"),
        (np.zeros((3, 4, 5)).transpose(0, 2, 1), "C"),
        (np.zeros((6, 8))[::2, ::2], "C"),
        (np.zeros((5, 1)), "C"),
        (np.zeros((0, 3)), "C"),
    ):
        assert ArraySource(array).order == order


@settings(max_examples=40)
@given(st.data())
def test_any_box_is_numpys_slice(data: st.DataObject) -> None:
    """In native byte order, contiguous in the order of the array, which stays as it was."""
    base = data.draw(
        hnp.arrays(
            st.sampled_from(["?", "u1", ">i2", "f2", ">f4", "f8"]),
            hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
            elements=st.integers(0, 1),
        )
    )
    turned = base.transpose(data.draw(st.permutations(range(base.ndim))))
    steps = [slice(None, None, data.draw(st.sampled_from([1, 2, -1]))) for _ in range(base.ndim)]
    array = turned[(*steps, ...)]
    array.flags.writeable = False
    before, source = array.copy(), ArraySource(array)
    edges = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in array.shape]
    block = Block(tuple(a for a, _ in edges), tuple(b for _, b in edges))
    pending = source.fetch(block)
    values = pending.load(Buffer()).values
    assert values.dtype == source.dtype == array.dtype.newbyteorder("=")
    assert pending.nbytes == math.prod(block.shape) * array.itemsize
    assert values.flags.c_contiguous if source.order == "C" else values.flags.f_contiguous
    np.testing.assert_array_equal(values, array[(*(slice(a, b) for a, b in edges), ...)])
    np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("order", ["C", "F"])
def test_floats_that_tensorflow_or_numpy_has_not(order: Any) -> None:
    if np.dtype("g").itemsize > 8:
        array = np.array(["1e4000", "-1e4000", "0.1", "nan"], "g")
        source = ArraySource(array)
        assert (source.dtype, source.nbytes) == (np.dtype("f8"), array.size * 8)
        np.testing.assert_array_equal(loaded(source, Block((0,), (4,))), [np.inf, -np.inf, 0.1, np.nan])
    numbers = np.array([[1.5, np.nan, -0.25], [0, 8, 3]], "f4", order=order)
    for name in ("bfloat16", "float8_e4m3fn"):
        source = ArraySource(numbers.astype(getattr(ml_dtypes, name)))
        assert (source.dtype, source.stored, source.order) == (np.dtype("f4"), name, order)
        np.testing.assert_array_equal(loaded(source, Block((1, 1), (2, 3))), numbers[1:, 1:])


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([1, None], object), "dtype object holds objects, which are never unpickled"),
        (np.zeros(3, "c8"), "dtype complex64 holds no real numbers"),
        (np.array(["a", "b"]), "dtype <U1 holds no real numbers"),
        (np.zeros(3, "M8[s]"), "dtype datetime64[s] holds no real numbers"),
        (np.zeros(3, [("a", "f4")]), "dtype structured holds no real numbers"),
        (np.ma.array([1, 2], mask=[False, True]), "a masked array, of which masked entries have no value"),
    ],
)
def test_what_is_refused(array: Array, words: str) -> None:
    with pytest.raises(InputError) as caught:
        ArraySource(array)
    assert caught.value.message == f"<array>: {words}"
    assert "array.astype(" in caught.value.remedy


def test_a_view_where_memory_has_no_gaps_and_a_copy_elsewhere() -> None:
    array = np.arange(60.0).reshape(3, 4, 5)
    values = loaded(ArraySource(array), Block((1, 0, 0), (3, 4, 5)))
    assert np.shares_memory(values, array)
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 0
    assert array.flags.writeable
    values = loaded(ArraySource(array), Block((0, 1, 1), (2, 3, 4)))
    assert values.flags.c_contiguous


def test_bytes_that_numpy_would_not_write() -> None:
    array = np.frombuffer(bytes(1) + np.arange(6.0).tobytes(), "f8", offset=1)
    values = loaded(ArraySource(array), whole(array))
    assert values.flags.aligned
    assert values.tolist() == [0, 1, 2, 3, 4, 5]
