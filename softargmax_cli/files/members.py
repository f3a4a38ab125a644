"""Which array of a file that holds several is meant."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from softargmax_cli.errors import InputError, OptionError, SoftArgmaxError
from softargmax_cli.files.source import Member
from softargmax_cli.files.watching import refusals
from softargmax_cli.quoting import escaped

FEW = 8
"""Names that an error lists."""
MOST = 100
"""Arrays that an inspection lists."""
LONGEST = 60
"""Characters of a name that are shown."""


class SeveralArraysError(OptionError):
    """A file holds several arrays, and none is named; `members` are the first of them, all `count` where few."""

    def __init__(self, what: str, remedy: str, kind: str, members: Sequence[Member], count: int) -> None:
        super().__init__(what, remedy)
        self.kind, self.members, self.count = kind, members, count


def chosen(name: str, kind: str, names: Sequence[str], key: str | None, member: Callable[[str], Member]) -> str:
    """The name of the array that `key` means: its own, or that of the only one where there is no key.

    `kind` is the file's format; `member` describes an array. Raises InputError where there is none, OptionError where
    none has that name, SeveralArraysError where nothing tells which.
    """
    if not names:
        raise InputError(f"{name}: no arrays in it", "is it the file that was meant, and written to its end?")
    if key is None and len(names) > 1:
        what = f"{name}: {len(names):,} arrays in it: {few(names)}"
        members = [member(each) for each in islice(names, MOST)]
        raise SeveralArraysError(what, f"name one of them with --key {typed(names[0])}", kind, members, len(names))
    if key is None:
        return names[0]
    if key not in names:
        near = difflib.get_close_matches(key[:LONGEST], names[:10_000], n=1)
        remedy = f"did you mean --key {typed(near[0])}?" if near else f"it holds {few(names)}"
        raise OptionError(f"{name}: no array is named {shown(key) or '(nothing)'}", remedy)
    return key


def shown(key: str) -> str:
    """A name for a heading or an error: cut where it is long."""
    return key if len(key) <= LONGEST else key[: LONGEST - 3] + "..."


def typed(key: str) -> str:
    """A name as a shell takes it, where it is not too long to be typed."""
    if len(key) > LONGEST:
        return "NAME"
    return shlex.quote(key) if key.isprintable() else escaped(key)


def few(names: Sequence[str]) -> str:
    """The first names."""
    return ", ".join(shown(each) for each in names[:FEW]) + (", ..." if len(names) > FEW else "")


@contextmanager
def damaged(name: str, kind: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn what a parser of `kind` raises at a file that is not sound into an InputError that names it."""
    try:
        yield
    except (SoftArgmaxError, MemoryError):
        raise
    except errors as error:
        if isinstance(error, OSError) and error.errno:  # the system's own, not the parser's
            with refusals(name):
                raise
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise InputError(
            f"{name}: damaged, or no {kind} file: {first}", "copy the file again, or write it again"
        ) from error
