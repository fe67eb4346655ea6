"""The stages of what is written: as inferred, or declared where that is not enough."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from django.db.migrations import AlterField, AlterUniqueTogether, Migration

from syzygy.constants import Stage
from syzygy.exceptions import AmbiguousStage
from syzygy.generation.errors import Inconsistency
from syzygy.generation.states import model_name
from syzygy.history import History, ModelKey
from syzygy.messages import describe
from syzygy.requirements import operation_rules
from syzygy.stages import Policy, decide

Planned: TypeAlias = tuple[Migration, Stage]


class Excuses(NamedTuple):
    """What the rules can't know of a change.

    The models that go, and what comes or goes while something else has the same
    effect, as :class:`~syzygy.generation.window.Window` has it.
    """

    deleted: Collection[ModelKey]
    lasting: Mapping[ModelKey, Collection[str]]


_DELETED = "The new release knows nothing of what it touches."
_LASTING = "Something else with the same effect is in force all the time."
_CREATED = "The running release knows nothing of what it touches."


def settle(planned: Iterable[Planned], history: History, excuses: Excuses) -> None:
    """Declare the stage of each migration whose stage wouldn't be inferred.

    They come in the order in which they are applied; ``history`` is the state before
    them, and is the one after them in the end.

    Raises :class:`Inconsistency` for one that isn't safe in the stage planned for it.
    """
    planned = list(planned)
    judging = history.branch()
    for number, (migration, stage) in enumerate(planned):
        judging.origin = number
        judging.unseen = range(len(planned))
        reasons = _reasons(migration, stage, judging, excuses)
        vars(migration)["planned_stage"] = stage
        if _inferred(migration, history) not in (stage, None):
            vars(migration)["stage"] = stage
            comment(migration, *dict.fromkeys(reasons or [_CREATED]))


def planned_stage(migration: Migration) -> Stage | None:
    """The stage that a generated migration was made for."""
    stage: Stage | None = getattr(migration, "planned_stage", None)
    return stage


def comment(migration: Migration, *comments: str) -> None:
    """Have the file of a migration say something."""
    vars(migration).setdefault("comments", []).extend(comments)


def _inferred(migration: Migration, history: History) -> Stage | str | None:
    try:
        return decide(migration, history, Policy()).stage
    except AmbiguousStage:
        return "ambiguous"


def _reasons(
    migration: Migration, stage: Stage, history: History, excuses: Excuses
) -> list[str]:
    """Why operations may run in that stage that would have to run in the other."""
    reasons = []
    for operation in migration.operations:
        judged = operation_rules(operation, migration.app_label, history)
        for rule in judged:
            if rule.stageable and rule.required in (stage, None):
                continue
            reason = _excuse(operation, migration.app_label, excuses)
            if reason is None:
                raise Inconsistency(
                    f'"{describe(operation)}" of "{migration.app_label}" would run '
                    f"{stage.label}, which is unsafe: {rule.why}. This is a mistake of "
                    'Syzygy\'s; nothing was written. Use "--disable-syzygy" and split '
                    "the migration by hand."
                )
            reasons.append(reason)
        history.advance(operation, migration.app_label)
    return reasons


def _excuse(operation: Any, app_label: str, excuses: Excuses) -> str | None:
    key = (app_label, model_name(operation))
    if key in excuses.deleted:
        return _DELETED
    if _subject(operation) in excuses.lasting.get(key, ()):
        return _LASTING
    return None


def _subject(operation: Any) -> str | None:
    """The constraint or field that the operation is about, as excuses name it."""
    if isinstance(operation, AlterUniqueTogether):
        return "unique_together"
    if constraint := getattr(operation, "constraint", None):
        return str(constraint.name)
    if isinstance(operation, AlterField) or hasattr(operation, "name"):
        return str(operation.name)
    return None
