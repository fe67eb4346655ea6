"""What is written for each kind of change, told without a database."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from django.db import connections, models
from django.db.migrations import (
    AddIndex,
    AlterField,
    CreateModel,
    DeleteModel,
    Migration,
    RemoveConstraint,
    RemoveField,
    RenameField,
    SeparateDatabaseAndState,
)
from django.db.migrations.autodetector import (
    MigrationAutodetector as DjangoAutodetector,
)
from django.db.migrations.questioner import (
    InteractiveMigrationQuestioner,
    MigrationQuestioner,
)
from django.db.migrations.state import ModelState, ProjectState
from django.db.migrations.writer import MigrationWriter
from django.db.models.functions import Cast, Now
from django.utils import timezone

from syzygy import Stage
from syzygy.autodetector import (
    STAGE_SPLIT,
    MigrationAutodetector,
    StagedMixin,
    staged,
    unsplit,
)
from syzygy.generation.defaults import Kind, Source, harmless, source
from syzygy.generation.errors import Inconsistency, Refused
from syzygy.generation.fields import added, changed, weaker
from syzygy.generation.settling import Excuses, planned_stage, settle
from syzygy.generation.states import history_of
from syzygy.operations import AlterOrder, DropOrderDefault, RelaxField, SetOrderDefault
from tests.cases.test_makemigrations_rolling import (
    AUTHOR,
    LENGTH,
    index,
    many,
    number,
    one,
    text,
    to,
    unique,
    word,
)
from tests.generation_helpers import (
    Asked,
    Models,
    applied,
    drift,
    existing,
    generated,
    refused,
    state,
    table,
)


def post(options: dict[str, Any] | None = None, /, **fields: Any) -> Any:
    return table("Post", options, title=text(), **fields)


def summary(migrations: Sequence[Migration]) -> list[str]:
    """For each migration its stage and name; with a "!" if the stage is declared."""
    lines = []
    for each in migrations:
        stage = planned_stage(each)
        assert stage
        declared = "!" if getattr(each, "stage", None) else ""
        name = each.name.partition("_")[2]
        label = "pre" if stage is Stage.PRE_DEPLOY else "post"
        lines.append(f"{label}{declared} {name}")
    return lines


def row(name: str, before: Any, after: Any, *files: str) -> Any:
    return pytest.param(before, after, list(files), id=name)


FIELDS = [
    # New fields
    row("null", {}, {"a": text(null=True)}, "pre post_a"),
    row(
        "default",
        {},
        {"a": text(default="x")},
        "pre post_a",
        "post drop_db_default_post_a",
    ),
    row(
        "blank",
        {},
        {"a": text(blank=True)},
        "pre post_a",
        "post drop_db_default_post_a",
    ),
    row(
        "null with a default",
        {},
        {"a": text(null=True, default="x")},
        "pre post_a",
        "post drop_db_default_post_a",
    ),
    row("null without one", {}, {"a": text(null=True, default=None)}, "pre post_a"),
    row("db_default", {}, {"a": text(db_default="x")}, "pre post_a"),
    row("generated", {}, {"a": LENGTH}, "pre post_a"),
    row(
        "called per row",
        {},
        {"a": text(default=word)},
        "pre post_a",
        "post fill_post_a",
        "post tighten_post_a",
    ),
    row(
        "null and called per row",
        {},
        {"a": text(null=True, default=word)},
        "pre post_a",
        "post fill_post_a",
        "post alter_post_a",
    ),
    row("unique and null", {}, {"a": text(unique=True, null=True)}, "pre post_a"),
    row(
        "unique and null with a default",
        {},
        {"a": text(unique=True, null=True, default="x")},
        "pre post_a",
        "post alter_post_a",
    ),
    row(
        "unique",
        {},
        {"a": models.UUIDField(unique=True, default=uuid.uuid4)},
        "pre post_a",
        "post fill_post_a",
        "post tighten_post_a",
    ),
    row("relation", {}, {"a": to("author", null=True)}, "pre post_a"),
    row("join", {}, {"a": many("author")}, "pre post_a"),
    # Fields that go
    row("gone and null", {"a": text(null=True)}, {}, "post remove_post_a"),
    row("gone", {"a": text()}, {}, "pre set_db_default_post_a", "post remove_post_a"),
    row(
        "gone and unique",
        {"a": text(unique=True)},
        {},
        "pre relax_post_a",
        "post remove_post_a",
    ),
    row(
        "gone, unique, and a default",
        {"a": text(unique=True, db_default="x")},
        {},
        "pre relax_post_a",
        "post remove_post_a",
    ),
    row(
        "gone relation",
        {"a": to("author")},
        {},
        "pre relax_post_a",
        "post remove_post_a",
    ),
    row(
        "gone relation that is loose",
        {"a": to("author", null=True, db_constraint=False)},
        {},
        "post remove_post_a",
    ),
    row(
        "gone join", {"a": many("author")}, {}, "pre relax_post_a", "post remove_post_a"
    ),
    row("gone and generated", {"a": LENGTH}, {}, "post remove_post_a"),
    # Fields that change
    row("tight", {"a": text(null=True)}, {"a": text()}, "post tighten_post_a"),
    row(
        "NULL as a default",
        {"a": text(null=True, db_default="x")},
        {"a": text(null=True, db_default=None)},
        "post drop_db_default_post_a",
    ),
    row(
        "tight and filled",
        {"a": text(null=True)},
        {"a": text(db_default="x")},
        "pre set_db_default_post_a",
        "post fill_post_a",
        "post tighten_post_a",
    ),
    row("loose", {"a": text()}, {"a": text(null=True)}, "pre relax_post_a"),
    row("wide", {"a": text(20)}, {"a": text(30)}, "pre relax_post_a"),
    row("narrow", {"a": text(30)}, {"a": text(20)}, "post tighten_post_a"),
    row(
        "wide and tight",
        {"a": text(20, null=True)},
        {"a": text(30, default="x")},
        "pre relax_post_a",
        "post fill_post_a",
        "post tighten_post_a",
    ),
    row("more", {"a": number()}, {"a": models.BigIntegerField()}, "pre relax_post_a"),
    row(
        "bigger key",
        {"id": models.AutoField(primary_key=True)},
        {"id": models.BigAutoField(primary_key=True)},
        "pre relax_post_id",
    ),
    row(
        "smaller key",
        {"id": models.BigAutoField(primary_key=True)},
        {"id": models.AutoField(primary_key=True)},
        "post tighten_post_id",
    ),
    row("text", {"a": text()}, {"a": models.TextField()}, "pre relax_post_a"),
    row("now unique", {"a": text()}, {"a": text(unique=True)}, "post tighten_post_a"),
    row("no longer", {"a": text(unique=True)}, {"a": text()}, "pre relax_post_a"),
    row(
        "index instead of unique",
        {"a": text(unique=True)},
        {"a": text(db_index=True)},
        "pre relax_post_a",
    ),
    row(
        "unique instead of index",
        {"a": text(db_index=True)},
        {"a": text(unique=True)},
        "post tighten_post_a",
    ),
    row("indexed", {"a": text()}, {"a": text(db_index=True)}, "pre alter_post_a"),
    row("no index", {"a": text(db_index=True)}, {"a": text()}, "post alter_post_a"),
    row(
        "default",
        {"a": text()},
        {"a": text(db_default="x")},
        "pre set_db_default_post_a",
    ),
    row(
        "no default",
        {"a": text(db_default="x")},
        {"a": text()},
        "post drop_db_default_post_a",
    ),
    row("help", {"a": text()}, {"a": text(help_text="x")}, "pre alter_post_a"),
    row(
        "free",
        {"a": to("author")},
        {"a": to("author", db_constraint=False)},
        "pre relax_post_a",
    ),
    row(
        "bound",
        {"a": to("author", db_constraint=False)},
        {"a": to("author")},
        "post tighten_post_a",
    ),
    row("one", {"a": to("author")}, {"a": one("author")}, "post tighten_post_a"),
    row("many", {"a": one("author")}, {"a": to("author")}, "pre relax_post_a"),
    row(
        "column kept",
        {"a": text()},
        {"b": text(db_column="a")},
        "pre alter_post_a_rename_a_post_b",
    ),
]
OPTIONS = [
    row("options", ({}, {}), ({"ordering": ["a"]}, {}), "pre alter_post_options"),
    row(
        "options go with what there is",
        ({}, {}),
        ({"ordering": ["a"]}, {"a": text(20)}),
        "post alter_post_options_tighten_post_a",
    ),
    row("index", ({}, {}), ({"indexes": [index("a")]}, {}), "pre post_index_a"),
    row(
        "no index",
        ({"indexes": [index("a")]}, {}),
        ({}, {}),
        "post remove_post_index_a",
    ),
    row(
        "index renamed",
        ({"indexes": [index("a")]}, {}),
        ({"indexes": [index("a", name="other")]}, {}),
        "pre rename_index_a_other",
    ),
    row(
        "another index of that name",
        ({"indexes": [index("a", name="i")]}, {}),
        ({"indexes": [index("title", name="i")]}, {}),
        "pre remove_post_i_post_i",
    ),
    row(
        "constraint",
        ({}, {}),
        ({"constraints": [unique("a")]}, {}),
        "post post_unique_a",
    ),
    row(
        "together",
        ({}, {}),
        ({"unique_together": {("a", "title")}}, {}),
        "post alter_post_unique_together",
    ),
    row(
        "no constraint",
        ({"constraints": [unique("a")]}, {}),
        ({}, {}),
        "pre remove_post_unique_a",
    ),
    row(
        "another constraint of that name",
        ({"constraints": [unique("a", name="c")]}, {}),
        ({"constraints": [unique("a", "title", name="c")]}, {}),
        "pre remove_post_c",
        "post post_c",
    ),
    row(
        "constraint renamed",
        ({"constraints": [unique("a")]}, {}),
        ({"constraints": [unique("a", name="other")]}, {}),
        "pre! post_other",
        "post! remove_post_unique_a",
    ),
    row(
        "constraint instead of unique",
        ({}, {"a": text(unique=True)}),
        ({"constraints": [unique("a")]}, {}),
        "pre! post_unique_a",
        "post! relax_post_a",
    ),
    row(
        "unique instead of constraint",
        ({"constraints": [unique("a")]}, {}),
        ({}, {"a": text(unique=True)}),
        "pre! tighten_post_a",
        "post! remove_post_unique_a",
    ),
    row(
        "constraint of another message",
        ({"constraints": [unique("a")]}, {}),
        ({"constraints": [unique("a", violation_error_message="No")]}, {}),
        "pre alter_post_unique_a",
    ),
]


@pytest.mark.parametrize(("before", "after", "files"), FIELDS)
def test_fields(before: Any, after: Any, files: list[str]) -> None:
    models = [AUTHOR, post(**before)], [AUTHOR, post(**after)]
    check(*models, files)


@pytest.mark.parametrize(("before", "after", "files"), OPTIONS)
def test_options(before: Any, after: Any, files: list[str]) -> None:
    fields = {"a": text()}
    models = [[post(options, **fields | own)] for options, own in (before, after)]
    check(models[0], models[1], files)


def check(before: Models, after: Models, files: list[str]) -> None:
    old, new = state(before), state(after)
    migrations = generated(old, new)
    assert summary(migrations) == files
    assert not drift(applied(old, migrations), new)


# What comes in the database


@pytest.mark.parametrize(
    ("field", "vendor", "expected"),
    [
        (text(default="x"), "", Source(Kind.CONSTANT, "x")),
        (text(default=str), "", Source(Kind.CONSTANT, "")),
        (text(default=word), "", Source(Kind.PER_ROW, word)),
        (text(blank=True), "", Source(Kind.CONSTANT, "")),
        (text(default=None), "", None),
        (text(), "", None),
        (models.BinaryField(blank=True), "", Source(Kind.CONSTANT, b"")),
        (models.JSONField(default=list), "", Source(Kind.CONSTANT, [])),
        (text(default=timezone.now), "", Source(Kind.PER_ROW, timezone.now)),
        (
            models.UUIDField(default=uuid.uuid4),
            "sqlite",
            Source(Kind.PER_ROW, uuid.uuid4),
        ),
    ],
)
def test_where_values_come_from(field: Any, vendor: str, expected: Any) -> None:
    assert source(field, vendor) == expected


def test_what_the_database_computes() -> None:
    for field in (
        models.DateTimeField(auto_now=True),
        models.DateTimeField(default=timezone.now),
        models.DateTimeField(default=dt.datetime.now),
    ):
        assert source(field, "") == Source(Kind.EXPRESSION, Now())
    found = source(models.UUIDField(default=uuid.uuid4), "postgresql")
    assert found
    assert (found.kind, repr(found.value)) == (Kind.EXPRESSION, "RandomUUID()")
    assert source(text(default="x"), "", "given") == Source(Kind.CONSTANT, "given")
    assert source(text(default="x"), "", None) == Source(Kind.CONSTANT, "x")


class Unhashable:
    __hash__ = None  # type: ignore[assignment]

    def __call__(self) -> str:
        return "x"


def test_a_default_that_has_no_hash() -> None:
    found = source(text(default=Unhashable()), "")
    assert found
    assert found.kind is Kind.PER_ROW


class Custom(models.CharField):  # type: ignore[type-arg]
    pass


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (number(), 0),
        (text(default="x"), "x"),
        (text(default=None), models.NOT_PROVIDED),
        (text(choices=[(None, "-"), ("d", "Draft")]), "d"),
        (text(choices=[("d", "Draft")], blank=True), ""),
        (models.GenericIPAddressField(), "0.0.0.0"),
        (models.GenericIPAddressField(protocol="IPv6"), "::"),
        (models.JSONField(), {}),
        (models.DateTimeField(), Now()),
        (models.TimeField(), Cast(Now(), models.TimeField())),
        (Custom(max_length=3), models.NOT_PROVIDED),
        (Custom(max_length=3, default="x"), "x"),
    ],
)
def test_what_is_harmless(field: Any, expected: Any) -> None:
    assert harmless(field) == expected


def test_a_class_that_has_its_own_mind() -> None:
    class Stubborn(models.CharField):  # type: ignore[type-arg]
        def deconstruct(self) -> Any:
            name, path, args, kwargs = super().deconstruct()
            kwargs.pop("null", None)
            return name, path, args, kwargs

    with pytest.raises(ValueError, match=r'"Stubborn" doesn\'t allow null=True\.'):
        changed(Stubborn(max_length=3), null=True)


def test_a_default_for_all_rows_is_not_unique() -> None:
    assert added(text(unique=True, db_default="x"), "").problem
    assert added(text(unique=True, default="x"), "").problem
    assert added(models.DateTimeField(auto_now=True), "", is_alone=True).problem
    per_row = models.UUIDField(unique=True, db_default=Now())
    assert added(per_row, "").field is per_row


# What is refused

PARENT = ("post_ptr", one("post", parent_link=True, primary_key=True))
CHILD = CreateModel(
    "Child", [PARENT, ("extra", text(default="x"))], bases=("blog.post",)
)
KEY: Any = models.BigAutoField(auto_created=True, primary_key=True, serialize=False)
BARE_CHILD = CreateModel("Child", [PARENT], bases=("blog.post",))
REFUSED: list[Any] = [
    (
        "type",
        [post(a=text())],
        [post(a=number())],
        "new_a = models.IntegerField(null=True)",
    ),
    (
        "scale",
        [post(a=models.DecimalField(max_digits=5, decimal_places=2))],
        [post(a=models.DecimalField(max_digits=9, decimal_places=4))],
        "new_a = models.DecimalField(decimal_places=4, max_digits=9, null=True)",
    ),
    (
        "target",
        [AUTHOR, table("Editor"), post(a=to("author"))],
        [AUTHOR, table("Editor"), post(a=to("editor"))],
        "new_a = models.ForeignKey(null=True, on_delete=models.CASCADE",
    ),
    ("column", [post(a=text())], [post(a=text(db_column="b"))], "db_column='a'"),
    ("field", [post(a=text())], [post(b=text())], "b = models.CharField(db_column='a'"),
    (
        "relation",
        [AUTHOR, post(a=to("author"))],
        [AUTHOR, post(b=to("author"))],
        "db_column='a_id'",
    ),
    ("model", [post()], [table("Article", title=text())], 'db_table = "blog_post"'),
    ("table", [post()], [post({"db_table": "posts"})], 'db_table = "blog_post"'),
    (
        "join",
        [AUTHOR, post(a=to("author"))],
        [AUTHOR, post(a=many("author"))],
        "new_a = models.ManyToManyField(",
    ),
    (
        "through",
        [AUTHOR, table("Link"), post(a=many("author"))],
        [AUTHOR, table("Link"), post(a=many("author", through="blog.Link"))],
        "through='blog.Link'",
    ),
    (
        "no through",
        [AUTHOR, table("Link"), post(a=many("author", through="blog.Link"))],
        [AUTHOR, table("Link"), post(a=many("author"))],
        "new_a = models.ManyToManyField(related_name='+', to='blog.author')",
    ),
    (
        "primary key",
        [post()],
        [CreateModel("Post", [("key", text(primary_key=True)), ("title", text())])],
        "class NewPost(models.Model): ...",
    ),
    (
        "parent",
        [AUTHOR, post()],
        [
            AUTHOR,
            CreateModel(
                "Post",
                [
                    ("author_ptr", one("author", parent_link=True, primary_key=True)),
                    ("title", text()),
                ],
                bases=("blog.author",),
            ),
        ],
        "        author = models.OneToOneField(null=True, on_delete=models.CASCADE",
    ),
    (
        "automatic primary key",
        [CreateModel("Post", [("id", KEY), ("title", text())])],
        [
            CreateModel(
                "Post",
                [("id", models.UUIDField(primary_key=True)), ("title", text())],
            )
        ],
        "Leave it to Django, as it was.",
    ),
    (
        "type of the primary key",
        [CreateModel("Post", [("id", models.AutoField(primary_key=True))])],
        [CreateModel("Post", [("id", models.UUIDField(primary_key=True))])],
        "id = models.AutoField(primary_key=True)\n",
    ),
    (
        "expression",
        [post(a=LENGTH)],
        [post(a=changed(LENGTH, expression=models.F("id")))],
        "a = models.GeneratedField(",
    ),
    (
        "many-to-many field",
        [AUTHOR, post(a=many("author"))],
        [AUTHOR, post(b=many("author"))],
        "b = models.ManyToManyField(db_table='blog_post_a', ",
    ),
    (
        "join table of another",
        [AUTHOR, post(a=many("author"))],
        [AUTHOR, post(b=many("author", db_table="blog_post_a", db_constraint=False))],
        'Having "b" of "blog.Post" take the join table of "a" is unsafe',
    ),
    (
        "column in two ways",
        [post(a=text())],
        [post(b=number(db_column="a", null=True))],
        "Rename it alone for now",
    ),
    (
        "joined model",
        [post(), table("Tag", {"db_table": "tags"}), table("Note", a=many("tag"))],
        [post(), table("Label", {"db_table": "tags"}), table("Note", a=many("label"))],
        "class Tag(models.Model):",
    ),
    (
        "proxy",
        [AUTHOR, post()],
        [AUTHOR, CreateModel("Post", [], {"proxy": True}, ("blog.author",))],
        "SeparateDatabaseAndState",
    ),
    (
        "no proxy",
        [AUTHOR, CreateModel("Post", [], {"proxy": True}, ("blog.author",))],
        [AUTHOR, post(a=text(), b=to("post"))],
        'Making another model of "blog.Post", with or without a table, is unsafe',
    ),
    (
        "model and fields",
        [post()],
        [table("Article", {"db_table": "blog_post"}, title=text(), a=text(null=True))],
        "Rename it alone for now",
    ),
    (
        "relation in place of a column",
        [AUTHOR, post(a=text())],
        [AUTHOR, post(a=to("author", null=True))],
        "a = models.CharField(max_length=30)",
    ),
    (
        "to the parent",
        [post(), CHILD],
        [post(extra=text(default="x")), BARE_CHILD],
        'Moving the field "extra" between "blog.Child" and its parent "blog.post"',
    ),
    (
        "to the child",
        [post(extra=text(default="x")), BARE_CHILD],
        [post(), CHILD],
        'Moving the field "extra" between "blog.Child" and its parent "blog.post"',
    ),
    (
        "no default",
        [post()],
        [post(a=text())],
        "a = models.CharField(max_length=30, null=True)",
    ),
    (
        "one default for all",
        [post()],
        [post(a=text(unique=True, default="x"))],
        "a = models.CharField(max_length=30, null=True, unique=True)",
    ),
    (
        "one default for all in a constraint",
        [post()],
        [post({"constraints": [unique("a")]}, a=text(default="x"))],
        "a = models.CharField(max_length=30, null=True)",
    ),
    (
        "one default each for all in a set",
        [post()],
        [
            post(
                {"unique_together": {("b", "a")}},
                a=text(default="x"),
                b=number(default=1),
            )
        ],
        'The new fields "a", "b" of "blog.Post" are unique together',
    ),
]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [pytest.param(*each[1:], id=each[0]) for each in REFUSED],
)
def test_refused(before: Models, after: Models, expected: str) -> None:
    message = refused(before, after)
    assert expected in message
    assert "  " not in message.replace("    ", "")


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"constraints": [unique("a", "title")]}, {}),
        ({"constraints": [unique("a", condition=models.Q(title="x"))]}, {}),
        ({"constraints": [unique("a", "b")]}, {"b": text(default=word)}),
        ({"constraints": [unique("a", "b")]}, {"b": text(null=True)}),
    ],
)
def test_one_default_for_all_is_none_of_a_set(
    options: dict[str, Any], fields: dict[str, Any]
) -> None:
    assert not refused([post()], [post(options, a=text(default="x"), **fields)])


def test_many_to_many_fields_that_come_and_go_are_two() -> None:
    readers = models.ManyToManyField("blog.author", related_name="read")
    check(
        [AUTHOR, post(a=many("author"))],
        [AUTHOR, post(b=readers)],
        ["pre relax_post_a_post_b", "post remove_post_a"],
    )


@pytest.mark.parametrize("options", [{}, {"db_table": "a"}])
def test_a_many_to_many_field_that_keeps_its_table(options: dict[str, Any]) -> None:
    kept = options.get("db_table", "blog_post_a")
    before = [AUTHOR, post(a=many("author", **options))]
    check(
        before,
        [AUTHOR, post(b=many("author", db_table=kept))],
        ["pre rename_a_post_b"],
    )
    # Along with something else, for which both releases have the new name.
    check(
        before,
        [AUTHOR, post(b=many("author", db_table=kept), c=text(default="c"))],
        ["pre rename_a_post_b_post_c", "post drop_db_default_post_c"],
    )


def test_an_index_of_a_renamed_field_stays() -> None:
    (migration,) = generated(
        state([post({"indexes": [index("a", name="i")]}, a=text(unique=True))]),
        state(
            [
                post(
                    {"indexes": [index("b", name="i")]},
                    b=text(unique=True, db_column="a"),
                )
            ]
        ),
    )
    assert [type(each) for each in migration.operations] == [
        AlterField,
        RenameField,
        SeparateDatabaseAndState,
    ]
    # Other fields make another index.
    (first, *_) = generated(
        state([post({"indexes": [index("a", name="i")]}, a=text())]),
        state(
            [post({"indexes": [index("b", "title", name="i")]}, b=text(db_column="a"))]
        ),
    )
    assert any(isinstance(each, AddIndex) for each in first.operations)


def test_a_proxy_goes_after_what_refers_to_it_and_before_its_model() -> None:
    proxy = CreateModel("Proxy", [], {"proxy": True}, ("blog.post",))
    before = [post(), proxy, table("Note", text=text(), proxies=many("proxy"))]
    operations = [
        operation.describe()
        for migration in generated(state(before), state([table("Note", text=text())]))
        for operation in migration.operations
    ]
    assert operations[1:] == [
        "Remove field proxies from note",
        "Delete model Proxy",
        "Delete model Post",
    ]


def test_what_relaxes_a_field_is_undone_last_beside_a_rename() -> None:
    """SQLite would make the table anew with NOT NULL for what is undone after it."""
    unique_a = models.UniqueConstraint(fields=["a"], name="u")
    first, *_ = generated(
        state(
            [post({"constraints": [unique_a]}, a=text(), b=text(), c=text(unique=True))]
        ),
        state([post(a=text(), d=text(db_column="b"))]),
    )
    relaxing, *others = first.operations
    assert isinstance(relaxing, RelaxField)
    assert {RenameField, RemoveConstraint} <= {*map(type, others)}


def test_a_child_that_goes_while_its_parent_changes() -> None:
    check(
        [post(), CHILD],
        [post(a=text(default="a"))],
        [
            "pre relax_child_post_ptr_post_a",
            "post drop_db_default_post_a_delete_child",
        ],
    )


def test_each_change_is_told_of_once() -> None:
    before = [AUTHOR, table("Post", author=to("author"), readers=many("author"))]
    renamed = [
        table("Writer", name=text()),
        table("Post", author=to("writer"), readers=many("writer")),
    ]
    message = refused(before, renamed)
    assert 'Renaming the model "blog.Author" to "Writer" is unsafe' in message
    assert "Altering" not in message
    # Another model is another matter.
    other = [table("Writer", name=text()), table("Editor"), table("Post")]
    other[-1].fields += [("author", to("editor")), ("readers", many("writer"))]
    message = refused(before, other)
    assert 'Altering the field "author"' in message
    assert 'Altering the field "readers"' not in message
    before, after = next(each[1:3] for each in REFUSED if each[0] == "primary key")
    assert "needs a value" not in refused(before, after)
    _, parent = next(each[1:3] for each in REFUSED if each[0] == "parent")
    message = refused([AUTHOR, post()], parent)
    assert message.startswith('Having "blog.Post" inherit from "blog.author" is unsafe')
    assert "author_ptr" not in message


def test_what_refers_to_a_model_that_is_refused_is_not_told_of() -> None:
    before = [AUTHOR, table("Post", author=to("author"))]
    changed = table("Writer", {"db_table": "blog_author"}, age=number(null=True))
    after = [changed, table("Post", writer=to("writer", db_column="author_id"))]
    message = refused(before, after)
    assert message.startswith('Renaming the model "blog.Author" to "Writer" and chang')
    assert "\n\n" not in message


def test_moved_between_apps() -> None:
    old, new = state([post()]), state([post()], "shop")
    with pytest.raises(Refused, match="Making the model"):
        generated(old, new)
    other = state([table("Post", name=text())], "shop")
    migrations = generated(old, other)
    assert {each.app_label for each in migrations} == {"blog", "shop"}


if hasattr(models, "DB_CASCADE"):

    def test_two_actions_of_the_database() -> None:
        before = to("author", null=True, on_delete=models.DB_CASCADE)
        after = to("author", null=True, on_delete=models.DB_SET_NULL)
        assert refused([AUTHOR, post(a=before)], [AUTHOR, post(a=after)])
        plain = to("author", null=True)
        check([AUTHOR, post(a=before)], [AUTHOR, post(a=plain)], ["post alter_post_a"])
        check([AUTHOR, post(a=plain)], [AUTHOR, post(a=after)], ["pre alter_post_a"])


# Who is asked


class Answering(InteractiveMigrationQuestioner):
    """Somebody at a terminal, who gives these answers in turn."""

    def __init__(self, *answers: Any) -> None:
        super().__init__()
        self.answers = list(answers)
        self.asked: list[str] = []

    def ask_initial(self, app_label: str) -> bool:
        return True

    def _boolean_input(self, question: str, default: Any = None) -> Any:
        self.asked.append(question)
        return self.answers.pop(0)

    def _choice_input(self, question: str, choices: Sequence[str]) -> Any:
        self.asked.append("\n".join([question, *choices]))
        return self.answers.pop(0)

    def _ask_default(self, default: str = "") -> Any:
        return self.answers.pop(0)


def test_a_one_off_default() -> None:
    answering = Answering(1, "given")
    old, new = state([post()]), state([post(a=text())])
    pre, drop = generated(old, new, answering)
    assert len(answering.asked) == 1
    operation: Any = pre.operations[0]
    assert operation.field.db_default == "given"
    assert not operation.field.has_default()
    assert drop.name == "0003_drop_db_default_post_a"


def test_a_one_off_default_for_null() -> None:
    answering = Answering(1, "given")
    old, new = state([post(a=text(null=True))]), state([post(a=text())])
    fill, tighten = generated(old, new, answering)
    operation: Any = fill.operations[0]
    assert operation.value == "given"
    assert summary([fill, tighten]) == ["post fill_post_a", "post tighten_post_a"]
    assert not drift(applied(old, [fill, tighten]), new)


def test_a_rename_that_is_none() -> None:
    answering = Answering(False, 1, "given")
    old, new = state([post(a=text())]), state([post(b=text())])
    assert len(generated(old, new, answering)) == 2
    assert len(answering.asked) == 2


def test_the_safe_way_comes_first() -> None:
    answering = Answering(True, 1)
    old, new = state([post(a=text())]), state([post(b=text())])
    with pytest.raises(Refused) as refusal:
        generated(old, new, answering)
    assert refusal.value.is_told
    choices = answering.asked[-1].splitlines()[-3:]
    assert choices[0] == "Quit and keep the name of the column."
    assert choices[-1] == "Write it like that: it needs a downtime."


def test_somebody_insists() -> None:
    answering = Answering(True, 3)
    old, new = state([post(a=text())]), state([post(b=text())])
    (migration,) = generated(old, new, answering)
    assert vars(migration)["stage"] is Stage.POST_DEPLOY
    assert vars(migration)["comments"]
    assert not drift(applied(old, [migration]), new)


def test_who_has_no_answers_asks_nothing() -> None:
    old, new = state([post(a=text())]), state([post(b=text(null=True))])
    assert len(generated(old, new, MigrationQuestioner())) == 2


# Several models and apps


def test_apps_in_a_circle() -> None:
    result = ProjectState()
    key: Any = models.BigAutoField(primary_key=True)
    for label, name, other in (
        ("blog", "Post", "shop.item"),
        ("shop", "Item", "blog.post"),
    ):
        relation: Any = models.ForeignKey(other, models.CASCADE, null=True)
        result.add_model(ModelState(label, name, {"id": key, "other": relation}))
    migrations = generated(ProjectState(), result)
    assert len(migrations) == 3
    assert sum(bool(getattr(each, "comments", None)) for each in migrations) == 1
    assert not drift(applied(ProjectState(), migrations), result)
    back = generated(result, ProjectState())
    stages = [planned_stage(each) for each in back]
    assert stages.count(Stage.PRE_DEPLOY) == 2
    assert not applied(result, back).models


def test_other_apps_keep_what_they_have() -> None:
    old, new = ProjectState(), ProjectState()
    for label in ("blog", "shop"):
        post(a=text()).state_forwards(label, old)
        post(b=number(null=True)).state_forwards(label, new)
    detector = MigrationAutodetector(old, new, Asked())
    changes = detector.changes(existing("blog", "shop"), trim_to_apps={"shop"})
    assert {label: len(own) for label, own in changes.items()} == {"shop": 2}
    # What is refused there is of no concern, either.
    old, new = ProjectState(), ProjectState()
    for label, options in (("blog", {"unique": True}), ("shop", {})):
        post().state_forwards(label, old)
        post(a=text(default="x", **options)).state_forwards(label, new)
    detector = MigrationAutodetector(old, new, Asked())
    changes = detector.changes(existing("blog", "shop"), trim_to_apps={"shop"})
    assert {label: len(own) for label, own in changes.items()} == {"shop": 2}


def test_other_apps_have_lists_where_models_have_sets() -> None:
    old, new = ProjectState(), ProjectState()
    written: Any = [["a", "title"]]
    post({"unique_together": written}, a=text()).state_forwards("blog", old)
    post({"unique_together": {("a", "title")}}, a=text()).state_forwards("blog", new)
    post(a=text()).state_forwards("shop", old)
    post(b=number(null=True)).state_forwards("shop", new)
    detector = MigrationAutodetector(old, new, Asked())
    changes = detector.changes(existing("blog", "shop"))
    assert {label: len(own) for label, own in changes.items()} == {"shop": 2}


def test_a_proxy_that_goes() -> None:
    proxy = CreateModel("Short", [], {"proxy": True}, ("blog.post",))
    check([post(), proxy], [post()], ["pre delete_short"])
    note = table("Note", short=to("short", null=True))
    check(
        [post(), proxy, note],
        [post(), table("Note")],
        ["pre relax_note_short", "post remove_note_short_delete_short"],
    )


def test_an_ordered_model_goes_in_one_piece() -> None:
    ordered = table(
        "Item",
        {"order_with_respect_to": "author", "unique_together": {("a", "author")}},
        author=to("author"),
        a=text(),
    )
    before = [table("Author", name=text(null=True)), post(), ordered]
    (pre, rest) = generated(state(before), state([table("Author")]))
    assert rest.name == "0003_delete_post_remove_author_name_delete_item"
    assert pre.name == "0002_relax_item_author"


def test_models_that_refer_to_each_other_go() -> None:
    a, b = table("A", b=to("b")), table("B", a=to("a"))
    before = state([a, b, post()])
    migrations = generated(before, ProjectState())
    for count in range(len(migrations)):
        # It raises an error if a field refers to a model that isn't there.
        models = applied(before, migrations[: count + 1]).apps.get_models()
        assert len(models) <= 3
    assert [type(each) for each in migrations[-1].operations].count(DeleteModel) == 3


def test_the_default_of_an_order_outlives_tables_made_anew() -> None:
    """SQLite makes them anew for most alterations, and knows no DEFAULT of _order."""

    def item(options: dict[str, Any], length: int) -> Any:
        return table("Item", options, author=to("author"), a=text(length, null=True))

    ordered = {"order_with_respect_to": "author"}
    alone = [AUTHOR, table("Item", a=text(30, null=True))]
    for before, after, first, last in (
        (item({}, 30), item(ordered, 40), DropOrderDefault, AlterOrder),
        (item(ordered, 30), item({}, 40), AlterOrder, SetOrderDefault),
        (item(ordered, 40), item({}, 30), AlterOrder, SetOrderDefault),
    ):
        pre, rest = generated(state([AUTHOR, before]), state([AUTHOR, after]))
        assert isinstance(pre.operations[-1], last)
        assert isinstance(rest.operations[0], first)
    pre, rest = generated(state([AUTHOR, item(ordered, 30)]), state(alone))
    assert [type(each) for each in rest.operations] == [AlterOrder, RemoveField]


def test_what_is_made_of_a_column_goes_before_it() -> None:
    before = post({"indexes": [index("a", "title")]}, a=text(null=True), length=LENGTH)
    (rest,) = generated(state([before]), state([table("Post")]))[1:]
    gone = [getattr(each, "name", "") for each in rest.operations]
    assert gone == ["index_a_title", "length", "a", "title"]


def test_what_refers_to_a_field_comes_after_it_and_goes_before_it() -> None:
    """Django sees to that for models alone, and sorts by names."""
    plain = [table("Author"), table("Book"), table("City"), table("Zone")]
    referring = [
        table("Author", code=text(unique=True, null=True)),
        table("Book", a=to("author", to_field="code", null=True)),
        table("City", a=to("zone", to_field="code", null=True)),
        table("Zone", code=text(unique=True, null=True)),
    ]
    check(plain, referring, ["pre author_code_zone_code_book_a_city_a"])
    check(referring, plain, ["pre relax_book_a_relax_city_a", "post remove_4_fields"])
    *_, rest = generated(state(referring), state(plain))
    described = [each.describe() for each in rest.operations]
    assert described.index("Remove field a from book") < described.index(
        "Remove field code from author"
    )
    # A model that refers to it goes as a whole.
    *_, rest = generated(state(referring), state([plain[0], *plain[2:]]))
    described = [each.describe() for each in rest.operations]
    assert described.index("Delete model Book") < described.index(
        "Remove field code from author"
    )


def test_what_refers_to_a_field_of_another_app_goes_before_it() -> None:
    old, new = ProjectState(), ProjectState()
    for name, fields in (("Author", {"code": text(unique=True)}), ("Post", {})):
        table(name, **fields).state_forwards("blog", old)
        table(name).state_forwards("blog", new)
    key: Any = to("author", to_field="code")
    table("Item", author=key).state_forwards("shop", old)
    table("Item").state_forwards("shop", new)
    rest = [
        each for each in generated(old, new) if planned_stage(each) is Stage.POST_DEPLOY
    ]
    assert [each.app_label for each in rest] == ["shop", "blog"]
    assert ("shop", rest[0].name) in rest[1].dependencies


NAMES: list[Any] = [
    # Django's as long as it tells of all.
    ({}, {"a": text(null=True), "b": text(null=True)}, ["0002_post_a_post_b"]),
    (
        {},
        {name * 9: text(default="x") for name in "abcd"},
        ["0002_add_4_fields_of_post", "0003_drop_4_db_defaults_of_post"],
    ),
    (
        {name * 9: text() for name in "abc"} | {name * 9: text(20) for name in "def"},
        {name * 9: text() for name in "def"} | {"g": text(null=True)},
        [
            "0002_post_g_set_3_db_defaults_relax_3_fields_of_post",
            "0003_remove_3_fields_of_post",
        ],
    ),
    (
        {"a" * 9: text(unique=True), "b" * 9: text(null=True)},
        {"a" * 9: text(20), "b" * 9: text(), "c" * 9: text(default="x")},
        [
            "0002_post_ccccccccc_relax_post_aaaaaaaaa",
            "0003_tighten_2_fields_drop_db_default_post_ccccccccc",
        ],
    ),
]


@pytest.mark.parametrize(("before", "after", "names"), NAMES)
def test_names_tell_of_all_operations(
    before: Any, after: Any, names: list[str]
) -> None:
    migrations = generated(state([post(**before)]), state([post(**after)]))
    assert [each.name for each in migrations] == names


def test_names_of_many_models() -> None:
    models = [table(name * 9, a=to("post")) for name in "ABCD"]
    (first,) = generated(state([post()]), state([post({"ordering": ["id"]}), *models]))
    assert first.name == "0002_create_4_models_alter_post_options"
    # What is too long is told of without its name.
    together = {"indexes": [index("title", name="i" * 30)]}
    lengthy = post(together, **{"a" * 20: text(null=True)})
    (first,) = generated(state([post()]), state([lengthy]))
    assert first.name == f"0002_post_{'a' * 20}_add_index_of_post"
    pre, rest = generated(state([post(), *models]), state([post()]))
    assert pre.name == "0002_relax_4_fields"
    assert rest.name == "0003_delete_4_models"


def test_a_model_that_keeps_its_table() -> None:
    check(
        [post(), table("Note", post=to("post"))],
        [
            table("Article", {"db_table": "blog_post"}, title=text()),
            table("Note", post=to("article")),
        ],
        ["pre alter_post_table_rename_post_article"],
    )


def test_what_is_made_of_a_column_that_gets_another_name() -> None:
    before = {
        "indexes": [index("-a", name="i")],
        "constraints": [unique("a", name="u")],
    }
    after = {"indexes": [index("-b", name="i")], "constraints": [unique("b", name="u")]}
    old, new = (
        state([post(before, a=text())]),
        state([post(after, b=text(db_column="a"))]),
    )
    migrations = generated(old, new)
    assert [planned_stage(each) for each in migrations] == [Stage.PRE_DEPLOY]
    assert not drift(applied(old, migrations), new)


def test_joins() -> None:
    check(
        [AUTHOR, post(a=many("author"), b=many("author", db_constraint=False))],
        [AUTHOR, post(a=many("author", db_constraint=False), b=many("author"))],
        ["pre relax_post_a", "post tighten_post_b"],
    )
    link = table("Link", post=to("post"), author=to("author"))
    check(
        [AUTHOR, post(a=many("author", through="blog.Link")), link],
        [AUTHOR, post()],
        ["pre relax_link_author_relax_link_post", "post remove_post_a_delete_link"],
    )


@pytest.mark.parametrize(
    ("old", "new", "vendor", "wide"),
    [
        (models.PositiveIntegerField, models.IntegerField, "", models.IntegerField),
        (
            models.PositiveIntegerField,
            models.IntegerField,
            "mysql",
            models.BigIntegerField,
        ),
        (
            models.PositiveSmallIntegerField,
            models.SmallIntegerField,
            "mysql",
            models.IntegerField,
        ),
    ],
)
def test_what_holds_the_integers_of_both(
    old: Any, new: Any, vendor: str, wide: Any
) -> None:
    for one_type, other in ((old, new), (new, old)):
        field = weaker(
            one_type(),
            other(),
            vendor=vendor,
            keep_unique=False,
            has_effect=lambda before, after: type(before) is not type(after),
        )
        assert type(field) is wide


@pytest.mark.parametrize(
    "types",
    [
        (models.PositiveBigIntegerField(), models.SmallIntegerField()),
        (models.BigIntegerField(), models.PositiveBigIntegerField()),
    ],
)
def test_no_type_holds_the_integers_of_both(
    types: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = types
    before, after = [post(a=old)], [post(a=new)]
    monkeypatch.setattr(connections["default"], "vendor", "sqlite")
    assert not refused(before, after)
    # MySQL's unsigned integers reach further.
    monkeypatch.setattr(connections["default"], "vendor", "mysql")
    message = refused(before, after)
    assert "no type of the database holds what both releases may write" in message
    assert f"a = models.{type(old).__name__}()" in message
    assert f"new_a = models.{type(new).__name__}()" in message


def test_neither_type_holds_the_integers_of_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # MySQL has unsigned ones.
    monkeypatch.setattr(connections["default"], "vendor", "sqlite")
    check(
        [AUTHOR, post(a=models.PositiveBigIntegerField())],
        [AUTHOR, post(a=number())],
        ["pre relax_post_a", "post tighten_post_a"],
    )


def test_an_unmanaged_model() -> None:
    before = table("View", {"managed": False}, a=text())
    check([before], [table("View", {"managed": False}, b=text())], [])


# The class


def test_the_class() -> None:
    assert STAGE_SPLIT == "__stage__"
    old, new = state([post()]), state([post(a=text(default="x"))])
    detector = MigrationAutodetector(old, new, Asked(), style=object())
    with unsplit():
        assert len(detector.changes(existing("blog"))["blog"]) == 1
    assert staged(MigrationAutodetector) is MigrationAutodetector
    assert staged(DjangoAutodetector) is MigrationAutodetector

    class Other(DjangoAutodetector):
        pass

    assert issubclass(staged(Other), StagedMixin)
    assert staged(Other) is staged(Other)


def test_an_inconsistency_is_not_written() -> None:
    migration = Migration("0002", "blog")
    vars(migration)["operations"] = [AlterField("post", "title", text(20))]
    history = history_of(state([post()]))
    with pytest.raises(Inconsistency, match="would run pre-deploy, which is unsafe"):
        settle([(migration, Stage.PRE_DEPLOY)], history, Excuses((), {}))


def test_what_is_written_can_be_read() -> None:
    old, new = state([post()]), state([post(a=models.DateField(auto_now=True))])
    pre, _ = generated(old, new)
    source_code = MigrationWriter(pre).as_string()
    assert "Cast(django.db.models.functions.datetime.Now()" in source_code
    compile(source_code, "file", "exec")
