"""What a release does with a new row through the ORM, to see whether it can."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import cycle
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.deletion import ProtectedError, RestrictedError
from django.db.models.fields.files import FieldFile

from syzygy.alterations import has_db_default, is_generated
from syzygy.rehearsal.attempts import Attempts, WrongError, differ, short
from syzygy.rehearsal.findings import Action, Failure, Probe
from syzygy.rehearsal.lacking import demanded
from syzygy.rehearsal.releases import ModelClass, Release, key_of
from syzygy.rehearsal.residents import spare_computed
from syzygy.rehearsal.row_rules import is_automatic
from syzygy.rehearsal.rows import Rows, Variant
from syzygy.rehearsal.uniques import conflict_targets

_WORDS = {
    Variant.DEFAULTS: "with its defaults",
    Variant.WIDEST: "with its widest values",
    Variant.EMPTY: "with NULL and blank values",
    Variant.ORPHAN: "with a reference to nothing",
}
# What is read where the value was left to the database.
_FROM_DATABASE = object()
# Above those that a database gives, yet within the smallest type of keys.
_FIRST_KEY, _KEYS = 20_000, 12_000
# A row can be in the way of another no more often than this.
_DEEPEST = 20


class RowProber(Attempts):
    """Tries all that a release may do with a row of its own."""

    def __init__(
        self,
        release: Release,
        other: Release,
        connection: BaseDatabaseWrapper,
        rows: Rows,
    ) -> None:
        super().__init__(connection)
        self.release = release
        self.other = other
        self._features = connection.features
        self._rows = rows
        self._keys = cycle(range(_KEYS))

    def probe_row(self, label: str, model: ModelClass, variant: Variant) -> None:
        """Insert a row, read, repeat, update and delete it."""
        words = _WORDS[variant]

        def probe(action: Action, subject: str = words) -> Probe:
            return Probe(self.release.name, label, action, subject)

        inserting = probe(Action.INSERT)
        made = self.attempt(inserting, lambda: self.insert(model, variant))
        if made is None:
            self._tell_demanded(inserting, model)
            return
        row, expected = made
        self.attempt(probe(Action.SELECT), lambda: self._read_back(row, expected))
        self.attempt(
            probe(Action.INSERT, f"{words}, twice"),
            lambda: self._rows.save(self._rows.twin(row)),
        )
        self.attempt(probe(Action.UPDATE), lambda: self._rows.update(row))
        if variant is Variant.WIDEST:
            # That is about what a row gets, in place of values rather than of NULL.
            self.attempt(
                probe(Action.UPDATE, "by QuerySet.update()"), lambda: self._update(row)
            )
        self.attempt(probe(Action.DELETE), lambda: self.delete(row))
        if variant is Variant.DEFAULTS:
            self._probe_references(label, model)

    def _tell_demanded(self, probe: Probe, model: ModelClass) -> None:
        """Tell of all columns for whose sake a row is refused: a database names one."""
        if not self.failures or self.failures[-1].probe != probe:
            return
        failure = self.failures[-1]
        found: dict[bool, list[Failure]] = {True: [], False: []}
        for part in (model, *model._meta.all_parents):
            other = self.other.model(key_of(part))
            columns = demanded(part, other, self._connection) if other else {}
            for column, field in columns.items():
                is_named = _is_named(column, failure.error)
                if field is not None:
                    # Not all databases say whose column it is.
                    is_told = is_named and part is model
                    error = failure.error if is_told else _lacks(part, column)
                    each = replace(failure, error=error, field=field.name)
                    found[is_named].append(each)
                elif is_named:
                    # It has another name at this time, or is of neither release.
                    found[True].append(failure)
        if found[True]:
            self.failures[-1:] = [*found[True], *found[False]]

    def _probe_references(self, label: str, model: ModelClass) -> None:
        """Refer to rows whose keys are those of no other table's rows by chance."""
        for field in model._meta.concrete_fields:
            if not isinstance(field, models.ForeignKey) or field.primary_key:
                continue
            made = self.quietly(partial(self._referring, model, field))
            if made is not None:
                self.attempt(
                    Probe(
                        self.release.name,
                        label,
                        Action.INSERT,
                        "with a reference to a new row",
                    ),
                    partial(self._rows.save, made),
                )

    def _referring(self, model: ModelClass, field: Any) -> models.Model | None:
        """An unsaved row that refers to a new one, with a key of no other row."""
        target = field.remote_field.model
        # Which of its references are set may be a matter of constraints.
        row = self._made(model, Variant.WIDEST)
        if getattr(row, field.attname) is None:
            self._rows.settle(row)
            return None
        referred = self._rows.make(target, Variant.DEFAULTS)
        is_open = getattr(referred, field.target_field.attname) is None
        if not (is_open and isinstance(field.target_field, models.AutoField)):
            # It needs the key that it has, as something refers to it, be it itself.
            self._rows.settle(row)
            self._rows.settle(referred)
            return None
        setattr(referred, field.target_field.attname, _FIRST_KEY + next(self._keys))
        self._rows.save(referred)
        setattr(row, field.attname, getattr(referred, field.target_field.attname))
        return row

    def insert(
        self, model: ModelClass, variant: Variant
    ) -> tuple[models.Model, dict[str, Any]]:
        """Insert a row; return it with what should be in the database."""
        row = self._made(model, variant)
        fields = [f for f in model._meta.concrete_fields if not is_generated(f)]
        before = {field.attname: getattr(row, field.attname) for field in fields}
        self._rows.save(row)
        return row, {
            name: _FROM_DATABASE
            if hasattr(value, "resolve_expression")
            else getattr(row, name)
            for name, value in before.items()
        }

    def _made(self, model: ModelClass, variant: Variant) -> models.Model:
        row = self._rows.make(model, variant)
        if variant is Variant.WIDEST and (other := self.other.model(key_of(model))):
            spare_computed(row, other, self._rows)
        return row

    def _read_back(self, row: models.Model, expected: dict[str, Any]) -> None:
        fresh = type(row)._base_manager.using(self.alias).get(pk=row.pk)
        for name, value in expected.items():
            found = getattr(fresh, name)
            if value is _FROM_DATABASE:
                # Whichever release's default it is, it has to be one.
                if found is None and not _defaults_to_null(row, name):
                    raise WrongError("it reads NULL where it left a db_default", name)
            elif differ(_plain(found), _plain(value)) and not self._is_alike(
                row, name, found, value
            ):
                raise WrongError(
                    f"it reads {short(found)} where it wrote {short(value)}", name
                )

    def _is_alike(self, row: models.Model, name: str, found: Any, value: Any) -> bool:
        """Whether a field takes for the same what it wrote and what it reads.

        It may have been given "5" for a number. A third party's may read an object of
        its own for NULL. Then it makes the same of both in the database, or that is
        what it makes of NULL.
        """
        field = _field_of(row, name)
        with suppress(Exception):
            if not differ(found, field.to_python(value)):
                return True
        read = getattr(field, "from_db_value", None)
        if read is None:
            return False
        with suppress(Exception):
            if value is None and not differ(
                found, read(None, field.cached_col, self._connection)
            ):
                return True
            stored = [
                field.get_db_prep_save(each, self._connection)
                for each in (found, value)
            ]
            return not differ(*stored)
        return False

    def _update(self, row: models.Model) -> None:
        model = type(row)
        wide = self._made(model, Variant.WIDEST)
        self._rows.settle(wide)
        unique = {name for names in conflict_targets(model) for name in names}
        values = {
            field.name: getattr(wide, field.attname)
            for field in writable(model)
            if field.name not in unique and not field.remote_field
        }
        if values:
            query = model._base_manager.using(self.alias).filter(pk=row.pk)
            if query.update(**values) != 1:
                raise WrongError("it updates no row")
            least = self._rows.least(model, self.other.model(key_of(model)))
            query.update(**{n: least[n] for n in least.keys() & values.keys()})

    def delete(self, row: models.Model, *before: models.Model) -> None:
        """Delete a row and, as an application has to, what protects it.

        Raises what Django does for a row that protects itself, or one in ``before``,
        for whose sake it has to go.
        """
        for _ in range(_DEEPEST):
            try:
                models.Model.delete(row, using=self.alias)
            except ProtectedError as error:
                obstacles = error.protected_objects
                if obstacles & {row, *before}:
                    raise
            except RestrictedError as error:
                obstacles = error.restricted_objects
                if obstacles & {row, *before}:
                    raise
            else:
                return
            for obstacle in obstacles:
                if obstacle.pk is not None:
                    self.delete(obstacle, *before, row)


def _is_named(column: str, error: str) -> bool:
    """Whether a database names a column, in quotes or after its table.

    It may be a word of the message, too, as "value" is, or a part of another name.
    """
    said = error.partition("DETAIL:")[0]
    return bool(re.search(rf"(?<=[^\w -]){re.escape(column)}(?![\w -])", said))


def _lacks(model: ModelClass, column: str) -> str:
    column = f'"{model._meta.db_table}.{column}"'
    return f"it leaves out {column}, which is NOT NULL without a DEFAULT"


def writable(model: ModelClass) -> Iterator[Any]:
    """The fields that code may write into, as it does in updates and upserts."""
    for field in model._meta.concrete_fields:
        # A parent has a key of its own, and one may be made of several fields.
        is_key = field.primary_key or field in model._meta.pk_fields
        if not (is_key or is_automatic(field)):
            yield field


def _defaults_to_null(row: models.Model, name: str) -> bool:
    return not has_db_default(_field_of(row, name))


def _field_of(row: models.Model, name: str) -> Any:
    return next(f for f in row._meta.concrete_fields if f.attname == name)


def _plain(value: Any) -> Any:
    if isinstance(value, FieldFile):
        return value.name or ""
    return bytes(value) if isinstance(value, memoryview) else value
