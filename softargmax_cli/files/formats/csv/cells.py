"""Cells as numbers in plain Python: exact about every error, and quick enough for small files."""

from __future__ import annotations

import csv
import math
import re
from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from softargmax_cli.errors import InputError
from softargmax_cli.files.formats.csv.records import quoted
from softargmax_cli.files.source import Loaded
from softargmax_cli.reduction.readable import Buffer

if TYPE_CHECKING:
    from softargmax_cli.files.formats.csv.dialect import Layout
    from softargmax_cli.files.formats.csv.records import Piece

MISSING = frozenset({"", "na", "n/a", "null", "nan"})
"""Cells without a value, in lower case."""

_GROUPED = re.compile(r"[+-]?\d+([.,'_ \u00a0\u202f]\d+)+([eE][+-]?\d+)?", re.ASCII)
_SAMPLE = 100
"""How many more records are looked at to tell a column of text from a slip."""


def number(cell: str) -> float:
    """The cell's value, NaN where it is missing; ValueError where it is neither."""
    try:
        value = float(cell)
    except ValueError:
        if is_missing(cell):
            return math.nan
        raise
    if "_" in cell or not cell.isascii():  # Python reads 1_000 and digits of other scripts
        raise ValueError(cell)
    return value


def is_number(cell: str) -> bool:
    """Whether the cell holds a number, or is missing."""
    try:
        number(cell)
    except ValueError:
        return False
    return True


def is_missing(cell: str) -> bool:
    """Whether the cell has no value, or says so."""
    return cell.strip().lower() in MISSING


def is_grouped(cell: str) -> bool:
    """Whether the cell is a number with a decimal comma or thousands separators."""
    return _GROUPED.fullmatch(cell.strip()) is not None and not is_number(cell)


def shown(cell: str) -> str:
    """The cell for an error: quoted, control characters escaped, cut to about 40 characters."""
    return repr(cell if len(cell) <= 40 else cell[:37] + "...")


def decoded(data: bytes, name: str, line: int, offset: int) -> str:
    """The text of `data`, which begins at `line` and `offset` of the file; InputError where it is not text."""
    nul = data.find(0)
    if nul >= 0:
        place = f"line {line + data.count(10, 0, nul)}, byte {offset + nul}"
        raise InputError(
            f"{name}: {place}: a NUL byte, so the file is not UTF-8 text",
            "save it as text or .npy; UTF-16 is converted with: iconv -f UTF-16 -t UTF-8 OLD > NEW",
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        place = f"line {line + data.count(10, 0, error.start)}, byte {offset + error.start}"
        raise InputError(
            f"{name}: {place}: 0x{data[error.start]:02x} is not UTF-8",
            "convert the file, as with: iconv -f LATIN1 -t UTF-8 OLD > NEW",
        ) from None


def records(text: str, delimiter: str, name: str, line: int = 1) -> Iterator[tuple[int, list[str]]]:
    """Each record and the line on which it begins; a blank line is an empty record."""
    reader = csv.reader(_lines(text), delimiter=delimiter)
    first = line
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "new-line" in str(error):
                raise InputError(
                    f"{name}: line {line}: a carriage return without a line feed",
                    "convert the line ends, as with: tr '\\r' '\\n' < OLD > NEW",
                ) from None
            what = f"{name}: line {line}: {error}"
            raise InputError(what, "check the delimiter, and that every quote is closed") from None
        yield line, cells
        del cells  # those of a wide record take much memory, while the next ones are made
        line = first + reader.line_num


def _lines(text: str) -> Iterator[str]:
    """The lines with their line feeds, as io.StringIO has them, which would take four bytes for each character."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def parse(piece: Piece, layout: Layout, buffer: Buffer) -> Loaded:
    """The piece's values, shape (records, columns), in `buffer`; InputError names the place of what cannot be read."""
    text = decoded(piece.data, layout.name, piece.line, piece.offset)
    plain = text.isascii() and "_" not in text
    rows: list[array[float]] = []
    ids: list[str] = []
    following = records(text, layout.delimiter, layout.name, piece.line)
    for line, cells in following:
        if len(cells) != layout.width:
            if next(following, None) is None:
                _refuse_lone_quote(layout, piece)
            _refuse_record(layout, line, cells)
        if layout.id_at is not None:
            ids.append(cells[layout.id_at])
            del cells[layout.id_at]
        try:
            rows.append(array("d", map(float if plain else number, cells)))
        except ValueError:
            rows.append(_row(layout, line, cells, following, rows, ids))
        del cells
    values = buffer.array((len(layout.columns), len(rows)), "f8")
    for at, row in enumerate(rows):
        values[:, at] = np.frombuffer(row, "f8")
    return Loaded(values.T, ids if layout.id_at is not None else None)


def _row(
    layout: Layout,
    line: int,
    cells: list[str],
    following: Iterator[tuple[int, list[str]]],
    above: Sequence[array[float]],
    ids: Sequence[str],
) -> array[float]:
    """The numbers of a record that has missing cells; InputError where a cell is text.

    above: those of the records before it in the piece; ids: their names, and its own.
    """
    row = array("d")
    for k, (at, cell) in enumerate(zip(layout.columns, cells, strict=True)):
        if layout.delimiter == " " and not cell:
            refuse_spaces(layout.name, line)
        try:
            row.append(number(cell))
        except ValueError:
            below = [record[at] for _, record in islice(following, _SAMPLE) if at < len(record)]
            below = [other for other in below if not is_missing(other)]
            numbers = any(map(is_number, below)) or not all(math.isnan(values[k]) for values in above[-_SAMPLE:])
            # With nothing else in the whole column, it may well be one of names; with nothing else here, it is a slip.
            names = not numbers and (bool(below) or line - len(above) <= 2)
            _refuse_cell(layout, line, at, cell, names, all(map(is_number, ids)))
    return row


def refuse_spaces(name: str, line: int) -> NoReturn:
    """For a line whose cells are set apart by more than one space, where the delimiter is one."""
    raise InputError(
        f"{name}: line {line} has repeated, leading or trailing spaces, and the delimiter is one space",
        "make them single, as with: sed 's/^ *//; s/ *$//; s/  */ /g' OLD > NEW",
    )


def _refuse_record(layout: Layout, line: int, cells: list[str]) -> NoReturn:
    if not cells:
        raise InputError(f"{layout.name}: line {line} is blank", "remove it, or write NaN in each of its cells")
    if layout.delimiter == " " and "" in cells:
        refuse_spaces(layout.name, line)
    found = f"{len(cells)} cell{'s' if len(cells) != 1 else ''}"
    told = "" if layout.told else f", or pass --delimiter if it is not {layout.delimiter!r}"
    remedy = f"write NaN where a value is missing{told}"
    if layout.header is not None and layout.header[0].startswith("#"):
        remedy = "line 1 is read as names of columns, the # as one: remove it, or the line if it is a comment"
    raise InputError(f"{layout.name}: line {line} has {found}, expected {layout.width} as in line 1", remedy)


def _refuse_cell(
    layout: Layout, line: int, at: int, cell: str, column_is_text: bool, ids_are_numbers: bool
) -> NoReturn:
    title = layout.header[at] if layout.header else ""
    where = f"line {line}, column {at + 1}" + (f" ({shown(title)})" if title else "")
    if layout.told and layout.width == 1:
        remedy = f"pass another --delimiter if it is not {layout.delimiter!r} that separates cells, or write a number"
    elif is_grouped(cell):
        remedy = "write 1234.5: thousands separators and decimal commas are not read"
    elif layout.header is None and line == 1:
        remedy = "pass --header if line 1 names the columns"
        if column_is_text and layout.id_at is None:
            remedy += f", --id-column {at + 1} if column {at + 1} names the rows"
    elif column_is_text and layout.id_at is None:
        remedy = f"pass --id-column {option_for(layout, at)} if this column names the rows"
    elif column_is_text and ids_are_numbers:
        remedy = f"pass --id-column {option_for(layout, at)} instead, if this column names the rows"
    elif column_is_text:
        remedy = "remove the column: only one column can name the rows"
    else:
        remedy = "write a number, or NaN where a value is missing"
    raise InputError(f"{layout.name}: {where}: {shown(cell)} is not a number", remedy)


def _refuse_lone_quote(layout: Layout, piece: Piece) -> None:
    """Raise InputError where quotes outside of quoted cells hide that the last record of the piece is not complete.

    `Records.border` counts quotes, so that an odd number of lone ones and one that opens a cell look like a pair.
    """
    held = piece.data
    lone, end = -1, 0
    for cell in quoted(layout.delimiter).finditer(held):
        if lone < 0:
            lone = held.find(b'"', end, cell.start())
        end = cell.end()
        if lone >= 0 and not cell.group(1):
            first, open_on = (piece.line + held.count(b"\n", 0, at) for at in (lone, cell.start()))
            raise InputError(
                f"{layout.name}: line {first} holds a quote in a cell that does not begin with one, "
                f"so the end of the quoted cell on line {open_on} cannot be found",
                f'write that cell of line {first} in quotes, and each quote in it as ""',
            )


def option_for(layout: Layout, at: int) -> str:
    """A column as a person types it after --id-column: by name where that is one plain word."""
    title = layout.header[at] if layout.header else ""
    plain = re.fullmatch(r"\w[\w.-]*", title) and not title.isdigit() and len(title) <= 40
    return title if plain and layout.header and layout.header.count(title) == 1 else str(at + 1)
