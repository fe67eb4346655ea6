"""Signals that end a process, made exceptions, so that what was made is removed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")


class Terminated(SystemExit, KeyboardInterrupt):
    """The process was told to end; its exit code says by which signal.

    It is a ``KeyboardInterrupt``, too: psycopg cancels what the server is at for that.
    """


class Signals:
    """What comes of the signals while they are caught."""

    def __init__(self) -> None:
        self._is_held = False
        self._pending: Callable[[], Any] | None = None

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Let what is done here finish first, unless a second signal comes."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
            pending, self._pending = self._pending, None
            if pending:
                pending()

    def receive(self, react: Callable[[], Any]) -> None:
        """React to a signal, now or later."""
        if self._is_held and self._pending is None:
            self._pending = react
        else:
            react()


@contextmanager
def catching() -> Iterator[Signals]:
    """Have SIGTERM and SIGHUP raise :class:`Terminated` in the main thread.

    SIGINT does what it did, but may be held back as well. What is ignored, as SIGHUP is
    under ``nohup``, stays so. In other threads, where Python lets nobody, nothing is
    changed.
    """
    signals = Signals()
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            for name in _ENDING:
                if number := getattr(signal, name, None):
                    _catch(number, signals, stack)
        yield signals


def _catch(number: signal.Signals, signals: Signals, stack: ExitStack) -> None:
    previous = signal.getsignal(number)
    # None was not installed by Python, which couldn't restore it.
    if previous in (None, signal.SIG_IGN):
        return

    def handle(received: int, frame: FrameType | None) -> None:
        def react() -> None:
            if number != signal.SIGINT:
                raise Terminated(128 + received)
            if not callable(previous):
                raise KeyboardInterrupt
            previous(received, frame)

        signals.receive(react)

    stack.callback(signal.signal, number, previous)
    signal.signal(number, handle)
