"""Where results go, and what the shared options accept."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from softargmax_cli.api.arguments import beta_of, device_of, size_of
from softargmax_cli.cli.outputs import Outputs
from softargmax_cli.errors import OptionError, as_typed
from softargmax_cli.files.reading import Reading


def chosen(inputs: str, output: str | None, format: str | None) -> tuple[list[str | None], str, bool]:
    """The places of some inputs, their format, and whether there is a table."""
    names = inputs.split()
    job: Any = SimpleNamespace(names=names, several=len(names) > 1)
    outputs = Outputs(job, output, format)
    return outputs.paths, outputs.format, outputs.table


@pytest.mark.parametrize(
    ("inputs", "output", "format", "places"),
    [
        ("a.npy", None, None, ([None], "", True)),
        ("a.npy b.csv", None, None, ([None, None], "", True)),
        ("a.npy -", "-", "table", ([None, None], "", True)),
        ("a.npy", None, "csv", (["-"], "csv", False)),
        ("a.npy", "-", "npz", (["-"], "npz", False)),
        ("a.npy b.npy", None, "tsv", (["-", "-"], "tsv", False)),
        ("a.npy b.npy", "r.parquet", None, (["r.parquet"] * 2, "parquet", False)),
        ("a.npy", "r.NPZ", None, (["r.NPZ"], "npz", False)),
        ("a.npy", "a.b/r.jsonl", None, (["a.b/r.jsonl"], "jsonl", False)),
        ("a.npy", "r.csv", "table", (["r.csv"], "csv", True)),
        ("a.npy", "r.csv", "json", (["r.csv"], "json", False)),
        ("a.npy", "/dev/null", "npy", (["/dev/null"], "npy", False)),
        ("a.npy", "d/", "npz", (["d/a.npz"], "npz", False)),
        ("a.npy", "d/", "table", (["d/a.csv"], "csv", True)),
        ("a.npy b.npy", "d/", "zarr", (["d/a.zarr", "d/b.zarr"], "zarr", False)),
        ("a.npy", "s3://b/r.zarr/", None, (["s3://b/r.zarr/"], "zarr", False)),
    ],
)
def test_places(inputs: str, output: str | None, format: str | None, places: tuple[list[str], str, bool]) -> None:
    assert chosen(inputs, output, format) == places


def test_a_folder(tmp_path: Path) -> None:
    stems = {"x/a.npy": "a", "b.csv.gz": "b", "frame.0001.npy": "frame.0001", "-": "stdin", ".hidden": ".hidden"}
    for output in ("new/", str(tmp_path), f"{tmp_path}/"):
        places = [os.path.join(output, f"{stem}.csv") for stem in stems.values()]
        assert chosen(" ".join(stems), output, None) == (places, "csv", False)


@pytest.mark.parametrize(
    ("inputs", "output", "format", "what", "remedy"),
    [
        *(("a.npy", name, None, "no", "end the name in one of .npy .npz .csv") for name in ("r.txt", "r", ".csv", "")),
        ("a.npy", "r.csv.gz", "table", "the suffix .gz names no output format", "end the name in one of .npy"),
        ("a.npy b.npy", None, "npy", "--format npy holds one input only", "use -o DIR/ for one file each"),
        ("a.npy b.npy", "r.npy", None, "-o r.npy holds one input only", "use -o DIR/ --format npy for one file each"),
        ("a.npy b.npy", "r.zarr/", None, "-o r.zarr/ holds one input only", "use -o DIR/ --format zarr for one store"),
        ("a.npy b.npy", "s3://b/r.zarr", None, "-o s3://b/r.zarr holds one input only", "use one run each"),
        ("a.npy", "s3://b/r.npy", None, "only a Zarr store can be written to a URL", "let the name end in .zarr"),
        ("a.npy b.npy", "s3://b/d/", None, "only a Zarr store can be written to a URL", "let the name end in .zarr"),
        (
            "a.npy",
            "-",
            "zarr",
            "a Zarr store cannot go to standard output or be a table",
            "write it with -o NAME.zarr alone",
        ),
        ("x/a.npy b.npy y/a.npy", "d/", None, "d/a.csv would hold the results of several", "write them into different"),
        ("a.csv a.csv.gz", "d/", None, "d/a.csv would hold the results of several inputs", "write them into different"),
        ("- stdin.npy", "d/", None, "d/stdin.csv would hold the results of several", "write them into different"),
    ],
)
def test_no_place(inputs: str, output: str | None, format: str | None, what: str, remedy: str) -> None:
    with pytest.raises(OptionError) as caught:
        chosen(inputs, output, format)
    assert what in as_typed(caught.value.what)
    assert as_typed(caught.value.remedy).startswith(remedy)


def test_devices_sizes_and_delimiters() -> None:
    assert [device_of(text) for text in ("cpu", "GPU:1", "gpu:12")] == ["cpu", "gpu:1", "gpu:12"]
    for text in ("", "tpu", "gpu:x", "cpu:0", "gpu:-1", "gpu:0\n"):
        with pytest.raises(OptionError, match="is no device"):
            device_of(text)
    with pytest.raises(OptionError, match="is no size"):
        size_of("much")
    spelled = {",": ",", "tab": "\t", "\\t": "\t", "space": " "}
    assert {text: Reading(delimiter=text).delimiter for text in spelled} == spelled
    for text in ("", ",,", '"', "é"):
        with pytest.raises(OptionError, match="is no delimiter"):
            Reading(delimiter=text)


def test_beta_and_temperature() -> None:
    assert [beta_of(None, None), beta_of(7.0, None), beta_of(None, 0.25)] == [100, 7, 4]
    with pytest.raises(OptionError, match="give one of them"):
        beta_of(1.0, 1.0)
    for temperature in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(OptionError, match="a finite number above 0"):
            beta_of(None, temperature)
