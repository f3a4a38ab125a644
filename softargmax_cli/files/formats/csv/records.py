"""Byte streams of delimited text, cut between records."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from dataclasses import dataclass
from typing import IO

import numpy as np

from softargmax_cli.errors import InputError, parameter
from softargmax_cli.files.streams import refusals
from softargmax_cli.reduction.blocks import step_of

LONGEST = 32 << 20
"""Bytes of the longest record that is read; a file without line ends must not fill the memory."""
_STEP = 1 << 20
"""Bytes by which what is held grows."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Complete records, without the line end of the last."""

    data: bytes
    line: int
    """Number of the first line in the file, from 1."""
    lines: int
    offset: int
    """Position of the first byte in the (decompressed) file, from 0."""


class Records:
    """A stream handed out in pieces that end where records end. One thread at a time."""

    def __init__(self, stream: IO[bytes], name: str, *, compressed: bool = False) -> None:
        self.name = name
        self.compressed = compressed
        self.held = b""
        """Read and not yet taken."""
        self.ended = False
        self.line = 1
        self.offset = 0
        self._file = stream
        self._stream: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=stream) if compressed else stream
        self._decoder: codecs.IncrementalDecoder | None = None
        self._read = 0

    @property
    def consumed(self) -> int:
        """Bytes read of the file so far, compressed where it is; of a pipe, bytes of text."""
        return self._file.tell() if self._file.seekable() else self._read

    def fill(self, size: int) -> None:
        """Hold at least `size` bytes, or all that is left."""
        parts, have = [self.held], len(self.held)
        while have < size and not self.ended:
            with refusals(self.name):
                try:
                    data = self._stream.read(size - have) or b""
                except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                    what = f"{self.name}: the gzip data is damaged: {error}"
                    raise InputError(what, "make the file again; gzip -t tests one") from error
            self.ended = not data
            self._read += len(data)
            parts.append(self._as_utf8(data) if self._decoder is not None else data)
            have += len(parts[-1])
        self.held = b"".join(parts)

    def _as_utf8(self, data: bytes) -> bytes:
        """Encode UTF-16 as UTF-8."""
        assert self._decoder is not None
        try:
            return self._decoder.decode(data, self.ended).encode()
        except UnicodeDecodeError as error:
            what = f"{self.name}: the file begins as UTF-16 and holds what is none: {error.reason}"
            raise InputError(what, "save it as UTF-8 text") from None

    def begin(self, skip: int) -> None:
        """Move past a byte order mark and the first `skip` lines. Raises InputError where what follows is no text."""
        self.fill(4)
        if self.held.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            self._decoder = codecs.getincrementaldecoder("utf-16")()
            self.held = self._as_utf8(self.held)
        elif self.held.startswith(codecs.BOM_UTF8):
            self._drop(len(codecs.BOM_UTF8))
        for k in range(skip):
            while (end := self.held.find(b"\n") + 1) == 0 and not self.ended and len(self.held) < LONGEST:
                self.fill(2 * len(self.held) + _STEP)
            if not end:
                held = f"{k + bool(self.held):,} line{'s' if k + bool(self.held) != 1 else ''}"
                what = f"{self.name}: {parameter('skip', skip)} leaves nothing: the file has {held}"
                raise self.too_long() if not self.ended else InputError(what, "skip fewer lines")
            self._drop(end, 1)

    def skip_lines(self, lines: int) -> None:
        """Drop so many of the lines that are held."""
        position = 0
        for _ in range(lines):
            position = self.held.find(b"\n", position) + 1 or len(self.held)
        self._drop(position, lines)

    def _drop(self, size: int, lines: int = 0) -> None:
        self.held = self.held[size:]
        self.offset += size
        self.line += lines

    def take(self, size: int, delimiter: str, most: int) -> Piece | None:
        """Take about `size` bytes of complete records, and no more than `most`; None at the end.

        Blank lines at the end of the file are dropped. Where cells hold line ends there may be more.
        """
        while True:
            self.fill(size)
            end = trimmed(self.held, self.border(delimiter))
            if end:
                break
            if self.ended:
                return None
            if len(self.held) >= LONGEST:
                raise self.too_long()
            size = 2 * max(size, len(self.held))
        held = self.held
        ends = np.flatnonzero(np.frombuffer(held, np.uint8, end) == ord("\n"))
        lines = len(ends) + 1
        kept, step = min(lines, most), step_of(min(lines, most))
        if kept > step and (kept < lines or not self.ended):
            kept -= kept % step
        if kept < lines:
            cut = trimmed(held, int(ends[kept - 1]))
            if cut and (b'"' not in held or held.count(b'"', 0, cut) % 2 == 0):  # see `border`
                end, lines = cut, 1 + int(np.searchsorted(ends, cut))
        piece = Piece(held[:end], self.line, lines, self.offset)
        self._drop(held.find(b"\n", end) + 1 or len(held), lines)
        return piece

    def too_long(self, lines: int = 0) -> InputError:
        """Make the error on a record that begins after `lines` held lines, and does not end."""
        return InputError(
            f"{self.name}: the record that begins at line {self.line + lines} is longer than {LONGEST >> 20} MiB",
            "check the delimiter, the line ends, and that every quote is closed",
        )

    def border(self, delimiter: str) -> int:
        """Where the last complete record held ends, 0 where none does; InputError for a quote that is never closed."""
        held = self.held
        border = len(held) if self.ended else held.rfind(b"\n") + 1
        # Quotes come in pairs, whether they enclose a cell or stand for one inside it, so an odd count means that
        # the border is inside a cell, or that a cell holds a lone quote; only then is a slower look needed.
        if b'"' not in held or held.count(b'"', 0, border) % 2 == 0:  # to look for one is quicker than to count
            return border
        border = previous = 0
        for cell in quoted(delimiter).finditer(held):
            border = held.rfind(b"\n", previous, cell.start()) + 1 or border
            previous = cell.end()
            if self.ended and not cell.group(1):
                line = self.line + held.count(b"\n", 0, cell.start())
                raise InputError(
                    f"{self.name}: line {line}: a quote opens here and is never closed",
                    'close it, or write a quote inside a quoted cell as ""',
                )
        return len(held) if self.ended else held.rfind(b"\n", previous) + 1 or border

    def close(self) -> None:
        """Let go of the stream."""
        self._stream.close()
        self._file.close()


def quoted(delimiter: str) -> re.Pattern[bytes]:
    """Match a quoted cell from its opening quote; group 1 is its closing quote, empty where the text ends before it."""
    # A cell opens with a quote only where nothing stands between it and the delimiter. The quote comes first in the
    # pattern, since the search for a literal is quick.
    opening = rb'"(?<![^\r\n' + re.escape(delimiter.encode()) + rb']")'
    return re.compile(opening + rb'[^"]*(?:""[^"]*)*("|\Z)')


def trimmed(held: bytes, end: int) -> int:
    """Return the end without the line ends before it."""
    while end and held[end - 1] in b"\r\n":
        end -= 1
    return end
