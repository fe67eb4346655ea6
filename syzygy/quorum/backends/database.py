"""A quorum that meets in the database that is migrated."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.db import (
    DatabaseError,
    IntegrityError,
    InterfaceError,
    connections,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DEFAULT_DB_ALIAS

from syzygy.locking import is_in_memory, separate, sqlite_file
from syzygy.messages import error_line
from syzygy.quorum.backends.base import (
    LEASE,
    RosterQuorum,
    StoreUnavailable,
    key,
)

TABLE = "syzygy_quorum"
CLAIM = "claim"

CREATE = (
    "CREATE TABLE IF NOT EXISTS syzygy_quorum (namespace varchar(40) NOT NULL, "
    "party varchar(64) NOT NULL, record text NOT NULL, PRIMARY KEY (namespace, party))"
)
SELECT = "SELECT party, record FROM syzygy_quorum WHERE namespace = %s"
SELECT_ONE = "SELECT record FROM syzygy_quorum WHERE namespace = %s AND party = %s"
INSERT = "INSERT INTO syzygy_quorum (namespace, party, record) VALUES (%s, %s, %s)"
UPDATE = "UPDATE syzygy_quorum SET record = %s WHERE namespace = %s AND party = %s"
DELETE = "DELETE FROM syzygy_quorum WHERE namespace = %s AND party = %s"
IF_EQUAL = " AND record = %s"

T = TypeVar("T")
# Runs a statement with its parameters.
Run = Callable[..., Any]


class DatabaseQuorum(RosterQuorum):
    """Meets in a table of the database, through a connection of its own.

    The table, ``syzygy_quorum``, is made when it is first needed, and stays. A SQLite
    database can't be written by others while it is migrated: there the table is in a
    file beside it.
    """

    def __init__(self, alias: str | None = None, *, lease: float = LEASE) -> None:
        """Use the database of that alias, or the one that is migrated."""
        super().__init__(lease=lease)
        self._alias = alias
        self._original: BaseDatabaseWrapper | None = None
        self._connection: BaseDatabaseWrapper | None = None
        if alias is not None:
            self.bind(_database(alias))

    def bind(self, connection: BaseDatabaseWrapper) -> None:
        """Use that database, unless an option names another one."""
        if self._alias is not None:
            connection = _database(self._alias)
        if connection.vendor not in {"postgresql", "mysql", "sqlite"}:
            raise ImproperlyConfigured(
                f'The quorum can\'t meet in the database "{connection.alias}": '
                f"{connection.display_name} is not supported."
            )
        if is_in_memory(connection):
            raise ImproperlyConfigured(
                f'The quorum can\'t meet in the database "{connection.alias}": it is '
                "in the memory of this process, which no other one can see."
            )
        self._original = connection

    def read(self, namespace: str, size: int) -> dict[str, str]:
        """The records of all parties."""
        return dict(self._ask(lambda run: run(SELECT, key(namespace))))

    def write(self, namespace: str, size: int, party: str, record: str) -> None:
        """Keep the record of a party."""

        def write(run: Run) -> None:
            if not run(UPDATE, record, key(namespace), party):
                run(INSERT, key(namespace), party, record)

        self._ask(write)

    def remove(self, namespace: str, party: str) -> None:
        """Forget the record of a party."""
        self._ask(lambda run: run(DELETE, key(namespace), party))

    def claim(self, namespace: str, party: str) -> bool:
        """Keep the claim of a party, if there is no other."""
        owner = self._value(namespace, CLAIM)
        if owner is None:
            return self._insert(namespace, CLAIM, party)
        if owner != party and self._value(namespace, owner) is None:
            # The others remove the record of a party that is dead.
            self.disclaim(namespace, owner)
        return owner == party

    def disclaim(self, namespace: str, party: str) -> None:
        """Forget the claim of that party."""
        self._ask(lambda run: run(DELETE + IF_EQUAL, key(namespace), CLAIM, party))

    def count(self, namespace: str, name: str, step: int) -> int:
        """Add to a counter and return what it is then."""
        namespace = f"count:{namespace}"
        while True:
            value = self._value(namespace, name)
            if step == 0:
                return int(value or 0)
            if value is None:
                if self._insert(namespace, name, str(step)):
                    return step
            elif self._replace(namespace, name, value, str(int(value) + step)):
                return int(value) + step

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        with contextlib.suppress(DatabaseError, InterfaceError):
            if connection is not None:
                connection.close()

    def _value(self, namespace: str, party: str) -> str | None:
        rows = self._ask(lambda run: run(SELECT_ONE, key(namespace), party))
        return rows[0][0] if rows else None

    def _insert(self, namespace: str, party: str, record: str) -> bool:
        def insert(run: Run) -> bool:
            try:
                run(INSERT, key(namespace), party, record)
            except IntegrityError:
                return False
            return True

        return self._ask(insert)

    def _replace(self, namespace: str, party: str, record: str, new: str) -> bool:
        """Replace a record if it is still the one that was read."""
        values = (new, key(namespace), party, record)
        return bool(self._ask(lambda run: run(UPDATE + IF_EQUAL, *values)))

    def _ask(self, question: Callable[[Run], T]) -> T:
        try:
            if self._connection is None:
                self._connection = self._connect()
            return question(partial(_run, self._connection))
        except (DatabaseError, InterfaceError) as error:
            self.close()
            alias = self._alias or DEFAULT_DB_ALIAS
            raise StoreUnavailable(
                f'The database "{alias}" can\'t be asked: {error_line(error)}'
            ) from error

    def _connect(self) -> BaseDatabaseWrapper:
        if self._original is None:
            self.bind(connections[DEFAULT_DB_ALIAS])
        connection = open_store(self._original or connections[DEFAULT_DB_ALIAS])
        try:
            with connection.cursor() as cursor:
                is_there = TABLE in connection.introspection.table_names(cursor)
            if not is_there:
                # Another one may make it just now, which PostgreSQL takes amiss.
                with contextlib.suppress(DatabaseError):
                    _run(connection, CREATE)
        except BaseException:
            connection.close()
            raise
        return connection


def _run(connection: BaseDatabaseWrapper, statement: str, *parameters: str) -> Any:
    """The rows that a statement returns, or how many it changed."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else cursor.rowcount


def open_store(original: BaseDatabaseWrapper) -> BaseDatabaseWrapper:
    """A connection to where the table is."""
    if original.vendor != "sqlite":
        return separate(original)
    options = dict(original.settings_dict.get("OPTIONS", {}))
    # Each statement is a transaction, and waits for those of the others.
    options["timeout"] = 30
    # Nothing in it outlives a machine that stops.
    options["init_command"] = "PRAGMA synchronous=OFF"
    name = f"{sqlite_file(original)}-syzygy-quorum"
    return separate(original, NAME=name, OPTIONS=options)


def _database(alias: str) -> BaseDatabaseWrapper:
    # A list, because what somebody took for an alias may have no hash.
    if alias not in list(connections):
        raise ImproperlyConfigured(
            f'There is no database "{alias}" in the setting "DATABASES".'
        )
    return connections[alias]
