"""Finding values for a row that obey its constraints."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from syzygy.rehearsal.constraint_values import (
    generic,
    in_order_of_change,
    literals,
    related_values,
    suggestions,
)
from syzygy.rehearsal.drafts import Draft, is_dated, sample_for, written_fields
from syzygy.rehearsal.parents import Parents
from syzygy.rehearsal.row_rules import RowValues, Rule, quoted
from syzygy.rehearsal.values import Unprobable, how_to_teach, label_of, widest

# How many times to ask the database, and how many combinations to look at, in vain.
_QUESTIONS = 300
_COMBINATIONS = 5_000
# How many values of a field are tried at most, and how many of them because others
# have to differ.
_PER_FIELD = 60
_NEW = 40


@dataclass(frozen=True)
class Demand:
    """What a row has to be like: obey a rule, or violate it.

    It has to differ from the rows in ``apart`` where the rule compares rows.
    """

    rule: Rule
    is_obeyed: bool = True
    apart: Collection[RowValues] = ()

    def is_met(self, values: RowValues, connection: BaseDatabaseWrapper) -> bool:
        """Whether a row is as demanded; asks the database."""
        if not self.is_obeyed:
            return not self.rule.holds(values, connection)
        return all(
            self.rule.sets_apart(values, row, connection) for row in self.apart
        ) and self.rule.holds(values, connection)


class Judge:
    """Remembers what the database said, and asks it only so often."""

    def __init__(
        self, demands: Iterable[Demand], connection: BaseDatabaseWrapper
    ) -> None:
        self._demands = sorted(demands, key=lambda each: len(each.rule.fields))
        self._connection = connection
        self._known: dict[Any, bool] = {}

    @property
    def is_tired(self) -> bool:
        """Whether it has been asked too often."""
        return len(self._known) >= _QUESTIONS

    def accepts(self, values: RowValues) -> bool:
        """Whether a row meets all demands."""
        return all(self._is_met(demand, values) for demand in self._demands)

    def unmet(self, values: RowValues) -> list[Demand]:
        """The demands that a row doesn't meet."""
        return [each for each in self._demands if not self._is_met(each, values)]

    def _is_met(self, demand: Demand, values: RowValues) -> bool:
        names = sorted(demand.rule.fields)
        key = (id(demand), *(_identity(values.get(name)) for name in names))
        if key not in self._known:
            self._known[key] = demand.is_met(values, self._connection)
        return self._known[key]


class Search:
    """Changes rows in the making until they obey what they have to."""

    def __init__(
        self, connection: BaseDatabaseWrapper, counter: Iterator[int], parents: Parents
    ) -> None:
        self._connection = connection
        self._counter = counter
        self._parents = parents

    def settle(
        self,
        draft: Draft,
        *,
        apart: Collection[RowValues] = (),
        locked: Collection[str] = (),
        broken: Rule | None = None,
    ) -> None:
        """Change the row so that it obeys its rules, but for one that has to be broken.

        It has to differ from the rows in ``apart`` where the rules ask for it. Values
        of fields in ``locked`` stay. Raises :exc:`Unprobable` if no values are found.
        """
        demands = [Demand(rule, apart=apart) for rule in draft.rules]
        if broken:
            demands.append(Demand(broken, is_obeyed=False))
        unmet = Judge(demands, self._connection).unmet(draft.values)
        if not unmet:
            return
        for names in self._scopes(draft, unmet, demands, locked):
            # What is unmet may be about locked fields alone: then there is no hope.
            concerned = [d for d in demands if d.rule.fields & names or d in unmet]
            if self._try(draft, sorted(names), concerned):
                return
        raise _hopeless(draft, unmet)

    def _scopes(
        self,
        draft: Draft,
        unmet: Iterable[Demand],
        demands: Iterable[Demand],
        locked: Collection[str],
    ) -> Iterator[set[str]]:
        """Which fields to change: those mentioned; then those connected with them."""
        free = {
            field.name
            for field in written_fields(draft.model)
            if field.name not in locked and not is_dated(field)
        }
        near = set().union(*(each.rule.fields for each in unmet))
        if first := near & free:
            yield first
        reach: set[str] = set()
        while reach != near:
            reach = near
            near = reach.union(
                *(each.rule.fields for each in demands if each.rule.fields & reach)
            )
        if near & free != first:
            yield near & free

    def _try(self, draft: Draft, names: list[str], demands: list[Demand]) -> bool:
        judge = Judge(demands, self._connection)
        rules = [demand.rule for demand in demands]
        choices = [list(self._choices(draft, name, rules)) for name in names]
        for combination in itertools.islice(in_order_of_change(choices), _COMBINATIONS):
            values = draft.values | {
                name: value.key if isinstance(value, _NewRow) else value
                for name, value in zip(names, combination, strict=True)
            }
            if judge.accepts(values):
                draft.values = values
                return True
            if judge.is_tired:
                break
        return False

    def _choices(self, draft: Draft, name: str, rules: list[Rule]) -> Iterator[Any]:
        """The values to try for a field; the first is what it has."""
        field: Any = draft.model._meta.get_field(name)
        yield draft.values[name]
        if isinstance(field, models.ForeignKey):
            if draft.may_be_null(field):
                yield None
            yield from self._parents.existing(field)
            yield _NewRow(self._parents, draft, field)
            return
        seen = {_identity(draft.values[name])}
        several = self._candidates(draft, field, rules)
        for value in itertools.islice(several, _PER_FIELD):
            identity = _identity(value)
            if identity not in seen and draft.takes(field, value, self._connection):
                seen.add(identity)
                yield value

    def _candidates(self, draft: Draft, field: Any, rules: list[Rule]) -> Iterator[Any]:
        concerned = [rule for rule in rules if field.name in rule.fields]
        is_compared = any(field.name in rule.compared for rule in concerned)
        if field.null:
            yield None
        if is_compared and not any(not rule.compared for rule in concerned):
            yield from self._new(draft, field, _NEW)
        for rule in concerned:
            found = [
                literal
                for literal in literals(rule.constraint)
                if rule.is_about(literal.field, field)
            ]
            for _ in range(3 if is_compared else 1):
                number = next(self._counter)
                yield from suggestions(field, found, number, self._connection)
            yield from related_values(field, draft.values, rule.fields)
        yield from self._new(draft, field, 3)
        yield from generic(field, self._connection)
        try:
            yield widest(field, draft.number, self._connection)
        except Unprobable:
            return
        yield from self._new(draft, field, _NEW)

    def _new(self, draft: Draft, field: Any, count: int) -> Iterator[Any]:
        for _ in range(count):
            try:
                number = next(self._counter)
                yield sample_for(draft, field, number, self._connection)
            except Unprobable:
                return


class _NewRow:
    """A row to refer to, made when it is asked for."""

    def __init__(self, parents: Parents, draft: Draft, field: Any) -> None:
        self._make = partial(parents.new, draft, field)

    @cached_property
    def key(self) -> Any:
        """The value that refers to the row."""
        return self._make()


def _identity(value: Any) -> tuple[type[Any], str]:
    return type(value), repr(value)


def _hopeless(draft: Draft, unmet: Iterable[Demand]) -> Unprobable:
    rules = [demand.rule for demand in unmet]
    names = {name for rule in rules for name in rule.fields}
    label = draft.model._meta.label
    plain = [
        name
        for name in sorted(names)
        if not isinstance(draft.model._meta.get_field(name), models.ForeignKey)
    ]
    first = draft.model._meta.get_field(plain[0] if plain else min(names))
    return Unprobable(
        label,
        f"No values were found for {quoted(names)} that obey "
        f"{' and '.join(map(str, rules))}. {how_to_teach(label_of(first))}",
    )
