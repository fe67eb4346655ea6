"""An empty database beside the configured one, and nothing else within reach.

Django's test database machinery makes it and removes it: it knows each engine's ways.
The configured database isn't connected to, unless a PostgreSQL server has no database
"postgres": then Django sends ``CREATE DATABASE`` by way of a configured one.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NoReturn

from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import load_backend

from syzygy.interrupts import Terminated, catching

_PREFIX = "syzygy_rehearsal"
# Options that name a database, and so would overrule NAME; and psycopg's pool, which
# Django keeps by alias: the pool of the alias leads to the configured database.
_MISLEADING = ("database", "db", "dbname", "pool")
_ASK_NAME = {
    "mysql": "SELECT DATABASE()",
    "postgresql": "SELECT current_database()",
}
_RIGHTS = {
    "mysql": "GRANT ALL PRIVILEGES ON `syzygy\\_rehearsal\\_%%`.* TO '%s'@'%%'",
    "postgresql": 'ALTER ROLE "%s" CREATEDB',
}
# insufficient_privilege of https://www.postgresql.org/docs/current/errcodes-appendix.html
# and ER_DBACCESS_DENIED_ERROR of https://mariadb.com/docs/server/reference/error-codes
_NO_RIGHTS = ("42501", 1044)


class ScratchError(RuntimeError):
    """There is no scratch database to be had; the message is one line for people."""


class OutOfReachError(ScratchError):
    """Something asked for a database that isn't part of the rehearsal."""


@contextmanager
def scratch_database(
    alias: str, *, keep: bool = False
) -> Iterator[BaseDatabaseWrapper]:
    """Have an alias mean a new, empty database of the same engine, and yield it.

    In this thread and in those that start meanwhile. So do aliases that are mirrors of
    it in tests; the others raise :class:`OutOfReachError` when something connects.

    The database is removed in the end, whatever happens, and be it SIGTERM or SIGHUP,
    which raise ``SystemExit`` in the main thread. ``keep`` keeps it, under a name that
    is always the same, so that the next one starts by removing it.

    Raises :class:`ScratchError` if it can't be made or removed. If it can't be removed
    after another error, that is a note of the other error.
    """
    if alias not in connections.settings:
        known = ", ".join(f'"{other}"' for other in connections.settings)
        raise ScratchError(f'There is no database "{alias}": use one of {known}.')
    with catching() as signals:
        maker = _maker(alias, keep=keep)
        is_made = is_ready = False
        try:
            try:
                _create(maker)
                is_made = True
                # Not the maker's own, from which Django takes an option on the way.
                scratch = _settings(
                    connections.settings[alias], maker.settings_dict["NAME"]
                )
                with _in_place_of(alias, scratch) as connection:
                    _verify(connection)
                    is_ready = True
                    yield connection
            finally:
                # A signal that comes sooner is an error of the above.
                signals.hold()
                signals.insist()
        except BaseException as error:
            # What is interrupted may be made all the same.
            may_exist = is_made or not isinstance(error, Exception)
            with signals.held_back():
                if may_exist and not (keep and is_ready):
                    _remove_after(error, maker, is_made=is_made)
            raise
        with signals.held_back():
            if not keep:
                _remove(maker)


# Making and removing


def _maker(alias: str, *, keep: bool) -> BaseDatabaseWrapper:
    """A connection with whose settings a database is made and removed.

    It isn't among Django's own, and its NAME is never that of a configured database.
    """
    configured = connections.settings[alias]
    backend: Any = load_backend(configured["ENGINE"]).DatabaseWrapper
    name = _name(alias, keep=keep)
    if backend.vendor == "sqlite":
        name = _sqlite_name(name, keep=keep)
    maker: BaseDatabaseWrapper = backend(_settings(configured, name), alias)
    return maker


def _settings(configured: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The configured settings with another database in them.

    Options are copied no deeper: there may be what can't be, such as an SSL context.
    """
    options = {
        option: value
        for option, value in configured["OPTIONS"].items()
        if option not in _MISLEADING
    }
    test = {**configured["TEST"], "NAME": name, "MIRROR": None}
    return {**configured, "NAME": name, "OPTIONS": options, "TEST": test}


def _name(alias: str, *, keep: bool) -> str:
    """A name, 63 characters long at most, that no configured database has."""
    configured = connections.settings[alias]
    told = [alias, *(str(configured[part]) for part in ("NAME", "HOST", "PORT"))]
    digest = hashlib.sha256("\0".join(told).encode("utf-8", "replace")).hexdigest()[:12]
    taken = " ".join(
        str(name).casefold()
        for settings in connections.settings.values()
        for name in (settings["NAME"], settings["TEST"]["NAME"])
    )
    number = 0
    while True:
        number += 1
        own = f"kept{number}" if keep else secrets.token_hex(5)
        name = f"{_PREFIX}_{digest}_{own}"
        if name not in taken:
            return name


def _sqlite_name(name: str, *, keep: bool) -> str:
    """In memory, for threads of this process as well, or a file to keep."""
    if keep:
        return os.path.join(tempfile.gettempdir(), f"{name}.sqlite3")
    return f"file:{name}?mode=memory&cache=shared"


def _create(maker: BaseDatabaseWrapper) -> None:
    """Make the database, in place of one of that name."""
    creation: Any = maker.creation
    said: list[str] = []
    # Django writes the reason to stderr, and exits.
    creation.log = said.append
    try:
        if maker.vendor == "sqlite":
            _remove_side_files(maker)
        with _without_advice():
            name = creation._create_test_db(verbosity=0, autoclobber=True)
        if maker.vendor == "sqlite" and not creation.is_in_memory_db(name):
            # Nobody else's, even if somebody put a link there.
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
            os.close(os.open(name, flags, mode=0o600))
    except Terminated:
        raise
    except SystemExit as error:
        cause = error.__context__ or ScratchError(" ".join(said))
        raise _failure(maker, cause) from cause
    except Exception as error:
        raise _failure(maker, error) from error
    maker.settings_dict["NAME"] = name


def _verify(connection: BaseDatabaseWrapper) -> None:
    """Raise an error unless the connection leads to the scratch database."""
    name = connection.settings_dict["NAME"]
    found = name
    try:
        connection.ensure_connection()
        if statement := _ASK_NAME.get(connection.vendor):
            with connection.cursor() as cursor:
                cursor.execute(statement)
                (found,) = cursor.fetchone()
    except (Error, ImproperlyConfigured) as error:
        raise _failure(connection, error) from error
    if found != name:
        raise ScratchError(
            f'The settings of the database "{connection.alias}" lead to "{found}" even '
            f"if its NAME is another: look at its OPTIONS, HOST and PORT."
        )


def _remove(maker: BaseDatabaseWrapper) -> None:
    name = maker.settings_dict["NAME"]
    try:
        with _without_advice():
            maker.creation.destroy_test_db(verbosity=0)
        if maker.vendor == "sqlite":
            _remove_side_files(maker)
    except (Error, OSError, SystemExit) as error:
        if isinstance(error, Terminated):
            raise
        raise ScratchError(
            f'The scratch database "{name}" can\'t be removed ({_said(error)}): remove '
            "it by hand."
        ) from error


def _remove_after(
    error: BaseException, maker: BaseDatabaseWrapper, *, is_made: bool
) -> None:
    """Remove the database after an error, which is what people should hear of."""
    try:
        if isinstance(error, KeyboardInterrupt):
            _expel(maker)
        _remove(maker)
    except ScratchError as failure:
        # Else it may well be that there is none.
        if is_made:
            error.add_note(str(failure))


def _expel(maker: BaseDatabaseWrapper) -> None:
    """End the sessions that PostgreSQL would have the removal wait for.

    One that was interrupted while it was opened is known to nobody.
    """
    if maker.vendor != "postgresql":
        return
    creation: Any = maker.creation
    with suppress(Error), _without_advice(), creation._nodb_cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [maker.settings_dict["NAME"]],
        )


def _remove_side_files(maker: BaseDatabaseWrapper) -> None:
    """What SQLite leaves beside a database if it is stopped."""
    for suffix in ("-journal", "-shm", "-wal"):
        with suppress(FileNotFoundError):
            os.remove(f"{maker.settings_dict['NAME']}{suffix}")


@contextmanager
def _without_advice() -> Iterator[None]:
    """Django warns where it has to do without the database "postgres"."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Normally Django will use", RuntimeWarning)
        yield


def _failure(connection: BaseDatabaseWrapper, error: BaseException) -> ScratchError:
    """Say why there is no scratch database, and what to do if a right is missing."""
    said = f'No scratch database can be made for "{connection.alias}" ({_said(error)})'
    user = connection.settings_dict["USER"]
    hint = _RIGHTS.get(connection.vendor)
    code = getattr(error.__cause__, "sqlstate", None) or next(iter(error.args), None)
    if hint and user and code in _NO_RIGHTS:
        return ScratchError(f"{said}: have an administrator run {hint % user}")
    return ScratchError(f"{said}.")


def _said(error: BaseException) -> str:
    """What the database said, in one line."""
    match error.args:
        case (int(), str() as said):  # from MySQL
            pass
        case _:
            said = str(error)
    return " ".join(said.split()).rstrip(".") or type(error).__name__


# Within reach and out of it


@contextmanager
def _in_place_of(
    alias: str, scratch: Mapping[str, Any]
) -> Iterator[BaseDatabaseWrapper]:
    """Have an alias and its mirrors mean the scratch database, and the others nothing.

    What was connected in this thread stays as it is until it is put back.
    """
    mirrors = [
        other
        for other, settings in connections.settings.items()
        if other != alias and settings["TEST"]["MIRROR"] == alias
    ]
    made: list[BaseDatabaseWrapper] = []

    def create(name: str) -> BaseDatabaseWrapper:
        if name in mirrors:
            # What is yet to be committed has to be seen there as well.
            return connections[alias]
        wrapper = load_backend(connections.settings[name]["ENGINE"]).DatabaseWrapper
        if name != alias:
            wrapper = _unreachable(wrapper, name, alias)
        connection: BaseDatabaseWrapper = wrapper(connections.settings[name], name)
        made.append(connection)
        return connection

    with ExitStack() as stack:
        stack.enter_context(_put_aside())
        for name in (alias, *mirrors):
            settings: Any = connections.settings
            stack.callback(settings.__setitem__, name, settings[name])
            settings[name] = scratch
        stack.enter_context(_creating(create))
        try:
            yield connections[alias]
        finally:
            for connection in made:
                _close(connection)


@contextmanager
def _put_aside() -> Iterator[None]:
    """Have no connections in this thread, until those that there are come back."""
    # There is no public way to tell which there are.
    local = vars(connections)["_connections"]
    aliases = list(connections.settings)
    before = {name: getattr(local, name) for name in aliases if hasattr(local, name)}
    for name in before:
        delattr(local, name)
    try:
        yield
    finally:
        for name in aliases:
            if name in before:
                setattr(local, name, before[name])
            elif hasattr(local, name):
                delattr(local, name)


@contextmanager
def _creating(create: Callable[[str], BaseDatabaseWrapper]) -> Iterator[None]:
    """Have Django make its connections so, in all threads."""
    attributes = vars(connections)
    before = attributes.get("create_connection")
    attributes["create_connection"] = create
    try:
        yield
    finally:
        if before is None:
            del attributes["create_connection"]
        else:
            attributes["create_connection"] = before


def _unreachable(wrapper: Any, name: str, alias: str) -> Any:
    """A backend's class that can be asked for anything but to connect."""

    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise OutOfReachError(
            f'The database "{name}" is out of reach while "{alias}" is rehearsed.'
        )

    methods = ("connect", "get_new_connection", "_nodb_cursor")
    return type(wrapper.__name__, (wrapper,), dict.fromkeys(methods, refuse))


def _close(connection: BaseDatabaseWrapper) -> None:
    """Close a connection, whichever thread's it is, and even if it is to memory."""
    connection.inc_thread_sharing()
    with suppress(Error):
        connection.close()
        if connection.connection is not None:
            BaseDatabaseWrapper.close(connection)
