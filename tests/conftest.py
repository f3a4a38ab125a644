"""Both ways to run TensorFlow, for every test that computes."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import warnings

import pytest
from hypothesis import settings

from softargmax_cli.tensorflow.base import Runtime

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each program that a test starts is compiled anew
sys.dont_write_bytecode = False

settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as of what a shell starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # or tests that interrupt would wait for ever


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="run the tests marked nightly, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The fast ones first; what takes minutes not at all, whatever -m says, unless it is asked for."""
    if not config.getoption("--nightly"):
        left_out = {item for item in items if item.get_closest_marker("nightly")}
        config.hook.pytest_deselected(items=[*left_out])
        items[:] = [item for item in items if item not in left_out]
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.fixture(scope="session")
def library() -> ctypes.CDLL:
    """TensorFlow's C library; skips where this wheel has none."""
    from softargmax_cli.tensorflow.capi import load

    try:
        return load()
    except (OSError, AttributeError) as failure:
        pytest.skip(f"no C library: {failure}")


@pytest.fixture(scope="session")
def python_runtime() -> Runtime:
    """TensorFlow imported, on the CPU."""
    with warnings.catch_warnings():  # what third parties deprecate is theirs to mend
        warnings.simplefilter("ignore")
        from softargmax_cli.tensorflow.python import PythonRuntime
    return PythonRuntime("cpu")


@pytest.fixture
def native_runtime(library: ctypes.CDLL) -> Runtime:
    """The C library on the CPU; a fresh one costs nothing, and an old one slows down with its graph."""
    from softargmax_cli.tensorflow.native import NativeRuntime

    return NativeRuntime(library)


@pytest.fixture(params=["native", pytest.param("python", marks=pytest.mark.slow)])
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """Each of the two runtimes, on the CPU."""
    made: Runtime = request.getfixturevalue(f"{request.param}_runtime")
    return made


@pytest.fixture(scope="session")
def gpu_runtime(python_runtime: Runtime) -> Runtime:
    """TensorFlow imported, on a GPU; skips where it sees none."""
    from softargmax_cli.tensorflow.python import PythonRuntime, find_gpus

    if not find_gpus():
        pytest.skip("TensorFlow sees no GPU")
    return PythonRuntime("gpu")
