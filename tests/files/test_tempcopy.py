"""Copies of what can be read once: the same array, in a file that has no name and that memory does not hold."""

from __future__ import annotations

import math
import os
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from files import TABLES, Array, csv, npy, piped, written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from softargmax_cli.errors import InputError
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.registry import open_source
from softargmax_cli.files.source import Source
from softargmax_cli.files.tempcopy import Names, copied
from softargmax_cli.files.writers.atomic import TemporaryFile
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer

MIB = 1 << 20


def box(source: Source, block: Block) -> Array:
    pending = source.fetch(block)
    assert pending is not None
    assert pending.nbytes == math.prod(block.shape) * source.dtype.itemsize
    return pending.load(Buffer()).values.copy("K")


def everything(source: Source) -> Array:
    shape = tuple(n or 0 for n in source.shape)
    return box(source, Block((0,) * len(shape), shape))


def ids(source: Source, start: int, stop: int) -> Any:
    pending = source.fetch(Block((start, 0), (stop, source.shape[1] or 0)))
    assert pending is not None
    return pending.load(Buffer()).ids


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where TMPDIR leads."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return directory


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.integers(0, 9), max_size=4).map(tuple),
    st.sampled_from(["C", "F"]),
    st.sampled_from(["?", ">i4", "<f2", "f8"]),
    st.integers(1, 3000),
)
def test_any_array_in_any_memory(shape: tuple[int, ...], order: Any, dtype: str, memory: int) -> None:
    values = np.arange(math.prod(shape)).reshape(shape).astype(dtype).copy(order)
    advanced: list[int] = []
    with piped(npy(values), 300) as path:
        source = open_source(path)
        with closing(copied(source, memory, advanced.append)) as copy:
            assert (copy.shape, copy.dtype, copy.order, copy.sequential) == (shape, source.dtype, source.order, False)
            np.testing.assert_array_equal(everything(copy), values)
    assert sum(advanced) == values.nbytes
    assert max(advanced, default=0) <= max(8, memory)


@pytest.mark.parametrize("form", ["csv", "csv.gz"])
def test_tables(form: str, tmp_path: Path) -> None:
    for rows in (1, 1000):
        values = np.random.default_rng(rows).standard_normal((rows, 5))
        path, advanced = written(tmp_path, TABLES[form](values)), list[int]()
        with closing(copied(open_source(path), 1 << 16, advanced.append)) as copy:
            assert (copy.shape, copy.nbytes, copy.rows) == ((rows, 5), values.nbytes, rows)
            np.testing.assert_array_equal(box(copy, Block((rows // 2, 3), (rows, 5))), values[rows // 2 :, 3:])
        assert sum(advanced) == os.path.getsize(path)


def test_names_of_rows_and_notes(tmp_path: Path) -> None:
    text = "".join(f"row{k},{k / 4},{k / 2}\n" for k in range(3000))
    with piped(f"id,0,1\n{text}".encode()) as path:
        source = open_source(path, Reading(id_column="id"))
        source.notes = ("mark my words",)
        with closing(copied(source, MIB)) as copy:
            assert (copy.has_ids, copy.labels, copy.notes) == (True, ("0", "1"), ("mark my words",))
            for start, stop in ((0, 3000), (1023, 1025), (2999, 3000)):
                assert ids(copy, start, stop) == [f"row{k}" for k in range(start, stop)]
    # Rows that are longer than a block come in several.
    columns = dict(zip("abcdefghij", np.arange(60.0).reshape(6, 10).T, strict=True))
    pyarrow.parquet.write_table(pa.table({"name": [f"r{k}" for k in range(6)], **columns}), tmp_path / "t.parquet")
    with closing(copied(open_source(str(tmp_path / "t.parquet"), Reading(id_column="name")), 4 * 8 * 4)) as copy:
        np.testing.assert_array_equal(everything(copy), np.arange(60).reshape(6, 10))
        assert ids(copy, 0, 6) == [f"r{k}" for k in range(6)]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no list of open files")
def test_it_lies_in_tmpdir_without_a_name(temporary: Path) -> None:
    def open_files() -> list[str]:
        links = [os.readlink(file) for file in Path("/proc/self/fd").iterdir() if os.path.lexists(file)]
        return [link for link in links if link.startswith(str(temporary))]

    seen: list[list[Path]] = []
    with piped(npy(np.arange(3000.0))) as path:
        source = open_source(path)
        copy = copied(source, 4000, lambda nbytes: seen.append(list(temporary.iterdir())))
        assert open_files()
        assert not any(seen)
        assert not source.closed
        copy.close()
        assert (source.closed, open_files()) == (True, [])
        with pytest.raises(InputError, match="closed"):
            everything(copy)


def test_what_fails_leaves_nothing(temporary: Path, tmp_path: Path) -> None:
    def interrupt(nbytes: int) -> None:
        raise KeyboardInterrupt

    with piped(npy(np.arange(3000.0))[:-8]) as path:
        source = open_source(path)
        with pytest.raises(InputError, match=r"ended before all of shape \(3000,\) of float64"):
            copied(source, 4000)
        assert not source.closed  # still the caller's
    with piped(npy(np.arange(3000.0))) as path, pytest.raises(KeyboardInterrupt):
        copied(open_source(path), 4000, interrupt)
    with (
        closing(open_source(written(tmp_path, csv(np.eye(2)) + b"3,x\n"))) as table,
        pytest.raises(InputError, match="line 3, column 2"),
    ):
        copied(table, MIB)
    assert list(temporary.iterdir()) == []


@settings(max_examples=20)
@given(st.lists(st.lists(st.text(), max_size=7), max_size=5), st.data())
def test_names_come_back(parts: list[list[str]], data: st.DataObject) -> None:
    every = [name for part in parts for name in part]
    some = data.draw(st.slices(len(every)))
    with TemporaryFile() as file:
        names = Names(file)
        for part in parts:
            names.add(part)
        assert names.count == len(every)
        assert names.read(range(len(every))[some]) == every[some]
