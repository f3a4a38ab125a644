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

from softargmax_cli.errors import InputError, InputMissingError, OutputError
from softargmax_cli.files.reading import Reading, selection_of
from softargmax_cli.files.registry import open_source
from softargmax_cli.files.streams import Watch, refusals
from softargmax_cli.files.tempcopy import copied


def test_refusals_of_the_system_name_the_input() -> None:
    with pytest.raises(InputError, match=r"^x\.npy: cannot be read: No such device\n") as caught, refusals("x.npy"):
        raise OSError(19, "No such device")
    assert isinstance(caught.value.__cause__, OSError)
    for error in (OutputError("y: full"), InputMissingError("x: gone")):
        with pytest.raises(type(error)) as other, refusals("x.npy"):
            raise error
        assert other.value is error


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


def test_what_cannot_be_watched() -> None:
    for path in (os.devnull, "-", "none"):
        Watch(path).check()


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
