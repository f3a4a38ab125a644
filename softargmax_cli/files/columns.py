"""Find the columns of a table, text or Parquet, that hold scores, and the one that names the rows.

A column of names that is taken for scores gives plausible but wrong answers, so a column that looks like names is an
error until an option says what it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import InputError, OptionError, parameter
from softargmax_cli.files.members import MOST_LISTED, ResultError, few, is_result
from softargmax_cli.files.reading import Reading, column_ranges, quoted_title

SAMPLE = 1000
"""The number of first rows that tell what the columns of a table hold."""
_NAMES = frozenset(
    "frame frames row rows line label labels class classes target targets true truth gt pred y fold epoch step time "  # noqa: SIM905
    "times timestamp datetime date day year key keys number no nr num unnamed rank rowid rownum".split()
)
"""Titles of columns that do not hold scores."""
_IDS = frozenset(("id", "ids", "uid", "uuid", "guid", "index", "idx"))
"""Titles, or last words of titles, of columns that name rows."""
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


@dataclass(frozen=True, slots=True)
class Table:
    """The first rows of a table, as its format reads them."""

    name: str
    """The name of the file."""
    kind: str
    """The format of the file."""
    titles: Sequence[str] | None
    texts: Collection[int]
    """Positions of the columns that hold text."""
    names: Sequence[int]
    """Positions of the columns that name the rows according to the file itself."""
    values: npt.NDArray[np.float64]
    """The numbers of the first rows, (rows, columns), NaN where there are none."""

    @property
    def width(self) -> int:
        """The number of columns."""
        return int(self.values.shape[1])


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that are read, by their positions from 0."""

    scores: Sequence[int]
    """In the order of the file."""
    id_at: int | None
    """The column that names the rows."""
    id_column: str | int | None
    """The column that names the rows, as --id-column takes it."""
    notes: list[str]
    spec: str | None
    """The columns of scores, as --columns takes them, if the file alone does not determine them."""


def choose(table: Table, reading: Reading) -> Columns:
    """Decide which columns are scores and which one names the rows, by the options and by the first rows.

    Raises OptionError if an option does not fit the table, InputError if no column of numbers is left, or if one looks
    like names and `reading.strict` is set. An inspection leaves such columns out instead.
    """
    spec, titles, notes = reading.columns, table.titles or (), list[str]()
    if reading.strict and spec is None and is_result(titles):
        raise ResultError(table.name, table.kind, f"or take columns of it with {parameter('columns')}")
    explicit = spec is not None and not spec.startswith("^")
    chosen = range(table.width) if spec is None else columns_selected(table, spec)
    id_at = None if reading.id_column is None else position(table, reading.id_column, "id_column")
    names = [at for at in table.names if not (explicit and at in chosen)]
    if id_at is None and names:
        id_at = names[0]
        if id_at not in table.texts and not (titles or ("",))[id_at]:
            way = parameter("columns", ":")
            notes.append(
                f"column {id_at + 1} has no title, so it names the rows; if all columns are scores, pass {way}"
            )
    texts = [at for at in chosen if at in table.texts and at != id_at]
    if reading.inspected and id_at is None and spec is None and len(texts) == 1:
        id_at = texts.pop()
    scores = [at for at in chosen if at not in {id_at, *names, *texts}]
    if not scores:
        remedy = "is it the file that was meant, and are these its columns?"
        if reading.delimiter is not None and table.width == 1:
            remedy = f"pass another {parameter('delimiter')}, if it is not {cited(reading.delimiter)}"
        raise InputError(f"no column of numbers{': text is in ' * bool(texts)}{_listed(table, texts)}", remedy)
    if texts:
        way = f"; {parameter('id_column', option_value(table, texts[0]))} names the rows by it"
        notes.append(f"text is left out: {_listed(table, texts)}{way if id_at is None and len(texts) == 1 else ''}")
    found = _names_among(table, scores) if reading.strict and not explicit else []
    if found and not reading.inspected:
        raise _suspected(table, found, id_at, names, spec)
    if found:
        notes.append(f"left out, as it may name the rows: {_listed(table, found)}")
        scores = [at for at in scores if at not in found]
        id_at = found.pop(0) if id_at is None else id_at
        spec = _without(table, found, spec) if found else spec
    ids = [at for at in scores if table.titles and _names_rows(table.titles[at])] if id_at is None else []
    if reading.strict and not explicit and ids:
        way = parameter("id_column", option_value(table, ids[0]))
        notes.append(f"{called(table, ids[0])} counts as scores, as all numbers are whole; {way} names the rows by it")
    return Columns(tuple(scores), id_at, None if id_at is None else option_value(table, id_at), notes, spec)


def _names_among(table: Table, scores: Sequence[int]) -> list[int]:
    """Find the columns of whole numbers that look like names of rows, if other columns hold decimals.

    The title of such a column says so, or its numbers count upwards by one; then only a first column needs no title.
    """
    values = table.values[:, list(scores)]
    if len(scores) < 2 or not len(values):
        return []
    with np.errstate(invalid="ignore"):
        known, steps = np.isfinite(values), np.diff(values, axis=0)
        whole = np.all((values == np.floor(values)) | ~known, axis=0) & np.any(known, axis=0)
        rising, counting = np.all(steps > 0, axis=0), np.all(steps == 1, axis=0)
    found = []
    for k, at in enumerate(scores):
        title = table.titles[at] if table.titles else ""
        words = _WORD.findall(title) or [""]  # "user_id", "imageID", "Unnamed: 0"
        if title.lower() in _NAMES or _names_rows(title) or words[0] == "Unnamed":
            looks = whole[k] or (rising[k] and len(values) > 2 and re.search("time|date", title, re.IGNORECASE))
        else:
            begins = at == 0 and values[0, k] in (0, 1)
            looks = whole[k] and counting[k] and len(values) > (1 if begins else 2) and (title or at == 0)
        if looks:
            found.append(at)
    return found if any(not whole[k] for k, at in enumerate(scores) if at not in found) else []


def _names_rows(title: str) -> bool:
    """Tell whether a title, or its last word, says that a column names the rows."""
    return not _IDS.isdisjoint((title.lower(), *(word.lower() for word in _WORD.findall(title)[-1:])))


def _suspected(
    table: Table, found: Sequence[int], id_at: int | None, names: Sequence[int], spec: str | None
) -> InputError:
    """Return the error that lists the columns that look like names, and the options that help."""
    first, one, ways = found[0], len(found) == 1, []
    if id_at is None:
        rest = "" if one else f" {parameter('columns', _without(table, found[1:], spec))}"
        named = "it" if one else "the first"
        ways.append(f"{parameter('id_column', option_value(table, first))}{rest} if {named} names the rows")
    ways.append(f"{parameter('columns', _without(table, found, spec))} to leave {'it' if one else 'them'} out")
    if spec is None:
        ways.append(f"{parameter('columns', _without(table, names) if names else ':')} if all are scores")
    shows = ", ".join(f"{value:g}" for value in table.values[:3, first])
    what = f"{_listed(table, found)} may be names of rows ({shows} ...) beside the decimals of scores"
    return InputError(what, f"pass {', or '.join(ways)}")


def columns_selected(table: Table, spec: str) -> Sequence[int]:
    """Find the columns that --columns names, in the order of the file.

    spec: titles, numbers from 1, and ranges of either with both ends included, or ^ and the columns to leave out.
    Raises OptionError for a column that does not exist or is named twice, and for a backward range.
    """
    found: set[int] = set()
    for first, last in column_ranges(spec.removeprefix("^")):
        begin = 0 if first is None else position(table, first, "columns")
        end = table.width - 1 if last is None else position(table, last, "columns")
        if begin > end:
            raise OptionError(f"a range of {parameter('columns', spec)} runs backwards", "name its first column first")
        if twice := found & {*range(begin, end + 1)}:
            what = f"{called(table, min(twice))} is named twice in {parameter('columns', spec)}"
            raise OptionError(what, "name each column once")
        found.update(range(begin, end + 1))
    return [at for at in range(table.width) if (at in found) != spec.startswith("^")]


def position(table: Table, cell: str, option: str) -> int:
    """Find a column by its title, or else by its number from 1. Raises OptionError if there is none."""
    titles, here = table.titles or (), parameter(option)
    places = [at for at, title in enumerate(titles) if title == cell]
    if not places and cell.isascii() and cell.isdecimal() and 1 <= int(cell) <= table.width:
        return int(cell) - 1
    if len(places) == 1:
        return places[0]
    if places:
        numbers = ", ".join(str(at + 1) for at in places[:MOST_LISTED])
        raise OptionError(f"columns {numbers} are all named {cited(cell)}", f"pass one of these numbers to {here}")
    ways = f"pass {here} with a number from 1 to {table.width}"
    if not titles:
        remedy = f"{ways}, or {parameter('header', True)} if line 1 has titles"
        raise OptionError(f"no column {cited(cell)}: the file has no header", remedy)
    raise OptionError(f"no column {cited(cell)} among {few([*map(cited, titles)])}", f"{ways}, or one of these")


def option_value(table: Table, at: int) -> str | int:
    """Name a column as --id-column takes it: by its title if that is unique and a plain word, else by its number.

    If that number is the title of another column, the title need not be a plain word, and may be empty.
    """
    titles = list(table.titles or ())
    title = titles[at] if titles else ""
    plain = re.fullmatch(r"\w[\w.-]{0,39}", title) or str(at + 1) in titles
    return title if plain and titles.count(title) == 1 else at + 1


def _without(table: Table, out: Sequence[int], spec: str | None = None) -> str:
    """Write --columns so that it leaves out the columns `out`, and those that `spec` leaves out."""
    values = [option_value(table, at) for at in out]
    listed = ",".join(quoted_title(value) if isinstance(value, str) else str(value) for value in values)
    return f"{spec},{listed}" if spec else f"^{listed}"


def called(table: Table, at: int) -> str:
    """Name a column for an error: column 2 ('b')."""
    title = table.titles[at] if table.titles else ""
    return f"column {at + 1}" + (f" ({cited(title)})" if title else "")


def _listed(table: Table, positions: Sequence[int]) -> str:
    return few([called(table, at) for at in positions])


def cited(cell: str) -> str:
    """Quote a cell for an error, with control characters escaped, cut to about 40 characters."""
    return repr(cell if len(cell) <= 40 else cell[:37] + "...")
