"""A world of parties in which everything may go wrong, and time stands still.

Parties read and write in single steps, which a test orders as it likes. The store may
forget, writes may arrive late, and a party may act on what it read long ago.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from syzygy.quorum.pace import HEARTBEAT
from syzygy.quorum.protocol import Call, Participant, Verdict
from syzygy.quorum.records import Phase, Record

LEASE = 4.0
TIMEOUT = 30.0
TICK = 0.25


@dataclass
class Sim:
    """A process."""

    participant: Participant
    born: float
    died: float | None = None
    is_paused: bool = False
    snapshot: tuple[float, dict[str, Record]] | None = None
    # What became of it: "applied", "followed", "failed", "timeout".
    result: str = ""
    is_elected: bool = False
    has_lock: bool = False
    agreed_at: dict[str, float] = field(default_factory=dict)
    beat_at: float = 0.0
    reason: str = ""

    @property
    def name(self) -> str:
        return self.participant.record.party

    @property
    def is_active(self) -> bool:
        return self.died is None and not self.result and not self.is_paused


class World:
    """Processes, a store, a database with a lock, and a clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.store: dict[str, Record] = {}
        self.late: list[tuple[str, Record | None]] = []
        self.sims: dict[str, Sim] = {}
        self.applied: set[str] = set()
        self.applications: list[tuple[str, str]] = []
        self.lock: str | None = None
        self.ballots: dict[str, float] = {}
        self.is_late = False
        self.leaders = 0

    # ------------------------------------------------------------ events

    def start(self, size: int, plan: str = "p", rest: tuple[str, ...] = ()) -> Sim:
        number = len(self.sims)
        # Names in random order, but the same in each run.
        name = f"{random.Random(number).randrange(100):02}-{number}"
        record = Record(name, "host", number, size, plan, f"plan {plan}")
        sim = Sim(
            Participant(
                record,
                lease=LEASE,
                deadline=self.now + TIMEOUT,
                make_ballot=lambda: self._ballot(name),
                rest=rest,
            ),
            self.now,
        )
        self.sims[name] = sim
        if plan in self.applied:
            sim.result = "followed"
            return sim
        self.read(sim)
        self.act(sim)
        if not sim.result and plan in self.applied:
            self._leave(sim, "followed")
        return sim

    def _ballot(self, name: str) -> str:
        ballot = f"{name}/{len(self.ballots)}"
        self.ballots[ballot] = self.now
        return ballot

    def read(self, sim: Sim) -> None:
        sim.snapshot = (self.now, self._records(sim))

    def act(self, sim: Sim) -> None:
        """Conclude from what it read, write, and do what follows."""
        if sim.snapshot is None:
            return
        (when, records), sim.snapshot = sim.snapshot, None
        verdict = sim.participant.observe(when, records)
        if self.now - sim.beat_at >= (HEARTBEAT if sim.has_lock else 2.0):
            sim.beat_at = self.now
            sim.participant.beat()
        if sim.participant.must_write:
            self._write(sim)
        for party in list(sim.participant.garbage()):
            self._remove(sim, party)
            sim.participant.forget([party])
        if verdict is not None:
            self._obey(sim, verdict)

    def finish(self, sim: Sim, is_well: bool) -> None:
        """Have the party that applies the plan end."""
        assert sim.has_lock
        plan = sim.participant.record.plan
        if is_well:
            if plan not in self.applied:
                self.applied.add(plan)
                self.applications.append((plan, sim.name))
            sim.participant.end(Phase.DONE)
        else:
            sim.participant.end(Phase.FAILED, "it failed")
        self._write(sim)
        sim.result = "applied" if is_well else "failed"
        self._unlock(sim)

    def kill(self, sim: Sim) -> None:
        sim.died = self.now
        self._unlock(sim)

    def flush(self) -> None:
        self.store.clear()

    def deliver(self) -> None:
        for name, record in self.late:
            if record is None:
                self.store.pop(name, None)
            else:
                self.store[name] = record
        self.late.clear()

    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    # ------------------------------------------------------------ the store

    def _records(self, sim: Sim) -> dict[str, Record]:
        return dict(self.store)

    def _keep(self, sim: Sim) -> None:
        self.store[sim.name] = sim.participant.record

    def _remove(self, sim: Sim, party: str) -> None:
        self.store.pop(party, None)

    # ------------------------------------------------------------ what follows

    def _obey(self, sim: Sim, verdict: Verdict) -> None:
        plan = sim.participant.record.plan
        if verdict.call is Call.LEAD:
            self._check_leader(sim)
            sim.is_elected = True
            if self.lock is None:
                self.leaders += 1
                self.lock, sim.has_lock = sim.name, True
                sim.participant.apply()
                self._write(sim)
        elif plan in self.applied:
            self._leave(sim, "followed")
        elif verdict.call is not Call.LOOK:
            sim.reason = verdict.reason
            if (
                verdict.call is Call.DISSOLVED
                and sim.participant.record.phase is Phase.WAITING
            ):
                sim.participant.end(Phase.FAILED, verdict.reason)
                self._write(sim)
                sim.result = "failed"
            else:
                is_late = verdict.call is Call.TIMEOUT
                self._leave(sim, "timeout" if is_late else "failed")

    def _check_leader(self, sim: Sim) -> None:
        """It leads enough parties, all of which were alive at the same moment."""
        record = sim.participant.record
        began = self.ballots[record.ballot]
        counted = {sim.name, *sim.participant.agreed}
        assert len(counted) >= record.size
        for name in counted:
            other = self.sims[name]
            assert other.born <= began, "counted before it was there"
            assert other.died is None or other.died >= began, "counted a dead party"
            wanted = other.participant.record
            assert (wanted.size, wanted.plan) == (record.size, record.plan)

    def _leave(self, sim: Sim, result: str) -> None:
        sim.result = result
        if self.is_late:
            self.late.append((sim.name, None))
        else:
            self._remove(sim, sim.name)

    def _write(self, sim: Sim) -> None:
        sim.participant.must_write = False
        if self.is_late:
            self.late.append((sim.name, sim.participant.record))
        else:
            self._keep(sim)

    def _unlock(self, sim: Sim) -> None:
        sim.has_lock = False
        if self.lock == sim.name:
            self.lock = None

    # ------------------------------------------------------------ fair runs

    @property
    def active(self) -> Iterator[Sim]:
        return (sim for sim in list(self.sims.values()) if sim.is_active)

    def settle(self, seconds: float, applying: float = 1.0) -> None:
        """Let all that are alive run for a time, as they should."""
        self.is_late = False
        self.deliver()
        since: dict[str, float] = {}
        end = self.now + seconds
        while self.now < end and any(self.active):
            for sim in self.active:
                self.read(sim)
                self.act(sim)
                if sim.has_lock:
                    began = since.setdefault(sim.name, self.now)
                    if self.now - began >= applying:
                        self.finish(sim, is_well=True)
            self.pass_time(TICK)


def results(sims: list[Sim]) -> list[str]:
    return sorted(sim.result for sim in sims)


def elect(world: World, size: int, seed: int) -> list[Sim]:
    """Let parties come and act in any order, on what they read a while ago or now."""
    order = random.Random(seed)
    sims: list[Sim] = []
    while len(sims) < size or any(world.active):
        for _ in range(order.choice([size // 5, size])):
            if len(sims) < size:
                sims.append(world.start(size))
        for step in (world.read, world.act):
            active = list(world.active)
            order.shuffle(active)
            for sim in active:
                if order.random() < 0.9:
                    step(sim)
        for sim in [sim for sim in world.active if sim.has_lock]:
            if order.random() < 0.5:
                world.finish(sim, is_well=True)
        world.pass_time(TICK)
    return sims
