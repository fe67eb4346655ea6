"""Sequences that lag behind the keys of the rows, as PostgreSQL lets them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import partial
from typing import Any

from django.core.management.color import no_style
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.models import Max

from syzygy.history import ModelKey
from syzygy.rehearsal.attempts import quietly
from syzygy.rehearsal.findings import NEXT_KEY, Action, Failure, Probe
from syzygy.rehearsal.releases import ModelClass, Release, key_of

_NAME = "SELECT pg_get_serial_sequence(%s, %s)"
# Zero where it has given none.
_LAST = "SELECT coalesce(pg_sequence_last_value(%s::regclass), 0)"


class Sequences:
    """Where the keys come from that a database gives to new rows.

    Probes use up keys, which no rollback gives back. So what the code of a migration
    does shows only if the sequences stand at the last keys before it runs. Other
    databases than PostgreSQL learn of the keys that somebody else gives.
    """

    def __init__(
        self, connection: BaseDatabaseWrapper, keys: Collection[ModelKey]
    ) -> None:
        self._connection = connection
        self._keys = keys if connection.vendor == "postgresql" else ()
        # The tables whose sequences lag, and the migration that left them behind.
        self._lagging: dict[str, Migration] = {}

    def prepare(self, releases: Iterable[Release]) -> None:
        """Have them go on after the last keys, but for those known to lag behind."""
        for model in (model for each in releases for model in self._models(each)):
            if model._meta.db_table not in self._lagging:
                quietly(self._connection.alias, partial(self._reset, model))

    def note(self, releases: Iterable[Release], migration: Migration) -> None:
        """Find out which a migration has left behind."""
        for model in (model for each in releases for model in self._models(each)):
            if self._problem(model):
                self._lagging.setdefault(model._meta.db_table, migration)

    def lagging(self, release: Release) -> Iterator[Failure]:
        """Where a release would be given keys that rows have, or will be some day."""
        for model in self._models(release):
            if migration := self._lagging.get(model._meta.db_table):
                if not (problem := self._problem(model)):
                    del self._lagging[model._meta.db_table]
                    continue
                label = release.label(key_of(model))
                yield Failure(
                    Probe(release.name, label, Action.INSERT, NEXT_KEY),
                    problem,
                    migration=migration,
                )

    def _models(self, release: Release) -> Iterator[ModelClass]:
        for key in self._keys:
            model = release.model(key)
            if model and _auto_field(model) in model._meta.local_fields:
                yield model

    def _problem(self, model: ModelClass) -> str:
        """What is wrong with the keys of a table; empty if nothing is."""
        found = quietly(self._connection.alias, partial(self._last_keys, model))
        given, highest = found or (0, 0)
        if given >= highest:
            return ""
        return (
            f"the sequence is at {given or 'its begin'}, and there are rows with keys "
            f"up to {highest}"
        )

    def _last_keys(self, model: ModelClass) -> tuple[int, int] | None:
        """The last key that was given, and the highest; nothing without a sequence."""
        field = _auto_field(model)
        table = self._connection.ops.quote_name(model._meta.db_table)
        with self._connection.cursor() as cursor:
            cursor.execute(_NAME, [table, field.column])
            if (sequence := cursor.fetchone()[0]) is None:
                return None
            cursor.execute(_LAST, [sequence])
            (given,) = cursor.fetchone()
        rows = model._base_manager.using(self._connection.alias)
        return given, rows.aggregate(highest=Max(field.attname))["highest"] or 0

    def _reset(self, model: ModelClass) -> None:
        reset = self._connection.ops.sequence_reset_sql
        with self._connection.cursor() as cursor:
            for statement in reset(no_style(), [model]):
                cursor.execute(statement)


def _auto_field(model: ModelClass) -> Any:
    return model._meta.auto_field
