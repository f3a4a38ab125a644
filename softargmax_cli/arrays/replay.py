"""An input that can be opened again and again, whatever it is.

A pipe is copied byte by byte to a temporary file, which has no name, so that no crash leaves it behind.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from types import TracebackType
from typing import IO

from softargmax_cli.arrays.opening import TableOptions, open_source, open_stream, source_of
from softargmax_cli.arrays.source import Source
from softargmax_cli.errors import OutputError

PIECE = 1 << 20
"""Bytes copied at a time."""


class Replay:
    """Opens one input as often as is wanted, one source at a time."""

    def __init__(self, path: str, table: TableOptions) -> None:
        self._path, self._name, self._table = path, path, table
        self._copy: IO[bytes] | None = None

    def open(self) -> Source:
        """The input from its beginning; as `open_source`. Raises OutputError where a copy finds no room."""
        if self._copy is None:
            if self._path != "-" and not _runs_dry(self._path):
                return open_source(self._path, self._table)
            self._copy = self._copied()
        self._copy.seek(0)
        stream = os.fdopen(os.dup(self._copy.fileno()), "rb")
        return source_of(stream, self._name, os.fstat(stream.fileno()).st_size, self._table)

    def _copied(self) -> IO[bytes]:
        stream, self._name, _ = open_stream(self._path)
        with stream:
            try:
                file = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
                shutil.copyfileobj(stream, file, PIECE)
                file.flush()
            except OSError as error:
                what = f"{self._name}: cannot be copied to a temporary file: {error.strerror or error}"
                raise OutputError(what, "set TMPDIR to a directory with more room, or give a file") from error
        return file

    def __enter__(self) -> Replay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._copy is not None:
            self._copy.close()


def _runs_dry(path: str) -> bool:
    """Whether what is there can be read but once."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False  # opening it says what is wrong
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
