"""What a rehearsal finds, as data. ``docs/reference/rehearsal.rst`` describes it."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation

from syzygy.constants import Stage
from syzygy.requirements import is_opaque
from syzygy.rules import Rule
from syzygy.stages import Source

# The subject of a probe that came upon it where it has no place.
NULL = "NULL"
# That of an INSERT with the key that the database has for it.
NEXT_KEY = "with the next key"


class Severity(enum.Enum):
    """How bad a finding is."""

    BREAKS = "breaks"
    HAZARD = "hazard"


class Action(enum.Enum):
    """What a release tried to do, or what the rehearsal did."""

    INSERT = "INSERT"
    SELECT = "SELECT"
    UPDATE = "UPDATE"
    UPSERT = "UPSERT"
    RELATE = "M2M"
    DELETE = "DELETE"
    KEEP = "KEEP ROWS"
    MIGRATE = "MIGRATE"


class Phase(enum.Enum):
    """The parts of a deployment, in their order."""

    START = "start"
    PRE_DEPLOY = "pre-deploy"
    WINDOW = "window"
    POST_DEPLOY = "post-deploy"
    END = "end"


@dataclass(frozen=True)
class Probe:
    """One thing that a release does with one model, "app_label.Model".

    ``subject`` says with which rows or values; ``guest`` that these are rows of the
    other release.
    """

    release: str
    model: str
    action: Action
    subject: str
    guest: bool = False


@dataclass(frozen=True)
class Failure:
    """A probe that went wrong, by an exception or by what it observed.

    ``operation`` is what raised it, if it was part of a migration; ``is_refused`` says
    that this can't be applied, whatever is in the tables; ``migration`` is what is
    known to be to blame.
    """

    probe: Probe
    error: str
    severity: Severity = Severity.BREAKS
    field: str = ""
    operation: Operation | None = None
    migration: Migration | None = None
    is_refused: bool = False


@dataclass(frozen=True)
class NotProbed:
    """What was passed over: a model or a field, why, and how that can be mended.

    ``kind`` is the field class, if that is the reason.
    """

    label: str
    reason: str
    kind: str = ""


@dataclass(frozen=True)
class Point:
    """A moment of the walk: after a migration, or in a phase without one."""

    phase: Phase
    releases: tuple[str, ...]
    migration: Migration | None = None
    stage: Stage | None = None
    backward: bool = False


@dataclass
class Moment:
    """What was seen at a point."""

    point: Point
    failures: list[Failure] = field(default_factory=list)
    models: int = 0


@dataclass(frozen=True)
class Culprit:
    """The operation to which failures are put down, and where it stands.

    ``runs_in`` and ``source`` say when it ran, even without a ``stage``, and who said
    so; ``stated`` is the rule for what it would do if it were no mere change of state.
    """

    migration: Migration
    stage: Stage | None
    backward: bool
    operation: Operation | None = None
    position: int | None = None
    rule: Rule | None = None
    field: str = ""
    runs_in: Stage | None = None
    source: Source | None = None
    stated: Rule | None = None

    @property
    def is_misplaced(self) -> bool:
        """Whether the rule wants the operation in the other stage than it ran in."""
        # What nobody can read runs in a stage by default, rather than by need.
        is_known = self.rule and not is_opaque(self.rule)
        required = self.rule.required if self.rule and is_known else None
        if required and self.backward:
            required = required.inverted
        return required is not None and required is not (self.stage or self.runs_in)

    @property
    def why(self) -> str:
        """What the rule says of it; empty without a rule."""
        if self.rule is None:
            return ""
        if self.is_misplaced:
            return self.rule.why
        return self.rule.caveat or self.rule.why


@dataclass(frozen=True)
class Finding:
    """What breaks, for whom, because of what, and the way out."""

    severity: Severity
    moment: Moment
    release: str
    model: str
    field: str
    actions: tuple[Action, ...]
    subjects: tuple[str, ...]
    error: str
    culprit: Culprit | None
    way_out: str
    is_refused: bool = False

    @property
    def phase(self) -> Phase:
        """When it was seen first."""
        return self.moment.point.phase


@dataclass(frozen=True)
class Rehearsal:
    """All that came of a rehearsal.

    ``moments`` are in the order of the walk; ``complete`` is false if a migration
    failed, so that the rest couldn't be rehearsed.
    """

    alias: str
    vendor: str
    start: str
    moments: Sequence[Moment]
    findings: Sequence[Finding]
    not_probed: Sequence[NotProbed]
    notes: Sequence[str]
    database: str
    complete: bool = True

    def count(self, severity: Severity) -> int:
        """How many findings there are of that severity."""
        return sum(finding.severity is severity for finding in self.findings)

    def fails(self, level: Severity) -> bool:
        """Whether something was found that is at least that bad."""
        bad = {Severity.BREAKS, level}
        return any(finding.severity in bad for finding in self.findings)


def own_rows(release: str) -> str:
    """What the rows that a release left in the database are called."""
    return f"rows of the {release} release"
