"""Staging the plan that an executor made, by the project's settings."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

from django.db.migrations import Migration, RunSQL
from django.db.migrations.exceptions import InconsistentMigrationHistory
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from syzygy import conf, messages
from syzygy.disk import concerns_other_apps, with_parts
from syzygy.exceptions import AmbiguousStage
from syzygy.graph import (
    MigrationKey,
    ancestors,
    baselined,
    key_of,
    topological,
    without_replaced,
)
from syzygy.history import History
from syzygy.stages import Decision, Policy
from syzygy.staging import Plan, Step, decide_plan, stage_plan


class Planner(Protocol):
    """What a plan is made with: an executor, or what stands in for one."""

    @property
    def loader(self) -> MigrationLoader:
        """The migrations that there are, and what is applied."""

    @property
    def connection(self) -> Any:
        """That of the database that the plan is for."""


class PlanStager:
    """Decides on the migrations of an executor's plan.

    ``before`` are the applied migrations that the decisions depend on, in order.
    """

    def __init__(
        self, executor: Planner, plan: Plan, faked: Collection[MigrationKey] = ()
    ) -> None:
        """Decide on them, of which those that are ``faked`` are only recorded.

        Raises :class:`~django.core.exceptions.ImproperlyConfigured` for settings that
        make no sense, :class:`InvalidMigrationPlan` for a plan with both directions.
        """
        self.plan = plan
        self._database = executor.connection.alias
        self._graph = executor.loader.graph
        self._applied = executor.loader.applied_migrations
        self._policy = self._read_policy(faked)
        self.before = self._find_applied() if plan else []
        self.decisions = self._decide() if plan else {}

    @property
    def is_first_deployment(self) -> bool:
        """Whether the database is empty, so that no release can be running on it."""
        return not (self._applied or self._policy.faked)

    @property
    def ambiguous(self) -> dict[Migration, AmbiguousStage]:
        """The migrations whose stage can't be told, and why."""
        return {
            migration: decision
            for migration, _ in self.plan
            for decision in [self.decisions[key_of(migration)]]
            if isinstance(decision, AmbiguousStage)
        }

    def stage(self) -> list[Step]:
        """What becomes of each migration before the rollout.

        Raises what :func:`~syzygy.staging.stage_plan` raises.
        """
        return self.stage_by(self.decisions)

    def stage_by(
        self, decisions: Mapping[MigrationKey, Decision | AmbiguousStage]
    ) -> list[Step]:
        """The same by other decisions than those that were made."""
        options = messages.on_database(self._database) + " --fake-initial" * bool(
            self._policy.faked
        )
        commands = messages.Commands(options, self._stops, self._undone)
        return stage_plan(self.plan, decisions, self.needs, self._policy, commands)

    def _read_policy(self, faked: Collection[MigrationKey]) -> Policy:
        configuration = conf.read()
        return configuration.policy(
            baselined(configuration.baseline, self._graph.nodes, self._parents), faked
        )

    def _find_applied(self) -> list[Migration]:
        planned = [migration for migration, _ in self.plan]
        labels = {migration.app_label for migration in planned}
        # SQL may be about any table; the audit tells by the models which are in use.
        is_wide = concerns_other_apps(planned) or any(
            isinstance(operation, RunSQL)
            for migration in planned
            for operation in with_parts(migration.operations)
        )
        applied = {
            key: migration
            for key, migration in self._graph.nodes.items()
            if key in self._applied and (is_wide or key[0] in labels)
        }
        kept = set(without_replaced(applied, keep=applied))
        kept |= {key_of(migration) for migration in planned}
        return [
            applied[key]
            for key in topological(sorted(kept & applied.keys()), self._parents)
        ]

    def _decide(self) -> dict[MigrationKey, Decision | AmbiguousStage]:
        return decide_plan(
            self.plan,
            self.before,
            History(conf.is_swapped),
            self._policy,
            is_first_deployment=self.is_first_deployment,
        )

    def _parents(self, key: MigrationKey) -> Iterable[MigrationKey]:
        return [node.key for node in self._graph.node_map[key].parents]

    def _children(self, key: MigrationKey) -> Iterable[MigrationKey]:
        return [node.key for node in self._graph.node_map[key].children]

    def _stops(self, key: MigrationKey) -> Iterable[MigrationKey]:
        """Where to go back to so that a migration is undone, and nothing unplanned."""
        planned = {key_of(migration) for migration, _ in self.plan}
        return [
            parent
            for parent in self._parents(key)
            if parent[0] == key[0] and planned.issuperset(self._undone(parent))
        ]

    def _undone(self, key: MigrationKey) -> Collection[MigrationKey]:
        """What going back to a migration undoes."""
        following = [child for child in self._children(key) if child[0] == key[0]]
        found = {*following, *ancestors(following, self._children)}
        return found.intersection(self._applied)

    def needs(self, key: MigrationKey) -> Iterable[MigrationKey]:
        """What has to be applied, or unapplied, directly before a migration."""
        if not self.plan[0][1]:
            return self._parents(key)
        return self._children(key)


def check_squashed(loader: MigrationLoader) -> None:
    """See that each squashed migration, or what it replaces, can be applied.

    One that is applied in part stands aside for the rest of what it replaces. If the
    files of that are gone, Django plans neither, as if all were applied.

    Raises :class:`InconsistentMigrationHistory`.
    """
    applied = loader.applied_migrations
    known = {*applied, *loader.disk_migrations}
    for key, migration in loader.replacements.items():
        lost = [each for each in migration.replaces if each not in known]
        is_begun = any(each in applied for each in migration.replaces)
        if lost and is_begun and key not in loader.graph.nodes:
            raise InconsistentMigrationHistory(messages.stranded(migration, lost))


def soft_applied(executor: MigrationExecutor, plan: Plan) -> set[MigrationKey]:
    """The migrations of a plan that ``--fake-initial`` only records.

    Their tables are there already, and in use.
    """
    planned = {key_of(migration) for migration, _ in plan}
    found: set[MigrationKey] = set()
    for migration, backward in plan:
        missing = planned - found
        # A table that an earlier one is yet to create can't be asked for its columns.
        is_ahead = any(
            key in missing and key[0] == migration.app_label
            for key in migration.dependencies
        )
        if not (backward or is_ahead):
            is_there, _ = executor.detect_soft_applied(None, migration)
            if is_there:
                found.add(key_of(migration))
    return found
