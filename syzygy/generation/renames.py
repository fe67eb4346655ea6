"""The old models by the names that the new release has for them."""

from __future__ import annotations

from collections import defaultdict

from django.db.migrations import AddField, AlterField, RenameField, RenameModel
from django.db.migrations.operations.base import Operation

from syzygy.generation.states import copied, in_order
from syzygy.generation.task import Extras, Task
from syzygy.generation.window import FieldKey
from syzygy.history import ModelKey


class Start:
    """The old models, with the tables that models keep when they are renamed.

    Left alone, Django would rename such a table, and then rename it back.
    """

    def __init__(self, task: Task) -> None:
        self.pins = _pins(task)
        self.state = copied(task.before)
        self.plain = task.plain
        if not self.pins:
            return
        for key, table in self.pins.items():
            self.state.models[key].options["db_table"] = table
        states = (copied(self.state), copied(task.after))
        plain = task.detect(states, task.graph, task.questions, Extras())
        self.plain = {label: plain[label] for label in plain if label in task.plain}


class Renamed:
    """The old models by their new names."""

    def __init__(self, task: Task, start: Start) -> None:
        operations = [
            (migration.app_label, operation)
            for migration in in_order(task.plain)
            for operation in migration.operations
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
