"""Slices without an answer, if the NaN policy makes them an error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from softargmax_cli.errors import UndefinedError, parameter
from softargmax_cli.reduction.blocks import ENDLESS
from softargmax_cli.reduction.problem import Problem
from softargmax_cli.reduction.readable import Readable
from softargmax_cli.reduction.reducer import NAN, NEGATIVE, Misfit
from softargmax_cli.reduction.result import Slices

POLICIES = f"use {parameter('nan', 'omit')} to leave them out, or {parameter('nan', 'propagate')} to mark their slices"
SIGNS = f"probabilities are 0 or more; {parameter('kind', 'scores')} takes any numbers"
WITHOUT_WEIGHT = "slice without weight"


class Undefined:
    """Count values that are not allowed, and slices without any weight, and remember the first of each."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self.found: dict[str, Misfit] = {}

    def note(self, misfit: Misfit) -> None:
        """Count misfits, whose place is counted in the whole array."""
        before = self.found.get(misfit.name, replace(misfit, count=0))
        count, first = before.count + misfit.count, min(before.first, misfit.first)
        self.found[misfit.name] = Misfit(misfit.name, count, first)

    def passes(self, slices: Slices) -> bool:
        """Check the next slices; tell whether they may be passed on, as nothing was an error so far."""
        if self._problem.nan == "error" and math.isnan(slices.peak.sum()):
            missing = np.flatnonzero(np.isnan(slices.peak))
            self.note(Misfit(WITHOUT_WEIGHT, len(missing), (int(slices.places[missing[0]]),)))
        return not self.found

    def check(self, source: Readable) -> None:
        """Raise UndefinedError if anything was noted. source: tells in which line and column NaN is, if it can."""
        for name, remedy in ((NEGATIVE, SIGNS), (NAN, POLICIES)):
            if found := self.found.get(name):
                what = f"1 {name}," if found.count == 1 else f"{found.count:,} {name}s, the first"
                cells = source.missing() if name == NAN else ()
                where = f"in {cells[0]}" if cells else f"at index {_index_text(found.first)}"
                raise UndefinedError(f"{what} {where}", remedy, details=tuple(cells) if len(cells) > 1 else ())
        if found := self.found.get(WITHOUT_WEIGHT):
            raise UndefinedError(self._without_weight(found.count, found.first[0]), POLICIES)

    def _without_weight(self, count: int, first: int) -> str:
        problem, s = self._problem, "s" * (count == 1)
        kept = [ENDLESS if (n := problem.shape[k]) is None else n for k in problem.kept]
        where = f"; the first is slice {_index_text(np.unravel_index(first, kept))}" if kept else ""
        what = f"hold{s} nothing but {'inf' if problem.kind == 'cost' else '-inf'}"
        if problem.kind == "probs":
            what = f"sum{s} to 0, so there is nothing to normalise by"
        return f"{'1 slice' if count == 1 else f'{count:,} slices'} {what}{where}"


def _index_text(index: Sequence[Any]) -> str:
    """Write a position as a person reads it: "7", "(7, 2)"."""
    return str(index[0]) if len(index) == 1 else f"({', '.join(map(str, index))})"
