"""A picture's file: whole or not at all, the same bytes each time, and refused before anything is computed."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.image import imread

from softargmax_cli.files.writers.atomic import Document
from softargmax_cli.reduction.result import Run
from softargmax_cli.report.plots import BLUE, DPI, WIDTH, begin, look, rendered

pytestmark = pytest.mark.slow

SIGNATURES = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml", "pdf": b"%PDF-"}


def draw(path: Path, title: str = "title", *, force: bool = False) -> bytes:
    with look(), Document(str(path), force=force) as picture:
        figure, panels = begin(2.0, Run(title, (3, 4), "float32", (1,), 100.0, "CPU"))
        axes = panels.subplots()
        axes.axhspan(0.2, 0.8, color=BLUE)
        axes.set(ylim=(0, 1), title="$x$")
        picture.write(rendered(figure, path.suffix[1:].lower()))
        picture.commit()
    return path.read_bytes()


@pytest.mark.parametrize("suffix", ["PNG", "svg", "pdf"])
def test_the_suffix_says_the_format_and_the_bytes_are_the_same(suffix: str, tmp_path: Path) -> None:
    first = draw(tmp_path / f"a.{suffix}")
    assert first.startswith(SIGNATURES[suffix.lower()])
    assert draw(tmp_path / f"b.{suffix}") == first
    assert matplotlib.__version__.encode() not in first


def test_a_picture_has_its_size_and_what_was_drawn(tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    image = (imread(tmp_path / "a.png")[..., :3] * 255).round().astype(int)
    assert image.shape[:2] == (2 * DPI, round(WIDTH * DPI))
    assert (image[0, 0] == 255).all()
    blue = (image == [int(BLUE[k : k + 2], 16) for k in (1, 3, 5)]).all(axis=-1)
    assert 0.15 < blue.mean() < 0.5


def test_a_matplotlibrc_changes_nothing_and_is_as_before(tmp_path: Path) -> None:
    first = draw(tmp_path / "a.png")
    with matplotlib.rc_context({"axes.facecolor": "red", "text.usetex": True, "savefig.dpi": 30}):
        assert draw(tmp_path / "b.png") == first
        assert matplotlib.rcParams["axes.facecolor"] == "red"


def test_names_are_text(tmp_path: Path) -> None:
    for title in (r"\frac{a}{$b$} x_{1}^{2} 100%", "\x1b[31mred\n日本 😀 $\\bad$"):
        assert draw(tmp_path / "a.svg", title, force=True)


def test_numbers_on_an_axis_are_no_tex() -> None:
    with look():
        figure, panels = begin(2.0, Run("x.npy", (3, 4), "float32", (1,), 100.0, "CPU"))
        axes = panels.subplots()
        axes.plot(np.arange(3) * -1e7)
        figure.draw_without_rendering()
        shown = [label.get_text() for label in axes.get_yticklabels()]
    assert any("−" in text for text in shown)
    assert not any("$" in text for text in shown)
