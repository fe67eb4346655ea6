"""What of a model has to be unique, for the ORM and for other releases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

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
