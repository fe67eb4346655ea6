"""The releases of a rehearsal, and which of their models can be used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from django.db import models, router
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState, StateApps

from syzygy.history import ModelKey

ModelClass: TypeAlias = type[models.Model]
# What a relation is, whichever release it is of: the model that has it, and its name.
Relation: TypeAlias = tuple[ModelKey, str]

OLD, NEW = "old", "new"


@dataclass(eq=False)
class Release:
    """A release of the project's code, which is its models as migrations have them."""

    name: str
    state: ProjectState
    alias: str
    _without_table: dict[ModelKey, str] = field(default_factory=dict)

    @cached_property
    def apps(self) -> StateApps:
        """The models, rendered."""
        apps: StateApps = self.state.apps
        return apps

    def model(self, key: ModelKey) -> ModelClass | None:
        """The model with that key, if the release has it and can query its table."""
        if key not in self.state.models or self.why_without_table(key):
            return None
        return self._get_model(key)

    def why_without_table(self, key: ModelKey) -> str:
        """Why a model of this release can't be probed by itself; empty if it can."""
        if key not in self._without_table:
            self._without_table[key] = self._why_without_table(self._get_model(key))
        return self._without_table[key]

    def label(self, key: ModelKey) -> str:
        """The model's name as people write it, "app_label.Model"."""
        state = self.state.models.get(key)
        return f"{state.app_label}.{state.name}" if state else ".".join(key)

    def references(self, key: ModelKey) -> set[Relation]:
        """The relations whose rows may refer to rows of the model, or of its parents.

        A many-to-many relation refers to both of its ends.
        """
        targets = (key, *self.parents(key))
        return set().union(*(self._references.get(target, ()) for target in targets))

    def related(self, keys: Container[ModelKey]) -> Iterator[ModelKey]:
        """The models that models among ``keys`` refer to, and those that extend them.

        Whether their rows can be deleted or inserted depends on the tables of these.
        """
        for holder, _, target, _ in self._relations:
            if holder in keys:
                yield target
        for model in self.apps.get_models():
            if any(key_of(parent) in keys for parent in model._meta.all_parents):
                yield key_of(model)

    def behind(self, model: ModelClass) -> set[ModelKey]:
        """The models to which a table belongs: both ends if it is an automatic one."""
        if not model._meta.auto_created:
            return {key_of(model)}
        ends = [field.related_model for field in model._meta.local_fields]
        return {key_of(end) for end in ends if end}

    def concrete(self, key: ModelKey) -> ModelKey:
        """The model behind a proxy; any other itself."""
        return key_of(self._get_model(key)._meta.concrete_model)

    def parents(self, key: ModelKey) -> list[ModelKey]:
        """The models of whose tables each of the model's rows has a part."""
        model = self._get_model(key) if key in self.state.models else None
        return [key_of(parent) for parent in model._meta.all_parents] if model else []

    @cached_property
    def _relations(self) -> list[tuple[ModelKey, str, ModelKey, bool]]:
        return [
            (
                key_of(model),
                relation.name,
                key_of(relation.related_model),
                bool(relation.many_to_many),
            )
            for model in self.apps.get_models()
            for relation in model._meta.local_fields + model._meta.local_many_to_many
            if relation.remote_field and isinstance(relation.related_model, type)
        ]

    @cached_property
    def _references(self) -> dict[ModelKey, set[Relation]]:
        """The relations that refer to a model; a big project has thousands."""
        references: dict[ModelKey, set[Relation]] = defaultdict(set)
        for holder, name, target, is_m2m in self._relations:
            references[target].add((holder, name))
            if is_m2m:
                references[holder].add((holder, name))
        return references

    def _get_model(self, key: ModelKey) -> ModelClass:
        model: ModelClass = self.apps.get_model(*key)
        return model

    def _why_without_table(self, model: ModelClass) -> str:
        options = model._meta
        if options.swapped:
            return f'it is swapped out for "{options.swapped}"'
        if options.proxy:
            return f'it is a proxy of "{_label_behind(model)}", which has the table'
        if not options.managed:
            return "it is unmanaged, so no migration makes its table"
        if not options.can_migrate(self.alias):
            return "its Meta requires another database, or features that this lacks"
        if not router.allow_migrate_model(self.alias, model):
            return f'a router keeps it from the database "{self.alias}"'
        return ""


def changed_models(start: ProjectState, end: ProjectState) -> set[ModelKey]:
    """The models that two states do not have in common, or not in the same form."""
    return {
        key
        for key in start.models.keys() | end.models.keys()
        if not _is_same(start.models.get(key), end.models.get(key))
    }


def touched_models(operation: Operation, app_label: str) -> set[ModelKey] | None:
    """The models that an operation names; ``None`` if it doesn't tell what it touches.

    Those of operations inside another are included.
    """
    if parts := parts_of(operation):
        found = [touched_models(part, app_label) or set() for part in parts]
        return set().union(*found) or None
    names = [
        name.lower()
        for attribute in _NAMES
        if isinstance(name := getattr(operation, attribute, None), str)
    ]
    if isinstance(getattr(operation, "model_name", None), str):
        names = [operation.model_name.lower()]  # type: ignore[attr-defined] # just seen
    return {(app_label, name) for name in names} or None


def parts_of(operation: Operation) -> list[Operation]:
    """The operations that an operation is made of, if it is."""
    return [
        *(getattr(operation, "database_operations", None) or ()),
        *(getattr(operation, "state_operations", None) or ()),
    ]


# The attributes by which operations name models: of the kinds that create or rename
# one. Everything else about models and fields has "model_name", or "name".
_NAMES = ("name", "old_name", "new_name")


def key_of(model: Any) -> ModelKey:
    """The key of a model's class."""
    return model._meta.app_label, model._meta.model_name


def _label_behind(model: ModelClass) -> str:
    concrete = model._meta.concrete_model
    return concrete._meta.label if concrete else ""


def _is_same(one: ModelState | None, other: ModelState | None) -> bool:
    if one is None or other is None:
        return False
    # States that come from one another share the fields that nothing has touched.
    if one.fields.keys() == other.fields.keys() and all(
        field is other.fields[name] for name, field in one.fields.items()
    ):
        return bool(one.options == other.options and one.bases == other.bases)
    return bool(one == other)
