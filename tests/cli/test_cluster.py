"""The same numbers from a scheduler and worker processes over TCP as from one process: every option, every split."""

from __future__ import annotations

import math
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from command import Done, Inside, Softargmax
from grid import Grid
from oracle import FIELDS, assert_answers
from oracle import softargmax as oracle
from stores import flat, save, stored

from softargmax_cli import __version__
from softargmax_cli.cluster import connecting
from softargmax_cli.cluster.reducing import Distribution, Wanted
from softargmax_cli.files.reading import Reading
from softargmax_cli.reduction import boxes
from softargmax_cli.reduction.parallel import cores
from softargmax_cli.reduction.spec import Spec

pytest.importorskip("distributed")

Array = npt.NDArray[Any]

SHAPE, CHUNKS = (7, 9, 23), (3, 4, 5)


@pytest.fixture(autouse=True)
def chunk_by_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A box is of the size of one chunk, however small; else the tests would need large arrays for several."""
    monkeypatch.setattr(boxes, "SHARE", (256 << 20) // (math.prod(CHUNKS) * 8))


def both(inside: Inside, cluster: Grid, name: str, *options: str) -> tuple[dict[str, Array], Done]:
    """The results of one process and of the cluster, which must be the same bits; and what the cluster said."""
    alone = inside("run", name, *options, "-o", "alone.zarr", "--force")
    assert alone.code == 0, alone.err
    done = inside("run", name, *options, "-o", "shared.zarr", "--force", "--scheduler", cluster.address)
    assert done.code == 0, done.err
    assert (done.out, done.err) == ("", alone.err)
    one, many = stored(inside, "alone.zarr"), stored(inside, "shared.zarr")
    for field in FIELDS:
        assert one[field].dtype == many[field].dtype
        assert one[field].tobytes() == many[field].tobytes(), field
    return many, done


@pytest.mark.parametrize(
    ("axes", "window"), [((-1,), None), ((0,), 2), ((1,), None), ((-2, -1), 2), ((2, 0), None), ((0, 1, 2), 2)], ids=str
)
def test_every_axis_and_window(inside: Inside, cluster: Grid, axes: tuple[int, ...], window: int | None) -> None:
    x = np.random.default_rng(1).normal(size=SHAPE)
    save(inside, "x.zarr", x, CHUNKS)
    asked = ["--axis", ",".join(map(str, axes)), "--beta", "2"]
    asked += [] if window is None else ["--window", str(window)]
    found, _ = both(inside, cluster, "x.zarr", *asked)
    assert_answers(flat(found, len(axes)), oracle(x, axes, 2.0, window=window), single=False)


OPTIONS = [
    "--kind probs --axis 1",
    "--kind cost --axis 0 --coords centers",
    "--axis 0,2 --values rows.csv,columns.csv --window 4",
    "--nan omit --axis 1",
    "--nan propagate --axis 2,1",
    "--precision single --axis 2 --select 1:,::2,-9:",
]


@pytest.mark.parametrize("options", OPTIONS)
def test_every_option(inside: Inside, cluster: Grid, options: str) -> None:
    x = np.random.default_rng(2).random(size=SHAPE)
    if "--nan" in options:
        x[x < 0.1] = np.nan
        x[2, 3] = -np.inf
    for name, length in (("rows", 7), ("columns", 23)):
        np.savetxt(inside.folder / f"{name}.csv", np.arange(length) ** 1.5)
    both(inside, cluster, save(inside, "x.zarr", x, CHUNKS), *options.split())


def test_what_is_not_in_chunks(inside: Inside, cluster: Grid) -> None:
    h5py = pytest.importorskip("h5py")
    x = np.random.default_rng(3).normal(size=SHAPE)
    np.save(inside.folder / "f.npy", np.asfortranarray(x))
    with h5py.File(inside.folder / "x.h5", "w") as file:
        file["a"], file["b"] = x, x
    for name, *options in (["f.npy"], ["x.h5", "--key", "b"]):
        found, _ = both(inside, cluster, name, "--axis", "1", "--beta", "2", *options)
        assert_answers(flat(found, 1), oracle(x, 1, 2.0), single=False)
    np.savetxt(inside.folder / "x.csv", x[0])
    done = inside("run", "x.csv", "-o", "out.zarr", "--scheduler", cluster.address)
    assert done.err == (
        "softargmax: error: x.csv: a cluster reads what can be read at any place: Zarr stores, HDF5 and .npy files\n"
        "  convert it first\n"
    )


def test_what_has_no_answer_is_refused_alike(inside: Inside, cluster: Grid) -> None:
    x = np.random.default_rng(4).normal(size=SHAPE)
    lacking, absent, negative = x.copy(), x.copy(), x.copy()
    lacking[5:, 6] = -np.inf
    absent[x > 2] = np.nan
    for name, values, *options in (("a", lacking), ("b", absent, "--axis", "0"), ("c", negative, "--kind", "probs")):
        asked = ("run", save(inside, f"{name}.zarr", values, CHUNKS), *options, "-o", "out.zarr")
        alone, shared = inside(*asked), inside(*asked, "--scheduler", cluster.address)
        assert (alone.code, shared.code, shared.err) == (2, 2, alone.err)
        assert alone.err.count("\n") == 2
    assert inside.names() == {"a.zarr", "b.zarr", "c.zarr"}


def test_scores_that_look_like_weights_are_noted_once(inside: Inside, cluster: Grid) -> None:
    x = np.random.default_rng(5).random(size=SHAPE)
    name = save(inside, "x.zarr", x / x.sum(axis=1, keepdims=True), CHUNKS)
    _, done = both(inside, cluster, name, "--axis", "1")
    assert done.err.count("look like probabilities") == 0  # no box of one chunk holds a whole slice
    name = save(inside, "y.zarr", x / x.sum(axis=1, keepdims=True), (3, 9, 5))
    _, done = both(inside, cluster, name, "--axis", "1")
    assert done.err.count("look like probabilities") == 1


def test_processes_of_this_machine(softargmax: Softargmax) -> None:
    x = np.random.default_rng(6).normal(size=SHAPE)
    save(softargmax, "x.zarr", x, CHUNKS)
    done = softargmax("run", "x.zarr", "--workers", "2", "-o", "out.zarr", "--axis", "0", "--beta", "2", "--verbose")
    first, *rest = done.err.splitlines()
    assert (done.code, done.out, len(rest)) == (0, "", 1), done.err
    share = max(1, cores() // 2)
    assert re.match(rf"softargmax: note: x.zarr: 1 box of 7 × 9 × 23; 2 workers, {2 * share} threads on CPU", first)
    assert_answers(flat(stored(softargmax, "out.zarr"), 1), oracle(x, 0, 2.0), single=False)
    assert softargmax.names() == {"x.zarr", "out.zarr"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads have names in /proc")
def test_pools_do_not_multiply(inside: Inside) -> None:
    """A worker runs as many tasks as it is told threads, and TensorFlow's pools have one thread each."""

    def told() -> str | None:
        return os.environ.get("TF_NUM_INTRAOP_THREADS")

    def threads() -> list[str]:
        return [Path("/proc/self/task", task, "comm").read_text().strip() for task in os.listdir("/proc/self/task")]

    name = save(inside, "x.zarr", np.random.default_rng(7).normal(size=SHAPE), CHUNKS)
    wanted = Wanted(Spec((-1,), beta=2), Reading(), 256 << 20, "cpu", __version__)
    with connecting.connected(None, 1) as client:
        assert [*client.nthreads().values()] == [cores()]
        assert [*client.run(told).values()] == ["1"]
        place = str(inside.folder)
        with Distribution(client, f"{place}/{name}", f"{place}/out.zarr", wanted) as work:
            assert work.reduce(lambda nbytes: None).slices == 63
        (running,) = client.run(threads).values()
    pools = [name for name in running if name.lower().startswith(("tf_", "eigen"))]
    assert pools
    assert len(pools) == len(set(pools))


def test_a_scheduler_file(inside: Inside, cluster: Grid) -> None:
    name = save(inside, "x.zarr", np.random.default_rng(1).normal(size=SHAPE), CHUNKS)
    inside.write("scheduler.json", f'{{"address": "{cluster.address}"}}')
    done = inside("run", name, "-o", "out.zarr", "--scheduler", "scheduler.json", "-v")
    assert done.code == 0, done.err
    assert "2 workers, 2 threads on CPU, dashboard http://127.0.0.1:" in done.err
    for content in ("{}", "[]", "{", '{"address": 3}'):
        inside.write("broken.json", content)
        done = inside("run", name, "-o", "other.zarr", "--scheduler", "broken.json")
        assert (done.code, done.err.count("\n")) == (2, 2)
        assert "--scheduler broken.json: the file names no scheduler" in done.err


def test_no_scheduler(inside: Inside, cluster: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "PATIENCE", 1)
    name = save(inside, "x.zarr", np.zeros(SHAPE), CHUNKS)
    run, at = ["run", name, "-o", "out.zarr"], cluster.address
    for options, said in (
        ([*run, "--scheduler", "tcp://127.0.0.1:1"], "--scheduler tcp://127.0.0.1:1: no Dask scheduler answers"),
        ([*run, "--scheduler", "nonsense://x"], "--scheduler nonsense://x: no Dask scheduler answers"),
        ([*run, "--scheduler", "missing.json"], "--scheduler missing.json: no Dask scheduler answers"),
        ([*run, "--scheduler", at, "--workers", "2"], "--scheduler and --workers both say where to run"),
        ([*run, "--workers", "0"], "Invalid value for '--workers'"),
        ([*run, "--scheduler", at, "--beta", "auto"], "--beta auto is found on one machine"),
        (["run", name, "--scheduler", at], "a cluster writes Zarr stores alone"),
        (["check", name, "--scheduler", at], "No such option: --scheduler"),
        (["sweep", name, "--workers", "2"], "No such option: --workers"),
        (["grad", name, "-o", "grad.npy", "--workers", "2"], "No such option: --workers"),
    ):
        done = inside(*options)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 2), done.err
        assert said in done.err
    assert inside.names() == {"x.zarr"}
