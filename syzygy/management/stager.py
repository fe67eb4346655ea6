"""Staging the plan that an executor made, by the project's settings."""

from collections.abc import Iterable

from django.db.migrations.executor import MigrationExecutor

from syzygy import conf
from syzygy.disk import concerns_other_apps
from syzygy.exceptions import AmbiguousStage
from syzygy.graph import MigrationKey, baselined, topological, without_replaced
from syzygy.history import History
from syzygy.stages import Decision, Policy
from syzygy.staging import Plan, Step, decide_plan, stage_plan


class PlanStager:
    """Decides on the migrations of an executor's plan."""

    def __init__(self, executor: MigrationExecutor, plan: Plan) -> None:
        """Decide on them.

        Raises :class:`~django.core.exceptions.ImproperlyConfigured` for settings that
        make no sense, :class:`InvalidMigrationPlan` for a plan with both directions.
        """
        self.plan = plan
        self._database = executor.connection.alias
        self._graph = executor.loader.graph
        self._applied = executor.loader.applied_migrations
        self._policy = self._read_policy()
        self.decisions = self._decide() if plan else {}

    def stage(self) -> list[Step]:
        """What becomes of each migration before the rollout.

        Raises what :func:`~syzygy.staging.stage_plan` raises.
        """
        return stage_plan(
            self.plan, self.decisions, self._needs, self._policy, self._database
        )

    def _read_policy(self) -> Policy:
        configuration = conf.read()
        return configuration.policy(
            baselined(configuration.baseline, self._graph.nodes, self._parents)
        )

    def _decide(self) -> dict[MigrationKey, Decision | AmbiguousStage]:
        nodes = self._graph.nodes
        kept = set(without_replaced(nodes, keep=nodes))
        kept |= {(migration.app_label, migration.name) for migration, _ in self.plan}
        applied = {key for key in kept if key in self._applied}
        if not concerns_other_apps(migration for migration, _ in self.plan):
            labels = {migration.app_label for migration, _ in self.plan}
            applied = {key for key in applied if key[0] in labels}
        return decide_plan(
            self.plan,
            [
                self._graph.nodes[key]
                for key in topological(sorted(applied), self._parents)
            ],
            History(conf.is_swapped),
            self._policy,
            is_first_deployment=not self._applied,
        )

    def _parents(self, key: MigrationKey) -> Iterable[MigrationKey]:
        return [node.key for node in self._graph.node_map[key].parents]

    def _needs(self, key: MigrationKey) -> Iterable[MigrationKey]:
        if not self.plan[0][1]:
            return self._parents(key)
        return [node.key for node in self._graph.node_map[key].children]
