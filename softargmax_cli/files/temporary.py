"""Temporary files: beside a target to take its place in the end, or without any name.

A file beside a target has a name of its own and is locked while its run lives. A run that is killed leaves its file
and no lock: the next run to the same target sees that and removes it. Nothing but the standard library is loaded here,
so that a signal finds this module ready.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from typing import IO

if sys.platform != "win32":
    import fcntl

PLACES = 8
"""How many runs may write one target at a time, each to a file of its own name."""
LONGEST_NAME = 255
"""Bytes of a file name that every common file system takes."""
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_LOOK = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)

_unfinished: list[Temporary] = []
_undisturbed = False
_postponed: list[Callable[[], None]] = []


class Temporary:
    """A new and empty file beside `path`, open for writing. OSError where there can be none."""

    def __init__(self, path: str, mode: int) -> None:
        self._path = path
        self.name = ""
        self.descriptor = -1
        _unfinished.append(self)  # first: a signal may come as soon as the file is there
        try:
            self._create(mode)
        except BaseException:
            self.remove()
            raise

    def _create(self, mode: int) -> None:
        for name in _names(self._path):
            _remove_leftover(name)
        for name in _names(self._path):
            with contextlib.suppress(FileExistsError):
                self.name = name
                # O_EXCL: nobody else's file, and not where somebody's link leads.
                self.descriptor = os.open(name, _CREATE, mode)
                # Between these two another run may have taken it for a leftover.
                if locked(self.descriptor) is not False and os.fstat(self.descriptor).st_nlink:
                    return
                os.close(self.descriptor)
            self.name, self.descriptor = "", -1
        raise OSError(errno.EBUSY, f"{PLACES} other runs are writing it")

    def take_place(self, *, force: bool) -> None:
        """Become the file at `path`, in place of another only with `force`; FileExistsError else."""
        if force or not _linked(self.name, self._path):
            os.replace(self.name, self._path)
            self.name = ""
        self.remove()

    def remove(self) -> None:
        """Remove the file, if it is still there under its own name. Its descriptor is the caller's to close."""
        if self.name and (sys.platform == "win32" or _is(self.name, self.descriptor)):
            with contextlib.suppress(OSError):
                os.unlink(self.name)
        self.name = ""
        with contextlib.suppress(ValueError):
            _unfinished.remove(self)

    def give_up(self) -> None:
        """Remove the file when the process ends at once, wherever it was interrupted."""
        if sys.platform == "win32" and self.descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self.descriptor)  # what is open cannot be removed there
        self.remove()
        for name in _names(self._path):  # made a moment ago, and not locked yet
            _remove_leftover(name)


def remove_unfinished() -> None:
    """Remove the temporary files of this process, which is about to end."""
    for temporary in [*_unfinished]:
        temporary.give_up()


def nameless(directory: str | None = None) -> IO[bytes]:
    """A temporary file that no crash leaves behind; None for the directory that TMPDIR names, or the system's."""
    import tempfile

    global _undisturbed
    _undisturbed = True  # for an instant it may have a name, or the directory be tried with a file that has one
    try:
        return tempfile.TemporaryFile("w+b", 1 << 18, dir=directory, prefix=".", suffix=".softargmax-tmp")
    finally:
        _undisturbed = False
        while _postponed:
            _postponed.pop()()


def when_undisturbed(end: Callable[[], None]) -> None:
    """Call `end`, which ends the process; a little later where a file would be left behind now."""
    if _undisturbed:
        _postponed.append(end)
    else:
        end()


def _names(path: str) -> Iterator[str]:
    """The names that temporary files of `path` may have."""
    directory, base = os.path.split(path)
    for number in range(PLACES):
        end = f"{f'.{number}' if number else ''}.softargmax-tmp"
        while len(os.fsencode(base)) + len(end) + 1 > LONGEST_NAME:
            base = base[:-1]
        yield os.path.join(directory, f".{base}{end}")


def _remove_leftover(name: str) -> None:
    """Remove a file that no living run writes."""
    with contextlib.suppress(OSError):  # mostly there is none; or it is not ours, or in use
        if sys.platform == "win32":
            os.unlink(name)  # which is refused where the file is open
            return
        descriptor = os.open(name, _LOOK)
        try:
            # Locked, the file that has this name cannot change any more: who makes or renames one holds its lock.
            if stat.S_ISREG(os.fstat(descriptor).st_mode) and locked(descriptor) and _is(name, descriptor):
                os.unlink(name)
        finally:
            os.close(descriptor)


def locked(descriptor: int) -> bool | None:
    """Lock an open file until it is closed; False where another has, None where the file system has no locks."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is(name: str, descriptor: int) -> bool:
    """Whether an open file has this name."""
    try:
        return os.path.samestat(os.lstat(name), os.fstat(descriptor))
    except OSError:
        return False


def _linked(old: str, new: str) -> bool:
    """Give a file a second name that is not taken; False where the file system knows no second names."""
    try:
        os.link(old, new)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(new):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new) from None
        return False
    return True
