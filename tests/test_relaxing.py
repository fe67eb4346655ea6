"""A relaxed field is had back, whatever was written meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, models
from django.db.migrations import AddConstraint, CreateModel
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from syzygy.operations import RelaxField
from syzygy.progress import telling

LABEL = "relaxed"
KEY: Any = models.BigAutoField(primary_key=True)


def to_author(**options: Any) -> Any:
    return models.ForeignKey(
        f"{LABEL}.author", **{"on_delete": models.CASCADE, **options}
    )


def to_authors(**options: Any) -> Any:
    return models.ManyToManyField(f"{LABEL}.author", related_name="+", **options)


class Tables:
    """Tables that operations change, and what is told meanwhile."""

    def __init__(self, **fields: Any) -> None:
        self.states = [ProjectState()]
        self.told: list[str] = []
        self.done: list[Operation] = []
        self.apply(CreateModel("Author", [("id", KEY)]))
        self.apply(CreateModel("Post", [("id", KEY), *fields.items()]))

    def apply(self, operation: Operation) -> None:
        before, after = self.states[-1], self.states[-1].clone()
        operation.state_forwards(LABEL, after)
        with connection.schema_editor() as editor:
            operation.database_forwards(LABEL, editor, before, after)
        self.states.append(after)
        self.done.append(operation)

    def relax(self, name: str, field: Any) -> None:
        self.apply(RelaxField("post", name, field))

    def undo(self) -> None:
        after = self.states.pop()
        operation = self.done.pop()
        with connection.schema_editor() as editor, telling(self.told.append):
            operation.database_backwards(LABEL, editor, after, self.states[-1])

    def rows(self, name: str) -> Any:
        return self.states[-1].apps.get_model(LABEL, name)._base_manager

    def drop(self) -> None:
        with connection.constraint_checks_disabled(), connection.cursor() as cursor:
            for table in connection.introspection.table_names(cursor):
                if table.startswith(LABEL):
                    quoted = connection.ops.quote_name(table)
                    cascade = " CASCADE" if connection.vendor == "postgresql" else ""
                    cursor.execute(f"DROP TABLE {quoted}{cascade}")


@pytest.fixture
def made(transactional_db: None) -> Any:
    made: list[Tables] = []

    def make(**fields: Any) -> Tables:
        made.append(Tables(**fields))
        return made[-1]

    yield make
    for tables in made:
        tables.drop()


def is_null(table: str, column: str) -> bool:
    with connection.cursor() as cursor:
        described = connection.introspection.get_table_description(cursor, table)
    return next(bool(each.null_ok) for each in described if each.name == column)


def test_it_is_had_back(made: Any) -> None:
    tables = made(title=models.CharField(max_length=9))
    tables.relax("title", models.CharField(max_length=9, null=True))
    assert is_null("relaxed_post", "title")
    tables.undo()
    assert not is_null("relaxed_post", "title")
    assert tables.told == []


def test_null_stays(made: Any) -> None:
    """SQLite makes the table anew for each field."""
    tables = made(
        a=models.CharField(max_length=9),
        b=models.CharField(max_length=9),
        c=models.CharField(max_length=9, default="c"),
    )
    for name in "abc":
        tables.relax(name, models.CharField(max_length=9, null=True))
    tables.rows("post").create()
    for _ in "abc":
        tables.undo()
    assert [is_null("relaxed_post", name) for name in "abc"] == [True, True, False]
    assert tables.rows("post").values_list("a", "b", "c").get() == (None, None, "c")
    assert [line.split('"')[1] for line in tables.told] == [
        "relaxed.Post.b",
        "relaxed.Post.a",
    ]
    # It can be done again.
    tables.relax("a", models.CharField(max_length=9, null=True))
    tables.undo()
    assert is_null("relaxed_post", "a")


def test_no_default_is_put_where_rows_have_to_differ(made: Any) -> None:
    tables = made(
        a=models.CharField(max_length=9, default="a", unique=True),
        b=models.IntegerField(default=0),
    )
    positive = models.CheckConstraint(condition=models.Q(b__gt=0), name="positive")
    tables.apply(AddConstraint("post", positive))
    for name, field in (
        ("a", models.CharField(max_length=9, null=True, unique=True)),
        ("b", models.IntegerField(null=True)),
    ):
        tables.relax(name, field)
    for _ in range(2):
        tables.rows("post").create()
    tables.undo()
    tables.undo()
    assert is_null("relaxed_post", "a")
    assert is_null("relaxed_post", "b")


@pytest.mark.parametrize("null", [True, False])
def test_references_to_what_is_gone(made: Any, null: bool) -> None:
    tables = made(author=to_author())
    authors = [tables.rows("author").create().pk for _ in "ab"]
    tables.relax("author", to_author(null=null, db_constraint=False))
    for author in authors:
        tables.rows("post").create(author_id=author)
    tables.rows("author").filter(pk=authors[0])._raw_delete("default")
    tables.undo()
    left = list(tables.rows("post").order_by("pk").values_list("author", flat=True))
    assert left == ([None, authors[1]] if null else [authors[1]])
    assert is_null("relaxed_post", "author_id") is null


def test_a_default_is_put_if_it_refers_to_something(made: Any) -> None:
    strict, relaxed = (
        to_author(default=2),
        to_author(default=2, null=True, db_constraint=False),
    )
    tables = made(author=strict)
    for number in (1, 2):
        tables.rows("author").create(pk=number)
        tables.relax("author", relaxed)
        tables.rows("post").create(author=None)
        tables.undo()
        is_there = number == 2
        assert is_null("relaxed_post", "author_id") is not is_there
    keys = tables.rows("post").values_list("author", flat=True)
    assert list(keys) == [2, 2]


def test_joins_with_what_is_gone(made: Any) -> None:
    tables = made(authors=to_authors())
    authors = [tables.rows("author").create().pk for _ in "ab"]
    tables.relax("authors", to_authors(db_constraint=False))
    post = tables.rows("post").create()
    post.authors.set(authors)
    tables.rows("author").filter(pk=authors[0])._raw_delete("default")
    tables.undo()
    post = tables.rows("post").get()
    assert list(
        post.authors.through._base_manager.values_list("author", flat=True)
    ) == [authors[1]]


def test_sql_is_collected_without_a_query(made: Any) -> None:
    tables = made(title=models.CharField(max_length=9))
    tables.relax("title", models.CharField(max_length=9, null=True))
    tables.rows("post").create()
    with connection.schema_editor(collect_sql=True) as editor:
        tables.done[-1].database_backwards(
            LABEL, editor, tables.states[-1], tables.states[-2]
        )
    assert any("NOT NULL" in line for line in editor.collected_sql)
    assert is_null("relaxed_post", "title")
