"""Blocks so small that small arrays have many."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from softargmax_cli.reduction import budget, layout, stream


@pytest.fixture
def blocks_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Set the size of a block, in bytes, of which the kernel takes a third at a time."""
    monkeypatch.setattr(budget, "LARGER", 1)

    def set_size(nbytes: int) -> None:
        monkeypatch.setattr(budget, "BLOCK", nbytes)
        monkeypatch.setattr(layout, "PIECE", nbytes // 3)

    return set_size


@pytest.fixture
def all_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have XLA compile whatever can be."""
    monkeypatch.setattr(stream, "WORTH_COMPILING", 0)
    monkeypatch.setattr(stream, "FIRST_COMPILED", 0)
