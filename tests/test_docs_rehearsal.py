"""The documentation of ``rehearse`` names all that there is, and its output is real."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import BaseCommand

from syzygy import testing
from syzygy.management import rehearsal_report
from syzygy.management.commands.rehearse import Command
from syzygy.rehearsal import findings, scratch, values
from syzygy.rehearsal.findings import Action, Phase, Severity, own_rows
from tests.command_helpers import Project, Result, drop_scratch, source
from tests.docs_helpers import (
    DOCS,
    Block,
    blocks,
    labels,
    pages,
    read,
    typed,
)
from tests.services import SERVICES, UNDER_TEST, Service

pytest_plugins = ["tests.command_fixtures"]

HOW_TO = "how-to/rehearse-in-ci"
REPORT = "reference/rehearsal"
on_sqlite = pytest.mark.skipif(
    UNDER_TEST != "sqlite", reason="The output in the documentation is SQLite's."
)

AUTHOR = '("id", models.BigAutoField(primary_key=True)), ("name", models.TextField())'
BOOK = '("id", models.BigAutoField(primary_key=True)), ("title", models.TextField())'
SALES = '("id", models.BigAutoField(primary_key=True)), ("sold", models.IntegerField())'
CREATE = source(
    f'm.CreateModel("Author", [{AUTHOR}])',
    f'm.CreateModel("Book", [{BOOK}])',
    f'm.CreateModel("Sales", [{SALES}], {{"managed": False}})',
)
PAGES = 'm.AddField("book", "pages", models.IntegerField(default=0))'
SAFE_PAGES = 'm.AddField("book", "pages", models.IntegerField(db_default=0))'
SUMMARY = '{"managed": False, "verbose_name_plural": "sales"}'


@pytest.fixture
def shop(project: Project) -> Project:
    """The deployment of which the reference shows the report."""
    noop = "m.RunSQL.noop"
    project.app(
        "shop",
        {
            "0001_initial": CREATE,
            "0002_pages": source(PAGES, f'm.AlterModelOptions("sales", {SUMMARY})'),
            "0003_email": source(
                'm.AddField("author", "email", models.TextField(null=True))'
            ),
            "0004_email_not_null": source(
                'm.AlterField("author", "email", models.TextField(default=""))'
            ),
            "0005_statistics": source(
                f'm.RunSQL("SELECT 1", {noop})',
                f'm.RunSQL("SELECT 2", {noop})',
                stage="Stage.POST_DEPLOY",
            ),
        },
    )
    return project


def rehearse(project: Project, *options: str) -> Result:
    result = project.manage("rehearse", "--from=shop.0001", *options)
    assert "Traceback" not in result.output
    return result


def section(name: str, label: str) -> str:
    """What is below a label, up to the next one."""
    _, _, rest = read(name).partition(f".. _{label}:\n")
    assert rest, label
    return re.split(r"^\.\. _", rest, flags=re.MULTILINE)[0]


def terms(name: str, label: str) -> list[str]:
    """The terms of the definition list below a label."""
    return re.findall(r"^``([^`]+)``$", section(name, label), re.MULTILINE)


def block_of(name: str, label: str, number: int = 0) -> Block:
    return [block for block in blocks(read(name)) if block.label == label][number]


# Options and exit codes


def own_options() -> dict[str, Any]:
    known = BaseCommand().create_parser("manage.py", "rehearse")._option_string_actions
    parser = Command().create_parser("manage.py", "rehearse")
    return {
        string: action
        for string, action in parser._option_string_actions.items()
        if string not in known
    }


def documented_options() -> dict[str, str]:
    _, _, text = read("reference/commands").partition(".. program:: rehearse\n")
    text, _, _ = text.partition(".. program:: ")
    return {
        entry.split(maxsplit=1)[0]: entry
        for entry in re.split(r"^\.\. option:: ", text, flags=re.MULTILINE)[1:]
    }


def test_options_have_entries() -> None:
    assert list(documented_options()) == list(own_options())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        (option, value)
        for option, action in own_options().items()
        for value in action.choices or ()
        if option != "--database"
    ],
)
def test_values_of_options_have_entries(option: str, value: str) -> None:
    assert f"``{value}``" in documented_options()[option]


@pytest.mark.parametrize("option", ["--database", "--format", "--fail-level"])
def test_defaults_of_options_are_told(option: str) -> None:
    entry = " ".join(documented_options()[option].split())
    default = own_options()[option].default
    assert f"Default: ``{default}``" in entry or re.search(
        rf"``{default}``[^.;]*, which is the default", entry
    )


def test_pages_name_options_that_exist() -> None:
    known = {*own_options(), "--verbosity"}
    for path in (*pages(), DOCS.parent / "README.rst"):
        commands = re.findall(r"\brehearse\b[^\n`]*", path.read_text(encoding="utf-8"))
        named = set(re.findall(r"(?<!\S)--[a-z][\w-]+", " ".join(commands)))
        assert named <= known, path


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT", "SIGTERM"])
def test_exit_codes_of_signals(name: str, project: Project) -> None:
    project.write(
        "hooks.py",
        "import os, signal\n"
        "def run(*args):\n"
        f"    os.kill(os.getpid(), signal.{name})\n",
    )
    hook = 'm.RunPython(__import__("hooks").run)'
    project.app("shop", {"0001_initial": CREATE, "0002_hook": source(hook)})
    result = rehearse(project)
    page = read("reference/exit-codes")
    assert str(result.returncode) in labels("exit-code", page)
    entry = section("reference/exit-codes", f"exit-code-{result.returncode}")
    assert name in entry
    assert result.stderr == f"CommandError: Stopped by {name}.\n"


@pytest.mark.parametrize(
    ("options", "code"), [([], 1), (["--from=shop.0009"], 1), (["--format=xml"], 2)]
)
def test_other_exit_codes(options: list[str], code: int, shop: Project) -> None:
    assert rehearse(shop, *options).returncode == code


# The report


def test_what_can_happen_has_entries() -> None:
    for label, enumeration in (
        ("rehearsal-phases", Phase),
        ("rehearsal-severities", Severity),
        ("rehearsal-actions", Action),
    ):
        assert terms(REPORT, label) == [member.value for member in enumeration]


def test_what_is_tried_has_entries() -> None:
    folder = Path(findings.__file__).parent
    code = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    tried = {*re.findall(r'"((?:all|by|with) [^"{]+)"', code)}
    tried |= {own_rows("old"), own_rows("new")}
    entries = section(REPORT, "rehearsal-tried")
    listed = {*re.findall(r"``([^`]+)``", entries)}
    assert len(tried) > 5
    assert {name for name in listed if " " in name} == tried


@on_sqlite
def test_report(shop: Project) -> None:
    expected = block_of(REPORT, "rehearsal-report").text
    assert rehearse(shop).stdout == expected


@on_sqlite
def test_fields_of_a_finding_have_entries() -> None:
    report = block_of(REPORT, "rehearsal-report").text
    told, _, _ = report.partition("BREAKS")[2].partition("Not probed")
    shown = dict.fromkeys(re.findall(r"^  (\w+(?: \w+)*)  ", told, re.MULTILINE))
    assert terms(REPORT, "rehearsal-fields") == list(shown)


def test_github(shop: Project) -> None:
    lines = rehearse(shop, "--format=github").stdout.splitlines()
    assert [line.split(" ")[0] for line in lines[:2]] == ["::error", "::warning"]
    assert {line.split(" ")[0] for line in lines[2:-1]} == {"::notice"}
    assert "that breaks the deployment" in lines[-1]
    if UNDER_TEST == "sqlite":
        assert lines[0] == block_of(REPORT, "rehearsal-github").text.rstrip("\n")


# JSON

TYPES = {
    "array": list,
    "boolean": bool,
    "integer": int,
    "null": type(None),
    "object": dict,
    "string": str,
}


def documented_keys() -> dict[str, set[type]]:
    text = section(REPORT, "rehearsal-json")
    return {
        key: {TYPES[name] for name in kinds.split(" or ")}
        for key, kinds in re.findall(r"^``(\S+)`` : (.+)$", text, re.MULTILINE)
    }


def keys_in(data: Any, prefix: str = "") -> Iterator[tuple[str, type]]:
    """Return the keys of a document, each with the type of a value."""
    for key, value in data.items():
        yield f"{prefix}{key}", type(value)
        if isinstance(value, dict):
            yield from keys_in(value, f"{prefix}{key}.")
        for item in value if isinstance(value, list) else ():
            if isinstance(item, dict):
                yield from keys_in(item, f"{prefix}{key}[].")


def documents(project: Project) -> Iterator[dict[str, Any]]:
    """Of a rehearsal with all there is, and of one in which a migration fails."""
    yield json.loads(rehearse(project, "--format=json", "--revert").stdout)
    fail = source('m.RunSQL("SELECT nonsense")', stage="Stage.POST_DEPLOY")
    project.migrations("shop", {"0006_fail": fail})
    document = json.loads(rehearse(project, "--format=json", "--keepdb").stdout)
    drop_scratch(document["database"])
    yield document


def test_json_keys_have_entries(shop: Project) -> None:
    found: dict[str, set[type]] = {}
    for document in documents(shop):
        assert document["version"] == rehearsal_report.VERSION
        for name in ("steps", "findings", "not_probed", "notes"):
            assert document[name], name
        for key, kind in keys_in(document):
            found.setdefault(key, set()).add(kind)
    documented = documented_keys()
    assert list(found) == list(documented)
    # That something can be null takes more than two documents to see.
    for key, kinds in found.items():
        assert kinds <= documented[key], key
        assert documented[key] - kinds <= {type(None)}, key


def test_json_version_is_the_documented_one() -> None:
    text = section(REPORT, "rehearsal-json")
    assert f"version {rehearsal_report.VERSION}" in text
    assert f"``version`` : integer\n   ``{rehearsal_report.VERSION}``." in text


@on_sqlite
def test_json_example(shop: Project) -> None:
    document = json.loads(rehearse(shop, "--format=json").stdout)
    example = block_of(REPORT, "rehearsal-json-example").text
    assert json.loads(example) == document["findings"][0]
    assert example == json.dumps(document["findings"][0], indent=2) + "\n"


# In Python


def test_public_names_have_what_the_reference_says() -> None:
    _, _, text = read("reference/api").partition(".. module:: syzygy.rehearsal.fin")
    text, _, _ = text.partition("``syzygy.management")
    for entry in re.split(r"^\.\. class:: ", text, flags=re.MULTILINE)[1:]:
        cls = getattr(findings, entry.split()[0])
        known = {*dir(cls), *getattr(cls, "__dataclass_fields__", ())}
        named = re.findall(
            r"^   \.\. (?:attribute|method):: (\w+)", entry, re.MULTILINE
        )
        assert named
        assert set(named) <= known, cls


def test_signature_of_register_values() -> None:
    parameters = inspect.signature(values.register_values).parameters.values()
    written = [str(p.replace(annotation=inspect.Parameter.empty)) for p in parameters]
    assert written == ["key", "widest=None"]
    assert "decorator:: register_values(key, *, widest=None)" in read("reference/api")


def test_arguments_of_the_assertion_are_options() -> None:
    arguments = {*inspect.signature(testing.assert_deployment_survives).parameters}
    names = {option[2:].replace("-", "_") for option in own_options()}
    assert arguments - {"start"} == names - {"from", "keepdb", "format"}


# Recipes


def git(folder: Path, *arguments: str) -> None:
    names = ("AUTHOR_NAME", "AUTHOR_EMAIL", "COMMITTER_NAME", "COMMITTER_EMAIL")
    inherited = {n: v for n, v in os.environ.items() if not n.startswith("GIT_")}
    subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *arguments],
        cwd=folder,
        env=inherited
        | {f"GIT_{name}": "a@b.example" for name in names}
        | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
        check=True,
        capture_output=True,
    )


def commit(project: Project, *, branch: str) -> None:
    project.write_settings()
    git(project.path, "checkout", "-q", "-B", branch)
    git(project.path, "add", "shop", "settings.py", "manage.py")
    git(project.path, "commit", "-qm", branch)


def deployed_and_pending(project: Project, pending: str) -> None:
    """A repository with a branch that adds a migration to the main branch."""
    project.app("shop", {"0001_initial": CREATE})
    git(project.path, "init", "-q", "-b", "main")
    commit(project, branch="main")
    git(project.path, "update-ref", "refs/remotes/origin/main", "HEAD")
    project.migrations("shop", {"0002_pages": source(pending)})
    commit(project, branch="pages")


def steps_of(recipe: Block) -> list[str]:
    """The commands of a recipe that are git's or the project's."""
    lines = re.findall(r"^ *- (?:run: )?(.+)$", recipe.text, re.MULTILINE)
    return [line for line in lines if line.startswith(("git ", "python manage.py "))]


@pytest.mark.parametrize("label", ["rehearse-github", "rehearse-gitlab"])
def test_recipe(
    label: str, project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    deployed_and_pending(project, PAGES)
    clone = tmp_path_factory.mktemp("clone") / "project"
    address = project.path.as_uri()
    git(project.path, "clone", "-q", "--depth=1", "-b", "pages", address, str(clone))
    commands = steps_of(block_of(HOW_TO, label))
    assert len(commands) == 2
    for command in commands:
        match shlex.split(command):
            case ["git", *arguments]:
                git(clone, *arguments)
            case ["python", "manage.py", *arguments]:
                result = project.server.run(clone, arguments)
                assert result.returncode == 1, result.output
                assert "the old release fails at INSERT of shop.Book" in result.stdout
                is_github = label == "rehearse-github"
                assert result.stdout.startswith("::error") is is_github


def test_commands_in_the_reference(shop: Project) -> None:
    shop.migrations("shop", {"0041_more": source('m.RunSQL("SELECT 1")')})
    shop.app("blog", {"0001_initial": source()})
    git(shop.path, "init", "-q", "-b", "main")
    commit(shop, branch="main")
    git(shop.path, "update-ref", "refs/remotes/origin/main", "HEAD")
    commands = [
        command
        for page in ("reference/commands", HOW_TO, "index")
        for block in blocks(read(page))
        if block.language == "console"
        for command, _ in typed(block.text)
        if " rehearse" in command
    ]
    assert len(commands) == 5
    for command in commands:
        result = shop.manage(*shlex.split(command)[2:])
        assert "Error" not in result.stderr, command


@pytest.mark.parametrize("pending", [PAGES, SAFE_PAGES], ids=["breaks", "survives"])
@pytest.mark.parametrize("file", ["tests/test_deployment.py", "shop/tests.py"])
def test_test_of_a_project(file: str, pending: str, project: Project) -> None:
    deployed_and_pending(project, pending)
    (block,) = (b for b in blocks(read(HOW_TO)) if b.caption == file)
    project.write(file, block.text)
    if file == "shop/tests.py":
        result = project.manage("test", "shop")
    else:
        arguments = ["-p", "no:cacheprovider", "-q", file]
        result = project.python(
            f"import sys, pytest; sys.exit(pytest.main({arguments!r}))"
        )
    assert (result.returncode == 0) is (pending == SAFE_PAGES), result.output
    report = "BREAKS: the old release fails at INSERT of shop.Book.pages"
    assert (report in result.output) is (pending == PAGES), result.output


def test_test_of_one_deployment(project: Project) -> None:
    project.app("shop", {"0001_initial": CREATE, "0002_pages": source(SAFE_PAGES)})
    (block,) = (b for b in blocks(read(HOW_TO)) if b.caption == "shop/test_pages.py")
    project.write(block.caption, block.text)
    result = project.manage("test", "shop")
    assert result.returncode == 0, result.output
    assert "Ran 1 test" in result.output


def test_values_that_it_is_taught(project: Project) -> None:
    captions = {block.caption: block for block in blocks(read(HOW_TO))}
    project.app("yourapp")
    project.write("yourapp/fields.py", captions["yourapp/fields.py"].text)
    text = source(
        f'm.CreateModel("Book", [{BOOK}, ("isbn", fields.IsbnField())])'
    ).text(None)
    text = text.replace("\n\n", "\nfrom yourapp import fields\n\n", 1)
    project.app("shop", {"0001_initial": text, "0002_pages": source(SAFE_PAGES)})
    result = rehearse(project)
    assert block_of(HOW_TO, "teach-values", 1).text in result.stdout
    project.write("yourapp/apps.py", captions["yourapp/apps.py"].text)
    result = rehearse(project)
    assert result.returncode == 0
    assert "Not probed" not in result.stdout


def test_rights() -> None:
    rights = vars(scratch)["_RIGHTS"]
    documented = [
        block.text.strip()
        for block in blocks(read(HOW_TO))
        if block.label == "rehearse-production" and "sql" in block.language
    ]
    assert documented == [rights[name] % "shop" for name in ("postgresql", "mysql")]


@contextmanager
def connected_to(service: Service, name: str = "") -> Iterator[Callable[[str], Any]]:
    """Yield what executes a statement on a server, and returns the rows if any."""
    if service.name == "postgresql":
        import psycopg

        connection: Any = psycopg.connect(
            **service.address, dbname=name or "postgres", autocommit=True
        )
    else:
        import MySQLdb

        connection = MySQLdb.connect(**service.address, database=name)

    def execute(statement: str) -> Any:
        cursor = connection.cursor()
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else ()

    try:
        yield execute
    finally:
        connection.close()


@pytest.mark.parametrize("caption", ["PostgreSQL", "MySQL"])
def test_leftovers_are_found_and_dropped(caption: str) -> None:
    service = SERVICES["postgresql" if caption == "PostgreSQL" else "mariadb"]
    if missing := service.missing():
        pytest.skip(missing)
    (block,) = (b for b in blocks(read(HOW_TO)) if b.caption == caption)
    query, drop = (part for part in re.split(r"(?<=;)\n", block.text) if part.strip())
    left = f"syzygy_rehearsal_{os.getpid():012x}_"
    (documented,) = re.findall(r"syzygy_rehearsal_\w+", drop)
    assert len(documented) == len(left) + 10
    names = [f"{left}{number:010x}" for number in (1, 2)]
    with connected_to(service) as execute:
        for name in names:
            execute(f"CREATE DATABASE {name}")
        try:
            with connected_to(service, names[0]):
                found = {row[0] for row in execute(query)}
                assert found & {*names} == {names[1]}
            execute(drop.replace(documented, names[1]))
            assert not {row[0] for row in execute(query)} & {names[1]}
        finally:
            for name in names:
                execute(f"DROP DATABASE IF EXISTS {name}")
