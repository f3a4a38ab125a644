"""What a shell sees: pipes that close, signals, terminals, closed streams, and nobody else's chatter."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command import ROOT, TUTORIAL, TUTORIAL_CSV, Done, Inside, Softargmax

if sys.platform == "win32":
    pytest.skip("pipes, signals and terminals of POSIX", allow_module_level=True)

import pty

ESCAPES = re.compile("\x1b\\[[0-9;]*m")
SCORES = str(ROOT / "samples" / "class_scores.csv")
SHOW_SCORES = ["run", SCORES, "--id-column", "image", "--beta", "10"]


def until(process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    """Wait until something holds, for a minute and while the process runs."""
    for _ in range(3000):
        if condition():
            return
        try:
            code = process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
        assert process.stderr is not None
        pytest.fail(f"ended with {code}: {process.stderr.read().decode()}")
    pytest.fail("it does not come to pass")


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """The exit code and standard error of a process that is about to end."""
    assert process.stderr is not None
    said = process.stderr.read().decode()
    return process.wait(60), said


# Readers that go


@pytest.mark.slow
def test_a_reader_that_has_seen_enough(softargmax: Softargmax) -> None:
    softargmax.save("long.npy", np.eye(100_000, 2), "float32")
    with softargmax.started("run", "long.npy", "--format", "csv") as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert ended(process) == (141, "")


# Signals


def header(shape: tuple[int, ...]) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def size_of_temporaries(folder: Path) -> int:
    """Bytes of the temporary files there, -1 where there is none."""
    sizes = [path.stat().st_size for path in folder.glob(".*.softargmax-tmp")]
    return sum(sizes) if sizes else -1


@pytest.mark.slow
def test_a_signal_leaves_the_target_as_it_was(softargmax: Softargmax) -> None:
    softargmax.write("y.csv", "old")
    with softargmax.started("run", "-", "-o", "y.csv", "--force", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(header((1 << 24, 1024)) + bytes(32 << 20))
        process.stdin.flush()
        until(process, lambda: size_of_temporaries(softargmax.folder) >= 1)
        process.send_signal(signal.SIGINT)
        assert ended(process) == (130, "")
        assert process.stdout is not None
        assert process.stdout.read() == b""
    assert softargmax.read("y.csv") == b"old"
    assert softargmax.names() == {"y.csv"}


@pytest.mark.slow
def test_a_signal_while_a_pipe_is_copied(softargmax: Softargmax) -> None:
    softargmax.write("y.csv", "old")
    (softargmax.folder / "temporary").mkdir()
    given = ["run", "-", "--window", "2", "-o", "y.csv", "--force"]
    variables = {"TMPDIR": str(softargmax.folder / "temporary")}
    with softargmax.started(*given, stdin=subprocess.PIPE, variables=variables) as process:
        assert process.stdin is not None
        process.stdin.write(header((1 << 30,)) + bytes(32 << 20))
        process.stdin.flush()  # the pipe holds a fraction of it, so that most is copied
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (143, "")
    assert softargmax.read("y.csv") == b"old"
    assert softargmax.names() == {"y.csv", "temporary"}
    assert list((softargmax.folder / "temporary").iterdir()) == []


# Pipes in, pipes out


def test_pipes_by_name(inside: Inside) -> None:
    (source, into), (out, target) = os.pipe(), os.pipe()
    try:
        os.write(into, TUTORIAL_CSV.encode())
        os.close(into)
        done = inside("run", f"/dev/fd/{source}", "-o", f"/dev/fd/{target}", "--format", "csv", "--quiet")
        assert (done.code, done.err) == (0, "")
        os.close(target)
        with os.fdopen(os.dup(out), encoding="utf-8") as file:
            assert [line.split(",")[1] for line in file] == ["hard", "0", "1", "2"]
    finally:
        os.close(source)
        os.close(out)


def test_stdin_is_read_once(inside: Inside) -> None:
    done = inside("run", "-", "-", stdin=TUTORIAL_CSV.encode())
    assert done.code == 2
    assert done.out.startswith("<stdin> · ")
    assert done.err == "softargmax: error: <stdin>: read already\n  name - once\n"


# Streams that are closed, or take nothing


def closed(softargmax: Softargmax, streams: str, *arguments: str) -> Done:
    """A run with some of the standard streams closed."""
    command = ["sh", "-c", f'exec "$@" {streams}', "sh", *softargmax.command("run", *arguments)]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        cwd=softargmax.folder,
        env=softargmax.environment(),
        timeout=100,
    )
    return Done(done.returncode, done.stdout, done.stderr.decode())


@pytest.mark.slow
def test_closed_streams(softargmax: Softargmax) -> None:
    softargmax.save("x.npy", TUTORIAL)
    done = closed(softargmax, "<&-", "-")
    assert (done.code, done.raw) == (2, b"")
    assert done.err.startswith("softargmax: error: <stdin>: closed\n")
    done = closed(softargmax, ">&-", "x.npy")
    assert (done.code, done.raw) == (2, b"")
    assert done.err == "softargmax: error: <stdout>: Bad file descriptor\n  write elsewhere, as with -o FILE\n"
    done = closed(softargmax, "<&- >&- 2>&-", "x.npy", "-o", "y.csv")  # nor does one get into the file
    assert (done.code, softargmax.read("y.csv")) == (
        0,
        Inside(softargmax.folder)("run", "x.npy", "--format", "csv").raw,
    )


@pytest.mark.slow
def test_what_cannot_be_said_changes_nothing(softargmax: Softargmax) -> None:
    softargmax.save("x.npy", TUTORIAL)
    reader, deaf = os.pipe()
    os.close(reader)
    try:
        for arguments, code in (
            (["run", "missing.npy", "x.npy", "-o", "d/"], 2),
            (["check", "x.npy", "--tol", "1e-9", "-o", "r.xml", "--format", "junit", "--verbose"], 1),
        ):
            with softargmax.started(*arguments, stdout=subprocess.DEVNULL, stderr=deaf) as process:
                assert process.wait(60) == code
    finally:
        os.close(deaf)
    assert softargmax.names() == {"x.npy", "d", "r.xml"}
    assert os.listdir(softargmax.folder / "d") == ["x.csv"]


# Terminals, colours, widths, encodings


def shown_on_a_terminal(softargmax: Softargmax, *arguments: str, **variables: str) -> str:
    """What a terminal gets, with the line ends that were written."""
    screen, terminal = pty.openpty()
    try:
        with softargmax.started(
            *arguments, stdin=terminal, stdout=terminal, stderr=terminal, variables={"TERM": "xterm", **variables}
        ) as process:
            os.close(terminal)
            parts = []
            while True:
                try:
                    part = os.read(screen, 65536)
                except OSError:  # Linux says so when the last writer has gone
                    break
                if not part:
                    break
                parts.append(part)
            assert process.wait(60) == 0
    finally:
        os.close(screen)
    return b"".join(parts).decode().replace("\r\n", "\n")


def _lines(shown: str) -> list[str]:
    """Return the lines without colours, and without spaces at their ends."""
    return [line.rstrip() for line in ESCAPES.sub("", shown).splitlines()]


@pytest.mark.slow
def test_a_terminal_adds_colour_and_nothing_else(softargmax: Softargmax) -> None:
    piped = Inside(softargmax.folder)(*SHOW_SCORES).out
    coloured = shown_on_a_terminal(softargmax, *SHOW_SCORES, COLUMNS="200")
    assert _lines(coloured) == _lines(piped)
    disagreeing = [line for line in coloured.splitlines() if "≠ disagrees" in line]
    assert disagreeing
    assert all(ESCAPES.match(line) for line in disagreeing)
    plain = shown_on_a_terminal(softargmax, *SHOW_SCORES, NO_COLOR="1", COLUMNS="200")
    assert _lines(plain) == _lines(piped)
    assert not re.search(r"\x1b\[(\d+;)*(3|4|9)\d", plain)  # colours of letters and of what is behind them


@pytest.mark.slow
def test_a_pipe_gets_no_escape_codes(inside: Inside, softargmax: Softargmax) -> None:
    plain = inside(*SHOW_SCORES)
    assert (plain.code, plain.err) == (0, "")
    assert "\x1b" not in plain.out
    for variables in ({"NO_COLOR": "1"}, {"COLUMNS": "20", "LINES": "2"}):
        done = inside(*SHOW_SCORES, **variables)
        assert (done.code, done.err, done.out) == (0, "", plain.out)
    done = softargmax("run", "--help", GITHUB_ACTIONS="1", TERM="xterm")  # for which Typer forces colours
    assert (done.code, "\x1b" in done.out) == (0, False)


def test_a_table_in_a_pipe_is_not_cut(inside: Inside) -> None:
    names = ["short", "x" * 150, "a name with blanks " * 9]
    rows = [f"{name},{k / 2},9.5,1" for k, name in enumerate(names)]
    inside.write("wide.csv", "\n".join(["id,one,two,three", *rows]))
    done = inside("run", "wide.csv", "--id-column", "id")
    assert (done.code, done.err) == (0, "")
    for line, name in zip(done.lines[4:7], names, strict=True):
        assert name.strip() in line


# Nobody else's chatter


@pytest.mark.slow
def test_both_runtimes_print_the_same_and_tensorflow_nothing(softargmax: Softargmax) -> None:
    names = [softargmax.save(f"{dtype}.npy", TUTORIAL, dtype) for dtype in ("float16", "int64")]
    python, native = (softargmax("run", *names, SOFTARGMAX_RUNTIME=name) for name in ("python", "native"))
    assert (python.code, python.err) == (0, "")
    hard = [int(line.split()[1]) for line in python.lines if re.match(r"    [0-9]  ", line)]
    assert hard == [0, 1, 2] * 2
    if "SOFTARGMAX_RUNTIME=native:" in native.err:
        pytest.skip("this wheel has no C library")
    assert (native.code, native.err) == (0, "")
    assert native.out == python.out


@pytest.mark.slow
def test_tensorflow_says_nothing_after_an_error(softargmax: Softargmax) -> None:
    done = softargmax("run", "-", softargmax.save("x.npy", TUTORIAL))
    assert done.err == "softargmax: error: <stdin>: empty\n  is something still to write it?\n"
    assert done.code == 2


def test_verbose_says_what_computes(inside: Inside) -> None:
    done = inside("run", inside.save("x.npy", TUTORIAL), "--verbose")
    assert done.code == 0
    assert re.search(r"^softargmax: note: TensorFlow \S+, (native|python) runtime on (CPU|GPU:\d) ", done.err, re.M)


# Memory


@pytest.mark.slow
def test_memory_is_bounded(softargmax: Softargmax) -> None:
    """In the last case slices are so short that their results take more than they do."""
    softargmax.save("x.npy", TUTORIAL, "float32")
    memory = ["--format", "npy", "--quiet", "--memory", "100MB"]
    usual = softargmax.peak("run", "x.npy", *memory)
    for shape, axes in (((75_000, 1_000), "0"), ((2, 1 << 21, 2), "2,0")):
        np.lib.format.open_memmap(softargmax.folder / "big.npy", mode="w+", dtype="<f4", shape=shape).flush()
        assert softargmax.peak("run", "big.npy", "--axis", axes, *memory) <= usual + 200_000_000
