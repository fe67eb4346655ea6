"""Splitting a migration plan into what runs before a rollout and what runs after it.

Pure: graph, history and settings come as arguments. A plan is what Django's executor
makes: a list of ``(migration, backward)`` in the order in which they are applied, or
unapplied where ``backward`` is true.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from django.db.migrations import Migration
from django.db.migrations.exceptions import InvalidMigrationPlan

from syzygy import messages
from syzygy.constants import Stage
from syzygy.exceptions import AmbiguousPlan, AmbiguousStage
from syzygy.graph import MigrationKey, Needs, ancestors, key_of
from syzygy.history import History
from syzygy.stages import Decision, Policy, Source, decide, skip

Plan: TypeAlias = list[tuple[Migration, bool]]


class Step(NamedTuple):
    """A migration of a plan, and what becomes of it before the rollout.

    ``because`` is the migration that postpones it, or that it is brought forward for.
    """

    migration: Migration
    backward: bool
    decision: Decision
    is_postponed: bool = False
    because: Migration | None = None

    @property
    def key(self) -> MigrationKey:
        """The app label and the name."""
        return key_of(self.migration)

    @property
    def stage(self) -> Stage | None:
        """The stage in which it would run by itself: inverted when it is unapplied."""
        stage = self.decision.stage
        if not self.backward:
            return stage
        if self.decision.source is Source.BASELINE:
            # Nobody looked at what it does: undoing it may take away what is in use.
            return Stage.POST_DEPLOY
        return stage.inverted if stage else None

    @property
    def runs_in(self) -> Stage:
        """The stage in which it runs, be it only along with others."""
        ran = Stage.POST_DEPLOY if self.is_postponed else Stage.PRE_DEPLOY
        return self.stage or ran

    @property
    def reason(self) -> str:
        """Why it runs in that stage, as a phrase for people."""
        stage = self.decision.stage
        if self.backward and stage:
            return f"undoes what is {stage.label} ({self.decision})"
        return str(self.decision)

    @property
    def is_pinned(self) -> bool:
        """Whether it has to run in that stage."""
        return self.stage is not None and self.decision.required

    @property
    def is_brought_forward(self) -> bool:
        """Whether it runs before the rollout although its own stage is after it."""
        return self.stage is Stage.POST_DEPLOY and not self.is_postponed


def decide_plan(
    plan: Plan,
    applied: Iterable[Migration],
    history: History,
    policy: Policy,
    *,
    is_first_deployment: bool = False,
) -> dict[MigrationKey, Decision | AmbiguousStage]:
    """The decision on each migration of a plan, or why there is none.

    ``applied`` are the migrations that are applied, each after those it needs; the
    ``history`` starts before the first of them. In a first deployment there is no
    running release, so nothing that a migration touches can be seen by one.

    Raises :class:`InvalidMigrationPlan` for a plan with both directions, as Django.
    """
    backward = {step_backward for _, step_backward in plan}
    if len(backward) > 1:
        raise InvalidMigrationPlan(
            "Migrations can't be applied and unapplied in one plan; run one command "
            "for each direction."
        )
    planned = frozenset(key_of(migration) for migration, _ in plan)
    created = frozenset() if True in backward else planned.difference(policy.faked)
    decisions: dict[MigrationKey, Decision | AmbiguousStage] = {}
    ahead = [migration for migration, is_backward in plan if not is_backward]
    for migration in (*applied, *ahead):
        key = key_of(migration)
        if key not in planned:
            skip(migration, history)
            continue
        try:
            decision = decide(migration, history, policy, created)
        except AmbiguousStage as error:
            decisions[key] = error
        else:
            unseen = decision.unseen or is_first_deployment
            decisions[key] = decision._replace(unseen=unseen)
    return decisions


def stage_plan(
    plan: Plan,
    decisions: Mapping[MigrationKey, Decision | AmbiguousStage],
    needs: Needs,
    policy: Policy,
    commands: messages.Commands = messages.Commands(),  # noqa: B008 - it doesn't change
) -> list[Step]:
    """What becomes of each migration of a plan before the rollout, in its order.

    ``needs`` tells which migrations have to be applied before a given one, or unapplied
    before it where the plan goes backward; of the ``policy`` only the overrides that
    there are matter, for the messages, which the ``commands`` are for, too.

    Raises :class:`AmbiguousStage` if a migration has no decision, and
    :class:`AmbiguousPlan` if one that has to run before the rollout needs one that must
    not.
    """
    steps = {}
    for migration, backward in plan:
        decision = decisions[key_of(migration)]
        if isinstance(decision, AmbiguousStage):
            raise decision
        step = Step(migration, backward, decision)
        steps[step.key] = step
    needed_by = _needed_before_rollout(steps, needs)
    conflicts = [
        step
        for key, step in steps.items()
        if key in needed_by
        and step.is_pinned
        and step.stage is Stage.POST_DEPLOY
        and (step.backward or not step.decision.unseen)
    ]
    if conflicts:
        conflict = _conflict(conflicts, steps, needed_by, needs)
        error = AmbiguousPlan(
            messages.plan_conflict(conflict, policy.override, commands)
        )
        needed, needing = conflict.pairs[0]
        error.migrations = (needing.key, needed.key)
        raise error
    staged: dict[MigrationKey, Step] = {}
    for key, step in steps.items():
        staged[key] = step
        if key in needed_by:
            if step.stage is Stage.POST_DEPLOY:
                because = steps[needed_by[key].last].migration
                staged[key] = step._replace(because=because)
        elif step.stage is Stage.POST_DEPLOY:
            staged[key] = step._replace(is_postponed=True)
        elif blocker := _first_postponed(needs(key), staged):
            because = blocker.because or blocker.migration
            staged[key] = step._replace(is_postponed=True, because=because)
    return list(staged.values())


class Conflict(NamedTuple):
    """Why a plan can't be split.

    Of each of the ``pairs``, in the order of the plan, the second needs the first,
    which has to wait until after the rollout, while the second can't. The ``path``
    leads from the first pair's first to its second, over those by which the second
    needs the first; the ``ends`` are those that have to wait which no other of their
    app needs. The ``hurried`` are all that can't wait and need one that has to.
    """

    pairs: Sequence[tuple[Step, Step]]
    path: Sequence[Step]
    ends: Sequence[Step]
    hurried: Sequence[Step]


def _conflict(
    waiting: Sequence[Step],
    steps: Mapping[MigrationKey, Step],
    needed_by: Mapping[MigrationKey, _Need],
    needs: Needs,
) -> Conflict:
    # What isn't in the plan needs nothing that is.
    table = {key: [*needs(key)] for key in steps}
    late = {step.key for step in waiting}
    for key, needed in table.items():
        if not late.isdisjoint(needed):
            late.add(key)
    return Conflict(
        pairs=[(step, steps[needed_by[step.key].last]) for step in waiting],
        path=_path(waiting[0].key, steps, needed_by),
        ends=_ends(waiting, lambda key: table.get(key, ())),
        hurried=[
            step
            for key, step in steps.items()
            if key in late and step.is_pinned and step.stage is Stage.PRE_DEPLOY
        ],
    )


class _Need(NamedTuple):
    """What needs a migration before the rollout: the next one on the way to the last.

    The last is one that has to run before the rollout; it is its own last.
    """

    following: MigrationKey
    last: MigrationKey


def _needed_before_rollout(
    steps: Mapping[MigrationKey, Step], needs: Needs
) -> dict[MigrationKey, _Need]:
    """What has to run before the rollout, and what for."""
    needed_by: dict[MigrationKey, _Need] = {}
    for key, step in reversed(list(steps.items())):
        if step.is_pinned and step.stage is Stage.PRE_DEPLOY:
            needed_by[key] = _Need(key, key)
        if key in needed_by:
            for need in sorted(needs(key)):
                if need in steps:
                    needed_by.setdefault(need, _Need(key, needed_by[key].last))
    return needed_by


def _path(
    key: MigrationKey,
    steps: Mapping[MigrationKey, Step],
    needed_by: Mapping[MigrationKey, _Need],
) -> list[Step]:
    """From a step to the one before the rollout that needs it, both included."""
    path = [steps[key]]
    while needed_by[key].following != key:
        key = needed_by[key].following
        path.append(steps[key])
    return path


def _ends(conflicts: Iterable[Step], needs: Needs) -> list[Step]:
    """Those that no other of their app needs: with them the others are done, too."""
    by_app: dict[str, list[MigrationKey]] = defaultdict(list)
    for step in conflicts:
        by_app[step.migration.app_label].append(step.key)
    needed = {label: ancestors(keys, needs) for label, keys in by_app.items()}
    return [step for step in conflicts if step.key not in needed[step.key[0]]]


def _first_postponed(
    needs: Iterable[MigrationKey], staged: Mapping[MigrationKey, Step]
) -> Step | None:
    for key in sorted(needs):
        if key in staged and staged[key].is_postponed:
            return staged[key]
    return None
