"""Generated fields, and changes to the columns that they are made of."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, models
from django.db.migrations import AlterField, SeparateDatabaseAndState
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Coalesce, Length

from tests.audit_helpers import audited, breaking, step
from tests.cases.test_makemigrations_rolling import (
    AUTHOR,
    index,
    number,
    text,
    to,
    unique,
)
from tests.generation_helpers import (
    applied,
    drift,
    generated,
    refused,
    run,
    schema,
    state,
    table,
    undo,
)
from tests.rules_helpers import APP
from tests.test_window import check, post

BIG = models.BigIntegerField()


def computed(expression: Any, **options: Any) -> Any:
    return models.GeneratedField(
        expression=expression, output_field=BIG, db_persist=True, **options
    )


DOUBLE = computed(F("a") * 2)

# What PostgreSQL refuses


@pytest.fixture
def as_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "vendor", "postgresql")


TWICE = {"g": DOUBLE}


@pytest.mark.usefixtures("as_postgresql")
@pytest.mark.parametrize(
    ("before", "after", "way"),
    [
        (
            {"a": number(), **TWICE},
            {"a": BIG, **TWICE},
            "Keep it as it is:\n    a = models.IntegerField()\nOr remove "
            '"blog.Post.g" for now, alter "a" in a later release, and add what was '
            "removed again in the one after that.",
        ),
        ({"a": BIG, **TWICE}, {"a": number(), **TWICE}, "Keep it as it is:"),
        (
            {"a": number(), **TWICE},
            {"a": number(db_comment="Cents"), **TWICE},
            "Keep it as it is:",
        ),
        (
            {"a": text(), "g": computed(Length("a"))},
            {"a": text(db_collation="C"), "g": computed(Length("a"))},
            "Keep it as it is:",
        ),
        (
            {"a": number(), **TWICE},
            {"a": BIG},
            "Keep it as it is for now, and alter it in a later release, when "
            '"blog.Post.g" is gone:\n    a = models.IntegerField()',
        ),
        (
            {"a": BIG},
            {"a": number(), **TWICE},
            'Leave out "blog.Post.g" for now, and add it in a later release.',
        ),
    ],
)
def test_a_type_that_postgresql_does_not_change(
    before: Any, after: Any, way: str
) -> None:
    first, _, ways = refused([post(**before)], [post(**after)]).partition("\n")
    assert first == (
        'Altering the field "a" of "blog.Post" like that is refused by PostgreSQL: it '
        'would be told the type of a column from which "blog.Post.g" is generated.'
    )
    assert ways.startswith(way)


@pytest.mark.usefixtures("as_postgresql")
def test_what_refers_to_a_key_gets_its_type() -> None:
    def models_with(key: Any) -> list[Any]:
        comment = table("Comment", post=to("post"), g=computed(F("post_id") * 2))
        return [table("Post", id=key), comment]

    small = models_with(models.AutoField(primary_key=True))
    message = refused(small, models_with(models.BigAutoField(primary_key=True)))
    assert '"blog.Comment.g" is generated' in message
    assert "    id = models.AutoField(primary_key=True)\n" in message


@pytest.mark.usefixtures("as_postgresql")
@pytest.mark.parametrize(
    "changed",
    [
        {"a": number(null=True)},
        {"a": number(unique=True)},
        {"a": number(db_default=3)},
        {"a": models.PositiveIntegerField()},
        {"a": number(help_text="Cents")},
        {"a": number(), "other": text(60)},
    ],
)
def test_what_postgresql_does_change(changed: Any) -> None:
    assert not refused(
        [post(a=number(), other=text(), **TWICE)],
        [post(**{"other": text(), **changed}, **TWICE)],
    )


@pytest.mark.usefixtures("as_postgresql")
def test_what_comes_or_goes_beside_a_type_that_changes() -> None:
    check([post(a=number())], [post(a=BIG, **TWICE)], ["pre relax_post_a_post_g"])
    check(
        [post(a=BIG, **TWICE)],
        [post(a=number())],
        ["post remove_post_g_tighten_post_a"],
    )


def test_another_database_changes_the_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "vendor", "sqlite")
    assert not refused([post(a=number(), **TWICE)], [post(a=BIG, **TWICE)])


def test_the_audit_knows() -> None:
    before = [post(a=number(), **TWICE)]
    change = step(AlterField("post", "a", BIG))
    [finding] = [
        each
        for each in audited(before, change, vendor="postgresql")
        if each.is_breaking
    ]
    assert finding.code == "SZ006"
    assert 'fails: "blog.post.g" is generated from it' in finding.title
    assert not breaking(audited(before, change, vendor="mysql"))
    comment = step(AlterField("post", "a", number(null=True)))
    assert not breaking(audited(before, comment, vendor="postgresql"))


# What is renamed

PINNED = number(db_column="a")
EXPRESSIONS = [
    (F("a") * 2, F("b") * 2),
    (Coalesce("a", Value(1)), Coalesce("b", Value(1))),
    (
        Case(When(Q(a__gt=1, ab=2) | Q(ab__lt=F("a")), then="a"), default=Value(0)),
        Case(When(Q(b__gt=1, ab=2) | Q(ab__lt=F("b")), then="b"), default=Value(0)),
    ),
    (
        Case(When(a__gt=1, then=Value(2)), default=F("ab")),
        Case(When(b__gt=1, then=Value(2)), default=F("ab")),
    ),
]


@pytest.mark.parametrize(("old", "new"), EXPRESSIONS)
def test_a_field_that_another_is_made_of_is_renamed(old: Any, new: Any) -> None:
    before = [post(a=number(), ab=number(), g=computed(old))]
    after = [post(b=PINNED, ab=number(), g=computed(new))]
    [migration] = generated(state(before), state(after))
    _, _, following = migration.operations
    assert isinstance(following, SeparateDatabaseAndState)
    assert not following.database_operations
    result = applied(state(before), [migration])
    assert not drift(result, state(after))


@pytest.mark.parametrize(
    ("kind", "item"),
    [
        ("constraints", lambda name: check_of(f"{name}__gt", 0)),
        ("constraints", lambda name: check_of("ab__lt", F(name))),
        ("constraints", lambda name: unique("ab", condition=Q(**{f"{name}__gt": 0}))),
        ("constraints", lambda name: unique(f"{name}")),
        ("indexes", lambda name: models.Index(Length(name), name="of_length")),
        ("indexes", lambda name: models.Index(F(name).desc(), "ab", name="desc")),
        ("indexes", lambda name: index(f"-{name}", name="descending")),
        ("indexes", lambda name: index("ab", condition=Q(**{name: 1}), name="part")),
    ],
)
def test_what_names_a_renamed_field_stays(kind: str, item: Any) -> None:
    """No release is without it, not even for a moment."""
    before = [post({kind: [item("a")]}, a=number(), ab=number())]
    after = [post({kind: [renamed(item("b"))]}, b=PINNED, ab=number())]
    [migration] = generated(state(before), state(after))
    *_, following = migration.operations
    assert isinstance(following, SeparateDatabaseAndState)
    assert not following.database_operations
    assert not drift(applied(state(before), [migration]), state(after))


def check_of(lookup: str, value: Any) -> Any:
    return models.CheckConstraint(condition=Q(**{lookup: value}), name="checked")


def renamed(item: Any) -> Any:
    item.name = item.name.replace("_b", "_a")
    return item


def test_a_foreign_key_that_another_is_made_of_is_renamed() -> None:
    writer = to("author", db_column="author_id")
    check(
        [AUTHOR, post(author=to("author"), g=computed(F("author_id") * 2))],
        [AUTHOR, post(writer=writer, g=computed(F("writer_id") * 2))],
        ["pre alter_2_fields_rename_author_post_writer"],
    )


def test_what_changes_beside_a_name() -> None:
    before = [post(a=number(), c=number(), **TWICE)]
    message = refused(before, [post(b=PINNED, c=number(), g=computed(F("c") * 2))])
    assert 'Altering the field "g" of "blog.Post" like that is unsafe' in message
    message = refused(before, [post(b=PINNED, c=number(), g=computed(F("b") * 3))])
    assert 'Altering the field "g" of "blog.Post" like that is unsafe' in message
    assert "\nKeep it as it is, but for the new names of the fields that" in message
    assert "F('a')" not in message
    # A text isn't a name.
    old = computed(Coalesce("a", Value("a")))
    new = computed(Coalesce("b", Value("b")))
    assert refused([post(a=number(), g=old)], [post(b=PINNED, g=new)])


@pytest.mark.django_db(transaction=True)
def test_renamed_in_a_database() -> None:
    before = [post({"indexes": [index("g")]}, a=number(), c=text(), **TWICE)]
    comment = computed(F("b") * 2, help_text="Cents")
    after = [post({"indexes": [index("g")]}, b=PINNED, c=text(60), g=comment)]
    old = state([])
    started = generated(old, state(before))
    first = run(old, started)
    try:
        kept = schema(before)
        migrations = generated(first, state(after))
        run(first, migrations)
        undo(first, migrations)
        assert schema(before) == kept
    finally:
        undo(old, started)
    assert f"{APP}_post" not in connection.introspection.table_names()
