"""The stage of a migration: settings, what it declares, what its operations require.

Pure: the settings come as a :class:`Policy`, the state before the migration as a
:class:`~syzygy.history.History`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation

from syzygy import messages, rules
from syzygy.constants import Stage
from syzygy.exceptions import AmbiguousStage
from syzygy.graph import MigrationKey
from syzygy.history import History
from syzygy.requirements import NotAStage, operation_rules, to_stage
from syzygy.rules import Rule


class Source(enum.Enum):
    """What told the stage of a migration, in words for people."""

    BASELINE = "MIGRATION_STAGES_BASELINE"
    OVERRIDE = "MIGRATION_STAGES_OVERRIDE"
    DECLARED = "declared in the migration"
    INFERRED = "inferred"
    FALLBACK = "MIGRATION_STAGES_FALLBACK"
    THIRD_PARTY = "MIGRATION_THIRD_PARTY_STAGES_FALLBACK"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the settings say about stages.

    ``override`` and ``fallback`` go by ``"app_label.migration_name"`` or
    ``"app_label"``; ``third_party_fallback`` holds for the app labels of which
    ``is_third_party`` is true; ``baseline`` has the keys of all migrations that predate
    adoption.
    """

    override: Mapping[str, Stage] = field(default_factory=dict)
    fallback: Mapping[str, Stage] = field(default_factory=dict)
    third_party_fallback: Stage | None = None
    is_third_party: Callable[[str], bool] = lambda app_label: False
    baseline: Collection[MigrationKey] = ()

    def overridden(self, migration: Migration) -> Stage | None:
        """The stage that overrides whatever the migration says."""
        return _lookup(self.override, migration)

    def fallen_back(self, migration: Migration) -> tuple[Stage, Source] | None:
        """The stage to use where none can be told, and the setting it comes from."""
        if stage := _lookup(self.fallback, migration):
            return stage, Source.FALLBACK
        if self.third_party_fallback and self.is_third_party(migration.app_label):
            return self.third_party_fallback, Source.THIRD_PARTY
        return None


@dataclass(frozen=True, slots=True)
class Decision:
    """The stage of a migration and how it came about.

    ``stage`` is ``None`` for a migration that has no effect or predates adoption. When
    it isn't ``required``, the migration may as well run in the other stage. ``reason``
    is a phrase for people. ``unseen`` tells that the migration touches only what the
    same plan creates, ``uncertain`` that the history didn't go back far enough to tell
    what the migration does.
    """

    stage: Stage | None
    source: Source
    reason: str = ""
    required: bool = True
    unseen: bool = False
    uncertain: bool = False

    @property
    def is_defined(self) -> bool:
        """Whether a person or a setting said so, rather than the rules."""
        return self.source is not Source.INFERRED

    def __str__(self) -> str:
        if self.reason:
            return f"{self.source.value}: {self.reason}"
        return self.source.value


Judgement: TypeAlias = list[tuple[Operation, Rule]]


def decide(
    migration: Migration,
    history: History,
    policy: Policy,
    plan: Collection[Hashable] = (),
) -> Decision:
    """The stage of a migration; ``history`` moves on to the state after it.

    ``plan`` are the keys of the migrations that are applied along with this one: the
    running release knows nothing of what they create.

    Raises :class:`~syzygy.exceptions.AmbiguousStage` where no stage can be told.
    """
    try:
        settled = _settle(migration, policy)
        if settled is not None and not (plan and settled.stage is Stage.POST_DEPLOY):
            skip(migration, history)
            return settled
        own, in_plan = _judge(migration, history, plan)
    except NotAStage as error:
        raise AmbiguousStage(
            f'Migration "{migration}" declares a stage that is none: {error}'
        ) from None
    if settled is not None:
        return replace(settled, unseen=_is_unseen(in_plan))
    decision = infer(own)
    relaxed = infer(in_plan) if plan else None
    if relaxed is not None and relaxed.stage is not Stage.POST_DEPLOY:
        if decision is None:
            return relaxed
        return replace(decision, unseen=True)
    if decision is not None:
        return decision
    if fallback := policy.fallen_back(migration):
        return Decision(*fallback, reason=complain(own))
    raise AmbiguousStage(
        f'The stage of migration "{migration}" is ambiguous: {complain(own)}.',
        messages.stage_remedy(migration, policy.override),
    )


def skip(migration: Migration, history: History) -> None:
    """Move ``history`` on to the state after a migration without looking at it."""
    history.origin = None
    for operation in migration.operations:
        history.advance(operation, migration.app_label)


def _settle(migration: Migration, policy: Policy) -> Decision | None:
    """What is decided without looking at the operations."""
    if (migration.app_label, migration.name) in policy.baseline:
        return Decision(None, Source.BASELINE, required=False)
    if stage := policy.overridden(migration):
        return Decision(stage, Source.OVERRIDE)
    if stage := to_stage(getattr(migration, "stage", None)):
        return Decision(stage, Source.DECLARED)
    return None


def _judge(
    migration: Migration, history: History, plan: Collection[Hashable]
) -> tuple[Judgement, Judgement]:
    """The rules that hold for the operations: by themselves, and given the plan."""
    key = (migration.app_label, migration.name)
    own: Judgement = []
    in_plan: Judgement = []
    history.origin = key
    for operation in migration.operations:
        history.unseen = (key,)
        judged = operation_rules(operation, migration.app_label, history)
        own += [(operation, rule) for rule in judged]
        if plan and any(rule.stage is not Stage.PRE_DEPLOY for rule in judged):
            history.unseen = plan
            judged = operation_rules(operation, migration.app_label, history)
        in_plan += [(operation, rule) for rule in judged]
        history.advance(operation, migration.app_label)
    if not plan:
        history.forget_origins()
    return own, in_plan


def infer(judgement: Judgement) -> Decision | None:
    """The stage that suits all operations; ``None`` if there is no such stage."""
    uncertain = any(rule is rules.ALTER_UNKNOWN for _, rule in judgement)
    deciding: dict[Stage, tuple[Operation, Rule]] = {}
    preferred: dict[Stage, tuple[Operation, Rule]] = {}
    for operation, rule in judgement:
        if not rule.stageable:
            return None
        if rule.required:
            deciding.setdefault(rule.required, (operation, rule))
        elif rule.preferred:
            preferred.setdefault(rule.preferred, (operation, rule))
    if len(deciding) > 1:
        return None
    for stages, required in ((deciding, True), (preferred, False)):
        for stage in Stage:
            if stage in stages:
                operation, rule = stages[stage]
                reason = f"{describe(operation)}: {rule.why}"
                return Decision(
                    stage, Source.INFERRED, reason, required, uncertain=uncertain
                )
    return Decision(
        None, Source.INFERRED, "it changes nothing in the database", required=False
    )


def _is_unseen(in_plan: Judgement) -> bool:
    return all(
        rule in (rules.UNSEEN, rules.CREATE_MODEL) or not rule.has_effect
        for _, rule in in_plan
    )


def complain(judgement: Judgement) -> str:
    """Why no stage suits all operations, as the rest of a sentence."""
    for operation, rule in judgement:
        if not rule.stageable:
            return f'no stage is safe for "{describe(operation)}": {rule.why}'
    phrases = []
    for stage, when in (
        (Stage.PRE_DEPLOY, "before"),
        (Stage.POST_DEPLOY, "after"),
    ):
        operation, rule = next(pair for pair in judgement if pair[1].required is stage)
        phrases.append(
            f'"{describe(operation)}" has to run {when} the rollout ({rule.why})'
        )
    return ", but ".join(phrases)


def describe(operation: Operation) -> str:
    """What Django would say that the operation does."""
    try:
        return str(operation.describe())
    except Exception:  # noqa: BLE001 - a third party's code, for a message only
        return type(operation).__name__


def _lookup(setting: Mapping[str, Stage], migration: Migration) -> Stage | None:
    return setting.get(str(migration)) or setting.get(migration.app_label)
