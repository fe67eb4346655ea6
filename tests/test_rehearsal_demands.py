"""All columns that keep a release from inserting are told, not the first alone."""

from __future__ import annotations

import re
from typing import Any

from django.db import models
from django.db.migrations import (
    AddConstraint,
    AddField,
    AlterField,
    CreateModel,
    RemoveField,
    RenameField,
    SeparateDatabaseAndState,
)

from tests.command_helpers import Project
from tests.rehearsal_helpers import BREAKS, Told, auto, of, pre, rehearsed
from tests.rules_helpers import APP, model
from tests.services import UNDER_TEST

pytest_plugins = ["tests.command_fixtures"]


def adding(name: str, field: Any = None, model_name: str = "post") -> AddField:
    return AddField(model_name, name, field or models.IntegerField(default=1))


def told(*arguments: Any) -> set[tuple[str, str, str, str]]:
    """Of what breaks: the release, the field, what is to blame and in which step."""
    told = Told(rehearsed(*arguments))
    breaks = of(told.rehearsal, BREAKS)
    found = set()
    for each in breaks:
        assert each.culprit, told.text
        assert "null" in each.error.lower() or "default" in each.error, told.text
        name = getattr(each.culprit.operation, "name", "")
        field = f"{each.model}.{each.field}".removeprefix(f"{APP}.")
        found.add((each.release, field, name, each.culprit.migration.name[:4]))
    assert len(found) == len(breaks), told.text
    return found


def test_of_what_is_added(project: Project) -> None:
    tag = models.ForeignKey(f"{APP}.tag", models.CASCADE, default=1)
    double = models.GeneratedField(
        expression=models.F("pages") * 2,
        output_field=models.BigIntegerField(),
        db_persist=True,
    )
    before = [model("Tag"), model("Post", title=models.CharField(max_length=9))]
    unique = models.UniqueConstraint(fields=["title"], name="one_title")
    steps = (
        auto(adding("rank"), adding("tag", tag)),
        auto(
            adding("pages"),
            adding("kept", models.IntegerField(default=1, db_default=1)),
            adding("double", double),
        ),
        auto(AddConstraint("post", unique)),
    )
    assert told(project, before, *steps) == {
        ("old", "Post.rank", "rank", "0002"),
        ("old", "Post.tag", "tag", "0002"),
        ("old", "Post.pages", "pages", "0003"),
    }


def test_of_what_is_renamed_on_the_way(project: Project) -> None:
    """The others are of the migration that added them all the same."""
    steps = (
        auto(adding("rank"), adding("pages")),
        auto(RenameField("post", "rank", "place")),
    )
    assert told(project, [model("Post")], *steps) == {
        ("old", "Post.rank", "rank", "0002"),
        ("old", "Post.pages", "pages", "0002"),
        ("old", "Post.place", "rank", "0003"),
    }


def test_of_what_is_removed(project: Project) -> None:
    """The new release gets on only when the last of them is gone."""
    plain = {name: models.IntegerField() for name in ("rank", "pages", "size")}
    steps = (
        auto(RemoveField("post", "rank"), RemoveField("post", "pages")),
        auto(RemoveField("post", "size")),
    )
    assert told(project, [model("Post", **plain)], *steps) == {
        ("new", "Post.rank", "rank", "0002"),
        ("new", "Post.pages", "pages", "0002"),
        ("new", "Post.size", "size", "0003"),
    }


def test_of_tables_of_parents(project: Project) -> None:
    before = [model("Post"), CreateModel("Note", [], bases=(f"{APP}.post",))]
    steps = auto(adding("rank"), adding("size", model_name="note"), adding("pages"))
    assert told(project, before, steps) == {
        ("old", "Post.rank", "rank", "0002"),
        ("old", "Post.pages", "pages", "0002"),
        ("old", "Note.rank", "rank", "0002"),
        ("old", "Note.size", "size", "0002"),
        ("old", "Note.pages", "pages", "0002"),
    }


def test_of_what_code_stands_for(project: Project) -> None:
    both = [adding("rank"), adding("pages")]
    step = auto(SeparateDatabaseAndState(both, both))
    assert told(project, [model("Post")], step) == {
        ("old", "Post.rank", "", "0002"),
        ("old", "Post.pages", "", "0002"),
    }


def test_of_columns_whose_names_are_words_of_errors(project: Project) -> None:
    names = ("rank", "value", "failed", "have", "null")
    step = auto(*map(adding, names))
    breaks = of(Told(rehearsed(project, [model("Post")], step)).rehearsal, BREAKS)
    assert {each.field for each in breaks} == {*names}
    for each in breaks:
        assert re.search(rf"[.\"']{each.field}\b", each.error), each.error


def test_of_an_error_about_something_else(project: Project) -> None:
    """PostgreSQL finds a text that is too long before a column that is left out."""
    before = [model("Post", title=models.CharField(max_length=9))]
    narrowed = AlterField("post", "title", models.CharField(max_length=5))
    steps = auto(adding("value"), adding("column"), adding("Data")), pre(narrowed)
    breaks = of(Told(rehearsed(project, before, *steps)).rehearsal, BREAKS)
    about = {each.field: each.error for each in breaks if each.release == "old"}
    assert about.keys() >= {"value", "column", "Data"}
    on_length = {name for name, error in about.items() if "too long" in error}
    assert on_length == ({"title"} if UNDER_TEST == "postgresql" else set())
