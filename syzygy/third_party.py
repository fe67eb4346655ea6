"""Telling a third party's apps from the project's own."""

import functools
import os
import site
import sys

from django.apps import AppConfig


def is_third_party(app_config: AppConfig) -> bool:
    """Whether the app's files lie where this interpreter keeps installed packages.

    An editable install and a checkout below the interpreter's prefix are the project's
    own.
    """
    path = _real_path(app_config.path)
    return any(path.startswith(folder) for folder in _package_folders(tuple(sys.path)))


@functools.cache
def _package_folders(search_path: tuple[str, ...]) -> frozenset[str]:
    """The folders of installed packages, each with a separator at its end.

    Those of the interpreter and the user, and whatever else a virtual environment or
    Debian put on the path under one of the two usual names.
    """
    listed = [
        entry
        for entry in search_path
        if os.path.basename(entry.rstrip(os.sep)) in ("site-packages", "dist-packages")
    ]
    folders = {*site.getsitepackages(), site.getusersitepackages(), *listed}
    return frozenset(os.path.join(_real_folder(folder), "") for folder in folders)


def _real_path(path: str) -> str:
    """The path without symbolic links, at the cost of one look at the file system."""
    path = path.rstrip(os.sep)
    if os.path.islink(path):
        return os.path.realpath(path)
    folder, name = os.path.split(path)
    return os.path.join(_real_folder(folder), name)


# Most apps of a project share their folder.
_real_folder = functools.cache(os.path.realpath)
