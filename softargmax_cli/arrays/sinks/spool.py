"""Data that must wait for the end of the run: a nameless file that no crash can leave behind."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from typing import IO

import numpy as np
import numpy.typing as npt

from softargmax_cli.arrays.sinks.target import blaming
from softargmax_cli.arrays.temporary import nameless


class Spool:
    """A temporary file, written once and then read once."""

    def __init__(self, directory: str | None) -> None:
        with blaming(f"temporary file in {directory}" if directory else "temporary file"):
            self._file = nameless(directory)
        self._place = f"temporary file in {directory or tempfile.gettempdir()}"
        self.nbytes = 0

    def write(self, values: npt.NDArray[np.generic]) -> None:
        """Append the bytes of a C-contiguous array. OutputError when the disk is full."""
        with blaming(self._place):
            self._file.write(values.data)
        self.nbytes += values.nbytes

    def rewind(self) -> IO[bytes]:
        """The file, to be read from its beginning. OutputError when what was written does not fit after all."""
        with blaming(self._place):
            self._file.seek(0)
        return self._file

    def copy_to(self, stream: IO[bytes]) -> None:
        """Append everything to `stream`."""
        shutil.copyfileobj(self.rewind(), stream, 1 << 20)

    def close(self) -> None:
        """Let go of the file and its space."""
        with contextlib.suppress(OSError):  # what could not be written is not wanted any more
            self._file.close()
