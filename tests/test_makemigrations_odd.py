"""What is written, or refused, where changes meet that seldom do."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import models

from tests.cases.test_makemigrations_rolling import AUTHOR, many, number, text, to
from tests.generation_helpers import (
    applied,
    drift,
    generated,
    refused,
    state,
    table,
)
from tests.test_window import Answering, check, post

# Models that become managed, or cease to be

UNMANAGED = {"managed": False}


@pytest.mark.parametrize(
    ("before", "after", "state_alone", "alone"),
    [
        (
            {},
            {"a": to("author")},
            "        field=models.ForeignKey(on_delete=models.CASCADE, ",
            "again for the changes.",
        ),
        (
            {"a": text()},
            {},
            "migrations.RemoveField(",
            "again for the changes:\n    a = models.CharField(max_length=30)",
        ),
        (
            {"a": text()},
            {"a": text(null=True)},
            "migrations.AlterField(",
            "again for the changes:\n    a = models.CharField(max_length=30)",
        ),
        ({}, {"a": many("author")}, "migrations.AddField(", "again for the changes."),
    ],
)
def test_a_model_that_becomes_managed_and_changes(
    before: Any, after: Any, state_alone: str, alone: str
) -> None:
    old, new = [AUTHOR, post(UNMANAGED, **before)], [AUTHOR, post(**after)]
    message = refused(old, new)
    assert message.startswith('Having migrations manage "blog.Post" and changing it')
    assert "makemigrations --empty blog" in message
    assert state_alone in message
    assert message.endswith(alone)
    # Nobody is told of anything else, and the first way out leads to no refusal.
    assert "\n\n" not in message
    check([AUTHOR, post(UNMANAGED, **after)], new, ["pre alter_post_options"])


def test_a_model_that_is_managed_no_more_and_changes() -> None:
    before = [post(a=text(), c=text())]
    message = refused(before, [post(UNMANAGED, b=text(), c=text(null=True))])
    assert message == (
        'Making "blog.Post" unmanaged and changing it at once is unsafe: no migration '
        "would change its table.\n"
        "Leave it managed for now, and make it unmanaged in a later release.\n"
        "Or make it unmanaged alone for now, as it was, and change its table by hand "
        "before the model:\n"
        "    a = models.CharField(max_length=30)\n"
        "    c = models.CharField(max_length=30)"
    )
    check(before, [post(UNMANAGED, a=text(), c=text())], ["pre alter_post_options"])


def test_what_else_is_refused_is_told_of_as_well() -> None:
    message = refused(
        [post(a=text()), table("Other", UNMANAGED)],
        [post(a=number()), table("Other", a=text(null=True))],
    )
    assert 'manage "blog.Other"' in message
    assert 'Altering the field "a" of "blog.Post"' in message


def test_options_of_a_model_that_becomes_managed_change() -> None:
    index = {"indexes": [models.Index(fields=["title"], name="title")]}
    assert "migrations.AddIndex(" in refused([post(UNMANAGED)], [post(index)])


def test_a_model_becomes_managed_and_nothing_happens_to_its_table() -> None:
    """Django finds the help text by another run."""
    check(
        [post(UNMANAGED, a=text())],
        [post(a=text(help_text="A"))],
        ["pre alter_post_options_alter_post_a"],
    )
    check(
        [post(a=text())],
        [post(UNMANAGED, a=text(help_text="A"))],
        ["pre alter_post_options"],
    )


# Somebody insists


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (post(), table("Article", {"db_table": "blog_post"}, title=text())),
        (post(b=many("author")), post(c=many("author", db_table="blog_post_b"))),
        (post(UNMANAGED, b=text()), post(b=text(help_text="B"))),
    ],
)
def test_what_is_harmless_stays_so_though_somebody_insists(
    before: Any, after: Any
) -> None:
    old = state([AUTHOR, before, table("Other", a=text())])
    new = state([AUTHOR, after, table("Other", a=number())])
    (migration,) = generated(old, new, Answering(3))
    assert not drift(applied(old, [migration]), new)
