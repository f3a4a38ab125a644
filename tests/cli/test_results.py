"""Results that softargmax wrote are told from scores, and are compared by the names of their slices."""

from __future__ import annotations

import json

import numpy as np
import pytest
from command import Inside

SUFFIXES = ["csv", "json", "parquet", "npz", "zarr"]
SCORES = np.random.default_rng(5).normal(size=(4, 5, 6))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_result_is_no_input(inside: Inside, suffix: str) -> None:
    axis = "-2,-1" if suffix in ("csv", "json", "npz") else "-1"
    inside.save("x.npy", SCORES)
    assert inside("run", "x.npy", "--axis", axis, "-o", f"r.{suffix}").code == 0
    done = inside("run", f"r.{suffix}")
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[:2] == [
        f"softargmax: error: r.{suffix}: a result of softargmax, not scores",
        f"  compare with it: softargmax check INPUT --expect r.{suffix}",
    ]
    assert inside("check", "x.npy", "--axis", axis, "--expect", f"r.{suffix}").code == 0
    found = json.loads(inside("inspect", f"r.{suffix}", "--format", "json").out)
    assert found["result"] is True
    assert found["suggestion"] == f"softargmax check INPUT --expect r.{suffix}"
    assert "a result of softargmax" in inside("inspect", f"r.{suffix}").out


def test_a_part_of_a_result_is_read(inside: Inside) -> None:
    inside.save("x.npy", SCORES)
    for name in ("r.npz", "r.csv"):
        inside("run", "x.npy", "-o", name)
    assert inside("run", "r.npz", "--key", "soft").code == 0
    assert inside("run", "r.csv", "--columns", "soft,peak").code == 0


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_ids_must_be_the_same(inside: Inside, suffix: str) -> None:
    rows = [f"{name},{k},1" for k, name in enumerate("abcdef")]
    inside.write("x.csv", "\n".join(["name,p,q", *rows]))
    inside.write("y.csv", "\n".join(["name,p,q", *rows]).replace("\ne,", "\nE,"))
    inside.write("z.csv", "\n".join(["p,q", *(row[2:] for row in rows)]))
    assert inside("run", "x.csv", "--id-column", "name", "-o", f"r.{suffix}").code == 0
    assert inside("check", "x.csv", "--id-column", "name", "--expect", f"r.{suffix}").code == 0
    assert inside("check", "z.csv", "--expect", f"r.{suffix}").code == 0
    done = inside("check", "y.csv", "--id-column", "name", "--expect", f"r.{suffix}")
    assert done.code == 2
    assert f"r.{suffix}: slice 4 is named 'e' in the file and 'E' in the input\n" in done.err


def test_nan_in_text_is_placed(inside: Inside) -> None:
    inside.write("x.csv", "# seen\na,b,c\n1,2,3\n\n1,NaN,3\n" + ",,3\n" * 8)
    done = inside("run", "x.csv")
    assert done.code == 2
    assert "error: x.csv: 17 NaNs, the first in line 5, column 2 ('b')\n" in done.err
    lines = inside("run", "x.csv", "--verbose").err.splitlines()
    at = next(k for k, line in enumerate(lines) if line.startswith("softargmax: error: "))
    columns = ["1 ('a')", "2 ('b')"]
    places = [f"  line {line}, column {column}" for line in range(6, 11) for column in columns]
    assert lines[at + 1 : at + 11] == ["  line 5, column 2 ('b')", *places[:9]]
    inside.write("y.csv", "1,2\n,1\n")
    assert "error: y.csv: 1 NaN, in line 2, column 1\n" in inside("run", "y.csv").err


def notes(inside: Inside, *arguments: str) -> str:
    done = inside(*arguments)
    assert done.code in (0, 1), done.err
    return "".join(line for line in done.err.splitlines() if "note:" in line)


def test_nearly_uniform_weights_are_noted(inside: Inside) -> None:
    inside.save("x.npy", np.random.default_rng(0).normal(size=(5, 16)) * 1e-3)
    for command in (["run"], ["run", "-o", "r.npy"], ["check"]):
        found = notes(inside, command[0], "x.npy", "--beta", "1", *command[1:])
        assert found.count("5 of 5 slices are nearly uniform (peak below 2/16): β 1 is small") == 1
    assert notes(inside, "run", "x.npy", "--beta", "1e5") == ""
    assert notes(inside, "run", "x.npy", "--beta", "1", "-q") == ""


def test_vanished_gradients_are_noted(inside: Inside) -> None:
    inside.save("x.npy", np.random.default_rng(0).permuted(np.arange(80.0).reshape(5, 16), axis=1))
    assert notes(inside, "grad", "x.npy").count("the gradient has vanished in all 5 slices (largest norm ") == 1
    assert notes(inside, "grad", "x.npy", "--beta", "1") == ""
    assert notes(inside, "grad", "x.npy", "--wrt", "beta") == ""
