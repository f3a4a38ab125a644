"""Titles or numbers in line 1 of a table. Where it may be either, that is an error, so that no row is lost."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import InputError, parameter
from softargmax_cli.files.columns import shown
from softargmax_cli.files.formats.csv.text import Dialect

_YEARS = range(1900, 2101)
UNTOLD = (
    f"line 1 is read as numbers; pass {parameter('header', True)} if it names the columns, "
    f"{parameter('header', False)} if not"
)
"""The note on a line that counts, as titles do that pandas makes."""


def has_header(
    dialect: Dialect,
    line_1: tuple[int, list[str]],
    rows: Sequence[list[str]],
    known: tuple[npt.NDArray[np.float64], Collection[int]],
    outside: Collection[int],
    *,
    ask: bool,
) -> bool:
    """Tell whether the first record names the columns.

    It does where no cell of it is a number or a mark for a missing one, and where pandas or R wrote it: an empty or a
    text cell over names or whole numbers, then text or consecutive whole numbers. Numbers alone are a row.

    rows: those below; known: their numbers, (rows, columns), and the positions of the columns of text; outside:
    positions that tell nothing. Raises InputError where signs speak for both, unless `ask` is false.
    """
    line, cells = line_1
    numbers, texts = known
    kinds = [dialect.kind(cell) for cell in cells]
    if not rows:  # nothing tells columns of text
        texts = () if set(kinds) <= {"text", "empty"} else [at for at, kind in enumerate(kinds) if kind == "text"]
    looked = [at for at in range(len(cells)) if at not in texts and at not in outside]
    here = [kinds[at] for at in looked]
    words, gaps = here.count("text"), here.count("mark") + here.count("missing")
    count = here.count("number") + here.count("odd")
    if words and not count and not gaps:
        return True
    below = numbers[:, looked] if rows else np.empty((0, len(looked)))
    decimals = not _whole(below)
    if rows and len(cells) > 1 and kinds[0] in ("empty", "text"):
        over_names = 0 in texts or 0 in outside or _whole(numbers[:, 0])
        rest = [at for at in range(1, len(cells)) if at not in texts and at not in outside]
        if over_names and {kinds[at] for at in rest} <= {"text", "empty", "missing"} and words:
            return True
        following = _consecutive(dialect, [cells[at] for at in rest])
        if over_names and following is not None:
            if kinds[0] == "empty" or 0 not in texts or not _whole(numbers[:, rest]):
                return True
            if ask and len(rest) > 1:
                raise _either(dialect.name, line, cells, rest)
    if words and (count or gaps):
        if ask:
            raise _mixed(dialect, line, cells, [at for at in looked if kinds[at] != "empty"], kinds, count >= words)
        return words > count
    if ask and rows and here and count == len(here):
        wholes = [dialect.number(cells[at].strip()) for at in looked]
        years = len(wholes) > 1 and all(each.isdecimal() and int(each) in _YEARS for each in wholes)
        rising = years and all(int(a) < int(b) for a, b in pairwise(wholes))
        all_years = not decimals and bool(((below >= _YEARS[0]) & (below <= _YEARS[-1])).all())
        titles = len(wholes) > 2 and decimals and _consecutive(dialect, [cells[at] for at in looked]) is not None
        if titles or (rising and not all_years):
            raise _either(dialect.name, line, cells, looked)
    return False


def counts(cells: Sequence[str]) -> bool:
    """Tell whether several cells are 0, 1, 2, as pandas names columns."""
    return len(cells) > 1 and all(cell == str(k) for k, cell in enumerate(cells))


def _consecutive(dialect: Dialect, cells: Sequence[str]) -> int | None:
    """The first of whole numbers that follow each other; None where the cells are none."""
    plain = [cell.strip() for cell in cells]
    if not plain or not all(cell.isascii() and cell.isdecimal() and len(cell) < 16 for cell in plain):
        return None
    return int(plain[0]) if all(int(b) - int(a) == 1 for a, b in pairwise(plain)) else None


def _whole(numbers: npt.NDArray[np.float64]) -> bool:
    """Tell whether there are numbers, and whole ones alone."""
    known = numbers[np.isfinite(numbers)]
    return bool(known.size) and bool((known % 1 == 0).all())


def _either(name: str, line: int, cells: Sequence[str], looked: Sequence[int]) -> InputError:
    few = ", ".join(cells[at].strip() for at in looked[:4]) + (", ..." if len(looked) > 4 else "")
    what = f"{name}: line {line}: {few} may be titles of the columns or numbers of the first row"
    return InputError(what, f"pass {parameter('header', True)} if they are titles, {parameter('header', False)} if not")


def _mixed(
    dialect: Dialect, line: int, cells: Sequence[str], looked: Sequence[int], kinds: Sequence[str], row: bool
) -> InputError:
    """Say which cell does not belong in a line of titles and numbers."""
    odd = next(at for at in looked if (kinds[at] == "text") == row)
    where = f"{dialect.name}: line {line}, column {odd + 1}: {shown(cells[odd].strip())}"
    if row:
        remedy = f"pass {parameter('header', True)} if line {line} names the columns; else write a number, or NaN"
        return InputError(f"{where} is not a number, as others in the line are", remedy)
    remedy = f"pass {parameter('header', True)} if line {line} names the columns; else write numbers for its text"
    return InputError(f"{where} is not text, as others in the line are", remedy)
