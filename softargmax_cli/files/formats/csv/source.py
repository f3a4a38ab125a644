"""Tables of numbers in delimited text: CSV, TSV, what numpy.savetxt writes; plain or gzipped, file or pipe."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import IO, Any

import numpy as np

from softargmax_cli.errors import naming
from softargmax_cli.files.columns import option_value
from softargmax_cli.files.formats.csv.dialect import Layout, find_layout
from softargmax_cli.files.formats.csv.parser import FrameParser, parse_cells, places_of
from softargmax_cli.files.formats.csv.records import Piece, Records
from softargmax_cli.files.formats.csv.text import load
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.source import Facts, Loaded, Pending, Source
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer

_LEAST = 64 << 10
_MOST = 8 << 20
"""Bytes of a piece, which has a block's numbers unless they take more."""
_CELLS = 1 << 13
"""Numbers of a piece, where blocks have fewer."""
MISSING = 10
"""Places of NaN that are told."""


def open_csv(
    stream: IO[bytes], name: str, reading: Reading | None = None, *, nbytes: int | None = None, compressed: bool = False
) -> CsvSource:
    """Open a table of numbers as float64, (rows not known, columns of scores), from a stream at its start.

    What `reading` does not say is found from the first rows. `nbytes` is the stream's size where that is known, gzip's
    own when `compressed`. Empty cells, NA, N/A, null and nan are NaN. Reading raises InputError with file, line and
    column; an option that does not fit the file raises OptionError.
    """
    with naming(name):
        load()
    records = Records(stream, name, compressed=compressed)
    if compressed and not stream.seekable():  # only bytes of text can be counted
        nbytes = None
    return CsvSource(records, find_layout(records, reading or Reading()), nbytes)


class CsvSource(Source):
    """Records in file order; a block's rows say about how many bytes are read, and how many rows come at most."""

    sequential = True
    stored = "float64"

    def __init__(self, records: Records, layout: Layout, nbytes: int | None = None) -> None:
        self.name = records.name
        self.shape = (None, len(layout.scores))
        self.dtype = np.dtype("f8")
        self.nbytes = nbytes
        self.labels = tuple(layout.table.titles[at] for at in layout.scores) if layout.table.titles else None
        self.notes = layout.columns.notes
        self.has_ids = layout.id_at is not None
        self.facts = Facts(
            "csv.gz" if records.compressed else "csv",
            delimiter=layout.dialect.delimiter,
            header=layout.table.titles,
            id_column=None if layout.id_at is None else option_value(layout.table, layout.id_at),
            columns=layout.columns.spec,
        )
        self.layout = layout
        self._records = records
        self._frames = FrameParser(layout)
        self._reported = 0
        self._counting = threading.Lock()
        self._missing: dict[int, tuple[Piece, Sequence[Any]]] = {}
        """The first pieces that hold NaN, by their lines, and the rows and columns of these."""

    def fetch(self, block: Block) -> Pending | None:
        self.check_open()
        rows = max(block.shape[0], _CELLS // self.layout.width)
        size = min(max(rows * self.layout.record, _LEAST), _MOST)
        while (piece := self._records.take(size, self.layout.dialect.delimiter, rows)) is not None:
            if self.layout.dialect.content.search(piece.data):  # not nothing but comments
                break
        else:
            return None
        moved = self._records.consumed - self._reported
        self._reported += moved
        return Pending(moved, partial(self._parse, piece))

    def _parse(self, piece: Piece, buffer: Buffer) -> Loaded:
        """Parse a piece to values, (records, columns); any thread may ask."""
        loaded = self._frames.parse(piece, buffer) or parse_cells(piece, self.layout, buffer)
        with np.errstate(over="ignore", invalid="ignore"):
            spoilt = bool(np.isnan(loaded.values.sum()))
        found = np.argwhere(np.isnan(loaded.values))[:MISSING].tolist() if spoilt else []
        with self._counting:
            self.rows += len(loaded.values)
            if len(found):
                self._missing[piece.line] = piece, found
                while len(self._missing) > MISSING:
                    del self._missing[max(self._missing)]
        return loaded

    def missing(self) -> Sequence[str]:
        with self._counting:
            found = sorted(self._missing.items())
        places: list[str] = []
        for _, (piece, cells_of) in found:
            if len(places) < MISSING:
                places += places_of(piece, self.layout, cells_of)
        return places[:MISSING]

    def close(self) -> None:
        super().close()
        self._records.close()
