"""The .npy format and arrays in memory: NumPy's numbers are read, others refused, and any box is NumPy's slice."""

from __future__ import annotations

import io
import math
import os
import struct
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, cast

import ml_dtypes
import numpy as np
import pytest
from files import Array, piped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from softargmax_cli.errors import InputError
from softargmax_cli.files.formats.npy import LONGEST_HEADER, ArraySource, NpySource, read_header
from softargmax_cli.files.source import parsing
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer

DATA = np.arange(12, dtype="<f4").reshape(3, 4)
REALS = [
    *("?", "i1", "u1", "<i2", ">i2", "<u2", ">u2", "<i4", ">i4", "<u4", ">u4"),
    *("<i8", ">i8", "<u8", ">u8", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "<g", ">g"),
]


def head(text: str | bytes, version: int = 1, data: bytes = DATA.tobytes()) -> bytes:
    """A file with that header."""
    encoded = text if isinstance(text, bytes) else text.encode("latin-1")
    size = struct.pack("<H" if version == 1 else "<I", len(encoded))
    return b"\x93NUMPY" + bytes([version, 0]) + size + encoded + data


def said(shape: str = "(3, 4)", descr: str = "'<f4'", order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


def saved(values: Array, version: tuple[int, int] | None = None) -> bytes:
    held = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # versions 2 and 3 where 1 would do
        np.lib.format.write_array(held, values, version=version)
    return held.getvalue()


def whole(values: Array) -> Block:
    return Block((0,) * values.ndim, values.shape)


def read(source: NpySource, block: Block) -> Array:
    """A copy of the values of one block."""
    return source.fetch(block).load(Buffer()).values.copy("K")


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Any]:
    """Write bytes to a file and open it."""
    sources: list[NpySource] = []

    def write(content: bytes, *, buffering: int = -1) -> NpySource:
        path = tmp_path / f"{len(sources)}.npy"
        path.write_bytes(content)
        stream: Any = path.open("rb", buffering=buffering)
        try:
            with parsing(path.name, ".npy file"):
                sources.append(NpySource(stream, path.name))
        except BaseException:
            stream.close()
            raise
        return sources[-1]

    yield write
    for source in sources:
        source.close()


# Headers


@pytest.mark.parametrize("dtype", REALS)
def test_what_numpy_writes(opened: Any, dtype: str) -> None:
    """In every version and order; extended floats become float64."""
    for version, order in (((1, 0), "C"), ((2, 0), "F"), ((3, 0), "C")):
        for shape in ((), (7,), (2, 3, 4), (0, 3), (2, 1) * 4):
            values = np.arange(np.prod(shape)).reshape(shape).astype(dtype).copy(order)  # type: ignore[call-overload]
            source = opened(saved(values, version))
            assert (source.shape, source.stored) == (shape, str(values.dtype))
            assert source.dtype == (np.dtype("f8") if "g" in dtype else values.dtype.newbyteorder("="))
            assert source.nbytes == values.size * source.dtype.itemsize
            np.testing.assert_array_equal(read(source, whole(values)), values.astype(source.dtype))


@pytest.mark.parametrize(
    "text",
    [
        *("{'shape': (3, 4), 'fortran_order': False, 'descr': '<f4'}", said("(3L, 4L)"), said("(0x3, 0b100)")),
        *("  " + said(), said().strip(), said() + " " * 40 + "\n", said(descr="'=f4'"), said(descr="'float32'")),
        *(said(descr="'f'"), said(order="True"), said().replace("'shape'", "\n 'shape'")),
    ],
)
def test_what_others_wrote(opened: Any, text: str) -> None:
    content = head(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of integers as Python 2 wrote them
        values = np.load(io.BytesIO(content))
    np.testing.assert_array_equal(read(opened(content), whole(values)), values)


REFUSED: list[tuple[bytes, str]] = [
    (b"", "not an .npy file"),
    (b"\x93NUMPY", "not an .npy file"),
    (b"PK\x03\x04" + bytes(100), "not an .npy file"),
    (b"\x93NUMPY\x04\x00" + bytes(100), "not an .npy file of version"),
    (b"\x93NUMPY\x01\x01" + saved(DATA)[8:], "not an .npy file of version"),
    (b"\x93NUMPY\x01\x00\x50", "ends within its header"),
    (head(said(), data=b"")[:-10], "ends within its header"),
    (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "longer than any array's"),
    (head(" " * LONGEST_HEADER + said(), 2), "longer than any array's"),
    *((head(text), "damaged, or no .npy file") for text in ("", "{", "[]", "3", "{'descr': '<f4'}", "(" * 5000)),
    (head("__import__('os').abort()"), "damaged, or no .npy file"),
    (head("{'descr': '<f4', 'fortran_order': False, 'shape': (exit(),)}"), "damaged, or no .npy file"),
    (head(b"\xff\xfe\x00\x00", 3), "damaged, or no .npy file"),
    (head(said("(" + "9" * 5000 + ",)")), "damaged, or no .npy file"),
    *((head(said(shape)), "damaged, or no .npy file") for shape in ("[2, 3]", "6", "(2.0, 3)", "(None, 3)", "(03, 4)")),
    *((head(said(descr=descr)), "damaged, or no .npy file") for descr in ("'<f3'", "'spam'", "'<04'", "5 5")),
    (head(said(order="'no'")), "damaged, or no .npy file"),
    (head(said().replace("}", "'x': 1}")), "damaged, or no .npy file"),
    *((head(said(shape)), "impossible shape") for shape in ("(-2, 3)", "(True, 3)", "(9223372036854775808, 0)")),
    (head(said("(" + "9" * 4000 + ", 3)")), "impossible shape"),
    (head(said(f"({2**62}, {2**62}, 0)")), "impossible shape"),
    (head(said("(" + "1, " * 65 + ")")), "impossible shape"),
    (head(said(descr="'|O'")), "objects, which are never unpickled"),
    *(
        (head(said(descr=descr)), "no real numbers")
        for descr in ("'<c8'", "'<U3'", "'|S3'", "'|V8'", "'<M8[ns]'", "'<m8[s]'", "'f4,f4'", "[('a', '<f4')]")
    ),
    (saved(np.zeros(3, [("整形", int)])), "structured holds no real numbers"),
    (saved(DATA)[:-1], "truncated: shape (3, 4) of float32 takes 48 bytes, the file has 47"),
    (head(said("(4294967296, 4294967296, 16)")), "truncated"),
]


@pytest.mark.parametrize(("content", "words"), REFUSED, ids=[str(k) for k in range(len(REFUSED))])
def test_what_is_refused(opened: Any, content: bytes, words: str) -> None:
    with pytest.raises(InputError) as caught:
        opened(content)
    assert words in caught.value.what
    assert caught.value.remedy
    assert len(caught.value.what) < 200


def test_a_pickle_is_never_loaded(opened: Any, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "boom"),)

    with pytest.raises(InputError):
        opened(saved(np.array([Bomb()], object)))
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_truncated_at_every_byte(version: tuple[int, int]) -> None:
    content = saved(DATA, version)[: -DATA.nbytes]
    for size in range(len(content)):
        with pytest.raises((InputError, ValueError, SyntaxError)):
            read_header(io.BytesIO(content[:size]))


# Sizes


def test_bytes_behind_the_array(opened: Any) -> None:
    source = opened(saved(np.arange(3.0)) + b"more")
    assert source.notes == ("4 bytes after the array are ignored",)
    assert read(source, Block((0,), (3,))).tolist() == [0, 1, 2]


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_file_cut_short_after_it_was_opened(tmp_path: Path, order: Any) -> None:
    values = np.arange(6000.0).reshape(60, 100).copy(order)
    path = tmp_path / "a.npy"
    np.save(path, values)
    source = NpySource(path.open("rb"), "a.npy")
    os.truncate(path, 128 + 8 * 3000)
    early = Block((0, 0), (30, 100) if order == "C" else (60, 50))
    np.testing.assert_array_equal(read(source, early), values[: early.stop[0], : early.stop[1]])
    for late in (Block((0, 0), (60, 100)), Block((59, 99), (60, 100))):
        with pytest.raises(InputError, match=r"a\.npy: ended before all of shape \(60, 100\) of float64"):
            read(source, late)
    source.close()


def test_numbers_beyond_a_double_and_truth_values(opened: Any) -> None:
    if np.dtype("g").itemsize > 8:
        source = opened(saved(np.array(["1e4000", "-1e4000", "1"], "g")))
        assert read(source, Block((0,), (3,))).tolist() == [np.inf, -np.inf, 1.0]
    source = opened(head(said("(4,)", "'|b1'"), data=bytes([0, 1, 2, 255])))  # what is not 0 is true, to NumPy
    assert read(source, Block((0,), (4,))).view("u1").tolist() == [0, 1, 1, 1]


# Boxes


@st.composite
def boxes(draw: st.DrawFn) -> tuple[tuple[int, ...], Block]:
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=5)))
    edges = [sorted(draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in shape]
    return shape, Block(tuple(a for a, _ in edges), tuple(b for _, b in edges))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(boxes(), st.sampled_from(["C", "F"]), st.sampled_from(["<f4", ">i2", "u1"]), st.booleans())
def test_any_box_is_numpys_slice(
    tmp_path: Path, case: tuple[tuple[int, ...], Block], order: Any, dtype: str, positioned: bool
) -> None:
    """By positioned reads, where the system has them, or by seeking."""
    shape, block = case
    values = np.arange(np.prod(shape)).astype(dtype).reshape(shape).copy(order)
    (tmp_path / "a.npy").write_bytes(saved(values))
    source = NpySource((tmp_path / "a.npy").open("rb"), "a.npy")
    with pytest.MonkeyPatch.context() as patch:
        if not positioned:
            patch.delattr(os, "preadv", raising=False)
        got = read(source, block)
    assert source.fetch(block).nbytes == got.nbytes
    source.close()
    np.testing.assert_array_equal(got, values[tuple(map(slice, block.start, block.stop))])


def test_several_threads_at_once(opened: Any) -> None:
    values = np.arange(60_000.0).reshape(300, 200)
    source = opened(saved(values), buffering=0)
    with ThreadPoolExecutor(6) as threads:
        rows = threads.map(lambda row: read(source, Block((row, 20), (row + 1, 180))), range(300), timeout=60)
    np.testing.assert_array_equal(np.concatenate(list(rows)), values[:, 20:180])


# Pipes


def test_a_pipe_that_ends_early() -> None:
    with piped(saved(np.arange(3000.0))[:-8]) as path, open(path, "rb") as stream:
        source = NpySource(cast(BinaryIO, stream), "<stdin>")
        read(source, Block((0,), (1000,)))
        with pytest.raises(InputError, match=r"<stdin>: ended before all of shape \(3000,\)"):
            source.fetch(Block((1000,), (3000,)))


# Arrays in memory


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
def test_any_box_of_an_array_is_numpys_slice(data: st.DataObject) -> None:
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
def test_arrays_that_are_refused(array: Array, words: str) -> None:
    with pytest.raises(InputError) as caught:
        ArraySource(array)
    assert caught.value.message == f"<array>: {words}"
    assert "array.astype(" in caught.value.remedy
