"""The stage of a migration: settings, what it declares, what its operations require.

Pure: the settings come as a :class:`Policy`, the state before the migration as a
:class:`~syzygy.history.History`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from django.db.migrations.operations.base import Operation

from syzygy import rules
from syzygy.constants import Stage
from syzygy.exceptions import InvalidStage
from syzygy.graph import AnyMigration, MigrationKey, key_of
from syzygy.history import History
from syzygy.requirements import (
    NotAStage,
    declared_stage,
    is_opaque,
    makes_its_own,
    never_waits,
    operation_rules,
    to_stage,
)
from syzygy.rules import Rule

if TYPE_CHECKING:
    from syzygy.halves import Halves


class Source(enum.Enum):
    """What told the stage of a migration, in words for people."""

    BASELINE = "MIGRATION_STAGES_BASELINE"
    FAKED = "--fake-initial"
    OVERRIDE = "MIGRATION_STAGES_OVERRIDE"
    DECLARED = "declared in the migration"
    INFERRED = "inferred"
    FALLBACK = "MIGRATION_STAGES_FALLBACK"
    THIRD_PARTY = "MIGRATION_THIRD_PARTY_STAGES_FALLBACK"


class Policy:
    """What the settings say about stages.

    ``override`` and ``fallback`` go by ``"app_label.migration_name"`` or
    ``"app_label"``; ``third_party_fallback`` holds for the app labels of which
    ``is_third_party`` is true; ``baseline`` has the keys of all migrations that predate
    adoption, ``faked`` of those that are only recorded, as what they create was there
    before.
    """

    def __init__(  # noqa: PLR0913 - each is a setting, or an option
        self,
        *,
        override: Mapping[str, Stage] | None = None,
        fallback: Mapping[str, Stage] | None = None,
        third_party_fallback: Stage | None = None,
        is_third_party: Callable[[str], bool] = lambda _: False,
        baseline: Collection[MigrationKey] = (),
        faked: Collection[MigrationKey] = (),
    ) -> None:
        self.override = override or {}
        self.fallback = fallback or {}
        self.third_party_fallback = third_party_fallback
        self.is_third_party = is_third_party
        self.baseline = baseline
        self.faked = faked

    def overridden(self, migration: AnyMigration) -> Stage | None:
        """The stage that overrides whatever the migration says."""
        return _lookup(self.override, migration)

    def fallen_back(self, migration: AnyMigration) -> tuple[Stage, Source] | None:
        """The stage to use where none can be told, and the setting it comes from."""
        if stage := _lookup(self.fallback, migration):
            return stage, Source.FALLBACK
        if self.third_party_fallback and self.is_third_party(migration.app_label):
            return self.third_party_fallback, Source.THIRD_PARTY
        return None


class Decision(NamedTuple):
    """The stage of a migration and how it came about.

    ``stage`` is ``None`` for a migration that has no effect or predates adoption. When
    it isn't ``required``, the migration may as well run in the other stage. The
    ``deciding`` operation and its rule are those that the stage was inferred from;
    ``note`` says what there is to say otherwise. ``unseen`` tells that the migration
    touches only what the same plan creates, ``uncertain`` that the history didn't go
    back far enough to tell what the migration does, ``assumed`` that it is required
    only because nobody can tell what the code or SQL in it does.
    """

    stage: Stage | None
    source: Source
    required: bool = True
    deciding: tuple[Operation, Rule] | None = None
    note: str = ""
    unseen: bool = False
    uncertain: bool = False
    assumed: bool = False

    @property
    def is_defined(self) -> bool:
        """Whether a person or a setting said so, rather than the rules."""
        return self.source is not Source.INFERRED

    @property
    def reason(self) -> str:
        """Why it is that stage, as a phrase for people."""
        if self.deciding is None:
            return self.note
        # Not imported at the top: whoever only asks for the stage tells nobody.
        from syzygy.messages import describe

        operation, rule = self.deciding
        return f"{describe(operation)}: {rule.why}"

    def __str__(self) -> str:
        reason = self.reason
        return f"{self.source.value}: {reason}" if reason else self.source.value


Judgement: TypeAlias = list[tuple[Operation, Rule]]
# Those of operations that need both stages by themselves, by their identity.
AllHalves: TypeAlias = Mapping[int, "Halves"]

# Rules that hold for what the running release can't see.
_UNSEEN = (rules.UNSEEN, rules.UNSEEN_NEEDED, rules.CREATE_MODEL)


def decide(
    migration: AnyMigration,
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
    except NotAStage as error:
        skip(migration, history)
        raise _invalid(f'Migration "{migration}"', error) from None
    if settled is not None:
        if plan and settled.source is not Source.FAKED:
            return settled._replace(unseen=_touches_unseen(migration, history, plan))
        skip(migration, history)
        return settled
    own, in_plan, halves = _judge(migration, history, plan)
    decision = infer(own)
    if decision is not None and not plan:
        return decision
    relaxed = infer(in_plan) if plan else None
    if relaxed is not None and relaxed.stage is not Stage.POST_DEPLOY:
        return _relaxed(decision, relaxed, in_plan)
    if plan and relaxed is None:
        # What one stage suits by itself the plan's other migrations may rule out.
        decision, own = None, in_plan
    if decision is not None:
        return decision
    # Not imported at the top: few migrations are ambiguous.
    from syzygy.ambiguity import ambiguous_stage, complain

    if fallback := policy.fallen_back(migration):
        return Decision(*fallback, note=complain(own, halves))
    raise ambiguous_stage(migration, policy, own, halves)


def _relaxed(
    decision: Decision | None, relaxed: Decision, in_plan: Judgement
) -> Decision:
    """What holds of a decision that a plan ``relaxed``, by what is judged of it."""
    if decision is None:
        # The new release uses what is created as this migration leaves it.
        return relaxed._replace(required=relaxed.stage is not None, unseen=True)
    if any(rule is rules.REPLACE_CONSTRAINT for _, rule in in_plan):
        # Until it has run, nothing keeps out the rows that violate it.
        return relaxed._replace(unseen=True)
    return decision._replace(unseen=True)


def is_assumed(judgement: Judgement) -> bool:
    """Whether nothing but code that nobody can judge has to run before the rollout."""
    early = [rule for _, rule in judgement if rule.required is Stage.PRE_DEPLOY]
    return bool(early) and all(map(is_opaque, early))


def is_never_ambiguous(migration: AnyMigration) -> bool:
    """Whether the stage of a migration can be told whatever the state before it is."""
    return getattr(migration, "stage", None) is None and all(
        map(never_waits, migration.operations)
    )


def skip(migration: AnyMigration, history: History) -> None:
    """Move ``history`` on to the state after a migration without looking at it.

    What it creates is known to the running release.
    """
    history.unseen = ()
    history.origin = history.applying = None
    for operation in migration.operations:
        history.advance(operation, migration.app_label)


def _settle(migration: AnyMigration, policy: Policy) -> Decision | None:
    """What is decided without looking at the operations."""
    key = key_of(migration)
    if key in policy.faked:
        note = "the database has what it creates"
        return Decision(None, Source.FAKED, required=False, note=note)
    if key in policy.baseline:
        return Decision(None, Source.BASELINE, required=False)
    if stage := policy.overridden(migration):
        return Decision(stage, Source.OVERRIDE)
    if stage := to_stage(declared_stage(migration)):
        return Decision(stage, Source.DECLARED)
    return None


def _invalid(who: str, error: NotAStage) -> InvalidStage:
    from syzygy.messages import USE

    return InvalidStage(f"{who} declares a stage that is none: {error}", USE)


def _judge(
    migration: AnyMigration, history: History, plan: Collection[Hashable]
) -> tuple[Judgement, Judgement, AllHalves]:
    """The rules that hold for the operations: by themselves, and given the plan."""
    key = key_of(migration)
    itself = (key,)
    own: Judgement = []
    in_plan: Judgement = []
    halves: dict[int, Halves] = {}
    error: InvalidStage | None = None
    # Operations inside of the first one lift constraints, too.
    history.applying = key
    for operation in migration.operations:
        judged: tuple[Rule, ...] = ()
        try:
            judged = _ask(operation, key[0], history, itself)
            own += [(operation, rule) for rule in judged]
            if len(judged) > 1:
                halves |= halves_of(operation, key[0], history, judged)
            if plan:
                if any(rule.stage is not Stage.PRE_DEPLOY for rule in judged):
                    judged = _ask(operation, key[0], history, plan)
                in_plan += [(operation, rule) for rule in judged]
        except NotAStage as raised:
            from syzygy.messages import describe

            who = f'"{describe(operation)}" in migration "{migration}"'
            error = _invalid(who, raised)
        advance(operation, key[0], history, judged, key)
    if not plan:
        history.forget_origins()
    if error is not None:
        raise error
    return own, in_plan, halves


def halves_of(
    operation: Operation, app_label: str, history: History, judged: Collection[Rule]
) -> AllHalves:
    """Those of an operation, if its rules require both stages."""
    if not needs_both(judged):
        return {}
    # Not imported at the top: there is hardly ever such an operation.
    from syzygy.halves import halve

    return {id(operation): halve(operation, app_label, history, judged)}


def _touches_unseen(
    migration: AnyMigration, history: History, plan: Collection[Hashable]
) -> bool:
    """Whether all that a migration touches is created by the plan."""
    unseen = True
    history.applying = key = key_of(migration)
    for operation in migration.operations:
        try:
            judged = _ask(operation, key[0], history, plan)
        except NotAStage:
            judged = (rules.UNKNOWN,)
        unseen = unseen and all(
            rule in _UNSEEN or not rule.has_effect for rule in judged
        )
        advance(operation, key[0], history, judged, key)
    return unseen


def _ask(
    operation: Operation,
    app_label: str,
    history: History,
    unseen: Collection[Hashable],
) -> tuple[Rule, ...]:
    history.unseen = unseen
    return operation_rules(operation, app_label, history)


def advance(
    operation: Operation,
    app_label: str,
    history: History,
    judged: Iterable[Rule],
    origin: Hashable,
) -> None:
    """Move ``history`` on; what an operation creates in the state alone isn't new.

    What it creates otherwise comes from the ``origin``.
    """
    is_new = any(rule.has_effect for rule in judged) and makes_its_own(operation)
    history.origin = origin if is_new else None
    history.applying = origin
    history.advance(operation, app_label)


def infer(judgement: Judgement) -> Decision | None:
    """The stage that suits all operations; ``None`` if there is no such stage."""
    pre = post = prefers_pre = prefers_post = None
    uncertain = False
    for pair in judgement:
        rule = pair[1]
        if not rule.stageable:
            return None
        if rule.required is Stage.PRE_DEPLOY:
            pre = pre or pair
        elif rule.required is Stage.POST_DEPLOY:
            post = post or pair
        elif rule.preferred is Stage.PRE_DEPLOY:
            prefers_pre = prefers_pre or pair
        elif rule.preferred is Stage.POST_DEPLOY:
            prefers_post = prefers_post or pair
        uncertain = uncertain or rule is rules.ALTER_UNKNOWN
    if pre and post:
        return None
    required = pre or post
    deciding = required or prefers_pre or prefers_post
    return Decision(
        deciding[1].stage if deciding else None,
        Source.INFERRED,
        required=required is not None,
        deciding=deciding,
        note="" if deciding else rules.STATE_ONLY.why,
        uncertain=uncertain,
        assumed=pre is not None and is_assumed(judgement),
    )


def needs_both(judged: Iterable[Rule]) -> bool:
    """Whether among the rules are some that require each of the stages."""
    return {*Stage} <= {rule.required for rule in judged}


def _lookup(setting: Mapping[str, Stage], migration: AnyMigration) -> Stage | None:
    if not setting:
        return None
    return setting.get(str(migration)) or setting.get(migration.app_label)
