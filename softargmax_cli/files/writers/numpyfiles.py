"""npy and npz: arrays shaped as the input without the reduced axes, little-endian, in row-major order."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from typing import IO, cast

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import OutputError
from softargmax_cli.files.writers.base import Sink
from softargmax_cli.files.writers.spool import Spool
from softargmax_cli.files.writers.target import Target
from softargmax_cli.reduction.fields import BY_NAME
from softargmax_cli.reduction.result import Run, Slices, Summary

LONGEST_ID = 4096
"""Characters: NumPy pads every string of an array to the longest, so one hostile id could fill any disk."""

_DTYPES = {"hard": "<i8", "ties": "<i8", "agree": "|b1", "vanished": "|b1"}
LONGEST_AXIS = 10**19
"""Room for every length, where a header is written before it is known."""
_IDS_AT_ONCE = 1024


def npy_header(dtype: str, shape: tuple[int, ...], size: int = 0, *, fortran: bool = False) -> bytes:
    """The header of an .npy file, format version 1.0, of at least `size` bytes and a multiple of 64.

    Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
    """
    text = f"{{'descr': {dtype!r}, 'fortran_order': {fortran}, 'shape': {shape!r}, }}"
    size = max(size, -(-(len(text) + 11) // 64) * 64)
    return b"\x93NUMPY\x01\x00" + (size - 10).to_bytes(2, "little") + text.ljust(size - 11).encode("ascii") + b"\n"


def _shape(run: Run, kept: tuple[int, ...], field: str) -> tuple[int, ...]:
    """Of a field's array: several axes are one last dimension."""
    return (*kept, len(run.axes)) if BY_NAME[field].per_axis and len(run.axes) > 1 else kept


def _stored(slices: Slices, field: str) -> npt.NDArray[np.generic]:
    """The values in the order of the file; as they lie, or copied once where they are of several axes."""
    values, dtype = slices.column(field), _DTYPES.get(field, "<f8")
    if values.ndim == 1 or len(values) == 1:
        return np.ascontiguousarray(values.reshape(-1), dtype)
    stored: npt.NDArray[np.generic] = np.empty(values.shape[::-1], dtype)
    for k, coordinates in enumerate(values):  # a tenth of the time that NumPy takes for the transpose as a whole
        stored[:, k] = coordinates
    return stored


class NpySink(Sink):
    """One field alone, `soft` of a reduction.

    Where the length is not known, room for the header is left, or the data wait in a spool.
    """

    def __init__(self, target: Target, run: Run) -> None:
        super().__init__(target, run)
        known = None not in run.kept
        self._later = not known and target.seekable
        self._spool = None if known or target.seekable else Spool(target.spool_directory)

    def _begin(self) -> None:
        if self._spool is None:
            kept = tuple(LONGEST_AXIS if n is None else n for n in self._run.kept)
            self._header = npy_header("<f8", _shape(self._run, kept, self._run.alone))
            self._target.stream.write(self._header)

    def _write(self, slices: Slices) -> None:
        values = _stored(slices, self._run.alone)
        if self._spool is not None:
            self._spool.write(values)
        else:
            self._target.stream.write(values.data)

    def _finish(self, summary: Summary, shape: tuple[int, ...]) -> None:
        stream, shape = self._target.stream, _shape(self._run, self._kept(shape), self._run.alone)
        if self._spool is not None:
            stream.write(npy_header("<f8", shape))
            self._spool.copy_to(stream)
        elif self._later:
            stream.seek(0)
            stream.write(npy_header("<f8", shape, len(self._header)))

    def _release(self) -> None:
        if self._spool is not None:
            self._spool.close()


class NpzSink(Sink):
    """Every field under its name, and `id` where slices have names; each waits in its own spool."""

    def __init__(self, target: Target, run: Run, fields: Sequence[str]) -> None:
        super().__init__(target, run)
        self._spools: dict[str, Spool] = {}
        self._ids = _IdSpool(target.spool_directory) if run.has_ids else None
        try:
            for field in run.fields:
                if field in fields:
                    self._spools[field] = Spool(target.spool_directory)
        except BaseException:
            self._release()
            raise

    def _write(self, slices: Slices) -> None:
        for field, spool in self._spools.items():
            spool.write(_stored(slices, field))
        if self._ids is not None:
            if slices.ids is None:
                raise LookupError("slices came without the ids that were announced")
            self._ids.write(slices.ids)

    def _finish(self, summary: Summary, shape: tuple[int, ...]) -> None:
        kept = self._kept(shape)
        with zip_of(self._target) as archive:
            if self._ids is not None:
                header = npy_header(self._ids.dtype, kept)
                with archive.open(member("id", len(header) + self._ids.nbytes), "w") as place:
                    place.write(header)
                    self._ids.copy_to(place)
            for field, spool in self._spools.items():
                header = npy_header(_DTYPES.get(field, "<f8"), _shape(self._run, kept, field))
                with archive.open(member(field, len(header) + spool.nbytes), "w") as place:
                    place.write(header)
                    spool.copy_to(place)
                spool.close()  # its space is free for the next member

    def _release(self) -> None:
        for spool in self._spools.values():
            spool.close()
        if self._ids is not None:
            self._ids.close()


def zip_of(target: Target) -> zipfile.ZipFile:
    """An .npz in a target, not yet with any array."""
    stream = target.stream if target.seekable else _Forward(target.stream)
    return zipfile.ZipFile(cast(IO[bytes], stream), "w", zipfile.ZIP_STORED)


def member(name: str, size: int) -> zipfile.ZipInfo:
    """What becomes the array of that name in an .npz, of `size` bytes with its header."""
    info = zipfile.ZipInfo(f"{name}.npy")
    info.file_size = size  # known beforehand, so that members beyond 4 GiB, and only those, are written as zip64
    return info


class _Forward:
    """A stream with no way back, for zipfile, which else takes a redirected stdout for a file of its own."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.write = stream.write
        self.flush = stream.flush


class _IdSpool:
    """Names in batches, each as wide as its longest; only at the end is the width of all known."""

    def __init__(self, directory: str | None) -> None:
        self._spool = Spool(directory)
        self._batches: list[tuple[int, int]] = []
        self._width = 1

    @property
    def dtype(self) -> str:
        return f"<U{self._width}"

    @property
    def nbytes(self) -> int:
        return sum(count for count, _ in self._batches) * self._width * 4

    def write(self, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), _IDS_AT_ONCE):
            batch = ids[start : start + _IDS_AT_ONCE]
            width = max(1, *(len(name) for name in batch))
            if width > LONGEST_ID:
                raise OutputError(
                    f"an id of {width} characters is too long for an .npz file", "write .csv or .jsonl instead"
                )
            self._spool.write(np.array(batch, f"<U{width}"))
            self._batches.append((len(batch), width))
            self._width = max(self._width, width)

    def copy_to(self, stream: IO[bytes]) -> None:
        file = self._spool.rewind()
        for count, width in self._batches:
            batch = np.frombuffer(file.read(count * width * 4), f"<U{width}")
            stream.write(batch.astype(self.dtype).data)

    def close(self) -> None:
        self._spool.close()
