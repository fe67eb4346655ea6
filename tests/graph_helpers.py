"""Projects made of migrations, for the tests of graphs and plans."""

from __future__ import annotations

import importlib
import itertools
import shutil
import sys
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.apps import apps
from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration, operations
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState
from django.db.utils import ConnectionHandler
from django.test import override_settings

from syzygy.graph import MigrationKey
from syzygy.management.stager import PlanStager
from syzygy.staging import Plan, Step

# What the files of installed projects hold: each looks its class up by package.
CLASSES: dict[tuple[str, str], type[Migration]] = {}
_numbers = itertools.count()


def key(name: str) -> MigrationKey:
    """Return what ``"app.name"`` stands for in Django's graph."""
    app_label, _, migration_name = name.partition(".")
    return app_label, migration_name


def keys(names: str) -> list[MigrationKey]:
    return [key(name) for name in names.split()]


def migration(
    name: str,
    *body: Operation,
    needs: str = "",
    before: str = "",
    replaces: str = "",
    **attributes: Any,
) -> Migration:
    """Return an instance of a class of its own, as of a file of its own.

    ``needs``, ``before`` and ``replaces`` are names divided by spaces, for Django's
    ``dependencies``, ``run_before`` and ``replaces``.
    """
    app_label, migration_name = key(name)
    attributes = {
        "operations": list(body),
        "dependencies": keys(needs),
        "run_before": keys(before),
        "replaces": keys(replaces),
        **attributes,
    }
    cls: type[Migration] = type("Migration", (Migration,), attributes)
    return cls(migration_name, app_label)


# Operations: on a model of which each field allows NULL


def nullable() -> models.Field[Any, Any]:
    return models.CharField(max_length=9, null=True)


def create(model: str, *fields: str, **options: Any) -> Operation:
    """PRE."""
    return operations.CreateModel(
        model,
        [("id", models.BigAutoField(primary_key=True))]
        + [(name, nullable()) for name in fields],
        options,
    )


def add(model: str, field: str) -> Operation:
    """PRE."""
    return operations.AddField(model, field, nullable())


def remove(model: str, field: str) -> Operation:
    """POST."""
    return operations.RemoveField(model, field)


def widen(model: str, field: str) -> Operation:
    """PRE, which only the field before it tells."""
    field_after = models.CharField(max_length=99, null=True)
    return operations.AlterField(model, field, field_after)


def not_null(model: str, field: str) -> Operation:
    """POST, which only the field before it tells."""
    return operations.AlterField(model, field, models.CharField(max_length=9))


def rename(model: str, old: str, new: str) -> Operation:
    """Never."""
    return operations.RenameField(model, old, new)


def options(model: str) -> Operation:
    """Nothing in the database."""
    return operations.AlterModelOptions(model, {"ordering": ["id"]})


def index(model: str, field: str = "id") -> models.Index:
    return models.Index(fields=[field], name=f"{model}_{field}_index".lower())


def add_index(model: str, field: str = "id") -> Operation:
    """PRE."""
    return operations.AddIndex(model, index(model, field))


def remove_index(model: str, field: str = "id") -> Operation:
    """Either, rather POST."""
    return operations.RemoveIndex(model, index(model, field).name)


class Opaque(Operation):
    """Either, rather PRE: of a kind that no rule covers."""

    def state_forwards(self, app_label: str, state: Any) -> None:
        pass

    def database_forwards(self, *args: Any) -> None:
        pass

    def database_backwards(self, *args: Any) -> None:
        pass

    def describe(self) -> str:
        return "Something opaque"


class StagedOperation(Opaque):
    """In the stage that it is given."""

    def __init__(self, stage: object) -> None:
        self.stage = stage


class GivenLoader(MigrationLoader):
    """Django's, with migrations that aren't read from disk."""

    def __init__(
        self, connection: Any, migrations: Iterable[Migration], unmigrated: set[str]
    ) -> None:
        self._given = {(m.app_label, m.name): m for m in migrations}
        self._unmigrated = unmigrated
        super().__init__(connection)

    def load_disk(self) -> None:
        self.disk_migrations = dict(self._given)
        self.unmigrated_apps = set(self._unmigrated)
        self.migrated_apps = {app_label for app_label, _ in self._given}


def open_database() -> Any:
    """Return a connection to a database of its own, known to Django by its alias."""
    alias = f"project_{next(_numbers)}"
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    databases = {"default": {}, alias: database}
    connection: Any = ConnectionHandler(databases).create_connection(alias)
    # In place of that of the class, by which pytest-django keeps tests from databases.
    connection.ensure_connection = lambda: None
    connection.connect()
    connections[alias] = connection
    return connection


def close_database(connection: Any) -> None:
    # The garbage collector, which may call this, runs in any thread.
    connection.inc_thread_sharing()
    # That of SQLite keeps databases in memory open.
    BaseDatabaseWrapper.close(connection)
    with suppress(AttributeError):
        del connections[connection.alias]


class Project:
    """Migrations, and a database that records which of them are applied.

    Their code isn't run against it unless a test does.
    """

    def __init__(self, *migrations: Migration, unmigrated: Iterable[str] = ()) -> None:
        self.migrations = migrations
        self.unmigrated = set(unmigrated)
        self.is_installed = False
        self.connection = open_database()
        weakref.finalize(self, close_database, self.connection)
        self.recorder = MigrationRecorder(self.connection)
        self.recorder.ensure_schema()

    def __getitem__(self, name: str) -> Migration:
        return next(m for m in self.migrations if str(m) == name)

    def executor(self) -> MigrationExecutor:
        """Return Django's executor on the state that the database has now."""
        executor = MigrationExecutor.__new__(MigrationExecutor)
        executor.connection = self.connection
        executor.recorder = self.recorder
        executor.progress_callback = None
        executor.loader = (
            MigrationLoader(self.connection)
            if self.is_installed
            else GivenLoader(self.connection, self.migrations, self.unmigrated)
        )
        return executor

    def record(self, names: str) -> Project:
        """Record migrations as applied."""
        for name in names.split():
            self.recorder.record_applied(*key(name))
        return self

    def run(self, plan: Plan) -> None:
        """Record a plan as done, as Django does with ``--fake``."""
        executor, state = self.executor(), ProjectState()
        for step, backward in plan:
            if backward:
                executor.unapply_migration(state, step, fake=True)
            else:
                executor.apply_migration(state, step, fake=True)
        executor.check_replacements()

    def plan(self, targets: str = "") -> tuple[MigrationExecutor, Plan]:
        """Plan like ``migrate``: without targets to the leaf nodes.

        A target is "app.name", "app.zero", or "app".
        """
        executor = self.executor()
        leaves = executor.loader.graph.leaf_nodes
        wanted: list[tuple[str, str | None]] = []
        for target in targets.split():
            app_label, name = key(target)
            if name:
                wanted.append((app_label, None if name == "zero" else name))
            else:
                wanted += leaves(app_label)
        return executor, executor.migration_plan(wanted if targets else leaves())

    def stager(self, targets: str = "") -> PlanStager:
        """Decide on the plan, by the settings."""
        if self.is_installed:
            return PlanStager(*self.plan(targets))
        # Only an installed app can be a third party's.
        with override_settings(MIGRATION_THIRD_PARTY_STAGES_FALLBACK=None):
            return PlanStager(*self.plan(targets))

    def stage(self, targets: str = "") -> list[Step]:
        """What becomes of the plan, by the settings."""
        return self.stager(targets).stage()

    def split(self, targets: str = "") -> tuple[list[str], list[str]]:
        """The names of what runs before the rollout, and of what is postponed."""
        steps = self.stage(targets)
        return (
            [str(step.migration) for step in steps if not step.is_postponed],
            [str(step.migration) for step in steps if step.is_postponed],
        )

    @contextmanager
    def installed(
        self, folder: Path, third_party: Iterable[str] = (), **settings: Any
    ) -> Iterator[Project]:
        """Write the migrations to files of installed apps, and read them from there."""
        package = f"syzygy_project_{next(_numbers)}"
        labels = {m.app_label for m in self.migrations} | self.unmigrated
        locations = {False: folder / "own", True: folder / "site-packages"}
        for label in labels:
            location = locations[label in set(third_party)] / f"{package}_{label}"
            path = location / label / "migrations"
            path.mkdir(parents=True)
            (location / "__init__.py").touch()
            (location / label / "__init__.py").touch()
            if label in self.unmigrated:
                path.rmdir()
            else:
                (path / "__init__.py").touch()
        for each in self.migrations:
            location = locations[each.app_label in set(third_party)]
            module = f"{package}_{each.app_label}.{each.app_label}.migrations"
            CLASSES[module, each.name] = type(each)
            path = location.joinpath(*module.split("."), f"{each.name}.py")
            path.write_text(
                "from tests.graph_helpers import CLASSES\n"
                f"Migration = CLASSES[{module!r}, {each.name!r}]\n"
            )
        before = set(sys.modules)
        sys.path[:0] = map(str, locations.values())
        importlib.invalidate_caches()
        settings.setdefault(
            "INSTALLED_APPS", [f"{package}_{label}.{label}" for label in sorted(labels)]
        )
        self.is_installed = True
        try:
            with override_settings(**settings):
                assert labels <= apps.app_configs.keys()
                yield self
        finally:
            self.is_installed = False
            del sys.path[: len(locations)]
            for name in set(sys.modules) - before:
                if name.startswith(package):
                    del sys.modules[name]
            for entry in [entry for entry in CLASSES if entry[0].startswith(package)]:
                del CLASSES[entry]
            for location in locations.values():
                shutil.rmtree(location, ignore_errors=True)
