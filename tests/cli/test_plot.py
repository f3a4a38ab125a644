"""`run --plot`: marks stand where hard and soft are, and refusals come before anything is computed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Inside
from matplotlib.image import imread

from softargmax_cli.cli import answer
from softargmax_cli.report import plots
from softargmax_cli.report.plots import BLUE, DPI, ORANGE, SKY, WIDTH

pytestmark = pytest.mark.slow


def colour(name: str) -> np.ndarray:
    return np.array([int(name[k : k + 2], 16) for k in (1, 3, 5)]) / 255


def pixels(image: np.ndarray, name: str) -> np.ndarray:
    """Where an image has a colour, (row, column) each."""
    return np.argwhere(np.abs(image[..., :3] - colour(name)).max(axis=-1) < 0.02)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that are drawn, to learn where a place lies in the picture."""
    made: list[Any] = []
    draw = plots.draw_slices

    def kept(*arguments: Any) -> Any:
        made.append(draw(*arguments))
        return made[-1]

    monkeypatch.setattr(plots, "draw_slices", kept)
    return made


def place(figure: Any, image: np.ndarray, panel: int, x: float, y: float) -> tuple[float, float]:
    """The (row, column) of data coordinates."""
    across, up = figure.axes[panel].transData.transform((x, y))
    scale = len(image) / figure.bbox.height
    return len(image) - up * scale, across * scale


def near(found: np.ndarray, at: tuple[float, float], reach: float) -> int:
    return int((np.abs(found - np.array(at)).max(axis=1) <= reach).sum())


def of_slices(figure: Any, each: int = 2) -> list[Any]:
    """The axes of a figure, as many as each slice has."""
    return [figure.axes[k : k + each] for k in range(0, len(figure.axes), each)]


def weights_of(scores: np.ndarray, beta: float) -> np.ndarray:
    shares = np.exp(beta * (scores - scores.max()))
    return shares / shares.sum()


def test_curves_show_scores_and_weights_and_marks_hide_neither(inside: Inside, figures: list[Any]) -> None:
    scores = np.sin(np.arange(24.0).reshape(2, 12))
    inside.save("v.npy", scores)
    done = inside("run", "v.npy", "--beta", "1", "--format", "json", "--plot", "p.png")
    assert (done.code, done.err) == (0, "")
    image = imread(inside.folder / "p.png")
    assert image.shape[1] == round(WIDTH * DPI)
    assert (image[:4, :, :3] == 1).all()
    said = json.loads(done.out)["slices"]
    for k, (row, (above, below)) in enumerate(zip(scores, of_slices(figures[0]), strict=True)):
        np.testing.assert_allclose(above.get_lines()[0].get_ydata(), row)
        weights = weights_of(row, 1.0)
        np.testing.assert_allclose(below.patches[0].get_data().values, weights, atol=1e-6)
        above_at, below_at = 2 * k, 2 * k + 1
        hard = place(figures[0], image, above_at, said[k]["hard"], row.max())
        assert near(pixels(image, ORANGE), hard, 14) > 40
        assert near(pixels(image, ORANGE), hard, 4) == 0  # a ring, through which the curve is seen
        assert near(pixels(image, BLUE), place(figures[0], image, below_at, said[k]["soft"], 0), 7) > 40
        for index in np.flatnonzero(weights > 0.05):
            middle = place(figures[0], image, below_at, index, weights[index] / 2)
            assert near(pixels(image, SKY), middle, 6) > 100


def test_maps_show_scores_and_weights(inside: Inside, figures: list[Any]) -> None:
    maps = np.random.default_rng(0).random((2, 8, 10))
    inside.save("m.npy", maps)
    more = ["--coords", "corners", "--window", "2", "--beta", "3", "--format", "json"]
    done = inside("run", "m.npy", "--axis", "-1,-2", *more, "--plot", "p.png")
    assert (done.code, done.err) == (0, "")
    image = imread(inside.folder / "p.png")
    slices = json.loads(done.out)["slices"]
    for k, (scores, said, (left, right)) in enumerate(zip(maps, slices, of_slices(figures[0]), strict=True)):
        index = np.array(np.unravel_index(scores.argmax(), scores.shape))
        y, x = 2 * index / (np.array(scores.shape) - 1) - 1
        for panel in (2 * k, 2 * k + 1):
            assert near(pixels(image, ORANGE), place(figures[0], image, panel, x, y), 20) > 40
        soft = said["soft"][::-1]
        cross = place(figures[0], image, 2 * k, soft[1], soft[0])
        assert near(pixels(image, BLUE), cross, 16) > 20
        assert near(pixels(image, BLUE), cross, 3) == 0  # what lies there can be seen
        np.testing.assert_allclose(left.collections[0].get_array(), scores)
        within = np.abs(np.indices(scores.shape) - index[:, None, None]).max(axis=0) <= 2
        weights = np.where(within, np.exp(3 * scores), 0)
        np.testing.assert_allclose(right.collections[0].get_array(), weights / weights.sum(), atol=1e-6)


def test_values_turn_the_axis_into_their_unit(inside: Inside, figures: list[Any]) -> None:
    inside.write("v.csv", "film,one,two,three\n$x$,1,2,5\n_b^,4,1,3\n")
    inside.write("c.csv", "10\n20\n40\n")
    asked = "--id-column film --kind probs --values c.csv --plot p.png --format json"
    done = inside("run", "v.csv", *asked.split())
    assert (done.code, done.err) == (0, "")
    assert [axes.get_title(loc="left") for axes in figures[0].axes[:2]] == ["0 · $x$", "1 · _b^"]
    image = imread(inside.folder / "p.png")
    low, high = figures[0].axes[0].get_xlim()
    assert low < 10 < 40 < high
    assert len(figures[0].axes) == 2, "weights as given need no panel of scores"
    soft = json.loads(done.out)["slices"][0]["soft"]
    assert soft == pytest.approx((10 + 40 + 200) / 8)
    assert near(pixels(image, BLUE), place(figures[0], image, 0, soft, 0), 7) > 40


def test_labels_of_a_header_name_the_indices(inside: Inside, figures: list[Any]) -> None:
    inside.write("v.csv", "image,日,$dog,a_name_that_is_too_long\na,1,2,5\n")
    assert inside("run", "v.csv", "--id-column", "image", "--plot", "p.png", "--format", "csv").code == 0
    names = [label.get_text() for label in figures[0].axes[1].get_xticklabels()]
    assert names == ["日", "$dog", "a_name_that…"]


def test_a_long_slice_is_thinned(inside: Inside, figures: list[Any]) -> None:
    scores = np.zeros(50_000, np.float32)
    scores[31_337] = 1
    inside.save("v.npy", scores, "float32")
    assert inside("run", "v.npy", "--format", "csv", "--plot", "p.png").code == 0
    image = imread(inside.folder / "p.png")
    assert near(pixels(image, ORANGE), place(figures[0], image, 0, 31_337, 1), 16) > 40


NAN, INF = np.nan, np.inf
ODD = [[NAN] * 3, [1, NAN, 2], [-INF] * 3, [7, 7, 7], [INF, 0, -INF], [1.7e308, -1.7e308, 0]]


@pytest.mark.parametrize("scores", [ODD, np.ones((0, 4))], ids=["odd", "none"])
def test_odd_slices_are_drawn_too(scores: Any, inside: Inside) -> None:
    inside.save("v.npy", scores)
    options = ["--window", "1", "--coords", "centers", "--kind", "cost"]
    done = inside("run", "v.npy", "--nan", "propagate", "--format", "csv", "--plot", "p.svg", *options)
    assert (done.code, done.err) == (0, "")


def test_rows_and_the_cap(inside: Inside, figures: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "MOST_PICTURED", 3)
    inside.save("v.npy", np.random.default_rng(0).random((40, 3)))
    for rows, shown in [("2", 2), ("0", 3)]:
        done = inside("run", "v.npy", "--rows", rows, "--plot", "p.svg", "--force")
        assert done.code == 0
        titles = [axes.get_title(loc="left") for axes in figures[-1].axes]
        assert sum(map(bool, titles)) == shown
        capped = rows != "2"
        assert done.err == ("softargmax: note: v.npy: the picture shows the first 3 slices only\n" if capped else "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["v.npy", "--plot", "p.bmp"], "the suffix .bmp names no output format"),
        (["v.npy", "--plot", "old.png"], "the file exists"),
        (["v.npy", "--plot", "no/p.png"], "no/p.png: No such file or directory"),
        (["v.npy", "--axis", "0,1,2", "--plot", "p.png"], "one axis or two, and --axis names 3"),
        (["v.npy", "v.npy", "--plot", "p.png"], "holds one input only"),
        (["v.npy", "v.npy", "--plot", "d/"], "would hold the results of several inputs"),
        (["v.npy", "--plot", "-"], "no suffix names the output format"),
    ],
)
def test_refusals(arguments: list[str], said: str, inside: Inside) -> None:
    inside.save("v.npy", np.ones((2, 2, 2)))
    inside.write("old.png", "old")
    done = inside("run", *arguments)
    assert (done.code, done.raw) == (2, b"")
    assert said in done.err
    assert len(done.err.splitlines()) <= 3
    assert inside.read("old.png") == b"old"
    assert inside.names() == {"v.npy", "old.png"}


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few make links")
def test_a_picture_goes_nowhere_else(inside: Inside) -> None:
    """Where it cannot be written, there are no results either."""
    inside.save("v.npy", np.ones((2, 2)))
    for link, to in (("link.png", "new.png"), ("full.png", "/dev/full")):
        (inside.folder / link).symlink_to(to)
    before = inside.names()
    if os.path.exists("/dev/full"):
        done = inside("sweep", "v.npy", "--quiet", "-o", "o.csv", "--plot", "full.png")
        assert (done.code, done.err.splitlines()[0]) == (2, "softargmax: error: full.png: No space left on device")
        assert inside.names() == before
    done = inside("sweep", "v.npy", "--quiet", "-o", "o.csv", "--plot", "link.png")
    assert (done.code, done.err, inside.names()) == (0, "", {*before, "o.csv", "new.png"})


def test_several_inputs_into_a_directory(inside: Inside) -> None:
    for name in ("a.npy", "b.npy"):
        inside.save(name, [[1, 2]])
    assert inside("run", "a.npy", "b.npy", "--plot", "d/").code == 0
    assert {path.name for path in Path(inside.folder, "d").iterdir()} == {"a.png", "b.png"}


def test_matplotlib_is_loaded_for_a_picture_only(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    inside.save("v.npy", [[1, 2]])
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    assert inside("run", "v.npy").code == 0
    done = inside("run", "v.npy", "--plot", "p.png")
    assert done.code == 2
    assert done.err.splitlines()[1] == "  pip install matplotlib"


def test_sparklines_of_what_can_be_read_again(inside: Inside) -> None:
    text = "1,2,3\n3,2,1\n"
    inside.write("x.csv", text)
    inside.save("x.npy", [[1, 2, 3], [3, 2, 1]])
    for name in ("x.csv", "x.npy"):
        lines = inside("run", name).lines
        assert [line.split()[-1] for line in lines[4:6]] == ["▁▅█", "█▅▁"]
    piped = inside("run", "-", stdin=text.encode())
    assert (piped.code, piped.err) == (0, "")
    assert "▅" not in piped.out
