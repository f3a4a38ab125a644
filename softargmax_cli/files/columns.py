"""Which columns of a table hold scores, and which one names its rows; the same for text and for Parquet.

A column of names that is taken for scores gives answers that look right, so signs of one are an error until an option
says what it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import InputError, OptionError, parameter
from softargmax_cli.files.reading import Reading

SAMPLE = 1000
"""Rows from the first on that tell what the columns of a table hold."""
FEW = 8
"""Titles that an error or a note lists."""

_NAMES = frozenset(
    "id ids uid uuid guid index idx frame frames row rows line label labels class classes target targets y time times "
    "timestamp datetime date day year key keys number no nr num unnamed rank rowid rownum sample_number".split()
)
"""Titles, or last words of titles, of columns that name rows."""
_RISING = frozenset("time times timestamp datetime date".split())
"""Titles of columns that name rows by numbers that need not be whole."""
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_ITEM = re.compile(r'(?P<title>"(?:[^"]|"")*"|[^",:]+)|(?P<mark>[,:])')

Values = Callable[[Sequence[int]], npt.NDArray[np.float64]]
"""The numbers of the first rows in some columns, (rows, columns), NaN where there are none."""


@dataclass(frozen=True, slots=True)
class Table:
    """The first rows of a table, as its format sees them."""

    name: str
    """The file's, for errors."""
    width: int
    titles: Sequence[str] | None
    texts: Collection[int]
    """Positions of the columns that hold no numbers."""
    names_at: int | None
    """Position of the column that the file itself says names the rows."""
    values: Values
    idle: Collection[int] = ()
    """Positions of columns in which there is nothing at all."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that are read, by their positions from 0."""

    scores: Sequence[int]
    """In the order of the file."""
    id_at: int | None
    """The one that names the rows."""
    notes: tuple[str, ...]
    spec: str | None
    """The columns of scores as --columns takes them, where the file alone does not tell."""


def choose(table: Table, reading: Reading) -> Columns:
    """Decide which columns are scores and which one names the rows, by the options and by the first rows.

    Raises OptionError where an option does not fit the table, InputError where no column of numbers is left, or where
    one looks like names and `reading` asks for a judgement. An inspection never fails so: it leaves such columns out.
    """
    spec, notes = reading.columns, []
    id_at = None if reading.id_column is None else position(table, reading.id_column)
    chosen, plain = selected(table, spec) if spec is not None else (range(table.width), ())
    told = spec is not None and not spec.startswith("^")
    if id_at is None and table.names_at is not None and not (told and table.names_at in chosen):
        id_at = table.names_at
        if table.names_at not in table.texts and not (table.titles or ("",))[id_at]:
            scores = parameter("columns", f"{id_at + 1}:")
            notes.append(f"column {id_at + 1} has no title, so it names the rows; if it holds scores, pass {scores}")
    texts = [at for at in chosen if at in table.texts and at not in (*plain, id_at)]
    if reading.inspected and id_at is None and spec is None and len(texts) == 1 and table.width > 1:
        id_at = texts.pop()
    if id_at is not None and id_at in plain:
        what = f"{table.name}: {called(table, id_at)} cannot both name the rows and hold scores"
        raise OptionError(what, f"leave out {parameter('id_column')}, or the column in {parameter('columns')}")
    scores = [at for at in chosen if at != id_at and at not in texts and (at not in table.idle or at in plain)]
    if not scores:
        raise _none_left(table, texts, id_at, spec)
    if texts:
        few = listed(table, texts)
        names = "" if id_at is not None else f"; {parameter('id_column', option(table, texts[0]))} names the rows by it"
        notes.append(f"text is left out: {few}{names if len(texts) == 1 else ''}")
    if idle := [at for at in table.idle if at in chosen and at not in (*plain, id_at)]:
        notes.append(f"left out, as it is empty: {listed(table, idle)}")
    if reading.judged and not told and (found := suspects(table, scores)):
        if not reading.inspected:
            raise _suspected(table, found, scores, id_at, spec)
        notes.append(f"left out, as {'they look' if len(found) > 1 else 'it looks'} like names: {listed(table, found)}")
        scores = [at for at in scores if at not in found]
        if id_at is None:
            id_at = found.pop(0)
        if found:
            spec = _without(table, spec, found)
    return Columns(tuple(scores), id_at, tuple(notes), spec)


def suspects(table: Table, scores: Sequence[int]) -> list[int]:
    """Positions of the columns of whole numbers that look like names of rows, where other columns hold decimals.

    A column looks so by its title, or where its numbers count upwards by one; a first column without a title, too.
    """
    if len(scores) < 2:
        return []
    values = table.values(scores)
    if not len(values):
        return []
    with np.errstate(invalid="ignore"):
        known = np.isfinite(values)
        whole = ((values == np.floor(values)) | ~known).all(0) & known.any(0)
        rising = (np.diff(values, axis=0) > 0).all(0) & (len(values) > 2)
        counting = (np.diff(values, axis=0) == 1).all(0) & (len(values) > 1)
    found = []
    for k, at in enumerate(scores):
        title = table.titles[at] if table.titles else ""
        words = _WORD.findall(title)
        last = words[-1].lower() if words else ""
        if title and (title.lower() in _NAMES or last in ("id", "idx", "index") or (words or [""])[0] == "Unnamed"):
            looks = bool(whole[k]) or (title.lower() in _RISING and bool(rising[k]))
        else:
            begins = at == 0 and values[0, k] in (0, 1)
            looks = bool(whole[k] and counting[k]) and (begins or len(values) > 2) and (bool(title) or at == 0)
        if looks:
            found.append(at)
    decimals = any(not whole[k] for k, at in enumerate(scores) if at not in found)
    return found if decimals else []


def _suspected(table: Table, found: list[int], scores: Sequence[int], id_at: int | None, spec: str | None) -> InputError:
    """Say which columns look like names, and both ways on."""
    rest = found if id_at is not None else found[1:]
    ways = []
    if id_at is None:
        one = str(parameter("id_column", option(table, found[0])))
        ways.append(f"pass {one}" + (f" {parameter('columns', _without(table, spec, rest))}" if rest else ""))
        ways[0] += f" if {'that column' if rest else 'it'} names the rows"
    ways.append(f"{'' if ways else 'pass '}{parameter('columns', _without(table, spec, found))} to leave {_it(found)} out")
    ways.append(f"{parameter('columns', _ranges(scores))} if all are scores")
    shows = ", ".join(f"{value:g}" for value in table.values(found[:1])[:3, 0])
    what = f"{table.name}: {called(table, found[0])} holds {shows}, … beside decimals, so it may be names, not scores"
    if rest and id_at is None or len(found) > 1:
        what = f"{table.name}: {listed(table, found)} hold whole numbers beside decimals, so they may be names, not scores"
    return InputError(what.replace("…", "..."), ", ".join(ways[:-1]) + f"{',' if len(ways) > 2 else ''} or {ways[-1]}")


def _it(found: Sequence[int]) -> str:
    return "it" if len(found) == 1 else "them"


def _none_left(table: Table, texts: Sequence[int], id_at: int | None, spec: str | None) -> InputError:
    if texts and table.width == len(texts) + (id_at is not None):
        return InputError(f"{table.name}: no column of numbers: {listed(table, texts)} hold text", "give it numbers")
    beside = f" beside {called(table, id_at)}" if id_at is not None else ""
    remedy = f"leave out {parameter('id_column')}" if id_at is not None else "is it the file that was meant?"
    if spec is not None:
        remedy = f"name columns of numbers with {parameter('columns')}"
    return InputError(f"{table.name}: no column of numbers{beside}", remedy)


def _without(table: Table, spec: str | None, out: Sequence[int]) -> str:
    """The value of --columns that leaves out some columns, and those that `spec` leaves out."""
    before = f"{spec}," if spec else "^"
    return before + ",".join(quoted(option(table, at)) for at in out)


def _ranges(positions: Sequence[int]) -> str:
    """Positions as --columns takes them: 1:3,5."""
    parts: list[list[int]] = []
    for at in positions:
        if parts and parts[-1][1] == at - 1:
            parts[-1][1] = at
        else:
            parts.append([at, at])
    return ",".join(f"{a + 1}:{b + 1}" if b > a else str(a + 1) for a, b in parts)


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
            f"pass {here} with a number from 1 to {table.width}, or {parameter('header', True)} if line 1 names the columns",
        )
    places = [at for at, each in enumerate(table.titles) if each == title]
    if len(places) == 1:
        return places[0]
    if places:
        numbers = ", ".join(str(at + 1) for at in places[:FEW]) + (", ..." if len(places) > FEW else "")
        raise OptionError(
            f"{table.name}: columns {numbers} are all named {shown(title)}",
            f"pass the column's number: {parameter(name, str(places[0] + 1))}",
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
    if twice := [at for at in found if found.count(at) > 1] if len(set(found)) < len(found) else []:
        what = f"{table.name}: {called(table, twice[0])} is named twice in {parameter('columns', spec)}"
        raise OptionError(what, "name each column once")
    if exclusive:
        return [at for at in range(table.width) if at not in set(found)], frozenset()
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
    for item in _ITEM.finditer(spec):
        if item.start() != at:
            break
        at = item.end()
        if item["mark"] == ",":
            parts.append([None])
        elif item["mark"] == ":":
            parts[-1].append(None)
        elif parts[-1][-1] is not None:
            break
        else:
            parts[-1][-1] = _unquoted(item["title"])
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


def option(table: Table, at: int) -> str:
    """A column as an option takes it: its title where that is one plain word of its own, else its number from 1."""
    title = table.titles[at] if table.titles else ""
    plain = re.fullmatch(r"\w[\w.-]*", title) and not title.isdigit() and len(title) <= 40
    return title if plain and table.titles and list(table.titles).count(title) == 1 else str(at + 1)


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
    """--columns as Python has it: its text, or a sequence of titles and numbers. Raises OptionError for what is none."""
    if columns is None:
        return None
    if not isinstance(columns, str):
        columns = ",".join(str(each) if isinstance(each, int) else quoted(each) for each in columns)
    items(columns.removeprefix("^"))
    return str(columns)
