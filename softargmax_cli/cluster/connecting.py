"""A Dask cluster to work on: one that runs already, or processes of this machine for as long as they are needed."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from softargmax_cli.cluster.session import ONE_THREAD_EACH
from softargmax_cli.errors import ClusterError, MissingDependencyError
from softargmax_cli.reduction.parallel import cores

if TYPE_CHECKING:
    from distributed import Client

PATIENCE = 20
"""Seconds that a scheduler, or its first worker, may take to answer."""


@contextmanager
def connected(scheduler: str | None, workers: int) -> Iterator[Client]:
    """A client of a running scheduler, its address or file, or of `workers` new processes that share the cores.

    Raises MissingDependencyError, and ClusterError where there is no scheduler or it has no workers.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        what = f"--scheduler and --workers need Dask: {error}"
        raise MissingDependencyError(what, "pip install 'softargmax[cluster]'") from None
    quiet = {
        "distributed.comm.timeouts.connect": f"{PATIENCE}s",
        "distributed.comm.timeouts.tcp": f"{PATIENCE}s",
        "distributed.scheduler.allowed-failures": 5,
        "distributed.admin.large-graph-warning-threshold": "1GB",
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(quiet))
        stack.enter_context(_silence())
        if scheduler is None:
            each = {"threads_per_worker": max(1, cores() // workers), "env": dict(ONE_THREAD_EACH)}
            stack.enter_context(_without_main())
            local = LocalCluster(n_workers=workers, processes=True, dashboard_address=None, **each)
            stack.callback(_quietly, local.close, PATIENCE)
            address: dict[str, Any] = {"address": local}
        elif os.path.isfile(scheduler):
            address = {"scheduler_file": scheduler}
        else:
            address = {"address": scheduler}
        try:
            client = Client(**address, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError, KeyError, TypeError) as error:
            what = f"--scheduler {scheduler}: no Dask scheduler answers: {' '.join(str(error).split())}"
            raise ClusterError(what, "start one with: dask scheduler") from None
        stack.callback(_quietly, client.close, 5)
        try:
            client.wait_for_workers(workers if scheduler is None else 1, timeout=PATIENCE)
        except TimeoutError:
            where = f"--scheduler {scheduler}" if scheduler else f"--workers {workers}"
            what = f"{where}: no worker in {PATIENCE} s"
            raise ClusterError(what, "start workers with: dask worker ADDRESS") from None
        yield client


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
    import logging

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
