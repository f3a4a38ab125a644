"""Arrays in memory as sources: any box is NumPy's slice of them, and they stay as they were."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from softargmax_cli.errors import InputError
from softargmax_cli.files.memory import ArraySource
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer

pytestmark = pytest.mark.sampled(2)

Array = npt.NDArray[Any]


def whole(array: Array) -> Block:
    return Block((0,) * array.ndim, array.shape)


def loaded(source: ArraySource, block: Block, buffer: Buffer | None = None) -> Array:
    return source.fetch(block).load(buffer or Buffer()).values


class TestAttributes:
    def test_what_it_says_of_an_array(self) -> None:
        source = ArraySource(np.zeros((2, 3), ">i2"))
        assert (source.name, source.shape, source.stored, source.nbytes) == ("<array>", (2, 3), ">i2", 12)
        assert (source.dtype, source.order, source.sequential) == (np.dtype("i2"), "C", False)
        assert (source.labels, source.has_ids, source.rows, source.notes) == (None, False, 0, ())
        assert ArraySource(np.zeros(3), "scores").name == "scores"
        source.close()
        with pytest.raises(InputError, match="closed"):
            loaded(source, Block((0, 0), (2, 3)))

    @pytest.mark.parametrize(
        ("array", "order"),
        [
            (np.zeros((3, 4)), "C"),
            (np.zeros((3, 4), order="F"), "F"),
            (np.zeros((3, 4)).T, "F"),
            (np.zeros((3, 4, 5)).transpose(0, 2, 1), "C"),
            (np.zeros((6, 8))[::2, ::2], "C"),
            (np.zeros((3, 4))[::-1], "C"),
            (np.broadcast_to(np.zeros(4), (3, 4)), "C"),
            (np.zeros(5), "C"),
            (np.zeros((5, 1)), "C"),
            (np.zeros(()), "C"),
            (np.zeros((0, 3)), "C"),
        ],
    )
    def test_orders(self, array: Array, order: str) -> None:
        source = ArraySource(array)
        assert source.order == order
        values = loaded(source, whole(array))
        assert values.flags.c_contiguous if order == "C" else values.flags.f_contiguous
        np.testing.assert_array_equal(values, array)
        assert (values.shape, source.nbytes) == (array.shape, array.size * 8)
        assert source.fetch(whole(array)).nbytes == source.nbytes

    def test_a_matrix_is_an_array(self) -> None:
        with pytest.warns(PendingDeprecationWarning):
            matrix = np.matrix([[1, 2], [3, 4]])
        values = loaded(ArraySource(matrix), Block((1, 0), (2, 2)))
        assert type(values) is np.ndarray
        assert values.tolist() == [[3, 4]]


class TestDtypes:
    @pytest.mark.parametrize(
        "dtype",
        [
            *("?", "i1", "u1", "<i2", ">i2", "<u2", ">u2", "<i4", ">i4", "<u4", ">u4"),
            *("<i8", ">i8", "<u8", ">u8", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8"),
        ],
    )
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_native_byte_order(self, dtype: str, order: Any) -> None:
        array = (np.random.default_rng(2).integers(0, 100, (9, 7)) % 3).astype(dtype).copy(order)
        source = ArraySource(array)
        values = loaded(source, Block((1, 2), (8, 7)))
        assert source.dtype == values.dtype == np.dtype(dtype).newbyteorder("=")
        assert source.stored == str(np.dtype(dtype))
        np.testing.assert_array_equal(values, array[1:8, 2:7])

    @pytest.mark.skipif(np.dtype("g").itemsize == 8, reason="no wider float here")
    @pytest.mark.parametrize("order", ["=", ">"])
    def test_long_doubles_become_doubles(self, order: Any) -> None:
        array = np.array(["1e4000", "-1e4000", "0.1", "nan"], "g").astype(np.dtype("g").newbyteorder(order))
        source = ArraySource(array)
        assert (source.dtype, source.nbytes) == (np.dtype("f8"), array.size * 8)
        np.testing.assert_array_equal(loaded(source, Block((0,), (4,))), [np.inf, -np.inf, 0.1, np.nan])

    @pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_small_floats_become_single(self, name: str, order: Any) -> None:
        ml_dtypes = pytest.importorskip("ml_dtypes")
        numbers = np.array([[1.5, np.nan, -0.25], [0, 8, 3]], "f4", order=order)
        source = ArraySource(numbers.astype(getattr(ml_dtypes, name)))
        assert (source.dtype, source.stored, source.order) == (np.dtype("f4"), name, order)
        np.testing.assert_array_equal(loaded(source, whole(numbers)), numbers)
        np.testing.assert_array_equal(loaded(source, Block((1, 1), (2, 3))), numbers[1:, 1:])

    @pytest.mark.parametrize(
        ("array", "words"),
        [
            (np.array([1, None], object), "dtype object holds objects"),
            (np.zeros(3, "c8"), "dtype complex64 holds no real numbers"),
            (np.array(["a", "b"]), "dtype <U1 holds no real numbers"),
            (np.array([b"a"]), "dtype |S1 holds no real numbers"),
            (np.zeros(3, "M8[s]"), "dtype datetime64[s] holds no real numbers"),
            (np.zeros(3, "m8[s]"), "dtype timedelta64[s] holds no real numbers"),
            (np.zeros(3, "V4"), "dtype |V4 holds no real numbers"),
            (np.zeros(3, [("a", "f4")]), "dtype structured holds no real numbers"),
            (np.zeros(3, [("a", "O")]), "dtype structured holds objects"),
        ],
    )
    def test_what_is_refused(self, array: Array, words: str) -> None:
        with pytest.raises(InputError) as caught:
            ArraySource(array)
        assert caught.value.what == f"<array>: {words}"
        assert "astype('float32')" in caught.value.remedy

    @pytest.mark.parametrize("array", [np.ma.zeros(3), np.ma.array([1, 2], mask=[False, True])])
    def test_masked_arrays_are_refused(self, array: Array) -> None:
        with pytest.raises(InputError, match="scores: a masked array") as caught:
            ArraySource(array, "scores")
        assert ".filled(nan)" in caught.value.remedy


class TestBoxes:
    @given(st.data())
    def test_any_box_is_numpys_slice(self, data: st.DataObject) -> None:
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
        before = array.copy()
        source = ArraySource(array)
        edges = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in array.shape]
        block = Block(tuple(a for a, _ in edges), tuple(b for _, b in edges))
        pending = source.fetch(block)
        values = pending.load(Buffer()).values
        want = array[(*(slice(a, b) for a, b in edges), ...)]
        assert values.shape == block.shape
        assert values.dtype == source.dtype
        assert pending.nbytes == math.prod(block.shape) * array.itemsize
        assert values.flags.c_contiguous if source.order == "C" else values.flags.f_contiguous
        np.testing.assert_array_equal(values, want)
        np.testing.assert_array_equal(array, before)

    @pytest.mark.parametrize("order", ["C", "F"])
    def test_a_view_where_memory_has_no_gaps(self, order: Any) -> None:
        array = np.arange(60.0).reshape(3, 4, 5).copy(order)
        source = ArraySource(array)
        block = Block((1, 0, 0), (3, 4, 5)) if order == "C" else Block((0, 0, 2), (3, 4, 5))
        values = loaded(source, block)
        assert np.shares_memory(values, array)
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 0
        assert array.flags.writeable

    @pytest.mark.parametrize("order", ["C", "F"])
    def test_a_copy_in_the_buffer_elsewhere(self, order: Any) -> None:
        array = np.arange(60.0).reshape(3, 4, 5).copy(order)
        source, buffer = ArraySource(array), Buffer()
        values = loaded(source, Block((0, 1, 1), (2, 3, 4)), buffer)
        assert not np.shares_memory(values, array)
        assert np.shares_memory(values, buffer.array((12,), "f8"))
        assert values.flags.f_contiguous == (order == "F")
        values[:] = -1
        assert array.min() == 0

    def test_an_array_that_may_not_be_written(self) -> None:
        array = np.arange(6, dtype=">f4").reshape(2, 3)
        array.flags.writeable = False
        np.testing.assert_array_equal(loaded(ArraySource(array), whole(array)), array)

    def test_memory_out_of_step(self) -> None:
        array = np.frombuffer(bytes(1) + np.arange(6.0).tobytes(), "f8", offset=1)
        values = loaded(ArraySource(array), whole(array))
        assert values.flags.aligned
        assert values.tolist() == [0, 1, 2, 3, 4, 5]

    def test_truth_values_are_0_and_1(self) -> None:
        array = np.array([[0, 1, 2], [255, 0, 7]], "u1").view("?")
        for kind in (array, np.asfortranarray(array), array[:, ::-1]):
            values = loaded(ArraySource(kind), whole(kind))
            np.testing.assert_array_equal(values.view("u1"), kind.view("u1") != 0)
        assert array.view("u1").tolist() == [[0, 1, 2], [255, 0, 7]]

    def test_several_threads_at_once(self) -> None:
        array = np.random.default_rng(1).standard_normal((400, 300)).astype(">f4")
        source, wrong = ArraySource(array), []

        def reads(first: int) -> None:
            buffer = Buffer()
            for row in range(first, 400, 4):
                if not np.array_equal(loaded(source, Block((row, 20), (row + 1, 280)), buffer)[0], array[row, 20:280]):
                    wrong.append(row)

        workers = [threading.Thread(target=reads, args=(first,)) for first in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert wrong == []
