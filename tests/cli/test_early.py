"""Ctrl-C before the command line is there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

EARLY = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":  # long before there is anything to stop
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from softargmax_cli.__main__ import main
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_an_interrupt_while_the_program_loads_says_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", EARLY], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")
