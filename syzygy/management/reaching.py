"""A database that is away, or that somebody else migrates."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import OperationalError

from syzygy.locking import SQLiteLock, is_shut, lock_for
from syzygy.messages import error_text, migrating, sentence

# A SQLite file is locked for a moment whenever somebody writes.
ATTEMPTS = 5
# Seconds between two of them, beside those that SQLite waits itself.
RETRY = 0.2
# https://www.sqlite.org/rescode.html#busy
BUSY = 5
CANTOPEN = 14

T = TypeVar("T")


class Unreachable(CommandError, OperationalError):
    """The database is away: one line for people, and what Django raises for code.

    Code that calls the command until the database is there looks for the latter.
    """


def reach(alias: str) -> None:
    """See that a database is there.

    Raises :class:`Unreachable` if it isn't, and :class:`CommandError` if the settings
    have none.
    """
    try:
        connections[alias].ensure_connection()
    except OperationalError as error:
        raise Unreachable(
            f'The database "{alias}" can\'t be reached: '
            f"{sentence(error_text(error))}{_place(alias, error)}"
        ) from error
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error


def _place(alias: str, error: OperationalError) -> str:
    """Which file it is: SQLite doesn't say."""
    code = getattr(error.__cause__, "sqlite_errorcode", None)
    name = connections[alias].settings_dict["NAME"]
    return f" Can {name} be made or read?" if code == CANTOPEN else ""


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Make Ctrl+C, or what :func:`syzygy.interrupts.catching` raises, one line.

    For what cleans up after itself, or does nothing but wait.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        from syzygy.interrupts import signal_of

        number = signal_of(error)
        notes = getattr(error, "__notes__", ())
        # As a shell has it.
        raise CommandError(
            "\n".join([f"Stopped by {number.name}.", *notes]), returncode=128 + number
        ) from error


class _Patience:
    """Asks a SQLite file again as long as somebody migrates it.

    The file can't be read from when more is written than SQLite has in memory, to the
    end of the transaction: https://www.sqlite.org/lockingv3.html
    """

    def __init__(
        self, connection: BaseDatabaseWrapper, say: Callable[[str], None]
    ) -> None:
        self._connection = connection
        self._say = say
        self._is_said = False
        # How many have set it aside.
        self.impatient = 0

    def __call__(
        self, execute: Callable[..., T], sql: str, parameters: Any, *details: Any
    ) -> T:
        if self.impatient:
            return execute(sql, parameters, *details)
        return self.wait_for(partial(execute, sql, parameters, *details))

    def wait_for(self, action: Callable[[], T]) -> T:
        """Return what the action returns as soon as it isn't kept from it.

        Raises :class:`CommandError` if it is, and nobody migrates.
        """
        try:
            return action()
        except OperationalError as error:
            if not self._is_kept_from(error):
                raise
            # That was Django's own attempt, which ends as Django has it.
            with stoppable():
                return self._try_again(action, error)

    def _is_kept_from(self, error: OperationalError) -> bool:
        # In a transaction others may be waiting for what it has read.
        return _is_locked(error) and not self._connection.in_atomic_block

    def _try_again(self, action: Callable[[], T], error: OperationalError) -> T:
        attempts = 0
        while True:
            if is_shut(self._connection):
                self._tell()
            elif (attempts := attempts + 1) == ATTEMPTS:
                raise CommandError(
                    f"The file {self._connection.settings_dict['NAME']} can't be "
                    "read: another program, which isn't migrating it, keeps it "
                    "locked. End its transaction and try again."
                ) from error
            time.sleep(RETRY)
            try:
                return action()
            except OperationalError as again:
                if not self._is_kept_from(again):
                    raise
                error = again

    def _tell(self) -> None:
        lock = lock_for(self._connection)
        if not self._is_said and lock is not None:
            self._say(migrating(lock.holder()))
        self._is_said = True


@contextlib.contextmanager
def patience(alias: str | None, say: Callable[[str], None]) -> Iterator[None]:
    """Wait for whoever migrates a SQLite file, whatever is asked of it meanwhile.

    Of no database, if the command has none, and of one that doesn't exist, nothing is
    asked.
    """
    if alias is None or alias not in connections.settings:
        yield
        return
    connection = connections[alias]
    if not isinstance(lock_for(connection), SQLiteLock):
        yield
        return
    patient = _Patience(connection, say)
    # If it fails for another reason, whoever asks next is told.
    with contextlib.suppress(OperationalError):
        patient.wait_for(connection.ensure_connection)
    with connection.execute_wrapper(patient):
        yield


@contextlib.contextmanager
def impatience(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Let it be told at once that a file is locked, for those who see to it."""
    wrappers = connection.execute_wrappers
    patients = [each for each in wrappers if isinstance(each, _Patience)]
    # Not taken out: in the end Django takes out the last one, even if a signal comes
    # before this one is back.
    for each in patients:
        each.impatient += 1
    try:
        yield
    finally:
        for each in patients:
            each.impatient -= 1


def _is_locked(error: OperationalError) -> bool:
    code = getattr(error.__cause__, "sqlite_errorcode", None)
    # The rest of the number says more of the reason.
    return isinstance(code, int) and code & 0xFF == BUSY
