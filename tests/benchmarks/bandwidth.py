"""How fast this machine hands out a file it has in its cache: python bandwidth.py FILE THREADS

Each thread reads its share in pieces of 4 MB into one buffer of its own. Prints the seconds that took, without the
interpreter's start.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from itertools import pairwise

PIECE = 4_000_000


def read(descriptor: int, start: int, stop: int) -> None:
    """Read a range of a file, and forget it."""
    buffer = memoryview(bytearray(PIECE))
    while start < stop:
        got = os.preadv(descriptor, [buffer[: min(PIECE, stop - start)]], start)
        if not got:
            raise EOFError(f"the file ends at byte {start}")
        start += got


def read_in_threads(path: str, threads: int) -> float:
    """Seconds that reading the whole file takes."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        edges = [size * part // threads for part in range(threads + 1)]
        workers = [threading.Thread(target=read, args=(descriptor, *ends)) for ends in pairwise(edges)]
        began = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return time.perf_counter() - began
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    print(read_in_threads(sys.argv[1], int(sys.argv[2])))
