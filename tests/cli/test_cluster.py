"""The same numbers from a scheduler and worker processes over TCP as from one process: every option, every split."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from command import Done, Inside
from grid import Grid, grid
from oracle import FIELDS, assert_answers
from oracle import softargmax as oracle
from stores import flat, save, stored

from softargmax_cli.reduction import boxes

pytest.importorskip("distributed")

Array = npt.NDArray[Any]

SHAPE, CHUNKS = (7, 9, 23), (3, 4, 5)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """Two workers of one thread each."""
    with grid(tmp_path_factory.mktemp("grid")) as made:
        yield made


@pytest.fixture(autouse=True)
def chunk_by_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A box is one chunk, however small; else the tests would need large arrays for several."""
    monkeypatch.setattr(boxes, "SHARE", 1 << 40)


def both(inside: Inside, cluster: Grid, name: str, *options: str) -> tuple[dict[str, Array], Done]:
    """The results of one process and of the cluster, which must be the same bits; and what the cluster said."""
    alone = inside("run", name, *options, "-o", "alone.zarr", "--force")
    assert alone.code == 0, alone.err
    done = inside("run", name, *options, "-o", "shared.zarr", "--force", "--scheduler", cluster.address)
    assert done.code == 0, done.err
    assert (done.out, done.err) == ("", alone.err)
    one, many = stored(inside, "alone.zarr"), stored(inside, "shared.zarr")
    for field in FIELDS:
        assert one[field].dtype == many[field].dtype
        assert one[field].tobytes() == many[field].tobytes(), field
    return many, done


@pytest.mark.parametrize("axes", [(-1,), (0,), (1,), (-2, -1), (2, 0), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("window", [None, 2])
def test_every_axis_and_window(inside: Inside, cluster: Grid, axes: tuple[int, ...], window: int | None) -> None:
    x = np.random.default_rng(1).normal(size=SHAPE)
    save(inside, "x.zarr", x, CHUNKS)
    asked = ["--axis", ",".join(map(str, axes)), "--beta", "2"]
    asked += [] if window is None else ["--window", str(window)]
    found, _ = both(inside, cluster, "x.zarr", *asked)
    assert_answers(flat(found, len(axes)), oracle(x, axes, 2.0, window=window), single=False)
