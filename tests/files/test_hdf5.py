"""HDF5: the numbers that h5py reads, of any layout and filter; fields, marks and filters of other programs."""

from __future__ import annotations

import io
import itertools
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from files import Array, everything, piped, written

from softargmax_cli.errors import InputError, MissingDependencyError, OptionError, as_typed
from softargmax_cli.files.members import SeveralArraysError
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.registry import open_source
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer

DTYPES = ["?", ">i2", "<u4", ">f4", "g"]
SHAPES = [((7,), (3,)), ((7, 5), (3, 4)), ((3, 2, 4, 5), (2, 2, 3, 2))]
STORED: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "chunks": {"chunks": True},
    "gzip": {"chunks": True, "compression": "gzip"},
    "shuffled, summed": {"chunks": True, "compression": "gzip", "shuffle": True, "fletcher32": True},
    "lzf": {"chunks": True, "compression": "lzf"},
}
VALUES = np.arange(1, 61, dtype="f4").reshape(12, 5)


def read(path: Path | str, reading: Reading | None = None, **how: Any) -> Array:
    with closing(open_source(str(path), reading)) as source:
        return everything(source, **how)


@pytest.mark.parametrize("stored", STORED)
def test_every_layout(stored: str, tmp_path: Path) -> None:
    """Every dtype and byte order, one to four axes, chunks that reach beyond the array or are missing."""
    path, rng = tmp_path / "a.h5", np.random.default_rng(5)
    for number, (dtype, (shape, chunks)) in enumerate(itertools.product(DTYPES, SHAPES)):
        values = (rng.standard_normal(shape) * 9).astype("i1").astype(dtype)
        options = {**STORED[stored], **({"chunks": chunks} if "chunks" in STORED[stored] else {})}
        with h5py.File(path, "w", libver="latest" if number % 2 else "earliest") as file:
            made = file.create_dataset("x", shape, dtype, fillvalue=number % 2, **options)
            made[: 2 if number % 5 else None] = values[: 2 if number % 5 else None]
            want = made[()]
        for how in ({"elements": 7, "axes": (0,)}, {"elements": 1 << 20}):
            got = read(path, **how)
            np.testing.assert_array_equal(got, want.astype(got.dtype), err_msg=f"{dtype} {shape}")
    with closing(open_source(str(path))) as source:
        assert source.chunks == ((2, 2, 3, 2) if "compression" in STORED[stored] else None)


def test_numbers_that_were_never_written(tmp_path: Path) -> None:
    """The library leaves memory as it is where a dataset is never filled; here they are 0, as in h5py."""
    never = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    never.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (12, 5), "f4", chunks=(4, 5), dcpl=never)[4:8] = VALUES[4:8]
    want = np.zeros((12, 5), "f4")
    want[4:8] = VALUES[4:8]
    dirty = Buffer()
    with closing(open_source(str(tmp_path / "a.h5"))) as source:
        dirty.array((12, 5), np.float32)[...] = 7.5
        pending: Any = source.fetch(Block((0, 0), (12, 5)))
        np.testing.assert_array_equal(pending.load(dirty).values, want)


def test_numbers_that_numpy_has_not(tmp_path: Path) -> None:
    """The library converts bit fields and enumerations."""
    enum = h5py.h5t.py_create(h5py.enum_dtype({"a": 1, "b": 3}, "i2"), logical=True)
    values = np.arange(12).reshape(3, 4) % 4
    for kind in (h5py.h5t.STD_B16LE, enum):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            made = h5py.Dataset(h5py.h5d.create(file.id, b"x", kind, h5py.h5s.create_simple((3, 4))))
            made[...] = values.astype(made.dtype)
            want = made[()]
        np.testing.assert_array_equal(read(tmp_path / "a.h5"), want)


def test_fields_of_a_compound_dataset(tmp_path: Path) -> None:
    """Columns of a table, with axes of their own; names with dots in them are names."""
    table = np.zeros((3, 2), [("name", "S4"), ("x.y", "f8"), ("heat", ">f4", (5,)), ("flow", "f4,f4")])
    rng = np.random.default_rng(3)
    table["x.y"], table["heat"] = rng.random((3, 2)), rng.random((3, 2, 5))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("g/t", data=table, chunks=(2, 1), compression="gzip")
        file["g/t.plain"] = VALUES
    path = str(tmp_path / "a.h5")
    for key, want in {"g/t.x.y": table["x.y"], "g/t.heat": table["heat"], "g/t.plain": VALUES}.items():
        with closing(open_source(path, Reading(key=key))) as source:
            assert source.name == f"{path}[{key}]"
            np.testing.assert_array_equal(everything(source, (0,), 4), want)
    with pytest.raises(SeveralArraysError) as caught:
        open_source(path)
    assert [each.name for each in caught.value.members] == ["g/t.x.y", "g/t.heat", "g/t.plain"]
    with pytest.raises(InputError, match="compound, of the fields name, "):
        open_source(path, Reading(key="g/t"))
    with pytest.raises(OptionError, match="no array is named g/t"):
        open_source(path, Reading(key="g/t.name"))


def test_the_only_array_of_numbers_needs_no_key(tmp_path: Path) -> None:
    """Names of nodes lie beside tracks, as SLEAP and DeepLabCut write them."""
    path = str(tmp_path / "a.h5")
    with h5py.File(path, "w") as file:
        file["node_names"], file["tracks"] = np.array([b"head", b"tail"]), VALUES
        file["text"], file["link"] = "words", h5py.SoftLink("/tracks")
    with closing(open_source(path, Reading(inspected=True))) as source:
        assert source.name == f"{path}[tracks]"
        np.testing.assert_array_equal(everything(source), VALUES)
        assert {each.name: not each.why_not for each in source.facts.members} == {
            "node_names": False,
            "text": False,
            "tracks": True,
        }
    with h5py.File(path, "a") as file:
        file["more"] = VALUES
    with pytest.raises(SeveralArraysError, match="4 arrays in it: more, tracks") as caught:
        open_source(path)
    assert as_typed(caught.value.remedy) == "name one of them with --key more"


def test_marks_of_matlab(tmp_path: Path) -> None:
    """An empty array is stored as its lengths, and text as the numbers of its letters."""
    path = str(tmp_path / "a.mat")
    with h5py.File(path, "w") as file:
        file["x"] = np.array([0, 5], "u8")
        file["x"].attrs["MATLAB_class"], file["x"].attrs["MATLAB_empty"] = np.bytes_("double"), np.uint8(1)
    with pytest.raises(InputError, match="an empty array or a text of MATLAB"):
        open_source(path)
    with h5py.File(path, "a") as file:
        file["label"], file["scores"] = np.array([[104], [105]], "u2"), VALUES
        file["label"].attrs["MATLAB_class"] = np.bytes_("char")
        file["#refs#/a"] = VALUES
    np.testing.assert_array_equal(read(path), VALUES)
    with pytest.raises(InputError, match="a text of MATLAB"):
        open_source(path, Reading(key="label"))


def test_attributes_of_climate_files_are_noted(tmp_path: Path) -> None:
    path = str(tmp_path / "a.nc")
    with h5py.File(path, "w") as file:
        file["t"] = np.arange(6, dtype="i2").reshape(2, 3)
        told = {"scale_factor": -0.5, "add_offset": np.array([100.0]), "_FillValue": np.int16(-32768), "units": "K"}
        file["t"].attrs.update(told)
    with closing(open_source(path)) as source:
        (note,) = source.notes
    assert "scale_factor -0.5, add_offset 100.0, _FillValue -32768" in note
    with h5py.File(path, "w") as file:
        file["t"] = VALUES
        file["t"].attrs.update({"scale_factor": 1.0, "add_offset": 0, "_FillValue": np.nan, "missing_value": "none"})
    with closing(open_source(path)) as source:
        assert source.notes == ()


def test_a_file_that_its_writer_never_closed(tmp_path: Path) -> None:
    """Its fill values would be read as numbers."""
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file["x"] = VALUES
    content = bytearray((tmp_path / "a.h5").read_bytes())
    content[11] |= 1  # as it stands until the writer closes it
    path = written(tmp_path, bytes(content))
    with piped(bytes(content)) as pipe:
        for place in (path, pipe):
            with pytest.raises(InputError, match="its writer has not closed it") as caught:
                open_source(place)
            assert "h5clear" in caught.value.remedy


def test_filters_of_plug_ins(tmp_path: Path) -> None:
    hdf5plugin = pytest.importorskip("hdf5plugin")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, options in {"blosc": hdf5plugin.Blosc(), "zstd": hdf5plugin.Zstd()}.items():
            file.create_dataset(name, data=VALUES, chunks=(4, 5), **options)
    for name in ("blosc", "zstd"):
        with closing(open_source(str(tmp_path / "a.h5"), Reading(key=name))) as source:
            assert source.facts.codecs == (name,)
            np.testing.assert_array_equal(everything(source), VALUES)


def test_a_filter_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_chunk((4, 5))
    made.set_filter(305, h5py.h5z.FLAG_OPTIONAL, ())
    with h5py.File(tmp_path / "a.h5", "w") as file:
        h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((12, 5)), made)
    with pytest.raises(MissingDependencyError, match=r"packed by the filter .*\(305\)") as caught:
        open_source(str(tmp_path / "a.h5"))
    assert "pip install hdf5plugin" in caught.value.remedy


# Names

MATLAB = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Thu Jan  1 00:00:00 2026 HDF5 schema 1.00 ."


def behind(block: bytes, size: int) -> bytes:
    """A file whose user block begins so: a dataset as it lies, and one in packed chunks."""
    held = io.BytesIO()
    with h5py.File(held, "w", userblock_size=size) as file:
        file["plain"] = VALUES
        file.create_dataset("packed", data=VALUES, chunks=(5, 2), compression="gzip", shuffle=True)
    return block + held.getvalue()[len(block) :]


@pytest.mark.parametrize(("size", "block"), [(512, MATLAB.ljust(124) + b"\0\2IM"), (1024, b""), (2048, b"x,y\n1,2\n")])
def test_a_user_block_in_front(size: int, block: bytes, tmp_path: Path) -> None:
    content = behind(block, size)
    path = written(tmp_path, content, "a.mat")
    for key in ("plain", "packed"):
        with closing(open_source(path, Reading(key=key))) as source:
            assert source.facts.format == "hdf5"
            np.testing.assert_array_equal(everything(source), VALUES)
        for pieces in (512, 4093):
            with piped(content, pieces) as pipe, closing(open_source(pipe, Reading(key=key))) as source:
                np.testing.assert_array_equal(everything(source), VALUES)
    with pytest.raises(InputError, match="damaged, or no HDF5 file"):
        open_source(written(tmp_path, content[: size + 90], "a.mat"))


def test_names_that_are_no_text(tmp_path: Path) -> None:
    """They are listed; but nobody can type them."""
    path = str(tmp_path / "a.h5")
    with h5py.File(path, "w") as file:
        file["ok"], file[b"\xff"] = VALUES, VALUES + 1
    np.testing.assert_array_equal(read(path), VALUES)
    for key in ("\ud800", "ok\0", "", "/"):
        with pytest.raises(OptionError, match="no array is named"):
            open_source(path, Reading(key=key))


@pytest.mark.parametrize(("key", "link"), [("s", "s"), ("g/up/x", "up"), ("away/c", "away"), ("loop", "loop")])
def test_links_are_not_followed(key: str, link: str, tmp_path: Path) -> None:
    path = str(tmp_path / "a.h5")
    with h5py.File(path, "w") as file, h5py.File(tmp_path / "other.h5", "w") as other:
        other["c"] = VALUES + 1
        file["g/x"] = VALUES
        file["s"], file["g/up"] = h5py.SoftLink("/g/x"), h5py.SoftLink("/g/")
        file["loop"], file["away"] = h5py.SoftLink("loop"), h5py.ExternalLink("other.h5", "/")
    with pytest.raises(OptionError) as caught:
        open_source(path, Reading(key=key))
    assert caught.value.message == f"{path}: {link} is a link, and links are not followed"
    assert as_typed(caught.value.remedy) == "name the array itself with --key"
    np.testing.assert_array_equal(read(path), VALUES)  # the only array
