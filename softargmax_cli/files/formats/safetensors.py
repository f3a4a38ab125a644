"""Tensors in .safetensors files: a header of JSON, then bare values, read at any place like those of an .npy file.

The format is so plain that its own package would only add a dependency: that maps a file into memory, which counts as
the process's own and ends it where the file shrinks. https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import InputError
from softargmax_cli.files.formats.npy import LONGEST_AXIS, MOST_AXES, Header, NpySource
from softargmax_cli.files.members import MOST, chosen, described, shown
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
    """Open the tensor called `reading.key` of a seekable stream at its start; the only one where there is no key.

    bfloat16 and float8 become float32. Raises InputError where the header, or what it says of the tensor, is not sound.
    """
    tensors, begin = _header(stream, name)
    keys = list(tensors)
    key = chosen(name, "safetensors", keys, reading.key, lambda key: _member(key, tensors[key]))
    title = f"{name}[{shown(key)}]"
    kind, shape, offset = _described(tensors[key], title)
    stream.seek(
        min(begin + offset, os.fstat(stream.fileno()).st_size)
    )  # where the source finds that there is too little
    if kind in SMALL_FLOATS:
        source: NpySource = SmallFloatSource(stream, title, shape, SMALL_FLOATS[kind][0])
    else:
        source = NpySource(stream, title, Header(shape, np.dtype(DTYPES[kind]), "C", 0), alone=False)
    members = [_member(each, tensors[each]) for each in keys[:MOST]] if reading.inspected else ()
    source.facts = Facts("safetensors", members=members)
    return source


def _header(stream: BinaryIO, name: str) -> tuple[Mapping[str, Any], int]:
    """Parse the header: what it says of each tensor, and where the data begin."""
    size = int.from_bytes(stream.read(8), "little")
    present = os.fstat(stream.fileno()).st_size - 8
    if size > LONGEST_HEADER:
        what = f"a header of {size:,} bytes, more than {LONGEST_HEADER >> 20} MiB"
    elif size > present:
        what = "it ends within its header"
    else:
        try:
            tensors: dict[str, Any] = json.loads(stream.read(size).decode())  # what begins with { is an object
            "".join(tensors).encode()  # JSON may hold halves of characters
            tensors.pop("__metadata__", None)
            return tensors, 8 + size
        except (ValueError, RecursionError) as error:
            what = f"the header is no JSON that the format knows: {str(error)[:80]}"
    raise InputError(f"{name}: damaged, or no .safetensors file: {what}", REMEDY)


def _described(tensor: Any, title: str) -> tuple[str, tuple[int, ...], int]:
    """Check what the header says of a tensor: dtype, shape, and its place in the data."""
    try:
        kind, shape, (start, stop) = tensor["dtype"], tensor["shape"], tensor["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise InputError(f"{title}: the header does not give its dtype, shape and place", REMEDY) from None
    if not isinstance(kind, str) or kind not in (*DTYPES, *SMALL_FLOATS):
        what = f"dtype {str(kind)[:20]} holds no real numbers that are known"
        raise InputError(f"{title}: {what}", "save real numbers: tensor.float()")
    sound = isinstance(shape, list) and len(shape) <= MOST_AXES
    if not sound or any(type(n) is not int or not 0 <= n <= LONGEST_AXIS for n in (*shape, start, stop)):
        raise InputError(f"{title}: the header gives an impossible shape or place", REMEDY)
    size = np.dtype(DTYPES[kind]).itemsize if kind in DTYPES else SMALL_FLOATS[kind][1]
    if stop - start != math.prod(shape) * size:
        taken = math.prod(shape) * size
        what = f"shape {tuple(shape)} of {kind} takes {taken:,} bytes, the header gives {stop - start:,}"
        raise InputError(f"{title}: damaged: {what}", REMEDY)
    return kind, tuple(shape), start


def _member(key: str, tensor: Any) -> Member:
    def look(key: str) -> tuple[tuple[int, ...], object]:
        kind, shape, _ = _described(tensor, key)
        return shape, SMALL_FLOATS[kind][0] if kind in SMALL_FLOATS else np.dtype(DTYPES[kind])

    return described(key, look, key)


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
