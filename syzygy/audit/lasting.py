"""What comes or goes while something else keeps rows from the same."""

from __future__ import annotations

from syzygy import rules
from syzygy.audit.base import AuditedOperation
from syzygy.history import History
from syzygy.rules import Rule

_ABOUT = {
    rules.ADD_CONSTRAINT.code,
    rules.ADD_UNIQUE.code,
    rules.ADD_UNIQUE_TOGETHER.code,
    rules.DROP_UNIQUE.code,
    rules.REMOVE_CONSTRAINT.code,
    rules.REMOVE_UNIQUE_TOGETHER.code,
}


def is_lasting(operation: AuditedOperation, rule: Rule) -> bool:
    """Whether a constraint comes or goes beside another one of the same effect."""
    key = operation.model
    model = key and operation.history.model(key)
    if rule.code not in _ABOUT or key is None or not model:
        return False
    # Not imported at the top: it is part of what writes migrations.
    from syzygy.generation.options import effects

    history = History()
    history.models = {key: model.clone()}
    history.advance(operation.operation, key[0])
    after = history.model(key)
    return after is not None and effects(model) == effects(after)
