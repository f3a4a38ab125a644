"""The .npy format: what is read, what is refused, and that any box of any file is NumPy's slice of it."""

from __future__ import annotations

import io
import os
import pickle
import struct
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from softargmax_cli.errors import InputError
from softargmax_cli.files.formats.npy import LONGEST_HEADER, NpySource, read_header
from softargmax_cli.reduction.blocks import Block, plan
from softargmax_cli.reduction.readable import Buffer

Array = npt.NDArray[Any]


def head(text: str | bytes, version: int = 1) -> bytes:
    """The head of a file with that header."""
    encoded = text if isinstance(text, bytes) else text.encode("utf-8" if version == 3 else "latin-1")
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(encoded)) + encoded


def said(shape: str = "(2, 3)", descr: str = "'<f4'", order: str = "False") -> str:
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
            sources.append(NpySource(stream, path.name))
        except BaseException:
            stream.close()
            raise
        return sources[-1]

    yield write
    for source in sources:
        source.close()


class Piped:
    """A stream of bytes that cannot be sought, written by a thread."""

    def __init__(self, content: bytes, *, pieces: int = 1000) -> None:
        end, self._writing = os.pipe()
        self.stream: BinaryIO = os.fdopen(end, "rb")
        self._content, self._pieces = content, pieces
        self._thread = threading.Thread(target=self._write)

    def _write(self) -> None:
        with os.fdopen(self._writing, "wb", buffering=0) as writer:
            for start in range(0, len(self._content), self._pieces):
                writer.write(self._content[start : start + self._pieces])

    def __enter__(self) -> BinaryIO:
        self._thread.start()
        return self.stream

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self.stream.close()


class TestHeaders:
    @pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_numpys_own(self, opened: Any, version: tuple[int, int], order: Any) -> None:
        values = np.arange(24, dtype="<f4").reshape(2, 3, 4).copy(order)
        content = saved(values, version)
        header = read_header(io.BytesIO(content), "a.npy")
        assert (header.shape, header.dtype, header.order) == ((2, 3, 4), np.dtype("<f4"), order)
        assert (header.nbytes, header.length) == (96, len(content) - 96)
        source = opened(content)
        assert (source.shape, source.dtype, source.stored, source.order) == (
            *((2, 3, 4), np.dtype("f4"), "float32", order),
        )
        assert (source.nbytes, source.sequential, source.notes) == (96, False, ())
        np.testing.assert_array_equal(read(source, whole(values)), values)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "not an .npy file"),
            (b"\x93NUMPY", "not an .npy file"),
            (b"PK\x03\x04" + bytes(100), "not an .npy file"),
            (b"1,2,3\n4,5,6\n", "not an .npy file"),
            (b"\x93NUMPY\x04\x00" + bytes(100), "version 4.0 is not known"),
            (b"\x93NUMPY\x00\x00" + bytes(100), "version 0.0 is not known"),
            (b"\x93NUMPY\x01\x00\x50", "ends within its header"),
            (b"\x93NUMPY\x02\x00\x50\x00", "ends within its header"),
            (head(said())[:-10], "ends within its header"),
            (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "longer than any array's"),
            (head(" " * LONGEST_HEADER + said(), 2), "longer than any array's"),
            (head(""), "cannot be parsed"),
            (head("{"), "cannot be parsed"),
            (head("[]"), "cannot be parsed"),
            (head("3"), "cannot be parsed"),
            (head("{'descr': '<f4'}"), "cannot be parsed"),
            (head("__import__('os').abort()"), "cannot be parsed"),
            (head("{'descr': '<f4', 'fortran_order': False, 'shape': (exit(),)}"), "cannot be parsed"),
            (head(b"\xff\xfe\x00\x00", 3), "cannot be parsed"),
            (head("(" * 5000), "cannot be parsed"),
            (head(said("(" + "9" * 5000 + ",)")), "cannot be parsed"),
            (head(said("[2, 3]")), "impossible shape"),
            (head(said("6")), "impossible shape"),
            (head(said("(-2, 3)")), "impossible shape"),
            (head(said("(2.0, 3)")), "impossible shape"),
            (head(said("(True, 3)")), "impossible shape"),
            (head(said("(None, 3)")), "impossible shape"),
            (head(said("(" + "1, " * 65 + ")")), "65 axes"),
            (head(said("(9223372036854775808, 0)")), "impossible shape"),
            (head(said("(" + "9" * 4000 + ", 3)")), "impossible shape"),
            (head(said(descr="'<f3'")), "unknown dtype"),
            (head(said(descr="'spam'")), "unknown dtype"),
            (head(said(descr="''")), ""),
            (head(said(descr="'|O'")), "objects, which are never unpickled"),
            (head(said(descr="'<c8'")), "no real numbers"),
            (head(said(descr="'<c16'")), "no real numbers"),
            (head(said(descr="'<U3'")), "no real numbers"),
            (head(said(descr="'|S3'")), "no real numbers"),
            (head(said(descr="'|V8'")), "no real numbers"),
            (head(said(descr="'<M8[ns]'")), "no real numbers"),
            (head(said(descr="'<m8[s]'")), "no real numbers"),
            (head(said(descr="'f4,f4'")), "no real numbers"),
            (head(said(descr="'(2,)f4'")), "no real numbers"),
            (head(said(descr="[('a', '<f4')]")), "structured"),
            (head(said(descr="None")), ""),
            (head(said(descr="4")), ""),
        ],
    )
    def test_what_is_refused(self, opened: Any, content: bytes, words: str) -> None:
        with pytest.raises(InputError) as caught:
            opened(content)
        assert caught.value.what.startswith("0.npy: ")
        assert words in caught.value.what
        assert caught.value.remedy
        assert len(caught.value.what) < 200

    def test_a_pickle_is_never_loaded(self, opened: Any, tmp_path: Path) -> None:
        class Bomb:
            def __reduce__(self) -> tuple[Any, ...]:
                return os.mkdir, (str(tmp_path / "boom"),)

        for content in (saved(np.array([Bomb()], object)), pickle.dumps(Bomb())):
            with pytest.raises(InputError):
                opened(content)
        assert not (tmp_path / "boom").exists()

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
    @given(st.data())
    def test_any_damage_is_an_input_error(self, data: Any) -> None:
        text = bytearray(said(data.draw(st.sampled_from(["(2, 3)", "(6,)", "(1, 2, 3)"]))).encode())
        for _ in range(data.draw(st.integers(1, 4))):
            text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                header = read_header(io.BytesIO(head(bytes(text))), "a.npy")
            except InputError:
                return
        assert header.dtype.kind in "biuf"
        assert all(n >= 0 for n in header.shape)

    @settings(max_examples=300)
    @given(st.binary(max_size=60), st.sampled_from([b"", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x02\x00"]))
    def test_any_bytes_are_an_input_error(self, content: bytes, start: bytes) -> None:
        with pytest.raises(InputError):
            read_header(io.BytesIO(start + content), "a.npy")

    @pytest.mark.parametrize("order", ["1", "'no'", "None", "[]"])
    def test_an_order_that_is_no_truth_value(self, opened: Any, order: str) -> None:
        with pytest.raises(InputError):
            opened(head(said(order=order)) + bytes(24))

    @pytest.mark.parametrize("text", [said(descr="'a4'"), "{'\\d': 1}", "1if 2else 3"])
    def test_a_hostile_header_says_nothing_on_standard_error(self, text: str) -> None:
        with pytest.raises(InputError):
            read_header(io.BytesIO(head(text)), "a.npy")


class TestSize:
    def test_a_file_cut_short(self, opened: Any) -> None:
        content = saved(np.zeros((1000, 3)))
        with pytest.raises(InputError) as caught:
            opened(content[:-1])
        assert caught.value.what == (
            "0.npy: truncated: shape (1000, 3) of float64 takes 24,000 bytes, the file has 23,999"
        )

    @pytest.mark.parametrize("shape", ["(9223372036854775807, 9223372036854775807)", "(4294967296, 4294967296, 16)"])
    def test_a_shape_whose_size_overflows(self, opened: Any, shape: str) -> None:
        with pytest.raises(InputError, match="truncated"):
            opened(head(said(shape)) + bytes(24))

    def test_bytes_behind_the_array(self, opened: Any) -> None:
        source = opened(saved(np.arange(3.0)) + b"more")
        assert source.notes == ("4 bytes after the array are ignored",)
        assert read(source, Block((0,), (3,))).tolist() == [0, 1, 2]

    @pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3)])
    def test_arrays_of_nothing(self, opened: Any, shape: tuple[int, ...]) -> None:
        source = opened(saved(np.zeros(shape)))
        assert (source.shape, source.nbytes, source.notes) == (shape, 0, ())

    def test_a_number(self, opened: Any) -> None:
        source = opened(saved(np.array(5.0)))
        assert source.shape == ()
        assert read(source, Block((), ())) == 5.0

    @pytest.mark.parametrize("order", ["C", "F"])
    def test_a_file_cut_short_after_it_was_opened(self, tmp_path: Path, order: Any) -> None:
        values = np.arange(6000.0).reshape(60, 100).copy(order)
        path = tmp_path / "a.npy"
        np.save(path, values)
        source = NpySource(path.open("rb"), "a.npy")
        try:
            os.truncate(path, 128 + 8 * 3000)
            early = Block((0, 0), (30, 100) if order == "C" else (60, 50))
            np.testing.assert_array_equal(read(source, early), values[: early.stop[0], : early.stop[1]])
            for late in (Block((0, 0), (60, 100)), Block((59, 99), (60, 100))):
                with pytest.raises(InputError, match=r"a\.npy: ended before all of shape \(60, 100\) of float64"):
                    read(source, late)
        finally:
            source.close()

    def test_a_stream_that_ends_early(self) -> None:
        content = saved(np.arange(3000.0))
        with Piped(content[:-8]) as stream:
            source = NpySource(stream, "<stdin>")
            read(source, Block((0,), (1000,)))
            with pytest.raises(InputError, match=r"<stdin>: ended before all of shape \(3000,\)"):
                source.fetch(Block((1000,), (3000,)))

    def test_an_array_within_another_file(self, tmp_path: Path) -> None:
        values = np.arange(12.0).reshape(3, 4)
        (tmp_path / "a.bin").write_bytes(b"some head" + saved(values) + b"some tail")
        with (tmp_path / "a.bin").open("rb") as stream:
            stream.seek(9)
            np.testing.assert_array_equal(read(NpySource(stream, "a.bin"), whole(values)), values)


class TestDtypes:
    @pytest.mark.parametrize(
        "dtype",
        [
            *("?", "i1", "u1", "<i2", ">i2", "<u2", ">u2", "<i4", ">i4", "<u4", ">u4"),
            *("<i8", ">i8", "<u8", ">u8", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8"),
        ],
    )
    @pytest.mark.parametrize("piped", [False, True])
    def test_values_in_native_byte_order(self, opened: Any, dtype: str, piped: bool) -> None:
        kind = np.dtype(dtype)
        rng = np.random.default_rng(3)
        values = np.frombuffer(rng.bytes(120 * kind.itemsize), kind).reshape(10, 12)
        values = values > 100 if kind.kind == "b" else np.nan_to_num(values) if kind.kind == "f" else values
        content = saved(values.astype(kind))
        if piped:
            with Piped(content) as stream:
                got, source = read(source := NpySource(stream, "<stdin>"), whole(values)), source
        else:
            source = opened(content)
            got = read(source, Block((2, 3), (7, 11)))
            values = values[2:7, 3:11]
        assert source.stored == str(kind)
        assert got.dtype == source.dtype == kind.newbyteorder("=")
        np.testing.assert_array_equal(got, values)

    @pytest.mark.skipif(np.dtype("g").itemsize == 8, reason="no wider float here")
    @pytest.mark.parametrize("order", ["=", ">"])
    def test_long_doubles_become_doubles(self, opened: Any, order: Any) -> None:
        values = (np.arange(12).reshape(3, 4) / np.longdouble(7)).astype(np.dtype("g").newbyteorder(order))
        source = opened(saved(values))
        assert source.dtype == np.dtype("f8")
        assert source.nbytes == values.size * 8
        np.testing.assert_array_equal(read(source, whole(values)), values.astype("f8"))

    @pytest.mark.skipif(np.dtype("g").itemsize == 8, reason="no wider float here")
    def test_a_long_double_beyond_a_double(self, opened: Any) -> None:
        source = opened(saved(np.array(["1e4000", "-1e4000", "1"], "g")))
        assert read(source, Block((0,), (3,))).tolist() == [np.inf, -np.inf, 1.0]

    def test_truth_values_are_0_and_1(self, opened: Any) -> None:
        """A file may hold any byte; what is not 0 is true, to NumPy."""
        source = opened(head(said("(4,)", "'|b1'")) + bytes([0, 1, 2, 255]))
        assert read(source, Block((0,), (4,))).view("u1").tolist() == [0, 1, 1, 1]


@st.composite
def boxes(draw: st.DrawFn) -> tuple[tuple[int, ...], Block]:
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=5)))
    edges = [sorted(draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in shape]
    return shape, Block(tuple(a for a, _ in edges), tuple(b for _, b in edges))


class TestBoxes:
    @settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(boxes(), st.sampled_from(["C", "F"]), st.sampled_from(["<f4", ">i2", "u1"]))
    def test_any_box_is_numpys_slice(
        self, tmp_path: Path, case: tuple[tuple[int, ...], Block], order: Any, dtype: str
    ) -> None:
        shape, block = case
        values = np.arange(np.prod(shape)).astype(dtype).reshape(shape).copy(order)
        (tmp_path / "a.npy").write_bytes(saved(values))
        source = NpySource((tmp_path / "a.npy").open("rb"), "a.npy")
        try:
            got = read(source, block)
            assert source.fetch(block).nbytes == got.nbytes
        finally:
            source.close()
        want = values[tuple(map(slice, block.start, block.stop))]
        assert got.shape == block.shape
        np.testing.assert_array_equal(got, want)

    def test_no_positioned_reads(self, opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(os, "preadv", raising=False)
        values = np.arange(60.0).reshape(3, 4, 5)
        source = opened(saved(values), buffering=0)
        block = Block((1, 0, 2), (3, 3, 5))
        np.testing.assert_array_equal(read(source, block), values[1:3, 0:3, 2:5])
        os.truncate(source._stream.name, 200)
        with pytest.raises(InputError, match="ended"):
            read(source, whole(values))

    def test_unbuffered_files(self, opened: Any) -> None:
        values = np.arange(60.0).reshape(3, 20)
        np.testing.assert_array_equal(read(opened(saved(values), buffering=0), whole(values)), values)

    def test_several_threads_at_once(self, opened: Any) -> None:
        values = np.arange(60_000.0).reshape(300, 200)
        source = opened(saved(values))
        wrong: list[int] = []

        def reads(first: int) -> None:
            buffer = Buffer()
            for row in range(first, 300, 6):
                got = source.fetch(Block((row, 20), (row + 1, 180))).load(buffer).values
                if not np.array_equal(got[0], values[row, 20:180]):
                    wrong.append(row)

        workers = [threading.Thread(target=reads, args=(first,)) for first in range(6)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert wrong == []

    @pytest.mark.parametrize("order", ["C", "F"])
    @pytest.mark.parametrize("elements", [1, 7, 60, 10_000])
    def test_a_stream_in_contiguous_blocks(self, order: Any, elements: int) -> None:
        """Reduced along the axis that is contiguous in the file."""
        values = np.arange(4 * 5 * 6, dtype=">i4").reshape(4, 5, 6).copy(order)
        got = np.zeros(values.shape, int)
        with Piped(saved(values), pieces=11) as stream:
            source = NpySource(stream, "<stdin>")
            assert (source.sequential, source.order) == (True, order)
            for block in plan(values.shape, (2 if order == "C" else 0,), order, elements, contiguous=True):
                got[tuple(map(slice, block.start, block.stop))] = read(source, block)
        np.testing.assert_array_equal(got, values)
