"""Reading the documentation, and trying its migrations under two releases."""

from __future__ import annotations

import datetime as dt
import re
import shlex
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from django.apps import apps
from django.db import connection, models
from django.db.migrations import (
    AlterOrderWithRespectTo,
    CreateModel,
    Migration,
)
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState
from django.test import override_settings

from tests.command_helpers import ManageServer

DOCS = Path(__file__).resolve().parent.parent / "docs"
APP = "shop"

# What a migration module of the documentation begins with where it isn't shown.
PRELUDE = "from django.db import migrations, models\nfrom syzygy import Stage\n"


# Pages


@dataclass(frozen=True)
class Block:
    """A code block; ``label`` is the nearest label above it."""

    label: str
    language: str
    caption: str
    text: str
    line: int


def read(name: str) -> str:
    """Return the source of a page, by its name without the suffix."""
    return (DOCS / f"{name}.rst").read_text(encoding="utf-8")


def pages() -> list[Path]:
    """Return all pages."""
    return sorted(DOCS.rglob("*.rst"))


def labels(prefix: str, text: str) -> list[str]:
    """Return what follows the prefix in the labels that begin with it, in order."""
    return re.findall(rf"^\.\. _{prefix}-(.+):$", text, re.MULTILINE)


def entries(prefix: str, text: str) -> dict[str, str]:
    """Return the text below each label with the prefix, up to the next label."""
    found = {}
    for part in re.split(r"^(?=\.\. _)", text, flags=re.MULTILINE):
        if match := re.match(rf"\.\. _{prefix}-(.+):\n", part):
            found[match[1]] = part
    return found


def fields(entry: str) -> dict[str, str]:
    """Return the fields of an entry, each on one line."""
    return {
        name: " ".join(value.split())
        for name, value in re.findall(
            r"^:(\w+): ((?:.+\n?)(?: {4}.+\n?)*)", entry, re.MULTILINE
        )
    }


def blocks(text: str) -> list[Block]:
    """Return the code blocks of a page, in order."""
    found = []
    lines = text.splitlines()
    label = ""
    for number, line in enumerate(lines):
        if match := re.match(r"\.\. _([^_].*):$", line):
            label = match[1]
        if not (match := re.match(r"( *)\.\. code-block:: (\S+)$", line)):
            continue
        indent = f"{match[1]}   "
        body = []
        for content in lines[number + 1 :]:
            if content.strip() and not content.startswith(indent):
                break
            body.append(content)
        caption = ""
        while body and body[0].strip():
            if option := re.match(r" *:caption: (.+)$", body[0]):
                caption = option[1]
            del body[0]
        code = textwrap.dedent("\n".join(body)).strip("\n") + "\n"
        found.append(Block(label, match[2], caption, code, number + 1))
    return found


# Migrations


def shop_state() -> ProjectState:
    """Return the state of the models that the examples start from."""
    sys.path.insert(0, str(DOCS / "examples"))
    try:
        with override_settings(INSTALLED_APPS=[APP]):
            state = ProjectState()
            for model in apps.get_app_config(APP).get_models():
                state.add_model(ModelState.from_model(model))
    finally:
        sys.path.remove(str(DOCS / "examples"))
        for name in [name for name in sys.modules if name.split(".")[0] == APP]:
            del sys.modules[name]
        apps.all_models.pop(APP, None)
        apps.clear_cache()
    return state


class Example(Migration):
    """A migration of operations; ``before`` are those of migrations before it."""

    before: Sequence[Operation] = ()

    def __init__(self, name: str, **attributes: Any) -> None:
        super().__init__(name, APP)
        vars(self).update(attributes)


def migration(block: Block, name: str = "0002_example") -> Migration:
    """Make a migration of a module's source."""
    made: Migration = _run(block)["Migration"](name, APP)
    return made


def example(block: Block) -> Example:
    """Make a migration of what is in the body of its class."""
    names = _run(block)
    known = {"operations", "stage", "before"} & names.keys()
    return Example("0002_example", **{name: names[name] for name in known})


def _run(block: Block) -> dict[str, Any]:
    names: dict[str, Any] = {}
    where = f"{block.label}, {block.caption}"
    exec(compile(PRELUDE + block.text, where, "exec"), names)
    return names


def initial(state: ProjectState) -> Migration:
    """Make the migration that creates the models of a state."""
    made: list[Operation] = []
    for model in state.models.values():
        options = dict(model.options)
        together = options.pop("order_with_respect_to", None)
        fields = list(model.fields.items())
        made.append(CreateModel(model.name, fields, options, model.bases))
        if together:
            made.append(AlterOrderWithRespectTo(model.name, together))
    return Example("0001_initial", operations=made)


def apply(migrations: Iterable[Migration], state: ProjectState) -> ProjectState:
    """Apply migrations to the database, and return the state after them."""
    for each in migrations:
        with connection.schema_editor(atomic=each.atomic) as editor:
            state = each.apply(state.clone(), editor)
    return state


# Releases


class Broken(AssertionError):
    """A release read what its models don't allow."""


class Release:
    """The code of a release: its models, used as code uses them."""

    _numbers = count(1)

    def __init__(self, name: str, state: ProjectState, copes: Sequence[str]) -> None:
        self.name = name
        self.copes = copes
        # A state that is rendered already shares model classes with its clones.
        unrendered = ProjectState({k: m.clone() for k, m in state.models.items()})
        self.models = {_name(model): model for model in unrendered.apps.get_models()}

    def create(self) -> list[tuple[str, Any]]:
        """Write two rows of each model: a full one, and one of what it must have."""
        rows: list[tuple[str, Any]] = []
        for is_full in (True, False):
            made: dict[str, models.Model] = {}
            for name in self.models:
                self._create(name, made, is_full)
            rows += [(name, row.pk) for name, row in made.items()]
        return rows

    def read(self) -> None:
        """Read every row, whoever wrote it, and write it back."""
        for model in self.models.values():
            for row in model._default_manager.all():
                for field in model._meta.concrete_fields:
                    is_missing = getattr(row, field.attname) is None
                    if is_missing and not field.null and field.name not in self.copes:
                        raise Broken(f"{self.name} reads None in {field}.")
                if not any(getattr(row, name, "") is None for name in self.copes):
                    row.save()
                for many in model._meta.many_to_many:
                    list(getattr(row, many.name).all())

    def delete(self, rows: Iterable[tuple[str, Any]]) -> None:
        """Delete rows, as far as the release knows their models."""
        for name, pk in rows:
            if name in self.models:
                self.models[name]._default_manager.filter(pk=pk).delete()

    def _create(
        self, name: str, made: dict[str, models.Model], is_full: bool
    ) -> models.Model:
        if name in made:
            return made[name]
        model = self.models[name]
        values = {}
        for field in model._meta.concrete_fields:
            if field.primary_key or field.generated or field.name == "_order":
                continue
            if not is_full and (
                field.null or field.has_default() or field.has_db_default()
            ):
                continue
            if field.remote_field:
                related = self._create(_name(field.related_model), made, is_full)
                values[field.name] = related
            else:
                values[field.name] = self._value(field)
        made[name] = model._default_manager.create(**values)
        for many in model._meta.many_to_many:
            related = self._create(_name(many.related_model), made, is_full)
            getattr(made[name], many.name).add(related)
        return made[name]

    def _value(self, field: Any) -> Any:
        number = next(self._numbers)
        kind = field.get_internal_type()
        if kind in {"CharField", "TextField"}:
            return str(number)[: field.max_length]
        return {
            "BooleanField": True,
            "IntegerField": number,
            "PositiveIntegerField": number,
            "UUIDField": uuid.UUID(int=number),
            "DateField": dt.date(2030, 1, 1),
            "DateTimeField": dt.datetime(2030, 1, 1, tzinfo=dt.UTC),
        }[kind]


def _name(model: Any) -> str:
    name: str = model._meta.model_name
    return name


def deploy(
    state: ProjectState,
    pre: Sequence[Migration],
    post: Sequence[Migration],
    copes: Sequence[str] = (),
) -> ProjectState:
    """Deploy migrations over a release, and return the state after them.

    Both releases write, read and delete their own and each other's rows while the
    schema is the one between. Raises whatever breaks one of them. The releases cope
    with None in the fields that ``copes`` names.
    """
    after = state
    for each in (*pre, *post):
        after = each.mutate_state(after)
    old = Release("The running release", state, copes)
    new = Release("The new release", after, copes)
    old.create()
    between = apply(pre, state)
    rows = {old: [*old.create(), *old.create()], new: [*new.create(), *new.create()]}
    for release in (old, new):
        release.read()
    for release in (old, new):
        release.read()
    old.delete(rows[new])
    new.delete(rows[old])
    old.create()
    new.create()
    # Deletes what the other one's rows refer to.
    old.delete(new.create())
    new.delete(old.create())
    final = apply(post, between)
    new.read()
    new.delete(new.create())
    return final


def is_importable(module: str) -> bool:
    """Whether code that the documentation imports is there."""
    try:
        __import__(module)
    except ImportError:
        return False
    return True


# Consoles


def typed(console: str) -> Iterator[tuple[str, str]]:
    """Return what is typed in a console block, each with what comes of it."""
    for session in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
        command, _, expected = session.partition("\n")
        yield command, expected


def matches(expected: str, output: str) -> bool:
    """Whether the output is as expected, where "..." stands for anything."""
    pattern = re.escape(expected.strip()).replace(re.escape("..."), ".*?")
    return re.fullmatch(pattern, output.strip(), re.DOTALL) is not None


INSTALLATION = (
    "python -m venv .venv",
    ". .venv/bin/activate",
    "python -m pip install django-syzygy",
)
# Nobody pulls the plug on a test.
NO_SYNC = """
DATABASES["default"]["OPTIONS"] = {"init_command": "PRAGMA synchronous=OFF"}
"""


class Reader:
    """Somebody who does what the tutorial says, from top to bottom."""

    def __init__(self, folder: Path, server: ManageServer) -> None:
        self.top = folder / "bookshop"
        self.folder = folder
        self.server = server
        self.typed: list[str] = []

    def write(self, caption: str, text: str) -> None:
        name, _, mode = caption.partition(" ")
        if mode == "(add)":
            text = (self.top / name).read_text(encoding="utf-8") + text + NO_SYNC
        (self.top / name).write_text(text, encoding="utf-8")

    def type(self, command: str, expected: str) -> None:
        self.typed.append(command)
        match shlex.split(command):
            case ["python", "manage.py", *arguments]:
                self.manage(arguments, expected)
            case ["python", "-m", "django", *arguments]:
                subprocess.run(
                    [sys.executable, "-m", "django", *arguments],
                    cwd=self.folder,
                    check=True,
                )
            case ["cd", target]:
                self.folder = (self.folder / target).resolve(strict=True)
            case ["mkdir" | "cp" | "rm", *_]:
                subprocess.run(shlex.split(command), cwd=self.folder, check=True)
            case _:
                # The test has an environment already.
                assert command in INSTALLATION

    def manage(self, arguments: list[str], expected: str) -> None:
        result = self.server.run(self.folder, arguments)
        output = result.stdout + result.stderr
        assert matches(expected, output), f"{arguments}\n{output}"
        assert bool(result.returncode) == ("Error: " in expected), output
