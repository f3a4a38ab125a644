"""Commands that an answer suggests to try next, as arguments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from softargmax_cli.cli.options import ReductionOptions

if TYPE_CHECKING:
    from softargmax_cli.cli.pipeline import Asked
    from softargmax_cli.files.reading import Reading

NAMES = {"\t": "tab", " ": "space"}
"""Names of delimiters that cannot be seen."""


def run_command(name: str, reading: Reading, axes: tuple[int, ...], **options: object) -> Iterator[str]:
    """Write `softargmax run` on a file with the options that read it so, and `options`; None is left out."""
    yield from ("softargmax", "run", f"./{name}" if name.startswith("-") and name != "-" else name)
    given: dict[str, Any] = {"key": reading.key, "select": reading.select, "axis": None if axes == (-1,) else axes}
    given["delimiter"] = NAMES.get(reading.delimiter or "", reading.delimiter)
    given |= {field: getattr(reading, field) for field in ("skip", "comment", "decimal", "id_column", "columns")}
    for option, value in {**given, **options}.items():
        if value is not None:
            several = value if isinstance(value, tuple) else (value,)
            yield f"--{option.replace('_', '-')}"
            yield ",".join(f"{each:.10g}" if isinstance(each, float) else str(each) for each in several)
    if reading.header is not None:
        yield "--header" if reading.header else "--no-header"


def run_with(name: str, asked: Asked, beta: float) -> Iterator[str]:
    """Repeat all that was asked of a reduction, as `softargmax run` with another β."""
    usual = ReductionOptions()
    names = ("kind", "coords", "values", "period", "window", "nan", "precision")
    given = {each: getattr(asked, each) for each in names if getattr(asked, each) != getattr(usual, each)}
    yield from run_command(name, asked.reading, asked.axes, **given, beta=beta)
