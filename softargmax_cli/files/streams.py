"""Open the byte streams of inputs, look at their beginnings, and notice files that change meanwhile."""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import stat
import sys
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from softargmax_cli.errors import InputError, InputMissingError
from softargmax_cli.files.remote import files_of, is_url, store_errors

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LOOK = 2048 + 9
"""Bytes that tell every format, also HDF5 after a user block."""
AHEAD = 8 << 20
"""Bytes requested from a server at a time."""


def opened(path: str) -> tuple[BinaryIO, str]:
    """Open a file, a URL, or standard input for "-"; return the stream and its name."""
    if path == "-":
        if sys.stdin is not None and sys.stdin.closed:
            raise InputError("<stdin>: read already", "name - once")
        if sys.stdin is None or sys.stdin.isatty():
            what = "<stdin>: closed" if sys.stdin is None else "<stdin>: a terminal, not data"
            raise InputError(what, "give a file, or pipe data in: cat data.npy | softargmax run -")
        return cast(BinaryIO, sys.stdin.buffer), "<stdin>"
    if is_url(path):
        with store_errors(path, "opened"):
            files, place = files_of(path)
            # A web server need not know ranges, so a file is one answer.
            file = files.open(place, "rb", block_size=0 if path.startswith("http") else AHEAD)
        return _piped(b"", file, path), path
    if os.path.isdir(path):
        raise InputError(f"{path}: a directory", "name a file in it")
    try:
        return open(path, "rb"), path
    except FileNotFoundError:
        raise InputMissingError(f"{path}: no such file", _nearest(path)) from None
    except (OSError, ValueError) as error:
        what = f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"
        raise InputError(what, "check the name, and who may read it: ls -l") from None


def looked_at(stream: BinaryIO, name: str) -> tuple[BinaryIO, bytes]:
    """Return a stream that is still at its first byte, and its first `LOOK` bytes, or all if it has fewer."""
    if stream.seekable():
        begin = stream.tell()
        first = stream.read(LOOK)
        stream.seek(begin)
        return stream, first
    first = stream.read(LOOK)  # waits for a writer that has sent less so far
    return _piped(first, stream, name), first


def _piped(first: bytes, stream: Any, name: str) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(_Pipe(first, stream, name), 1 << 20))


class _Pipe(io.RawIOBase):
    """A stream of which the first bytes have been read already."""

    def __init__(self, first: bytes, stream: Any, name: str) -> None:
        self._first, self._stream, self._name = first, stream, name

    def readable(self) -> bool:
        return True

    def readinto(self, target: WriteableBuffer) -> int:
        space = memoryview(target).cast("B")
        if not self._first:
            with store_errors(self._name, "read"):
                return int(self._stream.readinto(space))
        count = min(len(space), len(self._first))
        space[:count], self._first = self._first[:count], self._first[count:]
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


def _nearest(path: str) -> str:
    folder, base = os.path.split(path)
    near: list[str] = []
    with contextlib.suppress(OSError):
        near = difflib.get_close_matches(base, os.listdir(folder or "."), n=1, cutoff=0.8)
    return f"did you mean {os.path.join(folder, near[0])}?" if near else "check the name, and where it is looked for"


class Watch:
    """The size and the time of a file when it was opened; pipes and devices have none."""

    def __init__(self, path: str) -> None:
        self._path, self._then = path, None if path == "-" else status_of(path)

    def check(self) -> None:
        """Raise InputError if the file was written to since; one that was replaced or removed reads as before."""
        then, now = self._then, status_of(self._path)
        if then is None or now is None or not os.path.samestat(then, now):
            return
        if (then.st_size, then.st_mtime_ns) != (now.st_size, now.st_mtime_ns):
            remedy = "run again when nothing writes it, or on a copy of it"
            raise InputError(f"{self._path}: changed while it was read", remedy)


def status_of(path: str, *, folders: bool = False) -> os.stat_result | None:
    """Return the status of a regular file, "-" being standard input, or of a folder if asked for; None for others."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # there may be no standard input
        status = os.fstat(sys.stdin.fileno()) if path == "-" else os.stat(path)
        if stat.S_ISREG(status.st_mode) or (folders and stat.S_ISDIR(status.st_mode)):
            return status
    return None
