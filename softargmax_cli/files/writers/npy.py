"""Results as npy and npz: arrays shaped as the input without the reduced axes, little-endian."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import disk_errors
from softargmax_cli.files.writers import Totals, Writer, format_of
from softargmax_cli.files.writers.atomic import Output, copy_all
from softargmax_cli.reduction.blocks import Order, stretches
from softargmax_cli.reduction.fields import BY_NAME
from softargmax_cli.reduction.result import Run, Slices

Shape = tuple[int | None, ...]


class NpyFile:
    """An .npy file that is being written: a header, which is written again at the end, then numbers."""

    def __init__(self, stream: IO[bytes], dtype: np.dtype[Any], shape: Shape, order: Order = "C") -> None:
        self.stream, self._dtype, self._order = stream, dtype.newbyteorder("<"), order
        self._lengths = tuple(n or 0 for n in shape)  # the length of the first axis does not matter yet
        self.end(self._lengths)
        self._begin = stream.tell()

    def append(self, values: npt.NDArray[Any]) -> None:
        """Write the next numbers."""
        self.stream.write(np.ascontiguousarray(values, self._dtype).data)

    def put(self, start: Sequence[int], values: npt.NDArray[Any]) -> None:
        """Write a box that begins at `start`, or at 0 along axes that it does not name."""
        start = (*start, *[0] * (values.ndim - len(start)))
        turn = slice(None, None, -1 if self._order == "F" else 1)
        box = np.ascontiguousarray(values.T if self._order == "F" else values, self._dtype)
        places, length = stretches(start[turn], box.shape, self._lengths[turn])
        stretch, space = length * self._dtype.itemsize, box.reshape(-1).view(np.uint8).data
        for number, place in enumerate(places):
            self.stream.seek(self._begin + place * self._dtype.itemsize)
            self.stream.write(space[number * stretch : (number + 1) * stretch])
        if hasattr(os, "posix_fadvise"):  # starts writing to disk, so that the end need not wait
            begin = self._begin + places[0] * self._dtype.itemsize
            os.posix_fadvise(self.stream.fileno(), begin, self.stream.tell() - begin, os.POSIX_FADV_DONTNEED)

    def end(self, shape: tuple[int, ...]) -> None:
        """Write the header with the shape, of which every length is now known; its size does not depend on them."""
        self.stream.seek(0)
        header = {"descr": self._dtype.str, "fortran_order": self._order == "F", "shape": shape}
        np.lib.format.write_array_header_1_0(self.stream, header)


class NpyWriter(Writer):
    """A single field: `soft` of a reduction."""

    seeks = True

    def begin(self) -> None:
        self._arrays = {
            field: NpyFile(self.space(), BY_NAME[field].dtype, _shape(self.run, self.run.shape, field))
            for field in self.fields
        }

    def space(self) -> IO[bytes]:
        """Return the file for the next array."""
        return self.stream

    def put(self, slices: Slices) -> None:
        for field, array in self._arrays.items():
            array.append(slices.column(field).T)

    def finish(self, summary: Totals, shape: tuple[int, ...]) -> None:
        for field, array in self._arrays.items():
            array.end(_shape(self.run, shape, field))


class NpzWriter(NpyWriter):
    """Every field under its name, and `id` if slices have names; each waits in a file of its own."""

    def begin(self) -> None:
        super().begin()
        self._ids, self._width = self.waiting() if self.run.has_ids else None, 1

    def space(self) -> IO[bytes]:
        return self.waiting()

    def put(self, slices: Slices) -> None:
        super().put(slices)
        if self._ids is not None and slices.ids:
            self._width = max(self._width, *map(len, slices.ids))
            self._ids.write(json.dumps([*slices.ids]).encode() + b"\n")

    def finish(self, summary: Totals, shape: tuple[int, ...]) -> None:
        super().finish(summary, shape)
        named: dict[str, NpyFile] = {}
        if self._ids is not None:
            named["id"] = NpyFile(self.waiting(), np.dtype(f"<U{self._width}"), _shape(self.run, shape))
            self._ids.seek(0)
            for line in self._ids:
                named["id"].append(np.array(json.loads(line)))
        _pack(self.stream, {**named, **self._arrays})


class BoxWriter(Output):
    """One array, written box by box; rows that come in order may be of any number."""

    seeks = True

    def __init__(self, path: str, name: str, dtype: np.dtype[Any], shape: Shape, order: Order, *, force: bool) -> None:
        """Open `path`. name: of the array in an .npz; shape: the first length is None if only the end tells it."""
        super().__init__(path, force=force)
        self._packed, self._member = path != "-" and format_of(path) == "npz", name
        with disk_errors(self.name):
            self._array = NpyFile(self.waiting() if self._packed else self.stream, dtype, shape, order)

    def write(self, start: Sequence[int], values: npt.NDArray[Any]) -> None:
        """Write a box that begins at `start`, or at 0 along axes that it does not name. Raises OutputError."""
        with disk_errors(self.name):
            self._array.put(start, values)

    def commit(self, shape: tuple[int, ...]) -> None:
        """Put the result in place; `shape` is the array's, of which every length is now known. Raises OutputError."""
        with self, disk_errors(self.name):
            self._array.end(shape)
            if self._packed:
                _pack(self.stream, {self._member: self._array})
            self._put_in_place()


def _shape(run: Run, shape: Shape, field: str = "") -> Any:
    """Return the shape of a field's array, with a last dimension for several reduced axes."""
    kept = tuple(n for k, n in enumerate(shape) if k not in run.axes)
    return (*kept, len(run.axes)) if field and BY_NAME[field].per_axis and len(run.axes) > 1 else kept


def _pack(stream: IO[bytes], arrays: Mapping[str, NpyFile]) -> None:
    """Write arrays of any length as an .npz with reproducible bytes."""
    with zipfile.ZipFile(stream, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                copy_all(array.stream, member)
