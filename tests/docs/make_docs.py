"""Make what the README and the guide show of the tool: python tests/docs/make_docs.py

Each ```console block of the README and of the guide holds what its commands, the lines after `$`, print in a folder of
their own. The tables of fields hold the meanings that stand in the code. samples/output.svg is what `PICTURED` prints
to a terminal.

Commands run on the CPU. Numbers that differ only in digits that another processor may round otherwise stay as they
are. A command that is more than `softargmax` and its arguments needs a POSIX shell, and what else it names (jq); where
these are missing, or zarr where it names a store, it is passed over.
"""

from __future__ import annotations

import html
import io
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from command import Inside  # noqa: E402

from softargmax_cli.reduction.fields import COMPARED, DIFFERENTIATED, FIELDS  # noqa: E402

README = ROOT / "README.md"
GUIDE = ROOT / "softargmax_cli" / "guide"
DOCS = (README, *sorted(GUIDE.glob("*.md")))
PICTURE = ROOT / "samples" / "output.svg"
PICTURED = "softargmax run samples/class_scores.csv --id-column image --beta 2"

TABLES = {"field": FIELDS, "further field": (*COMPARED, *DIFFERENTIATED)}
"""The fields of each table, by the heading of its first column."""
CONSOLE = re.compile(r"(?ms)^```console\n(.*?)^```$")
_TEXT = re.compile(r'(?s)<text (class="[^"]*") x="([^"]*)" y="([^"]*)" textLength="([^"]*)" ([^>]*)>(.*?)</text>')
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


class CannotRun(Exception):
    """A command needs a program that this machine has not."""


@dataclass(frozen=True)
class Shown:
    """A command, and what the page says it prints: both streams, as on a terminal."""

    command: str
    output: str


def sessions(text: str) -> list[list[Shown]]:
    """The console blocks of a page. The commands of one block run one after the other in one folder."""
    return [_session(body) for body in CONSOLE.findall(text)]


def _session(body: str) -> list[Shown]:
    commands = re.split(r"(?m)^\$ ", body)
    if commands[0] or len(commands) < 2:
        raise ValueError(f"a console block begins with a command after '$ ', not with {body[:60]!r}")
    return [Shown(command, output) for command, _, output in (part.partition("\n") for part in commands[1:])]


def environment(**variables: str) -> dict[str, str]:
    """For a run that prints the same everywhere: on the CPU, in UTF-8, nothing forced on Rich."""
    forced = ("GITHUB_ACTIONS", "FORCE_COLOR", "PY_COLORS", "TTY_COMPATIBLE", "TERMINAL_WIDTH", "COLUMNS", "NO_COLOR")
    kept = {name: value for name, value in os.environ.items() if name not in forced}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path, "PYTHONUTF8": "1", "CUDA_VISIBLE_DEVICES": "-1", **variables}


def ours(command: str) -> list[str]:
    """The arguments that run a command of ours, without a shell."""
    program, *arguments = shlex.split(command)
    if program != "softargmax":
        raise ValueError(f"not a command of ours: {command}")
    return [sys.executable, "-m", "softargmax_cli", *arguments]


def folder_with_samples(folder: Path) -> Path:
    """`folder`, with the samples in it, and programs named `softargmax` and `python` for a shell."""
    shutil.copytree(ROOT / "samples", folder / "samples")
    (folder / ".bin").mkdir()
    for name, arguments in [("softargmax", "-m softargmax_cli "), ("python", "")]:
        script = folder / ".bin" / name
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments}"$@"\n', encoding="utf-8")
        script.chmod(0o755)
    return folder


def output_of(command: str, folder: Path) -> str:
    """What a command prints in a folder made by `folder_with_samples`.

    It must succeed, unless it ends with `echo $?` to show that it does not. CannotRun where the command needs a
    shell, jq or zarr, and there is none.
    """
    if ".zarr" in command and find_spec("zarr") is None:
        raise CannotRun(command)
    alone, asked, _ = command.partition("; echo $?")
    if alone.startswith("softargmax ") and not re.search(r"[|&;<>$`*]", alone):
        done = Inside(folder).printed(*shlex.split(alone)[1:], CUDA_VISIBLE_DEVICES="-1")
        code, printed = (0, f"{done.out}{done.code}\n") if asked else (done.code, done.out)
    elif os.name == "nt" or not all(map(shutil.which, ["sh", *re.findall(r"\bjq\b", command)])):
        raise CannotRun(command)
    else:
        code, printed = _run_in_a_shell(command, folder)
    if code or ("softargmax: error:" in printed and not asked):
        raise RuntimeError(f"{command}\nended with exit code {code}:\n{printed}")
    return printed


def _run_in_a_shell(command: str, folder: Path) -> tuple[int, str]:
    """Run a command in a shell that knows ours; its exit code, and what it prints."""
    path = os.pathsep.join([str(folder / ".bin"), os.environ.get("PATH", os.defpath)])
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env=environment(PATH=path),
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=100,
    )
    return done.returncode, done.stdout


def outputs(session: list[Shown], folder: Path) -> list[str]:
    """What the commands of a block print now, where `folder` is empty. CannotRun as for `output_of`."""
    folder_with_samples(folder)
    return [output_of(shown.command, folder) for shown in session]


def alike(shown: str, now: str) -> bool:
    """Whether two texts are the same up to spaces, and up to a millionth in numbers with a decimal point."""
    if _NUMBER.sub("#", shown).split() != _NUMBER.sub("#", now).split():
        return False
    return all(map(_close, _NUMBER.findall(shown), _NUMBER.findall(now)))


def _close(shown: str, now: str) -> bool:
    if "." not in shown + now:
        return shown == now
    decimals = len(shown.partition(".")[2]) if "e" not in shown else 0
    rounded = 1.1 * 10.0**-decimals if decimals >= 3 else 0.0  # what is shown may end before that millionth
    return math.isclose(float(shown), float(now), rel_tol=1e-6, abs_tol=max(2e-6, rounded))


def renewed(text: str) -> str:
    """Run the console blocks of a text again."""

    def console(match: re.Match[str]) -> str:
        (session,) = sessions(match[0])
        with tempfile.TemporaryDirectory() as folder:
            try:
                now = outputs(session, Path(folder))
            except CannotRun as missing:
                print(f"passed over: {missing}", file=sys.stderr)
                return match[0]
        kept = [old.output if alike(old.output, new) else new for old, new in zip(session, now, strict=True)]
        lines = [f"$ {old.command}\n{output}" for old, output in zip(session, kept, strict=True)]
        return "```console\n" + "".join(lines) + "```"

    return CONSOLE.sub(console, text)


def with_fields(text: str) -> str:
    """Write the rows of the tables of fields again."""
    for heading, fields in TABLES.items():
        before, head, below = text.partition(f"| {heading} | meaning |\n|---|---|\n")
        rows = [f"| `{field.name}` | {field.meaning} |\n".replace("|offset|", r"\|offset\|") for field in fields]
        if head:
            text = before + head + "".join(rows) + re.sub(r"\A(?:\|.*\n)*", "", below)
    return text


def printed_to_a_terminal(command: str) -> str:
    """What a command prints where standard output is a terminal, colours included. POSIX only."""
    import pty

    reader, terminal = pty.openpty()
    with subprocess.Popen(
        ours(command),
        cwd=ROOT,
        env=environment(TERM="xterm-256color", COLUMNS="120"),
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(terminal)
        printed = b""
        try:
            while part := os.read(reader, 1 << 16):
                printed += part
        except OSError:  # how Linux says that the other end is closed
            pass
        os.close(reader)
        assert process.stderr is not None
        problem = process.stderr.read().decode()
    if process.returncode or problem:
        raise RuntimeError(f"{command}\nended with exit code {process.returncode}:\n{problem}")
    return printed.decode().replace("\r\n", "\n")


def drawn(command: str, printed: str) -> str:
    """A terminal in which a command was typed and answered, as SVG without anything to load from elsewhere."""
    from rich._export_format import CONSOLE_SVG_FORMAT
    from rich.console import Console
    from rich.text import Text

    text = Text.assemble(("$ ", "dim"), (command, "bold"), "\n\n").append_text(Text.from_ansi(printed.rstrip("\n")))
    width = max(line.cell_len for line in text.split("\n"))
    console = Console(record=True, width=width, file=io.StringIO(), color_system="truecolor", force_terminal=True)
    console.print(text)
    layout = re.sub(r"(?s)@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT)
    layout = layout.replace("Fira Code, monospace", "Fira Code, Menlo, Consolas, DejaVu Sans Mono, monospace")
    svg = console.export_svg(title="softargmax", code_format=layout, unique_id="output")
    svg = _TEXT.sub(_words_in_place, svg)
    return "\n".join(line.rstrip() for line in svg.splitlines() if line.strip()) + "\n"


def _words_in_place(match: re.Match[str]) -> str:
    """Each cell of a line in an element of its own: not every viewer keeps spaces, or has this font."""
    style, x, y, length, end, line = match.groups()
    line = html.unescape(line).replace("\N{NO-BREAK SPACE}", " ")
    step = float(length) / len(line)
    return "\n".join(
        f'<text {style} x="{float(x) + step * cell.start():g}" y="{y}" textLength="{step * len(cell[0]):g}" {end}>'
        f"{html.escape(cell[0]).replace(' ', '&#160;')}</text>"
        for cell in re.finditer(r"\S+(?: \S+)*", line)
    )


def text_in(svg: str) -> str:
    """The lines of text in a picture made by `drawn`."""
    from xml.etree import ElementTree

    lines: dict[str, list[str]] = {}
    for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        if "clip-path" in element.attrib:  # not the window's title
            lines.setdefault(element.attrib["y"], []).append((element.text or "").replace("\N{NO-BREAK SPACE}", " "))
    return "\n".join("  ".join(parts) for parts in lines.values())


def main() -> None:
    """Write what is generated."""
    for file in DOCS:
        file.write_text(renewed(with_fields(file.read_text(encoding="utf-8"))), encoding="utf-8", newline="\n")
    PICTURE.write_text(drawn(PICTURED, printed_to_a_terminal(PICTURED)), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
