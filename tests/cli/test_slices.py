"""A hundred thousand slices of random files, in every format that is read and written, against the oracle."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import files
import numpy as np
import oracle
import pytest
from command import Inside

pytestmark = pytest.mark.sampled(4)

TOTAL = 100_000
WIDE = 60
"""Scores of a slice of the longest file, which as text is more than what plain Python reads."""
INPUTS = {**files.ANY_SHAPE, **files.TABLES}
OUTPUTS = ["npy", "npz", "csv", "tsv", "json", "jsonl"]
EACH = TOTAL // len(INPUTS) + 1


def read_back(format: str, content: bytes) -> dict[str, Any]:
    """The fields of a result, by its own reader."""
    if format == "npy":
        return {"soft": np.load(io.BytesIO(content), allow_pickle=False).reshape(-1)}
    if format == "npz":
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return {name: stored[name].reshape(-1) for name in ("hard", "soft", "ties")}
    if format in ("csv", "tsv"):
        rows = list(csv.DictReader(io.StringIO(content.decode()), delimiter="," if format == "csv" else "\t"))
    elif format == "json":
        rows = json.loads(content)["slices"]
    else:
        rows = [json.loads(line) for line in content.splitlines()]
    return {
        "hard": np.array([int(row["hard"]) for row in rows]),
        "soft": np.array([float(row["soft"]) for row in rows]),
        "ties": np.array([int(row["ties"]) for row in rows]),
    }


def check(inside: Inside, form: str, output: str, scores: np.ndarray, beta: float) -> int:
    """The slices of one file; how many they were."""
    inside.write("x.bin", INPUTS[form](scores))
    done = inside(
        *("run", "x.bin", "-o", f"y.{output}", "--force", "--quiet", "--beta", repr(beta)),
        *(["--no-header"] if form.startswith("csv") else []),
    )
    assert (done.code, done.err) == (0, ""), form
    got = read_back(output, inside.read(f"y.{output}"))
    stored = scores if form in files.ANY_SHAPE or form.startswith("parquet") else scores.astype("f8")
    want = oracle.softargmax(stored, -1, beta).flat()
    unit = 1e-6 if stored.dtype.itemsize < 8 else 1e-11
    assert len(got["soft"]) == want.peak.size, form
    assert (abs(got["soft"] - want.soft[0]) <= unit * (1 + want.spread[0])).all(), form
    if "hard" in got:
        np.testing.assert_array_equal(got["hard"], want.hard[0], form)
        np.testing.assert_array_equal(got["ties"], want.ties, form)
    return len(got["soft"])


@pytest.mark.parametrize("form", INPUTS)
def test_slices_of_random_files(inside: Inside, form: str) -> None:
    rng = np.random.default_rng(sum(form.encode()))
    count = 0
    for k, output in enumerate([*OUTPUTS, "npz"]):
        rows, columns = int(rng.integers(1, 40)), int(rng.integers(2, 12))
        if k == len(OUTPUTS):
            rows, columns = EACH, WIDE
        scores = (rng.standard_normal((rows, columns)) * rng.choice([0.1, 1, 30])).round(2)
        scores = scores.astype(rng.choice(["f4", "f8", "i2"]))
        count += check(inside, form, output, scores, float(rng.choice([0.5, 1, 10, 100])))
    assert count > EACH
