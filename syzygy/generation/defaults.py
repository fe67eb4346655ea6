"""What the database can put into a column by itself.

Pure: what depends on the database is told by the name of its vendor.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from django.db.models import NOT_PROVIDED, DateField, TimeField
from django.db.models.functions import Cast, Now
from django.utils import timezone

from syzygy.history import AnyField


class Kind(enum.Enum):
    """Where the value of a column comes from."""

    CONSTANT = enum.auto()
    EXPRESSION = enum.auto()
    PER_ROW = enum.auto()


class Source(NamedTuple):
    """A value for a column: a constant, an expression, or a function of no argument."""

    kind: Kind
    value: Any


# Functions that make the same of every call.
_CONSTRUCTORS = frozenset(
    {bool, bytes, dt.timedelta, decimal.Decimal, dict, float, int, list, str}
)
_CLOCKS = frozenset(
    {
        dt.date.today,
        dt.datetime.now,
        dt.datetime.today,
        timezone.localdate,
        timezone.localtime,
        timezone.now,
    }
)
_CONSTANTS: dict[str, Any] = {
    "BigIntegerField": 0,
    "BinaryField": b"",
    "BooleanField": False,
    "CharField": "",
    "DecimalField": 0,
    "DurationField": dt.timedelta(),
    "FileField": "",
    "FilePathField": "",
    "FloatField": 0.0,
    "IntegerField": 0,
    "PositiveBigIntegerField": 0,
    "PositiveIntegerField": 0,
    "PositiveSmallIntegerField": 0,
    "SlugField": "",
    "SmallIntegerField": 0,
    "TextField": "",
    "UUIDField": uuid.UUID(int=0),
}
_EMPTY: dict[str, Callable[[], Any]] = {
    "ArrayField": list,
    "HStoreField": dict,
    "JSONField": dict,
}


def source(
    field: AnyField, vendor: str, one_off: object = NOT_PROVIDED
) -> Source | None:
    """Where the rows get their value from that know nothing of the field.

    From the ``one_off`` default that somebody gave, or as Django fills a new column.
    ``None`` if nothing tells.
    """
    if one_off is not NOT_PROVIDED and one_off is not None:
        return _source(field, one_off, vendor)
    if field.has_default():
        default = field.default
        return None if default is None else _source(field, default, vendor)
    if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False):
        return Source(Kind.EXPRESSION, now(field))
    if not field.null and field.blank and field.empty_strings_allowed:
        empty = b"" if field.get_internal_type() == "BinaryField" else ""
        return Source(Kind.CONSTANT, empty)
    return None


def _source(field: AnyField, default: Any, vendor: str) -> Source:
    if not callable(default):
        return Source(Kind.CONSTANT, default)
    if _is_in(default, _CONSTRUCTORS):
        return Source(Kind.CONSTANT, default())
    internal_type = field.get_internal_type()
    if _is_in(default, _CLOCKS) and internal_type in {"DateField", "DateTimeField"}:
        return Source(Kind.EXPRESSION, now(field))
    if default == uuid.uuid4 and internal_type == "UUIDField":
        expression = random_uuid(vendor)
        if expression is not None:
            return Source(Kind.EXPRESSION, expression)
    return Source(Kind.PER_ROW, default)


def _is_in(function: Any, functions: frozenset[Any]) -> bool:
    try:
        return function in functions
    except TypeError:  # Nothing obliges a callable to be hashable.
        return False


def now(field: AnyField) -> Any:
    """The expression for the moment at which a row is inserted, in the field's type."""
    internal_type = field.get_internal_type()
    if internal_type == "DateField":
        return Cast(Now(), DateField())
    if internal_type == "TimeField":
        return Cast(Now(), TimeField())
    return Now()


def random_uuid(vendor: str) -> Any:
    """The expression for a random UUID, or ``None`` where the database has none."""
    if vendor != "postgresql":
        return None
    from django.contrib.postgres.functions import RandomUUID

    return RandomUUID()


def harmless(field: AnyField) -> Any:
    """A DEFAULT that suits the type of a field which only an old release reads.

    The field's own default where that is one value. ``NOT_PROVIDED`` if none is known,
    as for types that aren't Django's, which may make anything of it.
    """
    if field.has_default() and not callable(field.default):
        return NOT_PROVIDED if field.default is None else field.default
    if not type(field).__module__.startswith("django."):
        return NOT_PROVIDED
    internal_type = field.get_internal_type()
    if internal_type in _EMPTY:
        return _EMPTY[internal_type]()
    if internal_type in {"DateField", "DateTimeField", "TimeField"}:
        return now(field)
    if internal_type == "GenericIPAddressField":
        return "::" if field.protocol.lower() == "ipv6" else "0.0.0.0"  # noqa: S104 - it is a value
    constant = _CONSTANTS.get(internal_type, NOT_PROVIDED)
    choices = [value for value, _ in field.flatchoices if value is not None]
    if choices and constant not in choices and not field.blank:
        return choices[0]
    return constant
