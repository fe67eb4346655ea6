"""Rows that a release could write: legal ones, and such as another release forbids."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

from django.apps.registry import Apps
from django.db import models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.state import StateApps
from django.db.models.fields.files import FieldFile

from syzygy.constraints import constraint_fields
from syzygy.rehearsal.constraint_values import look_alikes
from syzygy.rehearsal.drafts import (
    Draft,
    Variant,
    fill,
    is_dated,
    sample_for,
    written_fields,
)
from syzygy.rehearsal.field_values import fits, integer_range
from syzygy.rehearsal.implied import compares_as_is, is_enforced, is_impossible
from syzygy.rehearsal.lacking import database_defaults
from syzygy.rehearsal.parents import Parents
from syzygy.rehearsal.row_rules import (
    ModelClass,
    RowValues,
    Rule,
    as_row,
    forbids_null,
    met_rule,
    quoted,
    rule_for,
    rules_of,
    unique_rule,
)
from syzygy.rehearsal.search import Search
from syzygy.rehearsal.values import Unprobable, how_to_teach, label_of

__all__ = ["Rows", "Unprobable", "Variant"]


class Rows:
    """Makes rows of a release's models; ``counter`` gives numbers that no other has.

    What a foreign key refers to is saved meanwhile, in the current transaction.
    """

    def __init__(
        self,
        apps: StateApps,
        connection: BaseDatabaseWrapper,
        counter: Iterator[int],
    ) -> None:
        self._apps = apps
        self._connection = connection
        self._counter = counter
        self._parents = Parents(connection, self._insert)
        self._search = Search(connection, counter, self._parents)
        # Whether rows of a model can't violate a rule of another class.
        self._impossible: dict[tuple[ModelClass, ModelClass, str, str], bool] = {}

    def variants(self, model: ModelClass) -> tuple[Variant, ...]:
        """The variants in which rows of the model differ."""
        fields = [field for field in written_fields(model) if not is_dated(field)]
        found = [Variant.DEFAULTS]
        if fields:
            found.append(Variant.WIDEST)
        if self.has_emptier(model):
            found.append(Variant.EMPTY)
        if any(not getattr(field, "db_constraint", True) for field in fields):
            found.append(Variant.ORPHAN)
        return tuple(found)

    def has_emptier(self, model: ModelClass, also: ModelClass | None = None) -> bool:
        """Whether ``EMPTY`` has NULL or blank where ``DEFAULTS`` has something else.

        Be it for the sake of ``also``, the other release's class of the table.
        """
        draft = Draft(model, Variant.EMPTY, also, 0, rules_of(model, also))
        return any(map(draft.is_emptier, written_fields(model))) or any(
            rule.is_foreign and forbids_null(rule.constraint) for rule in draft.rules
        )

    def make(
        self,
        model: ModelClass,
        variant: Variant,
        *,
        also: ModelClass | None = None,
        own_nulls: bool = False,
        beside: Apps | None = None,
    ) -> models.Model:
        """Return an unsaved row that is legal for the model beside those there are.

        With ``also``, the other release's class of the table, it is legal for that one,
        too, but with ``own_nulls`` it may have NULL where the model alone takes it;
        with ``beside``, that release's models, so is what it refers to. Raises
        :exc:`Unprobable` if no such row is known.
        """
        rules: Sequence[Rule] = rules_of(model, also)
        if own_nulls:
            rules = [
                rule
                for rule in rules
                if not (rule.is_foreign and forbids_null(rule.constraint))
            ]
        number = next(self._counter)
        draft = Draft(
            model, variant, also, number, rules, own_nulls=own_nulls, beside=beside
        )
        return self._build(self._filled(draft))

    def twin(self, instance: models.Model) -> models.Model:
        """Return an unsaved row with the same values wherever two rows may have them.

        Fields in the model's unique sets get new values; but what such a set refers to
        stays if another field of it sets the rows apart.
        """
        model = type(instance)
        values = values_of_row(instance)
        return self._build(self._twin(model, values))

    def violating(
        self, model: ModelClass, constraint: Any, other: ModelClass
    ) -> list[models.Model] | None:
        """Return unsaved rows that the model allows and the other's constraint doesn't.

        The constraint is one of Django's kinds, or a tuple of fields that are unique
        together. One row violates a check, two anything unique. ``None`` if it is
        certain that the model allows no such rows; raises :exc:`Unprobable` if none are
        known.
        """
        if isinstance(constraint, tuple | list):
            goal = unique_rule(constraint, other, model)
        else:
            goal = rule_for(constraint, other, model)
        if not constraint_fields(goal.constraint):
            raise _unknown(goal, "it doesn't tell which fields it is about.")
        if not (goal.fields and is_enforced(goal.constraint, self._connection)):
            return None
        given = database_defaults(goal, self._connection)
        if given is None:
            return None
        goal = replace(goal, given=given)
        if self._is_impossible(goal):
            return None
        if operators := goal.odd_operators:
            raise _unknown(goal, f"it compares rows by {quoted(operators)}.")
        avoided = _avoidable(goal)
        for also, more in product((other, None), (avoided, []) if avoided else ([],)):
            with suppress(Unprobable):
                if drafts := self._violate(goal, also, more):
                    return [self._build(draft) for draft in drafts]
        teach = how_to_teach(label_of(model._meta.get_field(min(goal.fields))))
        raise _unknown(goal, f"no values were found that do. {teach}")

    def exchanging(
        self, model: ModelClass, constraint: Any
    ) -> tuple[models.Model, models.Model, list[Any]] | None:
        """Return unsaved rows that may exchange what a constraint compares, and that.

        It has to be one of the model's that lets them be alike meanwhile; ``None`` if
        another one doesn't. Raises :exc:`Unprobable` if no such rows are known.
        """
        goal = rule_for(constraint, model, model)
        own = rules_of(model)
        if any(
            rule.compared and rule.compared <= goal.compared
            for rule in own
            if not getattr(rule.constraint, "deferrable", None)
        ):
            return None
        number = next(self._counter)
        draft = self._filled(
            Draft(model, Variant.DEFAULTS, None, number, own, goal.compared)
        )
        is_met = _is_met(goal)
        if is_met:
            self._search.settle(draft, broken=is_met)
        twin = self._twin(model, draft.values, goal.fields - goal.compared, is_met)
        fields = [f for f in written_fields(model) if f.name in goal.compared]
        return self._build(draft), self._build(twin), fields

    def _is_impossible(self, goal: Rule) -> bool:
        sign = (goal.owner, goal.holder, str(goal), repr(goal.given))
        if sign not in self._impossible:
            model = goal.owner
            keys = [field.name for field in model._meta.pk_fields]
            # Also those that the database makes, which rules aren't made of.
            own = [*rules_of(model), unique_rule(keys, model, model)]
            self._impossible[sign] = is_impossible(goal, own, self._connection)
        return self._impossible[sign]

    def save(self, instance: models.Model) -> None:
        """Insert a row, and its parts in the tables of the model's parents."""
        models.Model.save(
            instance, force_insert=(models.Model,), using=self._connection.alias
        )

    def update(self, instance: models.Model) -> None:
        """Save a row that is there."""
        models.Model.save(instance, force_update=True, using=self._connection.alias)

    def is_awaited(self, instance: models.Model) -> bool:
        """Whether rows refer to one that may not be saved yet, and has to be."""
        return self._parents.awaits(instance)

    def settle(self, instance: models.Model) -> None:
        """Insert a row that nobody else will if there are rows that refer to it."""
        if self.is_awaited(instance):
            self.save(instance)

    def least(self, model: ModelClass, also: ModelClass | None) -> dict[str, int]:
        """The negative integers that fields take at the least, by name.

        Of fields on which nothing else depends, be it a constraint or a computed field,
        which the other release's class of the table may have, too.
        """
        for each in (model, also):
            if each and any(field.generated for field in each._meta.concrete_fields):
                return {}
        checked = {n for c in model._meta.constraints for n in constraint_fields(c)}
        least = {
            field.name: integer_range(field, self._connection)[0]
            for field in written_fields(model)
            if isinstance(field, models.IntegerField)
            and not (field.name in checked or field.choices)
        }
        return {name: value for name, value in least.items() if value < 0}

    def _insert(
        self, model: ModelClass, also: ModelClass | None, beside: Apps | None
    ) -> models.Model:
        row = self.make(model, Variant.DEFAULTS, also=also, beside=beside)
        self.save(row)
        return row

    def _filled(self, draft: Draft) -> Draft:
        with self._parents.making(draft):
            fill(draft, self._connection)
            self._parents.fill(draft)
            self._search.settle(draft)
        return draft

    def _build(self, draft: Draft) -> models.Model:
        return as_row(draft.model, draft.values)

    def _twin(
        self,
        model: ModelClass,
        values: RowValues,
        held: Collection[str] = (),
        broken: Rule | None = None,
        changed: RowValues | None = None,
    ) -> Draft:
        """A row that may be there beside another one, but has in common what is held.

        If some of that is ``changed``, it has these values instead.
        """
        own = rules_of(model)
        draft = Draft(model, Variant.DEFAULTS, None, next(self._counter), own)
        # A key that the row has got, as something refers to it, is its alone.
        written = {field.name for field in written_fields(model)}
        draft.values = {name: values[name] for name in values.keys() & written}
        draft.values |= changed or {}
        varied = {name for rule in own for name in rule.compared} - {*held}
        locked = written - varied
        settle = partial(self._search.settle, draft, apart=[values], broken=broken)
        with self._parents.making(draft):
            for field in written_fields(model):
                if field.name in varied and values[field.name] is not None:
                    draft.values[field.name] = self._other_value(draft, field)
            try:
                settle(locked=locked)
            except Unprobable:
                # A check may tie the fields that differ to those that needn't.
                settle(locked=held)
        return draft

    def _other_value(self, draft: Draft, field: Any) -> Any:
        if not isinstance(field, models.ForeignKey):
            return sample_for(draft, field, draft.number, self._connection)
        if draft.must_be_fresh(field):
            return self._parents.new(draft, field)
        return draft.values[field.name]

    def _violate(
        self, goal: Rule, also: ModelClass | None, more: Sequence[Rule]
    ) -> list[Draft]:
        """Rows that obey the model's own rules, those of the other class, and more.

        None at all, or :exc:`Unprobable`, if no such rows are found.
        """
        model = goal.owner
        rules: Sequence[Rule] = rules_of(model, also)
        if also:
            rules = [rule for rule in rules if not rule.is_like(goal)]
        rules = [*rules, *more]
        forced = goal.compared or goal.fields
        number = next(self._counter)
        draft = self._filled(
            Draft(model, Variant.DEFAULTS, also, number, rules, forced)
        )
        if goal.is_check:
            self._search.settle(draft, broken=goal)
            return [draft]
        is_met = _is_met(goal)
        if is_met:
            self._search.settle(draft, broken=is_met)
        for changed in self._changes(goal, draft.values):
            with suppress(Unprobable):
                twin = self._twin(model, draft.values, goal.compared, is_met, changed)
                self._tell_apart(goal, twin)
                if not changed or self._exclude(goal, draft, twin):
                    return [draft, twin]
        if not goal.takes_null:
            return []
        nulls = [
            field.name
            for field in written_fields(model)
            if field.name in goal.compared and draft.may_be_null(field)
        ]
        draft.values |= dict.fromkeys(nulls)
        self._search.settle(draft, locked=nulls)
        return [draft, self._twin(model, draft.values, goal.compared, is_met)]

    def _changes(self, goal: Rule, values: RowValues) -> Iterator[RowValues]:
        """What to change in a row so that it still is alike for a rule."""
        yield {}
        if compares_as_is(goal):
            return
        for field in written_fields(goal.owner):
            if field.name in goal.compared:
                for value in look_alikes(field, values[field.name]):
                    if fits(field, value, self._connection):
                        yield {field.name: value}

    def _tell_apart(self, goal: Rule, twin: Draft) -> None:
        for field in written_fields(goal.owner):
            if field.name in goal.unlike:
                twin.values[field.name] = self._other_value(twin, field)

    def _exclude(self, goal: Rule, draft: Draft, twin: Draft) -> bool:
        """Whether a rule, but none of the model, forbids a row beside another one."""
        with transaction.atomic(using=self._connection.alias):
            try:
                self.save(self._build(draft))
                if goal.holds(twin.values, self._connection):
                    return False
                # As the database compares, by a collation, say.
                compared = [rule for rule in twin.rules if rule.compared]
                return all(r.holds(twin.values, self._connection) for r in compared)
            finally:
                transaction.set_rollback(True, using=self._connection.alias)


def _is_met(goal: Rule) -> Rule | None:
    """What rows violate if they meet the condition of a rule, if it has one."""
    condition = getattr(goal.constraint, "condition", None)
    return None if condition is None else met_rule(goal)


def _avoidable(goal: Rule) -> list[Rule]:
    """What rows obey if no rule of the model that has a condition sets them apart."""
    return [
        met_rule(rule)
        for rule in rules_of(goal.owner)
        if rule.compared
        and rule.compared <= goal.compared
        and getattr(rule.constraint, "condition", None) is not None
    ]


def _unknown(goal: Rule, why: str) -> Unprobable:
    model = goal.owner._meta.label
    fields = [label_of(goal.owner._meta.get_field(name)) for name in goal.fields]
    return Unprobable(
        min(fields, default=model),
        f"Whether rows violate {goal}, which the other release declares, is not tried: "
        f"{why}",
    )


def values_of_row(instance: models.Model) -> RowValues:
    """The values of a row, by the names of fields, without those made for it."""
    values = {}
    for field in written_fields(type(instance)):
        value = getattr(instance, field.attname)
        values[field.name] = value.name if isinstance(value, FieldFile) else value
    return values
