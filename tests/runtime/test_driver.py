"""A machine with NVIDIA's driver and something amiss: the CPU computes, and a GPU is refused with a reason.

TensorFlow's C++ code ends the process in most of these cases when the C API opens a session with GPUs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TUTORIAL = str(ROOT / "samples" / "tutorial.npy")
FAULTS = {
    "no libraries": {},
    "cuInit fails": {"FAKE_INIT": "999"},
    "a busy card": {"FAKE_CTX": "2"},
    "an old driver": {"FAKE_VER": "11080"},
}
COMMAND = [sys.executable, "-m", "softargmax_cli"]
REDUCE = "import sys; from softargmax_cli import reduce; print(reduce(sys.argv[1], device=sys.argv[2]).hard)"
USES = {
    "run": [*COMMAND, "run", TUTORIAL, "--device"],
    "check": [*COMMAND, "check", TUTORIAL, "--device"],
    "sweep": [*COMMAND, "sweep", TUTORIAL, "--device"],
    "grad": [*COMMAND, "grad", TUTORIAL, "--quiet", "-o", "gradient.npy", "--device"],
    "reduce": [sys.executable, "-c", REDUCE, TUTORIAL],
}


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the stand-in; skips where none can be built."""
    if not sys.platform.startswith("linux"):
        pytest.skip("NVIDIA's driver has other names here")
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("driver")
    source = Path(__file__).with_name("driver.c")
    for name in ("libcuda.so.1", "libnvidia-ml.so.1"):
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-w", "-o", str(folder / name), str(source)], check=True, timeout=60
        )
    return folder


def done(driver: Path, fault: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """A process that has ended, on a machine with that fault."""
    left_out = ("TF_", "SOFTARGMAX_", "CUDA_", "FAKE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    machine = {"LD_LIBRARY_PATH": str(driver), "PYTHONPATH": str(ROOT), **FAULTS[fault]}
    return subprocess.run(
        arguments, env={**kept, **machine}, capture_output=True, encoding="utf-8", check=False, cwd=driver, timeout=100
    )


def test_reduce_refuses_a_gpu(driver: Path) -> None:
    ended = done(driver, "no libraries", [*USES["reduce"], "gpu"])
    assert ended.returncode == 1
    assert 'NoSuchDeviceError: device="gpu": TensorFlow ' in ended.stderr
    assert 'device="cpu"' in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("use", USES)
def test_the_cpu_computes(driver: Path, use: str, fault: str) -> None:
    (driver / "gradient.npy").unlink(missing_ok=True)
    ended = done(driver, fault, [*USES[use], "cpu"])
    assert (ended.returncode, ended.stderr) == (0, "")


def test_why_there_is_no_gpu(driver: Path) -> None:
    ended = done(driver, "no libraries", [*USES["run"], "gpu:1"])
    assert (ended.returncode, ended.stdout) == (2, "")
    said = ended.stderr.splitlines()
    assert said[0].startswith("softargmax: error: --device gpu:1: TensorFlow ")
    assert "could not load dynamic libraries " in said[0]
    assert "use --device cpu" in said[-1]
    assert len(said) <= 3


@pytest.mark.parametrize("fault", FAULTS)
def test_devices_says_why(driver: Path, fault: str) -> None:
    ended = done(driver, fault, [*COMMAND, "devices", "--format", "json"])
    assert (ended.returncode, ended.stderr) == (0, "")
    found = json.loads(ended.stdout)
    assert found["devices"] == ["CPU:0"]
    assert ("cuInit" if fault == "cuInit fails" else "could not load ") in found["gpu"]
    assert found["nvidia_driver"] == ("11.8" if fault == "an old driver" else "12.9")
