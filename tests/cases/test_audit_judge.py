"""What the audit calls breaking breaks in a rehearsal, and the other way round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from django.db import models
from django.db.migrations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterField,
    AlterUniqueTogether,
    CreateModel,
    DeleteModel,
    RemoveField,
    RenameField,
    RunSQL,
    SeparateDatabaseAndState,
)
from django.db.migrations.operations.base import Operation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syzygy import Stage
from tests.audit_helpers import audited, breaking, codes
from tests.cases.field_cases import AUTHOR, text, to
from tests.cases.test_makemigrations_rolling import CASES as GENERATED
from tests.cases.test_rehearsal_rules import ALL
from tests.command_helpers import Project
from tests.generation_helpers import Case as GeneratedCase
from tests.generation_helpers import as_written
from tests.properties import examples
from tests.rehearsal_helpers import BREAKS, Case, Deployed, Seen, of, rehearsed
from tests.rules_helpers import model
from tests.services import UNDER_TEST

pytest_plugins = ["tests.command_fixtures"]

VENDORS = {"sqlite": "sqlite", "postgresql": "postgresql", "mariadb": "mysql"}


def judge(case: Case, stage: Stage) -> tuple[set[str], bool]:
    """What the audit calls breaking in the stage, and whether the rehearsal does."""
    deployed = [*case.after, Deployed(tuple(case.operations), stage)]
    found = audited(
        case.before,
        *(each.attributes for each in deployed),
        vendor=VENDORS[UNDER_TEST],
    )
    seen = case.pre if stage is Stage.PRE_DEPLOY else case.post
    return breaking(found), does_break(seen)


def does_break(seen: Seen | None) -> bool:
    return seen is not None and seen.severity is BREAKS and UNDER_TEST in seen.on


def test_the_audit_and_the_rehearsal_agree() -> None:
    """The rehearsals themselves are those of test_rehearsal_rules."""
    false_alarms, misses = {}, []
    for case in ALL:
        for stage in Stage:
            found, breaks = judge(case, stage)
            if found and not breaks:
                false_alarms[f"{case}, {stage.name}"] = found
            elif breaks and not found:
                misses.append(f"{case}, {stage.name}")
    assert (false_alarms, misses) == ({}, [])


POSTS = [model("Post", title=text(), summary=text(null=True))]


@pytest.mark.parametrize(
    "operation",
    [
        RunSQL("CREATE UNIQUE INDEX u ON blog_post (title)", RunSQL.noop),
        AlterField("post", "summary", text()),
    ],
    ids=["sql", "rows"],
)
def test_where_they_are_known_to_disagree(
    operation: Operation, project: Project
) -> None:
    """The documentation has more of these."""
    deployed = Deployed((operation,), Stage.POST_DEPLOY)
    found = audited(POSTS, deployed.attributes, vendor=VENDORS[UNDER_TEST])
    assert not breaking(found)
    rehearsal = rehearsed(project, POSTS, deployed)
    assert of(rehearsal, BREAKS), rehearsal.findings


@pytest.mark.parametrize("case", [case for case in ALL if case.instead], ids=str)
def test_the_audit_passes_the_way_out(case: Case) -> None:
    found = audited(
        case.before,
        *(each.attributes for each in case.instead),
        vendor=VENDORS[UNDER_TEST],
    )
    # No state has the column "_order": a DEFAULT written by hand goes unseen.
    assert breaking(found) == ({"SZ009"} if case.code == "remove-order" else set())


@pytest.mark.parametrize("case", GENERATED, ids=str)
def test_the_audit_passes_what_makemigrations_writes(case: GeneratedCase) -> None:
    for vendor in VENDORS.values():
        found = audited(
            case.before,
            *(as_written(each).attributes for each in case.migrations()),
            vendor=vendor,
        )
        assert not breaking(found), found


# Random deployments: each change is about a field of its own, so that any number
# of them may run before the rollout and the others after it.


def decimal(digits: int) -> Any:
    return models.DecimalField(max_digits=digits, decimal_places=2, null=True)


BEFORE: Sequence[Operation] = (
    AUTHOR,
    model(
        "Post",
        plain=text(),
        nullable=text(null=True),
        default=text(db_default="x"),
        unique=text(unique=True, null=True),
        number=models.IntegerField(),
        amount=decimal(8),
        author=to("author", related_name="posts"),
        editor=to("author", null=True, related_name="edited"),
        left=models.IntegerField(null=True),
        right=models.IntegerField(null=True),
        kept=models.IntegerField(),
        gone=models.IntegerField(),
    ),
)
# What is there only if it changes: each model takes its time to rehearse.
MODELS = {
    "note": model("Note", body=text()),
    "child": model("Child", author=to("author", related_name="children")),
}
Deployment = tuple[list[Operation], list[Operation], list[Operation]]

LENGTH_OF_KEPT: Any = models.GeneratedField(
    expression=models.F("kept") + 1,
    output_field=models.IntegerField(),
    db_persist=True,
)


def add(name: str, field: Any) -> Operation:
    return AddField("post", name, field)


def alter(name: str, field: Any) -> Operation:
    return AlterField("post", name, field)


def state_only(operation: Operation) -> Operation:
    return SeparateDatabaseAndState(state_operations=[operation])


# By what they are about: of each line no more than one can happen at a time.
CHANGES: dict[str, list[Operation]] = {
    "new 1": [
        add("new_1", text(default="en")),
        add("new_1", text(null=True)),
        add("new_1", text(default="en", db_default="en")),
        add("new_1", to("author", null=True, related_name="+")),
        add("new_1", models.ManyToManyField("blog.author", related_name="+")),
    ],
    "new 2": [
        add("new_2", models.DateTimeField(auto_now=True)),
        add("new_2", models.IntegerField(null=True, default=3)),
        add("new_2", LENGTH_OF_KEPT),
        CreateModel("Fresh", [("id", models.BigAutoField(primary_key=True))]),
        add("new_2", models.IntegerField(null=True, unique=True)),
        add("new_2", models.IntegerField(unique=True, default=3)),
        add("new_2", models.IntegerField(null=True, default=3, db_default=None)),
        add("new_2", models.JSONField(default=dict)),
    ],
    "key": [AlterField("author", "id", models.AutoField(primary_key=True))],
    "plain": [
        RemoveField("post", "plain"),
        state_only(RemoveField("post", "plain")),
        alter("plain", text(null=True)),
        alter("plain", models.IntegerField()),
        RenameField("post", "plain", "fancy"),
        RunSQL(
            "ALTER TABLE blog_post DROP COLUMN plain",
            state_operations=[RemoveField("post", "plain")],
        ),
    ],
    "nullable": [
        RemoveField("post", "nullable"),
        alter("nullable", text()),
        alter("nullable", text(null=True, unique=True)),
        alter("nullable", text(null=True, db_index=True)),
    ],
    "default": [
        RemoveField("post", "default"),
        alter("default", text(db_default="y")),
        alter("default", text(db_default="x", null=True)),
        alter("default", text(db_default=None, null=True)),
    ],
    "unique": [
        RemoveField("post", "unique"),
        alter("unique", text(null=True)),
    ],
    "number": [
        alter("number", models.IntegerField(db_column="other")),
        alter("number", models.IntegerField(db_index=True)),
        AddConstraint(
            "post",
            models.CheckConstraint(condition=models.Q(number__gte=0), name="positive"),
        ),
        AddIndex("post", models.Index(fields=["number"], name="post_number")),
    ],
    "amount": [
        RemoveField("post", "amount"),
        alter("amount", decimal(10)),
        alter("amount", decimal(6)),
        alter("amount", models.FloatField(null=True)),
    ],
    "author": [
        RemoveField("post", "author"),
        alter("author", to("author", null=True, related_name="posts")),
        alter("author", to("author", db_constraint=False, related_name="posts")),
    ],
    "editor": [
        RemoveField("post", "editor"),
        alter("editor", to("author", related_name="edited")),
    ],
    "together": [AlterUniqueTogether("post", {("left", "right")})],
    "gone": [
        RemoveField("post", "gone"),
        alter("gone", models.IntegerField(db_default=0)),
        alter("gone", models.BigIntegerField()),
    ],
    "note": [DeleteModel("Note"), AddField("note", "title", text(default=""))],
    "child": [DeleteModel("Child")],
}


@st.composite
def deployments(draw: Any) -> Deployment:
    """What there is before, changes before the rollout, and changes after it."""
    about = draw(
        st.lists(st.sampled_from(sorted(CHANGES)), max_size=3, unique=True, min_size=1)
    )
    models = [MODELS[each] for each in about if each in MODELS]
    stages: tuple[list[Operation], list[Operation]] = ([], [])
    for each in about:
        change = draw(st.sampled_from(CHANGES[each]))
        stages[draw(st.integers(0, 1))].append(change)
    return [*BEFORE, *models], *stages


@settings(
    max_examples=examples(6),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(deployment=deployments())
def test_random_deployments(deployment: Deployment, project: Project) -> None:
    there, before, after = deployment
    steps = [Deployed(tuple(before), Stage.PRE_DEPLOY)] * bool(before)
    steps += [Deployed(tuple(after), Stage.POST_DEPLOY)] * bool(after)
    found = audited(
        there, *(each.attributes for each in steps), vendor=VENDORS[UNDER_TEST]
    )
    rehearsal = rehearsed(project, there, *steps)
    # What a migration that fails leaves undone can't be told. Whether there is a row
    # with NULL only the rehearsal knows.
    told = breaking(found) | ({"SZ022"} & {*codes(found)})
    assert bool(told) == bool(of(rehearsal, BREAKS)), (found, rehearsal.findings)


def test_what_nothing_fills_before_it_becomes_not_null(project: Project) -> None:
    added = Deployed((AddField("author", "age", models.IntegerField(null=True)),))
    tightened = Deployed((AlterField("author", "age", models.IntegerField()),))
    steps = [added, tightened]
    vendor = VENDORS[UNDER_TEST]
    found = audited([AUTHOR], *(each.attributes for each in steps), vendor=vendor)
    assert breaking(found) == {"SZ022"}
    [failure] = of(rehearsed(project, [AUTHOR], *steps), BREAKS)
    assert failure.culprit
    assert failure.culprit.operation is tightened.operations[0]


def test_what_was_unique_is_so_only_together_with_others(project: Project) -> None:
    numbered = model("Post", number=models.IntegerField(unique=True), title=text())
    deployed = Deployed(
        (
            AlterField("post", "number", models.IntegerField()),
            AlterUniqueTogether("post", {("number", "title")}),
        )
    )
    vendor = VENDORS[UNDER_TEST]
    assert breaking(audited([numbered], deployed.attributes, vendor=vendor)) == set()
    assert not of(rehearsed(project, [numbered], deployed), BREAKS)


@pytest.mark.skipif(UNDER_TEST != "postgresql", reason="It is about PostgreSQL.")
@pytest.mark.parametrize("atomic", [True, False])
def test_what_takes_no_transaction(atomic: bool, project: Project) -> None:
    concurrently = RunSQL("CREATE INDEX CONCURRENTLY i ON blog_author (name)", "")
    deployed = Deployed((concurrently,), Stage.PRE_DEPLOY, atomic)
    found = audited([AUTHOR], deployed.attributes)
    assert breaking(found) == ({"SZ023"} if atomic else set())
    failures = of(rehearsed(project, [AUTHOR], deployed), BREAKS)
    assert bool(failures) == atomic


@pytest.mark.parametrize(
    ("stage", "expected"), [(Stage.PRE_DEPLOY, set()), (Stage.POST_DEPLOY, {"SZ005"})]
)
def test_what_is_created_and_removed_again(stage: Stage, expected: set[str]) -> None:
    """As the rehearsal has it, in test_rehearsal_rules."""
    created = {"operations": [model("Post", title=text())]}
    removed = {"operations": [RemoveField("post", "title")], "stage": stage}
    assert {each.code for each in audited([AUTHOR], created, removed)} == expected
