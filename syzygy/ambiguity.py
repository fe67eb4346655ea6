"""Why no stage suits a migration, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syzygy import messages
from syzygy.constants import Stage
from syzygy.exceptions import AmbiguousStage
from syzygy.messages import describe
from syzygy.stages import is_assumed, needs_both

if TYPE_CHECKING:
    from django.db.migrations.operations.base import Operation

    from syzygy.graph import AnyMigration
    from syzygy.halves import Halves
    from syzygy.stages import AllHalves, Judgement, Policy


def ambiguous_stage(
    migration: AnyMigration, policy: Policy, judgement: Judgement, halves: AllHalves
) -> AmbiguousStage:
    """What to raise for a migration, given the rules that hold for its operations."""
    way = _way(judgement, halves)
    is_code = way == messages.SPLIT and is_assumed(judgement)
    stage = Stage.POST_DEPLOY if is_code else Stage.PRE_DEPLOY
    return AmbiguousStage(
        f'The stage of migration "{migration}" is ambiguous: '
        f"{complain(judgement, halves)}.",
        messages.stage_remedy(
            migration, policy.override, policy.baseline, way=way, stage=stage
        ),
        stage,
    )


def _way(judgement: Judgement, halves: AllHalves) -> str:
    """What to do about a migration that no stage suits."""
    if not all(rule.stageable for _, rule in judgement):
        return messages.KEEP
    torn = _torn(judgement, halves)
    return (torn and torn[1].remedy) or messages.SPLIT


def complain(judgement: Judgement, halves: AllHalves) -> str:
    """Why no stage suits all operations, as the rest of a sentence."""
    for operation, rule in judgement:
        if not rule.stageable:
            return f'no stage is safe for "{describe(operation)}": {rule.why}'
    torn = _torn(judgement, halves)
    if torn:
        judgement = [pair for pair in judgement if pair[0] is torn[0]]
    (first, before), (second, after) = (
        next(pair for pair in judgement if pair[1].required is stage)
        for stage in (Stage.PRE_DEPLOY, Stage.POST_DEPLOY)
    )
    if torn:
        return (
            f'"{describe(first)}" has to run before the rollout as well as after it: '
            f"{torn[1].before} before it ({before.why}), {torn[1].after} after it "
            f"({after.why})"
        )
    return (
        f'"{describe(first)}" has to run before the rollout ({before.why}), but '
        f'"{describe(second)}" has to run after the rollout ({after.why})'
    )


def _torn(judgement: Judgement, halves: AllHalves) -> tuple[Operation, Halves] | None:
    """The first operation that needs both stages by itself."""
    for operation, _ in judgement:
        if id(operation) in halves:
            mine = [rule for other, rule in judgement if other is operation]
            if needs_both(mine):
                return operation, halves[id(operation)]
    return None
