"""What people are told when nothing can be decided, with ways out ready to paste."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from django.db import DEFAULT_DB_ALIAS
from django.db.migrations import RunPython, RunSQL
from django.db.migrations.operations.base import Operation

from syzygy.constants import Stage

if TYPE_CHECKING:
    from django.db.migrations import Migration

    from syzygy.graph import AnyMigration, MigrationKey, Needs
    from syzygy.staging import Conflict, Step

OVERRIDE = "MIGRATION_STAGES_OVERRIDE"
BASELINE = "MIGRATION_STAGES_BASELINE"

SPLIT = "Split it into one migration per stage."
KEEP = (
    "Keep the name in the database (db_column, db_table), or add what is new, "
    "back-fill it, switch to it and remove the old in later deployments."
)
USE = (
    "Use one of the two stages:\n"
    "    from syzygy import Stage\n"
    "    stage = Stage.PRE_DEPLOY  # or Stage.POST_DEPLOY"
)


# How much of a text an operation is described by.
_SHOWN = 40


class Commands:
    """Makes the commands that a message has: they end with the ``options``.

    ``stops`` are the migrations to go back to so that a given one is undone, and
    nothing that isn't planned; ``undone`` is what going back to one undoes. The graph
    tells, where squashed ones are in place of those that files name.
    """

    def __init__(
        self,
        options: str = "",
        stops: Needs | None = None,
        undone: Needs = lambda _: (),
    ) -> None:
        self.options = options
        self.stops = stops
        self.undone = undone

    def lines(self, arguments: Iterable[str]) -> str:
        """Those that call ``migrate`` with these arguments."""
        return "\n".join(
            f"    python manage.py migrate {words}{self.options}" for words in arguments
        )

    def before(self, step: Step) -> MigrationKey | None:
        """Where to go back to so that a step is undone, and what depends on it.

        ``None`` if its app has no such migration.
        """
        stops = self.stops or (lambda _: step.migration.dependencies)
        for app_label, name in sorted(stops(step.key)):
            if app_label == step.migration.app_label and not name.startswith("__"):
                return app_label, name
        return None


def error_text(error: BaseException) -> str:
    """What an error says, in one line, for the middle of a sentence."""
    return " ".join(str(error).split()).rstrip(".")


def error_line(error: BaseException) -> str:
    """The same, after the name of its class: for an error of somebody else's code."""
    text = error_text(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def sentence(text: str) -> str:
    """A text that may end with what somebody else says, with an end of its own."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def counted(number: int, noun: str) -> str:
    """A number of things."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def process_text(number: int, host: str) -> str:
    """A process, as people find it."""
    return f'process {number} on "{host}"'


def migrating(holder: str) -> str:
    """What to say while one waits for the process that has the lock, if it is known."""
    who = f": {holder}" if holder else ""
    return f"Another process is migrating this database{who}. Waiting for it to finish."


def describe(operation: Operation) -> str:
    """What Django would say that the operation does, and which code or SQL it runs."""
    try:
        return f"{operation.describe()}{_which(operation)}"
    except Exception:  # noqa: BLE001 - a third party's code, for a message only
        return type(operation).__name__


def _which(operation: Operation) -> str:
    """What tells an operation from others of which Django says the same."""
    text = ""
    if isinstance(operation, RunPython):
        name = getattr(operation.code, "__name__", "")
        text = name if name.isidentifier() else ""
    elif isinstance(operation, RunSQL):
        sql: object = operation.sql
        while isinstance(sql, list | tuple) and sql:
            sql = sql[0]
        # Not imported at the top: few messages are about SQL.
        from syzygy.hosting import one_line

        text = one_line(" ".join(str(sql or "").split()))
    # What has a description of its own says enough.
    is_plain = type(operation).describe in (RunPython.describe, RunSQL.describe)
    if not text or not is_plain:
        return ""
    return f" ({text[:_SHOWN]}{'...' * (len(text) > _SHOWN)})"


def stage_remedy(
    migration: AnyMigration,
    override: Collection[str],
    baseline: Collection[object],
    *,
    way: str,
    stage: Stage,
) -> str:
    """How to settle the stage of a migration, given the overrides there are.

    The ``way`` is what to do rather than to say the ``stage``. That is post-deploy
    where only code of which nobody has said so has to run before the rollout.
    ``baseline`` is empty if the settings have none.
    """
    if migration.replaces:
        return squashed_remedy(migration, baseline)
    if stage is Stage.POST_DEPLOY:
        say = "if its code may run after the rollout, say so"
        line = "stage = Stage.POST_DEPLOY"
    else:
        say = "if the running release doesn't use what it changes, say when it runs"
        line = "stage = Stage.PRE_DEPLOY  # or Stage.POST_DEPLOY"
    return (
        f"{way} Or, {say}, in the migration:\n"
        "    from syzygy import Stage\n"
        f"    {line}\n"
        "or in the settings:\n"
        f"    {override_line({str(migration): stage}, override)}"
    )


def override_all(stages: Mapping[str, Stage]) -> str:
    """The end of a remedy: the line for the migrations of several remedies at once."""
    line = override_line(stages, ())
    return f"or there, for all {len(stages)} migrations at once:\n    {line}"


def baseline_all(baseline: Mapping[str, str]) -> str:
    """The same of squashed migrations, which a baseline settles."""
    line = baseline_line(baseline)
    return f"or there, for all {len(baseline)} apps at once:\n    {line}"


def squashed_remedy(migration: AnyMigration, baseline: Collection[object]) -> str:
    """What to do about a squashed migration of both stages."""
    line = f"{BASELINE} {'|=' if baseline else '='} "
    return (
        "Have no release contain it before all that it replaces is applied everywhere. "
        "If it is, say so in the settings:\n"
        f"    {line}{json.dumps({migration.app_label: migration.name})}"
    )


def stranded(migration: Migration, lost: Iterable[MigrationKey]) -> str:
    """What to do about a squashed migration that Django leaves out in silence."""
    names = ", ".join(f'"{app_label}.{name}"' for app_label, name in lost)
    return (
        f'The squashed migration "{migration}" is left out: some of those that it '
        f"replaces are applied, but not {names}, and there is no file to apply. First "
        'run "migrate" on this database with a release that has the files.'
    )


def override_line(stages: Mapping[str, Stage], override: Collection[str]) -> str:
    """The line of the settings that adds these stages to the overrides there are."""
    entries = {name: stage.value for name, stage in stages.items()}
    return f"{OVERRIDE} {'|=' if override else '='} {json.dumps(entries)}"


def baseline_line(baseline: Mapping[str, str]) -> str:
    """The line of the settings that declares the history up to these deployed."""
    return f"{BASELINE} = {json.dumps(dict(sorted(baseline.items())))}"


def plan_conflict(
    conflict: Conflict, existing: Collection[str], commands: Commands
) -> str:
    """Why a plan can't be split, in the first line, and the ways out.

    ``existing`` are the overrides that there are.
    """
    post, *between, pre = conflict.path
    verb = "be undone" if post.backward else "run"
    reasons = [
        f'Migration "{pre.migration}" has to {verb} before the rollout '
        f'({pre.decision}), but it needs "{post.migration}" to {verb} first, '
        f"which has to wait until after the rollout ({post.decision})."
    ]
    if between:
        # Apart, lest one of these seem to be what has to wait.
        through = " and ".join(f'"{step.migration}"' for step in between)
        reasons.append(f'It needs "{post.migration}" through {through}.')
    reasons += [
        f'Likewise "{needing.migration}" needs "{needed.migration}".'
        for needed, needing in conflict.pairs[1:]
    ]
    lines = [" ".join(reasons)]
    if post.backward:
        lines.append(_roll_back_first(conflict.pairs, commands))
    else:
        if all(step.decision.assumed for step in conflict.hurried):
            # First, as it takes nothing away.
            lines.append(_wait(conflict.hurried, existing))
        lines.append(_apply_first(conflict.ends, commands))
    stage = Stage.POST_DEPLOY if post.backward else Stage.PRE_DEPLOY
    stages = {str(needed.migration): stage for needed, _ in conflict.pairs}
    lines.append(
        "If no running release uses what has to wait, it needn't; put into the "
        f"settings:\n    {override_line(stages, existing)}"
    )
    return "\n".join(lines)


def _wait(steps: Sequence[Step], existing: Collection[str]) -> str:
    """The way out where nobody said that these can't wait."""
    names = [str(step.migration) for step in steps]
    line = override_line(dict.fromkeys(names, Stage.POST_DEPLOY), existing)
    quoted = " and ".join(f'"{name}"' for name in names)
    return (
        f"If {quoted} may run after the rollout, say so with stage = "
        f"Stage.POST_DEPLOY in the migration, or in the settings:\n    {line}"
    )


def _apply_first(ends: Iterable[Step], commands: Commands) -> str:
    lines = commands.lines(target(*step.key) for step in ends)
    return (
        "If all that has to wait came with releases that are rolled out everywhere by "
        "now, it is overdue; if no release runs on this database yet, because its "
        "first deployment stopped midway, nothing has to wait. In either case apply it "
        f"first:\n{lines}\n"
        "If neither is so, deploy the releases that it came with before this one."
    )


def _roll_back_first(pairs: Sequence[tuple[Step, Step]], commands: Commands) -> str:
    stops: dict[str, MigrationKey | None] = {}
    for needed, needing in pairs:
        app_label = needed.migration.app_label
        # The first of an app undoes the least; going on from there tells of the next.
        stops.setdefault(
            app_label,
            needing.key
            if needing.migration.app_label == app_label
            else commands.before(needed),
        )
    found = [stop for stop in stops.values() if stop]
    if len(found) < len(stops):
        # Without a migration to go back to, "zero" could undo more than is planned.
        first = pairs[0][0].migration
        return f'Roll back in two deployments; undo "{first}" in the first of them.'
    # One that another of the commands undoes would be applied again.
    undone = {key for stop in found for key in commands.undone(stop)}
    lines = commands.lines(target(*stop) for stop in found if stop not in undone)
    return f"Roll back in two deployments, the first of them up to here:\n{lines}"


def on_database(alias: str) -> str:
    """The option of a command that is about a database, nothing for the usual one."""
    return "" if alias == DEFAULT_DB_ALIAS else f" --database {_quoted(alias)}"


def target(app_label: str, name: str) -> str:
    """The arguments of a command that are about a migration, as a shell reads them.

    The file of one may be named as people name copies.
    """
    return f"{app_label} {_quoted(name)}"


def _quoted(text: str) -> str:
    # Not imported at the top: a server that starts has nothing to tell.
    from shlex import quote

    return quote(text)
