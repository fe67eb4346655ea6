"""The system checks. They run before most commands: nothing costly at import."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeAlias

from django.apps import AppConfig, apps
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import load_command_class
from django.db import DEFAULT_DB_ALIAS
from django.utils.module_loading import import_string

from syzygy.exceptions import AmbiguousStage, InvalidStage

if TYPE_CHECKING:
    from syzygy.conf import Configuration

TAG = "syzygy"

# The commands of Django's that this app overrides, and what it adds to each.
COMMANDS = {
    "makemigrations": ("syzygy.management.generation", "MakeMigrationsMixin"),
    "migrate": ("syzygy.management.mixins", "MigrateMixin"),
    "optimizemigration": ("syzygy.management.squashing", "OptimizeMigrationMixin"),
    "squashmigrations": ("syzygy.management.squashing", "SquashMigrationsMixin"),
}
# More ambiguous migrations than these are told in one message.
MANY = 5
# What isn't applied in the database at hand may be deployed for all that: the database
# of a developer may lag behind. A line to paste would be wrong where it isn't.
_PLANNED = (
    'If it is deployed everywhere but here, "manage.py check" has the line for the '
    "settings that says so."
)
_EACH_PLANNED = (
    '"manage.py check_migrations{}" tells what to do about each. If they are deployed '
    'everywhere but here, "manage.py check" has the line for the settings that says so.'
)

# Migrations whose stage can't be told, and why.
_Ambiguous: TypeAlias = Mapping[Any, AmbiguousStage]

# Those, and the alias of the database that they are planned for.
_known: ContextVar[tuple[_Ambiguous, str] | None] = ContextVar(
    "syzygy_known", default=None
)


@contextmanager
def knowing(ambiguous: _Ambiguous, database: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """Have :func:`check_stages` tell of these migrations, and look at no others.

    They are in a plan for the ``database`` of that alias.
    """
    token = _known.set((ambiguous, database))
    try:
        yield
    finally:
        _known.reset(token)


def without_stages() -> AbstractContextManager[None]:
    """Have :func:`check_stages` find nothing.

    It judges the whole history, which takes time. ``migrate`` looks at the migrations
    of its plan instead, and ``makemigrations`` at those that it writes.
    """
    return knowing({})


def check_settings(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> Iterator[checks.CheckMessage]:
    """E002: a setting that is malformed, misspelt or names what doesn't exist."""
    from syzygy import conf

    for problem in conf.problems():
        yield checks.Error(
            problem.message, hint=problem.hint, obj=problem.setting, id="syzygy.E002"
        )


def check_stages(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> Iterator[checks.CheckMessage]:
    """E001: a migration whose stage can't be told and that no fallback covers."""
    if (planned := _known.get()) is not None:
        known, database = planned
        if known:
            from syzygy import conf, messages

            yield from _ambiguities(
                known,
                conf.read_leniently(),
                _PLANNED,
                _EACH_PLANNED.format(messages.on_database(database)),
            )
        return
    from syzygy.disk import without_garbage_collection

    with without_garbage_collection():
        from syzygy import conf
        from syzygy.inspection import Inspection

        configuration = conf.read_leniently()
        inspection = Inspection(app_configs or apps.get_app_configs(), configuration)
        inspection.run()
    for app_label, error in inspection.unreadable.items():
        yield checks.Error(
            str(error),
            hint=f'Correct it until "manage.py showmigrations {app_label}" works.',
            obj=apps.get_app_config(app_label),
            id="syzygy.E001",
        )
    if not inspection.ambiguous:
        return
    # A name that is wrong would be so in the new line as well.
    right = {
        app_label: name
        for app_label, name in configuration.baseline.items()
        if not conf.unknown_key(conf.BASELINE, f"{app_label}.{name}")
    }
    adoption = _adoption_hint({**inspection.latest(), **right})
    yield from _ambiguities(inspection.ambiguous, configuration, adoption, adoption)


def _ambiguities(
    ambiguous: _Ambiguous, configuration: Configuration, adoption: str, many: str
) -> Iterator[checks.CheckMessage]:
    """E001 of each; or of many at once, where the app has no baseline yet.

    ``adoption`` is added to the hint where one may be what is missing; ``many`` is the
    hint for many.
    """
    # Not imported at the top: mostly nothing is wrong.
    from syzygy import messages

    unadopted = [
        migration
        for migration, ambiguity in ambiguous.items()
        if migration.app_label not in configuration.baseline
        and not isinstance(ambiguity, InvalidStage)
    ]
    if len(unadopted) > MANY:
        named = ", ".join(f'"{migration}"' for migration in unadopted[:MANY])
        yield checks.Error(
            f"The stages of {len(unadopted)} migrations are ambiguous, those of "
            f"{named} and more.",
            hint=many,
            obj=messages.BASELINE,
            id="syzygy.E001",
        )
        ambiguous = {
            migration: ambiguity
            for migration, ambiguity in ambiguous.items()
            if migration not in unadopted
        }
    stages = {
        str(migration): ambiguity.stage
        for migration, ambiguity in ambiguous.items()
        if not migration.replaces and not isinstance(ambiguity, InvalidStage)
    }
    squashed = {
        migration.app_label: migration
        for migration, ambiguity in ambiguous.items()
        if migration.replaces and not isinstance(ambiguity, InvalidStage)
    }
    for migration, ambiguity in ambiguous.items():
        hint = [ambiguity.remedy]
        # Each hint sets the setting, if there is none. Django sorts what it shows.
        is_last = len(stages) > 1 and str(migration) == max(stages)
        if is_last and not configuration.override:
            hint.append(messages.override_all(dict(sorted(stages.items()))))
        is_last = len(squashed) > 1 and migration is squashed[max(squashed)]
        if is_last and not configuration.baseline:
            newest = {app_label: each.name for app_label, each in squashed.items()}
            hint.append(messages.baseline_all(newest))
        if migration in unadopted and not migration.replaces:
            hint.append(adoption)
        yield checks.Error(
            ambiguity.summary, hint="\n".join(hint), obj=migration, id="syzygy.E001"
        )


def check_commands(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> Iterator[checks.CheckMessage]:
    """W001: another app overrides a command that this one overrides, too."""
    folders = []
    for app_config in apps.get_app_configs():
        folder = os.path.join(app_config.path, "management", "commands")
        if os.path.isdir(folder):  # Few have any.
            folders.append((app_config, folder))
    for command in COMMANDS:
        first, *others = (
            app_config
            for app_config, folder in folders
            if os.path.exists(os.path.join(folder, f"{command}.py"))
        )
        if not others or (first.name != "syzygy" and _is_combined(first.name, command)):
            continue
        other = others[0] if first.name == "syzygy" else first
        combined = [app for app in others if _is_combined(app.name, command)]
        combined = [app for app in combined if app.name != "syzygy"]
        yield checks.Warning(
            f'The command "{command}" of "{first.name}" hides that of '
            f'"{others[0].name}": both apps override it.',
            hint=(
                f'Move "{combined[0].name}" before "{first.name}" in INSTALLED_APPS.'
                if combined
                else _combine_hint(other.name, command)
            ),
            obj=other,
            id="syzygy.W001",
        )


def check_quorum(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> Iterator[checks.CheckMessage]:
    """E003: a quorum backend that can't be used; and what the backend finds itself."""
    from syzygy.conf import OLD_QUORUM_BACKEND, QUORUM_BACKEND

    names = (QUORUM_BACKEND, OLD_QUORUM_BACKEND)
    if all(getattr(settings, name, None) is None for name in names):
        return  # Few projects have one, so that nothing is imported for it.
    from syzygy.quorum.configuration import make_backend

    try:
        backend = make_backend()
    except ImproperlyConfigured as error:
        yield checks.Error(
            str(error),
            hint='Correct the setting: "migrate" fails with --quorum until then.',
            obj=QUORUM_BACKEND,
            id="syzygy.E003",
        )
        return
    yield from backend.check()


def _combine_hint(app_name: str, command: str) -> str:
    module, mixin = COMMANDS[command]
    return (
        "Combine them in an app that comes before both in INSTALLED_APPS, in "
        f"management/commands/{command}.py:\n"
        f"    from {app_name}.management.commands import {command} as other\n"
        f"    from {module} import {mixin}\n"
        "\n"
        f"    class Command({mixin}, other.Command):\n"
        "        pass"
    )


def _is_combined(app_name: str, command: str) -> bool:
    module, mixin = COMMANDS[command]
    try:
        return isinstance(
            load_command_class(app_name, command), import_string(f"{module}.{mixin}")
        )
    except Exception:  # noqa: BLE001 - whoever runs it is told
        return False


def _adoption_hint(baseline: Mapping[str, str]) -> str:
    from syzygy import messages

    return (
        "If it is history that is deployed everywhere, say so in the settings, with "
        "the newest migration of each app that is:\n"
        f"    {messages.baseline_line(baseline)}"
    )
