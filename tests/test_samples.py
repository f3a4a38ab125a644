"""The committed samples are what their script makes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SAMPLES = Path(__file__).parents[1] / "samples"
NAMES = [
    *(
        "azimuth.npy",
        "class_scores.csv",
        "cost_volume.npy",
        "heatmaps.npy",
        "keypoints.csv",
        "pitch.npy",
        "pitch_cents.csv",
        "ratings.csv",
    ),
    *("stars.csv", "time_steps.npy", "tutorial.csv", "tutorial.npy"),
]


def make(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SAMPLES / "make_samples.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    done = make("--into", folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


def test_the_script_makes_every_sample_and_no_other(made: Path) -> None:
    assert sorted(file.name for file in made.iterdir()) == NAMES
    assert sorted(file.name for file in SAMPLES.iterdir() if file.suffix in {".npy", ".csv"}) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_file_is_the_one_made(made: Path, name: str) -> None:
    if name.endswith(".csv"):
        assert (SAMPLES / name).read_bytes() == (made / name).read_bytes()
    else:  # a later NumPy may pad the header otherwise
        committed, again = np.load(SAMPLES / name), np.load(made / name)
        assert (committed.dtype, committed.shape) == (again.dtype, again.shape)
        assert committed.tobytes() == again.tobytes()


@pytest.mark.slow
def test_check_accepts_the_files_made_and_names_the_one_that_differs(made: Path, tmp_path: Path) -> None:
    for file in made.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert make("--check", "--into", tmp_path).returncode == 0
    (tmp_path / "tutorial.csv").write_bytes(b"5,2,1,2\n")
    done = make("--check", "--into", tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path / 'tutorial.csv'}: not what this script makes\n"


def test_samples_hold_what_their_table_says() -> None:
    tutorial = np.float32([[5, 2, 1, 2], [3.9, 4, 1, 2], [2, 5.9, 6, 2]])
    np.testing.assert_array_equal(np.load(SAMPLES / "tutorial.npy"), tutorial)
    np.testing.assert_array_equal(np.loadtxt(SAMPLES / "tutorial.csv", delimiter=",", dtype=np.float32), tutorial)
    scores = np.loadtxt(SAMPLES / "class_scores.csv", delimiter=",", skiprows=1, usecols=range(1, 9))
    gap = -np.diff(np.sort(scores, axis=1)[:, ::-1][:, :2], axis=1)[:, 0]
    assert scores.shape == (20, 8)
    assert np.count_nonzero(gap == 0) == 1
    assert np.count_nonzero((gap > 0) & (gap < 0.02)) == 3
    for name, dtype, shape in [
        ("heatmaps.npy", "<f4", (2, 17, 64, 48)),
        ("cost_volume.npy", "<f2", (32, 48, 64)),
        ("time_steps.npy", "<f4", (12, 500)),
        ("azimuth.npy", "<f4", (8, 72)),
    ]:
        array = np.load(SAMPLES / name)
        assert (array.dtype.str, array.shape) == (dtype, shape)
        assert np.isfinite(array).all()
    assert sum((SAMPLES / name).stat().st_size for name in NAMES) < 1_500_000
