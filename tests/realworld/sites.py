"""Copies of the project in ``project/``, each on a database of its own.

Their commands are processes of their own, as in a pipeline: forks of one that has spent
the seconds that it takes to import all of Wagtail (:mod:`.site_server`).
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.command_helpers import ManageServer
from tests.services import Service

PROJECT = Path(__file__).with_name("project")

# Where nobody pulls the plug, a database needn't wait for the disk.
OPTIONS = {
    "sqlite": {"init_command": "PRAGMA synchronous=OFF"},
    "postgresql": {"options": "-c synchronous_commit=off"},
}

SCHEMA = {
    "sqlite": ["SELECT type, tbl_name, name, sql FROM sqlite_master"],
    "postgresql": [
        "SELECT table_name, column_name, data_type, character_maximum_length,"
        " is_nullable, column_default, collation_name, is_identity"
        " FROM information_schema.columns WHERE table_schema = 'public'",
        "SELECT tablename, indexname, indexdef FROM pg_indexes"
        " WHERE schemaname = 'public'",
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
        " FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
    ],
}


@dataclass
class Site:
    """A project in a directory, with what is needed to look into its database."""

    path: Path
    service: Service
    database: str
    server: ManageServer

    def configure(self, *lines: str) -> None:
        """Write lines at the end of the settings."""
        with (self.path / "settings.py").open("a", encoding="utf-8") as file:
            file.write("\n".join(["", *lines, ""]))

    def manage(self, *arguments: str, code: int | None = 0) -> str:
        """Run ``manage.py``; return what it wrote, to stderr if it has to fail.

        Without a ``code`` it may fail.
        """
        return self._run("manage.py", *arguments, code=code)

    def travel(self, targets: Mapping[str, str], *arguments: str) -> None:
        """Bring the database to an earlier point of the history."""
        self._run("past.py", json.dumps(targets), *arguments)

    def content(self) -> dict[str, Any]:
        """Read with today's models, and write with them in passing."""
        content: dict[str, Any] = json.loads(self._run("present.py"))
        return content

    def imported(self, *arguments: str) -> set[str]:
        """Run ``manage.py``; return the names of the modules that it imports."""
        # "-X importtime" leaves out what importlib.import_module() imports.
        return set(self._run("modules.py", *arguments).split())

    def stages(self) -> str:
        """Return the stage of each migration, a line for each."""
        return self._run("stages.py")

    def applied(self) -> set[str]:
        """Return the migrations that the database holds for applied."""
        return {
            f"{app}.{name}"
            for app, name in self.query("SELECT app, name FROM django_migrations")
        }

    def schema(self) -> set[tuple[Any, ...]]:
        """Return all that can be told of tables, columns, indexes and constraints."""
        return {
            tuple(row)
            for statement in SCHEMA[self.service.name]
            for row in self.query(statement)
        }

    def tables(self) -> set[str]:
        """Return the names of the tables."""
        statement = {
            "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
            "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
        }[self.service.name]
        return {name for (name,) in self.query(statement)}

    def counts(self, tables: Iterable[str]) -> dict[str, int]:
        """Return how many rows these tables have."""
        statement = " UNION ALL ".join(
            f"SELECT '{table}', count(*) FROM {table}" for table in tables
        )
        return dict(self.query(statement))

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a SELECT."""
        if self.service.name == "sqlite":
            connection = sqlite3.connect(self.path / self.database)
            try:
                return connection.execute(statement).fetchall()
            finally:
                connection.close()
        import psycopg

        with psycopg.connect(**self.service.address, dbname=self.database) as postgres:
            return postgres.execute(statement).fetchall()  # type: ignore[arg-type]

    def _run(self, script: str, *arguments: str, code: int | None = 0) -> str:
        result = self.server.run(self.path, arguments, script)
        everything = f"{script} {arguments}\n{result.output}"
        assert code in (None, result.returncode), everything
        assert "Traceback" not in everything, everything
        return result.stderr if code else result.stdout


class Servers:
    """Of each database's kind the process that sites are forked from."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, ManageServer] = {}

    def of(self, service: Service) -> ManageServer:
        """The one whose models are for that kind of database."""
        if service.name not in self._made:
            folder = self._folder / service.name
            project = folder / "project"
            copy_project(project, service.database("nowhere"))
            script = Path(__file__).with_name("site_server.py")
            command = [str(script), str(project)]
            self._made[service.name] = ManageServer(folder, command, environment())
        return self._made[service.name]

    def close(self) -> None:
        """End them all."""
        for server in self._made.values():
            server.close()


@dataclass
class Sites:
    """Makes sites that use one database server."""

    service: Service
    server: ManageServer
    folder: Path
    prefix: str
    made: int = 0

    def new(self, like: Site | None = None) -> Site:
        """Make a site, on an empty database or on a copy of that of another site."""
        self.made += 1
        path = self.folder / f"site_{self.made}"
        name = f"{self.prefix}_{self.made}" if self.service.port else "db.sqlite3"
        database = self.service.database(
            name if self.service.port else str(path / name)
        )
        database["OPTIONS"] = OPTIONS[self.service.name]
        copy_project(path, database)
        if self.service.port:
            template = f" TEMPLATE {like.database}" if like else ""
            self._administer([f"CREATE DATABASE {name}{template}"])
        elif like:
            shutil.copy(like.path / like.database, path / name)
        return Site(path, self.service, name, self.server)

    def drop(self) -> None:
        """Drop all databases."""
        if self.service.name != "sqlite":
            self._administer(
                f"DROP DATABASE IF EXISTS {self.prefix}_{number}"
                for number in range(1, self.made + 1)
            )

    def _administer(self, statements: Iterable[str]) -> None:
        import psycopg

        with psycopg.connect(
            **self.service.address, dbname="postgres", autocommit=True
        ) as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[call-overload]


def copy_project(path: Path, database: dict[str, Any]) -> None:
    """Copy the project, and give it a database."""
    shutil.copytree(PROJECT, path, ignore=shutil.ignore_patterns("__pycache__"))
    with (path / "settings.py").open("a", encoding="utf-8") as file:
        file.write(f"\nDATABASES = {{'default': {database!r}}}\n")


def environment() -> dict[str, str]:
    """Return what a user's process finds, rather than one of a test run."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST_", "DJANGO_"))
        and name not in {"PYTHONDEVMODE", "PYTHONWARNINGS", "PYTHONDONTWRITEBYTECODE"}
    }
    return inherited | {"NO_COLOR": "1"}
