"""Zarr arrays of format 2 and 3, read by zarr-python in boxes of whole chunks."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from softargmax_cli.errors import InputError, InputMissingError, OptionError, SoftArgmaxError, naming, parameter
from softargmax_cli.files.formats.npy import native_dtype
from softargmax_cli.files.members import MOST, chosen, few, shown, unapplied
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.remote import blaming, files_of, located, zarr_python
from softargmax_cli.files.source import BoxSource, Facts, Loaded, Member
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer

MISSING = "name a directory or URL that holds zarr.json or .zarray"
DAMAGED = "copy the store again, or write it again"
STORE = "store real numbers: astype('float32')"
LARGEST_SHARD = 64 << 20
"""Bytes of a shard that is read as a whole; of larger ones the chunks are."""
LARGEST_ARRAY = 1 << 62
"""Bytes of an array; no more can be counted."""


class ZarrSource(BoxSource):
    """An array of a Zarr store, which may lie anywhere that fsspec reaches; chunks that are absent hold the fill value.

    Raises InputError where there is no such array, or one of no real numbers, OptionError where nothing tells which is
    meant, and MissingDependencyError.
    """

    def __init__(self, place: str, reading: Reading) -> None:
        self.name, self._array, members = _opened(place, reading.key, listed=reading.inspected)
        array = self._array
        with naming(self.name):
            held = _checked(array)
        self.shape, self.chunks = tuple(array.shape), tuple(array.chunks)
        shards = None if array.shards is None else tuple(array.shards)
        if shards is not None and math.prod(shards) * held.itemsize <= LARGEST_SHARD:
            self.chunks = shards
        self.dtype, self.stored = native_dtype(held), str(held)
        self.nbytes = math.prod(array.shape) * self.dtype.itemsize
        self.notes = unapplied(array.metadata.attributes)
        codecs = [_codec(codec) for codec in (*array.filters, *array.compressors)]
        self.facts = Facts(
            *("zarr", str(array.metadata.zarr_format)),
            members=members,
            chunks=tuple(array.chunks),
            shards=shards,
            codecs=codecs,
        )

    def read(self, block: Block, buffer: Buffer) -> Loaded:
        from zarr.buffer.cpu import NDBuffer

        values = buffer.array(block.shape, self.dtype)
        box = ", ".join(f"{start}:{stop}" for start, stop in zip(block.start, block.stop, strict=True))
        with (
            blaming(f"{self.name}: [{box}]", "read", damaged=DAMAGED),
            np.errstate(over="ignore", invalid="ignore"),  # of extended floats, of signalling NaN
        ):
            place = tuple(map(slice, block.start, block.stop))
            self._array.get_basic_selection(place, out=NDBuffer.from_numpy_array(values))
        return Loaded(values)


def _described(array: Any) -> dict[str, str]:
    """Describe what the chunks of an array mean."""
    return {key: repr(value) for key, value in array.metadata.to_dict().items() if key != "attributes"}


def _codec(codec: Any) -> str:
    """Name a codec of either format as a person reads it: "blosc lz4"."""
    if hasattr(codec, "get_config"):
        said = codec.get_config()
        return " ".join(filter(None, (said["id"], said.get("cname"))))
    said = codec.to_dict()
    return " ".join(filter(None, (said["name"], said.get("configuration", {}).get("cname"))))


def _checked(array: Any) -> np.dtype[Any]:
    """Return the dtype of an array. Raises InputError where it holds no real numbers, or would be unpickled."""
    held: np.dtype[Any] = np.dtype(array.dtype)
    if held.kind not in "biuf" or held.isbuiltin == 2:
        described = "structured" if held.names else held
        raise InputError(f"dtype {described} holds {'objects' if held.hasobject else 'no real numbers'}", STORE)
    packing = _described(array)
    if any("pickle" in packing.get(key, "").lower() for key in ("codecs", "filters", "compressor")):
        raise InputError("its chunks are Python pickles, which are never unpickled", "store numbers as they are")
    lengths = {"shape": array.shape, "chunks": array.chunks, "shards": array.shards or ()}
    for what, sides in lengths.items():
        if math.prod(sides) * max(8, held.itemsize) > LARGEST_ARRAY or (what != "shape" and 0 in sides):
            raise InputError(f"impossible {what}, {tuple(sides)}", "write it again")
    return held


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what zarr-python warns of, which is no affair of a reader of numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _opened(place: str, key: str | None, *, listed: bool) -> tuple[str, Any, list[Member]]:
    """Open a zarr.Array by its place, or that of a group and a key; its name, itself, and the arrays beside it.

    `listed` asks for those beside it where that costs more. Raises as `members.chosen`, and InputMissingError where
    nothing is there.
    """
    zarr = zarr_python()
    with blaming(place, "opened", damaged=DAMAGED), _quiet():
        files_of(place)  # which says what is wrong with a URL
        try:
            node = _node(zarr, place)
        except FileNotFoundError:
            raise _absent(zarr, place) from None
        if isinstance(node, zarr.Array):
            if key is not None:
                what = f"{place}: one array, in which none is named {shown(key)}"
                raise OptionError(what, f"leave out {parameter('key')}")
            return place, node, []
        array = None if key is None else _array(zarr, node, key.strip("/"))
        names = sorted(_names(node, place)) if array is None or listed else []
        if array is None:
            key = chosen(place, "zarr", names, key, lambda key: _member(zarr, node, key))
            array = node[key]  # or what is wrong with it
        members = [_member(zarr, node, each) for each in names[:MOST]] if listed else []
        return f"{place}[{shown(key or '')}]", array, members


def _node(zarr: Any, place: str) -> Any:
    """Open what lies at a place; metadata of all members at once only where zarr understands all of them."""
    try:
        return zarr.open(located(place), mode="r")
    except (ValueError, TypeError, KeyError) as error:
        try:
            return zarr.open_group(located(place), mode="r", use_consolidated=False)
        except Exception:
            raise error from None


def _array(zarr: Any, group: Any, key: str) -> Any:
    """The array at a path of groups; None where there is none, or one that zarr does not understand."""
    try:
        node = group.get(key)
    except (ValueError, TypeError, KeyError):
        return None
    return node if isinstance(node, zarr.Array) else None


def _member(zarr: Any, group: Any, key: str) -> Member:
    """Describe an array, or say why it cannot be read."""
    try:
        array = group[key]
        return Member(key, tuple(array.shape), str(_checked(array)))
    except InputError as error:
        return Member(key, None, "", error.what)
    except Exception as error:  # whatever zarr raises, it is of this array alone
        return Member(key, None, "", " ".join(str(error).split())[:80])


def _names(group: Any, place: str) -> Iterator[str]:
    """List the paths of arrays below a group; none where the store cannot be listed."""
    try:
        yield from [path for path, node in group.members(max_depth=None) if hasattr(node, "chunks")]
    except (ValueError, TypeError, KeyError):  # of one that zarr does not understand
        yield from _folders(*files_of(place), "")


def _folders(files: Any, root: str, above: str) -> Iterator[str]:
    """List the folders of arrays below the folder of a group, whatever their metadata say."""
    for folder in sorted(
        entry["name"].rstrip("/") for entry in files.ls(root, detail=True) if entry["type"] == "directory"
    ):
        name = f"{above}{folder.rpartition('/')[2]}"
        kind = "array" if files.exists(f"{folder}/.zarray") else "group" if files.exists(f"{folder}/.zgroup") else None
        if files.exists(f"{folder}/zarr.json"):
            kind = json.loads(files.cat_file(f"{folder}/zarr.json")).get("node_type")
        if kind == "array":
            yield name
        elif kind == "group":
            yield from _folders(files, folder, f"{name}/")


def _absent(zarr: Any, place: str) -> SoftArgmaxError:
    """Say that no node has that name, and what is there instead."""
    above, _, last = place.rstrip("/").rpartition("/")
    inner = bool(above and not above.endswith("/") and last)
    found: list[str] = []
    with suppress(Exception):  # whatever it is, there is nothing to choose from
        found = sorted(_names(_node(zarr, above), above)) if inner else []
    if found:
        return InputMissingError(f"{place}: no such array in {above}", f"it holds {few(found)}")
    return InputMissingError(f"{place}: no Zarr store there", MISSING)
