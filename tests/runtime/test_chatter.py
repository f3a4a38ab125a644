"""Writing to file descriptor 2 is held back, and shown only on failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from softargmax_cli.tensorflow.choice import held_back

ROOT = Path(__file__).parents[2]


def written(text: bytes, *, show: bool, fails: bool) -> None:
    """Write while standard error is held back, perhaps until an error."""
    try:
        with held_back(show=show):
            os.write(2, text)
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        pass


def test_shown_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    print("before", file=sys.stderr)
    written(b"E0000 \xce\xb2 failed \xff\n" + b"x" * 100_000, show=True, fails=True)
    print("after", file=sys.stderr)
    assert capfd.readouterr().err == "before\nE0000 β failed \ufffd\n" + "x" * 100_000 + "after\n"


def test_no_descriptor_is_lost() -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("no /proc to count descriptors in")
    before = len(os.listdir("/proc/self/fd"))
    for fails in (False, True) * 20:
        written(b"", show=True, fails=fails)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(sys.platform == "win32", reason="closing descriptors for a child is POSIX's")
def test_a_process_started_with_standard_error_closed() -> None:
    code = (
        "import sys; from softargmax_cli.tensorflow.choice import held_back\n"
        "assert sys.stderr is None\nwith held_back(show=True): print('done')\n"
    )
    done = subprocess.run(
        ["sh", "-c", '"$0" -c "$1" 2>&-', sys.executable, code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=60,
    )
    assert done.stdout == "done\n"
