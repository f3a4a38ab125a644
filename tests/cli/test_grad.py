"""`softargmax grad`: gradients in files of every layout, and what is said of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from command import TUTORIAL, Done, Inside
from oracle import gradients

Array = npt.NDArray[Any]


def assert_gradient(got: Array, want: Array, axes: tuple[int, ...], *, single: bool) -> None:
    """Within the bound, relative to the largest entry of the slice; of the precision of the weights."""
    assert got.dtype == ("<f4" if single else "<f8")
    assert got.shape == want.shape
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    largest = np.abs(want).max(axis=axes, keepdims=True)
    lost = np.finfo(got.dtype).tiny * 1e3  # weights below that are 0
    assert not (np.abs(got - want) > (1e-5 if single else 1e-10) * largest + lost).any()


def succeeded(done: Done) -> Done:
    assert (done.code, done.err) == (0, ""), done.err
    return done


def wrote(done: Done) -> Done:
    """Where a file is written the summary alone is said, on standard error."""
    assert (done.code, done.out) == (0, ""), done.err
    assert len(done.err.splitlines()) == 1
    assert " slice" in done.err
    return done


def test_the_tutorial(inside: Inside) -> None:
    inside.save("x.npy", TUTORIAL, "float32")
    summary = "3 slices · max norm 0.00642 · mean norm 0.00428 · 1 vanished (norm below 1e-06)"
    table = [
        "x.npy · float32 3 × 4 · axis 1 · β 100 (temperature 0.01) · CPU",
        "gradient: ∂soft/∂x",
        "",
        "slice  hard      soft    norm      min     max",
        "─────  ────  ────────  ──────  ───────  ──────",
        "    0     0  0.000000  0        0       0       ≈ 0 vanished",
        "    1     1  0.999955  0.0064  -0.0045  0.0045",
        "    2     2  1.999955  0.0064  -0.0045  0.0045",
        "",
        summary,
    ]
    assert succeeded(inside("grad", "x.npy")).lines == table
    assert wrote(inside("grad", "x.npy", "-o", "g.npy")).err == f"{summary}\n"
    x = np.array(TUTORIAL, "f4")
    assert_gradient(np.load(inside.folder / "g.npy"), gradients(x)[0], (1,), single=True)
    assert succeeded(inside("grad", "x.npy", "-o", "g.npy", "--force", "--format", "table")).lines == table
    assert inside("grad", "x.npy", "-o", "g.npy", "--force", "--quiet").err == ""


def test_by_beta(inside: Inside) -> None:
    x = np.random.default_rng(1).normal(size=(3, 4, 5))
    for order, name, axis, axes in (("C", "g.npy", "1", (1,)), ("F", "g.npz", "2,0", (2, 0))):
        np.save(inside.folder / "x.npy", np.asarray(x, order=order))  # type: ignore[call-overload]
        given = ("grad", "x.npy", "--axis", axis, "--beta", "3", "--wrt", "beta", "--force")
        want = gradients(x, axes, 3.0)[1]
        done = succeeded(inside(*given, "-o", name, "--format", "table"))
        assert done.lines[1] == "gradient: ∂soft/∂β"
        assert done.lines[3].split() == ["slice", "hard", "soft", "gradient"]
        found = np.load(inside.folder / name)
        got = found["gradient"] if name == "g.npz" else found
        assert (got.dtype, got.shape) == (np.float64, want.shape)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-10)
        said = json.loads(succeeded(inside(*given, "--format", "json")).out)
        assert (said["wrt"], said["summary"]["vanished"]) == ("beta", 0)
        flat = want.reshape(-1, len(axes)) if len(axes) > 1 else want.ravel()
        assert [slices["gradient"] for slices in said["slices"]] == pytest.approx(flat, abs=1e-10)


@pytest.mark.parametrize(
    ("shape", "axis", "axes", "order"),
    [
        ((4, 300), "-1", (1,), "F"),
        ((300, 4), "0", (0,), "C"),
        ((2, 3, 20, 9), "-1,-2", (3, 2), "F"),
        ((2, 3, 2, 3, 2, 3), "0,2,4", (0, 2, 4), "C"),
    ],
)
def test_files_of_every_order(inside: Inside, shape: tuple[int, ...], axis: str, axes: Any, order: Any) -> None:
    x = np.random.default_rng(2).normal(size=shape)
    np.save(inside.folder / "x.npy", np.asarray(x, order=order))
    wrote(inside("grad", "x.npy", "--axis", axis, "--beta", "3", "--coords", "corners", "-o", "g.npy"))
    got = np.load(inside.folder / "g.npy")
    over = axes if len(axes) == 1 else (*axes, x.ndim)
    assert_gradient(got, gradients(x, axes, 3.0, coords="corners")[0], over, single=False)
    assert got.flags.f_contiguous if order == "F" else got.flags.c_contiguous


def test_tables_of_text(inside: Inside) -> None:
    rng = np.random.default_rng(4)
    x = rng.integers(-30, 30, (300, 4)) / 10
    rows = "".join(f"row {k}," + ",".join(map(str, row)) + "\n" for k, row in enumerate(x.tolist()))
    inside.write("x.csv", "name,a,b,c,d\n" + rows)
    for axis, axes in (("1", (1,)), ("0", (0,)), ("1,0", (1, 0))):
        for name in ("g.npy", "g.npz"):
            given = ("--id-column", "name", "--axis", axis, "--beta", "2", "--rows", "1", "--force")
            done = succeeded(inside("grad", "x.csv", *given, "-o", name, "--format", "table"))
            found = np.load(inside.folder / name)
            got = found["gradient"] if name == "g.npz" else found
            over = axes if len(axes) == 1 else (*axes, 2)
            assert_gradient(got, gradients(x, axes, 2.0)[0], over, single=False)
        first = {"1": ["0", "row", "0"], "0": ["0", "a"], "1,0": []}[axis]
        assert done.lines[5].split()[: len(first)] == first
    done = succeeded(inside("grad", "x.csv", "--id-column", "name", "--beta", "2", "--format", "csv"))
    assert done.lines[0] == "index,id,hard,label,soft,norm,min,max,vanished"
    assert len(done.lines) == 301


def test_norms_as_data(inside: Inside) -> None:
    x = np.random.default_rng(5).normal(size=(5, 7))
    x[1, 2], x[4] = np.inf, np.nan
    inside.save("x.npy", x)
    given = ("grad", "x.npy", "--beta", "2", "--nan", "propagate", "--vanished", "0.5")
    want = gradients(x, beta=2.0)[0]
    norm = np.sqrt((want**2).sum(1))
    document = json.loads(succeeded(inside(*given, "--format", "json")).out)
    lines = [json.loads(line) for line in succeeded(inside(*given, "--format", "jsonl")).lines]
    assert document["slices"] == lines
    for k, line in enumerate(lines):
        assert list(line) == ["index", "hard", "soft", "norm", "min", "max", "vanished"]
        assert (line["index"], line["vanished"]) == ([k], bool(norm[k] < 0.5))
        for field, number in (("norm", norm[k]), ("min", want[k].min()), ("max", want[k].max())):
            assert line[field] == (None if np.isnan(number) else pytest.approx(number, abs=1e-12))
    assert (lines[1]["norm"], lines[1]["vanished"]) == (0, True)
    assert document["summary"] == {
        "slices": 5,
        "max_norm": pytest.approx(np.nanmax(norm)),
        "mean_norm": pytest.approx(np.nanmean(norm)),
        "vanished": int((norm < 0.5).sum()),
        "undefined": 1,
    }
    table = succeeded(inside(*given))
    assert [line.split()[-1] for line in table.lines if "≈ 0" in line or "∅" in line][-1] == "undefined"
    assert table.lines[-1].endswith(f"{document['summary']['vanished']} vanished (norm below 0.5) · 1 undefined")


def test_several_inputs(inside: Inside) -> None:
    for name in ("a", "b"):
        inside.save(f"{name}.npy", TUTORIAL)
    done = succeeded(inside("grad", "a.npy", "b.npy", "-o", "out/", "--format", "table"))
    assert {path.name for path in (inside.folder / "out").iterdir()} == {"a.npy", "b.npy"}
    assert [line.partition(" ")[0] for line in done.lines if "float64" in line] == ["a.npy", "b.npy"]
    lines = succeeded(inside("grad", "a.npy", "b.npy", "--format", "jsonl")).lines
    assert len(lines) == 6


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ["x.npy", "-o", "g.csv"],
            "error: g.csv: the suffix .csv names no output format\n  end the name in one of .npy .npz\n",
        ),
        (["x.npy", "-o", "g.npy"], "error: g.npy: the file exists\n  replace it with --force\n"),
        (["x.npy", "-o", "-", "--format", "csv"], "error: -o - and --format csv both go to standard output\n"),
        (["x.npy", "x.npy", "-o", "-"], "error: -o - holds one input only\n"),
        (["x.npy", "--wrt", "beta", "--kind", "probs"], "error: --wrt beta: --kind probs takes weights as they are"),
        (["x.npy", "--vanished", "nan"], "error: Invalid value for '--vanished': "),
        (["x.npy", "nan.npy", "-o", "g.zarr"], "error: g.zarr: the suffix .zarr names no output format\n"),
        (["g.npy", "-o", "./g.npy", "--force"], "error: ./g.npy: the result would replace what it is made of\n"),
        (["nan.npy", "-o", "new.npy"], "error: nan.npy: 1 NaN, at index (0, 1)\n"),
        (["x.npy", "--axis", "5", "-o", "new.npy"], "error: x.npy: --axis 5: the array has 2 axes"),
    ],
)
def test_what_cannot_be_done_is_told(inside: Inside, given: list[str], said: str) -> None:
    inside.save("x.npy", TUTORIAL)
    inside.save("nan.npy", [[1, np.nan, 2]])
    inside.write("g.npy", "old")
    done = inside("grad", *given)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert inside.names() == {"x.npy", "nan.npy", "g.npy"}
    assert inside.read("g.npy") == b"old"
