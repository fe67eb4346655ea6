"""Columns whose type PostgreSQL doesn't change, as others are computed from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.db.migrations import Migration
from django.db.migrations.state import ProjectState

from syzygy.computed import in_the_way
from syzygy.generation.ways import LATER, Refusal, line
from syzygy.history import AnyField, History
from syzygy.references import FieldOf


def refused(
    migrations: Iterable[Migration],
    history: History,
    states: tuple[ProjectState, ProjectState],
) -> Iterator[Refusal]:
    """What changes the type of a column from which PostgreSQL computes another one.

    The migrations come in order; ``history`` is the state before them, and is the one
    after them in the end. The ``states`` are the old and the new one, both by the new
    names.
    """
    for migration in migrations:
        label = migration.app_label
        for operation in migration.operations:
            if found := in_the_way(operation, label, history):
                yield _refusal(operation, label, history, found, states)
            history.advance(operation, label)


def _refusal(
    operation: Any,
    label: str,
    history: History,
    found: list[FieldOf],
    states: tuple[ProjectState, ProjectState],
) -> Refusal:
    key, name = (label, operation.model_name_lower), operation.name
    old: AnyField = history.field(key, name)
    told = ", ".join(
        f'"{model[0]}.{history.models[model].name}.{field}"' for model, field in found
    )
    was, is_there = (
        all(field in _fields(state, model) for model, field in found)
        for state in states
    )
    keep = (line(name, old),)
    ways: tuple[tuple[str, tuple[str, ...]], ...]
    if not was:
        ways = ((f"Leave out {told} for now, and add it {LATER}", ()),)
    elif not is_there:
        when = f"{LATER.rstrip('.')}, when {told} is gone:"
        ways = ((f"Keep it as it is for now, and alter it {when}", keep),)
    else:
        ways = (
            ("Keep it as it is:", keep),
            (
                f'Or remove {told} for now, alter "{name}" {LATER.rstrip(".")}, and '
                "add what was removed again in the one after that.",
                (),
            ),
        )
    return Refusal(
        label,
        f'Altering the field "{name}" of "{label}.{history.models[key].name}" like '
        f"that is refused by PostgreSQL: it would be told the type of a column from "
        f"which {told} is generated.",
        ways,
    )


def _fields(state: ProjectState, model: tuple[str, str]) -> Iterable[str]:
    return state.models[model].fields if model in state.models else ()
