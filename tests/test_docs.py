"""The documentation names all that exists, nothing else, and its examples are true."""

from __future__ import annotations

import inspect
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, CommandParser
from django.core.management.commands.migrate import Command as DjangoCommand
from django.db import DatabaseError, connection, models
from django.db.migrations import Migration
from django.db.migrations.state import ProjectState

from syzygy import checks, conf, exceptions, operations, plan
from syzygy.constants import Stage
from syzygy.exceptions import AmbiguousStage
from syzygy.history import History
from syzygy.management import coordination
from syzygy.management.commands.migrate import Command
from syzygy.quorum.backends import cache
from syzygy.requirements import operation_rules
from syzygy.rules import Rule, catalogue
from syzygy.stages import Policy, decide
from tests.command_helpers import ManageServer, Project, source
from tests.docs_helpers import (
    APP,
    DOCS,
    Block,
    Broken,
    Example,
    Reader,
    apply,
    blocks,
    deploy,
    entries,
    example,
    fields,
    initial,
    is_importable,
    labels,
    matches,
    migration,
    pages,
    read,
    shop_state,
    typed,
)
from tests.services import UNDER_TEST

pytest_plugins = ["tests.command_fixtures"]

PAGES = {path.relative_to(DOCS).with_suffix("").as_posix(): path for path in pages()}
RULES = entries("rule", read("reference/rules"))

# The fields of which the text says that releases have to cope with None in them.
COPES = {
    "add-per-row": ["code"],
    "make-not-null": ["subtitle"],
    "remove-foreign-key": ["author"],
    "rule-add-field-unique-not-null": ["code"],
    "rule-remove-field-relation": ["author"],
    "rule-remove-field-unique": ["email"],
}


@pytest.fixture(scope="module")
def shop() -> ProjectState:
    return shop_state()


@pytest.fixture
def deployed(shop: ProjectState, project: Project) -> ProjectState:
    """Have the tables of the examples in a database of their own."""
    del project
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # Nobody pulls the plug on a test.
            cursor.execute("SET synchronous_commit TO off")
    return apply([initial(shop)], ProjectState())


def history_of(state: ProjectState) -> History:
    history = History()
    for model in state.models.values():
        history.add_model(model.clone())
    return history


def stage_of(made: Migration, history: History) -> str:
    """Return what the documentation calls the stage; the history moves on."""
    try:
        stage = decide(made, history, Policy()).stage
    except AmbiguousStage:
        return "ambiguous"
    return stage.label if stage else "any"


def flat(text: str) -> str:
    return " ".join(text.split())


# Entries: each thing that exists has one, and nothing else has


def test_settings_have_entries() -> None:
    assert labels("setting", read("reference/settings")) == list(conf.SETTINGS)


def test_pages_name_settings_that_exist() -> None:
    named = {
        name
        for path in PAGES.values()
        for name in re.findall(
            r"\b(?:MIGRATION|SYZYGY)_\w+", path.read_text(encoding="utf-8")
        )
    }
    prefixes = {"MIGRATION_STAGE", "MIGRATION_THIRD_PARTY", "MIGRATION_QUORUM"}
    assert named - prefixes == {*conf.SETTINGS}


def test_options_have_entries() -> None:
    added = options(Command()) - options(DjangoCommand())
    _, _, text = read("reference/commands").partition(".. program:: migrate\n")
    text, _, _ = text.partition(".. program::")
    assert set(re.findall(r"^\.\. option:: (\S+)", text, re.MULTILINE)) == added


def test_pages_name_options_that_exist() -> None:
    known = options(Command()) | {"--name", "--tag"}
    for name in PAGES:
        commands = re.findall(r"\b(?:migrate|check)\b[^\n`]*", read(name))
        named = set(re.findall(r"(?<!\S)--[a-z][\w-]+", " ".join(commands)))
        assert named <= known, name


def options(command: Any) -> set[str]:
    parser: CommandParser = command.create_parser("manage.py", "migrate")
    return {
        string
        for action in parser._actions
        for string in action.option_strings
        if string.startswith("--")
    }


def test_checks_have_entries() -> None:
    text = read("reference/checks")
    sources = inspect.getsource(checks) + inspect.getsource(cache)
    existing = set(re.findall(r"syzygy\.[A-Z]\d+", sources))
    assert set(labels("check", text)) == existing
    for entry in entries("check", text).values():
        for part in ("Cause", "Example", "Remedy"):
            assert f"\n{part}\n" in entry


def test_pages_name_checks_that_exist() -> None:
    existing = set(labels("check", read("reference/checks")))
    for path in PAGES.values():
        named = re.findall(r"syzygy\.[A-Z]\d+", path.read_text(encoding="utf-8"))
        assert set(named) <= existing, path


def test_exit_codes_have_entries(project: Project) -> None:
    project.app("shop", {"0001_initial": CREATE})
    returned = {
        project.manage(*arguments).returncode
        for arguments in (["check"], ["migrate", "--check"], ["migrate", "--nonsense"])
    }
    # Those of signals; tests/test_docs_rehearsal.py has them.
    returned |= {129, 130, 143}
    returned |= {coordination.EXIT_TIMEOUT, coordination.EXIT_DISSOLVED}
    documented = labels("exit-code", read("reference/exit-codes"))
    assert documented == [str(code) for code in sorted(returned)]


def test_public_names_have_entries() -> None:
    documented = set()
    for page in ("reference/api", "reference/operations"):
        module = ""
        for directive, name in re.findall(
            r"^\.\. (\w+):: ([\w.]+)", read(page), re.MULTILINE
        ):
            if directive in {"module", "automodule"}:
                module = name
                import_module(module)
            elif directive in {"autoclass", "autofunction", "decorator", "data"}:
                assert hasattr(import_module(module), name), name
                documented.add(f"{module}.{name}")
    for each in (plan, operations):
        defined = {
            f"{each.__name__}.{name}"
            for name, value in vars(each).items()
            if getattr(value, "__module__", "") == each.__name__ and name[0] != "_"
            if inspect.isclass(value) or inspect.isfunction(value)
        }
        assert defined <= documented
    assert f"automodule:: {exceptions.__name__}\n   :members:" in read("reference/api")


# Rules


def test_rules_have_entries() -> None:
    assert labels("rule", read("reference/rules")) == [*catalogue()]


@pytest.mark.parametrize("rule", catalogue().values(), ids=lambda rule: rule.code)
def test_rule_says_what_the_catalogue_says(rule: Rule) -> None:
    expected = {"Stage": documented_stage(rule), "Reason": rule.why}
    if rule.caveat:
        expected["Breaks"] = rule.caveat
    assert fields(RULES[rule.code]) == expected
    assert f"\n``{rule.code}``\n" in RULES[rule.code]


def documented_stage(rule: Rule) -> str:
    if not rule.stageable:
        return "none is safe"
    if rule.required:
        return rule.required.label
    return f"either ({rule.preferred.label})" if rule.preferred else "any"


def examples(code: str) -> dict[str, Block]:
    return {block.caption: block for block in blocks(RULES[code])}


def compiled(block: Block) -> Example:
    if "contrib.postgres" in block.text and not is_importable("psycopg"):
        pytest.skip("It imports django.contrib.postgres, which needs psycopg.")
    if "DB_CASCADE" in block.text and not hasattr(models, "DB_CASCADE"):
        pytest.skip("It needs Django 6.1.")
    return example(block)


@pytest.mark.parametrize("code", catalogue())
def test_example_falls_under_the_rule(code: str, shop: ProjectState) -> None:
    tried = compiled(examples(code)["Example"])
    history = history_of(shop)
    for operation in tried.before:
        history.advance(operation, APP)
    # The rest of the example is in the same plan.
    history.origin, history.unseen = APP, {APP}
    history.applying = APP
    codes = []
    for operation in tried.operations:
        codes = [rule.code for rule in operation_rules(operation, APP, history)]
        history.advance(operation, APP)
    assert codes == [code]


@pytest.mark.parametrize("code", [c for c, rule in catalogue().items() if rule.split])
def test_what_breaks_has_correct_code(code: str) -> None:
    assert "Instead, pre-deploy" in examples(code)


INSTEAD = {f"Instead, {stage}": stage for stage in ("any", "pre-deploy", "post-deploy")}


@pytest.mark.parametrize("code", [c for c in catalogue() if len(examples(c)) > 1])
def test_correct_code_survives(
    code: str, shop: ProjectState, deployed: ProjectState
) -> None:
    found = examples(code)
    assert found.keys() <= {"Example", *INSTEAD}
    steps = [
        (compiled(found[title]), stage)
        for title, stage in INSTEAD.items()
        if title in found
    ]
    history = history_of(shop)
    assert [stage_of(step, history) for step, _ in steps] == [s for _, s in steps]
    deploy(
        deployed,
        [step for step, stage in steps if stage != "post-deploy"],
        [step for step, stage in steps if stage == "post-deploy"],
        copes=COPES.get(f"rule-{code}", ()),
    )


@pytest.mark.parametrize(
    "code",
    [
        code
        for code, rule in catalogue().items()
        # NULL where a default was meant is no error to the database.
        if (rule.split and code != "add-field-null-default")
        # What the others break depends on the data and the database.
        or code in {"rename-model", "alter-model-table", "rename-column", "change-m2m"}
    ],
)
def test_example_breaks(code: str, deployed: ProjectState) -> None:
    tried = compiled(examples(code)["Example"])
    is_post = catalogue()[code].required is Stage.POST_DEPLOY
    with pytest.raises((Broken, DatabaseError)):
        deploy(deployed, [] if is_post else [tried], [tried] if is_post else [])


# Migrations of all pages, whose captions tell their stage

CAPTION = re.compile(
    r"shop/migrations/(\w+)\.py \((any|pre-deploy|post-deploy|ambiguous)\)"
)
SECTIONS: dict[tuple[str, str], list[Block]] = {}
for page in PAGES:
    for block in blocks(read(page)):
        if CAPTION.fullmatch(block.caption):
            SECTIONS.setdefault((page, block.label), []).append(block)


@pytest.mark.parametrize("section", SECTIONS, ids="-".join)
def test_stage_in_the_caption(section: tuple[str, str], shop: ProjectState) -> None:
    history = history_of(shop)
    previous = "0001_initial"
    for block in SECTIONS[section]:
        name, stage = captioned(block)
        made = migration(block, name)
        assert made.dependencies == [(APP, previous)], block
        assert stage_of(made, history) == stage, block
        previous = name


@pytest.mark.parametrize(
    "label", [label for page, label in SECTIONS if page == "how-to/write-migrations"]
)
def test_recipe_survives(label: str, deployed: ProjectState) -> None:
    deployments: list[dict[str, list[Migration]]] = []
    for block in SECTIONS["how-to/write-migrations", label]:
        name, stage = captioned(block)
        is_post = stage == "post-deploy"
        if not deployments or (deployments[-1]["post"] and not is_post):
            deployments.append({"pre": [], "post": []})
        deployments[-1]["post" if is_post else "pre"].append(migration(block, name))
    for each in deployments:
        deployed = deploy(deployed, **each, copes=COPES.get(label, ()))


def test_hazard_of_new_foreign_keys(deployed: ProjectState) -> None:
    """Without what the recipe does about it, the running release can't delete."""
    first, _, last = SECTIONS["how-to/write-migrations", "new-foreign-keys"]
    created, attached = migration(first), migration(last)
    with pytest.raises(DatabaseError):
        deploy(deployed, [created, attached], [])


def captioned(block: Block) -> tuple[str, str]:
    match = CAPTION.fullmatch(block.caption)
    assert match
    return match[1], match[2]


# Settings

SETTINGS = {
    f"{page}:{block.line}": block
    for page in PAGES
    for block in blocks(read(page))
    if block.language == "python"
    if block.caption.startswith("settings.py") or page == "reference/settings"
}


@pytest.mark.parametrize("block", SETTINGS.values(), ids=SETTINGS)
def test_settings_are_understood(block: Block, project: Project) -> None:
    for label in ("blog", "legacy", "other_app", "yourapp"):
        project.app(label, {"0042_comments": source()})
    project.app("shop", {n: source() for n in ("0001_initial", "0002_language")})
    project.migrations("shop", {n: source() for n in ("0003_remove_shelf", "0117_vat")})
    (rule,) = (
        b for b in blocks(read("reference/audit/index")) if "NoTriggers" in b.text
    )
    project.write(rule.caption, rule.text)
    names: dict[str, Any] = {}
    exec(block.text, names)
    settings = {name: value for name, value in names.items() if name.isupper()}
    installed = settings.pop("INSTALLED_APPS", ["syzygy"])
    assert set(installed) <= {*project.installed}
    with project.active(**settings):
        problems = conf.problems()
    if block.caption.endswith("(malformed)"):
        assert [problem.message for problem in problems] == [message("syzygy.E002")]
    else:
        assert problems == []


# Messages and output


def message(check: str) -> str:
    return text_block("reference/checks", f"check-{check}").strip()


def text_block(page: str, label: str = "") -> str:
    """Return the only block of text below a label."""
    (found,) = [
        block.text
        for block in blocks(read(page))
        if block.language == "text" and block.label == label
    ]
    return found


def squeezed(text: str) -> list[str]:
    """Return lines without what fills up their columns."""
    return [re.sub(r"(\S)  +", r"\1  ", line) for line in text.splitlines()]


def test_message_of_an_ambiguous_stage(shop: ProjectState) -> None:
    (block,) = SECTIONS["reference/checks", "check-syzygy.E001"]
    with pytest.raises(AmbiguousStage) as caught:
        decide(migration(block, captioned(block)[0]), history_of(shop), Policy())
    assert caught.value.summary == message("syzygy.E001")
    assert text_block("how-to/ambiguous", "ambiguous-stage").strip() == message(
        "syzygy.E001"
    )


def test_message_of_an_ambiguous_plan(project: Project) -> None:
    project.app("shop", {"0001_initial": CREATE, "0002_language": ADD})
    project.call("migrate")
    project.migrations(
        "shop",
        {"0003_remove_shelf": source('m.RemoveField("book", "shelf")')},
    )
    project.migrations(
        "shop",
        {"0004_review": source(CREATE_BOOK.replace("Book", "Review"))},
    )
    with pytest.raises(CommandError) as caught:
        project.call("migrate", "--pre-deploy")
    documented = text_block("how-to/ambiguous", "ambiguous-plan")
    assert f"CommandError: {caught.value}\n" == documented


CREATE_BOOK = (
    'm.CreateModel("Book", [("id", models.BigAutoField(primary_key=True)), '
    '("shelf", models.TextField(db_default="")), '
    '("subtitle", models.TextField(null=True))])'
)
CREATE = source(CREATE_BOOK)
ADD = source('m.AddField("book", "language", models.SlugField(null=True))')


@pytest.mark.parametrize("page", ["index", "reference/commands"])
def test_output_of_plan(page: str, project: Project) -> None:
    project.app("shop", {"0001_initial": CREATE})
    project.call("migrate")
    project.migrations(
        "shop",
        {
            "0002_language": ADD,
            "0003_subtitle": source('m.RemoveField("book", "subtitle")'),
            "0004_options": source('m.AlterModelOptions("book", {"ordering": ["id"]})'),
        },
    )
    out = project.call("migrate", "--pre-deploy", "--plan")
    assert text_block(page) in out


def test_roll_back(project: Project) -> None:
    """Undo what it says in either of the two steps."""
    project.app("shop", {"0001_initial": CREATE, "0002_language": ADD})
    project.migrations(
        "shop", {"0003_subtitle": source('m.RemoveField("book", "subtitle")')}
    )
    block = next(b for b in blocks(read("how-to/roll-back")) if b.label == "")
    before, _, after = block.text.splitlines()
    project.call("migrate")
    assert project.columns("shop_book") == {"id", "shelf", "language"}
    project.call(*before.split()[3:])
    assert project.columns("shop_book") == {"id", "shelf", "language", "subtitle"}
    project.call(*after.split()[3:])
    assert project.columns("shop_book") == {"id", "shelf", "subtitle"}


def test_message_on_an_old_project(project: Project) -> None:
    rename = source('m.RenameModel("A", "B")')
    project.app("blog", {"0001_initial": source()})
    for name in ("0002_body", "0007_author", "0009_slug"):
        project.migrations("blog", {name: rename})
    project.migrations("blog", {"0042_comments": source()})
    project.app("shop", {"0001_initial": source()})
    for name in ("0004_price", "0011_rename", "0105_stock"):
        project.migrations("shop", {name: rename})
    project.migrations("shop", {"0117_vat": source()})
    result = project.manage("check")
    assert result.returncode == 1
    assert text_block("how-to/adopt") in result.stderr


def test_combined_command(project: Project) -> None:
    (block,) = (b for b in blocks(read("how-to/combine")) if "Command" in b.text)
    assert len([line for line in block.text.splitlines() if line]) == 4
    folder = "management/commands"
    project.installed[:] = []
    project.app("other_app", {"0001_initial": CREATE})
    project.write(
        f"other_app/{folder}/migrate.py",
        "from django.core.management.commands.migrate import Command",
    )
    project.installed.append("syzygy")
    with project.active():
        (warning,) = run_checks(tags=["syzygy"])
    assert (warning.id, warning.msg) == ("syzygy.W001", message("syzygy.W001"))
    project.installed.insert(0, "yourapp")
    assert block.caption == f"yourapp/{folder}/migrate.py"
    project.write(block.caption, block.text)
    with project.active():
        assert run_checks(tags=["syzygy"]) == []
    assert "Applying other_app.0001_initial" in project.call("migrate", "--pre-deploy")


def test_judges_are_registered_when_an_app_is_ready(project: Project) -> None:
    (block,) = (b for b in blocks(read("how-to/teach")) if "ready" in b.text)
    project.write("yourapp/judges.py", "IS_IMPORTED = True")
    project.app("yourapp")
    project.write(block.caption, block.text)
    with project.active():
        assert sys.modules["yourapp.judges"].IS_IMPORTED


# The last two in tests/quorum and in test_audit_command.
ELSEWHERE = {"yourapp/apps.py", "settings.py (hidden)", "yourapp/quorum.py"}
ELSEWHERE |= {"house/audit.py"}
ELSEWHERE |= {"yourapp/management/commands/makemigrations.py"}


def test_every_example_is_tried() -> None:
    elsewhere = {
        "reference/rules",
        "tutorial/index",
        "tutorial/rehearse",
        "how-to/combine",
        "how-to/rehearse-in-ci",
    }
    for page in PAGES.keys() - elsewhere:
        for block in blocks(read(page)):
            if block.language == "python":
                assert (
                    CAPTION.fullmatch(block.caption)
                    or f"{page}:{block.line}" in SETTINGS
                    or block.caption in ELSEWHERE
                ), f"{page}:{block.line}"
    for block in blocks(read("reference/rules")):
        assert block.caption in {"Example", *INSTEAD}, block


# The tutorial


@pytest.mark.skipif(UNDER_TEST != "sqlite", reason="The tutorial is about SQLite.")
def test_tutorial(tmp_path: Path, manage_server: ManageServer) -> None:
    """Both parts of it: the second goes on where the first ends."""
    reader = Reader(tmp_path, manage_server)
    for page in ("tutorial/index", "tutorial/rehearse"):
        for block in blocks(read(page)):
            if block.language == "python":
                reader.write(block.caption, block.text)
            else:
                assert block.language == "console"
                for command, expected in typed(block.text):
                    reader.type(command, expected)
    for command in ("migrate --pre-deploy", "rehearse", "rehearse --revert"):
        assert f"python manage.py {command}" in reader.typed


def test_output_that_differs_does_not_match() -> None:
    assert matches("a\n...\nb... OK\n", "a\n1\n2\nb... OK")
    assert not matches("a\n", "a\nb")
    assert not matches("a\n...\nb", "a\nc")
