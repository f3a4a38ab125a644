"""Cells as numbers by pyarrow: quick, and in parallel, since it works without the interpreter's lock."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from softargmax_cli.arrays.csv.dialect import Layout
from softargmax_cli.arrays.csv.records import Piece
from softargmax_cli.arrays.source import Loaded
from softargmax_cli.reduction.buffer import Buffer

# pyarrow reads nan in any case as a number; what is spelled otherwise (nULL) is left to the plain parser.
_MISSING = [pad + word for word in ("", "NA", "na", "N/A", "n/a", "NULL", "null", "Null") for pad in ("", " ")]


class ArrowParser:
    """Reads pieces of one layout; for any number of threads."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def parse(self, piece: Piece, buffer: Buffer) -> Loaded | None:
        """The piece's values, shape (records, columns), in `buffer`; None where the plain parser must look."""
        import pyarrow as pa
        import pyarrow.csv

        held, size = piece.held, piece.size
        if self._layout.id_at is not None and held.find(0, 0, size) >= 0:
            return None  # pyarrow takes NUL for a character of a name
        if held.find(b"\r", 0, size) >= 0 and held.count(b"\r", 0, size) != held.count(b"\r\n", 0, size):
            return None  # pyarrow ends a record at a lone carriage return
        parse, convert = self._options
        read = pyarrow.csv.ReadOptions(use_threads=False, column_names=self._names, block_size=size + 1)
        try:
            table = pyarrow.csv.read_csv(pa.BufferReader(pa.py_buffer(piece.data)), read, parse, convert)
        except pa.ArrowInvalid:
            return None
        rows: int = table.num_rows
        # pyarrow skips blank lines. Line ends inside quotes, too, make these counts differ, but those are rare enough
        # to be read slowly.
        if rows != piece.lines:
            return None
        values = buffer.array((len(self._layout.columns), rows), "f8")
        begin = 0
        for batch in table.to_batches():
            end, columns = begin + batch.num_rows, batch.columns
            for row, at in zip(values, self._layout.columns, strict=True):
                row[begin:end] = columns[at].to_numpy(zero_copy_only=False)  # NaN where null
            begin = end
        if self._layout.id_at is None:
            return Loaded(values.T)
        ids: list[str] = table.column(self._layout.id_at).to_numpy().tolist()
        return Loaded(values.T, ids)

    @cached_property
    def _names(self) -> list[str]:
        # Not the header's: those may occur twice.
        return [str(at) for at in range(self._layout.width)]

    @cached_property
    def _options(self) -> tuple[Any, Any]:
        import pyarrow as pa
        import pyarrow.csv

        layout = self._layout
        types = {name: pa.float64() for name in self._names}
        if layout.id_at is not None:
            types[str(layout.id_at)] = pa.string()
        # Between single spaces an empty cell is no missing value: it is a second space.
        missing = [word for word in _MISSING if layout.delimiter != " " or word.strip()]
        return (
            pyarrow.csv.ParseOptions(delimiter=layout.delimiter, newlines_in_values=True),
            pyarrow.csv.ConvertOptions(column_types=types, null_values=missing),
        )
