"""What comes or goes while something else keeps rows from the same."""

from __future__ import annotations

from syzygy import rules
from syzygy.audit.base import AuditedOperation
from syzygy.constraints import effects
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
    """Whether a constraint comes or goes beside another one of the same effect.

    Or that comes in its place in the same migration.
    """
    key = operation.model
    model = key and operation.history.model(key)
    if rule.code not in _ABOUT or key is None or not model:
        return False
    history = History()
    history.models = {key: model.clone()}
    history.advance(operation.operation, key[0])
    after = history.model(key)
    if after is None or effects(after) - effects(model):
        return False
    lost = effects(model) - effects(after)
    for each in operation.migration.migration.operations[operation.position + 1 :]:
        history.advance(each, key[0])
    end = history.model(key)
    return not lost or (end is not None and lost <= effects(end))
