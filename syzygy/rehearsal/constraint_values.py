"""Values that may satisfy a constraint, or violate it: what its literals suggest."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Q
from django.db.models.constants import LOOKUP_SEP

from syzygy.rehearsal.field_values import code, filled, integer_range, room
from syzygy.rehearsal.values import values_of

_UNITS = ("year", "month", "day", "hour", "minute", "second")
_LONGEST_ARRAY = 100
# Up to which sum of their places combinations are tried before single changes.
_SMALL = 3
# Texts of the shapes that patterns ask for.
_SHAPES = ("a", "A", "1", "ab", "AB", "12", "abc", "ABC", "123", "1234", "12345", "a-b")


class Literal(NamedTuple):
    """A value in a constraint, and the field and lookups that it is compared with.

    The field is empty where an expression, not a lookup, has the value.
    """

    field: str
    path: tuple[str, ...]
    value: Any


def literals(constraint: Any) -> list[Literal]:
    """The values that a constraint mentions, in its condition and its expressions."""
    parts = [getattr(constraint, "condition", None)]
    parts += [
        # An ExclusionConstraint holds pairs of an expression and an operator.
        expression[0] if isinstance(expression, tuple | list) else expression
        for expression in getattr(constraint, "expressions", ())
    ]
    return [literal for part in parts for literal in _literals(part)]


def _literals(part: Any) -> Iterator[Literal]:
    if isinstance(part, Q):
        for child in part.children:
            if isinstance(child, tuple):
                name, *path = child[0].split(LOOKUP_SEP)
                yield from _compared(name, tuple(path), child[1])
            else:
                yield from _literals(child)
    elif isinstance(part, models.Value):
        yield Literal("", (), part.value)
    elif hasattr(part, "get_source_expressions"):
        yield from _compared("", (), getattr(part, "rhs", None))
        for source in part.get_source_expressions():
            yield from _literals(source)


def _compared(name: str, path: tuple[str, ...], value: Any) -> Iterator[Literal]:
    if isinstance(value, list | tuple | set):
        for item in value:
            yield from _compared(name, path, item)
    if isinstance(value, F) or value is None:
        return
    if hasattr(value, "get_source_expressions"):
        for literal in _literals(value):
            yield Literal(name, path, literal.value)
    else:
        yield Literal(name, path, value)


def suggestions(
    field: Any,
    found: Sequence[Literal],
    number: int,
    connection: BaseDatabaseWrapper,
) -> Iterator[Any]:
    """The values of a field that literals suggest: themselves, and those about them."""
    known = [value for literal in found for value in _coerced(field, literal.value)]
    yield from known
    for literal in found:
        yield from _shaped(field, literal, number, connection)
    for value in known:
        yield from neighbours(field, value)
    yield from _between(known, number)


def generic(field: Any, connection: BaseDatabaseWrapper) -> Iterator[Any]:
    """Values that constraints often turn on, whatever they mention."""
    if isinstance(field, models.IntegerField):
        yield from (0, 1, -1, *integer_range(field, connection))
    elif isinstance(field, models.BooleanField):
        yield from (True, False)
    elif isinstance(field, models.DecimalField | models.FloatField):
        yield from (field.to_python(value) for value in (0, 1, -1, "0.5"))
    elif isinstance(field, models.CharField | models.TextField):
        yield from ("", *_SHAPES)
    elif isinstance(field, models.DateTimeField):
        yield from ()
    elif isinstance(field, models.DateField):
        yield from (dt.date(1900, 1, 1), dt.date(2999, 1, 1))
    elif isinstance(field, models.DurationField):
        yield from (dt.timedelta(0), dt.timedelta(days=-1))


def neighbours(field: Any, value: Any) -> Iterator[Any]:
    """The values next to a value, and some not far away."""
    for step in _steps(field, value):
        for move in (1, -1):
            try:
                yield value + move * step
            except (OverflowError, TypeError, ValueError):
                continue
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, str):
        yield value + "a"
        yield value[:-1]


def look_alikes(field: Any, value: Any) -> Iterator[Any]:
    """Other values that may be the same to who looks at a part of them, or about."""
    if isinstance(value, str):
        yield from (value.swapcase(), f"{value} ", f" {value}", value[:-1])
    elif hasattr(value, "isempty"):
        for upper in neighbours(field, value.upper):
            yield type(value)(value.lower, upper)
    elif not isinstance(field, models.ForeignKey):
        yield from neighbours(field, value)


def _steps(field: Any, value: Any) -> Sequence[Any]:
    match value:
        case bool():
            return ()
        case int():
            return (1, 10)
        case float():
            return (1.0, 0.25)
        case Decimal():
            places = getattr(field, "decimal_places", None) or 0
            return (Decimal(1).scaleb(-places), Decimal(1))
        case dt.datetime() | dt.timedelta():
            return (dt.timedelta(seconds=1), dt.timedelta(days=1))
        case dt.date():
            return (dt.timedelta(days=1), dt.timedelta(days=400))
    return ()


def _coerced(field: Any, value: Any) -> Iterator[Any]:
    if isinstance(field, models.JSONField):
        yield value
        return
    if isinstance(field, models.BooleanField) != isinstance(value, bool):
        return
    # Arrays, ranges and maps take anything to be one of them.
    is_made_of_others = not isinstance(value, str | bytes) and (
        hasattr(value, "__len__") or hasattr(value, "isempty")
    )
    if is_made_of_others != _is_made_of_others(field):
        return
    try:
        yield field.to_python(value)
    except Exception:  # noqa: BLE001 (whatever it is, it's no value of the field)
        return


def _is_made_of_others(field: Any) -> bool:
    return hasattr(field, "base_field") or field.get_internal_type() == "HStoreField"


def _shaped(
    field: Any, literal: Literal, number: int, connection: BaseDatabaseWrapper
) -> Iterator[Any]:
    """Values whose transform, or part, is what a literal says."""
    value = literal.value
    path = literal.path
    if isinstance(field, models.JSONField):
        yield from _nested(path, value)
    elif isinstance(field, models.CharField | models.TextField):
        yield from _texts(field, value, number)
    elif isinstance(value, int) and not isinstance(value, bool):
        if unit := next((unit for unit in _UNITS if unit in path), ""):
            sample = values_of(field).sample(field, number, connection)
            yield from _moments(sample, unit, value)
        elif hasattr(field, "base_field") and hasattr(field, "size"):
            for length in (value, value + 1, value - 1):
                yield from _repeated(field, length, number, connection)


def _texts(field: Any, value: Any, number: int) -> Iterator[Any]:
    if isinstance(value, str):
        yield from (value + code(number, 6), code(number, 6) + value)
        yield from (value.upper(), value.lower())
    elif isinstance(value, int):
        for length in (value, value + 1, value - 1):
            if 0 <= length <= room(field):
                yield filled(number, length) if length else ""


def _moments(sample: Any, unit: str, value: int) -> Iterator[Any]:
    for moved in (value, value + 1, value - 1):
        try:
            yield sample.replace(**{unit: moved})
        except (ValueError, TypeError):
            continue


def _repeated(
    field: Any, length: int, number: int, connection: BaseDatabaseWrapper
) -> Iterator[Any]:
    items = values_of(field.base_field, is_part=True)
    if 0 <= length <= _LONGEST_ARRAY:
        yield [
            items.sample(field.base_field, number + shift, connection)
            for shift in range(length)
        ]


def _nested(path: tuple[str, ...], value: Any) -> Iterator[Any]:
    *keys, last = path or ("exact",)
    known = {"exact", "gt", "gte", "lt", "lte", "in", "contains", "isnull", "range"}
    if last in {"has_key", "has_keys", "has_any_keys"}:
        keys.append(str(value))
        value = 1
    elif last not in known:
        keys.append(last)
    for each in [value, *neighbours(None, value)]:
        nested = each
        for key in reversed(keys):
            nested = {key: nested}
        yield nested


def _between(known: Sequence[Any], number: int) -> Iterator[Any]:
    """Integers within and beyond limits, a different one for each number."""
    limits = sorted(
        {value for value in known if type(value) is int} if known else set()
    )
    for low, high in itertools.pairwise(limits):
        yield low + number % (high - low)
    if limits:
        yield limits[-1] + number
        yield limits[0] - number


def related_values(
    field: Any, values: Mapping[str, Any], names: Iterable[str]
) -> Iterator[Any]:
    """What other fields of a row have, and what is about that."""
    found = []
    for name in names:
        if name != field.name and values.get(name) is not None:
            found += list(_coerced(field, values[name]))
    yield from found
    for value in found:
        yield from neighbours(field, value)


def in_order_of_change(choices: Sequence[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    """All combinations of a choice of each, those first that change little.

    The first of each is what there is. What is likelier to help comes earlier.
    """
    sizes = [len(each) for each in choices]
    most = sum(sizes) - len(sizes)
    small = (i for total in range(_SMALL + 1) for i in _summing_to(total, sizes))
    single = (
        tuple(index if at == place else 0 for at in range(len(sizes)))
        for place, size in enumerate(sizes)
        for index in range(_SMALL + 1, size)
    )
    large = (
        indexes
        for total in range(_SMALL + 1, most + 1)
        for indexes in _summing_to(total, sizes)
        if sum(map(bool, indexes)) > 1
    )
    for indexes in itertools.chain(small, single, large):
        yield tuple(each[index] for each, index in zip(choices, indexes, strict=True))


def _summing_to(total: int, sizes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    if not sizes:
        if total == 0:
            yield ()
        return
    rest = sum(sizes[1:]) - len(sizes[1:])
    for index in range(max(0, total - rest), min(total, sizes[0] - 1) + 1):
        for others in _summing_to(total - index, sizes[1:]):
            yield (index, *others)
