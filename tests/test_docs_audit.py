"""The documentation of the audit in CI and in hooks, and of its like, is true."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from django.core.management import load_command_class

from syzygy.management import git_hooks
from tests.command_helpers import Project, Source, source
from tests.docs_helpers import Block, blocks, labels, read, typed
from tests.test_docs_rehearsal import PAGES, deployed_and_pending, git, steps_of

pytest_plugins = ["tests.command_fixtures"]

HOOKS = Path(__file__).parent.parent / ".pre-commit-hooks.yaml"
CI = "how-to/audit-in-ci"
LINTERS = "explanation/linters"


def recipes() -> list[Block]:
    return [b for b in blocks(read(CI)) if b.language == "yaml"]


# CI


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.label)
def test_recipe(
    recipe: Block, project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What it runs finds what there is, in a clone as shallow as those of services."""
    deployed_and_pending(project, PAGES)
    clone = tmp_path_factory.mktemp("clone") / "project"
    address = project.path.as_uri()
    git(project.path, "clone", "-q", "--depth=1", "-b", "pages", address, str(clone))
    fetch, check = map(shlex.split, steps_of(recipe))
    git(clone, *fetch[1:])
    result = project.server.run(clone, check[2:])
    assert result.returncode == 1, result.output
    if "--output" in check:
        # Each further step names the same file.
        name = check[-1]
        assert recipe.text.count(name) > 1
        said = (clone / name).read_text()
        assert result.output.strip() == "exit 1"
    else:
        said = result.stdout
    match check[check.index("--format") + 1]:
        case "github":
            assert said.startswith("::error file=shop/migrations/0002_pages.py,line=6,")
        case "gitlab":
            (issue,) = json.loads(said)
            assert issue["location"]["path"] == "shop/migrations/0002_pages.py"
            assert issue["severity"] == "critical"
        case "sarif":
            (result_,) = json.loads(said)["runs"][0]["results"]
            assert result_["ruleId"] == "SZ007"
        case other:
            assert other == "markdown"
            assert "| pre-deploy | `shop.0002_pages` |" in said


def test_recipes_take_nothing_from_the_pull_request_into_a_shell() -> None:
    for recipe in recipes():
        for line in re.findall(r"run: (.+)", recipe.text):
            assert "${{" not in line
        assert "pull_request_target" not in recipe.text


def test_commands() -> None:
    """Those of all these pages are understood."""
    found = set()
    for page in (CI, "how-to/hooks", "how-to/adopt"):
        for block in blocks(read(page)):
            if block.language == "console":
                for command, _ in typed(block.text):
                    words = shlex.split(command)
                    if words[:2] == ["python", "manage.py"] and words[2] in NAMES:
                        parser = load_command_class("syzygy", words[2]).create_parser(
                            "manage.py", words[2]
                        )
                        parser.parse_args(words[3:])
                        found.add(words[2])
    assert found == NAMES


NAMES = {"check_migrations", "insert_git_hooks"}


# Hooks


def test_options_have_entries() -> None:
    section = read("reference/commands").partition("_command-insert_git_hooks:")[2]
    section = section.partition("``check``\n")[0]
    assert "--remove" in section
    assert re.findall(r"^\.\. option:: (\S+)", section, re.MULTILINE) == ["--remove"]


def test_message_that_skips_the_hook() -> None:
    (message,) = (b.text for b in blocks(read("how-to/hooks")) if b.language == "text")
    assert git_hooks.ALLOW_UNSAFE in message


def test_configuration_of_pre_commit() -> None:
    (hook,) = re.findall(r"^- id: (.+)$", HOOKS.read_text(), re.MULTILINE)
    entry = re.search(r"^  entry: (.+)$", HOOKS.read_text(), re.MULTILINE)
    args = re.search(r"^  args: \[(.+)\]$", HOOKS.read_text(), re.MULTILINE)
    assert entry
    assert args
    found = [b.text for b in blocks(read("how-to/hooks")) if b.language == "yaml"]
    assert len(found) == 2
    for text in found:
        assert f"- id: {hook}\n" in text
    command = f"``{entry[1]} {args[1].replace(',', '')}``"
    assert command in " ".join(read("how-to/hooks").split())
    # What is replaced is what the hook has.
    replaced = re.findall(r"^       +(\w+): ", found[1], re.MULTILINE)
    assert replaced == ["entry", "args", "files"]
    for name in replaced:
        assert f"\n  {name}: " in HOOKS.read_text()


# Other linters

KEY = '("id", models.BigAutoField(primary_key=True))'
PRE = "Stage.PRE_DEPLOY"
TEXT = 'models.CharField(max_length=20, db_column="title")'
UNIQUE = 'models.UniqueConstraint(fields=["title"], name="u")'
CHECK = 'models.CheckConstraint(condition=models.Q(title__gt=""), name="c")'
STATE = "m.SeparateDatabaseAndState(state_operations=[{}])".format
REMOVE_TITLE = 'm.RemoveField("book", "title")'
REMOVE_NOTE = 'm.RemoveField("book", "note")'
ROWS = {
    "Add a nullable field": source(
        'm.AddField("book", "n", models.IntegerField(null=True))'
    ),
    "Add a NOT NULL field with a default": source(
        'm.AddField("book", "n", models.IntegerField(default=1))'
    ),
    "Add a NOT NULL field with a db_default": source(
        'm.AddField("book", "n", models.IntegerField(db_default=1, default=1))'
    ),
    "Remove a nullable field": source(REMOVE_NOTE),
    "Remove a nullable field too early": source(REMOVE_NOTE, stage=PRE),
    "Remove a NOT NULL field": source(REMOVE_TITLE),
    "Remove a NOT NULL field from the state alone": source(STATE(REMOVE_TITLE)),
    "Delete a model": source('m.DeleteModel("author")'),
    "Delete a model with a foreign key": source('m.DeleteModel("review")'),
    "Rename a field": source('m.RenameField("book", "title", "name")'),
    "Rename a field, and keep the column": source(
        STATE(
            'm.RenameField("book", "title", "name"), '
            f'm.AlterField("book", "name", {TEXT})'
        )
    ),
    "Add a unique constraint": source(f'm.AddConstraint("book", {UNIQUE})'),
    "Add a unique constraint too early": source(
        f'm.AddConstraint("book", {UNIQUE})', stage=PRE
    ),
    "Add a check constraint too early": source(
        f'm.AddConstraint("book", {CHECK})', stage=PRE
    ),
    "Drop a db_default too early": source(
        'm.AlterField("book", "sold", models.IntegerField())', stage=PRE
    ),
    "Make a field NOT NULL": source(
        'm.AlterField("book", "note", models.CharField(max_length=20))'
    ),
    "Make a text longer": source(
        'm.AlterField("book", "title", models.CharField(max_length=40))'
    ),
    "Make a text shorter": source(
        'm.AlterField("book", "title", models.CharField(max_length=10))'
    ),
    "Add an index": source(
        'm.AddIndex("book", models.Index(fields=["title"], name="i"))'
    ),
    "RunPython without a way back": source("m.RunPython(lambda apps, editor: None)"),
}


def initial(label: str) -> Source:
    """Return a migration that makes what those in the table change."""
    return source(
        f'm.CreateModel("Author", [{KEY}])',
        f'm.CreateModel("Review", [{KEY}, '
        f'("author", models.ForeignKey("{label}.author", models.CASCADE))])',
        f'm.CreateModel("Book", [{KEY}, ("title", models.CharField(max_length=20)), '
        '("note", models.CharField(max_length=20, null=True)), '
        '("sold", models.IntegerField(db_default=1))])',
    )


def table() -> dict[str, tuple[str, str]]:
    """Return the stage and what Syzygy says of the migrations in the table."""
    text = read(LINTERS).partition(".. list-table::")[2]
    rows = re.findall(r"^   \* - (.+)((?:\n     - .+){3})", text, re.MULTILINE)
    cells = {row: re.findall("- (.+)", rest) for row, rest in rows}
    return {row: (stage, said) for row, (stage, _, said) in cells.items()}


def test_what_the_audit_says_beside_others(project: Project) -> None:
    """On PostgreSQL, without one."""
    rows = table()
    del rows["Migration"]
    assert list(rows) == list(ROWS)
    for number, made in enumerate(ROWS.values()):
        label = f"shop{number}"
        project.app(label, {"0001_initial": initial(label), "0002_next": made})
    engine = "django.db.backends.postgresql"
    project.settings["DATABASES"] = {"default": {"ENGINE": engine}}
    result = project.manage("check_migrations", "--all", "--format=json")
    assert result.returncode == 1, result.output
    data = json.loads(result.stdout)
    for number, (row, (stage, said)) in enumerate(rows.items()):
        key = (f"shop{number}", "0002_next")
        (planned,) = (
            each["stage"] for each in data["plan"] if each["migration"] == ".".join(key)
        )
        # What may run in either stage runs in the first.
        stages = {"any": "pre_deploy", "none": None}
        expected = stage.strip("()").replace("-", "_")
        assert planned == stages.get(expected, expected), row
        codes = {
            f["code"] if f["severity"] == "breaking" else f["code"].lower()
            for f in data["findings"]
            if (f["app_label"], f["migration"]) == key
        }
        told = ", ".join(sorted(codes)) or "ok"
        assert told == said, row


def test_labels() -> None:
    """Other pages refer to these."""
    assert set(labels("audit", read(CI))) == {
        "github",
        "github-comment",
        "github-scanning",
        "gitlab",
    }
