"""Some rows and columns of a table whose number of rows only its end tells."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from softargmax_cli.files.memory import ArraySource
from softargmax_cli.files.source import Loaded, Pending, Source
from softargmax_cli.reduction import blocks
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.buffer import Buffer

PIECE = 1 << 18
"""Numbers read at a time in search of a row."""


class SelectedTable(Source):
    """The rows and columns of `source` that slices select; those of rows count from the first, upwards."""

    sequential = True

    def __init__(self, source: Source, rows: slice, columns: range) -> None:
        self.appear_as(source)
        self._source = source
        self._columns = columns or range(0)  # none, from -1 on backwards, are all of them to a slice
        self.shape, self.nbytes, self.has_ids = (None, len(columns)), source.nbytes, source.has_ids
        self.labels = None if source.labels is None else [source.labels[i] for i in columns]
        self._start, self._stop, self._step = rows.start or 0, rows.stop, rows.step or 1
        self._all = (self._start, self._stop, self._step) == (0, None, 1)
        self._seen = 0
        self._counting = threading.Lock()

    def fetch(self, block: Block) -> Pending | None:
        if self._all:  # no need to know how many rows there are in what was fetched
            pending = self._source.fetch(block)
            return None if pending is None else _Columns(pending, self)
        moved = 0
        while self._stop is None or self._seen < self._stop:
            pending = self._source.fetch(block)
            if pending is None:
                return None
            loaded, first = pending.load(Buffer()), self._seen
            moved += pending.nbytes
            self._seen += len(loaded.values)
            start = self._start if first <= self._start else first + (self._start - first) % self._step
            stop = self._seen if self._stop is None else min(self._stop, self._seen)
            if start < stop:
                rows = slice(start - first, stop - first, self._step)
                ids = None if loaded.ids is None else loaded.ids[rows]
                return _Rows(self.part(Loaded(loaded.values[rows], ids)), moved)
        return None

    def part(self, loaded: Loaded) -> Loaded:
        """The columns that are selected of some rows."""
        columns = self._columns
        stop = columns.stop if columns.stop >= 0 else None
        values = np.array(loaded.values[:, columns.start : stop : columns.step], order="F")
        with self._counting:
            self.rows += len(values)
        return Loaded(values, loaded.ids)

    def close(self) -> None:
        super().close()
        self._source.close()


@dataclass(frozen=True, slots=True)
class _Columns:
    """Rows of which some columns are wanted."""

    pending: Pending
    table: SelectedTable

    @property
    def nbytes(self) -> int:
        return self.pending.nbytes

    def load(self, buffer: Buffer) -> Loaded:
        return self.table.part(self.pending.load(buffer))


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows that had to be parsed to be counted."""

    loaded: Loaded
    nbytes: int

    def load(self, buffer: Buffer) -> Loaded:
        return self.loaded


class RowSource(ArraySource):
    """One row of a table, (1, columns), which is read no further. `rows` of it where it has not so many."""

    def __init__(self, source: Source, row: int) -> None:
        columns, seen = source.shape[1] or 0, 0
        for block in blocks.rows(columns, PIECE):
            pending = source.fetch(block)
            if pending is None:
                break
            values = pending.load(Buffer()).values
            if row < seen + len(values):
                super().__init__(np.array(values[row - seen : row - seen + 1]))
                self.appear_as(source)
                self._source = source
                return
            seen += len(values)
        raise IndexError(seen)

    def close(self) -> None:
        super().close()
        self._source.close()
