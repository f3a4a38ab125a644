"""Verdicts for people and for CI servers, whatever stands in names."""

from __future__ import annotations

import math
import re
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

from softargmax_cli.cli.verdicts import Checked, annotation, junit, sentence_of

HOSTILE = "a\nb\r%0A::error::x,y: <&\"']]>\x00\x1b[31m\x85\u2028\u202e\ud800\udcff\ufffe\uffff é.npy"


@pytest.mark.parametrize(
    ("arguments", "want"),
    [
        ((3, 0, 0, 0.001, False), "3 slices, all within C (largest: 0.001)"),
        ((1, 0, 0, 0.0, False), "1 slice, all within C (largest: 0)"),
        ((0, 0, 0, math.nan, False), "0 slices, all within C"),
        ((12345, 1234, 0, 1.23456, False), "1,234 of 12,345 slices beyond C (largest: 1.235)"),
        ((5, 2, 1000, 2.0, False), "2 of 5 slices beyond C (largest: 2), 1,000 allowed"),
        ((5, 2, 1, 2.0, True), "2 of 5 slices so far beyond C (largest: 2), 1 allowed"),
    ],
)
def test_sentences(arguments: tuple[int, int, int, float, bool], want: str) -> None:
    names = ("slices", "failed", "allowed", "furthest", "stopped")
    check: Any = SimpleNamespace(**dict(zip(names, arguments, strict=True)))
    assert sentence_of(check, "C") == want


def test_annotations() -> None:
    assert annotation(Checked("a.npy", True, "fine", [])) == ""
    found = annotation(Checked("a,b:c 100%.npy", False, "50% off", ["one", "two"]))
    assert found == "::error file=a%2Cb%3Ac 100%25.npy,title=softargmax check::50%25 off%0Aone%0Atwo\n"


def test_an_annotation_is_one_line_whatever_the_names_are() -> None:
    found = annotation(Checked(HOSTILE, False, f"beyond 1 of {HOSTILE}", [HOSTILE, "x"]))
    assert found.splitlines() == [found.rstrip("\n")]
    assert found[:-1].isprintable()
    found.encode()
    properties, message = re.fullmatch(r"::error ([^:]*)::(.*)\n", found).groups()  # type: ignore[union-attr]
    assert [part.split("=", 1)[0] for part in properties.split(",")] == ["file", "title"]
    assert message.count("%0A") == 2 + 2 * 0  # what stood in names is %250A
    assert message.count("%250A") == 2


def test_junit() -> None:
    checks = [
        Checked("a.npy", True, "3 slices, all within it", []),
        Checked("b <c>.npy", False, 'bad "& worse"', ["slice  hard", "    0     1"]),
        Checked("c.npy", None, "no such file", ["did you mean a.npy?"]),
    ]
    text = junit(checks)
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n')
    suites = ElementTree.fromstring(text.encode())
    (suite,) = suites
    assert (suites.tag, suite.tag) == ("testsuites", "testsuite")
    totals = {"tests": "3", "failures": "1", "errors": "1"}
    assert (suites.attrib, suite.attrib) == (totals, {"name": "softargmax check", **totals})
    passed, failed, refused = suite
    assert [case.get("name") for case in suite] == ["a.npy", "b <c>.npy", "c.npy"]
    assert {case.get("classname") for case in suite} == {"softargmax.check"}
    assert [(child.tag, child.text) for child in passed] == [("system-out", "3 slices, all within it")]
    (failure,) = failed
    assert (failure.tag, failure.get("message")) == ("failure", 'bad "& worse"')
    assert failure.text == "slice  hard\n    0     1"
    (error,) = refused
    assert (error.tag, error.get("message"), error.text) == ("error", "no such file", "did you mean a.npy?")


@pytest.mark.parametrize("passed", [True, False, None])
def test_junit_is_valid_xml_whatever_the_names_are(passed: bool | None) -> None:
    text = junit([Checked(HOSTILE, passed, f"beyond 1 of {HOSTILE}", [HOSTILE])])
    # https://www.w3.org/TR/xml/#charsets
    assert re.fullmatch("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*", text)
    (case,) = ElementTree.fromstring(text.encode())[0]
    assert case.get("name", "").startswith("a\\nb\\r%0A::error::x,y: <&\"']]>\\x00\\x1b[31m")
