"""Values for the fields that come with Django, and whether a field takes a value.

They are legal on every database that Django supports: no microseconds or NUL characters
where one of them has none, years from 1000 to 9999, and integers within the range that
the database has for the field.
"""

from __future__ import annotations

import datetime as dt
import uuid
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import DecimalValidator
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from syzygy.rehearsal.values import Values

# Of a field, a number and a connection.
_Make = Callable[[Any, int, BaseDatabaseWrapper], Any]

# How long a text is that has no limit: more than any column of a limited kind is
# likely to have, and still an index entry.
LONG = 2_000

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_DIGITS = f"0123456789{_LETTERS}"
_DAYS = 700_000


@dataclass(frozen=True)
class Kind:
    """The values of a class of fields; its choices go first."""

    plain: _Make
    wide: _Make

    def sample(self, field: Any, number: int, connection: BaseDatabaseWrapper) -> Any:
        """A plain value."""
        if allowed := choices(field):
            return allowed[number % len(allowed)]
        return self.plain(field, number, connection)

    def widest(self, field: Any, number: int, connection: BaseDatabaseWrapper) -> Any:
        """A value that takes all the room there is."""
        if allowed := choices(field):
            by_width = sorted(allowed, key=lambda value: -len(str(value)))
            return by_width[number % len(by_width)]
        return self.wide(field, number, connection)


def choices(field: Any) -> list[Any]:
    """The values that a field is limited to, but for empty ones; mostly none.

    Some in an old migration may be too long for the column, which Django's check now
    refuses: no release has written those.
    """
    allowed = [value for value, _ in field.flatchoices]
    room = field.max_length
    return [
        value
        for value in allowed
        if value not in (None, "")
        and not (room and isinstance(value, str) and len(value) > room)
    ] or allowed


# Text


def code(number: int, length: int) -> str:
    """The number in at most so many letters and digits; it starts again if they end.

    There is a letter in it, for what looks alike but for the case of letters.
    """
    number %= len(_LETTERS) * len(_DIGITS) ** (length - 1)
    number, last = divmod(number, len(_LETTERS))
    digits = _LETTERS[last]
    while number:
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits


def text(number: int, length: int) -> str:
    """A short text of at most that length."""
    short = f"sample-{number}"
    return short if len(short) <= length else code(number, length)


def filled(number: int, length: int, prefix: str = "") -> str:
    """A text of exactly that length."""
    suffix = code(number, length)
    if len(prefix) + len(suffix) > length:
        prefix = ""
    return prefix + suffix.rjust(length - len(prefix), "w")


def room(field: Any) -> int:
    """How many characters, or bytes, to put into a field at most."""
    if isinstance(field, models.TextField) or field.max_length is None:
        return min(field.max_length or LONG, LONG)
    return int(field.max_length)


def _text(field: Any, number: int, connection: BaseDatabaseWrapper) -> str:
    return text(number, room(field))


def _wide_text(field: Any, number: int, connection: BaseDatabaseWrapper) -> str:
    return filled(number, room(field))


def _shaped(shape: str, prefix: str, suffix: str = "") -> Kind:
    """Texts of a shape; as wide ones they are filled between prefix and suffix."""

    def plain(field: Any, number: int, connection: BaseDatabaseWrapper) -> str:
        value = shape.format(number)
        return value if len(value) <= room(field) else text(number, room(field))

    def wide(field: Any, number: int, connection: BaseDatabaseWrapper) -> str:
        inner = room(field) - len(suffix)
        if inner < len(prefix) + 12:
            return filled(number, room(field))
        return filled(number, inner, prefix) + suffix

    return Kind(plain, wide)


def _bytes(field: Any, number: int, connection: BaseDatabaseWrapper) -> bytes:
    return text(number, field.max_length or LONG).encode()


def _wide_bytes(field: Any, number: int, connection: BaseDatabaseWrapper) -> bytes:
    return filled(number, field.max_length or LONG).encode()


# Numbers


def integer_range(field: Any, connection: BaseDatabaseWrapper) -> tuple[int, int]:
    """The least and the greatest integer that a field takes."""
    return connection.ops.integer_field_range(field.get_internal_type())


def _integer(field: Any, number: int, connection: BaseDatabaseWrapper) -> int:
    # Zero is what code tests for; an image takes it for no width.
    return 1 + number % integer_range(field, connection)[1]


def _wide_integer(field: Any, number: int, connection: BaseDatabaseWrapper) -> int:
    _, high = integer_range(field, connection)
    return high - number % high


def _boolean(field: Any, number: int, connection: BaseDatabaseWrapper) -> bool:
    return number % 2 == 0


def _float(field: Any, number: int, connection: BaseDatabaseWrapper) -> float:
    return number + 0.5


def _wide_float(field: Any, number: int, connection: BaseDatabaseWrapper) -> float:
    # Sixteen digits, which a double tells apart: -1.234567890123456e+300.
    return float(-(10**15 + number) * 10**285)


def _digits(field: Any) -> tuple[int, int]:
    """How many digits a decimal has, and how many after the point."""
    digits = field.max_digits or 15
    return digits, field.decimal_places or 0


def _decimal(field: Any, number: int, connection: BaseDatabaseWrapper) -> Decimal:
    digits, places = _digits(field)
    if not (whole := min(digits - places, 12)):
        return _shifted(1 + number % (10 ** min(places, 12) - 1), places)
    # With the least that there is after the point, as far as every database keeps it.
    least = 1 if places and digits <= 15 else 0
    return _shifted((1 + number % (10**whole - 1)) * 10**places + least, places)


def _shifted(digits: int, places: int) -> Decimal:
    """A decimal with that many places, whatever the precision of arithmetic is."""
    return Decimal(f"{digits}e{-places}")


def _wide_decimal(field: Any, number: int, connection: BaseDatabaseWrapper) -> Decimal:
    digits, places = _digits(field)
    # SQLite keeps decimals as floating point numbers.
    kept = min(digits, 15) if connection.vendor == "sqlite" else digits
    most = 10**kept - 1
    return _shifted((most - number % most) * 10 ** (digits - kept), places)


# Dates


def _as_kept(moment: dt.datetime) -> dt.datetime:
    """The moment as the project has it, with a time zone or without."""
    return moment if settings.USE_TZ else moment.replace(tzinfo=None)


def _date(field: Any, number: int, connection: BaseDatabaseWrapper) -> dt.date:
    return dt.date(2001, 1, 1) + dt.timedelta(days=number % _DAYS)


def _wide_date(field: Any, number: int, connection: BaseDatabaseWrapper) -> dt.date:
    return dt.date(9999, 12, 30) - dt.timedelta(days=number % _DAYS)


def _moment(field: Any, number: int, connection: BaseDatabaseWrapper) -> dt.datetime:
    first = dt.datetime(2001, 1, 1, 12, tzinfo=dt.UTC)
    return _as_kept(first + dt.timedelta(hours=number % _DAYS))


def _wide_moment(
    field: Any, number: int, connection: BaseDatabaseWrapper
) -> dt.datetime:
    # Not the last day: in another time zone it may be past the year 9999.
    last = dt.datetime(9999, 12, 29, 23, 59, 59, 999_999, tzinfo=dt.UTC)
    return _as_kept(last - dt.timedelta(microseconds=number))


def _time(field: Any, number: int, connection: BaseDatabaseWrapper) -> dt.time:
    minutes = number % (24 * 60)
    return dt.time(minutes // 60, minutes % 60, number // (24 * 60) % 60)


def _wide_time(field: Any, number: int, connection: BaseDatabaseWrapper) -> dt.time:
    return dt.time(23, 59, 59, 999_999 - number % 1_000_000)


def _duration(field: Any, number: int, connection: BaseDatabaseWrapper) -> dt.timedelta:
    return dt.timedelta(minutes=1 + number)


def _wide_duration(
    field: Any, number: int, connection: BaseDatabaseWrapper
) -> dt.timedelta:
    # Where there is no type for it, it is 64 bits of microseconds: 106,751,991 days.
    return dt.timedelta(days=100_000_000, microseconds=-1 - number)


# Others


def _uuid(field: Any, number: int, connection: BaseDatabaseWrapper) -> uuid.UUID:
    return uuid.UUID(int=1 + number)


def _wide_uuid(field: Any, number: int, connection: BaseDatabaseWrapper) -> uuid.UUID:
    return uuid.UUID(int=2**128 - 1 - number)


def _address(field: Any, number: int, connection: BaseDatabaseWrapper) -> str:
    if getattr(field, "protocol", "ipv4").lower() == "ipv6":
        return f"2001:db8::{1 + number // 0xFFFF % 0xFFFE:x}:{1 + number % 0xFFFF:x}"
    return "10.{}.{}.{}".format(*(1 + number).to_bytes(8)[-3:])


def _wide_address(field: Any, number: int, connection: BaseDatabaseWrapper) -> str:
    if getattr(field, "protocol", "ipv4").lower() == "ipv4":
        return "255.{}.{}.{}".format(*(2**24 - 1 - number % 2**24).to_bytes(3))
    # Without a group of leading zeros, which would be left out.
    group, last = divmod(number, 0xEFFF)
    return f"{'ffff:' * 6}{0xFFFF - group % 0xEFFF:x}:{0xFFFF - last:x}"


def _json(field: Any, number: int, connection: BaseDatabaseWrapper) -> Any:
    return {"sample": number}


def _wide_json(field: Any, number: int, connection: BaseDatabaseWrapper) -> Any:
    inner = {"text": filled(number, 1_000), "list": [1, 2.5, True, None, "four"]}
    return {"sample": number, "inner": inner}


_TEXT = Kind(_text, _wide_text)
_INTEGER = Kind(_integer, _wide_integer)
_FILE = _shaped("sample-{}.txt", "sample/", ".txt")

_KINDS: dict[type[Any], Values] = {
    models.CharField: _TEXT,
    models.TextField: _TEXT,
    models.EmailField: _shaped("sample-{}@example.com", "", "@example.com"),
    models.URLField: _shaped("https://example.com/{}", "https://example.com/"),
    models.FileField: _FILE,
    models.FilePathField: _FILE,
    models.BinaryField: Kind(_bytes, _wide_bytes),
    models.IntegerField: _INTEGER,
    models.BooleanField: Kind(_boolean, _boolean),
    models.FloatField: Kind(_float, _wide_float),
    models.DecimalField: Kind(_decimal, _wide_decimal),
    models.DateField: Kind(_date, _wide_date),
    models.DateTimeField: Kind(_moment, _wide_moment),
    models.TimeField: Kind(_time, _wide_time),
    models.DurationField: Kind(_duration, _wide_duration),
    models.UUIDField: Kind(_uuid, _wide_uuid),
    models.GenericIPAddressField: Kind(_address, _wide_address),
    models.JSONField: Kind(_json, _wide_json),
}


def empty_values(field: Any) -> Sequence[Any]:
    """What a field of that kind holds if it is blank; none for most kinds."""
    if isinstance(
        field,
        models.CharField | models.TextField | models.FileField | models.FilePathField,
    ):
        return [""]
    if isinstance(field, models.BinaryField):
        return [b""]
    if isinstance(field, models.JSONField):
        return [{}]
    if type(field).__module__.startswith("django.contrib.postgres."):
        if type(field).__name__ == "ArrayField":
            return [[]]
        if type(field).__name__ == "HStoreField":
            return [{}]
    return []


def built_in(field_class: type[Any]) -> Values | None:
    """The values of one of Django's classes; those of its bases aren't looked at."""
    return _KINDS.get(field_class) or _postgres_kinds(field_class.__module__).get(
        field_class
    )


@cache
def _postgres_kinds(module: str) -> dict[type[Any], Values]:
    if not module.startswith("django.contrib.postgres."):
        return {}
    from syzygy.rehearsal.postgres_values import KINDS

    return KINDS


# Whether a field takes a value


def fits(field: Any, value: Any, connection: BaseDatabaseWrapper) -> bool:
    """Whether a field takes a value, as far as its own definition tells."""
    if value is None:
        return bool(field.null)
    if hasattr(value, "resolve_expression"):
        return True
    if (allowed := choices(field)) and value not in allowed:
        return value == "" and bool(field.blank)
    try:
        with warnings.catch_warnings():
            # A naive date where an aware one is due.
            warnings.simplefilter("error")
            stored = field.get_prep_value(value)
            field.get_db_prep_save(value, connection)
    except Exception:  # noqa: BLE001 (whatever it is, the value is refused)
        return False
    return _has_room(field, stored, connection)


def _has_room(field: Any, stored: Any, connection: BaseDatabaseWrapper) -> bool:
    if isinstance(field, models.IntegerField):
        low, high = integer_range(field, connection)
        return bool(low <= stored <= high)
    if isinstance(field, models.DecimalField):
        try:
            DecimalValidator(field.max_digits, field.decimal_places)(stored)
        except ValidationError:
            return False
        return True
    if isinstance(stored, str | bytes) and field.max_length is not None:
        return isinstance(field, models.TextField) or len(stored) <= field.max_length
    return True
