"""What goes wrong is said in one to three lines: what, where, and what to do."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from command import TUTORIAL, Done, Inside, Softargmax

START = "softargmax: error: "


def assert_refused(done: Done) -> list[str]:
    """Exit code 2, nothing on standard output, one to three lines; the lines."""
    assert (done.code, done.raw) == (2, b""), done.err
    lines = done.err.splitlines()
    assert 1 <= len(lines) <= 3, done.err
    assert lines[0].startswith(START)
    assert all(line.startswith("  ") for line in lines[1:])
    assert "defect" not in done.err
    assert "Traceback" not in done.err
    assert_harmless(done.err)
    return [lines[0].removeprefix(START), *map(str.strip, lines[1:])]


def assert_harmless(text: str) -> None:
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", text), repr(text)


# Files


@pytest.fixture(scope="module")
def folder(shared_inside: Inside) -> Inside:
    """A folder of good files and bad ones."""
    shared_inside.save("good.npy", TUTORIAL)
    return shared_inside


# Options


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--beta", "1", "--temperature", "1"], "--beta and --temperature say the same thing"),
        (["--kind", "probs", "--beta", "1"], "--kind probs takes weights as they are: they have no --beta and no .*"),
        (["--memory", "much"], "--memory: 'much' is no size"),
        (["--memory", "1KB"], "--memory: 1KB is too little to work in"),
        (["--device", "tpu"], "--device: 'tpu' is no device"),
        (["--delimiter", "ab"], "--delimiter: 'ab' is no delimiter"),
        (["--rows", "-1"], "Invalid value for '--rows': .*0.?"),
        (["--nan", "ignore"], "Invalid value for '--nan': .*'ignore' is not one of 'error', 'omit', 'propagate'."),
        (["--format", "xml"], "Invalid value for '--format': .*'xml' is not one of 'table', .*"),
        (["--temprature", "1"], r"No such option: --temprature\. Did you mean --temperature\?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_options(folder: Inside, arguments: list[str], what: str) -> None:
    said = assert_refused(folder("run", "good.npy", *arguments, "-o", "never.csv"))
    assert re.fullmatch(what, said[0]), said[0]
    assert "never.csv" not in folder.names()


def test_wrong_commands(folder: Inside) -> None:
    assert assert_refused(folder("run"))[0] == "softargmax run: no input is named"
    assert assert_refused(folder("run", "good.npy", "--beta"))[0] == "Option '--beta' requires an argument."
    assert "rnu" in assert_refused(folder("rnu", "good.npy"))[0]


def test_a_runtime_that_is_none(folder: Inside) -> None:
    said = assert_refused(folder("run", "good.npy", SOFTARGMAX_RUNTIME="nonsense"))
    assert said[0] == "SOFTARGMAX_RUNTIME=nonsense: the runtimes are native and python"


@pytest.mark.parametrize(
    "arguments", [["run", "missing.npy"], ["run", "good.npy", "--beta", "nan"], ["run", "word.csv"]], ids=" ".join
)
def test_verbose_shows_where_it_was_raised(folder: Inside, arguments: list[str]) -> None:
    folder.write("word.csv", "1,2\n3,x\x1b[31m\n")
    done = folder(*arguments, "--verbose")
    assert (done.code, done.raw) == (2, b"")
    assert "Traceback (most recent call last):\n" in done.err
    last = done.err.rpartition(START)
    assert last[1]
    assert "Traceback" not in last[2]
    assert "\x1b" not in done.err


# Little memory


@pytest.mark.slow
def test_an_address_space_too_small_is_no_defect(softargmax: Softargmax) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux holds a process to this limit")
    softargmax.save("x.npy", TUTORIAL)
    limited = ["sh", "-c", 'ulimit -v 500000; exec "$@"', "sh", *softargmax.command("run", "x.npy")]
    options = {"cwd": softargmax.folder, "env": softargmax.environment(), "stdin": subprocess.DEVNULL}
    done = subprocess.run(limited, capture_output=True, check=False, timeout=100, **options)
    what, remedy = assert_refused(Done(done.returncode, done.stdout, done.stderr.decode()))
    assert re.fullmatch("(TensorFlow cannot be loaded|out of memory): .*", what)
    assert "ulimit -v" in remedy


# Text that tries to be more than text


def test_cells_are_printed_as_text(inside: Inside) -> None:
    inside.write("ids.csv", 'name,[red]a[/],"b\x1b[31m\nc"\n"one\n\x1b]0;t\x07",1,2\n[bold]two,3,1\n')
    done = inside("run", "ids.csv", "--id-column", "name")
    assert (done.code, done.err) == (0, "")
    assert_harmless(done.out)
    assert r"one\n\x1b]0;t\x07" in done.out
    assert r"b\x1b[31m\nc" in done.out
    assert "[bold]two" in done.out
    assert "[red]a[/]" in done.out
    inside.write("cell.csv", "1,2\n3,\x1b[31mx\u202e\n")
    assert r"'\x1b[31mx\u202e' is not a number" in assert_refused(inside("run", "cell.csv"))[0]
    inside.write("long.csv", "1,2\n3," + "x" * 100_000 + "\n")
    assert all(len(line) < 500 for line in assert_refused(inside("run", "long.csv")))
