"""The smallest β that is good enough, found in few passes over a file.

Each pass measures several β at once. Where the largest offset is the one of a slice with two good scores, its logarithm
falls almost linearly with β, which says where to measure next; nothing relies on it, nor on its falling at all.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping

STEP = 0.95
"""What is found is the smallest in this sense: so many times it is not good enough."""
CLOSE = 1.02
"""How far, as a ratio, the next β below may lie that was measured and found too small."""
DIGITS = 3
"""Significant digits of the β that are tried."""
SLACK = 1e-5
"""How far below the tolerance an offset must lie, as a part of it, lest a rounding decides."""
LEAST = 1e-6
"""No β below this is tried."""


class Search:
    """Is told the largest |offset| at some β, and says at which it wants to know it next, until it has an answer.

    `below`: whether the answer may lie below the first β that were measured.
    """

    def __init__(self, measured: Mapping[float, float], tolerance: float, *, below: bool) -> None:
        self._tolerance, self._below = tolerance, below
        self._lowest = min(measured)
        self._good: dict[float, bool] = {beta: largest <= tolerance for beta, largest in measured.items()}
        self._largest = dict(measured)

    def learn(self, measured: Mapping[float, float]) -> None:
        """The largest |offset| at more β."""
        self._largest.update(measured)
        certain = self._tolerance * (1 - SLACK)
        self._good.update(
            {beta: largest <= certain or largest == self._tolerance for beta, largest in measured.items()}
        )

    @property
    def answer(self) -> float | None:
        """The smallest β known to be good enough; the lowest of the first, where none below is known not to be."""
        good = [beta for beta, is_good in self._good.items() if is_good]
        if not good:
            return None
        return self._lowest if self.unbounded else min(good)

    @property
    def unbounded(self) -> bool:
        """Whether the smallest β measured is good enough, so that smaller ones may be, too."""
        return self._good[min(self._good)]

    def wanted(self) -> list[float]:
        """The β to measure next, ascending; none where the answer is known."""
        good = [beta for beta, is_good in self._good.items() if is_good]
        if not good:
            return []
        high = min(good)
        if self.unbounded:
            return self._lower(high) if self._below else []
        low = max(beta for beta in self._good if beta < high)
        if high / low > CLOSE:
            between = [beta for beta in self._between(low, high) if low < beta < high]
            if between:
                return between
        return [STEP * high] if STEP * high not in self._good else []

    def _lower(self, high: float) -> list[float]:
        return sorted({rounded(high / 10**k) for k in range(1, 4) if high / 10**k >= LEAST})

    def _between(self, low: float, high: float) -> list[float]:
        """Candidates within a bracket, most of them about where a straight line says it should be."""
        above, under = self._largest[low], self._largest[high]
        ratio = high / low
        guess = low * math.sqrt(ratio)
        apart = {rounded(low * ratio**k) for k in (1 / 3, 2 / 3)}  # where nothing says where to look
        if 0 < self._tolerance < above and 0 < under < above:
            guess = low + (high - low) * min(1.0, math.log(above / self._tolerance) / math.log(above / under))
            apart = set()
        near = [rounded(guess * factor) for factor in (0.99, 1.0, 1.01)]
        return sorted({*near, *(STEP * beta for beta in near[1:]), *apart})


def rounded(beta: float, digits: int = DIGITS) -> float:
    """β with few digits, as people write it."""
    return float(f"{beta:.{digits - 1}e}")


def spaced(low: float, high: float, count: int) -> list[float]:
    """`count` β from `low` to `high`, in equal ratios but for their rounding to as few digits as keep them apart."""
    exact = [low * (high / low) ** (k / (count - 1)) for k in range(count)] if count > 1 else [low]
    for digits in range(DIGITS, 17):
        few = [low, *(rounded(beta, digits) for beta in exact[1:-1]), high][:count]
        if _ascends(few):
            return few
    return exact


def _ascends(betas: Iterable[float]) -> bool:
    return all(a < b for a, b in itertools.pairwise(betas))
