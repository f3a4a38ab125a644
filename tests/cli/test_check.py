"""`softargmax check`: exit codes, what is compared with what, and reports that CI servers can read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any
from xml.etree import ElementTree

import numpy as np
import oracle
import pytest
from command import TUTORIAL, Done, Inside, Softargmax

KEYS = ["input", "passed", "slices", "failed", "allowed", "max_abs_offset", "worst"]
HALVES = [[0, 0], [9, 0], [0, 9], [5, 5]]
"""At β 100: soft is 0.5 off in the first and the last."""
ID = ["--id-column", "name"]


@pytest.fixture(scope="module")
def files(shared_inside: Inside) -> Inside:
    """Inputs of known offsets."""
    rng = np.random.default_rng(3)
    shared_inside.save("tutorial.npy", TUTORIAL)
    shared_inside.save("halves.npy", HALVES)
    shared_inside.write("halves.csv", "".join(f"{a},{b}\n" for a, b in HALVES))
    shared_inside.write("named.csv", "name,cat,dog\n" + "".join(f"n{k},{a},{b}\n" for k, (a, b) in enumerate(HALVES)))
    shared_inside.save("sharp.npy", np.eye(5) * 9)
    shared_inside.save("many.npy", rng.normal(size=(3000, 12)))
    cube = rng.normal(size=(6, 7, 8))
    shared_inside.save("cube.npy", cube)
    gaps = rng.normal(size=(6, 8))
    gaps[1, 2] = gaps[4, 0] = np.nan
    shared_inside.save("gaps.npy", gaps)
    shared_inside.save("empty.npy", np.zeros((0, 4)))
    return shared_inside


def verdict(done: Done) -> Any:
    """The document on standard output."""
    return json.loads(done.out, parse_constant=pytest.fail)


# Verdicts


def test_a_check_that_passes(files: Inside) -> None:
    done = files("check", "tutorial.npy")
    assert (done.code, done.err) == (0, "")
    assert done.out == "passed: tutorial.npy: 3 slices, all within |offset| <= 0.01 (largest: 4.54e-05)\n"


def test_no_slices_pass_with_a_note(files: Inside) -> None:
    done = files("check", "empty.npy")
    assert (done.code, done.out) == (0, "passed: empty.npy: 0 slices, all within |offset| <= 0.01\n")
    assert "nothing is checked" in done.err


def test_a_check_that_fails(files: Inside) -> None:
    done = files("check", "halves.npy", "--rows", "1")
    assert (done.code, done.err) == (1, "")
    first, blank, heading, rule, row, more, end = done.out.split("\n", 6)
    assert first == "FAILED: halves.npy: 2 of 4 slices beyond |offset| <= 0.01 (largest: 0.5)"
    assert (blank, end) == ("", "")
    assert heading.split() == ["slice", "hard", "soft", "offset", "peak", "second", "spread"]
    assert set(rule) == {"─", " "}
    assert row.split()[:3] == ["0", "0", "0.500000"]
    assert more == "and 1 more"


def test_the_tolerance_itself_passes(files: Inside) -> None:
    for tolerance, code in (("0.5", 0), ("0.4999999999", 1), ("0", 1), ("inf", 0)):
        assert files("check", "halves.npy", "--tol", tolerance).code == code


def test_how_many_may_fail(files: Inside) -> None:
    for name, allow, code, allowed in (
        ("halves.npy", "0", 1, 0),
        ("halves.csv", "1", 1, 1),
        ("halves.npy", "2", 0, 2),
        ("halves.npy", "999999999999999999", 0, 10**18 - 1),
        ("halves.csv", "50%", 0, 2),
        ("halves.npy", "49.99%", 1, 1),
        ("halves.npy", "100.0 %", 0, 4),
    ):
        done = files("check", name, "--allow", allow, "--format", "json", "--fail-fast")
        found = verdict(done)
        assert (done.code, found["passed"], found["allowed"]) == (code, code == 0, allowed)
    done = files("check", "halves.npy", "--allow", "50%")
    assert done.out == "passed: halves.npy: 2 of 4 slices beyond |offset| <= 0.01 (largest: 0.5), 2 allowed\n"


def test_wrong_use(files: Inside) -> None:
    for arguments in (
        *(["--allow", allow] for allow in ("-1", "100.1%", "", "%", "1.5", "nan", "1e3", "5%%", "9" * 19)),
        *(["--tol", tol] for tol in ("-0.1", "nan", "x")),
        *([option, value, "--expect", "e.npy"] for option in ("--atol", "--rtol") for value in ("nan", "-1")),
        ["--rows", "-1"],
        ["--format", "csv"],
        ["--expect", "e.npy", "--tol", "0.1"],
        ["--expect", "e.npy", "halves.csv"],
        *([option, "0.1"] for option in ("--atol", "--rtol")),
        ["--beta", "1", "--temperature", "1"],
        ["--axis", "x"],
    ):
        done = files("check", "halves.npy", *arguments)
        assert (done.code, done.raw) == (2, b""), arguments
        assert done.err.startswith("softargmax: error: ")
        assert len(done.err.splitlines()) <= 3


def test_an_input_that_cannot_be_used(files: Inside) -> None:
    for arguments in (["none.npy"], ["gaps.npy"], ["halves.npy", "--axis", "5"]):
        done = files("check", *arguments)
        assert (done.code, done.raw) == (2, b"")
        assert done.err.startswith(f"softargmax: error: {arguments[0]}: ")


def test_nothing_to_check(files: Inside) -> None:
    done = files("check", "empty.npy", "--format", "json", "--fail-fast")
    assert done.code == 0
    want = {"passed": True, "slices": 0, "failed": 0, "allowed": 0, "max_abs_offset": None, "worst": []}
    assert verdict(done) == {"input": "empty.npy", **want}


# The worst


def test_the_worst_of_many(files: Inside) -> None:
    rows = 20
    options = ["--beta", "2", "--tol", "0.3", "--rows", str(rows), "--memory", "16MiB"]
    done = files("check", "many.npy", *options, "--format", "json")
    assert (done.code, done.err) == (1, "")
    found = verdict(done)
    want = oracle.softargmax(np.load(files.folder / "many.npy"), beta=2.0)
    distance = np.abs(want.offset[0])
    order = np.argsort(-distance, kind="stable")
    failing = [k for k in order.tolist() if distance[k] > 0.3]
    assert list(found) == KEYS
    assert (found["slices"], found["failed"], found["allowed"]) == (3000, len(failing), 0)
    assert found["max_abs_offset"] == pytest.approx(distance.max(), abs=1e-10)
    assert [row["index"] for row in found["worst"]] == [[k] for k in failing[:rows]]
    for row in found["worst"]:
        (k,) = row["index"]
        assert row["hard"] == want.hard[0, k]
        assert row["soft"] == pytest.approx(want.soft[0, k], abs=1e-9)


def test_the_worst_are_objects_as_in_run(files: Inside) -> None:
    options = ["cube.npy", "--axis", "-2,-1", "--beta", "2", "--coords", "corners", "--window", "3"]
    rows = [json.loads(line) for line in files("run", *options, "--format", "jsonl").lines]
    worst = verdict(files("check", *options, "--tol", "0", "--format", "json"))["worst"]
    assert sorted(worst, key=lambda row: row["index"]) == rows
    distances = [max(map(abs, row["offset"])) for row in worst]
    assert distances == sorted(distances, reverse=True)


def test_undefined_slices_fail_and_come_first(files: Inside) -> None:
    options = ["check", "gaps.npy", "--beta", "3", "--nan", "propagate"]
    found = verdict(files(*options, "--tol", "0.2", "--format", "json"))
    assert [row["index"] for row in found["worst"]][:2] == [[1], [4]]
    assert [row["soft"] for row in found["worst"]][:2] == [None, None]
    assert isinstance(found["max_abs_offset"], float)
    done = files(*options, "--tol", "inf")
    assert done.code == 1
    assert done.lines[0].startswith("FAILED: gaps.npy: 2 of 6 slices beyond |offset| <= inf (largest: ")
    assert done.lines[4].endswith("∅ undefined")


def test_rows_of_a_table_by_name(files: Inside) -> None:
    done = files("check", "named.csv", *ID)
    assert done.code == 1
    assert done.lines[2].split()[:4] == ["slice", "id", "hard", "label"]
    assert [line.split()[:4] for line in done.lines[4:6]] == [["0", "n0", "0", "cat"], ["3", "n3", "0", "cat"]]
    worst = verdict(files("check", "named.csv", *ID, "--format", "json"))["worst"]
    assert [(row["id"], row["label"], row["index"]) for row in worst] == [("n0", "cat", [0]), ("n3", "cat", [3])]


# A stored result


@pytest.mark.parametrize(
    ("suffix", "options"), [("npy", ["--axis", "0,2"]), ("csv", ["--axis", "0,1,2"]), ("csv", ["--coords", "corners"])]
)
def test_a_result_of_run_is_as_expected(inside: Inside, suffix: str, options: list[str]) -> None:
    inside.save("cube.npy", np.random.default_rng(3).normal(size=(6, 7, 8)))
    assert inside("run", "cube.npy", *options, "-o", f"r.{suffix}").code == 0
    done = inside("check", "cube.npy", *options, "--expect", f"r.{suffix}", "--atol", "0")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith(f"all within 0 of r.{suffix} (largest: 0)\n")
    done = inside("check", "cube.npy", *options, "--beta", "5", "--expect", f"r.{suffix}", "--format", "json")
    assert done.code == 1
    found = verdict(done)
    assert list(found) == [key.replace("max_abs_offset", "max_abs_difference") for key in KEYS]
    for row in found["worst"]:
        np.testing.assert_array_equal(row["difference"], np.subtract(row["soft"], row["expected"]))
    assert found["max_abs_difference"] == pytest.approx(np.abs(found["worst"][0]["difference"]).max())


def test_undefined_slices_are_as_expected(inside: Inside) -> None:
    inside.save("n.npy", [[np.nan, 1], [0, 9], [9, 0]])
    for suffix in ("npy", "csv"):
        assert inside("run", "n.npy", "--nan", "propagate", "-o", f"r.{suffix}").code == 0
        assert inside("check", "n.npy", "--nan", "propagate", "--expect", f"r.{suffix}").code == 0
        found = verdict(inside("check", "n.npy", "--nan", "omit", "--expect", f"r.{suffix}", "--format", "json"))
        assert (found["failed"], found["max_abs_difference"], found["worst"][0]["index"]) == (1, 0.0, [0])


def test_tolerances(files: Inside) -> None:
    files.save("off.npy", [0.5, 0, 0.75, 0.5])
    for options, code, said in (
        ("--atol 0.2", 1, "beyond 0.2 of off.npy"),
        ("--atol 0.25", 0, "within 0.25 of off.npy"),
        ("--rtol 0.334", 0, "within 1e-06 + 0.334 |expected| of off.npy"),  # a quarter is a third of 0.75
        ("--rtol 0.32 --atol 0.02", 0, "within 0.02 + 0.32 |expected| of off.npy"),
    ):
        done = files("check", "halves.npy", "--expect", "off.npy", *options.split())
        assert done.code == code
        assert f"{said} (largest: 0.25)" in done.lines[0]


def test_what_was_expected_is_shown_in_every_format(files: Inside) -> None:
    files.save("other.npy", [0.5, 0.25, 1, 0.75])
    options = ["check", "halves.npy", "--expect", "other.npy"]
    table = files(*options)
    assert table.code == 1
    names = ["slice", "hard", "soft", "expected", "difference", "offset", "peak", "second", "spread"]
    assert table.lines[2].split()[:9] == names
    rows = [line.split()[:5] for line in table.lines[4:]]
    assert rows == [["1", "0", "0.000000", "0.250000", "-0.2500"], ["3", "0", "0.500000", "0.750000", "-0.2500"]]
    (annotated,) = files(*options, "--format", "github").lines
    assert annotated.split("%0A")[1:] == table.lines[2:]
    reported = ElementTree.fromstring(files(*options, "--format", "junit").raw)[0]
    assert (reported[0][0].text or "").splitlines() == table.lines[2:]
    worst = verdict(files(*options, "--format", "json"))["worst"]
    assert [(row["soft"], row["expected"], row["difference"]) for row in worst] == [
        (0, 0.25, -0.25),
        (0.5, 0.75, -0.25),
    ]


def test_a_tolerance_for_hard_says_what_it_is_for_stored_results(files: Inside) -> None:
    files.save("soft.npy", [0.5, 0, 1, 0.5])
    done = files("check", "halves.npy", "--expect", "soft.npy", "--tol", "0.1")
    assert (done.code, done.raw) == (2, b"")
    assert done.err.splitlines()[1].strip() == "try: softargmax check halves.npy --expect soft.npy --atol 0.1"
    done = files("check", "halves.npy", "--expect=soft.npy", "--tol=0.1", "--atol=0.1")
    assert done.err.splitlines()[1].strip() == "leave out --tol"


def test_tables_have_results_too(files: Inside) -> None:
    files.write("soft.csv", "0.5\n0\n1\n0.5\n")
    for name, options in (("halves.csv", []), ("named.csv", ID)):
        done = files("check", name, *options, "--expect", "soft.csv")
        assert (done.code, done.err) == (0, "")
    files.write("other.csv", "soft\n0.5\n0.2\n1\n0.9\n")
    found = verdict(files("check", "named.csv", *ID, "--expect", "other.csv", "--format", "json"))
    assert [row["id"] for row in found["worst"]] == ["n3", "n1"]
    assert found["max_abs_difference"] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (np.zeros(3), "shape (3,) is not that of the result, (4,)"),
        (np.zeros((4, 1)), "shape (4, 1) is not that of the result, (4,)"),
        (b"soft\n0\n0\n", "holds 2 slices, the input has more"),
        (b"soft\n" + b"0.5\n" * 5, "holds more slices than the input, which has 4"),
        (b"", "empty"),
        (b"soft\nx\n", "no column of numbers: text is in column 1 ('soft')"),
        (None, "no such file"),
    ],
)
def test_a_result_that_does_not_fit(inside: Inside, content: Any, what: str) -> None:
    inside.save("x.npy", HALVES)
    if isinstance(content, bytes):
        inside.write("e", content)
    elif content is not None:
        inside.save("e.npy", content)
        os.rename(inside.folder / "e.npy", inside.folder / "e")
    done = inside("check", "x.npy", "--expect", "e")
    assert (done.code, done.raw) == (2, b"")
    first, *remedy = done.err.splitlines()
    assert first.startswith("softargmax: error: ")
    assert first.endswith(f"e: {what}")
    assert len(remedy) <= 2


# Stopping early


@pytest.mark.slow
def test_it_stops_at_the_first_block_that_settles_it(inside: Inside) -> None:
    values = np.zeros((300_000, 16), np.float32)
    values[:, 0] = 9
    values[0] = 0
    inside.save("x.npy", values, "float32")
    options = ["check", "x.npy", "--memory", "16MiB", "--format", "json"]
    found = verdict(inside(*options, "--fail-fast"))
    assert (found["passed"], found["failed"]) == (False, 1)
    assert found["slices"] < 300_000
    assert verdict(inside(*options))["slices"] == 300_000
    done = inside(*options[:-2], "--fail-fast")
    assert done.code == 1
    assert " slices so far beyond |offset|" in done.lines[0]
    # What is allowed is counted of all slices, read or not.
    found = verdict(inside(*options, "--fail-fast", "--allow", "0.001%"))
    assert (found["passed"], found["slices"], found["allowed"]) == (True, 300_000, 3)


@pytest.mark.slow
def test_it_never_stops_early_for_a_share_of_an_unknown_number(inside: Inside) -> None:
    zeros = ",0" * 14 + "\n"
    inside.write("x.csv", f"5,5{zeros}" * 10 + f"9,0{zeros}" * 300_000)
    options = ["check", "x.csv", "--fail-fast", "--memory", "16MiB", "--format", "json"]
    found = verdict(inside(*options, "--allow", "1%"))
    assert (found["passed"], found["slices"], found["allowed"]) == (True, 300_010, 3000)
    found = verdict(inside(*options, "--allow", "9"))
    assert not found["passed"]
    assert found["slices"] < 300_010
    done = inside(*options[:-2], "--allow", "9")
    assert " slices so far beyond " in done.lines[0]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_the_writer_of_a_pipe_sees_that_reading_stopped(softargmax: Softargmax) -> None:
    writing = "import sys\nwhile True: sys.stdout.write('5,5\\n' * 1000)"
    with subprocess.Popen([sys.executable, "-c", writing], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as writer:
        try:
            assert writer.stdout is not None
            done = softargmax("check", "-", "--fail-fast", "--no-header", stdin=writer.stdout)
            writer.stdout.close()
            assert writer.stderr is not None
            assert b"BrokenPipe" in writer.stderr.read()
        finally:
            writer.kill()
            writer.wait(60)
    assert (done.code, done.err) == (1, "")
    assert done.lines[0].startswith("FAILED: <stdin>: ")
    assert "so far" in done.lines[0]


# Formats


def test_annotations(files: Inside) -> None:
    done = files("check", "halves.npy", "sharp.npy", "tutorial.npy", "--tol", "1e-5", "--format", "github")
    assert done.code == 1
    assert len(done.lines) == 2
    assert done.lines[0].startswith("::error file=halves.npy,title=softargmax check::2 of 4 slices beyond ")
    assert done.lines[0].count("%0A") == 4  # heading, rule, two slices
    assert done.lines[1].startswith("::error file=tutorial.npy,")
    verdicts = [["FAILED", "halves.npy"], ["passed", "sharp.npy"], ["FAILED", "tutorial.npy"]]
    assert [line.split(": ")[:2] for line in done.err.splitlines()][:3] == verdicts
    assert files("check", "sharp.npy", "--format", "github", "--quiet") == Done(0, b"", "")


@pytest.mark.skipif(sys.platform != "linux", reason="names that other systems refuse")
@pytest.mark.parametrize("format", ["table", "json", "github", "junit"])
def test_names_of_all_kinds(inside: Inside, format: str) -> None:
    names = ["a\nb%0A::error::,:.npy", "[red]x[bold]<b>&amp;]]>.npy", "c\x01\x1b[31m\r.npy", "日本語 é.npy"]
    names.append(os.fsdecode(b"byte\xff.npy"))
    for name in names:
        inside.save(name, HALVES)
    done = inside("check", *names, "--format", format, PYTHONIOENCODING="ascii")
    assert done.code == 1
    assert all(line.startswith("FAILED: ") for line in done.err.splitlines())
    text = done.raw.decode("ascii" if format == "table" else "utf-8")
    assert all(line.isprintable() for line in text.splitlines())
    if format == "json":
        assert [one["input"] for one in verdict(done)["inputs"]] == names
    elif format == "github":
        assert len(text.splitlines()) == len(names)
        assert all(line.startswith("::error file=") for line in text.splitlines())
    elif format == "junit":
        cases = ElementTree.fromstring(done.raw)[0]
        assert [case.get("name") for case in cases][1::2] == [names[1], names[3]]
    else:
        assert sum(line.startswith("FAILED: ") for line in text.splitlines()) == len(names) + 1  # and all together


# Where the report goes


@pytest.mark.parametrize("format", ["table", "junit"])
def test_a_report_in_a_file(inside: Inside, format: str) -> None:
    inside.save("x.npy", HALVES)
    shown = inside("check", "x.npy", "--format", format)
    done = inside("check", "x.npy", "--format", format, "-o", "r")
    assert (done.code, done.raw) == (1, b"")
    assert done.err == "FAILED: x.npy: 2 of 4 slices beyond |offset| <= 0.01 (largest: 0.5)\n"
    again = inside("check", "x.npy", "--format", format, "-o", "-", "-q").raw
    assert inside.read("r") == shown.raw == again
    assert inside.names() == {"x.npy", "r"}


def test_a_file_that_exists(inside: Inside) -> None:
    inside.save("x.npy", HALVES)
    inside.write("r", "old")
    done = inside("check", "x.npy", "-o", "r")
    assert (done.code, inside.read("r")) == (2, b"old")
    assert "--force" in done.err
    for wrong in (["none.npy"], ["x.npy", "--axis", "7"], ["x.npy", "--expect", "none"]):
        done = inside("check", *wrong, "-o", "r", "--force")
        assert (done.code, done.raw, inside.read("r")) == (2, b"", b"old")
    assert inside("check", "x.npy", "-o", "r", "--force", "--quiet").err == ""
    assert inside.read("r").startswith(b"FAILED: x.npy")
    assert inside.names() == {"x.npy", "r"}


# Several inputs


def test_the_worst_exit_code(files: Inside) -> None:
    assert files("check", "sharp.npy", "tutorial.npy").code == 0
    assert files("check", "halves.npy", "sharp.npy").code == 1
    assert files("check", "sharp.npy", "halves.npy").code == 1
    assert files("check", "none.npy", "halves.npy", "sharp.npy").code == 2


@pytest.mark.parametrize("format", ["table", "json", "github", "junit"])
def test_an_error_of_one_input_leaves_the_others_their_report(files: Inside, format: str) -> None:
    done = files("check", "halves.npy", "none.npy", "sharp.npy", "--format", format)
    assert done.code == 2
    assert "softargmax: error: none.npy: " in done.err
    if format == "table":
        lines = [line.split(": ")[:2] for line in done.lines if ": " in line]
        assert lines == [["FAILED", "halves.npy"], ["passed", "sharp.npy"], ["FAILED", "all inputs"]]
    elif format == "json":
        found = verdict(done)
        assert list(found) == ["inputs", "summary"]
        assert found["summary"] == {
            "inputs": 3,
            "passed": 1,
            "failed": 1,
            "errors": 1,
            "slices": 9,
            "failed_slices": 2,
        }
        failed, refused, passed = found["inputs"]
        assert (failed["input"], failed["passed"], list(failed)) == ("halves.npy", False, KEYS)
        assert passed == verdict(files("check", "sharp.npy", "--format", "json"))
        remedy = "check the name, and where it is looked for"
        assert refused == {"input": "none.npy", "passed": None, "error": "no such file", "remedy": remedy}
    elif format == "github":
        files_named = [line.partition(",")[0].removeprefix("::error file=") for line in done.lines]
        assert files_named[:2] == ["halves.npy", "none.npy"]
    else:
        cases = {case.get("name"): [child.tag for child in case] for case in ElementTree.fromstring(done.raw)[0]}
        assert cases.items() >= {"halves.npy": ["failure"], "none.npy": ["error"], "sharp.npy": ["system-out"]}.items()


# The process


def test_quiet_keeps_the_verdict(files: Inside) -> None:
    loud, quiet = files("check", "halves.npy"), files("check", "halves.npy", "--quiet")
    assert (quiet.code, quiet.raw, quiet.err) == (1, loud.raw, "")
