"""Telling people the stages of a plan."""

from __future__ import annotations

import shlex
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from django.core.management.base import OutputWrapper
from django.core.management.color import Style
from django.db.migrations import Migration

from syzygy.constants import Stage
from syzygy.exceptions import AmbiguousStage
from syzygy.graph import MigrationKey, key_of
from syzygy.messages import on_database

if TYPE_CHECKING:
    from syzygy.stages import Decision
    from syzygy.staging import Plan, Step

_INDENT = " " * 6


class PlanReport(NamedTuple):
    """What is known of a plan: the steps of a staged one, or decisions alone."""

    steps: Sequence[Step] = ()
    plan: Plan = []
    decisions: Mapping[MigrationKey, Decision | AmbiguousStage] = {}


class StageReport:
    """Writes what is known of plans, by the alias of the database of each.

    There is one plan, unless the command migrates several databases. The ``arguments``
    are those of the command that whoever goes on needs, too: a target, an option. If it
    ``fakes``, nobody knows whether to do so with what is postponed.
    """

    def __init__(
        self,
        stdout: OutputWrapper,
        style: Style,
        arguments: Sequence[str],
        *,
        fakes: bool = False,
    ) -> None:
        self.plans: dict[str, PlanReport] = {}
        self._command = shlex.join(["migrate", *arguments])
        self._fakes = fakes
        self._stdout = stdout
        self._style = style

    def write_stages(self) -> None:
        """Write the stage of each migration that would be applied now, and why."""
        for alias, (steps, plan, decisions) in self.plans.items():
            rows = [
                (str(step.migration), _label(step.stage), step.reason)
                for step in steps
                if not step.is_postponed
            ]
            rows += [
                _row(migration, backward, decisions[key_of(migration)])
                for migration, backward in plan
            ]
            self._write_rows("Stages", alias, rows)

    def write_postponed(self) -> None:
        """Write what is brought forward or postponed, and because of what."""
        fake = ", and with --fake only if it is done by then" if self._fakes else ""
        for alias, (steps, _, _) in self.plans.items():
            self._write_rows(
                "Brought forward",
                alias,
                [
                    (str(step.migration), _label(step.stage), _why_forward(step))
                    for step in steps
                    if step.is_brought_forward
                ],
            )
            self._write_rows(
                # Without its target it would redo what this one undoes; without an
                # option, create what is there.
                "Postponed until after the rollout, for a "
                f'"{self._command}{on_database(alias)}" without --pre-deploy{fake}',
                alias,
                [
                    (str(step.migration), _label(step.stage), _why_postponed(step))
                    for step in steps
                    if step.is_postponed
                ],
            )

    def _write_rows(
        self, title: str, alias: str, rows: Sequence[tuple[str, str, str]]
    ) -> None:
        if not rows:
            return
        where = f' (database "{alias}")' if len(self.plans) > 1 else ""
        self._stdout.write(self._style.MIGRATE_HEADING(f"{title}{where}:"))
        width = max(len(name) for name, _, _ in rows)
        lines = [f"  {name:{width}}  {stage:11}  {why}" for name, stage, why in rows]
        columns = self._columns()
        if columns and max(map(len, lines)) > columns:
            self._write_narrow(rows, columns)
            return
        for line in lines:
            label, rest = line[: width + 2], line[width + 2 :]
            self._stdout.write(self._style.MIGRATE_LABEL(label) + rest)

    def _write_narrow(self, rows: Sequence[tuple[str, str, str]], columns: int) -> None:
        """Write what a terminal would break anywhere, with the reasons on their own."""
        for name, stage, why in rows:
            self._stdout.write(f"{self._style.MIGRATE_LABEL(f'  {name}')}  {stage}")
            self._stdout.write(
                textwrap.fill(
                    why,
                    columns,
                    initial_indent=_INDENT,
                    subsequent_indent=_INDENT,
                    break_long_words=False,
                    break_on_hyphens=False,
                )
            )

    def _columns(self) -> int | None:
        """The width of the terminal; a log has none, but a line for each migration."""
        return shutil.get_terminal_size().columns if self._stdout.isatty() else None


def _why_forward(step: Step) -> str:
    if step.is_pinned:
        why = "it touches only what this plan creates"
    elif step.decision.is_defined:
        why = "it predates adoption"
    else:
        why = "it may run in either stage"
    return f"{step.because} needs it, and {why}"


def _why_postponed(step: Step) -> str:
    return f"needs {step.because}" if step.because else step.reason


def _row(
    migration: Migration, backward: bool, decision: Decision | AmbiguousStage
) -> tuple[str, str, str]:
    if isinstance(decision, AmbiguousStage):
        return str(migration), "ambiguous", decision.summary
    from syzygy.staging import Step

    step = Step(migration, backward, decision)
    return str(migration), _label(step.stage), step.reason


def _label(stage: Stage | None) -> str:
    return stage.label if stage else "any"
