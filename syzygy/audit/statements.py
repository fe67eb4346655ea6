"""The SQL of operations, for those who ask to see it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader

from syzygy.audit.findings import Finding
from syzygy.graph import key_of


def with_sql(
    findings: Iterable[Finding],
    loader: MigrationLoader,
    connection: BaseDatabaseWrapper,
) -> Iterator[Finding]:
    """The findings with the SQL of the operations that they are about.

    They stay without where it can't be told, as for code and without a database that
    has to be asked.
    """
    known: dict[str, list[tuple[str, ...]]] = {}
    for finding in findings:
        migration = loader.graph.nodes.get((finding.app_label, finding.migration))
        if migration is None or finding.position is None:
            yield finding
            continue
        if finding.label not in known:
            known[finding.label] = list(_statements(migration, loader, connection))
        statements = known[finding.label]
        at = finding.position
        yield finding._replace(sql=statements[at] if at < len(statements) else ())


def _statements(
    migration: Migration, loader: MigrationLoader, connection: BaseDatabaseWrapper
) -> Iterator[tuple[str, ...]]:
    """The statements of each operation, as far as they can be told."""
    # It depends on the backend, and on what it has to ask the database for.
    with suppress(Exception):
        state = loader.project_state(key_of(migration), False)
        for operation in migration.operations:
            before = state.clone()
            operation.state_forwards(migration.app_label, state)
            statements: list[str] = []
            if operation.reduces_to_sql:
                with connection.schema_editor(collect_sql=True) as editor:
                    operation.database_forwards(
                        migration.app_label, editor, before, state
                    )
                statements = editor.collected_sql
            yield tuple(statements)
