"""Files beside their target: locked while they are written, removed by the next run when nobody writes them."""

from __future__ import annotations

import errno
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from softargmax_cli.files import temporary
from softargmax_cli.files.temporary import PLACES, Temporary, nameless, remove_unfinished, when_undisturbed

posix = pytest.mark.skipif(sys.platform == "win32", reason="locks, links and modes of POSIX")

FIRST = ".a.csv.softargmax-tmp"


def made(folder: Path, content: bytes = b"new") -> Temporary:
    beside = Temporary(str(folder / "a.csv"), 0o666)
    os.write(beside.descriptor, content)
    return beside


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_it_takes_the_place(tmp_path: Path) -> None:
    for force in (False, True):
        beside = made(tmp_path, b"1" if force else b"0")
        assert names_in(tmp_path) == ({FIRST, "a.csv"} if force else {FIRST})
        if sys.platform == "win32":
            os.close(beside.descriptor)
        beside.take_place(force=force)
        if sys.platform != "win32":
            os.close(beside.descriptor)
        assert names_in(tmp_path) == {"a.csv"}
        assert (tmp_path / "a.csv").read_bytes() == (b"1" if force else b"0")
    assert temporary._unfinished == []


@posix
@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_another_file_is_not_replaced_without_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:  # as on FAT
        monkeypatch.setattr(os, "link", refuse)
    beside = made(tmp_path)
    (tmp_path / "a.csv").write_bytes(b"other")
    with pytest.raises(FileExistsError):
        beside.take_place(force=False)
    beside.remove()
    os.close(beside.descriptor)
    assert (tmp_path / "a.csv").read_bytes() == b"other"
    assert names_in(tmp_path) == {"a.csv"}
    (tmp_path / "a.csv").unlink()
    beside = made(tmp_path)
    beside.take_place(force=False)
    os.close(beside.descriptor)
    assert (tmp_path / "a.csv").read_bytes() == b"new"
    assert names_in(tmp_path) == {"a.csv"}


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    left = {FIRST, ".a.csv.3.softargmax-tmp", f".a.csv.{PLACES - 1}.softargmax-tmp"}
    others = {".b.csv.softargmax-tmp", ".a.csv.softargmax-tmp.txt", "a.csv.softargmax-tmp", ".a.csv"}
    for name in left | others:
        (tmp_path / name).write_bytes(b"half")
    beside = made(tmp_path)
    assert names_in(tmp_path) == {FIRST, *others}
    assert (tmp_path / FIRST).read_bytes() == b"new"
    beside.give_up() if sys.platform == "win32" else beside.remove()
    assert names_in(tmp_path) == others


def test_what_is_being_written_is_not(tmp_path: Path) -> None:
    every = [made(tmp_path, bytes([k])) for k in range(PLACES)]
    assert len(names_in(tmp_path)) == PLACES
    with pytest.raises(OSError, match=f"{PLACES} other runs are writing it"):
        made(tmp_path)
    for k, beside in enumerate(every):
        assert Path(beside.name).read_bytes() == bytes([k])
    remove_unfinished()
    assert names_in(tmp_path) == set()
    assert temporary._unfinished == []
    if sys.platform != "win32":
        for beside in every:
            os.close(beside.descriptor)


@posix
def test_a_killed_process_holds_no_lock(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from softargmax_cli.files.temporary import Temporary;"
        "Temporary(sys.argv[1], 0o666); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.csv")], check=False, env=dict(os.environ))
    assert names_in(tmp_path) == {FIRST}
    made(tmp_path).remove()
    assert names_in(tmp_path) == set()


@posix
def test_nothing_but_a_leftover_of_our_own_is_removed(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"kept")
    (tmp_path / FIRST).symlink_to("kept")
    (tmp_path / ".a.csv.1.softargmax-tmp").mkdir()
    os.mkfifo(tmp_path / ".a.csv.2.softargmax-tmp")
    before = names_in(tmp_path)
    beside = made(tmp_path)
    assert Path(beside.name).name == ".a.csv.3.softargmax-tmp"
    beside.remove()
    os.close(beside.descriptor)
    assert names_in(tmp_path) == before
    assert (tmp_path / "kept").read_bytes() == b"kept"


@posix
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_there_are_no_locks_nothing_is_taken_for_a_leftover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / FIRST).write_bytes(b"perhaps another run's")
    beside = made(tmp_path)
    assert Path(beside.name).name == ".a.csv.1.softargmax-tmp"
    beside.take_place(force=True)
    os.close(beside.descriptor)
    assert (tmp_path / FIRST).read_bytes() == b"perhaps another run's"
    assert (tmp_path / "a.csv").read_bytes() == b"new"


@posix
def test_a_file_taken_for_a_leftover_before_it_was_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def taken(name: Any, flags: int, *mode: int) -> int:
        descriptor = real(name, flags, *mode)
        if flags & os.O_CREAT and str(name).endswith(FIRST):
            os.unlink(name)  # another run was quicker
        return descriptor

    monkeypatch.setattr(os, "open", taken)
    beside = made(tmp_path)
    assert names_in(tmp_path) == {".a.csv.1.softargmax-tmp"}
    beside.remove()
    os.close(beside.descriptor)
    assert names_in(tmp_path) == set()


@posix
def test_a_name_that_has_become_anothers_is_left(tmp_path: Path) -> None:
    beside = made(tmp_path)
    os.replace(beside.name, tmp_path / "a.csv")  # and a signal before that is known
    other = made(tmp_path, b"another run's")
    assert other.name == beside.name
    beside.give_up()
    assert (tmp_path / FIRST).read_bytes() == b"another run's"
    other.remove()
    for descriptor in (beside.descriptor, other.descriptor):
        os.close(descriptor)


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Temporary(str(tmp_path / "no" / "a.csv"), 0o666)
    assert temporary._unfinished == []


def test_the_end_waits_while_a_nameless_file_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    ends: list[str] = []
    real = tempfile.TemporaryFile

    def interrupted(*arguments: Any, **keywords: Any) -> Any:
        when_undisturbed(lambda: ends.append("later"))
        assert ends == ["at once"]
        return real(*arguments, **keywords)

    when_undisturbed(lambda: ends.append("at once"))
    monkeypatch.setattr(tempfile, "TemporaryFile", interrupted)
    nameless(str(tmp_path)).close()
    assert ends == ["at once", "later"]
    assert names_in(tmp_path) == set()


@posix
def test_many_processes_at_one_target(tmp_path: Path) -> None:
    """Whoever is last, the target is whole, and nothing else stays."""
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.starmap(_rewrite, [(str(tmp_path / "a.csv"), k) for k in range(4)])
    content = (tmp_path / "a.csv").read_bytes()
    assert content == content[:1] * 100_000
    assert names_in(tmp_path) == {"a.csv"}


def _rewrite(path: str, number: int) -> None:
    for _ in range(50):
        beside = Temporary(path, 0o666)
        for _ in range(10):
            os.write(beside.descriptor, bytes([number]) * 10_000)
        beside.take_place(force=True)
        os.close(beside.descriptor)
