"""Zarr arrays of format 2 and 3, read in boxes of whole chunks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from softargmax_cli.errors import InputError, SoftArgmaxError
from softargmax_cli.files.arenas import few_arenas
from softargmax_cli.files.formats.npy import native_dtype
from softargmax_cli.files.gridded import Array, GriddedSource, as_text
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.remote import blaming
from softargmax_cli.files.source import Facts
from softargmax_cli.files.stores import DAMAGED, open_array
from softargmax_cli.files.watching import AGAIN, Watch
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.buffer import Buffer

KEPT = 64 << 20
"""Bytes of chunks that are kept decoded where blocks cut them; of larger chunks one."""
LARGEST_SHARD = 64 << 20
"""Bytes of a shard that is read as a whole; of larger ones the chunks are."""
MOST = 1 << 62
"""Bytes of an array; no more can be counted."""


class ZarrSource(GriddedSource):
    """An array of a Zarr store, which may lie anywhere that fsspec reaches; chunks that are absent hold the fill value.

    Raises InputError where there is no such array, or one of no real numbers, OptionError where nothing tells which is
    meant, and MissingDependencyError.
    """

    def __init__(self, place: str, reading: Reading) -> None:
        few_arenas()
        self.name, array, members = open_array(place, reading.key, all_members=reading.inspected)
        self._held = np.dtype(array.dtype)
        if self._held.kind not in "biuf" or self._held.isbuiltin == 2:
            described = "structured" if self._held.names else self._held
            held = "objects" if self._held.hasobject else "no real numbers"
            raise InputError(f"{self.name}: dtype {described} holds {held}", "store real numbers: astype('float32')")
        lengths, cells = tuple(array.shape), tuple(array.chunks)
        self.shape, self.chunks = lengths, cells
        shards = None if array.shards is None else tuple(array.shards)
        if shards is not None and math.prod(shards) * self._held.itemsize <= LARGEST_SHARD:
            self.chunks = shards
        self.dtype, self.stored = native_dtype(self._held), str(self._held)
        self.nbytes = math.prod(array.shape) * self.dtype.itemsize
        for what, sides in (("shape", lengths), ("chunks", cells), ("shards", shards or ())):
            if math.prod(sides) * self.dtype.itemsize > MOST or (what != "shape" and 0 in sides):
                raise InputError(f"{self.name}: impossible {what}, {sides}", "write it again")
        with blaming(self.name, "opened", damaged=DAMAGED):
            from softargmax_cli.files.bounded import bounded

            try:
                self._array = bounded(array)
            except InputError as error:
                raise InputError(f"{self.name}: {error.what}", error.remedy) from None
        self.facts = Facts(
            "zarr",
            str(array.metadata.zarr_format),
            members=members,
            shards=shards,
            codecs=[_codec(codec) for codec in (*array.filters, *array.compressors)],
        )
        self._lay_out(lengths, cells, self._held.itemsize, KEPT)
        self.watch = StoreWatch(array, self.name, lambda: open_array(place, reading.key, all_members=False)[1])

    def _decoded(self, block: Block, buffer: Buffer) -> Array:
        """A box of whole chunks, as it is stored."""
        from softargmax_cli.files.received import Received

        place, out = tuple(map(slice, block.start, block.stop)), Received(block.shape, self._held, buffer)
        with blaming(f"{self.name}: {as_text(block)}", "read", damaged=DAMAGED):
            self._array.get_basic_selection(place, out=out)
        return out.values


class StoreWatch(Watch):
    """An array as its store described it first; chunks have no dates that every store tells."""

    def __init__(self, array: Any, name: str, again: Callable[[], Any]) -> None:
        self._described, self._name, self._again = _described(array), name, again

    def end(self) -> tuple[str, ...]:
        """See `Watch.end`."""
        try:
            now = _described(self._again())
        except SoftArgmaxError as error:
            raise InputError(f"{self._name}: changed while it was read: {error.message}", AGAIN) from None
        if now != self._described:
            what = next(key for key in {**now, **self._described} if now.get(key) != self._described.get(key))
            raise InputError(f"{self._name}: changed while it was read: it has another {what}", AGAIN)
        return ()


def _described(array: Any) -> dict[str, str]:
    """What its chunks mean."""
    return {key: repr(value) for key, value in array.metadata.to_dict().items() if key != "attributes"}


def _codec(codec: Any) -> str:
    """Of either format, as a person reads it: "blosc lz4"."""
    if hasattr(codec, "get_config"):
        said = codec.get_config()
        return " ".join(filter(None, (said["id"], said.get("cname"))))
    said = codec.to_dict()
    return " ".join(filter(None, (said["name"], said.get("configuration", {}).get("cname"))))
