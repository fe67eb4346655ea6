"""Reading migrations from disk without Django's loader, and no more than is asked for.

System checks run before most commands: they must neither import what a setting makes
irrelevant nor build the graph of the whole project.
"""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.machinery import all_suffixes
from importlib.util import find_spec
from typing import NamedTuple

from django.apps import AppConfig, apps
from django.db.migrations import Migration, RenameModel
from django.db.migrations.exceptions import BadMigrationError
from django.db.migrations.loader import MigrationLoader

from syzygy.graph import MigrationKey, dependencies, topological

_SUFFIXES = frozenset(all_suffixes())


class MigrationFolder(NamedTuple):
    """The migrations of an app: their package, where it lies, their names, sorted."""

    app_label: str
    package: str
    locations: tuple[str, ...]
    names: tuple[str, ...]

    def load(self, names: Iterable[str]) -> dict[MigrationKey, type[Migration]]:
        """Import migrations by name, without making instances, which take memory.

        Raises :class:`BadMigrationError` for a module without a migration, and whatever
        a module raises when it is imported.
        """
        return {(self.app_label, name): self._load(name) for name in names}

    def may_mention(self, name: str, words: Iterable[str]) -> bool:
        """Whether a migration's source has one of these strings, or can't be read."""
        for location in self.locations:
            try:
                with open(os.path.join(location, f"{name}.py"), "rb") as file:
                    source = file.read()
            except OSError:
                continue
            return any(
                f"{quote}{word}{quote}".encode() in source
                for word in words
                for quote in "\"'"
            )
        return True

    def _load(self, name: str) -> type[Migration]:
        module = import_module(f"{self.package}.{name}")
        migration: type[Migration] | None = getattr(module, "Migration", None)
        if isinstance(migration, type) and issubclass(migration, Migration):
            return migration
        raise BadMigrationError(
            f"Migration {name} in app {self.app_label} has no Migration class"
        )


def migration_folder(app_config: AppConfig) -> MigrationFolder | None:
    """Where an app keeps its migrations, ``None`` if it has none.

    As in Django, a module instead of a package doesn't count, nor does a folder without
    ``__init__``.
    """
    package, locations = _find(app_config)
    names = sorted(name for name in _module_names(locations) if name[0] not in "_~")
    if not names:
        return None
    return MigrationFolder(app_config.label, package, locations, tuple(names))


def has_migration(app_config: AppConfig, name: str) -> bool:
    """Whether an app has a migration of that name."""
    _, locations = _find(app_config)
    return any(
        os.path.exists(os.path.join(location, f"{name}.py")) for location in locations
    ) or name in _module_names(locations)


def _find(app_config: AppConfig) -> tuple[str, tuple[str, ...]]:
    """The package of an app's migrations, and where it lies: nowhere if it has none."""
    package, _ = MigrationLoader.migrations_module(app_config.label)
    try:
        spec = find_spec(package) if package else None
    except ModuleNotFoundError:
        spec = None
    if package and spec and spec.origin and spec.submodule_search_locations:
        return package, tuple(spec.submodule_search_locations)
    return "", ()


def _module_names(locations: Iterable[str]) -> set[str]:
    """What ``pkgutil.iter_modules()`` finds, but for packages, in less time."""
    names = set()
    for location in locations:
        if os.path.isdir(location):
            for file in os.listdir(location):
                name, dot, suffix = file.partition(".")
                if name and dot + suffix in _SUFFIXES:
                    names.add(name)
        else:
            modules = pkgutil.iter_modules([location])
            names.update(module.name for module in modules if not module.ispkg)
    return names


def ancestors(migrations: Mapping[MigrationKey, Migration]) -> list[Migration]:
    """What these migrations need, directly or not, each after those that it needs.

    Empty if they aren't those on disk. Only the history of their own apps is read,
    unless a model is renamed, which may concern any app.
    """
    labels = {app_label for app_label, _ in migrations}
    if renames_models(migrations.values()):
        labels.update(apps.app_configs)
    known: dict[MigrationKey, type[Migration]] = {}
    for label in labels & apps.app_configs.keys():
        if folder := migration_folder(apps.get_app_config(label)):
            known |= folder.load(folder.names)
    if any(known.get(key) is not type(m) for key, m in migrations.items()):
        return []
    order = topological([*migrations, *sorted(known)], dependencies(known).__getitem__)
    # What comes before the last of them is what they need, for they come first.
    end = max(order.index(key) for key in migrations)
    return [
        known[app_label, name](name, app_label)
        for app_label, name in order[:end]
        if (app_label, name) not in migrations
    ]


def renames_models(migrations: Iterable[Migration]) -> bool:
    """Whether one of these migrations renames a model, which concerns other apps."""
    return any(
        isinstance(operation, RenameModel)
        for migration in migrations
        for operation in migration.operations
    )
