"""Scratch databases: what they are, what is out of reach, and that none is left."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import Mock

import pytest
from django.db import connections
from django.db.utils import OperationalError

from syzygy import interrupts
from syzygy.interrupts import Terminated
from syzygy.rehearsal import scratch
from syzygy.rehearsal.scratch import OutOfReachError, ScratchError, scratch_database
from tests.command_helpers import Project, administer, dump, environment
from tests.services import UNDER_TEST

pytest_plugins = ["tests.command_fixtures"]

SERVER = pytest.mark.skipif(UNDER_TEST == "sqlite", reason="there is no server")
POSTGRESQL = pytest.mark.skipif(UNDER_TEST != "postgresql", reason="of PostgreSQL")
SQLITE = pytest.mark.skipif(UNDER_TEST != "sqlite", reason="of SQLite")


def digest() -> str:
    """Return what the names of the scratch databases of this test begin with."""
    return scratch._name("default", keep=True).rpartition("_")[0]


def left(prefix: str | None = None) -> set[str]:
    """Return the scratch databases of "default" that there are on the server."""
    prefix = digest() if prefix is None else prefix
    if UNDER_TEST == "sqlite":
        return {
            p.name for p in Path(_temporary()).iterdir() if p.name.startswith(prefix)
        }
    statement = {
        "postgresql": "SELECT datname FROM pg_database",
        "mariadb": "SHOW DATABASES",
    }[UNDER_TEST]
    with connections["default"]._nodb_cursor() as cursor:
        cursor.execute(statement)
        return {name for (name,) in cursor.fetchall() if name.startswith(prefix)}


def _temporary() -> str:
    import tempfile

    return tempfile.gettempdir()


def in_thread(function: Callable[[], Any]) -> Any:
    """Return what a function returns, or the error that it raises, in a new thread."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(function())
        except Exception as error:  # noqa: BLE001 - whatever it is
            results.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return results[0]


def execute(statement: str, alias: str = "default") -> list[Any]:
    with connections[alias].cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


def tables(alias: str = "default") -> list[str]:
    with connections[alias].cursor() as cursor:
        return connections[alias].introspection.table_names(cursor)


@contextmanager
def configured(alias: str = "default", **values: Any) -> Iterator[None]:
    """Change settings of a database for connections that are yet to be made."""
    before = connections.settings[alias]
    connection = connections[alias]
    del connections[alias]
    connections.settings[alias] = {
        **before,
        **values,
        "TEST": {**before["TEST"], **values.get("TEST", {})},
    }
    try:
        yield
    finally:
        connections[alias].close()
        connections.settings[alias] = before
        connections[alias] = connection


@pytest.mark.usefixtures("project")
class TestInPlace:
    def test_it_is_empty_and_the_configured_one_is_as_before(self) -> None:
        execute("CREATE TABLE kept (id integer)")
        execute("INSERT INTO kept VALUES (1)")
        before, own, settings = dump(), connections["default"], connections.settings
        entries = dict(settings)
        with scratch_database("default") as connection:
            assert connections["default"] is connection
            assert connection is not own
            assert connection.vendor == own.vendor
            assert connection.alias == "default"
            assert tables() == []
            execute("CREATE TABLE kept (id integer)")
            execute("INSERT INTO kept VALUES (2)")
            assert execute("SELECT id FROM kept") == [(2,)]
        assert connections["default"] is own
        assert all(settings[alias] is values for alias, values in entries.items())
        assert "create_connection" not in vars(connections)
        assert dump() == before
        assert execute("SELECT id FROM kept") == [(1,)]
        assert left() == set()

    def test_no_connection_before_is_none_after(self) -> None:
        connections["default"].close()
        del connections["default"]
        with scratch_database("default"):
            execute("SELECT 1")
        assert not hasattr(vars(connections)["_connections"], "default")

    def test_a_new_thread_means_it_as_well(self) -> None:
        execute("CREATE TABLE kept (id integer)")
        with scratch_database("default"):
            execute("CREATE TABLE other (id integer)")
            assert in_thread(tables) == ["other"]
        assert in_thread(tables) == ["kept"]

    def test_what_other_threads_leave_open_does_not_keep_it(self) -> None:
        kept = []
        with scratch_database("default"):

            def connect() -> None:
                connections["default"].ensure_connection()
                kept.append(connections["default"])

            thread = threading.Thread(target=connect)
            thread.start()
            thread.join()
            assert kept[0].connection is not None
        assert kept[0].connection is None
        assert left() == set()

    def test_a_transaction_of_the_configured_one_goes_on(self) -> None:
        from django.db.transaction import atomic

        execute("CREATE TABLE kept (id integer)")
        with atomic():
            execute("INSERT INTO kept VALUES (1)")
            with scratch_database("default"):
                assert not connections["default"].in_atomic_block
            assert execute("SELECT id FROM kept") == [(1,)]

    def test_one_after_the_other_and_one_in_the_other(self) -> None:
        with scratch_database("default"):
            execute("CREATE TABLE one (id integer)")
            with scratch_database("default"):
                assert tables() == []
            assert tables() == ["one"]
            with scratch_database("other"):
                assert tables("other") == []
                with pytest.raises(OutOfReachError, match='"default" is out of reach'):
                    tables()
            assert tables() == ["one"]
        with scratch_database("default"):
            assert tables() == []
        assert left() == set()

    def test_unknown_alias(self) -> None:
        with pytest.raises(ScratchError, match='no database "nope": use one of "defau'):
            scratch_database("nope").__enter__()

    def test_options_that_name_a_database_do_not_lead_to_it(self) -> None:
        execute("CREATE TABLE kept (id integer)")
        option = {"postgresql": "dbname"}.get(UNDER_TEST, "database")
        settings = connections.settings["default"]
        options = {**settings["OPTIONS"], option: settings["NAME"]}
        with configured(OPTIONS=options), scratch_database("default"):
            assert tables() == []

    @POSTGRESQL
    def test_the_pool_of_the_alias_is_not_used(self) -> None:
        options = {"pool": True}
        with configured(OPTIONS=options), scratch_database("default") as connection:
            assert connection.settings_dict["OPTIONS"] == {}
            assert tables() == []
            assert options == {"pool": True}

    @SERVER
    def test_a_connection_that_leads_elsewhere_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # As a proxy before the server may.
        real = connections["default"].settings_dict["NAME"]
        wrapper = type(connections["default"])
        original = wrapper.get_connection_params

        def lead_astray(self: Any) -> Any:
            params = original(self)
            return {
                key: real if str(value).startswith("syzygy_rehearsal") else value
                for key, value in params.items()
            }

        monkeypatch.setattr(wrapper, "get_connection_params", lead_astray)
        with (
            pytest.raises(ScratchError, match=f'lead to "{real}" even if its NAME'),
            scratch_database("default"),
        ):
            pytest.fail("it was let in")
        assert left() == set()

    @SERVER
    def test_what_the_settings_say_of_test_databases_holds(self) -> None:
        test, statement, expected = {
            "postgresql": (
                {"TEMPLATE": "template0", "CHARSET": "SQL_ASCII"},
                "SELECT pg_encoding_to_char(encoding) FROM pg_database "
                "WHERE datname = current_database()",
                "SQL_ASCII",
            ),
            "mariadb": (
                {"CHARSET": "latin1", "COLLATION": "latin1_bin"},
                "SELECT @@collation_database",
                "latin1_bin",
            ),
        }[UNDER_TEST]
        if UNDER_TEST == "postgresql":
            # Its locale goes with any encoding.
            administer(
                "default",
                "CREATE DATABASE syzygy_c_template "
                "TEMPLATE template0 LOCALE 'C' ENCODING 'SQL_ASCII'",
            )
            test["TEMPLATE"] = "syzygy_c_template"
        try:
            with configured(TEST=test), scratch_database("default"):
                assert execute(statement) == [(expected,)]
        finally:
            if UNDER_TEST == "postgresql":
                administer("default", "DROP DATABASE syzygy_c_template")


@pytest.mark.usefixtures("project")
class TestReach:
    def test_other_aliases(self) -> None:
        other = connections["other"]
        execute("CREATE TABLE kept (id integer)", "other")
        with scratch_database("default"):
            assert connections["other"].vendor == other.vendor
            for use in (
                lambda: execute("SELECT 1", "other"),
                lambda: _call("ensure_connection"),
                lambda: _call("connect"),
                lambda: _call("_nodb_cursor"),
                lambda: connections["other"].copy().connect(),
            ):
                for error in (in_thread(use), _error(use)):
                    assert isinstance(error, OutOfReachError)
                    assert str(error) == (
                        'The database "other" is out of reach while "default" is '
                        "rehearsed."
                    )
        assert connections["other"] is other
        assert tables("other") == in_thread(lambda: tables("other")) == ["kept"]

    def test_mirrors(self) -> None:
        from django.db.transaction import atomic

        own = connections["other"]
        with configured("other", TEST={"MIRROR": "default"}):
            mirror = connections["other"]
            with scratch_database("default"):
                with atomic():
                    execute("CREATE TABLE seen (id integer)")
                    execute("INSERT INTO seen VALUES (1)")
                    assert execute("SELECT id FROM seen", "other") == [(1,)]
                assert in_thread(lambda: execute("SELECT id FROM seen", "other")) == [
                    (1,)
                ]
            assert connections["other"] is mirror
            assert tables("other") == []
        assert connections["other"] is own


def _call(method: str) -> None:
    getattr(connections["other"], method)()


def _error(function: Callable[[], Any]) -> BaseException | None:
    try:
        function()
    except Exception as error:  # noqa: BLE001 - whatever it is
        return error
    return None


@pytest.mark.usefixtures("project")
class TestNames:
    def test_no_two_are_the_same(self) -> None:
        with scratch_database("default") as connection:
            first = connection.settings_dict["NAME"]
        with scratch_database("default") as connection:
            assert connection.settings_dict["NAME"] != first
        assert "syzygy_rehearsal_" in first

    @pytest.mark.parametrize("keep", [False, True])
    def test_length_and_characters(self, keep: bool) -> None:
        with configured(NAME="ü" * 200, HOST="h" * 200):
            name = scratch._name("default", keep=keep)
        assert name.startswith("syzygy_rehearsal_")
        assert len(name) <= 63
        assert name.isascii()
        assert name == name.lower()

    # The digest is of the name of "default", so that can't have it.
    @pytest.mark.parametrize(
        ("alias", "where"), [("default", "TEST"), ("other", "NAME"), ("other", "TEST")]
    )
    def test_never_that_of_a_configured_one(self, alias: str, where: str) -> None:
        free = scratch._name("default", keep=True)
        taken = f"/some/{free.upper()}.sqlite3"
        values: Any = {"NAME": taken} if where == "NAME" else {"TEST": {"NAME": taken}}
        with configured(alias, **values):
            assert scratch._name("default", keep=True) == f"{free[:-1]}2"

    def test_it_tells_the_configured_ones_apart(self) -> None:
        before = digest()
        with configured(NAME="else"):
            assert digest() != before
        assert digest() == before


@pytest.mark.usefixtures("project")
class TestKeep:
    @pytest.fixture(autouse=True)
    def clean(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[None]:
        tmp_path = project.path
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        yield
        for name in left():
            if UNDER_TEST != "sqlite":
                administer("default", f"DROP DATABASE {name}")

    def test_it_stays_and_the_next_one_starts_from_nothing(self) -> None:
        with scratch_database("default", keep=True) as connection:
            name = connection.settings_dict["NAME"]
            execute("CREATE TABLE kept (id integer)")
        assert left() == {Path(name).name}
        with configured(NAME=name):
            assert tables() == ["kept"]
        with scratch_database("default", keep=True) as connection:
            assert connection.settings_dict["NAME"] == name
            assert tables() == []
        assert left() == {Path(name).name}

    def test_it_stays_after_an_error(self) -> None:
        def fail() -> None:
            with scratch_database("default", keep=True):
                execute("CREATE TABLE kept (id integer)")
                raise LookupError

        assert isinstance(_error(fail), LookupError)
        (name,) = left()
        if UNDER_TEST == "sqlite":
            name = os.path.join(_temporary(), name)
        with configured(NAME=name):
            assert tables() == ["kept"]

    @POSTGRESQL
    def test_one_that_somebody_uses(self) -> None:
        with scratch_database("default", keep=True) as connection:
            name = connection.settings_dict["NAME"]
        user = connections["default"].copy()
        user.settings_dict["NAME"] = name
        user.ensure_connection()
        try:
            with (
                pytest.raises(ScratchError, match="is being accessed by other users"),
                scratch_database("default", keep=True),
            ):
                pytest.fail("it was let in")
        finally:
            user.close()
        assert left() == {name}

    @SQLITE
    def test_a_file_of_ours_alone_without_what_a_crash_left(self) -> None:
        with scratch_database("default", keep=True) as connection:
            path = Path(connection.settings_dict["NAME"])
        path.with_name(path.name + "-journal").write_text("stale")
        with scratch_database("default", keep=True):
            assert tables() == []
            assert {p.name for p in path.parent.glob("*-journal")} == set()
        assert path.stat().st_mode & 0o777 == 0o600

    @SQLITE
    def test_a_link_is_not_followed(self, tmp_path: Path) -> None:
        path = tmp_path / f"{scratch._name('default', keep=True)}.sqlite3"
        path.symlink_to(tmp_path / "elsewhere")
        with (
            pytest.raises(ScratchError, match="No scratch database can be made"),
            scratch_database("default", keep=True),
        ):
            pytest.fail("it was let in")
        assert not (tmp_path / "elsewhere").exists()


@pytest.mark.usefixtures("project")
class TestErrors:
    def test_the_body_raises(self) -> None:
        own = connections["default"]
        with pytest.raises(LookupError) as caught, scratch_database("default"):
            raise LookupError
        assert connections["default"] is own
        assert left() == set()
        assert not hasattr(caught.value, "__notes__")

    @SERVER
    def test_removal_fails(self) -> None:
        def lose() -> None:
            with scratch_database("default") as connection:
                _drop(connection.settings_dict["NAME"])

        error = _error(lose)
        assert isinstance(error, ScratchError)
        assert "can't be removed" in str(error)
        assert "\n" not in str(error)
        assert digest() in str(error)

    @SERVER
    def test_removal_fails_after_an_error(self) -> None:
        def lose() -> None:
            with scratch_database("default") as connection:
                _drop(connection.settings_dict["NAME"])
                raise LookupError

        error = _error(lose)
        assert isinstance(error, LookupError)
        (note,) = error.__notes__
        assert "can't be removed" in note

    @SERVER
    @pytest.mark.parametrize(
        "values",
        [{"PORT": 1}, {"PASSWORD": "wrong"}, {"HOST": "host.invalid"}],
        ids=["down", "password", "host"],
    )
    def test_no_connection(
        self, values: dict[str, Any], capfd: pytest.CaptureFixture[str]
    ) -> None:
        if values.get("PASSWORD") and not _passwords_count():
            pytest.skip("the server lets anybody in")
        with configured(**values):
            own = connections["default"]
            with (
                pytest.raises(ScratchError, match="No scratch database") as caught,
                scratch_database("default"),
            ):
                pytest.fail("it was let in")
            assert connections["default"] is own
        assert str(caught.value).startswith(
            'No scratch database can be made for "default" ('
        )
        assert "\n" not in str(caught.value)
        assert capfd.readouterr() == ("", "")

    @SERVER
    def test_a_right_is_missing(self, capfd: pytest.CaptureFixture[str]) -> None:
        user = f"syzygy_{digest()[-8:]}"
        create, drop, expected = {
            "postgresql": (
                f"CREATE ROLE {user} LOGIN PASSWORD 'secret'",
                f"DROP ROLE {user}",
                'No scratch database can be made for "default" (permission denied to '
                "create database): have an administrator run "
                f'ALTER ROLE "{user}" CREATEDB',
            ),
            "mariadb": (
                f"CREATE USER '{user}'@'%%' IDENTIFIED BY 'secret'",
                f"DROP USER '{user}'@'%%'",
                "have an administrator run GRANT ALL PRIVILEGES ON "
                f"`syzygy\\_rehearsal\\_%`.* TO '{user}'@'%'",
            ),
        }[UNDER_TEST]
        administer("default", create.replace("%%", "%"))
        try:
            with (
                configured(USER=user, PASSWORD="secret"),
                pytest.raises(ScratchError) as caught,
                scratch_database("default"),
            ):
                pytest.fail("it was let in")
        finally:
            administer("default", drop.replace("%%", "%"))
        assert str(caught.value).endswith(expected)
        assert "\n" not in str(caught.value)
        assert capfd.readouterr() == ("", "")
        assert left() == set()

    @SERVER
    def test_the_right_that_is_hinted_at_is_enough(self) -> None:
        user = f"syzygy_{digest()[-8:]}"
        create, drop = {
            "postgresql": (
                [f"CREATE ROLE {user} LOGIN PASSWORD 'secret'"],
                f"DROP ROLE {user}",
            ),
            "mariadb": (
                [f"CREATE USER '{user}'@'%' IDENTIFIED BY 'secret'"],
                f"DROP USER '{user}'@'%'",
            ),
        }[UNDER_TEST]
        for statement in create:
            administer("default", statement)
        try:
            hint = scratch._RIGHTS[connections["default"].vendor] % user
            try:
                administer("default", hint)
            except OperationalError as error:
                pytest.skip(f"the tests' own user may not do that: {error}")
            with configured(USER=user, PASSWORD="secret"), scratch_database("default"):
                execute("CREATE TABLE made (id integer)")
        finally:
            administer("default", drop)
        assert left() == set()

    def test_settings_that_do_not_work(self) -> None:
        with (
            configured(ENGINE="django.db.backends.dummy"),
            pytest.raises(ScratchError, match="improperly configured") as caught,
            scratch_database("default"),
        ):
            pytest.fail("it was let in")
        assert "\n" not in str(caught.value)


def _drop(name: str) -> None:
    maker = scratch._maker("default", keep=False)
    force = " WITH (FORCE)" if UNDER_TEST == "postgresql" else ""
    with maker._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name}{force}")


def _passwords_count() -> bool:
    with configured(PASSWORD="wrong"):
        try:
            connections["default"].ensure_connection()
        except OperationalError:
            return True
    return False


CHILD = """
import sys, threading, time
import django
django.setup()
from django.db import connections
from syzygy.rehearsal.scratch import scratch_database
{before}
def tell(*words):
    print(*words, flush=True)
def rest():
    # Python sees a signal that comes just before a nap when that is over.
    while True:
        time.sleep(0.2)
with scratch_database("default"):
    tell(connections["default"].settings_dict["NAME"])
    {body}
"""

CREATING = """
from django.db import connections as c
creation = type(c["default"].creation)
original = creation._create_test_db
def create(self, *args, **kwargs):
    name = original(self, *args, **kwargs)
    tell(name)
    rest()
creation._create_test_db = create
"""

# Waits for the signal within the removal.
REMOVING = """
from django.db import connections as c
creation = type(c["default"].creation)
original = creation._destroy_test_db
def destroy(self, *args, **kwargs):
    tell("removing")
    sys.stdin.readline()
    original(self, *args, **kwargs)
creation._destroy_test_db = destroy
"""


class Child:
    """A process of the project's that has a scratch database."""

    def __init__(
        self, project: Project, body: str = "rest()", before: str = ""
    ) -> None:
        project.write_settings()
        variables = environment() | {
            "DJANGO_SETTINGS_MODULE": "settings",
            # Most of the time would be spent on compiling Django.
            "PYTHONPYCACHEPREFIX": str(project.path.parent / "bytecode"),
        }
        del variables["PYTHONDONTWRITEBYTECODE"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD.format(body=body, before=before)],
            cwd=project.path,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *args: object) -> None:
        # Else a test that fails would leave it, and its database.
        with self.process:
            self.process.terminate()

    def end(self, stdin: str = "") -> tuple[int, str]:
        _, stderr = self.process.communicate(stdin, timeout=60)
        return self.process.returncode, stderr


SIGNALS = pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, -2)],
    ids=["SIGTERM", "SIGHUP", "SIGINT"],
)


class TestSignals:
    @SIGNALS
    def test_in_the_body(
        self, project: Project, number: signal.Signals, code: int
    ) -> None:
        with Child(project) as child:
            name = child.line()
            assert left() == ({name} if UNDER_TEST != "sqlite" else set())
            child.process.send_signal(number)
            returncode, stderr = child.end()
        assert returncode == code
        assert ("KeyboardInterrupt" in stderr) is (number == signal.SIGINT)
        assert left() == set()

    @SIGNALS
    def test_while_it_is_made(
        self, project: Project, number: signal.Signals, code: int
    ) -> None:
        with Child(project, before=CREATING) as child:
            name = child.line()
            assert left() == ({name} if UNDER_TEST != "sqlite" else set())
            child.process.send_signal(number)
            assert child.end()[0] == code
        assert left() == set()

    @SIGNALS
    def test_while_it_is_removed(
        self, project: Project, number: signal.Signals, code: int
    ) -> None:
        with Child(project, body="pass", before=REMOVING) as child:
            child.line()
            assert child.line() == "removing"
            child.process.send_signal(number)
            assert child.end("\n")[0] == code
        assert left() == set()

    @SERVER
    @SIGNALS
    def test_while_a_statement_runs(
        self, project: Project, number: signal.Signals, code: int
    ) -> None:
        sleep = {"postgresql": "SELECT pg_sleep(2)", "mariadb": "SELECT SLEEP(2)"}
        body = (
            "with connections['default'].cursor() as cursor:\n"
            f"        tell('now'); cursor.execute({sleep[UNDER_TEST]!r}); rest()"
        )
        with Child(project, body=body) as child:
            child.line()
            assert child.line() == "now"
            child.process.send_signal(number)
            assert child.end()[0] == code
        assert left() == set()

    @POSTGRESQL
    def test_session_that_nobody_knows(self, project: Project) -> None:
        body = (
            "own = connections['default']\n"
            "    lost = own.get_new_connection(own.get_connection_params())\n"
            "    tell('now'); rest()"
        )
        with Child(project, body=body) as child:
            child.line()
            assert child.line() == "now"
            child.process.send_signal(signal.SIGTERM)
            assert child.end()[0] == 143
        assert left() == set()

    def test_what_is_ignored_stays_so(self, project: Project) -> None:
        with Child(
            project,
            body="tell(sys.stdin.readline())",
            before="import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)",
        ) as child:
            child.line()
            child.process.send_signal(signal.SIGHUP)
            assert child.end("\n") == (0, "")

    @pytest.mark.usefixtures("project")
    def test_handlers_are_restored(self) -> None:
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = [signal.getsignal(number) for number in numbers]
        with scratch_database("default"):
            inside = [signal.getsignal(number) for number in numbers]
            assert all(a is not b for a, b in zip(before, inside, strict=True))
        assert [signal.getsignal(number) for number in numbers] == before

    @pytest.mark.usefixtures("project")
    def test_in_another_thread_they_are_left_alone(self) -> None:
        before = signal.getsignal(signal.SIGTERM)

        def rehearse() -> Any:
            with scratch_database("default"):
                return signal.getsignal(signal.SIGTERM), tables()

        assert in_thread(rehearse) == (before, [])
        assert left() == set()


class InterruptedAt:
    """Sends SIGINT before a line of what makes and removes databases, by number."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._lines = 0

    @property
    def was_late(self) -> bool:
        return self._lines < self._number

    def _trace(self, frame: FrameType, event: str, arg: object) -> Any:
        if frame.f_code.co_filename not in (scratch.__file__, interrupts.__file__):
            return None
        if event == "line":
            self._lines += 1
            if self._lines == self._number:
                signal.raise_signal(signal.SIGINT)
        return self._trace

    def __enter__(self) -> InterruptedAt:
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *details: object) -> None:
        sys.settrace(self._before)


class Failure(Exception):
    pass


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Which databases there are; none is really made."""
    made: list[object] = []
    monkeypatch.setattr(scratch, "_create", made.append)
    monkeypatch.setattr(scratch, "_expel", lambda maker: None)
    monkeypatch.setattr(scratch, "_remove", lambda maker: made.clear())
    monkeypatch.setattr(scratch, "_verify", lambda connection: None)
    # A process that is told to end has no use for the configured ones any more.
    monkeypatch.setattr(scratch, "_in_place_of", lambda *_: nullcontext())
    return made


@pytest.mark.parametrize("failure", [None, Failure])
def test_interrupted_at_any_line(
    failure: type[Failure] | None, made: list[object]
) -> None:
    for number in itertools.count(1):
        moment = InterruptedAt(number)
        with (
            suppress(KeyboardInterrupt, Failure),
            moment,
            scratch_database("default"),
        ):
            assert made
            if failure is not None:
                raise failure
        assert not made, f"It is left by the line with the number {number}."
        if moment.was_late:
            break
    assert number > 10


@pytest.mark.parametrize("failure", [None, Failure])
@pytest.mark.parametrize(
    ("number", "error"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)],
)
def test_signal_of_which_something_else_becomes(
    number: signal.Signals,
    error: type[BaseException],
    failure: type[Failure] | None,
    made: list[object],
) -> None:
    def interrupt() -> None:
        with suppress(KeyboardInterrupt):
            signal.raise_signal(number)
        if failure is not None:
            raise failure

    with pytest.raises((Failure, error)) as caught, scratch_database("default"):
        interrupt()
    assert caught.type is error
    assert not made


def test_somebody_elses_handler_is_called_once_for_a_signal(made: list[object]) -> None:
    """At a second signal it may well end the process at once."""
    handler = Mock(side_effect=KeyboardInterrupt)
    before = signal.signal(signal.SIGTERM, handler)
    try:
        with (
            pytest.raises(KeyboardInterrupt),
            scratch_database("default"),
            suppress(KeyboardInterrupt),
        ):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    handler.assert_called_once()
    assert not made
