"""Which operation a failure is put down to, told without a database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from django.db import models
from django.db.migrations import AddField, AlterField
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from syzygy import Stage
from syzygy.history import ModelKey
from syzygy.rehearsal.blame import find_culprit, suspects
from syzygy.rehearsal.findings import Action, Failure, Probe, Severity
from syzygy.stages import Decision, Source
from syzygy.staging import Step
from tests.rules_helpers import APP, migration, model

OWNER = models.ForeignKey(f"{APP}.tag", models.CASCADE, db_default=1)


def blamed(
    failure: Failure, *operations: Operation, before: Iterable[Operation] = ()
) -> Any:
    """The name of the field whose addition is to blame."""
    key = (APP, failure.probe.model.partition(".")[2].lower())
    found = culprit(failure, key, *operations, before=before)
    return found and getattr(found.operation, "name", None)


def culprit(
    failure: Failure,
    key: ModelKey | None,
    *operations: Operation,
    before: Iterable[Operation] = (),
) -> Any:
    state = ProjectState()
    made = model("Post", title=models.TextField()), model("Tag", owner=OWNER)
    for each in (*made, *before):
        each.state_forwards(APP, state)
    decision = Decision(Stage.PRE_DEPLOY, Source.INFERRED)
    step = Step(migration("0002_x", *operations), False, decision)
    return find_culprit(failure, key, suspects(state, [step]))


def undeletable(name: str, table: str) -> Failure:
    return Failure(
        Probe("old", f"{APP}.{name}", Action.DELETE, "rows of the new release"),
        f"IntegrityError: The row in table '{table}' has an invalid foreign key",
        Severity.HAZARD,
    )


def test_a_join_table_that_keeps_rows_from_being_deleted() -> None:
    flag = AddField("post", "flag", models.BooleanField(default=True))
    tags, more = (
        AddField("post", name, models.ManyToManyField(f"{APP}.tag", related_name="+"))
        for name in ("tags", "more")
    )
    for name in ("Post", "Tag"):
        found = undeletable(name, f"{APP}_post_tags")
        assert blamed(found, flag, tags, more) == "tags"
        assert blamed(found, flag, more, tags) == "tags"
    # What goes along with the row to delete is in a join table.
    way = AddField("post", "way", models.ForeignKey(f"{APP}.tag", models.CASCADE))
    error = f"FOREIGN KEY, in {APP}_post_tags, of what isn't in {APP}_post"
    found = replace(undeletable("Tag", ""), error=error)
    assert blamed(found, way, tags) == "tags"
    named = models.ManyToManyField(f"{APP}.tag", db_table="joined", related_name="+")
    other = AddField("post", "other", named)
    assert blamed(undeletable("Post", "joined"), flag, tags, other) == "other"


def test_a_column_of_that_name_in_another_table() -> None:
    """SQLite tells of the rows of all operations of a migration when it is over."""
    loose = models.ForeignKey(f"{APP}.tag", models.CASCADE, db_constraint=False)
    added = AddField("post", "owner", OWNER)
    altered = AlterField("tag", "owner", loose)
    error = (
        f"IntegrityError: The row in table '{APP}_post' with primary key '1' has an "
        f"invalid foreign key: {APP}_post.owner_id contains a value '1' that does not "
        f"have a corresponding value in {APP}_tag.id."
    )
    failure = Failure(Probe("", "", Action.MIGRATE, ""), error, Severity.BREAKS)
    assert culprit(failure, None, added, altered).operation is added
    error = error.replace(f"{APP}_post", f"{APP}_tag")
    failure = replace(failure, error=error)
    assert culprit(failure, None, added, altered).operation is altered


def test_a_reference_whose_value_changes() -> None:
    """It is told by the name that the value has in a row."""
    added, altered = (
        {
            "owner": models.ForeignKey(f"{APP}.tag", models.CASCADE, db_constraint=has),
            "tags": models.ManyToManyField(f"{APP}.tag", db_constraint=has),
        }
        for has in (True, False)
    )
    before = [AddField("post", name, field) for name, field in added.items()]
    failure = Failure(
        Probe("old", f"{APP}.Post", Action.KEEP, "rows of the old release"),
        "1 that it had written has become None",
        Severity.BREAKS,
        "owner_id",
    )
    for names in (["owner", "tags"], ["tags", "owner"]):
        operations = [AlterField("post", name, altered[name]) for name in names]
        assert blamed(failure, *operations, before=before) == "owner"
