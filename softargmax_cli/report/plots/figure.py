"""What all pictures share: how they look, how a figure begins, and its bytes at the end.

The look is set here and nowhere else: a matplotlibrc on the machine changes nothing. Text is text, never TeX, as names
come from files; so an axis must not use a formatter that writes "$10^2$". Colours are those of Okabe and Ito, which
everyone can tell apart.
"""

from __future__ import annotations

import functools
import io
import logging
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from softargmax_cli.errors import MissingDependencyError
from softargmax_cli.report.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, GREY, RULE, FAINT = "#1f2328", "#59636e", "#afb8c1", "#e4e8ec"
BLUE, ORANGE, GREEN, SKY = "#0072b2", "#d55e00", "#009e73", "#56b4e9"

WIDTH = 7.6
"""Inches of a figure, as of the README's."""
LINE = 0.165
"""Inches from one line of a subtitle to the next."""
LETTERS, TITLE_LETTERS = 14, 9
"""Letters of a subtitle and of a title in an inch, about."""
DPI = 200
"""Dots an inch of a .png; twice what a page shows it with, so that it is sharp on dense screens."""

_LOOK: Any = {  # of rcParams; which names there are depends on the release
    "font.family": "DejaVu Sans",  # which comes with matplotlib
    "font.size": 8.5,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": RULE,
    "axes.labelcolor": GREY,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.unicode_minus": True,
    "axes.formatter.use_mathtext": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": GREY,
    "ytick.labelcolor": GREY,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.12,
    "lines.linewidth": 1.4,
    "lines.solid_capstyle": "round",
    "svg.hashsalt": "softargmax",  # else names within the file differ from run to run
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": "softargmax"},
    "pdf": {"CreationDate": None, "Creator": "softargmax", "Producer": None},
}
"""The same picture is the same bytes: no dates, no versions."""


def require_matplotlib() -> None:
    """Raise MissingDependencyError where matplotlib is not installed."""
    try:
        import matplotlib as matplotlib
    except ImportError as error:
        if error.name != "matplotlib":  # it is there, and fails
            raise
        raise MissingDependencyError(
            "--plot draws with matplotlib, which is not installed", "pip install 'softargmax[plot]'"
        ) from None


@contextmanager
def look() -> Iterator[None]:
    """Within it figures are begun, drawn and rendered; outside, matplotlib is as it was."""
    require_matplotlib()
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells of its caches and fonts
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_LOOK)
        yield


def begin(height: float, title: str, subtitle: str, *, width: float = WIDTH, header: float = 0.62) -> Figure:
    """An empty figure of `width` × `height` inches with a title and a subtitle above what will be drawn.

    They take `header` inches, which may leave room for a legend; a longer subtitle takes more lines, and the figure
    grows with it. The end of a title is what tells files apart, so a long one loses its beginning.
    """
    from matplotlib.figure import Figure

    lines = textwrap.wrap(drawable(subtitle), int(width * LETTERS)) or [""]
    room, title = int(width * TITLE_LETTERS), drawable(title)
    height, header = (part + LINE * (len(lines) - 1) for part in (height, header))
    figure = Figure((width, height), dpi=DPI, layout="constrained", facecolor="white")
    left = 0.15 / width
    title = title if len(title) <= room else "…" + title[1 - room :]
    figure.text(left, 1 - 0.16 / height, title, fontsize=11.5, weight="bold", va="top")
    for number, line in enumerate(lines):
        figure.text(left, 1 - (0.40 + LINE * number) / height, line, fontsize=8.5, color=GREY, va="top")
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0, 0, 1, 1 - header / height))
    return figure


def rendered(figure: Figure, format: str) -> bytes:
    """The figure as a file of one of `arrays.formats.PICTURES`; the same each time."""
    file = io.BytesIO()
    figure.savefig(file, format=format, metadata=_METADATA[format])
    return file.getvalue()


def drawable(text: str) -> str:
    """`text` from outside as `printable` shows it, in characters that the font has."""
    characters = _characters()
    return "".join(c if ord(c) in characters else c.encode("unicode_escape").decode("ascii") for c in printable(text))


@functools.cache
def _characters() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())
