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
from itertools import product
from typing import Any, TypeAlias

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Q, Value
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import CombinedExpression

from syzygy.alterations import has_db_default
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
_TOLD_APART = (
    models.CharField,
    models.TextField,
    models.UUIDField,
    models.ForeignKey,
)

_Row: TypeAlias = Mapping[Any, Any]
Truth: TypeAlias = Callable[[_Row], bool | None]


class UnclearError(Exception):
    """Nobody can look at all the rows that there may be."""


class _Place:
    """Where a row has a value: in a field, or always the same."""

    def __init__(self, field: Any, value: Any = None, *, is_own: bool) -> None:
        self.field = field
        self.value = value
        self.name = field.name if is_own else None

    def __call__(self, row: _Row) -> Any:
        return self.value if self.name is None else row[self.name]


class Space:
    """The rows of a model, as far as conditions tell them apart."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
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
        name, _, value = key
        inside = [F(name), value]
        anything = self._anything(key, means_the_same(rule, inside))
        others = []
        if _is_strict(value):
            others = [self._place(rule, each) for each in mentioned_fields(value)]

        def truth(row: _Row) -> bool | None:
            if place and place(row) is None:
                return False if negated else None
            if any(other and other(row) is None for other in others):
                return None
            return anything(row)

        return truth

    def _anything(self, key: Any, is_shared: bool) -> Truth:
        """What may be true or false, but is the same wherever it is said."""
        if is_shared and is_among(key, self._unclear):
            index = self._unclear.index(key)
        else:
            index = len(self._unclear)
            self._unclear.append(key if is_shared else object())

        def truth(row: _Row) -> bool | None:
            found: bool | None = row[index]
            return found

        return truth

    def _comparison(
        self, rule: Rule, place: _Place, kind: str, value: Any, *, negated: bool
    ) -> Truth | None:
        is_list = isinstance(value, list | tuple | set | frozenset)
        if kind == "in" and is_list and value:
            pairs = [("exact", each) for each in value if each is not None]
        elif kind == "range" and is_list and len(value) == 2:
            pairs = [*zip(("gte", "lte"), value, strict=True)]
        elif kind in _COMPARISONS:
            pairs = [(kind, value)]
        else:
            return None
        compared = []
        for name, each in pairs:
            operand = self._operand(rule, place, name, each)
            if operand is None:
                return None
            compared.append((_COMPARISONS[name], operand))
        connector = Q.OR if kind == "in" else Q.AND

        def truth(row: _Row) -> bool | None:
            one = place(row)
            if one is None:
                return False if negated else None
            found = []
            for compare, operand in compared:
                other = operand(row)
                found.append(None if other is None else bool(compare(one, other)))
            known = combine_truths(connector, found)
            is_plain = kind in _COMPARISONS
            return False if known is None and negated and is_plain else known

        return truth

    def _operand(
        self, rule: Rule, place: _Place, comparison: str, value: Any
    ) -> Callable[[_Row], Any] | None:
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
        return lambda row: literal

    def _link(self, place: _Place, other: _Place | None) -> bool:
        """Note that two fields are compared, if they can be."""
        if other is None or _kind(other.field) is not _kind(place.field):
            return False
        self._linked |= {each.name for each in (place, other) if each.name}
        for one, two in ((place, other), (other, place)):
            if one.name is None and two.name and one.value is not None:
                self._literals[two.name].append(one.value)
        return True

    def _place(self, rule: Rule, name: str) -> _Place | None:
        """Where a row of the model has what a constraint calls so, if that is known."""
        field, own = rule.fields_of(name)
        if field is None or _kind(field) is None:
            return None
        if own is None:
            if not has_db_default(field):
                return _Place(field, is_own=False)
            default = field.db_default
            value = getattr(default, "value", default)
            if hasattr(value, "resolve_expression"):
                return None
            literal = _literal(field, value)
            return None if literal is None else _Place(field, literal, is_own=False)
        if own.generated or _kind(own) is not _kind(field):
            return None
        if own.name not in self._places:
            self._places[own.name] = _Place(own, is_own=True)
            self._literals[own.name] = []
        return self._places[own.name]

    def _domain(self, place: _Place, *, may_be_null: bool) -> list[Any]:
        field = place.field
        values: list[Any]
        if field.flatchoices:
            values = [value for value, _ in field.flatchoices] + [""]
        elif isinstance(field, models.BooleanField):
            values = [True, False]
        elif (first := _first(field)) is not None:
            values = [*self._beside(place, first)]
        else:
            values = [*self._literals[str(place.name)]]
            if len({_folded(value) for value in values}) < len({*values}):
                raise UnclearError  # A collation may take some of them for the same.
        fitting = [v for v in dict.fromkeys(values) if fits(field, v, self._connection)]
        if not field.flatchoices and isinstance(field, _TOLD_APART):
            fitting.append(object())
        if not fitting:
            raise UnclearError
        return [*fitting, None] if field.null and may_be_null else fitting

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


def _folded(value: Any) -> Any:
    return value.casefold().strip() if isinstance(value, str) else value


def means_the_same(rule: Rule, expression: Any) -> bool:
    """Whether the model has the fields in it under the same names."""
    return all(
        getattr(rule.fields_of(name)[1], "name", None) == name
        for name in mentioned_fields(expression)
    )


def is_among(item: Any, known: Iterable[Any]) -> bool:
    """Whether something is equal to one of several things, if they can be compared."""
    with suppress(Exception):  # Whatever has to be compared.
        return item in known
    return False
