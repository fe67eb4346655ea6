"""Going through a deployment, and through its rollback, in a scratch database."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import count
from traceback import walk_tb
from typing import Any

from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.exceptions import IrreversibleError
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import BaseConstraint
from django.db.transaction import TransactionManagementError

from syzygy.constraints import unique_together
from syzygy.history import ModelKey
from syzygy.interrupts import Terminated
from syzygy.messages import describe
from syzygy.rehearsal.attempts import explain, routed_to
from syzygy.rehearsal.findings import (
    Action,
    Failure,
    Moment,
    NotProbed,
    Phase,
    Point,
    Probe,
)
from syzygy.rehearsal.probes import Prober
from syzygy.rehearsal.releases import Release
from syzygy.rehearsal.residents import Residents
from syzygy.rehearsal.rows import Rows
from syzygy.rehearsal.scope import is_opaque
from syzygy.rehearsal.sequences import Sequences
from syzygy.rehearsal.standins import SchemaError, StandIns
from syzygy.staging import Step


class Walk:
    """Applies the steps of a deployment, and has every live release probed at each.

    The scratch database has the tables of ``running`` when it begins. ``moments`` are
    what was seen, in order; ``is_complete`` is false once a migration has failed.
    ``progress`` is told of each point before it is reached.
    """

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        running: Release,
        coming: Release,
        keys: Collection[ModelKey],
        progress: Callable[[Point], None],
    ) -> None:
        self.moments: list[Moment] = []
        self.is_complete = True
        self._connection = connection
        self._keys = sorted(keys)
        self._progress = progress
        self._stand_ins = StandIns(connection)
        self._residents = Residents(connection.alias)
        self._sequences = Sequences(connection, self._keys)
        numbers = count()
        self._rows = {
            release: Rows(release.apps, connection, numbers)
            for release in (running, coming)
        }
        self._probers = {
            release: Prober(release, other, connection, self._rows[release])
            for release, other in ((running, coming), (coming, running))
        }
        # Not a clone of the state: the classes of that would change with the steps.
        self._state = ProjectState(
            {key: model.clone() for key, model in running.state.models.items()},
            running.state.real_apps,
        )

    @property
    def unprobable(self) -> list[NotProbed]:
        """Which models and fields could not be tried, and why."""
        found: dict[tuple[str, str], NotProbed] = {}
        for prober in self._probers.values():
            found |= prober.unprobable
        return list(found.values())

    @property
    def stood_in(self) -> set[ModelKey]:
        """The models whose tables were made, as no migration makes them."""
        return self._stand_ins.made

    def go(
        self,
        executor: MigrationExecutor,
        steps: Sequence[Step],
        running: Release,
        coming: Release,
    ) -> None:
        """Deploy ``coming``, which is the older one where the steps go backward."""
        backward = any(step.backward for step in steps)
        if backward:
            self._see(Point(Phase.START, (running.name,), backward=True))
        else:
            self.begin(running, coming)
        for step in steps:
            if not step.is_postponed and self.is_complete:
                self._take(executor, step, Phase.PRE_DEPLOY, running)
        if self.is_complete:
            if not backward:
                postponed = [step.migration for step in steps if step.is_postponed]
                self._stand_ins.make_for(self._state, postponed)
            # Before anything has used up keys.
            failures = list(self._sequences.lagging(coming))
            self._plant(running, coming)
            self._plant(coming, running)
            names = (running.name, coming.name)
            self._see(Point(Phase.WINDOW, names, backward=backward))
            self.moments[-1].failures += failures
        for step in steps:
            if step.is_postponed and self.is_complete:
                self._take(executor, step, Phase.POST_DEPLOY, coming)
        if self.is_complete:
            self._repeat(Point(Phase.END, (coming.name,), backward=backward), coming)
            self._residents.forget_what_is_gone(coming)

    def begin(self, running: Release, coming: Release) -> list[Failure]:
        """See what a release can do on its tables before anything is applied."""
        self._plant(running, coming)
        self._see(Point(Phase.START, (running.name,)))
        return self.moments[-1].failures

    def _plant(self, release: Release, other: Release) -> None:
        with routed_to(self._connection.alias):
            self._residents.plant(release, other, self._keys, self._rows[release])

    def _take(
        self, executor: MigrationExecutor, step: Step, phase: Phase, release: Release
    ) -> None:
        """Apply or unapply a migration, and see what the release makes of it."""
        point = Point(phase, (release.name,), step.migration, step.stage, step.backward)
        self._progress(point)
        runs_code = any(map(is_opaque, step.migration.operations))
        if runs_code:
            self._sequences.prepare(self._probers)
        listener = _Listener()
        try:
            with self._connection.execute_wrapper(listener):
                self._apply(executor, step)
        except Terminated:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it raises
            cause, operation = _origin(error), _raised_by(error)
            failure = Failure(
                Probe("", "", Action.MIGRATE, ""),
                explain(cause),
                operation=operation,
                is_refused=_is_refusal(cause, operation),
            )
            self.moments.append(Moment(point, [failure]))
            self.is_complete = False
            return
        if runs_code:
            self._sequences.note(self._probers, step.migration)
        elif not listener.has_heard:
            self._repeat(point, release)
            return
        self._see(point, is_opaque=runs_code)

    def _apply(self, executor: MigrationExecutor, step: Step) -> None:
        if step.backward:
            executor.migrate([], plan=[(step.migration, True)])
            # The executor reads this once, when it is made.
            del executor.loader.applied_migrations[step.key]
        else:
            apply = self._stand_ins.apply
            self._state = apply(executor, self._state, step.migration)
            self._stand_ins.make_managed(self._state)

    def _repeat(self, point: Point, release: Release) -> None:
        """Nothing has changed since the last point, where the release was probed."""
        last = self.moments[-1].failures
        failures = [each for each in last if each.probe.release == release.name]
        models = sum(bool(release.model(key)) for key in self._keys)
        self.moments.append(Moment(point, failures, models))

    def _see(self, point: Point, *, is_opaque: bool = False) -> None:
        if point.migration is None:
            self._progress(point)
        moment = Moment(point)
        with routed_to(self._connection.alias):
            for release, prober in self._probers.items():
                if release.name in point.releases:
                    moment.failures += self._sequences.lagging(release)
                    moment.failures += self._residents.missing_or_changed(
                        release, is_opaque=is_opaque
                    )
                    moment.failures += prober.probe(
                        self._keys,
                        self._residents,
                        # The running one has seen to this schema alone.
                        is_same_schema=point.phase is Phase.WINDOW
                        and release.name == point.releases[0],
                    )
                    moment.models += sum(bool(release.model(k)) for k in self._keys)
        self.moments.append(moment)


# What Django sends around what it does, and to look what there is.
_AROUND = re.compile(
    r"\s*(BEGIN|SAVEPOINT|RELEASE|PRAGMA|SET CONSTRAINTS|SET foreign_key_checks"
    r"|SELECT|SHOW)\b",
    re.IGNORECASE,
)


class _Listener:
    """Hears whether Django's operations change a database, but for their record."""

    def __init__(self) -> None:
        self.has_heard = False
        self._record = MigrationRecorder.Migration._meta.db_table

    def __call__(
        self, execute: Any, sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        if self._record not in str(sql) and not _AROUND.match(str(sql)):
            self.has_heard = True
        return execute(sql, params, many, context)


def state_after(state: ProjectState, steps: Sequence[Step]) -> ProjectState:
    """The state to which the steps of a deployment lead, as code has its models.

    Raises :class:`SchemaError` for a migration that can't be applied to the state.
    """
    state = state.clone()
    for step in steps:
        try:
            state = step.migration.mutate_state(state, preserve=False)
        except Exception as error:
            operation = _raised_by(error)
            what = f'"{describe(operation)}" of the migration' if operation else ""
            raise SchemaError(
                f'{what or "The migration"} "{step.migration}" can\'t be applied: '
                f"{explain(error)}. Mend it: it has to fit the models as the "
                "migrations before it leave them."
            ) from error
    for key, model in state.models.items():
        state.models[key] = _without_dangling(model)
    return state


def _without_dangling(model: ModelState) -> ModelState:
    """The model without constraints on fields that have been removed.

    Django leaves them in its states. The code of a release can't have them.
    """
    together = unique_together(model.options)
    constraints = model.options.get("constraints") or ()
    kept = {names for names in together if model.fields.keys() >= set(names)}
    stated = [c for c in constraints if model.fields.keys() >= {*_fields_of(c)}]
    if len(kept) == len(together) and len(stated) == len(constraints):
        return model
    model = model.clone()
    model.options |= {"unique_together": kept, "constraints": stated}
    return model


def _fields_of(constraint: BaseConstraint) -> Iterable[str]:
    return getattr(constraint, "fields", ())


def _origin(error: BaseException) -> BaseException:
    """What broke the transaction, where that is all that the error tells."""
    while isinstance(error, TransactionManagementError):
        before = error.__cause__ or error.__context__
        if before is None:
            break
        error = before
    return error


def _is_refusal(error: BaseException, operation: Operation | None) -> bool:
    """Whether it isn't the database that minds, nor what code makes of the rows."""
    if operation is None or isinstance(error, Error | IrreversibleError):
        return False
    if is_opaque(operation):
        # Of apps.get_model(), too; a KeyError may be about anything.
        is_lookup = type(error) is LookupError
        return is_lookup or isinstance(error, FieldError | FieldDoesNotExist)
    return True


def _raised_by(error: BaseException) -> Operation | None:
    """The operation that was at it, if any was: the frames of Django's loops tell."""
    loops = {
        method.__code__
        for method in (Migration.apply, Migration.unapply, Migration.mutate_state)
    }
    for frame, _ in walk_tb(error.__traceback__):
        if frame.f_code in loops:
            operation: Operation | None = frame.f_locals.get("operation")
            return operation
    return None
