"""How fast this machine hands out a file it has in its cache: python bandwidth.py FILE THREADS

Each thread reads its share in pieces of 4 MB. Prints the seconds that took, without the interpreter's start.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

PIECE = 4_000_000
path, threads = sys.argv[1], int(sys.argv[2])
descriptor, size = os.open(path, os.O_RDONLY), os.path.getsize(path)


def read(part: int) -> None:
    """Read one share of the file, and forget it."""
    buffer = memoryview(bytearray(PIECE))
    start, stop = size * part // threads, size * (part + 1) // threads
    while start < stop:
        start += os.preadv(descriptor, [buffer[: min(PIECE, stop - start)]], start)


with ThreadPoolExecutor(threads) as pool:
    began = time.perf_counter()
    list(pool.map(read, range(threads)))
    print(time.perf_counter() - began)
