"""Files that no one should trust: refused in words, in little memory, and nothing is written."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from cases import ARCHIVES, HUGE, NPY, OTHERS, TEXT, Case, described
from measured import Commands, Ended, Most

FILES = {**NPY, **TEXT, **OTHERS, **ARCHIVES}
GROUPS = {"npy": NPY, "text": TEXT, "others": OTHERS, "archives": ARCHIVES}


def assert_refused(ended: Ended, cases: dict[str, Case], most: Most) -> None:
    """Exit code 2, nothing on standard output, an error for each file and no other, in little memory and time."""
    assert (ended.code, ended.out) == (2, b""), ended.err
    errors = {name.removesuffix("[scores]"): lines for name, lines in ended.errors().items()}
    assert list(errors) == list(cases)
    for name, (what, *remedy) in errors.items():
        assert cases[name].what in what, what
        assert cases[name].remedy in " ".join(remedy), remedy
        assert len(what) <= 400
    most.hold(ended)


@pytest.fixture(scope="module")
def files(folder: Commands) -> Commands:
    """All of them in a folder, and in others the results of an earlier day."""
    for name, case in {**FILES, **HUGE}.items():
        folder.write(name, case.content)
    (folder.folder / "old").mkdir()
    for name in FILES:
        (folder.folder / "old" / f"{name.removesuffix('.gz').rpartition('.')[0]}.csv").write_bytes(b"old")
    return folder


@pytest.mark.parametrize("group", GROUPS)
def test_each_is_refused_and_no_result_is_touched(files: Commands, group: str, most: Most) -> None:
    """In one process, whose memory is then that of all; one that is let in would be missing among the errors."""
    before = files.contents()
    stems = [name.removesuffix(".gz").rpartition(".")[0] for name in GROUPS[group]]
    assert len(set(stems)) == len(stems)
    assert_refused(files("run", *GROUPS[group], "-o", "old/", "--force"), GROUPS[group], most)
    assert files.contents() == before
    assert not (files.folder / "boom").exists()


def test_none_leaves_a_result_where_there_was_none(files: Commands, most: Most) -> None:
    (files.folder / "new").mkdir()
    before = files.contents()
    for cases in GROUPS.values():
        assert_refused(files("run", *cases, "-o", "new/", "--format", "npz"), cases, most)
    assert files.contents() == before


def test_none_keeps_the_others_from_being_read(files: Commands) -> None:
    names = ["tutorial.npy", *NPY, "tutorial.npy"]
    ended = files("run", *names, "--format", "jsonl")
    assert ended.code == 2
    assert ended.out.count(b"\n") == 6
    assert list(ended.errors()) == list(NPY)


@pytest.mark.parametrize("name", HUGE)
def test_what_is_huge_takes_no_memory(files: Commands, name: str, most: Most) -> None:
    before = files.contents()
    assert_refused(files("run", name, "-o", "old/huge.csv", "--force"), {name: HUGE[name]}, most)
    assert files.contents() == before


@pytest.mark.parametrize("name", ["truncated.npy", "declared.npy", "ragged.csv", "nan.npy", "pickle_4.npy"])
def test_one_alone_prints_no_half_of_a_document(files: Commands, name: str) -> None:
    ended = files("run", name, "--format", "json")
    assert (ended.code, ended.out) == (2, b"")
    assert list(ended.errors()) == [name]


def test_inspect_shows_what_can_be_seen_and_refuses_the_rest(files: Commands, most: Most) -> None:
    """That is an array without slices, and numbers that only a reduction minds."""
    ended = files("inspect", *FILES, *HUGE, "--format", "json", "--quiet")
    described = [json.loads(line)["input"] for line in ended.out.splitlines()]
    assert {name for name, case in FILES.items() if case.inspected} <= set(described)
    refused = {name: case for name, case in {**FILES, **HUGE}.items() if name not in described}
    assert_refused(replace(ended, out=b""), refused, most)


@pytest.mark.parametrize("format", ["junit", "github", "json"])
def test_check_reports_each_as_an_error(files: Commands, format: str, most: Most) -> None:
    before = files.contents()
    ended = files("check", *FILES, "--format", format, "-o", f"report.{format}")
    assert_refused(ended, FILES, most)
    report = files.contents()[f"report.{format}"].decode()
    assert files.contents().keys() - before.keys() == {f"report.{format}"}
    if format == "github":
        assert [line.split("file=")[1].split(",")[0] for line in report.splitlines()] == list(FILES)
        assert all(line.startswith("::error ") for line in report.splitlines())
        return
    if format == "json":
        objects = json.loads(report)["inputs"]
        assert [one["input"] for one in objects] == list(FILES)
        for one in objects:
            assert list(one) == ["input", "passed", "error", "remedy"]
            assert one["passed"] is None
            assert FILES[one["input"]].what in one["error"]
            assert FILES[one["input"]].remedy in one["remedy"]
        return
    (suite,) = ElementTree.fromstring(report.encode())
    assert float(suite.attrib.pop("time")) >= 0
    assert suite.attrib == {
        "name": "softargmax check",
        "tests": str(len(FILES)),
        "failures": "0",
        "errors": str(len(FILES)),
    }
    for case in suite:
        (error,) = case
        assert error.tag == "error"
        assert FILES[case.attrib["name"]].what in error.attrib["message"]
        assert FILES[case.attrib["name"]].remedy in " ".join((error.text or "").splitlines())


def test_check_prints_no_verdict_on_them(files: Commands, most: Most) -> None:
    assert_refused(files("check", *FILES), FILES, most)


@pytest.mark.parametrize("name", ["truncated.npy", "cut_header.npy", "negative.npy", "objects.npy", "pickle_4.npy"])
def test_through_a_pipe_they_are_no_safer(files: Commands, name: str, most: Most) -> None:
    ended = files("run", "-", stdin=FILES[name].content)
    assert (ended.code, ended.out) == (2, b"")
    (what, *remedy) = ended.errors()["<stdin>"]
    if name != "truncated.npy":  # of which only the end tells
        assert FILES[name].what in what
    assert remedy
    most.hold(ended)
    assert not (files.folder / "boom").exists()


@pytest.mark.parametrize("shape", ["(1099511627776,)", "(1048576, 1048576)", "(274877906944, 4)"])
def test_what_a_pipe_says_takes_no_memory(files: Commands, shape: str, most: Most) -> None:
    """4 TiB, of which there are 3 MB: a block that is worth computing, and no more."""
    ended = files("run", "-", "-o", "old/huge.csv", "--force", stdin=described(shape, data=bytes(3_000_000)))
    (what, _) = ended.errors()["<stdin>"]
    assert what == f"ended before all of shape {shape} of float32 was read"
    assert (ended.code, ended.out) == (2, b"")
    most.hold(ended)


def test_coordinates_are_no_safer(files: Commands) -> None:
    for name in ("objects.npy", "cell.csv", "nan.csv"):
        ended = files("run", "tutorial.npy", "--values", name, "-o", "values.csv")
        assert (ended.code, ended.out) == (2, b"")
        ((given, said),) = ended.errors().items()
        assert given == f"--values {name}"
        assert len(said) == 2
        assert "values.csv" not in files.contents()
