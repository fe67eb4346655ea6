"""Renaming fields in states that share their field objects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import wraps
from typing import Any

from django.db.migrations.state import ProjectState


@contextmanager
def renaming_in_copies() -> Iterator[None]:
    """Have states rename a field in copies of what names it.

    Django's renames it in the field objects themselves. They belong to the operations,
    and to the states before: these would be about a field that isn't there yet.
    """
    state_class: Any = ProjectState
    original = state_class.rename_field

    @wraps(original)
    def rename_field(self: ProjectState, *args: Any, **kwargs: Any) -> None:
        for model in self.models.values():
            # Clones would be refused where a key has a name twice by now.
            fields = {name: deepcopy(field) for name, field in model.fields.items()}
            model.fields = fields
        original(self, *args, **kwargs)

    state_class.rename_field = rename_field
    try:
        yield
    finally:
        # Somebody else may have put something in its place meanwhile.
        if state_class.rename_field is rename_field:
            state_class.rename_field = original
