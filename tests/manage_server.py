"""Runs ``manage.py`` in forks of a process that has imported Django.

Each run is a process of its own, with its own output, exit code and modules, but spares
the second that those imports take. Orders are lines of JSON on stdin, exit codes go to
stdout; they may be for another script beside "manage.py". Modules named on the command
line are imported as well.
"""

import fcntl
import gc
import json
import os
import runpy
import sys
import termios
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

# What Django imports for any command, and what its checks do.
COMMON = [
    "django.core.cache.backends.locmem",
    "django.core.management.commands.check",
    "django.core.management.commands.migrate",
    "django.db.migrations.writer",
    "django.db.models.sql.compiler",
    "django.template.defaultfilters",
    "django.template.defaulttags",
    "django.template.loader_tags",
    "django.urls",
    "django.views.csrf",
    "django.views.debug",
    "django.views.generic",
]


def run(order: dict[str, Any]) -> None:
    """Become the process that was ordered."""
    os.chdir(order["directory"])
    if terminal := order.get("terminal"):
        sit_at(terminal)
    else:
        write_to(order["stdout"], order["stderr"])
    script = order.get("script", "manage.py")
    sys.argv = [script, *order["arguments"]]
    sys.path[0] = order["directory"]
    runpy.run_path(script, run_name="__main__")


def write_to(stdout: str, stderr: str) -> None:
    for stream, path in ((0, os.devnull), (1, stdout), (2, stderr)):
        flags = os.O_RDONLY if stream == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(path, flags), stream)
    sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115


def sit_at(terminal: str) -> None:
    """Have a terminal be the one that talks to this process and sends it signals."""
    os.setsid()
    opened = os.open(terminal, os.O_RDWR)
    fcntl.ioctl(opened, termios.TIOCSCTTY, 0)
    for stream in range(3):
        os.dup2(opened, stream)
    sys.stdin = os.fdopen(0, encoding="utf-8")
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8")
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8")
    os.environ["TERM"] = "dumb"


def serve(run: Callable[[dict[str, Any]], None]) -> None:
    """Fork for each order, to become the process that was ordered."""
    # Else each fork frees, when it ends, what it shares with this process, and to do so
    # copies it: more work than most orders.
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(json.loads(line))
            return
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    for module in (*COMMON, *sys.argv[1:]):
        import_module(module)
    # The forks are as `environment` of the module "command_helpers" has it.
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    serve(run)
