"""Circular coordinates and ranges, as a person types them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from command import Inside

AZIMUTHS = np.arange(72) * 5.0
ROUND = ["--coords", "circular", "--values", "0:360:5", "--period", "360"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Inside:
    """Bumps at four azimuths, two of them across north, and one slice without a direction."""
    made = Inside(tmp_path_factory.mktemp("circular"))
    bumps = np.exp(4 * (np.cos(np.deg2rad(AZIMUTHS - np.array([[1.5], [358.5], [90], [200]]))) - 1))
    made.save("az.npy", np.concatenate([bumps, np.ones((1, 72))]), "float32")
    made.save("maps.npy", np.random.default_rng(0).normal(size=(3, 4, 72)))
    made.save("down.npy", [0, 1, 4, 9])
    return made


def mean(weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """The circular mean in degrees."""
    return np.rad2deg(np.angle((weights * np.exp(1j * np.deg2rad(angles))).sum(-1))) % 360


def test_what_is_said_of_each_slice(folder: Inside) -> None:
    x = np.load(folder.folder / "az.npy").astype(float)
    done = folder("run", "az.npy", *ROUND, "--beta", "20", "--format", "json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert (found["coords"], found["period"]) == ("circular", 360.0)
    p = np.exp(20 * (x - 1))
    soft = [one["soft"] for one in found["slices"]]
    np.testing.assert_allclose(soft[:4], mean(p[:4], AZIMUTHS), atol=1e-4)
    assert [one["hard"] for one in found["slices"]] == [0, 0, 18, 40, 0]
    assert found["slices"][1]["offset"] == pytest.approx(-1.5, abs=1e-3)
    assert [one["agree"] for one in found["slices"]] == [True] * 4 + [False]
    alone = found["slices"][4]
    assert (alone["soft"], alone["offset"], alone["spread"], alone["ties"]) == (None, None, None, 72)
    assert alone["peak"] == pytest.approx(1 / 72)
    assert found["summary"]["undefined"] == 1
    lines = folder("run", "az.npy", *ROUND, "--beta", "20").lines
    assert lines[1] == "circular: period 360"
    assert lines[9].endswith("undefined")


def test_without_values_the_period_is_the_number_of_indices(folder: Inside) -> None:
    found = json.loads(folder("run", "az.npy", "--coords", "circular", "--format", "json").out)
    assert found["period"] == 72
    assert found["slices"][1]["soft"] == pytest.approx(71.7, abs=0.01)
    assert folder("check", "az.npy", "--coords", "circular", "--tol", "0.5").code == 1  # one has no direction
    assert folder("check", "az.npy", "--coords", "circular", "--tol", "0.5", "--allow", "1").code == 0


def test_several_axes_and_every_format(folder: Inside) -> None:
    """A file beside a range, one axis on a line."""
    x = np.load(folder.folder / "maps.npy")
    asked = ["maps.npy", "--axis", "-2,-1", "--coords", "index,circular", "--values", "down.npy,0:360:5"]
    asked += ["--period", "360", "--beta", "1"]
    p = np.exp(x) / np.exp(x).sum((1, 2), keepdims=True)
    want = np.stack([(p.sum(2) * [0, 1, 4, 9]).sum(1), mean(p.sum(1), AZIMUTHS)], -1)
    for name in ("o.npy", "o.parquet", "o.csv"):
        assert folder("run", *asked, "-o", name, "--force").code == 0
    np.testing.assert_allclose(np.load(folder.folder / "o.npy"), want, rtol=1e-12)
    table = pyarrow.parquet.read_table(folder.folder / "o.parquet")
    np.testing.assert_allclose(table["soft_1"].to_numpy(), want[:, 1], rtol=1e-12)
    assert json.loads(table.schema.metadata[b"softargmax"])["period"] == [None, 360.0]
    for expected in ("o.npy", "o.csv"):
        assert folder("check", *asked, "--expect", expected).code == 0
    assert json.loads(folder("run", *asked, "--format", "json").out)["period"] == [None, 360.0]


def test_what_is_expected_lies_the_shorter_way(folder: Inside) -> None:
    soft = np.array([359.9999, 1e-4, 90, 200, np.nan])
    folder.save("expected.npy", soft)
    folder.save("x.npy", np.eye(72)[[0, 0, 18, 40, 1]] * 100 + (np.arange(5) == 4)[:, None] * -100 * np.eye(72)[1])
    asked = ["check", "x.npy", *ROUND, "--expect", "expected.npy", "--atol", "1e-3"]
    assert (folder(*asked).code, folder(*asked[:-2]).code) == (0, 1)


def test_gradients_and_sweeps(folder: Inside) -> None:
    assert folder("grad", "az.npy", *ROUND, "--beta", "20", "-o", "g.npy", "--force").code == 0
    x, step = np.load(folder.folder / "az.npy")[:4].astype(float), 1e-5
    for at in (0, 3, 71):
        moved = [mean(np.exp(20 * (x + sign * step * (np.arange(72) == at) - 1)), AZIMUTHS) for sign in (1, -1)]
        slope = ((moved[0] - moved[1] + 180) % 360 - 180) / (2 * step)
        np.testing.assert_allclose(np.load(folder.folder / "g.npy")[:4, at], slope, rtol=1e-3, atol=1e-3)
    swept = json.loads(folder("sweep", "az.npy", *ROUND, "--betas", "5,20", "--format", "json").out)
    assert [at["max_abs_offset"] < 2 for at in swept["betas"]] == [True, True]
    done = folder("sweep", "az.npy", *ROUND, "--betas", "5,20", "--tol", "3")
    assert f"softargmax run az.npy {' '.join(ROUND)} --beta 5" in done.out + done.err


def test_a_table_goes_round_along_its_rows(folder: Inside) -> None:
    """Whose number only its end tells."""
    hours = np.exp(np.cos(2 * np.pi * (np.arange(24) - np.array([[23.5], [12]])) / 24) * 3)
    folder.write("hours.csv", "".join(f"{a:.9f},{b:.9f}\n" for a, b in hours.T))
    done = folder("run", "hours.csv", "--axis", "0", "--kind", "probs", "--coords", "circular", "--format", "json")
    assert [one["soft"] for one in json.loads(done.out)["slices"]] == pytest.approx([23.5, 12])
    asked = ["--axis", "0", "--kind", "probs", "--coords", "circular", "--format", "csv"]
    done = folder("run", "-", *asked, stdin=folder.read("hours.csv"))
    assert float(done.lines[1].split(",")[2]) == pytest.approx(23.5)


def test_ranges_stand_for_files(folder: Inside) -> None:
    for values, want in (("0:72:1", 18), ("0:7.2:0.1", 1.8), ("71:-1:-1", 53), ("-1:1:0.027777778", -0.5)):
        done = folder("run", "az.npy", "--values", values, "--format", "csv", "--beta", "1000")
        assert float(done.lines[3].split(",")[2]) == pytest.approx(want, abs=1e-5), done.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--period", "360"], "--period 360: only circular values have a period"),
        (["--coords", "circular", "--period", "360"], "--period 360: only circular values have a period"),
        (["--coords", "circular", "--values", "0:360:5"], "--values with --coords circular: the values of one turn"),
        ([*ROUND[:-1], "350"], "az.npy: --values 0:360:5: 0 to 355 are not within one period of 350"),
        (
            [*ROUND[:3], "0:365:5", "--period", "360"],
            "az.npy: --values 0:365:5: 73 values for the 72 indices of axis 1",
        ),
        ([*ROUND[:-1], "360,24"], "--period 360,24: 2 periods for 1 circular axis"),
        ([*ROUND[:-1], "0"], "--period 0: a period is a finite number above 0"),
        ([*ROUND[:-1], "inf"], "--period inf: a period is a finite number above 0"),
        ([*ROUND[:-1], "day"], "--period 'day': not numbers\n  give a number as 360, or several as 360,24"),
        (["--coords", "index,circular"], "--coords index,circular: 2 kinds for 1 axis"),
        (["--coords", "index,index,index"], "--coords index,index,index: 3 kinds for 1 axis"),
        (["--coords", "circle"], "--coords: 'circle' is not one of index, corners, "),
        (["--values", "0:70:1"], "az.npy: --values 0:70:1: 70 values for the 72 indices of axis 1"),
        (["--values", "0:10:3"], "--values 0:10:3: 10 is no whole number of steps of 3 from 0"),
        (["--values", "10:0:1"], "--values 10:0:1: there is nothing from 10 to 0 in steps of 1"),
        (["--values", "0:1:0"], "--values 0:1:0: there is nothing from 0 to 1 in steps of 0"),
        (["--values", "0:inf:1"], "--values 0:inf:1: there is nothing from 0 to inf in steps of 1"),
        (["--values", "0:1:1e-30"], "--values 0:1:1e-30: 1e+30 coordinates are too many"),
        (["--values", "0:72:1,0:72:1"], "az.npy: --values: 2 files for 1 axis"),
        (["--values", "0:72"], "--values 0:72: no such file"),
    ],
)
def test_bad_use_in_three_lines_at_most(folder: Inside, options: list[str], words: str) -> None:
    before = folder.names()
    done = folder("run", "az.npy", *options, "-o", "none.npy")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"softargmax: error: {words}"), done.err
    assert done.err.count("\n") <= 3
    assert folder.names() == before


def test_the_end_of_a_turn_is_its_beginning(folder: Inside) -> None:
    folder.save("ends.npy", np.zeros((1, 5)))
    done = folder("run", "ends.npy", "--coords", "circular", "--values", "0:450:90", "--period", "360")
    assert "0 to 360 are not within one period of 360" in done.err
    assert "leave out the last, which is the first again" in done.err


@pytest.mark.slow
def test_a_picture_of_both_sides_of_the_seam(folder: Inside) -> None:
    asked = [*ROUND[:3], "-180:180:5", "--period", "360", "--window", "3"]
    assert folder("run", "az.npy", *asked, "--plot", "az.svg", "--force").code == 0
    assert Path(folder.folder / "az.svg").stat().st_size > 1000
    assert math.isfinite(json.loads(folder("run", "az.npy", *asked, "--format", "json").out)["slices"][0]["soft"])
