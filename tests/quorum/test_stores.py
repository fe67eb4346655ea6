"""Stores that forget, fail, or can't be used at all."""

from __future__ import annotations

from pathlib import Path
from signal import SIGCONT, SIGSTOP
from threading import Thread
from typing import Any
from unittest.mock import Mock

import pytest
from django.db import connection

from syzygy.quorum.backends.base import RosterQuorum
from syzygy.quorum.worker import Worker
from tests.command_helpers import CREATE, Project, source
from tests.quorum.conftest import (
    CACHE,
    DATABASE,
    LEASE,
    ONE,
    StartServer,
    cache_settings,
)
from tests.quorum.helpers import (
    HOOK,
    Clusters,
    PartyServer,
    Server,
    assert_all,
    free_port,
    wait_until,
)
from tests.services import UNDER_TEST

pytest_plugins = ["tests.command_fixtures"]

KINDS = ["redis", "memcached"] if UNDER_TEST == "sqlite" else ["redis"]


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, start_server: StartServer) -> Server:
    """A server that the test may stop."""
    return start_server(request.param)


@pytest.fixture
def own(server: Server, project: Project, party_server: PartyServer) -> Clusters:
    """Make clusters that meet in a server of their own."""
    project.app("blog", {"0001_initial": source(HOOK, CREATE)})
    project.settings["CACHES"] = cache_settings(server.name, server)
    return Clusters(project, party_server, {"backend": CACHE, "lease": LEASE})


def test_flush_while_waiting(server: Server, own: Clusters) -> None:
    parties = own.start_all(2, quorum=3)
    for party in parties:
        party.wait_for("Waiting for 1 of 3")
    server.flush()
    parties += own.start_all(1, quorum=3)
    assert_all(parties)
    assert len(own.appliers) == 1


def test_flush_while_applying(server: Server, own: Clusters) -> None:
    own.hold()
    parties = own.start_all(3)
    leader, others = own.leading(parties)
    for party in others:
        party.wait_for("The quorum of 3 is there")
    server.flush()
    own.wait_for_beats(leader, LEASE + 1)
    assert [party.code for party in parties] == [None] * 3
    server.flush()
    own.release()
    assert_all(parties)
    assert len(own.appliers) == 1


def test_restart_while_waiting(server: Server, own: Clusters) -> None:
    parties = own.start_all(1, quorum=2)
    parties[0].wait_for("Waiting for 1 of 2")
    server.stop()
    parties[0].wait_for("Trying again")
    server.start()
    parties[0].wait_for("can be reached again")
    parties += own.start_all(1, quorum=2)
    assert_all(parties)
    assert len(own.appliers) == 1


def test_restart_while_applying(server: Server, own: Clusters) -> None:
    own.hold()
    parties = own.start_all(2)
    _, (follower,) = own.leading(parties)
    follower.wait_for("The quorum of 2 is there")
    server.stop()
    follower.wait_for("Trying again")
    server.start()
    follower.wait_for("can be reached again")
    own.release()
    assert_all(parties)


def test_gone_while_waiting(server: Server, own: Clusters) -> None:
    party = own.start("--quorum", "2", "--quorum-timeout", "3")
    party.wait_for("Waiting for 1 of 2")
    server.stop()
    assert party.wait() == 3
    (line,) = party.stderr.strip().splitlines()
    assert 'The cache "default" can\'t be asked' in line


def test_gone_while_applying(server: Server, own: Clusters) -> None:
    own.hold()
    leader, (follower,) = own.leading(own.start_all(2))
    follower.wait_for("The quorum of 2 is there")
    server.stop()
    assert follower.wait() == 4, follower.output
    (line,) = follower.stderr.strip().splitlines()
    assert "so nobody knows how" in line
    own.release()
    assert_all([leader])


def test_gone_while_applying_and_applied_in_time(server: Server, own: Clusters) -> None:
    own.hold()
    parties = own.start_all(2)
    _, (follower,) = own.leading(parties)
    follower.wait_for("The quorum of 2 is there")
    server.stop()
    own.release()
    assert_all(parties)


def test_store_that_does_not_answer(server: Server, own: Clusters) -> None:
    own.hold()
    parties = own.start_all(2)
    _, (follower,) = own.leading(parties)
    follower.wait_for("The quorum of 2 is there")
    server.signal(SIGSTOP)
    own.release()
    assert_all(parties)
    server.signal(SIGCONT)


def test_entries_expire_early(own: Clusters) -> None:
    own.backend["timeout"] = 1
    own.project.write_settings()
    parties = own.start_all(1, quorum=3)
    parties[0].wait_for("Waiting for 2 of 3")
    with own.store() as read:
        wait_until(lambda: not read(), pause=0.1)
    own.hold()
    parties += own.start_all(2, quorum=3)
    leader, _ = own.leading(parties)
    own.wait_for_beats(leader, LEASE)
    own.release()
    assert_all(parties)
    assert len(own.appliers) == 1


@pytest.mark.skipif(UNDER_TEST == "sqlite", reason="The table is in another file.")
def test_table_that_is_dropped(clusters: Clusters) -> None:
    parties = clusters.start_all(2, quorum=3)
    for party in parties:
        party.wait_for("Waiting for 1 of 3")
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE syzygy_quorum")
    parties += clusters.start_all(1, quorum=3)
    assert_all(parties)


# What can't be used


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"MIGRATION_QUORUM_BACKEND": None}, '"MIGRATION_QUORUM_BACKEND" is missing'),
        ({"MIGRATION_QUORUM_BACKEND": 5}, "is 5. Make it the path of a class"),
        ({"MIGRATION_QUORUM_BACKEND": "nowhere.Quorum"}, "can't be imported"),
        ({"MIGRATION_QUORUM_BACKEND": "syzygy.Stage"}, "is no subclass of"),
        (
            {"MIGRATION_QUORUM_BACKEND": "syzygy.quorum.backends.base.QuorumBase"},
            "lacks the methods: join, poll, sever",
        ),
        (
            {"MIGRATION_QUORUM_BACKEND": {"backend": CACHE, "speed": 1}},
            "doesn't take these options",
        ),
        (
            {"MIGRATION_QUORUM_BACKEND": {"backend": CACHE, "timeout": 0}},
            '"timeout" has to be a number of whole seconds, not 0',
        ),
        (
            {"MIGRATION_QUORUM_BACKEND": {"backend": DATABASE, "lease": -1}},
            '"lease" has to be a positive number, not -1',
        ),
        (
            {"MIGRATION_QUORUM_BACKEND": {"backend": CACHE, "alias": "nope"}},
            'There is no cache "nope"',
        ),
        (
            {"MIGRATION_QUORUM_BACKEND": {"backend": CACHE, "alias": ["default"]}},
            "There is no cache \"['default']\"",
        ),
        (
            {"MIGRATION_QUORUM_BACKEND": {"backend": DATABASE, "alias": "nope"}},
            'There is no database "nope"',
        ),
        (
            {"MIGRATION_QUORUM_BACKEND": {"backend": DATABASE, "alias": ["default"]}},
            "There is no database \"['default']\"",
        ),
        ({"MIGRATION_QUORUM_BACKEND": CACHE}, "is a LocMemCache, which no other"),
        (
            {
                "MIGRATION_QUORUM_BACKEND": CACHE,
                "CACHES": {
                    "default": {
                        "BACKEND": "django.core.cache.backends.dummy.DummyCache"
                    }
                },
            },
            "is a DummyCache, which no other",
        ),
        (
            {
                "MIGRATION_QUORUM_BACKEND": CACHE,
                "MIGRATE_QUORUM_BACKEND": DATABASE,
            },
            "have different values",
        ),
    ],
)
def test_setting_that_is_wrong(
    clusters: Clusters, values: dict[str, Any], message: str
) -> None:
    clusters.project.settings |= values
    clusters.project.write_settings()
    refuses(clusters, message, 1)
    if values["MIGRATION_QUORUM_BACKEND"] is not None:
        result = clusters.command("check")
        assert "syzygy.E003" in result.stderr, result.output
        assert message in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--quorum", "0"),
        ("--quorum=-1",),
        ("--quorum", "abc"),
        ("--quorum", "2", "--quorum-timeout", "0"),
        ("--quorum", "2", "--quorum-timeout=-1"),
        ("--quorum", "2", "--quorum-timeout", "nan"),
    ],
)
def test_number_that_is_wrong(clusters: Clusters, arguments: tuple[str, ...]) -> None:
    refuses(clusters, "It has to be", 2, *arguments)


def refuses(
    clusters: Clusters, message: str, code: int, *arguments: str, limit: float = 120.0
) -> None:
    party = clusters.start(*(arguments or ("--quorum", "2")))
    assert party.wait(limit) == code, party.output
    assert "Traceback" not in party.stderr
    lines = party.stderr.strip().splitlines()
    # Before it Django may tell what the system checks warn of.
    assert len(lines) == 1 or "syzygy.W002" in party.stderr, party.output
    assert message in lines[-1], party.output
    assert clusters.project.applied() == []


@pytest.mark.parametrize("name", ["django-redis", "redis", "memcached"])
def test_server_that_is_down(clusters: Clusters, name: str, server: Server) -> None:
    server.stop()
    server.port = free_port()
    clusters.project.settings["CACHES"] = cache_settings(name, server)
    clusters.project.settings["MIGRATION_QUORUM_BACKEND"] = CACHE
    clusters.project.write_settings()
    refuses(clusters, 'The cache "default" can\'t be asked', 1)


def test_server_whose_errors_are_ignored(clusters: Clusters, server: Server) -> None:
    server.stop()
    clusters.project.settings["CACHES"] = cache_settings(
        "django-redis", server, OPTIONS={"IGNORE_EXCEPTIONS": True}
    )
    clusters.project.settings["MIGRATION_QUORUM_BACKEND"] = CACHE
    clusters.project.write_settings()
    refuses(clusters, "takes no entries", 1)


def test_password_that_is_wrong(clusters: Clusters, start_server: StartServer) -> None:
    server = start_server("redis", "--requirepass", "secret")
    clusters.project.settings["CACHES"] = cache_settings("redis", server)
    clusters.project.settings["MIGRATION_QUORUM_BACKEND"] = CACHE
    clusters.project.write_settings()
    refuses(clusters, "AuthenticationError", 1)


@pytest.mark.skipif(UNDER_TEST == "sqlite", reason="A file has no server.")
@pytest.mark.parametrize("wrong", ["PORT", "PASSWORD"])
def test_database_that_is_away(clusters: Clusters, wrong: str) -> None:
    values = {**clusters.project.databases["default"], wrong: str(free_port())}
    clusters.project.databases = {"default": values}
    clusters.project.write_settings()
    refuses(clusters, 'The database "default" can\'t be reached', 1)


def test_database_in_memory(clusters: Clusters) -> None:
    if UNDER_TEST != "sqlite":
        pytest.skip("Only SQLite has it.")
    clusters.project.databases = {
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    }
    clusters.project.write_settings()
    party = clusters.run("--quorum", "2")
    assert party.code == 1
    assert "in the memory of this process" in party.stderr


def test_file_based_cache(clusters: Clusters, tmp_path: Path) -> None:
    clusters.project.settings |= {
        "CACHES": {
            "default": {
                "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
                "LOCATION": str(tmp_path / "cache"),
            }
        },
        "MIGRATION_QUORUM_BACKEND": CACHE,
    }
    clusters.project.write_settings()
    result = clusters.command("check")
    assert result.code == 0
    assert "syzygy.W002" in result.stderr
    assert_all(clusters.start_all(4))
    assert len(clusters.appliers) == 1


@pytest.mark.parametrize("alias", ["default", "other"])
def test_database_cache(clusters: Clusters, alias: str) -> None:
    clusters.project.settings |= {
        "CACHES": {
            "default": {
                "BACKEND": "django.core.cache.backends.db.DatabaseCache",
                "LOCATION": "cache_table",
            }
        },
        "MIGRATION_QUORUM_BACKEND": CACHE,
    }
    clusters.project.write_settings()
    result = clusters.command("createcachetable")
    assert "syzygy.W002" in clusters.command("check").stderr, result.output
    if UNDER_TEST == "sqlite":
        refuses(clusters, "can't be written while it is migrated", 1)
    else:
        assert_all(clusters.start_all(3, "--database", alias))


def test_old_name_of_the_setting(clusters: Clusters) -> None:
    value = clusters.project.settings.pop("MIGRATION_QUORUM_BACKEND")
    clusters.project.settings["MIGRATE_QUORUM_BACKEND"] = value
    clusters.project.write_settings()
    assert_all(clusters.start_all(2))


@pytest.mark.parametrize("backend", ONE, indirect=True)
def test_nothing_is_checked_without_a_reason(clusters: Clusters) -> None:
    assert clusters.command("check").stderr == ""


def test_signal_before_the_thread_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(thread: Thread) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    store = Mock(spec=RosterQuorum)
    worker = Worker(lambda: store)
    monkeypatch.setattr(Thread, "start", interrupt)
    with pytest.raises(KeyboardInterrupt):
        worker.ask(lambda store: 1)
    # As a party does that leaves.
    assert worker.ask(lambda store: 2, 2.0) == 2
    worker.close()
    store.close.assert_called_once_with()
    monkeypatch.setattr(Thread, "start", interrupt)
    with pytest.raises(KeyboardInterrupt):
        worker.ask(lambda store: 3)
    worker.close()
