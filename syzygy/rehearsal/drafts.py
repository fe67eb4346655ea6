"""Rows in the making: the values that a variant gives to fields without relations."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from django.apps.registry import Apps
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import CheckConstraint, F, Q, UniqueConstraint

from syzygy.constraints import compared_fields, constraint_fields
from syzygy.rehearsal.field_values import empty_values, fits
from syzygy.rehearsal.row_rules import (
    ModelClass,
    RowValues,
    Rule,
    counterparts,
    is_automatic,
    lineage,
    parent_links,
    remembered,
)
from syzygy.rehearsal.values import Unprobable, label_of, sample, widest

# How many values to try where two releases limit them differently.
_TRIES = 12


class Variant(enum.Enum):
    """Which values a row has."""

    # What the model leaves to defaults, or to NULL or blank, is left.
    DEFAULTS = "defaults"
    # As wide as each field allows.
    WIDEST = "widest"
    # NULL and blank, where allowed.
    EMPTY = "empty"
    # As DEFAULTS, but foreign keys without a constraint refer to nothing.
    ORPHAN = "orphan"


@dataclass
class Draft:
    """A row in the making; ``values`` are by the names of fields.

    With ``also``, another release's class of the table, the row has to suit that one,
    too, but with ``own_nulls`` for NULL, which is then enough for ``model`` to take;
    with ``beside``, that release's models, so has what it refers to. ``number`` is of
    no other row. Fields in ``forced`` aren't left to defaults.
    """

    model: ModelClass
    variant: Variant
    also: ModelClass | None
    number: int
    rules: Sequence[Rule]
    forced: Collection[str] = ()
    own_nulls: bool = False
    beside: Apps | None = None
    values: RowValues = dataclasses.field(default_factory=dict)

    def counterpart(self, field: Any) -> Any:
        """The other release's field for the column, if there is one."""
        others = counterparts(self.model, self.also) if self.also else {}
        return others.get(field.name)

    def other(self, field: Any) -> Any:
        """The other release's field for the column, if it isn't defined the same."""
        others = _redefined(self.model, self.also) if self.also else {}
        return others.get(field.name)

    def may_be_null(self, field: Any) -> bool:
        """Whether the field takes NULL, in both releases unless one is enough."""
        other = self.other(field)
        return bool(field.null and (self.own_nulls or other is None or other.null))

    def may_dangle(self, field: Any) -> bool:
        """Whether a foreign key may refer to nothing, in both releases."""
        other = self.counterpart(field)
        return not (field.db_constraint or getattr(other, "db_constraint", False))

    def takes(self, field: Any, value: Any, connection: BaseDatabaseWrapper) -> bool:
        """Whether the field takes a value, in both releases."""
        other = self.other(field)
        return fits(field, value, connection) and (
            other is None or fits(other, value, connection)
        )

    def is_left(self, field: Any) -> bool:
        """Whether the variant leaves the field to its default."""
        if field.name in self.forced:
            return False
        return self.variant in {Variant.DEFAULTS, Variant.ORPHAN}

    def is_emptied(self, field: Any) -> bool:
        """Whether the variant leaves the field empty."""
        return self.variant is Variant.EMPTY and field.name not in self.forced

    def is_emptier(self, field: Any) -> bool:
        """Whether to leave the field empty is to have no default or sample there."""
        may_be_empty = field.null or (field.blank and empty_values(field))
        has_default = field.has_default() or field.has_db_default()
        is_another = has_default or self.other(field) is not None
        return bool(may_be_empty and is_another and not is_dated(field))

    def must_be_fresh(self, field: Any) -> bool:
        """Whether the field alone tells rows apart."""
        return any(
            rule.is_plainly_unique and rule.compared == {field.name}
            for rule in self.rules
        )


@remembered
def _redefined(model: ModelClass, other: ModelClass) -> Mapping[str, Any]:
    """Of the other class's fields those that aren't defined like the model's."""
    own = {field.name: field for field in model._meta.concrete_fields}
    return {
        name: field
        for name, field in counterparts(model, other).items()
        if own[name].deconstruct()[1:] != field.deconstruct()[1:]
    }


def written_fields(model: ModelClass) -> list[Any]:
    """The fields whose values of a new row neither the database nor the ORM makes."""
    links = parent_links(model)
    return [
        field
        for field in model._meta.concrete_fields
        if not is_automatic(field) and field not in links
    ]


def is_dated(field: Any) -> bool:
    """Whether saving puts in the time, whatever there is."""
    return bool(getattr(field, "auto_now", False) or getattr(field, "auto_now_add", 0))


def fill(draft: Draft, connection: BaseDatabaseWrapper) -> None:
    """Give each field that refers to nothing the value that the variant asks for.

    Raises :exc:`Unprobable` for one that needs a value, and has none that is known.
    """
    computed = _computed(draft.model) if draft.variant is Variant.WIDEST else set()
    for field in written_fields(draft.model):
        if not isinstance(field, models.ForeignKey):
            plain = field.name in computed
            draft.values[field.name] = _value(draft, field, connection, plain=plain)
    _fill_dimensions(draft, connection)


def sample_for(
    draft: Draft, field: Any, number: int, connection: BaseDatabaseWrapper
) -> Any:
    """A plain value of the field, which suits both releases."""
    other = draft.other(field)
    if other is None:
        return sample(field, number, connection)
    for shift in range(_TRIES):
        for each in (field, other):
            try:
                value = sample(each, number + shift, connection)
            except Unprobable:
                continue
            if draft.takes(field, value, connection):
                return value
    raise Unprobable(
        label_of(field),
        "The releases define the field so differently that no value is known that "
        "suits both.",
    )


def _value(
    draft: Draft, field: Any, connection: BaseDatabaseWrapper, *, plain: bool
) -> Any:
    if is_dated(field):
        return field.pre_save(SimpleNamespace(), add=True)
    other = draft.other(field)
    if draft.is_emptied(field) or (draft.is_left(field) and other is None):
        if draft.is_left(field) and (field.has_default() or field.has_db_default()):
            value = default_of(field)
            if value is not None and fits(field, value, connection):
                return value
        if draft.may_be_null(field):
            return None
        for value in empty_values(field):
            may_be_blank = field.blank and (other is None or other.blank)
            if may_be_blank and draft.takes(field, value, connection):
                return value
    if draft.variant is Variant.WIDEST and other is None and not plain:
        return widest(field, draft.number, connection)
    return sample_for(draft, field, draft.number, connection)


def default_of(field: Any) -> Any:
    """What the ORM writes if nothing is given; ``None`` if that fails."""
    try:
        return field.get_default()
    except Exception:  # noqa: BLE001 (a function of the project, which may read rows)
        return None


def _fill_dimensions(draft: Draft, connection: BaseDatabaseWrapper) -> None:
    """Have images know their size: else Django opens the file, and there is none."""
    for field in written_fields(draft.model):
        if isinstance(field, models.ImageField) and draft.values[field.name]:
            image: Any = field
            for name in (image.width_field, image.height_field):
                if name and not draft.values.get(name):
                    size = draft.model._meta.get_field(name)
                    value = sample_for(draft, size, draft.number, connection)
                    draft.values[name] = value


def _computed(model: ModelClass) -> set[str]:
    """The fields that the database computes something of, which must not overflow."""
    names: set[str] = set()
    for each in lineage(model):
        options = each._meta
        for field in options.local_concrete_fields:
            if field.generated:
                expression: Any = field.expression  # type: ignore[attr-defined]
                names |= compared_fields(UniqueConstraint(expression, name="computed"))
        for index in options.indexes:
            if index.expressions:
                made = UniqueConstraint(*index.expressions, name="computed")
                names |= compared_fields(made)
        for constraint in options.constraints:
            if getattr(constraint, "expressions", ()):
                names |= compared_fields(constraint)
            elif isinstance(constraint, CheckConstraint) and _computes(
                constraint.condition
            ):
                names |= constraint_fields(constraint)
    return names


def _computes(condition: Any) -> bool:
    if isinstance(condition, Q):
        return any(
            _computes(child[1] if isinstance(child, tuple) else child)
            for child in condition.children
        )
    return hasattr(condition, "resolve_expression") and not isinstance(condition, F)
