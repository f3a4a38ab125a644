"""The README and the guide show what the tool prints, and leave nothing out."""

from __future__ import annotations

import gzip
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from command import Inside
from make_docs import (
    CONSOLE,
    DOCS,
    GUIDE,
    PICTURE,
    PICTURED,
    README,
    ROOT,
    CannotRun,
    Shown,
    alike,
    drawn,
    outputs,
    renewed,
    sessions,
    text_in,
    with_fields,
)

from softargmax_cli.cli import app
from softargmax_cli.cli.guide import guide
from softargmax_cli.cli.usage import COMMANDS as NAMES_OF_COMMANDS
from softargmax_cli.cli.usage import command_of
from softargmax_cli.errors import OptionError
from softargmax_cli.files.writers import FORMATS, STORE
from softargmax_cli.reduction.fields import BY_NAME, NAMES
from softargmax_cli.reduction.result import Summary
from softargmax_cli.tensorflow.choice import VARIABLE

TEXT = README.read_text(encoding="utf-8")
PAGES = {file.stem: file.read_text(encoding="utf-8") for file in DOCS}
ALL = "\n".join(PAGES.values())
SESSIONS = [session for text in PAGES.values() for session in sessions(text)]
PYTHON = re.findall(r"(?ms)^```python\n(.*?)^```$", ALL)
COMMANDS = {name: command_of(name) for name in NAMES_OF_COMMANDS}


def block_below(marker: str, readme: str = TEXT) -> list[str]:
    """The lines of the fenced block that follows a marker at once."""
    (body,) = re.findall(rf"(?ms)^<!-- {marker} -->\n```sh\n(.*?)^```$", readme)
    return body.splitlines()


def rows(readme: str = ALL) -> dict[str, str]:
    """Every table row of the README: what its first cell names, and the rest of the row."""
    found = {}
    for first, rest in re.findall(r"(?m)^\| (.+?) \| (.+) \|$", readme):
        for name in first.replace("`", "").split(", "):
            found[name] = rest
    return found


def commands_of_ours(readme: str = ALL) -> list[str]:
    """Every `softargmax COMMAND ...` in the README, in blocks and in sentences, without what it is piped into."""
    typed = CONSOLE.sub(lambda block: "\n".join(re.findall(r"(?m)^\$ .*$", block[1])), readme)
    found = re.findall(rf"(?m)\bsoftargmax ((?:{'|'.join(COMMANDS)}) [^`\n]*)", typed)
    return [re.split(r" [|&>]|; |\\\|", command)[0].strip() for command in found]


@pytest.mark.parametrize(
    "session",
    [
        pytest.param(session, id=session[0].command, marks=[pytest.mark.slow] if " | " in session[0].command else [])
        for session in SESSIONS
    ],
)
def test_a_console_block_shows_what_is_printed(session: list[Shown], tmp_path: Path) -> None:
    try:
        now = outputs(session, tmp_path)
    except CannotRun as missing:
        pytest.skip(f"no shell or no jq for: {missing}")
    for shown, printed in zip(session, now, strict=True):
        assert alike(shown.output, printed), f"{shown.command}\nprints now:\n{printed}\nnot:\n{shown.output}"


@pytest.mark.slow
@pytest.mark.parametrize("block", PYTHON, ids=range(len(PYTHON)))
@pytest.mark.filterwarnings("ignore")  # what third parties deprecate is theirs to mend
def test_a_python_block_runs_as_it_stands(
    block: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(block, "<block>", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.splitlines() == re.findall(r"(?m)^print\(.*\) +# (.*)$", block)


def test_every_sample_has_a_command_and_its_output() -> None:
    shown = " ".join(command.command for session in SESSIONS for command in session)
    for sample in [*ROOT.glob("samples/*.npy"), *ROOT.glob("samples/*.csv")]:
        assert f"samples/{sample.name}" in shown


def test_commands_on_samples_are_all_run_here() -> None:
    shown = {command.command.removesuffix("; echo $?") for session in SESSIONS for command in session}
    shown = {re.split(r" \| (?:jq|tail|cut) ", command)[0].rpartition(" | ")[2] for command in shown}
    for command in commands_of_ours():
        if "samples/" in command:
            assert f"softargmax {command}" in {*shown, PICTURED}


@pytest.mark.slow
def test_commands_on_files_of_the_readers_own_run_on_such_files(tmp_path: Path) -> None:
    table = gzip.compress(b"name,cat,dog\na,1.5,9\nb,6,2\n")
    shown = " ".join(command.command for session in SESSIONS for command in session)
    # What is not here, stands for a name, or needs the command before it.
    elsewhere = ("--device gpu", "://", "--scheduler", "FILE", "TOPIC", "then.parquet")
    commands = [text for text in commands_of_ours() if text not in f"{shown} {PICTURED}"]
    commands = [text for text in commands if not any(word in text for word in elsewhere)]
    assert len(commands) >= 7
    for number, text in enumerate(commands):
        folder = tmp_path / str(number)
        folder.mkdir()
        words = shlex.split(text, comments=True)
        if "scores.zarr" in words:
            pytest.importorskip("zarr").save_array(folder / "scores.zarr", np.eye(3))
        inputs = [word for word in words[1:] if re.search(r"\.npy$|/$", word) and words[words.index(word) - 1] != "-o"]
        for name in inputs:  # a folder holds one, and a pattern matches one
            path = folder / (f"{name}x.npy" if name.endswith("/") else name.replace("*", "1"))
            path.parent.mkdir(exist_ok=True)
            np.save(path, [[5.0, 2, 1], [3.9, 4, 1]])
        done = Inside(folder)(*words, stdin=table)
        assert done.code in ((0, 1) if words[0] == "check" else (0,)), (text, done.err)
        if "-o" in words:
            assert (folder / words[words.index("-o") + 1]).exists()


def test_the_picture_is_what_is_printed(tmp_path: Path) -> None:
    assert PICTURED in TEXT
    assert f"]({PICTURE.relative_to(ROOT).as_posix()})" in TEXT
    (printed,) = outputs([Shown(PICTURED, "")], tmp_path)
    assert alike(text_in(PICTURE.read_text(encoding="utf-8")), f"$ {PICTURED}\n{printed}")


def test_the_picture_loads_nothing_and_names_no_place() -> None:
    svg = PICTURE.read_text(encoding="utf-8")
    links = set(re.findall(r"https?://[^\"' <)]*", svg))
    assert links == {"http://www.w3.org/2000/svg", "https://www.textualize.io"}
    assert "@font-face" not in svg
    assert str(Path.home()) not in svg


def test_a_picture_holds_the_text_it_was_drawn_from() -> None:
    printed = "a <b> & c   d\n\n   \x1b[1;31m12  -0.5\x1b[0m\n"
    svg = drawn("softargmax run", printed)
    assert text_in(svg).split() == ["$", "softargmax", "run", "a", "<b>", "&", "c", "d", "12", "-0.5"]
    assert "fill: #cc555a;font-weight: bold" in svg  # the red of the theme


@pytest.mark.parametrize("name", ["main-command", "test-command"])
def test_a_marked_command_is_one_line(name: str) -> None:
    assert TEXT.count(f"<!-- {name} -->") == 1
    (command,) = block_below(name)
    assert command.startswith("python3 -m venv .venv && .venv/bin/pip install --quiet ")


def test_the_main_command_ends_in_one_whose_output_is_shown() -> None:
    (command,) = block_below("main-command")
    assert command.rpartition(" && ")[2].removeprefix(".venv/bin/") in [session[0].command for session in SESSIONS]


def test_the_guide_has_every_topic() -> None:
    topics = [line.split()[0] for line in (GUIDE / "topics.txt").read_text("utf-8").splitlines()]
    assert sorted(topics) == sorted(file.stem for file in GUIDE.glob("*.md"))


def test_the_guide_is_printed_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    guide()
    assert capsys.readouterr().out == (GUIDE / "topics.txt").read_text("utf-8")
    guide("beta")
    assert capsys.readouterr().out == PAGES["beta"]
    with pytest.raises(OptionError, match="choose one of fields, beta"):
        guide("nothing")


def test_options_in_commands_exist() -> None:
    checked = 0
    for text in commands_of_ours():
        command, *words = shlex.split(text)
        parameters = COMMANDS[command].params
        known = {name for parameter in parameters for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
        used = {word for word in words if re.match(r"--?[a-z]", word)}
        assert used <= known, text
        checked += len(used)
    assert checked > 20


def test_the_guide_explains_every_field_in_the_words_of_the_code() -> None:
    explained = re.findall(r"(?m)^\| `(\w+)` \|", PAGES["fields"].partition("| field |")[2])
    assert tuple(explained[: len(NAMES)]) == NAMES
    assert set(BY_NAME) <= set(explained)
    assert with_fields(PAGES["fields"]) == PAGES["fields"]


def test_every_number_of_the_summary_is_explained() -> None:
    assert set(Summary().as_dict()) <= set(rows())


def test_every_format_has_its_row() -> None:
    formats = [*FORMATS, STORE, "table"]
    assert set(formats) <= set(rows())


def test_every_exit_code_has_its_row() -> None:
    codes = {0, 1, app.FAILED, app.BROKEN_PIPE, *(128 + number for number in app.SIGNALS)}
    assert {int(name) for name in rows() if name.isdecimal()} == codes


def test_every_environment_variable_has_its_row() -> None:
    read = set()
    for file in (ROOT / "softargmax_cli").rglob("*.py"):
        read |= set(re.findall(r"environ(?:\.get\(|\.setdefault\(|\[)\"(\w+)\"", file.read_text(encoding="utf-8")))
    assert "TERM" in read
    assert {*read, VARIABLE} - {"TF_ENABLE_ONEDNN_OPTS"} <= set(rows())


def test_contributors_read_of_modules_that_are_there() -> None:
    text = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:api|cli|cluster|files|reduction|report|tensorflow|tests)(?:/[\w./]+)?)`", text)
    assert len(named) >= 15
    places = [ROOT / name if name.startswith("tests") else ROOT / "softargmax_cli" / name for name in named]
    assert [str(place) for place in places if not place.exists()] == []


@pytest.mark.parametrize("file", DOCS, ids=lambda file: file.stem)
def test_links_lead_somewhere(file: Path) -> None:
    targets = re.findall(r"\]\(([^)]+)\)", file.read_text(encoding="utf-8"))
    assert [target for target in targets if "://" not in target and not (file.parent / target).exists()] == []


def test_the_readme_is_short() -> None:
    assert README.stat().st_size <= 20_000


STALE = """\
```console
$ softargmax run samples/tutorial.npy --format csv
index,hard
0,9
```
"""


def test_what_is_stale_is_made_again_and_what_is_not_stays() -> None:
    made = renewed(STALE)
    assert made.startswith(
        "```console\n$ softargmax run samples/tutorial.npy --format csv\n"
        "index,hard,soft,offset,peak,second,spread,entropy,ties,agree,multimodal\n0,0,0.0,0.0,"
    )
    close = re.sub(r"0\.99995460\d*", "0.9999546", made)
    assert close != made
    assert renewed(close) == close
