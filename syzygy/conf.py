"""Reading the settings: what they say, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.migrations.exceptions import BadMigrationError

from syzygy.constants import Stage
from syzygy.disk import has_migration, migration_folder
from syzygy.graph import MigrationKey
from syzygy.third_party import is_third_party

if TYPE_CHECKING:
    from syzygy.stages import Policy

OVERRIDE = "MIGRATION_STAGES_OVERRIDE"
FALLBACK = "MIGRATION_STAGES_FALLBACK"
THIRD_PARTY_FALLBACK = "MIGRATION_THIRD_PARTY_STAGES_FALLBACK"
BASELINE = "MIGRATION_STAGES_BASELINE"
QUORUM_BACKEND = "MIGRATION_QUORUM_BACKEND"
# As older documentation spelled it.
OLD_QUORUM_BACKEND = "MIGRATE_QUORUM_BACKEND"
LOCK = "MIGRATION_LOCK"
AUDIT = "SYZYGY_AUDIT"

SETTINGS = (
    OVERRIDE,
    FALLBACK,
    THIRD_PARTY_FALLBACK,
    BASELINE,
    QUORUM_BACKEND,
    LOCK,
    AUDIT,
)
_PREFIXES = (
    *(
        f"{first}_{second}"
        for first in ("MIGRATE", "MIGRATION", "MIGRATIONS")
        for second in ("STAGE", "THIRD_PARTY", "QUORUM", "LOCK")
    ),
    "SYZYGY_",
)
_STAGES = 'Stage.PRE_DEPLOY, Stage.POST_DEPLOY, "pre_deploy" or "post_deploy"'


class Problem:
    """Something wrong with a setting, and what to do about it."""

    def __init__(self, setting: str, message: str, hint: str) -> None:
        self.setting = setting
        self.message = message
        self.hint = hint


class Configuration:
    """What the settings say; what is wrong with them is left out of it."""

    def __init__(
        self,
        override: Mapping[str, Stage],
        fallback: Mapping[str, Stage],
        third_party_fallback: Stage | None,
        baseline: Mapping[str, str],
    ) -> None:
        self.override = override
        self.fallback = fallback
        self.third_party_fallback = third_party_fallback
        self.baseline = baseline

    def policy(
        self,
        baseline: Collection[MigrationKey],
        faked: Collection[MigrationKey] = (),
    ) -> Policy:
        """The rules of precedence, given all migrations that predate adoption.

        Those that are ``faked`` are only recorded.
        """
        # Not imported at the top: a command that has nothing to stage only reads these.
        from syzygy.stages import Policy

        return Policy(
            override=self.override,
            fallback=self.fallback,
            third_party_fallback=self.third_party_fallback,
            is_third_party=label_is_third_party,
            baseline=baseline,
            faked=faked,
        )


def read() -> Configuration:
    """The settings, as they are now.

    Raises :class:`ImproperlyConfigured` if something is wrong with them.
    """
    for problem in problems():
        raise ImproperlyConfigured(f"{problem.message} {problem.hint}")
    return read_leniently()


def read_leniently() -> Configuration:
    """What the settings say as far as it makes sense."""
    return _read([])


def locks() -> bool:
    """Whether ``migrate`` takes the lock of the database.

    Raises :class:`ImproperlyConfigured` if the setting is neither true nor false.
    """
    for problem in _lock_problems():
        raise ImproperlyConfigured(f"{problem.message} {problem.hint}")
    return getattr(settings, LOCK, True) is True


def check_form() -> None:
    """Raise :class:`ImproperlyConfigured` if something in the settings makes no sense.

    They may name what isn't there, as before it is written.
    """
    for problem in _malformed():
        raise ImproperlyConfigured(f"{problem.message} {problem.hint}")


def _malformed() -> list[Problem]:
    found = [*_misspelt(), *_lock_problems()]
    _read(found)
    return found


def problems() -> list[Problem]:
    """All that is wrong with the settings."""
    found = _malformed()
    configuration = read_leniently()
    for setting, stages in (
        (OVERRIDE, configuration.override),
        (FALLBACK, configuration.fallback),
    ):
        found += filter(None, (unknown_key(setting, key) for key in stages))
    for app_label, name in configuration.baseline.items():
        found += filter(None, [unknown_key(BASELINE, f"{app_label}.{name}")])
    if getattr(settings, AUDIT, None) is not None:
        # Few projects have it, so that nothing is imported for it.
        from syzygy.audit import configuration as audit_configuration

        found += audit_configuration.problems()
    return found


def _read(found: list[Problem]) -> Configuration:
    """Read the settings, and add what makes no sense to ``found``."""
    third_party = getattr(settings, THIRD_PARTY_FALLBACK, Stage.PRE_DEPLOY)
    return Configuration(
        override=_read_stages(OVERRIDE, found),
        fallback=_read_stages(FALLBACK, found),
        third_party_fallback=(
            None
            if third_party is None
            else _read_stage(THIRD_PARTY_FALLBACK, "", third_party, found)
            or Stage.PRE_DEPLOY
        ),
        baseline=_read_baseline(found),
    )


def label_is_third_party(app_label: str) -> bool:
    """Whether that app is installed and a third party's."""
    app_config = apps.app_configs.get(app_label)
    return app_config is not None and is_third_party(app_config)


def is_swapped(label: str, setting: str) -> bool:
    """Whether a model is swapped out by the value of a setting."""
    value = getattr(settings, setting, None)
    return bool(value) and str(value).lower() != label.lower()


def _lock_problems() -> Iterator[Problem]:
    value = getattr(settings, LOCK, True)
    if not isinstance(value, bool):
        yield Problem(
            LOCK,
            f'The setting "{LOCK}" is {value!r}, which is neither True nor False.',
            "Make it False to do without the lock, or remove it.",
        )


def _misspelt() -> Iterator[Problem]:
    for name in dir(settings):
        if name.startswith(_PREFIXES) and name not in (*SETTINGS, OLD_QUORUM_BACKEND):
            likely = _most_similar(name, SETTINGS, cutoff=0)
            yield Problem(
                name,
                f'The setting "{name}" is unknown.',
                f'Rename it to "{likely}" or remove it.',
            )


def _read_stages(setting: str, found: list[Problem]) -> dict[str, Stage]:
    stages = {}
    for key, value in _read_mapping(setting, found):
        stage = _read_stage(setting, f" for {key!r}", value, found)
        if stage is not None:
            stages[key] = stage
    return stages


def _read_baseline(found: list[Problem]) -> dict[str, str]:
    baseline = {}
    for app_label, name in _read_mapping(BASELINE, found):
        if isinstance(name, str):
            baseline[app_label] = name
        else:
            found.append(
                Problem(
                    BASELINE,
                    f'The setting "{BASELINE}" has {name!r} for {app_label!r}, which '
                    "is no migration name.",
                    'Map app labels to migration names: {"blog": "0042_name"}.',
                )
            )
    return baseline


def _read_mapping(setting: str, found: list[Problem]) -> Iterator[tuple[str, Any]]:
    value = getattr(settings, setting, {})
    if not isinstance(value, Mapping):
        found.append(
            Problem(
                setting,
                f'The setting "{setting}" is no dictionary but {value!r}.',
                "Make it a dictionary that maps names to values.",
            )
        )
        return
    for key, item in value.items():
        if isinstance(key, str):
            yield key, item
        else:
            found.append(
                Problem(
                    setting,
                    f'The setting "{setting}" has the key {key!r}, which is no string.',
                    'Use app labels, or "app_label.migration_name".',
                )
            )


def _read_stage(
    setting: str, where: str, value: object, found: list[Problem]
) -> Stage | None:
    try:
        return value if isinstance(value, Stage) else Stage(value)
    except ValueError:
        found.append(
            Problem(
                setting,
                f'The setting "{setting}" has {value!r}{where}, which is no stage.',
                f"Use {_STAGES}.",
            )
        )
        return None


def unknown_key(setting: str, key: str) -> Problem | None:
    """What is wrong with a key that names no installed app, or no migration of it."""
    app_label, _, name = key.partition(".")
    known: Collection[str]
    if app_label not in apps.app_configs:
        wrong, kind, known = app_label, "app label", apps.app_configs
    elif key == app_label or (name and _has_migration(app_label, name)):
        return None
    else:
        try:
            folder = migration_folder(apps.get_app_config(app_label))
        except BadMigrationError:
            folder = None
        wrong, kind = name, f'migration of the app "{app_label}"'
        known = folder.names if folder else ()
    # Django's commands take the beginning of a name for it.
    begun = (name for name in known if wrong and name.startswith(wrong))
    likely = next(begun, None) or _likely_migration(wrong, known)
    likely = likely or _most_similar(wrong, known)
    return Problem(
        setting,
        f'The setting "{setting}" names {key!r}, but "{wrong}" is no {kind}.',
        f'Did you mean "{likely}"?' if likely else "Correct or remove it.",
    )


def _likely_migration(wrong: str, names: Collection[str]) -> str | None:
    """The migration of that name with another number, or else of that number.

    Many names differ in little but the number, and one that is too new says of too much
    that it is deployed.
    """
    number, _, rest = wrong.partition("_")
    if not number.isdecimal():
        return None
    same = [name for name in names if rest and name.partition("_")[2] == rest]
    near = [name for name in names if name.startswith(f"{number}_")]
    return _most_similar(wrong, same or near, 0)


def _has_migration(app_label: str, name: str) -> bool:
    try:
        return has_migration(apps.get_app_config(app_label), name)
    except BadMigrationError:
        return True  # Nobody can tell, and another check says why.


def _most_similar(word: str, words: Iterable[str], cutoff: float = 0.6) -> str | None:
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, words, 1, cutoff)), None)
