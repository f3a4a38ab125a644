"""Results as npy and npz: arrays shaped as the input without the reduced axes, little-endian."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import OutputError
from softargmax_cli.files.writers import Writer, format_of
from softargmax_cli.files.writers.atomic import Output, blaming, copy_all
from softargmax_cli.reduction.blocks import Order, stretches
from softargmax_cli.reduction.fields import BY_NAME
from softargmax_cli.reduction.result import Run, Slices, Summary

LONGEST_ID = 4096
"""Characters: NumPy pads every string of an array to the longest, so one hostile id could fill any disk."""

Shape = tuple[int | None, ...]


def _write_header(stream: IO[bytes], dtype: np.dtype[Any], shape: Shape, order: Order = "C") -> None:
    """Write the header of an .npy file, which has one length however long the first axis is."""
    known = tuple(n or 0 for n in shape)
    described = {"descr": dtype.str, "fortran_order": order == "F", "shape": known}
    np.lib.format.write_array_header_1_0(stream, described)


class NpyFile:
    """An .npy file that is being written: a header, which is written again in the end, then numbers."""

    def __init__(self, stream: IO[bytes], dtype: np.dtype[Any], shape: Shape, order: Order = "C") -> None:
        self.stream, self._dtype, self._order = stream, dtype.newbyteorder("<"), order
        self._lengths = tuple(n or 0 for n in shape)  # of the first axis it makes no difference
        _write_header(stream, self._dtype, shape, order)
        self._begin = stream.tell()

    def append(self, values: npt.NDArray[Any]) -> None:
        """Write the next numbers."""
        self.stream.write(np.ascontiguousarray(values, self._dtype).data)

    def put(self, start: Sequence[int], values: npt.NDArray[Any]) -> None:
        """Write a box that begins at `start`, 0 along axes that are not named."""
        start = (*start, *[0] * (values.ndim - len(start)))
        turn = slice(None, None, -1 if self._order == "F" else 1)
        box = np.ascontiguousarray(values.T if self._order == "F" else values, self._dtype)
        places, length = stretches(start[turn], box.shape, self._lengths[turn])
        stretch, space = length * self._dtype.itemsize, box.reshape(-1).view(np.uint8).data
        for number, place in enumerate(places):
            self.stream.seek(self._begin + place * self._dtype.itemsize)
            self.stream.write(space[number * stretch : (number + 1) * stretch])

    def end(self, shape: tuple[int, ...]) -> None:
        """Write the shape, of which every length is now known."""
        self.stream.seek(0)
        _write_header(self.stream, self._dtype, shape, self._order)


class NpyWriter(Writer):
    """One field alone, `soft` of a reduction."""

    seeks = True

    def begin(self) -> None:
        alone = self.run.alone
        self._array = NpyFile(self.stream, BY_NAME[alone].dtype, _shape(self.run, self.run.shape, alone))

    def put(self, slices: Slices) -> None:
        self._array.append(slices.column(self.run.alone).T)

    def finish(self, summary: Summary, shape: tuple[int, ...]) -> None:
        self._array.end(_shape(self.run, shape, self.run.alone))


class NpzWriter(Writer):
    """Every field under its name, and `id` where slices have names; each waits in a file of its own."""

    seeks = True

    def begin(self) -> None:
        self._arrays = {
            field: NpyFile(self.waiting(), BY_NAME[field].dtype, _shape(self.run, self.run.shape, field))
            for field in self.fields
        }
        self._ids, self._width = self.waiting() if self.run.has_ids else None, 1

    def put(self, slices: Slices) -> None:
        for field, array in self._arrays.items():
            array.append(slices.column(field).T)
        if self._ids is not None and slices.ids:
            self._width = max(self._width, *map(len, slices.ids))
            if self._width > LONGEST_ID:
                what = f"an id of {self._width} characters is too long for an .npz file"
                raise OutputError(what, "write .csv or .jsonl instead")
            self._ids.write(json.dumps([*slices.ids]).encode() + b"\n")

    def finish(self, summary: Summary, shape: tuple[int, ...]) -> None:
        with zipfile.ZipFile(self.stream, "w") as archive:
            if self._ids is not None:
                with _member(archive, "id") as member:
                    dtype = np.dtype(f"<U{self._width}")
                    _write_header(member, dtype, _shape(self.run, shape))
                    self._ids.seek(0)
                    for line in self._ids:
                        member.write(np.array(json.loads(line), dtype).data)
            for field, array in self._arrays.items():
                array.end(_shape(self.run, shape, field))
                with _member(archive, field) as member:
                    copy_all(array.stream, member)


class BoxWriter(Output):
    """One array of known shape, or of rows that come in order, that is written box by box, each at its place."""

    seeks = True

    def __init__(self, path: str, name: str, dtype: np.dtype[Any], shape: Shape, order: Order, *, force: bool) -> None:
        """Open `path`. name: of the array in an .npz; shape: the first length is None where only the end tells it."""
        self._packed, self._member = path != "-" and format_of(path) == "npz", name
        super().__init__(path, force=force)
        try:
            with blaming(self.name):
                self._array = NpyFile(self.waiting() if self._packed else self.stream, dtype, shape, order)
        except BaseException:
            self.abort()
            raise

    def write(self, start: Sequence[int], values: npt.NDArray[Any]) -> None:
        """Write a box that begins at `start`, 0 along axes that are not named. Raises OutputError."""
        with blaming(self.name):
            self._array.put(start, values)

    def commit(self, shape: tuple[int, ...]) -> None:
        """Put the result in place; `shape` is the array's, of which every length is now known. Raises OutputError."""
        with self, blaming(self.name):
            self._array.end(shape)
            if self._packed:
                with zipfile.ZipFile(self.stream, "w") as archive, _member(archive, self._member) as member:
                    copy_all(self._array.stream, member)
            self._put_in_place()


def _shape(run: Run, shape: Shape, field: str = "") -> Any:
    """Return the shape of a field's array, of which several reduced axes are one last dimension."""
    kept = tuple(n for k, n in enumerate(shape) if k not in run.axes)
    return (*kept, len(run.axes)) if field and BY_NAME[field].per_axis and len(run.axes) > 1 else kept


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Begin a member of an .npz, of any length; its date is the same each time."""
    return archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True)
