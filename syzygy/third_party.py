"""Telling a third party's apps from the project's own."""

import functools
import site
import sys
import sysconfig
from pathlib import Path

from django.apps import AppConfig


def is_third_party(app_config: AppConfig) -> bool:
    """Whether the app's files lie where this interpreter keeps installed packages.

    An editable install and a checkout below the interpreter's prefix are the project's
    own.
    """
    path = _resolve(app_config.path)
    return any(path.is_relative_to(folder) for folder in _package_folders())


def _package_folders() -> frozenset[Path]:
    return _resolve_all((*_installation_folders(), *_listed_folders()))


def _listed_folders() -> tuple[str, ...]:
    """What a virtual environment, a user or Debian put on the path of this process."""
    return tuple(
        entry
        for entry in sys.path
        if Path(entry).name in ("site-packages", "dist-packages")
    )


@functools.cache
def _installation_folders() -> tuple[str, ...]:
    schemes = sysconfig.get_paths()
    return (
        schemes["purelib"],
        schemes["platlib"],
        *site.getsitepackages(),
        site.getusersitepackages(),
    )


@functools.cache
def _resolve_all(folders: tuple[str, ...]) -> frozenset[Path]:
    return frozenset(_resolve(folder) for folder in folders)


@functools.cache
def _resolve(path: str) -> Path:
    return Path(path).resolve()
