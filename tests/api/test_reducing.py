"""`reduce`: the command line's numbers as arrays, of files and arrays, in the words of Python."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from command import Inside
from oracle import FIELDS, PER_AXIS
from oracle import softargmax as exact

from softargmax_cli import Result, reduce
from softargmax_cli.errors import InputError, InputMissingError, NoSuchDeviceError, OptionError, UndefinedError
from softargmax_cli.tensorflow.choice import VARIABLE

Array = npt.NDArray[Any]
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True, params=["native", pytest.param("python", marks=pytest.mark.slow)])
def runtime(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each of the two runtimes."""
    name: str = request.param
    request.getfixturevalue("library" if name == "native" else "python_runtime")
    monkeypatch.setenv(VARIABLE, name)
    return name


def scores(*shape: int, dtype: str = "f4") -> Array:
    return np.random.default_rng(1).normal(size=shape).astype(dtype)


NATIVE = pytest.mark.parametrize("runtime", ["native"], indirect=True)
"""That which the command line uses, too; so the numbers are the same to the last bit."""


def run(*arguments: str, cwd: Path) -> None:
    """`softargmax run ...`, which must succeed."""
    assert Inside(cwd)("run", *arguments).code == 0


def assert_same(got: Result, file: Path) -> None:
    """Every field as in an .npz of the command line."""
    with np.load(file) as stored:
        assert {*stored} - {"id"} == {field for field in FIELDS if getattr(got, field) is not None}
        for field in {*stored} - {"id"}:
            array = getattr(got, field)
            assert (array.dtype, array.shape) == (stored[field].dtype, stored[field].shape), field
            np.testing.assert_array_equal(array, stored[field], err_msg=field)
        if "id" in stored:
            assert got.ids == stored["id"].tolist()


@NATIVE
@pytest.mark.parametrize(
    ("shape", "options", "asked"),
    [
        ((4, 7, 5), ["--axis", "2,0", "--coords", "corners"], {"axis": (2, 0), "coords": "corners"}),
        (
            (4, 7),
            ["--values", "v.npy", "--kind", "cost", "--window", "1", "--precision", "double"],
            {"values": [1, 2, 4, 8, 16, 32, 64], "kind": "cost", "window": 1, "precision": "double"},
        ),
        ((2, 0, 3), [], {}),
    ],
    ids=str,
)
def test_an_npy_file_as_on_the_command_line(
    shape: tuple[int, ...], options: list[str], asked: dict[str, Any], tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", scores(*shape))
    np.save(tmp_path / "v.npy", 2.0 ** np.arange(7))
    run("x.npy", "-o", "out.npz", *options, cwd=tmp_path)
    assert_same(reduce(tmp_path / "x.npy", **asked), tmp_path / "out.npz")
    assert_same(reduce(str(tmp_path / "x.npy"), **asked), tmp_path / "out.npz")
    assert_same(reduce(scores(*shape), **asked), tmp_path / "out.npz")


@NATIVE
@pytest.mark.parametrize("options", [[], ["--axis", "0", "--window", "1"], ["--axis", "1,0"]], ids=str)
def test_a_table_with_names_as_on_the_command_line(options: list[str], tmp_path: Path) -> None:
    lines = ["name,cat,dog,owl", *(f"row {k},{k % 7},{k % 5},{k % 3}" for k in range(300))]
    (tmp_path / "x.csv").write_text("\n".join(lines), encoding="utf-8")
    run("x.csv", "-o", "out.npz", "--id-column", "name", *options, cwd=tmp_path)
    axes = [int(axis) for axis in options[1].split(",")] if options else -1
    window = 1 if "--window" in options else None
    got = reduce(tmp_path / "x.csv", axis=axes, window=window, id_column="name")
    assert_same(got, tmp_path / "out.npz")
    assert_same(reduce(tmp_path / "x.csv", axis=axes, window=window, id_column=1), tmp_path / "out.npz")
    assert got.run.shape == (300, 3)
    assert got.ids == {(): [f"row {k}" for k in range(300)], ("--axis", "0"): ["cat", "dog", "owl"]}.get(
        tuple(options[:2])
    )
    assert got.labels == (["cat", "dog", "owl"] if not options else None)


def test_text_as_it_is_described(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("1;2\n5;3\n", encoding="utf-8")
    got = reduce(tmp_path / "x.txt", delimiter=";", header=True)
    assert got.hard.tolist() == [0]
    assert got.labels == ["1", "2"]


def test_columns_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("// run 7\n// beta 3\nid;a;b;c\n101;0,1;0,101;0,3\n103;0,2;0,9;0,7\n", encoding="utf-8")
    told: dict[str, Any] = {"decimal": ",", "comment": "//"}
    with pytest.raises(
        InputError, match=r'pass id_column="id" if it names the rows, or columns="\^id" to leave it out'
    ):
        reduce(path, **told)
    for columns in ("^id", "a:c", ["a", "b", 4]):
        got = reduce(path, columns=columns, **told)
        assert (got.hard.tolist(), got.labels) == ([2, 1], ["a", "b", "c"])
    assert reduce(path, id_column="id", skip=2, decimal=",").ids == ["101", "103"]
    for wrong in ({"columns": "a,,b"}, {"decimal": ";"}, {"comment": "x"}, {"skip": -1}, {"delimiter": "\0"}):
        with pytest.raises(OptionError):
            reduce(path, **wrong)  # type: ignore[arg-type]  # which is the point


@pytest.mark.parametrize("axis", [0, (2, 1)])
def test_arrays_of_any_memory_order(axis: Any) -> None:
    x = scores(4, 6, 5)
    want = reduce(x, axis=axis)
    hard = exact(x, axis, 100.0).hard
    np.testing.assert_array_equal(want.hard, hard[0] if isinstance(axis, int) else np.moveaxis(hard, 0, -1))
    roomy = np.zeros((8, 6, 15), "f4")
    roomy[::2, :, ::3] = x
    for other in (np.asfortranarray(x), roomy[::2, :, ::3], x[::-1][::-1], x.astype(">f4")):
        got = reduce(other, axis=axis)
        for field in FIELDS:
            np.testing.assert_allclose(getattr(got, field), getattr(want, field), rtol=1e-6, atol=1e-6)
    assert want.summary.slices == want.peak.size


def test_whatever_becomes_an_array() -> None:
    class Wrapped:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
            return np.array([[1.0, 3.0, 2.0]])

    assert reduce(Wrapped()).hard.tolist() == [1]
    assert reduce([[1, 3, 2]]).hard.tolist() == [1]
    assert reduce([1, 3, 2]).hard.tolist() == 1
    with pytest.raises(InputError, match="masked array"):
        reduce(np.ma.array([[1.0, 2.0]], mask=[[True, False]]))
    with pytest.raises(InputError, match="no real numbers"):
        reduce(np.array([["a"]]))


def test_the_result_is_whole_and_ones_own() -> None:
    x = scores(3, 4, 5)
    got = reduce(x, axis=(1, 2), nan="propagate", beta=7)
    for field in FIELDS:
        array = getattr(got, field)
        assert array.shape == ((3, 2) if field in PER_AXIS else (3,))
        assert array.flags.writeable
        assert array.flags.c_contiguous
        array[...] = 0
    assert (got.run.input, got.run.shape, got.run.dtype) == ("<array>", (3, 4, 5), "float32")
    assert (got.run.axes, got.run.beta, got.run.coords, got.run.device) == ((1, 2), 7, "index", "CPU")
    assert got.summary.slices == 3
    assert got.ids is got.labels is None
    with pytest.raises(AttributeError):
        got.soft = got.offset  # type: ignore[misc]


def test_fields_that_nobody_asked_for_cost_nothing() -> None:
    got = reduce(scores(3, 4), fields=["spread", "soft"])
    assert got.spread is not None
    assert got.second is got.entropy is got.ties is None
    assert got.hard.shape == got.agree.shape == (3,)
    assert reduce(scores(3, 4), fields="ties").spread is None
    assert reduce(scores(3, 4), fields=[]).spread is None
    with pytest.raises(OptionError, match=r"fields='entropie': no such choice\nchoose one of 'hard', .*'entropy'"):
        reduce(scores(3, 4), fields=["entropie"])


def test_it_says_what_it_is() -> None:
    x = np.array([[5, 2, 1, 2], [3.9, 4, 1, 2], [2, 5.9, 6, 2]])
    said = "Result((3,) slices of <array>; largest |offset| 0.475; 100% agree; 0 undefined)"
    assert repr(reduce(x, beta=1)) == repr(reduce(x, temperature=1)) == said


def test_undefined_slices() -> None:
    x = scores(2, 3, 4)
    x[1, 2, 3] = math.nan
    with pytest.raises(UndefinedError) as caught:
        reduce(x)
    assert str(caught.value) == (
        '<array>: 1 NaN, at index (1, 2, 3)\nuse nan="omit" to leave them out, or nan="propagate" to mark their slices'
    )
    assert reduce(x, nan="propagate").hard[1, 2] == -1
    assert reduce(x, nan="omit").hard[1, 2] >= 0


def test_what_may_be_a_mistake_is_a_warning() -> None:
    weights = np.full((3, 4), 0.25)
    with pytest.warns(UserWarning, match=r'^<array>: slices sum to 1 .*; kind="probs" takes them') as caught:
        reduce(weights)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reduce(weights, kind="probs")


@pytest.mark.slow
@NATIVE
def test_little_memory() -> None:
    x = scores(2, 1_000_000)
    assert reduce(x, memory="16MiB", window=3).hard.tolist() == x.argmax(-1).tolist()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"axis": 5}, "<array>: axis=5: the array has 2 axes (shape (2, 3))\nuse an axis from -2 to 1"),
        ({"beta": -1}, "β = -1: the inverse temperature must be a finite number above 0"),
        ({"beta": 1e40, "precision": "single"}, 'precision="single" does not hold β = 1e+40\nuse precision="double"'),
        ({"precision": "half"}, "precision='half': no such choice"),
        ({"nan": "ignore"}, "nan='ignore': no such choice"),
        ({"memory": "1MB"}, "1MB is too little to work in\nthe least is 16MiB"),
        ({"memory": 5}, "5 bytes is too little"),
        ({"beta": 4, "temperature": 0.25}, "beta and temperature say the same thing"),
        ({"memory": "much"}, "'much' is no size"),
        ({"device": "tpu"}, "'tpu' is no device"),
        ({"header": True, "columns": "2:"}, "header and columns: an array has none"),
        ({"values": [1, 2]}, "<array>: values: 2 values for the 3 indices of axis 1"),
    ],
    ids=str,
)
def test_arguments_without_meaning(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError) as caught:
        reduce(scores(2, 3), **asked)
    assert said in str(caught.value)


def test_inputs_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "scores.npy").write_bytes(b"x" * 100)
    with pytest.raises(InputMissingError, match=r"score.npy: no such file\ndid you mean .*scores.npy\?"):
        reduce(tmp_path / "score.npy")
    with pytest.raises(InputError, match=r"scores.npy: not an .npy file, whatever its name says"):
        reduce(tmp_path / "scores.npy")
    with pytest.raises(OptionError, match=r"^-: standard input is read by the command line only"):
        reduce("-")
    (tmp_path / "x.csv").write_text("1,2\n3,x\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 2") as caught:
        reduce(tmp_path / "x.csv")
    assert "--" not in str(caught.value)


@pytest.mark.slow
def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(NoSuchDeviceError, match=r'device="gpu:77": TensorFlow .*\n.*device="cpu"'):
        reduce(scores(2, 3), device="gpu:77")
