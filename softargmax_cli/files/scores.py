"""Which columns of a table hold scores, and which one names its rows; the same for text and for Parquet.

A column of names that is taken for scores gives answers that look right, so signs of one are an error until an option
says what it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from softargmax_cli.errors import InputError, OptionError, parameter
from softargmax_cli.files.columns import Table, called, item, listed, option_value, position, selected, shown
from softargmax_cli.files.members import ResultError, is_result
from softargmax_cli.files.reading import Reading

SAMPLE = 1000
"""Rows from the first on that tell what the columns of a table hold."""
_NAMES = frozenset(
    "id ids uid uuid guid index idx frame frames row rows line label labels class classes target targets y time times "  # noqa: SIM905
    "timestamp datetime date day year key keys number no nr num unnamed rank rowid rownum".split()
)
"""Titles of columns that name rows."""
_RISING = frozenset({"time", "times", "timestamp", "datetime", "date"})
"""Titles of columns that name rows by numbers that need not be whole."""
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


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
    spec = reading.columns
    notes: list[str] = []
    id_at = None if reading.id_column is None else position(table, reading.id_column)
    chosen, plain = selected(table, spec) if spec is not None else (range(table.width), frozenset())
    told = spec is not None and not spec.startswith("^")
    if reading.judged and spec is None and is_result(table.titles or ()):
        raise ResultError(table.name, table.kind, f"or take columns of it with {parameter('columns')}")
    if not reading.judged and told and id_at is None and "id" in (table.titles or ()):
        at = list(table.titles or ()).index("id")
        id_at = None if at in chosen else at
    names = [at for at in table.names if not (told and at in chosen)]
    if id_at is None and names:
        id_at = names[0]
        if id_at not in table.texts and not (table.titles or ("",))[id_at]:
            way = parameter("columns", ":")
            notes.append(
                f"column {id_at + 1} has no title, so it names the rows; if all columns are scores, pass {way}"
            )
    texts = [at for at in chosen if at in table.texts and at not in plain and at != id_at]
    if reading.inspected and id_at is None and spec is None and len(texts) == 1 and table.width > 1:
        id_at = texts.pop()
    if id_at is not None and id_at in plain:
        what = f"{table.name}: {called(table, id_at)} cannot both name the rows and hold scores"
        raise OptionError(what, f"leave out {parameter('id_column')}, or the column in {parameter('columns')}")
    idle = [at for at in table.idle if at in chosen and at not in plain and at != id_at]
    others = {id_at, *names, *texts, *idle}
    scores = [at for at in chosen if at not in others]
    if not scores:
        raise _none_left(table, texts, id_at, reading)
    if texts:
        way = f"; {parameter('id_column', option_value(table, texts[0]))} names the rows by it"
        notes.append(f"text is left out: {listed(table, texts)}{way if id_at is None and len(texts) == 1 else ''}")
    if idle:
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
        known, steps = np.isfinite(values), np.diff(values, axis=0)
        whole = np.all((values == np.floor(values)) | ~known, axis=0) & np.any(known, axis=0)
        rising, counting = np.all(steps > 0, axis=0), np.all(steps == 1, axis=0)
    found = []
    for k, at in enumerate(scores):
        title = table.titles[at] if table.titles else ""
        words = _WORD.findall(title)
        last = words[-1].lower() if words else ""
        if title and (title.lower() in _NAMES or last in ("id", "idx", "index") or (words or [""])[0] == "Unnamed"):
            looks = bool(whole[k]) or (title.lower() in _RISING and bool(rising[k]) and len(values) > 2)
        else:
            begins = at == 0 and values[0, k] in (0, 1)
            looks = bool(whole[k] and counting[k]) and len(values) > (1 if begins else 2) and (bool(title) or at == 0)
        if looks:
            found.append(at)
    decimals = any(not whole[k] for k, at in enumerate(scores) if at not in found)
    return found if decimals else []


def _suspected(
    table: Table, found: list[int], scores: Sequence[int], id_at: int | None, spec: str | None
) -> InputError:
    """Say which columns look like names, and both ways on."""
    one, ways = len(found) == 1, []
    if id_at is None:
        rest = "" if one else f" {parameter('columns', _without(table, spec, found[1:]))}"
        named = "it" if one else "the first"
        ways.append(f"{parameter('id_column', option_value(table, found[0]))}{rest} if {named} names the rows")
    leave = parameter("columns", _without(table, spec, found))
    ways.append(f"{leave} to leave {'it' if one else 'them'} out")
    every = _ranges(table, scores) if spec is not None or table.names else ":" if "1" in (table.titles or ()) else "1:"
    ways.append(f"{parameter('columns', every)} if all are scores")
    shows = ", ".join(f"{value:g}" for value in table.values(found[:1])[:3, 0])
    what = f"{called(table, found[0])} holds {shows} ..., which may be names beside the decimals of scores"
    if not one:
        what = f"{listed(table, found)} hold whole numbers, which may be names beside the decimals of scores"
    return InputError(f"{table.name}: {what}", f"pass {', '.join(ways[:-1])}, or {ways[-1]}")


def _none_left(table: Table, texts: Sequence[int], id_at: int | None, reading: Reading) -> InputError:
    remedy = "is it the file that was meant?"
    if reading.delimiter is not None and table.width == 1:
        remedy = f"pass another {parameter('delimiter')}, if it is not {shown(reading.delimiter)}"
    elif reading.columns is not None:
        remedy = f"name columns of numbers with {parameter('columns')}"
    elif reading.id_column is not None:
        remedy = f"leave out {parameter('id_column')}, or pass {parameter('delimiter')} if cells are not told apart"
    beside = f" beside {called(table, id_at)}" if id_at is not None else ""
    text = f": text is in {listed(table, texts)}" if texts else ""
    return InputError(f"{table.name}: no column of numbers{beside}{text}", remedy)


def _without(table: Table, spec: str | None, out: Sequence[int]) -> str:
    """The value of --columns that leaves out some columns, and those that `spec` leaves out."""
    return (f"{spec}," if spec else "^") + ",".join(item(table, at) for at in out)


def _ranges(table: Table, positions: Sequence[int]) -> str:
    """Positions as --columns takes them: 1:3,5."""
    parts: list[list[int]] = []
    for at in positions:
        if parts and parts[-1][1] == at - 1:
            parts[-1][1] = at
        else:
            parts.append([at, at])
    return ",".join(item(table, a) + (f":{item(table, b)}" if b > a else "") for a, b in parts)
