"""Nameless files: space that may be mapped, texts that come back, refusals that are told."""

from __future__ import annotations

import errno
import os
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softargmax_cli.errors import OutputError
from softargmax_cli.files import temporary
from softargmax_cli.files.temporary import Names, Scratch, scratch

NBYTES = 3 * temporary.PIECE + 17


def test_every_byte_has_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        with scratch(NBYTES) as file:
            status = os.fstat(file.fileno())
            assert status.st_size == NBYTES
            assert getattr(status, "st_blocks", NBYTES) * 512 >= NBYTES
            mapped = np.memmap(file, "u1", "r+", shape=(NBYTES,))
        assert not mapped.any()
        mapped[:] = 7
        assert int(mapped.sum()) == 7 * NBYTES
        monkeypatch.delattr(os, "posix_fallocate", raising=False)  # some systems have none


def test_no_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(os, "posix_fallocate", refused, raising=False)
    with pytest.raises(OutputError) as caught:
        scratch(NBYTES)
    assert caught.value.what == f"temporary file in {tmp_path}: {os.strerror(errno.ENOSPC)}"
    assert caught.value.remedy == "free some space, or set TMPDIR to a directory with more room"


def test_no_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(OutputError, match="No such file or directory") as caught:
        Scratch()
    assert "TMPDIR" in caught.value.remedy
    with pytest.raises(OutputError, match="as with -o FILE"):
        Scratch(str(tmp_path / "neither"))


def test_nothing_has_a_name(tmp_path: Path) -> None:
    space = Scratch(str(tmp_path))
    space.write(b"abc")
    space.write(b"def")
    assert list(tmp_path.iterdir()) == []
    with (tmp_path / "copy").open("wb") as file:
        space.copy_to(file)
    assert (tmp_path / "copy").read_bytes() == b"abcdef"
    space.close()


@settings(max_examples=20)
@given(st.lists(st.lists(st.text(), max_size=7), max_size=5), st.data(), st.integers(1, 4))
def test_names_come_back(parts: list[list[str]], data: st.DataObject, at_once: int) -> None:
    every = [name for part in parts for name in part]
    some = data.draw(st.slices(len(every)))
    with closing(Names()) as names, pytest.MonkeyPatch.context() as patch:
        patch.setattr(temporary, "NAMES_AT_ONCE", at_once)
        for part in parts:
            names.add(part)
        assert names.count == len(every)
        assert names.read(range(len(every))[some]) == every[some]
