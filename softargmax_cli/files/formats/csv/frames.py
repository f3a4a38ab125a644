"""Cells as numbers by polars: quick, and in parallel, since it works without the interpreter's lock."""

from __future__ import annotations

import re
import signal
import sys
import threading
import warnings
from codecs import BOM_UTF8
from typing import Any

import numpy as np

from softargmax_cli.errors import MissingDependencyError
from softargmax_cli.files.formats.csv.dialect import Layout
from softargmax_cli.files.formats.csv.records import Piece
from softargmax_cli.files.source import Loaded
from softargmax_cli.reduction.readable import Buffer

# polars reads nan in any case as a number, and an empty cell as a missing one; what is spelled otherwise (nULL) is left
# to the plain parser.
_MISSING = [pad + word for word in ("NA", "na", "N/A", "n/a", "NULL", "null", "Null") for pad in ("", " ")]
_SPACES = re.compile(rb"(?m)^ |  | $| \r|\"\"")
"""What is an empty cell, or may be, where one space is the delimiter."""


def load() -> None:
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
        raise MissingDependencyError("polars, which reads long CSV files, has no library", remedy)


class FrameParser:
    """Reads pieces of one layout; for any number of threads."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._names = [str(at) for at in range(layout.width)]  # not the header's: those may occur twice
        self._numbers = [self._names[at] for at in layout.columns]
        self._delimiter = layout.delimiter.encode()
        self._beside_quotes = np.isin(np.arange(256), list(self._delimiter + b'\r\n"'))
        self._end_spaces = re.compile(rb"[ \t]+(?=" + re.escape(self._delimiter) + rb"|[\r\n]|\Z)")
        self._lenience = 0  # 1: words for what is missing; 2: spaces after cells, too

    def parse(self, piece: Piece, buffer: Buffer) -> Loaded | None:
        """The piece's values, shape (records, columns), in `buffer`; None where the plain parser must look."""
        data = piece.data
        if self._layout.id_at is not None and 0 in data:
            return None  # polars takes NUL for a character of a name
        if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
            return None  # and a lone carriage return, too
        if data.startswith(BOM_UTF8):
            return None  # polars takes it for the file's own
        if b'"' in data and not self._quotes_whole_cells(data):
            return None  # at a lone quote polars may panic
        frame = self._frame(data)
        # Line ends inside quotes make these counts differ, but those are rare enough to be read slowly.
        if frame is None or frame.height != piece.lines or self._lacks(frame, data):
            return None
        values = buffer.array((len(self._numbers), frame.height), "f8")
        for row, name in zip(values, self._numbers, strict=True):
            row[:] = frame[name].to_numpy()  # NaN where null
        if self._layout.id_at is None:
            return Loaded(values.T)
        if self._lenience:  # by which names, too, may be null
            frame = self._read(data, [], only=[self._layout.id_at])
        return Loaded(values.T, frame[self._names[self._layout.id_at]].fill_null("").to_list())

    def _quotes_whole_cells(self, data: bytes) -> bool:
        """Whether each quote begins a cell or ends one, or stands beside another inside."""
        text = np.frombuffer(data, np.uint8)
        quotes = np.flatnonzero(text == ord('"'))
        opening, closing = quotes[::2], quotes[1::2]
        before, after = text[opening[opening > 0] - 1], text[closing[closing < len(text) - 1] + 1]
        return len(quotes) % 2 == 0 and bool(self._beside_quotes[before].all() and self._beside_quotes[after].all())

    def _frame(self, data: bytes) -> Any:
        """All columns, with as much lenience as a piece before this one wanted; None where none is enough."""
        from polars.exceptions import PolarsError

        for lenience in range(self._lenience, 3):
            text = data
            if lenience == 2:
                if self._layout.id_at is not None or b'"' in data or self._delimiter.isspace():
                    return None  # spaces may belong to a name, or be empty cells
                text = self._end_spaces.sub(b"", data)
            if text.endswith(self._delimiter):
                return None  # polars passes over a last empty cell that is one too many
            try:
                frame = self._read(text, self._numbers, _MISSING if lenience else None)
            except PolarsError:
                continue
            if lenience > self._lenience:  # which other threads may have raised, and which never falls
                self._lenience = lenience
            return frame
        return None

    def _read(
        self, data: bytes, numbers: list[str], missing: list[str] | None = None, only: list[int] | None = None
    ) -> Any:
        import polars

        schema: dict[str, Any] = dict.fromkeys(self._names, polars.String)
        schema.update(dict.fromkeys(numbers, polars.Float64))
        delimiter = self._layout.delimiter
        return polars.read_csv(
            data, has_header=False, separator=delimiter, schema=schema, null_values=missing, columns=only
        )

    def _lacks(self, frame: Any, data: bytes) -> bool:
        """Whether a record may be blank or short, which polars fills with nulls, or have two spaces for one."""
        if self._delimiter == b" " and any(frame[name].null_count() for name in self._numbers) and _SPACES.search(data):
            return True
        if not frame[self._names[-1]].null_count():
            return False
        cells = data.count(self._delimiter) + frame.height
        return len(self._names) == 1 or b'"' in data or cells != frame.height * len(self._names)
