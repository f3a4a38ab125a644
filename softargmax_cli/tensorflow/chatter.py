"""Messages of TensorFlow's C++ code, held back: it writes them straight to file descriptor 2."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import IO


class Chatter:
    """Keeps what is written to standard error between `hold` and `release`, each of which may be called twice.

    The descriptor belongs to the whole process: nothing else may be said on standard error meanwhile.
    """

    def __init__(self) -> None:
        self._saved: int | None = None
        self.hold()

    def hold(self) -> None:
        """Begin to keep messages, as the constructor does."""
        if sys.stderr is None or self._saved is not None:
            return
        sys.stderr.flush()
        self._kept = _file()
        self._saved = os.dup(2)
        os.dup2(self._kept.fileno(), 2)

    def release(self, *, show: bool) -> None:
        """Let standard error through again; first what was kept, if `show`."""
        if self._saved is None:
            return
        os.dup2(self._saved, 2)
        os.close(self._saved)
        self._saved = None
        if show:
            self._kept.seek(0)
            sys.stderr.write(self._kept.read().decode(errors="replace"))
        self._kept.close()


def _file() -> IO[bytes]:
    """Open a temporary file, in memory where the system has such files."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("stderr"), "w+b")
    return tempfile.TemporaryFile()
