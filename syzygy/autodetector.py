"""Django's autodetector, such that what it finds is split into two stages."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations import AlterField, AlterOrderWithRespectTo, RenameModel
from django.db.migrations.autodetector import (
    MigrationAutodetector as DjangoAutodetector,
)
from django.db.migrations.graph import MigrationGraph
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

if TYPE_CHECKING:
    from syzygy.generation.questions import Questions
    from syzygy.generation.states import Changes, Snapshot
    from syzygy.generation.task import Extras

# The name of a pseudo dependency by which migrations were split before version 2.
STAGE_SPLIT = "__stage__"

_unsplit: ContextVar[bool] = ContextVar("syzygy_unsplit", default=False)
_only_asked: ContextVar[bool] = ContextVar("syzygy_only_asked", default=False)


@contextmanager
def unsplit(*, only_asked: bool = False) -> Iterator[None]:
    """Have autodetectors do what they would do without this app.

    If they are ``only_asked`` what has changed, for nothing to be written, they tell of
    the apps alone whose changes they find no order for.
    """
    token, asked = _unsplit.set(True), _only_asked.set(only_asked)
    try:
        yield
    finally:
        _unsplit.reset(token)
        _only_asked.reset(asked)


class StagedMixin(DjangoAutodetector):
    """Writes the changes that it finds so that both releases of a rollout survive them.

    In front of an autodetector class that detects more than Django's.
    """

    def __init__(self, *args: Any, style: object = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._extras: Extras | None = None
        self._snapshots: Collection[Snapshot] = ()
        self._start: Snapshot | None = None
        # The new state, before Django's detection uses old names in it.
        self._renamed_to: ProjectState | None = None

    def changes(
        self,
        graph: MigrationGraph,
        trim_to_apps: set[str] | None = None,
        convert_apps: set[str] | None = None,
        migration_name: str | None = None,
    ) -> Changes:
        """The migrations to write, by app label.

        Raises :class:`~syzygy.generation.errors.Refused` for changes that no order
        within one deployment makes safe.
        """
        if _unsplit.get():
            return self._unsplit_changes(
                graph, trim_to_apps, convert_apps, migration_name
            )
        # Not imported at the top: checks look at this class, and few commands use it.
        from syzygy.generation.questions import Questions
        from syzygy.generation.states import Snapshot

        snapshots = Snapshot(self.from_state), Snapshot(self.to_state)
        self._snapshots = snapshots
        asked = self.questioner
        questions: Any = Questions(asked, self.to_state)
        self.questioner = questions
        try:
            with self._ordering():
                plain = super().changes(
                    graph, trim_to_apps, convert_apps, migration_name
                )
        finally:
            self.questioner = asked
        if not plain:
            return plain
        before, after = (each.state() for each in snapshots)
        return self._staged(
            (before, after), plain, graph, questions, (convert_apps, migration_name)
        )

    def _unsplit_changes(self, *args: Any) -> Changes:
        """Django's. Where nothing is written, changes without an order are changes."""
        if not _only_asked.get():
            with self._ordering():
                return super().changes(*args)
        try:
            return super().changes(*args)
        except ValueError as error:
            from syzygy.generation import unordered

            if not unordered.is_unordered(error):
                raise
            left = vars(self)["generated_operations"]
            return {label: [] for label, operations in left.items() if operations}

    def _staged(
        self,
        states: tuple[ProjectState, ProjectState],
        plain: Changes,
        graph: MigrationGraph,
        questions: Questions,
        wanted: tuple[set[str] | None, str | None],
    ) -> Changes:
        from syzygy.generation.generate import generate
        from syzygy.generation.task import Extras, Task

        convert_apps, migration_name = wanted

        def detect(
            states: tuple[ProjectState, ProjectState],
            graph: MigrationGraph,
            questioner: Any,
            extras: Extras,
        ) -> Changes:
            twin = self._with(states, questioner, extras)
            known = {label for label, _ in states[0].models}
            converted = {
                label for label in convert_apps or () if label not in known
            } or None
            with twin._ordering():
                return super(StagedMixin, twin).changes(
                    graph, None, converted, migration_name
                )

        def arrange(changes: Changes, graph: MigrationGraph) -> Changes:
            twin = self._with(states, questions, Extras())
            return twin.arrange_for_graph(changes, graph, migration_name)

        return generate(
            Task(
                before=states[0],
                after=states[1],
                plain=plain,
                graph=graph,
                questions=questions,
                detect=detect,
                arrange=arrange,
                renamed_models=dict(self.renamed_models),
                renamed_fields=dict(self.renamed_fields),
                vendor=connections[DEFAULT_DB_ALIAS].vendor,
            )
        )

    def _with(
        self,
        states: tuple[ProjectState, ProjectState],
        questioner: Any,
        extras: Extras,
    ) -> StagedMixin:
        """One of the same class, for other states."""
        from syzygy.generation.states import Snapshot

        twin = copy.copy(self)
        twin.from_state, twin.to_state = states
        twin.existing_apps = {app_label for app_label, _ in states[0].models}
        twin.questioner = questioner
        twin._extras = extras
        twin._snapshots = ()
        twin._start = Snapshot(states[0])
        twin._renamed_to = None
        return twin

    @contextmanager
    def _ordering(self) -> Iterator[None]:
        """Refuse what Django's detection can't put into an order."""
        try:
            yield
        except ValueError as error:
            from syzygy.generation import unordered
            from syzygy.generation.errors import Refused

            if not unordered.is_unordered(error):
                raise
            raise Refused([unordered.refusal(self, error)]) from error

    # What Django's detection calls

    def generate_renamed_models(self) -> None:
        """Django's, which comes first of all, after what has to be before that."""
        if self._extras is not None:
            self._add_all(self._extras.first.items())
        super().generate_renamed_models()

    def generate_removed_fields(self) -> None:
        """Django's, which looks for the old models by their new names."""
        with self._old_by_new_names():
            super().generate_removed_fields()

    @contextmanager
    def _old_by_new_names(self) -> Iterator[None]:
        """Have the old models found by the names that they have from now on, too.

        Since Django 6.0, a field that goes is looked for in there.
        """
        models = self.from_state.models
        added = {
            (label, new): models[label, old]
            for (label, new), old in self.renamed_models.items()
            if (label, new) not in models
        }
        models.update(added)
        try:
            yield
        finally:
            for key in added:
                del models[key]

    def generate_altered_fields(self) -> None:
        """Django's, which has relations point at what something was called before."""
        if self.renamed_models or self.renamed_fields:
            for each in self._snapshots:
                each.keep_relations()
            if self._extras is not None:
                from syzygy.generation.states import copied

                self._renamed_to = copied(self.to_state)
        with self._old_by_new_names():
            super().generate_altered_fields()

    def generate_altered_order_with_respect_to(self) -> None:
        """Django's, and what keeps ``_order`` harmless meanwhile."""
        super().generate_altered_order_with_respect_to()
        if self._extras is not None:
            self._add_all(self._extras.last.items())

    def generate_altered_db_table(self) -> None:
        """Django's, which comes last of all; what has to wait is known then."""
        super().generate_altered_db_table()
        if self._renamed_to is not None:
            from syzygy.generation.keys import relax_first
            from syzygy.generation.together import keep_together

            generated = vars(self)["generated_operations"]
            relax_first(generated)
            keep_together(generated, self.from_state)

    def _add_all(self, operations: Iterable[tuple[str, Collection[Operation]]]) -> None:
        for app_label, own in operations:
            for operation in own:
                self.add_operation(app_label, operation)

    def add_operation(
        self,
        app_label: str,
        operation: Any,
        dependencies: Any = None,
        beginning: bool = False,
    ) -> None:
        """Django's, with an order and constraints that are harmless meanwhile.

        What refers to something that is renamed comes after that, unless it relaxes.
        """
        if (
            type(operation) is AlterOrderWithRespectTo
            and self._extras is not None
            and (app_label, operation.name_lower) in self._extras.kept
        ):
            from syzygy.operations import AlterOrder

            operation = AlterOrder(operation.name, operation.order_with_respect_to)
        if self._relaxes(app_label, operation):
            from syzygy.operations import RelaxField

            operation = RelaxField(
                operation.model_name,
                operation.name,
                operation.field,
                operation.preserve_default,
            )
        elif type(operation) is AlterField and self._renamed_to is not None:
            self._use_new_names(app_label, self._renamed_to, operation)
        if self._extras is not None:
            from syzygy.generation.keys import (
                needs,
                needs_of_renamed,
                without_new_models,
            )

            if isinstance(operation, RenameModel):
                dependencies = without_new_models(dependencies, self.from_state)
            states = self.from_state, self.to_state
            renamed = self.renamed_models, getattr(self, "renamed_fields", {})
            dependencies = [
                *(dependencies or ()),
                *needs(app_label, operation, *states, self.renamed_models),
                *needs_of_renamed(app_label, operation, self.to_state, *renamed),
            ]
        super().add_operation(app_label, operation, dependencies, beginning)

    def check_dependency(self, operation: Any, dependency: Any) -> Any:
        """Django's, with dependencies on the new names of models."""
        from syzygy.generation.keys import RENAMED, renames

        if dependency.type is RENAMED:
            return renames(operation, dependency)
        return super().check_dependency(operation, dependency)

    @staticmethod
    def _use_new_names(
        app_label: str, state: ProjectState, operation: AlterField
    ) -> None:
        """Have an altered relation refer to what was renamed, as that comes first."""
        from syzygy.generation.keys import pointed_at

        model = state.models.get((app_label, operation.model_name_lower))
        new = model and model.fields.get(operation.name)
        if new and operation.field.remote_field and new.remote_field:
            operation.field = pointed_at(operation.field, new)

    def _relaxes(self, app_label: str, operation: Any) -> bool:
        """Whether the operation drops a constraint of a field that is there."""
        if type(operation) is not AlterField or not (
            self._extras and self._extras.relaxes
        ):
            return False
        model = self.from_state.models.get((app_label, operation.model_name_lower))
        old = model and model.fields.get(operation.name)
        if not model or not old:
            return False
        from syzygy.generation.fields import is_relaxed

        return is_relaxed(old, operation.field)

    def arrange_for_graph(
        self,
        changes: Changes,
        graph: MigrationGraph,
        migration_name: str | None = None,
    ) -> Changes:
        """Django's, with names that tell what a migration does to a rollout."""
        if self._extras is not None and self._start is not None:
            from syzygy.generation.tidying import tidy

            tidy(changes, self._start.state())
        if self._extras is not None and not migration_name:
            from syzygy.generation.naming import suggest_name
            from syzygy.generation.states import copied, history_of

            history = history_of(copied(self.from_state))
            for migrations in changes.values():
                for migration in migrations:
                    name = suggest_name(migration, history)
                    vars(migration)["suggest_name"] = lambda name=name: name
        return super().arrange_for_graph(changes, graph, migration_name)


@cache
def staged(base: type[DjangoAutodetector]) -> type[DjangoAutodetector]:
    """The class that splits what ``base`` detects: the same one for the same base."""
    if issubclass(base, StagedMixin):
        return base
    if base is DjangoAutodetector:
        return MigrationAutodetector
    return type(base.__name__, (StagedMixin, base), {})


class MigrationAutodetector(StagedMixin):
    """Django's, split into two stages."""
