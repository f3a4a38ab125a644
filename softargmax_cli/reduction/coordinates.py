"""The coordinate of each index along a reduced axis: one class for each kind.

To add a kind, write a class here and add it to `KINDS`, from which the option and its help are made.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]


class Coordinates(ABC):
    """Coordinates along an axis of n indices."""

    name: ClassVar[str]
    meaning: ClassVar[str]

    @abstractmethod
    def at(self, index: npt.NDArray[Any], length: int) -> Float:
        """Return the coordinates of indices, (…,) → (…,), along an axis of `length`."""

    @abstractmethod
    def step(self, length: int) -> float:
        """Return the largest distance from one coordinate to the next along an axis of `length`; 0 where n is 1."""


class Index(Coordinates):
    """The index itself, 0 to n − 1."""

    name = "index"
    meaning = "the index"

    def at(self, index: npt.NDArray[Any], length: int) -> Float:
        return index.astype(np.float64)

    def step(self, length: int) -> float:
        return 1.0


class Corners(Coordinates):
    """−1 + 2i / (n − 1): the ends of the axis lie at −1 and 1, as `align_corners=True` elsewhere. 0 where n = 1."""

    name = "corners"
    meaning = "-1 to 1 at the end indices"

    def at(self, index: npt.NDArray[Any], length: int) -> Float:
        return np.zeros(index.shape) if length == 1 else (2.0 * index - (length - 1)) / (length - 1)

    def step(self, length: int) -> float:
        return 0.0 if length == 1 else 2 / (length - 1)


class Centers(Coordinates):
    """(2i + 1) / n − 1: the edges of the outer cells lie at −1 and 1, as `align_corners=False` elsewhere."""

    name = "centers"
    meaning = "(2i + 1)/n - 1"

    def at(self, index: npt.NDArray[Any], length: int) -> Float:
        return np.zeros(index.shape) if length == 1 else (2.0 * index + (1 - length)) / length

    def step(self, length: int) -> float:
        return 0.0 if length == 1 else 2 / length


@dataclass(frozen=True, slots=True, eq=False)
class Values(Coordinates):
    """A coordinate given for each index, (n,), at whatever distances; the kernel sums these themselves."""

    name = "values"
    meaning = "the values given"

    values: Float

    def at(self, index: npt.NDArray[Any], length: int) -> Float:
        placed: Float = np.interp(index, np.arange(length), self.values)
        return placed

    def step(self, length: int) -> float:
        return float(np.abs(np.diff(self.values)).max(initial=0.0))


KINDS: dict[str, Coordinates] = {kind.name: kind for kind in (Index(), Corners(), Centers())}
"""The kinds that need no file, by their names."""
