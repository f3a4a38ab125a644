"""Nameless files: space that may be mapped, texts that come back, refusals that are told."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softargmax_cli.errors import OutputError
from softargmax_cli.files.tempcopy import Names
from softargmax_cli.files.writers.atomic import PIECE, scratch, temporary_file

NBYTES = 3 * PIECE + 17


def test_every_byte_has_its_place() -> None:
    with scratch(NBYTES) as file:
        status = os.fstat(file.fileno())
        assert status.st_size == NBYTES
        assert getattr(status, "st_blocks", NBYTES) * 512 >= NBYTES
        mapped = np.memmap(file, "u1", "r+", shape=(NBYTES,))  # type: ignore[call-overload]
    assert not mapped.any()
    mapped[:] = 7
    assert int(mapped.sum()) == 7 * NBYTES


def test_no_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(OutputError, match="No such file or directory") as caught, scratch(NBYTES):
        pass
    assert caught.value.what == f"temporary file: {os.strerror(errno.ENOENT)}"
    assert caught.value.remedy == "free some space, or set TMPDIR to a directory with more room"


@settings(max_examples=20)
@given(st.lists(st.lists(st.text(), max_size=7), max_size=5), st.data())
def test_names_come_back(parts: list[list[str]], data: st.DataObject) -> None:
    every = [name for part in parts for name in part]
    some = data.draw(st.slices(len(every)))
    with temporary_file() as file:
        names = Names(file)
        for part in parts:
            names.add(part)
        assert names.count == len(every)
        assert names.read(range(len(every))[some]) == every[some]
