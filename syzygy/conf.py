"""Reading the settings: what they say, and what is wrong with them."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from syzygy.constants import Stage
from syzygy.disk import migration_folder
from syzygy.graph import MigrationKey
from syzygy.stages import Policy
from syzygy.third_party import is_third_party

OVERRIDE = "MIGRATION_STAGES_OVERRIDE"
FALLBACK = "MIGRATION_STAGES_FALLBACK"
THIRD_PARTY_FALLBACK = "MIGRATION_THIRD_PARTY_STAGES_FALLBACK"
BASELINE = "MIGRATION_STAGES_BASELINE"

SETTINGS = (OVERRIDE, FALLBACK, THIRD_PARTY_FALLBACK, BASELINE)
_PREFIXES = ("MIGRATION_STAGES", "MIGRATION_THIRD_PARTY")
_STAGES = 'Stage.PRE_DEPLOY, Stage.POST_DEPLOY, "pre_deploy" or "post_deploy"'


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a setting, and what to do about it."""

    setting: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the settings say; what is wrong with them is left out of it."""

    override: Mapping[str, Stage] = field(default_factory=dict)
    fallback: Mapping[str, Stage] = field(default_factory=dict)
    third_party_fallback: Stage | None = Stage.PRE_DEPLOY
    baseline: Mapping[str, str] = field(default_factory=dict)

    def policy(self, baseline: Collection[MigrationKey]) -> Policy:
        """The rules of precedence, given all migrations that predate adoption."""
        return Policy(
            override=self.override,
            fallback=self.fallback,
            third_party_fallback=self.third_party_fallback,
            is_third_party=label_is_third_party,
            baseline=baseline,
        )


def read() -> Configuration:
    """The settings, as they are now.

    Raises :class:`ImproperlyConfigured` if something is wrong with them.
    """
    configuration, problems = inspect()
    for problem in problems:
        raise ImproperlyConfigured(f"{problem.message} {problem.hint}")
    return configuration


def inspect() -> tuple[Configuration, list[Problem]]:
    """What the settings say as far as they make sense, and what doesn't."""
    problems = list(_misspelt())
    third_party = getattr(settings, THIRD_PARTY_FALLBACK, Stage.PRE_DEPLOY)
    configuration = Configuration(
        override=_read_stages(OVERRIDE, problems),
        fallback=_read_stages(FALLBACK, problems),
        third_party_fallback=(
            None
            if third_party is None
            else _read_stage(THIRD_PARTY_FALLBACK, "", third_party, problems)
        ),
        baseline=_read_baseline(problems),
    )
    return configuration, problems


def label_is_third_party(app_label: str) -> bool:
    """Whether that installed app is a third party's."""
    return is_third_party(apps.get_app_config(app_label))


def is_swapped(label: str, setting: str) -> bool:
    """Whether a model is swapped out by the value of a setting."""
    value = getattr(settings, setting, None)
    return bool(value) and str(value).lower() != label.lower()


def _misspelt() -> Iterator[Problem]:
    for name in dir(settings):
        if name.startswith(_PREFIXES) and name not in SETTINGS:
            likely = difflib.get_close_matches(name, SETTINGS, 1, 0)[0]
            yield Problem(
                name,
                f'The setting "{name}" is unknown.',
                f'Rename it to "{likely}" or remove it.',
            )


def _read_stages(setting: str, problems: list[Problem]) -> dict[str, Stage]:
    stages = {}
    for key, value in _read_mapping(setting, problems):
        stage = _read_stage(setting, f" for {key!r}", value, problems)
        if _is_known_key(setting, key, problems) and stage is not None:
            stages[key] = stage
    return stages


def _read_baseline(problems: list[Problem]) -> dict[str, str]:
    baseline = {}
    for app_label, name in _read_mapping(BASELINE, problems):
        if isinstance(name, str):
            if _is_known_key(BASELINE, f"{app_label}.{name}", problems):
                baseline[app_label] = name
        else:
            problems.append(
                Problem(
                    BASELINE,
                    f'The setting "{BASELINE}" has {name!r} for {app_label!r}, which '
                    "is no migration name.",
                    'Map app labels to migration names: {"blog": "0042_name"}.',
                )
            )
    return baseline


def _read_mapping(setting: str, problems: list[Problem]) -> Iterable[tuple[Any, Any]]:
    value = getattr(settings, setting, {})
    if isinstance(value, Mapping):
        return value.items()
    problems.append(
        Problem(
            setting,
            f'The setting "{setting}" is no dictionary but {value!r}.',
            "Make it a dictionary that maps names to values.",
        )
    )
    return ()


def _read_stage(
    setting: str, where: str, value: object, problems: list[Problem]
) -> Stage | None:
    try:
        return value if isinstance(value, Stage) else Stage(value)
    except ValueError:
        problems.append(
            Problem(
                setting,
                f'The setting "{setting}" has {value!r}{where}, which is no stage.',
                f"Use {_STAGES}.",
            )
        )
        return None


def _is_known_key(setting: str, key: object, problems: list[Problem]) -> bool:
    """Whether a key names an installed app, or one of its migrations."""
    app_label, _, name = str(key).partition(".")
    if not isinstance(key, str) or app_label not in apps.app_configs:
        known: Iterable[str] = apps.app_configs
        wrong, kind = app_label, "app label"
    else:
        folder = migration_folder(apps.get_app_config(app_label)) if name else None
        known = folder.names if folder else ()
        if not name or name in known:
            return True
        wrong, kind = name, f'migration of the app "{app_label}"'
    likely = difflib.get_close_matches(wrong, known, 1)
    problems.append(
        Problem(
            setting,
            f'The setting "{setting}" names {key!r}, but "{wrong}" is no {kind}.',
            f'Did you mean "{likely[0]}"?' if likely else "Correct or remove it.",
        )
    )
    return False
