"""From a name on the command line to an open source, recognised by its first bytes."""

from __future__ import annotations

import difflib
import errno
import io
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

from softargmax_cli.arrays.source import Source
from softargmax_cli.arrays.strangers import LONGEST_START, other_format
from softargmax_cli.errors import InputError, InputMissingError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_REMEDIES = {
    errno.EACCES: "see who may read it: ls -l",
    errno.EPERM: "see who may read it: ls -l",
    errno.EIO: "the disk or the network failed; try again, or copy it elsewhere",
}
"""For what the system refuses."""


@dataclass(frozen=True, slots=True)
class TableOptions:
    """How a CSV is read; None where the file tells."""

    delimiter: str | None = None
    header: bool | None = None
    id_column: str | None = None
    find_ids: bool = False
    """Whether the one column of text names the rows, where none is told."""


def open_source(path: str, table: TableOptions | None = None) -> Source:
    """Open a file, or standard input for "-".

    Raises InputError where there is nothing to read or its format is not known.
    """
    stream, name, size = _open(path)
    try:
        stream, first = _looked_at(stream)
        source = _recognised(stream, first, name, size, table or TableOptions())
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

        source = NpySource(stream, name)
        if (table.delimiter, table.header, table.id_column) != (None, None, None):
            source.notes += ("--delimiter, --header and --id-column say nothing of an .npy file",)
        return source
    if other := other_format(first):
        raise InputError(f"{name}: {other.kind}; .npy and CSV can be read", other.remedy)
    if suffix == ".npy":
        held = "text" if first.isascii() and b"\0" not in first else "bytes of no known format"
        raise InputError(
            f"{name}: not an .npy file, whatever its name says, but {held}",
            "rename it if it is a table in text; an array is written with numpy.save",
        )
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


def _looked_at(stream: BinaryIO) -> tuple[BinaryIO, bytes]:
    """The stream, still at its first byte, and its first bytes: 8, or all that it has, or more."""
    first = stream.peek(8)[:LONGEST_START]  # type: ignore[attr-defined]  # a BufferedReader; BinaryIO has it not
    if len(first) >= 8 or not first or stream.seekable():
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
        what = f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"
        raise InputError(what, _REMEDIES.get(getattr(error, "errno", 0), "check the name")) from None
    return stream, path, status.st_size or None


def _nearest(path: str) -> str:
    folder, base = os.path.split(path)
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return f"there is no directory {folder}"
    near = difflib.get_close_matches(base, names, n=1)
    return f"did you mean {os.path.join(folder, near[0])}?" if near else "check the name, and where it is looked for"
