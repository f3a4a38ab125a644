"""Files of coordinates: one row or one column of finite numbers, and in words what is wrong with any other."""

from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from softargmax_cli.errors import InputError, InputMissingError, OptionError, as_typed
from softargmax_cli.files import values as module
from softargmax_cli.files.values import read_values

pytestmark = pytest.mark.sampled(3)

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write text, bytes or an array to a file in the current directory; its name."""
    monkeypatch.chdir(tmp_path)

    def to_file(content: Any, name: str = "") -> str:
        if isinstance(content, np.ndarray):
            np.save(tmp_path / (name or "v.npy"), content)
            return name or "v.npy"
        (tmp_path / (name or "v.csv")).write_bytes(content.encode() if isinstance(content, str) else content)
        return name or "v.csv"

    return to_file


def refused(path: str) -> InputError:
    with pytest.raises(InputError) as caught:
        read_values(path)
    error = caught.value
    error.what, error.remedy = as_typed(error.message), as_typed(error.remedy)
    assert len(error.what) < 200
    assert error.remedy.count("\n") <= 1
    return error


class TestText:
    @pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n\n"])
    @pytest.mark.parametrize(
        ("text", "want"),
        [
            ("1\n2.5\n-3e2", [1, 2.5, -300]),
            ("depth\n1\n2.5\n-3e2", [1, 2.5, -300]),
            ("depth\n5", [5]),
            ("0\n1\n2", [0, 1, 2]),
            ("1,2.5,-3e2", [1, 2.5, -300]),
            ("0,1,2,3", [0, 1, 2, 3]),
            ("near,far\n0.5,80", [0.5, 80]),
            ("1;2;3", [1, 2, 3]),
            ("1 2 3", [1, 2, 3]),
            ("1\t2\t3", [1, 2, 3]),
            ("1|2|3", [1, 2, 3]),
            ("7", [7]),
            ("-0.5", [-0.5]),
            ("3\n3\n1", [3, 3, 1]),
            ('"1"\n"2"', [1, 2]),
            ("\ufeff1\n2", [1, 2]),
            ("# metres\n1\n2", [1, 2]),
        ],
    )
    def test_one_row_or_one_column(self, write: Write, text: str, end: str, want: list[float]) -> None:
        values = read_values(write(text + end))
        assert values.tolist() == want
        assert (values.dtype, values.ndim) == (np.dtype("f8"), 1)
        assert values.flags.c_contiguous
        assert values.flags.writeable

    @pytest.mark.parametrize("name", ["v", "v.txt", "v.dat", "v.tsv", "v.csv"])
    def test_any_name(self, write: Write, name: str) -> None:
        assert read_values(write("1\n2\n", name)).tolist() == [1, 2]

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=200),
        st.sampled_from([",", "\n", " ", ";", "\t"]),
        st.booleans(),
    )
    def test_numbers_round_trip(self, write: Write, numbers: list[float], between: str, ended: bool) -> None:
        values = read_values(write(between.join(map(repr, numbers)) + "\n" * ended))
        assert values.tobytes() == np.array(numbers).tobytes()

    @pytest.mark.parametrize("between", [",", "\n"])
    @pytest.mark.parametrize("packed", [False, True])
    def test_many_pieces(self, write: Write, between: str, packed: bool) -> None:
        numbers = np.random.default_rng(4).standard_normal(30_000)
        text = between.join(map(repr, numbers.tolist())).encode()
        np.testing.assert_array_equal(read_values(write(gzip.compress(text) if packed else text)), numbers)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "empty"),
            ("depth\n", "line 1 is a header, and no rows follow it"),
            ("near,far\n", "line 1 is a header, and no rows follow it"),
            ("1,2\n3,4\n", "shape (2, 2): coordinates are one row or one column"),
            ("index,depth\n0,1\n1,2\n2,4\n", "shape (3, 2): coordinates are one row or one column"),
            ("1\n\n2\n", "line 2 is blank"),
            ("1\n2\nx\n", "line 3, column 1: 'x' is not a number"),
            ("1,2\n3\n", "line 2 has 1 cell, expected 2 as in line 1"),
            ("1\nNA\n3\n", "the coordinate of index 1 is nan"),
            ("d\n1\nnan\nnan\n", "the coordinate of index 1 is nan"),
            ("1\ninf\nnan\n", "the coordinate of index 1 is inf"),
            ("-inf,1", "the coordinate of index 0 is -inf"),
            ("1e999\n", "the coordinate of index 0 is inf"),
            (b"PK\x03\x04....", "damaged, or no .npz file: File is not a zip file"),
        ],
    )
    def test_what_is_refused(self, write: Write, text: str | bytes, words: str) -> None:
        error = refused(write(text))
        assert error.what == f"--values v.csv: {words}"
        # --header and the like are about another file, and NaN is no coordinate.
        assert "--" not in error.remedy
        assert "NaN" not in error.remedy
        assert error.remedy


class TestNpy:
    @pytest.mark.parametrize("dtype", ["?", "i1", ">u2", "<i4", ">i8", "<f2", ">f4", "<f8"])
    @pytest.mark.parametrize("shape", [(6,), (1, 6), (6, 1)])
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_one_row_or_one_column(self, write: Write, dtype: str, shape: tuple[int, ...], order: Any) -> None:
        stored = np.array([0, 1, 1, 0, 0, 1]).astype(dtype).reshape(shape).copy(order)
        values = read_values(write(stored))
        assert (values.dtype, values.shape) == (np.dtype("f8"), (6,))
        assert values.flags.c_contiguous
        np.testing.assert_array_equal(values, stored.ravel())

    def test_one_number(self, write: Write) -> None:
        assert read_values(write(np.array([7.5]))).tolist() == [7.5]
        assert read_values(write(np.array([[7.5]]))).tolist() == [7.5]

    @pytest.mark.parametrize(
        ("stored", "words"),
        [
            (np.zeros((2, 3)), "shape (2, 3): coordinates are one row or one column"),
            (np.zeros((1, 1, 3)), "shape (1, 1, 3): coordinates are one row or one column"),
            (np.array(5.0), "shape (): coordinates are one row or one column"),
            (np.zeros(0), "no numbers in it"),
            (np.zeros((0, 1)), "no numbers in it"),
            (np.zeros((1, 0)), "no numbers in it"),
            (np.zeros((0, 3)), "no numbers in it"),
            (np.array([1, np.nan, np.inf]), "the coordinate of index 1 is nan"),
            (np.array([[1], [-np.inf]], ">f4"), "the coordinate of index 1 is -inf"),
            (np.zeros(3, "c8"), "dtype complex64 holds no real numbers"),
        ],
    )
    def test_what_is_refused(self, write: Write, stored: Any, words: str) -> None:
        error = refused(write(stored))
        assert error.what == f"--values v.npy: {words}"
        assert error.remedy

    def test_a_file_cut_short(self, write: Write) -> None:
        name = write(np.zeros(100))
        os.truncate(name, 500)
        assert refused(name).what.startswith("--values v.npy: truncated: shape (100,)")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
    @pytest.mark.parametrize("text", [False, True])
    def test_a_named_pipe(self, write: Write, text: bool) -> None:
        numbers = np.random.default_rng(0).standard_normal(40_000)
        name = write("\n".join(map(repr, numbers.tolist())), "held") if text else write(numbers, "held.npy")
        os.mkfifo("pipe")

        def feed() -> None:
            with open("pipe", "wb", buffering=0) as pipe:
                for start in range(0, os.path.getsize(name), 999):
                    pipe.write(content[start : start + 999])

        content = Path(name).read_bytes()
        thread = threading.Thread(target=feed)
        thread.start()
        try:
            np.testing.assert_array_equal(read_values("pipe"), numbers)
        finally:
            thread.join()


class TestFiles:
    def test_standard_input_is_for_the_scores(self) -> None:
        with pytest.raises(OptionError, match=r'values="-": standard input'):
            read_values("-")

    def test_no_such_file(self, write: Write) -> None:
        write("1\n", "depths.csv")
        with pytest.raises(InputMissingError) as caught:
            read_values("depth.csv")
        assert as_typed(caught.value.message) == "--values depth.csv: no such file"
        assert caught.value.remedy == "did you mean depths.csv?"

    def test_a_directory(self, write: Write) -> None:
        error = refused(".")
        assert error.what == "--values .: a directory"
        assert "softargmax" not in error.remedy

    def test_files_beyond_the_limit(self, write: Write) -> None:
        """Real sizes, which take no room on the disk: the files have holes."""
        what = "more than 512 MiB, as a file or as float64: too much for coordinates"
        name = write("1\n" * 600_000)
        os.truncate(name, (512 << 20) + 1)
        assert refused(name).what == f"--values v.csv: {what}"
        for shape in ((67_108_865,), (67_108_865, 1)):
            np.lib.format.open_memmap("v.npy", "w+", np.uint8, shape)
            assert refused("v.npy").what == f"--values v.npy: {what}"

    @pytest.mark.parametrize("packed", [False, True])
    def test_text_that_unfolds_beyond_the_limit(
        self, write: Write, packed: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text = b"1\n" * 200_000
        name = write(gzip.compress(text) if packed else text)
        monkeypatch.setattr(module, "LARGEST", 1 << 20)
        assert "more than 1 MiB" in refused(name).what
        monkeypatch.setattr(module, "LARGEST", 1 << 21)
        assert read_values(name).sum() == 200_000
