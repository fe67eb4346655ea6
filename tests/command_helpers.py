"""Real Django projects on the database under test, and commands run in them."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core import management
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from syzygy import Stage
from tests.services import SERVICES, UNDER_TEST

# Operations by what they require: the first three and HOOK before the rollout

CREATE = (
    "m.CreateModel('Post', ["
    '("id", models.BigAutoField(primary_key=True, serialize=False)), '
    '("body", models.TextField()), ("title", models.TextField(null=True))])'
)
ADD = 'm.AddField("post", "slug", models.SlugField(null=True))'
ADD_MORE = 'm.AddField("post", "more", models.SlugField(null=True))'
REMOVE = 'm.RemoveField("post", "title")'
STATE_ONLY = 'm.AlterModelOptions("post", {"ordering": ["id"]})'
# Calls the function "run" of the module "hooks" of the project.
HOOK = 'm.RunPython(lambda *args: __import__("hooks").run(*args), m.RunPython.noop)'
# No stage is safe.
RENAME = 'm.RenameField("post", "body", "text")'


# What the commands of this app import of it, whatever the settings say. Whether they
# import it at all is seen in new interpreters.
OURS = (
    "syzygy.audit.engine",
    "syzygy.generation.generate",
    "syzygy.management.coordination",
    "syzygy.management.generation",
    "syzygy.management.rehearsal_report",
    "syzygy.management.stager",
    "syzygy.rehearsal.run",
)


@dataclass(frozen=True)
class Source:
    """A migration module; it depends on the one before it unless told otherwise."""

    operations: tuple[str, ...]
    dependencies: Sequence[tuple[str, str]] | None
    attributes: Mapping[str, str]

    def text(self, previous: tuple[str, str] | None) -> str:
        dependencies = self.dependencies
        if dependencies is None:
            dependencies = [previous] if previous else []
        lines = [
            "from django.db import migrations as m, models",
            "from syzygy import Stage",
            "",
            "class Migration(m.Migration):",
            f"    dependencies = {list(dependencies)!r}",
            f"    operations = [{', '.join(self.operations)}]",
            *(f"    {name} = {value}" for name, value in self.attributes.items()),
        ]
        return "\n".join(lines) + "\n"


def source(
    *operations: str,
    dependencies: Sequence[tuple[str, str]] | None = None,
    **attributes: str,
) -> Source:
    """Return a migration of operations and attributes that are given as source code."""
    return Source(operations, dependencies, attributes)


@dataclass(frozen=True)
class Result:
    """What a process left."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """For people who look at a failure."""
        return f"exit {self.returncode}\n{self.stdout}\n{self.stderr}"


@dataclass
class Project:
    """A Django project in a directory.

    ``settings`` have to survive ``repr()`` where processes are to see them, ``extra``
    is text at the end of the settings module, for processes alone.
    """

    path: Path
    databases: Mapping[str, Mapping[str, Any]]
    server: ManageServer
    installed: list[str] = field(default_factory=lambda: ["syzygy"])
    settings: dict[str, Any] = field(default_factory=dict)
    extra: str = ""

    def write(self, name: str, text: str = "") -> Path:
        """Write a file, and make the folders above it packages."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        for folder in file.relative_to(self.path).parents[:-1]:
            if folder.name != "site-packages":
                (self.path / folder / "__init__.py").touch()
        file.write_text(text, encoding="utf-8")
        return file

    def app(
        self,
        label: str,
        migrations: Mapping[str, Source | str] | None = None,
        models: str | None = None,
    ) -> None:
        """Write an app, by the names of its migrations or without any."""
        self.write(f"{label}/__init__.py")
        if models is not None:
            self.write(f"{label}/models.py", models)
        if migrations is not None:
            self.write(f"{label}/migrations/__init__.py")
            self.migrations(label, migrations)
        if label not in self.installed:
            self.installed.append(label)

    def migrations(self, label: str, migrations: Mapping[str, Source | str]) -> None:
        """Write migrations after those that there are."""
        folder = self.path / label / "migrations"
        names = sorted(file.stem for file in folder.glob("[0-9]*.py"))
        previous = (label, names[-1]) if names else None
        for name, migration in migrations.items():
            text = migration if isinstance(migration, str) else migration.text(previous)
            (folder / f"{name}.py").write_text(text, encoding="utf-8")
            previous = (label, name)

    def write_settings(self) -> None:
        """Write what a process needs."""
        values = {
            "SECRET_KEY": "not a secret",
            "USE_TZ": True,
            "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
            "DATABASES": {a: dict(values) for a, values in self.databases.items()},
            "INSTALLED_APPS": self.installed,
            **self.settings,
        }
        lines = ["from syzygy import Stage"]
        lines += [f"{name} = {_literal(value)}" for name, value in values.items()]
        self.write("settings.py", "\n".join([*lines, self.extra]) + "\n")
        self.write(
            "manage.py",
            "import os, sys\n"
            "from django.core.management import execute_from_command_line\n"
            'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")\n'
            "execute_from_command_line(sys.argv)\n",
        )

    def manage(self, *arguments: str) -> Result:
        """Run ``manage.py`` in a process of its own."""
        self.write_settings()
        return self.server.run(self.path, arguments)

    def python(self, code: str) -> Result:
        """Run code in a new interpreter, which has imported nothing."""
        self.write_settings()
        process = subprocess.run(
            [sys.executable, "-c", code],
            cwd=self.path,
            env=environment() | {"DJANGO_SETTINGS_MODULE": "settings"},
            capture_output=True,
            text=True,
            check=False,
        )
        return Result(process.returncode, process.stdout, process.stderr)

    @contextmanager
    def active(self, **settings: Any) -> Iterator[None]:
        """Make this process one of the project's, with its files as they are now."""
        importlib.invalidate_caches()
        modules = set(sys.modules)
        models = set(apps.all_models)
        sys.path.insert(0, str(self.path))
        forget_commands()
        try:
            with override_settings(
                INSTALLED_APPS=self.installed, **self.settings | settings
            ):
                yield
        finally:
            sys.path.remove(str(self.path))
            forget_commands()
            for name in set(sys.modules) - modules:
                file = getattr(sys.modules[name], "__file__", None) or ""
                if file.startswith(str(self.path)):
                    del sys.modules[name]
            for label in set(apps.all_models) - models:
                del apps.all_models[label]
            apps.clear_cache()

    def call(self, *arguments: Any, **options: Any) -> str:
        """Call a command in this process, and return what it wrote to stdout."""
        out = StringIO()
        with self.active():
            call_command(*arguments, **{"stdout": out, "no_color": True, **options})
        return out.getvalue()

    def applied(self, alias: str = "default") -> list[str]:
        """Return the migrations that the database holds for applied, in order."""
        with connections[alias].cursor() as cursor:
            if "django_migrations" not in connections[alias].introspection.table_names(
                cursor
            ):
                return []
            cursor.execute("SELECT app, name FROM django_migrations ORDER BY id")
            return [f"{app}.{name}" for app, name in cursor.fetchall()]

    def columns(self, table: str, alias: str = "default") -> set[str]:
        """Return the columns of a table."""
        connection = connections[alias]
        with connection.cursor() as cursor:
            description = connection.introspection.get_table_description(cursor, table)
            return {column.name for column in description}


def forget_commands() -> None:
    """Have Django look up again which app a command is of."""
    vars(management)["get_commands"].cache_clear()


def _literal(value: object) -> str:
    if isinstance(value, Stage):
        return str(value)
    if isinstance(value, dict):
        items = (f"{_literal(k)}: {_literal(v)}" for k, v in value.items())
        return f"{{{', '.join(items)}}}"
    return repr(value)


def environment(*, is_measured: bool = False) -> dict[str, str]:
    """What a user's process finds, rather than one of a test run.

    Measuring the coverage takes a process longer than most of what it does, so few are.
    """
    ours = ("PYTEST_", "DJANGO_", *(["COVERAGE_"] * (not is_measured)))
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(ours) and name not in {"PYTHONDEVMODE", "PYTHONWARNINGS"}
    }
    # Files change within one tick of the clock that bytecode is compared by.
    return inherited | {"PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"}


class ManageServer:
    """Starts processes quickly; see :mod:`tests.manage_server`.

    There may be another ``command`` for what does so, and other variables for it.
    """

    def __init__(
        self,
        folder: Path,
        command: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._stdout, self._stderr = folder / "stdout", folder / "stderr"
        self._process: subprocess.Popen[str] | None = None
        self._command = command or (
            str(Path(__file__).with_name("manage_server.py")),
            f"django.db.backends.{SERVICES[UNDER_TEST].engine}.base",
            *OURS,
        )
        self._variables = dict(environment() if variables is None else variables)
        if variables is None:
            # What the server itself imports doesn't change.
            del self._variables["PYTHONDONTWRITEBYTECODE"]

    def run(
        self, directory: Path, arguments: Sequence[str], script: str = "manage.py"
    ) -> Result:
        self.start(directory, arguments, script=script)
        return Result(
            self.wait(),
            self._stdout.read_text(encoding="utf-8"),
            self._stderr.read_text(encoding="utf-8"),
        )

    def start(
        self,
        directory: Path,
        arguments: Sequence[str],
        terminal: str = "",
        script: str = "manage.py",
    ) -> None:
        """Start a process, at a terminal if one is given; then wait for it."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, *self._command],
                env=self._variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        order = {
            "directory": str(directory),
            "script": script,
            "arguments": arguments,
            "stdout": str(self._stdout),
            "stderr": str(self._stderr),
            "terminal": terminal,
        }
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def wait(self) -> int:
        """Return the exit code of the process that was started."""
        assert self._process
        assert self._process.stdout
        return int(self._process.stdout.readline())

    def close(self) -> None:
        if self._process is not None:
            with self._process:
                assert self._process.stdin
                self._process.stdin.close()


@contextmanager
def connected(databases: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Have Django's aliases mean other databases, in this thread and in new ones."""
    with ExitStack() as stack:
        for alias, values in databases.items():
            stack.callback(connections.settings.__setitem__, alias, _settings(alias))
            connection = getattr(connections._connections, alias, None)  # type: ignore[attr-defined]
            if connection is not None:
                stack.callback(connections.__setitem__, alias, connection)
                del connections[alias]
            connections.settings[alias] = dict(values)
        try:
            yield
        finally:
            for alias in databases:
                connections[alias].close()
                del connections[alias]


def _settings(alias: str) -> Any:
    return connections.settings[alias]


def drop(databases: Mapping[str, Mapping[str, Any]], alias: str) -> None:
    with connected(databases):
        administer(alias, f"DROP DATABASE {databases[alias]['NAME']}")


def drop_scratch(name: str) -> None:
    """Remove a scratch database that a rehearsal kept."""
    if UNDER_TEST == "sqlite":
        Path(name).unlink()
    else:
        administer("default", f"DROP DATABASE {name}")


def administer(alias: str, statement: str) -> None:
    with connections[alias]._nodb_cursor() as cursor:
        cursor.execute(statement)


def empty(alias: str) -> None:
    connection = connections[alias]
    if UNDER_TEST == "sqlite":
        connection.close()
        Path(connection.settings_dict["NAME"]).unlink(missing_ok=True)
        return
    with connection.constraint_checks_disabled(), connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        if tables:
            quoted = ", ".join(map(connection.ops.quote_name, tables))
            cursor.execute(f"DROP TABLE {quoted} CASCADE")


def dump(alias: str = "default") -> dict[str, Any]:
    """Return all that is in a database: tables, columns, constraints and rows."""
    connection = connections[alias]
    content = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor, include_views=True):
            description = connection.introspection.get_table_description(cursor, table)
            constraints = connection.introspection.get_constraints(cursor, table)
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            rows = sorted(map(repr, cursor.fetchall()))
            content[table] = (repr(description), repr(sorted(constraints)), rows)
    return content
