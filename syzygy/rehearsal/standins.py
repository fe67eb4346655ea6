"""Tables that migrations rely on, and that none of them makes.

They are those of unmanaged models, and those that migrations only take over: models
that are in the state alone. Somebody has made them in production.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from django.db import router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import CreateModel, Migration, RunPython, RunSQL
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.migrations.utils import resolve_relation

from syzygy.history import ModelKey
from syzygy.rehearsal.attempts import explain, quietly
from syzygy.rehearsal.releases import ModelClass, key_of, parts_of, touched_models
from syzygy.rehearsal.scope import (
    codes_in,
    is_opaque,
    texts_in,
    texts_of,
    words_in,
)

# What SQL makes, rather than finds.
_MADE = re.compile(
    r"\bcreate\s+(?:\w+\s+)*?(?:table|view)\s+(?:if\s+not\s+exists\s+)?"
    # Perhaps in a schema, and perhaps with a parenthesis right after it.
    r"(?:[\"`\[]?\w+[\"`\]]?\s*\.\s*)*[\"`\[]?(\w+)",
    re.IGNORECASE,
)


class SchemaError(RuntimeError):
    """There is no schema to go on with; the message is one line for people."""


def models_with_table(
    state: ProjectState, coming: ProjectState, alias: str
) -> Iterator[ModelClass]:
    """The models that a deployment to the ``coming`` state finds tables of.

    Of unmanaged ones, those that others need, or that are managed then.
    """
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
        if not model._meta.managed:
            later = coming.models.get(key_of(model))
            is_taken_over = later and later.options.get("managed", True)
            is_needed = model in needed or is_taken_over
            if not is_needed or model._meta.db_table in tables:
                continue
        if _may_have_table(model, alias):
            yield model


def make(connection: BaseDatabaseWrapper, models: Iterable[ModelClass]) -> None:
    """Make the tables of the models, but for those that there are.

    Raises :class:`SchemaError` for what can't be made.
    """
    lacking = [model for model in models if not _has_table(model, connection)]
    by_table = {model._meta.db_table: model for model in reversed(lacking)}
    try:
        with connection.schema_editor() as editor:
            for model in by_table.values():
                editor.create_model(model)
    except Exception as error:
        names = ", ".join(f'"{model._meta.label}"' for model in by_table.values())
        raise SchemaError(
            f"No migration makes the tables of {names}, and they can't be made from "
            f"the models ({explain(error)})."
        ) from error


class StandIns:
    """Makes such tables while migrations are applied, each before one needs it.

    No sooner, for SQL in a later one may make it. ``made`` are the models.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.made: set[ModelKey] = set()
        self._connection = connection
        self._lacking: set[ModelKey] = set()

    def apply(
        self, executor: MigrationExecutor, state: ProjectState, migration: Migration
    ) -> ProjectState:
        """Apply a migration, the next one after a state; return the state after it."""
        taken = _taken_over_by(migration)
        makes_own = any(map(_makes_tables, migration.operations))
        if (taken or self._lacking) and not makes_own:
            self._prepare(state.clone(), migration)
        state = executor.apply_migration(state, migration)
        self._lacking |= taken - self.made
        self._lacking &= state.models.keys()
        return state

    def make_managed(self, state: ProjectState) -> None:
        """Make those of a state that releases use, rather than only refer to."""
        self._make(
            state,
            {k for k in self._lacking if state.models[k].options.get("managed", True)},
        )

    def make_for(self, state: ProjectState, migrations: Sequence[Migration]) -> None:
        """Make those that migrations take over, which are the next after a state.

        But for those that code of a migration may make.
        """
        if not any(map(_taken_over_by, migrations)):
            return
        state = state.clone()
        for migration in migrations:
            runs_code = any(map(is_opaque, migration.operations))
            for operation in migration.operations:
                operation.state_forwards(migration.app_label, state)
                if not runs_code:
                    self._lacking |= set(_taken_over(operation, migration.app_label))
                    self._lacking &= state.models.keys()
                    self.make_managed(state)

    def _prepare(self, state: ProjectState, migration: Migration) -> None:
        """Make what the operations of a migration need, be it of one another."""
        label = migration.app_label
        made = {
            name.lower()
            for operation in migration.operations
            for name in _MADE.findall(_sql(operation))
        }
        for operation in migration.operations:
            self._make(state, self._needed(operation, label, state))
            operation.state_forwards(label, state)
            self._lacking |= {
                key
                for key in _taken_over(operation, label)
                if _table(state, key).lower() not in made
            }
            self._lacking &= state.models.keys()

    def _needed(
        self, operation: Operation, app_label: str, state: ProjectState
    ) -> set[ModelKey]:
        """Those that are lacking of the models that an operation has to do with."""
        if isinstance(operation, RunSQL):
            words = words_in([_MADE.sub("", _sql(operation))])
            return {k for k in self._lacking if _table(state, k).lower() in words}
        if isinstance(operation, RunPython):
            return set(self._lacking)
        parts = getattr(operation, "database_operations", None) or ()
        found = set().union(*(self._needed(part, app_label, state) for part in parts))
        if parts_of(operation):
            return found
        found |= touched_models(operation, app_label) or set()
        fields: list[Any] = [getattr(operation, "field", None)]
        fields += [field for _, field in getattr(operation, "fields", None) or ()]
        for key in list(found):
            found |= {
                resolve_relation(field.remote_field.model, *key)
                for field in fields
                if getattr(field, "remote_field", None)
            }
        return found & self._lacking

    def _make(self, state: ProjectState, keys: Collection[ModelKey]) -> None:
        """Make the tables of models, and of those that these refer to."""
        found = set(keys)
        stack = list(keys)
        while stack:
            key = stack.pop()
            targets = {
                resolve_relation(field.remote_field.model, *key)
                for field in state.models[key].fields.values()
                if field.remote_field
            }
            more = (targets & self._lacking) - found
            found |= more
            stack += more
        models = [state.apps.get_model(*key) for key in sorted(found)]
        alias = self._connection.alias
        lacking = [
            model
            for model in models
            if _may_have_table(model, alias) and not _has_table(model, self._connection)
        ]
        if lacking:
            make(self._connection, lacking)
        self.made |= {key_of(model) for model in lacking}
        self._lacking -= found


def _taken_over_by(migration: Migration) -> set[ModelKey]:
    return {
        key
        for operation in migration.operations
        for key in _taken_over(operation, migration.app_label)
    }


def _taken_over(operation: Operation, app_label: str) -> Iterator[ModelKey]:
    """The models that an operation creates in the state alone."""
    if isinstance(operation, CreateModel):
        if not operation.options.get("managed", True):
            yield app_label, operation.name_lower
        return
    if any(parts := getattr(operation, "database_operations", None) or ()):
        for part in parts:
            yield from _taken_over(part, app_label)
        return
    for part in getattr(operation, "state_operations", None) or ():
        if isinstance(part, CreateModel):
            yield app_label, part.name_lower
        else:
            yield from _taken_over(part, app_label)


def _makes_tables(operation: Operation) -> bool:
    """Whether it runs code that makes tables, which then can't be there before."""
    if isinstance(operation, RunPython):
        return any(
            "create_model" in code.co_names
            or any(_MADE.search(text) for text in texts_of(code))
            for code in codes_in(operation.code)
        )
    parts = getattr(operation, "database_operations", None) or ()
    return any(map(_makes_tables, parts))


def _sql(operation: Operation) -> str:
    """The text of SQL that an operation runs, as far as that can be told."""
    if isinstance(operation, RunSQL):
        return " ".join(texts_in(operation.sql))
    return " ".join(map(_sql, getattr(operation, "database_operations", None) or ()))


def _has_table(model: ModelClass, connection: BaseDatabaseWrapper) -> bool:
    """Whether it can be read from, be it a view or in another schema."""

    def read() -> bool:
        with connection.cursor() as cursor:
            table = connection.ops.quote_name(model._meta.db_table)
            cursor.execute(f"SELECT 1 FROM {table} WHERE 1 = 0")  # noqa: S608 - quoted
        return True

    return bool(quietly(connection.alias, read))


def _may_have_table(model: ModelClass, alias: str) -> bool:
    options = model._meta
    if options.proxy or options.swapped:
        return False
    suits = options.can_migrate(alias) or not options.managed
    return bool(suits and router.allow_migrate_model(alias, model))


def _table(state: ProjectState, key: ModelKey) -> str:
    model: Any = state.apps.get_model(*key)
    return str(model._meta.db_table)
