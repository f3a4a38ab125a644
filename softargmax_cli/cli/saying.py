"""What is said to the person on standard error: errors and notes, never more than they need."""

from __future__ import annotations

import sys
import traceback

from softargmax_cli.errors import SoftArgmaxError
from softargmax_cli.report.text import legible

FAILED = 2
"""The exit code where something could not be done, and an error says what."""
LONGEST = 400
"""Characters of a line; what a file put into it may be longer."""


def say_error(error: BaseException, *, verbose: bool = False) -> None:
    """One to three lines: what and where, what to do; the traceback only with `verbose`."""
    if verbose:
        for line in "".join(traceback.format_exception(error)).splitlines():  # it quotes names and cells, too
            print(legible(line, sys.stderr), file=sys.stderr)
    if isinstance(error, SoftArgmaxError):
        what, remedy = error.what, error.remedy
    elif isinstance(error, MemoryError):
        what, remedy = "out of memory", "try a smaller --memory"
    else:
        what = f"unexpected {type(error).__name__}: {error}"
        remedy = "this is a defect: --verbose shows where, please report it"
    _say("error: " + _shortened(what))
    for line in remedy.splitlines()[:2]:
        print("  " + legible(_shortened(line), sys.stderr), file=sys.stderr)


def say_note(text: str) -> None:
    """One line that the user may want to know."""
    _say("note: " + text)


def _shortened(text: str) -> str:
    """A text of at most `LONGEST` characters with both its ends: what is wrong may stand at either."""
    half = (LONGEST - 3) // 2
    return text if len(text) <= LONGEST else f"{text[:half]}...{text[-half:]}"


def _say(text: str) -> None:
    sys.stderr.write(f"softargmax: {legible(text, sys.stderr)}\n")
