"""The old models by the names that the new release has for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from django.db.migrations import (
    AddField,
    AlterField,
    AlterModelTable,
    RenameField,
    RenameModel,
    SeparateDatabaseAndState,
)
from django.db.migrations.operations.base import Operation

from syzygy.alterations import has_join_table
from syzygy.generation.managing import taken_over
from syzygy.generation.renamed_fields import follow
from syzygy.generation.states import copied, in_order, in_state
from syzygy.generation.task import Extras, Task
from syzygy.generation.window import FieldKey
from syzygy.history import AnyField, ModelKey


class Start:
    """The old models, with the tables that are kept by what is renamed.

    Left alone, Django would rename the table of a model, and then rename it back. A
    many-to-many field that keeps its join table would be another field to it, and of
    models that become managed it would compare nothing. So ``first`` something is done
    to the state.
    """

    def __init__(self, task: Task, switched: Collection[ModelKey] = ()) -> None:
        self.first: list[tuple[ModelKey, Operation]] = [
            *(
                (key, AlterModelTable(task.before.models[key].name, table))
                for key, table in _pins(task).items()
            ),
            *_joins(task),
            *taken_over(task, switched),
        ]
        self.state = copied(task.before)
        self.plain = task.plain
        if not self.first:
            return
        for (label, _), operation in self.first:
            operation.state_forwards(label, self.state)
        states = (copied(self.state), copied(task.after))
        plain = task.detect(states, task.graph, task.questions, Extras())
        started = {label for (label, _), _ in self.first}
        self.plain = {
            label: plain.get(label, [])
            for label in task.plain
            if label in plain or label in started
        }


class Renamed:
    """The old models by their new names."""

    def __init__(self, task: Task, start: Start) -> None:
        operations = [
            (migration.app_label, operation)
            for migration in in_order(task.plain)
            for operation in in_state(migration.operations)
        ]
        self.state = copied(start.state)
        for position, (app_label, operation) in enumerate(operations):
            if isinstance(operation, RenameModel | RenameField) or _pins_column(
                operations[position : position + 2]
            ):
                operation.state_forwards(app_label, self.state)
        self.apps = {
            app_label
            for app_label, operation in operations
            if isinstance(operation, RenameModel | RenameField)
        }
        self.fields: dict[ModelKey, dict[str, str]] = defaultdict(dict)
        for (app_label, model, new), old in task.renamed_fields.items():
            self.fields[app_label, model][old] = new
        for key, names in self.fields.items():
            follow(self.state.models[key], task.after.models[key], names)
        self.one_offs: dict[FieldKey, object] = {
            (app_label, each.model_name_lower, each.name): each.field.default
            for app_label, each in operations
            if isinstance(each, AddField | AlterField) and not each.preserve_default
        }


def _pins_column(pair: list[tuple[str, Operation]]) -> bool:
    """Whether the first of two operations keeps the column that the second renames."""
    if len(pair) < 2:
        return False
    (_, first), (_, second) = pair
    return (
        isinstance(first, AlterField)
        and isinstance(second, RenameField)
        and first.name == second.old_name
        and first.model_name_lower == second.model_name_lower
    )


def _pins(task: Task) -> dict[ModelKey, str]:
    """The tables that models keep when they are renamed, by their old keys."""
    pins = {}
    for (label, new), old in task.renamed_models.items():
        options = task.before.models[label, old].options
        table = options.get("db_table") or f"{label}_{old}"
        pinned = task.after.models[label, new].options.get("db_table")
        if pinned == table and options.get("db_table") != table:
            pins[label, old] = table
    return pins


def _joins(task: Task) -> list[tuple[ModelKey, Operation]]:
    """What renames the many-to-many fields that keep their join tables."""
    found: list[tuple[ModelKey, Operation]] = []
    for (label, new_model), model in sorted(task.after.models.items()):
        key = (label, task.renamed_models.get((label, new_model), new_model))
        before = task.before.models.get(key)
        if before is None:
            continue
        table = before.options.get("db_table") or "_".join(key)
        for name in sorted(before.fields.keys() - model.fields.keys()):
            pinned = _pinned(before.fields[name], f"{table}_{name}")
            found += [
                (key, _rename(before.name_lower, name, new, pinned))
                for new in sorted(model.fields.keys() - before.fields.keys())
                if pinned
                and pinned.deconstruct()[1:] == model.fields[new].deconstruct()[1:]
            ][:1]
    return found


def _pinned(field: AnyField, table: str) -> AnyField:
    """The many-to-many field with the name of its join table, unless it has that."""
    if not has_join_table(field) or field.db_table:
        return None
    pinned = field.clone()
    pinned.db_table = table
    return pinned


def _rename(model: str, old: str, new: str, field: AnyField) -> Operation:
    """Rename a field in the state alone: Django would rename the join table first."""
    return SeparateDatabaseAndState(
        state_operations=[
            AlterField(model, old, field),
            RenameField(model, old, new),
        ]
    )
