"""Clusters with faults: workers that die, strangers, places that not all can see, Ctrl-C."""

from __future__ import annotations

import errno
import math
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Inside, Softargmax
from oracle import FIELDS
from stores import save, stored

from softargmax_cli.cluster import connection
from softargmax_cli.reduction import budget

distributed = pytest.importorskip("distributed")
pytestmark = [pytest.mark.slow, pytest.mark.nightly]

if not sys.platform.startswith("linux"):
    pytest.skip("places are told apart by /proc, and processes found there", allow_module_level=True)

CHUNKS = (2, 3, 4)
X = np.random.default_rng(8).normal(size=(4, 6, 8))
ASKED = ("run", "x.zarr", "--axis", "0", "--beta", "2", "--window", "2")
"""Four chunks of results, from two passes over two boxes each."""


@pytest.fixture(autouse=True)
def chunk_by_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a box be of the size of one chunk, however small; else several would need large arrays."""
    monkeypatch.setattr(budget, "SHARE", (256 << 20) // (math.prod(CHUNKS) * 8))


@pytest.fixture
def doomed() -> Iterator[Any]:
    """A client of a scheduler with one worker, which is started again when it dies."""
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as made,
        distributed.Client(made, set_as_default=False) as client,
    ):
        yield client


def failing_once(flag: Path, fault: Callable[[], None]) -> Callable[[], None]:
    """Return what makes a worker fail over the first chunk that it writes, where `flag` is not there yet."""

    def patch() -> None:
        from softargmax_cli.files.writers.zarr import Chunks

        write = Chunks.write

        def written(self: Chunks, *given: Any) -> None:
            try:
                flag.touch(exist_ok=False)
            except FileExistsError:
                write(self, *given)
            else:
                fault()

        Chunks.write = written  # type: ignore[method-assign]

    return patch


def test_a_worker_that_dies_and_one_that_fails(inside: Inside, doomed: Any) -> None:
    """Others do what it had, to the same bits."""
    address = doomed.scheduler.address
    save(inside, "x.zarr", X, CHUNKS)
    assert inside(*ASKED, "-o", "alone.zarr").code == 0

    def refuse() -> None:
        raise OSError(errno.EIO, "lost")

    for name, fault in (("dies", lambda: os._exit(1)), ("fails", refuse)):
        doomed.run(failing_once(inside.folder / name, fault))
        done = inside(*ASKED, "-o", "out.zarr", "--force", "--scheduler", address)
        assert done.code == 0, done.err
        assert (inside.folder / name).exists()
        one, other = stored(inside, "alone.zarr"), stored(inside, "out.zarr")
        assert all(one[field].tobytes() == other[field].tobytes() for field in FIELDS)


def test_workers_that_fail_again_and_again(inside: Inside, doomed: Any) -> None:
    """The chunks that are written are kept, and a resumed run makes no more than the others."""
    address = doomed.scheduler.address
    save(inside, "x.zarr", X, CHUNKS)

    def patch() -> None:
        from softargmax_cli.cluster import tasks

        finish = tasks.finish_block

        def finished(state: Any, problem: Any, block: Any, *given: Any) -> Any:
            if block.start[1:] == (3, 4):
                raise ZeroDivisionError("no luck")
            return finish(state, problem, block, *given)

        tasks.finish_block = finished  # type: ignore[assignment]

    doomed.run(patch)
    for more in ((), ("-o", "out.npy")):
        done = inside(*ASKED, *more, "--scheduler", address)
        assert (done.code, done.out) == (2, "")
        assert done.err == "softargmax: error: x.zarr: a worker failed: no luck (ZeroDivisionError)\n  run again\n"
        assert inside.names() == {"x.zarr"}
    done = inside(*ASKED, "-o", "out.zarr", "--scheduler", address)
    assert done.err.splitlines()[1:] == ["  go on with --resume"]
    assert inside.names() == {"x.zarr", "out.zarr.partial"}
    done = inside(*ASKED, "-o", "out.zarr", "--resume")
    assert (done.code, "3 chunks were there already" in done.err) == (0, True), done.err
    assert inside(*ASKED, "-o", "alone.zarr").code == 0
    one, other = stored(inside, "alone.zarr"), stored(inside, "out.zarr")
    assert all(one[field].tobytes() == other[field].tobytes() for field in FIELDS)


def test_another_version_is_refused(inside: Inside, doomed: Any) -> None:
    inside.save("x.npy", X)
    (inside.folder / "else" / "softargmax-0.0.1.dist-info").mkdir(parents=True)
    inside.write(
        "else/softargmax-0.0.1.dist-info/METADATA", "Metadata-Version: 2.1\nName: softargmax\nVersion: 0.0.1\n"
    )
    doomed.run(lambda folder: sys.path.insert(0, folder), str(inside.folder / "else"))
    done = inside("run", "x.npy", "--scheduler", doomed.scheduler.address)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 2)
    assert "has softargmax 0.0.1, this machine " in done.err
    assert "  install version " in done.err


def test_no_worker(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PATIENCE", 1)
    inside.save("x.npy", X)
    with distributed.LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=50) as empty:
        done = inside("run", "x.npy", "--scheduler", empty.scheduler_address)
    assert (done.code, done.out) == (2, "")
    assert f"--scheduler {empty.scheduler_address}: no worker in 1 s\n" in done.err


def test_places_that_a_worker_does_not_see(inside: Inside, cluster: str) -> None:
    """/proc/self/cwd is another folder for each process."""
    save(inside, "x.zarr", X, CHUNKS)
    here = "/proc/self/cwd"
    for command, what in (
        (["run", f"{here}/x.zarr"], "cannot begin: /proc/self/cwd/x.zarr: "),
        ([*ASKED, "-o", f"{here}/out.zarr"], "cannot begin: /proc/self/cwd/out.zarr.partial: cannot be written"),
    ):
        done = inside(*command, "--scheduler", cluster)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 2), done.err
        assert "the worker tcp://127.0.0.1:" in done.err
        assert what in done.err
        assert done.err.endswith("\n  name paths or URLs that are the same on every worker\n")
    assert inside.names() == {"x.zarr"}


def test_ctrl_c_ends_all_processes(softargmax: Softargmax) -> None:
    """It reaches all of them, as that of a terminal does, while the command waits for a pipe."""
    softargmax.save("x.npy", X)
    os.mkfifo(softargmax.folder / "values")
    command = ("run", "x.npy", "-o", "out.zarr", "--values", "values", "--workers", "1")
    with (
        softargmax.started(*command, start_new_session=True) as process,
        open(softargmax.folder / "values", "wb"),  # the command reads it once there are workers
    ):
        members = [os.pidfd_open(member) for member in _group(process.pid)]
        assert len(members) > 1
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)  # to the end of its streams, which every process of it holds
    assert (process.returncode, out, err) == (130, b"", b"")
    for member in members:  # whose streams are closed a moment before they are gone
        assert select.select([member], [], [], 60)[0]
        os.close(member)
    assert _group(process.pid) == []
    assert softargmax.names() == {"x.npy", "values"}


def _group(leader: int) -> list[int]:
    """Find the processes of a session that still run."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            state, _, _, session = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) == leader and state != "Z":
            found.append(int(name))
    return found
