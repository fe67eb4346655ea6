"""States of the models and migrations that aren't written yet, as Django has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy
from typing import Any, TypeAlias

from django.db.migrations import Migration, SeparateDatabaseAndState
from django.db.migrations.graph import MigrationGraph
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState
from django.db.models.options import normalize_together

from syzygy import conf
from syzygy.graph import key_of, topological
from syzygy.history import History
from syzygy.renaming import renaming_in_copies

Changes: TypeAlias = dict[str, list[Migration]]


class Snapshot:
    """A state as it was before Django's detection, which takes things out of it."""

    def __init__(self, state: ProjectState) -> None:
        self._real_apps = set(state.real_apps)
        self._models = [
            (model, dict(model.fields), _options(model))
            for model in state.models.values()
        ]
        self._relations: list[tuple[Any, dict[str, Any]]] = []

    def keep_relations(self) -> None:
        """Keep what the renaming of models and fields changes in field objects."""
        fields: list[Any] = [
            each for _, own, _ in self._models for each in own.values()
        ]
        for field in fields:
            self._relations += attributes_of_relations(field)

    def state(self) -> ProjectState:
        """The state, which shares its field objects with that of the detection."""
        for holder, kept in self._relations:
            vars(holder).update(kept)
        models = {}
        for model, fields, options in self._models:
            twin = models[model.app_label, model.name_lower] = copy(model)
            twin.fields, twin.options = fields, options
        return ProjectState(models, self._real_apps)


def _options(model: ModelState) -> dict[str, Any]:
    """The options, with sets of tuples, as a model has them, where there are lists.

    Django takes lists in the states of migrations, but not where models should be; and
    that is what the states of apps become that stay as they are.
    """
    options = dict(model.options)
    for name in ("unique_together", "index_together"):
        if options.get(name):
            options[name] = set(normalize_together(options[name]))
    return options


# The attributes of relations that name models and fields.
_TARGETS = ("model", "field_name", "through")
_ENDS = ("from_fields", "to_fields")


def attributes_of_relations(field: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """What a field and its relation have that names models and fields."""
    if field.remote_field:
        for holder, names in ((field.remote_field, _TARGETS), (field, _ENDS)):
            own = vars(holder)
            yield holder, {name: own[name] for name in names if name in own}


def copied(state: ProjectState) -> ProjectState:
    """A copy that shares nothing with the state which anybody changes.

    Django's detection takes things out of the states that it compares, and its renaming
    of fields changes field objects.
    """
    models = {}
    for key, model in state.models.items():
        models[key] = model.clone()
        models[key].fields = {
            name: field.clone() for name, field in model.fields.items()
        }
    return ProjectState(models, set(state.real_apps))


def history_of(state: ProjectState) -> History:
    """The same state as a history, which shares the models with it."""
    history = History(conf.is_swapped)
    for model in state.models.values():
        history.add_model(model)
    return history


def applied(state: ProjectState, migrations: Iterable[Migration]) -> ProjectState:
    """The state after these migrations."""
    state = copied(state)
    with renaming_in_copies():
        for migration in migrations:
            for operation in migration.operations:
                operation.state_forwards(migration.app_label, state)
            # From here on it has migrations.
            state.real_apps.discard(migration.app_label)
    return copied(state)


def in_order(changes: Changes) -> list[Migration]:
    """The migrations in an order in which they can be applied."""
    migrations = {
        (label, migration.name): migration
        for label, app_migrations in sorted(changes.items())
        for migration in app_migrations
    }

    def needs(key: tuple[str, str]) -> list[tuple[str, str]]:
        return [
            dependency
            for dependency in migrations[key].dependencies
            if dependency in migrations
        ]

    return [migrations[key] for key in topological(list(migrations), needs)]


def in_state(operations: Iterable[Operation]) -> Iterator[Operation]:
    """The operations, with what others do to the state alone in their places."""
    for operation in operations:
        if isinstance(operation, SeparateDatabaseAndState):
            yield from in_state(operation.state_operations)
        else:
            yield operation


def model_name(operation: Any) -> str:
    """The name of the model that an operation happens to, unless that renames it."""
    name: str = getattr(operation, "model_name_lower", "")
    return name or getattr(operation, "name_lower", "")


def extended(graph: MigrationGraph, changes: Changes) -> MigrationGraph:
    """A graph that has these migrations as well."""
    twin = MigrationGraph()
    for key, migration in graph.nodes.items():
        twin.add_node(key, migration)
    for key, node in graph.node_map.items():
        for parent in node.parents:
            twin.add_dependency(None, key, parent.key, skip_validation=True)
    migrations = in_order(changes)
    for migration in migrations:
        twin.add_node(key_of(migration), migration)
    for migration in migrations:
        for parent in migration.dependencies:
            if parent in twin.nodes:
                twin.add_dependency(
                    migration,
                    key_of(migration),
                    parent,
                    skip_validation=True,
                )
    return twin
