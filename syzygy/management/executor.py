"""Putting a hand on the plan that Django's ``migrate`` makes, without copying it.

``migrate.handle()`` makes a ``MigrationExecutor``, asks it for its plan and hands that
plan on to everything else. While a command runs, three methods of that class are
wrapped, so that the plan passes through a function of the command, whatever name or
subclass the command has the executor by. Other threads, and what is migrated from
within a migration, get the plain plan.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, TypeAlias

from django.apps import apps
from django.core.management import CommandError
from django.db import DatabaseError
from django.db.migrations.exceptions import BadMigrationError
from django.db.migrations.executor import MigrationExecutor

from syzygy.disk import migration_folder
from syzygy.staging import Plan

Stage: TypeAlias = Callable[[MigrationExecutor, Plan], Plan]

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


def _wrap_init(original: Callable[..., None]) -> Callable[..., None]:
    @wraps(original)
    def init(self: MigrationExecutor, *args: Any, **kwargs: Any) -> None:
        try:
            original(self, *args, **kwargs)
        except (CommandError, DatabaseError):
            raise
        except Exception as error:
            if _active.get() is None:
                raise
            # Whatever a module raises when the loader imports it.
            raise CommandError(_explain(error)) from error

    return init


def _explain(error: Exception) -> str:
    """Why the loader failed: the module that can't be imported, if it is one."""
    for app_config in apps.get_app_configs():
        try:
            if folder := migration_folder(app_config):
                folder.load(folder.names)
        except BadMigrationError as bad:
            return str(bad)
    return f"The migrations can't be loaded: {type(error).__name__}: {error}"


def _wrap_migration_plan(original: Callable[..., Plan]) -> Callable[..., Plan]:
    @wraps(original)
    def migration_plan(
        self: MigrationExecutor, targets: Any, clean_start: bool = False
    ) -> Plan:
        stage = _active.get()
        if stage is None or clean_start:
            return original(self, targets, clean_start=clean_start)
        # Django's method calls itself once more when it reloads the graph.
        with _inactive():
            plan = original(self, targets)
        return stage(self, plan)

    return migration_plan


def _wrap_migrate(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def migrate(self: MigrationExecutor, *args: Any, **kwargs: Any) -> Any:
        with _inactive():
            return original(self, *args, **kwargs)

    return migrate


_WRAPPERS: dict[str, Callable[..., Any]] = {
    "__init__": _wrap_init,
    "migration_plan": _wrap_migration_plan,
    "migrate": _wrap_migrate,
}
_lock = threading.Lock()
_users = 0
_originals: dict[str, Any] = {}
_wrappers: dict[str, Any] = {}


@contextmanager
def _wrapped() -> Iterator[None]:
    """Have the methods wrapped until the last of those who asked for it is done."""
    global _users  # noqa: PLW0603 - counted under a lock, as several threads may ask
    with _lock:
        _users += 1
        if _users == 1:
            for name, wrap in _WRAPPERS.items():
                _originals[name] = getattr(MigrationExecutor, name)
                _wrappers[name] = wrap(_originals[name])
                setattr(MigrationExecutor, name, _wrappers[name])
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                for name, wrapper in _wrappers.items():
                    # Somebody else may have put something in its place meanwhile.
                    if getattr(MigrationExecutor, name) is wrapper:
                        setattr(MigrationExecutor, name, _originals[name])
