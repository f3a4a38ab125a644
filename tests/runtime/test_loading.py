"""Which runtime is used, what is said of it, and what happens where the C library cannot be."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from softargmax_cli.errors import DeviceError, NoSuchDeviceError, OptionError
from softargmax_cli.tensorflow import capi, native
from softargmax_cli.tensorflow.base import Body, Function, Runtime, Seen, Tensor
from softargmax_cli.tensorflow.loading import TRIED, VARIABLE, XLA_FLAGS, Loading

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def unforced(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where nobody has set the variable; what loading sets in the environment is undone."""
    monkeypatch.delenv(VARIABLE, raising=False)
    for name in ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))


@pytest.fixture
def told() -> list[str]:
    """What was noted."""
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
    made = Loading().runtime("cpu", told.append)
    assert (made.name, made.device) == ("native", "CPU")
    assert told == [said_of(made)]
    made.close()
    assert loading_threads() == []


class Untried(Runtime):
    """A runtime of a release that nobody has tried."""

    name, version, device = "native", "2.99.0", "CPU"

    def _make(self, body: Body, inputs: Sequence[Tensor], *, compiled: bool) -> Function:
        raise NotImplementedError

    def seen(self) -> list[Seen]:
        return []

    def close(self) -> None:
        """Nothing is held."""


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("before", "after", "tried"),
    [(None, XLA_FLAGS, True), ("--xla_dump_to=x", "--xla_dump_to=x", True), (None, None, False)],
)
def test_xla_is_tuned_where_it_knows_the_flags_and_nobody_has_set_any(
    before: str | None, after: str | None, tried: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if before is None:
        monkeypatch.delenv("XLA_FLAGS")
    else:
        monkeypatch.setenv("XLA_FLAGS", before)
    loading = Loading()
    if not tried:
        monkeypatch.setattr(loading, "_make", lambda device: Untried())
    made = loading.runtime("cpu", lambda text: None)
    assert made.version.startswith(TRIED) == tried
    assert os.environ.get("XLA_FLAGS") == after
    made.close()


@pytest.mark.usefixtures("python_runtime")
def test_python_where_it_is_forced(told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "python")
    monkeypatch.setattr(capi, "load", None)  # would fail if it were called
    made = Loading().runtime("cpu", told.append)
    assert made.name == "python"
    assert told == [said_of(made)]


@pytest.mark.parametrize("choice", ["Native", "c", "native,python", " "])
def test_a_runtime_that_is_none(choice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, choice)
    with pytest.raises(OptionError, match="the runtimes are native and python"):
        Loading()
    assert loading_threads() == []


def no_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(capi, "LIBRARIES", ("libnothing.so",))


def a_broken_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "libbroken.so").write_bytes(b"not a library")
    monkeypatch.setattr(capi, "LIBRARIES", (str(tmp_path / "libbroken.so"),))


def a_missing_symbol(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(capi.SIGNATURES, "TF_NoSuchFunction", (None,))


def an_old_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(capi, "OLDEST", (99, 0))


def none_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorflow" else find(name))


FAULTS = [
    (no_library, "this TensorFlow wheel has no C library for "),
    (a_broken_library, "libbroken.so"),
    (a_missing_symbol, "TF_NoSuchFunction"),
    (an_old_one, "is older than 99.0"),
    (none_installed, "TensorFlow is not installed"),
]


@pytest.mark.usefixtures("python_runtime", "library")
@pytest.mark.parametrize(("fault", "words"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_python_where_the_c_library_cannot_be(
    fault: Any, words: str, told: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fault(monkeypatch, tmp_path)
    made = Loading().runtime("cpu", told.append)
    assert made.name == "python"
    first, second = told
    assert first.startswith("TensorFlow's C library cannot be used: ")
    assert words in first
    assert second == said_of(made)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(("fault", "words"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_an_error_where_the_c_library_is_forced_and_cannot_be(
    fault: Any, words: str, told: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fault(monkeypatch, tmp_path)
    monkeypatch.setenv(VARIABLE, "native")
    with pytest.raises(OptionError, match="SOFTARGMAX_RUNTIME=native: ") as caught:
        Loading().runtime("cpu", told.append)
    assert words in caught.value.what
    assert caught.value.remedy == "unset SOFTARGMAX_RUNTIME, or set it to python"
    assert told == []
    assert loading_threads() == []


class TestStandardError:
    @pytest.fixture
    def noisy(self, library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """A library that talks while it is loaded."""

        def load() -> Any:
            os.write(2, b"I0000 something about CUDA\n")
            return library

        monkeypatch.setattr(capi, "load", load)

    @pytest.mark.usefixtures("noisy")
    def test_is_quiet(self, told: list[str], capfd: pytest.CaptureFixture[str]) -> None:
        Loading().runtime("cpu", told.append).close()
        os.write(2, b"after\n")
        assert capfd.readouterr().err == "after\n"

    @pytest.mark.usefixtures("noisy")
    def test_is_left_alone_when_verbose(self, told: list[str], capfd: pytest.CaptureFixture[str]) -> None:
        Loading(verbose=True).runtime("cpu", told.append).close()
        assert "something about CUDA\n" in capfd.readouterr().err

    @pytest.mark.usefixtures("noisy")
    def test_is_quiet_where_a_device_is_not_there(self, told: list[str], capfd: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(NoSuchDeviceError):
            Loading().runtime("gpu:99", told.append)
        os.write(2, b"after\n")
        assert capfd.readouterr().err == "after\n"
        assert told == []

    @pytest.mark.usefixtures("noisy")
    def test_has_the_messages_of_a_failure(
        self, told: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(*_: object) -> None:
            os.write(2, b"E0000 no session\n")
            raise DeviceError("TensorFlow failed: no session")

        monkeypatch.setattr(native, "NativeRuntime", fails)
        with pytest.raises(DeviceError, match="no session"):
            Loading().runtime("cpu", told.append)
        assert capfd.readouterr().err == "I0000 something about CUDA\nE0000 no session\n"

    @pytest.mark.usefixtures("noisy")
    def test_comes_back_when_no_runtime_is_asked_for(self, capfd: pytest.CaptureFixture[str]) -> None:
        loading = Loading()
        loading.close()
        loading.close()
        os.write(2, b"after\n")
        assert capfd.readouterr().err == "after\n"
        assert loading_threads() == []


@pytest.mark.usefixtures("library")
def test_a_fresh_process_says_nothing_and_imports_no_tensorflow() -> None:
    code = (
        "import sys\n"
        "from softargmax_cli.tensorflow.loading import Loading\n"
        "Loading().runtime('cpu', print).close()\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    quiet = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", VARIABLE))}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT, env=quiet
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("TensorFlow 2.")
    assert "native runtime on CPU" in done.stdout or "native runtime on GPU" in done.stdout


@pytest.mark.parametrize("functions", [1, 8])
def test_a_fresh_process_with_python_forced_says_nothing(functions: int) -> None:
    code = (
        "import numpy as np\n"
        "from softargmax_cli.tensorflow.loading import Loading\n"
        "made = Loading().runtime('cpu', print)\n"
        f"for n in range({functions}):\n"
        "    tensors = [((n,), np.dtype('f4'))]\n"
        "    made.function(lambda ops, x: [ops.Neg(x=x)], tensors, compiled=False)(np.zeros(n, 'f4'))\n"
    )
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**quiet, VARIABLE: "python"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "python runtime on " in done.stdout
