"""Every format against the arrays that its own package has written, in every dtype that it has."""

from __future__ import annotations

import itertools
from contextlib import closing
from pathlib import Path
from typing import Any

import h5py
import ml_dtypes
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import safetensors.numpy
from files import ANY_SHAPE, TABLES, Array, everything, piped, written

from softargmax_cli.errors import InputError, OptionError, as_typed
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.registry import open_source
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer

REALS = ["?", "i1", "u1", "<i2", ">u2", "<u4", ">i8", "<f2", "<f4", ">f8"]
SHAPES = [(), (0,), (5, 3), (1, 2, 4, 3)]


def sample(shape: tuple[int, ...], dtype: Any) -> Array:
    return (np.random.default_rng(3).standard_normal(shape) * 9).astype(np.int8).astype(dtype)


def read(path: str, reading: Reading | None = None, **how: Any) -> Array:
    with closing(open_source(path, reading)) as source:
        return everything(source, **how)


@pytest.mark.parametrize("form", ANY_SHAPE)
def test_arrays_of_every_dtype(form: str, tmp_path: Path) -> None:
    for dtype, shape in itertools.product(REALS, SHAPES):
        if form == "safetensors":
            dtype = dtype.replace(">", "<")  # the format has one byte order
        values = sample(shape, dtype)
        with closing(open_source(written(tmp_path, ANY_SHAPE[form](values)))) as source:
            assert source.shape == shape
            assert source.facts.format == form.partition(",")[0]
            assert np.dtype(source.stored) == values.dtype
            assert source.dtype == values.dtype.newbyteorder("=")
            np.testing.assert_array_equal(everything(source), values)


@pytest.mark.parametrize("form", ["npy", "npz", "npz, packed"])
def test_fortran_order(form: str, tmp_path: Path) -> None:
    values = sample((5, 6, 7), "f4").copy("F")
    for axes in ((0,), (-1,), (0, 2)):
        np.testing.assert_array_equal(read(written(tmp_path, ANY_SHAPE[form](values)), axes=axes), values)


@pytest.mark.parametrize("form", [*ANY_SHAPE, *TABLES])
def test_pipes(form: str) -> None:
    values = sample((40, 30), "f4")
    with piped({**ANY_SHAPE, **TABLES}[form](values)) as path:
        np.testing.assert_array_equal(read(path, elements=100), values)


def test_columns_of_every_dtype(tmp_path: Path) -> None:
    for dtype, nulls in itertools.product(("?", "i1", "u2", "i4", "u8", "f2", "f4", "f8"), (False, True)):
        values = sample((9, 3), dtype)
        columns = [pa.array(column, mask=np.arange(9) == 4 if nulls else None) for column in values.T]
        fields = [pa.field(name, columns[0].type, nullable=nulls) for name in "abc"]
        pyarrow.parquet.write_table(pa.table(columns, pa.schema(fields)), tmp_path / "t.parquet", row_group_size=4)
        want = values.astype(np.promote_types(dtype, "f4") if nulls and values.dtype.kind != "f" else dtype)
        want[4] = np.nan if nulls else want[4]
        with closing(open_source(str(tmp_path / "t.parquet"))) as source:
            assert (source.shape, source.dtype, source.labels) == ((9, 3), want.dtype, ("a", "b", "c"))
            np.testing.assert_array_equal(everything(source), want)


def test_columns_of_several_dtypes(tmp_path: Path) -> None:
    import decimal

    table = pa.table(
        {
            "a": np.arange(3, dtype="i2"),
            "b": np.arange(3, dtype="f4") / 2,
            "c": pa.array([decimal.Decimal("1.25"), None, decimal.Decimal(3)]),
            "d": pa.nulls(3),
            "e": pa.chunked_array([[True], [False, None]]),
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    want = [[0, 0, 1.25, np.nan, 1], [1, 0.5, np.nan, np.nan, 0], [2, 1, 3, np.nan, np.nan]]
    np.testing.assert_array_equal(read(str(tmp_path / "t.parquet"), Reading(strict=False)), want)


def test_rows_with_names(tmp_path: Path) -> None:
    table = pa.table({"x": np.arange(5.0), "name": ["a", "b", None, "d", "é"], "y": np.arange(5.0) + 1})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet", row_group_size=2)
    for asked in ("name", "2"):
        with closing(open_source(str(tmp_path / "t.parquet"), Reading(id_column=asked))) as source:
            assert (source.shape, source.labels, source.facts.id_column) == ((5, 2), ("x", "y"), "name")
            pending = source.fetch(Block((0, 0), (3, 2))), source.fetch(Block((3, 0), (5, 2)))
            assert [one and one.load(Buffer()).ids for one in pending] == [["a", "b", ""], ["d", "é"]]
    with closing(open_source(str(tmp_path / "t.parquet"), Reading(inspected=True))) as source:
        assert source.facts.id_column == "name"


NEITHER = "holds neither numbers nor text, but"
OUT = "leave it out with --columns '{}', or name another column"
LISTS, RECORDS = "list<", "struct<p: int64>"  # releases name the elements of lists differently


@pytest.mark.parametrize(
    ("columns", "asked", "what", "remedy"),
    [
        ({"a": [1.0], "b": ["x"], "c": [[1]]}, None, f"column 3 ('c') {NEITHER} '{LISTS}", OUT.format("^c")),
        ({"a": [1.0], "v": [[1.0]]}, "v", f"column 2 ('v') {NEITHER} '{LISTS}", OUT.format("^v")),
        ({"a": [1.0], "v": [{"p": 1}]}, "2", f"column 2 ('v') {NEITHER} '{RECORDS}'", OUT.format("^v")),
        ({"b": ["x"]}, "b", "no column of numbers", "is it the file that was meant, and are these its columns?"),
        ({"a": [1.0]}, "b", "no column 'b' among 'a'", "pass --id-column with a number from 1 to 1, or one of these"),
    ],
)  # fmt: skip
def test_columns_that_are_no_numbers(
    columns: dict[str, Any], asked: str | None, what: str, remedy: str, tmp_path: Path
) -> None:
    path = str(tmp_path / "t.parquet")
    pyarrow.parquet.write_table(pa.table(columns), path)
    with pytest.raises((InputError, OptionError)) as caught:
        read(path, Reading(id_column=asked))
    assert caught.value.message.startswith(f"{path}: {what}")
    assert as_typed(caught.value.remedy) == remedy
    if "^c" in remedy:
        np.testing.assert_array_equal(read(path, Reading(columns=remedy.split("'")[1])), [[1.0]])


@pytest.mark.parametrize("kind", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_floats_that_numpy_has_not(kind: str, tmp_path: Path) -> None:
    every = np.arange(256, dtype="u1") if "8_" in kind else np.arange(65536, dtype="u2")
    values = every.view(getattr(ml_dtypes, kind)).reshape(16, -1)
    stored = {"bfloat16": "BF16", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2"}[kind]
    head = f'{{"x":{{"dtype":"{stored}","shape":{list(values.shape)},"data_offsets":[0,{values.nbytes}]}}}}'.encode()
    path = written(tmp_path, len(head).to_bytes(8, "little") + head + values.tobytes())
    if kind == "bfloat16":
        assert safetensors.numpy.load_file(path)["x"].tobytes() == values.tobytes()
    with closing(open_source(path)) as source:
        assert (source.stored, source.dtype) == (kind, np.dtype("f4"))
        np.testing.assert_array_equal(everything(source, elements=1000), values.astype("f4"))


def test_members_by_name(tmp_path: Path) -> None:
    a, b = sample((3, 4), "f4"), sample((5,), "f8")
    paths = [str(tmp_path / name) for name in ("a.npz", "b.npz", "c.safetensors", "d.h5")]
    np.savez(paths[0], **{"a": a, "../b": b})
    np.savez_compressed(paths[1], **{"a": a, "../b": b})
    safetensors.numpy.save_file({"a": a, "../b": b}, paths[2], metadata={"format": "np"})
    with h5py.File(paths[3], "w") as file:
        file["a"], file["group/b"] = a, b
    for path in paths:
        other = "group/b" if path.endswith("h5") else "../b"
        np.testing.assert_array_equal(read(path, Reading(key="a")), a)
        with closing(open_source(path, Reading(key=other, inspected=True))) as source:
            np.testing.assert_array_equal(everything(source), b)
            assert source.name == f"{path}[{other}]"
            found = {(one.name, one.shape, one.dtype) for one in source.facts.members}
            assert found == {("a", (3, 4), "float32"), (other, (5,), "float64")}
        with pytest.raises(OptionError, match="2 arrays in it: ") as several:
            read(path)
        assert "name one of them with --key " in as_typed(several.value.remedy)
        with pytest.raises(OptionError, match="no array is named") as wrong:
            read(path, Reading(key=f"{other}b"))
        assert f"did you mean --key {other}?" in as_typed(wrong.value.remedy)
    assert len(list(tmp_path.iterdir())) == 4


def test_many_members_and_long_names(tmp_path: Path) -> None:
    names = [f"{k}" + "x" * 300 for k in range(30)]
    np.savez(tmp_path / "a.npz", **dict.fromkeys(names, np.zeros(2)))
    with pytest.raises(OptionError, match="30 arrays in it") as caught:
        read(str(tmp_path / "a.npz"))
    assert len(caught.value.what) < 700
    assert caught.value.what.endswith(", ...")
    assert as_typed(caught.value.remedy) == "name one of them with --key NAME"
    with pytest.raises(OptionError, match=r"no array is named y\n") as caught:
        read(str(tmp_path / "a.npz"), Reading(key="y"))
    assert caught.value.remedy.startswith("it holds 0xxx")
    with pytest.raises(OptionError, match=r"no array is named \(nothing\)"):
        read(str(tmp_path / "a.npz"), Reading(key=""))


def test_options_that_do_not_apply(tmp_path: Path) -> None:
    """A note names them; to text all of them apply but --key."""
    table = sample((2, 2), "f4")
    for form, idle in {"npy": "--key and --delimiter do", "csv": "--key does", "hdf5": "--delimiter does"}.items():
        asked = Reading("group/scores" if form == "hdf5" else "k", delimiter=",")
        path = written(tmp_path, {**ANY_SHAPE, **TABLES}[form](table))
        with closing(open_source(path, asked)) as source:
            (note,) = source.notes
        assert as_typed(note).startswith(f"{idle} not apply to ")


def test_hdf5_datasets_that_are_found_once(tmp_path: Path) -> None:
    """By hard links an object has several names, and groups may contain each other."""
    path, values = str(tmp_path / "a.h5"), sample((3, 4), "f4")
    with h5py.File(path, "w") as file:
        file["a"] = values
        file["group/again"], file["group/root"] = file["a"], file["/"]
    np.testing.assert_array_equal(read(path), values)
    np.testing.assert_array_equal(read(path, Reading(key="/group/again")), values)
    for key in ("group/none", "group", "a/b", "group/../a", "group//again"):
        with pytest.raises(OptionError, match="no array is named"):
            read(path, Reading(key=key))


def test_npz_with_other_files_in_it(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("README.txt", "scores of today")
        archive.writestr("scores.npy", ANY_SHAPE["npy"](np.arange(4.0)))
    np.testing.assert_array_equal(read(str(tmp_path / "a.npz")), np.arange(4))
