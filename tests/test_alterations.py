"""What an AlterField does: every transition, and several at once."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.core.serializers.json import DjangoJSONEncoder
from django.db.migrations import AlterField, RenameField, RenameModel
from django.db.migrations.operations.base import Operation
from django.db.models import (
    CASCADE,
    PROTECT,
    AutoField,
    BigAutoField,
    BigIntegerField,
    BinaryField,
    BooleanField,
    CharField,
    CompositePrimaryKey,
    DateField,
    DateTimeField,
    DecimalField,
    DurationField,
    EmailField,
    F,
    Field,
    FileField,
    FilePathField,
    FloatField,
    ForeignKey,
    GeneratedField,
    GenericIPAddressField,
    ImageField,
    IntegerField,
    JSONField,
    ManyToManyField,
    OneToOneField,
    PositiveBigIntegerField,
    PositiveIntegerField,
    PositiveSmallIntegerField,
    SlugField,
    SmallAutoField,
    SmallIntegerField,
    TextField,
    TimeField,
    URLField,
    UUIDField,
    Value,
    deletion,
)
from django.db.models.functions import Lower, Now, Random, Upper

from syzygy import rules
from syzygy.alterations import alteration_rules, insert_may_omit, is_per_row
from tests.rules_helpers import APP, AUTHOR, history, judged, model, post

# What the field "x" may refer to.
TARGETS = [
    AUTHOR,
    model("Tag", code=IntegerField(unique=True)),
    model("Writer", ("blog.author",), {"proxy": True}),
    model("Table", (), {"db_table": "blog_author", "managed": False}),
    post(),
    model(
        "Link", post=ForeignKey("Post", CASCADE), author=ForeignKey("Author", CASCADE)
    ),
    model(
        "Other", post=ForeignKey("Post", CASCADE), author=ForeignKey("Author", CASCADE)
    ),
]


def altered(old: Any, new: Any) -> set[str]:
    """The codes of the rules that hold when a field is altered."""
    before = model("Essay", x=old)
    return judged(AlterField("essay", "x", new), *TARGETS, before)


def char(length: int = 50, **arguments: Any) -> CharField[Any, Any]:
    return CharField(max_length=length, **arguments)


def digits(digits: int, places: int, **arguments: Any) -> DecimalField[Any, Any]:
    return DecimalField(max_digits=digits, decimal_places=places, **arguments)


def fk(to: str = "blog.Author", **arguments: Any) -> ForeignKey[Any, Any]:
    return ForeignKey(to, arguments.pop("on_delete", CASCADE), **arguments)


def one(to: str = "blog.Author", **arguments: Any) -> OneToOneField[Any, Any]:
    return OneToOneField(to, CASCADE, **arguments)


def m2m(to: str = "blog.Author", **arguments: Any) -> ManyToManyField[Any, Any]:
    return ManyToManyField(to, **arguments)


def generated(expression: Any = None, **arguments: Any) -> GeneratedField:
    return GeneratedField(
        expression=expression or F("id") + 1,
        output_field=arguments.pop("output_field", IntegerField()),
        db_persist=arguments.pop("db_persist", True),
        **arguments,
    )


def table(*rows: tuple[str, str, Any, Any]) -> pytest.MarkDecorator:
    """Parametrize with the `codes` for altering the field `old` to `new`."""
    return pytest.mark.parametrize(
        ("codes", "old", "new"),
        [
            pytest.param(set(codes.split()), old, new, id=name)
            for name, codes, old, new in rows
        ],
    )


def there_and_back(*rows: tuple[str, str, str, Any, Any]) -> pytest.MarkDecorator:
    """Two rows of each: the codes there, and those for the way back."""
    both = []
    for name, there, back, old, new in rows:
        both += [(name, there, old, new), (f"{name}, undone", back, new, old)]
    return table(*both)


# --- Without a concern to the database


@there_and_back(
    *(
        (name, "state-only", "state-only", old, new)
        for name, old, new in (
            ("nothing", char(), char()),
            ("default", IntegerField(default=1), IntegerField(default=2)),
            ("default added", IntegerField(), IntegerField(default=int)),
            ("choices", char(), char(choices=[("a", "A")])),
            ("validators", char(), char(validators=[str])),
            ("help text", char(), char(help_text="Any.")),
            ("verbose name", char(), CharField("text", max_length=50)),
            ("blank", char(), char(blank=True)),
            ("editable", char(), char(editable=False)),
            ("error messages", char(), char(error_messages={"blank": "No."})),
            ("unique for date", char(), char(unique_for_date="day")),
            ("auto_now", DateTimeField(), DateTimeField(auto_now=True)),
            ("related name", fk(), fk(related_name="essays")),
            ("related query name", fk(), fk(related_query_name="essay")),
            ("limit choices", fk(), fk(limit_choices_to={"id": 1})),
            ("on_delete", fk(), fk(on_delete=PROTECT)),
            ("case of the target", fk("blog.Author"), fk("blog.author")),
            ("target without an app", fk("blog.Author"), fk("Author")),
            ("column that it has", char(), char(db_column="x")),
            ("column of a relation that it has", fk(), fk(db_column="x_id")),
            ("m2m related name", m2m(), m2m(related_name="+")),
            ("m2m symmetrical", m2m("self"), m2m("self", symmetrical=False)),
            ("m2m blank", m2m(), m2m(blank=True)),
            ("generated, help text", generated(), generated(help_text="One more.")),
            ("email", char(254), EmailField()),
            ("url", char(200), URLField()),
            ("file", char(100), FileField()),
            ("path", char(100), FilePathField()),
            ("image", FileField(), ImageField()),
            ("text with a length", TextField(), TextField(max_length=10)),
            # No database limits what is in such a column.
            ("binary with a length", BinaryField(), BinaryField(max_length=10)),
            ("address", GenericIPAddressField(), GenericIPAddressField("ipv4")),
            ("json encoder", JSONField(), JSONField(encoder=DjangoJSONEncoder)),
            ("db_default that is equal", char(db_default="a"), char(db_default="a")),
            ("unique, index too", char(unique=True), char(unique=True, db_index=True)),
            (
                "one-to-one as a unique foreign key",
                one(),
                ForeignKey("blog.Author", CASCADE, unique=True),
            ),
            # The same table by another name.
            ("foreign key to a proxy", fk("blog.Author"), fk("blog.Writer")),
            ("foreign key to the table", fk("blog.Author"), fk("blog.Table")),
            # Django does nothing about a join table that is a model.
            ("join model", m2m(through="blog.Link"), m2m(through="blog.Other")),
            (
                "target of a join model",
                m2m(through="blog.Link"),
                m2m("blog.Tag", through="blog.Link"),
            ),
        )
    )
)
def test_what_changes_nothing(codes: set[str], old: Any, new: Any) -> None:
    assert altered(old, new) == codes


def test_a_comment_is_no_concern_of_queries() -> None:
    assert altered(char(), char(db_comment="Any.")) == {"alter-comment"}
    assert altered(char(db_comment="Any."), char(db_comment="All.")) == {
        "alter-comment"
    }
    assert altered(generated(), generated(db_comment="Any.")) == {"alter-comment"}


# --- NULL, DEFAULT, uniqueness, indexes


@there_and_back(
    ("null", "drop-not-null", "set-not-null", char(), char(null=True)),
    (
        "null with a default",
        "drop-not-null",
        "set-not-null",
        char(default="a"),
        char(default="a", null=True),
    ),
    ("null of a relation", "drop-not-null", "set-not-null", fk(), fk(null=True)),
    ("unique", "add-unique", "drop-unique", char(), char(unique=True)),
    (
        "unique in place of an index",
        "add-unique",
        "drop-unique",
        char(db_index=True),
        char(unique=True),
    ),
    (
        "unique and an index",
        "add-unique",
        "drop-unique",
        char(),
        char(unique=True, db_index=True),
    ),
    ("one-to-one", "add-unique", "drop-unique", fk(), one()),
    ("index", "add-db-index", "drop-db-index", char(), char(db_index=True)),
    (
        "index of a relation",
        "add-db-index",
        "drop-db-index",
        fk(db_index=False),
        fk(),
    ),
    ("slug", "add-db-index", "drop-db-index", char(50), SlugField()),
    ("db_default", "add-db-default", "drop-db-default", char(), char(db_default="")),
    (
        "db_default that is false",
        "add-db-default",
        "drop-db-default",
        BooleanField(),
        BooleanField(db_default=False),
    ),
    (
        "db_default of NULL",
        "change-db-default",
        "change-db-default",
        char(null=True),
        char(null=True, db_default=None),
    ),
    (
        "db_default instead of NULL",
        "add-db-default",
        "drop-db-default",
        char(null=True, db_default=Value(None)),
        char(null=True, db_default="x"),
    ),
    (
        "another db_default",
        "change-db-default",
        "change-db-default",
        char(db_default="a"),
        char(db_default="b"),
    ),
    (
        "db_default expression",
        "change-db-default",
        "change-db-default",
        DateTimeField(db_default=Now()),
        DateTimeField(db_default=Value("2000-01-01")),
    ),
    (
        "generated, unique",
        "add-unique",
        "drop-unique",
        generated(),
        generated(unique=True),
    ),
    (
        "generated, index",
        "add-db-index",
        "drop-db-index",
        generated(),
        generated(db_index=True),
    ),
    (
        "collation",
        "change-collation",
        "change-collation",
        char(db_collation="C"),
        char(db_collation="POSIX"),
    ),
    (
        "text collation",
        "change-collation",
        "change-collation",
        TextField(),
        TextField(db_collation="C"),
    ),
)
def test_attributes(codes: set[str], old: Any, new: Any) -> None:
    assert altered(old, new) == codes


# --- Columns


@there_and_back(
    ("renamed", "rename-column", "rename-column", char(), char(db_column="y")),
    ("relation renamed", "rename-column", "rename-column", fk(), fk(db_column="x")),
    (
        "generated, renamed",
        "rename-column",
        "rename-column",
        generated(),
        generated(db_column="y"),
    ),
)
def test_columns(codes: set[str], old: Any, new: Any) -> None:
    assert altered(old, new) == codes


# --- Types

SMALL, MIDDLE, BIG = SmallIntegerField, IntegerField, BigIntegerField
UNSIGNED = PositiveSmallIntegerField, PositiveIntegerField, PositiveBigIntegerField


@there_and_back(
    ("longer", "widen-type", "narrow-type", char(50), char(51)),
    ("unlimited", "widen-type", "narrow-type", char(50), CharField()),
    ("text", "widen-type", "narrow-type", char(50), TextField()),
    ("unlimited text", "state-only", "state-only", CharField(), TextField()),
    ("longer email", "widen-type", "narrow-type", char(253), EmailField()),
    (
        "longer file",
        "widen-type",
        "narrow-type",
        FileField(),
        FileField(max_length=101),
    ),
    (
        "longer slug",
        "widen-type",
        "narrow-type",
        SlugField(),
        SlugField(max_length=51),
    ),
    ("bigger", "widen-type", "narrow-type", IntegerField(), BigIntegerField()),
    (
        "bigger unsigned",
        "widen-type",
        "narrow-type",
        PositiveSmallIntegerField(),
        PositiveIntegerField(),
    ),
    ("signed", "widen-type", "narrow-type", PositiveIntegerField(), IntegerField()),
    (
        "bigger and signed",
        "widen-type",
        "narrow-type",
        PositiveIntegerField(),
        BigIntegerField(),
    ),
    (
        "bigger and unsigned",
        "widen-type narrow-type",
        "widen-type narrow-type",
        IntegerField(),
        PositiveBigIntegerField(),
    ),
    ("more digits", "widen-type", "narrow-type", digits(10, 2), digits(11, 2)),
    ("other places", "change-type", "change-type", digits(10, 2), digits(10, 3)),
    ("more of both", "change-type", "change-type", digits(10, 2), digits(12, 4)),
    ("number to text", "change-type", "change-type", IntegerField(), char()),
    ("number to truth", "change-type", "change-type", IntegerField(), BooleanField()),
    ("number to float", "change-type", "change-type", IntegerField(), FloatField()),
    ("number to decimal", "change-type", "change-type", IntegerField(), digits(9, 0)),
    ("float to decimal", "change-type", "change-type", FloatField(), digits(9, 2)),
    ("day to moment", "change-type", "change-type", DateField(), DateTimeField()),
    ("time to duration", "change-type", "change-type", TimeField(), DurationField()),
    ("text to uuid", "change-type", "change-type", char(32), UUIDField()),
    ("text to json", "change-type", "change-type", TextField(), JSONField()),
    ("text to binary", "change-type", "change-type", TextField(), BinaryField()),
    ("address", "change-type", "change-type", char(39), GenericIPAddressField()),
)
def test_types(codes: set[str], old: Any, new: Any) -> None:
    assert altered(old, new) == codes


@pytest.mark.parametrize(("narrow", "wide"), [(0, 1), (0, 2), (1, 2)])
def test_integers_of_all_sizes(narrow: int, wide: int) -> None:
    signed = SMALL, MIDDLE, BIG
    assert altered(signed[narrow](), signed[wide]()) == {"widen-type"}
    assert altered(signed[wide](), signed[narrow]()) == {"narrow-type"}
    assert altered(UNSIGNED[narrow](), UNSIGNED[wide]()) == {"widen-type"}
    assert altered(UNSIGNED[wide](), UNSIGNED[narrow]()) == {"narrow-type"}
    assert altered(UNSIGNED[narrow](), signed[wide]()) == {"widen-type"}
    assert altered(signed[wide](), UNSIGNED[narrow]()) == {"narrow-type"}
    both = {"widen-type", "narrow-type"}
    assert altered(signed[narrow](), UNSIGNED[wide]()) == both
    assert altered(UNSIGNED[wide](), signed[narrow]()) == both


@pytest.mark.parametrize("size", range(3))
def test_integers_with_a_sign_and_without(size: int) -> None:
    signed = SMALL, MIDDLE, BIG
    assert altered(UNSIGNED[size](), signed[size]()) == {"widen-type"}
    assert altered(signed[size](), UNSIGNED[size]()) == {"narrow-type"}


def test_a_decimal_without_digits_takes_any() -> None:
    free: Any = DecimalField()
    assert altered(free, DecimalField()) == {"state-only"}
    assert altered(free, digits(10, 2)) == {"change-type"}


# --- Primary keys


@there_and_back(
    (
        "bigger",
        "widen-primary-key",
        "narrow-primary-key",
        AutoField(primary_key=True),
        BigAutoField(primary_key=True),
    ),
    (
        "small",
        "widen-primary-key",
        "narrow-primary-key",
        SmallAutoField(primary_key=True),
        AutoField(primary_key=True),
    ),
    (
        "uuid",
        "change-primary-key",
        "change-primary-key",
        BigAutoField(primary_key=True),
        UUIDField(primary_key=True, default=uuid.uuid4),
    ),
    (
        "given out or not",
        "change-primary-key",
        "change-primary-key",
        IntegerField(primary_key=True),
        AutoField(primary_key=True),
    ),
    (
        "bigger, by hand",
        "widen-type",
        "narrow-type",
        PositiveIntegerField(primary_key=True),
        BigIntegerField(primary_key=True),
    ),
    (
        "becoming it",
        "change-primary-key",
        "change-primary-key",
        IntegerField(),
        IntegerField(primary_key=True),
    ),
    (
        "becoming it while unique",
        "change-primary-key",
        "change-primary-key",
        IntegerField(unique=True),
        IntegerField(primary_key=True),
    ),
    (
        "a relation becoming it",
        "change-primary-key",
        "change-primary-key",
        one(),
        one(primary_key=True),
    ),
    (
        "longer",
        "widen-type",
        "narrow-type",
        char(10, primary_key=True),
        char(20, primary_key=True),
    ),
    (
        "slug",
        "state-only",
        "state-only",
        char(50, primary_key=True),
        SlugField(max_length=50, primary_key=True),
    ),
    (
        "no length",
        "change-primary-key",
        "change-primary-key",
        char(50, primary_key=True),
        TextField(primary_key=True),
    ),
    (
        "default",
        "state-only",
        "state-only",
        UUIDField(primary_key=True),
        UUIDField(primary_key=True, default=uuid.uuid4),
    ),
    (
        "index too",
        "state-only",
        "state-only",
        IntegerField(primary_key=True),
        IntegerField(primary_key=True, db_index=True),
    ),
    (
        "verbose name",
        "state-only",
        "state-only",
        BigAutoField(primary_key=True),
        BigAutoField("ID", primary_key=True, serialize=False, auto_created=True),
    ),
)
def test_primary_keys(codes: set[str], old: Any, new: Any) -> None:
    assert altered(old, new) == codes


def test_a_composite_primary_key() -> None:
    before = model(
        "Essay",
        a=IntegerField(),
        b=IntegerField(),
        c=IntegerField(),
        pk=CompositePrimaryKey("a", "b"),
    )
    other = AlterField("essay", "pk", CompositePrimaryKey("a", "c"))
    assert judged(other, before) == {"change-type"}
    same = AlterField("essay", "pk", CompositePrimaryKey("a", "b", blank=True))
    assert judged(same, before) == {"state-only"}


# --- Relations


@there_and_back(
    ("another target", "change-target", "change-target", fk(), fk("blog.Tag")),
    (
        "another one-to-one target",
        "change-target",
        "change-target",
        one(),
        one("blog.Tag"),
    ),
    ("itself", "change-target", "change-target", fk(), fk("self")),
    ("another column", "change-target", "change-target", fk(), fk(to_field="slug")),
    (
        "constraint",
        "drop-db-constraint",
        "add-db-constraint",
        fk(),
        fk(db_constraint=False),
    ),
    (
        "constraint of a one-to-one",
        "drop-db-constraint",
        "add-db-constraint",
        one(),
        one(db_constraint=False),
    ),
    (
        "constraint and uniqueness",
        "drop-db-constraint drop-unique",
        "add-db-constraint add-unique",
        one(),
        fk(db_constraint=False),
    ),
    (
        "to a number",
        "rename-column change-type drop-db-index",
        "rename-column change-type add-db-index",
        fk(),
        BigIntegerField(),
    ),
    (
        "to a number in the same column",
        "change-type drop-db-index",
        "change-type add-db-index",
        fk(),
        BigIntegerField(db_column="x_id"),
    ),
    ("to many", "change-m2m", "change-m2m", fk(), m2m()),
    ("to many from a number", "change-m2m", "change-m2m", IntegerField(), m2m()),
    ("many, another target", "change-m2m", "change-m2m", m2m(), m2m("blog.Tag")),
    ("many, itself", "change-m2m", "change-m2m", m2m(), m2m("self")),
    (
        "many, another table",
        "change-m2m",
        "change-m2m",
        m2m(),
        m2m(db_table="essay_authors"),
    ),
    (
        "many, a join table that is a model",
        "change-m2m",
        "change-m2m",
        m2m(),
        m2m(through="blog.Link"),
    ),
    (
        "many, constraints",
        "drop-db-constraint",
        "add-db-constraint",
        m2m(),
        m2m(db_constraint=False),
    ),
)
def test_relations(codes: set[str], old: Any, new: Any) -> None:
    assert altered(old, new) == codes


def database_action(name: str) -> Any:
    if not hasattr(deletion, name):
        pytest.skip("Django 6.1 or newer has it")
    return getattr(deletion, name)


@pytest.mark.parametrize(
    ("old", "new", "codes"),
    [
        ("CASCADE", "DB_CASCADE", "add-on-delete"),
        ("DB_CASCADE", "CASCADE", "drop-on-delete"),
        ("PROTECT", "DB_SET_NULL", "add-on-delete"),
        ("DB_SET_NULL", "DO_NOTHING", "drop-on-delete"),
        ("DB_CASCADE", "DB_SET_NULL", "add-on-delete drop-on-delete"),
        ("DB_CASCADE", "DB_CASCADE", "state-only"),
    ],
)
def test_what_the_database_does_on_delete(old: str, new: str, codes: str) -> None:
    before = fk(null=True, on_delete=database_action(old))
    after = fk(null=True, on_delete=database_action(new))
    assert altered(before, after) == set(codes.split())


def test_a_target_is_the_same_after_it_was_renamed() -> None:
    before = [
        AUTHOR,
        model("Essay", x=fk(to_field="slug"), authors=m2m()),
        RenameModel("Author", "Writer"),
        RenameField("writer", "slug", "code"),
    ]
    same = AlterField("essay", "x", fk("Writer", to_field="code", related_name="+"))
    assert judged(same, *before) == {"state-only"}
    same = AlterField("essay", "authors", m2m("blog.Writer", blank=True))
    assert judged(same, *before) == {"state-only"}


def test_a_target_keeps_its_pinned_table_under_another_name() -> None:
    pinned = model("Author", (), {"db_table": "authors"})
    before = [pinned, model("Essay", x=fk()), RenameModel("Author", "Writer")]
    same = AlterField("essay", "x", fk("blog.Writer", related_name="+"))
    assert judged(same, *before) == {"state-only"}


# --- Generated fields


@there_and_back(
    *(
        (name, "change-generated", "change-generated", old, new)
        for name, old, new in (
            ("expression", generated(), generated(F("id") + 2)),
            ("function", generated(Lower("a")), generated(Upper("a"))),
            ("stored", generated(), generated(db_persist=False)),
            ("type", generated(), generated(output_field=TextField())),
            ("from a column", IntegerField(), generated()),
        )
    )
)
def test_generated_fields(codes: set[str], old: Any, new: Any) -> None:
    assert altered(old, new) == codes


# --- Fields that Django doesn't have


class Point(Field):  # type: ignore[type-arg]
    """A type of its own, which depends on one of its arguments."""

    non_db_attrs = (*Field.non_db_attrs, "widget")

    def __init__(
        self, *arguments: Any, srid: int = 0, widget: str = "", **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self.srid = srid
        self.widget = widget

    def db_type(self, connection: Any) -> str:
        return f"point({self.srid})"

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "srid": self.srid, "widget": self.widget}


class Line(Point):
    """Another type."""


class Colour(CharField):  # type: ignore[type-arg]
    """Text, as most fields of third parties are something that Django has."""

    def __init__(self, *arguments: Any, palette: str = "", **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.palette = palette

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "palette": self.palette}


class Choice(CharField):  # type: ignore[type-arg]
    """Text that the database has as something else."""

    def __init__(self, *arguments: Any, values: str = "", **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.values = values

    def db_type(self, connection: Any) -> str:
        return f"enum({self.values})"

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "values": self.values}


class Parameters(TextField):  # type: ignore[type-arg]
    """The same by another way."""

    def db_parameters(self, connection: Any) -> Any:
        return {"type": "varchar(7)", "check": None}


@there_and_back(
    ("same", "state-only", "state-only", Point(), Point()),
    ("argument", "change-type", "change-type", Point(), Point(srid=1)),
    ("class", "change-type", "change-type", Point(), Line()),
    ("what any field has", "state-only", "state-only", Point(), Point(blank=True)),
    ("default", "state-only", "state-only", Point(), Point(default=1)),
    (
        "what it says is no concern",
        "state-only",
        "state-only",
        Point(),
        Point(widget="map"),
    ),
    ("null", "drop-not-null", "set-not-null", Point(), Point(null=True)),
    ("index", "add-db-index", "drop-db-index", Point(), Point(db_index=True)),
    ("based on text", "state-only", "state-only", char(7), Colour(max_length=7)),
    (
        "based on text, argument",
        "state-only",
        "state-only",
        Colour(max_length=7),
        Colour(max_length=7, palette="web"),
    ),
    ("no text", "change-type", "change-type", char(7), Choice(max_length=7)),
    ("no text either", "change-type", "change-type", TextField(), Parameters()),
    (
        "no text, argument",
        "change-type",
        "change-type",
        Choice(max_length=7),
        Choice(max_length=7, values="a"),
    ),
    (
        "no text, help",
        "state-only",
        "state-only",
        Choice(max_length=7),
        Choice(max_length=7, help_text="a"),
    ),
    (
        "no text, longer",
        "widen-type",
        "narrow-type",
        Choice(max_length=7),
        Choice(max_length=9),
    ),
    (
        "based on text, longer",
        "widen-type",
        "narrow-type",
        char(7),
        Colour(max_length=9),
    ),
)
def test_fields_of_third_parties(codes: set[str], old: Any, new: Any) -> None:
    assert altered(old, new) == codes


# --- Several at once


@there_and_back(
    (
        "NULL and longer",
        "drop-not-null widen-type",
        "set-not-null narrow-type",
        char(50),
        char(60, null=True),
    ),
    (
        "NULL and shorter",
        "drop-not-null narrow-type",
        "set-not-null widen-type",
        char(50),
        char(40, null=True),
    ),
    (
        "NULL and unique",
        "drop-not-null add-unique",
        "set-not-null drop-unique",
        char(),
        char(null=True, unique=True),
    ),
    (
        "NULL in place of a db_default",
        "drop-not-null drop-db-default",
        "set-not-null add-db-default",
        char(db_default=""),
        char(null=True),
    ),
    (
        "everything",
        "rename-column widen-type drop-not-null add-unique add-db-default "
        "alter-comment change-collation",
        "rename-column narrow-type set-not-null drop-unique drop-db-default "
        "alter-comment change-collation",
        char(),
        TextField(
            db_column="y",
            null=True,
            unique=True,
            db_default="",
            db_comment="Any.",
            db_collation="C",
        ),
    ),
    (
        "relation",
        "change-target drop-not-null add-unique",
        "change-target set-not-null drop-unique",
        fk(),
        one("blog.Tag", null=True),
    ),
)
def test_several_at_once(codes: set[str], old: Any, new: Any) -> None:
    assert altered(old, new) == codes


# --- What isn't known


@pytest.mark.parametrize("before", [[], [model("Essay")]], ids=["model", "field"])
def test_what_the_field_was_is_not_known(before: list[Operation]) -> None:
    assert judged(AlterField("essay", "x", char()), *before) == {"alter-unknown"}
    state = history(*before)
    assert alteration_rules(state, (APP, "essay"), "x", char()) == [rules.ALTER_UNKNOWN]


def test_the_default_of_one_migration_is_none_in_the_next() -> None:
    before = [
        model("Essay", x=IntegerField(null=True)),
        AlterField("essay", "x", IntegerField(default=0), preserve_default=False),
    ]
    again = AlterField("essay", "x", IntegerField(null=True))
    assert judged(again, *before) == {"drop-not-null"}
    assert not history(*before).models[APP, "essay"].fields["x"].has_default()


# --- What the running release can do about a field that it doesn't know


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (char(), False),
        (char(default=""), False),
        (char(null=True), True),
        (char(null=True, unique=True), True),
        (char(db_default=""), True),
        (char(db_default="", null=True), True),
        (char(db_default="", unique=True), False),
        (char(db_default="", unique=True, null=True), False),
        (FloatField(db_default=Random(), unique=True), True),
        (FloatField(db_default=Value(1.0), unique=True), False),
        (generated(), True),
        (fk(), False),
        (fk(null=True), True),
        (one(null=True), True),
    ],
)
def test_whether_an_insert_may_leave_the_field_out(field: Any, expected: bool) -> None:
    assert insert_may_omit(field) is expected


@pytest.mark.parametrize(
    ("db_default", "expected"),
    [
        (1, False),
        ("", False),
        (None, False),
        (Value(1), False),
        (Now(), True),
        (Random(), True),
    ],
)
def test_whether_a_default_differs_from_row_to_row(
    db_default: object, expected: bool
) -> None:
    assert is_per_row(db_default) is expected
