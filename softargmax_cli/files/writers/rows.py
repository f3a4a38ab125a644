"""Slices as rows of cells, under the names and in the order that every text format shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from softargmax_cli.reduction.fields import BY_NAME
from softargmax_cli.reduction.result import Run, Slices

BATCH = 1 << 15
"""Rows that are Python objects at one time, however many slices come at once."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a text format writes what is no finite number."""

    false: str
    true: str
    missing: str
    """For a label that no position has."""
    not_finite: str | None
    """For NaN and infinities; None to leave them to Python's `nan`, `inf`, `-inf`."""
    text: Callable[[str], str]
    """For ids and labels."""


class Rows:
    """The columns of one run: positions along the axes that stay, `id`, then the fields, `label` after `hard`.

    A field with a number for each reduced axis takes a column for each, side by side.
    """

    def __init__(self, run: Run, fields: Sequence[str], spelling: Spelling) -> None:
        self._run = run
        self._spelling = spelling
        self._labels = None if run.labels is None else [spelling.text(label) for label in run.labels]
        self.fields = tuple(field for field in run.fields if field in fields)
        self.widths = self._widths()
        """The name of what follows the position, and how many columns it takes."""

    def _widths(self) -> dict[str, int]:
        widths = {"id": 1} if self._run.has_ids else {}
        for field in self.fields:
            widths[field] = len(self._run.axes) if BY_NAME[field].per_axis else 1
            if field == "hard" and self._labels is not None:
                widths["label"] = 1
        return widths

    def of(self, slices: Slices) -> Iterator[Iterator[tuple[object, ...]]]:
        """Rows of cells in batches; a cell is a finished str, or a number whose `str` is its spelling."""
        for start in range(0, len(slices), BATCH):
            yield self._batch(slices.part(start, start + BATCH))

    def _batch(self, slices: Slices) -> Iterator[tuple[object, ...]]:
        columns: list[Sequence[object]] = [position.tolist() for position in slices.positions(self._run.kept)]
        if self._run.has_ids:
            if slices.ids is None:
                raise LookupError("slices came without the ids that were announced")
            columns.append([self._spelling.text(name) for name in slices.ids])
        for field in self.fields:
            columns.extend(self._cells(values) for values in np.atleast_2d(slices.column(field)))
            if field == "hard" and self._labels is not None:
                columns.append(self._labels_of(slices, self._labels))
        return zip(*columns, strict=True)

    def _cells(self, values: npt.NDArray[np.generic]) -> Sequence[object]:
        spelling = self._spelling
        if values.dtype == np.bool_:
            return [spelling.true if value else spelling.false for value in values.tolist()]
        cells: list[object] = values.tolist()
        if values.dtype.kind == "f" and spelling.not_finite is not None:
            for k in np.flatnonzero(~np.isfinite(values)).tolist():
                cells[k] = spelling.not_finite
        return cells

    def _labels_of(self, slices: Slices, labels: list[str]) -> list[object]:
        missing = self._spelling.missing
        return [labels[hard] if hard >= 0 else missing for hard in slices.hard[0].tolist()]
