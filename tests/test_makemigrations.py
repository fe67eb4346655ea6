"""``makemigrations`` in real projects."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management.commands import makemigrations as django_makemigrations
from django.db import IntegrityError, connection

from tests.command_helpers import Project, Result, environment, source

pytest_plugins = ["tests.command_fixtures"]

HEAD = "from django.db import models\n"
AUTHOR = "\nclass Author(models.Model):\n    name = models.CharField(max_length=30)\n"
POST = "\nclass Post(models.Model):\n    title = models.CharField(max_length=30)\n"
SLUG = '    slug = models.SlugField(default="none")\n'


@pytest.fixture
def blog(project: Project) -> Project:
    """Make a project whose app "blog" has a model and its migration."""
    project.app("blog", {}, models=HEAD + POST)
    assert project.manage("makemigrations", "blog").returncode == 0
    return project


def now(project: Project, models: str, app: str = "blog") -> None:
    project.write(f"{app}/models.py", HEAD + models)


def files(project: Project, app: str = "blog") -> dict[str, str]:
    """The texts of an app's migrations without their headers, by name."""
    folder = project.path / app / "migrations"
    return {
        file.stem: re.sub(r"^# Generated.*\n\n", "", file.read_text(encoding="utf-8"))
        for file in sorted(folder.glob("0*.py"))
    }


def made(project: Project, *arguments: str, code: int = 0) -> Result:
    result = project.manage("makemigrations", *arguments)
    assert result.returncode == code, result.output
    return result


def test_a_field_with_a_default(blog: Project) -> None:
    now(blog, POST + SLUG)
    result = made(blog)
    assert "0002_post_slug.py" in result.stdout
    written = files(blog)
    assert list(written) == [
        "0001_initial",
        "0002_post_slug",
        "0003_drop_db_default_post_slug",
    ]
    assert "default='none'" in written["0002_post_slug"]
    assert "db_default='none'" in written["0002_post_slug"]
    assert "db_default" not in written["0003_drop_db_default_post_slug"]
    assert (
        '("blog", "0002_post_slug")'.replace('"', "'")
        in written["0003_drop_db_default_post_slug"]
    )
    assert made(blog).stdout == "No changes detected\n"
    assert made(blog, "--check").stdout == "No changes detected\n"
    assert blog.manage("check").output == (
        "exit 0\nSystem check identified no issues (0 silenced).\n\n"
    )
    assert blog.manage("migrate", "--pre-deploy").returncode == 0
    assert blog.applied() == ["blog.0001_initial", "blog.0002_post_slug"]
    assert blog.manage("migrate").returncode == 0
    assert blog.manage("migrate", "blog", "zero").returncode == 0


def test_what_is_filled(blog: Project) -> None:
    now(
        blog,
        "import uuid\n" + POST + "    code = models.UUIDField(default=uuid.uuid4, "
        "unique=True)\n    old = models.CharField(max_length=9, null=True)\n",
    )
    made(blog)
    assert list(files(blog))[1:] == [
        "0002_post_code_post_old",
        "0003_fill_post_code",
        "0004_tighten_post_code",
    ]
    assert files(blog)["0003_fill_post_code"] == (
        "import syzygy.operations\n"
        "import uuid\n"
        "from django.db import migrations\n"
        "\n\n"
        "class Migration(migrations.Migration):\n"
        "    # No release leaves these fields empty any more. It isn't one "
        "transaction,\n    # so it has a file of its own.\n"
        "\n"
        "    atomic = False\n"
        "\n"
        "    dependencies = [\n"
        "        ('blog', '0002_post_code_post_old'),\n"
        "    ]\n"
        "\n"
        "    operations = [\n"
        "        syzygy.operations.Backfill(\n"
        "            model_name='post',\n"
        "            name='code',\n"
        "            value=uuid.uuid4,\n"
        "        ),\n"
        "    ]\n"
    )
    assert blog.manage("migrate").returncode == 0
    assert made(blog).stdout == "No changes detected\n"


def test_a_stage_that_is_declared(blog: Project) -> None:
    meta = "    class Meta:\n        %s\n"
    body = "    body = models.CharField(max_length=9, null=True)\n"
    now(blog, POST + body + meta % 'unique_together = [("title", "body")]')
    made(blog)
    now(
        blog,
        POST
        + body
        + meta
        % 'constraints = [models.UniqueConstraint(fields=["title", "body"], name="u")]',
    )
    made(blog)
    before, after = list(files(blog).items())[-2:]
    reason = "    # Something else with the same effect is in force all the time.\n"
    assert before[1].startswith(
        "from django.db import migrations, models\n"
        "from syzygy import Stage\n"
        "\n\n"
        f"class Migration(migrations.Migration):\n{reason}"
        "    stage = Stage.PRE_DEPLOY\n"
        "\n"
        "    dependencies = [\n"
    )
    assert f"{reason}    stage = Stage.POST_DEPLOY\n" in after[1]
    assert blog.manage("migrate", "--pre-deploy").returncode == 0
    assert blog.applied()[-1] == f"blog.{before[0]}"


@pytest.mark.parametrize("arguments", [[], ["--noinput"], ["--check"], ["--dry-run"]])
def test_what_is_unsafe_is_refused(blog: Project, arguments: list[str]) -> None:
    now(blog, POST.replace("title", "name"))
    written = files(blog)
    result = made(blog, *arguments, code=3)
    assert files(blog) == written
    assert result.stdout == ""
    assert result.stderr == (
        'CommandError: Renaming the field "title" of "blog.Post" to "name" is unsafe: '
        "each release uses a column the other lacks.\n"
        "Keep the name of the column:\n"
        "    name = models.CharField(db_column='title', max_length=30)\n"
        'Or keep both fields for now, back-fill "name", have this release use it, and '
        'remove "title" in a later release.\n'
        "    title = models.CharField(max_length=30)\n"
        "    name = models.CharField(max_length=30, null=True)\n"
    )
    # The ways out are some.
    both = "".join(line + "\n" for line in result.stderr.splitlines()[-2:])
    now(blog, POST.partition("    ")[0] + both)
    made(blog, "--check", code=1)
    now(
        blog,
        POST.replace(
            "title = models.CharField(", "name = models.CharField(db_column='title', "
        ),
    )
    made(blog)
    assert blog.manage("migrate").returncode == 0


def test_what_no_file_can_have(blog: Project) -> None:
    """Not even the first half is written, nor anything of other apps."""
    code = "    code = models.CharField(default=lambda: 'x', max_length=9, %s)\n"
    now(blog, POST + code % "unique=True")
    blog.app("another", {}, models=HEAD + AUTHOR)
    for arguments in ([], ["--update"]):
        result = made(blog, *arguments, code=1)
        assert "Cannot serialize function: lambda" in result.stderr
        assert result.stderr.startswith('CommandError: "blog.0003_fill_post_code" can')
        assert result.stderr.count("\n") == 1
        assert list(files(blog)) == ["0001_initial"]
        assert files(blog, "another") == {}


def test_another_app_is_of_no_concern(blog: Project) -> None:
    blog.app("shop", {}, models=HEAD + POST)
    made(blog, "shop")
    now(blog, POST.replace("title", "name"))
    now(blog, POST + SLUG, "shop")
    made(blog, "shop")
    assert len(files(blog, "shop")) == 3
    assert len(files(blog)) == 1
    made(blog, code=3)
    assert blog.manage("migrate").returncode == 0
    assert "have changes that are not yet reflected" in blog.manage("migrate").stdout


def test_without_this_app(blog: Project) -> None:
    body = "    body = models.TextField(default='none')\n"
    now(blog, POST.replace("CharField(max_length=30)", "IntegerField()") + body)
    made(blog, code=3)
    shown = ("--noinput", "--dry-run", "-v3")
    ours = made(blog, "--disable-syzygy", *shown).stdout
    blog.installed.remove("syzygy")
    assert ours == made(blog, *shown).stdout
    blog.installed.append("syzygy")
    made(blog, "--disable-syzygy")
    assert list(files(blog)) == ["0001_initial", "0002_post_body_alter_post_title"]
    assert "db_default" not in files(blog)["0002_post_body_alter_post_title"]


def test_options(blog: Project) -> None:
    now(blog, POST + SLUG)
    written = files(blog)
    result = made(blog, "--check", code=1)
    assert "0003_drop_db_default_post_slug" in result.stdout
    result = made(blog, "--dry-run", "-v3")
    assert "Full migrations file '0003_drop_db_default_post_slug.py'" in result.stdout
    assert files(blog) == written
    result = made(blog, "-n", "slugs", "--scriptable")
    assert [Path(line).stem for line in result.stdout.splitlines()] == [
        "0002_slugs",
        "0003_slugs",
    ]
    made(blog, "--empty", "blog")
    custom = blog.path / f"blog/migrations/{list(files(blog))[-1]}.py"
    assert custom.name.startswith("0004_auto")
    other = custom.with_name("0003_other.py")
    custom.rename(other)
    other.write_text(other.read_text().replace("0003_slugs", "0002_slugs"))
    assert "Merging needs an answer" in made(blog, "--merge", code=3).stderr
    made(blog, "--merge", "--noinput")
    assert list(files(blog))[-1] == "0004_merge_0003_other_0003_slugs"


@pytest.mark.parametrize("text", ["import nothing_like_it\n", "Migration = 1\n"])
def test_a_migration_that_is_none_is_told_in_one_line(blog: Project, text: str) -> None:
    blog.write("blog/migrations/0002_wrong.py", text)
    result = made(blog, code=1)
    (line,) = result.stderr.splitlines()
    assert line.startswith('CommandError: Migration "blog.0002_wrong"')


def test_garbage_is_not_looked_for_while_migrations_are_imported(blog: Project) -> None:
    initial = blog.path / "blog/migrations/0001_initial.py"
    text = initial.read_text()
    initial.write_text(f"import gc\n\nassert not gc.isenabled()\n{text}")
    assert made(blog).stdout == "No changes detected\n"


def test_apps_that_have_no_migrations_yet(project: Project) -> None:
    project.app("blog", None, models=HEAD + POST)
    relation = '    post = models.ForeignKey("blog.Post", models.CASCADE)\n'
    project.app("shop", None, models=HEAD + AUTHOR + relation)
    assert made(project).stdout == "No changes detected\n"
    made(project, "blog")
    assert list(files(project)) == ["0001_initial"]
    now(project, POST + SLUG)
    made(project, "shop", "blog")
    assert list(files(project, "shop")) == ["0001_initial"]
    assert len(files(project)) == 3
    assert made(project).stdout == "No changes detected\n"
    assert project.manage("migrate").returncode == 0


def test_squashing(blog: Project) -> None:
    now(blog, POST + SLUG)
    made(blog)
    result = blog.manage("squashmigrations", "blog", "0003", "--noinput")
    assert result.returncode == 0, result.output
    squashed = next(text for name, text in files(blog).items() if "squashed" in name)
    assert "db_default" not in squashed.partition("operations = [")[2]
    assert made(blog).stdout == "No changes detected\n"
    assert blog.manage("migrate").returncode == 0


def test_migrations_without_a_stage_are_for_the_check_to_tell(blog: Project) -> None:
    both = ('m.AddField("post", "a", models.TextField(null=True))', 'm.RunSQL("")')
    rename = 'm.RenameField("post", "a", "b")'
    blog.migrations("blog", {"0002_more": source(*both), "0003_b": source(rename)})
    now(blog, POST + "    b = models.TextField(null=True)\n")
    assert "(syzygy.E001)" in blog.manage("check").stderr
    assert made(blog).stdout == "No changes detected\n"


def test_updating_the_latest(blog: Project) -> None:
    body = "    body = models.TextField(null=True)\n"
    now(blog, POST + body)
    made(blog)
    now(blog, POST + body + SLUG)
    made(blog, "--update")
    assert list(files(blog)) == [
        "0001_initial",
        "0002_post_body_post_slug",
        "0003_drop_db_default_post_slug",
    ]
    assert "'0002_post_body_post_slug'" in files(blog)["0003_drop_db_default_post_slug"]
    # What has to run before the rollout can't be part of that.
    now(blog, POST + body + SLUG + "    more = models.TextField(null=True)\n")
    result = made(blog, "--update", code=3)
    assert "0003_drop_db_default_post_slug" in result.stderr
    # What runs after it can.
    now(blog, POST + body + SLUG.replace('"none"', '"none", max_length=40'))
    made(blog, "--update")
    assert list(files(blog))[2:] == ["0003_alter_post_slug"]
    assert made(blog).stdout == "No changes detected\n"
    assert blog.manage("migrate").returncode == 0


def branched(blog: Project) -> str:
    """Have both halves of two changes, in branches, and return the models' text."""
    fields = ["    a = models.IntegerField(default=1)\n", SLUG]
    for field in fields:
        hidden = [
            file.rename(file.with_suffix(".hidden"))
            for file in (blog.path / "blog/migrations").glob("000[23]*.py")
        ]
        now(blog, POST + field)
        made(blog)
        for file in hidden:
            file.rename(file.with_suffix(".py"))
    now(blog, POST + "".join(fields))
    return POST + "".join(fields)


def test_merging_the_halves_of_changes(blog: Project) -> None:
    models = branched(blog)
    assert "Conflicting migrations detected" in made(blog, code=1).stderr
    made(blog, "--merge", "--noinput")
    [name] = [name for name in files(blog) if name.startswith("0004_merge")]
    for arguments in ([], ["--check"]):
        assert made(blog, *arguments).stdout == "No changes detected\n"
    # What comes into the merge needs the second halves, as whatever follows it does.
    now(blog, f"{models}    more = models.TextField(null=True)\n")
    told = made(blog, "--update").stderr
    assert told == (
        '"blog.0004_post_more" has to run before the rollout, but needs '
        '"blog.0003_drop_db_default_post_a", which runs after it and may not be '
        'released yet. In one deployment "migrate --pre-deploy" refuses that: deploy '
        "them one after the other, or make them one change.\n"
    )
    assert name not in files(blog)
    assert blog.manage("migrate", "--pre-deploy").returncode == 0


def test_merging_what_has_nothing_in_common(blog: Project) -> None:
    other = source("m.RunPython(print)", dependencies=())
    blog.migrations("blog", {"0001_other": other})
    result = made(blog, "--merge", "--noinput", code=1)
    assert result.stderr == (
        "CommandError: Could not find common ancestor of ['0001_initial', "
        "'0001_other']: nothing comes before all of them. Have one of their branches "
        "depend on the other one.\n"
    )


def test_settings_that_make_no_sense_without_the_checks(blog: Project) -> None:
    """What names a migration that is to be written anew does make sense."""
    now(blog, POST + SLUG)
    name = "blog.0002_post_slug"
    arguments = ["--skip-checks", "--dry-run"]
    for value, code in (({name: "never"}, 1), ({name: "pre_deploy"}, 0)):
        blog.settings["MIGRATION_STAGES_OVERRIDE"] = value
        told = made(blog, *arguments, code=code).stderr
        assert ("which is no stage. Use Stage.PRE_DEPLOY" in told) == bool(code)
        assert told.count("\n") == code
        made(blog, *arguments, "--disable-syzygy")


def test_what_comes_after_what_is_not_released(
    blog: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(blog.path)

    def git(*arguments: str) -> None:
        who = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
        subprocess.run(["git", *who, *arguments], cwd=blog.path, check=True)

    def next_change() -> str:
        models = (blog.path / "blog/models.py").read_text(encoding="utf-8")
        count = models.count("SlugField") + 1
        blog.write("blog/models.py", f"{models}{SLUG.replace('slug', f's{count}')}")
        told = StringIO()
        blog.call("makemigrations", stderr=told)
        return told.getvalue()

    assert next_change() == ""
    first = (
        '"blog.0004_post_s2" has to run before the rollout, but needs '
        '"blog.0003_drop_db_default_post_s1", which runs after it and {}. In one '
        'deployment "migrate --pre-deploy" refuses that: deploy them one after the '
        "other, or make them one change."
    )
    unknown = first.format("may not be released yet") + "\n"
    assert next_change() == unknown
    # Nor can anybody tell where there is no database.
    for file in (blog.path / "blog/migrations").glob("000[45]*"):
        file.unlink()
    blog.extra = "DATABASES = {}"
    assert unknown in made(blog).stderr
    blog.extra = ""
    blog.call("migrate", verbosity=0)
    assert next_change() == ""
    # Git knows what is there already, and what others have.
    git("init", "-q", "-b", "main")
    git("add", "blog/migrations/0001_initial.py", "blog/models.py")
    git("commit", "-qm", "1")
    next_change()
    told = next_change()
    assert told.startswith(
        first.format("isn't released yet")
        + "\nTo make them one, go back in your database, delete 0002_post_s1, "
    )
    assert "0011_drop_db_default_post_s5, and write them anew:\n" in told
    assert told.endswith(
        "    python manage.py migrate blog 0001_initial\n"
        "    python manage.py makemigrations blog\n"
    )
    # What somebody wrote is not to be lost.
    last = (("blog", max(files(blog))),)
    run = source("m.RunPython(print)", dependencies=last)
    blog.migrations("blog", {"0012_data": run})
    assert ", and write them anew. Keep a copy of 0012_data: " in next_change()
    git("add", ".")
    git("commit", "-qm", "2")
    assert next_change() == ""
    git("update-ref", "refs/remotes/origin/main", "HEAD~")
    git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
    assert '"blog.0004_post_s2"' in next_change()
    blog.settings["MIGRATION_STAGES_BASELINE"] = {"blog": max(files(blog))}
    assert next_change() == ""


def test_rolling_back_over_rows_that_the_old_release_forbids(blog: Project) -> None:
    now(blog, POST.replace("30)", "30, unique=True)"))
    made(blog)
    now(blog, POST)
    made(blog)
    assert blog.manage("migrate").returncode == 0
    insert = "INSERT INTO blog_post (title) VALUES ('a')"
    with connection.cursor() as cursor:
        for _ in range(2):
            cursor.execute(insert)
    back = ("migrate", "blog", "0002")
    assert blog.manage(*back, "--pre-deploy").returncode == 0
    result = blog.manage(*back)
    assert result.returncode == 1
    assert "IntegrityError" in result.stderr
    # Nothing has happened, and nothing is lost.
    assert blog.applied()[-1] == "blog.0003_relax_post_title"
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM blog_post WHERE id = 1")
        assert blog.manage(*back).returncode == 0
        with pytest.raises(IntegrityError):
            cursor.execute(insert)


@pytest.mark.parametrize("stdin", ["closed", "null", "pipe"])
def test_without_a_terminal_nothing_hangs(blog: Project, stdin: str) -> None:
    now(blog, POST + SLUG.replace('default="none"', ""))
    blog.write_settings()
    read, write = os.pipe()
    try:
        process = subprocess.run(
            [sys.executable, "manage.py", "makemigrations"],
            cwd=blog.path,
            env=environment(),
            stdin={"null": subprocess.DEVNULL, "pipe": read, "closed": None}[stdin],
            preexec_fn=(lambda: os.close(0)) if stdin == "closed" else None,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        os.close(read)
        os.close(write)
    assert process.returncode == 3, process.stderr
    assert process.stdout == ""
    assert 'CommandError: The new field "slug" of "blog.Post" needs a value' in (
        process.stderr
    )
    assert "slug = models.SlugField(null=True)" in process.stderr
    assert list(files(blog)) == ["0001_initial"]


def test_nobody_knows_what_replaces_null(blog: Project) -> None:
    """There may be none. Who isn't asked is told what may happen, and the ways out."""
    field = "    subtitle = models.CharField(max_length=20{})\n"
    now(blog, POST + field.format(", null=True"))
    blog.write_settings()
    made(blog)
    now(blog, POST + field.format(""))
    told = made(blog).stdout
    assert told.count('The field "subtitle" of "post" is made NOT NULL') == 1
    assert "fails if any row has NULL by then. Give the field a default" in told
    assert "NOT PROVIDED" not in told
    # A default is all that it takes.
    for each in blog.path.glob("blog/migrations/0003*"):
        each.unlink()
    now(blog, POST + field.format(", default='-'"))
    assert "NULL" not in made(blog).stdout


def test_the_same_for_any_hash_seed(blog: Project) -> None:
    def models(names: str) -> str:
        a, b, c, *_ = list(names)
        fields = "".join(
            f"    {name} = models.CharField(max_length={ord(name)}, default='', "
            f"unique={name > 'e'}, null={name > 'e'})\n"
            for name in names
        )
        return (
            f"{AUTHOR}{POST}{fields}"
            f"    of_{a} = models.ManyToManyField('Author', related_name='{a}')\n"
            f"    of_{b} = models.ForeignKey("
            f"'Author', models.CASCADE, '{b}', null=True)\n"
            "    class Meta:\n"
            f"        unique_together = [('{a}', 'title'), ('{c}', 'title')]\n"
            f"        indexes = [models.Index(n, name=n) for n in '{names[:3]}']\n"
        )

    now(blog, models("abcdefgh"))
    made(blog)
    # What comes, what goes, and what stays.
    now(blog, models("efghijkl"))
    blog.write_settings()
    outputs = set()
    for seed in ("1", "2"):
        process = subprocess.run(
            [sys.executable, "manage.py", *["makemigrations", "--dry-run", "-v3"]],
            cwd=blog.path,
            env=environment() | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        assert "0004" in process.stdout
        outputs.add(re.sub("# Generated.*", "", process.stdout))
    assert len(outputs) == 1


# What other apps do

DETECTING = """
from django.apps import AppConfig

class Config(AppConfig):
    name = "{name}"

    def ready(self):
        from django.core.management.commands import makemigrations, migrate
        from django.db.migrations import RunSQL

        base = migrate.Command.autodetector

        class Detector(base):
            def generate_altered_options(self):
                super().generate_altered_options()
                if "post" in {{name for _, name in self.new_model_keys}}:
                    if ("blog", "post", "slug") in self.new_field_keys - (
                        self.old_field_keys
                    ):
                        self.add_operation("blog", RunSQL("SELECT 1", "SELECT 2"))

        makemigrations.Command.autodetector = Detector
        migrate.Command.autodetector = Detector
"""


def test_another_autodetector(blog: Project) -> None:
    blog.write("detecting/__init__.py")
    blog.write("detecting/apps.py", DETECTING.format(name="detecting"))
    blog.installed.insert(0, "detecting.apps.Config")
    now(blog, POST + SLUG)
    made(blog)
    texts = list(files(blog).values())
    assert sum("SELECT 1" in text for text in texts) == 1
    assert len(texts) == 3
    assert blog.manage("check").returncode == 0


TRIGGER = """
import pgtrigger

class Post(models.Model):
    title = models.CharField(max_length=30)
    {field}

    class Meta:
        triggers = [
            pgtrigger.Protect(name="{name}", operation=pgtrigger.Delete)
        ]
"""


def test_together_with_pgtrigger(blog: Project) -> None:
    pytest.importorskip("pgtrigger", reason="It needs psycopg.", exc_type=ImportError)
    blog.installed.insert(0, "pgtrigger")
    now(blog, TRIGGER.format(field='slug = models.SlugField(default="none")', name="a"))
    made(blog)
    before, after = list(files(blog).items())[1:]
    assert before[1].count("pgtrigger.migrations.AddTrigger(") == 1
    assert "db_default='none'" in before[1]
    assert after[0] == "0003_drop_db_default_post_slug"
    assert "rigger" not in after[1]
    assert made(blog).stdout == "No changes detected\n"
    assert blog.manage("check").returncode == 0
    now(blog, TRIGGER.format(field="", name="b"))
    made(blog)
    texts = "".join(list(files(blog).values())[3:])
    assert texts.count("pgtrigger.migrations.AddTrigger(") == 1
    assert texts.count("pgtrigger.migrations.RemoveTrigger(") == 1
    assert "migrations.RemoveField(" in list(files(blog).values())[-1]
    assert made(blog).stdout == "No changes detected\n"
    assert blog.manage("migrate").returncode == 0


def test_another_command(blog: Project) -> None:
    blog.app("other")
    blog.app("glue")
    blog.write(
        "other/management/commands/makemigrations.py",
        "from django.core.management.commands.makemigrations import Command as Base\n"
        "class Command(Base):\n"
        "    def handle(self, *args, **options):\n"
        "        self.stderr.write('other')\n"
        "        return super().handle(*args, **options)\n",
    )
    blog.installed[:] = ["other", "syzygy", "blog"]
    warned = blog.manage("check").stderr
    assert 'The command "makemigrations" of "other" hides that of "syzygy"' in warned
    hint = warned.split("makemigrations.py:\n")[1].splitlines()
    glue = "\n".join(line.strip("\t ") for line in hint[:2])
    assert "import MakeMigrationsMixin" in glue
    blog.write(
        "glue/management/commands/makemigrations.py",
        f"{glue}\nclass Command(MakeMigrationsMixin, other.Command):\n    pass\n",
    )
    blog.installed.insert(0, "glue")
    assert blog.manage("check").stderr == ""
    now(blog, POST + SLUG)
    assert made(blog).stderr == "other\n"
    assert len(files(blog)) == 3


def test_nothing_is_left_behind(blog: Project) -> None:
    before = vars(django_makemigrations)["MigrationWriter"]
    blog.call("makemigrations", "--dry-run")
    assert vars(django_makemigrations)["MigrationWriter"] is before
