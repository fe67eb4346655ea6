"""What names fields that are renamed: expressions, conditions, indexes, constraints.

Django takes it for something else by the new names. So it would drop indexes and
constraints and make them anew, and alter generated fields, which no database can.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.migrations import (
    AddConstraint,
    AddIndex,
    AlterOrderWithRespectTo,
    RemoveConstraint,
    RemoveIndex,
    RenameField,
    RenameModel,
)
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import ForeignKey, Q, Value
from django.db.models.constants import LOOKUP_SEP

from syzygy.alterations import is_a, is_generated
from syzygy.constraints import unique_together
from syzygy.history import AnyField

# The new names of a model's fields by the old ones.
Names = Mapping[str, str]


def with_new_names(old: AnyField, new: AnyField, names: Names) -> AnyField:
    """The old generated field with the expression of the new one.

    That is, if the names of fields are all that differs between the two; else ``None``.
    """
    if not names or not (is_generated(old) and is_generated(new)):
        return None
    if not _is_same(old.expression, new.expression, names):
        return None
    field = old.clone()
    field.expression = new.expression
    return field


def is_unchanged(old: AnyField, new: AnyField) -> bool:
    """Whether two fields are the same, whatever they are called."""
    return _is_same(old.deconstruct()[1:], new.deconstruct()[1:], {})


def twin(item: Any, others: Iterable[Any], names: Names) -> Any:
    """The index or constraint that one has become by the new names, if any has."""
    for other in others if names else ():
        if (
            other.name == item.name
            and type(other) is type(item)
            and _is_same(item.deconstruct()[1:], other.deconstruct()[1:], names)
        ):
            return other
    return None


def follow(model: ModelState, new: ModelState, renamed: Names) -> None:
    """Have the generated fields of a model know others by their new names."""
    names = with_columns(new, renamed)
    for name in model.fields.keys() & new.fields.keys():
        field = with_new_names(model.fields[name], new.fields[name], names)
        if field is not None:
            model.fields[name] = field


def with_columns(model: ModelState, renamed: Names) -> Names:
    """The new names with those of the columns of foreign keys, which count as well.

    The model has the one or the other.
    """
    ids = {
        f"{old}_id": f"{new}_id"
        for old, new in renamed.items()
        if is_a(model.fields.get(new, model.fields.get(old)), ForeignKey)
    }
    return {**renamed, **ids}


def _is_same(old: Any, new: Any, names: Names) -> bool:
    """Whether expressions, or parts of them, are the same but for names of fields."""
    if isinstance(old, str) and isinstance(new, str):
        return new in (old, _renamed(old, names))
    if type(old) is not type(new):
        return False
    if isinstance(old, Q):
        ours, theirs = list(old.children), list(new.children)
        same = (old.connector, old.negated) == (new.connector, new.negated)
        # They are sorted by their names.
        return same and _are_same(ours, theirs, names)
    if isinstance(old, list | tuple):
        pairs = zip(old, new, strict=False)
        return len(old) == len(new) and all(_is_same(*each, names) for each in pairs)
    if isinstance(old, dict):
        return _are_same([*old.items()], [*new.items()], names)
    if isinstance(old, Value) or not hasattr(old, "deconstruct"):
        return bool(old == new)
    return _is_same(old.deconstruct()[-2:], new.deconstruct()[-2:], names)


def _are_same(old: list[Any], new: list[Any], names: Names) -> bool:
    """Whether there is a twin for each, in whatever order."""
    left = list(new)
    for each in old:
        twin = next((other for other in left if _is_same(each, other, names)), None)
        if twin is None:
            return False
        left.remove(twin)
    return not left


def _renamed(reference: str, names: Names) -> str:
    plain = reference.removeprefix("-")
    sign = reference[: -len(plain)] if plain else ""
    name, separator, rest = plain.partition(LOOKUP_SEP)
    return f"{sign}{names.get(name, name)}{separator}{rest}"


# What is done beside renaming fields


def old_models(
    operations: list[Operation], app_label: str, state: ProjectState
) -> dict[str, ModelState]:
    """The models with fields that are renamed as they were, by their new names."""
    models = {
        each.new_name_lower: each.old_name_lower
        for each in operations
        if isinstance(each, RenameModel)
    }
    names = [
        each.model_name_lower for each in operations if isinstance(each, RenameField)
    ]
    return {name: state.models[app_label, models.get(name, name)] for name in names}


def unique_by_new_names(model: ModelState, names: Names) -> set[tuple[str, ...]]:
    """What a model was unique together in, by the new names of the fields."""
    return {
        tuple(names.get(field, field) for field in each)
        for each in unique_together(model.options)
    }


def new_names(renames: list[RenameField], name: str, model: ModelState) -> Names:
    """The new names of that model's fields, and of the columns of foreign keys."""
    own = [each for each in renames if each.model_name_lower == name]
    return with_columns(model, {each.old_name: each.new_name for each in own})


def orders_by(operation: Any, rename: RenameField) -> bool:
    """Whether the operation orders a model with respect to its renamed field."""
    return (
        isinstance(operation, AlterOrderWithRespectTo)
        and operation.name_lower == rename.model_name_lower
        and operation.order_with_respect_to == rename.new_name
    )


def is_opposite(dropping: Any, adding: Any) -> bool:
    """Whether operations drop an index or a constraint and add one of its name."""
    if isinstance(dropping, RemoveIndex):
        kind: Any = AddIndex
    elif isinstance(dropping, RemoveConstraint):
        kind = AddConstraint
    else:
        return False
    return (
        isinstance(adding, kind)
        and adding.model_name_lower == dropping.model_name_lower
        and item_of(adding).name == dropping.name
    )


def item_of(operation: Any) -> Any:
    """The index or the constraint that an operation adds."""
    return operation.index if isinstance(operation, AddIndex) else operation.constraint
