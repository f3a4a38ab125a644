"""Tensors in .safetensors files: a header of JSON, then bare values, read at any place like those of an .npy file.

The format is so plain that its own package would only add a dependency: that maps a file into memory, which counts as
the process's own and ends it where the file shrinks. https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import InputError
from softargmax_cli.files.formats.npy import Header, NpySource
from softargmax_cli.files.members import MOST, chosen, shown
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.source import Facts, Member, Source
from softargmax_cli.reduction.blocks import Block

LONGEST_HEADER = 16 << 20
"""Bytes, some 150,000 tensors. The reference takes 100 MB, but JSON of that length may take 3 GB of memory."""
DTYPES = {
    "BOOL": "?",
    "U8": "u1",
    "I8": "i1",
    "U16": "<u2",
    "I16": "<i2",
    "U32": "<u4",
    "I32": "<i4",
    "U64": "<u8",
    "I64": "<i8",
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
}
SMALL_FLOATS = {"BF16": ("bfloat16", 2), "F8_E4M3": ("float8_e4m3fn", 1), "F8_E5M2": ("float8_e5m2", 1)}
"""Names of ml_dtypes, which comes with TensorFlow, and bytes of a number."""
REMEDY = "copy the file again, or write it again"


def open_safetensors(stream: BinaryIO, name: str, reading: Reading) -> Source:
    """The tensor called `reading.key` of a seekable stream at its start; the only one where there is no key.

    bfloat16 and float8 become float32. Raises InputError where the header is not sound, whichever tensor it is of.
    """
    tensors, begin = _header(stream, name)
    size = os.fstat(stream.fileno()).st_size
    beyond = size - begin - _laid_out(tensors, name)
    keys = list(tensors)
    key = chosen(name, "safetensors", keys, reading.key, lambda key: _member(key, tensors[key]))
    title = f"{name}[{shown(key)}]"
    kind, shape, offset = _described(tensors[key], title)
    stream.seek(min(begin + offset, size))  # where the source finds that there is too little
    if kind in SMALL_FLOATS:
        source: NpySource = SmallFloatSource(stream, title, shape, SMALL_FLOATS[kind][0])
    else:
        source = NpySource(stream, title, Header(shape, np.dtype(DTYPES[kind]), "C", 0), alone=False)
    if beyond < 0:
        raise InputError(f"{name}: truncated: the last {-beyond:,} bytes of its tensors are not there", REMEDY)
    if beyond:
        source.notes = (f"{beyond:,} bytes after the tensors are ignored",)
    members = [_member(each, tensors[each]) for each in keys[:MOST]] if reading.inspected else ()
    source.facts = Facts("safetensors", members=members)
    return source


def _header(stream: BinaryIO, name: str) -> tuple[Mapping[str, Any], int]:
    """Parse the header: what it says of each tensor, and where the data begin."""
    size = int.from_bytes(stream.read(8), "little")
    present = os.fstat(stream.fileno()).st_size - 8
    if size > min(LONGEST_HEADER, present):
        what = (
            f"a header of {size:,} bytes, more than {LONGEST_HEADER >> 20} MiB"
            if size > LONGEST_HEADER
            else "it ends within its header"
        )
        raise InputError(f"{name}: damaged, or no .safetensors file: {what}", REMEDY)
    try:
        text = stream.read(size).decode()  # json itself would take UTF-16
        tensors: dict[str, Any] = json.loads(text, object_pairs_hook=_named_once)  # what begins with { is an object
        metadata = tensors.pop("__metadata__", None) or {}
        if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
            raise ValueError("__metadata__ is no map of texts")
    except (ValueError, RecursionError) as error:
        what = f"the header is no JSON that the format knows: {str(error)[:80]}"
        raise InputError(f"{name}: damaged, or no .safetensors file: {what}", REMEDY) from None
    return tensors, 8 + size


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; ValueError where a name is no text, or comes twice: readers may differ in which is meant."""
    found = dict(pairs)
    "".join(found).encode()  # JSON may hold halves of characters
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"{shown(twice)} comes twice")
    return found


def _laid_out(tensors: Mapping[str, Any], name: str) -> int:
    """Count the bytes of data of all tensors, which must follow each other without a gap."""
    places = []
    for key, tensor in tensors.items():
        _, _, start, stop = _said(tensor, f"{name}[{shown(key)}]")
        places.append((start, stop, key))
    end, before = 0, ""
    for start, stop, key in sorted(places):
        if start != end:
            gap = f"{start - end:,} bytes before it belong to no tensor"
            what = gap if start > end else f"it begins within {shown(before)}"
            raise InputError(f"{name}[{shown(key)}]: damaged: {what}", REMEDY)
        end, before = stop, key
    return end


def _said(tensor: Any, title: str) -> tuple[Any, tuple[int, ...], int, int]:
    """Check what the header says of a tensor: dtype, which need not be known, shape, and place in the data."""
    try:
        kind, shape, (start, stop) = tensor["dtype"], tensor["shape"], tensor["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise InputError(f"{title}: the header does not give its dtype, shape and place", REMEDY) from None
    sound = isinstance(shape, list) and isinstance(tensor["data_offsets"], list) and len(shape) <= 64
    if not sound or any(type(n) is not int or not 0 <= n < 1 << 63 for n in (*shape, start, stop)):
        raise InputError(f"{title}: the header gives an impossible shape or place", REMEDY)
    size = _size(kind)
    if size and stop - start != math.prod(shape) * size:
        taken = math.prod(shape) * size
        what = f"shape {tuple(shape)} of {kind} takes {taken:,} bytes, the header gives {stop - start:,}"
        raise InputError(f"{title}: damaged: {what}", REMEDY)
    if stop < start:
        raise InputError(f"{title}: the header gives an impossible shape or place", REMEDY)
    return kind, tuple(shape), start, stop


def _size(kind: Any) -> int:
    """Bytes of a number; 0 where the dtype is not known."""
    if not isinstance(kind, str):
        return 0
    return np.dtype(DTYPES[kind]).itemsize if kind in DTYPES else SMALL_FLOATS.get(kind, ("", 0))[1]


def _described(tensor: Any, title: str) -> tuple[str, tuple[int, ...], int]:
    """A tensor's dtype, shape, and its place in the data."""
    kind, shape, start, _ = _said(tensor, title)
    if not _size(kind):
        what = f"dtype {str(kind)[:20]} holds no real numbers that are known"
        raise InputError(f"{title}: {what}", "save real numbers: tensor.float()")
    return kind, shape, start


def _member(key: str, tensor: Any) -> Member:
    try:
        kind, shape, _ = _described(tensor, key)
    except InputError as error:
        return Member(key, None, "", error.what.removeprefix(f"{key}: "))
    return Member(key, shape, SMALL_FLOATS[kind][0] if kind in SMALL_FLOATS else str(np.dtype(DTYPES[kind])))


class SmallFloatSource(NpySource):
    """Floats that NumPy has not, as float32, which holds each of them."""

    def __init__(self, stream: BinaryIO, name: str, shape: tuple[int, ...], kind: str) -> None:
        import ml_dtypes

        self._small = np.dtype(getattr(ml_dtypes, kind))
        super().__init__(stream, name, Header(shape, np.dtype(f"<u{self._small.itemsize}"), "C", 0), alone=False)
        self.dtype, self.stored = np.dtype("f4"), kind
        self.nbytes = math.prod(shape) * self.dtype.itemsize

    def native(self, values: npt.NDArray[Any], block: Block) -> npt.NDArray[Any]:
        if not self._held.isnative:
            values = values.byteswap()
        floats: npt.NDArray[Any] = values.view(self._small).astype("f4")
        return floats.reshape(block.shape)
