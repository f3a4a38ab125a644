"""After `close` every read is an error, of every format: the descriptor may be another file's by then."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from files import ANY_SHAPE, TABLES, written

from softargmax_cli.errors import InputError
from softargmax_cli.files.formats.npy import ArraySource
from softargmax_cli.files.reading import Reading, selection_of
from softargmax_cli.files.registry import open_source
from softargmax_cli.files.source import Source
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.readable import Buffer

VALUES = np.arange(60, dtype="f4").reshape(12, 5)
BLOCK = Block((0, 0), (12, 5))


def assert_closed(source: Source, block: Block = BLOCK) -> None:
    """Neither a new block nor one that was fetched before can be read; a block in memory may be decoded."""
    fetched: Any = source.fetch(block)
    source.close()
    others = [os.open(__file__, os.O_RDONLY) for _ in range(8)]  # which take the descriptor that is free
    try:
        with pytest.raises(InputError, match="closed"):
            source.fetch(block)
        if not source.sequential:
            with pytest.raises(InputError, match="closed"):
                fetched.load(Buffer())
    finally:
        for other in others:
            os.close(other)


@pytest.mark.parametrize("format", [*ANY_SHAPE, *TABLES])
def test_a_closed_file_gives_no_other_file_s_numbers(format: str, tmp_path: Path) -> None:
    path = written(tmp_path, {**ANY_SHAPE, **TABLES}[format](VALUES))
    assert_closed(open_source(path))
    assert_closed(open_source(path, Reading(select=selection_of("2:,:4"))), Block((0, 0), (10, 4)))


def test_stores_and_arrays(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr", "3")
    zarr.create_array(str(tmp_path / "x.zarr"), data=VALUES)
    assert_closed(open_source(str(tmp_path / "x.zarr")))
    assert_closed(ArraySource(VALUES))
