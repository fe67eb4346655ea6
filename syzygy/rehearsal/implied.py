"""Whether rows that obey the rules of a model can violate another one at all.

What isn't understood may be anything. So what turns out to be impossible is, but not
all that is impossible turns out to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, UniqueConstraint, Value
from django.db.models.functions import Collate, Lower, LTrim, RTrim, Trim, Upper

from syzygy.alterations import has_db_default
from syzygy.constraints import mentioned_fields, operands
from syzygy.rehearsal.row_rules import Rule
from syzygy.rehearsal.row_space import Space, UnclearError, is_among, means_the_same

# What a condition may be of a row; ``None`` is neither true nor false.
_Allowed: TypeAlias = frozenset[bool | None]
_OBEYED: _Allowed = frozenset({True, None})
_MET: _Allowed = frozenset({True})
_UNMET: _Allowed = frozenset({False, None})
_VIOLATED: _Allowed = frozenset({False})
# What makes of equal texts what is equal, too, and not NULL.
_OF_TEXT = (Collate, F, Lower, LTrim, RTrim, Trim, Upper, Value)
_Demand: TypeAlias = tuple[Rule, _Allowed]


def is_impossible(
    goal: Rule, own: Iterable[Rule], connection: BaseDatabaseWrapper
) -> bool:
    """Whether it is certain that no rows violate a rule and obey a model's own ones."""
    rules = list(own)
    checks = [(rule, _OBEYED) for rule in rules if rule.is_check]
    if goal.is_check:
        return _is_empty([(goal, _VIOLATED)], checks, connection)
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
        and _is_empty([(goal, _MET), (rule, _UNMET)], checks, connection, filled)
        for rule in rules
        if not rule.is_check
    )


# What two rows have to be alike in


def compares_as_is(rule: Rule) -> bool:
    """Whether a rule excludes rows only if they have the same values in its fields."""
    return all(
        kind in {"=", "<>"} and isinstance(name, str) for kind, name in _compared(rule)
    )


def _is_null(rule: Rule, name: str) -> bool:
    """Whether all rows of the model have NULL there, as it lacks the field."""
    field, own = rule.fields_of(name)
    return bool(field and not own and not has_db_default(field))


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
            kind == "=" and _is_text_of(plain, each)
        ):
            return False
    if goal.takes_null and not rule.takes_null:
        fields: list[Any] = [rule.owner._meta.get_field(name) for name in rule.compared]
        return not any(field.null for field in fields)
    return True


def _is_text_of(plain: set[str], expression: Any) -> bool:
    """Whether it is made of texts that are among the fields, and never NULL."""
    parts = [expression]
    for part in parts:
        if not isinstance(part, _OF_TEXT):
            return False
        if not isinstance(part, F):
            parts += part.get_source_expressions()
    return {*mentioned_fields(expression)} <= plain


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
    for some in (_connected(checks, fields), near, []):
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
