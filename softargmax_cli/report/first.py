"""The first slices of a run, for what shows no more."""

from __future__ import annotations

from softargmax_cli.reduction.result import Slices


class First:
    """Collects the first `most` slices, 0 for all."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._parts: list[Slices] = []
        self.count = 0

    def add(self, slices: Slices) -> None:
        """Take the next slices; beyond the last that is wanted this costs nothing."""
        wanted = len(slices) if self._most == 0 else min(len(slices), self._most - self.count)
        if wanted > 0:
            self._parts.append(type(slices).joined([slices.part(0, wanted)]))  # a copy, so that the rest can go
            self.count += wanted

    @property
    def slices(self) -> Slices | None:
        """All that were collected; None where there was no slice."""
        return type(self._parts[0]).joined(self._parts) if self._parts else None
