"""Which runtime is used, what is said of it, and what happens where the C library cannot be."""

from __future__ import annotations

import functools
import importlib.util
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from softargmax_cli.errors import DeviceError, OptionError, as_typed
from softargmax_cli.tensorflow import capi, choice, native
from softargmax_cli.tensorflow.base import Runtime
from softargmax_cli.tensorflow.choice import TUNED, VARIABLE, XLA_FLAGS, Loader, runtime_for

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def unforced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset the variable; undo what loading sets in the environment."""
    monkeypatch.delenv(VARIABLE, raising=False)
    for name in ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
    capi.load.cache_clear()


@pytest.fixture
def told() -> list[str]:
    """A list of the notes."""
    return []


def loading_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "load-tensorflow"]


def said_of(runtime: Runtime) -> str:
    return f"TensorFlow {runtime.version}, {runtime.name} runtime on CPU (force one: SOFTARGMAX_RUNTIME=native|python)"


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("forced", [None, "", "native"])
def test_the_c_library_where_it_can_be(forced: str | None, told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if forced is not None:
        monkeypatch.setenv(VARIABLE, forced)
    made = Loader("cpu").runtime(told.append)
    assert (made.name, made.device) == ("native", "CPU")
    assert told == [said_of(made)]
    assert loading_threads() == []


@pytest.mark.parametrize(
    ("before", "version", "after"),
    [
        (None, f"{TUNED}.0", XLA_FLAGS),
        ("--xla_dump_to=x", f"{TUNED}.1", "--xla_dump_to=x"),
        (None, f"{TUNED}0.0", None),
        (None, "2.99.0", None),
    ],
)
def test_xla_is_tuned_where_it_knows_the_flags_and_nobody_has_set_any(
    before: str | None, version: str, after: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XLA_FLAGS")
    if before is not None:
        monkeypatch.setenv("XLA_FLAGS", before)
    choice.tune(version)
    assert os.environ.get("XLA_FLAGS") == after
    monkeypatch.setenv("XLA_FLAGS", "")


@pytest.mark.usefixtures("library")
def test_one_runtime(told: list[str]) -> None:
    loader = Loader("cpu")
    assert loader.runtime(told.append) is loader.runtime(told.append)
    assert len(told) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("python_runtime")
def test_python_where_it_is_forced(told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "python")
    monkeypatch.setattr(capi, "load", None)  # would fail if it were called
    made = Loader("cpu").runtime(told.append)
    assert made.name == "python"
    assert told == [said_of(made)]


@pytest.mark.parametrize("name", ["Native", "c", "native,python", " "])
def test_a_runtime_that_is_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, name)
    with pytest.raises(OptionError, match="the runtimes are native and python"):
        Loader("cpu")
    assert loading_threads() == []


def test_a_gpu_takes_the_python_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (runtime_for("gpu"), runtime_for("gpu:1")) == ("python", "python")
    monkeypatch.setenv(VARIABLE, "native")
    with pytest.raises(OptionError, match="the C library is for the CPU only") as caught:
        runtime_for("gpu")
    assert as_typed(caught.value.remedy) == "unset it, or use --device cpu"


def test_windows_takes_the_python_runtime_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert runtime_for("cpu") == "python"
    monkeypatch.setenv(VARIABLE, "native")
    assert runtime_for("cpu") == "native"


def no_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(capi, "LIBRARIES", ("libnothing.so",))


def a_broken_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "libbroken.so").write_bytes(b"not a library")
    monkeypatch.setattr(capi, "LIBRARIES", (str(tmp_path / "libbroken.so"),))


def a_missing_symbol(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(capi.SIGNATURES, "TF_NoSuchFunction", (None,))


def none_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorflow" else find(name))


FAULTS = [
    (no_library, "this TensorFlow wheel has no C library for "),
    (a_broken_library, "libbroken.so"),
    (a_missing_symbol, "TF_NoSuchFunction"),
    (none_installed, "TensorFlow is not installed"),
]


@pytest.mark.slow
@pytest.mark.usefixtures("python_runtime", "library")
def test_python_where_the_c_library_cannot_be(told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capi, "LIBRARIES", ("libnothing.so",))
    made = Loader("cpu").runtime(told.append)
    assert made.name == "python"
    first, second = told
    assert first.startswith("TensorFlow's C library cannot be used: this TensorFlow wheel has no C library for ")
    assert second == said_of(made)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(("fault", "words"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_an_error_where_the_c_library_is_forced_and_cannot_be(
    fault: Any, words: str, told: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fault(monkeypatch, tmp_path)
    monkeypatch.setenv(VARIABLE, "native")
    with pytest.raises(OptionError, match="SOFTARGMAX_RUNTIME=native: ") as caught:
        Loader("cpu").runtime(told.append)
    assert words in caught.value.what
    assert caught.value.remedy == "unset SOFTARGMAX_RUNTIME, or set it to python"
    assert told == []
    assert loading_threads() == []


class TestStandardError:
    @pytest.fixture
    def noisy(self, library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """A library that talks while it is loaded."""

        @functools.cache
        def load() -> Any:
            os.write(2, b"I0000 something about CUDA\n")
            return library

        monkeypatch.setattr(capi, "load", load)

    @pytest.mark.usefixtures("noisy")
    def test_is_quiet(self, told: list[str], capfd: pytest.CaptureFixture[str]) -> None:
        Loader("cpu").runtime(told.append)
        os.write(2, b"after\n")
        assert capfd.readouterr().err == "after\n"

    @pytest.mark.usefixtures("noisy")
    def test_is_left_alone_when_verbose(self, told: list[str], capfd: pytest.CaptureFixture[str]) -> None:
        Loader("cpu", verbose=True).runtime(told.append)
        assert "something about CUDA\n" in capfd.readouterr().err

    @pytest.mark.usefixtures("noisy")
    def test_has_the_messages_of_a_failure(
        self, told: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(*_: object) -> None:
            os.write(2, b"E0000 no session\n")
            raise DeviceError("TensorFlow failed: no session")

        monkeypatch.setattr(native, "NativeRuntime", fails)
        with pytest.raises(DeviceError, match="no session"):
            Loader("cpu").runtime(told.append)
        assert {*capfd.readouterr().err.splitlines()} == {"I0000 something about CUDA", "E0000 no session"}

    @pytest.mark.usefixtures("noisy")
    def test_comes_back_when_no_runtime_is_asked_for(self, capfd: pytest.CaptureFixture[str]) -> None:
        loader = Loader("cpu")
        loader.close()
        loader.close()
        os.write(2, b"after\n")
        assert capfd.readouterr().err == "after\n"
        assert loading_threads() == []


@pytest.mark.slow
@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("name", ["native", "python"])
def test_a_fresh_process_says_nothing(name: str) -> None:
    code = (
        "import sys, numpy as np\n"
        "from softargmax_cli.tensorflow.choice import Loader\n"
        "made = Loader('cpu').runtime(print)\n"
        "for n in range(8):\n"  # of which TensorFlow would warn
        "    tensors = [((n,), np.dtype('f4'))]\n"
        "    made.function(lambda ops, x: [ops.Neg(x=x)], tensors, compiled=False, key=n)(np.zeros(n, 'f4'))\n"
        f"assert ('tensorflow' in sys.modules) == {name == 'python'}\n"
    )
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**quiet, VARIABLE: name if name == "python" else ""},
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{name} runtime on CPU" in done.stdout
