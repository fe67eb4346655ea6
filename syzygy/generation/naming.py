"""Names of migrations that tell what they do to a rollout.

Pure: told from the operations and the state before them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from django.db.migrations import AlterField, Migration
from django.db.migrations.operations.base import Operation

from syzygy import rules
from syzygy.alterations import alteration_rules
from syzygy.history import History
from syzygy.rules import Rule

# What an AlterField is called that does nothing else.
_VERBS: tuple[tuple[str, frozenset[Rule]], ...] = (
    ("set_db_default", frozenset({rules.ADD_DB_DEFAULT, rules.CHANGE_DB_DEFAULT})),
    ("drop_db_default", frozenset({rules.DROP_DB_DEFAULT})),
    (
        "relax",
        frozenset(
            {
                rules.DROP_DB_CONSTRAINT,
                rules.DROP_NOT_NULL,
                rules.DROP_UNIQUE,
                rules.WIDEN_TYPE,
            }
        ),
    ),
    (
        "tighten",
        frozenset(
            {
                rules.ADD_DB_CONSTRAINT,
                rules.ADD_UNIQUE,
                rules.NARROW_TYPE,
                rules.SET_NOT_NULL,
                rules.DROP_DB_DEFAULT,
                rules.ADD_DB_DEFAULT,
            }
        ),
    ),
)


class _Named(NamedTuple):
    """As much of an operation as Django asks for to name a migration."""

    migration_name_fragment: str | None


def suggest_name(migration: Migration, history: History) -> str:
    """The name of a migration; ``history`` moves on to the state after it."""
    fragments = []
    for operation in migration.operations:
        fragments.append(_fragment(operation, migration.app_label, history))
        history.advance(operation, migration.app_label)
    named = Migration(migration.name, migration.app_label)
    vars(named).update(
        initial=migration.initial,
        operations=[_Named(fragment) for fragment in fragments],
    )
    return named.suggest_name()


def _fragment(operation: Operation, app_label: str, history: History) -> str | None:
    fragment: str | None = operation.migration_name_fragment
    if not isinstance(operation, AlterField) or not fragment:
        return fragment
    key = (app_label, operation.model_name_lower)
    judged = alteration_rules(history, key, operation.name, operation.field)
    verb = _verb(rule for rule in judged if rule.has_effect)
    if verb and fragment.startswith("alter_"):
        return f"{verb}_{fragment.removeprefix('alter_')}"
    return fragment


def _verb(judged: Iterable[Rule]) -> str | None:
    effects = set(judged)
    if not effects:
        return None
    return next((verb for verb, own in _VERBS if effects <= own), None)
