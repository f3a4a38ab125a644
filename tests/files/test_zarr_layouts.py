"""Zarr arrays of every layout against the values that zarr has written, and stores that are not sound."""

from __future__ import annotations

import itertools
import json
import os
import pickle
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from files import Array, everything

from softargmax_cli.errors import InputError, InputMissingError, OptionError
from softargmax_cli.files import remote
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.registry import open_source
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer

pytestmark = pytest.mark.slow

zarr = pytest.importorskip("zarr", "3")
numcodecs = pytest.importorskip("numcodecs")

X = np.random.default_rng(4).normal(size=(7, 9, 11)) * 20
CHUNKS = (3, 4, 5)


def save(place: Path, values: Array, chunks: tuple[int, ...] = CHUNKS, **more: Any) -> str:
    zarr.create_array(str(place), **{"shape": values.shape, "chunks": chunks, "dtype": values.dtype, **more})[...] = (
        values
    )
    return str(place)


LAYOUTS: dict[str, dict[str, Any]] = {
    "v2": {"zarr_format": 2},
    "v2, Fortran order": {"zarr_format": 2, "order": "F"},
    "v2, filters": {
        "zarr_format": 2,
        "order": "F",
        "filters": [numcodecs.Shuffle(8), numcodecs.Zlib(1)],
        "compressors": numcodecs.Blosc("zstd", 3, 2),
    },
    "v3": {},
    "v3, several": {
        "compressors": [
            {"name": "blosc", "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 8}},
            {"name": "zstd", "configuration": {"level": 1, "checksum": True}},
            {"name": "crc32c"},
        ]
    },
    "v3, shards": {"shards": (6, 8, 10)},
    "v3, transposed shards": {
        "shards": (6, 8, 10),
        "filters": [{"name": "transpose", "configuration": {"order": [1, 2, 0]}}],
        "compressors": [{"name": "gzip", "configuration": {"level": 1}}],
    },
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(layout: str, tmp_path: Path) -> None:
    """Read in whole chunks, in blocks that cut them, and in blocks that cut more of them than are kept."""
    with closing(open_source(save(tmp_path / "x.zarr", X, **LAYOUTS[layout]))) as source:
        assert (source.shape, source.dtype, source.stored, source.facts.format) == (X.shape, X.dtype, "float64", "zarr")
        assert (source.chunks, source.facts.version) == (LAYOUTS[layout].get("shards", CHUNKS), layout[1])
        assert source.facts.shards == LAYOUTS[layout].get("shards")
        whole = np.empty(X.shape)
        for start in itertools.product(*(range(0, n, size) for n, size in zip(X.shape, CHUNKS, strict=True))):
            stop = tuple(min(a + size, n) for a, size, n in zip(start, CHUNKS, X.shape, strict=True))
            pending = source.fetch(Block(start, stop))
            assert pending is not None
            values = pending.load(Buffer()).values
            assert values.flags.c_contiguous
            whole[tuple(map(slice, start, stop))] = values
        np.testing.assert_array_equal(whole, X)
        for axes, elements in (((0,), 120), ((0, 2), 500)):
            np.testing.assert_array_equal(everything(source, axes, elements), X)


@pytest.mark.parametrize("version", [2, 3])
def test_every_dtype(version: Any, tmp_path: Path) -> None:
    for dtype in ("?", ">u2", ">i8", "<f2"):
        values = X[:3].astype("i1").astype(dtype)
        with closing(open_source(save(tmp_path / f"{dtype[-2:]}.zarr", values, zarr_format=version))) as source:
            assert source.dtype == values.dtype.newbyteorder("=")
            np.testing.assert_array_equal(everything(source, (0,), 400), values)


@pytest.mark.parametrize("version", [2, 3])
def test_chunks_that_are_not_there(version: Any, tmp_path: Path) -> None:
    array = zarr.create_array(
        str(tmp_path / "x.zarr"), shape=X.shape, chunks=CHUNKS, dtype="f4", fill_value=2.5, zarr_format=version
    )
    array[3, 4, 5] = 7
    wanted = np.full(X.shape, 2.5, "f4")
    wanted[3, 4, 5] = 7
    with closing(open_source(str(tmp_path / "x.zarr"))) as source:
        for axes, elements in (((0,), 7), ((2,), 10_000)):
            np.testing.assert_array_equal(everything(source, axes, elements), wanted)


class Bomb:
    """Makes a directory where it is unpickled."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._place),)


@pytest.mark.parametrize("filters", [[], ["pickle"], ["zlib", "pickle"], ["vlen-utf8", "pickle"]])
def test_nothing_is_unpickled(filters: list[str], tmp_path: Path) -> None:
    """Most of it zarr refuses by itself."""
    codecs = [{"id": name} for name in filters]
    more = {"filters": codecs or None, "compressor": None if codecs else {"id": "pickle"}}
    place = described(tmp_path / "x.zarr", 2, **more)
    for chunk in (tmp_path / "x.zarr").glob("*.*.*"):
        chunk.write_bytes(pickle.dumps(Bomb(tmp_path / "boom")))
    with pytest.raises(InputError, match="pickle"), closing(open_source(place)) as source:
        everything(source)
    assert not (tmp_path / "boom").exists()


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut off": (lambda held: held[:-9], "cannot be read: "),
    "noise": (lambda held: b"\0" * len(held), "cannot be read: "),
    "empty": (lambda held: b"", "cannot be read: "),
    "longer": (lambda held: numcodecs.Zstd().encode(bytes(1000)), "cannot reshape"),
}


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["v2", "v3", "v3, shards"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_chunk_is_named(layout: str, damage: str, tmp_path: Path) -> None:
    change, said = DAMAGES[damage]
    place = save(tmp_path / "x.zarr", X, **LAYOUTS[layout])
    if damage == "longer" and layout == "v3, shards":
        said = "cannot be read"
    chunk = Path(place) / ("1.1.1" if layout[1] == "2" else "c/1/1/1" if "shards" not in layout else "c/0/0/0")
    chunk.write_bytes(change(chunk.read_bytes()))
    with closing(open_source(place)) as source, pytest.raises(InputError) as caught:
        everything(source)
    assert caught.value.what.startswith(f"{place}: [")
    assert said in caught.value.message
    assert caught.value.remedy == "copy the store again, or write it again"


def described(place: Path, version: int, **more: Any) -> str:
    """A store whose description says something else."""
    save(place, X, zarr_format=version)
    document = place / ("zarr.json" if version == 3 else ".zarray")
    document.write_text(json.dumps({**json.loads(document.read_text()), **more}))
    return str(place)


def grid(*lengths: int) -> dict[str, Any]:
    return {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": lengths}}}


IMPOSSIBLE: list[tuple[int, dict[str, Any], str]] = [
    (3, {"shape": [2**62, 2**62, 1]}, "impossible shape, (4611686018427387904, 4611686018427387904, 1)"),
    (3, {"shape": [-7, 9, 11]}, "cannot be opened"),
    (3, {"shape": [7, 9]}, "cannot be opened"),
    (3, grid(0, 4, 5), "impossible chunks, (0, 4, 5)"),
    (3, grid(-3, 4, 5), "cannot be opened"),
    (2, {"compressor": {"id": "frobnicate"}}, "codec not available"),
    (3, {"codecs": [{"name": "bytes"}, {"name": "frobnicate"}]}, "Unknown codec: 'frobnicate'"),
    (3, {"data_type": "float99"}, "cannot be opened"),
    (2, {"dtype": "|O", "filters": [{"id": "pickle"}], "fill_value": None}, "cannot be opened"),
    (2, {"dtype": [["a", "<f4"], ["b", "<f4"]], "fill_value": None}, "dtype structured holds no real numbers"),
    (2, {"dtype": "<U2", "fill_value": None}, "dtype <U2 holds no real numbers"),
]


@pytest.mark.slow
def test_a_description_that_cannot_be(tmp_path: Path) -> None:
    for case, (version, more, said) in enumerate(IMPOSSIBLE):
        place = described(tmp_path / f"{case}.zarr", version, **more)
        with pytest.raises(InputError) as caught:
            open_source(place)
        assert caught.value.message.startswith(f"{place}: ")
        assert said in caught.value.message
        assert caught.value.remedy


@pytest.mark.slow
def test_a_description_that_is_none(tmp_path: Path) -> None:
    for version, text in itertools.product((2, 3), ("", "[1, 2]", "[" * 100_000, '{"zarr_format": 9}')):
        place = save(tmp_path / f"{version}{len(text)}.zarr", X, zarr_format=version)
        (Path(place) / ("zarr.json" if version == 3 else ".zarray")).write_text(text)
        with pytest.raises(InputError) as caught:
            open_source(place)
        assert caught.value.message.startswith(f"{place}: ")
        assert "\n" not in caught.value.what
        assert len(caught.value.what) < 600


def test_no_name_leads_out_of_a_group(tmp_path: Path) -> None:
    save(tmp_path / "other.zarr", X)
    group = zarr.open_group(str(tmp_path / "g.zarr"), mode="w")
    for name in ("a", "b/c"):
        group.create_array(name, shape=(3, 4), dtype="f4")
    for key in ("../other.zarr", "b/../../other.zarr", "/../other.zarr", "..", "b", "c"):
        with pytest.raises((InputError, OptionError)):
            open_source(str(tmp_path / "g.zarr"), Reading(key=key))
    for key in ("b/c", "/b/c/"):
        open_source(str(tmp_path / "g.zarr"), Reading(key=key)).close()
    zarr.open_group(str(tmp_path / "empty.zarr"), mode="w")
    with pytest.raises(InputError, match="no arrays in it"):
        open_source(str(tmp_path / "empty.zarr"))


def test_which_names_are_stores() -> None:
    for name in ("s3://b/x.zarr", "http://h/x.zarr/a", "gs://b/volumes", "memory://x", "zip::s3://b/x.zip"):
        assert remote.is_store(name)
    for name in ("s3://b/x.npy", "https://h/x.csv.gz?key=1", "gs://b/X.NPZ", "x.zarr", "-"):
        assert not remote.is_store(name)
    for name in ("simplecache::s3://b/x.npy", "zip://x.npy::x.zip", "a::b::memory://x"):
        assert remote.is_url(name)
    for name in ("C:\\x.zarr", "x::y.npy", "a::b::c.zarr", "x:/y", "x:y", "1://x", "::", "d/x://y"):
        assert not remote.is_url(name)


def test_a_store_on_no_disk() -> None:
    place = "memory://held/x.zarr"
    zarr.create_array(place, shape=X.shape, chunks=CHUNKS, dtype="f8")[...] = X
    with closing(open_source(place)) as source:
        np.testing.assert_array_equal(everything(source, (0,), 30), X)
    with pytest.raises(InputMissingError, match="no Zarr store there"):
        open_source("memory://held/y.zarr")
