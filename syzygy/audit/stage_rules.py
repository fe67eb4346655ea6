"""The audit's rules about stages: what breaks one of the two releases.

Which stage an operation needs is told by :mod:`syzygy.requirements`, and in which its
migration runs by the plan; these rules compare the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.db.migrations import AddField, DeleteModel, RemoveField

from syzygy import rules
from syzygy.alterations import insert_may_omit
from syzygy.audit import remedies
from syzygy.audit.base import AuditedMigration, AuditedOperation, AuditRule, Problem
from syzygy.audit.findings import Severity
from syzygy.constants import Stage
from syzygy.exceptions import AmbiguousStage, InvalidStage
from syzygy.requirements import is_opaque, operation_effects
from syzygy.rules import Rule
from syzygy.stages import Source

UNTIL_GONE = (
    "As soon as it is applied, before the rollout, until no process of the running "
    "release is left."
)
UNTIL_APPLIED = "From the rollout on, until it is applied."

# Without them the new release is slower, or may be: code that relies on an extension or
# a collation is none that the ORM writes by itself.
_MISSED_LITTLE = {
    rules.ADD_INDEX.code,
    rules.CREATE_EXTENSION.code,
    rules.CREATE_COLLATION.code,
}
# SQLite enforces no length of a text and no size of a number.
_MISSED_LITTLE_ON = {"sqlite": {rules.WIDEN_TYPE.code, rules.NARROW_TYPE.code}}

_OLD_CANT_INSERT = {
    rules.ADD_FIELD_NOT_NULL.code,
    rules.ADD_FIELD_IMPLICIT.code,
    rules.ADD_FIELD_CALLABLE.code,
    rules.ADD_FIELD_UNIQUE_NOT_NULL.code,
    rules.ADD_ORDER.code,
}
_NEW_CANT_INSERT = {
    rules.REMOVE_ORDER.code,
    rules.REMOVE_FIELD_NOT_NULL.code,
    rules.REMOVE_FIELD_UNIQUE.code,
    rules.REMOVE_FIELD_CONSTRAINED.code,
}
_REFERENCES_STAY = {
    rules.DELETE_MODEL_RELATIONS.code,
    rules.REMOVE_FIELD_RELATION.code,
    rules.REMOVE_FIELD_M2M.code,
}


class Ambiguous(AuditRule):
    """SZ002."""

    code = "SZ002"
    name = "ambiguous-stage"
    severity = Severity.BREAKING
    summary = "A migration holds operations that need different stages."

    def check_migration(self, migration: AuditedMigration) -> Iterator[Problem]:
        """Report a stage that can't be told, unless an operation is all there is to."""
        decision = migration.decision
        if not isinstance(decision, AmbiguousStage):
            return
        unsafe = any(
            not rule.stageable for part in migration.parts for rule in part.effects
        )
        if unsafe and not isinstance(decision, InvalidStage):
            return
        yield Problem(
            title=decision.summary.removesuffix("."),
            what='"migrate --pre-deploy" refuses to run.',
            when="In whichever stage it is applied.",
            why="What it does needs both stages, and a migration runs in one.",
            remedy=decision.remedy,
        )


class _Misplaced(AuditRule):
    """What the two rules about the wrong stage have in common."""

    severity = Severity.BREAKING
    wrong: Stage
    release: str
    when: str

    def check_operation(self, operation: AuditedOperation) -> Iterator[Problem]:
        """Report what needs the other stage than the one in which it runs."""
        if operation.stage is not self.wrong or operation.state_only:
            return
        for rule in operation.effects:
            if rule.required not in (None, self.wrong) and not is_opaque(rule):
                yield self._problem(operation, rule)

    def _problem(self, operation: AuditedOperation, rule: Rule) -> Problem:
        little = rule.code in _MISSED_LITTLE or rule.code in _MISSED_LITTLE_ON.get(
            operation.vendor, ()
        )
        how = "before" if self.wrong is Stage.PRE_DEPLOY else "after"
        decision = operation.migration.decision
        return Problem(
            title=f"{operation.description} runs {how} the rollout, but {rule.why}",
            what=f"The {self.release} release may fail at what it does with the table.",
            when=self.when,
            why=f"{rule.why[0].upper()}{rule.why[1:]}. The stage: {decision}.",
            remedy=self._remedy(operation),
            effect=rule.code,
            severity=Severity.WARNING if little else None,
        )

    def _remedy(self, operation: AuditedOperation) -> str:
        text = remedies.in_stage(self.wrong.inverted)
        decision = operation.migration.decision
        if getattr(decision, "source", None) is Source.OVERRIDE:
            setting = Source.OVERRIDE.value
            return f'The setting "{setting}" has the wrong stage for it. {text}'
        return text


class BreaksRunning(_Misplaced):
    """SZ004."""

    code = "SZ004"
    name = "breaks-running-release"
    summary = "An operation that has to wait until after the rollout runs before it."
    wrong = Stage.PRE_DEPLOY
    release = "running"
    when = UNTIL_GONE


class BreaksNew(_Misplaced):
    """SZ005."""

    code = "SZ005"
    name = "breaks-new-release"
    summary = "An operation that the new release needs runs after the rollout."
    wrong = Stage.POST_DEPLOY
    release = "new"
    when = UNTIL_APPLIED


class NoSafeStage(AuditRule):
    """SZ006."""

    code = "SZ006"
    name = "no-safe-stage"
    severity = Severity.BREAKING
    summary = "No stage is safe for what an operation does."

    def check_operation(self, operation: AuditedOperation) -> Iterator[Problem]:
        """Report what no order within one deployment makes safe."""
        for rule in operation.effects:
            if rule.stageable or operation.state_only:
                continue
            yield Problem(
                title=f"No stage is safe for {operation.description}: {rule.why}",
                what="One of the two releases fails at what it does with the table.",
                when=("The running release before the rollout, the new one after it."),
                why=f"{rule.why[0].upper()}{rule.why[1:]}.",
                remedy=rule.remedy,
                effect=rule.code,
            )


class RunningCantInsert(AuditRule):
    """SZ007."""

    code = "SZ007"
    name = "running-release-cannot-insert"
    severity = Severity.BREAKING
    summary = "A new column is NOT NULL, and the database has no DEFAULT for it."

    def check_operation(self, operation: AuditedOperation) -> Iterator[Problem]:
        """Report new columns that an INSERT of the running release leaves out."""
        if operation.stage is Stage.POST_DEPLOY or operation.state_only:
            return  # That is the new release's to suffer from.
        for rule in operation.effects:
            if rule.code in _OLD_CANT_INSERT:
                yield Problem(
                    title=f"{operation.description}: {rule.caveat}",
                    what="Every INSERT of the running release into the table fails.",
                    when=UNTIL_GONE,
                    why=f"{rule.caveat[0].upper()}{rule.caveat[1:]}.",
                    remedy=f"{rule.remedy}{_addition(operation)}",
                    effect=rule.code,
                )


class RowsWithoutDefault(AuditRule):
    """SZ008."""

    code = "SZ008"
    name = "rows-without-default"
    severity = Severity.WARNING
    summary = "The running release writes NULL where the new one expects the default."

    def check_operation(self, operation: AuditedOperation) -> Iterator[Problem]:
        """Report a nullable column whose default only Python knows."""
        if operation.stage is Stage.POST_DEPLOY or operation.state_only:
            return
        for rule in operation.effects:
            if rule.code == rules.ADD_FIELD_NULL_DEFAULT.code:
                yield Problem(
                    title=f"{operation.description}: {rule.caveat}",
                    what="The new release reads NULL in rows that the other one wrote.",
                    when="While both releases run, and from then on.",
                    why="The default is Python's; the database knows nothing of it.",
                    remedy=f"{rule.remedy}{_addition(operation)}",
                    effect=rule.code,
                )


class NewCantInsert(AuditRule):
    """SZ009."""

    code = "SZ009"
    name = "new-release-cannot-insert"
    severity = Severity.BREAKING
    summary = "What is removed after the rollout still demands a value until then."

    def check_operation(self, operation: AuditedOperation) -> Iterator[Problem]:
        """Report removals that weren't prepared for before the rollout."""
        if operation.stage is Stage.PRE_DEPLOY:
            return
        if operation.state_only and not _is_dropped_by_sql(operation):
            return
        for rule in operation.effects:
            if rule.code == rules.REMOVE_FIELD_RELATION.code:
                rule = _without_reference(operation)  # noqa: PLW2901 - what is left
            if rule.code in _NEW_CANT_INSERT:
                yield Problem(
                    title=f"{operation.description}: {rule.caveat}",
                    what="Every INSERT of the new release into the table may fail.",
                    when=UNTIL_APPLIED,
                    why=f"{rule.caveat[0].upper()}{rule.caveat[1:]}.",
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
        if operation.stage is Stage.PRE_DEPLOY or operation.state_only:
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
                    when=UNTIL_APPLIED,
                    why=f"{rule.caveat[0].upper()}{rule.caveat[1:]}.",
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
        if _is_done_otherwise(operation, removal):
            return
        for rule in operation.effects:
            if rule.code == rules.REMOVE_FIELD_RELATION.code:
                rule = _without_reference(operation)  # noqa: PLW2901 - what is left
            if rule.code in _NEW_CANT_INSERT:
                yield Problem(
                    title=(
                        f"{operation.description} removes the field from the models "
                        "alone, and its column still demands a value"
                    ),
                    what="Every INSERT of the new release into the table may fail.",
                    when="From the rollout on, until the column goes or is relaxed.",
                    why=(
                        f"The column stays as it is: {rule.caveat}. Nothing in the "
                        "database changes."
                    ),
                    remedy=f"{rule.remedy}{_preparation(operation)}",
                    effect=rule.code,
                )


def _is_done_otherwise(operation: AuditedOperation, removal: RemoveField) -> bool:
    """Whether the database operations beside it may have taken care of the column."""
    return any(
        part.position == operation.position
        and not part.state_only
        and (
            any(is_opaque(r) or r is rules.RUN_SQL_DROP for r in part.effects)
            or getattr(part.operation, "name", None) == removal.name
            or part.operation.__class__ is DeleteModel
        )
        for part in operation.migration.parts
    )


def _is_dropped_by_sql(operation: AuditedOperation) -> bool:
    """Whether SQL beside it drops what it removes from the models."""
    return isinstance(operation.operation, RemoveField) and any(
        part.position == operation.position and rules.RUN_SQL_DROP in part.effects
        for part in operation.migration.parts
    )


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
    history.alter_field(*key, removal.name, free, preserve_default=True)
    effects: Iterable[Rule] = operation_effects(removal, key[0], history)
    history.alter_field(*key, removal.name, field, preserve_default=True)
    if insert_may_omit(field) and not any(
        rule is rules.REMOVE_FIELD_CONSTRAINED for rule in effects
    ):
        return rules.REMOVE_FIELD
    return next(iter(effects), rules.REMOVE_FIELD)


def _addition(operation: AuditedOperation) -> str:
    if isinstance(operation.operation, AddField):
        return remedies.safe_addition(operation.operation, operation.vendor)
    return ""


def _preparation(operation: AuditedOperation) -> str:
    removal, key = operation.operation, operation.model
    if isinstance(removal, RemoveField) and key:
        return remedies.relaxation(
            operation.history, key, removal.name, operation.vendor
        )
    return ""
