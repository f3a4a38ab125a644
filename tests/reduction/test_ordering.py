"""Row-major order out of blocks in any other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from results import made

from softargmax_cli.files.temporary import scratch
from softargmax_cli.reduction import order
from softargmax_cli.reduction.blocks import Block, plan
from softargmax_cli.reduction.fields import BY_NAME, FREE, NAMES
from softargmax_cli.reduction.order import in_row_major_order, logical
from softargmax_cli.reduction.result import Slices


def slices(numbers: Any, start: int = 0, *, axes: int = 1, bare: bool = False) -> Slices:
    """Slices told apart by their numbers, and their axes by thousands."""
    n = np.asarray(numbers)
    each = n + 1000 * np.arange(axes)[:, None]
    more = {} if bare else {"second": n + 0.6, "spread": each + 0.4, "entropy": n + 0.5, "ties": n + 1}
    return made(start, each, each + 0.1, each + 0.2, n + 0.3, n % 2 == 0, **more)


def test_a_c_ordered_block_is_left_alone() -> None:
    made = slices(np.arange(6))
    assert logical(made, (2, 3), "C") is made
    assert logical(made, (6,), "F") is made


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_a_fortran_ordered_block_is_turned(axes: int) -> None:
    numbers = np.arange(24).reshape(2, 3, 4)
    turned = logical(slices(numbers.ravel("F"), axes=axes), (2, 3, 4), "F")
    for field in NAMES:
        np.testing.assert_array_equal(turned.column(field), slices(numbers.ravel(), axes=axes).column(field))


@pytest.mark.parametrize("memory", [0, 1 << 20], ids=["in files", "in memory"])
@pytest.mark.parametrize("run", [5, 1 << 16])
@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("axes", [1, 2])
def test_slices_come_out_in_row_major_order(
    axes: int, memory: int, run: int, bare: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order, "RUN", run)
    shape, kept = (4, 6, 5), (0, 2)
    numbers = np.arange(20).reshape(4, 5)

    def parts() -> Iterator[tuple[Block, list[Slices]]]:
        for block in plan(shape, (1,), "F", 13, contiguous=False):
            if block.stop[1] == shape[1]:
                box = numbers[block.start[0] : block.stop[0], block.start[2] : block.stop[2]]
                yield block, [slices(box.ravel(), int(box.min()), axes=axes, bare=bare)]

    found = [one for (one,) in in_row_major_order(parts(), kept, (4, 5), memory, scratch)]
    starts = list(itertools.accumulate([0, *map(len, found)]))
    assert [one.start for one in found] == starts[:-1]
    assert starts[-1] == 20
    for field in NAMES:
        if bare and field not in FREE:
            assert all(getattr(one, field) is None for one in found)
            continue
        columns = [one.column(field) for one in found]
        assert {column.dtype for column in columns} == {slices([0]).column(field).dtype}
        assert all(column.ndim == (2 if BY_NAME[field].per_axis else 1) for column in columns)
        want = slices(np.arange(20), axes=axes).column(field)
        np.testing.assert_array_equal(np.concatenate(columns, axis=-1), want)


def test_no_slices() -> None:
    assert list(in_row_major_order(iter(()), (0, 2), (0, 5), 100)) == []
