"""Which boxes of an array are read, in which order: pure geometry."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Block:
    """A box of an array: positions `start[k] <= i < stop[k]` along each axis k."""

    start: tuple[int, ...]
    stop: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Length along each axis."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))
