"""What follows renamed fields comes right after them, and in the same migration.

Django cuts the operations of an app into several migrations where one of them waits for
another app. What names a renamed field would be dropped before such a cut, and be added
after it; and where an order is with respect to one, no state could be rendered between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.db.migrations import (
    AlterField,
    AlterOrderWithRespectTo,
    AlterUniqueTogether,
    RenameField,
)
from django.db.migrations.state import ModelState, ProjectState

from syzygy.constraints import unique_together
from syzygy.generation.options import has_renamed
from syzygy.generation.renamed_fields import (
    Names,
    is_opposite,
    item_of,
    new_names,
    old_models,
    orders_by,
    unique_by_new_names,
)


def keep_together(operations: Mapping[str, list[Any]], before: ProjectState) -> None:
    """Have it so in what a detection found, by app label, before it is sorted."""
    for app_label, own in operations.items():
        for name, model in old_models(own, app_label, before).items():
            renames = [
                each
                for each in own
                if isinstance(each, RenameField) and each.model_name_lower == name
            ]
            names = new_names(renames, name, model)
            following = [*_following(own, renames, model, names)]
            if not following:
                continue
            old = {each.old_name for each in renames}
            pins = [
                each
                for each in own
                if isinstance(each, AlterField)
                and each.model_name_lower == name
                and each.name in old
            ]
            # Else they would be sorted apart.
            waiting = [*pins, *renames, *following]
            needed = [each for one in waiting for each in one._auto_deps]
            for each in waiting:
                each._auto_deps = list(dict.fromkeys(needed))
            left = [each for each in own if each not in following]
            place = left.index(renames[-1]) + 1
            own[:] = [*left[:place], *following, *left[place:]]


def _following(
    operations: list[Any], renames: list[RenameField], model: ModelState, names: Names
) -> Iterator[Any]:
    """What names the renamed fields of a model, and named them before."""
    name = renames[0].model_name_lower
    known = unique_by_new_names(model, names)
    for each in operations:
        if isinstance(each, AlterUniqueTogether):
            is_one = each.name_lower == name and unique_together(vars(each)) <= known
        elif isinstance(each, AlterOrderWithRespectTo):
            is_one = any(orders_by(each, rename) for rename in renames)
        else:
            is_one = getattr(each, "model_name_lower", None) == name and any(
                has_renamed(model, item_of(added), names)
                for added in _added(each, operations)
            )
        if is_one:
            yield each


def _added(operation: Any, operations: list[Any]) -> Iterator[Any]:
    """What adds the index or constraint anew that the operation drops, or adds."""
    for other in operations:
        if is_opposite(operation, other):
            yield other
        elif is_opposite(other, operation):
            yield operation
