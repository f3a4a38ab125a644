"""The arrays of a file that holds several: which one is meant, what is said of them, and whether they are a result."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np

from softargmax_cli.errors import InputError, OptionError, SoftArgmaxError, parameter
from softargmax_cli.files.source import Member
from softargmax_cli.files.streams import refusals

FEW = 8
"""Names that an error lists."""
MOST = 100
"""Arrays that an inspection lists."""
LONGEST = 60
"""Characters of a name that are shown."""


_JSON = re.compile(rb'"hard": .*"soft": .*"offset": .*"peak": ', re.DOTALL)


class ResultError(InputError):
    """A file of format `kind` is a result of softargmax, and no part of it is asked for."""

    def __init__(self, name: str, kind: str, remedy: str = "") -> None:
        compare = f"compare with it: softargmax check INPUT --expect {shlex.quote(name)}"
        super().__init__(f"{name}: a result of softargmax, not scores", f"{compare}\n{remedy}".rstrip())
        self.kind = kind


def is_result(names: Iterable[str]) -> bool:
    """Tell whether the columns or arrays of a file have the names that a result has."""
    found = {re.sub(r"_0$", "", name) for name in names}
    return {"hard", "soft", "offset", "peak"} <= found


def is_json_result(first: bytes) -> bool:
    """Tell whether JSON that begins so holds the slices of a result."""
    return _JSON.search(first) is not None


class SeveralArraysError(OptionError):
    """A file of format `kind` holds `count` arrays, and none is named; `members` are the first, `first` can be read."""

    def __init__(self, what: str, remedy: str, kind: str, members: Sequence[Member], count: int, first: str) -> None:
        super().__init__(what, remedy)
        self.kind, self.members, self.count, self.first = kind, members, count, first


def chosen(name: str, kind: str, names: Sequence[str], key: str | None, member: Callable[[str], Member]) -> str:
    """Return the name of the array that `key` means: its own, or without a key that of the only array of numbers.

    `kind` is the file's format; `member` describes an array. Raises InputError where there is none, OptionError where
    none has that name, SeveralArraysError where nothing tells which.
    """
    if not names:
        raise InputError(f"{name}: no arrays in it", "is it the file that was meant, and written to its end?")
    if key is not None:
        if key in names:
            return key
        near = difflib.get_close_matches(key[:LONGEST], names[:10_000], n=1)
        remedy = f"did you mean {parameter('key', near[0])}?" if near else f"it holds {few(names)}"
        raise OptionError(f"{name}: no array is named {shown(key) or '(nothing)'}", remedy)
    if len(names) == 1:
        return names[0]
    numbers = [*islice((each for each in map(member, names) if not each.why_not), FEW + 1)]
    if len(numbers) == 1:
        return numbers[0].name
    if is_result(names):
        raise ResultError(name, kind, f"or take an array of it with {parameter('key', 'soft')}")
    members = [member(each) for each in names[:MOST]]
    if not numbers:
        what = f"{name}: no arrays of numbers in it, but {few(names)}"
        raise InputError(what, f"name one to see why it cannot be read: {parameter('key', names[0])}")
    first = next((each.name for each in numbers if each.shape), numbers[0].name)
    what = f"{name}: {len(names):,} arrays in it: {few([each.name for each in numbers])}"
    remedy = f"name one of them with {parameter('key', first if len(first) <= LONGEST else 'NAME')}"
    raise SeveralArraysError(what, remedy, kind, members, len(names), first)


def described(key: str, look: Callable[[str], tuple[tuple[int, ...], object]], where: str = "") -> Member:
    """Describe an array by the shape and dtype that `look` finds, or say why it cannot be read."""
    try:
        shape, dtype = look(key)
    except InputError as error:
        return Member(key, None, "", error.what.removeprefix(f"{where}: "))
    return Member(key, shape, str(dtype))


def shown(key: str) -> str:
    """Cut a name for a heading or an error where it is long."""
    return key if len(key) <= LONGEST else key[: LONGEST - 3] + "..."


def unapplied(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Note attributes of the CF conventions that would change the numbers; nothing is computed from them."""
    neutral = {"scale_factor": 1, "add_offset": 0, "_FillValue": None, "missing_value": None}
    told = []
    for key, nothing in neutral.items():
        value = np.ravel(attributes.get(key, nothing))
        if value.dtype.kind in "biuf" and value.size == 1 and value[0] == value[0] != nothing:
            told.append(f"{key} {value[0]}")
    if not told:
        return ()
    return (f"the numbers are as stored: its attributes {', '.join(told)} (CF conventions) are not applied",)


def few(names: Sequence[str]) -> str:
    """List the first names."""
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
