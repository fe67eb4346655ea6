"""What people can get wrong: one clear line, a failure, and the database as it was.

Each case is a process of its own, as only a process has an exit code and what is left
of an exception on stderr.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, connections

from syzygy.management.reaching import Unreachable
from tests.command_helpers import (
    ADD,
    ADD_MORE,
    CREATE,
    REMOVE,
    STATE_ONLY,
    Project,
    Result,
    dump,
    source,
)
from tests.services import UNDER_TEST

pytest_plugins = ["tests.command_fixtures"]


class Wrong:
    """A project that was deployed once, and in which something is wrong since."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.before = dump()

    def run(self, *arguments: str, returncode: int = 1) -> Result:
        """Run what has to fail."""
        result = self.project.manage(*arguments)
        assert result.returncode == returncode, result.output
        assert "Traceback" not in result.stderr, result.output
        assert dump() == self.before, result.output
        return result

    def migrate(self, *arguments: str, skip_checks: bool = False) -> str:
        """Run what has to fail at once, and return the line that says why.

        What to do about it may follow.
        """
        if skip_checks:
            arguments += ("--skip-checks",)
        result = self.run("migrate", *arguments)
        assert result.stdout == ""
        line, *way_out = result.stderr.splitlines()
        assert len(way_out) <= 3
        assert line.startswith("CommandError: ")
        return line.removeprefix("CommandError: ")

    def check(self, *arguments: str) -> list[str]:
        """Run what the checks have to stop, and return what they tell in one line."""
        result = self.run(*arguments)
        assert result.stdout == ""
        assert result.stderr.startswith("SystemCheckError: System check identified")
        lines = [line for line in result.stderr.splitlines() if "(syzygy." in line]
        # And each says what to do.
        assert result.stderr.count("\tHINT: ") == len(lines)
        return lines


@pytest.fixture
def wrong(project: Project) -> Wrong:
    project.app(
        "blog",
        {"0001_initial": source(CREATE), "0002_slug": source(ADD)},
    )
    project.call("migrate", "blog", "0001", verbosity=0)
    return Wrong(project)


PRE_DEPLOY = ("migrate", "--pre-deploy")

# Settings


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"MIGRATION_STAGES_OVERRIDE": {"blog": "before"}},
            "The setting \"MIGRATION_STAGES_OVERRIDE\" has 'before' for 'blog', which "
            "is no stage.",
        ),
        (
            {"MIGRATION_STAGES_FALLBACK": {"blgo": "pre_deploy"}},
            'The setting "MIGRATION_STAGES_FALLBACK" names \'blgo\', but "blgo" is no '
            "app label.",
        ),
        (
            {"MIGRATION_STAGES_BASELINE": {"blog": "0009_gone"}},
            "The setting \"MIGRATION_STAGES_BASELINE\" names 'blog.0009_gone', but "
            '"0009_gone" is no migration of the app "blog".',
        ),
        (
            {"MIGRATION_STAGES_OVERIDE": {}},
            'The setting "MIGRATION_STAGES_OVERIDE" is unknown.',
        ),
        (
            {"MIGRATION_THIRD_PARTY_FALLBACK": None},
            'The setting "MIGRATION_THIRD_PARTY_FALLBACK" is unknown.',
        ),
        (
            {"MIGRATION_STAGES_OVERRIDE": "pre_deploy"},
            'The setting "MIGRATION_STAGES_OVERRIDE" is no dictionary but',
        ),
        (
            {"MIGRATION_STAGES_OVERRIDE": {("blog", 1): "pre_deploy", None: 2}},
            "The setting \"MIGRATION_STAGES_OVERRIDE\" has the key ('blog', 1), which "
            "is no string.",
        ),
        (
            {"MIGRATION_THIRD_PARTY_STAGES_FALLBACK": "never"},
            "The setting \"MIGRATION_THIRD_PARTY_STAGES_FALLBACK\" has 'never', which "
            "is no stage.",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings(wrong: Wrong, settings: dict[str, Any], told: str) -> None:
    wrong.project.settings = settings
    first, *_ = wrong.check(*PRE_DEPLOY)
    (setting,) = settings
    assert first.startswith(f"{setting}: (syzygy.E002) {told}")
    assert wrong.migrate("--pre-deploy", skip_checks=True).startswith(told)


def test_settings_for_a_plan_that_is_shown(wrong: Wrong) -> None:
    wrong.project.settings = {"MIGRATION_STAGES_OVERRIDE": {"blog": "before"}}
    for arguments in (["--plan"], ["--plan", "--pre-deploy"], ["--plan", "--check"]):
        assert "'before' for 'blog', which is no stage." in wrong.migrate(
            *arguments, skip_checks=True
        )


# Migrations


@pytest.mark.parametrize("value", ['"before"', "3"])
def test_stage_of_a_migration(wrong: Wrong, value: str) -> None:
    wrong.project.migrations("blog", {"0003_x": source(STATE_ONLY, stage=value)})
    told = 'Migration "blog.0003_x" declares a stage that is none: '
    (line,) = wrong.check(*PRE_DEPLOY)
    assert line.startswith(f"blog.0003_x: (syzygy.E001) {told}")
    assert wrong.migrate("--pre-deploy", skip_checks=True).startswith(told)


def test_stage_of_an_operation(wrong: Wrong) -> None:
    text = source('Odd("DROP TABLE blog_post")').text(("blog", "0002_slug"))
    wrong.project.migrations(
        "blog",
        {
            "0003_x": text.replace(
                "class Migration",
                "class Odd(m.RunSQL):\n    stage = 'x'\nclass Migration",
            )
        },
    )
    (line,) = wrong.check(*PRE_DEPLOY)
    assert line.startswith("blog.0003_x: (syzygy.E001) ")
    assert "'x'" in line
    assert "'x'" in wrong.migrate("--pre-deploy", skip_checks=True)


BROKEN = {
    "class Migration(:\n": "SyntaxError: ",
    "if True:\npass\n": "IndentationError: ",
    "from django.db import nothing\n": "cannot import name 'nothing'",
    "import nothing_like_this\n": "No module named 'nothing_like_this'",
    "class Migration(migrations.Migration):\n    pass\n": "name 'migrations' is not",
    "x = 1 / 0\n": "ZeroDivisionError",
    "from django.db import migrations\n": "Migration",
    "class Migration:\n    pass\n": "Migration",
    "x = {}['nothing']\n": "KeyError: 'nothing'",
}


@pytest.mark.parametrize("code", BROKEN)
def test_module_that_cannot_be_imported(wrong: Wrong, code: str) -> None:
    wrong.project.migrations("blog", {"0003_broken": code})
    (line,) = wrong.check("check")
    assert "(syzygy.E001) " in line
    with_checks = wrong.migrate("--pre-deploy")
    without_checks = wrong.migrate("--pre-deploy", skip_checks=True)
    for text in (line, with_checks, without_checks):
        assert BROKEN[code] in text
        # Of five hundred migrations, which one?
        assert "0003_broken" in text


def test_module_that_cannot_be_imported_without_the_option(wrong: Wrong) -> None:
    wrong.project.migrations("blog", {"0003_broken": "x = 1 / 0\n"})
    assert "0003_broken" in wrong.migrate(skip_checks=True)


NO_MIGRATION = {
    "a number": "Migration = 42\n",
    "another class": "class Migration:\n    def __init__(self, *args):\n        pass\n",
    "a dependency without a name": (
        "from django.db import migrations\n"
        "class Migration(migrations.Migration):\n"
        "    dependencies = [('blog',)]\n"
    ),
    "a dependency that is a string": (
        "from django.db import migrations\n"
        "class Migration(migrations.Migration):\n"
        "    dependencies = ['blog.0002_slug']\n"
    ),
    "operations that are none": (
        "from django.db import migrations\n"
        "class Migration(migrations.Migration):\n"
        "    dependencies = [('blog', '0002_slug')]\n"
        "    operations = None\n"
    ),
}


@pytest.mark.parametrize("kind", NO_MIGRATION)
def test_migration_that_is_none(wrong: Wrong, kind: str) -> None:
    wrong.project.migrations("blog", {"0003_odd": NO_MIGRATION[kind]})
    result = wrong.run(*PRE_DEPLOY)
    assert "blog" in result.stderr
    wrong.migrate("--pre-deploy", skip_checks=True)


def test_package_of_migrations_that_cannot_be_imported(wrong: Wrong) -> None:
    (wrong.project.path / "blog/migrations/__init__.py").write_text("1 / 0\n")
    (line,) = wrong.check("check")
    assert "(syzygy.E001) " in line
    for text in (line, wrong.migrate("--pre-deploy"), wrong.migrate()):
        assert "ZeroDivisionError" in text
        assert "blog" in text


@pytest.mark.parametrize("modules", ["nowhere", "nowhere.at.all", "broken.migrations"])
def test_migration_modules_that_point_nowhere(wrong: Wrong, modules: str) -> None:
    wrong.project.write("broken/__init__.py", "raise RuntimeError('not today')\n")
    wrong.project.settings["MIGRATION_MODULES"] = {"blog": modules}
    result = wrong.run(*PRE_DEPLOY)
    assert "not today" in result.stderr or "nowhere" in result.stderr
    line = wrong.migrate("--pre-deploy", skip_checks=True)
    assert "not today" in line or "nowhere" in line


def test_app_without_migrations_by_setting(wrong: Wrong) -> None:
    wrong.project.settings["MIGRATION_MODULES"] = {"blog": None}
    assert wrong.migrate("blog", "--pre-deploy") == (
        "App 'blog' does not have migrations."
    )
    wrong.run(*PRE_DEPLOY, returncode=0)


@pytest.mark.parametrize("init", [True, False])
def test_empty_directory(wrong: Wrong, init: bool) -> None:
    """Nothing is wrong, as long as nobody asks for what isn't there."""
    project = wrong.project
    project.app("empty", {} if init else None)
    (project.path / "empty/migrations").mkdir(exist_ok=True)
    result = wrong.run("migrate", "--pre-deploy", "--plan", returncode=0)
    assert "Add field slug to post" in result.stdout
    if init:
        assert wrong.migrate("empty", "0001", "--pre-deploy") == (
            "Cannot find a migration matching '0001' from app 'empty'."
        )
        result = wrong.run("migrate", "empty", "--pre-deploy", returncode=0)
        assert "No migrations to apply." in result.stdout
    else:
        assert wrong.migrate("empty", "--pre-deploy") == (
            "App 'empty' does not have migrations."
        )
    project.settings = {"MIGRATION_STAGES_BASELINE": {"empty": "0001_initial"}}
    (line,) = wrong.check(*PRE_DEPLOY)
    assert '"0001_initial" is no migration of the app "empty".' in line


# Graphs


def test_conflicting_graph(wrong: Wrong) -> None:
    wrong.project.migrations(
        "blog",
        {"0002_other": source(ADD_MORE, dependencies=[("blog", "0001_initial")])},
    )
    result = wrong.run(*PRE_DEPLOY)
    assert result.stdout == ""
    assert result.stderr == (
        "CommandError: Conflicting migrations detected; multiple leaf nodes in the "
        "migration graph: (0002_other, 0002_slug in blog).\n"
        "To fix them run 'python manage.py makemigrations --merge'\n"
    )


def test_missing_dependency(wrong: Wrong) -> None:
    wrong.project.migrations(
        "blog",
        {"0003_x": source(STATE_ONLY, dependencies=[("blog", "0009_gone")])},
    )
    for skip_checks in (False, True):
        line = wrong.migrate("--pre-deploy", skip_checks=skip_checks)
        assert "blog.0003_x" in line
        assert "('blog', '0009_gone')" in line


def test_dependency_on_an_app_that_is_not_there(wrong: Wrong) -> None:
    wrong.project.migrations(
        "blog",
        {
            "0003_x": source(
                STATE_ONLY, dependencies=[("blog", "0002_slug"), ("shop", "__first__")]
            )
        },
    )
    assert "Dependency on unknown app: shop" in wrong.migrate("--pre-deploy")


def test_circular_dependency(wrong: Wrong) -> None:
    wrong.project.app(
        "shop",
        {
            "0001_initial": source(
                'm.CreateModel("Item", [])', dependencies=[("blog", "0003_x")]
            )
        },
    )
    wrong.project.migrations(
        "blog",
        {
            "0003_x": source(
                STATE_ONLY,
                dependencies=[("blog", "0002_slug"), ("shop", "0001_initial")],
            )
        },
    )
    line = wrong.migrate("--pre-deploy")
    assert line.startswith("These migrations need each other, in a circle: ")
    assert "blog.0003_x" in line
    assert "shop.0001_initial" in line


def test_inconsistent_history(wrong: Wrong) -> None:
    wrong.project.migrations("blog", {"0003_x": source(STATE_ONLY)})
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_migrations (app, name, applied) "
            "VALUES ('blog', '0003_x', '2020-01-01 00:00:00')"
        )
    wrong.before = dump()
    for arguments in (["--pre-deploy"], [], ["--pre-deploy", "--plan"]):
        assert wrong.migrate(*arguments) == (
            "Migration blog.0003_x is applied before its dependency blog.0002_slug on "
            "database 'default'."
        )


# Databases


def test_unknown_database(wrong: Wrong) -> None:
    result = wrong.run("migrate", "--pre-deploy", "--database", "nope", returncode=2)
    assert "argument --database: invalid choice: 'nope'" in result.stderr


def test_database_that_is_down(wrong: Wrong) -> None:
    """One line for people; code that waits for a database finds Django's error."""
    project = wrong.project
    default = dict(project.databases["default"])
    if UNDER_TEST == "sqlite":
        default["NAME"] = str(project.path / "nowhere" / "database")
    else:
        default["PORT"] = 1
    project.databases = {**project.databases, "default": default}
    for arguments in (["--pre-deploy", "--skip-checks"], []):
        result = project.manage("migrate", *arguments)
        assert result.returncode == 1
        (line,) = result.stderr.splitlines()
        assert 'The database "default" can\'t be reached: ' in line
        assert UNDER_TEST != "sqlite" or f"Can {default['NAME']} be made" in line
    assert issubclass(Unreachable, OperationalError)
    # The checks of stages need no database.
    assert project.manage("check", "--tag", "syzygy").returncode == 0


# Targets


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nope"], "No installed app with label 'nope'."),
        (["syzygy"], "App 'syzygy' does not have migrations."),
        (["blog", "0009"], "Cannot find a migration matching '0009' from app 'blog'."),
        (
            ["blog", "000"],
            "More than one migration matches '000' in app 'blog'. Please be more "
            "specific.",
        ),
        (["--prune"], "Migrations can be pruned only when an app is specified."),
        (
            ["blog", "--run-syncdb"],
            "Can't use run_syncdb with app 'blog' as it has migrations.",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_targets(wrong: Wrong, arguments: list[str], told: str) -> None:
    assert wrong.migrate("--pre-deploy", *arguments) == told


def test_target_that_mixes_directions(wrong: Wrong) -> None:
    """Django's own command line can't; a command that derives from it may."""
    wrong.project.app("ops")
    wrong.project.installed = ["ops", "syzygy", "blog"]
    wrong.project.write(
        "ops/management/commands/migrate.py",
        """
from django.core.management.commands import migrate
from django.db.migrations.executor import MigrationExecutor as Base
from syzygy.management.mixins import MigrateMixin

class MigrationExecutor(Base):
    def migration_plan(self, targets, clean_start=False):
        if clean_start:
            return super().migration_plan(targets, clean_start)
        nodes = self.loader.graph.nodes
        return [
            (nodes["blog", "0001_initial"], True), (nodes["blog", "0002_slug"], False)
        ]

migrate.MigrationExecutor = MigrationExecutor

class Command(MigrateMixin, migrate.Command):
    pass
""",
    )
    for arguments in (["--pre-deploy"], ["--plan"], ["--pre-deploy", "--check"]):
        assert wrong.migrate(*arguments) == (
            "Migrations can't be applied and unapplied in one plan; run one command "
            "for each direction."
        )
    result = wrong.run("migrate")
    assert "both forwards and backwards" in result.stderr.splitlines()[-1]


def test_migration_that_cannot_be_reverted(wrong: Wrong) -> None:
    project = wrong.project
    project.migrations(
        "blog", {"0003_sql": source('m.RunSQL("SELECT 1")', stage="Stage.POST_DEPLOY")}
    )
    project.call("migrate", verbosity=0)
    wrong.before = dump()
    for arguments in (["--pre-deploy"], []):
        result = wrong.run("migrate", "blog", "0002", *arguments)
        (line,) = result.stderr.splitlines()
        assert line.startswith("CommandError: Operation <RunSQL ")
        assert line.endswith("in blog.0003_sql is not reversible")


# What is wrong elsewhere


@pytest.fixture
def ambiguous(wrong: Wrong) -> Wrong:
    wrong.project.migrations("blog", {"0003_both": source(ADD_MORE, REMOVE)})
    return wrong


def test_ambiguous_stage(ambiguous: Wrong) -> None:
    told = 'The stage of migration "blog.0003_both" is ambiguous: '
    (line,) = ambiguous.check(*PRE_DEPLOY)
    assert line.startswith(f"blog.0003_both: (syzygy.E001) {told}")
    result = ambiguous.run(*PRE_DEPLOY, "--skip-checks")
    assert result.stdout == ""
    first, *rest = result.stderr.splitlines()
    assert first.startswith(f"CommandError: {told}")
    # The ways out follow.
    assert rest[0].startswith("Split it into one migration per stage.")
    # And with --traceback, those who want it have it.
    result = ambiguous.project.manage(*PRE_DEPLOY, "--skip-checks", "--traceback")
    assert "Traceback" in result.stderr
    assert "AmbiguousStage" in result.stderr
    assert dump() == ambiguous.before
