"""Which models a rehearsal looks at, told without a database."""

from __future__ import annotations

import pytest
from django.db import DEFAULT_DB_ALIAS
from django.db.migrations import RunPython, RunSQL, SeparateDatabaseAndState
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from syzygy.rehearsal.releases import NEW, OLD, Release
from syzygy.rehearsal.scope import models_to_probe
from syzygy.stages import Decision, Source
from syzygy.staging import Step
from tests.rules_helpers import APP, migration, model


@pytest.mark.parametrize(
    ("operation", "forward", "undone"),
    [
        (RunPython(RunPython.noop, RunPython.noop), [0, 0], [0, 0]),
        (RunSQL(RunSQL.noop, RunSQL.noop), [0, 0], [0, 0]),
        (RunSQL(RunSQL.noop, "VACUUM"), [0, 0], [0, 1]),
        (RunSQL(RunSQL.noop, "DELETE FROM blog_tag"), [0, 0], [1, 0]),
        (RunPython(RunPython.noop, lambda *_: None), [0, 0], [0, 1]),
        (
            RunPython(RunPython.noop, lambda apps, _: apps.get_model("blog", "Tag")),
            [0, 0],
            [1, 0],
        ),
        (RunPython(lambda *_: None, RunPython.noop), [0, 1], [0, 1]),
        (
            SeparateDatabaseAndState([RunPython(RunPython.noop, lambda *_: None)]),
            [0, 0],
            [0, 1],
        ),
    ],
)
def test_what_does_nothing_touches_nothing(
    operation: Operation, forward: list[int], undone: list[int]
) -> None:
    state = ProjectState()
    model("Tag").state_forwards(APP, state)
    releases = [Release(name, state, DEFAULT_DB_ALIAS) for name in (OLD, NEW)]
    step = Step(migration("0002_x", operation), False, Decision(None, Source.INFERRED))
    for is_undone, expected in ((False, forward), (True, undone)):
        keys, silent = models_to_probe([step], releases, set(), is_undone=is_undone)
        assert [len(keys), len(silent)] == expected
