"""Results as npy and npz: arrays shaped as the input without the reduced axes, little-endian."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterable, Sequence
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import OutputError
from softargmax_cli.files.temporary import NAMES_AT_ONCE, Names, Scratch, blaming
from softargmax_cli.files.writers import format_of
from softargmax_cli.files.writers.atomic import Target, Transaction, Writer, open_target
from softargmax_cli.files.writers.columns import dtype_of
from softargmax_cli.reduction.blocks import Order, stretches
from softargmax_cli.reduction.fields import BY_NAME
from softargmax_cli.reduction.result import Run, Slices, Summary

LONGEST_ID = 4096
"""Characters: NumPy pads every string of an array to the longest, so one hostile id could fill any disk."""

Shape = tuple[int | None, ...]


def npy_header(dtype: np.dtype[Any], shape: tuple[int, ...], order: Order = "C") -> bytes:
    """Write the header of an .npy file, which has one length however long the axis is along which the file grows."""
    held = io.BytesIO()
    np.lib.format.write_array_header_1_0(held, {"descr": dtype.str, "fortran_order": order == "F", "shape": shape})
    return held.getvalue()


class _Array:
    """One array on its way into a file: its header goes first, though its length may be known last.

    The numbers are written into `stream` at once, behind their header, where that is possible; else they wait in a
    nameless file in `folder`.
    """

    def __init__(
        self, dtype: np.dtype[Any], shape: Shape, order: Order, folder: str | None, stream: IO[bytes] | None = None
    ) -> None:
        self.dtype, self._shape, self._order = dtype.newbyteorder("<"), shape, order
        self._stream, self._scratch, self._room, self.count = stream, None, 0, 0
        if stream is None:
            self._scratch = Scratch(folder)
        else:
            header = self.header(shape)
            self._room = len(header)
            stream.write(header)

    def header(self, shape: Shape) -> bytes:
        """Return the header for a shape of which every unknown length may still become any."""
        return npy_header(self.dtype, tuple(n or 0 for n in shape), self._order)

    def append(self, values: npt.NDArray[Any]) -> None:
        """Write the next numbers."""
        self._file.write(values.data)
        self.count += values.size

    def put(self, start: Sequence[int], values: npt.NDArray[Any]) -> None:
        """Write a box that begins at `start`, 0 along axes that are not named; no two may overlap."""
        start = (*start, *[0] * (values.ndim - len(start)))
        lengths = tuple(n or 0 for n in self._shape)  # of the first axis it makes no difference
        turn = slice(None, None, -1 if self._order == "F" else 1)
        box = np.ascontiguousarray(values.T if self._order == "F" else values, self.dtype)
        places, length = stretches(start[turn], box.shape, lengths[turn])
        stretch, space = length * self.dtype.itemsize, box.reshape(-1).view(np.uint8).data
        for number, place in enumerate(places):
            self._file.seek(self._room + place * self.dtype.itemsize)
            self._file.write(space[number * stretch : (number + 1) * stretch])
        self.count += box.size

    def finish(self, stream: IO[bytes], shape: tuple[int, ...]) -> None:
        """Write all of it to `stream`; into that of the numbers, only what was not known before."""
        if self._scratch is not None:
            stream.write(self.header(shape))
            self._scratch.copy_to(stream)
            self.close()  # its space is free for the next one
        elif self._shape != shape:
            stream.seek(0)
            stream.write(self.header(shape))

    @property
    def _file(self) -> IO[bytes] | Scratch:
        file = self._stream or self._scratch
        assert file is not None
        return file

    def close(self) -> None:
        if self._scratch is not None:
            self._scratch.close()


class NpyWriter(Writer):
    """One field alone, `soft` of a reduction."""

    def begin(self) -> None:
        shape = _shape(self.run, self.run.kept, self.run.alone)
        direct = self.target.seekable or None not in shape
        stream = self.target.stream if direct else None
        self._array = _Array(dtype_of(self.run.alone), shape, "C", self.target.folder, stream)
        self.files.callback(self._array.close)

    def put(self, slices: Slices) -> None:
        self._array.append(_stored(slices, self.run.alone))

    def finish(self, summary: Summary, shape: tuple[int, ...]) -> None:
        self._array.finish(self.target.stream, _shape(self.run, _kept(self.run, shape), self.run.alone))


class NpzWriter(Writer):
    """Every field under its name, and `id` where slices have names; each waits in a file of its own."""

    def begin(self) -> None:
        self._names: Names | None = None
        self._width = 1
        if self.run.has_ids:
            self._names = Names(self.target.folder)
            self.files.callback(self._names.close)
        self._arrays: dict[str, _Array] = {}
        for field in self.fields:
            shape = _shape(self.run, self.run.kept, field)
            self._arrays[field] = _Array(dtype_of(field), shape, "C", self.target.folder)
            self.files.callback(self._arrays[field].close)

    def put(self, slices: Slices) -> None:
        for field, array in self._arrays.items():
            array.append(_stored(slices, field))
        if self._names is not None:
            if slices.ids is None:
                raise LookupError("slices came without the ids that were announced")
            self._width = max(self._width, *map(len, slices.ids)) if slices.ids else self._width
            if self._width > LONGEST_ID:
                what = f"an id of {self._width} characters is too long for an .npz file"
                raise OutputError(what, "write .csv or .jsonl instead")
            self._names.add(slices.ids)

    def finish(self, summary: Summary, shape: tuple[int, ...]) -> None:
        kept = _kept(self.run, shape)
        with _zip(self.target) as archive:
            if self._names is not None:
                dtype = np.dtype(f"<U{self._width}")
                with _member(archive, "id") as stream:
                    stream.write(npy_header(dtype, kept))
                    for start in range(0, self.count, NAMES_AT_ONCE):
                        names = self._names.read(range(start, min(start + NAMES_AT_ONCE, self.count)))
                        stream.write(np.array(names, dtype).data)
            for field, array in self._arrays.items():
                with _member(archive, field) as stream:
                    array.finish(stream, _shape(self.run, kept, field))


class BoxWriter(Transaction):
    """One array of known shape, or of rows that come in order, that is written box by box, each at its place.

    Errors are those of `Writer`.
    """

    def __init__(self, path: str, name: str, dtype: np.dtype[Any], shape: Shape, order: Order, *, force: bool) -> None:
        """Open `path`. name: of the array in an .npz; shape: the first length is None where only the end tells it."""
        self._format, self._name = "npy" if path == "-" else format_of(path), name
        super().__init__(open_target(path, force=force))
        direct = self._format == "npy" and self.target.seekable
        try:
            with blaming(self.target.name):
                stream = self.target.stream if direct else None
                self._array = _Array(dtype, shape, order, self.target.folder, stream)
        except BaseException:
            self.abort()
            raise
        self.files.callback(self._array.close)

    def write(self, start: Sequence[int], values: npt.NDArray[Any]) -> None:
        """Write a box that begins at `start`, 0 along axes that are not named; no two may overlap."""
        with blaming(self.target.name):
            self._array.put(start, values)

    def commit(self, shape: tuple[int, ...]) -> None:
        """Put the result in place; `shape` is the array's, of which every length is now known."""
        with self, blaming(self.target.name):
            if self._array.count != math.prod(shape):
                raise RuntimeError(f"{self._array.count} entries came where {math.prod(shape)} were due")
            if self._format == "npy":
                self._array.finish(self.target.stream, shape)
            else:
                with _zip(self.target) as archive, _member(archive, self._name) as stream:
                    self._array.finish(stream, shape)
            self.target.commit()


def _kept(run: Run, shape: Iterable[int]) -> tuple[int, ...]:
    """Return the lengths of the axes that stay, which are all known now."""
    return tuple(int(n) for k, n in enumerate(shape) if k not in run.axes)


def _shape(run: Run, kept: Any, field: str) -> Any:
    """Return the shape of a field's array, of which several reduced axes are one last dimension."""
    return (*kept, len(run.axes)) if BY_NAME[field].per_axis and len(run.axes) > 1 else kept


def _stored(slices: Slices, field: str) -> npt.NDArray[Any]:
    """Return the values in the order of the file; as they lie, or copied once where they are of several axes."""
    values, dtype = slices.column(field), dtype_of(field)
    if values.ndim == 1 or len(values) == 1:
        return np.ascontiguousarray(values.reshape(-1), dtype)
    stored = np.empty(values.shape[::-1], dtype)
    for k, coordinates in enumerate(values):  # a tenth of the time that NumPy takes for the transpose as a whole
        stored[:, k] = coordinates
    return stored


class _Forward:
    """A stream with no way back, for zipfile, which else takes a redirected stdout for a file of its own."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.write, self.flush = stream.write, stream.flush


def _zip(target: Target) -> zipfile.ZipFile:
    """Begin an .npz in a target."""
    stream = target.stream if target.seekable else _Forward(target.stream)
    return zipfile.ZipFile(cast(IO[bytes], stream), "w", zipfile.ZIP_STORED)


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Begin a member of an .npz, of any length; its date is the same each time."""
    return archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True)
