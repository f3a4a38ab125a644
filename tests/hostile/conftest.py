"""The command within this process, in a folder of hostile files."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import TUTORIAL, Inside


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Inside:
    """One folder for a module."""
    inside = Inside(tmp_path_factory.mktemp("hostile"))
    inside.save("tutorial.npy", TUTORIAL, "f4")
    return inside


@pytest.fixture
def inside(tmp_path: Path) -> Inside:
    """The command in an empty folder."""
    return Inside(tmp_path)
