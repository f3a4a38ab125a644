"""Draws the README's figures: python tests/docs/make_pictures.py

| in samples/     | shows                                                                                    |
|-----------------|------------------------------------------------------------------------------------------|
| beta.svg        | what a larger β does: soft comes closer to hard; its gradient grows, then starves        |
| modes.svg       | soft between the two peaks of a heatmap, and beside hard with --window                   |
| coordinates.svg | the three kinds of --coords below the same cells                                         |
| ratings.png     | what `PLOTTED` draws; each release of matplotlib may do it otherwise, so a test compares |
|                 | it as a picture                                                                          |

Results are the tool's own, run on the CPU on the samples; curves, weights and gradients are computed from the samples
with NumPy. Lengths are rounded to a tenth of a pixel, so that the files are the same on every platform.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from make_docs import ROOT, Inside

FOLDER = ROOT / "samples"
HEATMAPS = np.load(FOLDER / "heatmaps.npy").astype(np.float64)  # person, keypoint, y, x
WIDTH = 760
INK, GREY, RULE, FAINT = "#1f2328", "#59636e", "#afb8c1", "#e4e8ec"
BLUE, ORANGE, GREEN, SKY = "#0072b2", "#d55e00", "#009e73", "#56b4e9"  # of Okabe and Ito: told apart by everyone
SANS = "-apple-system, 'Segoe UI', Helvetica, Arial, 'DejaVu Sans', sans-serif"
MONO = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
DASHED = {"stroke_dasharray": "4 3", "fill": "none"}

DEFAULT = 100
MAPS = "run samples/heatmaps.npy --axis -2,-1"
AT_BETA = {**{beta: f"{MAPS} --beta {beta}" for beta in (1, 3, 10, 30)}, DEFAULT: MAPS}
TWO_PEAKS = (1, 16)  # person, keypoint
WINDOW, CELLS = 3, 4
WINDOWED = f"{MAPS} --window {WINDOW}"
COORDS = {kind: f"run - --kind probs --coords {kind}" for kind in ("index", "corners", "centers")}
PLOTTED = "run samples/ratings.csv --id-column film --kind probs --values samples/stars.csv --rows 4 --plot"
Slices = list[dict[str, Any]]


def answers() -> dict[str, Slices]:
    """Commands, and what the tool says to each. `-` is a few slices, each with all weight in another cell."""
    cells = "\n".join(",".join(map(str, row)) for row in np.eye(CELLS))

    def answer(command: str) -> Slices:
        run = Inside(ROOT)(*command.split(), "--quiet", "--format", "json", stdin=cells.encode())
        return json.loads(run.out)["slices"]

    return {command: answer(command) for command in (*AT_BETA.values(), WINDOWED, *COORDS.values())}


def length(value: float) -> str:
    """A length or a place, in tenths of a pixel."""
    return f"{round(value, 1) + 0.0:g}"


def told(value: float, digits: int) -> str:
    """A number for people, with a true minus sign."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def tag(name: str, *inside: str, **attributes: object) -> str:
    """An element. In the names of attributes `_` stands for `-`."""
    written = "".join(' {}="{}"'.format(key.replace("_", "-"), value) for key, value in attributes.items())
    return f"<{name}{written}>{''.join(inside)}</{name}>"


def words(x: float, y: float, text: str, fill: str = INK, anchor: str = "start", weight: int = 400, **more: Any) -> str:
    """A line of text that begins at x, or has its middle or its end there."""
    places = {"x": length(x), "y": length(y), "text_anchor": anchor}
    return tag("text", html.escape(text, quote=False), **places, fill=fill, font_weight=weight, **more)


def path(x: Iterable[float], y: Iterable[float], end: str = "", fill: str = "none", **more: Any) -> str:
    """A line through places; `end="z"` closes it."""
    places = "L".join(f"{length(a)} {length(b)}" for a, b in zip(x, y, strict=True))
    return tag("path", d=f"M{places}{end}", fill=fill, **more)


def box(x: float, y: float, width: float, height: float, **more: Any) -> str:
    """A rectangle."""
    return tag("rect", x=length(x), y=length(y), width=length(width), height=length(height), **more)


def ring(x: float, y: float, r: float, stroke: str, fill: str = "#fff", stroke_width: float = 2.5) -> str:
    """A circle."""
    return tag("circle", cx=length(x), cy=length(y), r=r, fill=fill, stroke=stroke, stroke_width=stroke_width)


def card(height: float, title: str, subtitle: str, parts: list[str]) -> str:
    """A whole picture, on a white card that can be read on a page of any colour."""
    frame = box(0.5, 0.5, WIDTH - 1, height - 1, rx=10, fill="#fff", stroke=RULE)
    body = "\n".join([frame, words(24, 34, title, weight=600, font_size=17), words(24, 55, subtitle, GREY), *parts])
    size = f'width="{WIDTH}" height="{length(height)}" viewBox="0 0 {WIDTH} {length(height)}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{SANS}" font-size="12.5">\n{body}\n</svg>\n'


def trade(beta: float) -> list[tuple[float, float]]:
    """For every heatmap: the distance |soft − hard|, and the norm of soft's gradient, ‖β p (i − soft)‖."""
    places = np.indices(HEATMAPS.shape[-2:]).reshape(2, -1)
    found = []
    for scores in HEATMAPS.reshape(-1, places.shape[1]):
        weights = np.exp(beta * (scores - scores.max()))
        weights /= weights.sum()
        soft = (places * weights).sum(axis=1)
        gradient = beta * weights * (places - soft[:, None])
        found.append((math.dist(soft, places[:, scores.argmax()]), float(np.sqrt((gradient**2).sum()))))
    return found


def beta_picture(known: dict[str, Slices]) -> str:
    """Two panels above one β axis, each with a logarithmic scale of five decades."""
    left, right, tall = 76, 736, 150
    betas = np.logspace(0, 3, 73)
    curves = np.quantile([trade(beta) for beta in betas], [0.25, 0.5, 0.75], axis=1)  # quarter, β, what
    dots = {beta: np.median([math.hypot(*each["offset"]) for each in known[run]]) for beta, run in AT_BETA.items()}

    def across(beta: Any) -> Any:
        return left + (right - left) * np.log10(beta) / 3

    regimes = [(2.7, "the whole map pulls"), (32, "the pixels of the peak share"), (375, "one pixel takes all")]
    parts = [words(across(beta), 84, regime, GREY, "middle", font_style="italic") for beta, regime in regimes]
    at_default = [told(dots[DEFAULT], 3), told(np.median(trade(DEFAULT), axis=0)[1], 1)]
    distance = (126, BLUE, "Distance from soft to hard", "pixels")
    gradient = (324, GREEN, "Gradient of soft with respect to the scores", "pixels per unit of score")
    for panel, (top, colour, what, unit) in enumerate([distance, gradient]):

        def up(value: Any, top: float = top) -> Any:
            return top + tall * (2 - np.log10(np.maximum(value, 1e-4))) / 5

        parts += [words(left, top - 11, what, colour, weight=600), words(right, top - 11, unit, GREY, "end")]
        for y, tick in [(up(tick), f"{tick}") for tick in (0.001, 0.01, 0.1, 1, 10, 100)]:
            parts += [path([left, right], [y, y], stroke=FAINT), words(left - 10, y + 4, tick, GREY, "end")]
        parts += [path([across(tick)] * 2, [top, top + tall], stroke=FAINT) for tick in (1, 10, 1000)]
        x, (low, median, high) = across(betas), up(curves[..., panel])
        band = path([*x, *x[::-1]], [*low, *high[::-1]], "z", fill=colour, fill_opacity=0.16)
        parts.append(tag("clipPath", box(left, top, right - left, tall), id=f"panel{panel}"))
        parts.append(tag("g", band, path(x, median, stroke=colour, stroke_width=2.5), clip_path=f"url(#panel{panel})"))
        parts.append(path([across(DEFAULT)] * 2, [top, top + tall], stroke=INK, **DASHED))
        parts.append(words(across(DEFAULT) + 9, up(float(at_default[panel])) - 9, at_default[panel], weight=600))
        if panel == 0:
            parts += [ring(across(beta), up(d), 4.5, colour, stroke_width=2) for beta, d in dots.items()]
    y = top + tall + 19
    parts += [words(left - 10, y, "β =", INK, "end", 600), words(right, y, "1000", INK, "end")]
    for beta, name, weight in [(1, "1", 400), (10, "10", 400), (DEFAULT, f"{DEFAULT}, the default", 600)]:
        parts.append(words(across(beta), y, name, INK, "middle", weight))
    what = "The 34 maps of samples/heatmaps.npy. Line: their median. Band: the middle half. ○ from softargmax run."
    return card(y + 21, "Choosing β: near to hard, or something to learn from", what, parts)


def modes_picture(known: dict[str, Slices]) -> str:
    """A heatmap with two peaks, without and with a window: the map, the weight of its columns, the tool's result."""
    halves = [*mode(24, MAPS, known[MAPS]), *mode(400, WINDOWED, known[WINDOWED])]
    what = "Map 1, 16 of samples/heatmaps.npy: the left ankle, or the right? Below: the weight of each column, β = 100."
    return card(440, "Two modes: soft lies where nobody is, until it looks only around hard", what, halves)


def mode(left: int, command: str, slices: Slices) -> list[str]:
    """One half of the picture."""
    scores, (result,) = HEATMAPS[TWO_PEAKS], [each for each in slices if each["index"] == list(TWO_PEAKS)]
    hard, soft = result["hard"], result["soft"]
    first, cell, top, tall = 50, 7, 108, 96  # the rows above the first hold noise
    right, bottom = left + scores.shape[1] * cell, top + (scores.shape[0] - first) * cell
    floor = bottom + 132

    def at(y: float, x: float) -> tuple[float, float]:
        return left + (x + 0.5) * cell, top + (y - first + 0.5) * cell

    parts = [words(left, top - 13, command.partition(".npy ")[2], weight=600, font_family=MONO)]
    parts += shaded(scores[first:], left, top, cell)
    parts.append(box(left, top, right - left, bottom - top, fill="none", stroke=RULE))
    weights = np.exp(DEFAULT * (scores - scores.max()))
    if command == WINDOWED:
        weights[np.abs(np.indices(scores.shape) - np.reshape(hard, (2, 1, 1))).max(axis=0) > WINDOW] = 0
        x, y = at(hard[0] - WINDOW - 0.5, hard[1] - WINDOW - 0.5)
        parts.append(box(x, y, (2 * WINDOW + 1) * cell, (2 * WINDOW + 1) * cell, stroke=INK, **DASHED))
    for column, weight in enumerate(weights.sum(axis=0) / weights.sum()):
        x, y = left + column * cell, floor - tall * weight
        if weight > 1e-3:
            parts.append(box(x, y, cell, tall * weight, fill=SKY))
        if weight > 0.1:
            x, anchor = (x - 6, "end") if column == hard[1] else (x + cell + 6, "start")
            parts.append(words(x, y + 10, told(weight, 3), INK, anchor))
    parts.append(path([left, right], [floor, floor], stroke=RULE))
    parts += [words(at(0, x)[0], floor + 17, f"{x}", GREY, "middle") for x in range(0, 48, 10)]
    (hard_x, hard_y), (soft_x, soft_y) = at(*hard), at(*soft)
    parts.append(path([soft_x, soft_x], [soft_y, floor], stroke=BLUE, stroke_width=2))
    parts.append(path([hard_x, hard_x], [hard_y + 7, floor], stroke=ORANGE, stroke_width=2, **DASHED))
    parts += [ring(hard_x, hard_y, 7, ORANGE, "none"), ring(soft_x, soft_y, 3, BLUE, BLUE)]
    y = bottom + 21
    parts += [words(hard_x - 7, y, "hard", ORANGE, "end", 600), words(soft_x + 7, y, "soft", BLUE, weight=600)]
    for name, x, colour in [("hard", 0, ORANGE), ("soft", 66, BLUE), ("offset", 184, INK), ("second", 292, INK)]:
        values = [told(value, 0 if name == "hard" else 3) for value in np.ravel(result[name])]
        x, y = left + x, floor + 49
        parts += [words(x, y, name, GREY), words(x, y + 19, ", ".join(values), colour, weight=600)]
    return parts


def shaded(scores: np.ndarray, left: int, top: int, cell: int) -> Iterable[str]:
    """A map in seven greys: for each, the cells that have it."""
    shades = np.clip((scores * 8).round(), 0, 7)
    for shade in range(1, 8):
        at = [(left + x * cell, top + y * cell) for y, x in np.argwhere(shades == shade)]
        cells = "".join(f"M{x} {y}h{cell}v{cell}h-{cell}z" for x, y in at)
        grey = 250 - 26 * shade
        yield tag("path", d=cells, fill=f"rgb({grey - 6},{grey - 2},{grey + 3})", shape_rendering="crispEdges")


def coordinates_picture(known: dict[str, Slices]) -> str:
    """A row of cells, and below it a ruler for each kind of coordinate."""
    left, cell, top, tall = 208, 132, 80, 44
    edges, middles = [left, left + CELLS * cell], [left + (i + 0.5) * cell for i in range(CELLS)]
    fills = ["#f0f8fd", "#ddf1fc"]
    parts = [words(24, top + 27, f"n = {CELLS} cells", weight=600)]
    parts += [box(left + i * cell, top, cell, tall, fill=fills[i % 2], stroke=SKY) for i in range(CELLS)]
    y = top + tall - 32
    formulas = {"index": "i", "corners": "2i / (n − 1) − 1", "centers": "(2i + 1) / n − 1"}
    for (kind, formula), colour in zip(formulas.items(), (INK, ORANGE, BLUE), strict=True):
        above, y = y + 32, y + 70
        parts += [path([x, x], [above, y], stroke=RULE, stroke_dasharray="2 4") for x in middles]
        name = words(24, y - 3, f"--coords {kind}", colour, weight=600, font_family=MONO)
        ends = edges if kind == "centers" else [middles[0], middles[-1]]
        parts += [name, words(24, y + 16, formula, GREY), path(ends, [y, y], stroke=colour, stroke_width=2.5)]
        if kind == "centers":
            parts += [path([x, x], [y - 8, y + 8], stroke=colour, stroke_width=2.5) for x in edges]
            parts += [words(edges[0], y + 24, "−1", GREY, "middle"), words(edges[1], y + 24, "1", GREY, "middle")]
        for x, each in zip(middles, known[COORDS[kind]], strict=True):
            value = f"{each['soft']:.4g}".replace("-", "−")
            parts += [ring(x, y, 5, colour), words(x, y + 24, value, INK, "middle", 600)]
    what = "corners puts −1 and 1 at the middles of the first and the last cell, centers at the outer edges."
    return card(y + 44, "Three units for the same place", what, parts)


def plotted(file: Path) -> None:
    """Draw the picture that the tool itself draws."""
    done = Inside(ROOT)(*PLOTTED.split(), str(file), "--force", "--quiet")
    assert done.code == 0, done.err


def pictures(known: dict[str, Slices]) -> dict[str, str]:
    """The name of each picture, and what its file holds."""
    makers = {"beta.svg": beta_picture, "modes.svg": modes_picture, "coordinates.svg": coordinates_picture}
    return {name: make(known) for name, make in makers.items()}


def main() -> None:
    """Write the pictures."""
    for name, new in pictures(answers()).items():
        (FOLDER / name).write_text(new, encoding="utf-8", newline="\n")
    plotted(FOLDER / "ratings.png")


if __name__ == "__main__":
    main()
