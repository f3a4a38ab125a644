"""How a file of delimited text is laid out: told, or found from its first rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import InputError, parameter
from softargmax_cli.files.columns import Table, called, items
from softargmax_cli.files.formats.csv.header import UNTOLD, counts, has_header
from softargmax_cli.files.formats.csv.records import LONGEST, Records, trimmed
from softargmax_cli.files.formats.csv.text import Dialect, decoded, floats, records
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.scores import SAMPLE, Columns, choose

DELIMITERS = ",\t;| "
"""Delimiters that are looked for; of two that explain a file equally well, the first wins."""
_HEAD = 1 << 20
"""Bytes of the first rows that are looked at, unless two records have more."""
_SNIFFED = 10
"""Records that tell the delimiter."""
_CELLS = 1 << 18
"""Cells of the first rows that are looked at, unless two records have more."""
_ENOUGH = 1000
"""Cells of a record that tell what delimits it."""
_SEP = re.compile(rb'"?sep=([^\r\n])"?\r?\n', re.IGNORECASE)

Record = tuple[int, list[str]]
"""The line on which a record begins, and its cells."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a text and how its cells are written, as its first rows say."""

    dialect: Dialect
    table: Table
    columns: Columns
    idle: frozenset[int]
    """Positions of the columns that are left out as nothing is in them."""
    record: int
    """About how many bytes a record takes."""
    line: int
    """The line of the first record that is no header."""
    top: int
    """The line that tells the width."""
    chosen: bool
    """True where --columns chose the columns."""

    @property
    def width(self) -> int:
        """Cells in each record."""
        return self.table.width

    @property
    def scores(self) -> Sequence[int]:
        """Positions of the columns of numbers that are read."""
        return self.columns.scores

    @property
    def id_at(self) -> int | None:
        """Position of the column that names the rows."""
        return self.columns.id_at

    def called(self, at: int) -> str:
        """A column for an error."""
        return called(self.table, at)


def find_layout(stream: Records, reading: Reading) -> Layout:
    """Find the layout of a stream at its start, which is left at the first row below the header.

    Raises InputError where the file is empty, not text, or may be read in two ways; OptionError where an option does
    not fit it.
    """
    name = stream.name
    stream.begin(reading.skip or 0)
    delimiter = reading.delimiter or _separator(stream)
    dialect = Dialect(
        name, delimiter or ",", reading.comment_mark, reading.decimal == ",", reading.delimiter is not None
    )
    text, dialect, sample = _head(stream, dialect, delimiter)
    if not sample:
        raise InputError(f"{name}: the file is empty" if not reading.skip else f"{name}: no line is left to read")
    width, titles, names = _width(sample, dialect, reading, text, stream.line)
    header = titles is not None
    first = [cell.strip() for cell in sample[0][1]]
    rows = [cells for _, cells in sample if len(cells) == width]
    if not header:
        known = _numbers(rows[1:] or rows, dialect)
        outside = _not_looked_at(reading, first)
        header = reading.header if reading.header is not None else outside is None
        if reading.header is None and outside is not None:
            header = has_header(dialect, sample[0], rows[1:], known, outside, ask=reading.judged)
        titles = tuple(first) if header else None
        rows = rows[1:] if header else rows
    if header and not rows:
        told = f", and give no {parameter('header', True)} if line {sample[0][0]} is one" if reading.header else ""
        raise InputError(
            f"{name}: line {sample[0][0]} is a header, and no rows follow it", f"write the rows below it{told}"
        )
    table = _table(name, dialect, titles, rows, names)
    columns = choose(table, reading)
    if not header and reading.header is None and reading.judged and counts(first) and rows[1:]:
        columns = replace(columns, notes=(*columns.notes, UNTOLD))
    line = sample[1][0] if header else sample[0][0]
    stream.skip_lines(line - stream.line)
    record = len(text) // max(1, text.count("\n"))
    idle = frozenset(table.idle) - {columns.id_at, *columns.scores}
    top = next(line for line, cells in sample if len(cells) == width)
    return Layout(dialect, table, columns, idle, record, line, top, reading.columns is not None)


def _table(
    name: str, dialect: Dialect, titles: tuple[str, ...] | None, rows: Sequence[list[str]], names: Sequence[int]
) -> Table:
    """Describe the columns by the first rows."""
    width = len(rows[0])
    numbers, texts = _numbers(rows, dialect)
    last = width - 1
    untitled = width > 1 and not (titles and titles[last])
    idle = (
        (last,) if untitled and not any(row[last].strip() for row in rows) else ()
    )  # as a delimiter at the end makes it
    if not names and titles and width > 1 and not titles[0] and 0 not in idle:
        names = (0,)  # as pandas and R write it
    return Table(name, width, titles, texts, names, lambda positions: numbers[:, list(positions)], idle)


def _numbers(rows: Sequence[list[str]], dialect: Dialect) -> tuple[npt.NDArray[np.float64], frozenset[int]]:
    """The numbers of some records, (records, columns), and the positions of the columns that hold text for the most."""
    width = len(rows[0])
    flat, refused = floats([dialect.number(cell.strip(" \t")) for row in rows for cell in row])
    odd: Counter[int] = Counter()
    texts: Counter[int] = Counter()
    for place in refused:
        row, at = divmod(place, width)
        kind = dialect.kind(rows[row][at])
        texts[at] += kind == "text"
        odd[at] += kind == "odd"
    numbers = flat.reshape(-1, width)
    known = np.count_nonzero(~np.isnan(numbers), axis=0)
    return numbers, frozenset(at for at, count in texts.items() if count > known[at] + odd[at])


def _not_looked_at(reading: Reading, first: Sequence[str]) -> frozenset[int] | None:
    """Positions of line 1 that tell nothing of a header; None where an option names a column by its title there."""
    outside: set[int] = set()
    if reading.id_column is not None:
        if reading.id_column.isdecimal() and 1 <= int(reading.id_column) <= len(first):
            outside.add(int(reading.id_column) - 1)
        elif reading.id_column in first:
            return None
    if reading.columns is not None:
        named = [each for ends in items(reading.columns.removeprefix("^")) for each in ends if each is not None]
        if any(each in first and not each.isdecimal() for each in named):
            return None
    return frozenset(outside)


def _width(
    sample: Sequence[Record], dialect: Dialect, reading: Reading, text: str, start: int
) -> tuple[int, tuple[str, ...] | None, tuple[int, ...]]:
    """The number of cells in a record; titles and the column of names where a header has one cell less, or more.

    Raises InputError where lines of text stand above the table.
    """
    widths = [len(cells) for _, cells in sample]
    most = widths[-1] if len(widths) < 3 else Counter(widths[1:]).most_common(1)[0][0]
    line, first = sample[0]
    if widths[0] == most or most < 2 or widths[1:].count(most) < len(widths[1:]) // 2:
        return widths[0], None, ()
    begin = widths.index(most)
    rows = [cells for _, cells in sample[begin:] if len(cells) == most]
    kinds = {dialect.kind(cell) for cell in first}
    if begin == 1 and widths[0] == most - 1 and reading.header is not False and kinds <= {"text", "empty", "missing"}:
        titles = tuple(cell.strip() for cell in first)
        if not any(cells[-1].strip() for cells in rows):
            return most, (*titles, ""), ()
        return most, ("", *titles), (0,)  # as R writes it
    if begin == 1 and widths[0] == most + 1 and not first[-1].strip() and reading.header is not False:
        return most, tuple(cell.strip() for cell in first[:-1]), ()
    cells = f"{widths[0]} cell{'s' if widths[0] > 1 else ''}"
    what = f"line {line} has {cells}, expected {most} as in line {sample[begin][0]}"
    raw = text.split("\n")[line - start]
    if dialect.comment and dialect.comments.search(raw):
        remedy = f"pass {parameter('comment', '')} if {dialect.comment} begins no comment"
    elif widths[begin:].count(most) < 2 or widths[begin:].count(most) < len(widths[begin:]):
        return widths[0], None, ()
    else:
        below = sample[begin][0]
        remedy = f"pass {parameter('skip', below - 1)} if the table begins at line {below}"
    raise InputError(f"{dialect.name}: {what}", remedy)


def _separator(stream: Records) -> str | None:
    """Take the line by which Excel tells the delimiter, and return that."""
    stream.fill(16)
    found = _SEP.match(stream.held)
    if found is None or not found[1].isascii():
        return None
    stream.skip_lines(1)
    return found[1].decode()


def _head(stream: Records, dialect: Dialect, delimiter: str | None) -> tuple[str, Dialect, list[Record]]:
    """The first lines, their dialect and records: at least two, unless the stream has less."""
    size = _HEAD
    while True:
        stream.fill(size)
        held = len(stream.held)
        # Two records and the begin of a third take as many lines; before that there is no use in looking.
        if stream.ended or held >= LONGEST or stream.held.count(b"\n") > 2:
            # That of a header may be the only line end.
            end = trimmed(stream.held, held) if stream.ended else stream.held.rfind(b"\n") + 1
            text = decoded(stream.held[:end], stream.name, stream.line, stream.offset)
            if delimiter is None:
                dialect = replace(dialect, delimiter=_sniffed(text, stream.ended, dialect))
            sample = _sample(text, stream.ended, dialect, SAMPLE + 1, stream.line)
            if stream.ended:  # in a quote that is never closed, what follows would look like a header
                stream.border(dialect.delimiter)
            if len(sample) >= 2 or stream.ended:
                return text, dialect, sample
            if held >= LONGEST:
                raise stream.too_long(stream.held.count(b"\n", 0, stream.border(dialect.delimiter)))
        size = 2 * max(size, held)


def _sample(text: str, complete: bool, dialect: Dialect, most: int, line: int = 1) -> list[Record]:
    """The first records that are not blank; where the text goes on, not the last, which may be cut inside a quote."""
    sample: list[Record] = []
    count = 0
    for begin, cells in records(text, dialect, line):
        if len(sample) >= most or (len(sample) >= 2 and count > _CELLS):
            return sample
        if cells and (len(cells) > 1 or cells[0].strip()):
            sample.append((begin, cells))
            count += len(cells)
        del cells
    return sample if complete else sample[:-1]


def _sniffed(text: str, complete: bool, dialect: Dialect) -> str:
    """The delimiter that explains the records best; the one that the name speaks of, where it cuts them all alike."""
    best, found = 0.0, ","
    named = dialect.name.lower().removesuffix(".gz").endswith((".tsv", ".tab"))
    for delimiter in DELIMITERS:
        if (delimiter not in text and (delimiter != " " or "\t" not in text)) or (delimiter == "," and dialect.comma):
            continue
        tried = replace(dialect, delimiter=delimiter)
        try:
            sample = [cells for _, cells in _sample(text, complete, tried, _SNIFFED)]
        except InputError:
            continue  # cells without end: not the delimiter, or the one that is says so
        if not sample:
            continue
        width, alike = Counter(map(len, sample)).most_common(1)[0]
        kinds = [tried.kind(cell) for record in sample[1:] or sample for cell in record[:_ENOUGH]]
        numbers = len(kinds) - kinds.count("text") - 0.5 * kinds.count("empty")
        # A delimiter cuts all records into as many cells, and leaves numbers; a text of only names has none of these.
        score = alike / len(sample) * (0.01 + numbers / len(kinds)) if width > 1 else 0.0
        if score and alike == len(sample) and named and delimiter == "\t":
            return delimiter
        if score > best:
            best, found = score, delimiter
    return found
