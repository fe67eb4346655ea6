"""The rows that stay in the database throughout a rehearsal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import product
from typing import Any, NamedTuple

from django.db.models import ForeignKey, UniqueConstraint

from syzygy.constraints import compared_fields
from syzygy.history import ModelKey
from syzygy.rehearsal.attempts import differ, quietly, short
from syzygy.rehearsal.findings import Action, Failure, Probe, Severity, own_rows
from syzygy.rehearsal.releases import ModelClass, Release, key_of
from syzygy.rehearsal.row_rules import rules_of
from syzygy.rehearsal.rows import Rows, Variant

# At the least: one row alone would get by with much, such as a constant in what is to
# be unique.
_VARIANTS = (Variant.DEFAULTS, Variant.WIDEST)


class Resident(NamedTuple):
    """A row that a release inserted, and the values that it read back.

    Or the part of a row that is in the table of a parent of the model ``whole``.
    """

    owner: str
    key: ModelKey
    pk: Any
    values: dict[str, Any]
    variant: Variant
    whole: ModelKey


class Residents:
    """Rows that both releases may have written, so that both have to cope with them.

    They are legal for both: what only one of them may write is tried in probes. But
    NULL stays, for the other to read, and for migrations to trip over.
    """

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._rows: list[Resident] = []
        self._owners: set[tuple[str, ModelKey]] = set()

    def of(self, key: ModelKey, reader: Release) -> list[Resident]:
        """The rows of a model, and parts of such as a release knows no more of."""
        return [
            resident
            for resident in self._rows
            if resident.key == key
            and (resident.whole == key or not reader.model(resident.whole))
        ]

    def latest(self, key: ModelKey, reader: Release) -> list[Resident]:
        """Of these, the last one of each kind that each release wrote."""
        kinds = {
            (row.owner, row.variant, row.whole): row for row in self.of(key, reader)
        }
        return list(kinds.values())

    def has_of(self, release: Release, key: ModelKey) -> bool:
        """Whether a release has left rows of a model, as they were or otherwise."""
        return (release.name, key) in self._owners

    def plant(
        self, release: Release, other: Release, keys: Iterable[ModelKey], rows: Rows
    ) -> None:
        """Insert rows of a release; those that it can't insert, its probes tell of."""
        for key in _in_order(release, keys):
            model: Any = release.model(key)
            variants = [*_VARIANTS]
            if rows.has_emptier(model, other.model(key)):
                variants.append(Variant.EMPTY)
            for variant in variants:
                make = partial(_make, rows, model, other, variant)
                for planted in self._try((release, other), rows, make, variant):
                    self._rows.append(planted)
                    self._owners.add((planted.owner, planted.key))

    def _try(
        self,
        releases: tuple[Release, Release],
        rows: Rows,
        make: Callable[..., Any],
        variant: Variant,
    ) -> list[Resident]:
        """Insert a row that has NULL where its release alone takes it.

        And that refers to rows of its release; either if constraints let it.
        """
        for own_nulls, is_own in product(
            (True, False) if variant is Variant.EMPTY else (False,), (True, False)
        ):
            made = partial(make, own_nulls=own_nulls)
            plant = partial(self._plant, releases, rows, made, variant, is_own=is_own)
            if planted := quietly(self._alias, plant):
                return planted
        return []

    def _plant(
        self,
        releases: tuple[Release, Release],
        rows: Rows,
        make: Callable[[], Any],
        variant: Variant,
        *,
        is_own: bool,
    ) -> list[Resident]:
        release, other = releases
        row = make()
        if is_own:
            self._refer_to_own(row, release, other)
        rows.save(row)
        self._relate(row, release)
        planted = []
        for model in (type(row), *row._meta.all_parents):
            pk = getattr(row, model._meta.pk.attname)
            if values := _read(model, [pk], self._alias).get(pk):
                planted.append(
                    Resident(
                        release.name, key_of(model), pk, values, variant, key_of(row)
                    )
                )
        return planted

    def missing_or_changed(
        self, reader: Release, *, is_opaque: bool
    ) -> Iterator[Failure]:
        """What became of the rows, as far as a release can see them.

        A migration that runs code, ``is_opaque``, may change rows, and may have a
        reason to delete or empty them; others mustn't. What was NULL may be filled.
        """
        for key in dict.fromkeys(resident.key for resident in self._rows):
            model = reader.model(key)
            here = self.of(key, reader)
            read = partial(_read, model, [row.pk for row in here], self._alias)
            found = quietly(self._alias, read) if model else None
            if found is None:
                continue  # The probes tell if the release can't read.
            for resident in here:
                values = found.get(resident.pk)
                error, field = _difference(resident, values, is_opaque=is_opaque)
                self._rows.remove(resident)
                if not error:
                    known = resident.values | (values or {})
                    self._rows.append(resident._replace(values=known))
                    continue
                yield Failure(
                    Probe(
                        resident.owner,
                        reader.label(resident.key),
                        Action.KEEP,
                        own_rows(resident.owner),
                    ),
                    error,
                    Severity.HAZARD if is_opaque else Severity.BREAKS,
                    field,
                )

    def forget_what_is_gone(self, release: Release) -> None:
        """Expect of the rows no more than what a release knows, the only one left."""
        kept = []
        for resident in self._rows:
            if model := release.model(resident.key):
                names = {field.attname for field in model._meta.concrete_fields}
                values = {k: v for k, v in resident.values.items() if k in names}
                kept.append(resident._replace(values=values))
        self._rows = kept

    def _refer_to_own(self, row: Any, release: Release, other: Release) -> None:
        # What a release compares may not be there yet, or not any more.
        model: ModelClass = type(row)
        rules = rules_of(model, other.model(key_of(row)))
        compared = {name for rule in rules for name in rule.compared}
        for field in type(row)._meta.concrete_fields:
            if isinstance(field, ForeignKey) and field.name not in compared:
                name = field.target_field.attname
                found = self._own(field.related_model, release)
                if found and name in found.values and getattr(row, field.attname):
                    setattr(row, field.attname, found.values[name])

    def _relate(self, row: Any, release: Release) -> None:
        for field in type(row)._meta.local_many_to_many:
            target = self._own(field.related_model, release)
            if target and field.remote_field.through._meta.auto_created:
                getattr(row, field.name).add(target.pk)

    def _own(self, model: Any, release: Release) -> Resident | None:
        own = [
            resident
            for resident in self.latest(key_of(model), release)
            if resident.owner == release.name
        ]
        return own[0] if own else None


def _in_order(release: Release, keys: Iterable[ModelKey]) -> list[ModelKey]:
    """The models, each after those that it refers to, as far as there is an order.

    Of models that refer to each other, that comes first which may refer to nothing.
    """
    wanted = dict.fromkeys(keys)
    found: dict[ModelKey, None] = {}
    seen = set()

    def visit(key: ModelKey) -> None:
        model = release.model(key)
        if key in seen or key not in wanted or model is None:
            return
        seen.add(key)
        fields: list[Any] = [*model._meta.concrete_fields, *model._meta.many_to_many]
        for field in fields:
            if isinstance(field.related_model, type):
                target = key_of(field.related_model)
                if not (field.null and key in _needed(release, target)):
                    visit(target)
        found[key] = None

    for key in wanted:
        visit(key)
    return list(found)


def _needed(release: Release, key: ModelKey) -> set[ModelKey]:
    """The models of which there has to be a row for one of the model."""
    found: set[ModelKey] = set()
    stack = [key]
    while stack:
        model = release.model(stack.pop())
        for field in model._meta.concrete_fields if model else ():
            if isinstance(field, ForeignKey) and not field.null:
                target = key_of(field.related_model)
                if target not in found:
                    found.add(target)
                    stack.append(target)
    return found


def _make(
    rows: Rows, model: Any, other: Release, variant: Variant, *, own_nulls: bool
) -> Any:
    also = other.model(key_of(model))
    row = rows.make(model, variant, also=also, own_nulls=own_nulls, beside=other.apps)
    if also and variant is Variant.WIDEST:
        spare_computed(row, also, rows)
    return row


def spare_computed(row: Any, other: ModelClass, rows: Rows) -> None:
    """Give a row with the widest values plain ones where they would overflow.

    That is where the other release has the database compute something of them.
    """
    model = type(row)
    if names := _computed(other) - _computed(model):
        plain = rows.make(model, Variant.DEFAULTS)
        rows.settle(plain)
        for field in model._meta.concrete_fields:
            if field.name in names and not field.unique:
                setattr(row, field.attname, getattr(plain, field.attname))


def _computed(model: ModelClass) -> set[str]:
    """The names of the fields of which generated ones are made."""
    found: set[str] = set()
    for field in model._meta.concrete_fields:
        if field.generated:
            expression: Any = field.expression  # type: ignore[attr-defined] # it has one
            found |= set(compared_fields(UniqueConstraint(expression, name="_")))
    return found


def _read(
    model: ModelClass | None, keys: list[Any], alias: str
) -> dict[Any, dict[str, Any]]:
    """The values of rows by attribute name, by the primary keys of those that exist."""
    if model is None:
        return {}
    names = [field.attname for field in model._meta.concrete_fields]
    query = model._base_manager.using(alias).filter(pk__in=keys)
    return {
        key: dict(zip(names, values, strict=True))
        for key, *values in query.values_list("pk", *names)
    }


def _difference(
    resident: Resident, values: dict[str, Any] | None, *, is_opaque: bool
) -> tuple[str, str]:
    """What is wrong with a row, and with which field; empty if nothing is."""
    if values is None:
        return "a row that it had written is gone", ""
    for name, value in values.items():
        before = resident.values.get(name)
        is_allowed = before is None or (is_opaque and value is not None)
        if is_allowed or not differ(value, before):
            continue
        return f"{short(before)} that it had written has become {short(value)}", name
    return "", ""
