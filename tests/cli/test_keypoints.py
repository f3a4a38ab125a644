"""Sub-pixel keypoints from heatmaps as networks put them out, and those that must not be trusted."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from answers import numbers, table_cells
from command import Inside

pytestmark = pytest.mark.slow

Array = npt.NDArray[Any]

MAPS, SIZE, SIGMA = (20, 17), (64, 48), 2.0
AS_SCORES = ["--axis", "-2,-1", "--beta", "10", "--window", "4"]
"""The softmax of a Gaussian bump of height 1 is nearly a Gaussian again, of σ / √β pixels. β = 10 makes that 0.63: so
wide that its mean is not drawn to the middle of a pixel (with β = 100 the error is 0.4 pixels), and so narrow that the
bump has ended where the window does, and noise weighs little (with β = 3 it is 0.2). What counts is β times the height
of a peak. Any window from 3 pixels to 8 serves."""


@dataclass(frozen=True)
class Heatmaps:
    """Maps of (person, keypoint, y, x), each with a peak at `places`, (person, keypoint, 2); some with another."""

    maps: Array
    places: Array
    others: Array
    doubled: Array
    """(person, keypoint): which have another."""


def bumps(places: Array) -> Array:
    y, x = (np.exp(-((np.arange(n) - places[..., k, None]) ** 2) / (2 * SIGMA**2)) for k, n in enumerate(SIZE))
    found: Array = y[..., :, None] * x[..., None, :]
    return found


@pytest.fixture(scope="module")
def heatmaps() -> Heatmaps:
    """Peaks anywhere but at the border, noise of ±0.01, and in one map of ten a second peak, equal and far away."""
    random = np.random.default_rng(41)
    places = random.uniform([4, 4], [SIZE[0] - 5, SIZE[1] - 5], (*MAPS, 2))
    doubled = np.zeros(MAPS, bool)
    doubled.reshape(-1)[::10] = True
    # Two peaks, up and down, near the middles of pixels: at the corner of four none has a quarter of its peak's weight.
    up = random.integers([8, 8], [20, 40], (*MAPS, 2)) + random.uniform(-0.25, 0.25, (*MAPS, 2))
    down = random.integers([40, 8], [56, 40], (*MAPS, 2)) + random.uniform(-0.25, 0.25, (*MAPS, 2))
    places[doubled] = up[doubled]
    maps = bumps(places) + doubled[..., None, None] * bumps(down) + random.uniform(-0.01, 0.01, (*MAPS, *SIZE))
    return Heatmaps(maps.astype("f4"), places, np.where(doubled[..., None], down, np.inf), doubled)


@pytest.fixture(scope="module")
def folder(shared_inside: Inside, heatmaps: Heatmaps) -> Inside:
    shared_inside.save("heatmaps.npy", heatmaps.maps, "float32")
    return shared_inside


def off_by(soft: Array, heatmaps: Heatmaps) -> Array:
    """How far each coordinate is from that of the nearer peak, in pixels."""
    distances = [abs(soft - places) for places in (heatmaps.places, heatmaps.others)]
    nearer = np.linalg.norm(distances[0], axis=-1) <= np.linalg.norm(distances[1], axis=-1)
    found: Array = np.where(nearer[..., None], *distances)
    return found


def test_peaks_are_found_within_a_twentieth_of_a_pixel(folder: Inside, heatmaps: Heatmaps) -> None:
    done = folder("run", "heatmaps.npy", *AS_SCORES, "--format", "npy")
    assert (done.code, done.err) == (0, "")
    error = off_by(np.load(io.BytesIO(done.raw)), heatmaps)
    assert error.max() < 0.05
    assert np.sqrt((error**2).mean()) < 0.015


def test_maps_with_two_peaks_are_flagged(folder: Inside, heatmaps: Heatmaps) -> None:
    done = folder("run", "heatmaps.npy", *AS_SCORES, "--format", "json")
    assert (done.code, done.err) == (0, "")
    document = json.loads(done.out)
    second = np.array([row["second"] for row in document["slices"]]).reshape(MAPS)
    assert [row["index"] for row in document["slices"]] == [list(place) for place in np.ndindex(MAPS)]
    np.testing.assert_array_equal(second >= 0.25, heatmaps.doubled)
    assert second[~heatmaps.doubled].max() < 0.01
    assert document["summary"]["multimodal"] == heatmaps.doubled.sum() == 34

    table = folder("run", "heatmaps.npy", *AS_SCORES, "--rows", "0")
    assert (table.code, table.err) == (0, "")
    assert table.lines[0].startswith("heatmaps.npy · float32 20 × 17 × 64 × 48 · axes 2, 3 · β 10 (temperature 0.1) ")
    assert table.lines[1] == "window ±4"
    rows = table_cells(table)
    assert [numbers(row["slice"]) for row in rows] == [row["index"] for row in document["slices"]]
    assert ["∩∩ two modes" in row["notes"] for row in rows] == heatmaps.doubled.reshape(-1).tolist()
    assert table.lines[-1].endswith(" · 34 multi-modal")
