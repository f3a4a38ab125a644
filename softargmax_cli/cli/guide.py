"""`softargmax guide`: the topics of the guide."""

from __future__ import annotations

import sys
from importlib.resources import files
from typing import Annotated

import typer

from softargmax_cli.errors import OptionError


def guide(
    topic: Annotated[
        str | None, typer.Argument(help="A topic. Without one, the command lists all topics.", show_default=False)
    ] = None,
) -> int:
    """Explain a topic: fields, beta, modes, coordinates, formats, output, ci, python, and more.

    \b
    softargmax guide beta
    """
    pages = files("softargmax_cli.guide")
    contents = pages.joinpath("topics.txt").read_text(encoding="utf-8")
    topics = [line.split()[0] for line in contents.splitlines()]
    if topic is None:
        sys.stdout.write(contents)
        return 0
    if topic not in topics:
        raise OptionError(f"the guide has no topic {topic!r}", f"choose one of {', '.join(topics)}")
    text = pages.joinpath(f"{topic}.md").read_text(encoding="utf-8")
    if not sys.stdout.isatty():
        sys.stdout.write(text)
        return 0
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    with console.pager(styles=True):
        console.print(Markdown(text, hyperlinks=False))
    return 0
