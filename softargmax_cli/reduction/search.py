"""Search for the smallest β that is good enough, in few passes over a file that measure several β each."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping

CLOSE = 1.05
"""How far, as a ratio, the answer of a search may lie above a β that is not good enough."""
NEAR = 1.02
"""How far, as a ratio, a search measures below and above the β where it expects the answer."""
DIGITS = 3
"""Significant digits of the β that a search tries."""
SLACK = 1e-3
"""How far below the tolerance an offset must lie, as a part of it, lest a rounding decides."""
LEAST = 1e-6
"""No search goes below this β."""


class Search:
    """Search for the smallest β that is good enough: told the largest |offset| at some, it says which to try next.

    `below`: whether the answer may lie below the first β that were measured. Offsets need not fall with β: the answer
    is good enough, and no more than `CLOSE` times a β that is not.
    """

    def __init__(self, measured: Mapping[float, float], tolerance: float, *, below: bool) -> None:
        self._tolerance, self._below, self._lowest = tolerance, below, min(measured)
        self._good: dict[float, bool] = {}
        self._largest: dict[float, float] = {}
        self.learn(measured)

    def learn(self, measured: Mapping[float, float]) -> None:
        """Take the largest |offset| at more β into account."""
        certain = self._tolerance * (1 - SLACK)
        self._largest.update(measured)
        for beta, largest in measured.items():
            self._good[beta] = largest <= certain or largest == self._tolerance

    def refute(self, beta: float) -> None:
        """Know that a β is not good enough, whatever was measured."""
        self._good[beta] = False

    @property
    def answer(self) -> float | None:
        """The smallest β known to be good enough; the lowest of the first, where none below is known not to be."""
        good = [beta for beta, is_good in self._good.items() if is_good]
        if not good:
            return None
        return self._lowest if self.unbounded else min(good)

    @property
    def unbounded(self) -> bool:
        """True where the smallest β measured is good enough, so that smaller ones may be, too."""
        return self._good[min(self._good)]

    def wanted(self) -> list[float]:
        """Choose the β to measure next, ascending; none where the answer is known."""
        high = min((beta for beta, is_good in self._good.items() if is_good), default=None)
        if high is None:
            return []
        if self.unbounded:
            lower = {rounded(high / 10**k) for k in (1, 2, 3)} if self._below else set()
            return sorted(beta for beta in lower if beta >= LEAST)
        low = max(beta for beta in self._good if beta < high)
        if high / low <= CLOSE:
            return []
        guess = self._guess(low, high)
        between = {rounded(beta) for beta in (guess / NEAR, guess * NEAR, math.sqrt(low * high))}
        return sorted(beta for beta in between if low < beta < high)

    def _guess(self, low: float, high: float) -> float:
        """Guess the answer between two β: the logarithm of the largest offset falls almost linearly with β."""
        above, under = self._largest[low], self._largest[high]
        if not 0 < under < self._tolerance < above:
            return math.sqrt(low * high)
        part = math.log(above / self._tolerance) / math.log(above / under)
        return min(max(low + part * (high - low), low * NEAR**2), high / NEAR**2)


def rounded(beta: float, digits: int = DIGITS) -> float:
    """Round β to few digits, as people write it."""
    return float(f"{beta:.{digits - 1}e}")


def spaced(low: float, high: float, count: int) -> list[float]:
    """Space `count` β from `low` to `high` in equal ratios but for their rounding to few digits."""
    exact = [low * (high / low) ** (k / (count - 1)) for k in range(count)] if count > 1 else [low]
    for digits in range(DIGITS, 17):
        few = [low, *(rounded(beta, digits) for beta in exact[1:-1]), high][:count]
        if _ascends(few):
            return few
    return exact


def _ascends(betas: Iterable[float]) -> bool:
    return all(a < b for a, b in itertools.pairwise(betas))
