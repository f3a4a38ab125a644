"""Slices as named columns, in the order of every table of results, and as csv and tsv."""

from __future__ import annotations

import csv
import io
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import InputError, spelled
from softargmax_cli.files.writers import Writer
from softargmax_cli.reduction.fields import BY_NAME
from softargmax_cli.reduction.result import Run, Slices

Column = npt.NDArray[Any] | Sequence[Any]


def table_text(rows: Sequence[Mapping[str, Any]], format: str) -> str:
    """Write rows with the same names as csv or tsv."""
    text = io.StringIO()
    delimiter = "," if format == "csv" else "\t"
    table = csv.DictWriter(text, rows[0], delimiter=delimiter, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


class FieldColumns:
    """The columns of one run: `input`, positions along the axes that stay, `id`, then the fields, `label` after `hard`.

    A field with a number for each reduced axis takes a column for each, side by side.
    """

    def __init__(self, run: Run, fields: Sequence[str], *, name_input: bool = False) -> None:
        self._run = run
        self.widths: dict[str, int] = {"input": 1} if name_input else {}
        """The names, and the number of columns of each."""
        self.widths["index"] = len(run.kept)
        if run.has_ids:
            self.widths["id"] = 1
        for field in (field for field in run.fields if field in fields):
            self.widths[field] = len(run.axes) if BY_NAME[field].per_axis else 1
            if field == "hard" and run.labels is not None:
                self.widths["label"] = 1

    @property
    def names(self) -> list[str]:
        """A name for each column: `soft`, or `soft_0`, `soft_1` if it has several."""
        return [name if width == 1 else f"{name}_{k}" for name, width in self.widths.items() for k in range(width)]

    def of(self, slices: Slices) -> list[Column]:
        """Return the values of each column: an array, or a list of texts, in which None stands for no label."""
        return [column for name in self.widths for column in self._named(name, slices)]

    def _named(self, name: str, slices: Slices) -> Sequence[Column]:
        run = self._run
        if name == "input":
            return [[run.input] * len(slices)]
        if name == "index":
            return slices.positions(run.kept)
        if name == "id":
            return [slices.ids or ()]
        if name == "label":
            return [[run.label(hard) for hard in slices.hard[0].tolist()]]
        return [*np.atleast_2d(slices.column(name))]


class TableWriter(Writer):
    """A table with the columns of its first input, which all others must have."""

    columns: FieldColumns | None = None

    def begin(self) -> None:
        run = replace(self.run, input=spelled(self.run.input))
        columns, before = FieldColumns(run, self.fields, name_input=self.several), self.columns
        if before is None:
            self.begin_table(columns)
        elif columns.names != before.names:
            names, known = columns.names, before.names
            differ = ", ".join(name for name in (*names, *known) if not (name in names and name in known))
            what = f"its slices have other columns than those before them; they differ in {differ}"
            raise InputError(what, "write a file for each input: -o DIR/", run.input)
        self.columns = columns

    @abstractmethod
    def begin_table(self, columns: FieldColumns) -> None:
        """Write what precedes the first row."""


class CsvWriter(TableWriter):
    """Text in UTF-8 with `\\n` line ends."""

    delimiter = ","

    def begin_table(self, columns: FieldColumns) -> None:
        self._rows([columns.names])

    def put(self, slices: Slices) -> None:
        assert self.columns is not None
        self._rows(zip(*map(_cells, self.columns.of(slices)), strict=True))

    def _rows(self, rows: Any) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=self.delimiter, lineterminator="\n").writerows(rows)
        self.stream.write(text.getvalue().encode())


class TsvWriter(CsvWriter):
    """Text with tabs in place of commas."""

    delimiter = "\t"


def _cells(column: Column) -> Sequence[Any]:
    """Return cells for a csv writer, which spells numbers itself and leaves None empty."""
    if isinstance(column, Sequence):
        return column
    cells: list[Any] = column.tolist()
    return ["true" if cell else "false" for cell in cells] if column.dtype == bool else cells
