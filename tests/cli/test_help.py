"""Help, completion and suggestions, as terminals of every kind get them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command import Inside, Softargmax
from rich.cells import cell_len as cell_width

SURROUNDINGS: dict[str, dict[str, str]] = {
    "200": {"COLUMNS": "200"},
    "80": {},
    "ascii": {"PYTHONIOENCODING": "ascii"},
}


def options_of(text: str) -> set[str]:
    """The long options that help lists at the beginnings of its lines."""
    return set(re.findall(r"(?m)^[│|]?[ *]*(?:-\w, )?(--[a-z][a-z-]+)", text))


@pytest.mark.parametrize("command", ["", "run", "sweep", "devices"])
def test_help_is_whole_everywhere(command: str, inside: Inside) -> None:
    arguments = [*filter(None, [command]), "--help" if command in ("", "devices") else "--help-all"]
    printed = {where: inside(*arguments, **variables) for where, variables in SURROUNDINGS.items()}
    known = options_of(printed["200"].raw.decode())
    assert len(known) >= {"": 4, "devices": 3}.get(command, 20)
    for where, done in printed.items():
        text = done.raw.decode(where if where == "ascii" else "utf-8")
        assert (done.code, done.err) == (0, "")
        assert options_of(text) == known, where
        assert "?" not in re.sub(r"echo \$\?", "", text), where
        assert "\x1b" not in text, where
        assert "\\u" not in text, where
        widest = max(cell_width(line.rstrip()) for line in text.splitlines())
        assert widest <= int(SURROUNDINGS[where].get("COLUMNS", "80")), where
        if command:  # examples come before options
            assert text.index(f"softargmax {command} ", text.index(command) + 20) < text.index("--help"), where


@pytest.mark.parametrize("command", ["run", "check", "sweep", "evaluate", "grad", "weights", "inspect"])
def test_help_fits_a_page_and_leaves_rare_options_to_help_all(command: str, inside: Inside) -> None:
    short, whole = (inside(command, option).out for option in ("--help", "--help-all"))
    assert len(short.splitlines()) <= 60
    assert "--help-all" in short
    assert "softargmax guide" in short
    assert options_of(whole) - options_of(short) >= {"--delimiter", "--skip", "--quiet", "--verbose"}


def test_a_table_is_the_same_at_every_width(inside: Inside) -> None:
    inside.save("v.npy", [[5, 2, 1, 2], [3.9, 4, 1, 2]])
    printed = {where: inside("run", "v.npy", "--beta", "1", **more) for where, more in SURROUNDINGS.items()}
    assert len({printed[where].raw for where in ("80", "200")}) == 1
    assert printed["80"].lines[2].split()[-1] == "scores"
    assert printed["80"].lines[4].endswith("█▃▁▃")
    for where in ("ascii",):
        lines = printed[where].raw.decode("ascii").splitlines()
        assert lines[2].split() == ["slice", "hard", "soft", "offset", "peak", "second", "spread"]
        assert lines[0] == "v.npy - float64 2 x 4 - axis 1 - beta 1 (temperature 1) - CPU"
        assert len(lines) == len(printed["80"].lines)


INPUT = "name a file, or read standard input with -: softargmax run -"
MEANT = {
    "rnu a.npy": "No such command 'rnu'. Did you mean run? try: softargmax --help",
    "insp a.npy": "No such command 'insp'. Did you mean inspect? try: softargmax --help",
    "scores a.npy": "No such command 'scores'. try: softargmax --help",
    "a.npy --beta 3": "a.npy is no command did you mean: softargmax run a.npy --beta 3",
    "- --beta 3": "- is no command did you mean: softargmax run - --beta 3",
    "file": "file is no command did you mean: softargmax run file",
    "run": f"softargmax run: no input is named {INPUT}",
    "run --btea 3": "No such option: --btea. Did you mean --beta? try: softargmax run --help",
    "run --id a": "No such option: --id. Did you mean --id-column? try: softargmax run --help",
    "run --temp 3": "No such option: --temp. Did you mean --temperature? try: softargmax run --help",
    "run --tolerance 3": "No such option: --tolerance. Did you mean --tol? try: softargmax run --help",
    "run --dim 3": "No such option: --dim. Did you mean --axis? try: softargmax run --help",
    "run --jsonl": "No such option: --jsonl. Did you mean --format jsonl? try: softargmax run --help",
    "check --junit": "No such option: --junit. Did you mean --format junit? try: softargmax check --help",
    "run --expect a": "No such option: --expect: it belongs to check try: softargmax run --help",
    "run --zzzzzz": "No such option: --zzzzzz try: softargmax run --help",
    "run -z": "No such option: -z try: softargmax run --help",
    "run -file": "No such option: -f for the file, write ./-file",
    "--rows 3 a.npy": "No such option: --rows: it belongs to run, check, grad "
    "write it after the command: softargmax run INPUT --rows ...",
    "run --input a.npy": "No such option: --input. Name files without an option; "
    "say what their numbers are with --kind. try: softargmax run --help",
    "run a.npy --axis 2 3": "--axis 2 3: several axes are one word use --axis 2,3",
    "run a.npy --axis -2, -1 --beta 3": "--axis -2 -1: several axes are one word use --axis -2,-1",
    "run a.npy --axis -1 --axis -2": "--axis is given twice give it once; several axes are one word: --axis 0,1",
    "run a.npy --beta 1 --beta=2": "--beta is given twice give it once",
    "run a.npy -o a --output b": "--output is given twice give it once",
    "run a.npy --header --no-header": "--header and --no-header contradict each other give one of them",
}
"""What is typed, and what is said of it, in two lines."""


@pytest.mark.parametrize("typed", MEANT)
def test_what_may_have_been_meant(typed: str, inside: Inside) -> None:
    inside.write("file", "")
    inside.write("-file", "")
    done = inside(*typed.split())
    assert (done.code, done.raw, done.err.count("\n")) == (2, b"", 2)
    assert " ".join(done.err.split()) == f"softargmax: error: {MEANT[typed]}"


def test_flags_may_be_given_twice(inside: Inside) -> None:
    inside.save("1", [[1, 2]])
    inside.save("a.npy", [[1, 2]])
    assert inside("run", "a.npy", "--quiet", "--quiet", "--header", "--header").code == 0
    done = inside("run", "--axis", "1", "1.npy", "a.npy")
    assert (done.code, done.err) == (0, "")


@pytest.mark.slow
def test_the_script_of_a_shell_that_is_named(softargmax: Softargmax) -> None:
    home = str(softargmax.folder)
    shown = softargmax("--show-completion", "zsh", HOME=home, USERPROFILE=home)
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith("#compdef")
    assert "_SOFTARGMAX_COMPLETE" in shown.out
    done = softargmax("--install-completion", "zsh", HOME=home, USERPROFILE=home)
    assert (done.code, done.err) == (0, "")
    (installed,) = (path for path in Path(home).rglob("*softargmax*") if path.is_file())
    assert installed.read_text().strip() == shown.out.strip()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt" or shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_files_and_formats(softargmax: Softargmax) -> None:
    softargmax.write("scores.csv", "1,2\n")
    softargmax.write("softargmax", f'#!/bin/sh\nexec {sys.executable} -m softargmax_cli "$@"\n')
    os.chmod(softargmax.folder / "softargmax", 0o755)
    script = softargmax("--show-completion", "bash").out
    asked = """
    ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
            _softargmax_completion softargmax; echo "${COMPREPLY[*]}"; }
    ask softargmax run --format js
    ask softargmax run sco
    complete -p softargmax
    """
    environment = softargmax.environment(PATH=f"{softargmax.folder}{os.pathsep}{os.environ['PATH']}")
    done = subprocess.run(
        ["bash", "--norc", "-c", script + asked],
        capture_output=True,
        text=True,
        cwd=softargmax.folder,
        env=environment,
        check=True,
        timeout=100,
    )
    formats, files, rule = done.stdout.splitlines()
    assert formats == "json jsonl"
    assert files == ""
    assert "-o default" in rule  # which completes names of files where nothing else is offered
