"""What may happen to a file while it is read: the system refuses, or somebody writes it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import IO

from softargmax_cli.errors import InputError, SoftArgmaxError, UndefinedError

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
    """A file as it was when it was opened, to tell in the end whether that is what was read.

    Pipes and devices have nothing to compare.
    """

    notes: tuple[str, ...] = ()
    """What only reading all of it has shown."""

    def __init__(self, stream: IO[bytes], path: str, name: str) -> None:
        self._stream, self._path, self._name = stream, path, name
        self._opened = _status(stream)

    def end(self) -> tuple[str, ...]:
        """What the user should know of a whole result; InputError where it may be of two states of the file."""
        if self._opened is None:
            return self.notes
        now = _status(self._stream) or self._there()
        if now is not None and _state(now) != _state(self._opened):
            then, size = self._opened.st_size, now.st_size
            how = f"it had {then:,} bytes and has {size:,} now" if size != then else "it was written to"
            raise InputError(f"{self._name}: changed while it was read: {how}", AGAIN)
        with contextlib.suppress(OSError):  # removed: what was open is read all the same
            if self._path != "-" and not os.path.samestat(os.stat(self._path), self._opened):
                return (*self.notes, "replaced while it was read; this is the result for the file before")
        return self.notes

    def _there(self) -> os.stat_result | None:
        """The file that is closed already, by its name; None where that is another's by now."""
        with contextlib.suppress(OSError):
            status = os.stat(self._path)
            if self._opened is not None and os.path.samestat(status, self._opened):
                return status
        return None

    @contextlib.contextmanager
    def explaining(self) -> Iterator[None]:
        """Where the file was changed, say that instead of anything else that seems wrong with it."""
        try:
            yield
        except (InputError, UndefinedError):
            self.end()
            raise


@contextlib.contextmanager
def watching(watch: Watch | None, notes: list[str]) -> Iterator[None]:
    """All of a file is read within: at the end, `notes` get what `Watch.end` says, and it raises what that raises."""
    if watch is None:
        yield
        return
    with watch.explaining():
        yield
    notes += [note for note in watch.end() if note not in notes]  # a copy's source has said its own


def _status(stream: IO[bytes]) -> os.stat_result | None:
    """Of a regular file that is open; None of anything else."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # of no file at all, or closed
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _state(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns
