"""Fields as the schema of the rollout has them: what suits both releases.

Pure: fields as migrations hold them come in, changed copies of them come out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from django.db.models import (
    NOT_PROVIDED,
    BigIntegerField,
    ForeignKey,
    IntegerField,
    OneToOneField,
    SmallIntegerField,
)

from syzygy.alterations import (
    column_values,
    has_column,
    has_db_default,
    has_join_table,
    insert_may_omit,
    is_constrained,
    is_generated,
    is_per_row,
    is_unique,
)
from syzygy.generation.defaults import Kind, Source, harmless, source
from syzygy.history import AnyField


class NoType(ValueError):
    """No type of the database holds the values of both releases."""


class Added(NamedTuple):
    """A new field during the rollout, and what its rows are filled with after it.

    ``problem`` says why there is none that suits both releases.
    """

    field: AnyField
    fill: Source | None = None
    problem: str = ""


def changed(field: AnyField, **attributes: Any) -> AnyField:
    """A copy of the field with other values of these attributes.

    Raises :class:`ValueError` if the field's class doesn't let one be changed.
    """
    copy = field.clone()
    for name, value in attributes.items():
        holder = copy.remote_field if _is_join(copy, name) else copy
        setattr(holder, "_unique" if name == "unique" else name, value)
    for name, value in attributes.items():
        again = copy.clone()
        holder = again.remote_field if _is_join(again, name) else again
        kept = getattr(holder, "_unique" if name == "unique" else name)
        if name != "db_default" and kept != value:
            raise ValueError(f'"{type(field).__name__}" doesn\'t allow {name}={value}.')
    return copy


def _is_join(field: AnyField, name: str) -> bool:
    return name == "db_constraint" and bool(field.many_to_many)


def added(
    field: AnyField,
    vendor: str,
    one_off: object = NOT_PROVIDED,
    *,
    is_alone: bool = False,
) -> Added:
    """A field that only the new release knows.

    ``one_off`` is the value that somebody gave for the rows that there are;
    ``is_alone`` tells that a constraint makes it unique.
    """
    has_to_differ = is_alone or is_unique(field)
    if field.many_to_many or field.primary_key or is_generated(field):
        return Added(field)
    if not has_column(field):
        return Added(field)
    if has_db_default(field):
        if has_to_differ and not is_per_row(field.db_default):
            return Added(field, problem="no single DEFAULT is unique")
        return Added(field)
    value = source(field, vendor, one_off)
    if has_to_differ:
        return _added_unique(field, value)
    if value is None:
        return Added(field if field.null else changed(field, null=True))
    if value.kind is not Kind.PER_ROW:
        return Added(changed(field, db_default=value.value))
    return Added(changed(field, null=True, default=NOT_PROVIDED), value)


def _added_unique(field: AnyField, value: Source | None) -> Added:
    default = field.default
    is_called = field.has_default() and callable(default)
    if value is not None and value.kind is Kind.EXPRESSION and is_called:
        # As a DEFAULT the index would be built on a table that is rewritten for it.
        value = Source(Kind.PER_ROW, default)
    relaxed = changed(field, null=True, default=NOT_PROVIDED)
    if value is not None and value.kind is Kind.PER_ROW:
        return Added(relaxed, value)
    if value is not None and not field.null:
        return Added(field, problem="no single default is unique")
    return Added(relaxed if field.has_default() or not field.null else field)


def removed(field: AnyField, *, is_covered: bool) -> AnyField:
    """A field that only the old release knows.

    ``is_covered`` tells that a constraint of the old release covers it, which is
    dropped: one DEFAULT for many rows might keep it from coming back.
    """
    if field.many_to_many or field.primary_key or not has_column(field):
        return released(field)
    field = released(field)
    if is_unique(field) and field.has_default():
        # It comes back with one value for all rows when its removal is undone.
        field = changed(field, default=NOT_PROVIDED)
    if insert_may_omit(field):
        return field
    if not (is_unique(field) or field.remote_field or is_covered):
        default = harmless(field)
        if default is not NOT_PROVIDED:
            return changed(field, db_default=default)
    if has_db_default(field) and not isinstance(field, OneToOneField):
        # The old release relies on the DEFAULT, which can't be that of two rows.
        return changed(field, unique=False)
    return changed(field, null=True)


def released(field: AnyField) -> AnyField:
    """A field whose foreign keys keep nobody from deleting what they refer to."""
    if has_join_table(field):
        constrained = field.remote_field.db_constraint
    elif isinstance(field, ForeignKey):
        left_to_database = hasattr(field.remote_field.on_delete, "on_delete_sql")
        constrained = is_constrained(field) and not left_to_database
    else:
        return field
    return changed(field, db_constraint=False) if constrained else field


def weaker(
    old: AnyField,
    new: AnyField,
    *,
    vendor: str,
    keep_unique: bool,
    has_effect: Callable[[AnyField, AnyField], bool],
) -> AnyField:
    """A field that suits both releases, which know it as ``old`` and as ``new``.

    ``keep_unique`` tells that something else makes it unique for the one of them that
    doesn't; ``has_effect`` tells whether the database sees a difference between two
    fields. Where it doesn't, one of the two is returned, to have nothing altered twice.

    Raises :class:`NoType` where there is none, as for MySQL's unsigned big integers and
    negative numbers.
    """
    field = _weaker(old, new, vendor, keep_unique)
    if not has_effect(old, field):
        return old
    return field if has_effect(field, new) else new


def _weaker(old: AnyField, new: AnyField, vendor: str, keep_unique: bool) -> AnyField:
    if old.many_to_many or new.many_to_many:
        is_constrained_later = has_join_table(new) and new.remote_field.db_constraint
        if is_constrained_later and not old.remote_field.db_constraint:
            return changed(new, db_constraint=False)
        return new
    field = _wider(old, new, vendor)
    attributes: dict[str, Any] = {
        "null": old.null or new.null,
        "db_default": (old if _loses_default(old, new) else new).db_default,
        "db_index": old.db_index or new.db_index,
    }
    if isinstance(old, ForeignKey) and isinstance(new, ForeignKey):
        attributes["db_constraint"] = is_constrained(old) and is_constrained(new)
        if _left_to_database(old) and not _left_to_database(new):
            field.remote_field.on_delete = old.remote_field.on_delete
    if not old.primary_key:
        both = old._unique and new._unique
        either = old._unique or new._unique
        attributes["unique"] = either if keep_unique else both
        if isinstance(field, OneToOneField):
            del attributes["unique"]
    if is_generated(field):
        attributes.pop("db_default")
        attributes.pop("null")
    kept = {
        name: value
        for name, value in attributes.items()
        if getattr(field, "_unique" if name == "unique" else name) != value
        or (name == "db_default" and value is not getattr(field, name))
    }
    return changed(field, **kept)


def _loses_default(old: AnyField, new: AnyField) -> bool:
    return has_db_default(old) and not has_db_default(new)


def _left_to_database(field: AnyField) -> bool:
    return hasattr(field.remote_field.on_delete, "on_delete_sql")


def _wider(old: AnyField, new: AnyField, vendor: str) -> AnyField:
    """A copy of the field, old or new, whose type holds all that the other's does."""
    if isinstance(new, OneToOneField) != isinstance(old, OneToOneField):
        # The class of the one that may be unique or not.
        return (old if isinstance(new, OneToOneField) else new).clone()
    if isinstance(new, ForeignKey) or is_generated(new):
        return new.clone()
    (kind, low, high), (new_kind, new_low, new_high) = (
        _values(old, vendor),
        _values(new, vendor),
    )
    if kind != new_kind or (new_low <= low and new_high >= high):
        return new.clone()
    if low <= new_low and high >= new_high:
        return old.clone()
    for wide in (SmallIntegerField(), IntegerField(), BigIntegerField()):
        _, wide_low, wide_high = _values(wide, vendor)
        if wide_low <= min(low, new_low) and wide_high >= max(high, new_high):
            return _retyped(new, type(wide))
    raise NoType


def _values(field: AnyField, vendor: str) -> tuple[Any, ...]:
    """As the rules have it, with MySQL's unsigned integers, which reach further."""
    kind, low, high = column_values(field)
    if vendor == "mysql" and kind == "integer" and low == 0:
        high = 2 * high + 1
    return kind, low, high


def _retyped(field: AnyField, cls: type[Any]) -> AnyField:
    _, _, args, kwargs = field.deconstruct()
    return cls(*args, **kwargs)


def is_relaxed(old: AnyField, new: AnyField) -> bool:
    """Whether a field allows NULL, or refers to what it likes, only as it is new."""
    holders = [
        field.remote_field if new.many_to_many else field for field in (old, new)
    ]
    constrained = [getattr(holder, "db_constraint", None) for holder in holders]
    return (new.null and not old.null) or constrained == [True, False]
