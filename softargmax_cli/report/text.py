"""Make text fit for a terminal and its encoding, and write numbers with the digits that are accurate."""

from __future__ import annotations

import codecs
import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import TextIO

from softargmax_cli.errors import quoted

_JOINERS = "\u200c\u200d"
"""Invisible, but part of how Persian, Hindi and emoji are spelt."""
_PLAIN = {"…": "...", "β": "beta", "±": "+/-", "│": "|"}
_PLAIN |= dict(zip("·×─−≠∩∅≈∂–●○◉╌└", "-x--!^?~d-ox*.+", strict=True))
"""Stand-ins for the signs of reports, for streams that cannot encode them."""


def _stand_ins(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that cannot be encoded: a handler for `codecs.register_error`."""
    assert isinstance(error, UnicodeEncodeError)
    characters = error.object[error.start : error.end]
    return "".join(_PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in characters), error.end


codecs.register_error("softargmax", _stand_ins)


def encodable(text: str, stream: TextIO) -> str:
    """Return `text` in characters that a stream can encode: with stand-ins for signs, escapes for other letters."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "softargmax").decode(encoding)


def legible(text: str, stream: TextIO) -> str:
    """Escape `text` as `printable` does, and return it in characters that a stream can encode."""
    return encodable(printable(text), stream)


def printable(text: str) -> str:
    """Escape what could control a terminal or mislead a reader: line ends, changes of direction, ..."""
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs":
        return character
    if "\udc80" <= character <= "\udcff":  # how Python carries the byte of a file name that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def typed(arguments: Sequence[str]) -> str:
    """Write a command as a shell reads it, in printable characters."""
    return " ".join(map(quoted, arguments))


def listed(entries: Mapping[str, str | Sequence[str]]) -> Iterator[str]:
    """List names and their values, a line for each value."""
    width = max(map(len, entries), default=0)
    for name, values in entries.items():
        for number, value in enumerate([values] if isinstance(values, str) else values):
            yield f"{'' if number else name:{width}}  {value}".rstrip()


def nbytes_text(nbytes: int) -> str:
    """Write a number of bytes as people read it: 23.5 MiB."""
    if nbytes < 1024:
        return f"{nbytes:,} bytes"
    power = min((nbytes.bit_length() - 1) // 10, 4)
    return f"{nbytes / 1024**power:.1f} {' KMGT'[power]}iB"


def decimals(bound: float) -> int:
    """Count the accurate decimals of a number with an error up to `bound`; negative if its units are inaccurate."""
    return 300 if bound <= 0 else math.floor(0.05 - math.log10(bound))  # 1.1e-6 is as good as 1e-6


def fixed(numbers: Sequence[float], accurate: int) -> list[str]:
    """Write the numbers of a column alike: with up to six decimals, or as powers of ten; NaN as a dash."""
    largest = max((abs(n) for n in numbers if math.isfinite(n)), default=0.0)
    form = f".{min(max(accurate, 0), 6)}f"
    if not (largest < 10.0**-accurate or 1e-3 <= largest < 1e9):
        form = f".{min(max(math.floor(math.log10(largest)) + accurate, 0), 6)}e"
    return ["–" if math.isnan(number) else f"{number:{form}}" for number in numbers]


def short(number: float, bound: float = 0.0) -> str:
    """Write four decimals, or three digits and a power of ten for what is very small or large; 0 below `bound`."""
    size = abs(number)
    if size < bound or number == 0:
        return "0"
    if 1e-3 <= size < 1e6 or not math.isfinite(number):
        return f"{number:.{min(max(decimals(bound), 0), 4)}f}"
    return f"{number:.{min(max(math.floor(math.log10(size)) + decimals(bound), 0), 2)}e}"


def brief(number: float, bound: float = 0.0) -> str:
    """Write four digits, or two and a power of ten for what is very small or large; 0 below `bound`."""
    if number < bound or number == 0:
        return "0"
    return f"{number:.1e}" if number < 1e-3 or number >= 1e6 else f"{number:.4g}"
