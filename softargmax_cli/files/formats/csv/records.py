"""Byte streams of delimited text, cut between records."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from softargmax_cli.errors import InputError, parameter
from softargmax_cli.files.watching import refusals
from softargmax_cli.reduction.blocks import step_of

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LONGEST = 32 << 20
"""Bytes of the longest record that is read; a file without line ends must not fill the memory."""
_STEP = 1 << 20
"""Bytes by which what is held grows."""
_STRETCH = 128 << 10
"""Bytes that are searched for line feeds at a time."""
NEWLINE = ord("\n")
LONGEST_CELL = 1 << 17
"""Bytes of the longest cell: what Python's csv takes, and far more than a number or a name has."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Complete records, without the line end of the last."""

    data: bytes
    line: int
    """Number of the first line in the file, from 1."""
    lines: int
    offset: int
    """Position of the first byte in the (decompressed) file, from 0."""


class _Counted(io.RawIOBase):
    """Counts what is read: neither a pipe nor a decompressor can tell."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, target: WriteableBuffer) -> int:
        read: int = self._stream.readinto(target) or 0  # type: ignore[attr-defined]
        self.count += read
        return read


class Records:
    """A stream handed out in pieces that end where records end. One thread at a time."""

    def __init__(self, stream: IO[bytes], name: str, *, compressed: bool = False) -> None:
        self.name = name
        self.compressed = compressed
        self.held = bytearray()
        """Read and not yet taken."""
        self.ended = False
        self.line = 1
        self.offset = 0
        self._closing = stream
        self._decoder: codecs.IncrementalDecoder | None = None
        self._decoded = b""
        self._counted = _Counted(stream)
        self._stream: io.RawIOBase | gzip.GzipFile = self._counted
        if compressed:
            self._stream = gzip.GzipFile(fileobj=self._counted, mode="rb")

    @property
    def consumed(self) -> int:
        """Bytes read from the stream so far, compressed where it is."""
        return self._counted.count

    def fill(self, size: int) -> None:
        """Hold at least `size` bytes, or all that is left."""
        have = len(self.held)
        if self.ended or have >= size:
            return
        if have < _STEP:  # new memory is quicker than grown
            self.held, rest = bytearray(size), self.held
            self.held[:have] = rest
        held = self.held
        while have < size and not self.ended:
            if have == len(held):
                held.extend(bytes(min(size - have, _STEP)))  # where it lies, without a second copy of what is long
            with memoryview(held) as view:
                while have < len(held):
                    read = self._read(view[have:])
                    if not read:
                        self.ended = True
                        break
                    have += read
        del held[have:]

    def begin(self, skip: int) -> None:
        """Move past a byte order mark and the first `skip` lines. Raises InputError where what follows is no text."""
        self.fill(4)
        start = bytes(self.held[:4])
        if start.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
            raise InputError(
                f"{self.name}: byte 0: the file is UTF-32, not UTF-8",
                "convert it with: iconv -f UTF-32 -t UTF-8 OLD > NEW",
            )
        if start.startswith((b"\xff\xfe", b"\xfe\xff")):
            self._decoder = codecs.getincrementaldecoder("utf-16")()
            self.held = bytearray(self._as_utf8(bytes(self.held)))
        elif start.startswith(b"\xef\xbb\xbf"):
            self._drop(3)
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
        del self.held[:size]
        self.offset += size
        self.line += lines

    def take(self, size: int, delimiter: str, most: int) -> Piece | None:
        """Take about `size` bytes of complete records, and no more than `most`; None at the end.

        Blank lines at the end of the file are dropped. Where cells hold line ends there may be more.
        """
        while True:
            self.fill(size)
            self.check_cells(delimiter)
            end = trimmed(self.held, self.border(delimiter))
            if end:
                break
            if self.ended:
                return None
            if len(self.held) >= LONGEST:
                raise self.too_long()
            size = 2 * max(size, len(self.held))
        held = self.held
        lines = 1 + sum(int(np.count_nonzero(found)) for _, found in _line_feeds(held, end))
        kept = min(lines, most)
        step = step_of(kept)
        if kept > step and (kept < lines or not self.ended):
            kept -= kept % step
        if kept < lines:
            cut = trimmed(held, _line_feed(held, end, lines - kept))
            if cut and (b'"' not in held or held.count(b'"', 0, cut) % 2 == 0):  # see `border`
                lines -= held.count(b"\n", cut, end)
                end = cut
        following = held.find(b"\n", end) + 1 or len(held)
        with memoryview(held) as view:  # of which a slice is no copy
            data = bytes(view[:end])
        self.held = held[following:]
        piece = Piece(data, self.line, lines, self.offset)
        self.line += lines
        self.offset += following
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
        if not border or b'"' not in held or held.count(b'"', 0, border) % 2 == 0:
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

    def check_cells(self, delimiters: str) -> None:
        """Raise InputError where what is held has a stretch of `LONGEST_CELL` bytes without a delimiter or a line end.

        So a cell without end is found before the memory is full of it, and whichever parser would read it.
        """
        held, begin = self.held, 0
        ends = f"\n{delimiters}\t".encode()
        while len(held) - begin > LONGEST_CELL:
            border = max(held.rfind(end, begin, begin + LONGEST_CELL + 1) for end in ends)
            if border < 0:
                line = self.line + held.count(b"\n", 0, begin)
                raise InputError(
                    f"{self.name}: line {line}, byte {self.offset + begin}: a cell of more than {LONGEST_CELL:,} bytes",
                    "check the delimiter, the line ends, and that every quote is closed",
                )
            begin = border + 1

    def close(self) -> None:
        """Let go of the stream."""
        self._stream.close()
        self._closing.close()

    def _read(self, target: memoryview) -> int:
        if self._decoder is None:
            return self._read_bytes(target)
        while not self._decoded:
            chunk = bytearray(_STRETCH)
            size = self._read_bytes(memoryview(chunk))
            self._decoded = self._as_utf8(bytes(chunk[:size]), final=not size)
            if not size:
                break
        part = self._decoded[: len(target)]
        target[: len(part)], self._decoded = part, self._decoded[len(part) :]
        return len(part)

    def _as_utf8(self, data: bytes, *, final: bool = False) -> bytes:
        """Encode UTF-16 as UTF-8."""
        assert self._decoder is not None
        try:
            return self._decoder.decode(data, final).encode()
        except UnicodeDecodeError as error:
            what = f"{self.name}: the file begins as UTF-16 and holds what is none: {error.reason}"
            raise InputError(what, "save it as UTF-8 text") from None

    def _read_bytes(self, target: memoryview) -> int:
        with refusals(self.name):
            try:
                return self._stream.readinto(target) or 0
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise InputError(
                    f"{self.name}: the gzip data is damaged: {error}", "make the file again; gzip -t tests one"
                ) from error


def _line_feeds(held: bytearray, end: int) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
    """Which bytes before `end` are line feeds, the last first: starts and stretches that stay in a core's cache."""
    text = np.frombuffer(held, np.uint8, end)
    for stop in range(end, 0, -_STRETCH):
        start = max(0, stop - _STRETCH)
        yield start, text[start:stop] == NEWLINE


def _line_feed(held: bytearray, end: int, number: int) -> int:
    """Where the line feed is that is `number` from the last before `end`, which is 1."""
    for start, found in _line_feeds(held, end):
        count = np.count_nonzero(found)
        if number <= count:
            return start + int(np.flatnonzero(found)[-number])
        number -= count
    raise AssertionError("fewer line feeds than were counted")


def quoted(delimiter: str) -> re.Pattern[bytes]:
    """A quoted cell from its opening quote; group 1 is its closing quote, empty where the text ends before it."""
    # A cell opens with a quote only where nothing stands between it and the delimiter. The quote comes first in the
    # pattern, since the search for a literal is quick.
    opening = rb'"(?<![^\r\n' + re.escape(delimiter.encode()) + rb']")'
    return re.compile(opening + rb'[^"]*(?:""[^"]*)*("|\Z)')


def trimmed(held: bytearray, end: int) -> int:
    """The end without the line ends before it."""
    while end and held[end - 1] in b"\r\n":
        end -= 1
    return end
