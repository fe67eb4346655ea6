"""What refers to another field than the primary key comes after it, and goes before it.

Django's detection sees to that for models alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.db.migrations import AddField, RemoveField
from django.db.migrations.autodetector import OperationDependency
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.migrations.utils import resolve_relation

from syzygy.history import AnyField, ModelKey


def needs(
    app_label: str, operation: Operation, before: ProjectState, after: ProjectState
) -> Iterator[OperationDependency]:
    """What has to happen before an operation that leads from one state to another."""
    kinds = OperationDependency.Type
    if isinstance(operation, AddField):
        key = (app_label, operation.model_name_lower)
        if target := _target(key, operation.field):
            model, name = target
            known = before.models.get(model)
            if known is not None and name not in known.fields:
                yield OperationDependency(*model, name, kinds.CREATE)
    elif isinstance(operation, RemoveField):
        gone = ((app_label, operation.model_name_lower), operation.name)
        for key, name in _referring(gone, before):
            new = after.models.get(key)
            if new is None:
                yield OperationDependency(*key, None, kinds.REMOVE)
            elif name not in new.fields:
                yield OperationDependency(*key, name, kinds.REMOVE)


def _referring(
    target: tuple[ModelKey, str], state: ProjectState
) -> Iterator[tuple[ModelKey, str]]:
    for key, model in state.models.items():
        for name, field in model.fields.items():
            if _target(key, field) == target:
                yield key, name


def _target(key: ModelKey, field: AnyField) -> tuple[ModelKey, str] | None:
    """The field that a foreign key names, if it names one."""
    name = getattr(field.remote_field, "field_name", None)
    if not name:
        return None
    return resolve_relation(field.remote_field.model, *key), name
