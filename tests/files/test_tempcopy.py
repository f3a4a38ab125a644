"""Copies of what can be read once: the same array, in a file that has no name and that memory does not hold."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import math
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from softargmax_cli.errors import InputError, OutputError
from softargmax_cli.files.formats.npy import NpySource
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.registry import open_source
from softargmax_cli.files.source import Pending, Source
from softargmax_cli.files.tempcopy import copied
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer

Array = npt.NDArray[Any]
MIB = 1 << 20


def saved(values: Array) -> bytes:
    held = io.BytesIO()
    np.lib.format.write_array(held, values)
    return held.getvalue()


@contextlib.contextmanager
def piped(content: bytes, pieces: int = 4093) -> Iterator[Any]:
    """The reading end of a pipe that a thread fills, in uneven pieces, until nobody reads."""
    end, writing = os.pipe()

    def write() -> None:
        with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "wb", buffering=0) as writer:
            for start in range(0, len(content), pieces):
                writer.write(content[start : start + pieces])

    thread = threading.Thread(target=write)
    with os.fdopen(end, "rb") as stream:
        thread.start()
        try:
            yield stream
        finally:
            stream.close()
            thread.join()


def box(source: Source, block: Block) -> Array:
    pending = source.fetch(block)
    assert pending is not None
    assert pending.nbytes == math.prod(block.shape) * source.dtype.itemsize
    return pending.load(Buffer()).values.copy("K")


def everything(source: Source) -> Array:
    shape = tuple(n for n in source.shape if n is not None)
    assert len(shape) == len(source.shape)
    return box(source, Block((0,) * len(shape), shape))


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where TMPDIR leads."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return directory


class Watched(Source):
    """A source that notes what is asked of it, and holds it to its order."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.asked: list[Block] = []
        self.closed = 0
        for name in ("name", "shape", "dtype", "stored", "order", "sequential", "nbytes", "labels", "notes", "has_ids"):
            setattr(self, name, getattr(source, name))

    def fetch(self, block: Block) -> Pending | None:
        self.asked.append(block)
        return self.source.fetch(block)

    def close(self) -> None:
        self.closed += 1
        self.source.close()


DTYPES = ["?", "i1", "<u2", ">i4", "<i8", ">u8", "<f2", ">f4", "<f8"]


class TestNpy:
    @pytest.mark.parametrize("dtype", [*DTYPES, *(["<f16"] if np.dtype("g").itemsize == 16 else [])])
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_the_same_array(self, dtype: str, order: Any) -> None:
        values = (np.random.default_rng(5).standard_normal((7, 11, 13)) * 9).astype(np.int8).astype(dtype).copy(order)
        advanced: list[int] = []
        with piped(saved(values)) as stream:
            source = NpySource(stream, "<stdin>")
            with contextlib.closing(copied(source, 4 * 500, advanced.append)) as copy:
                assert (copy.name, copy.shape, copy.stored) == ("<stdin>", values.shape, str(values.dtype))
                assert (copy.dtype, copy.order) == (source.dtype, order)
                assert (copy.sequential, copy.has_ids, copy.labels, copy.notes) == (False, False, None, ())
                assert (copy.rows, copy.nbytes) == (7, values.size * source.dtype.itemsize)
                got = everything(copy)
                late, early = box(copy, Block((3, 2, 5), (7, 11, 6))), box(copy, Block((0, 0, 0), (1, 11, 2)))
        assert len(advanced) > 1
        assert sum(advanced) == values.size * source.dtype.itemsize
        assert got.dtype == source.dtype
        np.testing.assert_array_equal(got, values)
        np.testing.assert_array_equal(late, values[3:7, 2:11, 5:6])
        np.testing.assert_array_equal(early, values[:1, :, :2])

    @settings(suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.lists(st.integers(0, 9), max_size=4).map(tuple),
        st.sampled_from(["C", "F"]),
        st.integers(1, 3000),
        st.integers(1, 300),
    )
    def test_any_shape_and_memory(self, shape: tuple[int, ...], order: Any, memory: int, pieces: int) -> None:
        values = np.arange(math.prod(shape), dtype=">i4").reshape(shape).copy(order)
        with piped(saved(values), pieces) as stream:
            source = Watched(NpySource(stream, "<stdin>"))
            with contextlib.closing(copied(source, memory)) as copy:
                np.testing.assert_array_equal(everything(copy), values)
        assert all(math.prod(block.shape) * 4 <= max(4, memory) for block in source.asked)
        places = np.arange(values.size).reshape(shape, order=order)  # of each value in the file
        read = [places[tuple(map(slice, block.start, block.stop))].ravel(order) for block in source.asked]
        assert np.concatenate([[], *read]).tolist() == list(range(values.size))

    def test_any_byte_of_a_truth_value(self) -> None:
        content = saved(np.array([0, 1, 2, 255], "u1")).replace(b"|u1", b"|b1")
        with piped(content) as stream, contextlib.closing(copied(NpySource(stream, "<stdin>"), MIB)) as copy:
            assert everything(copy).view("u1").tolist() == [0, 1, 1, 1]

    def test_what_needs_no_copy(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.zeros(3))
        with contextlib.closing(open_source(str(tmp_path / "a.npy"))) as source:
            assert copied(source, MIB) is source


class TestCsv:
    @pytest.mark.parametrize("rows", [1, 2, 47, 5000])
    @pytest.mark.parametrize("packed", [False, True])
    def test_the_same_table(self, tmp_path: Path, rows: int, packed: bool) -> None:
        values = np.random.default_rng(rows).standard_normal((rows, 20))
        text = io.BytesIO()
        np.savetxt(text, values, delimiter=",", fmt="%.17g", header=",".join("abcdefghijklmnopqrst"), comments="")
        path = tmp_path / "a.csv"
        path.write_bytes(gzip.compress(text.getvalue()) if packed else text.getvalue())
        advanced: list[int] = []
        source = open_source(str(path))
        with contextlib.closing(copied(source, 1 << 16, advanced.append)) as copy:
            assert (copy.name, copy.shape, copy.stored, copy.order) == (str(path), (rows, 20), "float64", "C")
            assert (copy.dtype, copy.nbytes, copy.rows) == (np.dtype("f8"), values.nbytes, rows)
            assert copy.labels == tuple("abcdefghijklmnopqrst")
            assert copy.sequential is False
            got, part = everything(copy), box(copy, Block((rows // 2, 3), (rows, 17)))
        np.testing.assert_array_equal(got, values)
        np.testing.assert_array_equal(part, values[rows // 2 :, 3:17])
        assert sum(advanced) == path.stat().st_size
        assert (len(advanced) > 1) == (rows == 5000)

    def test_a_pipe_with_names_of_rows_and_notes(self) -> None:
        text = "".join(f"row{k},{k / 4},{k / 2}\n" for k in range(3000))
        with piped(f"id,0,1\n{text}".encode()) as stream:
            source = open_source(f"/dev/fd/{os.dup(stream.fileno())}", Reading(id_column="id"))
            source.notes = ("mark my words",)
            assert source.has_ids
            with contextlib.closing(copied(source, MIB)) as copy:
                assert (copy.has_ids, copy.labels, copy.notes) == (True, ("0", "1"), ("mark my words",))
                np.testing.assert_array_equal(everything(copy)[:, 1], np.arange(3000) / 2)
                for start, stop in ((0, 3000), (1023, 1025), (2999, 3000)):
                    pending = copy.fetch(Block((start, 0), (stop, 2)))
                    assert pending is not None
                    assert pending.load(Buffer()).ids == [f"row{k}" for k in range(start, stop)]

    def test_names_of_rows_that_are_longer_than_a_block(self, tmp_path: Path) -> None:
        values = np.arange(60.0).reshape(6, 10)
        table = pa.table({"name": [f"r{k}" for k in range(6)], **dict(zip("abcdefghij", values.T, strict=True))})
        pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
        source = open_source(str(tmp_path / "t.parquet"), Reading(id_column="name"))
        with contextlib.closing(copied(source, 4 * 8 * 4)) as copy:
            np.testing.assert_array_equal(everything(copy), values)
            pending = copy.fetch(Block((0, 3), (6, 5)))
            assert pending is not None
            assert pending.load(Buffer()).ids == [f"r{k}" for k in range(6)]

    def test_missing_cells(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("1,\n,inf\n")
        with contextlib.closing(copied(open_source(str(tmp_path / "a.csv")), MIB)) as copy:
            np.testing.assert_array_equal(everything(copy), [[1, np.nan], [np.nan, np.inf]])


class TestTheFile:
    @pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no list of open files")
    def test_it_lies_in_tmpdir_without_a_name(self, temporary: Path) -> None:
        def open_files() -> list[str]:
            files = Path("/proc/self/fd").iterdir()
            return [os.readlink(file) for file in files if os.path.lexists(file)]

        seen: list[list[Path]] = []
        with piped(saved(np.arange(3000.0))) as stream:
            copy = copied(NpySource(stream, "<stdin>"), 4000, lambda nbytes: seen.append(list(temporary.iterdir())))
            assert [name for name in open_files() if name.startswith(str(temporary))]
            everything(copy)
            seen.append(list(temporary.iterdir()))
            copy.close()
        assert not [name for name in open_files() if name.startswith(str(temporary))]
        assert len(seen) > 3
        assert not any(seen)

    def test_closing_closes_both(self) -> None:
        with piped(saved(np.arange(3.0))) as stream:
            source = Watched(NpySource(stream, "<stdin>"))
            copy = copied(source, MIB)
            assert source.closed == 0
            copy.close()
            assert source.closed == 1
            assert stream.closed
            copy.close()
            with pytest.raises((ValueError, OSError)):
                everything(copy)

    def test_a_pipe_that_ends_early(self, temporary: Path) -> None:
        with piped(saved(np.arange(3000.0))[:-8]) as stream:
            source = Watched(NpySource(stream, "<stdin>"))
            with pytest.raises(InputError, match=r"<stdin>: ended before all of shape \(3000,\) of float64") as caught:
                copied(source, 4000)
            assert not isinstance(caught.value, OutputError)
            assert source.closed == 0  # still the caller's
        assert list(temporary.iterdir()) == []

    def test_a_cell_that_is_no_number(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("1,2\n3,x\n")
        with (
            contextlib.closing(open_source(str(tmp_path / "a.csv"))) as source,
            pytest.raises(InputError, match="line 2, column 2"),
        ):
            copied(source, MIB)

    def test_an_interrupt(self, temporary: Path) -> None:
        def interrupt(nbytes: int) -> None:
            raise KeyboardInterrupt

        with piped(saved(np.arange(3000.0))) as stream, pytest.raises(KeyboardInterrupt):
            copied(NpySource(stream, "<stdin>"), 4000, interrupt)
        assert list(temporary.iterdir()) == []

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
    @pytest.mark.parametrize("size", [3, 300_000])
    def test_no_room(self, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
        """Little data is refused only when it is flushed."""
        made: list[Any] = []

        def full(*_: object, **__: object) -> Any:
            made.append(open("/dev/full", "r+b"))  # noqa: SIM115 - what is under test closes it
            return made[0]

        monkeypatch.setattr(tempfile, "TemporaryFile", full)
        monkeypatch.setattr(tempfile, "tempdir", "/some/where")
        with piped(saved(np.zeros(size))) as stream, pytest.raises(OutputError) as caught:
            copied(NpySource(stream, "<stdin>"), MIB)
        assert caught.value.what == (
            f"<stdin>: cannot be copied to a temporary file in /some/where: {os.strerror(errno.ENOSPC)}"
        )
        assert "TMPDIR" in caught.value.remedy
        assert made[0].closed
