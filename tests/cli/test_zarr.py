"""Zarr stores on one machine: read chunk by chunk, and written as a group that is there as a whole or not."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from command import Inside, Softargmax
from oracle import assert_answers
from oracle import softargmax as oracle
from stores import flat, save, stored, zarr

from softargmax_cli.files.writers.atomic import displaced, remove_unfinished
from softargmax_cli.files.writers.zarr import Chunks, ZarrBoxWriter
from softargmax_cli.reduction import budget

pytestmark = pytest.mark.slow

Array = npt.NDArray[Any]

CHUNKS = (2, 3, 4)
X = np.random.default_rng(7).normal(size=(4, 5, 9))


@pytest.fixture(autouse=True)
def chunk_by_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A box is of the size of one chunk, however small; else the tests would need large arrays for several."""
    monkeypatch.setattr(budget, "SHARE", (256 << 20) // (math.prod(CHUNKS) * 8))


def chunk_of(folder: Path) -> Path:
    """The file of a chunk in the midst of an array."""
    return folder / "c" / "1" / "1" / "1"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no colons in names")
def test_colons_in_a_local_name_are_no_url(inside: Inside) -> None:
    inside.save("x::y.npy", X)
    os.mkdir(inside.folder / "c::d")
    assert inside("run", "x::y.npy", "--quiet", "-o", "a::b.npy").code == 0
    for name in ("a::b.zarr", "c::d/e::f.zarr"):
        assert inside("run", "x::y.npy", "--quiet", "-o", name).code == 0
        for given in ([f"{name}/soft"], [name, "--key", "soft"]):
            found, wanted = (inside("run", *of, "--format", "csv") for of in (given, ["a::b.npy"]))
            assert (found.code, found.out) == (0, wanted.out), found.err
        done = inside("run", f"{name}/none")
        assert (done.code, done.err.splitlines()[0]) == (2, f"softargmax: error: {name}/none: no Zarr store there")
    assert inside.names() == {"x::y.npy", "a::b.npy", "a::b.zarr", "c::d"}


@pytest.mark.parametrize("more", [{"zarr_format": 2}, {"dtype": ">f8", "shards": (4, 6, 8)}], ids=str)
def test_every_command_reads_it_as_the_array_in_memory(inside: Inside, more: dict[str, Any]) -> None:
    x = X.astype(more.get("dtype", "f8"))
    save(inside, "x.zarr", x, CHUNKS, **more)
    inside.save("x.npy", x, x.dtype.newbyteorder("=").str)
    for command in (
        ["run", "--format", "csv", "--axis", "1", "--window", "2", "--beta", "3"],
        ["run", "--format", "csv", "--axis", "2,0", "--beta", "3", "--select", "1:,::2"],
        ["grad", "--axis", "0", "--format", "csv", "--beta", "3"],
    ):
        found, wanted = (inside(command[0], name, *command[1:]) for name in ("x.zarr", "x.npy"))
        assert (found.code, wanted.code) == (0, 0), found.err + wanted.err
        for mine, theirs in zip(found.lines[1:], wanted.lines[1:], strict=True):
            for a, b in zip(mine.split(","), theirs.split(","), strict=True):
                assert a == b or abs(float(a) - float(b)) < 1e-6, (command, mine, theirs)
    swept = [inside("sweep", name, "--axis", "0", "--format", "csv") for name in ("x.zarr", "x.npy")]
    for mine, theirs in zip(*(done.lines[1:] for done in swept), strict=True):
        np.testing.assert_allclose(
            *(list(map(float, line.split(","))) for line in (mine, theirs)), rtol=1e-6, atol=1e-6
        )


@pytest.mark.parametrize("axes", [(0,), (2, 0)], ids=str)
def test_results_are_a_group_that_says_how(inside: Inside, axes: tuple[int, ...]) -> None:
    save(inside, "x.zarr", X, CHUNKS)
    np.save(inside.folder / "x.npy", np.asfortranarray(X))
    asked = ("--axis", ",".join(map(str, axes)), "--beta", "2", "--coords", "corners")
    for name in ("x.zarr", "x.npy"):
        done = inside("run", name, *asked, "-o", "out.zarr", "--force")
        assert (done.code, done.out) == (0, ""), done.err
        found = flat(stored(inside, "out.zarr"), len(axes))
        assert_answers(found, oracle(X, axes, 2.0, coords="corners"), single=False)
        said: Any = zarr.open_group(str(inside.folder / "out.zarr"), mode="r").attrs["softargmax"]
        wanted = {"axis": [axis % 3 for axis in axes], "beta": 2.0, "coords": "corners", "input": name}
        assert {key: said[key] for key in wanted} == wanted
        assert said["summary"]["slices"] == len(found.peak)
        assert said["version"]
    assert inside.names() == {"x.zarr", "x.npy", "out.zarr"}


def test_a_pipe_and_a_table_become_a_group(inside: Inside) -> None:
    rows = X.reshape(-1, 9)
    inside.save("x.npy", rows)
    np.savetxt(inside.folder / "x.csv", rows, delimiter=",", fmt="%.17g")
    for name, stdin in (("-", inside.read("x.npy")), ("x.csv", None)):
        assert inside("run", name, "-o", "out.zarr", "--beta", "2", "--force", stdin=stdin).code == 0
        assert_answers(flat(stored(inside, "out.zarr"), 1), oracle(rows, -1, 2.0), single=False)


def test_a_member_of_a_group_and_chunks_that_are_not_there(inside: Inside) -> None:
    group = zarr.open_group(str(inside.folder / "g.zarr"), mode="w")
    for name in ("a", "b/c"):
        group.create_array(name, shape=(4, 6), chunks=(2, 2), dtype="f4", fill_value=1.5)
    group["b/c"][1, 4] = 7
    for asked in (["g.zarr/b/c"], ["g.zarr", "--key", "b/c"]):
        done = inside("run", *asked, "--format", "json")
        assert [one["hard"] for one in json.loads(done.out)["slices"]] == [0, 4, 0, 0], done.err
    assert inside("run", "g.zarr").err == (
        "softargmax: error: g.zarr: 2 arrays in it: a, b/c\n  name one of them with --key a\n"
    )
    assert inside("run", "g.zarr/z").err == (
        "softargmax: error: g.zarr/z: no Zarr store there\n  name a directory or URL that holds zarr.json or .zarray\n"
    )
    assert json.loads(inside("inspect", "g.zarr/a", "--format", "json").out)["format"] == "zarr"


def test_nothing_is_left_of_a_run_that_fails(inside: Inside) -> None:
    save(inside, "x.zarr", X, CHUNKS, compressors=None)
    chunk = chunk_of(inside.folder / "x.zarr")
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:-8])
    asked = ("run", "x.zarr", "--beta", "2", "-o", "out.zarr")
    done = inside(*asked)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("softargmax: error: x.zarr: [2:4, 3:5, 4:8]: cannot be read: ")
    assert inside.names() == {"x.zarr"}
    chunk.write_bytes(whole)
    shutil.copytree(inside.folder / "x.zarr", inside.folder / "out.zarr.partial" / "hard")  # as after kill -9
    refused = inside(*asked)
    assert "out.zarr.partial is unfinished, since a run was killed" in refused.err
    assert refused.err.splitlines()[1:] == ["  begin anew with --force"]
    assert "out.zarr: no such file" in inside("run", "out.zarr").err
    assert inside(*asked, "--force").code == 0
    assert_answers(flat(stored(inside, "out.zarr"), 1), oracle(X, -1, 2.0), single=False)
    assert inside.names() == {"x.zarr", "out.zarr"}
    assert inside(*asked).err == "softargmax: error: out.zarr: the store exists\n  replace it with --force\n"


def test_a_signal_leaves_nothing(tmp_path: Path) -> None:
    with ZarrBoxWriter(str(tmp_path / "w.zarr"), "weights", np.dtype("f4"), (2, 3), (2, 3), force=False) as boxes:
        boxes.write((0, 0), np.ones((2, 3), "f4"))
        assert os.listdir(tmp_path) == ["w.zarr.partial"]
        remove_unfinished()
        assert os.listdir(tmp_path) == []


def test_a_store_is_put_back_if_none_takes_its_place(tmp_path: Path) -> None:
    target = tmp_path / "w.zarr"
    for end in (remove_unfinished, lambda: target.mkdir()):
        target.mkdir(exist_ok=True)
        (target / "old").write_text("")
        with displaced(str(target)):
            assert not target.exists()
            end()
        assert [path.name for path in tmp_path.iterdir()] == ["w.zarr"]
        assert (target / "old").exists() == (end is remove_unfinished)


def test_what_a_store_cannot_be(inside: Inside) -> None:
    save(inside, "x.zarr", X, CHUNKS)
    inside.save("x.npy", X)
    shutil.copytree(inside.folder / "x.zarr", inside.folder / "g.zarr" / "x")
    (inside.folder / "mine.zarr").mkdir()
    (inside.folder / "mine.zarr" / "file").write_bytes(b"mine")
    for arguments, what in {
        "x.npy -o r.zarr --plot p.png": "--plot cannot draw a run that writes a Zarr store",
        "x.zarr -o x.zarr --force": "x.zarr: the result would replace what it is made of",
        "g.zarr/x -o g.zarr --force": "g.zarr: the result would replace what it is made of",
        "x.npy -o mine.zarr --force": "mine.zarr: is in the way, and no Zarr store",
    }.items():
        done = inside("run", *arguments.split())
        assert (done.code, done.out) == (2, "")
        assert what in done.err
    assert inside.names() == {"x.zarr", "x.npy", "g.zarr", "mine.zarr"}
    assert inside("run", "x.zarr").code == 0


def test_inspect_says_how_an_array_is_stored(inside: Inside) -> None:
    save(inside, "x.zarr", X, CHUNKS, shards=(4, 6, 8))
    save(inside, "y.zarr", X, CHUNKS, zarr_format=2)
    done = inside("inspect", "x.zarr", "y.zarr")
    assert [line.split(None, 1) for line in done.lines if line.startswith(("  chunks", "  shards", "  codecs"))] == [
        ["chunks", "2 × 3 × 4"],
        ["shards", "4 × 6 × 8"],
        ["codecs", "zstd"],
        ["chunks", "2 × 3 × 4"],
        ["codecs", "zstd"],
    ]
    assert [line.split(None, 1)[1] for line in done.lines if line.startswith("  format")] == ["zarr 3", "zarr 2"]
    for line in inside("inspect", "x.zarr", "y.zarr", "--format", "json").lines:
        found = json.loads(line)
        assert (found["chunks"], found["codecs"]) == ([2, 3, 4], ["zstd"])
        assert (found["min"], found["max"]) == (X.min(), X.max())
    group = zarr.open_group(str(inside.folder / "g.zarr"), mode="w")
    for name in ("a", "b/c"):
        group.create_array(name, shape=(4, 6), dtype="f4")
    assert inside("inspect", "g.zarr").lines[1:] == [
        "  format  zarr",
        "  holds   a  float32 4 × 6",
        "          b/c  float32 4 × 6",
        "  try     softargmax run g.zarr --key a",
    ]


def test_chunks_that_no_memory_holds(inside: Inside) -> None:
    zarr.create_array(str(inside.folder / "x.zarr"), shape=(40_000, 5_000), chunks=(20_000, 5_000), dtype="f4")
    done = inside("run", "x.zarr")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "softargmax: error: x.zarr: --memory: one chunk of the input, 20000 × 5000, takes 400 MB, and as much again "
        "while it is decoded\n  use --memory 763MiB, or store the array in smaller chunks\n"
    )
    done = inside("inspect", "x.zarr")
    assert done.err.splitlines()[1] == "  look at its head alone, with --quick"
    assert inside("inspect", "x.zarr", "--quick").code == 0


def test_without_the_packages(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    save(inside, "x.zarr", X, CHUNKS)
    inside.save("x.npy", X)
    for package in ("zarr", "fsspec", "dask", "distributed"):
        monkeypatch.setitem(sys.modules, package, None)
    for arguments in ("x.zarr", "s3://bucket/x.zarr", "x.npy -o out.zarr", "x.npy --workers 2 -o out.zarr"):
        done = inside("run", *arguments.split())
        assert done.code == 2
        assert done.err.splitlines()[1].startswith("  pip install "), done.err
    assert inside("run", "x.npy").code == 0
    assert inside.names() == {"x.zarr", "x.npy"}


def test_a_store_that_appears_meanwhile_is_not_replaced(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    save(inside, "x.zarr", X, CHUNKS)

    def write(self: Chunks, *given: Any) -> None:
        if "out.zarr" not in inside.names():
            save(inside, "out.zarr", X[0], CHUNKS[1:])
        written(self, *given)

    written = Chunks.write
    monkeypatch.setattr(Chunks, "write", write)
    done = inside("run", "x.zarr", "--beta", "2", "-o", "out.zarr")
    assert (done.code, done.out) == (2, "")
    assert done.err == "softargmax: error: out.zarr: the store exists\n  replace it with --force\n"
    np.testing.assert_array_equal(zarr.open_array(str(inside.folder / "out.zarr"), mode="r")[...], X[0])
    done = inside("run", "x.zarr", "--beta", "2", "-o", "out.zarr", "--force")
    assert done.code == 0, done.err
    assert_answers(flat(stored(inside, "out.zarr"), 1), oracle(X, -1, 2.0), single=False)


def test_a_second_run_to_a_store_is_refused(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    save(inside, "x.zarr", X, CHUNKS)
    others = []

    def write(self: Chunks, *given: Any) -> None:
        if not others:
            for force in ((), ("--force",)):
                others.append(Softargmax(inside.folder)("run", "x.zarr", "--beta", "3", "-o", "out.zarr", *force))
        written(self, *given)

    written = Chunks.write
    monkeypatch.setattr(Chunks, "write", write)
    done = inside("run", "x.zarr", "--beta", "2", "-o", "out.zarr")
    assert (done.code, done.out) == (0, ""), done.err
    assert_answers(flat(stored(inside, "out.zarr"), 1), oracle(X, -1, 2.0), single=False)
    for other in others:
        assert (other.code, "another run writes" in other.err) == (2, True)
    assert inside.names() == {"x.zarr", "out.zarr"}


def test_what_a_store_grows_from_is_no_input_and_no_folder_of_others(inside: Inside) -> None:
    save(inside, "out.zarr.partial", X, CHUNKS)
    before = inside.names()
    done = inside("run", "out.zarr.partial", "--beta", "2", "-o", "out.zarr", "--force")
    assert (done.code, "would replace what it is made of" in done.err) == (2, True)
    assert inside.names() == before
    inside.save("x.npy", X[0])
    (inside.folder / "mine.zarr.partial").mkdir()
    inside.write("mine.zarr.partial/notes.txt", "precious")
    done = inside("run", "x.npy", "-o", "mine.zarr", "--force")
    assert (done.code, "mine.zarr.partial is in the way, and no Zarr store" in done.err) == (2, True)
    assert (inside.folder / "mine.zarr.partial" / "notes.txt").read_text() == "precious"


@pytest.mark.skipif(os.name != "posix", reason="there are other links")
def test_stores_by_links_and_in_directories_that_are_not_there(inside: Inside) -> None:
    inside.save("x.npy", X[0])
    (inside.folder / "far" / "sub").mkdir(parents=True)
    (inside.folder / "l.zarr").symlink_to("far/a.zarr")
    (inside.folder / "x").symlink_to("far/sub")
    for target, real in {"l.zarr": "far/a.zarr", "x/../b.zarr": "far/b.zarr", "far/c.zarr/": "far/c.zarr"}.items():
        for _ in range(2):
            done = inside("run", "x.npy", "--beta", "2", "-o", target, "--force")
            assert (done.code, done.out) == (0, ""), done.err
            assert_answers(flat(stored(inside, real), 1), oracle(X[0], -1, 2.0), single=False)
    assert (inside.folder / "l.zarr").is_symlink()
    for target in ("no/d.zarr", "no/deeper/d.zarr"):
        done = inside("run", "x.npy", "-o", target)
        assert (done.code, done.out) == (2, "")
        assert done.err.splitlines()[1:] == ["  check the name, the directory above it, and who may use it"]
    assert inside.names() == {"x.npy", "far", "l.zarr", "x"}
    assert {path.name for path in (inside.folder / "far").iterdir()} == {"sub", "a.zarr", "b.zarr", "c.zarr"}


def test_a_disk_that_is_full(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    inside.save("x.npy", X)

    def write(*given: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(zarr.Array, "__setitem__", write)
    done = inside("run", "x.npy", "-o", "out.zarr")
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[1:] == ["  free some space, or write elsewhere"]
    assert inside.names() == {"x.npy"}


def test_names_of_slices_are_not_kept_and_a_note_says_so(inside: Inside) -> None:
    (inside.folder / "x.csv").write_text("id,a,b\nr1,1,2\nr2,3,1\n")
    said = "note: x.csv: a Zarr store holds no names of slices; -o NAME.npz does"
    for more, noted in (((), True), (("--axis", "0"), False), (("--quiet",), False)):
        done = inside("run", "x.csv", "--id-column", "id", "-o", "out.zarr", "--force", *more)
        assert (done.code, said in done.err) == (0, noted), done.err
