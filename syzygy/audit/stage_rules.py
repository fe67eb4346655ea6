"""The audit's rules about stages: what breaks one of the two releases.

Which stage an operation needs is told by :mod:`syzygy.requirements`, and in which its
migration runs by the plan; these rules compare the two.
"""

from __future__ import annotations

from collections.abc import Iterator

from django import VERSION
from django.db.migrations import (
    AddField,
    AlterField,
    RenameField,
    RenameModel,
    RunSQL,
)
from django.db.models import UniqueConstraint
from django.utils.text import capfirst

from syzygy import rules
from syzygy.alterations import has_db_default, is_generated
from syzygy.audit import remedies
from syzygy.audit.base import AuditedMigration, AuditedOperation, AuditRule, Problem
from syzygy.audit.findings import Severity
from syzygy.audit.lasting import is_lasting
from syzygy.backfill import Backfill
from syzygy.computed import in_the_way
from syzygy.constants import Stage
from syzygy.exceptions import AmbiguousStage, InvalidStage
from syzygy.history import AnyField
from syzygy.requirements import is_opaque
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
# SQLite enforces no length of a text and no size of a number. Where it knows no DEFAULT
# in an INSERT, Django itself writes the value; newer ones leave the column out.
_MISSED_LITTLE_ON = {"sqlite": {rules.WIDEN_TYPE.code, rules.NARROW_TYPE.code}}
if VERSION < (6,):
    _MISSED_LITTLE_ON["sqlite"] |= {
        rules.ADD_DB_DEFAULT.code,
        rules.DROP_DB_DEFAULT.code,
    }

_OLD_CANT_INSERT = {
    rules.ADD_FIELD_NOT_NULL.code,
    rules.ADD_FIELD_IMPLICIT.code,
    rules.ADD_FIELD_CALLABLE.code,
    rules.ADD_FIELD_UNIQUE_NOT_NULL.code,
    rules.ADD_ORDER.code,
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
            not rule.stageable
            for part in migration.parts
            if not part.state_only
            for rule in part.effects
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
        if self.wrong is Stage.POST_DEPLOY and operation.is_forgotten:
            return
        for rule in operation.effects:
            is_wrong = rule.required not in (None, self.wrong) and not is_opaque(rule)
            if is_wrong and not is_lasting(operation, rule):
                yield self._problem(operation, rule)

    def _problem(self, operation: AuditedOperation, rule: Rule) -> Problem:
        little = (
            rule.code in _MISSED_LITTLE
            or rule.code in _MISSED_LITTLE_ON.get(operation.vendor, ())
            or _is_left_out(operation)
            or _is_of_no_model(operation)
        )
        how = "before" if self.wrong is Stage.PRE_DEPLOY else "after"
        decision = operation.migration.decision
        return Problem(
            title=f"{operation.description} runs {how} the rollout, but {rule.why}",
            what=f"The {self.release} release may fail at what it does with the table.",
            when=self.when,
            why=f"{capfirst(rule.why)}. The stage: {decision}.",
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


def _is_of_no_model(operation: AuditedOperation) -> bool:
    """Whether it is SQL that drops nothing which a model has."""
    if not isinstance(operation.operation, RunSQL):
        return False
    from syzygy.audit.sql_effects import dropped_tables, is_known

    return not any(
        is_known(operation.history, table)
        for table in dropped_tables(operation.operation.sql)
    )


def _is_left_out(operation: AuditedOperation) -> bool:
    """Whether it is about a constraint that Django leaves out on that database."""
    constraint = getattr(operation.operation, "constraint", None)
    if operation.vendor != "postgresql" and getattr(constraint, "deferrable", None):
        return True
    return operation.vendor == "mysql" and (
        isinstance(constraint, UniqueConstraint) and constraint.condition is not None
    )


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
        """Report what no order within one deployment makes safe, or possible."""
        if operation.vendor == "postgresql" and not operation.state_only:
            yield from _retyped(operation)
        for rule in operation.effects:
            if rule.stageable or operation.state_only:
                continue
            yield Problem(
                title=f"No stage is safe for {operation.description}: {rule.why}",
                what="One of the two releases fails at what it does with the table.",
                when=("The running release before the rollout, the new one after it."),
                why=f"{capfirst(rule.why)}.",
                remedy=f"{rule.remedy}{_replacement(operation, rule)}",
                effect=rule.code,
                severity=Severity.WARNING if _is_loose(operation, rule) else None,
            )


def _retyped(operation: AuditedOperation) -> Iterator[Problem]:
    """Report a column whose type PostgreSQL doesn't change."""
    label, _ = operation.migration.key
    found = in_the_way(operation.operation, label, operation.history)
    if found:
        names = ", ".join(f'"{".".join(key)}.{name}"' for key, name in found)
        yield Problem(
            title=f"{operation.description} fails: {names} is generated from it",
            what="The migration can't be applied.",
            when="On PostgreSQL, whenever it is tried.",
            why=(
                "PostgreSQL changes the type of no column from which another one is "
                "generated, and is told the type along with a comment or a collation."
            ),
            remedy=(
                f"Leave the field as it is; or remove {names} in one release, alter "
                "the field in the next one, and add what was removed after that."
            ),
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
                    why=f"{capfirst(rule.caveat)}.",
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


class NullsNotFilled(AuditRule):
    """SZ022."""

    code = "SZ022"
    name = "nulls-not-filled"
    severity = Severity.BREAKING
    summary = "A field becomes NOT NULL, and nothing fills it after the rollout."

    def check_operation(self, operation: AuditedOperation) -> Iterator[Problem]:
        """Report NOT NULL on a column that the running release may have left NULL."""
        change, key = operation.operation, operation.model
        if (
            not isinstance(change, AlterField)
            or key is None
            or operation.stage is not Stage.POST_DEPLOY
            or operation.state_only
            or not operation.has_rows
        ):
            return
        old = operation.history.field(key, change.name)
        if old is None or not old.null or has_db_default(old) or is_generated(old):
            return
        audited = operation.migration
        if change.field.null or _fills(change.field):
            return
        if audited.after_code or audited.has_code:
            return
        if (key, change.name) in {*audited.filled, *audited.fills}:
            return
        history = operation.history
        proofs = history.refusing_null(key, change.name)
        if any(not history.is_unseen(*key, "", proof.name) for proof in proofs):
            return
        is_new = operation.history.is_unseen(*key, change.name)
        where = "" if is_new else " at a row with NULL"
        yield Problem(
            title=(
                f"{operation.description} fails{where}: nothing fills it after the "
                "rollout"
            ),
            what="The migration can't be applied.",
            when=f"After the rollout, if the running release has {_LEFT[is_new]}.",
            why=f"{_WHY_NULL[is_new]}{_why_not_default(change.field)}",
            remedy=_filling(change),
            severity=None if is_new else Severity.WARNING,
        )


def _filling(change: AlterField) -> str:
    """The code that fills the field, with its default if that is of use."""
    model, name, default = change.model_name, change.name, change.field.default
    written = ""
    # A field with a default is unique here, so that one value serves no two rows.
    if change.field.has_default() and callable(default):
        written = remedies.code(Backfill(model, name, default), atomic=False)
    about = "" if written else ', where "value" stands for what the rows get'
    unwritten = (
        "\n    from syzygy.operations import Backfill\n"
        "    atomic = False\n"
        f"    operations = [Backfill({model!r}, {name!r}, value)]"
    )
    return (
        f"Fill it after the rollout, in a migration right before this one{about}:"
        f"{written or unwritten}"
    )


# By whether the running release doesn't know the field.
_LEFT = {True: "inserted a row", False: "written NULL"}
_WHY_NULL = {
    True: (
        "The same release adds the field, so the running one leaves it NULL until it "
        "is gone. What filled it before the rollout missed these rows."
    ),
    False: (
        "The running release may write NULL until it is gone, whatever was filled "
        "before that."
    ),
}


def _why_not_default(field: AnyField) -> str:
    has_default = field.has_default() or has_db_default(field)
    if not (field.unique and has_default):
        return ""
    return " Django writes one and the same default into all of them."


def _fills(field: AnyField) -> bool:
    """Whether Django writes a default where there is NULL when it sets NOT NULL.

    It is the same for all rows, which is of no use if that has to be unique, unless the
    database computes it.
    """
    if field.unique:
        return has_db_default(field) and hasattr(field.db_default, "flatten")
    return (
        has_db_default(field)
        or field.has_default()
        or (field.blank and field.empty_strings_allowed)
        or bool(getattr(field, "auto_now", False))
        or bool(getattr(field, "auto_now_add", False))
    )


def _is_loose(operation: AuditedOperation, rule: Rule) -> bool:
    """Whether SQLite, which stores any number anywhere, doesn't mind the change.

    "migrate" minds all the same, as long as nobody has said when it is to run.
    """
    change, key = operation.operation, operation.model
    if operation.stage is None:
        return False
    if operation.vendor != "sqlite" or rule is not rules.CHANGE_TYPE or key is None:
        return False
    if not isinstance(change, AlterField):
        return False
    old = operation.history.field(key, change.name)
    return old is not None and (
        old.get_internal_type() == change.field.get_internal_type() == "DecimalField"
    )


def _replacement(operation: AuditedOperation, rule: Rule) -> str:
    """The code for the first of the ways out that a rule names."""
    change, key = operation.operation, operation.model
    if isinstance(change, RenameField) and rule is rules.RENAME_COLUMN and key:
        return remedies.renamed_field(operation.history, key, change)
    if isinstance(change, RenameModel) and rule is rules.RENAME_MODEL and key:
        return remedies.renamed_model(operation.history, key, change)
    if isinstance(change, AlterField) and rule.remedy == rules.CHANGE_TYPE.remedy:
        return remedies.field_beside(change)
    return ""


def _addition(operation: AuditedOperation) -> str:
    if isinstance(operation.operation, AddField):
        return remedies.safe_addition(operation.operation, operation.vendor)
    return ""
