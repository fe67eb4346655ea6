"""Telling databases apart, whatever name each cluster has for the server."""

from __future__ import annotations

from pathlib import Path

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from syzygy.locking import sqlite_file

# Of MySQL and MariaDB; older ones of MariaDB have neither.
_MYSQL = ("server_uuid", "server_uid")
_MYSQL_PLACE = ("hostname", "port", "datadir")


def namespace(connection: BaseDatabaseWrapper) -> str:
    """What the parties that migrate that database have in common, and nobody else."""
    vendor = connection.vendor
    if vendor == "sqlite":
        return f"{connection.alias} {_sqlite(connection)}"
    with connection.cursor() as cursor:
        if vendor == "postgresql":
            identity = _postgresql(cursor)
        elif vendor == "mysql":
            identity = _mysql(cursor)
        else:
            settings = connection.settings_dict
            identity = f"{settings['HOST']} {settings['PORT']} {settings['NAME']}"
    return f"{connection.alias} {vendor} {identity}"


def _sqlite(connection: BaseDatabaseWrapper) -> str:
    path = Path(sqlite_file(connection))
    return f"{path} {path.stat().st_ino}" if path.exists() else str(path)


def _postgresql(cursor: CursorWrapper) -> str:
    cursor.execute(
        "SELECT datname, oid, coalesce(current_schema(), '') "
        "FROM pg_database WHERE datname = current_database()"
    )
    database = " ".join(map(str, cursor.fetchone()))
    try:
        cursor.execute("SELECT system_identifier FROM pg_control_system()")
    except DatabaseError:
        # Somebody took the right to know it away from us.
        return database
    return f"{cursor.fetchone()[0]} {database}"


def _mysql(cursor: CursorWrapper) -> str:
    names = ", ".join(f"'{name}'" for name in (*_MYSQL, *_MYSQL_PLACE))
    cursor.execute(f"SHOW VARIABLES WHERE Variable_name IN ({names})")
    variables = dict(cursor.fetchall())
    cursor.execute("SELECT DATABASE()")
    (database,) = cursor.fetchone()
    for name in _MYSQL:
        if variables.get(name):
            return f"{variables[name]} {database}"
    place = " ".join(str(variables.get(name)) for name in _MYSQL_PLACE)
    return f"{place} {database}"
