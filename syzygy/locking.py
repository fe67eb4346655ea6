"""The lock that keeps two processes from migrating one database at once.

It is held on a connection of its own and goes with it, so that a process that dies
leaves none behind. It is tried, never waited for inside a statement: on PostgreSQL
``CREATE INDEX CONCURRENTLY`` waits for every statement that runs, and would wait for
one that waits for the lock.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from django.core.files import locks
from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from syzygy.messages import error_text, process_text

# Seconds to wait for another thread that uses the connection of a lock.
TURN = 1.0
# A connection that is silent for longer is one that some firewalls forget.
PING = 30.0

_held: ContextVar[frozenset[str]] = ContextVar("syzygy_held_locks", default=frozenset())


class LockUnavailable(Exception):
    """The lock can neither be taken nor is it known to be held."""


class MigrationLock(ABC):
    """A lock in, or beside, the database that is migrated.

    ``was_lost`` tells that its session ended while it was held. Another process may
    have had the lock since then, even if it is taken again.
    """

    was_lost = False

    @abstractmethod
    def acquire(self) -> bool:
        """Take it if nobody has it; return at once whether it was taken.

        Raises :class:`LockUnavailable` if the database can't be asked.
        """

    @abstractmethod
    def release(self) -> None:
        """Give it back. Raises nothing: it is gone with the connection.

        Nor does it wait for a server that doesn't answer.
        """

    @abstractmethod
    def holder(self) -> str:
        """Who has it, for people who look for it; nothing if that can't be told."""

    @property
    @abstractmethod
    def is_taken(self) -> bool:
        """Whether it is held, as far as was seen."""

    def ping(self) -> None:  # noqa: B027 - not every lock has a connection
        """Use its connection, so that nobody between takes it for dead.

        If that is gone, and the lock with it, it is taken again if that can be.
        """


def separate(connection: BaseDatabaseWrapper, **settings: Any) -> BaseDatabaseWrapper:
    """Another connection to the same database, with other settings for some."""
    other = connection.copy()
    other.settings_dict.update(settings)
    # It is closed when it has done its work, and not kept for somebody else.
    other.settings_dict.get("OPTIONS", {}).pop("pool", None)
    # Who uses it sees to it that threads do so one after another.
    other.inc_thread_sharing()
    return other


class _SessionLock(MigrationLock):
    """A lock that lives as long as a connection."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._original = connection
        self._connection: BaseDatabaseWrapper | None = None
        # Another thread keeps it alive.
        self._turns = threading.RLock()
        self._is_over = False

    def acquire(self) -> bool:
        self._is_over = False
        return self._acquire()

    def _acquire(self) -> bool:
        connection = separate(self._original)
        is_taken = False
        try:
            is_taken = self._take(connection)
        except Error as error:
            raise LockUnavailable(error_text(error)) from error
        finally:
            if is_taken:
                self._connection = connection
            else:
                _close(connection)
        return is_taken

    def release(self) -> None:
        self._is_over = True
        if self._turns.acquire(timeout=TURN):
            try:
                self._drop()
            finally:
                self._turns.release()
        # Otherwise the server doesn't answer the thread that asked it last. Nobody may
        # close the connection under its feet: it does so itself.

    def _drop(self) -> None:
        if self._connection is not None:
            _close(self._connection)
        self._connection = None
        self.was_lost = False

    @property
    def is_taken(self) -> bool:
        """Whether it is held, as far as was seen."""
        return self._connection is not None

    def ping(self) -> None:
        """Use its connection, and take the lock on another one if that is gone."""
        with self._turns:
            if self._connection is not None:
                try:
                    with self._connection.cursor() as cursor:
                        cursor.execute("SELECT 1")
                except Error:
                    _close(self._connection)
                    self._connection = None
                    self.was_lost = True
            if self._connection is None and self.was_lost and not self._is_over:
                with contextlib.suppress(LockUnavailable):
                    self._acquire()
            if self._is_over:
                self._drop()

    def holder(self) -> str:
        """Which session of the server has it."""
        connection = separate(self._original)
        try:
            with connection.cursor() as cursor:
                return self._ask_for_holder(cursor)
        except Error:
            return ""
        finally:
            _close(connection)

    @abstractmethod
    def _take(self, connection: BaseDatabaseWrapper) -> bool:
        """Take it on that connection."""

    @abstractmethod
    def _ask_for_holder(self, cursor: CursorWrapper) -> str:
        """Which session has it."""


class PostgreSQLLock(_SessionLock):
    """An advisory lock of a transaction, one for each schema.

    A pooler such as PgBouncer may give each transaction another session, where a lock
    of the session would be lost, and stay. The transaction does nothing else and, in
    READ COMMITTED, has no snapshot between its statements, so that neither ``CREATE
    INDEX CONCURRENTLY`` nor ``VACUUM`` has to wait for it.
    """

    _NAME = "syzygy migrate"
    _DOES = "migrate: "

    def _take(self, connection: BaseDatabaseWrapper) -> bool:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY")
            # Older servers don't have both of them.
            cursor.execute(
                "SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN "
                "('idle_in_transaction_session_timeout', 'transaction_timeout')"
            )
            cursor.execute(
                "SELECT pg_try_advisory_xact_lock("
                "hashtext(%s), hashtext(coalesce(current_schema(), '')))",
                [self._NAME],
            )
            (is_taken,) = cursor.fetchone()
            if is_taken:
                cursor.execute(
                    "SELECT set_config('application_name', %s, true)",
                    [f"{self._DOES}{process_text(os.getpid(), socket.gethostname())}"],
                )
        return bool(is_taken)

    def _ask_for_holder(self, cursor: CursorWrapper) -> str:
        # The numbers of a lock have no sign where they are listed.
        cursor.execute(
            "SELECT pid, application_name "
            "FROM pg_locks JOIN pg_stat_activity USING (pid) "
            "WHERE locktype = 'advisory' AND granted "
            "AND datname = current_database() AND database = datid "
            "AND classid::bigint = hashtext(%s)::bigint & 4294967295 "
            "AND objid::bigint = "
            "hashtext(coalesce(current_schema(), ''))::bigint & 4294967295",
            [self._NAME],
        )
        if (row := cursor.fetchone()) is None:
            return ""
        number, name = row
        session = f"session {number} of the server"
        if not name.startswith(self._DOES):
            # It is about to write it, or is of a version that doesn't.
            return session
        # The server cuts a long name off.
        rest = "" if name.endswith('"') else '..."'
        return f"{name.removeprefix(self._DOES)}{rest} ({session})"


class MySQLLock(_SessionLock):
    """A lock with a name, which all databases of a server share."""

    _PREFIX = "syzygy:"

    def _take(self, connection: BaseDatabaseWrapper) -> bool:
        with connection.cursor() as cursor:
            # Some servers end a session that is silent for seconds.
            cursor.execute("SET SESSION wait_timeout = 28800")
            cursor.execute(
                "SELECT GET_LOCK(CONCAT(%s, MD5(DATABASE())), 0)", [self._PREFIX]
            )
            (is_taken,) = cursor.fetchone()
        return bool(is_taken)

    def _ask_for_holder(self, cursor: CursorWrapper) -> str:
        cursor.execute(
            "SELECT id, host FROM information_schema.processlist "
            "WHERE id = IS_USED_LOCK(CONCAT(%s, MD5(DATABASE())))",
            [self._PREFIX],
        )
        # Not everybody is told of another user's sessions.
        if (row := cursor.fetchone()) is None:
            return ""
        return f'session {row[0]} of the server, from "{row[1]}"'


class SQLiteLock(MigrationLock):
    """A lock on a file beside the database, which is removed with it."""

    def __init__(self, database: str) -> None:
        self._path = Path(f"{database}-syzygy-lock")
        self._file: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Take it if nobody has it."""
        try:
            file = self._path.open("ab")
        except OSError as error:
            raise LockUnavailable(str(error)) from error
        # Whoever had it before may have removed the file in between.
        if locks.lock(file, locks.LOCK_EX | locks.LOCK_NB) and self._is_there(file):
            self._file = file
            # Nobody waits for what is written to be on a disk, or needs it.
            with contextlib.suppress(OSError):
                file.truncate(0)
                file.write(process_text(os.getpid(), socket.gethostname()).encode())
                file.flush()
            return True
        file.close()
        return False

    @property
    def is_taken(self) -> bool:
        """Whether it is held."""
        return self._file is not None

    def is_held(self) -> bool:
        """Whether somebody has it, found out without being in anybody's way for long.

        Who asks shares the file with others who do, takes nothing and makes no file.
        """
        try:
            with self._path.open("rb") as file:
                return not locks.lock(file, locks.LOCK_SH | locks.LOCK_NB)
        except OSError:
            return False

    def holder(self) -> str:
        """What the process that has it wrote."""
        try:
            return self._path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    def _is_there(self, file: IO[bytes]) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(file.fileno()))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Give it back, and leave no file."""
        if self._file is not None:
            # Not where a file that is open can't be removed.
            with contextlib.suppress(OSError):
                self._path.unlink()
            self._file.close()
        self._file = None


def lock_for(connection: BaseDatabaseWrapper) -> MigrationLock | None:
    """The lock of a database; ``None`` if nobody else can see it, or none is known."""
    if connection.alias in _held.get():
        # A migration that calls the command is part of what its caller does.
        return None
    if connection.vendor == "postgresql":
        return PostgreSQLLock(connection)
    if connection.vendor == "mysql":
        return MySQLLock(connection)
    if connection.vendor == "sqlite" and not is_in_memory(connection):
        return SQLiteLock(sqlite_file(connection))
    return None


def is_shut(connection: BaseDatabaseWrapper) -> bool:
    """Whether somebody migrates a SQLite file, and so may keep others from reading."""
    lock = lock_for(connection)
    return isinstance(lock, SQLiteLock) and lock.is_held()


def sqlite_file(connection: BaseDatabaseWrapper) -> str:
    """The path of the file of a SQLite database, which may be given as a URI."""
    name = str(connection.settings_dict["NAME"])
    if name.startswith("file:"):
        name = unquote(urlsplit(name).path)
    return str(Path(name).resolve())


def is_in_memory(connection: BaseDatabaseWrapper) -> bool:
    """Whether it is a SQLite database that only this process can see."""
    from django.db.backends.sqlite3.base import DatabaseWrapper

    return isinstance(connection, DatabaseWrapper) and connection.is_in_memory_db()


@contextlib.contextmanager
def holding(alias: str) -> Iterator[None]:
    """Know that this thread holds the lock of that database."""
    token = _held.set(_held.get() | {alias})
    try:
        yield
    finally:
        _held.reset(token)


def _close(connection: BaseDatabaseWrapper) -> None:
    # Whether the server still hears of it makes no difference.
    with contextlib.suppress(Error):
        connection.close()
