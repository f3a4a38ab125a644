"""From a source and a selection to a source of that part."""

from __future__ import annotations

from softargmax_cli.errors import OptionError, naming
from softargmax_cli.files.select.boxes import SelectedSource
from softargmax_cli.files.select.selection import Selection
from softargmax_cli.files.select.streams import SelectedStream
from softargmax_cli.files.select.tables import RowSource, SelectedTable
from softargmax_cli.files.source import Source
from softargmax_cli.files.spooled import spooled

MEMORY = 32 << 20
"""Bytes that copying may take, where what is read in order is wanted in another one."""


def selected(source: Source, selection: Selection) -> Source:
    """The part of `source` that `selection` takes; what is not asked for is not read, as far as its order allows.

    Closing it closes `source`, which otherwise stays the caller's: where this raises, too. Raises OptionError for an
    index that the array has not.
    """
    with naming(source.name):
        return _selected(source, selection)


def _selected(source: Source, selection: Selection) -> Source:
    kept = selection.kept(len(source.shape))
    if None in source.shape:
        rows, columns = selection.expanded(2)
        if isinstance(rows, int) and rows >= 0:
            row, taken = _row(source, selection, rows), selection.ranges((rows + 1, source.shape[1] or 0))
            return SelectedSource(row, (range(1), *taken[1:]), kept)
        if isinstance(rows, slice) and isinstance(columns, slice) and _upwards(rows):
            return SelectedTable(source, rows, range(*columns.indices(source.shape[1] or 0)))
        source = _counted(source, selection)
    ranges = selection.ranges(tuple(n or 0 for n in source.shape))
    if not source.sequential:
        return SelectedSource(source, ranges, kept)
    if all(positions.step > 0 for positions in (ranges[:-1] if source.turns_columns else ranges)):
        return SelectedStream(source, ranges, kept)
    return SelectedSource(_counted(source, selection), ranges, kept)


def _upwards(rows: slice) -> bool:
    """Whether a table's rows can be told from its beginning."""
    return all(number is None or number >= 0 for number in (rows.start, rows.stop, rows.step))


def _row(source: Source, selection: Selection, row: int) -> Source:
    try:
        return RowSource(source, row)
    except IndexError as error:
        raise selection.out_of_range(row, error.args[0], 0) from None


def _counted(source: Source, selection: Selection) -> Source:
    """A copy that can be read in any order, of which the number of rows is known."""
    if source.has_ids and all(selection.kept(2)):  # else what stays are no rows
        what = f"--select {selection}: rows that have names can only be taken in their order, counted from the first"
        raise OptionError(what, "take them upwards from one that is 0 or more, or save the numbers as .npy")
    return spooled(source, MEMORY)
