"""What is typed that cannot be done, in the folder of `test_uses.place`, and what is to be said of it."""

from __future__ import annotations

import errno
import os
import shlex
from dataclasses import dataclass

LONGEST_NAME = 255
"""Bytes of a file's name on common file systems."""
LONG = "x" * (LONGEST_NAME - 4) + ".npy"
TOO_LONG = os.strerror(errno.ENAMETOOLONG)


@dataclass(frozen=True)
class Use:
    """A command that is refused, and leaves all files as they are."""

    typed: str
    """As in a shell, without `softargmax`."""
    what: str
    """The error's first line."""
    remedy: str
    """Words of what follows."""
    terminal: bool = False
    """Whether standard input is one."""
    stdout: str = ""
    """The file that standard output is."""
    humble: bool = False
    """Whether permissions must count, as they do not for root."""

    @property
    def name(self) -> str:
        """What a test of it is called."""
        redirected = " < terminal" * self.terminal + f" > {self.stdout}" * bool(self.stdout)
        return self.typed.replace(f" {READING}", "")[:70] + redirected

    @property
    def arguments(self) -> list[str]:
        return shlex.split(self.typed)


READING = "-o old.csv --force"
"""Of commands whose input is refused: a result that must stay."""

INPUTS = [
    Use(f"run - {READING}", "<stdin>: a terminal, not data", "pipe data in", terminal=True),
    Use("inspect -", "<stdin>: a terminal, not data", "pipe data in", terminal=True),
    Use(f"run - {READING}", "<stdin>: empty", "still to write it"),
    Use(f"run /dev/null {READING}", "/dev/null: empty", "still to write it"),
    Use(f"run tutorail.npy {READING}", "tutorail.npy: no such file", "did you mean tutorial.npy?"),
    Use("check tutorail.npy", "tutorail.npy: no such file", "did you mean tutorial.npy?"),
    Use("sweep tutorail.npy", "tutorail.npy: no such file", "did you mean tutorial.npy?"),
    Use("grad tutorail.npy -o old.npy --force", "tutorail.npy: no such file", "did you mean tutorial.npy?"),
    Use("inspect tutorail.npy", "tutorail.npy: no such file", "did you mean tutorial.npy?"),
    Use(f"run tutorial.npz {READING}", "tutorial.npz: no such file", "did you mean tutorial.npy?"),
    Use(f"run nowhere/tutorial.npy {READING}", "nowhere/tutorial.npy: no such file", "there is no directory nowhere"),
    Use(f"run something.else {READING}", "something.else: no such file", "check the name"),
    Use(f"run scores.npy {READING}", "scores.npy: no such file", r"did you mean sco\x1bres.npy?"),
    Use(f"run a_directory {READING}", "a_directory: a directory", "name the files in it: softargmax run DIR/*.npy"),
    Use(f"run locked.npy {READING}", "locked.npy: cannot be read: Permission denied", "see who may", humble=True),
    Use(f"run x{LONG} {READING}", f"x{LONG}: cannot be read: {TOO_LONG}", "check the name"),
]

ITSELF, ELSEWHERE = "the result would replace what it is made of", "write it to another file"

OUTPUTS = [
    Use("run tutorial.npy -o none/y.csv", "none/y.csv: there is no directory none", "create it first"),
    Use("grad tutorial.npy -o none/y.npy", "none/y.npy: there is no directory none", "create it first"),
    Use("run tutorial.npy -o none/none/", "-o none/none/: the directory cannot be made", "make the one above it first"),
    Use("run tutorial.npy -o closed/y.csv", "closed/y.csv: Permission denied", "see who may", humble=True),
    Use("run tutorial.npy -o closed/y/", "-o closed/y/: the directory cannot be made", "another", humble=True),
    Use(f"run tutorial.npy -o x{LONG}", f"x{LONG}: {TOO_LONG}", "choose a shorter name"),
    Use("run tutorial.npy -o old.csv", "old.csv: the file exists", "replace it with --force"),
    Use("run tutorial.npy -o tutorial.npy --force", f"tutorial.npy: {ITSELF}", ELSEWHERE),
    Use("run tutorial.npy -o ./tutorial.npy --force", f"./tutorial.npy: {ITSELF}", ELSEWHERE),
    Use("run tutorial.npy -o linked.npy --force", f"linked.npy: {ITSELF}", ELSEWHERE),
    Use("run tutorial.npy -o pointing.npy --force", f"pointing.npy: {ITSELF}", ELSEWHERE),
    Use("run tutorial.png --plot tutorial.png --force", f"tutorial.png: {ITSELF}", ELSEWHERE),
    Use("run tutorial.npy --values four.npy -o four.npy --force", f"four.npy: {ITSELF}", ELSEWHERE),
    Use("check tutorial.npy -o tutorial.npy --force", f"tutorial.npy: {ITSELF}", ELSEWHERE),
    Use("sweep tutorial.npy -o tutorial.npy --format json --force", f"tutorial.npy: {ITSELF}", ELSEWHERE),
    Use("run tutorial.npy -o /dev/full --format csv", "/dev/full: No space left on device", "free some space"),
    Use("run tutorial.npy -o /dev/full --format npz", "/dev/full: No space left on device", "free some space"),
    Use("grad tutorial.npy -o full.npy --force", "full.npy: No space left on device", "free some space"),
    *(
        Use(f"{typed} tutorial.npy --quiet", "<stdout>: No space left on device", "free some", stdout="/dev/full")
        for typed in ("run", "run --format csv", "run --format npz", "check", "sweep", "grad", "inspect")
    ),
]

FINITE = "the inverse temperature must be a finite number above 0"
COORDINATES = "write a finite number for each index"
TWO = "the array has 2 axes (shape (3, 4))"


def of_option(typed: str, what: str, remedy: str = "try: softargmax run --help") -> Use:
    """One that no input is read for, or whose input has nothing wrong with it."""
    return Use(f"run tutorial.npy {READING} {typed}", what, remedy)


OPTIONS = [
    of_option("--axis 2", f"tutorial.npy: --axis 2: {TWO}", "use an axis from -2 to 1"),
    of_option("--axis -3", f"tutorial.npy: --axis -3: {TWO}", "use an axis from -2 to 1"),
    of_option(f"--axis {'9' * 30}", f"tutorial.npy: --axis {'9' * 30}: {TWO}", "use an axis from -2 to 1"),
    of_option("--axis 0,-2", "tutorial.npy: --axis 0,-2: names one axis twice", "name each axis once"),
    of_option("--axis last", "Invalid value: --axis 'last': give an axis as 1, or several as -2,-1"),
    Use(f"run rows.csv --axis -3 {READING}", "rows.csv: --axis -3: the array has 2 axes (shape (?, 4))", "use an axis"),
    Use(
        f"run many_axes.npy --axis {','.join(map(str, range(20)))} {READING}",
        f"many_axes.npy: --axis {','.join(map(str, range(20)))}: 20 axes; 7 can be reduced together",
        "make neighbouring axes one: array.reshape",
    ),
    *(
        of_option(f"--beta {typed}", f"β = {shown}: {FINITE}", "give --beta a number such as 100")
        for typed, shown in (("nan", "nan"), ("inf", "inf"), ("1e999", "inf"), ("0", "0"), ("-1", "-1"))
    ),
    of_option("--beta warm", "Invalid value: --beta 'warm': give a number above 0, or auto"),
    of_option("--beta \x1b[31mred", r"Invalid value: --beta '\x1b[31mred': give"),
    of_option("--temperature 0", "Invalid value: temperature 0: it must be a finite number above 0"),
    of_option("--temperature nan", "Invalid value: temperature nan: it must be a finite number above 0"),
    of_option("--window -1", "Invalid value for '--window': -1 is not in the range x>=0."),
    of_option("--window wide", "Invalid value for '--window': 'wide' is not a valid int range."),
    of_option("--values three.npy", "tutorial.npy: --values three.npy: 3 values for the 4 indices of axis 1", "give"),
    of_option("--values gap.npy", "--values gap.npy: the coordinate of index 1 is nan", COORDINATES),
    of_option("--values far.csv", "--values far.csv: the coordinate of index 2 is -inf", COORDINATES),
    of_option("--values word.csv", "--values word.csv: line 3, column 1 ('a'): 'x' is not a number", COORDINATES),
    of_option("--values for.npy", "--values for.npy: no such file", "did you mean four.npy?"),
    of_option("--values tutorial.npy", "--values tutorial.npy: ", "1-D"),
    of_option("--select 9", "tutorial.npy: --select 9: 9 is out of range for axis 0, of length 3", "from -3 to 2"),
]

USES = {use.name: use for use in (*INPUTS, *OUTPUTS, *OPTIONS)}

NAMES = {
    "[bold red]x[0].npy": "[bold red]x[0].npy",
    "🙂 naïve 日本.npy": "🙂 naïve 日本.npy",
    "two\nlines\rback.npy": r"two\nlines\rback.npy",
    "\x1b]0;title\x07\x1b[2J.npy": r"\x1b]0;title\x07\x1b[2J.npy",
    "\u202egnp.npy": r"\u202egnp.npy",
    "\udcff\udcfe.npy": r"\xff\xfe.npy",
    "%s{0}$HOME.npy": "%s{0}$HOME.npy",
    "-x.npy": "-x.npy",
    "--beta=1.npy": "--beta=1.npy",
    LONG: LONG,
}
"""Names that try to be more than names, and how they are shown."""
