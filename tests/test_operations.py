from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import IntegrityError, connection, models, transaction
from django.db.migrations import Migration
from django.db.migrations.operations import AddField as DjangoAddField
from django.db.migrations.operations import AlterField as DjangoAlterField
from django.db.migrations.operations import CreateModel, RemoveField
from django.db.migrations.operations import RenameField as DjangoRenameField
from django.db.migrations.operations import RenameModel as DjangoRenameModel
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.migrations.writer import MigrationWriter

from syzygy import Stage, operations
from syzygy.plan import get_operation_stage

ModelClass = Any


class Table:
    """The table of one model, and the states that operations bring it to."""

    def __init__(self) -> None:
        self.state = ProjectState()
        self.run(
            CreateModel(
                "Author",
                [("id", models.BigAutoField(primary_key=True))],
            )
        )
        self.run(
            CreateModel(
                "Book",
                [
                    ("id", models.BigAutoField(primary_key=True)),
                    ("title", models.CharField(max_length=20, default="untitled")),
                ],
            )
        )

    def run(self, operation: Operation) -> Callable[[], None]:
        """Run an operation, and return what undoes it."""
        before, self.state = self.state, self.state.clone()
        after = self.state
        operation.state_forwards("library", after)
        with connection.schema_editor() as editor:
            operation.database_forwards("library", editor, before, after)

        def undo() -> None:
            with connection.schema_editor() as editor:
                operation.database_backwards("library", editor, after, before)
            self.state = before

        return undo

    @property
    def book(self) -> ModelClass:
        """The model as it is now; as it was, if kept: the other release's."""
        return self.state.apps.get_model("library", "book")

    def drop(self) -> None:
        with connection.schema_editor() as editor:
            for model in reversed(self.state.apps.get_models()):
                editor.delete_model(model)


@pytest.fixture
def table(transactional_db: None) -> Iterator[Table]:
    table = Table()
    yield table
    table.drop()


def refuses_to_insert(model: ModelClass) -> bool:
    try:
        with transaction.atomic():
            model.objects.create()
    except IntegrityError:
        return True
    return False


def test_a_release_that_lacks_the_field_inserts_until_post_add_field(
    table: Table,
) -> None:
    old = table.book
    field = models.IntegerField(default=42)
    undo_add = table.run(operations.AddField("book", "pages", field))

    old.objects.create()
    assert table.book.objects.get().pages == 42

    undo_post = table.run(operations.PostAddField("book", "pages", field))
    assert refuses_to_insert(old)
    undo_post()
    old.objects.create()
    assert table.book.objects.filter(pages=42).count() == 2
    undo_add()
    assert {column.name for column in columns("library_book")} == {"id", "title"}


def columns(name: str) -> list[Any]:
    with connection.cursor() as cursor:
        return list(connection.introspection.get_table_description(cursor, name))


def test_a_one_off_default_stays_out_of_the_state(table: Table) -> None:
    old = table.book
    field = models.IntegerField(default=42)
    table.run(operations.AddField("book", "pages", field, preserve_default=False))

    old.objects.create()
    assert table.book.objects.get().pages == 42
    assert not table.book._meta.get_field("pages").has_default()


def test_a_field_without_a_default_is_added_as_django_does(table: Table) -> None:
    old = table.book
    field = models.IntegerField(null=True)
    table.run(operations.AddField("book", "pages", field))

    old.objects.create()
    assert table.book.objects.get().pages is None


def test_a_release_that_lost_the_field_inserts_after_pre_remove_field(
    table: Table,
) -> None:
    old = table.book
    field = models.CharField(max_length=20, default="untitled")
    undo = table.run(operations.PreRemoveField("book", "title", field))
    state = table.state.clone()
    RemoveField("book", "title").state_forwards("library", state)
    new = state.apps.get_model("library", "book")

    new.objects.create()
    assert old.objects.get().title == "untitled"

    undo()
    assert refuses_to_insert(new)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (models.IntegerField(default=1), {"db_default": 1}),
        (models.CharField(max_length=5, default=""), {"db_default": ""}),
        (models.IntegerField(default=1, unique=True), {"null": True}),
        (models.IntegerField(default=functools.partial(int, 1)), {"null": True}),
        (models.IntegerField(), {"null": True}),
        (models.IntegerField(null=True), {"null": True}),
        (models.IntegerField(null=True, default=1), {"null": True}),
        (models.IntegerField(db_default=1), {"db_default": 1}),
        (models.ForeignKey("a.B", models.CASCADE, default=1), {"null": True}),
    ],
)
def test_what_a_field_is_added_as(
    field: models.Field[Any, Any], expected: dict[str, Any]
) -> None:
    added = operations.get_pre_add_field_operation("book", "x", field)
    assert type(added) is DjangoAddField
    _, _, _, kwargs = added.field.deconstruct()
    assert {k: v for k, v in kwargs.items() if k in ("null", "db_default")} == expected
    assert get_operation_stage(added) is Stage.PRE_DEPLOY

    post = operations.get_post_add_field_operation("book", "x", field)
    assert post.field is field
    assert get_operation_stage(post) is Stage.POST_DEPLOY


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (models.IntegerField(default=1), {"db_default": 1}),
        (models.IntegerField(default=1, unique=True), {"null": True}),
        (models.IntegerField(default=int), {"null": True}),
        (models.IntegerField(), {"null": True}),
        (models.IntegerField(null=True), {"null": True}),
        (models.IntegerField(db_default=1), {"db_default": 1}),
        (
            models.ForeignKey("a.B", models.CASCADE),
            {"null": True, "db_constraint": False},
        ),
    ],
)
def test_what_a_field_becomes_before_it_is_removed(
    field: models.Field[Any, Any], expected: dict[str, Any]
) -> None:
    operation = operations.get_pre_remove_field_operation("book", "x", field)
    assert get_operation_stage(operation) is Stage.PRE_DEPLOY
    _, _, _, kwargs = operation.field.deconstruct()
    relevant = ("null", "db_default", "db_constraint")
    assert {k: v for k, v in kwargs.items() if k in relevant} == expected


def test_adding_and_removing_by_hand_keeps_both_releases_alive(table: Table) -> None:
    without = table.book
    field = models.ForeignKey("library.Author", models.CASCADE)
    table.run(operations.get_pre_add_field_operation("book", "author", field))
    without.objects.create()
    without.objects.all().delete()
    table.run(operations.get_post_add_field_operation("book", "author", field))
    assert refuses_to_insert(without)
    table.run(operations.get_pre_remove_field_operation("book", "author", field))
    without.objects.create()


EXISTING: list[tuple[Operation, type[Operation], Stage]] = [
    (
        operations.AddField("book", "x", models.IntegerField(default=1)),
        DjangoAddField,
        Stage.PRE_DEPLOY,
    ),
    (
        operations.PostAddField("book", "x", models.IntegerField(default=1)),
        DjangoAlterField,
        Stage.POST_DEPLOY,
    ),
    (
        operations.PreRemoveField("book", "x", models.IntegerField(default=1)),
        DjangoAlterField,
        Stage.PRE_DEPLOY,
    ),
    (
        operations.RenameField("book", "x", "y", Stage.POST_DEPLOY),
        DjangoRenameField,
        Stage.POST_DEPLOY,
    ),
    (
        operations.RenameModel("Book", "Volume", stage=Stage.PRE_DEPLOY),
        DjangoRenameModel,
        Stage.PRE_DEPLOY,
    ),
    (
        operations.AlterField(
            "book", "x", models.IntegerField(), Stage.PRE_DEPLOY, preserve_default=False
        ),
        DjangoAlterField,
        Stage.PRE_DEPLOY,
    ),
]


@pytest.mark.parametrize(
    ("operation", "base", "stage"),
    EXISTING,
    ids=[type(o).__name__ for o, _, _ in EXISTING],
)
def test_operations_of_existing_projects_round_trip(
    operation: Operation, base: type[Operation], stage: Stage
) -> None:
    assert isinstance(operation, base)
    assert get_operation_stage(operation) is stage

    migration = type("Migration", (Migration,), {"operations": [operation]})
    source = MigrationWriter(migration("0002_x", "library")).as_string()
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    (loaded,) = namespace["Migration"].operations
    assert type(loaded) is type(operation)
    assert get_operation_stage(loaded) is stage
    loaded_source = MigrationWriter(namespace["Migration"]("0002_x", "library"))
    assert body(loaded_source.as_string()) == body(source)


def body(source: str) -> str:
    return source.partition("class Migration")[2]
