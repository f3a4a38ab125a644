"""What a command loads before there is anything to compute: neither NumPy nor TensorFlow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"numpy", "tensorflow", "pyarrow", "keras", "ml_dtypes", "jax", "polars", "dask"}


def start(*arguments: str, **variables: str) -> tuple[subprocess.CompletedProcess[str], set[str]]:
    """A finished `python -m softargmax_cli ...` and the top-level names of all it imported."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "softargmax_cli", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        stdin=subprocess.DEVNULL,
        cwd=ROOT,
        env={**os.environ, "PYTHONUTF8": "1", **variables},
        timeout=60,
    )
    report = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in report}
    assert "softargmax_cli" in loaded  # the report was understood
    done.stderr = "\n".join(line for line in done.stderr.splitlines() if line not in set(report))
    return done, loaded


def test_version_loads_no_rich_either() -> None:
    done, loaded = start("--version")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("softargmax ")
    assert not loaded & (HEAVY | {"rich"})


@pytest.mark.slow
def test_help_loads_nothing_heavy() -> None:
    done, loaded = start("run", "--help")
    assert done.returncode == 0, done.stderr
    assert "softargmax" in done.stdout
    assert "python -m" not in done.stdout
    assert not loaded & HEAVY


@pytest.mark.parametrize("arguments", [["run", "--select", "x"]], ids=" ".join)
def test_wrong_use_loads_nothing_heavy(arguments: list[str]) -> None:
    done, loaded = start(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert not loaded & HEAVY


@pytest.mark.slow
def test_completion_loads_nothing_heavy() -> None:
    done, loaded = start(_SOFTARGMAX_COMPLETE="complete_bash", COMP_WORDS="softargmax ru", COMP_CWORD="1")
    assert done.stdout.split() == ["run"], done.stderr
    assert not loaded & HEAVY


def modules_of(*arguments: str, cwd: Path) -> set[str]:
    """The top-level names of all that a run imports; standard error, where Python would report them, is held back."""
    program = (
        "import sys; from softargmax_cli.cli import app; "
        "code = app._exit_code(); print(code, *{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
        stdin=subprocess.DEVNULL,
        cwd=cwd,
        env={**os.environ, "PYTHONUTF8": "1", "PYTHONPATH": str(ROOT)},
        timeout=60,
    )
    code, *names = done.stderr.splitlines()[-1].split()
    assert code == "0", done.stderr
    return set(names)


def test_a_run_loads_what_its_input_and_output_need(tmp_path: Path) -> None:
    tutorial = str(ROOT / "samples" / "tutorial.npy")
    loaded = modules_of("run", tutorial, "-o", "soft.npy", "--quiet", cwd=tmp_path)
    assert "numpy" in loaded
    assert (tmp_path / "soft.npy").exists()
    assert not loaded & {"tensorflow", "polars", "pyarrow", "rich", "keras", "pydantic", "h5py", "ml_dtypes"}
