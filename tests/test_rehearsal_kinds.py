"""How a rehearsal tells of fields that it has no values for."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.db.migrations.state import ProjectState
from django.db.models import CharField, Field

from syzygy.management.rehearsal_report import as_text
from syzygy.rehearsal.findings import NotProbed, Rehearsal
from syzygy.rehearsal.values import Unprobable, sample
from tests.rules_helpers import APP, post


class Isbn(CharField):  # type: ignore[type-arg] # Django's take none when it runs
    def get_prep_value(self, value: Any) -> Any:
        raise ValueError(f"{value} is none")


class Odd(Field):  # type: ignore[type-arg] # likewise
    pass


def test_fields_of_a_class_without_values_are_told_together() -> None:
    fields = {"a": Isbn(max_length=9), "b": Isbn(max_length=99), "c": Odd(), "d": Odd()}
    made = ProjectState()
    post(**fields).state_forwards(APP, made)
    passed_over = []
    for number, field in enumerate(made.apps.get_model(APP, "post")._meta.fields[1:]):
        with pytest.raises(Unprobable) as raised:
            sample(field, number, connection)
        error = raised.value
        passed_over.append(NotProbed(error.label, error.reason, error.kind))
    told = as_text(Rehearsal("", "", "", [], [], passed_over, [], ""))
    for several, cls in (("a, blog.Post.b", Isbn), ("c, blog.Post.d", Odd)):
        assert f"\n  blog.Post.{several}  " in told
        assert f"@register_values({cls.__name__})" in " ".join(told.split())
    assert told.count("@register_values") == 2
    assert '@register_values("blog.Post.a")' in as_text(
        Rehearsal("", "", "", [], [], passed_over[:1], [], "")
    )
