"""Worker processes give the numbers of one process, and what goes wrong with them is told."""

from __future__ import annotations

import gc
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Done, Inside, Softargmax
from oracle import FIELDS, assert_answers
from oracle import softargmax as oracle
from stores import flat, save, stored

from softargmax_cli.cluster import connection
from softargmax_cli.reduction import budget

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow


SHAPE, CHUNKS = (4, 6, 11), (2, 3, 4)
X = np.random.default_rng(1).normal(size=SHAPE)


@pytest.fixture(autouse=True)
def chunk_by_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a box be of the size of one chunk, however small; else several would need large arrays."""
    monkeypatch.setattr(budget, "SHARE", (256 << 20) // (math.prod(CHUNKS) * 8))


def both(inside: Inside, cluster: str, *arguments: str) -> tuple[Done, Done]:
    """Run a command on one machine and on the cluster, which must print the same."""
    alone = inside("run", *arguments)
    shared = inside("run", *arguments, "--force", "--scheduler", cluster)
    assert (alone.code, shared.code) == (0, 0), shared.err
    assert (shared.out, shared.err) == (alone.out, alone.err)
    return alone, shared


def test_a_store_from_workers_holds_the_bits_of_one_machine(inside: Inside, cluster: str) -> None:
    options = "--axis 0,2 --values rows.csv,columns.csv --window 4 --nan omit"
    x = np.random.default_rng(2).random(size=SHAPE)
    x[x < 0.1] = np.nan
    x[2, 3, :5] = -np.inf
    for name, length in (("rows", 4), ("columns", 11)):
        np.savetxt(inside.folder / f"{name}.csv", np.arange(length) ** 1.5)
    asked = [save(inside, "x.zarr", x, CHUNKS), *options.split(), "--beta", "2"]
    alone = inside("run", *asked, "-o", "alone.zarr")
    shared = inside("run", *asked, "-o", "shared.zarr", "--scheduler", cluster)
    assert (alone.code, shared.code, shared.err) == (0, 0, alone.err)
    one, many = stored(inside, "alone.zarr"), stored(inside, "shared.zarr")
    for field in FIELDS:
        assert one[field].tobytes() == many[field].tobytes(), field


def test_slices_come_back_in_order(inside: Inside, cluster: str) -> None:
    """To every writer and to a table, from boxes that are not in the order of the slices."""
    asked = [save(inside, "x.zarr", X, CHUNKS), "--axis", "0,2", "--beta", "2", "--window", "2"]
    for more in (["--format", "csv"], ["-o", "x.npz"]):
        both(inside, cluster, *asked, *more)
    found = np.load(inside.folder / "x.npz")
    assert_answers(flat({field: found[field] for field in FIELDS}, 2), oracle(X, (0, 2), 2.0, window=2), single=False)


def test_other_files(inside: Inside, cluster: str) -> None:
    h5py = pytest.importorskip("h5py")
    inside.save("x.npy", X)
    np.save(inside.folder / "f.npy", np.asfortranarray(X))
    with h5py.File(inside.folder / "x.h5", "w") as file:
        file["a"], file["b"] = X, X
    for name, *options in (["x.npy"], ["f.npy"], ["x.h5", "--key", "b"]):
        asked = ("run", name, "--axis", "1", "--beta", "2", *options, "--format", "json", "--scheduler", cluster)
        done = inside(*asked)
        soft = np.array([one["soft"] for one in json.loads(done.out)["slices"]])
        np.testing.assert_allclose(soft, oracle(X, (1,), 2.0).soft.ravel(), rtol=1e-12)
    inside.write("x.csv", "1,2\n3,4\n")
    done = inside("run", "x.csv", "--scheduler", cluster)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "softargmax: error: x.csv: a cluster reads in any order, and this input can only be read from start to end\n"
        "  run it on one machine, or convert it to .npy first\n"
    )


def test_slices_without_an_answer_are_refused_alike(inside: Inside, cluster: str) -> None:
    lacking, absent = X.copy(), X.copy()
    lacking[2:, 5] = -np.inf
    absent[X > 2] = np.nan
    for name, values, *options in (
        ("a", lacking, "-o", "out.zarr"),
        ("b", absent, "--axis", "0", "-o", "out.zarr"),
    ):
        asked = ("run", save(inside, f"{name}.zarr", values, CHUNKS), *options)
        alone, shared = inside(*asked), inside(*asked, "--scheduler", cluster)
        assert (alone.code, shared.code, shared.err) == (2, 2, alone.err)
        assert alone.err.count("\n") == 2
    assert inside.names() == {"a.zarr", "b.zarr"}


def test_scores_that_look_like_weights_are_noted_once(inside: Inside, cluster: str) -> None:
    x = np.random.default_rng(5).random(size=SHAPE)
    name = save(inside, "x.zarr", x / x.sum(axis=1, keepdims=True), (2, 6, 4))
    _, done = both(inside, cluster, name, "--axis", "1", "--format", "csv")
    assert done.err.count("look like probabilities") == 1


def test_processes_of_this_machine(softargmax: Softargmax) -> None:
    softargmax.save("x.npy", X)
    alone = softargmax("run", "x.npy", "--format", "csv")
    done = softargmax("run", "x.npy", "--format", "csv", "--workers", "1", "--verbose")
    assert (done.code, done.out) == (0, alone.out), done.err
    assert "softargmax: note: 1 worker with " in done.err


def test_a_table_and_a_scheduler_file(inside: Inside, cluster: str) -> None:
    inside.save("x.npy", X)
    inside.write("scheduler.json", json.dumps({"address": cluster}))
    done = inside("run", "x.npy", "--scheduler", "scheduler.json")
    assert (done.code, done.err) == (0, "")
    assert done.lines[0] == "x.npy · float64 4 × 6 × 11 · axis 2 · β 100 (temperature 0.01) · CPU"
    assert done.lines[-1].startswith("24 slices · ")


def test_what_has_no_meaning(inside: Inside, cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "ANSWER", 1)
    inside.save("x.npy", X)
    inside.write("broken.json", "{}")
    for options, said in (
        (["--scheduler", "tcp://127.0.0.1:1"], "--scheduler tcp://127.0.0.1:1: no Dask scheduler answers"),
        (["--scheduler", "nonsense://x"], "--scheduler nonsense://x: no Dask scheduler answers"),
        (["--scheduler", "broken.json"], "--scheduler broken.json: no Dask scheduler answers"),
        (["--scheduler", cluster, "--workers", "2"], "--scheduler and --workers both say where to run"),
        (["--workers", "0"], "Invalid value for '--workers'"),
        (["--workers", "2", "--beta", "auto"], "--beta auto does not work on a cluster"),
        (["--workers", "2", "--plot", "x.png"], "--plot needs the scores, which stay on the workers"),
    ):
        done = inside("run", "x.npy", *options)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 2), done.err
        assert said in done.err
    assert inside.names() == {"x.npy", "broken.json"}
    gc.collect()  # closes the clients that did not come about, which Dask must not do while it starts another


# Faults


@pytest.fixture
def worker() -> Iterator[Any]:
    """A client of a scheduler with one worker, which may be spoilt."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as made,
        Client(made, set_as_default=False) as client,
    ):
        yield client


def test_a_worker_that_fails_or_has_another_version(inside: Inside, worker: Any) -> None:
    asked = ("run", save(inside, "x.zarr", X, CHUNKS), "--axis", "0", "--beta", "2")
    address = worker.scheduler.address

    def spoil() -> None:
        from softargmax_cli.cluster import tasks

        finish = tasks.finish_block

        def finished(state: Any, problem: Any, block: Any, *given: Any) -> Any:
            if block.start[1:] == (3, 4):
                raise ZeroDivisionError("no luck")
            return finish(state, problem, block, *given)

        tasks.finish_block = finished  # type: ignore[assignment]

    worker.run(spoil)
    for more in ((), ("-o", "out.npy"), ("-o", "out.zarr")):
        done = inside(*asked, *more, "--scheduler", address)
        assert (done.code, done.out) == (2, "")
        assert done.err == "softargmax: error: x.zarr: a worker failed: no luck (ZeroDivisionError)\n  run again\n"
        assert inside.names() == {"x.zarr"}

    (inside.folder / "else" / "softargmax-0.0.1.dist-info").mkdir(parents=True)
    metadata = "Metadata-Version: 2.1\nName: softargmax\nVersion: 0.0.1\n"
    inside.write("else/softargmax-0.0.1.dist-info/METADATA", metadata)
    worker.run(lambda folder: sys.path.insert(0, folder), str(inside.folder / "else"))
    done = inside(*asked, "--scheduler", address)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 2)
    assert "has softargmax 0.0.1, this machine " in done.err
    assert "  install version " in done.err


def test_no_worker(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import LocalCluster

    monkeypatch.setattr(connection, "PATIENCE", 1)
    inside.save("x.npy", X)
    with LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=50) as empty:
        done = inside("run", "x.npy", "--scheduler", empty.scheduler_address)
    assert (done.code, done.out) == (2, "")
    assert f"--scheduler {empty.scheduler_address}: no worker in 1 s\n" in done.err


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc tells places apart, and finds processes")
def test_places_that_a_worker_does_not_see(inside: Inside, cluster: str) -> None:
    """/proc/self/cwd is another folder for each process."""
    save(inside, "x.zarr", X, CHUNKS)
    done = inside("run", "/proc/self/cwd/x.zarr", "--scheduler", cluster)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 2), done.err
    assert "cannot begin: /proc/self/cwd/x.zarr: " in done.err
    assert done.err.endswith("\n  name paths or URLs that are the same on every worker\n")
    assert inside.names() == {"x.zarr"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc tells places apart, and finds processes")
def test_ctrl_c_ends_all_processes(softargmax: Softargmax) -> None:
    """It reaches all of them, as that of a terminal does, while the command waits for a pipe."""
    softargmax.save("x.npy", X)
    os.mkfifo(softargmax.folder / "values")
    command = ("run", "x.npy", "-o", "out.zarr", "--values", "values", "--workers", "1")
    with softargmax.started(*command, start_new_session=True) as process:
        # The command reads the pipe once there are workers; until then it cannot be opened without waiting.
        opened = opened_for_writing(softargmax.folder / "values", process)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)  # to the end of its streams, which every process of it holds
        os.close(opened)
    assert (process.returncode, out, err) == (130, b"", b"")
    assert softargmax.names() == {"x.npy", "values"}


def opened_for_writing(path: Path, process: subprocess.Popen[bytes]) -> int:
    """Open a named pipe as soon as the process reads it; fail where it ends or takes longer than a minute."""
    for _ in range(1200):
        try:
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads it yet
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
                pytest.fail("the command has ended")
    pytest.fail("the command does not read the pipe")
