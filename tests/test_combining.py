"""Another app that overrides ``migrate``, too."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import pytest
from django.core.management import CommandError, call_command
from django.core.management.commands import migrate as django_migrate
from django.db.migrations import executor as django_executor
from django.db.migrations.executor import MigrationExecutor

from tests.command_helpers import (
    ADD,
    CREATE,
    HOOK,
    REMOVE,
    Project,
    dump,
    source,
)

pytest_plugins = ["tests.command_fixtures"]

PRE, ALL = (
    ["blog.0001_initial", "blog.0002_slug"],
    ["blog.0001_initial", "blog.0002_slug", "blog.0003_title"],
)

# What such an app does: something of its own, and what Django's does.
SIGNING = """
from django.core.management.commands.migrate import Command as MigrateCommand

class Command(MigrateCommand):
    def add_arguments(self, parser):
        super().add_arguments(parser)
        parser.add_argument("--sign", default="nobody")

    def handle(self, *args, **options):
        self.stdout.write(f"Signed by {options['sign']}.")
        return super().handle(*args, **options)
"""
# The four lines that the documentation has.
GLUE = """
from ops.management.commands import migrate as other
from syzygy.management.mixins import MigrateMixin

class Command(MigrateMixin, other.Command):
    pass
"""


@pytest.fixture
def blog(project: Project) -> Project:
    """Make a project in which the app "ops" overrides ``migrate``."""
    project.app(
        "blog",
        {
            "0001_initial": source(CREATE),
            "0002_slug": source(ADD),
            "0003_title": source(REMOVE),
        },
    )
    project.app("ops")
    project.app("glue")
    override(project, "ops", SIGNING)
    return project


def override(project: Project, app: str, code: str) -> None:
    project.write(f"{app}/management/commands/migrate.py", code)


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    def look() -> tuple[object, ...]:
        return (
            vars(django_migrate)["MigrationExecutor"],
            django_executor.MigrationExecutor,
            dict(vars(MigrationExecutor)),
        )

    before = look()
    yield
    assert look() == before


# In whatever order


@pytest.mark.parametrize(
    "order",
    [
        ["glue", "ops", "syzygy", "blog"],
        ["glue", "syzygy", "ops", "blog"],
        ["blog", "glue", "syzygy", "ops"],
    ],
)
def test_combined_by_four_lines(blog: Project, order: list[str]) -> None:
    override(blog, "glue", GLUE)
    blog.installed = order
    out = blog.call("migrate", "--pre-deploy", "--sign", "me")
    assert "Signed by me." in out
    assert "Postponed" in out
    assert blog.applied() == PRE
    out = blog.call("migrate", sign="you")
    assert "Signed by you." in out
    assert blog.applied() == ALL


@pytest.mark.parametrize("bases", ["other.Command, MigrateMixin", "Both"])
def test_combined_in_other_ways(blog: Project, bases: str) -> None:
    """The mixin after the other class, or in two steps."""
    code = GLUE.replace("MigrateMixin, other.Command", bases)
    if bases == "Both":
        code = code.replace(
            "class Command",
            "class Both(MigrateMixin, other.Command): pass\nclass Command",
        )
    else:
        # Then Django's has to come last.
        override(
            blog,
            "ops",
            SIGNING.replace("(MigrateCommand)", "").replace(
                "class Command",
                "from django.core.management import BaseCommand\n"
                "class Command(BaseCommand)",
            ),
        )
        code = (
            "from django.core.management.commands.migrate import Command as Base\n"
            + code.replace(bases, f"{bases}, Base")
        )
    override(blog, "glue", code)
    blog.installed = ["glue", "ops", "syzygy", "blog"]
    assert "Signed by me." in blog.call("migrate", "--pre-deploy", "--sign", "me")
    assert blog.applied() == PRE


def test_first_in_installed_apps_without_being_combined(blog: Project) -> None:
    """W001 has told of it; what is not understood is refused."""
    blog.installed = ["ops", "syzygy", "blog"]
    with pytest.raises(CommandError, match="unrecognized arguments: --pre-deploy"):
        blog.call("migrate", "--pre-deploy")
    assert dump() == {}
    assert "Signed by nobody." in blog.call("migrate")


def test_last_in_installed_apps_without_being_combined(blog: Project) -> None:
    blog.installed = ["syzygy", "ops", "blog"]
    out = blog.call("migrate", "--pre-deploy")
    assert "Signed" not in out
    assert blog.applied() == PRE


def test_derived_from_ours(blog: Project) -> None:
    """Which needs no combining."""
    override(
        blog,
        "ops",
        SIGNING.replace("django.core.management", "syzygy.management"),
    )
    blog.installed = ["ops", "syzygy", "blog"]
    assert "Signed by me." in blog.call("migrate", "--pre-deploy", "--sign", "me")
    assert blog.applied() == PRE


def test_three_apps(blog: Project) -> None:
    blog.app("more")
    override(blog, "more", SIGNING.replace("ign", "tamp"))
    override(
        blog,
        "glue",
        "from ops.management.commands import migrate as ops\n"
        "from more.management.commands import migrate as more\n"
        "from syzygy.management.mixins import MigrateMixin\n"
        "class Command(MigrateMixin, ops.Command, more.Command):\n"
        "    pass\n",
    )
    blog.installed = ["glue", "ops", "more", "syzygy", "blog"]
    out = blog.call("migrate", "--pre-deploy", "--sign", "me", "--stamp", "you")
    assert "Signed by me." in out
    assert "Stamped by you." in out
    assert blog.applied() == PRE


def test_exceptions_of_the_other_command_are_its_own(blog: Project) -> None:
    override(
        blog,
        "ops",
        SIGNING.replace(
            "return super()", "raise KeyError('theirs')\n        return s()"
        ),
    )
    override(blog, "glue", GLUE)
    blog.installed = ["glue", "ops", "syzygy", "blog"]
    with pytest.raises(KeyError, match="theirs"):
        blog.call("migrate", "--pre-deploy")
    assert dump() == {}


# Commands that go their own ways

IMPORT = "from django.db.migrations.executor import MigrationExecutor\n"
MADE = "MigrationExecutor(connection"
COPY = inspect.getsource(django_migrate)
assert COPY.count(IMPORT) == 1
assert COPY.count(MADE) == 1

COPIES = {
    "as it is": COPY,
    "with an executor of its own": COPY.replace(
        "class Command",
        "class Executor(MigrationExecutor):\n    pass\n\nclass Command",
    ).replace(MADE, "Executor(connection"),
    "with an executor of its own by the same name": COPY.replace(
        "class Command",
        "class MigrationExecutor(MigrationExecutor):\n    pass\n\nclass Command",
    ),
    "with the executor by another name": COPY.replace(
        IMPORT, IMPORT.replace("MigrationExecutor\n", "MigrationExecutor as Executor\n")
    ).replace(MADE, "Executor(connection"),
    "with the executor by its module": COPY.replace(
        IMPORT, "from django.db.migrations import executor as executors\n"
    ).replace(MADE, "executors.MigrationExecutor(connection"),
    "with the executor imported when it runs": COPY.replace(IMPORT, "").replace(
        'database = options["database"]\n',
        f'{IMPORT.strip()}; database = options["database"]\n',
        1,
    ),
    "with an executor that plans by itself": COPY.replace(
        "class Command",
        "class Executor(MigrationExecutor):\n"
        f"{inspect.getsource(MigrationExecutor.migration_plan)}\n"
        "class Command",
    ).replace(MADE, "Executor(connection"),
    "that leaves the plan to the executor": COPY.replace(
        "            plan=plan,\n            state=", "            state="
    ),
    "without the names of arguments": re.sub(
        r"executor\.migrate\([^)]*\.clone\(\)[^)]*\)",
        "executor.migrate("
        "targets, plan, pre_migrate_state.clone(), fake, fake_initial)",
        COPY,
    ),
    "with the executor in another module": COPY.replace(
        IMPORT, "from ops.executors import make\n"
    ).replace(MADE, "make(connection"),
}
DERIVED = {
    name: code.replace(
        "class Command(BaseCommand)",
        "from django.core.management.commands.migrate import Command as Theirs\n"
        "class Command(Theirs)",
    )
    for name, code in COPIES.items()
}


@pytest.mark.parametrize("derived", [False, True])
@pytest.mark.parametrize("name", COPIES)
def test_a_copy_of_django_s_command(blog: Project, name: str, derived: bool) -> None:
    """It is staged or refused, but never applies everything without a word."""
    code = (DERIVED if derived else COPIES)[name]
    assert name == "as it is" or code != (DERIVED if derived else COPIES)["as it is"]
    blog.write("ops/executors.py", IMPORT + "make = MigrationExecutor\n")
    override(blog, "ops", code)
    override(blog, "glue", GLUE)
    blog.installed = ["glue", "ops", "syzygy", "blog"]
    try:
        out = blog.call("migrate", "--pre-deploy")
    except CommandError:
        assert dump() == {}
    else:
        assert "Postponed" in out
        assert blog.applied() == PRE
    # Without the option it does what it always did.
    blog.call("migrate")
    assert blog.applied() == ALL


def test_a_copy_that_only_looks_different_is_staged(blog: Project) -> None:
    for name in ("as it is", "with an executor of its own by the same name"):
        override(blog, "ops", COPIES[name])
        override(blog, "glue", GLUE)
        blog.installed = ["glue", "ops", "syzygy", "blog"]
        blog.call("migrate", "--pre-deploy")
        assert blog.applied() == PRE, name
        blog.call("migrate", "blog", "zero")


UNRELATED = """
from django.core.management import BaseCommand, call_command
from django.core.management.commands.migrate import Command as MigrateCommand

class Command(BaseCommand):
    def handle(self, *args, **options):
        self.stdout.write("Something else.")
        {action}
"""
ACTIONS = {
    "something else": "pass",
    "django's command": 'call_command(MigrateCommand(), "blog", stdout=self.stdout)',
}


@pytest.mark.parametrize("action", ACTIONS)
def test_a_command_that_does_not_derive_from_django_s(
    blog: Project, action: str
) -> None:
    """It is staged or refused, and without the option it does what it always did."""
    override(blog, "ops", UNRELATED.format(action=ACTIONS[action]))
    override(blog, "glue", GLUE)
    blog.installed = ["glue", "ops", "syzygy", "blog"]
    assert "Something else." in blog.call("migrate")
    assert blog.applied() == (ALL if action == "django's command" else [])
    with blog.active():
        call_command(django_migrate.Command(), "blog", "zero", verbosity=0)
    try:
        blog.call("migrate", "--pre-deploy")
    except CommandError:
        assert blog.applied() == []
    else:
        assert blog.applied() in ([], PRE)


def test_a_command_that_makes_its_plan_twice(blog: Project) -> None:
    """Both are staged: one may be shown, the other applied."""
    override(
        blog,
        "ops",
        COPY.replace(
            "        plan = executor.migration_plan(targets)\n",
            "        plan = executor.migration_plan(targets)\n"
            "        self.stdout.write(f'First plan: {len(plan)}')\n"
            "        plan = executor.migration_plan(targets)\n",
        ),
    )
    override(blog, "glue", GLUE)
    blog.installed = ["glue", "ops", "syzygy", "blog"]
    out = blog.call("migrate", "--pre-deploy")
    assert "First plan: 2\n" in out
    assert out.count("Postponed") == 1
    assert blog.applied() == PRE


SEVERAL = SIGNING.replace(
    "return super().handle(*args, **options)",
    "for database in ('default', 'other'):\n"
    "            super().handle(*args, **options | {'database': database})",
)


def test_a_command_that_migrates_several_databases(blog: Project) -> None:
    """Such as one of multi-tenancy: a plan each."""
    override(blog, "ops", SEVERAL)
    override(blog, "glue", GLUE)
    blog.installed = ["glue", "ops", "syzygy", "blog"]
    out = blog.call("migrate", "--plan")
    out += blog.call("migrate", "--pre-deploy")
    assert blog.applied("default") == blog.applied("other") == PRE
    for alias in ("default", "other"):
        for title in ("Stages", "--pre-deploy"):
            assert out.count(f'{title} (database "{alias}"):') == 1


def test_a_command_that_goes_on_after_a_nested_one(blog: Project) -> None:
    """The end of that isn't the end of the outer command."""
    blog.app("first", {"0001_hook": source(HOOK)})
    blog.write(
        "hooks.py",
        "from django.core.management import call_command\n"
        "from syzygy.management.commands.migrate import Command\n"
        "def run(apps, editor):\n"
        "    if editor.connection.alias == 'default':\n"
        "        call_command(Command(), 'first', database='other', verbosity=0)\n",
    )
    override(blog, "ops", SEVERAL)
    override(blog, "glue", GLUE)
    blog.installed = ["glue", "ops", "syzygy", "blog", "first"]
    blog.call("migrate", "--pre-deploy")
    for alias in ("default", "other"):
        assert sorted(blog.applied(alias)) == [*PRE, "first.0001_hook"]
