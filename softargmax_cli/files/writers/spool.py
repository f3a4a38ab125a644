"""Data that must wait for the end of the run: a nameless file that no crash can leave behind."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from typing import IO

import numpy as np
import numpy.typing as npt

from softargmax_cli.files.temporary import nameless
from softargmax_cli.files.writers.target import blaming

_ROOM = "free some space, or set TMPDIR to a directory with more room"
_PIECE = 1 << 20
_UNABLE = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
"""What file systems say that cannot set space aside."""


def scratch(nbytes: int) -> IO[bytes]:
    """A nameless file of zeros, each of which has its place on the disk. OutputError where there is no room for all.

    For what is mapped: a disk that is found to be full only there ends the process.
    """
    with blaming("temporary file", _ROOM):
        file = nameless()
    try:
        with blaming(f"temporary file in {tempfile.gettempdir()}", _ROOM):
            if not _set_aside(file.fileno(), nbytes):
                for start in range(0, nbytes, _PIECE):
                    file.write(bytes(min(_PIECE, nbytes - start)))
                file.flush()
    except BaseException:
        with contextlib.suppress(OSError):  # what could not be written is not wanted any more
            file.close()
        raise
    return file


def _set_aside(descriptor: int, nbytes: int) -> bool:
    """Whether the system could give a file this size."""
    if not hasattr(os, "posix_fallocate"):
        return False
    try:
        os.posix_fallocate(descriptor, 0, nbytes)
    except OSError as error:
        if error.errno not in _UNABLE:
            raise
        return False
    return True


class Spool:
    """A temporary file, written once and then read once."""

    def __init__(self, directory: str | None) -> None:
        self._remedy = "" if directory else _ROOM
        with blaming(f"temporary file in {directory}" if directory else "temporary file", self._remedy):
            self._file = nameless(directory)
        self._place = f"temporary file in {directory or tempfile.gettempdir()}"
        self.nbytes = 0

    def write(self, values: npt.NDArray[np.generic]) -> None:
        """Append the bytes of a C-contiguous array. OutputError when the disk is full."""
        with blaming(self._place, self._remedy):
            self._file.write(values.data)
        self.nbytes += values.nbytes

    def rewind(self) -> IO[bytes]:
        """The file, to be read from its beginning. OutputError when what was written does not fit after all."""
        with blaming(self._place, self._remedy):
            self._file.seek(0)
        return self._file

    def copy_to(self, stream: IO[bytes]) -> None:
        """Append everything to `stream`."""
        shutil.copyfileobj(self.rewind(), stream, 1 << 20)

    def close(self) -> None:
        """Let go of the file and its space."""
        with contextlib.suppress(OSError):  # what could not be written is not wanted any more
            self._file.close()
