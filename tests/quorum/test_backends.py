"""Backends by themselves, and one of somebody else's."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest
from django.core.exceptions import ImproperlyConfigured

from syzygy.exceptions import QuorumDissolved
from syzygy.messages import migrating
from syzygy.quorum import QuorumDisolved, join_quorum, poll_quorum, sever_quorum, simple
from syzygy.quorum.backends.base import QuorumBase, RosterQuorum, StoreUnavailable
from syzygy.quorum.backends.cache import CacheQuorum
from syzygy.quorum.backends.database import DatabaseQuorum
from syzygy.quorum.identity import namespace
from syzygy.quorum.pace import BEAT_LATER, Pace
from syzygy.quorum.records import Phase, Record, decode
from syzygy.quorum.session import Outcome
from syzygy.quorum.simple import SimpleSession
from syzygy.quorum.world import Settings
from tests.docs_helpers import blocks, read
from tests.quorum.conftest import ALL, DATABASE
from tests.quorum.helpers import Clusters, assert_all
from tests.quorum.simulation import Sim, World, elect, results
from tests.services import UNDER_TEST

pytest_plugins = ["tests.command_fixtures"]

# Neither of the clients for Redis closes its connections when its cache is closed.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture(autouse=True)
def collect(request: pytest.FixtureRequest) -> Iterator[None]:
    """See to it that they are warned of while that is ignored."""
    yield
    if "shared_servers" in request.fixturenames:
        gc.collect()


def documented() -> str:
    """The backend that the documentation shows."""
    (block,) = (
        block
        for block in blocks(read("how-to/quorum"))
        if block.caption == "yourapp/quorum.py"
    )
    return block.text


@pytest.fixture
def third(clusters: Clusters) -> Clusters:
    """Make clusters that meet by a backend which can do no more than it must."""
    clusters.project.write("mine.py", documented())
    clusters.project.settings["MIGRATION_QUORUM_BACKEND"] = {
        "backend": "mine.DirectoryQuorum",
        "directory": str(clusters.path("meeting")),
    }
    clusters.project.write_settings()
    return clusters


def test_third_party_backend(third: Clusters) -> None:
    assert_all(third.start_all(3))
    assert len(third.appliers) == 1
    assert_all(third.start_all(2, "blog", "zero"))
    assert_all(third.start_all(3))
    assert len(third.appliers) == 2


def test_third_party_backend_when_a_party_fails(third: Clusters) -> None:
    third.hold()
    third.path("fail").touch()
    leader, others = third.leading(third.start_all(3))
    third.release()
    assert leader.wait() == 1
    assert_all(others, 4)
    third.path("fail").unlink()
    assert_all(third.start_all(3))


def test_third_party_backend_when_too_few_come(third: Clusters) -> None:
    party = third.start("--quorum", "2", "--quorum-timeout", "1")
    assert party.wait() == 3
    assert "The quorum of 2 was not there within 1 seconds." in party.stderr
    assert_all(third.start_all(2))


def test_third_party_backend_that_fails(third: Clusters) -> None:
    third.project.write(
        "mine.py", documented().replace("return (place", "raise OSError(5)  # ")
    )
    first = third.start("--quorum", "2")
    assert first.wait() == 1
    assert "The backend of the quorum failed: OSError: 5" in first.stderr


class Locked:
    """A backend whose quorum is there, and a world in which others have the lock."""

    def __init__(self, seconds: float, *, leads: bool) -> None:
        self.now = 0.0
        self.free_at = seconds
        self.leads = leads
        self.said: list[str] = []
        self.severed = 0

    def join(self, namespace: str, quorum: int) -> bool:
        return self.leads

    def poll(self, namespace: str, quorum: int) -> bool:
        return True

    def sever(self, namespace: str, quorum: int) -> None:
        self.severed += 1

    def take_lock(self) -> bool:
        return self.now >= self.free_at

    is_idle = take_lock

    def lock_holder(self) -> str:
        return "somebody"

    def is_applied(self) -> bool:
        return False

    is_known_applied = is_applied

    def say(self, text: str) -> None:
        self.said.append(text)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def session(self) -> SimpleSession:
        backend = cast("QuorumBase", self)
        return SimpleSession(
            Settings("ns", 5.0, 0.0), backend, 2, self, clock=lambda: self.now
        )

    def gather(self, patch: pytest.MonkeyPatch) -> Outcome:
        patch.setattr(simple, "time", SimpleNamespace(sleep=self.sleep))
        return self.session().gather()


def test_third_party_backend_while_others_have_the_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leader = Locked(100.0, leads=True)
    assert leader.gather(monkeypatch) is Outcome.LEADS
    assert leader.now == 100
    assert leader.said == [migrating("somebody")]
    follower = Locked(100.0, leads=False)
    with pytest.raises(QuorumDissolved, match="is gone"):
        follower.gather(monkeypatch)
    # The one that leads tries it every half a second.
    assert 102 < follower.now < 105


@pytest.mark.parametrize(("applies", "severed"), [(False, 1), (True, 0)])
def test_third_party_backend_and_a_signal_before_or_after(
    applies: bool, severed: int
) -> None:
    leader = Locked(0.0, leads=True)
    session = leader.session()

    def interrupt() -> None:
        assert session.gather() is Outcome.LEADS
        if applies:
            with session.applying():
                pass
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), session.leaving():
        interrupt()
    assert leader.severed == severed


@pytest.mark.parametrize(
    ("error", "severed"), [(KeyboardInterrupt, 1), (ConnectionError, 0)]
)
def test_third_party_backend_that_is_left_while_it_joins(
    error: type[BaseException], severed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    party = Locked(0.0, leads=False)
    monkeypatch.setattr(party, "join", Mock(side_effect=error))
    with pytest.raises((KeyboardInterrupt, StoreUnavailable)):
        party.session().gather()
    assert party.severed == severed


# join, poll and sever


@pytest.fixture
def make(clusters: Clusters, backend: str) -> Callable[[], RosterQuorum]:
    """Return a function that makes a party's backend."""
    from django.test import override_settings

    if backend == "database":
        return DatabaseQuorum
    configured = clusters.project.settings["CACHES"]

    def make_cache_quorum() -> RosterQuorum:
        with override_settings(CACHES=configured):
            return CacheQuorum()

    return make_cache_quorum


@pytest.mark.parametrize("backend", ALL, indirect=True)
def test_join_poll_sever(make: Callable[[], RosterQuorum]) -> None:
    first, second, third = make(), make(), make()
    assert not first.join("ns", 2)
    assert not first.poll("ns", 2)
    assert second.join("ns", 2)
    assert first.poll("ns", 2)
    assert second.poll("ns", 2)
    # Another round.
    assert not third.join("ns", 2)
    assert not third.poll("ns", 2)
    third.sever("ns", 2)
    with pytest.raises(QuorumDissolved):
        third.poll("ns", 2)
    assert not first.join("ns", 2)
    assert not first.poll("ns", 2)
    assert second.join("ns", 2)
    assert first.poll("ns", 2)
    for each in (first, second, third):
        each.close()


@pytest.mark.parametrize("backend", ALL, indirect=True)
def test_each_round_has_one_leader(
    make: Callable[[], RosterQuorum], backend: str
) -> None:
    size, rounds, threads = 50, 200 if backend == "redis" else 4, 10
    if UNDER_TEST != "sqlite":
        rounds = 4
    each = size * rounds // threads

    def join(quorum: RosterQuorum) -> int:
        try:
            return sum(quorum.join("crowd", size) for _ in range(each))
        finally:
            quorum.close()

    backends = [make() for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        leaders = list(pool.map(join, backends))
    assert sum(leaders) == rounds


class StoreWorld(World):
    """One with a store as it is."""

    def __init__(self, make: Callable[[], RosterQuorum]) -> None:
        super().__init__()
        self.make = make
        self.quorums: dict[str, RosterQuorum] = {}

    def _records(self, sim: Sim) -> dict[str, Record]:
        quorum = self.quorums.get(sim.name) or self.make()
        self.quorums[sim.name] = quorum
        size = sim.participant.record.size
        decoded = {
            party: decode(text) for party, text in quorum.read("crowd", size).items()
        }
        return {party: record for party, record in decoded.items() if record}

    def _keep(self, sim: Sim) -> None:
        record = sim.participant.record
        quorum = self.quorums[sim.name]
        quorum.write("crowd", record.size, record.party, record.encode())

    def _remove(self, sim: Sim, party: str) -> None:
        self.quorums[sim.name].remove("crowd", party)


@pytest.mark.parametrize("backend", ["redis"], indirect=True)
def test_fifty_parties_elect_one_of_them(make: Callable[[], RosterQuorum]) -> None:
    for seed in range(1):
        world = StoreWorld(make)
        sims = elect(world, 50, seed)
        assert sum(sim.is_elected for sim in sims) == 1
        assert results(sims) == ["applied"] + ["followed"] * 49
        for quorum in world.quorums.values():
            quorum.close()


@pytest.mark.parametrize("backend", ALL, indirect=True)
def test_roster(make: Callable[[], RosterQuorum]) -> None:
    quorum, other = make(), make()
    assert quorum.read("ns", 2) == {}
    quorum.write("ns", 2, "a", "first")
    other.read("ns", 2)
    other.write("ns", 2, "b", "second é")
    assert quorum.read("ns", 2) == {"a": "first", "b": "second é"}
    quorum.write("ns", 2, "a", "third")
    assert other.read("ns", 2) == {"a": "third", "b": "second é"}
    assert other.read("elsewhere", 2) == {}
    quorum.read("ns", 2)
    quorum.remove("ns", "b")
    quorum.remove("ns", "nobody")
    assert quorum.read("ns", 2) == {"a": "third"}
    assert quorum.claim("ns", "a")
    assert quorum.claim("ns", "a")
    assert not other.claim("ns", "b")
    quorum.disclaim("ns", "a")
    assert other.claim("ns", "b")
    other.disclaim("ns", "b")
    quorum.remove("ns", "a")
    quorum.close()
    other.close()


def test_a_place_that_another_one_took(clusters: Clusters, shared_servers: Any) -> None:
    from django.test import override_settings

    from tests.quorum.conftest import cache_settings

    server = shared_servers("redis")
    prefix = clusters.project.path.name
    with override_settings(CACHES=cache_settings("redis", server, KEY_PREFIX=prefix)):
        first, second = CacheQuorum(), CacheQuorum()
    first.read("ns", 2)
    first.write("ns", 2, "a", "1")
    server.flush()
    second.read("ns", 2)
    second._place = first._place
    second.write("ns", 2, "b", "2")
    first.read("ns", 2)
    first.write("ns", 2, "a", "3")
    assert first.read("ns", 2) == {"a": "3", "b": "2"}


def test_functions(clusters: Clusters, settings: Any) -> None:
    settings.MIGRATION_QUORUM_BACKEND = DATABASE
    del clusters
    assert not join_quorum("namespace", 2)
    assert not poll_quorum("namespace", 2)
    assert join_quorum("namespace", 2)
    assert poll_quorum("namespace", 2)
    sever_quorum("namespace", 2)
    with pytest.raises(QuorumDisolved):
        poll_quorum("namespace", 2)
    with pytest.raises(ValueError, match="at least 1"):
        join_quorum("namespace", 0)


def test_functions_without_the_setting(settings: Any) -> None:
    settings.MIGRATION_QUORUM_BACKEND = None
    with pytest.raises(ImproperlyConfigured, match="DatabaseQuorum"):
        join_quorum("namespace", 2)


def test_minimal_interface() -> None:
    assert QuorumBase.__abstractmethods__ == {"join", "poll", "sever"}


# What is written, and how often


def test_records_survive() -> None:
    record = Record(
        "a", "höst", 1, 2, "p", "w", Phase.DONE, 3, "b", ("a", "c"), "k", ("r",), "d"
    )
    assert decode(record.encode()) == record


@pytest.mark.parametrize("text", [None, 5, "", "{", "[]", "{}", '{"format": 2}', "1"])
def test_records_that_make_no_sense(text: object) -> None:
    assert decode(text) is None


@pytest.mark.parametrize("hurried_after", [None, 0.0, 5.0, 59.0, 300.0])
def test_pace(hurried_after: float | None) -> None:
    pace, now, spent = Pace(0.0, ahead=0.1), 0.0, 0
    while now < 600:
        is_hurried = hurried_after is not None and now >= hurried_after
        spent += 1
        pace.spend(1)
        if pace.must_beat(now, BEAT_LATER):
            spent += 1
            pace.spend(1)
        # What is in hand may be spent at once, and not for long.
        assert spent <= 4.5 * min(now, 60) + max(now - 60, 0) + 38, now
        if now >= 60:
            assert spent <= 5 * 60 + (now - 60), now
        pause = pace.pause(now, hurried_after if is_hurried else None)
        # So a failure is read of within two seconds.
        assert pause <= 1.1 * (0.25 if now < 60 else 1.25)
        now += pause


def test_all_read_at_the_same_moments() -> None:
    paces = [Pace(now, ahead) for now, ahead in ((0.0, 0.1), (7.2, 3.0), (90.0, 0.0))]
    for wall in (130.01, 130.2, 130.33):
        moments = {
            wall + pace.pause(wall - ahead, None)
            for pace, ahead in zip(paces, (0.1, 3.0, 0.0), strict=True)
        }
        assert all(abs(4 * m - round(4 * m)) < 1e-6 for m in moments), moments


def test_namespace_is_of_the_database(clusters: Clusters) -> None:
    from django.db import connections

    del clusters
    default, other = connections["default"], connections["other"]
    assert namespace(default) == namespace(default)
    assert namespace(default) != namespace(other)
    elsewhere = default.copy("elsewhere")
    assert namespace(elsewhere) != namespace(default)
    elsewhere.close()
    if UNDER_TEST != "sqlite":
        # By another name of the same server.
        by_name = default.copy()
        by_name.settings_dict["HOST"] = "localhost"
        if UNDER_TEST == "mariadb":
            by_name.settings_dict["HOST"] = "127.1"
        assert namespace(by_name) == namespace(default)
        by_name.close()
