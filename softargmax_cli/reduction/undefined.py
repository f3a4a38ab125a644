"""Slices that have no answer, where the NaN policy makes them an error."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from softargmax_cli.errors import UndefinedError
from softargmax_cli.reduction.mapping import NansFound
from softargmax_cli.reduction.result import Slices
from softargmax_cli.reduction.spec import Problem

ENDLESS = 1 << 62
"""Stands for a length that is not known."""


class Undefined:
    """Counts NaNs, and slices of nothing but −inf, and remembers the first of each."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._nans = self._slices = 0
        self._first_nan: tuple[int, ...] = ()
        self._first_slice = 0

    def note(self, nans: NansFound, start: Sequence[int]) -> None:
        """NaNs in a block that begins at `start`."""
        index = tuple(a + b for a, b in zip(start, nans.first, strict=True))
        self._first_nan = min(self._first_nan, index) if self._nans else index
        self._nans += nans.count

    def watched(self, slices: Iterator[Slices]) -> Iterator[Slices]:
        """Pass slices on until the first without an answer; raise UndefinedError after the last if there was one."""
        for run in slices:
            if math.isnan(run.soft.sum()) and not self._nans:
                missing = np.isnan(run.soft)
                if not self._slices:
                    self._first_slice = run.start + int(np.argmax(missing))
                self._slices += int(np.count_nonzero(missing))
            if not (self._nans or self._slices):
                yield run
        remedy = "use --nan omit to leave them out, or --nan propagate to mark their slices"
        if self._nans:
            count = "1 NaN," if self._nans == 1 else f"{self._nans:,} NaNs, the first"
            raise UndefinedError(f"{count} at index {index_text(self._first_nan)}", remedy)
        if self._slices:
            lengths = [ENDLESS if (n := self._problem.shape[k]) is None else n for k in self._problem.kept]
            place = np.unravel_index(self._first_slice, lengths) if lengths else ()
            count = "1 slice holds" if self._slices == 1 else f"{self._slices:,} slices hold"
            where = f"; the first is slice {index_text(tuple(map(int, place)))}" if lengths else ""
            raise UndefinedError(f"{count} nothing but -inf{where}", remedy)


def index_text(index: tuple[int, ...]) -> str:
    """A position as a person reads it: "7", "(7, 2)"."""
    return str(index[0]) if len(index) == 1 else f"({', '.join(map(str, index))})"
