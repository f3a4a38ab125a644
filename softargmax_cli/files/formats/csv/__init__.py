"""Tables of numbers in delimited text: CSV, TSV, what numpy.savetxt writes; plain or gzipped, file or pipe.

A stream is cut into pieces that end where records end (`text`); the first of them tell the layout (`layout`). polars
cuts a piece into cells and makes numbers of these (`cells`). Where it cannot, csv cuts the piece, cell by cell, and
polars makes the numbers all the same. A cell that still is no number is an error with its line and column.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

import numpy as np

from softargmax_cli.errors import InputError, counted, parameter
from softargmax_cli.files.columns import called, cited
from softargmax_cli.files.formats.csv.cells import COMMA, classified, decoded, frame_of, numbers, polars, records
from softargmax_cli.files.formats.csv.layout import POINTS, TextLayout, find_layout
from softargmax_cli.files.formats.csv.text import Piece, Text
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.source import Facts, Source, parsing
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer, Loaded, Pending

_LEAST = 64 << 10
_MOST = 8 << 20
"""The least and the most bytes of a piece; in between it has as many numbers as a block."""
_CELLS = 1 << 13
"""The least numbers of a piece, however few a block has."""
MOST_PLACES = 10
"""The most places of NaN that are reported."""


class CsvSource(Source):
    """A table of numbers as float64, (unknown, columns of scores), from a stream at its first byte.

    The layout that `reading` leaves open is found from the first rows. Empty cells, NA, N/A, null and nan are NaN. The
    rows of a block bound the bytes that are read at once. Reading raises InputError with file, line and column; an
    option that does not fit the file raises OptionError.
    """

    sequential = True
    stored = "float64"
    dtype: np.dtype[Any] = np.dtype("f8")

    def __init__(self, stream: io.BufferedReader, name: str, reading: Reading) -> None:
        text = Text(stream, name)
        layout = find_layout(text, name, reading)
        table, columns = layout.table, layout.columns
        self.name, self.closes, self.nbytes, self.notes = name, (text,), text.nbytes, tuple(columns.notes)
        self.shape, self.has_ids = (None, len(columns.scores)), columns.id_at is not None
        self.labels = tuple(table.titles[at] for at in columns.scores) if table.titles else None
        self.facts = Facts(
            "csv.gz" if text.packed else "csv",
            delimiter=layout.dialect.delimiter,
            header=table.titles,
            id_column=columns.id_column,
            columns=columns.spec,
        )
        self._text, self._layout = text, layout
        self._plain = not layout.dialect.comma
        """True until a cell is seen that is no plain number; until then polars makes numbers while it cuts."""
        self._counting = threading.Lock()
        self._first_missing: tuple[Piece, Sequence[Any]] | None = None
        """The first piece that holds NaN, and the rows and columns of these."""

    def fetch(self, block: Block) -> Pending | None:
        rows = max(block.shape[0], _CELLS // self._layout.table.width)
        size = min(max(rows * self._layout.record, _LEAST), _MOST)
        with self.reads():
            piece = self._text.take(size, rows, self._layout.dialect)
        return None if piece is None else Pending(self._text.newly_read(), partial(self._load, piece))

    def _load(self, piece: Piece, buffer: Buffer) -> Loaded:
        with parsing(self.name, self.kind):
            loaded = self._parsed(piece)
        with np.errstate(over="ignore", invalid="ignore"):
            spoilt = bool(np.isnan(loaded.values.sum()))
        found = np.argwhere(np.isnan(loaded.values))[:MOST_PLACES].tolist() if spoilt else []
        with self._counting:
            self.rows += len(loaded.values)
            if found and (self._first_missing is None or piece.line < self._first_missing[0].line):
                self._first_missing = piece, found
        return loaded

    def _parsed(self, piece: Piece) -> Loaded:
        """Parse the numbers of a piece, (records, columns), and the names of its rows. Raises InputError."""
        layout, columns = self._layout, self._layout.columns
        scores = [*map(str, columns.scores)]
        frame = _cut_by_polars(piece, layout, polars.Float64) if self._plain else None
        if frame is not None:
            values = frame.select(scores).to_numpy()
        else:
            self._plain, frame = False, _cut_by_polars(piece, layout)
            if frame is None:
                _, rows = _cut_by_csv(piece, layout)
                needed = [*columns.scores] if columns.id_at is None else [*columns.scores, columns.id_at]
                frame = frame_of({str(at): [row[at] for row in rows] for at in needed})
            values, refused = numbers(frame.select(scores), comma=layout.dialect.comma)
            if refused:
                lines, rows = _cut_by_csv(piece, layout)
                row, at = refused[0][0], columns.scores[refused[0][1]]
                _refuse_cell(layout, lines[row], at, rows[row][at].strip(" \t"))
        ids = None if columns.id_at is None else frame[str(columns.id_at)].fill_null("").to_list()
        return Loaded(values, ids)

    def missing(self) -> Sequence[str]:
        if self._first_missing is None:
            return ()
        (piece, found), columns = self._first_missing, self._layout.columns
        lines, _ = _cut_by_csv(piece, self._layout)
        return [f"line {lines[row]}, {called(self._layout.table, columns.scores[at])}" for row, at in found]


def _cut_by_polars(piece: Piece, layout: TextLayout, dtype: Any = polars.String) -> Any:
    """Cut a piece into a frame, with scores of a `dtype`; None if polars might see other records than csv."""
    data, dialect = piece.data, layout.dialect
    delimiter, width = dialect.delimiter.encode(), layout.table.width + layout.padded
    if (dialect.comment and dialect.comment.encode() in data) or (b'"' in data and not _quotes_cells(data, delimiter)):
        return None
    if delimiter == b" " and b"\t" in data:  # which a space stands for, too
        return None
    if data.endswith(delimiter):
        data += b"\n"  # else polars ignores a surplus empty cell at the end
    schema = {str(at): polars.String for at in range(width)}  # not the titles: those may occur twice
    schema.update({str(at): dtype for at in layout.columns.scores})
    try:
        frame = polars.read_csv(data, has_header=False, separator=dialect.delimiter, schema=schema)
    except polars.exceptions.PolarsError:
        return None
    nulls = frame.null_count().to_numpy()[0]
    if frame.height != piece.lines or (layout.padded and nulls[-1] < frame.height):
        return None
    if nulls[-1] or (delimiter == b" " and nulls.any()):  # short and blank records have nulls, too
        cells = data.rstrip(b"\n").count(delimiter) + frame.height
        if width == 1 or delimiter == b" " or b'"' in data or cells != frame.height * width:
            return None
    return frame


def _quotes_cells(data: bytes, delimiter: bytes) -> bool:
    """Tell whether each quote begins or ends a cell, or is doubled in one; polars may panic at others."""
    text, beside = np.frombuffer(data, np.uint8), list(delimiter + b'\r\n"')
    quotes = np.flatnonzero(text == ord('"'))
    opening, closing = quotes[::2], quotes[1::2]
    before, after = text[opening[opening > 0] - 1], text[closing[closing < len(text) - 1] + 1]
    return len(quotes) % 2 == 0 and bool(np.isin(before, beside).all() and np.isin(after, beside).all())


def _cut_by_csv(piece: Piece, layout: TextLayout) -> tuple[list[int], list[list[str]]]:
    """Return the lines and the cells of the records of a piece. Raises InputError if one has another width."""
    lines, rows, width = [], [], layout.table.width
    text = decoded(piece.data, piece.line)
    for line, record in records(text, layout.dialect, piece.line):
        if width > 1 and len(record) < 2 and not "".join(record).strip():
            continue  # a blank line
        if layout.padded and len(record) == width + 1 and not record[-1].strip():
            record.pop()
        if len(record) != width:
            _refuse_record(layout, line, record, text.split("\n")[line - piece.line])
        lines.append(line)
        rows.append(record)
    return lines, rows


def _refuse_record(layout: TextLayout, line: int, cells: list[str], raw: str) -> NoReturn:
    dialect, remedy = layout.dialect, "write NaN where a value is missing"
    if not cells:
        raise InputError(f"line {line} is blank", "remove it, or write NaN in it")
    if dialect.comment and dialect.comment in raw:
        remedy += f", or pass {parameter('comment', '')} if {dialect.comment} begins no comment"
    elif layout.reading.delimiter is None:
        remedy += f", or pass {parameter('delimiter')} if it is not {dialect.delimiter!r}"
    what = f"line {line} has {counted(len(cells), 'cell')}, expected {layout.table.width:,} as in line {layout.top}"
    raise InputError(what, remedy)


def _refuse_cell(layout: TextLayout, line: int, at: int, cell: str) -> NoReturn:
    remedy = f"write a number, as 1234{',' if layout.dialect.comma else '.'}5, or NaN where a value is missing"
    if layout.reading.delimiter is not None and layout.table.width == 1:
        remedy = f"pass another {parameter('delimiter')} if it is not {layout.dialect.delimiter!r}, or write a number"
    elif cell.endswith("%"):
        remedy = "remove the percent signs, as with: sed 's/%//g' OLD > NEW"
    elif "," in cell and re.match(COMMA, cell):
        ways = f"pass {parameter('decimal', ',')}" if layout.reading.strict else POINTS
        remedy = f"{ways} if the comma is the decimal mark; else write 1234.5"
    elif layout.table.titles is None and line == layout.line and classified([cell], comma=False)[1] == ["text"]:
        remedy = f"pass {parameter('header', True)} if line {line} names the columns; else {remedy}"
    raise InputError(f"line {line}, {called(layout.table, at)}: {cited(cell)} is not a number", remedy)
