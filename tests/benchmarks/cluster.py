"""python -m tests.benchmarks.cluster: `run` on one machine beside Dask clusters of 1, 2 and 4 of its processes.

The first store has chunks of 64 MB, the second chunks of so little that only the cost of a task is left. A cluster is
connected to before the clock starts, and does a small store first, so that workers have loaded TensorFlow.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from tests.benchmarks.machine import describe

COLUMNS = 1000
STORES = {"large": (64_000_000, 2_048_000_000), "small": (40_000, 20_000_000)}
"""Bytes of a chunk, and of all."""
HEAD = ("chunks", "where", "run", "MB/s", "chunks/s", "beside one process")


def make(folder: Path) -> None:
    """Write the stores: scores with few significant bits, as networks' are, compressed as Zarr does by default."""
    import numpy as np
    import zarr

    rng = np.random.default_rng(0)
    for name, (chunk, whole) in STORES.items():
        rows, height = whole // 4 // COLUMNS, chunk // 4 // COLUMNS
        array = zarr.create_array(str(folder / name), shape=(rows, COLUMNS), chunks=(height, COLUMNS), dtype="f4")
        step = max(height, 16_000)
        for start in range(0, rows, step):
            scores = rng.standard_normal((min(step, rows - start), COLUMNS), dtype="f4")
            array[start : start + step] = np.round(scores * 256) / 256


def seconds(folder: Path, store: str, *more: str) -> float:
    """Reduce a store in this process, or on a cluster; return the seconds that it takes."""
    from softargmax_cli.cli.app import _exit_code
    from softargmax_cli.reduction import budget

    command = ["softargmax", "run", str(folder / store), "-o", str(folder / "out.zarr"), "--force", "--quiet"]
    share = (256 << 20) // STORES[store][0]  # so that a chunk is a box
    with mock.patch.object(sys, "argv", [*command, *more]), mock.patch.object(budget, "SHARE", share):
        began = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            code = _exit_code()
        ended = time.perf_counter()
    assert code == 0
    return ended - began


@contextlib.contextmanager
def cluster(workers: int) -> Iterator[list[str]]:
    """Start as many processes that share the cores; yield the options that name them."""
    from distributed import LocalCluster

    threads = max(1, (os.cpu_count() or 1) // workers)
    with LocalCluster(n_workers=workers, threads_per_worker=threads, dashboard_address=":0", silence_logs=50) as made:
        yield ["--scheduler", made.scheduler_address]


def row(store: str, where: str, took: float, alone: float) -> str:
    """Format one measurement as a line of Markdown."""
    chunk, whole = STORES[store]
    count = whole // chunk
    cells = (f"{took:.2f} s", f"{whole / took / 1e6:,.0f}", f"{count / took:,.1f}", f"{took / alone:.2f}")
    return "| " + " | ".join((f"{count:,} × {chunk / 1e6:g} MB", where, *cells)) + " |"


def main() -> None:
    """Measure everything `--runs` times; of each the fastest counts."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks.cluster", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="of which the fastest counts; default: 3")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], help="numbers of processes")
    parser.add_argument("--tiny", action="store_true", help="stores of a 50th, to see that it works")
    parser.add_argument("--folder", type=Path, help="for the stores, 2 GB; default: a temporary one")
    options = parser.parse_args()
    if options.tiny:
        STORES.update({"large": (1_280_000, 40_960_000), "small": (40_000, 400_000)})
    print(describe(("tensorflow", "numpy")), flush=True)
    with tempfile.TemporaryDirectory(prefix="softargmax-cluster-", dir=options.folder) as name:
        folder = Path(name)
        make(folder)
        seconds(folder, "small")
        alone = {store: min(seconds(folder, store) for _ in range(options.runs)) for store in STORES}
        rows = {store: [row(store, "one process", alone[store], alone[store])] for store in STORES}
        for workers in options.workers:
            with cluster(workers) as place:
                seconds(folder, "small", *place)
                for store in STORES:
                    took = min(seconds(folder, store, *place) for _ in range(options.runs))
                    rows[store].append(row(store, f"{workers} worker{'s' * (workers > 1)}", took, alone[store]))
    print("| " + " | ".join(HEAD) + " |\n|" + "--|" * 2 + "--:|" * (len(HEAD) - 2))
    print("\n".join(line for lines in rows.values() for line in lines))


if __name__ == "__main__":
    main()
