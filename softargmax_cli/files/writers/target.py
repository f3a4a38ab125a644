"""Where a result goes: a file that appears whole or not at all, or a stream that is written through."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import BinaryIO

from softargmax_cli.errors import OutputError
from softargmax_cli.files.temporary import Temporary

_STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d{1,9})")
_REMEDIES = {
    errno.ENOSPC: "free some space, or write elsewhere",
    getattr(errno, "EDQUOT", errno.ENOSPC): "free some space, or write elsewhere",
    errno.EACCES: "see who may write there: ls -ld; or write elsewhere",
    errno.EPERM: "see who may write there: ls -ld; or write elsewhere",
    errno.EIO: "the disk or the network failed; try again, or write elsewhere",
    errno.ENAMETOOLONG: "choose a shorter name",
}
"""For what the system refuses."""


@contextlib.contextmanager
def blaming(place: str, remedy: str = "") -> Iterator[None]:
    """Turn the system's refusals into OutputErrors that name `place`; a broken pipe stays what it is.

    remedy: what to do, where that is not the same as for a target.
    """
    try:
        yield
    except (OutputError, BrokenPipeError):
        raise
    except OSError as error:
        raise refused(place, error, remedy) from error


def refused(place: str, error: OSError, remedy: str = "") -> OutputError:
    """What the system said of writing to `place`, and what to do about it."""
    remedy = remedy or _REMEDIES.get(error.errno or 0, "write elsewhere, as with -o FILE")
    return OutputError(f"{place}: {error.strerror or error}", remedy)


class Target(ABC):
    """An open target: bytes go to `stream`, then `commit` or `abort` ends it."""

    name: str
    """As the user named it; "<stdout>" for "-"."""
    stream: BinaryIO
    seekable: bool = False
    """Whether `stream` may be sought in, with nothing of anybody else's in it."""
    spool_directory: str | None = None
    """Where data that must wait is best kept; None for the system's choice."""

    @abstractmethod
    def commit(self) -> None:
        """Make what was written the result. OSError when the system refuses."""

    @abstractmethod
    def abort(self) -> None:
        """Forget what was written, as far as it can be."""

    def pass_on(self) -> None:  # noqa: B027 - only streams with a reader at the other end need it
        """Let the reader at the other end, if there is one, see what was written so far."""


class Replacement(Target):
    """A regular file, written beside its target and renamed over it at the end."""

    seekable = True

    def __init__(self, name: str, path: str, old: os.stat_result | None, force: bool) -> None:
        self.name = name
        self._force = force
        self.spool_directory = os.path.dirname(path) or os.curdir
        # 0o666: with the permissions that the umask gives.
        self._temporary = Temporary(path, 0o666 if old is None else stat.S_IMODE(old.st_mode) & 0o666)
        self.stream = os.fdopen(self._temporary.descriptor, "wb", buffering=1 << 18)
        if old is not None and hasattr(os, "fchmod"):
            try:
                os.fchmod(self._temporary.descriptor, stat.S_IMODE(old.st_mode) & 0o777)
            except OSError:
                self.abort()
                raise

    def commit(self) -> None:
        self.stream.flush()
        os.fsync(self.stream.fileno())
        if sys.platform == "win32":  # which renames no open file; elsewhere, the lock is held until it has its new name
            self.stream.close()
        try:
            self._temporary.take_place(force=self._force)
        except FileExistsError:
            raise _exists(self.name) from None
        _sync_directory(self.spool_directory or os.curdir)
        with contextlib.suppress(OSError):  # all is on the disk
            self.stream.close()

    def abort(self) -> None:
        if sys.platform == "win32":
            self._close()
        self._temporary.remove()
        self._close()

    def _close(self) -> None:
        with contextlib.suppress(OSError):
            self.stream.close()


class Passage(Target):
    """A pipe, a device or standard output: bytes go straight through, and what is gone is gone."""

    def __init__(self, name: str, stream: BinaryIO, *, owned: bool) -> None:
        self.name = name
        self.stream = stream
        self._owned = owned

    def pass_on(self) -> None:
        self.stream.flush()

    def commit(self) -> None:
        self.stream.flush()
        if self._owned:
            self.stream.close()

    def abort(self) -> None:
        if self._owned:
            with contextlib.suppress(OSError):
                self.stream.close()


def open_target(target: str, *, force: bool) -> Target:
    """Open a path, or standard output for "-".

    OutputError when it cannot be written, or is a file that exists and `force` is not given.
    """
    if target == "-":
        return _standard_output()
    with blaming(target):
        path = follow(target)
        descriptor = _descriptor(path)
        if descriptor is not None:
            # Opening /dev/stdout anew would start at the file's beginning and overwrite what `>>` should keep.
            if sys.stdout is not None and descriptor == 1:
                sys.stdout.flush()
            return Passage(target, os.fdopen(os.dup(descriptor), "wb"), owned=True)
        try:
            old: os.stat_result | None = os.stat(path)
        except FileNotFoundError:
            old = None
        if old is None:
            directory = os.path.dirname(path)
            if not os.path.isdir(directory or os.curdir):
                raise OutputError(f"{target}: there is no directory {directory}", "create it first")
            if not os.path.basename(path):
                raise OutputError(f"{target}: this is no file name")
        elif stat.S_ISDIR(old.st_mode):
            raise OutputError(f"{target}: this is a directory", "name a file in it")
        elif not stat.S_ISREG(old.st_mode):
            return Passage(target, os.fdopen(os.open(path, os.O_WRONLY), "wb"), owned=True)
        elif not force:
            raise _exists(target)
        return Replacement(target, path, old, force)


def _standard_output() -> Passage:
    if sys.stdout is None or sys.stdout.closed:
        raise OutputError("<stdout>: standard output is closed")
    with blaming("<stdout>"):
        sys.stdout.flush()
    return Passage("<stdout>", sys.stdout.buffer, owned=False)


def follow(path: str) -> str:
    """Where symbolic links lead, so that they stay; stops at an open descriptor, which is no place in a directory."""
    for _ in range(40):
        if _descriptor(path) is not None or not os.path.islink(path):
            return path
        path = os.path.join(os.path.dirname(path), os.readlink(path))
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _descriptor(path: str) -> int | None:
    if path in _STANDARD:
        return _STANDARD[path]
    match = _DESCRIPTOR.fullmatch(path)
    return int(match[1]) if match else None


def _exists(name: str) -> OutputError:
    return OutputError(f"{name}: the file exists", "replace it with --force")


def _sync_directory(directory: str) -> None:
    """Make the renaming itself last; not every system can, and the data are safe already."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
