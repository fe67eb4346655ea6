"""Which tables have columns of the type of another column, as they refer to it."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import ForeignKey

from syzygy.alterations import has_join_table
from syzygy.history import AnyField, History, ModelKey


def referring_tables(history: History, key: ModelKey, name: str) -> list[str]:
    """The tables with columns that refer to a field, or to a key that does."""
    tables: set[str] = set()
    found = [(key, name)]
    for target in found:
        for table, another_key in _references(history, *target):
            tables.add(table)
            if another_key is not None and another_key not in found:
                found.append(another_key)
    return sorted(tables)


def _references(
    history: History, key: ModelKey, name: str
) -> Iterator[tuple[str, tuple[ModelKey, str] | None]]:
    """The tables that refer to a field, and by which field if that is their key."""
    field = history.field(key, name)
    is_key = field is not None and field.primary_key
    names = {name, None} if is_key else {name}
    for other, model in history.models.items():
        for its_name, its in model.fields.items() if history.has_table(other) else ():
            if its.many_to_many:
                if is_key and _joins(history, key, other, its):
                    yield its.db_table or f"{history.table(other)}_{its_name}", None
            elif (
                isinstance(its, ForeignKey)
                and history.related(other, its) == key
                and names.issuperset(its.to_fields)
            ):
                as_key = (other, its_name) if its.primary_key else None
                yield history.table(other), as_key


def _joins(history: History, key: ModelKey, other: ModelKey, field: AnyField) -> bool:
    return has_join_table(field) and key in (other, history.related(other, field))
