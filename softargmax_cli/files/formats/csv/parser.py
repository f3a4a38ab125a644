"""Pieces of text as numbers: as a whole by polars, or by a look at each cell, which finds the place of what is wrong.

Polars is quick, and works without the interpreter's lock.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from softargmax_cli.errors import InputError, parameter
from softargmax_cli.files.columns import item, shown
from softargmax_cli.files.formats.csv.dialect import Layout
from softargmax_cli.files.formats.csv.records import Piece
from softargmax_cli.files.formats.csv.text import decoded, floats, has_comma, is_grouped, is_percent, load, records
from softargmax_cli.files.source import Loaded
from softargmax_cli.reduction.readable import Buffer

_WORDS = [pad + word for word in ("NA", "na", "N/A", "n/a", "NULL", "null", "Null") for pad in ("", " ")]
"""Words for a missing number; polars reads nan in any case as a number, and an empty cell as a missing one."""
_RUNS = (b"  ", b"\t", b"\n ", b" \n", b" \r")
"""Signs of more than one space between two cells."""
_BLANK = re.compile(rb"(?m)^[ \t\r]*\n")


class FrameParser:
    """Reads pieces of one layout as polars reads CSV; for any number of threads."""

    def __init__(self, layout: Layout) -> None:
        self._layout, dialect = layout, layout.dialect
        self._names = [str(at) for at in range(layout.width)]  # not the header's: those may occur twice
        self._numbers = [self._names[at] for at in layout.scores]
        self._delimiter = dialect.delimiter.encode()
        self._comment = dialect.comment.encode()
        self._comments = re.compile(dialect.comments.pattern.encode() + rb"[^\n]*")
        self._beside_quotes = np.isin(np.arange(256), list(self._delimiter + b'\r\n"'))
        self._end_spaces = re.compile(rb"[ \t]+(?=" + re.escape(self._delimiter) + rb"|[\r\n]|\Z)")
        self._lenient = False  # whether words for what is missing have been seen, or spaces after cells

    def parse(self, piece: Piece, buffer: Buffer) -> Loaded | None:
        """The values of a piece, (records, columns), in `buffer`; None where it takes a look at each cell."""
        data = piece.data
        if data.startswith(BOM_UTF8) or (self._layout.id_at is not None and 0 in data):
            return None  # NUL is a character of a name to polars, and a mark at the start the file's own
        if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
            return None  # a lone carriage return is another
        plain = self._plain(data)
        if not plain:
            return None
        frame = self._frame(plain)
        # Line ends inside quotes make these counts differ, but those are rare enough to be read slowly.
        lines = piece.lines if plain is data else plain.count(b"\n") + 1
        if frame is None or frame.height != lines or self._lacks(frame, plain):
            bare = self._without_blanks(plain)
            return None if bare == plain else self.parse(Piece(bare, piece.line, bare.count(b"\n") + 1, 0), buffer)
        if any(frame[self._names[at]].null_count() < frame.height for at in self._layout.idle):
            return None
        values = buffer.array((len(self._numbers), frame.height), "f8")
        for row, name in zip(values, self._numbers, strict=True):
            row[:] = frame[name].to_numpy()  # NaN where null
        if self._layout.id_at is None:
            return Loaded(values.T)
        if self._lenient:  # by which names, too, may be null
            frame = self._read(plain, [], only=[self._layout.id_at])
        return Loaded(values.T, frame[self._names[self._layout.id_at]].fill_null("").to_list())

    def _plain(self, data: bytes) -> bytes | None:
        """The text without comments, blank lines and repeated spaces; None where only a look at each cell can tell."""
        comments = bool(self._comment) and self._comment in data
        if self._layout.dialect.comma and b"." in data:
            return None
        if b'"' in data and (comments or self._delimiter == b" " or not self._quotes_whole_cells(data)):
            return None  # at a lone quote polars may panic
        if comments:
            data = self._without_blanks(self._comments.sub(b"", data))
        if self._delimiter == b" " and (data[:1] == b" " or data[-1:] == b" " or any(run in data for run in _RUNS)):
            data = re.sub(rb"(?m)^ | (?=\r?$)", b"", re.sub(rb"[ \t]+", b" ", data))
        return data

    def _without_blanks(self, data: bytes) -> bytes:
        """Leave out blank lines, where they are no records of one empty cell, nor parts of a cell."""
        if len(self._names) == 1 or b'"' in data:
            return data
        return _BLANK.sub(b"", data + b"\n")[:-1].rstrip(b"\r\n")

    def _quotes_whole_cells(self, data: bytes) -> bool:
        """Tell whether each quote begins a cell or ends one, or stands beside another inside."""
        text = np.frombuffer(data, np.uint8)
        quotes = np.flatnonzero(text == ord('"'))
        opening, closing = quotes[::2], quotes[1::2]
        before, after = text[opening[opening > 0] - 1], text[closing[closing < len(text) - 1] + 1]
        return len(quotes) % 2 == 0 and bool(self._beside_quotes[before].all() and self._beside_quotes[after].all())

    def _frame(self, data: bytes) -> Any:
        """All columns, with lenience where this piece or one before it wants it; None where that is not enough."""
        polars = load()
        bare = self._layout.id_at is None and b'"' not in data and not self._delimiter.isspace()
        for lenient in (False, True)[self._lenient :]:
            # Without names, quotes and delimiters that are spaces, those after a cell mean nothing.
            text = self._end_spaces.sub(b"", data) if lenient and bare and (b" " in data or b"\t" in data) else data
            if text.endswith(self._delimiter):
                return None  # polars passes over a last empty cell that is one too many
            try:
                frame = self._read(text, self._numbers, _WORDS if lenient else None)
            except polars.exceptions.PolarsError:
                continue
            self._lenient |= lenient
            return frame
        return None

    def _read(
        self, data: bytes, numbers: list[str], missing: list[str] | None = None, only: list[int] | None = None
    ) -> Any:
        polars = load()
        schema: dict[str, Any] = dict.fromkeys(self._names, polars.String)
        schema.update(dict.fromkeys(numbers, polars.Float64))
        dialect = self._layout.dialect
        return polars.read_csv(
            data,
            has_header=False,
            separator=dialect.delimiter,
            schema=schema,
            null_values=missing,
            columns=only,
            **{"decimal_comma": True} if dialect.comma else {},
        )

    def _lacks(self, frame: Any, data: bytes) -> bool:
        """Tell whether a record may be blank or short, which polars fills with nulls."""
        if not frame[self._names[-1]].null_count():
            return False
        cells = data.count(self._delimiter) + frame.height
        return len(self._names) == 1 or b'"' in data or cells != frame.height * len(self._names)


def parse_cells(piece: Piece, layout: Layout, buffer: Buffer) -> Loaded:
    """The piece's values, (records, columns), in `buffer`. Raises InputError with the place of what cannot be read."""
    dialect = layout.dialect
    text = decoded(piece.data, dialect.name, piece.line, piece.offset)
    lines: list[int] = []
    cells: list[str] = []
    ids: list[str] = []
    for line, record in records(text, dialect, piece.line):
        if layout.width > 1 and not "".join(record).strip() and len(record) < 2:
            continue
        if len(record) != layout.width:
            _refuse_record(layout, line, record, text.split("\n")[line - piece.line])
        for at in layout.idle:
            if record[at].strip():
                what = f"line {line}, {layout.called(at)}: {shown(record[at])} stands where the first rows have nothing"
                every = f":{item(layout.table, at - 1)},{item(layout.table, at)}"
                raise InputError(f"{dialect.name}: {what}", f"pass {parameter('columns', every)} to read that column")
        if layout.id_at is not None:
            ids.append(record[layout.id_at])
        cells += [dialect.number(record[at].strip(" \t")) for at in layout.scores]
        lines.append(line)
    numbers, refused = floats(cells)
    if refused:
        row, column = divmod(refused[0], len(layout.scores))
        at = layout.scores[column]
        record = next(record for line, record in records(text, dialect, piece.line) if line == lines[row])
        _refuse_cell(layout, lines[row], at, record[at])
    values = buffer.array((len(layout.scores), len(lines)), "f8")
    np.copyto(values, numbers.reshape(len(lines), len(layout.scores)).T)
    return Loaded(values.T, ids if layout.id_at is not None else None)


def places_of(piece: Piece, layout: Layout, found: Sequence[Sequence[int]]) -> list[str]:
    """Say in which lines and columns the numbers stand that are `found` at these rows and columns of the values."""
    dialect = layout.dialect
    text = decoded(piece.data, dialect.name, piece.line, piece.offset)
    lines = [
        line
        for line, record in records(text, dialect, piece.line)
        if layout.width == 1 or len(record) > 1 or "".join(record).strip()
    ]
    return [f"line {lines[row]}, {layout.called(layout.scores[column])}" for row, column in found]


def _refuse_record(layout: Layout, line: int, cells: list[str], raw: str) -> NoReturn:
    name, dialect = layout.dialect.name, layout.dialect
    if not cells:
        raise InputError(f"{name}: line {line} is blank", "remove it, or write NaN in it")
    found = f"{len(cells)} cell{'s' if len(cells) != 1 else ''}"
    remedy = "write NaN where a value is missing"
    if dialect.comment and dialect.comments.search(raw):
        remedy += f", or pass {parameter('comment', '')} if {dialect.comment} begins no comment"
    elif not dialect.told:
        remedy += f", or pass {parameter('delimiter')} if it is not {_spelled(dialect.delimiter)}"
    raise InputError(f"{name}: line {line} has {found}, expected {layout.width} as in line {layout.top}", remedy)


def _spelled(delimiter: str) -> str:
    return "a space" if delimiter == " " else repr(delimiter)


def _refuse_cell(layout: Layout, line: int, at: int, cell: str) -> NoReturn:
    dialect, cell = layout.dialect, cell.strip(" \t")
    remedy = "write a number, or NaN where a value is missing"
    if dialect.told and layout.width == 1:
        remedy = f"pass another {parameter('delimiter')} if it is not {_spelled(dialect.delimiter)}, or write a number"
    elif dialect.comma and ("." in cell or "," in cell):
        remedy = f"write 1.234,5; leave out {parameter('decimal')} if the point is the decimal mark"
    elif is_percent(cell):
        remedy = "remove the percent signs, as with: sed 's/%//g' OLD > NEW"
    elif has_comma(cell):
        remedy = f"pass {parameter('decimal', ',')} if the comma is the decimal mark; else write 1234.5"
    elif is_grouped(cell):
        remedy = "write 1234.5, without separators between thousands"
    elif layout.table.titles is None and line == layout.line and dialect.kind(cell) == "text":
        remedy = f"pass {parameter('header', True)} if line {line} names the columns; else {remedy}"
    elif layout.chosen and dialect.kind(cell) == "text":
        remedy = f"leave a column of text out of {parameter('columns')}; else {remedy}"
    raise InputError(f"{dialect.name}: line {line}, {layout.called(at)}: {shown(cell)} is not a number", remedy)
