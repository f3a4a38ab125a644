"""`reduce` leaves the process that calls it as it was, and TensorFlow may be imported afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPOKEN_FOR = ("TF_", "SOFTARGMAX_", "PYTHON")


def python(program: str, *, quiet: bool = True) -> list[str]:
    """The lines that a program prints; it must end well, and `quiet` say nothing on standard error."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SPOKEN_FOR)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        cwd=ROOT,
        env={**kept, "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    assert not (quiet and done.stderr)
    return done.stdout.splitlines()


def test_importing_the_package_loads_nothing() -> None:
    program = """
import sys
before = set(sys.modules)
import softargmax_cli
assert {"softargmax", "SoftArgmax", "reduce", "Result", "__version__"} <= set(dir(softargmax_cli))
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
assert loaded - {"softargmax_cli"} <= set(sys.stdlib_module_names), loaded
try:
    softargmax_cli.softmax
except AttributeError as error:
    print(error)
"""
    assert python(program) == ["module 'softargmax_cli' has no attribute 'softmax'"]


@pytest.mark.nightly
@pytest.mark.slow
def test_names_are_imported_when_they_are_asked_for() -> None:
    program = """
import sys
from softargmax_cli import reduce
assert "numpy" in sys.modules and not {"tensorflow", "keras", "polars", "pyarrow"} & set(sys.modules)
import softargmax_cli
from softargmax_cli import softargmax
assert "tensorflow" in sys.modules
from softargmax_cli import *
assert SoftArgmax.__name__ == "SoftArgmax"
import softargmax_cli.api.function, softargmax_cli.cli.app
assert callable(softargmax_cli.softargmax) and softargmax_cli.softargmax is softargmax
assert softargmax_cli.reduce is reduce and "reduce" in vars(softargmax_cli)
print("done")
"""
    assert python(program, quiet=False) == ["done"]


@pytest.mark.slow
@pytest.mark.usefixtures("library")
def test_a_process_is_left_as_it_was() -> None:
    program = """
import os, sys, threading
import numpy as np
environment, threads = dict(os.environ), threading.active_count()
streams = [(os.fstat(fd).st_dev, os.fstat(fd).st_ino) for fd in (1, 2)]
files = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
from softargmax_cli import reduce
assert reduce(np.eye(5)).hard.tolist() == [0, 1, 2, 3, 4]
assert reduce(np.eye(40, 500_000)).hard.tolist() == list(range(40))
assert reduce(np.eye(5), device="CPU").run.device == "CPU"
from softargmax_cli.tensorflow.choice import shared
assert shared("cpu") is shared("cpu")
assert "tensorflow" not in sys.modules
assert dict(os.environ) == environment
assert threading.active_count() == threads
assert [(os.fstat(fd).st_dev, os.fstat(fd).st_ino) for fd in (1, 2)] == streams
print(files is None or len(os.listdir("/proc/self/fd")) - files < 20)
"""
    assert python(program) == ["True"]


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.usefixtures("library")
def test_tensorflow_may_be_imported_afterwards() -> None:
    """With all the threads that it would have had; it says its usual piece on standard error, which is not ours."""
    program = """
import glob, os, sys
import numpy as np
from softargmax_cli import reduce
x = np.random.default_rng(1).normal(size=(64, 100_000)).astype("f4")
before = reduce(x)
assert "tensorflow" not in sys.modules
import tensorflow as tf
from softargmax_cli import softargmax
print(np.abs(softargmax(x[:, :100]) - reduce(x[:, :100]).soft).max() < 1e-4)
print(np.array_equal(before.hard, reduce(x).hard))
assert tf.function(lambda a: tf.reduce_sum(a) + 1, jit_compile=True)(tf.ones(3)).numpy() == 4

def ticks():
    files = glob.glob("/proc/self/task/*/stat")
    return {file: sum(map(int, open(file).read().rpartition(")")[2].split()[11:13])) for file in files}

a = tf.random.normal((1500, 1500))
earlier = ticks()
for _ in range(20):
    tf.matmul(a, a)
tf.matmul(a, a).numpy()
busy = sum(count - earlier.get(file, 0) > 5 for file, count in ticks().items())
print(busy >= 2 or not earlier or len(os.sched_getaffinity(0)) < 2)
"""
    assert python(program, quiet=False) == ["True", "True", "True"]


@pytest.mark.slow
def test_tensorflow_that_is_imported_is_used_as_it_is() -> None:
    program = """
import tensorflow as tf
level = tf.get_logger().level
tf.ones(3) + 1
import numpy as np
from softargmax_cli import reduce
from softargmax_cli.tensorflow.choice import shared
reduce(np.eye(3))
print(shared("cpu").name, tf.get_logger().level == level)
"""
    assert python(program, quiet=False) == ["python True"]
