"""python -m tests.benchmarks.cluster: one machine beside Dask clusters of 1, 2 and 4 of its processes, on one store.

A chunk is a box, and a box a task that reads, decodes and reduces it and writes its results. What each of these takes
is measured in the workers, in seconds of their threads; what is left of these is the scheduler's, and waiting for it.
The second store has chunks of so little that only that is left: it says how many chunks a second a cluster can do.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.machine import describe
from tests.benchmarks.measure import MAXRSS_UNIT

COLUMNS = 1000
STORES = {"large": (64_000_000, 2_048_000_000), "small": (40_000, 20_000_000)}
"""Bytes of a chunk, and of all."""
PACKAGES = ("tensorflow", "numpy")
HEAD = ("chunks", "where", "start", "run", "MB/s", "chunks/s", "reading", "decoding", "computing", "writing", "rest")

Spent = dict[str, float]


@dataclass(frozen=True)
class Timed:
    """One run of all chunks of a store."""

    store: str
    where: str
    threads: int
    start: float
    """Seconds until the first task could begin."""
    run: float
    spent: Spent
    """Seconds of threads, by what they did; empty where they are not asked."""

    def row(self) -> tuple[str, ...]:
        """What the table says of it; times of parts are milliseconds of a thread for each chunk."""
        chunk, whole = STORES[self.store]
        count = whole // chunk
        parts = [f"{1e3 * seconds / count:.1f}" for seconds in _parts(self).values()] if self.spent else ["–"] * 5
        rates = (f"{whole / self.run / 1e6:,.0f}", f"{count / self.run:,.1f}")
        name = f"{count:,} × {chunk / 1e6:g} MB"
        return (name, self.where, f"{self.start:.2f} s", f"{self.run:.2f} s", *rates, *parts)


def _parts(timed: Timed) -> Spent:
    """Reading lies within the box's loading; the rest is what threads did not spend."""
    spent = timed.spent
    parts = {"reading": spent["get"], "decoding": spent["load"] - spent["get"]}
    parts |= {"computing": spent["whole"], "writing": spent["write"]}
    return {**parts, "rest": timed.threads * timed.run - sum(parts.values())}


def listen() -> None:
    """From now on, count what a process spends on each part of a task; run in workers."""
    import threading

    from zarr.storage import LocalStore

    from softargmax_cli.files.formats.zarr import ZarrSource
    from softargmax_cli.files.writers.zarrstore import Chunks
    from softargmax_cli.reduction.boxing import BoxReducer
    from tests.benchmarks import cluster

    cluster.spent.update(dict.fromkeys(("get", "load", "whole", "write"), 0.0))
    lock = threading.Lock()

    def add(name: str, began: float) -> None:
        with lock:
            cluster.spent[name] += time.perf_counter() - began

    def counted(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*given: Any, **more: Any) -> Any:
            began = time.perf_counter()
            try:
                return work(*given, **more)
            finally:
                add(name, began)

        return timed

    get = LocalStore.get

    async def read(self: Any, key: str, *given: Any, **more: Any) -> Any:
        began = time.perf_counter()
        try:
            return await get(self, key, *given, **more)
        finally:
            add("get", began)

    LocalStore.get = read  # type: ignore[method-assign]
    ZarrSource.read = counted("load", ZarrSource.read)  # type: ignore[method-assign]
    BoxReducer.whole = counted("whole", BoxReducer.whole)  # type: ignore[method-assign]
    Chunks.write = counted("write", Chunks.write)  # type: ignore[method-assign]


spent: Spent = {}
"""Of this process."""


def say() -> Spent:
    """What it has spent; run in workers."""
    from tests.benchmarks import cluster

    return cluster.spent


def make(folder: Path) -> None:
    """The two stores, of scores with few significant bits, as networks' are, compressed as Zarr does by default."""
    import numpy as np
    import zarr

    rng = np.random.default_rng(0)
    for name, (chunk, whole) in STORES.items():
        rows, height = whole // 4 // COLUMNS, chunk // 4 // COLUMNS
        array = zarr.create_array(
            str(folder / name), shape=(rows, COLUMNS), chunks=(height, COLUMNS), dtype="f4", overwrite=True
        )
        step = max(height, 16_000)
        for start in range(0, rows, step):
            scores = rng.standard_normal((min(step, rows - start), COLUMNS), dtype="f4")
            array[start : start + step] = np.round(scores * 256) / 256


def alone(folder: Path, store: str) -> Timed:
    """The streaming engine of this process."""
    from softargmax_cli.api.describing import asked_of, described
    from softargmax_cli.files.reading import Reading
    from softargmax_cli.files.registry import open_source
    from softargmax_cli.files.writers.zarrstore import ZarrStore
    from softargmax_cli.reduction.engine import reduce_boxes
    from softargmax_cli.reduction.fields import NAMES
    from softargmax_cli.reduction.fitting import BOXES
    from softargmax_cli.reduction.result import Summary
    from softargmax_cli.tensorflow.choice import shared

    began, summary = time.perf_counter(), Summary()
    with closing(open_source(str(folder / store), Reading())) as source:
        problem = _spec().resolve(source.shape, source.dtype, frozenset(NAMES))
        memory = _memory(store)
        plan, run = BOXES.plan(source, problem, memory), described(source, problem, "CPU")
        with ZarrStore(
            str(folder / "out.zarr"), run, [plan.extent[0]], asked_of(run, problem, Reading(), "0"), force=True
        ) as out:
            ready = time.perf_counter()
            for block, slices in reduce_boxes(source, problem, shared("cpu"), memory=memory):
                out.chunks.write(block, slices)
                summary.add(slices)
            ended = time.perf_counter()
            out.commit(summary)
    return Timed(store, "one process", 0, ready - began, ended - ready, {})


def shared(folder: Path, workers: int) -> Iterator[Timed]:
    """As many worker processes of this machine, each store in turn."""
    from softargmax_cli import __version__
    from softargmax_cli.cluster.connecting import connected
    from softargmax_cli.cluster.reducing import Distribution, Wanted
    from softargmax_cli.cluster.running import run
    from softargmax_cli.files.reading import Reading

    began = time.perf_counter()
    with connected(None, workers) as client:
        client.run(listen)
        for store in STORES:
            before = _summed(client.run(say).values())
            wanted = Wanted(_spec(), Reading(), _memory(store), "cpu", __version__)
            with Distribution(client, str(folder / store), str(folder / "out.zarr"), wanted, force=True) as work:
                threads = sum(worker.threads for worker in work.crew.members.values())
                ready = time.perf_counter()
                run(client, work._job, work.crew, work._store.done, advance=lambda _: None, note=lambda _: None)
                ended = time.perf_counter()
            after = _summed(client.run(say).values())
            used = {name: after[name] - before[name] for name in after}
            where = f"{workers} worker{'s' if workers > 1 else ''} of {threads // workers}"
            yield Timed(store, where, threads, ready - began, ended - ready, used)
            began = time.perf_counter()


def many(folder: Path, count: int) -> str:
    """What a client needs for so many chunks that nothing was ever written to: a line of Markdown."""
    import resource

    import zarr

    from softargmax_cli import __version__
    from softargmax_cli.cluster.connecting import connected
    from softargmax_cli.cluster.reducing import Distribution, Wanted
    from softargmax_cli.files.reading import Reading

    name = str(folder / f"many-{count}")
    zarr.create_array(name, shape=(count * 64, 64), chunks=(64, 64), dtype="f4")
    wanted = Wanted(_spec(0), Reading(), 4 * 64 * 64 * 4, "cpu", __version__)
    first: list[float] = []
    with connected(None, 2) as client, Distribution(client, name, str(folder / "out.zarr"), wanted, force=True) as work:
        began = time.perf_counter()
        work.reduce(lambda _: first.append(time.perf_counter() - began))
        ended = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT
    return f"| {count:,} | {first[0]:.1f} s | {ended:.1f} s | {peak / 1e6:,.0f} MB |"


def _summed(several: Any) -> Spent:
    whole: Spent = {}
    for one in several:
        for name, seconds in one.items():
            whole[name] = whole.get(name, 0.0) + seconds
    return whole


def _spec(axis: int = -1) -> Any:
    from softargmax_cli.reduction.spec import Spec

    return Spec((axis,), "scores", 100.0, "index", None, None, "error", "auto")


def _memory(store: str) -> int:
    """So that a chunk is a box, and each core has one."""
    return 4 * STORES[store][0]


def table(rows: list[Timed]) -> str:
    """In Markdown, with columns of one width."""
    cells = [HEAD, *(row.row() for row in rows)]
    widths = [max(len(line[k]) for line in cells) for k in range(len(HEAD))]
    lines = [
        "| " + " | ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 1) + ":" for width in widths) + "|", *lines[1:]])


def main() -> None:
    """Everything `--runs` times in turn; of each the fastest."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks.cluster", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="of which the fastest counts; default: 3")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], help="numbers of processes")
    parser.add_argument("--tiny", action="store_true", help="stores of a 50th, to see that it works")
    parser.add_argument(
        "--many", action="store_true", help="instead: 1,000 and 20,000 tiny chunks, merged to one result"
    )
    parser.add_argument("--folder", type=Path, help="for the stores, 2 GB; default: a temporary one")
    options = parser.parse_args()
    if options.tiny:
        STORES.update(
            {name: (chunk // (50 if name == "large" else 1), whole // 50) for name, (chunk, whole) in STORES.items()}
        )
    print(describe(PACKAGES), flush=True)
    folder = Path(tempfile.mkdtemp(prefix="softargmax-cluster-", dir=options.folder))
    fastest: dict[tuple[str, str], Timed] = {}
    try:
        if options.many:
            print("| chunks | first one done after | all | peak memory of client and scheduler |\n|--:|--:|--:|--:|")
            for count in (1000, 20_000):
                print(many(folder, count), flush=True)
            return
        make(folder)
        for _ in range(options.runs):
            timed = [alone(folder, store) for store in STORES]
            for workers in options.workers:
                timed += shared(folder, workers)
            for one in timed:
                known = fastest.get((one.store, one.where))
                if known is None or one.run < known.run:
                    fastest[one.store, one.where] = one
    finally:
        shutil.rmtree(folder)
    print(table(sorted(fastest.values(), key=lambda one: [*STORES].index(one.store))))


if __name__ == "__main__":
    from tests.benchmarks.cluster import main as main_of_the_module  # whose functions workers find by its name

    main_of_the_module()
