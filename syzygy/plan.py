"""Stages of operations, migrations and plans, by the project's settings.

These functions stand alone: what they need to know beyond their arguments they read
from the settings and from the migration files. What they answer is decided by
:mod:`syzygy.stages` and :mod:`syzygy.staging`, like everything that concerns stages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping

from django.db.migrations import AlterModelManagers, AlterModelOptions, Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.fields import FieldOperation

from syzygy import conf, disk
from syzygy.ambiguity import complain
from syzygy.constants import Stage
from syzygy.exceptions import AmbiguousStage
from syzygy.graph import MigrationKey, baselined, dependencies, inverted, key_of
from syzygy.history import History
from syzygy.messages import describe
from syzygy.requirements import operation_rules
from syzygy.rules import Rule
from syzygy.stages import (
    Decision,
    Policy,
    advance,
    halves_of,
    infer,
)
from syzygy.staging import Plan, decide_plan, stage_plan


def get_operation_stage(
    operation: Operation, app_label: str = "", history: History | None = None
) -> Stage | None:
    """The stage of an operation; ``None`` if it has no effect on the database.

    Without a ``history`` nothing is known of what the operation changes.

    Raises :class:`~syzygy.exceptions.AmbiguousStage` if no stage is safe for it.
    """
    if history is None:
        history = History(conf.is_swapped)
    judged = operation_rules(operation, app_label, history)
    return _decide_operation(operation, app_label, history, judged).stage


def get_migration_stage(migration: Migration) -> Stage | None:
    """The stage of a migration; ``None`` if it has no effect or predates adoption.

    Raises :class:`~syzygy.exceptions.AmbiguousStage` if none can be told.
    """
    decisions, _ = _decide([(migration, False)])
    (decision,) = decisions.values()
    if isinstance(decision, AmbiguousStage):
        raise decision
    return decision.stage


def must_post_deploy_migration(
    migration: Migration, backward: bool = False
) -> bool | None:
    """Whether a migration must wait until after the rollout; ``None``: it may go along.

    ``backward`` asks about unapplying it. Raises
    :class:`~syzygy.exceptions.AmbiguousStage` if that can't be told.
    """
    stage = get_migration_stage(migration)
    if stage is None:
        return None
    return (stage.inverted if backward else stage) is Stage.POST_DEPLOY


def get_pre_deploy_plan(plan: Plan) -> Plan:
    """The part of a plan that runs before the rollout, in the same order.

    Raises :class:`~syzygy.exceptions.AmbiguousStage` if the stage of a migration can't
    be told and :class:`~syzygy.exceptions.AmbiguousPlan` if one that has to run before
    the rollout needs one that must not.
    """
    if not plan:
        return []
    decisions, policy = _decide(plan)
    planned = {key_of(migration): migration for migration, _ in plan}
    needs = dependencies(planned, disk.replaced_by(planned))
    if plan[0][1]:
        needs = inverted(needs)
    steps = stage_plan(plan, decisions, needs.__getitem__, policy)
    return [(step.migration, step.backward) for step in steps if not step.is_postponed]


def partition_operations(
    operations: Iterable[Operation], app_label: str
) -> tuple[list[Operation], list[Operation]]:
    """The operations to run before the rollout, and those to run after it.

    Both lists keep the order. An operation without a requirement goes before the
    rollout unless it depends on one that goes after it.

    Raises :class:`~syzygy.exceptions.AmbiguousStage` if no stage is safe for one, or if
    one that has to run before the rollout depends on one that goes after it.
    """
    history = History(conf.is_swapped)
    history.unseen = {app_label}
    pre: list[Operation] = []
    post: list[Operation] = []
    for operation in operations:
        judged = operation_rules(operation, app_label, history)
        decision = _decide_operation(operation, app_label, history, judged)
        advance(operation, app_label, history, judged, app_label)
        blocker = _first_blocker(operation, post, app_label)
        if decision.stage is Stage.POST_DEPLOY or (blocker and not decision.required):
            post.append(operation)
        elif blocker is None:
            pre.append(operation)
        else:
            raise AmbiguousStage(
                f'"{describe(operation)}" has to run before the rollout, but it '
                f'depends on "{describe(blocker)}", which has to run after it.'
            )
    return pre, post


def hash_plan(plan: Plan) -> str:
    """What identifies a plan among several: a SHA-1 in hexadecimal digits."""
    steps = ";".join(f"{migration}:{backward}" for migration, backward in plan)
    return hashlib.sha1(steps.encode(), usedforsecurity=False).hexdigest()


def _decide(
    plan: Plan,
) -> tuple[dict[MigrationKey, Decision | AmbiguousStage], Policy]:
    """Decide on a plan, looking into its past only if something depends on that."""
    configuration = conf.read()
    migrations = {key_of(migration): migration for migration, _ in plan}
    order = [migration for migration, _ in plan]
    if any(backward for _, backward in plan):
        order.reverse()
    decisions, policy = _decide_after([], order, {}, plan, configuration)
    if configuration.baseline or not all(map(_is_certain, decisions.values())):
        known = disk.history_of(migrations)
        last = max((i for i, key in enumerate(known) if key in migrations), default=-1)
        before = [m for k, m in list(known.items())[:last] if k not in migrations]
        decisions, policy = _decide_after(before, order, known, plan, configuration)
    return decisions, policy


def _decide_after(
    before: list[Migration],
    order: list[Migration],
    known: Mapping[MigrationKey, Migration],
    plan: Plan,
    configuration: conf.Configuration,
) -> tuple[dict[MigrationKey, Decision | AmbiguousStage], Policy]:
    known = known or {key_of(migration): migration for migration in order}
    needs = dependencies(known).__getitem__
    policy = configuration.policy(baselined(configuration.baseline, known, needs))
    backward = any(backward for _, backward in plan)
    walked = [*before, *order] if backward else before
    return decide_plan(plan, walked, History(conf.is_swapped), policy), policy


def _is_certain(decision: Decision | AmbiguousStage) -> bool:
    return isinstance(decision, Decision) and not decision.uncertain


def _decide_operation(
    operation: Operation, app_label: str, history: History, judged: Collection[Rule]
) -> Decision:
    judgement = [(operation, rule) for rule in judged]
    decision = infer(judgement)
    if decision is None:
        halves = halves_of(operation, app_label, history, judged)
        raise AmbiguousStage(
            f"The stage of an operation is ambiguous: {complain(judgement, halves)}."
        )
    return decision


def _first_blocker(
    operation: Operation, others: Iterable[Operation], app_label: str
) -> Operation | None:
    """The first among the others that the operation can't be moved before."""
    for other in others:
        if _is_of_the_model_alone(other) and isinstance(operation, FieldOperation):
            continue
        if other.reduce(operation, app_label) is not True:
            return other
    return None


def _is_of_the_model_alone(operation: Operation) -> bool:
    """Whether it makes no difference in which order it and those of fields come.

    Django's optimizer leaves all that one does to a model in order.
    """
    return isinstance(operation, AlterModelManagers | AlterModelOptions)
