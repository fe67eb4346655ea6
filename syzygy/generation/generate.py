"""From what changed in the models to migrations that have one stage each.

Django's own detection runs twice: from the old models to those of the rollout's shared
schema, and from these to the new ones. So the order of the operations, what depends on
what and how apps that refer to each other are untangled is Django's. The first half
runs before the rollout, the second half after it, and between the two what fills rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

from django.db.migrations import (
    AddField,
    AlterField,
    AlterModelManagers,
    AlterModelOptions,
    AlterModelTable,
    Migration,
    RenameField,
    RenameModel,
)
from django.db.migrations.graph import MigrationGraph
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from syzygy import conf
from syzygy.constants import Stage
from syzygy.generation import refusals
from syzygy.generation.questions import Questions, Settled
from syzygy.generation.refusals import Refusal
from syzygy.generation.settling import Excuses, Planned, comment, settle
from syzygy.generation.window import Change, FieldKey, Fill, Window, window
from syzygy.graph import topological
from syzygy.history import History, ModelKey
from syzygy.operations import (
    AlterOrder,
    Backfill,
    DropOrderDefault,
    RelaxField,
    SetOrderDefault,
)
from syzygy.requirements import operation_rules

Changes: TypeAlias = dict[str, list[Migration]]

_FILLS = (
    "No release leaves these fields empty any more. It isn't one transaction, so it "
    "has a file of its own."
)
_AFTER_FILLS = "Apart from the back-fill before it, which isn't one transaction."
_CIRCLE = "Apart from the one before it, as apps refer to each other in a circle."
_UNSAFE = "Unsafe while two releases run: stop the running one before it is applied."


class Refused(ValueError):
    """Changes that are unsafe in whatever order, with the ways out."""

    def __init__(self, problems: Iterable[Refusal]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n\n".join(map(str, self.problems)))


class Extras(NamedTuple):
    """What a detection writes besides what it finds.

    ``first`` and ``last`` are operations by app label; the orders with respect to
    another model that come or go are ``kept`` harmless for these models. If it
    ``relaxes``, constraints of fields are dropped such that they can be had back.
    """

    first: Mapping[str, Collection[Operation]] = {}
    last: Mapping[str, Collection[Operation]] = {}
    kept: Collection[ModelKey] = ()
    relaxes: bool = False


class Detect(Protocol):
    """Django's detection: the migrations from one state to another, after a graph."""

    def __call__(
        self,
        states: tuple[ProjectState, ProjectState],
        graph: MigrationGraph,
        questioner: Any,
        extras: Extras,
    ) -> Changes:
        """Return the migrations by app label; the states may be changed."""


class Task(NamedTuple):
    """What there is to do.

    ``plain`` is what Django would write. ``arrange`` names migrations after a graph and
    has them depend on it; ``renamed_models`` has the old names of models by the new
    keys, ``renamed_fields`` likewise.
    """

    before: ProjectState
    after: ProjectState
    plain: Changes
    graph: MigrationGraph
    questions: Questions
    detect: Detect
    arrange: Callable[[Changes, MigrationGraph], Changes]
    renamed_models: Mapping[ModelKey, str]
    renamed_fields: Mapping[FieldKey, str]
    vendor: str


def generate(task: Task) -> Changes:
    """The migrations to write, by app label, in the order of the files of each.

    Raises :class:`Refused` for changes that no order makes safe, unless somebody who
    is there insists on them.
    """
    start = _Start(task)
    task = task._replace(plain=start.plain)
    problems = _doubts(task)
    history = history_of(copied(start.state))
    problems += refusals.refusals(in_order(task.plain), history)
    if problems:
        return _insisted(task, problems)
    halves = _Halves(task, start, _Renamed(task, start))
    written = halves.write(held=())
    if quiet := halves.quiet():
        written = halves.write(held=quiet)
    return written


class _Start:
    """The old models, with the tables that models keep when they are renamed.

    Left alone, Django would rename such a table, and then rename it back.
    """

    def __init__(self, task: Task) -> None:
        self.pins = _pins(task)
        self.state = copied(task.before)
        self.plain = task.plain
        if not self.pins:
            return
        for key, table in self.pins.items():
            self.state.models[key].options["db_table"] = table
        states = (copied(self.state), copied(task.after))
        plain = task.detect(states, task.graph, task.questions, Extras())
        self.plain = {label: plain[label] for label in plain if label in task.plain}


class _Renamed:
    """The old models by their new names."""

    def __init__(self, task: Task, start: _Start) -> None:
        operations = [
            (migration.app_label, operation)
            for migration in in_order(task.plain)
            for operation in migration.operations
        ]
        self.state = copied(start.state)
        for position, (app_label, operation) in enumerate(operations):
            if isinstance(operation, RenameModel | RenameField) or _pins_column(
                operations[position : position + 2]
            ):
                operation.state_forwards(app_label, self.state)
        self.apps = {
            app_label
            for app_label, operation in operations
            if isinstance(operation, RenameModel | RenameField)
        }
        self.fields: dict[ModelKey, dict[str, str]] = defaultdict(dict)
        for (app_label, model, new), old in task.renamed_fields.items():
            self.fields[app_label, model][old] = new
        self.one_offs: dict[FieldKey, object] = {
            (app_label, each.model_name_lower, each.name): each.field.default
            for app_label, each in operations
            if isinstance(each, AddField | AlterField) and not each.preserve_default
        }


def _pins_column(pair: list[tuple[str, Operation]]) -> bool:
    """Whether the first of two operations keeps the column that the second renames."""
    if len(pair) < 2:
        return False
    (_, first), (_, second) = pair
    return (
        isinstance(first, AlterField)
        and isinstance(second, RenameField)
        and first.name == second.old_name
        and first.model_name_lower == second.model_name_lower
    )


class _Halves:
    """Both halves of a change, and what comes between them."""

    def __init__(self, task: Task, start: _Start, renamed: _Renamed) -> None:
        self._task = task
        self._start = start
        self._renamed = renamed
        self._goal = _goal(task)
        self._first: Changes = {}
        self._second: Changes = {}
        self._fills: Changes = {}

    def write(self, held: Collection[str]) -> Changes:
        """Make the migrations; what is ``held`` all runs after the rollout."""
        task = self._task
        middle = self._window(held)
        self._first = self._detect(
            (copied(self._start.state), copied(middle.state)),
            task.graph,
            task.questions,
            self._extras(middle),
        )
        _put_in_order(self._first)
        state = _applied(task.before, in_order(self._first))
        graph = extended(task.graph, self._first)
        self._fills = task.arrange(self._filling(middle.fills), graph)
        graph = extended(graph, self._fills)
        self._second = self._detect(
            (state, copied(self._goal)),
            graph,
            Settled(task.questions),
            Extras(
                last=_by_app(
                    (key, DropOrderDefault(self._goal.models[key].name))
                    for key in middle.ordered
                    if key[0] not in held
                ),
                kept=middle.unordered,
            ),
        )
        return self._settled(middle)

    def quiet(self) -> frozenset[str]:
        """The apps of which the first half changes nothing that a release notices."""
        harmless = (AlterField, AlterModelManagers, AlterModelOptions)
        history = history_of(copied(self._task.before))
        noticed = set(self._renamed.apps)
        for migration in in_order(self._first):
            for operation in migration.operations:
                label = migration.app_label
                judged = operation_rules(operation, label, history)
                if not isinstance(operation, harmless) or any(
                    rule.has_effect for rule in judged
                ):
                    noticed.add(label)
                history.advance(operation, label)
        later = self._second.keys() | self._fills.keys()
        return frozenset(self._first.keys() & later - noticed)

    def _window(self, held: Collection[str]) -> Window:
        task, renamed = self._task, self._renamed
        old = copied(renamed.state)
        middle = window(
            Change(
                old,
                self._goal,
                history_of(old),
                task.vendor,
                renamed.one_offs,
                renamed.fields,
                held,
            )
        )
        if middle.problems:
            raise Refused(
                refusals.not_unique(
                    each.model[0],
                    self._goal.models[each.model].name,
                    each.name,
                    each.field,
                )
                for each in middle.problems
            )
        return middle

    def _extras(self, middle: Window) -> Extras:
        models = self._goal.models
        return Extras(
            first=_by_app(
                (key, AlterModelTable(self._task.before.models[key].name, table))
                for key, table in self._start.pins.items()
            ),
            last=_by_app(
                (key, SetOrderDefault(models[key].name)) for key in middle.unordered
            ),
            kept=middle.ordered,
            relaxes=True,
        )

    def _detect(
        self,
        states: tuple[ProjectState, ProjectState],
        graph: MigrationGraph,
        questioner: Any,
        extras: Extras,
    ) -> Changes:
        found = self._task.detect(states, graph, questioner, extras)
        return {label: found[label] for label in found if label in self._task.plain}

    def _filling(self, fills: Iterable[Fill]) -> Changes:
        migrations: Changes = {}
        operations: dict[str, list[Operation]] = {}
        for fill in fills:
            label = fill.model[0]
            if label not in migrations:
                migration = Migration("fill", label)
                operations[label] = []
                vars(migration).update(
                    operations=operations[label], dependencies=[], atomic=False
                )
                comment(migration, _FILLS)
                migrations[label] = [migration]
            name = self._goal.models[fill.model].name_lower
            operations[label].append(Backfill(name, fill.name, fill.value))
        return migrations

    def _settled(self, middle: Window) -> Changes:
        planned: list[Planned] = [
            (migration, stage)
            for changes, stage in (
                (self._first, Stage.PRE_DEPLOY),
                (self._fills, Stage.POST_DEPLOY),
                (self._second, Stage.POST_DEPLOY),
            )
            for migration in in_order(changes)
        ]
        for changes in (self._first, self._second):
            for migrations in changes.values():
                for migration in migrations[1:]:
                    comment(migration, _CIRCLE)
        for label in self._second.keys() & self._fills.keys():
            comment(self._second[label][0], _AFTER_FILLS)
        deleted = self._task.before.models.keys() - self._goal.models.keys()
        settle(
            planned,
            history_of(copied(self._task.before)),
            Excuses(deleted, middle.lasting),
        )
        labels = {*self._first, *self._fills, *self._second}
        return {
            label: [
                *self._first.get(label, ()),
                *self._fills.get(label, ()),
                *self._second.get(label, ()),
            ]
            for label in sorted(labels)
        }


# States


def copied(state: ProjectState) -> ProjectState:
    """A copy that shares nothing with the state which anybody changes.

    Django's detection takes things out of the states that it compares, and its renaming
    of fields changes field objects.
    """
    models = {}
    for key, model in state.models.items():
        models[key] = model.clone()
        models[key].fields = {
            name: field.clone() for name, field in model.fields.items()
        }
    return ProjectState(models, set(state.real_apps))


def history_of(state: ProjectState) -> History:
    """The same state as a history, which shares the models with it."""
    history = History(conf.is_swapped)
    for model in state.models.values():
        history.add_model(model)
    return history


def _applied(state: ProjectState, migrations: Iterable[Migration]) -> ProjectState:
    state = copied(state)
    for migration in migrations:
        for operation in migration.operations:
            operation.state_forwards(migration.app_label, state)
        # From here on it has migrations.
        state.real_apps.discard(migration.app_label)
    return copied(state)


def _goal(task: Task) -> ProjectState:
    """The new models, of the apps whose migrations are to be written."""
    goal = copied(task.after)
    for key, model in task.before.models.items():
        if key[0] not in task.plain:
            goal.models[key] = model.clone()
    return ProjectState(goal.models, set(task.before.real_apps))


def _pins(task: Task) -> dict[ModelKey, str]:
    """The tables that models keep when they are renamed, by their old keys."""
    pins = {}
    for (label, new), old in task.renamed_models.items():
        options = task.before.models[label, old].options
        table = options.get("db_table") or f"{label}_{old}"
        pinned = task.after.models[label, new].options.get("db_table")
        if pinned == table and options.get("db_table") != table:
            pins[label, old] = table
    return pins


# Migrations


def in_order(changes: Changes) -> list[Migration]:
    """The migrations in an order in which they can be applied."""
    migrations = {
        (label, migration.name): migration
        for label, app_migrations in sorted(changes.items())
        for migration in app_migrations
    }

    def needs(key: tuple[str, str]) -> list[tuple[str, str]]:
        return [
            dependency
            for dependency in migrations[key].dependencies
            if dependency in migrations
        ]

    return [migrations[key] for key in topological(list(migrations), needs)]


def extended(graph: MigrationGraph, changes: Changes) -> MigrationGraph:
    """A graph that has these migrations as well."""
    twin = MigrationGraph()
    for key, migration in graph.nodes.items():
        twin.add_node(key, migration)
    for key, node in graph.node_map.items():
        for parent in node.parents:
            twin.add_dependency(None, key, parent.key, skip_validation=True)
    migrations = in_order(changes)
    for migration in migrations:
        twin.add_node((migration.app_label, migration.name), migration)
    for migration in migrations:
        for parent in migration.dependencies:
            if parent in twin.nodes:
                twin.add_dependency(
                    migration,
                    (migration.app_label, migration.name),
                    parent,
                    skip_validation=True,
                )
    return twin


def _put_in_order(changes: Changes) -> None:
    """Put operations where SQLite needs them, which makes tables anew from the state.

    What keeps a DEFAULT that no state knows comes last; and what keeps rows with NULL
    when it is undone comes first, so that it is undone last.
    """
    for migrations in changes.values():
        for migration in migrations:
            operations = migration.operations
            if not any(
                isinstance(each, RenameModel | RenameField) for each in operations
            ):
                operations = sorted(
                    operations, key=lambda each: not isinstance(each, RelaxField)
                )
            vars(migration)["operations"] = sorted(
                operations,
                key=lambda each: isinstance(each, AlterOrder | SetOrderDefault),
            )


def _by_app(
    operations: Iterable[tuple[ModelKey, Operation]],
) -> dict[str, list[Operation]]:
    found: dict[str, list[Operation]] = defaultdict(list)
    for (label, _), operation in operations:
        found[label].append(operation)
    return found


# What is unsafe


def _doubts(task: Task) -> list[Refusal]:
    return [each for each in task.questions.doubts if each.app_label in task.plain]


def _insisted(task: Task, problems: list[Refusal]) -> Changes:
    """What Django would write, if somebody insists on each of the problems."""
    questions = task.questions
    if not (questions.is_interactive and all(map(questions.insist, problems))):
        raise Refused(problems)
    labels = {each.app_label for each in problems}
    for label in labels & task.plain.keys():
        for migration in task.plain[label]:
            vars(migration)["stage"] = Stage.POST_DEPLOY
            comment(migration, _UNSAFE)
    return task.plain
