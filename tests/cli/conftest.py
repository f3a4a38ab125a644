"""The real command, for every test of what a person types."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Inside, Softargmax
from grid import Grid, grid


@pytest.fixture
def softargmax(tmp_path: Path) -> Softargmax:
    """The command in an empty folder."""
    return Softargmax(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Softargmax:
    """The command in one folder for a module, for tests that only read."""
    return Softargmax(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def inside(tmp_path: Path) -> Inside:
    """The command within this process, in an empty folder."""
    return Inside(tmp_path)


@pytest.fixture(scope="module")
def shared_inside(tmp_path_factory: pytest.TempPathFactory) -> Inside:
    """The command within this process, in one folder for a module, for tests that only read."""
    return Inside(tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A Dask scheduler, and two workers of one thread each."""
    pytest.importorskip("distributed")
    with grid(tmp_path_factory.mktemp("grid")) as made:
        yield made
