"""Files of the formats that hold several arrays, or columns, where what they say is not so: refused, and quickly."""

from __future__ import annotations

import io
import json
import random
import struct
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import safetensors
from files import ANY_SHAPE, TABLES, everything, hdf5, npy, npz, parquet, piped, written

from softargmax_cli.errors import InputError, OptionError, OutputError, SoftArgmaxError, as_typed
from softargmax_cli.files.formats import hdf5 as hdf5_module
from softargmax_cli.files.formats import npz as npz_module
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.registry import open_source
from softargmax_cli.files.selection import selection_of
from softargmax_cli.files.source import Loaded, Member, Source
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer

pytestmark = pytest.mark.sampled(3)

VALUES = np.arange(1, 61, dtype="f4").reshape(12, 5)
MANY = np.arange(1, 60_001, dtype="f4").reshape(12, 5000)
"""More than is read with the head."""


def refusal(path: str, reading: Reading | None = None) -> str:
    """What the error says after the file's name."""
    with pytest.raises(InputError) as caught, closing(open_source(path, reading)) as source:
        everything(source)
    assert caught.value.message.startswith(path)
    assert len(str(caught.value).splitlines()) <= 3
    return caught.value.message.removeprefix(path).removeprefix(": ")


def archive(content: bytes, *, packed: bool = False, name: str = "scores.npy", **says: Any) -> bytes:
    """An archive of one member, of which the directory and the member's own header say what it is not."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as file:
        file.writestr(name, content)
    altered = bytearray(held.getvalue())
    central = altered.index(b"PK\x01\x02")
    for field, value in says.items():
        form, local, far = {
            "flags": ("<H", 6, 8),
            "method": ("<H", 8, 10),
            "crc": ("<I", 14, 16),
            "compress_size": ("<I", 18, 20),
            "file_size": ("<I", 22, 24),
        }[field]
        struct.pack_into(form, altered, local, value)
        struct.pack_into(form, altered, central + far, value)
    return bytes(altered)


def head(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    """The beginning of an .npy file of that shape."""
    with io.BytesIO() as held:
        np.lib.format.write_array_header_1_0(held, {"shape": shape, "fortran_order": False, "descr": dtype})
        return held.getvalue()


def folder_only() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        file.writestr("notes.txt", b"text")
    return held.getvalue()


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


FILE = npy(VALUES)
BOMB = head((10**6, 10**6)) + bytes(1 << 20)
"""Whose head promises more than there is."""
ARCHIVES = {
    "nothing": (b"PK\x05\x06" + bytes(18), "a zip archive without arrays: nothing in it"),
    "other files": (folder_only(), "a zip archive without arrays: nothing in it is called *.npy"),
    "cut": (npz(VALUES)[:-30], "damaged, or no .npz file: File is not a zip file"),
    "cut, packed": (npz(VALUES, packed=True)[:100], "damaged, or no .npz file: File is not a zip file"),
    "a bit of the data": (flipped(npz(MANY), 40_000), "[scores]: damaged: its checksum is not that of the archive's"),
    "a wrong checksum": (archive(FILE, packed=True, crc=5), "[scores]: damaged, or no .npz file: Bad CRC-32"),
    "a bit of packed data": (
        flipped(npz(VALUES, packed=True), 220),
        "[scores]: damaged, or no .npz file: ",
    ),
    "hidden bomb": (
        archive(FILE + bytes(1 << 22), packed=True, file_size=len(FILE)),
        "[scores]: damaged, or no .npz file: Bad CRC",
    ),
    "declared bomb": (
        archive(BOMB, packed=True, file_size=(1 << 32) - 2),
        "[scores]: damaged: 4,294,967,294 bytes from 1,1",
    ),
    "an array larger than its member": (
        archive(BOMB, packed=True),
        f"[scores]: its head says {len(head((10**6, 10**6))) + 4 * 10**12:,} bytes, the archive's directory 1,048,704",
    ),
    "an array smaller than its member": (
        archive(FILE + b"more"),
        "[scores]: its head says 368 bytes, the archive's directory 372",
    ),
    "stored in fewer bytes": (archive(FILE, file_size=len(FILE) + 9), "[scores]: damaged: 377 bytes from 368"),
    "packed data that end early": (
        archive(FILE + bytes(400), packed=True, compress_size=60, file_size=len(FILE)),
        "[scores]: damaged, or no .npz file: ",
    ),
    "encrypted": (archive(FILE, flags=1), "[scores]: encrypted"),
    "packed otherwise": (archive(FILE, method=12), "[scores]: packed by bzip2; stored and deflated can be read"),
    "packed by nobody knows what": (archive(FILE, method=77), "[scores]: packed by 77"),
    "objects": (npz(np.array([{}, []], object)), "[scores]: dtype object holds objects, which are never unpickled"),
    "names": (npz(np.array(["a", "b"])), "[scores]: dtype <U1 holds no real numbers"),
    "no array": (archive(b"text", name="scores.npy"), "[scores]: not an .npy file"),
    "another name inside": (
        npz(VALUES).replace(b"scores.npy", b"pirate.npy", 1),
        "[scores]: damaged, or no .npz file: File name in directory",
    ),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_archives(case: str, tmp_path: Path) -> None:
    content, what = ARCHIVES[case]
    assert refusal(written(tmp_path, content, "a.npz")).startswith(what)
    with piped(content) as path:
        assert refusal(path).startswith(what)


def test_a_member_named_twice(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
            file.writestr("x.npy", npy(VALUES))
            file.writestr("x.npy", npy(VALUES + 1))
    with closing(open_source(str(tmp_path / "a.npz"))) as source:
        np.testing.assert_array_equal(everything(source), VALUES + 1)  # the later one, as for numpy.load


@pytest.mark.parametrize("packed", [False, True])
def test_a_checksum_is_compared_wherever_the_damage_is(packed: bool, tmp_path: Path) -> None:
    """The last number is handed out only when all bytes are known to be right, in whatever order they are read."""
    content = npz(MANY)
    at = content.index(MANY.tobytes()) + 100_000
    file = npy(MANY)
    damaged = archive(file, packed=True, crc=zlib.crc32(file) ^ 1) if packed else flipped(content, at)
    with closing(open_source(written(tmp_path, damaged))) as source:
        for start, stop in ((0, 4), (4, 8)):
            pending = source.fetch(Block((start, 0), (stop, 5000)))
            assert pending is not None
            pending.load(Buffer())
        with pytest.raises(InputError, match="damaged"):
            last(source)


def last(source: Source) -> Loaded:
    pending = source.fetch(Block((8, 0), (12, 5000)))
    assert pending is not None
    return pending.load(Buffer())


def test_the_checksum_of_a_part_is_nobodys(tmp_path: Path) -> None:
    """What is not read cannot be compared; and all of it would have to be read for that."""
    content = npz(MANY)
    path = written(tmp_path, flipped(content, content.index(MANY.tobytes()) + 100_000))
    with closing(open_source(path, Reading(select=selection_of("-1")))) as source:
        np.testing.assert_array_equal(everything(source, elements=999), MANY[-1])


def test_checking_ends_with_the_source(tmp_path: Path) -> None:
    path = written(tmp_path, npz(np.zeros((1000, 1000))))
    with mock.patch.object(npz_module, "PIECE", 16):  # 500,000 pieces
        source = open_source(path)
        pending = source.fetch(Block((0, 0), (1, 1000)))
        assert pending is not None
        pending.load(Buffer())
        source.close()


def tensors(says: Any, data: bytes = bytes(16), length: int | None = None) -> bytes:
    text = says if isinstance(says, bytes) else json.dumps(says).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def tensor(dtype: Any = "F32", shape: Any = (4,), offsets: Any = (0, 16)) -> bytes:
    return tensors({"x": {"dtype": dtype, "shape": shape, "data_offsets": offsets}})


ONE = b'{"x": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}'
HEADERS = {
    "a header beyond the end": (tensors({"x": 1}, length=1 << 20), "damaged, or no .safetensors file: it ends within"),
    "a header too long": (
        tensors({"x": 1}, length=100_000_001),
        "damaged, or no .safetensors file: a header of 100,000,001",
    ),
    "a header of 4 GB": (
        tensors({"x": 1}, length=(1 << 32) - 1),
        "damaged, or no .safetensors file: a header of 4,294,967,295",
    ),
    "no JSON": (tensors(b"{'x': 1}"), "damaged, or no .safetensors file: the header is no JSON"),
    "no text": (tensors(b'{"\xff": 1}'), "damaged, or no .safetensors file: the header is no JSON"),
    "depth": (tensors(b'{"x":' + b"[" * 200_000), "damaged, or no .safetensors file: the header is no JSON"),
    "a huge number": (
        tensors(b'{"x":' + b"9" * 5000 + b"}"),
        "damaged, or no .safetensors file: the header is no JSON",
    ),
    "nothing": (tensors({}), "no arrays in it"),
    "only metadata": (tensors({"__metadata__": {"a": "b"}}), "no arrays in it"),
    "a number": (tensors({"x": 1}), "[x]: the header does not give its dtype, shape and place"),
    "no dtype": (tensors({"x": {"shape": [], "data_offsets": [0, 4]}}), "[x]: the header does not give"),
    "three offsets": (tensor(offsets=(0, 4, 16)), "[x]: the header does not give"),
    "a shape of text": (tensor(shape=("4",)), "[x]: the header gives an impossible shape"),
    "a negative length": (tensor(shape=(-2, -2)), "[x]: the header gives an impossible shape"),
    "truth as a length": (tensor(shape=(4, True)), "[x]: the header gives an impossible shape"),
    "a fraction": (tensor(offsets=(0, 16.0)), "[x]: the header gives an impossible shape or place"),
    "a place before the first": (tensor(offsets=(-16, 0)), "[x]: the header gives an impossible shape or place"),
    "too many axes": (tensor(shape=(1,) * 65 + (4,)), "[x]: the header gives an impossible shape"),
    "more than its shape": (tensor(shape=(3,)), "[x]: damaged: shape (3,) of F32 takes 12 bytes, the header gives 16"),
    "backwards": (tensor(shape=(0,), offsets=(16, 0)), "[x]: damaged: shape (0,) of F32 takes 0 bytes"),
    "beyond the end": (
        tensor(shape=(5,), offsets=(0, 20)),
        "[x]: truncated: shape (5,) of float32 takes 20 bytes, the file has 16",
    ),
    "far beyond the end": (
        tensor(offsets=(1 << 62, (1 << 62) + 16)),
        "[x]: damaged: 4,611,686,018,427,387,904 bytes before it belong to no tensor",
    ),
    "petabytes": (tensor(shape=(1 << 50,), offsets=(0, 1 << 52)), "[x]: truncated"),
    "a shape that is an object": (tensor(shape={}, offsets=(0, 4)), "[x]: the header gives an impossible shape"),
    "a place that is text": (tensor(offsets="ab"), "[x]: the header gives an impossible shape or place"),
    "a name twice": (
        tensors(ONE[:-1] + b"," + ONE[1:]),
        "damaged, or no .safetensors file: the header is no JSON that the format knows: x comes twice",
    ),
    "a shape twice": (
        tensors(ONE.replace(b'"shape"', b'"shape": [2], "shape"')),
        "damaged, or no .safetensors file: the header is no JSON that the format knows: shape comes twice",
    ),
    "UTF-16": (tensors(ONE.decode().encode("utf-16-le")), "damaged, or no .safetensors file: the header is no JSON"),
    "Latin-1": (
        tensors(ONE.replace(b"x", b"\xe9")),
        "damaged, or no .safetensors file: the header is no JSON",
    ),
    "half a character": (
        tensors(ONE.replace(b"x", b"\\ud800")),
        "damaged, or no .safetensors file: the header is no JSON that the format knows: 'utf-8' codec can't encode",
    ),
    "metadata of numbers": (
        tensors(ONE.replace(b"{", b'{"__metadata__": {"a": 1}, ', 1)),
        "damaged, or no .safetensors file: the header is no JSON that the format knows: __metadata__ is no map",
    ),
    "a dtype of nobody": (tensor(dtype="F4"), "[x]: dtype F4 holds no real numbers that are known"),
    "complex numbers": (tensor(dtype="C64"), "[x]: dtype C64 holds no real numbers that are known"),
    "a list as dtype": (tensor(dtype=["F32"]), "[x]: dtype ['F32'] holds no real numbers that are known"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_safetensors(case: str, tmp_path: Path) -> None:
    content, what = HEADERS[case]
    assert refusal(written(tmp_path, content)).startswith(what)
    assert refusal(written(tmp_path, content), Reading(inspected=True)).startswith(what)


def test_one_of_several_that_cannot_be_read(tmp_path: Path) -> None:
    good = {"dtype": "BF16", "shape": [2, 4], "data_offsets": [0, 16]}
    path = written(tmp_path, tensors({"good": good, "bad": {**good, "dtype": "C64", "data_offsets": [16, 16]}}))
    with closing(open_source(path, Reading(inspected=True))) as source:  # the only one of numbers
        assert source.name == f"{path}[good]"
        assert source.facts.members == [
            Member("good", (2, 4), "bfloat16"),
            Member("bad", None, "", "dtype C64 holds no real numbers that are known"),
        ]


PLACES: dict[str, tuple[list[tuple[int, int]], str]] = {
    "overlap": ([(0, 8), (4, 12), (12, 16)], "[b]: damaged: it begins within a"),
    "the same twice": ([(0, 8), (0, 8), (8, 16)], "[b]: damaged: it begins within a"),
    "one within another": ([(0, 16), (4, 4), (16, 16)], "[b]: damaged: it begins within a"),
    "a hole": ([(0, 4), (8, 12), (12, 16)], "[b]: damaged: 4 bytes before it belong to no tensor"),
    "a hole at the beginning": ([(12, 16), (4, 8), (8, 12)], "[b]: damaged: 4 bytes before it belong to no tensor"),
    "cut": ([(0, 8), (8, 16), (16, 24)], "truncated: the last 8 bytes of its tensors are not there"),
    "in any order": ([(8, 16), (0, 4), (4, 8)], ""),
    "none of them large": ([(0, 16), (0, 0), (16, 16)], ""),
    "bytes at the end": ([(0, 8), (8, 8), (8, 12)], "4 bytes after the tensors are ignored"),
}


@pytest.mark.parametrize("case", PLACES)
def test_tensors_cover_the_data(case: str, tmp_path: Path) -> None:
    """As the reference wants it, whichever of them is read; but bytes that follow them are nobody's."""
    places, what = PLACES[case]
    said = {
        name: {"dtype": "U8", "shape": [stop - start], "data_offsets": [start, stop]}
        for name, (start, stop) in zip("abc", places, strict=True)
    }
    content = tensors(said, bytes(range(16)))
    path = written(tmp_path, content)
    with pytest.raises(safetensors.SafetensorError) if what else nullcontext():
        safetensors.deserialize(content)
    if what and "ignored" not in what:
        assert [refusal(path, Reading(key=name)) for name in "ab"] == [what, what]
        return
    for name, (start, stop) in zip("abc", places, strict=True):
        with closing(open_source(path, Reading(key=name))) as source:
            assert source.notes == ((what,) if what else ())
            np.testing.assert_array_equal(everything(source), np.arange(start, stop))


def test_a_header_that_is_a_list_is_none(tmp_path: Path) -> None:
    assert refusal(written(tmp_path, tensors(b"[1]"), "a.safetensors")).startswith("not a .safetensors file")


def virtual(folder: Path) -> dict[str, Any]:
    """Datasets whose numbers lie in other files."""
    with h5py.File(folder / "other.h5", "w") as other:
        other["x"] = VALUES
    layout = h5py.VirtualLayout((12, 5), "f4")
    layout[:] = h5py.VirtualSource(folder / "other.h5", "x", (12, 5))
    (folder / "raw").write_bytes(VALUES.tobytes())
    return {
        "virtual": lambda file: file.create_virtual_dataset("x", layout),
        "external": lambda file: file.create_dataset("x", (12, 5), "f4", external=[(folder / "raw", 0, 240)]),
    }


@pytest.mark.parametrize("kind", ["virtual", "external"])
def test_other_files_are_not_read(kind: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        virtual(tmp_path)[kind](file)
    assert refusal(str(tmp_path / "a.h5")) == "[x]: its numbers lie in other files, which are not opened"


def test_links_to_other_files_are_not_followed(tmp_path: Path) -> None:
    virtual(tmp_path)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = h5py.ExternalLink("other.h5", "x")
        file["group/y"] = h5py.ExternalLink("other.h5", "/")
    assert refusal(str(tmp_path / "a.h5")) == "no arrays of numbers in it, but x, group/y"
    for key, link in {"x": "x is a link to x", "group/y/x": "group/y is a link to /"}.items():
        with pytest.raises(OptionError) as caught:
            open_source(str(tmp_path / "a.h5"), Reading(key=key))
        assert caught.value.what.endswith(f": {link} in another file, other.h5, and links are not followed")
        assert as_typed(caught.value.remedy) == "give that file, with --key x"


DATASETS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "text": (lambda file: file.create_dataset("x", data=["a", "b"]), "[x]: dtype object holds objects"),
    "bytes": (lambda file: file.create_dataset("x", data=np.array([b"a"])), "[x]: dtype |S1 holds no real numbers"),
    "complex": (lambda file: file.create_dataset("x", data=np.ones(2, "c8")), "[x]: dtype complex64 holds no real"),
    "records": (lambda file: file.create_dataset("x", data=np.ones(2, "S4,S8")), "[x]: compound, of the fields f0"),
    "references": (
        lambda file: file.create_dataset("x", data=file.ref, dtype=h5py.ref_dtype),
        "[x]: dtype object holds",
    ),
    "nothing": (lambda file: file.create_dataset("x", data=h5py.Empty("f4")), "[x]: an empty dataset, without a shape"),
}


@pytest.mark.parametrize("case", DATASETS)
def test_datasets(case: str, tmp_path: Path) -> None:
    make, what = DATASETS[case]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        make(file)
    assert refusal(str(tmp_path / "a.h5")).startswith(what)
    assert refusal(str(tmp_path / "a.h5"), Reading(inspected=True)).startswith(what)


def test_hdf5_that_is_cut_or_changed(tmp_path: Path) -> None:
    content = hdf5(VALUES, chunks=(4, 5), fletcher32=True)
    assert refusal(written(tmp_path, content[:900])).startswith("damaged, or no HDF5 file: ")
    at = content.index(VALUES[4:8].tobytes())
    said = refusal(written(tmp_path, flipped(content, at)))
    assert said.startswith("[group/scores]: damaged, or no HDF5 file: ")


def test_more_objects_than_are_looked_at(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for k in range(30):
            file[f"group{k}/x"] = [k]
    with mock.patch.object(hdf5_module, "MOST_OBJECTS", 35):
        with pytest.raises(SoftArgmaxError, match="5 arrays in it"):
            open_source(str(tmp_path / "a.h5"))
        with closing(open_source(str(tmp_path / "a.h5"), Reading(key="group29/x"))) as source:
            assert everything(source).tolist() == [29]


def test_parquet(tmp_path: Path) -> None:
    content = parquet(VALUES)
    for cut in (10, len(content) // 2, len(content) - 1):
        assert refusal(written(tmp_path, content[:cut])).startswith("damaged, or no Parquet file: ")
    held = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({"a": VALUES[:, 0]}), held, write_page_checksum=True)
    changed = flipped(held.getvalue(), 40)
    assert refusal(written(tmp_path, changed)).startswith("damaged, or no Parquet file: ")
    assert refusal(written(tmp_path, b"PARE" + content[4:])).startswith("an encrypted Parquet file; .npy, .npz, ")


def test_parquet_that_ends_early(tmp_path: Path) -> None:
    path = written(tmp_path, parquet(VALUES))
    with closing(open_source(path)) as source:
        block = Block((0, 0), (12, 5))
        assert source.fetch(block) is not None
        with pytest.raises(InputError, match="damaged: ended after row 12 of 12"):
            source.fetch(Block((12, 0), (13, 5)))


def test_nulls_where_the_schema_has_none(tmp_path: Path) -> None:
    field = pa.field("a", pa.int64(), nullable=False)
    pyarrow.parquet.write_table(pa.table([[1, 2]], pa.schema([field])), tmp_path / "t.parquet")
    with closing(open_source(str(tmp_path / "t.parquet"))) as source:
        assert source.dtype == np.int64
        pending: Any = source.fetch(Block((0, 0), (2, 1)))
        pending.parts[:] = [pa.record_batch([pa.array([1, None])], ["a"])]
        with pytest.raises(InputError, match="column a has nulls, and its schema says that there are none"):
            pending.load(Buffer())


@pytest.mark.parametrize("form", ["npy", "npz", "npz, packed", "safetensors", "parquet", "parquet, in groups"])
def test_any_damage_is_an_error_or_none(form: str, tmp_path: Path) -> None:
    """Of bytes changed, cut or put in at random. Formats with checksums never give other numbers."""
    content, rng = {**ANY_SHAPE, **TABLES}[form](VALUES), random.Random(form)
    refused = passed = 0
    for k in range(150):
        altered = bytearray(content)
        for _ in range(rng.choice((1, 1, 3))):
            at = rng.randrange(8, len(altered)) if len(altered) > 8 else 0
            altered[at : at + rng.choice((1, 1, 4))] = rng.randbytes(rng.choice((1, 1, 4)))
        if k % 5 == 0:
            del altered[rng.randrange(8, len(altered)) :]
        path = written(tmp_path, bytes(altered))
        try:
            with closing(open_source(path, Reading(inspected=bool(k % 2)))) as source:
                if (source.nbytes or 0) < 1 << 20:
                    got = everything(source, elements=13)
                    assert not form.startswith("npz") or np.array_equal(got, VALUES)
            passed += 1
        except SoftArgmaxError as error:
            refused += error.what.startswith(path)
    assert refused > 10
    assert refused + passed == 150


def test_a_pipe_that_finds_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def __init__(self, *_: object, **__: object) -> None:
            super().__init__()

        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    with piped(npz(VALUES)) as path, pytest.raises(OutputError) as caught:
        open_source(path)
    assert "cannot be copied to a temporary file" in caught.value.what
    assert "TMPDIR" in caught.value.remedy


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors", ".h5", ".hdf5", ".parquet"])
def test_names_that_promise_something_else(suffix: str, tmp_path: Path) -> None:
    said = refusal(written(tmp_path, b"1,2\n3,4\n", f"a{suffix}"))
    assert said.startswith("not a")
    assert said.endswith("file, whatever its name says, but text")
