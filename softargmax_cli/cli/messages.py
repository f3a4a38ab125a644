"""Errors and notes on standard error, for the person at the keyboard."""

from __future__ import annotations

import io
import sys
import traceback
from contextlib import suppress
from typing import TextIO

from softargmax_cli.errors import SoftArgmaxError, UndefinedError, as_typed
from softargmax_cli.report.text import legible

FAILED = 2  # the exit code of wrong use, bad input and failed runs
LONGEST_LINE = 400
"""The most characters of a line, which may quote long names and cells."""


def say_error(error: BaseException, *, verbose: bool = False) -> None:
    """Print an error in one to three lines: where, what, and what to do; with `verbose` below its traceback."""
    if verbose:
        for line in "".join(traceback.format_exception(error)).splitlines():  # it quotes names and cells, too
            say(line)
    details: tuple[str, ...] = ()
    if isinstance(error, SoftArgmaxError):
        what, remedy = as_typed(error.message), as_typed(error.remedy)
        details = error.details if isinstance(error, UndefinedError) and verbose else ()
    elif isinstance(error, MemoryError):
        what, remedy = "out of memory", "try a smaller --memory"
    else:
        what = f"unexpected {type(error).__name__}: {error}"
        remedy = "this is a defect: --verbose shows where, please report it"
    for start, line in [
        ("softargmax: error: ", what),
        *(("  ", line) for line in (*details, *remedy.splitlines()[:2])),
    ]:
        half = (LONGEST_LINE - 3) // 2  # the cause may stand at either end
        short = line if len(line) <= LONGEST_LINE else f"{line[:half]}...{line[-half:]}"
        say(start + short)


def say_note(text: str) -> None:
    """Print a note in one line."""
    say(f"softargmax: note: {as_typed(text)}")


def say(line: str) -> None:
    """Print a line on standard error; control characters in names and cells are escaped."""
    print(legible(line, sys.stderr), file=sys.stderr)


class Unhindered(io.TextIOWrapper):
    """A text stream that raises no errors: what cannot be written is lost.

    A full disk, or a pipe whose reader has gone, changes neither the results nor the exit code.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream  # if it were collected, it would close its file
        super().__init__(stream.buffer, stream.encoding, stream.errors, line_buffering=True)

    def write(self, text: str) -> int:
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()
