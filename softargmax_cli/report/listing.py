"""Names and what belongs to them, aligned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TextIO

from softargmax_cli.report.layout import GAP
from softargmax_cli.report.text import legible


def listed(entries: Sequence[tuple[str, Sequence[str]]], stream: TextIO) -> Iterator[str]:
    """A line for each value, the name before the first of its own; whatever the values hold, `stream` can show it."""
    width = max((len(name) for name, _ in entries), default=0)
    for name, values in entries:
        for number, value in enumerate(values):
            yield f"{'' if number else name:{width}}{GAP}{legible(value, stream)}".rstrip()


def nbytes_text(nbytes: int) -> str:
    """Bytes as people read them: 23.5 MiB."""
    size, unit = float(nbytes), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{nbytes:,} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
