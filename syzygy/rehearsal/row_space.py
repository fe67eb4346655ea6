"""All rows that a model may have, as far as conditions tell them apart.

Of the values of a field only those matter that conditions compare it with, and some
beside and between these. What isn't understood may be anything, true or false.
"""

from __future__ import annotations

import datetime as dt
import math
import operator
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import partial
from itertools import product
from typing import Any, TypeAlias

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.writer import MigrationWriter
from django.db.models import F, Q, Value
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import CombinedExpression

from syzygy.constraints import combine_truths, mentioned_fields
from syzygy.rehearsal.field_values import fits, integer_range
from syzygy.rehearsal.row_rules import Rule

# How many rows to look at.
_MOST = 20_000
_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "exact": operator.eq,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}
# What is NULL if something in it is.
_STRICT = (F, Value, CombinedExpression)
# The kinds of fields whose values are in an order, with a value that fits most of them.
_ORDERED: Sequence[tuple[type[Any], Any]] = (
    (models.IntegerField, 0),
    (models.DecimalField, Decimal(0)),
    (models.FloatField, 0.0),
    (models.DurationField, dt.timedelta(0)),
    (models.DateField, dt.date(2001, 1, 1)),
)
# Those of which it is only known whether values are the same.
_OF_TEXT = (models.CharField, models.TextField)
_TOLD_APART = (
    *_OF_TEXT,
    models.UUIDField,
    models.ForeignKey,
)

_Row: TypeAlias = Mapping[Any, Any]
Truth: TypeAlias = Callable[[_Row], bool | None]


class UnclearError(Exception):
    """Nobody can look at all the rows that there may be."""


class _Place:
    """Where a row has a value: in a field of its own, or always the same.

    ``declared`` is the field as the holder of the condition has it.
    """

    def __init__(self, own: Any, declared: Any, value: Any = None) -> None:
        self.field = own or declared
        self.name = own.name if own else None
        self._value = value
        self._declared = declared

    def __call__(self, row: _Row) -> Any:
        return self._value if self.name is None else row[self.name]

    @property
    def literals(self) -> list[Any]:
        """The value that is always the same."""
        return [] if self.name or self._value is None else [self._value]

    def of_null(self, *, negated: bool) -> bool | None:
        """What a comparison with it is if it is NULL."""
        if not negated:
            return None
        if not self._declared.null:
            raise UnclearError  # Django may have known of no NULL there, or not.
        return False

    def is_alike(self, one: Any, other: Any, *, folds: bool) -> bool:
        """Whether the database takes values for the same."""
        if isinstance(one, str) and isinstance(other, str) and one != other:
            if any(map(has_collation, (self.field, self._declared))):
                raise UnclearError
            if folds and _may_be_folded(one, other):
                raise UnclearError
        return bool(one == other)


class Space:
    """The rows of a model, as far as conditions tell them apart."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        # The others compare letter by letter, unless they are asked for a collation.
        self._folds = connection.vendor not in ("sqlite", "postgresql")
        self._places: dict[str, _Place] = {}
        self._literals: dict[str, list[Any]] = {}
        # The fields that are compared with each other.
        self._linked: set[str] = set()
        # What isn't understood.
        self._unclear: list[Any] = []

    def truth_of(self, rule: Rule) -> Truth:
        """What the condition of a rule is of a row."""
        condition = getattr(rule.constraint, "condition", None)
        return self._truth(rule, condition) if condition else _always

    def _truth(self, rule: Rule, part: Any, *, negated: bool = False) -> Truth:
        """What a part of a condition is of a row.

        Django takes what is ``negated`` for false of NULL, where it knows of that.
        """
        if isinstance(part, tuple):
            return self._lookup(rule, *part, negated=negated)
        if not isinstance(part, Q) or part.connector == Q.XOR:
            return self._anything((part, negated), means_the_same(rule, part))
        negated ^= part.negated
        parts = [self._truth(rule, child, negated=negated) for child in part.children]

        def truth(row: _Row) -> bool | None:
            found = combine_truths(part.connector, [each(row) for each in parts])
            return not found if part.negated and found is not None else found

        return truth

    def rows(self, filled: Iterable[str]) -> Iterator[_Row]:
        """The rows; those ``filled`` have no NULL there. Raises if there are many."""
        names: list[Any] = [*self._places, *range(len(self._unclear))]
        domains: list[Sequence[Any]] = [
            self._domain(place, may_be_null=name not in {*filled})
            for name, place in self._places.items()
        ]
        domains += [(True, False, None)] * len(self._unclear)
        if math.prod(map(len, domains)) > _MOST:
            raise UnclearError
        for values in product(*domains):
            yield dict(zip(names, values, strict=True))

    def _lookup(self, rule: Rule, lookup: str, value: Any, *, negated: bool) -> Truth:
        name, *path = lookup.split(LOOKUP_SEP)
        place = self._place(rule, name)
        kind = path[-1] if path else "exact"
        if place and len(path) < 2:
            if kind == "isnull" or value is None:
                return _nullity(place, is_null=value is None or bool(value))
            truth = self._comparison(rule, place, kind, value, negated=negated)
            if truth:
                return truth
        if kind == "isnull" or value is None:
            place = None
        return self._strictly_anything(rule, place, (name, path, value), negated)

    def _strictly_anything(
        self, rule: Rule, place: _Place | None, key: Any, negated: bool
    ) -> Truth:
        """What isn't understood, except that it is neither true nor false of NULL."""
        name, path, value = key
        others: list[_Place | None] = []
        if _is_strict(value):
            others = [self._place(rule, each) for each in mentioned_fields(value)]
        if place is None or None in others:
            # Of NULL it isn't the same.
            key = (*key, negated)
        anything = self._anything(key, means_the_same(rule, [F(name), value]))
        is_plain = isinstance(value, F) and (path or ["exact"])[-1] in _COMPARISONS

        def truth(row: _Row) -> bool | None:
            if place and place(row) is None:
                return place.of_null(negated=negated)
            for other in others:
                if other and other(row) is None:
                    return other.of_null(negated=negated) if is_plain else None
            return anything(row)

        return truth

    def _anything(self, key: Any, is_shared: bool) -> Truth:
        """What may be true or false, but is the same wherever it is said."""
        known = enumerate(self._unclear) if is_shared else ()
        index = next((i for i, each in known if _is_same(key, each)), None)
        if index is None:
            index = len(self._unclear)
            self._unclear.append(key if is_shared else object())

        def truth(row: _Row) -> bool | None:
            found: bool | None = row[index]
            return found

        return truth

    def _comparison(
        self, rule: Rule, place: _Place, kind: str, value: Any, *, negated: bool
    ) -> Truth | None:
        compared = []
        for name, each in _parts(kind, value):
            operand = self._operand(rule, place, name, each)
            if operand is None:
                return None
            compare = _COMPARISONS[name]
            if name == "exact":
                compare = partial(place.is_alike, folds=self._folds)
            compared.append((compare, operand))
        if not compared:
            return None
        connector = Q.OR if kind == "in" else Q.AND
        minds_null = negated and kind in _COMPARISONS

        def truth(row: _Row) -> bool | None:
            one = place(row)
            if one is None:
                return place.of_null(negated=negated)
            found: list[bool | None] = []
            for compare, operand in compared:
                other = operand(row)
                if other is None:
                    found.append(operand.of_null(negated=minds_null))
                else:
                    found.append(bool(compare(one, other)))
            return combine_truths(connector, found)

        return truth

    def _operand(
        self, rule: Rule, place: _Place, comparison: str, value: Any
    ) -> _Place | None:
        """What a field is compared with; ``None`` if that isn't understood."""
        is_ordered = _first(place.field) is not None
        if isinstance(value, F):
            other = self._place(rule, str(value.name))  # type: ignore[attr-defined]
            return other if is_ordered and self._link(place, other) else None
        if comparison != "exact" and not is_ordered:
            return None
        literal = _literal(place.field, getattr(value, "value", value))
        if literal is None:
            return None
        if isinstance(place.field, models.IntegerField):
            low, high = integer_range(place.field, self._connection)
            if not low <= literal <= high:
                raise UnclearError  # Django knows the answer, even for NULL.
        if place.name:
            self._literals[place.name].append(literal)
        return _Place(None, place.field, literal)

    def _link(self, place: _Place, other: _Place | None) -> bool:
        """Note that two fields are compared, if they can be."""
        if other is None or _grain(other.field) != _grain(place.field):
            return False
        self._linked |= {each.name for each in (place, other) if each.name}
        for one, two in ((place, other), (other, place)):
            if two.name:
                self._literals[two.name] += one.literals
        return True

    def _place(self, rule: Rule, name: str) -> _Place | None:
        """Where a row of the model has what a constraint calls so, if that is known."""
        field, own = rule.fields_of(name)
        if field is None or _kind(field) is None:
            return None
        if own is None:
            value = rule.given_to(field)
            value = getattr(value, "value", value)
            if value is None:
                return _Place(None, field)
            if hasattr(value, "resolve_expression"):
                return None
            literal = _literal(field, value)
            return None if literal is None else _Place(None, field, literal)
        if own.generated or _kind(own) is not _kind(field):
            return None
        place = _Place(own, field)
        if own.name not in self._places:
            self._places[own.name] = place
            self._literals[own.name] = []
        return place

    def _domain(self, place: _Place, *, may_be_null: bool) -> list[Any]:
        field = place.field
        values: list[Any]
        if field.flatchoices:
            return self._choices(field, may_be_null=may_be_null)
        if isinstance(field, models.BooleanField):
            values = [True, False]
        elif (first := _first(field)) is not None:
            values = [*self._beside(place, first)]
        else:
            values = [*self._literals[str(place.name)]]
        fitting = [v for v in dict.fromkeys(values) if fits(field, v, self._connection)]
        if isinstance(field, _TOLD_APART):
            fitting.append(object())
        if not fitting:
            raise UnclearError
        return [*fitting, None] if field.null and may_be_null else fitting

    def _choices(self, field: Any, *, may_be_null: bool) -> list[Any]:
        values: list[Any] = [""] if isinstance(field, _OF_TEXT) else []
        for value, _ in field.flatchoices:
            if value not in (None, ""):
                values.append(field.to_python(value))
                if values[-1] != value:
                    raise UnclearError  # What is written isn't what is read.
        values = [v for v in values if fits(field, v, self._connection)]
        if not values:
            raise UnclearError
        return [*values, None] if field.null and may_be_null else values

    def _beside(self, place: _Place, first: Any) -> Iterator[Any]:
        """Values at and beside the literals; as many as may have to be different."""
        names, count = {place.name}, 1
        if place.name in self._linked:
            names, count = {*self._linked}, len(self._linked)
        for literal in (first, *(x for n in names for x in self._literals[str(n)])):
            yield literal
            for direction in (1, -1):
                value = literal
                for _ in range(count):
                    with suppress(OverflowError):
                        value = _next(place.field, value, direction)
                        yield value


def _parts(kind: str, value: Any) -> list[tuple[str, Any]]:
    """The comparisons of which a lookup is made; none if that isn't understood."""
    is_list = isinstance(value, list | tuple | set | frozenset)
    if kind == "in" and is_list:
        if not value or None in value:
            raise UnclearError  # What that means depends on Django's version.
        return [("exact", each) for each in value]
    if kind == "range" and is_list and len(value) == 2:
        return [*zip(("gte", "lte"), value, strict=True)]
    return [(kind, value)] if kind in _COMPARISONS else []


def _nullity(place: _Place, *, is_null: bool) -> Truth:
    return lambda row: (place(row) is None) is is_null


def _always(row: _Row) -> bool:
    return True


def _is_strict(value: Any) -> bool:
    if not isinstance(value, _STRICT):
        return False
    sources: Any = getattr(value, "get_source_expressions", list)()
    return all(map(_is_strict, sources))


def _kind(field: Any) -> type[Any] | None:
    """Which of Django's own kinds a field is of; ``None`` for any other."""
    if not type(field).__module__.startswith("django.db.models."):
        return None
    if isinstance(field, models.DateTimeField):
        return models.DateTimeField
    kinds = (models.BooleanField, *_TOLD_APART, *(each for each, _ in _ORDERED))
    return next((each for each in kinds if isinstance(field, each)), None)


def _grain(field: Any) -> Any:
    """How far apart values of a field are."""
    return _kind(field), getattr(field, "decimal_places", None)


def _first(field: Any) -> Any:
    """A value of a field whose values are in an order; ``None`` for any other."""
    if isinstance(field, models.DateTimeField):
        return field.to_python("2001-01-01 12:00Z")
    return next((v for kind, v in _ORDERED if isinstance(field, kind)), None)


def _next(field: Any, value: Any, direction: int) -> Any:
    """The next value that the field can have."""
    if isinstance(value, float):
        return math.nextafter(value, math.inf * direction)
    if isinstance(value, Decimal):
        return value + direction * Decimal(1).scaleb(-(field.decimal_places or 0))
    if isinstance(value, dt.datetime | dt.timedelta):
        return value + direction * dt.timedelta(microseconds=1)
    if isinstance(value, dt.date):
        return value + direction * dt.timedelta(days=1)
    return value + direction


def _literal(field: Any, value: Any) -> Any:
    """What a value is as one of the field; ``None`` if it is none."""
    if isinstance(field, models.BooleanField) is not isinstance(value, bool):
        return None
    try:
        with warnings.catch_warnings():
            # A naive date where an aware one is due.
            warnings.simplefilter("error")
            known = field.to_python(value)
        if known != value and not isinstance(value, str):
            return None
    except Exception:  # noqa: BLE001 (whatever the field has to say of it)
        return None
    if isinstance(known, Decimal) and known != round(known, field.decimal_places or 0):
        return None
    return known


def _may_be_folded(one: str, other: str) -> bool:
    """Whether a collation of MySQL's may take texts for the same."""
    folded = [value.casefold().strip() for value in (one, other)]
    return folded[0] == folded[1] or not (one + other).isascii()


def means_the_same(rule: Rule, expression: Any) -> bool:
    """Whether the model has the fields in it under the same names."""
    return all(
        getattr(rule.fields_of(name)[1], "name", None) == name
        for name in mentioned_fields(expression)
    )


def is_among(item: Any, known: Iterable[Any]) -> bool:
    """Whether something is the same as one of several things."""
    return any(_is_same(item, each) for each in known)


def _is_same(one: Any, other: Any) -> bool:
    with suppress(Exception):  # Whatever has to be compared, or written.
        # For Python 1 is equal to True, and for Django a type to any of its class.
        return bool(one == other) and _written(one) == _written(other)
    return False


def _written(item: Any) -> str:
    return MigrationWriter.serialize(item)[0]


def has_collation(field: Any) -> bool:
    """Whether texts are compared in a way of their own."""
    while field.remote_field:
        field = field.target_field
    return bool(getattr(field, "db_collation", None))
