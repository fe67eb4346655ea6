"""What the operations, fields and constraints of django.contrib.postgres require."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("psycopg", reason="django.contrib.postgres needs psycopg")

from django.contrib.postgres import operations as postgres
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import (
    ArrayField,
    BigIntegerRangeField,
    DateTimeRangeField,
    HStoreField,
    IntegerRangeField,
    RangeOperators,
)
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db.migrations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterField,
    RemoveField,
    SeparateDatabaseAndState,
)
from django.db.migrations.operations.base import Operation
from django.db.models import (
    BigIntegerField,
    CharField,
    CheckConstraint,
    F,
    Func,
    Index,
    IntegerField,
    Q,
    TextField,
    UniqueConstraint,
)

from syzygy import Stage
from syzygy.constraints import constraint_fields
from tests.generation_helpers import refused, table
from tests.rules_helpers import judged, model, named, post

CHECK = CheckConstraint(condition=Q(x__gt=0), name="c")
INDEX = Index(fields=["x"], name="i")
POST = post(x=IntegerField())
SPAN = DateTimeRangeField(null=True)


@pytest.mark.parametrize(
    ("code", "operation"),
    [
        ("create-extension", postgres.CreateExtension("postgis")),
        ("create-extension", postgres.BloomExtension()),
        ("create-extension", postgres.BtreeGinExtension()),
        ("create-extension", postgres.BtreeGistExtension()),
        ("create-extension", postgres.CITextExtension()),
        ("create-extension", postgres.CryptoExtension()),
        ("create-extension", postgres.HStoreExtension()),
        ("create-extension", postgres.TrigramExtension()),
        ("create-extension", postgres.UnaccentExtension()),
        ("create-collation", postgres.CreateCollation("german", "de-DE")),
        ("remove-collation", postgres.RemoveCollation("german", "de-DE")),
        ("add-index", postgres.AddIndexConcurrently("post", INDEX)),
        ("remove-index", postgres.RemoveIndexConcurrently("post", "i")),
        ("add-constraint", postgres.AddConstraintNotValid("post", CHECK)),
        ("validate-constraint", postgres.ValidateConstraint("post", "c")),
    ],
    ids=named,
)
def test_an_operation(code: str, operation: Operation) -> None:
    assert judged(operation, POST) == {code}


def test_all_operations_have_a_rule() -> None:
    """What Django adds to the module must be added to the rules, too."""
    known = {
        "AddConstraintNotValid",
        "AddIndexConcurrently",
        "BloomExtension",
        "BtreeGinExtension",
        "BtreeGistExtension",
        "CITextExtension",
        "CreateCollation",
        "CreateExtension",
        "CryptoExtension",
        "HStoreExtension",
        "RemoveCollation",
        "RemoveIndexConcurrently",
        "TrigramExtension",
        "UnaccentExtension",
        "ValidateConstraint",
    }
    assert {
        name
        for name, value in vars(postgres).items()
        if isinstance(value, type)
        and issubclass(value, Operation)
        and value.__module__ == postgres.__name__
    } == {*known, "CollationOperation"}


def test_a_subclass_is_what_its_base_is() -> None:
    class Vector(postgres.CreateExtension):
        def __init__(self) -> None:
            super().__init__("vector")

    assert judged(Vector()) == {"create-extension"}


def test_concurrently_or_not_it_has_no_effect_where_there_is_no_table() -> None:
    unmanaged = model("Post", (), {"managed": False}, x=IntegerField())
    for operation in (
        postgres.AddIndexConcurrently("post", INDEX),
        postgres.RemoveIndexConcurrently("post", "i"),
        postgres.AddConstraintNotValid("post", CHECK),
    ):
        assert judged(operation, unmanaged) == {"state-only"}
        assert judged(operation, new=[POST]) == {"unseen"}


def test_a_constraint_that_is_not_valid_yet_holds_for_new_rows() -> None:
    new = [AddField("post", "y", IntegerField(null=True))]
    positive = CheckConstraint(condition=Q(y__gt=0), name="c")
    given = CheckConstraint(condition=Q(y__isnull=False), name="c")
    assert judged(postgres.AddConstraintNotValid("post", positive), POST, new=new) == {
        "unseen"
    }
    assert judged(postgres.AddConstraintNotValid("post", given), POST, new=new) == {
        "add-constraint"
    }


def test_an_operation_may_declare_its_stage() -> None:
    operation: Any = postgres.AddIndexConcurrently("post", INDEX)
    operation.stage = Stage.POST_DEPLOY
    assert judged(operation, POST) == {"declared-post"}


def test_wrapped_operations_count() -> None:
    wrapped = SeparateDatabaseAndState(
        [postgres.TrigramExtension(), postgres.AddIndexConcurrently("post", INDEX)],
        [AddIndex("post", INDEX)],
    )
    assert judged(wrapped, POST) == {"create-extension", "add-index"}


def test_an_index_of_its_own_kind_is_an_index() -> None:
    assert judged(AddIndex("post", GinIndex(fields=["x"], name="i")), POST) == {
        "add-index"
    }


# --- Exclusion


def excluding(*pairs: Any, **arguments: Any) -> ExclusionConstraint:
    return ExclusionConstraint(name="e", expressions=list(pairs), **arguments)


OVERLAPS, EQUAL = RangeOperators.OVERLAPS, RangeOperators.EQUAL


@pytest.mark.parametrize(
    ("expected", "constraint"),
    [
        ("span", excluding(("span", OVERLAPS))),
        ("span room", excluding(("span", OVERLAPS), ("room", EQUAL))),
        ("span room", excluding((F("span"), OVERLAPS), (F("room"), EQUAL))),
        ("start end", excluding((Func("start", "end"), OVERLAPS))),
        ("span", excluding((OpClass("span", name="range_ops"), OVERLAPS))),
        ("span gone", excluding(("span", OVERLAPS), condition=Q(gone=False))),
    ],
)
def test_the_fields_of_an_exclusion(
    expected: str, constraint: ExclusionConstraint
) -> None:
    assert constraint_fields(constraint) == set(expected.split())


@pytest.mark.parametrize(
    ("code", "field", "constraint"),
    [
        ("unseen", SPAN, excluding(("y", OVERLAPS))),
        # Rows with NULL exclude none.
        ("unseen", SPAN, excluding(("y", OVERLAPS), ("x", EQUAL))),
        # Without bounds a range overlaps all others.
        ("add-constraint", SPAN, excluding((Func("y", "y"), OVERLAPS))),
        ("add-constraint", SPAN, excluding(("x", EQUAL))),
        ("add-constraint", SPAN, excluding(("x", EQUAL), condition=Q(y=None))),
        # All rows of the running release would have the same in it.
        ("add-constraint", IntegerField(db_default=1), excluding(("y", EQUAL))),
        (
            "add-constraint",
            IntegerField(db_default=1, null=True),
            excluding(("y", EQUAL)),
        ),
    ],
)
def test_an_exclusion_on_a_new_field(code: str, field: Any, constraint: Any) -> None:
    operation = AddConstraint("post", constraint)
    new = [AddField("post", "y", field)]
    assert judged(operation, POST, new=new) == {code}
    assert judged(operation, POST) == {"add-constraint"}


@pytest.mark.parametrize(
    ("is_refused", "constraint"),
    [
        (True, excluding(("y", EQUAL))),
        (True, excluding(("y", OVERLAPS))),
        (False, excluding(("y", RangeOperators.NOT_EQUAL))),
        (False, excluding(("y", EQUAL), ("x", EQUAL))),
        (False, excluding(("y", EQUAL), condition=Q(x=1))),
    ],
)
def test_one_default_for_all_rows_in_an_exclusion(
    is_refused: bool, constraint: ExclusionConstraint
) -> None:
    fields = {"x": IntegerField(), "y": IntegerField(default=1)}
    new = table("Post", {"constraints": [constraint]}, **fields)
    message = refused([table("Post", x=IntegerField())], [new])
    assert ("is unique and has one default for all rows" in message) == is_refused


def test_a_removed_field_in_an_exclusion() -> None:
    """What the new release leaves in it, unless that is NULL, may be excluded."""
    before = [
        post(y=IntegerField(db_default=1)),
        AddConstraint("post", excluding(("y", EQUAL))),
    ]
    assert judged(RemoveField("post", "y"), *before) == {"remove-field-constrained"}


def test_a_removed_field_in_a_unique_constraint_with_operator_classes() -> None:
    unique = UniqueConstraint(OpClass(F("y"), name="text_pattern_ops"), name="u")
    before = [post(y=TextField()), AddConstraint("post", unique)]
    assert judged(RemoveField("post", "y"), *before) == {"remove-field-constrained"}


# --- Fields


@pytest.mark.parametrize(
    ("there", "back", "old", "new"),
    [
        ("state-only", "state-only", IntegerField(), IntegerField()),
        ("widen-type", "narrow-type", IntegerField(), BigIntegerField()),
        (
            "widen-type",
            "narrow-type",
            CharField(max_length=10),
            CharField(max_length=20),
        ),
        ("widen-type", "narrow-type", CharField(max_length=10), TextField()),
        ("change-type", "change-type", IntegerField(), CharField(max_length=10)),
        (
            "widen-type",
            "narrow-type",
            ArrayField(IntegerField()),
            ArrayField(BigIntegerField()),
        ),
        ("change-type", "change-type", IntegerField(), ArrayField(IntegerField())),
    ],
)
def test_arrays(there: str, back: str, old: Any, new: Any) -> None:
    def altered(old: Any, new: Any) -> set[str]:
        before = post(x=ArrayField(old))
        return judged(AlterField("post", "x", ArrayField(new)), before)

    assert altered(old, new) == {there}
    assert altered(new, old) == {back}


def test_the_size_of_an_array_is_no_concern_of_the_database() -> None:
    """PostgreSQL accepts any number of elements whatever the declared size."""
    before = post(x=ArrayField(IntegerField()))
    sized = AlterField("post", "x", ArrayField(IntegerField(), size=3))
    assert judged(sized, before) == {"state-only"}


@pytest.mark.parametrize(
    ("code", "old", "new"),
    [
        ("state-only", IntegerRangeField(), IntegerRangeField(blank=True)),
        ("change-type", IntegerRangeField(), BigIntegerRangeField()),
        ("drop-not-null", HStoreField(), HStoreField(null=True)),
        ("change-type", HStoreField(), TextField()),
        ("change-type", IntegerField(), ArrayField(IntegerField())),
    ],
)
def test_other_fields(code: str, old: Any, new: Any) -> None:
    assert judged(AlterField("post", "x", new), post(x=old)) == {code}
