"""Byte streams of inputs: opened, looked at without moving, and watched for changes while they are read."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import sys
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from softargmax_cli.errors import InputError, InputMissingError, SoftArgmaxError, UndefinedError
from softargmax_cli.files.remote import is_url, opened_url

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LOOK = 2048 + 9
"""Bytes that tell every format, also one that may begin with other things."""

_REMEDIES = {
    errno.EACCES: "see who may read it: ls -l",
    errno.EPERM: "see who may read it: ls -l",
    errno.EIO: "the disk or the network failed; try again, or copy it elsewhere",
}
"""Advice for what the system refuses."""


def opened(path: str) -> tuple[BinaryIO, str, int | None]:
    """Open a file, a URL, or standard input for "-": the stream, its name, and its size where that is known."""
    if path == "-":
        if sys.stdin is not None and sys.stdin.closed:
            raise InputError("<stdin>: read already", "name - once")
        if sys.stdin is None or sys.stdin.isatty():
            what = "<stdin>: closed" if sys.stdin is None else "<stdin>: a terminal, not data"
            raise InputError(what, "give a file, or pipe data in: cat data.npy | softargmax run -")
        return cast(BinaryIO, sys.stdin.buffer), "<stdin>", None
    if is_url(path):
        return opened_url(path)
    if os.path.isdir(path):
        raise InputError(f"{path}: a directory", "name a file in it")
    try:
        stream = open(path, "rb")  # noqa: SIM115 - the source closes it
        status = os.fstat(stream.fileno())
    except FileNotFoundError:
        raise InputMissingError(f"{path}: no such file", _nearest(path)) from None
    except (OSError, ValueError) as error:
        what = f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"
        raise InputError(what, _REMEDIES.get(getattr(error, "errno", 0), "check the name")) from None
    return stream, path, status.st_size or None


def looked_at(stream: BinaryIO) -> tuple[BinaryIO, bytes]:
    """Return a stream that is still at its first byte, and its first `LOOK` bytes, or all that it has."""
    if stream.seekable():
        begin = stream.tell()
        first = stream.read(LOOK)
        stream.seek(begin)
        return stream, first
    first = stream.read(LOOK)  # waits for a writer that has sent less so far
    return cast(BinaryIO, io.BufferedReader(_Resumed(first, stream))), first


class _Resumed(io.RawIOBase):
    """A pipe of which the first bytes were read."""

    def __init__(self, first: bytes, stream: BinaryIO) -> None:
        self._first, self._stream = first, stream

    def readable(self) -> bool:
        return True

    def readinto(self, target: WriteableBuffer) -> int:
        if not self._first:
            count: int = self._stream.readinto(target)  # type: ignore[attr-defined]  # typeshed's BinaryIO has it not
            return count
        space = memoryview(target).cast("B")
        count = min(len(space), len(self._first))
        space[:count], self._first = self._first[:count], self._first[count:]
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


def _nearest(path: str) -> str:
    import difflib

    folder, base = os.path.split(path)
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return f"there is no directory {folder}"
    near = difflib.get_close_matches(base, names, n=1, cutoff=0.8)
    return f"did you mean {os.path.join(folder, near[0])}?" if near else "check the name, and where it is looked for"


AGAIN = "run again when nothing writes it, or on a copy of it"


@contextlib.contextmanager
def refusals(name: str) -> Iterator[None]:
    """Turn the system's refusals into InputErrors that name the input."""
    try:
        yield
    except SoftArgmaxError:  # some are OSErrors, too
        raise
    except OSError as error:
        remedy = "is its disk, or the network, still there?"
        raise InputError(f"{name}: cannot be read: {error.strerror or error}", remedy) from error


class Watch:
    """The size and time of a file when it was opened, to be compared in the end; pipes and devices have none."""

    notes: tuple[str, ...] = ()
    """Remarks that only reading all of it has brought."""

    def __init__(self, stream: IO[bytes], path: str, name: str) -> None:
        self._path, self._name = path, name
        self._opened: os.stat_result | None = None
        with contextlib.suppress(OSError, ValueError):  # of no file at all
            status = os.fstat(stream.fileno())
            self._opened = status if stat.S_ISREG(status.st_mode) else None

    def end(self) -> tuple[str, ...]:
        """Return what the user should know of a whole result. Raises InputError where the file was written to."""
        then = self._opened
        if then is None:
            return self.notes
        try:
            now = os.fstat(0) if self._path == "-" else os.stat(self._path)
        except OSError:  # removed: what was open is read all the same
            return self.notes
        if not os.path.samestat(now, then):  # standard input was a pipe, of which a copy is read
            replaced = "replaced while it was read; this is the result for the file before"
            return self.notes if self._path == "-" else (*self.notes, replaced)
        if now.st_size != then.st_size:
            how = f"it had {then.st_size:,} bytes and has {now.st_size:,} now"
            raise InputError(f"{self._name}: changed while it was read: {how}", AGAIN)
        if now.st_mtime_ns != then.st_mtime_ns:
            raise InputError(f"{self._name}: changed while it was read: it was written to", AGAIN)
        return self.notes

    @contextlib.contextmanager
    def explaining(self) -> Iterator[None]:
        """Say that the file was written to, if so, instead of anything else that seems wrong with it."""
        try:
            yield
        except (InputError, UndefinedError):
            self.end()
            raise


@contextlib.contextmanager
def watching(watch: Watch | None, notes: list[str]) -> Iterator[None]:
    """Compare a file after all of it was read within; `notes` get what `Watch.end` says, whose errors are raised."""
    if watch is None:
        yield
        return
    with watch.explaining():
        yield
    notes += [note for note in watch.end() if note not in notes]  # a copy's source has said its own
