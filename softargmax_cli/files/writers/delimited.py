"""csv and tsv: a header, then a row a slice; every number reads back as it was."""

from __future__ import annotations

import csv
from collections.abc import Sequence

from softargmax_cli.files.writers.base import Sink
from softargmax_cli.files.writers.rows import Rows, Spelling
from softargmax_cli.files.writers.target import Target
from softargmax_cli.reduction.result import Run, Slices, Summary

DELIMITERS = {"csv": ",", "tsv": "\t"}

_SPELLING = Spelling(false="false", true="true", missing="", not_finite=None, text=str)


class _Lines(list[str]):
    """A list that a csv writer writes to, a row an entry."""

    write = list.append


class DelimitedSink(Sink):
    """Text in UTF-8 with `\\n` line ends; bytes of the input that were no UTF-8 come out as they came in."""

    def __init__(self, target: Target, run: Run, fields: Sequence[str], delimiter: str) -> None:
        super().__init__(target, run)
        self._rows = Rows(run, fields, _SPELLING)
        self._lines = _Lines()
        # csv.writer quotes a lone \r only where the line end holds one (until Python 3.13), so it gets \r\n.
        self._writer = csv.writer(self._lines, delimiter=delimiter, lineterminator="\r\n")

    def _begin(self) -> None:
        kept = len(self._run.kept)
        names = ["index"] if kept == 1 else [f"index_{k}" for k in range(kept)]
        for name, width in self._rows.widths.items():
            names += [name] if width == 1 else [f"{name}_{k}" for k in range(width)]
        self._writer.writerow(names)
        self._emit()

    def _write(self, slices: Slices) -> None:
        for batch in self._rows.of(slices):
            self._writer.writerows(batch)
            self._emit()

    def _finish(self, summary: Summary, shape: tuple[int, ...]) -> None:
        pass

    def _emit(self) -> None:
        text = "".join([line[:-2] + "\n" for line in self._lines])
        self._lines.clear()
        self._target.stream.write(text.encode("utf-8", "surrogateescape"))
