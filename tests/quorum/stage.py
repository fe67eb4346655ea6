"""Sessions as they are, on stores as they are, of which one acts at a time.

Each session runs in a thread and stops before whatever others could see of it: a
question to the store, the lock, the migration. Then the next one goes on, and the clock
stands still until all of them sleep. So everything can be made to happen between any
two steps, and the same happens in each run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from syzygy.exceptions import QuorumDissolved
from syzygy.interrupts import Terminated
from syzygy.quorum import session as session_module
from syzygy.quorum.backends.base import RosterQuorum, StoreUnavailable
from syzygy.quorum.pace import HEARTBEAT
from syzygy.quorum.protocol import Participant
from syzygy.quorum.records import Record
from syzygy.quorum.session import Outcome, QuorumTimeout, Session
from syzygy.quorum.worker import Worker
from syzygy.quorum.world import Settings, Unknown

LEASE = 2.0
TIMEOUT = 40.0
APPLYING = 0.2

MakeStore = Callable[[], RosterQuorum]


class Killed(BaseException):
    """The process is not there any more."""


@dataclass
class Actor:
    """A party."""

    stage: Stage
    number: int
    size: int
    # What is to be raised in it at its next step.
    fate: BaseException | None = None
    result: str = ""
    ended: float = 0.0
    wakes: float = 0.0
    reason: str = ""
    said: list[str] = field(default_factory=list)
    beats: Callable[[], None] | None = None
    _goes: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._live, daemon=True)
        self.thread.start()

    def step(self) -> None:
        """Wait for its turn. Called in its thread."""
        if not isinstance(self.fate, Killed):
            self.stage.returned.release()
            self._goes.acquire()
        fate = self.fate
        if fate is not None:
            if not isinstance(fate, Killed):
                self.fate = None
            raise fate

    def go(self) -> None:
        """Let it do its next step. Called by the stage."""
        self._goes.release()
        self.stage.returned.acquire()

    def sleep(self, seconds: float) -> None:
        end = self.stage.now + seconds
        while self.stage.now < end:
            self.wakes = min(end, self.stage.now + HEARTBEAT)
            self.step()
            if self.beats:
                self.beats()

    def _live(self) -> None:
        self._goes.acquire()
        self.stage.local.actor = self
        try:
            self.result = self._run()
        except Killed:
            self.result = "killed"
        except QuorumDissolved as error:
            self.result, self.reason = "dissolved", str(error)
        except QuorumTimeout as error:
            self.result, self.reason = "timeout", str(error)
        except StoreUnavailable as error:
            self.result, self.reason = "unavailable", str(error)
        except (KeyboardInterrupt, RuntimeError) as error:
            self.result, self.reason = "failed", repr(error)
        except BaseException as error:  # noqa: BLE001 - it is raised in the test
            self.result, self.stage.error = "broken", error
        self.stage.unlock(self)
        self.ended = self.stage.now
        self.stage.returned.release()

    def _run(self) -> str:
        stage = self.stage
        if stage.is_applied:
            return "nothing"
        session = self._session()
        if session.gather() is Outcome.FOLLOWED:
            return "followed"
        with session.applying():
            # The lock is there now, so it is planned anew.
            self.step()
            if not stage.is_applied:
                self.sleep(APPLYING)
                if stage.fails:
                    raise RuntimeError("The disk is full")
                stage.commit(self)
            self.step()
        return "applied"

    def _session(self) -> Session:
        stage = self.stage
        store = stage.make_store()

        def ask(question: Callable[[RosterQuorum], Any], patience: float = 5.0) -> Any:
            del patience
            return question(store)

        record = Record(
            f"{self.number * 37 % 100:02}", "vm", self.number, self.size, "p", "plan p"
        )
        participant = Participant(
            record,
            lease=LEASE,
            deadline=stage.now + TIMEOUT,
            make_ballot=stage.make_ballot,
        )
        return Session(
            Settings("ns", TIMEOUT, LEASE),
            cast("Worker", SimpleNamespace(ask=ask)),
            participant,
            self,
            clock=lambda: stage.now,
        )

    # What a session needs

    def is_applied(self) -> bool:
        self.step()
        if self.stage.is_away:
            raise Unknown("The database is away")
        return self.stage.is_applied

    def is_known_applied(self) -> bool:
        with suppress(Unknown):
            return self.is_applied()
        return False

    def take_lock(self) -> bool | None:
        self.step()
        if not self.stage.has_lock:
            return None
        if self.stage.owner is None:
            self.stage.owner = self
        return self.stage.owner is self

    def lock_holder(self) -> str:
        return f"number {self.stage.owner.number}" if self.stage.owner else ""

    def is_idle(self) -> bool | None:
        return self.stage.owner is None

    def say(self, text: str) -> None:
        self.said.append(text)


class Stage:
    """Parties, their store, a database with a lock, and a clock."""

    def __init__(
        self, make_store: MakeStore, *, has_lock: bool = True, fails: bool = False
    ) -> None:
        self.make_store = make_store
        self.has_lock = has_lock
        self.fails = fails
        # Whether the database can't be asked.
        self.is_away = False
        self.now = 0.0
        self.steps = 0
        self.heartbeat = 0.0
        self.actors: list[Actor] = []
        self.owner: Actor | None = None
        self.commits: list[Actor] = []
        self.local = threading.local()
        self.returned = threading.Semaphore(0)
        self.error: BaseException | None = None
        self._ballots = 0

    @property
    def is_applied(self) -> bool:
        return bool(self.commits)

    def make_ballot(self) -> str:
        self._ballots += 1
        return str(self._ballots)

    def commit(self, actor: Actor) -> None:
        self.commits.append(actor)

    def unlock(self, actor: Actor) -> None:
        if self.owner is actor:
            self.owner = None

    def start(self, count: int, size: int = 0) -> list[Actor]:
        actors = [
            Actor(self, len(self.actors) + number, size or count)
            for number in range(count)
        ]
        for actor in actors:
            actor.wakes = self.now
        self.actors += actors
        return actors

    def step(self) -> None:
        """Stop the one whose turn it is before its next step. Called in its thread."""
        actor: Actor | None = getattr(self.local, "actor", None)
        if actor is not None:
            actor.step()

    def play(self, events: dict[int, Callable[[], object]] | None = None) -> int:
        """Let all of them come to their end; return how many steps it took.

        Before the step of a number the event of that number happens.
        """
        first, turn, events = self.steps, 0, dict(events or {})
        while playing := [actor for actor in self.actors if not actor.result]:
            if event := events.pop(self.steps - first, None):
                event()
            ready = [each for each in playing if each.wakes <= self.now]
            if not ready:
                self.now = min(each.wakes for each in playing)
                continue
            turn += 1
            self.steps += 1
            ready[turn % len(ready)].go()
            if self.error is not None:
                raise self.error
            assert self.now < 10 * TIMEOUT, "somebody hangs"
        return self.steps - first

    # What may happen

    def kill(self, actor: Actor) -> None:
        if not actor.result:
            actor.fate = Killed()
            actor.wakes = self.now
            self.unlock(actor)

    def terminate(self, actor: Actor) -> None:
        if not actor.result:
            actor.fate = Terminated(143)
            actor.wakes = self.now

    def pause(self, actor: Actor) -> None:
        actor.wakes = max(actor.wakes, self.now + 2 * LEASE)


@contextmanager
def simulated(stage_of: Callable[[], Stage]) -> Iterator[None]:
    """Have sessions sleep, and hearts beat, by the clock of the stage."""

    class Ticker:
        def __init__(self, interval: float, function: Callable[[], None]) -> None:
            stage_of().heartbeat = interval
            self._function = function

        def __enter__(self) -> None:
            self._actor: Actor = stage_of().local.actor
            self._actor.beats = self._function

        def __exit__(self, *details: object) -> None:
            self._actor.beats = None

    def sleep(seconds: float) -> None:
        stage_of().local.actor.sleep(seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session_module, "Ticker", Ticker)
        patch.setattr(session_module, "time", SimpleNamespace(sleep=sleep))
        yield
