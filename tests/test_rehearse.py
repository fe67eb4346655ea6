"""The command ``rehearse``: where it starts, what it says, and what it leaves alone."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError
from django.db.models import signals

from tests.command_helpers import (
    ADD,
    ADD_MORE,
    CREATE,
    HOOK,
    REMOVE,
    RENAME,
    STATE_ONLY,
    Project,
    drop_scratch,
    dump,
    source,
)
from tests.services import UNDER_TEST

pytest_plugins = ["tests.command_fixtures"]

PRE = "Stage.PRE_DEPLOY"
POST = "Stage.POST_DEPLOY"
# Makes what the running release reads NULL in what the new one declares NOT NULL.
LOOSE = 'm.AddField("post", "n", models.IntegerField(null=True))'
STRICT = 'm.AlterField("post", "n", models.IntegerField())'


@pytest.fixture
def blog(project: Project) -> Project:
    """Return a project with an app of which the first migration is applied."""
    project.app("blog", {"0001_initial": source(CREATE)})
    project.call("migrate", verbosity=0)
    return project


@pytest.fixture
def safe(blog: Project) -> Project:
    """Return a project whose pending migrations both releases survive."""
    blog.migrations("blog", {"0002_add": source(ADD), "0003_remove": source(REMOVE)})
    return blog


@pytest.fixture
def unsafe(blog: Project) -> Project:
    """Return a project with a removal before the rollout."""
    blog.migrations(
        "blog",
        {"0002_add": source(ADD), "0003_remove": source(STATE_ONLY, REMOVE, stage=PRE)},
    )
    return blog


def failing(project: Project, *arguments: str) -> str:
    """Return what a rehearsal writes that has to exit with 1."""
    result = project.manage("rehearse", *arguments)
    assert result.returncode == 1, result.output
    assert "Traceback" not in result.output
    return result.stdout


def refusal(project: Project, *arguments: str) -> str:
    """Return the one line of a user's error."""
    before = dump()
    with pytest.raises(CommandError) as caught:
        project.call("rehearse", *arguments)
    assert dump() == before
    return str(caught.value)


def document(project: Project, *arguments: str) -> dict[str, Any]:
    out = project.manage("rehearse", "--format=json", *arguments).stdout
    data: dict[str, Any] = json.loads(out)
    return data


def git(project: Project, *arguments: str) -> None:
    names = ("AUTHOR_NAME", "AUTHOR_EMAIL", "COMMITTER_NAME", "COMMITTER_EMAIL")
    subprocess.run(
        ["git", *arguments],
        cwd=project.path,
        env=os.environ | {f"GIT_{name}": "a@b.example" for name in names},
        check=True,
        capture_output=True,
    )


# What it finds, in words


def test_nothing_pending(blog: Project) -> None:
    out = blog.call("rehearse")
    assert out == "There is nothing to rehearse: no migrations are pending.\n"


def test_a_deployment_that_both_releases_survive(safe: Project) -> None:
    lines = safe.call("rehearse").splitlines()
    assert [line.split()[0] for line in lines[1:6]] == [
        "start",
        "pre-deploy",
        "window",
        "post-deploy",
        "end",
    ]
    assert all(line.endswith("ok") for line in lines[1:6])
    assert lines[-1].startswith("0 findings that break the deployment, 0 hazards")


def test_a_deployment_that_breaks(unsafe: Project) -> None:
    out = failing(unsafe)
    assert "BREAKS: the old release fails at " in out
    finding = out[out.index("BREAKS") :]
    assert "of blog.Post.title\n" in finding
    place = os.path.join("blog", "migrations", "0003_remove.py")
    assert f"migration  blog.0003_remove, pre-deploy ({place}:6)" in finding
    assert "operation  Remove field title from post" in finding
    assert "rule       remove-field: the running release uses the column" in finding
    assert "stage = Stage.POST_DEPLOY" in finding
    assert "title" in finding[finding.index("error") : finding.index("rule")]


def test_one_finding_for_what_one_operation_breaks(unsafe: Project) -> None:
    assert len(document(unsafe)["findings"]) == 1


def test_what_is_in_the_way_of_a_delete_is_to_blame_for_it(blog: Project) -> None:
    """Not what else the deployment does to the model, be it as unsafe."""
    blog.migrations(
        "blog",
        {
            "0002_n": source('m.AddField("post", "n", models.IntegerField(default=1))'),
            "0003_review": source(
                "m.CreateModel('Review', ["
                '("id", models.BigAutoField(primary_key=True, serialize=False)), '
                '("post", models.ForeignKey("blog.post", models.CASCADE))])'
            ),
        },
    )
    findings = document(blog)["findings"]
    assert [(f["severity"], f["migration"], f["model"]) for f in findings] == [
        ("breaks", "blog.0002_n", "blog.Post"),
        ("hazard", "blog.0003_review", "blog.Post"),
    ]
    assert findings[1]["actions"] == ["DELETE"]


def test_a_migration_that_fails_ends_the_rehearsal(blog: Project) -> None:
    blog.write("hooks.py", "def run(apps, editor):\n    raise ValueError('no way')\n")
    blog.migrations("blog", {"0002_hook": source(HOOK), "0003_add": source(ADD)})
    out = failing(blog)
    assert "BREAKS: the migration fails" in out
    assert "ValueError: no way" in out
    assert "the rest could not be rehearsed" in out
    assert "0003_add" not in out


def test_the_way_back(safe: Project) -> None:
    phases = [
        (step["phase"], step["backward"], step["migration"], step["releases"])
        for step in document(safe, "--revert")["steps"]
    ]
    assert phases[5:] == [
        ("start", True, None, ["new"]),
        ("pre-deploy", True, "blog.0003_remove", ["new"]),
        ("window", True, None, ["new", "old"]),
        ("post-deploy", True, "blog.0002_add", ["old"]),
        ("end", True, None, ["old"]),
    ]


def test_what_can_not_be_undone(blog: Project) -> None:
    blog.migrations("blog", {"0002_code": source("m.RunPython(m.RunPython.noop)")})
    assert blog.call("rehearse")
    (finding,) = document(blog, "--revert")["findings"]
    assert finding["message"] == "the migration fails"
    assert finding["backward"]
    assert "IrreversibleError" in finding["error"]


# Formats


def test_json(unsafe: Project) -> None:
    data = document(unsafe)
    (finding,) = data["findings"]
    assert data["version"] == 1
    assert (data["alias"], data["complete"]) == ("default", True)
    assert data["summary"] == {"breaks": 1, "hazard": 0}
    assert finding["severity"] == "breaks"
    assert finding["release"] == "old"
    assert finding["model"] == "blog.Post"
    assert finding["field"] == "title"
    assert finding["migration"] == "blog.0003_remove"
    assert finding["stage"] == "pre_deploy"
    assert finding["operation"] == "Remove field title from post"
    assert finding["rule"] == "remove-field"
    assert (Path(finding["path"]).name, finding["line"]) == ("0003_remove.py", 6)
    assert {"INSERT", "SELECT"} <= set(finding["actions"])
    assert finding["error"]
    assert finding["way_out"]


def test_github(unsafe: Project) -> None:
    out = failing(unsafe, "--format=github")
    command, _, text = out.splitlines()[0][2:].partition("::")
    assert command.split(" ")[0] == "error"
    properties = dict(part.split("=") for part in command[6:].split(","))
    assert properties["line"] == "6"
    assert properties["file"].endswith("0003_remove.py")
    assert "%0Aerror: " in text
    assert out.count("\n::") == 0


def test_progress_goes_to_a_terminal_alone(safe: Project) -> None:
    safe.write_settings()
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "manage.py", "rehearse"],
        cwd=safe.path,
        stdout=subprocess.PIPE,
        stderr=follower,
        text=True,
    ) as process:
        out, _ = process.communicate()
    os.close(follower)
    told = os.read(leader, 10_000).decode()
    os.close(leader)
    assert "pre-deploy blog.0002_add ..." in told
    assert "..." not in out


@pytest.mark.parametrize("command", ["rehearse", "check_migrations"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_nobody_reads_to_the_end(unsafe: Project, command: str, form: str) -> None:
    """As in "rehearse | head -1", and sooner."""
    unsafe.write_settings()
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [sys.executable, "manage.py", command, f"--format={form}"],
        cwd=unsafe.path,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (process.returncode, process.stderr) == (1, "")


# Levels


def test_fail_level(blog: Project) -> None:
    """The new release reads NULL in what the running one wrote."""
    blog.migrations(
        "blog",
        {
            "0002_n": source(LOOSE, stage=PRE),
            "0003_fill": source(
                'm.RunSQL("UPDATE blog_post SET n = 1 WHERE n IS NULL")', stage=POST
            ),
            "0004_n": source(STRICT),
        },
    )
    assert blog.manage("rehearse").returncode == 0
    assert "HAZARD" in failing(blog, "--fail-level=hazard")


# Where it starts


def test_from_a_target(safe: Project) -> None:
    safe.call("migrate", verbosity=0)
    assert "nothing to rehearse" in safe.call("rehearse")
    steps = document(safe, "--from=blog.0002")["steps"]
    assert [step["migration"] for step in steps if step["migration"]] == [
        "blog.0003_remove"
    ]


def test_since_a_commit(blog: Project) -> None:
    git(blog, "init", "-q", "-b", "main")
    git(blog, "add", "blog")
    git(blog, "commit", "-qm", "first")
    blog.migrations("blog", {"0002_remove": source(REMOVE, stage=PRE)})
    data = document(blog, "--since=main")
    assert data["start"] == 'the migrations at "main"'
    assert [finding["migration"] for finding in data["findings"]] == [
        "blog.0002_remove"
    ]


def test_since_needs_no_database(blog: Project) -> None:
    git(blog, "init", "-q", "-b", "main")
    git(blog, "add", "blog")
    git(blog, "commit", "-qm", "first")
    blog.migrations("blog", {"0002_add": source(ADD)})
    missing = str(blog.path / "missing.sqlite3") if UNDER_TEST == "sqlite" else "nope"
    blog.databases = {
        alias: {**values, "NAME": missing} for alias, values in blog.databases.items()
    }
    assert blog.manage("rehearse", "--since=main").returncode == 0
    assert not (blog.path / "missing.sqlite3").exists()


def test_a_first_deployment(project: Project) -> None:
    project.app("blog", {"0001_initial": source(CREATE)})
    data = document(project)
    assert data["summary"] == {"breaks": 0, "hazard": 0}
    assert [s["releases"] for s in data["steps"] if s["phase"] == "window"] == [
        ["old", "new"]
    ]


def test_replay_runs_what_no_model_shows(project: Project) -> None:
    project.app(
        "blog",
        {
            "0001_initial": source(
                CREATE,
                'm.RunSQL("CREATE TABLE beside (id INTEGER)", "DROP TABLE beside")',
            )
        },
    )
    project.call("migrate", verbosity=0)
    project.migrations("blog", {"0002_beside": source('m.RunSQL("DROP TABLE beside")')})
    assert "beside" in failing(project)
    assert project.manage("rehearse", "--replay").returncode == 0


# What it leaves alone


@pytest.mark.parametrize("extra", [[], ["--revert"], ["--replay"], ["--all-models"]])
def test_the_configured_database_is_only_read(safe: Project, extra: list[str]) -> None:
    before = dump()
    safe.call("rehearse", *extra)
    assert dump() == before


def test_the_configured_database_after_a_failure(unsafe: Project) -> None:
    before = dump()
    assert failing(unsafe)
    assert dump() == before


def test_receivers_of_signals_hear_nothing(safe: Project) -> None:
    heard = []

    def receive(sender: object, **kwargs: object) -> None:
        heard.append(sender)

    signals.post_save.connect(receive)
    try:
        before = list(signals.post_save.receivers)
        safe.call("rehearse")
        assert signals.post_save.receivers == before
        assert not heard
        signals.post_save.send(sender=Project)
        assert heard == [Project]
    finally:
        signals.post_save.disconnect(receive)


def test_keepdb(safe: Project) -> None:
    (name,) = re.findall(r'is kept: "(.+)"', safe.call("rehearse", "--keepdb"))
    try:
        assert "syzygy_rehearsal_" in name
        # The next one starts anew, under the same name.
        out = safe.call("rehearse", "--keepdb", "--format=github")
        assert f'is kept: "{name}"' in out
    finally:
        drop_scratch(name)


# What people get wrong


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from=blog"], '"blog" is no migration'),
        (["--from=nope.0001"], "nope"),
        (["--from=blog.0009"], '"0009"'),
    ],
)
def test_a_start_that_there_is_not(
    safe: Project, arguments: list[str], words: str
) -> None:
    message = refusal(safe, *arguments)
    assert words in message
    assert "\n" not in message


def test_no_repository(safe: Project) -> None:
    result = safe.manage("rehearse", "--since=main")
    assert result.returncode == 1
    assert "repository" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_usage(safe: Project) -> None:
    for wrong in (
        ["--format=xml"],
        ["--fail-level=none"],
        ["--database=nope"],
        ["--since=main", "--from=blog.zero"],
        ["--nope"],
    ):
        result = safe.manage("rehearse", *wrong)
        assert result.returncode == 2, result.output
        assert "Traceback" not in result.output


def test_an_ambiguous_stage(blog: Project) -> None:
    blog.migrations("blog", {"0002_rename": source(RENAME)})
    message = refusal(blog)
    assert "is ambiguous" in message
    assert "as well" not in message


def test_all_ambiguous_stages_are_named(blog: Project) -> None:
    back = 'm.RenameField("post", "text", "body")'
    blog.migrations(
        "blog",
        {
            "0002_rename": source(RENAME),
            "0003_more": source(ADD_MORE),
            "0004_back": source(back),
            "0005_rename": source(RENAME),
        },
    )
    first, *_, last = refusal(blog).splitlines()
    assert first.startswith('The stage of migration "blog.0002_rename" is ambiguous')
    assert last == (
        'Ambiguous as well: "blog.0004_back", "blog.0005_rename". "manage.py '
        'check_migrations" tells what to do about each.'
    )
    told = blog.manage("check_migrations").stdout
    assert "0002_rename" in told
    assert "0004_back" in told
    assert "0005_rename" in told


def test_what_touches_only_what_is_new_is_not_ambiguous(blog: Project) -> None:
    """As in "migrate", which is about to apply the same plan."""
    create, mixed = CREATE.replace("Post", "New"), RENAME.replace("post", "new")
    blog.migrations("blog", {"0002_new": source(create), "0003_mixed": source(mixed)})
    blog.write_settings()
    assert "syzygy.E001" in blog.manage("check").stderr
    result = blog.manage("rehearse")
    assert result.returncode == 0, result.output
    assert "blog.0003_mixed" in result.stdout


def test_an_ambiguous_plan(blog: Project) -> None:
    blog.migrations("blog", {"0002_remove": source(REMOVE), "0003_add": source(ADD)})
    assert "needs" in refusal(blog)


def test_a_migration_that_can_not_be_imported(safe: Project) -> None:
    safe.migrations("blog", {"0004_bad": "raise RuntimeError('oh')\n"})
    assert '"blog.0004_bad" can\'t be imported: RuntimeError: oh' in refusal(safe)
    assert "can't be imported" in refusal(safe, "--from=blog.zero")


def test_a_conflict(safe: Project) -> None:
    safe.migrations(
        "blog", {"0004_other": source(dependencies=[("blog", "0001_initial")])}
    )
    message = refusal(safe)
    assert "more than one latest migration" in message
    assert "makemigrations --merge blog" in message


def test_an_inconsistent_history(safe: Project) -> None:
    safe.call("migrate", verbosity=0)
    (safe.path / "blog/migrations/0001_initial.py").rename(
        safe.path / "blog/migrations/0001_begin.py"
    )
    text = safe.path / "blog/migrations/0002_add.py"
    text.write_text(text.read_text().replace("0001_initial", "0001_begin"))
    assert "before its dependency" in refusal(safe)


def test_settings_that_make_no_sense(safe: Project) -> None:
    safe.settings["MIGRATION_STAGES_OVERRIDE"] = {"blog": "whenever"}
    assert "MIGRATION_STAGES_OVERRIDE" in refusal(safe)


@pytest.mark.skipif(UNDER_TEST == "sqlite", reason="A file is never down.")
def test_a_server_that_is_down(safe: Project) -> None:
    safe.databases = {a: {**v, "PORT": 1} for a, v in safe.databases.items()}
    result = safe.manage("rehearse")
    assert result.returncode == 1
    assert "Traceback" not in result.output
    assert len(result.stderr.strip().splitlines()) == 1


# What a sceptic found


def findings(project: Project, *arguments: str) -> list[tuple[str, str, str]]:
    """Return the severity, the release and the migration of each finding."""
    return [
        (found["severity"], found["release"], found["migration"])
        for found in document(project, *arguments)["findings"]
    ]


def test_a_migration_that_exits(blog: Project) -> None:
    blog.write("hooks.py", "import sys\ndef run(apps, editor):\n    sys.exit(0)\n")
    blog.migrations("blog", {"0002_hook": source(HOOK)})
    assert "SystemExit: 0" in failing(blog)


def test_a_replay_that_exits(project: Project) -> None:
    project.write(
        "hooks.py",
        "import os, sys\n"
        "def run(apps, editor):\n"
        "    if os.environ.get('STOP'):\n"
        "        sys.exit(0)\n",
    )
    project.app("blog", {"0001_initial": source(CREATE, HOOK)})
    project.call("migrate", verbosity=0)
    project.migrations("blog", {"0002_add": source(ADD)})
    project.extra = "import os\nos.environ['STOP'] = '1'"
    result = project.manage("rehearse", "--replay")
    assert result.returncode == 1
    assert (
        'can\'t be replayed: they fail at "blog.0001_initial": SystemExit: 0'
        in result.stderr
    )


def test_what_is_removed_from_the_state_alone(blog: Project) -> None:
    """The column is still there, and NOT NULL: the new release can't insert."""
    blog.migrations(
        "blog",
        {
            "0002_forget": source(
                "m.SeparateDatabaseAndState(state_operations=["
                'm.RemoveField("post", "body")])'
            )
        },
    )
    assert findings(blog) == [("breaks", "new", "blog.0002_forget")]
    assert findings(blog, "--revert")[:1] == [("breaks", "new", "blog.0002_forget")]


def test_a_constraint_that_no_value_is_known_for(blog: Project) -> None:
    """Its model can't be used on tables of its own either."""
    check = (
        "models.CheckConstraint(name='odd', condition=models.expressions.RawSQL("
        "\"body = 'xyzzy'\", (), output_field=models.BooleanField()))"
    )
    blog.migrations(
        "blog",
        {
            "0002_odd": source(
                "m.CreateModel('Odd', ["
                '("id", models.BigAutoField(primary_key=True, serialize=False)), '
                f'("body", models.TextField())], {{"constraints": [{check}]}})'
            )
        },
    )
    data = document(blog)
    assert not data["findings"]
    assert {item["label"] for item in data["not_probed"]} == {"blog.Odd"}


def test_a_field_that_is_to_be_positive(blog: Project) -> None:
    blog.migrations(
        "blog",
        {"0002_n": source('m.AddField("post", "n", models.IntegerField(null=True))')},
    )
    blog.call("migrate", verbosity=0)
    positive = 'm.AlterField("post", "n", models.PositiveIntegerField(null=True))'
    blog.migrations("blog", {"0003_n": source(positive, stage=PRE)})
    assert ("breaks", "old", "blog.0003_n") in findings(blog)


def test_a_model_for_another_database(blog: Project) -> None:
    blog.migrations(
        "blog",
        {
            "0002_elsewhere": source(
                "m.CreateModel('Elsewhere', ["
                '("id", models.BigAutoField(primary_key=True, serialize=False))], '
                '{"required_db_vendor": "oracle"})'
            )
        },
    )
    data = document(blog)
    assert not data["findings"]
    (item,) = data["not_probed"]
    assert item["label"] == "blog.Elsewhere"
    assert "another database" in item["reason"]


def test_a_file_that_may_be_missing(blog: Project) -> None:
    blog.migrations(
        "blog",
        {"0002_file": source('m.AddField("post", "f", models.FileField(null=True))')},
    )
    data = document(blog)
    assert (data["findings"], data["not_probed"]) == ([], [])


def test_a_migration_that_prints(blog: Project) -> None:
    blog.write("hooks.py", "def run(apps, editor):\n    print('hello')\n")
    blog.migrations("blog", {"0002_hook": source(HOOK)})
    assert document(blog)["complete"]


def test_the_error_behind_a_broken_transaction(blog: Project) -> None:
    blog.write(
        "hooks.py",
        "def run(apps, editor):\n"
        "    Post = apps.get_model('blog', 'Post')\n"
        "    Post.objects.create(id=77, body='a')\n"
        "    try:\n"
        "        Post.objects.create(id=77, body='b')\n"
        "    except Exception:\n"
        "        Post.objects.count()\n",
    )
    blog.migrations("blog", {"0002_hook": source(HOOK)})
    error = document(blog)["findings"][0]["error"]
    assert "TransactionManagementError" not in error
    assert "77" in error or "UNIQUE" in error


@pytest.mark.parametrize(
    ("operation", "problem"),
    [
        (
            'm.AddField("nope", "n", models.IntegerField(null=True))',
            '"Add field n to nope" of the migration "blog.0002_odd" can\'t be applied',
        ),
        (
            'm.AddField("post", "n", models.ForeignKey("blog.nope", models.CASCADE))',
            "don't make models together",
        ),
    ],
)
def test_migrations_that_do_not_fit_together(
    blog: Project, operation: str, problem: str
) -> None:
    blog.migrations("blog", {"0002_odd": source(operation)})
    message = refusal(blog)
    assert problem in message
    assert "nope" in message


def test_keys_of_content_types_are_forgotten(blog: Project) -> None:
    blog.write(
        "hooks.py",
        "def run(apps, editor):\n"
        "    from django.contrib.contenttypes.models import ContentType\n"
        "    ContentType.objects.get_for_model(ContentType)\n",
    )
    blog.installed.append("django.contrib.contenttypes")
    blog.call("migrate", "contenttypes", verbosity=0)
    blog.migrations("blog", {"0002_hook": source(HOOK)})
    cached = vars(ContentType.objects)["_cache"]
    blog.call("rehearse")
    assert not cached


def test_rows_that_code_deletes_beside_an_operation(blog: Project) -> None:
    blog.write(
        "hooks.py",
        "def run(apps, editor):\n"
        "    apps.get_model('blog', 'Post').objects.all().delete()\n",
    )
    blog.migrations("blog", {"0002_more": source(ADD, HOOK)})
    kept = [f for f in document(blog)["findings"] if "KEEP ROWS" in f["actions"]]
    assert [f["severity"] for f in kept] == ["hazard"] * len(kept)
    assert kept[0]["operation"].startswith("Raw Python operation")


def test_unique_set_with_the_primary_key(project: Project) -> None:
    # SQLite takes no upsert on it, whatever release asks.
    with_key = (
        'm.CreateModel("Tag", [("id", models.AutoField(primary_key=True)), '
        '("name", models.CharField(max_length=9))], '
        'options={"constraints": [models.UniqueConstraint('
        'fields=["id", "name"], name="both")]})'
    )
    project.app("blog", {"0001_initial": source(with_key)})
    project.call("migrate", verbosity=0)
    add = 'm.AddField("tag", "note", models.TextField(null=True))'
    project.migrations("blog", {"0002_add": source(add)})
    data = document(project)
    assert data["findings"] == []
    assert data["not_probed"] == []
