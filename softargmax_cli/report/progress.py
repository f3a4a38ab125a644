"""A progress bar for the person who waits at a terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress

PATIENCE, INTERVAL = 1.0, 0.1
"""Seconds before a bar appears, and before it is drawn again."""

_drawn_on: list[TextIO] = []
"""The terminals that show a bar."""


def restore_terminals() -> None:
    """Erase the bar and show the cursor before a sudden exit; bypass the buffers, which may hold half a bar."""
    for stream in _drawn_on:
        with suppress(OSError):  # the terminal itself may have gone
            os.write(stream.fileno(), b"\r\x1b[2K\x1b[?25h")


@contextmanager
def progress(
    total: int | None, stream: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[int], None]]:
    """Yield a function that counts bytes done; a bar shows the rate and the time left, and is erased at the end.

    total: None if it is unknown; the bar then shows the rate alone. There is no bar unless `stream`, by default
    standard error, is a terminal. Only one thread may count.
    """
    stream = sys.stderr if stream is None else stream
    if stream is None or not stream.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda nbytes: None
        return
    bar: Progress | None = None
    done, due = 0, clock() + PATIENCE

    def advance(nbytes: int) -> None:
        nonlocal bar, done, due
        done += nbytes
        if clock() < due:
            return
        due = clock() + INTERVAL
        with suppress(OSError):  # the terminal has gone, which is no reason to stop
            if bar is None:
                bar = _bar(total, stream, clock)
                _drawn_on.append(stream)
                bar.start()
            bar.update(bar.task_ids[0], completed=done)
            bar.refresh()

    try:
        yield advance
    finally:
        if bar is not None:
            with suppress(OSError):
                bar.stop()
            _drawn_on.remove(stream)


def _bar(total: int | None, stream: TextIO, clock: Callable[[], float]) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    left = [] if total is None else [TimeRemainingColumn()]
    bar = Progress(
        *(BarColumn(), DownloadColumn(), TransferSpeedColumn(), *left),
        console=Console(file=stream, force_terminal=True),
        transient=True,
        auto_refresh=False,
        redirect_stdout=False,  # stdout is data
        redirect_stderr=False,
        get_time=clock,
    )
    bar.add_task("", total=total)
    return bar
