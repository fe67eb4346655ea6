"""Whole deployments, rollbacks, and every kind of model, rehearsed."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import (
    ArrayField,
    IntegerRangeField,
    RangeOperators,
)
from django.db import models
from django.db.migrations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterField,
    AlterModelTable,
    AlterOrderWithRespectTo,
    CreateModel,
    DeleteModel,
    RemoveField,
    RenameField,
    RunPython,
    RunSQL,
)
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models.functions import Length
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syzygy import Stage
from syzygy.operations import Backfill
from syzygy.rehearsal.findings import Action, Phase
from syzygy.rehearsal.walk import state_after
from tests.cases.field_cases import AUTHOR, POST, text, to
from tests.command_helpers import Project
from tests.rehearsal_helpers import (
    BREAKS,
    HAZARD,
    Deployed,
    Told,
    auto,
    codes,
    of,
    post,
    pre,
    rehearsed,
)
from tests.rules_helpers import model
from tests.services import UNDER_TEST

pytest_plugins = ["tests.command_fixtures"]

NULLABLE = model("Post", number=models.IntegerField(), title=text(null=True))


def fill(apps: Any, schema_editor: Any) -> None:
    rows = apps.get_model("blog", "Post").objects.using(schema_editor.connection.alias)
    rows.filter(title=None).update(title="")


def fail(apps: Any, schema_editor: Any) -> None:
    raise RuntimeError("No such luck.")


def test_unique_together_as_people_write_it() -> None:
    written = [["a", "b"], ["b", "gone"]]
    state = ProjectState()
    operation = model("Post", (), {"unique_together": written}, a=text(), b=text())
    operation.state_forwards("blog", state)
    after = state_after(state, ()).models["blog", "post"]
    assert after.options["unique_together"] == {("a", "b")}


# What becomes of rows


def test_rows_that_are_filled_are_intact(project: Project) -> None:
    step = pre(RunPython(fill, RunPython.noop))
    Told(rehearsed(project, [NULLABLE], step)).nothing()


@pytest.mark.parametrize(
    "sql", ["DELETE FROM blog_post", "UPDATE blog_post SET title = NULL"]
)
@pytest.mark.parametrize("stage", Stage)
def test_rows_that_code_loses_are_a_hazard(
    sql: str, stage: Stage, project: Project
) -> None:
    step = Deployed((RunSQL(sql, ""),), stage)
    told = Told(rehearsed(project, [NULLABLE], step))
    findings = told.rehearsal.findings
    # After the rollout there are rows of both.
    owners = {"old"} if stage is Stage.PRE_DEPLOY else {"old", "new"}
    assert {finding.release for finding in findings} == owners, told.text
    for finding in findings:
        assert finding.actions == (Action.KEEP,), told.text
        assert finding.severity is HAZARD
        assert finding.culprit
        assert finding.culprit.operation is step.operations[0]


def test_rows_that_the_schema_changes_break_the_deployment(project: Project) -> None:
    before = [model("Post", number=models.IntegerField(), title=text())]
    step = pre(AlterField("post", "title", models.IntegerField()))
    told = Told(rehearsed(project, before, step))
    (lost,) = (f for f in told.rehearsal.findings if Action.KEEP in f.actions)
    assert lost.severity is BREAKS
    assert (lost.model, lost.field) == ("blog.Post", "title"), told.text
    assert codes([lost]) == {"change-type"}


# Migrations that fail


@pytest.mark.parametrize("stage", Stage)
def test_migration_that_fails(stage: Stage, project: Project) -> None:
    operation = RunPython(fail, RunPython.noop)
    step = Deployed((AddField("post", "extra", text(null=True)), operation), stage)
    told = Told(rehearsed(project, [POST], step))
    assert not told.rehearsal.complete
    failed = [f for f in told.rehearsal.findings if Action.MIGRATE in f.actions]
    assert [f.error for f in failed] == ["RuntimeError: No such luck."], told.text
    assert failed[0].severity is BREAKS
    assert failed[0].culprit
    assert failed[0].culprit.operation is operation
    assert failed[0].culprit.position == 1


def ask(apps: Any, schema_editor: Any) -> None:
    rows = apps.get_model("blog", "Post").objects.using(schema_editor.connection.alias)
    rows.filter(nothing=1)


@pytest.mark.skipif(UNDER_TEST != "sqlite", reason="It isn't asked.")
@pytest.mark.parametrize(
    ("operation", "error", "word"),
    [
        (
            AddIndex("post", models.Index(fields=["nothing"], name="index")),
            "FieldDoesNotExist",
            "the operation",
        ),
        (RunPython(ask, RunPython.noop), "FieldError", "what its code asks for"),
    ],
    ids=["operation", "code"],
)
def test_migration_that_django_refuses(
    operation: Operation, error: str, word: str, project: Project
) -> None:
    """What the operation would do to the releases is no matter then."""
    told = Told(rehearsed(project, [POST], pre(operation)))
    (finding,) = told.rehearsal.findings
    assert finding.error.startswith(error)
    assert finding.culprit
    assert finding.culprit.operation is operation
    assert finding.culprit.rule is None
    assert f"Mend {word}" in finding.way_out
    assert "the migration can't be applied" in told.text


def test_what_is_known_before_a_migration_fails_is_told(project: Project) -> None:
    told = Told(
        rehearsed(
            project,
            [NULLABLE],
            pre(RemoveField("post", "title")),
            pre(RunPython(fail, RunPython.noop)),
        )
    )
    assert codes(told.rehearsal.findings) == {"remove-field", "run-python"}, told.text


REQUIRE = AlterField("post", "title", text())
FILLED = RunPython(fill, RunPython.noop)


@pytest.mark.parametrize(
    "steps",
    [[auto(REQUIRE)], [pre(FILLED), auto(REQUIRE)], [post(REQUIRE), post(FILLED)]],
    ids=["never", "before the rollout", "afterwards"],
)
def test_null_that_nobody_fills_in_time(
    steps: list[Deployed], project: Project
) -> None:
    told = Told(rehearsed(project, [NULLABLE], *steps))
    assert not told.rehearsal.complete, told.text
    (finding,) = of(told.rehearsal, BREAKS)
    assert finding.actions == (Action.MIGRATE,)
    assert finding.culprit
    assert finding.culprit.operation is REQUIRE
    assert codes([finding]) == {"set-not-null"}, told.text
    assert finding.way_out.startswith("Fill the rows that hold NULL first"), told.text


def test_null_that_django_fills_on_sqlite_alone(project: Project) -> None:
    """Elsewhere it takes a default to fill, be it that blanks are allowed."""
    step = auto(AlterField("post", "title", text(blank=True)))
    told = Told(rehearsed(project, [NULLABLE], step))
    assert told.rehearsal.complete == (UNDER_TEST == "sqlite"), told.text


def test_null_that_is_filled_after_the_rollout(project: Project) -> None:
    steps = [post(FILLED), auto(REQUIRE)]
    Told(rehearsed(project, [NULLABLE], *steps)).no_breaks(["set-not-null"])


def test_null_in_a_new_field_that_is_filled_after_the_rollout(
    project: Project,
) -> None:
    """No release before this one knows the field, so none can cope with NULL there."""
    loose = models.UUIDField(unique=True, null=True)
    strict = models.UUIDField(unique=True, default=uuid.uuid4)
    fills = replace(post(Backfill("post", "key", uuid.uuid4)), atomic=False)
    steps = [
        auto(AddField("post", "key", loose)),
        fills,
        auto(AlterField("post", "key", strict)),
    ]
    for revert in (False, True):
        told = Told(rehearsed(project, [NULLABLE], *steps, revert=revert))
        found = [f for f in of(told.rehearsal, HAZARD) if "NULL" in f.error]
        assert found, told.text
        for finding in found:
            assert finding.release == "new", told.text
            assert finding.way_out == (
                "Have the new release cope with NULL as long as the post-deploy "
                "migrations aren't applied, or read the field only from the next "
                "deployment on."
            ), told.text


def test_null_that_the_new_release_writes(project: Project) -> None:
    """The release before has to cope with it, which can't be changed any more."""
    loose = auto(AlterField("post", "title", text(null=True)))
    told = Told(rehearsed(project, [POST, AUTHOR], loose))
    found = [f for f in of(told.rehearsal, HAZARD) if "NULL" in f.error]
    assert {finding.release for finding in found} == {"old"}, told.text
    for finding in found:
        assert finding.way_out.endswith("cope with NULL in a deployment before.")


NEVER_NULL = AddConstraint(
    "post",
    models.CheckConstraint(condition=models.Q(title__isnull=False), name="never_null"),
)


def test_null_that_a_constraint_forbids(project: Project) -> None:
    """The running release can't write it, so there is nothing to fill."""
    before = [NULLABLE, NEVER_NULL]
    Told(rehearsed(project, before, auto(REQUIRE))).nothing()


def test_null_that_a_new_constraint_forbids(project: Project) -> None:
    """It is NOT NULL by another name."""
    told = Told(rehearsed(project, [NULLABLE], auto(NEVER_NULL), auto(REQUIRE)))
    (finding,) = of(told.rehearsal, BREAKS)
    assert finding.culprit
    assert finding.culprit.operation is NEVER_NULL, told.text
    assert finding.way_out.startswith("Fill the rows that hold NULL first"), told.text


# Stages that operations declare


class Eager(RemoveField):
    stage = Stage.PRE_DEPLOY


def test_rule_behind_a_declared_stage_is_told(project: Project) -> None:
    told = Told(rehearsed(project, [NULLABLE], auto(Eager("post", "title"))))
    assert codes(of(told.rehearsal, BREAKS)) == {"remove-field"}, told.text


# Rollbacks

SAFE_BOTH_WAYS: dict[str, tuple[Sequence[Operation], Sequence[Deployed]]] = {
    "added": (
        [POST],
        [
            auto(AddField("post", "extra", text(default="x", db_default="x"))),
            auto(AlterField("post", "extra", text(default="x"))),
        ],
    ),
    "removed": (
        [model("Post", number=models.IntegerField(), title=text())],
        [
            auto(AlterField("post", "title", text(db_default=""))),
            auto(RemoveField("post", "title")),
        ],
    ),
    "deleted": (
        [POST, model("Chapter", post=to("post"), heading=text())],
        [
            auto(AlterField("chapter", "post", to("post", db_constraint=False))),
            auto(DeleteModel("Chapter")),
        ],
    ),
    "created": ([AUTHOR], [auto(POST)]),
}


@pytest.mark.parametrize("name", SAFE_BOTH_WAYS)
def test_rollback_that_is_safe(name: str, project: Project) -> None:
    before, steps = SAFE_BOTH_WAYS[name]
    told = Told(rehearsed(project, before, *steps, revert=True))
    told.nothing()
    points = [moment.point for moment in told.rehearsal.moments]
    assert [point.phase for point in points if not point.migration] == [
        Phase.START,
        Phase.WINDOW,
        Phase.END,
    ] * 2
    back = [p.migration and p.migration.name for p in points if p.backward]
    there = [p.migration and p.migration.name for p in points if not p.backward]
    assert [name for name in back if name] == [name for name in there if name][::-1]


def test_rollback_that_breaks(project: Project) -> None:
    before = [POST, model("Chapter", post=to("post"), heading=text())]
    step = post(AlterOrderWithRespectTo("chapter", None))
    order = AlterOrderWithRespectTo("chapter", "post")
    relax = pre(RunSQL("SELECT 1", RunSQL.noop))
    told = Told(rehearsed(project, [*before, order], relax, step, revert=True))
    found = [f for f in of(told.rehearsal, BREAKS) if f.culprit and f.culprit.backward]
    assert codes(found) == {"remove-order"}, told.text
    assert {f.release for f in found} == {"new"}


def test_rollback_that_trips_over_null(project: Project) -> None:
    """The new release may have written it, where the old one declares NOT NULL."""
    loose = AlterField("post", "title", text(null=True))
    told = Told(rehearsed(project, [POST], pre(loose), revert=True))
    (finding,) = of(told.rehearsal, BREAKS)
    assert finding.actions == (Action.MIGRATE,), told.text
    assert finding.culprit
    assert finding.culprit.backward
    assert finding.culprit.operation is loose
    assert "reverse_code" in finding.way_out


def test_rollback_that_is_impossible(project: Project) -> None:
    told = Told(rehearsed(project, [POST], pre(RunSQL("SELECT 1")), revert=True))
    assert not told.rehearsal.complete
    (finding,) = told.rehearsal.findings
    assert finding.culprit
    assert finding.culprit.backward
    assert "IrreversibleError" in finding.error
    assert "RunSQL.noop" in finding.way_out


def test_deployment_without_a_rollback_says_nothing_of_it(project: Project) -> None:
    told = Told(rehearsed(project, [POST], pre(RunSQL("SELECT 1"))))
    told.nothing()
    assert not any(moment.point.backward for moment in told.rehearsal.moments)


# Kinds of models


class Kind(NamedTuple):
    """Models, one of which has a field "extra" that the running release uses."""

    before: Sequence[Operation]
    model: str = "Post"
    # Those that aren't probed by themselves.
    not_probed: Sequence[str] = ()
    settings: dict[str, Any] = {}


EXTRA = {"extra": text(null=True)}
PARENT_LINK: Any = models.OneToOneField(
    "blog.post",
    models.CASCADE,
    auto_created=True,
    parent_link=True,
    primary_key=True,
    serialize=False,
)

KINDS = {
    "child": Kind(
        [
            model("Post", title=text()),
            model("Review", ("blog.post",), post_ptr=PARENT_LINK, **EXTRA),
        ],
        "Review",
    ),
    "parent": Kind(
        [
            model("Post", title=text(), **EXTRA),
            model(
                "Review",
                ("blog.post",),
                post_ptr=PARENT_LINK,
                stars=models.IntegerField(),
            ),
        ]
    ),
    "proxy": Kind(
        [
            model("Post", title=text(), **EXTRA),
            model("Note", ("blog.post",), {"proxy": True}),
        ],
        not_probed=["Note"],
    ),
    "unmanaged": Kind(
        [
            model("Legacy", (), {"managed": False}, name=text()),
            model("Post", legacy=to("legacy", null=True), **EXTRA),
        ],
        not_probed=["Legacy"],
    ),
    "swapped": Kind(
        [
            model("Custom", name=text()),
            model("Plain", (), {"swappable": "BLOG_PLAIN_MODEL"}, name=text()),
            model("Post", custom=to("custom"), **EXTRA),
        ],
        not_probed=["Plain"],
        settings={"BLOG_PLAIN_MODEL": "blog.Custom"},
    ),
    "ordered": Kind(
        [
            AUTHOR,
            model("Post", author=to("author"), **EXTRA),
            AlterOrderWithRespectTo("post", "author"),
        ]
    ),
    "through": Kind(
        [
            AUTHOR,
            model("Post", title=text()),
            model("Credit", post=to("post"), author=to("author"), **EXTRA),
            AddField(
                "post",
                "authors",
                models.ManyToManyField("blog.author", through="blog.credit"),
            ),
        ],
        "Credit",
    ),
    "many-to-many": Kind(
        [
            AUTHOR,
            model(
                "Post",
                authors=models.ManyToManyField("blog.author"),
                similar=models.ManyToManyField("self"),
                **EXTRA,
            ),
        ]
    ),
    "composite key": Kind(
        [
            CreateModel(
                "Post",
                [
                    ("pk", models.CompositePrimaryKey("shelf", "place")),
                    ("shelf", models.IntegerField()),
                    ("place", models.IntegerField()),
                    ("extra", text(null=True)),
                ],
            )
        ]
    ),
    "natural key": Kind(
        [
            model("Country", code=text(primary_key=True)),
            model("Post", country=to("country"), **EXTRA),
        ]
    ),
    "generated": Kind(
        [
            model(
                "Post",
                title=text(),
                length=models.GeneratedField(
                    expression=Length("title"),
                    output_field=models.IntegerField(),
                    db_persist=True,
                ),
                **EXTRA,
            )
        ]
    ),
    "db_default": Kind([model("Post", title=text(db_default="x"), **EXTRA)]),
    "json and uuid": Kind(
        [model("Post", data=models.JSONField(), key=models.UUIDField(), **EXTRA)]
    ),
    "itself": Kind(
        [model("Post", parent=to("post", null=True), root=to("post"), **EXTRA)]
    )
    if UNDER_TEST != "mariadb"
    else Kind([model("Post", parent=to("post", null=True), **EXTRA)]),
    "circular": Kind(
        [
            AUTHOR,
            model("Post", author=to("author"), **EXTRA),
            AddField("author", "best", to("post", null=True, related_name="+")),
        ]
    ),
    "protected": Kind(
        [
            AUTHOR,
            model("Post", author=to("author", on_delete=models.PROTECT), **EXTRA),
        ]
    ),
    "constrained": Kind(
        [
            model(
                "Post", low=models.IntegerField(), high=models.IntegerField(), **EXTRA
            ),
            AddConstraint(
                "post",
                models.CheckConstraint(
                    condition=models.Q(low__lt=models.F("high")), name="in_order"
                ),
            ),
            AddConstraint(
                "post",
                models.UniqueConstraint(
                    fields=["low"], condition=models.Q(high__gt=5), name="some_unique"
                ),
            ),
        ]
    ),
}
if UNDER_TEST == "postgresql":
    KINDS["array and range"] = Kind(
        [
            model(
                "Post",
                days=IntegerRangeField(),
                words=ArrayField(models.CharField(max_length=5)),
                **EXTRA,
            ),
            AddConstraint(
                "post",
                ExclusionConstraint(
                    name="apart", expressions=[("days", RangeOperators.OVERLAPS)]
                ),
            ),
        ]
    )


@pytest.mark.parametrize("name", KINDS)
def test_kind_of_model_that_passes(name: str, project: Project) -> None:
    kind = KINDS[name]
    project.settings = kind.settings
    step = auto(AddField(kind.model.lower(), "more", text(null=True)))
    rehearsal = rehearsed(project, kind.before, step, all_models=True)
    Told(rehearsal).no_breaks(not_probed=kind.not_probed)


@pytest.mark.parametrize("name", KINDS)
def test_kind_of_model_that_breaks(name: str, project: Project) -> None:
    kind = KINDS[name]
    project.settings = kind.settings
    step = pre(RemoveField(kind.model.lower(), "extra"))
    told = Told(rehearsed(project, kind.before, step))
    found = of(told.rehearsal, BREAKS)
    assert codes(told.rehearsal.findings) == {"remove-field"}, told.text
    assert f"blog.{kind.model}" in {finding.model for finding in found}, told.text
    assert {finding.release for finding in found} == {"old"}, told.text


class Router:
    """Keeps notes elsewhere."""

    def allow_migrate(
        self, db: str, app_label: str, model_name: str | None = None, **hints: Any
    ) -> bool | None:
        return (db == "other") if model_name == "note" else None


def test_models_of_other_databases_are_named(project: Project) -> None:
    project.settings = {"DATABASE_ROUTERS": ["tests.cases.test_rehearsal_walk.Router"]}
    steps = [pre(RemoveField("note", "title")), pre(RemoveField("post", "title"))]
    before = [NULLABLE, model("Note", number=models.IntegerField(), title=text())]
    told = Told(rehearsed(project, before, *steps))
    assert {f.model for f in told.rehearsal.findings} == {"blog.Post"}, told.text
    assert [item.label for item in told.rehearsal.not_probed] == ["blog.Note"]
    assert "router" in told.rehearsal.not_probed[0].reason


class MoneyField(models.Field):  # type: ignore[type-arg]
    """No values are known of it until somebody tells."""

    def db_type(self, connection: Any) -> str:
        return "integer"


class WordsField(models.TextField):  # type: ignore[type-arg]
    """It reads a list, where it may have written something else."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> list[str]:
        return value.split() if value else []

    def get_prep_value(self, value: Any) -> Any:
        return " ".join(value) if isinstance(value, list) else value


def test_what_has_no_known_values_is_named(project: Project) -> None:
    step = auto(AddField("post", "extra", text(null=True)))
    before = model(
        "Post",
        price=MoneyField(null=True),
        words=WordsField(null=True),
        number=models.IntegerField(default="5"),
    )
    told = Told(rehearsed(project, [before], step))
    # What is read as something else than was written is no failure of the model.
    assert {item.label for item in told.rehearsal.not_probed} == {"blog.Post.price"}
    assert "register_values" in told.rehearsal.not_probed[0].reason
    assert not told.rehearsal.findings, told.text


def test_baseline_failures_are_no_findings(project: Project) -> None:
    # What no model knows of, and no release gets past.
    stop = {
        "sqlite": "CREATE TRIGGER stop BEFORE INSERT ON blog_post "
        "BEGIN SELECT RAISE(ABORT, 'closed'); END",
        "postgresql": "ALTER TABLE blog_post ADD CONSTRAINT closed CHECK (false)",
        "mariadb": "ALTER TABLE blog_post ADD CONSTRAINT closed CHECK (1 = 0)",
    }[UNDER_TEST]
    step = auto(AddField("post", "extra", text(null=True)))
    before = [POST, RunSQL(stop)]
    told = Told(rehearsed(project, before, step, replay=True))
    assert not told.rehearsal.findings, told.text
    assert {item.label for item in told.rehearsal.not_probed} == {"blog.Post"}


# Deployments at random


class Change(NamedTuple):
    """A change of a model of its own, in the two steps that make it safe."""

    before: Sequence[Operation]
    first: Sequence[Operation]
    then: Sequence[Operation]


def changes(name: str) -> dict[str, Change]:
    """The changes that a deployment may consist of, to a model of that name."""
    target = f"{name}target"
    fields = {"number": models.IntegerField(), "title": text()}
    made = model(name, **fields)
    optional = model(name, number=models.IntegerField(), title=text(null=True))
    return {
        "add": Change(
            [made],
            [AddField(name, "extra", text(default="x", db_default="x"))],
            [AlterField(name, "extra", text(default="x"))],
        ),
        "remove": Change(
            [made],
            [AlterField(name, "title", text(db_default=""))],
            [RemoveField(name, "title")],
        ),
        "remove optional": Change([optional], [], [RemoveField(name, "title")]),
        "require": Change(
            [optional],
            [],
            [AlterField(name, "title", text(default=""), preserve_default=False)],
        ),
        "unique": Change([made], [], [AlterField(name, "title", text(unique=True))]),
        "constrain": Change(
            [made],
            [],
            [
                AddConstraint(
                    name,
                    models.CheckConstraint(
                        condition=models.Q(number__gte=0), name=f"{name}_positive"
                    ),
                )
            ],
        ),
        "delete": Change([made], [], [DeleteModel(name)]),
        "detach": Change(
            [model(target, name=text()), model(name, **fields, target=to(target))],
            [AlterField(name, "target", to(target, null=True, db_constraint=False))],
            [RemoveField(name, "target")],
        ),
        "attach": Change(
            [model(target, name=text()), made],
            [AddField(name, "target", to(target, null=True, db_constraint=False))],
            [AlterField(name, "target", to(target, null=True))],
        ),
        "replace": Change(
            [made],
            [
                AddField(name, "amount", models.BigIntegerField(db_default=0)),
                AlterField(name, "number", models.IntegerField(db_default=0)),
            ],
            [RemoveField(name, "number")],
        ),
        "rename": Change(
            [made],
            [
                AlterField(name, "title", text(db_column="title")),
                RenameField(name, "title", "name"),
                AlterModelTable(name, f"blog_{name}"),
            ],
            [],
        ),
    }


NAMES = ("alpha", "beta", "gamma")
# A new constraint on what the old release doesn't write is no more than a hazard.
REQUIRING = sorted(n for n, c in changes("x").items() if c.then and n != "attach")
AT_RANDOM = settings(
    max_examples=6,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def deployment(
    chosen: Sequence[str], moved: str | None = None
) -> tuple[list[Operation], list[Deployed]]:
    """The deployment of changes; that of the name ``moved`` all before the rollout."""
    made = {
        name: changes(name)[kind] for name, kind in zip(NAMES, chosen, strict=False)
    }
    before = [operation for change in made.values() for operation in change.before]
    steps = [auto(*change.first) for change in made.values() if change.first]
    if moved:
        steps.append(pre(*made[moved].then))
    steps += [
        auto(*change.then)
        for name, change in made.items()
        if change.then and name != moved
    ]
    return before, steps


@given(chosen=st.lists(st.sampled_from(sorted(changes("x"))), min_size=2, max_size=3))
@AT_RANDOM
def test_safe_deployments_pass(chosen: list[str], project: Project) -> None:
    before, steps = deployment(chosen)
    told = Told(rehearsed(project, before, *steps))
    assert told.rehearsal.complete, told.text
    assert not told.rehearsal.count(BREAKS), told.text
    assert not told.rehearsal.not_probed, told.text


@given(
    chosen=st.lists(st.sampled_from(REQUIRING), min_size=1, max_size=3), data=st.data()
)
@AT_RANDOM
def test_deployments_break_with_one_step_too_early(
    chosen: list[str], data: st.DataObject, project: Project
) -> None:
    moved = data.draw(st.sampled_from(NAMES[: len(chosen)]))
    before, steps = deployment(chosen, moved)
    told = Told(rehearsed(project, before, *steps))
    found = of(told.rehearsal, BREAKS)
    assert found, told.text
    assert all(f.culprit and f.culprit.stage is Stage.PRE_DEPLOY for f in found)
    blamed = {f.culprit.operation for f in found if f.culprit}
    assert all(moved in each.describe().lower() for each in blamed if each), told.text
