"""Deciding on the migrations that lie on disk, for the system checks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from django.apps import AppConfig
from django.db.migrations import AlterField, Migration, RenameField

from syzygy import conf
from syzygy.disk import MigrationFolder, migration_folder
from syzygy.exceptions import AmbiguousStage
from syzygy.graph import MigrationKey, Needs, baselined, dependencies, topological
from syzygy.history import History
from syzygy.stages import decide, skip
from syzygy.third_party import is_third_party


class Inspection:
    """The migrations in some apps' folders, and what is wrong with them.

    ``unreadable`` has, by app label, what the import of an app's migrations raised;
    ``ambiguous`` has the migrations whose stage can't be told. Both are empty before
    :meth:`run`.
    """

    def __init__(
        self, app_configs: Iterable[AppConfig], configuration: conf.Configuration
    ) -> None:
        self._configuration = configuration
        self.folders = [
            folder
            for app_config in app_configs
            if not self._is_settled(app_config)
            and (folder := migration_folder(app_config))
        ]
        self.unreadable: dict[str, Exception] = {}
        self.ambiguous: dict[Migration, AmbiguousStage] = {}
        self._migrations: dict[MigrationKey, Migration] = {}

    def run(self) -> None:
        """Look at every migration that no setting settles.

        Of what a baseline covers, no more is imported than is needed to tell what newer
        migrations do: first what mentions the fields that they alter, then all.
        """
        for folder in self.folders:
            self._load(folder, self._newer(folder))
            if self._has_branches(folder):
                self._load(folder, folder.names)
        doubtful = self._decide()
        for find in (self._mentioning, self._all):
            incomplete = [
                folder
                for folder in self.folders
                if folder.app_label in doubtful and not self._is_complete(folder)
            ]
            for folder in incomplete:
                self._load(folder, find(folder, doubtful[folder.app_label]))
            if incomplete:
                doubtful = self._decide()

    def _is_settled(self, app_config: AppConfig) -> bool:
        """Whether no migration of the app can be ambiguous, whatever it does."""
        configuration = self._configuration
        return app_config.label in configuration.override or (
            configuration.third_party_fallback is not None
            and is_third_party(app_config)
        )

    def _is_complete(self, folder: MigrationFolder) -> bool:
        """Whether all migrations of the folder are imported, or can't be."""
        return folder.app_label in self.unreadable or all(
            (folder.app_label, name) in self._migrations for name in folder.names
        )

    def _load(self, folder: MigrationFolder, names: Iterable[str]) -> None:
        try:
            self._migrations |= folder.load(names)
        except Exception as error:  # noqa: BLE001 - whatever the module raises
            self.unreadable[folder.app_label] = error

    # What to import

    def _newer(self, folder: MigrationFolder) -> list[str]:
        """What comes after the baseline by its name."""
        last = self._configuration.baseline.get(folder.app_label, "")
        return [name for name in folder.names if name > last]

    def _has_branches(self, folder: MigrationFolder) -> bool:
        """Whether something newer needs what the names alone can't place.

        What comes before the baseline by its name may be a branch beside it.
        """
        last = self._configuration.baseline.get(folder.app_label)
        loaded = [
            migration
            for name in folder.names
            if (migration := self._migrations.get((folder.app_label, name)))
        ]
        return last is not None and any(
            parent != last and (app_label, parent) not in self._migrations
            for migration in loaded
            for app_label, parent in migration.dependencies
            if app_label == folder.app_label and not parent.startswith("__")
        )

    def _mentioning(
        self, folder: MigrationFolder, doubtful: Collection[Migration]
    ) -> list[str]:
        """What mentions the fields that doubtful migrations alter.

        A module that doesn't have a field's name in its source can't have defined the
        field, unless it makes up names, and then the field stays unknown.
        """
        fields = {
            operation.name
            for migration in doubtful
            for operation in migration.operations
            if isinstance(operation, AlterField | RenameField)
        }
        words = [
            quote + field.encode() + quote for field in fields for quote in (b'"', b"'")
        ]
        return [name for name in folder.names if folder.may_mention(name, words)]

    def _all(
        self, folder: MigrationFolder, doubtful: Collection[Migration]
    ) -> tuple[str, ...]:
        return folder.names

    # What to think of it

    def _decide(self) -> dict[str, list[Migration]]:
        """Note what is ambiguous; return, by app, what more history could change."""
        migrations = dict(self._migrations)
        for migration in self._migrations.values():
            for app_label, name in migration.replaces:
                migrations.pop((app_label, name), None)
        needs = dependencies(migrations).__getitem__
        baseline = self._baseline(migrations, needs)
        policy = self._configuration.policy(baseline)
        history = History(conf.is_swapped)
        doubtful: dict[str, list[Migration]] = defaultdict(list)
        self.ambiguous = {}
        for key in topological(sorted(migrations), needs):
            migration = migrations[key]
            if key in baseline:
                skip(migration, history)
                continue
            try:
                decision = decide(migration, history, policy)
            except AmbiguousStage as error:
                self.ambiguous[migration] = error
                doubtful[key[0]].append(migration)
            else:
                if decision.uncertain:
                    doubtful[key[0]].append(migration)
        return doubtful

    def _baseline(
        self, migrations: Mapping[MigrationKey, Migration], needs: Needs
    ) -> set[MigrationKey]:
        """What predates adoption: by the graph, or by name where that is incomplete."""
        by_graph = dict(self._configuration.baseline)
        by_name = {
            folder.app_label: by_graph.pop(folder.app_label)
            for folder in self.folders
            if folder.app_label in by_graph and not self._is_complete(folder)
        }
        baseline = baselined(by_graph, migrations, needs)
        baseline.update(key for key in migrations if key[1] <= by_name.get(key[0], ""))
        return baseline
