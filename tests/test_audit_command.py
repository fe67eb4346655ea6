"""``check_migrations`` in real projects: what is audited, how it ends, what is told."""

from __future__ import annotations

import json
import re
import subprocess
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import (
    BaseCommand,
    CommandError,
    call_command,
    load_command_class,
)
from django.core.management.color import color_style
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import override_settings

from syzygy.audit import configuration
from syzygy.audit.base import AuditedMigration, AuditedOperation, AuditRule, Problem
from syzygy.audit.catalogue import all_rules, page_of
from syzygy.audit.formats import FORMATS
from syzygy.checks import check_settings
from tests.command_helpers import (
    ADD,
    CREATE,
    HOOK,
    REMOVE,
    RENAME,
    STATE_ONLY,
    Project,
    Source,
    source,
)
from tests.docs_helpers import blocks, entries, read
from tests.services import UNDER_TEST

pytest_plugins = ["tests.command_fixtures"]

# Breaks the running release when it runs before the rollout.
UNSAFE = 'm.AddField("post", "pages", models.IntegerField(default=0))'
CODE = "m.RunPython(lambda apps, editor: None)"
# What CREATE makes, for HOOK.
MAKE = """
from django.apps.registry import Apps
from django.db import models

def run(apps, editor):
    class Post(models.Model):
        id = models.BigAutoField(primary_key=True)
        body = models.TextField()
        title = models.TextField(null=True)

        class Meta:
            app_label = "blog"
            apps = Apps()

    editor.create_model(Post)
"""
STYLE = color_style(force_color=True)
# The rules that are about some databases only.
PECULIAR = {code for code, rule in all_rules().items() if rule.vendors}


class Told:
    """What a command wrote, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def data(self) -> Any:
        assert self.out, self.err
        return json.loads(self.out)

    @property
    def findings(self) -> list[dict[str, Any]]:
        """What is found on every database."""
        findings: list[dict[str, Any]] = self.data["findings"]
        return [finding for finding in findings if finding["code"] not in PECULIAR]

    @property
    def codes(self) -> list[str]:
        return [finding["code"] for finding in self.findings]

    @property
    def labels(self) -> list[str]:
        return [
            f"{finding['code']} {finding['app_label']}.{finding['migration']}"
            for finding in self.findings
        ]


def check(*arguments: str, form: str = "json", **options: Any) -> Told:
    """Run the command in the project that is active."""
    out, err = StringIO(), StringIO()
    code = 0
    try:
        call_command(
            "check_migrations",
            *arguments,
            f"--format={form}",
            stdout=out,
            stderr=err,
            **options,
        )
    except SystemExit as error:
        code = int(str(error.code))
    except CommandError as error:
        code = error.returncode
        err.write(str(error))
    return Told(code, out.getvalue(), err.getvalue())


@contextmanager
def blog(project: Project, *later: Source | str, **settings: Any) -> Iterator[Project]:
    """A project with an app whose first migration is applied."""
    texts: dict[str, Source | str] = {"0001_initial": source(CREATE)}
    for number, each in enumerate(later, start=2):
        texts[f"{number:04}_next"] = each
    project.app("blog", texts)
    with project.active():
        call_command("migrate", "blog", "0001", verbosity=0)
        with override_settings(**settings):
            yield project


# What is audited


def test_what_is_not_applied(project: Project) -> None:
    with blog(project, source(ADD), source(UNSAFE)):
        told = check()
        assert told.code == 1
        assert told.labels == ["SZ007 blog.0003_next"]
        assert told.data["plan"][0]["migration"] == "blog.0002_next"
        call_command("migrate", verbosity=0)
        told = check()
        assert (told.code, told.codes, told.data["plan"]) == (0, [], [])


def test_each_migration_on_its_own(project: Project) -> None:
    # The model is new to no release here, though no migration is applied.
    project.app("blog", {"0001_initial": source(CREATE), "0002_next": source(UNSAFE)})
    with project.active():
        assert check().codes == []
        told = check("--all")
        assert told.labels == ["SZ007 blog.0002_next"]
        assert not told.data["is_release"]


def test_sql_may_be_about_tables_of_other_apps(project: Project) -> None:
    """Whether they have anything to migrate or not."""
    drop = source('m.RunSQL("DROP TABLE shop_post")', stage="Stage.PRE_DEPLOY")
    project.app("shop", {"0001_initial": source(CREATE)})
    with project.active():
        call_command("migrate", verbosity=0)
    with blog(project, drop):
        (finding,) = (found for found in check().findings if found["code"] == "SZ004")
        assert finding["severity"] == "breaking"


def test_apps_and_migrations(project: Project) -> None:
    project.app("shop", {"0001_initial": source(CREATE)})
    with blog(project, source(UNSAFE), source(REMOVE)):
        everything = check()
        assert {p["migration"] for p in everything.data["plan"]} == {
            "blog.0002_next",
            "blog.0003_next",
            "shop.0001_initial",
        }
        assert check("shop").codes == []
        assert check("blog.0002").codes == ["SZ007"]
        assert check("shop", "blog").codes == everything.codes


def test_what_a_baseline_covers(project: Project) -> None:
    with blog(project, source(UNSAFE), MIGRATION_STAGES_BASELINE={"blog": "0002_next"}):
        assert check().codes == []
        assert check("--all").codes == []


def test_since_a_commit_without_a_database(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.app("blog", {"0001_initial": source(CREATE)})
    run_git(project.path, "init", "-q")
    run_git(project.path, "add", ".")
    run_git(project.path, "commit", "-qm", "A release")
    project.migrations("blog", {"0002_next": source(UNSAFE)})
    monkeypatch.chdir(project.path)
    with project.active():
        told = check("--since", "HEAD")
        assert told.labels == ["SZ007 blog.0002_next"]
        [finding] = told.data["findings"]
        assert finding["path"] == "blog/migrations/0002_next.py"
        assert finding["line"] > 1
        wrong = check("--since", "nowhere")
        assert (wrong.code, wrong.err.count("\n")) == (2, 0)
        assert '"nowhere"' in wrong.err
    monkeypatch.chdir(project.path.parent)
    with project.active():
        nowhere = check("--since", "HEAD")
        assert (nowhere.code, nowhere.err.count("\n")) == (2, 0)
        assert "is in no git repository" in nowhere.err


def run_git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True)


def test_a_squashed_migration_of_applied_ones(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.app("blog", {"0001_initial": source(CREATE), "0002_next": source(UNSAFE)})
    run_git(project.path, "init", "-q")
    run_git(project.path, "add", ".")
    run_git(project.path, "commit", "-qm", "A release")
    squashed = source(
        CREATE,
        UNSAFE,
        dependencies=[],
        replaces='[("blog", "0001_initial"), ("blog", "0002_next")]',
    )
    later = source(ADD, dependencies=[("blog", "0001_squashed")])
    project.migrations("blog", {"0001_squashed": squashed, "0003_next": later})
    monkeypatch.chdir(project.path)
    with project.active():
        told = check("--since", "HEAD")
        assert [p["migration"] for p in told.data["plan"]] == ["blog.0003_next"]


def test_a_conflict(project: Project) -> None:
    branch = source(ADD, dependencies=[("blog", "0001_initial")])
    with blog(project, source(UNSAFE)):
        pass
    project.migrations("blog", {"0003_next": branch})
    with project.active():
        told = check()
        assert "SZ001" in told.codes
        [finding] = [f for f in told.data["findings"] if f["code"] == "SZ001"]
        assert "makemigrations --merge blog" in finding["remedy"]
        assert "SZ001" in check("blog").codes


def test_a_plan_that_no_stage_suits(project: Project) -> None:
    needy = source(ADD)
    with blog(project, source(REMOVE), needy):
        told = check()
        assert told.labels[0] == "SZ003 blog.0003_next"
        assert 'needs "blog.0002_next"' in told.data["findings"][0]["title"]


def test_the_remedy_for_a_plan_has_ways_out_alone(project: Project) -> None:
    more = 'm.AddField("post", "more", models.IntegerField(null=True))'
    drop = 'm.RemoveField("post", "body")'
    steps = [source(REMOVE), source(ADD), source(drop), source(more)]
    with blog(project, *steps):
        told = check()
        finding = told.data["findings"][0]
        assert finding["code"] == "SZ003"
        assert 'Likewise "blog.0005_next" needs "blog.0004_next".' in finding["why"]
        assert finding["remedy"].startswith("If all that has to wait came with")
        assert "Likewise" not in finding["remedy"]
        lines = check(form="text").out.split("\n")
        remedy = lines[next(n for n, x in enumerate(lines) if "  remedy  " in x) :]
        remedy = remedy[: remedy.index("")]
        # What is to be pasted stays in one line, and is set apart.
        prose = [line for line in remedy if not line.startswith(" " * 14)]
        assert max(map(len, prose)) <= 88
        override = json.dumps(
            {"blog.0002_next": "pre_deploy", "blog.0004_next": "pre_deploy"}
        )
        assert f"{' ' * 14}MIGRATION_STAGES_OVERRIDE = {override}" in remedy


def test_a_migration_that_no_stage_suits(project: Project) -> None:
    with blog(project, source(ADD, REMOVE), source(RENAME)):
        told = check()
        assert told.labels == ["SZ002 blog.0002_next", "SZ006 blog.0003_next"]
        assert [planned["stage"] for planned in told.data["plan"]] == [None, None]


def test_the_plan_and_the_order_of_findings(project: Project) -> None:
    tighten = """m.RunSQL("ALTER TABLE blog_post ADD UNIQUE (title)", "")"""
    with blog(project, source(tighten), source(REMOVE), source(STATE_ONLY)):
        told = check()
        # Of one operation the worst comes first.
        assert told.labels == ["SZ013 blog.0002_next", "SZ012 blog.0002_next"]
        plan = {p["migration"]: (p["stage"], p["needs"]) for p in told.data["plan"]}
        assert plan["blog.0003_next"] == ("post_deploy", ["blog.0002_next"])
        # One without a stage is postponed with what it needs.
        assert plan["blog.0004_next"] == ("post_deploy", ["blog.0003_next"])


def test_third_parties(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = project.path / "site-packages"
    project.write("site-packages/parts/__init__.py")
    texts = {"0001_initial": source(CREATE), "0002_next": source(UNSAFE)}
    for name, each in texts.items():
        previous = ("parts", "0001_initial") if name != "0001_initial" else None
        project.write(f"site-packages/parts/migrations/{name}.py", each.text(previous))
    monkeypatch.syspath_prepend(str(packages))
    project.installed.append("parts")
    with blog(project):
        assert check("--all").codes == []
        assert check("--all", "parts").labels == ["SZ007 parts.0002_next"]
        line = check("--write-baseline", "--all").out.strip()
        assert line == 'MIGRATION_STAGES_BASELINE = {"blog": "0001_initial"}'


def test_ambiguity_in_the_whole_history(project: Project) -> None:
    with blog(project, source(ADD, REMOVE)):
        assert check("--all").labels == ["SZ002 blog.0002_next"]


def test_nothing_to_audit(project: Project) -> None:
    with blog(project):
        told = check(form="text")
        assert told.out == 'Nothing to audit in the migrations to apply to "default".\n'


# How it ends


def test_levels(project: Project) -> None:
    with blog(project, source(CODE)):
        assert set(check().codes) == {"SZ012", "SZ015"}
        assert check().code == 0
        assert check("--fail-level", "warning").code == 1
        with override_settings(SYZYGY_AUDIT={"FAIL_LEVEL": "warning"}):
            assert check().code == 1
            assert check("--fail-level", "breaking").code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], 'There is no app "nowhere": name apps by their labels, and'),
        (["blog", "0001"], 'There is no app "0001": name apps by their labels, and'),
        (["blog.0009"], 'no migration whose name begins with "0009"'),
        (["blog.0"], "write more of the name"),
        (["--explain", "SZ999"], 'There is no rule "SZ999"'),
        (["--explain", ""], 'There is no rule ""'),
        (["--output", "/nowhere/report"], "can't be written to"),
        (["--output", ""], 'can\'t be written to ""'),
    ],
    ids=str,
)
def test_bad_input(project: Project, arguments: list[str], said: str) -> None:
    with blog(project, source(ADD)):
        told = check(*arguments)
        assert told.code == 2
        assert said in told.err
        assert "\n" not in told.err


@pytest.mark.parametrize(
    "settings",
    [
        {"IGNORED": {}},
        {"IGNORE": {"nowhere": ["SZ012"]}},
        {"IGNORE": {"blog": ["SZ999"]}},
        {"IGNORE": {"blog": [["SZ012"]]}},
        {"IGNORE": {"blog": "SZ012"}},
        {"IGNORE": ["SZ012"]},
        {"RULES": "a.b"},
        {"RULES": ["nowhere.Rule"]},
        {"RULES": ["tests.test_audit_command.Broken"]},
        {"RULES": ["tests.test_audit_command.Nameless"]},
        {"RULES": ["ruin.Rule"]},
        {"RULES": ["django.db.models.Model"]},
        {"RULES": ["syzygy.audit.code_rules.Irreversible"]},
        {"MIGRATE": "sometimes"},
        {"FAIL_LEVEL": "bad"},
        ["SZ012"],
        [],
    ],
    ids=str,
)
def test_bad_settings(project: Project, settings: Any) -> None:
    project.write("ruin.py", "1 / 0")
    with blog(project, source(ADD), SYZYGY_AUDIT=settings):
        told = check()
        assert (told.code, told.err.count("\n")) == (2, 0)
        assert '"SYZYGY_AUDIT"' in told.err
        [problem] = check_settings(None)
        assert (problem.id, problem.obj) == ("syzygy.E002", "SYZYGY_AUDIT")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--format=nonsense"],
        ["--fail-level=bad"],
        ["--database=nowhere"],
        ["--since=HEAD", "--all"],
        ["--all", "--fake-initial"],
        ["--unknown"],
    ],
    ids=str,
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """As "manage.py" tells of it."""
    command = load_command_class("syzygy", "check_migrations")
    with pytest.raises(SystemExit) as caught:
        command.run_from_argv(["manage.py", "check_migrations", *arguments])
    told = capsys.readouterr()
    assert (caught.value.code, told.out) == (2, "")
    assert told.err.startswith("manage.py check_migrations: error: ")
    assert arguments[-1].partition("=")[0] in told.err
    assert told.err.count("\n") == 1


# Suppressions


def test_a_comment_at_the_operation(project: Project) -> None:
    text = source(UNSAFE).text(("blog", "0001_initial"))
    commented = text.replace(
        f"[{UNSAFE}]",
        f"[\n        # syzygy: ignore[SZ007] it is read only\n        {UNSAFE}\n    ]",
    )
    assert commented != text
    with blog(project, commented):
        told = check()
        assert (told.code, told.codes) == (0, [])
        [suppressed] = told.data["suppressed"]
        assert suppressed["reason"] == "it is read only"
        assert suppressed["line"] == 7
        stale = commented.replace(UNSAFE, ADD)
        (project.path / "blog/migrations/0002_next.py").write_text(stale)
    with project.active():
        assert check().labels == ["SZ000 blog.0002_next"]


def test_a_setting(project: Project) -> None:
    ignored = {"IGNORE": {"blog": ["SZ007"], "*": ["SZ015"]}}
    with blog(project, source(UNSAFE), SYZYGY_AUDIT=ignored):
        assert check().codes == []
        told = check("--all")
        # Nothing is irreversible.
        assert told.codes == ["SZ000"]
        assert '"SZ015" for "*"' in told.data["findings"][0]["title"]


# What is told


def test_text(project: Project) -> None:
    with blog(project, source(CODE), source(UNSAFE)):
        told = check(form="text")
        lines = told.out.splitlines()
        assert lines[0].startswith("BREAKING SZ007 blog.0003_next: ")
        assert "db_default=0" in told.out
        assert "1 breaking finding, 2 warnings, in the migrations to" in told.out
        assert "check_migrations --explain SZ007" in lines[-1]
        path = project.path / "report.txt"
        assert check("--output", str(path), form="text").out == ""
        assert path.read_text() == told.out


def test_colours(project: Project) -> None:
    with blog(project, source(UNSAFE), source(CODE)):
        plain = check(form="text").out
        painted = check(form="text", force_color=True).out
        path = project.path / "report.txt"
        check("--output", str(path), form="text", force_color=True)
    assert "\x1b" not in plain
    heading = plain.splitlines()[0]
    error, warning = (style(heading) for style in (STYLE.ERROR, STYLE.WARNING))
    assert error in painted
    assert warning not in painted
    assert re.sub(r"\x1b\[[\d;]*m", "", painted) == plain
    assert path.read_text() == plain


def test_statements_at_verbosity_2(project: Project) -> None:
    with blog(project, source(UNSAFE), source(CODE)):
        assert check().data["findings"][0]["sql"] == []
        unsafe, *code = check(verbosity=2).data["findings"]
        assert "pages" in " ".join(unsafe["sql"])
        assert [finding["sql"] for finding in code] == [[], []]


def test_a_rule_is_explained(project: Project) -> None:
    project.installed = ["syzygy"]
    with project.active():
        told = check("--explain", "sz007", form="text")
        assert told.code == 0
        assert told.out.startswith("SZ007")
        assert "::" not in told.out


def test_a_baseline_to_paste(project: Project) -> None:
    with blog(project, source(UNSAFE)):
        line = check("--write-baseline").out.strip()
        assert line == 'MIGRATION_STAGES_BASELINE = {"blog": "0001_initial"}'
        line = check("--write-baseline", "--all").out.strip()
        assert line == 'MIGRATION_STAGES_BASELINE = {"blog": "0002_next"}'
        told = check("--write-baseline", "blog")
        assert (told.code, told.out) == (2, "")
        assert told.err == "--write-baseline is about all apps; leave out blog."


def test_strict(project: Project) -> None:
    with blog(project, source(ADD), source(UNSAFE)):
        assert check("--strict").labels == [
            "SZ007 blog.0003_next",
            "SZ100 blog.0003_next",
        ]


def test_a_rule_of_the_project(project: Project) -> None:
    project.write(
        "house.py",
        "from syzygy.audit.base import AuditRule, Problem\n"
        "class NoSlugs(AuditRule):\n"
        "    code, name, summary = 'HOUSE1', 'no-slugs', 'Slugs are banned.'\n"
        "    def check_operation(self, operation):\n"
        "        if getattr(operation.operation, 'name', '') == 'slug':\n"
        "            yield Problem('Slugs are banned')\n",
    )
    with blog(project, source(ADD), SYZYGY_AUDIT={"RULES": ["house.NoSlugs"]}):
        assert check().labels == ["HOUSE1 blog.0002_next"]
        assert "Slugs are banned." in check("--explain", "HOUSE1", form="text").out


class Fragile(AuditRule):
    """Knows no other operations than those that have a name."""

    code, name, summary = "HOUSE2", "fragile", "It fails."

    def check_operation(self, operation: AuditedOperation) -> Iterator[Problem]:
        yield Problem(f"It is about {operation.operation.name}")  # type: ignore[attr-defined] # it fails


class Broken(Fragile):
    code = "HOUSE3"

    def __init__(self, needed: str) -> None:
        self.needed = needed


class Nameless(Fragile):
    code = None  # type: ignore[assignment] # somebody does that


class Mute(AuditRule):
    code, name = "HOUSE4", "mute"

    def check_migration(self, migration: AuditedMigration) -> Iterator[Problem]:
        yield "no problem"  # type: ignore[misc] # somebody does that


def test_a_rule_that_fails(project: Project) -> None:
    rules = {"RULES": [f"{__name__}.Fragile"], "IGNORE": {"*": ["HOUSE2"]}}
    with blog(project, source(ADD), source(CODE), SYZYGY_AUDIT=rules):
        told = check()
        assert (told.code, told.out) == (2, "")
        assert told.err == (
            f'The rule "HOUSE2", which is "{__name__}.Fragile", fails at "Raw Python '
            'operation" in migration "blog.0003_next": AttributeError: \'RunPython\' '
            "object has no attribute 'name'"
        )
        # Whose rules fail nevertheless wants to deploy.
        for arguments, code in (["--plan"], 0), (["--audit", "--plan"], 0):
            told = migrate("--pre-deploy", *arguments)
            assert told.code == code
            assert told.err.startswith('The audit of this plan failed. The rule "HOU')
        told = migrate("--pre-deploy", "--audit")
        assert told.code == 1
        assert told.err.endswith("Nothing is applied.")
        assert applied() == {"0001_initial"}
        with override_settings(SYZYGY_AUDIT={"RULES": [f"{__name__}.Mute"]}):
            told = check()
            assert told.code == 2
            assert 'fails at migration "blog.0002_next": AttributeError' in told.err
        assert migrate("--pre-deploy").code == 0
        assert applied() == {"0001_initial", "0002_next", "0003_next"}


def test_the_traceback_of_a_rule_that_fails(project: Project) -> None:
    project.write(
        "house.py",
        "from syzygy.audit.base import AuditRule\n"
        "class Fragile(AuditRule):\n"
        "    code = 'HOUSE1'\n"
        "    def check_migration(self, migration):\n"
        "        return migration.nothing\n",
    )
    project.settings["SYZYGY_AUDIT"] = {"RULES": ["house.Fragile"]}
    project.app("blog", {"0001_initial": source(CREATE)})
    plain, full = (
        project.manage("check_migrations", "--all", *more)
        for more in ([], ["--traceback"])
    )
    assert plain.returncode == 2
    assert len(plain.stderr.splitlines()) == 1
    assert "return migration.nothing" in full.stderr


def test_no_more_of_the_project_is_imported(project: Project) -> None:
    """Than what Django itself imports before any command, and the migrations."""
    project.app("blog", {"0001_initial": source(CREATE), "0002_next": source(ADD)})
    project.settings["ROOT_URLCONF"] = "blog.urls"
    for name in ("urls", "views", "admin", "forms", "signals", "tests"):
        project.write(f"blog/{name}.py", f"raise RuntimeError({name!r})\n")
    for arguments in (["--all"], [], ["--write-baseline"], ["--explain", "SZ007"]):
        result = project.manage("check_migrations", *arguments)
        assert result.returncode == 0, result.output


def test_a_database_that_is_not_there(project: Project) -> None:
    project.app("blog", {"0001_initial": source(CREATE), "0002_next": source(UNSAFE)})
    nowhere = str(project.path / "nowhere") if UNDER_TEST == "sqlite" else "nowhere"
    settings = {**project.databases["default"], "NAME": nowhere}
    project.databases = {**project.databases, "default": settings}
    result = project.manage("check_migrations")
    if UNDER_TEST == "sqlite":
        # Where connecting makes one, that is left to others; nothing is applied in it.
        assert result.returncode == 0, result.output
        assert not Path(nowhere).exists()
    else:
        assert result.returncode == 2
        assert "add --since" in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert project.manage("check_migrations", "--all").returncode == 1


# What "migrate" does about it


def migrate(*arguments: str) -> Told:
    out, err = StringIO(), StringIO()
    code = 0
    try:
        call_command("migrate", *arguments, stdout=out, stderr=err)
    except SystemExit as error:
        code = int(str(error.code))
    except CommandError as error:
        code = error.returncode
        err.write(str(error))
    return Told(code, out.getvalue(), err.getvalue())


def applied() -> set[str]:
    recorded = MigrationRecorder(connection).applied_migrations()
    return {name for label, name in recorded if label == "blog"}


def test_migrate_warns(project: Project) -> None:
    # The second finding is about what is postponed: afterwards it is too late.
    state_only = 'm.RemoveField("post", "body")'
    with blog(project, source(UNSAFE), source(CODE), source(state_only)):
        told = migrate("--pre-deploy", "--plan")
        assert [line.split()[0] for line in told.err.splitlines()[:2]] == [
            "SZ007",
            "SZ009",
        ]
        assert migrate("--pre-deploy", "--check").err == ""
        told = migrate("--pre-deploy")
        assert told.code == 0
        assert "SZ007 blog.0002_next" in told.err
        assert "python manage.py check_migrations" in told.err
        assert "SZ012" not in told.err
        assert applied() == {"0001_initial", "0002_next", "0003_next"}
        assert migrate().err == ""


def test_migrate_says_how_to_audit_that_database(project: Project) -> None:
    with blog(project, source(UNSAFE)):
        call_command("migrate", "blog", "0001", database="other", verbosity=0)
        call_command("migrate", verbosity=0)
        *_, command = migrate("--pre-deploy", "--plan", "--database=other").err.split(
            "manage.py "
        )
        name, *arguments = command.split()
        assert name == "check_migrations"
        assert check().codes == []
        assert check(*arguments).codes == ["SZ007"]


def test_migrate_takes_a_stage_that_is_computed(project: Project) -> None:
    project.write(
        "later.py",
        "from django.db import migrations\n"
        "class Removal(migrations.RemoveField):\n"
        "    @property\n"
        "    def stage(self):\n"
        "        return 'post_deploy'\n",
    )
    removal = source('__import__("later").Removal("post", "title")')
    with blog(project, removal, source(STATE_ONLY)):
        assert migrate("--pre-deploy", "--audit").code == 0
        assert applied() == {"0001_initial"}
        assert check().code == 0


def test_migrate_refuses(project: Project) -> None:
    with blog(project, source(UNSAFE), source(REMOVE)):
        for settings, arguments in (
            ({}, ["--audit"]),
            ({"MIGRATE": "refuse"}, []),
            ({"MIGRATE": "off"}, ["--audit"]),
        ):
            with override_settings(SYZYGY_AUDIT=settings):
                told = migrate("--pre-deploy", *arguments)
                assert told.code == 1
                assert "refuses this plan" in told.err
                assert applied() == {"0001_initial"}
        told = migrate("--audit")
        assert "add that" in told.err
        with override_settings(SYZYGY_AUDIT={"IGNORE": {"blog": ["SZ007"]}}):
            assert migrate("--pre-deploy", "--audit").code == 0
        # Going back is what one does when something is broken.
        assert migrate("blog", "0001", "--pre-deploy", "--audit").code == 0


@pytest.mark.parametrize("operation", [REMOVE, RENAME])
def test_migrate_says_nothing_where_a_baseline_is_new(
    project: Project, operation: str
) -> None:
    """To an empty database, whose first release none is running beside."""
    project.app(
        "blog",
        {
            "0001_initial": source(CREATE),
            "0002_next": source(operation),
            "0003_next": source(ADD),
        },
    )
    baseline = {"blog": "0001_initial"}
    with project.active(), override_settings(MIGRATION_STAGES_BASELINE=baseline):
        # Which asks what becomes of a database that has it.
        assert len(check().codes) == 1
        told = migrate("--pre-deploy", "--audit")
        assert (told.code, told.err) == (0, "")
        assert applied() == {"0001_initial", "0002_next", "0003_next"}


def test_migrate_tells_of_a_baseline_that_is_ahead(project: Project) -> None:
    """Pasted with the newest migrations, it covers some that aren't deployed yet."""
    project.app("shop", {"0001_initial": source(CREATE)})
    baseline = {"blog": "0003_next", "shop": "0001_initial"}
    with blog(
        project,
        source(ADD),
        source(REMOVE),
        MIGRATION_STAGES_BASELINE=baseline,
    ):
        told = migrate("--pre-deploy", "--audit")
        assert told.code == 1
        assert "SZ004 blog.0003_next" in told.err
        assert "0002_next" not in told.err
        assert applied() == {"0001_initial"}
        line = 'MIGRATION_STAGES_BASELINE = {"blog": "0001_initial", "shop": "0001_'
        assert f"correct that first:\n    {line}" in told.err
        # It has nothing to say about what the baseline covers.
        assert check().codes == []
        assert "check_migrations" not in told.err
        corrected = {**baseline, "blog": "0001_initial"}
        with override_settings(MIGRATION_STAGES_BASELINE=corrected):
            told = migrate("--pre-deploy", "--audit")
            assert (told.code, told.err) == (0, "")
            assert "0003_next" not in applied()
        # It is a warning otherwise, of what is brought forward.
        told = migrate("--pre-deploy")
        assert (told.code, told.err.count("SZ004")) == (0, 1)
        assert "0003_next" in applied()


def test_migrate_tells_of_a_baseline_of_which_nothing_is_there(
    project: Project,
) -> None:
    project.app("shop", {"0001_initial": source(CREATE)})
    drop = source('m.RunSQL("DROP TABLE shop_post")')
    project.app("late", {"0001_initial": drop})
    baseline = {"late": "0001_initial", "shop": "0001_initial"}
    with blog(project, source(UNSAFE), MIGRATION_STAGES_BASELINE=baseline):
        call_command("migrate", "shop", verbosity=0)
        told = migrate("--pre-deploy", "--audit")
        line = 'MIGRATION_STAGES_BASELINE = {"shop": "0001_initial"}'
        command = "For what to do about it:\n    python manage.py check_migrations"
        assert f"correct that first:\n    {line}\n{command}" in told.err
        assert "SZ004 late.0001_initial" in told.err
        corrected = {"shop": "0001_initial"}
        with override_settings(MIGRATION_STAGES_BASELINE=corrected):
            assert "late.0001_initial" not in migrate("--pre-deploy", "--audit").err


@pytest.mark.parametrize("baseline", [{}, {"blog": "0002_next"}])
def test_code_finds_nothing_to_adopt_in_an_empty_database(
    project: Project, baseline: dict[str, str]
) -> None:
    project.write("hooks.py", MAKE)
    adopt = f"m.SeparateDatabaseAndState([{HOOK}], [{CREATE}])"
    project.app(
        "blog",
        {
            "0001_initial": source(adopt),
            "0002_next": source(REMOVE),
            "0003_next": source(ADD),
        },
    )
    with project.active(), override_settings(MIGRATION_STAGES_BASELINE=baseline):
        assert check().codes == []
        told = migrate("--pre-deploy", "--audit")
        assert (told.code, told.err) == (0, "")
        assert applied() == {"0001_initial", "0002_next", "0003_next"}


def test_migrate_refuses_what_breaks_tables_that_it_only_records(
    project: Project,
) -> None:
    override = {"blog.0002_next": "pre_deploy"}
    with blog(project, source(REMOVE), MIGRATION_STAGES_OVERRIDE=override):
        call_command("migrate", "blog", "zero", fake=True, verbosity=0)
        told = migrate("--pre-deploy", "--audit", "--fake-initial")
        assert told.code == 1
        assert "SZ004 blog.0002_next" in told.err
        assert "0001" not in told.err
        assert applied() == set()


def test_tables_that_are_only_recorded_are_audited(project: Project) -> None:
    """As "migrate" does, whose warning has the command."""
    override = {"blog.0002_next": "pre_deploy"}
    with blog(project, source(REMOVE), MIGRATION_STAGES_OVERRIDE=override):
        call_command("migrate", "blog", "zero", fake=True, verbosity=0)
        *_, command = migrate("--pre-deploy", "--plan", "--fake-initial").err.split(
            "manage.py "
        )
        name, *arguments = command.split()
        assert (name, arguments) == ("check_migrations", ["--fake-initial"])
        told = check(*arguments)
        assert told.labels == ["SZ004 blog.0002_next"]
        assert told.data["plan"][0]["reason"].startswith("--fake-initial: ")
        # What would create the tables makes all of them new.
        assert "SZ004" not in check().codes
        line = check("--write-baseline", "--fake-initial").out.strip()
        assert line == 'MIGRATION_STAGES_BASELINE = {"blog": "0001_initial"}'
        assert check("--write-baseline").out.strip().endswith(" = {}")
        assert applied() == set()


def test_migrate_says_nothing(project: Project) -> None:
    with blog(project, source(UNSAFE), SYZYGY_AUDIT={"MIGRATE": "off"}):
        assert migrate("--pre-deploy").err == ""
        migrate("blog", "0001")
    with project.active():
        assert migrate("--pre-deploy", "--verbosity=0").err == ""
        migrate("blog", "0001")
        assert migrate("--pre-deploy", "--fake").err == ""


# What the reference says of it

INDEX = "reference/audit/index"
AUTHOR = '("id", models.BigAutoField(primary_key=True)), ("name", models.TextField())'


def test_the_report_in_the_reference(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told of a migration that is written as Django writes them."""
    [block] = [b for b in blocks(read(INDEX)) if b.label == "audit-report"]
    [example] = [b for b in blocks(read(INDEX)) if b.label == "audit-suppressing"]
    text = "".join(
        line for line in example.text.splitlines(True) if "syzygy:" not in line
    )
    project.app(
        "shop",
        {
            "0001_initial": source(f'm.CreateModel("Book", [{AUTHOR}])'),
            "0002_price": text,
        },
    )
    monkeypatch.chdir(project.path)
    with project.active():
        call_command("migrate", "shop", "0001", verbosity=0)
        told = check(form="text")
        assert told.out[: len(block.text)] == block.text
        (project.path / "shop/migrations/0002_price.py").write_text(example.text)
    with project.active():
        [suppressed] = check().data["suppressed"]
        assert suppressed["reason"] == "books are only imported at night"


def shop(project: Project, **texts: str) -> Project:
    """A project with an app of books, and migrations that are written so."""
    created = source(f'm.CreateModel("Book", [{AUTHOR}])')
    written = {name: migration_of(text) for name, text in texts.items()}
    project.app("shop", {"0001_initial": created, **written})
    return project


def migration_of(body: str) -> str:
    return (
        "from django.db import migrations, models\n"
        "class Migration(migrations.Migration):\n"
    ) + textwrap.indent(body, "    ")


def examples(code: str) -> dict[str, str]:
    """The blocks of the page of a rule, by the first words of their captions."""
    found = blocks(page_of(all_rules()[code]))
    return {block.caption.partition(" ")[0]: block.text for block in found}


@pytest.mark.parametrize("caption", ["Bad", "Good"])
def test_the_examples_of_idle_suppressions(project: Project, caption: str) -> None:
    needs = 'dependencies = [("shop", "0001_initial")]\n'
    shop(project, m0002=needs + examples("SZ000")[caption])
    with project.active():
        told = check("--all")
    assert told.labels == ["SZ000 shop.m0002"] * (caption == "Bad")
    assert len(told.data["suppressed"]) == (caption == "Good")


def test_the_examples_of_conflicts(project: Project) -> None:
    page = examples("SZ001")
    later = 'dependencies = [("shop", "0002_language")]\n'
    texts = {
        "0002_language": 'dependencies = [("shop", "0001_initial")]\n',
        "0003_weight": later,
        "0003_price": page["Bad"],
    }
    assert page["Bad"] == later
    with shop(project, **texts).active():
        assert check("--all").codes == ["SZ001"]
    project.migrations("shop", {"0004_merge": migration_of(page["Good"])})
    with project.active():
        assert check("--all").codes == []


def test_the_reference_has_all_keys(project: Project) -> None:
    _, _, text = read(INDEX).partition("The JSON document\n")
    documented = set(re.findall(r"``(\w+)``", text))
    ignored = {"IGNORE": {"blog": ["SZ012"]}}
    with blog(project, source(UNSAFE), source(CODE), SYZYGY_AUDIT=ignored):
        data = check().data
    keys = set(data) | {key for each in data["findings"] for key in each}
    keys |= {key for each in (*data["plan"], *data["suppressed"]) for key in each}
    assert keys <= documented


def test_the_reference_has_all_options() -> None:
    _, _, text = read("reference/commands").partition("program:: check_migrations\n")
    text, _, _ = text.partition(".. program::")
    command = load_command_class("syzygy", "check_migrations")
    known = BaseCommand().create_parser("manage.py", "x")._option_string_actions
    parser = command.create_parser("manage.py", "check_migrations")
    added = parser._option_string_actions.keys() - known.keys()
    assert set(re.findall(r"option:: (--\S+)", text)) == added
    for name in FORMATS:
        assert f"``{name}``" in text


def test_the_reference_has_the_whole_setting() -> None:
    entry = entries("setting", read("reference/settings"))["SYZYGY_AUDIT"]
    for word in (*configuration.KEYS, *configuration.MIGRATE):
        assert f'``"{word}"``' in entry


def test_the_rule_in_the_reference(project: Project) -> None:
    [block] = [b for b in blocks(read(INDEX)) if b.label == "audit-custom-rules"]
    project.write(block.caption, block.text)
    trigger = 'm.RunSQL("CREATE TRIGGER x", m.RunSQL.noop)'
    rules = {"RULES": ["house.audit.NoTriggers"], "IGNORE": {"*": ["SZ012"]}}
    with blog(project, source(trigger), SYZYGY_AUDIT=rules):
        assert check().labels == ["HOUSE1 blog.0002_next"]
