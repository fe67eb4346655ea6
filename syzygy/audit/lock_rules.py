"""The audit's rules about locks that last as long as a table is big.

What each database does is told in the pages of the rules; ``tests/test_audit_locks.py``
measures it. SQLite has none of them: whoever writes locks the whole file, always.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from django.db.migrations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterField,
    AlterUniqueTogether,
)
from django.db.models import CheckConstraint
from django.utils.text import capfirst

from syzygy import rules
from syzygy.alterations import (
    has_db_default,
    is_generated,
    is_unique,
)
from syzygy.audit import lock_remedies, remedies, unlocked
from syzygy.audit.base import AuditedOperation, AuditRule, Problem
from syzygy.history import AnyField, ModelKey
from syzygy.references import referring_tables

# How many bytes PostgreSQL and MySQL take for a number.
_SIZES = {
    "SmallAutoField": 2,
    "SmallIntegerField": 2,
    "PositiveSmallIntegerField": 2,
    "AutoField": 4,
    "IntegerField": 4,
    "PositiveIntegerField": 4,
    "BigAutoField": 8,
    "BigIntegerField": 8,
    "PositiveBigIntegerField": 8,
}
# Functions whose value differs from row to row, so that each row has to be written.
_VOLATILE = {"ClockTimestamp", "Random", "RandomUUID", "UUID4", "UUID7"}
_POSTGRESQL = frozenset({"postgresql"})
_BOTH = frozenset({"postgresql", "mysql"})
# Of the tables that a message names.
_MANY = 5
_WHILE = "While the migration runs, the longer the bigger the table."


class _Lock(AuditRule, ABC):
    """What the rules about locks have in common."""

    def check_operation(self, operation: AuditedOperation) -> Iterator[Problem]:
        """Report what keeps a table locked that may have rows."""
        is_real = not (operation.state_only or operation.inferred)
        if is_real and operation.has_rows:
            yield from self.check_lock(operation)

    @abstractmethod
    def check_lock(self, operation: AuditedOperation) -> Iterator[Problem]:
        """What is wrong with an operation on a table that may have rows."""


class TableRewrite(_Lock):
    """SZ017."""

    code = "SZ017"
    name = "table-rewrite"
    vendors = _BOTH
    summary = "The database writes a whole table anew, and nobody else may use it."

    def check_lock(self, operation: AuditedOperation) -> Iterator[Problem]:
        """Report what makes PostgreSQL or MySQL write each row anew."""
        if reason := _why_rewritten(operation):
            yield Problem(
                title=f"{operation.description} rewrites the table: {reason}",
                what="Both releases wait for the table: on MySQL at writing to it.",
                when=_WHILE,
                why=f"{capfirst(reason)}.",
                remedy=_instead_of_rewriting(operation),
            )


class FullScan(_Lock):
    """SZ018."""

    code = "SZ018"
    name = "full-scan"
    vendors = _BOTH
    summary = "The database checks each row of a table, and nobody may write to it."

    def check_lock(self, operation: AuditedOperation) -> Iterator[Problem]:
        """Report what PostgreSQL or MySQL checks while others are locked out."""
        change = operation.operation
        if (
            isinstance(change, AddConstraint)
            and isinstance(change.constraint, CheckConstraint)
            and type(change).__name__ != "AddConstraintNotValid"
        ):
            yield self._problem(
                operation,
                "the constraint has to hold for each row",
                _not_valid(change, operation.vendor),
            )
        if operation.vendor != "postgresql":
            return
        if _validates_under_lock(operation):
            yield self._problem(
                operation,
                "the transaction that adds the constraint checks each row",
                "Check it in the next migration, or have this one run outside of a "
                "transaction:\n    atomic = False",
            )
        if rules.SET_NOT_NULL in operation.effects:
            key, name = operation.model, getattr(change, "name", "")
            if key and operation.history.refusing_null(key, name):
                return
            yield self._problem(
                operation,
                "NOT NULL has to hold for each row",
                unlocked.not_null(operation),
            )
        elif isinstance(change, AddField) and _is_positive(change.field):
            yield self._problem(
                operation, "its CHECK has to hold for each row", _ONLY_SMALL
            )

    def _problem(
        self, operation: AuditedOperation, reason: str, remedy: str
    ) -> Problem:
        return Problem(
            title=f"{operation.description} scans the table: {reason}",
            what="Both releases wait for the table: on MySQL at writing to it.",
            when=_WHILE,
            why=f"{capfirst(reason)}; others are locked out until then.",
            remedy=remedy,
        )


def _validates_under_lock(operation: AuditedOperation) -> bool:
    """Whether what adds a constraint unchecked still locks its table at the check."""
    change: Any = operation.operation
    if type(change).__name__ != "ValidateConstraint":
        return False
    return operation.migration.migration.atomic and any(
        isinstance(part.operation, AddConstraint)
        and type(part.operation).__name__ == "AddConstraintNotValid"
        and part.operation.model_name_lower == change.model_name.lower()
        and part.operation.constraint.name == change.name
        for part in operation.migration.parts
    )


_ONLY_SMALL = (
    "Use a field that may be negative, and a constraint that is added without a check "
    "of the rows (AddConstraintNotValid); or accept it for a small table."
)


def _not_valid(change: AddConstraint, vendor: str) -> str:
    """How to add a constraint without a look at the rows that there are."""
    if vendor == "mysql":
        return (
            "Accept it for a small table, or add it when little is written: there is "
            "no other way to add it."
        )
    model, name = change.model_name, change.constraint.name
    return (
        "Add it without the check of old rows, and check them in a migration of its "
        f"own, which lets others read and write:{unlocked.constraint(change)}\n"
        "    # then, in the next migration\n"
        "    from django.contrib.postgres.operations import ValidateConstraint\n"
        f"    ValidateConstraint({model!r}, {name!r})"
    )


class BlockingIndex(_Lock):
    """SZ019."""

    code = "SZ019"
    name = "blocking-index"
    vendors = _POSTGRESQL
    summary = "An index is built while nobody may write to the table."

    def check_lock(self, operation: AuditedOperation) -> Iterator[Problem]:
        """Report indexes that PostgreSQL doesn't build concurrently."""
        if _builds_index(operation):
            yield Problem(
                title=f"{operation.description} builds an index and blocks writes",
                what="Both releases wait at writing to the table.",
                when=_WHILE,
                why=(
                    "PostgreSQL lets others write meanwhile only if the index is built "
                    "CONCURRENTLY, which takes no transaction."
                ),
                remedy=lock_remedies.concurrently(operation),
            )


class ForeignKeyCheck(_Lock):
    """SZ020."""

    code = "SZ020"
    name = "foreign-key-check"
    vendors = _BOTH
    summary = "A new foreign key is checked for each row while nobody may write."

    def check_lock(self, operation: AuditedOperation) -> Iterator[Problem]:
        """Report foreign keys that come into force on a table with rows."""
        if lock_remedies.checks_key(operation):
            yield Problem(
                title=f"{operation.description} checks a foreign key of each row",
                what="Both releases wait at writing to the table and to its target.",
                when=_WHILE,
                why=(
                    "A foreign key is checked when it is added. PostgreSQL lets nobody "
                    "write to either table meanwhile; MySQL copies the table."
                ),
                remedy=lock_remedies.unchecked(operation),
            )


def _why_rewritten(operation: AuditedOperation) -> str:
    """Why each row is written anew; empty if it isn't."""
    change, key = operation.operation, operation.model
    if isinstance(change, AddField):
        return _why_added_slowly(change.field, operation.vendor)
    if not isinstance(change, AlterField) or key is None:
        return ""
    old, new = operation.history.field(key, change.name), change.field
    if old is None or is_generated(new):
        return ""
    sizes = [_SIZES.get(field.get_internal_type()) for field in (old, new)]
    if all(sizes) and sizes[0] != sizes[1]:
        others = _with_others(operation, key, change.name)
        return f"the size of the number changes{others}"
    if operation.vendor == "mysql":
        return _why_copied(operation, old, new)
    if rules.NARROW_TYPE in operation.effects and not all(sizes):
        return "each value has to fit the narrower type"
    return ""


def _with_others(operation: AuditedOperation, key: ModelKey, name: str) -> str:
    """What to say of the columns that refer to a field, which become as it is."""
    tables = referring_tables(operation.history, key, name)
    if not tables:
        return ""
    shown = ", ".join(f'"{table}"' for table in tables[:_MANY])
    more = f" and {len(tables) - _MANY} more" if len(tables) > _MANY else ""
    return f", and with it that of what refers to it, in {shown}{more}"


_NEW_COLUMN = (
    "Add a new column that allows NULL, back-fill it in batches, have the next release "
    "use it, and remove the old one after that; or accept it for a small table."
)


def _instead_of_rewriting(operation: AuditedOperation) -> str:
    change, key = operation.operation, operation.model
    if not isinstance(change, AlterField) or key is None:
        return _NEW_COLUMN
    old = operation.history.field(key, change.name)
    if old is None or not old.primary_key:
        return f"{_NEW_COLUMN}{remedies.field_beside(change)}"
    kind = f"models.{old.get_internal_type()}"
    lines = [
        "Accept it for small tables. Keep the keys of big ones as they are for now, "
        "and plan a time for it at which nobody needs them:",
        f"    {change.name} = {kind}(primary_key=True)  # in the model",
    ]
    if kind.endswith("AutoField"):
        lines.append("    # or, for all models of the app, in its AppConfig")
        lines.append(f'    default_auto_field = "django.db.{kind}"')
    return "\n".join(lines)


def _why_added_slowly(field: AnyField, vendor: str) -> str:
    if is_generated(field):
        return "the new column is computed for each row" if field.db_persist else ""
    if vendor == "postgresql" and has_db_default(field) and _varies(field.db_default):
        return "the DEFAULT is computed for each row"
    return ""


def _is_positive(field: AnyField) -> bool:
    """Whether PostgreSQL has a CHECK for the field."""
    return str(field.get_internal_type()).startswith("Positive")


def _why_copied(operation: AuditedOperation, old: AnyField, new: AnyField) -> str:
    """Why MySQL copies the table to change a column.

    It does for any change of a type but for more room in a text. One of up to 255 bytes
    has one byte for its length, and a character has up to four bytes:
    https://dev.mysql.com/doc/refman/8.4/en/innodb-online-ddl-operations.html
    MariaDB copies only what had from 128 to 255 bytes, which a flag has no room for:
    https://mariadb.com/kb/en/innodb-online-ddl-operations-with-the-instant-alter-algorithm/
    """
    if not {rules.WIDEN_TYPE, rules.NARROW_TYPE} & {*operation.effects}:
        return ""
    if rules.NARROW_TYPE in operation.effects or not new.max_length:
        return "MySQL copies it to change the type"
    before, after = old.max_length or 0, new.max_length
    if before > 63 or after <= 63:
        return ""
    if before > 31:
        return "its column is stored in another form beyond 255 bytes"
    return "MySQL, unlike MariaDB, stores its column in another form beyond 255 bytes"


def _varies(expression: Any) -> bool:
    if type(expression).__name__ in _VOLATILE:
        return True
    sources = getattr(expression, "get_source_expressions", None)
    return sources is not None and any(map(_varies, sources()))


def _builds_index(operation: AuditedOperation) -> bool:
    change = operation.operation
    if isinstance(change, AddIndex):
        return not type(change).__name__.endswith("Concurrently")
    if isinstance(change, AddConstraint):
        return not isinstance(change.constraint, CheckConstraint)
    if isinstance(change, AddField):
        field: AnyField = change.field
        return not field.many_to_many and bool(field.db_index or is_unique(field))
    if isinstance(change, AlterUniqueTogether):
        building = {rules.ADD_UNIQUE_TOGETHER, rules.REPLACE_CONSTRAINT}
    else:
        building = {rules.ADD_UNIQUE, rules.REPLACE_CONSTRAINT, rules.ADD_DB_INDEX}
    return bool(building & {*operation.effects})
