"""Results as csv and tsv: a header, then a row a slice; every number reads back as it was."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from softargmax_cli.errors import spelled
from softargmax_cli.files.writers.atomic import Writer
from softargmax_cli.files.writers.columns import Column, Columns, batches
from softargmax_cli.reduction.result import Slices


class _Lines(list[str]):
    """A list that a csv writer writes to, a row an entry."""

    write = list.append


class CsvWriter(Writer):
    """Text in UTF-8 with `\\n` line ends; bytes of the input that were no UTF-8 come out as they came in."""

    delimiter = ","

    _columns: Columns | None = None

    def begin(self) -> None:
        run = replace(self.run, input=spelled(self.run.input))
        columns, before = Columns(run, self.fields, name_input=self.several), self._columns
        if before is not None:
            columns.refuse_unlike(before)
        self._columns = columns
        if before is not None:
            return
        self._lines = _Lines()
        # csv.writer quotes a lone \r only where the line end holds one (until Python 3.13), so it gets \r\n.
        self._rows = csv.writer(self._lines, delimiter=self.delimiter, lineterminator="\r\n")
        self._rows.writerow(self._columns.names)
        self._emit()

    def put(self, slices: Slices) -> None:
        assert self._columns is not None
        for batch in batches(slices):
            self._rows.writerows(zip(*map(_cells, self._columns.of(batch)), strict=True))
            self._emit()

    def _emit(self) -> None:
        text = "".join([line[:-2] + "\n" for line in self._lines])
        self._lines.clear()
        self.target.stream.write(text.encode("utf-8", "surrogateescape"))


class TsvWriter(CsvWriter):
    """Text with tabs in place of commas."""

    delimiter = "\t"


def _cells(column: Column) -> Sequence[Any]:
    """Return cells for a csv writer, which spells numbers itself and leaves None empty."""
    if isinstance(column, Sequence):
        return column
    if column.dtype == bool:
        return ["true" if value else "false" for value in column.tolist()]
    cells: list[Any] = column.tolist()
    return cells
