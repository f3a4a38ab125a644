"""Sessions of workers: a job that is worked on is never closed, however many there are."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("distributed")

from softargmax_cli.cluster.tasks import KEPT_SESSIONS, Assignment, ended, session
from softargmax_cli.errors import ClusterError
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.registry import open_source
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.budget import BOXES, Budget
from softargmax_cli.reduction.fields import FREE
from softargmax_cli.reduction.problem import Spec


def job(folder: Path, number: int) -> Assignment:
    """A job on a file that holds nothing but its number."""
    path = str(folder / f"{number}.npy")
    np.save(path, np.full((3, 4), number, "f4"))
    with closing(open_source(path, Reading())) as source:
        problem = Spec().resolve(source.shape, source.dtype, FREE)
        plan = Budget(BOXES, source, problem, 64 << 20).plan
    return Assignment(path, path, path, Reading(), problem, plan, 64 << 20, "cpu", None)


def test_a_session_is_closed_when_its_last_user_is_done(tmp_path: Path) -> None:
    jobs = [job(tmp_path, number) for number in range(KEPT_SESSIONS + 3)]
    found = [session(one) for one in jobs]
    assert session(jobs[-1]) is found[-1]
    assert session(jobs[0]) is not found[0]  # the oldest of too many
    sources = [one.source for one in found]
    for number, one in enumerate(found):
        with one.loaded(Block((0, 0), (3, 4))) as values:
            np.testing.assert_array_equal(values, number)
    assert not any(source.closed for source in sources)
    del found, one
    assert [source.closed for source in sources] == [True] * 4 + [False] * (KEPT_SESSIONS - 1)
    for last in jobs:
        ended(last.number)
    assert all(source.closed for source in sources)


def test_a_job_that_has_ended_is_not_worked_on_any_more(tmp_path: Path) -> None:
    one = job(tmp_path, 7)
    begun = session(one)
    ended(one.number)
    for late in (begun, session(one)):
        with pytest.raises(ClusterError, match="the run has ended"), late.place():
            pass
