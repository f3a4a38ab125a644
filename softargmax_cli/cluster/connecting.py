"""A Dask cluster to work on: one that runs already, or processes of this machine for as long as they are needed."""

from __future__ import annotations

import contextlib
import json
import logging
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from softargmax_cli.cluster.session import TOLD
from softargmax_cli.errors import ClusterError, MissingDependencyError
from softargmax_cli.reduction.parallel import cores

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

PATIENCE = 20
"""Seconds that a scheduler, or its first worker, may take to answer."""
FAREWELL = 5.0
"""Seconds that processes of ours may take to end."""
IN_PEACE = 0.3
"""Seconds that they have for it after a signal."""

_started: list[LocalCluster] = []
"""Clusters of our own that are still there."""


@contextmanager
def connected(scheduler: str | None, workers: int) -> Iterator[Client]:
    """A client of a running scheduler, its address or file, or of `workers` new processes that share the cores.

    Raises MissingDependencyError, and ClusterError where there is no scheduler or it has no workers.
    """
    try:
        import dask
        from distributed import Client
    except ImportError as error:
        what = f"--scheduler and --workers need Dask: {error}"
        raise MissingDependencyError(what, "pip install 'softargmax[cluster]'") from None
    told = {
        "distributed.comm.timeouts.connect": f"{PATIENCE}s",
        "distributed.comm.timeouts.tcp": "20s",  # after which silence is the end of a connection
        "distributed.scheduler.allowed-failures": 5,
        "distributed.admin.large-graph-warning-threshold": "1GB",
        # Set before a worker's process begins, so that whatever it loads finds them.
        "distributed.nanny.pre-spawn-environ": {
            **dask.config.get("distributed.nanny.pre-spawn-environ", {}),
            **TOLD,
        },
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(told))
        stack.enter_context(_silence())
        address = _address(scheduler) if scheduler else stack.enter_context(_processes(workers))
        try:
            client = Client(address, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError, KeyError, TypeError) as error:
            what = f"--scheduler {scheduler}: no Dask scheduler answers: {' '.join(str(error).split())}"
            raise ClusterError(what, "start one with: dask scheduler") from None
        stack.callback(_quietly, client.close, FAREWELL)
        try:
            client.wait_for_workers(1 if scheduler else workers, timeout=PATIENCE)
        except TimeoutError:
            where = f"--scheduler {scheduler}" if scheduler else f"--workers {workers}"
            what = f"{where}: no worker in {PATIENCE} s"
            raise ClusterError(what, "start workers with: dask worker ADDRESS") from None
        yield client


def end_processes() -> None:
    """End what `connected` has started, from a process that is about to end itself, wherever it was interrupted.

    What it was interrupted in may hold a lock, so another thread does it, for which nobody waits longer than FAREWELL.
    """
    for cluster in [*_started]:
        closing = threading.Thread(target=_quietly, args=(cluster.close, FAREWELL), daemon=True)
        closing.start()
        closing.join(IN_PEACE)
        for process in multiprocessing.active_children():
            process.kill()  # whatever it computes, nobody wants it
        closing.join(FAREWELL)


def _address(scheduler: str) -> str:
    """What is an address already, or is in a file."""
    if not os.path.isfile(scheduler):
        return scheduler
    try:
        with open(scheduler, encoding="utf-8") as file:
            address = json.load(file)["address"]
    except (OSError, ValueError, LookupError, TypeError):
        address = None
    if not isinstance(address, str):
        what = f"--scheduler {scheduler}: the file names no scheduler"
        raise ClusterError(what, "give one that was written by: dask scheduler --scheduler-file FILE")
    return address


@contextmanager
def _processes(workers: int) -> Iterator[LocalCluster]:
    """As many processes of this machine, with their own scheduler, which is in this one."""
    from distributed import LocalCluster

    share = {"threads_per_worker": max(1, cores() // workers), "silence_logs": logging.CRITICAL}
    with _uninterrupted():  # and no workers yet: starting them takes a while, in which the user may change his mind
        cluster = LocalCluster(n_workers=0, processes=True, dashboard_address=None, **share)
        _started.append(cluster)
    try:
        with _without_main():
            cluster.scale(workers)
            yield cluster
    finally:
        _quietly(cluster.close, FAREWELL)
        _started.remove(cluster)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let no Ctrl-C reach the threads started within, nor processes that they start: this one heeds it for all."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    multiprocessing.get_context("spawn").Lock()  # whose helper process, started by such a thread, would undo it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _without_main() -> Iterator[None]:
    """Show new processes an empty main module: multiprocessing would load the real one in each, for nothing."""
    real = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = real


@contextmanager
def _silence() -> Iterator[None]:
    """Dask logs and warns of what is said here in other words, or is no affair of the user's."""
    disabled = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable()  # of all: each of Dask's loggers has a level and a handler of its own
        try:
            yield
        finally:
            logging.disable(disabled)


def _quietly(close: Callable[..., Any], timeout: float) -> None:
    """End something that may have ended already."""
    with contextlib.suppress(Exception):
        close(timeout=timeout)
