"""Work in threads, results in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int, batch: int = 1
) -> Iterator[Result]:
    """Yield work(item) for every item, in order; `items` is advanced by the caller's thread.

    At most `threads` + 1 batches are begun and not yet handed on. A thread does a whole batch: handing over
    costs as much as a small item. An error ends it all, and no thread is left when it is raised.
    """
    waiting: deque[Future[list[Result]]] = deque()
    items = iter(items)
    with ThreadPoolExecutor(threads, thread_name_prefix="reduce") as pool:
        try:
            while some := list(islice(items, batch)):
                waiting.append(pool.submit(lambda some: [work(item) for item in some], some))
                if len(waiting) > threads:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
