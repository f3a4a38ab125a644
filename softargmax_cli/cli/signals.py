"""Signals that end the program: at once, with nothing left behind, wherever it was."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import NoReturn

from softargmax_cli.files.writers.atomic import remove_unfinished
from softargmax_cli.report.progress import restore_terminals

INTERRUPTED, TERMINATED, HUNG_UP = 130, 143, 129
"""128 and the signal's number, as a shell has it."""
_CODES = {"SIGINT": INTERRUPTED, "SIGTERM": TERMINATED, "SIGHUP": HUNG_UP}
_HEEDED = {getattr(signal, name): code for name, code in _CODES.items() if hasattr(signal, name)}


def heed_signals() -> None:
    """End at these signals from now on, but at none that the caller has this process ignore (as nohup does).

    An exception would end the program, too, but may come where it does harm, and waits for every thread.
    """
    for number in _HEEDED:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _heeded)


def _heeded(number: int, frame: FrameType | None) -> None:
    for other in _HEEDED:
        signal.signal(other, signal.SIG_IGN)  # the impatient press Ctrl-C twice
    _end(_HEEDED[number])


def _end(code: int) -> NoReturn:
    try:
        remove_unfinished()
        restore_terminals()
    finally:
        os._exit(code)
