"""Putting what Django's detection found into an order that works on every database.

Pure: migrations that aren't written yet come in, and are changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from django.db.migrations import (
    AddConstraint,
    AddIndex,
    AlterField,
    AlterOrderWithRespectTo,
    AlterUniqueTogether,
    CreateModel,
    DeleteModel,
    RemoveConstraint,
    RemoveField,
    RemoveIndex,
    RenameField,
    RenameModel,
    SeparateDatabaseAndState,
)
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState

from syzygy.constraints import constraint_fields, unique_together
from syzygy.generation.keys import referred_models
from syzygy.generation.options import has_renamed
from syzygy.generation.renamed_fields import (
    Names,
    is_opposite,
    is_unchanged,
    item_of,
    new_names,
    old_models,
    orders_by,
    unique_by_new_names,
    with_new_names,
)
from syzygy.generation.states import Changes
from syzygy.history import AnyField, ModelKey
from syzygy.operations import (
    AlterOrder,
    DropOrderDefault,
    RelaxField,
    SetOrderDefault,
)


def tidy(changes: Changes, state: ProjectState) -> None:
    """Order the operations of each migration; ``state`` is the one before them all."""
    _add_new_names(changes, state)
    for label, migrations in changes.items():
        gone = {
            (label, operation.name_lower)
            for migration in migrations
            for operation in migration.operations
            if isinstance(operation, DeleteModel)
        }
        for migration in migrations:
            operations = _proxies_last([*migration.operations], label, state)
            operations = _without_parts(operations, label, state)
            operations = _freed(operations, label, gone, state)
            operations = _placed(operations, migration.app_label, state)
            operations = _kept(operations, migration.app_label, state)
            operations = _unique_still(operations, migration.app_label, state)
            vars(migration)["operations"] = _ordered(
                operations, migration.app_label, state
            )


def _add_new_names(changes: Changes, state: ProjectState) -> None:
    """Have renamed models known by their new names, too, as later migrations do."""
    for label, migrations in changes.items():
        for migration in migrations:
            for each in migration.operations:
                if isinstance(each, RenameModel):
                    old = state.models.get((label, each.old_name_lower))
                    if old is not None:
                        state.models.setdefault((label, each.new_name_lower), old)


def _placed(
    operations: list[Operation], app_label: str, state: ProjectState
) -> list[Operation]:
    """Put operations where databases and Django's older versions need them.

    SQLite makes tables anew, from the state, to change them. So what keeps a DEFAULT
    that no state knows comes last; and what does so when it is undone comes first, so
    that it is undone last, as what keeps rows with NULL then. What is made of a column
    goes before the column, which Django 5.2 doesn't see to. It comes after it, which no
    Django sees to where the column is generated from another new one.
    """
    renames = any(isinstance(each, RenameModel | RenameField) for each in operations)

    targets = set(_relaxed_targets(operations, app_label))

    def place(operation: Operation) -> int:
        if isinstance(operation, CreateModel):
            # What is relaxed has the same table by another name: that of a proxy.
            return 0 if (app_label, operation.name_lower) in targets else 3
        if isinstance(operation, AlterOrder):
            return 9 if operation.order_with_respect_to else 0
        if isinstance(operation, SetOrderDefault):
            return 9
        if isinstance(operation, DropOrderDefault):
            return 0
        if isinstance(operation, AddIndex | AddConstraint):
            return 4
        if isinstance(operation, RelaxField):
            return 1
        if renames:
            return 3
        is_made = isinstance(operation, RemoveIndex | RemoveConstraint)
        return 2 if is_made or _is_generated(operation, app_label, state) else 3

    return sorted(operations, key=place)


def _relaxed_targets(
    operations: Collection[Operation], app_label: str
) -> Iterator[ModelKey]:
    for each in operations:
        if isinstance(each, RelaxField):
            yield from referred_models((app_label, each.model_name_lower), each.field)


def _is_generated(operation: Operation, app_label: str, state: ProjectState) -> bool:
    """Whether the operation removes a generated field."""
    if not isinstance(operation, RemoveField):
        return False
    model = state.models.get((app_label, operation.model_name_lower))
    field: AnyField = model and model.fields.get(operation.name)
    return bool(field) and bool(field.generated)


def _kept(
    operations: list[Operation], app_label: str, state: ProjectState
) -> list[Operation]:
    """Keep indexes and constraints whose fields are renamed, and keep their columns.

    Django makes them anew, which takes time, and leaves a gap where the database has no
    transactions for that. It is the state alone that has other names. That comes right
    after the fields are renamed, before anything looks at the columns.
    """
    renames = [each for each in operations if isinstance(each, RenameField)]
    if not renames:
        return operations
    old = old_models(operations, app_label, state)
    names = {name: new_names(renames, name, model) for name, model in old.items()}
    in_state: dict[str, list[Operation]] = defaultdict(list)
    left = list(operations)
    for altering in operations:
        if isinstance(altering, AlterField) and altering.model_name_lower in old:
            name = altering.model_name_lower
            if field := _following(altering, old[name], names[name]):
                in_state[name].append(AlterField(name, altering.name, field))
                if is_unchanged(field, altering.field):
                    left.remove(altering)
    for dropping in operations:
        added: Any = next((each for each in left if is_opposite(dropping, each)), None)
        if added is not None and added.model_name_lower in old:
            name = added.model_name_lower
            if has_renamed(old[name], item_of(added), names[name]):
                left.remove(dropping)
                left.remove(added)
                in_state[name] += [dropping, added]
    for name, following in in_state.items():
        last = max(
            left.index(each) for each in renames if each.model_name_lower == name
        )
        left.insert(last + 1, SeparateDatabaseAndState(state_operations=following))
    return left


def _unique_still(
    operations: list[Operation], app_label: str, state: ProjectState
) -> list[Operation]:
    """Have models be unique together all the time in what is renamed.

    Django drops the sets before it adds them by the new names, unless nothing comes
    between the two. By then, they have these names.
    """
    left = list(operations)
    renames = [each for each in operations if isinstance(each, RenameField)]
    for name, model in old_models(operations, app_label, state).items():
        altering = [
            each
            for each in operations
            if isinstance(each, AlterUniqueTogether) and each.name_lower == name
        ]
        if len(altering) > 1:
            names = new_names(renames, name, model)
            now = unique_by_new_names(model, names)
            kept = now & unique_together(vars(altering[-1]))
            place = left.index(altering[0])
            dropping = [] if kept == now else [AlterUniqueTogether(name, kept)]
            left[place : place + 1] = dropping
    return left


def _following(altering: AlterField, model: ModelState, names: Names) -> AnyField:
    """A generated field as it was, by the new names of what it is made of."""
    old = {new: old for old, new in names.items()}.get(altering.name, altering.name)
    if old not in model.fields:
        return None
    return with_new_names(model.fields[old], altering.field, names)


def _ordered(
    operations: list[Operation], app_label: str, state: ProjectState
) -> list[Operation]:
    """Keep the order with respect to a field that is renamed, and keeps its column.

    Django says so after it is renamed, and can't render the state in between. If the
    order is with respect to another field from now on, it says that alone.
    """
    for rename in [each for each in operations if isinstance(each, RenameField)]:
        name = rename.model_name_lower
        model = state.models.get((app_label, name))
        if (
            model
            and model.options.get("order_with_respect_to") == rename.old_name
            and _keeps_column(rename, model, operations)
        ):
            free = AlterOrderWithRespectTo(name, None)
            kept = AlterOrderWithRespectTo(name, rename.new_name)
            operations = [each for each in operations if not orders_by(each, rename)]
            operations[operations.index(rename)] = SeparateDatabaseAndState(
                state_operations=[free, rename, kept]
            )
    return operations


def _keeps_column(
    rename: RenameField, model: ModelState, operations: Iterable[Operation]
) -> bool:
    """Whether the field has the name of its column, as it was or by then."""
    return bool(model.fields[rename.old_name].db_column) or any(
        isinstance(each, AlterField)
        and each.model_name_lower == rename.model_name_lower
        and each.name == rename.old_name
        and each.field.db_column
        for each in operations
    )


def _proxies_last(
    operations: list[Operation], app_label: str, state: ProjectState
) -> list[Operation]:
    """Delete proxy models after the fields that refer to them, as Django doesn't.

    But before what they are proxies of: without that no state can be rendered.
    """
    proxies = {
        operation: model
        for operation in operations
        if isinstance(operation, DeleteModel)
        and (model := state.models.get((app_label, operation.name_lower)))
        and model.options.get("proxy")
    }
    placed = [each for each in operations if each not in proxies]
    for proxy, model in reversed(proxies.items()):
        bases = {base.lower() for base in model.bases if isinstance(base, str)}
        positions = (
            position
            for position, each in enumerate(placed)
            if isinstance(each, DeleteModel)
            and f"{app_label}.{each.name_lower}" in bases
        )
        placed.insert(next(positions, len(placed)), proxy)
    return placed


def _without_parts(
    operations: list[Operation], label: str, state: ProjectState
) -> list[Operation]:
    """Leave out what takes a model apart before it is deleted, where nothing needs it.

    Django leaves it out unless something else comes between. A model that is ordered
    with respect to another can't lose the relation.
    """
    deleted: list[ModelKey] = [
        (label, each.name_lower) for each in operations if isinstance(each, DeleteModel)
    ]
    return [
        operation
        for operation in operations
        if not _is_part(operation, label, deleted, state)
    ]


def _is_part(
    operation: Any, label: str, deleted: Sequence[ModelKey], state: ProjectState
) -> bool:
    if isinstance(operation, AlterUniqueTogether):
        return (label, operation.name_lower) in deleted
    if not isinstance(operation, RemoveField | RemoveConstraint | RemoveIndex):
        return False
    key = (label, operation.model_name_lower)
    if key not in deleted:
        return False
    if not isinstance(operation, RemoveField):
        return True
    field = state.models[key].fields[operation.name]
    before = deleted[: deleted.index(key)]
    return not any(target in before for target in referred_models(key, field))


def _freed(
    operations: list[Operation],
    app_label: str,
    gone: Collection[ModelKey],
    state: ProjectState,
) -> list[Operation]:
    """Drop what covers a field before it goes, if its model goes as well.

    Django leaves that to the model, but it can't make the table anew meanwhile.
    """
    known = {_dropped(each) for each in operations}
    freed: list[Operation] = []
    for operation in operations:
        if isinstance(operation, RemoveField):
            key = (app_label, operation.model_name_lower)
            if key in gone:
                covering = _covering(state.models[key], operation.name)
                freed += [each for each in covering if _dropped(each) not in known]
                known |= {_dropped(each) for each in covering}
        freed.append(operation)
    return freed


def _covering(model: ModelState, name: str) -> list[Operation]:
    """What drops the order, indexes and constraints of a model that need a field."""
    key, options = model.name_lower, model.options
    found: list[Operation] = []
    if any(name in names for names in unique_together(options)):
        found.append(AlterUniqueTogether(key, set()))
    if options.get("order_with_respect_to") == name:
        found.append(AlterOrderWithRespectTo(key, None))
    for each in options.get("indexes", ()):
        plain = {field for field, _ in each.fields_orders}
        if name in plain | constraint_fields(each):
            found.append(RemoveIndex(key, each.name))
    found += [
        RemoveConstraint(key, each.name)
        for each in options.get("constraints", ())
        if name in constraint_fields(each)
    ]
    return found


def _dropped(operation: Any) -> tuple[Any, ...]:
    """What an operation drops, in a form to compare."""
    if isinstance(operation, AlterUniqueTogether):
        return "unique_together", operation.name_lower
    if isinstance(operation, AlterOrderWithRespectTo):
        return "order_with_respect_to", operation.name_lower
    if isinstance(operation, RemoveIndex | RemoveConstraint):
        return type(operation), operation.model_name_lower, operation.name
    return ()
