"""What a rule of the audit is, and what it gets to see."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation

from syzygy.audit.findings import Severity
from syzygy.constants import Stage
from syzygy.exceptions import AmbiguousStage
from syzygy.graph import MigrationKey, key_of
from syzygy.history import History, ModelKey
from syzygy.messages import describe
from syzygy.requirements import is_opaque
from syzygy.rules import BACKFILL, Rule
from syzygy.stages import Decision


class Problem(NamedTuple):
    """What a rule has found.

    ``title`` is one sentence without its full stop; ``what`` breaks, ``when`` and
    ``why`` are sentences, and so is ``remedy``, which may go on with lines of code,
    indented by four spaces. ``effect`` is the code of a stage rule that matters;
    ``severity`` stands in for that of the rule.
    """

    title: str
    what: str = ""
    when: str = ""
    why: str = ""
    remedy: str = ""
    effect: str = ""
    severity: Severity | None = None


@dataclass(eq=False, repr=False)
class AuditedMigration:
    """A migration of the plan.

    ``stage`` is when it runs: ``None`` if the ``decision`` is that this can't be told.
    ``vendor`` is Django's name of the database: "postgresql", "mysql" for MariaDB, too.
    ``gone`` are the models that the same release deletes: the new one knows nothing of
    them. ``heirs`` are the names of tables, and the models and columns, that models get
    in the state alone: it may have taken them from others. ``after_code`` is whether
    code of an earlier migration runs after the rollout, ``filled`` are the models and
    fields that such a migration back-fills. ``parts`` are those of all its operations;
    their history has moved on.
    """

    migration: Migration
    decision: Decision | AmbiguousStage
    stage: Stage | None
    vendor: str
    gone: Collection[ModelKey] = ()
    heirs: Collection[tuple[str, ...]] = ()
    after_code: bool = False
    filled: Collection[tuple[ModelKey, str]] = ()
    parts: list[AuditedOperation] = field(default_factory=list)

    @property
    def key(self) -> MigrationKey:
        """The app label and the name."""
        return key_of(self.migration)

    @property
    def has_code(self) -> bool:
        """Whether it has run code or SQL so far, or what nobody knows."""
        return any(
            not part.state_only
            and part.filled is None
            and any(is_opaque(rule) or rule is BACKFILL for rule in part.effects)
            for part in self.parts
        )

    @property
    def fills(self) -> Collection[tuple[ModelKey, str]]:
        """The models and fields that it has back-filled so far."""
        filled = (None if part.state_only else part.filled for part in self.parts)
        return {each for each in filled if each is not None}

    def __str__(self) -> str:
        return str(self.migration)


@dataclass(eq=False, repr=False)
class AuditedOperation:
    """An operation that does something, or a part of one that wraps others.

    ``position`` is that of the whole operation in the migration. ``effects`` are the
    stage rules that it falls under, whatever stage it declares. ``history`` has the
    models before it; it is good only while the operation is looked at. Of an operation
    with ``state_only`` no more than the state changes; one that is ``inferred`` tells
    what code or SQL stands for that can't be read, which is then ``explained``.
    """

    migration: AuditedMigration
    position: int
    operation: Operation
    effects: Sequence[Rule]
    history: History
    state_only: bool = False
    inferred: bool = False
    explained: bool = False

    @property
    def stage(self) -> Stage | None:
        """When the migration runs."""
        return self.migration.stage

    @property
    def vendor(self) -> str:
        """Django's name of the database."""
        return self.migration.vendor

    @property
    def description(self) -> str:
        """What Django says that it does, in quotes."""
        return f'"{describe(self.operation)}"'

    @property
    def model(self) -> ModelKey | None:
        """The app label and the lower-case name of the model that it is about."""
        # Some of Django's know only the name as it is written.
        attributes = ("model_name_lower", "name_lower", "old_name_lower", "model_name")
        for attribute in attributes:
            name = getattr(self.operation, attribute, None)
            if name and isinstance(name, str):
                return self.migration.migration.app_label, name.lower()
        return None

    @property
    def filled(self) -> tuple[ModelKey, str] | None:
        """The model and the field that it back-fills, if it can't fill others, too."""
        if BACKFILL not in self.effects or self.model is None:
            return None
        change: Any = self.operation
        model = self.history.behind(self.model)
        # What is given the rows may do anything with them; and a field that the model
        # hasn't itself is one of a parent's.
        is_unclear = change.update is not None or (
            self.history.field(model, change.name) is None
        )
        return None if is_unclear else (model, change.name)

    @property
    def is_forgotten(self) -> bool:
        """Whether the new release doesn't know the model, as the plan deletes it."""
        return self.model in self.migration.gone

    @property
    def has_rows(self) -> bool:
        """Whether its table may have rows: not if the plan creates it."""
        key = self.model
        return (
            key is not None
            and self.history.has_table(key)
            and not self.history.is_unseen(*key)
        )


class AuditRule:
    """The base of all rules of the audit; a project's own derive from it, too.

    A rule has a ``code``: capital letters and digits, where "SZ" is taken. ``name`` is
    for people, in lower case with hyphens; ``summary`` is one sentence. ``page`` is
    what ``check_migrations --explain`` prints, in reStructuredText.
    """

    code: ClassVar[str] = ""
    name: ClassVar[str] = ""
    severity: ClassVar[Severity] = Severity.WARNING
    summary: ClassVar[str] = ""
    page: ClassVar[str] = ""
    # Whether it is of a set that somebody has to ask for.
    strict: ClassVar[bool] = False
    # The databases that it is about; empty: all of them.
    vendors: ClassVar[frozenset[str]] = frozenset()

    def check_operation(self, operation: AuditedOperation) -> Iterable[Problem]:
        """What is wrong with an operation."""
        del operation
        return ()

    def check_migration(self, migration: AuditedMigration) -> Iterable[Problem]:
        """What is wrong with a whole migration, after its operations."""
        del migration
        return ()
