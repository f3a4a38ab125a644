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

import ml_dtypes
import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import InputError, naming
from softargmax_cli.files.formats.npy import LONGEST_AXIS, MOST_AXES, Header, NpySource
from softargmax_cli.files.members import chosen, shown
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.source import Facts, Source
from softargmax_cli.reduction.blocks import Block

LONGEST_HEADER = 16 << 20
"""Bytes, some 150,000 tensors. The reference takes 100 MB, but JSON of that length may take 3 GB of memory."""
DTYPES = {"BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4"}
DTYPES |= {"U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8"}
SMALL_FLOATS = {"BF16": ("bfloat16", "<u2"), "F8_E4M3": ("float8_e4m3fn", "u1"), "F8_E5M2": ("float8_e5m2", "u1")}
"""Names of ml_dtypes, which comes with TensorFlow, and integers of the same size."""
REMEDY = "copy the file again, or write it again"


def open_safetensors(stream: BinaryIO, name: str, reading: Reading) -> Source:
    """Open the tensor called `reading.key` of a seekable stream at its start; the only one where there is no key.

    bfloat16 and float8 become float32. Raises InputError where the header, or what it says of the tensor, is not sound.
    """
    tensors, begin = _header(stream)

    def look(key: str) -> tuple[tuple[int, ...], object]:
        kind, shape, _ = _described(tensors[key])
        return shape, SMALL_FLOATS[kind][0] if kind in SMALL_FLOATS else np.dtype(DTYPES[kind])

    key, members = chosen(name, "safetensors", list(tensors), reading, look)
    title = f"{name}[{shown(key)}]"
    with naming(title):
        kind, shape, offset = _described(tensors[key])
        size = os.fstat(stream.fileno()).st_size
        stream.seek(min(begin + offset, size))  # where the source finds that there is too little
        if kind in SMALL_FLOATS:
            source: NpySource = SmallFloatSource(stream, title, shape, *SMALL_FLOATS[kind])
        else:
            source = NpySource(stream, title, Header(shape, np.dtype(DTYPES[kind]), "C", 0), alone=False)
    source.facts = Facts("safetensors", members=members)
    return source


def _header(stream: BinaryIO) -> tuple[Mapping[str, Any], int]:
    """Parse the header: what it says of each tensor, and where the data begin."""
    size = int.from_bytes(stream.read(8), "little")
    text = stream.read(min(size, LONGEST_HEADER))
    if len(text) < size:
        what = f"a header of {size:,} bytes, more than there are, or than {LONGEST_HEADER >> 20} MiB"
        raise InputError(f"damaged, or no .safetensors file: {what}", REMEDY)
    try:
        tensors: dict[str, Any] = json.loads(text.decode())  # what begins with { is an object
        "".join(tensors).encode()  # JSON may hold halves of characters
    except (ValueError, RecursionError) as error:
        what = f"the header is no JSON that the format knows: {str(error)[:80]}"
        raise InputError(f"damaged, or no .safetensors file: {what}", REMEDY) from None
    tensors.pop("__metadata__", None)
    return tensors, 8 + size


def _described(tensor: Any) -> tuple[str, tuple[int, ...], int]:
    """Check what the header says of a tensor: dtype, shape, and its place in the data."""
    try:
        kind, shape, (start, stop) = tensor["dtype"], tensor["shape"], tensor["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise InputError("the header does not give its dtype, shape and place", REMEDY) from None
    if not isinstance(kind, str) or kind not in (*DTYPES, *SMALL_FLOATS):
        what = f"dtype {str(kind)[:20]} holds no real numbers that are known"
        raise InputError(what, "save real numbers: tensor.float()")
    sound = isinstance(shape, list) and len(shape) <= MOST_AXES
    if not sound or any(type(n) is not int or not 0 <= n <= LONGEST_AXIS for n in (*shape, start, stop)):
        raise InputError("the header gives an impossible shape or place", REMEDY)
    taken = math.prod(shape) * np.dtype(DTYPES.get(kind) or SMALL_FLOATS[kind][1]).itemsize
    if stop - start != taken:
        what = f"shape {tuple(shape)} of {kind} takes {taken:,} bytes, the header gives {stop - start:,}"
        raise InputError(f"damaged: {what}", REMEDY)
    return kind, tuple(shape), start


class SmallFloatSource(NpySource):
    """Floats that NumPy has not, as float32, which holds each of them."""

    def __init__(self, stream: BinaryIO, name: str, shape: tuple[int, ...], kind: str, stored: str) -> None:
        self._small = np.dtype(getattr(ml_dtypes, kind))
        super().__init__(stream, name, Header(shape, np.dtype(stored), "C", 0), alone=False)
        self.dtype, self.stored = np.dtype("f4"), kind
        self.nbytes = math.prod(shape) * self.dtype.itemsize

    def native(self, values: npt.NDArray[Any], block: Block) -> npt.NDArray[Any]:
        stored = values if self._held.isnative else values.byteswap()
        floats: npt.NDArray[Any] = stored.view(self._small).astype("f4")
        return floats.reshape(block.shape)
