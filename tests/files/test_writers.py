"""Results read back with NumPy, csv and json; targets that exist, vanish, fill up or are no files."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import os
import stat
import sys
import threading
import types
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import duckdb
import numpy as np
import polars as pl
import pyarrow.parquet
import pytest
from results import made

from softargmax_cli import __version__
from softargmax_cli.errors import OptionError, OutputError, as_typed
from softargmax_cli.files.writers import FORMATS, Writer, format_of, open_writer
from softargmax_cli.reduction.fields import NAMES
from softargmax_cli.reduction.result import Run, Slices, Summary

NAN = math.nan
posix = pytest.mark.skipif(os.name != "posix", reason="there are no FIFOs and devices")


def slices_of(soft: list[float], start: int = 0, ids: list[str] | None = None) -> Slices:
    """Slices of one axis that agree with index 1 unless soft is NaN."""
    values = np.array(soft, np.float64)
    defined = ~np.isnan(values)
    return made(
        start,
        hard=np.where(defined, 1, -1).astype(np.int64)[np.newaxis],
        soft=values[np.newaxis],
        offset=values[np.newaxis] - 1,
        peak=np.where(defined, 0.5, NAN),
        agree=defined,
        second=np.where(defined, 0.125, NAN),
        spread=np.where(defined, 0.25, NAN)[np.newaxis],
        entropy=np.where(defined, 0.75, NAN),
        ties=defined.astype(np.int64),
        ids=ids,
    )


TUTORIAL = made(
    0,
    hard=np.array([[0, 1, 2]]),
    soft=np.array([[0.0, 0.9999546021312976, 1.9999546021312975]]),
    offset=np.array([[0.0, -4.5397868702434e-05, -4.5397868702434e-05]]),
    peak=np.array([1.0, 0.9999546021312976, 0.9999546021312976]),
    agree=np.array([True, True, False]),
    second=np.array([0.0, 2.5e-12, 0.375]),
    spread=np.array([[0.0, 0.006737641, 0.006737641]]),
    entropy=np.array([0.0, 0.0005, 0.0005]),
    ties=np.array([1, 1, 2]),
)

PLANE = made(
    0,
    hard=np.array([[3, -1, 12], [7, -1, 0]]),
    soft=np.array([[3.125, NAN, 11.5], [7.5, NAN, 0.0]]),
    offset=np.array([[0.125, NAN, -0.5], [0.5, NAN, 0.0]]),
    peak=np.array([0.5, NAN, 1 / 3]),
    agree=np.array([False, False, True]),
    second=np.array([0.25, NAN, 0.0]),
    spread=np.array([[1.5, NAN, 2.5], [0.75, NAN, 1e-300]]),
    entropy=np.array([2.0, NAN, 1.0]),
    ties=np.array([1, 0, 2]),
)
"""Three slices of two axes, the second without an answer."""


def run_of(*shape: int | None, axis: int = -1, **more: Any) -> Run:
    return run_over(shape, (axis % len(shape),), **more)


def run_over(shape: tuple[int | None, ...], axes: tuple[int, ...], **more: Any) -> Run:
    return Run("scores.npy", shape, "float32", axes, **{"beta": 100.0, "device": "CPU", **more})


def save(target: str | Path, run: Run, parts: list[Slices], shape: tuple[int, ...], **options: Any) -> None:
    format = options.pop("format", None) or format_of(str(target))
    summary = Summary()
    with open_writer(str(target), format, run, NAMES, force=options.pop("force", False), **options) as sink:
        for part in parts:
            summary.add(part)
            sink.write(part)
        sink.end(summary, shape)
        sink.commit(summary)


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The slices in a file of any format that is a table."""
    format = path.suffix[1:]
    if format == "parquet":
        return pl.read_parquet(path).to_dicts()
    text = path.read_bytes().decode("utf-8")
    if format in ("csv", "tsv"):
        return list(csv.DictReader(io.StringIO(text, newline=""), delimiter="," if format == "csv" else "\t"))
    slices = [json.loads(line) for line in text.split("\n")[:-1]] if format == "jsonl" else json.loads(text)["slices"]
    assert isinstance(slices, list)
    return slices


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# What the formats look like


LABELLED = run_of(2, 2, has_ids=True, labels=["cat", "dog"])
LITERALLY: list[tuple[str, Run, Slices, dict[str, bool], str]] = [
    (
        "csv",
        run_of(3, 4),
        TUTORIAL,
        {},
        "index,hard,soft,offset,peak,second,spread,entropy,ties,agree,multimodal\n"
        "0,0,0.0,0.0,1.0,0.0,0.0,0.0,1,true,false\n"
        "1,1,0.9999546021312976,-4.5397868702434e-05,0.9999546021312976,2.5e-12,0.006737641,0.0005,1,true,false\n"
        "2,2,1.9999546021312975,-4.5397868702434e-05,0.9999546021312976,0.375,0.006737641,0.0005,2,false,true\n",
    ),
    (
        "tsv",
        LABELLED,
        slices_of([1.0, NAN], ids=["x", "y,z"]),
        {},
        "index\tid\thard\tlabel\tsoft\toffset\tpeak\tsecond\tspread\tentropy\tties\tagree\tmultimodal\n"
        "0\tx\t1\tdog\t1.0\t0.0\t0.5\t0.125\t0.25\t0.75\t1\ttrue\ttrue\n"
        "1\ty,z\t-1\t\tnan\tnan\tnan\tnan\tnan\tnan\t0\tfalse\tfalse\n",
    ),
    (
        "jsonl",
        LABELLED,
        slices_of([1.0, NAN], ids=["x", 'y"é']),
        {"several": True},
        '{"input": "scores.npy", "index": [0], "id": "x", "hard": 1, "label": "dog", "soft": 1.0, "offset": 0.0, '
        '"peak": 0.5, "second": 0.125, "spread": 0.25, "entropy": 0.75, "ties": 1, "agree": true, "multimodal": true}\n'
        '{"input": "scores.npy", "index": [1], "id": "y\\"é", "hard": -1, "label": null, "soft": null, '
        '"offset": null, "peak": null, "second": null, "spread": null, "entropy": null, "ties": 0, "agree": false, '
        '"multimodal": false}\n',
    ),
    (
        "csv",
        run_over((3, 16, 8), (1, 2)),
        PLANE,
        {},
        "index,hard_0,hard_1,soft_0,soft_1,offset_0,offset_1,peak,second,spread_0,spread_1,entropy,ties,agree,multimodal\n"
        "0,3,7,3.125,7.5,0.125,0.5,0.5,0.25,1.5,0.75,2.0,1,false,true\n"
        "1,-1,-1,nan,nan,nan,nan,nan,nan,nan,nan,nan,0,false,false\n"
        "2,12,0,11.5,0.0,-0.5,0.0,0.3333333333333333,0.0,2.5,1e-300,1.0,2,true,false\n",
    ),
    (
        "csv",
        run_of(1, 4),
        slices_of([math.inf]),
        {},
        "index,hard,soft,offset,peak,second,spread,entropy,ties,agree,multimodal\n"
        "0,1,inf,inf,0.5,0.125,0.25,0.75,1,true,true\n",
    ),
]


@pytest.mark.parametrize(("format", "run", "slices", "more", "text"), LITERALLY)
def test_literally(tmp_path: Path, format: str, run: Run, slices: Slices, more: dict[str, bool], text: str) -> None:
    save(tmp_path / f"a.{format}", run, [slices], tuple(n or 0 for n in run.shape), **more)
    assert (tmp_path / f"a.{format}").read_bytes().decode() == text


def test_json_of_two_axes_literally(tmp_path: Path) -> None:
    more = {"beta": None, "kind": "probs", "coords": "corners", "window": 3}
    run, summary = run_over((16, 3, 8), (2, 0), **more), Summary()
    with open_writer(str(tmp_path / "a.json"), "json", run, ("hard", "soft", "second"), force=False) as sink:
        summary.add(PLANE)
        sink.write(PLANE)
        sink.end(summary, (16, 3, 8))
        sink.commit(summary)
    assert (tmp_path / "a.json").read_text("utf-8") == (
        '{"input": "scores.npy",\n "dtype": "float32",\n "axis": [2, 0],\n "beta": null,\n "kind": "probs",\n'
        ' "coords": "corners",\n "window": 3,\n "device": "CPU",\n "slices": [\n'
        '  {"index": [0], "hard": [3, 7], "soft": [3.125, 7.5], "second": 0.25},\n'
        '  {"index": [1], "hard": [-1, -1], "soft": [null, null], "second": null},\n'
        '  {"index": [2], "hard": [12, 0], "soft": [11.5, 0.0], "second": 0.0}\n'
        ' ],\n "shape": [16, 3, 8],\n "summary": {"slices": 3, "max_abs_offset": 0.5, "mean_abs_offset": 0.28125, '
        '"agreement": 0.5, "tied": 1, "multimodal": 1, "undefined": 1}}\n'
    )


@pytest.mark.parametrize(("known", "layout"), [(True, "C"), (False, "F")])
def test_npy_and_npz_of_two_axes(tmp_path: Path, known: bool, layout: Literal["C", "F"]) -> None:
    columns: dict[str, Any] = {field: np.array(getattr(PLANE, field), order=layout) for field in NAMES}
    slices = made(0, **columns)
    run = run_over((3 if known else None, 1, 16, 8), (2, 3))
    for format in ("npy", "npz"):
        save(tmp_path / f"a.{format}", run, [slices.part(0, 1), slices.part(1, 3)], (3, 1, 16, 8))
    soft = [[[3.125, 7.5]], [[NAN, NAN]], [[11.5, 0.0]]]
    npy = np.load(tmp_path / "a.npy", allow_pickle=False)
    np.testing.assert_array_equal(npy, np.array(soft), strict=True)
    assert npy.flags.c_contiguous
    with np.load(tmp_path / "a.npz", allow_pickle=False) as npz:
        assert tuple(npz) == NAMES
        np.testing.assert_array_equal(npz["hard"], np.array([[[3, 7]], [[-1, -1]], [[12, 0]]], "<i8"), strict=True)
        np.testing.assert_array_equal(npz["soft"], np.array(soft), strict=True)
        np.testing.assert_array_equal(npz["offset"][:, 0, 1], [0.5, NAN, 0.0])
        np.testing.assert_array_equal(npz["spread"], [[[1.5, 0.75]], [[NAN, NAN]], [[2.5, 1e-300]]])
        for field in ("peak", "second", "entropy", "ties", "agree", "multimodal"):
            assert npz[field].shape == (3, 1)
        np.testing.assert_array_equal(npz["second"], [[0.25], [NAN], [0.0]])


def test_several_kept_axes_in_every_format(tmp_path: Path) -> None:
    shape, kept = (2, 3, 4), (2, 4)
    soft = np.arange(8) / 7
    parts = [slices_of(soft[a:b].tolist(), a) for a, b in itertools.pairwise([0, 1, 1, 5, 8])]
    for format in FORMATS:
        save(tmp_path / f"a.{format}", run_of(*shape, axis=1), parts, shape)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), soft.reshape(kept), strict=True)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as npz:
        assert tuple(npz) == NAMES
        dtypes = {"hard": "<i8", "ties": "<i8", "agree": "|b1", "multimodal": "|b1"}
        assert {name: npz[name].dtype.str for name in npz} == {**dict.fromkeys(NAMES, "<f8"), **dtypes}
        assert all(npz[name].shape == kept for name in npz)
    places = list(np.ndindex(*kept))
    for format in ("csv", "tsv", "parquet"):
        rows = rows_of(tmp_path / f"a.{format}")
        assert list(rows[0]) == ["index_0", "index_1", *NAMES]
        assert [(int(row["index_0"]), int(row["index_1"])) for row in rows] == places
        assert [float(row["soft"]) for row in rows] == soft.tolist()
    lines = rows_of(tmp_path / "a.jsonl")
    assert [tuple(line["index"]) for line in lines] == places
    document = json.loads((tmp_path / "a.json").read_text())
    assert (document["slices"], document["shape"]) == (lines, [2, 3, 4])


@pytest.mark.parametrize("format", FORMATS)
def test_one_slice_and_none(tmp_path: Path, format: str) -> None:
    path, none = tmp_path / f"a.{format}", tmp_path / f"none.{format}"
    save(path, run_over((8, 16), (1, 0)), [PLANE.part(0, 1)], (8, 16))
    save(none, run_of(None, 4, has_ids=True), [slices_of([], ids=[])], (0, 4))
    if format == "npy":
        np.testing.assert_array_equal(np.load(path), np.array([3.125, 7.5]), strict=True)
        assert np.load(none).shape == (0,)
        return
    if format == "npz":
        with np.load(path) as npz, np.load(none) as empty:
            np.testing.assert_array_equal(npz["hard"], np.array([3, 7]), strict=True)
            assert npz["peak"].shape == ()
            assert {empty[name].shape for name in empty} == {(0,)}
        return
    (row,) = rows_of(path)
    assert rows_of(none) == []
    if format in ("json", "jsonl"):
        assert (row["index"], row["hard"]) == ([], [3, 7])
    else:
        assert list(row)[:3] == ["hard_0", "hard_1", "soft_0"]
        assert [float(value) for value in list(row.values())[:3]] == [3, 7, 3.125]


def test_more_rows_than_a_batch(tmp_path: Path) -> None:
    soft = (np.arange(33_000) / 3).tolist()
    for format in ("csv", "parquet"):
        path = tmp_path / f"a.{format}"
        save(path, run_of(33_000, 4), [slices_of(soft)], (33_000, 4))
        rows = rows_of(path)
        assert [int(row["index"]) for row in rows] == list(range(33_000))
        assert [float(row["soft"]) for row in rows] == soft


def test_infinity_is_null_in_json(tmp_path: Path) -> None:
    for format in ("jsonl", "json"):
        save(tmp_path / f"a.{format}", run_of(1, 4), [slices_of([math.inf])], (1, 4))
        assert "nfinity" not in (tmp_path / f"a.{format}").read_text()
        assert rows_of(tmp_path / f"a.{format}")[0]["soft"] is None


def test_parquet_as_pyarrow_polars_and_duckdb_see_it(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    run = run_over((None, 2), (1,), has_ids=True, labels=["cat", "dog"])
    save(path, run, [slices_of([1.0], ids=["x"]), slices_of([NAN], 1, ids=["y"])], (2, 2))
    table = pyarrow.parquet.read_table(path)
    types = {field.name: str(field.type) for field in table.schema}
    assert types == {
        **dict.fromkeys(NAMES, "double"),
        **dict.fromkeys(["index", "hard", "ties"], "int64"),
        **dict.fromkeys(["id", "label"], "string"),
        "agree": "bool",
        "multimodal": "bool",
    }
    assert table.column_names == ["index", "id", "hard", "label", *NAMES[1:]]
    said = json.loads(table.schema.metadata[b"softargmax"])
    assert (said["axis"], said["beta"], said["kind"], said["version"]) == ([1], 100.0, "scores", __version__)
    read = duckdb.sql(f"SELECT * FROM '{path}'")
    for rows in (
        pl.read_parquet(path).rows(named=True),
        [dict(zip(read.columns, row, strict=True)) for row in read.fetchall()],
    ):
        first, second = rows
        assert (first["id"], first["label"], first["hard"], first["soft"], first["agree"]) == ("x", "dog", 1, 1.0, True)
        assert (second["id"], second["label"], second["hard"]) == ("y", None, -1)
        assert math.isnan(second["soft"])


# Names


HOSTILE = ["", 'a,b\t"c"', "line\nend", "\x1b[31m\x9b1m", "%s %d {0}", "[bold]", "\u202eabc", "日本"]


@pytest.mark.parametrize("format", ["csv", "tsv", "json", "jsonl", "npz", "parquet"])
def test_names_come_back_unchanged(tmp_path: Path, format: str) -> None:
    path = tmp_path / f"a.{format}"
    labels = ["", 'x,"\n\r\t%d\x85']
    run = Run("%s\udcff\x1b", (None, 2), "float32", (1,), 100.0, "CPU", has_ids=True, labels=labels)
    more = {"several": True} if format == "jsonl" else {}
    first, rest = (slices_of([1.0] * len(ids), ids=ids) for ids in (HOSTILE[:2], HOSTILE[2:]))
    save(path, run, [first, replace(rest, start=2)], (len(HOSTILE), 2), **more)
    if format == "npz":
        with np.load(path, allow_pickle=False) as npz:
            assert npz["id"].tolist() == HOSTILE
        return
    rows = rows_of(path)
    if format in ("json", "jsonl"):
        text = path.read_bytes().decode("utf-8")
        assert not any(sign in text for sign in "\x1b\x85\x9b\u202e")
        assert (rows[0] if format == "jsonl" else json.loads(text))["input"] == run.input
    assert [row["id"] for row in rows] == HOSTILE
    assert {row["label"] for row in rows} == {'x,"\n\r\t%d\x85'}


# Formats and options


def test_names_of_formats() -> None:
    assert [format_of(f"a.b/c.{format.upper()}") for format in FORMATS] == list(FORMATS)
    for path in ("a.txt", "a", "-"):
        with pytest.raises(OptionError, match=r"\.npy \.npz \.csv \.tsv \.json \.jsonl.*format"):
            format_of(path)


def test_a_new_format_is_one_module_and_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class SumWriter(Writer):
        total = 0.0

        def put(self, slices: Slices) -> None:
            self.total += float(slices.column("soft").sum())

        def finish(self, summary: Summary, shape: tuple[int, ...]) -> None:
            self.stream.write(f"{self.total} of {shape}".encode())

    module = types.ModuleType("softargmax_cli.files.writers.sums")
    module.SumWriter = SumWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(FORMATS, "sum", "sums.SumWriter")
    save(tmp_path / "a.sum", run_of(None, 4), [slices_of([1.0]), slices_of([2.5], 1)], (2, 4))
    assert (tmp_path / "a.sum").read_text() == "3.5 of (2, 4)"


# Whole or not at all


@pytest.mark.parametrize("format", FORMATS)
def test_giving_up_leaves_the_old_file_alone(tmp_path: Path, format: str) -> None:
    path = tmp_path / f"a.{format}"
    path.write_bytes(b"old")
    sink = open_writer(str(path), format, run_of(None, 4), NAMES, force=True)
    with pytest.raises(KeyboardInterrupt), sink:  # noqa: PT012 - all of it may be interrupted
        sink.write(slices_of([1.0, 2.0]))
        assert path.read_bytes() == b"old"
        assert any(name.endswith(".softargmax-tmp") for name in names_in(tmp_path))
        raise KeyboardInterrupt
    sink.abort()
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == [f"a.{format}"]


def test_replacing_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match="exists") as caught:
        save(path, run_of(2, 4), [], (2, 4))
    assert as_typed(caught.value.remedy) == "replace it with --force"
    assert path.read_bytes() == b"old"
    save(path, run_of(2, 4), [slices_of([1.0, 2.0])], (2, 4), force=True)
    assert path.read_bytes() != b"old"
    assert names_in(tmp_path) == ["a.csv"]


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    with open_writer(str(path), "npy", run_of(1, 4), NAMES, force=False) as sink:
        sink.write(slices_of([1.0]))
        path.write_bytes(b"other")
        sink.end(Summary(), (1, 4))
        with pytest.raises(OutputError, match="exists"):
            sink.commit(Summary())
    assert path.read_bytes() == b"other"
    assert names_in(tmp_path) == ["a.npy"]


@posix
def test_modes(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        save(tmp_path / "new.csv", run_of(1, 4), [slices_of([1.0])], (1, 4))
        (tmp_path / "old.csv").touch()
        (tmp_path / "old.csv").chmod(0o606)
        save(tmp_path / "old.csv", run_of(1, 4), [slices_of([1.0])], (1, 4), force=True)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "new.csv").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "old.csv").stat().st_mode) == 0o606


@posix
def test_links_stay_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.csv").symlink_to("real/a.csv")
    (tmp_path / "twice.csv").symlink_to(tmp_path / "link.csv")
    save(tmp_path / "twice.csv", run_of(1, 4), [slices_of([1.0])], (1, 4))
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "twice.csv").is_symlink()
    assert names_in(tmp_path / "real") == ["a.csv"]
    with pytest.raises(OutputError, match="exists"):
        save(tmp_path / "link.csv", run_of(1, 4), [slices_of([1.0])], (1, 4))
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    with pytest.raises(OutputError, match=r"loop\.csv"):
        save(tmp_path / "loop.csv", run_of(1, 4), [slices_of([1.0])], (1, 4))


def test_targets_that_cannot_be(tmp_path: Path) -> None:
    for path, what in (
        (tmp_path, "is a directory"),
        (f"{tmp_path}/new/", "is a directory"),
        ("", "is a directory"),
    ):
        with pytest.raises(OutputError, match=what):
            save(path, run_of(1, 4), [], (1, 4), format="csv")
    assert names_in(tmp_path) == []


@posix
def test_the_longest_name(tmp_path: Path) -> None:
    name = "é" * 125 + "a.csv"  # of 255 bytes
    save(tmp_path / name, run_of(1, 4), [slices_of([1.0])], (1, 4))
    assert names_in(tmp_path) == [name]


# Streams and devices


@posix
@pytest.mark.parametrize("format", FORMATS)
def test_a_named_pipe(tmp_path: Path, format: str) -> None:
    path, got = tmp_path / "fifo", list[bytes]()
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()), daemon=True)
    reader.start()
    run = run_of(None, 4, has_ids=True)
    parts = [slices_of([1.0, NAN], ids=["a", "b"]), slices_of([3.0], 2, ids=["c"])]
    save(path, run, parts, (3, 4), format=format)
    reader.join(60)
    assert stat.S_ISFIFO(path.stat().st_mode)
    if format == "npz":
        with np.load(io.BytesIO(got[0]), allow_pickle=False) as npz:
            np.testing.assert_array_equal(npz["soft"], [1.0, NAN, 3.0])
            assert npz["id"].tolist() == ["a", "b", "c"]
    elif format == "npy":
        np.testing.assert_array_equal(np.load(io.BytesIO(got[0])), [1.0, NAN, 3.0])
    else:
        save(tmp_path / "same", run, parts, (3, 4), format=format)
        assert got[0] == (tmp_path / "same").read_bytes()


@posix
@pytest.mark.parametrize("format", ["csv", "npy", "parquet"])
def test_broken_pipe_stays_a_broken_pipe(tmp_path: Path, format: str) -> None:
    read, write = os.pipe()
    try:
        sink = open_writer(f"/dev/fd/{write}", format, run_of(None, 4), NAMES, force=False)
        os.close(read)
        with pytest.raises(BrokenPipeError), sink:  # noqa: PT012 - which of the two raises depends on the format
            sink.write(slices_of([1.0] * 100_000))
            sink.end(Summary(), (100_000, 4))
            sink.commit(Summary())
    finally:
        os.close(write)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
@pytest.mark.parametrize("format", FORMATS)
def test_full_device(tmp_path: Path, format: str) -> None:
    (tmp_path / "link").symlink_to("/dev/full")
    target = str(tmp_path / "link")
    with pytest.raises(OutputError, match="No space left") as caught:
        save(target, run_of(None, 4), [slices_of([1.0, 2.0])], (2, 4), format=format)
    assert caught.value.what.startswith(f"{target}: ")
    assert caught.value.remedy
    assert stat.S_ISCHR(os.stat(target).st_mode)


def test_standard_output(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    for name in ("-", "/dev/stdout") if os.name == "posix" else ("-",):
        for format in ("csv", "npy"):
            print("before", end="")
            save(name, run_of(None, 4), [slices_of([1.0, 2.0])], (2, 4), format=format)
            print("after", end="")
            sys.stdout.flush()
            got = capfdbinary.readouterr().out
            assert (got[:6], got[-5:]) == (b"before", b"after")
            if format == "npy":
                np.testing.assert_array_equal(np.load(io.BytesIO(got[6:-5])), [1.0, 2.0])
            else:
                save(tmp_path / "same", run_of(None, 4), [slices_of([1.0, 2.0])], (2, 4), format=format, force=True)
                assert got[6:-5] == (tmp_path / "same").read_bytes()
