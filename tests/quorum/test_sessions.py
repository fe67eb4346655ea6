"""Sessions to which something happens between any two of their steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from random import Random
from sqlite3 import OperationalError
from statistics import median
from types import SimpleNamespace
from typing import Any, cast

import pytest
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.db.backends.sqlite3.base import DatabaseWrapper
from django.db.utils import ConnectionHandler
from django.test import override_settings

from syzygy.quorum.backends import database
from syzygy.quorum.backends.cache import CacheQuorum
from syzygy.quorum.backends.database import DatabaseQuorum
from tests.quorum import stage as stage_module
from tests.quorum.stage import LEASE, TIMEOUT, Actor, Stage, simulated
from tests.services import UNDER_TEST

pytestmark = pytest.mark.skipif(UNDER_TEST != "sqlite", reason="No server is asked.")

# Seconds after which all know of a failure, in the first minute: a pause between two
# reads. See test_pace for later.
PROMPTLY = 0.3
WELL = {"applied", "followed", "nothing"}


class SharedCache(BaseCache):
    """A cache that several threads see, with atomic operations."""

    # Of the stage that is on.
    stage: Stage
    entries: dict[str, tuple[Any, float]]

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)

    def _get(self, key: str) -> Any:
        value, expires = self.entries.get(key, (None, 0.0))
        return value if expires > self.stage.now else None

    def _set(self, key: str, value: Any, timeout: Any) -> None:
        self.entries[key] = value, self.stage.now + (timeout or 0.0)

    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        self.stage.step()
        value = self._get(key)
        return default if value is None else value

    def get_many(self, keys: Any, version: Any = None) -> dict[str, Any]:
        self.stage.step()
        return {key: value for key in keys if (value := self._get(key)) is not None}

    def set(
        self,
        key: Any,
        value: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: Any = None,
    ) -> None:
        self.stage.step()
        self._set(key, value, timeout)

    def add(
        self,
        key: Any,
        value: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: Any = None,
    ) -> bool:
        self.stage.step()
        if self._get(key) is not None:
            return False
        self._set(key, value, timeout)
        return True

    def delete(self, key: Any, version: Any = None) -> bool:
        self.stage.step()
        return self.entries.pop(key, None) is not None

    def incr(self, key: Any, delta: int = 1, version: Any = None) -> int:
        raise NotImplementedError


class Theatre:
    """Stages, one after the other, on a kind of store."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.stage: Stage
        values = ConnectionHandler(
            {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
        ).settings["default"]
        self.connection = DatabaseWrapper(values)
        self.connection.inc_thread_sharing()
        self.connection.connect()
        self.connection.execute_wrappers.append(self._execute)

    def _execute(self, run: Callable[..., Any], *arguments: Any) -> Any:
        self.stage.step()
        return run(*arguments)

    def open(self, **options: Any) -> Stage:
        """A new stage, with an empty store."""
        make = CacheQuorum if self.kind == "cache" else DatabaseQuorum
        self.stage = SharedCache.stage = Stage(make, **options)
        self.flush()
        return self.stage

    def flush(self) -> None:
        SharedCache.entries = {}
        with suppress(OperationalError):
            self.connection.connection.execute("DELETE FROM syzygy_quorum")

    def close(self) -> None:
        # Django keeps it, as what is in it would go.
        self.connection.connection.close()


@pytest.fixture(params=["cache", "database"])
def theatre(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    django_db_blocker: Any,
) -> Iterator[Theatre]:
    with django_db_blocker.unblock():
        theatre = Theatre(request.param)
        monkeypatch.setattr(DatabaseQuorum, "bind", lambda *arguments: None)
        monkeypatch.setattr(database, "open_store", lambda original: theatre.connection)
        place = f"{__name__}.{SharedCache.__name__}"
        with (
            override_settings(CACHES={"default": {"BACKEND": place}}),
            simulated(lambda: theatre.stage),
        ):
            yield theatre
        theatre.close()


def results(actors: list[Actor]) -> list[str]:
    return sorted(actor.result for actor in actors)


def anywhere(
    theatre: Theatre,
    happen: Callable[[Stage, Actor], object],
    verify: Callable[[Stage, Actor], object],
    **options: Any,
) -> None:
    """Have something happen to one of two before each of all steps, in turn.

    With one kind of store to the first one before the first step, with the other kind
    to the second one.
    """
    stage = theatre.open(**options)
    stage.start(2)
    steps = stage.play()
    assert steps > 20
    for at in range(steps):
        stage = theatre.open(**options)
        actor = stage.start(2)[(at + (theatre.kind == "cache")) % 2]
        try:
            stage.play({at: partial(happen, stage, actor)})
            check(stage)
            verify(stage, actor)
            retry(stage, 2)
        except AssertionError as error:
            told = [(a.number, a.result, a.reason, a.said) for a in stage.actors]
            error.add_note(f"Before step {at}, to {actor.number}: {told}")
            raise


def check(stage: Stage) -> None:
    """What holds whatever happened."""
    assert len(stage.commits) <= 1
    for actor in stage.actors:
        if actor.result in WELL:
            assert stage.is_applied


def retry(stage: Stage, size: int) -> None:
    """Whatever was left behind, it goes well the next time."""
    was_applied = stage.is_applied
    actors = stage.start(size)
    stage.fails = False
    stage.play()
    check(stage)
    well = (
        ["nothing"] * size if was_applied else ["applied"] + ["followed"] * (size - 1)
    )
    assert results(actors) == well


@pytest.mark.parametrize("size", [2, 3, 5])
def test_nothing_happens(theatre: Theatre, size: int) -> None:
    stage = theatre.open()
    actors = stage.start(size)
    stage.play()
    assert results(actors) == ["applied"] + ["followed"] * (size - 1)
    assert len(stage.commits) == 1


def again(stage: Stage, actor: Actor) -> None:
    """Start one in the place of another."""
    if not stage.is_applied:
        stage.start(1, size=2)


def test_one_is_killed_and_started_again(theatre: Theatre) -> None:
    def happen(stage: Stage, actor: Actor) -> None:
        stage.kill(actor)
        again(stage, actor)

    def verify(stage: Stage, victim: Actor) -> None:
        other, *successor = (each for each in stage.actors if each is not victim)
        if stage.is_applied:
            assert {each.result for each in (other, *successor)} <= WELL
        else:
            # It was about to apply it.
            assert "no sign of life of process" in other.reason

    # The store stands in for the lock, in one of the two.
    anywhere(theatre, happen, verify, has_lock=theatre.kind == "cache")


def test_store_forgets(theatre: Theatre) -> None:
    def verify(stage: Stage, victim: Actor) -> None:
        assert results(stage.actors) == ["applied", "followed"]

    anywhere(theatre, lambda stage, actor: theatre.flush(), verify)


def test_one_is_stopped_for_longer_than_the_lease(theatre: Theatre) -> None:
    def verify(stage: Stage, victim: Actor) -> None:
        other = stage.actors[1 - victim.number]
        assert stage.is_applied
        assert victim.result in WELL
        assert other.result in WELL | {"dissolved"}

    anywhere(theatre, Stage.pause, verify)


def test_one_is_asked_to_stop(theatre: Theatre) -> None:
    asked = 0.0

    def happen(stage: Stage, actor: Actor) -> None:
        nonlocal asked
        asked = stage.now
        stage.terminate(actor)
        again(stage, actor)

    def verify(stage: Stage, victim: Actor) -> None:
        other = stage.actors[1 - victim.number]
        if other.result == "dissolved":
            assert other.reason.startswith(f'Process {victim.number} on "vm" g')
            assert other.ended - asked < PROMPTLY
        else:
            assert stage.is_applied

    anywhere(theatre, happen, verify)


@pytest.mark.parametrize("size", [2, 5])
def test_the_migration_fails(theatre: Theatre, size: int) -> None:
    stage = theatre.open(fails=True)
    actors = stage.start(size)
    stage.play()
    assert results(actors) == ["dissolved"] * (size - 1) + ["failed"]
    (leader,) = (actor for actor in actors if actor.result == "failed")
    for actor in actors:
        assert actor.ended - leader.ended < PROMPTLY
        if actor is not leader:
            assert actor.reason == (
                f'Process {leader.number} on "vm" failed to apply the plan: '
                "RuntimeError: The disk is full"
            )
    retry(stage, size)


def test_another_one_migrates_without_a_quorum(theatre: Theatre) -> None:
    stage = theatre.open()
    (actor,) = stage.start(1, size=2)
    stage.play({20: lambda: stage.commit(actor)})
    assert actor.result == "followed"
    assert actor.ended < 15


def test_lock_of_another_process_is_waited_for(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Shorter than the time between two reads, later.
    monkeypatch.setattr(stage_module, "LEASE", 1.0)
    stage = theatre.open()
    actors = stage.start(2)
    stage.owner = cast("Actor", SimpleNamespace(number=9))
    waited = 0.0

    def unlock() -> None:
        nonlocal waited
        waited, stage.owner = stage.now, None

    # One that comes late reads more often than the one that leads gives signs of life.
    stage.play({2200: lambda: stage.start(1, size=2), 3000: unlock})
    # The gathering may take as long as the timeout, and it is over.
    assert waited > 2 * TIMEOUT
    assert results(stage.actors) == ["applied", "followed", "followed"]
    (leader,) = (actor for actor in actors if actor.result == "applied")
    (told,) = (text for text in leader.said if "number 9" in text)
    assert told.startswith("The quorum of 2 is there. Another process is migrating")


def test_store_that_stands_in_for_the_lock_is_gone(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    if theatre.kind == "database":
        pytest.skip("It is the same there.")
    stage = theatre.open(has_lock=False)
    assert CacheQuorum().claim("ns", "somebody")
    actors = stage.start(2)

    def fail(*arguments: Any) -> None:
        raise OSError("no route")

    def break_down() -> None:
        for name in ("_get", "_set"):
            monkeypatch.setattr(SharedCache, name, fail)

    stage.play({60: break_down})
    assert results(actors) == ["dissolved", "unavailable"]
    assert not stage.commits
    for actor in actors:
        assert "no route" in actor.reason
        assert 3 * LEASE < actor.ended < 4 * LEASE


def test_database_that_is_away_in_the_end(theatre: Theatre) -> None:
    stage = theatre.open()
    (lonely,) = stage.start(1, size=2)
    stage.play({30: lambda: setattr(stage, "is_away", True)})
    assert lonely.result == "timeout"
    assert lonely.reason.startswith("Only 1 of 2 parties came within 40 seconds.")
    assert lonely.reason.endswith("came. The database is away.")
    stage = theatre.open(fails=True)
    stage.start(2)
    stage.play({30: lambda: setattr(stage, "is_away", True)})
    (follower,) = (actor for actor in stage.actors if actor.result != "failed")
    # What is known is told all the same.
    assert follower.result == "dissolved"
    assert "RuntimeError: The disk is full. The database is away." in follower.reason


def test_how_long_it_takes_from_the_last_one_on(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside what the processes and the store take; see tests/bench/quorum.py."""
    if theatre.kind == "database":
        pytest.skip("It is the same there.")
    monkeypatch.setattr(stage_module, "TIMEOUT", 90.0)
    random = Random(5)
    took = []
    for applying in (0.1, 0.5, 1.0, 2.0) * 3:
        monkeypatch.setattr(stage_module, "APPLYING", applying)
        stage = theatre.open()
        actors = stage.start(5)
        for actor in actors:
            actor.wakes = random.uniform(0, 60)
        last = max(actor.wakes for actor in actors)
        stage.play()
        assert results(actors) == ["applied"] + ["followed"] * 4
        took.append(max(actor.ended for actor in actors) - last - applying)
    assert median(took) < 0.25
    assert max(took) < 0.4


def test_heart_beats_several_times_in_a_lease(theatre: Theatre) -> None:
    stage = theatre.open()
    stage.start(2)
    stage.play()
    assert stage.heartbeat == LEASE / 4


def test_what_it_waits_for_is_said_once_and_when_it_changes(theatre: Theatre) -> None:
    stage = theatre.open()
    (first,) = stage.start(1, size=3)
    stage.play({at: lambda: stage.start(1, size=3) for at in (20, 60)})
    assert results(stage.actors) == ["applied", "followed", "followed"]
    waiting = [text for text in first.said if text.startswith("Waiting")]
    assert [text.partition(",")[0] for text in waiting] == [
        "Waiting for 2 of 3 parties",
        "Waiting for 1 of 3 parties",
    ]
    assert "process 1" in waiting[1]


@pytest.mark.parametrize(("others", "rest"), [(9, " came."), (10, ", 2 more came.")])
def test_not_all_of_many_are_named(theatre: Theatre, others: int, rest: str) -> None:
    stage = theatre.open()
    (first,) = stage.start(1, size=12)
    for _ in range(others):
        stage.start(1, size=12)
    stage.play()
    assert first.result == "timeout"
    assert f"Only {others + 1} of 12 parties came" in first.reason
    assert first.reason.endswith(rest)
    assert len(first.reason.split(",")) == 10
