"""The protocol of a quorum: what a party concludes from what the others wrote.

A party writes a record of its own and reads those of all, again and again. Nothing here
reads or writes, and time comes from outside, so that every order of events can be
tried.

A round comes about in three steps. A party that sees enough others proposes a round: a
fresh name, the ballot, and the members, all that it sees. Who is a member agrees. When
as many as are wanted have agreed, the proposer leads. As all of these were there before
the ballot had its name and did something after, they were alive at the same time: one
that died, and the one that was started in its stead, never count as two.

Two parties may come to lead at once, if what they read is old. Which of them applies
the plan is decided by the lock in the database, and what there is to do by the table of
applied migrations. Nothing that happens here can make a plan be applied twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from syzygy.quorum.records import Phase, Record, disagreement

# Seconds a ballot stays open: longer than the longest interval at which a party reads.
BALLOT = 3.0
# Seconds without a sign of life after which a waiting party counts as dead; it gives
# one at least every five. The one that applies the plan has a lease instead.
SILENCE = 15.0
# More than this doesn't pass between two reads of a party that isn't stopped.
GAP = 2.5

RUNNING = (Phase.LEADING, Phase.APPLYING)
OVER = (Phase.DONE, Phase.FAILED)
WANTING = (Phase.WAITING, *RUNNING)


class Call(Enum):
    """What a party concludes."""

    # The quorum is reached: try to take the lock.
    LEAD = "lead"
    # Perhaps the plan is applied: look, and go on if it isn't.
    LOOK = "look"
    # Another party applied the plan, or says so.
    DONE = "done"
    # It failed, or its heart stopped, or the parties disagree.
    DISSOLVED = "dissolved"
    TIMEOUT = "timeout"


@dataclass(frozen=True)
class Verdict:
    """A conclusion, and the reason where people want to know it."""

    call: Call
    reason: str = ""


@dataclass
class View:
    """What a party knows of another one. Times are those of its own clock."""

    record: Record
    changed: float
    # Whether it did something since this party looks: what was there before may be
    # left of a dead one.
    is_proven: bool
    ballot_seen: float
    # It didn't answer a ballot, and did nothing since.
    is_suspect: bool = False
    is_greeted: bool = False
    # Its record wasn't there at the last reading: it left, or the store forgot it.
    is_gone: bool = False
    is_looked_at: bool = False

    def update(self, record: Record, clock: float) -> None:
        """Take note of what the party wrote."""
        self.is_gone = False
        if record is self.record or record == self.record:
            return
        if record.ballot != self.record.ballot:
            self.ballot_seen = clock
        if record.phase is not self.record.phase:
            self.is_looked_at = False
        self.record, self.changed = record, clock
        self.is_proven, self.is_suspect = True, False


class Participant:
    """A party: its record, and what it knows of the others.

    ``lease`` is for how many seconds the heart of the party that applies the plan may
    be silent. ``deadline`` is when the gathering ends, on the clock that
    :meth:`observe` is given the time of.
    """

    def __init__(
        self,
        record: Record,
        *,
        lease: float,
        deadline: float,
        make_ballot: Callable[[], str],
        rest: tuple[str, ...] = (),
    ) -> None:
        self.record = record
        self.must_write = True
        self.views: dict[str, View] = {}
        self.followed_since = 0.0
        # Those who agreed to the round that this party proposes.
        self.agreed: set[str] = set()
        self._lease = lease
        self._deadline = deadline
        self._make_ballot = make_ballot
        self._rest = rest
        self._now = 0.0
        self._read_at: float | None = None
        # Seconds for which this party has watched: not those while it was stopped, or
        # while the store was away. Only then silence says something of the others.
        self._clock = 0.0
        self._ballot_at = 0.0
        self._leader = ""
        # Those that weren't silent for too long when it last read.
        self._alive: list[View] = []

    @property
    def is_hurried(self) -> bool:
        """Whether something is about to happen for which others wait."""
        is_waiting = self.record.phase is Phase.WAITING
        return bool(self.record.ballot) or not is_waiting or self._awaits_ballot()

    @property
    def present(self) -> list[Record]:
        """Those who wait for the same, itself included."""
        return [self.record, *(view.record for view in self._candidates())]

    @property
    def leader(self) -> Record | None:
        """The party that applies the plan, as far as this one knows."""
        view = self.views.get(self._leader)
        return view.record if view else None

    def beat(self) -> None:
        """Give a sign of life with the next write."""
        self._change(beat=self.record.beat + 1)

    def apply(self) -> None:
        """Take note that this party has the lock and applies the plan."""
        self._change(phase=Phase.APPLYING, rest=self._rest)

    def end(self, phase: Phase, detail: str = "") -> None:
        """Take note of how it ended, for the others."""
        self._change(phase=phase, detail=detail, beat=self.record.beat + 1)

    def skip(self, now: float) -> None:
        """Take note that nothing could be read."""
        self._read_at = now

    def garbage(self) -> Iterator[str]:
        """Those whose records nobody needs any more.

        They have been silent for long, or the round in which they ended is over, as
        this party leads another one. A follower that comes too late to read of the
        former sees in the database how it ended.
        """
        is_next = self.record.phase is Phase.LEADING
        longest = max(SILENCE, self._lease)
        for party, view in self.views.items():
            is_silent = self._clock - view.changed > longest
            is_over = view.record.phase in OVER and not view.is_proven
            if is_silent or (is_next and is_over):
                yield party

    def forget(self, parties: Iterable[str]) -> None:
        """Take note that their records were removed."""
        for party in parties:
            del self.views[party]

    def observe(self, now: float, records: Mapping[str, Record]) -> Verdict | None:
        """Conclude from what was read; ``now`` is when reading began.

        The first time it is called before this party's record is written.
        """
        is_first = self._read_at is None
        if self._read_at is not None:
            self._clock += min(max(now - self._read_at, 0.0), GAP, self._lease / 2)
        self._now = self._read_at = now
        for party, record in records.items():
            if party == self.record.party:
                continue
            if party in self.views:
                self.views[party].update(record, self._clock)
            else:
                self.views[party] = View(record, self._clock, not is_first, self._clock)
        self._lose(self.views.keys() - records.keys())
        self._alive = list(self._find_alive())
        if not is_first and self.record.party not in records:
            # Flushed, expired, or another one took its place.
            self.must_write = True
        if self.record.phase is Phase.WAITING:
            return self._wait()
        if self.record.phase is Phase.LEADING:
            return self._lead()
        if self.record.phase is Phase.FOLLOWING:
            return self._watch()
        return None

    def _lose(self, gone: Iterable[str]) -> None:
        """Take note of who is gone, and forget who doesn't come back."""
        for party in list(gone):
            self.views[party].is_gone = True
            if self._clock - self.views[party].changed > max(SILENCE, self._lease):
                del self.views[party]

    # ------------------------------------------------------------ waiting

    def _wait(self) -> Verdict | None:
        for view in self._others(WANTING):
            if not self._agrees(view.record) and (verdict := self._disagree(view)):
                return verdict
        for view in self._others(RUNNING):
            if view.is_proven:
                return self._follow(view)
        for view in self._others(OVER):
            if verdict := self._hear(view):
                return verdict
        self._agree()
        if self.record.ballot:
            return self._count()
        if self._awaits_ballot():
            return None
        if self._now >= self._deadline:
            return Verdict(Call.TIMEOUT)
        self._propose()
        return None

    def _hear(self, view: View) -> Verdict | None:
        """Consider how it ended for another one."""
        record = view.record
        if record.phase is Phase.FAILED:
            # Without a ballot it failed because the parties disagree.
            if view.is_proven and record.ballot in ("", self.record.ack):
                return Verdict(Call.DISSOLVED, record.detail)
        elif view.is_proven and not view.is_looked_at and self._agrees(record):
            view.is_looked_at = True
            return Verdict(Call.LOOK)
        return None

    def _disagree(self, view: View) -> Verdict | None:
        if view.is_proven:
            return Verdict(
                Call.DISSOLVED,
                f"The parties of the quorum disagree: "
                f"{disagreement(self.record, view.record)}.",
            )
        if not view.is_greeted:
            # Answer it: it can't know whether this party is alive, either.
            view.is_greeted = True
            self.beat()
        return None

    def _propose(self) -> None:
        candidates = [view.record.party for view in self._candidates()]
        if len(candidates) + 1 >= self.record.size:
            self._ballot_at = self._clock
            self.agreed = set()
            members = (self.record.party, *sorted(candidates))
            self._change(ballot=self._make_ballot(), members=members, ack="")

    def _agree(self) -> None:
        """Agree to the round that the first of the parties proposes."""
        proposals = [
            view
            for view in self._others([Phase.WAITING])
            if view.record.ballot
            and self.record.party in view.record.members
            and self._agrees(view.record)
            and self._clock - view.ballot_seen <= BALLOT
        ]
        if self.record.ballot:
            proposals = [v for v in proposals if v.record.party < self.record.party]
        if not proposals:
            return
        ballot = min(proposals, key=lambda view: view.record.party).record.ballot
        if ballot != self.record.ack and self._now < self._deadline:
            self._change(ballot="", members=(), ack=ballot)

    def _awaits_ballot(self) -> bool:
        """Whether a round to which this party agreed may come about yet."""
        return bool(self.record.ack) and any(
            view.record.ballot == self.record.ack
            and self._clock - view.ballot_seen <= BALLOT
            for view in self._others([Phase.WAITING])
        )

    def _count(self) -> Verdict | None:
        self.agreed |= {
            party
            for party, view in self.views.items()
            if view.record.ack == self.record.ballot
            and party in self.record.members
            and self._agrees(view.record)
        }
        if len(self.agreed) + 1 >= self.record.size:
            self._change(phase=Phase.LEADING, rest=self._rest)
            self.followed_since = self._now
            return Verdict(Call.LEAD)
        if self._clock - self._ballot_at > BALLOT:
            for party in set(self.record.members) & self.views.keys() - self.agreed:
                self.views[party].is_suspect = True
            self._change(ballot="", members=())
        return None

    # ------------------------------------------------------------ the round

    def _lead(self) -> Verdict | None:
        """Wait for the lock, unless another one has it for the same plan."""
        for view in self._others([Phase.APPLYING]):
            if view.is_proven and self._agrees(view.record):
                return self._follow(view)
        return Verdict(Call.LEAD)

    def _follow(self, view: View) -> Verdict | None:
        self._leader = view.record.party
        self.followed_since = self._now
        self._change(
            phase=Phase.FOLLOWING,
            ballot=view.record.ballot,
            members=(),
            ack="",
            rest=(),
        )
        return self._watch()

    def _watch(self) -> Verdict | None:
        view = self.views.get(self._leader)
        if view is not None and view.record.phase is Phase.DONE:
            return Verdict(Call.DONE, f"It was applied by {view.record}.")
        if view is not None and view.record.phase is Phase.FAILED:
            return Verdict(Call.DISSOLVED, view.record.detail)
        is_running = view is not None and view.record.phase in RUNNING
        if not is_running:
            # It found that another one applies the plan.
            for other in self._others(RUNNING):
                if other.is_proven and self._agrees(other.record):
                    self._leader = other.record.party
                    self._change(ballot=other.record.ballot)
                    return None
        if view is None or self._clock - view.changed > self._lease:
            who = view.record if view else "the party that was to apply the plan"
            return Verdict(
                Call.DISSOLVED,
                f"There was no sign of life of {who} for {self._lease:g} seconds.",
            )
        return None

    # ------------------------------------------------------------ the others

    def _others(self, phases: Collection[Phase]) -> list[View]:
        """Those in one of these phases that may be alive, or have ended lately."""
        return [view for view in self._alive if view.record.phase in phases]

    def _find_alive(self) -> Iterator[View]:
        for view in self.views.values():
            silence = self._clock - view.changed
            if silence == 0 or silence <= (
                self._lease if view.record.phase in RUNNING else SILENCE
            ):
                yield view

    def _candidates(self) -> list[View]:
        return [
            view
            for view in self._others([Phase.WAITING])
            if not (view.is_suspect or view.is_gone) and self._agrees(view.record)
        ]

    def _agrees(self, other: Record) -> bool:
        """Whether it wants the same, or applies what this one wants the rest of."""
        if other.size != self.record.size:
            return False
        return other.plan == self.record.plan or (
            other.phase is not Phase.WAITING and self.record.plan in other.rest
        )

    def _change(self, **values: object) -> None:
        self.record = replace(self.record, **values)  # type: ignore[arg-type]
        self.must_write = True
