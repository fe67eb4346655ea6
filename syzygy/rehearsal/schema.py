"""The schema that a rehearsal starts from, in its scratch database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from syzygy.graph import MigrationKey, key_of
from syzygy.history import UnrenderedState
from syzygy.interrupts import Terminated
from syzygy.rehearsal.attempts import explain
from syzygy.rehearsal.releases import parts_of
from syzygy.rehearsal.standins import SchemaError, StandIns, models_with_table
from syzygy.staging import Plan

# Operations whose effect no model state shows, and which tables may need.
_BESIDE_STATE = {
    f"django.contrib.postgres.operations.{name}"
    for name in ("CreateExtension", "CreateCollation", "RemoveCollation")
}


def record(connection: BaseDatabaseWrapper, applied: Collection[MigrationKey]) -> None:
    """Have these migrations count as applied in an empty database."""
    recorder = MigrationRecorder(connection)
    recorder.ensure_schema()
    recorder.migration_qs.bulk_create(
        [recorder.Migration(app=app, name=name) for app, name in sorted(applied)]
    )


def state_after(executor: MigrationExecutor, history: Plan) -> ProjectState:
    """The state to which the migrations in ``history`` lead."""
    state = UnrenderedState(real_apps=executor.loader.unmigrated_apps)
    for migration, _ in history:
        migration.mutate_state(state, preserve=False)
    for model in state.models.values():
        for option in ("indexes", "constraints"):
            # A RenameIndex from "old_fields" to an index that there is leaves two of
            # the same name, for which a database has no room.
            items = {item.name: item for item in model.options.get(option, ())}
            if len(items) < len(model.options.get(option, ())):
                model.options[option] = list(items.values())
    return ProjectState(state.models, state.real_apps)


def make_tables(
    connection: BaseDatabaseWrapper,
    state: ProjectState,
    history: Plan,
    coming: ProjectState,
) -> None:
    """Make the tables of a state, without going through its history.

    Of the migrations in ``history``, which lead to the state, only the extensions and
    collations that they create are made the way they do it. Tables that migrations
    don't make are stood in for where others, or models of the ``coming`` state, need
    them.

    Raises :class:`SchemaError` for what can't be made so.
    """
    try:
        with connection.schema_editor() as editor:
            for migration, _ in history:
                label = migration.app_label
                for operation in _beside_state(migration.operations):
                    operation.database_forwards(label, editor, state, state)
            for model in models_with_table(state, coming, connection.alias):
                editor.create_model(model)
    except Exception as error:
        raise SchemaError(
            "The tables that the deployment starts from can't be made from the models "
            f"({explain(error)}). To make them by all their migrations, "
            "add --replay"
        ) from error


def replay(executor: MigrationExecutor, history: Plan) -> None:
    """Apply the migrations in ``history`` to an empty database, one after the other.

    Tables that they don't make are stood in for. Raises :class:`SchemaError` if one of
    them fails.
    """
    executor.recorder.ensure_schema()
    tables = StandIns(executor.connection)
    state = ProjectState(real_apps=executor.loader.unmigrated_apps)
    # From here on the executor renders no more than what has changed.
    _ = state.apps
    for migration, _ in history:
        try:
            state = tables.apply(executor, state, migration)
        except Terminated:
            raise
        except (Exception, SystemExit) as error:
            raise SchemaError(
                "The migrations that the deployment starts from can't be replayed: "
                f'they fail at "{migration}": {explain(error)}'
            ) from error
    executor.check_replacements()


def history_of(executor: MigrationExecutor, applied: Collection[MigrationKey]) -> Plan:
    """Of all migrations, in their order, those that are applied."""
    everything = executor.migration_plan(
        executor.loader.graph.leaf_nodes(), clean_start=True
    )
    return [step for step in everything if key_of(step[0]) in applied]


def _beside_state(operations: Iterable[Operation]) -> Iterator[Operation]:
    for operation in operations:
        paths = {f"{c.__module__}.{c.__qualname__}" for c in type(operation).__mro__}
        if paths & _BESIDE_STATE:
            yield operation
        yield from _beside_state(parts_of(operation))
