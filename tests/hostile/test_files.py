"""Files that no one should trust: refused in words, in bounded memory, and nothing is written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from cases import FILES, HUGE, SCORES, SEEN, described, saved
from command import Done, Inside

pytestmark = pytest.mark.slow

START = "softargmax: error: "
ROOM = 150 << 20
"""Bytes that an error may take beyond a run on the tutorial's file: a record of 32 MiB, as bytes and as text."""


def errors(done: Done) -> dict[str, str]:
    """The errors on standard error by their inputs, each of one to three printable lines, and nothing else there."""
    assert "Traceback" not in done.err
    assert all(c.isprintable() or c == "\n" for c in done.err), repr(done.err)
    found: dict[str, str] = {}
    for text in done.err.split(START)[1:]:
        first, *rest = text.splitlines()
        name, _, what = first.partition(": ")
        assert len(rest) <= 2, text
        assert all(line.startswith("  ") for line in rest), text
        found[name.removesuffix("[scores]")] = what
    assert done.err.count("\n") == sum(text.count("\n") for text in done.err.split(START)[1:])
    return found


def assert_refused(done: Done, cases: dict[str, tuple[bytes, str]]) -> None:
    """Exit code 2, nothing on standard output, an error for each file and no other."""
    assert (done.code, done.out) == (2, ""), done.err
    found = errors(done)
    assert list(found) == list(cases)
    for name, (_, what) in cases.items():
        assert what in found[name], found[name]
        assert len(found[name]) <= 400


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def files(folder: Inside) -> Inside:
    """All of them in a folder, and in another the results of an earlier day."""
    for name, (content, _) in {**FILES, **SEEN}.items():
        folder.write(name, content)
    (folder.folder / "old").mkdir()
    for name in FILES:
        folder.write(f"old/{name.removesuffix('.gz').rpartition('.')[0]}.csv", b"old")
    return folder


def test_each_is_refused_and_no_result_is_touched(files: Inside) -> None:
    cases = {**FILES, **SEEN}
    del cases["csv.npy"], cases["escape.csv"], cases["nan.csv"]  # whose results would have the names of others
    before = contents(files.folder)
    assert_refused(files("run", *cases, "-o", "old/", "--force"), cases)
    assert contents(files.folder) == before
    assert not (files.folder / "boom").exists()


def test_none_keeps_the_others_from_being_read(files: Inside) -> None:
    done = files("run", "tutorial.npy", *FILES, "tutorial.npy", "--format", "jsonl")
    assert (done.code, len(done.lines)) == (2, 6)
    assert list(errors(done)) == list(FILES)


def test_one_alone_prints_no_half_of_a_document(files: Inside) -> None:
    for name in ("truncated.npy", "ragged.csv", "nan.npy", "pickle_4.npy"):
        done = files("run", name, "--format", "json")
        assert (done.code, done.out, list(errors(done))) == (2, "", [name])


def test_inspect_shows_what_can_be_seen_and_refuses_the_rest(files: Inside) -> None:
    done = files("inspect", *FILES, *SEEN, "--format", "json", "--quiet")
    assert [json.loads(line)["input"] for line in done.lines] == list(SEEN)
    assert_refused(Done(done.code, b"", done.err), FILES)


def test_check_reports_each_as_an_error(files: Inside) -> None:
    cases = {**FILES, **SEEN}
    for format in ("junit", "github", "json"):
        assert_refused(files("check", *cases, "--format", format, "-o", f"report.{format}"), cases)
    lines = files.read("report.github").decode().splitlines()
    assert [line.split("file=")[1].split(",")[0] for line in lines] == list(cases)
    objects = json.loads(files.read("report.json"))["inputs"]
    assert [one["input"] for one in objects] == list(cases)
    assert all(one["passed"] is None and cases[one["input"]][1] in one["error"] for one in objects)
    (suite,) = ElementTree.fromstring(files.read("report.junit"))
    assert [suite.attrib[name] for name in ("tests", "failures", "errors")] == [str(len(cases)), "0", str(len(cases))]
    for case in suite:
        assert cases[case.attrib["name"]][1] in case[0].attrib["message"]


def test_through_a_pipe_they_are_no_safer(files: Inside) -> None:
    for name in ("truncated.npy", "cut_header.npy", "negative.npy", "objects.npy", "pickle_4.npy"):
        done = files("run", "-", stdin=FILES[name][0])
        assert (done.code, done.out) == (2, "")
        assert name == "truncated.npy" or FILES[name][1] in errors(done)["<stdin>"]  # of which only the end tells
    assert not (files.folder / "boom").exists()


PEAK = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], capture_output=True)
print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.stderr.buffer.write(done.stderr)
"""


def peak(folder: Inside, *arguments: str, stdin: bytes = b"") -> tuple[Done, int]:
    """Run in a process of its own; how it ended, and the bytes of memory that it had at most."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *folder.command(*arguments)],
        capture_output=True,
        check=True,
        cwd=folder.folder,
        env=folder.environment(),
        input=stdin,
        timeout=100,
    )
    code, most = map(int, done.stdout.split())
    return Done(code, b"", done.stderr.decode()), most * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no getrusage")
def test_what_is_huge_takes_no_memory(folder: Inside) -> None:
    """Neither do 4 TiB that a pipe promises, of which there are 3 MB."""
    _, usual = peak(folder, "run", "tutorial.npy")
    for name, (content, _) in HUGE.items():
        folder.write(name, content)
    done, most = peak(folder, "run", *HUGE, "--format", "jsonl")
    assert_refused(done, HUGE)
    assert most <= usual + ROOM, f"{(most - usual) >> 20} MiB more"
    done, most = peak(folder, "run", "-", stdin=described("(1048576, 1048576)", data=bytes(3_000_000)))
    assert errors(done)["<stdin>"].startswith("ended before all of shape (1048576, 1048576) of float32 was read")
    assert most <= usual + ROOM, f"{(most - usual) >> 20} MiB more"


def test_files_that_are_odd_and_right(folder: Inside) -> None:
    text = "\n".join(",".join(map(repr, row)) for row in SCORES.tolist())
    fine = {
        "bom.csv": b"\xef\xbb\xbf" + text.encode() + b"\n",
        "all_of_it.csv": b"\xef\xbb\xbfa,b,c,d\r\n" + text.replace("\n", "\r\n").encode(),
        "both.npy": saved(np.asfortranarray(SCORES.astype(">f8"))),
        "more.npy": saved(SCORES) + b"and more",
    }
    for name, content in fine.items():
        folder.write(name, content)
    done = folder("run", *fine, "--format", "jsonl")
    assert (done.code, done.err) == (0, "softargmax: note: more.npy: 8 bytes after the array are ignored\n")
    rows = [json.loads(line) for line in done.lines]
    assert [(row["input"], row["hard"]) for row in rows] == [(name, hard) for name in fine for hard in (0, 1, 2)]
