"""Output that appears whole or not at all: a temporary file beside its target, which is renamed in the end.

A pipe, a device and standard output are written through; what is gone is gone. Little is loaded here, so that a signal
finds this module ready.
"""

from __future__ import annotations

import contextlib
import math
import os
import stat
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

from softargmax_cli.errors import OutputError, parameter
from softargmax_cli.files.temporary import blaming

if TYPE_CHECKING:
    from typing_extensions import Self

    from softargmax_cli.reduction.result import Run, Slices, Summary

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)

_unfinished: dict[str, int] = {}
"""Temporary files of this process, and their descriptors."""


def remove_unfinished() -> None:
    """Remove the temporary files of this process, which is about to end."""
    for name, descriptor in [*_unfinished.items()]:
        with contextlib.suppress(OSError):
            if sys.platform == "win32":  # which removes no open file
                os.close(descriptor)
            os.unlink(name)


class Target(ABC):
    """An open target: bytes go to `stream`, then `commit` or `abort` ends it, of which only the first one counts."""

    name: str
    """The target as the user named it; "<stdout>" for "-"."""
    stream: BinaryIO
    seekable: bool = False
    """True where `stream` may be sought in, and holds nothing of anybody else's."""
    folder: str | None = None
    """The directory for data that must wait; None for the system's choice."""

    @abstractmethod
    def commit(self) -> None:
        """Make what was written the result. Raises OSError where the system refuses."""

    @abstractmethod
    def abort(self) -> None:
        """Forget what was written, as far as it can be."""

    def flush(self) -> None:  # noqa: B027 - only streams with a reader at the other end need it
        """Let a reader at the other end see what was written so far."""


class Replacement(Target):
    """A regular file, written beside its target and renamed over it at the end."""

    seekable = True

    def __init__(self, name: str, path: str, old: os.stat_result | None, force: bool) -> None:
        self.name, self._path, self._force = name, path, force
        folder, base = os.path.split(path)
        self.folder = folder or os.curdir
        self._temporary = os.path.join(folder, f".{base[:40]}.{os.urandom(4).hex()}.softargmax-tmp")
        _unfinished[self._temporary] = -1  # first: a signal may come as soon as the file is there
        try:
            # 0o666 becomes the permissions that the umask gives.
            mode = 0o666 if old is None else stat.S_IMODE(old.st_mode) & 0o666
            descriptor = _unfinished[self._temporary] = os.open(self._temporary, _CREATE, mode)
        except BaseException:
            del _unfinished[self._temporary]
            raise
        self.stream = os.fdopen(descriptor, "wb", buffering=1 << 18)
        if old is not None and hasattr(os, "fchmod"):
            try:
                os.fchmod(descriptor, stat.S_IMODE(old.st_mode) & 0o777)
            except OSError:
                self.abort()
                raise

    def commit(self) -> None:
        self.stream.flush()
        os.fsync(self.stream.fileno())
        self.stream.close()
        if not self._force and os.path.lexists(self._path):
            raise _exists(self.name)
        os.replace(self._temporary, self._path)
        _unfinished.pop(self._temporary, None)

    def abort(self) -> None:
        if _unfinished.pop(self._temporary, None) is None:
            return
        with contextlib.suppress(OSError):  # what could not be written is not wanted any more
            self.stream.close()
        with contextlib.suppress(OSError):
            os.unlink(self._temporary)


class Passage(Target):
    """A pipe, a device or standard output: bytes go straight through."""

    def __init__(self, name: str, stream: BinaryIO, *, owned: bool) -> None:
        self.name, self.stream, self._owned = name, stream, owned

    def flush(self) -> None:
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

    Raises OutputError where it cannot be written, or is a file that exists and `force` is not given.
    """
    if target in ("-", "/dev/stdout"):  # opened anew it would start at its beginning, and overwrite what `>>` keeps
        return _standard_output()
    with blaming(target):
        try:
            old: os.stat_result | None = os.stat(target)
        except FileNotFoundError:
            old = None
        path = os.path.realpath(target)  # so that symbolic links stay
        if old is None:
            if not os.path.isdir(os.path.dirname(path)):
                raise OutputError(f"{target}: there is no directory {os.path.dirname(target)}", "create it first")
            if not target or target.endswith(os.sep):
                raise OutputError(f"{target}: this is no file name")
        elif stat.S_ISDIR(old.st_mode):
            raise OutputError(f"{target}: this is a directory", "name a file in it")
        elif not stat.S_ISREG(old.st_mode):
            return Passage(target, os.fdopen(os.open(target, os.O_WRONLY), "wb"), owned=True)
        elif not force:
            raise _exists(target)
        return Replacement(target, path, old, force)


def _standard_output() -> Passage:
    if sys.stdout is None or sys.stdout.closed:
        raise OutputError("<stdout>: standard output is closed")
    with blaming("<stdout>"):
        sys.stdout.flush()
    return Passage("<stdout>", sys.stdout.buffer, owned=False)


def _exists(name: str) -> OutputError:
    return OutputError(f"{name}: the file exists", f"replace it with {parameter('force', True)}")


class Transaction:
    """An output that is written whole or not at all: leaving the `with` block without a commit aborts."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.files = ExitStack()
        """Closes the target and temporary files."""
        self.files.callback(target.abort)

    def abort(self) -> None:
        """Give up: the target is as it was before, and no temporary file stays. After a commit it does nothing."""
        self.files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


class Document(Transaction):
    """A result that is known as a whole before any of it is written. Raises OutputError as `open_target` does."""

    def __init__(self, path: str, *, force: bool) -> None:
        super().__init__(open_target(path, force=force))

    def write(self, content: bytes) -> None:
        """Write all of it beside the target, as far as it can be. Raises OutputError."""
        with blaming(self.target.name):
            self.target.stream.write(content)
            self.target.stream.flush()

    def commit(self) -> None:
        """Put it in place. Raises OutputError."""
        with blaming(self.target.name):
            self.target.commit()


class Writer(Transaction, ABC):
    """An open result of one format, fed by one thread.

    Methods raise OutputError where the target cannot be written, BrokenPipeError where the reader of a pipe has gone.
    """

    def __init__(self, target: Target, fields: Sequence[str], *, several: bool) -> None:
        super().__init__(target)
        self.fields, self.several = fields, several
        self.run: Run
        """The run whose slices come."""
        self.count = 0
        """How many slices of it came."""

    def start(self, run: Run) -> None:
        """Take the slices of an input from now on; of more than one only where there are several."""
        self.run, self.count = run, 0
        with blaming(self.target.name):
            self.begin()

    def write(self, slices: Slices) -> None:
        """Take the next slices: in row-major order without gaps, or a choice, which has numbers."""
        if slices.start != self.count and slices.numbers is None:
            raise RuntimeError(f"slice {slices.start} came where slice {self.count} was due")
        with blaming(self.target.name):
            self.put(slices)
            self.target.flush()
        self.count += len(slices)

    def end(self, summary: Summary, shape: tuple[int, ...], *, chosen: bool = False) -> None:
        """End an input; `shape` is its shape, of which every length is now known. chosen: only some slices came."""
        due = math.prod(n for k, n in enumerate(shape) if k not in self.run.axes)
        if due != self.count and not chosen:
            raise RuntimeError(f"{self.count} slices came where {due} were due")
        with blaming(self.target.name):
            self.finish(summary, shape)

    def commit(self, total: Summary) -> None:
        """Put the result in place. total: the summary of all inputs."""
        with self, blaming(self.target.name):
            self.close(total)
            self.target.commit()

    def begin(self) -> None:
        """Write what precedes the first slice of an input."""

    @abstractmethod
    def put(self, slices: Slices) -> None:
        """Write the next slices."""

    def finish(self, summary: Summary, shape: tuple[int, ...]) -> None:
        """Write what follows the last slice of an input."""

    def close(self, total: Summary) -> None:
        """Write what follows the last input."""
