"""Telling people how far something is that may take hours.

An operation of a migration knows neither the command that runs it nor how much that may
say. The command puts up a listener for as long as it runs; without one nothing is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

Say: TypeAlias = Callable[[str], None]

# Of what is told of one thing at most one line in so many seconds.
EVERY = 5.0

_listener: ContextVar[Say | None] = ContextVar("syzygy_progress", default=None)


@contextmanager
def telling(say: Say) -> Iterator[None]:
    """Have ``say`` called with each line that is told meanwhile in this context."""
    token = _listener.set(say)
    try:
        yield
    finally:
        _listener.reset(token)


def listener() -> Say | None:
    """Who listens, if anybody does."""
    return _listener.get()


class Progress:
    """Tells how many rows are done, how fast, and how long the rest takes.

    ``total`` is how many there are when it begins. More may come.
    """

    def __init__(
        self,
        subject: str,
        total: int,
        say: Say,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._subject = subject
        self._total = total
        self._say = say
        self._clock = clock
        self._done = 0
        self._start = self._told = clock()
        self._has_told = False

    def advance(self, rows: int) -> None:
        """Note that so many more rows are done."""
        self._done += rows
        now = self._clock()
        if now - self._told < EVERY:
            return
        self._told = now
        rate = self._done / (now - self._start)
        left = max(self._total - self._done, 0) / rate
        total = max(self._total, self._done)
        self._tell(
            f"{self._done:,} of {total:,} rows, {rate:,.0f} a second, "
            f"{duration(left)} left"
        )

    def finish(self) -> None:
        """Tell what has been done, if anything has."""
        if self._done:
            rows = "row" if self._done == 1 else "rows"
            took = duration(self._clock() - self._start)
            self._tell(f"{self._done:,} {rows} in {took}")

    def _tell(self, text: str) -> None:
        if not self._has_told:
            # Django leaves the line on which it names the migration open.
            self._say("")
            self._has_told = True
        self._say(f"    {self._subject}: {text}")


def duration(seconds: float) -> str:
    """A time in the two largest of its units.

    >>> duration(3.7), duration(75), duration(7322)
    ('4 s', '1 min 15 s', '2 h 2 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min"
