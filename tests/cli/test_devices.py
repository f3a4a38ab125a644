"""`softargmax devices`: what a user pastes into a bug report."""

from __future__ import annotations

import ctypes as C
import json
from typing import Any

import pytest
from command import ROOT, Softargmax

from softargmax_cli.tensorflow.surroundings import Cuda, Driver, driver

KEYS = [
    *("softargmax", "python", "numpy", "polars", "pyarrow", "platform", "cores"),
    *("tensorflow", "runtime", "devices", "device", "cuda"),
]


def facts(done: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.out)
    assert list(found) == KEYS
    return found


@pytest.mark.parametrize("forced", ["", "native", "python"])
def test_json(softargmax: Softargmax, forced: str) -> None:
    done = softargmax("devices", "--format", "json", SOFTARGMAX_RUNTIME=forced)
    assert (done.code, done.err) == (0, "")
    found = facts(done)
    assert found["tensorflow"]["version"].startswith("2.")
    assert found["tensorflow"]["path"].endswith("tensorflow")
    assert found["runtime"]["forced"] == (forced or None)
    assert found["runtime"]["name"] == (forced or "native") or found["runtime"]["library_error"]
    assert "CPU:0" in [device["name"] for device in found["devices"]]
    assert found["cuda"]["usable"] == any(device["name"].startswith("GPU") for device in found["devices"])
    assert (found["cuda"]["why_not"] is None) == found["cuda"]["usable"]


def test_lines(softargmax: Softargmax) -> None:
    done = softargmax("devices", CUDA_VISIBLE_DEVICES="-1")
    assert (done.code, done.err) == (0, "")
    assert {line[21] for line in done.lines} == {" "}
    assert all(line[22:] for line in done.lines)
    assert "CUDA_VISIBLE_DEVICES  '-1'" in done.lines
    assert any(line.startswith("CUDA                  not used: ") for line in done.lines)


def test_a_broken_value(softargmax: Softargmax) -> None:
    done = softargmax("devices", "--format", "json", SOFTARGMAX_RUNTIME="x")
    assert done.code == 2
    assert facts(done)["runtime"] == {"name": None, "forced": "x", "library_error": None}
    assert done.err.startswith("softargmax: error: SOFTARGMAX_RUNTIME=x: the runtimes are native and python")


@pytest.mark.parametrize("format", ["table", "json"])
def test_no_tensorflow_at_all(softargmax: Softargmax, format: str) -> None:
    (softargmax.folder / "tensorflow.py").write_text("raise ImportError('broken')\n")
    done = softargmax("devices", "--format", format, PYTHONPATH=f"{softargmax.folder}:{ROOT}")
    assert done.code == 2
    assert done.err.startswith("softargmax: error: TensorFlow cannot be imported: broken\n")
    assert done.out


def cuda(**known: Any) -> Cuda:
    usual: dict[str, Any] = {
        "built_with": "12.5",
        "built_without": False,
        "cudnn": "9",
        "driver": Driver(True, "12.4", ("H200",)),
        "packages": ("nvidia-cudnn-cu12 9",),
        "visible": None,
    }
    return Cuda(**{**usual, **known})


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"built_without": True}, "built without CUDA"),
        ({"visible": ""}, "CUDA_VISIBLE_DEVICES= hides"),
        ({"visible": "-1"}, "CUDA_VISIBLE_DEVICES=-1 hides"),
        ({"driver": Driver(False, error="not there")}, "no NVIDIA driver: not there"),
        ({"driver": Driver(True, "12.4", error="CUDA_ERROR_NO_DEVICE")}, "shows no GPU: CUDA_ERROR_NO_DEVICE"),
        ({"packages": ()}, "pip install 'softargmax\\[gpu\\]'"),
        ({}, "--verbose"),
    ],
)
def test_why_there_is_no_gpu(known: dict[str, Any], words: str) -> None:
    assert words.replace("\\", "") in cuda(**known).why_not()


class FakeDriver:
    """Some functions of cuda.h."""

    def __init__(self, code: int) -> None:
        self.code = code

    def cuDriverGetVersion(self, number: Any) -> int:
        number._obj.value = 12040
        return 0

    def cuInit(self, flags: int) -> int:
        return self.code

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = 2
        return 0

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:
        device._obj.value = ordinal
        return 0

    def cuDeviceGetName(self, name: Any, size: int, device: Any) -> int:
        name.value = b"NVIDIA H200"
        return device.value  # the second one fails

    def cuGetErrorName(self, code: int, text: Any) -> int:
        text._obj.value = C.c_char_p(b"CUDA_ERROR_NO_DEVICE").value
        return 0


def test_a_driver() -> None:
    assert driver(FakeDriver(0)) == Driver(True, "12.4", ("NVIDIA H200", "GPU 1"))
    assert driver(FakeDriver(100)) == Driver(True, "12.4", error="CUDA_ERROR_NO_DEVICE")
