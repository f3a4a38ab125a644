"""Errors and notes on standard error, for the person at the keyboard."""

from __future__ import annotations

import io
import sys
import traceback
from contextlib import suppress
from typing import TextIO

from softargmax_cli.errors import MORE_MEMORY, SoftArgmaxError, UndefinedError, as_typed, short_of_memory
from softargmax_cli.report.text import legible

FAILED = 2
"""The exit code of wrong use, bad input and failed runs."""
LONGEST = 400
"""Characters of a line; a name or a cell in it may be longer."""


def say_error(error: BaseException, *, verbose: bool = False) -> None:
    """Print an error in one to three lines: where, what, and what to do; with `verbose` below its traceback."""
    if verbose:
        for line in "".join(traceback.format_exception(error)).splitlines():  # it quotes names and cells, too
            print(legible(line, sys.stderr), file=sys.stderr)
    details: tuple[str, ...] = ()
    if isinstance(error, SoftArgmaxError):
        what, remedy = as_typed(error.message), as_typed(error.remedy)
        details = error.details if isinstance(error, UndefinedError) and verbose else ()
    elif isinstance(error, MemoryError):
        what, remedy = "out of memory", "try a smaller --memory"
    elif why := short_of_memory(error):
        what, remedy = f"out of memory: {why}", MORE_MEMORY
    else:
        what = f"unexpected {type(error).__name__}: {error}"
        remedy = "this is a defect: --verbose shows where, please report it"
    _say("error: " + _shortened(what))
    for line in (*details, *remedy.splitlines()[:2]):
        print("  " + legible(_shortened(line), sys.stderr), file=sys.stderr)


def say_note(text: str) -> None:
    """Print a note in one line."""
    _say("note: " + as_typed(text))


def _shortened(text: str) -> str:
    """Leave out the middle of a long text: what is wrong may stand at either end."""
    half = (LONGEST - 3) // 2
    return text if len(text) <= LONGEST else f"{text[:half]}...{text[-half:]}"


def _say(text: str) -> None:
    sys.stderr.write(f"softargmax: {legible(text, sys.stderr)}\n")


class Unhindered(io.TextIOWrapper):
    """Text to a stream that raises nothing: what the stream does not take is lost.

    A full disk, or a pipe whose reader has gone, changes neither what is done nor the exit code.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream  # which would close its file with itself
        super().__init__(stream.buffer, stream.encoding, stream.errors, line_buffering=True)

    def write(self, text: str) -> int:
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()
