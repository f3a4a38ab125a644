"""What a shell sees: pipes that close, full disks, signals, terminals, closed streams, and nobody else's chatter."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command import ROOT, TUTORIAL, TUTORIAL_CSV, Done, Softargmax

if sys.platform == "win32":
    pytest.skip("pipes, signals and terminals of POSIX", allow_module_level=True)

import fcntl
import pty
import termios

ESCAPES = re.compile("\x1b\\[[0-9;]*m")
SCORES = str(ROOT / "samples" / "class_scores.csv")
SHOW_SCORES = ["run", SCORES, "--id-column", "image", "--beta", "10"]


def until(process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    """Wait until something holds, while the process runs."""
    while not condition():
        try:
            code = process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
        assert process.stderr is not None
        pytest.fail(f"ended with {code}: {process.stderr.read().decode()}")


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """The exit code and standard error of a process that is about to end."""
    assert process.stderr is not None
    said = process.stderr.read().decode()
    return process.wait(60), said


# Readers that go, no room for copies


@pytest.mark.parametrize(
    "arguments", [["--format", "csv"], ["--rows", "0"], ["-o", "/dev/stdout", "--format", "jsonl"]]
)
def test_a_reader_that_has_seen_enough(shared: Softargmax, arguments: list[str]) -> None:
    name = "long.npy"
    if name not in shared.names():
        shared.save(name, np.eye(200_000, 2), "float32")
    with shared.started("run", name, *arguments) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert ended(process) == (141, "")


def test_no_room_for_the_copy_of_a_pipe(softargmax: Softargmax) -> None:
    softargmax.write("y.csv", "old")
    (softargmax.folder / "temporary").mkdir()
    data = header((1_000_000,)) + bytes(4_000_000)
    for arguments, content in (
        (["-", "--window", "3", "--memory", "16MiB"], data),
        (["-", "--axis", "0", "--window", "3"], b"1.5,2.5\n" * 200_000),
    ):
        # No disk of a test's own is full; a limit on the size of files is refused alike.
        command = softargmax.command("run", *arguments, "-o", "y.csv", "--force")
        done = subprocess.run(
            ["sh", "-c", 'ulimit -f 1000; exec "$@"', "sh", *command],
            input=content,
            capture_output=True,
            check=False,
            cwd=softargmax.folder,
            env=softargmax.environment(TMPDIR=str(softargmax.folder / "temporary")),
        )
        what, remedy = done.stderr.decode().splitlines()
        place = f"a temporary file in {softargmax.folder / 'temporary'}"
        assert what == f"softargmax: error: <stdin>: cannot be copied to {place}: File too large"
        assert "TMPDIR" in remedy
        assert (done.returncode, done.stdout) == (2, b"")
        assert softargmax.read("y.csv") == b"old"
        assert softargmax.names() == {"y.csv", "temporary"}
        assert list((softargmax.folder / "temporary").iterdir()) == []


# Signals


def header(shape: tuple[int, ...]) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def size_of_temporaries(folder: Path) -> int:
    """Bytes of the temporary files there, -1 where there is none."""
    sizes = [path.stat().st_size for path in folder.glob(".*.softargmax-tmp")]
    return sum(sizes) if sizes else -1


@pytest.mark.parametrize("sent", [0, 32], ids=["at the start", "in the middle"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"])
@pytest.mark.slow
def test_a_signal_leaves_the_target_as_it_was(softargmax: Softargmax, number: int, code: int, sent: int) -> None:
    softargmax.write("y.csv", "old")
    with softargmax.started("run", "-", "-o", "y.csv", "--force", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(header((1 << 30, 16)) + bytes(sent << 20))
        process.stdin.flush()
        until(process, lambda: size_of_temporaries(softargmax.folder) >= (1 if sent else 0))
        process.send_signal(number)
        assert ended(process) == (code, "")
        assert process.stdout is not None
        assert process.stdout.read() == b""
    assert softargmax.read("y.csv") == b"old"
    assert softargmax.names() == {"y.csv"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"])
@pytest.mark.slow
def test_a_signal_while_a_pipe_is_copied(softargmax: Softargmax, number: int, code: int) -> None:
    softargmax.write("y.csv", "old")
    (softargmax.folder / "temporary").mkdir()
    given = ["run", "-", "--window", "2", "-o", "y.csv", "--force"]
    variables = {"TMPDIR": str(softargmax.folder / "temporary")}
    with softargmax.started(*given, stdin=subprocess.PIPE, variables=variables) as process:
        assert process.stdin is not None
        process.stdin.write(header((1 << 30,)) + bytes(32 << 20))
        process.stdin.flush()  # the pipe holds a fraction of it, so that most is copied
        process.send_signal(number)
        assert ended(process) == (code, "")
        assert process.stdout is not None
        assert process.stdout.read() == b""
    assert softargmax.read("y.csv") == b"old"
    assert softargmax.names() == {"y.csv", "temporary"}
    assert list((softargmax.folder / "temporary").iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/proc/self/io"), reason="only Linux says how much a process has read")
@pytest.mark.slow
def test_a_signal_in_the_second_pass(softargmax: Softargmax) -> None:
    size = 600_000_000
    with open(softargmax.folder / "x.npy", "wb") as file:
        file.write(header((size // 4,)))
        file.truncate(size + 128)
    softargmax.write("y.csv", "old")
    with softargmax.started("run", "x.npy", "--window", "2", "-o", "y.csv", "--force") as process:
        until(process, lambda: bytes_read(process.pid) > 1.3 * size)
        assert size_of_temporaries(softargmax.folder) >= 0
        process.send_signal(signal.SIGINT)
        assert ended(process) == (130, "")
    assert softargmax.read("y.csv") == b"old"
    assert softargmax.names() == {"x.npy", "y.csv"}


def bytes_read(pid: int) -> int:
    """What a process has read so far."""
    with open(f"/proc/{pid}/io", encoding="ascii") as file:
        return int(file.readline().removeprefix("rchar: "))


@pytest.mark.slow
def test_an_interrupted_table_is_not_shown(softargmax: Softargmax) -> None:
    reader, writer = os.pipe()
    try:
        os.write(writer, b"1,2\n")
        with softargmax.started("run", "-", stdin=reader) as process:
            until(process, lambda: waiting_in(reader) == 0)
            process.send_signal(signal.SIGINT)
            assert ended(process) == (130, "")
            assert process.stdout is not None
            assert process.stdout.read() == b""
    finally:
        os.close(reader)
        os.close(writer)


def waiting_in(pipe: int) -> int:
    """Bytes in a pipe that nobody has read yet."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


# Pipes in, pipes out


@pytest.mark.nightly
@pytest.mark.parametrize(("content", "first"), [("npy", 1), ("npy", 7), ("csv", 1)])
@pytest.mark.slow
def test_a_pipe_that_begins_slowly(softargmax: Softargmax, content: str, first: int) -> None:
    softargmax.save("x.npy", TUTORIAL)
    data = softargmax.read("x.npy") if content == "npy" else TUTORIAL_CSV.encode()
    reader, writer = os.pipe()
    try:
        os.write(writer, data[:first])
        with softargmax.started("run", "-", "--format", "jsonl", stdin=reader) as process:
            until(process, lambda: waiting_in(reader) == 0)
            os.write(writer, data[first:])
            os.close(writer)
            assert process.stdout is not None
            found = [json.loads(line) for line in process.stdout.read().splitlines()]
            assert ended(process) == (0, "")
    finally:
        os.close(reader)
    assert [row["hard"] for row in found] == [0, 1, 2]


def test_pipes_by_name(softargmax: Softargmax) -> None:
    (source, into), (out, target) = os.pipe(), os.pipe()
    try:
        os.write(into, TUTORIAL_CSV.encode())
        os.close(into)
        named = [f"/dev/fd/{source}", "-o", f"/dev/fd/{target}", "--format", "csv", "--quiet"]
        with softargmax.started("run", *named, pass_fds=(source, target)) as process:
            assert ended(process) == (0, "")
        os.close(target)
        with os.fdopen(os.dup(out), encoding="utf-8") as file:
            assert [line.split(",")[1] for line in file] == ["hard", "0", "1", "2"]
    finally:
        os.close(source)
        os.close(out)


def test_stdin_is_read_once(softargmax: Softargmax) -> None:
    done = softargmax("run", "-", "-", stdin=TUTORIAL_CSV.encode())
    assert done.code == 2
    assert done.out.startswith("<stdin> · ")
    assert done.err == "softargmax: error: <stdin>: read already\n  name - once\n"


# Streams that are closed


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
    )
    return Done(done.returncode, done.stdout, done.stderr.decode())


def test_closed_streams(softargmax: Softargmax) -> None:
    softargmax.save("x.npy", TUTORIAL)
    done = closed(softargmax, "<&-", "-")
    assert (done.code, done.raw) == (2, b"")
    assert done.err.startswith("softargmax: error: <stdin>: closed\n")
    for arguments in ([], ["--format", "csv"]):
        done = closed(softargmax, ">&-", "x.npy", *arguments)
        assert (done.code, done.raw) == (2, b"")
        assert done.err == "softargmax: error: <stdout>: Bad file descriptor\n  write elsewhere, as with -o FILE\n"
    done = closed(softargmax, "2>&-", "missing.npy")
    assert (done.code, done.raw, done.err) == (2, b"", "")


@pytest.mark.slow
def test_no_closed_stream_gets_into_a_file(softargmax: Softargmax) -> None:
    softargmax.save("x.npy", TUTORIAL)
    expected = softargmax("run", "x.npy", "--format", "csv").raw
    for streams in (">&-", "2>&-", "<&- >&- 2>&-"):
        done = closed(softargmax, streams, "x.npy", "-o", "y.csv", "--force")
        assert (done.code, done.raw) == (0, b"")
        assert softargmax.read("y.csv") == expected


# Standard error that takes nothing


@pytest.mark.nightly
@pytest.mark.parametrize("deaf", ["a full disk", "a pipe without a reader"])
@pytest.mark.slow
def test_what_cannot_be_said_changes_nothing(softargmax: Softargmax, deaf: str) -> None:
    for name in ("x.npy", "y.npy"):
        softargmax.save(name, TUTORIAL)
    if deaf == "a full disk":
        if not os.path.exists("/dev/full"):
            pytest.skip("only Linux has a disk that is always full")
        stream = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, stream = os.pipe()
        os.close(reader)

    def code(*arguments: str) -> int:
        with softargmax.started(*arguments, stdout=subprocess.DEVNULL, stderr=stream) as process:
            return process.wait(60)

    try:
        assert code("run", "--no-such-option") == 2
        assert code("inspect", "missing.npy") == 2
        assert code("run", "x.npy", "-o", "x.csv") == 0  # and nobody hears the summary
        assert code("run", "missing.npy", "x.npy", "y.npy", "-o", "d/") == 2
        assert code("check", "missing.npy", "x.npy", "--tol", "1e-9", "--format", "junit", "-o", "r.xml") == 2
        assert code("check", "x.npy", "--tol", "1e-9", "--verbose", "--format", "github") == 1
    finally:
        os.close(stream)
    assert softargmax.names() == {"x.npy", "y.npy", "x.csv", "d", "r.xml"}
    assert set(os.listdir(softargmax.folder / "d")) == {"x.csv", "y.csv"}
    assert softargmax.read("r.xml").count(b"<testcase") == 2


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


def test_a_terminal_adds_colour_and_nothing_else(softargmax: Softargmax) -> None:
    piped = softargmax(*SHOW_SCORES).out
    coloured = shown_on_a_terminal(softargmax, *SHOW_SCORES, COLUMNS="200")
    assert _lines(coloured) == _lines(piped)
    disagreeing = [line for line in coloured.splitlines() if "≠ disagrees" in line]
    assert disagreeing
    assert all(ESCAPES.match(line) for line in disagreeing)
    plain = shown_on_a_terminal(softargmax, *SHOW_SCORES, NO_COLOR="1", COLUMNS="200")
    assert [line.rstrip() for line in plain.splitlines()] == _lines(piped)


def test_a_pipe_gets_no_escape_codes(softargmax: Softargmax) -> None:
    plain = softargmax(*SHOW_SCORES)
    assert (plain.code, plain.err) == (0, "")
    assert "\x1b" not in plain.out
    for variables in ({"NO_COLOR": "1"}, {"GITHUB_ACTIONS": "1", "TERM": "xterm"}, {"COLUMNS": "20", "LINES": "2"}):
        done = softargmax(*SHOW_SCORES, **variables)
        assert (done.code, done.err, done.out) == (0, "", plain.out)


def test_help_and_errors_in_a_pipe_have_no_escape_codes_on_github(softargmax: Softargmax) -> None:
    variables = {"GITHUB_ACTIONS": "1", "TERM": "xterm"}
    for arguments, code in ((["run", "--help"], 0), (["run", "--no-such"], 2), (["run", "missing.npy"], 2)):
        done = softargmax(*arguments, **variables)
        assert done.code == code
        assert "\x1b" not in done.out + done.err


def test_a_table_in_a_pipe_is_not_cut(softargmax: Softargmax) -> None:
    names = ["short", "x" * 150, "a name with blanks " * 9]
    rows = [f"{name},{k / 2},9.5,1" for k, name in enumerate(names)]
    softargmax.write("wide.csv", "\n".join(["id,one,two,three", *rows]))
    done = softargmax("run", "wide.csv", "--id-column", "id")
    assert (done.code, done.err) == (0, "")
    for line, name in zip(done.lines[4:7], names, strict=True):
        assert name.strip() in line
        assert line.rstrip().endswith("1.0000  0") or "two" in line


def test_a_stream_that_knows_ascii_only(softargmax: Softargmax) -> None:
    softargmax.write("é.csv", "id,ä,日本,c\nü,1,5,2\n🙂,1,5,5\n")
    done = softargmax("run", "é.csv", "--id-column", "id", PYTHONIOENCODING="ascii")
    assert (done.code, done.err) == (0, "")
    assert done.raw.isascii()
    assert done.lines[0].startswith(r"\xe9.csv, float64 2 x 3, axis 1, beta 100 (temperature 0.01), ")
    assert done.lines[4].split()[:5] == ["0", r"\xfc", "1", r"\u65e5\u672c", "1.000000"]
    assert done.lines[5].split()[:5] == ["1", r"\U0001f642", "1", r"\u65e5\u672c", "1.500000"]
    assert "! disagrees  = 2 tied" in done.lines[5]
    done = softargmax("run", "é.npy", "--beta", "0", PYTHONIOENCODING="ascii")
    assert (done.code, done.err.isascii()) == (2, True)


# Nobody else's chatter


@pytest.fixture(scope="module")
def kinds(shared: Softargmax) -> list[str]:
    """Files of several dtypes, the last large enough for compiled blocks."""
    names = [shared.save(f"{dtype}.npy", TUTORIAL, dtype) for dtype in ("float16", "float32", "float64", "int64")]
    large = np.zeros((10_000, 1_000), "f4")
    large[np.arange(10_000), np.arange(10_000) % 1_000] = 1
    return [*names, shared.save("large.npy", large, "float32")]


@pytest.mark.nightly
@pytest.mark.slow
def test_both_runtimes_print_the_same_and_tensorflow_nothing(shared: Softargmax, kinds: list[str]) -> None:
    python, native = (shared("run", *kinds, "--rows", "3", SOFTARGMAX_RUNTIME=name) for name in ("python", "native"))
    assert (python.code, python.err) == (0, "")
    hard = [int(line.split()[1]) for line in python.lines if re.match(r"    [0-9]  ", line)]
    assert hard == [0, 1, 2] * 5
    if "SOFTARGMAX_RUNTIME=native:" in native.err:
        pytest.skip("this wheel has no C library")
    assert (native.code, native.err) == (0, "")
    assert native.out == python.out


def test_tensorflow_says_nothing_after_an_error(shared: Softargmax, kinds: list[str]) -> None:
    done = shared("run", "-", kinds[0])
    assert done.err == "softargmax: error: <stdin>: empty\n  is something still to write it?\n"
    assert done.code == 2


def test_verbose_says_what_computes(shared: Softargmax, kinds: list[str]) -> None:
    done = shared("run", kinds[0], "--verbose")
    assert done.code == 0
    assert re.search(r"^softargmax: note: TensorFlow \S+, (native|python) runtime on (CPU|GPU:\d) ", done.err, re.M)


# Memory


@pytest.mark.slow
def test_memory_is_bounded(softargmax: Softargmax) -> None:
    softargmax.save("x.npy", TUTORIAL, "float32")
    shape = (250_000, 1_000)
    np.lib.format.open_memmap(softargmax.folder / "big.npy", mode="w+", dtype="<f4", shape=shape).flush()
    assert (softargmax.folder / "big.npy").stat().st_size > 10**9
    usual = softargmax.peak("run", "x.npy", "--memory", "200MB")
    for axis in ("0", "1"):
        assert softargmax.peak("run", "big.npy", "--memory", "200MB", "--axis", axis) <= usual + 200_000_000


@pytest.mark.nightly
@pytest.mark.parametrize(("shape", "dtype", "axes"), [((1 << 24, 1), "u1", "1"), ((2, 1 << 22, 2), "<f4", "2,0")])
@pytest.mark.slow
def test_memory_is_bounded_where_slices_are_short(
    softargmax: Softargmax, shape: tuple[int, ...], dtype: str, axes: str
) -> None:
    """What is known of them takes more than they do."""
    softargmax.save("x.npy", TUTORIAL, "float32")
    np.lib.format.open_memmap(softargmax.folder / "short.npy", mode="w+", dtype=dtype, shape=shape).flush()
    usual = softargmax.peak("run", "x.npy")
    told = ["run", "short.npy", "--axis", axes, "--format", "npy", "--quiet", "--memory", "200MB"]
    assert softargmax.peak(*told) <= usual + 200_000_000
