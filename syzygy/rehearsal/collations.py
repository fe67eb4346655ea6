"""Whether a database takes texts for equal that differ only in case."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from syzygy.rehearsal.attempts import quietly
from syzygy.rehearsal.releases import ModelClass
from syzygy.rehearsal.row_rules import counterparts
from syzygy.rehearsal.uniques import conflict_targets


def apart_only_here(
    model: ModelClass, other: ModelClass, connection: BaseDatabaseWrapper
) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is unique to both, but for case to the other release's class alone.

    Yields the names of the fields that are unique together, and that of one of them.
    """
    others = counterparts(model, other)
    for names in conflict_targets(model):
        for name in names:
            field = model._meta.get_field(name)
            collations = [_collation(field), _collation(others.get(name))]
            if collations[0] != collations[1] and [
                _folds_case(collation, connection) for collation in collations
            ] == [False, True]:
                yield names, name


def _collation(field: Any) -> str:
    return getattr(field, "db_collation", None) or ""


def _folds_case(collation: str, connection: BaseDatabaseWrapper) -> bool | None:
    """Whether it does, without a name that of the database; ``None`` if unknown."""

    def ask() -> bool:
        with connection.cursor() as cursor:
            name = collation
            if not name and connection.vendor == "mysql":
                cursor.execute("SELECT @@collation_database")
                (name,) = cursor.fetchone()
            if not name:
                return False
            quoted = connection.ops.quote_name(name)
            cursor.execute(
                f"SELECT CASE WHEN 'a' = 'A' COLLATE {quoted} THEN 1 ELSE 0 END"
            )
            return bool(cursor.fetchone()[0])

    return quietly(connection.alias, ask)
