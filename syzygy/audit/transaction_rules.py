"""The audit's rules about transactions: what can't run in one, and what needs one."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.migrations import CreateModel, RunPython, RunSQL

from syzygy import rules
from syzygy.audit.base import AuditedMigration, AuditedOperation, AuditRule, Problem
from syzygy.audit.code_rules import DECLARE, is_code
from syzygy.audit.findings import Severity
from syzygy.messages import describe

# Django's, which needs psycopg to be imported.
_CONCURRENT = {"AddIndexConcurrently", "RemoveIndexConcurrently"}


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
        is_own = code[0].operation is changes[0].operation
        yield Problem(
            title=(
                f'"{first}" writes rows in the transaction in which it alters a table'
                if is_own
                else f'"{first}" runs in one transaction with "{change}"'
            ),
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
                f"{DECLARE}"
            ),
        )


def _writes_rows(part: AuditedOperation) -> bool:
    if part.state_only or not is_code(part):
        return False
    if isinstance(part.operation, RunSQL):
        from syzygy.audit.sql_effects import changes_data

        return changes_data(part.operation.sql)
    # Whether it is atomic matters only where the migration isn't.
    return True


def _locks_table(part: AuditedOperation) -> bool:
    harmless = {
        rules.UNSEEN,
        rules.UNSEEN_NEEDED,
        rules.CREATE_MODEL,
        rules.UNKNOWN,
        rules.CREATE_EXTENSION,
    }
    if isinstance(part.operation, RunSQL):
        from syzygy.audit.sql_effects import altered_tables, is_known

        tables = altered_tables(part.operation.sql)
        return any(is_known(part.history, table) for table in tables)
    return (
        not part.state_only
        and not isinstance(part.operation, RunPython | CreateModel)
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
    return not part.state_only and not is_code(part)


class NeedsNoTransaction(AuditRule):
    """SZ023."""

    code = "SZ023"
    name = "cannot-run-in-a-transaction"
    vendors = frozenset({"postgresql"})
    severity = Severity.BREAKING
    summary = "PostgreSQL refuses to do in a transaction what a migration does in one."

    def check_operation(self, operation: AuditedOperation) -> Iterator[Problem]:
        """Report what PostgreSQL does only outside of a transaction."""
        if operation.state_only or operation.inferred:
            return
        is_atomic = operation.migration.migration.atomic
        for what, is_alone in dict.fromkeys(_needing_none(operation)):
            if is_atomic or not is_alone:
                yield _refused(operation, what, is_atomic=is_atomic)


def _needing_none(operation: AuditedOperation) -> Iterator[tuple[str, bool]]:
    """What takes no transaction, and whether it is sent to the database by itself."""
    change = operation.operation
    if any(cls.__name__ in _CONCURRENT for cls in type(change).__mro__):
        yield "CONCURRENTLY", True
    elif isinstance(change, RunSQL):
        # Not imported at the top: few migrations have SQL.
        from syzygy.audit.sql_effects import outside_transactions

        yield from outside_transactions(change.sql)


def _refused(operation: AuditedOperation, what: str, *, is_atomic: bool) -> Problem:
    several = f"{operation.description} sends {what} together with other statements"
    title = f"{operation.description} is in a transaction, which {what} can't be"
    outside = (
        "Have the migration run outside of a transaction, with nothing else in it, as "
        "it isn't undone if it fails:\n"
        "    atomic = False"
    )
    apart = (
        'Give each statement a text of its own:\n    migrations.RunSQL(["...", "..."])'
    )
    return Problem(
        title=title if is_atomic else several,
        what="The migration can't be applied.",
        when="In whichever stage it is applied.",
        why=(
            "PostgreSQL refuses it in a transaction, and Django makes one for a "
            "migration that is atomic."
            if is_atomic
            else "PostgreSQL makes one transaction of the statements of a text."
        ),
        remedy=outside if is_atomic else apart,
    )
