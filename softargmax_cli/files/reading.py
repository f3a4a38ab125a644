"""Options for reading an input: the array of a file, the part of it, the layout of a table. Loads nothing."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from types import EllipsisType
from typing import Any

from softargmax_cli.errors import OptionError, counted, parameter

Part = int | slice | EllipsisType

REMEDY = "give integers and slices as in NumPy: 0,:,3:5 or ...,::2"
NAMED_DELIMITERS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "pipe": "|"}
"""Delimiters of text that may be called by name."""
_CELL = r'"(?:[^"]|"")*"|[^",:]+'
_RANGE = re.compile(rf" *({_CELL})?(:)?({_CELL})? *(,|\Z)")


@dataclass(frozen=True, slots=True)
class Selection:
    """An index as in NumPy, but without new axes, masks and lists."""

    parts: tuple[Part, ...]

    def __str__(self) -> str:
        """Write it as it is typed after --select."""
        return ",".join(map(_typed, self.parts))

    def taken(self, shape: Sequence[int | None]) -> tuple[range | int, ...]:
        """Return the positions that are taken along each axis, or a single one, which removes the axis.

        An axis of unknown length gives an empty range. Raises OptionError if there are more parts than axes, or if an
        integer is out of range.
        """
        given = [part for part in self.parts if not isinstance(part, EllipsisType)]
        here, ndim = parameter("select", str(self)), len(shape)
        if len(given) > ndim:
            what = f"{here}: {len(given)} indices for an array of {counted(ndim, 'axis')}"
            raise OptionError(what, "give as many as there are axes, or fewer")
        at = self.parts.index(...) if ... in self.parts else len(given)
        parts = (*given[:at], *[slice(None)] * (ndim - len(given)), *given[at:])
        for axis, (part, n) in enumerate(zip(parts, shape, strict=True)):
            if isinstance(part, int) and n is not None and not -n <= part < n:
                what = f"{here}: {part} is out of range for axis {axis}, of length {n:,}"
                raise OptionError(what, f"use an index from {-n} to {n - 1}" if n else "the axis is empty")
        return tuple(range(0) if n is None else range(n)[part] for part, n in zip(parts, shape, strict=True))


def selection_of(index: Any) -> Selection:
    """Parse "0,:,3:5", or check an index such as numpy.s_[0, :, 3:5]. Raises OptionError."""
    if isinstance(index, Selection):
        return index
    given = index if isinstance(index, tuple) else (index,)
    try:
        parts = map(_parsed, index.split(",")) if isinstance(index, str) else map(_checked, given)
        selection = Selection(tuple(parts))
    except (TypeError, ValueError):
        raise OptionError(f"{parameter('select')}: {index!r} is no selection", REMEDY) from None
    if selection.parts.count(...) > 1:
        raise OptionError(f"{parameter('select')}: {index!r} has more than one ...", REMEDY)
    return selection


def _parsed(word: str) -> Part:
    if word.strip() == "...":
        return ...
    numbers = [int(number) if number.strip() else None for number in word.split(":")]
    return _checked(slice(*numbers)) if len(numbers) > 1 else int(word)


def _checked(part: Any) -> Part:
    """Check a part of a NumPy index. Raises TypeError for masks, such as truth values, and for new axes (None)."""
    if isinstance(part, slice):
        range(0)[part]  # raises for a step of 0, and for bounds that are no integers
    elif isinstance(part, bool) or hasattr(part, "__len__"):  # arrays, too
        raise TypeError
    elif part is not ...:
        return operator.index(part)
    return part  # type: ignore[no-any-return]


def _typed(part: Part) -> str:
    if not isinstance(part, slice):
        return "..." if part is ... else str(part)
    numbers = ["" if number is None else str(number) for number in (part.start, part.stop, part.step)]
    return ":".join(numbers if numbers[2] else numbers[:2])


def columns_of(columns: Any) -> str:
    """Return --columns as text; they may be given as a sequence of titles and numbers. Raises OptionError."""
    if not isinstance(columns, str):
        columns = ",".join(str(each) if isinstance(each, int) else quoted_title(each) for each in columns)
    column_ranges(columns.removeprefix("^"))
    return str(columns)


def column_ranges(spec: str) -> list[tuple[str | None, str | None]]:
    """Split --columns into the first and the last column of each range; None is an open end.

    A single column is both its first and its last. Raises OptionError if the text cannot be parsed.
    """
    parts: list[tuple[str | None, str | None]] = []
    found, last = None, ","
    while last == ",":
        found = _RANGE.match(spec, found.end() if found else 0)
        first, colon, second, last = found.groups() if found else (None, None, None, "")
        if not (first or colon) or (second and not colon):
            what = f"{parameter('columns', spec)} cannot be read"
            remedy = "write a,b or a:c or 2: or ^id with titles or numbers from 1"
            raise OptionError(what, f'{remedy}; a title with , : or ^ in quotes: "a,b"')
        parts.append((_unquoted(first), _unquoted(second) if colon else _unquoted(first)))
    return parts


def _unquoted(title: str | None) -> str | None:
    if title is None:
        return None
    title = title.strip(" ")
    return title[1:-1].replace('""', '"') if title.startswith('"') else title


def quoted_title(title: str) -> str:
    """Write a title as --columns takes it."""
    plain = not set(title) & set(',:^"') and title == title.strip() and title
    return title if plain else '"' + title.replace('"', '""') + '"'


def _delimiter(name: str) -> str:
    """Return the delimiter that is given as a character or by name."""
    character = NAMED_DELIMITERS.get(name.lower(), name)
    if len(character) != 1 or not character.isascii() or character in '"\r\n\0':
        remedy = f"give one character, or {', '.join(NAMED_DELIMITERS)}"
        raise OptionError(f"{parameter('delimiter')}: {name!r} is no delimiter", remedy)
    return character


def _comment(mark: str) -> str:
    """Refuse a mark that a cell might begin with; an empty mark means that there are no comments."""
    odd = not mark.isprintable() or not mark.isascii() or set(mark) & set('" ') or mark[:1].isalnum()
    if odd:
        remedy = "give a mark as # or % or //, or '' where there are no comments"
        raise OptionError(f"{parameter('comment')}: {mark!r} begins no comment", remedy)
    return mark


def _decimal(name: str) -> str:
    mark = {"point": ".", "comma": ","}.get(name, name)
    if mark not in (".", ","):
        raise OptionError(f"{parameter('decimal')}: {name!r} is no decimal mark", "give , or .")
    return mark


def _skip(lines: int) -> int:
    if operator.index(lines) < 0:
        raise OptionError(f"{parameter('skip', lines)}: a number of lines is 0 or more")
    return lines


PARSERS: dict[str, Callable[[Any], Any]] = {
    "select": selection_of,
    "delimiter": _delimiter,
    "columns": columns_of,
    "skip": _skip,
    "comment": _comment,
    "decimal": _decimal,
}
"""Parsers of the fields that may be given as text."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The array of a file, the part of it, and the layout of a table; what is None is found from the file.

    Fields may be given as a person types them. Raises OptionError for one without meaning.
    """

    key: str | None = None
    """The name of an array, in a file that holds several."""
    select: Any = None
    """The part of the array that is taken, a `Selection`; all of it by default."""
    delimiter: str | None = None
    """A character, or its name; a space stands for any run of spaces and tabs."""
    header: bool | None = None
    id_column: str | None = None
    """A column's title, or its number from 1."""
    columns: Any = None
    """The columns of scores in a table, as --columns takes them, or a list of titles and numbers."""
    skip: int | None = None
    """Lines of text above the table."""
    comment: str | None = None
    """The mark that begins a comment in text, # by default; empty if there are no comments."""
    decimal: str | None = None
    """The decimal mark of numbers in text: a point or a comma."""
    inspected: bool = False
    """True to find more: a single column of text names the rows, and all arrays are described."""
    strict: bool = True
    """True to refuse what may be misread: columns like names, doubtful headers, results."""

    def __post_init__(self) -> None:
        for name, parse in PARSERS.items():
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, parse(given))

    @property
    def given(self) -> tuple[str, ...]:
        """The names of the given fields that only some formats know."""
        names = (each.name for each in fields(self) if each.default is None and each.name != "select")
        return tuple(name for name in names if getattr(self, name) is not None)
