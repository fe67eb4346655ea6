"""Names of migrations that tell what they do to a rollout.

Pure: told from the operations and the state before them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from django.db.migrations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterField,
    AlterModelManagers,
    AlterModelOptions,
    AlterUniqueTogether,
    CreateModel,
    DeleteModel,
    Migration,
    RemoveConstraint,
    RemoveField,
    RemoveIndex,
    SeparateDatabaseAndState,
)
from django.db.migrations.operations.base import Operation

from syzygy import rules
from syzygy.alterations import alteration_rules
from syzygy.backfill import Backfill
from syzygy.generation.states import model_name
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
                rules.WIDEN_PRIMARY_KEY,
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
                rules.NARROW_PRIMARY_KEY,
                rules.NARROW_TYPE,
                rules.SET_NOT_NULL,
                rules.DROP_DB_DEFAULT,
                rules.ADD_DB_DEFAULT,
            }
        ),
    ),
)


# What several operations of a kind are called together.
_KINDS: dict[type[Operation], str] = {
    AddConstraint: "add_{}_constraints",
    AddField: "add_{}_fields",
    AddIndex: "add_{}_indexes",
    AlterUniqueTogether: "change_{}_unique_sets",
    Backfill: "fill_{}_fields",
    CreateModel: "create_{}_models",
    DeleteModel: "delete_{}_models",
    RemoveConstraint: "remove_{}_constraints",
    RemoveField: "remove_{}_fields",
    RemoveIndex: "remove_{}_indexes",
}
_ALTERATIONS = {
    "drop_db_default": "drop_{}_db_defaults",
    "set_db_default": "set_{}_db_defaults",
}
_LENGTH = 52
_HARMLESS = (AlterModelManagers, AlterModelOptions)


class _Named(NamedTuple):
    """As much of an operation as Django asks for to name a migration.

    ``kind`` is what several like it are called, with a place for their number, and
    ``model`` the lower case name of the model, if it is about one.
    """

    migration_name_fragment: str | None
    kind: str
    model: str
    is_harmless: bool


def suggest_name(migration: Migration, history: History) -> str:
    """The name of a migration; ``history`` moves on to the state after it.

    The one that Django would give, unless that tells of some operations only.
    """
    operations = []
    for operation in migration.operations:
        operations.append(_named(operation, migration.app_label, history))
        history.advance(operation, migration.app_label)
    named = Migration(migration.name, migration.app_label)
    vars(named).update(initial=migration.initial, operations=operations)
    name = named.suggest_name()
    return _summary(operations) if name.endswith("_and_more") else name


def _summary(operations: Sequence[_Named]) -> str:
    """What there is of each kind, the least important last."""
    kinds: dict[str, list[str]] = {}
    for each in sorted(operations, key=lambda each: each.is_harmless):
        fragment = re.sub(r"\W+", "_", each.migration_name_fragment or "")
        kinds.setdefault(each.kind, []).append(fragment)
    name = ""
    for kind, fragments in kinds.items():
        longer = [
            f"{name}_{part}" if name else part for part in _parts(kind, fragments)
        ]
        fitting = [each for each in longer if len(each) <= _LENGTH]
        if name and not fitting:
            return f"{name}_and_more"
        name = (fitting or longer)[0]
    models = {each.model for each in operations}
    model = "_".join(models)
    whole = f"{name}_of_{model}"
    # What has a number doesn't name the model.
    is_needed = len(models) == 1 and model and f"_{model}_" not in f"{name}_"
    return whole if is_needed and len(whole) <= _LENGTH else name


def _parts(kind: str, fragments: Sequence[str]) -> list[str]:
    """What to call operations of a kind, the more telling first."""
    if len(fragments) > 1:
        return [kind.replace("{}", str(len(fragments)))]
    if "{}_" not in kind:
        return [*fragments]
    plural = kind.replace("{}_", "")
    return [fragments[0], plural.removesuffix("es" if plural[-3:] == "xes" else "s")]


def _named(operation: Operation, app_label: str, history: History) -> _Named:
    if isinstance(operation, SeparateDatabaseAndState) and operation.state_operations:
        # The last of these is what is written for.
        return _named(operation.state_operations[-1], app_label, history)
    fragment: str | None = operation.migration_name_fragment
    kind = _KINDS.get(type(operation), fragment or "")
    if isinstance(operation, AlterField) and fragment:
        verb = "alter"
        if fragment.startswith("alter_"):
            key = (app_label, operation.model_name_lower)
            judged = alteration_rules(history, key, operation.name, operation.field)
            verb = _verb(rule for rule in judged if rule.has_effect) or verb
            fragment = f"{verb}_{fragment.removeprefix('alter_')}"
        kind = _ALTERATIONS.get(verb, f"{verb}_{{}}_fields")
    is_harmless = isinstance(operation, _HARMLESS)
    return _Named(fragment, kind, model_name(operation), is_harmless)


def _verb(judged: Iterable[Rule]) -> str | None:
    effects = set(judged)
    if not effects:
        return None
    return next((verb for verb, own in _VERBS if effects <= own), None)
