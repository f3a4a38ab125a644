"""Files of several arrays: choose one, describe all, and recognise the results of softargmax."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np

from softargmax_cli.errors import InputError, OptionError, SoftArgmaxError, parameter
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.source import Member

MOST_LISTED = 8
"""Names that an error lists."""
MOST_MEMBERS = 100
"""Arrays that an inspection lists."""
LONGEST_KEY = 60
"""Characters of a name that are shown."""

Look = Callable[[str], tuple[Sequence[int], object]]
"""Find the shape and the dtype of a named array. Raises InputError if it holds no real numbers."""


class ResultError(InputError):
    """A file of format `kind` is a result of softargmax, and no part of it is asked for."""

    def __init__(self, name: str, kind: str, remedy: str = "") -> None:
        compare = f"compare with it: softargmax check INPUT --expect {shlex.quote(name)}"
        super().__init__("a result of softargmax, not scores", f"{compare}\n{remedy}".rstrip(), name)
        self.kind = kind


def is_result(names: Iterable[str]) -> bool:
    """Tell whether the columns or arrays of a file have the names that a result has."""
    return {"hard", "soft", "offset", "peak"} <= {re.sub(r"_0$", "", name) for name in names}


class SeveralArraysError(OptionError):
    """A file of format `kind` holds `count` arrays, and none is named; `members` are the first, `first` can be read."""

    def __init__(self, what: str, remedy: str, kind: str, members: Sequence[Member], count: int, first: str) -> None:
        super().__init__(what, remedy)
        self.kind, self.members, self.count, self.first = kind, members, count, first


def member_of(
    name: str, kind: str, names: Sequence[str], reading: Reading, look: Look
) -> tuple[str, str, list[Member]]:
    """Choose the array that `reading.key` names, or without a key the only one of numbers, of a file of format `kind`.

    Return its key, the name of file and array, and the members if `reading` inspects. Raises InputError if there is no
    array, OptionError if none has that name, SeveralArraysError if nothing tells which one is meant.
    """
    described = (_described(each, look) for each in names)
    key = names[0] if reading.key is None and len(names) == 1 else reading.key
    if not names:
        raise InputError("no arrays in it", "is it the file that was meant, and written to its end?")
    if key is not None and key not in names:
        near = difflib.get_close_matches(key[:LONGEST_KEY], names[:10_000], n=1)
        remedy = f"did you mean {parameter('key', near[0])}?" if near else f"it holds {few(names)}"
        raise OptionError(f"no array is named {shown(key) or '(nothing)'}", remedy)
    members = [*islice(described, MOST_MEMBERS)] if key is None or reading.inspected else []
    if key is None:
        readable = (each.name for each in chain(members, described) if not each.why_not)
        numbers = [*islice(readable, MOST_LISTED + 1)]
        if len(numbers) != 1:
            raise _several(name, kind, names, numbers, members)
        key = numbers[0]
    return key, f"{name}[{shown(key)}]", members


def _several(
    name: str, kind: str, names: Sequence[str], numbers: Sequence[str], members: Sequence[Member]
) -> SoftArgmaxError:
    """Return the error for several arrays of which none, or more than one, holds numbers."""
    if is_result(names):
        return ResultError(name, kind, f"or take an array of it with {parameter('key', 'soft')}")
    if not numbers:
        what = f"no arrays of numbers in it, but {few(names)}"
        return InputError(what, f"name one to see why it cannot be read: {parameter('key', names[0])}")
    first = next((each.name for each in members if each.shape), numbers[0])
    remedy = f"name one of them with {parameter('key', first if len(first) <= LONGEST_KEY else 'NAME')}"
    return SeveralArraysError(f"{len(names):,} arrays in it: {few(numbers)}", remedy, kind, members, len(names), first)


def _described(key: str, look: Look) -> Member:
    """Describe an array, or say why it cannot be read."""
    try:
        shape, dtype = look(key)
    except InputError as error:
        return Member(key, None, "", error.what)
    return Member(key, tuple(shape), str(dtype))


def shown(key: str) -> str:
    """Shorten a long name for a heading or an error."""
    return key if len(key) <= LONGEST_KEY else key[: LONGEST_KEY - 3] + "..."


def few(names: Sequence[str]) -> str:
    """List the first names."""
    return ", ".join(shown(each) for each in names[:MOST_LISTED]) + (", ..." if len(names) > MOST_LISTED else "")


def unapplied(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Note attributes of the CF conventions that would change the numbers, but are not applied."""
    told = []
    for key, nothing in {"scale_factor": 1, "add_offset": 0, "_FillValue": None, "missing_value": None}.items():
        value = np.ravel(attributes.get(key, nothing))
        if value.dtype.kind in "biuf" and value.size == 1 and value[0] == value[0] != nothing:
            told.append(f"{key} {value[0]}")
    listed = ", ".join(told)
    return (f"the numbers are as stored: its attributes {listed} (CF conventions) are not applied",) if told else ()
