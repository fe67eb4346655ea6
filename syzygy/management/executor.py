"""Putting a hand on the plan that Django's ``migrate`` makes, without copying it.

``migrate.handle()`` makes a ``MigrationExecutor``, asks it for its plan and hands that
plan on to everything else. While a command runs, the name ``MigrationExecutor`` in the
modules of its classes stands for a subclass whose plan passes through a function of the
command. Other threads and nested commands that meet the subclass get the plain plan.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from django.core.management import BaseCommand, CommandError
from django.db import DatabaseError
from django.db.migrations import executor as django_executor

from syzygy.staging import Plan

_NAME = "MigrationExecutor"

Stage = Callable[[django_executor.MigrationExecutor, Plan], Plan]

_active: ContextVar[Stage | None] = ContextVar("syzygy_staging", default=None)


class StagingExecutor(django_executor.MigrationExecutor):
    """An executor whose plans pass through the function of the running command."""

    _is_planning = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().__init__(*args, **kwargs)
        except (DatabaseError, CommandError):
            raise
        except Exception as error:
            # Whatever a module raises when the loader imports it.
            raise CommandError(
                f"The migrations can't be loaded: {type(error).__name__}: {error}"
            ) from error

    def migration_plan(self, targets: Any, clean_start: bool = False) -> Plan:
        """Django's plan, or what the running command makes of it."""
        stage = _active.get()
        if stage is None or clean_start or self._is_planning:
            return super().migration_plan(targets, clean_start=clean_start)
        # Django's method calls itself once more when it reloads the graph.
        self._is_planning = True
        try:
            plan = super().migration_plan(targets)
        finally:
            self._is_planning = False
        return stage(self, plan)


@contextmanager
def staging(command: BaseCommand, stage: Stage) -> Iterator[None]:
    """Pass the plans that the command's classes make through ``stage(executor, plan)``.

    Raises :class:`CommandError` if none of the classes makes executors by that name.
    """
    modules = {
        module: None
        for cls in type(command).__mro__
        if (module := sys.modules.get(cls.__module__)) and hasattr(module, _NAME)
    }
    if not modules:
        raise CommandError(
            f"The command \"{type(command).__module__}\" doesn't derive from Django's "
            '"migrate", so its plan can\'t be staged.'
        )
    token = _active.set(stage)
    try:
        with ExitStack() as stack:
            for module in modules:
                stack.enter_context(_swapped(module))
            yield
    finally:
        _active.reset(token)


_lock = threading.Lock()
_swaps: dict[ModuleType, tuple[int, Any, Any]] = {}


@contextmanager
def _swapped(module: ModuleType) -> Iterator[None]:
    """Have the module use our executor until the last of those who asked is done."""
    with _lock:
        users, previous, swapped = _swaps.get(module, (0, getattr(module, _NAME), None))
        swapped = swapped or type(_NAME, (StagingExecutor, previous), {})
        setattr(module, _NAME, swapped)
        _swaps[module] = (users + 1, previous, swapped)
    try:
        yield
    finally:
        with _lock:
            users, previous, swapped = _swaps.pop(module)
            if users > 1:
                _swaps[module] = (users - 1, previous, swapped)
            elif getattr(module, _NAME) is swapped:
                setattr(module, _NAME, previous)
