"""Signals that end a process, made exceptions, so that it doesn't just go.

What it made can be removed then, and those who wait for it can be told.
"""

from __future__ import annotations

import signal
import socket
import sys
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


def signal_of(error: KeyboardInterrupt) -> signal.Signals:
    """The signal that an exception comes of."""
    if isinstance(error, Terminated) and isinstance(error.code, int):
        return signal.Signals(error.code - 128)
    return signal.SIGINT


class Signals:
    """What comes of the signals while they are caught."""

    def __init__(self) -> None:
        self._is_held = False
        self._pending: Callable[[], Any] | None = None
        self._raised: KeyboardInterrupt | None = None

    def hold(self) -> None:
        """Hold a signal back from now on, until the end of what is ``held_back``."""
        self._is_held = True

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Let what is done here finish first, unless a second signal comes."""
        self.hold()
        try:
            yield
        finally:
            self._is_held = False
            pending, self._pending = self._pending, None
            if pending:
                pending()

    def insist(self) -> None:
        """Raise again what a signal raised, if that isn't what is on its way.

        Nothing becomes of it in a ``__del__()``, and an error of the database where
        that can't even undo what was interrupted.
        """
        on_its_way = isinstance(sys.exception(), (KeyboardInterrupt, GeneratorExit))
        if self._raised is not None and not on_its_way:
            # Not asked of the handler: it may do more when it is called a second time.
            raise self._raised

    def receive(self, react: Callable[[], Any]) -> None:
        """React to a signal, now or later."""
        if self._is_held and self._pending is None:
            self._pending = react
            return
        try:
            react()
        except KeyboardInterrupt as error:
            self._raised = error
            raise


@contextmanager
def catching() -> Iterator[Signals]:
    """Have SIGTERM and SIGHUP raise :class:`Terminated` in the main thread.

    SIGINT, and one that somebody else handles, does what it did, but may be held back
    as well. What is ignored, as SIGHUP is under ``nohup``, stays so. In other threads,
    where Python lets nobody, nothing is changed.
    """
    signals = Signals()
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            for number in _ending():
                _catch(number, signals, stack)
        yield signals


@contextmanager
def watching(tell: Callable[[str], None]) -> Iterator[None]:
    """Call ``tell``, in a thread, with the name of a signal that ends the process.

    The main thread learns of a signal no sooner than a statement in a C library
    returns, which may take minutes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    ending = _ending()

    def watch() -> None:
        while numbers := reader.recv(16):
            for number in numbers:
                if number in ending:
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


def _ending() -> list[signal.Signals]:
    """Not every system has all of them."""
    return [getattr(signal, name) for name in _ENDING if hasattr(signal, name)]


def _catch(number: signal.Signals, signals: Signals, stack: ExitStack) -> None:
    previous = signal.getsignal(number)
    # None was not installed by Python, which couldn't restore it.
    if previous in (None, signal.SIG_IGN):
        return

    def handle(received: int, frame: FrameType | None) -> None:
        def react() -> None:
            if callable(previous):
                previous(received, frame)
            elif number == signal.SIGINT:
                raise KeyboardInterrupt
            else:
                raise Terminated(128 + received)

        signals.receive(react)

    stack.callback(signal.signal, number, previous)
    signal.signal(number, handle)
