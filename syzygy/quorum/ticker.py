"""Doing something again and again beside the main thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType


class Ticker:
    """Calls a function every so many seconds, in a thread, until it is left.

    The function must not raise.
    """

    def __init__(self, interval: float, function: Callable[[], None]) -> None:
        self._interval = interval
        self._function = function
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            self._function()

    def __enter__(self) -> Ticker:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        # A function that hangs must not keep anybody from going.
        self._thread.join(timeout=1)
