"""Cells as numbers by polars: quick, and in parallel, since it works without the interpreter's lock."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from typing import Any

import numpy as np

from softargmax_cli.files.formats.csv.dialect import Layout
from softargmax_cli.files.formats.csv.numbers import load
from softargmax_cli.files.formats.csv.records import Piece
from softargmax_cli.files.source import Loaded
from softargmax_cli.reduction.readable import Buffer

_WORDS = [pad + word for word in ("NA", "na", "N/A", "n/a", "NULL", "null", "Null") for pad in ("", " ")]
"""Words for a missing number; polars reads nan in any case as a number, and an empty cell as a missing one."""
_RUNS = (b"  ", b"\t", b"\n ", b" \n", b" \r")
"""Signs of more than one space between two cells."""
_BLANK = re.compile(rb"(?m)^[ \t\r]*\n")


class FrameParser:
    """Reads pieces of one layout as polars reads CSV; for any number of threads."""

    def __init__(self, layout: Layout) -> None:
        self._layout, dialect = layout, layout.dialect
        self._names = [str(at) for at in range(layout.width)]  # not the header's: those may occur twice
        self._numbers = [self._names[at] for at in layout.scores]
        self._delimiter = dialect.delimiter.encode()
        self._comment = dialect.comment.encode()
        self._comments = re.compile(dialect.comments.pattern.encode() + rb"[^\n]*")
        self._beside_quotes = np.isin(np.arange(256), list(self._delimiter + b'\r\n"'))
        self._end_spaces = re.compile(rb"[ \t]+(?=" + re.escape(self._delimiter) + rb"|[\r\n]|\Z)")
        self._blank = False  # whether blank lines have been seen
        self._lenient = False  # whether words for what is missing have been seen, or spaces after cells

    def parse(self, piece: Piece, buffer: Buffer) -> Loaded | None:
        """The values of a piece, (records, columns), in `buffer`; None where it takes a look at each cell."""
        data = piece.data
        if data.startswith(BOM_UTF8) or (self._layout.id_at is not None and 0 in data):
            return None  # NUL is a character of a name to polars, and a mark at the start the file's own
        if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
            return None  # a lone carriage return is another
        plain = self._plain(data)
        if not plain:
            return None
        frame = self._frame(plain)
        # Line ends inside quotes make these counts differ, but those are rare enough to be read slowly.
        lines = piece.lines if plain is data else plain.count(b"\n") + 1
        if frame is None or frame.height != lines or self._lacks(frame, plain):
            if self._blank or not _BLANK.search(plain):
                return None
            self._blank = True
            return self.parse(piece, buffer)
        if any(frame[self._names[at]].null_count() < frame.height for at in self._layout.idle):
            return None
        values = buffer.array((len(self._numbers), frame.height), "f8")
        for row, name in zip(values, self._numbers, strict=True):
            row[:] = frame[name].to_numpy()  # NaN where null
        if self._layout.id_at is None:
            return Loaded(values.T)
        if self._lenient:  # by which names, too, may be null
            frame = self._read(plain, [], only=[self._layout.id_at])
        return Loaded(values.T, frame[self._names[self._layout.id_at]].fill_null("").to_list())

    def _plain(self, data: bytes) -> bytes | None:
        """The text without comments, blank lines and repeated spaces; None where only a look at each cell can tell."""
        comments = bool(self._comment) and self._comment in data
        if self._layout.dialect.comma and b"." in data:
            return None
        if b'"' in data and (comments or self._delimiter == b" " or not self._quotes_whole_cells(data)):
            return None  # at a lone quote polars may panic
        if comments:
            data = self._comments.sub(b"", data)
        if (comments or self._blank) and len(self._names) > 1 and b'"' not in data:
            data = _BLANK.sub(b"", data + b"\n")[:-1].rstrip(b"\r\n")
        if self._delimiter == b" " and (data[:1] == b" " or data[-1:] == b" " or any(run in data for run in _RUNS)):
            data = re.sub(rb"(?m)^ | (?=\r?$)", b"", re.sub(rb"[ \t]+", b" ", data))
        return data

    def _quotes_whole_cells(self, data: bytes) -> bool:
        """Tell whether each quote begins a cell or ends one, or stands beside another inside."""
        text = np.frombuffer(data, np.uint8)
        quotes = np.flatnonzero(text == ord('"'))
        opening, closing = quotes[::2], quotes[1::2]
        before, after = text[opening[opening > 0] - 1], text[closing[closing < len(text) - 1] + 1]
        return len(quotes) % 2 == 0 and bool(self._beside_quotes[before].all() and self._beside_quotes[after].all())

    def _frame(self, data: bytes) -> Any:
        """All columns, with lenience where this piece or one before it wants it; None where that is not enough."""
        polars = load()
        bare = self._layout.id_at is None and b'"' not in data and not self._delimiter.isspace()
        for lenient in (False, True)[self._lenient :]:
            # Without names, quotes and delimiters that are spaces, those after a cell mean nothing.
            text = self._end_spaces.sub(b"", data) if lenient and bare and (b" " in data or b"\t" in data) else data
            if text.endswith(self._delimiter):
                return None  # polars passes over a last empty cell that is one too many
            try:
                frame = self._read(text, self._numbers, _WORDS if lenient else None)
            except polars.exceptions.PolarsError:
                continue
            self._lenient |= lenient
            return frame
        return None

    def _read(
        self, data: bytes, numbers: list[str], missing: list[str] | None = None, only: list[int] | None = None
    ) -> Any:
        polars = load()
        schema: dict[str, Any] = dict.fromkeys(self._names, polars.String)
        schema.update(dict.fromkeys(numbers, polars.Float64))
        dialect = self._layout.dialect
        return polars.read_csv(
            data,
            has_header=False,
            separator=dialect.delimiter,
            schema=schema,
            null_values=missing,
            columns=only,
            **{"decimal_comma": True} if dialect.comma else {},
        )

    def _lacks(self, frame: Any, data: bytes) -> bool:
        """Tell whether a record may be blank or short, which polars fills with nulls."""
        if not frame[self._names[-1]].null_count():
            return False
        cells = data.count(self._delimiter) + frame.height
        return len(self._names) == 1 or b'"' in data or cells != frame.height * len(self._names)
