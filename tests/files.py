"""Files of every format, written by the formats' own packages, and sources read as the reduction reads them."""

from __future__ import annotations

import gzip
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet
from safetensors.numpy import save as safetensors

from softargmax_cli.files.source import Source
from softargmax_cli.reduction import blocks
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer

Array = npt.NDArray[Any]


def npy(values: Array) -> bytes:
    held = io.BytesIO()
    np.lib.format.write_array(held, values)
    return held.getvalue()


def npz(values: Array, *, packed: bool = False, name: str = "scores") -> bytes:
    held = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(held, **{name: values})  # type: ignore[arg-type]
    return held.getvalue()


def hdf5(values: Array, **options: Any) -> bytes:
    held = io.BytesIO()
    with h5py.File(held, "w") as file:
        file.create_dataset("group/scores", data=values, **options)
    return held.getvalue()


def parquet(values: Array, rows: int = 1 << 20) -> bytes:
    held = io.BytesIO()
    table = pa.table({f"c{k}": column for k, column in enumerate(values.T)})
    pyarrow.parquet.write_table(table, held, row_group_size=rows)
    return held.getvalue()


def csv(values: Array) -> bytes:
    return "".join(",".join(map(repr, row)) + "\n" for row in values.astype(float).tolist()).encode()


def chunked(values: Array) -> bytes:
    chunks = tuple(max(1, n // 2) for n in values.shape)
    return (
        hdf5(values, chunks=chunks, compression="gzip", shuffle=True) if values.ndim and values.size else hdf5(values)
    )


ANY_SHAPE: dict[str, Callable[[Array], bytes]] = {
    "npy": npy,
    "npz": npz,
    "npz, packed": lambda values: npz(values, packed=True),
    "safetensors": lambda values: safetensors({"scores": np.asarray(values, order="C")}),
    "hdf5": hdf5,
    "hdf5, chunked": chunked,
}
"""Writers of arrays of any shape."""
TABLES: dict[str, Callable[[Array], bytes]] = {
    "parquet": parquet,
    "parquet, in groups": lambda values: parquet(values, 3),
    "csv": csv,
    "csv.gz": lambda values: gzip.compress(csv(values)),
}
"""Writers of two axes, at least one row and one column."""


class Hesitant(io.RawIOBase):
    """A pipe whose writer sends a few bytes at a time."""

    def __init__(self, content: bytes, most: int) -> None:
        self._content, self._most = io.BytesIO(content), most

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        piece = self._content.read(min(len(target), self._most))
        target[: len(piece)] = piece
        return len(piece)


@contextmanager
def piped(content: bytes, pieces: int = 4093) -> Iterator[str]:
    """The name of the reading end of a pipe that a thread fills, in uneven pieces, until nobody reads."""
    end, writing = os.pipe()

    def write() -> None:
        with suppress(BrokenPipeError), os.fdopen(writing, "wb", buffering=0) as writer:
            for start in range(0, len(content), pieces):
                writer.write(content[start : start + pieces])

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield f"/dev/fd/{end}"
    finally:
        os.close(end)
        thread.join(30)


def written(folder: Path, content: bytes, name: str = "data.bin") -> str:
    """A file in a folder; its path."""
    (folder / name).write_bytes(content)
    return str(folder / name)


def everything(source: Source, axes: tuple[int, ...] = (-1,), elements: int = 7) -> Array:
    """All values, block by block, as a reduction along `axes` asks for them."""
    if source.shape and source.shape[0] is None:
        columns, parts, rows = source.shape[1] or 0, [], 0
        for block in blocks.rows(columns, elements):
            pending = source.fetch(block)
            if pending is None:
                break
            parts.append(pending.load(Buffer()).values.copy())
            rows += len(parts[-1])
        assert source.rows == rows
        return np.concatenate([np.empty((0, columns)), *parts])
    shape = tuple(n or 0 for n in source.shape)
    values = np.empty(shape, source.dtype)
    if 0 in shape:
        return values
    if not shape:
        plan: Any = [Block((), ())]
    else:
        reduced = tuple({axis % len(shape) for axis in axes})
        plan = blocks.plan(shape, reduced, source.order, elements, contiguous=source.sequential)
    buffer, moved = Buffer(), 0
    for block in plan:
        pending = source.fetch(block)
        assert pending is not None
        loaded = pending.load(buffer)
        assert loaded.values.shape == block.shape
        assert loaded.values.dtype == source.dtype
        values[(*map(slice, block.start, block.stop), ...)] = loaded.values
        moved += pending.nbytes
    assert moved == source.nbytes
    return values
