"""From a name on the command line to an open source, recognised by its first bytes."""

from __future__ import annotations

import difflib
import os
import sys
from dataclasses import dataclass
from typing import BinaryIO, cast

from softargmax_cli.arrays.source import Source
from softargmax_cli.errors import InputError, InputMissingError

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


def open_source(path: str, table: TableOptions | None = None) -> Source:
    """Open a file, or standard input for "-".

    Raises InputError where there is nothing to read or its format is not known.
    """
    stream, name, size = _open(path)
    try:
        source = _recognised(stream, name, size, table or TableOptions())
    except BaseException:
        stream.close()
        raise
    return source


def _recognised(stream: BinaryIO, name: str, size: int | None, table: TableOptions) -> Source:
    first = stream.peek(8)[:8]  # type: ignore[attr-defined]  # a BufferedReader, which typeshed's BinaryIO is not
    suffix = os.path.splitext(name)[1].lower()
    if not first:
        raise InputError(f"{name}: empty", "is something still to write it?")
    if first.startswith(b"\x93NUMPY"):
        from softargmax_cli.arrays.npy import NpySource

        return NpySource(stream, name)
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
    )


def _open(path: str) -> tuple[BinaryIO, str, int | None]:
    """The stream at its first byte, its name, and its size where that is known."""
    if path == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise InputError(
                "<stdin>: a terminal, not data", "give a file, or pipe data in: cat data.npy | softargmax run -"
            )
        return cast(BinaryIO, sys.stdin.buffer), "<stdin>", None
    try:
        if os.path.isdir(path):
            raise InputError(f"{path}: a directory", "name the files in it: softargmax run DIR/*.npy")
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
