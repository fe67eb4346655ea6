"""From what was seen on the way to what is to be told: findings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from django.db.migrations import Migration
from django.db.migrations.operations.fields import FieldOperation

from syzygy.history import ModelKey
from syzygy.rehearsal.blame import Suspect, find_culprit, may_lose_rows
from syzygy.rehearsal.findings import (
    NULL,
    Action,
    Culprit,
    Failure,
    Finding,
    Moment,
    NotProbed,
    Phase,
    Severity,
    own_rows,
)
from syzygy.rehearsal.remedies import way_out

_ItemT = TypeVar("_ItemT")
# What isn't told together with what a release does.
_APART = (Action.KEEP, Action.MIGRATE)


class _Symptom(NamedTuple):
    """What a failure is an instance of, at whatever point of the walk."""

    release: str
    model: str
    action: Action
    subject: str
    field: str


class Conclusion(NamedTuple):
    """The findings, and what can't be told for a release fails even by itself."""

    findings: list[Finding]
    not_probed: list[NotProbed]


def conclude(
    moments: Sequence[Moment],
    among: Sequence[Suspect],
    alone: Iterable[Failure],
) -> Conclusion:
    """Tell what the failures on one way, there or back, come to.

    What fails when a release is ``alone``, on tables that suit its models, says nothing
    of the migrations, nor does what fails likewise for the other one then.
    """
    excuses = {_symptom(failure): failure for failure in alone if is_own_fault(failure)}
    found: dict[tuple[object, ...], list[tuple[Moment, Failure, Culprit | None]]] = {}
    seen = set()
    for position, moment in enumerate(moments):
        for failure in moment.failures:
            sign = _symptom(failure), _cause(failure)
            if sign in seen or _is_excused(failure, excuses):
                continue
            seen.add(sign)
            culprit = _culprit(failure, moments, position, among)
            found.setdefault(_group(failure, culprit), []).append(
                (moment, failure, culprit)
            )
    return Conclusion(
        [_finding(group) for group in found.values()],
        list(_not_probed(excuses.values())),
    )


def _not_probed(failures: Iterable[Failure]) -> Iterator[NotProbed]:
    """What releases can't do even alone: once for each error that a model meets."""
    groups: dict[tuple[str, str], list[Failure]] = {}
    for failure in failures:
        sign = failure.probe.model, _cause(failure) or failure.error
        groups.setdefault(sign, []).append(failure)
    for (model, _), group in groups.items():
        probes = [failure.probe for failure in group]
        releases = " and ".join(_unique(probe.release for probe in probes))
        actions = ", ".join(_unique(probe.action.value for probe in probes))
        tried = "; ".join(_unique(probe.subject for probe in probes))
        yield NotProbed(
            model,
            f"The {releases} release can't {actions} ({tried}) even on a schema of its "
            f"own: {group[0].error}",
        )


def _symptom(failure: Failure) -> _Symptom:
    probe = failure.probe
    return _Symptom(
        probe.release, probe.model, probe.action, probe.subject, failure.field
    )


def _cause(failure: Failure) -> str:
    """The error without what differs from row to row, or from value to value."""
    if failure.field:
        return ""
    return re.sub(r"\d+", "#", failure.error.split("DETAIL:")[0])


def _is_excused(failure: Failure, excuses: Mapping[_Symptom, Failure]) -> bool:
    symptom = _symptom(failure)
    if any(_is_alike(failure, excuse) for excuse in excuses.values()):
        return True
    if failure.probe.guest:
        # What it can't even do with rows of its own.
        symptom = symptom._replace(subject=own_rows(failure.probe.release))
    return symptom in excuses


def _is_alike(one: Failure, other: Failure) -> bool:
    """Whether the same is wrong with the same action, whichever release it is of."""
    return (
        one.probe.model == other.probe.model
        and one.probe.action is other.probe.action
        and bool(_cause(one))
        and _cause(one) == _cause(other)
    )


def is_own_fault(failure: Failure) -> bool:
    """Whether rows and migrations of others have no part in a failure."""
    return (
        failure.severity is Severity.BREAKS
        and not failure.probe.guest
        and failure.probe.action not in (Action.KEEP, Action.MIGRATE)
    )


def _culprit(
    failure: Failure,
    moments: Sequence[Moment],
    position: int,
    among: Sequence[Suspect],
) -> Culprit | None:
    moment = moments[position]
    migration = moment.point.migration
    if failure.probe.action is Action.MIGRATE and migration:
        among = [suspect for suspect in among if suspect.step.migration is migration]
        raised = [s for s in among if s.operation is failure.operation]
        culprit = find_culprit(failure, None, raised or among) or Culprit(
            migration, moment.point.stage, moment.point.backward
        )
        return _without_rule(culprit) if failure.is_refused else culprit
    if failure.probe.subject == NULL:
        return find_culprit(failure, _key(failure), among)
    if failure.probe.action is Action.KEEP:
        among = [suspect for suspect in among if may_lose_rows(suspect)] or among
    is_running = failure.probe.release in moments[0].point.releases
    if failure.migration is not None:
        migration = failure.migration
    elif not is_running:
        migration = _mended_by(failure, moments, position) or migration
    if migration is not None:
        near = [suspect for suspect in among if suspect.step.migration is migration]
        if near or failure.probe.action is not Action.KEEP:
            among = near
    return find_culprit(failure, _key(failure), among)


def _without_rule(culprit: Culprit) -> Culprit:
    """The culprit, whose rule isn't about that Django refuses it.

    Unless it is never to be done, as altering a generated field isn't.
    """
    is_never = culprit.rule and not culprit.rule.stageable
    return culprit if is_never else replace(culprit, rule=None)


def _mended_by(
    failure: Failure, moments: Sequence[Moment], position: int
) -> Migration | None:
    """The migration after which it didn't fail any more: it came too late."""
    sign = _symptom(failure), _cause(failure)
    for moment in moments[position + 1 :]:
        if moment.point.phase is Phase.POST_DEPLOY and all(
            (_symptom(other), _cause(other)) != sign for other in moment.failures
        ):
            return moment.point.migration
    return None


def _group(failure: Failure, culprit: Culprit | None) -> tuple[object, ...]:
    # What the culprit is about anyway sets nothing apart.
    operation = culprit and culprit.operation
    of_field = operation.name if isinstance(operation, FieldOperation) else ""
    return (
        failure.severity,
        failure.probe.release,
        failure.probe.model,
        culprit and (culprit.migration, culprit.position, culprit.backward),
        failure.probe.action if culprit is None else failure.probe.action in _APART,
        failure.probe.subject == NULL,
        "" if failure.field == of_field else failure.field,
    )


def _finding(group: Sequence[tuple[Moment, Failure, Culprit | None]]) -> Finding:
    moment, failure, culprit = group[0]
    return Finding(
        severity=failure.severity,
        moment=moment,
        release=failure.probe.release,
        model=failure.probe.model,
        field=failure.field or (culprit.field if culprit else ""),
        actions=tuple(_unique(failure.probe.action for _, failure, _ in group)),
        subjects=tuple(_unique(failure.probe.subject for _, failure, _ in group)),
        error=failure.error,
        culprit=culprit,
        way_out=way_out(culprit, failure) if culprit else "",
        is_refused=failure.is_refused,
    )


def _unique(items: Iterable[_ItemT]) -> Iterator[_ItemT]:
    yield from dict.fromkeys(items)


def _key(failure: Failure) -> ModelKey:
    app_label, _, name = failure.probe.model.partition(".")
    return app_label, name.lower()
