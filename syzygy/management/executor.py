"""Putting a hand on the plan that Django's ``migrate`` makes, without copying it.

``migrate.handle()`` makes a ``MigrationExecutor``, asks it for its plan and hands that
plan on to everything else. While a command runs, the executors that are made have their
plans pass through a function of the command, whatever name or subclass the command has
the executor by. Other threads, and what is migrated from within a migration, get the
plain plan.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeAlias

from django.apps import apps
from django.core.management import CommandError
from django.db import DatabaseError
from django.db.migrations.exceptions import BadMigrationError, CircularDependencyError
from django.db.migrations.executor import MigrationExecutor

from syzygy.disk import migration_folder, without_garbage_collection
from syzygy.management.mistakes import circle_text

if TYPE_CHECKING:
    from syzygy.staging import Plan


class StalePlan(Exception):
    """The database has changed since the plan was made: make another one."""


Stage: TypeAlias = "Callable[[MigrationExecutor, Plan], Plan]"

_active: ContextVar[Stage | None] = ContextVar("syzygy_stage", default=None)


@contextmanager
def staging(stage: Stage | None) -> Iterator[None]:
    """Pass the plans that executors make through ``stage(executor, plan)``.

    Not those that are made while an executor migrates; ``None`` passes none.
    """
    token = _active.set(stage)
    try:
        with _wrapped():
            yield
    finally:
        _active.reset(token)


@contextmanager
def _inactive() -> Iterator[None]:
    token = _active.set(None)
    try:
        yield
    finally:
        _active.reset(token)


def _make_init(original: Callable[..., None]) -> Callable[..., None]:
    @wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        if _active.get() is None:
            original(self, *args, **kwargs)
            return
        with loading():
            original(self, *args, **kwargs)
        # On the executor itself, in front of what its class may override.
        self.migration_plan = _make_migration_plan(self, self.migration_plan)
        self.migrate = _make_migrate(self, self.migrate)

    return init


@contextmanager
def loading() -> Iterator[None]:
    """Tell of migrations that can't be loaded as of a user's error.

    Raises :class:`CommandError` for whatever a module raises when it is imported.
    """
    try:
        with without_garbage_collection():
            yield
    except (CommandError, DatabaseError):
        raise
    except Exception as error:
        raise CommandError(_explain(error)) from error


def _explain(error: Exception) -> str:
    """Why the loader failed: the module that can't be imported, if it is one."""
    for app_config in apps.get_app_configs():
        try:
            if folder := migration_folder(app_config):
                folder.load(folder.names)
        except BadMigrationError as bad:
            return str(bad)
    if isinstance(error, CircularDependencyError):
        return circle_text(error)
    return f"The migrations can't be loaded: {type(error).__name__}: {error}"


def _make_migration_plan(
    executor: MigrationExecutor, original: Callable[..., Plan]
) -> Callable[..., Plan]:
    @wraps(original)
    def migration_plan(targets: Any, clean_start: bool = False) -> Plan:
        stage = _active.get()
        if stage is None or clean_start:
            return original(targets, clean_start=clean_start)
        # Django's method calls itself once more when it reloads the graph.
        with _inactive():
            plan = original(targets)
        try:
            return stage(executor, plan)
        except StalePlan:
            with _inactive():
                executor.loader.build_graph()
                plan = original(targets)
            return stage(executor, plan)

    return migration_plan


def _make_migrate(
    executor: MigrationExecutor, original: Callable[..., Any]
) -> Callable[..., Any]:
    @wraps(original)
    def migrate(targets: Any, plan: Any = None, *args: Any, **kwargs: Any) -> Any:
        if plan is None:
            plan = executor.migration_plan(targets)
        with _inactive():
            return original(targets, plan, *args, **kwargs)

    return migrate


_lock = threading.Lock()
# How many ask for it at the moment, what stood there before, and what was put there.
_swap: tuple[int, Any, Any] = (0, None, None)


@contextmanager
def _wrapped() -> Iterator[None]:
    """Have executors be made so until the last of those who asked for it is done."""
    global _swap  # noqa: PLW0603 - under a lock, as several threads may ask
    executor_class: Any = MigrationExecutor
    with _lock:
        users, original, ours = _swap
        if users == 0:
            original = executor_class.__init__
            ours = executor_class.__init__ = _make_init(original)
        _swap = (users + 1, original, ours)
    try:
        yield
    finally:
        with _lock:
            users, original, ours = _swap
            _swap = (users - 1, original, ours)
            # Somebody else may have put something in its place meanwhile.
            if users == 1 and executor_class.__init__ is ours:
                executor_class.__init__ = original
