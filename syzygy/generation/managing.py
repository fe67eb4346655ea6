"""Models whose tables migrations begin to manage, or cease to.

Django writes the option alone, and compares nothing else of such a model in that run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeAlias

from django.db.migrations import AddField, AlterField, AlterModelOptions, RemoveField
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState
from django.db.migrations.writer import OperationWriter
from django.db.models import NOT_PROVIDED

from syzygy.generation.questions import Settled
from syzygy.generation.states import copied, history_of, in_order, model_name
from syzygy.generation.task import Extras, Task
from syzygy.generation.ways import Refusal, line
from syzygy.history import ModelKey
from syzygy.requirements import operation_rules

Switched: TypeAlias = Mapping[ModelKey, Collection[Operation]]


class _Silent(Settled):
    """Nobody is asked for values of what isn't going to be written."""

    def ask_not_null_addition(self, field_name: str, model_name: str) -> Any:
        return NOT_PROVIDED


def switched(task: Task) -> Switched:
    """What else would happen to the tables of the models that are, or were, unmanaged.

    That is, if migrations managed them before and after.
    """
    keys = switching(task)
    if not keys:
        return {}
    before, after = copied(task.before), copied(task.after)
    for state in (before, after):
        for key in keys:
            state.models[key].options.pop("managed", None)
    history = history_of(copied(before))
    found = task.detect((before, after), task.graph, _Silent(task.questions), Extras())
    operations: dict[ModelKey, list[Operation]] = defaultdict(list)
    for migration in in_order(found):
        label = migration.app_label
        for operation in migration.operations:
            judged = operation_rules(operation, label, history)
            if any(rule.has_effect for rule in judged):
                operations[label, model_name(operation)].append(operation)
            history.advance(operation, label)
    return {key: operations[key] for key in sorted(keys) if operations[key]}


def taken_over(
    task: Task, but: Collection[ModelKey]
) -> Iterator[tuple[ModelKey, Operation]]:
    """What makes models managed, ``but`` for those of which nothing else is compared.

    Once that is so, Django compares all.
    """
    keys = {key for key in switching(task) if _is_managed(task.after.models[key])}
    for migration in in_order(task.plain):
        for operation in migration.operations:
            key = (migration.app_label, model_name(operation))
            if isinstance(operation, AlterModelOptions) and key in keys - {*but}:
                yield key, operation


def refusals(task: Task, changes: Switched) -> Iterator[Refusal]:
    """What to do about models that are changed while they become managed or not.

    Where nobody knows the operations, something else is told of them.
    """
    for key, operations in changes.items():
        model = task.before.models[key]
        if not operations:
            continue
        if _is_managed(model):
            yield _given_up(key, model, operations)
        else:
            yield _adopted(key, model, operations)


def switching(task: Task) -> set[ModelKey]:
    """The models that are managed before or after, and not both."""
    return {
        key
        for key in task.before.models.keys() & task.after.models.keys()
        if key[0] in task.plain
        and _is_managed(task.before.models[key]) != _is_managed(task.after.models[key])
    }


def _is_managed(model: ModelState) -> bool:
    return bool(model.options.get("managed", True))


def _adopted(
    key: ModelKey, model: ModelState, operations: Collection[Operation]
) -> Refusal:
    return Refusal(
        key[0],
        f'Having migrations manage "{key[0]}.{model.name}" and changing it at once is '
        "unsafe: so far they had nothing to do with its table, so nobody can tell "
        "whether that is changed already.",
        (
            (
                "If it is, leave the model unmanaged for now, and add to a migration "
                f'of your own ("python manage.py makemigrations --empty {key[0]}") '
                "what changes the state alone then:",
                tuple(
                    text for each in operations for text in _source(each).splitlines()
                ),
            ),
            _alone(
                "Or, if it isn't, have them manage it as they know it for now, and run "
                '"makemigrations" again for the changes',
                model,
                operations,
            ),
        ),
        key,
    )


def _given_up(
    key: ModelKey, model: ModelState, operations: Collection[Operation]
) -> Refusal:
    return Refusal(
        key[0],
        f'Making "{key[0]}.{model.name}" unmanaged and changing it at once is unsafe: '
        "no migration would change its table.",
        (
            ("Leave it managed for now, and make it unmanaged in a later release.", ()),
            _alone(
                "Or make it unmanaged alone for now, as it was, and change its table "
                "by hand before the model",
                model,
                operations,
            ),
        ),
        key,
    )


def _alone(
    text: str, model: ModelState, operations: Collection[Operation]
) -> tuple[str, tuple[str, ...]]:
    """The way out by that alone, with the fields that go or change as they are."""
    lines = tuple(
        line(each.name, model.fields[each.name])
        for each in operations
        if isinstance(each, RemoveField | AlterField) and each.name in model.fields
    )
    return f"{text}{':' if lines else '.'}", lines


def _source(operation: Any) -> str:
    if isinstance(operation, AddField):
        # No row gets a value by it.
        operation.preserve_default = True
    text, _ = OperationWriter(operation, indentation=0).serialize()
    return text.replace("django.db.models.deletion.", "models.")
