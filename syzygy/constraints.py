"""Which fields a constraint is about, and what it keeps rows from."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.db.migrations.state import ModelState
from django.db.models import CheckConstraint, F, Q, UniqueConstraint
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import OrderBy
from django.db.models.options import normalize_together


def unique_together(options: Mapping[str, Any]) -> set[tuple[str, ...]]:
    """The sets of fields in the options of a model's state.

    Migrations that people wrote may have lists, and a single set without another
    around it; Django makes the usual shape of them in models alone.
    """
    return set(normalize_together(options.get("unique_together") or ()))


def effects(model: ModelState, constraints: Iterable[Any] | None = None) -> set[Any]:
    """What the rows of a model are kept from, in a form to compare."""
    if constraints is None:
        constraints = model.options.get("constraints", ())
    found: set[Any] = {
        frozenset([name])
        for name, field in model.fields.items()
        if getattr(field, "_unique", False) and not field.primary_key
    }
    found |= {frozenset(names) for names in unique_together(model.options)}
    found |= {effect(each) for each in constraints}
    return found


def effect(constraint: Any) -> Any:
    """What a constraint keeps rows from: those fields from being equal, or that."""
    if type(constraint) is UniqueConstraint and not (
        constraint.condition
        or constraint.deferrable
        or constraint.expressions
        or constraint.nulls_distinct is not None
    ):
        return frozenset(constraint.fields)
    return definition(constraint)


def lifted_form(constraint: Any) -> Any:
    """What rows are kept from no more when a constraint goes.

    Where no index can include columns, Django makes no constraint that does so: then
    only one that is like it is sure to take its place.
    """
    if getattr(constraint, "include", ()):
        return definition(constraint)
    return effect(constraint)


def forms(constraint: Any) -> tuple[Any, Any]:
    """All that may have been lifted of which a constraint takes the place."""
    return effect(constraint), lifted_form(constraint)


def definition(constraint: Any) -> str:
    """What an index or a constraint is, but for its name, in a form to compare."""
    path, args, kwargs = constraint.deconstruct()
    ignored = {"name", *getattr(constraint, "non_db_attrs", ())}
    kwargs = {name: value for name, value in kwargs.items() if name not in ignored}
    return repr((path, _form(args), _form(kwargs)))


def _form(value: Any) -> Any:
    """What a value is made of, for repr().

    That of an expression keeps some to itself, such as the collation it is taken in.
    """
    if isinstance(value, list | tuple):
        return [_form(each) for each in value]
    if isinstance(value, dict):
        return sorted((name, _form(each)) for name, each in value.items())
    if isinstance(value, type) or not hasattr(value, "deconstruct"):
        return value
    try:
        # That of a field begins with its name.
        path, args, kwargs = value.deconstruct()[-3:]
    except ValueError:  # Its class is inside of something.
        return value
    return path, _form(args), _form(kwargs)


def constraint_fields(constraint: Any) -> set[str]:
    """The names of the fields that a constraint of Django's kinds mentions.

    Empty for a constraint of a kind that tells none.
    """
    condition = getattr(constraint, "condition", None)
    return {*compared_fields(constraint), *mentioned_fields(condition)}


def compared_fields(constraint: Any) -> set[str]:
    """The names of the fields that a constraint compares between rows.

    That is what is left without its condition: the fields of a unique constraint and of
    an exclusion, those in expressions included.
    """
    names = set(getattr(constraint, "fields", ()))
    for operand in operands(constraint):
        names.update(mentioned_fields(operand))
    return names


def plainly_compared_fields(constraint: Any) -> set[str]:
    """Those that it compares as they are, so that NULL in one is equal to nothing.

    Empty for a constraint of a kind that Django doesn't have.
    """
    path = "django.contrib.postgres.constraints.ExclusionConstraint"
    is_exclusion = any(
        f"{base.__module__}.{base.__qualname__}" == path
        for base in type(constraint).__mro__
    )
    if not (is_exclusion or isinstance(constraint, UniqueConstraint)):
        return set()
    plain = {
        name
        for operand in operands(constraint)
        if isinstance(operand, F)
        for name in mentioned_fields(operand)
    }
    return {*getattr(constraint, "fields", ()), *plain}


def operands(constraint: Any) -> Iterator[Any]:
    """The expressions that a constraint compares between rows."""
    for expression in getattr(constraint, "expressions", ()):
        # An ExclusionConstraint holds pairs of an expression and an operator.
        operand = expression[0] if isinstance(expression, tuple | list) else expression
        if isinstance(operand, OrderBy):
            operand = operand.expression
        yield F(operand) if isinstance(operand, str) else operand


def mentioned_fields(expression: Any) -> Iterator[str]:
    """The names of the fields in an expression, a condition, or a list of either."""
    if isinstance(expression, F):
        reference: Any = expression
        yield reference.name.split(LOOKUP_SEP)[0]
    elif isinstance(expression, Q):
        for child in expression.children:
            if isinstance(child, tuple):
                yield child[0].split(LOOKUP_SEP)[0]
                yield from mentioned_fields(child[1])
            else:
                yield from mentioned_fields(child)
    elif isinstance(expression, list | tuple):
        for item in expression:
            yield from mentioned_fields(item)
    elif hasattr(expression, "get_source_expressions"):
        for source in expression.get_source_expressions():
            yield from mentioned_fields(source)


def refuses_null(condition: Any) -> bool:
    """Whether a CHECK may refuse rows in which all that it mentions is NULL.

    SQL takes a comparison with NULL as neither true nor false, and a CHECK lets that
    pass. What expressions make of NULL isn't known.
    """
    return has_expression(condition) or _truth_of_null(condition) is False


def proves_not_null(constraint: Any, name: str) -> bool:
    """Whether rows that have NULL in that field violate it.

    That is told of a CHECK that asks for nothing else than lookups, one of them this.
    """
    condition = getattr(constraint, "condition", None)
    return (
        isinstance(constraint, CheckConstraint)
        and isinstance(condition, Q)
        and not condition.negated
        and (condition.connector == Q.AND or len(condition.children) == 1)
        and (f"{name}{LOOKUP_SEP}isnull", False) in condition.children
    )


def has_expression(condition: Any) -> bool:
    """Whether something in a condition is neither a lookup nor made of them."""
    if not isinstance(condition, Q):
        return True
    return any(
        not isinstance(child, tuple) and has_expression(child)
        for child in condition.children
    )


def _truth_of_null(condition: Any) -> bool | None:
    """What a condition is where all is NULL; ``None`` is neither true nor false."""
    truths = [
        _truth_of_lookup(*child) if isinstance(child, tuple) else _truth_of_null(child)
        for child in condition.children
    ]
    truth = combine_truths(condition.connector, truths)
    return not truth if condition.negated and truth is not None else truth


def _truth_of_lookup(lookup: str, value: Any) -> bool | None:
    if lookup.rsplit(LOOKUP_SEP, maxsplit=1)[-1] == "isnull":
        return bool(value)
    return True if value is None else None


def combine_truths(connector: str, truths: Sequence[bool | None]) -> bool | None:
    """What the parts of a condition come to; ``None`` is neither true nor false."""
    if connector == Q.XOR:
        return None if None in truths else truths.count(True) % 2 == 1
    decisive = connector == Q.OR
    if decisive in truths:
        return decisive
    return None if None in truths else not decisive
