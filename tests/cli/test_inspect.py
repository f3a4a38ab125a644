"""`softargmax inspect`: what it says of real files, and that what it suggests works."""

from __future__ import annotations

import gzip
import json
import shlex
from typing import Any

import numpy as np
import pytest
from command import ROOT, TUTORIAL_CSV, Done, Inside, Softargmax

KEYS = [
    *("input", "format", "shape", "dtype", "order", "bytes", "delimiter", "header", "id_column", "members"),
    *("min", "max", "mean", "nan", "inf", "negative_inf", "slices_checked", "sums_to_one", "axis", "suggestion"),
]


def seen(command: Softargmax, *arguments: str, stdin: bytes | None = None) -> dict[str, Any]:
    """The one object that is printed; the command it suggests has been run."""
    done = command("inspect", *arguments, "--format", "json", stdin=stdin)
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    assert list(found) == KEYS
    if found["suggestion"] is not None:
        works(command, found["suggestion"], stdin)
    return found


def works(command: Softargmax, suggestion: str, stdin: bytes | None = None) -> Done:
    name, *words = shlex.split(suggestion)
    assert name == "softargmax"
    done = command(*words, stdin=stdin)
    assert done.code == 0, (suggestion, done.err)
    return done


@pytest.mark.parametrize(("dtype", "order"), [("?", "C"), ("<i4", "F"), ("f2", "C"), (">f8", "F")])
def test_arrays(inside: Inside, dtype: str, order: Any) -> None:
    values = (np.arange(60).reshape(3, 4, 5) % 7).astype(dtype).copy(order)
    np.save(inside.folder / "a.npy", values)
    found = seen(inside, "a.npy")
    assert found["format"] == "npy"
    assert (found["shape"], found["dtype"], found["order"]) == ([3, 4, 5], str(values.dtype), order)
    assert found["bytes"] == (inside.folder / "a.npy").stat().st_size
    assert (found["min"], found["max"]) == (values.min(), values.max())
    assert found["mean"] == pytest.approx(values.astype("f8").mean(), rel=1e-15)
    assert (found["nan"], found["inf"], found["negative_inf"]) == (0, 0, 0)
    assert (found["axis"], found["slices_checked"], found["sums_to_one"]) == ([2], 12, False)
    assert found["delimiter"] is found["header"] is found["id_column"] is None


@pytest.mark.parametrize(("axis", "order", "piped"), [("0", "C", True), ("-1", "F", False), ("0,2", "C", False)])
def test_probabilities_along_any_axis(
    inside: Inside, axis: str, order: Any, piped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("softargmax_cli.reduction.budget.BLOCK", 64)  # slices are cut
    axes = tuple(map(int, axis.split(",")))
    values = np.random.default_rng(0).random((4, 5, 6))
    np.save(inside.folder / "p.npy", (values / values.sum(axes, keepdims=True)).copy(order))
    found = seen(inside, "-" if piped else "p.npy", "--axis", axis, stdin=inside.read("p.npy") if piped else None)
    assert found["sums_to_one"] is True
    assert found["slices_checked"] == values.sum(axes).size
    assert "--kind probs" in found["suggestion"]
    other = seen(inside, "p.npy", "--axis", "0" if axis != "0" else "1")
    assert other["sums_to_one"] is False
    assert "probs" not in other["suggestion"]


def test_one_slice_that_does_not_sum_to_one(inside: Inside) -> None:
    values = np.full((3000, 4), 0.25, "f4")
    values[-1] = 0
    inside.save("p.npy", values, "f4")
    found = seen(inside, "p.npy")
    assert (found["sums_to_one"], found["slices_checked"]) == (False, 3000)
    assert "1 of 3,000 slices along axis 1 do not" in inside("inspect", "p.npy").out


def test_labels_are_no_probabilities(inside: Inside) -> None:
    inside.save("one_hot.npy", np.eye(5))
    found = seen(inside, "one_hot.npy")
    assert found["sums_to_one"] is True
    assert found["suggestion"] == "softargmax run one_hot.npy"


def test_gaps(inside: Inside) -> None:
    inside.save("a.npy", [[1, np.nan, np.inf], [-np.inf] * 3, [2, 3, 4]])
    found = seen(inside, "a.npy")
    assert (found["nan"], found["inf"], found["negative_inf"]) == (1, 1, 3)
    assert (found["min"], found["max"], found["mean"]) == (1, 4, 2.5)
    assert found["suggestion"] == "softargmax run a.npy --nan omit"


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), ()], ids=str)
def test_empty_arrays_and_single_numbers(inside: Inside, shape: tuple[int, ...]) -> None:
    inside.save("a.npy", np.ones(shape))
    found = seen(inside, "a.npy")
    assert found["shape"] == list(shape)
    assert found["sums_to_one"] is None
    assert (found["suggestion"] is None) == (shape != (0, 4))
    assert inside("inspect", "a.npy").code == 0


def test_heatmaps(inside: Inside) -> None:
    inside.save("h.npy", np.random.default_rng(0).random((2, 3, 16, 12)), "f4")
    found = seen(inside, "h.npy")
    assert (found["axis"], found["suggestion"]) == ([2, 3], "softargmax run h.npy --axis -2,-1")
    assert seen(inside, "h.npy", "--axis", "1")["suggestion"] == "softargmax run h.npy --axis 1"


TABLES = [
    (TUTORIAL_CSV, ",", None, None, ""),
    ("a;b\n1;2\n3;\n", ";", ["a", "b"], None, " --nan omit"),
    ("image\tcat\tdog\nx\t1\t2\ny\t3\t4\n", "\t", ["image", "cat", "dog"], "image", " --id-column image"),
    ("a name,p,q\nx,0.25,0.75\ny,0.5,0.5\n", ",", ["a name", "p", "q"], 1, " --id-column 1 --kind probs"),
    (",0,1,2\n0,0.5,0.1,0.2\n1,0.3,0.9,0.1\n", ",", ["", "0", "1", "2"], "", ""),  # pandas; 1 would be a title
    ("p,q,who\n1,2,x\n3,4,y\n", ",", ["p", "q", "who"], "who", " --id-column who"),
]


@pytest.mark.parametrize(("text", "delimiter", "header", "ids", "options"), TABLES)
def test_tables(inside: Inside, text: str, delimiter: str, header: list[str] | None, ids: Any, options: str) -> None:
    inside.write("t.csv", text)
    inside.write("t.csv.gz", gzip.compress(text.encode()))
    for name in ("t.csv", "t.csv.gz", "-") if header is None else ("t.csv",):
        found = seen(inside, name, stdin=text.encode() if name == "-" else None)
        assert found["format"] == ("csv.gz" if name.endswith("gz") else "csv")
        assert (found["delimiter"], found["header"], found["id_column"]) == (delimiter, header, ids)
        assert found["shape"][0] == text.count("\n") - (header is not None)
        assert (found["dtype"], found["order"]) == ("float64", None)
        assert found["suggestion"] == f"softargmax run {name}{options}"
        if name == "-":
            assert (found["input"], found["bytes"]) == ("<stdin>", None)


def test_options_of_tables_are_suggested_again(inside: Inside) -> None:
    inside.write("t.txt", "1 2\n3 4\n")
    found = seen(inside, "t.txt", "--delimiter", "space", "--no-header", "--id-column", "2")
    assert found["suggestion"] == "softargmax run t.txt --delimiter space --no-header --id-column 2"


def test_options_that_say_nothing_are_not_suggested(inside: Inside) -> None:
    inside.save("a.npy", [[1, 2]])
    np.savez(inside.folder / "a.npz", x=np.ones((1, 2)), y=np.ones(2))
    given = ["--key", "x", "--delimiter", ";", "--no-header", "--quick", "--format", "json", "--quiet"]
    for name, suggestion in (("a.npy", "softargmax run a.npy"), ("a.npz", "softargmax run a.npz --key x")):
        done = inside("inspect", name, *given)
        assert (done.code, json.loads(done.out)["suggestion"]) == (0, suggestion)


def test_quick_reads_the_head_only(inside: Inside) -> None:
    inside.write("t.csv", "a,b\n1,2\n" + "3,4\n" * 5000 + "x,y\n")
    done = inside("inspect", "t.csv", "--quick", "--format", "json")
    assert done.code == 0
    found = json.loads(done.out)
    assert found["shape"] == [None, 2]
    assert {found[name] for name in ("min", "max", "mean", "nan", "inf", "sums_to_one")} == {None}
    assert "shape      ? × 2\n" in inside("inspect", "t.csv", "--quick").out
    refused = inside("inspect", "t.csv")
    assert refused.code == 2
    assert "line 5003" in refused.err
    inside.write("comma.csv", "a;b\n" + "1.234,5;2,5\n" * 9)  # of which no command must be suggested that fails
    refused = inside("inspect", "comma.csv", "--quick")
    assert (refused.code, refused.out) == (2, "")
    assert "--decimal ," in refused.err


def test_lines_for_people(inside: Inside) -> None:
    inside.save("a.npy", [[1, 2], [3, 4]])
    lines = inside("inspect", "a.npy").lines
    assert lines[0] == "a.npy"
    assert lines[1] == "  format    npy 1.0"
    assert "  sum to 1  no: 2 of 2 slices along axis 1 do not" in lines
    assert lines[-1] == "  try       softargmax run a.npy"


@pytest.mark.parametrize("name", ["a b.npy", "it's.npy", "x\ny.npy", "\x1b[31mred.npy", "[bold]x.npy", "-a.npy"])
def test_hostile_names(inside: Inside, name: str) -> None:
    inside.save(name, [[1, 2]])
    done = inside("inspect", *(["--", name] if name.startswith("-") else [name]))
    assert done.code == 0, done.err
    assert "\x1b" not in done.out
    suggestion = done.lines[-1].removeprefix("  try       softargmax run ")
    assert "$'" in suggestion or shlex.split(suggestion) == [f"./{name}" if name[0] == "-" else name]


def test_hostile_headers(inside: Inside) -> None:
    inside.write("t.csv", "\x1b[31ma,[b]\n1,2\n")
    assert "\x1b" not in inside("inspect", "t.csv").out + inside("inspect", "t.csv", "--format", "json").out


def test_errors_leave_the_other_inputs(inside: Inside) -> None:
    inside.save("a.npy", [[1, 2]])
    done = inside("inspect", "none.npy", "a.npy", "--format", "json")
    assert done.code == 2
    assert json.loads(done.out)["input"] == "a.npy"
    assert done.err.startswith("softargmax: error: none.npy: no such file")


def test_an_axis_that_is_not_there(inside: Inside) -> None:
    inside.save("a.npy", [[1, 2]])
    done = inside("inspect", "a.npy", "--axis", "2")
    assert (done.code, done.out) == (2, "")
    assert "a.npy: --axis 2: the array has 2 axes" in done.err


@pytest.mark.slow
def test_tensorflow_is_not_loaded(softargmax: Softargmax) -> None:
    softargmax.save("a.npy", [[1, 2]])
    (softargmax.folder / "tensorflow.py").write_text("raise SystemExit('loaded')\n")
    done = softargmax("inspect", "a.npy", PYTHONPATH=f"{softargmax.folder}:{ROOT}")
    assert (done.code, done.err) == (0, "")
