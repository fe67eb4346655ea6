"""A gathering with a backend that can do no more than join, poll and sever."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from syzygy.exceptions import QuorumDissolved
from syzygy.interrupts import watching
from syzygy.messages import error_line, migrating
from syzygy.quorum.backends.base import QuorumBase, StoreUnavailable
from syzygy.quorum.session import Outcome, QuorumTimeout
from syzygy.quorum.world import Settings, World

POLL = 0.5
# Between two looks into the database: a connection is made for each.
LOOK = 1.0
# Seconds that the party which leads may take until it has the lock.
START = 10.0
# And until it has it when somebody else gave it back: it tries every half a second.
GRACE = 3.0


class SimpleSession:
    """A party of a gathering of which nobody knows who takes part.

    That the party which leads has died is noticed by its lock being free. A party that
    gives up dissolves the round for all, as it can't be told from the others.
    """

    def __init__(
        self,
        settings: Settings,
        backend: QuorumBase,
        size: int,
        world: World,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._backend = backend
        self._size = size
        self._world = world
        self._clock = clock
        self._deadline = clock() + settings.timeout
        self._free_since: float | None = None
        # And nobody was told yet how it went.
        self._leads = False

    def gather(self) -> Outcome:
        """Return when this party leads or another one has applied the plan.

        Raises :class:`~syzygy.exceptions.QuorumDissolved`, :class:`QuorumTimeout`, or
        :class:`StoreUnavailable` if the backend fails.
        """
        try:
            leads = self._call(self._backend.join)
        except KeyboardInterrupt:
            # It may have joined all the same.
            self._sever()
            raise
        try:
            if leads:
                return self._take_lock()
            return self._wait()
        except QuorumDissolved:
            raise
        except BaseException:
            self._sever()
            raise

    @contextlib.contextmanager
    def leaving(self) -> Iterator[None]:
        """Dissolve the round if it ends while this party leads, wherever it is.

        A signal may come when it has the lock and isn't ``applying`` yet.
        """
        try:
            yield
        except BaseException:
            if self._leads:
                self._sever()
            raise

    @contextlib.contextmanager
    def applying(self) -> Iterator[None]:
        """Dissolve the round if it fails. That it is done is seen in the database."""
        with watching(lambda name: self._sever()):
            try:
                yield
                self._leads = False
            except BaseException:
                self._sever()
                raise

    def _take_lock(self) -> Outcome:
        self._leads = True
        is_said = False
        while self._world.take_lock() is False:
            if not is_said:
                self._world.say(migrating(self._world.lock_holder()))
            is_said = True
            time.sleep(POLL)
        return Outcome.LEADS

    def _wait(self) -> Outcome:
        self._world.say(
            f"Waiting for a quorum of {self._size}, for {self._settings.timeout:g} "
            "seconds."
        )
        complete_since, looked = None, self._clock()
        while True:
            try:
                is_complete = self._call(self._backend.poll)
            except QuorumDissolved:
                if self._world.is_applied():
                    return Outcome.FOLLOWED
                raise
            now = self._clock()
            if now - looked >= LOOK:
                looked = now
                if self._world.is_applied():
                    return Outcome.FOLLOWED
            if is_complete and complete_since is None:
                complete_since = now
                self._world.say("The quorum is there. Another party applies the plan.")
            if complete_since is None and now >= self._deadline:
                raise QuorumTimeout(
                    f"The quorum of {self._size} was not there within "
                    f"{self._settings.timeout:g} seconds."
                )
            if complete_since is not None and now - complete_since > START:
                self._look_for_leader(now)
            time.sleep(POLL)

    def _look_for_leader(self, now: float) -> None:
        is_free = self._world.is_idle()
        if is_free is None:
            is_free = now >= self._deadline
        if not is_free:
            self._free_since = None
            return
        self._free_since = self._free_since or now
        # The one that leads may have waited for the lock, and take it any moment.
        if now - self._free_since > GRACE and not self._world.is_applied():
            raise QuorumDissolved("The party that was to apply the plan is gone.")

    def _sever(self) -> None:
        self._leads = False
        with contextlib.suppress(StoreUnavailable, QuorumDissolved):
            self._call(self._backend.sever)

    def _call(self, method: Callable[[str, int], bool | None]) -> bool:
        try:
            return bool(method(self._settings.namespace, self._size))
        except QuorumDissolved:
            raise
        except Exception as error:
            # Every backend has its own.
            raise StoreUnavailable(
                f"The backend of the quorum failed: {error_line(error)}"
            ) from error
