"""Rows that a release could write, and such as another release forbids."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
from django.db import IntegrityError, connection, models, transaction
from django.db.migrations.state import ModelState
from django.db.models import (
    CASCADE,
    BooleanField,
    CharField,
    CheckConstraint,
    DateField,
    DateTimeField,
    DecimalField,
    Deferrable,
    F,
    ForeignKey,
    GeneratedField,
    IntegerField,
    JSONField,
    OneToOneField,
    Q,
    SmallIntegerField,
    TextField,
    UniqueConstraint,
    UUIDField,
    Value,
)
from django.db.models.functions import Length, Lower, Now, Random
from django.db.models.lookups import Exact, GreaterThan
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st

from syzygy.rehearsal import values
from syzygy.rehearsal.rows import Rows, Unprobable, Variant
from syzygy.rehearsal.values import register_values
from tests.rows_helpers import (
    World,
    check_round_trip,
    constrained,
    model,
    numbers,
    state_of,
    tables,
    try_all,
)
from tests.services import UNDER_TEST

pytestmark = pytest.mark.django_db(transaction=True)

ON_POSTGRESQL = UNDER_TEST == "postgresql"
DEFERS = UNDER_TEST != "mariadb"

PLAIN = (models.Model,)
AUTHOR = model("Author", name=CharField(max_length=20, unique=True))


def to(name: str, **options: Any) -> Any:
    return ForeignKey(f"shop.{name}", CASCADE, **options)


def one_to_one(name: str, **options: Any) -> Any:
    return OneToOneField(f"shop.{name}", CASCADE, **options)


def checked(*conditions: Any) -> dict[str, Any]:
    return constrained(
        *(
            CheckConstraint(condition=condition, name=f"check_{number}")
            for number, condition in enumerate(conditions)
        )
    )


def unique(*fields: str, **options: Any) -> UniqueConstraint:
    return UniqueConstraint(fields=fields, name=f"unique_{'_'.join(fields)}", **options)


WORLDS: dict[str, list[ModelState]] = {
    "parents": [
        AUTHOR,
        model("Book", author=to("Author"), extra=to("Author", null=True)),
    ],
    "inheritance": [
        AUTHOR,
        model("Place", name=CharField(max_length=9, unique=True), by=to("Author")),
        model("Shop", ("shop.Place",), rooms=IntegerField(unique=True)),
        model("Chain", ("shop.Shop",), owner=to("Author", null=True)),
        model("Visit", shop=to("Shop"), chain=one_to_one("Chain")),
    ],
    "a parent link of its own name": [
        AUTHOR,
        model(
            "Writer",
            ("shop.Author",),
            person=one_to_one("Author", parent_link=True, primary_key=True),
        ),
    ],
    "parents with natural keys": [
        model("Place", code=CharField(max_length=9, primary_key=True)),
        model("Shop", ("shop.Place",), rooms=IntegerField()),
        model("Visit", shop=to("Shop")),
    ],
    "self reference": [model("Node", up=to("Node", null=True))],
    "self reference that is due": [model("Node", up=to("Node"))],
    "self reference one to one": [model("Node", up=one_to_one("Node"))],
    "self reference one to one, nullable": [
        model("Node", up=one_to_one("Node", null=True))
    ],
    "circle with a way out": [
        model("Team", boss=to("Person")),
        model("Person", team=to("Team", null=True)),
    ],
    "one to one": [
        AUTHOR,
        model("Profile", author=one_to_one("Author"), motto=TextField()),
        model("Page", profile=one_to_one("Profile", primary_key=True)),
        model("Note", page=to("Page", unique=True)),
    ],
    "nullable one to one": [
        AUTHOR,
        model("Card", author=one_to_one("Author", null=True)),
    ],
    "unique together": [
        AUTHOR,
        model(
            "Book",
            PLAIN,
            {"unique_together": {("author", "number"), ("number", "title")}},
            author=to("Author"),
            number=IntegerField(default=1),
            title=CharField(max_length=20, blank=True),
        ),
    ],
    "through": [
        AUTHOR,
        model("Tag", label=CharField(max_length=5)),
        model(
            "Tagging",
            PLAIN,
            {"unique_together": {("author", "tag")}},
            author=to("Author"),
            tag=to("Tag"),
            weight=IntegerField(default=0),
        ),
    ],
    "many to many": [
        AUTHOR,
        model("Tag", authors=models.ManyToManyField("shop.Author")),
    ],
    "unique constraints": [
        model(
            "Book",
            PLAIN,
            constrained(
                unique("a", "b"),
                unique("c", condition=Q(d=True)),
                UniqueConstraint(Lower("e"), "d", name="lower"),
                unique("f", nulls_distinct=False),
            ),
            a=IntegerField(default=1),
            b=IntegerField(null=True),
            c=IntegerField(default=1),
            d=BooleanField(default=True),
            e=CharField(max_length=20, default="A"),
            f=IntegerField(null=True),
        )
    ],
    "a single row may be the first": [
        model(
            "Book",
            PLAIN,
            constrained(unique("first", condition=Q(first=True))),
            first=BooleanField(),
        )
    ],
    "unique defaults": [
        model(
            "Book",
            key=UUIDField(default=uuid.uuid4, unique=True),
            number=IntegerField(default=1, unique=True),
            label=CharField(max_length=10, blank=True, unique=True),
            state=IntegerField(db_default=3, unique=True),
            small=SmallIntegerField(unique=True, null=True),
            code=CharField(max_length=1, unique=True),
        )
    ],
    "database defaults": [
        model(
            "Book",
            number=IntegerField(db_default=3),
            at=DateTimeField(db_default=Now()),
            luck=models.FloatField(db_default=Random()),
        )
    ],
    "deferrable": [
        model(
            "Book",
            PLAIN,
            constrained(unique("number", deferrable=Deferrable.DEFERRED)),
            number=IntegerField(default=1),
        )
    ],
    "generated": [
        model(
            "Book",
            a=IntegerField(),
            b=IntegerField(null=True),
            sum=GeneratedField(
                expression=F("a") + F("b"),
                output_field=IntegerField(),
                db_persist=True,
            ),
            name=CharField(max_length=20),
            lower=GeneratedField(
                expression=Lower("name"),
                output_field=CharField(max_length=20),
                db_persist=True,
                unique=UNDER_TEST != "sqlite",
            ),
        )
    ],
    "composite key": [
        AUTHOR,
        model(
            "Book",
            pk=models.CompositePrimaryKey("author", "number"),
            author=to("Author"),
            number=IntegerField(default=1),
            title=CharField(max_length=10),
        ),
    ],
    "natural keys": [
        model("Country", code=CharField(max_length=2, primary_key=True)),
        model("Thing", key=UUIDField(primary_key=True, default=uuid.uuid4)),
        model("Year", number=IntegerField(primary_key=True)),
        model("City", country=to("Country"), thing=to("Thing"), year=to("Year")),
    ],
    "to a field": [
        model(
            "Country",
            code=CharField(max_length=3, unique=True),
            short=CharField(max_length=9, unique=True, null=True),
        ),
        model(
            "City",
            country=to("Country", to_field="code"),
            other=to("Country", to_field="short", related_name="+"),
        ),
    ],
    "order with respect to": [
        AUTHOR,
        model("Book", PLAIN, {"order_with_respect_to": "author"}, author=to("Author")),
    ],
    "choices": [
        model(
            "Book",
            kind=CharField(max_length=9, choices=[("a", "A"), ("longest", "B")]),
            stars=IntegerField(choices=[(n, str(n)) for n in range(5)]),
            yes=BooleanField(unique=True, null=True),
        )
    ],
    "dated": [
        model(
            "Book",
            made=DateTimeField(auto_now_add=True),
            changed=DateTimeField(auto_now=True),
            day=DateField(auto_now=True),
            time=models.TimeField(auto_now_add=True),
        )
    ],
    "images": [
        model(
            "Photo",
            image=models.ImageField(width_field="width", height_field="height"),
            width=IntegerField(null=True),
            height=IntegerField(default=0),
        )
    ],
    "orphans": [
        AUTHOR,
        model("Country", code=CharField(max_length=20, primary_key=True)),
        model(
            "Book",
            author=to("Author", db_constraint=False),
            editor=to("Author", db_constraint=False, null=True, related_name="+"),
            country=to("Country", db_constraint=False),
        ),
    ],
    "a default parent": [
        AUTHOR,
        model(
            "Book",
            author=to("Author", default=1),
            other=to("Author", default=-5, related_name="+"),
        ),
    ],
    "blank": [
        model(
            "Book",
            text=TextField(blank=True),
            binary=models.BinaryField(blank=True),
            json=JSONField(blank=True),
            file=models.FileField(blank=True),
            number=IntegerField(blank=True),
        )
    ],
    "nothing": [model("Empty")],
}
if DEFERS:
    WORLDS["circle"] = [
        model("Team", boss=to("Person")),
        model("Person", team=to("Team")),
    ]
    WORLDS["circle one to one"] = [
        model("Head", body=one_to_one("Body")),
        model("Body", tail=one_to_one("Tail")),
        model("Tail", head=one_to_one("Head")),
    ]
if ON_POSTGRESQL:
    from django.contrib.postgres import fields as postgres
    from django.contrib.postgres.constraints import ExclusionConstraint
    from django.contrib.postgres.search import SearchVectorField

    WORLDS["exclusion"] = [
        model(
            "Stay",
            PLAIN,
            constrained(
                ExclusionConstraint(
                    name="no_overlap",
                    expressions=[("during", "&&")],
                    condition=Q(cancelled=False),
                )
            ),
            during=postgres.DateTimeRangeField(),
            cancelled=BooleanField(default=False),
        )
    ]
    WORLDS["postgres"] = [
        model(
            "Thing",
            tags=postgres.ArrayField(CharField(max_length=9), unique=True),
            sizes=postgres.ArrayField(IntegerField(), blank=True),
            during=postgres.DateRangeField(null=True),
            vector=SearchVectorField(null=True),
        )
    ]
    WORLDS["postgres"][0].options["constraints"] = [
        CheckConstraint(condition=Q(tags__len__gte=2), name="two_tags")
    ]


@pytest.mark.filterwarnings("ignore:.*Got a database error")
@pytest.mark.parametrize("name", WORLDS)
def test_the_database_takes_rows_and_their_twins(name: str) -> None:
    with tables(*WORLDS[name]) as world:
        try_all(world)


CHECKS: dict[str, tuple[Any, dict[str, Any]]] = {
    "positive": (Q(a__gt=0), {"a": IntegerField(default=0)}),
    "range": (Q(a__gte=10, a__lte=12), {"a": IntegerField()}),
    "out of range": (Q(a__lt=-5) | Q(a__gt=10**6), {"a": IntegerField()}),
    "among numbers": (Q(a__in=[4711, 4712]), {"a": IntegerField()}),
    "among texts": (Q(a__in=["x", "y"]), {"a": CharField(max_length=5)}),
    "not empty": (~Q(a=""), {"a": CharField(max_length=5, blank=True)}),
    "before": (Q(a__lt=F("b")), {"a": DateField(), "b": DateField()}),
    "three in order": (
        Q(a__lt=F("b")) & Q(b__lt=F("c")),
        {"a": IntegerField(), "b": IntegerField(), "c": IntegerField()},
    ),
    "within": (
        Q(a__range=(F("b"), F("c"))) & Q(b__lt=F("c")),
        {"a": DecimalField(max_digits=5, decimal_places=2)}
        | {name: DecimalField(max_digits=5, decimal_places=2) for name in "bc"},
    ),
    "either": (
        Q(a__isnull=False, b__isnull=True) | Q(a__isnull=True, b__isnull=False),
        {"a": IntegerField(null=True), "b": IntegerField(null=True)},
    ),
    "when so, then": (
        Q(a="done", b__isnull=False) | ~Q(a="done"),
        {"a": CharField(max_length=9, default="done"), "b": DateTimeField(null=True)},
    ),
    "sum": (
        Q(GreaterThan(F("a") + F("b"), Value(10_000))),
        {"a": IntegerField(), "b": IntegerField()},
    ),
    "year": (Q(a__year__gte=2030), {"a": DateField()}),
    "prefix": (Q(a__startswith="ISBN-"), {"a": CharField(max_length=20)}),
    "length": (Q(GreaterThan(Length("a"), 12)), {"a": CharField(max_length=20)}),
    "duration": (
        Q(a__gte=dt.timedelta(days=900)),
        {"a": models.DurationField()},
    ),
    "after a date": (Q(a__gt=dt.date(2040, 1, 1)), {"a": DateField()}),
    "digits": (Q(a__regex="^[0-9]{4}$"), {"a": CharField(max_length=9)}),
    "cents": (
        Q(a__gte=0, a__lt=1),
        {"a": DecimalField(max_digits=4, decimal_places=2)},
    ),
    "unknown": (Q(a__gt=5), {"a": IntegerField(null=True)}),
}


if UNDER_TEST != "mariadb":
    # There Django itself is wrong about XOR of what is not NULL.
    CHECKS["one of four"] = (
        Q(a__isnull=False) ^ Q(b__isnull=False) ^ Q(c=True) ^ Q(d=True),
        {
            "a": IntegerField(null=True),
            "b": IntegerField(null=True),
            "c": BooleanField(),
            "d": BooleanField(),
        },
    )


def checked_model(name: str, *, with_check: bool = True) -> ModelState:
    condition, fields = CHECKS[name]
    options = checked(condition) if with_check else {}
    copies = {name: field.clone() for name, field in fields.items()}
    return model("Book", PLAIN, options, extra=IntegerField(unique=True), **copies)


@pytest.mark.parametrize("name", CHECKS)
def test_rows_satisfy_checks(name: str) -> None:
    with tables(checked_model(name)) as world:
        try_all(world, count=1)


@pytest.mark.parametrize("name", CHECKS)
def test_rows_that_another_releases_check_forbids(name: str) -> None:
    new = state_of(checked_model(name))
    other = new.apps.get_model("shop", "Book")
    [constraint] = other._meta.constraints
    with tables(checked_model(name, with_check=False)) as world:
        rows = world.rows.violating(world["Book"], constraint, other)
        assert rows is not None
        [row] = rows
        world.saved(row)
        row.delete()
        with connection.schema_editor() as editor:
            editor.add_constraint(other, constraint)
        with pytest.raises(IntegrityError), transaction.atomic():
            world.rows.save(world.rows.violating(world["Book"], constraint, other)[0])  # type: ignore[index]


UNIQUES: dict[str, tuple[Any, dict[str, Any]]] = {
    "a field": (("a",), {"a": IntegerField()}),
    "a nullable field": (("a",), {"a": IntegerField(null=True)}),
    "a default": (("a",), {"a": UUIDField(default=uuid.uuid4)}),
    "together": (
        ("a", "b"),
        {"a": IntegerField(null=True), "b": CharField(max_length=9, blank=True)},
    ),
    "a constraint": (unique("a", "b"), {"a": IntegerField(), "b": IntegerField()}),
    "a reference": (unique("a"), {"a": to("Author", null=True)}),
}
if UNDER_TEST != "mariadb":
    UNIQUES["under a condition"] = (
        unique("a", condition=Q(b="live")),
        {"a": IntegerField(), "b": CharField(max_length=9, default="draft")},
    )
if UNDER_TEST != "mariadb":
    UNIQUES["an expression"] = (
        UniqueConstraint(Lower("a"), name="lower"),
        {"a": CharField(max_length=20)},
    )
if ON_POSTGRESQL:
    UNIQUES["even NULL"] = (
        unique("a", nulls_distinct=False),
        {"a": IntegerField(null=True)},
    )
if ON_POSTGRESQL:
    UNIQUES["an exclusion"] = (
        ExclusionConstraint(name="apart", expressions=[("a", "&&")]),
        {"a": postgres.IntegerRangeField(null=True)},
    )


@pytest.mark.parametrize("name", UNIQUES)
def test_rows_that_may_not_be_there_together(name: str) -> None:
    constraint, fields = UNIQUES[name]

    def made(**options: Any) -> list[ModelState]:
        copies = {name: field.clone() for name, field in fields.items()}
        book = model("Book", PLAIN, options, key=IntegerField(unique=True), **copies)
        return [AUTHOR.clone(), book]

    if isinstance(constraint, tuple):
        after = made(unique_together={constraint})
    else:
        after = made(constraints=[constraint])
    other = state_of(*after).apps.get_model("shop", "Book")
    with tables(*made()) as world:
        rows = world.rows.violating(world["Book"], constraint, other)
        assert rows is not None
        for row in rows:
            world.saved(row)
        assert len(rows) == 2
        world["Book"]._base_manager.all().delete()
        with connection.schema_editor() as editor:
            if isinstance(constraint, tuple):
                editor.alter_unique_together(other, [], [constraint])
            else:
                editor.add_constraint(other, constraint)
        first, second = world.rows.violating(world["Book"], constraint, other) or []
        world.saved(first)
        with pytest.raises(IntegrityError), transaction.atomic():
            world.rows.save(second)


def book(options: dict[str, Any] | None = None, /, **fields: Any) -> ModelState:
    return model("Book", PLAIN, options, **fields)


def violating(world: World, constraint: Any, other: ModelState) -> Any:
    made = state_of(other).apps.get_model("shop", "Book")
    if not isinstance(constraint, tuple):
        [constraint] = made._meta.constraints
    return world.rows.violating(world["Book"], constraint, made)


def add_c(world: World, other: ModelState) -> ModelState:
    """Have the table have what the other release alone declares."""
    field = state_of(other).apps.get_model("shop", "Book")._meta.get_field("c")
    with connection.schema_editor() as editor:
        editor.add_field(world["Book"], field)
    return other


def test_no_rows_violate_what_the_model_can_not() -> None:
    options = constrained(unique("a"), *checked(Q(a__gt=0))["constraints"])
    with tables(book(options, a=IntegerField(), b=BooleanField())) as world:
        # It is unique already.
        other = book(constrained(unique("a", "b")), a=IntegerField(), b=BooleanField())
        assert violating(world, None, other) is None
        # It is greater already.
        other = book(checked(Q(a__gt=-1)), a=IntegerField())
        assert violating(world, None, other) is None
        # It can't write that field.
        other = book(checked(Q(c__gt=-1)), c=IntegerField())
        assert violating(world, None, other) is None
        other = book(c=IntegerField(unique=True))
        assert violating(world, ("c",), other) is None
        assert violating(world, ("a",), other) is None


def test_no_rows_have_the_same_key() -> None:
    """Not even one that the database makes."""
    with tables(book(up=to("Book"))) as world:
        c = IntegerField(db_default=1)
        other = book(constrained(unique("c", "id")), up=to("Book"), c=c)
        assert violating(world, None, add_c(world, other)) is None
        other = book(constrained(unique("up", "id")), up=to("Book"))
        assert violating(world, None, other) is None


def test_rows_that_refer_to_the_same_have_keys_of_their_own() -> None:
    """Though the first of them has to refer to itself."""
    with tables(book(up=to("Book"))) as world:
        first, second = violating(world, ("up",), book(up=to("Book", unique=True)))
        assert world.saved(first).up_id == first.pk
        assert world.saved(second).up_id == first.pk


def test_no_rows_violate_what_other_rules_of_the_model_forbid() -> None:
    """Though there is another rule that fields could be changed for."""
    goal = unique("a", "b")
    other = state_of(book(a=IntegerField(), b=IntegerField())).apps
    fields = {"a": IntegerField(unique=True), "b": IntegerField(), "c": IntegerField()}
    with tables(book(constrained(unique("a", "c")), **fields)) as world:
        classes = (world["Book"], other.get_model("shop", "Book"))
        # The database isn't asked what follows from the rules alone.
        with CaptureQueriesContext(connection) as asked:
            assert world.rows.violating(classes[0], goal, classes[1]) is None
        assert not asked.captured_queries


REMAINDER = Exact(models.functions.Mod(F("a") * 7 + 11, 9973), 17)


@pytest.mark.parametrize(
    ("own", "goal"), [(Q(), ~Q(REMAINDER)), (Q(a__lt=999) | REMAINDER, Q(a__lt=999))]
)
def test_what_nobody_knows_how_to_violate(
    own: Q, goal: Q, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Be it the constraint, or one of the model, that asks for too much."""
    options = checked(own) if own else {}
    with tables(book(options, a=IntegerField())) as world:
        other = book(checked(goal), a=IntegerField())
        with pytest.raises(Unprobable, match=r'shop.Book.a".* is not tried') as info:
            violating(world, None, other)
        assert '@register_values("shop.Book.a")' in info.value.reason
        # That helps, too.
        monkeypatch.setattr(values, "_by_label", {})
        register_values("shop.Book.a")(lambda field, number: number * 9973 + 4275)
        [row] = violating(world, None, other)
        world.saved(row)


def unique_lower(*names: str, **options: Any) -> dict[str, Any]:
    return constrained(UniqueConstraint(*map(Lower, names), name="lower", **options))


# What is unique already, and what is to be unique in another way.
UNIQUE_OTHERWISE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
# Which leaves out all that is of this kind.
if UNDER_TEST != "mariadb":
    wider = UniqueConstraint(fields=["a"], condition=Q(b__in=["x", "y"]), name="wider")
    UNIQUE_OTHERWISE["a part is"] = (
        constrained(unique("a", condition=Q(b="x"))),
        constrained(wider),
    )
    # But for some of which nobody has one by default.
    UNIQUE_OTHERWISE["but for some"] = (
        constrained(unique("a", condition=~Q(a=7) | ~Q(b="gone"))),
        constrained(UniqueConstraint(fields=["a"], name="all")),
    )
    UNIQUE_OTHERWISE["in any case"] = (constrained(unique("b")), unique_lower("b"))
if ON_POSTGRESQL:
    UNIQUE_OTHERWISE["even NULL"] = (
        constrained(unique("a", "n")),
        constrained(
            UniqueConstraint(fields=["a", "n"], nulls_distinct=False, name="nulls")
        ),
    )
    UNIQUE_OTHERWISE["ranges that overlap"] = (
        constrained(unique("r")),
        constrained(ExclusionConstraint(name="no_overlap", expressions=[("r", "&&")])),
    )


@pytest.mark.parametrize("name", UNIQUE_OTHERWISE)
def test_rows_that_differ_for_what_is_unique_already(name: str) -> None:
    before, after = UNIQUE_OTHERWISE[name]
    fields: dict[str, Any] = {
        "a": IntegerField(),
        "b": CharField(max_length=9, default="x"),
        "n": IntegerField(null=True, default=1),
    }
    if ON_POSTGRESQL:
        fields["r"] = postgres.IntegerRangeField()

    def made(options: dict[str, Any]) -> ModelState:
        return book(options, **{name: each.clone() for name, each in fields.items()})

    other = state_of(made(after)).apps.get_model("shop", "Book")
    [constraint] = other._meta.constraints
    with tables(made(before)) as world:
        for row in violating(world, None, made(after)):
            world.saved(row)
        world["Book"]._base_manager.all().delete()
        with connection.schema_editor() as editor:
            editor.add_constraint(other, constraint)
        first, second = violating(world, None, made(after))
        world.saved(first)
        with pytest.raises(IntegrityError), transaction.atomic():
            world.rows.save(second)


@pytest.mark.skipif(UNDER_TEST != "sqlite", reason="Others have other collations.")
def test_what_the_model_compares_in_any_case_itself() -> None:
    title = CharField(max_length=9, unique=True, db_collation="nocase")
    with tables(book(b=title)) as world:
        other = book(unique_lower("b"), b=title.clone())
        # Not "a" beside "A", which the model doesn't allow, either.
        with pytest.raises(Unprobable):
            violating(world, None, other)


def test_a_new_field_that_the_model_leaves_empty() -> None:
    options = checked(Q(c__isnull=False) | ~Q(a="x"))
    fields: dict[str, Any] = {"a": CharField(max_length=9)}
    with tables(book(**fields)) as world:
        other = book(options, a=fields["a"].clone(), c=IntegerField(null=True))
        # Without the column there can't be a constraint.
        assert violating(world, None, other) is None
        [row] = violating(world, None, add_c(world, other))
        assert row.a == "x"


@pytest.mark.skipif(not ON_POSTGRESQL, reason="Others have no ranges.")
def test_an_exclusion_by_an_operator_that_nobody_knows() -> None:
    apart = ExclusionConstraint(name="apart", expressions=[("a", "-|-")])
    with tables(book(a=postgres.IntegerRangeField())) as world:
        other = book(constrained(apart), a=postgres.IntegerRangeField())
        with pytest.raises(Unprobable, match=r'compares rows by "-\|-"'):
            violating(world, None, other)


def test_a_field_that_the_database_fills_in_for_the_model() -> None:
    with tables(book(a=IntegerField())) as world:
        options = {"unique_together": {("a", "c")}}
        other = book(options, a=IntegerField(), c=IntegerField(db_default=500))
        first, second = violating(world, ("a", "c"), add_c(world, other))
        assert first.a == second.a
        for field in (IntegerField(db_default=500), IntegerField()):
            other = book(checked(Q(a__gt=F("c"))), a=IntegerField(), c=field)
            [row] = violating(world, None, other)
            assert row.a <= 500


def test_other_constraints_of_the_other_release_are_obeyed() -> None:
    options = constrained(
        CheckConstraint(condition=Q(a__lt=10), name="small"),
        CheckConstraint(condition=Q(b="x"), name="x"),
    )
    fields: dict[str, Any] = {"a": IntegerField(), "b": CharField(max_length=9)}
    other = state_of(book(options, **fields)).apps.get_model("shop", "Book")
    small, x = other._meta.constraints
    with tables(book(**fields)) as world:
        row: Any
        [row] = world.rows.violating(world["Book"], small, other) or []
        assert (row.a >= 10, row.b) == (True, "x")
        [row] = world.rows.violating(world["Book"], x, other) or []
        assert (row.a < 10, row.b == "x") == (True, False)


# Values of the variants


def test_what_the_variants_leave_and_fill() -> None:
    fields: dict[str, Any] = {
        "default": IntegerField(default=7),
        "null": IntegerField(null=True),
        "blank": CharField(max_length=12, blank=True),
        "due": CharField(max_length=12),
        "both": IntegerField(null=True, default=8),
    }
    with tables(book(**fields)) as world:
        rows = {v: world.insert("Book", v) for v in world.rows.variants(world["Book"])}
        left: Any = rows[Variant.DEFAULTS]
        assert (left.default, left.null, left.blank, left.both) == (7, None, "", 8)
        assert left.due
        wide: Any = rows[Variant.WIDEST]
        _, high = connection.ops.integer_field_range("IntegerField")
        assert wide.default in range(high - 10_000, high + 1)
        assert len(wide.due) == len(wide.blank) == 12
        empty: Any = rows[Variant.EMPTY]
        assert (empty.null, empty.blank, empty.both) == (None, "", None)
        assert empty.default != 7
        assert Variant.ORPHAN not in rows


def test_orphans_refer_to_nothing() -> None:
    with tables(*WORLDS["orphans"]) as world:
        row: Any = world.insert("Book", Variant.ORPHAN)
        authors = world["Author"]._base_manager
        assert row.author_id is not None
        assert not authors.filter(pk__in=[row.author_id, row.editor_id]).exists()
        assert not world["Country"]._base_manager.filter(pk=row.country_id).exists()
        row = world.insert("Book", Variant.DEFAULTS)
        assert authors.filter(pk=row.author_id).exists()
        assert row.editor_id is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [Variant.DEFAULTS]),
        ({"a": IntegerField()}, [Variant.DEFAULTS, Variant.WIDEST]),
        ({"a": DateField(auto_now=True)}, [Variant.DEFAULTS]),
        # The defaults are NULL.
        ({"a": IntegerField(null=True)}, [Variant.DEFAULTS, Variant.WIDEST]),
        (
            {"a": IntegerField(null=True, default=7)},
            [Variant.DEFAULTS, Variant.WIDEST, Variant.EMPTY],
        ),
        (
            {"a": to("Book", db_constraint=False)},
            [Variant.DEFAULTS, Variant.WIDEST, Variant.ORPHAN],
        ),
    ],
)
def test_the_variants_that_a_model_has(
    fields: dict[str, Any], expected: list[Variant]
) -> None:
    state = state_of(book(**{name: each.clone() for name, each in fields.items()}))
    rows = Rows(state.apps, connection, numbers)
    assert rows.variants(state.apps.get_model("shop", "Book")) == tuple(expected)


def test_twins_differ_in_what_is_unique_alone() -> None:
    fields: dict[str, Any] = {
        "a": IntegerField(unique=True),
        "b": IntegerField(),
        "c": CharField(max_length=9, null=True, unique=True),
        "d": JSONField(),
    }
    with tables(book(**fields)) as world:
        row: Any = world.insert("Book", Variant.WIDEST)
        twin: Any = world.saved(world.rows.twin(row))
        assert (row.a != twin.a, row.c != twin.c, row.pk != twin.pk) == (True,) * 3
        assert (row.b, row.d) == (twin.b, twin.d)
        unsaved: Any = world.rows.make(world["Book"], Variant.DEFAULTS)
        assert unsaved.c is None
        assert world.rows.twin(unsaved).c is None  # type: ignore[attr-defined]


def test_twins_of_few_values_differ_before_they_are_saved() -> None:
    fields: dict[str, Any] = {
        "a": IntegerField(unique=True, choices=[(1, "1"), (2, "2")])
    }
    with tables(book(**fields)) as world:
        row: Any = world.rows.make(world["Book"], Variant.DEFAULTS)
        twin: Any = world.rows.twin(row)
        assert {row.a, twin.a} == {1, 2}


def test_parents_are_used_again_unless_they_must_not() -> None:
    with tables(*WORLDS["one to one"], model("Book", author=to("Author"))) as world:
        for _ in range(3):
            world.insert("Book")
        assert world.count("Author") == 1
        for _ in range(3):
            world.insert("Profile")
        assert world.count("Author") == 4


def test_parents_that_were_rolled_back_are_made_again() -> None:
    with tables(AUTHOR, model("Book", author=to("Author"))) as world:
        for _ in range(3):
            with transaction.atomic():
                world.insert("Book")
                transaction.set_rollback(True)
        assert world.count("Author") == 0
        world.insert("Book")
        connection.check_constraints()


def test_no_save_of_the_model_is_called() -> None:
    class Loud:
        def save(self, *args: Any, **kwargs: Any) -> None:
            raise AssertionError

    state = model("Book", (Loud, models.Model), a=IntegerField())
    state.fields["id"] = models.BigAutoField(primary_key=True)
    with tables(state) as world:
        world.insert("Book")
        assert world.count("Book") == 1


def test_saving_never_changes_a_row_that_is_there() -> None:
    with tables(*WORLDS["parents with natural keys"]) as world:
        place = world.insert("Place")
        shop = world.rows.make(world["Shop"], Variant.DEFAULTS)
        shop.code = place.code  # type: ignore[attr-defined]
        with pytest.raises(IntegrityError), transaction.atomic():
            world.rows.save(shop)


# Two releases


@pytest.mark.parametrize("variant", [Variant.DEFAULTS, Variant.WIDEST, Variant.EMPTY])
def test_rows_that_suit_both_releases(variant: Variant) -> None:
    old = book(
        narrowed=CharField(max_length=50, blank=True),
        due=IntegerField(null=True),
        now_unique=IntegerField(default=1),
        checked=IntegerField(default=0),
        number=IntegerField(),
        renamed=IntegerField(null=True, db_column="col"),
        gone=CharField(max_length=9),
    )
    new = book(
        constrained(unique("now_unique"), *checked(Q(checked__gt=10))["constraints"]),
        narrowed=CharField(max_length=6),
        due=IntegerField(),
        now_unique=IntegerField(default=1),
        checked=IntegerField(default=0),
        number=CharField(max_length=9),
        other_name=IntegerField(db_column="col"),
    )
    other = state_of(new).apps.get_model("shop", "Book")
    with tables(old) as world:
        made = set()
        for _ in range(3):
            row: Any = world.insert("Book", variant, also=other)
            assert 0 < len(row.narrowed) <= 6
            assert row.due is not None
            assert row.renamed is not None
            assert row.checked > 10
            assert str(row.number).isdigit()
            made.add(row.now_unique)
        assert len(made) == 3


def test_no_row_suits_both_releases() -> None:
    other = state_of(book(a=UUIDField())).apps.get_model("shop", "Book")
    with tables(book(a=DateField())) as world:
        with pytest.raises(
            Unprobable, match="no value is known that suits both"
        ) as info:
            world.rows.make(world["Book"], Variant.DEFAULTS, also=other)
        assert info.value.label == "shop.Book.a"


def test_parents_suit_both_releases() -> None:
    narrow = model("Author", name=CharField(max_length=3))
    other = state_of(narrow, book(author=to("Author"))).apps
    wide = model("Author", name=CharField(max_length=20))
    with tables(wide, book(author=to("Author"))) as world:
        row: Any = world.insert("Book", also=other.get_model("shop", "Book"))
        assert len(row.author.name) <= 3


def test_what_rows_refer_to_suits_both_releases() -> None:
    """Though the other release knows nothing of what refers to it."""
    lax = model("Author", name=CharField(max_length=9, null=True))
    strict = state_of(model("Author", name=CharField(max_length=9))).apps
    with tables(lax, book(author=to("Author"))) as world:
        assert world.insert("Book").author.name is None
        world["Author"]._base_manager.all().delete()
        assert world.insert("Book", beside=strict).author.name is not None


def test_a_reference_that_the_other_release_constrains() -> None:
    loose = model("Node", up=to("Node", null=True, db_constraint=False))
    other = state_of(model("Node", up=to("Node"))).apps
    with tables(loose) as world:
        row = world.insert("Node", also=other.get_model("shop", "Node"))
        assert row.up_id == row.pk


def test_keys_that_are_given_are_not_those_that_come_next() -> None:
    """MySQL goes on from the greatest, even if that was rolled back."""
    with tables(*WORLDS["self reference one to one"]) as world:
        rows: list[Any] = [
            world.rows.make(world["Node"], Variant.DEFAULTS) for _ in "abc"
        ]
        keys = [row.up_id for row in rows]
        assert keys == sorted(keys, reverse=True)
        assert len({*keys}) == 3


# What can't be done


def test_a_unique_field_whose_values_are_used_up() -> None:
    with tables(book(yes=BooleanField(unique=True))) as world:
        world.insert("Book")
        world.insert("Book")
        with pytest.raises(Unprobable) as info:
            world.rows.make(world["Book"], Variant.DEFAULTS)
        assert info.value.label == "shop.Book"
        assert '@register_values("shop.Book.yes")' in info.value.reason
        assert '"unique yes"' in info.value.reason


def test_a_check_that_no_known_value_satisfies() -> None:
    options = checked(Q(a__regex="^x.z[0-9]{3}qq$"))
    with tables(book(options, a=CharField(max_length=20))) as world:
        with pytest.raises(Unprobable) as info:
            world.rows.make(world["Book"], Variant.DEFAULTS)
        assert '"check_0"' in info.value.reason
        assert '@register_values("shop.Book.a")' in info.value.reason


@pytest.mark.skipif(DEFERS, reason="The database puts off the check of references")
def test_a_circle_on_a_database_that_checks_at_once() -> None:
    with tables(
        model("Team", boss=to("Person")), model("Person", team=to("Team"))
    ) as world:
        with transaction.atomic(), pytest.raises(Unprobable) as info:
            world.rows.make(world["Team"], Variant.DEFAULTS)
        assert info.value.label == "shop.Person.team"
        assert '"shop.Team"' in info.value.reason


def test_a_parent_that_has_no_table() -> None:
    unmanaged = model("Author", PLAIN, {"managed": False}, name=TextField())
    with tables(unmanaged, book(author=to("Author", db_constraint=False))) as world:
        with pytest.raises(Unprobable) as info, transaction.atomic():
            world.rows.make(world["Book"], Variant.DEFAULTS)
        assert info.value.label == "shop.Book.author"
        assert '"shop.Author"' in info.value.reason
        # That one needs none.
        world.insert("Book", Variant.ORPHAN)


class NotHere:
    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return hints.get("model_name") != "author"


def test_a_parent_that_a_router_keeps_away() -> None:
    with tables(AUTHOR, book(author=to("Author"))) as world:
        routed = override_settings(DATABASE_ROUTERS=[NotHere()])
        with routed, pytest.raises(Unprobable, match="router"):
            world.rows.make(world["Book"], Variant.DEFAULTS)


def test_a_column_that_is_not_there_is_for_the_insert_to_tell() -> None:
    fields: dict[str, Any] = {"a": IntegerField(unique=True), "b": IntegerField()}
    with tables(book(b=IntegerField())) as world:
        release = state_of(book(**fields)).apps
        rows = Rows(release, connection, numbers)
        with transaction.atomic():
            row = rows.make(release.get_model("shop", "Book"), Variant.DEFAULTS)
            with pytest.raises(Exception, match="a"), transaction.atomic():
                rows.save(row)
            world.insert("Book")
        check_round_trip(world.insert("Book"))


# Any model

# Making tables takes its time elsewhere.
EXAMPLES = 40 if UNDER_TEST == "sqlite" else 10
NUMBERS = st.integers(-5, 5)


@st.composite
def any_fields(draw: st.DrawFn) -> dict[str, Any]:
    """Some fields of the names "a" to "e"."""
    names = "abcde"[: draw(st.integers(1, 5))]
    return {name: draw(any_field()) for name in names}


@st.composite
def any_field(draw: st.DrawFn) -> Any:
    options: dict[str, Any] = {name: draw(st.booleans()) for name in ("null", "blank")}
    options["unique"] = draw(st.sampled_from([False, False, True]))
    match draw(st.sampled_from(["integer", "char", "date", "decimal", "key"])):
        case "integer":
            if draw(st.booleans()):
                options["default"] = draw(NUMBERS)
            elif draw(st.booleans()):
                options["db_default"] = draw(NUMBERS)
            kind = draw(st.sampled_from([IntegerField, SmallIntegerField]))
            return kind(**options)
        case "char":
            length = draw(st.sampled_from([3, 20]))
            return CharField(max_length=length, **options)
        case "date":
            return DateField(**options)
        case "decimal":
            return DecimalField(max_digits=7, decimal_places=2, **options)
    return to("Author", related_name="+", **options)


def any_check(draw: st.DrawFn, fields: dict[str, Any]) -> Any:
    name = draw(st.sampled_from(sorted(fields)))
    field = fields[name]
    same = [other for other in sorted(fields) if type(fields[other]) is type(field)]
    options: list[Any] = [Q(**{f"{name}__isnull": False})]
    if len(same) > 1 and not isinstance(field, ForeignKey):
        one, other = draw(st.permutations(same))[:2]
        options.append(Q(**{f"{one}__gt": F(other)}))
    if isinstance(field, IntegerField):
        options.append(Q(**{f"{name}__gt": draw(NUMBERS)}))
        options.append(Q(**{f"{name}__lte": draw(NUMBERS)}))
    if isinstance(field, CharField):
        options += [~Q(**{name: ""}), Q(**{f"{name}__startswith": "x"})]
    if isinstance(field, DateField):
        options.append(Q(**{f"{name}__year__gte": 2010}))
    return draw(st.sampled_from(options))


@st.composite
def any_model(draw: st.DrawFn) -> ModelState:
    fields = draw(any_fields())
    constraints: list[Any] = [
        CheckConstraint(condition=any_check(draw, fields), name=f"check_{number}")
        for number in range(draw(st.integers(0, 2)))
    ]
    if draw(st.booleans()):
        chosen = draw(st.sets(st.sampled_from(sorted(fields)), min_size=1, max_size=2))
        constraints.append(unique(*sorted(chosen)))
    return book(constrained(*constraints), **fields)


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(any_model())
def test_any_rows_are_taken(state: ModelState) -> None:
    note(str(state.fields))
    note(str(state.options))
    reasons = []
    with tables(AUTHOR, state) as world:
        for variant in world.rows.variants(world["Book"]):
            try:
                row = world.rows.make(world["Book"], variant)
                world.saved(row)
                world.saved(world.rows.twin(row))
            except Unprobable as error:
                reasons.append(error.reason)
    event(f"{len(reasons)} unprobable")
    # Checks may contradict each other, or leave too few values.
    assert [reason for reason in reasons if "check_" not in reason] == []
