"""Results made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from softargmax_cli.reduction.result import Slices

FREE = ("hard", "soft", "offset", "peak", "agree")


def made(start: int, *free: Any, ids: Sequence[str] | None = None, numbers: Any = None, **columns: Any) -> Slices:
    """Make slices of columns, the first of them in the order of `FREE`; those with a `second` say whether it counts."""
    columns = {**dict(zip(FREE, free, strict=False)), **columns}
    if "second" in columns and "multimodal" not in columns:
        columns["multimodal"] = columns["second"] >= columns["peak"] / 4
    return Slices(start, columns, ids, numbers)
