"""What the gradient of each slice is like: how large, how far to either side, and whether anything is left of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from softargmax_cli.reduction.result import Slices, Summary

VANISHED = 1e-6
"""The norm below which a gradient is said to have vanished, in the unit of soft for 1 in the scores, or in β.

To first order, a step of length 1 then moves soft by less than a result in single precision may be off: nothing that a
training does to the scores can be seen in it.
"""

BY_SCORES = ("hard", "soft", "norm", "min", "max", "vanished")
BY_BETA = ("hard", "soft", "gradient", "vanished")
"""What is said of slices whose soft argmax is differentiated by its scores, and by β."""


@dataclass(slots=True)
class SlopeSummary(Summary):
    """What is said of all gradients together."""

    max_norm: float = math.nan
    total_norm: float = 0.0
    vanished: int = 0

    def add(self, slices: Slices) -> None:
        """Take a run of slices into account, which must have gradients."""
        Summary.add(self, slices)
        norm, vanished = slices.column("norm"), slices.column("vanished")
        norm = norm[~np.isnan(norm)]
        if norm.size:
            self.max_norm = float(np.fmax(self.max_norm, norm.max()))
            self.total_norm += float(norm.sum())
        self.vanished += int(np.count_nonzero(vanished))

    @property
    def mean_norm(self) -> float:
        """Over the slices that have an answer; NaN when none has."""
        defined = self.slices - self.undefined
        return self.total_norm / defined if defined else math.nan

    def as_dict(self) -> dict[str, float | int | None]:
        """The summary under its public names, what is no finite number as None."""
        norms = {"max_norm": self.max_norm, "mean_norm": self.mean_norm}
        finite = {name: n if math.isfinite(n) else None for name, n in norms.items()}
        return {"slices": self.slices, **finite, "vanished": self.vanished, "undefined": self.undefined}
