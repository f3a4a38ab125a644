"""The real command in a process of its own."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from unittest import mock

import numpy as np

ROOT = Path(__file__).parents[2]

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
            timeout=300,
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
            process.wait()
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


class Inside(Softargmax):
    """The same within this process, TensorFlow loaded once: ten times as fast, for tests of many small runs."""

    def __call__(self, *arguments: str, stdin: bytes | IO[bytes] | None = None, **variables: str) -> Done:
        """Run to the end. Bytes for `stdin`, no more than a pipe holds, come through one."""
        from softargmax_cli.cli.app import _exit_code

        raw, said = io.BytesIO(), io.BytesIO()
        given = os.open(os.devnull, os.O_RDONLY) if stdin is None else _filled_pipe(stdin)
        before = os.getcwd()
        os.chdir(self.folder)
        try:
            with (
                io.TextIOWrapper(raw, encoding="utf-8", newline="") as out,
                io.TextIOWrapper(said, encoding="utf-8", newline="") as err,
                os.fdopen(given, encoding="utf-8") as into,
                mock.patch.dict(os.environ, self.environment(**variables), clear=True),
                mock.patch.multiple(sys, argv=["softargmax", *arguments], stdin=into, stdout=out, stderr=err),
            ):
                code = _exit_code()
                out.flush()
                err.flush()
                return Done(code, raw.getvalue(), said.getvalue().decode())
        finally:
            os.chdir(before)


def _filled_pipe(content: bytes | IO[bytes]) -> int:
    """The end of a pipe that `content` can be read from."""
    assert isinstance(content, bytes)
    assert len(content) <= 4096, "it would block"  # POSIX's least is 512, all systems of today hold this
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as pipe:
        pipe.write(content)
    return reader
