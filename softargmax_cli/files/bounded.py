"""Codecs of chunks that unfold to no more than a chunk should: a few bytes may else take all memory there is.

zstd, blosc and lz4 say in a header how much they unfold to, and make room for that; gzip, zlib and bz2 are unfolded
here up to the bound. What other codecs make of a chunk is theirs to bound. Loads zarr, like `received`.
"""

from __future__ import annotations

import bz2
import math
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import zarr
from numcodecs.abc import Codec
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import ShardingCodec

from softargmax_cli.errors import InputError

SLACK = 1 << 16
"""Bytes that may come on top of twice a chunk's own, as some codecs widen what others narrow."""
BLOCK = 128 << 10
"""Bytes that a block of zstd unfolds to at most (RFC 8878)."""


def bounded(array: Any) -> Any:
    """The same zarr.Array, whose chunks are refused (ValueError) where they unfold to far more than their shape.

    Raises InputError for chunks that would be unpickled, which may run anything.
    """
    metadata = array.metadata
    if any("pickle" in str(getattr(codec, "codec_id", "")) for codec in (*array.filters, *array.compressors)):
        raise InputError("its chunks are Python pickles, which are never unpickled", "store numbers as they are")
    if metadata.zarr_format == 3:
        described = replace(metadata, codecs=tuple(map(_bounded, metadata.codecs)))
    else:
        most = 2 * math.prod(array.chunks) * max(8, array.dtype.itemsize) + SLACK
        filters = None if metadata.filters is None else tuple(BoundedFilter(each, most) for each in metadata.filters)
        compressor = None if metadata.compressor is None else BoundedFilter(metadata.compressor, most)
        described = replace(metadata, filters=filters, compressor=compressor)
    return zarr.Array(zarr.AsyncArray(described, array.store_path))


def _bounded(codec: Any) -> Any:
    if isinstance(codec, ShardingCodec):
        return BoundedSharding(
            chunk_shape=codec.chunk_shape,
            codecs=tuple(map(_bounded, codec.codecs)),
            index_codecs=codec.index_codecs,
            index_location=codec.index_location,
        )
    return Bounded(codec) if isinstance(codec, BytesBytesCodec) else codec


@dataclass(frozen=True)
class Bounded(BytesBytesCodec):
    """A codec of format 3."""

    inner: Any
    is_fixed_size = False

    async def _decode_single(self, chunk_data: Any, chunk_spec: Any) -> Any:
        most = 2 * math.prod(chunk_spec.shape) * chunk_spec.dtype.to_native_dtype().itemsize + SLACK
        packed, name = chunk_data.as_numpy_array(), self.inner.to_dict()["name"].removeprefix("numcodecs.")
        if name in UNFOLDED:
            return chunk_spec.prototype.buffer.from_bytes(UNFOLDED[name](packed, most))
        _check(name, packed, most)
        (decoded,) = await self.inner.decode([(chunk_data, chunk_spec)])
        return decoded

    def to_dict(self) -> dict[str, Any]:
        said: dict[str, Any] = self.inner.to_dict()
        return said

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        return int(self.inner.compute_encoded_size(input_byte_length, chunk_spec))


class BoundedSharding(ShardingCodec):
    """Shards, of which zarr would take one without bytes, or a chunk without bytes in one, for fill values."""

    async def decode_partial(self, batch_info: Iterable[tuple[Any, Any, Any]]) -> Iterable[Any]:
        """As zarr has it: (where the bytes come from, what is wanted of them, what they describe) of each shard."""
        return await super().decode_partial([(Present(getter), *wanted) for getter, *wanted in batch_info])


@dataclass(frozen=True)
class Present:
    """Where the bytes of a shard come from: of what is there, at least one."""

    inner: Any

    async def get(self, prototype: Any, byte_range: Any = None) -> Any:
        """None where nothing is there. Raises ValueError."""
        found = await self.inner.get(prototype, byte_range)
        if found is not None and not len(found):
            raise ValueError("a shard is empty, or ends before what its index names")
        return found


class BoundedFilter(Codec):  # type: ignore[misc]  # numcodecs has no types
    """A filter or compressor of format 2."""

    codec_id = "bounded"
    """Each has the name of what it bounds; that the class has one, too, makes it a codec to zarr."""

    def __init__(self, inner: Any, most: int) -> None:
        self._inner, self._most, self.codec_id = inner, most, inner.codec_id

    def encode(self, buf: Any) -> Any:
        return self._inner.encode(buf)

    def decode(self, buf: Any, out: Any = None) -> Any:
        if self.codec_id in (*UNFOLDED, *DECLARED):
            packed = np.ascontiguousarray(buf).reshape(-1).view(np.uint8)
            if self.codec_id in UNFOLDED:
                return np.frombuffer(UNFOLDED[self.codec_id](packed, self._most), np.uint8)
            _check(self.codec_id, packed, self._most)
        return self._inner.decode(buf)

    def get_config(self) -> Any:
        return self._inner.get_config()


def _check(name: str, packed: Any, most: int) -> None:
    if name in DECLARED and DECLARED[name](bytes(packed[:16]), packed) > most:
        raise ValueError(f"its {name} unfolds to more than a chunk of that shape takes")


def _deflated(packed: Any, most: int) -> bytes:
    """What gzip or zlib unfold to, of several members all."""
    parts, left, rest = [], most, bytes(packed)
    while rest.rstrip(b"\0"):
        unfolding = zlib.decompressobj(wbits=47)  # either, by its header
        parts.append(unfolding.decompress(rest, left + 1))
        left -= len(parts[-1])
        if left < 0:
            raise ValueError("it unfolds to more than a chunk of that shape takes")
        if not unfolding.eof:
            raise ValueError("its compressed data are cut off")
        rest = unfolding.unused_data
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _bzipped(packed: Any, most: int) -> bytes:
    unfolding = bz2.BZ2Decompressor()
    unfolded = unfolding.decompress(bytes(packed), most + 1)
    if len(unfolded) > most or not unfolding.eof:
        raise ValueError("its compressed data are cut off, or unfold to more than a chunk of that shape takes")
    return unfolded


def _zstandard(head: bytes, packed: Any) -> int:
    """The size that the header of a frame declares; else the most that its blocks can unfold to (RFC 8878)."""
    if head[:4] != b"\x28\xb5\x2f\xfd" or len(head) < 6:
        return 0  # the decoder says so
    flags, single = head[4], head[4] >> 5 & 1
    width = (single, 2, 4, 8)[flags >> 6]
    place = 5 + (1 - single) + (0, 1, 2, 4)[flags & 3]
    if width:
        return int.from_bytes(head[place : place + width], "little") + (256 if width == 2 else 0)
    most, last = 0, 0
    while not last and place + 3 <= len(packed):
        block = int.from_bytes(bytes(packed[place : place + 3]), "little")
        last, kind, size = block & 1, block >> 1 & 3, block >> 3
        most += BLOCK if kind == 2 else size
        place += 3 + (1 if kind == 1 else size)
    return most


DECLARED: dict[str, Callable[[bytes, Any], int]] = {
    "zstd": _zstandard,
    "blosc": lambda head, packed: int.from_bytes(head[4:8], "little"),
    "lz4": lambda head, packed: int.from_bytes(head[:4], "little"),
}
"""How many bytes the data of a codec unfold to, from their first 16 bytes and all of them."""
UNFOLDED: dict[str, Callable[[Any, int], bytes]] = {"gzip": _deflated, "zlib": _deflated, "bz2": _bzipped}
"""Codecs that do not say it, unfolded up to a number of bytes."""
