"""The guide's figures are what the tool's results look like now."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from make_pictures import (
    AT_BETA,
    FOLDER,
    Slices,
    answers,
    pictures,
    plotted,
    trade,
)

NAMES = ["beta.svg", "modes.svg", "coordinates.svg"]


@pytest.fixture(scope="module")
def known() -> dict[str, Slices]:
    """What the tool says now."""
    return answers()


def test_the_pictures_are_what_the_script_draws_now(known: dict[str, Slices]) -> None:
    drawn = pictures(known)
    assert list(drawn) == NAMES
    for name, picture in drawn.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == picture, "run python tests/docs/make_pictures.py"


@pytest.mark.slow
def test_the_tools_own_picture_is_what_it_draws_now(tmp_path: Path) -> None:
    from matplotlib.image import imread

    plotted(tmp_path / "now.png")
    now, shown = imread(tmp_path / "now.png"), imread(FOLDER / "ratings.png")
    assert now.shape == shown.shape
    assert np.abs(now - shown).mean() < 0.02, "run python tests/docs/make_pictures.py"


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_small_and_complete_in_itself(name: str) -> None:
    svg = (FOLDER / name).read_text(encoding="utf-8")
    assert len(svg.encode()) <= 15_000
    assert re.findall(r"https?:[^\"' <)]*", svg) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"href|@import|@font-face|<style|<script|<image|url\((?!#)", svg)
    used = set(re.findall(r"url\(#(\w+)\)", svg))
    assert used == set(re.findall(r' id="(\w+)"', svg))


def test_the_curve_runs_through_what_the_tool_says(known: dict[str, Slices]) -> None:
    for beta, command in AT_BETA.items():
        curve = [distance for distance, _ in trade(beta)]
        offsets = [each["offset"] for each in known[command]]
        assert np.allclose([math.hypot(*offset) for offset in offsets], curve, rtol=1e-4, atol=1e-5)
