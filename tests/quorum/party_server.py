"""Runs ``manage.py`` in forks of a process that has imported Django, many at once.

Orders are lines of JSON on stdin. For each the process number goes to stdout when it
starts, and its exit code when it ends, with the time on the clock that all processes
of a machine have in common.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import sys
import time
from importlib import import_module
from typing import Any

sys.path.insert(0, os.environ["SYZYGY_MANAGE_SERVER"])
manage_server = import_module("manage_server")

# What the parties of a quorum import.
OURS = [
    "pymemcache",
    "redis",
    "django_redis.cache",
    "django.core.cache.backends.db",
    "django.core.cache.backends.filebased",
    "django.core.cache.backends.memcached",
    "django.core.cache.backends.redis",
    "django.core.management.commands.makemigrations",
    "django.middleware.csrf",
    "django.utils.translation.reloader",
    "syzygy.apps",
    "syzygy.autodetector",
    "syzygy.checks",
    "syzygy.management.auditing",
    "syzygy.management.commands.makemigrations",
    "syzygy.management.commands.migrate",
    "syzygy.management.coordination",
    "syzygy.management.generation",
    "syzygy.progress",
    "syzygy.quorum.backends.cache",
    "syzygy.quorum.backends.database",
    "syzygy.quorum.configuration",
    "syzygy.quorum.identity",
    "syzygy.quorum.protocol",
    "syzygy.quorum.session",
    "syzygy.quorum.simple",
    "syzygy.quorum.worker",
]


def tell(**values: Any) -> None:
    os.write(1, (json.dumps(values) + "\n").encode())


def serve() -> None:
    """Fork for each order."""
    # As in tests/manage_server.py.
    gc.collect()
    gc.freeze()
    orders: dict[int, int] = {}
    unread = b""
    # Readable when a child ended.
    ended, end = os.pipe()
    for descriptor in (ended, end):
        os.set_blocking(descriptor, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(end)
    while True:
        readable, _, _ = select.select([0, ended], [], [])
        if ended in readable:
            os.read(ended, 65536)
            reap(orders)
        if 0 in readable:
            data = os.read(0, 65536)
            if not data:
                return
            *lines, unread = (unread + data).split(b"\n")
            for line in lines:
                order = json.loads(line)
                child = os.fork()
                if child == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    manage_server.run(order)
                    return
                orders[child] = order["number"]
                tell(number=order["number"], pid=child)


def reap(orders: dict[int, int]) -> None:
    """Tell which children have ended, and when."""
    with contextlib.suppress(ChildProcessError):
        while True:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                break
            code = os.waitstatus_to_exitcode(status)
            tell(number=orders.pop(child), code=code, ended=time.monotonic())


if __name__ == "__main__":
    for module in (*manage_server.COMMON, *OURS, *sys.argv[1:]):
        with contextlib.suppress(ImportError):
            import_module(module)
    # The files of a project change within one tick of the clock.
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    serve()
