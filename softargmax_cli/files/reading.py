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
    """A character; a space stands for any run of spaces and tabs."""
    header: bool | None = None
    id_column: str | None = None
    """A column's name, or its number from 1."""
    columns: str | None = None
    """Which columns of a table hold scores, as --columns takes them."""
    skip: int | None = None
    """How many lines of text stand above the table."""
    comment: str | None = None
    """What begins a comment in text; empty where nothing does."""
    decimal: str | None = None
    """The decimal mark of numbers in text: a point or a comma."""
    inspected: bool = False
    """Whether to find out what else can be seen: the one column of text as names of rows, the names of all arrays."""
    judged: bool = True
    """Whether a column of a table that looks like names is an error; not where no slices are read from it."""

    @property
    def comment_mark(self) -> str:
        """What begins a comment."""
        return "#" if self.comment is None else self.comment

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the fields that only some formats know, where they say something."""
        names = ("key", "delimiter", "header", "id_column", "columns", "skip", "comment", "decimal")
        return tuple(name for name in names if getattr(self, name) is not None)
