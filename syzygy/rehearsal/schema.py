"""The schema that a rehearsal starts from, in its scratch database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from django.db import router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from syzygy.graph import MigrationKey
from syzygy.history import UnrenderedState
from syzygy.interrupts import Terminated
from syzygy.rehearsal.attempts import explain
from syzygy.rehearsal.releases import ModelClass, key_of, parts_of
from syzygy.staging import Plan

# Operations whose effect no model state shows, and which tables may need.
_BESIDE_STATE = {
    f"django.contrib.postgres.operations.{name}"
    for name in ("CreateExtension", "CreateCollation", "RemoveCollation")
}


class SchemaError(RuntimeError):
    """There is no schema to start from; the message is one line for people."""


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
            for model in _with_table(state, coming, connection.alias):
                editor.create_model(model)
    except Exception as error:
        raise SchemaError(
            "The tables that the deployment starts from can't be made from the models "
            f"({explain(error)}). To make them by all their migrations, "
            "add --replay"
        ) from error


def replay(executor: MigrationExecutor, history: Plan) -> None:
    """Apply the migrations in ``history`` to an empty database, one after the other.

    Raises :class:`SchemaError` if one of them fails.
    """
    at = [""]

    def remember(action: str, *about: Any) -> None:
        if action == "apply_start":
            at[:] = [f' at "{about[0]}"']

    executor.progress_callback = remember
    try:
        executor.migrate([], plan=history)
    except Terminated:
        raise
    except (Exception, SystemExit) as error:
        raise SchemaError(
            "The migrations that the deployment starts from can't be replayed: they "
            f"fail{at[0]}: {explain(error)}"
        ) from error


def history_of(executor: MigrationExecutor, applied: Collection[MigrationKey]) -> Plan:
    """Of all migrations, in their order, those that are applied."""
    everything = executor.migration_plan(
        executor.loader.graph.leaf_nodes(), clean_start=True
    )
    return [step for step in everything if _key(step[0]) in applied]


def _beside_state(operations: Iterable[Operation]) -> Iterator[Operation]:
    for operation in operations:
        paths = {f"{c.__module__}.{c.__qualname__}" for c in type(operation).__mro__}
        if paths & _BESIDE_STATE:
            yield operation
        yield from _beside_state(parts_of(operation))


def _with_table(
    state: ProjectState, coming: ProjectState, alias: str
) -> Iterator[ModelClass]:
    models = state.apps.get_models()
    managed = [model for model in models if model._meta.managed]
    tables = {model._meta.db_table for model in managed}
    needed = {
        field.related_model
        for model in managed
        for field in (*model._meta.local_fields, *model._meta.local_many_to_many)
        if field.remote_field
    }
    for model in models:
        options = model._meta
        if not options.managed:
            later = coming.models.get(key_of(model))
            is_taken_over = later and later.options.get("managed", True)
            is_needed = model in needed or is_taken_over
            if not is_needed or options.db_table in tables:
                continue
        if options.proxy or options.swapped:
            continue
        suits = options.can_migrate(alias) or not options.managed
        if suits and router.allow_migrate_model(alias, model):
            yield model


def _key(migration: Migration) -> MigrationKey:
    return migration.app_label, migration.name
