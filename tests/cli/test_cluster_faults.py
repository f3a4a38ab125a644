"""What goes wrong on a cluster: workers and schedulers that die, strangers, places that not all can see."""

from __future__ import annotations

import math
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from command import Inside, Softargmax
from grid import Grid, grid
from oracle import FIELDS
from stores import save, stored, zarr

from softargmax_cli.cluster import connecting, crew, running
from softargmax_cli.reduction import boxes

pytest.importorskip("distributed")

Array = npt.NDArray[Any]

if not sys.platform.startswith("linux"):
    pytest.skip("workers are held at named pipes, and places told apart by /proc", allow_module_level=True)

CHUNKS = (3, 4, 5)
X = np.random.default_rng(8).normal(size=(7, 9, 23))
ASKED = ("--axis", "0", "--beta", "2", "--window", "2")
"""Fifteen chunks of results, from two passes over three boxes each."""
LEAST = "16MiB"
"""Of --memory; a box is of 2 MiB then."""


@pytest.fixture(autouse=True)
def chunk_by_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A box is of the size of one chunk, however small; else the tests would need large arrays for several."""
    monkeypatch.setattr(boxes, "SHARE", (256 << 20) // (math.prod(CHUNKS) * 8))


@pytest.fixture(scope="module")
def doomed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A scheduler of this module's own, without workers."""
    with grid(tmp_path_factory.mktemp("doomed"), workers=0) as made:
        yield made


def given(folder: Softargmax) -> tuple[str, ...]:
    """An input and its results of one process; the command that makes them again, but for where."""
    name = save(folder, "x.zarr", X, CHUNKS)
    done = folder("run", name, *ASKED, "-o", "alone.zarr")
    assert done.code == 0, done.err
    return "run", name, *ASKED, "-o", "out.zarr"


def the_same(folder: Softargmax) -> bool:
    """Whether a cluster has found what one process found, to the last bit."""
    one, other = stored(folder, "alone.zarr"), stored(folder, "out.zarr")
    return all(one[field].tobytes() == other[field].tobytes() for field in FIELDS)


def chunks(folder: Softargmax, store: str) -> dict[str, tuple[int, int]]:
    """Chunks of results, and what tells whether one was written again."""
    place = folder.folder / store / "soft" / "c"
    found = {path: path.stat() for path in place.rglob("*") if path.is_file()}
    return {str(path.relative_to(place)): (said.st_ino, said.st_mtime_ns) for path, said in found.items()}


def meanwhile(work: Callable[[], None]) -> threading.Thread:
    """Something done in a thread, while a command runs in this process."""
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def stranger(folder: Path, text: str) -> dict[str, str]:
    """Variables of a worker that finds `text` where the package should be; it says when it looks."""
    (folder / "else").mkdir()
    (folder / "else" / "softargmax_cli.py").write_text(text)
    return {"PYTHONPATH": str(folder / "else")}


def test_workers_come_and_go(inside: Inside, doomed: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is killed in the midst of its work, a stranger comes, then another that does the rest."""
    asked = given(inside)
    monkeypatch.setattr(running, "ROUND", 0.1)
    seen = inside.folder / "seen"
    os.mkfifo(seen)
    variables = stranger(inside.folder, f"open({str(seen)!r}, 'w').close()\n__version__ = '0.0.1'\n")
    first = doomed.add_worker()
    first.hold()

    def fate() -> None:
        held = first.held()
        doomed.add_worker(**variables)
        seen.read_bytes()
        first.kill()
        first.release(held)
        doomed.add_worker()

    thread = meanwhile(fate)
    done = inside(*asked, "--scheduler", doomed.address)
    thread.join()
    assert done.code == 0, done.err
    assert the_same(inside)
    assert "x.zarr: did without one: the worker tcp://127.0.0.1" in done.err
    assert "has softargmax 0.0.1, and here is" in done.err
    for worker in doomed.workers[1:]:
        worker.kill()


def test_a_stranger_that_is_there_at_first_is_refused(inside: Inside, doomed: Grid) -> None:
    asked = given(inside)
    text = "raise ModuleNotFoundError(\"No module named 'softargmax_cli'\")\n"
    doomed.add_worker(**stranger(inside.folder, text))
    done = inside(*asked, "--scheduler", doomed.address)
    assert (done.code, done.err.count("\n")) == (2, 2)
    assert "has no softargmax: No module named 'softargmax_cli'" in done.err
    assert "  install it there: pip install 'softargmax[cluster]==" in done.err
    assert inside.names() == {"x.zarr", "alone.zarr", "else"}
    doomed.workers[-1].kill()


def test_all_workers_are_gone(inside: Inside, doomed: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they have done is kept, and a resumed run does the rest and no more."""
    asked = given(inside)
    monkeypatch.setattr(running, "ROUND", 0.1)
    monkeypatch.setattr(running, "ALONE", 0.5)
    last = doomed.add_worker()
    last.hold()

    def fate() -> None:
        held = last.held()
        last.kill()
        last.release(held)

    thread = meanwhile(fate)
    done = inside(*asked, "--scheduler", doomed.address)
    thread.join()
    assert (done.code, done.err.count("\n")) == (2, 2)
    assert f"all workers of {doomed.address} are gone, and none came in" in done.err
    assert "--resume" in done.err
    assert "out.zarr" not in inside.names()
    with monkeypatch.context() as patched:
        patched.setattr(connecting, "PATIENCE", 2)
        none = inside(*asked, "--scheduler", doomed.address, "--resume")
    assert f"--scheduler {doomed.address}: no worker in 2 s" in none.err
    doomed.add_worker()
    before = chunks(inside, "out.zarr.partial")
    assert len(before) == 1
    resumed = inside(*asked, "--scheduler", doomed.address, "--resume")
    assert resumed.code == 0, resumed.err
    assert "1 chunks were there already" in resumed.err
    after = chunks(inside, "out.zarr")
    assert len(after) == 15
    assert before.items() <= after.items()
    assert the_same(inside)
    doomed.workers[-1].kill()


def test_the_scheduler_is_gone(softargmax: Softargmax, cluster: Grid, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No store is left that looks whole, and another scheduler goes on with it."""
    save(softargmax, "x.zarr", np.random.default_rng(9).normal(size=(6, 512, 512)), (1, 512, 512))
    asked = ("run", "x.zarr", "-o", "out.zarr", "--memory", LEAST)
    with grid(tmp_path_factory.mktemp("gone"), workers=1) as gone:
        worker = gone.workers[0]
        worker.hold()
        with softargmax.started(*asked, "--scheduler", gone.address) as process:
            held = worker.held()
            gone.scheduler.kill()
            assert process.wait(timeout=30) == 2
            assert process.stderr is not None
            said = process.stderr.read().decode()
        worker.kill()
        worker.release(held)
    assert said == (
        f"softargmax: error: x.zarr: the scheduler {gone.address} is gone\n  start it again, and go on with --resume\n"
    )
    assert softargmax.names() == {"x.zarr", "out.zarr.partial"}
    before = chunks(softargmax, "out.zarr.partial")
    again = softargmax(*asked)
    assert again.err.startswith("softargmax: error: out.zarr: a run was broken off")
    resumed = softargmax(*asked, "--resume", "--scheduler", cluster.address)
    assert resumed.code == 0, resumed.err
    assert "1 chunks were there already" in resumed.err
    assert before.items() <= chunks(softargmax, "out.zarr").items()
    assert softargmax("run", "x.zarr", "-o", "alone.zarr", "--memory", LEAST).code == 0
    assert the_same(softargmax)


def test_a_scheduler_that_says_nothing(
    inside: Inside, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It is stopped, not dead: its connections stay as they are."""
    asked = given(inside)
    for module, name in ((running, "ROUND"), (crew, "SILENCE"), (crew, "FAREWELL")):
        monkeypatch.setattr(module, name, 0.3)
    with grid(tmp_path_factory.mktemp("silent"), workers=1) as silent:
        worker = silent.workers[0]
        worker.hold()

        def fate() -> None:
            held = worker.held()
            silent.scheduler.send_signal(signal.SIGSTOP)
            worker.release(held)

        thread = meanwhile(fate)
        done = inside(*asked, "--scheduler", silent.address)
        thread.join()
    assert (done.code, done.err.count("\n")) == (2, 2)
    assert f"the scheduler {silent.address} is gone" in done.err
    assert "out.zarr" not in inside.names()


def test_places_that_a_worker_does_not_see(inside: Inside, cluster: Grid) -> None:
    """/proc/self/cwd is another folder for each process."""
    asked = given(inside)
    here = "/proc/self/cwd"
    cases = [
        (["run", f"{here}/x.zarr", "-o", "out.zarr"], "cannot read the input: /proc/self/cwd/x.zarr: ", "name a path"),
        ([*asked[:-1], f"{here}/out.zarr"], "does not see /proc/self/cwd/out.zarr.partial, where", "write to a path"),
    ]
    for command, what, remedy in cases:
        done = inside(*command, "--scheduler", cluster.address)
        assert (done.code, done.err.count("\n")) == (2, 2), done.err
        assert "the worker tcp://127.0.0.1:" in done.err
        assert what in done.err
        assert f"  {remedy}" in done.err
    assert inside.names() == {"x.zarr", "alone.zarr"}


def test_ctrl_c_ends_all_processes(softargmax: Softargmax) -> None:
    """It reaches all of them, as that of a terminal does."""
    zarr.create_array(str(softargmax.folder / "x.zarr"), shape=(4000, 512, 512), chunks=(1, 512, 512), dtype="f8")
    command = ("run", "x.zarr", "-o", "out.zarr", "--memory", LEAST, "--workers", "1")
    with softargmax.started(*command, start_new_session=True) as process:
        place = softargmax.folder / "out.zarr.partial" / "soft" / "c"
        while not place.exists():
            assert process.poll() is None
            time.sleep(0.02)
        members = [os.pidfd_open(member) for member in _group(process.pid)]
        assert len(members) > 1
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)  # to the end of its streams, which every process of it holds
    assert (process.returncode, out, err) == (130, b"", b"")
    for member in members:  # whose streams are closed a moment before they are gone
        assert select.select([member], [], [], 30)[0]
        os.close(member)
    assert _group(process.pid) == []
    assert softargmax.names() == {"x.zarr", "out.zarr.partial"}


def _group(leader: int) -> list[int]:
    """The processes of a session that still run."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            state, _, _, session = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) == leader and state != "Z":
            found.append(int(name))
    return found
