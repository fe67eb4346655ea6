"""Deciding on the migrations that lie on disk, for the system checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.apps import AppConfig
from django.db.migrations import Migration

from syzygy import conf
from syzygy.disk import MigrationFolder, migration_folder
from syzygy.exceptions import AmbiguousStage
from syzygy.graph import MigrationKey, baselined, dependencies, topological
from syzygy.history import History
from syzygy.stages import decide, skip
from syzygy.third_party import is_third_party


@dataclass(slots=True)
class Inspection:
    """What was found: folders whose migrations count, and what is wrong in them."""

    folders: list[MigrationFolder] = field(default_factory=list)
    unreadable: dict[str, Exception] = field(default_factory=dict)
    ambiguous: dict[Migration, AmbiguousStage] = field(default_factory=dict)


def inspect(
    app_configs: Iterable[AppConfig], configuration: conf.Configuration
) -> Inspection:
    """Look for ambiguous stages in the apps that no setting settles as a whole.

    What the baseline covers is imported only if the stage of something newer depends on
    what it did. ``unreadable`` has, by app label, what was raised by the import.
    """
    inspection = Inspection(
        [
            folder
            for app_config in app_configs
            if not _is_settled(app_config, configuration)
            and (folder := migration_folder(app_config))
        ]
    )
    loaded: dict[str, dict[MigrationKey, Migration]] = {}
    for folder in inspection.folders:
        try:
            loaded[folder.app_label] = _load(folder, configuration.baseline)
        except Exception as error:  # noqa: BLE001 - whatever the module raises
            inspection.unreadable[folder.app_label] = error
    doubtful = _inspect_loaded(loaded, configuration, inspection)
    incomplete = [
        folder
        for folder in inspection.folders
        if folder.app_label in doubtful
        and len(loaded[folder.app_label]) < len(folder.names)
    ]
    if incomplete:
        for folder in incomplete:
            try:
                loaded[folder.app_label] = folder.load(folder.names)
            except Exception as error:  # noqa: BLE001
                inspection.unreadable[folder.app_label] = error
        inspection.ambiguous.clear()
        _inspect_loaded(loaded, configuration, inspection)
    return inspection


def _is_settled(app_config: AppConfig, configuration: conf.Configuration) -> bool:
    """Whether no migration of the app can be ambiguous, whatever it does."""
    return app_config.label in configuration.override or (
        configuration.third_party_fallback is not None and is_third_party(app_config)
    )


def _load(
    folder: MigrationFolder, baseline: Mapping[str, str]
) -> dict[MigrationKey, Migration]:
    """The migrations that are newer than the baseline, told by their names.

    All of them where the names don't tell: where a newer one depends on one that comes
    before the baseline by its name, and so may be a branch beside it.
    """
    last = baseline.get(folder.app_label, "")
    newer = folder.load(name for name in folder.names if name > last)
    parents = {
        tuple(parent)
        for migration in newer.values()
        for parent in migration.dependencies
        if parent[0] == folder.app_label and not parent[1].startswith("__")
    }
    if last and not parents <= {(folder.app_label, last), *newer}:
        return folder.load(folder.names)
    return newer


def _inspect_loaded(
    loaded: Mapping[str, Mapping[MigrationKey, Migration]],
    configuration: conf.Configuration,
    inspection: Inspection,
) -> set[str]:
    """Note what is ambiguous, and return the apps in which more history could tell."""
    migrations = {k: m for folder in loaded.values() for k, m in folder.items()}
    for migration in list(migrations.values()):
        for app_label, name in migration.replaces:
            migrations.pop((app_label, name), None)
    needs = dependencies(migrations)
    baseline = baselined(configuration.baseline, migrations, needs.__getitem__)
    policy = configuration.policy(baseline)
    history = History(conf.is_swapped)
    doubtful = set()
    for key in topological(migrations, needs.__getitem__):
        if key in baseline:
            skip(migrations[key], history)
            continue
        try:
            decision = decide(migrations[key], history, policy)
        except AmbiguousStage as error:
            inspection.ambiguous[migrations[key]] = error
            doubtful.add(key[0])
        else:
            if decision.uncertain:
                doubtful.add(key[0])
    return doubtful
