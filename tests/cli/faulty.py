"""The real program with a fault at a moment of its run, in a process forked from one that has loaded everything.

A *moment* is before or after one call of a *point*: where the program asks something of the system or of TensorFlow.
The journal of a run without a fault says which there are; each can then be told to fail, to be the last thing before a
signal, or to find the input changed. Nothing waits or sleeps: what happens is decided by counting.

`Faults` is the test's side. Started as a program, this file is the other: it loads what the program would, and forks
for each line of JSON on its standard input. Only Linux forks a process with TensorFlow in it safely.
"""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WATCH = 30.0
"""Seconds after which a process that has not ended counts as one that hangs."""


@dataclass(frozen=True)
class Moment:
    """Before or after the `number`-th call (from 0) of a point."""

    point: str
    number: int
    after: bool = False


@dataclass(frozen=True)
class Plan:
    """One run: where, with what, and what goes wrong when."""

    folder: str
    arguments: Sequence[str]
    moment: Moment | None = None
    fault: str = ""
    """The name of a signal or of an error number, or of a change to `input`: see `CHANGES`."""
    input: str = ""
    piped: str = ""
    """A file that standard input is a pipe of."""
    stderr: str = ""
    """Where standard error goes instead of to a file of its own: a terminal."""
    bar: bool = False
    """Whether the progress bar is drawn from the first block on."""
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """A run that has ended."""

    code: int
    """Exit code; of a signal that killed it, its negative number."""
    out: bytes
    err: str
    journal: list[str]
    """The points called, in order, and `!` where the fault was."""
    worked: float
    """Seconds of the processor's time from the fault to the end."""

    @property
    def happened(self) -> bool:
        """Whether the fault came."""
        return "!" in self.journal

    def moments(self, *points: str) -> list[Moment]:
        """All moments before calls of these points."""
        counts: dict[str, int] = {}
        found = []
        for point in self.journal:
            number = counts[point] = counts.get(point, -1) + 1
            if point in points:
                found.append(Moment(point, number))
        return found


class Faults:
    """The process that forks."""

    def __init__(self, scratch: Path, environment: dict[str, str]) -> None:
        self._scratch = scratch
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )

    def __call__(self, plan: Plan) -> Ended:
        """Run to the end."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        names = {name: str(self._scratch / name) for name in ("out", "err", "journal")}
        told = {**vars(plan), "moment": plan.moment and vars(plan.moment), **names}
        told["err"] = plan.stderr or names["err"]
        self._server.stdin.write(json.dumps(told).encode() + b"\n")
        self._server.stdin.flush()
        answer = json.loads(self._server.stdout.readline())
        said = "" if plan.stderr else Path(names["err"]).read_text("utf-8")
        lines = Path(names["journal"]).read_text("utf-8").splitlines()
        journal = ["!" if line.startswith("!") else line for line in lines]
        fired = [float(line[1:]) for line in lines if line.startswith("!")]
        return Ended(
            answer["code"],
            Path(names["out"]).read_bytes(),
            said,
            journal,
            answer["worked"] - fired[0] if fired else 0.0,
        )

    def close(self) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.stdout.close()
        self._server.wait()


@contextmanager
def forking(scratch: Path, environment: dict[str, str]) -> Iterator[Faults]:
    """A process that forks, until the end of the block."""
    faults = Faults(scratch, environment)
    try:
        yield faults
    finally:
        faults.close()


# The other side


def _grow(path: str) -> None:
    with open(path, "ab") as file:
        file.write(b"1,2,3,4\n")


def _rewrite(path: str) -> None:
    """Other content of the same size, in place."""
    status = os.stat(path)
    with open(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"7")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))  # whatever the clock's grain


def _replace(path: str) -> None:
    with open(f"{path}.new", "wb") as file:
        file.write(b"1,2,3,4\n")
    os.replace(f"{path}.new", path)


CHANGES: dict[str, Callable[[str], None]] = {
    "truncated": lambda path: os.truncate(path, os.stat(path).st_size * 2 // 3),
    "emptied": lambda path: os.truncate(path, 0),
    "grown": _grow,
    "rewritten": _rewrite,
    "replaced": _replace,
    "removed": os.unlink,
}


class _Faulty:
    """Calls of points are counted, and one of them goes wrong."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan, self._counts = plan, {}
        self._journal = os.open(plan["journal"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        self._write, self._kill, self._broken = os.write, os.kill, False

    def call(self, point: str, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        number = self._counts[point] = self._counts.get(point, -1) + 1
        self._write(self._journal, f"{point}\n".encode())
        self._at(point, number, False)
        result = function(*arguments, **keywords)
        self._at(point, number, True)
        return result

    def _at(self, point: str, number: int, after: bool) -> None:
        moment, fault = self._plan["moment"], self._plan["fault"]
        if moment is None or moment["point"] != point or moment["after"] != after:
            return
        if number != moment["number"] and not (self._broken and number > moment["number"]):
            return  # a disk stays full, other faults come once
        self._write(self._journal, f"!{time.process_time()}\n".encode())
        if fault in CHANGES:
            CHANGES[fault](self._plan["input"])
        elif fault.startswith("SIG"):
            self._kill(os.getpid(), getattr(signal, fault))
        elif fault == "MemoryError":
            raise MemoryError
        else:
            self._broken = True
            code = getattr(errno, fault)
            raise OSError(code, os.strerror(code))

    def wrapped(self, point: str, function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments, **keywords: self.call(point, function, *arguments, **keywords)

    def install(self) -> None:
        """Have every point counted. Descriptors are wrapped below the buffers, where the system is asked."""
        from softargmax_cli.tensorflow import capi, native

        real_open, real_os_open, real_temporary = builtins.open, os.open, tempfile.TemporaryFile
        read, write = os.read, os.write
        faulty = self

        class Raw(io.RawIOBase):
            def __init__(self, descriptor: int, reading: str, writing: str) -> None:
                self._descriptor, self._reading, self._writing = descriptor, reading, writing

            def fileno(self) -> int:
                return self._descriptor

            def readable(self) -> bool:
                return bool(self._reading)

            def writable(self) -> bool:
                return bool(self._writing)

            def seekable(self) -> bool:
                try:
                    os.lseek(self._descriptor, 0, os.SEEK_CUR)
                except OSError:
                    return False
                return True

            def seek(self, place: int, whence: int = 0) -> int:
                return os.lseek(self._descriptor, place, whence)

            def tell(self) -> int:
                return os.lseek(self._descriptor, 0, os.SEEK_CUR)

            def readinto(self, space: Any) -> int:
                got = faulty.call(self._reading, read, self._descriptor, len(space))
                space[: len(got)] = got
                return len(got)

            def write(self, data: Any) -> int:
                return faulty.call(self._writing, write, self._descriptor, data)

            def close(self) -> None:
                if not self.closed:
                    super().close()
                    os.close(self._descriptor)

        def fdopen(descriptor: int, mode: str = "r", buffering: int = -1, **more: Any) -> Any:
            if mode == "wb":
                return io.BufferedWriter(Raw(descriptor, "", "write"), max(buffering, 1 << 13))
            if mode == "rb":
                return io.BufferedReader(Raw(descriptor, "read", ""))
            return real_open(descriptor, mode, buffering, **more)

        def opened(path: Any, mode: str = "r", *arguments: Any, **keywords: Any) -> Any:
            if mode == "rb" and isinstance(path, str):
                return io.BufferedReader(Raw(faulty.call("open", real_os_open, path, os.O_RDONLY), "read", ""))
            return real_open(path, mode, *arguments, **keywords)

        def os_open(path: Any, flags: int, *arguments: Any, **keywords: Any) -> int:
            if flags & os.O_CREAT:
                return faulty.call("create", real_os_open, path, flags, *arguments, **keywords)
            return real_os_open(path, flags, *arguments, **keywords)

        def temporary(mode: str = "w+b", buffering: int = -1, **more: Any) -> Any:
            made = faulty.call("spool", real_temporary, mode, 0, **more)
            descriptor = os.dup(made.fileno())
            made.close()
            return io.BufferedRandom(Raw(descriptor, "unspool", "spool"))

        builtins.open, os.open, os.fdopen, tempfile.TemporaryFile = opened, os_open, fdopen, temporary
        sys.stdin = io.TextIOWrapper(io.BufferedReader(Raw(0, "read", "")))
        os.preadv = self.wrapped("read", os.preadv)
        os.fsync = self.wrapped("sync", os.fsync)
        os.posix_fallocate = self.wrapped("spool", os.posix_fallocate)
        os.replace = self.wrapped("place", os.replace)
        os.unlink = self.wrapped("unlink", os.unlink)
        capi.load = self.wrapped("load", capi.load)
        run = native.NativeFunction.__call__
        native.NativeFunction.__call__ = lambda *arguments: self.call("compute", run, *arguments)


def _child(plan: dict[str, Any]) -> None:
    """Become the program."""
    from softargmax_cli.cli import app
    from softargmax_cli.report import progress

    os.setsid()
    os.environ.update(plan["variables"])
    os.chdir(plan["folder"])
    given = _pipe(plan["piped"]) if plan["piped"] else os.open(os.devnull, os.O_RDONLY)
    os.dup2(given, 0)
    for number, name in ((1, plan["out"]), (2, plan["err"])):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    sys.argv = ["softargmax", *plan["arguments"]]
    if plan["bar"]:
        progress.PATIENCE = progress.INTERVAL = 0.0
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    _Faulty(plan).install()
    app.main()


def _pipe(path: str) -> int:
    """The reading end of a pipe that another process writes a file to."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            os.close(reader)
            with open(path, "rb") as file, os.fdopen(writer, "wb") as pipe:
                pipe.write(file.read())
        finally:
            os._exit(0)  # quietly, where the reader has gone
    os.close(writer)
    return reader


def _load() -> None:
    """What the program loads in its time, so that each fork has it already."""
    import pkgutil

    import matplotlib.backends.backend_agg
    import matplotlib.backends.backend_svg  # noqa: F401
    import numpy  # noqa: F401
    import polars  # noqa: F401
    import rich.progress  # noqa: F401

    import softargmax_cli
    from softargmax_cli.tensorflow.capi import load

    for module in pkgutil.walk_packages(softargmax_cli.__path__, "softargmax_cli."):
        if not module.name.startswith(("softargmax_cli.__main__", "softargmax_cli.api", "softargmax_cli.tensorflow")):
            __import__(module.name)
    softargmax_cli.report.figure.drawable("")  # finds and reads the font
    load()


def _serve() -> None:
    _load()
    for line in sys.stdin.buffer:
        plan = json.loads(line)
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            try:
                _child(plan)
            finally:
                os._exit(99)
        watched = os.pidfd_open(pid)
        if not select.select([watched], [], [], WATCH)[0]:
            os.kill(pid, signal.SIGABRT)
        _, status, usage = os.wait4(pid, 0)
        os.close(watched)
        worked = usage.ru_utime + usage.ru_stime
        print(json.dumps({"code": os.waitstatus_to_exitcode(status), "worked": worked}), flush=True)


if __name__ == "__main__":
    _serve()
