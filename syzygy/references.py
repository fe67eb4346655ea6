"""Which columns have the type of another column, as they refer to it."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import ForeignKey

from syzygy.alterations import is_a, join_table
from syzygy.history import History, ModelKey

# A model and the name of one of its fields.
FieldOf = tuple[ModelKey, str]


def referring_fields(history: History, key: ModelKey, name: str) -> list[FieldOf]:
    """The foreign keys that refer to a field, or to a key that does."""
    found = [(key, name)]
    for target in found:
        for field in _references(history, *target):
            if field not in found:
                found.append(field)
    return found[1:]


def referring_tables(history: History, key: ModelKey, name: str) -> list[str]:
    """The tables with columns that refer to a field, or to a key that does."""
    fields = [(key, name), *referring_fields(history, key, name)]
    tables = {history.table(model) for model, _ in fields[1:]}
    for model, its_name in fields:
        field = history.field(model, its_name)
        if field is not None and field.primary_key:
            tables.update(_join_tables(history, model))
    return sorted(tables)


def _references(history: History, key: ModelKey, name: str) -> Iterator[FieldOf]:
    field = history.field(key, name)
    if field is None:
        return
    names = {name, None} if field.primary_key else {name}
    for other, model in history.models.items():
        for its_name, its in model.fields.items() if history.has_table(other) else ():
            if (
                is_a(its, ForeignKey)
                and history.related(other, its) == key
                and names.issuperset(its.to_fields)
            ):
                yield other, its_name


def _join_tables(history: History, key: ModelKey) -> Iterator[str]:
    """The tables of many-to-many fields that refer to a model."""
    for other, model in history.models.items():
        for name, field in model.fields.items() if history.has_table(other) else ():
            table = join_table(history.table(other), name, field)
            if table and key in (other, history.related(other, field)):
                yield table
