"""Which rules no row can violate, as far as that can be known."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, models
from django.db.models import (
    BooleanField,
    CharField,
    CheckConstraint,
    DateField,
    DecimalField,
    F,
    GeneratedField,
    IntegerField,
    JSONField,
    PositiveIntegerField,
    Q,
    UniqueConstraint,
    Value,
)
from django.db.models.functions import (
    Cast,
    Collate,
    Length,
    Lower,
    Mod,
    Now,
    NullIf,
    Trim,
)
from django.db.models.lookups import Exact, GreaterThan

from syzygy.rehearsal.implied import is_enforced, is_impossible
from syzygy.rehearsal.row_rules import rule_for, rules_of
from tests.rows_helpers import constrained, model, state_of

FIELDS: dict[str, Any] = {
    "a": IntegerField(),
    "b": IntegerField(),
    "n": IntegerField(null=True),
    "p": PositiveIntegerField(),
    "s": CharField(max_length=9),
    "t": CharField(max_length=9, null=True),
    "k": CharField(max_length=9, choices=[("x", "X"), ("y", "Y")]),
    "i": IntegerField(choices=[("1", "I"), ("2", "II")]),
    "c": CharField(max_length=9, db_collation="folding"),
    "f": BooleanField(null=True),
    "d": DecimalField(max_digits=5, decimal_places=2),
    "e": DecimalField(max_digits=5, decimal_places=0),
    "j": JSONField(),
    "day": DateField(),
}
# What the other release alone has.
MORE: dict[str, Any] = {
    "null": IntegerField(null=True, default=7),
    "five": IntegerField(db_default=5),
    "now": DateField(db_default=Now()),
    "draft": CharField(max_length=9, db_default="draft"),
    "lower": GeneratedField(
        expression=Lower("s"), output_field=CharField(max_length=9), db_persist=True
    ),
    "text": CharField(max_length=9, null=True),
}
# Of more rows than can be looked at.
MANY = Q(a__in=range(9)) | Q(
    b__in=range(9), n__in=range(9), p__in=range(9), d__in=range(9)
)
ODD = Q(Exact(Mod(F("a") * 7 + 11, 9973), 17))


def unique(*names: Any, **options: Any) -> UniqueConstraint:
    if not all(isinstance(name, str) for name in names):
        return UniqueConstraint(*names, name="unique", **options)
    return UniqueConstraint(fields=names, name="unique", **options)


def made(parts: list[Any], **more: Any) -> Any:
    constraints = [
        CheckConstraint(condition=each, name=f"check_{number}")
        if isinstance(each, Q)
        else each
        for number, each in enumerate(parts)
    ]
    fields = {name: field.clone() for name, field in {**FIELDS, **more}.items()}
    state = model("Book", (models.Model,), constrained(*constraints), **fields)
    return state_of(state).apps.get_model("shop", "Book")


def impossible(own: list[Any], goal: Any) -> bool:
    """Whether rows that obey conditions or constraints never violate another one."""
    mine, other = made(own), made([goal], **MORE)
    (constraint,) = other._meta.constraints
    rule = rule_for(constraint, other, mine)
    if not all(is_enforced(r.constraint, connection) for r in [*rules_of(mine), rule]):
        pytest.skip("The database has no such constraints.")
    return is_impossible(rule, rules_of(mine), connection)


IMPOSSIBLE: dict[str, tuple[list[Any], Any]] = {
    "the same": ([ODD], ODD),
    "the same, of many fields": ([Q(b__gt=0), MANY], MANY),
    "a part": ([ODD & Q(a__gt=1)], Q(a__gt=1) & ODD),
    "one of several": ([ODD], ODD | Q(a=1)),
    "one after the other": ([Q(a__gt=F("b")), Q(b__gte=5)], Q(a__gt=5)),
    "looser": ([Q(a__gt=0)], Q(a__gt=-1)),
    "next to it": ([Q(a__gt=0)], Q(a__gte=1)),
    "next to it, decimal": ([Q(d__gt=0)], Q(d__gte="0.01")),
    "dates": ([Q(day__range=("2001-01-01", "2001-01-03"))], Q(day__gt="2000-12-31")),
    "among": ([Q(a__in=[1, 2])], Q(a__range=(1, 2))),
    "texts": ([Q(s__in=["x", "y"])], ~Q(s="z")),
    "in its type": ([], Q(p__gte=0)),
    "in its choices": ([], Q(k__in=["x", "y"])),
    "true or false": ([], Q(f=True) | Q(f=False) | Q(f__isnull=True)),
    "unknown is enough": ([Q(n__isnull=True)], Q(n__gt=5)),
    "NULL in a new field": ([], Q(null__gt=F("a"))),
    "NULL in what is computed of it": ([], Q(a__gt=F("null") + 1)),
    "a default of the database": ([Q(a__lt=5)], Q(a__lt=F("five"))),
    "unique already": ([unique("a")], unique("a", "b")),
    "unique already, with a condition": (
        [unique("a", condition=Q(f=True))],
        unique("a", "b", condition=Q(f=True) & Q(b__gt=1)),
    ),
    "not, of NULL": (
        [unique("a", condition=~Q(n=5))],
        unique("a", condition=Q(n__isnull=True)),
    ),
    "unique already, in any case": ([unique(Lower("s"))], unique("s")),
    "unique already, whatever else": ([unique("a")], unique("a", condition=MANY)),
    "unique already, of many fields": (
        [unique("a", condition=MANY)],
        unique("a", "b", condition=MANY),
    ),
    "unique under another name": ([unique(Lower("s"), "a")], unique("a", Lower("s"))),
    "nothing to compare": ([Q(a__lt=3)], unique("b", condition=Q(a__gt=5))),
    "unique with NULL": ([], unique("a", "null")),
    "unique, with NULL or without": ([unique("a")], unique("a", nulls_distinct=False)),
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_is_certain(name: str) -> None:
    own, goal = IMPOSSIBLE[name]
    assert impossible(own, goal)


NOT_SO: dict[str, tuple[list[Any], Any]] = {
    "nothing is known": ([], ODD),
    "tighter": ([Q(a__gt=0)], Q(a__gt=1)),
    "tighter, decimal": ([Q(d__gte=0)], Q(d__gt=0)),
    "another field": ([Q(a__gt=0)], Q(b__gt=0)),
    "either": ([Q(a__gt=0) | Q(b__gt=0)], Q(a__gt=0)),
    "but for": ([Q(a__lt=1000) | ODD], Q(a__lt=1000)),
    "only with NULL": ([Q(n__gt=0)], Q(n__isnull=False)),
    "out of its type": ([Q(p__isnull=False)], Q(p=-2)),
    "any text": ([Q(s__in=["x", "y"])], Q(s="x")),
    "texts that may be the same": ([Q(c__in=["x", "X"])], ~Q(c="z")),
    "choices that aren't what is read": ([], ~Q(i=1)),
    "places after the point": ([Q(d__gte="10.5"), Q(e__gt=F("d"))], Q(e__lt=0)),
    "among what is NULL": ([Q(n__isnull=True)], ~Q(n__in=[1, None])),
    "equal to Python alone": ([Q(j__x=1)], Q(j__x=True)),
    "another lookup": ([Q(s__startswith="x")], Q(s__startswith="xy")),
    "computed": ([Q(GreaterThan(Length("s"), 3))], Q(GreaterThan(Length("s"), 4))),
    "a default that nobody knows": ([], Q(day__gt=F("now"))),
    "too much": (
        [Q(a__gt=F("b")), Q(b__gt=F("n")), Q(n__gt=F("p"))],
        Q(a__gt=F("p"), b__gt=F("p")) & ~Q(n__gt=1) & ~Q(a__in=range(9)),
    ),
    "unique with more": ([unique("a", "b")], unique("a")),
    "unique for some": ([unique("a", condition=Q(f=True))], unique("a")),
    "unique in any case": ([unique("s")], unique(Lower("s"))),
    "unique but for what is NULL": (
        [unique(NullIf("s", Value("x")))],
        unique("s"),
    ),
    "unique even of what is NULL": (
        [unique(NullIf("s", Value("x")))],
        unique(NullIf("s", Value("x")), nulls_distinct=False),
    ),
    "unique in another precision": (
        [unique(Cast("d", DecimalField(max_digits=5, decimal_places=2)))],
        unique(Cast("d", DecimalField(max_digits=5, decimal_places=1))),
    ),
    "unique in another collation": ([unique(Collate("s", "exact"))], unique("s")),
    "unique without a collation": ([unique(Trim("c"))], unique("c")),
    "unique, computed": ([], unique("lower")),
    "unique if not the same as NULL": (
        [Q(t__isnull=True)],
        unique("a", condition=~Q(s=F("t"))),
    ),
    "unique if not the same as a new field": (
        [],
        unique("a", condition=~Q(s=F("text"))),
    ),
    "unique even of NULL": ([unique("n")], unique("n", nulls_distinct=False)),
    "unique with a default": ([], unique("a", "five")),
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", NOT_SO)
def test_what_is_not(name: str) -> None:
    own, goal = NOT_SO[name]
    assert not impossible(own, goal)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("own", "goal"),
    [
        ([], ~Q(k="X")),
        ([Q(s="e")], ~Q(s="é")),
        ([], ~Q(draft="DRAFT") | Q(a=1)),
    ],
    ids=["choices", "accents", "default"],
)
def test_texts_that_a_collation_takes_for_the_same(
    own: list[Any], goal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "vendor", "mysql")
    assert not impossible(own, goal)


@pytest.mark.django_db
def test_what_the_database_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    condition = Q(f=True)
    own = made([unique("a", condition=condition)])
    other = made([unique("a", "b", condition=condition)], **MORE)
    (constraint,) = other._meta.constraints
    rule = rule_for(constraint, other, own)
    monkeypatch.setattr(connection.features, "supports_partial_indexes", True)
    assert is_impossible(rule, rules_of(own), connection)
    monkeypatch.setattr(connection.features, "supports_partial_indexes", False)
    assert not is_impossible(rule, rules_of(own), connection)
