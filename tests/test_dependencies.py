"""What pyproject.toml admits is what .ci/lock.txt holds, and nothing in that names a place to get it from."""

from __future__ import annotations

import re
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / ".ci" / "lock.txt").read_text("utf-8")


def asked_for() -> list[Requirement]:
    """The requirements of the package, and of its extras for tests and development."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    lists = re.findall(r"(?ms)^(dependencies|\w+) = \[\n(.*?)^\]", text.partition("[project.scripts]")[0])
    found = []
    for name, body in lists:
        if name not in ("authors", "keywords", "classifiers", "bench", "gpu"):
            found += [Requirement(line) for line in re.findall(r'(?m)^    "([^"]+)"', body)]
    return [requirement for requirement in found if requirement.name != "softargmax"]


def test_the_lock_holds_a_release_that_is_admitted() -> None:
    requirements = asked_for()
    assert {"numpy", "tensorflow", "pytest", "ruff"} <= {requirement.name for requirement in requirements}
    for requirement in requirements:
        pinned = re.findall(rf"(?m)^{re.escape(requirement.name)}==([\w.]+)", LOCK)
        assert pinned, f"{requirement.name} is not in .ci/lock.txt; Contributing says how it is made"
        for version in pinned:
            assert requirement.specifier.contains(version), f"{requirement}: {version} in .ci/lock.txt"


def test_every_bound_is_a_bound_from_below() -> None:
    for requirement in asked_for():
        assert any(each.operator == ">=" for each in requirement.specifier), requirement


def test_the_lock_says_what_and_not_where() -> None:
    assert LOCK.count("--hash=sha256:") > 500
    assert not re.search(r"://|/[a-z]+/|--index|--find|--trusted| @ ", LOCK)
    for line in LOCK.splitlines():
        assert re.match(r"[a-z0-9-]+==[\w.+]+( ; .*)? \\$|    --hash=sha256:[0-9a-f]{64}( \\)?$", line), line
