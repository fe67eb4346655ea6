"""What people are told, and that the ways out work as they are pasted."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.commands.migrate import Command as DjangoMigrate
from django.db.migrations import Migration, operations
from django.test import override_settings

from syzygy import Stage, messages
from syzygy.exceptions import AmbiguousPlan, AmbiguousStage
from tests.graph_helpers import (
    Project,
    add,
    create,
    migration,
    options,
    remove,
    rename,
)

PRE, POST = Stage.PRE_DEPLOY, Stage.POST_DEPLOY
OVERRIDE = "MIGRATION_STAGES_OVERRIDE"


# Lines to paste


def paste(line: str, **before: Any) -> dict[str, Any]:
    """Run a line as part of a settings module, and return what it then has."""
    namespace = dict(before)
    exec(line, {}, namespace)
    return namespace


@pytest.mark.parametrize("existing", [{}, {"b": POST}, {"a.0001": "post_deploy"}])
def test_override_line_adds_to_what_is_there(existing: dict[str, Any]) -> None:
    line = messages.override_line({"a.0001": PRE, "a.0002": POST}, existing)
    before = {OVERRIDE: dict(existing)} if existing else {}
    assert paste(line, **before) == {
        OVERRIDE: {**existing, "a.0001": "pre_deploy", "a.0002": "post_deploy"}
    }


def test_baseline_line_is_sorted() -> None:
    line = messages.baseline_line({"b": "0002_x", "a": "0001_y"})
    assert line == 'MIGRATION_STAGES_BASELINE = {"a": "0001_y", "b": "0002_x"}'
    assert paste(line) == {"MIGRATION_STAGES_BASELINE": {"a": "0001_y", "b": "0002_x"}}


@pytest.mark.parametrize("name", ["0002_b", "0002_b (copy)", '0002 "b" & it\'s'])
def test_a_command_reads_what_it_is_given(name: str) -> None:
    words = shlex.split(messages.target("a", name) + messages.on_database(name))
    assert words == ["a", name, "--database", name]
    assert messages.on_database("default") == ""


# Conflicts


class Conflict(NamedTuple):
    """A project whose plan conflicts: what the database has, and where to go."""

    migrations: list[Migration]
    applied: str
    targets: str = ""
    settings: dict[str, Any] = {}


A1 = migration("a.0001", create("Old", "f", "g"))
B1 = migration("b.0001", create("Old", "f", "g"))
REMOVE = migration("a.0002", remove("Old", "f"), needs="a.0001")
DEPLOYED = "a.0001 b.0001"


FORWARD = {
    "direct": Conflict(
        [A1, B1, REMOVE, migration("a.0003", add("Old", "h"), needs="a.0002")],
        DEPLOYED,
    ),
    "indirect": Conflict(
        [
            A1,
            B1,
            REMOVE,
            migration("a.0003", options("Old"), needs="a.0002"),
            migration("b.0002", needs="b.0001 a.0003"),
            migration("b.0003", add("Old", "h"), needs="b.0002"),
        ],
        DEPLOYED,
    ),
    "declared": Conflict(
        [
            A1,
            B1,
            migration("a.0002", add("Old", "h"), needs="a.0001", stage=POST),
            migration("a.0003", remove("Old", "g"), needs="a.0002", stage=PRE),
        ],
        DEPLOYED,
    ),
    "several apps": Conflict(
        [
            A1,
            B1,
            REMOVE,
            migration("b.0002", remove("Old", "f"), needs="b.0001"),
            migration("a.0003", add("Old", "h"), needs="a.0002 b.0002"),
        ],
        DEPLOYED,
    ),
    "two branches of an app": Conflict(
        [
            A1,
            B1,
            REMOVE,
            migration("a.0003", remove("Old", "g"), needs="a.0001"),
            migration("a.0004", add("Old", "h"), needs="a.0002 a.0003"),
        ],
        DEPLOYED,
    ),
    "several that need several": Conflict(
        [
            A1,
            B1,
            REMOVE,
            migration("a.0003", add("Old", "h"), needs="a.0002"),
            migration("b.0002", remove("Old", "f"), needs="b.0001"),
            migration("b.0003", add("Old", "h"), needs="b.0002"),
        ],
        DEPLOYED,
    ),
    "several in a row": Conflict(
        [
            A1,
            B1,
            REMOVE,
            migration("a.0003", remove("Old", "g"), needs="a.0002"),
            migration("a.0004", add("Old", "h"), needs="a.0003"),
        ],
        DEPLOYED,
    ),
    "overridden": Conflict(
        [A1, B1, REMOVE, migration("b.0002", needs="b.0001 a.0002")],
        DEPLOYED,
        settings={OVERRIDE: {"a": POST, "b.0002": "pre_deploy"}},
    ),
    "fallen back": Conflict(
        [
            A1,
            B1,
            migration("a.0002", rename("Old", "f", "h"), needs="a.0001"),
            migration("a.0003", add("Old", "i"), needs="a.0002"),
        ],
        DEPLOYED,
        settings={"MIGRATION_STAGES_FALLBACK": {"a": POST}},
    ),
    "squashed": Conflict(
        [
            A1,
            B1,
            migration("a.s", remove("Old", "f"), needs="a.0001", replaces="a.0002"),
            migration("a.0003", add("Old", "h"), needs="a.0002"),
        ],
        DEPLOYED,
    ),
    "target": Conflict(
        [
            A1,
            B1,
            REMOVE,
            migration("a.0003", add("Old", "h"), needs="a.0002"),
            migration("a.0004", remove("Old", "g"), needs="a.0003"),
        ],
        DEPLOYED,
        "a.0003",
    ),
}

# Its second conflict comes into being when the first is applied.
ONE_AFTER_THE_OTHER = {
    "what it creates is touched": Conflict(
        [
            A1,
            B1,
            migration(
                "a.0002",
                remove("Old", "f"),
                add("Old", "h"),
                needs="a.0001",
                stage=POST,
            ),
            migration("a.0003", remove("Old", "h"), needs="a.0002"),
            migration("a.0004", add("Old", "i"), needs="a.0003"),
        ],
        DEPLOYED,
    ),
}

ADD = migration("a.0003", add("Old", "h"), needs="a.0002")

BACKWARD = {
    "direct": Conflict([A1, B1, REMOVE, ADD], f"{DEPLOYED} a.0002 a.0003", "a.0001"),
    "another app": Conflict(
        [A1, B1, REMOVE, migration("b.0002", add("Old", "h"), needs="b.0001 a.0002")],
        f"{DEPLOYED} a.0002 b.0002",
        "a.0001",
    ),
    "all of its app": Conflict(
        [A1, B1, REMOVE, ADD], f"{DEPLOYED} a.0002 a.0003", "a.zero"
    ),
    "merge": Conflict(
        [
            A1,
            B1,
            REMOVE,
            migration("a.0003", options("Old"), needs="a.0001"),
            migration("a.0004", add("Old", "h"), needs="a.0003 a.0002"),
        ],
        f"{DEPLOYED} a.0002 a.0003 a.0004",
        "a.0001",
    ),
    "several apps": Conflict(
        [
            A1,
            B1,
            REMOVE,
            ADD,
            migration("b.0002", add("Old", "h"), needs="b.0001 a.0002"),
        ],
        f"{DEPLOYED} a.0002 a.0003 b.0002",
        "a.0001",
    ),
    "several in a row": Conflict(
        [
            A1,
            B1,
            REMOVE,
            ADD,
            migration("a.0004", add("Old", "i"), needs="a.0003"),
        ],
        f"{DEPLOYED} a.0002 a.0003 a.0004",
        "a.0001",
    ),
    "on a squashed one whose files are kept": Conflict(
        [
            A1,
            B1,
            REMOVE,
            migration("a.s", remove("Old", "f"), needs="a.0001", replaces="a.0002"),
            ADD,
        ],
        f"{DEPLOYED} a.0002 a.s a.0003",
        "a.0001",
    ),
    "another app, on a squashed one whose files are gone": Conflict(
        [
            A1,
            REMOVE,
            migration("b.s", create("Old", "f", "g"), replaces="b.0001 b.0002"),
            migration("b.0003", add("Old", "h"), needs="b.0002 a.0002"),
        ],
        f"{DEPLOYED} a.0002 b.0002 b.s b.0003",
        "a.0001",
    ),
    "two apps by turns": Conflict(
        [
            A1,
            B1,
            migration("b.0002", needs="b.0001", stage=POST),
            migration("b.0003", options("Old"), needs="b.0002"),
            migration("a.0002", operations.RunSQL("x"), needs="a.0001 b.0003"),
            migration("a.0003", operations.RunSQL("x"), needs="a.0002"),
            migration("b.0004", remove("Old", "f"), needs="b.0003 a.0002"),
            migration("b.0005", operations.RunSQL("x"), needs="b.0004 a.0002"),
        ],
        f"{DEPLOYED} b.0002 b.0003 a.0002 a.0003 b.0004 b.0005",
        "b.0001",
    ),
    "on a squashed one whose files are gone": Conflict(
        [
            A1,
            B1,
            migration("a.s", remove("Old", "f"), needs="a.0001", replaces="a.0002"),
            ADD,
        ],
        f"{DEPLOYED} a.0002 a.s a.0003",
        "a.0001",
    ),
}


def parametrize(conflicts: dict[str, Conflict]) -> Callable[..., Any]:
    return pytest.mark.parametrize("conflict", conflicts.values(), ids=conflicts)


BOTH = {f"forward {name}": each for name, each in FORWARD.items()} | {
    f"backward {name}": each for name, each in BACKWARD.items()
}
everywhere = parametrize(BOTH)


def project_of(conflict: Conflict) -> Project:
    return Project(*conflict.migrations).record(conflict.applied)


def told(project: Project, targets: str = "") -> str:
    with pytest.raises(AmbiguousPlan) as caught:
        project.stage(targets)
    return str(caught.value)


def lines(message: str, start: str) -> list[str]:
    """Return the lines to paste that start with that."""
    indented = [line for line in message.splitlines() if line.startswith("    ")]
    return [line.strip() for line in indented if line.strip().startswith(start)]


def run(project: Project, line: str) -> None:
    """Run what a line says with Django's command, but for the operations."""
    arguments = line.removeprefix("python manage.py migrate").split()
    if "--database" in arguments:
        position = arguments.index("--database")
        assert arguments[position + 1] == project.connection.alias
        del arguments[position : position + 2]
    alias = project.connection.alias
    call_command(DjangoMigrate(), *arguments, database=alias, fake=True, verbosity=0)


@parametrize(BOTH | ONE_AFTER_THE_OTHER)
def test_conflict_is_settled_by_the_override_as_it_is_pasted(
    tmp_path: Path, conflict: Conflict
) -> None:
    project = project_of(conflict)
    with project.installed(tmp_path, **conflict.settings):
        [line] = lines(told(project, conflict.targets), OVERRIDE)
        before = getattr(settings, OVERRIDE, None)
        copy = {} if before is None else {OVERRIDE: dict(before)}
        with override_settings(**paste(line, **copy)):
            steps = project.stage(conflict.targets)
        assert any(not step.is_postponed for step in steps)


def paste_commands(project: Project, targets: str) -> list[str]:
    """Run all commands that are told, and check that they do nothing unplanned."""
    _, planned = project.plan(targets)
    before = applied = set(project.recorder.applied_migrations())
    commands = lines(told(project, targets), "python manage.py")
    for line in commands:
        run(project, line)
        earlier, applied = applied, set(project.recorder.applied_migrations())
        # None takes back what another one did.
        assert applied < earlier if planned[0][1] else applied > earlier
    assert before ^ set(project.recorder.applied_migrations()) <= {
        key
        for each, _ in planned
        for key in [(each.app_label, each.name), *each.replaces]
    }
    return commands


@everywhere
def test_conflict_is_settled_by_the_commands_as_they_are_pasted(
    tmp_path: Path, conflict: Conflict
) -> None:
    project = project_of(conflict)
    with project.installed(tmp_path, **conflict.settings):
        assert paste_commands(project, conflict.targets)
        # There may be nothing left to stage.
        project.stage(conflict.targets)


@parametrize(ONE_AFTER_THE_OTHER)
def test_conflicts_one_after_the_other_are_settled_by_commands_as_they_are_pasted(
    tmp_path: Path, conflict: Conflict
) -> None:
    project = project_of(conflict)
    with project.installed(tmp_path, **conflict.settings):
        for _ in range(2):
            assert paste_commands(project, conflict.targets)
        project.stage(conflict.targets)


CODE = operations.RunPython(lambda apps, editor: None)
CODE_LATE = migration("a.0003", CODE, needs="a.0002")


@pytest.mark.parametrize("settings_before", [{}, {OVERRIDE: {"b.0001": POST}}])
@pytest.mark.parametrize(
    ("late", "names"),
    [
        ([CODE_LATE], ["a.0003"]),
        ([migration("a.0003", operations.RunSQL("x"), needs="a.0002")], ["a.0003"]),
        ([migration("a.0003", CODE, options("Old"), needs="a.0002")], ["a.0003"]),
        (
            [CODE_LATE, migration("b.0002", CODE, needs="b.0001 a.0003")],
            ["a.0003", "b.0002"],
        ),
    ],
    ids=["Python", "SQL", "with what may run in either stage", "several"],
)
def test_conflict_with_code_of_no_stage_is_settled_by_giving_it_one(
    tmp_path: Path,
    late: list[Migration],
    names: list[str],
    settings_before: dict[str, Any],
) -> None:
    project = Project(A1, B1, REMOVE, *late).record(DEPLOYED)
    with project.installed(tmp_path, **settings_before):
        message = told(project)
        wait, _ = lines(message, OVERRIDE)
        quoted = " and ".join(f'"{name}"' for name in names)
        assert f"If {quoted} may run after the rollout, say so with " in message
        copy = {name: dict(value) for name, value in settings_before.items()}
        with override_settings(**paste(wait, **copy)):
            assert project.split() == ([], ["a.0002", *names])


@pytest.mark.parametrize(
    "late",
    [
        [migration("a.0003", CODE, add("Old", "h"), needs="a.0002")],
        [migration("a.0003", CODE, needs="a.0002", stage=PRE)],
        [CODE_LATE, migration("a.0004", add("Old", "h"), needs="a.0003")],
        [CODE_LATE, migration("b.0002", add("Old", "h"), needs="b.0001 a.0002")],
    ],
    ids=["more in it", "declared", "something after it", "something beside it"],
)
def test_conflict_that_giving_code_a_stage_would_not_settle(
    late: list[Migration],
) -> None:
    message = told(Project(A1, B1, REMOVE, *late).record(DEPLOYED))
    assert "may run after the rollout, say so" not in message
    assert len(lines(message, OVERRIDE)) == 1


def test_zero_is_never_offered() -> None:
    """It may undo more than is planned, where an app has several first migrations."""
    conflict = Conflict(
        [
            A1,
            B1,
            migration("b.0002", remove("Old", "f"), needs="b.0001", before="a.0002"),
            migration("a.0002", create("New")),
            migration("a.0003", needs="a.0001 a.0002"),
        ],
        f"{DEPLOYED} b.0002 a.0002 a.0003",
        "b.0001",
    )
    project = project_of(conflict)
    with pytest.raises(AmbiguousPlan) as caught:
        project.stage(conflict.targets)
    assert "zero" not in str(caught.value)
    assert 'undo "a.' in str(caught.value)


def test_commands_are_for_the_database_that_was_asked_about() -> None:
    project = project_of(FORWARD["direct"])
    [line] = lines(told(project), "python manage.py")
    assert line == (
        f"python manage.py migrate a 0002 --database {project.connection.alias}"
    )


@pytest.mark.parametrize(
    ("conflict", "expected"),
    [
        (
            FORWARD["direct"],
            'Migration "a.0003" has to run before the rollout (inferred: Add field h '
            "to Old: the new release uses the column), but it needs "
            '"a.0002" to run first, which has to wait until after the rollout '
            "(inferred: Remove field f from Old: the running release uses the column).",
        ),
        (
            FORWARD["declared"],
            'Migration "a.0003" has to run before the rollout (declared in the '
            'migration), but it needs "a.0002" to run first, which has to wait until '
            "after the rollout (declared in the migration).",
        ),
        (
            FORWARD["overridden"],
            'Migration "b.0002" has to run before the rollout '
            '(MIGRATION_STAGES_OVERRIDE), but it needs "a.0002" to run first, which '
            "has to wait until after the rollout (MIGRATION_STAGES_OVERRIDE).",
        ),
        (
            FORWARD["fallen back"],
            'Migration "a.0003" has to run before the rollout (inferred: Add field i '
            "to Old: the new release uses the column), but it needs "
            '"a.0002" to run first, which has to wait until after the rollout '
            '(MIGRATION_STAGES_FALLBACK: no stage is safe for "Rename field f on Old '
            'to h": each release uses a column the other lacks).',
        ),
        (
            BACKWARD["direct"],
            'Migration "a.0002" has to be undone before the rollout (inferred: Remove '
            "field f from Old: the running release uses the column), but it needs "
            '"a.0003" to be undone first, which has to wait until after the rollout '
            "(inferred: Add field h to Old: the new release uses the column).",
        ),
    ],
    ids=["inferred", "declared", "overridden", "fallen back", "undone"],
)
def test_conflict_tells_both_and_why(
    tmp_path: Path, conflict: Conflict, expected: str
) -> None:
    project = project_of(conflict)
    with project.installed(tmp_path, **conflict.settings):
        assert told(project, conflict.targets).splitlines()[0] == expected


def test_conflict_tells_the_way_between_the_two() -> None:
    first = told(project_of(FORWARD["indirect"])).splitlines()[0]
    assert first.startswith('Migration "b.0003" has to run before')
    assert 'needs "a.0002" to run first, which has to wait until after the' in first
    assert first.endswith(' It needs "a.0002" through "a.0003" and "b.0002".')


def test_conflict_tells_no_way_where_there_is_nothing_between() -> None:
    assert "through" not in told(project_of(FORWARD["direct"]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("several apps", {("a.0003", "a.0002"), ("a.0003", "b.0002")}),
        ("several that need several", {("a.0003", "a.0002"), ("b.0003", "b.0002")}),
        ("several in a row", {("a.0004", "a.0002"), ("a.0004", "a.0003")}),
    ],
)
def test_all_conflicts_are_told_at_once(
    name: str, expected: set[tuple[str, str]]
) -> None:
    message = told(project_of(FORWARD[name]))
    found = re.findall(r'"([ab]\.\d+)" (?:has .*? )?needs "([ab]\.\d+)"', message)
    found += re.findall(r'"([ab]\.\d+)" has .*? but it needs "([ab]\.\d+)"', message)
    assert set(found) == expected
    [line] = lines(message, OVERRIDE)
    assert paste(line)[OVERRIDE].keys() == {needed for _, needed in expected}


@everywhere
def test_conflict_is_told_in_sentences(tmp_path: Path, conflict: Conflict) -> None:
    project = project_of(conflict)
    with project.installed(tmp_path, **conflict.settings):
        message = told(project, conflict.targets)
    for line in message.splitlines():
        assert line == line.rstrip()
        if not line.startswith("    "):
            assert line[0].isupper()
            assert line.endswith((".", ":"))


def test_conflict_of_a_roll_back_has_no_command_that_undoes_another_branch() -> None:
    project = Project(
        A1,
        B1,
        REMOVE,
        migration("b.0002", add("Old", "h"), needs="b.0001"),
        migration("b.0003", add("Old", "i"), needs="b.0001 a.0002"),
        migration("b.0004", needs="b.0002 b.0003"),
    ).record(f"{DEPLOYED} a.0002 b.0002 b.0003 b.0004")
    message = told(project, "a.0001")
    assert 'Roll back in two deployments; undo "b.0003" in the first of ' in message
    assert "manage.py" not in message
    # Where the other branch isn't applied, there is nothing to spare.
    for name in ("0004", "0002"):
        project.recorder.record_unapplied("b", name)
    alias = project.connection.alias
    [line] = lines(told(project, "a.0001"), "python")
    assert line == f"python manage.py migrate b 0001 --database {alias}"


def test_conflict_of_a_roll_back_does_not_speak_of_deploying_more() -> None:
    message = told(project_of(BACKWARD["direct"]), "a.0001")
    assert "Roll back in two deployments" in message
    assert "overdue" not in message


# Ambiguous stages


def ambiguous(**attributes: Any) -> Project:
    body = [remove("Old", "f"), add("Old", "h")]
    a2 = migration("a.0002", *body, needs="a.0001", **attributes)
    return Project(A1, B1, a2).record(DEPLOYED)


@pytest.mark.parametrize("before", [{}, {OVERRIDE: {"b": POST}}])
def test_ambiguous_stage_is_settled_by_the_override_as_it_is_pasted(
    tmp_path: Path, before: dict[str, Any]
) -> None:
    project = ambiguous()
    with project.installed(tmp_path, **before):
        with pytest.raises(AmbiguousStage) as caught:
            project.stage()
        [line] = lines(str(caught.value), OVERRIDE)
        pasted = paste(line, **{name: dict(value) for name, value in before.items()})
        with override_settings(**pasted):
            assert project.split() == (["a.0002"], [])


@pytest.mark.parametrize("wanted", [PRE, POST])
def test_ambiguous_stage_is_settled_by_the_attribute_as_it_is_pasted(
    wanted: Stage,
) -> None:
    with pytest.raises(AmbiguousStage) as caught:
        ambiguous().stage()
    [importing] = lines(str(caught.value), "from")
    [attribute] = lines(str(caught.value), "stage")
    if wanted is POST:
        first, second = re.findall(r"Stage\.\w+", attribute)
        attribute = attribute.replace(first, second)
    project = ambiguous(stage=paste(f"{importing}\n{attribute}")["stage"])
    assert project.split() == ((["a.0002"], []) if wanted is PRE else ([], ["a.0002"]))


@pytest.mark.parametrize(
    ("body", "way", "expected"),
    [
        (
            [remove("Old", "f"), add("Old", "h")],
            "Split it into one migration per stage.",
            'The stage of migration "a.0002" is ambiguous: "Add field h to Old" has to '
            "run before the rollout (the new release uses the column), but "
            '"Remove field f from Old" has to run after the rollout (the running '
            "release uses the column).",
        ),
        (
            [options("Old"), rename("Old", "f", "h")],
            "Keep the name in the database (db_column, db_table), or add what is new, ",
            'The stage of migration "a.0002" is ambiguous: no stage is safe for '
            '"Rename field f on Old to h": each release uses a column the other lacks.',
        ),
    ],
)
def test_ambiguous_stage_tells_what_contradicts_what(
    body: list[Any], way: str, expected: str
) -> None:
    project = Project(A1, migration("a.0002", *body, needs="a.0001")).record("a.0001")
    with pytest.raises(AmbiguousStage) as caught:
        project.stage()
    assert caught.value.summary == expected
    assert str(caught.value) == f"{expected}\n{caught.value.remedy}"
    assert caught.value.remedy.startswith(way)


@pytest.mark.parametrize(
    ("body", "proposed"),
    [
        ([CODE, remove("Old", "f")], POST),
        ([operations.RunSQL("x"), CODE, remove("Old", "f")], POST),
        ([CODE, add("Old", "h"), remove("Old", "f")], PRE),
        ([CODE, rename("Old", "f", "h")], PRE),
        ([add("Old", "h"), remove("Old", "f")], PRE),
    ],
)
def test_ambiguous_stage_is_settled_without_taking_away_what_is_in_use(
    tmp_path: Path, body: list[Any], proposed: Stage
) -> None:
    project = Project(A1, migration("a.0002", *body, needs="a.0001")).record("a.0001")
    with project.installed(tmp_path):
        with pytest.raises(AmbiguousStage) as caught:
            project.stage()
        assert caught.value.stage is proposed
        [attribute] = lines(caught.value.remedy, "stage")
        [line] = lines(caught.value.remedy, OVERRIDE)
        assert paste(attribute, Stage=Stage)["stage"] is proposed
        with override_settings(**paste(line)):
            assert project.stage()[0].stage is proposed


def test_ambiguous_stage_that_is_nonsense_is_told_as_such() -> None:
    project = Project(A1, migration("a.0002", needs="a.0001", stage="early"))
    with pytest.raises(AmbiguousStage, match=r'"a\.0002" declares .* \'early\' is no'):
        project.record("a.0001").stage()


def test_a_roll_back_over_several_conflicts_begins_with_the_newest() -> None:
    names = "a.0001 a.0002 a.0003 a.0004 a.0005"
    project = Project(
        migration("a.0001", create("A", "f", "g")),
        migration("a.0002", remove("A", "f"), needs="a.0001"),
        migration("a.0003", add("A", "x"), needs="a.0002"),
        migration("a.0004", remove("A", "g"), needs="a.0003"),
        migration("a.0005", add("A", "y"), needs="a.0004"),
    ).record(names)
    for offered in ("0004", "0002"):
        message = told(project, "a.0001")
        commands = re.findall(r"^    python manage\.py (.+)$", message, re.MULTILINE)
        alias = project.connection.alias
        assert commands == [f"migrate a {offered} --database {alias}"]
        _, plan = project.plan(f"a.{offered}")
        project.stage(f"a.{offered}")
        project.run(plan)
    assert project.split("a.0001") == (["a.0002"], [])
