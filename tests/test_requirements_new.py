"""What the running release can't see is harmless, as far as it can still write."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.migrations import (
    AddConstraint,
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
    BooleanField,
    CharField,
    CheckConstraint,
    CompositePrimaryKey,
    F,
    FloatField,
    ForeignKey,
    Index,
    IntegerField,
    ManyToManyField,
    OneToOneField,
    Q,
    TextField,
    UniqueConstraint,
)
from django.db.models.constraints import BaseConstraint
from django.db.models.expressions import RawSQL
from django.db.models.fields.json import KeyTransform
from django.db.models.functions import (
    Cast,
    Coalesce,
    Collate,
    Extract,
    Lower,
    Random,
    Trunc,
)
from django.db.models.lookups import GreaterThan, IsNull

from tests.rules_helpers import AUTHOR, add, judged, model, named, post

POST = post(x=IntegerField())
INDEX = Index(fields=["x"], name="i")
UNIQUE = UniqueConstraint(fields=["x"], name="u")
CHECK = CheckConstraint(condition=Q(x__gt=0), name="c")
TAG = model("Tag")
REMOVE = RemoveField("post", "x")


NULLABLE = IntegerField(null=True)


@pytest.mark.parametrize(
    "operation",
    [
        DeleteModel("Post"),
        RenameModel("Post", "Article"),
        AlterModelTable("Post", "posts"),
        AlterOrderWithRespectTo("post", "x"),
        AlterUniqueTogether("post", {("id", "x")}),
        AlterIndexTogether("post", {("id", "x")}),
        AlterModelTableComment("post", "Posts."),
        add("y", IntegerField(default=0)),
        add("y", ManyToManyField("blog.Author")),
        AlterField("post", "x", TextField()),
        RenameField("post", "x", "y"),
        AddIndex("post", INDEX),
        RemoveIndex("post", "i"),
        RenameIndex("post", "j", old_name="i"),
        AddConstraint("post", UNIQUE),
        AddConstraint("post", CHECK),
        RemoveConstraint("post", "u"),
    ],
    ids=named,
)
def test_all_is_harmless_to_a_new_model(operation: Operation) -> None:
    assert judged(operation, AUTHOR, new=[POST]) == {"unseen"}


@pytest.mark.parametrize(
    "operation",
    [RemoveField("post", "x"), AlterOrderWithRespectTo("post", None)],
    ids=named,
)
def test_what_the_new_release_has_to_be_rid_of(operation: Operation) -> None:
    options = {"order_with_respect_to": "author"}
    ordered = model("Post", (), options, x=IntegerField())
    assert judged(operation, AUTHOR, new=[ordered]) == {"unseen-needed"}


@pytest.mark.parametrize(
    "operation",
    [
        AlterModelOptions("post", {"ordering": ["x"]}),
        AlterModelManagers("post", []),
        AlterConstraint("post", "u", UNIQUE),
        add("pk", CompositePrimaryKey("id", "x")),
        AlterField("post", "x", IntegerField(help_text="Any number.")),
        AlterOrderWithRespectTo("post", None),
    ],
    ids=named,
)
def test_what_has_no_effect_has_none_on_a_new_model_either(
    operation: Operation,
) -> None:
    assert judged(operation, new=[POST]) == {"state-only"}


def test_a_new_model_stays_new_under_another_name() -> None:
    article = [POST, RenameModel("Post", "Article")]
    assert judged(AlterField("article", "x", NULLABLE), new=article) == {"unseen"}
    renamed = [RenameModel("Post", "Article")]
    assert judged(RemoveField("article", "x"), POST, new=renamed) == {
        "remove-field-not-null"
    }


def test_a_field_of_a_renamed_model_stays_new() -> None:
    new = [add("y", NULLABLE), RenameModel("Post", "Article")]
    assert judged(RemoveField("article", "y"), POST, new=new) == {"unseen"}


def test_creating_what_is_new_is_what_the_new_release_needs() -> None:
    assert judged(TAG, new=[POST]) == {"create-model"}
    assert judged(add("y", NULLABLE), POST, new=[TAG]) == {"add-field"}


@pytest.mark.parametrize(
    ("codes", "field", "operation"),
    [
        ("unseen", NULLABLE, RemoveField("post", "y")),
        ("unseen", IntegerField(db_default=0), RemoveField("post", "y")),
        # The new release has to be able to insert rows, too.
        ("unseen-needed", IntegerField(default=0), RemoveField("post", "y")),
        ("unseen", NULLABLE, RenameField("post", "y", "z")),
        # Rows that the running release inserts must still be possible.
        ("unseen", NULLABLE, AlterField("post", "y", TextField(null=True))),
        ("unseen", NULLABLE, AlterField("post", "y", IntegerField(db_default=0))),
        (
            "unseen",
            NULLABLE,
            AlterField("post", "y", IntegerField(null=True, unique=True)),
        ),
        (
            "unseen",
            FloatField(unique=True, db_default=Random()),
            AlterField("post", "y", FloatField(unique=True, db_default=Random() + 1)),
        ),
        ("set-not-null", NULLABLE, AlterField("post", "y", IntegerField(default=0))),
        (
            "drop-db-default",
            IntegerField(db_default=0),
            AlterField("post", "y", IntegerField(default=0)),
        ),
        (
            "add-unique",
            IntegerField(db_default=0),
            AlterField("post", "y", IntegerField(db_default=0, unique=True)),
        ),
        (
            "add-unique add-db-default",
            NULLABLE,
            AlterField("post", "y", IntegerField(null=True, db_default=0, unique=True)),
        ),
        # It can't insert before either, so nothing gets worse.
        (
            "unseen",
            CharField(max_length=100, default=""),
            AlterField("post", "y", CharField(max_length=50, default="")),
        ),
        ("unseen", IntegerField(default=0), AlterField("post", "y", TextField())),
    ],
)
def test_a_new_field(codes: str, field: Any, operation: Operation) -> None:
    assert judged(operation, POST, new=[add("y", field)]) == set(codes.split())


def test_a_field_that_was_made_not_null_is_new_all_the_same() -> None:
    """As is said in each migration: that makes it NOT NULL once only."""
    new = [add("y", NULLABLE), AlterField("post", "y", IntegerField())]
    altered = AlterField("post", "y", IntegerField(help_text="Any number."))
    assert judged(altered, POST, new=new) == {"state-only"}
    assert judged(RemoveField("post", "y"), POST, new=new) == {"unseen-needed"}


def test_a_new_field_stays_new_under_another_name() -> None:
    new = [add("y", NULLABLE), RenameField("post", "y", "z")]
    assert judged(RemoveField("post", "z"), POST, new=new) == {"unseen"}


def test_a_renamed_field_is_not_new() -> None:
    new = [RenameField("post", "x", "y")]
    assert judged(RemoveField("post", "y"), POST, new=new) == {"remove-field-not-null"}


@pytest.mark.parametrize(
    ("codes", "field", "constraint"),
    [
        ("unseen", NULLABLE, UniqueConstraint(fields=["y"], name="u")),
        ("unseen", NULLABLE, UniqueConstraint(fields=["x", "y"], name="u")),
        (
            "add-constraint",
            NULLABLE,
            UniqueConstraint(fields=["x", "y"], nulls_distinct=False, name="u"),
        ),
        (
            "unseen",
            NULLABLE,
            UniqueConstraint(fields=["x", "y"], nulls_distinct=True, name="u"),
        ),
        # NULL isn't what the running release leaves in these.
        (
            "add-constraint",
            IntegerField(db_default=0),
            UniqueConstraint(fields=["y"], name="u"),
        ),
        (
            "add-constraint",
            IntegerField(null=True, db_default=0),
            UniqueConstraint(fields=["y"], name="u"),
        ),
        (
            "add-constraint",
            IntegerField(default=0),
            UniqueConstraint(fields=["y"], name="u"),
        ),
        ("add-constraint", NULLABLE, UniqueConstraint(fields=["x"], name="u")),
        # The running release may write two rows of which it holds.
        (
            "add-constraint",
            NULLABLE,
            UniqueConstraint(fields=["x"], condition=Q(y__isnull=True), name="u"),
        ),
        ("unseen", NULLABLE, CheckConstraint(condition=Q(y__gt=0), name="c")),
        (
            "unseen",
            IntegerField(db_default=0),
            CheckConstraint(condition=Q(y__isnull=False), name="c"),
        ),
        (
            "add-constraint",
            NULLABLE,
            CheckConstraint(condition=Q(y__gt=F("x")), name="c"),
        ),
        ("add-constraint", NULLABLE, CheckConstraint(condition=Q(x__gt=0), name="c")),
    ],
)
def test_a_constraint_on_a_new_field(codes: str, field: Any, constraint: Any) -> None:
    operation = AddConstraint("post", constraint)
    assert judged(operation, POST, new=[add("y", field)]) == set(codes.split())


NONE = {"y__isnull": True, "z__isnull": True}
ONLY_Y, ONLY_Z = {**NONE, "y__isnull": False}, {**NONE, "z__isnull": False}


@pytest.mark.parametrize(
    ("code", "condition"),
    [
        # As NULL is neither true nor false, it passes,
        ("unseen", Q(y__gt=0)),
        ("unseen", ~Q(y__gt=0)),
        ("unseen", Q(y__gt=0) & Q(z__gt=0)),
        ("unseen", Q(y__gt=F("z"))),
        ("unseen", ~(Q(y__gt=0) & ~Q(z__in=[1, 2]))),
        ("unseen", ~(~Q(y__gt=0) & ~Q(z__gt=0))),
        # where it isn't asked for, or is allowed.
        ("unseen", Q(y__gt=0) | Q(y__isnull=True)),
        ("unseen", Q(y__gt=0) | Q(y=None)),
        ("unseen", Q(y__isnull=True) ^ Q(z__isnull=False)),
        ("unseen", ~Q(y__isnull=False, z__isnull=False)),
        ("unseen", Q(**NONE) | Q(y__isnull=False, z__isnull=False)),
        ("add-constraint", Q(y__isnull=False)),
        ("add-constraint", Q(y__isnull=False) | Q(z__isnull=False)),
        ("add-constraint", Q(**ONLY_Y) | Q(**ONLY_Z)),
        ("add-constraint", Q(y__isnull=False) ^ Q(z__isnull=False)),
        ("add-constraint", Q(y__gt=0) & Q(z__isnull=False)),
        ("add-constraint", ~Q(y__gt=0) & ~Q(y=None)),
        # Whatever an expression makes of NULL.
        ("add-constraint", Q(GreaterThan(Coalesce("y", 0), 1))),
        ("add-constraint", Q(IsNull(F("y"), False))),
        ("add-constraint", ~Q(GreaterThan(Coalesce("y", 0), -1))),
        ("add-constraint", Q(y=1) & ~Q(IsNull(F("y"), True))),
    ],
    ids=str,
)
def test_a_check_of_new_fields(code: str, condition: Q) -> None:
    operation = AddConstraint("post", CheckConstraint(condition=condition, name="c"))
    new = [add("y", NULLABLE), add("z", NULLABLE)]
    assert judged(operation, POST, new=new) == {code}
    assert judged(operation, POST, *new) == {"add-constraint"}


def test_a_foreign_key_that_comes_into_force_is_seen() -> None:
    """It keeps the running release from deleting what the new one refers to."""
    free: Any = ForeignKey("blog.Author", CASCADE, null=True, db_constraint=False)
    bound: Any = ForeignKey("blog.Author", CASCADE, null=True)
    force = AlterField("post", "y", bound)
    assert judged(force, AUTHOR, POST, new=[add("y", free)]) == {"add-db-constraint"}
    assert judged(force, AUTHOR, new=[post(y=free)]) == {"add-db-constraint"}
    both = AlterField("post", "y", OneToOneField("blog.Author", CASCADE, null=True))
    assert judged(both, AUTHOR, new=[post(y=free)]) == {"add-db-constraint", "unseen"}


@pytest.mark.parametrize(
    ("codes", "field"),
    [
        ("unseen", NULLABLE),
        ("add-unique-together", IntegerField(db_default=0)),
        ("add-unique-together", IntegerField(null=True, db_default=0)),
        ("add-unique-together", IntegerField(default=0)),
    ],
)
def test_unique_together_over_a_new_field(codes: str, field: Any) -> None:
    operation = AlterUniqueTogether("post", {("x", "y")})
    assert judged(operation, POST, new=[add("y", field)]) == {codes}


def test_a_nullable_field_that_is_known_may_hold_duplicates() -> None:
    known = [POST, add("y", NULLABLE)]
    unique = AddConstraint("post", UniqueConstraint(fields=["y"], name="u"))
    assert judged(unique, *known, new=[add("z", NULLABLE)]) == {"add-constraint"}
    together = AlterUniqueTogether("post", {("x", "y")})
    assert judged(together, *known, new=[add("z", NULLABLE)]) == {"add-unique-together"}


def test_each_set_of_unique_together_counts_for_itself() -> None:
    operation = AlterUniqueTogether("post", {("x", "y"), ("id", "x")})
    new = [add("y", NULLABLE)]
    assert judged(operation, POST, new=new) == {"unseen", "add-unique-together"}


def test_an_index_on_a_new_field_is_wanted_by_the_new_release() -> None:
    operation = AddIndex("post", Index(fields=["y"], name="i"))
    assert judged(operation, POST, new=[add("y", NULLABLE)]) == {"add-index"}


@pytest.mark.parametrize(
    ("code", "field", "constraint"),
    [
        ("unseen", NULLABLE, UniqueConstraint("x", "y", name="u")),
        ("unseen", NULLABLE, UniqueConstraint(F("y").desc(), name="u")),
        # Whatever an expression makes of NULL.
        (
            "add-constraint",
            NULLABLE,
            UniqueConstraint("x", Coalesce("y", 0), name="u"),
        ),
        ("add-constraint", NULLABLE, UniqueConstraint(Lower("x"), name="u")),
        (
            "add-constraint",
            IntegerField(db_default=0),
            UniqueConstraint(Lower("y"), name="u"),
        ),
    ],
)
def test_a_unique_expression_of_a_new_field(
    code: str, field: Any, constraint: Any
) -> None:
    operation = AddConstraint("post", constraint)
    assert judged(operation, POST, new=[add("y", field)]) == {code}


class Given(BaseConstraint):
    """A constraint of a third party's, which says what its fields are."""

    def __init__(self, *fields: str) -> None:
        super().__init__(name="given")
        self.fields = fields


@pytest.mark.parametrize(
    "constraint",
    [
        Given("y"),
        Given("x", "y"),
        BaseConstraint(name="silent"),
        CheckConstraint(condition=RawSQL("x > 0", (), BooleanField()), name="c"),
        CheckConstraint(
            condition=Q(RawSQL("x > 0", (), BooleanField())) & Q(y=1), name="c"
        ),
    ],
)
@pytest.mark.parametrize("field", [NULLABLE, IntegerField(db_default=1)])
def test_a_constraint_that_does_not_tell_all(field: Any, constraint: Any) -> None:
    operation = AddConstraint("post", constraint)
    assert judged(operation, POST, new=[add("y", field)]) == {"add-constraint"}
    assert judged(operation, POST) == {"add-constraint"}
    assert judged(operation, new=[POST]) == {"unseen"}


PAIR = UniqueConstraint(fields=["id", "x"], name="pair")
PAIRED = model("Post", (), {"unique_together": {("id", "x")}}, x=IntegerField())
UNPAIR = AlterUniqueTogether("post", set())
SINGLE = post(x=IntegerField(unique=True))
NOT_SINGLE = AlterField("post", "x", IntegerField())
UNCOVERED = RemoveConstraint("post", "c")
UNMANAGED_PAIR = model(
    "Post", (), {"unique_together": {("id", "x")}, "managed": False}, x=IntegerField()
)


def include(name: str, *names: str) -> UniqueConstraint:
    return UniqueConstraint(fields=["x"], include=names, name=name)


def collated(name: str | None = None, *, unique: bool = False) -> CharField[Any, Any]:
    return CharField(max_length=20, unique=unique, db_collation=name)


# Of which repr() doesn't tell all.
_ALIKE = [
    (Collate("x", "C"), Collate("x", "nocase")),
    (Cast("x", IntegerField()), Cast("x", BooleanField())),
    (Trunc("x", "day"), Trunc("x", "year")),
    (Extract("x", "day"), Extract("x", "year")),
    (KeyTransform("a", "x"), KeyTransform("b", "x")),
]


@pytest.mark.parametrize(
    ("operation", "before", "new"),
    [
        (AddConstraint("post", PAIR), [PAIRED], [UNPAIR]),
        (
            AlterUniqueTogether("post", {("x", "id")}),
            [POST, AddConstraint("post", PAIR)],
            [RemoveConstraint("post", "pair")],
        ),
        (AddConstraint("post", UNIQUE), [SINGLE], [NOT_SINGLE]),
        (
            AlterField("post", "x", IntegerField(unique=True)),
            [POST, AddConstraint("post", UNIQUE)],
            [RemoveConstraint("post", "u")],
        ),
        # It comes back once more.
        (
            AddConstraint("post", UNIQUE),
            [SINGLE],
            [NOT_SINGLE, AddConstraint("post", UNIQUE), RemoveConstraint("post", "u")],
        ),
        # What differs in one field differs in two.
        (AlterUniqueTogether("post", {("id", "x")}), [SINGLE], [NOT_SINGLE]),
        (AddConstraint("post", PAIR), [SINGLE], [NOT_SINGLE]),
        # It has another name.
        (
            AddConstraint("post", include("d", "y")),
            [post(x=NULLABLE, y=NULLABLE), AddConstraint("post", include("u", "y"))],
            [RemoveConstraint("post", "u")],
        ),
        (
            AddConstraint("article", PAIR),
            [PAIRED],
            [UNPAIR, RenameModel("Post", "Article")],
        ),
        (
            AddConstraint("post", CheckConstraint(condition=Q(x__gt=0), name="d")),
            [POST, AddConstraint("post", CHECK)],
            [RemoveConstraint("post", "c")],
        ),
        # What happens to the fields meanwhile leaves equal values equal.
        (
            AddConstraint("post", PAIR),
            [PAIRED],
            [
                UNPAIR,
                AlterField("post", "x", IntegerField(null=True, help_text="A number.")),
                add("y", NULLABLE),
                RemoveField("post", "y"),
            ],
        ),
    ],
    ids=[
        "together",
        "to together",
        "field",
        "to field",
        "again",
        "field to together",
        "field to two",
        "covering",
        "of a renamed model",
        "renamed",
        "altered",
    ],
)
def test_what_comes_in_place_of_the_same_forbids_nothing_new(
    operation: Operation, before: list[Operation], new: list[Operation]
) -> None:
    assert judged(operation, *before, new=new) == {"replace-constraint"}


@pytest.mark.parametrize(
    ("constraint", "before", "new"),
    [
        # It was dropped by what is deployed.
        (PAIR, [PAIRED, UNPAIR], []),
        (UNIQUE, [PAIRED], [UNPAIR]),
        (
            UniqueConstraint(fields=["id", "x"], name="pair", nulls_distinct=False),
            [PAIRED],
            [UNPAIR],
        ),
        (
            CheckConstraint(condition=Q(x__gt=1), name="c"),
            [POST, AddConstraint("post", CHECK)],
            [RemoveConstraint("post", "c")],
        ),
        # Values that weren't equal may be, and a field of that name may be another.
        (PAIR, [PAIRED], [UNPAIR, AlterField("post", "x", FloatField())]),
        (PAIR, [PAIRED], [UNPAIR, REMOVE, add("x", IntegerField(default=0))]),
        (
            PAIR,
            [PAIRED, add("y", IntegerField())],
            [UNPAIR, RenameField("post", "x", "z"), RenameField("post", "y", "x")],
        ),
        # So it is where they change along with that.
        (
            PAIR,
            [post(x=collated(unique=True))],
            [AlterField("post", "x", collated("nocase"))],
        ),
        # It named the field as it was called.
        (
            UNIQUE,
            [post(x=IntegerField(), y=IntegerField()), AddConstraint("post", UNIQUE)],
            [
                RenameField("post", "x", "z"),
                RenameField("post", "y", "x"),
                RemoveConstraint("post", "u"),
            ],
        ),
        # It was another model's.
        (
            PAIR,
            [PAIRED, model("Other", x=IntegerField())],
            [UNPAIR, RenameModel("Post", "Old"), RenameModel("Other", "Post")],
        ),
        # It came with the same plan.
        (
            UNIQUE,
            [POST],
            [AddConstraint("post", UNIQUE), RemoveConstraint("post", "u")],
        ),
        (
            UNIQUE,
            [POST],
            [AlterField("post", "x", IntegerField(unique=True)), NOT_SINGLE],
        ),
        (PAIR, [POST], [AlterUniqueTogether("post", {("id", "x")}), UNPAIR]),
        # The database may not have had it.
        (UNIQUE, [POST, AddConstraint("post", include("c", "id"))], [UNCOVERED]),
        (
            PAIR,
            [UNMANAGED_PAIR],
            [UNPAIR, AlterModelOptions("post", {"managed": True})],
        ),
        (
            CheckConstraint(condition=Q(x__gt=0), name="d"),
            [POST, AddConstraint("post", CHECK)],
            [
                RemoveConstraint("post", "c"),
                REMOVE,
                add("x", IntegerField(default=0)),
            ],
        ),
    ],
)
def test_what_comes_in_place_of_something_else_may_forbid_more(
    constraint: BaseConstraint, before: list[Operation], new: list[Operation]
) -> None:
    operation = AddConstraint("post", constraint)
    assert judged(operation, *before, new=new) <= {"add-constraint", "unseen"}


@pytest.mark.parametrize(("old", "new"), _ALIKE, ids=named)
def test_an_expression_in_place_of_one_that_looks_like_it(old: Any, new: Any) -> None:
    before = [POST, AddConstraint("post", UniqueConstraint(old, name="u"))]
    after = [RemoveConstraint("post", "u")]
    for expression, code in ((new, "add-constraint"), (old, "replace-constraint")):
        operation = AddConstraint("post", UniqueConstraint(expression, name="d"))
        assert judged(operation, *before, new=after) == {code}


def test_what_becomes_unique_along_with_a_collation() -> None:
    before = [post(x=collated()), AddConstraint("post", UNIQUE)]
    operation = AlterField("post", "x", collated("nocase", unique=True))
    found = judged(operation, *before, new=[RemoveConstraint("post", "u")])
    assert found == {"change-collation", "add-unique"}


def test_a_set_in_place_of_one_with_fewer_fields() -> None:
    """Django writes one operation for that."""
    assert judged(AlterUniqueTogether("post", {("y", "id", "x")}), PAIRED) == {
        "remove-unique-together",
        "replace-constraint",
    }
    two = AlterUniqueTogether("post", {("id", "x", "y"), ("id", "y")})
    assert judged(two, PAIRED) == {
        "remove-unique-together",
        "replace-constraint",
        "add-unique-together",
    }
    # What stays may have come with the same plan.
    more = AlterUniqueTogether("post", {("id", "x"), ("id", "x", "y")})
    assert judged(more, PAIRED) == {"add-unique-together"}
