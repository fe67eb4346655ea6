"""An order comes and goes while two releases share the table."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, models
from django.db.migrations import AlterOrderWithRespectTo
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.migrations.writer import MigrationWriter

from syzygy.operations import AlterOrder, DropOrderDefault, SetOrderDefault
from tests.command_helpers import Project, dump
from tests.rehearsal_helpers import Deployed, Told, auto, rehearsed
from tests.rules_helpers import APP, judged, migration, model

pytest_plugins = ["tests.command_fixtures"]

POST = model("Post", title=models.CharField(max_length=20))
CHAPTER = model(
    "Chapter",
    post=models.ForeignKey("blog.post", models.CASCADE),
    heading=models.CharField(max_length=20),
)
ORDERED = AlterOrderWithRespectTo("chapter", "post")
ADDED = [auto(AlterOrder("Chapter", "post")), auto(DropOrderDefault("Chapter"))]
REMOVED = [auto(SetOrderDefault("Chapter")), auto(AlterOrder("Chapter", None))]


@pytest.mark.parametrize(
    ("before", "steps"),
    [([POST, CHAPTER], ADDED), ([POST, CHAPTER, ORDERED], REMOVED)],
    ids=["added", "removed"],
)
def test_both_releases_survive_it_and_its_roll_back(
    before: list[Operation], steps: list[Deployed], project: Project
) -> None:
    Told(rehearsed(project, before, *steps, revert=True)).no_breaks()


class Schema:
    """A database that operations are applied to, and undone in."""

    def __init__(self) -> None:
        self.state = ProjectState()
        self.done: list[tuple[Operation, ProjectState, ProjectState]] = []

    def apply(self, *operations: Operation) -> Schema:
        for operation in operations:
            before, self.state = self.state, self.state.clone()
            operation.state_forwards(APP, self.state)
            with connection.schema_editor() as editor:
                operation.database_forwards(APP, editor, before, self.state)
            self.done.append((operation, before, self.state))
        return self

    def undo(self) -> None:
        operation, before, after = self.done.pop()
        with connection.schema_editor() as editor:
            operation.database_backwards(APP, editor, after, before)
        self.state = before

    def order_of_a_row_without(self) -> int | None:
        """The order that the database gives, if it gives one."""
        with connection.cursor() as cursor:
            try:
                cursor.execute("INSERT INTO blog_post (title) VALUES ('')")
                cursor.execute(
                    "INSERT INTO blog_chapter (heading, post_id) "
                    "SELECT '', MIN(id) FROM blog_post"
                )
                cursor.execute("SELECT MAX(_order) FROM blog_chapter")
                found: int = cursor.fetchone()[0]
            except Exception:  # noqa: BLE001 - each driver has its own
                return None
            finally:
                cursor.execute("DELETE FROM blog_chapter")
                cursor.execute("DELETE FROM blog_post")
        return found


def columns() -> Any:
    return dump()["blog_chapter"][:2]


def test_what_is_left_is_what_django_makes(project: Project) -> None:
    with project.active():
        plain = Schema().apply(POST, CHAPTER, ORDERED)
        expected = columns()
        plain.undo()
        assert plain.state.models.keys() == {(APP, "post"), (APP, "chapter")}
        schema = plain.apply(AlterOrder("Chapter", "post"))
        assert schema.order_of_a_row_without() == 0
        schema.apply(DropOrderDefault("Chapter"))
        assert columns() == expected
        assert schema.order_of_a_row_without() is None

        schema.undo()
        assert schema.order_of_a_row_without() == 0
        schema.undo()
        assert "_order" not in project.columns("blog_chapter")


def test_what_was_removed_comes_back_with_its_default(project: Project) -> None:
    with project.active():
        schema = Schema().apply(POST, CHAPTER, ORDERED, SetOrderDefault("Chapter"))
        assert schema.order_of_a_row_without() == 0
        schema.apply(AlterOrder("Chapter", None))
        assert "_order" not in project.columns("blog_chapter")
        schema.undo()
        assert schema.order_of_a_row_without() == 0
        schema.undo()
        assert schema.order_of_a_row_without() is None


@pytest.mark.parametrize(
    ("operation", "before", "rule", "name"),
    [
        (
            AlterOrder("Chapter", "post"),
            [POST, CHAPTER],
            "add-field-db-default",
            "alter_chapter_order_with_respect_to",
        ),
        (
            AlterOrder("Chapter", None),
            [POST, CHAPTER, ORDERED],
            "remove-field",
            "alter_chapter_order_with_respect_to",
        ),
        (
            SetOrderDefault("Chapter"),
            [POST, CHAPTER, ORDERED],
            "add-db-default",
            "set_db_default_chapter_order",
        ),
        (
            DropOrderDefault("Chapter"),
            [POST, CHAPTER, ORDERED],
            "drop-db-default",
            "drop_db_default_chapter_order",
        ),
    ],
    ids=["add", "remove", "set", "drop"],
)
def test_rule_and_name_and_file(
    operation: Operation, before: list[Operation], rule: str, name: str
) -> None:
    assert judged(operation, *before) == {rule}

    made = migration("0002", operation)
    assert made.suggest_name() == name
    source = MigrationWriter(made).as_string()
    assert f"syzygy.operations.{type(operation).__name__}(" in source
    names: dict[str, Any] = {}
    exec(source, names)
    (loaded,) = names["Migration"].operations
    assert loaded.describe() == operation.describe()
    assert type(loaded) is type(operation)
