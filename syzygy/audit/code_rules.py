"""The audit's rules about code and SQL in migrations."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.migrations import RunPython, RunSQL

from syzygy import rules
from syzygy.audit.base import AuditedOperation, AuditRule, Problem
from syzygy.audit.findings import Severity
from syzygy.audit.stage_rules import UNTIL_APPLIED, UNTIL_GONE
from syzygy.constants import Stage
from syzygy.requirements import is_opaque
from syzygy.stages import Decision, Source

DECLARE = (
    "    from syzygy import Stage\n    stage = Stage.PRE_DEPLOY  # or Stage.POST_DEPLOY"
)


def is_code(part: AuditedOperation) -> bool:
    """Whether it is code or SQL that nobody can read."""
    return isinstance(part.operation, RunPython | RunSQL) and any(
        map(is_opaque, part.effects)
    )


class UnstagedCode(AuditRule):
    """SZ012."""

    code = "SZ012"
    name = "unstaged-code"
    severity = Severity.WARNING
    summary = "Nobody has said in which stage code, SQL or an unknown operation runs."

    def check_operation(self, operation: AuditedOperation) -> Iterator[Problem]:
        """Report what has a stage only by assumption."""
        decision = operation.migration.decision
        is_assumed = (
            isinstance(decision, Decision) and decision.source is Source.INFERRED
        )
        if not is_assumed or operation.state_only or operation.inferred:
            return
        if operation.explained:
            return  # The stage is that of the state operations beside it.
        if getattr(operation.operation, "stage", None) is not None:
            return
        if is_code(operation):
            yield _unstaged_code(operation)
        elif rules.UNKNOWN in operation.effects:
            yield _unstaged_stranger(operation)


def _unstaged_code(operation: AuditedOperation) -> Problem:
    return Problem(
        title=(
            f"{operation.description} runs before the rollout, because nobody has said "
            "when"
        ),
        what="Whatever the code changes that the running release relies on.",
        when=UNTIL_GONE,
        why="Code can't be judged; it runs pre-deploy unless a stage is declared.",
        remedy=(
            "Declare the stage in the migration: pre-deploy if the running release can "
            "live with what it does, post-deploy if rows that the running release "
            f'still writes need it, too. If it isn\'t yours, "{Source.OVERRIDE.value}" '
            f'can say it of "{operation.migration}" in the settings.\n{DECLARE}'
        ),
    )


def _unstaged_stranger(operation: AuditedOperation) -> Problem:
    """What to say of an operation of a kind that no rule covers."""
    cls = type(operation.operation)
    is_late = operation.stage is Stage.POST_DEPLOY
    return Problem(
        title=(
            f"{operation.description} runs {'after' if is_late else 'before'} the "
            "rollout, because nobody has said when, and no rule knows what it does"
        ),
        what=(
            "Whatever it does not do in time for the new release."
            if is_late
            else "Whatever it changes that the running release relies on."
        ),
        when=UNTIL_APPLIED if is_late else UNTIL_GONE,
        why=(
            f'No rule covers "{cls.__module__}.{cls.__qualname__}", so that it goes '
            "along with the others, and by itself before the rollout."
        ),
        remedy=(
            "Declare the stage, in the migration or in the class of the operation; or "
            'register a judge for the class (see the page "Teach it an operation"):\n'
            f"{DECLARE}"
        ),
    )


class SqlTightens(AuditRule):
    """SZ013."""

    code = "SZ013"
    name = "sql-tightens"
    severity = Severity.BREAKING
    summary = "SQL before the rollout forbids what the running release may write."

    def check_operation(self, operation: AuditedOperation) -> Iterator[Problem]:
        """Report constraints that SQL text adds too early."""
        if operation.stage is Stage.POST_DEPLOY:
            return
        if not isinstance(operation.operation, RunSQL):
            return
        # Not imported at the top: few migrations have SQL.
        from syzygy.audit.sql_effects import effects, is_known, is_respected

        for effect in effects(operation.operation.sql):
            if effect.kind != "tightens" or is_respected(operation.history, effect):
                continue
            known = is_known(operation.history, effect.table)
            if known is None:
                continue
            yield Problem(
                title=(
                    f'{operation.description} has "{effect.clause}" for the table '
                    f'"{effect.table}", and runs before the rollout'
                ),
                what="The running release fails at writing what that forbids.",
                when=UNTIL_GONE,
                why="It knows nothing of the new condition, or the new column.",
                remedy=_after("What tightens a table has to wait."),
                severity=None if known else Severity.WARNING,
            )


class SqlRewrites(AuditRule):
    """SZ014."""

    code = "SZ014"
    name = "sql-rewrites"
    severity = Severity.WARNING
    summary = "SQL changes the type of a column under both releases."

    def check_operation(self, operation: AuditedOperation) -> Iterator[Problem]:
        """Report types that SQL text changes."""
        if not isinstance(operation.operation, RunSQL):
            return
        from syzygy.audit.sql_effects import effects, is_known

        for effect in effects(operation.operation.sql):
            if effect.kind != "rewrites":
                continue
            if is_known(operation.history, effect.table) is None:
                continue
            yield Problem(
                title=(
                    f'{operation.description} has "{effect.clause}" for the table '
                    f'"{effect.table}"'
                ),
                what=(
                    "A release whose values don't fit the new type fails at writing "
                    "them, and both wait while the database rewrites the table."
                ),
                when="While it runs, and in the stage in which the type doesn't suit.",
                why="Both releases use the column, and the text has only one type.",
                remedy=(
                    "Widen a type before the rollout and narrow it after. For any "
                    "other change add a new column, back-fill it, have the next "
                    "release use it, and remove the old one in a later deployment."
                ),
            )


def _after(text: str) -> str:
    return (
        f"{text} Move it into a migration of its own that is applied after the "
        "rollout:\n"
        "    from syzygy import Stage\n"
        "    stage = Stage.POST_DEPLOY"
    )


class Irreversible(AuditRule):
    """SZ015."""

    code = "SZ015"
    name = "irreversible"
    severity = Severity.WARNING
    summary = "A migration can't be undone, so the release can't be rolled back."

    def check_operation(self, operation: AuditedOperation) -> Iterator[Problem]:
        """Report operations that Django refuses to reverse."""
        if operation.state_only or operation.operation.reversible:
            return
        code = operation.operation
        hint = {
            RunPython: "    migrations.RunPython(forwards, migrations.RunPython.noop)",
            RunSQL: '    migrations.RunSQL("...", migrations.RunSQL.noop)',
        }
        lines = [line for cls, line in hint.items() if isinstance(code, cls)]
        yield Problem(
            title=f"{operation.description} can't be reversed",
            what="Going back to the release before, down to its migrations, fails.",
            when="In a roll-back.",
            why="The operation doesn't say how to undo it.",
            remedy="\n".join(
                ["Say how to undo it, if only that nothing has to be undone:", *lines]
                if lines
                else ["Give the operation a way back, or accept that there is none."]
            ),
        )


class NotOfTheAncestor(AuditRule):
    """SZ100."""

    code = "SZ100"
    name = "strict"
    severity = Severity.BREAKING
    strict = True
    summary = "With --strict: an operation beyond the few that are always safe."

    def check_operation(self, operation: AuditedOperation) -> Iterator[Problem]:
        """Report all but the operations that the strict rule set allows."""
        if operation.state_only or not any(r.has_effect for r in operation.effects):
            return
        allowed = {rules.CREATE_MODEL, rules.ADD_FIELD, rules.ADD_FIELD_RELATION}
        if allowed.issuperset(operation.effects):
            return
        yield Problem(
            title=f"{operation.description} is not among what --strict allows",
            what="Nothing, as far as this rule knows: it asks for review.",
            when="In whichever stage it runs.",
            why=(
                "Strictly, a migration may create models, add nullable fields without "
                "a default, and alter the options of models."
            ),
            remedy=(
                "Have it reviewed, and suppress the finding at the operation:\n"
                "    # syzygy: ignore[SZ100] reviewed by ..."
            ),
        )
