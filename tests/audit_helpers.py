"""Audits of migrations in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation

from syzygy import Stage
from syzygy.audit.catalogue import all_rules
from syzygy.audit.engine import Subject, audit_each
from syzygy.audit.findings import Finding
from syzygy.audit.release import findings_of, released
from syzygy.exceptions import AmbiguousStage
from syzygy.graph import MigrationKey
from syzygy.history import History
from syzygy.stages import Decision, Policy, decide
from syzygy.staging import Step, decide_plan, stage_plan
from tests.rules_helpers import APP


class Stager:
    """What an audit asks of a plan, each migration of which needs the one before."""

    def __init__(
        self,
        migrations: Sequence[Migration],
        before: Sequence[Migration],
        policy: Policy,
    ) -> None:
        self.plan = [(each, False) for each in migrations]
        self.before = before
        self._policy = policy
        self.is_first_deployment = False
        self.decisions = decide_plan(self.plan, before, History(), policy)

    def needs(self, key: MigrationKey) -> list[MigrationKey]:
        keys = [(each.app_label, each.name) for each, _ in self.plan]
        at = keys.index(key)
        return keys[max(at - 1, 0) : at]

    def stage_by(
        self, decisions: Mapping[MigrationKey, Decision | AmbiguousStage]
    ) -> list[Step]:
        return stage_plan(self.plan, decisions, self.needs, self._policy)


def named(app_label: str, steps: Iterable[Any]) -> list[Migration]:
    """Migrations of what tells operations and perhaps a stage, "atomic" and more."""
    made = []
    for number, step in enumerate(steps, start=2):
        migration = Migration(f"{number:04}_next", app_label)
        vars(migration).update(step)
        made.append(migration)
    return made


def first(app_label: str, operations: Iterable[Operation]) -> Migration:
    """The migration that makes what there is before a release."""
    migration = Migration("0001_initial", app_label)
    vars(migration)["operations"] = list(operations)
    return migration


def audited(
    before: Sequence[Operation],
    *steps: Mapping[str, Any],
    vendor: str = "postgresql",
    app_label: str = APP,
    policy: Policy | None = None,
    strict: bool = False,
) -> list[Finding]:
    """What an audit finds in a release of these steps, after what is before it."""
    initial = first(app_label, before)
    migrations = named(app_label, steps)
    stager: Any = Stager(migrations, [initial], policy or Policy())
    subjects, extra = released(stager)
    rules = rules_for(vendor, strict=strict)
    return [*extra, *findings_of(stager, subjects, rules, vendor)]


def audited_alone(
    before: Sequence[Operation], *steps: Mapping[str, Any], vendor: str = "postgresql"
) -> list[Finding]:
    """The same, where each step is a release of its own."""
    initial = first(APP, before)
    history, subjects = History(), []
    for each in [initial, *named(APP, steps)]:
        decision = decide(each, history, Policy())
        subjects.append(Subject(each, decision, decision.stage or Stage.PRE_DEPLOY))
    rules = rules_for(vendor)
    return list(audit_each(subjects, History(), rules, vendor))


def rules_for(vendor: str, *, strict: bool = False) -> list[Any]:
    return [
        rule
        for rule in all_rules().values()
        if (not rule.vendors or vendor in rule.vendors) and (strict or not rule.strict)
    ]


def step(*operations: Operation, **attributes: Any) -> dict[str, Any]:
    """A migration of operations."""
    return {"operations": list(operations), **attributes}


def codes(findings: Iterable[Finding]) -> list[str]:
    return sorted(finding.code for finding in findings)


def breaking(findings: Iterable[Finding]) -> set[str]:
    """The codes of those that break a release."""
    return {finding.code for finding in findings if finding.is_breaking}
