"""A rehearsal finds what breaks for every rule, by name, and passes what is safe."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import IntegerRangeField, RangeOperators
from django.contrib.postgres.operations import (
    AddConstraintNotValid,
    CreateCollation,
    CreateExtension,
    RemoveCollation,
    ValidateConstraint,
)
from django.db import models
from django.db.migrations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterField,
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
    RunPython,
    RunSQL,
    SeparateDatabaseAndState,
)
from django.db.migrations.operations.base import Operation
from django.db.models import Q

from syzygy import Stage
from syzygy.rules import catalogue
from tests.cases import field_cases
from tests.cases.field_cases import AUTHOR, POST, text, to
from tests.command_helpers import Project
from tests.rehearsal_helpers import (
    BREAKS,
    HAZARD,
    Case,
    Deployed,
    Seen,
    Told,
    auto,
    pre,
    rehearsed,
)
from tests.rules_helpers import model
from tests.services import UNDER_TEST

pytest_plugins = ["tests.command_fixtures"]

# What no rehearsal can see, and why.
UNSEEN = {
    "declared-pre": "the rule for what it does is told instead",
    "declared-post": "the rule for what it does is told instead",
    "unseen-needed": "the rule without the plan is told; there is a test below",
    "backfill": "it shows when the field is made NOT NULL; see test_backfill",
    "alter-unknown": "Django's states don't know what it was before, either",
    "create-extension": "only the application's code relies on it, or a migration",
    "create-collation": "only a migration relies on it, which has to come later",
}
POSTGRESQL = ("postgresql",)


class Refresh(Operation):
    """Of a kind that nobody knows."""

    def state_forwards(self, app_label: str, state: Any) -> None:
        pass

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        schema_editor.execute("SELECT 1")


def do_nothing(apps: Any, schema_editor: Any) -> None:
    pass


def positive(name: str = "positive") -> models.CheckConstraint:
    return models.CheckConstraint(condition=Q(number__gte=0), name=name)


def unique(**options: Any) -> models.UniqueConstraint:
    return models.UniqueConstraint(
        **{"fields": ["number"], "name": "unique_number", **options}
    )


NUMBERED = model("Post", number=models.IntegerField(), title=text())
NUMBER_INDEX = models.Index(fields=["number"], name="post_number")
CHAPTER = model("Chapter", post=to("post"), heading=text())
ORDERED = AlterOrderWithRespectTo("chapter", "post")
UNORDERED = AlterOrderWithRespectTo("chapter", None)
TAGGED = [
    model("Tag", name=text()),
    model("Post", title=text(), tags=models.ManyToManyField("blog.tag")),
]
GERMAN: Any = {"provider": "icu", "locale": "de-DE-x-icu"}

CASES = [
    Case("state-only", [POST], [AlterModelOptions("post", {"ordering": ["title"]})]),
    Case(
        "unseen",
        [AUTHOR],
        [AddIndex("post", NUMBER_INDEX)],
        after=[pre(NUMBERED)],
    ),
    Case("unknown", [POST], [Refresh()]),
    # Models
    Case("create-model", [AUTHOR], [POST], post=Seen("new", "Post")),
    Case(
        "create-model",
        [POST],
        [CHAPTER],
        pre=Seen("old", "Post", HAZARD),
        post=Seen("new", "Chapter"),
        instead=[
            auto(model("Chapter", post=to("post", db_constraint=False))),
            auto(AlterField("chapter", "post", to("post"))),
        ],
        name="relation",
    ),
    Case("delete-model", [POST], [DeleteModel("Post")], pre=Seen("old", "Post")),
    Case(
        "delete-model-relations",
        [POST, CHAPTER],
        [DeleteModel("Chapter")],
        pre=Seen("old", "Chapter"),
        post=Seen("new", "Post", HAZARD),
        instead=[
            auto(AlterField("chapter", "post", to("post", db_constraint=False))),
            auto(DeleteModel("Chapter")),
        ],
    ),
    Case(
        "rename-model",
        [POST],
        [RenameModel("Post", "Article")],
        pre=Seen("old", "Post"),
        post=Seen("new", "Article"),
        instead=[
            auto(AlterModelTable("post", "blog_post"), RenameModel("Post", "Article"))
        ],
    ),
    Case(
        "rename-model-m2m",
        [*TAGGED, AlterModelTable("tag", "blog_tag")],
        [RenameModel("Tag", "Topic")],
        pre=Seen("old", "Post"),
        post=Seen("new", "Post"),
    ),
    Case(
        "alter-model-table",
        [POST],
        [AlterModelTable("post", "posts")],
        pre=Seen("old", "Post"),
        post=Seen("new", "Post"),
    ),
    Case("alter-comment", [POST], [AlterModelTableComment("post", "What is read")]),
    Case(
        "add-order",
        [POST, CHAPTER],
        [ORDERED],
        pre=Seen("old", "Chapter._order"),
        post=Seen("new", "Chapter"),
        instead=[
            auto(
                SeparateDatabaseAndState(
                    [AddField("chapter", "_order", models.IntegerField(db_default=0))],
                    [ORDERED],
                )
            )
        ],
    ),
    Case(
        "remove-order",
        [POST, CHAPTER, ORDERED],
        [UNORDERED],
        pre=Seen("old", "Chapter"),
        post=Seen("new", "Chapter"),
        instead=[
            auto(
                SeparateDatabaseAndState(
                    [
                        SeparateDatabaseAndState(
                            state_operations=[
                                UNORDERED,
                                AddField("chapter", "_order", models.IntegerField()),
                            ]
                        ),
                        AlterField(
                            "chapter", "_order", models.IntegerField(db_default=0)
                        ),
                    ]
                )
            ),
            auto(UNORDERED),
        ],
    ),
    # Indexes: who lacks one is slower, which is no error
    Case("add-index", [NUMBERED], [AddIndex("post", NUMBER_INDEX)]),
    Case(
        "remove-index",
        [NUMBERED, AddIndex("post", NUMBER_INDEX)],
        [RemoveIndex("post", "post_number")],
    ),
    Case(
        "rename-index",
        [NUMBERED, AddIndex("post", NUMBER_INDEX)],
        [RenameIndex("post", "post_numbers", old_name="post_number")],
    ),
    # Constraints
    Case(
        "add-constraint",
        [NUMBERED],
        [AddConstraint("post", positive())],
        pre=Seen("old", "Post.number"),
    ),
    Case(
        "add-constraint",
        [NUMBERED],
        [AddConstraint("post", unique())],
        pre=Seen("old", "Post.number"),
        post=Seen("new", "Post.number", HAZARD),
        name="unique",
    ),
    Case(
        "add-constraint",
        [NUMBERED],
        [AddConstraint("post", unique(condition=Q(title="a")))],
        pre=Seen(
            "old",
            "Post.number",
            on=("sqlite", "postgresql"),
            because="MariaDB has no partial indexes",
        ),
        name="conditional",
    ),
    Case(
        "add-constraint",
        [NUMBERED],
        [AddConstraint("post", unique(deferrable=models.Deferrable.DEFERRED))],
        pre=Seen(
            "old", "Post.number", on=POSTGRESQL, because="others don't defer anything"
        ),
        name="deferrable",
    ),
    Case(
        "remove-constraint",
        [NUMBERED, AddConstraint("post", positive())],
        [RemoveConstraint("post", "positive")],
        post=Seen("new", "Post"),
    ),
    Case(
        "remove-constraint",
        [NUMBERED, AddConstraint("post", unique())],
        [RemoveConstraint("post", "unique_number")],
        pre=Seen("old", "Post", HAZARD),
        post=Seen("new", "Post"),
        name="unique",
    ),
    Case(
        "add-unique-together",
        [NUMBERED],
        [AlterUniqueTogether("post", {("number", "title")})],
        pre=Seen("old", "Post.number, title"),
    ),
    Case(
        "remove-unique-together",
        [NUMBERED, AlterUniqueTogether("post", {("number", "title")})],
        [AlterUniqueTogether("post", set())],
        post=Seen("new", "Post"),
    ),
    Case(
        "replace-constraint",
        [NUMBERED, AlterUniqueTogether("post", {("number", "title")})],
        [
            AlterUniqueTogether("post", set()),
            AddConstraint("post", unique(fields=["number", "title"])),
        ],
    ),
    Case(
        "replace-constraint",
        [NUMBERED, AddConstraint("post", positive())],
        [
            RemoveConstraint("post", "positive"),
            AddConstraint("post", positive("above_zero")),
        ],
        name="check",
    ),
    # Code and SQL
    Case("run-sql", [POST], [RunSQL("UPDATE blog_post SET title = upper(title)", "")]),
    Case(
        "run-sql",
        [POST],
        [RunSQL("DELETE FROM blog_post", "")],
        pre=Seen("old", "Post", HAZARD),
        post=Seen("new", "Post", HAZARD),
        name="delete",
    ),
    Case(
        "run-sql-drop",
        [model("Post", number=models.IntegerField(), title=text(null=True))],
        [
            RunSQL(
                "ALTER TABLE blog_post DROP COLUMN title",
                state_operations=[RemoveField("post", "title")],
            )
        ],
        pre=Seen("old", "Post"),
    ),
    Case(
        "run-sql-drop",
        [POST],
        [RunSQL("DROP TABLE blog_post", state_operations=[DeleteModel("Post")])],
        pre=Seen("old", "Post"),
        name="table",
    ),
    Case(
        "run-sql-rename",
        [POST],
        [
            RunSQL(
                "ALTER TABLE blog_post RENAME COLUMN title TO name",
                state_operations=[RenameField("post", "title", "name")],
            )
        ],
        pre=Seen("old", "Post"),
        post=Seen("new", "Post"),
    ),
    Case("run-python", [POST], [RunPython(do_nothing, RunPython.noop)]),
]
if UNDER_TEST == "postgresql":
    CASES += [
        Case(
            "add-constraint",
            [model("Post", days=IntegerRangeField())],
            [
                AddConstraint(
                    "post",
                    ExclusionConstraint(
                        name="apart", expressions=[("days", RangeOperators.OVERLAPS)]
                    ),
                )
            ],
            pre=Seen("old", "Post.days"),
            name="exclusion",
        ),
        Case(
            "add-constraint",
            [
                CreateExtension("btree_gist"),
                model("Cage", number=models.IntegerField(), animal=text()),
            ],
            [
                AddConstraint(
                    "cage",
                    ExclusionConstraint(
                        name="one_kind",
                        expressions=[("number", "="), ("animal", "<>")],
                    ),
                )
            ],
            pre=Seen("old", "Cage.animal, number"),
            name="exclusion of others",
        ),
        Case(
            "add-constraint",
            [NUMBERED],
            [AddConstraintNotValid("post", positive())],
            pre=Seen("old", "Post.number"),
            name="not-valid",
        ),
        Case(
            "remove-collation",
            [
                CreateCollation("german", **GERMAN),
                model("Post", title=text(db_collation="german")),
            ],
            [RemoveCollation("german", **GERMAN)],
            pre=Seen("old", "Post"),
            after=[pre(AlterField("post", "title", text()))],
        ),
    ]
VALIDATE = Case(
    "validate-constraint",
    [NUMBERED],
    [ValidateConstraint("post", "positive")],
)


def test_each_rule_is_tried() -> None:
    tried = {case.code for case in (*CASES, *field_cases.CASES, VALIDATE)}
    elsewhere = set()
    if UNDER_TEST != "postgresql":
        elsewhere.add("remove-collation")
    if not hasattr(models, "DB_CASCADE"):
        elsewhere |= {"add-on-delete", "drop-on-delete"}
    assert tried | elsewhere | set(UNSEEN) == set(catalogue())
    assert not tried & set(UNSEEN)


ALL = [*CASES, *field_cases.CASES]


@pytest.mark.parametrize("code", catalogue())
def test_cases_say_what_the_catalogue_says(code: str) -> None:
    """So what has to wait makes the rehearsal fail if it doesn't, for each rule."""
    rule = catalogue()[code]
    for case in (case for case in ALL if case.code == code):
        if not rule.stageable:
            assert case.pre
            assert case.post or case.name
        elif rule.split:
            assert case.pre
            assert case.post
            assert case.instead
        elif rule.required is Stage.PRE_DEPLOY:
            assert case.pre is None or case.pre.severity is HAZARD
        elif rule.required is Stage.POST_DEPLOY:
            assert case.pre
            assert case.pre.severity is BREAKS
            assert case.post is None or case.post.severity is HAZARD
        else:
            assert case.pre is None
            assert case.post is None


@pytest.mark.parametrize("case", ALL, ids=str)
def test_before_the_rollout(case: Case, project: Project) -> None:
    Told(case.rehearse(project, Stage.PRE_DEPLOY)).seen(case.pre, case)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_after_the_rollout(case: Case, project: Project) -> None:
    Told(case.rehearse(project, Stage.POST_DEPLOY)).seen(case.post, case)


@pytest.mark.parametrize("case", [c for c in ALL if c.instead], ids=str)
def test_the_way_out(case: Case, project: Project) -> None:
    Told(rehearsed(project, case.before, *case.instead)).no_breaks(case.hazards)


# The rule "unseen-needed": told is what it were if it weren't new.
AGAIN = Case("remove-field-not-null", [AUTHOR], [RemoveField("post", "title")])


@pytest.mark.parametrize("stage", Stage)
def test_what_is_created_and_removed_again(stage: Stage, project: Project) -> None:
    removed = Deployed(tuple(AGAIN.operations), stage)
    told = Told(rehearsed(project, AGAIN.before, pre(NUMBERED), removed))
    told.seen(Seen("new", "Post") if stage is Stage.POST_DEPLOY else None, AGAIN)
