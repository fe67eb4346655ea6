"""From what changed in the models to migrations that have one stage each.

Django's own detection runs twice: from the old models to those of the rollout's shared
schema, and from these to the new ones. So the order of the operations, what depends on
what and how apps that refer to each other are untangled is Django's. The first half
runs before the rollout, the second half after it, and between the two what fills rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from django.db.migrations import (
    AlterField,
    AlterModelManagers,
    AlterModelOptions,
    DeleteModel,
    Migration,
)
from django.db.migrations.graph import MigrationGraph
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.migrations.utils import resolve_relation

from syzygy.constants import Stage
from syzygy.generation import computed, managing, ways
from syzygy.generation.errors import Refused
from syzygy.generation.keys import referring_apps
from syzygy.generation.questions import Settled
from syzygy.generation.refusals import refusals
from syzygy.generation.renames import Renamed, Start
from syzygy.generation.settling import Excuses, Planned, comment, settle
from syzygy.generation.states import (
    Changes,
    applied,
    copied,
    extended,
    history_of,
    in_order,
)
from syzygy.generation.task import Extras, Task
from syzygy.generation.ways import Refusal
from syzygy.generation.window import Change, Fill, Problem, Window, window
from syzygy.graph import key_of
from syzygy.history import ModelKey
from syzygy.operations import (
    Backfill,
    DropOrderDefault,
    SetOrderDefault,
)
from syzygy.requirements import operation_rules

_FILLS = (
    "No release leaves these fields empty any more. It isn't one transaction, so it "
    "has a file of its own."
)
_AFTER_FILLS = "Apart from the back-fill before it, which isn't one transaction."
_CIRCLE = "Apart from the one before it, as apps refer to each other in a circle."
_UNSAFE = "Unsafe while two releases run: stop the running one before it is applied."


def generate(task: Task) -> Changes:
    """The migrations to write, by app label, in the order of the files of each.

    Raises :class:`Refused` for changes that no order makes safe, unless somebody who
    is there insists on them.
    """
    problems: list[Refusal] = []
    try:
        switched = managing.switched(task)
    except Refused as error:
        problems += error.problems
        switched = dict.fromkeys(managing.switching(task), ())
    start = Start(task, switched)
    task = task._replace(plain=start.plain)
    history = history_of(copied(start.state))
    renamed = task.questions.renamed_models
    problems += managing.refusals(task, switched)
    goal = history_of(copied(task.after))
    problems += refusals(in_order(task.plain), history, goal, renamed)
    told = {each.subject for each in problems} - {()}
    doubts = [each for each in _doubts(task) if not _is_told(each, told, task)]
    problems = [*doubts, *problems]
    if problems:
        return _insisted(task, start, problems)
    renamed_state = Renamed(task, start)
    halves = _Halves(task, start, renamed_state)
    written = halves.write(held=())
    if quiet := halves.quiet():
        written = halves.write(held=quiet)
    if task.vendor == "postgresql":
        history = history_of(copied(task.before))
        states = renamed_state.state, task.after
        if found := [*computed.refused(in_order(written), history, states)]:
            raise Refused(found)
    return written


class _Halves:
    """Both halves of a change, and what comes between them."""

    def __init__(self, task: Task, start: Start, renamed: Renamed) -> None:
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
        state = applied(task.before, in_order(self._first))
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
        self._follow_references(middle)
        return self._settled(middle)

    def _follow_references(self, middle: Window) -> None:
        """Have models deleted after the first half of apps that referred to them.

        Where that is past, Django's detection of the second half knows nothing of it.
        """
        lost = referring_apps(self._start.state) - referring_apps(middle.state)
        for label, migrations in self._second.items():
            for migration in migrations:
                gone = {
                    (label, operation.name_lower)
                    for operation in migration.operations
                    if isinstance(operation, DeleteModel)
                }
                apps = {app for target, app in lost if target in gone} - {label}
                first = (self._first[app][-1] for app in apps & self._first.keys())
                needed = set(map(key_of, first))
                vars(migration)["dependencies"] = [
                    *migration.dependencies,
                    *sorted(needed.difference(migration.dependencies)),
                ]

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
        if clashes := list(_clashes(middle.state)):
            raise Refused(clashes)
        if middle.problems:
            raise Refused(map(self._refusal, middle.problems))
        return middle

    def _refusal(self, problem: Problem) -> Refusal:
        subject = (
            problem.model[0],
            self._goal.models[problem.model].name,
            problem.name,
        )
        if problem.old is None:
            return ways.not_unique(*subject, problem.field, problem.others)
        return ways.no_type(*subject, problem.old, problem.field)

    def _extras(self, middle: Window) -> Extras:
        models = self._goal.models
        return Extras(
            first=_by_app(self._start.first),
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


def _goal(task: Task) -> ProjectState:
    """The new models, of the apps whose migrations are to be written."""
    goal = copied(task.after)
    for key, model in task.before.models.items():
        if key[0] not in task.plain:
            goal.models[key] = model.clone()
    return ProjectState(goal.models, set(task.before.real_apps))


def _clashes(state: ProjectState) -> Iterator[Refusal]:
    """The fields that models would have in common with those they inherit from."""
    for (label, _), model in state.models.items():
        for base in model.bases:
            parent = isinstance(base, str) and state.models.get(
                tuple(base.lower().split("."))
            )
            if parent:
                for name in sorted(model.fields.keys() & parent.fields.keys()):
                    yield ways.clash(label, model.name, str(base), name)


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


def _is_told(doubt: Refusal, told: Collection[tuple[str, ...]], task: Task) -> bool:
    """Whether the field in doubt, or the model that it refers to, is refused anyhow."""
    if doubt.subject in told:
        return True
    *key, name = doubt.subject or ("", "", "")
    model = task.after.models.get(tuple(key))
    field: Any = model and model.fields.get(name)
    return bool(field and field.remote_field) and (
        resolve_relation(field.remote_field.model, *key) in told
    )


def _insisted(task: Task, start: Start, problems: list[Refusal]) -> Changes:
    """What Django would write, if somebody insists on each of the problems."""
    questions = task.questions
    if not questions.may_insist(problems):
        raise Refused(problems)
    if not all(map(questions.insist, problems)):
        raise Refused(problems, is_told=True)
    plain = task.plain
    if start.first:
        extras = Extras(first=_by_app(start.first))
        states = (copied(start.state), copied(task.after))
        found = task.detect(states, task.graph, questions, extras)
        plain = {label: found[label] for label in found if label in plain}
    labels = {each.app_label for each in problems}
    for label in labels & plain.keys():
        for migration in plain[label]:
            vars(migration)["stage"] = Stage.POST_DEPLOY
            comment(migration, _UNSAFE)
    return plain
