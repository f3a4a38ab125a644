"""A Dask cluster: one that runs already, or processes of this machine that run as long as they are needed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

from softargmax_cli.errors import ClusterError, MissingDependencyError, counted, parameter
from softargmax_cli.reduction.budget import cores

if TYPE_CHECKING:
    from distributed import Client

ANSWER = 20
"""Seconds that a scheduler may take to answer."""
PATIENCE = 60
"""Seconds that workers may take to start."""


@contextmanager
def connected(scheduler: str | None, workers: int) -> Iterator[Client]:
    """Connect to a scheduler, given by its address or file, or start `workers` processes that share the cores.

    Raises MissingDependencyError, and ClusterError if no scheduler or no worker answers, or if a worker has another
    version of softargmax.
    """
    try:
        from distributed import Client
    except ImportError as error:
        what = f"{parameter('scheduler')} and {parameter('workers')} need Dask: {error}"
        raise MissingDependencyError(what, "pip install distributed\nit is in the extra named cluster") from None
    where = parameter("scheduler", scheduler) if scheduler else parameter("workers", workers)
    with _silence():
        try:
            if scheduler is None:
                share = {"threads_per_worker": max(1, cores() // workers), "silence_logs": logging.CRITICAL}
                with _without_ctrl_c():  # it would reach processes of this machine, too
                    client = Client(n_workers=0, dashboard_address=":0", **share)
                client.cluster.scale(workers)
            else:
                place = {"scheduler_file" if os.path.isfile(scheduler) else "address": scheduler}
                client = Client(**place, timeout=ANSWER)
        except Exception as error:  # the library raises many kinds of errors
            what = f"{where}: no Dask scheduler answers: {' '.join(str(error).split())}"
            raise ClusterError(what, "start one with: dask scheduler --scheduler-file FILE") from None
        try:
            _check_workers(client, 1 if scheduler else workers, where)
            yield client
        finally:
            with contextlib.suppress(Exception):  # its scheduler may be gone
                client.close(timeout=5)


def _check_workers(client: Client, count: int, where: str) -> None:
    """Wait for workers. Raises ClusterError if they do not come, or have another version of softargmax."""
    try:
        client.wait_for_workers(count, timeout=PATIENCE)
    except asyncio.TimeoutError:
        raise ClusterError(f"{where}: no worker in {PATIENCE} s", "start one with: dask worker ADDRESS") from None
    ours = version("softargmax")
    for address, theirs in client.run(version, "softargmax", on_error="return").items():
        if theirs != ours:
            found = "no softargmax" if isinstance(theirs, Exception) else f"softargmax {theirs}"
            what = f"the worker {address} has {found}, this machine {ours}"
            raise ClusterError(what, f"install version {ours} there, with the extra named cluster")


def described(client: Client) -> str:
    """Describe a cluster in one line."""
    threads = [*client.nthreads().values()]
    said = f"{counted(len(threads), 'worker')} with {counted(sum(threads), 'thread')}"
    dashboard = client.scheduler_info(n_workers=0).get("services", {}).get("dashboard")
    return f"{said}, dashboard {client.dashboard_link}" if dashboard else said


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Keep Ctrl-C from threads started within, and from their processes: the main thread ends the program."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Such a thread would start multiprocessing's tracker, which unblocks Ctrl-C. The tracker would warn of the locks
    # that are left after Ctrl-C.
    sys.warnoptions.append("ignore")
    resource_tracker.ensure_running()
    sys.warnoptions.pop()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _silence() -> Iterator[None]:
    """Silence Dask's logs and warnings; errors say all that a user must know."""
    disabled = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable()
        try:
            yield
        finally:
            logging.disable(disabled)
