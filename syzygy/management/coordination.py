"""One ``migrate`` among others: the lock, and the quorum with ``--quorum``."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder
from django.db.utils import OperationalError

from syzygy import conf
from syzygy.exceptions import QuorumDissolved
from syzygy.locking import (
    PING,
    LockUnavailable,
    MigrationLock,
    holding,
    is_shut,
    lock_for,
)
from syzygy.management.executor import StalePlan
from syzygy.management.reaching import impatience, stoppable
from syzygy.messages import error_text, migrating, sentence

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.migrations.executor import MigrationExecutor

    from syzygy.quorum.backends.base import QuorumBase
    from syzygy.quorum.session import Session
    from syzygy.quorum.simple import SimpleSession
    from syzygy.staging import Plan

EXIT_TIMEOUT = 3
EXIT_DISSOLVED = 4

# Seconds that parties gather, unless --quorum-timeout says otherwise.
TIMEOUT = 600.0
# Between two attempts to take the lock: each needs a connection.
RETRY = 0.5
# A database may be away, a SQLite file locked, for a moment.
ATTEMPTS = 5


class Followed(Exception):
    """Another party applied the plan: there is nothing left to do."""


class Order:
    """What the command line and the settings say about it."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Read them.

        Raises :class:`CommandError` for a number that makes no sense.
        """
        self.size = _read_size(options.get("quorum"))
        self.timeout = _read_timeout(options.get("quorum_timeout"))
        self.locks = not options.get("no_migration_lock") and conf.locks()
        self.applies = not (
            options.get("plan")
            or options.get("check_unapplied")
            or options.get("prune")
        )
        self.is_quorum = self.applies and self.size > 1
        # Tables may be made without a plan, by whoever finds that they are missing.
        self.syncs = bool(options.get("run_syncdb"))
        self.flags = " ".join(
            f"--{name.replace('_', '-')}"
            for name in ("fake", "fake_initial", "run_syncdb")
            if options.get(name)
        )


class Coordinator:
    """Sees to it that a plan is applied once. To be left when the command is done."""

    def __init__(self, order: Order, say: Callable[[str], None]) -> None:
        """Make the backend, if it is going to be needed.

        Raises :class:`~django.core.exceptions.ImproperlyConfigured` if that fails.
        """
        self.say = say
        self._order = order
        self._stack = contextlib.ExitStack()
        self._is_settled = False
        self._executor: MigrationExecutor | None = None
        self._plan: Plan = []
        self._lock: MigrationLock | None = None
        if order.is_quorum:
            from syzygy.quorum.configuration import make_backend

            self._backend: QuorumBase | None = make_backend()
        else:
            self._backend = None

    @property
    def is_quorum(self) -> bool:
        """Whether there is anybody to wait for."""
        return self._backend is not None

    def __enter__(self) -> Coordinator:
        if self._backend is not None:
            from syzygy.interrupts import catching

            self._signals = self._stack.enter_context(catching())
        return self

    def __exit__(self, *details: Any) -> None:
        self._stack.__exit__(*details)

    def agree(self, executor: MigrationExecutor, plan: Plan) -> Plan:
        """Return the plan when it is this process that is to apply it.

        Raises :class:`Followed` when another one did, :class:`StalePlan` if there may
        be less to do by now, and :class:`CommandError`.
        """
        if self._is_settled or not self._order.applies:
            if executor is self._executor:
                # Made anew, after something was applied.
                self._plan = plan
            return plan
        self._executor, self._plan = executor, plan
        self._lock = lock_for(executor.connection) if self._order.locks else None
        try:
            if not plan and not self._order.syncs:
                self._wait_for_idleness()
                return plan
            # From here on it is seen to that nobody else migrates.
            self._stack.enter_context(impatience(executor.connection))
            if self._backend is None or not plan:
                self._wait_for_lock()
            else:
                self._gather()
        except LockUnavailable as error:
            raise CommandError(
                "The lock that keeps two processes from migrating at once can't be "
                f"taken: {error}. Correct that, or, if you know that nobody else "
                "migrates, do without it: --no-migration-lock."
            ) from error
        self._is_settled = True
        if plan:
            self._see_what_is_left()
        return plan

    # ------------------------------------------------------------ the lock

    def take_lock(self) -> bool | None:
        """Whether the lock could be taken; ``None`` if there is none."""
        if self._lock is None:
            return None
        if not self._try(self._lock):
            return False
        from syzygy.management.lock_watch import watch
        from syzygy.quorum.ticker import Ticker

        self._stack.callback(self._lock.release)
        self._stack.enter_context(holding(self._connection.alias))
        self._stack.enter_context(Ticker(PING, self._lock.ping))
        executor = cast("MigrationExecutor", self._executor)
        watch(executor, self._lock, lambda: self._plan)
        return True

    def lock_holder(self) -> str:
        """Who has the lock, for people; nothing if that can't be told."""
        return self._lock.holder() if self._lock else ""

    def is_idle(self) -> bool | None:
        """Whether nobody has the lock; ``None`` if there is none."""
        if self._lock is None:
            return None
        is_idle = self._try(self._lock)
        self._lock.release()
        return is_idle

    @staticmethod
    def _try(lock: MigrationLock) -> bool:
        """Take the lock if nobody has it.

        Who has waited for long doesn't give up because of a connection that fails once.
        """
        attempts = 0
        while True:
            try:
                return lock.acquire()
            except LockUnavailable as error:
                attempts += 1
                is_away = isinstance(error.__cause__, OperationalError)
                if attempts == ATTEMPTS or not is_away:
                    raise
                time.sleep(0.2 * attempts)

    def _wait_for_lock(self) -> None:
        with stoppable():
            if self.take_lock() is not False:
                return
            self.say(migrating(self.lock_holder()))
            self._close_connections()
            while self.take_lock() is False:
                time.sleep(RETRY)

    def _wait_for_idleness(self) -> None:
        """Who comes late lets the one that applied the plan finish its signals."""
        if self._backend is None or self.is_idle() is not False:
            return
        deadline = time.monotonic() + self._order.timeout
        self.say("All is applied, by a process that isn't done yet. Waiting for it.")
        while self.is_idle() is False and time.monotonic() < deadline:
            time.sleep(RETRY)

    def _see_what_is_left(self) -> None:
        """Plan anew if something was applied since the plan was made."""
        if self._executor is None:
            return
        recorder = MigrationRecorder(self._connection)
        if set(recorder.applied_migrations()) != set(
            self._executor.loader.applied_migrations
        ):
            raise StalePlan

    # ------------------------------------------------------------ the quorum

    def is_applied(self) -> bool:
        """Whether the database holds the whole plan for applied, or for undone.

        Raises :class:`~syzygy.quorum.world.Unknown` if it can't be asked.
        """
        from syzygy.quorum.world import Unknown

        attempts = 0
        while True:
            try:
                return self._is_applied()
            except OperationalError as error:
                # One that migrates a SQLite file lets others read it when it is done.
                attempts += not is_shut(self._connection)
                if attempts >= ATTEMPTS:
                    raise Unknown(
                        "The database can't be asked what is applied: "
                        f"{error_text(error)}"
                    ) from error
                time.sleep(0.2 * attempts or RETRY)

    def is_known_applied(self) -> bool:
        """The same; no if the database can't be asked at the moment."""
        with contextlib.suppress(OperationalError):
            return self._is_applied()
        return False

    def _is_applied(self) -> bool:
        from syzygy.management.lock_watch import is_there

        try:
            applied = set(MigrationRecorder(self._connection).applied_migrations())
        finally:
            self._close_connections()
        return not any(
            is_there(migration, applied) == backward
            for migration, backward in self._plan
        )

    def _gather(self) -> None:
        from syzygy.quorum.backends.base import StoreUnavailable
        from syzygy.quorum.session import Outcome, QuorumTimeout
        from syzygy.quorum.world import Unknown

        session = self._make_session()
        self._stack.enter_context(session.leaving())
        self._close_connections()
        # One that comes during an import may be lost.
        self._signals.insist()
        try:
            outcome = session.gather()
        except QuorumDissolved as error:
            raise CommandError(str(error), returncode=EXIT_DISSOLVED) from error
        except QuorumTimeout as error:
            raise CommandError(str(error), returncode=EXIT_TIMEOUT) from error
        except (StoreUnavailable, Unknown) as error:
            raise CommandError(sentence(str(error))) from error
        if outcome is Outcome.FOLLOWED:
            raise Followed
        self._stack.enter_context(session.applying())

    def _make_session(self) -> Session | SimpleSession:
        from syzygy.quorum.backends.base import RosterQuorum
        from syzygy.quorum.configuration import make_backend
        from syzygy.quorum.identity import namespace
        from syzygy.quorum.protocol import Participant
        from syzygy.quorum.records import (
            Record,
            describe_plan,
            digest,
            digests_of_rest,
        )
        from syzygy.quorum.session import Session
        from syzygy.quorum.worker import Worker
        from syzygy.quorum.world import Settings

        order, plan = self._order, self._plan
        backend = self._backend or make_backend()
        connection = self._connection
        place = namespace(connection)
        if not isinstance(backend, RosterQuorum):
            from syzygy.quorum.simple import SimpleSession

            place = f"{place} {digest(plan, order.flags)}"
            return SimpleSession(
                Settings(place, order.timeout, 0), backend, order.size, self
            )
        backend.bind(connection)

        def make_store() -> RosterQuorum:
            # Of the same class, unless the settings change meanwhile.
            store = cast("RosterQuorum", make_backend())
            store.bind(connection)
            return store

        worker = Worker(make_store)
        self._stack.callback(worker.close)
        record = Record(
            party=uuid.uuid4().hex,
            host=socket.gethostname(),
            pid=os.getpid(),
            size=order.size,
            plan=digest(plan, order.flags),
            wants=describe_plan(plan, order.flags),
        )
        participant = Participant(
            record,
            lease=backend.lease,
            deadline=time.monotonic() + order.timeout,
            make_ballot=lambda: uuid.uuid4().hex[:12],
            rest=digests_of_rest(plan, order.flags),
        )
        ahead = time.time() - time.monotonic()
        return Session(
            Settings(place, order.timeout, backend.lease, ahead),
            worker,
            participant,
            self,
        )

    # ------------------------------------------------------------ connections

    @property
    def _connection(self) -> BaseDatabaseWrapper:
        return cast("MigrationExecutor", self._executor).connection

    def _close_connections(self) -> None:
        """Hold none while waiting; the database may have few to give."""
        for connection in connections.all(initialized_only=True):
            if not connection.in_atomic_block:
                connection.close()
                # PostgreSQL's may keep some to hand out later.
                getattr(connection, "close_pool", lambda: None)()


def foresee(options: Mapping[str, Any]) -> None:
    """See that a quorum may come about, as far as nobody has to be asked.

    Raises :class:`CommandError` with one line for people, before Django's checks say
    the same in many.
    """
    if options.get("quorum") is None:
        return
    try:
        if Order(options).is_quorum:
            from syzygy.quorum.configuration import make_backend

            make_backend()
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error


@contextlib.contextmanager
def coordinating(
    options: Mapping[str, Any], say: Callable[[str], None]
) -> Iterator[Coordinator]:
    """Coordinate what is done inside; if another process did it, that is all right.

    Raises :class:`CommandError` for whatever a person can get wrong, and for a quorum
    that fails.
    """
    coordinator = Coordinator(Order(options), say)
    if coordinator.is_quorum:
        _end_quickly()
    try:
        with (
            stoppable() if coordinator.is_quorum else contextlib.nullcontext(),
            coordinator,
        ):
            yield coordinator
    except Followed:
        say("Another process applied the plan.")


def _end_quickly() -> None:
    """Don't look for garbage when the interpreter ends.

    That takes a fifth of a second of CPU time for a Django project of no size, more
    than all else that a party does after the plan is applied, and on one machine all
    parties do it at the same time.
    """
    freeze = getattr(gc, "freeze", None)  # PyPy has nothing of the kind.
    if freeze is not None:
        atexit.unregister(freeze)
        atexit.register(freeze)


def _read_size(value: object) -> int:
    if value is None:
        return 1
    try:
        size = int(str(value))
    except ValueError:
        size = 0
    if size < 1:
        raise CommandError(
            f"--quorum is {str(value)!r}. It has to be how many parties are to come, a "
            "whole number from 1 on.",
            returncode=2,
        )
    return size


def _read_timeout(value: object) -> float:
    if value is None:
        return TIMEOUT
    try:
        timeout = float(str(value))
    except ValueError:
        timeout = 0.0
    if not 0 < timeout < float("inf"):
        raise CommandError(
            f"--quorum-timeout is {str(value)!r}. It has to be a number of seconds, "
            "more than 0.",
            returncode=2,
        )
    return timeout
