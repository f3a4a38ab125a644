"""Chunks of HDF5: of every sound layout the numbers that h5py reads; of anything else exit code 2, never other numbers.

Files are written by h5py, chunks that are not sound by its `write_direct_chunk`, and what no package writes by hand.
"""

from __future__ import annotations

import ctypes
import itertools
import struct
import threading
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from files import Array, everything

from softargmax_cli.errors import InputError
from softargmax_cli.files.formats.hdf5 import filters, lzf
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.registry import open_source
from softargmax_cli.files.selection import selection_of
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.buffer import Buffer

GZIP, SHUFFLE, FLETCHER, LZF = (1, (4,)), (2, ()), (3, ()), (32000, ())
Filter = tuple[int, tuple[int, ...]]
PIPELINES: dict[str, list[Filter]] = {
    "none": [],
    "gzip": [GZIP],
    "shuffle": [SHUFFLE],
    "fletcher32": [FLETCHER],
    "gzip, shuffled": [SHUFFLE, GZIP],
    "gzip, shuffled, summed": [SHUFFLE, GZIP, FLETCHER],
    "summed first": [FLETCHER, SHUFFLE, GZIP],
    "shuffled last": [GZIP, SHUFFLE],
    "twice": [GZIP, GZIP],
    "summed twice": [FLETCHER, GZIP, FLETCHER],
    "lzf": [LZF],
    "lzf, shuffled, summed": [SHUFFLE, LZF, FLETCHER],
    "gzip of lzf": [LZF, GZIP],
}
DTYPES = ["?", "i1", ">i2", "<u4", ">i8", "<f2", ">f4", "f8", "g"]
SHAPES = [((7,), (3,)), ((7, 5), (3, 4)), ((4, 6, 5), (2, 4, 3)), ((3, 2, 4, 5), (2, 2, 3, 2))]
VALUES = np.arange(1, 61, dtype="f4").reshape(12, 5)
CHUNK = VALUES[4:8].copy()
"""The chunk at (4, 0) of `VALUES` in chunks of four rows."""


def dataset(
    file: Any,
    pipeline: list[Filter],
    shape: Any,
    chunks: Any,
    dtype: Any,
    *,
    fill: Any = None,
    grows: Any = None,
    early: bool = False,
) -> Any:
    """An empty dataset "x" with any filters in any order, and an h5py type or a NumPy dtype."""
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_chunk(chunks)
    if early:
        made.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    for code, values in pipeline:
        made.set_filter(code, h5py.h5z.FLAG_OPTIONAL if code in (1, 32000) else 0, values)
    if fill is not None:
        made.set_fill_value(np.array(fill, dtype))
    kind = dtype if isinstance(dtype, h5py.h5t.TypeID) else h5py.h5t.py_create(np.dtype(dtype), logical=True)
    space = h5py.h5s.create_simple(shape, grows or shape)
    return h5py.Dataset(h5py.h5d.create(file.id, b"x", kind, space, made))


def stored(pipeline: list[Filter], content: bytes, itemsize: int) -> bytes:
    """A chunk of `content` as HDF5 stores it: filters of zlib, NumPy and, for LZF and sums, the library itself."""
    size = len(content) // itemsize
    driver: dict[str, Any] = {"driver": "core", "backing_store": False}
    with h5py.File("stored", "w", **driver) as file:
        made = dataset(file, pipeline, (size,), (size,), h5py.h5t.py_create(np.dtype(f"V{itemsize}")))
        made[...] = np.frombuffer(content, f"V{itemsize}")
        mask, packed = made.id.read_direct_chunk((0,))
    assert mask == 0
    return bytes(packed)


def read(path: Path | str, reading: Reading | None = None, **how: Any) -> Array:
    with closing(open_source(str(path), reading)) as source:
        return everything(source, **how)


def refusal(path: Path) -> str:
    """What is said of a file that cannot be read, behind its name."""
    with pytest.raises(InputError) as caught:
        read(path)
    assert caught.value.what.startswith(f"{path}[x]: ")
    assert len(str(caught.value).splitlines()) == 2
    return caught.value.what.removeprefix(f"{path}[x]: ")


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_pipeline(pipeline: str, libver: Any, tmp_path: Path) -> None:
    """Of every dtype and byte order, one to four axes, chunks that reach beyond the array or are missing, any index."""
    path, rng = tmp_path / "a.h5", np.random.default_rng(5)
    for number, (dtype, (shape, chunks)) in enumerate(itertools.product(DTYPES, SHAPES)):
        if number % 2 == (libver == "latest"):  # each in one of the formats
            continue
        grows = (None, (None, *shape[1:]), (None,) * len(shape))[number % 3]
        grows = grows and tuple(h5py.h5s.UNLIMITED if n is None else n for n in grows)
        values = (rng.standard_normal(shape) * 9).astype("i1").astype(dtype)
        with h5py.File(path, "w", libver=libver) as file:
            fill = None if number % 4 == 0 else 1
            made = dataset(file, PIPELINES[pipeline], shape, chunks, dtype, fill=fill, grows=grows)
            made[: 2 if number % 5 else None] = values[: 2 if number % 5 else None]
        with h5py.File(path) as file:
            want = file["x"][()]
        for how in ({"elements": 7, "axes": (0,)}, {"elements": 1 << 20}):
            got = read(path, **how)
            np.testing.assert_array_equal(got, want.astype(got.dtype), err_msg=f"{dtype} {shape}")


INDEXES: dict[str, tuple[tuple[int, int], tuple[int | None, int | None], list[bytes]]] = {
    "single": ((40, 30), (40, 30), []),
    "implicit": ((3, 4), (40, 30), []),
    "fixed": ((3, 4), (40, 30), [b"FAHD", b"FADB"]),
    "extensible": ((3, 4), (None, 30), [b"EAHD", b"EAIB", b"EADB"]),
    "tree": ((3, 4), (None, None), [b"BTHD", b"BTLF"]),
    "tree, old": ((3, 4), (None, None), [b"TREE"]),
}
"""What the library writes for one chunk, for arrays that never grow, along one axis, along several: a name; lengths of
chunks, and how long the array may be; what its parts begin with."""


def indexed(index: str, pipeline: str, path: Path) -> Array:
    """The values of a dataset that is written with an index of that kind."""
    chunks, grows, _ = INDEXES[index]
    values = np.random.default_rng(2).standard_normal((40, 30)).astype("f4")
    with h5py.File(path, "w", libver="earliest" if "old" in index else "latest") as file:
        limits = tuple(h5py.h5s.UNLIMITED if n is None else n for n in grows)
        early = index == "implicit"
        dataset(file, PIPELINES[pipeline], values.shape, chunks, "f4", grows=limits, early=early)[...] = values
    return values


@pytest.mark.parametrize("index", INDEXES)
def test_every_index(index: str, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    for pipeline in ("none",) if index == "implicit" else ("none", "gzip", "lzf, shuffled, summed"):
        values = indexed(index, pipeline, path)
        assert all(part in path.read_bytes() for part in INDEXES[index][2])
        np.testing.assert_array_equal(read(path, elements=100), values)
        np.testing.assert_array_equal(read(path, axes=(0,), elements=100), values)
        taken = Reading(select=selection_of("5:33:3,-1:4:-2"))
        np.testing.assert_array_equal(read(path, taken, elements=50), values[5:33:3, -1:4:-2])


@pytest.mark.parametrize("index", [index for index, (*_, parts) in INDEXES.items() if parts])
def test_every_part_of_an_index_damaged(index: str, tmp_path: Path) -> None:
    """In its first bytes, and in all of the first chunk's: an error, or the numbers that h5py reads then."""
    path = tmp_path / "a.h5"
    for pipeline in ("none", "gzip"):
        indexed(index, pipeline, path)
        content, refused = path.read_bytes(), 0
        for part in INDEXES[index][2]:
            for at in (*range(4, 24, 3), *range(24, 64, 7)):
                altered = bytearray(content)
                altered[content.rindex(part) + at] ^= 0x11
                path.write_bytes(altered)
                try:
                    got = read(path, elements=2000)
                except InputError:
                    refused += 1
                else:
                    with h5py.File(path) as file:
                        np.testing.assert_array_equal(got, file["x"][()])
        assert refused > 2


@pytest.mark.parametrize("pipeline", ["none", "gzip", "shuffle", "gzip, shuffled, summed", "lzf"])
def test_chunks_beyond_the_array_that_are_not_filtered(pipeline: str, tmp_path: Path) -> None:
    """An option of the newest format that h5py does not know, and the library does."""
    try:
        option = ctypes.CDLL(h5py.h5p.__file__).H5Pset_chunk_opts
    except (OSError, AttributeError):
        pytest.skip("the library's functions are not exported")
    path, values = tmp_path / "a.h5", np.random.default_rng(3).integers(0, 9, (7, 9)).astype(">f4")
    with h5py.File(path, "w", libver="latest") as file:
        plain = dataset(file, PIPELINES[pipeline], (7, 9), (4, 5), ">f4")
        made = plain.id.get_create_plist()
        assert option(ctypes.c_int64(made.id), ctypes.c_uint(2)) >= 0
        space = h5py.h5s.create_simple((7, 9), (h5py.h5s.UNLIMITED, 9))
        h5py.Dataset(h5py.h5d.create(file.id, b"y", h5py.h5t.py_create(values.dtype), space, made))[...] = values
        sizes = {info.size for info in map(file["y"].id.get_chunk_info, range(4))}
        assert pipeline in ("none", "shuffle") or sizes > {80}
    np.testing.assert_array_equal(read(path, Reading(key="y")), values)


@pytest.mark.parametrize("pipeline", ["shuffle", "gzip, shuffled, summed", "summed twice", "lzf, shuffled, summed"])
def test_filters_that_a_chunk_was_not_given_to(pipeline: str, tmp_path: Path) -> None:
    path, values = tmp_path / "a.h5", VALUES // 20  # which LZF makes less of, shuffled or not
    content = values[4:8]
    for mask in range(1 << len(PIPELINES[pipeline])):
        applied = [each for number, each in enumerate(PIPELINES[pipeline]) if not mask >> number & 1]
        with h5py.File(path, "w") as file:
            made = dataset(file, PIPELINES[pipeline], (12, 5), (4, 5), "f4")
            made[:4], made[8:] = values[:4], values[8:]  # the library keeps the bits of a chunk that it has
            packed = stored(applied, content.tobytes(), 4) if applied else content.tobytes()
            made.id.write_direct_chunk((4, 0), packed, mask)
        with h5py.File(path) as file:
            np.testing.assert_array_equal(file["x"][()], values)
        np.testing.assert_array_equal(read(path), values)


def deflated(content: bytes) -> bytes:
    return zlib.compress(content, 6)


def summed(content: bytes) -> bytes:
    """With the library's checksum."""
    return stored([FLETCHER], content, 1)


def swapped(content: bytes) -> bytes:
    """With the checksum of HDF5 1.6.2 and older, whose halves have their bytes the other way round."""
    whole = summed(content)
    return whole[:-4] + bytes([whole[-3], whole[-4], whole[-1], whole[-2]])


RAW = CHUNK.tobytes()
"""80 bytes."""
UNSOUND: dict[str, tuple[str, bytes, str]] = {
    "short": ("gzip", deflated(RAW[:8]), "it unfolds to 8 of 80 bytes"),
    "a byte short": ("gzip", deflated(RAW[:-1]), "it unfolds to 79 of 80 bytes"),
    "long": ("gzip", deflated(RAW + RAW), "it unfolds to more than 80 bytes"),
    "a byte long": ("gzip", deflated(RAW + b"\0"), "it unfolds to more than 80 bytes"),
    "a bomb": ("gzip", deflated(bytes(1 << 20)), "it unfolds to more than 80 bytes"),
    "garbage behind": ("gzip", deflated(RAW) + b"\0", "bytes follow its compressed data"),
    "one more stream": ("gzip", deflated(RAW) + deflated(RAW), "bytes follow its compressed data"),
    "cut": ("gzip", deflated(RAW)[:-1], "its compressed data are cut off"),
    "half": ("gzip", deflated(RAW)[:20], "its compressed data are cut off"),
    "a byte": ("gzip", b"\x78", "its compressed data are cut off"),
    "a changed sum": ("gzip", deflated(RAW)[:-1] + b"\xff", "zlib: incorrect data check"),
    "no zlib": ("gzip", RAW, "zlib: "),
    "no dictionary": ("gzip", b"\x78\xbb" + bytes(20), "zlib: "),
    "very long": ("gzip", bytes(1 << 13), "more than 4,256 bytes are stored of it"),
    "bytes less": ("shuffle", RAW[:-4], "it comes to 76 of 80 bytes"),
    "bytes more": ("shuffle", RAW + RAW, "it comes to 160 of 80 bytes"),
    "a wrong checksum": ("fletcher32", summed(RAW)[:-1] + b"\xaa", "its checksum is not that of its bytes"),
    "a wrong byte": ("fletcher32", b"\1" + summed(RAW)[1:], "its checksum is not that of its bytes"),
    "no checksum": ("fletcher32", b"\1\2", "it ends before its checksum"),
    "a sound sum of less": ("fletcher32", summed(RAW[:-2]), "it comes to 78 of 80 bytes"),
    "a sound sum of nothing": ("fletcher32", bytes(4), "it comes to 0 of 80 bytes"),
    "less below a sum": ("gzip, shuffled, summed", summed(deflated(RAW[:40])), "it unfolds to 40 of 80 bytes"),
    "garbage below a sum": (
        "gzip, shuffled, summed",
        summed(deflated(RAW) + b"12"),
        "bytes follow its compressed data",
    ),
    "less above a sum": ("summed first", deflated(summed(RAW[:-4])), "it unfolds to 80 of 84 bytes"),
    "a wrong sum within": ("summed first", deflated(RAW + bytes(4)), "its checksum is not that of its bytes"),
    "less in two": ("twice", deflated(deflated(RAW[:4])), "it unfolds to 4 of 80 bytes"),
    "short LZF": ("lzf", b"\x07" + RAW[:8], "it comes to 8 of 80 bytes"),
    "long LZF": ("lzf", b"\x00\x01\xe0\xff\x00", "it is no LZF, or unfolds to more than 80 bytes"),
    "LZF before its start": ("lzf", b"\x00\x01\x20\x05", "it is no LZF, or unfolds to more than 80 bytes"),
    "LZF cut in a run": ("lzf", b"\x1f" + RAW[:8], "it is no LZF, or unfolds to more than 80 bytes"),
    "LZF cut in a reference": ("lzf", b"\x07" + RAW[:8] + b"\x20", "it is no LZF, or unfolds to more than 80 bytes"),
}


@pytest.mark.parametrize("case", UNSOUND)
def test_a_chunk_that_is_not_sound(case: str, tmp_path: Path) -> None:
    """Named by file, dataset and place; the others can be read."""
    pipeline, packed, what = UNSOUND[case]
    path = tmp_path / "a.h5"
    for libver in ("earliest", "latest"):
        with h5py.File(path, "w", libver=libver) as file:  # type: ignore[arg-type]
            made = dataset(file, PIPELINES[pipeline], (12, 5), (4, 5), "f4")
            made[...] = VALUES
            made.id.write_direct_chunk((4, 0), packed)
        assert refusal(path).startswith(f"the chunk [4:8, 0:5] is damaged: {what}")
        np.testing.assert_array_equal(read(path, Reading(select=selection_of("8:"))), VALUES[8:])


@pytest.mark.parametrize("pipeline", ["gzip", "gzip, shuffled, summed", "lzf"])
def test_a_chunk_beyond_the_array_that_is_not_sound(pipeline: str, tmp_path: Path) -> None:
    """In a chunk's own size, as if it were not filtered: what the library refuses, or would misread, is refused."""
    path = tmp_path / "a.h5"
    short = deflated(RAW[:8])
    packed = {
        "gzip": [short + bytes(80 - len(short)), zlib.compress(np.random.default_rng(1).bytes(99))[:80], RAW],
        "gzip, shuffled, summed": [summed(short + bytes(76 - len(short))), RAW],
        "lzf": [b"\x1f" * 80, b"\xff" * 80, b"\x07" + bytes(8) + b"\x00a" * 35 + b"\x00"],
    }
    for chunk in packed[pipeline]:
        assert len(chunk) == 80
        with h5py.File(path, "w") as file:
            made = dataset(file, PIPELINES[pipeline], (10, 5), (4, 5), "f4")
            made[:8] = VALUES[:8]
            made.id.write_direct_chunk((8, 0), chunk)
        assert refusal(path).startswith("the chunk [8:10, 0:5] is damaged: ")


def test_the_checksum_of_old_releases(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        made = dataset(file, [FLETCHER], (12, 5), (4, 5), "f4")
        made[...] = VALUES
        made.id.write_direct_chunk((4, 0), swapped(RAW))
        np.testing.assert_array_equal(made[()], VALUES)
    np.testing.assert_array_equal(read(tmp_path / "a.h5"), VALUES)


@pytest.mark.parametrize("size", [*range(1, 12), 719, 720, 721, 722, 8191, 8192, 8194, 131_072, 139_267])
def test_checksums_are_the_library_s(size: int) -> None:
    for content in (np.random.default_rng(size).bytes(size), b"\xff" * size, bytes(size - 1) + b"\1", bytes(size)):
        told = int.from_bytes(stored([FLETCHER], content, 1)[-4:], "little")
        assert filters.fletcher32(np.frombuffer(content, np.uint8)) == told


def test_lzf_with_and_without_the_decoder_of_h5py(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    contents = [rng.integers(0, top, 5000).astype("u1").tobytes() for top in (2, 4, 20)] + [b"ab" * 900, bytes(999)]
    for content in contents:
        packed = bytearray(stored([LZF], content, 1))
        for k in range(40):  # sound at first
            found = []
            for decoder in (lzf._native(), None):
                monkeypatch.setattr(lzf, "_native", lambda decoder=decoder: decoder)
                found.append(lzf.unfolded(memoryview(bytes(packed)), len(content)))
            monkeypatch.undo()
            ours, theirs = (None if one is None else one.tobytes() for one in found)
            assert ours == theirs
            assert k or ours == content
            packed[rng.integers(len(packed))] = rng.integers(256)


def test_a_decoder_that_h5py_does_not_export(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = memoryview(stored([LZF], b"ab" * 900, 1))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    lzf._native.cache_clear()
    try:
        found = lzf.unfolded(packed, 1800)
        assert lzf._native() is None
    finally:
        lzf._native.cache_clear()
    assert found is not None
    assert found.tobytes() == b"ab" * 900


@pytest.mark.parametrize("pipeline", ["none", "shuffle"])
@pytest.mark.parametrize("size", [0, 1, 76, 84, 160, 0x7FFFFFFF, 0xFFFFFFFF])
def test_an_index_that_lies_about_a_length(pipeline: str, size: int, tmp_path: Path) -> None:
    """A chunk of 80 bytes: the library would read, or write, as many as the index says."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        dataset(file, PIPELINES[pipeline], (12, 5), (4, 5), "f4")[...] = VALUES
    content = path.read_bytes()
    key = struct.pack("<IIQQQ", 80, 0, 4, 0, 0)  # of a version 1 B-tree: size, mask, place
    assert content.count(key) == 1
    path.write_bytes(content.replace(key, struct.pack("<I", size) + key[4:]))
    refusal(path)


@pytest.mark.parametrize("pipeline", ["none", "gzip"])
def test_an_index_that_leads_out_of_the_file(pipeline: str, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        made = dataset(file, PIPELINES[pipeline], (12, 5), (4, 5), "f4")
        made[...] = VALUES
        _, mask, place, size = made.id.get_chunk_info(1)
    content, key = path.read_bytes(), struct.pack("<IIQQQ", size, mask, 4, 0, 0)
    assert content.count(key + struct.pack("<Q", place)) == 1
    for wrong in (len(content) - 3, len(content) + 1, 1 << 40, (1 << 64) - 2):
        path.write_bytes(content.replace(key + struct.pack("<Q", place), key + struct.pack("<Q", wrong)))
        refusal(path)


def test_filters_that_are_told_of_another_dataset(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    for kind, values in (("scaleoffset", 3), ("nbit", None)):
        with h5py.File(path, "w") as file:
            if values is None:
                dataset(file, [(5, ())], (12, 5), (4, 5), "i4")[...] = VALUES
            else:
                file.create_dataset("x", data=VALUES.astype("i4"), chunks=(4, 5), scaleoffset=8)
            (_, _, told, _) = file["x"].id.get_create_plist().get_filter(0)
        np.testing.assert_array_equal(read(path), VALUES)
        content, text = path.read_bytes(), struct.pack("<III", *told[2:5])
        assert content.count(text) == 1
        for count, size in ((19, 4), (21, 4), (20, 2), (1 << 30, 4)):
            path.write_bytes(content.replace(text, struct.pack("<III", count, told[3], size)))
            assert refusal(path) == f"chunks of shape (4, 5), 4 bytes a number, and {kind} for others"


@pytest.mark.parametrize("levels", [(10,), (0xFFFFFFFF,), (6, 6)])
def test_gzip_of_no_level(levels: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        dataset(file, [(1, levels)], (12, 5), (4, 5), "f4")
    assert refusal(path) == "a gzip of no level from 0 to 9"


@pytest.mark.parametrize("kind", ["bfloat16", "bits", "enum", "bool"])
@pytest.mark.parametrize("pipeline", ["none", "gzip, shuffled, summed"])
def test_numbers_that_numpy_has_not(kind: str, pipeline: str, tmp_path: Path) -> None:
    """The library converts them; what is short is refused all the same."""
    path = tmp_path / "a.h5"
    if kind == "bfloat16":
        stored_as = h5py.h5t.IEEE_F32LE.copy()
        stored_as.set_fields(15, 7, 8, 0, 7)
        stored_as.set_size(2)
        stored_as.set_ebias(127)
    else:
        bits, enum = h5py.h5t.STD_B16LE, h5py.h5t.py_create(h5py.enum_dtype({"a": 1, "b": 3}, "i2"), logical=True)
        truth = h5py.h5t.py_create(np.dtype("?"), logical=True)
        stored_as = {"bits": bits, "enum": enum, "bool": truth}[kind]
    values = np.arange(12).reshape(3, 4) % 4
    with h5py.File(path, "w") as file:
        made = dataset(file, PIPELINES[pipeline], (3, 4), (2, 3), stored_as)
        made[...] = values.astype(made.dtype)
        want = made[()]
        raw = values[:2, :3].astype("f4").view("u4") >> 16 if kind == "bfloat16" else values[:2, :3]
        content = raw.astype(f"u{stored_as.get_size()}").tobytes()
        whole = [each for each in PIPELINES[pipeline] if each != SHUFFLE]
        made.id.write_direct_chunk((0, 0), stored(whole, content, 1) if whole else content, 1 if whole else 0)
    got = read(path)
    assert got.dtype == ("f4" if kind == "bfloat16" else want.dtype)
    np.testing.assert_array_equal(got, values.astype(got.dtype))
    if not whole:
        return
    with h5py.File(path, "a") as file:
        file["x"].id.write_direct_chunk((0, 0), stored(whole, content[:-1], 1), 1)
    assert "the chunk [0:2, 0:3] is damaged" in refusal(path)


def test_numbers_that_were_never_written(tmp_path: Path) -> None:
    """The library leaves memory as it is where a dataset says that it is never filled; here they are 0, as in h5py."""
    path = tmp_path / "a.h5"
    for chunks in ((4, 5), None):
        never = h5py.h5p.create(h5py.h5p.DATASET_CREATE)  # create_dataset itself has no word for it before h5py 3.12
        never.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        for options in ({}, {"compression": "gzip"}) if chunks else ({},):
            with h5py.File(path, "w") as file:
                made = file.create_dataset("x", (12, 5), "f4", chunks=chunks, dcpl=never, **options)
                if chunks:
                    made[4:8] = CHUNK
            want = np.zeros((12, 5), "f4")
            want[4:8] = CHUNK if chunks else 0
            dirty = Buffer()
            with closing(open_source(str(path))) as source:
                dirty.array((12, 5), np.float32)[...] = 7.5
                pending: Any = source.fetch(Block((0, 0), (12, 5)))
                np.testing.assert_array_equal(pending.load(dirty).values, want)


@pytest.mark.parametrize("pipeline", ["none", "gzip", "gzip, shuffled, summed", "lzf"])
def test_many_threads_read_many_chunks(pipeline: str, tmp_path: Path) -> None:
    """h5py takes its lock around most of the library; where it does not, threads would tread on each other."""
    path, values = tmp_path / "a.h5", np.random.default_rng(1).integers(0, 99, (400, 300)).astype("f4")
    with h5py.File(path, "w") as file:
        dataset(file, PIPELINES[pipeline], values.shape, (3, 70), "f4")[...] = values
    failed: list[BaseException] = []

    def work(source: Any, first: int) -> None:
        try:
            buffer = Buffer()
            for k in itertools.chain(range(first, 400, 17), range(0, 400, 31)):
                box = Block((k, 5 * first), (min(400, k + 50), 300))
                np.testing.assert_array_equal(source.fetch(box).load(buffer).values, values[k : k + 50, 5 * first :])
        except BaseException as error:
            failed.append(error)

    with closing(open_source(str(path))) as source:
        threads = [threading.Thread(target=work, args=(source, first)) for first in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failed
