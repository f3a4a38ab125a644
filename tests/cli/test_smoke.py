"""Every command and every format once, on the smallest input, against numbers worked out by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from command import TUTORIAL, TUTORIAL_CSV, Inside

from softargmax_cli.tensorflow import survey

SOFT = [0.0, 1 / (1 + np.exp(-10.0)), (1 * np.exp(-10.0) + 2) / (1 + np.exp(-10.0))]
"""At β 100 only the two largest scores of a row weigh anything: they lie 0.1 apart."""


def answer(inside: Inside, *arguments: str, stdin: bytes | None = None) -> list[dict[str, Any]]:
    """The slices of `softargmax run … --format jsonl`."""
    done = inside("run", *arguments, "--format", "jsonl", stdin=stdin)
    assert (done.code, done.err) == (0, "")
    return [json.loads(line) for line in done.lines]


def test_run_prints_a_table(inside: Inside) -> None:
    done = inside("run", inside.save("x.npy", TUTORIAL))
    assert (done.code, done.err) == (0, "")
    assert "0.99995" in done.out


@pytest.mark.parametrize("format", ["npy", "npz", "csv", "parquet", "hdf5", "safetensors", "zarr", "pipe"])
def test_every_input_format_gives_the_same_numbers(inside: Inside, format: str) -> None:
    x = np.array(TUTORIAL, "f8")
    name, stdin = f"x.{format}", None
    path = str(inside.folder / name)
    if format == "npy":
        np.save(path, x)
    elif format == "npz":
        np.savez(path, x)
    elif format == "csv":
        inside.write(name, TUTORIAL_CSV)
    elif format == "parquet":
        pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.table({f"c{k}": column for k, column in enumerate(x.T)}), path)
    elif format == "hdf5":
        with pytest.importorskip("h5py").File(path, "w") as file:
            file["x"] = x
    elif format == "safetensors":
        pytest.importorskip("safetensors.numpy").save_file({"x": x}, path)
    elif format == "zarr":
        pytest.importorskip("zarr").save(path, x)
    else:
        name, stdin = "-", TUTORIAL_CSV.encode()
    slices = answer(inside, name, stdin=stdin)
    assert [each["hard"] for each in slices] == [0, 1, 2]
    np.testing.assert_allclose([each["soft"] for each in slices], SOFT, rtol=0, atol=1e-6)


def test_check_passes_and_fails(inside: Inside) -> None:
    name = inside.save("x.npy", TUTORIAL)
    assert inside("check", name, "--tol", "0.001").code == 0
    assert inside("check", name, "--tol", "0.00001").code == 1


def test_sweep_names_a_beta(inside: Inside) -> None:
    done = inside("sweep", inside.save("x.npy", TUTORIAL), "--format", "json")
    assert done.code == 0, done.err
    # Two scores 0.1 apart: the offset is 1 / (1 + exp(0.1 β)), which is 0.01 at β = 10 ln 99.
    assert json.loads(done.out)["recommended_beta"] == pytest.approx(10 * np.log(99), rel=0.02)


def test_grad_writes_the_gradient(inside: Inside) -> None:
    done = inside("grad", inside.save("x.npy", [[0.0, 0.0]]), "--beta", "1", "-o", "g.npy")
    assert done.code == 0, done.err
    np.testing.assert_allclose(np.load(inside.folder / "g.npy"), [[-0.25, 0.25]], rtol=0, atol=1e-6)


def test_inspect_and_devices_say_what_is_there(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "surveyed", lambda: survey.Survey(""))  # importing TensorFlow takes seconds
    assert "3 × 4" in inside("inspect", inside.save("x.npy", TUTORIAL)).out
    assert "native runtime on CPU" in inside("devices").out


def test_a_missing_file_is_an_error(inside: Inside) -> None:
    done = inside("run", "nowhere.npy")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("softargmax: error: nowhere.npy")


def test_columns_of_names_are_told(inside: Inside) -> None:
    inside.write("x.csv", "id,a,b,c\n101,0.1,0.101,0.3\n102,0.2,0.1,0.7\n")
    done = inside("check", "x.csv", "--tol", "0.05")
    assert done.code == 2
    assert "--id-column id" in done.err
    assert "--columns '^id'" in done.err
    suggested = inside("inspect", "x.csv", "--quick").lines[-1].split()
    assert suggested[1:] == ["softargmax", "run", "x.csv", "--id-column", "id"]
    for command in ("run", "sweep"):
        for given in (["--id-column", "id"], ["--columns", "^id"], ["--columns", "2:"]):
            assert inside(command, "x.csv", *given).code == 0
    done = inside("run", "x.csv", "--delimiter", "COMMA", "--id-column", "id", "--format", "csv")
    assert [line.split(",")[1:4] for line in done.lines[1:]] == [["101", "2", "c"], ["102", "2", "c"]]
