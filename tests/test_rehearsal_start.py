"""Where a rehearsal starts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.db.migrations.loader import MigrationLoader

from syzygy.git import GitError
from syzygy.rehearsal.sources import is_same_migration
from syzygy.rehearsal.start import StartError, applied_in, before, present_at
from tests.command_helpers import (
    ADD,
    ADD_MORE,
    CREATE,
    REMOVE,
    STATE_ONLY,
    Project,
    dump,
    source,
)
from tests.services import UNDER_TEST
from tests.test_git import commit_all, run_git

AUTH = ["django.contrib.contenttypes", "django.contrib.auth"]

pytest_plugins = ["tests.command_fixtures"]


def error(function: Callable[[], object], kind: type[Exception] = StartError) -> str:
    with pytest.raises(kind) as caught:
        function()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def named(keys: set[tuple[str, str]], *labels: str) -> list[str]:
    """Return the migrations of these apps, in order."""
    return sorted(f"{label}.{name}" for label, name in keys if label in labels)


@contextmanager
def configured(**values: Any) -> Iterator[Any]:
    """Yield a connection of its own with other settings."""
    connection = connections["default"].copy()
    connection.settings_dict.update(values)
    try:
        yield connection
    finally:
        connection.close()


@pytest.fixture
def blog(project: Project) -> Project:
    project.app(
        "blog",
        {
            "0001_initial": source(CREATE),
            "0002_slug": source(ADD),
            "0003_more": source(ADD_MORE),
        },
    )
    return project


class TestApplied:
    def test_what_is_recorded(self, blog: Project) -> None:
        blog.call("migrate", "blog", "0002", verbosity=0)
        state = dump()
        assert applied_in(connections["default"]) == {
            ("blog", "0001_initial"),
            ("blog", "0002_slug"),
        }
        assert dump() == state

    @pytest.mark.usefixtures("project")
    def test_an_empty_database_stays_empty(self) -> None:
        assert applied_in(connections["default"]) == set()
        assert dump() == {}

    @pytest.mark.usefixtures("project")
    @pytest.mark.skipif(UNDER_TEST != "sqlite", reason="of SQLite")
    def test_no_file_is_made(self, tmp_path: Path) -> None:
        with configured(NAME=tmp_path / "new.sqlite3") as connection:
            assert applied_in(connection) == set()
        assert not (tmp_path / "new.sqlite3").exists()

    @pytest.mark.usefixtures("project")
    def test_no_connection(self, tmp_path: Path) -> None:
        values = {"NAME": str(tmp_path)} if UNDER_TEST == "sqlite" else {"PORT": 1}
        with configured(**values) as connection:
            said = error(lambda: applied_in(connection))
        assert said.startswith(
            'The database "default" can\'t be asked which migrations'
        )
        assert said.endswith("add --since origin/main")


class TestBefore:
    @pytest.fixture
    def start(self, project: Project) -> Callable[..., list[str]]:
        """Three apps: the second needs the first, and the first the third."""
        project.app("other", {"0001_a": source(), "0002_b": source()})
        project.app(
            "blog",
            {
                "0001_initial": source(dependencies=[("other", "0001_a")]),
                "0002_slug": source(),
                "0002_slug_more": source(dependencies=[("blog", "0002_slug")]),
                "0010_last": source(),
            },
        )
        project.app(
            "shop",
            {
                "0001_a": source(dependencies=[("blog", "0001_initial")]),
                "0002_b": source(
                    dependencies=[("shop", "0001_a"), ("blog", "0002_slug_more")]
                ),
                "0003_c": source(),
            },
        )
        project.app("plain")

        def call(*targets: str) -> list[str]:
            with project.active():
                graph = MigrationLoader(None).graph
                return named(before(targets, graph), "blog", "shop", "other")

        return call

    ALL = (
        "blog.0001_initial",
        "blog.0002_slug",
        "blog.0002_slug_more",
        "blog.0010_last",
        "other.0001_a",
        "other.0002_b",
        "shop.0001_a",
        "shop.0002_b",
        "shop.0003_c",
    )

    @pytest.mark.parametrize(
        ("targets", "undone"),
        [
            ([], []),
            (["blog.0010"], []),
            (["blog.0002_slug_more"], ["blog.0010_last"]),
            # The name itself goes before others that begin with it.
            (
                ["blog.0002_slug"],
                ["blog.0002_slug_more", "blog.0010_last", "shop.0002_b", "shop.0003_c"],
            ),
            (["shop.zero"], ["shop.0001_a", "shop.0002_b", "shop.0003_c"]),
            (["shop.0002", "other.0001"], ["other.0002_b", "shop.0003_c"]),
            (
                ["blog.zero", "blog.0010"],
                [name for name in ALL if not name.startswith("other")],
            ),
            (["other.zero"], list(ALL)),
        ],
    )
    def test_what_comes_after_is_left_out(
        self, start: Callable[..., list[str]], targets: list[str], undone: list[str]
    ) -> None:
        assert start(*targets) == [name for name in self.ALL if name not in undone]

    def test_through_another_app(self, project: Project) -> None:
        project.app("blog", {"0001_a": source()})
        project.app("shop", {"0001_a": source(dependencies=[("blog", "0001_a")])})
        project.migrations(
            "blog", {"0002_b": source(dependencies=[("shop", "0001_a")])}
        )
        with project.active():
            graph = MigrationLoader(None).graph
            assert named(before(["blog.0001"], graph), "blog", "shop") == [
                "blog.0001_a",
                "shop.0001_a",
            ]

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            (
                "blog",
                '"blog" is no migration: it takes an app label, a dot, and a name or '
                'the begin of one, such as "blog.0042", or "blog.zero".',
            ),
            ("blog.", '"blog." is no migration: it takes'),
            ("nope.0001", 'There is no app "nope", as in "nope.0001".'),
            ("plain.0001", 'The app "plain" of "plain.0001" has no migrations.'),
            (
                "blog.0042",
                'The app "blog" has no migration whose name begins with "0042".',
            ),
            (
                "blog.0002",
                '"blog.0002" may be any of "blog.0002_slug", "blog.0002_slug_more": '
                "write more of the name.",
            ),
        ],
    )
    def test_errors(
        self, start: Callable[..., list[str]], target: str, message: str
    ) -> None:
        assert error(lambda: start(target)).startswith(message)

    def test_a_name_that_was_replaced(self, blog: Project) -> None:
        blog.migrations(
            "blog",
            {
                "0001_squashed_0003": source(
                    CREATE,
                    dependencies=[],
                    replaces=repr([("blog", "0001_initial"), ("blog", "0002_slug")]),
                ),
                "0003_more": source(
                    ADD_MORE, dependencies=[("blog", "0001_squashed_0003")]
                ),
            },
        )
        with blog.active():
            graph = MigrationLoader(None).graph
            said = error(lambda: before(["blog.0002"], graph))
        assert said == (
            'The app "blog" has no migration whose name begins with "0002", but '
            '"blog.0001_squashed_0003", which replaces it.'
        )


class TestPresent:
    ALL = ("blog.0001_initial", "blog.0002_slug", "blog.0003_more")

    def since(
        self, project: Project, ref: str = "HEAD", *labels: str, **settings: Any
    ) -> list[str]:
        with project.active(**settings):
            return named(present_at(ref, str(project.path)), *(labels or ["blog"]))

    def edit(
        self, project: Project, old: str, new: str, name: str = "0002_slug"
    ) -> Path:
        path = project.path / f"blog/migrations/{name}.py"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        return path

    def test_what_came_since_is_not(self, blog: Project) -> None:
        commit_all(blog.path)
        run_git(blog.path, "tag", "v1")
        blog.migrations("blog", {"0004_committed": source(STATE_ONLY)})
        commit_all(blog.path)
        blog.migrations("blog", {"0005_untracked": source(REMOVE)})
        # An app that is new, tracked or not.
        blog.app("shop", {"0001_initial": source(CREATE)})
        assert self.since(blog, "v1", "blog", "shop") == [*self.ALL]
        assert self.since(blog, "HEAD", "blog", "shop") == [
            *self.ALL,
            "blog.0004_committed",
        ]
        run_git(blog.path, "add", "--all")
        assert self.since(blog, "v1", "blog", "shop") == [*self.ALL]
        assert run_git(blog.path, "rev-parse", "HEAD~1", "v1").split()[0] == run_git(
            blog.path, "rev-parse", "v1"
        )

    def test_the_current_folder_is_the_default(
        self, blog: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        commit_all(blog.path)
        monkeypatch.chdir(blog.path / "blog")
        with blog.active():
            assert named(present_at("HEAD"), "blog") == [*self.ALL]

    def test_errors_of_git(self, blog: Project) -> None:
        assert "no git repository" in error(lambda: self.since(blog), GitError)
        commit_all(blog.path)
        said = error(lambda: self.since(blog, "origin/main"), GitError)
        assert said.startswith('There is no commit "origin/main"')

    def test_modules_that_are_no_migrations(self, blog: Project) -> None:
        folder = blog.path / "blog/migrations"
        for name in ("_helpers.py", "~0009_x.py", "notes.txt", "0009_x.old.py"):
            (folder / name).touch()
        (folder / "sub").mkdir()
        (folder / "sub/0009_x.py").touch()
        commit_all(blog.path)
        assert self.since(blog) == [*self.ALL]

    def test_a_project_below_the_root_and_odd_names(
        self, blog: Project, tmp_path: Path
    ) -> None:
        below = tmp_path / "dé pôt\n" / "-src"
        below.mkdir(parents=True)
        for path in list(blog.path.iterdir()):
            if path != below.parent:
                shutil.move(path, below)
        blog.path = below
        commit_all(below.parent)
        blog.migrations("blog", {"0004_new": source(STATE_ONLY)})
        assert self.since(blog) == [*self.ALL]

    def test_a_worktree(self, blog: Project, tmp_path: Path) -> None:
        commit_all(blog.path)
        run_git(blog.path, "worktree", "add", str(tmp_path / "tree"))
        blog.path = tmp_path / "tree"
        blog.migrations("blog", {"0004_new": source(STATE_ONLY)})
        assert self.since(blog) == [*self.ALL]

    # Apps that the repository doesn't have

    def test_a_third_party_counts_as_applied(self, blog: Project) -> None:
        commit_all(blog.path)
        blog.installed += AUTH
        found = self.since(blog, "HEAD", "auth")
        assert "auth.0001_initial" in found

    def test_a_third_party_with_migrations_of_the_project(self, blog: Project) -> None:
        blog.installed += AUTH
        blog.write("own/__init__.py")
        blog.write("own/0001_initial.py", source().text(None))
        commit_all(blog.path)
        blog.write("own/0002_new.py", source().text(("auth", "0001_initial")))
        found = self.since(
            blog,
            "HEAD",
            "auth",
            MIGRATION_MODULES={"auth": "own"},
        )
        assert found == ["auth.0001_initial"]

    def test_ignored_nested_and_outside(
        self, blog: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = ["ignored", "nested", "outside", "linked"]
        for name in names:
            blog.app(name, {"0001_initial": source()})
        blog.write(".gitignore", "/ignored/\n/beside/\n")
        commit_all(blog.path / "nested")
        beside = tmp_path.with_name(tmp_path.name + "_beside")
        beside.mkdir()
        shutil.move(blog.path / "outside", beside)
        shutil.move(blog.path / "linked", beside)
        (blog.path / "linked").symlink_to(beside / "linked")
        monkeypatch.syspath_prepend(str(beside))
        shutil.rmtree(blog.path / "ignored" / "__pycache__", ignore_errors=True)
        commit_all(blog.path)
        for name in names:
            blog_folder = blog.path if name != "outside" else beside
            (blog_folder / name / "migrations/0002_new.py").write_text(
                source().text((name, "0001_initial"))
            )
        assert self.since(blog, "HEAD", *names) == [
            f"{name}.{migration}"
            for name in sorted(names)
            for migration in ("0001_initial", "0002_new")
        ]
        shutil.rmtree(beside)

    # Squashed

    def squash(self, project: Project, replaces: str) -> None:
        for name in ("0002_slug", "0003_more"):
            (project.path / f"blog/migrations/{name}.py").unlink()
        project.migrations(
            "blog",
            {"0002_squashed_0003_more": source(ADD, ADD_MORE, replaces=replaces)},
        )

    def test_what_was_squashed_since_is_kept(self, blog: Project) -> None:
        commit_all(blog.path)
        self.squash(blog, '[("blog", "0002_slug"), ("blog", "0003_more")]')
        assert self.since(blog) == [*self.ALL]

    def test_a_squash_that_was_completed_since(self, blog: Project) -> None:
        self.squash(blog, '[("blog", "0002_slug"), ("blog", "0003_more")]')
        for name, operation in (("0002_slug", ADD), ("0003_more", ADD_MORE)):
            (blog.path / f"blog/migrations/{name}.py").write_text(
                source(operation).text(("blog", "0001_initial"))
            )
        commit_all(blog.path)
        for name in ("0002_slug", "0003_more"):
            (blog.path / f"blog/migrations/{name}.py").unlink()
        self.edit(
            blog,
            'replaces = [("blog", "0002_slug"), ("blog", "0003_more")]',
            "initial = False",
            "0002_squashed_0003_more",
        )
        assert self.since(blog) == [
            *self.ALL[:2],
            "blog.0002_squashed_0003_more",
            *self.ALL[2:],
        ]

    def test_what_is_gone_and_not_replaced(self, blog: Project) -> None:
        commit_all(blog.path)
        (blog.path / "blog/migrations/0003_more.py").unlink()
        assert error(lambda: self.since(blog)) == (
            'Migration "blog.0003_more" is at "HEAD" but not here: merge or rebase '
            "first."
        )
        self.squash_part(blog)
        assert error(lambda: self.since(blog)) == (
            'Migration "blog.0003_more" is at "HEAD" but not here: merge or rebase '
            "first."
        )
        (blog.path / "blog/migrations/0001_initial.py").unlink()
        assert error(lambda: self.since(blog)) == (
            'Migrations "blog.0001_initial", "blog.0003_more" are at "HEAD" but not '
            "here: merge or rebase first."
        )

    def test_what_was_renamed(self, blog: Project) -> None:
        commit_all(blog.path)
        folder = blog.path / "blog/migrations"
        (folder / "0003_more.py").rename(folder / "0003_else.py")
        assert error(lambda: self.since(blog)) == (
            'Migration "blog.0003_more" is at "HEAD" but not here, where '
            '"blog.0003_else" does what "blog.0003_more" did: if it was renamed, have '
            "it say replaces = [('blog', '0003_more')], for it is known by its old "
            "name where it is deployed; if not, merge or rebase first."
        )
        text = (folder / "0003_else.py").read_text()
        said = "    replaces = [('blog', '0003_more')]\n"
        (folder / "0003_else.py").write_text(text + said)
        assert self.since(blog) == [*self.ALL]
        # Of two that are gone, one was renamed and the other one wasn't.
        (folder / "0003_else.py").write_text(text)
        (folder / "0002_slug.py").unlink()
        assert error(lambda: self.since(blog)).endswith("merge or rebase first.")
        assert "renamed" not in error(lambda: self.since(blog))

    def squash_part(self, project: Project) -> None:
        (project.path / "blog/migrations/0002_slug.py").unlink()
        project.migrations(
            "blog", {"0002_squashed": source(ADD, replaces='[("blog", "0002_slug")]')}
        )

    def test_all_are_gone(self, blog: Project) -> None:
        commit_all(blog.path)
        shutil.rmtree(blog.path / "blog/migrations")
        said = error(lambda: self.since(blog))
        assert said.startswith('Migrations "blog.0001_initial", "blog.0002_slug", ')
        assert self.since(blog, MIGRATION_MODULES={"blog": None}) == []

    # Edited

    def test_an_edited_one(self, blog: Project) -> None:
        commit_all(blog.path)
        self.edit(blog, "null=True", "null=False")
        said = error(lambda: self.since(blog))
        assert said.startswith('Migration "blog.0002_slug" was edited since "HEAD"')
        # Whether it is committed makes no difference.
        commit_all(blog.path)
        said = error(lambda: self.since(blog, "HEAD~1"))
        assert said.startswith('Migration "blog.0002_slug" was edited since "HEAD~1"')
        self.edit(blog, "null=True", "null=False", "0003_more")
        said = error(lambda: self.since(blog, "HEAD~1"))
        assert said.startswith(
            'Migrations "blog.0002_slug", "blog.0003_more" were edited since'
        )

    def test_one_that_is_reformatted(self, blog: Project) -> None:
        commit_all(blog.path)
        path = self.edit(blog, "dependencies = ", "# note\r\n    dependencies  =  ")
        assert b"\r\n" in path.read_bytes()
        self.edit(blog, "class Mig", '"""Doc."""\n\n\nclass Mig', "0003_more")
        assert self.since(blog) == [*self.ALL]

    def test_old_code_that_is_tidied_up(self, blog: Project) -> None:
        """What it does has been done everywhere, if the settings say so."""
        blog.migrations("blog", {"0004_fill": source("m.RunPython(run)")})
        code = "def run(apps, schema_editor):\n    assert apps\n\n\nclass Migration"
        self.edit(blog, "class Migration", code, "0004_fill")
        commit_all(blog.path)
        self.edit(blog, "    assert apps", "    assert schema_editor", "0004_fill")

        said = error(lambda: self.since(blog))
        assert said.startswith('Migration "blog.0004_fill" was edited since "HEAD"')
        assert said.endswith(
            " Nothing but code has changed: if they are all deployed everywhere, say "
            'so in the setting "MIGRATION_STAGES_BASELINE", with the line that "python '
            'manage.py check_migrations --write-baseline" prints.'
        )
        covered: dict[str, Any] = {"MIGRATION_STAGES_BASELINE": {"blog": "0004_fill"}}
        assert self.since(blog, **covered) == [*self.ALL, "blog.0004_fill"]
        too_old: dict[str, Any] = {"MIGRATION_STAGES_BASELINE": {"blog": "0003_more"}}
        assert error(lambda: self.since(blog, **too_old)) == said
        # Another operation is one that no database has.
        self.edit(blog, "null=True", "null=False")
        said = error(lambda: self.since(blog, **covered))
        assert said == (
            'Migration "blog.0002_slug" was edited since "HEAD", where it may be '
            "deployed: restore what it did and write another migration, or merge if it "
            "was edited there."
        )
        self.edit(blog, "m.RunPython(run)", "m.RunPython(run, run)", "0004_fill")
        said = error(lambda: self.since(blog, **covered))
        assert said.startswith('Migrations "blog.0002_slug", "blog.0004_fill" were ')

    # Moved

    def test_a_folder_that_moved(self, blog: Project) -> None:
        commit_all(blog.path)
        (blog.path / "apps").mkdir()
        (blog.path / "apps/__init__.py").touch()
        shutil.move(blog.path / "blog", blog.path / "apps/blog")
        blog.installed = ["apps.blog"]
        said = error(lambda: self.since(blog))
        assert said.startswith(
            'The migrations of "blog" are in "apps/blog/migrations", but were in '
            '"blog/migrations" at "HEAD"'
        )

    def test_a_folder_that_the_settings_moved(self, blog: Project) -> None:
        commit_all(blog.path)
        shutil.move(blog.path / "blog/migrations", blog.path / "history")
        said = error(lambda: self.since(blog, MIGRATION_MODULES={"blog": "history"}))
        assert 'are in "history", but were in "blog/migrations"' in said

    def test_a_new_app_like_another_and_one_instead_of_another(
        self, blog: Project
    ) -> None:
        blog.app("gone", {"0001_initial": source(CREATE, STATE_ONLY)})
        commit_all(blog.path)
        # A copy of the blog's, which is still there.
        blog.app("shop", {"0001_initial": source(CREATE)})
        blog.app("news", {"0001_initial": source(STATE_ONLY)})
        shutil.rmtree(blog.path / "gone")
        blog.installed.remove("gone")
        assert self.since(blog, "HEAD", "shop", "news", "blog") == [*self.ALL]


MODULE = """
from django.db import migrations, models
from functools import partial

def run(apps, schema_editor):
    apps.get_model("a", "B").objects.all()

class Migration(migrations.Migration):
    dependencies = [("a", "0001")]
    operations = [migrations.RunPython(run), migrations.AddField("b", "c", 1)]
"""


class TestSame:
    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("", ""),
            ("\n", "\r\n"),
            ("    ", "        "),
            ('"a", "0001"', "'a',\n  '0002'"),
            ("dependencies", "initial = True\n    dependencies"),
            ("dependencies", "replaces = [('a', 'b')]\n    dependencies"),
            ("dependencies", "run_before = []\n    dependencies"),
            ("dependencies", "stage = Stage.PRE_DEPLOY\n    dependencies"),
            ("\nfrom django", "\nfrom syzygy import Stage\nfrom django"),
            (
                "    dependencies = [",
                "    stage: ClassVar = Stage.PRE_DEPLOY\n    dependencies: list = [",
            ),
            ("migrations, models", "migrations as m, migrations"),
            ("from functools import partial\n", ""),
            ("import migrations, models", "import models, migrations"),
            ("class Migration", "# A comment.\nclass Migration"),
            ("\nfrom django", '"""A docstring."""\nfrom django'),
            ("    dep", '    """A docstring."""\n    dep'),
            ("    apps.get", '    """A docstring."""\n    apps.get'),
            ("(apps, schema_editor)", "(apps: Apps, schema_editor) -> None"),
            ("RunPython(run)", "RunPython(run, elidable=True)"),
            ('"B"', "'''B'''"),
            ('"B"', '"" "B"'),
            ('"B"', '("B")'),
            ("    operations = [", "    operations: ClassVar[list] = ["),
        ],
    )
    def test_no_difference(self, old: str, new: str) -> None:
        other = MODULE.replace(old, new) if old else MODULE
        assert is_same_migration(MODULE.encode(), other.encode())

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ('"c", 1', '"c", 2'),
            ('"B"', '"b"'),
            ("RunPython(run)", "RunPython(run, run)"),
            ("RunPython(run)", "RunPython(run, atomic=True)"),
            (".all()", ".all().delete()"),
            ("    dep", "    atomic = False\n    dep"),
            ("    operations", "    operations = other ="),
            ("db import migrations", "db import models as migrations"),
            ("operations =", "operations: list\n    other ="),
            ("def run", "@partial\ndef run"),
            ("class", "raise SystemExit\nclass"),
            ("class", "clas"),
            ("(apps, schema_editor)", "(schema_editor, apps)"),
        ],
    )
    def test_a_difference(self, old: str, new: str) -> None:
        other = MODULE.replace(old, new)
        assert other != MODULE
        assert not is_same_migration(MODULE.encode(), other.encode())

    @pytest.mark.parametrize(
        ("old", "new", "is_same"),
        [
            ("CharField(validators=[run])", "CharField()", True),
            ("CharField()", 'models.CharField(verbose_name="C")', False),
            ("models.ImageField(upload_to=run)", "models.ImageField()", True),
            ('ForeignKey("D", related_name="+")', 'ForeignKey("D")', True),
            ("CharField(max_length=9)", "CharField()", False),
            ('CharField(db_column="d")', "CharField()", False),
            ('models.CharField(choices=["a"])', "models.CharField()", True),
            ('kinds.KindField(choices=["a"])', "kinds.KindField()", False),
            ("helper(validators=[])", "helper()", False),
            ("helper()(validators=[])", "helper()()", False),
        ],
    )
    def test_arguments_that_no_database_hears_of(
        self, old: str, new: str, is_same: bool
    ) -> None:
        texts = [MODULE.replace('"c", 1', f'"c", {field}') for field in (old, new)]
        before, after = (text.encode() for text in texts)
        assert is_same_migration(before, after) is is_same

    @pytest.mark.parametrize(
        ("operation", "old", "new", "is_same"),
        [
            (
                "RunPython(run, code=run)",
                "A = 1\ndef run(): A",
                "def run(): return 2",
                True,
            ),
            (
                "RunPython(run)",
                "def run(): other()\ndef other(): return 1",
                "def run(): return 2",
                True,
            ),
            (
                "CharField(default=make)",
                "def make(): return 1",
                "def make(): return 2",
                True,
            ),
            # These are what operations are made of.
            ("CharField(max_length=N)", "N = 1", "N = 2", False),
            (
                "CharField(max_length=N)",
                "N: int = M\nM = 1",
                "N: int = M\nM = 2",
                False,
            ),
            ("RunSQL(S)", 'S = "DROP"', 'S = "CREATE"', False),
            ("RunSQL(make())", "def make(): return 1", "def make(): return 2", False),
            (
                "RunSQL(*map(make, []))",
                "def make(): return 1",
                "def make(): return 2",
                False,
            ),
            ("Own()", "class Own: a = 1", "class Own: a = 2", False),
            ("RunPython(run)", "if run: N = 1", "if run: N = 2", False),
        ],
    )
    def test_the_code_beside_the_operations(
        self, operation: str, old: str, new: str, is_same: bool
    ) -> None:
        text = f"class Migration(Base):\n    operations = [{operation}]\n"
        texts = [f"{code}\n{text}".encode() for code in (old, new)]
        assert not is_same_migration(*texts)
        assert is_same_migration(*texts, but_for_code=True) is is_same

    @pytest.mark.parametrize(
        "text",
        [b"class", b"\0", b"\xff", b"(" * 5000 + b")" * 5000, b"# coding: nope\n"],
        ids=["syntax", "null", "coding", "deep", "no codec"],
    )
    def test_what_can_not_be_read(self, text: bytes) -> None:
        assert is_same_migration(text, text)
        assert not is_same_migration(text, text + b"\n")
        assert not is_same_migration(MODULE.encode(), text)
        assert not is_same_migration(MODULE.encode(), None)

    def test_no_warnings_of_the_compiler(self) -> None:
        text = MODULE.replace('"B"', r'"\d"')
        assert is_same_migration(text.encode(), text.encode() + b"\n")
