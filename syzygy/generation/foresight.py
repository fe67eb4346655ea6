"""What ``migrate --pre-deploy`` will refuse, told when it is written."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations import Migration, SeparateDatabaseAndState, operations
from django.db.migrations.loader import MigrationLoader

from syzygy import conf
from syzygy.constants import Stage
from syzygy.exceptions import AmbiguousPlan, AmbiguousStage
from syzygy.generation.settling import planned_stage
from syzygy.generation.states import Changes, extended, in_order
from syzygy.git import GitError
from syzygy.graph import MigrationKey, baselined, key_of, topological
from syzygy.history import History
from syzygy.rehearsal.start import StartError, applied_in, present_at
from syzygy.staging import decide_plan, stage_plan

# What an autodetector makes; of all others nobody knows.
_GENERATED = {
    getattr(operations, name)
    for name in operations.__all__
    if name not in ("RunPython", "RunSQL", "SeparateDatabaseAndState")
}


class Conflict(NamedTuple):
    """A migration that has to run before a rollout, and one that it needs, after it.

    ``unreleased`` are the names of all that go with them, of the same app, and
    ``released`` is the last one that doesn't, or "zero". Both are empty where other
    apps are concerned, or nobody can tell. ``written`` are those of the unreleased
    with something that nobody could generate again.
    """

    before: MigrationKey
    after: MigrationKey
    unreleased: tuple[str, ...] = ()
    released: str = ""
    written: tuple[str, ...] = ()

    def __str__(self) -> str:
        before, after = map(".".join, (self.before, self.after))
        state = "isn't released yet" if self.released else "may not be released yet"
        text = (
            f'"{before}" has to run before the rollout, but needs "{after}", which '
            f'runs after it and {state}. In one deployment "migrate --pre-deploy" '
            "refuses that: deploy them one after the other, or make them one change."
        )
        if not self.released:
            return text
        label = self.before[0]
        keep = ":"
        if self.written:
            keep = (
                f". Keep a copy of {', '.join(self.written)}: nobody but you can write "
                "again what is in there."
            )
        return (
            f"{text}\nTo make them one, go back in your database, delete "
            f"{', '.join(self.unreleased)}, and write them anew{keep}\n"
            f"    python manage.py migrate {label} {self.released}\n"
            f"    python manage.py makemigrations {label}"
        )


def released() -> set[MigrationKey] | None:
    """The migrations of what others have in git, or else of the last commit.

    ``None`` where git can't tell.
    """
    for ref in ("refs/remotes/origin/HEAD", "HEAD"):
        try:
            return present_at(ref)
        except (GitError, StartError):
            continue
    return None


def foresee(
    changes: Changes, replaced: Collection[MigrationKey] = ()
) -> Conflict | None:
    """What is refused if changes are deployed with all that isn't released.

    What is ``replaced`` by them is the latest migration of its app. Where git can't
    tell, that is what they need directly, unless it is applied in the default database.
    """
    new = in_order(changes)
    own = {key_of(each) for each in new}
    gone = {*replaced} - own
    if not replaced and not any(
        planned_stage(each) is Stage.PRE_DEPLOY for each in new
    ):
        return None
    configuration = conf.read_leniently()
    loader = MigrationLoader(None, ignore_no_migrations=True)
    graph = extended(loader.graph, changes)

    def needs(key: MigrationKey) -> list[MigrationKey]:
        parents = [node.key for node in graph.node_map[key].parents]
        return [each for each in parents if each not in gone]

    known: Collection[MigrationKey] | None = released()
    is_known = known is not None
    if known is None:
        direct = {parent for key in own for parent in needs(key)}
        known = loader.graph.nodes.keys() - (direct - _applied())
    baseline = baselined(configuration.baseline, loader.graph.nodes, needs)
    pending = graph.nodes.keys() - {*known, *baseline, *gone}
    if pending == own:
        return None
    order = topological(sorted(graph.nodes.keys() - gone), needs)
    nodes: Any = graph.nodes
    plan = [(nodes[key], False) for key in order if key in pending]
    applied = [nodes[key] for key in order if key not in pending]
    policy = configuration.policy(baseline)
    try:
        decisions = decide_plan(plan, applied, History(conf.is_swapped), policy)
        stage_plan(plan, decisions, needs, policy)
    except AmbiguousPlan as error:
        before, after = error.migrations
        conflict = Conflict(before, after)
        if is_known and {key[0] for key in pending} == {conflict.before[0]}:
            own_plan = [nodes[key] for key in order if key[0] == conflict.before[0]]
            return _with_way_out(conflict, own_plan, pending)
        return conflict
    except AmbiguousStage:  # The checks tell of it.
        return None
    return None


def _applied() -> set[MigrationKey]:
    try:
        return applied_in(connections[DEFAULT_DB_ALIAS])
    except (StartError, ImproperlyConfigured):  # It can't be asked, or there is none.
        return set()


def _with_way_out(
    conflict: Conflict, own: Iterable[Migration], pending: Collection[MigrationKey]
) -> Conflict:
    """The conflict with all that there is of its app, in order."""
    unreleased, last, written = [], "zero", []
    for migration in own:
        if key_of(migration) not in pending:
            last = migration.name
            continue
        unreleased.append(migration.name)
        if not all(map(_is_generated, migration.operations)):
            written.append(migration.name)
    return conflict._replace(
        unreleased=tuple(unreleased), released=last, written=tuple(written)
    )


def _is_generated(operation: Any) -> bool:
    """Whether the operation is of a kind that this command writes."""
    if isinstance(operation, SeparateDatabaseAndState):
        return not operation.database_operations
    cls = type(operation)
    return cls in _GENERATED or cls.__module__.startswith("syzygy.")
