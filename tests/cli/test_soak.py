"""A thousand reductions in one process: neither memory nor descriptors grow, and the last is as quick to set up."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from command import Softargmax

pytestmark = pytest.mark.nightly

if not os.path.exists("/proc/self/statm"):
    pytest.skip("only Linux says what a process holds", allow_module_level=True)

COUNTING = """
import json, os, sys
import numpy as np

def held():
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
"""
REDUCE = """
from softargmax_cli.api.reduce import reduce
rng, found = np.random.default_rng(0), []
for k in range(int(sys.argv[1])):
    if k % (int(sys.argv[1]) // 4) == 0:
        found.append(held())
    scores = rng.standard_normal((k % 5 + 1, 7)).astype("f4")
    assert (reduce(scores, fields=["spread"]).hard == scores.argmax(-1)).all()
found.append(held())
print(json.dumps(found))
"""
MB = 10**6


def grown(found: list[list[int]]) -> int:
    """By how many bytes memory grew after the first quarter, in which libraries warm up."""
    (_, *first), (second, *_), *_, (last, *end) = found
    assert abs(end[0] - first[0]) <= 2, "descriptors"  # those of libraries come late
    return last - second


def ended(softargmax: Softargmax, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", COUNTING + code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=softargmax.folder,
        env=softargmax.environment(),
        timeout=110,
    )


@pytest.mark.slow
def test_a_thousand_reductions(softargmax: Softargmax) -> None:
    found = json.loads(ended(softargmax, REDUCE, "1000").stdout)
    assert len(found) == 5
    assert grown(found) < 8 * MB
