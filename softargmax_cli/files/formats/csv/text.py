"""Text of a table as records of cells: comments and runs of spaces left out, quotes undone; and cells as numbers."""

from __future__ import annotations

import csv
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import InputError, MissingDependencyError

MISSING = frozenset({"", "na", "n/a", "null", "nan"})
"""Cells without a value, in lower case, stripped."""
_MARKS = frozenset({"-", "--", ".", "..", "?", "*", "none", "missing", "nil"})
_EXCEL = r"(?:N/A|NA\b|DIV/0!|VALUE!|REF!|NAME\?|NUM!|NULL!)"
"""Marks for a missing number that are refused; those of Excel begin as a comment does."""
_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf|infinity|nan)", re.ASCII | re.IGNORECASE)
_GROUPED = re.compile(r"[+-]?\d*([.,'_ \u00a0\u202f]\d+)+(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_COMMA = re.compile(r"[+-]?(?:\d{1,3}(?:\.\d{3})+|\d*)(?:,\d*)?(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_SPACES = re.compile(r"[ \t]+")


@dataclass(frozen=True)
class Dialect:
    """How the cells of a text are written."""

    name: str
    """The file's, for errors."""
    delimiter: str
    """A space stands for any run of spaces and tabs."""
    comment: str = "#"
    """Mark of a comment, at the start of a line or after a space; empty where nothing does."""
    comma: bool = False
    """True where a comma stands before the decimals, and points between thousands."""
    told: bool = False
    """True where the delimiter was told, not found."""

    @cached_property
    def comments(self) -> re.Pattern[str]:
        """Finds where a comment begins."""
        mark = re.escape(self.comment) + (f"(?!{_EXCEL})" if self.comment == "#" else "")
        return re.compile(rf"(?<![^ \t\n]){mark}")

    @cached_property
    def content(self) -> re.Pattern[bytes]:
        """Finds a line that is not blank and not a comment."""
        comment = f"|{self.comments.pattern}" if self.comment else ""
        return re.compile(rf"(?m)^[ \t]*(?![ \t\r\n]|\Z{comment})".encode())

    def number(self, cell: str) -> str:
        """A stripped cell as polars reads numbers; what is no number is none afterwards."""
        if not self.comma or not ("," in cell or "." in cell):
            return cell
        return cell.replace(".", "").replace(",", ".") if _COMMA.fullmatch(cell) else "no number"

    def kind(self, cell: str) -> str:
        """Classify a cell: number, odd (one that is spelled otherwise), empty, missing, mark or text."""
        cell = cell.strip(" \t")
        low = cell.lower()
        if low in MISSING:
            return "missing" if low else "empty"
        if _NUMBER.fullmatch(self.number(cell)):
            return "number"
        if is_grouped(cell) or is_percent(cell):
            return "odd"
        return "mark" if low in _MARKS or re.match(f"#{_EXCEL}", cell) else "text"


def is_grouped(cell: str) -> bool:
    """Tell a number with a decimal comma or thousands separators, or one that some decimal mark does not fit."""
    return _GROUPED.fullmatch(cell.strip()) is not None


def has_comma(cell: str) -> bool:
    """Tell a number that `--decimal ,` reads."""
    return "," in cell and _COMMA.fullmatch(cell.strip()) is not None


def is_percent(cell: str) -> bool:
    """Tell a number with a percent sign."""
    cell = cell.strip()
    return cell.endswith("%") and _NUMBER.fullmatch(cell[:-1].strip().replace(",", ".")) is not None


def decoded(data: bytes, name: str, line: int, offset: int) -> str:
    """Decode `data`, which begins at `line` and `offset` of the file. Raises InputError where it is not text."""
    nul = data.find(0)
    if nul >= 0:
        place = f"line {line + data.count(10, 0, nul)}, byte {offset + nul}"
        raise InputError(
            f"{name}: {place}: a NUL byte, so the file is not UTF-8 text",
            "save it as UTF-8 text, or its numbers as .npy",
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        place = f"line {line + data.count(10, 0, error.start)}, byte {offset + error.start}"
        raise InputError(
            f"{name}: {place}: 0x{data[error.start]:02x} is not UTF-8",
            "convert the file, as with: iconv -f LATIN1 -t UTF-8 OLD > NEW",
        ) from None


def records(text: str, dialect: Dialect, line: int = 1) -> Iterator[tuple[int, list[str]]]:
    """Yield each record and the line on which it begins; a blank line is an empty record, one of a comment is none."""
    lines = _Lines(text, dialect)
    reader = csv.reader(lines, delimiter=dialect.delimiter)
    first = line
    while True:
        lines.quoted = lines.comment = False  # whatever stray quotes there were, a record ends with its line
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "new-line" in str(error):
                raise InputError(
                    f"{dialect.name}: line {line}: a carriage return without a line feed",
                    "convert the line ends, as with: tr '\\r' '\\n' < OLD > NEW",
                ) from None
            long = "field limit" in str(error)
            said = f"a cell of more than {csv.field_size_limit():,} characters" if long else error
            what = f"{dialect.name}: line {line}: {said}"
            raise InputError(what, "check the delimiter, and that every quote is closed") from None
        if cells or not lines.comment:
            yield line, cells
        del cells  # those of a wide record take much memory, while the next ones are made
        line = first + reader.line_num


class _Lines(Iterator[str]):
    """The lines of a text without comments and repeated spaces, for csv.reader, which pulls one at a time."""

    def __init__(self, text: str, dialect: Dialect) -> None:
        self._text, self._start = text, 0
        self._comments = dialect.comments if dialect.comment and dialect.comment in text else None
        self._spaces = dialect.delimiter == " "
        self.quoted = False
        """True where the next line begins inside quotes."""
        self.comment = False
        """True where the last line was nothing but a comment."""

    def __next__(self) -> str:
        if self._start >= len(self._text):
            raise StopIteration
        end = self._text.find("\n", self._start) + 1 or len(self._text)
        line = self._text[self._start : end]
        self._start = end
        return line if self._comments is None and not self._spaces else self._cleaned(line)

    def _cleaned(self, line: str) -> str:
        bare = line.rstrip("\r\n")
        end, parts = line[len(bare) :], bare.split('"')
        begins = not self.quoted
        for k, part in enumerate(parts):
            if self.quoted != (k % 2 == 1):
                continue  # inside quotes
            found = self._comments.finditer(part) if self._comments is not None else iter(())
            begin = next((each.start() for each in found if each.start() or not k), None)
            parts[k] = _SPACES.sub(" ", part[:begin]) if self._spaces else part[:begin]
            if begin is not None:
                parts[k], parts[k + 1 :] = parts[k].rstrip(), []
                self.comment = not k and not parts[0]
                break
        plain = '"'.join(parts)
        self.quoted ^= len(parts) % 2 == 0
        if self._spaces:
            plain = plain.lstrip(" ") if begins else plain
            plain = plain if self.quoted else plain.rstrip(" ")
        return plain + end


_CELLS = 1 << 18
"""Cells that become numbers at a time."""


def load() -> Any:
    """Import polars, which takes SIGINT for itself, and give that back; only the main thread can.

    Raises MissingDependencyError where polars cannot be used.
    """
    if "polars" not in sys.modules:
        handler = signal.getsignal(signal.SIGINT)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of what is an error here
            import polars  # noqa: F401
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
    if not sys.modules["polars"].__version__:  # it passes over why its own library cannot be loaded
        remedy = "give this process more memory (ulimit -v); if there is enough, install polars again"
        raise MissingDependencyError("polars, which reads CSV files, has no library", remedy)
    return sys.modules["polars"]


def floats(cells: Sequence[str]) -> tuple[npt.NDArray[np.float64], list[int]]:
    """Make numbers of stripped cells, NaN where there is none, and list the places of those that are not missing."""
    polars = load()
    values, refused = np.empty(len(cells)), []
    for start in range(0, len(cells), _CELLS):
        text = polars.Series(cells[start : start + _CELLS], dtype=polars.String)
        numbers = text.cast(polars.Float64, strict=False)
        values[start : start + _CELLS] = numbers.to_numpy()  # NaN where null
        if numbers.null_count():
            nulls = np.flatnonzero(numbers.is_null().to_numpy()) + start
            refused += [k for k in map(int, nulls) if cells[k].lower() not in MISSING]
    return values, refused
