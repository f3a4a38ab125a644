"""What the numbers of an array are like, block by block."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LARGE = 1e290
"""From here on a block's numbers are added after division by `UNIT`, for their sum may be more than a float64 holds."""
UNIT = 2.0**64


@dataclass(slots=True)
class Statistics:
    """Of all numbers added so far. NaN and infinities are counted, and left out of everything else."""

    count: int = 0
    """Finite numbers."""
    nan: int = 0
    inf: int = 0
    negative_inf: int = 0
    minimum: float | int | None = None
    maximum: float | int | None = None
    _total: float = 0.0
    _lost: float = 0.0
    """What additions to the total have rounded away (Neumaier 1974)."""
    _large: float = 0.0
    """A second total, in units of `UNIT`."""

    @property
    def mean(self) -> float | None:
        """In float64; None of nothing."""
        if not self.count:
            return None
        return self._large / self.count * UNIT + (self._total + self._lost) / self.count

    def merge(self, other: Statistics) -> None:
        """Add what another one has seen."""
        self.count += other.count
        self.nan += other.nan
        self.inf += other.inf
        self.negative_inf += other.negative_inf
        if other.count:
            self.minimum = min(n for n in (self.minimum, other.minimum) if n is not None)
            self.maximum = max(n for n in (self.maximum, other.maximum) if n is not None)
        self._add(other._total)
        self._lost += other._lost
        self._large += other._large

    def _add(self, number: float) -> None:
        total = self._total + number
        larger, smaller = (self._total, number) if abs(self._total) >= abs(number) else (number, self._total)
        self._lost += (larger - total) + smaller
        self._total = total


def statistics(values: npt.NDArray[Any]) -> Statistics:
    """Of one block of real numbers, of any shape and memory order; sums are NumPy's, pairwise."""
    flat = np.ravel(values, "K")
    found = Statistics()
    if not flat.size:
        return found
    with np.errstate(invalid="ignore", over="ignore"):
        least, most = flat.min(), flat.max()
        if flat.dtype.kind == "f" and not (np.isfinite(least) and np.isfinite(most)):
            found.nan = int(np.count_nonzero(np.isnan(flat)))
            found.inf = int(np.count_nonzero(flat == np.inf))
            found.negative_inf = int(np.count_nonzero(flat == -np.inf))
            flat = flat[np.isfinite(flat)]
            if not flat.size:
                return found
            least, most = flat.min(), flat.max()
    number = float if flat.dtype.kind == "f" else int
    found.count, found.minimum, found.maximum = flat.size, number(least), number(most)
    if math.fabs(found.minimum) < LARGE and math.fabs(found.maximum) < LARGE:
        found._total = float(flat.sum(dtype=np.float64))
    else:
        found._large = float((flat / UNIT).sum(dtype=np.float64))
    return found
