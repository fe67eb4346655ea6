"""What a release does with a model through the ORM, to see whether it can."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from django.db import IntegrityError, models
from django.db.models import Case, Deferrable, Value, When
from django.db.models.functions import Collate

from syzygy.alterations import is_generated
from syzygy.history import ModelKey
from syzygy.rehearsal.attempts import WrongError
from syzygy.rehearsal.collations import apart_only_here
from syzygy.rehearsal.drafts import default_of, is_dated
from syzygy.rehearsal.findings import (
    NULL,
    Action,
    Failure,
    Probe,
    Severity,
    own_rows,
)
from syzygy.rehearsal.releases import ModelClass
from syzygy.rehearsal.residents import Resident, Residents
from syzygy.rehearsal.row_probes import RowProber, writable
from syzygy.rehearsal.row_rules import counterparts, quoted
from syzygy.rehearsal.rows import Variant
from syzygy.rehearsal.uniques import conflict_targets, constraints_of, upsert_targets
from syzygy.rehearsal.values import Unprobable

# Of texts that are unique.
_IN_CASE = "with a difference in case"


class Prober(RowProber):
    """Tries all that a release may do with models; nothing of it stays."""

    def probe(
        self,
        keys: Iterable[ModelKey],
        residents: Residents,
        *,
        is_same_schema: bool = False,
    ) -> list[Failure]:
        """Use each of the models that the release has; return what went wrong.

        On the schema of the last time only the rows that stay may be others.
        """
        self.failures = []
        self._held: dict[ModelKey, bool] = {}
        for key in keys:
            if model := self.release.model(key):
                self._probe_residents(key, model, residents)
                if not is_same_schema:
                    self._probe_new_rows(key, model)
        return self.failures

    def _probe_new_rows(self, key: ModelKey, model: ModelClass) -> None:
        label = self.release.label(key)
        for variant in self._rows.variants(model):
            self.together(partial(self.probe_row, label, model, variant))
        self._probe_constraints(key, label, model)
        self._probe_relations(label, model)

    # Rows that are there

    def _probe_residents(
        self, key: ModelKey, model: ModelClass, residents: Residents
    ) -> None:
        is_alone = not (self.release.references(key) or self.other.references(key))
        readable: list[tuple[Resident, models.Model]] = []

        def use() -> None:
            readable[:] = self._select_and_update(key, model, residents)
            if is_alone:
                self._delete_all(key, readable)

        self.together(use)
        if not is_alone:
            # What goes along with one may be what keeps another from being deleted.
            for resident, row in readable:
                self.together(partial(self._delete, key, resident, row))

    def _select_and_update(
        self, key: ModelKey, model: ModelClass, residents: Residents
    ) -> Iterator[tuple[Resident, models.Model]]:
        """Yield those of the rows that can be read."""
        label = self.release.label(key)
        # It may well be unable to read what the other release wrote.
        guests = residents.has_of(self.other, key)
        probe = Probe(self.release.name, label, Action.SELECT, "all rows", guests)
        rows = self.attempt(probe, partial(self._select, label, model, residents, key))
        query = model._base_manager.using(self.alias)
        for resident in residents.latest(key, self.release):
            if rows is None:
                row = self.attempt(
                    self._probe_of(resident, label, Action.SELECT),
                    query.filter(pk=resident.pk).first,
                )
            else:
                row = rows.get(resident.pk)
            if row is not None:
                self.attempt(
                    self._probe_of(resident, label, Action.UPDATE),
                    partial(self._rows.update, row),
                )
                yield resident, row

    def _delete_all(
        self, key: ModelKey, readable: Sequence[tuple[Resident, models.Model]]
    ) -> None:
        """Delete rows to which nothing refers, at once unless that fails."""
        if self.is_cautious:
            for resident, row in readable:
                self._delete(key, resident, row)
        elif readable:
            resident, row = readable[0]
            query = type(row)._base_manager.using(self.alias)
            self.attempt(
                self._probe_of(resident, self.release.label(key), Action.DELETE),
                query.filter(pk__in=[row.pk for _, row in readable]).delete,
            )

    def _delete(self, key: ModelKey, resident: Resident, row: models.Model) -> None:
        self.attempt(
            self._probe_of(resident, self.release.label(key), Action.DELETE),
            # Django takes away the keys of what is deleted, be it undone or not.
            lambda: self.delete(_copied(row, self.alias)),
            # It would have deleted, or changed, what it knows to refer to the row.
            mild=IntegrityError if self._may_be_held(key) else None,
        )

    def _probe_of(self, resident: Resident, label: str, action: Action) -> Probe:
        guest = resident.owner != self.release.name
        subject = own_rows(resident.owner)
        return Probe(self.release.name, label, action, subject, guest)

    def _select(
        self, label: str, model: ModelClass, residents: Residents, key: ModelKey
    ) -> dict[Any, models.Model]:
        """Read all rows; return them by their keys."""
        owners = {
            resident.pk: resident.owner for resident in residents.of(key, self.release)
        }
        unknown = self._unknown_fields(key, model)
        told = set()
        rows = {row.pk: row for row in model._base_manager.using(self.alias).all()}
        for pk, row in rows.items():
            owner = owners.get(pk, self.other.name)
            for field in model._meta.concrete_fields:
                if field in told or getattr(row, field.attname) is not None:
                    continue
                if problem := _problem_with_null(
                    field, is_lacking=owner == self.other.name and field in unknown
                ):
                    told.add(field)
                    self.failures.append(
                        Failure(
                            Probe(self.release.name, label, Action.SELECT, NULL),
                            f"it reads NULL in a row of the {owner} release, but "
                            f"{problem}",
                            Severity.HAZARD,
                            field.name,
                        )
                    )
        for field in model._meta.local_concrete_fields:
            if collation := getattr(field, "db_collation", None):
                ordered = Collate(field.name, collation)
                model._base_manager.using(self.alias).order_by(ordered).first()
        return rows

    def _unknown_fields(self, key: ModelKey, model: ModelClass) -> set[Any]:
        """The fields for whose columns the other release writes nothing."""
        other = self.other.model(key)
        known = counterparts(model, other) if other else {}
        return {f for f in model._meta.concrete_fields if f.name not in known}

    def _may_be_held(self, key: ModelKey) -> bool:
        """Whether the other release alone knows what may refer to a row.

        Or to one that goes with the row when this release deletes it.
        """
        if key not in self._held:
            self._held[key] = self._has_unknown_holder(key)
        return self._held[key]

    def _has_unknown_holder(self, key: ModelKey) -> bool:
        going = [key]
        for each in going:
            known = self.release.references(each)
            if self.other.references(each) - known:
                return True
            going += {holder for holder, _ in known}.difference(going)
        return False

    # Constraints

    def _probe_constraints(self, key: ModelKey, label: str, model: ModelClass) -> None:
        other = self.other.model(key)
        own = list(constraints_of(model))
        theirs = list(constraints_of(other)) if other else []
        for constraint in theirs:
            if other and constraint not in own:
                self.together(partial(self._violate, label, model, constraint, other))
        if other:
            for names, name in apart_only_here(model, other, self._connection):
                self.together(
                    partial(self._change_case, label, model, other, names, name)
                )
        if self._features.supports_deferrable_unique_constraints and other:
            for constraint in own:
                if getattr(constraint, "deferrable", None) and constraint not in theirs:
                    probe = partial(self._probe_exchange, label, model, constraint)
                    self.together(probe, defers=True)
        if not self._features.supports_update_conflicts or model._meta.parents:
            return
        known = list(conflict_targets(other)) if other else []
        for names in upsert_targets(model, self._connection):
            # What one release alone declares, no more than an upsert needs.
            mild = None if names in known else Exception
            self.together(partial(self._probe_upsert, label, model, names, mild))

    def _probe_upsert(
        self,
        label: str,
        model: ModelClass,
        names: tuple[str, ...],
        mild: type[Exception] | None,
    ) -> None:
        made = self.quietly(partial(self.insert, model, Variant.WIDEST))
        if made:
            on = f"on {', '.join(names)}"
            self.attempt(
                Probe(self.release.name, label, Action.UPSERT, on),
                partial(self._upsert, made[0], names),
                mild=mild,
            )

    def _violate(
        self, label: str, model: ModelClass, constraint: Any, other: ModelClass
    ) -> None:
        def make() -> list[models.Model] | None:
            try:
                return self._rows.violating(model, constraint, other)
            except Unprobable as error:
                self.pass_over(error, name)
                return None

        name = getattr(constraint, "name", None) or ", ".join(constraint)
        made = self.quietly(make)
        if not made:
            return
        rows: list[models.Model] = made
        self.attempt(
            Probe(
                self.release.name,
                label,
                Action.INSERT,
                f'that "{name}" of the {self.other.name} release forbids',
            ),
            partial(self._save_all, rows),
        )

    def _probe_exchange(self, label: str, model: ModelClass, constraint: Any) -> None:
        """Have two rows be alike for a moment, as a deferrable constraint allows."""

        def make() -> tuple[models.Model, models.Model, list[Any]] | None:
            try:
                return self._rows.exchanging(model, constraint)
            except Unprobable as error:
                self.pass_over(error, f"exchange {constraint.name}")
                return None

        made = self.quietly(make)
        if made:
            subject = f'exchanging what "{constraint.name}" compares'
            self.attempt(
                Probe(self.release.name, label, Action.UPDATE, subject),
                partial(self._exchange, *made, constraint.deferrable),
            )

    def _exchange(
        self,
        one: models.Model,
        two: models.Model,
        fields: Sequence[Any],
        deferrable: Deferrable,
    ) -> None:
        self._save_all([one, two])
        before = {field: getattr(one, field.attname) for field in fields}
        after = {field: getattr(two, field.attname) for field in fields}
        if deferrable is Deferrable.IMMEDIATE:
            # It is looked at when the statement is over.
            values = {
                field.name: Case(
                    When(pk=one.pk, then=Value(after[field], field)),
                    default=Value(before[field], field),
                )
                for field in fields
            }
            query = type(one)._base_manager.using(self.alias)
            query.filter(pk__in=[one.pk, two.pk]).update(**values)
            return
        for row, values in ((one, after), (two, before)):
            for field, value in values.items():
                setattr(row, field.attname, value)
            self._rows.update(row)

    def _change_case(
        self,
        label: str,
        model: ModelClass,
        other: ModelClass,
        names: tuple[str, ...],
        name: str,
    ) -> None:
        def make() -> list[models.Model]:
            row: Any = self._rows.make(model, Variant.DEFAULTS, also=other)
            twin = self._twin(row, names)
            setattr(twin, name, getattr(row, name).swapcase())
            return [row, twin]

        rows = self.quietly(make)
        if not rows:
            return
        self.attempt(
            Probe(self.release.name, label, Action.INSERT, f'{_IN_CASE}: "{name}"'),
            partial(self._save_all, rows),
        )

    def _save_all(self, rows: Iterable[models.Model]) -> None:
        for row in rows:
            self._rows.save(row)

    def _twin(self, row: models.Model, names: Iterable[str]) -> Any:
        """Another row that has the same in these fields, which are unique together."""
        twin = self._rows.twin(row)
        fields: list[Any] = [type(row)._meta.get_field(name) for name in names]
        for field in fields:
            setattr(twin, field.attname, getattr(row, field.attname))
        return twin

    def _upsert(self, row: models.Model, names: tuple[str, ...]) -> None:
        model = type(row)
        twin = self._twin(row, names)
        if self._rows.is_awaited(twin):
            raise Unprobable(
                model._meta.label,
                f"Upserts on {quoted(names)} are not tried: what such a row refers to "
                "refers to it in turn, but it is never inserted.",
            )
        fields: list[Any] = [model._meta.get_field(name) for name in names]
        if model._meta.order_with_respect_to:
            # Which bulk_create() leaves to its caller on some versions of Django.
            twin._order = 0
        if any(getattr(row, field.attname) is None for field in fields):
            return
        if any(field.generated or is_dated(field) for field in fields):
            return  # What is made for each row can't be given to another.
        updated = [f.name for f in writable(model) if f.name not in names]
        if not updated:
            return
        manager = model._base_manager.using(self.alias)
        before = manager.count()
        manager.bulk_create(
            [twin],
            update_conflicts=True,
            update_fields=updated,
            unique_fields=(
                names if self._features.supports_update_conflicts_with_target else None
            ),
        )
        if manager.count() != before:
            raise WrongError("it inserts a second row instead of updating the first")

    # Relations

    def _probe_relations(self, label: str, model: ModelClass) -> None:
        fields: list[Any] = model._meta.local_many_to_many
        for field in fields:
            if field.remote_field.through._meta.auto_created:
                self.together(partial(self._probe_relation, label, model, field))

    def _probe_relation(self, label: str, model: ModelClass, field: Any) -> None:
        make = partial(self.insert, variant=Variant.DEFAULTS)
        made = self.quietly(partial(make, model))
        target = self.quietly(partial(make, field.related_model))
        if made and target:
            self.attempt(
                Probe(self.release.name, label, Action.RELATE, field.name),
                partial(self._relate, made[0], field, target[0]),
            )

    def _relate(self, row: models.Model, field: Any, target: models.Model) -> None:
        manager = getattr(row, field.name)
        manager.add(target)
        self.check()
        if [found.pk for found in manager.all()] != [target.pk]:
            raise WrongError("it doesn't find what it has just added", field.name)
        manager.remove(target)
        if manager.all():
            raise WrongError("it finds what it has just removed", field.name)


def _copied(row: models.Model, alias: str) -> models.Model:
    names = [field.attname for field in row._meta.concrete_fields]
    return type(row).from_db(alias, names, [getattr(row, name) for name in names])


def _problem_with_null(field: Any, *, is_lacking: bool) -> str:
    """What is wrong with NULL in a field; empty if nothing is.

    ``is_lacking`` means that whoever inserted the row didn't know the field.
    """
    if field.primary_key or is_generated(field):
        return ""
    if not field.null:
        return "declares the field NOT NULL"
    if is_lacking and field.has_default() and default_of(field) is not None:
        return "gives the field a default"
    return ""
