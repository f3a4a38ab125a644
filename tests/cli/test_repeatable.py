"""Every command prints and writes the same bytes each time, whichever thread is faster."""

from __future__ import annotations

import numpy as np
import pytest
from command import Inside

from softargmax_cli.reduction import budget, stream

pytestmark = pytest.mark.slow

TIMES = 10
COMMANDS = [
    "run p.npy --format json",
    "run maps.npy --axis -2,-1 --window 3",
    "run tall.csv --axis 0 --format csv",
    "check gaps.npy --tol 0.5 --nan omit --format json",
    "sweep t.csv --betas 1,9 --tol 2 --format json",
    "grad maps.npy --axis 0 --format json",
    "evaluate gaps.npy --nan omit --truth truth.npy --within 0.5,3 --worst 3 --format json",
    "weights maps.npy --axis 0,2 --window 2 -o -",
    "inspect p.npy",
]


@pytest.fixture
def files(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> Inside:
    monkeypatch.setattr(budget, "BLOCK", 512)
    monkeypatch.setattr(budget, "cores", lambda: 4)
    monkeypatch.setattr(stream, "FIRST_COMPILED", 1000)
    random = np.random.default_rng(1)
    p = random.dirichlet(np.ones(9), 40)
    p[::2] = np.eye(9)[random.integers(0, 9, 20)]  # blocks of labels among those of probabilities
    inside.save("p.npy", p)
    inside.save("maps.npy", random.normal(size=(3, 12, 17)), "float32")
    gaps = random.normal(size=(20, 30))
    gaps[3, 4], gaps[15, 2], gaps[11] = np.nan, np.inf, -np.inf
    inside.save("gaps.npy", gaps)
    inside.save("truth.npy", random.uniform(0, 30, 20))
    lines = [",".join(f"{x:.4f}" for x in row) for row in random.normal(size=(300, 12))]
    inside.write("t.csv", "\n".join(lines) + "\n")
    inside.write("tall.csv", "\n".join(lines[:90]) + "\n")
    return inside


@pytest.mark.parametrize("command", COMMANDS)
def test_the_same_bytes_ten_times(files: Inside, command: str) -> None:
    first, *others = [files(*command.split()) for _ in range(TIMES)]
    assert first.code in (0, 1), first.err
    assert all(done == first for done in others)
    if command.startswith("inspect"):
        assert "--kind probs" in first.out
