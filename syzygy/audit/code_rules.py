"""The audit's rules about code and SQL in migrations, and about transactions."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.migrations import CreateModel, RunPython, RunSQL

from syzygy import rules
from syzygy.audit.base import AuditedMigration, AuditedOperation, AuditRule, Problem
from syzygy.audit.findings import Severity
from syzygy.audit.stage_rules import UNTIL_APPLIED, UNTIL_GONE
from syzygy.constants import Stage
from syzygy.requirements import is_opaque
from syzygy.stages import Decision, Source, describe

_DECLARE = (
    "    from syzygy import Stage\n    stage = Stage.PRE_DEPLOY  # or Stage.POST_DEPLOY"
)


def _is_code(part: AuditedOperation) -> bool:
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
        if getattr(operation.operation, "stage", None) is not None:
            return
        if _is_code(operation):
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
            f'can say it of "{operation.migration}" in the settings.\n{_DECLARE}'
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
            f"{_DECLARE}"
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
        from syzygy.audit.sql_effects import effects, is_known

        for effect in effects(operation.operation.sql):
            if effect.kind != "tightens":
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
        from syzygy.audit.sql_effects import effects

        for effect in effects(operation.operation.sql):
            if effect.kind != "rewrites":
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


class MixedTransaction(AuditRule):
    """SZ016."""

    code = "SZ016"
    name = "backfill-with-schema-change"
    vendors = frozenset({"postgresql"})
    severity = Severity.WARNING
    summary = "Rows are written in the transaction that changes the table."

    def check_migration(self, migration: AuditedMigration) -> Iterator[Problem]:
        """Report code that runs while the locks of a schema change are held."""
        if not migration.migration.atomic:
            return
        code = [part for part in migration.parts if _writes_rows(part)]
        changes = [part for part in migration.parts if _locks_table(part)]
        if not code or not changes:
            return
        first, change = describe(code[0].operation), describe(changes[0].operation)
        yield Problem(
            title=f'"{first}" runs in one transaction with "{change}"',
            what="Both releases wait for the table until the last row is written.",
            when="While the migration runs.",
            why=(
                "The schema change locks the table until the transaction ends, which "
                "the back-fill draws out; PostgreSQL may also refuse to alter a table "
                "of which the same transaction has written rows."
            ),
            remedy=(
                "Move the code into a migration of its own, and have that write its "
                "rows in batches:\n"
                "    atomic = False\n"
                f"{_DECLARE}"
            ),
        )


def _writes_rows(part: AuditedOperation) -> bool:
    if part.state_only or not _is_code(part):
        return False
    if isinstance(part.operation, RunSQL):
        from syzygy.audit.sql_effects import changes_data

        return changes_data(part.operation.sql)
    # One that is not atomic commits by itself.
    return part.operation.atomic is not False


def _locks_table(part: AuditedOperation) -> bool:
    harmless = {
        rules.UNSEEN,
        rules.UNSEEN_NEEDED,
        rules.CREATE_MODEL,
        rules.UNKNOWN,
        rules.CREATE_EXTENSION,
    }
    return (
        not part.state_only
        and not isinstance(part.operation, RunPython | RunSQL | CreateModel)
        and any(rule.has_effect and rule not in harmless for rule in part.effects)
    )


class NotAtomicOnMysql(AuditRule):
    """SZ021."""

    code = "SZ021"
    name = "half-applied-on-mysql"
    vendors = frozenset({"mysql"})
    severity = Severity.WARNING
    summary = "MySQL can't undo a schema change, so a failure leaves half a migration."

    def check_migration(self, migration: AuditedMigration) -> Iterator[Problem]:
        """Report migrations of several steps where none can be undone."""
        steps = {
            part.position
            for part in migration.parts
            if not part.state_only and any(r.has_effect for r in part.effects)
        }
        if len(steps) < 2 or not any(map(_changes_schema, migration.parts)):
            return
        yield Problem(
            title=f"{len(steps)} operations change the database in one migration",
            what="After a failure the migration can be neither applied nor undone.",
            when="If the second of its operations fails, or a later one.",
            why="MySQL and MariaDB commit each change of a schema at once.",
            remedy="Write one migration for each operation; each can be retried.",
        )


def _changes_schema(part: AuditedOperation) -> bool:
    return not part.state_only and not _is_code(part)


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
