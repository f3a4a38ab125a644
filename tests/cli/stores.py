"""Zarr stores for tests: arrays in chunks, and groups of results read back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from command import Softargmax
from oracle import FIELDS, PER_AXIS

zarr = pytest.importorskip("zarr", "3")

Array = npt.NDArray[Any]


def save(folder: Softargmax, name: str, values: Array, chunks: tuple[int, ...], **more: Any) -> str:
    """A Zarr array of `values`; its name."""
    given = {"shape": values.shape, "chunks": chunks, "dtype": values.dtype, **more}
    zarr.create_array(str(folder.folder / name), **given)[...] = values
    return name


def stored(folder: Softargmax, name: str) -> dict[str, Array]:
    """All fields of a group of results."""
    group = zarr.open_group(str(folder.folder / name), mode="r")
    return {field: np.asarray(group[field][...]) for field in FIELDS}


def flat(found: dict[str, Array], axes: int) -> Any:
    """Flatten the fields of a group to (a, m) and (m,)."""
    size = found["peak"].size
    return SimpleNamespace(
        **{field: x.reshape(size, axes).T if field in PER_AXIS else x.reshape(size) for field, x in found.items()}
    )
