"""What a large file takes beyond the start: python steady.py tool|kernel FILE.npy

tool: three quarters of the file, as the difference between a run of all of it and one of its first quarter. kernel: as
many scores, reduced over and over from memory in one thread a core. Prints seconds.
"""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from softargmax_cli.reduction.problem import Spec
from softargmax_cli.reduction.readable import Buffer
from softargmax_cli.reduction.reducer import BlockReducer
from softargmax_cli.tensorflow.choice import shared, tune

BLOCK = 8_000_000
what, path = sys.argv[1:]
array = np.load(path, mmap_mode="r")


def run(*options: str) -> float:
    """Time the tool."""
    command = [sys.executable, "-m", "softargmax_cli", "run", path, "-o", os.devnull, "--format", "npy", "--quiet"]
    began = time.perf_counter()
    subprocess.run([*command, *options], check=True)
    return time.perf_counter() - began


def kernel() -> float:
    """Time the kernel alone."""
    runtime, threads = shared("cpu"), len(os.sched_getaffinity(0))
    tune(runtime.version)
    rows = BLOCK // array[0].nbytes
    problem = Spec().resolve(array.shape, array.dtype, frozenset({"soft"}))
    reducer = BlockReducer(problem, runtime)

    def work(blocks: int) -> None:
        values = Buffer().array((rows, *array.shape[1:]), array.dtype)
        values[:] = array[:rows]
        for _ in range(blocks):
            reducer.whole(values, [problem], compiled=True)

    work(1)
    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        list(pool.map(work, [len(array) * 3 // 4 // rows // threads] * threads))
        return time.perf_counter() - began


print(kernel() if what == "kernel" else run() - run("--select", f"0:{len(array) // 4}"))
