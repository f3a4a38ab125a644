"""A bar for people who wait at a terminal, and nothing for anybody else."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from softargmax_cli.report.progress import INTERVAL, PATIENCE, progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")


def test_long_work_shows_a_bar_and_erases_it() -> None:
    stream, clock = Terminal(), Clock()
    with progress(100_000_000, stream, clock=clock) as advance:
        clock.now += PATIENCE / 2
        advance(25_000_000)
        assert stream.getvalue() == "", "short work shows nothing"
        clock.now += PATIENCE / 2
        advance(25_000_000)
        shown = stream.getvalue()
        clock.now += INTERVAL / 2
        advance(0)
        assert stream.getvalue() == shown, "no more than a few pictures a second"
        clock.now += 1 - INTERVAL / 2
        advance(5_000_000)
        clock.now += 1
        advance(5_000_000)
        shown = stream.getvalue()
    assert "50.0/100.0 MB" in shown
    assert "60.0/100.0 MB" in shown
    assert "5.0 MB/s" in shown
    assert "0:00:08" in shown
    erased = stream.getvalue()[len(shown) :]
    assert "\x1b[2K" in erased
    assert "\x1b[?25h" in erased, "the cursor comes back"


def test_unknown_total_pulses() -> None:
    stream, clock = Terminal(), Clock()
    with progress(None, stream, clock=clock) as advance:
        clock.now += PATIENCE
        advance(5_000_000)
        assert "5.0/? MB" in stream.getvalue()


def test_no_bar_in_a_pipe_nor_on_a_dumb_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, pipe, dumb = Clock(), io.StringIO(), Terminal()
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress(100, pipe, clock=clock) as in_pipe:
        monkeypatch.setenv("TERM", "dumb")
        with progress(100, dumb, clock=clock) as on_dumb:
            clock.now += 10 * PATIENCE
            in_pipe(50)
            on_dumb(50)
    assert pipe.getvalue() == dumb.getvalue() == ""


def test_an_error_erases_the_bar_too() -> None:
    stream, clock = Terminal(), Clock()

    def work() -> None:
        with progress(100, stream, clock=clock) as advance:
            clock.now += PATIENCE
            advance(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert stream.getvalue().endswith("\x1b[?25h\r\x1b[1A\x1b[2K")


def test_rich_is_imported_only_for_a_bar() -> None:
    program = (
        "import sys; from softargmax_cli.report.progress import progress\n"
        "with progress(9) as advance: advance(9)\n"
        "sys.exit('rich' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, check=False).returncode == 0
