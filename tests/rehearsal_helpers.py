"""Deployments written down as operations, and rehearsals of them in real projects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation

from syzygy import Stage
from syzygy.management.rehearsal_report import as_text
from syzygy.rehearsal.findings import Finding, Rehearsal, Severity
from syzygy.rehearsal.run import Options, rehearse
from tests.command_helpers import Project
from tests.rules_helpers import APP
from tests.services import UNDER_TEST

BREAKS, HAZARD = Severity.BREAKS, Severity.HAZARD
EVERYWHERE = ("sqlite", "postgresql", "mariadb")

# What the migration modules of projects are made of, by their names.
_WRITTEN: dict[str, dict[str, Any]] = {}


# Deployments


@dataclass(frozen=True)
class Deployed:
    """The operations of a migration, and the stage that it declares, if any."""

    operations: tuple[Operation, ...]
    stage: Stage | None = None
    atomic: bool = True

    @property
    def attributes(self) -> dict[str, Any]:
        declared = {"stage": self.stage} if self.stage else {}
        return {"operations": list(self.operations), "atomic": self.atomic, **declared}


def pre(*operations: Operation) -> Deployed:
    """A migration that is declared to run before the rollout."""
    return Deployed(operations, Stage.PRE_DEPLOY)


def post(*operations: Operation) -> Deployed:
    """A migration that is declared to run after the rollout."""
    return Deployed(operations, Stage.POST_DEPLOY)


def auto(*operations: Operation) -> Deployed:
    """A migration whose stage is inferred."""
    return Deployed(operations)


def rehearsed(
    project: Project,
    before: Sequence[Operation],
    *steps: Deployed,
    label: str = APP,
    **options: Any,
) -> Rehearsal:
    """Rehearse the deployment of the steps to a release that has what is before."""
    write(project, label, [Deployed(tuple(before)), *steps])
    with project.active():
        return rehearse(Options(**{"targets": [f"{label}.0001"]} | options))


def write(project: Project, label: str, migrations: Sequence[Deployed]) -> None:
    """Write an app of migrations, each of which depends on the one before it."""
    for stale in (project.path / label / "migrations").glob("0*.py"):
        stale.unlink()
    texts: dict[str, str] = {}
    previous = None
    for number, each in enumerate(migrations, start=1):
        name = f"{number:04}_{'initial' if number == 1 else 'next'}"
        module = f"{label}.migrations.{name}"
        _WRITTEN[module] = each.attributes | {
            "dependencies": [(label, previous)] if previous else [],
            "__module__": module,
        }
        texts[name] = (
            "from tests.rehearsal_helpers import written\n"
            "Migration = written(__name__)\n"
        )
        previous = name
    project.app(label, texts)


def written(module: str) -> type[Migration]:
    """The migration class of a module, which asks for it when it is imported."""
    return type("Migration", (Migration,), _WRITTEN[module])


# What comes of them


@dataclass(frozen=True)
class Seen:
    """Whom something breaks: a release, or with "" everybody, as the migration fails.

    ``on`` are the databases that tell; ``because`` says why the others don't.
    """

    release: str
    model: str = ""
    severity: Severity = BREAKS
    on: Sequence[str] = EVERYWHERE
    because: str = ""


@dataclass(frozen=True)
class Case:
    """Operations that fall under a rule, and what they do in either stage.

    They are deployed ``after`` other migrations, to a release that has what is
    ``before``. ``instead`` is the way to go, with ``hazards`` if that has any.
    """

    code: str
    before: Sequence[Operation]
    operations: Sequence[Operation]
    pre: Seen | None = None
    post: Seen | None = None
    instead: Sequence[Deployed] = ()
    hazards: Sequence[str] = ()
    after: Sequence[Deployed] = ()
    on: Sequence[str] = EVERYWHERE
    name: str = ""

    def __str__(self) -> str:
        return f"{self.code}-{self.name}" if self.name else self.code

    def rehearse(self, project: Project, stage: Stage) -> Rehearsal:
        step = Deployed(tuple(self.operations), stage)
        return rehearsed(project, self.before, *self.after, step)


@dataclass
class Told:
    """What a rehearsal told, in a form to compare."""

    rehearsal: Rehearsal
    text: str = field(init=False)

    def __post_init__(self) -> None:
        self.text = as_text(self.rehearsal)

    def nothing(self) -> None:
        """Check that all was tried, and nothing found."""
        assert self.rehearsal.complete, self.text
        assert not self.rehearsal.findings, self.text
        assert not self.rehearsal.not_probed, self.text

    def no_breaks(
        self, hazards: Sequence[str] = (), not_probed: Sequence[str] = ()
    ) -> None:
        """Check that nothing breaks; the hazards are put down to these rules."""
        assert self.rehearsal.complete, self.text
        assert not self.rehearsal.count(BREAKS), self.text
        assert codes(self.rehearsal.findings) == {*hazards}, self.text
        labels = {item.label for item in self.rehearsal.not_probed}
        assert labels == {f"{APP}.{name}" for name in not_probed}, self.text

    def seen(self, expected: Seen | None, case: Case) -> None:
        """Check that it is as expected, and put down to the operations of the case."""
        if expected is None or UNDER_TEST not in expected.on:
            self.nothing()
            return
        findings = self.rehearsal.findings
        assert findings, self.text
        assert codes(findings) == {case.code}, self.text
        for finding in findings:
            assert finding.culprit, self.text
            assert finding.culprit.operation in case.operations, self.text
            assert finding.way_out, self.text
            assert finding.error, self.text
            assert "LINE 1" not in finding.error, self.text
        worst = of(self.rehearsal, BREAKS) or findings
        assert {f.severity for f in worst} == {expected.severity}, self.text
        assert expected.release in {f.release for f in worst}, self.text
        if expected.model:
            found = {f"{f.model}.{f.field}" for f in worst} | {f.model for f in worst}
            assert f"{APP}.{expected.model}" in found, self.text
        assert not self.rehearsal.not_probed, self.text


def of(rehearsal: Rehearsal, severity: Severity) -> list[Finding]:
    return [f for f in rehearsal.findings if f.severity is severity]


def codes(findings: Sequence[Finding]) -> set[str]:
    """The codes of the rules that findings are put down to."""
    return {
        f.culprit.rule.code if f.culprit and f.culprit.rule else "" for f in findings
    }
