"""What of a model has to be unique, for the ORM and for other releases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import UniqueConstraint

from syzygy.rehearsal.releases import ModelClass

# A constraint of Django's kinds, or the names of fields that are unique together.
AnyConstraint: TypeAlias = Any


def constraints_of(model: ModelClass) -> Iterator[AnyConstraint]:
    """All that a model's rows have to obey beyond the types of its columns."""
    options = model._meta
    yield from options.constraints
    yield from map(tuple, options.unique_together)
    for field in options.local_concrete_fields:
        if field.unique and not field.primary_key:
            yield (field.name,)


def conflict_targets(model: ModelClass) -> Iterator[tuple[str, ...]]:
    """The sets of fields that ``bulk_create()`` accepts as its ``unique_fields``.

    A deferrable constraint is no arbiter of conflicts for PostgreSQL; of one with a
    condition or expressions the ORM can't say which it means.
    """
    for constraint in constraints_of(model):
        if isinstance(constraint, tuple):
            yield constraint
        elif isinstance(constraint, UniqueConstraint) and not (
            constraint.condition or constraint.expressions or constraint.deferrable
        ):
            yield tuple(constraint.fields)


def upsert_targets(
    model: ModelClass, connection: BaseDatabaseWrapper
) -> Iterator[tuple[str, ...]]:
    """Those that the database takes, too.

    SQLite finds no unique index for a conflict that has to do with the row's number,
    which is what an integer primary key is an alias of (measured with 3.40).
    """
    key = model._meta.pk
    is_number = connection.vendor == "sqlite" and key.db_type(connection) == "integer"
    for names in conflict_targets(model):
        if not (is_number and key.name in names):
            yield names
