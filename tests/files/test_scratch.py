"""Space that is mapped: set aside beforehand, so that a full disk is an error and not the end of the process."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from softargmax_cli.errors import OutputError
from softargmax_cli.files.writers import spool
from softargmax_cli.files.writers.spool import scratch

NBYTES = 3 * spool._PIECE + 17


def refuse(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "posix_fallocate", refused, raising=False)


@pytest.mark.parametrize("way", ["the system's", "none", "not on this disk"])
def test_every_byte_has_its_place(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "none":
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    elif way == "not on this disk":
        refuse(errno.EOPNOTSUPP, monkeypatch)
    with scratch(NBYTES) as file:
        status = os.fstat(file.fileno())
        assert status.st_size == NBYTES
        assert getattr(status, "st_blocks", NBYTES) * 512 >= NBYTES
        mapped = np.memmap(file, "u1", "r+", shape=(NBYTES,))
    assert not mapped.any()
    mapped[:] = 7
    assert int(mapped.sum()) == 7 * NBYTES


def test_no_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    refuse(errno.ENOSPC, monkeypatch)
    with pytest.raises(OutputError) as caught:
        scratch(NBYTES)
    assert caught.value.what == f"temporary file in {tmp_path}: {os.strerror(errno.ENOSPC)}"
    assert caught.value.remedy == "free some space, or set TMPDIR to a directory with more room"


def test_no_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(OutputError, match="temporary file: No such file or directory") as caught:
        scratch(NBYTES)
    assert "TMPDIR" in caught.value.remedy
