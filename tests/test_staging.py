"""What becomes of a plan before the rollout: the staging of real Django plans."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from types import FrameType
from typing import Any

import django
import pytest
from django.apps import apps
from django.core.management.base import OutputWrapper
from django.core.management.color import no_style
from django.db import models
from django.db.migrations import Migration, operations, swappable_dependency
from django.db.migrations.exceptions import InvalidMigrationPlan

from syzygy import Stage, conf
from syzygy.exceptions import AmbiguousPlan, AmbiguousStage
from syzygy.graph import MigrationKey
from syzygy.history import History
from syzygy.inspection import Inspection
from syzygy.management.report import PlanReport, StageReport
from syzygy.management.stager import PlanStager
from syzygy.plan import get_migration_stage
from syzygy.stages import Decision, Policy, Source
from syzygy.staging import Plan, decide_plan, stage_plan
from tests.graph_helpers import (
    Opaque,
    Project,
    StagedOperation,
    add,
    add_index,
    create,
    migration,
    not_null,
    nullable,
    options,
    remove,
    remove_index,
    rename,
    widen,
)

PRE, POST = Stage.PRE_DEPLOY, Stage.POST_DEPLOY

# What the running release uses: the model "Old" of the apps "a" and "b".
A1 = migration("a.0001", create("Old", "f", "g"))
B1 = migration("b.0001", create("Old", "f", "g"))
# What has to wait until it is gone.
A2 = migration("a.0002", remove("Old", "f"), needs="a.0001")


def deployed(*migrations: Migration, **kwargs: Any) -> Project:
    """Return a project of which the running release has A1 and B1."""
    project = Project(A1, B1, *migrations, **kwargs)
    return project.record("a.0001 b.0001")


def conflict(project: Project, targets: str = "") -> str:
    """Return what has to run before the rollout and what that needs, of a conflict."""
    with pytest.raises(AmbiguousPlan) as caught:
        project.stage(targets)
    found = re.match(
        r'Migration "(\S+)" has to (?:run|be undone) before the rollout \(.*?\), but '
        r'it needs "(\S+)" to (?:run|be undone) first',
        str(caught.value),
    )
    assert found
    return f"{found[1]} needs {found[2]}"


# Postponement


def test_nothing_is_planned_when_all_is_applied() -> None:
    stager = deployed().stager()
    assert stager.decisions == {}
    assert stager.stage() == []


def test_each_runs_in_its_stage_and_in_order() -> None:
    project = deployed(
        migration("a.0002", add("Old", "h"), needs="a.0001"),
        migration("a.0003", remove("Old", "f"), needs="a.0002"),
        migration("b.0002", remove("Old", "f"), needs="b.0001"),
        migration("c.0001", create("New")),
    )
    assert project.split() == (["a.0002", "c.0001"], ["a.0003", "b.0002"])


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        (PRE, (["a.0002"], [])),
        (POST, ([], ["a.0002"])),
        ("post_deploy", ([], ["a.0002"])),
    ],
)
@pytest.mark.parametrize("operation", [add("Old", "h"), remove("Old", "f"), Opaque()])
def test_declared_stage_goes_before_the_operations(
    stage: object, expected: object, operation: Any
) -> None:
    project = deployed(migration("a.0002", operation, needs="a.0001", stage=stage))
    assert project.split() == expected


def test_what_is_postponed_by_itself_is_so_because_of_nothing_else() -> None:
    [step] = deployed(A2).stage()
    assert step.is_postponed
    assert step.because is None
    assert not step.is_brought_forward


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param(None, id="none"),
        pytest.param(options("Old"), id="state only"),
        pytest.param(Opaque(), id="unknown"),
        pytest.param(remove_index("Old"), id="preference"),
        pytest.param(operations.RunPython(operations.RunPython.noop), id="noop"),
    ],
)
def test_what_may_run_in_either_stage_is_postponed_with_what_it_needs(
    operation: Any,
) -> None:
    body = [] if operation is None else [operation]
    project = deployed(A2, migration("a.0003", *body, needs="a.0002"))
    assert project.split() == ([], ["a.0002", "a.0003"])


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (None, (["b.0002"], [])),
        (options("Old"), (["b.0002"], [])),
        (Opaque(), (["b.0002"], [])),
        (remove_index("Old"), ([], ["b.0002"])),
    ],
)
def test_what_may_run_in_either_stage_goes_by_preference_otherwise(
    operation: Any, expected: object
) -> None:
    body = [] if operation is None else [operation]
    assert deployed(migration("b.0002", *body, needs="b.0001")).split() == expected


def test_the_first_that_had_to_wait_is_named_for_all_that_wait_with_it() -> None:
    steps = deployed(
        A2,
        migration("a.0003", needs="a.0002"),
        migration("a.0004", needs="a.0003"),
        migration("a.0005", remove("Old", "g"), needs="a.0004"),
        migration("a.0006", needs="a.0005"),
    ).stage()
    assert {str(step.migration): str(step.because) for step in steps} == {
        "a.0002": "None",
        "a.0003": "a.0002",
        "a.0004": "a.0002",
        "a.0005": "None",
        "a.0006": "a.0005",
    }


def test_a_merge_waits_for_the_branch_that_waits() -> None:
    project = deployed(
        A2,
        migration("a.0003", add("Old", "h"), needs="a.0001"),
        migration("a.0004", needs="a.0002 a.0003"),
    )
    assert project.split() == (["a.0003"], ["a.0002", "a.0004"])


def test_a_merge_of_branches_that_need_not_wait_runs_before_the_rollout() -> None:
    project = deployed(
        migration("a.0002", add("Old", "h"), needs="a.0001"),
        migration("a.0003", add("Old", "i"), needs="a.0001"),
        migration("a.0004", needs="a.0002 a.0003"),
    )
    pre, postponed = project.split()
    assert set(pre) == {"a.0002", "a.0003", "a.0004"}
    assert pre[-1] == "a.0004"
    assert postponed == []


def test_only_what_a_target_needs_is_planned() -> None:
    project = deployed(
        A2,
        migration("b.0002", add("Old", "h"), needs="b.0001"),
        migration("b.0003", needs="b.0002 a.0002"),
    )
    assert project.split("b.0002") == (["b.0002"], [])
    assert project.split("b") == (["b.0002"], ["a.0002", "b.0003"])


# Transitive needs. In each project "c.0001" needs "a.0002", one way or the other.

C = "c.0001"
REPLACED = (
    migration("a.0002", options("Old"), needs="a.0001"),
    migration("a.0003", remove("Old", "f"), needs="a.0002"),
)
SQUASHED = migration(
    "a.s",
    options("Old"),
    remove("Old", "f"),
    needs="a.0001",
    replaces="a.0002 a.0003",
)


def needing(operation: Any = None, name: str = C, **kwargs: Any) -> Migration:
    return migration(name, *([operation] if operation else []), **kwargs)


def by_dependency(body: Any) -> Project:
    return deployed(A2, needing(body, needs="a.0002"))


def by_run_before(body: Any) -> Project:
    return deployed(
        migration("a.0002", remove("Old", "f"), needs="a.0001", before=C), needing(body)
    )


def by_first(body: Any) -> Project:
    return deployed(
        migration("d.0001", create("New"), stage=POST),
        needing(body, needs="d.__first__"),
    )


def by_latest(body: Any) -> Project:
    return deployed(A2, needing(body, needs="a.__latest__"))


def by_swappable(body: Any) -> Project:
    dependency = swappable_dependency("d.New")
    return deployed(
        migration("d.0001", create("New"), stage=POST),
        needing(body, dependencies=[dependency]),
    )


def through_a_merge(body: Any) -> Project:
    return deployed(
        A2,
        migration("a.0003", needs="a.0001"),
        migration("a.0004", needs="a.0002 a.0003"),
        needing(body, needs="a.0004"),
    )


def through_another_app(body: Any) -> Project:
    return deployed(
        A2, migration("b.0002", needs="b.0001 a.0002"), needing(body, needs="b.0002")
    )


def through_run_before(body: Any) -> Project:
    return deployed(
        A2, migration("b.0002", needs="b.0001 a.0002", before=C), needing(body)
    )


def by_squashed(body: Any) -> Project:
    return deployed(SQUASHED, needing(body, needs="a.s"))


def by_replaced(body: Any) -> Project:
    return deployed(SQUASHED, needing(body, needs="a.0003"))


def by_replaced_that_is_kept(body: Any) -> Project:
    return deployed(*REPLACED, SQUASHED, needing(body, needs="a.0002"))


def by_squashed_partly_applied(body: Any) -> Project:
    return deployed(*REPLACED, SQUASHED, needing(body, needs="a.s")).record("a.0002")


def by_run_before_of_replaced(body: Any) -> Project:
    replaced = migration("a.0003", remove("Old", "f"), needs="a.0002", before=C)
    return deployed(REPLACED[0], replaced, SQUASHED, needing(body))


def in_a_circle_of_apps(body: Any) -> Project:
    return deployed(
        A2,
        migration("b.0002", needs="b.0001 a.0002"),
        migration("a.0003", needs="a.0002 b.0002"),
        needing(body, needs="a.0003"),
    )


WAYS = {
    by_dependency: "a.0002",
    by_run_before: "a.0002",
    by_first: "d.0001",
    by_latest: "a.0002",
    by_swappable: "d.0001",
    through_a_merge: "a.0002",
    through_another_app: "a.0002",
    through_run_before: "a.0002",
    by_squashed: "a.s",
    by_replaced: "a.s",
    by_replaced_that_is_kept: "a.s",
    by_squashed_partly_applied: "a.0003",
    by_run_before_of_replaced: "a.s",
    in_a_circle_of_apps: "a.0002",
}
ways = pytest.mark.parametrize(
    ("make", "needed"), WAYS.items(), ids=[make.__name__ for make in WAYS]
)


@ways
def test_what_needs_a_postponed_one_is_postponed(make: Any, needed: str) -> None:
    _, postponed = make(None).split()
    assert postponed.index(needed) < postponed.index(C)
    assert str(make(None).stage()[-1].because) == needed


# RunPython, for nobody can tell that it only touches what is new.
CODE = operations.RunPython(lambda apps, editor: None, operations.RunPython.noop)


@ways
def test_what_has_to_run_before_the_rollout_conflicts(make: Any, needed: str) -> None:
    if make in (by_first, by_swappable):
        # What "d.0001" creates is unseen, whatever its stage.
        assert make(CODE).split() == ([needed, C], [])
    else:
        assert conflict(make(CODE)) == f"{C} needs {needed}"


def test_a_dependency_on_an_app_without_migrations_is_no_need() -> None:
    project = deployed(
        A2,
        migration("c.0001", create("New"), needs="u.__first__ u.__latest__"),
        unmigrated=["u"],
    )
    assert project.split() == (["c.0001"], ["a.0002"])


def test_apps_that_need_each_other_are_no_conflict() -> None:
    project = deployed(
        migration("a.0002", add("Old", "h"), needs="a.0001 b.0001"),
        migration("b.0002", add("Old", "h"), needs="b.0001 a.0002"),
        migration("a.0003", remove("Old", "f"), needs="a.0002 b.0002"),
        migration("b.0003", remove("Old", "f"), needs="b.0002 a.0003"),
    )
    assert project.split() == (["a.0002", "b.0002"], ["a.0003", "b.0003"])


# Squashed migrations


def squashed() -> list[Migration]:
    """Return what the running release has, and "a.s" in place of what it doesn't."""
    return [
        migration("a.0002", add("Old", "h"), needs="a.0001"),
        migration("a.0003", remove("Old", "f"), needs="a.0002"),
        migration(
            "a.s",
            add("Old", "h"),
            remove("Old", "f"),
            needs="a.0001",
            replaces="a.0002 a.0003",
        ),
        migration("a.0004", options("Old"), needs="a.0003"),
    ]


def test_a_squashed_migration_that_is_not_applied_is_staged_as_one() -> None:
    with pytest.raises(AmbiguousStage, match=r'"a\.s" is ambiguous'):
        deployed(*squashed()).stage()


def test_a_squashed_migration_that_is_applied_is_not_planned() -> None:
    project = deployed(*squashed()).record("a.0002 a.0003")
    assert project.split() == (["a.0004"], [])


def test_of_a_squashed_migration_partly_applied_the_rest_is_staged() -> None:
    project = deployed(*squashed()).record("a.0002")
    assert project.split() == ([], ["a.0003", "a.0004"])


def test_of_a_squashed_migration_fully_applied_the_effect_is_known() -> None:
    project = deployed(
        migration("a.0002", widen("Old", "f"), needs="a.0001"),
        migration("a.s", widen("Old", "f"), needs="a.0001", replaces="a.0002"),
        # With a field that wasn't widened this would be PRE, not ambiguous.
        migration("a.0003", not_null("Old", "f"), needs="a.s"),
    ).record("a.0002 a.s")
    assert project.split() == ([], ["a.0003"])


@pytest.mark.skipif(
    django.VERSION < (6, 0), reason="Django 6.0 squashes squashed ones."
)
@pytest.mark.parametrize(
    ("applied", "expected"),
    [
        ("", (["a.outer"], ["a.0004"])),
        ("a.0001", (["a.0002", "a.0003"], ["a.0004"])),
        ("a.0001 a.0002", (["a.0003"], ["a.0004"])),
        ("a.0001 a.0002 a.0003", ([], ["a.0004"])),
        ("a.0001 a.0002 a.0003 a.inner a.outer", ([], ["a.0004"])),
    ],
)
def test_nested_squashes_in_any_state(applied: str, expected: object) -> None:
    project = Project(
        A1,
        migration("a.0002", add("Old", "h"), needs="a.0001"),
        migration("a.0003", add("Old", "i"), needs="a.0002"),
        migration(
            "a.inner",
            create("Old", "f", "g", "h"),
            replaces="a.0001 a.0002",
        ),
        migration(
            "a.outer",
            create("Old", "f", "g", "h", "i"),
            replaces="a.inner a.0003",
        ),
        migration("a.0004", remove("Old", "f"), needs="a.0003"),
    ).record(f"z.0001 {applied}")
    assert project.split() == expected


def test_a_target_that_is_replaced_is_judged_by_what_it_replaced_alone() -> None:
    # To reach it, Django looks at the graph without the squashed one, whose effect is
    # not to be counted on top of that of those it replaces.
    widened = models.CharField(max_length=99, null=True)
    project = Project(
        migration("a.0001_initial", create("Old", "f")),
        migration("a.0002_widen", widen("Old", "f"), needs="a.0001_initial"),
        migration(
            "a.0001_squashed_0002_widen",
            operations.CreateModel("Old", [("f", widened)]),
            replaces="a.0001_initial a.0002_widen",
        ),
    ).record("a.0001_initial a.0002_widen a.0001_squashed_0002_widen")
    [step] = project.stage("a.0001_initial")
    assert str(step.migration) == "a.0002_widen"
    assert step.stage is POST


def test_a_target_that_is_replaced_before_what_is_squashed_again() -> None:
    # Django's graph has both the squashed ones and those that they replace, then.
    project = Project(
        migration("a.0001", create("Old", "f")),
        migration("a.0002", needs="a.0001"),
        migration("a.0003", options("Old"), needs="a.0002"),
        migration("a.0004", options("Old"), needs="a.0003"),
        migration("a.0005", options("Old"), needs="a.0004"),
        migration("a.0002_s_0003", needs="a.0001", replaces="a.0002 a.0003"),
        migration("a.0004_s_0005", needs="a.0003", replaces="a.0004 a.0005"),
    ).record("a.0001 a.0002 a.0003 a.0004 a.0005 a.0002_s_0003 a.0004_s_0005")
    pre, postponed = project.split("a.0002")
    assert {"a.0003", "a.0004", "a.0005"} <= set(pre)
    assert postponed == []


# Bringing forward


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param(remove("New", "f"), id="a field of a new model"),
        pytest.param(not_null("New", "f"), id="NOT NULL in a new model"),
        pytest.param(remove("Old", "new"), id="a new field"),
        pytest.param(operations.DeleteModel("New"), id="a new model"),
    ],
)
@pytest.mark.parametrize("creator", [None, PRE, POST])
def test_what_only_touches_what_the_plan_creates_is_brought_forward(
    operation: Any, creator: Stage | None
) -> None:
    project = deployed(
        migration(
            "a.0002",
            create("New", "f"),
            *([] if creator is POST else [add("Old", "new")]),
            needs="a.0001",
            stage=creator,
        ),
        *([migration("a.0003", add("Old", "new"), needs="a.0002")]),
        migration("a.0004", operation, needs="a.0003"),
        migration("a.0005", add("Old", "h"), needs="a.0004"),
    )
    steps = {str(step.migration): step for step in project.stage()}
    assert not any(step.is_postponed for step in steps.values())
    assert steps["a.0004"].is_brought_forward
    assert str(steps["a.0004"].because) == "a.0005"
    assert not steps["a.0005"].is_brought_forward
    assert steps["a.0005"].because is None


def adopting(*database: Any) -> Any:
    """A model that is added to the state of another app beside what the database does.

    Its table is that of "Old".
    """
    model = create("New", "f", db_table="a_old")
    return operations.SeparateDatabaseAndState(database, [model])


SELECT = operations.RunSQL("SELECT 1")
MAKING = operations.RunSQL(["CREATE TABLE x (id int)", ("SELECT 1", None)])


@pytest.mark.parametrize(
    "operation",
    [
        adopting(),
        adopting(CODE),
        adopting(SELECT, CODE),
        adopting(operations.SeparateDatabaseAndState([CODE])),
        operations.RunSQL("SELECT 1", state_operations=adopting().state_operations),
        operations.RunSQL(
            "CREATE TABLE IF NOT EXISTS a_old (id int)",
            state_operations=adopting().state_operations,
        ),
    ],
    ids=["nothing", "Python", "both", "nested", "SQL", "SQL that may find it"],
)
def test_what_code_may_have_found_is_seen(operation: Any) -> None:
    """A model that moves to another app keeps its table, which is in use."""
    project = deployed(
        migration("b.0002", operation, needs="b.0001 a.0001"),
        migration("b.0003", remove("New", "f"), needs="b.0002"),
        migration("b.0004", add("New", "h"), needs="b.0003"),
    )
    assert conflict(project) == "b.0004 needs b.0003"


@pytest.mark.parametrize(
    "operation",
    [
        adopting(MAKING),
        adopting(CODE, MAKING),
        operations.RunSQL(MAKING.sql, state_operations=adopting().state_operations),
    ],
)
def test_what_sql_makes_is_unseen(operation: Any) -> None:
    project = deployed(
        migration("b.0002", operation, needs="b.0001"),
        migration("b.0003", remove("New", "f"), needs="b.0002"),
        migration("b.0004", add("New", "h"), needs="b.0003"),
    )
    assert project.split() == (["b.0002", "b.0003", "b.0004"], [])


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param(add("New", "g"), id="a field"),
        pytest.param(add_index("New"), id="an index"),
        pytest.param(remove("New", "f"), id="removes a field"),
        pytest.param(create("Newer"), id="creates another"),
        pytest.param(options("Old"), id="nothing in the database"),
    ],
)
def test_what_is_declared_to_wait_is_brought_forward_if_unseen(operation: Any) -> None:
    project = deployed(
        migration("a.0002", create("New", "f"), needs="a.0001"),
        migration("a.0003", operation, needs="a.0002", stage=POST),
        migration("a.0004", add("Old", "h"), needs="a.0003"),
    )
    assert project.split() == (["a.0002", "a.0003", "a.0004"], [])


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param(add("Old", "x"), id="a field of an old model"),
        pytest.param(remove("Old", "f"), id="an old field"),
        pytest.param(Opaque(), id="nobody knows what"),
        pytest.param(CODE, id="code"),
        pytest.param(StagedOperation(PRE), id="an operation with a stage"),
        pytest.param(operations.RunSQL("SELECT 1"), id="SQL"),
    ],
)
def test_what_is_declared_to_wait_is_a_conflict_if_it_may_be_seen(
    operation: Any,
) -> None:
    project = deployed(
        migration("a.0002", create("New", "f"), needs="a.0001"),
        migration("a.0003", operation, needs="a.0002", stage=POST),
        migration("a.0004", add("Old", "h"), needs="a.0003"),
    )
    assert conflict(project) == "a.0004 needs a.0003"


def test_what_also_touches_something_old_is_not_brought_forward() -> None:
    project = deployed(
        migration("a.0002", create("New", "f"), needs="a.0001"),
        migration("a.0003", remove("New", "f"), remove("Old", "f"), needs="a.0002"),
        migration("a.0004", add("Old", "h"), needs="a.0003"),
    )
    assert conflict(project) == "a.0004 needs a.0003"


def test_not_null_on_a_new_field_of_an_old_model_is_not_brought_forward() -> None:
    # Rows that the running release inserts don't have the field.
    project = deployed(
        migration("a.0002", add("Old", "new"), needs="a.0001"),
        migration("a.0003", not_null("Old", "new"), needs="a.0002"),
        migration("a.0004", add("Old", "h"), needs="a.0003"),
    )
    assert conflict(project) == "a.0004 needs a.0003"


def test_what_nothing_needs_waits_although_it_is_unseen() -> None:
    project = deployed(
        migration("a.0002", create("New", "f"), needs="a.0001"),
        migration("a.0003", remove("New", "f"), needs="a.0002"),
    )
    assert project.split() == (["a.0002"], ["a.0003"])


def test_what_an_earlier_plan_created_is_seen() -> None:
    project = deployed(
        migration("a.0002", create("New", "f"), needs="a.0001"),
        migration("a.0003", remove("New", "f"), needs="a.0002"),
        migration("a.0004", add("Old", "h"), needs="a.0003"),
    ).record("a.0002")
    assert conflict(project) == "a.0004 needs a.0003"


def test_what_is_created_again_is_seen() -> None:
    # The running release knows a model by that name, with a field by that name.
    project = deployed(
        migration("a.0002", operations.DeleteModel("Old"), needs="a.0001"),
        migration("a.0003", create("Old", "f"), needs="a.0002"),
    )
    assert conflict(project) == "a.0003 needs a.0002"


def test_what_the_plan_leaves_out_does_not_count_as_created_by_it() -> None:
    project = deployed(
        migration("a.0002", create("New", "f"), needs="a.0001"),
        migration("a.0003", remove("New", "f"), needs="a.0002"),
        migration("b.0002", add("Old", "h"), needs="b.0001 a.0003"),
    ).record("a.0002")
    assert conflict(project, "b") == "b.0002 needs a.0003"


@pytest.mark.parametrize("stage", [None, POST])
def test_nothing_conflicts_in_a_first_deployment(stage: Stage | None) -> None:
    project = Project(
        A1,
        migration("a.0002", remove("Old", "f"), needs="a.0001"),
        migration("a.0003", CODE, needs="a.0002", stage=stage),
        migration("a.0004", not_null("Old", "g"), needs="a.0003"),
        migration("a.0005", add("Old", "h"), needs="a.0004"),
        migration("a.0006", remove("Old", "g"), needs="a.0005"),
    )
    assert project.split() == (
        ["a.0001", "a.0002", "a.0003", "a.0004", "a.0005"],
        ["a.0006"],
    )
    # As soon as anything is applied, there may be a release that runs.
    assert conflict(project.record("a.0001")) == (
        "a.0003 needs a.0002" if stage is None else "a.0005 needs a.0002"
    )


def test_what_the_new_release_needs_is_not_left_behind_because_it_is_unseen() -> None:
    # Only the running release doesn't care: the new one uses "New" under these names.
    project = deployed(
        migration("a.0002", create("New", "f"), needs="a.0001"),
        migration("a.0003", remove("Old", "f"), needs="a.0002"),
        migration("a.0004", rename("New", "f", "h"), needs="a.0003"),
    )
    assert conflict(project) == "a.0004 needs a.0003"


def test_what_no_stage_suits_runs_before_the_rollout_if_it_is_unseen() -> None:
    project = deployed(
        migration("a.0002", create("New", "f"), needs="a.0001"),
        migration("a.0003", rename("New", "f", "h"), needs="a.0002"),
        migration("a.0004", remove("New", "h"), add("Old", "h"), needs="a.0003"),
    )
    assert project.split() == (["a.0002", "a.0003", "a.0004"], [])


# Preferences


def test_a_preference_gives_way_to_what_has_to_run_before_the_rollout() -> None:
    project = deployed(
        migration("a.0002", remove_index("Old"), needs="a.0001"),
        migration("a.0003", options("Old"), needs="a.0002"),
        migration("a.0004", add("Old", "h"), needs="a.0003"),
        migration("a.0005", remove_index("Old", "f"), needs="a.0004"),
    )
    steps = {str(step.migration): step for step in project.stage()}
    assert [n for n, step in steps.items() if step.is_postponed] == ["a.0005"]
    assert [n for n, step in steps.items() if step.is_brought_forward] == ["a.0002"]
    assert str(steps["a.0002"].because) == "a.0004"
    assert not steps["a.0002"].is_pinned
    assert steps["a.0003"].because is None


def test_the_next_that_has_to_run_before_the_rollout_is_named() -> None:
    steps = deployed(
        migration("a.0002", remove_index("Old"), needs="a.0001"),
        migration("a.0003", add("Old", "h"), needs="a.0002"),
        migration("a.0004", add("Old", "i"), needs="a.0003"),
    ).stage()
    assert str(steps[0].because) == "a.0003"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([remove_index("Old"), add("Old", "h")], (["b.0002"], [])),
        ([remove_index("Old"), remove("Old", "f")], ([], ["b.0002"])),
        ([remove_index("Old"), options("Old")], ([], ["b.0002"])),
        ([remove_index("Old"), Opaque()], (["b.0002"], [])),
    ],
)
def test_operations_with_a_preference_go_along_in_their_migration(
    body: list[Any], expected: object
) -> None:
    assert deployed(migration("b.0002", *body, needs="b.0001")).split() == expected


# Ambiguous stages


def test_an_ambiguous_stage_is_never_guessed_at() -> None:
    project = deployed(
        A2, migration("b.0002", add("Old", "h"), remove("Old", "f"), needs="b.0001")
    )
    with pytest.raises(AmbiguousStage, match=r'"b\.0002" is ambiguous'):
        project.stage()
    assert project.split("a") == ([], ["a.0002"])


def test_an_ambiguous_stage_is_found_before_a_conflict() -> None:
    project = deployed(
        A2,
        migration("a.0003", add("Old", "h"), needs="a.0002"),
        migration("a.0004", rename("Old", "g", "i"), needs="a.0003"),
    )
    with pytest.raises(AmbiguousStage, match=r'"a\.0004" is ambiguous'):
        project.stage()


def test_an_ambiguous_stage_is_so_when_it_is_undone() -> None:
    project = deployed(migration("b.0002", rename("Old", "f", "h"), needs="b.0001"))
    with pytest.raises(AmbiguousStage, match=r'"b\.0002" is ambiguous'):
        project.record("b.0002").stage("b.0001")


def test_an_ambiguous_stage_is_so_when_it_is_undone_with_what_it_touches() -> None:
    # The release that is being replaced uses all of it.
    project = rolled_back(
        migration("a.0002", create("New", "f"), needs="a.0001"),
        migration("a.0003", rename("New", "f", "h"), needs="a.0002"),
    )
    with pytest.raises(AmbiguousStage, match=r'"a\.0003" is ambiguous'):
        project.stage("a.0001")


def test_decisions_are_told_where_there_is_no_plan() -> None:
    project = deployed(A2, migration("b.0002", rename("Old", "f", "h"), needs="b.0001"))
    decisions = project.stager().decisions
    assert isinstance(decisions["b", "0002"], AmbiguousStage)
    assert decisions["a", "0002"] == project.stager("a").decisions["a", "0002"]


def test_what_a_decision_raises_is_its_own_error() -> None:
    error = AmbiguousStage("what", "how")
    with pytest.raises(AmbiguousStage) as caught:
        stage_plan([(A1, False)], {("a", "0001"): error}, lambda _: (), Policy())
    assert caught.value is error


# Both directions


def test_a_plan_of_both_directions_is_refused() -> None:
    project = deployed(A2, migration("b.0002", needs="b.0001")).record("b.0002")
    executor, plan = project.plan("a b.0001")
    assert [(str(m), backward) for m, backward in plan] == [
        ("a.0002", False),
        ("b.0002", True),
    ]
    with pytest.raises(InvalidMigrationPlan, match="one command for each direction"):
        PlanStager(executor, plan)
    with pytest.raises(InvalidMigrationPlan):
        decide_plan(plan, [A1, B1], History(), Policy())


# Reversal


def rolled_back(*migrations: Migration) -> Project:
    project = deployed(*migrations)
    return project.record(" ".join(str(each) for each in migrations))


def test_reversal_inverts_stages() -> None:
    project = rolled_back(
        migration("a.0002", add("Old", "h"), needs="a.0001"),
        migration("b.0002", remove("Old", "f"), needs="b.0001"),
        migration("c.0001", options("Old")),
        migration("d.0001", remove_index("Old")),
        migration("e.0001", Opaque()),
    )
    # What the old release needs back comes first, what only the new one uses goes last.
    assert project.split("a.0001 b.0001 c.zero d.zero e.zero") == (
        ["b.0002", "c.0001", "d.0001"],
        ["a.0002", "e.0001"],
    )


def test_reversal_keeps_the_order_of_the_plan() -> None:
    project = rolled_back(
        migration("a.0002", remove("Old", "f"), needs="a.0001"),
        migration("a.0003", remove("Old", "g"), needs="a.0002"),
    )
    assert project.split("a.0001") == (["a.0003", "a.0002"], [])


@pytest.mark.parametrize("edge", ["needs", "before"])
def test_nothing_is_undone_while_something_that_needs_it_stays(edge: str) -> None:
    b2 = migration("b.0002", add("Old", "h"), needs="b.0001 a.0002")
    a2 = migration("a.0002", options("Old"), needs="a.0001")
    if edge == "before":
        b2 = migration("b.0002", add("Old", "h"), needs="b.0001")
        a2 = migration("a.0002", options("Old"), needs="a.0001", before="b.0002")
    project = rolled_back(a2, b2)
    pre, postponed = project.split("a.0001")
    assert (pre, postponed) == ([], ["b.0002", "a.0002"])
    assert str(project.stage("a.0001")[1].because) == "b.0002"


def test_what_has_to_be_undone_first_conflicts_with_what_needs_it_and_waits() -> None:
    project = rolled_back(
        A2, migration("b.0002", add("Old", "h"), needs="b.0001 a.0002")
    )
    assert conflict(project, "a.0001") == "a.0002 needs b.0002"


def test_what_has_to_be_undone_first_may_be_needed_by_what_goes_along() -> None:
    project = rolled_back(
        A2,
        migration("a.0003", options("Old"), needs="a.0002"),
        migration("a.0004", Opaque(), needs="a.0003"),
    )
    steps = {str(step.migration): step for step in project.stage("a.0001")}
    assert not any(step.is_postponed for step in steps.values())
    # Opaque is rather undone after the rollout.
    assert steps["a.0004"].is_brought_forward
    assert str(steps["a.0004"].because) == "a.0002"


def test_what_the_plan_created_is_seen_when_it_is_undone() -> None:
    # The release that is being replaced uses all of it.
    project = rolled_back(
        migration("a.0002", create("New", "f"), needs="a.0001"),
        migration("a.0003", remove("New", "f"), needs="a.0002"),
        migration("a.0004", add("New", "h"), needs="a.0003"),
    )
    assert conflict(project, "a.0001") == "a.0003 needs a.0004"


def test_reversal_to_zero_has_no_first_deployment() -> None:
    project = Project(A1, A2, migration("a.0003", add("Old", "h"), needs="a.0002"))
    project.record("a.0001 a.0002 a.0003")
    assert conflict(project, "a.zero") == "a.0002 needs a.0003"


def test_reversal_judges_each_by_the_state_before_it_was_applied() -> None:
    back = operations.AlterField("Old", "f", nullable())
    project = rolled_back(
        migration("a.0002", widen("Old", "f"), needs="a.0001"),
        migration("a.0003", back, needs="a.0002"),
    )
    # Narrowed after the rollout, widened before it: undone the other way round.
    assert project.split("a.0001") == (["a.0003"], ["a.0002"])


def test_reversal_of_a_merge() -> None:
    project = rolled_back(
        A2,
        migration("a.0003", remove("Old", "g"), needs="a.0001"),
        migration("a.0004", needs="a.0002 a.0003"),
    )
    pre, postponed = project.split("a.0001")
    assert pre[0] == "a.0004"
    assert set(pre) == {"a.0002", "a.0003", "a.0004"}
    assert postponed == []


def test_reversal_of_a_squashed_migration() -> None:
    project = deployed(
        migration("a.s", remove("Old", "f"), needs="a.0001", replaces="a.0002 a.0003"),
        migration("a.0004", options("Old"), needs="a.0003"),
    ).record("a.0002 a.0003 a.s a.0004")
    assert project.split("a.0001") == (["a.0004", "a.s"], [])


# Settings


def test_override_goes_before_all(tmp_path: Path) -> None:
    project = deployed(
        A2,
        migration("a.0003", add("Old", "h"), needs="a.0002"),
        migration("b.0002", add("Old", "h"), needs="b.0001", stage=PRE),
        migration("b.0003", rename("Old", "f", "i"), needs="b.0002", stage="no"),
    )
    override = {"a.0002": "pre_deploy", "b": POST, "b.0003": "post_deploy"}
    with project.installed(tmp_path, MIGRATION_STAGES_OVERRIDE=override):
        assert project.split() == (["a.0002", "a.0003"], ["b.0002", "b.0003"])
        assert project.stage()[0].decision == Decision(PRE, Source.OVERRIDE)


@pytest.mark.parametrize("stage", ["pre_deploy", "post_deploy"])
def test_override_goes_before_an_operation_whose_stage_is_none(
    tmp_path: Path, stage: str
) -> None:
    project = deployed(migration("a.0002", StagedOperation("no"), needs="a.0001"))
    override = {"a.0002": stage}
    with project.installed(tmp_path, MIGRATION_STAGES_OVERRIDE=override):
        pre, postponed = project.split()
    assert (pre if stage == "pre_deploy" else postponed) == ["a.0002"]


def test_override_may_cause_a_conflict(tmp_path: Path) -> None:
    project = deployed(
        migration("a.0002", options("Old"), needs="a.0001"),
        migration("a.0003", add("Old", "h"), needs="a.0002"),
    )
    override = {"a": POST, "a.0003": PRE}
    with project.installed(tmp_path, MIGRATION_STAGES_OVERRIDE=override):
        # It changes nothing in the database, so it may as well run.
        assert project.split() == (["a.0002", "a.0003"], [])
    project = deployed(A2, migration("a.0003", options("Old"), needs="a.0002"))
    with project.installed(tmp_path, MIGRATION_STAGES_OVERRIDE={"a.0003": PRE}):
        assert conflict(project) == "a.0003 needs a.0002"


@pytest.mark.parametrize(
    ("fallback", "expected"),
    [
        ({"a": PRE}, (["a.0002", "a.0003"], [])),
        ({"a.0002": POST}, ([], ["a.0002", "a.0003"])),
        ({"a": PRE, "a.0002": POST}, ([], ["a.0002", "a.0003"])),
    ],
)
def test_fallback_settles_what_is_ambiguous_and_nothing_else(
    tmp_path: Path, fallback: object, expected: object
) -> None:
    project = deployed(
        migration("a.0002", add("Old", "h"), remove("Old", "f"), needs="a.0001"),
        migration("a.0003", options("Old"), needs="a.0002"),
    )
    with project.installed(tmp_path, MIGRATION_STAGES_FALLBACK=fallback):
        assert project.split() == expected
        assert project.stage()[0].decision.source is Source.FALLBACK
        assert project.stage()[1].decision.source is Source.INFERRED


def test_fallback_does_not_settle_what_the_plan_settles(tmp_path: Path) -> None:
    project = deployed(
        migration("a.0002", create("New", "f"), needs="a.0001"),
        migration("a.0003", rename("New", "f", "g"), needs="a.0002"),
    )
    with project.installed(tmp_path, MIGRATION_STAGES_FALLBACK={"a": POST}):
        assert project.split() == (["a.0002", "a.0003"], [])


def test_fallback_of_a_third_party_is_for_its_apps_alone(tmp_path: Path) -> None:
    project = deployed(
        migration("a.0002", rename("Old", "f", "h"), needs="a.0001"),
        migration("b.0002", rename("Old", "f", "h"), needs="b.0001"),
    )
    with project.installed(tmp_path, third_party="b"):
        assert project.split("b") == (["b.0002"], [])
        decision = project.stage("b")[0].decision
        assert decision.source is Source.THIRD_PARTY
        assert project.record("b.0002").split("b.0001") == ([], ["b.0002"])
        with pytest.raises(AmbiguousStage, match=r'"a\.0002"'):
            project.split("a")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"MIGRATION_THIRD_PARTY_STAGES_FALLBACK": "post_deploy"}, ([], ["b.0002"])),
        ({"MIGRATION_STAGES_FALLBACK": {"b": POST}}, ([], ["b.0002"])),
        ({"MIGRATION_STAGES_OVERRIDE": {"b.0002": POST}}, ([], ["b.0002"])),
        ({"MIGRATION_THIRD_PARTY_STAGES_FALLBACK": None}, None),
    ],
)
def test_fallback_of_a_third_party_is_a_setting(
    tmp_path: Path, settings: dict[str, Any], expected: object
) -> None:
    project = deployed(migration("b.0002", rename("Old", "f", "h"), needs="b.0001"))
    with project.installed(tmp_path, third_party="b", **settings):
        if expected is None:
            with pytest.raises(AmbiguousStage):
                project.split()
        else:
            assert project.split() == expected


def test_what_predates_adoption_has_no_stage(tmp_path: Path) -> None:
    project = deployed(
        A2,
        migration("a.0003", rename("Old", "g", "i"), needs="a.0002", stage="no"),
        migration("a.0004", remove("Old", "i"), needs="a.0003"),
        migration("b.0002", remove("Old", "f"), needs="b.0001"),
        migration("b.0003", options("Old"), needs="b.0002"),
    )
    with project.installed(tmp_path, MIGRATION_STAGES_BASELINE={"a": "0003"}):
        assert project.split() == (["a.0002", "a.0003"], ["a.0004", "b.0002", "b.0003"])
        assert project.stage()[0].decision.source is Source.BASELINE


def test_what_predates_adoption_waits_for_what_it_needs(tmp_path: Path) -> None:
    project = deployed(A2, migration("b.0002", add("Old", "h"), needs="b.0001 a.0002"))
    with project.installed(tmp_path, MIGRATION_STAGES_BASELINE={"b": "0002"}):
        assert project.split() == ([], ["a.0002", "b.0002"])


def test_undoing_what_predates_adoption_waits(tmp_path: Path) -> None:
    project = deployed(
        A2,
        migration("a.0003", remove("Old", "g"), needs="a.0002"),
        migration("b.0002", remove("Old", "f"), needs="b.0001 a.0001"),
    ).record("a.0002 a.0003 b.0002")
    with project.installed(tmp_path, MIGRATION_STAGES_BASELINE={"a": "0002"}):
        # Not a matter of the rules: "a.0002" would be undone before the rollout.
        assert project.split("a.zero") == (
            ["b.0002", "a.0003"],
            ["a.0002", "a.0001"],
        )
        assert str(project.stage("a.zero")[0].reason).startswith("undoes what is post")


def test_undoing_what_predates_adoption_goes_along_if_it_must(tmp_path: Path) -> None:
    project = deployed(
        A2, migration("b.0002", add("Old", "h"), needs="b.0001 a.0002")
    ).record("a.0002 b.0002")
    with project.installed(tmp_path, MIGRATION_STAGES_BASELINE={"b": "0002"}):
        report = StageReport(OutputWrapper(out := StringIO()), no_style(), ())
        report.plans["default"] = PlanReport(project.stage("a.0001"))
        report.write_postponed()
    assert out.getvalue().splitlines() == [
        "Brought forward:",
        "  b.0002  post-deploy  a.0002 needs it, and it predates adoption",
    ]


def test_what_predates_adoption_still_tells_what_fields_were(tmp_path: Path) -> None:
    project = deployed(
        migration("a.0002", widen("Old", "f"), needs="a.0001"),
        migration(
            "a.0003", operations.AlterField("Old", "f", nullable()), needs="a.0002"
        ),
    )
    with project.installed(tmp_path, MIGRATION_STAGES_BASELINE={"a": "0002"}):
        assert project.split() == (["a.0002"], ["a.0003"])


@pytest.mark.parametrize("is_applied", [False, True])
def test_history_goes_by_needs_and_not_by_names(
    tmp_path: Path, is_applied: bool
) -> None:
    project = deployed(
        migration("c.z", create("Model", "f")),
        migration("c.y", widen("Model", "f"), needs="c.z"),
        migration("c.x", operations.AlterField("Model", "f", nullable()), needs="c.y"),
    )
    if is_applied:
        project.record("c.z c.y")
    with project.installed(tmp_path):
        assert project.split() == ([] if is_applied else ["c.z", "c.y"], ["c.x"])
        assert get_migration_stage(project["c.x"]) is POST


# What a migration does may depend on other apps


def foreign_key(to: str, **kwargs: Any) -> models.Field[Any, Any]:
    return models.ForeignKey(to, models.CASCADE, **kwargs)


def referring(*migrations: Migration) -> Project:
    """Return a project in which "a.Child" refers to "b.Renamed", which was "b.Old"."""
    return Project(
        B1,
        migration(
            "a.0001",
            create("Child"),
            operations.AddField("Child", "parent", foreign_key("b.Old")),
            needs="b.0001",
        ),
        migration(
            "b.0002",
            operations.RenameModel("Old", "Renamed"),
            needs="b.0001 a.0001",
            stage=POST,
        ),
        *migrations,
    ).record("a.0001 b.0001 b.0002")


def test_a_foreign_key_to_a_model_that_was_renamed_before_the_plan() -> None:
    altered = foreign_key("b.Renamed", null=True)
    project = referring(
        migration(
            "a.0002",
            operations.AlterField("Child", "parent", altered),
            needs="a.0001 b.0002",
        )
    )
    assert project.split() == (["a.0002"], [])


def test_checks_and_plans_agree_on_a_foreign_key_to_a_renamed_model(
    tmp_path: Path,
) -> None:
    altered = foreign_key("b.Renamed", null=True)
    project = referring(
        migration(
            "a.0002",
            operations.AlterField("Child", "parent", altered),
            needs="a.0001 b.0002",
        )
    )
    with project.installed(tmp_path):
        inspection = Inspection(apps.get_app_configs(), conf.read())
        inspection.run()
        assert inspection.ambiguous == {}
        assert get_migration_stage(project["a.0002"]) is PRE
        assert project.split() == (["a.0002"], [])


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_model_renamed_in_the_plan_to_which_another_app_has_many_to_many(
    wrapped: bool,
) -> None:
    # Pinned to its table, "b.Old" may be renamed, but not the columns that refer to it.
    renaming = operations.RenameModel("Old", "Renamed")
    project = Project(
        migration("b.0001", create("Old", db_table="old")),
        migration(
            "a.0001",
            create("Child"),
            operations.AddField("Child", "parents", models.ManyToManyField("b.Old")),
            needs="b.0001",
        ),
        migration(
            "b.0002",
            operations.SeparateDatabaseAndState([renaming], [renaming])
            if wrapped
            else renaming,
            needs="b.0001",
        ),
    ).record("a.0001 b.0001")
    with pytest.raises(AmbiguousStage, match="many-to-many"):
        project.stage()


# Linear time. Calls are counted, for seconds depend on the machine.


def chain(length: int, operation: Any) -> tuple[Plan, dict[MigrationKey, Any]]:
    """Return a plan in which each needs the one before, and the first has no body."""
    plan: Plan = [(migration("a.00000"), False)]
    needs: dict[MigrationKey, Any] = {("a", "00000"): ()}
    for n in range(1, length):
        each = migration(f"a.{n:05}", operation)
        plan.append((each, False))
        needs["a", each.name] = [("a", f"{n - 1:05}")]
    return plan, needs


LAST_HAS_TO_RUN_FIRST = {
    "postponed": (remove("Old", "f"), False),
    "before the rollout": (add("Old", "f"), False),
    "either": (options("Old"), False),
    "brought forward by preference": (remove_index("Old"), True),
    "brought forward because unseen": (remove("New", "f"), True),
    "conflict": (remove("Old", "f"), True),
}
scales = pytest.mark.parametrize(
    ("operation", "is_last_pre", "kind"),
    [(*value, kind) for kind, value in LAST_HAS_TO_RUN_FIRST.items()],
    ids=LAST_HAS_TO_RUN_FIRST,
)


def decided(plan: Plan, kind: str, *, is_last_pre: bool) -> dict[MigrationKey, Any]:
    decisions = decide_plan(
        plan,
        [],
        History(),
        Policy(),
        is_first_deployment=kind == "brought forward because unseen",
    )
    if is_last_pre:
        decisions["a", plan[-1][0].name] = Decision(PRE, Source.OVERRIDE)
    return decisions


@scales
def test_a_long_plan_asks_at_most_twice_for_the_needs_of_each(
    operation: Any, is_last_pre: bool, kind: str
) -> None:
    plan, needs = chain(1_000, operation)
    decisions = decided(plan, kind, is_last_pre=is_last_pre)
    asked: Counter[MigrationKey] = Counter()

    def count(key: MigrationKey) -> Any:
        asked[key] += 1
        return needs[key]

    try:
        steps = stage_plan(plan, decisions, count, Policy())
    except AmbiguousPlan:
        assert kind == "conflict"
    else:
        assert len(steps) == 1_000
        assert any(step.is_brought_forward for step in steps) == is_last_pre
    assert max(asked.values(), default=0) <= 2


def calls(function: Any, *args: Any) -> int:
    """Count the calls that Python makes while it runs a function."""
    count = 0

    def profile(frame: FrameType, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    previous = sys.getprofile()
    sys.setprofile(profile)
    try:
        function(*args)
    except AmbiguousPlan:
        pass
    finally:
        sys.setprofile(previous)
    return count


@scales
def test_twice_the_plan_is_twice_the_work(
    operation: Any, is_last_pre: bool, kind: str
) -> None:
    counts = []
    for length in (200, 400):
        plan, needs = chain(length, operation)
        decisions = decided(plan, kind, is_last_pre=is_last_pre)
        work = calls(stage_plan, plan, decisions, needs.__getitem__, Policy())
        counts.append(work)
    assert counts[1] < 2.2 * counts[0]


def alternating(length: int) -> Iterator[Migration]:
    """Migrations of ten apps, each on what the one before it in its app made."""
    for n in range(length):
        label, step = f"app{n % 10}", n // 10
        body: list[Any] = [create("Model", "f")]
        if step:
            body = [widen("Model", "f")] if step % 2 else [add("Model", f"f{step}")]
        needs = f"{label}.{step - 1:05}" if step else ""
        yield migration(f"{label}.{step:05}", *body, needs=needs)


@pytest.mark.parametrize("is_applied", [False, True])
def test_deciding_on_twice_the_migrations_is_twice_the_work(is_applied: bool) -> None:
    counts = []
    for length in (500, 1000):
        project = Project(*alternating(length), migration("z.0001", Opaque()))
        if is_applied:
            migrations = project.migrations[:-1]
            model = project.recorder.Migration
            model.objects.using(project.connection.alias).bulk_create(
                model(app=each.app_label, name=each.name) for each in migrations
            )
        executor, plan = project.plan()
        assert len(plan) == (1 if is_applied else length + 1)
        counts.append(calls(PlanStager, executor, plan))
    assert counts[1] < 2.2 * counts[0]
