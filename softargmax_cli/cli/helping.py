"""Help that every stream can show."""

from __future__ import annotations

import sys
from typing import Any

from typer.core import TyperCommand, TyperGroup

from softargmax_cli.report.text import PLAIN, signs_of

WORDS = str.maketrans({"β": "beta", "…": "...", "−": "-", "×": "x", "–": "-"})
"""What help writes where a stream has no such letters; before lines are broken, so that frames stay straight."""


def _spell(command: TyperCommand | TyperGroup) -> None:
    if signs_of(sys.stdout) is PLAIN:
        listed = command.commands.values() if isinstance(command, TyperGroup) else ()
        for each in (command, *command.params, *listed):
            if text := getattr(each, "help", None):
                setattr(each, "help", text.translate(WORDS))  # noqa: B010 - not every parameter has one


class Command(TyperCommand):
    """A command whose help is spelt for standard output."""

    def get_help(self, ctx: Any) -> str:
        _spell(self)
        return super().get_help(ctx)


class Group(TyperGroup):
    """The same of the program itself."""

    def get_help(self, ctx: Any) -> str:
        _spell(self)
        return super().get_help(ctx)
