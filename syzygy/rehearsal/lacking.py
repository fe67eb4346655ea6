"""What the database puts into columns of which a release knows nothing."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import AutoField
from django.db.models.expressions import RawSQL

from syzygy.alterations import has_db_default
from syzygy.constraints import constraint_fields
from syzygy.rehearsal.attempts import quietly
from syzygy.rehearsal.releases import ModelClass
from syzygy.rehearsal.row_rules import Rule


def database_defaults(
    rule: Rule, connection: BaseDatabaseWrapper
) -> dict[str, Any] | None:
    """What is given to the fields of a rule that its model lacks, by their names.

    While both releases run, a column may have a DEFAULT that neither of them declares:
    it bridges the time until the other one is gone. ``None`` if the table has no such
    column, so that there can't be a constraint of it.
    """
    found: dict[str, Any] = {}
    for name in sorted(constraint_fields(rule.constraint)):
        field, own = rule.fields_of(name)
        if field is None or own is not None or field.generated:
            continue
        table = field.model._meta.db_table
        defaults = quietly(connection.alias, partial(_defaults, connection, table))
        if defaults is None:
            continue
        if field.column not in defaults:
            return None
        default = defaults[field.column]
        if default is None:
            found[field.name] = None
        elif not has_db_default(field):
            sql = default.replace("%", "%%")
            # What the database itself says.
            found[field.name] = RawSQL(sql, (), output_field=field)  # noqa: S611
    return found


def demanded(
    model: ModelClass, other: ModelClass, connection: BaseDatabaseWrapper
) -> dict[str, Any]:
    """The columns that keep a model from inserting, with their fields.

    It has no such columns, which are NOT NULL, and the database has no DEFAULT either.
    The fields are those of the other release's class, or ``None`` where it has none:
    what the database fills in by itself is then among them.
    """
    table = model._meta.db_table
    columns = quietly(connection.alias, partial(_columns, connection, table)) or []
    strict = [
        column.name
        for column in columns
        if not column.null_ok and _unless_null(column.default) is None
    ]
    own = {field.column for field in model._meta.local_concrete_fields}
    fields = {field.column: field for field in other._meta.local_concrete_fields}
    return {
        column: fields.get(column)
        for column in strict
        if column not in own and not _is_filled_in(fields.get(column))
    }


def _is_filled_in(field: Any) -> bool:
    return field is not None and (field.generated or isinstance(field, AutoField))


def _defaults(connection: BaseDatabaseWrapper, table: str) -> dict[str, str | None]:
    """The defaults of a table's columns, as SQL."""
    columns = _columns(connection, table)
    return {column.name: _unless_null(column.default) for column in columns}


def _columns(connection: BaseDatabaseWrapper, table: str) -> list[Any]:
    with connection.cursor() as cursor:
        return connection.introspection.get_table_description(cursor, table)


def _unless_null(default: Any) -> str | None:
    text = "NULL" if default is None else str(default)
    return None if text.partition("::")[0].upper() == "NULL" else text
