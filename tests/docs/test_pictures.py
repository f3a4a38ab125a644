"""The guide's figures are what the tool's results look like now."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from make_pictures import (
    AT_BETA,
    COORDS,
    DEFAULT,
    FOLDER,
    HEATMAPS,
    MAPS,
    TWO_PEAKS,
    WIDTH,
    WINDOWED,
    Slices,
    answers,
    length,
    main,
    pictures,
    plotted,
    tag,
    told,
    trade,
    words,
)

from softargmax_cli.reduction.problem import Spec

NAMES = ["beta.svg", "modes.svg", "coordinates.svg"]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def known() -> dict[str, Slices]:
    """What the tool says now."""
    return answers()


def two_peaks(slices: Slices) -> dict[str, Any]:
    """What the tool says of the map with two peaks."""
    (said,) = [each for each in slices if tuple(each["index"]) == TWO_PEAKS]
    return said


def texts(name: str) -> list[str]:
    """The lines of text in a picture."""
    root = ElementTree.parse(FOLDER / name).getroot()
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def test_the_pictures_are_what_the_script_draws_now(known: dict[str, Slices]) -> None:
    drawn = pictures(known)
    assert list(drawn) == NAMES
    for name, picture in drawn.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == picture, "run python tests/docs/make_pictures.py"


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


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_a_white_card_with_all_text_on_it(name: str) -> None:
    root = ElementTree.parse(FOLDER / name).getroot()
    assert root.tag == f"{SVG}svg"
    assert root.attrib["viewBox"] == f"0 0 {WIDTH} {root.attrib['height']}"
    assert root[0].tag == f"{SVG}rect"
    assert root[0].attrib["fill"] == "#fff"
    for element in root.iter(f"{SVG}text"):
        assert 0 < float(element.attrib["x"]) < WIDTH
        assert 0 < float(element.attrib["y"]) < float(root.attrib["height"])


def test_the_default_beta_is_the_tools() -> None:
    assert Spec().beta == DEFAULT


def test_the_curve_runs_through_what_the_tool_says(known: dict[str, Slices]) -> None:
    for beta, command in AT_BETA.items():
        curve = [distance for distance, _ in trade(beta)]
        offsets = [each["offset"] for each in known[command]]
        assert np.allclose([math.hypot(*offset) for offset in offsets], curve, rtol=1e-4, atol=1e-5)


def test_the_gradient_is_the_slope_of_soft(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, step = np.random.default_rng(0).random((1, 1, 3, 4)), 1e-6
    places = np.indices((3, 4)).reshape(2, -1)

    def soft(scores: np.ndarray) -> np.ndarray:
        weights = np.exp(5 * scores.ravel())
        return places @ weights / weights.sum()

    steps = step * np.eye(scores.size).reshape(-1, *scores.shape)
    slopes = [(soft(scores + up) - soft(scores - up)) / (2 * step) for up in steps]
    monkeypatch.setattr("make_pictures.HEATMAPS", scores)
    ((_, gradient),) = trade(5)
    assert gradient == pytest.approx(np.linalg.norm(slopes), rel=1e-6)


def test_the_story_of_beta_is_true() -> None:
    betas = [1, 10, 60, 100, 1000]
    distance, gradient = np.median([trade(beta) for beta in betas], axis=1).T
    assert (np.diff(distance) < 0).all()
    assert gradient[0] < gradient[1] < gradient[2] > gradient[3] > gradient[4]
    assert gradient[4] < 1e-6


def test_the_labels_at_the_default(known: dict[str, Slices]) -> None:
    distance = np.median([math.hypot(*each["offset"]) for each in known[AT_BETA[DEFAULT]]])
    assert {f"{distance:.3f}", f"{DEFAULT}, the default", "1", "10", "1000"} <= set(texts("beta.svg"))
    assert f"The {len(known[MAPS])} maps" in texts("beta.svg")[1]


@pytest.mark.parametrize("command", [MAPS, WINDOWED])
def test_the_labels_of_the_two_modes(command: str, known: dict[str, Slices]) -> None:
    said = two_peaks(known[command])
    shown = set(texts("modes.svg"))
    assert command.partition(".npy ")[2] in shown
    assert ", ".join(map(str, said["hard"])) in shown
    for field in ("soft", "offset"):
        assert ", ".join(told(value, 3) for value in said[field]) in shown
    assert told(said["second"], 3) in shown


def test_nobody_is_where_soft_is_without_a_window(known: dict[str, Slices]) -> None:
    scores = HEATMAPS[TWO_PEAKS]
    away, near = two_peaks(known[MAPS]), two_peaks(known[WINDOWED])
    y, x = (round(place) for place in away["soft"])
    assert scores[y, x] < 0.1 * scores.max()
    assert not away["agree"]
    assert near["agree"]
    assert near["hard"] == away["hard"]


def test_the_labels_of_the_coordinates(known: dict[str, Slices]) -> None:
    shown = [text.replace("−", "-") for text in texts("coordinates.svg")]
    for kind, command in COORDS.items():
        at = shown.index(f"--coords {kind}")
        told_now = [f"{each['soft']:.4g}" for each in known[command]]
        below = shown[at + 2 :]
        assert [text for text in below if text in told_now][: len(told_now)] == told_now
    assert {"-0.3333", "0.3333", "-0.75", "0.25"} <= set(shown)


def test_a_stale_picture_is_found_and_drawn_again(
    known: dict[str, Slices], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["make_pictures.py", *arguments])
        return main()

    monkeypatch.setattr("make_pictures.FOLDER", tmp_path)
    monkeypatch.setattr("make_pictures.answers", lambda: known)
    monkeypatch.setattr("make_pictures.plotted", lambda file: None)
    assert run("--check") == 1
    assert list(tmp_path.iterdir()) == []
    assert run() == 0
    assert run("--check") == 0
    capsys.readouterr()
    monkeypatch.setattr("make_pictures.answers", lambda: {**known, WINDOWED: known[MAPS]})
    assert run("--check") == 1
    assert capsys.readouterr().err.startswith("samples/modes.svg: out of date; run ")
    assert (tmp_path / "modes.svg").read_text(encoding="utf-8") == pictures(known)["modes.svg"]


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (-0.04, "0"), (12.04, "12"), (-3.27, "-3.3"), (np.float64(700.5), "700.5")]
)
def test_lengths_are_tenths(value: float, text: str) -> None:
    assert length(value) == text


@pytest.mark.parametrize(("value", "text"), [(-0.4071, "−0.407"), (-1e-5, "0.000"), (58.0, "58.000")])
def test_numbers_for_people(value: float, text: str) -> None:
    assert told(value, 3) == text


def test_text_is_escaped() -> None:
    element = ElementTree.fromstring(words(1, 2, "a < b & c"))
    assert element.text == "a < b & c"
    assert tag("g", "<a></a>", clip_path="url(#x)") == '<g clip-path="url(#x)"><a></a></g>'
