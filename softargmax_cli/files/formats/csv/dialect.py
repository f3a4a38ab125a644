"""How a file of delimited text is written: told, or found from its first records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from softargmax_cli.errors import InputError, OptionError
from softargmax_cli.files.formats.csv.cells import (
    decoded,
    is_grouped,
    is_missing,
    is_number,
    records,
    refuse_spaces,
    shown,
)
from softargmax_cli.files.formats.csv.records import LONGEST, Records, trimmed
from softargmax_cli.files.reading import NAMED_DELIMITERS

DELIMITERS = ",\t;| "
"""Those that are looked for; of two that explain a file equally well, the first."""
_HEAD = 64 << 10
_SAMPLE = 10
_CELLS = 10_000
"""Cells in a sample, unless two records have more."""
_ENOUGH = 1000
"""Cells of a record, from either end, that tell what kind it is."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the first records say about all of them."""

    name: str
    """The file's, for errors."""
    delimiter: str
    told: bool
    """Whether the delimiter was told, not found."""
    width: int
    """Cells in each record."""
    header: tuple[str, ...] | None
    id_at: int | None
    """Position of the column that names the rows."""
    columns: Sequence[int]
    """Positions of the columns of numbers: all others."""
    record: int
    """About how many bytes a record takes."""
    notes: tuple[str, ...] = ()
    """What the user should know of the way the file is read."""


def find_layout(
    stream: Records, delimiter: str | None, header: bool | None, id_column: str | None, *, find_ids: bool = False
) -> Layout:
    """The layout of a stream at its start, which is left after the byte order mark and the header.

    With `find_ids`, and where no `id_column` is told, the one column of text names the rows. InputError where the
    file is empty or not text; OptionError where an option does not fit it.
    """
    if delimiter is not None:
        delimiter = spelled(delimiter)
    name = stream.name
    text, found, sample = _head(stream, delimiter)
    if not sample:
        raise InputError(f"{name}: the file is empty")
    first, second = sample[0], sample[1] if len(sample) > 1 else []
    if not first:
        raise InputError(f"{name}: line 1 is blank", "remove it")
    if found == " " and "" in first:
        refuse_spaces(name, 1)
    titles = tuple(map(str.strip, first))
    id_at = _of_text(sample) if find_ids and id_column is None else by_number(id_column, len(first))
    notes: tuple[str, ...] = ()
    indexed = _is_indexed(sample)
    if header is None:
        header = (id_at is None and id_column in titles) or _is_header(sample, id_at) or (indexed and _counts(titles))
        if second and not header and (_counts(titles) or (id_at is not None and _ascends(titles, id_at))):
            notes = ("line 1 is read as numbers; pass --header if it names the columns, --no-header if not",)
    if header and indexed and id_at is None and id_column is None:
        notes = (
            "column 1 has no title and counts the rows, as pandas writes it; pass --id-column 1 if it is no score",
        )
    if id_at is None and id_column is not None:
        id_at = by_name(name, titles, header, id_column)
    everywhere = range(len(first))
    columns = everywhere if id_at is None else tuple(at for at in everywhere if at != id_at)
    if not columns:
        raise InputError(
            f"{name}: no column of numbers beside {shown(titles[0]) if header else 'column 1'}",
            "leave out --id-column, or pass --delimiter if the cells are not separated by " + repr(found),
        )
    record = len(text) // max(1, text.count("\n"))
    if header:
        if len(sample) == 1 and stream.ended:
            told = ", and give no --header if line 1 is one" if any(map(is_number, first)) else ""
            raise InputError(f"{name}: line 1 is a header, and no rows follow it", f"write the rows below it{told}")
        _skip_header(stream, text, found, name)
    return Layout(
        name, found, delimiter is not None, len(first), titles if header else None, id_at, columns, record, notes
    )


def spelled(delimiter: str) -> str:
    """A delimiter as it was typed, which may be its name; OptionError where it cannot be one."""
    character = NAMED_DELIMITERS.get(delimiter.lower(), delimiter)
    if len(character) != 1 or not character.isascii() or character in '"\r\n\0':
        raise OptionError(
            f"{shown(delimiter)} is not a delimiter",
            "pass one ASCII character, or tab, space, comma, semicolon, pipe",
        )
    return character


def _preferred(name: str) -> str | None:
    """The delimiter that a file's name speaks of."""
    return "\t" if name.lower().removesuffix(".gz").endswith((".tsv", ".tab")) else None


def _head(stream: Records, delimiter: str | None) -> tuple[str, str, list[list[str]]]:
    """The first lines, the delimiter and the first records: at least two, unless the stream has less."""
    size = _HEAD
    while True:
        stream.fill(size)
        if not stream.offset:
            _check_start(stream)
        stream.check_cells(delimiter or DELIMITERS)
        held = len(stream.held)
        # Two records and the begin of a third take as many lines; before that there is no use in looking.
        if stream.ended or held >= LONGEST or stream.held.count(b"\n") > 2 or 0 in stream.held:
            text = _text(stream)
            found = delimiter or _sniffed(text, stream.ended, stream.name)
            sample = _sample(text, stream.ended, found, stream.name)
            if stream.ended:
                stream.border(found)  # in a quote that is never closed, what follows would look like a header
            if len(sample) >= 2 or stream.ended or (sample and held >= LONGEST):
                return text, found, sample
            if held >= LONGEST:
                raise stream.too_long(stream.held.count(b"\n", 0, stream.border(found)))
        size = 2 * max(size, held)


def _check_start(stream: Records) -> None:
    """Refuse what is not text, and move past a byte order mark."""
    if stream.held.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        raise InputError(
            f"{stream.name}: byte 0: the file is UTF-32, not UTF-8",
            "convert it with: iconv -f UTF-32 -t UTF-8 OLD > NEW",
        )
    if stream.held.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(
            f"{stream.name}: byte 0: the file is UTF-16, not UTF-8",
            "convert it with: iconv -f UTF-16 -t UTF-8 OLD > NEW",
        )
    if stream.held.startswith(b"\xef\xbb\xbf"):
        stream.skip(3)


def _text(stream: Records) -> str:
    """What is held of the first lines, cut at the last line end (that of a header may be the only one)."""
    held = stream.held
    size = held.find(0) + 1  # what holds NUL is no text, and may have no line ends
    if not size:
        size = len(held) if stream.ended else held.rfind(b"\n") + 1
    with memoryview(held) as view:  # of which a slice is no copy
        return decoded(bytes(view[: trimmed(held, size) if stream.ended else size]), stream.name, 1, stream.offset)


def _sample(text: str, complete: bool, delimiter: str, name: str) -> list[list[str]]:
    """The first records; where the text goes on, not the last of it, which may be cut inside a quoted cell."""
    sample: list[list[str]] = []
    count = 0
    for _, cells in records(text, delimiter, name):
        if len(sample) >= _SAMPLE or (len(sample) >= 2 and count > _CELLS):
            return sample
        sample.append(cells)
        count += len(cells)
        del cells
    return sample if complete else sample[:-1]


def _sniffed(text: str, complete: bool, name: str) -> str:
    """The delimiter that explains the records best; the one that the name speaks of, where it cuts them all alike."""
    best, found = 0.0, ","
    for delimiter in DELIMITERS:
        if delimiter not in text:
            continue
        try:
            sample = [cells for cells in _sample(text, complete, delimiter, name) if cells]
            if delimiter == " ":  # which may also stand at the ends of lines
                sample = [" ".join(cells).strip(" ").split(" ") for cells in sample]
        except InputError:
            continue  # cells without end: not the delimiter, or the one that is says so
        if not sample:
            continue
        width, alike = Counter(map(len, sample)).most_common(1)[0]
        cells = [cell for record in sample[1:] or sample for cell in record[:_ENOUGH]]
        numbers = sum(is_number(cell) or is_grouped(cell) for cell in cells)
        # A delimiter cuts all records into as many cells, and leaves numbers; a text of only names has none of these.
        score = alike / len(sample) * (0.01 + numbers / len(cells)) if width > 1 else 0.0
        if score and alike == len(sample) and delimiter == _preferred(name):
            return delimiter
        if score > best:
            best, found = score, delimiter
    return found


def _is_header(sample: list[list[str]], id_at: int | None) -> bool:
    """Whether the first record names columns: text stands above a number, or it is all text.

    Names of rows may be numbers, or some of them: above these, text tells only where they all are.
    """
    first, second = sample[0], sample[1] if len(sample) > 1 else []
    if id_at is not None and _is_text(first[id_at]):
        names = [cells[id_at] for cells in sample[1:] if id_at < len(cells)]
        if names and all(is_number(cell) and not is_missing(cell) for cell in names):
            return True
    looked = {*range(len(first))[:_ENOUGH], *range(len(first))[-_ENOUGH:]} - {id_at}
    above = [(at, first[at]) for at in sorted(looked)]
    for at, cell in above:
        below = second[at] if at < len(second) else ""
        if _is_text(cell) and is_number(below) and not is_missing(below):
            return True
    # The cell above a column of names is often left empty.
    texts = [_is_text(cell) for at, cell in above if at or cell]
    return bool(texts) and all(texts)


def _is_indexed(sample: list[list[str]]) -> bool:
    """Whether the first of several columns counts the records, below an empty title, as pandas writes it."""
    below = [cells[0] for cells in sample[1:] if cells]
    counts = bool(below) and all(cell == str(k) for k, cell in enumerate(below))
    return counts and len(sample[0]) > 1 and not sample[0][0].strip()


def _counts(titles: tuple[str, ...]) -> bool:
    """Whether the cells are 0, 1, 2, as pandas names columns, perhaps after an empty one."""
    numbers = titles[1:] if not titles[0] else titles
    return len(numbers) > 1 and all(number == str(k) for k, number in enumerate(numbers))


def _ascends(titles: tuple[str, ...], id_at: int) -> bool:
    """Whether the cells beside a name are whole numbers that rise or fall, as years that name columns do."""
    numbers = [*titles[:id_at], *titles[id_at + 1 :]]
    if len(numbers) < 2 or not all(cell.isascii() and cell.isdecimal() for cell in numbers):
        return False
    steps = [int(b) - int(a) for a, b in pairwise(numbers)]
    return min(steps) > 0 or max(steps) < 0


def _is_text(cell: str) -> bool:
    return not is_number(cell) and not is_grouped(cell)


def _of_text(sample: list[list[str]]) -> int | None:
    """The position of the one column that holds text below the first record; None where none does, or several do."""
    below = [cells for cells in sample[1:] or sample if len(cells) == len(sample[0])]
    columns = [[cells[at] for cells in below] for at in range(len(sample[0]))]
    # NA may be missing, and may be Namibia.
    places = [
        at
        for at, cells in enumerate(columns)
        if any(map(_is_text, cells)) and all(_is_text(cell) or is_missing(cell) for cell in cells)
    ]
    return places[0] if len(places) == 1 and len(sample[0]) > 1 else None


def by_number(id_column: str | None, count: int) -> int | None:
    """The position that a column's number means; None where it is a name."""
    if id_column is None or not (id_column.isascii() and id_column.isdecimal()):
        return None
    return int(id_column) - 1 if 1 <= int(id_column) <= count else None


def by_name(name: str, titles: tuple[str, ...], header: bool, id_column: str) -> int:
    places = [at for at, title in enumerate(titles) if title == id_column]
    if header and len(places) == 1:
        return places[0]
    if not header:
        raise OptionError(
            f"{name}: no column {shown(id_column)}: the file has no header",
            f"pass --id-column with a number from 1 to {len(titles)}, or --header if line 1 names the columns",
        )
    if places:
        numbers = ", ".join(str(at + 1) for at in places[:8]) + (", ..." if len(places) > 8 else "")
        raise OptionError(
            f"{name}: columns {numbers} are all named {shown(id_column)}",
            f"pass the column's number: --id-column {places[0] + 1}",
        )
    few = ", ".join(shown(title) for title in titles[:8]) + (", ..." if len(titles) > 8 else "")
    raise OptionError(
        f"{name}: no column {shown(id_column)} among {few}", f"pass one of these, or a number from 1 to {len(titles)}"
    )


def _skip_header(stream: Records, text: str, delimiter: str, name: str) -> None:
    """Move past the header, which may take several lines where it is quoted."""
    lines = [line for line, _ in islice(records(text, delimiter, name), 2)]
    ended = lines[1] - 1 if len(lines) > 1 else text.count("\n") + 1
    position = 0
    for _ in range(ended):
        position = stream.held.find(b"\n", position) + 1 or len(stream.held)
    stream.skip(position, ended)
