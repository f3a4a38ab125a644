"""The command that an answer suggests to try next, as arguments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
