"""Commands to try next, as arguments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from softargmax_cli.cli.pipeline import Asked
    from softargmax_cli.files.reading import Reading

NAMES = {"\t": "tab", " ": "space"}
"""Of delimiters that are not seen."""


def run_on(name: str, reading: Reading) -> Iterator[str]:
    """`softargmax run` on a file, and what of it is read."""
    yield from ("softargmax", "run", f"./{name}" if name.startswith("-") and name != "-" else name)
    if reading.key is not None:
        yield from ("--key", reading.key)
    if reading.select is not None:
        yield from ("--select", str(reading.select))


def of_text(reading: Reading) -> Iterator[str]:
    """How it is told to read a table in text."""
    if reading.delimiter is not None:
        yield from ("--delimiter", NAMES.get(reading.delimiter, reading.delimiter))
    if reading.header is not None:
        yield "--header" if reading.header else "--no-header"


def run_with(name: str, asked: Asked, beta: float) -> Iterator[str]:
    """`softargmax run` with all that was asked of a reduction, and another β."""
    yield from run_on(name, asked.reading)
    if asked.axes != (-1,):
        yield from ("--axis", ",".join(map(str, asked.axes)))
    yield from of_text(asked.reading)
    if asked.reading.id_column is not None:
        yield from ("--id-column", asked.reading.id_column)
    for option, value, usual in (
        ("--kind", asked.kind, "scores"),
        ("--coords", asked.coords, "index"),
        ("--values", asked.values, None),
        ("--window", asked.window, None),
        ("--nan", asked.nan, "error"),
        ("--precision", asked.precision, "auto"),
    ):
        if value is not None and value != usual:
            yield from (option, str(value))
    yield from ("--beta", f"{beta:.10g}")
