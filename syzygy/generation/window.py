"""The models as the shared schema of a rollout has them, between two releases.

Pure. The schema that suits both releases has what either of them has; what only one
of them knows keeps the other from nothing. From it follow the two stages: whatever
leads there from the old models runs before the rollout, the rest after it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from django.db.migrations.state import ModelState, ProjectState
from django.db.migrations.utils import resolve_relation
from django.db.models import NOT_PROVIDED

from syzygy.alterations import (
    comparison_rules,
    has_db_default,
    is_per_row,
    is_unique,
)
from syzygy.constraints import effects
from syzygy.generation.defaults import Kind, Source, source
from syzygy.generation.fields import NoType, added, released, removed, weaker
from syzygy.generation.options import (
    Merged,
    covered_fields,
    merge,
    unique_sets,
)
from syzygy.history import AnyField, History, ModelKey

FieldKey = tuple[str, str, str]


class Fill(NamedTuple):
    """A field whose rows get a value after the rollout, before it allows no NULL."""

    model: ModelKey
    name: str
    value: Any


class Problem(NamedTuple):
    """A field for which there is nothing that suits both releases, and why.

    ``old`` is what it was, if it isn't new; ``others`` are the fields that it is
    unique together with.
    """

    model: ModelKey
    name: str
    field: AnyField
    why: str
    old: AnyField = None
    others: tuple[str, ...] = ()


class Window(NamedTuple):
    """What a rollout is like in the middle.

    ``lasting`` names, by model, what comes or goes with the same effect as something
    else. ``ordered`` and ``unordered`` are the models whose order with respect to
    another comes or goes.
    """

    state: ProjectState
    fills: tuple[Fill, ...]
    problems: tuple[Problem, ...]
    lasting: Mapping[ModelKey, frozenset[str]]
    ordered: tuple[ModelKey, ...]
    unordered: tuple[ModelKey, ...]


class Change(NamedTuple):
    """Two states of the models, and what is known of the way between them.

    ``old`` has the new names of what is ``renamed``: for each model, the new names of
    its fields by the old ones. ``history`` is the same state as ``old``. ``one_offs``
    are values that somebody gave for the rows that there are. The apps that are
    ``held`` are left as they are until after the rollout.
    """

    old: ProjectState
    new: ProjectState
    history: History
    vendor: str
    one_offs: Mapping[FieldKey, object] = {}
    renamed: Mapping[ModelKey, Mapping[str, str]] = {}
    held: Collection[str] = ()


def window(change: Change) -> Window:
    """The models in the middle between two states."""
    builder = _Builder(change)
    models = {}
    for key in sorted({*change.old.models, *change.new.models}):
        model = builder.model(key)
        if model is not None:
            models[key] = model
    merged = builder.merged
    return Window(
        ProjectState(models, set(change.new.real_apps)),
        tuple(builder.fills),
        tuple(builder.problems),
        {key: each.lasting for key, each in merged.items()},
        tuple(key for key, each in merged.items() if each.add_order),
        tuple(key for key, each in merged.items() if each.drop_order),
    )


class _Builder:
    def __init__(self, change: Change) -> None:
        self._change = change
        self.fills: list[Fill] = []
        self.problems: list[Problem] = []
        self.merged: dict[ModelKey, Merged] = {}

    def model(self, key: ModelKey) -> ModelState | None:
        old: ModelState | None = self._change.old.models.get(key)
        new: ModelState | None = self._change.new.models.get(key)
        held = key[0] in self._change.held
        if old is None:
            return None if held or new is None else new.clone()
        if new is None:
            return old.clone() if held else self._deleted(key, old)
        if not (self._has_table(key, old) and self._has_table(key, new)):
            return old.clone() if held else new.clone()
        # Even where it is left as it is, fields may have to be filled later.
        kept = self._kept(key, old, new)
        return old.clone() if held else kept

    def _has_table(self, key: ModelKey, model: ModelState) -> bool:
        return self._change.history.has_table(key, model.options)

    def _deleted(self, key: ModelKey, model: ModelState) -> ModelState | None:
        if not self._has_table(key, model):
            return model.clone() if self._is_referred_to(key) else None
        copy = model.clone()
        for name, field in model.fields.items():
            if field.remote_field and self._change.history.related(key, field) != key:
                copy.fields[name] = released(field)
        return copy

    def _is_referred_to(self, key: ModelKey) -> bool:
        """Whether the old release has a relation to that model, or a model below it."""
        label = ".".join(key)
        return any(
            resolve_relation(reference, *other) == key
            for other, model in self._change.old.models.items()
            for field in model.fields.values()
            if field.remote_field
            for reference in _references(field)
        ) or any(
            isinstance(base, str) and base.lower() == label
            for model in self._change.old.models.values()
            for base in model.bases
        )

    def _kept(self, key: ModelKey, old: ModelState, new: ModelState) -> ModelState:
        merged = merge(old, new, self._change.renamed.get(key, {}))
        self.merged[key] = merged
        had, has = effects(old), effects(new)
        sets = unique_sets(new)
        fields: dict[str, AnyField] = {}
        lasting = set(merged.lasting)
        new_fields: dict[str, AnyField] = dict(new.fields)
        for name, field in new_fields.items():
            before: AnyField = old.fields.get(name)
            if before is None:
                is_alone = frozenset([name]) in sets
                fields[name] = self._added(key, name, field, is_alone=is_alone)
                continue
            keep_unique = frozenset([name]) in had & has
            fields[name] = self._altered(key, name, before, field, keep_unique)
            if keep_unique and before._unique != field._unique:
                lasting.add(name)
        self._refuse_equals(key, new, fields, old)
        covered = covered_fields(old)
        for name, field in old.fields.items():
            if name not in new.fields:
                fields[name] = removed(field, is_covered=name in covered)
        self.merged[key] = merged._replace(lasting=frozenset(lasting))
        return ModelState(
            new.app_label,
            new.name,
            fields,
            merged.options,
            new.bases,
            list(new.managers),
        )

    def _refuse_equals(
        self,
        key: ModelKey,
        model: ModelState,
        fields: Mapping[str, AnyField],
        old: ModelState,
    ) -> None:
        """Find new fields that are unique together and the same in all rows."""
        sets = [
            each
            for each in unique_sets(model)
            if len(each) > 1 and not each & old.fields.keys()
        ]
        for each in sorted(map(sorted, sets)):
            if all(_has_constant(fields[name]) for name in each):
                name, *others = each
                problem = Problem(key, name, model.fields[name], "no set is unique")
                self.problems.append(problem._replace(others=tuple(others)))

    def _added(
        self, key: ModelKey, name: str, field: AnyField, *, is_alone: bool
    ) -> AnyField:
        one_off = self._change.one_offs.get((*key, name), NOT_PROVIDED)
        result = added(field, self._change.vendor, one_off, is_alone=is_alone)
        if result.problem:
            self.problems.append(Problem(key, name, field, result.problem))
        if result.fill is not None:
            self.fills.append(Fill(key, name, result.fill.value))
        return result.field

    def _altered(
        self, key: ModelKey, name: str, old: AnyField, new: AnyField, keep_unique: bool
    ) -> AnyField:
        def has_effect(before: AnyField, after: AnyField) -> bool:
            rules = comparison_rules(self._change.history, key, name, before, after)
            return any(rule.has_effect for rule in rules)

        if old.null and not new.null and not new.many_to_many:
            self._fill(key, name, new)
        if not has_effect(old, new):
            return new
        try:
            return weaker(
                old,
                new,
                vendor=self._change.vendor,
                keep_unique=keep_unique,
                has_effect=has_effect,
            )
        except NoType:
            why = "no type holds the values of both"
            self.problems.append(Problem(key, name, new, why, old))
            return new

    def _fill(self, key: ModelKey, name: str, field: AnyField) -> None:
        """Have a field filled that is to allow no NULL, if anything tells with what."""
        one_off = self._change.one_offs.get((*key, name), NOT_PROVIDED)
        value = source(field, self._change.vendor, one_off)
        if value is None and has_db_default(field):
            value = Source(Kind.CONSTANT, field.db_default)
        if value is None or (is_unique(field) and value.kind is Kind.CONSTANT):
            return
        self.fills.append(Fill(key, name, value.value))


def _has_constant(field: AnyField) -> bool:
    return has_db_default(field) and not is_per_row(field.db_default)


def _references(field: AnyField) -> Iterator[Any]:
    yield field.remote_field.model
    through = getattr(field.remote_field, "through", None)
    if through is not None:
        yield through
