"""The look of every picture, the header of a figure, and its bytes.

A matplotlibrc on the machine changes nothing. Text is never TeX, as names come from files. Colours are those of Okabe
and Ito, which everyone can tell apart. The same picture is the same bytes.
"""

from __future__ import annotations

import io
import logging
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from softargmax_cli.errors import MissingDependencyError, parameter
from softargmax_cli.report.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 200
"""Dots an inch of a .png; twice what a page shows it with, so that it is sharp on dense screens."""
WIDTH, HEADER, FOOT, LINE = 7.6, 0.84, 0.3, 0.165
"""Inches: of a figure, of what stands above and below its panels, and of a line of the subtitle."""
INK, GREY, RULE, FAINT = "#1f2328", "#59636e", "#afb8c1", "#e4e8ec"
BLUE, ORANGE, SKY = "#0072b2", "#d55e00", "#56b4e9"

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
    "axes.formatter.use_mathtext": False,
    "axes.formatter.useoffset": False,
    "grid.color": FAINT,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": GREY,
    "ytick.labelcolor": GREY,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
    "lines.linewidth": 1.4,
    "lines.solid_capstyle": "round",
    "svg.hashsalt": "softargmax",  # else names within the file differ from run to run
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}
_METADATA: dict[str, dict[str, Any]] = {  # no dates, no versions
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": "softargmax"},
    "pdf": {"CreationDate": None, "Creator": "softargmax", "Producer": None},
}


@contextmanager
def look() -> Iterator[None]:
    """Begin, draw and render figures within this block; outside, matplotlib is as it was.

    Raises MissingDependencyError where matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        if error.name != "matplotlib":  # it is there, and fails
            raise
        what = f"{parameter('plot')} draws with matplotlib, which is not installed"
        raise MissingDependencyError(what, "pip install matplotlib\nit is the extra named plot") from None
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells of its caches and fonts
    with warnings.catch_warnings(), matplotlib.rc_context():
        warnings.simplefilter("ignore")  # of letters that the font has not, for which it draws boxes
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_LOOK)
        yield


def begin(height: float, title: str, subtitle: str, header: float = HEADER) -> tuple[Figure, float]:
    """Return an empty figure below a title and a subtitle, and the inches that its header takes.

    A long subtitle takes more lines, and the figure grows with it; a long title loses its beginning, as the end tells
    files apart.
    """
    from matplotlib.figure import Figure

    lines, title = textwrap.wrap(printable(subtitle), int(WIDTH * 14)), printable(title)
    height, header = (part + LINE * max(len(lines) - 1, 0) for part in (height, header))
    figure = Figure((WIDTH, height), dpi=DPI, layout="constrained", facecolor="white")
    left, room = 0.15 / WIDTH, int(WIDTH * 9)
    title = title if len(title) <= room else "…" + title[1 - room :]
    figure.text(left, 1 - 0.16 / height, title, fontsize=11.5, weight="bold", va="top")
    figure.text(left, 1 - 0.4 / height, "\n".join(lines), fontsize=8.5, color=GREY, va="top")
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0, 0, 1, 1 - header / height))
    return figure, header


def rendered(figure: Figure, format: str) -> bytes:
    """Return the figure as a file: png, svg or pdf."""
    file = io.BytesIO()
    figure.savefig(file, format=format, metadata=_METADATA[format])
    return file.getvalue()
