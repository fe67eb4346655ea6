"""Random projects: their plans, staged, beside what Django and plain reasoning say.

The reasoning is that of :class:`Oracle`: slow, and written without the code that it
judges. A migration is known to it by its *atoms*, of which it has its own opinion.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from django.apps import apps
from django.db import migrations
from django.db.migrations import Migration
from django.db.migrations.exceptions import CircularDependencyError
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations.base import Operation
from hypothesis import HealthCheck, assume, event, given, note, settings
from hypothesis import strategies as st

from syzygy import Stage, conf
from syzygy.exceptions import AmbiguousPlan, AmbiguousStage
from syzygy.graph import dependencies, without_replaced
from syzygy.inspection import Inspection
from syzygy.management.stager import PlanStager
from syzygy.plan import get_migration_stage, get_pre_deploy_plan
from syzygy.stages import Decision
from syzygy.staging import Plan, Step
from tests.graph_helpers import (
    Opaque,
    Project,
    StagedOperation,
    add,
    add_index,
    create,
    key,
    migration,
    not_null,
    options,
    remove,
    remove_index,
    rename,
    widen,
)
from tests.properties import examples

PRE, POST = Stage.PRE_DEPLOY, Stage.POST_DEPLOY
Key = tuple[str, str]


def code(apps: Any, editor: Any) -> None:
    pass


# Atoms: what a migration is made of


@dataclass(frozen=True)
class Atom:
    """An operation, on a model and a field that no other migration creates.

    ``was`` is what altered the field before.
    """

    kind: str
    model: str = ""
    field: str = ""
    was: str = ""

    def operations(self) -> list[Operation]:
        make: dict[str, Callable[[], list[Operation]]] = {
            "create": lambda: [create(self.model, *FIELDS), add_index(self.model)],
            "add": lambda: [add(self.model, self.field)],
            "remove": lambda: [remove(self.model, self.field)],
            "not null": lambda: [not_null(self.model, self.field)],
            "widen": lambda: [widen(self.model, self.field)],
            "rename": lambda: [rename(self.model, self.field, f"{self.field}_new")],
            "drop index": lambda: [remove_index(self.model)],
            "options": lambda: [options(self.model)],
            "code": lambda: [migrations.RunPython(code, code)],
            "opaque": lambda: [Opaque()],
            "pre": lambda: [StagedOperation(PRE)],
            "post": lambda: [StagedOperation(POST)],
        }
        return make[self.kind]()


FIELDS = ("f", "g")
# Those that use up a field, or an index.
ONCE = {"remove", "rename", "drop index"}
# Those of which it matters in which order they run.
ALTERING = {"not null", "widen"}
ON_FIELDS = ["remove", "not null", "remove", "widen", "remove", "not null", "rename"]
LOOSE = ["code", "opaque", "pre", "post"]
_T = TypeVar("_T")


@dataclass
class Draft:
    """A migration that is yet to be made, and what it directly needs."""

    name: str
    atoms: list[Atom] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    replaces: list[str] = field(default_factory=list)
    stage: Stage | None = None

    @property
    def app_label(self) -> str:
        return key(self.name)[0]

    def made(self) -> Migration:
        made = migration(
            self.name,
            *(each for atom in self.atoms for each in atom.operations()),
            needs=" ".join(self.needs),
            before=" ".join(self.before),
            replaces=" ".join(self.replaces),
        )
        if self.stage is not None:
            type(made).stage = self.stage  # type: ignore[attr-defined]
        return made


@dataclass
class World:
    """A random project: its migrations, and those that its database has."""

    drafts: dict[str, Draft]
    applied: list[str]

    def project(self) -> Project:
        made = [draft.made() for draft in self.drafts.values()]
        return Project(*made).record(" ".join(self.applied))


# Random projects


@cache
def up_to(most: int) -> st.SearchStrategy[int]:
    return st.integers(0, most)


class Dice:
    """Draws from lists, of which the first is the simplest.

    Strategies of Hypothesis's own for each list would take most of the time.
    """

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def pick(self, options: Sequence[_T]) -> _T:
        return options[self._draw(up_to(len(options) - 1))]

    def some(self, options: Sequence[_T], most: int) -> list[_T]:
        """Pick a few, each once."""
        wanted = self.pick(range(min(most, len(options)) + 1))
        return list(dict.fromkeys(self.pick(options) for _ in range(wanted)))


@st.composite
def worlds(draw: st.DrawFn) -> World:
    dice = Dice(draw)
    labels = "abc"[: dice.pick([2, 1, 3])]
    drafts: dict[str, Draft] = {}
    ancestors: dict[str, set[str]] = {}
    for _ in range(dice.pick(range(1, 12))):
        draft, parents = placed(dice, labels, drafts)
        ancestors[draft.name] = parents.union(*(ancestors[each] for each in parents))
        draft.atoms = filled(dice, draft.name, drafts, ancestors[draft.name])
        draft.stage = dice.pick([None] * 8 + [PRE, POST])
        drafts[draft.name] = draft
    applied = {name for name in drafts if dice.pick([True, True, False])}
    applied = {name for name in applied if ancestors[name] <= applied}
    if squashed := dice.pick([False, False, True]) and squash(dice, drafts):
        if applied >= set(squashed.replaces):
            applied |= {squashed.name} if dice.pick([True, False]) else set()
        is_whole = squashed.name in applied or applied.isdisjoint(squashed.replaces)
        if is_whole and dice.pick([False, True]):
            remove_replaced(drafts, squashed)
        drafts[squashed.name] = squashed
    return World(drafts, sorted(applied))


def placed(dice: Dice, labels: str, drafts: dict[str, Draft]) -> tuple[Draft, set[str]]:
    """Give a new migration a name and its place in the graph."""
    label = dice.pick(labels)
    own = [name for name, draft in drafts.items() if draft.app_label == label]
    foreign = [name for name in drafts if name not in own]
    draft = Draft(f"{label}.{len(own) + 1:04}")
    if own:
        # Mostly the newest, at times another, or a merge of two.
        needs = [own[-1]] if dice.pick([True, True, False]) else dice.some(own, 2)
        draft.needs = needs or [own[-1]]
    parents = set(draft.needs)
    for other in dice.some(foreign, 2):
        parents.add(other)
        other_label, number = key(other)
        how = dice.pick(["needs", "before", "first"])
        if how == "before":
            drafts[other].before.append(draft.name)
        elif how == "first" and number == "0001":
            draft.needs.append(f"{other_label}.__first__")
        else:
            draft.needs.append(other)
    return draft, parents


def filled(
    dice: Dice, name: str, drafts: dict[str, Draft], ancestors: set[str]
) -> list[Atom]:
    """Give a migration something to do with what its ancestors have left.

    What another alters, or makes disappear, is left alone unless that one is among the
    ancestors: else the order in which they run would matter.
    """
    label, number = key(name)
    made = [each for other in ancestors for each in drafts[other].atoms]
    gone = {
        (atom.model, atom.field)
        for other, draft in drafts.items()
        for atom in draft.atoms
        if atom.kind in ONCE or (atom.kind in ALTERING and other not in ancestors)
    }
    atoms = [Atom("create", f"M{label}")] if number == "0001" else []
    for count in range(dice.pick([1, 1, 1, 1, 0, 2, 3])):
        everything = made + atoms
        models = [
            atom.model
            for atom in everything
            if atom.kind == "create" and atom.model.startswith(f"M{label}")
        ]
        fields = [(model, each) for model in models for each in FIELDS]
        fields += [(a.model, a.field) for a in everything if a.kind == "add"]
        fields = sorted({each for each in fields if each[0] in models} - gone)
        indexed = sorted({(model, "") for model in models} - gone)
        choices = [Atom("add", model, f"x{number}{count}") for model in models] * 4
        choices += [Atom("options", model) for model in models]
        choices += [Atom("drop index", model) for model, _ in indexed]
        choices += [Atom(kind, *each) for each in fields for kind in ON_FIELDS]
        choices += [Atom("create", f"M{label}{number}{count}")] * 2
        choices += [Atom(kind) for kind in LOOSE]
        atom = dice.pick(choices)
        if atom.kind in {*ALTERING, "remove"}:
            before = [atoms, *(drafts[n].atoms for n in reversed(drafts))]
            atom = replace(atom, was=last_alteration(atom, before))
        if atom.kind in ONCE:
            gone.add((atom.model, atom.field))
        atoms.append(atom)
    return atoms


def last_alteration(atom: Atom, before: list[list[Atom]]) -> str:
    """Name what altered the field last, of atoms by migration, the newest first."""
    for atoms in before:
        for other in reversed(atoms):
            if other.kind in ALTERING and replace(other, kind="", was="") == replace(
                atom, kind="", was=""
            ):
                return other.kind
    return ""


def squash(dice: Dice, drafts: dict[str, Draft]) -> Draft | None:
    """Squash a chain of an app's migrations, unless that makes a circle."""
    chain = [dice.pick(list(drafts))]
    while followers := [n for n, d in drafts.items() if own_parents(d) == chain[-1:]]:
        if len(chain) > 1 and dice.pick([True, False]):
            break
        chain.append(dice.pick(followers))
    inside = set(chain)
    # The name sorts between those that it replaces, as one of Django's does.
    squashed = Draft(
        f"{chain[0]}_squashed_{key(chain[-1])[1]}",
        atoms=[atom for name in chain for atom in drafts[name].atoms],
        needs=[n for each in chain for n in drafts[each].needs if n not in inside],
        replaces=chain,
    )
    alone = replace(squashed)
    others = dict(drafts)
    remove_replaced(others, alone)
    try:
        Project(*(draft.made() for draft in [*others.values(), alone])).executor()
    except CircularDependencyError:
        return None
    return squashed


def remove_replaced(drafts: dict[str, Draft], squashed: Draft) -> None:
    """Take away the files that a squashed migration replaces."""
    for name in squashed.replaces:
        squashed.before = squashed.before + drafts.pop(name).before


def own_parents(draft: Draft) -> list[str]:
    return [name for name in draft.needs if key(name)[0] == draft.app_label]


# The oracle


@dataclass(frozen=True)
class Opinion:
    """A stage, whether it has to be that one, and whether the old release is blind."""

    stage: Stage | None
    must: bool = False
    harmless: bool = False


AMBIGUOUS = None
Judgement = tuple[str, Stage | None, bool]
ALWAYS: dict[str, Judgement] = {
    "create": ("must", PRE, True),
    "options": ("nothing", None, True),
    "code": ("must", PRE, False),
    "opaque": ("may", PRE, False),
    "pre": ("must", PRE, False),
    "post": ("must", POST, False),
}


class Oracle:
    """What has to become of a plan, by brute force over Django's graph."""

    def __init__(self, world: World, executor: MigrationExecutor, plan: Plan) -> None:
        self.drafts = {key(n): draft for n, draft in world.drafts.items()}
        self.graph = executor.loader.graph
        self.plan = [(each.app_label, each.name) for each, _ in plan]
        self.backward = plan[0][1]
        self.is_first = not executor.loader.applied_migrations
        self.homes = {
            (atom.model, atom.field if atom.kind == "add" else ""): home
            for home in self.graph.nodes
            for atom in self.drafts[home].atoms
            if atom.kind in ("create", "add")
        }
        self.opinions = {each: self.opinion(each) for each in self.plan}

    # Opinions

    def opinion(self, home: Key) -> Opinion | None:
        """What the stage of a migration is; none if it is ambiguous."""
        draft = self.drafts[home]
        unseen = {home} if self.backward else set(self.plan)
        in_plan = [self.judge(atom, unseen) for atom in draft.atoms]
        if draft.stage is not None:
            blind = not self.backward and all(harmless for *_, harmless in in_plan)
            found: Opinion | None = Opinion(draft.stage, True, blind)
        else:
            found = self.settle(self.judge(atom, {home}) for atom in draft.atoms)
            relaxed = self.settle(in_plan)
            if not self.backward and relaxed is AMBIGUOUS:
                found = AMBIGUOUS
            elif not self.backward and relaxed and relaxed.stage is not POST:
                found = replace(found, harmless=True) if found else relaxed
        if found and self.is_first:
            found = replace(found, harmless=True)
        if found and found.stage and self.backward:
            found = replace(found, stage=PRE if found.stage is POST else POST)
        return found

    def judge(self, atom: Atom, unseen: Collection[Key]) -> Judgement:
        """How strongly, when, and whether the old release can't notice."""
        if atom.kind in ALWAYS:
            return ALWAYS[atom.kind]
        new_model = self.homes.get((atom.model, "")) in unseen
        new = new_model or self.homes.get((atom.model, atom.field)) in unseen
        if atom.kind == atom.was:
            return "nothing", None, True
        match atom.kind:
            case "add":
                return "must", PRE, new_model
            case "remove":
                # The new release can't fill a column that it doesn't know.
                needed = "must" if atom.was == "not null" else "may"
                return (needed, PRE, True) if new else ("must", POST, False)
            case "not null":
                # Only a new table is safe from inserts that leave the column out.
                return ("may", PRE, True) if new_model else ("must", POST, False)
            case "widen":
                return "must", PRE, new
            case "rename":
                # The new release uses the new name.
                return ("must", PRE, True) if new else ("never", None, False)
            case _:
                return ("may", PRE, True) if new_model else ("may", POST, False)

    def settle(self, judged: Iterable[Judgement]) -> Opinion | None:
        judged = list(judged)
        if any(how == "never" for how, *_ in judged):
            return AMBIGUOUS
        for how in ("must", "may"):
            stages = {stage for strength, stage, _ in judged if strength == how}
            if len(stages) == 2 and how == "must":
                return AMBIGUOUS
            if stages:
                return Opinion(PRE if PRE in stages else POST, how == "must")
        return Opinion(None)

    # What becomes of the plan

    def needs(self, home: Key) -> list[Key]:
        """Name all that has to be done before, of the plan."""
        walk = self.graph.backwards_plan if self.backward else self.graph.forwards_plan
        return [each for each in walk(home) if each in self.plan and each != home]

    def conflicts(self) -> set[tuple[Key, Key]]:
        return {
            (pre, post)
            for pre in self.plan
            if self.has_to_run(pre, PRE)
            for post in self.needs(pre)
            if self.has_to_run(post, POST)
            and (self.backward or not self.known(post).harmless)
        }

    def split(self) -> tuple[list[Key], list[Key]]:
        needed = {
            each
            for pre in self.plan
            if self.has_to_run(pre, PRE)
            for each in [pre, *self.needs(pre)]
        }
        own_will = {
            each
            for each in self.plan
            if self.known(each).stage is POST and each not in needed
        }
        postponed = {
            each
            for each in self.plan
            if each in own_will or own_will.intersection(self.needs(each))
        }
        return (
            [each for each in self.plan if each not in postponed],
            [each for each in self.plan if each in postponed],
        )

    def has_to_run(self, home: Key, stage: Stage) -> bool:
        opinion = self.known(home)
        return opinion.must and opinion.stage is stage

    def known(self, home: Key) -> Opinion:
        opinion = self.opinions[home]
        assert opinion
        return opinion


# What is drawn, and what is made of it


def show(world: World) -> None:
    for draft in world.drafts.values():
        note(str(draft))
    note(f"applied: {world.applied}")


def plan_something(
    data: st.DataObject, world: World, project: Project
) -> tuple[MigrationExecutor, Plan, str]:
    """Plan the way to some target, of whatever direction."""
    show(world)
    loader = project.executor().loader
    loader.check_consistent_history(project.connection)
    nodes = sorted(loader.graph.nodes)
    goals = ["", *(".".join(node) for node in nodes)]
    goals += sorted({f"{label}.zero" for label, _ in nodes})
    first = goals.index(data.draw(st.sampled_from(goals), "target"))
    for goal in goals[first:] + goals[:first]:
        executor, plan = project.plan(goal)
        if plan:
            break
    note(f"target: {goal}")
    assert plan
    event("backward" if plan[0][1] else "forward")
    return executor, plan, goal


def keys_of(steps: list[Step]) -> list[Key]:
    return [step.key for step in steps]


def plan_keys(plan: Plan) -> list[Key]:
    return [(each.app_label, each.name) for each, _ in plan]


def stage_of(project: Project, goal: str) -> list[Step] | Exception:
    try:
        return project.stage(goal)
    except (AmbiguousStage, AmbiguousPlan) as error:
        event(type(error).__name__)
        return error


MORE = settings(max_examples=examples(100), suppress_health_check=list(HealthCheck))
SOME = settings(MORE, max_examples=examples(30))


@MORE
@given(worlds(), st.data())
def test_plans_are_split_as_plain_reasoning_says(
    world: World, data: st.DataObject
) -> None:
    project = world.project()
    executor, plan, goal = plan_something(data, world, project)
    oracle = Oracle(world, executor, plan)
    staged = stage_of(project, goal)
    unknown = [each for each, opinion in oracle.opinions.items() if opinion is None]
    note(f"opinions: {oracle.opinions}")
    if unknown:
        assert isinstance(staged, AmbiguousStage)
        assert f'"{".".join(unknown[0])}"' in str(staged)
    elif conflicts := oracle.conflicts():
        assert isinstance(staged, AmbiguousPlan)
        for _, post in conflicts:
            assert f'"{".".join(post)}"' in str(staged)
    else:
        assert isinstance(staged, list), staged
        event("split")
        pre, postponed = oracle.split()
        assert [step.key for step in staged if not step.is_postponed] == pre
        assert [step.key for step in staged if step.is_postponed] == postponed
        for step in staged:
            opinion = oracle.known(step.key)
            assert (step.stage, step.is_pinned) == (opinion.stage, opinion.must)


@MORE
@given(worlds(), st.data())
def test_plans_are_closed_and_in_order_and_nothing_is_lost(
    world: World, data: st.DataObject
) -> None:
    project = world.project()
    executor, plan, goal = plan_something(data, world, project)
    staged = stage_of(project, goal)
    assume(isinstance(staged, list))
    assert isinstance(staged, list)
    assert keys_of(staged) == plan_keys(plan)
    assert [step.migration for step in staged] == [each for each, _ in plan]
    pre = [step for step in staged if not step.is_postponed]
    pre_keys = keys_of(pre)
    graph, backward = executor.loader.graph, plan[0][1]
    walk = graph.backwards_plan if backward else graph.forwards_plan
    for step in pre:
        assert set(walk(step.key)) & set(plan_keys(plan)) <= set(pre_keys)
        assert not step.is_pinned or step.stage is PRE or step.is_brought_forward
        if step.is_brought_forward:
            assert step.because
            assert (step.because.app_label, step.because.name) in pre_keys
            assert step.key in walk((step.because.app_label, step.because.name))
            assert not step.is_pinned or (step.decision.unseen and not backward)
    for step in staged:
        if step.is_postponed:
            assert not (step.is_pinned and step.stage is PRE)
            if step.because:
                blocker = (step.because.app_label, step.because.name)
                assert blocker in walk(step.key)
                assert blocker not in pre_keys


def in_any_order(executor: MigrationExecutor, plan: Plan) -> set[Key]:
    """Check that each of a plan comes after what it needs of the plan."""
    graph = executor.loader.graph
    order = plan_keys(plan)
    for (each, backward), position in zip(plan, range(len(plan)), strict=True):
        walk = graph.backwards_plan if backward else graph.forwards_plan
        needs = set(walk((each.app_label, each.name))) & set(order)
        assert needs <= set(order[: position + 1])
    return set(order)


def atoms_of(world: World, plan: set[Key]) -> list[str]:
    """Tell what is done, whether a squashed migration does it or those it replaces."""
    drafts = {key(name): draft for name, draft in world.drafts.items()}
    return sorted(str(atom) for each in plan for atom in drafts[each].atoms)


@MORE
@given(worlds(), st.data())
def test_both_stages_together_are_the_plan_of_django(
    world: World, data: st.DataObject
) -> None:
    project = world.project()
    executor, plan, goal = plan_something(data, world, project)
    staged = stage_of(project, goal)
    assume(isinstance(staged, list))
    assert isinstance(staged, list)
    pre = [(s.migration, s.backward) for s in staged if not s.is_postponed]
    in_any_order(executor, pre)
    project.run(pre)
    executor, rest = project.plan(goal)
    executor.loader.check_consistent_history(project.connection)
    assert all(backward == plan[0][1] for _, backward in rest)
    left = in_any_order(executor, rest)
    done = set(plan_keys(pre))
    assert not left & done
    assert sorted(atoms_of(world, left) + atoms_of(world, done)) == atoms_of(
        world, set(plan_keys(plan))
    )
    project.run(rest)
    executor, nothing = project.plan(goal)
    assert nothing == []
    executor.loader.check_consistent_history(project.connection)


@MORE
@given(worlds(), st.data())
def test_what_is_left_has_nothing_more_to_run_before_the_rollout(
    world: World, data: st.DataObject
) -> None:
    project = world.project()
    _, _, goal = plan_something(data, world, project)
    staged = stage_of(project, goal)
    assume(isinstance(staged, list))
    assert isinstance(staged, list)
    project.run([(s.migration, s.backward) for s in staged if not s.is_postponed])
    for step in project.stage(goal):
        assert step.is_postponed


@SOME
@given(worlds(), st.data())
def test_decisions_stay_the_same_whatever_else_is_planned(
    world: World, data: st.DataObject
) -> None:
    # But for what the same plan creates.
    project = world.project()
    _, _, goal = plan_something(data, world, project)
    for each, together in project.stager(goal).decisions.items():
        alone = project.stager(".".join(each)).decisions
        by_itself = alone.get(each)
        if len(alone) == 1 and isinstance(by_itself, Decision):
            assert not isinstance(together, AmbiguousStage)
            assert together.stage is by_itself.stage


@SOME
@given(worlds(), st.booleans())
def test_dependencies_are_those_of_django(world: World, files_left: bool) -> None:
    show(world)
    replaced = {name for d in world.drafts.values() for name in d.replaces}
    made = {
        (each.app_label, each.name): each
        for each in Project(*(d.made() for d in world.drafts.values())).migrations
        if files_left or str(each) not in replaced
    }
    project = Project(*made.values())
    graph = project.executor().loader.graph
    needs = dependencies(without_replaced(made), made)
    assert needs.keys() == graph.nodes.keys()
    for each in needs:
        reached = {each}
        stack = [each]
        while stack:
            new = set(needs[stack.pop()]) - reached
            reached |= new
            stack += new
        assert reached == set(graph.forwards_plan(each))


# On disk


def ambiguous_on_disk() -> set[str]:
    """Name what the system check finds."""
    inspection = Inspection(apps.get_app_configs(), conf.read())
    inspection.run()
    assert inspection.unreadable == {}
    return {str(each) for each in inspection.ambiguous}


def stage_or_none(find: Callable[[], Any]) -> Any:
    try:
        return find()
    except AmbiguousStage:
        return "ambiguous"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("worlds")


@settings(SOME, max_examples=examples(12))
@given(worlds())
def test_checks_and_plans_and_functions_agree(folder: Path, world: World) -> None:
    show(world)
    # Each migration is planned alone, so that no plan creates what another touches.
    project = replace(world, applied=[]).project()
    with project.installed(folder, MIGRATION_THIRD_PARTY_STAGES_FALLBACK=None):
        ambiguous = ambiguous_on_disk()
        executor = project.executor()
        for node in executor.migration_plan(executor.loader.graph.leaf_nodes()):
            each = str(node[0])
            executor, plan = project.plan(each)
            assert [str(planned) for planned, _ in plan] == [each]
            [decision] = PlanStager(executor, plan).decisions.values()
            by_plan = (
                "ambiguous" if isinstance(decision, AmbiguousStage) else decision.stage
            )
            assert (each in ambiguous) == (by_plan == "ambiguous")
            by_function = stage_or_none(partial(get_migration_stage, project[each]))
            assert by_function == by_plan
            project.run(plan)


@settings(SOME, max_examples=examples(12))
@given(worlds(), st.data())
def test_functions_split_as_the_command_does(
    folder: Path, world: World, data: st.DataObject
) -> None:
    # In a first deployment only the command knows that it is one.
    assume(world.applied)
    project = world.project()
    with project.installed(folder, MIGRATION_THIRD_PARTY_STAGES_FALLBACK=None):
        _, plan, goal = plan_something(data, world, project)
        staged = stage_of(project, goal)
        if isinstance(staged, list):
            pre = get_pre_deploy_plan(plan)
            assert plan_keys(pre) == [s.key for s in staged if not s.is_postponed]
        else:
            with pytest.raises(type(staged)):
                get_pre_deploy_plan(plan)


# For real


def schema(project: Project) -> dict[str, tuple[Any, Any]]:
    """Tell the columns and indexes of each table, in whatever order they were made."""
    inspector = project.connection.introspection
    with project.connection.cursor() as cursor:
        return {
            table: (
                sorted(inspector.get_table_description(cursor, table)),
                inspector.get_constraints(cursor, table),
            )
            for table in inspector.table_names(cursor)
        }


@settings(SOME, max_examples=examples(8))
@given(worlds(), st.data())
def test_both_stages_together_make_the_schema_of_django(
    world: World, data: st.DataObject
) -> None:
    show(world)
    states = []
    for stages in (True, False):
        project = replace(world, applied=[]).project()
        _, whole = project.plan()
        begun = [
            (each, backward)
            for each, backward in whole
            if {str(each), *map(".".join, each.replaces)} & set(world.applied)
        ]
        project.executor().migrate([], plan=begun)
        if stages:
            staged = stage_of(project, "")
            assume(isinstance(staged, list))
            assert isinstance(staged, list)
            pre = [(s.migration, s.backward) for s in staged if not s.is_postponed]
            project.executor().migrate([], plan=pre)
        executor = project.executor()
        executor.migrate(executor.loader.graph.leaf_nodes())
        states.append(schema(project))
    assert states[0] == states[1]
