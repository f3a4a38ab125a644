"""From a name on the command line to an open source, recognised by its first bytes."""

from __future__ import annotations

import difflib
import io
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

from softargmax_cli.arrays.source import Source
from softargmax_cli.arrays.stores import is_store
from softargmax_cli.errors import InputError, InputMissingError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

OTHER_FORMATS = {
    b"PK\x03\x04": ("a zip archive (.npz?)", "save the array that you want with numpy.save"),
    b"PAR1": ("a Parquet file", "save its columns as CSV or .npy"),
    b"\x89HDF": ("an HDF5 file", "save the array that you want with numpy.save"),
    b"\x80\x02": ("a Python pickle, which is never unpickled", "save the array with numpy.save"),
    b"\x80\x03": ("a Python pickle, which is never unpickled", "save the array with numpy.save"),
    b"\x80\x04": ("a Python pickle, which is never unpickled", "save the array with numpy.save"),
    b"\x80\x05": ("a Python pickle, which is never unpickled", "save the array with numpy.save"),
}


@dataclass(frozen=True, slots=True)
class TableOptions:
    """How a CSV is read; None where the file tells."""

    delimiter: str | None = None
    header: bool | None = None
    id_column: str | None = None
    find_ids: bool = False
    """Whether the one column of text names the rows, where none is told."""


def open_source(path: str, table: TableOptions | None = None) -> Source:
    """Open a file, a Zarr store by its path or URL, or standard input for "-".

    Raises InputError where there is nothing to read or its format is not known.
    """
    table = table or TableOptions()
    if path != "-" and is_store(path):
        from softargmax_cli.arrays.zarr_source import ZarrSource

        return _noted(ZarrSource(path), table)
    stream, name, size = _open(path)
    try:
        stream, first = _looked_at(stream)
        source = _recognised(stream, first, name, size, table)
    except BaseException:
        stream.close()
        raise
    return source


def _recognised(stream: BinaryIO, first: bytes, name: str, size: int | None, table: TableOptions) -> Source:
    suffix = os.path.splitext(name)[1].lower()
    if not first:
        raise InputError(f"{name}: empty", "is something still to write it?")
    if first.startswith(b"\x93NUMPY"):
        from softargmax_cli.arrays.npy import NpySource

        return _noted(NpySource(stream, name), table)
    for magic, (kind, remedy) in OTHER_FORMATS.items():
        if first.startswith(magic):
            raise InputError(f"{name}: {kind}; .npy and CSV can be read", remedy)
    if suffix == ".npy":
        raise InputError(f"{name}: not an .npy file, whatever its name says", "write it again with numpy.save")
    from softargmax_cli.arrays.csv_source import open_csv

    return open_csv(
        stream,
        name,
        delimiter=table.delimiter,
        header=table.header,
        id_column=table.id_column,
        nbytes=size,
        compressed=first.startswith(b"\x1f\x8b"),
        find_ids=table.find_ids,
    )


def _noted(source: Source, table: TableOptions) -> Source:
    """A source of numbers alone; options of text are no use there."""
    if (table.delimiter, table.header, table.id_column) != (None, None, None):
        kind = {"npy": "an .npy file", "zarr": "a Zarr array"}[source.format]
        source.notes += (f"--delimiter, --header and --id-column say nothing of {kind}",)
    return source


def _looked_at(stream: BinaryIO) -> tuple[BinaryIO, bytes]:
    """The stream, still at its first byte, and its first 8 bytes or all that it has."""
    first = stream.peek(8)[:8]  # type: ignore[attr-defined]  # a BufferedReader, which typeshed's BinaryIO is not
    if len(first) == 8 or not first or stream.seekable():
        return stream, first
    first = stream.read(8)  # waits for a writer that has sent less so far
    return cast(BinaryIO, io.BufferedReader(_Resumed(first, stream))), first


class _Resumed(io.RawIOBase):
    """A pipe of which the first bytes were read."""

    def __init__(self, first: bytes, stream: BinaryIO) -> None:
        self._first, self._stream = first, stream

    def readable(self) -> bool:
        return True

    def readinto(self, target: WriteableBuffer) -> int:
        if not self._first:
            count: int = self._stream.readinto(target)  # type: ignore[attr-defined]  # as above
            return count
        space = memoryview(target).cast("B")
        count = min(len(space), len(self._first))
        space[:count], self._first = self._first[:count], self._first[count:]
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


def _open(path: str) -> tuple[BinaryIO, str, int | None]:
    """The stream at its first byte, its name, and its size where that is known."""
    if path == "-":
        if sys.stdin is not None and sys.stdin.closed:
            raise InputError("<stdin>: read already", "name - once")
        if sys.stdin is None or sys.stdin.isatty():
            what = "<stdin>: closed" if sys.stdin is None else "<stdin>: a terminal, not data"
            raise InputError(what, "give a file, or pipe data in: cat data.npy | softargmax run -")
        return cast(BinaryIO, sys.stdin.buffer), "<stdin>", None
    if os.path.isdir(path):
        raise InputError(f"{path}: a directory", "name the files in it: softargmax run DIR/*.npy")
    try:
        stream = open(path, "rb")  # noqa: SIM115 - the source closes it
        status = os.fstat(stream.fileno())
    except FileNotFoundError:
        raise InputMissingError(f"{path}: no such file", _nearest(path)) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return stream, path, status.st_size or None


def _nearest(path: str) -> str:
    folder, base = os.path.split(path)
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return f"there is no directory {folder}"
    near = difflib.get_close_matches(base, names, n=1)
    return f"did you mean {os.path.join(folder, near[0])}?" if near else ""
