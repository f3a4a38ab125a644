"""Commands that cannot be carried out, or only just: what is said, and that nothing is lost."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from cases import TUTORIAL, saved
from measured import START, Commands, Ended, Most
from oracle import softargmax
from uses import NAMES, USES, Use

pytestmark = pytest.mark.sampled(3)

HUMBLE = ("setpriv", "--bounding-set=-all")
"""Before a command, for root: it has no privileges, so that permissions count."""
DISK = "mount -t tmpfs -o size=256k,mode=777 none disk && "
"""Within `unshare`, so that nobody else sees it, and it goes with the command."""
UNSHARED = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")


@pytest.fixture(scope="module")
def place(folder: Commands) -> Commands:
    """A few files, good ones and bad ones, and the results of an earlier day."""
    path = folder.folder
    for name in ("locked.npy", "tutorial.png"):
        folder.write(name, saved(TUTORIAL))
    folder.write("rows.csv", b"5,2,1,2\n3.9,4,1,2\n")
    folder.write("many_axes.npy", saved(np.zeros((1,) * 19 + (2,))))
    folder.write("three.npy", saved(np.arange(3.0)))
    folder.write("four.npy", saved(np.arange(4.0)))
    folder.write("gap.npy", saved(np.array([1, np.nan, 3, 4])))
    folder.write("far.csv", b"1\n2\n-inf\n3\n")
    folder.write("word.csv", b"a\n1\nx\n3\n")
    folder.write("sco\x1bres.npy", b"")
    for name in ("old.csv", "old.npy"):
        folder.write(name, b"old")
    for name in ("a_directory", "closed", "disk"):
        (path / name).mkdir()
    os.link(path / "tutorial.npy", path / "linked.npy")
    (path / "pointing.npy").symlink_to("tutorial.npy")
    (path / "full.npy").symlink_to("/dev/full")
    (path / "locked.npy").chmod(0)
    (path / "closed").chmod(0o555)
    return folder


def surroundings(use: Use) -> tuple[str, ...]:
    """What the command is run through; skips where it cannot be had."""
    if not os.path.exists("/dev/full") and ("full" in use.typed or use.stdout):
        pytest.skip("this system has no /dev/full")
    if not use.humble or os.geteuid():
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root may do everything, and there is no setpriv")
    return HUMBLE


def said(ended: Ended) -> list[str]:
    """The lines of an error of one to three lines that controls no terminal."""
    assert "Traceback" not in ended.err
    assert "defect" not in ended.err
    assert all(c.isprintable() or c == "\n" for c in ended.err), repr(ended.err)
    first, *rest = ended.err.splitlines()
    assert first.startswith(START)
    assert len(rest) <= 2
    assert all(line.startswith("  ") for line in rest)
    return [first.removeprefix(START), *map(str.strip, rest)]


@pytest.mark.parametrize("name", USES)
def test_it_is_refused_and_nothing_is_touched(place: Commands, name: str, most: Most) -> None:
    use = USES[name]
    through, before = surroundings(use), place.contents()
    ended = place(*use.arguments, terminal=use.terminal, out=use.stdout, through=through)
    assert (ended.code, ended.out) == (2, b""), ended.err
    what, *remedy = said(ended)
    assert what.startswith(use.what), what
    assert use.remedy in " ".join(remedy), remedy
    assert place.contents() == before
    most.hold(ended)


# A disk that is full, or cannot be written


@pytest.fixture(scope="module")
def disks(place: Commands) -> Commands:
    """Where a small disk can be mounted for a command alone."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare")
    done = subprocess.run([*UNSHARED, f"{DISK} true"], cwd=place.folder, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    scores = np.random.default_rng(1).standard_normal((40_000, 2))
    place.write("long.npy", saved(scores))
    place.write("turned.npy", saved(np.asfortranarray(np.tile(scores, (3, 1)).reshape(400, 300, 2))))
    return place


@pytest.mark.parametrize(
    "typed",
    [
        *(f"run long.npy -o disk/y.{format}" for format in ("csv", "tsv", "json", "jsonl", "npy", "npz")),
        *(f"grad long.npy --quiet -o disk/y.{format}" for format in ("npy", "npz")),
    ],
)
def test_a_full_disk(disks: Commands, typed: str, most: Most) -> None:
    """The old result is whole, and nothing lies beside it."""
    name = typed.split()[-1]
    script = f'{DISK} printf old > {name} && "$0" "$@"; code=$?; cat disk/*; ls -A disk; exit $code'
    ended = disks(*typed.split(), "--force", through=(*UNSHARED, script))
    what, remedy = said(ended)
    assert what.startswith((f"{name}: No space left on device", "temporary file in disk: No space left on device"))
    assert remedy == "free some space, or write elsewhere"
    assert (ended.code, ended.out.decode()) == (2, f"old{name.removeprefix('disk/')}\n")
    most.hold(ended)


@pytest.mark.parametrize(
    ("typed", "stdin"),
    [
        ("run turned.npy --memory 16MiB", ""),
        ("grad turned.npy --memory 16MiB", ""),
        ("run long.npy --format npz", ""),
        ("run - --beta auto", "long.npy"),
        ("sweep -", "long.npy"),
    ],
)
def test_no_room_for_temporary_files(disks: Commands, typed: str, stdin: str, most: Most) -> None:
    script = f'{DISK} "$0" "$@"; code=$?; ls -A disk; exit $code'
    content = (disks.folder / stdin).read_bytes() if stdin else None
    ended = disks(*typed.split(), stdin=content, through=(*UNSHARED, script), TMPDIR="disk")
    first, remedy = said(ended)
    where = f"temporary file in {disks.folder / 'disk'}: No space left on device"
    assert first == (f"<stdin>: cannot be copied to a {where}" if stdin else where)
    assert "set TMPDIR to a directory with more room" in remedy
    assert (ended.code, ended.out) == (2, b"")
    most.hold(ended)


def test_a_disk_that_cannot_be_written(disks: Commands, most: Most) -> None:
    script = f'{DISK} printf old > disk/y.csv && mount -o remount,ro disk && "$0" "$@"; code=$?; cat disk/*; exit $code'
    ended = disks("run", "tutorial.npy", "-o", "disk/y.csv", "--force", through=(*UNSHARED, script))
    assert said(ended) == ["disk/y.csv: Read-only file system", "write elsewhere, as with -o FILE"]
    assert (ended.code, ended.out) == (2, b"old")
    most.hold(ended)


# What goes through, and is right

EXPECTED = softargmax(TUTORIAL, -1, 100.0)
CSV = "\n".join(",".join(f"{x:.9g}" for x in row) for row in TUTORIAL.tolist())

FINE = {
    "bom.csv": b"\xef\xbb\xbf" + CSV.encode() + b"\n",
    "crlf.csv": CSV.replace("\n", "\r\n").encode() + b"\r\n",
    "unended.csv": CSV.encode(),
    "all_of_it.csv": b"\xef\xbb\xbfa,b,c,d\r\n" + CSV.replace("\n", "\r\n").encode(),
    "big_endian.npy": saved(TUTORIAL.astype(">f4")),
    "fortran.npy": saved(np.asfortranarray(TUTORIAL)),
    "both.npy": saved(np.asfortranarray(TUTORIAL.astype(">f8"))),
    "more.npy": saved(TUTORIAL) + b"and more",
}


def test_files_that_are_odd_and_right(place: Commands, most: Most) -> None:
    for name, content in FINE.items():
        place.write(name, content)
    ended = place("run", *FINE, "--format", "jsonl")
    assert (ended.code, ended.err) == (0, "softargmax: note: more.npy: 8 bytes after the array are ignored\n")
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert [row["input"] for row in rows] == [name for name in FINE for _ in TUTORIAL]
    for name in FINE:
        mine = [row for row in rows if row["input"] == name]
        assert [row["hard"] for row in mine] == EXPECTED.hard[0].tolist()
        np.testing.assert_allclose([row["soft"] for row in mine], EXPECTED.soft[0], rtol=0, atol=1e-6)
    most.hold(ended)


@pytest.mark.parametrize("format", ["csv", "tsv", "json", "jsonl", "npy", "npz"])
def test_no_slices_are_an_answer(place: Commands, format: str) -> None:
    place.write("none.npy", saved(np.zeros((0, 5))))
    ended = place("run", "none.npy", "--format", format)
    assert (ended.code, ended.err) == (0, "")
    if format in ("csv", "tsv"):
        assert ended.out.count(b"\n") == 1
        assert b"hard" in ended.out
    elif format == "json":
        found = json.loads(ended.out)
        assert (found["shape"], found["slices"], found["summary"]["slices"]) == ([0, 5], [], 0)
    elif format == "jsonl":
        assert ended.out == b""
    elif format == "npy":
        assert np.load(io.BytesIO(ended.out)).shape == (0,)
    else:
        with np.load(io.BytesIO(ended.out)) as fields:
            assert {fields[name].shape for name in fields.files} == {(0,)}


# Names


def test_names_are_printed_as_text(place: Commands, tmp_path: Path) -> None:
    commands = Commands(tmp_path)
    try:
        for name in NAMES:
            commands.write(name, saved(TUTORIAL))
    except (OSError, UnicodeError):
        pytest.skip("this file system does not take such names")
    try:
        ended = commands("run", "--", *NAMES)
        assert (ended.code, ended.err) == (0, "")
        shown = ended.out.decode().splitlines()
        assert all(line.isprintable() for line in shown)
        assert [line.partition(" · ")[0] for line in shown if " · axis 1 · " in line] == list(NAMES.values())
        ended = commands("run", "--format", "jsonl", "--", *NAMES)
        rows = ended.out.decode().splitlines()
        assert all(line.isprintable() for line in rows)
        assert {json.loads(line)["input"] for line in rows} == set(NAMES)
        ended = commands("run", "-o", "./", "--", *NAMES)
        assert (ended.code, ended.out) == (0, b"")
        assert all(line.isprintable() for line in ended.err.splitlines())
        assert [line.partition(": ")[0] for line in ended.err.splitlines()] == list(NAMES.values())
        written = {f"{name.removesuffix('.npy')}.csv" for name in NAMES}
        assert set(os.listdir(tmp_path)) == {*NAMES, *written}
    finally:
        commands.close()


def test_names_of_missing_files_are_printed_as_text(place: Commands, most: Most) -> None:
    ended = place("run", "--", *NAMES)
    assert (ended.code, ended.out) == (2, b"")
    assert list(ended.errors()) == list(NAMES.values())
    assert all(what == "no such file" for what, _ in ended.errors().values())
    most.hold(ended)


# Places that are no files


def test_what_is_no_file_is_written_through(place: Commands) -> None:
    plain = place("run", "tutorial.npy", "--format", "csv").out
    assert plain.startswith(b"index,hard,soft,")
    ended = place("run", "tutorial.npy", "--format", "csv", "-o", "/dev/stdout", "--quiet")
    assert (ended.code, ended.out, ended.err) == (0, plain, "")
    ended = place("run", "tutorial.npy", "--format", "csv", "-o", "/dev/null", "--quiet")
    assert (ended.code, ended.out, ended.err) == (0, b"", "")
    os.mkfifo(place.folder / "pipe")
    reader = os.open(place.folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        ended = place("run", "tutorial.npy", "--format", "csv", "-o", "pipe", "--quiet")
        assert (ended.code, ended.out, ended.err) == (0, b"", "")
        assert os.read(reader, 1 << 16) == plain
    finally:
        os.close(reader)
        os.unlink(place.folder / "pipe")
