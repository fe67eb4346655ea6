"""What the database computes from other columns: generated fields."""

from __future__ import annotations

from typing import Any

from django.db.migrations import AlterField
from django.db.migrations.operations.base import Operation
from django.db.models import ForeignKey

from syzygy.alterations import column_values, is_a, is_generated
from syzygy.constraints import mentioned_fields
from syzygy.history import AnyField, History, ModelKey
from syzygy.references import FieldOf, referring_fields


def sources(model: Any, name: str) -> set[str]:
    """The names of the fields that a generated field of a model is made of."""
    named = mentioned_fields(model.fields[name].expression)
    columns = {
        f"{other}_id": other
        for other, field in model.fields.items()
        if is_a(field, ForeignKey)
    }
    return {columns.get(each, each) for each in named}


def in_the_way(operation: Operation, app_label: str, history: History) -> list[FieldOf]:
    """The generated fields for which PostgreSQL refuses an operation.

    It changes the type of no column from which another one is generated. That goes for
    foreign keys as well that refer to a field, and get its type.
    """
    if not is_a(operation, AlterField):
        return []
    altering: Any = operation
    key: ModelKey = (app_label, altering.model_name_lower)
    old = history.field(key, altering.name)
    if old is None or not history.has_table(key):
        return []
    if not _is_retyped(old, altering.field):
        return []
    columns = [(key, altering.name)]
    if _type(old) != _type(altering.field):
        columns += referring_fields(history, key, altering.name)
    found = []
    for other, name in columns:
        model = history.models.get(other)
        for its_name, field in model.fields.items() if model else ():
            if is_generated(field) and name in sources(model, its_name):
                found.append((other, its_name))
    return list(dict.fromkeys(found))


def _is_retyped(old: AnyField, new: AnyField) -> bool:
    """Whether Django tells PostgreSQL the type of the column anew."""
    if old.many_to_many or new.many_to_many or is_generated(new):
        return False
    return _type(old) != _type(new) or old.db_comment != new.db_comment


def _type(field: AnyField) -> tuple[Any, ...]:
    """The type of a column, in a form to compare; that of foreign keys is another's.

    Whether a number may be negative is told by a CHECK.
    """
    if is_a(field, ForeignKey):
        return ()
    kind, _, high = column_values(field)
    is_text = field.get_internal_type() == "TextField"
    return kind, high, is_text, getattr(field, "db_collation", None)
