"""Temporary files without a name, which no crash leaves behind, and what is said where writing is refused.

TMPDIR says where they lie, unless a folder is named. What takes long to load is loaded when it is used: every command
begins with this module.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator, Sequence
from typing import IO, Any

from softargmax_cli.errors import OutputError

ROOM = "free some space, or set TMPDIR to a directory with more room"
PIECE = 1 << 20
"""Bytes copied at a time."""
NAMES_AT_ONCE = 1024
"""Names that are written, and read back, together."""
_REMEDIES = {
    errno.ENOSPC: "free some space, or write elsewhere",
    getattr(errno, "EDQUOT", errno.ENOSPC): "free some space, or write elsewhere",
    errno.EACCES: "see who may write there: ls -ld; or write elsewhere",
    errno.EPERM: "see who may write there: ls -ld; or write elsewhere",
    errno.EIO: "the disk or the network failed; try again, or write elsewhere",
    errno.ENAMETOOLONG: "choose a shorter name",
}
"""Advice for what the system refuses."""


@contextlib.contextmanager
def blaming(place: str, remedy: str = "") -> Iterator[None]:
    """Turn the system's refusals into OutputErrors that name `place`; a broken pipe stays what it is.

    remedy: the advice, where that for a target does not fit.
    """
    try:
        yield
    except (OutputError, BrokenPipeError):
        raise
    except OSError as error:
        raise refused(place, error, remedy) from error


def refused(place: str, error: OSError, remedy: str = "") -> OutputError:
    """Make the error for a refusal to write to `place`."""
    remedy = remedy or _REMEDIES.get(error.errno or 0, "write elsewhere, as with -o FILE")
    return OutputError(f"{place}: {error.strerror or error}", remedy)


class Scratch:
    """A nameless file for what must wait. Every method raises OutputError where there is no room.

    folder: where it lies; what, remedy: how errors begin, and their advice.
    """

    def __init__(self, folder: str | None = None, what: str = "", remedy: str = "") -> None:
        self._what, self._folder = what, folder
        self._remedy = remedy or ("" if folder else ROOM)
        import tempfile

        with self._blaming():
            self.file: IO[bytes] = tempfile.TemporaryFile(  # noqa: SIM115 - `close` closes it
                "w+b", 1 << 18, dir=folder, prefix=".", suffix=".softargmax-tmp"
            )

    def _blaming(self) -> contextlib.AbstractContextManager[None]:
        import tempfile

        folder = self._folder or tempfile.tempdir  # not gettempdir(), which may be what is refused
        place = f"temporary file in {folder}" if folder else "temporary file"
        return blaming(f"{self._what}a {place}" if self._what else place, self._remedy)

    def write(self, data: Any) -> None:
        """Write the bytes of a buffer at the current place."""
        with self._blaming():
            self.file.write(data)

    def seek(self, place: int) -> None:
        """Go to a place; what was written before is in the file then."""
        with self._blaming():
            self.file.seek(place)

    def reserve(self, nbytes: int) -> None:
        """Fill the file with `nbytes` zeros, all of which have a place on the disk.

        A file that is mapped needs this: a disk that is found to be full while a page is written ends the process.
        """
        with self._blaming():
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self.file.fileno(), 0, nbytes)
            else:
                for start in range(0, nbytes, PIECE):
                    self.file.write(bytes(min(PIECE, nbytes - start)))
                self.file.flush()

    def copy_to(self, stream: IO[bytes]) -> None:
        """Append everything to `stream`."""
        self.seek(0)
        while piece := self.file.read(PIECE):
            stream.write(piece)

    def close(self) -> None:
        """Let go of the file and its space."""
        with contextlib.suppress(OSError):  # what could not be written is not wanted any more
            self.file.close()


def scratch(nbytes: int) -> IO[bytes]:
    """Open a nameless file of zeros that may be mapped. Raises OutputError where there is no room for all of them."""
    space = Scratch()
    try:
        space.reserve(nbytes)
    except BaseException:
        space.close()
        raise
    return space.file


class Names:
    """A long list of texts that waits in a nameless file, `NAMES_AT_ONCE` of them together."""

    def __init__(self, folder: str | None = None) -> None:
        self._scratch = Scratch(folder)
        self._lock = threading.Lock()
        self._places: list[tuple[int, int]] = []
        """Where each batch begins, and how many bytes it takes."""
        self._rest: list[str] = []
        self.count = 0

    def add(self, names: Sequence[str]) -> None:
        """Append names. Raises OutputError where there is no room."""
        import json

        self._rest += names
        self.count += len(names)
        while len(self._rest) >= NAMES_AT_ONCE:
            data = json.dumps(self._rest[:NAMES_AT_ONCE]).encode()
            self._places.append((sum(self._places[-1]) if self._places else 0, len(data)))
            self._scratch.write(data)
            del self._rest[:NAMES_AT_ONCE]

    def read(self, positions: range) -> list[str]:
        """Read the names at some positions, in their order; any thread may ask, when all have been added."""
        names: list[str] = []
        number, batch = -1, list[str]()
        for at in positions:
            if at // NAMES_AT_ONCE != number:
                number = at // NAMES_AT_ONCE
                batch = self._batch(number)
            names.append(batch[at % NAMES_AT_ONCE])
        return names

    def _batch(self, number: int) -> list[str]:
        import json

        if number == len(self._places):
            return self._rest
        place, size = self._places[number]
        with self._lock:
            self._scratch.seek(place)
            data = self._scratch.file.read(size)
        batch: list[str] = json.loads(data)
        return batch

    def close(self) -> None:
        """Let go of the file and its space."""
        self._scratch.close()
