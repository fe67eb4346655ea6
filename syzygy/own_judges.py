"""The judges of this package's operations, by the path of each.

Their module is imported only by the migrations that have them.
"""

from __future__ import annotations

from typing import Any

from django.db.migrations import AlterOrderWithRespectTo

from syzygy import rules
from syzygy.history import History
from syzygy.judges import JUDGES, Judge, Judged
from syzygy.rules import Rule

# The column has a DEFAULT for as long as two releases share the table.
_WITH_DEFAULT = {
    rules.ADD_ORDER: rules.ADD_FIELD_DB_DEFAULT,
    rules.REMOVE_ORDER: rules.REMOVE_FIELD,
}


def _alter_order(operation: Any, app_label: str, history: History) -> Judged:
    judged = JUDGES[AlterOrderWithRespectTo](operation, app_label, history)
    return _WITH_DEFAULT.get(judged, judged) if isinstance(judged, Rule) else judged


def _set_order_default(operation: Any, app_label: str, history: History) -> Rule:
    return rules.ADD_DB_DEFAULT


def _drop_order_default(operation: Any, app_label: str, history: History) -> Rule:
    return rules.DROP_DB_DEFAULT


def _backfill(operation: Any, app_label: str, history: History) -> Rule:
    key = history.behind((app_label, operation.model_name_lower))
    if not history.has_table(key):
        return rules.STATE_ONLY
    # The running release leaves NULL in a column of its table that it doesn't know.
    return rules.UNSEEN if history.is_unseen(*key) else rules.BACKFILL


OWN_JUDGES: dict[str, Judge] = {
    "syzygy.operations.AlterOrder": _alter_order,
    "syzygy.operations.Backfill": _backfill,
    "syzygy.operations.DropOrderDefault": _drop_order_default,
    "syzygy.operations.SetOrderDefault": _set_order_default,
}
