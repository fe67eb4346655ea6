"""What surrounds a party of a quorum."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Unknown(Exception):
    """The database can't be asked what is applied."""


class World(Protocol):
    """What a party needs beside the store."""

    def is_applied(self) -> bool:
        """Whether the database holds the plan for applied.

        Raises :class:`Unknown` if it can't be asked, after some attempts.
        """

    def is_known_applied(self) -> bool:
        """The same; no if the database can't be asked at the moment."""

    def take_lock(self) -> bool | None:
        """Whether the lock could be taken; ``None`` if it is turned off."""

    def lock_holder(self) -> str:
        """Who has it, for people; nothing if that can't be told."""

    def is_idle(self) -> bool | None:
        """Whether nobody has the lock; ``None`` if it is turned off."""

    def say(self, text: str) -> None:
        """Tell people."""


class Settings(NamedTuple):
    """What a session is about.

    ``ahead`` is what the clock on the wall is ahead of the session's own.
    """

    namespace: str
    timeout: float
    lease: float
    ahead: float = 0.0
