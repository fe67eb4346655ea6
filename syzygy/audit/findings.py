"""What an audit finds, as data. ``docs/reference/audit`` describes it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

from syzygy.constants import Stage
from syzygy.locations import Location

NOWHERE = Location()


class Severity(enum.Enum):
    """How bad a finding is: ``breaking`` if a release fails because of it."""

    BREAKING = "breaking"
    WARNING = "warning"


class Finding(NamedTuple):
    """What a migration breaks, when and why, and what to do instead.

    ``code`` is that of the audit's rule, such as "SZ004", ``name`` its name for people
    and ``title`` one sentence about this case, without a full stop. ``app_label`` and
    ``migration`` tell the migration; the latter is empty for what concerns the app.
    ``stage`` is the one in which it runs, ``None`` where that can't be told. The
    ``position`` is that of the operation in the migration, ``None`` if the finding is
    about all of it; ``operation`` is what Django says that it does.

    ``what`` breaks, ``when`` and ``why`` are sentences; so is ``remedy``, which may go
    on with lines of code to paste, indented by four spaces. ``effect`` is the code of
    the stage rule that the operation falls under (``docs/reference/rules``), if that
    matters. ``sql`` are the statements, where somebody asked for them.
    """

    code: str
    name: str
    title: str
    severity: Severity
    app_label: str
    migration: str = ""
    stage: Stage | None = None
    position: int | None = None
    operation: str = ""
    location: Location = NOWHERE
    what: str = ""
    when: str = ""
    why: str = ""
    remedy: str = ""
    effect: str = ""
    sql: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The migration as ``app_label.name``, or the label of the app."""
        parts = (self.app_label, self.migration)
        return ".".join(filter(None, parts))

    @property
    def is_breaking(self) -> bool:
        """Whether a release fails because of it."""
        return self.severity is Severity.BREAKING


class Suppressed(NamedTuple):
    """A finding that somebody has decided to live with, where, and for what reason.

    The ``location`` is empty where it was the settings; the reason may be.
    """

    finding: Finding
    reason: str = ""
    location: Location = NOWHERE


class Planned(NamedTuple):
    """A migration of the audited plan.

    ``stage`` is when it runs, ``None`` if that can't be told; ``reason`` is why, in
    words. ``needs`` are the migrations of the plan that it needs directly, as
    ``app_label.name``.
    """

    app_label: str
    name: str
    stage: Stage | None
    reason: str = ""
    needs: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The migration as ``app_label.name``."""
        return f"{self.app_label}.{self.name}"


@dataclass(frozen=True)
class Audit:
    """All that came of an audit; the ``findings`` are in the order of the plan.

    ``scope`` says in words what was audited. ``is_release`` is whether the ``plan`` is
    that of one release, rather than migrations that are each audited on their own.
    Suppressions that suppress nothing are findings like others.
    """

    scope: str
    vendor: str
    plan: tuple[Planned, ...] = ()
    findings: tuple[Finding, ...] = ()
    suppressed: tuple[Suppressed, ...] = ()
    is_release: bool = True

    def count(self, severity: Severity) -> int:
        """How many findings there are of that severity."""
        return sum(finding.severity is severity for finding in self.findings)

    def fails(self, level: Severity) -> bool:
        """Whether something was found that is at least that bad."""
        bad = {Severity.BREAKING, level}
        return any(finding.severity in bad for finding in self.findings)
