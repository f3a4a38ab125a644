"""What is run, checked and inspected in files of every format, and in parts of them."""

from __future__ import annotations

import io
import json
import shlex
import sys
import zipfile

import h5py
import numpy as np
import pytest
from answers import assert_answered
from command import Done, Inside
from files import ANY_SHAPE, TABLES, npz, parquet
from oracle import softargmax as answer
from safetensors.numpy import save_file

VALUES = np.random.default_rng(4).standard_normal((9, 7)).astype("f4")


def refused(done: Done) -> str:
    """Exit code 2, nothing on standard output, one to three lines; the first of them."""
    assert (done.code, done.raw) == (2, b""), done.err
    assert 1 <= len(done.err.splitlines()) <= 3
    assert done.err.startswith("softargmax: error: ")
    assert "Traceback" not in done.err
    assert "defect" not in done.err
    return done.err.removeprefix("softargmax: error: ")


@pytest.mark.slow
@pytest.mark.parametrize("form", [*ANY_SHAPE, *TABLES])
def test_a_window_over_a_split_axis(inside: Inside, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which reads twice: what can only be read in order is copied first."""
    monkeypatch.setattr("softargmax_cli.reduction.budget.BLOCK", 64)
    name = inside.write("data.bin", {**ANY_SHAPE, **TABLES}[form](VALUES))
    done = inside("run", name, "--axis", "0", "--beta", "3", "--window", "1", "--format", "npz")
    assert_answered(done, "npz", answer(VALUES, 0, 3.0, window=1), single=not form.startswith("csv"))


def test_names_of_rows_and_columns_go_with_the_part(inside: Inside) -> None:
    text = "name,a,b,c\n" + "".join(f"r{k},{k},{10 - k},5\n" for k in range(9))
    inside.write("t.csv", text)
    import pyarrow.csv
    import pyarrow.parquet

    table = pyarrow.csv.read_csv(inside.folder / "t.csv")
    pyarrow.parquet.write_table(table, inside.folder / "t.parquet", row_group_size=4)
    for name in ("t.csv", "t.parquet"):
        select = "2:8:3,::-1" if name == "t.csv" else "2:8:3,::2"
        done = inside("run", name, "--id-column", "name", "--select", select, "--format", "jsonl")
        assert (done.code, done.err) == (0, "")
        rows = [json.loads(line) for line in done.lines]
        assert [(row["index"], row["id"]) for row in rows] == [([0], "r2"), ([1], "r5")]
        assert [row["label"] for row in rows] == (["b", "c"] if name == "t.csv" else ["c", "a"])
        along = inside("run", name, "--id-column", "name", "--select", "3:,1:", "--axis", "0", "--format", "jsonl")
        assert [json.loads(line)["id"] for line in along.lines] == ["b", "c"]


def test_what_was_written_is_read(inside: Inside) -> None:
    """`run -o x.npz` has a member for each field: soft is read by its name, and expected without it."""
    inside.save("x.npy", VALUES, "float32")
    assert inside("run", "x.npy", "--quiet", "-o", "r.npz").code == 0
    soft = np.load(inside.folder / "r.npz")["soft"]
    done = inside("run", "r.npz", "--key", "soft", "--format", "npz", "--beta", "3")
    assert_answered(done, "npz", answer(soft, 0, 3.0))
    several = refused(inside("run", "r.npz"))
    assert several.startswith("r.npz: a result of softargmax, not scores\n")
    assert inside("check", "x.npy", "--expect", "r.npz").code == 0
    assert inside("check", "x.npy", "--expect", "r.npz", "--beta", "3").code == 1
    np.savez_compressed(inside.folder / "one.npz", result=soft)
    assert inside("check", "x.npy", "--expect", "one.npz").code == 0
    assert "r.npz[soft]: shape (9,) is not that of" in refused(
        inside("check", "x.npy", "--expect", "r.npz", "--axis", "0")
    )
    np.savez(inside.folder / "v.npz", places=np.arange(7.0) * 2)
    twice = inside("run", "x.npy", "--values", "v.npz", "--format", "npz")
    assert_answered(twice, "npz", answer(VALUES, values_of=[np.arange(7.0) * 2]), single=True, scale=2)


def test_a_wrong_name_and_none(inside: Inside) -> None:
    np.savez(inside.folder / "a.npz", scores=VALUES, labels=np.arange(9))
    save_file({"scores": VALUES, "labels": np.arange(9)}, inside.folder / "a.safetensors")
    with h5py.File(inside.folder / "a.h5", "w") as file:
        file["scores"], file["labels"] = VALUES, np.arange(9)
    for name in ("a.npz", "a.safetensors", "a.h5"):
        what, remedy = refused(inside("run", name)).splitlines()
        assert what.startswith(f"{name}: 2 arrays in it: ")
        assert set(what.partition("in it: ")[2].split(", ")) == {"scores", "labels"}
        assert remedy.startswith("  name one of them with --key ")
        assert refused(inside("run", name, "--key", "scorse")) == (
            f"{name}: no array is named scorse\n  did you mean --key scores?\n"
        )


@pytest.mark.slow
def test_hostile_names_of_members(inside: Inside) -> None:
    """They are text: never a path, never markup, never an escape."""
    names = ["../../evil", "/etc/passwd", "\x1b[31mred", "[bold]x", "a b", "'quoted'"]
    np.savez(inside.folder / "a.npz", **dict.fromkeys(names, VALUES))
    for arguments in (["run", "a.npz"], ["inspect", "a.npz"], ["run", "a.npz", "--key", "\x1b[31mred"]):
        done = inside(*arguments)
        assert "\x1b" not in done.out + done.err
        assert done.code == (2 if arguments == ["run", "a.npz"] else 0)
    for name in names:
        assert inside("run", "a.npz", "--key", name).code == 0
        found = json.loads(inside("inspect", "a.npz", "--key", name, "--format", "json").out)
        if name.isprintable():
            _, *words = shlex.split(found["suggestion"])
            assert inside(*words).code == 0
    assert inside.names() == {"a.npz"}
    assert not (inside.folder.parent / "evil.npy").exists()


def test_a_bad_checksum_leaves_the_output_as_it_was(inside: Inside) -> None:
    content = npz(np.random.default_rng(0).integers(0, 9, (3000, 50)).astype("f4"), packed=True)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        crc = archive.infolist()[0].CRC.to_bytes(4, "little")
    inside.write("a.npz", content.replace(crc, bytes([crc[0] ^ 1, *crc[1:]])))
    inside.write("r.csv", "as it was")
    for axis in ("0", "1"):
        error = refused(inside("run", "a.npz", "--axis", axis, "-o", "r.csv", "--force"))
        assert error.startswith("a.npz[scores]: damaged")
    assert inside.read("r.csv") == b"as it was"
    assert inside.names() == {"a.npz", "r.csv"}


def test_selections_that_leave_nothing(inside: Inside) -> None:
    inside.save("x.npy", VALUES)
    for select, what in {
        "9": "x.npy: --select 9: 9 is out of range for axis 0, of length 9",
        "0,0,0": "x.npy: --select 0,0,0: 3 indices for an array of 2 axes",
        "0,0": "x.npy: the array has no axis (shape ()), so there is nothing to reduce",
    }.items():
        assert refused(inside("run", "x.npy", "--select", select)).splitlines()[0] == what
    assert "0 slices" in inside("run", "x.npy", "--select", "5:5").out
    assert "--select: '[0,1]' is no selection\n" in refused(inside("run", "x.npy", "--select", "[0,1]"))


def test_inspecting(inside: Inside) -> None:
    np.savez(inside.folder / "a.npz", scores=VALUES, names=np.array(["x", "y"]), counts=np.arange(3))
    done = inside("inspect", "a.npz")
    assert (done.code, done.err) == (0, "")
    assert [line.strip() for line in done.lines if "×" in line or "int64" in line] == [
        "holds    scores  float32 9 × 7",
        "counts  int64 3",
    ]
    assert "           names  dtype <U1 holds no real numbers" in done.lines
    assert done.lines[-1] == "  try      softargmax run a.npz --key scores"
    listed = json.loads(inside("inspect", "a.npz", "--format", "json").out)
    assert list(listed) == ["input", "format", "bytes", "members", "suggestion"]
    assert listed["members"][0] == {"name": "scores", "shape": [9, 7], "dtype": "float32", "why_not": None}
    found = json.loads(inside("inspect", "a.npz", "--key", "scores", "--select", "1:,::2", "--format", "json").out)
    assert (found["input"], found["format"], found["shape"]) == ("a.npz[scores]", "npz", [8, 4])
    assert len(found["members"]) == 3
    assert found["suggestion"] == "softargmax run a.npz --key scores --select 1:,::2"
    inside.write("t.parquet", parquet(VALUES))
    table = json.loads(inside("inspect", "t.parquet", "--format", "json").out)
    assert (table["format"], table["shape"], table["dtype"]) == ("parquet", [9, 7], "float32")
    assert (table["header"], table["min"]) == ([f"c{k}" for k in range(7)], VALUES.min())


def test_hdf5_chunks_that_the_memory_does_not_hold_twice(inside: Inside) -> None:
    values = np.zeros((3000, 1000), "f4")
    values[np.arange(3000), np.arange(3000) % 1000] = 1
    with h5py.File(inside.folder / "x.h5", "w") as file:
        file.create_dataset("x", data=values, chunks=(3000, 900), compression="gzip", compression_opts=1)
    done = inside("run", "x.h5", "--memory", "16MiB")
    first, remedy = refused(done).splitlines()
    assert first == (
        "x.h5[x]: --memory: one chunk of the input, 3000 × 900, takes 11 MB, and as much again while it is decoded"
    )
    assert remedy == "  use --memory 21MiB, or store the array in smaller chunks"
    done = inside("run", "x.h5", "--memory", "21MiB", "--format", "npy", "--beta", "100")
    np.testing.assert_allclose(np.load(io.BytesIO(done.raw)), np.arange(3000) % 1000, atol=1e-6)


def test_hdf5_without_its_package(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    inside.write("a.h5", ANY_SHAPE["hdf5"](VALUES))
    monkeypatch.setitem(sys.modules, "h5py", None)
    monkeypatch.delitem(sys.modules, "softargmax_cli.files.formats.hdf5", raising=False)
    assert refused(inside("run", "a.h5")) == (
        "a.h5: an HDF5 file, and h5py, which reads them, is not installed\n"
        "  pip install h5py hdf5plugin\n  they are the extra named hdf5\n"
    )
