"""What is written to file descriptor 2 is kept, and shown only on failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from softargmax_cli.tensorflow.choice import Chatter

ROOT = Path(__file__).parents[2]


def test_kept_and_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    chatter = Chatter()
    os.write(2, b"I0000 oneDNN custom operations are on\n")
    chatter.release(show=False)
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_kept_and_shown(capfd: pytest.CaptureFixture[str]) -> None:
    print("before", file=sys.stderr)
    chatter = Chatter()
    os.write(2, b"E0000 \xce\xb2 failed \xff\n" + b"x" * 100_000)
    assert capfd.readouterr().err == "before\n"
    chatter.release(show=True)
    print("after", file=sys.stderr)
    assert capfd.readouterr().err == "E0000 β failed \ufffd\n" + "x" * 100_000 + "after\n"


def test_released_twice(capfd: pytest.CaptureFixture[str]) -> None:
    chatter = Chatter()
    os.write(2, b"kept\n")
    chatter.release(show=False)
    chatter.release(show=True)
    assert capfd.readouterr().err == ""


def test_no_descriptor_is_lost() -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("no /proc to count descriptors in")
    before = len(os.listdir("/proc/self/fd"))
    for show in (False, True) * 20:
        Chatter().release(show=show)
    assert len(os.listdir("/proc/self/fd")) == before


def test_without_a_standard_error(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", None)
        chatter = Chatter()
        os.write(2, b"through\n")
        chatter.release(show=True)
    assert capfd.readouterr().err == "through\n"


def test_what_foreign_code_and_children_write() -> None:
    code = (
        "import ctypes, subprocess, sys\n"
        "from softargmax_cli.tensorflow.choice import Chatter\n"
        "chatter = Chatter()\n"
        "ctypes.CDLL(None).dprintf(2, b'from C\\n')\n"
        "subprocess.run([sys.executable, '-c', 'import sys; print(1, file=sys.stderr)'], check=True)\n"
        "chatter.release(show=True)\n"
        "print('after', file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60
    )
    assert done.returncode == 0
    assert done.stderr == "from C\n1\nafter\n"


@pytest.mark.skipif(sys.platform == "win32", reason="closing descriptors for a child is POSIX's")
def test_a_process_started_with_standard_error_closed() -> None:
    code = (
        "import sys; from softargmax_cli.tensorflow.choice import Chatter\n"
        "assert sys.stderr is None; Chatter().release(show=True); print('done')\n"
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
