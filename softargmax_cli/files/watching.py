"""Changes of a file while it is read: the system refuses to read, or somebody writes it."""

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
