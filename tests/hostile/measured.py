"""The real command in a process whose memory is measured.

A process that is started from a large one, as a test run is, counts that one's memory as its own until it becomes
another program. So a small process of this module starts the commands, and waits for them: see `_serve`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
PATIENCE = 30
"""Seconds after which a command hangs; how long it works is measured in the processor's time, whoever else works."""
START = "softargmax: error: "
KEPT = ("PATH", "HOME", "TMPDIR", "SYSTEMROOT")


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: bytes
    err: str
    peak: int
    """Bytes of memory that it had at most."""
    worked: float
    """Seconds of the processor's time that its threads took, all together."""

    def errors(self) -> dict[str, list[str]]:
        """What standard error says of each input: lines, of which the first had the input's name before it.

        Fails where there is anything else on it, or where an error takes more than three lines.
        """
        assert "Traceback" not in self.err
        assert "defect" not in self.err, self.err
        assert all(c.isprintable() or c == "\n" for c in self.err), repr(self.err)
        found: dict[str, list[str]] = {}
        for text in self.err.split(START)[1:]:
            first, *rest = text.splitlines()
            name, _, what = first.partition(": ")
            assert len(rest) <= 2, text
            assert all(line.startswith("  ") for line in rest), text
            assert name not in found
            found[name] = [what, *map(str.strip, rest)]
        said = "".join(f"{START}{name}: " + "\n  ".join(lines) + "\n" for name, lines in found.items())
        assert said == self.err
        return found


@dataclass(frozen=True)
class Most:
    """What a command may take that is refused, however much it is asked to do."""

    peak: int
    """Bytes of memory."""
    worked: float
    """Seconds of the processor's time."""

    def hold(self, ended: Ended) -> None:
        """Fail where it took more."""
        assert ended.peak <= self.peak
        assert ended.worked <= self.worked


class Commands:
    """Runs `softargmax ...` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server = subprocess.Popen(
            [sys.executable, "-S", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        terminal: bool = False,
        out: str = "",
        through: Sequence[str] = (),
        **variables: str,
    ) -> Ended:
        """Run to the end. `stdin` comes through a pipe; without it there is none, or a `terminal`.

        out: the file that standard output is, instead of what is returned; through: a command that is given this one
        as its arguments, to run it in other surroundings.
        """
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        request = {
            "command": [*through, sys.executable, "-m", "softargmax_cli", *arguments],
            "folder": str(self.folder),
            "environment": {**environment, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", **variables},
            "stdin": None if stdin is None else stdin.decode("latin-1"),
            "terminal": terminal,
            "out": out,
        }
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        answer = json.loads(self._server.stdout.readline())
        assert not answer["hangs"], f"no end after {PATIENCE} seconds: {arguments}"
        out, err = (answer[name].encode("latin-1") for name in ("out", "err"))
        return Ended(answer["code"], out, err.decode(), answer["peak"], answer["worked"])

    def write(self, name: str, content: bytes) -> str:
        """A file; its name."""
        (self.folder / name).write_bytes(content)
        return name

    def contents(self) -> dict[str, bytes]:
        """Every file below the folder."""
        files = (path for path in self.folder.rglob("*") if path.is_file() and not path.is_symlink())
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in files}

    def close(self) -> None:
        """Let the process go that starts the others."""
        self._server.communicate()


def _run(request: dict[str, Any]) -> dict[str, Any]:
    with ExitStack() as opened:
        process = subprocess.Popen(
            request["command"],
            cwd=request["folder"],
            env=request["environment"],
            stdin=_stdin(request, opened),
            stdout=opened.enter_context(open(request["out"], "wb")) if request["out"] else subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        return _followed(process, (request["stdin"] or "").encode("latin-1"))


def _followed(process: subprocess.Popen[bytes], content: bytes) -> dict[str, Any]:
    """A process to its end, which reads `content` where its standard input is a pipe."""
    hangs: list[bool] = []

    def end() -> None:
        hangs.append(True)
        process.kill()

    guard = threading.Timer(PATIENCE, end)
    guard.start()
    held = {"out": b"", "err": b""}
    streams = {"out": process.stdout, "err": process.stderr}
    threads = [threading.Thread(target=_drain, args=(name, stream, held)) for name, stream in streams.items() if stream]
    if process.stdin is not None:
        threads.append(threading.Thread(target=_feed, args=(process.stdin, content)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _, status, usage = os.wait4(process.pid, 0)
    guard.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "code": process.returncode,
        "peak": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "worked": usage.ru_utime + usage.ru_stime,
        "hangs": bool(hangs),
        **{name: text.decode("latin-1") for name, text in held.items()},
    }


def _stdin(request: dict[str, Any], opened: ExitStack) -> int:
    """Standard input as it is asked for; what is only the command's is closed with `opened`."""
    if request["terminal"]:
        import pty

        screen, terminal = pty.openpty()
        opened.callback(os.close, screen)
        opened.callback(os.close, terminal)
        return terminal
    return subprocess.DEVNULL if request["stdin"] is None else subprocess.PIPE


def _drain(name: str, stream: IO[bytes], held: dict[str, bytes]) -> None:
    with stream:
        held[name] = stream.read()


def _feed(stream: IO[bytes], content: bytes) -> None:
    try:
        with stream:
            stream.write(content)
    except BrokenPipeError:  # it has seen enough
        pass


def _serve(requests: IO[str], answers: IO[str]) -> None:
    """Run what each line asks for, and answer with a line."""
    for line in requests:
        answers.write(json.dumps(_run(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve(sys.stdin, sys.stdout)
