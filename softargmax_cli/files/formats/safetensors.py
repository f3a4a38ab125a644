"""Tensors in .safetensors files: a header of JSON, then bare values, read at any place like those of an .npy file.

The package of that name is not used: it maps a file into memory, which counts as the process's own, and a file that
shrinks then kills the process. https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from softargmax_cli.errors import InputError, naming
from softargmax_cli.files.formats.npy import LONGEST_AXIS, MOST_AXES, Header, NpySource
from softargmax_cli.files.members import member_of
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.source import COPY_AGAIN, Facts

LONGEST_HEADER = 16 << 20
"""Bytes, for some 150,000 tensors. The reference allows 100 MB, but such JSON may take 3 GB of memory."""
DTYPES: dict[str, Any] = {"BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4"}
DTYPES |= {"U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": ml_dtypes.bfloat16}
DTYPES |= {"F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2}


def open_safetensors(stream: BinaryIO, name: str, reading: Reading) -> NpySource:
    """Open the tensor `reading.key` of a seekable stream at its start; without a key, the only one.

    bfloat16 and float8 become float32. Raises InputError if the header, or its entry for the tensor, is damaged.
    """
    tensors, begin = _tensors(stream)

    def look(key: str) -> tuple[tuple[int, ...], object]:
        header, _ = _described(tensors[key])
        return header.shape, header.dtype

    key, title, members = member_of(name, "safetensors", list(tensors), reading, look)
    with naming(title):
        header, offset = _described(tensors[key])
        # Not beyond the end of a truncated file, which NpySource reports.
        stream.seek(min(begin + offset, os.fstat(stream.fileno()).st_size))
        source = NpySource(stream, title, header)
    source.facts = Facts("safetensors", members=members)
    return source


def _tensors(stream: BinaryIO) -> tuple[Mapping[str, Any], int]:
    """Parse the header: return its entry for each tensor, and the position where the data begin."""
    size = int.from_bytes(stream.read(8), "little")
    text = stream.read(min(size, LONGEST_HEADER))
    if len(text) < size:
        what = f"a header of {size:,} bytes, more than there are, or than {LONGEST_HEADER >> 20} MiB"
        raise InputError(f"damaged, or no .safetensors file: {what}", COPY_AGAIN)
    tensors: dict[str, Any] = json.loads(text.decode())  # what begins with { is an object
    "".join(tensors).encode()  # raises for lone surrogates
    tensors.pop("__metadata__", None)
    return tensors, 8 + size


def _described(tensor: Any) -> tuple[Header, int]:
    """Check the entry of a tensor, and return its shape and dtype, and its place in the data."""
    try:
        kind, shape, (start, stop) = tensor["dtype"], tensor["shape"], tensor["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise InputError("the header does not give its dtype, shape and place", COPY_AGAIN) from None
    if not isinstance(kind, str) or kind not in DTYPES:
        what = f"dtype {str(kind)[:20]} holds no real numbers that are known"
        raise InputError(what, "save real numbers: tensor.float()")
    sound = isinstance(shape, list) and len(shape) <= MOST_AXES
    if not sound or any(type(n) is not int or not 0 <= n <= LONGEST_AXIS for n in (*shape, start, stop)):
        raise InputError("the header gives an impossible shape or place", COPY_AGAIN)
    header = Header(tuple(shape), np.dtype(DTYPES[kind]))
    if stop - start != header.nbytes:
        what = f"shape {header.shape} of {kind} takes {header.nbytes:,} bytes, the header gives {stop - start:,}"
        raise InputError(f"damaged: {what}", COPY_AGAIN)
    return header, start
