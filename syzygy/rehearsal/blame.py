"""Putting failures down to the migration and the operation that cause them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from django.db.migrations import (
    AddField,
    CreateModel,
    DeleteModel,
    RemoveConstraint,
    RemoveField,
    RenameModel,
    RunPython,
    RunSQL,
)
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.fields import FieldOperation
from django.db.migrations.operations.models import AlterTogetherOptionOperation
from django.db.migrations.state import ProjectState
from django.db.models import ForeignKey

from syzygy.alterations import has_join_table, join_table
from syzygy.constraints import constraint_fields
from syzygy.history import History, ModelKey
from syzygy.rehearsal import scope
from syzygy.rehearsal.findings import NEXT_KEY, Action, Culprit, Failure, Severity
from syzygy.rehearsal.releases import parts_of, touched_models
from syzygy.requirements import is_opaque, operation_effects
from syzygy.rules import Rule
from syzygy.staging import Step

# A field that refers to a model: the model that has it, its name, and the field.
_Reference: TypeAlias = tuple[ModelKey, str, Any]


class Suspect(NamedTuple):
    """An operation of the plan, with what is known of its effect."""

    step: Step
    operation: Operation
    position: int
    rules: tuple[Rule, ...]
    models: frozenset[ModelKey]
    # Those that its fields refer to.
    targets: frozenset[ModelKey]
    tables: frozenset[str]
    join_tables: frozenset[str]
    fields: tuple[str, ...]
    # Of what it says without doing it.
    stated: tuple[Rule, ...] = ()


def suspects(start: ProjectState, steps: Iterable[Step]) -> list[Suspect]:
    """The operations of the steps of a deployment, which begins at a state."""
    history = History()
    history.models = {key: model.clone() for key, model in start.models.items()}
    found = []
    for step in steps:
        label = step.migration.app_label
        for position, operation in enumerate(step.migration.operations):
            models = frozenset(touched_models(operation, label) or ())
            before = map(history.table, models)
            references = list(_references(operation, label, history))
            suspect = Suspect(
                step,
                operation,
                position,
                operation_effects(operation, label, history),
                models,
                frozenset(_targets(references, history)),
                frozenset(before),
                frozenset(_join_tables(references, history)),
                _fields(operation, label, history),
                _stated(operation, label, history),
            )
            history.advance(operation, label)
            after = map(history.table, models)
            found.append(suspect._replace(tables=suspect.tables.union(after)))
    return found


def _stated(operation: Operation, label: str, history: History) -> tuple[Rule, ...]:
    """The rules for what an operation says, if that were done."""
    parts = getattr(operation, "state_operations", None) or ()
    return tuple(r for part in parts for r in operation_effects(part, label, history))


def find_culprit(
    failure: Failure, key: ModelKey | None, among: Sequence[Suspect]
) -> Culprit | None:
    """The likeliest cause of a failure with that model, ``None`` if there is none."""
    best = max(among, key=lambda suspect: _weight(suspect, failure, key), default=None)
    if best is None:
        return None
    fields = best.fields if key is None or key in best.models else ()
    field = failure.field or ", ".join(_named(fields, failure) or fields)
    if key in best.models and not any(rule.has_effect for rule in best.rules):
        makers = _makers(best, among)
        if not makers and any(map(_may_make, _beside(best, among))):
            return Culprit(**_where(best), field=field)
        best = makers[-1] if makers else best
    return Culprit(
        **_where(best),
        operation=best.operation,
        position=best.position,
        rule=_worst(best, failure),
        field=field,
        stated=_worst(best._replace(rules=best.stated), failure),
    )


def _where(suspect: Suspect) -> dict[str, Any]:
    step = suspect.step
    return {
        "migration": step.migration,
        "stage": step.stage,
        "backward": step.backward,
        "runs_in": step.runs_in,
        "source": step.decision.source,
    }


# What SQL that makes or changes a table begins with.
_MAKING = {"create", "alter"}


def _makers(stated: Suspect, among: Iterable[Suspect]) -> list[Suspect]:
    """The SQL that may do what an operation only says, the likeliest last."""
    tables = {table.lower() for table in stated.tables}
    found = []
    for suspect in among:
        words = scope.words_of(suspect.operation)
        is_sql = not _may_make(suspect) and scope.is_opaque(suspect.operation)
        if is_sql and tables & words and _MAKING & words:
            found.append(suspect)
    return _beside(stated, found) or found


def _beside(stated: Suspect, among: Iterable[Suspect]) -> list[Suspect]:
    migration = stated.step.migration
    return [suspect for suspect in among if suspect.step.migration is migration]


def _may_make(suspect: Suspect) -> bool:
    """Whether it runs code that doesn't tell what it is about."""
    operation = suspect.operation
    if isinstance(operation, RunPython):
        return operation.code is not RunPython.noop
    return scope.is_opaque(operation) and not isinstance(operation, RunSQL)


def may_lose_rows(suspect: Suspect) -> bool:
    """Whether it does more than to make room for values."""
    adding = (DeleteModel, RemoveField) if suspect.step.backward else _ADDING
    return not isinstance(suspect.operation, adding)


_ADDING = (AddField, CreateModel)
# Those that make or remove references, with the fields or the models that have them.
_WITH_REFERENCES = (FieldOperation, CreateModel, DeleteModel, RenameModel)


def _weight(
    suspect: Suspect, failure: Failure, key: ModelKey | None
) -> tuple[bool, ...]:
    rule = _worst(suspect, failure)
    named = _named(suspect.fields, failure)
    runs_code = scope.is_opaque(suspect.operation)
    is_near = (
        key is None
        or key in suspect.models
        or key in suspect.targets
        # Such as that of a many-to-many relation.
        or any(_is_word(table, failure.error) for table in suspect.tables)
    )
    is_lost = failure.probe.action is Action.KEEP
    is_about_rows = is_lost and failure.severity is Severity.HAZARD
    return (
        # Of a migration that runs code, it is the code that does something to rows.
        (is_about_rows or failure.probe.subject == NEXT_KEY) and runs_code,
        key in suspect.models and failure.field in _columns(suspect.fields),
        *_may_hold(suspect, failure, key),
        _has_column_of(suspect, failure),
        is_near and bool(named),
        is_near and _is_apt(rule, failure) and _is_unsafe(rule, suspect),
        is_near and _is_unsafe(rule, suspect),
        is_near and _is_apt(rule, failure),
        is_near and rule is not None and rule.has_effect,
        key in suspect.models,
        key in suspect.targets,
        # What tells nothing of what it does may have done anything.
        not suspect.models,
        _is_unsafe(rule, suspect),
    )


def _may_hold(
    suspect: Suspect, failure: Failure, key: ModelKey | None
) -> tuple[bool, bool, bool]:
    """Whether it made references that keep a row from being deleted.

    The last says that they are to rows of that kind; the others that the error names
    the join table or the table that has them, for the row may be one that goes along
    with the one to delete.
    """
    if failure.probe.action is not Action.DELETE or not suspect.targets:
        return False, False, False

    def is_named(tables: Iterable[str]) -> bool:
        return any(_is_word(table, failure.error) for table in tables)

    is_joined = is_named(suspect.join_tables)
    is_elsewhere = key not in suspect.models and is_named(suspect.tables)
    return is_joined, is_joined or is_elsewhere, key in suspect.targets


def _has_column_of(suspect: Suspect, failure: Failure) -> bool:
    """Whether the error names one of its columns together with the table."""
    words = {word.strip(_MARKS) for word in failure.error.split()}
    columns = _columns(suspect.fields)
    return any(f"{table}.{c}" in words for table in suspect.tables for c in columns)


def _columns(fields: Iterable[str]) -> set[str]:
    """What fields and their columns may be called."""
    return {each for name in fields for each in (name, f"{name}_id")}


def _is_unsafe(rule: Rule | None, suspect: Suspect) -> bool:
    if rule is None:
        return True
    stage = suspect.step.runs_in
    if suspect.step.backward:
        stage = stage.inverted
    misplaced = rule.required not in (None, stage) and not is_opaque(rule)
    return misplaced or rule.split or not rule.stageable


def _worst(suspect: Suspect, failure: Failure) -> Rule | None:
    """Of the rules of an operation, the one that tells most about what goes wrong."""
    return max(
        suspect.rules,
        key=lambda rule: (
            _is_apt(rule, failure),
            _is_unsafe(rule, suspect),
            rule.has_effect,
        ),
        default=None,
    )


# What errors of the databases mention, and what the codes of rules then do.
_SIGNS = {
    # MySQL and MariaDB find NULL truncated where a column is to be NOT NULL.
    r"\bnull\b|data truncated": ("null",),
    r"\bunique\b|\bduplicate\b|on conflict": ("unique",),
    r"foreign key": ("constraint", "relation", "m2m", "target", "on-delete"),
    r"too long|out of range|overflow": ("type",),
}


def _is_apt(rule: Rule | None, failure: Failure) -> bool:
    """Whether the rule is about the like of what went wrong."""
    return rule is not None and any(
        re.search(pattern, failure.error, re.IGNORECASE)
        and any(word in rule.code for word in words)
        for pattern, words in _SIGNS.items()
    )


def _named(fields: Iterable[str], failure: Failure) -> list[str]:
    """Which of the fields are mentioned in what was tried, or in the error."""
    texts = (failure.probe.subject, failure.error)
    return [name for name in fields if any(_is_word(name, text) for text in texts)]


# What errors have around names, and between those of tables and columns.
_MARKS = "\"'`.,()[]"


def _is_word(name: str, text: str) -> bool:
    for mark in _MARKS:
        text = text.replace(mark, " ")
    return not _columns([name]).isdisjoint(text.split())


def _targets(references: Iterable[_Reference], history: History) -> Iterable[ModelKey]:
    """The models to which there are such references: of a join table to both ends."""
    for key, _, field in references:
        yield history.related(key, field)
        if has_join_table(field):
            yield key


def _join_tables(references: Iterable[_Reference], history: History) -> Iterable[str]:
    for key, name, field in references:
        if table := join_table(history.table(key), name, field):
            yield table


def _references(
    operation: Operation, label: str, history: History
) -> Iterable[_Reference]:
    """The references that an operation makes or removes."""
    for part in parts_of(operation):
        yield from _references(part, label, history)
    if not isinstance(operation, _WITH_REFERENCES):
        return
    fields: list[_Reference] = []
    for key in touched_models(operation, label) or ():
        if model := history.models.get(key):
            names = _fields(operation, label, history) or model.fields
            fields += [(key, name, model.fields.get(name)) for name in names]
        if field := getattr(operation, "field", None):
            fields.append((key, getattr(operation, "name", ""), field))
        for name, field in getattr(operation, "fields", None) or ():
            fields.append((key, name, field))
    for key, name, field in fields:
        if isinstance(field, ForeignKey) or getattr(field, "many_to_many", False):
            yield key, name, field


def _fields(operation: Operation, label: str, history: History) -> tuple[str, ...]:
    """The names of the fields that an operation is about, if it is about some."""
    if parts := parts_of(operation):
        return tuple(
            sorted({name for part in parts for name in _fields(part, label, history)})
        )
    if old_name := getattr(operation, "old_name", None):
        new_name = getattr(operation, "new_name", "")
        return (old_name, new_name) if hasattr(operation, "model_name") else ()
    if hasattr(operation, "model_name") and hasattr(operation, "field"):
        return (str(getattr(operation, "name", "")),)
    if constraint := getattr(operation, "constraint", None):
        return tuple(sorted(constraint_fields(constraint)))
    if isinstance(operation, RemoveConstraint | AlterTogetherOptionOperation):
        return tuple(sorted(_fields_of_options(operation, label, history)))
    if hasattr(operation, "model_name") and hasattr(operation, "model_name_lower"):
        name = getattr(operation, "name", None)
        is_field = type(operation).__name__.endswith("Field")
        return (name,) if name and is_field else ()
    if order := getattr(operation, "order_with_respect_to", None):
        return (order, "_order")
    return ()


def _fields_of_options(
    operation: RemoveConstraint | AlterTogetherOptionOperation,
    label: str,
    history: History,
) -> set[str]:
    """The fields of what an operation removes from the options of a model, or adds."""
    if isinstance(operation, RemoveConstraint):
        model = history.models.get((label, operation.model_name_lower))
        constraints = model.options.get("constraints", ()) if model else ()
        return set().union(
            *(constraint_fields(c) for c in constraints if c.name == operation.name)
        )
    model = history.models.get((label, operation.name_lower))
    before = model.options.get(operation.option_name) if model else ()
    sets = {tuple(names) for names in before or ()}
    after = set(operation.option_value or ())
    return {name for names in sets ^ after for name in names}
