"""What the rows of a model have to obey: the constraints of it and of its parents."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from operator import eq
from typing import Any, TypeAlias

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import CheckConstraint, Q, UniqueConstraint
from django.db.models.constants import LOOKUP_SEP

from syzygy.alterations import has_db_default
from syzygy.constraints import compared_fields, constraint_fields

ModelClass: TypeAlias = type[models.Model]
# Values by the names of fields.
RowValues: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """A constraint, seen from rows of a model.

    ``holder`` is the class that declares it, which may be that of another release. Of
    the model's fields, ``fields`` are those that it mentions, and ``compared`` those
    that it compares between rows, none for a check. ``given`` has what the database
    puts into fields that the model lacks, if it is known better than from the holder.
    """

    constraint: Any
    holder: ModelClass
    owner: ModelClass
    fields: frozenset[str]
    compared: frozenset[str]
    given: Mapping[str, Any] = dataclasses.field(default_factory=dict, compare=False)

    @property
    def is_foreign(self) -> bool:
        """Whether another release declares it."""
        return not issubclass(self.owner, self.holder)

    @property
    def is_check(self) -> bool:
        """Whether it is about each row alone."""
        return isinstance(self.constraint, CheckConstraint)

    @property
    def takes_null(self) -> bool:
        """Whether it takes NULL for equal to NULL."""
        return getattr(self.constraint, "nulls_distinct", None) is False

    @property
    def is_plainly_unique(self) -> bool:
        """Whether no two rows may have the same values, whatever else they have."""
        return isinstance(self.constraint, UniqueConstraint) and not (
            self.constraint.condition or self.constraint.expressions
        )

    @property
    def unlike(self) -> set[str]:
        """The fields that have to differ for rows to exclude each other."""
        names = [
            str(getattr(expression, "name", expression))
            for expression, operator in self.excluding
            if operator == "<>"
        ]
        return _own_names(names, self.holder, self.owner)

    @property
    def odd_operators(self) -> set[str]:
        """Those by which it compares rows, and by which equal values don't meet."""
        return {operator for _, operator in self.excluding} - {"=", "&&", "<>"}

    @property
    def excluding(self) -> list[tuple[Any, str]]:
        """What it compares, and by which operators, if it is an exclusion."""
        pairs = getattr(self.constraint, "expressions", ())
        return [(pair[0], pair[1]) for pair in pairs if isinstance(pair, tuple | list)]

    def holds(self, values: Mapping[str, Any], connection: BaseDatabaseWrapper) -> bool:
        """Whether a new row obeys the constraint beside those in the database.

        True if that can't be told: the database has the last word.
        """
        row = as_row(self.owner, values, self.holder, self.given)
        try:
            with unharmed(connection):
                self.constraint.validate(
                    self.holder, row, self._unmentioned, using=connection.alias
                )
        except ValidationError:
            return False
        except Exception:  # noqa: BLE001 (a column that isn't there, an odd expression)
            return True
        return True

    @cached_property
    def _unmentioned(self) -> set[str]:
        """The fields of the holder that it takes no value of: Django asks for all."""
        if type(self.constraint) not in (CheckConstraint, UniqueConstraint):
            return set()
        options = self.holder._meta
        mentioned = [*_fields(constraint_fields(self.constraint), self.holder)]
        if any(field.generated for field in options.concrete_fields):
            return set()
        return {field.name for field in options.fields if field not in mentioned}

    def sets_apart(
        self,
        one: Mapping[str, Any],
        other: Mapping[str, Any],
        connection: BaseDatabaseWrapper,
    ) -> bool:
        """Whether two rows may be there together, as far as it compares them."""
        if not self.compared:
            return True
        if not self.takes_null and any(one.get(name) is None for name in self.compared):
            return True
        is_same = _is_same if self.excluding else eq
        if any(not is_same(one.get(name), other.get(name)) for name in self.compared):
            return True
        return getattr(self.constraint, "condition", None) is not None and any(
            met_rule(self).holds(values, connection) for values in (one, other)
        )

    def is_about(self, name: str, field: Any) -> bool:
        """Whether a name, as the constraint has it, is that of the model's field.

        An empty one may be of any.
        """
        return not name or field.name in _own_names([name], self.holder, self.owner)

    def fields_of(self, name: str) -> tuple[Any, Any]:
        """The field that the constraint names, and the model's for that column.

        ``None`` where there is none with a column, or where the model lacks it.
        """
        found = [*_fields([name], self.holder, resolve=False)]
        if len(found) != 1:
            return None, None
        own = {_column(field): field for field in self.owner._meta.concrete_fields}
        return found[0], own.get(_column(found[0]))

    def given_to(self, lacking: Any) -> Any:
        """What the database gives to a field of the holder that the model lacks."""
        return self.given.get(lacking.name, _given_to(lacking))

    def is_like(self, other: Rule) -> bool:
        """Whether it is the same constraint."""
        if self.holder is not other.holder:
            return False
        if self.constraint is other.constraint:
            return True
        return (
            self.is_plainly_unique
            and other.is_plainly_unique
            and self.constraint.fields == other.constraint.fields
        )

    def __str__(self) -> str:
        return f'"{self.constraint.name}"'


def forbids_null(constraint: Any) -> bool:
    """Whether a constraint is NOT NULL by another name."""
    condition = getattr(constraint, "condition", None)
    return (
        isinstance(constraint, CheckConstraint)
        and isinstance(condition, Q)
        and condition.connector == Q.AND
        and not condition.negated
        and all(
            isinstance(child, tuple)
            and child[0].endswith(f"{LOOKUP_SEP}isnull")
            and child[1] is False
            for child in condition.children
        )
    )


# As many models as are in use at a time; what is kept of others is not much.
remembered = lru_cache(maxsize=128)


@remembered
def rules_of(model: ModelClass, also: ModelClass | None = None) -> tuple[Rule, ...]:
    """The constraints of a model, and those of another release's class of the table."""
    found = []
    for owner in (model, *([also] if also else [])):
        for holder in lineage(owner):
            for constraint in _constraints(holder):
                rule = rule_for(constraint, holder, model)
                if rule.fields:
                    found.append(rule)
    return tuple(found)


def rule_for(constraint: Any, holder: ModelClass, owner: ModelClass) -> Rule:
    """The rule that a constraint of a class is for the rows of a model.

    Fields that the model lacks are left out: its rows all have the same in them.
    """
    mentioned = _own_names(constraint_fields(constraint), holder, owner)
    compared = set()
    if not isinstance(constraint, CheckConstraint):
        compared = _own_names(compared_fields(constraint), holder, owner)
    return Rule(constraint, holder, owner, frozenset(mentioned), frozenset(compared))


def unique_rule(names: Iterable[str], holder: ModelClass, owner: ModelClass) -> Rule:
    """The rule that fields be unique together."""
    made = UniqueConstraint(fields=list(names), name=_unique_name(names))
    own = frozenset(_own_names(made.fields, holder, owner))
    return Rule(made, holder, owner, own, own)


def met_rule(rule: Rule) -> Rule:
    """A rule that rows violate if they meet the condition of another."""
    condition = rule.constraint.condition
    made = CheckConstraint(condition=~condition, name=f"not {rule.constraint.name}")
    names = _own_names(constraint_fields(made), rule.holder, rule.owner)
    return replace(rule, constraint=made, fields=frozenset(names), compared=frozenset())


def lineage(model: ModelClass) -> list[ModelClass]:
    """The model and its parents, as far as they have tables."""
    return [
        each
        for each in (model, *model._meta.all_parents)
        if not each._meta.proxy or each is model
    ]


def parent_links(model: ModelClass) -> set[Any]:
    """The fields that join the tables of a model and its parents."""
    return {
        link for each in lineage(model) for link in each._meta.parents.values() if link
    }


def is_automatic(field: Any) -> bool:
    """Whether the database, or the ORM, makes the value of a new row."""
    return (
        field.generated
        or isinstance(field, models.AutoField)
        or type(field).__name__ == "OrderWrt"
    )


@remembered
def counterparts(model: ModelClass, other: ModelClass) -> Mapping[str, Any]:
    """The other class's fields for the same columns, by the names of the model's."""
    by_column = {_column(field): field for field in other._meta.concrete_fields}
    return {
        field.name: by_column[_column(field)]
        for field in model._meta.concrete_fields
        if _column(field) in by_column
    }


def as_row(
    model: ModelClass,
    values: Mapping[str, Any],
    target: ModelClass | None = None,
    given: Mapping[str, Any] | None = None,
) -> models.Model:
    """An unsaved row with these values; of the class of another release if asked.

    What that class alone has is left to the database, or is as ``given``.
    """
    if target is None or issubclass(model, target):
        fields: dict[str, Any] = {name: model._meta.get_field(name) for name in values}
        return model(**{field.attname: values[name] for name, field in fields.items()})
    known = counterparts(model, target)
    left = {
        field.attname: (given or {}).get(field.name, _given_to(field))
        for field in target._meta.concrete_fields
        if field not in known.values() and not field.generated
    }
    return target(
        **left,
        **{
            field.attname: values[name]
            for name, field in known.items()
            if name in values and not field.generated
        },
    )


def _given_to(lacking: Any) -> Any:
    return lacking.db_default if has_db_default(lacking) else None


def unharmed(connection: BaseDatabaseWrapper) -> AbstractContextManager[Any]:
    """Have the transaction, if there is one, survive an error of a query.

    It does by itself where that is no more than the statement's.
    """
    if connection.in_atomic_block and connection.vendor not in ("sqlite", "mysql"):
        return transaction.atomic(using=connection.alias)
    return nullcontext()


def quoted(names: Iterable[str]) -> str:
    """Names for a sentence."""
    return ", ".join(f'"{name}"' for name in sorted(names))


def _constraints(model: ModelClass) -> Iterator[Any]:
    options = model._meta
    yield from options.constraints
    sets = [*options.unique_together, [field.name for field in options.pk_fields]]
    sets += [[field.name] for field in options.local_concrete_fields if field.unique]
    made_elsewhere = {
        field.name
        for field in options.concrete_fields
        if field in options.parents.values()
        or (isinstance(field, models.AutoField) and field.primary_key)
    }
    for names in dict.fromkeys(map(tuple, sets)):
        if not made_elsewhere & {*names}:
            yield UniqueConstraint(fields=names, name=_unique_name(names))


def _own_names(names: Iterable[str], holder: ModelClass, owner: ModelClass) -> set[str]:
    """The names that the owner has for what the holder calls so."""
    by_column = {_column(field): field for field in owner._meta.concrete_fields}
    found = set()
    for field in _fields(names, holder):
        if own := by_column.get(_column(field)):
            found.add(own.name)
    return found


def _fields(
    names: Iterable[str], model: ModelClass, *, resolve: bool = True
) -> Iterator[Any]:
    """The fields that have columns; of a generated one those that it is made of."""
    for name in names:
        if name == "pk":
            yield from model._meta.pk_fields
            continue
        try:
            field: Any = model._meta.get_field(name)
        except FieldDoesNotExist:
            continue
        if field.generated and resolve:
            # Unique as an index over the expression would be.
            sources = UniqueConstraint(field.expression, name="generated")
            yield from _fields(compared_fields(sources), model)
        elif getattr(field, "column", None):
            yield field


def _unique_name(names: Iterable[str]) -> str:
    return f"unique {', '.join(names)}"


def _column(field: Any) -> tuple[str, str]:
    return field.model._meta.db_table, field.column


def _is_same(one: Any, other: Any) -> bool:
    if hasattr(one, "isempty") and hasattr(other, "isempty"):
        return _overlap(one, other)
    return bool(one == other)


def _overlap(one: Any, other: Any) -> bool:
    """Whether two ranges have something in common."""
    if one.isempty or other.isempty:
        return False
    return all(
        low.lower is None or high.upper is None or low.lower < high.upper
        for low, high in ((one, other), (other, one))
    )
