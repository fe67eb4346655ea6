"""Values for fields: legal, different from one another, and as read as written."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, models
from django.test import override_settings

from syzygy.rehearsal import values
from syzygy.rehearsal.field_values import code, fits
from syzygy.rehearsal.values import (
    Unprobable,
    how_to_teach,
    register_values,
    sample,
    widest,
)
from tests.rows_helpers import model, state_of, tables
from tests.services import UNDER_TEST

if TYPE_CHECKING:
    AnyField = models.Field[Any, Any]
    AnyCharField = models.CharField[Any, Any]
else:
    AnyField, AnyCharField = models.Field, models.CharField

ON_POSTGRESQL = UNDER_TEST == "postgresql"

FIELDS: dict[str, models.Field[Any, Any]] = {
    "big": models.BigIntegerField(),
    "integer": models.IntegerField(),
    "small": models.SmallIntegerField(),
    "positive": models.PositiveIntegerField(),
    "positive_big": models.PositiveBigIntegerField(),
    "positive_small": models.PositiveSmallIntegerField(),
    "text": models.TextField(),
    "short_text": models.TextField(max_length=30),
    "char": models.CharField(max_length=100),
    "four": models.CharField(max_length=4),
    "slug": models.SlugField(),
    "email": models.EmailField(),
    "short_email": models.EmailField(max_length=8),
    "url": models.URLField(),
    "file": models.FileField(),
    "image": models.ImageField(),
    "path": models.FilePathField(),
    "binary": models.BinaryField(),
    "short_binary": models.BinaryField(max_length=10),
    "decimal": models.DecimalField(max_digits=10, decimal_places=2),
    "long_decimal": models.DecimalField(max_digits=30, decimal_places=10),
    "longest_decimal": models.DecimalField(max_digits=60, decimal_places=30),
    "whole": models.DecimalField(max_digits=12, decimal_places=0),
    "fraction": models.DecimalField(max_digits=6, decimal_places=6),
    "real": models.FloatField(),
    "date": models.DateField(),
    "moment": models.DateTimeField(),
    "time": models.TimeField(),
    "duration": models.DurationField(),
    "uuid": models.UUIDField(),
    "address": models.GenericIPAddressField(),
    "address4": models.GenericIPAddressField(protocol="IPv4"),
    "address6": models.GenericIPAddressField(protocol="IPv6"),
    "json": models.JSONField(),
}
if connection.vendor != "mysql":
    FIELDS["endless"] = models.CharField()
if ON_POSTGRESQL:
    from django.contrib.postgres import fields as postgres
    from django.contrib.postgres.search import SearchVectorField

    FIELDS |= {
        "array": postgres.ArrayField(models.IntegerField()),
        "pair": postgres.ArrayField(models.CharField(max_length=5), size=2),
        "nested": postgres.ArrayField(postgres.ArrayField(models.DateField())),
        "vector": SearchVectorField(),
        "integers": postgres.IntegerRangeField(),
        "bigs": postgres.BigIntegerRangeField(),
        "decimals": postgres.DecimalRangeField(),
        "dates": postgres.DateRangeField(),
        "moments": postgres.DateTimeRangeField(),
    }
# What fits depends on the version of MariaDB, which it is asked for.
pytestmark = pytest.mark.django_db

# As many as there are, if they are few.
FEW = {"boolean": 2}


def bound(field: models.Field[Any, Any]) -> Any:
    """A field as a model has it."""
    made = state_of(model("Thing", field=field.clone())).apps
    return made.get_model("shop", "Thing")._meta.get_field("field")


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "_by_class", {})
    monkeypatch.setattr(values, "_by_label", {})


@pytest.mark.parametrize("make", [sample, widest])
@pytest.mark.parametrize("name", FIELDS)
def test_values_are_different_and_fit(name: str, make: Any) -> None:
    field = bound(FIELDS[name])
    made = [make(field, number, connection) for number in range(300)]
    assert len({repr(value) for value in made}) == 300
    for value in made:
        assert fits(field, value, connection)
    assert make(field, 7, connection) == made[7]


@pytest.mark.parametrize("make", [sample, widest])
@pytest.mark.django_db(transaction=True)
def test_values_are_read_as_they_are_written(make: Any) -> None:
    fields = {name: field.clone() for name, field in FIELDS.items()}
    with tables(model("Thing", **fields)) as world:
        for number in (0, 1, 2, 1_000, 40_000, 5_000_000):
            row = world["Thing"](
                **{
                    field.name: make(field, number, connection)
                    for field in world["Thing"]._meta.concrete_fields
                    if field.name in FIELDS
                }
            )
            world.saved(row)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("char", 100),
        ("four", 4),
        ("slug", 50),
        ("email", 254),
        ("short_email", 8),
        ("url", 200),
        ("file", 100),
        ("path", 100),
        ("short_binary", 10),
        ("short_text", 30),
        ("text", 2_000),
    ],
)
def test_the_widest_text_takes_all_the_room(name: str, expected: int) -> None:
    field = bound(FIELDS[name])
    for number in (0, 35, 36, 1_000_000):
        assert len(widest(field, number, connection)) == expected


def test_the_widest_numbers_have_all_digits() -> None:
    assert widest(bound(FIELDS["decimal"]), 0, connection) == Decimal("99999999.99")
    assert widest(bound(FIELDS["fraction"]), 1, connection) == Decimal("0.999998")
    long_decimal = widest(bound(FIELDS["long_decimal"]), 0, connection)
    assert len(str(int(long_decimal))) == 20
    for name, field in FIELDS.items():
        if isinstance(field, models.IntegerField):
            _, high = connection.ops.integer_field_range(field.get_internal_type())
            assert widest(bound(field), 0, connection) == high, name


@pytest.mark.parametrize("use_tz", [True, False])
def test_moments_survive_any_time_zone(use_tz: bool) -> None:
    field = bound(models.DateTimeField())
    with override_settings(USE_TZ=use_tz):
        for make in (sample, widest):
            moment = make(field, 3, connection)
            assert (moment.tzinfo is not None) is use_tz
            moment.replace(tzinfo=dt.UTC).astimezone(
                dt.timezone(dt.timedelta(hours=14))
            )


def test_email_and_url_have_their_shape() -> None:
    for name in ("email", "url", "slug", "address", "address4", "address6"):
        field = bound(FIELDS[name])
        for make in (sample, widest):
            for number in (0, 3):
                if name == "email" and make is widest:
                    continue  # Its part before the "@" is longer than 64 characters.
                field.clean(make(field, number, connection), None)


def test_a_boolean_has_two_values() -> None:
    field = bound(models.BooleanField())
    assert [sample(field, number, connection) for number in range(3)] == [
        True,
        False,
        True,
    ]


def test_choices_limit_values() -> None:
    options = [("", "-"), ("Group", [("a", "A"), ("long", "Long")]), ("b", "B")]
    field = bound(models.CharField(max_length=10, choices=options, blank=True))
    assert {sample(field, n, connection) for n in range(9)} == {"a", "b", "long"}
    assert widest(field, 0, connection) == "long"
    assert widest(field, 1, connection) != "long"
    assert not fits(field, "c", connection)
    assert fits(field, "", connection)
    # One that the column has no room for is none, unless there are no others.
    narrow = bound(models.CharField(max_length=3, choices=options))
    assert {widest(narrow, n, connection) for n in range(9)} == {"a", "b"}
    assert not fits(narrow, "long", connection)
    odd = bound(models.CharField(max_length=3, choices=[("long", "Long")]))
    assert sample(odd, 0, connection) == "long"


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        (models.CharField(max_length=3), "abc", True),
        (models.CharField(max_length=3), "abcd", False),
        (models.CharField(max_length=3), 12, True),
        (models.CharField(max_length=3), 1234, False),
        (models.TextField(max_length=3), "abcd", True),
        (models.BinaryField(max_length=3), b"abcd", False),
        (models.PositiveIntegerField(), -1, False),
        (models.IntegerField(), 2**64, False),
        (models.IntegerField(), "12", True),
        (models.IntegerField(), "a", False),
        (models.IntegerField(), None, False),
        (models.IntegerField(null=True), None, True),
        (models.DecimalField(max_digits=3, decimal_places=1), Decimal("12.3"), True),
        (models.DecimalField(max_digits=3, decimal_places=1), Decimal("123.4"), False),
        (models.DecimalField(max_digits=3, decimal_places=1), Decimal("1.23"), False),
        (models.BooleanField(), 5, False),
        (models.UUIDField(), uuid.UUID(int=1), True),
        (models.UUIDField(), "sample", False),
        (models.DateField(), "sample", False),
        (models.DateTimeField(), dt.date(2001, 1, 1), False),
    ],
    ids=str,
)
def test_whether_a_value_fits(
    field: models.Field[Any, Any], value: Any, expected: bool
) -> None:
    assert fits(bound(field), value, connection) is expected


# What is registered


class Money:
    def __init__(self, amount: int) -> None:
        self.amount = amount

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.amount == self.amount

    def __hash__(self) -> int:
        return hash(self.amount)


class MoneyField(AnyField):
    def db_type(self, connection: Any) -> str:
        return "bigint"

    def get_prep_value(self, value: Any) -> Any:
        return value and value.amount

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return None if value is None else Money(value)


class PriceField(MoneyField):
    pass


class UpperField(AnyCharField):
    """A field whose values change on their way."""

    def get_prep_value(self, value: Any) -> Any:
        return value and str(value).upper()


class PointField(AnyCharField):
    """A field that takes none of the values of its base."""

    def get_prep_value(self, value: Any) -> Any:
        return f"{value.x} {value.y}"


class SecretField(AnyCharField):
    """A field that keeps more than it is given."""

    def get_prep_value(self, value: Any) -> Any:
        return value and f"secret:{value}"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return value and value.removeprefix("secret:")


class OddField(AnyField):
    pass


def amount(field: Any, number: int) -> Money:
    return Money(number)


def test_values_of_an_own_class_and_its_subclasses() -> None:
    register_values(MoneyField)(amount)
    for field in (MoneyField(), PriceField()):
        assert sample(bound(field), 3, connection) == Money(3)
        assert widest(bound(field), 3, connection) == Money(3)


def test_the_decorated_function_stays_as_it_is() -> None:
    assert register_values(MoneyField)(amount) is amount


def test_widest_values_of_their_own() -> None:
    register_values(MoneyField, widest=lambda field, number: Money(10**6 - number))(
        amount
    )
    assert widest(bound(MoneyField()), 1, connection) == Money(999_999)
    assert sample(bound(MoneyField()), 1, connection) == Money(1)


def test_the_closest_class_wins_and_a_label_more_so() -> None:
    register_values(models.CharField)(lambda field, number: f"char {number}")
    assert sample(bound(models.CharField(max_length=9)), 1, connection) == "char 1"
    # Django's own are closer.
    assert sample(bound(models.EmailField()), 1, connection) == "sample-1@example.com"
    register_values(models.EmailField)(lambda field, number: f"{number}@example.org")
    assert sample(bound(models.EmailField()), 1, connection) == "1@example.org"
    register_values("shop.THING.field")(lambda field, number: f"label {number}")
    assert sample(bound(models.EmailField()), 1, connection) == "label 1"
    register_values("shop.Thing.field")(lambda field, number: f"again {number}")
    assert sample(bound(models.EmailField()), 1, connection) == "again 1"


@pytest.mark.parametrize(
    "key", ["shop.Book", "shop.Book.isbn.more", "a b.c.d", "", Money, Money(1), 5, None]
)
def test_a_key_that_is_none(key: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="field class, or the label") as info:
        register_values(key)
    assert "\n" not in str(info.value)


def test_a_function_that_fails() -> None:
    @register_values(MoneyField)
    def fails(field: Any, number: int) -> Any:
        raise LookupError("nothing")

    with pytest.raises(Unprobable) as info:
        sample(bound(MoneyField()), 3, connection)
    assert info.value.label == "shop.Thing.field"
    assert "LookupError (nothing) for the number 3" in info.value.reason
    assert ".fails" in info.value.reason


@pytest.mark.parametrize(
    ("field", "word"),
    [
        (MoneyField(), "MoneyField"),
        (OddField(), "OddField"),
        (PointField(max_length=20), "AttributeError"),
    ],
)
def test_a_field_without_known_values(field: models.Field[Any, Any], word: str) -> None:
    with pytest.raises(Unprobable) as info:
        sample(bound(field), 0, connection)
    assert info.value.label == "shop.Thing.field"
    assert word in info.value.reason
    assert how_to_teach("shop.Thing.field") in info.value.reason
    assert '@register_values("shop.Thing.field")' in info.value.reason


def test_an_own_field_takes_the_values_of_its_base() -> None:
    assert sample(bound(UpperField(max_length=20)), 1, connection) == "sample-1"
    # There is no room for the widest text of its base.
    assert widest(bound(SecretField(max_length=20)), 1, connection) == "sample-1"
    with pytest.raises(Unprobable, match="does not take the values"):
        sample(bound(SecretField(max_length=6)), 1, connection)


@pytest.mark.skipif(not ON_POSTGRESQL, reason="PostgreSQL has these fields")
def test_what_only_postgresql_has() -> None:
    hstore = bound(postgres.HStoreField())
    assert sample(hstore, 1, connection) != sample(hstore, 2, connection)
    assert len(widest(hstore, 1, connection)) > len(sample(hstore, 1, connection))
    assert sample(bound(postgres.CITextField()), 1, connection) == "sample-1"


@pytest.mark.skipif(not ON_POSTGRESQL, reason="PostgreSQL has these fields")
def test_arrays_of_an_own_class() -> None:
    array = bound(postgres.ArrayField(MoneyField(), size=2))
    with pytest.raises(Unprobable):
        sample(array, 0, connection)
    register_values(MoneyField)(amount)
    assert sample(array, 3, connection) == [Money(3)]
    # The label is that of the array, not of what it consists of.
    register_values("shop.Thing.field")(lambda field, number: [Money(8)])
    assert sample(array, 3, connection) == [Money(8)]


@pytest.mark.skipif(not ON_POSTGRESQL, reason="PostgreSQL has these fields")
@pytest.mark.parametrize(("size", "most"), [(None, 3), (0, 0), (1, 1), (4, 4)])
def test_the_size_of_arrays(size: int | None, most: int) -> None:
    array = bound(postgres.ArrayField(models.IntegerField(), size=size))
    assert len(widest(array, 0, connection)) == most
    assert len(sample(array, 0, connection)) == min(most, 1)


def test_registering_takes_no_time() -> None:
    code = (
        "import sys, syzygy.rehearsal.values as values;"
        "assert not [name for name in sys.modules if name.startswith('django')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("length", [1, 2, 9, 2_000])
def test_codes_are_as_many_as_can_be_and_have_a_letter_each(length: int) -> None:
    number = min(26 * 36 ** (length - 1), 2_000)
    made = [code(each, length) for each in range(number)]
    assert len(set(made)) == number
    assert all(len(each) <= length for each in made)
    assert all(each != each.swapcase() for each in made)
    # They start again.
    assert code(26 * 36 ** (length - 1), length) == made[0]
