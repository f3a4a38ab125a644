"""What goes wrong is said in one to three lines: what, where, and what to do."""

from __future__ import annotations

import gzip
import os
import pickle
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from command import TUTORIAL, TUTORIAL_CSV, Done, Softargmax

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


def npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """An .npy file with a header of one's own."""
    text = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + data


def described(descr: str, shape: str, data: bytes = b"") -> bytes:
    return npy(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}", data)


@pytest.fixture(scope="module")
def folder(shared: Softargmax) -> Softargmax:
    """A folder of good files and bad ones."""
    shared.save("good.npy", TUTORIAL)
    shared.write("good.csv", TUTORIAL_CSV)
    (shared.folder / "a_directory").mkdir()
    return shared


BAD: dict[str, tuple[bytes, str]] = {
    "empty.npy": (b"", "empty"),
    "empty.csv": (b"", "empty"),
    "scalar.npy": (described("'<f8'", "()", bytes(8)), r"the array has no axis \(shape \(\)\), so there is nothing .*"),
    "no_length.npy": (
        described("'<f8'", "(3, 0)"),
        r"axis 1 has length 0 \(shape \(3, 0\)\), so there is no maximum .*",
    ),
    "cut.npy": (described("'<f4'", "(3, 4)", bytes(40)), r"truncated: shape \(3, 4\) of float32 takes 48 bytes, .* 40"),
    "cut_header.npy": (described("'<f4'", "(3, 4)")[:30], "the file ends within its header"),
    "cut_magic.npy": (b"\x93NUMPY", "not an .npy file"),
    "no_header.npy": (npy("0"), "the .npy header cannot be parsed"),
    "call.npy": (npy("__import__('os').system('touch pwned')"), "the .npy header cannot be parsed"),
    "deep.npy": (npy("(" * 30_000), "the .npy header cannot be parsed"),
    "escape.npy": (npy(r"{'\d': 1}"), "the .npy header cannot be parsed"),
    "bad_shape.npy": (described("'<f4'", "(-1, 4)"), r"the .npy header gives an impossible shape, \(-1, 4\)"),
    "endless.npy": (described("'<f8'", f"({10**18}, {10**18})"), r"truncated: .* the file has 0"),
    "object.npy": (described("'|O'", "(2,)", pickle.dumps([1, 2])), "dtype object holds objects, .* never unpickled"),
    "complex.npy": (described("'<c8'", "(2,)", bytes(16)), "dtype complex64 holds no real numbers"),
    "text.npy": (described("'<U4'", "(2,)", bytes(32)), "dtype <U4 holds no real numbers"),
    "dates.npy": (described("'<M8[s]'", "(2,)", bytes(16)), r"dtype datetime64\[s\] holds no real numbers"),
    "structured.npy": (described("[('a', '<f4')]", "(2,)", bytes(8)), "dtype structured holds .*"),
    "later.npy": (b"\x93NUMPY\x09\x00" + bytes(100), r".npy version 9\.0 is not known \(1\.0 to 3\.0 are\)"),
    "csv_really.npy": (TUTORIAL_CSV.encode(), "not an .npy file, whatever its name says"),
    "archive.npz": (b"PK\x03\x04" + bytes(30), "damaged, or no .npz file"),
    "archive.csv": (b"PK\x03\x04" + bytes(30), "damaged, or no .npz file"),
    "pickled.npy": (pickle.dumps({"a": 1}, protocol=4), "a Python pickle, which is never unpickled; .*"),
    "pickled.csv": (pickle.dumps({"a": 1}, protocol=2), "a Python pickle, which is never unpickled; .*"),
    "ragged.csv": (b"1,2,3\n4,5,6\n7,8\n", "line 3 has 2 cells, expected 3 as in line 1"),
    "word.csv": (b"a,b,c\n1,2,3\n4,five,6\n7,8,9\n", r"line 3, column 2 \('b'\): 'five' is not a number"),
    "late_word.tsv": (b"1\t2\n" * 40_000 + b"3\tx\n", "line 40001, column 2: 'x' is not a number"),
    "names.csv": (b"id,a,b\nx,1,2\ny,3,4\n", r"line 2, column 1 \('id'\): 'x' is not a number"),
    "bytes.csv": (b"1,2\n\xff,3\n", "line 2, byte 4: 0xff is not UTF-8"),
    "zeros.csv": (bytes(100), "line 1, byte 0: a NUL byte, so the file is not UTF-8 text"),
    "header_only.csv": (b"a,b\n", "line 1 is a header, and no rows follow it"),
    "damaged.csv.gz": (gzip.compress(b"1,2\n" * 10_000)[:-20], "the gzip data is damaged: .*"),
    "nan.npy": (described("'<f8'", "(2, 2)", struct.pack("<4d", 1, 2, 3, np.nan)), r"1 NaN, at index \(1, 1\)"),
    "nan.csv": (b"1,2\n3,\n", r"1 NaN, at index \(1, 1\)"),
}


def test_bad_files_and_a_good_one_among_them(folder: Softargmax) -> None:
    """Each is refused with a reason of its own, and none keeps the others from being read."""
    for name, (content, _) in BAD.items():
        folder.write(name, content)
    names = list(BAD)
    done = folder("run", *names, "good.npy")
    assert done.code == 2
    assert done.out.count(" · axis 1 · ") == 1
    assert not (folder.folder / "pwned").exists()
    assert_harmless(done.err)
    said = done.err.split(START)
    assert said[0] == ""
    by_name = {text.partition(": ")[0]: text for text in said[1:]}
    assert "defect" not in done.err
    assert list(by_name) == names
    for name, text in by_name.items():
        what, *remedy = text.splitlines()
        assert re.fullmatch(f"{re.escape(name)}: {BAD[name][1]}.*", what), what
        assert len(remedy) <= 2


@pytest.mark.parametrize(
    ("arguments", "what", "remedy"),
    [
        (["good.npz"], r"good\.npz: no such file", r"did you mean good\.(npy|csv)\?"),
        (["nowhere/good.npy"], r"nowhere/good\.npy: no such file", "there is no directory nowhere"),
        (["a_directory"], "a_directory: a directory", r"name the files in it: softargmax run DIR/\*\.npy"),
        (
            ["good.npy", "--axis", "2"],
            r"good\.npy: --axis 2: the array has 2 axes \(shape \(3, 4\)\)",
            "use an axis .*",
        ),
        (
            ["good.csv", "--axis", "-3"],
            r"good\.csv: --axis -3: the array has 2 axes \(shape \(\?, 4\)\)",
            "use an axis .*",
        ),
        (
            ["good.csv", "--id-column", "name"],
            "good.csv: no column 'name': the file has no header",
            "pass --id-column .*",
        ),
        (["good.csv", "--delimiter", ";"], r"good\.csv: line 1, column 1: '5,2,1,2' is not a number", ".*"),
        (
            ["good.npy", "-o", "r.xlsx"],
            r"r\.xlsx: the suffix \.xlsx names no output format",
            "end the name in one of .*",
        ),
        (["good.npy", "-o", "none/r.csv"], r"none/r\.csv: there is no directory none", "create it first"),
        (
            ["good.npy", "-o", "none/none/"],
            r"-o none/none/: the directory cannot be made: No such file or directory",
            "make the one above it first",
        ),
        (["good.npy", "-o", "a_directory/x/x/"], r"-o a_directory/x/x/: the directory cannot be made: .*", "make .*"),
        (["-"], "<stdin>: empty", ".*"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_file_that_does_not_fit(folder: Softargmax, arguments: list[str], what: str, remedy: str) -> None:
    said = assert_refused(folder("run", *arguments))
    assert re.fullmatch(what, said[0]), said[0]
    assert re.fullmatch(remedy, said[1]), said[1]


def test_archives_by_their_content(folder: Softargmax) -> None:
    np.savez(folder.folder / "real.csv.npz", a=np.zeros(3))
    os.rename(folder.folder / "real.csv.npz", folder.folder / "real.csv")
    with zipfile.ZipFile(folder.folder / "renamed.npy", "w") as archive:
        archive.writestr("a.npy", b"")
    done = folder("run", "real.csv", "renamed.npy")
    assert done.code == 2
    assert done.lines[0].startswith("real.csv[a] ")
    assert done.err.startswith("softargmax: error: renamed.npy[a]: not an .npy file")


def test_no_permission(folder: Softargmax) -> None:
    folder.save("locked.npy", TUTORIAL)
    os.chmod(folder.folder / "locked.npy", 0)
    if os.access(folder.folder / "locked.npy", os.R_OK):
        pytest.skip("this user may read everything")
    assert assert_refused(folder("run", "locked.npy")) == ["locked.npy: cannot be read: Permission denied"]


def test_a_truncated_stream(folder: Softargmax) -> None:
    for name, keep in (("good.npy", -1), ("good.npy", 100)):
        said = assert_refused(folder("run", "-", stdin=folder.read(name)[:keep]))
        assert said[0].startswith("<stdin>: ")
        assert "ende" in said[0] or "ends" in said[0]


# Options

FINITE = "the inverse temperature must be a finite number above 0"


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--beta", "nan"], f"β = nan: {FINITE}"),
        (["--beta", "inf"], f"β = inf: {FINITE}"),
        (["--beta", "0"], f"β = 0: {FINITE}"),
        (["--beta", "-1"], f"β = -1: {FINITE}"),
        (["--beta", "warm"], "Invalid value for '--beta': 'warm' is not a valid float."),
        (["--temperature", "0"], "Invalid value: temperature 0: it must be a finite number above 0"),
        (["--beta", "1", "--temperature", "1"], "Invalid value: --beta and --temperature say the same thing; .*"),
        (["--axis", "last"], "Invalid value: --axis 'last': give an axis as 1, or several as -2,-1"),
        (["--memory", "much"], "Invalid value for '--memory': 'much' is no size; write one as 200MB, .*"),
        (["--memory", "1KB"], "Invalid value for '--memory': 1KB is too little to work in; the least is 16MiB"),
        (["--device", "tpu"], "Invalid value for '--device': 'tpu' is no device; choose auto, cpu, gpu or gpu:N"),
        (["--delimiter", "ab"], "Invalid value for '--delimiter': 'ab' is no delimiter; .*"),
        (["--rows", "-1"], "Invalid value for '--rows': -1 is not in the range x>=0."),
        (["--nan", "ignore"], "Invalid value for '--nan': 'ignore' is not one of 'error', 'omit', 'propagate'."),
        (["--format", "xml"], "Invalid value for '--format': 'xml' is not one of 'table', .*"),
        (["--temprature", "1"], r"No such option: --temprature\. Did you mean --temperature\?"),
        (["--beta", "\x1b[31mred\x1b[0m"], r"Invalid value for '--beta': '.*31mred.*' is not a valid float."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_options(folder: Softargmax, arguments: list[str], what: str) -> None:
    said = assert_refused(folder("run", "good.npy", *arguments, "-o", "never.csv"))
    assert re.fullmatch(what, said[0]), said[0]
    assert "never.csv" not in folder.names()


def test_wrong_commands(folder: Softargmax) -> None:
    assert assert_refused(folder("run"))[0] == "Missing argument 'INPUT...'."
    assert assert_refused(folder("run", "good.npy", "--beta"))[0] == "Option '--beta' requires an argument."
    assert "rnu" in assert_refused(folder("rnu", "good.npy"))[0]


def test_a_runtime_that_is_none(folder: Softargmax) -> None:
    said = assert_refused(folder("run", "good.npy", SOFTARGMAX_RUNTIME="nonsense"))
    assert said[0] == "SOFTARGMAX_RUNTIME=nonsense: the runtimes are native and python"


def test_a_gpu_where_there_is_none(folder: Softargmax) -> None:
    done = folder("run", "good.npy", "--device", "gpu:0")
    if done.code == 0:
        pytest.skip("there is one")
    said = assert_refused(done)
    assert re.fullmatch(r"--device gpu:0: TensorFlow \S+ sees no GPU here \(devices: CPU:0.*\)", said[0]), said[0]
    assert "--device cpu" in said[1]


@pytest.mark.parametrize(
    "arguments", [["run", "missing.npy"], ["run", "good.npy", "--beta", "nan"], ["run", "word.csv"]], ids=" ".join
)
def test_verbose_shows_where_it_was_raised(folder: Softargmax, arguments: list[str]) -> None:
    folder.write("word.csv", "1,2\n3,x\x1b[31m\n")
    done = folder(*arguments, "--verbose")
    assert (done.code, done.raw) == (2, b"")
    assert "Traceback (most recent call last):\n" in done.err
    last = done.err.rpartition(START)
    assert last[1]
    assert "Traceback" not in last[2]
    assert "\x1b" not in done.err


# Names that try to be more than names

NAMES = {
    "[bold red]x[0].npy": "[bold red]x[0].npy",
    "🙂 naïve 日本.npy": "🙂 naïve 日本.npy",
    "two\nlines\rback.npy": r"two\nlines\rback.npy",
    "\x1b]0;title\x07\x1b[2J.npy": r"\x1b]0;title\x07\x1b[2J.npy",
    "\u202egnp.npy": r"\u202egnp.npy",
    "\udcff\udcfe.npy": r"\xff\xfe.npy",
    "%s{0}$HOME.npy": "%s{0}$HOME.npy",
    "-x.npy": "-x.npy",
}


def test_names_are_printed_as_text(softargmax: Softargmax) -> None:
    names = list(NAMES)
    try:
        for name in names:
            softargmax.save(name, TUTORIAL)
    except (OSError, UnicodeError):
        pytest.skip("this file system does not take such names")
    done = softargmax("run", "--", *names)
    assert (done.code, done.err) == (0, "")
    assert_harmless(done.out)
    assert [line.partition(" · ")[0] for line in done.lines if " · axis 1 · " in line] == list(NAMES.values())
    lines = softargmax("run", "--format", "jsonl", "--", *names).raw
    assert_harmless(lines.decode())
    done = softargmax("run", "-o", "./", "--", *names)
    assert (done.code, done.raw) == (0, b"")
    assert_harmless(done.err)
    assert [line.partition(": ")[0] for line in done.err.splitlines()] == list(NAMES.values())
    for name in names:
        assert Path(softargmax.folder / name).with_suffix(".csv").exists()


def test_names_of_missing_files_are_printed_as_text(softargmax: Softargmax) -> None:
    done = softargmax("run", "--", *NAMES)
    assert (done.code, done.raw) == (2, b"")
    assert_harmless(done.err)
    errors = [line for line in done.err.splitlines() if not line.startswith("  ")]
    assert errors == [f"{START}{shown}: no such file" for shown in NAMES.values()]


def test_a_suggested_name_is_printed_as_text(softargmax: Softargmax) -> None:
    softargmax.write("sco\x1bres.npy", "")
    assert assert_refused(softargmax("run", "scores.npy")) == [
        "scores.npy: no such file",
        r"did you mean sco\x1bres.npy?",
    ]


def test_cells_are_printed_as_text(softargmax: Softargmax) -> None:
    softargmax.write("ids.csv", 'name,[red]a[/],"b\x1b[31m\nc"\n"one\n\x1b]0;t\x07",1,2\n[bold]two,3,1\n')
    done = softargmax("run", "ids.csv", "--id-column", "name")
    assert (done.code, done.err) == (0, "")
    assert_harmless(done.out)
    assert r"one\n\x1b]0;t\x07" in done.out
    assert r"b\x1b[31m\nc" in done.out
    assert "[bold]two" in done.out
    assert "[red]a[/]" in done.out
    softargmax.write("cell.csv", "1,2\n3,\x1b[31mx\u202e\n")
    assert r"'\x1b[31mx\u202e' is not a number" in assert_refused(softargmax("run", "cell.csv"))[0]
    softargmax.write("long.csv", "1,2\n3," + "x" * 100_000 + "\n")
    assert all(len(line) < 500 for line in assert_refused(softargmax("run", "long.csv")))
