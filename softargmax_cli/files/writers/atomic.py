"""Write files: results, which appear whole or not at all, and nameless temporary ones.

This module imports little, so that it is ready when a signal comes.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from softargmax_cli.errors import OutputError, disk_errors, parameter

if TYPE_CHECKING:
    from typing_extensions import Self

COPIED = 1 << 20  # bytes at a time

unfinished: set[str] = set()
"""Files and folders of this process that are to be renamed when they are complete."""
_displaced: dict[str, str] = {}
"""The targets that folders held before, by the place to which these were moved."""


@contextlib.contextmanager
def displaced(target: str) -> Iterator[None]:
    """Move a folder out of the way of its successor; it is removed at the end, or put back if none took its place."""
    import tempfile

    old = os.path.join(tempfile.mkdtemp(prefix=".softargmax-", dir=os.path.dirname(target)), "old")
    _displaced[old] = target
    try:
        if os.path.lexists(target):
            os.rename(target, old)
        yield
    finally:
        _settle(old)


def _settle(old: str) -> None:
    if old not in _displaced:
        return
    if not os.path.lexists(_displaced[old]) and os.path.lexists(old):
        os.rename(old, _displaced[old])
    shutil.rmtree(os.path.dirname(old), ignore_errors=True)
    del _displaced[old]


def remove_unfinished() -> None:
    """Remove all unfinished files and folders, and what they replace, as the process is about to end."""
    for old in [*_displaced]:
        _settle(old)
    for name in [*unfinished]:
        remove(name)


def remove(name: str) -> None:
    """Remove a file or a folder if it is unfinished."""
    if name not in unfinished:
        return
    if os.path.isdir(name):
        shutil.rmtree(name, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.unlink(name)
    unfinished.discard(name)


class TemporaryFile(io.BufferedRandom):
    """A nameless file, in TMPDIR unless a folder is given; errors are ignored when it is closed."""

    def __init__(self, folder: str | None = None) -> None:
        import tempfile

        super().__init__(tempfile.TemporaryFile(buffering=0, dir=folder))  # noqa: SIM115

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


def copy_all(file: IO[bytes], stream: IO[bytes]) -> None:
    """Append all of a file to a stream."""
    file.seek(0)
    shutil.copyfileobj(file, stream, COPIED)


class Target:
    """Something that is being written; leaving the `with` block before it is complete gives it up."""

    files: contextlib.ExitStack
    """Closes open files, and removes those that are not in place."""

    def abort(self) -> None:
        """Give up: the target is as it was before, and no temporary file stays. After a commit it does nothing."""
        with contextlib.suppress(OSError):
            self.files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.abort()


class Output(Target):
    """A file that is written beside its target and renamed over it, or a pipe, to which bytes go straight."""

    seeks = False
    """True if bytes are not written in order, so that those for a pipe wait in a temporary file."""
    stream: IO[bytes]

    def __init__(self, path: str, *, force: bool) -> None:
        """Open a path, or standard output for "-".

        Raises OutputError if it cannot be written, or is a file that exists and `force` is not given.
        """
        standard = path in ("-", "/dev/stdout")
        self.name, self._force = "<stdout>" if standard else path, force
        self._path = os.path.realpath(path)  # so that symbolic links stay
        self._temporary: str | None = None
        self._pipe: IO[bytes] | None = None
        with disk_errors(self.name), contextlib.ExitStack() as self.files:
            if standard:  # opened anew, it would overwrite what >> keeps
                sys.stdout.flush()
                self._pipe = sys.stdout.buffer
            elif os.path.isdir(path) or path.endswith(os.sep) or not path:
                raise OutputError(f"{path}: this is a directory", "name a file in it")
            elif os.path.exists(path) and not os.path.isfile(path):
                self._pipe = self.files.enter_context(os.fdopen(os.open(path, os.O_WRONLY), "wb"))
            else:
                self._refuse_to_replace()
                folder, base = os.path.split(self._path)
                self._temporary = os.path.join(folder, f".{base[:40]}.{os.urandom(4).hex()}.softargmax-tmp")
                unfinished.add(self._temporary)  # before a signal may come
                self.files.callback(remove, self._temporary)
                self.stream = self.files.enter_context(open(self._temporary, "xb", 1 << 18))
                if os.path.exists(path):
                    os.chmod(self._temporary, stat.S_IMODE(os.stat(path).st_mode))
            if self._pipe is not None:
                self.stream = self.waiting() if self.seeks else self._pipe
            self.files = self.files.pop_all()

    def _refuse_to_replace(self) -> None:
        if not self._force and os.path.lexists(self._path):
            raise OutputError(f"{self.name}: the file exists", f"replace it with {parameter('force', True)}")

    def waiting(self) -> IO[bytes]:
        """Open a temporary file on the disk of the target."""
        return self.files.enter_context(TemporaryFile(os.path.dirname(self._temporary) if self._temporary else None))

    def _put_in_place(self) -> None:
        """Put the written file in place of the target. Raises OSError if the system refuses."""
        self.stream.flush()
        if self._pipe is not None:
            if self.seeks:
                copy_all(self.stream, self._pipe)
            self._pipe.flush()
        elif self._temporary is not None:
            os.fsync(self.stream.fileno())
            self.stream.close()
            self._refuse_to_replace()
            os.replace(self._temporary, self._path)
            unfinished.discard(self._temporary)


class Document(Output):
    """A result that is written at once."""

    def write(self, content: bytes) -> None:
        """Write all of it beside the target. Raises OutputError."""
        with disk_errors(self.name):
            self.stream.write(content)
            self.stream.flush()

    def commit(self) -> None:
        """Put it in place. Raises OutputError."""
        with self, disk_errors(self.name):
            self._put_in_place()
