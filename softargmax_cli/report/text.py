"""Text from outside made fit for a terminal, and the signs that a stream can show."""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import TextIO

from softargmax_cli.quoting import escaped

_JOINERS = "\u200c\u200d"
"""Invisible, but part of how Persian, Hindi and emoji are spelt."""


def printable(text: str) -> str:
    """`text` with everything that could control a terminal or mislead a reader shown as an escape.

    That is control characters, line ends, escape sequences, changes of direction, and bytes of a file name
    that are no text.
    """
    if text.isprintable():
        return text
    return "".join([c if c.isprintable() or c in _JOINERS else _visible(c) for c in text])


def _visible(character: str) -> str:
    if unicodedata.category(character) == "Zs":
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python carries the byte of a file name that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


@dataclass(frozen=True, slots=True)
class Signs:
    """The signs of a report; `PLAIN` holds what to write where a stream knows ASCII only."""

    dot: str = " · "
    times: str = " × "
    beta: str = "β"
    rule: str = "─"
    minus: str = "−"
    within: str = "±"
    differs: str = "≠"
    modes: str = "∩∩"
    undefined: str = "∅"
    vanished: str = "≈ 0"
    partial: str = "∂"
    none: str = "–"
    more: str = "…"
    levels: str = "▁▂▃▄▅▆▇█"
    """From low to high; none where there are none."""
    offset: str = "●"
    gradient: str = "○"
    both: str = "◉"
    level: str = "╌"
    side: str = "│"
    corner: str = "└"


FULL = Signs()
PLAIN = Signs(
    dot=", ",
    times=" x ",
    beta="beta",
    rule="-",
    minus="-",
    within="+/-",
    differs="!",
    modes="^^",
    undefined="?",
    vanished="~ 0",
    partial="d",
    none="-",
    more="...",
    levels="",
    offset="o",
    gradient="x",
    both="*",
    level=".",
    side="|",
    corner="+",
)


def signs_of(stream: TextIO) -> Signs:
    """The signs that a stream can encode; a stream of text without an encoding takes all."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        "".join(astuple(FULL)).encode(encoding)
    except UnicodeEncodeError:
        return PLAIN
    return FULL


def legible(text: str, stream: TextIO) -> str:
    """`text` from outside as `printable` shows it, in characters that a stream can encode."""
    text = printable(text)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def typed(arguments: Sequence[str], show: Callable[[str], str]) -> str:
    """A command as a shell reads it, in characters that `show` leaves as they are."""
    return " ".join(shlex.quote(word) if show(word) == word else escaped(word) for word in arguments)
