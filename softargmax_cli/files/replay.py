"""An input that can be opened again and again, whatever it is."""

from __future__ import annotations

import os
import stat
from types import TracebackType
from typing import BinaryIO

from softargmax_cli.files.reading import Reading
from softargmax_cli.files.registry import open_source, source_of
from softargmax_cli.files.source import Source
from softargmax_cli.files.streams import opened
from softargmax_cli.files.tempcopy import copied_stream
from softargmax_cli.files.watching import Watch


class Replay:
    """Open one input as often as is wanted, one source at a time; a pipe is copied first."""

    def __init__(self, path: str, reading: Reading) -> None:
        self._path, self._name, self._reading = path, path, reading
        self._copy: BinaryIO | None = None
        self._watch: Watch | None = None
        """The watch of the first opening: one result is made of all that is read."""

    @property
    def runs_dry(self) -> bool:
        """True where the input can be read only once, so that a copy is made of it."""
        return self._path == "-" or _runs_dry(self._path)

    def open(self, reading: Reading | None = None) -> Source:
        """Open the input from its beginning, as `open_source` does. Raises OutputError where a copy finds no room.

        reading: instead of the one given at first.
        """
        reading = reading or self._reading
        if self._copy is None and self.runs_dry:
            stream, self._name, _ = opened(self._path)
            self._copy = copied_stream(stream, self._name)
        source = open_source(self._path, reading) if self._copy is None else self._copied(self._copy, reading)
        self._watch = source.watch = self._watch or source.watch
        return source

    def _copied(self, copy: BinaryIO, reading: Reading) -> Source:
        copy.seek(0)
        stream = os.fdopen(os.dup(copy.fileno()), "rb")
        return source_of(stream, self._name, os.fstat(stream.fileno()).st_size, "-", reading)

    def __enter__(self) -> Replay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._copy is not None:
            self._copy.close()


def _runs_dry(path: str) -> bool:
    """Tell whether what is there can be read only once."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False  # opening it says what is wrong
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
