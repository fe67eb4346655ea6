"""Looking at the migrations of a plan with the rules of the audit.

Pure: what the plan is, the stages of its migrations and the state that they begin with
come as arguments.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from typing import NamedTuple

from django.db.migrations import Migration
from django.db.migrations.operations import (
    AddField,
    CreateModel,
    DeleteModel,
    RunSQL,
    SeparateDatabaseAndState,
)
from django.db.migrations.operations.base import Operation

from syzygy.alterations import column_name
from syzygy.audit.base import AuditedMigration, AuditedOperation, AuditRule, Problem
from syzygy.audit.findings import Finding, Severity
from syzygy.constants import Stage
from syzygy.exceptions import AmbiguousStage, RuleError
from syzygy.graph import MigrationKey, key_of
from syzygy.history import History, ModelKey
from syzygy.messages import describe, error_line
from syzygy.requirements import is_opaque, makes_its_own, operation_effects
from syzygy.rules import RUN_SQL, Rule
from syzygy.stages import Decision, Source, skip


class Subject(NamedTuple):
    """A migration to look at, how its stage came about, and in which it runs.

    One that ``is_new`` is to be applied, whatever the settings say is deployed.
    """

    migration: Migration
    decision: Decision | AmbiguousStage
    stage: Stage | None
    is_new: bool = False

    @property
    def key(self) -> MigrationKey:
        """The app label and the name."""
        return key_of(self.migration)

    @property
    def is_faked(self) -> bool:
        """Whether it is only recorded."""
        return (
            isinstance(self.decision, Decision) and self.decision.source is Source.FAKED
        )

    @property
    def predates_adoption(self) -> bool:
        """Whether the settings say that it is deployed everywhere."""
        return (
            isinstance(self.decision, Decision)
            and self.decision.source is Source.BASELINE
            and not self.is_new
        )


def audit_plan(
    subjects: Sequence[Subject],
    history: History,
    rules: Collection[AuditRule],
    vendor: str,
    *,
    is_first_deployment: bool = False,
) -> Iterator[Finding]:
    """What the rules find in the migrations of one release, in their order.

    The running release knows nothing of what these migrations create, but for those
    that predate adoption. ``history`` is the state before the first of them. In a first
    deployment code has found nothing that it could adopt.
    """
    release = _release(subjects)._replace(is_first=is_first_deployment)
    for subject in subjects:
        audited = yield from _look(subject, history, rules, vendor, release)
        if audited.stage is Stage.POST_DEPLOY:
            release = release._replace(
                after_code=release.after_code or audited.has_code,
                filled={*release.filled, *audited.fills},
            )


def audit_each(
    subjects: Iterable[Subject],
    history: History,
    rules: Collection[AuditRule],
    vendor: str,
) -> Iterator[Finding]:
    """What the rules find in migrations that are each a release of their own."""
    for subject in subjects:
        # What may have filled a field is in a migration of its own.
        release = _release([subject])._replace(after_code=True)
        yield from _look(subject, history, rules, vendor, release)


class _Release(NamedTuple):
    """The migrations that are deployed together, and the models that they delete.

    ``heirs`` are the tables that they name for models which they create in the state
    alone, and the columns of such fields after the keys of the models.
    """

    migrations: Collection[MigrationKey]
    gone: Collection[ModelKey]
    heirs: Collection[tuple[str, ...]]
    after_code: bool = False
    filled: Collection[tuple[ModelKey, str]] = ()
    is_first: bool = False


def _release(subjects: Sequence[Subject]) -> _Release:
    gone: set[ModelKey] = set()
    heirs: set[tuple[str, ...]] = set()
    for subject in subjects:
        if subject.is_faked:
            continue
        label = subject.migration.app_label
        for operation, is_state in _in_state(subject.migration):
            if isinstance(operation, DeleteModel):
                gone.add((label, operation.name_lower))
            elif isinstance(operation, CreateModel) and is_state:
                usual = f"{label}_{operation.name_lower}"
                heirs.add((operation.options.get("db_table") or usual,))
            elif isinstance(operation, AddField) and is_state:
                column = column_name(operation.name, operation.field)
                heirs.add((label, operation.model_name_lower, column))
    new = {subject.key for subject in subjects if not subject.is_faked}
    return _Release(new, gone, heirs)


def _in_state(migration: Migration) -> Iterator[tuple[Operation, bool]]:
    """What a migration does to the state, and whether to that alone."""
    stack = [(operation, False) for operation in migration.operations]
    while stack:
        operation, is_state = stack.pop()
        if isinstance(operation, SeparateDatabaseAndState | RunSQL):
            stack += [(each, True) for each in operation.state_operations]
        else:
            yield operation, is_state


def _look(
    subject: Subject,
    history: History,
    rules: Collection[AuditRule],
    vendor: str,
    release: _Release,
) -> Generator[Finding, None, AuditedMigration]:
    """Look at a migration; ``history`` moves on to the state after it."""
    audited = AuditedMigration(
        subject.migration,
        subject.decision,
        subject.stage,
        vendor,
        release.gone,
        release.heirs,
        release.after_code,
        release.filled,
    )
    if subject.predates_adoption or subject.is_faked:
        skip(subject.migration, history)
        return audited
    label = subject.migration.app_label
    history.applying = subject.key
    for position, operation in enumerate(subject.migration.operations):
        history.unseen = release.migrations
        has_effect = False
        for part in parts(audited, position, operation, history):
            audited.parts.append(part)
            yield from _ask(rules, part)
            is_real = not part.state_only and any(r.has_effect for r in part.effects)
            has_effect = has_effect or is_real
        is_new = has_effect and (release.is_first or makes_its_own(operation))
        history.origin = subject.key if is_new else None
        history.advance(operation, label)
    yield from _ask(rules, audited)
    return audited


def _ask(
    rules: Iterable[AuditRule], subject: AuditedOperation | AuditedMigration
) -> Iterator[Finding]:
    """What the rules find. Raises :class:`RuleError`, as they may be anybody's code."""
    problems: Iterable[Problem]
    for rule in rules:
        try:
            if isinstance(subject, AuditedMigration):
                problems = rule.check_migration(subject)
            else:
                problems = rule.check_operation(subject)
            for problem in problems:
                yield _finding(rule, problem, subject)
        except Exception as error:
            raise RuleError(_complaint(rule, subject, error)) from error


def _complaint(
    rule: AuditRule, subject: AuditedOperation | AuditedMigration, error: Exception
) -> str:
    cls = type(rule)
    where = f'migration "{subject}"'
    if isinstance(subject, AuditedOperation):
        where = f'{subject.description} in migration "{subject.migration}"'
    return (
        f'The rule "{rule.code}", which is "{cls.__module__}.{cls.__qualname__}", '
        f"fails at {where}: {error_line(error)}"
    )


def parts(
    audited: AuditedMigration,
    position: int,
    operation: Operation,
    history: History,
    *,
    explained: bool = False,
) -> Iterator[AuditedOperation]:
    """An operation, or what it wraps as far as that reaches the database.

    Where that can't be read, its state operations tell what it stands for. One that is
    ``explained`` is wrapped by another that does so.
    """
    label = audited.migration.app_label

    def leaf(
        operation: Operation,
        effects: Iterable[Rule],
        history: History,
        *,
        inferred: bool | None = None,
    ) -> AuditedOperation:
        # Of state operations there are only those that tell something, and the others.
        state_only = inferred is False
        return AuditedOperation(
            audited,
            position,
            operation,
            tuple(effects),
            history,
            state_only,
            bool(inferred),
            explained,
        )

    if isinstance(operation, SeparateDatabaseAndState):
        found = []
        told = operation_effects(operation, label, history)
        is_told = any(rule.has_effect for rule in told)
        explained = explained or (is_told and not any(map(is_opaque, told)))
        # A branch serves to tell what is inside; the parts are looked at one by one.
        for inner, before in _walk(operation.database_operations, label, history):
            for part in parts(audited, position, inner, before, explained=explained):
                found.append(part)
                yield part
        known = any(
            rule.has_effect and not is_opaque(rule)
            for part in found
            for rule in part.effects
        )
        stands_for = bool(found) and not known
        for inner, before in _walk(operation.state_operations, label, history):
            effects = operation_effects(inner, label, before)
            yield leaf(inner, effects, before, inferred=stands_for)
    elif isinstance(operation, RunSQL) and operation.state_operations:
        effects = operation_effects(operation, label, history)
        inferred = bool(operation.sql) and not _reads_as_sql(effects)
        explained = explained or inferred
        yield leaf(operation, (RUN_SQL,) if inferred else effects, history)
        for inner, before in _walk(operation.state_operations, label, history):
            inner_effects = operation_effects(inner, label, before)
            yield leaf(inner, inner_effects, before, inferred=inferred)
    else:
        yield leaf(operation, operation_effects(operation, label, history), history)


def _reads_as_sql(effects: Iterable[Rule]) -> bool:
    """Whether it is the text that told the effects, rather than the state."""
    return any(rule.code.startswith("run-sql") for rule in effects)


def _walk(
    operations: Sequence[Operation], label: str, history: History
) -> Iterator[tuple[Operation, History]]:
    """The operations, each with the state before it; ``history`` stays as it is."""
    for position, operation in enumerate(operations):
        yield operation, history
        if position + 1 < len(operations):
            history = history if position else history.branch()
            history.advance(operation, label)


def _finding(
    rule: AuditRule, problem: Problem, subject: AuditedOperation | AuditedMigration
) -> Finding:
    position, operation = None, ""
    if isinstance(subject, AuditedMigration):
        audited = subject
    else:
        audited, position = subject.migration, subject.position
        operation = describe(audited.migration.operations[position])
    return Finding(
        code=rule.code,
        name=rule.name,
        title=problem.title,
        severity=Severity(problem.severity or rule.severity),
        app_label=audited.migration.app_label,
        migration=audited.migration.name,
        stage=audited.stage,
        position=position,
        operation=operation,
        what=problem.what,
        when=problem.when,
        why=problem.why,
        remedy=problem.remedy,
        effect=problem.effect,
    )
