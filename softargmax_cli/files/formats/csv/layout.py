"""Find the layout of delimited text, by options or its first rows: the delimiter, the header, and the columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import InputError, counted, parameter
from softargmax_cli.files.columns import SAMPLE, Columns, Table, choose
from softargmax_cli.files.formats.csv.cells import Dialect, classified, decoded, records
from softargmax_cli.files.formats.csv.text import Text
from softargmax_cli.files.reading import Reading, column_ranges

DELIMITERS = ",\t;| "
"""Delimiters that are tried; of two that explain a file equally well, the first wins."""
_HEAD = 1 << 20
"""Bytes of the first rows that are examined, unless two records have more."""
_SNIFFED = 10
"""The number of first records that tell the delimiter."""
_ENOUGH = 1000
"""The number of first cells of a record that tell its delimiter."""
_CELLS = 1 << 16
"""Cells of the first rows that are examined, unless two records have more."""
YEARS = range(1900, 2101)
EVEN = 5
"""The least numbers in equal steps in a first row that may be a header."""
POINTS = "write decimal points, as with sed 's/,/./g' OLD > NEW,"
WAYS = f"pass {parameter('header', True)} if it names the columns, {parameter('header', False)} if not"

Float = npt.NDArray[np.float64]
Record = tuple[int, list[str]]
"""The line on which a record begins, and its cells."""


@dataclass(frozen=True, slots=True)
class TextLayout:
    """The layout of a text: the way its records are cut, and the meaning of their cells."""

    reading: Reading
    dialect: Dialect
    table: Table
    columns: Columns
    padded: bool
    """True if each record ends with a delimiter, and so with a surplus empty cell."""
    record: int
    """The approximate number of bytes of a record."""
    line: int
    """The line of the first record below the header."""
    top: int
    """The line that tells the width."""


def find_layout(text: Text, name: str, reading: Reading) -> TextLayout:
    """Find the layout of a text at its start, and move it to the first row below the header.

    Raises InputError if there are no rows, or if they may be read in two ways; OptionError if an option does not fit.
    """
    text.skip(reading.skip or 0)
    dialect, sample, size = _first_records(text, reading)
    if not sample:
        if reading.skip:
            raise InputError(f"{parameter('skip', reading.skip)} leaves nothing of the file", "skip fewer lines")
        raise InputError("the file is empty")
    (line, first), below = sample[0], sample[1:]
    cells = Counter(len(record) for _, record in below or sample).most_common(1)[0][0]
    ends = [record[-1].strip() for _, record in below or sample if len(record) == cells]
    padded = cells > 1 and not any(ends) and not (len(first) == cells and first[-1].strip())
    width, names = cells - padded, list[int]()
    if len(first) == width + 1 and not first[-1].strip():
        first = first[:-1]
    first = [cell.strip() for cell in first]
    kinds, header = classified(first, comma=dialect.comma)[1], reading.header
    above = bool(below) and len(below[0][1]) == cells
    if len(first) < width:
        _refuse_cut_header(text, dialect, sample, width)
    if len(first) == width - 1 and above and header is not False and {"number", "odd"}.isdisjoint(kinds):
        if dialect.delimiter == "," and reading.delimiter is None:
            _refuse_decimal_commas(text, below, line, reading)
        first, names, header = ["", *first], [0], True  # as R writes it
    if len(first) != width:
        _refuse_preamble(sample, cells)
        cells = width = len(first)
    rows = [record[:width] for _, record in below if len(record) == cells]
    values, texts = _looked_at(rows or [first], dialect)
    if header is None and not rows:
        header = {*kinds} <= {"text", "empty"}
    elif header is None:
        asked = {cell for pair in column_ranges((reading.columns or ":").removeprefix("^")) for cell in pair}
        named = any(cell in first and not cell.isdecimal() for cell in {*asked, reading.id_column} if cell is not None)
        header = named or _is_header(line, first, kinds, values, texts, ask=reading.strict)
    if not header and rows:
        values, texts = _looked_at([first, *rows], dialect)
    if header and not rows:
        told = f", and give no {parameter('header', True)} if line {line} is one" if reading.header else ""
        told += f", or {_uncommented(dialect)}" if below and _has_comments(text, dialect) else ""
        raise InputError(f"line {line} is a header, and no rows follow it", f"write the rows below it{told}")
    if header and width > 1 and not first[0]:
        names = [0]  # as pandas and R write it
    titles = tuple(first) if header else None
    table = Table(name, "csv", titles, texts, names, values)
    columns = choose(table, reading)
    plain = not header and len(rows) > 0 and width > 1
    if plain and reading.header is None and reading.strict and _resembles_titles(first, values):
        columns.notes.append(f"line 1 is read as numbers; {WAYS}")
    if padded:
        columns.notes.append(f"lines end with {dialect.delimiter!r}, behind which no column is read")
    if _has_comments(text, dialect):
        columns.notes.extend(_commented_rows(text, dialect, line, cells))
    begin = below[0][0] if header else line
    text.skip(begin - text.line)
    top = next(line for line, record in sample if len(record) == cells)
    return TextLayout(reading, dialect, table, columns, padded, size, begin, top)


def _first_records(text: Text, reading: Reading) -> tuple[Dialect, list[Record], int]:
    """Find the dialect, the first records, at least two if there are as many, and the mean length of a record."""
    delimiter = reading.delimiter or _separator(text)
    comment = "#" if reading.comment is None else reading.comment
    dialect = Dialect(delimiter or ",", comment, comma=reading.decimal == ",")
    text.fill(_HEAD)
    while True:
        head = decoded(text.held if text.ended else text.held[: text.held.rfind(b"\n") + 1], text.line)
        if delimiter is None:
            dialect = replace(dialect, delimiter=_sniffed(head, dialect, complete=text.ended))
        sample = _sample(head, dialect, SAMPLE + 1, text.line, complete=text.ended)
        if len(sample) > 1 or text.ended:
            return dialect, sample, len(head) // max(1, head.count("\n"))
        text.grow()


def _separator(text: Text) -> str | None:
    """Skip the line by which Excel tells the delimiter, and return the delimiter."""
    text.fill(16)
    found = re.match(rb'(?i)"?sep=([^\r\n\x80-\xff])"?\r?\n', text.held)
    if found is not None:
        text.skip(1)
    return found and found[1].decode()


def _sample(head: str, dialect: Dialect, most: int, line: int = 1, *, complete: bool) -> list[Record]:
    """Return the first records that are not blank; if the text goes on, without the last, which may be cut."""
    sample: list[Record] = []
    count = 0
    for begin, cells in records(head, dialect, line, cut=not complete):
        if len(sample) >= most or (len(sample) >= 2 and count > _CELLS):
            return sample
        if len(cells) > 1 or "".join(cells).strip():
            sample.append((begin, cells))
            count += len(cells)
    return sample if complete else sample[:-1]


def _sniffed(head: str, dialect: Dialect, *, complete: bool) -> str:
    """Find the delimiter that explains the first records best: it gives all as many cells, and numbers in them."""
    best, found = 0.0, ";" if dialect.comma and '"' not in head else ","  # cells with commas are quoted
    for delimiter in DELIMITERS:
        there = delimiter in head or (delimiter == " " and "\t" in head)
        if not there or (delimiter == "," and dialect.comma):
            continue
        tried = replace(dialect, delimiter=delimiter)
        try:
            sample = [cells for _, cells in _sample(head, tried, _SNIFFED, complete=complete)]
        except InputError:
            continue  # an open quote: the true delimiter fails likewise, or this is none
        width, alike = Counter(map(len, sample)).most_common(1)[0] if sample else (0, 0)
        if width < 2:
            continue
        _, kinds = classified([cell for record in sample[1:] or sample for cell in record[:_ENOUGH]], comma=tried.comma)
        numbers = len(kinds) - kinds.count("text") - 0.5 * kinds.count("empty")
        score = alike / len(sample) * (0.01 + numbers / len(kinds))  # a text of only names has no numbers
        if score > best:
            best, found = score, delimiter
    return found


def _looked_at(rows: Sequence[list[str]], dialect: Dialect) -> tuple[Float, frozenset[int]]:
    """Make numbers of some records, (records, columns), and find the columns that hold mostly text."""
    values, kinds = classified([*chain.from_iterable(rows)], comma=dialect.comma)
    found = np.array(kinds).reshape(len(rows), -1)
    texts = (found == "text").sum(0) > ((found == "number") | (found == "odd")).sum(0)
    return values.reshape(found.shape), frozenset(np.flatnonzero(texts).tolist())


def _refuse_preamble(sample: Sequence[Record], cells: int) -> None:
    """Raise InputError if lines of text stand above a table with this number of cells in each record."""
    begin = next(at for at, (_, record) in enumerate(sample) if len(record) == cells)
    if cells > 1 and len(sample) > begin + 1 and all(len(record) == cells for _, record in sample[begin:]):
        (line, first), below = sample[0], sample[begin][0]
        what = f"line {line} has {counted(len(first), 'cell')}, expected {cells:,} as in line {below}"
        raise InputError(what, f"pass {parameter('skip', below - 1)} if the table begins at line {below}")


def _refuse_cut_header(text: Text, dialect: Dialect, sample: Sequence[Record], width: int) -> None:
    """Raise InputError if a comment ends the first record, which has fewer cells than the rows below."""
    line, first = sample[0]
    if dialect.comment and dialect.comment.encode() in _line(text, line):
        what = f"line {line} has {counted(len(first), 'cell')} before {dialect.comment}, expected {width}"
        raise InputError(what, f"{_uncommented(dialect)}; else write the comment on a line of its own")


def _refuse_decimal_commas(text: Text, rows: Sequence[Record], line: int, reading: Reading) -> None:
    """Raise InputError if the rows below a header of one cell may be numbers with decimal commas."""
    below, cells = rows[0]
    whole = all(len(_integers(record)) == len(record) for _, record in rows)
    if len(cells) == 2 and whole and b'"' not in _line(text, below):  # R quotes the names of rows
        what = f"line {line} has 1 cell and line {below} has 2, as if its comma were a decimal mark"
        other = f"pass {parameter('decimal', ',')}" if reading.strict else POINTS
        raise InputError(what, f"{other} if it is; else title both columns")


def _line(text: Text, line: int) -> bytes:
    """Return a line of the text that is held, by its number in the file."""
    return text.held.split(b"\n", line - text.line + 1)[line - text.line]


def _has_comments(text: Text, dialect: Dialect) -> bool:
    return bool(dialect.comment) and dialect.comment.encode() in text.held


def _uncommented(dialect: Dialect) -> str:
    return f"pass {parameter('comment', '')} if {dialect.comment} begins no comment"


def _commented_rows(text: Text, dialect: Dialect, line: int, cells: int) -> list[str]:
    """Note the first comment below a line, among the rows examined, that has as many cells as a row, if any."""
    below = text.held[: text.held.rfind(b"\n") + 1].split(b"\n", line - text.line + 1)[-1].decode()
    for found in dialect.noise.finditer(below) if cells > 1 else ():
        delimiter = None if dialect.delimiter == " " else dialect.delimiter
        if found.lastgroup == "line" and len(found[0].split(delimiter)) == cells:
            at = line + 1 + below.count("\n", 0, found.start())
            left_out = f"line {at} begins with {dialect.comment} and is left out, as all such lines"
            return [f"{left_out}; {_uncommented(dialect)}"]
    return []


def _is_header(
    line: int, first: Sequence[str], kinds: Sequence[str], values: Float, texts: Collection[int], *, ask: bool
) -> bool:
    """Tell whether the first record, of cells of some kinds, names the columns. Raises InputError if it is unclear.

    A header has text and no number above columns of numbers, or, as pandas and R write it, an empty or a text cell
    above names or whole numbers, then consecutive whole numbers. Other numbers are a row.
    """
    looked = [at for at in range(len(first)) if at not in texts]
    here = {kinds[at] for at in looked}
    if "text" in here and here.isdisjoint(("number", "odd")):
        return True
    rest = [at for at in looked if at > 0]
    either = False
    if kinds[0] in ("empty", "text") and (0 in texts or _whole(values[:, 0])) and _counts([first[at] for at in rest]):
        if kinds[0] == "empty" or 0 not in texts or not _whole(values[:, rest]):
            return True
        either = len(rest) > 1
    if counted := _integers([first[at] for at in looked]):
        below = values[:, looked]
        years = len(counted) > 1 and counted == sorted({*counted} & {*YEARS})
        either |= years and bool(((below < YEARS[0]) | (below > YEARS[-1])).any())
        either |= len(counted) > 2 and _counts([first[at] for at in looked]) and not _whole(below)
    if either and ask:
        few = ", ".join(first[at] for at in looked[:4]) + (", ..." if len(looked) > 4 else "")
        raise InputError(f"line {line}: {few} may be titles of the columns or numbers of the first row", WAYS)
    return False


def _integers(cells: Sequence[str]) -> list[int]:
    """Read cells as whole numbers without a sign; return an empty list if one is not."""
    whole = all(cell.isascii() and cell.isdecimal() and len(cell) < 16 for cell in cells)
    return [int(cell) for cell in cells] if whole else []


def _counts(cells: Sequence[str]) -> bool:
    """Tell whether cells are consecutive whole numbers."""
    counted = _integers(cells)
    return bool(counted) and counted == [*range(counted[0], counted[0] + len(counted))]


def _resembles_titles(first: Sequence[str], values: Float) -> bool:
    """Tell whether the first row counts from 0, or alone rises or falls in equal steps."""
    if _integers(first) == [*range(len(first))]:
        return True
    with np.errstate(invalid="ignore"):  # for infinities
        steps = np.diff(values, axis=1)
        even = (np.isclose(steps, steps[:, :1], rtol=1e-3, atol=0) & (steps != 0)).all(axis=1)
    return len(first) >= EVEN and bool(even[0] and not even[1:].any())


def _whole(numbers: Float) -> bool:
    """Tell whether there are numbers, and all are whole."""
    known = numbers[np.isfinite(numbers)]
    return known.size > 0 and not (known % 1).any()
