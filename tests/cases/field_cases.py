"""What changes of fields do to the releases; see :mod:`.test_rehearsal_rules`."""

from __future__ import annotations

import uuid
from typing import Any

from django import VERSION
from django.db import models
from django.db.migrations import (
    AddField,
    AlterField,
    AlterUniqueTogether,
    CreateModel,
    RemoveField,
    RenameField,
    RunPython,
)
from django.db.models.functions import Length, Now
from django.utils import timezone

from tests.rehearsal_helpers import (
    HAZARD,
    Case,
    Seen,
    auto,
    post,
)
from tests.rules_helpers import model
from tests.services import UNDER_TEST

STRICT: Any = {
    "on": ("postgresql", "mariadb"),
    "because": "SQLite doesn't enforce the length of a text or the size of a number",
}
RELYING: Any = {
    "on": ("postgresql", "mariadb", *(["sqlite"] if VERSION >= (6,) else [])),
    "because": "Django 5.2 itself inserts the db_default where SQLite knows no DEFAULT",
}


def text(length: int = 20, **options: Any) -> models.CharField[str, str]:
    return models.CharField(max_length=length, **options)


def to(name: str, **options: Any) -> models.ForeignKey[Any, Any]:
    return models.ForeignKey(f"blog.{name}", **{"on_delete": models.CASCADE, **options})


def fill_codes(apps: Any, schema_editor: Any) -> None:
    posts = apps.get_model("blog", "Post").objects
    for each in posts.using(schema_editor.connection.alias).filter(code=None):
        each.code = uuid.uuid4()
        each.save(update_fields=["code"])


FILL = RunPython(fill_codes, RunPython.noop)
POST = model("Post", title=text())
AUTHOR = model("Author", name=text())
LENGTH: Any = models.GeneratedField(
    expression=Length("title"), output_field=models.IntegerField(), db_persist=True
)


def added(field: Any) -> tuple[AddField]:
    return (AddField("post", "extra", field),)


def altered(field: Any) -> tuple[AlterField]:
    return (AlterField("post", "title", field),)


def with_title(field: Any, *others: Any) -> tuple[Any, ...]:
    return (*others, model("Post", number=models.IntegerField(), title=field))


def keyed(key: Any) -> list[CreateModel]:
    """Authors with such a key, and others that refer to it."""
    parent = models.OneToOneField(
        "blog.author", models.CASCADE, parent_link=True, primary_key=True
    )
    return [
        model("Author", id=key(primary_key=True), name=text()),
        model("Editor", ("blog.author",), author_ptr=parent, desk=text()),
        model(
            "Post",
            author=to("author"),
            editor=to("editor", null=True, related_name="edited"),
            readers=models.ManyToManyField("blog.author", related_name="read"),
        ),
    ]


def rekeyed(key: Any) -> tuple[AlterField]:
    return (AlterField("author", "id", key(primary_key=True)),)


REMOVED = (RemoveField("post", "title"),)
OLD_EXTRA, NEW_EXTRA = Seen("old", "Post.extra"), Seen("new", "Post.extra")
OLD_TITLE, NEW_TITLE = Seen("old", "Post.title"), Seen("new", "Post.title")

CASES = [
    # New fields
    Case("add-field", [POST], added(text(null=True)), post=NEW_EXTRA),
    Case(
        "add-field-null-default",
        [POST],
        added(text(null=True, default="en")),
        pre=Seen("new", "Post.extra", HAZARD),
        post=NEW_EXTRA,
        instead=[auto(*added(text(null=True, default="en", db_default="en")))],
    ),
    Case("add-field-db-default", [POST], added(text(db_default="x")), post=NEW_EXTRA),
    Case(
        "add-field-not-null",
        [POST],
        added(text(default="en")),
        pre=OLD_EXTRA,
        post=NEW_EXTRA,
        instead=[
            auto(*added(text(default="en", db_default="en"))),
            auto(AlterField("post", "extra", text(default="en"))),
        ],
    ),
    Case(
        "add-field-implicit-default",
        [POST],
        added(text(blank=True)),
        pre=OLD_EXTRA,
        post=NEW_EXTRA,
        instead=[auto(*added(text(blank=True, db_default="")))],
    ),
    Case(
        "add-field-implicit-default",
        [POST],
        added(models.DateTimeField(auto_now=True)),
        pre=OLD_EXTRA,
        post=NEW_EXTRA,
        instead=[auto(*added(models.DateTimeField(auto_now=True, db_default=Now())))],
        name="auto_now",
    ),
    Case(
        "add-field-callable-default",
        [POST],
        added(models.DateTimeField(default=timezone.now)),
        pre=OLD_EXTRA,
        post=NEW_EXTRA,
        instead=[
            auto(
                *added(models.DateTimeField(default=timezone.now, db_default=Now())),
            )
        ],
    ),
    Case(
        "add-field-unique", [POST], added(text(null=True, unique=True)), post=NEW_EXTRA
    ),
    Case(
        "add-field-unique-not-null",
        [POST],
        (AddField("post", "code", models.UUIDField(default=uuid.uuid4, unique=True)),),
        pre=Seen(""),
        post=Seen("new", "Post.code"),
        instead=[
            auto(AddField("post", "code", models.UUIDField(null=True, unique=True))),
            post(FILL),
            auto(
                AlterField(
                    "post", "code", models.UUIDField(default=uuid.uuid4, unique=True)
                )
            ),
        ],
        # The new release finds the rows of the other before they are filled.
        hazards=["set-not-null"],
    ),
    Case(
        "add-field-relation",
        [AUTHOR, POST],
        added(to("author", null=True)),
        pre=Seen("old", "Author", HAZARD),
        post=NEW_EXTRA,
        instead=[
            auto(*added(to("author", null=True, db_constraint=False))),
            auto(AlterField("post", "extra", to("author", null=True))),
        ],
    ),
    Case("add-field-generated", [POST], added(LENGTH), post=NEW_EXTRA),
    Case(
        "add-field-m2m",
        [AUTHOR, POST],
        added(models.ManyToManyField("blog.author")),
        pre=Seen("old", "Author", HAZARD),
        post=Seen("new", "Author"),
        instead=[
            auto(*added(models.ManyToManyField("blog.author", db_constraint=False)))
        ],
    ),
    Case(
        "add-field-m2m",
        [AUTHOR, model("Tag", name=text()), model("Post", author=to("author"))],
        added(models.ManyToManyField("blog.tag")),
        # Posts go with their author, and don't go.
        pre=Seen("old", "Author", HAZARD),
        post=Seen("new", "Author"),
        instead=[auto(*added(models.ManyToManyField("blog.tag", db_constraint=False)))],
        name="cascade",
    ),
    # Fields that go
    Case("remove-field", with_title(text(null=True)), REMOVED, pre=OLD_TITLE),
    Case(
        "remove-field",
        with_title(text(db_default="")),
        REMOVED,
        pre=OLD_TITLE,
        name="db_default",
    ),
    Case(
        "remove-field-not-null",
        with_title(text()),
        REMOVED,
        pre=OLD_TITLE,
        post=NEW_TITLE,
        instead=[auto(*altered(text(db_default=""))), auto(*REMOVED)],
    ),
    Case(
        "remove-field-unique",
        with_title(text(unique=True)),
        REMOVED,
        pre=OLD_TITLE,
        post=NEW_TITLE,
        instead=[auto(*altered(text(unique=True, null=True))), auto(*REMOVED)],
        hazards=["drop-not-null"],
    ),
    Case(
        "remove-field-constrained",
        [
            *with_title(text(db_default="")),
            AlterUniqueTogether("post", {("number", "title")}),
        ],
        REMOVED,
        # Others can't drop a column that an index has.
        pre=Seen("old" if UNDER_TEST == "postgresql" else ""),
        post=Seen("new", "Post.title"),
        instead=[auto(AlterUniqueTogether("post", set())), auto(*REMOVED)],
    ),
    Case(
        "remove-field-relation",
        with_title(to("author"), AUTHOR),
        REMOVED,
        pre=OLD_TITLE,
        post=NEW_TITLE,
        instead=[
            auto(*altered(to("author", null=True, db_constraint=False))),
            auto(*REMOVED),
        ],
        hazards=["drop-not-null"],
    ),
    Case(
        "remove-field-relation",
        with_title(to("author", null=True), AUTHOR),
        REMOVED,
        pre=OLD_TITLE,
        post=Seen("new", "Author", HAZARD),
        instead=[
            auto(*altered(to("author", null=True, db_constraint=False))),
            auto(*REMOVED),
        ],
        name="null",
    ),
    Case(
        "remove-field-m2m",
        with_title(models.ManyToManyField("blog.author"), AUTHOR),
        REMOVED,
        pre=OLD_TITLE,
        post=Seen("new", "Author", HAZARD),
        instead=[
            auto(*altered(models.ManyToManyField("blog.author", db_constraint=False))),
            auto(*REMOVED),
        ],
    ),
    Case(
        "remove-field-generated",
        [model("Post", title=text(), length=LENGTH)],
        (RemoveField("post", "length"),),
        pre=Seen("old", "Post.length"),
    ),
    # Fields that change
    Case(
        "set-not-null",
        with_title(text(null=True)),
        # Django fills what is NULL with the value that somebody gave for once.
        (AlterField("post", "title", text(default=""), preserve_default=False),),
        pre=OLD_TITLE,
        post=Seen("new", "Post.title", HAZARD),
    ),
    Case(
        "drop-not-null",
        with_title(text()),
        altered(text(null=True)),
        pre=Seen("old", "Post.title", HAZARD),
        post=NEW_TITLE,
    ),
    Case(
        "widen-type",
        with_title(text()),
        altered(text(60)),
        post=Seen("new", "Post.title", **STRICT),
    ),
    Case(
        "widen-type",
        with_title(models.IntegerField()),
        altered(models.BigIntegerField()),
        post=Seen("new", "Post.title", **STRICT),
        name="integer",
    ),
    Case(
        "widen-type",
        with_title(models.DecimalField(max_digits=5, decimal_places=2)),
        altered(models.DecimalField(max_digits=9, decimal_places=2)),
        post=Seen("new", "Post.title", **STRICT),
        name="digits",
    ),
    Case(
        "narrow-type",
        with_title(text(60)),
        altered(text()),
        pre=Seen("old", "Post.title", **STRICT),
    ),
    Case(
        "narrow-type",
        with_title(models.BigIntegerField()),
        altered(models.IntegerField()),
        pre=Seen("old", "Post.title", **STRICT),
        name="integer",
    ),
    Case(
        "change-type",
        with_title(text()),
        altered(models.IntegerField()),
        pre=OLD_TITLE,
        post=NEW_TITLE,
        instead=[
            auto(*added(models.IntegerField(default=0, db_default=0))),
        ],
    ),
    Case(
        "change-type",
        with_title(models.DecimalField(max_digits=6, decimal_places=2)),
        altered(models.DecimalField(max_digits=6, decimal_places=0)),
        pre=Seen("old", "Post.title", **STRICT),
        post=Seen("new", "Post.title", **STRICT),
        name="scale",
    ),
    Case(
        "change-target",
        with_title(to("author"), AUTHOR, model("Editor", name=text())),
        altered(to("editor")),
        pre=OLD_TITLE,
        post=NEW_TITLE,
        instead=[
            auto(*added(to("editor", null=True, db_constraint=False))),
        ],
    ),
    # The key of a model whose rows others refer to in all ways there are.
    Case("widen-primary-key", keyed(models.AutoField), rekeyed(models.BigAutoField)),
    Case("narrow-primary-key", keyed(models.BigAutoField), rekeyed(models.AutoField)),
    Case(
        "widen-type",
        keyed(models.IntegerField),
        rekeyed(models.BigIntegerField),
        post=Seen("new", "Author.id", **STRICT),
        name="key",
    ),
    Case(
        "change-primary-key",
        [POST],
        (AlterField("post", "id", text(primary_key=True)),),
        pre=Seen("old", "Post.id"),
        post=Seen("new", "Post.id"),
    ),
    Case(
        "change-generated",
        [model("Post", title=text(), length=LENGTH)],
        (
            AlterField(
                "post",
                "length",
                models.GeneratedField(
                    expression=Length("title") + 1,
                    output_field=models.IntegerField(),
                    db_persist=True,
                ),
            ),
        ),
        # Django doesn't even try.
        pre=Seen(""),
        post=Seen(""),
        instead=[auto(*added(LENGTH)), auto(RemoveField("post", "length"))],
    ),
    Case(
        "change-m2m",
        with_title(models.ManyToManyField("blog.author"), AUTHOR),
        (RenameField("post", "title", "names"),),
        pre=Seen("old", "Post"),
        post=Seen("new", "Post"),
    ),
    Case(
        "rename-column",
        with_title(text()),
        (RenameField("post", "title", "name"),),
        pre=OLD_TITLE,
        post=Seen("new", "Post.name"),
        instead=[
            auto(
                AlterField("post", "title", text(db_column="title")),
                RenameField("post", "title", "name"),
            )
        ],
    ),
    Case(
        "rename-column",
        with_title(text()),
        altered(text(db_column="name")),
        pre=OLD_TITLE,
        post=NEW_TITLE,
        name="db_column",
    ),
    Case(
        "add-unique",
        with_title(text()),
        altered(text(unique=True)),
        pre=OLD_TITLE,
        post=Seen("new", "Post.title", HAZARD),
    ),
    Case(
        "drop-unique",
        with_title(text(unique=True)),
        altered(text()),
        pre=Seen("old", "Post.title", HAZARD),
        post=NEW_TITLE,
    ),
    Case(
        "add-db-default",
        with_title(text()),
        altered(text(db_default="")),
        post=Seen("new", "Post.title", **RELYING),
    ),
    Case(
        "add-db-default",
        with_title(text(null=True)),
        altered(text(null=True, db_default="x")),
        post=Seen("new", "Post.title", **RELYING),
        name="null",
    ),
    Case(
        "drop-db-default",
        with_title(text(db_default="")),
        altered(text()),
        pre=Seen("old", "Post.title", **RELYING),
    ),
    Case(
        "drop-db-default",
        with_title(text(null=True, db_default="x")),
        altered(text(null=True)),
        pre=Seen("old", "Post.title", **RELYING),
        name="null",
    ),
    Case(
        "change-db-default",
        with_title(text(db_default="x")),
        altered(text(db_default="y")),
    ),
    Case("add-db-index", with_title(text()), altered(text(db_index=True))),
    Case("drop-db-index", with_title(text(db_index=True)), altered(text())),
    Case(
        "add-db-constraint",
        with_title(to("author", db_constraint=False), AUTHOR),
        altered(to("author")),
        pre=OLD_TITLE,
    ),
    Case(
        "drop-db-constraint",
        with_title(to("author"), AUTHOR),
        altered(to("author", db_constraint=False)),
        post=NEW_TITLE,
    ),
    Case(
        "change-collation",
        with_title(text()),
        altered(
            text(
                db_collation={
                    "sqlite": "nocase",
                    "postgresql": "C",
                    "mariadb": "utf8mb4_bin",
                }[UNDER_TEST]
            )
        ),
    ),
]

if hasattr(models, "DB_CASCADE"):
    BY_DATABASE: Any = {"on_delete": models.DB_CASCADE}
    CASES += [
        Case(
            "add-on-delete",
            with_title(to("author"), AUTHOR),
            altered(to("author", **BY_DATABASE)),
            post=Seen("new", "Author"),
        ),
        Case(
            "drop-on-delete",
            with_title(to("author", **BY_DATABASE), AUTHOR),
            altered(to("author")),
            pre=Seen("old", "Author"),
        ),
    ]
