"""The audit of one release: of the migrations that are applied together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from django.db.migrations import Migration

from syzygy import conf
from syzygy.audit import suppressions
from syzygy.audit.base import AuditRule
from syzygy.audit.catalogue import all_rules
from syzygy.audit.configuration import AuditConfiguration
from syzygy.audit.engine import Subject, audit_plan
from syzygy.audit.findings import Audit, Finding
from syzygy.audit.suppressions import Sieve
from syzygy.constants import Stage
from syzygy.exceptions import AmbiguousPlan, AmbiguousStage
from syzygy.graph import MigrationKey, key_of
from syzygy.history import History
from syzygy.locations import definition, source_of
from syzygy.management.stager import PlanStager
from syzygy.stages import Decision, Source


def audit_release(
    stager: PlanStager, vendor: str, settings: AuditConfiguration
) -> Audit:
    """Audit the plan of a ``migrate``, whose migrations are to be applied.

    Whatever the settings say is deployed, what is still to be applied here is new.
    """
    rules = rules_for(settings, vendor)
    subjects, extra = released(stager)
    subjects = [subject._replace(is_new=True) for subject in subjects]
    sieve = sieve_for(settings, rules)
    nodes = {subject.key: subject.migration for subject in subjects}
    found = [*extra, *findings_of(stager, subjects, rules, vendor)]
    kept = tuple(sifted(sieve, subjects, found, nodes))
    return Audit("the plan", vendor, findings=kept, suppressed=tuple(sieve.suppressed))


def rules_for(
    settings: AuditConfiguration, vendor: str, *, strict: bool = False
) -> list[AuditRule]:
    """The rules to ask about that database."""
    return [
        rule
        for rule in {**all_rules(), **settings.rules}.values()
        if (not rule.vendors or vendor in rule.vendors) and (strict or not rule.strict)
    ]


def sieve_for(settings: AuditConfiguration, rules: Collection[AuditRule]) -> Sieve:
    """What sorts out the findings of those rules that somebody suppresses."""
    return Sieve(
        settings.ignored,
        known={*all_rules(), *settings.rules},
        active={rule.code for rule in rules},
    )


def released(stager: PlanStager) -> tuple[list[Subject], list[Finding]]:
    """The migrations of a release in their stages, and what there is to say of that."""
    decisions = stager.decisions
    settled: dict[MigrationKey, Decision | AmbiguousStage] = {
        # One without a stage goes along with the others.
        key: Decision(None, Source.INFERRED, required=False)
        if isinstance(decision, AmbiguousStage)
        else decision
        for key, decision in decisions.items()
    }
    stages: dict[MigrationKey, Stage]
    extra = []
    try:
        steps = stager.stage_by(settled) if stager.plan else []
    except AmbiguousPlan as error:
        extra.append(_ambiguous_order(error))
        stages = {key: own_stage(decision) for key, decision in settled.items()}
    else:
        stages = {
            step.key: Stage.POST_DEPLOY if step.is_postponed else Stage.PRE_DEPLOY
            for step in steps
        }
    subjects = []
    for migration, _ in stager.plan:
        key = key_of(migration)
        is_known = isinstance(decisions[key], Decision)
        stage = stages[key] if is_known else None
        subjects.append(Subject(migration, decisions[key], stage))
    return subjects, extra


def own_stage(decision: Decision | AmbiguousStage) -> Stage:
    """When a migration runs that nothing else postpones."""
    stage = decision.stage if isinstance(decision, Decision) else None
    return stage or Stage.PRE_DEPLOY


def findings_of(
    stager: PlanStager,
    subjects: Sequence[Subject],
    rules: Collection[AuditRule],
    vendor: str,
) -> Iterator[Finding]:
    """What the rules find in the migrations of a release."""
    history = History(conf.is_swapped)
    for migration in stager.before:
        for operation in migration.operations:
            history.advance(operation, migration.app_label)
    is_first = stager.is_first_deployment
    yield from audit_plan(
        subjects, history, rules, vendor, is_first_deployment=is_first
    )


def _ambiguous_order(error: AmbiguousPlan) -> Finding:
    rule = all_rules()["SZ003"]
    (app_label, name), needed = error.migrations
    title, _, remedy = str(error).partition("\n")
    return Finding(
        code=rule.code,
        name=rule.name,
        title=f'"{app_label}.{name}" has to run before the rollout, but it needs '
        f'"{".".join(needed)}", which has to wait until after it',
        severity=rule.severity,
        app_label=app_label,
        migration=name,
        stage=Stage.PRE_DEPLOY,
        what='"migrate --pre-deploy" refuses to run.',
        when="At the next deployment.",
        why=title,
        remedy=remedy,
    )


def sifted(
    sieve: suppressions.Sieve,
    subjects: Iterable[Subject],
    findings: Iterable[Finding],
    nodes: Mapping[MigrationKey, Migration],
) -> Iterator[Finding]:
    """The findings that nothing suppresses, with their places, in order."""
    by_label: dict[str, list[Finding]] = {}
    for finding in findings:
        by_label.setdefault(finding.label, []).append(finding)
    for label in sorted(by_label.keys() - {".".join(key) for key in nodes}):
        # Those that concern an app.
        yield from sieve.sift(by_label[label], ())
    for subject in subjects:
        if subject.predates_adoption:
            continue
        label = ".".join(subject.key)
        found = by_label.get(label, [])
        if not found and not _has_mark(subject.migration):
            continue
        where = definition(subject.migration)
        placed = sorted(
            (suppressions.placed(finding, where) for finding in found), key=_order
        )
        comments = suppressions.read(where)
        yield from sieve.sift(placed, comments, label, subject.key[0])


def _order(finding: Finding) -> tuple[int, int]:
    position = -1 if finding.position is None else finding.position
    return position, not finding.is_breaking


def _has_mark(migration: Migration) -> bool:
    """Whether there may be a comment for the audit in the file of a migration."""
    return suppressions.MARK in source_of(migration)
