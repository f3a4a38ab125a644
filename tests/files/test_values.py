"""Files of coordinates: one row or one column of finite numbers, and in words what is wrong with any other."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from files import npy, piped

from softargmax_cli.errors import InputError, InputMissingError, OptionError, as_typed
from softargmax_cli.files.values import read_values

Write = Callable[[Any], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write text, bytes or an array to a file in the current directory; its name."""
    monkeypatch.chdir(tmp_path)

    def to_file(content: Any) -> str:
        name = "v.npy" if isinstance(content, np.ndarray) else "v.csv"
        content = npy(content) if isinstance(content, np.ndarray) else content
        Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
        return name

    return to_file


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("1\n2.5\n-3e2", [1, 2.5, -300]),
        ("depth\n1\n2.5\n\n\n", [1, 2.5]),
        ("0\n1\n2\n", [0, 1, 2]),
        ("0,1,2,3\r\n", [0, 1, 2, 3]),
        ("near,far\n0.5,80\n", [0.5, 80]),
        ("1;2;3", [1, 2, 3]),
        ("1 2 3", [1, 2, 3]),
        ("1\t2\t3", [1, 2, 3]),
        ("7", [7]),
        ("3\n3\n1", [3, 3, 1]),
        ("# metres\n1\n2", [1, 2]),
        (gzip.compress(b"1\n2\n", mtime=0), [1, 2]),
        (np.array([[0, 1, 1]], ">i8"), [0, 1, 1]),
        (np.array([[0], [1.5]], "f2"), [0, 1.5]),
        (np.array([True, False]), [1, 0]),
        (np.array([[7.5]]), [7.5]),
    ],
)
def test_one_row_or_one_column(write: Write, text: Any, want: list[float]) -> None:
    values = read_values(write(text))
    assert values.tolist() == want
    assert (values.dtype, values.ndim) == (np.dtype("f8"), 1)
    assert values.flags.c_contiguous
    assert values.flags.writeable


def test_many_numbers_round_trip(write: Write) -> None:
    numbers = np.random.default_rng(4).standard_normal(4000)
    for between in (",", "\n"):
        text = between.join(map(repr, numbers.tolist())).encode()
        np.testing.assert_array_equal(read_values(write(text)), numbers)
        with piped(text, 999) as path:
            np.testing.assert_array_equal(read_values(path), numbers)
    with piped(npy(numbers), 999) as path:
        np.testing.assert_array_equal(read_values(path), numbers)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "empty"),
        ("depth\n", "line 1 is a header, and no rows follow it"),
        ("1,2\n3,4\n", "shape (2, 2): coordinates are one row or one column"),
        ("1\n\n2\n", "line 2 is blank"),
        ("1\n2\nx\n", "line 3, column 1: 'x' is not a number"),
        ("1,2\n3\n", "line 2 has 1 cell, expected 2 as in line 1"),
        ("d\n1\nnan\nnan\n", "the coordinate of index 1 is nan"),
        ("-inf,1", "the coordinate of index 0 is -inf"),
        (b"PK\x03\x04....", "damaged, or no .npz file: File is not a zip file"),
        (np.zeros((1, 1, 3)), "shape (1, 1, 3): coordinates are one row or one column"),
        (np.array(5.0), "shape (): coordinates are one row or one column"),
        (np.zeros((0, 3)), "no numbers in it"),
        (np.array([[1], [-np.inf]], ">f4"), "the coordinate of index 1 is -inf"),
        (np.zeros(3, "c8"), "dtype complex64 holds no real numbers"),
    ],
)
def test_what_is_refused(write: Write, content: Any, words: str) -> None:
    name = write(content)
    with pytest.raises(InputError) as caught:
        read_values(name)
    assert as_typed(caught.value.message) == f"--values {name}: {words}"
    # --header and the like are about another file, and NaN is no coordinate.
    assert "--" not in as_typed(caught.value.remedy)
    assert "NaN" not in caught.value.remedy
    assert caught.value.remedy


def test_names(write: Write) -> None:
    with pytest.raises(OptionError, match=r'values="-": standard input'):
        read_values("-")
    os.rename(write("1\n"), "depths.csv")
    with pytest.raises(InputMissingError) as caught:
        read_values("depth.csv")
    assert as_typed(caught.value.message) == "--values depth.csv: no such file"
    assert caught.value.remedy == "did you mean depths.csv?"
    with pytest.raises(InputError) as refused:
        read_values(".")
    assert as_typed(refused.value.message) == "--values .: a directory"
