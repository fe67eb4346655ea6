"""The functions of :mod:`syzygy.plan`, which existing projects call."""

from __future__ import annotations

import hashlib
import inspect
import itertools
from pathlib import Path
from typing import Any

import pytest
from django.db import models
from django.db.migrations import Migration, operations
from django.db.migrations.exceptions import BadMigrationError, InvalidMigrationPlan
from django.db.migrations.operations.base import Operation
from django.test import override_settings

from syzygy import Stage, plan
from syzygy.exceptions import AmbiguousPlan, AmbiguousStage
from syzygy.history import History
from syzygy.messages import describe
from syzygy.plan import (
    get_migration_stage,
    get_operation_stage,
    get_pre_deploy_plan,
    hash_plan,
    must_post_deploy_migration,
    partition_operations,
)
from syzygy.staging import Plan
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


def code(apps: Any, editor: Any) -> None:
    raise AssertionError("It is only looked at.")


def adopt(*database: Operation) -> Operation:
    return operations.SeparateDatabaseAndState([*database], [create("New", "f")])


# Signatures


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("get_operation_stage", ["operation"]),
        ("get_migration_stage", ["migration"]),
        ("must_post_deploy_migration", ["migration", "backward"]),
        ("get_pre_deploy_plan", ["plan"]),
        ("partition_operations", ["operations", "app_label"]),
        ("hash_plan", ["plan"]),
    ],
)
def test_calls_of_existing_projects_are_accepted(
    name: str, parameters: list[str]
) -> None:
    signature = inspect.signature(getattr(plan, name))
    assert list(signature.parameters)[: len(parameters)] == parameters
    signature.bind(**dict.fromkeys(parameters))
    for parameter in list(signature.parameters.values())[len(parameters) :]:
        assert parameter.default is not parameter.empty
    if name == "must_post_deploy_migration":
        assert signature.parameters["backward"].default is False


# get_operation_stage

OPERATIONS: dict[Stage | None, list[Operation]] = {
    PRE: [
        create("New"),
        add("Old", "f"),
        add_index("Old"),
        operations.RunPython(code),
        operations.RunSQL("SELECT 1"),
        operations.RemoveConstraint("old", "c"),
        operations.SeparateDatabaseAndState([add("Old", "f")]),
        StagedOperation(PRE),
        StagedOperation("pre_deploy"),
        Opaque(),
    ],
    POST: [
        remove("Old", "f"),
        remove_index("Old"),
        operations.DeleteModel("Old"),
        operations.RunSQL("DROP TABLE a_old"),
        operations.SeparateDatabaseAndState([remove("Old", "f")]),
        StagedOperation(POST),
        StagedOperation("post_deploy"),
    ],
    None: [
        options("Old"),
        create("New", proxy=True),
        create("New", managed=False),
        operations.RunPython(operations.RunPython.noop),
        operations.RunSQL(operations.RunSQL.noop),
        operations.SeparateDatabaseAndState([], [remove("Old", "f")]),
    ],
}


@pytest.mark.parametrize(
    ("operation", "stage"),
    [(operation, stage) for stage, each in OPERATIONS.items() for operation in each],
    ids=lambda value: value.describe() if isinstance(value, Operation) else str(value),
)
def test_stage_of_an_operation(operation: Operation, stage: Stage | None) -> None:
    assert get_operation_stage(operation) is stage


@pytest.mark.parametrize(
    "operation",
    [
        operations.RenameModel("Old", "New"),
        rename("Old", "f", "g"),
        operations.AlterModelTable("Old", "elsewhere"),
        operations.SeparateDatabaseAndState([add("Old", "h"), remove("Old", "f")]),
    ],
)
def test_stage_of_an_operation_that_no_stage_suits(operation: Operation) -> None:
    with pytest.raises(
        AmbiguousStage, match=r"^The stage of an operation is ambiguous"
    ):
        get_operation_stage(operation)


def test_stage_of_an_operation_that_a_history_tells() -> None:
    history = History()
    for earlier in (create("Old", "f"), widen("Old", "f")):
        history.advance(earlier, "a")
    narrow = operations.AlterField("Old", "f", nullable())
    assert get_operation_stage(narrow, "a", history) is POST
    assert get_operation_stage(narrow, "b", history) is PRE
    assert get_operation_stage(narrow) is PRE


@pytest.mark.parametrize(("swapped", "stage"), [("x.Other", None), ("a.Old", PRE)])
def test_stage_of_an_operation_on_a_swappable_model(
    swapped: str, stage: Stage | None
) -> None:
    with override_settings(SYZYGY_OLD_MODEL=swapped):
        operation = create("Old", swappable="SYZYGY_OLD_MODEL")
        assert get_operation_stage(operation, "a") is stage


# get_migration_stage and must_post_deploy_migration: migrations that aren't on disk


@pytest.mark.parametrize(
    ("body", "stage"),
    [
        pytest.param([], None, id="empty"),
        pytest.param([options("Old")], None, id="nothing in the database"),
        pytest.param([add("Old", "f")], PRE, id="pre"),
        pytest.param([remove("Old", "f")], POST, id="post"),
        pytest.param([options("Old"), remove("Old", "f")], POST, id="with nothing"),
        pytest.param([remove_index("Old"), add("Old", "f")], PRE, id="goes along"),
        pytest.param([create("New"), remove("New", "id")], PRE, id="what it creates"),
        pytest.param([create("New", "f"), rename("New", "f", "g")], PRE, id="renamed"),
        pytest.param([widen("Old", "f")], PRE, id="history unknown"),
    ],
)
@pytest.mark.parametrize("app_label", ["auth", "not_installed"])
def test_stage_of_a_migration(
    app_label: str, body: list[Operation], stage: Stage | None
) -> None:
    found = get_migration_stage(migration(f"{app_label}.not_on_disk", *body))
    assert found is stage


@pytest.mark.parametrize("declared", [PRE, POST, "pre_deploy", "post_deploy"])
def test_stage_of_a_migration_that_declares_it(declared: Any) -> None:
    body = [remove("Old", "f"), add("Old", "g"), rename("Old", "h", "i")]
    found = get_migration_stage(migration("auth.not_on_disk", *body, stage=declared))
    assert found is Stage(declared)


@pytest.mark.parametrize("app_label", ["not_installed"])
@pytest.mark.parametrize(
    "body", [[remove("Old", "f"), add("Old", "g")], [rename("Old", "f", "g")]]
)
def test_stage_of_an_ambiguous_migration(app_label: str, body: list[Operation]) -> None:
    ambiguous = migration(f"{app_label}.not_on_disk", *body)
    with pytest.raises(AmbiguousStage, match=f'"{ambiguous}" is ambiguous'):
        get_migration_stage(ambiguous)
    with pytest.raises(AmbiguousStage):
        must_post_deploy_migration(ambiguous)
    with pytest.raises(ValueError, match="ambiguous"):
        get_pre_deploy_plan([(ambiguous, False)])


@pytest.mark.parametrize(
    "nonsense",
    [migration("a.1", stage="nonsense"), migration("a.1", StagedOperation("nonsense"))],
)
def test_stage_of_a_migration_that_declares_nonsense(nonsense: Migration) -> None:
    with pytest.raises(AmbiguousStage, match="'nonsense' is no stage"):
        get_migration_stage(nonsense)


@pytest.mark.parametrize(
    ("settings", "stage"),
    [
        ({"MIGRATION_STAGES_OVERRIDE": {"auth": "post_deploy"}}, POST),
        ({"MIGRATION_STAGES_FALLBACK": {"auth": POST}}, POST),
        ({"MIGRATION_THIRD_PARTY_STAGES_FALLBACK": POST}, POST),
        ({}, PRE),
    ],
)
def test_stage_of_a_migration_by_settings(
    settings: dict[str, Any], stage: Stage
) -> None:
    # Django's own apps are a third party's.
    ambiguous = migration("auth.not_on_disk", rename("Old", "f", "g"))
    with override_settings(**settings):
        assert get_migration_stage(ambiguous) is stage


@pytest.mark.parametrize(
    ("body", "forward", "backward"),
    [
        ([add("Old", "f")], False, True),
        ([remove("Old", "f")], True, False),
        ([options("Old")], None, None),
        ([], None, None),
    ],
)
def test_whether_a_migration_must_wait(
    body: list[Operation], forward: bool | None, backward: bool | None
) -> None:
    each = migration("a.0001", *body)
    assert must_post_deploy_migration(each) is forward
    assert must_post_deploy_migration(each, False) is forward
    assert must_post_deploy_migration(each, backward=False) is forward
    assert must_post_deploy_migration(each, True) is backward
    assert must_post_deploy_migration(each, backward=True) is backward


# Migrations on disk, whose meaning depends on their history


def history() -> Project:
    return Project(
        migration("a.0001", create("Old", "f", "g")),
        migration("a.0002", widen("Old", "f"), needs="a.0001"),
        migration(
            "a.0003", operations.AlterField("Old", "f", nullable()), needs="a.0002"
        ),
        migration("a.0004", not_null("Old", "f"), needs="a.0003"),
        migration(
            "a.0005", operations.AlterField("Old", "f", nullable()), needs="a.0004"
        ),
        migration(
            "a.0006", operations.AlterField("Old", "f", nullable()), needs="a.0005"
        ),
    )


EXPECTED = [PRE, PRE, POST, POST, PRE, None]


def test_stage_of_a_migration_that_is_on_disk(tmp_path: Path) -> None:
    with history().installed(tmp_path) as project:
        assert list(map(get_migration_stage, project.migrations)) == EXPECTED
        assert [must_post_deploy_migration(m) for m in project.migrations] == [
            stage and stage is POST for stage in EXPECTED
        ]
        assert [must_post_deploy_migration(m, True) for m in project.migrations] == [
            stage and stage is PRE for stage in EXPECTED
        ]


def test_stage_of_a_migration_that_only_looks_like_one_on_disk(tmp_path: Path) -> None:
    with history().installed(tmp_path):
        narrow = operations.AlterField("Old", "f", nullable())
        assert get_migration_stage(migration("a.0003", narrow)) is PRE
        assert get_migration_stage(migration("a.9999", narrow)) is PRE


def test_stage_of_a_migration_whose_history_can_not_be_read(tmp_path: Path) -> None:
    with history().installed(tmp_path) as project:
        [file] = tmp_path.rglob("0002.py")
        file.write_text("raise ZeroDivisionError")
        # Nothing depends on what "f" was before.
        assert get_migration_stage(project["a.0001"]) is PRE
        with pytest.raises(BadMigrationError, match=r'"a\.0002".* ZeroDivisionError'):
            get_migration_stage(project["a.0003"])


@pytest.mark.parametrize("name", ["0001", "0003", "0006"])
def test_stage_of_a_migration_that_predates_adoption(tmp_path: Path, name: str) -> None:
    settings = {"MIGRATION_STAGES_BASELINE": {"a": name}}
    with history().installed(tmp_path, **settings) as project:
        assert [get_migration_stage(m) for m in project.migrations] == [
            None if each.name <= name else stage
            for each, stage in zip(project.migrations, EXPECTED, strict=True)
        ]


def test_stage_of_a_migration_after_squashed_ones_whose_files_are_kept(
    tmp_path: Path,
) -> None:
    wide = models.CharField(max_length=99, null=True)
    narrower = models.CharField(max_length=50, null=True)
    project = Project(
        migration("a.0001_initial", create("Old", "f")),
        migration("a.0002_widen", widen("Old", "f"), needs="a.0001_initial"),
        migration(
            "a.0001_squashed_0002",
            operations.CreateModel("Old", [("f", wide)]),
            replaces="a.0001_initial a.0002_widen",
        ),
        migration(
            "a.0003",
            operations.AlterField("Old", "f", narrower),
            needs="a.0001_squashed_0002",
        ),
        # Still on one that is replaced, as another app may be.
        migration("b.0001", create("Other", "f"), needs="a.0001_initial"),
        migration("b.0002", not_null("Other", "f"), needs="b.0001"),
    )
    project.record("a.0001_initial a.0002_widen a.0001_squashed_0002 b.0001")
    with project.installed(tmp_path):
        _, planned = project.plan()
        assert project.split() == ([], ["a.0003", "b.0002"])
        assert get_migration_stage(project["a.0003"]) is POST
        assert get_pre_deploy_plan(planned) == []


def test_stage_of_a_migration_on_history_reached_through_another_app(
    tmp_path: Path,
) -> None:
    project = Project(
        migration("a.0001", create("Old", "f")),
        migration("a.0002", widen("Old", "f"), needs="a.0001"),
        migration("b.0001", needs="a.0002"),
        migration(
            "a.0003",
            operations.AlterField("Old", "f", nullable()),
            needs="a.0001 b.0001",
        ),
        migration("a.0004", needs="a.0002 a.0003"),
    ).record("a.0001 a.0002 b.0001")
    with project.installed(tmp_path):
        assert project.split() == ([], ["a.0003", "a.0004"])
        assert get_migration_stage(project["a.0003"]) is POST


# get_pre_deploy_plan


def test_nothing_of_an_empty_plan_runs_before_the_rollout() -> None:
    assert get_pre_deploy_plan([]) == []


def test_what_runs_before_the_rollout_is_the_part_of_the_plan_itself() -> None:
    whole: Plan = [
        (migration("a.0002", add("Old", "h"), needs="a.0001"), False),
        (migration("a.0003", remove("Old", "f"), needs="a.0002"), False),
        (migration("a.0004", options("Old"), needs="a.0003"), False),
        (migration("b.0001", create("New")), False),
    ]
    before = list(whole)
    found = get_pre_deploy_plan(whole)
    assert [id(step) for step, _ in found] == [id(whole[0][0]), id(whole[3][0])]
    assert [backward for _, backward in found] == [False, False]
    assert whole == before


@pytest.mark.parametrize(
    "kwargs",
    [
        {"needs": "a.0002"},
        {"needs": "a.s"},
        {"needs": "a.__latest__"},
        {"needs": "c.0001"},
    ],
)
def test_what_needs_a_postponed_one_is_not_in_the_pre_deploy_plan(
    kwargs: dict[str, Any],
) -> None:
    post = migration(
        "a.s", remove("Old", "f"), needs="a.0000", replaces="a.0001 a.0002"
    )
    through = migration("c.0001", needs="a.0001")
    whole: Plan = [
        (post, False),
        (through, False),
        (migration("b.0001", **kwargs), False),
        (migration("b.0002", add("Old", "f"), needs="b.0000"), False),
    ]
    assert get_pre_deploy_plan(whole) == [whole[3]]
    whole[2] = (migration("b.0001", operations.RunPython(code), **kwargs), False)
    with pytest.raises(AmbiguousPlan, match=r'"b\.0001".* needs "a\.s"'):
        get_pre_deploy_plan(whole)


def test_what_only_touches_what_the_plan_creates_is_in_the_pre_deploy_plan() -> None:
    whole: Plan = [
        (migration("a.0001", create("New", "f")), False),
        (migration("a.0002", remove("New", "f"), needs="a.0001"), False),
        (migration("a.0003", add("Old", "f"), needs="a.0002"), False),
    ]
    assert get_pre_deploy_plan(whole) == whole
    with pytest.raises(AmbiguousPlan):
        get_pre_deploy_plan(whole[1:])


def test_pre_deploy_plan_of_a_reversal() -> None:
    whole: Plan = [
        (migration("b.0001", options("Old"), needs="a.0002"), True),
        (migration("a.0003", remove("Old", "f"), needs="a.0001"), True),
        (migration("a.0002", add("Old", "h"), needs="a.0001"), True),
        (migration("a.0001", options("Old")), True),
    ]
    assert get_pre_deploy_plan(whole) == whole[:2]


def test_pre_deploy_plan_of_a_reversal_judges_by_the_state_before() -> None:
    whole: Plan = [
        (migration("a.0003", not_null("Old", "f"), needs="a.0002"), True),
        (migration("a.0002", add("Old", "f"), needs="a.0001"), True),
    ]
    assert get_pre_deploy_plan(whole) == whole[:1]


def test_pre_deploy_plan_of_a_reversal_that_conflicts() -> None:
    whole: Plan = [
        (migration("a.0003", add("Old", "h"), needs="a.0002"), True),
        (migration("a.0002", remove("Old", "f"), needs="a.0001"), True),
    ]
    with pytest.raises(AmbiguousPlan, match=r'"a\.0002".* undone .* needs "a\.0003"'):
        get_pre_deploy_plan(whole)


def test_a_plan_of_both_directions_is_refused() -> None:
    whole: Plan = [(migration("a.0001"), False), (migration("b.0001"), True)]
    with pytest.raises(InvalidMigrationPlan):
        get_pre_deploy_plan(whole)


@pytest.mark.parametrize(
    ("done", "target"),
    [
        *[(done, "a.0006") for done in range(1, 6)],
        *[(6, f"a.{target:04}") for target in range(1, 6)],
    ],
)
def test_pre_deploy_plan_is_that_of_the_command(
    tmp_path: Path, done: int, target: str
) -> None:
    with history().installed(tmp_path) as project:
        project.record(" ".join(map(str, project.migrations[:done])))
        _, whole = project.plan(target)
        try:
            pre, _ = project.split(target)
        except AmbiguousPlan:
            with pytest.raises(AmbiguousPlan):
                get_pre_deploy_plan(whole)
        else:
            found = get_pre_deploy_plan(whole)
            assert [str(each) for each, _ in found] == pre


def test_pre_deploy_plan_heeds_what_squashed_migrations_replace(tmp_path: Path) -> None:
    project = Project(
        migration("a.0001", before="b.0001"),
        migration("a.0002", needs="a.0001"),
        migration("a.s", StagedOperation(POST), replaces="a.0001 a.0002"),
        migration("b.0001", create("B")),
    ).record("a.0000")
    with project.installed(tmp_path):
        _, whole = project.plan()
        assert [str(each) for each, _ in whole] == ["a.s", "b.0001"]
        for split in (project.stage, lambda: get_pre_deploy_plan(whole)):
            with pytest.raises(AmbiguousPlan, match=r'"b\.0001".* "a\.s"'):
                split()


def test_pre_deploy_plan_before_the_baseline(tmp_path: Path) -> None:
    # Restored from an old backup, say.
    settings = {"MIGRATION_STAGES_BASELINE": {"a": "0005"}}
    with history().installed(tmp_path, **settings) as project:
        project.record("a.0001")
        _, whole = project.plan("a.0004")
        assert project.split("a.0004") == (["a.0002", "a.0003", "a.0004"], [])
        assert get_pre_deploy_plan(whole) == whole


# partition_operations


def test_partition_keeps_the_order() -> None:
    body = [
        add("Old", "h"),
        remove("Old", "f"),
        create("New"),
        options("Other"),
        remove("Old", "g"),
        add("Old", "i"),
    ]
    assert partition_operations(body, "a") == (
        [body[0], body[2], body[3], body[5]],
        [body[1], body[4]],
    )


def test_partition_of_nothing() -> None:
    assert partition_operations([], "a") == ([], [])


def test_partition_of_an_iterator() -> None:
    pre, post = partition_operations(iter([add("Old", "h"), remove("Old", "f")]), "a")
    assert [type(each) for each in pre] == [operations.AddField]
    assert [type(each) for each in post] == [operations.RemoveField]


@pytest.mark.parametrize(
    ("body", "pre", "post"),
    [
        pytest.param([options("Old")], "0", "", id="nothing in the database"),
        pytest.param([remove_index("Old")], "", "0", id="a preference"),
        pytest.param(
            [operations.DeleteModel("Old"), options("Other")], "1", "0", id="apart"
        ),
        pytest.param(
            [StagedOperation(POST), Opaque()], "", "01", id="after what is opaque"
        ),
        pytest.param([Opaque(), StagedOperation(POST)], "0", "1", id="opaque first"),
        pytest.param(
            [create("New", "f"), remove("New", "f")], "01", "", id="what is new"
        ),
        pytest.param(
            [adopt(), remove("New", "f")], "0", "1", id="what only the state has"
        ),
        pytest.param(
            [adopt(operations.RunPython(code)), remove("New", "f")],
            "0",
            "1",
            id="what code may have found",
        ),
        pytest.param(
            [remove("Old", "f"), options("Old"), add("Old", "h")],
            "2",
            "01",
            id="options in between",
        ),
    ],
)
def test_partition_goes_by_dependence(
    body: list[Operation], pre: str, post: str
) -> None:
    assert partition_operations(body, "a") == (
        [body[int(n)] for n in pre],
        [body[int(n)] for n in post],
    )


@pytest.mark.parametrize(
    "body",
    [
        pytest.param([remove("Old", "f"), add("Old", "f")], id="the same field"),
        pytest.param(
            [operations.DeleteModel("Old"), create("Old")], id="the same model"
        ),
        pytest.param(
            [remove("Old", "f"), operations.RunPython(code)], id="code may use it"
        ),
        pytest.param(
            [StagedOperation(POST), Opaque(), add("Old", "f")], id="nobody can tell"
        ),
    ],
)
def test_partition_of_what_depends_on_what_has_to_wait(body: list[Operation]) -> None:
    with pytest.raises(AmbiguousStage) as caught:
        partition_operations(body, "a")
    assert f'"{describe(body[-1])}" has to run before the rollout' in str(caught.value)
    assert f'depends on "{describe(body[0])}"' in str(caught.value)


@pytest.mark.parametrize(
    "operation",
    [
        rename("Old", "f", "g"),
        operations.SeparateDatabaseAndState([remove("Old", "f"), add("Old", "g")]),
    ],
)
def test_partition_of_what_no_stage_suits(operation: Operation) -> None:
    with pytest.raises(AmbiguousStage, match="ambiguous"):
        partition_operations([add("Old", "h"), operation], "a")


def test_partition_is_judged_by_what_comes_before() -> None:
    body = [
        create("New", "f"),
        widen("New", "f"),
        operations.AlterField("New", "f", nullable()),
    ]
    assert partition_operations(body, "a") == (body, [])


BODY = [add("Old", "h"), remove("Old", "f"), options("Other"), create("New")]


@pytest.mark.parametrize("order", list(itertools.permutations(range(len(BODY)))))
def test_partition_loses_nothing_in_any_order(order: tuple[int, ...]) -> None:
    body = [BODY[n] for n in order]
    pre, post = partition_operations(body, "a")
    assert len(pre) + len(post) == len(body)
    assert [each for each in body if each in pre] == pre
    assert [each for each in body if each in post] == post
    assert [type(each) for each in post] == [operations.RemoveField]


# hash_plan


def test_hash_of_a_plan() -> None:
    whole: Plan = [
        (migration("a.0001_initial"), False),
        (migration("b.0002_second"), True),
    ]
    assert hash_plan([]) == "da39a3ee5e6b4b0d3255bfef95601890afd80709"
    assert hash_plan(whole) == (
        hashlib.sha1(b"a.0001_initial:False;b.0002_second:True").hexdigest()
    )


def test_hash_of_a_plan_tells_plans_apart() -> None:
    first, second = migration("a.0001"), migration("a.0002")
    plans: list[Plan] = [
        [],
        [(first, False)],
        [(first, True)],
        [(second, False)],
        [(first, False), (second, False)],
        [(second, False), (first, False)],
    ]
    assert len({hash_plan(each) for each in plans}) == len(plans)
