"""Values for the fields of ``django.contrib.postgres``."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from django.contrib.postgres import fields
from django.contrib.postgres.search import SearchVectorField
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql.psycopg_any import (
    DateRange,
    DateTimeTZRange,
    NumericRange,
)

from syzygy.rehearsal.field_values import LONG, Kind, filled
from syzygy.rehearsal.values import Values, values_of

# How many items the widest array has that has no size.
_ITEMS = 3


def _array(field: Any, number: int, connection: BaseDatabaseWrapper) -> list[Any]:
    if field.size == 0:
        return []
    items = values_of(field.base_field, is_part=True)
    return [items.sample(field.base_field, number, connection)] * _same_length(field)


def _wide_array(field: Any, number: int, connection: BaseDatabaseWrapper) -> list[Any]:
    base = field.base_field
    items = values_of(base, is_part=True)
    size = _ITEMS if field.size is None else field.size
    return [items.widest(base, number, connection) for _ in range(size)]


def _same_length(field: Any) -> int:
    return 1 if field.size is None else min(field.size, 1)


def _map(field: Any, number: int, connection: BaseDatabaseWrapper) -> dict[str, str]:
    return {"sample": str(number)}


def _wide_map(
    field: Any, number: int, connection: BaseDatabaseWrapper
) -> dict[str, str | None]:
    return {"sample": str(number), "long": filled(number, 1_000), "null": None}


# A vector of one word, in quotes as the database has it.


def _vector(field: Any, number: int, connection: BaseDatabaseWrapper) -> str:
    return f"'sample-{number}'"


def _wide_vector(field: Any, number: int, connection: BaseDatabaseWrapper) -> str:
    return f"'{filled(number, LONG)}'"


# No two of these have something in common: they may be excluded from that.


def _integers(field: Any, number: int, connection: BaseDatabaseWrapper) -> Any:
    return NumericRange(10 * number, 10 * number + 5, "[)")


def _wide_integers(field: Any, number: int, connection: BaseDatabaseWrapper) -> Any:
    bits = 63 if isinstance(field, fields.BigIntegerRangeField) else 31
    return NumericRange(-(2**bits) + number, 2**bits - 1 - number, "[)")


def _decimals(field: Any, number: int, connection: BaseDatabaseWrapper) -> Any:
    return NumericRange(Decimal(10 * number), Decimal(10 * number + 5), "[)")


def _wide_decimals(field: Any, number: int, connection: BaseDatabaseWrapper) -> Any:
    most = Decimal(10) ** 24
    return NumericRange(-most + number, most - number, "[)")


def _dates(field: Any, number: int, connection: BaseDatabaseWrapper) -> Any:
    first = dt.date(2001, 1, 1) + dt.timedelta(days=2 * (number % 300_000))
    return DateRange(first, first + dt.timedelta(days=1), "[)")


def _wide_dates(field: Any, number: int, connection: BaseDatabaseWrapper) -> Any:
    shift = dt.timedelta(days=number % 300_000)
    return DateRange(dt.date(1000, 1, 1) + shift, dt.date(9999, 12, 29) - shift, "[)")


def _moments(field: Any, number: int, connection: BaseDatabaseWrapper) -> Any:
    first = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)
    first += dt.timedelta(hours=2 * (number % 3_000_000))
    return DateTimeTZRange(first, first + dt.timedelta(hours=1), "[)")


def _wide_moments(field: Any, number: int, connection: BaseDatabaseWrapper) -> Any:
    shift = dt.timedelta(hours=number % 3_000_000)
    first = dt.datetime(1000, 1, 2, tzinfo=dt.UTC) + shift
    return DateTimeTZRange(
        first, dt.datetime(9999, 12, 29, tzinfo=dt.UTC) - shift, "[)"
    )


KINDS: dict[type[Any], Values] = {
    fields.ArrayField: Kind(_array, _wide_array),
    fields.HStoreField: Kind(_map, _wide_map),
    SearchVectorField: Kind(_vector, _wide_vector),
    fields.IntegerRangeField: Kind(_integers, _wide_integers),
    fields.BigIntegerRangeField: Kind(_integers, _wide_integers),
    fields.DecimalRangeField: Kind(_decimals, _wide_decimals),
    fields.DateRangeField: Kind(_dates, _wide_dates),
    fields.DateTimeRangeField: Kind(_moments, _wide_moments),
}
