"""The command ``migrate`` with and without ``--pre-deploy``, on real projects."""

from __future__ import annotations

import importlib
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from io import StringIO
from signal import SIGKILL
from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.core.management.commands import migrate as django_migrate
from django.db import DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor
from django.db.models.signals import post_migrate, pre_migrate

from syzygy import Stage
from syzygy.exceptions import AmbiguousPlan, AmbiguousStage
from tests.command_helpers import (
    ADD,
    ADD_MORE,
    CREATE,
    HOOK,
    REMOVE,
    RENAME,
    STATE_ONLY,
    Project,
    dump,
    source,
)

pytest_plugins = ["tests.command_fixtures"]

PRE, POST = (
    ["blog.0001_initial", "blog.0002_slug"],
    ["blog.0003_title", "blog.0004_options"],
)
MODELS = """
from django.db import models

class Post(models.Model):
    id = models.BigAutoField(primary_key=True)
    body = models.TextField()
    slug = models.SlugField(null=True)

    class Meta:
        ordering = ["id"]
"""


@pytest.fixture
def blog(project: Project) -> Project:
    """Make a project with one app, the end of whose history has to wait."""
    project.app(
        "blog",
        {
            "0001_initial": source(CREATE),
            "0002_slug": source(ADD),
            "0003_title": source(REMOVE),
            "0004_options": source(STATE_ONLY),
        },
        models=MODELS,
    )
    return project


@pytest.fixture
def overdue(project: Project) -> Project:
    """Make a project whose plan can't be split: 0001 to 0003 are applied."""
    project.app(
        "blog",
        {
            "0001_initial": source(CREATE),
            "0002_slug": source(ADD),
            "0003_first": source(STATE_ONLY),
        },
    )
    project.call("migrate")
    project.migrations(
        "blog",
        {
            "0004_title": source(REMOVE),
            "0005_options": source(STATE_ONLY),
            "0006_more": source(ADD_MORE),
        },
    )
    return project


def lines(text: str) -> list[str]:
    """Return lines without what fills up their columns."""
    return [re.sub(r"(\S)  +", r"\1  ", line) for line in text.splitlines()]


def section(text: str, title: str) -> list[str]:
    """Return the indented lines below the line that begins with a title."""
    found: list[str] = []
    inside = False
    for line in lines(text):
        if line.startswith("  ") and inside:
            found.append(line.strip())
        elif line:
            inside = line.startswith(title)
    return found


# A whole deployment, in processes


def test_rolling_deployment(blog: Project) -> None:
    blog.installed += ["django.contrib.auth", "django.contrib.contenttypes"]
    for arguments, returncode in [
        (["check"], 0),
        (["migrate", "--pre-deploy", "--check"], 1),
        (["migrate", "--pre-deploy"], 0),
        (["migrate", "--pre-deploy", "--check"], 0),
        (["migrate", "--check"], 1),
    ]:
        result = blog.manage(*arguments)
        assert result.returncode == returncode, (arguments, result.output)
        assert result.stderr == ""
    assert blog.columns("blog_post") == {"id", "body", "title", "slug"}
    assert [name for name in blog.applied() if name.startswith("blog.")] == PRE
    # Django's own work isn't postponed: its receivers of signals have run.
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT codename FROM auth_permission WHERE codename LIKE '%_post'"
        )
        assert len(cursor.fetchall()) == 4
    for arguments in (["migrate"], ["migrate", "--check"]):
        result = blog.manage(*arguments)
        assert (result.returncode, result.stderr) == (0, ""), result.output
    assert blog.columns("blog_post") == {"id", "body", "slug"}
    assert set(POST) <= {*blog.applied()}


def test_usage(blog: Project) -> None:
    result = blog.manage("migrate", "--pre-deployy")
    assert result.returncode == 2
    assert "unrecognized arguments: --pre-deployy" in result.stderr
    result = blog.manage("migrate", "--help")
    assert result.returncode == 0
    assert "--pre-deploy" in result.stdout
    assert dump() == {}


# What is applied, and what is told


def test_pre_deploy_applies_what_does_not_wait(blog: Project) -> None:
    out = blog.call("migrate", "--pre-deploy")
    assert blog.applied() == PRE
    assert section(out, "Running migrations:") == [
        "Applying blog.0001_initial... OK",
        "Applying blog.0002_slug... OK",
    ]
    assert section(out, "Postponed") == [
        "blog.0003_title  post-deploy  inferred: Remove field title from post: the "
        "running release uses the column",
        "blog.0004_options  any  needs blog.0003_title",
    ]


def test_migrate_applies_the_rest(blog: Project) -> None:
    blog.call("migrate", pre_deploy=True)
    out = blog.call("migrate")
    assert blog.applied() == PRE + POST
    assert section(out, "Running migrations:") == [
        "Applying blog.0003_title... OK",
        "Applying blog.0004_options... OK",
    ]
    assert "Postponed" not in out
    assert "deploy" not in out


def test_migrate_alone_is_django_s(blog: Project) -> None:
    """Not a word more, nor less."""
    with blog.active():
        out = StringIO()
        call_command(django_migrate.Command(), stdout=out, no_color=True)
        theirs = out.getvalue()
        call_command(django_migrate.Command(), "blog", "zero", verbosity=0)
    assert blog.call("migrate") == theirs


def test_nothing_pending(blog: Project) -> None:
    blog.call("migrate")
    before = dump()
    for options in ({"pre_deploy": True}, {}):
        assert section(blog.call("migrate", **options), "Running") == [
            "No migrations to apply."
        ]
        assert "No planned migration operations." in blog.call(
            "migrate", plan=True, **options
        )
        assert "deploy" not in blog.call("migrate", plan=True, **options)
        blog.call("migrate", check_unapplied=True, **options)
    assert dump() == before


def test_models_whose_changes_have_no_order(project: Project) -> None:
    """What only "makemigrations" needs is nothing to stop for."""
    models = "from django.db import models\n"
    author = "class Author(models.Model):\n    pass\n"
    tag = "class Tag(models.Model):\n    pass\n"
    book = "class Book(models.Model):\n"
    book += "    {} = models.ForeignKey(Tag, models.CASCADE)\n"
    project.app("shop", {}, models + author + tag + book.format("tag"))
    project.call("makemigrations", "shop")
    project.call("migrate")
    tag = "class Tag(Author):\n    class Meta:\n        proxy = True\n"
    changed = book.format("label").replace("CASCADE", "CASCADE, null=True")
    order = '    class Meta:\n        order_with_respect_to = "label"\n'
    project.write("shop/models.py", models + author + tag + changed + order)
    assert "'shop' have changes that are not yet reflected" in project.call("migrate")
    for arguments in (["--check"], ["--dry-run"], ["--check", "--disable-syzygy"]):
        with pytest.raises(CommandError, match="can't be put into an order") as error:
            project.call("makemigrations", *arguments)
        assert error.value.returncode == 3


def test_nothing_pending_but_what_waits(blog: Project) -> None:
    blog.call("migrate", "--pre-deploy")
    before = dump()
    out = blog.call("migrate", "--pre-deploy")
    assert section(out, "Running migrations:") == ["No migrations to apply."]
    assert len(section(out, "Postponed")) == 2
    assert dump() == before


def test_project_without_migrations(project: Project) -> None:
    out = project.call("migrate", "--pre-deploy")
    assert section(out, "Running migrations:") == ["No migrations to apply."]
    assert "Postponed" not in out
    # Not even the table of what is applied.
    assert dump() == {}


def test_first_deployment_brings_forward(project: Project) -> None:
    """Nobody uses yet what the plan creates, and later migrations need it gone."""
    project.app(
        "blog",
        {
            "0001_initial": source(CREATE),
            "0002_title": source(REMOVE),
            "0003_slug": source(ADD),
            "0004_more": source('m.RemoveField("post", "slug")'),
        },
    )
    out = project.call("migrate", "--pre-deploy")
    assert project.applied() == [
        "blog.0001_initial",
        "blog.0002_title",
        "blog.0003_slug",
    ]
    assert section(out, "Brought forward:") == [
        "blog.0002_title  post-deploy  blog.0003_slug needs it, and it touches only "
        "what this plan creates"
    ]
    assert [line.split()[0] for line in section(out, "Postponed")] == ["blog.0004_more"]


def test_what_may_run_in_either_stage_is_brought_forward(project: Project) -> None:
    index = 'm.{}("post", models.Index(fields=["body"], name="body_index"))'
    project.app(
        "blog",
        {
            "0001_initial": source(
                CREATE.replace("TextField()", "CharField(max_length=9)"),
                index.format("AddIndex"),
            )
        },
    )
    project.call("migrate")
    project.migrations(
        "blog",
        {
            "0002_index": source('m.RemoveIndex("post", "body_index")'),
            "0003_slug": source(ADD),
            "0004_index": source(index.format("AddIndex")),
            "0005_index": source('m.RemoveIndex("post", "body_index")'),
        },
    )
    out = project.call("migrate", "--pre-deploy")
    assert project.applied()[-1] == "blog.0004_index"
    assert section(out, "Brought forward:") == [
        "blog.0002_index  post-deploy  blog.0003_slug needs it, and it may run in "
        "either stage"
    ]
    assert [line.split()[0] for line in section(out, "Postponed")] == [
        "blog.0005_index"
    ]


def test_what_is_renamed_concerns_other_apps(project: Project) -> None:
    """A model that others refer to is known by its new name to their migrations."""
    project.app("blog", {"0001_initial": source(CREATE)})
    project.app(
        "shop",
        {
            "0001_initial": source(
                'm.CreateModel("Item", [("id", models.BigAutoField(primary_key=True)), '
                '("post", models.ForeignKey("blog.Post", models.CASCADE, null=True))])',
                dependencies=[("blog", "0001_initial")],
            )
        },
    )
    project.call("migrate")
    project.migrations(
        "blog",
        {"0002_entry": source('m.RenameModel("Post", "Entry")', stage='"pre_deploy"')},
    )
    project.migrations(
        "shop",
        {
            "0002_post": source(
                'm.AlterField("item", "post", models.ForeignKey('
                '"blog.Entry", models.CASCADE, null=True, help_text="An entry."))',
                dependencies=[("shop", "0001_initial"), ("blog", "0002_entry")],
            )
        },
    )
    rows = section(project.call("migrate", "--plan", "--pre-deploy"), "Stages:")
    assert [row.split("  ")[:2] for row in rows] == [
        ["blog.0002_entry", "pre-deploy"],
        ["shop.0002_post", "any"],
    ]


def test_target(blog: Project) -> None:
    blog.call("migrate", "blog", "0001", "--pre-deploy")
    assert blog.applied() == PRE[:1]
    out = blog.call("migrate", "blog", "0003", "--pre-deploy")
    assert blog.applied() == PRE
    assert [line.split()[0] for line in section(out, "Postponed")] == POST[:1]
    blog.call("migrate", "blog", "0003")
    assert blog.applied() == PRE + POST[:1]


def test_app_label(blog: Project) -> None:
    blog.app("shop", {"0001_initial": source(CREATE), "0002_title": source(REMOVE)})
    out = blog.call("migrate", "shop", "--pre-deploy")
    assert 'for a "migrate shop" without --pre-deploy' in out
    assert blog.applied() == ["shop.0001_initial"]
    assert [line.split()[0] for line in section(out, "Postponed")] == [
        "shop.0002_title"
    ]


def test_needs_in_another_app(blog: Project) -> None:
    blog.app(
        "shop",
        {
            "0001_initial": source(CREATE),
            "0002_options": source(
                STATE_ONLY,
                dependencies=[("shop", "0001_initial"), ("blog", "0004_options")],
            ),
        },
    )
    out = blog.call("migrate", "shop", "--pre-deploy")
    assert sorted(blog.applied()) == [*PRE, "shop.0001_initial"]
    assert section(out, "Postponed")[-1] == (
        "shop.0002_options  any  needs blog.0003_title"
    )


@pytest.mark.parametrize("target", ["zero", "0001"])
def test_reverting(blog: Project, target: str) -> None:
    """What was added last is undone last: the running release still uses it."""
    blog.call("migrate")
    out = blog.call("migrate", "blog", target, "--pre-deploy")
    assert blog.applied() == PRE
    assert section(out, "Running migrations:")[-2:] == [
        "Unapplying blog.0004_options... OK",
        "Unapplying blog.0003_title... OK",
    ]
    assert section(out, "Postponed")[0] == (
        "blog.0002_slug  post-deploy  undoes what is pre-deploy (inferred: Add field "
        "slug to post: the new release uses the column)"
    )
    # Nothing will "apply" them, and without the target everything would be done anew.
    (heading,) = [line for line in out.splitlines() if line.startswith("Postponed")]
    assert "applies" not in heading
    assert f'"migrate blog {target}" without --pre-deploy' in heading
    blog.call("migrate", "blog", target)
    assert blog.applied() == ([] if target == "zero" else PRE[:1])
    assert (
        blog.call("migrate", "blog", target, "--pre-deploy", check_unapplied=True) == ""
    )


# --plan and --check

PLAN = """\
Planned operations:
blog.0001_initial
    Create model Post
blog.0002_slug
    Add field slug to post
Stages:
  blog.0001_initial  pre-deploy   inferred: Create model Post
  blog.0002_slug     pre-deploy   inferred: Add field slug to post
Postponed:
  blog.0003_title    post-deploy  inferred: Remove field title from post
  blog.0004_options  any          needs blog.0003_title
"""


def shortened(plan: str) -> str:
    """Return the output without the rest of a heading and without explanations."""
    plan = re.sub(r"(?m)^Postponed.*:$", "Postponed:", plan)
    return re.sub(r"(?m)^(  .*inferred: [^:]*):.*$", r"\1", plan)


def test_plan_before_the_rollout(blog: Project) -> None:
    # Whatever the verbosity, as Django.
    for verbosity in (0, 1, 3):
        out = blog.call("migrate", "--pre-deploy", "--plan", verbosity=verbosity)
        assert shortened(out) == PLAN
    assert dump() == {}


def test_plan_of_everything(blog: Project) -> None:
    out = blog.call("migrate", "--plan")
    assert section(out, "Stages:") == [
        "blog.0001_initial  pre-deploy  inferred: Create model Post: the new release "
        "uses the table",
        "blog.0002_slug  pre-deploy  inferred: Add field slug to post: the new release "
        "uses the column",
        "blog.0003_title  post-deploy  inferred: Remove field title from post: the "
        "running release uses the column",
        "blog.0004_options  any  inferred: it changes nothing in the database",
    ]
    assert "Postponed" not in out
    assert dump() == {}


def test_plan_backwards(blog: Project) -> None:
    blog.call("migrate")
    before = dump()
    out = blog.call("migrate", "blog", "zero", "--plan")
    assert [line.split()[:2] for line in section(out, "Stages:")] == [
        ["blog.0004_options", "any"],
        ["blog.0003_title", "pre-deploy"],
        ["blog.0002_slug", "post-deploy"],
        ["blog.0001_initial", "post-deploy"],
    ]
    out = blog.call("migrate", "blog", "zero", "--plan", "--pre-deploy")
    assert "Undo Remove field title from post" in out
    assert "Undo Add field slug to post" not in out
    assert [line.split()[:2] for line in section(out, "Stages:")] == [
        ["blog.0004_options", "any"],
        ["blog.0003_title", "pre-deploy"],
    ]
    assert [line.split()[0] for line in section(out, "Postponed")] == PRE[::-1]
    assert dump() == before


def test_plan_tells_where_each_stage_comes_from(project: Project) -> None:
    project.app(
        "blog",
        {
            "0001_initial": source(CREATE),
            "0002_old": source(ADD),
            "0003_declared": source(STATE_ONLY, stage="Stage.POST_DEPLOY"),
            "0004_overridden": source(STATE_ONLY),
            "0005_fallback": source(RENAME),
        },
    )
    project.settings = {
        "MIGRATION_STAGES_BASELINE": {"blog": "0002_old"},
        "MIGRATION_STAGES_OVERRIDE": {"blog.0004_overridden": "post_deploy"},
        "MIGRATION_STAGES_FALLBACK": {"blog": Stage.POST_DEPLOY},
    }
    project.call("migrate", "blog", "0001")
    rows = section(project.call("migrate", "--plan"), "Stages:")
    names, stages, reasons = zip(*(row.split("  ") for row in rows), strict=True)
    assert names == (
        "blog.0002_old",
        "blog.0003_declared",
        "blog.0004_overridden",
        "blog.0005_fallback",
    )
    assert stages == ("any", "post-deploy", "post-deploy", "post-deploy")
    assert reasons[:3] == (
        "MIGRATION_STAGES_BASELINE",
        "declared in the migration",
        "MIGRATION_STAGES_OVERRIDE",
    )
    assert reasons[3].startswith("MIGRATION_STAGES_FALLBACK: no stage is safe for ")


def test_plan_tells_of_what_is_ambiguous(project: Project) -> None:
    """Without --pre-deploy it is no error: everything is applied."""
    project.app("blog", {"0001_initial": source(CREATE), "0002_both": source(RENAME)})
    project.call("migrate", "blog", "0001")
    rows = section(project.call("migrate", "--plan"), "Stages:")
    assert rows[0].startswith(
        'blog.0002_both  ambiguous  The stage of migration "blog.0002_both" is ambig'
    )
    project.call("migrate")
    assert project.applied() == ["blog.0001_initial", "blog.0002_both"]


def returncode(project: Project, *arguments: str) -> int:
    try:
        project.call(*arguments)
    except SystemExit as exit_:
        return int(exit_.code or 0)
    except CommandError as error:
        return error.returncode
    return 0


@pytest.mark.parametrize("extra", [[], ["--plan"]])
def test_check(blog: Project, extra: list[str]) -> None:
    check = ["migrate", "--check", *extra]
    assert returncode(blog, *check) == 1
    assert returncode(blog, *check, "--pre-deploy") == 1
    assert dump() == {}
    blog.call("migrate", "--pre-deploy")
    before = dump()
    assert returncode(blog, *check) == 1
    assert returncode(blog, *check, "--pre-deploy") == 0
    assert returncode(blog, *check, "--pre-deploy", "blog") == 0
    assert returncode(blog, *check, "--pre-deploy", "blog", "zero") == 0
    assert returncode(blog, *check, "blog", "zero") == 1
    assert dump() == before
    blog.call("migrate")
    assert returncode(blog, *check) == 0
    assert returncode(blog, *check, "--pre-deploy") == 0
    assert returncode(blog, *check, "--pre-deploy", "blog", "zero") == 1


def test_check_says_nothing_unless_it_is_asked_to(
    blog: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    blog.call("migrate", "--pre-deploy")
    assert blog.call("migrate", "--pre-deploy", "--check") == ""
    assert "Postponed" in blog.call("migrate", "--pre-deploy", "--check", "--plan")
    assert capsys.readouterr() == ("", "")


def test_check_with_plan_tells_the_stages_although_it_exits(blog: Project) -> None:
    out = StringIO()
    with pytest.raises(SystemExit):
        blog.call("migrate", "--pre-deploy", "--check", "--plan", stdout=out)
    assert shortened(out.getvalue()) == PLAN


# Everything else that the command can do


def test_fake(blog: Project) -> None:
    out = blog.call("migrate", "--pre-deploy", "--fake")
    assert section(out, "Running migrations:") == [
        "Applying blog.0001_initial... FAKED",
        "Applying blog.0002_slug... FAKED",
    ]
    assert blog.applied() == PRE
    assert "blog_post" not in dump()


def test_what_waits_is_faked_only_by_those_who_know(blog: Project) -> None:
    """It would be lost if the option were told again, as --fake-initial is."""
    told = 'for a "migrate" without --pre-deploy'
    out = blog.call("migrate", "--pre-deploy", "--fake")
    assert f"{told}, and with --fake only if it is done by then:\n" in out
    out = blog.call("migrate", "--pre-deploy", "--plan")
    assert f"{told}:\n" in out


def test_fake_initial(blog: Project) -> None:
    blog.call("migrate", "blog", "0001")
    blog.call("migrate", "blog", "zero", "--fake")
    out = blog.call("migrate", "--pre-deploy", "--fake-initial")
    assert section(out, "Running migrations:") == [
        "Applying blog.0001_initial... FAKED",
        "Applying blog.0002_slug... OK",
    ]
    assert blog.columns("blog_post") == {"id", "body", "title", "slug"}


def test_fake_initial_takes_nothing_away(overdue: Project) -> None:
    """What there was before is in use, though this plan is the first to record it."""
    overdue.call("migrate", "blog", "0001")
    overdue.call("migrate", "blog", "zero", "--fake")
    before = dump()
    arguments = ["migrate", "--pre-deploy", "--fake-initial"]
    with pytest.raises(CommandError, match="has to run before the rollout") as raised:
        overdue.call(*arguments)
    assert dump() == before
    out = overdue.call("migrate", "--plan", "--fake-initial")
    assert lines("\n".join(section(out, "Stages:")))[0] == (
        "blog.0001_initial  any  --fake-initial: the database has what it creates"
    )
    # The way out that is told is one.
    command, *_ = re.findall("manage.py (.*)", str(raised.value))
    overdue.call(*command.split())
    overdue.call(*arguments)
    assert overdue.applied()[-1] == "blog.0006_more"


def test_fake_initial_is_told_again_for_what_waits(blog: Project) -> None:
    blog.app("shop", {"0001_initial": source(CREATE)})
    blog.call("migrate", "shop")
    blog.call("migrate", "shop", "zero", "--fake")
    blog.call("migrate", "blog", "0002")
    late = source(CREATE, dependencies=[("blog", "0003_title")])
    blog.migrations("shop", {"0001_initial": late})
    out = blog.call("migrate", "--pre-deploy", "--fake-initial")
    assert [line.split()[0] for line in section(out, "Postponed")] == [
        *POST,
        "shop.0001_initial",
    ]
    # Without it the table would be there already.
    [command] = re.findall('for a "(.*)" without --pre-deploy', out)
    blog.call(*command.split())
    assert blog.applied()[-1] == "shop.0001_initial"


def test_fake_initial_in_an_empty_database(project: Project) -> None:
    """Nobody looks for the columns of a table that is yet to be created."""
    project.app(
        "blog",
        {
            "0001_initial": source(CREATE, initial="True"),
            "0002_initial": source(ADD, initial="True"),
            "0003_title": source(REMOVE),
            "0004_more": source(ADD_MORE),
        },
    )
    out = project.call("migrate", "--pre-deploy", "--fake-initial")
    assert [line.split()[0] for line in section(out, "Brought forward:")] == [
        "blog.0003_title"
    ]


def test_prune(blog: Project) -> None:
    blog.call("migrate", "--pre-deploy")
    (blog.path / "blog/migrations/0002_slug.py").unlink()
    (blog.path / "blog/migrations/0003_title.py").unlink()
    (blog.path / "blog/migrations/0004_options.py").unlink()
    out = blog.call("migrate", "blog", "--prune", "--pre-deploy")
    assert section(out, "Pruning migrations:") == ["Pruning blog.0002_slug OK"]
    assert "Postponed" not in out
    assert blog.applied() == PRE[:1]


def test_prune_with_a_check_or_a_plan(blog: Project) -> None:
    """Those tell of what runs before the rollout, as they do without it."""
    blog.call("migrate", "--pre-deploy")
    prune = ["migrate", "blog", "--prune"]
    assert returncode(blog, *prune, "--check") == 1
    assert returncode(blog, *prune, "--check", "--pre-deploy") == 0
    out = blog.call(*prune, "--plan", "--pre-deploy")
    assert "No planned migration operations." in out
    assert [line.split()[0] for line in section(out, "Postponed")] == POST


def test_prune_beside_a_plan_that_is_ambiguous(overdue: Project) -> None:
    """Nothing of the plan is applied, so an error after the work would be in vain."""
    for name in ("0001_initial", "0002_slug"):
        (overdue.path / f"blog/migrations/{name}.py").unlink()
    (overdue.path / "blog/migrations/0003_first.py").write_text(
        source(CREATE).text(None)
    )
    overdue.call("migrate", "blog", prune=True, pre_deploy=True)
    assert overdue.applied() == ["blog.0003_first"]


def test_run_syncdb(blog: Project) -> None:
    blog.app(
        "plain",
        models="from django.db import models\nclass Note(models.Model):\n    pass\n",
    )
    out = blog.call("migrate", "--pre-deploy", "--run-syncdb")
    assert "Creating table plain_note" in out
    assert "plain_note" in dump()
    assert blog.applied() == PRE
    assert "No migrations to apply." in blog.call(
        "migrate", "plain", "--pre-deploy", "--run-syncdb"
    )


def test_verbosity(blog: Project) -> None:
    with blog.active():
        for verbosity, in_output in ((0, []), (1, ["Postponed"]), (2, ["s)"]), (3, [])):
            out = StringIO()
            call_command("migrate", pre_deploy=True, verbosity=verbosity, stdout=out)
            assert bool(out.getvalue()) is (verbosity > 0)
            assert all(text in out.getvalue() for text in in_output)
            call_command("migrate", "blog", "zero", verbosity=0)


def test_the_stages_fit_the_terminal(
    blog: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    def stages(out: StringIO) -> str:
        with blog.active():
            options = {"pre_deploy": True, "plan": True, "no_color": True}
            call_command("migrate", stdout=out, **options)
        return out.getvalue().partition("Stages:")[2]

    logged = stages(StringIO())
    monkeypatch.setenv("COLUMNS", "80")
    narrow = stages(Terminal())
    assert max(map(len, logged.splitlines())) > 80
    assert max(map(len, narrow.splitlines())) <= 80
    assert logged.split() == narrow.split()
    monkeypatch.setenv("COLUMNS", "300")
    assert stages(Terminal()) == logged


def test_colours_are_django_s(blog: Project) -> None:
    out = blog.call("migrate", "--pre-deploy", no_color=False, force_color=True)
    assert "\x1b[" in out
    assert "\x1b[" not in blog.call("migrate", "--pre-deploy")


def test_options_by_name(blog: Project) -> None:
    blog.call("migrate", pre_deploy=False)
    assert blog.applied() == PRE + POST
    with pytest.raises(TypeError, match="predeploy"):
        blog.call("migrate", predeploy=True)


def test_options_that_only_django_s_command_has(blog: Project) -> None:
    """Code that runs the command by hand may know nothing of another option."""
    from syzygy.management.commands.migrate import Command

    options = {
        "database": "default",
        "verbosity": 0,
        "interactive": False,
        "skip_checks": True,
        "app_label": None,
        "migration_name": None,
        "run_syncdb": False,
        "prune": False,
        "plan": False,
        "check_unapplied": False,
        "fake": False,
        "fake_initial": False,
    }
    with blog.active():
        Command(stdout=StringIO()).handle(**options)
    assert blog.applied() == PRE + POST


def test_checks_run_before_the_command(blog: Project) -> None:
    blog.settings["MIGRATION_STAGES_OVERRIDE"] = {"blog": "sometime"}
    result = blog.manage("migrate", "--pre-deploy")
    assert result.returncode == 1
    assert "SystemCheckError" in result.stderr
    assert "(syzygy.E002)" in result.stderr
    assert dump() == {}


BOTH = source(ADD_MORE, 'm.RemoveField("post", "body")')


@pytest.fixture
def ambiguous(blog: Project) -> Project:
    """Return a deployed project with a new migration that has no stage."""
    blog.call("migrate", verbosity=0)
    blog.migrations("blog", {"0005_both": BOTH})
    return blog


@pytest.mark.parametrize("arguments", [["--pre-deploy"], [], ["--plan"]])
def test_ambiguous_migration_that_is_planned(
    ambiguous: Project, arguments: list[str]
) -> None:
    before = dump()
    result = ambiguous.manage("migrate", *arguments)
    assert result.returncode == 1
    assert "SystemCheckError" in result.stderr
    assert result.stderr.count("(syzygy.E001)") == 1
    # What isn't applied here is hardly history that is deployed everywhere.
    assert "MIGRATION_STAGES_BASELINE" not in result.stderr
    assert dump() == before


def test_ambiguous_migration_that_is_undone(ambiguous: Project) -> None:
    assert ambiguous.manage("migrate", "--skip-checks").returncode == 0
    target = ["blog", "0004"]
    result = ambiguous.manage("migrate", *target, "--pre-deploy")
    assert result.returncode == 1
    assert "(syzygy.E001)" in result.stderr
    # Without the option nothing depends on the stage.
    assert ambiguous.manage("migrate", *target).returncode == 0


def test_ambiguous_migration_that_is_silenced(ambiguous: Project) -> None:
    ambiguous.settings["SILENCED_SYSTEM_CHECKS"] = ["syzygy.E001"]
    result = ambiguous.manage("migrate", "--pre-deploy")
    assert result.returncode == 1
    assert result.stderr.startswith("CommandError: The stage of migration ")
    assert ambiguous.manage("migrate").returncode == 0


def test_ambiguous_migration_that_is_applied(ambiguous: Project) -> None:
    assert ambiguous.manage("migrate", "--skip-checks").returncode == 0
    ambiguous.migrations("blog", {"0006_more": source(STATE_ONLY)})
    assert ambiguous.manage("migrate", "--pre-deploy").returncode == 0
    # It is for the check to tell.
    assert "(syzygy.E001)" in ambiguous.manage("check").stderr
    ambiguous.migrations("blog", {"0007_renamed": source(RENAME)})
    told = ambiguous.manage("migrate", "--pre-deploy").stderr
    assert "blog.0007_renamed" in told
    assert "blog.0005_both" not in told


# Several databases

ROUTER = """
class Router:
    def allow_migrate(self, db, app_label, **hints):
        return (app_label == "shop") is (db == "other")
"""


def test_each_database_has_a_plan_of_its_own(blog: Project) -> None:
    out = blog.call("migrate", "--pre-deploy", "--database", "other")
    assert 'for a "migrate --database other" without --pre-deploy' in out
    assert (blog.applied("default"), blog.applied("other")) == ([], PRE)
    blog.call("migrate", "--database", "other")
    plans = {
        alias: section(
            blog.call("migrate", "--plan", "--pre-deploy", database=alias), "Stages:"
        )
        for alias in ("default", "other")
    }
    assert len(plans["default"]) == 2
    assert plans["other"] == []
    assert returncode(blog, "migrate", "--check", "--pre-deploy") == 1
    assert (
        returncode(blog, "migrate", "--check", "--pre-deploy", "--database", "other")
        == 0
    )


def test_routers_change_no_stage(blog: Project) -> None:
    """A migration whose operations a router keeps off is recorded all the same."""
    blog.write("routers.py", ROUTER)
    blog.app("shop", {"0001_initial": source(CREATE), "0002_title": source(REMOVE)})
    blog.settings["DATABASE_ROUTERS"] = ["routers.Router"]
    stages = {
        alias: section(blog.call("migrate", "--plan", database=alias), "Stages:")
        for alias in ("default", "other")
    }
    assert stages["default"] == stages["other"] != []
    for alias, table in (("default", "blog_post"), ("other", "shop_post")):
        blog.call("migrate", "--pre-deploy", database=alias)
        assert set(blog.applied(alias)) == {*PRE, "shop.0001_initial"}
        assert set(dump(alias)) == {"django_migrations", table}
        assert "title" in blog.columns(table, alias)
        blog.call("migrate", database=alias)
        assert "title" not in blog.columns(table, alias)


# Signals


@contextmanager
def received(label: str) -> Iterator[list[tuple[str, list[str], set[str]]]]:
    """Yield what is told to receivers: when, the plan, the models' fields."""
    told = []

    def receive(when: str, kwargs: dict[str, Any]) -> None:
        models = kwargs["apps"].get_models()
        fields = {field.name for model in models for field in model._meta.fields}
        told.append((when, [str(migration) for migration, _ in kwargs["plan"]], fields))

    def before(**kwargs: Any) -> None:
        receive("before", kwargs)

    def after(**kwargs: Any) -> None:
        receive("after", kwargs)

    sender = apps.get_app_config(label)
    pre_migrate.connect(before, sender=sender)
    post_migrate.connect(after, sender=sender)
    try:
        yield told
    finally:
        pre_migrate.disconnect(before, sender=sender)
        post_migrate.disconnect(after, sender=sender)


def test_signals_are_sent_and_know_the_plan(blog: Project) -> None:
    with blog.active(), received("blog") as told:
        call_command("migrate", pre_deploy=True, verbosity=0)
        call_command("migrate", verbosity=0)
        call_command("migrate", pre_deploy=True, plan=True, stdout=StringIO())
    assert [when for when, _, _ in told] == ["before", "after"] * 2
    assert [plan for _, plan, _ in told] == [PRE, PRE, POST, POST]
    state = told[1][2]
    # Django's: the state of the database, with the models that the code has.
    assert {"body", "slug"} <= state


# What can't be decided


def test_ambiguous_plan_leaves_the_database_alone(overdue: Project) -> None:
    before = dump()
    with pytest.raises(CommandError) as caught:
        overdue.call("migrate", "--pre-deploy")
    assert caught.value.returncode == 1
    assert isinstance(caught.value.__cause__, AmbiguousPlan)
    assert str(caught.value) == (
        'Migration "blog.0006_more" has to run before the rollout (inferred: Add '
        "field more to post: the new release uses the column), but it needs "
        '"blog.0004_title" to run first, which has to wait until after the rollout '
        "(inferred: Remove field title from post: the running release uses the "
        'column). It needs "blog.0004_title" through "blog.0005_options".\n'
        "If all that has to wait came with releases that are rolled out everywhere by "
        "now, it is overdue; if no release runs on this database yet, because its "
        "first deployment stopped midway, nothing has to wait. In either case apply it "
        "first:\n    python manage.py migrate blog 0004_title\n"
        "If neither is so, deploy the releases that it came with before this one.\n"
        "If no running release uses what has to wait, it needn't; put into the "
        "settings:\n"
        '    MIGRATION_STAGES_OVERRIDE = {"blog.0004_title": "pre_deploy"}'
    )
    for extra in ({"plan": True}, {"check_unapplied": True}, {"fake": True}):
        with pytest.raises(CommandError, match="has to run before the rollout"):
            overdue.call("migrate", pre_deploy=True, **extra)
    assert dump() == before


def test_ambiguous_plan_in_a_process(overdue: Project) -> None:
    before = dump()
    result = overdue.manage("migrate", "--pre-deploy")
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith('CommandError: Migration "blog.0006_more" has to ')
    assert "Traceback" not in result.stderr
    assert dump() == before


def test_first_way_out_of_an_ambiguous_plan(overdue: Project) -> None:
    with pytest.raises(CommandError) as caught:
        overdue.call("migrate", "--pre-deploy")
    run_commands(overdue, caught.value)
    overdue.call("migrate", "--pre-deploy")
    assert overdue.applied()[-1] == "blog.0006_more"


def run_commands(project: Project, error: CommandError) -> None:
    """Run each command that a message has."""
    commands = re.findall(r"^    python manage\.py (.*)$", str(error), re.MULTILINE)
    assert commands
    for command in commands:
        project.call(*command.split())


@pytest.mark.parametrize(
    "end", ["1 / 0", "os.kill(os.getpid(), signal.SIGKILL)"], ids=["raised", "killed"]
)
def test_first_way_out_of_a_first_deployment_that_stopped_midway(
    project: Project, end: str
) -> None:
    """What is applied may as well be an earlier release's, so that nobody guesses."""
    hooked(project, f"import os, signal\n\ndef run(apps, editor):\n    {end}\n")
    remove = source('m.RemoveField("post", "body")')
    project.migrations("blog", {"0004_more": source(ADD_MORE), "0005_body": remove})
    assert project.manage("migrate", "--pre-deploy").returncode in {1, -SIGKILL}
    assert project.applied() == ["blog.0001_initial"]
    project.write("hooks.py", "def run(apps, editor):\n    pass\n")
    with pytest.raises(CommandError, match="its first deployment stopped") as caught:
        project.call("migrate", "--pre-deploy")
    run_commands(project, caught.value)
    out = project.call("migrate", "--pre-deploy")
    assert project.applied()[-1] == "blog.0004_more"
    assert [line.split()[0] for line in section(out, "Postponed")] == ["blog.0005_body"]


@pytest.mark.parametrize("existing", [{}, {"blog.0002_slug": "pre_deploy"}])
def test_last_way_out_of_an_ambiguous_plan(
    overdue: Project, existing: dict[str, str]
) -> None:
    if existing:
        overdue.settings["MIGRATION_STAGES_OVERRIDE"] = existing
    with pytest.raises(CommandError) as caught:
        overdue.call("migrate", "--pre-deploy")
    exec(str(caught.value).splitlines()[-1].strip(), overdue.settings)
    del overdue.settings["__builtins__"]
    overdue.call("migrate", "--pre-deploy")
    assert overdue.applied()[-1] == "blog.0006_more"


def test_ways_out_of_an_ambiguous_revert(overdue: Project) -> None:
    overdue.call("migrate")
    before = dump()
    with pytest.raises(
        CommandError, match="has to be undone before the rollout"
    ) as caught:
        overdue.call("migrate", "blog", "0003", "--pre-deploy")
    assert dump() == before
    # One: roll back in two deployments.
    run_commands(overdue, caught.value)
    assert overdue.applied()[-1] == "blog.0004_title"
    overdue.call("migrate", "blog", "0003", "--pre-deploy")
    assert overdue.applied()[-1] == "blog.0003_first"
    # The other: say that nobody uses it.
    overdue.call("migrate")
    exec(str(caught.value).splitlines()[-1].strip(), overdue.settings)
    del overdue.settings["__builtins__"]
    overdue.call("migrate", "blog", "0003", "--pre-deploy")
    assert overdue.applied()[-1] == "blog.0003_first"


def test_several_conflicts_are_told_at_once(overdue: Project) -> None:
    overdue.migrations(
        "blog",
        {
            "0007_body": source('m.RemoveField("post", "body")'),
            "0008_last": source(
                'm.AddField("post", "last", models.IntegerField(null=True))'
            ),
        },
    )
    with pytest.raises(CommandError) as caught:
        overdue.call("migrate", "--pre-deploy")
    assert 'Likewise "blog.0008_last" needs "blog.0007_body".' in str(caught.value)
    exec(str(caught.value).splitlines()[-1].strip(), overdue.settings)
    del overdue.settings["__builtins__"]
    overdue.call("migrate", "--pre-deploy")
    assert overdue.applied()[-1] == "blog.0008_last"


def test_the_commands_that_are_offered_resolve_all_conflicts(overdue: Project) -> None:
    overdue.migrations(
        "blog",
        {
            "0007_body": source('m.RemoveField("post", "body")'),
            "0008_last": source(
                'm.AddField("post", "last", models.IntegerField(null=True))'
            ),
        },
    )
    with pytest.raises(CommandError) as caught:
        overdue.call("migrate", "--pre-deploy")
    run_commands(overdue, caught.value)
    overdue.call("migrate", "--pre-deploy")
    assert overdue.applied()[-1] == "blog.0008_last"


def test_ambiguous_stage_leaves_the_database_alone(project: Project) -> None:
    project.app("blog", {"0001_initial": source(CREATE), "0002_text": source(RENAME)})
    project.call("migrate", "blog", "0001")
    before = dump()
    with pytest.raises(CommandError) as caught:
        project.call("migrate", "--pre-deploy")
    assert isinstance(caught.value.__cause__, AmbiguousStage)
    assert str(caught.value).startswith(
        'The stage of migration "blog.0002_text" is ambiguous: no stage is safe for '
    )
    assert dump() == before
    exec(str(caught.value).splitlines()[-1].strip(), project.settings)
    del project.settings["__builtins__"]
    project.call("migrate", "--pre-deploy")
    assert "text" in project.columns("blog_post")


def test_ambiguous_stage_that_is_not_planned_is_no_obstacle(project: Project) -> None:
    project.app("blog", {"0001_initial": source(CREATE), "0002_text": source(RENAME)})
    project.call("migrate", "blog", "0001", "--pre-deploy")
    project.call("migrate")
    assert "No migrations" in project.call("migrate", "--pre-deploy")


def test_settings_that_make_no_sense(blog: Project) -> None:
    blog.settings["MIGRATION_STAGES_OVERRIDE"] = {"blog": "pre"}
    for options in ({"pre_deploy": True}, {"plan": True}):
        with pytest.raises(CommandError, match='"MIGRATION_STAGES_OVERRIDE" has \'pre'):
            blog.call("migrate", **options)
    assert dump() == {}


def test_merged_and_squashed_histories(project: Project) -> None:
    root = [("blog", "0001_initial")]
    project.app(
        "blog",
        {
            "0001_initial": source(CREATE),
            "0002_slug": source(ADD, dependencies=root),
            "0002_title": source(REMOVE, dependencies=root),
            "0003_merge": source(
                dependencies=[("blog", "0002_slug"), ("blog", "0002_title")]
            ),
        },
    )
    project.call("migrate", "blog", "0001")
    out = project.call("migrate", "--pre-deploy")
    assert project.applied() == ["blog.0001_initial", "blog.0002_slug"]
    assert [line.split()[0] for line in section(out, "Postponed")] == [
        "blog.0002_title",
        "blog.0003_merge",
    ]
    replaces = '[("blog", "0001_initial"), ("blog", "0002_slug")]'
    # Partly applied, a squashed migration stands aside.
    project.migrations(
        "blog",
        {"0001_squashed_0002": source(CREATE, ADD, dependencies=[], replaces=replaces)},
    )
    project.call("migrate", "--pre-deploy")
    assert project.applied()[-1] == "blog.0001_squashed_0002"
    project.call("migrate")
    assert set(project.applied()) >= {"blog.0002_title", "blog.0003_merge"}


HISTORY = {
    "0001_initial": source(CREATE, dependencies=[]),
    "0002_slug": source(ADD),
    "0003_more": source(ADD_MORE),
}


@pytest.fixture
def stranded(project: Project) -> Project:
    """Make a project whose database missed the release with all of the files."""
    project.app("blog", HISTORY)
    project.call("migrate", "blog", "0001")
    replaces = repr([("blog", name) for name in HISTORY])
    squashed = source(CREATE, ADD, ADD_MORE, dependencies=[], replaces=replaces)
    project.migrations("blog", {"0001_squashed": squashed})
    for name in HISTORY:
        (project.path / f"blog/migrations/{name}.py").unlink()
    return project


def test_a_squashed_migration_that_nothing_can_stand_in_for(stranded: Project) -> None:
    """Django plans neither it nor what it replaces, and says that nothing is left."""
    before = dump()
    stage = ["migrate", "--pre-deploy"]
    commands = [*([*stage, each] for each in ("--plan", "--check")), stage]
    for command in (*commands, ["check_migrations"], ["rehearse"]):
        result = stranded.manage(*command)
        code = 2 if "check_migrations" in command else 1
        assert (result.returncode, result.stdout) == (code, ""), command
        assert result.stderr.startswith(
            'CommandError: The squashed migration "blog.0001_squashed" is left out: '
            "some of those that it replaces are applied, but not "
            '"blog.0002_slug", "blog.0003_more", and '
        )
    assert dump() == before
    assert "No migrations to apply" in stranded.call("migrate")
    # The way out.
    squashed = (stranded.path / "blog/migrations/0001_squashed.py").read_text()
    stranded.migrations("blog", HISTORY)
    stranded.call("migrate")
    for name in HISTORY:
        (stranded.path / f"blog/migrations/{name}.py").unlink()
    stranded.migrations("blog", {"0001_squashed": squashed})
    assert "No migrations to apply" in stranded.call("migrate", "--pre-deploy")


def test_a_squashed_migration_is_no_obstacle_to_a_roll_back(stranded: Project) -> None:
    stranded.app("shop", {"0001_initial": source(CREATE), "0002_title": source(REMOVE)})
    stranded.call("migrate", "shop")
    stranded.call("migrate", "shop", "0001", "--pre-deploy")
    assert stranded.applied()[-1] == "shop.0001_initial"


# Nothing is left behind, whatever happens


def executor_in_use() -> type[MigrationExecutor]:
    """Return what Django's command makes its executors of."""
    cls: type[MigrationExecutor] = vars(django_migrate)["MigrationExecutor"]
    return cls


def hooked(project: Project, code: str) -> Project:
    """Have the second of three migrations run that code."""
    project.app(
        "blog",
        {
            "0001_initial": source(CREATE),
            "0002_hook": source(HOOK, atomic="False"),
            "0003_title": source(REMOVE),
        },
    )
    project.write("hooks.py", code)
    return project


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    before = (executor_in_use(), dict(vars(MigrationExecutor)))
    assert before[0] is MigrationExecutor
    yield
    assert (executor_in_use(), dict(vars(MigrationExecutor))) == before


@pytest.mark.parametrize(
    "exception",
    [
        SystemExit,
        KeyboardInterrupt,
        GeneratorExit,
        ValueError,
        CommandError,
        DatabaseError,
        RecursionError,
    ],
)
@pytest.mark.parametrize("options", [{"pre_deploy": True}, {}])
def test_nothing_is_left_behind_by_a_migration_that_fails(
    project: Project, exception: type[BaseException], options: dict[str, Any]
) -> None:
    import builtins

    name = exception.__name__
    origin = "builtins" if hasattr(builtins, name) else exception.__module__
    hooked(
        project,
        f"from {origin} import {name}\n"
        "def run(apps, editor):\n"
        f"    raise {name}('stop')\n",
    )
    # The exception itself: Django's users know what to make of it.
    with pytest.raises(exception, match="stop"):
        project.call("migrate", **options)
    assert project.applied() == ["blog.0001_initial"]
    assert executor_in_use() is MigrationExecutor


def test_what_fails_says_nothing_of_what_was_to_come(project: Project) -> None:
    """Least of all that it was brought forward."""
    hooked(project, "def run(apps, editor):\n    1 / 0\n")
    project.migrations("blog", {"0004_more": source(ADD_MORE)})
    result = project.manage("migrate", "--pre-deploy")
    assert result.returncode == 1
    assert "ZeroDivisionError" in result.stderr
    assert result.stdout.endswith("Applying blog.0002_hook...")


def test_nothing_is_left_behind_by_a_receiver_that_fails(blog: Project) -> None:
    def fail(**kwargs: Any) -> None:
        raise ZeroDivisionError

    with blog.active():
        sender = apps.get_app_config("blog")
        pre_migrate.connect(fail, sender=sender)
        try:
            with pytest.raises(ZeroDivisionError):
                call_command("migrate", pre_deploy=True, verbosity=0)
        finally:
            pre_migrate.disconnect(fail, sender=sender)
    assert blog.applied() == []


def test_nothing_is_left_behind_by_an_output_that_fails(blog: Project) -> None:
    class Closed(StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        blog.call("migrate", "--pre-deploy", stdout=Closed())
    assert dump() == {}


NESTED = """
from io import StringIO
from django.core.management import call_command
from django.core.management.commands.migrate import Command

def run(apps, editor):
    call_command({command}, database="other", verbosity=0)
"""


@pytest.mark.parametrize("command", ['"migrate"', "Command()"])
def test_a_migration_that_migrates_another_database(
    project: Project, command: str
) -> None:
    """It asks for everything, and gets it, whoever calls."""
    code = NESTED.format(command=command).replace(
        "    call_command",
        "    if editor.connection.alias == 'other': return\n    call_command",
    )
    hooked(project, code)
    out = project.call("migrate", "--pre-deploy")
    assert project.applied("default") == ["blog.0001_initial", "blog.0002_hook"]
    assert project.applied("other")[-1] == "blog.0003_title"
    # What the outer command tells is its own.
    assert [line.split()[0] for line in section(out, "Postponed")] == [
        "blog.0003_title"
    ]


def test_a_migration_that_migrates_another_database_before_its_rollout(
    project: Project,
) -> None:
    code = NESTED.format(command='"migrate", pre_deploy=True').replace(
        "    call_command",
        "    if editor.connection.alias == 'other': return\n    call_command",
    )
    hooked(project, code)
    project.call("migrate")
    assert project.applied("default")[-1] == "blog.0003_title"
    assert project.applied("other")[-1] == "blog.0002_hook"


def test_executors_of_others_keep_their_plans(project: Project) -> None:
    """Code that looks at plans while the command runs sees them whole."""
    hooked(
        project,
        "from django.core.management.commands import migrate\n"
        "from django.db.migrations.executor import MigrationExecutor\n"
        "seen = []\n"
        "def run(apps, editor):\n"
        "    for executor_class in (MigrationExecutor, migrate.MigrationExecutor):\n"
        "        executor = executor_class(editor.connection)\n"
        "        targets = executor.loader.graph.leaf_nodes()\n"
        "        seen.append([str(m) for m, _ in executor.migration_plan(targets)])\n",
    )
    with project.active():
        call_command("migrate", pre_deploy=True, verbosity=0)
        seen = importlib.import_module("hooks").seen
    assert seen == [["blog.0002_hook", "blog.0003_title"]] * 2


def test_two_threads_at_once(project: Project) -> None:
    """One with --pre-deploy, one without, on a database each."""
    hooked(
        project,
        "import threading\n"
        "barrier = threading.Barrier(2, timeout=60)\n"
        "def run(apps, editor):\n"
        "    barrier.wait()\n",
    )
    errors: list[BaseException] = []

    def migrate(**options: Any) -> None:
        try:
            call_command("migrate", verbosity=0, **options)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)
        finally:
            connections.close_all()

    with project.active():
        threads = [
            threading.Thread(target=migrate, kwargs=options)
            for options in (
                {"pre_deploy": True, "database": "default"},
                {"database": "other"},
            )
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
    assert project.applied("default")[-1] == "blog.0002_hook"
    assert project.applied("other")[-1] == "blog.0003_title"


def test_somebody_else_s_executor_is_kept(
    blog: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As found, so is it left; and it is used meanwhile."""
    made = []

    class Theirs(MigrationExecutor):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            made.append(self)
            super().__init__(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(django_migrate, "MigrationExecutor", Theirs)
        blog.call("migrate", "--pre-deploy")
        assert executor_in_use() is Theirs
    assert blog.applied() == PRE
    assert len(made) == 1


def test_somebody_else_s_function_in_place_of_the_executor(
    blog: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests of other packages do that."""
    made = []

    def theirs(*args: Any, **kwargs: Any) -> MigrationExecutor:
        made.append(args)
        return MigrationExecutor(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(django_migrate, "MigrationExecutor", theirs)
        try:
            blog.call("migrate", "--pre-deploy")
        except CommandError:
            # To refuse is well, too; what isn't is to apply everything.
            assert blog.applied() == []
        else:
            assert made
            assert blog.applied() == PRE
        assert executor_in_use() is theirs


def test_somebody_else_s_executor_put_there_meanwhile(project: Project) -> None:
    """It is theirs to take away again."""
    hooked(
        project,
        "from django.core.management.commands import migrate\n"
        "def run(apps, editor):\n"
        "    class Theirs(migrate.MigrationExecutor):\n"
        "        found = migrate.MigrationExecutor\n"
        "    migrate.MigrationExecutor = Theirs\n",
    )
    try:
        project.call("migrate", "--pre-deploy")
        assert executor_in_use().__name__ == "Theirs"
        assert project.applied()[-1] == "blog.0002_hook"
        # It goes on working while it is there.
        project.call("migrate", "blog", "zero", verbosity=0)
        project.call("migrate", "blog", "0001", pre_deploy=True)
        project.migrations("blog", {"0004_more": source(STATE_ONLY)})
        assert project.applied() == ["blog.0001_initial"]
        project.call("migrate", pre_deploy=True, plan=True)
    finally:
        setattr(django_migrate, "MigrationExecutor", MigrationExecutor)  # noqa: B010


@pytest.mark.parametrize("method", ["__init__", "migration_plan", "migrate"])
def test_somebody_else_s_method_put_there_meanwhile(
    project: Project, method: str
) -> None:
    """What wraps our wrapper is theirs to take away, and finds Django's below."""
    hooked(
        project,
        "from django.db.migrations.executor import MigrationExecutor\n"
        f"found = MigrationExecutor.{method}\n"
        "def theirs(*args, **kwargs):\n"
        "    return found(*args, **kwargs)\n"
        "def run(apps, editor):\n"
        f"    MigrationExecutor.{method} = theirs\n",
    )
    original = vars(MigrationExecutor)[method]
    try:
        project.call("migrate", "--pre-deploy")
        assert vars(MigrationExecutor)[method].__name__ == "theirs"
        assert project.applied()[-1] == "blog.0002_hook"
        out = project.call("migrate", "--pre-deploy")
        assert out.count("blog.0003_title") == 1
        assert project.applied()[-1] == "blog.0002_hook"
        project.call("migrate")
        assert project.applied()[-1] == "blog.0003_title"
    finally:
        setattr(MigrationExecutor, method, original)


@pytest.mark.parametrize("fails", [False, True])
def test_a_command_that_is_done_stages_nothing(project: Project, fails: bool) -> None:
    """Not even while another thread's command goes on."""
    hooked(
        project,
        "import threading\n"
        "started, ended = threading.Event(), threading.Event()\n"
        "def run(apps, editor):\n"
        "    if editor.connection.alias == 'other':\n"
        "        started.set()\n"
        "        assert ended.wait(60)\n"
        f"    elif {fails}:\n"
        "        raise ZeroDivisionError\n",
    )

    def migrate() -> None:
        try:
            call_command("migrate", verbosity=0, pre_deploy=True, database="other")
        finally:
            connections.close_all()

    with project.active():
        hooks = importlib.import_module("hooks")
        with pytest.raises(ZeroDivisionError) if fails else nullcontext():
            call_command("migrate", verbosity=0, pre_deploy=True)
        thread = threading.Thread(target=migrate)
        thread.start()
        try:
            assert hooks.started.wait(60)
            executor = MigrationExecutor(connections["default"])
            plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        finally:
            hooks.ended.set()
            thread.join()
    assert str(plan[-1][0]) == "blog.0003_title"


def test_the_command_is_reentrant(project: Project) -> None:
    """Nested as deep as there are databases, each level goes on where it was."""
    hooked(
        project,
        "from django.core.management import call_command\n"
        "def run(apps, editor):\n"
        "    if editor.connection.alias == 'default':\n"
        "        call_command('migrate', pre_deploy=True, database='other',\n"
        "                     verbosity=0)\n"
        "        call_command('migrate', plan=True, database='other', verbosity=0)\n",
    )
    project.call("migrate", "--pre-deploy")
    assert project.applied("default") == project.applied("other")
    assert project.applied()[-1] == "blog.0002_hook"


def test_nothing_stays_in_sys_modules_of_a_test(blog: Project) -> None:
    """The helper of these tests is sound."""
    blog.call("migrate", "--pre-deploy")
    assert not [name for name in sys.modules if name.startswith("blog")]
