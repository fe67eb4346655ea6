"""The system checks, by their ids."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Iterable
from copy import deepcopy
from itertools import chain
from textwrap import dedent, indent
from typing import Any

import pytest
from django.apps import apps
from django.core import checks
from django.core.checks import CheckMessage
from django.core.management import CommandError, call_command
from django.db.migrations import Migration
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from syzygy import Stage
from syzygy.checks import knowing
from syzygy.exceptions import AmbiguousStage
from tests.command_helpers import (
    ADD,
    ADD_MORE,
    CREATE,
    HOOK,
    REMOVE,
    RENAME,
    STATE_ONLY,
    Project,
    Source,
    source,
)
from tests.properties import examples

pytest_plugins = ["tests.command_fixtures"]

HISTORY = {"0001_initial": source(CREATE), "0002_both": source(ADD, REMOVE)}


def run(project: Project, *labels: str, **settings: Any) -> list[CheckMessage]:
    """Return what the checks find in the project as it is now."""
    with project.active(**settings):
        configs = [apps.get_app_config(label) for label in labels] or None
        return checks.run_checks(configs, tags=["syzygy"])


def ids(messages: Iterable[CheckMessage]) -> list[str | None]:
    return [message.id for message in messages]


def pasteable(hint: str | None) -> list[str]:
    """Return the blocks of code in a hint."""
    assert hint
    blocks = re.findall(r"(?:^ {4}.*\n?(?:^\n(?= {4}))?)+", hint, flags=re.MULTILINE)
    return [dedent(block) for block in blocks]


def paste(settings: dict[str, Any], block: str) -> dict[str, Any]:
    """Return the settings of a module after that block of code."""
    namespace = dict(settings)
    exec(block, namespace)
    return {name: namespace[name] for name in namespace if name.isupper()}


def declare(project: Project, label: str, name: str, block: str) -> None:
    """Paste a hint's block into a migration: the import above, the rest into it."""
    file = project.path / label / "migrations" / f"{name}.py"
    imports, *attributes = block.splitlines()
    file.write_text(
        f"{imports}\n{file.read_text()}{indent(chr(10).join(attributes), ' ' * 4)}\n"
    )


# E001


def test_e001_nothing_ambiguous(project: Project) -> None:
    project.app(
        "blog",
        {
            "0001_initial": source(CREATE),
            "0002_slug": source(ADD),
            "0003_title": source(REMOVE),
            "0004_options": source(STATE_ONLY),
        },
    )
    project.app("shop")
    assert run(project) == []


def test_e001_conflicting_requirements(project: Project) -> None:
    project.app("blog", HISTORY)
    (message,) = run(project)
    assert message.id == "syzygy.E001"
    assert message.level == checks.ERROR
    assert message.is_serious()
    assert str(message.obj) == "blog.0002_both"
    assert message.msg == (
        'The stage of migration "blog.0002_both" is ambiguous: "Add field slug to '
        'post" has to run before the rollout (the new release uses the column), but '
        '"Remove field title from post" has to run after the rollout (the running '
        "release uses the column)."
    )
    assert message.hint == (
        "Split it into one migration per stage. Or, if the running release doesn't "
        "use what it changes, say when it runs, in the migration:\n"
        "    from syzygy import Stage\n"
        "    stage = Stage.PRE_DEPLOY  # or Stage.POST_DEPLOY\n"
        "or in the settings:\n"
        '    MIGRATION_STAGES_OVERRIDE = {"blog.0002_both": "pre_deploy"}\n'
        "If it is history that is deployed everywhere, say so in the settings, with "
        "the newest migration of each app that is:\n"
        '    MIGRATION_STAGES_BASELINE = {"blog": "0002_both"}'
    )


def test_e001_operation_that_no_stage_makes_safe(project: Project) -> None:
    project.app("blog", {"0001_initial": source(CREATE), "0002_text": source(RENAME)})
    (message,) = run(project)
    assert message.id == "syzygy.E001"
    assert str(message.obj) == "blog.0002_text"
    assert "no stage is safe" in message.msg
    # There is only one operation.
    assert message.hint
    assert "Split it into one migration per stage" not in message.hint


@pytest.mark.parametrize("block", range(3))
def test_e001_each_way_out_of_the_hint_is_one(project: Project, block: int) -> None:
    project.app("blog", HISTORY)
    (message,) = run(project)
    blocks = pasteable(message.hint)
    assert len(blocks) == 3
    if block == 0:
        declare(project, "blog", "0002_both", blocks[0])
    else:
        project.settings = paste({}, blocks[block])
    assert run(project) == []


@pytest.mark.parametrize("existing", ["auth", "blog.0001_initial"])
def test_e001_the_way_out_keeps_the_overrides_there_are(
    project: Project, existing: str
) -> None:
    project.app("blog", HISTORY)
    project.installed.append("django.contrib.auth")
    project.settings = {"MIGRATION_STAGES_OVERRIDE": {existing: Stage.POST_DEPLOY}}
    (message,) = run(project)
    settings = paste(project.settings, pasteable(message.hint)[1])
    assert settings == {
        "MIGRATION_STAGES_OVERRIDE": {
            existing: Stage.POST_DEPLOY,
            "blog.0002_both": "pre_deploy",
        }
    }
    assert run(project, **settings) == []


def test_e001_the_way_out_keeps_the_baseline_there_is(project: Project) -> None:
    project.app("blog", {**HISTORY, "0003_slug": source(STATE_ONLY)})
    project.app("shop", HISTORY)
    project.settings = {"MIGRATION_STAGES_BASELINE": {"blog": "0002_both"}}
    (message,) = run(project)
    assert str(message.obj) == "shop.0002_both"
    settings = paste(project.settings, pasteable(message.hint)[-1])
    assert settings == {
        "MIGRATION_STAGES_BASELINE": {"blog": "0002_both", "shop": "0002_both"}
    }
    assert run(project, **settings) == []


@pytest.mark.parametrize("wrong", [{"blog": "0002_x"}, {"nope": "0001_initial"}])
def test_e001_the_way_out_keeps_no_wrong_name(
    project: Project, wrong: dict[str, str]
) -> None:
    project.app("blog", HISTORY)
    project.app("shop", HISTORY)
    project.settings = {"MIGRATION_STAGES_BASELINE": wrong}
    hints = [message.hint for message in run(project) if message.id == "syzygy.E001"]
    adopting = [hint for hint in hints if "MIGRATION_STAGES_BASELINE" in str(hint)]
    assert adopting
    for hint in adopting:
        settings = paste(project.settings, pasteable(hint)[-1])
        assert settings == {
            "MIGRATION_STAGES_BASELINE": {"blog": "0002_both", "shop": "0002_both"}
        }
        assert run(project, **settings) == []


def test_e001_the_way_out_reaches_what_follows_a_squashed_migration(
    project: Project,
) -> None:
    squash = source(
        ADD,
        dependencies=[("blog", "0002_both")],
        replaces='[("blog", "0003_slug"), ("blog", "0005_more")]',
    )
    project.app("blog", {**HISTORY, "0003_slug": source(), "0005_more": source()})
    project.migrations("blog", {"0003_slug_squashed_0005_more": squash})
    after = source(REMOVE, dependencies=[("blog", "0003_slug_squashed_0005_more")])
    project.migrations("blog", {"0004_next": after})
    (message,) = run(project)
    settings = paste({}, pasteable(message.hint)[-1])
    assert settings == {"MIGRATION_STAGES_BASELINE": {"blog": "0004_next"}}


def test_e001_one_line_for_the_squashed_migrations_of_all_apps(
    project: Project,
) -> None:
    """Of a line for each the last one would win."""
    names = ("0001_squashed", "0003_squashed")
    for app_label in ("blog", "shop"):
        for replaced, name in enumerate(names):
            replaces = f'[("{app_label}", "old_{replaced}")]'
            project.app(app_label, {})
            project.migrations(
                app_label, {name: source(ADD, REMOVE, replaces=replaces)}
            )
    found = run(project)
    assert [str(message.obj) for message in found] == [
        f"{app_label}.{name}" for app_label in ("blog", "shop") for name in names
    ]
    lines = [pasteable(message.hint) for message in found]
    assert [len(each) for each in lines] == [1, 1, 1, 2]
    settings = paste({}, lines[-1][-1])
    assert settings == {
        "MIGRATION_STAGES_BASELINE": dict.fromkeys(("blog", "shop"), names[-1])
    }
    assert run(project, **settings) == []
    # What is added to a setting that there is needs no such line.
    project.app("pages", {"0001_initial": source(CREATE)})
    for message in run(project, MIGRATION_STAGES_BASELINE={"pages": "0001_initial"}):
        (line,) = pasteable(message.hint)
        assert "BASELINE |= " in line


def test_e001_of_a_plan_is_not_called_history(project: Project) -> None:
    """What isn't applied here is hardly deployed everywhere; no line says so."""
    error = AmbiguousStage("Odd.", "Do this.")
    one, *_ = planned = [Migration(f"000{n}_x", "blog") for n in range(6)]
    alone = {one: error}
    adopted = {"MIGRATION_STAGES_BASELINE": {"blog": "0001_initial"}}
    project.app("blog", HISTORY)
    for settings, known, found in [
        ({}, alone, 'Do this.\nIf it is deployed everywhere but here, "manage.py'),
        (adopted, alone, ""),
        ({}, dict.fromkeys(planned, error), '"manage.py check_migrations" tells'),
    ]:
        with knowing(known):
            (message,) = run(project, **settings)
        assert message.id == "syzygy.E001"
        assert message.hint
        assert message.hint.startswith(found or "Do this.")
        assert "BASELINE" not in message.hint
        assert ("manage.py check" in message.hint) == bool(found)
    with knowing(dict.fromkeys(planned, error), "other"):
        (message,) = run(project)
    assert str(message.hint).startswith('"manage.py check_migrations --database other"')


def test_e001_new_ambiguity_is_not_called_history(project: Project) -> None:
    """Where an app has a baseline, what is newer was written since."""
    project.app("blog", {**HISTORY, "0003_text": source(RENAME)})
    project.settings = {"MIGRATION_STAGES_BASELINE": {"blog": "0002_both"}}
    (message,) = run(project)
    assert str(message.obj) == "blog.0003_text"
    assert message.hint
    assert "BASELINE" not in message.hint
    pasted = paste(project.settings, pasteable(message.hint)[1])
    assert run(project, **pasted) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"MIGRATION_STAGES_OVERRIDE": {"blog.0002_both": "pre_deploy"}},
        {"MIGRATION_STAGES_OVERRIDE": {"blog": Stage.POST_DEPLOY}},
        {"MIGRATION_STAGES_FALLBACK": {"blog.0002_both": Stage.PRE_DEPLOY}},
        {"MIGRATION_STAGES_FALLBACK": {"blog": "post_deploy"}},
        {"MIGRATION_STAGES_BASELINE": {"blog": "0002_both"}},
        {"SILENCED_SYSTEM_CHECKS": ["syzygy.E001"]},
    ],
)
def test_e001_settings_that_settle_it(
    project: Project, settings: dict[str, Any]
) -> None:
    project.app("blog", HISTORY)
    assert ids(run(project)) == ["syzygy.E001"]
    remaining = run(project, **settings)
    with project.active(**settings):
        assert [message for message in remaining if not message.is_silenced()] == []
    assert ids(run(project)) == ["syzygy.E001"]


@pytest.mark.parametrize("value", ["Stage.PRE_DEPLOY", '"post_deploy"'])
def test_e001_declared_stage(project: Project, value: str) -> None:
    project.app(
        "blog",
        {"0001_initial": source(CREATE), "0002_b": source(ADD, REMOVE, stage=value)},
    )
    assert run(project) == []


def test_e001_what_a_migration_says_of_itself_when_it_is_made(project: Project) -> None:
    project.app("blog", {"0001_initial": source(CREATE)})
    project.app("shop", {})
    made = "\n    def __init__(self, name, app_label):\n        super().__init__"
    last = ("blog", "0001_initial")
    for label, name, operations, more in (
        # Stages that the instance has, or tells.
        (
            "blog",
            "0002_a",
            (ADD, REMOVE),
            "    stage = property(lambda self: 'pre_deploy')",
        ),
        (
            "blog",
            "0003_b",
            (ADD_MORE, RENAME),
            f"{made}(name, app_label)\n        self.stage = Stage.POST_DEPLOY",
        ),
        # The migration of another app, as those who patch an installed one write it.
        (
            "shop",
            "0001_c",
            ("m.AddField('post', 'd', models.ManyToManyField('self', db_table='d'))",),
            f"{made}(name, 'blog')",
        ),
        ("blog", "0004_d", ("m.RenameField('post', 'd', 'e')",), ""),
        # Operations that nobody finds on the class.
        (
            "blog",
            "0005_e",
            (ADD,),
            f"{made}(name, app_label)\n"
            f"        self.operations = [*self.operations, {REMOVE}]",
        ),
    ):
        text = source(*operations).text(last)
        project.write(f"{label}/migrations/{name}.py", f"{text}{more}\n")
        last = (label, name)
    (message,) = run(project)
    assert str(message.obj) == "blog.0005_e"
    assert message.id == "syzygy.E001"
    project.write("shop/migrations/0001_c.py", f"{source(ADD).text(None)}{made}()")
    found = [message.msg for message in run(project)]
    assert found[0].startswith('Migration "shop.0001_c" can\'t be made an instance of')


@pytest.mark.parametrize("value", ['"pre"', "1", "[]", "True", '"PRE_DEPLOY"'])
def test_e001_declared_stage_that_is_none(project: Project, value: str) -> None:
    project.app("blog", {"0001_initial": source(CREATE, stage=value)})
    (message,) = run(project)
    assert message.id == "syzygy.E001"
    assert str(message.obj) == "blog.0001_initial"
    assert message.msg.startswith('Migration "blog.0001_initial" declares a stage ')
    assert value.replace('"', "'") in message.msg
    # The way out is the stage, not to call the migration history.
    assert message.hint
    assert "Stage.PRE_DEPLOY" in message.hint
    assert "BASELINE" not in message.hint


def test_e001_operation_with_a_stage_that_is_none(project: Project) -> None:
    project.app(
        "blog",
        {
            "0001_initial": "from django.db import migrations\n"
            "class Odd(migrations.RunPython):\n"
            "    stage = 'later'\n"
            "class Migration(migrations.Migration):\n"
            "    operations = [Odd(migrations.RunPython.noop)]\n"
        },
    )
    (message,) = run(project)
    assert (message.id, str(message.obj)) == ("syzygy.E001", "blog.0001_initial")
    assert "'later'" in message.msg
    # Which operation it is of, too.
    assert "Odd" in message.msg or "Raw Python operation" in message.msg
    assert message.hint
    assert "BASELINE" not in message.hint


def test_e001_old_project_sees_one_message(project: Project) -> None:
    """And what to paste, for all its apps at once."""
    for app in ("blog", "shop"):
        migrations: dict[str, Source | str] = {"0001_initial": source(CREATE)}
        for number in range(2, 52):
            rename = f'm.RenameField("post", "f{number - 1}", "f{number}")'
            migrations[f"{number:04}_rename"] = source(rename)
        project.app(app, migrations)
    project.app("quiet", {"0001_initial": source(CREATE)})
    (message,) = run(project)
    assert message.id == "syzygy.E001"
    assert message.level == checks.ERROR
    assert message.obj == "MIGRATION_STAGES_BASELINE"
    assert message.msg.startswith("The stages of 100 migrations are ambiguous, ")
    (block,) = pasteable(message.hint)
    settings = paste({}, block)
    assert settings == {
        "MIGRATION_STAGES_BASELINE": {
            "blog": "0051_rename",
            "quiet": "0001_initial",
            "shop": "0051_rename",
        }
    }
    assert run(project, **settings) == []
    # And new ambiguities are seen.
    project.migrations("blog", {"0052_both": source(ADD, REMOVE)})
    assert [str(found.obj) for found in run(project, **settings)] == ["blog.0052_both"]


@pytest.mark.parametrize(("count", "messages"), [(5, 5), (6, 1)])
def test_e001_a_few_are_told_one_by_one(
    project: Project, count: int, messages: int
) -> None:
    migrations: dict[str, Source | str] = {"0001_initial": source(CREATE)}
    for number in range(2, 2 + count):
        migrations[f"{number:04}_rename"] = source(RENAME)
    project.app("blog", migrations)
    assert len(run(project)) == messages


@pytest.mark.parametrize("existing", [{}, {"blog.0001_initial": "pre_deploy"}])
def test_e001_the_ways_out_of_several_can_be_pasted_together(
    project: Project, existing: dict[str, str]
) -> None:
    project.app("shop", {**HISTORY, "0002_both": source(HOOK, REMOVE)})
    project.app("blog", {**HISTORY, "0003_rename": source(RENAME)})
    project.app("wrong", {"0001_initial": source(CREATE, stage='"pre"')})
    if existing:
        project.settings = {"MIGRATION_STAGES_OVERRIDE": existing}
    # As Django shows them.
    found = sorted(map(str, run(project)))
    ways = [
        [block for block in pasteable(text) if "OVERRIDE" in block] for text in found
    ]
    assert [len(blocks) for blocks in ways] == [1, 1, 1 if existing else 2, 0]
    for block, *_ in ways[:3]:
        settled = paste(deepcopy(project.settings), block)
        assert len(run(project, **settled)) == 3
    settled = paste(deepcopy(project.settings), "".join(chain.from_iterable(ways)))
    assert [*map(str, run(project, **settled))] == found[3:]
    assert settled["MIGRATION_STAGES_OVERRIDE"] == existing | {
        "blog.0002_both": "pre_deploy",
        "blog.0003_rename": "pre_deploy",
        "shop.0002_both": "post_deploy",
    }


def test_e001_a_mistake_stands_out_from_history(project: Project) -> None:
    """A baseline would hide what somebody has to correct."""
    migrations: dict[str, Source | str] = {"0001_initial": source(CREATE)}
    for number in range(2, 12):
        migrations[f"{number:04}_rename"] = source(RENAME)
    project.app("blog", {**migrations, "0012_bad": source(STATE_ONLY, stage='"pre"')})
    messages = run(project)
    assert "blog.0012_bad" in {str(message.obj) for message in messages}


NAMES = {
    # Django pads to four digits, and people may forget to.
    "unpadded": ["9_initial", "10_both"],
    "five digits": ["9999_initial", "10000_both"],
    "without numbers": ["initial", "both"],
    "capitals": ["a_initial", "B_both"],
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_e001_names_that_do_not_sort_like_the_graph(
    project: Project, names: list[str]
) -> None:
    first, second = names
    project.app("blog", {first: source(CREATE), second: source(ADD, REMOVE)})
    (message,) = run(project)
    assert str(message.obj) == f"blog.{second}"
    settings = paste({}, pasteable(message.hint)[-1])
    # The newest is what the others lead to, whatever its name.
    assert settings == {"MIGRATION_STAGES_BASELINE": {"blog": second}}
    assert run(project, **settings) == []


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_e001_newer_than_a_baseline_that_sorts_after_it(
    project: Project, names: list[str]
) -> None:
    first, second = names
    project.app("blog", {first: source(CREATE), second: source(ADD, REMOVE)})
    project.settings = {"MIGRATION_STAGES_BASELINE": {"blog": first}}
    assert [str(message.obj) for message in run(project)] == [f"blog.{second}"]


def test_e001_baseline_on_one_branch_of_several(project: Project) -> None:
    parent = [("blog", "0001_initial")]
    project.app(
        "blog",
        {
            "0001_initial": source(CREATE),
            "0002_both": source(ADD, REMOVE, dependencies=parent),
            "0002_other": source(STATE_ONLY, dependencies=parent),
            "0003_merge": source(
                dependencies=[("blog", "0002_both"), ("blog", "0002_other")]
            ),
        },
    )
    for baseline, expected in [
        ("0001_initial", ["blog.0002_both"]),
        ("0002_both", []),
        ("0002_other", ["blog.0002_both"]),
        ("0003_merge", []),
    ]:
        found = run(project, MIGRATION_STAGES_BASELINE={"blog": baseline})
        assert [str(message.obj) for message in found] == expected, baseline


def test_e001_only_for_the_apps_that_are_asked_for(project: Project) -> None:
    project.app("blog", HISTORY)
    project.app("shop", HISTORY)
    assert [str(m.obj) for m in run(project, "shop")] == ["shop.0002_both"]
    assert [str(m.obj) for m in run(project, "shop", "blog")] == [
        "blog.0002_both",
        "shop.0002_both",
    ]
    assert run(project, "syzygy") == []


def test_e001_pasting_what_is_told_of_one_app_keeps_the_others(
    project: Project,
) -> None:
    project.app("blog", HISTORY)
    project.app("shop", HISTORY)
    project.settings = {"MIGRATION_STAGES_BASELINE": {"blog": "0002_both"}}
    (message,) = run(project, "shop")
    settings = paste(project.settings, pasteable(message.hint)[-1])
    assert run(project, **settings) == []


def test_e001_the_fallback_covers_third_party_apps(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = project.path / "site-packages"
    project.write(
        "site-packages/parts/migrations/0001_initial.py", source(CREATE).text(None)
    )
    project.write(
        "site-packages/parts/migrations/0002_both.py",
        source(ADD, REMOVE).text(("parts", "0001_initial")),
    )
    project.installed.append("parts")
    monkeypatch.syspath_prepend(str(packages))
    assert run(project) == []
    (message,) = run(project, MIGRATION_THIRD_PARTY_STAGES_FALLBACK=None)
    assert str(message.obj) == "parts.0002_both"
    settings = paste({}, pasteable(message.hint)[1])
    assert run(project, MIGRATION_THIRD_PARTY_STAGES_FALLBACK=None, **settings) == []
    # A value that is none leaves the packages covered: one message, not many.
    found = run(project, MIGRATION_THIRD_PARTY_STAGES_FALLBACK="soon")
    assert ids(found) == ["syzygy.E002"]


KEY = '[("id", models.AutoField(primary_key=True))]'
RENAMED = {
    "0001_initial": source(f'm.CreateModel("User", {KEY}, {{"db_table": "people"}})'),
    "0002_person": source('m.RenameModel("User", "Person")'),
}
REFERS = 'models.ForeignKey("people.%s", models.CASCADE)'


def test_e001_what_nobody_had_to_import_is_asked_before_nothing_is_said(
    project: Project,
) -> None:
    """A model that is renamed, whatever refers to it; a field that goes."""
    project.app("blog", {"0001_initial": source(CREATE)})
    tag = (
        "m.CreateModel('Tag', [('id', models.BigAutoField(primary_key=True)), "
        "('posts', models.ManyToManyField('blog.Post'))])"
    )
    project.app(
        "tags", {"0001_a": source(tag, dependencies=[("blog", "0001_initial")])}
    )
    project.migrations(
        "blog",
        {
            "0002_table": source("m.AlterModelTable('post', 'blog_post')"),
            "0003_article": source(
                "m.RenameModel('Post', 'Article')",
                dependencies=[("blog", "0002_table"), ("tags", "0001_a")],
            ),
            "0004_id": source("m.RemoveField('article', 'id')"),
            "0005_title": source("m.RemoveField('article', 'title')"),
        },
    )
    for settings in (
        {},
        {"MIGRATION_STAGES_OVERRIDE": {"tags": "pre_deploy"}},
        {"MIGRATION_STAGES_BASELINE": {"tags": "0001_a"}},
    ):
        found = run(project, **settings)
        assert [str(each.obj) for each in found] == [
            "blog.0003_article",
            "blog.0004_id",
        ]
    (message,) = run(project, MIGRATION_STAGES_BASELINE={"blog": "0003_article"})
    assert str(message.obj) == "blog.0004_id"


def test_e001_a_settled_app_is_asked_before_its_model_is_taken_for_another(
    project: Project,
) -> None:
    project.app("people", RENAMED)
    project.app(
        "blog",
        {
            "0001_initial": source(
                f'm.CreateModel("Post", {KEY})',
                f'm.AddField("post", "author", {REFERS % "User"})',
                dependencies=[("people", "0001_initial")],
            ),
            "0002_person": source(
                f'm.AlterField("post", "author", {REFERS % "Person"})',
                dependencies=[("blog", "0001_initial"), ("people", "0002_person")],
            ),
            "0003_other": source(f'm.AlterField("post", "author", {REFERS % "Other"})'),
        },
    )
    (message,) = run(project, MIGRATION_STAGES_OVERRIDE={"people": "pre_deploy"})
    assert str(message.obj) == "blog.0003_other"
    # What is settled needn't be adopted.
    assert "people" not in pasteable(message.hint)[-1]


BROKEN = {
    "class Migration(:\n": "SyntaxError: ",
    "from django.db import nothing\n": "cannot import name 'nothing'",
    "import nothing_like_this\n": "No module named 'nothing_like_this'",
    "class Migration(migrations.Migration): pass\n": "'migrations' is not defined",
    "from django.db import migrations\n": 'Migration"? class|class "Migration"',
    "class Migration: pass\n": 'Migration"? class|class "Migration"',
    "raise ValueError('two\\nlines')\n": "ValueError: two",
    "raise KeyError('key')\n": "KeyError: 'key'",
    "raise ValueError\n": "ValueError",
}


@pytest.mark.parametrize("code", BROKEN)
@pytest.mark.parametrize("baseline", [False, True])
def test_e001_migrations_that_cannot_be_read(
    project: Project, code: str, baseline: bool
) -> None:
    project.app("blog", {"0001_initial": source(CREATE), "0002_broken": code})
    project.app("shop", HISTORY)
    if baseline:
        project.settings = {"MIGRATION_STAGES_BASELINE": {"blog": "0001_initial"}}
    message, other = run(project)
    assert message.id == other.id == "syzygy.E001"
    assert message.obj.label == "blog"
    assert re.search(BROKEN[code], message.msg)
    # That a name isn't defined says little without the file.
    assert re.search(r"\bblog\b.*\b0002_broken\b", message.msg)
    assert "\n" not in message.msg
    assert message.hint
    # What can be read is.
    assert str(other.obj) == "shop.0002_both"


MALFORMED = {
    "no migration": "class Migration:\n    def __init__(self, *args): pass\n",
    "a function": "def Migration(name, app_label): return None\n",
    "a number": "Migration = 42\n",
    "dependencies": (
        "from django.db import migrations\n"
        "class Migration(migrations.Migration):\n"
        "    dependencies = ['blog.0001_initial']\n"
    ),
    "short dependency": (
        "from django.db import migrations\n"
        "class Migration(migrations.Migration):\n"
        "    dependencies = [('blog',)]\n"
    ),
    "replaces": (
        "from django.db import migrations\n"
        "class Migration(migrations.Migration):\n"
        "    replaces = ['0001_initial']\n"
    ),
    "run_before": (
        "from django.db import migrations\n"
        "class Migration(migrations.Migration):\n"
        "    run_before = ['auth']\n"
    ),
    "operations": (
        "from django.db import migrations\n"
        "class Migration(migrations.Migration):\n"
        "    operations = None\n"
    ),
    "operation": (
        "from django.db import migrations\n"
        "class Migration(migrations.Migration):\n"
        "    operations = [migrations.RunSQL, None, 'DROP TABLE blog_post']\n"
    ),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_e001_migrations_that_are_none(project: Project, kind: str) -> None:
    """Django fails at most of them, in its own way; the check must not."""
    project.app(
        "blog", {"0001_initial": source(CREATE), "0002_malformed": MALFORMED[kind]}
    )
    for baseline in ({}, {"blog": "0001_initial"}):
        found = run(project, MIGRATION_STAGES_BASELINE=baseline)
        assert set(ids(found)) <= {"syzygy.E001"}
        for message in found:
            assert message.hint
            assert "blog" in str(message.obj)


@pytest.mark.parametrize("modules", [None, "nowhere", "nowhere.at.all", "blog.models"])
def test_e001_migration_modules_without_migrations(
    project: Project, modules: str | None
) -> None:
    project.app("blog", HISTORY, models="")
    assert run(project, MIGRATION_MODULES={"blog": modules}) == []


@pytest.mark.parametrize("modules", ["broken.migrations", "", "."])
def test_e001_migration_modules_that_make_no_sense(
    project: Project, modules: str
) -> None:
    project.app("blog", HISTORY)
    project.write("broken/__init__.py", "raise RuntimeError('not today')\n")
    found = run(project, MIGRATION_MODULES={"blog": modules})
    assert set(ids(found)) <= {"syzygy.E001"}


def test_e001_apps_without_migrations(project: Project) -> None:
    project.app("empty", {})
    (project.path / "namespace/migrations").mkdir(parents=True)
    project.write("namespace/__init__.py")
    project.write("module/migrations.py", "raise RuntimeError('never imported')\n")
    project.installed += ["namespace", "module"]
    assert run(project) == []
    project.app("blog", HISTORY)
    (message,) = run(project)
    settings = paste({}, pasteable(message.hint)[-1])
    assert settings == {"MIGRATION_STAGES_BASELINE": {"blog": "0002_both"}}


def test_e001_does_not_need_a_database(project: Project) -> None:
    from django.db import connections

    project.app("blog", HISTORY)
    with connections["default"].execute_wrapper(_refuse):
        assert ids(run(project)) == ["syzygy.E001"]


def _refuse(*args: Any) -> None:
    raise AssertionError("The check queries the database.")


# Whatever is ambiguous, each way out that is offered is one

OPERATIONS = st.sampled_from([ADD, REMOVE, RENAME, STATE_ONLY])


@st.composite
def migration_names(draw: st.DrawFn) -> list[str]:
    """Names in the order of the history: with numbers that grow, or without any."""
    names: list[str] = []
    number = draw(st.integers(0, 12))
    for _ in range(draw(st.integers(1, 5))):
        word = draw(st.text("abz", min_size=1, max_size=3))
        if draw(st.booleans()):
            word = f"{number:0{draw(st.integers(1, 4))}}_{word}"
            number += draw(st.integers(1, 90))
        names += [word] if word not in names else []
    return names


@given(names=migration_names(), data=st.data())
@hypothesis_settings(
    max_examples=examples(40),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_e001_pasting_what_a_hint_says_resolves_the_finding(
    project: Project, names: list[str], data: st.DataObject
) -> None:
    folder = project.path / "blog" / "migrations"
    for file in folder.glob("*.py"):
        file.unlink()
    project.app("blog", {})
    previous = None
    ambiguous = []
    for name in names:
        operations = data.draw(st.lists(OPERATIONS, max_size=3))
        (folder / f"{name}.py").write_text(source(*operations).text(previous))
        previous = ("blog", name)
        ambiguous.append(RENAME in operations or {ADD, REMOVE} <= {*operations})
    position = data.draw(st.integers(0, len(names)))
    settings: dict[str, Any] = {}
    if position:
        settings["MIGRATION_STAGES_BASELINE"] = {"blog": names[position - 1]}
    found = run(project, **settings)
    assert {str(message.obj) for message in found} == {
        f"blog.{name}"
        for index, name in enumerate(names)
        if index >= position and ambiguous[index]
    }
    for message in found:
        *_, block = pasteable(message.hint)
        assert str(message.obj) not in {
            str(later.obj) for later in run(project, **paste(settings, block))
        }
    while found:
        blocks = pasteable(found[0].hint)
        block = next((b for b in blocks if "OVERRIDE" in b), blocks[-1])
        settings = paste(settings, block)
        before, found = found, run(project, **settings)
        assert len(found) < len(before)
    assert run(project, **settings) == []


# E002


def test_e002_a_setting_that_is_wrong(project: Project) -> None:
    project.app("blog", {"0001_initial": source(CREATE)})
    (message,) = run(project, MIGRATION_STAGES_OVERRIDE={"blog.0001_initail": "x"})[:1]
    assert message.id == "syzygy.E002"
    assert message.level == checks.ERROR
    assert message.obj == "MIGRATION_STAGES_OVERRIDE"
    found = run(
        project,
        MIGRATION_STAGES_OVERRIDE={"blog.0001_initail": "pre_deploy", "blog": "pre"},
        MIGRATION_STAGES_FALLBACK=[],
        MIGRATION_STAGES_BASELINE={"blgo": "0001_initial"},
        MIGRATION_THIRD_PARTY_STAGES_FALLBACK="pre",
        MIGRATION_STAGES_OVERIDE={},
    )
    assert set(ids(found)) == {"syzygy.E002"}
    assert sorted(str(message.obj) for message in found) == [
        "MIGRATION_STAGES_BASELINE",
        "MIGRATION_STAGES_FALLBACK",
        "MIGRATION_STAGES_OVERIDE",
        "MIGRATION_STAGES_OVERRIDE",
        "MIGRATION_STAGES_OVERRIDE",
        "MIGRATION_THIRD_PARTY_STAGES_FALLBACK",
    ]
    assert all(message.hint for message in found)
    assert run(project) == []


def test_e002_can_be_silenced(project: Project) -> None:
    project.app("blog", {"0001_initial": source(CREATE)})
    project.settings = {
        "MIGRATION_STAGES_FALLBACK": [],
        "SILENCED_SYSTEM_CHECKS": ["syzygy.E002"],
    }
    assert "(1 silenced)" in project.call("check", "--tag", "syzygy")


def test_e002_is_told_of_whole_projects_only_once(project: Project) -> None:
    """Of some apps, too: a setting concerns them all."""
    project.app("blog", {"0001_initial": source(CREATE)})
    assert ids(run(project, "blog", MIGRATION_STAGES_FALLBACK=[])) == ["syzygy.E002"]


# W001

OVERRIDING = """
from django.core.management.commands.migrate import Command as MigrateCommand

class Command(MigrateCommand):
    pass
"""
COMBINED = """
from django.core.management.commands.migrate import Command as MigrateCommand
from syzygy.management.mixins import MigrateMixin

class Command(MigrateMixin, MigrateCommand):
    pass
"""


@pytest.fixture
def overriding(project: Project) -> Project:
    """Make a project in which the app "ops" overrides ``migrate``, too."""
    project.app("ops")
    project.write("ops/management/commands/migrate.py", OVERRIDING)
    return project


@pytest.mark.parametrize(
    ("order", "first", "hidden"),
    [(["ops", "syzygy"], "ops", "syzygy"), (["syzygy", "ops"], "syzygy", "ops")],
)
def test_w001_another_app_overrides_migrate(
    overriding: Project, order: list[str], first: str, hidden: str
) -> None:
    overriding.installed = [*order]
    (message,) = run(overriding)
    assert message.id == "syzygy.W001"
    assert message.level == checks.WARNING
    assert not message.is_serious()
    assert message.obj.label == "ops"
    assert message.msg == (
        f'The command "migrate" of "{first}" hides that of "{hidden}": both apps '
        "override it."
    )
    # What it offers.
    (block,) = pasteable(message.hint)
    overriding.app("glue")
    overriding.write("glue/management/commands/migrate.py", block)
    overriding.installed = ["glue", *order]
    assert run(overriding) == []
    assert "--pre-deploy" in help_of_migrate(overriding)


def help_of_migrate(project: Project) -> str:
    with project.active():
        from django.core.management import get_commands, load_command_class

        owner = get_commands()["migrate"]
        assert isinstance(owner, str)
        command = load_command_class(owner, "migrate")
        return command.create_parser("manage.py", "migrate").format_help()


@pytest.mark.parametrize("order", [["syzygy"], ["syzygy", "quiet"]])
def test_w001_nothing_shadowed(project: Project, order: list[str]) -> None:
    project.app("quiet")
    project.write("quiet/management/commands/other.py", OVERRIDING)
    project.installed = order
    assert run(project) == []


def test_w001_command_that_is_combined_and_comes_first(overriding: Project) -> None:
    overriding.write("ops/management/commands/migrate.py", COMBINED)
    overriding.installed = ["ops", "syzygy"]
    assert run(overriding) == []


def test_w001_command_that_is_combined_and_comes_last(overriding: Project) -> None:
    """It has to be moved: what is combined already can't be combined again."""
    overriding.write("ops/management/commands/migrate.py", COMBINED)
    overriding.installed = ["syzygy", "ops"]
    (message,) = run(overriding)
    assert message.id == "syzygy.W001"
    assert message.hint
    assert 'Move "ops" before "syzygy" in INSTALLED_APPS' in message.hint


@pytest.mark.parametrize(
    "order",
    [
        ["ops", "more", "syzygy"],
        ["ops", "syzygy", "more"],
        ["syzygy", "ops", "more"],
    ],
)
def test_w001_several_apps(overriding: Project, order: list[str]) -> None:
    overriding.app("more")
    overriding.write("more/management/commands/migrate.py", OVERRIDING)
    overriding.installed = [*order]
    (message,) = run(overriding)
    assert message.obj.label == "ops"
    overriding.app("glue")
    overriding.write("glue/management/commands/migrate.py", pasteable(message.hint)[0])
    overriding.installed = ["glue", *order]
    assert run(overriding) == []


def test_w001_names_are_those_that_can_be_imported(project: Project) -> None:
    project.write("company/ops/management/commands/migrate.py", OVERRIDING)
    project.installed = ["syzygy", "company.ops"]
    (message,) = run(project)
    assert "from company.ops.management.commands import migrate" in str(message.hint)


def test_w001_command_of_another_app_that_cannot_be_imported(
    overriding: Project,
) -> None:
    """Nor can it be run; "check" must get through all the same."""
    overriding.write("ops/management/commands/migrate.py", "import nothing_like_this\n")
    overriding.installed = ["ops", "syzygy"]
    (message,) = run(overriding)
    assert message.id == "syzygy.W001"
    assert message.obj.label == "ops"


def test_w001_can_be_silenced(overriding: Project) -> None:
    overriding.settings = {"SILENCED_SYSTEM_CHECKS": ["syzygy.W001"]}
    assert "(1 silenced)" in overriding.call("check", "--tag", "syzygy")


# All of them


def test_checks_have_their_tag(project: Project) -> None:
    with project.active():
        assert "syzygy" in checks.registry.registry.tags_available()
    project.app("blog", HISTORY)
    with pytest.raises(CommandError, match=r"\(syzygy\.E001\)"):
        project.call("check", "--tag", "syzygy")
    assert "no issues" in project.call("check", "--tag", "urls")


def test_checks_change_no_settings(project: Project) -> None:
    project.app("blog", HISTORY)
    settings = {
        "MIGRATION_STAGES_OVERRIDE": {"blog.0001_initial": "pre_deploy"},
        "MIGRATION_STAGES_FALLBACK": {"blog.0001_initial": Stage.PRE_DEPLOY},
        "MIGRATION_STAGES_BASELINE": {"blog": "0001_initial"},
    }
    before = repr(settings)
    run(project, **settings)
    assert repr(settings) == before


def test_checks_import_nothing_that_a_setting_settles(project: Project) -> None:
    refusing = "raise RuntimeError('imported')\n"
    project.app("blog", {"0001_initial": refusing, "0002_both": refusing})
    assert ids(run(project)) == ["syzygy.E001"]
    override = {"MIGRATION_STAGES_OVERRIDE": {"blog": "pre_deploy"}}
    assert run(project, **override) == []
    baseline = {"MIGRATION_STAGES_BASELINE": {"blog": "0002_both"}}
    assert run(project, **baseline) == []
    # One migration's override doesn't settle the other.
    override = {"MIGRATION_STAGES_OVERRIDE": {"blog.0001_initial": "pre_deploy"}}
    assert ids(run(project, **override)) == ["syzygy.E001"]


def test_checks_import_what_a_baseline_covers_only_if_it_matters(
    project: Project,
) -> None:
    alter = 'm.AlterField("post", "body", models.CharField(max_length=100))'
    project.app(
        "blog",
        {
            "0001_initial": source(CREATE),
            "0002_slug": source(ADD),
            "0003_more": source(STATE_ONLY),
        },
    )
    baseline = {"MIGRATION_STAGES_BASELINE": {"blog": "0002_slug"}}
    imported = "blog.migrations.0001_initial"
    for migration, needed in (("0004_x", False), ("0005_narrow", True)):
        operation = alter if needed else 'm.RemoveField("post", "slug")'
        project.migrations("blog", {migration: source(operation)})
        with project.active(**baseline):
            assert checks.run_checks(tags=["syzygy"]) == []
            assert (imported in sys.modules) is needed, migration
    # What it was tells what becomes of it: narrowed, and so ambiguous beside this.
    project.migrations("blog", {"0006_both": source(alter.replace("100", "50"), ADD)})
    assert [str(message.obj) for message in run(project, **baseline)] == [
        "blog.0006_both"
    ]


@pytest.mark.parametrize(
    ("altered", "imported"),
    [
        ('m.AlterField("post", "body", models.TextField(null=True))', {"0001_initial"}),
        # What another migration has defined since.
        (
            'm.AlterField("post", "slug", models.SlugField(max_length=9, null=True))',
            {"0003_slug"},
        ),
        # What nobody has: perhaps it goes by a name that is made up.
        (
            'm.AlterField("post", "nothing", models.TextField())',
            {"0001_initial", "0002_slug", "0003_slug", "0004_options"},
        ),
    ],
)
def test_checks_import_what_defined_an_altered_field(
    project: Project, altered: str, imported: set[str]
) -> None:
    widened = 'm.AlterField("post", "slug", models.SlugField(max_length=99, null=True))'
    project.app(
        "blog",
        {
            "0001_initial": source(CREATE),
            "0002_slug": source(ADD),
            "0003_slug": source(widened),
            "0004_options": source(STATE_ONLY),
            "0005_altered": source(altered),
        },
    )
    with project.active(MIGRATION_STAGES_BASELINE={"blog": "0004_options"}):
        assert checks.run_checks(tags=["syzygy"]) == []
        names = {
            name.rpartition(".")[2]
            for name in sys.modules
            if name.startswith("blog.migrations.")
        }
    assert names == {*imported, "0005_altered"}


def test_checks_import_what_is_newer_than_a_baseline_in_order(project: Project) -> None:
    """Of files that are broken the first is told of, each time."""
    names = [f"{number:04}_next" for number in range(1, 13)]
    project.app("blog", {name: source(STATE_ONLY) for name in names})
    with project.active(MIGRATION_STAGES_BASELINE={"blog": names[0]}):
        assert checks.run_checks(tags=["syzygy"]) == []
        modules = [name for name in sys.modules if name.startswith("blog.migrations.")]
    assert modules == [f"blog.migrations.{name}" for name in names[1:]]


def test_a_file_that_is_broken_makes_nothing_newer_than_a_baseline(
    project: Project,
) -> None:
    """What the baseline covers is imported up to there, to see what "title" is."""
    ordered = 'm.AlterModelOptions("post", {"ordering": ["title"]})'
    project.app(
        "blog",
        {
            "0001_initial": source(CREATE),
            "0002_broken": 'raise ValueError("post", "title")\n',
            "0003_both": source(ADD, 'm.RemoveField("post", "body")', ordered),
            "0004_options": source(STATE_ONLY),
            "0005_title": source('m.AlterField("post", "title", models.TextField())'),
        },
    )
    found = run(project, MIGRATION_STAGES_BASELINE={"blog": "0004_options"})
    assert [str(message.obj) for message in found] == ["<AppConfig: blog>"]


def test_checks_import_what_defined_a_field_that_goes_and_no_more(
    project: Project,
) -> None:
    written = (
        '[("id", m.AutoField(auto_created=True, primary_key=True, serialize=False)),'
        ' ("title", m.CharField(max_length=9)), ("slug", m.SlugField({}))]'
    ).replace("m.", "models.")
    older = {
        "0001_initial": source(
            f'm.CreateModel(name="Post", fields={written.format("")})'
        ),
        "0002_tag": source(
            f'm.CreateModel(name="Tag", fields={written.format("primary_key=True")})'
        ),
        "0003_options": source(STATE_ONLY),
    }
    project.app("blog", older)
    baseline = {"MIGRATION_STAGES_BASELINE": {"blog": "0003_options"}}
    project.migrations("blog", {"0004": source('m.RemoveField("post", "title")')})
    with project.active(**baseline):
        assert checks.run_checks(tags=["syzygy"]) == []
        names = [*older, "0004"]
        imported = [name for name in names if f"blog.migrations.{name}" in sys.modules]
        assert imported == ["0001_initial", "0004"]
    project.migrations("blog", {"0005": source('m.RemoveField("tag", "slug")')})
    assert [str(message.obj) for message in run(project, **baseline)] == ["blog.0005"]


AUTOMATIC = '("id", models.AutoField(auto_created=True, primary_key=True))'
PLAIN_SLUG = "field=models.SlugField())"
BY_CODE = 'm.CreateModel("Post", [("code", models.SlugField(primary_key=True))])'
ADD_PLAIN = f'm.AddField(model_name="post", name="slug", {PLAIN_SLUG}'
REMOVE_SLUG = 'm.RemoveField("post", "slug")'


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (
            [f'm.CreateModel(name="Post", fields=[{AUTOMATIC}])'],
            'm.RemoveField("post", "id")',
        ),
        (
            [BY_CODE, ADD_PLAIN, REMOVE_SLUG, 'm.RenameField("post", "code", "slug")'],
            REMOVE_SLUG,
        ),
        (
            [
                BY_CODE.replace("code", "slug").replace("Post", "Draft"),
                f'm.CreateModel(name="Post", fields=[{AUTOMATIC}])',
                ADD_PLAIN,
                'm.DeleteModel("Post")',
                'm.RenameModel("Draft", "Post")',
            ],
            REMOVE_SLUG,
        ),
        ([BY_CODE], 'm.SeparateDatabaseAndState([m.RemoveField("post", "code")], [])'),
        (
            [
                BY_CODE.replace(")])", ')], options={"managed": False})'),
                'm.AlterModelOptions("post", {})',
            ],
            'm.RemoveField("post", "code")',
        ),
    ],
    ids=["automatic", "field renamed", "model renamed", "wrapped", "managed later"],
)
def test_checks_see_that_a_key_goes_whatever_its_history(
    project: Project, older: list[str], newer: str
) -> None:
    written = [*older, STATE_ONLY, newer]
    files = {f"{n:04}": source(each) for n, each in enumerate(written, 1)}
    project.app("blog", files)
    *_, baseline, last = files
    (message,) = run(project, MIGRATION_STAGES_BASELINE={"blog": baseline})
    assert str(message.obj) == f"blog.{last}"
    assert "primary key" in message.msg


def test_checks_see_what_table_a_model_had(project: Project) -> None:
    """Though what defined the field that is altered, too, doesn't tell."""
    project.app(
        "blog",
        {
            "0001_initial": source(CREATE),
            "0002_table": source('m.AlterModelTable("post", "other")'),
            "0003_field": source('m.AlterField("post", "title", models.TextField())'),
            "0004_table": source('m.AlterModelTable("post", None)'),
        },
    )
    found = run(project, MIGRATION_STAGES_BASELINE={"blog": "0002_table"})
    assert "blog.0004_table" in [str(message.obj) for message in found]


def test_checks_judge_an_altered_field_by_what_it_was(project: Project) -> None:
    """However little of the history they have imported."""
    field = 'm.AlterField("post", "slug", models.SlugField(max_length={}, null=True))'
    project.app(
        "blog",
        {
            "0001_initial": source(CREATE),
            "0002_slug": source(ADD),
            "0003_wide": source(STATE_ONLY, field.format(99)),
            "0004_options": source(STATE_ONLY),
        },
    )
    baseline = {"MIGRATION_STAGES_BASELINE": {"blog": "0004_options"}}
    # Narrower than it is, it has to wait; wider, it must not.
    for length, conflicting in ((60, ADD_MORE), (120, REMOVE)):
        file = project.path / "blog/migrations/0005_both.py"
        file.write_text(
            source(field.format(length), conflicting).text(("blog", "0004_options"))
        )
        (message,) = run(project, **baseline)
        assert str(message.obj) == "blog.0005_both", length
    for length, agreeing in ((60, REMOVE), (120, ADD_MORE)):
        file.write_text(
            source(field.format(length), agreeing).text(("blog", "0004_options"))
        )
        assert run(project, **baseline) == [], length


def test_checks_tell_of_history_that_they_need_and_cannot_read(
    project: Project,
) -> None:
    project.app(
        "blog",
        {
            "0001_initial": "raise RuntimeError('body')  # 'body'\n",
            "0002_options": source(STATE_ONLY),
            "0003_body": source('m.AlterField("post", "body", models.JSONField())'),
        },
    )
    (message,) = run(project, MIGRATION_STAGES_BASELINE={"blog": "0002_options"})
    assert "RuntimeError: body" in message.msg
    assert message.obj.label == "blog"


def test_checks_pass_over_what_a_squashed_migration_replaces(project: Project) -> None:
    project.app(
        "blog",
        {
            **HISTORY,
            "0002_squashed": source(
                CREATE,
                replaces='[("blog", "0001_initial"), ("blog", "0002_both")]',
                dependencies=[],
            ),
        },
    )
    assert run(project) == []


def test_checks_keep_the_baseline_of_an_app_that_they_do_not_import(
    project: Project,
) -> None:
    replaces = '[("blog", "0001_initial"), ("blog", "0002_both")]'
    project.app("blog", {"0001_squashed": source(ADD, REMOVE, replaces=replaces)})
    project.app("shop", {"0001_initial": source(CREATE)})
    (message,) = run(project, MIGRATION_STAGES_BASELINE={"shop": "0001_initial"})
    assert message.hint
    assert 'MIGRATION_STAGES_BASELINE |= {"blog": "0001_squashed"}' in message.hint
    assert "shop.migrations.0001_initial" not in sys.modules


@pytest.mark.parametrize("enabled", [True, False])
def test_checks_leave_the_garbage_collector_as_it_was(
    project: Project, enabled: bool
) -> None:
    project.app("blog", HISTORY)
    was_enabled = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        run(project)
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()


def test_check_command_in_an_old_project(project: Project) -> None:
    project.app("blog", HISTORY)
    with pytest.raises(CommandError) as caught:
        project.call("check", "--tag", "syzygy")
    text = str(caught.value)
    assert text.count("syzygy.") == 1
    assert "blog.0002_both: (syzygy.E001) The stage of migration" in text
    with project.active(), pytest.raises(CommandError):
        call_command("check", "blog", "--tag", "syzygy")


DATABASE = "syzygy.quorum.backends.database.DatabaseQuorum"
CACHE = "syzygy.quorum.backends.cache.CacheQuorum"


@pytest.mark.parametrize(
    ("backend", "told"),
    [
        (3, "is 3. Make it the path of a class"),
        ({"alias": "default"}, "Make it the path of a class"),
        ("nowhere.Backend", "can't be imported: ModuleNotFoundError"),
        ("syzygy.Stage", "is no subclass of"),
        ("syzygy.quorum.backends.base.QuorumBase", "lacks the methods: join, poll"),
        ({"backend": DATABASE, "nonsense": 1}, "doesn't take these options"),
        ({"backend": DATABASE, "lease": 0}, "lease"),
        ({"backend": DATABASE, "lease": "soon"}, "lease"),
        ({"backend": DATABASE, "alias": "nowhere"}, 'There is no database "nowhere"'),
        ({"backend": CACHE, "alias": "nowhere"}, 'There is no cache "nowhere"'),
        (CACHE, "which no other process can see"),
    ],
    ids=str,
)
def test_e003_backend_that_cannot_be_used(
    project: Project, backend: object, told: str
) -> None:
    (message,) = run(project, MIGRATION_QUORUM_BACKEND=backend)
    assert message.id == "syzygy.E003"
    assert message.obj == "MIGRATION_QUORUM_BACKEND"
    assert told in message.msg
    assert "\n" not in message.msg
    assert message.hint


def test_e003_two_spellings_of_the_setting(project: Project) -> None:
    settings = {"MIGRATE_QUORUM_BACKEND": DATABASE, "MIGRATION_QUORUM_BACKEND": CACHE}
    (message,) = run(project, **settings)
    assert message.id == "syzygy.E003"
    assert 'Remove "MIGRATE_QUORUM_BACKEND"' in message.msg
