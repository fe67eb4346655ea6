"""What an operation requires: the rows of the rules, both sides of each condition."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db.migrations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterConstraint,
    AlterField,
    AlterIndexTogether,
    AlterModelManagers,
    AlterModelOptions,
    AlterModelTable,
    AlterModelTableComment,
    AlterOrderWithRespectTo,
    AlterUniqueTogether,
    DeleteModel,
    RemoveConstraint,
    RemoveField,
    RemoveIndex,
    RenameField,
    RenameIndex,
    RenameModel,
)
from django.db.migrations.operations.base import Operation
from django.db.models import (
    CASCADE,
    BigAutoField,
    BooleanField,
    CharField,
    CheckConstraint,
    CompositePrimaryKey,
    DateTimeField,
    F,
    FloatField,
    ForeignKey,
    ForeignObject,
    GeneratedField,
    Index,
    IntegerField,
    ManyToManyField,
    OneToOneField,
    Q,
    TextField,
    UniqueConstraint,
    UUIDField,
    Value,
    deletion,
)
from django.db.models.functions import Lower, Now, Random

from syzygy import Stage, rules
from syzygy.requirements import (
    operation_rules,
)
from tests.rules_helpers import (
    APP,
    AUTHOR,
    add,
    history,
    judged,
    model,
    named,
    post,
    table,
)

TAG = model("Tag", name=CharField(max_length=50))
PROXY = model("Draft", ("blog.post",), {"proxy": True})
UNMANAGED = model("Legacy", (), {"managed": False}, x=IntegerField())
SWAPPABLE = model("User", (), {"swappable": "AUTH_USER_MODEL"}, x=IntegerField())
POST = post(x=IntegerField())
INDEX = Index(fields=["x"], name="i")
UNIQUE = UniqueConstraint(fields=["x"], name="u")
CHECK = CheckConstraint(condition=Q(x__gt=0), name="c")
AUTHORSHIP = model(
    "Authorship",
    post=ForeignKey("blog.Post", CASCADE),
    author=ForeignKey("blog.Author", CASCADE),
)


def m2m(**arguments: Any) -> ManyToManyField[Any, Any]:
    return ManyToManyField("blog.Author", **arguments)


def fk(to: str = "blog.Author", **arguments: Any) -> ForeignKey[Any, Any]:
    return ForeignKey(to, CASCADE, **arguments)


# A many-to-many field whose join table is a model.
THROUGH = [post(), AUTHOR, AUTHORSHIP, add("x", m2m(through="blog.Authorship"))]


def generated(**arguments: Any) -> GeneratedField:
    return GeneratedField(
        expression=F("id") + 1,
        output_field=IntegerField(),
        db_persist=True,
        **arguments,
    )


def swapped(label: str, setting: str) -> bool:
    return (label, setting) == ("blog.user", "AUTH_USER_MODEL")


# --- Models


@table(
    ("plain", "create-model", TAG),
    ("with a relation", "create-model", post(author=fk()), AUTHOR),
    ("inheriting", "create-model", model("Essay", ("blog.post",)), POST),
    ("proxy", "state-only", PROXY, POST),
    ("unmanaged", "state-only", UNMANAGED),
    ("swappable", "create-model", SWAPPABLE),
)
def test_create_model(
    codes: set[str], operation: Operation, before: list[Operation]
) -> None:
    assert judged(operation, *before) == codes


@table(
    ("plain", "delete-model", DeleteModel("Post"), POST),
    ("not known", "delete-model", DeleteModel("Post")),
    (
        "holding a foreign key",
        "delete-model-relations",
        DeleteModel("Post"),
        AUTHOR,
        post(author=fk(null=True)),
    ),
    (
        "holding a one-to-one",
        "delete-model-relations",
        DeleteModel("Post"),
        AUTHOR,
        post(author=OneToOneField("blog.Author", CASCADE)),
    ),
    (
        "inheriting",
        "delete-model-relations",
        DeleteModel("Essay"),
        POST,
        model(
            "Essay",
            ("blog.post",),
            post_ptr=OneToOneField(
                "blog.Post", CASCADE, parent_link=True, primary_key=True
            ),
        ),
    ),
    (
        "holding an unconstrained foreign key",
        "delete-model",
        DeleteModel("Post"),
        AUTHOR,
        post(author=fk(db_constraint=False)),
    ),
    (
        "with a join table",
        "delete-model-relations",
        DeleteModel("Post"),
        AUTHOR,
        post(authors=m2m()),
    ),
    (
        "with an unconstrained join table",
        "delete-model",
        DeleteModel("Post"),
        AUTHOR,
        post(authors=m2m(db_constraint=False)),
    ),
    (
        "with a join table that is a model",
        "delete-model",
        DeleteModel("Post"),
        *THROUGH,
    ),
    # The new release, which lacks the model, deletes no rows that these refer to.
    (
        "referring to itself only",
        "delete-model",
        DeleteModel("Post"),
        post(parent=fk("self", null=True)),
    ),
    (
        "joined to itself only",
        "delete-model",
        DeleteModel("Post"),
        post(related=ManyToManyField("blog.Post")),
    ),
    ("proxy", "state-only", DeleteModel("Draft"), POST, PROXY),
    ("unmanaged", "state-only", DeleteModel("Legacy"), UNMANAGED),
)
def test_delete_model(
    codes: set[str], operation: Operation, before: list[Operation]
) -> None:
    assert judged(operation, *before) == codes


@pytest.mark.skipif(not hasattr(deletion, "DB_CASCADE"), reason="Django 6.1 or newer")
@pytest.mark.parametrize("on_delete", ["DB_CASCADE", "DB_SET_NULL", "DB_SET_DEFAULT"])
def test_a_foreign_key_whose_rows_the_database_handles_refuses_no_delete(
    on_delete: str,
) -> None:
    field: Any = ForeignKey("blog.Author", getattr(deletion, on_delete), null=True)
    before = AUTHOR, post(author=field)
    assert judged(DeleteModel("Post"), *before) == {"delete-model"}
    if on_delete != "DB_CASCADE":  # That would delete rows of the new release.
        assert judged(RemoveField("post", "author"), *before) == {"remove-field"}


@pytest.mark.parametrize(
    "operation",
    [
        SWAPPABLE,
        DeleteModel("User"),
        RenameModel("User", "Account"),
        AlterModelTable("User", "users"),
        add("y", IntegerField(), "user"),
        RemoveField("user", "x"),
        AlterField("user", "x", TextField()),
        RenameField("user", "x", "y"),
        AddIndex("user", INDEX),
        AddConstraint("user", UniqueConstraint(fields=["x"], name="u")),
        AlterUniqueTogether("user", {("id", "x")}),
        AlterOrderWithRespectTo("user", "x"),
    ],
    ids=named,
)
def test_only_a_model_that_is_swapped_out_has_no_table(operation: Operation) -> None:
    before = [] if operation is SWAPPABLE else [SWAPPABLE]
    assert judged(operation, *before, is_swapped=swapped) == {"state-only"}
    assert judged(operation, *before) != {"state-only"}


@pytest.mark.parametrize("name", ["Draft", "Legacy"])
@pytest.mark.parametrize(
    "operation",
    [
        lambda name: RenameModel(name, "Other"),
        lambda name: AlterModelTable(name, "other"),
        lambda name: AlterModelTableComment(name, "other"),
        lambda name: add("y", IntegerField(), name),
        lambda name: add("y", m2m(), name),
        lambda name: RemoveField(name, "x"),
        lambda name: AlterField(name, "x", TextField()),
        lambda name: RenameField(name, "x", "y"),
        lambda name: AddIndex(name, INDEX),
        lambda name: RemoveIndex(name, "i"),
        lambda name: RenameIndex(name, "j", old_name="i"),
        lambda name: AddConstraint(name, UniqueConstraint(fields=["x"], name="u")),
        lambda name: RemoveConstraint(name, "u"),
        lambda name: AlterUniqueTogether(name, {("id", "x")}),
        lambda name: AlterIndexTogether(name, {("id", "x")}),
        lambda name: AlterOrderWithRespectTo(name, "x"),
    ],
)
def test_nothing_happens_to_the_table_of_a_proxy_or_an_unmanaged_model(
    name: str, operation: Callable[[str], Operation]
) -> None:
    assert judged(operation(name), POST, PROXY, UNMANAGED) == {"state-only"}


def test_a_model_is_as_managed_as_its_options_say_by_then() -> None:
    adopt = AlterModelOptions("legacy", {"managed": True})
    abandon = AlterModelOptions("legacy", {"managed": False})
    remove = RemoveField("legacy", "x")
    assert judged(remove, UNMANAGED, adopt) == {"remove-field-not-null"}
    assert judged(remove, UNMANAGED, adopt, abandon) == {"state-only"}


PINNED = model("Post", (), {"db_table": "posts"})
RENAME = RenameModel("Post", "Article")


@table(
    ("plain", "rename-model", RENAME, POST),
    ("not known", "rename-model", RENAME),
    ("pinned table", "state-only", RENAME, PINNED),
    (
        "pinned later on",
        "state-only",
        RENAME,
        POST,
        AlterModelTable("Post", "blog_post"),
    ),
    (
        "pinned no more",
        "rename-model",
        RENAME,
        PINNED,
        AlterModelTable("Post", None),
    ),
    (
        "pinned, with a join table",
        "rename-model-m2m",
        RENAME,
        AUTHOR,
        PINNED,
        add("authors", m2m()),
    ),
    (
        "pinned, with a pinned join table",
        "rename-model-m2m",
        RENAME,
        AUTHOR,
        PINNED,
        add("authors", m2m(db_table="post_authors")),
    ),
    (
        "pinned, joined to itself",
        "rename-model-m2m",
        RENAME,
        PINNED,
        add("related", ManyToManyField("self")),
    ),
    (
        "pinned, another model's join table",
        "rename-model-m2m",
        RENAME,
        PINNED,
        model("Author", posts=ManyToManyField("Post")),
    ),
    (
        "pinned, the join tables are models",
        "state-only",
        RENAME,
        PINNED,
        *THROUGH[1:],
        add("posts", ManyToManyField("Post", through="Authorship"), "author"),
    ),
    (
        "pinned, other join tables",
        "state-only",
        RENAME,
        PINNED,
        TAG,
        model("Author", tags=ManyToManyField("Tag")),
    ),
    (
        "pinned, foreign keys",
        "state-only",
        RENAME,
        AUTHOR,
        model("Post", (), {"db_table": "posts"}, author=fk()),
        model("Comment", post=fk("blog.Post")),
    ),
)
def test_rename_model(
    codes: set[str], operation: Operation, before: list[Operation]
) -> None:
    assert judged(operation, *before) == codes


def test_a_join_table_of_another_app_counts_when_a_model_is_renamed() -> None:
    state = history(PINNED)
    state.origin = None
    model("Reader", posts=ManyToManyField("blog.Post")).state_forwards("shop", state)
    assert operation_rules(RENAME, APP, state) == (rules.RENAME_MODEL_M2M,)
    # It has one itself, and to pin the name of its table is of no use.
    assert operation_rules(RenameModel("Reader", "Fan"), "shop", state) == (
        rules.RENAME_MODEL_M2M,
    )


def test_a_model_of_the_same_name_in_another_app_is_another_model() -> None:
    state = history(PINNED)
    model("Post").state_forwards("shop", state)
    model("Reader", posts=ManyToManyField("Post")).state_forwards("shop", state)
    assert operation_rules(RENAME, APP, state) == (rules.STATE_ONLY,)


@table(
    ("plain", "alter-model-table", AlterModelTable("Post", "posts"), POST),
    ("not known", "alter-model-table", AlterModelTable("Post", "posts")),
    ("not known, unpinned", "alter-model-table", AlterModelTable("Post", None)),
    ("unpinned", "alter-model-table", AlterModelTable("Post", None), PINNED),
    ("same", "state-only", AlterModelTable("Post", "posts"), PINNED),
    ("to what it is called", "state-only", AlterModelTable("Post", "blog_post"), POST),
    (
        "from what it would be called",
        "state-only",
        AlterModelTable("Post", None),
        model("Post", (), {"db_table": "blog_post"}),
    ),
    (
        "of a renamed model",
        "state-only",
        AlterModelTable("Article", "posts"),
        PINNED,
        RENAME,
    ),
)
def test_alter_model_table(
    codes: set[str], operation: Operation, before: list[Operation]
) -> None:
    assert judged(operation, *before) == codes


@table(
    ("options", "state-only", AlterModelOptions("post", {"ordering": ["x"]})),
    ("managers", "state-only", AlterModelManagers("post", [])),
    ("comment", "alter-comment", AlterModelTableComment("post", "Posts.")),
)
def test_what_is_no_concern_of_queries(
    codes: set[str], operation: Operation, before: list[Operation]
) -> None:
    assert judged(operation, POST) == codes


ORDERED = [
    AUTHOR,
    post(author=fk(), blog=fk()),
    AlterOrderWithRespectTo("post", "blog"),
]


@table(
    (
        "added",
        "add-order",
        AlterOrderWithRespectTo("post", "author"),
        AUTHOR,
        post(author=fk()),
    ),
    ("not known", "add-order", AlterOrderWithRespectTo("post", "author")),
    ("removed", "remove-order", AlterOrderWithRespectTo("post", None), *ORDERED),
    (
        "removed, from the start",
        "remove-order",
        AlterOrderWithRespectTo("post", None),
        AUTHOR,
        model("Post", (), {"order_with_respect_to": "author"}, author=fk()),
    ),
    ("changed", "state-only", AlterOrderWithRespectTo("post", "author"), *ORDERED),
    ("never there", "state-only", AlterOrderWithRespectTo("post", None), POST),
    ("not known, removed", "remove-order", AlterOrderWithRespectTo("post", None)),
)
def test_alter_order_with_respect_to(
    codes: set[str], operation: Operation, before: list[Operation]
) -> None:
    assert judged(operation, *before) == codes


ABC = {"a": IntegerField(), "b": IntegerField(), "c": IntegerField()}
TOGETHER = model("Post", (), {"unique_together": [["a", "b"]]}, **ABC)


@table(
    (
        "added",
        "add-unique-together",
        AlterUniqueTogether("post", {("a", "b")}),
        post(**ABC),
    ),
    (
        "added as a flat tuple",
        "add-unique-together",
        AlterUniqueTogether("post", ("a", "b")),
        post(**ABC),
    ),
    (
        "another added",
        "add-unique-together",
        AlterUniqueTogether("post", {("a", "b"), ("b", "c")}),
        TOGETHER,
    ),
    (
        "removed",
        "remove-unique-together",
        AlterUniqueTogether("post", set()),
        TOGETHER,
    ),
    (
        "removed, None",
        "remove-unique-together",
        AlterUniqueTogether("post", None),
        TOGETHER,
    ),
    (
        "exchanged",
        "add-unique-together remove-unique-together",
        AlterUniqueTogether("post", {("a", "c")}),
        TOGETHER,
    ),
    ("same", "state-only", AlterUniqueTogether("post", {("a", "b")}), TOGETHER),
    # Django makes another index, of the same columns.
    (
        "in another order",
        "add-index",
        AlterUniqueTogether("post", {("b", "a")}),
        TOGETHER,
    ),
    (
        "in another order, and another",
        "add-index add-unique-together",
        AlterUniqueTogether("post", {("b", "a"), ("a", "c")}),
        TOGETHER,
    ),
    (
        "in another order, one fewer",
        "add-index remove-unique-together",
        AlterUniqueTogether("post", {("b", "a")}),
        TOGETHER,
        AlterUniqueTogether("post", {("a", "b"), ("a", "c")}),
    ),
    (
        "after a field is renamed",
        "state-only",
        AlterUniqueTogether("post", {("a", "d")}),
        TOGETHER,
        RenameField("post", "b", "d"),
    ),
    ("never there", "state-only", AlterUniqueTogether("post", None), post(**ABC)),
    # It isn't known whether it removes anything.
    ("not known", "alter-unknown", AlterUniqueTogether("post", set())),
    (
        "not known, added",
        "alter-unknown add-unique-together",
        AlterUniqueTogether("post", {("a", "b")}),
    ),
)
def test_alter_unique_together(
    codes: set[str], operation: Operation, before: list[Operation]
) -> None:
    assert judged(operation, *before) == codes


INDEXED = model("Post", (), {"index_together": {("a", "b")}}, **ABC)


@table(
    ("added", "add-index", AlterIndexTogether("post", {("a", "b")}), post(**ABC)),
    ("removed", "remove-index", AlterIndexTogether("post", set()), INDEXED),
    (
        "exchanged",
        "add-index remove-index",
        AlterIndexTogether("post", {("a", "c")}),
        INDEXED,
    ),
    ("same", "state-only", AlterIndexTogether("post", {("a", "b")}), INDEXED),
    (
        "after a field is renamed",
        "state-only",
        AlterIndexTogether("post", {("a", "d")}),
        INDEXED,
        RenameField("post", "b", "d"),
    ),
)
def test_alter_index_together(
    codes: set[str], operation: Operation, before: list[Operation]
) -> None:
    assert judged(operation, *before) == codes


# --- Fields that come


@table(
    ("nullable", "add-field", add("y", IntegerField(null=True))),
    ("None by default", "add-field", add("y", IntegerField(null=True, default=None))),
    (
        "nullable with a default",
        "add-field-null-default",
        add("y", IntegerField(null=True, default=0)),
    ),
    (
        "nullable with a callable default",
        "add-field-null-default",
        add("y", UUIDField(null=True, default=uuid.uuid4)),
    ),
    (
        "nullable with auto_now",
        "add-field",
        add("y", DateTimeField(null=True, auto_now=True)),
    ),
    ("default", "add-field-not-null", add("y", IntegerField(default=0))),
    (
        "one-off default",
        "add-field-not-null",
        AddField("post", "y", IntegerField(default=0), preserve_default=False),
    ),
    ("no default", "add-field-implicit-default", add("y", IntegerField())),
    ("blank", "add-field-implicit-default", add("y", CharField(blank=True))),
    (
        "auto_now",
        "add-field-implicit-default",
        add("y", DateTimeField(auto_now=True)),
    ),
    (
        "auto_now_add",
        "add-field-implicit-default",
        add("y", DateTimeField(auto_now_add=True)),
    ),
    (
        "callable default",
        "add-field-callable-default",
        add("y", CharField(max_length=50, default=str)),
    ),
    (
        "default that is a class",
        "add-field-callable-default",
        add("y", IntegerField(default=int)),
    ),
    (
        "unique nullable",
        "add-field-unique",
        add("y", IntegerField(null=True, unique=True)),
    ),
    (
        "unique",
        "add-field-unique-not-null",
        add("y", UUIDField(unique=True, default=uuid.uuid4)),
    ),
    (
        "unique with a constant db_default",
        "add-field-unique-not-null",
        add("y", IntegerField(unique=True, db_default=1)),
    ),
    (
        "unique with a constant expression as db_default",
        "add-field-unique-not-null",
        add("y", IntegerField(unique=True, db_default=Value(1))),
    ),
    # NULL is allowed, but isn't what the running release leaves in the column.
    (
        "unique nullable with a constant db_default",
        "add-field-unique-not-null",
        add("y", IntegerField(null=True, unique=True, db_default=1)),
    ),
    (
        "unique with a db_default per row",
        "add-field-db-default",
        add("y", FloatField(unique=True, db_default=Random())),
    ),
    ("db_default", "add-field-db-default", add("y", IntegerField(db_default=0))),
    (
        "db_default expression",
        "add-field-db-default",
        add("y", DateTimeField(db_default=Now())),
    ),
    (
        "db_default that is false",
        "add-field-db-default",
        add("y", BooleanField(db_default=False)),
    ),
    (
        "db_default and default",
        "add-field-db-default",
        add("y", IntegerField(default=1, db_default=1)),
    ),
    (
        "nullable with both defaults",
        "add-field-db-default",
        add("y", IntegerField(null=True, default=1, db_default=1)),
    ),
    ("foreign key nullable", "add-field-relation", add("y", fk(null=True)), AUTHOR),
    (
        "foreign key unconstrained",
        "add-field-relation",
        add("y", fk(null=True, db_constraint=False)),
        AUTHOR,
    ),
    (
        "foreign key to itself",
        "add-field-relation",
        add("y", fk("self", null=True)),
        AUTHOR,
    ),
    ("foreign key", "add-field-not-null", add("y", fk(default=1)), AUTHOR),
    (
        "one-to-one nullable",
        "add-field-unique",
        add("y", OneToOneField("blog.Author", CASCADE, null=True)),
        AUTHOR,
    ),
    (
        "one-to-one",
        "add-field-unique-not-null",
        add("y", OneToOneField("blog.Author", CASCADE, default=1)),
        AUTHOR,
    ),
    ("generated", "add-field-generated", add("y", generated())),
    ("generated, nullable", "add-field-generated", add("y", generated(null=True))),
    ("many-to-many", "add-field-m2m", add("y", m2m()), AUTHOR),
    ("many-to-many to itself", "add-field-m2m", add("y", ManyToManyField("self"))),
    (
        "many-to-many, the join table is a model",
        "state-only",
        add("y", m2m(through="blog.Authorship")),
        *THROUGH[:-1],
    ),
    (
        "composite primary key",
        "state-only",
        add("pk", CompositePrimaryKey("id", "x")),
    ),
    # It stands for columns that there are.
    (
        "without a column",
        "state-only",
        add("y", ForeignObject("blog.Author", CASCADE, ["x"], ["id"])),
        AUTHOR,
    ),
)
def test_add_field(
    codes: set[str], operation: Operation, before: list[Operation]
) -> None:
    assert judged(operation, *before, POST) == codes


# --- Fields that go

REMOVE = RemoveField("post", "x")


@table(
    ("nullable", "remove-field", REMOVE, post(x=IntegerField(null=True))),
    ("db_default", "remove-field", REMOVE, post(x=IntegerField(db_default=0))),
    (
        "db_default expression",
        "remove-field",
        REMOVE,
        post(x=DateTimeField(db_default=Now())),
    ),
    ("not null", "remove-field-not-null", REMOVE, post(x=IntegerField())),
    ("default", "remove-field-not-null", REMOVE, post(x=IntegerField(default=0))),
    ("not known", "remove-field", REMOVE),
    ("not known in a known model", "remove-field", REMOVE, post()),
    (
        "made nullable",
        "remove-field",
        REMOVE,
        post(x=IntegerField()),
        AlterField("post", "x", IntegerField(null=True)),
    ),
    (
        "renamed",
        "remove-field-not-null",
        REMOVE,
        post(y=IntegerField()),
        RenameField("post", "y", "x"),
    ),
    ("unique", "remove-field-unique", REMOVE, post(x=IntegerField(unique=True))),
    (
        "unique nullable",
        "remove-field",
        REMOVE,
        post(x=IntegerField(null=True, unique=True)),
    ),
    (
        "unique with a constant db_default",
        "remove-field-unique",
        REMOVE,
        post(x=IntegerField(unique=True, db_default=0)),
    ),
    (
        "unique nullable with a constant db_default",
        "remove-field-unique",
        REMOVE,
        post(x=IntegerField(null=True, unique=True, db_default=0)),
    ),
    (
        "unique nullable with a db_default of NULL",
        "remove-field",
        REMOVE,
        post(x=IntegerField(null=True, unique=True, db_default=None)),
    ),
    (
        "not null with a db_default of NULL",
        "remove-field-not-null",
        REMOVE,
        post(x=IntegerField(db_default=None)),
    ),
    (
        "unique with a db_default per row",
        "remove-field",
        REMOVE,
        post(x=FloatField(unique=True, db_default=Random())),
    ),
    (
        "in unique_together",
        "remove-field-constrained",
        REMOVE,
        model("Post", (), {"unique_together": {("id", "x")}}, x=IntegerField()),
    ),
    (
        "in unique_together by its former name",
        "remove-field-constrained",
        REMOVE,
        model("Post", (), {"unique_together": {("id", "y")}}, y=IntegerField()),
        RenameField("post", "y", "x"),
    ),
    (
        "beside unique_together",
        "remove-field-not-null",
        REMOVE,
        model(
            "Post",
            (),
            {"unique_together": {("id", "y")}},
            x=IntegerField(),
            y=IntegerField(),
        ),
    ),
    (
        "in a unique constraint",
        "remove-field-constrained",
        REMOVE,
        post(x=IntegerField()),
        AddConstraint("post", UniqueConstraint(fields=["id", "x"], name="u")),
    ),
    (
        "in the expression of a unique constraint",
        "remove-field-constrained",
        REMOVE,
        post(x=IntegerField()),
        AddConstraint("post", UniqueConstraint(Lower("x"), name="u")),
    ),
    (
        "in the condition of a unique constraint",
        "remove-field-constrained",
        REMOVE,
        post(x=IntegerField(null=True)),
        AddConstraint(
            "post", UniqueConstraint(fields=["id"], condition=Q(x=1), name="u")
        ),
    ),
    (
        "in a unique constraint that is gone",
        "remove-field-not-null",
        REMOVE,
        post(x=IntegerField()),
        AddConstraint("post", UniqueConstraint(fields=["id", "x"], name="u")),
        RemoveConstraint("post", "u"),
    ),
    (
        "in a check constraint",
        "remove-field",
        REMOVE,
        post(x=IntegerField(null=True)),
        AddConstraint("post", CHECK),
    ),
    (
        "beside a unique constraint",
        "remove-field",
        REMOVE,
        post(x=IntegerField(null=True), y=IntegerField()),
        AddConstraint("post", UniqueConstraint(fields=["y"], name="u")),
    ),
    (
        "in an index",
        "remove-field",
        REMOVE,
        post(x=IntegerField(null=True)),
        AddIndex("post", INDEX),
    ),
    ("foreign key", "remove-field-relation", REMOVE, AUTHOR, post(x=fk())),
    (
        "foreign key nullable",
        "remove-field-relation",
        REMOVE,
        AUTHOR,
        post(x=fk(null=True)),
    ),
    (
        "foreign key in a unique set",
        "remove-field-relation",
        REMOVE,
        AUTHOR,
        model("Post", (), {"unique_together": {("id", "x")}}, x=fk()),
    ),
    (
        "foreign key unconstrained",
        "remove-field-not-null",
        REMOVE,
        AUTHOR,
        post(x=fk(db_constraint=False)),
    ),
    (
        "foreign key nullable and unconstrained",
        "remove-field",
        REMOVE,
        AUTHOR,
        post(x=fk(db_constraint=False, null=True)),
    ),
    (
        "one-to-one",
        "remove-field-relation",
        REMOVE,
        AUTHOR,
        post(x=OneToOneField("blog.Author", CASCADE)),
    ),
    (
        "one-to-one unconstrained",
        "remove-field-unique",
        REMOVE,
        AUTHOR,
        post(x=OneToOneField("blog.Author", CASCADE, db_constraint=False)),
    ),
    ("many-to-many", "remove-field-m2m", REMOVE, AUTHOR, post(x=m2m())),
    (
        "many-to-many, the join table is a model",
        "state-only",
        REMOVE,
        *THROUGH,
    ),
    ("generated", "remove-field-generated", REMOVE, post(x=generated())),
    (
        "without a column",
        "state-only",
        REMOVE,
        AUTHOR,
        post(y=IntegerField(), x=ForeignObject("blog.Author", CASCADE, ["y"], ["id"])),
    ),
)
def test_remove_field(
    codes: set[str], operation: Operation, before: list[Operation]
) -> None:
    assert judged(operation, *before) == codes


@pytest.mark.parametrize(
    "key",
    [
        BigAutoField(primary_key=True),
        UUIDField(primary_key=True, default=uuid.uuid4),
        OneToOneField("blog.Author", CASCADE, primary_key=True),
    ],
    ids=lambda field: type(field).__name__,
)
def test_a_primary_key_that_goes_is_missed(key: Any) -> None:
    """The column is dropped, with all that the running release finds rows by."""
    remove = RemoveField("post", "key")
    codes = judged(remove, AUTHOR, post(key=key))
    for rule in map(rules.catalogue().__getitem__, codes):
        assert rule.required is Stage.POST_DEPLOY or not rule.stageable


RENAME_FIELD = RenameField("post", "x", "y")


@table(
    ("plain", "rename-column", RENAME_FIELD, POST),
    ("not known", "rename-column", RENAME_FIELD),
    ("pinned column", "state-only", RENAME_FIELD, post(x=IntegerField(db_column="x"))),
    ("foreign key", "rename-column", RENAME_FIELD, AUTHOR, post(x=fk())),
    (
        "foreign key, pinned column",
        "state-only",
        RENAME_FIELD,
        AUTHOR,
        post(x=fk(db_column="x_id")),
    ),
    (
        "pinned by an earlier migration",
        "state-only",
        RENAME_FIELD,
        POST,
        AlterField("post", "x", IntegerField(db_column="x")),
    ),
    ("many-to-many", "change-m2m", RENAME_FIELD, AUTHOR, post(x=m2m())),
    (
        "many-to-many, pinned join table",
        "state-only",
        RENAME_FIELD,
        AUTHOR,
        post(x=m2m(db_table="post_authors")),
    ),
    (
        "many-to-many, the join table is a model",
        "state-only",
        RENAME_FIELD,
        *THROUGH,
    ),
    ("generated", "rename-column", RENAME_FIELD, post(x=generated())),
)
def test_rename_field(
    codes: set[str], operation: Operation, before: list[Operation]
) -> None:
    assert judged(operation, *before) == codes


# --- Indexes and constraints


@table(
    ("unique", "add-constraint", AddConstraint("post", UNIQUE)),
    ("check", "add-constraint", AddConstraint("post", CHECK)),
    (
        "unique removed",
        "remove-constraint",
        RemoveConstraint("post", "u"),
        AddConstraint("post", UNIQUE),
    ),
    (
        "check removed",
        "remove-constraint",
        RemoveConstraint("post", "c"),
        AddConstraint("post", CHECK),
    ),
    ("not known, removed", "remove-constraint", RemoveConstraint("post", "u")),
    (
        "constraint altered",
        "state-only",
        AlterConstraint("post", "u", UNIQUE),
        AddConstraint("post", UNIQUE),
    ),
    ("index", "add-index", AddIndex("post", INDEX)),
    (
        "index removed",
        "remove-index",
        RemoveIndex("post", "i"),
        AddIndex("post", INDEX),
    ),
    (
        "index renamed",
        "rename-index",
        RenameIndex("post", "j", old_name="i"),
        AddIndex("post", INDEX),
    ),
    (
        "index named",
        "rename-index",
        RenameIndex("post", "j", old_fields=("id", "x")),
        AlterIndexTogether("post", {("id", "x")}),
    ),
)
def test_indexes_and_constraints(
    codes: set[str], operation: Operation, before: list[Operation]
) -> None:
    assert judged(operation, POST, *before) == codes
