"""Which fields a constraint is about."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import (
    BooleanField,
    Case,
    CheckConstraint,
    Deferrable,
    ExpressionWrapper,
    F,
    Func,
    OrderBy,
    Q,
    UniqueConstraint,
    Value,
    When,
)
from django.db.models.constraints import BaseConstraint
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce, Lower, Now
from django.db.models.lookups import GreaterThan, IsNull

from syzygy.constraints import constraint_fields, unique_together


@pytest.mark.parametrize(
    ("expected", "written"),
    [
        (set(), None),
        (set(), []),
        ({("a", "b")}, ["a", "b"]),
        ({("a", "b")}, {("a", "b")}),
        ({("a", "b"), ("b", "c")}, [["a", "b"], ("b", "c")]),
    ],
)
def test_unique_together(expected: set[tuple[str, ...]], written: Any) -> None:
    assert unique_together({"unique_together": written}) == expected
    assert unique_together({}) == set()


@pytest.mark.parametrize(
    ("expected", "arguments"),
    [
        ("a", {"fields": ["a"]}),
        ("a b", {"fields": ["a", "b"]}),
        ("a b", {"fields": ["a"], "condition": Q(b=1)}),
        ("a", {"fields": ["a"], "deferrable": Deferrable.DEFERRED}),
        ("a", {"fields": ["a"], "include": ["b"]}),
        ("a", {"fields": ["a"], "opclasses": ["text_pattern_ops"]}),
        ("a", {"fields": ["a"], "nulls_distinct": False}),
    ],
)
def test_unique_fields(expected: str, arguments: dict[str, Any]) -> None:
    constraint = UniqueConstraint(name="u", **arguments)
    assert constraint_fields(constraint) == set(expected.split())


@pytest.mark.parametrize(
    ("expected", "expressions"),
    [
        ("a", ["a"]),
        ("a", [F("a")]),
        ("a b", [Lower("a"), "b"]),
        ("a b", [Coalesce("a", Lower("b"))]),
        ("a", [F("a").desc()]),
        ("a", [OrderBy(Lower("a"), nulls_last=True)]),
        ("a b", [Func(F("a") + F("b"), function="ABS")]),
        ("a", [Lower("a__b")]),
    ],
)
def test_unique_expressions(expected: str, expressions: list[Any]) -> None:
    constraint = UniqueConstraint(*expressions, name="u")
    assert constraint_fields(constraint) == set(expected.split())


@pytest.mark.parametrize(
    ("expected", "condition"),
    [
        ("a", Q(a=1)),
        ("a", Q(a__gt=1)),
        ("a", Q(a__year__gt=2000)),
        ("a", ~Q(a__isnull=True)),
        ("a b", Q(a=1) | Q(b=1)),
        ("a b c", Q(a=1) & ~(Q(b=1) | Q(c=1))),
        ("a b", Q(a=1, b=1)),
        ("a b", Q(a__gt=F("b"))),
        ("a b", Q(a__gt=F("b__year"))),
        ("a b", Q(a__gt=F("b") + 1)),
        ("a b", Q(a__gt=Lower("b"))),
        ("a b c", Q(a__range=(F("b"), F("c")))),
        ("a b", Q(a__in=[1, F("b")])),
        ("a", Q(a__in=[1, 2])),
        ("a", Q(a="F(b)")),
        ("a", Q(GreaterThan(F("a"), 1))),
        ("a b", Q(GreaterThan(F("a"), Lower("b")))),
        ("a b", Q(IsNull(F("a"), True)) | Q(b=1)),
        ("a", GreaterThan(F("a"), 1)),
        ("a", ExpressionWrapper(Q(a=1), output_field=BooleanField())),
        (
            "a b c",
            Q(
                GreaterThan(
                    Case(When(Q(a=1), then="b"), default="c"),
                    Value(1),
                )
            ),
        ),
        ("a", Q(a__lt=Now())),
        ("pk", Q(pk__gt=0)),
        ("", Q()),
        ("", Q(RawSQL("a > 0", ()))),
    ],
    ids=str,
)
def test_conditions(expected: str, condition: Any) -> None:
    check = CheckConstraint(condition=condition, name="c")
    assert constraint_fields(check) == set(expected.split())
    if isinstance(condition, Q):
        unique = UniqueConstraint(fields=["z"], condition=condition, name="u")
        assert constraint_fields(unique) == {*expected.split(), "z"}


def test_a_constraint_of_another_kind_tells_nothing() -> None:
    assert constraint_fields(BaseConstraint(name="other")) == set()


def test_what_it_was_asked_about_stays_as_it_was() -> None:
    condition = Q(a__gt=F("b")) & Q(GreaterThan(F("a"), 1))
    constraint = CheckConstraint(condition=condition, name="c")
    before = repr(constraint)
    constraint_fields(constraint)
    assert repr(constraint) == before
