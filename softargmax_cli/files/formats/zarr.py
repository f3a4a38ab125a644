"""Zarr arrays of format 2 and 3, read by zarr-python in boxes of whole chunks."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from softargmax_cli.errors import InputError, InputMissingError, OptionError, naming, parameter
from softargmax_cli.files.formats.npy import native_dtype
from softargmax_cli.files.members import member_of, shown, unapplied
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.remote import files_of, located, store_errors, zarr_python
from softargmax_cli.files.source import BoxSource, Facts, Member
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer, Loaded

DAMAGED = "copy the store again, or write it again"
LARGEST_SHARD = 64 << 20
"""Bytes of the largest shard that is read as a whole; larger ones are read by chunks."""
LARGEST_ARRAY = 1 << 62
"""Bytes of an array; no more can be counted."""


class ZarrSource(BoxSource):
    """An array of a Zarr store, which may lie anywhere that fsspec reaches; absent chunks hold the fill value.

    Raises InputError if the array does not exist or holds no real numbers, OptionError if nothing tells which one is
    meant, and MissingDependencyError.
    """

    def __init__(self, place: str, reading: Reading) -> None:
        self.name, array, members = _opened(place, reading)
        with naming(self.name):
            self.shape, held = _checked(array)
        self._array, chunks = array, tuple(array.chunks)
        shards = None if array.shards is None else tuple(array.shards)
        small = shards is not None and math.prod(shards) * held.itemsize <= LARGEST_SHARD
        self.chunks = shards if small else chunks
        self.dtype, self.stored = native_dtype(held), str(held)
        self.nbytes = math.prod(self.shape) * self.dtype.itemsize
        self.notes = unapplied(array.metadata.attributes)
        codecs = [_codec(codec) for codec in (*array.filters, *array.compressors)]
        version = str(array.metadata.zarr_format)
        self.facts = Facts("zarr", version, members=members, chunks=chunks, shards=shards, codecs=codecs)

    def read(self, block: Block, buffer: Buffer) -> Loaded:
        from zarr.buffer.cpu import NDBuffer

        values = buffer.array(block.shape, self.dtype)
        box = ", ".join(f"{start}:{stop}" for start, stop in zip(block.start, block.stop, strict=True))
        with (
            store_errors(f"{self.name}: [{box}]", "read", damaged=DAMAGED),
            np.errstate(over="ignore", invalid="ignore"),  # for extended floats and signalling NaNs
        ):
            place = tuple(map(slice, block.start, block.stop))
            self._array.get_basic_selection(place, out=NDBuffer.from_numpy_array(values))
        return Loaded(values)


def _codec(codec: Any) -> str:
    """Name a codec of either format as a person reads it: "blosc lz4"."""
    said = codec.get_config() if hasattr(codec, "get_config") else codec.to_dict()
    return " ".join(filter(None, (said.get("id") or said["name"], said.get("configuration", said).get("cname"))))


def _checked(array: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and dtype of an array. Raises InputError if it holds no real numbers, or pickles."""
    held: np.dtype[Any] = np.dtype(array.dtype)
    native_dtype(held)
    packing = array.metadata.to_dict()
    if any("pickle" in repr(packing.get(key)).lower() for key in ("codecs", "filters", "compressor")):
        raise InputError("its chunks are Python pickles, which are never unpickled", "store numbers as they are")
    for what, sides in {"shape": array.shape, "chunks": array.chunks, "shards": array.shards or ()}.items():
        if math.prod(sides) * max(8, held.itemsize) > LARGEST_ARRAY or (what != "shape" and 0 in sides):
            raise InputError(f"impossible {what}, {tuple(sides)}", "write it again")
    return tuple(array.shape), held


def _opened(place: str, reading: Reading) -> tuple[str, Any, list[Member]]:
    """Open an array by its place, or by that of its group and a key; return its name, itself, and all members."""
    zarr = zarr_python()
    with store_errors(place, "opened", damaged=DAMAGED), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr-python's warnings do not concern a reader of numbers
        try:
            node = _node(zarr, place)
        except FileNotFoundError:
            remedy = "name a directory or URL that holds zarr.json or .zarray"
            raise InputMissingError("no Zarr store there", remedy) from None
        if isinstance(node, zarr.Array):
            if reading.key is not None:
                what = f"one array, in which none is named {shown(reading.key)}"
                raise OptionError(what, f"leave out {parameter('key')}")
            return place, node, []
        reading = replace(reading, key=None if reading.key is None else reading.key.strip("/"))
        if reading.key is not None and not reading.inspected:
            with suppress(ValueError, TypeError, KeyError):  # metadata that zarr does not understand
                if isinstance(found := node.get(reading.key), zarr.Array):
                    return f"{place}[{shown(reading.key)}]", found, []
        names = sorted(_names(node, place))
        key, name, members = member_of(place, "zarr", names, reading, lambda key: _looked_at(node, key))
        return name, node[key], members


def _node(zarr: Any, place: str) -> Any:
    """Open an array or a group; without consolidated metadata if zarr does not understand all of them."""
    try:
        return zarr.open(located(place), mode="r")
    except (ValueError, TypeError, KeyError):
        with suppress(Exception):
            return zarr.open_group(located(place), mode="r", use_consolidated=False)
        raise


def _looked_at(group: Any, key: str) -> tuple[tuple[int, ...], object]:
    """Find shape and dtype of an array. Raises InputError."""
    try:
        return _checked(group[key])
    except InputError:
        raise
    except Exception as error:  # anything that zarr raises concerns this array alone
        raise InputError(" ".join(str(error).split())[:80]) from None


def _names(group: Any, place: str) -> Iterator[str]:
    """List the paths of arrays below a group; none if the store cannot be listed."""
    try:
        yield from [path for path, node in group.members(max_depth=None) if hasattr(node, "chunks")]
    except (ValueError, TypeError, KeyError):  # a member that zarr does not understand
        yield from _folders(*files_of(place), "")


def _folders(files: Any, root: str, above: str) -> Iterator[str]:
    """List the folders of arrays below the folder of a group, whatever their metadata say."""
    for entry in sorted(files.ls(root, detail=True), key=lambda entry: str(entry["name"])):
        folder = entry["name"].rstrip("/")
        name, kind = f"{above}{folder.rpartition('/')[2]}", None
        if files.exists(f"{folder}/zarr.json"):
            kind = json.loads(files.cat_file(f"{folder}/zarr.json")).get("node_type")
        if kind == "array" or files.exists(f"{folder}/.zarray"):
            yield name
        elif kind == "group" or files.exists(f"{folder}/.zgroup"):
            yield from _folders(files, folder, f"{name}/")
