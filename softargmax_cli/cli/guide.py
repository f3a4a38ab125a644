"""`softargmax guide`: the topics of the guide."""

from __future__ import annotations

import sys
from importlib.resources import files
from typing import Annotated

import typer

from softargmax_cli.errors import OptionError

TOPICS = {
    "fields": "how to read a result: every field, the summary, the accuracy",
    "beta": "how to choose β, sub-pixel accuracy, errors against truth, gradients",
    "modes": "slices with two peaks, and windows",
    "coordinates": "axes, units, circles, costs and probabilities, NaN and infinities",
    "formats": "formats that can be read, tables, URLs",
    "output": "formats that can be written, several inputs, pictures",
    "ci": "checks, exit codes, environment variables",
    "python": "the function, the Keras layer and reduce",
    "cluster": "arrays too large for one machine: Dask and Zarr",
    "speed": "time and memory, compared with scripts",
    "limits": "platforms, and what is not supported",
    "security": "hostile files, and what the tool trusts",
    "changes": "what is new in each version",
}


def guide(
    topic: Annotated[
        str | None, typer.Argument(help="A topic. Without one, the command lists all topics.", show_default=False)
    ] = None,
) -> int:
    """Explain a topic: fields, beta, modes, coordinates, formats, output, ci, python, and more.

    \b
    softargmax guide beta
    """
    if topic is None:
        width = max(map(len, TOPICS))
        print("\n".join(f"{name:{width}}  {meaning}" for name, meaning in TOPICS.items()))
        return 0
    if topic not in TOPICS:
        raise OptionError(f"the guide has no topic {topic!r}", f"choose one of {', '.join(TOPICS)}")
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
