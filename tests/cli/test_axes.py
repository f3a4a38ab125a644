"""One reduction for many layouts: several axes, costs and weights, coordinates of any unit, in every format."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from answers import assert_answered, numbers, table_cells
from command import TUTORIAL, TUTORIAL_CSV, Done, Inside
from oracle import softargmax as oracle

from softargmax_cli import reduce

FORMATS = ["csv", "tsv", "json", "jsonl", "npy", "npz"]
SHAPE = (3, 4, 5)
X = np.random.default_rng(21).normal(size=SHAPE)
BETA = 1.5
NOTE = (
    "softargmax: note: {}: slices sum to 1 (within {:.0e}) and look like probabilities; "
    "--kind probs takes them as weights\n"
)
PROBABILITIES = np.random.default_rng(22).dirichlet(np.ones(5), 7).round(6)
WITHIN = max(abs(PROBABILITIES.sum(axis=1) - 1).max(), 1e-6)
NO_WEIGHTS = "probabilities are 0 or more; --kind scores takes any numbers"
POLICIES = "use --nan omit to leave them out, or --nan propagate to mark their slices"


@pytest.fixture(scope="module")
def folder(shared_inside: Inside) -> Inside:
    """Arrays, coordinates, and what is no coordinate."""
    shared_inside.save("x.npy", X)
    np.save(shared_inside.folder / "fortran.npy", np.asfortranarray(X))
    shared_inside.save("t.npy", TUTORIAL)
    shared_inside.write("t.csv", TUTORIAL_CSV)
    shared_inside.save("probabilities.npy", PROBABILITIES)
    shared_inside.save("three.npy", [-1, 0.5, 1e6])
    shared_inside.write("four.csv", "3\n-1\n4\n1.5\n")
    shared_inside.write("five.csv", "unit\n0\n10\n20\n40\n80\n")
    return shared_inside


def refused(done: Done) -> list[str]:
    """The lines of an error of one to three lines, with nothing on standard output."""
    assert (done.code, done.raw) == (2, b"")
    lines = done.err.splitlines()
    assert 1 <= len(lines) <= 3
    return [lines[0].removeprefix("softargmax: error: "), *map(str.strip, lines[1:])]


# Several axes


def test_two_axes_in_every_format(folder: Inside) -> None:
    for format in FORMATS:
        done = folder("run", "x.npy", "--axis", "-2,-1", "--beta", str(BETA), "--format", format)
        assert assert_answered(done, format, oracle(X, (-2, -1), BETA)) in ([], [[0], [1], [2]])


def test_axes_in_any_order(folder: Inside) -> None:
    for name, *axes in (["x.npy", "--axis", "1,0"], ["fortran.npy", "--axis=-1,-2"], ["x.npy", "--axis", " 0 , -2,2"]):
        given = [int(axis) for axis in axes[-1].removeprefix("--axis=").split(",")]
        want = oracle(X, given, BETA)
        done = folder("run", name, *axes, "--beta", str(BETA), "--format", "json")
        assert assert_answered(done, "json", want) == [list(place) for place in np.ndindex(*want.peak.shape)]
        assert json.loads(done.out)["axis"] == [axis % 3 for axis in given]


def test_two_axes_in_a_table(folder: Inside) -> None:
    want = oracle(X, (2, 0), BETA).flat()
    done = folder("run", "x.npy", "--axis", "2,0", "--beta", str(BETA))
    assert (done.code, done.err) == (0, "")
    assert done.lines[0].startswith("x.npy · float64 3 × 4 × 5 · axes 2, 0 · β 1.5 (temperature 0.666667) · ")
    rows = table_cells(done)
    assert [row["slice"] for row in rows] == ["0", "1", "2", "3"]
    assert [numbers(row["hard"]) for row in rows] == want.hard.T.tolist()
    np.testing.assert_allclose([numbers(row["soft"]) for row in rows], want.soft.T, rtol=0, atol=1e-6)
    np.testing.assert_allclose([numbers(row["offset"]) for row in rows], want.offset.T, rtol=0, atol=1e-4)
    np.testing.assert_allclose([numbers(row["spread"]) for row in rows], want.spread.T, rtol=0, atol=1e-4)
    np.testing.assert_allclose([float(row["peak"]) for row in rows], want.peak, rtol=0, atol=1e-4)
    np.testing.assert_allclose([float(row["second"]) for row in rows], want.second, rtol=0, atol=1e-4)
    assert ["disagrees" in row["notes"] for row in rows] == (~want.agree).tolist()
    assert ["∩∩ two modes" in row["notes"] for row in rows] == want.multimodal.tolist()


def test_all_axes_are_one_slice(folder: Inside) -> None:
    want = oracle(X, (2, 1, 0), BETA)
    arguments = ["run", "x.npy", "--axis", "2,1,0", "--beta", str(BETA), "--format"]
    for format in ("npy", "csv"):
        assert_answered(folder(*arguments, format), format, want)
    header = folder(*arguments, "csv").lines[0]
    assert header.startswith("hard_0,hard_1,hard_2,soft_0,soft_1,soft_2,offset_0,")


@pytest.mark.parametrize(
    ("axes", "what"),
    [
        ("1,1", "x.npy: --axis 1,1: names one axis twice (shape (3, 4, 5))"),
        ("1,-2", "x.npy: --axis 1,-2: names one axis twice (shape (3, 4, 5))"),
        ("0,3", "x.npy: --axis 0,3: the array has 3 axes (shape (3, 4, 5))"),
        ("-4,0", "x.npy: --axis -4,0: the array has 3 axes (shape (3, 4, 5))"),
        ("9" * 25, f"x.npy: --axis {'9' * 25}: the array has 3 axes (shape (3, 4, 5))"),
        ("", "--axis '': not whole numbers"),
        ("1,", "--axis '1,': not whole numbers"),
        ("a", "--axis 'a': not whole numbers"),
        ("1;2", "--axis '1;2': not whole numbers"),
        ("\x1b[31m", r"--axis '\x1b[31m': not whole numbers"),
    ],
)
def test_axes_that_are_none(folder: Inside, axes: str, what: str) -> None:
    said = refused(folder("run", "x.npy", "--axis", axes))
    assert said[0] == what
    assert what.startswith("x.npy: ") or said[1] == "give an axis as 1, or several as -2,-1"


def test_an_axis_of_no_length_among_several(inside: Inside) -> None:
    inside.save("none.npy", np.zeros((4, 0, 5)))
    done = inside("run", "none.npy", "--axis", "0,2", "--format", "csv")
    assert (done.code, done.err, len(done.lines)) == (0, "", 1)
    done = inside("run", "none.npy", "--axis", "2,0", "--format", "npz", "-o", "y.npz")
    assert done.err == "0 slices\n"
    with np.load(inside.folder / "y.npz") as arrays:
        assert (arrays["soft"].shape, arrays["peak"].shape) == ((0, 2), (0,))
    what, *_ = refused(inside("run", "none.npy", "--axis", "0,1"))
    assert what == "none.npy: axis 1 has length 0 (shape (4, 0, 5)), so there is no maximum along it"


@pytest.mark.slow
def test_names_go_with_the_slices_that_stay(inside: Inside) -> None:
    x = np.array([[1, 5, 2], [4, 3, 2.5], [3, 1, 5], [0, 0, 0]])
    inside.write("s.csv", "name,left,middle,right\nr0,1,5,2\nr1,4,3,2.5\nr2,3,1,5\nr3,0,0,0\n")
    columns = dict(zip(("left", "middle", "right"), x.T, strict=True))
    pyarrow.parquet.write_table(pa.table({"name": ["r0", "r1", "r2", "r3"], **columns}), inside.folder / "s.parquet")
    for name, asked, part, axes, first in (
        ("s.csv", (), x, 1, "r0"),
        ("s.parquet", ("--axis", "0"), x, 0, "left"),
        ("-", ("--axis", "1,0"), x, (1, 0), None),
        ("s.csv", ("--select", "1:3,-1"), x[1:3, -1], 0, None),
        ("s.parquet", ("--select", "1:2,::-1"), x[1:2, ::-1], 1, "r1"),
    ):
        stdin = inside.read("s.parquet") if name == "-" else None
        given = [name, "--id-column", "name", "--beta", "2", *asked]
        done = inside("run", *given, "--format", "csv", stdin=stdin)
        assert_answered(done, "csv", oracle(part, axes, 2.0))
        assert next(csv.DictReader(done.lines)).get("id") == first
        assert inside("run", *given, "-o", "o.npz", "--force", "--quiet", stdin=stdin).code == 0
        with np.load(inside.folder / "o.npz") as arrays:
            assert ("id" in arrays) is (first is not None)
        done = inside("grad", *given, "--format", "csv", stdin=stdin)
        assert next(csv.DictReader(done.lines)).get("id") == first
    assert reduce(inside.folder / "s.parquet", axis=(0, 1), id_column="name").ids is None


# Costs and weights


def test_costs(folder: Inside) -> None:
    for axes in ("-1", "1,0"):
        given = ["x.npy", "--axis", axes, "--beta", "3", "--kind", "cost"]
        want = oracle(X, [int(axis) for axis in axes.split(",")], 3.0, kind="cost")
        assert_answered(folder("run", *given, "--format", "npz"), "npz", want)
        done = folder("run", *given)
        assert done.lines[1] == "cost: soft argmin"
        assert "β 3 (temperature 0.333333)" in done.lines[0]
    soft = folder("run", "t.csv", "--kind", "cost", "--format", "json")
    assert_answered(soft, "json", oracle(np.array(TUTORIAL), kind="cost"))
    assert json.loads(soft.out)["kind"] == "cost"


def test_weights(inside: Inside) -> None:
    x = np.random.default_rng(23).gamma(0.3, size=(2, 4, 6)) * 1e-3
    inside.save("x.npy", x)
    for axes in ("-1", "0,2"):
        given = ["x.npy", "--axis", axes, "--kind", "probs"]
        want = oracle(x, [int(axis) for axis in axes.split(",")], kind="probs")
        assert_answered(inside("run", *given, "--format", "npz"), "npz", want)
        done = inside("run", *given, "--format", "json")
        assert_answered(done, "json", want)
        document = json.loads(done.out)
        assert (document["kind"], document["beta"]) == ("probs", None)
        done = inside("run", *given)
        assert "β" not in done.out
        assert "temperature" not in done.out
        assert done.lines[1] == "probs: weights as they are"


def test_weights_have_no_beta(folder: Inside) -> None:
    what = "--kind probs takes weights as they are: they have no --beta and no --temperature"
    for given in (["--beta", "100"], ["--temperature", "1"]):
        said = refused(folder("run", "probabilities.npy", "--kind", "probs", *given, "-o", "never.csv"))
        assert said[0] == what
        assert "never.csv" not in folder.names()


def test_negative_weights(inside: Inside) -> None:
    """They are wrong whatever is to become of NaN."""
    nan, inf = math.nan, math.inf
    x = [[[1, 2, 3], [nan, 1, 2]], [[0, -0.0, 0], [3, 1, -1e-30]], [[-inf, 2, -5], [0, 0, 0]]]
    inside.save("x.npy", x)
    inside.write("x.csv", "0.5,0.5\n1,-0.25\n")
    for policy, more in (("error", []), ("omit", ["--window", "1"]), ("propagate", ["--axis", "0,2"])):
        given = ["--kind", "probs", "--nan", policy]
        said = refused(inside("run", "x.npy", *given, *more))
        assert said == ["x.npy: 3 negative weights, the first at index (1, 1, 2)", NO_WEIGHTS]
        assert refused(inside("run", "x.csv", *given)) == ["x.csv: 1 negative weight, at index (1, 1)", NO_WEIGHTS]


def test_weights_that_sum_to_nothing(inside: Inside) -> None:
    x = np.array([[[0.2, 0.3], [0, 0]], [[0.5, 0.5], [0, 0]], [[1, 2], [0, math.inf]]])
    inside.save("x.npy", x)
    first = "sum to 0, so there is nothing to normalise by; the first is slice (0, 1)"
    assert refused(inside("run", "x.npy", "--kind", "probs")) == [f"x.npy: 2 slices {first}", POLICIES]
    inside.save("one.npy", np.zeros(4))
    said = refused(inside("run", "one.npy", "--kind", "probs"))
    assert said == ["one.npy: 1 slice sums to 0, so there is nothing to normalise by", POLICIES]
    for policy, omit in (("omit", True), ("propagate", False)):
        for window in (None, 0):
            more = [] if window is None else ["--window", str(window)]
            done = inside("run", "x.npy", "--kind", "probs", "--nan", policy, *more, "--format", "jsonl")
            assert_answered(done, "jsonl", oracle(x, kind="probs", omit=omit, window=window))
    table = inside("run", "x.npy", "--kind", "probs", "--nan", "omit")
    assert ["∅ undefined" in row["notes"] for row in table_cells(table)] == [False, True, False, True, False, False]
    assert table.lines[-1].endswith(" · 2 undefined")


def test_scores_that_look_like_weights(folder: Inside) -> None:
    noted = folder("run", "probabilities.npy", "--format", "csv")
    assert (noted.code, noted.err) == (0, NOTE.format("probabilities.npy", WITHIN))
    assert "note" not in noted.out
    piped = folder("run", "-", stdin=folder.read("probabilities.npy"))
    assert (piped.code, piped.err) == (0, NOTE.format("<stdin>", WITHIN))
    for more in (["--quiet"], ["--kind", "probs"], ["--kind", "cost"]):
        assert folder("run", "probabilities.npy", *more, "--format", "csv").err == ""
    assert folder("run", "probabilities.npy", "--quiet", "--format", "csv").raw == noted.raw
    into_a_file = folder("run", "probabilities.npy", "-o", "y.npy", "--force")
    assert into_a_file.err.startswith("7 slices · ")
    assert into_a_file.err.endswith(NOTE.format("probabilities.npy", WITHIN))


def test_scores_that_do_not_look_like_weights(inside: Inside) -> None:
    inside.save("labels.npy", np.eye(4))  # one-hot: whatever they are, the answer is the same
    inside.save("sums.npy", [[0.5, 0.5, 0.1], [0.2, 0.2, 0.6]])
    inside.save("below.npy", [[1.5, -0.5], [0.5, 0.5]])
    inside.save("shares.npy", [[[0.1, 0.2], [0.3, 0.4]], [[0.25, 0.25], [0.5, 0]]])
    names = ["labels.npy", "sums.npy", "below.npy", "shares.npy"]
    assert inside("run", *names, "--format", "jsonl").err == ""
    together = inside("run", *names, "--axis", "-2,-1", "--format", "jsonl")
    assert (together.code, together.err) == (0, NOTE.format("shares.npy", 1e-6))


# Coordinates


@pytest.mark.parametrize("coords", ["corners", "centers"])
def test_coordinates(folder: Inside, coords: str) -> None:
    for axes in ("-1", "2,0"):
        order = [int(axis) for axis in axes.split(",")]
        given = ["x.npy", "--axis", axes, "--coords", coords, "--beta", str(BETA)]
        want = oracle(X, order, BETA, coords=coords)
        for format in ("npz", "json"):
            done = folder("run", *given, "--format", format)
            assert_answered(done, format, want, scale=[2 / SHAPE[k] for k in order])
        assert json.loads(done.out)["coords"] == coords
    stated = {"corners": "corners: −1 to 1 at the end indices", "centers": "centers: (2i + 1)/n − 1"}
    assert folder("run", *given).lines[1] == stated[coords]


@pytest.mark.parametrize(
    ("axes", "files", "values", "window"),
    [
        ("-1", "five.csv", [[0, 10, 20, 40, 80]], None),
        ("1,0", "four.csv,three.npy", [[3, -1, 4, 1.5], [-1, 0.5, 1e6]], 1),
    ],
)
def test_values(folder: Inside, axes: str, files: str, values: list[list[float]], window: int | None) -> None:
    places = [np.array(each) for each in values]
    given = ["x.npy", f"--axis={axes}", "--values", files, "--beta", str(BETA)]
    given += [] if window is None else ["--window", str(window)]
    want = oracle(X, [int(axis) for axis in axes.split(",")], BETA, values_of=places, window=window)
    done = folder("run", *given, "--format", "json")
    assert_answered(done, "json", want, scale=[float(np.ptp(each)) for each in places])
    assert json.loads(done.out)["coords"] == "values"
    stated = "values: coordinates as given" + ("" if window is None else " · window ±1")
    assert folder("run", *given).lines[1] == stated


def test_values_of_the_rows_of_a_csv(folder: Inside) -> None:
    x, places = np.array(TUTORIAL), [np.array([-1, 0.5, 1e6])]
    want = oracle(x, 0, 1.0, values_of=places)
    given = ["--axis", "0", "--values", "three.npy", "--beta", "1", "--format", "jsonl"]
    assert_answered(folder("run", "t.csv", *given), "jsonl", want, scale=1e6)
    assert_answered(folder("run", "-", *given, stdin=folder.read("t.csv")), "jsonl", want, scale=1e6)
    said = refused(folder("run", "t.csv", "--axis", "0", "--values", "four.csv"))
    assert said[0] == "t.csv: --values four.csv: 4 values for the 3 indices of axis 0"


@pytest.mark.parametrize(
    ("arguments", "what", "remedy"),
    [
        ("--values four.csv", "x.npy: --values four.csv: 4 values for the 5 indices of axis 2", None),
        ("--values t.npy", "--values t.npy: shape (3, 4): coordinates are one row or one column", None),
        ("--values four.cvs", "--values four.cvs: no such file", "did you mean four.csv?"),
        ("--values .", "--values .: a directory", None),
        ("--values -", "--values -: standard input is for the scores, not for coordinates", "name a file"),
        ("--values five.csv,three.npy", "x.npy: --values: 2 files for 1 axis", None),
        (
            "--values five.csv --axis 1,2",
            "x.npy: --values: 1 file for 2 axes",
            "give one for each axis, comma separated",
        ),
        (
            "--values five.csv,four.csv --axis 1,2",
            "x.npy: --values five.csv: 5 values for the 4 indices of axis 1",
            None,
        ),
        (
            "--values five.csv --coords corners",
            "--values and --coords corners both give coordinates",
            "give one of them",
        ),
        (
            "--coords pixels",
            "--coords: 'pixels' is not one of index, corners, centers, circular",
            "give one for all axes, or one for each as index,circular",
        ),
        ("--kind prob", "Invalid value for '--kind': ", None),
        ("--window -1", "Invalid value for '--window': ", None),
        ("--window 1.5", "Invalid value for '--window': ", None),
    ],
)
def test_what_cannot_be_asked(folder: Inside, arguments: str, what: str, remedy: str | None) -> None:
    said = refused(folder("run", "x.npy", *arguments.split(), "-o", "never.csv"))
    assert said[0].startswith(what)
    assert remedy is None or said[1] == remedy
    assert "never.csv" not in folder.names()


def test_one_length_does_not_fit_and_another_does(folder: Inside) -> None:
    done = folder("run", "t.npy", "x.npy", "missing.npy", "--values", "five.csv", "--format", "jsonl")
    assert done.code == 2
    assert {json.loads(line)["input"] for line in done.lines} == {"x.npy"}
    said = [line.removeprefix("softargmax: error: ") for line in done.err.splitlines() if not line.startswith(" ")]
    assert said == ["t.npy: --values five.csv: 5 values for the 4 indices of axis 1", "missing.npy: no such file"]


# All of it together


@pytest.mark.parametrize(("kind", "policy"), [("scores", "omit"), ("cost", "propagate"), ("probs", "omit")])
def test_everything_at_once(inside: Inside, kind: str, policy: str) -> None:
    """NaN, infinities, a window, two axes with values of their own, from a pipe."""
    x = np.random.default_rng(24).gamma(2.0, size=(6, 5, 7))
    x.reshape(-1)[::17] = math.nan
    x[:, 1, :] = math.nan
    x[0, 2, 3] = x[4, 2, 0] = math.inf
    x[:, 3, :] = {"scores": -math.inf, "cost": math.inf, "probs": 0}[kind]
    inside.save("x.npy", x)
    inside.save("rows.npy", np.arange(6) ** 2)
    inside.write("columns.csv", "1,2,4,8,16,32,64\n")
    given = ["-", "--axis", "-1,0", "--kind", kind, "--nan", policy, "--window", "2"]
    given += ["--values", "columns.csv,rows.npy", *([] if kind == "probs" else ["--beta", "2"])]
    places = [2.0 ** np.arange(7), np.arange(6.0) ** 2]
    want = oracle(x, (2, 0), 2.0, kind=kind, values_of=places, window=2, omit=policy == "omit")
    defined = (want.hard[0] >= 0).tolist()
    assert defined == ([True, False, True, False, True] if policy == "omit" else [False] * 5)
    done = inside("run", *given, "--format", "jsonl", stdin=inside.read("x.npy"))
    assert assert_answered(done, "jsonl", want, scale=[63, 25]) == [[k] for k in range(5)]
