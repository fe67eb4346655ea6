"""Tables of a release's models, and rows for them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, models, transaction
from django.db.migrations.state import ModelState, ProjectState

from syzygy.rehearsal.rows import Rows, Variant

APP = "shop"

numbers = itertools.count()


def model(
    name: str,
    bases: tuple[Any, ...] = (models.Model,),
    options: dict[str, Any] | None = None,
    /,
    **fields: Any,
) -> ModelState:
    """A model of the app "shop"; with an id unless it has a key or a parent."""
    has_key = bases != (models.Model,) or any(
        getattr(field, "primary_key", False) for field in fields.values()
    )
    if not has_key:
        fields = {"id": models.BigAutoField(primary_key=True), **fields}
    return ModelState(APP, name, list(fields.items()), options or {}, bases)


def constrained(*constraints: Any, **options: Any) -> dict[str, Any]:
    return {"constraints": list(constraints), **options}


class World:
    """The models of a release, and rows of them."""

    def __init__(self, state: ProjectState) -> None:
        self.state = state
        self.rows = Rows(state.apps, connection, numbers)

    def __getitem__(self, name: str) -> Any:
        return self.state.apps.get_model(APP, name)

    def classes(self) -> list[Any]:
        return [self[name] for app_label, name in self.state.models]

    def insert(
        self, name: str, variant: Variant = Variant.DEFAULTS, **options: Any
    ) -> Any:
        """Save a row, and check that it reads as it was written."""
        return self.saved(self.rows.make(self[name], variant, **options))

    def saved(self, row: models.Model) -> Any:
        self.rows.save(row)
        check_round_trip(row)
        return row

    def count(self, name: str) -> int:
        return len(self[name]._base_manager.all())


def state_of(*states: ModelState) -> ProjectState:
    """A state of these models; they can be used in another, too."""
    return ProjectState(
        {(each.app_label, each.name_lower): each.clone() for each in states}
    )


@contextmanager
def tables(*states: ModelState) -> Iterator[World]:
    """Make the tables of these models for as long as the context is open."""
    world = World(state_of(*states))
    try:
        with connection.schema_editor() as editor:
            for each in world.classes():
                if each._meta.managed:
                    editor.create_model(each)
        yield world
    finally:
        drop()


def drop() -> None:
    """Drop all tables of the app."""
    with connection.constraint_checks_disabled(), connection.cursor() as cursor:
        for name in connection.introspection.table_names(cursor):
            if name.startswith(f"{APP}_"):
                cascade = " CASCADE" if connection.vendor == "postgresql" else ""
                cursor.execute(f"DROP TABLE {connection.ops.quote_name(name)}{cascade}")


def check_round_trip(row: models.Model) -> None:
    """Check that what is read is what was written, where it is known."""
    fresh = type(row)._base_manager.get(pk=row.pk)
    for field in row._meta.concrete_fields:
        written = row.__dict__.get(field.attname)
        if hasattr(written, "resolve_expression") or field.generated:
            continue
        read = getattr(fresh, field.attname)
        read = bytes(read) if isinstance(read, memoryview) else read
        assert read == getattr(row, field.attname), field


def try_all(world: World, count: int = 2) -> None:
    """Insert rows of all models in all variants, and their twins, and keep them.

    The database has to accept them, and read them as they were written.
    """
    # All at once: some databases take their time to commit.
    with transaction.atomic():
        for each in world.classes() * count:
            for variant in world.rows.variants(each):
                row = world.saved(world.rows.make(each, variant))
                world.saved(world.rows.twin(row))
                connection.check_constraints()
