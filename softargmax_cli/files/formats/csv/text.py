"""Unpack a stream of delimited text, decode it, and cut it where records end."""

from __future__ import annotations

import codecs
import gzip
import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from softargmax_cli.errors import InputError
from softargmax_cli.files.formats.csv.cells import Dialect, decoded, records
from softargmax_cli.files.source import parsing

LONGEST_RECORD = 32 << 20
"""Bytes of the longest record that is read; a file without line ends must not fill the memory."""
STEP = 1 << 20
"""The least bytes that are held once a record is longer than expected."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Complete records, without the line end of the last."""

    data: bytes
    line: int
    """Number of the first line in the file, from 1."""
    lines: int


class Text:
    """A stream of text, unpacked and in UTF-8, handed out in pieces that end where records end. One thread at a time.

    Opened at its first byte. Raises InputError if it cannot be unpacked or decoded.
    """

    def __init__(self, stream: io.BufferedReader, name: str) -> None:
        self.packed = stream.peek(2).startswith(b"\x1f\x8b")
        self.held = b""
        """Text that is read and not yet taken."""
        self.ended, self.line, self.nbytes = False, 1, None
        self._name, self._file, self._read, self._reported = name, stream, 0, 0
        self._stream: Any = gzip.GzipFile(fileobj=stream) if self.packed else stream
        self._decoder: codecs.IncrementalDecoder | None = None
        if stream.seekable():
            begin = stream.tell()
            self.nbytes = stream.seek(0, io.SEEK_END)
            stream.seek(begin)
        self.fill(4)
        if self.held.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            self._decoder = codecs.getincrementaldecoder("utf-16")()
            self.held = self._decoder.decode(self.held).encode()
        self.held = self.held.removeprefix(codecs.BOM_UTF8)

    def newly_read(self) -> int:
        """Count the bytes of the file, or of the text of a pipe, that were read since the last call."""
        at = self._read if self.nbytes is None else self._file.tell()
        since, self._reported = at - self._reported, at
        return since

    def fill(self, size: int) -> None:
        """Hold at least `size` bytes, or all that is left."""
        with parsing(self._name, "text file"):
            while len(self.held) < size and not self.ended:
                data = self._stream.read(size - len(self.held))
                self.ended, self._read = not data, self._read + len(data)
                self.held += data if self._decoder is None else self._decoder.decode(data, self.ended).encode()

    def grow(self) -> None:
        """Hold twice as much, to find the end of a record. Raises InputError if it is too long."""
        if len(self.held) >= LONGEST_RECORD:
            what = f"a record from line {self.line} on is longer than {LONGEST_RECORD >> 20} MiB"
            raise InputError(what, "check the delimiter, the line ends, and that every quote is closed")
        self.fill(2 * max(len(self.held), STEP // 2))

    def skip(self, lines: int) -> None:
        """Drop a number of lines, or all if there are fewer."""
        at = 0
        for _ in range(lines):
            while (end := self.held.find(b"\n", at) + 1) == 0 and not self.ended:
                self.grow()
            at = end or len(self.held)
        self.held, self.line = self.held[at:], self.line + lines

    def take(self, size: int, rows: int, dialect: Dialect) -> Piece | None:
        """Take about `size` bytes of complete records, on no more than `rows` lines; None at the end.

        Blank lines at the end of the file are dropped. Where cells hold line ends there may be more lines.
        """
        self.fill(size)
        while not (data := self.held[: self._border(dialect)].rstrip(b"\r\n")):
            if self.ended:
                return None
            self.grow()
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
        lines = len(ends) + 1
        if lines > rows:
            cut = data[: int(ends[rows - 1])].rstrip(b"\r\n")
            if cut and cut.count(b'"') % 2 == 0:  # see `_border`
                data, lines = cut, 1 + int(np.searchsorted(ends, len(cut)))
        piece = Piece(data, self.line, lines)
        end = self.held.find(b"\n", len(data)) + 1 or len(self.held)
        self.held, self.line = self.held[end:], self.line + lines
        return piece

    def _border(self, dialect: Dialect) -> int:
        """Find the end of the last complete record held, or of an earlier one; 0 if there is none."""
        border = len(self.held) if self.ended else self.held.rfind(b"\n") + 1
        # Quotes come in pairs, whether they enclose a cell or stand for one inside it. An odd count ends inside a cell,
        # or a cell holds a lone quote, as csv can tell.
        if self.ended or self.held.count(b'"', 0, border) % 2 == 0:
            return border
        last = self.line
        for line, _ in records(decoded(self.held[:border], self.line), dialect, self.line, cut=True):
            last = line
        return border - len(self.held[:border].split(b"\n", last - self.line)[-1])

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()
        self._file.close()
