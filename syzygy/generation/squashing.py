"""Making fewer operations of many, without making one of two stages.

Django's optimizer takes what a rollout lies between for one: of ``AddField`` with a
DEFAULT and the ``AlterField`` that drops it, it makes the ``AddField`` that was split.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.optimizer import MigrationOptimizer

from syzygy import conf, rules
from syzygy.backfill import Backfill
from syzygy.constants import Stage
from syzygy.exceptions import AmbiguousStage
from syzygy.generation.settling import comment
from syzygy.generation.states import history_of
from syzygy.graph import MigrationKey, baselined, key_of
from syzygy.history import History
from syzygy.requirements import is_opaque, operation_effects
from syzygy.stages import Policy, advance, decide

_MIXED = (
    "It has what runs before a rollout and what runs after it: it is for databases "
    "that have all that it replaces, and for new ones."
)
_ALIKE = "As all that it replaces."


class StagedOptimizerMixin(MigrationOptimizer):
    """Makes one operation of several only if they may run in the same stage."""

    def optimize(self, operations: Any, app_label: Any) -> Any:
        """The operations to have instead of these, or as many."""
        history = self.history_before(operations, app_label)
        staged: Any = list(_staged(operations, app_label, history))
        optimized: Any = super().optimize(staged, app_label)
        return [each.operation for each in optimized]

    def history_before(
        self, operations: Sequence[Operation], app_label: str
    ) -> History:
        """The models before the migration on disk that has the first of these."""
        for loader in _loaders():
            for key, migration in loader.graph.nodes.items():
                first = migration.operations[:1]
                if key[0] == app_label and first == operations[:1] != []:
                    return history_of(loader.project_state(key, at_end=False))
        return History(conf.is_swapped)


class _Staged(NamedTuple):
    """An operation and the stages that it requires, in place of it for the optimizer.

    ``stages`` has both for one that does something of each.
    """

    operation: Operation
    stages: frozenset[Stage]

    def reduce(self, other: _Staged, app_label: str) -> Any:
        """What Django's operation says, unless that would undo a split."""
        reduced: Any = self.operation.reduce(other.operation, app_label)
        if not isinstance(reduced, list):
            return reduced
        if self._is_left_out(other, reduced) or other._is_left_out(self, reduced):
            return [each for each in (self, other) if each.operation in reduced]
        stages = self.stages | other.stages
        if reduced and len(stages) > 1:
            return False
        known = {id(each.operation): each for each in (self, other)}
        return [known.get(id(each)) or _Staged(each, stages) for each in reduced]

    def _is_left_out(self, other: _Staged, reduced: list[Operation]) -> bool:
        """Whether nothing but the other is left since this one need not be kept."""
        return bool(self.operation.elidable) and reduced == [other.operation]


def _staged(
    operations: Iterable[Operation], app_label: str, history: History
) -> Iterator[_Staged]:
    """The operations, without what fills a table that nobody can have put rows into."""
    history.unseen = ["new"]
    may_have_rows = False
    for operation in operations:
        judged = operation_effects(operation, app_label, history)
        if not operation.elidable:
            may_have_rows = may_have_rows or any(map(is_opaque, judged))
        is_idle = isinstance(operation, Backfill) and rules.UNSEEN in judged
        if may_have_rows or not is_idle:
            required = (rule.required for rule in judged)
            yield _Staged(operation, frozenset(filter(None, required)))
        advance(operation, app_label, history, judged, "new")


def _loaders() -> Iterator[MigrationLoader]:
    """What there is on disk, first with the squashed ones and then with the others.

    The latter are those that Django 5 squashes where they are applied in part.
    """
    yield MigrationLoader(None, ignore_no_migrations=True)
    yield MigrationLoader(None, ignore_no_migrations=True, replace_migrations=False)


def settle_squashed(migration: Migration) -> bool:
    """Have a squashed migration run as all that it replaces, if that is of one stage.

    Returns whether it is of both. It isn't one transaction if it has an operation of
    one that isn't.
    """
    loader = next(
        loader
        for loader in _loaders()
        if {*migration.replaces} <= {*loader.graph.nodes}
    )
    graph = loader.graph
    replaced = [graph.nodes[key] for key in migration.replaces]
    before = history_of(loader.project_state(migration.replaces[0], at_end=False))
    configuration = conf.read_leniently()

    def needs(key: MigrationKey) -> list[MigrationKey]:
        return [node.key for node in graph.node_map[key].parents]

    baseline = baselined(configuration.baseline, graph.nodes, needs)
    policy = configuration.policy(baseline)
    if any(
        own is operation
        for each in replaced
        if not each.atomic
        for own in each.operations
        for operation in migration.operations
    ):
        vars(migration)["atomic"] = False
    stages = _stages_of(replaced, before.branch(), policy)
    if len(stages) > 1:
        comment(migration, _MIXED)
        return True
    for stage in stages if _stages_of([migration], before, policy) != stages else ():
        vars(migration)["stage"] = stage
        comment(migration, _ALIKE)
    return False


def _stages_of(
    migrations: Iterable[Migration], history: History, policy: Policy
) -> set[Stage]:
    """The stages that migrations require which are pending all at once."""
    migrations = list(migrations)
    plan = frozenset(map(key_of, migrations))
    stages: set[Stage] = set()
    for migration in migrations:
        try:
            decision = decide(migration, history, policy, plan)
        except AmbiguousStage:
            stages |= {*Stage}
        else:
            is_harmless = decision.unseen and decision.stage is Stage.POST_DEPLOY
            if decision.stage and decision.required and not is_harmless:
                stages.add(decision.stage)
    return stages
