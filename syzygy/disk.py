"""Reading migrations from disk without Django's loader, and no more than is asked for.

System checks run before most commands: they must neither import what a setting makes
irrelevant nor build the graph of the whole project.
"""

from __future__ import annotations

import gc
import os
import pkgutil
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.machinery import all_suffixes
from importlib.util import find_spec
from typing import Any

from django.apps import AppConfig, apps
from django.db.migrations import AlterField, Migration, RenameModel
from django.db.migrations.exceptions import BadMigrationError
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.utils.functional import Promise

from syzygy.graph import (
    AnyMigration,
    MigrationKey,
    WrittenMigration,
    dependencies,
    topological,
    without_replaced,
)

# So many that looking at them takes longer than keeping the garbage that is among them.
_MANY_MODULES = 100
_SUFFIXES = frozenset(suffix.removeprefix(".") for suffix in all_suffixes())


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Don't look for garbage while modules are imported, nor soon after among them.

    What modules define stays. While thousands are imported, looking through all of it
    again and again takes a large part of the time.
    """
    was_enabled = gc.isenabled()
    known = len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) >= known + _MANY_MODULES:
            _take_for_old()
        if was_enabled:
            gc.enable()


def _take_for_old() -> None:
    """Have the collector take all objects for old ones, which it seldom looks at.

    Those that it gives up as frozen become old ones when they are thawed, says the
    documentation of :mod:`gc`. What somebody else has frozen remains so.
    """
    frozen = getattr(gc, "get_freeze_count", None)  # PyPy has nothing of the kind.
    if frozen is not None and frozen() == 0:
        gc.freeze()
        gc.unfreeze()


def import_ahead() -> None:
    """Import the migrations that Django is about to load, in less time.

    Packages that can't be found are left to it, as it may do without.

    Raises :class:`BadMigrationError` for what can't be imported, or is no migration.
    """
    with without_garbage_collection():
        for app_config in apps.get_app_configs():
            folder = None
            with suppress(BadMigrationError):
                folder = migration_folder(app_config)
            if folder:
                folder.load(folder.names)


def _unsound(migration: WrittenMigration) -> str | None:
    """The attribute of a migration that is nothing which Django could work with.

    Links are pairs of an app label and a migration name.
    """
    if not _are_links(migration.dependencies):
        return "dependencies"
    if not _are_links(migration.run_before):
        return "run_before"
    if not _are_links(migration.replaces):
        return "replaces"
    operations: Any = migration.operations
    if not isinstance(operations, (list, tuple)):
        return "operations"
    for operation in operations:
        if isinstance(operation, Operation):
            continue
        if isinstance(operation, type) or not hasattr(operation, "state_forwards"):
            return "operations"
    return None


def _are_links(value: object) -> bool:
    return isinstance(value, (list, tuple, set)) and all(map(_is_link, value))


def _is_link(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2


class MigrationFolder:
    """The migrations of an app: their package, where it lies, their names, sorted."""

    def __init__(
        self,
        app_label: str,
        package: str,
        locations: tuple[str, ...],
        names: tuple[str, ...],
    ) -> None:
        self.app_label = app_label
        self.package = package
        self.locations = locations
        self.names = names

    def load(self, names: Iterable[str]) -> dict[MigrationKey, WrittenMigration]:
        """Import migrations by name, without making instances, which take memory.

        Raises :class:`BadMigrationError` for what is no module with a migration, or
        can't be imported.
        """
        return {(self.app_label, name): self._load(name) for name in names}

    def source(self, name: str) -> str | None:
        """What is in a migration's file, ``None`` if it can't be read."""
        for location in self.locations:
            try:
                # It is read at once: a buffer would take longer than that.
                with open(
                    os.path.join(location, f"{name}.py"), "rb", buffering=0
                ) as file:
                    return file.read().decode()
            except OSError:
                continue
            except UnicodeDecodeError:
                # It may say what its encoding is.
                break
        return None

    def may_mention(self, name: str, words: Iterable[str]) -> bool:
        """Whether a migration's source has one of these strings, or can't be read."""
        source = self.source(name)
        return source is None or any(mentions(source, word) for word in words)

    def _load(self, name: str) -> WrittenMigration:
        try:
            module = import_module(f"{self.package}.{name}")
        except Exception as error:
            raise _bad(
                f'Migration "{self.app_label}.{name}" can\'t be imported', error
            ) from error
        cls = getattr(module, "Migration", None)
        if not (isinstance(cls, type) and issubclass(cls, Migration)):
            raise BadMigrationError(
                f'Migration "{self.app_label}.{name}" has no Migration class.'
            )
        try:
            migration = WrittenMigration(self.app_label, name, cls)
        except Exception as error:
            raise _bad(
                f'Migration "{self.app_label}.{name}" can\'t be made an instance of',
                error,
            ) from error
        if wrong := _unsound(migration):
            raise BadMigrationError(
                f'Migration "{migration}" has something wrong with its "{wrong}".'
            )
        return migration


def migration_folder(app_config: AppConfig) -> MigrationFolder | None:
    """Where an app keeps its migrations, ``None`` if it has none.

    As in Django, a module instead of a package doesn't count, nor does a folder without
    ``__init__``.

    Raises :class:`BadMigrationError` if there is something wrong with their package.
    """
    package, locations = _find(app_config)
    names = sorted(_module_names(locations))
    if not names:
        return None
    return MigrationFolder(app_config.label, package, locations, tuple(names))


def has_migration(app_config: AppConfig, name: str) -> bool:
    """Whether an app has a migration of that name."""
    _, locations = _find(app_config)
    is_file = (
        os.path.basename(name) == name
        and name[0] not in "_~"
        and any(
            os.path.exists(os.path.join(location, f"{name}.py"))
            for location in locations
        )
    )
    return is_file or name in _module_names(locations)


def _find(app_config: AppConfig) -> tuple[str, tuple[str, ...]]:
    """The package of an app's migrations, and where it lies: nowhere if it has none."""
    package, is_elsewhere = MigrationLoader.migrations_module(app_config.label)
    if package is None:
        return "", ()
    if isinstance(package, Promise):
        # As Django imports it, and Python finds no such thing by itself.
        package = str(package)
    if not is_elsewhere and (location := _beside_models(app_config, package)):
        return package, (location,)
    try:
        spec = find_spec(package)
        if spec and spec.origin and spec.submodule_search_locations:
            return package, tuple(import_module(package).__path__)
    except Exception as error:
        missing = getattr(error, "name", None) or "?"
        if isinstance(error, ModuleNotFoundError) and package.startswith(missing):
            return "", ()
        raise _bad(
            f'The migrations of the app "{app_config.label}" can\'t be found in '
            f'"{package}"',
            error,
        ) from error
    return "", ()


def _bad(what: str, error: Exception) -> BadMigrationError:
    # Not imported at the top: mostly nothing is wrong.
    from syzygy.messages import error_line

    return BadMigrationError(f"{what}: {error_line(error)}")


def _beside_models(app_config: AppConfig, package: str) -> str | None:
    """Where the import system would find the package in nearly all cases."""
    paths: Sequence[str] = getattr(app_config.module, "__path__", ())
    if len(paths) != 1:
        return None
    location = os.path.join(paths[0], package.rpartition(".")[2])
    try:
        # One that has something in it may say that migrations lie elsewhere, too.
        is_plain = os.path.getsize(os.path.join(location, "__init__.py")) == 0
    except OSError:
        return None
    return location if is_plain else None


def _module_names(locations: Iterable[str]) -> set[str]:
    """The modules that Django takes for migrations.

    What ``pkgutil.iter_modules()`` finds, in less time, but for packages and names that
    begin with an underscore or a tilde.
    """
    names = set()
    for location in locations:
        if os.path.isdir(location):
            for file in os.listdir(location):
                name, _, suffix = file.partition(".")
                if suffix in _SUFFIXES and name and name[0] not in "_~":
                    names.add(name)
        else:
            modules = pkgutil.iter_modules([location])
            names.update(
                module.name
                for module in modules
                if not module.ispkg and module.name[0] not in "_~"
            )
    return names


def mentions(source: str, word: str) -> bool:
    """Whether a string is in the source of a migration."""
    return f'"{word}"' in source or f"'{word}'" in source


def mentions_field(source: str, model: str, field: str) -> bool:
    """Whether the source may be about a field of a model (a lower-case name).

    That is so if their names are in it, or if the model may get its name there.
    """
    is_near = mentions(source, field) or "RenameModel" in source
    return is_near and mentions(source.lower(), model)


def history_of(
    migrations: Mapping[MigrationKey, Migration],
) -> dict[MigrationKey, Migration]:
    """All migrations of the project, each after those that it needs.

    Those given come after what they need and before all else. Empty if they aren't
    those on disk, or if those can't be read.
    """
    known: dict[MigrationKey, WrittenMigration] = {}
    for app_config in apps.get_app_configs():
        if folder := migration_folder(app_config):
            known |= folder.load(folder.names)
    if any(
        key not in known or known[key].migration_class is not type(migration)
        for key, migration in migrations.items()
    ):
        return {}
    left = without_replaced(known, keep=migrations)
    needs = dependencies(left, known).__getitem__
    order = topological([*migrations, *sorted(left)], needs)
    return {
        key: migrations[key] if key in migrations else left[key].instance()
        for key in order
    }


def replaced_by(
    migrations: Mapping[MigrationKey, Migration],
) -> dict[MigrationKey, WrittenMigration]:
    """What squashed ones among these migrations replace, as far as its files are left.

    Raises :class:`BadMigrationError` for one that can't be imported.
    """
    replaced: dict[MigrationKey, WrittenMigration] = {}
    folders: dict[str, MigrationFolder | None] = {}
    wanted = [key for migration in migrations.values() for key in migration.replaces]
    while wanted:
        app_label, name = key = wanted.pop()
        if app_label not in folders:
            app_config = apps.app_configs.get(app_label)
            folders[app_label] = migration_folder(app_config) if app_config else None
        folder = folders[app_label]
        if folder and name in folder.names and key not in replaced:
            replaced |= folder.load([name])
            wanted += replaced[key].replaces
    return replaced


def concerns_other_apps(migrations: Collection[AnyMigration]) -> bool:
    """Whether what these migrations do depends on what was done in other apps.

    That is so for a model that is renamed, to which others may refer, and for a
    relation that is altered, whose target may have been renamed.
    """
    return any(
        isinstance(operation, RenameModel)
        or (isinstance(operation, AlterField) and operation.field.remote_field)
        for migration in migrations
        for operation in with_parts(migration.operations)
    )


def with_parts(operations: Iterable[Operation]) -> Iterator[Operation]:
    """The operations, and those that they wrap."""
    for operation in operations:
        yield operation
        # Few have any.
        if parts := getattr(operation, "database_operations", None):
            yield from with_parts(parts)
        if parts := getattr(operation, "state_operations", None):
            yield from with_parts(parts)
