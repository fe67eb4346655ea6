"""Deciding on the migrations that lie on disk, for the system checks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

from django.apps import AppConfig
from django.db.migrations import (
    AddField,
    AlterField,
    AlterModelOptions,
    AlterModelTable,
    AlterOrderWithRespectTo,
    AlterUniqueTogether,
    CreateModel,
    RemoveField,
    RenameField,
    RenameModel,
)
from django.db.migrations.exceptions import BadMigrationError

from syzygy import conf
from syzygy.disk import (
    MigrationFolder,
    concerns_other_apps,
    mentions_field,
    migration_folder,
    with_parts,
)
from syzygy.exceptions import AmbiguousStage
from syzygy.graph import (
    MigrationKey,
    Needs,
    WrittenMigration,
    baselined,
    dependencies,
    topological,
    without_replaced,
)
from syzygy.history import History
from syzygy.stages import decide, is_never_ambiguous, skip
from syzygy.third_party import is_third_party

# Operations on what earlier ones left of a model, which is more than its definition.
_ON_OPTIONS = (AlterModelTable, AlterOrderWithRespectTo, AlterUniqueTogether)
# Those of which the state before them tells too little.
_CRUCIAL = (RemoveField, RenameModel)


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
        self.folders: list[MigrationFolder] = []
        self.unreadable: dict[str, BadMigrationError] = {}
        self.ambiguous: dict[WrittenMigration, AmbiguousStage] = {}
        self._migrations: dict[MigrationKey, WrittenMigration] = {}
        self._settled: list[AppConfig] = []
        self._renaming = False
        # By app label, in the order of the folder.
        self._newer_names: dict[str, dict[str, None]] = {}
        for app_config in app_configs:
            if self._is_settled(app_config):
                self._settled.append(app_config)
            else:
                self._find(app_config)

    def run(self) -> None:
        """Look at every migration that no setting settles.

        Of what a baseline covers, no more is imported than is needed to tell what newer
        migrations do: first what last defined the fields that they alter, then all. The
        apps that a setting settles are imported only if what is ambiguous, or a model
        that is renamed, depends on the models of other apps.
        """
        for folder in self.folders:
            self._load(folder, self._newer(folder))
            if self._has_branches(folder):
                self._load(folder, folder.names)
        doubtful = self._decide()
        for load_more in (self._load_definitions, self._load_all):
            incomplete = [
                folder
                for folder in self.folders
                if folder.app_label in doubtful and not self._is_complete(folder)
            ]
            for folder in incomplete:
                load_more(folder, doubtful[folder.app_label])
            if incomplete:
                doubtful = self._decide()
        if self._renaming or concerns_other_apps(self.ambiguous):
            for app_config in self._settled:
                self._find(app_config)
            for folder in self.folders:
                self._load(folder, folder.names)
            self._decide()

    def latest(self) -> dict[str, str]:
        """The newest migration of each app that no setting settles, by app label."""
        migrations = without_replaced(self._migrations)
        needs = dependencies(migrations, self._migrations)
        inner = {
            parent for key in needs for parent in needs[key] if parent[0] == key[0]
        }
        settled = {app_config.label for app_config in self._settled}
        leaves = migrations.keys() - inner
        return dict(sorted(key for key in leaves if key[0] not in settled))

    def _is_settled(self, app_config: AppConfig) -> bool:
        """Whether no migration of the app can be ambiguous, whatever it does."""
        configuration = self._configuration
        return app_config.label in configuration.override or (
            configuration.third_party_fallback is not None
            and is_third_party(app_config)
        )

    def _find(self, app_config: AppConfig) -> None:
        try:
            folder = migration_folder(app_config)
        except BadMigrationError as error:
            self.unreadable[app_config.label] = error
        else:
            self.folders += [folder] if folder else []

    def _is_complete(self, folder: MigrationFolder) -> bool:
        """Whether all migrations of the folder are imported, or can't be."""
        return folder.app_label in self.unreadable or self._is_loaded(folder)

    def _is_loaded(self, folder: MigrationFolder) -> bool:
        return all(
            (folder.app_label, name) in self._migrations for name in folder.names
        )

    def _load(self, folder: MigrationFolder, names: Iterable[str]) -> None:
        try:
            self._migrations |= folder.load(names)
        except BadMigrationError as error:
            self.unreadable[folder.app_label] = error

    # What to import

    def _newer(self, folder: MigrationFolder) -> Collection[str]:
        """What may come after the baseline, by the numbers in the names."""
        label = folder.app_label
        last = self._configuration.baseline.get(label)
        if last is None:
            return folder.names
        if label not in self._newer_names:
            newer = dict.fromkeys(_maybe_newer(folder.names, last))
            self._newer_names[label] = newer
        return self._newer_names[label]

    def _has_branches(self, folder: MigrationFolder) -> bool:
        """Whether something newer needs what the names alone can't place.

        What comes before the baseline by its name may be a branch beside it.
        """
        last = self._configuration.baseline.get(folder.app_label)
        if last is None:
            return False
        loaded = [
            migration
            for name in folder.names
            if (migration := self._migrations.get((folder.app_label, name)))
        ]
        return any(
            parent != last and (app_label, parent) not in self._migrations
            for migration in loaded
            for app_label, parent in migration.dependencies
            if app_label == folder.app_label and not parent.startswith("__")
        )

    def _load_definitions(
        self, folder: MigrationFolder, doubtful: Collection[WrittenMigration]
    ) -> None:
        """Import what last defined each field that doubtful migrations change.

        A module that doesn't have the names of a model and its field in its source
        can't define the field, unless it makes up names, or the model had another one;
        then the field stays unknown. What was renamed may have been anything, and a
        model may have got another table, or any: then all is imported.
        """
        operations = [
            operation
            for migration in doubtful
            for operation in with_parts(migration.operations)
        ]
        if any(isinstance(operation, _ON_OPTIONS) for operation in operations):
            self._load_all(folder, doubtful)
            return
        wanted = {
            (operation.model_name_lower, operation.name)
            for operation in operations
            if isinstance(operation, AlterField | RemoveField)
        }
        for name in reversed(folder.names):
            if not wanted:
                return
            key = (folder.app_label, name)
            is_new = key not in self._migrations
            if is_new:
                source = folder.source(name)
                if source is not None and not any(
                    mentions_field(source, *each) for each in wanted
                ):
                    continue
                self._load(folder, [name])
            migration = self._migrations.get(key)
            if migration is None:
                return
            if _hides(migration, wanted):
                self._load_all(folder, doubtful)
                return
            if is_new:
                wanted.difference_update(_defined_fields(migration))

    def _load_all(
        self, folder: MigrationFolder, doubtful: Collection[WrittenMigration]
    ) -> None:
        self._load(folder, folder.names)

    # What to think of it

    def _decide(self) -> dict[str, list[WrittenMigration]]:
        """Note what is ambiguous; return, by app, what more history could change."""
        migrations = without_replaced(self._migrations)
        needs = dependencies(migrations, self._migrations).__getitem__
        baseline = self._baseline(migrations, needs)
        policy = self._configuration.policy(baseline)
        history = History(conf.is_swapped)
        doubtful: dict[str, list[WrittenMigration]] = defaultdict(list)
        self.ambiguous = {}
        self._renaming = False
        for key in topological(sorted(migrations), needs):
            migration = migrations[key]
            if key in baseline or is_never_ambiguous(migration):
                skip(migration, history)
                continue
            crucial = [
                each
                for each in with_parts(migration.operations)
                if isinstance(each, _CRUCIAL)
            ]
            # What isn't known may be the primary key.
            removes_unknown = any(
                isinstance(each, RemoveField)
                and history.field((key[0], each.model_name_lower), each.name) is None
                for each in crucial
            )
            try:
                decision = decide(migration, history, policy)
            except AmbiguousStage as error:
                self.ambiguous[migration] = error
                doubtful[key[0]].append(migration)
                continue
            if decision.is_defined:
                continue
            if decision.uncertain or removes_unknown:
                doubtful[key[0]].append(migration)
            # What refers to the model decides, wherever it is.
            if any(isinstance(each, RenameModel) for each in crucial):
                self._renaming = True
        return doubtful

    def _baseline(
        self, migrations: Mapping[MigrationKey, WrittenMigration], needs: Needs
    ) -> set[MigrationKey]:
        """What predates adoption: by the graph, or by name where that is incomplete."""
        by_graph = dict(self._configuration.baseline)
        newer = {
            folder.app_label: self._newer(folder)
            for folder in self.folders
            if folder.app_label in by_graph and not self._is_loaded(folder)
        }
        # The setting isn't empty, however little of it is imported.
        baseline = {(app_label, by_graph.pop(app_label)) for app_label in newer}
        baseline |= baselined(by_graph, migrations, needs)
        baseline.update(
            (app_label, name)
            for app_label, name in migrations
            if app_label in newer and name not in newer[app_label]
        )
        return baseline


def _maybe_newer(names: Iterable[str], last: str) -> list[str]:
    """The migrations that may come after another, told from their numbers alone."""
    last_number = _number(last)
    if last_number is None:
        return list(names)
    return [
        name
        for name in names
        if (number := _number(name)) is None or (number >= last_number and name != last)
    ]


def _number(name: str) -> int | None:
    """What ``makemigrations`` begins a name with."""
    digits, _, _ = name.partition("_")
    return int(digits) if digits.isdecimal() else None


def _defined_fields(migration: WrittenMigration) -> Iterator[tuple[str, str]]:
    """The fields, by lower-case model name and name, that a migration defines."""
    for operation in migration.operations:
        if isinstance(operation, CreateModel):
            yield from ((operation.name_lower, name) for name, _ in operation.fields)
        elif isinstance(operation, AddField | AlterField):
            yield operation.model_name_lower, operation.name


def _hides(migration: WrittenMigration, fields: Collection[tuple[str, str]]) -> bool:
    """Whether more than what defined one of these fields tells what it is.

    The field or its model gets its name in this migration, or the model has no table
    there, and perhaps has one later.
    """
    models = {model for model, _ in fields}
    for each in with_parts(migration.operations):
        match each:
            case RenameField() if (each.model_name_lower, each.new_name) in fields:
                return True
            case RenameModel() if each.new_name_lower in models:
                return True
            case CreateModel() | AlterModelOptions() if each.name_lower in models:
                if not each.options.get("managed", True):
                    return True
    return False
