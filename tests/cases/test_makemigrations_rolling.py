"""What the autodetector writes is rehearsed: nothing breaks, forward and back."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.db import DEFAULT_DB_ALIAS, models
from django.db.migrations import CreateModel
from django.db.migrations.state import ProjectState
from django.db.models import F, Q
from django.db.models.functions import Length
from django.utils import timezone

from tests.command_helpers import Project, empty
from tests.generation_helpers import Case, plain, run, schema, state, table, undo
from tests.rehearsal_helpers import BREAKS, Told, codes
from tests.rules_helpers import APP
from tests.services import UNDER_TEST

pytest_plugins = ["tests.command_fixtures"]

CASCADE = models.CASCADE


def text(length: int = 30, **options: Any) -> Any:
    return models.CharField(max_length=length, **options)


def number(**options: Any) -> Any:
    return models.IntegerField(**options)


def to(name: str, **options: Any) -> Any:
    return models.ForeignKey(
        f"{APP}.{name}", **{"on_delete": CASCADE, "related_name": "+", **options}
    )


def one(name: str, **options: Any) -> Any:
    return models.OneToOneField(
        f"{APP}.{name}", **{"on_delete": CASCADE, "related_name": "+", **options}
    )


def child(name: str, **fields: Any) -> Any:
    link = one("post", parent_link=True, primary_key=True, related_name=None)
    return CreateModel(
        name, [("post_ptr", link), *fields.items()], bases=(f"{APP}.post",)
    )


def many(name: str, **options: Any) -> Any:
    return models.ManyToManyField(f"{APP}.{name}", related_name="+", **options)


def unique(*fields: str, **options: Any) -> Any:
    return models.UniqueConstraint(
        fields=fields, **{"name": f"unique_{'_'.join(fields)}", **options}
    )


def index(*fields: str, **options: Any) -> Any:
    return models.Index(
        fields=list(fields), **{"name": f"index_{'_'.join(fields)}", **options}
    )


def word() -> str:
    return uuid.uuid4().hex


LENGTH: Any = models.GeneratedField(
    expression=Length("title"), output_field=models.IntegerField(), db_persist=True
)
# Overflows before what it is made of.
DOUBLE: Any = models.GeneratedField(
    expression=F("amount") * 2, output_field=models.IntegerField(), db_persist=True
)
# Of a field that is as new; Django makes the index before it.
NEW_LENGTH: Any = models.GeneratedField(
    expression=Length("char"), output_field=models.IntegerField(), db_persist=True
)
AUTHOR = table("Author", name=text())
POST = table("Post", title=text())

# Fields of every type, with or without a default.
TYPES: dict[str, Any] = {
    "binary": models.BinaryField(default=b"x"),
    "boolean": models.BooleanField(default=True),
    "date": models.DateField(default=dt.date(2020, 2, 2)),
    "decimal": models.DecimalField(max_digits=6, decimal_places=2, default=Decimal(2)),
    "duration": models.DurationField(default=dt.timedelta(1)),
    "floating": models.FloatField(default=1.5),
    "ip": models.GenericIPAddressField(default="::1"),
    "json": models.JSONField(default=dict),
    "positive": models.PositiveSmallIntegerField(default=3),
    "text": models.TextField(default="it's"),
    "time": models.TimeField(default=dt.time(4)),
    "url": models.URLField(default="http://example.org/%s"),
    "uuid": models.UUIDField(default=uuid.UUID(int=5)),
}


def bare(field: Any) -> Any:
    field = field.clone()
    field.default = models.NOT_PROVIDED
    return field


# Code that upserts on what comes or goes can't be helped.
UPSERTS = [
    "add-constraint",
    "add-db-default",
    "add-unique",
    "add-unique-together",
    "drop-db-default",
    "drop-unique",
    "remove-constraint",
    "remove-unique-together",
]

# Whether the database deletes what refers to a row, since Django 6.1.
BY_DATABASE = getattr(models, "DB_CASCADE", None)
RELATIONS_OF_DATABASES = [
    Case(
        "deletion by the database",
        [
            AUTHOR,
            table(
                "Post", given=to("author"), taken=to("author", on_delete=BY_DATABASE)
            ),
            table("Note", gone=to("author", on_delete=BY_DATABASE)),
        ],
        [
            AUTHOR,
            table(
                "Post", given=to("author", on_delete=BY_DATABASE), taken=to("author")
            ),
            table("Note", new=to("author", on_delete=BY_DATABASE, null=True)),
        ],
        hazards=["drop-not-null"],
    )
    for _ in range(BY_DATABASE is not None)
]


OF_POSTGRESQL: list[Case] = []
if UNDER_TEST == "postgresql":
    from django.contrib.postgres.constraints import ExclusionConstraint
    from django.contrib.postgres.fields import IntegerRangeField

    def apart(*fields: str, **options: Any) -> Any:
        return ExclusionConstraint(
            name=f"apart_{'_'.join(fields)}",
            expressions=[(field, "&&") for field in fields],
            **options,
        )

    def span(**options: Any) -> Any:
        return IntegerRangeField(**options)

    OF_POSTGRESQL.append(
        Case(
            "exclusions",
            [
                table(
                    "Post",
                    {"constraints": [apart("gone"), apart("left"), apart("moved")]},
                    gone=span(),
                    left=span(null=True),
                    kept=span(),
                    moved=span(),
                )
            ],
            [
                table(
                    "Post",
                    {
                        "constraints": [
                            apart("kept", condition=Q(left__isnull=False)),
                            apart("new"),
                            apart(
                                "new", "moved", deferrable=models.Deferrable.DEFERRED
                            ),
                        ]
                    },
                    left=span(null=True),
                    kept=span(),
                    moved=span(),
                    new=span(null=True, default=(1, 2)),
                )
            ],
            hazards=["add-field", "drop-not-null", *UPSERTS],
        )
    )

CASES = [
    Case(
        "new fields",
        [POST],
        [
            table(
                "Post",
                {
                    "indexes": [index("char"), index("a_new_length")],
                    "constraints": [
                        unique("title", "char"),
                        models.CheckConstraint(condition=Q(number__gt=0), name="over"),
                    ],
                    "unique_together": {("title", "number")},
                },
                title=text(),
                a_new_length=NEW_LENGTH,
                char=text(default="a"),
                number=number(default=1),
                nullable=text(null=True),
                nullable_default=text(null=True, default="b"),
                blank=text(blank=True),
                db_default=text(db_default="c"),
                null_unique=text(null=True, unique=True),
                length=LENGTH,
                **TYPES,
            )
        ],
        hazards=UPSERTS,
    ),
    Case(
        "new fields of moments",
        [POST],
        [
            table(
                "Post",
                title=text(),
                added=models.DateTimeField(auto_now_add=True),
                changed=models.DateTimeField(auto_now=True),
                now=models.DateTimeField(default=timezone.now),
                day=models.DateField(auto_now=True),
                today=models.DateField(default=dt.date.today),
                time=models.TimeField(auto_now_add=True),
            )
        ],
    ),
    Case(
        "new fields that are filled",
        [POST],
        [
            table(
                "Post",
                title=text(),
                code=models.UUIDField(default=uuid.uuid4, unique=True),
                other=models.UUIDField(default=uuid.uuid4),
                word=text(32, default=word),
                maybe=text(32, default=word, null=True),
            )
        ],
        hazards=["add-field", "set-not-null"],
    ),
    Case(
        "new relations",
        [AUTHOR, POST, table("Tag", name=text())],
        [
            AUTHOR,
            table("Tag", name=text(), code=text(null=True, unique=True)),
            table(
                "Post",
                title=text(),
                tag=to("tag", to_field="code", null=True),
                author=to("author", null=True),
                editor=one("author", null=True),
                readers=many("author"),
                loose=to("author", null=True, db_constraint=False),
            ),
        ],
        # They come with the new release, which the running one can't help.
        hazards=["add-field-m2m", "add-field-relation"],
    ),
    Case(
        "fields that go",
        [
            table(
                "Post",
                {
                    "indexes": [index("char")],
                    "constraints": [
                        unique("title", "char"),
                        models.CheckConstraint(condition=Q(number__gt=0), name="over"),
                    ],
                    "unique_together": {("title", "number")},
                },
                title=text(),
                char=text(),
                number=number(default=1),
                nullable=text(null=True),
                db_default=text(db_default="c"),
                choice=text(choices=[("d", "Draft"), ("p", "Public")]),
                length=LENGTH,
                moment=models.DateTimeField(),
                **{name: bare(field) for name, field in TYPES.items()},
            )
        ],
        [POST],
        # The old release finds NULL in what is in a constraint.
        hazards=["drop-not-null", *UPSERTS],
    ),
    Case(
        "unique fields and relations that go",
        [
            AUTHOR,
            table("Area", name=text(), code=text(unique=True)),
            table(
                "Post",
                title=text(),
                code=text(unique=True),
                area=to("area", to_field="code"),
                author=to("author"),
                maybe=to("author", null=True),
                editor=one("author"),
                parent=to("post", null=True),
                readers=many("author"),
            ),
        ],
        [AUTHOR, table("Area", name=text()), POST],
        hazards=["drop-not-null"],
    ),
    Case(
        "models that come",
        [AUTHOR],
        [
            AUTHOR,
            table("Tag", name=text(unique=True), writer=to("author"), book=to("book")),
            table(
                "Book",
                {"unique_together": {("title", "tag")}, "indexes": [index("title")]},
                title=text(),
                tag=to("tag", null=True),
                readers=many("author"),
            ),
        ],
        hazards=["create-model"],
    ),
    Case(
        "models that go",
        [
            AUTHOR,
            table("Tag", name=text(unique=True), writer=to("author"), book=to("book")),
            table(
                "Book",
                {"unique_together": {("title", "tag")}, "indexes": [index("title")]},
                title=text(),
                tag=to("tag", null=True),
                readers=many("author"),
            ),
        ],
        [AUTHOR],
    ),
    Case(
        "models that go in a circle",
        [
            AUTHOR,
            table(
                "Note",
                {
                    "unique_together": {("post", "title")},
                    "indexes": [index("title", "post")],
                },
                title=text(),
                post=to("post", null=True),
            ),
            table(
                "Post",
                {
                    "constraints": [unique("note", "title")],
                    "indexes": [index("note", "title")],
                },
                title=text(),
                note=to("note", null=True),
            ),
        ],
        [AUTHOR],
    ),
    Case(
        "fields that change",
        [
            table(
                "Post",
                {"unique_together": {("title", "number")}},
                title=text(),
                number=number(null=True),
                tight=text(null=True),
                loose=text(),
                wide=text(20),
                narrow=text(60),
                both=text(60),
                big=number(),
                signed=models.PositiveIntegerField(),
                unsigned=number(),
                digits=models.DecimalField(max_digits=5, decimal_places=2),
                indexed=text(),
                unindexed=text(db_index=True),
                given=text(),
                taken=text(db_default="a"),
                other=text(db_default="a"),
                help=text(),
                amount=number(),
                double=DOUBLE,
            )
        ],
        [
            table(
                "Post",
                title=text(),
                number=number(default=4),
                tight=text(default="b"),
                loose=text(null=True),
                wide=text(30),
                narrow=text(40),
                both=text(40, null=True),
                big=models.BigIntegerField(),
                signed=number(),
                unsigned=models.PositiveIntegerField(),
                digits=models.DecimalField(max_digits=9, decimal_places=2),
                indexed=text(db_index=True),
                unindexed=text(),
                given=text(db_default="a"),
                taken=text(),
                other=text(db_default="b"),
                help=text(help_text="Help"),
                amount=number(),
            )
        ],
        hazards=["drop-not-null", "set-not-null", *UPSERTS],
    ),
    Case(
        "uniqueness that comes",
        [
            AUTHOR,
            table("Post", title=text(), code=text(), number=number()),
            table("Link", one=to("author"), other=to("author")),
        ],
        [
            AUTHOR,
            table(
                "Post",
                {"constraints": [unique("title", "code")]},
                title=text(),
                code=text(unique=True),
                number=number(unique=True),
            ),
            table(
                "Link",
                {"constraints": [unique("one", "other")]},
                one=to("author"),
                other=to("author"),
            ),
        ],
        hazards=UPSERTS,
    ),
    Case(
        "uniqueness that goes",
        [
            table(
                "Post",
                {"constraints": [unique("title", "code")]},
                title=text(),
                code=text(unique=True),
                number=number(unique=True),
            ),
        ],
        [table("Post", title=text(), code=text(), number=number())],
        hazards=UPSERTS,
    ),
    Case(
        "relations that change",
        [
            AUTHOR,
            table(
                "Post",
                title=text(),
                loose=to("author"),
                tight=to("author", null=True, db_constraint=False),
                many_loose=many("author"),
                many_tight=many("author", db_constraint=False),
                single=to("author"),
                several=one("author"),
            ),
        ],
        [
            AUTHOR,
            table(
                "Post",
                title=text(),
                loose=to("author", db_constraint=False, on_delete=models.DO_NOTHING),
                tight=to("author", null=True, on_delete=models.SET_NULL),
                many_loose=many("author", db_constraint=False),
                many_tight=many("author"),
                single=one("author"),
                several=to("author"),
            ),
        ],
        hazards=["add-unique", "drop-unique"],
    ),
    *OF_POSTGRESQL,
    *RELATIONS_OF_DATABASES,
    Case(
        "constraints and indexes of the same effect",
        [
            table(
                "Post",
                {
                    "constraints": [
                        unique("a", "b"),
                        unique("f"),
                        unique("h", name="x"),
                    ],
                    "indexes": [index("a"), index("g", name="same"), index("h")],
                    "unique_together": {("c", "d")},
                },
                **{name: text() for name in "abcdfgh"},
                e=text(unique=True),
            )
        ],
        [
            table(
                "Post",
                {
                    "constraints": [
                        unique("c", "d"),
                        unique("e"),
                        unique("h", name="y"),
                    ],
                    "indexes": [index("a"), index("g", "h", name="same")],
                    "unique_together": {("a", "b")},
                },
                **{name: text() for name in "abcdegh"},
                f=text(unique=True),
            )
        ],
    ),
    Case(
        "an order that comes",
        [AUTHOR, table("Post", title=text(), author=to("author"))],
        [
            AUTHOR,
            table(
                "Post",
                {
                    "order_with_respect_to": "author",
                    "unique_together": {("title", "author")},
                },
                title=text(60),
                author=to("author"),
            ),
        ],
    ),
    Case(
        "an order that goes",
        [
            AUTHOR,
            table(
                "Post",
                {
                    "order_with_respect_to": "author",
                    "unique_together": {("title", "author")},
                },
                title=text(),
                author=to("author"),
            ),
        ],
        [AUTHOR, table("Post", title=text(60), author=to("author"))],
    ),
    Case(
        "names that keep their table and column",
        [
            AUTHOR,
            table(
                "Post",
                {"indexes": [index("name")], "constraints": [unique("name", name="u")]},
                name=text(),
                a=to("author"),
                readers=many("author"),
            ),
        ],
        [
            AUTHOR,
            table(
                "Post",
                {
                    "indexes": [index("title", name="index_name")],
                    "constraints": [unique("title", name="u")],
                },
                title=text(db_column="name"),
                b=to("author", db_column="a_id"),
                fans=many("author", db_table=f"{APP}_post_readers"),
            ),
        ],
    ),
    Case(
        "models that inherit",
        [POST, child("Note", extra=text()), child("Photo", size=number())],
        [
            table("Post", title=text(), more=text(default="a")),
            child("Photo", size=number(default=1), code=text(32, default=word)),
            child("Film", length=number()),
        ],
        hazards=["create-model", "set-not-null"],
    ),
    Case(
        "a model that keeps its table",
        [POST, table("Note", post=to("post"), a=to("post"), b=to("post"))],
        [
            table("Article", {"db_table": "blog_post"}, title=text()),
            table("Note", post=to("article"), b=to("article", null=True)),
        ],
        hazards=["drop-not-null"],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rolling(case: Case, project: Project) -> None:
    told = Told(case.rehearse(project, revert=True))
    assert told.rehearsal.complete, told.text
    assert not told.rehearsal.count(BREAKS), told.text
    assert codes(told.rehearsal.findings) <= {*case.hazards}, told.text
    labels = {each.label for each in told.rehearsal.not_probed}
    assert labels == {f"{APP}.{name}" for name in case.not_probed}, told.text


# Django adds and removes fields that need each other in an order that doesn't work, and
# join tables that are there, and relations that refer to the old name of a model, so
# that there is only the schema that it makes anew.
MADE_ANEW = {
    "a model that keeps its table",
    "models that go in a circle",
    "names that keep their table and column",
    "new fields",
    "new relations",
    "unique fields and relations that go",
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_schema_is_that_of_django(case: Case, project: Project) -> None:
    """In the end; and the one that there was, when all is undone."""
    del project
    before, after = state(case.before), state(case.after)
    first = plain(ProjectState(), before)
    start = run(ProjectState(), first)
    there = schema(case.before)
    migrations = case.migrations()
    run(start, migrations)
    ours = schema(case.after)
    undo(start, migrations)
    assert schema(case.before) == there
    empty(DEFAULT_DB_ALIAS)
    if case.name in MADE_ANEW:
        run(ProjectState(), plain(ProjectState(), after))
    else:
        run(run(ProjectState(), first), plain(before, after))
    assert schema(case.after) == ours
