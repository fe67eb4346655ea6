"""Which fields a constraint is about."""

from collections.abc import Iterator
from typing import Any

from django.db.models import F, Q
from django.db.models.constants import LOOKUP_SEP


def constraint_fields(constraint: Any) -> set[str]:
    """The names of the fields that a constraint of Django's kinds mentions.

    Empty for a constraint of a kind that tells none.
    """
    names = set(getattr(constraint, "fields", ()))
    names.update(_mentioned(getattr(constraint, "condition", None)))
    for expression in getattr(constraint, "expressions", ()):
        # An ExclusionConstraint holds pairs of an expression and an operator.
        operand = expression[0] if isinstance(expression, tuple | list) else expression
        names.update(_mentioned(F(operand) if isinstance(operand, str) else operand))
    return names


def _mentioned(expression: Any) -> Iterator[str]:
    if isinstance(expression, F):
        reference: Any = expression
        yield reference.name.split(LOOKUP_SEP)[0]
    elif isinstance(expression, Q):
        for child in expression.children:
            if isinstance(child, tuple):
                yield child[0].split(LOOKUP_SEP)[0]
                yield from _mentioned(child[1])
            else:
                yield from _mentioned(child)
    elif hasattr(expression, "get_source_expressions"):
        for source in expression.get_source_expressions():
            yield from _mentioned(source)
