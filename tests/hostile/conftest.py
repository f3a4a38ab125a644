"""The command in a folder of hostile files, measured."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

if sys.platform == "win32":
    collect_ignore_glob = ["test_*.py"]  # os.wait4, terminals and devices are of POSIX

from cases import TUTORIAL, saved
from measured import Commands, Most

SHARE = 1.2
"""How much of the memory of a run on the tutorial's file an error may take."""
SECONDS = 5.0
"""Of the processor's time, beyond that of this run: loading TensorFlow is most of it, and no command's own doing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """One folder for a module."""
    commands = Commands(tmp_path_factory.mktemp("hostile"))
    commands.write("tutorial.npy", saved(TUTORIAL))
    yield commands
    commands.close()


@pytest.fixture(scope="session")
def most(tmp_path_factory: pytest.TempPathFactory) -> Most:
    """What a command may take."""
    commands = Commands(tmp_path_factory.mktemp("measure"))
    try:
        ended = commands("run", commands.write("tutorial.npy", saved(TUTORIAL)))
    finally:
        commands.close()
    assert ended.code == 0
    return Most(int(SHARE * ended.peak), SECONDS + ended.worked)
