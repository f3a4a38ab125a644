"""Commands that cannot be carried out: what is said, and that nothing is lost. Names that try to be more than names."""

from __future__ import annotations

import json
import os
import shlex

import numpy as np
import pytest
from command import TUTORIAL, Inside

START = "softargmax: error: "
LONG = "x" * 251 + ".npy"
"""As long as a name may be on common file systems."""
READING = "-o old.csv --force"
"""Of commands whose input is refused: a result that must stay."""
ITSELF = "the result would replace what it is made of"
FINITE = "the inverse temperature must be a finite number above 0"
TWO = "the array has 2 axes (shape (3, 4))"

USES: list[tuple[str, str, str]] = [
    (f"run - {READING}", "<stdin>: empty", "still to write it"),
    (f"run /dev/null {READING}", "/dev/null: empty", "still to write it"),
    *(
        (f"{typed} tutorail.npy", "tutorail.npy: no such file", "did you mean tutorial.npy?")
        for typed in ("run", "check", "sweep", "grad", "inspect")
    ),
    (f"run nowhere/tutorial.npy {READING}", "nowhere/tutorial.npy: no such file", "check the name"),
    (f"run something.else {READING}", "something.else: no such file", "check the name"),
    (f"run scores.npy {READING}", "scores.npy: no such file", r"did you mean sco\x1bres.npy?"),
    (f"run x{LONG} {READING}", f"x{LONG}: cannot be read: ", "check the name"),
    ("run tutorial.npy -o none/y.csv", "none/y.csv: No such file or directory", "make the directory first"),
    ("run tutorial.npy -o none/none/", "none/none/: the directory cannot be made", "make the one above it first"),
    (f"run tutorial.npy -o x{LONG}", f"x{LONG}: ", "choose a shorter name"),
    ("run tutorial.npy -o old.csv", "old.csv: the file exists", "replace it with --force"),
    ("run tutorial.npy -o ./tutorial.npy --force", f"./tutorial.npy: {ITSELF}", "write it to another file"),
    ("run tutorial.npy -o linked.npy --force", f"linked.npy: {ITSELF}", "write it to another file"),
    ("run tutorial.npy -o pointing.npy --force", f"pointing.npy: {ITSELF}", "write it to another file"),
    ("run tutorial.npy --values four.npy -o four.npy --force", f"four.npy: {ITSELF}", "write it to another file"),
    ("check tutorial.npy -o tutorial.npy --force", f"tutorial.npy: {ITSELF}", "write it to another file"),
    ("run tutorial.npy -o full.npy --format npz --force", "full.npy: No space left on device", "free some space"),
    ("grad tutorial.npy -o full.npy --force", "full.npy: No space left on device", "free some space"),
    (f"run tutorial.npy {READING} --axis 2", f"tutorial.npy: --axis 2: {TWO}", "use an axis from -2 to 1"),
    (f"run tutorial.npy {READING} --axis 0,-2", "tutorial.npy: --axis 0,-2: names one axis twice", "name each axis"),
    (f"run rows.csv --axis -3 {READING}", "rows.csv: --axis -3: the array has 2 axes (shape (?, 4))", "use an axis"),
    ("run tutorial.npy --beta 1e999", f"β = inf: {FINITE}", "such as 100"),
    (
        "run tutorial.npy --beta \x1b[31mred",
        r"--beta '\x1b[31mred': not a number",
        "give a number such as 100, or auto",
    ),
    ("run tutorial.npy --values three.npy", "tutorial.npy: --values three.npy: 3 values for the 4 indices", "give"),
    ("run tutorial.npy --values gap.npy", "--values gap.npy: the coordinate of index 1 is nan", "a finite number"),
    (f"run tutorial.npy {READING} --select 9", "tutorial.npy: --select 9: 9 is out of range for axis 0", "-3 to 2"),
]
"""What is typed, the beginning of the error, and words of the advice."""

NAMES = {
    "[bold red]x[0].npy": "[bold red]x[0].npy",
    "🙂 naïve 日本.npy": "🙂 naïve 日本.npy",
    "two\nlines\rback.npy": r"two\nlines\rback.npy",
    "\x1b]0;title\x07\x1b[2J.npy": r"\x1b]0;title\x07\x1b[2J.npy",
    "\u202egnp.npy": r"\u202egnp.npy",
    "\udcff\udcfe.npy": r"\xff\xfe.npy",
    "%s{0}$HOME.npy": "%s{0}$HOME.npy",
    "--beta=1.npy": "--beta=1.npy",
    LONG: LONG,
}
"""Names that try to be more than names, and how they are shown."""


@pytest.fixture(scope="module")
def place(folder: Inside) -> Inside:
    """A few files, good ones and bad ones, and the results of an earlier day."""
    folder.write("rows.csv", "5,2,1,2\n3.9,4,1,2\n")
    folder.save("three.npy", np.arange(3))
    folder.save("four.npy", np.arange(4))
    folder.save("gap.npy", [1, np.nan, 3, 4])
    folder.write("sco\x1bres.npy", b"")
    folder.write("old.csv", b"old")
    os.link(folder.folder / "tutorial.npy", folder.folder / "linked.npy")
    (folder.folder / "pointing.npy").symlink_to("tutorial.npy")
    (folder.folder / "full.npy").symlink_to("/dev/full")
    return folder


@pytest.mark.parametrize(("typed", "what", "remedy"), USES, ids=[typed[:60] for typed, _, _ in USES])
def test_it_is_refused_and_nothing_is_touched(place: Inside, typed: str, what: str, remedy: str) -> None:
    if "full" in typed and not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    names = place.names()
    done = place(*shlex.split(typed))
    assert (done.code, done.out) == (2, ""), done.err
    assert all(c.isprintable() or c == "\n" for c in done.err), repr(done.err)
    first, *rest = done.err.splitlines()
    assert first.startswith(START + what)
    assert remedy in " ".join(rest)
    assert len(rest) <= 2
    assert place.names() == names
    assert place.read("old.csv") == b"old"


def test_names_are_printed_as_text(inside: Inside) -> None:
    try:
        for name in NAMES:
            inside.save(name, TUTORIAL)
    except (OSError, UnicodeError):
        pytest.skip("this file system does not take such names")
    done = inside("run", "--", *NAMES)
    assert (done.code, done.err) == (0, "")
    assert all(line.isprintable() for line in done.lines)
    assert [line.partition(" · ")[0] for line in done.lines if " · axis 1 · " in line] == list(NAMES.values())
    done = inside("run", "--format", "jsonl", "--", *NAMES)
    assert all(line.isprintable() for line in done.lines)
    assert {json.loads(line)["input"] for line in done.lines} == set(NAMES)
    done = inside("run", "-o", "./", "--", *NAMES)
    assert (done.code, done.out) == (0, "")
    assert [line.partition(": ")[0] for line in done.err.splitlines()] == [*NAMES.values(), "all inputs"]
    assert inside.names() == {*NAMES, *(f"{name.removesuffix('.npy')}.csv" for name in NAMES)}
    for name in NAMES:
        (inside.folder / name).unlink()
    missing = [name for name in NAMES if "[" not in name]  # which would be a pattern
    done = inside("run", "--", *missing)
    assert (done.code, done.out) == (2, "")
    errors = [line.removeprefix(START) for line in done.err.splitlines() if START in line]
    assert errors == [f"{NAMES[name]}: no such file" for name in missing]
