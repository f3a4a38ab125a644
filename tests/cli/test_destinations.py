"""Where results go, and what the shared options accept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import typer

from softargmax_cli.api.arguments import device_of, size_of
from softargmax_cli.cli.options import beta_of
from softargmax_cli.cli.paths import Destination, choose_destinations
from softargmax_cli.errors import OptionError, as_typed
from softargmax_cli.files.reading import Reading

TABLE, TABLES = Destination(None, "", True), Destination(None, "", True, shared=True)


def chosen(inputs: list[str], output: str | None, format: str | None, several: bool = False) -> list[Destination]:
    return choose_destinations(inputs, output, format, several=several or len(inputs) > 1)


def test_a_table_where_nothing_is_asked_for() -> None:
    assert chosen(["a.npy"], None, None) == [TABLE]
    assert chosen(["a.npy", "b.csv"], None, None) == [TABLES, TABLES]
    assert chosen(["a.npy"], "-", None) == [TABLE]
    assert chosen(["a.npy", "-"], None, "table") == [TABLES, TABLES]


def test_a_format_goes_to_standard_output() -> None:
    for output, format in ((None, "csv"), ("-", "npz")):
        assert chosen(["a.npy"], output, format) == [Destination("-", format, False)]


@pytest.mark.parametrize("format", ["csv", "tsv", "json", "jsonl", "parquet"])
def test_tables_of_several_inputs(format: str) -> None:
    for output, path in ((None, "-"), (f"r.{format}", f"r.{format}")):
        both = Destination(path, format, False, shared=True)
        assert chosen(["a.npy", "b.npy"], output, format) == [both, both]
        assert chosen(["a.npy"], output, format, several=True) == [both]


@pytest.mark.parametrize("format", ["npy", "npz"])
def test_arrays_hold_one_input(format: str) -> None:
    with pytest.raises(OptionError, match=f'format="{format}" holds one input only') as caught:
        chosen(["a.npy", "b.npy"], None, format)
    assert caught.value.remedy == "use -o DIR/ for one file each"


@pytest.mark.parametrize(
    ("output", "format", "destination"),
    [
        ("r.csv", None, Destination("r.csv", "csv", False)),
        ("r.NPZ", None, Destination("r.NPZ", "npz", False)),
        ("a.b/r.jsonl", None, Destination("a.b/r.jsonl", "jsonl", False)),
        ("r.csv", "table", Destination("r.csv", "csv", True)),
        ("r.csv", "json", Destination("r.csv", "json", False)),
        ("r", "tsv", Destination("r", "tsv", False)),
        ("/dev/null", "npy", Destination("/dev/null", "npy", False)),
    ],
)
def test_a_file(output: str, format: str | None, destination: Destination) -> None:
    assert chosen(["a.npy"], output, format) == [destination]


@pytest.mark.parametrize("output", ["r.txt", "r.xlsx", "r", ".csv", "a.csv/r", "r.csv.gz", ""])
def test_a_suffix_that_names_no_format(output: str) -> None:
    with pytest.raises(OptionError, match="no") as caught:
        chosen(["a.npy"], output, None)
    assert caught.value.remedy.startswith("end the name in one of .npy .npz .csv .tsv .json .jsonl")
    with pytest.raises(OptionError, match="no"):
        chosen(["a.npy"], output, "table")


def test_one_file_for_several_inputs() -> None:
    with pytest.raises(OptionError, match=r"-o r\.npy holds one input only") as caught:
        chosen(["a.npy", "b.npy"], "r.npy", None)
    assert "-o r.npy/" in caught.value.remedy


@pytest.mark.parametrize(
    ("output", "remedy"),
    [("r.zarr", "-o DIR/ --format zarr"), ("r.zarr/", "-o DIR/ --format zarr"), ("s3://b/r.zarr/", "one run each")],
)
def test_one_store_for_several_inputs(output: str, remedy: str) -> None:
    with pytest.raises(OptionError, match=f"-o {output} holds one input only") as caught:
        chosen(["a.npy", "b.npy"], output, None)
    assert remedy in as_typed(caught.value.remedy)
    assert chosen(["a.npy"], output, None) == [Destination(output, "zarr", False)]
    found = chosen(["a.npy", "b.npy"], "d/", "zarr")
    assert found == [Destination("d/a.zarr", "zarr", False), Destination("d/b.zarr", "zarr", False)]


@pytest.mark.parametrize("output", ["s3://b/r.npy", "s3://b/d/", "zip://a::b.zip"])
def test_a_url_that_names_no_store(output: str) -> None:
    for inputs in (["a.npy"], ["a.npy", "b.npy"]):
        with pytest.raises(OptionError, match="a URL takes Zarr stores alone"):
            chosen(inputs, output, None)


def test_a_folder(tmp_path: Path) -> None:
    inputs = ["x/a.npy", "b.csv.gz", "frame.0001.npy", "frame.0002.npy", "-", "plain", ".hidden", "ü [1].TSV"]
    stems = ["a", "b", "frame.0001", "frame.0002", "stdin", "plain", ".hidden", "ü [1]"]
    for output in ("new/", str(tmp_path), f"{tmp_path}/"):
        got = chosen(inputs, output, None)
        assert got == [Destination(os.path.join(output, f"{stem}.csv"), "csv", False) for stem in stems]
    assert chosen(["a.npy"], "d/", "npz") == [Destination("d/a.npz", "npz", False)]
    assert chosen(["a.npy"], "d/", "table") == [Destination("d/a.csv", "csv", True)]


@pytest.mark.parametrize(
    ("inputs", "clash"),
    [
        (["a.npy", "a.csv"], "d/a.csv"),
        (["x/a.npy", "b.npy", "y/a.npy"], "d/a.csv"),
        (["a.csv", "a.csv.gz"], "d/a.csv"),
        (["-", "stdin.npy"], "d/stdin.csv"),
    ],
)
def test_two_inputs_of_one_name(inputs: list[str], clash: str) -> None:
    with pytest.raises(OptionError, match=f"{clash} would hold the results of several inputs"):
        chosen(inputs, "d/", None)


# Options


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
    kind = "scores"
    assert beta_of(None, None, kind) == 100.0
    assert beta_of(7.0, None, kind) == 7.0
    assert beta_of(None, 0.25, kind) == 4.0
    with pytest.raises(typer.BadParameter, match="give one of them"):
        beta_of(1.0, 1.0, kind)
    for temperature in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(typer.BadParameter, match="a finite number above 0"):
            beta_of(None, temperature, kind)
    assert beta_of(None, None, "probs") == 100.0  # which nothing uses
    for beta, temperature in ((100.0, None), (None, 1.0)):
        with pytest.raises(typer.BadParameter, match="--kind probs takes weights as they are: they have no --beta"):
            beta_of(beta, temperature, "probs")
