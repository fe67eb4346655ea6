"""The audit's rules about what is removed while something still demands it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.db.migrations import DeleteModel, RemoveField
from django.utils.text import capfirst

from syzygy import rules
from syzygy.alterations import column_name, insert_may_omit, join_table
from syzygy.audit import remedies
from syzygy.audit.base import AuditedOperation, AuditRule, Problem
from syzygy.audit.findings import Severity
from syzygy.audit.stage_rules import UNTIL_APPLIED
from syzygy.constants import Stage
from syzygy.history import History
from syzygy.requirements import is_opaque, operation_effects
from syzygy.rules import Rule

_NEW_CANT_INSERT = {
    rules.REMOVE_ORDER.code,
    rules.REMOVE_FIELD_NOT_NULL.code,
    rules.REMOVE_FIELD_UNIQUE.code,
    rules.REMOVE_FIELD_CONSTRAINED.code,
}
_UNTIL_GONE = "From the rollout on, until it goes from the database or is relaxed."
_REFERENCES_STAY = {
    rules.DELETE_MODEL_RELATIONS.code,
    rules.REMOVE_FIELD_RELATION.code,
    rules.REMOVE_FIELD_M2M.code,
}


class NewCantInsert(AuditRule):
    """SZ009."""

    code = "SZ009"
    name = "new-release-cannot-insert"
    severity = Severity.BREAKING
    summary = "What is removed after the rollout still demands a value until then."

    def check_operation(self, operation: AuditedOperation) -> Iterator[Problem]:
        """Report removals that weren't prepared for before the rollout."""
        if operation.stage is Stage.PRE_DEPLOY or operation.is_forgotten:
            return
        if operation.state_only and not _is_dropped_by_sql(operation):
            return
        for rule in _demands(operation):
            yield Problem(
                title=f"{operation.description}: {rule.caveat}",
                what="Every INSERT of the new release into the table may fail.",
                when=UNTIL_APPLIED,
                why=f"{capfirst(rule.caveat)}.",
                remedy=f"{rule.remedy}{_preparation(operation)}",
                effect=rule.code,
            )


class ReferencesStay(AuditRule):
    """SZ010."""

    code = "SZ010"
    name = "references-block-deletes"
    severity = Severity.WARNING
    summary = "Until a table or column goes, its foreign keys keep rows from going."

    def check_operation(self, operation: AuditedOperation) -> Iterator[Problem]:
        """Report removals of references that are still in force in between."""
        if operation.state_only and not _is_dropped_by_sql(operation):
            if _is_done_otherwise(operation) or _has_heir(operation):
                return
        elif operation.stage is Stage.PRE_DEPLOY:
            return
        for rule in operation.effects:
            if rule.code in _REFERENCES_STAY:
                yield Problem(
                    title=f"{operation.description}: {rule.caveat}",
                    what=(
                        "The new release fails to delete rows that are still referred "
                        "to: it knows nothing of the rows that it would have to delete "
                        "first."
                    ),
                    when=_UNTIL_GONE if operation.state_only else UNTIL_APPLIED,
                    why=f"{capfirst(rule.caveat)}.",
                    remedy=f"{rule.remedy}{_preparation(operation)}",
                    effect=rule.code,
                )


class StateOnlyRemoval(AuditRule):
    """SZ011."""

    code = "SZ011"
    name = "state-only-removal"
    severity = Severity.BREAKING
    summary = "A field goes from the models alone, and its column demands a value."

    def check_operation(self, operation: AuditedOperation) -> Iterator[Problem]:
        """Report columns that stay, and that INSERTs now leave out."""
        removal = operation.operation
        if not operation.state_only or not isinstance(removal, RemoveField):
            return
        if operation.is_forgotten or _is_done_otherwise(operation):
            return
        if _has_heir(operation):
            return
        for rule in _demands(operation):
            yield Problem(
                title=(
                    f"{operation.description} removes the field from the models "
                    "alone, and its column still demands a value"
                ),
                what="Every INSERT of the new release into the table may fail.",
                when=_UNTIL_GONE,
                why=(
                    f"The column stays as it is: {rule.caveat}. Nothing in the "
                    "database changes."
                ),
                remedy=f"{rule.remedy}{_preparation(operation)}",
                effect=rule.code,
            )


def _demands(operation: AuditedOperation) -> Iterator[Rule]:
    """The rules by which the new release can't insert rows until it is applied."""
    for rule in operation.effects:
        is_reference = rule.code == rules.REMOVE_FIELD_RELATION.code
        what_is_left = _without_reference(operation) if is_reference else rule
        if what_is_left.code in _NEW_CANT_INSERT:
            yield what_is_left


def _is_done_otherwise(operation: AuditedOperation) -> bool:
    """Whether the database operations beside it may have taken care of the rest."""
    name = getattr(operation.operation, "name", None)
    return any(
        part.position == operation.position
        and not part.state_only
        and (
            any(is_opaque(r) or r is rules.RUN_SQL_DROP for r in part.effects)
            or getattr(part.operation, "name", None) == name
            or part.operation.__class__ is DeleteModel
        )
        for part in operation.migration.parts
    )


def _is_dropped_by_sql(operation: AuditedOperation) -> bool:
    """Whether SQL beside it drops what it removes from the models."""
    return isinstance(operation.operation, DeleteModel | RemoveField) and any(
        part.position == operation.position and rules.RUN_SQL_DROP in part.effects
        for part in operation.migration.parts
    )


def _has_heir(operation: AuditedOperation) -> bool:
    """Whether something else in the new release's models has the table or column."""
    key, history, removal = operation.model, operation.history, operation.operation
    if key is None:
        return False
    heirs = operation.migration.heirs
    if isinstance(removal, RemoveField):
        field = history.field(key, removal.name)
        if field is None:
            return False
        if field.many_to_many:
            joined = join_table(history.table(key), removal.name, field)
            return (joined,) in heirs
        return (*key, column_name(removal.name, field)) in heirs
    table = history.table(key)
    others = (other for other in history.models if other != key)
    return (table,) in heirs or any(history.table(each) == table for each in others)


def _without_reference(operation: AuditedOperation) -> Rule:
    """What else there is to say of the removal of a foreign key."""
    removal, key, history = operation.operation, operation.model, operation.history
    field = (
        key and isinstance(removal, RemoveField) and history.field(key, removal.name)
    )
    if not field or key is None or not isinstance(removal, RemoveField):
        return rules.REMOVE_FIELD
    free = field.clone()
    free.db_constraint = False
    without = History(history.is_swapped)
    model = history.model(key)
    if model is not None:
        without.models = {key: model.clone()}
    without.alter_field(*key, removal.name, free, preserve_default=True)
    effects: Iterable[Rule] = operation_effects(removal, key[0], without)
    if insert_may_omit(field) and not any(
        rule is rules.REMOVE_FIELD_CONSTRAINED for rule in effects
    ):
        return rules.REMOVE_FIELD
    return next(iter(effects), rules.REMOVE_FIELD)


def _preparation(operation: AuditedOperation) -> str:
    removal, key = operation.operation, operation.model
    if isinstance(removal, RemoveField) and key:
        return remedies.relaxation(
            operation.history, key, removal.name, operation.vendor
        )
    return ""
