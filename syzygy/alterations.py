"""What an ``AlterField`` does to a column, told from the fields before and after it.

Both fields are as migrations hold them: bound to no model and to no database, so that
types are compared by what Django's ``get_internal_type()`` calls them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from math import inf
from typing import Any, TypeAlias

from django.db.migrations.utils import resolve_relation
from django.db.models import (
    NOT_PROVIDED,
    CompositePrimaryKey,
    ForeignKey,
    ForeignObject,
    GeneratedField,
)

from syzygy import rules
from syzygy.history import AnyField, History, ModelKey, collation
from syzygy.rules import Rule

TableOf: TypeAlias = Callable[[Any], str]

# The values of Django's integer types as PostgreSQL stores them. MySQL's unsigned ones
# reach further, which changes no comparison between two of these.
_INTEGERS = {
    "SmallIntegerField": (-(2**15), 2**15 - 1),
    "SmallAutoField": (-(2**15), 2**15 - 1),
    "IntegerField": (-(2**31), 2**31 - 1),
    "AutoField": (-(2**31), 2**31 - 1),
    "BigIntegerField": (-(2**63), 2**63 - 1),
    "BigAutoField": (-(2**63), 2**63 - 1),
    "PositiveSmallIntegerField": (0, 2**15 - 1),
    "PositiveIntegerField": (0, 2**31 - 1),
    "PositiveBigIntegerField": (0, 2**63 - 1),
}
# Those that the database gives out.
_AUTOMATIC = {"SmallAutoField", "AutoField", "BigAutoField"}
# What may take the place of each other in a primary key; MySQL has no key of a TEXT.
_KINDS_OF_KEYS = (
    _AUTOMATIC,
    _INTEGERS.keys() - _AUTOMATIC,
    {"CharField", "SlugField"},
)
_TEXTS = {"CharField", "SlugField", "FileField", "FilePathField", "TextField"}
# Types that take no argument which the database sees.
_PLAIN = {
    "BinaryField",
    "BooleanField",
    "DateField",
    "DateTimeField",
    "DurationField",
    "FloatField",
    "GenericIPAddressField",
    "IPAddressField",
    "JSONField",
    "TimeField",
    "UUIDField",
}
# Arguments of any field that are judged on their own or that the database never sees.
_JUDGED_ELSEWHERE = {
    "db_column",
    "db_comment",
    "db_default",
    "db_index",
    "default",
    "null",
    "primary_key",
    "unique",
}


# Those that tell how much a column holds.
_RANGES = ("max_digits", "max_length")


def alteration_rules(
    history: History, model: ModelKey, name: str, new: AnyField
) -> list[Rule]:
    """The rules under which altering that field to ``new`` falls; none: no SQL."""
    old = history.field(model, name)
    if old is None:
        return [rules.ALTER_UNKNOWN]
    return comparison_rules(history, model, name, old, new)


def comparison_rules(
    history: History, model: ModelKey, name: str, old: AnyField, new: AnyField
) -> list[Rule]:
    """The rules under which altering that field from ``old`` to ``new`` falls."""
    return list(_compare(partial(_table, history, model), name, old, new))


def is_a(field: AnyField, cls: type) -> bool:
    """Whether the field is of that class.

    Where it isn't, ``isinstance()`` would look for a ``__class__`` in all its bases.
    """
    return issubclass(type(field), cls)


def is_generated(field: AnyField) -> bool:
    """Whether the database computes the field."""
    return is_a(field, GeneratedField)


def has_column(field: AnyField) -> bool:
    """Whether the field, no many-to-many one, has a column of its own."""
    stands_for_others = is_a(field, ForeignObject) and not is_a(field, ForeignKey)
    return not (stands_for_others or is_a(field, CompositePrimaryKey))


def has_db_default(field: AnyField) -> bool:
    """Whether the database has a DEFAULT for the field. One of NULL is none."""
    default = field.db_default
    if default is NOT_PROVIDED:
        return False
    return getattr(default, "value", default) is not None


def insert_may_omit(field: AnyField) -> bool:
    """Whether a release that doesn't know the field can insert rows, more than one."""
    if is_generated(field):
        return True
    # NULL is unique as often as it likes.
    if has_db_default(field):
        return not is_unique(field) or is_per_row(field.db_default)
    return bool(field.null)


def has_join_table(field: AnyField) -> bool:
    """Whether Django makes the table of a many-to-many field by itself."""
    return bool(field.many_to_many) and field.remote_field.through is None


def join_table(table: str, name: str, field: AnyField) -> str | None:
    """The table that Django makes for a field of a model with that table, if any."""
    if not has_join_table(field):
        return None
    return field.db_table or f"{table}_{name}"


def is_unique(field: AnyField) -> bool:
    """Whether the field is unique by itself.

    The field would remember the answer to ``field.unique``, in a kilobyte of memory.
    """
    return bool(field._unique or field.primary_key)


def is_constrained(field: AnyField) -> bool:
    """Whether a foreign key is one in the database, too."""
    return bool(field.db_constraint)


def is_per_row(db_default: Any) -> bool:
    """Whether the DEFAULT is an expression that may differ from row to row."""
    expressions = getattr(db_default, "get_source_expressions", None)
    return expressions is not None and not hasattr(db_default, "value")


def _compare(
    table_of: TableOf, name: str, old: AnyField, new: AnyField
) -> Iterator[Rule]:
    if old.many_to_many or new.many_to_many:
        yield from _compare_m2m(table_of, old, new)
        return
    if column_name(name, old) != column_name(name, new):
        yield rules.RENAME_COLUMN
    if is_generated(old) or is_generated(new):
        if _generated(old) != _generated(new):
            yield rules.CHANGE_GENERATED
            return
    else:
        yield from _compare_types(table_of, old, new)
    yield from _compare_attributes(old, new)
    if old.db_comment != new.db_comment:
        yield rules.ALTER_COMMENT


def _compare_m2m(table_of: TableOf, old: AnyField, new: AnyField) -> Iterator[Rule]:
    if has_join_table(old) != has_join_table(new) or (
        old.many_to_many != new.many_to_many
    ):
        yield rules.CHANGE_M2M
    elif not has_join_table(new):
        return
    elif _m2m(table_of, old) != _m2m(table_of, new):
        yield rules.CHANGE_M2M
    else:
        yield from _compare_constraints(
            old.remote_field.db_constraint, new.remote_field.db_constraint
        )


def _compare_attributes(old: AnyField, new: AnyField) -> Iterator[Rule]:
    if old.null != new.null:
        yield rules.DROP_NOT_NULL if new.null else rules.SET_NOT_NULL
    was_unique, becomes_unique = is_unique(old), is_unique(new)
    if was_unique != becomes_unique and old.primary_key == new.primary_key:
        yield rules.ADD_UNIQUE if becomes_unique else rules.DROP_UNIQUE
    elif not becomes_unique and old.db_index != new.db_index:
        yield rules.ADD_DB_INDEX if new.db_index else rules.DROP_DB_INDEX
    if old.db_default is new.db_default:
        return
    if has_db_default(old) != has_db_default(new):
        yield rules.ADD_DB_DEFAULT if has_db_default(new) else rules.DROP_DB_DEFAULT
    elif old.db_default != new.db_default:
        yield rules.CHANGE_DB_DEFAULT


def _compare_types(table_of: TableOf, old: AnyField, new: AnyField) -> Iterator[Rule]:
    if _is_another_key(old, new):
        yield rules.CHANGE_PRIMARY_KEY
    elif is_a(old, ForeignKey) and is_a(new, ForeignKey):
        if _target(table_of, old) != _target(table_of, new):
            yield rules.CHANGE_TARGET
        else:
            yield from _compare_constraints(is_constrained(old), is_constrained(new))
            yield from _compare_on_delete(old, new)
    else:
        automatic = new.get_internal_type() in _AUTOMATIC
        yield from _compare_ranges(
            column_values(old), column_values(new), _OF_KEYS if automatic else _OF_TYPES
        )
        if collation(old) != collation(new):
            yield rules.CHANGE_COLLATION


def _is_another_key(old: AnyField, new: AnyField) -> bool:
    """Whether the table gets another primary key, or one of another kind.

    Where it is but of another size, Django alters the columns that refer to it as well.
    """
    if old.primary_key != new.primary_key:
        return True
    if not new.primary_key:
        return False
    types = {old.get_internal_type(), new.get_internal_type()}
    return len(types) > 1 and not any(types <= kind for kind in _KINDS_OF_KEYS)


# What it is called when a type holds more values, and when it holds fewer.
_OF_TYPES = rules.WIDEN_TYPE, rules.NARROW_TYPE
_OF_KEYS = rules.WIDEN_PRIMARY_KEY, rules.NARROW_PRIMARY_KEY


def _compare_ranges(
    old: tuple[Any, ...], new: tuple[Any, ...], names: tuple[Rule, Rule]
) -> Iterator[Rule]:
    """Compare what `column_values` tells: a kind, then the bounds of its values."""
    if old[0] != new[0]:
        yield rules.CHANGE_TYPE
        return
    (old_low, old_high), (new_low, new_high) = old[1:], new[1:]
    if new_low < old_low or new_high > old_high:
        yield names[0]
    if new_low > old_low or new_high < old_high:
        yield names[1]


def column_values(field: AnyField) -> tuple[Any, ...]:
    """The kind of a column and the least and the greatest of what it can hold."""
    kind, low, high = _django_values(field)
    cls: Any = type(field)  # To mypy a class of anything isn't hashable.
    if own := _own_type(cls):
        # What it is based on, and its arguments, tell only part of what that returns.
        kind = (kind, own, _arguments(field, _RANGES))
    return kind, low, high


@cache
def _own_type(cls: type) -> tuple[object, ...]:
    """The methods by which somebody else's class says what type its column has."""
    methods = [getattr(cls, name) for name in ("db_type", "db_parameters")]
    return tuple(
        method
        for method in methods
        if not str(getattr(method, "__module__", "")).startswith("django.")
    )


def _django_values(field: AnyField) -> tuple[Any, ...]:
    internal_type = field.get_internal_type()
    if bounds := _INTEGERS.get(internal_type):
        return ("integer", *bounds)
    if internal_type in _TEXTS:
        length = inf if internal_type == "TextField" else field.max_length or inf
        return ("text", 0, length)
    if internal_type == "DecimalField":
        places = field.decimal_places
        return (("decimal", places), 0, inf if places is None else field.max_digits)
    if internal_type in _PLAIN:
        return (internal_type, 0, 0)
    if internal_type == "ArrayField":
        kind, low, high = column_values(field.base_field)
        return (("array", kind), low, high)
    return ((internal_type, _arguments(field)), 0, 0)


def _arguments(field: AnyField, known: Iterable[str] = ()) -> str:
    """What a field that Django doesn't know tells the database about its type."""
    _, _, args, kwargs = field.deconstruct()
    ignored = _JUDGED_ELSEWHERE.union(field.non_db_attrs, known)
    kwargs = {k: v for k, v in kwargs.items() if k not in ignored}
    return repr((args, sorted(kwargs.items())))


def column_name(name: str, field: AnyField) -> str:
    """The name of the column of a field of that name, before a database shortens it."""
    default = f"{name}_id" if is_a(field, ForeignKey) else name
    return field.db_column or default


def _generated(field: AnyField) -> object:
    if not is_generated(field):
        return None
    return (
        field.expression,
        field.db_persist,
        column_values(field.output_field),
    )


def _table(history: History, model: ModelKey, target: Any) -> str:
    """The table of what a relation of the model names."""
    return history.table(resolve_relation(target, *model))


def _m2m(table_of: TableOf, field: AnyField) -> object:
    return field.db_table, table_of(field.remote_field.model)


def _target(table_of: TableOf, field: AnyField) -> object:
    to_fields = [name for name in field.to_fields if name]
    return table_of(field.remote_field.model), to_fields


def _compare_constraints(old: bool, new: bool) -> Iterator[Rule]:
    if old and not new:
        yield rules.DROP_DB_CONSTRAINT
    elif new and not old:
        yield rules.ADD_DB_CONSTRAINT


def _compare_on_delete(old: AnyField, new: AnyField) -> Iterator[Rule]:
    """Compare what the database does on delete, which Django 6.1 and newer can ask."""
    old_action, new_action = on_delete_action(old), on_delete_action(new)
    if new_action and old_action != new_action:
        yield rules.ADD_ON_DELETE
    if old_action and old_action != new_action:
        yield rules.DROP_ON_DELETE


def on_delete_action(field: AnyField) -> object:
    """What the database does itself on delete, as SQL has it; None if nothing."""
    return getattr(field.remote_field.on_delete, "operation", None)
