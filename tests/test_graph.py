"""Which migrations need which: :mod:`syzygy.graph` beside Django's own graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import pytest
from django.db.migrations import Migration, swappable_dependency

from syzygy.graph import (
    MigrationKey,
    baselined,
    dependencies,
    inverted,
    topological,
    without_replaced,
)
from tests.graph_helpers import Project, key, keys, migration

Names = Mapping[str, str]


def graph(needs: Names) -> dict[MigrationKey, tuple[MigrationKey, ...]]:
    """Read a graph that is written as names: each with those that it needs."""
    return {key(name): tuple(keys(parents)) for name, parents in needs.items()}


def names(found: Iterable[MigrationKey]) -> str:
    return " ".join(".".join(each) for each in found)


def by_key(*migrations: Migration) -> dict[MigrationKey, Migration]:
    return {(m.app_label, m.name): m for m in migrations}


# topological


@pytest.mark.parametrize(
    ("wanted", "needs", "expected"),
    [
        pytest.param("", {}, "", id="nothing"),
        pytest.param("b.1 a.1", {"a.1": "", "b.1": ""}, "b.1 a.1", id="independent"),
        pytest.param(
            "a.2 a.1", {"a.1": "", "a.2": "a.1"}, "a.1 a.2", id="a need comes first"
        ),
        pytest.param(
            "a.3 a.1",
            {"a.1": "", "a.2": "a.1", "a.3": "a.2"},
            "a.1 a.3",
            id="through one that isn't wanted",
        ),
        pytest.param(
            "a.1", {"a.1": "", "a.2": "a.1"}, "a.1", id="without what needs it"
        ),
        pytest.param(
            "a.4",
            {"a.1": "", "a.2": "a.1", "a.3": "a.1", "a.4": "a.3 a.2"},
            "a.4",
            id="needs that aren't wanted are left out",
        ),
        pytest.param(
            "a.4 a.3 a.2 a.1",
            {"a.1": "", "a.2": "a.1", "a.3": "a.1", "a.4": "a.3 a.2"},
            "a.1 a.2 a.3 a.4",
            id="a diamond, its sides sorted",
        ),
        pytest.param(
            "b.1 a.1 a.2",
            {"a.1": "", "a.2": "b.1", "b.1": "a.1"},
            "a.1 b.1 a.2",
            id="apps that need each other",
        ),
        pytest.param(
            "a.1 a.1", {"a.1": ""}, "a.1", id="each once, however often it is asked for"
        ),
    ],
)
def test_topological_order(wanted: str, needs: Names, expected: str) -> None:
    order = topological(keys(wanted), graph(needs).__getitem__)
    assert names(order) == expected


@pytest.mark.parametrize(
    "needs",
    [{"a.1": "a.1"}, {"a.1": "a.2", "a.2": "a.1"}, {"a.1": "a.2", "a.2": "a.1 a.2"}],
)
def test_topological_order_of_a_circle_has_each_once(needs: Names) -> None:
    order = topological(graph(needs), graph(needs).__getitem__)
    assert sorted(order) == sorted(graph(needs))


def test_topological_order_of_a_chain_longer_than_the_stack() -> None:
    needs = {("a", f"{n:05}"): [("a", f"{n - 1:05}")] for n in range(1, 5000)}
    needs["a", "00000"] = []
    assert topological(reversed(needs), needs.__getitem__) == sorted(needs)


def test_topological_order_asks_at_most_twice_for_the_needs_of_each() -> None:
    asked: Counter[MigrationKey] = Counter()
    chain = [("a", f"{n:04}") for n in range(300)]

    def needs(each: MigrationKey) -> list[MigrationKey]:
        asked[each] += 1
        return chain[: chain.index(each)][-3:]

    assert topological(reversed(chain), needs) == chain
    assert max(asked.values()) <= 2


# dependencies


def closure(needs: Mapping[MigrationKey, Iterable[MigrationKey]]) -> dict[str, str]:
    """Name all that each needs, directly or not."""
    found = {}
    for start in needs:
        seen: set[MigrationKey] = set()
        stack = [start]
        while stack:
            new = set(needs[stack.pop()]) - seen
            seen |= new
            stack += new
        found[".".join(start)] = names(sorted(seen))
    return found


def django_closure(project: Project) -> dict[str, str]:
    nodes = project.executor().loader.graph.node_map
    parents = {
        each: [parent.key for parent in node.parents] for each, node in nodes.items()
    }
    return closure(parents)


A1, A2, A3 = (
    migration("a.0001"),
    migration("a.0002", needs="a.0001"),
    migration("a.0003", needs="a.0002"),
)
B1 = migration("b.0001")


GRAPHS = {
    "dependency": [A1, A2, migration("c.0001", needs="a.0002")],
    "run_before": [A1, migration("c.0001", before="a.0002"), A2],
    "run_before own": [A1, migration("a.0000", before="a.0001")],
    "__first__": [A1, A2, migration("c.0001", needs="a.__first__")],
    "__first__ with several roots": [
        A1,
        migration("a.0000"),
        migration("a.0002", needs="a.0000 a.0001"),
        migration("c.0001", needs="a.__first__"),
    ],
    "__first__ with a root that needs another app": [
        migration("a.0001", needs="b.0001"),
        B1,
        migration("c.0001", needs="a.__first__"),
    ],
    "__first__ own": [A1, migration("a.0002", needs="a.__first__ a.0001")],
    "__latest__": [A1, A2, A3, migration("c.0001", needs="a.__latest__")],
    "run_before __first__": [A1, A2, migration("c.0001", before="a.__first__")],
    "run_before __latest__": [
        A1,
        A2,
        migration("c.0001", needs="a.0001", before="a.__latest__"),
    ],
    "run_before own __latest__": [
        A1,
        migration("a.0002", needs="a.0001", before="a.__latest__"),
    ],
    "swappable": [
        A1,
        A2,
        migration("c.0001", dependencies=[swappable_dependency("a.Model")]),
    ],
    "unmigrated": [migration("c.0001", needs="u.__first__ u.__latest__")],
    "merge": [
        A1,
        A2,
        migration("a.0003", needs="a.0001"),
        B1,
        migration("a.0004", needs="a.0002 a.0003 b.0001"),
    ],
    "circle of apps": [
        A1,
        migration("b.0001", needs="a.0001"),
        migration("a.0002", needs="a.0001 b.0001"),
    ],
}


@pytest.mark.parametrize("migrations", GRAPHS.values(), ids=GRAPHS)
def test_dependencies_are_those_of_django(migrations: list[Migration]) -> None:
    project = Project(*migrations, unmigrated="u")
    assert closure(dependencies(by_key(*migrations))) == django_closure(project)


SQUASHED = migration("a.s", needs="b.0001", replaces="a.0001 a.0002")
SQUASHES = {
    "needed by its name": [SQUASHED, B1, migration("c.0001", needs="a.s")],
    "needed by the last that it replaces": [
        SQUASHED,
        B1,
        migration("c.0001", needs="a.0002"),
    ],
    "needed by another that it replaces": [
        SQUASHED,
        B1,
        migration("a.0003", needs="a.0001"),
    ],
    "needed by both": [SQUASHED, B1, migration("c.0001", needs="a.s a.0001 a.0002")],
    "run before one that it replaces": [
        SQUASHED,
        B1,
        migration("c.0001", before="a.0001"),
    ],
    "runs before another": [
        migration("a.s", replaces="a.0001", before="b.0001"),
        B1,
    ],
    "__first__": [SQUASHED, B1, migration("c.0001", needs="a.__first__")],
    "of two apps": [
        migration("a.s", replaces="a.0001 b.0001"),
        migration("b.0002", needs="b.0001"),
    ],
}


@pytest.mark.parametrize("migrations", SQUASHES.values(), ids=SQUASHES)
def test_dependencies_on_squashed_migrations_whose_files_are_gone(
    migrations: list[Migration],
) -> None:
    project = Project(*migrations)
    assert closure(dependencies(by_key(*migrations))) == django_closure(project)


BOTH = migration("a.s", replaces="a.0001 a.0002")
BEFORE_B1 = migration("a.0001", before="b.0001")

LEFT = {
    "runs before another": [BEFORE_B1, A2, BOTH, B1],
    "runs before one that is replaced with it": [
        migration("a.0001", before="a.0002"),
        A2,
        BOTH,
    ],
    "runs before what another squashed one replaces": [
        BEFORE_B1,
        A2,
        BOTH,
        B1,
        migration("b.s", replaces="b.0001"),
    ],
    "needs another": [A1, migration("a.0002", needs="a.0001 b.0001"), BOTH, B1],
    "needs the first of an app": [
        A1,
        migration("a.0002", needs="a.0001 b.__first__"),
        BOTH,
        B1,
    ],
}


@pytest.mark.parametrize("migrations", LEFT.values(), ids=LEFT)
def test_dependencies_of_squashed_migrations_whose_files_are_left(
    migrations: list[Migration],
) -> None:
    everything = by_key(*migrations)
    found = dependencies(without_replaced(everything), everything)
    assert closure(found) == django_closure(Project(*migrations))


def test_dependencies_on_nested_squashes_whose_files_are_gone() -> None:
    # Django itself handles nested squashes only since 6.0.
    found = dependencies(
        by_key(
            migration("a.outer", replaces="a.inner a.0003"),
            migration("a.inner", replaces="a.0001 a.0002"),
            migration("a.0004", needs="a.0001"),
            migration("b.0001", needs="a.0003"),
        )
    )
    assert list(found["a", "0004"]) == [("a", "inner")]
    assert list(found["b", "0001"]) == [("a", "outer")]


@pytest.mark.parametrize(
    ("replaces", "replaces_back"), [("a.1", ""), ("a.2", "a.1"), ("a.1 a.2", "a.2 a.1")]
)
def test_dependencies_survive_migrations_that_replace_each_other(
    replaces: str, replaces_back: str
) -> None:
    found = dependencies(
        by_key(
            migration("b.0001", needs="a.1 a.2"),
            migration("a.3", replaces=replaces),
            migration("a.4", replaces=replaces_back),
        )
    )
    assert set(found) == {("b", "0001"), ("a", "3"), ("a", "4")}


def test_dependencies_leave_out_what_is_not_asked_for() -> None:
    needs = dependencies(by_key(migration("a.2", needs="a.1 b.1", before="c.1")))
    assert {each: list(parents) for each, parents in needs.items()} == {("a", "2"): []}


# inverted


def test_inverted_is_what_needs_each() -> None:
    needs = graph({"a.1": "", "a.2": "a.1", "b.1": "a.1 a.2"})
    found = {
        each: tuple(sorted(children)) for each, children in inverted(needs).items()
    }
    assert found == graph({"a.1": "a.2 b.1", "a.2": "b.1", "b.1": ""})


@pytest.mark.parametrize("migrations", GRAPHS.values(), ids=GRAPHS)
def test_inverted_dependencies_are_the_children_of_django(
    migrations: list[Migration],
) -> None:
    nodes = Project(*migrations, unmigrated="u").executor().loader.graph.node_map
    children = {
        each: [child.key for child in node.children] for each, node in nodes.items()
    }
    needed_by = inverted(dependencies(by_key(*migrations)))
    assert closure(needed_by) == closure(children)


# baselined


def old(baseline: Mapping[str, str], *migrations: Migration) -> str:
    """Name what is history, by Django's graph."""
    nodes = Project(*migrations).executor().loader.graph
    return names(
        sorted(
            baselined(
                baseline,
                nodes.nodes,
                lambda each: [parent.key for parent in nodes.node_map[each].parents],
            )
        )
    )


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        ({}, ""),
        ({"a": "0001"}, "a.0001"),
        ({"a": "0002"}, "a.0001 a.0002"),
        ({"a": "0004"}, "a.0001 a.0002 a.0003 a.0004"),
        ({"b": "0002"}, "b.0001 b.0002"),
        ({"a": "0002", "b": "0001"}, "a.0001 a.0002 b.0001"),
        ({"a": "9999"}, ""),
        ({"x": "0001"}, ""),
    ],
)
def test_baseline_covers_the_history_of_its_app(
    baseline: dict[str, str], expected: str
) -> None:
    found = old(
        baseline,
        A1,
        A2,
        migration("a.0003", needs="a.0001"),
        migration("a.0004", needs="a.0002 a.0003"),
        migration("b.0001", needs="a.0001"),
        migration("b.0002", needs="b.0001 a.0004"),
    )
    assert found == expected


@pytest.mark.parametrize("before", ["a.0002", ""])
def test_baseline_covers_what_runs_before_by_run_before(before: str) -> None:
    first = migration("a.0001", before=before)
    found = old({"a": "0002"}, first, migration("a.0002"))
    assert found == ("a.0001 a.0002" if before else "a.0002")


def test_baseline_covers_what_is_needed_through_another_app() -> None:
    found = old(
        {"a": "0003"},
        A1,
        A2,
        migration("b.0001", needs="a.0002"),
        migration("a.0003", needs="a.0001 b.0001"),
    )
    assert found == "a.0001 a.0002 a.0003"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("s", "a.0000 a.s"),
        # All that it replaces is deployed.
        ("0002", "a.0000 a.s"),
        # Some of what it replaces may not be deployed.
        ("0001", "a.0000"),
    ],
)
def test_baseline_names_a_migration_that_is_replaced(name: str, expected: str) -> None:
    squashed = migration("a.s", needs="a.0000", replaces="a.0001 a.0002")
    assert old({"a": name}, migration("a.0000"), squashed) == expected


@pytest.mark.parametrize(
    ("name", "expected"), [("inner", "a.0000"), ("0003", "a.0000 a.outer")]
)
def test_baseline_names_a_migration_of_nested_squashes(
    name: str, expected: str
) -> None:
    found = old(
        {"a": name},
        migration("a.0000"),
        migration("a.outer", needs="a.0000", replaces="a.inner a.0003"),
    )
    assert found == expected


def test_baseline_names_a_replaced_migration_while_both_are_known() -> None:
    migrations = by_key(
        A1, A2, migration("a.s", replaces="a.0001 a.0002"), migration("a.0003")
    )
    needs = dependencies(migrations)
    assert baselined({"a": "0002"}, migrations, needs.__getitem__) >= {
        ("a", "0001"),
        ("a", "0002"),
    }
