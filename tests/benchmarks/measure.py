"""One command as a whole process: its time, its processor time and its peak memory.

The command is started by a small interpreter of its own, which runs this very file: what a process had resident when
it started another one counts in the other one's peak, so a caller of half a gigabyte could not see anything smaller.
Standard library only, for the same reason.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

KIBIBYTE = 1024
MAXRSS_UNIT = 1 if sys.platform == "darwin" else KIBIBYTE
ERROR = re.compile(r"[\w.: ]*error:", re.IGNORECASE)
"""How the line begins that says what went wrong; the last line is taken where there is none."""
FLOOR = 15_000_000
"""Bytes; of a process that needs less than the small interpreter, its peak says nothing."""


@dataclass
class Measured:
    """A process that has ended."""

    seconds: float
    """From its start to its end."""
    processor: float
    """Seconds of all its threads and finished children, in user and system mode."""
    peak: int
    """Bytes resident at most, mapped files included."""
    code: int
    """Exit code; −n where signal n ended it."""
    stdout: str
    stderr: str

    def failure(self) -> str:
        """What went wrong, in one line; empty where nothing did."""
        if self.code == 0:
            return ""
        ended = f"signal {-self.code}" if self.code < 0 else f"exit code {self.code}"
        said = self.stderr.strip().splitlines()
        error = next((line for line in said if ERROR.match(line)), said[-1] if said else "")
        return f"{ended}: {error}" if error else ended


def measure(command: Sequence[str | Path], directory: Path | None = None) -> Measured:
    """Run a command to its end. Raises OSError where it cannot be started."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        starter = [sys.executable, "-I", "-S", __file__, report, *command]
        done = subprocess.run(
            [os.fspath(part) for part in starter],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=directory,
            check=False,
        )
        stdout, stderr = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
        if done.returncode:
            raise OSError(f"cannot start {os.fspath(command[0])}: {stderr.strip().splitlines()[-1:]}")
        return Measured(**json.loads(report.read_text(encoding="utf-8")), stdout=stdout, stderr=stderr)


def _run_and_report(report: str, command: Sequence[str]) -> None:
    """The small interpreter's part: start, wait, write down."""
    began = time.perf_counter()
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = os.posix_spawnp(command[0], command, kept)  # with bytecode kept after the first run, as users have it
    _, status, used = os.wait4(process, 0)
    seconds = time.perf_counter() - began
    figures = {
        "seconds": seconds,
        "processor": used.ru_utime + used.ru_stime,
        "peak": used.ru_maxrss * MAXRSS_UNIT,
        "code": os.waitstatus_to_exitcode(status),
    }
    Path(report).write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    _run_and_report(sys.argv[1], sys.argv[2:])
