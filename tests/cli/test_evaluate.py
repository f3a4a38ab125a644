"""`softargmax evaluate`: errors against a truth in every form, by NumPy's own percentiles."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from command import Done, Inside
from oracle import softargmax as oracle

Array = npt.NDArray[Any]
NUMBERS = ["mean_error", "median_error", "rmse", "p95_error", "max_error"]


def document(done: Done) -> Any:
    assert (done.code, done.err) == (0, ""), done.err
    return json.loads(done.out, parse_constant=pytest.fail)


def summed_up(errors: Array, truths: int, limits: list[float]) -> dict[str, Any]:
    """What is to be said of errors, some NaN, of so many slices with a truth."""
    known = errors[~np.isnan(errors)]
    numbers = [known.mean(), np.median(known), np.sqrt((known**2).mean()), np.percentile(known, 95), known.max()]
    within = {f"{limit:g}": np.count_nonzero(known <= limit) / truths for limit in limits}
    return {**dict(zip(NUMBERS, numbers, strict=True)), "within": within}


def assert_said(said: dict[str, Any], want: dict[str, Any]) -> None:
    assert said["within"] == want["within"]
    for name in NUMBERS:
        assert said[name] == pytest.approx(want[name], rel=1e-9, abs=1e-9)


def test_one_axis_with_slices_that_are_missing_or_undefined(inside: Inside) -> None:
    random = np.random.default_rng(1)
    x, truth = random.normal(size=(20, 30, 9)), random.integers(0, 9, size=(20, 30)).astype(float)
    x[3, 4, 5] = x[6, 7, 0] = np.nan
    truth[6, 7] = truth[8, 9] = np.nan
    inside.save("x.npy", x)
    inside.save("t.npy", truth)
    given = ("evaluate", "x.npy", "--beta", "3", "--nan", "propagate", "--truth", "t.npy", "--within", "2,0,0.5")
    found = document(inside(*given, "--format", "json"))
    assert list(found) == ["slices", "missing", "undefined", "estimates"]
    assert (found["slices"], found["missing"], found["undefined"]) == (600, 2, 1)
    want = oracle(x, -1, 3.0)
    errors = {
        "hard": np.where(want.hard[0] < 0, np.nan, abs(want.hard[0] - truth)),
        "soft": abs(want.soft[0] - truth),
    }
    for said in found["estimates"]:
        assert list(said) == ["name", *NUMBERS, "within"]
        assert_said(said, summed_up(errors[said["name"]], 598, [0, 0.5, 2]))

    rows = list(csv.DictReader(io.StringIO(inside(*given, "--format", "csv", "-o", "e.npz").out)))
    for row, said in zip(rows, found["estimates"], strict=True):
        flat = {**said, **{f"within_{limit}": share for limit, share in said["within"].items()}}
        assert row == {name: str(flat[name]) for name in row}
    written = np.load(inside.folder / "e.npz")
    assert sorted(written) == ["hard_error", "soft_error"]
    for name, error in errors.items():
        np.testing.assert_allclose(written[f"{name}_error"], error, rtol=0, atol=1e-10)
    assert inside(*given, "-o", "e.npy", "--quiet").code == 0
    np.testing.assert_array_equal(np.load(inside.folder / "e.npy"), written["soft_error"])


@pytest.mark.parametrize("axis", ["2,1", "-2,-1"])
def test_two_axes_in_every_form_of_a_truth(inside: Inside, axis: str) -> None:
    random = np.random.default_rng(2)
    x, truth = random.normal(size=(7, 6, 5)), random.normal(2, 1, size=(7, 2))
    truth[2, 1] = np.nan
    inside.save("x.npy", x)
    axes = [int(word) % 3 for word in axis.split(",")]
    want = oracle(x, axes, 2.0)
    errors = np.sqrt(((want.soft.T - truth) ** 2).sum(-1))
    first, second = truth.T.tolist()
    y, x_ = (second, first) if axes == [2, 1] else (first, second)
    inside.save("t.npy", truth)
    inside.write("order.csv", "a,b\n" + "".join(f"{a},{b}\n" for a, b in truth))
    inside.write("bare.csv", "".join(f"{a},{b}\n" for a, b in truth))
    inside.write("run.csv", "index,soft_1,soft_0\n" + "".join(f"{k},{b},{a}\n" for k, (a, b) in enumerate(truth)))
    inside.write("named.csv", "n,X,Y\n" + "".join(f"{k},{a},{b}\n" for k, (a, b) in enumerate(zip(x_, y, strict=True))))
    for name in ("t.npy", "order.csv", "bare.csv", "run.csv", "named.csv"):
        given = ("evaluate", "x.npy", "--axis", axis, "--beta", "2", "--truth", name, "--format", "json")
        done = inside(*given)
        if name == "named.csv":
            words = ", ".join({1: "y of axis 1", 2: "x of axis 2"}[k] for k in axes)
            assert done.err == f"softargmax: note: x.npy: --truth: columns are matched by their titles: {words}\n"
        elif name == "order.csv":
            words = f"a of axis {axes[0]}, b of axis {axes[1]}"
            assert done.err == f"softargmax: note: x.npy: --truth: columns are taken in their order: {words}\n"
        else:
            assert done.err == ""
        found = json.loads(done.out)
        assert (found["missing"], found["undefined"]) == (1, 0)
        assert_said(found["estimates"][1], summed_up(errors, 6, [1, 2, 4]))


def test_errors_are_in_coordinate_units(inside: Inside) -> None:
    x = np.random.default_rng(3).normal(size=(9, 4))
    inside.save("x.npy", x)
    inside.save("t.npy", np.zeros(4))
    inside.save("v.npy", [10, 20, 40, 80, 160, 320, 640, 1280, 2560])
    hard = x.argmax(0)
    for given, places in (
        (["--coords", "corners"], np.linspace(-1, 1, 9)),
        (["--values", "v.npy"], 10 * 2.0 ** np.arange(9)),
    ):
        found = document(inside("evaluate", "x.npy", "--axis", "0", *given, "--truth", "t.npy", "--format", "json"))
        assert_said(found["estimates"][0], summed_up(abs(places[hard]), 4, [1, 2, 4]))
    inside.write(
        "x.csv", "".join(",".join(map(repr, row)) + "\n" for row in x.tolist())
    )  # of rows that only its end tells
    given = ("evaluate", "x.csv", "--axis", "0", "--coords", "corners", "--no-header", "--truth", "t.npy")
    found = document(inside(*given, "--format", "json"))
    assert_said(found["estimates"][0], summed_up(abs(np.linspace(-1, 1, 9)[hard]), 4, [1, 2, 4]))


def test_angles_lie_apart_by_the_shorter_way(inside: Inside) -> None:
    random = np.random.default_rng(5)
    x, truth = random.normal(size=(40, 12, 4)), random.uniform(-20, 380, size=(40, 2))
    truth[:, 1] = 1
    inside.save("x.npy", x)
    inside.save("t.npy", truth)
    inside.save("v.npy", np.arange(0, 360, 30))
    given = ("--axis", "1,2", "--beta", "3", "--coords", "circular,index", "--values", "v.npy,0:4:1", "--period", "360")
    done = inside("evaluate", "x.npy", *given, "--truth", "t.npy", "--format", "json")
    p = np.exp(3 * (x - x.max((1, 2), keepdims=True)))
    p /= p.sum((1, 2), keepdims=True)
    angle = np.rad2deg(np.angle((p.sum(2) * np.exp(1j * np.deg2rad(np.arange(0, 360, 30)))).sum(1)))
    apart = np.abs((angle - truth[:, 0] + 180) % 360 - 180)
    errors = np.hypot(apart, (p.sum(1) * np.arange(4)).sum(1) - 1)
    assert_said(document(done)["estimates"][1], summed_up(errors, 40, [1, 2, 4]))


def test_rows_with_names(inside: Inside) -> None:
    inside.write("x.csv", "image,cat,dog,fox\nn1,5,0,0\nn2,0,5,0\nn3,0,5,0\n")
    inside.write("t.csv", "image,class\nn1,0\nn2,1\nn3,2\n")
    inside.write("other.csv", "class,id\n0,n1\n1,n2\n2,n4\n")
    given = ("evaluate", "x.csv", "--id-column", "image", "--within", "0.5")
    found = document(inside(*given, "--truth", "t.csv", "--worst", "2", "--format", "json", "-o", "e.csv"))
    assert [said["within"]["0.5"] for said in found["estimates"]] == pytest.approx([2 / 3, 2 / 3])
    assert [(each["id"], each["label"], each["truth"], each["hard_error"]) for each in found["worst"]] == [
        ("n3", "dog", 2, 1),
        ("n1", "cat", 0, 0),
    ]
    lines = inside.read("e.csv").decode().splitlines()
    assert (lines[0], lines[3]) == ("index,id,hard_error,soft_error", "2,n3,1.0,1.0")
    done = inside(*given, "--truth", "other.csv")
    assert (done.code, done.out) == (2, "")
    assert "other.csv: slice 2 is named 'n4' in the file and 'n3' in the input" in done.err


def test_what_run_wrote_is_a_truth(inside: Inside) -> None:
    inside.save("x.npy", np.random.default_rng(4).normal(size=(5, 4, 6)))
    for name in ("r.csv", "r.npz", "r.jsonl", "r.parquet"):
        assert inside("run", "x.npy", "--axis", "1,2", "-o", name).code == 0
        found = document(inside("evaluate", "x.npy", "--axis", "1,2", "--truth", name, "--format", "json"))
        assert found["estimates"][1]["max_error"] == 0


def test_the_table(inside: Inside) -> None:
    inside.save("x.npy", [[5.0, 0, 0, 0], [0, 0, 0, 9], [math.nan, 1, 2, 3], [1, 1, 0, 0], [0, 9, 0, 0]])
    inside.save("t.npy", [0, 1, 1, math.nan, 1.25])
    done = inside("evaluate", "x.npy", "--truth", "t.npy", "--nan", "propagate", "--worst", "2")
    assert (done.code, done.err) == (0, "")
    assert done.lines == [
        "x.npy · float64 5 × 4 · axis 1 · β 100 (temperature 0.01) · CPU",
        "",
        "estimate    mean  median    rmse     p95     max  within 1  within 2  within 4",
        "────────  ──────  ──────  ──────  ──────  ──────  ────────  ────────  ────────",
        "hard      0.7500  0.2500  1.1637  1.8250  2.0000    50.0 %    75.0 %    75.0 %",
        "soft      0.7500  0.2500  1.1637  1.8250  2.0000    50.0 %    75.0 %    75.0 %",
        "",
        "5 slices · 1 without a truth · 1 undefined",
        "",
        "slice  hard      soft   truth  hard_error  soft_error",
        "─────  ────  ────────  ──────  ──────────  ──────────",
        "    1     3  3.000000  1.0000      2.0000      2.0000",
        "    4     1  1.000000  1.2500      0.2500      0.2500",
    ]


def test_nothing_to_compare(inside: Inside) -> None:
    inside.save("x.npy", np.zeros((2, 3)))
    inside.save("t.npy", [math.nan, math.nan])
    found = document(inside("evaluate", "x.npy", "--truth", "t.npy", "--worst", "3", "--format", "json"))
    assert (found["slices"], found["missing"], found["worst"]) == (2, 2, [])
    assert found["estimates"][0] == {"name": "hard", **dict.fromkeys(NUMBERS), "within": dict.fromkeys("124")}
    assert inside("evaluate", "x.npy", "--truth", "t.npy").lines[4].split() == ["hard", *"–" * 8]


def test_several_inputs_are_judged_each_and_together(inside: Inside) -> None:
    random = np.random.default_rng(6)
    for folder in ("in", "true"):
        (inside.folder / folder).mkdir()
    errors = []
    for k, count in enumerate((5, 70)):
        x, truth = random.normal(size=(count, 6)), random.integers(0, 6, count)
        np.save(inside.folder / "in" / f"m{k}.npy", x)
        np.savetxt(inside.folder / "true" / f"m{k}.csv", truth)
        errors.append(abs(oracle(x, -1, 2.0).soft[0] - truth))
    given = ("evaluate", "in", "--truth", "true", "--beta", "2")
    found = document(inside(*given, "--worst", "1", "--format", "json", "-o", "e.csv"))
    assert [each["input"] for each in found["inputs"]] == ["in/m0.npy", "in/m1.npy"]
    for each, error in zip(found["inputs"], errors, strict=True):
        assert_said(each["estimates"][1], summed_up(error, len(error), [1, 2, 4]))
        assert each["worst"][0]["soft_error"] == pytest.approx(error.max())
    assert found["summary"]["slices"] == 75
    assert_said(found["summary"]["estimates"][1], summed_up(np.concatenate(errors), 75, [1, 2, 4]))
    rows = list(csv.DictReader(io.StringIO(inside.read("e.csv").decode())))
    assert [row["input"] for row in rows] == ["in/m0.npy"] * 5 + ["in/m1.npy"] * 70
    np.testing.assert_allclose([float(row["soft_error"]) for row in rows], np.concatenate(errors), atol=1e-9)
    rows = list(csv.DictReader(io.StringIO(inside(*given, "--format", "csv").out)))
    assert [(row["input"], row["name"]) for row in rows] == [
        (name, n) for name in ("in/m0.npy", "in/m1.npy", "all inputs") for n in ("hard", "soft")
    ]
    table = inside(*given).lines
    assert table[table.index("all inputs") - 2 : table.index("all inputs")] == ["70 slices", ""]
    assert table[-1] == "75 slices"

    (inside.folder / "true" / "m1.csv").unlink()
    done = inside(*given, "-o", "e.csv", "--force", "--format", "json")
    assert (done.code, json.loads(done.out)["summary"]["slices"]) == (2, 5)
    assert "error: in/m1.npy: --truth true has no file for it" in done.err
    assert inside.read("e.csv").decode().count("in/m1.npy") == 70  # as it was
    done = inside("evaluate", "in", "--truth", "true/m0.csv")
    assert (done.code, done.out) == (2, "")
    assert "true/m0.csv: holds one input, but several are compared" in done.err
    done = inside(*given, "-o", "true/", "--force")
    assert (done.code, done.out) == (2, "")
    assert "true/m0.csv: the result would replace what it is made of" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing option '--truth'"),
        (["--truth", "none.npy"], "none.npy: no such file\n  check the name"),
        (["--truth", "x.npy"], "--truth x.npy is the input itself"),
        (["--truth", "./x.npy"], "--truth ./x.npy is the input itself"),
        (["--truth", "long.npy"], "long.npy: shape (4,) is not that of the result, (3,)"),
        (["--truth", "t.npy", "--axis", "0,1"], "t.npy: shape (3,) is not that of the result, (2,)"),
        (["--truth", "short.csv"], "short.csv: holds 2 slices, the input has more"),
        (["--truth", "long.csv"], "long.csv: holds more slices than the input, which has 3"),
        (["--truth", "text.csv"], "text.csv: line 3, column 1"),
        (["--truth", "wide.csv"], "wide.csv: 2 columns of numbers: a, b, for 1 axis"),
        (
            ["--truth", "t.npy", "--within", "1,-2"],
            "--within '1,-2': not numbers of 0 or more\n  give distances as 1,2,4",
        ),
        (
            ["--truth", "t.npy", "--within", "nan"],
            "--within 'nan': not numbers of 0 or more\n  give distances as 1,2,4",
        ),
        (["--truth", "t.npy", "--within", ""], "--within '': not numbers of 0 or more\n  give distances as 1,2,4"),
        (["--truth", "t.npy", "--worst", "0"], "--worst"),
        (["--truth", "t.npy", "-o", "-"], "-o -: the errors of slices go to a file"),
        (["--truth", "t.npy", "-o", "e.zarr"], "e.zarr: the suffix .zarr names no output format"),
        (["--truth", "t.npy", "-o", "t.npy", "--force"], "t.npy: the result would replace what it is made of"),
        (["--truth", "t.npy", "-o", "long.csv"], "long.csv: the file exists"),
    ],
)
def test_bad_input(shared_inside: Inside, arguments: list[str], said: str) -> None:
    inside = shared_inside
    inside.save("x.npy", np.eye(3, 4))
    inside.save("t.npy", np.arange(3))
    inside.save("long.npy", np.arange(4))
    inside.write("short.csv", "a\n1\n2\n")
    inside.write("long.csv", "a\n1\n2\n3\n4\n")
    inside.write("text.csv", "a\n1\nmuch\n3\n")
    inside.write("wide.csv", "a,b\n1,2\n3,4\n5,6\n")
    names = inside.names()
    done = inside("evaluate", "x.npy", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("softargmax: error: ")
    assert said in done.err
    assert len(done.err.splitlines()) <= 3
    assert inside.names() == names


def test_the_sample_says_what_softness_gains(inside: Inside) -> None:
    samples = Path(__file__).parents[2] / "samples"
    given = (str(samples / "heatmaps.npy"), "--axis", "-2,-1", "--beta", "10", "--window", "4")
    found = document(inside("evaluate", *given, "--truth", str(samples / "keypoints.csv"), "--format", "json"))
    hard, soft = found["estimates"]
    assert (found["slices"], found["missing"], found["undefined"]) == (34, 1, 0)
    assert soft["median_error"] < hard["median_error"] / 10
