"""What importing a project's migration modules costs by itself.

Run in the directory of a project of :mod:`project`. ``imports.py setup`` is a process
that gets as far as any management command does; ``imports.py migrations`` goes on to
import every migration module of the project's own apps, and does nothing else.
"""

import sys
from importlib import import_module
from pathlib import Path

import django


def main() -> None:
    sys.path[0] = str(Path.cwd())
    names = Path("migrations.txt").read_text(encoding="utf-8").split()
    django.setup()
    if sys.argv[1] == "migrations":
        for name in names:
            import_module(name)


if __name__ == "__main__":
    main()
