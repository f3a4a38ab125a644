"""Recognise a result that softargmax wrote, which is not taken for scores."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from softargmax_cli.errors import InputError

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
