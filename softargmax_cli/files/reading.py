"""Options that say how an input is read. Loads nothing: a command's body makes one."""

from __future__ import annotations

from dataclasses import dataclass

from softargmax_cli.files.selection import Selection

NAMED_DELIMITERS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "pipe": "|"}
"""Delimiters of text that may be called by name."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Select an array of a file and a part of it, and say how a table is read; None where the file tells."""

    key: str | None = None
    """The name of an array, in a file that holds several."""
    select: Selection | None = None
    """The part of the array that is taken; all of it by default."""
    delimiter: str | None = None
    """A character; a space stands for any run of spaces and tabs."""
    header: bool | None = None
    id_column: str | None = None
    """A column's name, or its number from 1."""
    columns: str | None = None
    """Columns of a table that hold scores, in the words of --columns."""
    skip: int | None = None
    """Lines of text above the table."""
    comment: str | None = None
    """Mark that begins a comment in text; empty where nothing does."""
    decimal: str | None = None
    """The decimal mark of numbers in text: a point or a comma."""
    inspected: bool = False
    """True to find out what else can be seen: the one column of text as names of rows, the names of all arrays."""
    judged: bool = True
    """True where a column of a table that looks like names is an error; not where no slices are read from it."""

    @property
    def comment_mark(self) -> str:
        """Mark that begins a comment."""
        return "#" if self.comment is None else self.comment

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the fields that only some formats know, where they say something."""
        names = ("key", "delimiter", "header", "id_column", "columns", "skip", "comment", "decimal")
        return tuple(name for name in names if getattr(self, name) is not None)
