"""How often a party reads and writes, so that many of them don't wear out the store."""

from __future__ import annotations

# Seconds between two reads, and between two signs of life: with what a party has in
# hand, at most five operations for each second of the first minute, and one later.
MINUTE = 60.0
READ, BEAT = 0.25, 2.0
READ_LATER, BEAT_LATER = 1.3, 5.0
# Between two reads while a round comes about or runs; more if it takes longer.
HURRY = 0.04
# As the heart of the party that applies the plan beats.
HEARTBEAT = 1.0
# So many operations a party has in hand when it comes, beside those of its usual pace.
CREDIT = 25.0
USUAL = 1 / READ + 1 / BEAT


class Pace:
    """The pace of one party, which joined at the time given."""

    def __init__(self, now: float) -> None:
        self._joined = now
        self._spent = 0
        self._beat = now

    def spend(self, operations: int) -> None:
        """Count what the store was asked for."""
        self._spent += operations

    def pause(self, now: float, hurried_since: float | None) -> float:
        """Seconds until the next read."""
        waited = now - self._joined
        usual = READ if waited < MINUTE else READ_LATER
        if hurried_since is None or self._spent > self._allowed(waited):
            return usual
        return min(usual, max(HURRY, (now - hurried_since) / 10))

    def must_beat(self, now: float) -> bool:
        """Whether it is time for a sign of life."""
        every = BEAT if now - self._joined < MINUTE else BEAT_LATER
        if now - self._beat < every:
            return False
        self._beat = now
        return True

    @staticmethod
    def _allowed(waited: float) -> float:
        return CREDIT + USUAL * min(waited, MINUTE) + max(waited - MINUTE, 0.0)
