"""A real Dask scheduler and real workers, in processes of their own, on loopback."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from command import ROOT, Softargmax

MODULE = "distributed.cli.dask_{}"
LONGEST = 30
"""Seconds that a worker may take to come to its gate."""
GATE = "TESTS_GATE"
"""The variable that names the place of a worker's gate, see `gate.py`."""


class Worker:
    """A worker process, which can be held at a gate."""

    def __init__(self, process: subprocess.Popen[str], gate: Path) -> None:
        self.process, self._gate = process, gate

    def hold(self) -> None:
        """Let it come no further than to the second chunk of results that it writes from now on."""
        os.mkfifo(self._gate)

    def held(self) -> int:
        """Wait until it stands at the gate; what opens the gate when it is closed."""
        until = time.monotonic() + LONGEST
        while time.monotonic() < until:
            with contextlib.suppress(OSError):  # nobody reads
                return os.open(self._gate, os.O_WRONLY | os.O_NONBLOCK)
            time.sleep(0.01)
        raise AssertionError("the worker does not come to the gate")

    def release(self, held: int) -> None:
        """Let it go on, if it still can, and take the gate away."""
        self._gate.unlink()
        os.close(held)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()


class Grid:
    """One scheduler, and workers that can be held and killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        command = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show"]
        self.scheduler = self._start("scheduler", *command)
        self.address = self._said(self.scheduler, r"Scheduler at: +(tcp://\S+)")
        self.workers: list[Worker] = []

    def add_worker(self, *options: str, **variables: str) -> Worker:
        """Another one; it has registered when this returns."""
        gate = self._folder / f"gate-{len(self.workers)}"
        given = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(self._folder), *options]
        given += [] if "PYTHONPATH" in variables else ["--preload", str(ROOT / "tests" / "cli" / "gate.py")]
        process = self._start("worker", self.address, *given, **{GATE: str(gate), **variables})
        self._said(process, r"Registered to: +(tcp://\S+)")
        self.workers.append(Worker(process, gate))
        return self.workers[-1]

    def close(self) -> None:
        """End all of them."""
        for process in (*(worker.process for worker in self.workers), self.scheduler):
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
            assert process.stderr is not None
            process.stderr.close()

    def _start(self, kind: str, *options: str, **variables: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", MODULE.format(kind), *options]
        environment = {**Softargmax.environment(), "PYTHONPATH": str(ROOT), **variables}
        log = self._folder / f"{kind}-{os.urandom(4).hex()}.log"
        with log.open("w") as output:
            return subprocess.Popen(
                command, cwd=self._folder, env=environment, stdout=output, stderr=subprocess.PIPE, text=True
            )

    @staticmethod
    def _said(process: subprocess.Popen[str], pattern: str) -> str:
        """The first of what is said that matches; the rest goes to nowhere, in a thread of the interpreter's."""
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if found := re.search(pattern, line):
                _drain(process)
                return found[1]
        raise AssertionError(f"{process.args}: {''.join(said)}")


def _drain(process: subprocess.Popen[str]) -> None:
    stderr = process.stderr
    threading.Thread(target=lambda: [None for _ in stderr or ()], daemon=True).start()


@contextmanager
def grid(folder: Path, workers: int = 2) -> Iterator[Grid]:
    """A scheduler with some workers."""
    folder.mkdir(exist_ok=True)
    made = Grid(folder)
    try:
        for _ in range(workers):
            made.add_worker()
        yield made
    finally:
        made.close()
