"""Columns of a table by their titles and numbers, as --id-column and --columns take them. Loads nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from softargmax_cli.errors import OptionError, parameter

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FEW = 8
"""Titles that an error or a note lists."""
_ITEM = re.compile(r'(?P<title>"(?:[^"]|"")*"|[^",:]+)|(?P<mark>[,:])')


@dataclass(frozen=True, slots=True)
class Table:
    """The first rows of a table, as its format sees them."""

    name: str
    """The file's, for errors."""
    width: int
    titles: Sequence[str] | None
    texts: Collection[int]
    """Positions of the columns that hold no numbers."""
    names: Sequence[int]
    """Positions of the columns of which the file itself says that they name the rows."""
    values: Callable[[Sequence[int]], npt.NDArray[np.float64]]
    """The numbers of the first rows in some columns, (rows, columns), NaN where there are none."""
    idle: Collection[int] = ()
    """Positions of columns in which there is nothing at all."""
    kind: str = "csv"
    """The file's format."""


def position(table: Table, id_column: str) -> int:
    """The position of the column that a number from 1, or else a title, means. Raises OptionError for neither."""
    if id_column.isascii() and id_column.isdecimal() and 1 <= int(id_column) <= table.width:
        return int(id_column) - 1
    return _titled(table, id_column, "id_column")


def _titled(table: Table, title: str, name: str) -> int:
    """The position of the one column of a title."""
    here = parameter(name)
    if table.titles is None:
        raise OptionError(
            f"{table.name}: no column {shown(title)}: the file has no header",
            f"pass {here} with a number from 1 to {table.width}, or {parameter('header', True)} if line 1 has titles",
        )
    places = [at for at, each in enumerate(table.titles) if each == title]
    if len(places) == 1:
        return places[0]
    if places:
        numbers = ", ".join(str(at + 1) for at in places[:FEW]) + (", ..." if len(places) > FEW else "")
        first = places[0] + 1
        raise OptionError(
            f"{table.name}: columns {numbers} are all named {shown(title)}",
            f"pass the column's number: {parameter(name, first if name == 'id_column' else str(first))}",
        )
    few = ", ".join(shown(each) for each in table.titles[:FEW]) + (", ..." if table.width > FEW else "")
    remedy = f"pass one of these to {here}, or a number from 1 to {table.width}"
    raise OptionError(f"{table.name}: no column {shown(title)} among {few}", remedy)


def selected(table: Table, spec: str) -> tuple[Sequence[int], frozenset[int]]:
    """The positions that --columns means, in the order of the file, and those that are named one by one.

    spec: titles, numbers from 1, ranges of either, both ends included, or ^ and what is to be left out. Raises
    OptionError where it names nothing of the table, or a column twice.
    """
    exclusive = spec.startswith("^")
    found: list[int] = []
    single: list[int] = []
    for ends in items(spec.removeprefix("^")):
        first, last = ends[0], ends[-1]
        begin = 0 if first is None else _place(table, first)
        end = table.width - 1 if last is None else _place(table, last)
        if begin > end:
            raise OptionError(f"{table.name}: {_range(ends)} runs backwards", "name the first column of a range first")
        if len(ends) == 1:
            single.append(begin)
        found += range(begin, end + 1)
    if len(set(found)) < len(found):
        twice = next(at for at in found if found.count(at) > 1)
        what = f"{table.name}: {called(table, twice)} is named twice in {parameter('columns', spec)}"
        raise OptionError(what, "name each column once")
    if exclusive:
        out = set(found)
        return [at for at in range(table.width) if at not in out], frozenset()
    return sorted(found), frozenset(single)


def _place(table: Table, cell: str) -> int:
    """The position of a title, or else of a number from 1."""
    titles = table.titles or ()
    if cell not in titles and cell.isascii() and cell.isdecimal():
        if 1 <= int(cell) <= table.width:
            return int(cell) - 1
        what = f"{table.name}: no column {cell}: the table has {table.width}"
        raise OptionError(what, f"pass {parameter('columns')} with numbers from 1 to {table.width}, or titles")
    return _titled(table, cell, "columns")


def items(spec: str) -> list[tuple[str | None, ...]]:
    """The parts of --columns between commas: (title,) or the two ends of a range, None for an open one.

    Raises OptionError where it cannot be read.
    """
    parts: list[list[str | None]] = [[None]]
    at = 0
    for found in _ITEM.finditer(spec):
        if found.start() != at or (found["title"] and parts[-1][-1] is not None):
            break
        at = found.end()
        if found["mark"] == ",":
            parts.append([None])
        elif found["mark"] == ":":
            parts[-1].append(None)
        else:
            parts[-1][-1] = _unquoted(found["title"])
    if at != len(spec) or any(len(part) > 2 or part == [None] for part in parts):
        raise OptionError(
            f"{parameter('columns', spec)} cannot be read",
            'write a,b or a:c or 2: or ^id with titles or numbers from 1; a title with , : or ^ in quotes: "a,b"',
        )
    return [tuple(part) for part in parts]


def _unquoted(title: str) -> str:
    return title[1:-1].replace('""', '"') if title.startswith('"') else title.strip()


def quoted(title: str) -> str:
    """A title as --columns takes it."""
    plain = not set(title) & set(',:^"') and title == title.strip() and title
    return title if plain else '"' + title.replace('"', '""') + '"'


def _range(ends: Sequence[str | None]) -> str:
    return ":".join("" if each is None else quoted(each) for each in ends)


def option_value(table: Table, at: int) -> str | int:
    """A column as an option takes it: its title where that is one plain word of its own, else its number from 1."""
    title = table.titles[at] if table.titles else ""
    plain = re.fullmatch(r"\w[\w.-]*", title) and not title.isdigit() and len(title) <= 40
    return title if plain and table.titles and list(table.titles).count(title) == 1 else at + 1


def item(table: Table, at: int) -> str:
    """A column as --columns takes it: as `option_value`, but a number that is another column's title means that one."""
    value = option_value(table, at)
    title = table.titles[at] if table.titles else ""
    return quoted(title) if title and str(value) in (table.titles or ()) else str(value)


def called(table: Table, at: int) -> str:
    """A column for an error: column 2 ('b')."""
    title = table.titles[at] if table.titles else ""
    return f"column {at + 1}" + (f" ({shown(title)})" if title else "")


def listed(table: Table, positions: Sequence[int]) -> str:
    """Some columns for a note."""
    return ", ".join(called(table, at) for at in positions[:FEW]) + (", ..." if len(positions) > FEW else "")


def shown(cell: str) -> str:
    """A cell for an error: quoted, control characters escaped, cut to about 40 characters."""
    return repr(cell if len(cell) <= 40 else cell[:37] + "...")


def columns_of(columns: Any) -> str | None:
    """Take --columns as text, or as a sequence of titles and numbers. Raises OptionError for what is neither."""
    if columns is None:
        return None
    if not isinstance(columns, str):
        columns = ",".join(str(each) if isinstance(each, int) else quoted(each) for each in columns)
    items(columns.removeprefix("^"))
    return str(columns)
