"""An input that is opened again and again: a file as it is, a pipe from a copy."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from files import TABLES, csv, everything, npy, npz, piped, written

from softargmax_cli.errors import InputError, InputMissingError
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.registry import Replay

VALUES = np.random.default_rng(3).standard_normal((40, 7))
CONTENTS = {"npy": npy(VALUES), "npz": npz(VALUES), "csv": csv(VALUES), "csv.gz": TABLES["csv.gz"](VALUES)}


def test_a_file(tmp_path: Path) -> None:
    with Replay(written(tmp_path, CONTENTS["csv"]), Reading()) as replay:
        for _ in range(3):
            with closing(replay.open()) as source:
                np.testing.assert_array_equal(everything(source), VALUES)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes by name")
@pytest.mark.parametrize("form", CONTENTS)
def test_a_pipe(form: str) -> None:
    """Which is read to its end the first time, and not again."""
    before = len(os.listdir("/dev/fd"))
    with piped(CONTENTS[form]) as path:
        with Replay(path, Reading()) as replay:
            for _ in range(3):
                with closing(replay.open()) as source:
                    assert source.name.startswith(path)
                    assert source.facts.format == form
                    np.testing.assert_array_equal(everything(source), VALUES)
                    source.watch.check()
        assert len(os.listdir("/dev/fd")) == before + 1, "the copy stays open"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes by name")
def test_a_pipe_that_holds_nothing_sound() -> None:
    with piped(npy(VALUES)[:-1]) as path, Replay(path, Reading()) as replay:
        for _ in range(2):
            with pytest.raises(InputError, match="truncated"):
                replay.open()


def test_a_file_that_is_written_between_two_times(tmp_path: Path) -> None:
    """What is made of both must be of one state."""
    path = written(tmp_path, npy(VALUES))
    with Replay(path, Reading()) as replay:
        replay.open().close()
        written(tmp_path, npy(VALUES[:-1]))
        with closing(replay.open()) as source, pytest.raises(InputError, match="changed while it was read"):
            source.watch.check()


def test_what_is_not_there(tmp_path: Path) -> None:
    for path in (str(tmp_path / "a.npy"), "a\0.npy"):
        with Replay(path, Reading()) as replay, pytest.raises(InputError) as caught:
            replay.open()
        assert isinstance(caught.value, InputMissingError) == ("\0" not in path)
