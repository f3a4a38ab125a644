"""Faults in the midst of a run: the old output or none, nothing else left, the right exit code and a plain error."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import files
import numpy as np
import pytest
from command import Done, Inside

from softargmax_cli.tensorflow.native import NativeFunction

if sys.platform == "win32":
    pytest.skip("limits and calls of POSIX", allow_module_level=True)

import resource

SCORES = np.random.default_rng(6).standard_normal((1000, 20)).astype("f4")
WRITING = {
    "npy": "run x.npy -o y.npy",
    "npz": "run x.npy -o y.npz",
    "csv": "run x.npy -o y.csv",
    "json": "run x.npy -o y.json",
    "parquet": "run x.npy -o y.parquet",
    "gradient": "grad x.npy -o y.npy",
    "report": "check x.npy --tol 0 --rows 0 -o y.json --format json",
    "picture": "run x.npy --rows 1 --plot y.png",
}


@pytest.fixture
def folder(inside: Inside) -> Inside:
    """A folder with an input."""
    inside.save("x.npy", SCORES, "float32")
    return inside


@contextmanager
def full_disk(size: int = 2000) -> Any:
    """Let no file grow beyond some bytes, which the system refuses as it does on a full disk."""
    usual, written = resource.getrlimit(resource.RLIMIT_FSIZE), sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # Python would keep the beginning of a module
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        sys.dont_write_bytecode = written


def left_alone(folder: Inside, command: str, when: Callable[[], Done], code: int, *said: str) -> None:
    """Run over an old output and over none: the code, an error of one to three lines, and neither output changes."""
    target = next(word for word in command.split() if word.startswith("y."))
    for old in (b"what was there before", None):
        if old is not None:
            folder.write(target, old)
        before = folder.names()
        done = when()
        assert (done.code, done.raw) == (code, b""), done.err
        assert len(done.err.splitlines()) <= 3
        assert "defect" not in done.err
        assert all(words in done.err for words in said), done.err
        assert folder.names() == before
        if old is not None:
            assert folder.read(target) == old
            (folder.folder / target).unlink()


@pytest.mark.slow
@pytest.mark.parametrize("what", WRITING)
def test_a_full_disk(folder: Inside, what: str) -> None:
    def run() -> Done:
        with full_disk():
            return folder(*WRITING[what].split(), "--force", "--quiet")

    left_alone(folder, WRITING[what], run, 2, "File too large")


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize(
    "fault", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()], ids=["EIO", "Ctrl-C"]
)
def test_a_fault_as_a_result_is_put_in_place(
    folder: Inside, call: str, fault: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise fault

    def run() -> Done:
        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            return folder("run", "x.npy", "-o", "y.csv", "--force")

    code, said = (130, "") if isinstance(fault, KeyboardInterrupt) else (2, "Input/output error")
    left_alone(folder, "-o y.csv", run, code, said)


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [(MemoryError(), 2, "out of memory"), (KeyboardInterrupt(), 130, "")],
    ids=["no memory", "Ctrl-C"],
)
def test_a_fault_while_it_computes(
    folder: Inside, fault: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(NativeFunction, "__call__", fail)
    left_alone(folder, "-o y.csv", lambda: folder("run", "x.npy", "-o", "y.csv", "--force"), code, said)


def test_a_disk_that_cannot_be_read(folder: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "preadv", fail)
    said = ("x.npy: cannot be read: Input/output error\n", "is its disk, or the network, still there?")
    for command in ("run", "grad"):
        left_alone(folder, "-o y.npy", lambda: folder(command, "x.npy", "-o", "y.npy", "--force"), 2, *said)  # noqa: B023


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"1,2,3,4\n")


def _rewrite(path: Path) -> None:
    """Write in place, with a time that no clock's grain hides."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))


def _replace(path: Path) -> None:
    new = path.with_name("new")
    new.write_bytes(b"1,2,3,4\n")
    new.replace(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: os.truncate(path, path.stat().st_size * 2 // 3),
    "grown": _grow,
    "rewritten": _rewrite,
    "replaced": _replace,
    "removed": Path.unlink,
}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["npy", "npz", "safetensors", "hdf5", "parquet", "csv.gz"])
def test_a_file_that_changes_while_it_is_read(inside: Inside, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = {**files.ANY_SHAPE, **files.TABLES}[form](SCORES)
    path, compute = inside.folder / "x.bin", NativeFunction.__call__
    for change, make in CHANGES.items():
        inside.write("x.bin", content)

        def changed(self: NativeFunction, *given: Any, **more: Any) -> Any:
            if path.exists() and path.stat().st_mtime_ns == then and path.stat().st_size == len(content):  # noqa: B023
                with suppress(FileNotFoundError):
                    make(path)  # noqa: B023
            return compute(self, *given, **more)

        then = path.stat().st_mtime_ns
        monkeypatch.setattr(NativeFunction, "__call__", changed)
        done = inside("run", "x.bin", "-o", "y.npy", "--force")
        if change in ("replaced", "removed"):  # what was open is read to its end
            assert done.code == 0, (change, done.err)
        else:
            assert (done.code, done.raw) == (2, b""), (change, done.err)
            assert change == "truncated" or "changed while it was read" in done.err, (change, done.err)
        assert inside.names() <= {"x.bin", "y.npy"}


def test_no_room_for_the_copy_of_a_pipe(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    inside.write("y.csv", "old")
    (inside.folder / "temporary").mkdir()
    place = str(inside.folder / "temporary")
    monkeypatch.setattr(tempfile, "tempdir", place)
    scores = np.zeros(1_000_000, "f4")
    for more, content in (
        (["--window", "3", "--memory", "16MiB"], files.npy(scores)),
        (["--axis", "0", "--window", "3"], b"1.5,2.5\n" * 200_000),
    ):
        with full_disk(500_000):
            done = inside("run", "-", *more, "-o", "y.csv", "--force", stdin=content)
        what, remedy = done.err.splitlines()
        assert what == "softargmax: error: <stdin>: cannot be copied to a temporary file: File too large"
        assert "TMPDIR" in remedy
        assert (done.code, done.raw, inside.read("y.csv")) == (2, b"", b"old")
        assert inside.names() == {"y.csv", "temporary"}
        assert list((inside.folder / "temporary").iterdir()) == []
