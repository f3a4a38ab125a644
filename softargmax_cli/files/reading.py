"""How an input is read, as the options say it. Loads nothing: a command's body makes one."""

from __future__ import annotations

from dataclasses import dataclass

from softargmax_cli.files.selection import Selection

NAMED_DELIMITERS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "pipe": "|"}
"""Delimiters of text that may be called by name."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Which array of a file, which part of it, and how a table is read; None where the file tells."""

    key: str | None = None
    """The name of an array, in a file that holds several."""
    select: Selection | None = None
    """The part of the array that is taken; all of it by default."""
    delimiter: str | None = None
    header: bool | None = None
    id_column: str | None = None
    """A column's name, or its number from 1."""
    inspected: bool = False
    """Whether to find out what else can be seen: the one column of text as names of rows, the names of all arrays."""

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the fields that only some formats know, where they say something."""
        return tuple(name for name in ("key", "delimiter", "header", "id_column") if getattr(self, name) is not None)
