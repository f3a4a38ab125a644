"""A look at each cell, where polars refuses a piece of text as a whole: its numbers, or the place of what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from softargmax_cli.errors import InputError, parameter
from softargmax_cli.files.columns import item, shown
from softargmax_cli.files.formats.csv.dialect import Layout
from softargmax_cli.files.formats.csv.numbers import floats
from softargmax_cli.files.formats.csv.records import Piece
from softargmax_cli.files.formats.csv.text import decoded, has_comma, is_grouped, is_percent, records
from softargmax_cli.files.source import Loaded
from softargmax_cli.reduction.readable import Buffer


def parse(piece: Piece, layout: Layout, buffer: Buffer) -> Loaded:
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


def places(piece: Piece, layout: Layout, found: Sequence[Sequence[int]]) -> list[str]:
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
    elif layout.titles is None and line == layout.line and dialect.kind(cell) == "text":
        remedy = f"pass {parameter('header', True)} if line {line} names the columns; else {remedy}"
    elif layout.chosen and dialect.kind(cell) == "text":
        remedy = f"leave a column of text out of {parameter('columns')}; else {remedy}"
    raise InputError(f"{dialect.name}: line {line}, {layout.called(at)}: {shown(cell)} is not a number", remedy)
