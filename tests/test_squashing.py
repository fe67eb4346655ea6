"""Squashing, which makes no operation of two stages."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, load_command_class
from django.db import connection, models
from django.db import migrations as m
from django.db.migrations.operations.base import Operation
from django.utils.module_loading import import_string

from syzygy.checks import COMMANDS
from syzygy.generation.squashing import StagedOptimizerMixin
from syzygy.generation.states import history_of
from syzygy.history import History
from syzygy.operations import Backfill, RelaxField
from tests.command_helpers import ADD, STATE_ONLY, Project, source
from tests.generation_helpers import state, table

pytest_plugins = ["tests.command_fixtures"]


def text(**options: Any) -> Any:
    return models.CharField(max_length=9, **options)


def to_author(**options: Any) -> Any:
    return models.ForeignKey("blog.Author", models.CASCADE, **options)


AUTHOR = table("Author", name=text())
OLD = [AUTHOR, table("Old", a=text(), b=text(null=True), author=to_author())]


class Optimizer(StagedOptimizerMixin):
    def history_before(
        self, operations: Sequence[Operation], app_label: str
    ) -> History:
        return history_of(state(OLD, "blog"))


NEW = table("New", a=text())
TIGHT = m.AlterField("old", "c", text())
SPLIT: dict[str, list[Operation]] = {
    "a new field with a default": [m.AddField("old", "c", text(db_default="x")), TIGHT],
    "a new field that is filled": [
        m.AddField("old", "c", text(null=True)),
        Backfill("old", "c", "x"),
        TIGHT,
    ],
    "a field that goes": [
        m.AlterField("old", "a", text(db_default="")),
        m.RemoveField("old", "a"),
    ],
    "a foreign key that goes": [
        RelaxField("old", "author", to_author(null=True, db_constraint=False)),
        m.RemoveField("old", "author"),
    ],
    "a model that goes": [
        RelaxField("old", "author", to_author(db_constraint=False)),
        m.DeleteModel("old"),
    ],
    "a field that changes": [
        RelaxField("old", "b", models.CharField(max_length=20, null=True)),
        m.AlterField("old", "b", models.CharField(max_length=20)),
    ],
    "a set that changes": [
        m.AlterUniqueTogether("old", {("a", "b")}),
        m.AlterUniqueTogether("old", set()),
    ],
    "what does something of both": [
        m.AlterField("old", "b", models.CharField(max_length=20, unique=True)),
        m.AlterField("old", "b", models.CharField(max_length=30)),
    ],
}
# What comes of the operations before the colon.
WHOLE: dict[str, tuple[list[Operation], list[str]]] = {
    "a new model": (
        [
            NEW,
            m.AddField("new", "c", text(db_default="x")),
            RelaxField("new", "a", text(null=True)),
            m.AlterField("new", "c", text()),
            m.RemoveField("new", "a"),
        ],
        ["Create model New"],
    ),
    "a new model whose rows nobody can have inserted": (
        [
            NEW,
            m.AddField("new", "c", text(null=True)),
            Backfill("new", "c", "x"),
            m.AlterField("new", "c", text()),
        ],
        ["Create model New"],
    ),
    "a new model that somebody may have filled": (
        [
            NEW,
            m.RunPython(print),
            m.AddField("new", "c", text(null=True)),
            Backfill("new", "c", "x"),
        ],
        [
            "Create model New",
            "Raw Python operation",
            "Add field c to new",
            "Fill field c on new",
        ],
    ),
    "a new model whose table code may have found": (
        [
            m.SeparateDatabaseAndState([m.RunPython(print)], [NEW]),
            m.AddField("new", "c", text(null=True)),
            Backfill("new", "c", "x"),
        ],
        [
            "Custom state/database change combination",
            "Add field c to new",
            "Fill field c on new",
        ],
    ),
    "what need not be kept": (
        [
            m.AlterField("old", "b", text()),
            m.RunPython(print, elidable=True),
            m.RemoveField("old", "a"),
        ],
        ["Alter field b on old", "Remove field a from old"],
    ),
    "a new model that nobody need fill": (
        [
            NEW,
            m.RunPython(print, elidable=True),
            m.AddField("new", "c", text(null=True)),
            Backfill("new", "c", "x"),
        ],
        ["Create model New"],
    ),
    "a model that comes and goes": (
        [NEW, m.AddField("new", "c", to_author()), m.DeleteModel("new")],
        [],
    ),
    "what comes and goes": (
        [
            m.AddField("old", "c", text(null=True)),
            m.AddConstraint(
                "old", models.CheckConstraint(condition=models.Q(a="x"), name="x")
            ),
            m.RemoveConstraint("old", "x"),
            m.RemoveField("old", "c"),
        ],
        [],
    ),
    "one stage": (
        [
            m.AddField("old", "c", text(null=True)),
            m.AddField("old", "d", text(null=True)),
            m.AlterField("old", "c", models.CharField(max_length=20, null=True)),
            m.AlterField("old", "d", text(null=True, help_text="d")),
        ],
        ["Add field c to old", "Add field d to old"],
    ),
    "what only the new release knows": (
        [
            m.AddField("old", "c", text(null=True)),
            m.AlterField("old", "c", text(null=True, unique=True)),
        ],
        ["Add field c to old"],
    ),
}


@pytest.mark.parametrize("operations", SPLIT.values(), ids=SPLIT)
def test_what_is_split_stays_split(operations: list[Operation]) -> None:
    assert Optimizer().optimize(operations, "blog") == operations


@pytest.mark.parametrize(("operations", "expected"), WHOLE.values(), ids=WHOLE)
def test_what_is_of_one_stage_is_made_one(
    operations: list[Operation], expected: list[str]
) -> None:
    optimized = Optimizer().optimize(operations, "blog")
    assert [each.describe() for each in optimized] == expected


# The commands

MODELS = "from django.db import models\n\nclass Post(models.Model):\n    title = "
TITLE = "models.CharField(max_length=30)\n"
SLUG = '    slug = models.SlugField(default="none")\n'
CODE = "    code = models.UUIDField(default=uuid.uuid4, unique=True)\n"


@pytest.fixture
def blog(project: Project) -> Project:
    project.app("blog", {}, MODELS + TITLE)
    project.call("makemigrations", verbosity=0)
    return project


def changed(project: Project, fields: str) -> None:
    project.write("blog/models.py", f"import uuid\n{MODELS}{TITLE}{fields}")
    project.call("makemigrations", "--noinput", verbosity=0)


def squashed(project: Project, *arguments: str) -> tuple[str, str]:
    """The text of the squashed migration, and what was told."""
    result = project.manage("squashmigrations", "blog", *arguments, "--noinput")
    assert result.returncode == 0, result.output
    assert "Created new squashed migration" in result.stdout
    (file,) = (project.path / "blog/migrations").glob("*squashed*.py")
    return file.read_text(encoding="utf-8"), result.stderr


def operations_of(text: str) -> list[str]:
    return re.findall(r"^        [\w.]+\.(\w+)\(", text, re.MULTILINE)


def test_the_halves_of_a_change(blog: Project) -> None:
    changed(blog, SLUG)
    text, told = squashed(blog, "0002", "0003")
    assert operations_of(text) == ["AddField", "AlterField"]
    assert "    # It has what runs before a rollout and what runs after it:" in text
    # Where they are pending, nothing happens.
    name = "0002_post_slug_squashed_0003_drop_db_default_post_slug"
    assert f'"blog.{name}" has what runs before' in told
    line = f'MIGRATION_STAGES_BASELINE = {{"blog": "{name}"}}'
    assert line in told
    blog.call("migrate", "blog", "0001", verbosity=0)
    with pytest.raises(CommandError, match="The stage of migration") as caught:
        blog.call("migrate", "--pre-deploy")
    assert str(caught.value).endswith(line)
    assert blog.applied() == ["blog.0001_initial"]
    # The checks say so, until the settings have the line.
    with pytest.raises(CommandError, match=re.escape(line)) as caught:
        blog.call("check", "--tag", "syzygy")
    assert str(caught.value).count("MIGRATION_STAGES_BASELINE") == 1
    blog.settings["MIGRATION_STAGES_BASELINE"] = ast.literal_eval(line.split(" = ")[1])
    assert "no issues" in blog.call("check", "--tag", "syzygy")
    blog.settings.clear()
    # A new database has no running release.
    blog.call("migrate", "blog", "zero", verbosity=0)
    blog.call("migrate", "--pre-deploy", verbosity=0)
    assert f"blog.{name}" in blog.applied()
    assert blog.call("makemigrations") == "No changes detected\n"
    # The next line comes beside the one that there is.
    (blog.path / f"blog/migrations/{name}.py").unlink()
    blog.settings["MIGRATION_STAGES_BASELINE"] = {"blog": "0001_initial"}
    assert 'MIGRATION_STAGES_BASELINE |= {"blog"' in squashed(blog, "0002", "0003")[1]


def test_the_whole_history(blog: Project) -> None:
    changed(blog, SLUG)
    changed(blog, SLUG + CODE)
    changed(blog, CODE)
    text, told = squashed(blog, "0008")
    assert operations_of(text) == ["CreateModel"]
    assert "atomic" not in text
    assert "Stage" not in text
    assert told == ""
    assert blog.call("makemigrations") == "No changes detected\n"
    blog.call("migrate", "--pre-deploy", verbosity=0)
    assert blog.columns("blog_post") == {"id", "title", "code"}


def test_what_is_filled(blog: Project) -> None:
    changed(blog, CODE)
    text, _ = squashed(blog, "0002", "0004")
    assert operations_of(text) == ["AddField", "Backfill", "AlterField"]
    assert "\n    atomic = False\n" in text
    # It is for any database that has no running release.
    blog.call("migrate", "blog", "0001", verbosity=0)
    with connection.cursor() as cursor:
        for _ in range(2):
            cursor.execute("INSERT INTO blog_post (title) VALUES ('a')")
        blog.call("migrate", verbosity=0)
        cursor.execute("SELECT count(DISTINCT code) FROM blog_post")
        assert cursor.fetchone() == (2,)


def test_what_all_declare_stays_declared(blog: Project) -> None:
    code = "m.RunPython(print)"
    late = "Stage.POST_DEPLOY"
    blog.migrations(
        "blog", {"0002_a": source(code, stage=late), "0003_b": source(code, stage=late)}
    )
    text, told = squashed(blog, "0002", "0003")
    assert "    # As all that it replaces.\n    stage = Stage.POST_DEPLOY\n" in text
    assert "from syzygy import Stage" in text
    assert told == ""
    # Where one is for the other stage, nobody can tell of the whole.
    Path(blog.path / "blog/migrations/0002_a_squashed_0003_b.py").unlink()
    blog.migrations("blog", {"0004_c": source(code)})
    text, told = squashed(blog, "0002", "0004")
    assert "stage =" not in text
    assert "has what runs before a rollout and what runs after it" in told


def test_what_is_squashed_already(blog: Project) -> None:
    """Django 5 squashes what a squashed one replaces where that is applied in part."""
    changed(blog, SLUG)
    blog.call("migrate", "blog", "0002", verbosity=0)
    squashed(blog, "0002", "0003")
    blog.migrations("blog", {"0004_more": source("m.RunPython(print)")})
    before = {*(blog.path / "blog/migrations").glob("*.py")}
    result = blog.manage("squashmigrations", "blog", "0004", "--noinput")
    assert result.returncode == 0, result.output
    (file,) = {*(blog.path / "blog/migrations").glob("*.py")} - before
    operations = operations_of(file.read_text(encoding="utf-8"))
    assert operations == ["CreateModel", "RunPython"]


def test_what_settings_say_of_the_replaced(blog: Project) -> None:
    changed(blog, SLUG)
    squash = blog.path / (
        "blog/migrations/0002_post_slug_squashed_0003_drop_db_default_post_slug.py"
    )
    # A stage that nobody says of the whole.
    last = "blog.0003_drop_db_default_post_slug"
    blog.settings = {"MIGRATION_STAGES_OVERRIDE": {last: "pre_deploy"}}
    text, told = squashed(blog, "0002", "0003")
    assert "    stage = Stage.PRE_DEPLOY\n" in text
    assert told == ""
    assert "no issues" in blog.call("check", "--tag", "syzygy")
    squash.unlink()
    # What nobody can tell of, wherever it is.
    blog.migrations("blog", {"0004_title": source("m.RenameField('post','title','t')")})
    blog.settings = {"MIGRATION_STAGES_FALLBACK": {"blog": "post_deploy"}}
    assert squashed(blog, "0003", "0004")[1] == ""
    assert "no issues" in blog.call("check", "--tag", "syzygy")
    for file in (blog.path / "blog/migrations").glob("*_title*.py"):
        file.unlink()
    # What a baseline covers stays covered, though it is newer.
    blog.migrations("blog", {"0004_more": source("m.RunPython(print)")})
    blog.settings = {"MIGRATION_STAGES_BASELINE": {"blog": "0004_more"}}
    text, told = squashed(blog, "0002", "0003")
    assert "stage =" not in text
    assert "#" not in text.partition("class ")[2]
    assert told == ""
    assert "no issues" in blog.call("check", "--tag", "syzygy")


def test_optimizing_a_migration_keeps_its_stage(blog: Project) -> None:
    field = 'm.{}("post", "{}", models.TextField({}))'
    both = [
        field.format("AddField", "a", 'db_default="x"'),
        field.format("AlterField", "a", ""),
        field.format("AddField", "b", "null=True"),
        field.format("AlterField", "b", "null=True, help_text='b'"),
    ]
    ambiguous = field.format("AlterField", "a", "").replace("TextField", "DateField")
    blog.migrations(
        "blog",
        {
            "0002_both": source(*both, stage="Stage.POST_DEPLOY"),
            # What the checks say of another one keeps nobody from it.
            "0003_ambiguous": source(ambiguous),
        },
    )
    result = blog.manage("optimizemigration", "blog", "0002")
    assert "from 4 operations to 3 operations" in result.stdout, result.output
    written = (blog.path / "blog/migrations/0002_both.py").read_text(encoding="utf-8")
    assert operations_of(written) == ["AddField", "AlterField", "AddField"]
    assert "    stage = Stage.POST_DEPLOY\n" in written


# What people get wrong

PLAIN = {
    "0002_a": source(STATE_ONLY),
    "0003_b": source(ADD),
    "0004_c": source(STATE_ONLY),
}


def wrong(project: Project, *arguments: str) -> str:
    """The one line that a command ends in; it leaves all files as they were."""
    folder = project.path / "blog/migrations"
    before = {file: file.read_text("utf-8") for file in folder.glob("*.py")}
    with pytest.raises(CommandError) as caught:
        project.call(*arguments, verbosity=0)
    assert before == {file: file.read_text("utf-8") for file in folder.glob("*.py")}
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_what_is_replaced_is_not_squashed_again(blog: Project) -> None:
    blog.migrations("blog", PLAIN)
    squash = ("squashmigrations", "--noinput", "blog")
    blog.call(*squash, "0002", "0003", verbosity=0)
    for names in (["0003"], ["0002", "0003"], ["0003", "0004"], ["0001", "0003"]):
        assert wrong(blog, *squash, *names) == (
            '"blog.0003_b" is replaced by the squashed migration '
            '"blog.0002_a_squashed_0003_b". Name that one instead; or, if it is '
            "applied nowhere, delete its file and squash anew."
        )


def test_what_no_file_can_have(blog: Project) -> None:
    """Django leaves an empty file, with which no command works any more."""
    help_text = (
        'm.AlterField("post", "slug", models.SlugField(null=True, help_text="x"))'
    )
    run = source(ADD, help_text, "m.RunPython(lambda *args: None)")
    blog.migrations("blog", {"0002_a": source(STATE_ONLY), "0003_b": run})
    for command in (
        ("squashmigrations", "--noinput", "blog", "0002", "0003"),
        ("optimizemigration", "blog", "0003"),
    ):
        message = wrong(blog, *command)
        assert "can't be written: Cannot serialize function: lambda. What" in message


def test_what_cannot_be_loaded(blog: Project) -> None:
    lost = source(STATE_ONLY, dependencies=[("blog", "0009_lost")])
    blog.migrations("blog", PLAIN | {"0005_d": lost})
    for command in (
        ("squashmigrations", "--noinput", "blog", "0003"),
        ("optimizemigration", "blog", "0003"),
        ("makemigrations", "blog"),
    ):
        assert "('blog', '0009_lost')" in wrong(blog, *command)
    circle = source(STATE_ONLY, dependencies=[("blog", "0004_c")])
    blog.migrations("blog", PLAIN | {"0002_a": circle})
    (blog.path / "blog/migrations/0005_d.py").unlink()
    for command in (
        ("squashmigrations", "--noinput", "blog", "0003"),
        ("optimizemigration", "blog", "0003"),
        ("makemigrations", "blog"),
    ):
        message = wrong(blog, *command)
        assert message.startswith("These migrations need each other, in a circle: ")
        assert "blog.0002_a" in message


@pytest.mark.parametrize(
    ("error", "expected"),
    [(EOFError, "nothing was written"), (KeyboardInterrupt, "Cancelled.")],
)
def test_who_does_not_answer(
    blog: Project, monkeypatch: pytest.MonkeyPatch, error: type, expected: str
) -> None:
    def ask(question: str) -> str:
        raise error

    blog.migrations("blog", PLAIN)
    monkeypatch.setattr("builtins.input", ask)
    assert expected in wrong(blog, "squashmigrations", "blog", "0003")


def test_the_commands_are_those_to_combine(project: Project) -> None:
    with project.active():
        for command, (module, mixin) in COMMANDS.items():
            made = load_command_class("syzygy", command)
            assert isinstance(made, import_string(f"{module}.{mixin}"))
