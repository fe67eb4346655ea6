"""Putting changes into the latest migration of an app, where they have its stage."""

from __future__ import annotations

from collections.abc import Iterable

from django.core.management import CommandError
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader

from syzygy import conf
from syzygy.constants import Stage
from syzygy.exceptions import AmbiguousStage
from syzygy.generation.settling import planned_stage
from syzygy.generation.states import Changes, history_of
from syzygy.stages import Policy, decide


def divide(changes: Changes) -> tuple[Changes, Changes]:
    """What goes into the latest migration of each app, and what has to follow it.

    Raises :class:`CommandError` if something has to run before the rollout and the
    latest migration after it.
    """
    loader = MigrationLoader(None, ignore_no_migrations=True)
    merged: Changes = {}
    later: Changes = {}
    for label, migrations in changes.items():
        leaves = loader.graph.leaf_nodes(label)
        stage = _stage(loader, leaves[0]) if leaves else Stage.PRE_DEPLOY
        if stage is Stage.POST_DEPLOY and any(
            planned_stage(each) is Stage.PRE_DEPLOY for each in migrations
        ):
            name = ".".join(leaves[0])
            raise CommandError(
                f'The latest migration "{name}" runs after the rollout, and these '
                "changes have to run before it. Delete the migrations of this release "
                f'from "{label}" and run makemigrations again, without --update.',
                returncode=3,
            )
        count = _count(migrations, stage or Stage.PRE_DEPLOY)
        if migrations[:count]:
            merged[label] = migrations[:count]
        if migrations[count:]:
            later[label] = migrations[count:]
    return merged, later


def follow(later: Changes, merged: Changes, updated: Iterable[Migration]) -> None:
    """Have migrations come after the updated ones of their apps."""
    names = {each.app_label: each.name for each in updated}
    moved = {
        (label, each.name): (label, names[label])
        for label, migrations in merged.items()
        for each in migrations
    }
    for label, migrations in later.items():
        for each in migrations:
            number, _, rest = each.name.partition("_")
            name = f"{int(number) - len(merged.get(label, ())):04}_{rest}"
            moved[label, each.name] = (label, name)
            each.name = name
    for migrations in later.values():
        for each in migrations:
            vars(each)["dependencies"] = [
                moved.get(key, key) for key in each.dependencies
            ]


def _count(migrations: list[Migration], stage: Stage) -> int:
    """How many of an app's migrations may be part of one that has that stage."""
    for count, migration in enumerate(migrations):
        if planned_stage(migration) is not stage or not migration.atomic:
            return count
    return len(migrations)


def _stage(loader: MigrationLoader, key: tuple[str, str]) -> Stage | None:
    history = history_of(loader.project_state(key, at_end=False))
    policy = Policy(override=conf.read_leniently().override)
    try:
        return decide(loader.graph.nodes[key], history, policy).stage
    except AmbiguousStage:
        return Stage.POST_DEPLOY
