"""Commands that an answer suggests to try next, as arguments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from softargmax_cli.cli.pipeline import Asked
    from softargmax_cli.files.reading import Reading

NAMES = {"\t": "tab", " ": "space"}
"""Names of delimiters that cannot be seen."""


def run_on(name: str, reading: Reading) -> Iterator[str]:
    """Begin a command: `softargmax run` on a file, with the options that take a part of it."""
    yield from ("softargmax", "run", f"./{name}" if name.startswith("-") and name != "-" else name)
    if reading.key is not None:
        yield from ("--key", reading.key)
    if reading.select is not None:
        yield from ("--select", str(reading.select))


def of_text(reading: Reading) -> Iterator[str]:
    """Add the options that say how a table is written."""
    if reading.delimiter is not None:
        yield from ("--delimiter", NAMES.get(reading.delimiter, reading.delimiter))
    if reading.header is not None:
        yield "--header" if reading.header else "--no-header"
    for option, value in (("--skip", reading.skip), ("--comment", reading.comment), ("--decimal", reading.decimal)):
        if value is not None:
            yield from (option, str(value))


def of_columns(id_column: str | int | None, columns: str | None) -> Iterator[str]:
    """Add the options that say which columns of a table name its rows and hold scores."""
    for option, value in (("--id-column", id_column), ("--columns", columns)):
        if value is not None:
            yield from (option, str(value))


def run_with(name: str, asked: Asked, beta: float) -> Iterator[str]:
    """Repeat all that was asked of a reduction, as `softargmax run` with another β."""
    yield from run_on(name, asked.reading)
    if asked.axes != (-1,):
        yield from ("--axis", ",".join(map(str, asked.axes)))
    yield from of_text(asked.reading)
    yield from of_columns(asked.reading.id_column, asked.reading.columns)
    for option, value, usual in (
        ("--kind", asked.kind, "scores"),
        ("--coords", asked.coords, "index"),
        ("--values", asked.values, None),
        ("--period", asked.period, None),
        ("--window", asked.window, None),
        ("--nan", asked.nan, "error"),
        ("--precision", asked.precision, "auto"),
    ):
        if value is not None and value != usual:
            several = value if isinstance(value, tuple) else (value,)
            yield from (option, ",".join(f"{each:.10g}" if isinstance(each, float) else str(each) for each in several))
    yield from ("--beta", f"{beta:.10g}")
