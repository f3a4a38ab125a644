"""`softargmax guide`: the topics of the guide."""

from __future__ import annotations

import sys
from importlib.resources import files
from typing import Annotated

import typer

from softargmax_cli.errors import OptionError

TOPICS = (
    ("fields", "how to read a result: every field, the summary, the accuracy"),
    ("beta", "which β, sub-pixel accuracy, gradients"),
    ("modes", "two peaks, and windows"),
    ("coordinates", "axes, units, costs and probabilities, NaN and infinities"),
    ("formats", "what can be read"),
    ("output", "what is written"),
    ("ci", "checks, exit codes, environment variables"),
    ("python", "the function, the Keras layer and reduce"),
    ("cluster", "Dask and Zarr"),
    ("speed", "time and memory beside what people use today"),
    ("limits", "what is not supported"),
    ("security", "what is promised, and what is trusted"),
    ("changes", "what is new"),
)


def guide(
    topic: Annotated[
        str | None, typer.Argument(help="A topic; without one, all are listed.", show_default=False)
    ] = None,
) -> int:
    """Explain a topic: fields, beta, modes, coordinates, formats, output, ci, python, and more.

    \b
    softargmax guide beta
    """
    if topic is None:
        width = max(len(name) for name, _ in TOPICS)
        for name, meaning in TOPICS:
            print(f"{name:{width}}  {meaning}")
        return 0
    if topic not in dict(TOPICS):
        raise OptionError(f"the guide has no topic {topic!r}", f"choose one of {', '.join(dict(TOPICS))}")
    text = files("softargmax_cli.guide").joinpath(f"{topic}.md").read_text(encoding="utf-8")
    if not sys.stdout.isatty():
        sys.stdout.write(text)
        return 0
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    with console.pager(styles=True):
        console.print(Markdown(text, hyperlinks=False))
    return 0
