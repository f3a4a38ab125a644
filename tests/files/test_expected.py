"""Stored results, read back in the order of the slices, and in words what is wrong with any other file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from softargmax_cli.errors import InputError, InputMissingError, as_typed
from softargmax_cli.files import expected as module
from softargmax_cli.files.expected import expected
from softargmax_cli.files.writers import FORMATS, open_writer
from softargmax_cli.reduction.result import Run, Slices, Summary

Numbers = npt.NDArray[Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, and batches of three slices."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "READ_AT_ONCE", 3)
    return tmp_path


def read(path: str, kept: tuple[int | None, ...], axes: int = 1, counts: tuple[int, ...] = ()) -> Numbers:
    """All of a result, so many slices at a time, then those that are left: (axes, slices)."""
    total = int(np.prod([n or 0 for n in kept]))
    with expected(path, kept, range(axes)) as stored:
        parts = [stored(count) for count in (*counts, total - sum(counts))]
        stored.end()
    assert all(part.dtype == np.float64 for part in parts)
    return np.concatenate(parts, axis=1)


def read_all(path: str, kept: tuple[int | None, ...], axes: int, slices: int) -> None:
    with expected(path, kept, range(axes)) as stored:
        stored(slices)
        stored.end()


def refused(path: str, kept: tuple[int | None, ...], axes: int = 1, slices: int = 1) -> InputError:
    with pytest.raises(InputError) as caught:
        read_all(path, kept, axes, slices)
    error = caught.value
    error.what, error.remedy = as_typed(error.message), as_typed(error.remedy)
    assert error.what.startswith(path)
    return error


@pytest.mark.parametrize("counts", [(), (1, 0, 2), (3, 3), (5,), (1,) * 11])
def test_any_number_at_a_time(folder: Path, counts: tuple[int, ...]) -> None:
    want = np.arange(12.0)
    want[4] = np.nan
    np.save("e.npy", want.reshape(3, 4))
    Path("e.csv").write_text("soft\n" + "\n".join(map(repr, want.tolist())))
    np.testing.assert_array_equal(read("e.npy", (3, 4), 1, counts), [want])
    np.testing.assert_array_equal(read("e.csv", (3, 4), 1, counts), [want])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("axes", [1, 2])
def test_every_kind_of_npy(folder: Path, order: Any, axes: int) -> None:
    for dtype in ("f8", ">f4", "i4", "?", "g"):
        shape = (3, 4) if axes == 1 else (3, 4, 2)
        want = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
        np.save("e.npy", np.asarray(want, order=order))
        np.testing.assert_array_equal(read("e.npy", (3, 4), axes, (5,)), want.reshape(12, axes).T)


def test_a_single_slice_and_none(folder: Path) -> None:
    np.save("one.npy", np.float64(2.5))
    np.testing.assert_array_equal(read("one.npy", ()), [[2.5]])
    np.save("pair.npy", np.array([2.5, 1]))
    np.testing.assert_array_equal(read("pair.npy", (), 2), [[2.5], [1]])
    np.save("none.npy", np.zeros((0, 4)))
    for kept in ((0, 4), (None, 4)):
        assert read("none.npy", kept).shape == (1, 0)


@pytest.mark.parametrize(
    ("shape", "kept", "axes"),
    [((3,), (4,), 1), ((3, 1), (3,), 1), ((4, 3), (3, 4), 1), ((3,), (3,), 2), ((3, 3), (3,), 2), ((4, 1), (None,), 1)],
)
def test_another_shape(folder: Path, shape: tuple[int, ...], kept: tuple[int | None, ...], axes: int) -> None:
    np.save("e.npy", np.zeros(shape))
    error = refused("e.npy", kept, axes)
    wanted = kept if axes == 1 else (*kept, axes)
    assert error.what == f"e.npy: shape {shape} is not that of the result, {str(wanted).replace('None', '?')}"
    assert "--axis" in error.remedy


@pytest.mark.parametrize("name", ["e.npy", "e.csv"])
def test_too_few_and_too_many(folder: Path, name: str) -> None:
    np.save("e.npy", np.arange(4.0))
    Path("e.csv").write_text("soft\n0\n1\n2\n3\n")
    assert refused(name, (None,), slices=5).what == f"{name}: holds 4 slices, the input has more"
    for slices in (3, 2, 1):  # the end of a batch, and within one
        error = refused(name, (None,), slices=slices)
        assert error.what == f"{name}: holds more slices than the input, which has {slices}"


def test_several_arrays_of_which_none_is_soft(folder: Path) -> None:
    np.savez("two.npz", a=np.zeros(3), b=np.zeros(3))
    error = refused("two.npz", (3,))  # --key would speak of the input
    assert error.what == "two.npz: none is named soft of 2 arrays in it: a, b"
    assert "softargmax run INPUT -o FILE" in error.remedy
    np.savez("one.npz", a=np.arange(3.0))
    np.testing.assert_array_equal(read("one.npz", (3,)), [[0, 1, 2]])


@pytest.mark.parametrize(
    "text",
    [
        "index,hard,soft,offset\n0,1,1.5,x\n1,2,nan,\n",
        "\ufeffsoft\n1.5\nNaN\n",
        "soft\r\n1.5\r\nnan\r\n",
        "1.5\nnan\n",
        'id,soft\n"a, ""b""\nc",1.5\nb,nan',
    ],
)
def test_tables(folder: Path, text: str) -> None:
    Path("e.csv").write_text(text, encoding="utf-8", newline="")
    np.testing.assert_array_equal(read("e.csv", (2,)), [[1.5, np.nan]])


def test_tables_of_several_axes(folder: Path) -> None:
    Path("e.csv").write_text("soft_1,index,soft_0\n1,0,2\n3,1,4\n")
    np.testing.assert_array_equal(read("e.csv", (2,), 2), [[2, 4], [1, 3]])
    Path("bare.csv").write_text("2,1\n4,3\n")
    np.testing.assert_array_equal(read("bare.csv", (2,), 2), [[2, 4], [1, 3]])
    error = refused("e.csv", (2,), 1)
    assert error.what == "e.csv: 3 columns of numbers: soft_1, index, soft_0, for 1 axis"
    assert error.remedy == "keep a column for each axis, in their order, or title them soft"
    error = refused("bare.csv", (2,), 3)
    assert (error.what, error.remedy[-7:]) == ("bare.csv: 2 columns of numbers, for 3 axes", "z, y, x")


@pytest.mark.parametrize("axes", [(2,), (1, 2)])
@pytest.mark.parametrize("format", FORMATS)
def test_what_run_writes_is_read(folder: Path, format: str, axes: tuple[int, ...]) -> None:
    """Every format, with names and labels where there can be some, and a slice without an answer."""
    several = len(axes) > 1
    shape = (7, 3, 4) if several else (7, 1, 4)
    soft = np.random.default_rng(1).standard_normal((len(axes), 7))
    soft[:, 2] = np.nan
    hard = np.where(np.isnan(soft), -1, 1)
    run = Run("x.csv", shape, "float32", axes, 1.0, "CPU", has_ids=True, labels=None if several else list("abcd"))
    fields = {"hard": hard, "soft": soft, "peak": np.where(np.isnan(soft[0]), np.nan, 0.5), "agree": hard[0] > 0}
    slices = Slices(0, fields, ids=[f"row {k}" for k in range(7)])
    with open_writer(f"e.{format}", format, run, tuple(fields), force=False) as writer:
        writer.write(slices)
        writer.end(Summary(), shape)
        writer.commit(Summary())
    np.testing.assert_array_equal(read(f"e.{format}", (7,) if several else (7, 1), len(axes)), soft)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "empty"),
        (b"index,hard\n0,1\n", "2 columns of numbers: index, hard, for 1 axis"),
        (b"1,2\n3,4\n", "2 columns of numbers, for 1 axis"),
        (b"soft\n1\nmuch\n", "line 3, column 1"),
        (b"1\n2\nx\n", "line 3, column 1"),
        (b"index,soft\n0,1\n1\n", "line 3 has 1 cell"),
        (b'{"index": [0], "hard": 1}\n', "an object without 1 numbers under soft"),
        (b'{"index": [0], "soft": [1, 2]}\n', "an object without 1 numbers under soft"),
    ],
)
def test_what_is_no_result(folder: Path, content: bytes, what: str) -> None:
    Path("e.csv").write_bytes(content)
    error = refused("e.csv", (None,), slices=9)
    assert what in error.what
    assert error.remedy


def test_files_that_cannot_be_opened(folder: Path) -> None:
    with pytest.raises(InputMissingError, match="no such file"), expected("none.npy", (1,), (0,)):
        pass
    with pytest.raises(InputError, match="a directory"), expected(".", (1,), (0,)):
        pass


@pytest.mark.parametrize("name", ["r.csv", "r.jsonl"])
@pytest.mark.parametrize("kept", [(4,), (2, 2)])
def test_slices_in_another_order_are_refused(folder: Path, name: str, kept: tuple[int, ...]) -> None:
    def write(order: list[int]) -> None:
        places = [np.unravel_index(k, kept) for k in order]
        lines = [
            f'{{"index": [{", ".join(map(str, place))}], "soft": {k}.5}}\n'
            for k, place in zip(order, places, strict=True)
        ]
        if name == "r.csv":
            titles = "index" if len(kept) == 1 else "index_0,index_1"
            rows = (f"{','.join(map(str, place))},{k}.5\n" for k, place in zip(order, places, strict=True))
            lines = [f"{titles},soft\n", *rows]
        Path(name).write_text("".join(lines))

    write([0, 1, 2, 3])
    assert read(name, kept).tolist() == [[0.5, 1.5, 2.5, 3.5]]
    for order, what in (([0, 1, 3, 2], "slice 3 comes where slice 2"), ([1, 2, 3], "slice 1 comes where slice 0")):
        write(order)
        error = refused(name, kept, slices=4)
        assert what in error.what
        assert "--worst" in error.remedy
    write([0, 1, 2])
    assert "--only" in refused(name, kept, slices=4).remedy


def test_an_index_of_a_truth_may_count_images(folder: Path) -> None:
    Path("t.csv").write_text("index,x,y\n7,1,2\n3,3,4\n")
    assert read("t.csv", (2,), axes=2).tolist() == [[2, 4], [1, 3]]
