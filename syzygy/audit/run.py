"""A whole audit: from what is selected to what is found."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from django.db.migrations.loader import MigrationLoader

from syzygy import conf, messages
from syzygy.audit import configuration, selection, statements
from syzygy.audit.catalogue import all_rules
from syzygy.audit.engine import Subject, audit_each
from syzygy.audit.findings import Audit, Finding, Planned
from syzygy.audit.release import (
    findings_of,
    own_stage,
    released,
    rules_for,
    sieve_for,
    sifted,
)
from syzygy.audit.selection import Scene, Selection
from syzygy.exceptions import AmbiguousStage, RuleError
from syzygy.git import GitError
from syzygy.graph import MigrationKey, key_of
from syzygy.history import History
from syzygy.management.stager import PlanStager
from syzygy.rehearsal.start import StartError
from syzygy.stages import Decision, Source, decide

# Why there may be no audit: each has a message of one line for people.
REASONS = (GitError, RuleError, StartError)


def run(order: Selection, *, strict: bool = False, with_sql: bool = False) -> Audit:
    """Audit what is selected, and find out the SQL if that is asked for.

    Raises one of :data:`REASONS`, what :func:`~syzygy.audit.selection.find` raises, and
    :class:`ImproperlyConfigured` for settings that make no sense.
    """
    settings = configuration.read()
    scene = selection.find(order)
    nodes = scene.nodes
    wanted = selection.resolve(order.targets, nodes) if order.targets else None
    vendor = scene.planner.connection.vendor
    rules = rules_for(settings, vendor, strict=strict)
    if order.everything:
        subjects = _alone(scene, third_party=bool(order.targets))
        found = audit_each(subjects, History(conf.is_swapped), rules, vendor)
        planned = tuple(
            _planned(subject, ())
            for subject in subjects
            if not subject.predates_adoption
        )
        extra: list[Finding] = []
    else:
        stager = PlanStager(scene.planner, scene.plan, scene.faked)
        subjects, extra = released(stager)
        found = findings_of(stager, subjects, rules, vendor)
        planned = tuple(_planned_all(subjects, stager))
    extra += _conflicts(scene.planner.loader)
    sieve = sieve_for(settings, rules)
    kept = [
        finding
        for finding in sifted(sieve, subjects, [*extra, *found], nodes)
        if wanted is None or _concerns(finding, wanted)
    ]
    if order.everything and wanted is None:
        kept += sieve.idle_settings()
    if with_sql:
        connection = scene.planner.connection
        kept = [*statements.with_sql(kept, scene.planner.loader, connection)]
    return Audit(
        scope=order.scope,
        vendor=vendor,
        plan=tuple(
            p for p in planned if wanted is None or (p.app_label, p.name) in wanted
        ),
        findings=tuple(kept),
        suppressed=tuple(
            each
            for each in sieve.suppressed
            if wanted is None or _concerns(each.finding, wanted)
        ),
        is_release=not order.everything,
    )


def deployed_baseline(order: Selection) -> str:
    """The line of the settings that declares deployed what is deployed now.

    That is the newest migration of each of the project's apps that is applied in the
    database or there at the ref; with ``everything`` the newest one there is.
    """
    scene = selection.find(order)
    pending = {key_of(migration) for migration, _ in scene.plan}.difference(scene.faked)
    if order.everything:
        pending = set()
    deployed = scene.nodes.keys() - pending
    inner = {
        parent
        for key in deployed
        for parent in scene.parents(key)
        if parent[0] == key[0]
    }
    newest = sorted(
        key for key in deployed - inner if not conf.label_is_third_party(key[0])
    )
    return messages.baseline_line(dict(newest))


# The plan


def _alone(scene: Scene, *, third_party: bool) -> list[Subject]:
    """All migrations, each decided on by itself.

    Those of a third party are the past; they are looked at only where that is asked.
    """
    policy = scene.policy()
    history = History(conf.is_swapped)
    subjects = []
    for migration, _ in scene.plan:
        decision: Decision | AmbiguousStage
        try:
            decision = decide(migration, history, policy)
        except AmbiguousStage as error:
            decision = error
        if not third_party and conf.label_is_third_party(migration.app_label):
            decision = Decision(None, Source.BASELINE, required=False)
        stage = own_stage(decision) if isinstance(decision, Decision) else None
        subjects.append(Subject(migration, decision, stage))
    return subjects


def _planned_all(subjects: Sequence[Subject], stager: PlanStager) -> Iterator[Planned]:
    keys = {subject.key for subject in subjects}
    for subject in subjects:
        needs = sorted(need for need in stager.needs(subject.key) if need in keys)
        yield _planned(subject, needs)


def _planned(subject: Subject, needs: Iterable[MigrationKey]) -> Planned:
    decision = subject.decision
    return Planned(
        *subject.key,
        stage=subject.stage,
        reason=decision.summary
        if isinstance(decision, AmbiguousStage)
        else str(decision),
        needs=tuple(".".join(need) for need in needs),
    )


# What is read from the graph and from the plan


def _conflicts(loader: MigrationLoader) -> list[Finding]:
    rule = all_rules()["SZ001"]
    return [
        Finding(
            code=rule.code,
            name=rule.name,
            title=f'The app "{app_label}" has more than one latest migration: '
            + ", ".join(f'"{name}"' for name in names),
            severity=rule.severity,
            app_label=app_label,
            what='"migrate" refuses to run.',
            when="At the next deployment.",
            why="Nothing tells in which order they are to be applied.",
            remedy="Merge them:\n"
            f"    python manage.py makemigrations --merge {app_label}",
        )
        for app_label, names in sorted(loader.detect_conflicts().items())
    ]


def _concerns(finding: Finding, wanted: Collection[MigrationKey]) -> bool:
    if finding.migration:
        return (finding.app_label, finding.migration) in wanted
    return any(app_label == finding.app_label for app_label, _ in wanted)
