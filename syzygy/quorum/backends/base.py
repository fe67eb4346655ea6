"""What a backend of the quorum has to do."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator

from django.core.checks import CheckMessage
from django.db.backends.base.base import BaseDatabaseWrapper

from syzygy.exceptions import QuorumDissolved

# Seconds for which the heart of the party that applies the plan may be silent.
LEASE = 10.0


class StoreUnavailable(Exception):
    """The store can't be asked at the moment, or never."""


class QuorumBase(ABC):
    """The least that a backend has to do.

    A namespace stands for something on which several parties, in processes of their
    own, want to start together. A round of it is complete when as many have joined as
    are wanted. Once it is complete or dissolved, the next to join begins another one.
    """

    @abstractmethod
    def join(self, namespace: str, quorum: int) -> bool:
        """Join the round; return ``True`` to the one party that completes it."""

    @abstractmethod
    def poll(self, namespace: str, quorum: int) -> bool:
        """Whether the round that this party joined is complete.

        Raises :class:`~syzygy.exceptions.QuorumDissolved` if it was dissolved.
        """

    @abstractmethod
    def sever(self, namespace: str, quorum: int) -> None:
        """Dissolve the round that this party joined, complete or not."""

    def check(self) -> Iterator[CheckMessage]:
        """System checks of this backend; they must not ask a server."""
        yield from ()


class RosterQuorum(QuorumBase):
    """A backend that keeps a record for each party, and shows them all to each.

    With this it is seen who is there, who is alive and who wants something else. What
    the records say is none of its business: they are text, of a few hundred characters
    usually. A record may get lost at any time. The party that wrote it writes it again,
    with every sign of life that it gives.

    An instance is used by one thread at a time. All methods raise
    :class:`StoreUnavailable` if the store can't be asked; they are called again then.

    ``lease`` is an option of every backend: for how many seconds the heart of the party
    that applies the plan may be silent until the others take it for dead.
    """

    def __init__(self, *, lease: float = LEASE) -> None:
        if not _is_positive(lease):
            raise ValueError(f'"lease" has to be a positive number, not {lease!r}.')
        self.lease = float(lease)
        self._rounds: dict[str, tuple[int, int]] = {}

    def bind(self, connection: BaseDatabaseWrapper) -> None:
        """Learn which database is to be migrated.

        Raises :class:`~django.core.exceptions.ImproperlyConfigured` if this backend
        can't be used for that one.
        """

    @abstractmethod
    def read(self, namespace: str, size: int) -> dict[str, str]:
        """The records of all parties; ``size`` is how many are expected."""

    @abstractmethod
    def write(self, namespace: str, size: int, party: str, record: str) -> None:
        """Keep the record of a party, in place of the one before.

        Called after :meth:`read`, by one party alone.
        """

    @abstractmethod
    def remove(self, namespace: str, party: str) -> None:
        """Forget the record of a party that :meth:`read` has shown, if it is there."""

    @abstractmethod
    def claim(self, namespace: str, party: str) -> bool:
        """Keep the claim of a party if there is no other; return whether it is its own.

        It stands in for the lock in the database where that one is turned off, and is
        repeated until :meth:`disclaim`. One that a dead party left has to go in time.
        """

    @abstractmethod
    def disclaim(self, namespace: str, party: str) -> None:
        """Forget the claim of that party."""

    @abstractmethod
    def count(self, namespace: str, name: str, step: int) -> int:
        """Add to a counter, which begins with 0, and return what it is then.

        However many do so at once, no two of them get the same if ``step`` is 1.
        """

    @abstractmethod
    def close(self) -> None:
        """Close connections. Raises nothing."""

    def join(self, namespace: str, quorum: int) -> bool:
        """Join the round; return ``True`` to the one party that completes it."""
        if quorum < 1:
            raise ValueError(f"A quorum has to be at least 1, not {quorum}.")
        severed = self.count(namespace, "severed", 0)
        joined = self.count(namespace, f"joined-{severed}", 1)
        self._rounds[namespace] = severed, (joined - 1) // quorum + 1
        return joined % quorum == 0

    def poll(self, namespace: str, quorum: int) -> bool:
        """Whether the round that this party joined is complete.

        Raises :class:`~syzygy.exceptions.QuorumDissolved` if it was dissolved.
        """
        severed, number = self._round(namespace)
        if self.count(namespace, "severed", 0) != severed:
            raise QuorumDissolved(f'The quorum "{namespace}" was dissolved.')
        return self.count(namespace, f"joined-{severed}", 0) >= number * quorum

    def sever(self, namespace: str, quorum: int) -> None:
        """Dissolve the round that this party joined, complete or not."""
        severed, _ = self._round(namespace)
        if self.count(namespace, "severed", 0) == severed:
            self.count(namespace, "severed", 1)

    def _round(self, namespace: str) -> tuple[int, int]:
        """Which round it joined; the present one if none."""
        if namespace not in self._rounds:
            self._rounds[namespace] = self.count(namespace, "severed", 0), 1
        return self._rounds[namespace]


def key(namespace: str) -> str:
    """A namespace as something that every store takes for a key."""
    return hashlib.sha1(namespace.encode(), usedforsecurity=False).hexdigest()


def _is_positive(value: object) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 < float(value) < float("inf")  # type: ignore[arg-type]
