"""Files that are not what they say: a right answer or an InputError, never anything else."""

from __future__ import annotations

import csv
import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from files import ANY_SHAPE, TABLES, Array, everything, hdf5, npy, npz, parquet, piped, written

from softargmax_cli.errors import InputError, SoftArgmaxError
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.registry import open_source
from softargmax_cli.files.source import Member

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


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


# .npz


def archive(content: bytes, *, packed: bool = False, **says: Any) -> bytes:
    """An archive of one member, of which the directory and the member's own header say what it is not."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as file:
        file.writestr("scores.npy", content)
    altered = bytearray(held.getvalue())
    central = altered.index(b"PK\x01\x02")
    places = {"flags": ("<H", 6, 8), "method": ("<H", 8, 10), "crc": ("<I", 14, 16), "file_size": ("<I", 22, 24)}
    for field, value in says.items():
        form, local, far = places[field]
        struct.pack_into(form, altered, local, value)
        struct.pack_into(form, altered, central + far, value)
    return bytes(altered)


def bomb() -> bytes:
    """An array whose head promises 4 TB."""
    held = io.BytesIO()
    np.lib.format.write_array_header_1_0(held, {"shape": (10**6, 10**6), "fortran_order": False, "descr": "<f4"})
    return held.getvalue() + bytes(1 << 20)


FILE = npy(VALUES)
ARCHIVES = {
    "nothing": (b"PK\x05\x06" + bytes(18), "no arrays in it"),
    "cut": (npz(VALUES)[:-30], "damaged, or no .npz file: File is not a zip file"),
    "a wrong checksum": (archive(FILE, packed=True, crc=5), "[scores]: damaged, or no .npz file: Bad CRC-32"),
    "a bit of packed data": (flipped(npz(VALUES, packed=True), 220), "[scores]: damaged, or no .npz file: "),
    "a hidden bomb": (
        archive(FILE + bytes(1 << 22), packed=True, file_size=len(FILE)),
        "[scores]: damaged, or no .npz",
    ),
    "a declared bomb": (archive(bomb(), packed=True, file_size=(1 << 32) - 2), "[scores]: its head says 4,000,0"),
    "larger than its member": (archive(bomb(), packed=True), "[scores]: its head says 4,000,0"),
    "smaller than its member": (archive(FILE + b"more"), "[scores]: its head says 368 bytes, the archive's dir"),
    "encrypted": (archive(FILE, flags=1), "[scores]: damaged, or no .npz file: File"),
    "packed by nobody knows what": (archive(FILE, method=77), "[scores]: damaged, or no .npz file: That compression"),
    "objects": (npz(np.array([{}, []], object)), "[scores]: dtype object holds objects, which are never unpickled"),
    "names": (npz(np.array(["a", "b"])), "[scores]: dtype <U1 holds no real numbers"),
    "no array": (archive(b"text"), "[scores]: not an .npy file"),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_archives(case: str, tmp_path: Path) -> None:
    content, what = ARCHIVES[case]
    assert refusal(written(tmp_path, content, "a.npz")).startswith(what)


def test_an_archive_through_a_pipe_is_no_safer() -> None:
    with piped(archive(FILE, crc=5)) as path:
        assert refusal(path).startswith("[scores]: damaged, or no .npz file: Bad CRC-32")


def test_the_last_number_waits_for_the_checksum(tmp_path: Path) -> None:
    damaged = archive(npy(MANY), packed=True, crc=zlib.crc32(npy(MANY)) ^ 1)
    with closing(open_source(written(tmp_path, damaged))) as source, pytest.raises(InputError, match="Bad CRC-32"):
        everything(source, elements=20_000)


# .safetensors


def tensors(says: Any, data: bytes = bytes(16), length: int | None = None) -> bytes:
    text = says if isinstance(says, bytes) else json.dumps(says).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def tensor(dtype: Any = "F32", shape: Any = (4,), offsets: Any = (0, 16)) -> bytes:
    return tensors({"x": {"dtype": dtype, "shape": shape, "data_offsets": offsets}})


NO_HEADER = "damaged, or no .safetensors file: "
HEADERS = {
    "a header beyond the end": (tensors({"x": 1}, length=1 << 20), NO_HEADER + "a header of 1,048,576 bytes"),
    "a header of 4 GB": (tensors({"x": 1}, length=(1 << 32) - 1), NO_HEADER + "a header of 4,294,967,295"),
    "no JSON": (tensors(b"{'x': 1}"), NO_HEADER),
    "no text": (tensors(b'{"\xff": 1}'), NO_HEADER),
    "depth": (tensors(b'{"x":' + b"[" * 200_000), NO_HEADER),
    "a huge number": (tensors(b'{"x":' + b"9" * 5000 + b"}"), NO_HEADER),
    "half a character": (tensors({"\ud800": 1}), NO_HEADER),
    "only metadata": (tensors({"__metadata__": {"a": "b"}}), "no arrays in it"),
    "a number": (tensors({"x": 1}), "[x]: the header does not give its dtype, shape and place"),
    "three offsets": (tensor(offsets=(0, 4, 16)), "[x]: the header does not give"),
    "a negative length": (tensor(shape=(-2, -2)), "[x]: the header gives an impossible shape"),
    "truth as a length": (tensor(shape=(4, True)), "[x]: the header gives an impossible shape"),
    "a place before the first": (tensor(offsets=(-16, 0)), "[x]: the header gives an impossible shape or place"),
    "too many axes": (tensor(shape=(1,) * 65 + (4,)), "[x]: the header gives an impossible shape"),
    "more than its shape": (tensor(shape=(3,)), "[x]: damaged: shape (3,) of F32 takes 12 bytes, the header gives 16"),
    "beyond the end": (tensor(shape=(5,), offsets=(0, 20)), "[x]: truncated: shape (5,) of float32 takes 20 bytes"),
    "far beyond the end": (tensor(offsets=(1 << 62, (1 << 62) + 16)), "[x]: truncated"),
    "petabytes": (tensor(shape=(1 << 50,), offsets=(0, 1 << 52)), "[x]: truncated"),
    "complex numbers": (tensor(dtype="C64"), "[x]: dtype C64 holds no real numbers that are known"),
    "a list as dtype": (tensor(dtype=["F32"]), "[x]: dtype ['F32'] holds no real numbers that are known"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_safetensors(case: str, tmp_path: Path) -> None:
    content, what = HEADERS[case]
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


# HDF5


def test_other_files_are_not_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x"] = VALUES
    layout = h5py.VirtualLayout((12, 5), "f4")
    layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "x", (12, 5))
    (tmp_path / "raw").write_bytes(VALUES.tobytes())
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("external", (12, 5), "f4", external=[(tmp_path / "raw", 0, 240)])
    path = str(tmp_path / "a.h5")
    for key in ("virtual", "external"):
        assert refusal(path, Reading(key=key)) == f"[{key}]: its numbers lie in other files, which are not opened"


DATASETS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "text": (lambda file: file.create_dataset("x", data=["a", "b"]), "[x]: dtype object holds objects"),
    "bytes": (lambda file: file.create_dataset("x", data=np.array([b"a"])), "[x]: dtype |S1 holds no real numbers"),
    "complex": (lambda file: file.create_dataset("x", data=np.ones(2, "c8")), "[x]: dtype complex64 holds no real"),
    "records": (lambda file: file.create_dataset("x", data=np.ones(2, "S4,S8")), "[x]: compound, of the fields f0"),
    "nothing": (lambda file: file.create_dataset("x", data=h5py.Empty("f4")), "[x]: an empty dataset, without a shape"),
}


@pytest.mark.parametrize("case", DATASETS)
def test_datasets(case: str, tmp_path: Path) -> None:
    make, what = DATASETS[case]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        make(file)
    assert refusal(str(tmp_path / "a.h5"), Reading(inspected=True)).startswith(what)


def test_hdf5_that_is_cut_or_changed(tmp_path: Path) -> None:
    content = hdf5(VALUES, chunks=(4, 5), fletcher32=True)
    assert refusal(written(tmp_path, content[:900])).startswith("damaged, or no HDF5 file: ")
    said = refusal(written(tmp_path, flipped(content, content.index(VALUES[4:8].tobytes()))))
    assert said.startswith("[group/scores]: damaged, or no HDF5 file: ")


# Parquet


def test_parquet(tmp_path: Path) -> None:
    content = parquet(VALUES)
    for cut in (10, len(content) // 2, len(content) - 1):
        assert refusal(written(tmp_path, content[:cut])).startswith("damaged, or no Parquet file: ")
    held = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({"a": VALUES[:, 0]}), held, write_page_checksum=True)
    assert refusal(written(tmp_path, flipped(held.getvalue(), 40))).startswith("damaged, or no Parquet file: ")


# Any damage


def cells(content: bytes) -> Array | None:
    """The numbers of text, by Python's own csv and float; None where these refuse it."""
    try:
        text = content.decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text, newline="\n")) if row != []]
        assert len({*map(len, rows)}) == 1
        assert "\0" not in text
        return np.array([[float(cell or "nan") for cell in row] for row in rows])
    except (ValueError, AssertionError, csv.Error):
        return None


def numpys(content: bytes) -> Array | None:
    """The only array of an .npy or .npz file, by NumPy; None where it refuses it."""
    try:
        found = np.load(io.BytesIO(content), allow_pickle=False)
        array: Array = found if isinstance(found, np.ndarray) else found[found.files[0]]
    except Exception:  # of which NumPy raises many
        return None
    return array


def unsure(content: bytes) -> Array | None:
    """Formats without checksums, whose numbers nobody knows."""
    return None


FUZZED: dict[str, tuple[bytes, list[bytes], Callable[[bytes], Array | None]]] = {
    "npy": (npy(VALUES), [b"'", b"(", b",", b"-1", b"L", b"9" * 20, b"\n", b"<c8"], numpys),
    "npz": (npz(VALUES), [b"PK\x01\x02", b"PK\x05\x06", b"\0", b"\xff\xff\xff\xff", b".npy"], numpys),
    "npz, packed": (npz(VALUES, packed=True), [b"PK\x01\x02", b"PK\x05\x06", b"\0", b"\xff" * 4], numpys),
    "csv": (TABLES["csv"](VALUES[:3]), [b",", b"\n", b"\r", b'"', b"nan", b"1e999", b"\0", b"\xff", b" "], cells),
    "safetensors": (ANY_SHAPE["safetensors"](VALUES), [b"{", b'"', b"[", b"9" * 20, b"-1", b'"F64"'], unsure),
    "parquet": (parquet(VALUES, 3), [b"PAR1", b"\0", b"\x15\0", b"\x19\x1c"], unsure),
}
"""Formats but for HDF5, of which a forged file may end the process within its library."""


def fuzz(form: str, count: int, folder: Path) -> None:
    content, tokens, oracle = FUZZED[form]
    rng, read = random.Random(form), 0
    for _ in range(count):
        altered = bytearray(content)
        for _ in range(rng.choice((1, 1, 3))):
            at, length = rng.randrange(len(altered) + 1), rng.choice((0, 1, 4))
            altered[at : at + length] = rng.choice((rng.choice(tokens), rng.randbytes(length)))
        if rng.random() < 0.1:
            del altered[rng.randrange(len(altered) + 1) :]
        path = written(folder, bytes(altered), "fuzzed")
        got, refused, want = None, "", oracle(bytes(altered))
        try:
            with closing(open_source(path, Reading(header=False, delimiter=",", comment="", strict=False))) as source:
                if (source.nbytes or 0) > 1 << 20:
                    continue
                got = everything(source, elements=13)
        except SoftArgmaxError as error:
            refused = str(error)
        if got is None:
            assert path in refused
            if form == "npy" and want is not None:
                assert want.dtype.kind not in "biuf" or want.size == 0, f"NumPy reads it: {refused}"
            continue
        read += 1
        assert want is not None or oracle is not numpys, f"NumPy refuses it: {bytes(altered)!r}"
        if want is not None and np.shape(want) == np.shape(got):
            with np.errstate(all="ignore"):
                np.testing.assert_array_equal(got, want.astype(got.dtype))
    assert read > count // 50


@pytest.mark.parametrize("form", FUZZED)
def test_any_damage_is_an_error_or_none(form: str, tmp_path: Path) -> None:
    fuzz(form, 80, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("form", FUZZED)
def test_very_many_damaged_files(form: str, tmp_path: Path) -> None:
    fuzz(form, 10_000, tmp_path)
