"""All rules of the audit by their codes, and what explains them."""

from __future__ import annotations

from syzygy.audit import (
    code_rules,
    lock_rules,
    removal_rules,
    stage_rules,
    transaction_rules,
)
from syzygy.audit.base import AuditRule
from syzygy.audit.findings import Severity


class IdleSuppression(AuditRule):
    """SZ000, which the suppressions themselves report."""

    code = "SZ000"
    name = "idle-suppression"
    severity = Severity.WARNING
    summary = "A suppression suppresses nothing."


class Conflict(AuditRule):
    """SZ001, which is read from the graph."""

    code = "SZ001"
    name = "conflicting-migrations"
    severity = Severity.BREAKING
    summary = "An app has more than one latest migration."


class AmbiguousOrder(AuditRule):
    """SZ003, which is read from the plan."""

    code = "SZ003"
    name = "ambiguous-plan"
    severity = Severity.BREAKING
    summary = "What has to run before the rollout needs what has to run after it."


_CLASSES: tuple[type[AuditRule], ...] = (
    IdleSuppression,
    Conflict,
    stage_rules.Ambiguous,
    AmbiguousOrder,
    stage_rules.BreaksRunning,
    stage_rules.BreaksNew,
    stage_rules.NoSafeStage,
    stage_rules.RunningCantInsert,
    stage_rules.RowsWithoutDefault,
    removal_rules.NewCantInsert,
    removal_rules.ReferencesStay,
    removal_rules.StateOnlyRemoval,
    code_rules.UnstagedCode,
    code_rules.SqlTightens,
    code_rules.SqlRewrites,
    code_rules.Irreversible,
    transaction_rules.MixedTransaction,
    lock_rules.TableRewrite,
    lock_rules.FullScan,
    lock_rules.BlockingIndex,
    lock_rules.ForeignKeyCheck,
    transaction_rules.NotAtomicOnMysql,
    stage_rules.NullsNotFilled,
    transaction_rules.NeedsNoTransaction,
    code_rules.NotOfTheAncestor,
)


def all_rules() -> dict[str, AuditRule]:
    """The rules that come with the app by code, in order."""
    return {cls.code: cls() for cls in _CLASSES}


def page_of(rule: AuditRule) -> str:
    """The page of a rule, in reStructuredText; empty if a project's has none."""
    if rule.page or type(rule) not in _CLASSES:
        return rule.page
    # Not imported at the top: it takes as long as all the rules.
    from importlib import resources

    page = resources.files("syzygy.audit") / "pages" / f"{rule.code}.rst"
    return page.read_text(encoding="utf-8")
