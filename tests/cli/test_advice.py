"""Every option that an error, a note or a help text speaks of is one that a command has."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from softargmax_cli import reduce
from softargmax_cli.cli.usage import COMMANDS, command_of

PACKAGE = Path(__file__).parents[2] / "softargmax_cli"
OPTIONS = {
    name
    for command in map(command_of, COMMANDS)
    for parameter in command.params
    for name in (*parameter.opts, *parameter.secondary_opts)
} | {"--help", "--version", "--install-completion", "--show-completion"}
ELSEWHERE = {"--scheduler-file", "--xla", "--no"}
"""Options of Dask and of XLA, and the beginning of every option that says no."""


def sources() -> list[Path]:
    """Return the modules; `cli.usage` is left out, since it lists options that people mistake for ours."""
    return sorted(file for file in PACKAGE.rglob("*.py") if file.name != "usage.py")


def test_options_in_texts_exist() -> None:
    unknown = {}
    for file in sources():
        text = file.read_text(encoding="utf-8")
        named = {f"--{name.replace('_', '-')}" for name in re.findall(r"parameter\(\s*[\"'](\w+)[\"']", text)}
        written = set(re.findall(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*(?![\w-])", text))
        unknown[file.name] = (named | written) - ELSEWHERE - OPTIONS
    assert not any(unknown.values()), unknown


def test_what_python_is_told_to_pass_is_an_argument() -> None:
    arguments = set(inspect.signature(reduce).parameters)
    told = {
        name
        for file in sources()
        if file.relative_to(PACKAGE).parts[0] in ("reduction", "api")
        for name in re.findall(r"parameter\(\s*[\"'](\w+)[\"']", file.read_text(encoding="utf-8"))
    }
    assert told <= arguments
