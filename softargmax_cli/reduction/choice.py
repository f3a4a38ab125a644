"""Choose the slices that are shown: those in one state, and of them the ones with the largest offsets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.check import Worst
from softargmax_cli.reduction.result import Slices

State = Literal["disagree", "multimodal", "tied", "undefined"]


def _undefined(slices: Slices) -> npt.NDArray[np.bool_]:
    undefined: npt.NDArray[np.bool_] = np.isnan(slices.soft).any(axis=0)
    return undefined


STATES: dict[State, tuple[str, Callable[[Slices], npt.NDArray[np.bool_]]]] = {
    "disagree": ("agree", lambda slices: ~slices.agree & ~_undefined(slices)),
    "multimodal": ("multimodal", lambda slices: slices.column("multimodal").astype(bool)),
    "tied": ("ties", lambda slices: slices.column("ties") > 1),
    "undefined": ("soft", _undefined),
}
"""The field that each state is read from, and which slices are in it."""


class Choice:
    """Take all slices of an input and choose some.

    state: that of the slices chosen; None for any. worst: how many of them, by |offset|, the largest first; None for
    all in their order.
    """

    def __init__(self, state: State | None, worst: int | None) -> None:
        self._state = state
        self._worst = None if worst is None else Worst(worst)
        self.count = 0
        """How many were chosen."""

    @property
    def fields(self) -> frozenset[str]:
        """The fields that it reads."""
        return frozenset({"soft", "offset"} | ({STATES[self._state][0]} if self._state else set()))

    def of(self, slices: Slices) -> Slices | None:
        """Choose among the next slices; None where none is, or where that is known at the end alone."""
        which = np.arange(len(slices))
        if self._state is not None:
            which = np.flatnonzero(STATES[self._state][1](slices))
        if self._worst is not None:
            distances = np.abs(slices.offset).max(axis=0)
            self._worst.add(slices, distances, which[~np.isnan(distances[which])])
            return None
        self.count += len(which)
        return slices.take(which) if len(which) else None

    def last(self) -> Slices | None:
        """Return what could be chosen only at the end."""
        found = None if self._worst is None else self._worst.found()[0]
        self.count += 0 if found is None else len(found)
        return found
