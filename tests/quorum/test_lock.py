"""The lock of the database, and who does without it and without a quorum."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import StringIO
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from django.core.files import locks
from django.core.management import CommandError
from django.db import OperationalError as DatabaseAway
from django.db import connection, connections
from django.db.migrations.recorder import MigrationRecorder

from syzygy.locking import (
    LockUnavailable,
    PostgreSQLLock,
    SQLiteLock,
    lock_for,
    sqlite_file,
)
from syzygy.management import reaching
from syzygy.management.reaching import impatience, patience
from tests.command_helpers import ADD, source
from tests.quorum.conftest import ONE, StartServer
from tests.quorum.helpers import HOOK, Clusters, assert_all, wait_until
from tests.services import UNDER_TEST

pytest_plugins = ["tests.command_fixtures"]


def test_one_after_another(clusters: Clusters) -> None:
    clusters.hold()
    first = clusters.start()
    clusters.wait_for_held()
    second = clusters.start()
    # MySQL doesn't know processes.
    who = "session " if UNDER_TEST == "mariadb" else f"process {first.pid} on "
    second.wait_for(f"Another process is migrating this database: {who}")
    third = clusters.start()
    third.wait_for("Waiting for it to finish")
    third.signal(SIGINT)
    assert third.wait() == 128 + SIGINT, third.output
    assert "Stopped by SIGINT." in third.stderr
    assert "Traceback" not in third.stderr
    clusters.release()
    assert_all([first, second])
    assert clusters.appliers == [first.pid]
    assert "No migrations to apply" in second.stdout


def test_many_at_once(clusters: Clusters) -> None:
    assert_all([clusters.start() for _ in range(5)])
    assert len(clusters.appliers) == 1


class Interrupted(StringIO):
    """A stream at which Ctrl+C is pressed when that is written, once."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def write(self, text: str) -> int:
        count = super().write(text)
        if self._text and self._text in text:
            self._text = ""
            raise KeyboardInterrupt
        return count


def assert_stopped(error: BaseException) -> None:
    assert isinstance(error, CommandError)
    assert str(error) == "Stopped by SIGINT."
    assert error.returncode == 128 + SIGINT


def test_ctrl_c_when_it_begins_to_wait(clusters: Clusters) -> None:
    lock = lock_for(connection)
    assert lock is not None
    assert lock.acquire()
    try:
        # Without the second one, a failure would end the whole run.
        with pytest.raises((CommandError, KeyboardInterrupt)) as caught:
            clusters.project.call(
                "migrate", stdout=Interrupted("Another process is migrating")
            )
    finally:
        lock.release()
    assert_stopped(caught.value)
    assert clusters.project.applied() == []


def test_what_is_left_of_a_plan(clusters: Clusters) -> None:
    clusters.hold()
    first = clusters.start("blog", "0001")
    clusters.wait_for_held()
    clusters.project.migrations("blog", {"0002_slug": source(ADD, HOOK)})
    second = clusters.start()
    second.wait_for("Another process is migrating this database")
    clusters.release()
    assert_all([first, second])
    assert clusters.appliers == [first.pid, second.pid]


def test_database_that_is_away_for_a_moment(clusters: Clusters) -> None:
    lock = lock_for(connection)
    assert lock is not None
    away = LockUnavailable("too many clients")
    away.__cause__ = DatabaseAway("too many clients")
    kind = type(lock)
    with patch.object(kind, "acquire", side_effect=[away, away, False, away, True]):
        clusters.project.call("migrate")
    forbidden = LockUnavailable("no right to do so")
    clusters.project.migrations("blog", {"0002_slug": source(ADD)})
    with (
        patch.object(kind, "acquire", side_effect=[forbidden, True]),
        pytest.raises(CommandError, match="taken: no right to do so"),
    ):
        clusters.project.call("migrate")


@pytest.mark.parametrize("backend", ONE, indirect=True)
def test_party_that_waits_for_the_lock_is_asked_to_stop(clusters: Clusters) -> None:
    lock = lock_for(connection)
    assert lock is not None
    assert lock.acquire()
    try:
        parties = clusters.start_all(2)
        wait_until(lambda: any("is migrating" in party.stdout for party in parties))
        leader, other = sorted(
            parties, key=lambda party: "is migrating" not in party.stdout
        )
        leader.signal(SIGTERM)
        assert leader.wait() == 128 + SIGTERM, leader.output
        assert other.wait() == 4, other.output
    finally:
        lock.release()
    assert "gave up before it had the lock: it got SIGTERM." in other.stderr


def test_killed_process_leaves_no_lock(clusters: Clusters) -> None:
    clusters.hold()
    first = clusters.start()
    clusters.wait_for_held()
    first.signal(SIGKILL)
    first.wait()
    clusters.release()
    assert_all([clusters.start()])


@pytest.mark.parametrize("is_setting", [False, True])
def test_without_the_lock(clusters: Clusters, is_setting: bool) -> None:
    lock = lock_for(connection)
    assert lock is not None
    assert lock.acquire()
    try:
        if is_setting:
            clusters.project.settings["MIGRATION_LOCK"] = False
            clusters.project.write_settings()
            assert_all([clusters.start()])
        else:
            assert_all([clusters.start("--no-migration-lock")])
    finally:
        lock.release()


@pytest.mark.parametrize("backend", ONE, indirect=True)
def test_quorum_without_the_lock(clusters: Clusters) -> None:
    assert_all(clusters.start_all(5, "--no-migration-lock"))
    assert len(clusters.appliers) == 1
    # Nothing stands in the way of the next round, however the last one went.
    clusters.project.migrations("blog", {"0002_fail": source(HOOK)})
    clusters.path("fail").touch()
    parties = clusters.start_all(2, "--no-migration-lock")
    assert sorted(party.wait() for party in parties) == [1, 4]
    clusters.path("fail").unlink()
    assert_all(clusters.start_all(2, "--no-migration-lock"))
    assert len(clusters.appliers) == 3


@pytest.mark.parametrize("backend", ONE, indirect=True)
@pytest.mark.parametrize(
    "arguments",
    [("--plan",), ("--check",), ("--quorum", "1")],
)
def test_no_quorum_is_joined(clusters: Clusters, arguments: tuple[str, ...]) -> None:
    clusters.project.settings["MIGRATION_QUORUM_BACKEND"] = "nowhere.Quorum"
    clusters.project.settings["SILENCED_SYSTEM_CHECKS"] = ["syzygy.E003"]
    clusters.project.write_settings()
    party = clusters.run("--quorum", "2", *arguments)
    assert party.code == (1 if arguments == ("--check",) else 0), party.output
    assert "Traceback" not in party.stderr


def test_nothing_pending(clusters: Clusters) -> None:
    assert_all([clusters.start()])
    party = clusters.run("--quorum", "9", "--quorum-timeout", "60")
    assert party.code == 0, party.output
    assert "Waiting" not in party.stdout
    # That makes the tables of apps without migrations: one process after another.
    lock = lock_for(connection)
    assert lock is not None
    assert lock.acquire()
    try:
        parties = [
            clusters.start("--run-syncdb", *arguments)
            for arguments in ((), ("--quorum", "9"))
        ]
        for party in parties:
            party.wait_for("Another process is migrating this database")
    finally:
        lock.release()
    assert_all(parties)


def test_who_comes_late_waits_for_the_signals(clusters: Clusters) -> None:
    assert_all([clusters.start()])
    lock = lock_for(connection)
    assert lock is not None
    assert lock.acquire()
    try:
        late = clusters.start("--quorum", "2")
        late.wait_for("by a process that isn't done yet")
    finally:
        lock.release()
    assert_all([late])


def test_migration_that_migrates(clusters: Clusters) -> None:
    call = "__import__('django.core.management').core.management.call_command"
    nested = f"m.RunPython(lambda *a: {call}('migrate', 'shop', verbosity=0))"
    clusters.project.app("shop", {"0001_initial": source(HOOK)})
    clusters.project.migrations("blog", {"0002_n": source(nested, atomic="False")})
    if UNDER_TEST == "sqlite":
        clusters.project.write("blog/migrations/0001_initial.py", source().text(None))
    clusters.project.write_settings()
    assert_all([clusters.start("blog")])
    assert "shop.0001_initial" in clusters.project.applied()


@pytest.mark.parametrize("backend", ONE, indirect=True)
def test_two_databases(clusters: Clusters) -> None:
    clusters.hold()
    parties = clusters.start_all(2, "--database", "other")
    clusters.wait_for_held()
    clusters.path("hold").unlink()
    assert_all(clusters.start_all(2, "--database", "default"))
    clusters.release()
    assert_all(parties)
    assert len(clusters.appliers) == 2


def test_lock_file_is_removed(clusters: Clusters) -> None:
    if UNDER_TEST != "sqlite":
        pytest.skip("Only SQLite has one.")
    assert_all(clusters.start_all(2))
    name = str(connection.settings_dict["NAME"])
    first, second = SQLiteLock(name), SQLiteLock(name)
    assert first.acquire()
    assert not second.acquire()
    first.release()
    assert second.acquire()
    second.release()
    folder = connection.settings_dict["NAME"].rpartition("/")[0]
    assert not list(Path(folder).glob("*-syzygy-lock"))


def test_who_asks_for_the_lock_of_a_file_is_in_nobodys_way(tmp_path: Path) -> None:
    lock = SQLiteLock(str(tmp_path / "db"))
    assert not lock.is_held()
    assert not list(tmp_path.iterdir())
    path = tmp_path / "db-syzygy-lock"
    path.touch()
    with path.open("rb") as other:
        # As another one does that asks.
        assert locks.lock(other, locks.LOCK_SH | locks.LOCK_NB)
        assert not lock.is_held()
    assert lock.acquire()
    assert SQLiteLock(str(tmp_path / "db")).is_held()
    lock.release()


def test_path_of_a_sqlite_database(tmp_path: Path) -> None:
    from django.db.backends.sqlite3.base import DatabaseWrapper

    for name in (tmp_path / "a b", str(tmp_path / "a b"), f"file:{tmp_path}/a%20b?m=1"):
        connection = DatabaseWrapper({"NAME": name, "TEST": {}})
        assert sqlite_file(connection) == str(tmp_path / "a b")


@contextmanager
def shut_before(number: int, *, migrates: bool) -> Iterator[list[str]]:
    """Have somebody lock the file before the statement of that number.

    One that migrates it does so until it is waited for, another one until the end.
    Yields the statements.
    """
    statements: list[str] = []
    with ExitStack() as stack:
        stack.callback(connection.close)
        options = {**connection.settings_dict["OPTIONS"], "timeout": 0}
        stack.enter_context(patch.dict(connection.settings_dict, {"OPTIONS": options}))
        connection.close()
        other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
        stack.callback(other.close)
        lock = SQLiteLock(sqlite_file(connection))

        def open_again(seconds: float = 0.0) -> None:
            if lock.is_taken:
                other.execute("COMMIT")
                lock.release()

        stack.callback(open_again)

        def shut(execute: Callable[..., Any], sql: str, *details: Any) -> Any:
            if len(statements) == number:
                other.execute("BEGIN EXCLUSIVE")
                if migrates:
                    assert lock.acquire()
            statements.append(sql)
            return execute(sql, *details)

        # Not sooner: it would have nothing to wait for.
        resting = SimpleNamespace(sleep=open_again)
        stack.enter_context(patch.object(reaching, "time", resting))
        stack.enter_context(connection.execute_wrapper(shut))
        yield statements


@pytest.mark.skipif(UNDER_TEST != "sqlite", reason="Others can be read meanwhile.")
def test_file_that_is_locked_at_any_moment(clusters: Clusters) -> None:
    clusters.project.call("migrate")
    with shut_before(-1, migrates=True) as statements:
        clusters.project.call("migrate", "--plan")
    assert len(statements) > 3
    for number in range(len(statements)):
        with shut_before(number, migrates=True):
            told = clusters.project.call("migrate", "--plan")
        assert f"process {os.getpid()} on " in told
        assert "No planned migration operations" in told


@pytest.mark.skipif(UNDER_TEST != "sqlite", reason="Others can be read meanwhile.")
def test_file_that_another_program_keeps_locked(clusters: Clusters) -> None:
    with (
        shut_before(1, migrates=False),
        pytest.raises(CommandError, match="another program, which isn't migrating it"),
    ):
        clusters.project.call("migrate", "--plan")


@pytest.mark.skipif(UNDER_TEST != "sqlite", reason="Others can be read meanwhile.")
def test_ctrl_c_when_it_begins_to_wait_for_a_file(clusters: Clusters) -> None:
    clusters.project.call("migrate")
    with (
        shut_before(1, migrates=True),
        pytest.raises((CommandError, KeyboardInterrupt)) as caught,
    ):
        clusters.project.call(
            "migrate", "--plan", stdout=Interrupted("Another process is migrating")
        )
    assert_stopped(caught.value)


@pytest.mark.skipif(UNDER_TEST != "sqlite", reason="Others can be read meanwhile.")
@pytest.mark.parametrize(
    ("attempt", "error"), [(1, KeyboardInterrupt), (2, CommandError)]
)
def test_ctrl_c_while_it_asks_for_a_file(
    clusters: Clusters, attempt: int, error: type[BaseException]
) -> None:
    """The first attempt is Django's, and nobody is told yet that it waits."""
    del clusters
    attempts: list[str] = []

    def stop(execute: Callable[..., Any], sql: str, *details: Any) -> Any:
        attempts.append(sql)
        if len(attempts) == attempt:
            raise KeyboardInterrupt
        return execute(sql, *details)

    with (
        shut_before(0, migrates=True),
        patience("default", lambda text: None),
        connection.execute_wrapper(stop),
        connection.cursor() as cursor,
        pytest.raises((CommandError, KeyboardInterrupt)) as caught,
    ):
        cursor.execute("SELECT * FROM sqlite_master")
    assert caught.type is error
    assert len(attempts) == attempt


@pytest.mark.skipif(UNDER_TEST != "sqlite", reason="Others can be read meanwhile.")
def test_ctrl_c_before_it_is_patient_again(clusters: Clusters) -> None:
    del clusters
    impatient = ExitStack()

    def interrupt() -> None:
        impatient.enter_context(impatience(connection))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), patience("default", lambda text: None):
        interrupt()
    assert connection.execute_wrappers == []


@pytest.mark.skipif(UNDER_TEST != "postgresql", reason="Others have no such name.")
@pytest.mark.django_db
def test_name_that_is_too_long_or_missing() -> None:
    lock = PostgreSQLLock(connection)
    with patch("socket.gethostname", return_value="h" * 63):
        assert lock.acquire()
    try:
        number = os.getpid()
        assert lock.holder().startswith(f'process {number} on "hhhhhhhhhh')
        assert 'h..." (session ' in lock.holder()
        assert lock._connection
        with lock._connection.cursor() as cursor:
            cursor.execute("SET application_name = ''")
        assert lock.holder().startswith("session ")
    finally:
        lock.release()
    # The server takes note of it in its own time.
    wait_until(lambda: lock.holder() == "", "The lock is still held.")


@pytest.mark.skipif(UNDER_TEST == "sqlite", reason="It has no sessions.")
def test_lock_outlives_what_ends_idle_sessions(clusters: Clusters) -> None:
    del clusters
    impatient = connection.copy()
    impatient.settings_dict["OPTIONS"] |= (
        {"options": "-c idle_in_transaction_session_timeout=300"}
        if UNDER_TEST == "postgresql"
        else {"init_command": "SET SESSION wait_timeout = 1"}
    )
    lock, other = lock_for(impatient), lock_for(connection)
    assert lock is not None
    assert other is not None
    assert lock.acquire()
    time.sleep(1.5)
    assert not other.acquire()
    lock.release()
    wait_until(other.acquire, "The lock is still held.")
    other.release()


@pytest.mark.skipif(UNDER_TEST == "sqlite", reason="It has no sessions.")
@pytest.mark.parametrize("meanwhile", ["nothing", "locks", "migrates"])
def test_session_of_the_lock_is_ended(clusters: Clusters, meanwhile: str) -> None:
    """By an administrator, for example, or by what looks for idle transactions."""
    clusters.project.migrations("blog", {"0002_slug": source(ADD, HOOK)})
    clusters.hold()
    process = clusters.start()
    clusters.wait_for_held()
    other = lock_for(connection)
    assert other is not None
    number = re.search("session ([0-9]+)", other.holder())
    assert number
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT pg_terminate_backend({number[1]})"
            if UNDER_TEST == "postgresql"
            else f"KILL {number[1]}"
        )
    wait_until(other.acquire, "The session did not end")
    if meanwhile != "locks":
        other.release()
    if meanwhile == "migrates":
        MigrationRecorder(connection).record_applied("blog", "0002_slug")
    clusters.release()
    if meanwhile == "nothing":
        assert_all([process])
        return
    assert process.wait() == 1
    other.release()
    (line,) = process.stderr.splitlines()
    assert "The lock that keeps two processes from migrating at once is lost" in line
    reason = "it is held by " if meanwhile == "locks" else "has migrated it since"
    assert reason in line
    assert '"blog.0002_slug" and what follows was left alone' in line
    assert "Applying blog.0001_initial... OK" in process.stdout
    assert "blog.0002_slug..." not in process.stdout


POOLER = """\
[databases]
* = host={HOST} port={PORT} user={USER} password={PASSWORD}
[pgbouncer]
pool_mode={mode}
listen_addr=127.0.0.1
unix_socket_dir=
auth_type=any"""


@pytest.mark.skipif(UNDER_TEST != "postgresql", reason="It is PostgreSQL's.")
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_through_a_pooler(
    clusters: Clusters, start_server: StartServer, mode: str
) -> None:
    database = clusters.project.databases["default"]
    pooler = start_server("pgbouncer", POOLER.format(mode=mode, **database))
    clusters.project.settings["DATABASES"] = {
        "default": {**database, "HOST": "127.0.0.1", "PORT": pooler.port}
    }
    clusters.hold()
    parties = clusters.start_all(3)
    clusters.wait_for_held()
    late = clusters.start()
    late.wait_for("Another process is migrating this database: process ")
    clusters.release()
    assert_all([*parties, late])
    assert len(clusters.appliers) == 1
    # Neither is a session of the pooler's left that has it.
    lock = lock_for(connection)
    assert lock is not None
    wait_until(lock.acquire, "The lock is still held.")
    lock.release()


@pytest.mark.skipif(UNDER_TEST != "postgresql", reason="It is PostgreSQL's.")
def test_lock_has_no_snapshot(clusters: Clusters) -> None:
    lock = lock_for(connection)
    assert lock is not None
    assert lock.acquire()
    try:
        lock.ping()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT state, backend_xmin FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND state LIKE 'idle in transaction%'"
            )
            assert cursor.fetchall() == [("idle in transaction", None)]
            cursor.execute("CREATE TABLE t (i int)")
            cursor.execute("SET statement_timeout = '20s'")
            cursor.execute("CREATE INDEX CONCURRENTLY i ON t (i)")
            cursor.execute("DROP TABLE t")
    finally:
        lock.release()


@pytest.mark.skipif(UNDER_TEST == "sqlite", reason="It has no connections.")
@pytest.mark.parametrize("backend", ONE, indirect=True)
def test_connections_of_a_waiting_party(clusters: Clusters, backend: str) -> None:
    party = clusters.start("--quorum", "2", "--quorum-timeout", "60")
    party.wait_for("Waiting for 1 of 2")
    expected = 1 if backend == "database" else 0
    wait_until(lambda: connected() == expected, f"{connected()} connections")
    party.signal(SIGKILL)
    party.wait()


def test_pool_is_closed_before_it_waits(
    clusters: Clusters, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[bool] = []
    monkeypatch.setattr(
        connections["default"],
        "close_pool",
        lambda: closed.append(connection.connection is None),
        raising=False,
    )
    with pytest.raises(CommandError, match="Only 1 of 2 parties came"):
        clusters.project.call("migrate", quorum=2, quorum_timeout=0.1)
    assert closed
    assert all(closed)


def connected() -> int:
    """How many connections others have to the database."""
    with connections["default"].cursor() as cursor:
        if UNDER_TEST == "postgresql":
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE "
                "datname = current_database() AND pid <> pg_backend_pid()"
            )
        else:
            cursor.execute(
                "SELECT count(*) FROM information_schema.processlist "
                "WHERE db = DATABASE() AND id <> CONNECTION_ID()"
            )
        count: int = cursor.fetchone()[0]
        return count
