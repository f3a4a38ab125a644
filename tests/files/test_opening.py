"""Inputs from their opening to their end: standard input, pipes, files that change, and what is closed."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from files import ANY_SHAPE, TABLES, Hesitant, csv, everything, npy, npz, piped, written

from softargmax_cli.errors import InputError
from softargmax_cli.files.formats.npy import ArraySource
from softargmax_cli.files.reading import Reading, selection_of
from softargmax_cli.files.registry import Replay, open_source
from softargmax_cli.files.source import Source
from softargmax_cli.files.streams import looked_at, opened
from softargmax_cli.files.tempcopy import copied
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer

# Standard input, names, pipes that hesitate


VALUES = np.arange(12.0).reshape(3, 4)


def test_standard_input_that_was_read_already(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BufferedReader(Hesitant(npy(VALUES), 1000)))
    monkeypatch.setattr(sys, "stdin", stdin)
    source = open_source("-")
    np.testing.assert_array_equal(everything(source), VALUES)
    source.close()
    with pytest.raises(InputError, match="<stdin>: read already") as caught:
        open_source("-")
    assert caught.value.remedy == "name - once"


@pytest.mark.skipif(os.name != "posix", reason="there are no terminals to open")
def test_standard_input_that_is_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = os.openpty()
    try:
        with open(ends[1], closefd=False) as terminal:
            monkeypatch.setattr(sys, "stdin", terminal)
            with pytest.raises(InputError, match="<stdin>: a terminal, not data"):
                opened("-")
    finally:
        for end in ends:
            os.close(end)


@pytest.mark.parametrize("content", [npy(VALUES), b"0,1,2,3\n4,5,6,7\n8,9,10,11\n"])
def test_a_pipe_that_sends_few_bytes_at_a_time(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    for most in (1, 8, 9, 1000):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Hesitant(content, most))))
        source = open_source("-")
        np.testing.assert_array_equal(everything(source), VALUES)
        source.close()
        assert sys.stdin.buffer.closed
        stream, first = looked_at(io.BufferedReader(Hesitant(content, most)), "x")
        assert content.startswith(first)
        assert stream.read() == content


@pytest.mark.skipif(os.name != "posix", reason="there are other rules for names")
def test_names_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "data.npy").write_bytes(npy(VALUES))
    for name, what in {
        "loop": "cannot be read: Too many levels of symbolic links",
        "data\0.npy": "cannot be read: embedded null byte",
        "data.npy/x": "cannot be read: Not a directory",
        "": "a directory",
    }.items():
        path = str(tmp_path / name)
        with pytest.raises(InputError) as caught:
            opened(path)
        assert caught.value.what == f"{path}: {what}"


# After `close` every read is an error: the descriptor may be another file's by then


TABLE = np.arange(60, dtype="f4").reshape(12, 5)
BLOCK = Block((0, 0), (12, 5))


def assert_closed(source: Source, block: Block = BLOCK) -> None:
    """Neither a new block nor one that was fetched before can be read; a block in memory may be decoded."""
    fetched: Any = source.fetch(block)
    source.close()
    others = [os.open(__file__, os.O_RDONLY) for _ in range(8)]  # which take the descriptor that is free
    try:
        with pytest.raises(InputError, match="closed"):
            source.fetch(block)
        if not source.sequential:
            with pytest.raises(InputError, match="closed"):
                fetched.load(Buffer())
    finally:
        for other in others:
            os.close(other)


@pytest.mark.parametrize("format", [*ANY_SHAPE, *TABLES])
def test_a_closed_file_gives_no_other_file_s_numbers(format: str, tmp_path: Path) -> None:
    path = written(tmp_path, {**ANY_SHAPE, **TABLES}[format](TABLE))
    assert_closed(open_source(path))
    assert_closed(open_source(path, Reading(select=selection_of("2:,:4"))), Block((0, 0), (10, 4)))


def test_stores_and_arrays(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr", "3")
    zarr.create_array(str(tmp_path / "x.zarr"), data=TABLE)
    assert_closed(open_source(str(tmp_path / "x.zarr")))
    assert_closed(ArraySource(TABLE))


# Opened again and again: a file as it is, a pipe from a copy


ROWS = np.random.default_rng(3).standard_normal((40, 7))
PIPED = {"npy": npy(ROWS), "npz": npz(ROWS), "csv": csv(ROWS), "csv.gz": TABLES["csv.gz"](ROWS)}


@pytest.mark.skipif(sys.platform == "win32", reason="pipes by name")
@pytest.mark.parametrize("form", PIPED)
def test_a_pipe(form: str) -> None:
    """Which is read to its end the first time, and not again."""
    before = len(os.listdir("/dev/fd"))
    with piped(PIPED[form]) as path:
        with Replay(path, Reading()) as replay:
            for _ in range(3):
                with closing(replay.open()) as source:
                    assert source.name.startswith(path)
                    assert source.facts.format == form
                    np.testing.assert_array_equal(everything(source), ROWS)
                    source.watch.check()
        assert len(os.listdir("/dev/fd")) == before + 1, "the copy stays open"


def test_a_file_that_is_written_between_two_times(tmp_path: Path) -> None:
    """A result that is made of both openings must be of one state."""
    path = written(tmp_path, npy(ROWS))
    with Replay(path, Reading()) as replay:
        replay.open().close()
        written(tmp_path, npy(ROWS[:-1]))
        with closing(replay.open()) as source, pytest.raises(InputError, match="changed while it was read"):
            source.watch.check()


# Files that cannot be read, or are written while they are


def _written(path: Path) -> None:
    status = path.stat()
    with path.open("r+b") as file:
        file.write(b"9")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def _longer(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"5,6\n")


@pytest.mark.parametrize("change", [_written, _longer, lambda path: os.truncate(path, 3)])
def test_a_change_is_an_error(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"1,2\n3,4\n")
    with closing(open_source(str(path))) as source:
        source.watch.check()
        change(path)
        with pytest.raises(InputError, match=r"x\.csv: changed while it was read\nrun again when"):
            source.watch.check()


@pytest.mark.skipif(sys.platform == "win32", reason="an open file stays where it is there")
def test_a_file_that_is_replaced_or_removed_is_read_as_it_was(tmp_path: Path) -> None:
    path, other = tmp_path / "x.npy", tmp_path / "other"
    np.save(path, np.eye(2))
    with closing(open_source(str(path))) as source:
        other.write_bytes(b"other")
        other.replace(path)
        source.watch.check()
        path.unlink()
        source.watch.check()


def test_a_file_that_changes_while_it_is_copied(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"1,2\n3,4\n")
    with closing(open_source(str(path))) as source, pytest.raises(InputError, match="changed while it was read"):
        copied(source, 1 << 24, lambda nbytes: _longer(path))


def test_bytes_behind_an_array_are_looked_for_when_all_of_it_is_read() -> None:
    """Only its end tells what a pipe holds."""
    values = np.arange(600_000.0).reshape(3, -1)
    content = npy(values)
    for select, more, noted in ((None, b"", False), (None, b"x", True), ("0", b"x", True)):
        part = None if select is None else selection_of(select)
        with piped(content + more, 1 << 16) as path, closing(open_source(path, Reading(select=part))) as source:
            want = values if select is None else values[int(select)]
            np.testing.assert_array_equal(everything(source, elements=100_000), want)
            assert source.notes == ("bytes after the array are ignored",) * noted
