"""How long the stage engine takes for a project's history, nothing else counted.

Run in the directory of a project of :mod:`project`, it writes the milliseconds per
1,000 migrations. Imports are over when the clock starts. It walks once: operations
remember things, so that a second time would be quicker than any command is.
"""

import sys
import time
from importlib import import_module
from pathlib import Path

import django
from django.db.migrations import Migration

from syzygy.history import History
from syzygy.stages import Policy, decide


def walk(migrations: list[Migration]) -> None:
    """Decide on the stages of the migrations, which come oldest first.

    The one place to change when the interface of the stage engine does.
    """
    history, policy = History(), Policy()
    for migration in migrations:
        decide(migration, history, policy)


def load() -> list[Migration]:
    """The project's migrations, oldest first."""
    migrations = []
    for name in Path("migrations.txt").read_text(encoding="utf-8").split():
        app_label, _, migration_name = name.split(".")
        migration: type[Migration] = import_module(name).Migration
        migrations.append(migration(migration_name, app_label))
    return migrations


def main() -> None:
    sys.path[0] = str(Path.cwd())
    django.setup()
    migrations = load()
    start = time.perf_counter()
    walk(migrations)
    seconds = time.perf_counter() - start
    sys.stdout.write(f"{seconds * 1000 / len(migrations) * 1000}\n")


if __name__ == "__main__":
    main()
