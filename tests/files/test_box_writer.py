"""Arrays written box by box: what NumPy reads back, whatever the order, the target and the way it ends."""

from __future__ import annotations

import itertools
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from softargmax_cli.errors import OutputError
from softargmax_cli.files.writers.npy import BoxWriter
from softargmax_cli.reduction import blocks

Array = npt.NDArray[Any]


def written(path: Path | str, x: Array, axes: tuple[int, ...], order: Any = "C", *, force: bool = False) -> None:
    """`x` in the boxes in which its reduction over `axes` would come."""
    with BoxWriter(str(path), "gradient", x.dtype, x.shape, order, force=force) as file:
        for block in blocks.plan(x.shape, axes, order, 40, contiguous=False):
            file.write(block.start, x[tuple(map(slice, block.start, block.stop))])
        file.commit(x.shape)


def loaded(path: Path) -> Array:
    array = np.load(path)
    if isinstance(array, np.ndarray):
        return array
    assert array.files == ["gradient"]
    return array["gradient"]  # type: ignore[no-any-return]


SHAPES = [((6, 90), (1,)), ((90, 6), (0,)), ((3, 4, 5, 2), (0, 2)), ((0, 4), (1,))]


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("order", "CF")
def test_every_order(tmp_path: Path, order: Any, suffix: str) -> None:
    for (shape, axes), dtype in itertools.product(SHAPES, ("f4", ">f8")):
        x = np.random.default_rng(1).normal(size=shape).astype(dtype)
        path = tmp_path / f"y{suffix}"
        written(path, x, axes, order, force=True)
        got = loaded(path)
        np.testing.assert_array_equal(got, x)
        assert got.dtype == x.dtype.newbyteorder("<")
        assert got.flags.c_contiguous if order == "C" else got.flags.f_contiguous
        assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_rows_of_which_only_the_end_tells_how_many(tmp_path: Path, suffix: str) -> None:
    x = np.arange(35.0, dtype="f4").reshape(7, 5)
    path = tmp_path / f"y{suffix}"
    with BoxWriter(str(path), "gradient", x.dtype, (None, 5), "C", force=False) as file:
        for start, stop in ((0, 3), (3, 4), (4, 7)):
            file.write((start, 0), np.asfortranarray(x[start:stop]))
        file.commit((7, 5))
    np.testing.assert_array_equal(loaded(path), x)


def test_a_pipe_gets_it_in_the_end(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    x = np.random.default_rng(3).normal(size=(90, 6))
    pipe = tmp_path / "pipe.npy"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    written(pipe, x, (0,))
    reader.join(60)
    (tmp_path / "y.npy").write_bytes(read[0])
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), x)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_what_is_given_up_leaves_what_was_there(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"y{suffix}"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match="the file exists"):
        BoxWriter(str(path), "gradient", np.dtype("f4"), (2, 3), "C", force=False)
    with BoxWriter(str(path), "gradient", np.dtype("f4"), (2, 3), "C", force=True) as file:
        file.write((0, 0), np.zeros((1, 3), "f4"))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [path.name]
