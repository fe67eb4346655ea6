"""An operation that has to run before the rollout as well as after it, and two of it.

Pure, and only needed where a stage is ambiguous.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from django.db.migrations import AlterField, AlterUniqueTogether
from django.db.migrations.operations.base import Operation

from syzygy import rules
from syzygy.constants import Stage
from syzygy.constraints import unique_together
from syzygy.history import History
from syzygy.rules import Rule

# What the part of an AlterField does that falls under a rule.
_PARTS = {
    rules.SET_NOT_NULL: "forbidding NULL",
    rules.DROP_NOT_NULL: "allowing NULL",
    rules.WIDEN_TYPE: "widening the type",
    rules.NARROW_TYPE: "narrowing the type",
    rules.ADD_UNIQUE: "making it unique",
    rules.DROP_UNIQUE: "having it unique no more",
    rules.ADD_DB_DEFAULT: "adding the db_default",
    rules.DROP_DB_DEFAULT: "dropping the db_default",
    rules.ADD_DB_CONSTRAINT: "adding the foreign key constraint",
    rules.DROP_DB_CONSTRAINT: "dropping the foreign key constraint",
    rules.ADD_ON_DELETE: "having the database do what follows a delete",
    rules.DROP_ON_DELETE: "having it do no more what it did",
}


class Halves(NamedTuple):
    """What of an operation has to run before the rollout, and what after it.

    The ``remedy`` says how to make two operations of it.
    """

    before: str
    after: str
    remedy: str


def halve(
    operation: Operation, app_label: str, history: History, judged: Collection[Rule]
) -> Halves:
    """Tell the halves of an operation, given the state before it."""
    if isinstance(operation, AlterUniqueTogether):
        return _halve_together(operation, app_label, history)
    parts = {stage: _parts(judged, stage) for stage in Stage}
    if not isinstance(operation, AlterField) or not all(parts.values()):
        return Halves(
            "one part of it",
            "another",
            "Make two of that operation, one for each part, and have the first run in "
            "a migration of its own before this one.",
        )
    before, after = parts[Stage.PRE_DEPLOY], parts[Stage.POST_DEPLOY]
    if {rules.ADD_ON_DELETE, rules.DROP_ON_DELETE} <= set(judged):
        remedy = (
            "The database does one thing or the other: change it in two deployments, "
            "by way of what Django does itself (such as on_delete=models.CASCADE)."
        )
    else:
        remedy = (
            f'Make two of that operation: an AlterField of "{operation.name}" that '
            f"does no more than {before}, in a migration of its own before this one, "
            "and this one for the rest."
        )
    return Halves(before, after, remedy)


def _parts(judged: Iterable[Rule], stage: Stage) -> str:
    mine = [rule for rule in judged if rule.required is stage]
    return " and ".join(_PARTS[rule] for rule in mine if rule in _PARTS)


def _halve_together(
    operation: AlterUniqueTogether, app_label: str, history: History
) -> Halves:
    model = history.model((app_label, operation.name_lower))
    old = unique_together(model.options) if model else set()
    new: set[tuple[str, ...]] = set(operation.option_value or ())
    # Of the same fields in another order the rows that are allowed are the same.
    kept = {each for each in new if frozenset(each) in set(map(frozenset, old))}
    gone = {each for each in old if frozenset(each) not in set(map(frozenset, new))}
    value = _sets(kept) if kept else "set()"
    return Halves(
        f"dropping {_sets(gone, '%s')}",
        f"adding {_sets(new - kept, '%s')}",
        "Make two of that operation: put\n"
        f'    migrations.AlterUniqueTogether("{operation.name}", {value})\n'
        "into a migration of its own before this one, and keep this one as it is.",
    )


def _sets(together: Iterable[tuple[str, ...]], form: str = "{%s}") -> str:
    texts = []
    for names in sorted(together):
        quoted = ", ".join(f'"{name}"' for name in names)
        texts.append(f"({quoted},)" if len(names) == 1 else f"({quoted})")
    return form % ", ".join(texts)
