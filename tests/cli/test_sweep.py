"""`softargmax sweep` and `run --beta auto`, held to what `check` and `run` say of the β that they find."""

from __future__ import annotations

import csv
import io
import json
import shlex
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pytest
from command import Done, Inside
from oracle import softargmax as oracle

from softargmax_cli.report.plots import BLUE, ORANGE

Array = npt.NDArray[Any]

NAMES = ["beta", "max_abs_offset", "mean_abs_offset", "agreement", "mean_spread", "mean_gradient_norm"]


def document(done: Done) -> dict[str, Any]:
    assert (done.code, done.err) == (0, "")
    read: dict[str, Any] = json.loads(done.out)
    assert list(read) == ["betas", "recommended_beta"]
    assert all(list(at) == NAMES for at in read["betas"])
    return read


def random_file(seed: int) -> tuple[Array, list[str], float]:
    """Scores of some shape and scale, what is asked of them, and a tolerance that some β reaches."""
    random = np.random.default_rng(seed)
    dims = int(random.integers(1, 4))
    shape = tuple(int(n) for n in random.integers(2, (60, 40, 14)[dims - 1], dims))
    dtype = ("f4", "f8")[seed % 2]
    x = random.normal(size=shape).astype(dtype) * scale(random)
    axes = random.permutation(dims)[: int(random.integers(1, dims + 1))].tolist()
    given = ["--axis", ",".join(map(str, axes))]
    given += ["--window", str(random.integers(1, 6))] if random.random() < 0.4 else []
    given += ["--kind", "cost"] if random.random() < 0.4 else []
    given += ["--coords", str(random.choice(["corners", "centers"]))] if random.random() < 0.3 else []
    return x.astype(dtype), given, float(random.choice([0.001, 0.01, 0.05]))


def scale(random: np.random.Generator) -> float:
    return float(10 ** random.uniform(-1, 1.5))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 5])
def test_check_passes_at_the_recommended_beta_and_fails_below(inside: Inside, seed: int) -> None:
    x, given, tol = random_file(seed)
    inside.save("x.npy", x, x.dtype.name)
    tolerance = ["--tol", str(tol)]
    beta = document(inside("sweep", "x.npy", *given, *tolerance, "--format", "json"))["recommended_beta"]
    if beta is None:  # a near tie; then none up to the last does
        assert inside("check", "x.npy", *given, *tolerance, "--beta", "100000").code == 1
        return
    assert inside("check", "x.npy", *given, *tolerance, "--beta", repr(beta)).code == 0
    assert inside("check", "x.npy", *given, *tolerance, "--beta", repr(0.95 * beta)).code == 1
    run = inside("run", "x.npy", *given, "--beta", "auto", *tolerance, "--format", "json")
    assert (run.code, json.loads(run.out)["beta"]) == (0, beta)
    assert f"--beta auto: β {beta:.10g} keeps soft within {tol:g} of hard" in run.err


def test_offsets_that_rise_and_fall_with_beta(inside: Inside) -> None:
    """Equal weights to either side bring soft back to hard for small β, and the scores between away from it."""
    inside.save("x.npy", [[3, 0, 0, 0, 2.9, 3.2, 0, 0, 0, 0, 3.0]], "float64")
    found = document(inside("sweep", "x.npy", "--tol", "0.1", "--format", "json"))
    good = [at["max_abs_offset"] <= 0.1 for at in found["betas"]]
    assert good[0]
    assert not all(good)
    beta = found["recommended_beta"]
    assert inside("check", "x.npy", "--tol", "0.1", "--beta", repr(beta)).code == 0


def test_every_number_of_every_format(inside: Inside) -> None:
    x = np.random.default_rng(3).normal(size=(30, 25)).astype("f4")
    inside.save("x.npy", x, "float32")
    betas = ["--betas", "0.5,40,7"]
    found = document(inside("sweep", "x.npy", *betas, "--format", "json"))
    for at, beta in zip(found["betas"], (0.5, 7, 40), strict=True):
        want = oracle(x, -1, beta)
        assert at["beta"] == beta
        assert at["max_abs_offset"] == pytest.approx(abs(want.offset).max(), abs=1e-5)
        assert at["mean_abs_offset"] == pytest.approx(abs(want.offset).mean(), abs=1e-5)
        assert at["agreement"] == want.agree.mean()
        assert at["mean_spread"] == pytest.approx(want.spread.mean(), abs=1e-5)
    rows = [[at[name] for name in NAMES] for at in found["betas"]]
    for format, delimiter in (("csv", ","), ("tsv", "\t")):
        done = inside("sweep", "x.npy", *betas, "-o", f"out.{format}")
        assert (done.code, done.out) == (0, "")
        assert done.err.startswith("no β tried keeps soft within 0.01 of hard: ")
        header, *cells = csv.reader(io.StringIO(inside.read(f"out.{format}").decode()), delimiter=delimiter)
        assert (header, [[float(cell) for cell in row] for row in cells]) == (NAMES, rows)
    assert "exists" in inside("sweep", "x.npy", *betas, "-o", "out.csv").err
    assert inside("sweep", "x.npy", *betas, "-o", "out.csv", "--force", "--quiet").err == ""


def test_the_range_is_spaced_in_equal_ratios(inside: Inside) -> None:
    inside.save("x.npy", [[1, 2, 4]])
    found = document(inside("sweep", "x.npy", "--betas", "0.1:1000:9", "--format", "json"))
    assert [at["beta"] for at in found["betas"]] == [0.1, 0.316, 1.0, 3.16, 10.0, 31.6, 100.0, 316.0, 1000.0]
    lowest = document(inside("sweep", "x.npy", "--betas", "50,100", "--format", "json"))
    assert lowest["recommended_beta"] == 50  # the range is the user's
    assert "the smallest tried" in inside("sweep", "x.npy", "--betas", "50,100").out
    beta = document(inside("sweep", "x.npy", "--tol", "1.9", "--format", "json"))["recommended_beta"]
    assert beta == 0.1  # 5/3 off at worst: any will do


def test_below_the_usual_range(inside: Inside) -> None:
    inside.save("x.npy", np.random.default_rng(0).normal(size=(20, 9)) * 1e4)
    beta = document(inside("sweep", "x.npy", "--format", "json"))["recommended_beta"]
    assert beta < 0.1
    assert [inside("check", "x.npy", "--beta", repr(b)).code for b in (beta, 0.95 * beta)] == [0, 1]


def test_a_pipe_and_a_table_with_names(inside: Inside) -> None:
    rows = np.random.default_rng(8).normal(size=(12, 6)).round(3)
    text = "id,a,b,c,d,e,f\n" + "".join(f"r{k}," + ",".join(map(str, row)) + "\n" for k, row in enumerate(rows))
    inside.write("x.csv", text)
    for command in ("sweep", "run --beta auto"):
        given = [*command.split(), "--id-column", "id", "--format", "json"]
        by_file, by_pipe = inside(*given, "x.csv"), inside(*given, "-", stdin=text.encode())
        assert (by_file.code, by_pipe.code) == (0, 0)
        assert by_pipe.out.replace("<stdin>", "x.csv") == by_file.out
    assert [at["id"] for at in json.loads(by_pipe.out)["slices"]] == [f"r{k}" for k in range(12)]


def test_what_the_table_says(inside: Inside) -> None:
    inside.save("scores of.npy", [[5, 2, 1, 2], [3.9, 4, 1, 2], [2, 5.9, 6, 2]], "float32")
    done = inside("sweep", "scores of.npy", "--betas", "1:1000:4")
    assert (done.code, done.err) == (0, "")
    assert done.lines[0] == "scores of.npy · float32 3 × 4 · axis 1 · CPU"
    assert done.lines[2].split() == ["β", "max", "|offset|", "mean", "|offset|", "agreement", "spread", "gradient"]
    assert [line.split()[0] for line in done.lines[4:8]] == ["1", "10", "100", "1000"]
    assert [line.endswith("within 0.01") for line in done.lines[4:8]] == [False, False, True, True]
    last = done.lines[-1]
    assert last.startswith(("β 46", "β 47"))
    assert "softargmax run 'scores of.npy' --beta 4" in last
    one = inside("sweep", "scores of.npy", "--betas", "3").lines[-1]
    assert one.startswith("no β tried keeps soft within 0.01 of hard: at best it is 0.")
    plot = done.lines[9:-2]
    assert any("●" in line for line in plot)
    assert any("○" in line for line in plot)
    assert plot[-1].split()[0] == "1"
    assert plot[-1].endswith("1000")


def test_the_command_that_is_named_does_what_is_promised(inside: Inside) -> None:
    inside.save("a b.npy", np.random.default_rng(4).normal(size=(3, 8, 9)))
    given = ["--select", "0:2", "--axis", "-2,-1", "--window", "3", "--coords", "corners", "--kind", "cost"]
    last = inside("sweep", "a b.npy", *given, "--tol", "0.2").lines[-1]
    program, *words = shlex.split(last.rpartition(": ")[2])
    assert program == "softargmax"
    done = inside(*words, "--format", "json")
    assert done.code == 0
    assert json.loads(done.out)["summary"]["max_abs_offset"] <= 0.2
    assert json.loads(done.out)["shape"] == [2, 8, 9]


def test_some_slices_may_lie_further_off(inside: Inside) -> None:
    allow = "10%"
    x = np.random.default_rng(9).normal(size=(50, 12))
    x[:2] = 0  # which no β brings closer
    inside.save("x.npy", x)
    done = inside("sweep", "x.npy", "--tol", "0.1", "--allow", allow, "--format", "json")
    found = json.loads(done.out)
    beta = found["recommended_beta"]
    for at in found["betas"]:
        furthest = abs(oracle(x, -1, at["beta"]).offset).max(axis=0)
        assert at["outside"] == np.count_nonzero(furthest > 0.1)
    codes = [
        inside("check", "x.npy", "--tol", "0.1", "--allow", allow, "--beta", repr(b)).code for b in (beta, 0.94 * beta)
    ]
    assert codes == [0, 1]
    last = inside("sweep", "x.npy", "--tol", "0.1", "--allow", allow).lines[-1]
    assert last.startswith(
        f"β {beta:g} is the smallest that keeps soft within 0.1 of hard in all but {allow} of the slices"
    )
    last = inside("sweep", "x.npy", "--tol", "0.1", "--allow", "1").lines[-1]
    assert last.endswith("keeps soft within 0.1 of hard in all but 1 of the slices: 2 of 50 lie further off at β 316")


def test_the_beta_and_window_that_come_closest_to_the_truth(inside: Inside) -> None:
    random = np.random.default_rng(10)
    x, truth = random.normal(size=(4, 5, 6, 7)), random.normal(3, 1, size=(4, 5, 2))
    x[0, 0, 1, 1], truth[1, 1, 0] = np.nan, np.nan
    np.save(inside.folder / "x.npy", np.asfortranarray(x))
    inside.save("t.npy", truth)
    common = ("x.npy", "--axis", "-2,-1", "--nan", "propagate", "--truth", "t.npy")
    given = ("sweep", *common, "--betas", "0.5,2,8", "--windows", "3,1")
    found = json.loads(inside(*given, "--format", "json").out)
    assert list(found) == ["betas", "hard_error", "best_beta", "best_window"]
    assert [(at["window"], at["beta"]) for at in found["betas"]] == [(w, b) for w in (1, 3) for b in (0.5, 2, 8)]
    errors = {}
    for at in found["betas"]:
        want = oracle(x, (2, 3), at["beta"], window=at["window"])
        error = np.sqrt(((np.moveaxis(want.soft, 0, -1) - truth) ** 2).sum(axis=-1))
        errors[at["beta"], at["window"]] = np.nanmean(error)
        assert at["mean_error"] == pytest.approx(np.nanmean(error), abs=1e-9)
        assert at["mean_abs_offset"] == pytest.approx(np.nanmean(abs(want.offset)), abs=1e-9)
    beta, window = min(errors, key=errors.__getitem__)
    assert (found["best_beta"], found["best_window"]) == (beta, window)
    table = inside(*given).lines
    assert sum(line.endswith("closest") for line in table) == 1
    assert table[-4:-2] == [
        f"1 of 20 slices has no {what} and is left out of the errors" for what in ("truth", "answer")
    ]
    assert table[-2].startswith(f"β {beta:g} within a window of ±{window} comes closest to the truth: mean error ")
    program, command, *words = shlex.split(table[-1].removeprefix("try: "))
    assert (program, command) == ("softargmax", "run")
    evaluated = json.loads(inside("evaluate", *words, "--truth", "t.npy", "--format", "json").out)["estimates"]
    assert evaluated[0]["mean_error"] == pytest.approx(found["hard_error"])
    assert evaluated[1]["mean_error"] == pytest.approx(errors[beta, window])


def test_a_table_against_its_truth(inside: Inside) -> None:
    rows = np.random.default_rng(11).normal(size=(9, 4)).round(3)
    inside.write(
        "x.csv", "id,a,b,c,d\n" + "".join(f"r{k}," + ",".join(map(str, row)) + "\n" for k, row in enumerate(rows))
    )
    inside.write("t.csv", "id,where\n" + "".join(f"r{k},{k % 4}\n" for k in range(9)))
    done = inside("sweep", "x.csv", "--id-column", "id", "--truth", "t.csv", "--betas", "1,9", "-o", "out.csv")
    assert (done.code, done.out) == (0, "")
    header, *cells = csv.reader(io.StringIO(inside.read("out.csv").decode()))
    assert header == ["beta", "window", "mean_error", "max_abs_offset", "mean_abs_offset", "agreement"]
    for beta, window, error, *_ in cells:
        assert window == ""
        want = abs(oracle(rows, -1, float(beta)).soft[0] - np.arange(9) % 4).mean()
        assert float(error) == pytest.approx(want)
    assert done.err.splitlines()[-1].startswith("try: softargmax run x.csv --id-column id --beta ")
    (inside.folder / "true").mkdir()
    (inside.folder / "t.csv").rename(inside.folder / "true" / "x.csv")
    given = ("sweep", "x.csv", "--id-column", "id", "--truth", "true", "--betas", "1,9", "--force")
    assert inside(*given, "-o", "again.csv").code == 0
    assert inside.read("again.csv") == inside.read("out.csv")
    assert "true/x.csv: the result would replace what it is made of" in inside(*given, "-o", "true/x.csv").err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--kind", "probs"], "no β to sweep over"),
        (["--betas", "x"], "--betas 'x': not numbers\n  list them as 1,10,100, or give LOW:HIGH:COUNT"),
        (["--betas", "1:2"], "--betas '1:2': not numbers\n"),
        (["--betas", "2:1:5"], "--betas '2:1:5': not from low to high\n"),
        (["--betas", "0,1"], "numbers between 1e-30 and 1e30"),
        (["--betas", "nan"], "numbers between 1e-30 and 1e30"),
        (["--betas", "1:2:1000000"], "at most 1000"),
        (["--tol", "nan"], "Invalid value for '--tol'"),
        (["--plot", "x.gif"], "the suffix .gif names no output format"),
        (["-o", "x.npy"], "names no output format"),
        (["--beta", "3"], "--beta"),
        (["--allow", "x"], "--allow 'x': no number and no percentage\n  give a number of slices"),
        (["--windows", "2"], "--windows compares windows by their distance from --truth"),
        (["--truth", "x.npy"], "--truth x.npy is the input itself"),
        (["--truth", "long.npy"], "long.npy: no such file"),
        (
            ["--truth", "t.npy", "--windows", "2,-4"],
            "--windows '2,-4': not whole numbers of 0 or more\n  give distances from",
        ),
        (["--truth", "t.npy", "--windows", "2", "--window", "3"], "--window and --windows both say"),
        (
            ["--truth", "t.npy", "--tol", "1"],
            "--tol limits the distance from hard; --truth measures that from the truth",
        ),
        (["--truth", "t.npy", "--allow", "1"], "--allow lets slices exceed the distance from hard; --truth"),
        (["--truth", "t.npy", "--plot", "b.png"], "--plot draws the distance from hard; --truth"),
        (["--truth", "t.npy"], "t.npy: shape (3,) is not that of the result, (1,)"),
        (["--truth", "t.csv"], "t.csv: line 3, column 1"),
        (["--truth", "t.npy", "-o", "t.npy"], "names no output format"),
        (["--truth", "t.csv", "-o", "t.csv", "--force"], "t.csv: the result would replace what it is made of"),
    ],
)
def test_wrong_use(inside: Inside, given: list[str], said: str) -> None:
    inside.save("x.npy", [[1, 2]])
    inside.save("t.npy", [1, 2, 3])
    inside.write("t.csv", "a\n1\nmuch\n")
    done = inside("sweep", "x.npy", *given)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert inside.names() == {"x.npy", "t.npy", "t.csv"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--beta", "auto", "--temperature", "1"], "--temperature"),
        (["--beta", "auto", "--kind", "probs"], "--kind probs"),
        (["--beta", "3", "--tol", "1"], "--tol"),
        (["--beta", "many"], "a number such as 100, or auto"),
        (["--beta", "auto"], "no β up to 100000 keeps soft within 0.01 of hard: at 100000 it lies 0.5 off"),
    ],
)
def test_beta_auto_that_cannot_be(inside: Inside, given: list[str], said: str) -> None:
    inside.save("x.npy", [[1, 2, 2, 0]])
    done = inside("run", "x.npy", *given)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_undefined_slices(inside: Inside) -> None:
    inside.save("x.npy", [[1, 2], [np.nan, 3], [-np.inf, -np.inf]])
    done = inside("sweep", "x.npy")
    assert (done.code, done.out) == (2, "")
    assert "1 NaN, at index (1, 0)" in done.err
    done = inside("sweep", "x.npy", "--nan", "propagate")
    assert done.code == 0
    assert "2 of 3 slices have no answer" in done.out


@pytest.mark.parametrize(
    ("scores", "options"),
    [(np.zeros((0, 5)), []), (np.full((2, 5), np.nan), ["--nan", "propagate"])],
    ids=["no slices", "nothing but NaN"],
)
def test_where_no_slice_has_an_answer_any_beta_does(inside: Inside, scores: Array, options: list[str]) -> None:
    inside.save("x.npy", scores)
    done = inside("sweep", "x.npy", *options, "--tol", "1e-6")
    assert (done.code, done.lines[-1]) == (0, "no slice has an answer, so any β does")
    assert document(inside("sweep", "x.npy", *options, "--format", "json"))["recommended_beta"] is None
    usual = inside("run", "x.npy", *options)
    done = inside("run", "x.npy", *options, "--beta", "auto")
    assert (done.code, done.out) == (0, usual.out)
    assert done.err == usual.err + "softargmax: note: x.npy: --beta auto: no slice has an answer, so β stays 100\n"


@pytest.mark.slow
def test_pictures(inside: Inside) -> None:
    x = np.random.default_rng(2).normal(size=(9, 20))
    inside.save("$x$.npy", x)  # no formula
    done = inside("sweep", "$x$.npy", "--betas", "1:1000:4", "--plot", "b.svg", "--format", "json")
    assert done.code == 0
    found = json.loads(done.out)["betas"]
    places = marks(inside.read("b.svg"))
    one = None
    for name, color in (("max_abs_offset", ORANGE), ("mean_gradient_norm", BLUE)):
        values = np.log10([at[name] for at in found])
        across, down = np.array(places[color]).T
        assert len(down) == len(values)
        np.testing.assert_allclose(np.diff(across), np.diff(across)[0], atol=1e-3)  # equal ratios of β
        decade = (down[0] - down[-1]) / (values[-1] - values[0])
        np.testing.assert_allclose(down[0] - down, decade * (values - values[0]), atol=0.01)
        one = decade if one is None else one
        assert decade == pytest.approx(one, abs=0.01)  # both on one axis


def marks(svg: bytes) -> dict[str, list[tuple[float, float]]]:
    """Where an SVG places the marks of each colour."""
    found: dict[str, list[tuple[float, float]]] = {}
    for use in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}use"):
        style = use.get("style", "")
        for color in (ORANGE, BLUE):
            if f"fill: {color}" in style:
                found.setdefault(color, []).append((float(use.get("x", "")), float(use.get("y", ""))))
    return {color: places[:4] for color, places in found.items()}  # what follows is the legend's
