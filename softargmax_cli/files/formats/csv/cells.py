"""Cut delimited text into cells with csv, and make numbers of cells with polars."""

from __future__ import annotations

import csv
import importlib
import re
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import InputError

_handler = signal.getsignal(signal.SIGINT)  # polars replaces it
polars: Any = importlib.import_module("polars")
if _handler is not None and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, _handler)

MISSING = ("", "na", "n/a", "null", "nan")
"""Cells without a value, in lower case, stripped."""
_EXCEL = r"(?i:N/A|NA\b|DIV/0!|VALUE!|REF!|NAME\?|NUM!|NULL!)"
_MARKS = frozenset({"-", "--", ".", "..", "?", "*", "none", "missing", "nil"})
"""Marks for a missing number that are refused, beside those of Excel."""
_ODD = re.compile(rf"[+-]?[\d.,'_ \u00a0\u202f]*\d *%?|[+-]?[\d.,]+e[+-]?\d+|#{_EXCEL}", re.ASCII)
"""Numbers with separators or percent signs, and the marks of Excel."""
_COMMENT = "\ue000"
"""Stands for a line that is nothing but a comment."""
COMMA = r"(?i)^[+-]?(?:[1-9][0-9]{0,2}(?:\.[0-9]{3})+|[0-9]*)(?:,[0-9]*)?(?:e[+-]?[0-9]+)?$"
"""A number with a decimal comma, perhaps with points between thousands."""


@dataclass(frozen=True)
class Dialect:
    """The spelling of cells in a text."""

    delimiter: str
    """A space stands for any run of spaces and tabs."""
    comment: str
    """Mark of a comment, at the start of a line or after a space; empty if there are no comments."""
    comma: bool
    """True if a comma stands before the decimals, and points between thousands."""

    @cached_property
    def noise(self) -> re.Pattern[str]:
        """The pattern of comments and of runs of blanks, and of quoted text, which is kept."""
        spaces = self.delimiter == " "
        begin = r"[ \t]" if spaces else re.escape(self.delimiter)
        parts = [rf'(?P<kept>(?:^|(?<={begin}))"[^"]*(?:""[^"]*)*(?:"|\Z)|"[^"\n]*")']
        if self.comment:
            mark = re.escape(self.comment) + (f"(?!{_EXCEL})" if self.comment == "#" else "")
            parts.append(rf"(?P<line>^[ \t]*{mark}.*)|" + (r"[ \t]+" if spaces else r"(?<=[ \t])") + f"{mark}.*")
        if spaces:
            parts.append(r"^[ \t]+|[ \t]+(?=\r*$)|(?P<blanks>[ \t]+)")
        return re.compile("|".join(parts), re.MULTILINE)


def decoded(data: bytes, line: int) -> str:
    """Decode `data`, which begins at a line of the file. Raises InputError if it is not UTF-8 text."""
    if (nul := data.find(0)) >= 0:
        what = f"line {line + data.count(10, 0, nul)}: a NUL byte, so the file is not UTF-8 text"
        raise InputError(what, "save it as UTF-8 text, or its numbers as .npy")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        what = f"line {line + data.count(10, 0, error.start)}: byte 0x{data[error.start]:02x} is not UTF-8"
        raise InputError(what, "convert the file, as with: iconv -f LATIN1 -t UTF-8 OLD > NEW") from None


def records(text: str, dialect: Dialect, line: int = 1, *, cut: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each record begins, and its cells; a blank line has none, a comment is no record.

    cut: the text may end within a quoted cell. Raises InputError if csv cannot parse it.
    """
    if dialect.delimiter == " " or (dialect.comment and dialect.comment in text):
        text = dialect.noise.sub(_without_noise, text)
    lines = (found[0] for found in re.finditer(r"[^\n]*\n|[^\n]+", text))  # io.StringIO takes four bytes a character
    reader, first = csv.reader(lines, delimiter=dialect.delimiter, strict=not cut), line
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            known = {"unexpected end": "a quote is never closed", "new-line": "a carriage return without a line feed"}
            said = next((words for sign, words in known.items() if sign in str(error)), error)
            remedy = "check the delimiter, the line ends, and that every quote is closed"
            raise InputError(f"line {line}: {said}", remedy) from None
        if cells != [_COMMENT]:
            yield line, cells
        line = first + reader.line_num


def _without_noise(found: re.Match[str]) -> str:
    return {"kept": found[0], "line": _COMMENT, "blanks": " "}.get(found.lastgroup or "", "")


def numbers(cells: Any, *, comma: bool) -> tuple[npt.NDArray[np.float64], list[list[int]]]:
    """Make numbers of a polars frame of text: (rows, columns), with NaN for a missing one.

    Also list row and column of the cells that are neither numbers nor missing, in the order of the text.
    """
    text = polars.all().fill_null("").str.strip_chars(" \t\r")
    absent = cells.select(text.str.to_lowercase().is_in(list(MISSING))).to_numpy()
    if comma:
        pointed = text.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
        text = polars.when(~text.str.contains("[.,]") | text.str.contains(COMMA)).then(pointed)
    made = cells.select(text.cast(polars.Float64, strict=False))
    refused = made.select(polars.all().is_null()).to_numpy() & ~absent
    return made.to_numpy(), np.argwhere(refused).tolist()


def classified(cells: Sequence[str], *, comma: bool) -> tuple[npt.NDArray[np.float64], list[str]]:
    """Make numbers of cells, (n,), with NaN for a missing one, and tell the kind of each.

    Kinds: "number", "empty", "missing", "odd" (refused, but meant as one of these), "text".
    """
    values, refused = numbers(frame_of({"": cells}), comma=comma)
    rows = {row for row, _ in refused}
    return values[:, 0], [_kind(cell.strip(" \t").lower(), refused=row in rows) for row, cell in enumerate(cells)]


def frame_of(columns: Mapping[str, Sequence[str]]) -> Any:
    """Make a polars frame of columns of cells."""
    return polars.DataFrame(columns, schema=dict.fromkeys(columns, polars.String))


def _kind(cell: str, *, refused: bool) -> str:
    if refused:
        return "odd" if cell in _MARKS or _ODD.fullmatch(cell) else "text"
    return ("missing" if cell else "empty") if cell in MISSING else "number"
