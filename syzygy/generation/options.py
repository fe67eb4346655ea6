"""The options of a model during the rollout: what both releases can live with.

Pure: the states of one model before and after come in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from django.db.migrations.state import ModelState
from django.db.models import Index, UniqueConstraint

from syzygy.constraints import (
    constraint_fields,
    definition,
    effect,
    effects,
    plainly_compared_fields,
    unique_together,
)
from syzygy.generation.renamed_fields import Names, twin, with_columns

Together: TypeAlias = set[tuple[str, ...]]

# The operators of exclusions that are true of a value and itself.
_TRUE_OF_EQUALS = ("=", "&&")


class Merged(NamedTuple):
    """The options during the rollout.

    ``lasting`` are the names of what is added or dropped without anything coming into
    force or ceasing to be, as something else has the same effect: constraints by name,
    and ``unique_together``. ``add_order`` and ``drop_order`` tell that the order with
    respect to another model comes or goes.
    """

    options: dict[str, Any]
    lasting: frozenset[str]
    add_order: bool
    drop_order: bool


def merge(old: ModelState, new: ModelState, renamed: Mapping[str, str]) -> Merged:
    """The options that suit both releases.

    ``renamed`` has the new names of fields by the old ones; ``old`` has the new names
    in its fields already.
    """
    options = dict(new.options)
    names = with_columns(new, renamed)
    others = new.options.get("constraints", ())
    old_constraints = [
        _renamed(each, names, others) for each in old.options.get("constraints", ())
    ]
    lasting: set[str] = set()
    options["constraints"] = _constraints(old, new, old_constraints, lasting)
    if renamed:
        # Django makes those anew whose fields have other names.
        lasting |= {each.name for each in options["constraints"]}
    options["indexes"] = _indexes(old, new, names)
    together = _together(old, new, lasting)
    if together or "unique_together" in options:
        options["unique_together"] = together
    before = old.options.get("order_with_respect_to")
    after = new.options.get("order_with_respect_to")
    if before and not after:
        options["order_with_respect_to"] = renamed.get(before, before)
    return Merged(
        options,
        frozenset(lasting),
        add_order=bool(after and not before),
        drop_order=bool(before and not after),
    )


def unique_sets(model: ModelState) -> set[frozenset[str]]:
    """The sets of fields of which no two rows may have the same values.

    Those of exclusions as well, if no two rows with the same values pass them.
    """
    sets = {each for each in effects(model) if isinstance(each, frozenset)}
    for constraint in model.options.get("constraints", ()):
        pairs = getattr(constraint, "expressions", ())
        names = plainly_compared_fields(constraint)
        if (
            not constraint.condition
            and 0 < len(names) == len(pairs)
            and all(isinstance(pair, tuple | list) for pair in pairs)
            and all(operator in _TRUE_OF_EQUALS for _, operator in pairs)
        ):
            sets.add(frozenset(names))
    return sets


def covered_fields(model: ModelState) -> set[str]:
    """The names of the fields that constraints of a model are about."""
    constraints = model.options.get("constraints", ())
    return {
        *(name for names in unique_together(model.options) for name in names),
        *(name for each in constraints for name in constraint_fields(each)),
    }


def has_renamed(model: ModelState, item: Any, renamed: Names) -> bool:
    """Whether a model has that index or constraint, but for the names of its fields."""
    known = (*model.options.get("indexes", ()), *model.options.get("constraints", ()))
    return any(twin(each, [item], renamed) is not None for each in known)


def _constraints(
    old: ModelState, new: ModelState, old_constraints: list[Any], lasting: set[str]
) -> list[Any]:
    before, after = effects(old, old_constraints), effects(new)
    by_name = {each.name: each for each in old_constraints}
    kept = []
    for each in new.options.get("constraints", ()):
        same = by_name.get(each.name)
        if same is not None and definition(same) == definition(each):
            kept.append(each)
        elif same is None and effect(each) in before:
            kept.append(each)
            lasting.add(each.name)
    names = {each.name for each in new.options.get("constraints", ())}
    for each in old_constraints:
        if each.name not in names and effect(each) in after:
            kept.append(each)
            lasting.add(each.name)
    return kept


def _indexes(old: ModelState, new: ModelState, renamed: Names) -> list[Any]:
    """All of both; where two have one name or differ in nothing else, the new one."""
    indexes = list(new.options.get("indexes", ()))
    names = {each.name for each in indexes}
    definitions = {definition(each) for each in indexes}
    fields = old.fields.keys() | new.fields.keys()
    for each in old.options.get("indexes", ()):
        index = _renamed(each, renamed, new.options.get("indexes", ()))
        mentioned = {name for name, _ in getattr(index, "fields_orders", ())}
        mentioned |= constraint_fields(index) if index.expressions else set()
        if (
            index.name not in names
            and definition(index) not in definitions
            and mentioned <= fields
        ):
            indexes.append(index)
    return indexes


def _together(old: ModelState, new: ModelState, lasting: set[str]) -> Together:
    before, after = unique_together(old.options), unique_together(new.options)
    had, has = effects(old), effects(new)
    kept = before & after
    moved = {names for names in after - before if frozenset(names) in had}
    moved |= {names for names in before - after if frozenset(names) in has}
    if moved:
        lasting.add("unique_together")
    return kept | moved


def _renamed(item: Any, renamed: Names, others: Iterable[Any]) -> Any:
    """The index or constraint with the new names of its fields.

    That is one of the new ``others``, if it has become that.
    """
    other = twin(item, others, renamed)
    if other is not None:
        return other
    if not renamed or not isinstance(item, Index | UniqueConstraint):
        return item
    _, args, kwargs = item.deconstruct()
    if not set(kwargs.get("fields", ())) & _with_signs(renamed):
        return item
    kwargs["fields"] = [_new_name(name, renamed) for name in kwargs["fields"]]
    return type(item)(*args, **kwargs)


def _with_signs(names: Collection[str]) -> set[str]:
    return {*names, *(f"-{name}" for name in names)}


def _new_name(name: str, renamed: Mapping[str, str]) -> str:
    sign, plain = ("-", name[1:]) if name.startswith("-") else ("", name)
    return sign + renamed.get(plain, plain)
