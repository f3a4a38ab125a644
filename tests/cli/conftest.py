"""The real command, for every test of what a person types."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Inside, Softargmax


@pytest.fixture
def softargmax(tmp_path: Path) -> Softargmax:
    """The command in an empty folder."""
    return Softargmax(tmp_path)


@pytest.fixture
def inside(tmp_path: Path) -> Inside:
    """The command within this process, in an empty folder."""
    return Inside(tmp_path)


@pytest.fixture(scope="module")
def shared_inside(tmp_path_factory: pytest.TempPathFactory) -> Inside:
    """The command within this process, in one folder for a module, for tests that only read."""
    return Inside(tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a Dask scheduler with two workers of one thread each, which are processes of their own."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as made:
        yield made.scheduler_address
