"""A progress bar for the person who waits at a terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

PATIENCE = 1.0
"""Seconds that a run may take before a bar appears."""

INTERVAL = 0.1
"""Seconds between two pictures of the bar."""

_RESTORED = b"\r\x1b[2K\x1b[?25h"
"""The line of the bar erased, and the cursor, which it hides, shown."""
_drawn_on: list[TextIO] = []
"""The terminals that a bar is on."""


def restore_terminals() -> None:
    """Erase the bar when the process ends at once; past all buffers, in which a picture may be half written."""
    for stream in _drawn_on:
        with contextlib.suppress(OSError):  # the terminal itself may have gone
            os.write(stream.fileno(), _RESTORED)


class Progress:
    """A bar with rate and time left, erased at the end; nothing at all where `stream` is no terminal.

    `total` is in bytes; None where the end is not known, which shows the rate alone. One thread advances it.
    """

    def __init__(
        self, total: int | None, stream: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._total = total
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._done = 0
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        shown = self._stream is not None and self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._next = clock() + PATIENCE if shown else float("inf")

    def advance(self, nbytes: int) -> None:
        """Count `nbytes` more; cheap, since the picture changes a few times a second only."""
        self._done += nbytes
        if self._next == float("inf"):
            return
        now = self._clock()
        if now >= self._next:
            self._next = now + INTERVAL
            try:
                self._draw()
            except OSError:  # the terminal has gone, which is no reason to stop
                self.close()

    def close(self) -> None:
        """Erase the bar."""
        self._next = float("inf")
        if self._bar is not None:
            with contextlib.suppress(OSError):
                self._bar.stop()
            self._bar = None
            _drawn_on.remove(self._stream)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _draw(self) -> None:
        if self._bar is None or self._task is None:
            self._bar = self._made()
            _drawn_on.append(self._stream)
            self._bar.start()
            self._task = self._bar.add_task("", total=self._total, completed=self._done)
        self._bar.update(self._task, completed=self._done)
        self._bar.refresh()

    def _made(self) -> Bar:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn
        from rich.progress import Progress as Bar

        columns = [BarColumn(), DownloadColumn(), TransferSpeedColumn()]
        return Bar(
            *columns,
            *([] if self._total is None else [TimeRemainingColumn()]),
            console=Console(file=self._stream, force_terminal=True),
            transient=True,
            auto_refresh=False,
            redirect_stdout=False,  # stdout is data
            redirect_stderr=False,
            get_time=self._clock,
        )
