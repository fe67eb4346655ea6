"""What refers to something comes after that, and goes before it.

Django's detection sees to that for models that are new or go. It doesn't for what is
renamed, nor for fields other than primary keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.db.migrations import (
    AddField,
    AlterField,
    CreateModel,
    DeleteModel,
    RemoveField,
    RenameField,
    RenameModel,
)
from django.db.migrations.autodetector import OperationDependency
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState
from django.db.migrations.utils import resolve_relation

from syzygy.constraints import mentioned_fields
from syzygy.generation.states import attributes_of_relations, model_name
from syzygy.history import AnyField, ModelKey
from syzygy.operations import RelaxField

# The type of a dependency on a model's new name.
RENAMED: Any = "renamed"


def needs(
    app_label: str,
    operation: Operation,
    before: ProjectState,
    after: ProjectState,
    renamed: Mapping[ModelKey, str],
) -> Iterator[OperationDependency]:
    """What has to happen before an operation that leads from one state to another.

    ``renamed`` has the old names of models by the new keys.
    """
    own = (app_label, model_name(operation))
    for target in (own, *_mentioned(app_label, operation)):
        if target in renamed:
            yield OperationDependency(*target, None, RENAMED)
    if isinstance(operation, AddField):
        key = (app_label, operation.model_name_lower)
        yield from _what_is_named(key, operation.field, before)
        if operation.field.generated:
            # PostgreSQL never changes the type of what it is made of after that.
            kind = OperationDependency.Type.ALTER
            for name in mentioned_fields(vars(operation.field)["expression"]):
                yield OperationDependency(*key, name, kind)
    elif isinstance(operation, RemoveField):
        gone = ((app_label, operation.model_name_lower), operation.name)
        yield from _what_names(gone, before, after)
    elif isinstance(operation, DeleteModel):
        key = (app_label, operation.name_lower)
        yield from _what_leaves(key, before, after, renamed)


def needs_of_renamed(
    app_label: str,
    operation: Any,
    after: ProjectState,
    renamed: Mapping[ModelKey, str],
    renamed_fields: Iterable[tuple[str, str, str]],
) -> Iterator[OperationDependency]:
    """What whatever happens to a model waits for, of which fields are renamed.

    If such a field refers to a model that is renamed, what keeps its column waits for
    that. All else has to wait along: Django would move it before that, and before the
    field has its new name.
    """
    if isinstance(operation, RenameModel | RelaxField):
        return
    key = (app_label, model_name(operation))
    new_names = {(label, old): (label, new) for (label, new), old in renamed.items()}
    for label, model, field in renamed_fields:
        if (label, model) == key:
            for target in referred_models(key, after.models[key].fields[field]):
                now = new_names.get(target, target)
                if now in renamed:
                    yield OperationDependency(*now, None, RENAMED)


def _mentioned(app_label: str, operation: Operation) -> Iterator[ModelKey]:
    """The models that an operation has a model or a field refer to."""
    if isinstance(operation, AddField | AlterField):
        key = (app_label, operation.model_name_lower)
        yield from referred_models(key, operation.field)
    elif isinstance(operation, CreateModel):
        key = (app_label, operation.name_lower)
        for _, field in operation.fields:
            yield from referred_models(key, field)
        for base in operation.bases or ():
            if isinstance(base, str):
                yield resolve_relation(base, *key)


def without_new_models(
    dependencies: Iterable[OperationDependency], before: ProjectState
) -> list[OperationDependency]:
    """What the renaming of a model has to wait for, of what Django has it wait for.

    Those that refer to it by its new name only have to wait for it.
    """
    return [
        each
        for each in dependencies
        if (each.app_label, each.model_name_lower) in before.models
    ]


def _what_is_named(
    key: ModelKey, field: AnyField, before: ProjectState
) -> Iterator[OperationDependency]:
    if named := _target(key, field):
        model, name = named
        known = before.models.get(model)
        if known is not None and name not in known.fields:
            yield OperationDependency(*model, name, OperationDependency.Type.CREATE)


def _what_names(
    gone: tuple[ModelKey, str], before: ProjectState, after: ProjectState
) -> Iterator[OperationDependency]:
    kind = OperationDependency.Type.REMOVE
    for key, name in _referring(gone, before):
        new = after.models.get(key)
        if new is None:
            yield OperationDependency(*key, None, kind)
        elif name not in new.fields:
            yield OperationDependency(*key, name, kind)


def _what_leaves(
    gone: ModelKey,
    before: ProjectState,
    after: ProjectState,
    renamed: Mapping[ModelKey, str],
) -> Iterator[OperationDependency]:
    """What happens to proxies of a model before it goes, and to what refers to one."""
    kind = OperationDependency.Type
    is_proxy = gone in before.models and before.models[gone].options.get("proxy")
    new_names = {(label, old): new for (label, new), old in renamed.items()}
    for key, model in before.models.items():
        now: ModelKey = (key[0], new_names.get(key, key[1]))
        if now not in after.models and gone in bases(key, model):
            yield OperationDependency(*now, None, kind.REMOVE)
        for name, field in model.fields.items() if is_proxy else ():
            if gone in referred_models(key, field):
                yield OperationDependency(*now, name, kind.REMOVE)
                yield OperationDependency(*now, name, kind.ALTER)
                # What that waits for, which may be of the same app as the proxy.
                new = now in after.models and after.models[now].fields.get(name)
                for target in referred_models(now, new) if new else ():
                    if target not in before.models:
                        yield OperationDependency(*target, None, kind.CREATE)


def renames(operation: Operation, dependency: OperationDependency) -> bool:
    """Whether the operation gives a model the name that a dependency is on."""
    return (
        isinstance(operation, RenameModel)
        and operation.new_name_lower == dependency.model_name_lower
    )


def pointed_at(field: AnyField, new: AnyField) -> AnyField:
    """A copy of a field whose relation is that of another one."""
    copy = field.clone()
    for holder, kept in attributes_of_relations(new):
        vars(copy if holder is new else copy.remote_field).update(kept)
    return copy


def relax_first(operations: Mapping[str, Iterable[Any]]) -> None:
    """Have what renames things come after what relaxes fields that refer to them.

    SQLite makes the table anew, with NOT NULL, to take such a name back, so that has to
    be undone first. ``operations`` are all that there are, by app label.
    """
    everything = [(label, each) for label, own in operations.items() for each in own]
    for app_label, relaxing in everything:
        if not isinstance(relaxing, RelaxField):
            continue
        key = (app_label, relaxing.model_name_lower)
        kind = OperationDependency.Type.ALTER
        dependency = OperationDependency(*key, relaxing.name, kind)
        targets = [*referred_models(key, relaxing.field)]
        renaming = [
            each
            for each in everything
            if (_renamed(*each) or _with_renamed(*each, everything)) in targets
        ]
        for label, each in renaming:
            each._auto_deps.append(dependency)
            # And so has what waits for that in turn.
            for _, waiting in everything:
                if any(
                    other.type is RENAMED
                    and other.app_label == label
                    and renames(each, other)
                    for other in waiting._auto_deps
                ):
                    waiting._auto_deps.append(dependency)


def _renamed(app_label: str, operation: Operation) -> ModelKey | None:
    """The model that gets another name, or has a field that does."""
    if isinstance(operation, RenameModel):
        return app_label, operation.old_name_lower
    if isinstance(operation, RenameField):
        return app_label, operation.model_name_lower
    return None


def _with_renamed(
    app_label: str, operation: Any, everything: Iterable[tuple[str, Any]]
) -> ModelKey | None:
    """The model that something else happens to, if fields of it are renamed.

    Django would move what needs nothing before the fields have their new names.
    """
    if isinstance(operation, RelaxField):
        return None
    key = (app_label, model_name(operation))
    is_renamed = any(
        isinstance(each, RenameField) and (label, each.model_name_lower) == key
        for label, each in everything
    )
    return key if is_renamed else None


def referred_models(key: ModelKey, field: AnyField) -> Iterator[ModelKey]:
    """The models that a relation of the model ``key`` points at."""
    if field.remote_field:
        yield resolve_relation(field.remote_field.model, *key)
        through = getattr(field.remote_field, "through", None)
        if through is not None:
            yield resolve_relation(through, *key)


def bases(key: ModelKey, model: ModelState) -> Iterator[ModelKey]:
    """The models that a model inherits from, abstract ones apart."""
    for base in model.bases:
        if isinstance(base, str):
            yield resolve_relation(base, *key)


def references(key: ModelKey, model: ModelState) -> Iterator[ModelKey]:
    """The models that a model inherits from, and those that it refers to."""
    yield from bases(key, model)
    for field in model.fields.values():
        yield from referred_models(key, field)


def referring_apps(state: ProjectState) -> set[tuple[ModelKey, str]]:
    """The models that models refer to, each with the apps of these."""
    return {
        (target, key[0])
        for key, model in state.models.items()
        for target in references(key, model)
    }


def _referring(
    target: tuple[ModelKey, str], state: ProjectState
) -> Iterator[tuple[ModelKey, str]]:
    for key, model in state.models.items():
        for name, field in model.fields.items():
            if _target(key, field) == target:
                yield key, name


def _target(key: ModelKey, field: AnyField) -> tuple[ModelKey, str] | None:
    """The field that a foreign key names, if it names one."""
    name = getattr(field.remote_field, "field_name", None)
    if not name:
        return None
    return resolve_relation(field.remote_field.model, *key), name
