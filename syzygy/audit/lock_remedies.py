"""What the rules about locks tell to do about indexes and foreign keys.

One new key may need both. What the one tells goes with what the other tells then: only
one of them adds the field.
"""

from __future__ import annotations

from typing import Any

from django.db.migrations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterField,
    AlterUniqueTogether,
)
from django.db.models import ForeignKey, Index, UniqueConstraint

from syzygy import messages, rules
from syzygy.alterations import has_db_default, is_a, is_constrained, is_unique
from syzygy.audit import remedies, unlocked
from syzygy.audit.base import AuditedOperation
from syzygy.history import AnyField, ModelKey


def checks_key(operation: AuditedOperation) -> bool:
    """Whether the database checks a foreign key of each row that is there."""
    change = operation.operation
    return rules.ADD_DB_CONSTRAINT in operation.effects or (
        isinstance(change, AddField)
        and isinstance(change.field, ForeignKey)
        and is_constrained(change.field)
        and (operation.vendor == "mysql" or not _starts_as_null(change.field))
    )


def _starts_as_null(field: AnyField) -> bool:
    """Whether a new column is NULL in each row, so that there is nothing to check."""
    return bool(field.null) and not (
        has_db_default(field) or (field.has_default() and field.default is not None)
    )


def unchecked(operation: AuditedOperation) -> str:
    """How to add a foreign key without a look at the rows that there are."""
    change, key = operation.operation, operation.model
    if (
        operation.vendor == "mysql"
        or key is None
        or not isinstance(change, AddField | AlterField)
        # A many-to-many field has two of them, in another table.
        or not is_a(change.field, ForeignKey)
    ):
        return (
            "Keep the constraint out of the database (db_constraint=False), or accept "
            "it for a small table."
        )
    first, is_there = "Add the constraint ", False
    if isinstance(change, AddField):
        field: AnyField = change.field
        # What the other rule tells goes with this: one of them has the field.
        is_there = is_unique(field) and _is_sql_enough(change)
        how = "with db_constraint=False"
        if is_there:
            how = "as SZ019 tells"
        elif field.db_index and not is_unique(field):
            how += " and db_index=False, for which SZ019 has the index"
            change = _with(change, db_index=False)
        first = f"Add the field {how}, and the constraint after the rollout, "
    code = unlocked.foreign_key(operation, key, change, is_there=is_there)
    return (
        f"{first}without the check of old rows; check them in a migration of its own, "
        f"which lets others write:{code}"
    )


def concurrently(operation: AuditedOperation) -> str:
    """How to build an index while others write."""
    change: Any = operation.operation
    if isinstance(change, AddIndex):
        return (
            "Build it concurrently, in a migration of its own:\n"
            f"    atomic = False{_concurrent_code(change)}"
        )
    if isinstance(change, AddField | AlterField) and not is_unique(change.field):
        return (
            "Leave the index out of the field (db_index=False), declare it in the "
            "model's Meta, and build it concurrently, in a migration of its own:\n"
            f"    atomic = False{_concurrent_code(_index_of(change))}"
        )
    key = operation.model
    if key is None or not _is_sql_enough(change):
        return "Accept it for a small table: there is no other way to build it."
    if isinstance(change, AddField | AlterField):
        return _unique_field(operation, key, change)
    if isinstance(change, AlterUniqueTogether):
        return f"{_unique(operation)}{unlocked.together(operation, key, change)}"
    if not _is_mere_index(change.constraint):
        code = unlocked.unique_constraint(operation, key, change)
        return f"{_unique(operation)}{code}"
    left_out = ""
    if change.constraint.expressions or change.constraint.condition:
        label, name = operation.migration.key
        left_out = (
            f'; what "..." stands for is told by "manage.py sqlmigrate '
            f'{messages.target(label, name)}"'
        )
    when = ", before what it replaces is dropped" * _replaces(operation)
    return (
        f"Build that unique index concurrently{when}, with this operation as state "
        f"operation{left_out}:{unlocked.unique_index(operation, key, change)}"
    )


def _unique_field(
    operation: AuditedOperation, key: ModelKey, change: AddField | AlterField
) -> str:
    first = ""
    if isinstance(change, AddField):
        first = "Add the field without unique=True. "
        if checks_key(operation):
            first = (
                "Add the field without unique=True, and without its constraint, which "
                "comes after this, as SZ020 tells. "
            )
            change = _with(change, db_constraint=False)
    elif unlocked.loses_like(operation, key, change):
        first = _LIKE
    code = unlocked.unique_field(operation, key, change)
    return f"{first}{_unique(operation)}{code}"


_LIKE = (
    "The index that the field has goes in the end, and the one for LIKE with it: if "
    "queries need that, add an index with opclasses concurrently before. "
)


def _unique(operation: AuditedOperation) -> str:
    """What the code does that builds a unique index for a constraint."""
    if _replaces(operation):
        return (
            "Build a unique index concurrently, in a migration before the one that "
            "drops what it replaces, and make the constraint of it right after that is "
            "dropped:"
        )
    return "Build a unique index concurrently, and make the constraint of it:"


def _replaces(operation: AuditedOperation) -> bool:
    """Whether something before it drops what has forbidden the same until then."""
    drops_itself = rules.REMOVE_UNIQUE_TOGETHER in operation.effects
    return rules.REPLACE_CONSTRAINT in operation.effects and not drops_itself


def _is_sql_enough(change: Any) -> bool:
    """Whether a unique index does, built by itself: not for a key or an exclusion."""
    if isinstance(change, AddField | AlterField):
        return not change.field.primary_key
    is_constraint = isinstance(change, AddConstraint)
    return not is_constraint or isinstance(change.constraint, UniqueConstraint)


def _with(change: AddField, **options: bool) -> AddField:
    """What adds the field with options that it hasn't."""
    field = change.field.clone()
    for name, value in options.items():
        setattr(field, name, value)
    return AddField(change.model_name, change.name, field, change.preserve_default)


def _index_of(change: AddField | AlterField) -> AddIndex:
    name = f"{change.model_name_lower}_{change.name_lower}_idx"
    # Django wants no underscore and no digit first.
    name = name[-Index.max_name_length :].lstrip("_0123456789")
    return AddIndex(change.model_name, Index(fields=[change.name], name=name))


def _is_mere_index(constraint: Any) -> bool:
    """Whether Django makes no constraint of it in the database, but an index."""
    return bool(
        constraint.condition
        or constraint.expressions
        or constraint.include
        or constraint.opclasses
    )


def _concurrent_code(change: AddIndex) -> str:
    """The code that builds the index concurrently, where psycopg is installed."""
    try:
        from django.contrib.postgres.operations import AddIndexConcurrently
    except ImportError:
        return ""
    return remedies.code(AddIndexConcurrently(change.model_name, change.index))
