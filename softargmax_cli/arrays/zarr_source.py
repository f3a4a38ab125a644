"""Zarr arrays of format 2 and 3, read in boxes of whole chunks."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.arrays.arenas import few_arenas
from softargmax_cli.arrays.kept import Kept
from softargmax_cli.arrays.npy import native_dtype
from softargmax_cli.arrays.reading import Reading
from softargmax_cli.arrays.remote import blaming
from softargmax_cli.arrays.source import BoxPending, Loaded, Source
from softargmax_cli.arrays.stores import DAMAGED, open_array
from softargmax_cli.arrays.watching import AGAIN, Watch
from softargmax_cli.errors import InputError, SoftArgmaxError
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.buffer import Buffer

Array = npt.NDArray[Any]

KEPT = 64 << 20
"""Bytes of chunks that are kept decoded where blocks cut them; of larger chunks one."""
LARGEST_CUT = 256 << 20
"""Bytes of a chunk that is read in part."""
MOST = 1 << 62
"""Bytes of an array; no more can be counted."""


class ZarrSource(Source):
    """An array of a Zarr store, which may lie anywhere that fsspec reaches; chunks that are absent hold the fill value.

    Raises InputError where there is no such array, or one of no real numbers, OptionError where nothing tells which is
    meant, and MissingDependencyError.
    """

    format = "zarr"

    def __init__(self, place: str, reading: Reading) -> None:
        few_arenas()
        self.name, array, self.members = open_array(place, reading.key, all_members=reading.inspected)
        self._held = np.dtype(array.dtype)
        if self._held.kind not in "biuf" or self._held.isbuiltin == 2:
            described = "structured" if self._held.names else self._held
            held = "objects" if self._held.hasobject else "no real numbers"
            raise InputError(f"{self.name}: dtype {described} holds {held}", "store real numbers: astype('float32')")
        self.version = str(array.metadata.zarr_format)
        self._lengths, self._cells = tuple(array.shape), tuple(array.chunks)
        self.shape, self.chunks = self._lengths, self._cells
        self.shards = None if array.shards is None else tuple(array.shards)
        self.dtype, self.stored = native_dtype(self._held), str(self._held)
        self.nbytes = math.prod(array.shape) * self.dtype.itemsize
        for what, lengths in (("shape", self._lengths), ("chunks", self._cells), ("shards", self.shards or ())):
            if math.prod(lengths) * self.dtype.itemsize > MOST or (what != "shape" and 0 in lengths):
                raise InputError(f"{self.name}: impossible {what}, {lengths}", "write it again")
        with blaming(self.name, "opened", damaged=DAMAGED):
            from softargmax_cli.arrays.bounded import bounded

            try:
                self._array = bounded(array)
            except InputError as error:
                raise InputError(f"{self.name}: {error.what}", error.remedy) from None
        self.codecs = [_codec(codec) for codec in (*array.filters, *array.compressors)]
        size = math.prod(self._cells) * self._held.itemsize
        self._kept, self._abreast = Kept(KEPT), threading.BoundedSemaphore(max(1, KEPT // size))
        self.watch = StoreWatch(array, self.name, lambda: open_array(place, reading.key, all_members=False)[1])

    def fetch(self, block: Block) -> BoxPending:
        return BoxPending(self, block)

    def read(self, block: Block, buffer: Buffer) -> Loaded:
        """A box, in C order and native byte order; one that cuts chunks is cut from what is kept of them."""
        if self._is_whole(block):
            return Loaded(self._computed(self._decoded(block, buffer)))
        if math.prod(self._cells) * self._held.itemsize > LARGEST_CUT:
            what = f"chunks of shape {self._cells} do not fit into {LARGEST_CUT >> 20} MiB, so none is cut"
            raise InputError(f"{self.name}: {what}", "leave out --select, or store the array in smaller chunks")
        values = buffer.array(block.shape, self.dtype)
        for chunk in self._chunks(block):
            nbytes = math.prod(chunk.shape) * self._held.itemsize
            low = tuple(map(max, block.start, chunk.start))
            high = tuple(map(min, block.stop, chunk.stop))
            with self._abreast:  # however many threads there are, only so many chunks are in hand
                whole = self._kept.chunk(chunk.start, nbytes, partial(self._decoded, chunk, Buffer()))
                values[_within(block, low, high)] = self._computed(whole[_within(chunk, low, high)])
                del whole
        return Loaded(values)

    def _is_whole(self, block: Block) -> bool:
        """Whether no chunk is cut."""
        ends = zip(block.start, block.stop, self._cells, self._lengths, strict=True)
        return all(a % size == 0 and (b % size == 0 or b == n) for a, b, size, n in ends)

    def _chunks(self, block: Block) -> Iterator[Block]:
        """Those that a block has part in."""
        spans = zip(block.start, block.stop, self._cells, strict=True)
        for start in itertools.product(*(range(a - a % size, b, size) for a, b, size in spans)):
            ends = zip(start, self._cells, self._lengths, strict=True)
            yield Block(start, tuple(min(a + size, n) for a, size, n in ends))

    def _decoded(self, block: Block, buffer: Buffer) -> Array:
        """A box of whole chunks, as it is stored."""
        from softargmax_cli.arrays.received import Received

        place, out = tuple(map(slice, block.start, block.stop)), Received(block.shape, self._held, buffer)
        with blaming(f"{self.name}: {_text(block)}", "read", damaged=DAMAGED):
            self._array.get_basic_selection(place, out=out)
        return out.values

    def _computed(self, values: Array) -> Array:
        with np.errstate(over="ignore"):  # of extended floats
            return values.astype(self.dtype, copy=False)

    def close(self) -> None:
        """Nothing to do: zarr holds no file open."""


class StoreWatch(Watch):
    """An array as its store described it first; chunks have no dates that every store tells."""

    def __init__(self, array: Any, name: str, again: Callable[[], Any]) -> None:
        self._described, self._name, self._again = _described(array), name, again

    def end(self) -> tuple[str, ...]:
        """See `Watch.end`."""
        try:
            now = _described(self._again())
        except SoftArgmaxError as error:
            raise InputError(f"{self._name}: changed while it was read: {error.what}", AGAIN) from None
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


def _within(block: Block, low: Sequence[int], high: Sequence[int]) -> tuple[slice, ...]:
    """A box from `low` to `high` of the whole array, as a part of a block that holds it."""
    return tuple(slice(a - start, b - start) for a, b, start in zip(low, high, block.start, strict=True))


def _text(block: Block) -> str:
    """A box as a person reads it: [0:4, 6:9]."""
    return f"[{', '.join(f'{start}:{stop}' for start, stop in zip(block.start, block.stop, strict=True))}]"
