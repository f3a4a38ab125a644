"""Polars, and numbers that it makes of cells one by one."""

from __future__ import annotations

import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import MissingDependencyError
from softargmax_cli.files.formats.csv.text import MISSING

_CELLS = 1 << 18
"""Cells that become numbers at a time."""


def load() -> Any:
    """Import polars, which takes SIGINT for itself, and give that back; only the main thread can.

    Raises MissingDependencyError where polars cannot be used.
    """
    if "polars" not in sys.modules:
        handler = signal.getsignal(signal.SIGINT)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of what is an error here
            import polars  # noqa: F401
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
    if not sys.modules["polars"].__version__:  # it passes over why its own library cannot be loaded
        remedy = "give this process more memory (ulimit -v); if there is enough, install polars again"
        raise MissingDependencyError("polars, which reads CSV files, has no library", remedy)
    return sys.modules["polars"]


def floats(cells: Sequence[str]) -> tuple[npt.NDArray[np.float64], list[int]]:
    """Make numbers of stripped cells, NaN where there is none, and list the places of those that are not missing."""
    polars = load()
    values, refused = np.empty(len(cells)), []
    for start in range(0, len(cells), _CELLS):
        text = polars.Series(cells[start : start + _CELLS], dtype=polars.String)
        numbers = text.cast(polars.Float64, strict=False)
        values[start : start + _CELLS] = numbers.to_numpy()  # NaN where null
        if numbers.null_count():
            nulls = np.flatnonzero(numbers.is_null().to_numpy()) + start
            refused += [k for k in map(int, nulls) if cells[k].lower() not in MISSING]
    return values, refused
