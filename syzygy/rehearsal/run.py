"""A whole rehearsal: from the database or the files it starts from to its findings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.management import CommandError
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from syzygy.exceptions import AmbiguousStage
from syzygy.git import GitError
from syzygy.graph import MigrationKey
from syzygy.history import ModelKey
from syzygy.management.executor import loading
from syzygy.management.stager import PlanStager, check_squashed
from syzygy.messages import describe, on_database
from syzygy.rehearsal import schema
from syzygy.rehearsal.attempts import explain
from syzygy.rehearsal.blame import suspects
from syzygy.rehearsal.conclude import conclude, is_own_fault
from syzygy.rehearsal.findings import (
    Failure,
    Finding,
    Moment,
    NotProbed,
    Point,
    Rehearsal,
)
from syzygy.rehearsal.isolation import isolated
from syzygy.rehearsal.releases import NEW, OLD, Release, changed_models
from syzygy.rehearsal.scope import models_to_probe
from syzygy.rehearsal.scratch import ScratchError, scratch_database
from syzygy.rehearsal.standins import SchemaError, make, models_with_table
from syzygy.rehearsal.start import (
    StartError,
    applied_in,
    before,
    present_at,
    with_replaced,
)
from syzygy.rehearsal.walk import Walk, state_after
from syzygy.renaming import renaming_in_copies
from syzygy.staging import Plan, Step

# Why there may be no rehearsal: each has a message of one line for people.
REASONS = (GitError, SchemaError, ScratchError, StartError)


@dataclass(frozen=True)
class Options:
    """What to rehearse, and how.

    The deployment starts from the migrations that are there at the git ref ``since``,
    or from the ``targets`` ("app_label.migration_name"); without either from what is
    applied in the configured database ``alias``.
    """

    alias: str = DEFAULT_DB_ALIAS
    since: str | None = None
    targets: Sequence[str] = ()
    replay: bool = False
    revert: bool = False
    all_models: bool = False
    keepdb: bool = False

    @property
    def start(self) -> str:
        """Where the deployment starts, in words."""
        if self.since is not None:
            return f'the migrations at "{self.since}"'
        if self.targets:
            return ", ".join(self.targets)
        return f'what is applied in "{self.alias}"'


def _be_quiet(point: Point) -> None:
    pass


def rehearse(
    options: Options, progress: Callable[[Point], None] = _be_quiet
) -> Rehearsal:
    """Rehearse the deployment of the migrations on disk, in a scratch database.

    Raises one of :data:`REASONS` if there is nothing to start from or to go on in,
    :class:`CommandError` for migrations that make no sense, and what
    :class:`~syzygy.management.stager.PlanStager` raises for what can't be staged.
    """
    applied = _applied(options)
    with (
        scratch_database(options.alias, keep=options.keepdb) as connection,
        isolated(),
        renaming_in_copies(),
    ):
        return _Run(options, connection, applied, progress).result()


def _applied(options: Options) -> Collection[MigrationKey]:
    if options.since is None and not options.targets:
        return applied_in(connections[options.alias])
    with loading():
        loader = MigrationLoader(None)
    if options.since is not None:
        applied = present_at(options.since)
    else:
        applied = before(options.targets, loader.graph)
    return with_replaced(applied, loader.disk_migrations)


def _staged(stager: PlanStager, alias: str) -> list[Step]:
    """The steps of a plan; one that is ambiguous has the others in a note."""
    try:
        return stager.stage()
    except AmbiguousStage as error:
        _, *others = stager.ambiguous
        if others:
            named = ", ".join(f'"{migration}"' for migration in others)
            error.add_note(
                f'Ambiguous as well: {named}. "manage.py check_migrations'
                f'{on_database(alias)}" tells what to do about each.'
            )
        raise


class _Run:
    """What happens while the scratch database is there."""

    def __init__(
        self,
        options: Options,
        connection: BaseDatabaseWrapper,
        applied: Collection[MigrationKey],
        progress: Callable[[Point], None],
    ) -> None:
        self._options = options
        self._connection = connection
        self._progress = progress
        self._not_probed: list[NotProbed] = []
        self._notes: list[str] = []
        if options.replay:
            executor = self._make_executor()
            schema.replay(executor, schema.history_of(executor, applied))
        else:
            schema.record(connection, applied)
        self._executor = self._make_executor()
        self._refuse_conflicts()
        self._history = schema.history_of(self._executor, applied)

    def result(self) -> Rehearsal:
        """Go there and, if that is asked for, back."""
        loader = self._executor.loader
        plan = self._executor.migration_plan(loader.graph.leaf_nodes())
        if not plan:
            return self._told([], [], is_complete=True)
        steps = _staged(PlanStager(self._executor, plan), self._options.alias)
        try:
            start = schema.state_after(self._executor, self._history)
            old = Release(OLD, start, self._options.alias)
            new = Release(NEW, state_after(start, steps), self._options.alias)
            for release in (old, new):
                release.apps.check_models_ready()
        except SchemaError:
            raise
        except Exception as error:
            raise SchemaError(
                f"The migrations don't make models together: {explain(error)}"
            ) from error
        keys = self._choose(steps, old, new)
        if self._options.replay:
            alias = self._options.alias
            make(self._connection, models_with_table(old.state, new.state, alias))
        else:
            schema.make_tables(self._connection, old.state, self._history, new.state)
        walk = Walk(self._connection, old, new, keys, self._progress)
        walk.go(self._executor, steps, old, new)
        self._notes += [
            f'No migration makes the table of "{new.label(key)}", which was made here '
            "from the model."
            for key in sorted(walk.stood_in)
        ]
        alone = walk.moments[0].failures + self._alone(new, walk.moments, plan)
        findings = self._conclude(walk.moments, start, steps, alone)
        moments = list(walk.moments)
        if self._options.revert and walk.is_complete:
            back = self._staged_backward(steps)
            there = len(walk.moments)
            walk.go(self._executor, back, new, old)
            findings += self._conclude(walk.moments[there:], start, back, alone)
            moments = walk.moments
        self._not_probed += walk.unprobable
        return self._told(moments, findings, is_complete=walk.is_complete)

    def _conclude(
        self,
        moments: Sequence[Moment],
        start: ProjectState,
        steps: Sequence[Step],
        alone: Sequence[Failure],
    ) -> list[Finding]:
        in_order = list(reversed(steps)) if any(s.backward for s in steps) else steps
        conclusion = conclude(moments, suspects(start, in_order), alone)
        self._not_probed += conclusion.not_probed
        return conclusion.findings

    def _alone(
        self, release: Release, moments: Sequence[Moment], plan: Plan
    ) -> list[Failure]:
        """What the new release can't even do on tables that are made for its models.

        Only of the models with which it fails in the end: the migrations may be to
        blame for that, or the values.
        """
        last = [m for m in moments if release.name in m.point.releases][-1:]
        labels = {f.probe.model for m in last for f in m.failures if is_own_fault(f)}
        keys = {key for key in release.state.models if release.label(key) in labels}
        if not keys:
            return []
        with scratch_database(self._options.alias) as connection:
            try:
                state = release.state
                schema.make_tables(connection, state, [*self._history, *plan], state)
            except SchemaError:
                return []
            walk = Walk(connection, release, release, keys, _be_quiet)
            return walk.begin(release, release)

    def _staged_backward(self, steps: Sequence[Step]) -> list[Step]:
        # The loader of the first one reads only once what is applied.
        self._executor = self._make_executor()
        nodes = self._executor.loader.graph.nodes
        plan = [(nodes[step.key], True) for step in reversed(steps)]
        return PlanStager(self._executor, plan).stage()

    def _choose(
        self, steps: Sequence[Step], old: Release, new: Release
    ) -> set[ModelKey]:
        """The models to probe; of those that can't be, note why."""
        keys, silent = models_to_probe(
            steps,
            (old, new),
            changed_models(old.state, new.state),
            is_undone=self._options.revert,
        )
        if self._options.all_models:
            keys = {*old.state.models, *new.state.models}
        elif silent:
            which = f'"{describe(silent[0])}"'
            if len(silent) > 1:
                which += f" and {len(silent) - 1} more"
            self._notes.append(
                f"Nobody can tell which models {which} may touch; use --all-models to "
                "probe all of them."
            )
        for release in (old, new):
            for key in sorted(keys & release.state.models.keys()):
                if why := release.why_without_table(key):
                    self._not_probed.append(NotProbed(release.label(key), f"{why}."))
        return keys

    def _make_executor(self) -> MigrationExecutor:
        with loading():
            return MigrationExecutor(self._connection)

    def _refuse_conflicts(self) -> None:
        loader = self._executor.loader
        loader.check_consistent_history(self._connection)
        check_squashed(loader)
        for app_label, names in loader.detect_conflicts().items():
            raise CommandError(
                f'The app "{app_label}" has more than one latest migration: '
                f"{', '.join(names)}. Merge them:\n"
                f"    python manage.py makemigrations --merge {app_label}"
            )

    def _told(
        self,
        moments: Sequence[Moment],
        findings: Sequence[Finding],
        *,
        is_complete: bool,
    ) -> Rehearsal:
        settings: dict[str, Any] = self._connection.settings_dict
        return Rehearsal(
            alias=self._options.alias,
            vendor=self._connection.display_name,
            start=self._options.start,
            moments=moments,
            findings=findings,
            not_probed=list(dict.fromkeys(self._not_probed)),
            notes=self._notes,
            database=str(settings["NAME"]) if self._options.keepdb else "",
            complete=is_complete,
        )
