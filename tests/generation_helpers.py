"""What the autodetector makes of models that change, in memory and rehearsed."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from django.db import connection
from django.db.migrations import CreateModel, Migration
from django.db.migrations.autodetector import (
    MigrationAutodetector as DjangoAutodetector,
)
from django.db.migrations.graph import MigrationGraph
from django.db.migrations.operations.base import Operation
from django.db.migrations.questioner import (
    MigrationQuestioner,
    NonInteractiveMigrationQuestioner,
)
from django.db.migrations.state import ProjectState
from django.db.models import BigAutoField
from django.utils import timezone

from syzygy.autodetector import MigrationAutodetector
from syzygy.generation.errors import Refused
from syzygy.generation.states import copied, in_order
from syzygy.rehearsal.findings import Rehearsal
from syzygy.rehearsal.run import Options, rehearse
from tests.command_helpers import Project
from tests.rehearsal_helpers import Deployed, write
from tests.rules_helpers import APP

# Models as operations that create them, of one app.
Models: TypeAlias = Sequence[Operation]


def table(name: str, options: dict[str, Any] | None = None, /, **fields: Any) -> Any:
    """Create a model with an id, unless that is among the fields, and options."""
    fields = {"id": BigAutoField(primary_key=True), **fields}
    return CreateModel(name, list(fields.items()), dict(options or {}))


class Asked(NonInteractiveMigrationQuestioner):
    """Nobody is there; all apps may have migrations."""

    def __init__(self) -> None:
        super().__init__(verbosity=0, log=lambda text: None)

    def ask_initial(self, app_label: str) -> bool:
        return True


def state(models: Models, label: str = APP) -> ProjectState:
    result = ProjectState()
    for operation in models:
        operation.state_forwards(label, result)
    return result


def existing(*labels: str) -> MigrationGraph:
    """A graph in which each of the apps has one migration."""
    graph = MigrationGraph()
    for label in labels:
        graph.add_node((label, "0001_initial"), Migration("0001_initial", label))
    return graph


def generated(
    before: ProjectState, after: ProjectState, questioner: Any = None
) -> list[Migration]:
    """The migrations from one state to another, in an order to apply them in."""
    labels = {label for label, _ in before.models}
    detector = MigrationAutodetector(
        copied(before), copied(after), questioner or Asked()
    )
    return in_order(detector.changes(existing(*sorted(labels))))


def applied(before: ProjectState, migrations: Iterable[Migration]) -> ProjectState:
    result = copied(before)
    for migration in migrations:
        for operation in migration.operations:
            operation.state_forwards(migration.app_label, result)
    return copied(result)


def drift(before: ProjectState, after: ProjectState) -> list[Operation]:
    """What Django would still find to do."""
    labels = {label for label, _ in before.models}
    detector = DjangoAutodetector(
        copied(before), copied(after), MigrationQuestioner({"ask_initial": True})
    )
    changes = detector.changes(existing(*sorted(labels)))
    return [
        operation
        for migrations in changes.values()
        for migration in migrations
        for operation in migration.operations
    ]


@dataclass(frozen=True)
class Written(Deployed):
    """A migration as it was generated."""

    atomic: bool = True

    @property
    def attributes(self) -> dict[str, Any]:
        return {**super().attributes, "atomic": self.atomic}


def as_written(migration: Migration) -> Written:
    stage = getattr(migration, "stage", None)
    return Written(tuple(migration.operations), stage, migration.atomic)


@dataclass(frozen=True)
class Case:
    """Models of one app that change.

    ``hazards`` are the rules whose hazards can't be helped, ``not_probed`` the models
    of which something can't be tried.
    """

    name: str
    before: Models
    after: Models
    hazards: Sequence[str] = ()
    not_probed: Sequence[str] = ()

    def __str__(self) -> str:
        return self.name

    def migrations(self) -> list[Migration]:
        return generated(state(self.before), state(self.after))

    def rehearse(self, project: Project, **options: Any) -> Rehearsal:
        written = [as_written(each) for each in self.migrations()]
        write(project, APP, [Deployed(tuple(self.before)), *written])
        with project.active():
            return rehearse(Options(**{"targets": [f"{APP}.0001"]} | options))


def plain(before: ProjectState, after: ProjectState) -> list[Migration]:
    """What Django would write, for whoever says that all was renamed that may be."""

    class Renaming(Asked):
        def ask_rename(self, *args: Any) -> bool:
            return True

        def ask_rename_model(self, *args: Any) -> bool:
            return True

        def ask_auto_now_add_addition(self, *args: Any) -> Any:
            return timezone.now

    labels = {label for label, _ in before.models}
    detector = DjangoAutodetector(copied(before), copied(after), Renaming())
    return in_order(detector.changes(existing(*sorted(labels))))


def run(state: ProjectState, migrations: Iterable[Migration]) -> ProjectState:
    """Apply migrations to the database, and return the state after them."""
    state = copied(state)
    for migration in migrations:
        with connection.schema_editor(atomic=migration.atomic) as editor:
            state = migration.apply(state, editor)
    return state


def undo(state: ProjectState, migrations: Sequence[Migration]) -> None:
    """Unapply migrations that came after that state."""
    for count in reversed(range(len(migrations))):
        before = applied(state, migrations[:count])
        with connection.schema_editor(atomic=migrations[count].atomic) as editor:
            migrations[count].unapply(before, editor)


def schema(*models: Models) -> list[str]:
    """What the database says of its tables, a line for each column and constraint.

    Only the names that ``models`` give to constraints and indexes count: others depend
    on the way on which one came to be. InnoDB has an index for each foreign key anyhow.
    """
    operations: list[Any] = [*itertools.chain(*models)]
    named = {
        each.name
        for operation in operations
        for option in ("constraints", "indexes")
        for each in operation.options.get(option, ())
    }
    look = connection.introspection
    lines = []
    with connection.cursor() as cursor:
        for table in look.table_names(cursor):
            # Checks that came with a column are taken for that.
            lines += [
                f"{table}.{column}".replace(
                    "_json_constraint=True", "_json_constraint=False"
                )
                for column in look.get_table_description(cursor, table)
            ]
            found = look.get_constraints(cursor, table)
            keys = [each["columns"] for each in found.values() if each["foreign_key"]]
            for name, each in found.items():
                facts = {key: value for key, value in each.items() if value}
                if connection.vendor == "mysql" and each["columns"] in keys:
                    for of_index in ("index", "orders", "type"):
                        facts.pop(of_index, None)
                known = name if name in named else ""
                if facts.keys() - {"columns"}:
                    lines.append(f"{table} {known} {sorted(facts.items())}")
    return sorted(lines)


def refused(before: Models, after: Models) -> str:
    """The message of the refusal; empty if there is none."""
    try:
        generated(state(before), state(after))
    except Refused as error:
        return str(error)
    return ""
