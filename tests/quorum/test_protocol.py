"""The protocol, in a world in which everything may go wrong."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.properties import examples
from tests.quorum.simulation import LEASE, TICK, TIMEOUT, Sim, World, elect, results

WALKS = examples(250)
pick = st.integers(0, 50)


class Chaos(RuleBasedStateMachine):
    """Parties that start, die, pause and lag, and a store that forgets."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    def _some(self, number: int, sims: list[Sim]) -> Sim | None:
        return sims[number % len(sims)] if sims else None

    @precondition(lambda self: sum(1 for _ in self.world.active) < 6)
    @rule(size=st.sampled_from([2, 2, 2, 3]), plan=st.sampled_from("pppq"))
    def start(self, size: int, plan: str) -> None:
        self.world.start(size, plan)

    @rule(number=pick)
    def read(self, number: int) -> None:
        if sim := self._some(number, list(self.world.active)):
            self.world.read(sim)

    @rule(number=pick)
    def act(self, number: int) -> None:
        if sim := self._some(number, list(self.world.active)):
            self.world.act(sim)

    @rule(number=pick)
    def step(self, number: int) -> None:
        if sim := self._some(number, list(self.world.active)):
            self.world.read(sim)
            self.world.act(sim)

    @rule()
    def step_all(self) -> None:
        for sim in self.world.active:
            self.world.read(sim)
            self.world.act(sim)
        self.world.pass_time(TICK)

    @rule(seconds=st.sampled_from([0.1, 1.0, 2.0, 5.0, 20.0]))
    def wait(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(number=pick)
    def kill(self, number: int) -> None:
        alive = [sim for sim in self.world.sims.values() if sim.died is None]
        if sim := self._some(number, [sim for sim in alive if not sim.result]):
            self.world.kill(sim)

    @rule(number=pick)
    def pause(self, number: int) -> None:
        if sim := self._some(number, list(self.world.active)):
            sim.is_paused = True

    @rule(number=pick)
    def resume(self, number: int) -> None:
        paused = [sim for sim in self.world.sims.values() if sim.is_paused]
        if sim := self._some(number, paused):
            sim.is_paused = False

    @rule(number=pick, is_well=st.booleans())
    def finish(self, number: int, is_well: bool) -> None:
        leading = [sim for sim in self.world.active if sim.has_lock]
        if sim := self._some(number, leading):
            self.world.finish(sim, is_well)

    @rule()
    def flush(self) -> None:
        self.world.flush()

    @rule(number=pick)
    def expire(self, number: int) -> None:
        if names := sorted(self.world.store):
            del self.world.store[names[number % len(names)]]

    @rule(is_late=st.booleans())
    def be_late(self, is_late: bool) -> None:
        self.world.is_late = is_late

    @rule()
    def deliver(self) -> None:
        self.world.deliver()

    @invariant()
    def applied_once(self) -> None:
        plans = [plan for plan, _ in self.world.applications]
        assert len(plans) == len(set(plans))

    @invariant()
    def success_means_applied(self) -> None:
        for sim in self.world.sims.values():
            if sim.result in {"applied", "followed"}:
                assert sim.participant.record.plan in self.world.applied

    def teardown(self) -> None:
        end(self.world)


Chaos.TestCase.settings = settings(
    max_examples=examples(10),
    stateful_step_count=60,
    suppress_health_check=list(HealthCheck),
)
TestChaos = Chaos.TestCase


EVENTS = {
    "step": 60,
    "read": 10,
    "act": 10,
    "start": 8,
    "time": 8,
    "kill": 4,
    "pause": 2,
    "resume": 3,
    "finish": 2,
    "fail": 1,
    "flush": 1,
    "late": 1,
    "deliver": 3,
}


def walk(seed: int, events: int = 150) -> World:  # noqa: C901, PLR0912 - a story
    """One of many random stories, in which most of what happens is progress."""
    random = Random(seed)
    world = World()
    size = random.choice([2, 3, 3, 4])
    weights = {
        name: weight if weight > 5 else weight * random.choice([0, 1, 1, 4])
        for name, weight in EVENTS.items()
    }
    for name in random.choices([*weights], [*weights.values()], k=events):
        active = list(world.active)
        sim = random.choice(active) if active else None
        leading = [each for each in active if each.has_lock]
        if name == "start" and len(active) <= size:
            world.start(size, random.choice("pppppppq") if seed % 4 == 0 else "p")
        elif name == "time":
            world.pass_time(random.choice([0.05, 0.3, 1, 1, LEASE / 2, LEASE + 1]))
        elif name == "flush":
            world.flush()
        elif name == "late":
            world.is_late = not world.is_late
        elif name == "deliver":
            world.deliver()
        elif name == "resume":
            for each in world.sims.values():
                each.is_paused = False
        elif name in {"finish", "fail"} and leading:
            world.finish(leading[0], is_well=name == "finish")
        elif sim is None:
            world.start(size)
        elif name in {"read", "step"}:
            world.read(sim)
        elif name == "kill":
            world.kill(sim)
        elif name == "pause":
            sim.is_paused = True
        if sim and name in {"act", "step"}:
            world.act(sim)
            world.pass_time(random.choice([0, 0.01, 0.1]))
        plans = [plan for plan, _ in world.applications]
        assert len(plans) == len(set(plans))
        for each in world.sims.values():
            if each.result in {"applied", "followed"}:
                assert each.participant.record.plan in world.applied
    return world


def end(world: World) -> None:
    """However it went: who is alive comes to an end, and a retry succeeds."""
    for sim in world.sims.values():
        sim.is_paused = False
    world.settle(TIMEOUT + 3 * LEASE + 30)
    assert not list(world.active), [vars(sim) for sim in world.active]
    retry = [world.start(3, "r") for _ in range(3)]
    world.settle(30)
    assert results(retry) == ["applied", "followed", "followed"]


def test_random_walks() -> None:
    leaders = 0
    for seed in range(WALKS):
        try:
            world = walk(seed)
            leaders += world.leaders
            if seed % 10 == 0:
                end(world)
        except AssertionError as error:
            error.add_note(f"The seed is {seed}.")
            raise
    # They don't go past what they are to test.
    assert leaders > WALKS / 4


@pytest.mark.parametrize("size", [2, 3, 5, 20])
@pytest.mark.parametrize("gap", [0.0, 0.1, 7.0])
def test_all_come(size: int, gap: float) -> None:
    world = World()
    sims = []
    for _ in range(size):
        sims.append(world.start(size))
        if gap * size < TIMEOUT:
            world.settle(gap)
    world.settle(20)
    assert results(sims) == ["applied"] + ["followed"] * (size - 1)
    assert len(world.applications) == 1


@pytest.mark.unmeasured
def test_fifty_parties_elect_one_of_them() -> None:
    for seed in range(examples(200)):
        sims = elect(World(), 50, seed)
        assert sum(sim.is_elected for sim in sims) == 1, seed
        assert results(sims) == ["applied"] + ["followed"] * 49, seed


@pytest.mark.parametrize("agrees", [False, True])
def test_successor_of_a_dead_party_does_not_count_twice(agrees: bool) -> None:
    world = World()
    first, second = world.start(3), world.start(3)
    if agrees:
        # It dies after it agreed to a round that doesn't come about.
        ghost = world.start(3)
        world.kill(ghost)
        world.settle(1)
    world.kill(second)
    successors = []
    for _ in range(3):
        successors.append(world.start(3))
        world.settle(1)
        world.kill(successors[-1])
    last = world.start(3)
    world.settle(8)
    assert results([first, last]) == ["", ""]
    assert world.leaders == 0
    other = world.start(3)
    world.settle(20)
    assert results([first, last, other]) == ["applied", "followed", "followed"]


def following(world: World) -> tuple[Sim, Sim]:
    """Have one of two lead and the other follow."""
    sims = [world.start(2), world.start(2)]
    while not any(sim.participant.record.phase == "following" for sim in sims):
        for sim in sims:
            world.read(sim)
            world.act(sim)
        world.pass_time(0.1)
    leader, follower = sorted(sims, key=lambda sim: not sim.has_lock)
    return leader, follower


def test_silence_of_the_store_is_not_that_of_the_party() -> None:
    world = World()
    _, follower = following(world)
    for _ in range(50):
        world.pass_time(1)
        follower.participant.skip(world.now)
    world.read(follower)
    world.act(follower)
    assert not follower.result


def test_silence_while_a_party_was_stopped_itself() -> None:
    world = World()
    _, follower = following(world)
    world.pass_time(1000)
    world.read(follower)
    world.act(follower)
    assert not follower.result


def test_silence_is_noticed_after_the_lease() -> None:
    world = World()
    leader, follower = following(world)
    world.kill(leader)
    began = world.now
    world.settle(3 * LEASE)
    assert follower.result == "failed"
    assert "no sign of life" in follower.reason
    assert LEASE <= world.now - began <= LEASE + 1


def test_records_of_former_rounds_go() -> None:
    world = World()
    for plan in "abcdef":
        sims = [world.start(2, plan), world.start(2, plan)]
        world.settle(20)
        assert results(sims) == ["applied", "followed"]
        assert len(world.store) <= 1


@pytest.mark.parametrize("late", ["p", "rest", "elsewhere"])
def test_who_comes_while_it_is_applied(late: str) -> None:
    world = World()
    sims = [world.start(2, rest=("rest",)), world.start(2, rest=("rest",))]
    for _ in range(10):
        for sim in sims:
            world.read(sim)
            world.act(sim)
        world.pass_time(0.1)
    late_one = world.start(2, late)
    for _ in range(30):
        for sim in (*sims, late_one):
            if sim.is_active:
                world.read(sim)
                world.act(sim)
        world.pass_time(0.1)
    if late == "elsewhere":
        assert late_one.result == "failed"
        assert "plan elsewhere" in late_one.reason
        assert "plan p" in late_one.reason
    else:
        assert late_one.participant.record.phase == "following"
    world.settle(20)
    assert results(sims) == ["applied", "followed"]
