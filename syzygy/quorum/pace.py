"""How often a party reads and writes, so that many of them don't wear out the store."""

from __future__ import annotations

# Seconds between two reads, and between two signs of life: with what a party has in
# hand, at most five operations for each second of the first minute, and one later.
MINUTE = 60.0
READ, BEAT = 0.25, 3.0
READ_LATER, BEAT_LATER = 1.25, 6.0
# Between two reads while a round comes about; and while it runs, the more the longer it
# takes. Each is a part of the next.
HURRY = 0.03125
FOLLOW = (0.0625, 0.125, READ, READ_LATER)
# As the heart of the party that applies the plan beats.
HEARTBEAT = 1.0
# So many operations a party has in hand when it comes, beside those of its usual pace.
CREDIT = 35.0
USUAL = 1 / READ + 1 / BEAT


class Pace:
    """The pace of one party, which joined at the time given.

    By the clock on the wall, which is ``ahead`` of its own, all parties read at the
    same moments. So what one of them writes reaches the last of the others as soon as
    the first. A clock that is wrong costs that party a part of a second.
    """

    def __init__(self, now: float, ahead: float = 0.0) -> None:
        self._joined = now
        self._ahead = ahead
        self._spent = 0
        self._beat = now

    def spend(self, operations: int) -> None:
        """Count what the store was asked for."""
        self._spent += operations

    def pause(self, now: float, hurried_since: float | None) -> float:
        """Seconds until the next read.

        ``hurried_since`` is when a round began that runs, now if one is coming about.
        """
        every = self._interval(now, hurried_since)
        rest = every - (now + self._ahead) % every
        # Who wakes a little early doesn't read twice.
        return rest if rest > every / 10 else rest + every

    def must_beat(self, now: float, longest: float) -> bool:
        """Whether it is time for a sign of life, ``longest`` after the last."""
        every = BEAT if now - self._joined < MINUTE else BEAT_LATER
        if now - self._beat < min(every, longest):
            return False
        self._beat = now
        return True

    def _interval(self, now: float, hurried_since: float | None) -> float:
        waited = now - self._joined
        usual = READ if waited < MINUTE else READ_LATER
        if hurried_since is None or self._spent > self._allowed(waited):
            return usual
        if hurried_since == now:
            return HURRY
        longest = min((now - hurried_since) / 10, usual)
        return max((step for step in FOLLOW if step <= longest), default=FOLLOW[0])

    @staticmethod
    def _allowed(waited: float) -> float:
        return CREDIT + USUAL * min(waited, MINUTE) + max(waited - MINUTE, 0.0)
