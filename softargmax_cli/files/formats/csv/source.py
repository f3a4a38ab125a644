"""Tables of numbers in delimited text: CSV, TSV, what numpy.savetxt writes; plain or gzipped, file or pipe."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import IO

import numpy as np

from softargmax_cli.files.formats.csv import cells, frames
from softargmax_cli.files.formats.csv.dialect import Layout, find_layout
from softargmax_cli.files.formats.csv.frames import FrameParser
from softargmax_cli.files.formats.csv.records import Piece, Records
from softargmax_cli.files.source import Facts, Loaded, Source
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer

_LEAST = 64 << 10
_MOST = 8 << 20
"""Bytes of a piece, which has a block's numbers unless they take more."""
_CELLS = 1 << 13
"""Numbers of a piece, where blocks have fewer."""
_FEW = 48
"""Below so many records plain Python is quicker than polars."""
_SMALL = 2 << 20
"""Bytes of a file, or of a pipe so far, that plain Python reads sooner than polars is imported."""


def open_csv(
    stream: IO[bytes],
    name: str,
    *,
    delimiter: str | None = None,
    header: bool | None = None,
    id_column: str | None = None,
    nbytes: int | None = None,
    compressed: bool = False,
    find_ids: bool = False,
) -> CsvSource:
    """A table of numbers as float64, shape (rows not known, columns of numbers), from a stream at its start.

    `delimiter` and `header` are found from the first records where they are not told; `id_column` is the name or the
    number, from 1, of the column that names the rows; with `find_ids` the one column of text does. `nbytes` is the
    stream's size where that is known, gzip's own when `compressed`. Empty cells, NA, N/A, null and nan are NaN.
    Reading raises InputError with file, line and column; an option that does not fit the file raises OptionError.
    """
    records = Records(stream, name, compressed=compressed)
    return CsvSource(records, find_layout(records, delimiter, header, id_column, find_ids=find_ids), nbytes)


class CsvSource(Source):
    """Records in file order; a block's rows say about how many bytes are read, and how many rows come at most."""

    sequential = True
    stored = "float64"

    def __init__(self, records: Records, layout: Layout, nbytes: int | None = None) -> None:
        self.name = records.name
        self.shape = (None, len(layout.columns))
        self.dtype = np.dtype("f8")
        self.nbytes = nbytes
        self.labels = tuple(layout.header[at] for at in layout.columns) if layout.header else None
        self.notes = layout.notes
        self.has_ids = layout.id_at is not None
        told = None if layout.id_at is None else cells.option_for(layout, layout.id_at)
        self.facts = Facts(
            "csv.gz" if records.compressed else "csv",
            delimiter=layout.delimiter,
            header=layout.header,
            id_column=int(told) if told and told.isdecimal() else told,
        )
        self._records = records
        self.layout = layout
        self._frames = FrameParser(layout)
        self._reported = 0
        self._counting = threading.Lock()

    def fetch(self, block: Block) -> CsvPending | None:
        self.check_open()
        rows = max(block.shape[0], _CELLS // self.layout.width)
        size = min(max(rows * self.layout.record, _LEAST), _MOST)
        piece = self._records.take(size, self.layout.delimiter, rows)
        if piece is None:
            return None
        far = max(self.nbytes or 0, piece.offset + len(piece.data))
        long = piece.lines >= _FEW and far > _SMALL
        if long:
            frames.load()
        moved = self._records.consumed - self._reported
        self._reported += moved
        return CsvPending(moved, piece, long, self)

    def parse(self, piece: Piece, long: bool, buffer: Buffer) -> Loaded:
        """A piece's values, shape (records, columns); any thread may ask. long: whether it is worth another parser."""
        loaded = self._frames.parse(piece, buffer) if long else None
        loaded = loaded or cells.parse(piece, self.layout, buffer)
        with self._counting:
            self.rows += len(loaded.values)
        return loaded

    def close(self) -> None:
        super().close()
        self._records.close()


@dataclass(frozen=True, slots=True)
class CsvPending:
    """Complete records, not yet parsed."""

    nbytes: int
    piece: Piece
    long: bool
    source: CsvSource

    def load(self, buffer: Buffer) -> Loaded:
        return self.source.parse(self.piece, self.long, buffer)
