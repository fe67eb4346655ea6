"""Runs ``manage.py`` in forks of a process that has imported Django, many at once.

Orders are lines of JSON on stdin. For each the process number goes to stdout when it
starts, and its exit code when it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
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
    "syzygy.management.coordination",
    "syzygy.quorum.backends.cache",
    "syzygy.quorum.backends.database",
    "syzygy.quorum.protocol",
    "syzygy.quorum.session",
    "syzygy.quorum.simple",
    "syzygy.quorum.worker",
]


def tell(**values: Any) -> None:
    os.write(1, (json.dumps(values) + "\n").encode())


def serve() -> None:
    """Fork for each order."""
    orders: dict[int, int] = {}
    unread = b""
    while True:
        readable, _, _ = select.select([0], [], [], 0.01)
        if readable:
            data = os.read(0, 65536)
            if not data:
                return
            *lines, unread = (unread + data).split(b"\n")
            for line in lines:
                order = json.loads(line)
                child = os.fork()
                if child == 0:
                    manage_server.run(order)
                    return
                orders[child] = order["number"]
                tell(number=order["number"], pid=child)
        with contextlib.suppress(ChildProcessError):
            while True:
                child, status = os.waitpid(-1, os.WNOHANG)
                if child == 0:
                    break
                code = os.waitstatus_to_exitcode(status)
                tell(number=orders.pop(child), code=code)


if __name__ == "__main__":
    for module in (*manage_server.COMMON, *OURS, *sys.argv[1:]):
        with contextlib.suppress(ImportError):
            import_module(module)
    serve()
