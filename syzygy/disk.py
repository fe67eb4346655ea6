"""Reading migrations from disk without Django's loader, and no more than is asked for.

System checks run before most commands: they must neither import what a setting makes
irrelevant nor build the graph of the whole project.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from django.apps import AppConfig, apps
from django.db.migrations import Migration, RenameModel
from django.db.migrations.exceptions import BadMigrationError
from django.db.migrations.loader import MigrationLoader

from syzygy.graph import MigrationKey, dependencies, topological


@dataclass(frozen=True, slots=True)
class MigrationFolder:
    """The migrations of an app: their package and their names, sorted."""

    app_label: str
    package: str
    names: tuple[str, ...]

    @property
    def latest(self) -> str:
        """The name that sorts last."""
        return self.names[-1]

    def load(self, names: Iterable[str]) -> dict[MigrationKey, Migration]:
        """Import migrations by name.

        Raises :class:`BadMigrationError` for a module without a migration, and whatever
        a module raises when it is imported.
        """
        return {(self.app_label, name): self._load(name) for name in names}

    def _load(self, name: str) -> Migration:
        module = import_module(f"{self.package}.{name}")
        try:
            migration: type[Migration] = module.Migration
        except AttributeError:
            raise BadMigrationError(
                f"Migration {name} in app {self.app_label} has no Migration class"
            ) from None
        return migration(name, self.app_label)


def migration_folder(app_config: AppConfig) -> MigrationFolder | None:
    """Where an app keeps its migrations, ``None`` if it has none."""
    package, _ = MigrationLoader.migrations_module(app_config.label)
    if package is None:
        return None
    try:
        spec = find_spec(package)
    except ModuleNotFoundError:
        return None
    # Django ignores a module, and a folder without __init__.py, which has no origin.
    if not (spec and spec.origin and spec.submodule_search_locations):
        return None
    names = sorted(
        name
        for _, name, is_package in pkgutil.iter_modules(spec.submodule_search_locations)
        if not is_package and name[0] not in "_~"
    )
    return MigrationFolder(app_config.label, package, tuple(names)) if names else None


def ancestors(migrations: Mapping[MigrationKey, Migration]) -> list[Migration]:
    """What these migrations need, directly or not, each after those that it needs.

    Empty if they aren't those on disk. Only the history of their own apps is read,
    unless a model is renamed, which may concern any app.
    """
    labels = {app_label for app_label, _ in migrations}
    if renames_models(migrations.values()):
        labels.update(apps.app_configs)
    known: dict[MigrationKey, Migration] = {}
    for label in labels & apps.app_configs.keys():
        if folder := migration_folder(apps.get_app_config(label)):
            known |= folder.load(folder.names)
    if any(type(known.get(key)) is not type(m) for key, m in migrations.items()):
        return []
    order = topological([*migrations, *sorted(known)], dependencies(known).__getitem__)
    # What comes before the last of them is what they need, for they come first.
    end = max(order.index(key) for key in migrations)
    return [known[key] for key in order[:end] if key not in migrations]


def renames_models(migrations: Iterable[Migration]) -> bool:
    """Whether one of these migrations renames a model, which concerns other apps."""
    return any(
        isinstance(operation, RenameModel)
        for migration in migrations
        for operation in migration.operations
    )
