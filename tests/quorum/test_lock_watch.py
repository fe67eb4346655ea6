"""The lock of a database that is lost midway, without a server."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast
from unittest.mock import patch

import pytest
from django.core.management import CommandError
from django.db import InterfaceError, connection
from django.db.backends.utils import CursorWrapper
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

from syzygy import locking
from syzygy.locking import MigrationLock, PostgreSQLLock
from syzygy.management import lock_watch
from tests.graph_helpers import key, migration

A1, A2, B1 = (migration(name) for name in ("a.0001", "a.0002", "b.0001"))
SQUASHED = migration("b.0001_squashed", replaces="b.0001 b.0002")


class Lock(MigrationLock):
    """One that is lost, and taken again after so many pings."""

    def __init__(self) -> None:
        self.pings = 0
        self.is_there = True

    @property
    def is_taken(self) -> bool:
        return self.is_there and not self.pings

    def acquire(self) -> bool:
        raise NotImplementedError

    def release(self) -> None:
        raise NotImplementedError

    def holder(self) -> str:
        return ""

    def ping(self) -> None:
        self.pings = max(self.pings - 1, 0)


class Run:
    """An executor that applies or undoes a plan, and what the database has of it."""

    def __init__(self, *plan: Migration, backward: bool = False) -> None:
        self.connection = connection
        self.applied = {key(str(each)) for each in plan} if backward else set()
        self.told: list[str] = []
        self.progress_callback: Any = lambda action, *rest: self.told.append(action)
        self.lock = Lock()
        self.verb = "unapply" if backward else "apply"
        steps = [(each, backward) for each in plan]
        lock_watch.watch(cast("MigrationExecutor", self), self.lock, lambda: steps)

    def start(self, each: Migration) -> None:
        with patch.object(
            MigrationRecorder,
            "applied_migrations",
            lambda _: dict.fromkeys(self.applied),
        ):
            self.progress_callback(f"{self.verb}_start", each, False)

    def do(self, each: Migration) -> None:
        self.start(each)
        change = {key(str(each)), *each.replaces}
        (
            self.applied.update
            if self.verb == "apply"
            else self.applied.difference_update
        )(change)
        self.progress_callback(f"{self.verb}_success", each, False)


@pytest.mark.parametrize("backward", [False, True])
def test_goes_on_if_nobody_migrated(backward: bool) -> None:
    plan = (A1, SQUASHED, A2)
    run = Run(*plan, backward=backward)
    for each in plan:
        run.lock.was_lost = True
        run.do(each)
        assert not run.lock.was_lost
    assert run.told == [f"{run.verb}_start", f"{run.verb}_success"] * 3


@pytest.mark.parametrize(
    ("appears", "vanishes"),
    [
        ("a.0002", ""),
        # Not only what comes next.
        ("b.0001_squashed", ""),
        ("b.0001 b.0002", ""),
        ("", "a.0001"),
    ],
)
def test_goes_no_further_if_another_one_migrated(appears: str, vanishes: str) -> None:
    run = Run(A1, A2, SQUASHED)
    run.do(A1)
    run.applied |= {key(each) for each in appears.split()}
    run.applied -= {key(each) for each in vanishes.split()}
    run.lock.was_lost = True
    with pytest.raises(CommandError, match="has migrated it since") as caught:
        run.start(A2)
    assert '"a.0002" and what follows was left alone' in str(caught.value)
    assert run.told == ["apply_start", "apply_success"]


def test_session_that_takes_a_moment_to_end() -> None:
    run = Run(A1)
    run.lock.was_lost, run.lock.pings = True, 3
    with patch.object(lock_watch, "LOOK", 0):
        run.do(A1)
    run.lock.was_lost, run.lock.is_there = True, False
    with (
        patch.object(lock_watch, "LINGER", 0),
        pytest.raises(CommandError, match="couldn't be taken again"),
    ):
        run.start(A1)


class Session:
    """A connection of which each query does something."""

    def __init__(self, query: Any) -> None:
        self.query = query
        self.closed = threading.Event()

    def cursor(self) -> AbstractContextManager[CursorWrapper]:
        self.query()
        return nullcontext(cast("CursorWrapper", self))

    def execute(self, *args: object) -> None:
        pass

    def close(self) -> None:
        self.closed.set()


def lock_on(session: Session) -> PostgreSQLLock:
    lock = PostgreSQLLock(connection)
    with (
        patch.object(locking, "separate", lambda _: session),
        patch.object(lock, "_take", lambda _: True),
    ):
        assert lock.acquire()
    return lock


def test_server_that_does_not_answer_keeps_nobody_from_going() -> None:
    asked, answers = threading.Event(), threading.Event()

    def query() -> None:
        asked.set()
        assert answers.wait(60)

    session = Session(query)
    lock = lock_on(session)
    ticker = threading.Thread(target=lock.ping, daemon=True)
    ticker.start()
    assert asked.wait(60)
    release = threading.Thread(target=lock.release, daemon=True)
    with patch.object(locking, "TURN", 0.01):
        release.start()
        release.join(20)
    assert not release.is_alive()
    # No other thread closes what a query is running on.
    assert not session.closed.is_set()
    answers.set()
    ticker.join(60)
    assert session.closed.is_set()
    assert not lock.is_taken


def test_connection_that_is_no_good_is_lost() -> None:
    def query() -> None:
        raise InterfaceError("connection already closed")

    session = Session(query)
    lock = lock_on(session)
    with patch.object(lock, "_acquire", return_value=False):
        lock.ping()
    assert lock.was_lost
    assert not lock.is_taken
    assert session.closed.is_set()
    lock.release()
    assert not lock.was_lost
