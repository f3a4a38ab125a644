"""What is opened before anything is parsed: standard input in all its states, names, and pipes that hesitate."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from files import everything, npy

from softargmax_cli.errors import InputError, InputMissingError
from softargmax_cli.files.registry import open_source
from softargmax_cli.files.streams import looked_at, opened

VALUES = np.arange(12.0).reshape(3, 4)


class Hesitant(io.RawIOBase):
    """A pipe whose writer sends a few bytes at a time."""

    def __init__(self, content: bytes, most: int) -> None:
        self._content, self._most = content, most

    def readable(self) -> bool:
        return True

    def readinto(self, target: bytearray) -> int:  # type: ignore[override]
        piece = self._content[: min(len(target), self._most)]
        target[: len(piece)] = piece
        self._content = self._content[len(piece) :]
        return len(piece)


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


def test_names_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "scores.npy").write_bytes(npy(VALUES))
    for name, remedy in {
        "scroes.npy": f"did you mean {tmp_path / 'scores.npy'}?",
        "zzz": "check the name, and where it is looked for",
        os.path.join("no", "scores.npy"): "check the name, and where it is looked for",
    }.items():
        with pytest.raises(InputMissingError, match="no such file") as caught:
            opened(str(tmp_path / name))
        assert caught.value.remedy == remedy
