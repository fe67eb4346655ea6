"""What an operation requires, told from the operation and the state before it.

Pure: no database, no settings, no files. An operation class is judged by the function
registered for it or for the nearest of its base classes. :mod:`syzygy.judges` has those
of Django's operations; :func:`register` teaches new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from django.db.migrations import operations as django_operations
from django.db.migrations.operations.base import Operation, OperationCategory
from django.db.migrations.operations.fields import FieldOperation
from django.db.migrations.operations.models import IndexOperation, ModelOperation

from syzygy import rules
from syzygy.constants import Stage
from syzygy.history import History
from syzygy.judges import (
    JUDGES,
    JUDGES_BY_PATH,
    NEVER_WAITING,
    Judge,
    Judged,
    unless_seen,
)
from syzygy.own_judges import OWN_JUDGES
from syzygy.rules import Rule

_JudgeT = TypeVar("_JudgeT", bound=Judge)
_ON_WHAT_IS_THERE = (OperationCategory.ALTERATION, OperationCategory.REMOVAL)

JUDGES_BY_PATH.update(OWN_JUDGES)

# What was found for a class, with the attribute that names the model.
_FOUND: dict[type[Operation], tuple[Judge, str | None]] = {}


class NotAStage(ValueError):
    """The ``stage`` of an operation or of a migration is no stage."""


def register(*classes: type[Operation]) -> Callable[[_JudgeT], _JudgeT]:
    """Decorate a function that judges operations of these classes, and of subclasses.

    It is called with the operation, the app label and the :class:`~syzygy.history.
    History` before the operation, and returns the :class:`~syzygy.constants.Stage` in
    which the operation has to run, ``None`` if it has no effect on the database, or one
    or several of the rules of :mod:`syzygy.rules`.
    """

    def decorator(judge: _JudgeT) -> _JudgeT:
        for cls in classes:
            JUDGES[cls] = judge
        _FOUND.clear()
        return judge

    return decorator


def operation_rules(
    operation: Operation, app_label: str, history: History
) -> tuple[Rule, ...]:
    """The rules under which an operation falls, given the state before it.

    The operation's own ``stage`` goes before all rules. Raises :class:`NotAStage` if
    that is neither a stage nor ``None``.
    """
    declared = to_stage(declared_stage(operation))
    if declared is not None:
        return (_declared(declared),)
    return _judged(operation, app_label, history)


def _judged(operation: Operation, app_label: str, history: History) -> tuple[Rule, ...]:
    """The rules that hold for the class of an operation."""
    cls = type(operation)
    judge, model_attribute = _FOUND.get(cls) or _find(cls)
    try:
        key = model_attribute and (app_label, getattr(operation, model_attribute))
        if key and not history.has_table(key):
            return (rules.STATE_ONLY,)
        judged = _normalized(judge(operation, app_label, history))
    except Exception as error:
        # A third party's class need not be like its base, which is judged here.
        if isinstance(error, NotAStage) or not judge.__module__.startswith("syzygy."):
            raise
        return (rules.UNKNOWN,)
    if key and history.is_unseen(*key):
        judged = tuple({unless_seen(rule): None for rule in judged})
    return judged or (rules.STATE_ONLY,)


def never_waits(operation: Operation) -> bool:
    """Whether an operation may run before the rollout, whatever the state before it.

    That is told from its class, so it holds for fewer than the rules would tell.
    """
    cls = type(operation)
    judge, _ = _FOUND.get(cls) or _find(cls)
    return judge in NEVER_WAITING and declared_stage(operation) is None


def operation_effects(
    operation: Operation, app_label: str, history: History
) -> tuple[Rule, ...]:
    """The rules for what an operation does, whatever stage it declares for itself."""
    try:
        return _judged(operation, app_label, history)
    except NotAStage:
        return (rules.UNKNOWN,)


def declared_stage(owner: object) -> object:
    """What an operation or a migration has as its ``stage``.

    That may be computed by somebody else's code; an error that it raises is no stage.
    """
    try:
        return getattr(owner, "stage", None)
    except Exception as error:  # noqa: BLE001 - whoever reads it tells of it
        return error


def to_stage(value: object) -> Stage | None:
    """The stage that a member or the value of one stands for; ``None`` is ``None``.

    Raises :class:`NotAStage` for anything else.
    """
    if value is None or isinstance(value, Stage):
        return value
    try:
        return Stage(value)
    except ValueError:
        raise NotAStage(
            f"{value!r} is no stage; use Stage.PRE_DEPLOY or Stage.POST_DEPLOY."
        ) from None


def is_opaque(rule: Rule) -> bool:
    """Whether the rule says only that nobody can tell what the operation does."""
    return rule in (rules.RUN_SQL, rules.RUN_PYTHON, rules.UNKNOWN)


def _declared(stage: Stage) -> Rule:
    if stage is Stage.PRE_DEPLOY:
        return rules.DECLARED_PRE
    return rules.DECLARED_POST


def _normalized(judged: Judged) -> tuple[Rule, ...]:
    if isinstance(judged, Rule):
        return (judged,)
    if judged is None:
        return ()
    if isinstance(judged, Stage):
        return (_declared(judged),)
    return tuple(judged)


def _find(cls: type[Operation]) -> tuple[Judge, str | None]:
    """What judges operations of a class, and their attribute that names the model."""
    judges = (
        judge
        for base in cls.__mro__
        if (judge := JUDGES.get(base) or JUDGES_BY_PATH.get(_path(base)))
    )
    _FOUND[cls] = found = next(judges, _judge_unknown), _model_attribute(cls)
    return found


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _judge_unknown(operation: Operation, app_label: str, history: History) -> Rule:
    return rules.UNKNOWN


def _model_attribute(cls: type) -> str | None:
    """The attribute that names the existing model which operations are about."""
    if issubclass(cls, django_operations.CreateModel):
        return None
    if issubclass(cls, FieldOperation | IndexOperation):
        return "model_name_lower"
    return "name_lower" if issubclass(cls, ModelOperation) else None


# What wraps other operations


@register(django_operations.RunSQL)
def _run_sql(
    operation: django_operations.RunSQL, app_label: str, history: History
) -> Judged:
    # Not imported at the top: most commands never get here.
    from syzygy.sql import Action, schema_changes

    if not operation.sql:
        return rules.STATE_ONLY
    actions = {change.action for change in schema_changes(operation.sql)}
    if Action.RENAME in actions:
        return rules.RUN_SQL_RENAME
    if Action.DROP in actions:
        return rules.RUN_SQL_DROP
    return _stood_for(rules.RUN_SQL, operation.state_operations, app_label, history)


@register(django_operations.SeparateDatabaseAndState)
def _separate_database_and_state(
    operation: django_operations.SeparateDatabaseAndState,
    app_label: str,
    history: History,
) -> Judged:
    judged = _judge_all(operation.database_operations, app_label, history)
    opaque = [rule for rule in judged if is_opaque(rule)]
    if opaque and not any(rule.has_effect for rule in judged if not is_opaque(rule)):
        return _stood_for(opaque[0], operation.state_operations, app_label, history)
    return judged


def _stood_for(
    opaque: Rule,
    state_operations: Sequence[Operation],
    app_label: str,
    history: History,
) -> list[Rule]:
    """What the state operations tell of database operations that can't be read."""
    judged = _judge_all(state_operations, app_label, history)
    effects = [rule for rule in judged if rule.has_effect]
    return effects or [opaque]


def makes_its_own(operation: Operation) -> bool:
    """Whether what the operation adds to the state is new to the database as well.

    Code and SQL may stand for what is added beside them, or adopt what is there. What
    alters something leaves it in use.
    """
    return bool(getattr(operation, "state_operations", True)) and _makes(operation)


def _makes(operation: Operation) -> bool:
    if isinstance(operation, django_operations.SeparateDatabaseAndState):
        return any(map(_makes, operation.database_operations))
    if isinstance(operation, django_operations.RunSQL):
        # Not imported at the top: most commands never get here.
        from syzygy.sql import makes_anything

        return makes_anything(operation.sql)
    if isinstance(operation, django_operations.RunPython):
        return False
    return getattr(operation, "category", None) not in _ON_WHAT_IS_THERE


def _judge_all(
    operations: Sequence[Operation], app_label: str, history: History
) -> list[Rule]:
    judged: list[Rule] = []
    is_branch = False
    for position, operation in enumerate(operations, start=1):
        judged += operation_rules(operation, app_label, history)
        if any(map(_looks_at_state, operations[position:])):
            # Each sees what the ones before it did, and nobody else does.
            history = history if is_branch else history.branch()
            is_branch = True
            history.advance(operation, app_label)
    return judged


def _looks_at_state(operation: Operation) -> bool:
    if isinstance(operation, django_operations.RunSQL):
        return bool(operation.state_operations)
    return not isinstance(operation, django_operations.RunPython)
