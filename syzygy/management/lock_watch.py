"""Whether the lock is still held, seen before each migration."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from django.core.management import CommandError
from django.db.migrations.recorder import MigrationRecorder

from syzygy.graph import AnyMigration, MigrationKey, key_of
from syzygy.locking import MigrationLock

if TYPE_CHECKING:
    from django.db.migrations.executor import MigrationExecutor

    from syzygy.staging import Plan

# What Django says before and after a migration is applied or undone.
STARTS = ("apply_start", "unapply_start")
ENDS = ("apply_success", "unapply_success")
# Seconds for which a session that ends may have the lock yet, and between two looks.
LINGER, LOOK = 2.0, 0.2


def watch(
    executor: MigrationExecutor, lock: MigrationLock, plan: Callable[[], Plan]
) -> None:
    """Have the executor see before each migration that the lock is held.

    If it was lost, and others haven't migrated since, it is taken again; otherwise
    :class:`CommandError` is raised there. ``plan`` returns what is to be applied.
    """
    tell = executor.progress_callback
    done: set[MigrationKey] = set()

    def progress(action: str, *details: Any) -> None:
        if action in STARTS:
            lock.ping()
            if lock.was_lost:
                _recover(executor, lock, plan(), done, details[0])
        elif action in ENDS:
            done.add((details[0].app_label, details[0].name))
        if tell is not None:
            tell(action, *details)

    executor.progress_callback = progress


def is_there(migration: AnyMigration, applied: Collection[MigrationKey]) -> bool:
    """Whether a migration is applied, perhaps by what it replaces."""
    replaced = {tuple(each) for each in migration.replaces}
    key = key_of(migration)
    return key in applied or (bool(replaced) and replaced <= set(applied))


def _recover(
    executor: MigrationExecutor,
    lock: MigrationLock,
    plan: Plan,
    done: Collection[MigrationKey],
    migration: AnyMigration,
) -> None:
    """Go on after the session of the lock has ended, if nobody else migrates."""
    deadline = time.monotonic() + LINGER
    while not lock.is_taken and time.monotonic() < deadline:
        time.sleep(LOOK)
        lock.ping()
    # From here on, another loss is another one.
    lock.was_lost = False
    if not lock.is_taken:
        holder = lock.holder()
        reason = f"it is held by {holder}" if holder else "it couldn't be taken again"
    elif _is_untouched(executor, plan, done):
        return
    else:
        reason = "another process has migrated it since"
    raise CommandError(
        "The lock that keeps two processes from migrating at once is lost: its "
        f"session in the server has ended, and {reason}. What was done so far "
        f'stays; "{migration}" and what follows was left alone. Run the command '
        "again when nobody else migrates."
    )


def _is_untouched(
    executor: MigrationExecutor, plan: Plan, done: Collection[MigrationKey]
) -> bool:
    """Whether of the plan exactly what this process has done is done."""
    applied = MigrationRecorder(executor.connection).applied_migrations()
    return all(
        is_there(migration, applied) == ((key_of(migration) in done) != backward)
        for migration, backward in plan
    )
