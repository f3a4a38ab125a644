"""Names from outside can neither control a terminal nor hide what they are."""

from __future__ import annotations

import io
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softargmax_cli.report.text import legible, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [bold]text[/] – né", "plain [bold]text[/] – né"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[31mred\x07\x00\x7f", "\\x1b[31mred\\x07\\x00\\x7f"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202etxt.exe\u2066", "abc\\u202etxt.exe\\u2066"),
        ("\u2028\u2029\ufeff\u200b", "\\u2028\\u2029\\ufeff\\u200b"),
        ("\udcff\ud800", "\\xff\\ud800"),
        ("全角\u3000a\xa0b", "全角\u3000a\xa0b"),
        ("👩\u200d🔬", "👩\u200d🔬"),
        ("\U000e0041", "\\U000e0041"),
        ("", ""),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@settings(max_examples=30)
@given(st.text(st.characters(exclude_categories=())))
def test_nothing_controls(text: str) -> None:
    shown = printable(text)
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert {c for c in shown if unicodedata.category(c) == "Cf"} <= set("\u200c\u200d")
    shown.encode("utf-8")
    assert printable(shown) == shown


@settings(max_examples=30)
@given(st.text(st.characters(exclude_categories=())), st.sampled_from(["ascii", "latin-1", "utf-8"]))
def test_legible_encodes(text: str, encoding: str) -> None:
    legible(text, io.TextIOWrapper(io.BytesIO(), encoding=encoding)).encode(encoding)


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("utf-8", "β ≠ ± ü 日"), ("latin-1", r"beta ! ± ü \u65e5"), ("ascii", r"beta ! +/- \xfc \u65e5")],
)
def test_signs_have_stand_ins(encoding: str, shown: str) -> None:
    assert legible("β ≠ ± ü 日", io.TextIOWrapper(io.BytesIO(), encoding=encoding)) == shown
