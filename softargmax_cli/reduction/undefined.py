"""Slices without an answer, where the NaN policy makes them an error."""

from __future__ import annotations

import math

import numpy as np

from softargmax_cli.errors import UndefinedError, parameter
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.reducer import NAN, NEGATIVE, Misfit
from softargmax_cli.reduction.result import ENDLESS, Slices

POLICIES = f"use {parameter('nan', 'omit')} to leave them out, or {parameter('nan', 'propagate')} to mark their slices"
SIGNS = f"probabilities are 0 or more; {parameter('kind', 'scores')} takes any numbers"


class Undefined:
    """Count values that must not be there, and slices without any weight, and remember the first of each."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._counts: dict[str, int] = {}
        self._firsts: dict[str, tuple[int, ...]] = {}
        self._slices = self._first_slice = 0

    def note(self, misfit: Misfit) -> None:
        """Count misfits, whose place is that in the whole array."""
        self._counts[misfit.name] = self._counts.get(misfit.name, 0) + misfit.count
        self._firsts[misfit.name] = min(self._firsts.get(misfit.name, misfit.first), misfit.first)

    def note_slices(self, count: int, first: int) -> None:
        """Count slices without any weight; `first` is the row-major number of the first of them."""
        if self._problem.nan == "error" and not self._counts and count:
            self._first_slice = min(first, self._first_slice) if self._slices else first
            self._slices += count

    def passes(self, slices: Slices) -> bool:
        """Look at the next slices; tell whether they may be passed on, as nothing forbids it so far."""
        self.note_slices(*lacking(slices))
        return not (self._counts or self._slices)

    def check(self) -> None:
        """Raise UndefinedError where anything was noted."""
        for name, remedy in ((NEGATIVE, SIGNS), (NAN, POLICIES)):
            if count := self._counts.get(name, 0):
                what = f"1 {name}," if count == 1 else f"{count:,} {name}s, the first"
                missing = count if name == NAN else 0
                raise UndefinedError(f"{what} at index {_index_text(self._firsts[name])}", remedy, missing=missing)
        if self._slices:
            raise UndefinedError(self._without_weight(), POLICIES)

    def _without_weight(self) -> str:
        problem, one = self._problem, self._slices == 1
        kept = [ENDLESS if (n := problem.shape[k]) is None else n for k in problem.kept]
        place = tuple(map(int, np.unravel_index(self._first_slice, kept))) if kept else ()
        where = f"; the first is slice {_index_text(place)}" if place else ""
        count = "1 slice" if one else f"{self._slices:,} slices"
        if problem.kind == "probs":
            return f"{count} {'sums' if one else 'sum'} to 0, so there is nothing to normalise by{where}"
        nothing = "inf" if problem.kind == "cost" else "-inf"
        return f"{count} {'holds' if one else 'hold'} nothing but {nothing}{where}"


def lacking(slices: Slices) -> tuple[int, int]:
    """Count the slices without an answer; return that, and the row-major number of the first."""
    if not math.isnan(slices.peak.sum()):
        return 0, 0
    missing = np.flatnonzero(np.isnan(slices.peak))
    return len(missing), int(slices.places[missing[0]])


def _index_text(index: tuple[int, ...]) -> str:
    """Return a position as a person reads it: "7", "(7, 2)"."""
    return str(index[0]) if len(index) == 1 else f"({', '.join(map(str, index))})"
