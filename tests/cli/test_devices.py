"""`softargmax devices`: what a user pastes into a bug report."""

from __future__ import annotations

import json
from typing import Any

import pytest
from command import ROOT, Inside, Softargmax

from softargmax_cli.errors import as_typed
from softargmax_cli.tensorflow import survey
from softargmax_cli.tensorflow.survey import Survey

KEYS = [
    *("softargmax", "python", "numpy", "polars", "pyarrow", "platform", "cores", "tensorflow", "folder", "runtime"),
    *("devices", "gpu", "built_with", "nvidia_driver", "packages", "CUDA_VISIBLE_DEVICES"),
]
DEVICES = ["CPU:0", "GPU:0, NVIDIA H200"]
TOLD = Survey("", None, "2.21.0", "CUDA 12.5.1, cuDNN 9", DEVICES)
MISSING = "I0000 00:00:17959.30   12312 dso_loader.cc:144] Could not load dynamic library '{0}'; dlerror: {0}: no\n"
CANNOT = "W0000 00:00:17959.31   12312 gpu_device.cc:2365] Cannot dlopen some GPU libraries. Please make sure\n"
NO_INIT = "E0000 00:00:17959.32   13815 cuda_platform.cc:52] failed call to cuInit: CUDA_ERROR_UNKNOWN\n"


def facts(done: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.out)
    assert list(found) == KEYS
    return found


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A TensorFlow that sees a GPU, in the place of the one that takes seconds to ask."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(survey, "surveyed", lambda: TOLD)
    monkeypatch.setattr(survey, "driver_version", lambda: "12.9")


@pytest.mark.usefixtures("told")
def test_json(inside: Inside) -> None:
    done = inside("devices", "--format", "json")
    assert (done.code, done.err) == (0, "")
    found = facts(done)
    assert found["folder"].endswith("tensorflow")
    assert found["runtime"][-1].startswith("TensorFlow 2.")
    assert (found["devices"], found["gpu"]) == (DEVICES, "usable")
    assert (found["built_with"], found["nvidia_driver"]) == ("CUDA 12.5.1, cuDNN 9", "12.9")
    assert found["CUDA_VISIBLE_DEVICES"] is None


@pytest.mark.usefixtures("told")
def test_lines(inside: Inside) -> None:
    done = inside("devices", CUDA_VISIBLE_DEVICES="0")
    assert (done.code, done.err) == (0, "")
    assert {line[21] for line in done.lines} == {" "}
    assert all(line[22:] for line in done.lines)
    assert "CUDA_VISIBLE_DEVICES  0" in done.lines
    assert "gpu                   usable" in done.lines
    assert "                      GPU:0, NVIDIA H200" in done.lines
    assert "built_with            CUDA 12.5.1, cuDNN 9" in done.lines


@pytest.mark.slow
def test_what_is_there(softargmax: Softargmax) -> None:
    done = softargmax("devices", "--format", "json", CUDA_VISIBLE_DEVICES="-1")
    assert (done.code, done.err) == (0, "")
    found = facts(done)
    assert found["tensorflow"].startswith("2.")
    assert "CPU:0" in found["devices"]
    assert found["gpu"] != "usable"


@pytest.mark.usefixtures("told")
def test_a_broken_value(inside: Inside) -> None:
    done = inside("devices", "--format", "json", SOFTARGMAX_RUNTIME="x")
    assert done.code == 2
    assert facts(done)["runtime"] == []
    assert done.err.startswith("softargmax: error: SOFTARGMAX_RUNTIME=x: the runtimes are native and python")


@pytest.mark.slow
def test_no_tensorflow_at_all(softargmax: Softargmax) -> None:
    (softargmax.folder / "tensorflow.py").write_text("raise ImportError('broken')\n")
    done = softargmax("devices", PYTHONPATH=f"{softargmax.folder}:{ROOT}")
    assert done.code == 2
    assert done.err.startswith("softargmax: error: TensorFlow cannot be imported: broken\n")
    assert "broken" in done.out


@pytest.mark.parametrize(
    ("told", "why", "remedy"),
    [
        (Survey("", error="cudaGetDevice() failed"), "cudaGetDevice() failed", "use --device cpu"),
        (Survey("", built_with=""), "this build of TensorFlow has no CUDA", "use --device cpu"),
        (
            Survey(MISSING.format("libcuda.so.1") + NO_INIT),
            "could not load dynamic library libcuda.so.1",
            "install NVIDIA's driver, or use --device cpu",
        ),
        (
            Survey(MISSING.format("libcudart.so.12") + NO_INIT + MISSING.format("libcublas.so.12") * 2 + CANNOT),
            "could not load dynamic libraries libcudart.so.12, libcublas.so.12",
            "install them with: pip install 'tensorflow[and-cuda]', or use --device cpu",
        ),
        (Survey(NO_INIT), "failed call to cuInit: CUDA_ERROR_UNKNOWN", "use --device cpu"),
        (Survey(""), "it does not say why", "use --device cpu"),
    ],
)
def test_why_there_is_no_gpu(told: Survey, why: str, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = told.no_gpu()
    assert (found[0], as_typed(found[1])) == (why, remedy)


@pytest.mark.parametrize("value", ["", "-1"])
def test_hidden_gpus(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert Survey(NO_INIT).no_gpu()[0] == f"CUDA_VISIBLE_DEVICES={value} hides every GPU"
