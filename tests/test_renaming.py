"""Fields are renamed in states, and not in what these have their fields from."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import models
from django.db.migrations import (
    AddField,
    Migration,
    RenameField,
    SeparateDatabaseAndState,
)
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from syzygy.generation.states import applied
from syzygy.renaming import renaming_in_copies
from tests.generation_helpers import state, table
from tests.rules_helpers import APP


def number(**options: Any) -> Any:
    return models.IntegerField(**options)


def to_post(name: str) -> Any:
    return models.ForeignKey("Post", models.CASCADE, to_field=name)


def named(field: Any) -> list[str]:
    """The fields that a relation or a composite key names."""
    if not field.remote_field:
        return list(field.field_names)
    assert [field.remote_field.field_name] == list(field.to_fields)
    return list(field.to_fields)


POST = table("Post", slug=number(unique=True))


@pytest.mark.parametrize(
    "key",
    [models.CompositePrimaryKey("a", "slug"), to_post("slug")],
    ids=["a composite key", "a foreign key"],
)
def test_what_names_a_field_is_shared_with_another_state(key: Any) -> None:
    before = state([table("Post", slug=number(unique=True), a=number(), k=key)])
    after = before.clone()
    with renaming_in_copies():
        after.rename_field(APP, "post", "slug", "code")
    assert "slug" in named(key)
    assert before.models[APP, "post"].fields["k"] is key
    assert "code" in named(after.models[APP, "post"].fields["k"])


def test_a_key_names_a_field_twice_by_now() -> None:
    """As a migration may leave it that hasn't got to the key itself."""
    key: Any = models.CompositePrimaryKey("a", "b")
    now = state([table("Post", a=number(), b=number(), pk=key)])
    with renaming_in_copies():
        now.remove_field(APP, "post", "b")
        now.rename_field(APP, "post", "a", "b")
        now.rename_field(APP, "post", "b", "c")
    assert named(now.models[APP, "post"].fields["pk"]) == ["c", "c"]
    assert named(key) == ["a", "b"]


def test_states_rename_as_ever_after_an_error() -> None:
    original = ProjectState.rename_field
    with pytest.raises(KeyError), renaming_in_copies():
        state([]).rename_field(APP, "post", "slug", "code")
    assert ProjectState.rename_field is original


def test_what_somebody_else_put_in_its_place_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rename_field(*args: Any) -> None:
        pass

    # What comes back in the end.
    monkeypatch.setattr(ProjectState, "rename_field", ProjectState.rename_field)
    with renaming_in_copies():
        monkeypatch.setattr(ProjectState, "rename_field", rename_field)
    assert ProjectState.rename_field is rename_field


# Migrations that aren't written yet


def migration(*operations: Operation) -> Migration:
    made = Migration("0002_next", APP)
    made.operations = [*operations]  # type: ignore[misc]
    return made


@pytest.mark.parametrize("apart", [False, True])
def test_what_is_to_be_written_stays_as_it_is(apart: bool) -> None:
    before = state([POST, table("Note")])
    key = to_post("slug")
    rename: Operation = RenameField("post", "slug", "code")
    if apart:
        rename = SeparateDatabaseAndState(state_operations=[rename])
    after = applied(before, [migration(AddField("note", "post", key), rename)])
    assert named(key) == ["slug"]
    assert named(after.models[APP, "note"].fields["post"]) == ["code"]
    assert "slug" in before.models[APP, "post"].fields


def test_the_state_after_migrations_is_a_copy() -> None:
    """Django's detection changes what it is given."""
    old, new = to_post("slug"), to_post("slug")
    before = state([POST, table("Note", old=old)])
    after = applied(before, [migration(AddField("note", "new", new))])
    after.rename_field(APP, "post", "slug", "code")
    assert [named(field) for field in (old, new)] == [["slug"]] * 2
