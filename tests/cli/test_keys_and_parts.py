"""What is run, checked and inspected in files of every format, and in parts of them."""

from __future__ import annotations

import io
import json
import shlex
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from answers import assert_answered
from command import Done, Inside, Softargmax
from files import ANY_SHAPE, TABLES, npz, parquet
from oracle import softargmax as answer
from safetensors.numpy import save_file

import softargmax_cli
from softargmax_cli.errors import InputError, OptionError

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
def test_the_same_answers_from_every_format(inside: Inside, form: str) -> None:
    name = inside.write("data.bin", {**ANY_SHAPE, **TABLES}[form](VALUES))
    single = not form.startswith("csv")
    done = inside("run", name, "--axis", "0", "--beta", "3", "--format", "npz")
    assert_answered(done, "npz", answer(VALUES, 0, 3.0), single=single)
    document = json.loads(inside("run", name, "--window", "2", "--memory", "16MiB", "--format", "json").out)
    assert document["shape"] == [9, 7]
    assert document["dtype"] == ("float32" if single else "float64")
    key = {"npz": "[scores]", "safetensors": "[scores]", "hdf5": "[group/scores]"}.get(form.partition(",")[0], "")
    assert document["input"] == f"data.bin{key}"


@pytest.mark.slow
@pytest.mark.parametrize("form", [*ANY_SHAPE, *TABLES])
def test_a_window_over_a_split_axis(inside: Inside, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which reads twice: what can only be read in order is copied first."""
    monkeypatch.setattr("softargmax_cli.reduction.budget.BLOCK", 64)
    name = inside.write("data.bin", {**ANY_SHAPE, **TABLES}[form](VALUES))
    done = inside("run", name, "--axis", "0", "--beta", "3", "--window", "1", "--format", "npz")
    assert_answered(done, "npz", answer(VALUES, 0, 3.0, window=1), single=not form.startswith("csv"))


@pytest.mark.parametrize("form", ["npz, packed", "parquet"])
def test_pipes(inside: Inside, form: str) -> None:
    content = {**ANY_SHAPE, **TABLES}[form](VALUES)
    done = inside("run", "-", "--beta", "3", "--format", "npz", stdin=content)
    assert_answered(done, "npz", answer(VALUES, 1, 3.0), single=True)


SELECTIONS = ["1:8:2", "-3:,::2", ":,4"]


@pytest.mark.slow
@pytest.mark.parametrize("form", [*ANY_SHAPE, *TABLES])
def test_a_part(inside: Inside, form: str) -> None:
    name = inside.write("data.bin", {**ANY_SHAPE, **TABLES}[form](VALUES))
    for text in SELECTIONS:
        part = eval(f"VALUES[{text}]")  # NumPy's own reading of what is typed
        done = inside("run", name, "--select", text, "--beta", "3", "--format", "npz")
        assert_answered(done, "npz", answer(part, -1, 3.0), single=not form.startswith("csv"))


def test_names_of_rows_and_columns_go_with_the_part(inside: Inside) -> None:
    text = "name,a,b,c\n" + "".join(f"r{k},{k},{10 - k},5\n" for k in range(9))
    inside.write("t.csv", text)
    import pyarrow.csv
    import pyarrow.parquet

    table = pyarrow.csv.read_csv(inside.folder / "t.csv")
    pyarrow.parquet.write_table(table, inside.folder / "t.parquet", row_group_size=4)
    for name in ("t.csv", "t.parquet"):
        done = inside(
            "run",
            name,
            "--id-column",
            "name",
            "--select",
            "2:8:3,::-1" if name == "t.csv" else "2:8:3,::2",
            "--format",
            "jsonl",
        )
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


DAMAGED: dict[str, Any] = {
    "cut.npz": lambda: npz(VALUES)[:-9],
    "empty.npz": lambda: b"PK\x05\x06" + bytes(18),
    "cut.h5": lambda: ANY_SHAPE["hdf5"](VALUES)[:500],
    "cut.parquet": lambda: parquet(VALUES)[:-9],
    "lying.safetensors": lambda: (90_000_000).to_bytes(8, "little") + b"{" + bytes(50),
    "far.safetensors": lambda: (1 << 40).to_bytes(8, "little") + b"{" + bytes(50),
    "text.npz": lambda: b"1,2\n3,4\n",
    "nothing.parquet": lambda: b"",
}


def test_damaged_files_and_a_good_one_among_them(inside: Inside) -> None:
    for name, content in DAMAGED.items():
        inside.write(name, content())
    inside.save("good.npy", VALUES)
    done = inside("run", *DAMAGED, "good.npy", "--format", "jsonl")
    assert done.code == 2
    assert len(done.lines) == 9
    errors = [text for text in done.err.split("softargmax: error: ") if text]
    assert [text.partition(": ")[0] for text in errors] == list(DAMAGED)
    assert all(len(text.splitlines()) <= 3 for text in errors)


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


@pytest.mark.parametrize(
    ("select", "what"),
    [
        ("9", "x.npy: --select 9: 9 is out of range for axis 0, of length 9\n  use an index from -9 to 8\n"),
        (
            "0,0,0",
            "x.npy: --select 0,0,0: 3 indices for an array of 2 axes\n  give as many as there are axes, or fewer\n",
        ),
        ("5:5", ""),
        (
            "0,0",
            "x.npy: the array has no axis (shape ()), so there is nothing to reduce\n  give one of several numbers\n",
        ),
    ],
)
def test_selections_that_leave_nothing(inside: Inside, select: str, what: str) -> None:
    inside.save("x.npy", VALUES)
    done = inside("run", "x.npy", "--select", select)
    if what:
        assert done.code == 2
        assert refused(done) == what
    else:
        assert done.code == 0
        assert "0 slices" in done.out


def test_a_selection_that_is_none(inside: Inside) -> None:
    done = inside("run", "x.npy", "--select", "[0,1]")
    assert done.code == 2
    assert "--select: '[0,1]' is no selection give integers and slices as in NumPy" in " ".join(done.err.split())


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


class TestPython:
    """The same in a program."""

    def test_files_and_arrays(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", scores=VALUES, labels=np.arange(9))
        want = answer(VALUES[::-2, 1:], -1, 3.0)
        for select in ("::-2,1:", np.s_[::-2, 1:], (slice(None, None, -2), slice(1, None))):
            for given in (tmp_path / "a.npz", VALUES):
                key = None if given is VALUES else "scores"
                found = softargmax_cli.reduce(given, key=key, select=select, beta=3.0)
                np.testing.assert_array_equal(found.hard, want.hard[0])
                np.testing.assert_allclose(found.soft, want.soft[0], atol=1e-5)

    def test_errors_speak_of_arguments(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", scores=VALUES, labels=np.arange(9))
        with pytest.raises(OptionError, match="name one of them with key"):
            softargmax_cli.reduce(tmp_path / "a.npz")
        with pytest.raises(OptionError, match='<array>: select="9": 9 is out of range'):
            softargmax_cli.reduce(VALUES, select=9)
        with pytest.raises(OptionError, match="True is no selection"):
            softargmax_cli.reduce(VALUES, select=True)
        (tmp_path / "b.npz").write_bytes(npz(VALUES)[:-5])
        with pytest.raises(InputError, match="damaged"):
            softargmax_cli.reduce(tmp_path / "b.npz")


@pytest.mark.slow
def test_memory_is_bounded(softargmax: Softargmax) -> None:
    zeros = np.zeros((25_000, 1_000), "f4")  # 100 MB
    np.save(softargmax.folder / "x.npy", zeros)
    np.savez_compressed(softargmax.folder / "packed.npz", x=zeros)
    usual = softargmax.peak("run", "x.npy", "--memory", "16MiB")
    assert softargmax.peak("run", "packed.npz", "--memory", "16MiB") <= usual + 48_000_000
