"""`softargmax run`: the right numbers from every kind of input, under the promised names in every format."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from command import ROOT, TUTORIAL, TUTORIAL_CSV, Done, Inside

SAMPLES = ROOT / "samples"
FORMATS = ["csv", "tsv", "json", "jsonl", "npy", "npz"]
COLUMNS = ["hard", "soft", "offset", "peak", "second", "spread", "entropy", "ties", "agree", "multimodal"]
TUTORIAL_SOFT = [0.0, 0.9999546, 1.9999546]

Numbers = npt.NDArray[Any]


def soft_of(values: Any, beta: float = 100.0, axis: int = -1) -> Numbers:
    """Σ i softmax(β·x)ᵢ in float64."""
    x = np.moveaxis(np.asarray(values, "f8"), axis, -1)
    weights = np.exp(beta * (x - x.max(-1, keepdims=True)))
    found: Numbers = (weights * np.arange(x.shape[-1])).sum(-1) / weights.sum(-1)
    return found


def table_rows(done: Done, *, rows: int | None = None) -> list[list[str]]:
    """The cells below the rule of a table, split at runs of two spaces or more."""
    lines = done.lines
    rule = next(k for k, line in enumerate(lines) if line.startswith(("─", " ─")) or set(line) == set("─ "))
    body = lines[rule + 1 :]
    body = body[: body.index("")]
    return [re.split(r"\s{2,}", line.strip()) for line in body]


def read_table(done: Done) -> dict[str, list[float]]:
    rows = table_rows(done)
    return {"hard": [float(row[1]) for row in rows], "soft": [float(row[2]) for row in rows]}


def read_delimited(text: str, delimiter: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text), delimiter=delimiter))


def read_arrays(data: bytes) -> dict[str, Any]:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return dict(arrays)


def columns(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: [float(row[name]) for row in found] for name in ("hard", "soft")}


READERS: dict[str, Callable[[bytes], dict[str, Any]]] = {
    "csv": lambda data: columns(read_delimited(data.decode(), ",")),
    "tsv": lambda data: columns(read_delimited(data.decode(), "\t")),
    "json": lambda data: columns(json.loads(data)["slices"]),
    "jsonl": lambda data: columns([json.loads(line) for line in data.splitlines()]),
    "npy": lambda data: {"soft": np.load(io.BytesIO(data), allow_pickle=False)},
    "npz": read_arrays,
}


def assert_tutorial(found: dict[str, Any]) -> None:
    assert list(found.get("hard", [0, 1, 2])) == [0, 1, 2]
    np.testing.assert_allclose(found["soft"], TUTORIAL_SOFT, rtol=0, atol=1e-6)


# The tutorial's input, from everywhere to everywhere


@pytest.fixture(scope="module")
def tutorial(shared_inside: Inside) -> Inside:
    """A folder with the tutorial's input in every input format."""
    shared_inside.save("t.npy", TUTORIAL, "float32")
    shared_inside.save("double.npy", TUTORIAL)
    shared_inside.save("big_endian.npy", TUTORIAL, ">f4")
    np.save(shared_inside.folder / "fortran.npy", np.asfortranarray(TUTORIAL, "f4"))
    shared_inside.write("t.csv", TUTORIAL_CSV)
    shared_inside.write("t.tsv", TUTORIAL_CSV.replace(",", "\t"))
    shared_inside.write("t.csv.gz", gzip.compress(TUTORIAL_CSV.encode()))
    shared_inside.write("mark.csv", "\ufeff" + TUTORIAL_CSV)
    shared_inside.write("crlf.csv", TUTORIAL_CSV.replace("\n", "\r\n"))
    shared_inside.write("open_end.csv", TUTORIAL_CSV.rstrip())
    shared_inside.write("semicolon.txt", TUTORIAL_CSV.replace(",", ";"))
    return shared_inside


@pytest.fixture(scope="module")
def shown(tutorial: Inside) -> dict[str, Done]:
    """What each format shows of the tutorial's array."""
    return {format: tutorial("run", "t.npy", "--format", format) for format in ["table", *FORMATS]}


INPUTS = [
    *("t.npy", "double.npy", "big_endian.npy", "fortran.npy"),
    *("t.csv", "t.tsv", "t.csv.gz", "mark.csv", "crlf.csv", "open_end.csv", "semicolon.txt"),
]


def test_every_input_as_lines_of_json(tutorial: Inside) -> None:
    done = tutorial("run", *INPUTS, "--format", "jsonl")
    assert (done.code, done.err) == (0, "")
    found = [json.loads(line) for line in done.lines]
    for name in INPUTS:
        assert_tutorial(columns([row for row in found if row["input"] == name]))
    assert [row["input"] for row in found] == [name for name in INPUTS for _ in range(3)]
    assert [row["index"] for row in found] == [[0], [1], [2]] * len(INPUTS)


def test_every_format_on_stdout(shown: dict[str, Done]) -> None:
    for format, done in shown.items():
        assert (done.code, done.err) == (0, "")
        assert_tutorial(read_table(done) if format == "table" else READERS[format](done.raw))


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_in_a_file_and_through_a_pipe(tutorial: Inside, format: str) -> None:
    source = "t.csv" if format in ("json", "npy", "npz") else "t.npy"  # of a length that only the end tells, or known
    done = tutorial("run", source, "-o", f"written.{format}")
    assert (done.code, done.raw) == (0, b"")
    tied = "" if format == "npy" else " · 0 tied · 0 multi-modal"
    assert done.err == f"3 slices · max |offset| 4.5e-05 · mean |offset| 3.0e-05 · agreement 100 %{tied}\n"
    assert_tutorial(READERS[format](tutorial.read(f"written.{format}")))
    done = tutorial("run", "-", "--format", format, stdin=TUTORIAL_CSV.encode())
    assert (done.code, done.err) == (0, "")
    assert_tutorial(READERS[format](done.raw))


def test_stdin(tutorial: Inside) -> None:
    for name in ("fortran.npy", "t.csv.gz"):
        with open(tutorial.folder / name, "rb") as file:
            redirected = tutorial("run", "-", stdin=file)
        for done in (redirected, tutorial("run", "-", stdin=tutorial.read(name))):
            assert (done.code, done.err) == (0, "")
            assert done.lines[0].startswith("<stdin> · float")
            assert_tutorial(read_table(done))


# Names, order and shapes


def test_fields_of_a_plain_array(shown: dict[str, Done]) -> None:
    done = shown["csv"]
    assert done.lines[0] == "index,hard,soft,offset,peak,second,spread,entropy,ties,agree,multimodal"
    assert done.lines[1] == "0,0,0.0,0.0,1.0,0.0,0.0,0.0,1,true,false"
    assert shown["tsv"].lines[0].split("\t") == ["index", *COLUMNS]
    first = json.loads(shown["jsonl"].lines[0])
    assert list(first) == ["index", *COLUMNS]
    zeros = dict.fromkeys(("hard", "soft", "offset", "second", "spread", "entropy"), 0)
    assert first == {**zeros, "index": [0], "peak": 1.0, "ties": 1, "agree": True, "multimodal": False}
    arrays = read_arrays(shown["npz"].raw)
    assert list(arrays) == COLUMNS
    assert {name: (array.dtype.str, array.shape) for name, array in arrays.items()} == {
        name: ({"hard": "<i8", "ties": "<i8", "agree": "|b1", "multimodal": "|b1"}.get(name, "<f8"), (3,))
        for name in COLUMNS
    }


def test_json_document(tutorial: Inside, shown: dict[str, Done]) -> None:
    of_a_table = tutorial("run", "t.csv", "--format", "json")
    for name, dtype, done in (("t.npy", "float32", shown["json"]), ("t.csv", "float64", of_a_table)):
        document = json.loads(done.out)
        keys = ["input", "dtype", "axis", "beta", "kind", "coords", "window", "device", "slices", "shape", "summary"]
        assert list(document) == keys
        assert [document[key] for key in ("kind", "coords", "window")] == ["scores", "index", None]
        assert [document[key] for key in ("input", "dtype", "axis", "beta", "shape")] == [name, dtype, 1, 100.0, [3, 4]]
        assert re.fullmatch(r"CPU|GPU:\d", document["device"])
        assert list(document["slices"][0]) == ["index", *COLUMNS]
        summary = document["summary"]
        offsets = ["max_abs_offset", "mean_abs_offset"]
        assert list(summary) == ["slices", *offsets, "agreement", "tied", "multimodal", "undefined"]
        want = np.abs(soft_of(TUTORIAL) - [0, 1, 2])
        assert [summary[key] for key in ("slices", "agreement", "tied", "multimodal", "undefined")] == [3, 1.0, 0, 0, 0]
        assert summary["max_abs_offset"] == pytest.approx(want.max(), abs=1e-7)
        assert summary["mean_abs_offset"] == pytest.approx(want.mean(), abs=1e-7)


def test_class_scores(inside: Inside) -> None:
    path = str(SAMPLES / "class_scores.csv")
    with open(path, encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    names, classes = [row[0] for row in rows], header[1:]
    scores = np.array([[float(cell) for cell in row[1:]] for row in rows])
    hard, soft = scores.argmax(1), soft_of(scores, 10.0)
    top = np.sort(scores, axis=1)[:, ::-1]
    weights = np.exp(10 * scores) / np.exp(10 * scores).sum(1, keepdims=True)
    two_modes = np.where(abs(np.arange(8) - hard[:, None]) > 1, weights, 0).max(1) >= 0.25
    assert two_modes.sum() == 1

    table = inside("run", path, "--id-column", "image", "--beta", "10")
    assert (table.code, table.err) == (0, "")
    assert table.lines[0].startswith(f"{path} · float64 20 × 8 · axis 1 · β 10 (temperature 0.1) · ")
    assert " ".join(table.lines[2].split()) == "slice id hard label soft offset peak second spread scores"
    cells = table_rows(table)
    assert [row[:4] for row in cells] == [[str(k), names[k], str(hard[k]), classes[hard[k]]] for k in range(20)]
    np.testing.assert_allclose([float(row[4]) for row in cells], soft, rtol=0, atol=1e-6)
    marks = [" ".join(row[10:]) for row in cells]
    assert [("disagrees" in mark, "= 2 tied" in mark) for mark in marks] == [
        (abs(soft[k] - hard[k]) >= 0.5, top[k, 0] == top[k, 1]) for k in range(20)
    ]
    assert ["∩∩ two modes" in mark for mark in marks] == two_modes.tolist()
    assert sum("≠ disagrees" in mark for mark in marks) > 0
    assert table.lines[-1].startswith("20 slices · max |offset| ")
    assert table.lines[-1].endswith(" · 1 tied · 1 multi-modal")

    done = inside("run", path, "--id-column", "1", "--beta", "10", "--format", "csv")
    found = read_delimited(done.out, ",")
    assert list(found[0]) == ["index", "id", "hard", "label", *COLUMNS[1:]]
    assert [(row["id"], row["label"]) for row in found] == [(names[k], classes[hard[k]]) for k in range(20)]
    objects = [json.loads(line) for line in inside("run", path, "--id-column", "image", "--format", "jsonl").lines]
    assert list(objects[0]) == ["index", "id", "hard", "label", *COLUMNS[1:]]
    assert [row["id"] for row in objects] == names
    arrays = read_arrays(inside("run", path, "--id-column", "image", "--beta", "10", "--format", "npz").raw)
    assert list(arrays) == ["id", *COLUMNS]
    assert arrays["id"].tolist() == names
    np.testing.assert_allclose(arrays["soft"], soft, rtol=0, atol=1e-10)


def test_one_axis(inside: Inside) -> None:
    inside.save("v.npy", np.arange(4))
    want = 2.4926527345857696  # from SciPy's documented softmax of arange(4)
    assert np.load(io.BytesIO(inside("run", "v.npy", "--beta", "1", "--format", "npy").raw)).shape == ()
    first = json.loads(inside("run", "v.npy", "--beta", "1", "--format", "jsonl").out)
    assert list(first) == ["index", *COLUMNS]
    assert (first["index"], first["hard"]) == ([], 3)
    assert first["soft"] == pytest.approx(want, abs=1e-11)
    done = inside("run", "v.npy", "--beta", "1", "--format", "csv")
    assert done.lines[0].split(",") == COLUMNS
    table = inside("run", "v.npy", "--beta", "1")
    assert table.lines[2].split() == ["hard", "soft", "offset", "peak", "second", "spread", "scores"]
    assert table.lines[4].split()[:2] == ["3", "2.492653"]
    assert table.lines[-1].startswith("1 slice · ")


def test_no_slices(inside: Inside) -> None:
    inside.save("none.npy", np.zeros((0, 5)))
    shown = {format: inside("run", "none.npy", "--format", format) for format in ("table", *FORMATS)}
    assert {(done.code, done.err) for done in shown.values()} == {(0, "")}
    assert shown["table"].lines[0].startswith("none.npy · float64 0 × 5 · axis 1 · ")
    assert shown["table"].lines[2:] == ["0 slices"]
    assert [shown[format].lines[0].split(by) for format, by in (("csv", ","), ("tsv", "\t"))] == [
        ["index", *COLUMNS]
    ] * 2
    document = json.loads(shown["json"].out)
    assert (document["slices"], document["shape"], document["summary"]["slices"]) == ([], [0, 5], 0)
    assert document["summary"]["max_abs_offset"] is None
    assert shown["jsonl"].out == ""
    assert np.load(io.BytesIO(shown["npy"].raw)).shape == (0,)
    assert {name: array.shape for name, array in read_arrays(shown["npz"].raw).items()} == dict.fromkeys(COLUMNS, (0,))


# Options


def test_temperature_is_one_over_beta(tutorial: Inside) -> None:
    by_beta = tutorial("run", "t.npy", "--beta", "4")
    assert "β 4 (temperature 0.25) · " in by_beta.lines[0]
    assert tutorial("run", "t.npy", "--temperature", "0.25").raw == by_beta.raw
    np.testing.assert_allclose(read_table(by_beta)["soft"], soft_of(TUTORIAL, 4.0), rtol=0, atol=1e-5)


def test_bytes_behind_an_array_in_a_pipe_are_noted_once(inside: Inside) -> None:
    inside.save("x.npy", TUTORIAL)
    one = inside.read("x.npy")
    for command in (
        ["run", "-"],
        ["run", "-", "--beta", "auto", "--tol", "1"],  # which reads it again
        ["inspect", "-"],
    ):
        for more, noted in ((b"", 0), (one, 1)):
            done = inside(*command, stdin=one + more)
            assert done.code == 0, done.err
            assert done.err.count("softargmax: note: <stdin>: ") >= noted
            assert done.err.count("after the array are ignored") == noted, (command, done.err)
    assert inside("run", "-", "--quiet", stdin=one + one).err == ""


def test_rows_of_the_table(inside: Inside) -> None:
    inside.save("x.npy", np.eye(45, 3))
    usual, few, all_of_them = (inside("run", "x.npy", *rows) for rows in ([], ["--rows", "2"], ["--rows", "0"]))
    assert len(table_rows(usual)) == 21
    assert usual.lines[-3] == "… and 25 more slices"
    assert few.lines[-4].split()[0] == "1"
    assert few.lines[-3] == "… and 43 more slices"
    assert [row[0] for row in table_rows(all_of_them)] == [str(k) for k in range(45)]
    assert "more" not in all_of_them.out
    assert usual.lines[-1] == few.lines[-1] == all_of_them.lines[-1]


# NaN and infinities


@pytest.fixture(scope="module")
def with_nan(shared_inside: Inside) -> Inside:
    shared_inside.save("nan.npy", [[1, 2, 3], [4, math.nan, 0], [math.nan, math.nan, math.nan], [0, 1, math.nan]])
    shared_inside.write("nan.csv", "1,2,3\n4,,0\nnan,NaN,NA\n0,1,null\n")
    return shared_inside


def test_nan_is_an_error_with_its_place(with_nan: Inside) -> None:
    for name, place in (("nan.npy", "at index (1, 1)"), ("nan.csv", "in line 2, column 2")):
        done = with_nan("run", name, "-o", "never.csv")
        assert (done.code, done.raw) == (2, b"")
        assert done.err == (
            f"softargmax: error: {name}: 5 NaNs, the first {place}\n"
            "  use --nan omit to leave them out, or --nan propagate to mark their slices\n"
        )
        assert not any("never" in found for found in with_nan.names())
        assert with_nan("run", name, "--format", "csv").raw == b""


def test_nan_propagated(with_nan: Inside) -> None:
    for name in ("nan.npy", "nan.csv"):
        done = with_nan("run", name, "--nan", "propagate", "--format", "json")
        assert (done.code, done.err) == (0, "")
        document = json.loads(done.out, parse_constant=pytest.fail)
        empty = {"hard": -1, "ties": 0, "agree": False, "multimodal": False}
        empty |= dict.fromkeys(("soft", "offset", "peak", "second", "spread", "entropy"))
        assert [{key: row[key] for key in empty} for row in document["slices"][1:]] == [empty] * 3
        assert document["slices"][0]["hard"] == 2
        assert document["summary"]["undefined"] == 3
    text = with_nan("run", "nan.csv", "--nan", "propagate", "--format", "csv")
    assert text.lines[2:] == [f"{k},-1,nan,nan,nan,nan,nan,nan,0,false,false" for k in (1, 2, 3)]
    table = with_nan("run", "nan.npy", "--nan", "propagate")
    assert table_rows(table)[1] == ["1", "–", "–", "–", "–", "–", "–", "█ ▁", "∅ undefined"]
    assert table.lines[-1].endswith(" · 3 undefined")
    soft = np.load(io.BytesIO(with_nan("run", "nan.npy", "--nan", "propagate", "--format", "npy").raw))
    assert np.isnan(soft).tolist() == [False, True, True, True]


def test_infinities(inside: Inside) -> None:
    inf = math.inf
    inside.save("x.npy", [[0, inf, inf], [-inf, 7, -inf], [3e38, -3e38, 0]], "float32")
    done = inside("run", "x.npy", "--format", "npz")
    assert (done.code, done.err) == (0, "")
    arrays = read_arrays(done.raw)
    assert arrays["soft"].tolist() == [1.5, 1.0, 0.0]
    assert arrays["hard"].tolist() == [1, 1, 0]
    assert arrays["ties"].tolist() == [2, 1, 1]
    inside.save("low.npy", [[1, 2], [-inf, -inf]])
    done = inside("run", "low.npy")
    assert (done.code, done.raw) == (2, b"")
    assert done.err.startswith("softargmax: error: low.npy: 1 slice holds nothing but -inf; the first is slice 1\n")


# Several inputs


def test_the_good_ones_are_done(inside: Inside) -> None:
    inside.save("good.npy", TUTORIAL)
    inside.save("nan.npy", [[math.nan, 1]])
    inside.write("ragged.csv", "1,2\n3\n")
    names = ["good.npy", "nan.npy", "missing.npy", "ragged.csv", "good.npy"]
    done = inside("run", *names)
    assert done.code == 2
    errors = [line for line in done.err.splitlines() if not line.startswith("  ")]
    assert [re.match("softargmax: error: ([a-z.]+): ", line)[1] for line in errors] == names[1:-1]  # type: ignore[index]
    table = inside("run", "good.npy").out
    assert done.out == f"{table}\n{table}"
    done = inside("run", *names[:-1], "-o", "./", "--format", "jsonl")
    assert (done.code, done.raw) == (2, b"")
    assert inside.names() == {"good.npy", "nan.npy", "ragged.csv", "good.jsonl"}
    assert done.err.splitlines()[0].startswith("good.npy: 3 slices · ")


# Files written


def test_file_and_table_at_once(inside: Inside) -> None:
    inside.save("x.npy", TUTORIAL)
    done = inside("run", "x.npy", "-o", "y.csv", "--format", "table")
    assert (done.code, done.err) == (0, "")
    assert done.raw == inside("run", "x.npy").raw
    assert_tutorial(READERS["csv"](inside.read("y.csv")))


def test_an_existing_file_stays_without_force(inside: Inside) -> None:
    inside.save("x.npy", TUTORIAL)
    inside.write("y.csv", b"precious\x00")
    for extra in ([], ["--format", "npz"]):
        done = inside("run", "x.npy", "-o", "y.csv", *extra)
        assert (done.code, done.raw) == (2, b"")
        assert done.err == "softargmax: error: y.csv: the file exists\n  replace it with --force\n"
        assert inside.read("y.csv") == b"precious\x00"
    done = inside("run", "x.npy", "-o", "y.csv", "--force")
    assert done.code == 0
    assert_tutorial(READERS["csv"](inside.read("y.csv")))
    assert inside.names() == {"x.npy", "y.csv"}


def test_output_over_its_own_input(inside: Inside) -> None:
    inside.save("x.npy", TUTORIAL)
    inside.write("x.csv", TUTORIAL_CSV)
    for name in ("x.npy", "x.csv"):
        (inside.folder / f"link.{name[-3:]}").symlink_to(name)
        before = inside.read(name)
        for output in (f"./{name}", f"link.{name[-3:]}"):
            done = inside("run", name, "-o", output, "--force")
            what = f"softargmax: error: {output}: the result would replace what it is made of"
            assert (done.code, done.err.splitlines()[0]) == (2, what)
        assert inside.read(name) == before
