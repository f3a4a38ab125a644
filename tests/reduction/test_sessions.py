"""Sessions of workers: a job that is worked on is never closed, however many there are."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest

from softargmax_cli.cluster.session import KEPT, Job, end, session
from softargmax_cli.errors import InputError
from softargmax_cli.files.reading import Reading
from softargmax_cli.files.registry import open_source
from softargmax_cli.reduction.blocks import Block
from softargmax_cli.reduction.budget import BOXES
from softargmax_cli.reduction.fields import FREE
from softargmax_cli.reduction.problem import Spec

WHOLE = Block((0, 0), (3, 4))


def job(folder: Path, number: int) -> Job:
    """A job on a file that holds nothing but its number."""
    path = str(folder / f"{number}.npy")
    np.save(path, np.full((3, 4), number, "f4"))
    with closing(open_source(path, Reading())) as source:
        problem = Spec().resolve(source.shape, source.dtype, FREE)
        plan = BOXES.plan(source, problem, 64 << 20)
    return Job(path, path, path, Reading(), problem, plan, 64 << 20, "cpu", None)


def test_a_session_is_closed_when_its_last_user_is_done(tmp_path: Path) -> None:
    jobs = [job(tmp_path, number) for number in range(KEPT + 3)]
    with ExitStack() as users:
        found = [users.enter_context(session(one)) for one in jobs]
        with session(jobs[0]) as again:
            assert again is found[0]
        end(jobs[0].number)
        for number, one in enumerate(found):
            with one.loaded(WHOLE) as values:
                np.testing.assert_array_equal(values, number)
    for closed in (found[0], found[1]):  # one has ended, the other is the oldest of too many
        with pytest.raises(InputError, match="closed"), closed.loaded(WHOLE):
            pass
    with found[-1].loaded(WHOLE) as values:
        np.testing.assert_array_equal(values, len(jobs) - 1)
    for one in jobs:
        end(one.number)
    with pytest.raises(InputError, match="closed"), found[-1].loaded(WHOLE):
        pass
