"""What a rehearsal says of what it finds, without a database."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.migrations import (
    AddField,
    AlterField,
    AlterModelManagers,
    AlterUniqueTogether,
    CreateModel,
    RemoveField,
    RunPython,
    RunSQL,
    SeparateDatabaseAndState,
)
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import CASCADE, CharField, ForeignKey, IntegerField

from syzygy import Stage
from syzygy.rehearsal.blame import find_culprit, suspects
from syzygy.rehearsal.findings import (
    NULL,
    Action,
    Culprit,
    Failure,
    Probe,
)
from syzygy.rehearsal.remedies import way_out
from syzygy.stages import Decision, Source
from syzygy.staging import Step
from tests.rules_helpers import APP, migration, model, post

PRE, POST = Stage.PRE_DEPLOY, Stage.POST_DEPLOY
BEFORE = [
    model("Tag"),
    post(x=IntegerField(), y=IntegerField(null=True)),
    AlterUniqueTogether("post", {("x",)}),
]
REMOVE = RemoveField("post", "y")
ADD = AddField("post", "z", IntegerField(null=True))
NOT_NULL = AddField("post", "z", IntegerField(default=1))
DECLARED = "    from syzygy import Stage\n    stage = Stage."


def state() -> ProjectState:
    made = ProjectState()
    for operation in BEFORE:
        operation.state_forwards(APP, made)
    return made


def step(
    *operations: Operation,
    stage: Stage | None = PRE,
    source: Source = Source.DECLARED,
    backward: bool = False,
) -> Step:
    decision = Decision(stage, source)
    return Step(migration("0002_x", *operations), backward, decision)


def found(
    taken: Step,
    action: Action = Action.INSERT,
    error: str = "no such column",
    subject: str = "",
) -> tuple[Culprit, Failure]:
    key = None if action is Action.MIGRATE else (APP, "post")
    failure = Failure(Probe("old", f"{APP}.Post", action, subject), error)
    culprit = find_culprit(failure, key, suspects(state(), [taken]))
    assert culprit
    return culprit, failure


def way(taken: Step, *about: Any, **more: Any) -> str:
    return way_out(*found(taken, *about, **more))


# Stages


@pytest.mark.parametrize(
    ("source", "stage", "told"),
    [
        (Source.DECLARED, PRE, f"Apply it after the rollout: {{}}{DECLARED}POST"),
        (Source.OVERRIDE, PRE, 'in the setting "MIGRATION_STAGES_OVERRIDE", which'),
        (Source.BASELINE, None, 'end it before "blog.0002_x", which then has to run'),
    ],
)
def test_a_stage_is_changed_where_it_is_settled(
    source: Source, stage: Stage | None, told: str
) -> None:
    text = way(step(REMOVE, stage=stage, source=source))
    assert told.partition("{}")[0] in text
    assert told.partition("{}")[2] in text
    assert ("stage = " in text) is (source is Source.DECLARED)
    assert "after the rollout" in text


def test_what_runs_in_its_stage_all_the_same_is_not_misplaced() -> None:
    tag = model("Other", post=ForeignKey(f"{APP}.post", CASCADE))
    baseline = step(tag, REMOVE, stage=None, source=Source.BASELINE)
    culprit, failure = found(baseline, Action.DELETE, "FOREIGN KEY constraint failed")
    assert isinstance(culprit.operation, CreateModel)
    assert not culprit.is_misplaced
    assert way_out(culprit, failure).startswith("If the old release has to delete")
    culprit, _ = found(baseline, Action.SELECT)
    assert culprit.operation is REMOVE
    assert culprit.is_misplaced
    waiting = step(REMOVE, stage=None)._replace(is_postponed=True)
    assert not found(waiting)[0].is_misplaced


def test_a_new_foreign_key_with_a_default_is_attached_later() -> None:
    key = ForeignKey(f"{APP}.tag", CASCADE, default=1, db_default=1)
    added = step(AddField("post", "tag", key))
    probe = Probe("old", f"{APP}.Tag", Action.DELETE, "")
    failure = Failure(probe, "FOREIGN KEY constraint failed")
    culprit = find_culprit(failure, (APP, "tag"), suspects(state(), [added]))
    assert culprit
    assert culprit.rule
    assert culprit.rule.code == "add-field-db-default"
    told = way_out(culprit, failure)
    assert told.startswith("If the old release has to delete such rows, leave the cons")
    # An INSERT that fails has other reasons.
    assert "leave the constraint out" not in way(added)


# The rollback


@pytest.mark.parametrize(
    ("operation", "stage", "when"),
    [
        (
            REMOVE,
            PRE,
            "Undo it before the old release comes back, as is done with what",
        ),
        (ADD, POST, "Undo it only when the new release is gone, as is done with what"),
    ],
)
def test_in_the_rollback_it_is_undone_in_another_stage(
    operation: Operation, stage: Stage, when: str
) -> None:
    text = way(step(operation, stage=stage, backward=True))
    assert text.startswith(when)
    assert text.endswith(f"{DECLARED}{stage.inverted.name}")


ORDER = "Change the deployment, which is undone in the reversed order: "


@pytest.mark.parametrize(
    ("operation", "action", "told"),
    [
        (NOT_NULL, Action.INSERT, f"{ORDER}Give the field the default as db_d"),
        (
            AlterField("post", "y", CharField(max_length=9, null=True)),
            Action.INSERT,
            f"{ORDER}Add a new column",
        ),
        (REMOVE, Action.KEEP, "What was in the field went with it"),
        (
            AlterUniqueTogether("post", set()),
            Action.UPSERT,
            "If the old release has code that upserts on it",
        ),
        (
            AlterUniqueTogether("post", set()),
            Action.MIGRATE,
            "Mend the rows that it will forbid again before it is undone",
        ),
        (NOT_NULL, Action.MIGRATE, f"{ORDER}Give the field the default"),
        (
            RunPython(print, print),
            Action.INSERT,
            "Find out what undoing the migration does",
        ),
        (
            RunSQL("SELECT 1", "SELECT 1", state_operations=[ADD]),
            Action.INSERT,
            "Have it make of the database what its state operations say, which is what "
            "the release looks for, and undo that",
        ),
    ],
)
def test_in_the_rollback_other_words_are_used(
    operation: Operation, action: Action, told: str
) -> None:
    text = way(step(operation, backward=True), action)
    assert text.startswith(told)


# What only the state says


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        (
            RemoveField("post", "x"),
            "The database has to follow what it only says. Drop the constraint before",
        ),
        (ADD, "do that in it, too, before the rollout, by the operation itself"),
        (AlterModelManagers("post", []), "It changes nothing in the database, where"),
    ],
)
def test_what_is_only_stated(stated: Operation, told: str) -> None:
    operation = SeparateDatabaseAndState([], [stated])
    text = way(step(operation))
    assert told in text
    assert "See what" not in text
    # In the rollback, too.
    assert told in way(step(operation, backward=True))


def test_what_only_the_state_says_of_null() -> None:
    stated = AlterField("post", "y", IntegerField())
    text = way(step(SeparateDatabaseAndState([], [stated])), subject=NULL)
    assert text.startswith("Have the release that reads it cope with NULL")
