"""Many inputs are one answer: folders, patterns, and the files that several inputs share."""

from __future__ import annotations

import csv
import json
import os

import numpy as np
import pyarrow.parquet
import pytest
from command import Inside

ROWS = {"a": [[0.0, 1.0, 0.25], [1.0, 0.0, 0.5]], "b": [[0.0, 0.5, 1.0]], "c": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]}


@pytest.fixture
def folder(inside: Inside) -> Inside:
    """A folder `d` with three arrays, a text and a hidden file, and a folder within it."""
    (inside.folder / "d" / "deeper").mkdir(parents=True)
    np.save(inside.folder / "d" / "deeper" / "x.npy", [[9.0, 1.0]])
    np.save(inside.folder / "d" / "b.npy", ROWS["b"])
    np.save(inside.folder / "d" / ".hidden.npy", ROWS["b"])
    np.savetxt(inside.folder / "d" / "c.csv", ROWS["c"], delimiter=",")
    np.savez(inside.folder / "d" / "a.npz", scores=ROWS["a"])
    (inside.folder / "d" / "readme.txt").write_text("Heatmaps of 3 cameras.\n")
    return inside


def expected() -> list[dict[str, object]]:
    names = {"a": "d/a.npz[scores]", "b": "d/b.npy", "c": "d/c.csv"}
    return [
        {"input": names[name], "index": k, "hard": int(np.argmax(row))}
        for name in "abc"
        for k, row in enumerate(ROWS[name])
    ]


def test_a_folder_is_its_arrays_by_name(folder: Inside) -> None:
    done = folder("run", "d", "--format", "csv")
    assert done.code == 0
    rows = list(csv.DictReader(done.lines))
    assert [{"input": r["input"], "index": int(r["index"]), "hard": int(r["hard"])} for r in rows] == expected()
    assert done.err == "softargmax: note: d: left out readme.txt: no array of scores\n"


@pytest.mark.parametrize("format", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_one_file_of_all_inputs(folder: Inside, format: str) -> None:
    done = folder("run", "d", "-o", f"all.{format}", "--quiet")
    assert (done.code, done.raw, done.err) == (0, b"", "")
    path = folder.folder / f"all.{format}"
    if format == "parquet":
        rows = pyarrow.parquet.read_table(path).to_pylist()
    elif format == "json":
        whole = json.loads(path.read_text())
        assert (whole["summary"]["slices"], len(whole["inputs"])) == (5, 3)
        rows = [{"input": each["input"], **row} for each in whole["inputs"] for row in each["slices"]]
    elif format == "jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        rows = list(csv.DictReader(path.read_text().splitlines(), delimiter="," if format == "csv" else "\t"))
    found = [{"input": r["input"], "index": int(np.ravel(r["index"])[0]), "hard": int(r["hard"])} for r in rows]
    assert found == expected()


def test_what_is_written_is_no_input(folder: Inside) -> None:
    first = folder("run", "d", "-o", "d/all.csv")
    assert (first.code, folder("run", "d", "-o", "d/all.csv", "--force").code) == (0, 0)
    assert "all inputs: 5 slices" in first.err


def test_tables_and_a_line_for_all(folder: Inside) -> None:
    done = folder("run", "d/*.npy", "d/c.csv")
    lines = done.lines
    assert [line.split(" ")[0] for line in lines if line.startswith("d/")] == ["d/b.npy", "d/c.csv"]
    assert lines[-1].startswith("all inputs: 3 slices · max |offset| ")


def test_a_pattern_that_matches_one_file_names_it(folder: Inside) -> None:
    done = folder("run", "d/b.*", "--format", "jsonl")
    assert json.loads(done.raw)["input"] == "d/b.npy"
    assert b"input" not in folder("run", "d/b.npy", "--format", "jsonl").raw


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["d/deeper/*.csv"], "d/deeper/*.csv: no input matches the pattern"),
        (["d/c.*", "-o", "d/c.csv"], "d/c.*: no input matches the pattern"),
        (["empty"], "empty: the folder holds no array"),
        (["d", "--format", "npy"], "--format npy holds one input only"),
        (["d", "-o", "all.npz"], "-o all.npz holds one input only"),
        (["d", "d/a.npz", "-o", "out/"], "out/a.csv would hold the results of several inputs"),
    ],
)
def test_what_cannot_be_done(folder: Inside, arguments: list[str], said: str) -> None:
    (folder.folder / "empty").mkdir()
    done = folder("run", *arguments)
    assert (done.code, done.raw) == (2, b"")
    assert done.err.startswith(f"softargmax: error: {said}")


def test_other_columns_cannot_share_a_table(folder: Inside) -> None:
    np.save(folder.folder / "d" / "z.npy", np.zeros((2, 2, 3)))
    done = folder("run", "d", "-o", "all.parquet")
    assert done.code == 2
    assert "d/z.npy: its slices have other columns than those before them; they differ in index_0, index_1" in done.err
    assert "note: all.parquet is not written, since an input could not be used" in done.err
    assert not (folder.folder / "all.parquet").exists()
    assert folder("run", "d", "--format", "jsonl", "--quiet").code == 0


def test_a_damaged_array_spoils_a_shared_file_alone(folder: Inside) -> None:
    (folder.folder / "d" / "b.npy").write_bytes(b"\x93NUMPY\x01\x00")
    assert folder("run", "d", "-o", "all.csv").code == 2
    assert not (folder.folder / "all.csv").exists()
    done = folder("run", "d", "--format", "json")
    assert done.code == 2
    assert [each["input"] for each in json.loads(done.raw)["inputs"]] == ["d/a.npz[scores]", "d/c.csv"]


def test_an_input_that_fails_midway_leaves_a_document_that_can_be_read(folder: Inside) -> None:
    np.save(folder.folder / "d" / "b.npy", np.where(np.arange(30_000) == 29_999, np.nan, 0.0).reshape(-1, 3))
    done = folder("run", "d", "--format", "json", "--memory", "16MiB")
    assert (done.code, json.loads(done.raw)["summary"]["slices"]) == (2, 4)


def test_a_document_of_inputs_that_all_fail_can_be_read(inside: Inside) -> None:
    for name in ("x.npy", "y.npy"):
        inside.save(name, [[np.nan, 1.0]])
    done = inside("run", "x.npy", "y.npy", "--format", "json")
    assert (done.code, [each["slices"] for each in json.loads(done.raw)["inputs"]]) == (2, [[], []])
    assert inside("run", "x.npy", "y.npy", "-o", "all.csv").err.endswith("since an input could not be used\n")
    assert not (inside.folder / "all.csv").exists()


def test_check_judges_each_and_all(folder: Inside) -> None:
    np.save(folder.folder / "d" / "b.npy", [[1.0, 0.0, 1.0]])
    np.save(folder.folder / "d" / "e.npy", [[1.0, 0.0, 1.0]])
    done = folder("check", "d", "--allow", "1", "--quiet")
    assert done.code == 1  # each may have one, and together there are two
    lines = done.lines
    assert [line.split(":")[0] for line in lines] == ["passed"] * 4 + ["FAILED"]
    assert lines[-1] == "FAILED: all inputs: 2 of 6 slices beyond |offset| <= 0.01 (largest: 1), 1 allowed"
    report = json.loads(folder("check", "d", "--allow", "2", "--format", "json", "--quiet").raw)
    assert report["summary"] == {"inputs": 4, "passed": 4, "failed": 0, "slices": 6, "failed_slices": 2, "errors": 0}


def test_grad_and_inspect_take_folders(folder: Inside) -> None:
    rows = list(csv.DictReader(folder("grad", "d", "--format", "csv", "--quiet").lines))
    assert [(row["input"], int(row["hard"])) for row in rows] == [(row["input"], row["hard"]) for row in expected()]
    assert folder("inspect", "d", "--quiet").out.count("softargmax run d/") == 3


# Some slices


def chosen(inside: Inside, *options: str) -> list[int]:
    done = inside("run", "x.npy", "--format", "jsonl", "--beta", "1", *options)
    assert (done.code, done.err) == (0, "")
    return [json.loads(line)["index"][0] for line in done.lines]


@pytest.fixture
def states(inside: Inside) -> Inside:
    """A file with slices of every state: fine, disagreeing, two modes, tied, undefined."""
    x = [[0, 99, 0, 0, 0], [3, 0, 0, 0, 2.5], [0, 50, 0, 49, 0], [0, 9, 9, 0, 0], [np.nan] * 5, [0, 0, 0, 99, 0]]
    np.save(inside.folder / "x.npy", np.array(x))
    return inside


def test_slices_in_a_state(states: Inside) -> None:
    nan = ("--nan", "propagate")
    assert chosen(states, "--only", "undefined", *nan) == [4]
    assert chosen(states, "--only", "tied", *nan) == [3]
    assert chosen(states, "--only", "multimodal", *nan) == [1, 2]
    assert chosen(states, "--only", "disagree", *nan) == [1, 2, 3]
    assert chosen(states, "--only", "disagree", "--worst", "1", *nan) == [1]


def test_no_slice_in_a_state(inside: Inside) -> None:
    inside.save("x.npy", [[1.0, 0.0]])
    inside.save("y.npy", [[1.0, 1.0]])
    assert inside("run", "x.npy", "--only", "tied").lines[2] == "no slice to show"
    for format, found in (("csv", 1), ("jsonl", 0)):
        done = inside("run", "x.npy", "--only", "tied", "--format", format)
        assert (done.code, len(done.lines)) == (0, found), done.err
    assert json.loads(inside("run", "x.npy", "--only", "tied", "--worst", "3", "--format", "json").raw)["slices"] == []
    done = inside("run", "x.npy", "y.npy", "--only", "tied", "--format", "jsonl")
    assert [json.loads(line)["input"] for line in done.lines] == ["y.npy"]
    assert inside("run", "x.npy", "--only", "tied", "-o", "none.parquet").code == 0
    assert pyarrow.parquet.read_table(inside.folder / "none.parquet").num_rows == 0


def test_the_worst_slices(states: Inside) -> None:
    done = states("run", "x.npy", "--nan", "omit", "--format", "jsonl")
    rows = [json.loads(line) for line in done.lines]
    by_offset = sorted((row for row in rows if row["offset"] is not None), key=lambda r: -abs(r["offset"]))
    done = states("run", "x.npy", "--nan", "omit", "--format", "jsonl", "--worst", "3")
    assert [json.loads(line) for line in done.lines] == by_offset[:3]
    table = states("run", "x.npy", "--nan", "omit", "--worst", "2", "--plot", "worst.svg").out
    assert [int(line.split()[0]) for line in table.splitlines()[:-1] if line.strip()[:1].isdigit()] == [
        row["index"][0] for row in by_offset[:2]
    ]
    assert table.splitlines()[-1].startswith("6 slices")
    assert (states.folder / "worst.svg").stat().st_size > 1000


def test_the_worst_of_blocks_of_a_large_file(inside: Inside) -> None:
    x = np.random.default_rng(5).normal(size=(50_000, 4))
    np.save(inside.folder / "x.npy", x)
    p = np.exp(x - x.max(axis=1, keepdims=True))
    offset = (p * np.arange(4)).sum(axis=1) / p.sum(axis=1) - x.argmax(axis=1)
    assert chosen(inside, "--worst", "7") == np.argsort(-np.abs(offset), kind="stable")[:7].tolist()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--only", "tied", "-o", "x.npz"], "--only tied keeps some slices, but an array holds all"),
        (["--worst", "3", "--format", "npy"], "--worst 3 keeps some slices, but an array holds all"),
        (["--worst", "0"], "Invalid value for '--worst'"),
    ],
)
def test_a_choice_that_cannot_be(states: Inside, options: list[str], said: str) -> None:
    done = states("run", "x.npy", *options)
    assert (done.code, done.raw) == (2, b"")
    assert done.err.startswith(f"softargmax: error: {said}")


# Compared with others


@pytest.mark.parametrize("format", ["csv", "json"])
def test_check_reads_what_run_wrote_of_several_inputs(folder: Inside, format: str) -> None:
    assert folder("run", "d", "-o", f"all.{format}", "--quiet").code == 0
    assert folder("check", "d", "--expect", f"all.{format}", "--quiet").code == 0
    np.save(folder.folder / "d" / "b.npy", [[1.0, 0.5, 0.0]])
    done = folder("check", "d", "--expect", f"all.{format}", "--quiet")
    assert done.code == 1
    assert [line.split(":")[0] for line in done.lines if line.startswith(("passed", "FAILED"))] == [
        *("passed", "FAILED", "passed", "FAILED")
    ]
    np.save(folder.folder / "d" / "b.npy", ROWS["b"])
    assert folder("check", "d/c.csv", "d/b.npy", "d/a.npz", "--expect", f"all.{format}", "--quiet").code == 0
    assert folder("check", "d/b.npy", "--expect", f"all.{format}", "--quiet").code == 0  # its rows alone
    done = folder("check", "d/b.npy", "d/a.npz", "--expect", f"all.{format}")
    assert (done.code, done.err.count("\n")) == (2, 2)
    assert f"all.{format}: also holds d/c.csv, which is not among the inputs" in done.err
    np.save(folder.folder / "d" / "new.npy", ROWS["b"])
    done = folder("check", "d", "--expect", f"all.{format}", "--quiet")
    assert done.code == 2
    assert f"all.{format}: holds no slices of d/new.npy" in done.err
    assert done.lines[-1].startswith("FAILED: all inputs: ")
    assert done.lines[-1].endswith("1 input could not be used")


def test_a_folder_of_results_is_matched_by_name(folder: Inside) -> None:
    assert folder("run", "d", "-o", "soft/", "--format", "npy", "--quiet").code == 0
    assert folder("check", "d", "--expect", "soft", "--quiet").code == 0
    (folder.folder / "soft" / "b.npy").rename(folder.folder / "soft" / "x.npy")
    done = folder("check", "d", "--expect", "soft", "--quiet")
    assert done.code == 2
    assert done.err == (
        "softargmax: error: d/b.npy: --expect soft has no file for it\n  name it b.npy or b.csv there\n"
    )


def test_a_truth_of_several_inputs_is_a_table_with_their_names(folder: Inside) -> None:
    rows = [f"{row['input']},{row['hard']}" for row in expected()]
    folder.write("truth.csv", "\n".join(["input,x", *rows]))
    done = folder("evaluate", "d", "--truth", "truth.csv", "--format", "json", "--quiet")
    assert done.code == 0, done.err
    assert json.loads(done.raw)["summary"]["estimates"][0]["mean_error"] == 0
    folder.write("truth.csv", "\n".join(["x", *(row.split(",")[1] for row in rows)]))
    done = folder("evaluate", "d", "--truth", "truth.csv", "--quiet")
    assert (done.code, "truth.csv: holds one input, but several are compared" in done.err) == (2, True), done.err


def test_one_name_in_two_folders_is_compared_once(folder: Inside) -> None:
    folder.write("soft.csv", "soft\n2\n")
    (folder.folder / "e").mkdir()
    (folder.folder / "soft").mkdir()
    np.save(folder.folder / "e" / "b.npy", ROWS["b"])
    np.save(folder.folder / "soft" / "b.npy", [2.0])
    done = folder("check", "d/b.npy", "e/b.npy", "--expect", "soft", "--quiet")
    assert done.code == 2
    assert "error: e/b.npy: --expect soft/b.npy is used for d/b.npy already" in done.err
    assert folder("check", "d/b.npy", "--expect", "soft", "--quiet").code == 0


def test_results_beside_their_inputs_are_no_inputs(folder: Inside) -> None:
    (folder.folder / "d" / "c.csv").rename(folder.folder / "d" / "c.txt")
    for format in ("csv", "tsv", "jsonl", "parquet"):
        for _ in range(2):
            done = folder("run", "d", "-o", "d/", "--format", format, "--force")
            assert done.code == 0, done.err
    assert folder("run", "d/c.txt", "-o", "d/r.npz", "--quiet").code == 0
    assert len(folder("run", "d", "--format", "jsonl", "--quiet").lines) == 5


def test_an_odd_name_comes_back(folder: Inside) -> None:
    os.rename(folder.folder / "d" / "b.npy", os.fsencode(folder.folder) + b"/d/n\xff.npy")
    for format in ("csv", "parquet", "jsonl"):
        assert folder("run", "d", "-o", f"all.{format}", "--quiet").code == 0
        done = folder("check", "d", "--expect", f"all.{format}", "--quiet")
        assert done.code == 0, done.err
