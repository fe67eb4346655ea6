"""A database that is away, or that somebody else migrates."""

from __future__ import annotations

from collections.abc import Callable

from django.core.management import CommandError
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import OperationalError

from syzygy.locking import is_shut
from syzygy.messages import error_text

MIGRATING = "Another process is migrating this database. Waiting for it to finish."


def reach(alias: str) -> None:
    """See that a database is there, if only for those who wait for it.

    Raises :class:`CommandError` with one line for people if it isn't.
    """
    try:
        connections[alias].ensure_connection()
    except OperationalError as error:
        if is_shut(connections[alias]):
            return
        raise CommandError(
            f'The database "{alias}" can\'t be reached: {error_text(error)}'
        ) from error


def wait_until_readable(
    connection: BaseDatabaseWrapper, say: Callable[[str], None]
) -> None:
    """Wait while somebody migrates a SQLite file and keeps others from reading it.

    If it can't be read for another reason, Django is going to say so.
    """
    is_said = False
    while is_shut(connection):
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM sqlite_master")
            break
        except OperationalError:
            if not is_said:
                say(MIGRATING)
            is_said = True
