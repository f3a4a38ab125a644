"""What is said of files that cannot be read, or are written while they are."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from files import everything, npy, piped

from softargmax_cli.errors import InputError, InputMissingError, OutputError, UndefinedError
from softargmax_cli.files.reading import Reading, selection_of
from softargmax_cli.files.registry import open_source
from softargmax_cli.files.streams import Watch, refusals, watching
from softargmax_cli.files.tempcopy import copied


def test_refusals_of_the_system_name_the_input() -> None:
    with pytest.raises(InputError, match=r"^x\.npy: cannot be read: No such device\n") as caught, refusals("x.npy"):
        raise OSError(19, "No such device")
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(InputError, match=r"^x\.npy: cannot be read: odd"), refusals("x.npy"):
        raise OSError("odd")
    for error in (OutputError("y: full"), InputMissingError("x: gone")):
        with pytest.raises(type(error)) as other, refusals("x.npy"):
            raise error
        assert other.value is error
    with pytest.raises(ZeroDivisionError), refusals("x.npy"):
        raise ZeroDivisionError


def _written(path: Path) -> None:
    status = path.stat()
    with path.open("r+b") as file:
        file.write(b"9")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def _longer(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"5,6\n")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_written, "it was written to"),
        (_longer, "it had 8 bytes and has 12 now"),
        (lambda path: os.truncate(path, 3), "it had 8 bytes and has 3 now"),
    ],
)
def test_a_change_is_an_error(tmp_path: Path, change: Callable[[Path], None], words: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"1,2\n3,4\n")
    with closing(open_source(str(path))) as source:
        notes: list[str] = []
        with watching(source.watch, notes):
            pass
        assert notes == []
        change(path)
        with pytest.raises(InputError, match=f"changed while it was read: {words}"), watching(source.watch, notes):
            pass
        for error in (InputError("line 2 is odd"), UndefinedError("NaN")):
            with pytest.raises(InputError, match="changed while"), watching(source.watch, notes):
                raise error
        with pytest.raises(KeyError), watching(source.watch, notes):
            raise KeyError
        assert notes == []


@pytest.mark.skipif(sys.platform == "win32", reason="an open file stays where it is there")
def test_a_file_that_is_replaced_or_removed(tmp_path: Path) -> None:
    path, other = tmp_path / "x.npy", tmp_path / "other"
    np.save(path, np.eye(2))
    with closing(open_source(str(path))) as source:
        other.write_bytes(b"other")
        other.replace(path)
        notes: list[str] = []
        with watching(source.watch, notes):
            pass
        assert notes == ["replaced while it was read; this is the result for the file before"]
        path.unlink()
        with watching(source.watch, notes):
            pass
        assert len(notes) == 1


def test_what_cannot_be_watched() -> None:
    with open(os.devnull, "rb") as stream:
        assert Watch(stream, os.devnull, os.devnull).end() == ()
    assert Watch(stream, os.devnull, os.devnull).end() == ()  # closed


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
        notes: list[str] = []
        with piped(content + more, 1 << 16) as path, closing(open_source(path, Reading(select=part))) as source:
            notes += source.notes  # a part is of a copy, which is read to its end
            with watching(source.watch, notes):
                want = values if select is None else values[int(select)]
                np.testing.assert_array_equal(everything(source, elements=100_000), want)
        assert notes == ["bytes after the array are ignored"] * noted
