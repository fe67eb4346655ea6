"""A party at work: it reads, concludes, writes and acts, until it leads or is done."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial

from syzygy.exceptions import QuorumDissolved
from syzygy.interrupts import signal_of, watching
from syzygy.messages import error_line, migrating, sentence
from syzygy.quorum.backends.base import RosterQuorum, StoreUnavailable
from syzygy.quorum.pace import BEAT_LATER, HEARTBEAT, MINUTE, Pace
from syzygy.quorum.protocol import RUNNING, Call, Participant, Verdict
from syzygy.quorum.records import Phase, Record, decode
from syzygy.quorum.ticker import Ticker
from syzygy.quorum.worker import Worker
from syzygy.quorum.world import Settings, Unknown, World

# A follower that hears nothing of the store looks into the database this often, and
# gives up after so many leases.
LOOK = 2.0
OUTAGE = 3
# So often a party that waits does, as somebody may migrate without a quorum; later it
# does so with less haste.
GLANCE, GLANCE_LATER = 10.0, 30.0
# Seconds in which what was written has to be readable, the first time.
ECHO = 3.0
# So often at least the heart beats in a lease.
BEATS = 4
# More than so many names are cut short.
NAMED = 10
# Seconds that a party takes to say that it goes.
FAREWELL = 2.0


class QuorumTimeout(Exception):
    """The quorum was not reached in time."""


class Outcome(Enum):
    """How a party comes out of it."""

    # It has the lock, and is to apply the plan.
    LEADS = "leads"
    # Another one applied the plan.
    FOLLOWED = "followed"


class Session:
    """One party in one gathering."""

    def __init__(
        self,
        settings: Settings,
        worker: Worker,
        participant: Participant,
        world: World,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._worker = worker
        self._participant = participant
        self._world = world
        self._clock = clock
        self._heartbeat = min(HEARTBEAT, settings.lease / BEATS)
        self._pace = Pace(clock(), settings.ahead)
        self._deadline = clock() + settings.timeout
        # What the texts mean that were read last.
        self._known: dict[str, Record | None] = {}
        self._said: object = None
        self._trouble = ""
        self._trouble_since = 0.0
        self._joined = self._looked = clock()
        self._has_claim = False
        # While the plan is applied, three threads have something to say.
        self._turns = threading.RLock()

    def gather(self) -> Outcome:
        """Return when this party leads or another one has applied the plan.

        Raises :class:`~syzygy.exceptions.QuorumDissolved`, :class:`QuorumTimeout`, or
        :class:`StoreUnavailable` if the store could never be asked.
        """
        try:
            outcome = self._enter()
            while outcome is None:
                outcome = self._turn()
                if outcome is not None:
                    break
                self._announce()
                time.sleep(self._pause())
        except BaseException as error:
            if self._participant.record.phase is not Phase.FAILED:
                self._leave(error)
            raise
        if outcome is Outcome.FOLLOWED:
            self._leave()
        return outcome

    @contextlib.contextmanager
    def leaving(self) -> Iterator[None]:
        """Let the others know if it ends while this party leads, wherever it is.

        A signal may come when it has gathered them and isn't ``applying`` yet.
        """
        try:
            yield
        except BaseException as error:
            if self._record.phase in RUNNING:
                self._end(Phase.FAILED, self._failure(error))
                self._disclaim()
            raise

    @contextlib.contextmanager
    def applying(self) -> Iterator[None]:
        """Let the others know that this party is alive, and in the end how it went."""
        with Ticker(self._heartbeat, self._beat), watching(self._interrupted):
            try:
                yield
            except BaseException as error:
                self._end(Phase.FAILED, self._failure(error))
                raise
            else:
                self._end(Phase.DONE)
            finally:
                self._disclaim()

    # ------------------------------------------------------------ gathering

    def _enter(self) -> Outcome | None:
        """Be there, and see that the store keeps what is written."""
        self._participant.observe(self._clock(), self._read())
        self._write()
        if self._world.is_applied():
            # Between the plan and here. Who applied it may be gone already.
            return Outcome.FOLLOWED
        written = self._clock()
        while self._participant.record.party not in self._read():
            if self._clock() - written > ECHO:
                raise StoreUnavailable("What is written there can't be read")
            time.sleep(0.2)
            # It may have been flushed just then.
            self._write()
        return None

    def _turn(self) -> Outcome | None:
        """Read once, and do what is to be done."""
        now = self._clock()
        try:
            verdict = self._participant.observe(now, self._read())
            self._keep(now)
        except StoreUnavailable as error:
            verdict = self._endure(now, error)
        else:
            if self._trouble:
                self._world.say("The store of the quorum can be reached again.")
            self._trouble = ""
        return self._act(verdict) if verdict else self._glance(now)

    def _glance(self, now: float) -> Outcome | None:
        """See now and then whether there is anything left to wait for."""
        if self._participant.record.phase is not Phase.WAITING:
            return None
        every = GLANCE if now - self._joined < MINUTE else GLANCE_LATER
        if now - self._looked < every:
            return None
        self._looked = now
        return Outcome.FOLLOWED if self._world.is_known_applied() else None

    def _act(self, verdict: Verdict) -> Outcome | None:
        if verdict.call is Call.LEAD:
            return self._take_lock()
        reason, doubt = verdict.reason, ""
        try:
            if self._world.is_applied():
                return Outcome.FOLLOWED
        except Unknown as error:
            if verdict.call is Call.DONE:
                raise
            # The store may be in the same database.
            doubt = "" if self._trouble else str(error)
        if verdict.call is Call.LOOK:
            return None
        if verdict.call is Call.TIMEOUT:
            raise QuorumTimeout(_joined(self._why_timeout(), doubt))
        if verdict.call is Call.DONE:
            reason += (
                " But the database that this party has doesn't hold it for applied."
            )
        elif self._participant.record.phase is Phase.WAITING:
            # Nobody leads who could tell the others.
            self._end(Phase.FAILED, reason)
        raise QuorumDissolved(_joined(reason, doubt))

    def _take_lock(self) -> Outcome | None:
        is_taken = self._world.take_lock()
        if is_taken is None:
            is_taken = self._claim()
            if not is_taken and self._is_cut_off(self._clock()):
                raise StoreUnavailable(self._trouble)
        if not is_taken:
            if not self._trouble:
                holder = self._world.lock_holder()
                self._say_once("locked", f"{self._there} {migrating(holder)}")
            return None
        self._world.say(f"{self._there} This process applies the plan.")
        self._participant.apply()
        # By now nobody has to hear of it.
        with contextlib.suppress(StoreUnavailable):
            self._write()
        return Outcome.LEADS

    def _claim(self) -> bool:
        try:
            self._has_claim = self._ask(
                lambda store: store.claim(self._settings.namespace, self._me)
            )
        except StoreUnavailable:
            return False
        return self._has_claim

    def _disclaim(self) -> None:
        if self._has_claim:
            self._has_claim = False
            with contextlib.suppress(StoreUnavailable):
                self._ask(
                    lambda store: store.disclaim(self._settings.namespace, self._me),
                    FAREWELL,
                )

    def _endure(self, now: float, error: StoreUnavailable) -> Verdict | None:
        """What to do while the store is away."""
        self._participant.skip(now)
        if not self._trouble:
            self._trouble_since = now
            self._world.say(f"{error}. Trying again.")
        self._trouble = str(error)
        if self._leads:
            return Verdict(Call.LEAD)
        if self._record.phase is not Phase.FOLLOWING:
            return Verdict(Call.TIMEOUT) if now >= self._deadline else None
        if self._is_cut_off(now):
            return Verdict(
                Call.DISSOLVED,
                f"{error}, for {now - self._trouble_since:.0f} seconds now, so nobody "
                f"knows how {self._participant.leader} fares.",
            )
        if now - self._looked > LOOK:
            self._looked = now
            return Verdict(Call.LOOK)
        return None

    def _is_cut_off(self, now: float) -> bool:
        away = now - self._trouble_since
        return bool(self._trouble) and away > OUTAGE * self._settings.lease

    def _keep(self, now: float) -> None:
        """Write if there is something to say, and tidy up after the dead."""
        # Those who follow it watch the heart of one that waits for the lock, too.
        if self._pace.must_beat(now, self._heartbeat if self._leads else BEAT_LATER):
            self._participant.beat()
        if self._participant.must_write:
            self._write()
        garbage = list(self._participant.garbage())
        for party in garbage:
            self._ask(partial(self._remove, party=party))
        self._participant.forget(garbage)

    def _pause(self) -> float:
        if self._trouble:
            return 0.5
        participant, now = self._participant, self._clock()
        since = None
        if participant.is_hurried:
            since = participant.followed_since or now
        pause = self._pace.pause(now, since)
        return min(pause, self._heartbeat) if self._leads else pause

    # ------------------------------------------------------------ the round

    def _beat(self) -> None:
        with self._turns:
            self._participant.beat()
            with contextlib.suppress(StoreUnavailable):
                self._write()
            if self._has_claim:
                self._claim()

    def _interrupted(self, name: str) -> None:
        self._end(Phase.FAILED, f"{self._record} got {name} while it applied the plan.")

    def _failure(self, error: BaseException) -> str:
        if isinstance(error, KeyboardInterrupt):
            name = signal_of(error).name
            return f"{self._record} got {name} while it applied the plan."
        return f"{self._record} failed to apply the plan: {error_line(error)}"

    def _end(self, phase: Phase, detail: str = "") -> None:
        with self._turns:
            self._participant.end(phase, _capitalized(detail))
            with contextlib.suppress(StoreUnavailable):
                self._write(FAREWELL)

    def _leave(self, error: BaseException | None = None) -> None:
        """Leave no trace, but with those who follow, the reason."""
        if self._participant.record.phase in RUNNING:
            why = f"{self._record} gave up before it had the lock"
            if isinstance(error, KeyboardInterrupt):
                why += f": it got {signal_of(error).name}"
            elif error is not None:
                why += f": {error_line(error)}"
            self._end(Phase.FAILED, sentence(why))
            self._disclaim()
            return
        with contextlib.suppress(StoreUnavailable):
            self._ask(partial(self._remove, party=self._me), FAREWELL)

    # ------------------------------------------------------------ the store

    @property
    def _me(self) -> str:
        return self._participant.record.party

    @property
    def _leads(self) -> bool:
        """Whether it is to apply the plan, and waits for the lock."""
        return self._record.phase is Phase.LEADING

    @property
    def _record(self) -> Record:
        return self._participant.record

    def _ask(
        self, question: Callable[[RosterQuorum], object], patience: float | None = None
    ) -> bool:
        self._pace.spend(1)
        if patience is None:
            return bool(self._worker.ask(question))
        return bool(self._worker.ask(question, patience))

    def _remove(self, store: RosterQuorum, party: str) -> None:
        store.remove(self._settings.namespace, party)

    def _read(self) -> dict[str, Record]:
        self._pace.spend(1)
        size = self._record.size
        texts = self._worker.ask(
            lambda store: store.read(self._settings.namespace, size)
        )
        known, self._known = self._known, {}
        for text in texts.values():
            # Most of them are as they were.
            self._known[text] = known[text] if text in known else decode(text)
        found = {party: self._known[text] for party, text in texts.items()}
        return {party: record for party, record in found.items() if record}

    def _write(self, patience: float | None = None) -> None:
        record = self._record
        self._participant.must_write = False
        try:
            self._ask(
                lambda store: store.write(
                    self._settings.namespace, record.size, record.party, record.encode()
                ),
                patience,
            )
        except StoreUnavailable:
            self._participant.must_write = True
            raise

    # ------------------------------------------------------------ people

    def _announce(self) -> None:
        """Say what this party waits for, if it changed."""
        record = self._record
        if record.phase is Phase.FOLLOWING:
            leader = self._participant.leader
            self._say_once(
                ("following", leader and leader.party),
                f"{self._there} {_capitalized(str(leader))} applies the plan.",
            )
        elif record.phase is Phase.WAITING:
            present = self._participant.present
            missing = max(record.size - len(present), 0)
            if missing:
                left = max(self._deadline - self._clock(), 0)
                self._say_once(
                    frozenset(each.party for each in present),
                    f"Waiting for {missing} of {record.size} parties, for "
                    f"{left:.0f} seconds yet. {_here(present)}",
                )

    def _say_once(self, what: object, text: str) -> None:
        if what != self._said:
            self._said = what
            self._world.say(text)

    @property
    def _there(self) -> str:
        return f"The quorum of {self._record.size} is there."

    def _why_timeout(self) -> str:
        present = self._participant.present
        why = (
            f"Only {len(present)} of {self._record.size} parties came within "
            f"{self._settings.timeout:g} seconds. {_here(present)}"
        )
        return _joined(why, self._trouble)


def _here(present: list[Record]) -> str:
    me, *others = present
    names = [f"{me} (this one)", *map(str, others)]
    if len(names) > NAMED:
        names[NAMED - 1 :] = [f"{len(names) - NAMED + 1} more"]
    return f"{_capitalized(', '.join(names))} came."


def _joined(text: str, more: str) -> str:
    """Sentences, of which the second may be none."""
    return f"{sentence(text)} {sentence(more)}" if more else text


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]
