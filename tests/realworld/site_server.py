"""Runs scripts of sites in forks of a process that has set up all of Wagtail.

As :mod:`tests.manage_server`, for a project in the directory that is named on the
command line. Each fork has the apps of that project, less Syzygy if the site goes
without it, and the site's settings and databases.
"""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parent.parent)
manage_server = import_module("manage_server")


def run(order: dict[str, Any]) -> None:
    """Become the process that was ordered."""
    from django.apps import apps
    from django.conf import settings
    from django.core.checks.registry import registry
    from django.db import connections

    os.chdir(order["directory"])
    sys.path[0] = order["directory"]
    # Wagtail has added to the settings what else it needs.
    del sys.modules["settings"]
    for name, value in vars(import_module("settings")).items():
        if name.isupper():
            setattr(settings, name, value)
    if "syzygy" not in settings.INSTALLED_APPS:
        del apps.app_configs["syzygy"]
        apps.clear_cache()
        for check in [*registry.registered_checks]:
            if check.__module__.startswith("syzygy."):
                registry.registered_checks.remove(check)
    for connection in connections.all(initialized_only=True):
        assert connection.connection is None, "Two processes would share it."
        del connections[connection.alias]
    connections._settings = None
    del connections.settings
    manage_server.run(order)


if __name__ == "__main__":
    import django

    project = sys.argv[1]
    os.chdir(project)
    sys.path[0] = project
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    django.setup()
    for module in manage_server.COMMON:
        import_module(module)
    # To look for garbage less often spares a sixth of a migration's CPU time, and takes
    # 20 MiB.
    gc.set_threshold(100_000, 20, 100)
    manage_server.serve(run)
