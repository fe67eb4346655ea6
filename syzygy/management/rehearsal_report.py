"""Telling people and programs what came of a rehearsal."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from io import StringIO
from typing import Any

from django.core.management.base import OutputWrapper
from django.core.management.color import Style, no_style

from syzygy.hosting import github_annotation
from syzygy.locations import Location, locate
from syzygy.messages import counted, describe
from syzygy.rehearsal.findings import (
    Action,
    Culprit,
    Finding,
    Moment,
    NotProbed,
    Point,
    Rehearsal,
    Severity,
)

# Of the JSON document; a key that goes or changes its meaning raises it.
VERSION = 1
_WIDTH = 88


def write(rehearsal: Rehearsal, form: str, stdout: OutputWrapper, style: Style) -> None:
    """Write the report in one of the formats."""
    if form == "json":
        stdout.write(json.dumps(as_data(rehearsal), indent=2))
    elif form == "github":
        for line in github_annotations(rehearsal):
            stdout.write(line)
        if rehearsal.database:
            stdout.write(kept(rehearsal))
        stdout.write(verdict(rehearsal))
    else:
        _TextReport(rehearsal, stdout, style).write()


def as_text(rehearsal: Rehearsal) -> str:
    """The report for people, without colours."""
    out = StringIO()
    _TextReport(rehearsal, OutputWrapper(out), no_style()).write()
    return out.getvalue()


def sentence(finding: Finding) -> str:
    """Who can't do what, or what happened, as a sentence without its full stop."""
    where = f"{finding.model}.{finding.field}" if finding.field else finding.model
    if Action.MIGRATE in finding.actions:
        what = "can't be applied" if finding.is_refused else "fails"
        return f"the migration {what}"
    if Action.KEEP in finding.actions:
        return f"rows of the {finding.release} release are lost or changed in {where}"
    if "NULL" in finding.subjects:
        return f"the {finding.release} release reads NULL in {where}"
    actions = ", ".join(action.value for action in finding.actions)
    return f"the {finding.release} release fails at {actions} of {where}"


def step_name(point: Point) -> str:
    """The point of the walk in words."""
    undo = "undo " if point.backward else ""
    return f"{undo}{point.phase.value}"


def kept(rehearsal: Rehearsal) -> str:
    """A line that names the scratch database, if it was kept."""
    return f'The scratch database is kept: "{rehearsal.database}".'


def verdict(rehearsal: Rehearsal) -> str:
    """The last line: what it comes to."""
    breaks = rehearsal.count(Severity.BREAKS)
    hazards = rehearsal.count(Severity.HAZARD)
    migrations = sum(moment.point.migration is not None for moment in rehearsal.moments)
    if not rehearsal.moments:
        return "There is nothing to rehearse: no migrations are pending."
    parts = [
        f"{counted(breaks, 'finding')} that {'breaks' if breaks == 1 else 'break'} "
        "the deployment",
        counted(hazards, "hazard"),
        f"{len(rehearsal.not_probed)} not probed",
    ]
    counts = ", ".join(parts)
    if not rehearsal.complete:
        return f"{counts}; the rest could not be rehearsed after a migration failed."
    return f"{counts}, in {counted(migrations, 'step')}."


class _TextReport:
    def __init__(
        self, rehearsal: Rehearsal, stdout: OutputWrapper, style: Style
    ) -> None:
        self._rehearsal = rehearsal
        self._stdout = stdout
        self._style = style

    def write(self) -> None:
        rehearsal = self._rehearsal
        if rehearsal.moments:
            self._heading(f"Rehearsal on {rehearsal.vendor}, from {rehearsal.start}:")
            self._write_timeline()
        for severity, style in (
            (Severity.BREAKS, self._style.ERROR),
            (Severity.HAZARD, self._style.WARNING),
        ):
            for finding in rehearsal.findings:
                if finding.severity is severity:
                    self._write_finding(finding, style)
        if rehearsal.not_probed:
            self._stdout.write("")
            self._heading("Not probed:")
            for labels, reason in _by_reason(rehearsal.not_probed):
                self._write_field(labels, reason, 0)
        for note in rehearsal.notes:
            self._stdout.write(self._style.NOTICE(_wrapped(f"Note: {note}", "  ")))
        if rehearsal.database:
            self._stdout.write(kept(rehearsal))
        if rehearsal.moments:
            self._stdout.write("")
        bad = rehearsal.count(Severity.BREAKS) or not rehearsal.complete
        style = self._style.ERROR if bad else self._style.SUCCESS
        self._stdout.write(style(verdict(rehearsal)))

    def _write_timeline(self) -> None:
        rows = [
            (step_name(m.point), str(m.point.migration or ""), m)
            for m in self._rehearsal.moments
        ]
        width = max(len(name) for _, name, _ in rows)
        phase_width = max(len(phase) for phase, _, _ in rows)
        for phase, name, moment in rows:
            releases = " and ".join(moment.point.releases)
            told = _told_at(moment, self._rehearsal)
            self._stdout.write(
                f"  {phase:{phase_width}}  {name:{width}}  {releases:11}  {told}"
            )

    def _write_finding(self, finding: Finding, style: Any) -> None:
        self._stdout.write("")
        title = f"{finding.severity.value.upper()}: {sentence(finding)}"
        self._stdout.write(style(title))
        for name, text in _rows(finding):
            self._write_field(name, text)

    def _write_field(self, name: str, text: str, width: int = 9) -> None:
        first, *rest = text.split("\n")
        indent = " " * (width + 4)
        wrapped = _wrapped(f"  {name:{width}}  {first}", indent)
        self._stdout.write("\n".join([wrapped, *(indent + line for line in rest)]))

    def _heading(self, text: str) -> None:
        self._stdout.write(self._style.MIGRATE_HEADING(text))


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _rows(finding: Finding) -> Iterator[tuple[str, str]]:
    culprit = finding.culprit
    yield "when", _when(finding)
    if culprit:
        place = _location(culprit)
        where = f" ({place.path}:{place.line})" if place.path else ""
        stage = f", {culprit.stage.label}" if culprit.stage else ""
        yield "migration", f"{culprit.migration}{stage}{where}"
        if culprit.operation:
            yield "operation", describe(culprit.operation)
    tried = [s for s in finding.subjects if s not in ("", "NULL")]
    if tried:
        yield "tried", "; ".join(tried)
    yield "error", finding.error
    if culprit and culprit.rule:
        yield "rule", f"{culprit.rule.code}: {culprit.why}"
    if finding.way_out:
        yield "way out", finding.way_out


def _when(finding: Finding) -> str:
    undo = "in the rollback, " if finding.culprit and finding.culprit.backward else ""
    return f"{undo}{finding.phase.value}"


def _told_at(moment: Moment, rehearsal: Rehearsal) -> str:
    mine = [finding for finding in rehearsal.findings if finding.moment is moment]
    if not mine:
        return f"{counted(moment.models, 'model')}, ok"
    breaks = sum(finding.severity is Severity.BREAKS for finding in mine)
    parts = [f"{breaks} breaking"] * bool(breaks)
    hazards = len(mine) - breaks
    parts += [counted(hazards, "hazard")] * bool(hazards)
    return ", ".join([counted(moment.models, "model"), *parts])


def _location(culprit: Culprit | None) -> Location:
    return locate(culprit.migration, culprit.position) if culprit else Location()


# For programs


def as_data(rehearsal: Rehearsal) -> dict[str, Any]:
    """The report as it is in JSON; the reference describes each key."""
    return {
        "version": VERSION,
        "alias": rehearsal.alias,
        "engine": rehearsal.vendor,
        "start": rehearsal.start,
        "complete": rehearsal.complete,
        "steps": [_step_data(moment) for moment in rehearsal.moments],
        "findings": [_finding_data(finding) for finding in rehearsal.findings],
        "not_probed": [
            {"label": item.label, "reason": item.reason}
            for item in rehearsal.not_probed
        ],
        "notes": list(rehearsal.notes),
        "database": rehearsal.database or None,
        "summary": {severity.value: rehearsal.count(severity) for severity in Severity},
    }


def github_annotations(rehearsal: Rehearsal) -> Iterator[str]:
    """Workflow commands of GitHub that show the findings at the migrations' lines."""
    for finding in rehearsal.findings:
        place = _location(finding.culprit)
        kind = "error" if finding.severity is Severity.BREAKS else "warning"
        rows = [f"{name}: {text}" for name, text in _rows(finding)]
        text = "\n".join([f"{sentence(finding)}.", *rows])
        title = f"rehearse: {finding.severity.value}"
        yield github_annotation(kind, title, text, place)
    for labels, reason in _by_reason(rehearsal.not_probed):
        text = f"{labels}: {reason}"
        yield github_annotation("notice", "rehearse: not probed", text)
    for note in rehearsal.notes:
        yield github_annotation("notice", "rehearse", note)


def _by_reason(items: Iterable[NotProbed]) -> Iterator[tuple[str, str]]:
    """Labels, with commas between, and the reason that they have in common.

    It may name the label, to say what to do about it; that of a field class is told of
    one of its fields.
    """
    groups: dict[str, list[NotProbed]] = {}
    for item in items:
        groups.setdefault(item.kind or _for_any(item), []).append(item)
    for group in groups.values():
        labels = ", ".join(item.label for item in group)
        yield labels, _for_any(group[0]) if len(group) > 1 else group[0].reason


def _for_any(item: NotProbed) -> str:
    """The reason as it is for all that is passed over for the same."""
    cls = item.kind.rpartition(".")[2]
    return item.reason.replace(f'"{item.label}"', cls or '"app_label.Model.field"')


def _step_data(moment: Moment) -> dict[str, Any]:
    point = moment.point
    return {
        "phase": point.phase.value,
        "backward": point.backward,
        "migration": str(point.migration) if point.migration else None,
        "stage": point.stage.value if point.stage else None,
        "releases": list(point.releases),
        "models": moment.models,
    }


def _finding_data(finding: Finding) -> dict[str, Any]:
    culprit = finding.culprit
    place = _location(culprit)
    rule = culprit.rule if culprit else None
    return {
        "severity": finding.severity.value,
        "message": sentence(finding),
        "phase": finding.phase.value,
        "backward": bool(culprit and culprit.backward),
        "release": finding.release or None,
        "model": finding.model or None,
        "field": finding.field or None,
        "actions": [action.value for action in finding.actions],
        "tried": list(finding.subjects),
        "error": finding.error,
        "migration": str(culprit.migration) if culprit else None,
        "stage": culprit.stage.value if culprit and culprit.stage else None,
        "operation": (
            describe(culprit.operation) if culprit and culprit.operation else None
        ),
        "path": place.path or None,
        "line": place.line or None,
        "rule": rule.code if rule else None,
        "why": culprit.why if culprit and culprit.rule else None,
        "way_out": finding.way_out or None,
    }
