"""The real command: in a process of its own, and within the process of the tests."""

from __future__ import annotations

import functools
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from unittest import mock

import numpy as np
import typer.main

ROOT = Path(__file__).parents[1]

TUTORIAL = [[5, 2, 1, 2], [3.9, 4, 1, 2], [2, 5.9, 6, 2]]
TUTORIAL_CSV = "5,2,1,2\n3.9,4,1,2\n2,5.9,6,2\n"

SPOKEN_FOR = ("TF_", "SOFTARGMAX_", "PYTHON", "LC_", "LANG")
"""Beginnings of the variables that change what is printed, which no test may inherit."""
ALSO = {"NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "GITHUB_ACTIONS", "COLUMNS", "LINES", "TERM"}


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        """Standard output as text."""
        return self.raw.decode()

    @property
    def lines(self) -> list[str]:
        """The lines of standard output."""
        return self.out.splitlines()


class Softargmax:
    """`softargmax ...` in a folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str, stdin: bytes | IO[bytes] | None = None, **variables: str) -> Done:
        """Run to the end. Bytes for `stdin` come through a pipe, a file is redirected, None is /dev/null."""
        given: dict[str, Any] = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin or subprocess.DEVNULL}
        ended = subprocess.run(
            self.command(*arguments),
            **given,
            capture_output=True,
            check=False,
            cwd=self.folder,
            env=self.environment(**variables),
            timeout=100,
        )
        return Done(ended.returncode, ended.stdout, ended.stderr.decode())

    def peak(self, *arguments: str) -> int:
        """Bytes of memory that a run needed at most."""
        code = (
            "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL);"
            "print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, *self.command(*arguments)],
            capture_output=True,
            text=True,
            check=True,
            cwd=self.folder,
            env=self.environment(),
            timeout=100,
        )
        returned, most = map(int, done.stdout.split())
        assert returned == 0, done.stderr
        return most * (1 if sys.platform == "darwin" else 1024)

    @contextmanager
    def started(self, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
        """A process that still runs; `options` are Popen's, or `variables` of its environment."""
        variables = options.pop("variables", {})
        defaults = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(
            self.command(*arguments), cwd=self.folder, env=self.environment(**variables), **{**defaults, **options}
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait(60)
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None and not pipe.closed:
                    pipe.close()

    @staticmethod
    def command(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "softargmax_cli", *arguments]

    @staticmethod
    def environment(**variables: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(SPOKEN_FOR) and k not in ALSO}
        return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", **variables}

    def save(self, name: str, values: Any, dtype: str = "float64") -> str:
        """An .npy file of `values`; its name."""
        np.save(self.folder / name, np.asarray(values, dtype))
        return name

    def write(self, name: str, content: str | bytes) -> str:
        """A file of `content`; its name."""
        (self.folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return name

    def read(self, name: str) -> bytes:
        """What a file holds."""
        return (self.folder / name).read_bytes()

    def names(self) -> set[str]:
        """The files there are, hidden ones too."""
        return set(os.listdir(self.folder))


BUILT = functools.cache(typer.main.get_command)
"""Typer makes its commands anew for each call, which takes longer than most runs of tests."""


class Inside(Softargmax):
    """The same within this process, TensorFlow loaded once: thirty times as fast, for what does not need a process."""

    def __call__(self, *arguments: str, stdin: bytes | IO[bytes] | None = None, **variables: str) -> Done:
        """Run to the end. Bytes for `stdin` come through a pipe that a thread fills, a file is redirected."""
        return self._run(arguments, stdin, variables, together=False)

    def printed(self, *arguments: str, **variables: str) -> Done:
        """Run with standard error sent to standard output, as a terminal shows both."""
        return self._run(arguments, None, variables, together=True)

    def _run(
        self, arguments: Sequence[str], stdin: bytes | IO[bytes] | None, variables: dict[str, str], *, together: bool
    ) -> Done:
        from softargmax_cli.cli.app import _exit_code

        encoding = variables.get("PYTHONIOENCODING", "utf-8")
        raw, said = io.BytesIO(), io.BytesIO()
        out = io.TextIOWrapper(
            raw if together else io.BufferedWriter(raw), encoding, newline="", write_through=together
        )
        err = out if together else io.TextIOWrapper(said, encoding, "backslashreplace", newline="")
        before = os.getcwd()
        os.chdir(self.folder)
        try:
            with (
                _reading(stdin) as into,
                mock.patch.object(typer.main, "get_command", BUILT),
                mock.patch.dict(os.environ, self.environment(**variables), clear=True),
                mock.patch.multiple(sys, argv=["softargmax", *arguments], stdin=into, stdout=out, stderr=err),
            ):
                code = _exit_code()
                err.flush()
                return Done(code, raw.getvalue(), said.getvalue().decode())  # without what nobody has flushed
        finally:
            os.chdir(before)


@contextmanager
def _reading(stdin: bytes | IO[bytes] | None) -> Iterator[IO[str]]:
    """Open what standard input is: the null device, a pipe of these bytes, or this file."""
    if not isinstance(stdin, bytes):
        given = os.open(os.devnull, os.O_RDONLY) if stdin is None else os.dup(stdin.fileno())
        with os.fdopen(given, encoding="utf-8") as into:
            yield into
        return
    reader, writer = os.pipe()

    def write() -> None:
        with suppress(BrokenPipeError), os.fdopen(writer, "wb", buffering=0) as pipe:
            rest = memoryview(stdin)
            while rest:
                rest = rest[pipe.write(rest) :]

    thread = threading.Thread(target=write)
    thread.start()
    try:
        with os.fdopen(reader, encoding="utf-8") as into:
            yield into
    finally:
        thread.join(60)  # the other end is closed, so that it ends at once
