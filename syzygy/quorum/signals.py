"""Learning in time that a process is to stop."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType

STOPPING = (signal.SIGTERM, signal.SIGINT)


class Terminated(KeyboardInterrupt):
    """SIGTERM: whatever copes with SIGINT, such as a database driver, does with it."""


@contextlib.contextmanager
def terminating() -> Iterator[None]:
    """Have SIGTERM raise :class:`Terminated`, so that there is time to tell others."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        # Somebody else has plans for it.
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


@contextlib.contextmanager
def watching(tell: Callable[[str], None]) -> Iterator[None]:
    """Call ``tell``, in a thread, with the name of a signal that stops the process.

    The main thread learns of a signal no sooner than a statement in a C library
    returns, which may take minutes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def watch() -> None:
        while numbers := reader.recv(16):
            for number in numbers:
                if number in STOPPING:
                    tell(signal.Signals(number).name)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    previous = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous)
        writer.close()
        thread.join(timeout=1)
        reader.close()
