"""Servers that the benchmarks of the quorum start for themselves."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

COMMANDS = {
    "redis": ("redis-server", "--save", "", "--port"),
    "memcached": ("memcached", "-u", "nobody", "-l", "127.0.0.1", "-p"),
}
# Seconds that one may take to start, and between two looks.
PATIENCE, LOOK = 30.0, 0.05


@contextmanager
def serving(store: str) -> Iterator[int]:
    """Start the server of a store, if it has one, and give the port for it.

    Raises :class:`SystemExit` if it doesn't listen there in time.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    if store not in COMMANDS:
        yield port
        return
    program, *options = COMMANDS[store]
    command = [shutil.which(program) or program, *options, str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            _wait_for(port, program)
            yield port
        finally:
            server.terminate()


def _wait_for(port: int, program: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise SystemExit(f"{program} did not start.") from None
            time.sleep(LOOK)
        else:
            return
