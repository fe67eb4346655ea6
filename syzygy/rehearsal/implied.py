"""Whether rows that obey the rules of a model can violate another one at all.

What isn't understood may be anything. So what turns out to be impossible is, but not
all that is impossible turns out to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import CheckConstraint, F, UniqueConstraint, Value
from django.db.models.functions import Lower, LTrim, RTrim, Trim, Upper

from syzygy.constraints import mentioned_fields, operands
from syzygy.rehearsal.row_rules import Rule
from syzygy.rehearsal.row_space import (
    Space,
    UnclearError,
    has_collation,
    is_among,
    means_the_same,
)

# What a condition may be of a row; ``None`` is neither true nor false.
_Allowed: TypeAlias = frozenset[bool | None]
_OBEYED: _Allowed = frozenset({True, None})
_MET: _Allowed = frozenset({True})
_UNMET: _Allowed = frozenset({False, None})
_VIOLATED: _Allowed = frozenset({False})
# What makes of equal texts what is equal, too, and not NULL.
_OF_TEXT = {F, Lower, LTrim, RTrim, Trim, Upper, Value}
_Demand: TypeAlias = tuple[Rule, _Allowed]


def is_impossible(
    goal: Rule, own: Iterable[Rule], connection: BaseDatabaseWrapper
) -> bool:
    """Whether it is certain that no rows violate a rule and obey a model's own ones."""
    rules = [rule for rule in own if is_enforced(rule.constraint, connection)]
    checks = [(rule, _OBEYED) for rule in rules if rule.is_check]
    if goal.is_check:
        return any(_asks_the_same(rule, goal) for rule, _ in checks) or _is_empty(
            [(goal, _VIOLATED)], checks, connection
        )
    if not (goal.excluding or isinstance(goal.constraint, UniqueConstraint)):
        return False
    compared = list(_compared(goal))
    filled = {name for kind, name in compared if isinstance(name, str)}
    if goal.takes_null:
        filled = set()
    elif any(_is_null(goal, name) for name in mentioned_fields([*_plain(goal)])):
        return True
    if _is_empty([(goal, _MET)], checks, connection, filled):
        return True
    return any(
        _tells_apart(rule, goal, compared)
        and (
            _condition(rule) is None
            or _asks_the_same(rule, goal)
            or _is_empty([(goal, _MET), (rule, _UNMET)], checks, connection, filled)
        )
        for rule in rules
        if not rule.is_check
    )


def _condition(rule: Rule) -> Any:
    return getattr(rule.constraint, "condition", None)


def _asks_the_same(rule: Rule, goal: Rule) -> bool:
    """Whether a rule of a model has the same condition, and means the same by it."""
    condition = _condition(goal)
    pairs = map(goal.fields_of, mentioned_fields(condition))
    return (
        is_among(condition, [_condition(rule)])
        and means_the_same(goal, condition)
        and all(
            type(own) is type(field) and own.null == field.null for field, own in pairs
        )
    )


def is_enforced(constraint: Any, connection: BaseDatabaseWrapper) -> bool:
    """Whether the database can have it: Django leaves out what it can't."""
    features: Any = connection.features
    if isinstance(constraint, CheckConstraint):
        return bool(features.supports_table_check_constraints)
    if not isinstance(constraint, UniqueConstraint):
        return True
    unique: Any = constraint
    needed = {
        "supports_partial_indexes": unique.condition is not None,
        "supports_expression_indexes": bool(unique.expressions),
        "supports_covering_indexes": bool(unique.include),
        "supports_deferrable_unique_constraints": unique.deferrable is not None,
        "supports_nulls_distinct_unique_constraints": unique.nulls_distinct is not None,
    }
    return all(getattr(features, name) for name, it in needed.items() if it)


# What two rows have to be alike in


def compares_as_is(rule: Rule) -> bool:
    """Whether a rule excludes rows only if they have the same values in its fields."""
    return all(
        kind in {"=", "<>"} and isinstance(name, str) for kind, name in _compared(rule)
    )


def _is_null(rule: Rule, name: str) -> bool:
    """Whether all rows of the model have NULL there, as it lacks the field."""
    field, own = rule.fields_of(name)
    if field is None or own is not None or field.generated:
        return False
    return rule.given_to(field) is None


def _plain(rule: Rule) -> Iterator[F]:
    yield from map(F, getattr(rule.constraint, "fields", ()))
    yield from (each for each in operands(rule.constraint) if isinstance(each, F))


def _compared(rule: Rule) -> Iterator[tuple[str, Any]]:
    """What a rule compares, and by which operator; fields by the names of the model."""
    pairs = [(kind, operand) for operand, kind in rule.excluding]
    if not pairs:
        names = [*map(F, getattr(rule.constraint, "fields", ()))]
        pairs = [("=", operand) for operand in (*names, *operands(rule.constraint))]
    for kind, operand in pairs:
        if isinstance(operand, str | F):
            field, own = rule.fields_of(str(getattr(operand, "name", operand)))
            name = own.name if own else object()
            yield kind, ("generated", name) if field and field.generated else name
        else:
            yield kind, operand if means_the_same(rule, operand) else object()


def _tells_apart(rule: Rule, goal: Rule, known: Sequence[tuple[str, Any]]) -> bool:
    """Whether rows that are alike for the goal are alike for the rule."""
    plain = {name for kind, name in known if kind == "=" and isinstance(name, str)}
    for kind, each in _compared(rule):
        if not is_among((kind, each), known) and not (
            kind == "=" and _is_text_of(rule, plain, each)
        ):
            return False
    if goal.takes_null and not rule.takes_null:
        fields: list[Any] = [rule.owner._meta.get_field(name) for name in rule.compared]
        return compares_as_is(rule) and not any(field.null for field in fields)
    return True


def _is_text_of(rule: Rule, plain: set[str], expression: Any) -> bool:
    """Whether it is made of texts that are among the fields, and never NULL."""
    parts = [expression]
    for part in parts:
        if type(part) not in _OF_TEXT:
            return False
        if not isinstance(part, F):
            parts += part.get_source_expressions()
    names = {*mentioned_fields(expression)}
    # What is computed may be compared by another collation than the field.
    fields: list[Any] = [rule.owner._meta.get_field(name) for name in names & plain]
    return names <= plain and not any(map(has_collation, fields))


# All rows that there may be


def _is_empty(
    demands: Sequence[_Demand],
    checks: Sequence[_Demand],
    connection: BaseDatabaseWrapper,
    filled: Iterable[str] = (),
) -> bool:
    """Whether no row is as demanded, or none that obeys the checks.

    Some of these may be left out, which makes for more rows.
    """
    fields = {name for rule, _ in demands for name in rule.fields}
    near = [check for check in checks if check[0].fields & fields]
    alone = [[check] for check in near]
    for some in (_connected(checks, fields), near, *alone, []):
        try:
            space = Space(connection)
            truths = [(space.truth_of(rule), allowed) for rule, allowed in demands]
            for rule, allowed in some:
                with suppress(UnclearError):
                    truths.append((space.truth_of(rule), allowed))
            return not any(
                all(truth(row) in allowed for truth, allowed in truths)
                for row in space.rows(filled)
            )
        except (UnclearError, TypeError):
            continue
    return False


def _connected(checks: Sequence[_Demand], fields: Iterable[str]) -> list[_Demand]:
    reach: set[str] = set()
    near = set(fields)
    while reach != near:
        reach = near
        near = reach.union(*(rule.fields for rule, _ in checks if rule.fields & reach))
    return [check for check in checks if check[0].fields & reach]
