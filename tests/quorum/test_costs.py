"""What a party that waits asks of a store, as the store counts it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import override_settings

from syzygy.quorum import session as session_module
from syzygy.quorum.backends import database
from syzygy.quorum.backends.base import RosterQuorum
from syzygy.quorum.backends.cache import PLACES, CacheQuorum
from syzygy.quorum.backends.database import DatabaseQuorum
from syzygy.quorum.protocol import Participant
from syzygy.quorum.records import Record
from syzygy.quorum.session import QuorumTimeout, Session
from syzygy.quorum.worker import Worker
from syzygy.quorum.world import Settings
from tests.quorum.conftest import ALL
from tests.quorum.helpers import Clusters, Server

pytest_plugins = ["tests.command_fixtures"]

# Neither of the clients for Redis closes its connections when its cache is closed.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

# Those by which a client introduces itself.
GREETINGS = {"client|setinfo", "hello", "info", "select"}


class Nobody:
    """A world in which nothing happens."""

    def is_applied(self) -> bool:
        return False

    is_known_applied = is_applied

    def take_lock(self) -> bool | None:
        raise NotImplementedError

    def lock_holder(self) -> str:
        raise NotImplementedError

    def is_idle(self) -> bool | None:
        raise NotImplementedError

    def say(self, text: str) -> None:
        pass


def wait_alone(
    quorum: RosterQuorum, asked: Callable[[], int], patch: pytest.MonkeyPatch
) -> tuple[int, int]:
    """Wait in vain for three minutes, by a clock that runs fast.

    Return what was asked in the first one, and in the other two.
    """
    now, seconds, before, early = 0.0, 180.0, asked(), 0

    def sleep(seconds: float) -> None:
        nonlocal now, early
        if now < 60 <= now + seconds:
            early = asked() - before
        now += seconds

    patch.setattr(session_module, "time", SimpleNamespace(sleep=sleep))
    record = Record("a", "host", 1, 2, "plan", "a plan")
    participant = Participant(
        record, lease=10.0, deadline=seconds, make_ballot=lambda: ""
    )
    session = Session(
        Settings("costs", seconds, 10.0),
        cast("Worker", SimpleNamespace(ask=lambda question, _=0.0: question(quorum))),
        participant,
        Nobody(),
        clock=lambda: now,
    )
    with pytest.raises(QuorumTimeout):
        session.gather()
    assert now >= seconds
    return early, asked() - before - early


def asked_of_redis(server: Server) -> int:
    told = server.ask("INFO commandstats")
    calls = re.findall(r"cmdstat_([\w|]+):calls=(\d+)", told)
    return sum(int(count) for name, count in calls if name not in GREETINGS)


def asked_of_memcached(server: Server) -> int:
    told = dict(re.findall(r"STAT (\w+) (\d+)", server.ask("stats")))
    # What a party reads are all places at once, each of which is counted.
    places = PLACES + 2 * 2
    reads, rest = divmod(int(told["cmd_get"]), places)
    return reads + rest + int(told["cmd_set"]) + int(told["delete_hits"])


@pytest.mark.parametrize("backend", ALL, indirect=True)
def test_waiting(
    clusters: Clusters,
    backend: str,
    shared_servers: Callable[[str], Server],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    statements = 0
    open_store = database.open_store

    def open_counting(original: BaseDatabaseWrapper) -> BaseDatabaseWrapper:
        def count(execute: Callable[..., Any], *arguments: Any) -> Any:
            nonlocal statements
            statements += 1
            return execute(*arguments)

        opened = open_store(original)
        opened.execute_wrappers.append(count)
        return opened

    monkeypatch.setattr(database, "open_store", open_counting)

    def asked() -> int:
        if backend == "database":
            return statements
        if backend == "memcached":
            return asked_of_memcached(shared_servers("memcached"))
        return asked_of_redis(shared_servers("redis"))

    if backend == "database":
        quorum: RosterQuorum = DatabaseQuorum()
        quorum.bind(connection)
    else:
        with override_settings(CACHES=clusters.project.settings["CACHES"]):
            quorum = CacheQuorum()
    early, later = wait_alone(quorum, asked, monkeypatch)
    quorum.close()
    assert 60 < early <= 5 * 60
    assert 60 < later <= 1 * 120


END = """
import atexit, gc
# What is registered first is called last.
atexit.register(lambda: print(gc.get_freeze_count() > 0))
{without}
from django.conf import settings
settings.configure(
    MIGRATION_QUORUM_BACKEND="syzygy.quorum.backends.database.DatabaseQuorum"
)
from syzygy.management.coordination import coordinating
with coordinating({{"quorum": {size}}}, print):
    pass
"""


@pytest.mark.parametrize(
    ("size", "without", "expected"),
    [(2, "", "True\n"), (1, "", "False\n"), (2, "del gc.freeze", "False\n")],
    ids=["a party", "alone", "an interpreter that freezes nothing"],
)
def test_a_party_looks_for_no_garbage_when_it_ends(
    size: int, without: str, expected: str
) -> None:
    """That takes more time than all else that one does who sees the plan applied."""
    command = [sys.executable, "-c", END.format(size=size, without=without)]
    assert subprocess.check_output(command, text=True) == expected
